"""
Rows that are shorter than their table: written before ADD COLUMN, they read the column's default from the schema.

Editing that default would change their values, and no check of SQLite's would see it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from . import edits
from .definition import ColumnDefinition, TableDefinition, folded
from .rewrite import can_edit, edit_schema, update
from .sql import is_constant
from .tokens import quoted

if TYPE_CHECKING:
    from ..changes import TableName
    from .catalogue import Catalogue

__all__ = ["short_rows"]


def short_rows(catalogue: Catalogue, table: TableName, definition: TableDefinition, column: str) -> bool:
    """
    Whether any row is too short to hold a column.

    The definition may prove that none is, or the schema, if nothing in it was ever altered. Otherwise the column gets
    a default for a moment that is nobody's value, and a row that reads it is short: one scan of the table.
    """
    if not can_edit(catalogue):
        return True
    if _proved_by_definition(catalogue, definition, column):
        return False
    name = f"{quoted(table.schema or 'main')}.{quoted(table.name)}"
    marker = f"x'{os.urandom(16).hex()}'"
    source = f"{name} NOT INDEXED"
    if _was_never_altered(catalogue, table.schema or "main"):
        # INSERT ... SELECT from a like table of another file takes short rows along: the oldest are looked at.
        source = f"(SELECT {quoted(column)} AS {quoted(column)} FROM {name} NOT INDEXED LIMIT 1000)"
    marked = edits.set_default(definition, column, marker)
    with catalogue.undone():
        edit_schema(catalogue, table.schema or "main", [update(catalogue.stored(table), sql=marked.text)])
        return bool(catalogue.run(f"SELECT 1 FROM {source} WHERE {quoted(column)} IS {marker} LIMIT 1"))


def _was_never_altered(catalogue: Catalogue, schema: str) -> bool:
    """
    Whether every change of the schema was the making of something that is there still.

    Each statement that changes the schema adds one to its version, VACUUM as well. The layout of the definition would
    prove nothing: INSERT ... SELECT between like tables copies records as they are, short ones too.
    """
    # Those that SQLite makes along with a table count with it.
    made = "sql IS NOT NULL AND name <> 'sqlite_sequence'"
    version = catalogue.value(f"PRAGMA {quoted(schema)}.schema_version")
    return bool(version == len(catalogue.entries(schema, made)) and not _trims_nulls(catalogue))


def _trims_nulls(catalogue: Catalogue) -> bool:
    """A build with SQLITE_ENABLE_NULL_TRIM also leaves out what is NULL at the end of a record."""
    return any(row[0] == "ENABLE_NULL_TRIM" for row in catalogue.run("PRAGMA compile_options"))


def _proved_by_definition(catalogue: Catalogue, definition: TableDefinition, column: str) -> bool:
    """Whether the column, or one behind it, cannot have come by ADD COLUMN."""
    rank = next(i for i, c in enumerate(definition.columns) if folded(c.name) == folded(column))
    proofs = (_proves(definition, found) for found in definition.columns[rank:])
    return (rank == 0 or any(proofs)) and not _trims_nulls(catalogue)


def _proves(definition: TableDefinition, column: ColumnDefinition) -> bool:
    key = definition.primary_key
    if key is not None and folded(column.name) in map(folded, key.columns):
        return True
    return column.stored if column.generated else _has_no_constant_default(definition, column)


def _has_no_constant_default(definition: TableDefinition, column: ColumnDefinition) -> bool:
    """ADD COLUMN refuses an expression, and NOT NULL without a value; a short row would have been NULL there."""
    default = column.of_kind("default")
    body = definition.body_of(default) if default else "NULL"
    return not is_constant(body) or (body.upper() == "NULL" and column.of_kind("not_null") is not None)
