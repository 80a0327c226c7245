"""
Alembic's operations on a migration's own connection; Alembic is imported here and nowhere else in sqlmig.

While a migration that has asked for them runs, `from alembic import op` in modules that it calls is the same object.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from sqlalchemy import MetaData, column, inspect, or_, select
from sqlalchemy import table as a_table

from .errors import ConfigurationError, TransactionMisused, UnsupportedChange

try:
    import alembic.op
    from alembic.operations import Operations
    from alembic.runtime.migration import MigrationContext
except ModuleNotFoundError as missing:
    raise ConfigurationError(
        "Alembic is not installed, and self.op is Alembic's.\n"
        f"  {missing}\n"
        "Install it with the extra: pip install 'sqlmig[alembic]'"
    ) from missing

if TYPE_CHECKING:
    from sqlalchemy import Table
    from sqlalchemy.engine import Connection
    from sqlalchemy.engine.reflection import Inspector

__all__ = ["AlembicOperations"]

# What is to be done to each MigrationContext before a migration has it: functions that take one.
CONTEXT_HOOKS = "sqlmig.alembic_contexts"


class AlembicOperations:
    """
    The operations of one run.

    Args:
        connection: The migration's own, in whatever transaction it is.
        naming_convention: The one that names the constraints which the operations make.
        version_table: Where Alembic keeps its revisions, for scripts that ask.
        everywhere: Whether `alembic.op` is to be the same.
    """

    def __init__(
        self,
        connection: Connection,
        naming_convention: Mapping[str, Any] | None = None,
        version_table: str | None = None,
        *,
        everywhere: bool = False,
    ) -> None:
        self.connection = connection
        options: dict[str, Any] = {"version_table": version_table} if version_table else {}
        if naming_convention:
            options["target_metadata"] = MetaData(naming_convention=naming_convention)
        context = _Context(connection.dialect, connection, options)
        for hook in entry_points(group=CONTEXT_HOOKS):
            hook.load()(context)
        self.operations = Operations(context)
        if everywhere:
            _everywhere.enter(self.operations)

    def close(self) -> None:
        """Take them out of `alembic.op` again."""
        _everywhere.leave(self.operations)


class _Context(MigrationContext):
    """Never ends the transaction that the migration runs in, and loses no rows of others where it rebuilds a table."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._drop = self.impl.drop_table
        # The last resort, where no hook has found a better way.
        self.impl.drop_table = self._drop_table  # type: ignore[method-assign]

    def _drop_table(self, table: Table, **options: Any) -> None:
        """
        Drop a table, unless Alembic does so to put a copy in its place, and rows refer to it.

        Raises:
            UnsupportedChange: SQLite would delete or change those rows first.
        """
        connection = self.connection
        if connection is not None and connection.dialect.name == "sqlite" and _enforced(connection):
            inspector = inspect(connection)
            names = inspector.get_table_names()
            if f"_alembic_tmp_{table.name}"[:50] in names:
                users = [name for name in names if _refers(connection, inspector, name, table.name)]
                if users:
                    raise UnsupportedChange(
                        f"Alembic would drop {table.name} to rebuild it, and rows of {', '.join(users)} refer to it.",
                        table=table.name,
                        facts="With foreign_keys=ON SQLite deletes or changes such rows then; nothing was changed.",
                        hint="Use sqlmig's own operations (self.alter_table, self.add_column, ...), which keep them.",
                    )
        self._drop(table, **options)

    @contextmanager
    def autocommit_block(self) -> Iterator[None]:
        """
        Run statements outside a transaction, in a migration that says `transactional = False`.

        Raises:
            TransactionMisused: There is a transaction, which the block would commit.
        """
        raw: Any = self.connection.connection.dbapi_connection if self.connection is not None else None
        if getattr(raw, "in_transaction", True):
            raise TransactionMisused(
                "it asked for autocommit_block(), which commits what came before it, and a migration must not end"
                " the transaction that it runs in (say `transactional = False` in the migration)"
            )
        yield


def _enforced(connection: Connection) -> bool:
    return bool(connection.exec_driver_sql("PRAGMA foreign_keys").scalar())


def _refers(connection: Connection, inspector: Inspector, name: str, parent: str) -> bool:
    """Whether rows of the table *name* refer to *parent*; those that it has of its own go into its copy."""
    if name == parent:
        return False
    keys = [k for k in inspector.get_foreign_keys(name) if k["referred_table"].lower() == parent.lower()]
    filled = [column(one).is_not(None) for key in keys for one in key["constrained_columns"]]
    return (
        bool(filled)
        and connection.execute(select(1).select_from(a_table(name)).where(or_(*filled))).first() is not None
    )


class _Everywhere:
    """`alembic.op`, of which a process has one: the operations that were asked for last and are not closed yet."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: list[Operations] = []

    def enter(self, operations: Operations) -> None:
        with self._lock:
            if not self._open:
                # Somebody else's, who runs us in the middle of an Alembic migration.
                outer = vars(alembic.op).get("_proxy")
                self._open += [outer] if outer is not None else []
                self._foreign = outer
            self._open.append(operations)
            operations._install_proxy()

    def leave(self, operations: Operations) -> None:
        with self._lock:
            if operations not in self._open:
                return
            self._open.remove(operations)
            if self._open:
                self._open[-1]._install_proxy()
            else:
                operations._remove_proxy()
            if self._open == [self._foreign]:
                self._open.clear()


_everywhere = _Everywhere()
