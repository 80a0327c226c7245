"""NativeSchema: tables, indexes, views and triggers, changed by the ALTER that PostgreSQL, MariaDB and MySQL have."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from ...connection import atomic
from ...errors import NoSuchObject, ObjectExists, ObjectInUse, SchemaError, UnsupportedDatabase, WrongObject
from ..changes import Change, TableName
from ..ddl import Statement, raw
from .mysql_catalogue import MysqlCatalogue
from .mysql_table import MysqlTable
from .postgresql_catalogue import PostgresqlCatalogue
from .postgresql_table import PostgresqlTable
from .server_errors import translated

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from .catalogue import Catalogue, IndexPlace, User
    from .table import NativeTable

__all__ = ["NativeSchema"]

_SERVERS: Final[dict[str, tuple[type[Catalogue], type[NativeTable]]]] = {
    "postgresql": (PostgresqlCatalogue, PostgresqlTable),
    "mysql": (MysqlCatalogue, MysqlTable),
    "mariadb": (MysqlCatalogue, MysqlTable),
}


class NativeSchema:
    """
    Schema changes over one Connection to a server, in its transaction.

    What is refused changed nothing and leaves the transaction usable; the reason is a SchemaError. On MariaDB and
    MySQL every statement that changes the schema commits, so there "nothing" is up to the change that was refused.
    """

    def __init__(self, connection: Connection) -> None:
        name = connection.dialect.name
        if name not in _SERVERS:
            raise UnsupportedDatabase(f"There is no native ALTER for {name}.")
        catalogue, self._table = _SERVERS[name]
        self.connection = connection
        self.catalogue = catalogue(connection)

    def alter(self, table: TableName, changes: Sequence[Change]) -> None:
        """Carry out the changes in their order, all or none on PostgreSQL."""
        self.catalogue.require(table)
        with self._guarded(table):
            target = self._table(self.catalogue, table)
            for change in changes:
                target.apply(change)

    def rename_table(self, table: TableName, new: str) -> None:
        """Rename a table, which stays in its schema; what refers to it follows."""
        self.catalogue.require(table)
        wanted = TableName(table.schema, new)
        if new == table.name:
            return
        self._require_free(wanted)
        self._refuse(f"table {table}", self.catalogue.table_readers(table), "would go on using its old name")
        target: str | TableName = new if self.catalogue.transactional_ddl else wanted
        self._execute(Statement("ALTER TABLE {} RENAME TO {}", table, target), table)

    def drop_table(self, table: TableName, *, cascade: bool = False) -> None:
        """Drop a table; with cascade, other tables' foreign keys to it before it, but never a view or a trigger."""
        self.catalogue.require(table)
        users = self.catalogue.table_users(table)
        kept = [user for user in users if user.drop is None]
        if kept or not cascade:
            self._refuse(f"table {table}", users, "would lack it")
        with self._guarded(table):
            for statement in [user.drop for user in users if user.drop is not None]:
                self.connection.execute(statement)
            self.connection.execute(Statement("DROP TABLE {}", table))

    def drop_index(self, index: str, table: TableName | None = None, schema: str | None = None) -> None:
        """Drop an index; one that serves a constraint goes with that alone."""
        if table is not None:
            self.catalogue.require(table)
        place = self._find_index(index, table, schema)
        if place.constraint is not None:
            raise WrongObject(
                f"The index {index} belongs to a constraint; nothing was changed.",
                table=str(place.table),
                hint=f"Drop the constraint: drop_constraint(..., name={place.constraint!r}).",
            )
        words = "DROP INDEX {}" if self.catalogue.transactional_ddl else "DROP INDEX {} ON {}"
        name = TableName(place.table.schema, index) if self.catalogue.transactional_ddl else index
        self._execute(Statement(words, name, place.table), place.table)

    def create_view(self, name: TableName, query: str) -> None:
        """Create a view of a query."""
        self._require_free(name)
        self._execute(Statement("CREATE VIEW {} AS {}", name, raw(query)), name)

    def drop_view(self, name: TableName) -> None:
        """Drop a view that no other view reads from."""
        self.catalogue.require(name, "view")
        self._refuse(f"view {name}", self.catalogue.view_users(name), "would lack it")
        self._execute(Statement("DROP VIEW {}", name), name)

    def create_trigger(self, name: str, definition: str) -> None:
        """
        Create a trigger.

        Args:
            definition: The whole CREATE TRIGGER, or what follows the name in it.
        """
        whole = re.match(r"\s*CREATE\b", definition, re.IGNORECASE) is not None
        statement = raw(definition) if whole else Statement("CREATE TRIGGER {} {}", name, raw(definition))
        self.catalogue.require_name(name)
        if not self.catalogue.transactional_ddl and self.catalogue.triggers(name, None):
            raise ObjectExists("trigger", name)
        self._execute(Statement("{}", statement), TableName(None, name))

    def has_trigger(self, name: str) -> bool:
        """Whether any table has such a trigger."""
        return bool(self.catalogue.triggers(name, None))

    def drop_trigger(self, name: str, table: TableName | None = None) -> None:
        """Drop a trigger; *table* says which, where the tables have one each."""
        if table is not None:
            self.catalogue.require(table)
        found = self.catalogue.triggers(name, table)
        if not found:
            known = [known for known, _ in self.catalogue.triggers(None, table)]
            raise NoSuchObject("trigger", name, known, table=str(table) if table else None)
        if len(found) > 1:
            raise _ambiguous("trigger", name, [owner for _, owner in found])
        owner = found[0][1]
        if self.catalogue.transactional_ddl:
            self._execute(Statement("DROP TRIGGER {} ON {}", name, owner), owner)
        else:
            self._execute(Statement("DROP TRIGGER {}", TableName(owner.schema, name)), owner)

    def _find_index(self, index: str, table: TableName | None, schema: str | None) -> IndexPlace:
        places = self.catalogue.indexes(index, table, schema)
        if not places:
            known = self.catalogue.index_names(table, schema)
            raise NoSuchObject("index", index, known, table=str(table) if table else None)
        if len(places) > 1:
            raise _ambiguous("index", index, [place.table for place in places])
        return places[0]

    def _require_free(self, name: TableName) -> None:
        self.catalogue.require_name(name.name)
        if kind := self.catalogue.kind_of(name):
            raise ObjectExists(kind, str(name))

    def _refuse(self, what: str, users: Sequence[User], why: str) -> None:
        if users:
            raise ObjectInUse(
                f"The {what} is in use; what uses it {why}. Nothing was changed.",
                [str(user) for user in users],
                hint="Drop these first, and create them again afterwards where they are still wanted.",
            )

    def _execute(self, statement: Statement, about: TableName) -> None:
        with self._guarded(about):
            self.connection.execute(statement)

    def _known(self, kind: str, about: TableName) -> Sequence[str]:
        if "column" in kind:
            return self.catalogue.columns(about)
        return self.catalogue.names("table", about.schema) if kind == "table" else []

    @contextmanager
    def _guarded(self, about: TableName) -> Iterator[None]:
        """Undo what was done of a change that fails, where the server can, and say its error in our words."""
        with translated(str(about), lambda kind: self._known(kind, about)):
            if not self.catalogue.transactional_ddl:
                yield
            else:
                with atomic(self.connection):
                    yield


def _ambiguous(kind: str, name: str, tables: Sequence[TableName]) -> SchemaError:
    return SchemaError(
        f"More than one table has the {kind} {name}; nothing was changed.",
        facts=f"there is one of {', '.join(sorted(map(str, tables)))}",
        hint="Say which table is meant.",
    )
