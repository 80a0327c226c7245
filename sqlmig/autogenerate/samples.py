"""A row for each table, so that a migration is tried on tables that hold something."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import Column, Enum, Table
from sqlalchemy.engine import Connection
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.types import TypeEngine

from ..connection import atomic
from .item_source import target_of

__all__ = ["add_rows"]

_VALUES: dict[type, Any] = {
    int: 1,
    float: 1.0,
    str: "1",
    bytes: b"1",
    bool: True,
    Decimal: Decimal(1),
    datetime: datetime(2000, 1, 1, tzinfo=UTC).replace(tzinfo=None),
    date: date(2000, 1, 1),
    time: time(1, 1),
    timedelta: timedelta(1),
    UUID: UUID(int=1),
}


def add_rows(connection: Connection, tables: Iterable[Table]) -> list[str]:
    """
    Insert one row into each table that takes one; the names of these.

    All keys are 1, so that every reference finds its row; one to a table without rows is left NULL.
    """
    filled: list[str] = []
    waiting = list(tables)
    while True:
        left = []
        for table in waiting:
            if _fill(connection, table, {name.lower() for name in (*filled, table.fullname)}):
                filled.append(table.fullname)
            else:
                left.append(table)
        if len(left) == len(waiting):
            return filled
        # What they refer to may be there now.
        waiting = left


def _fill(connection: Connection, table: Table, filled: Collection[str]) -> bool:
    """Whether the table has taken a row: of all columns, else of those that need a value."""
    unknown = {
        column.name
        for key in table.foreign_key_constraints
        if target_of(key)[0].lower() not in filled
        for column in key.columns
    }
    rows = (_row(table, unknown, full=full) for full in (True, False))
    return any(row is not None and _insert(connection, table, row) for row in rows)


def _insert(connection: Connection, table: Table, row: dict[str, Any]) -> bool:
    try:
        with atomic(connection):
            connection.execute(table.insert().values(row))
    except (SQLAlchemyError, TypeError, ValueError, NotImplementedError):
        return False
    return True


def _row(table: Table, unknown: Collection[str], *, full: bool) -> dict[str, Any] | None:
    """None where a column needs a value that there is none for."""
    row: dict[str, Any] = {}
    for column in table.columns:
        needed = not column.nullable and column.server_default is None
        if column.computed is not None or column.identity is not None or not (full or needed):
            continue
        if column.name in unknown:
            if needed:
                return None
            continue
        row[column.key] = _value(column)
    return row


def _value(column: Column[Any]) -> Any:
    kind: TypeEngine[Any] = column.type
    if isinstance(kind, Enum) and kind.enums:
        return kind.enums[0]
    try:
        return _VALUES.get(kind.python_type, "1")
    except NotImplementedError:
        return "1"
