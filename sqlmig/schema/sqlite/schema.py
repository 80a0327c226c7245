"""SQLiteSchema: tables, indexes, views and triggers of SQLite, changed so that nothing else changes."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sqlalchemy import UniqueConstraint
from sqlalchemy.exc import DatabaseError

from ...backends.sqlite import driver_error, primary_code
from ...connection import atomic
from ...errors import NoSuchObject, ObjectExists, ObjectInUse, UnsupportedChange, WrongObject
from ...sql_text import split_statements
from ..changes import AddColumn, AddUnique, Change, DropColumn, RenameColumn, TableName
from ..indexes import create_index
from ..names import table_name
from .carry_out import finish, native_alter
from .catalogue import Catalogue, Entry, scratch_name
from .definition import folded
from .dropping import let_go_of_column, let_go_of_table, refuse
from .plan import TablePlan
from .planning import apply
from .programs import broken
from .references import keeping_references
from .rewrite import setting
from .tokens import quoted
from .users import content_users

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

__all__ = ["SQLiteSchema"]

# What SQLite says of a statement. A lock, a full disk or a read-only file are no fault of the change.
_REFUSALS = (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH)


class SQLiteSchema:
    """
    Schema changes over one Connection to SQLite, in its transaction.

    What is refused changed nothing; the reason is a SchemaError.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.catalogue = Catalogue(connection)
        self._broken_before = False

    def alter(self, table: TableName, changes: Sequence[Change]) -> None:
        """Carry out the changes of one table, all or none, with as few passes over its rows as can be."""
        with self._changing(table):
            found = self.catalogue.resolve(table)
            plan = TablePlan(self.catalogue, found)
            for change in _expanded(changes):
                if isinstance(change, RenameColumn) or plan.needs_pass_before(change):
                    finish(plan)
                    plan = TablePlan(self.catalogue, found)
                if isinstance(change, RenameColumn):
                    self._rename_column(plan, change)
                    plan = TablePlan(self.catalogue, found)
                else:
                    self._apply(plan, change, alone=len(changes) == 1)
            finish(plan)
            for change in changes:
                if isinstance(change, AddColumn):
                    self._create_indexes(found, change)

    def _create_indexes(self, table: TableName, change: AddColumn) -> None:
        """Those that the new column was declared with (`index=True`)."""
        for index in change.column.table.indexes:
            if index.name is None or self._find("index", TableName(table.schema, index.name)):
                raise ObjectExists("index", str(index.name), table=str(table))
            create_index(
                self.connection,
                index.name,
                str(table),
                [change.column.name],
                unique=bool(index.unique),
                where=index.dialect_options["sqlite"]["where"],
            )

    def _apply(self, plan: TablePlan, change: Change, *, alone: bool) -> None:
        if isinstance(change, DropColumn):
            let_go_of_column(plan, change)
        pristine = plan.definition.text == plan.before.text
        apply(plan, change)
        if alone and pristine and not self._broken_before:
            plan.native = native_alter(plan, change)

    def _rename_column(self, plan: TablePlan, change: RenameColumn) -> None:
        old = plan.column(change.old).name
        if change.new == old:
            return
        self._require_name(change.new)
        if plan.definition.has_column(change.new) and folded(change.new) != folded(old):
            raise ObjectExists("column", change.new, table=str(plan.table))
        readers = content_users(self.catalogue, plan.table, old)
        refuse(f"column {plan.table}.{old}", readers, "it would look for the column in vain")
        with setting(self.catalogue, "legacy_alter_table", 0), self._tolerating():
            statement = f"ALTER TABLE {plan.name} RENAME COLUMN {quoted(old)} TO {quoted(change.new)}"
            self.catalogue.run(statement)

    def rename_table(self, table: TableName, new: str) -> None:
        """Rename a table; indexes, triggers, views and foreign keys follow."""
        with self._changing(table):
            found = self.catalogue.resolve(table)
            name = found.name
            if new == name:
                return
            self._require_name(new)
            if folded(new) != folded(found.name):
                self.require_free(found.schema, new)
            readers = content_users(self.catalogue, found)
            refuse(f"table {table}", readers, "it would look for its content in vain")
            with setting(self.catalogue, "legacy_alter_table", 0), self._tolerating():
                if folded(new) == folded(found.name):
                    # SQLite finds the name taken, by the table itself.
                    between = scratch_name("renamed")
                    self.catalogue.run(f"ALTER TABLE {_sql(found)} RENAME TO {quoted(between)}")
                    found = TableName(found.schema, between)
                self.catalogue.run(f"ALTER TABLE {_sql(found)} RENAME TO {quoted(new)}")
            self._rename_statistics(found.schema or "main", name, new)

    def _rename_statistics(self, schema: str, old: str, new: str) -> None:
        """SQLite's own RENAME leaves what ANALYZE found under the old name."""
        for entry in self.catalogue.entries(schema, "type = 'table' AND name IN ('sqlite_stat1', 'sqlite_stat4')"):
            statistics, prefix = f"{quoted(schema)}.{entry.name}", f"sqlite_autoindex_{old}_"
            self.catalogue.run(
                f"UPDATE {statistics} SET idx = 'sqlite_autoindex_' || ? || substr(idx, ?)"
                " WHERE tbl = ? AND substr(idx, 1, ?) = ?",
                (new, len(prefix), old, len(prefix), prefix),
            )
            self.catalogue.run(f"UPDATE {statistics} SET tbl = ? WHERE tbl = ?", (new, old))

    def drop_table(self, table: TableName, *, cascade: bool = False) -> None:
        """
        Drop a table, and no row of another.

        Args:
            cascade: Drop the foreign keys of other tables to it before it; their rows stay.
        """
        with self._changing(table):
            entry = self.catalogue.droppable(table)
            found = TableName(entry.schema, entry.name)
            if not self.catalogue.is_virtual(entry):
                let_go_of_table(self.catalogue, found, cascade=cascade)
            self.catalogue.run(f"DROP TABLE {_sql(found)}")

    def drop_index(self, index: str, table: TableName | None = None, schema: str | None = None) -> None:
        """Drop an index; one that serves a constraint goes with that alone."""
        with self._changing(TableName(schema, index)):
            entry = self._require("index", TableName(schema or (table.schema if table else None), index))
            if entry.sql is None:
                raise WrongObject(
                    f"The index {index} belongs to a constraint of {entry.table}; nothing was changed.",
                    table=entry.table,
                    hint=f"Drop the constraint: drop_constraint({entry.table!r}, kind=..., columns=[...]).",
                )
            if table is not None and folded(entry.table) != folded(table.name):
                raise NoSuchObject("index", index, self._names("index", entry.schema, table.name), table=str(table))
            owner = TableName(entry.schema, entry.table)
            with keeping_references(self.catalogue, owner, without=f"index {index}"):
                self.catalogue.run(f"DROP INDEX {quoted(entry.schema)}.{quoted(entry.name)}")

    def create_view(self, name: TableName, query: str) -> None:
        """Create a view of a query."""
        with self._changing(name):
            self._require_name(name.name)
            self.require_free(name.schema, name.name)
            _require_one(query, name)
            self.catalogue.run(f"CREATE VIEW {_sql(name)} AS {query}")

    def drop_view(self, name: TableName) -> None:
        """Drop a view that no other view and no trigger of another table uses."""
        with self._changing(name):
            entry = self._require("view", name)
            self.catalogue.run(f"DROP VIEW {quoted(entry.schema)}.{quoted(entry.name)}")

    def has_trigger(self, name: str) -> bool:
        """Whether there is such a trigger."""
        return self._find("trigger", table_name(name)) is not None

    def create_trigger(self, name: str, definition: str) -> None:
        """
        Create a trigger.

        Args:
            definition: The whole CREATE TRIGGER, or what follows the name in it.
        """
        called = table_name(name)
        with self._changing(called):
            self._require_name(called.name)
            if self._find("trigger", called):
                raise ObjectExists("trigger", name)
            _require_one(definition, called)
            whole = definition.lstrip().upper().startswith("CREATE")
            self.catalogue.run(definition if whole else f"CREATE TRIGGER {_sql(called)} {definition}")
            self._require("trigger", called)

    def drop_trigger(self, name: str, table: TableName | None = None) -> None:
        """Drop a trigger."""
        called = table_name(name)
        with self._changing(called):
            entry = self._require("trigger", called)
            self.catalogue.run(f"DROP TRIGGER {quoted(entry.schema)}.{quoted(entry.name)}")

    # Around every change

    @contextmanager
    def _changing(self, table: TableName) -> Iterator[None]:
        """All or nothing; no view and no trigger is left broken that was not broken before."""
        with atomic(self.connection):
            self._require_journal(table)
            before = broken(self.catalogue)
            self._broken_before = bool(before)
            try:
                yield
            except DatabaseError as error:
                said = driver_error(error)
                if said is None or primary_code(said) not in _REFUSALS:
                    raise
                raise UnsupportedChange(
                    f"SQLite does not take the change of {table}: {error.orig}; nothing was changed.",
                    table=str(table),
                    hint=_hint(str(error.orig)),
                ) from error
            lost = {what: error for what, error in broken(self.catalogue).items() if what not in before}
            if lost:
                raise ObjectInUse(
                    f"The change of {table} would break what reads or writes it; nothing was changed.",
                    [f"{what} ({error})" for what, error in lost.items()],
                    table=str(table),
                    hint="Drop these first, and create them again afterwards as they are to be.",
                )

    def _require_journal(self, table: TableName) -> None:
        """Without a journal nothing can be undone, neither a trial nor what was refused."""
        for schema in self.catalogue.schemas():
            if self.catalogue.value(f"PRAGMA {quoted(schema)}.journal_mode") == "off":
                raise UnsupportedChange(
                    f"{table} cannot be changed while journal_mode is OFF ({schema}); nothing was changed.",
                    table=str(table),
                    facts="SQLite can undo nothing then, and a failure would leave the database corrupt",
                    hint="PRAGMA journal_mode = DELETE (or WAL), and again.",
                )

    @contextmanager
    def _tolerating(self) -> Iterator[None]:
        """Have ALTER pass over views and triggers that were broken before."""
        with setting(self.catalogue, "writable_schema", int(self._broken_before)):
            yield

    # Names

    def _find(self, kind: str, name: TableName) -> Entry | None:
        for schema in self.catalogue.search_path(name.schema):
            found = self.catalogue.entries(schema, "type = ? AND name = ? COLLATE NOCASE", (kind, name.name))
            if found:
                return found[0]
        return None

    def _require(self, kind: str, name: TableName) -> Entry:
        entry = self._find(kind, name)
        if entry is None:
            other = self._find("table", name)
            if kind == "view" and other is not None:
                raise WrongObject(f"{name} is a table and no view; nothing was changed.", table=str(name))
            raise NoSuchObject(kind, name.name, self._names(kind, name.schema))
        return entry

    def _names(self, kind: str, schema: str | None, table: str | None = None) -> list[str]:
        entries = [e for one in self.catalogue.search_path(schema) for e in self.catalogue.entries(one)]
        return [e.name for e in entries if e.kind == kind and e.sql and table in (None, e.table)]

    def _require_name(self, name: str) -> None:
        if not name or "\0" in name or name.lower().startswith("sqlite_"):
            raise UnsupportedChange(
                f"{name!r} can be no name here; nothing was changed.",
                facts="SQLite keeps what begins with sqlite_ to itself" if name else "it is empty",
                hint="Take another name.",
            )

    def require_free(self, schema: str | None, name: str) -> None:
        """
        Refuse a name that a table, a view or an index has.

        Raises:
            ObjectExists: It is taken.
        """
        for entry in self.catalogue.entries(schema or "main", "name = ? COLLATE NOCASE", (name,)):
            if entry.kind != "trigger":
                raise ObjectExists(entry.kind, entry.name, hint="Take another name, or drop that one first.")


def _require_one(sql: str, name: TableName) -> None:
    if len(split_statements(f"CREATE TRIGGER {sql}" if "BEGIN" in sql.upper() else sql)) != 1:
        raise UnsupportedChange(f"What {name} is to be made of is more than one statement; nothing was changed.")


def _hint(error: str) -> str:
    if "locked" in error:
        return "A query on this connection has not been read to its end: fetch all of its rows first."
    if "no such function" in error or "no such collation" in error:
        return "Register it on this connection, as the application does on its own."
    return ""


def _expanded(changes: Sequence[Change]) -> Iterator[Change]:
    """A column's own UNIQUE comes after it: its index can be made when the column is there."""
    for change in changes:
        yield change
        if isinstance(change, AddColumn):
            for constraint in change.column.table.constraints:
                if isinstance(constraint, UniqueConstraint):
                    name = str(constraint.name) if constraint.name else None
                    yield AddUnique(name, [column.name for column in constraint.columns])


def _sql(table: TableName) -> str:
    names = [table.schema, table.name] if table.schema else [table.name]
    return ".".join(quoted(name) for name in names if name)
