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

    The definition may prove that none is. Otherwise the column gets a default for a moment that is nobody's value,
    and a row that reads it is short.
    """
    if not can_edit(catalogue):
        return True
    name = f"{quoted(table.schema or 'main')}.{quoted(table.name)}"
    marker = f"x'{os.urandom(16).hex()}'"
    source = f"{name} NOT INDEXED"
    if _is_original(catalogue, definition, column):
        # The oldest rows are looked at all the same: somebody may have edited the definition by hand.
        source = f"(SELECT {quoted(column)} AS {quoted(column)} FROM {name} NOT INDEXED LIMIT 1000)"
    marked = edits.set_default(definition, column, marker)
    with catalogue.undone():
        edit_schema(catalogue, table.schema or "main", [update(catalogue.stored(table), sql=marked.text)])
        return bool(catalogue.run(f"SELECT 1 FROM {source} WHERE {quoted(column)} IS {marker} LIMIT 1"))


def _is_original(catalogue: Catalogue, definition: TableDefinition, column: str) -> bool:
    """
    Whether the column, or one behind it, cannot have come by ADD COLUMN.

    A build with SQLITE_ENABLE_NULL_TRIM also leaves out what is NULL at the end of a record.
    """
    if any(row[0] == "ENABLE_NULL_TRIM" for row in catalogue.run("PRAGMA compile_options")):
        return False
    rank = next(i for i, c in enumerate(definition.columns) if folded(c.name) == folded(column))
    return rank == 0 or any(_proves(definition, i) for i in range(rank, len(definition.columns)))


def _proves(definition: TableDefinition, rank: int) -> bool:
    column = definition.columns[rank]
    key = definition.primary_key
    if key is not None and folded(column.name) in map(folded, key.columns):
        return True
    if column.generated:
        return column.stored
    return _has_no_constant_default(definition, column) or not _is_appended(definition, rank)


def _has_no_constant_default(definition: TableDefinition, column: ColumnDefinition) -> bool:
    """ADD COLUMN refuses an expression, and NOT NULL without a value; a short row would have been NULL there."""
    default = column.of_kind("default")
    body = definition.body_of(default) if default else "NULL"
    return not is_constant(body) or (body.upper() == "NULL" and column.of_kind("not_null") is not None)


def _is_appended(definition: TableDefinition, rank: int) -> bool:
    """Whether it stands as ADD COLUMN writes it: right behind a comma and one space, whatever is before them."""
    start = definition.columns[rank].start
    return definition.text[definition.columns[rank - 1].end : start].endswith(", ")
