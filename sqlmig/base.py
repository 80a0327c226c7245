"""BaseMigration: what the author of a migration writes against."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from .connection import Database, DatabaseConnection, Parameters
from .data.methods import DataMethods
from .errors import ConfigurationError, RollbackNotSupported
from .schema.methods import SchemaMethods

if TYPE_CHECKING:
    import alembic.operations
    from sqlalchemy import Column, Table
    from sqlalchemy.engine import Connection
    from sqlalchemy.engine.reflection import Inspector
    from sqlalchemy.sql import Executable

    from .rows import Result
    from .schema import Operations

__all__ = ["BaseMigration", "ResumableMigration"]


class BaseMigration(SchemaMethods, DataMethods):
    """
    One step of a database's history: `up` makes it, `down` takes it back.

    A subclass says its version and description as plain attributes or as properties:

        class AddLanguage(BaseMigration):
            version = 9
            description = "Documents know their language"

            def up(self):
                self.execute_sql("ALTER TABLE documents ADD COLUMN language TEXT")

    Everything that a migration runs through `self` happens in one transaction, which the runner begins and commits.

    Args:
        database: What to run on; the runner hands in its own connection.
    """

    def __init__(self, database: Database) -> None:
        self.db = database if isinstance(database, DatabaseConnection) else DatabaseConnection(database)
        self.sql_files: dict[str, str] = {}

    # Alembic's operations, once they were asked for; and whether they are to be found in `alembic.op` as well.
    _alembic: Any = None
    _running = False

    # Whether it is an SQL file, in which directives say what attributes say here; and the line that it is at.
    _in_sql = False
    _place: tuple[Path, int] | None = None

    # Properties, so that a type checker lets a subclass say them either way.

    @property
    def version(self) -> int:
        """The number that its file's name begins with."""
        return 0

    @property
    def description(self) -> str:
        """What it changes, in one line; the file's name where it is empty."""
        return ""

    @property
    def dependencies(self) -> Sequence[int]:
        """Versions that must be applied before it."""
        return ()

    @property
    def transactional(self) -> bool:
        """False for statements that refuse to run in a transaction (VACUUM, PRAGMA journal_mode)."""
        return True

    @property
    def resumable(self) -> bool:
        """True to commit each batch of `batches` with its checkpoint, so that a killed one goes on where it stopped."""
        return False

    @property
    def throttle(self) -> float:
        """Seconds to pause after each such batch, with the database free for others."""
        return 0.0

    @property
    def removes(self) -> Sequence[str]:
        """Tables ("old_table") and columns ("documents.abstract") whose data it means to remove; "*" for anything."""
        return ()

    @property
    def replaces(self) -> Mapping[int, str | Sequence[str]]:
        """Of a squashed migration, the versions that it replaces, with the checksums that databases have of them."""
        return {}

    @property
    def rollback_supported(self) -> bool:
        """Whether it can be rolled back: by default, whether it has a `down` of its own."""
        return type(self).down is not BaseMigration.down

    @property
    def revision(self) -> str | None:
        """The Alembic revision that it was imported from."""
        return None

    @property
    def version_table(self) -> str:
        """Where Alembic kept the revisions of the history that it was imported from."""
        return "alembic_version"

    @property
    def naming_convention(self) -> Mapping[str, Any] | None:
        """How `op` names the constraints that it makes, as in `MetaData(naming_convention=...)`."""
        return None

    def up(self) -> None:
        """Apply the migration."""
        raise NotImplementedError(f"{type(self).__name__} has no up()")

    def down(self) -> None:
        """Take the migration back."""
        raise NotImplementedError(f"{type(self).__name__} has no down()")

    def pre_migrate_checks(self) -> bool:
        """Whether to go on; False skips the migration, which then counts as applied."""
        return True

    def post_migrate_checks(self) -> bool:
        """Whether it worked; False undoes everything that it did."""
        return True

    def run(self) -> bool:
        """
        Apply it by hand, in a transaction of its own, recorded nowhere.

        Returns:
            True, or False when `pre_migrate_checks` said to skip it.

        Raises:
            MigrationFailed: It raised or its checks failed; everything was undone.
        """
        return self._by_hand("apply")

    def rollback(self) -> bool:
        """
        Roll it back by hand, in a transaction of its own, recorded nowhere.

        Raises:
            RollbackNotSupported: It has no way back.
            MigrationFailed: It raised; everything was undone.
        """
        if not self.rollback_supported:
            raise RollbackNotSupported(self.version, f"{type(self).__name__} does not support rollback")
        return self._by_hand("rollback")

    def _by_hand(self, operation: Literal["apply", "rollback"]) -> bool:
        from .backends import backend_for
        from .execution import attempt

        with backend_for(self.db, lock_timeout=60.0).session() as session:
            before = self.db
            self.db = DatabaseConnection(session.connection)
            try:
                return attempt(self, session, operation)
            finally:
                self.db = before

    @property
    def rehearsing(self) -> bool:
        """Whether it runs on a copy that is thrown away: what is outside the database is to be left alone then."""
        return "sqlmig_rehearsal" in self.db.engine.get_execution_options()

    @property
    def connection(self) -> Connection:
        """The SQLAlchemy Connection that the migration runs on."""
        connection = self.db.connection
        if connection is None:
            raise ConfigurationError(
                f"Migration {self.version} has no connection yet.\n"
                "  self.connection is there while it runs.\n"
                "Call run(), or wrap the call in `with migration.db.transaction():`"
            )
        return connection

    @property
    def op(self) -> alembic.operations.Operations:
        """
        Alembic's operations on the migration's connection, in its transaction. Needs `sqlmig[alembic]`.

        Raises:
            ConfigurationError: Alembic is not installed, or the migration is not running.
        """
        connection = self.connection
        if self._alembic is None or self._alembic.connection is not connection:
            from .alembic_op import AlembicOperations

            self._release()
            self._alembic = AlembicOperations(
                connection, self.naming_convention, self.version_table, everywhere=self._running
            )
        operations: alembic.operations.Operations = self._alembic.operations
        return operations

    @contextmanager
    def _run_by_sqlmig(self) -> Iterator[None]:
        """The time in which its methods are called for good; `op` is given up at its end."""
        self._running = True
        try:
            yield
        finally:
            self._running = False
            self._release()

    def _accompany(self, around: Callable[[], AbstractContextManager[object]]) -> None:
        """Have *around* entered for the time in which its methods are called for good."""
        run = self._run_by_sqlmig

        @contextmanager
        def accompanied() -> Iterator[None]:
            with around(), run():
                yield

        replaced: Any = accompanied
        self.__dict__["_run_by_sqlmig"] = replaced

    def _release(self) -> None:
        if self._alembic is not None:
            self._alembic.close()
            self._alembic = None

    @property
    def inspector(self) -> Inspector:
        """A fresh SQLAlchemy Inspector: an old one does not see what was added since."""
        from sqlalchemy import inspect

        return inspect(self.db.connection if self.db.connection is not None else self.db.engine)

    def execute_sql(self, sql: str | Executable, params: Parameters = None) -> Result:
        """Run one statement: text with `?` and a tuple, `:name` and a dict, or a Core construct."""
        return self.db.execute(sql, params)

    def execute_sql_file(self, path: str | Path) -> None:
        """
        Run every statement of a file.

        The file is part of the migration: changing it after it was applied is an edit.

        Args:
            path: Relative to the migration's own file. `NNN_words.sql` beside it has the number of the migration, or
                would be one by itself.

        Raises:
            FileNotFoundError: There is no such file.
        """
        from .sql_text import split_statements, sql_hash

        file = self._folder() / path
        if not file.is_file():
            raise FileNotFoundError(f"no SQL file {file}")
        script = file.read_text(encoding="utf-8-sig")
        # Relative, so that it is the same file when the application is installed elsewhere.
        self.sql_files[os.path.relpath(file, self._folder())] = sql_hash(script)
        for statement in split_statements(script, self.db.engine.dialect.name):
            self.execute_sql(statement)

    def _folder(self) -> Path:
        file = getattr(sys.modules.get(type(self).__module__), "__file__", None)
        return Path(os.path.abspath(file)).parent if file else Path.cwd()

    def create_table_if_not_exists(
        self, name: str | Table, definition: str | Table | Column[Any] | Sequence[Any] | None = None, *columns: Any
    ) -> bool:
        """
        Create a table unless there is one of that name.

        Args:
            name: Of the table, or a SQLAlchemy Table.
            definition: CREATE TABLE text, a Table, or the Columns and constraints of one.

        Returns:
            Whether it was created.
        """
        from sqlalchemy import Table

        if isinstance(name, Table):
            name, definition = name.fullname, name
        with self._operations() as operations:
            if operations.has_table(name):
                return False
            if isinstance(definition, str):
                self.execute_sql(definition)
            elif isinstance(definition, Table):
                operations.create_table(definition)
            else:
                items = definition if isinstance(definition, Sequence) else [definition]
                operations.create_table(name, *(item for item in (*items, *columns) if item is not None))
            return True

    def create_index_if_not_exists(
        self,
        name: str,
        definition: str | Table,
        columns: Sequence[str] | None = None,
        *,
        unique: bool = False,
        where: str | None = None,
    ) -> bool:
        """
        Create an index unless there is one of that name that queries can use.

        Args:
            definition: CREATE INDEX text; or the table, when *columns* are given.
            columns: Names of columns, or expressions.
            unique, where: With *columns*: a unique or a partial index.

        Returns:
            Whether it was created.
        """
        with self._operations() as operations:
            if operations.has_usable_index(name):
                return False
            if columns is None and isinstance(definition, str):
                self.execute_sql(definition)
            else:
                table = definition if isinstance(definition, str) else definition.fullname
                keys = [columns] if isinstance(columns, str) else list(columns or ())
                operations.create_index(name, table, keys, unique=unique, where=where)
            return True

    def add_column_if_not_exists(self, table: str, column: Column[Any]) -> bool:
        """Add a column unless the table has it, and tell whether it was added."""
        return self.add_column(table, column, if_not_exists=True)

    def drop_column_if_exists(self, table: str, column: str, *, cascade: bool = False) -> bool:
        """Drop a column if the table has it, and tell whether it was there."""
        return self.drop_column(table, column, if_exists=True, cascade=cascade)

    def drop_constraint_if_exists(self, table: str, name: str) -> bool:
        """Drop a constraint if the table has one of that name, and tell whether it did."""
        return self.drop_constraint(table, name=name, if_exists=True)

    def drop_view_if_exists(self, name: str) -> bool:
        """Drop a view if there is one, and tell whether there was."""
        return self.drop_view(name, if_exists=True)

    def drop_trigger_if_exists(self, name: str) -> bool:
        """Drop a trigger if there is one, and tell whether there was."""
        return self.drop_trigger(name, if_exists=True)

    def create_view_if_not_exists(self, name: str, query: str | Executable) -> bool:
        """Create a view unless there is one of that name, and tell whether it was created."""
        return self.create_view(name, query, if_not_exists=True)

    def create_trigger_if_not_exists(self, name: str, definition: str) -> bool:
        """Create a trigger unless there is one of that name, and tell whether it was created."""
        return self.create_trigger(name, definition, if_not_exists=True)

    def drop_table_if_exists(self, table: str) -> bool:
        """Drop a table if there is one (a view is none), and tell whether there was."""
        return self.drop_table(table, if_exists=True)

    def drop_index_if_exists(self, index: str) -> bool:
        """Drop an index if there is one, and tell whether there was."""
        return self.drop_index(index, if_exists=True)

    def has_table(self, table: str) -> bool:
        """Whether there is such a table."""
        with self._operations() as operations:
            return operations.has_table(table)

    def has_column(self, table: str, column: str) -> bool:
        """Whether the table exists and has the column."""
        with self._operations() as operations:
            return operations.has_column(table, column)

    def has_index(self, table: str, index: str | None = None) -> bool:
        """Whether the table has the index; with one name, whether any table has it."""
        with self._operations() as operations:
            return operations.index_exists(table) if index is None else operations.has_index(table, index)

    def _operations(self) -> _Operating:
        return _Operating(self.db)

    def _get_current_version(self) -> int:
        return int(self.db.execute("PRAGMA user_version").scalar())

    def _set_version(self, version: int) -> None:
        """Set `PRAGMA user_version`; inside `up` the runner's own value wins."""
        self.db.execute(f"PRAGMA user_version = {int(version)}")


class ResumableMigration(BaseMigration):
    """
    A migration of data that is committed batch by batch, and goes on where it stopped when it was interrupted.

        class FillSlugs(ResumableMigration):
            version = 12
            description = "Documents have a slug"

            def up(self):
                for rows in self.batches("documents"):
                    self.update_rows("documents", [{"id": row["id"], "slug": slug(row["title"])} for row in rows])

    Each row is written exactly once, however often it is killed. What stands before, between and after the loops runs
    again then: have it do nothing the second time (`add_column_if_not_exists`).
    """

    @property
    def resumable(self) -> bool:
        return True


class _Operating:
    """Schema operations on the connection at hand, or on one of their own."""

    def __init__(self, db: DatabaseConnection) -> None:
        self._db = db
        self._own: Any = None

    def __enter__(self) -> Operations:
        from .schema import Operations

        connection = self._db.connection
        if connection is None:
            self._own = self._db.transaction()
            connection = self._own.__enter__()
        return Operations(connection)

    def __exit__(self, *error: Any) -> None:
        if self._own is not None:
            self._own.__exit__(*error)
