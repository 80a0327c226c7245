"""Sample rows for a schema that nobody described: two for each empty table, the same on every run."""

import re
import sqlite3
from collections.abc import Iterator, Mapping
from typing import Any

from .catalogue import OURS, quoted

ROWS = (1, 2)


def seed(
    connection: sqlite3.Connection, values: Mapping[str, Any], leave: tuple[str, ...] = (), sparse: bool = True
) -> int:
    """
    Insert rows into the empty tables, parents first, and tell how many.

    The first row of a table has a value in every column, the second, when *sparse*, only where it must. *values*
    ("table.column", or "*.column" for all tables) says what the column's type does not; *leave* names the tables that
    stay empty. A row that the table refuses is left out.
    """
    connection.execute("PRAGMA foreign_keys = ON")
    inserted = 0
    for table, sql in _parents_first(connection):
        if table in leave or connection.execute(f"SELECT EXISTS (SELECT 1 FROM {quoted(table)})").fetchone()[0]:
            continue
        for number in ROWS:
            row = dict(_row(connection, table, sql, number, values, sparse and number != ROWS[0]))
            inserted += _insert(connection, table, row)
    connection.commit()
    return inserted


def _insert(connection: sqlite3.Connection, table: str, row: Mapping[str, Any]) -> int:
    if not row:
        return 0
    names, marks = ", ".join(map(quoted, row)), ", ".join("?" * len(row))
    try:
        connection.execute(f"INSERT INTO {quoted(table)} ({names}) VALUES ({marks})", list(row.values()))
    except sqlite3.Error:
        return 0
    return 1


def _row(
    connection: sqlite3.Connection, table: str, sql: str, number: int, values: Mapping[str, Any], sparse: bool
) -> Iterator[tuple[str, Any]]:
    parents = _parents(connection, table)
    columns = connection.execute(f"PRAGMA table_xinfo({quoted(table)})").fetchall()
    for _, name, kind, notnull, default, pk, hidden in columns:
        if hidden:
            continue
        given = values.get(f"{table}.{name}", values.get(f"*.{name}"))
        if given is not None:
            yield name, given[number - 1] if isinstance(given, tuple | list) else given
        elif name in parents:
            yield name, _of_parent(connection, *parents[name], number)
        elif not sparse or notnull or pk or default not in (None, "NULL"):  # a default may be the time
            yield name, _allowed(sql, name, number) or _value(name, kind.upper(), number)


def _of_parent(connection: sqlite3.Connection, table: str, column: str | None, number: int) -> Any:
    try:
        found = connection.execute(f"SELECT {quoted(column or 'id')} FROM {quoted(table)} ORDER BY 1").fetchall()
    except sqlite3.OperationalError:
        return None
    return found[min(number, len(found)) - 1][0] if found else None


def _parents(connection: sqlite3.Connection, table: str) -> dict[str, tuple[str, str | None]]:
    return {row[3]: (row[2], row[4]) for row in connection.execute(f"PRAGMA foreign_key_list({quoted(table)})")}


def _parents_first(connection: sqlite3.Connection) -> Iterator[tuple[str, str]]:
    found = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table' ORDER BY name").fetchall()
    left = {name: sql for name, sql in found if not _is_kept_for_tools(name, sql)}
    while left:
        free = [n for n in left if not any(p in left and p != n for p, _ in _parents(connection, n).values())]
        for name in free or list(left):
            yield name, left.pop(name)


def _is_kept_for_tools(name: str, sql: str) -> bool:
    return name in OURS or name.startswith(("sqlite_", "alembic_version")) or "VIRTUAL TABLE" in sql.upper()


def _allowed(sql: str, column: str, number: int) -> str | None:
    """Give one of the values that a CHECK of the table names for *column*."""
    match = re.search(rf"\b{re.escape(column)}\"?\s+IN\s*\(([^)]*)\)", sql, re.IGNORECASE)
    choices = re.findall(r"'((?:[^']|'')*)'", match.group(1)) if match else []
    return choices[(number - 1) % len(choices)] if choices else None


def _value(name: str, kind: str, number: int) -> Any:
    if "BOOL" in kind:
        return number % 2
    if any(word in kind for word in ("DATETIME", "TIMESTAMP")):
        return f"2024-01-0{number} 00:00:00.000000"
    if "DATE" in kind:
        return f"2024-01-0{number}"
    if "JSON" in kind:
        return "{}"
    if "INT" in kind:
        return number
    if any(word in kind for word in ("FLOAT", "REAL", "DOUBLE", "NUMERIC", "DECIMAL")):
        return number + 0.5
    if any(word in kind for word in ("BLOB", "BINARY")):
        return bytes([number])
    length = re.search(r"\((\d+)\)", kind)
    if "UUID" in kind or kind in ("CHAR(32)", "CHAR(36)"):
        text = f"{number:032x}"
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}" if "36" in kind else text
    return f"{number}-{name}"[: int(length.group(1))] if length else f"{number}-{name}"
