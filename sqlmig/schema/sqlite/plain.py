"""
A rebuild by plain statements, for connections that let no stored definition be edited.

`SQLITE_DBCONFIG_DEFENSIVE` is what forbids it (https://sqlite.org/c3ref/c_dbconfig_defensive.html).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ...errors import UnsupportedChange
from ..changes import TableName
from . import edits
from .catalogue import Catalogue, Entry, scratch_name
from .definition import folded
from .programs import schema_of
from .rewrite import setting
from .rows import copy_rows
from .tokens import quoted

if TYPE_CHECKING:
    from .plan import TablePlan

__all__ = ["rebuild_plainly"]


def rebuild_plainly(plan: TablePlan) -> None:
    """
    Put a new table in the place of the old one, and make its indexes and triggers anew.

    Raises:
        UnsupportedChange: Child rows would be deleted, or a CHECK calls the table by its name.
    """
    catalogue, schema = plan.catalogue, plan.table.schema or "main"
    copy = TableName(schema, scratch_name("copy"))
    renamed = edits.rename_table(plan.definition, copy.name)
    if renamed.text.count(copy.name) > 1:
        raise _defensive(plan, "a CHECK calls the table by its name, and could not be renamed with it")
    made = [entry for entry in catalogue.all_entries() if _belongs(plan, entry)]
    with _foreign_keys_off(plan):
        target = f"{quoted(schema)}.{quoted(copy.name)}"
        catalogue.run(edits.replace(renamed.text, (*renamed.name_span, target)))
        copy_rows(plan, renamed, target)
        plan.ask(late=True, table=target)
        kept = _kept_rows(catalogue, schema, plan.table.name)
        catalogue.run(f"DROP TABLE {plan.name}")
        with setting(catalogue, "legacy_alter_table", 1):
            catalogue.run(f"ALTER TABLE {target} RENAME TO {quoted(plan.table.name)}")
        for entry in made:
            catalogue.run(_created(entry))
        _restore_rows(catalogue, schema, plan.table.name, kept)


def _belongs(plan: TablePlan, entry: Entry) -> bool:
    if entry.kind not in ("index", "trigger") or entry.sql is None or folded(entry.table) != folded(plan.table.name):
        return False
    # A trigger keeps the spelling of its own statement, and one of temp may be over a table of any schema.
    place = schema_of(plan.catalogue, entry) if entry.kind == "trigger" else entry.schema
    return place == (plan.table.schema or "main")


def _created(entry: Entry) -> str:
    """The statement that makes it in its own schema: the stored one names none."""
    words = {"index": "INDEX", "trigger": "TRIGGER"}[entry.kind]
    head, _, rest = (entry.sql or "").partition(words)
    if entry.schema == "temp" and entry.kind == "trigger":
        return f"CREATE TEMP TRIGGER{rest}"
    at = len(rest) - len(rest.lstrip())
    return f"{head}{words}{rest[:at]}{quoted(entry.schema)}.{rest[at:]}"


def _kept_rows(catalogue: Catalogue, schema: str, table: str) -> list[tuple[str, str, list[Any]]]:
    """What SQLite's own tables hold of a table: its counter, and what ANALYZE found."""
    columns = {"sqlite_sequence": "name", "sqlite_stat1": "tbl", "sqlite_stat4": "tbl"}
    found = catalogue.entries(schema, "type = 'table' AND name LIKE 'sqlite\\_%' ESCAPE '\\'")
    return [
        (entry.name, column, catalogue.run(f"SELECT * FROM {quoted(schema)}.{entry.name} WHERE {column} = ?", (table,)))
        for entry in found
        if (column := columns.get(entry.name))
    ]


def _restore_rows(catalogue: Catalogue, schema: str, table: str, kept: list[tuple[str, str, list[Any]]]) -> None:
    for name, column, rows in kept:
        catalogue.run(f"DELETE FROM {quoted(schema)}.{name} WHERE {column} = ?", (table,))
        for row in rows:
            marks = ", ".join("?" * len(row))
            catalogue.run(f"INSERT INTO {quoted(schema)}.{name} VALUES ({marks})", tuple(row))


@contextmanager
def _foreign_keys_off(plan: TablePlan) -> Iterator[None]:
    """
    DROP TABLE would delete the rows first. The PRAGMA is ignored in a transaction; the setting behind it is not.
    """
    catalogue = plan.catalogue
    if not catalogue.value("PRAGMA foreign_keys") or not catalogue.foreign_keys_to(plan.table):
        yield
        return
    raw: Any = catalogue.connection.connection.dbapi_connection
    if not hasattr(raw, "setconfig"):
        raise _defensive(plan, "foreign_keys is on, and rows of other tables could be deleted with the old table")
    raw.setconfig(sqlite3.SQLITE_DBCONFIG_ENABLE_FKEY, False)  # type: ignore[attr-defined, unused-ignore]
    try:
        yield
    finally:
        raw.setconfig(sqlite3.SQLITE_DBCONFIG_ENABLE_FKEY, True)  # type: ignore[attr-defined, unused-ignore]


def _defensive(plan: TablePlan, why: str) -> UnsupportedChange:
    return UnsupportedChange(
        f"{plan.table} cannot be changed on this connection; nothing was changed.",
        table=str(plan.table),
        facts=f"it is in defensive mode, which forbids to edit the stored definition; and {why}",
        hint="Migrate over a connection without SQLITE_DBCONFIG_DEFENSIVE.",
    )
