"""
Alembic's rebuild of a table in SQLite, without the DROP TABLE that deletes the rows which refer to it.

Alembic makes the new table beside the old one, drops the old one and renames the new. Under `foreign_keys=ON` the
DROP is a DELETE first, with all that hangs on it. Here the two exchange their names in `sqlite_schema`, and what is
dropped is a table that nothing refers to.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sqlmig import UnsupportedChange
from sqlmig.schema.changes import TableName
from sqlmig.schema.sqlite.catalogue import Catalogue, Entry
from sqlmig.schema.sqlite.edits import rename_table
from sqlmig.schema.sqlite.reader import DefinitionError, parse
from sqlmig.schema.sqlite.rewrite import can_edit, edit_schema, update
from sqlmig.schema.sqlite.tokens import quoted
from sqlmig.schema.watched import watcher_of

if TYPE_CHECKING:
    from alembic.runtime.migration import MigrationContext
    from sqlalchemy import Table

__all__ = ["in_migrations", "keep_child_rows"]


def in_migrations(context: MigrationContext) -> None:
    """Have `self.op` do so in sqlmig's own migrations, which finds this by its entry point."""
    keep_child_rows(context, lambda: None)


def keep_child_rows(context: MigrationContext, turn_off: Callable[[], None]) -> None:
    """
    Have the batch operations of *context* exchange tables where foreign keys are enforced.

    Args:
        turn_off: Called where a copy breaks a foreign key on its way: it can only be made without them.
    """
    if context.dialect.name == "sqlite" and not context.as_sql:
        _Rebuild(context, turn_off)


class _Rebuild:
    def __init__(self, context: MigrationContext, turn_off: Callable[[], None]) -> None:
        self._turn_off = turn_off
        impl: Any = context.impl
        self._context, self._pending, self._old = context, "", ""
        self._prepare, self._create = impl.prep_table_for_batch, impl.create_table
        self._drop, self._rename = impl.drop_table, impl.rename_table
        impl.prep_table_for_batch, impl.create_table = self.prepare, self.create
        impl.drop_table, impl.rename_table = self.drop, self.rename

    def prepare(self, batch: Any, table: Table) -> None:
        """Alembic begins to rebuild *table*."""
        self._pending = ""
        if self._context.connection is not None:
            catalogue = Catalogue(self._context.connection)
            self._old = str(batch.table.name)
            temporary = "SELECT count(*) FROM sqlite_temp_master WHERE name = ? COLLATE NOCASE"
            is_temporary = catalogue.value(temporary, (self._old,))
            if catalogue.value("PRAGMA foreign_keys") and can_edit(catalogue) and not is_temporary:
                self._pending = str(batch.temp_table_name)
        self._prepare(batch, table)

    def create(self, table: Table, **options: Any) -> None:
        """Create a table; where it is the new one of a rebuild and fails, the rebuild is over."""
        try:
            self._create(table, **options)
        except BaseException:
            self._pending = ""
            raise

    def drop(self, table: Table, **options: Any) -> None:
        """Drop a table, but the old one of a rebuild only in `rename`."""
        if str(table.name) == self._pending:
            self._pending = ""
            if "foreign key" in str(sys.exc_info()[1]).lower():
                # The copy failed: another table is still to be rebuilt, or a row was in conflict before.
                self._turn_off()
        if not self._pending or str(table.name) != self._old:
            self._drop(table, **options)

    def rename(self, old: str, new: str, schema: str | None = None) -> None:
        """Rename a table; in a rebuild, exchange the two and drop the old one."""
        if (str(old), str(new)) != (self._pending, self._old):
            self._rename(old, new, schema=schema)
            return
        self._pending = ""
        connection = self._context.connection
        assert connection is not None
        with watcher_of(connection).replacing(TableName(schema, str(new)), str(old)):
            _exchange(Catalogue(connection), schema or "main", str(old), str(new))


def _exchange(catalogue: Catalogue, schema: str, spare: str, name: str) -> None:
    entries = catalogue.entries(schema)
    of_old = [entry for entry in entries if entry.table.lower() == name.lower()]
    of_new = [entry for entry in entries if entry.table.lower() == spare.lower()]
    for entry in of_old:
        if entry.kind == "trigger" or (entry.kind == "index" and entry.sql is not None):
            catalogue.run(f"DROP {entry.kind} {quoted(schema)}.{quoted(entry.name)}")
    stays = [entry for entry in of_old if entry.kind == "table" or entry.sql is None]
    updates = [_renamed(entry, spare) for entry in stays if entry.kind != "trigger"]
    updates += [_renamed(entry, name) for entry in of_new]
    edit_schema(catalogue, schema, updates)
    if any(entry.name == "sqlite_sequence" for entry in entries):
        sequence = f"{quoted(schema)}.sqlite_sequence"
        catalogue.run(f"DELETE FROM {sequence} WHERE name = ?", (name,))
        catalogue.run(f"UPDATE {sequence} SET name = ? WHERE name = ?", (name, spare))
    for statistics in ("sqlite_stat1", "sqlite_stat4"):
        if any(entry.name == statistics for entry in entries):
            catalogue.run(f"DELETE FROM {quoted(schema)}.{statistics} WHERE tbl = ?", (name,))
    catalogue.run(f"DROP TABLE {quoted(schema)}.{quoted(spare)}")


def _renamed(entry: Entry, name: str) -> Any:
    if entry.kind != "table":
        number = entry.name.rpartition("_")[2]
        return update(entry, name=f"sqlite_autoindex_{name}_{number}", tbl_name=name)
    try:
        text = rename_table(parse(entry.sql or ""), name).text
    except DefinitionError as error:
        raise UnsupportedChange(
            f"The definition of {entry.name} cannot be read, so it cannot be rebuilt under foreign_keys=ON.",
            table=entry.name,
            facts=str(error),
            hint="Say PRAGMA foreign_keys=OFF at the beginning of the revision.",
        ) from error
    return update(entry, name=name, tbl_name=name, sql=text)
