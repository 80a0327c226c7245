"""What a MariaDB or MySQL database holds, asked over the connection of a migration."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from ...backends.raw import ask_any, backticked
from ...results import Loss

__all__ = ["Key", "MySQLCensus", "held_by", "quoted"]

# Each by itself: joined, the second would be read for the whole server.
_TABLES = """
SELECT table_name FROM information_schema.tables
WHERE table_schema = {schema} AND table_type IN ('BASE TABLE', 'SYSTEM VERSIONED')"""
_COLUMNS = """
SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = {schema}
ORDER BY table_name, ordinal_position"""
_KEYS = """
SELECT k.table_name, k.column_name, k.referenced_table_name, r.delete_rule, r.update_rule
FROM information_schema.key_column_usage k JOIN information_schema.referential_constraints r
    ON r.constraint_schema = k.constraint_schema AND r.constraint_name = k.constraint_name
    AND r.table_name = k.table_name
WHERE k.table_schema = DATABASE() AND k.referenced_table_name IS NOT NULL"""
_TRIGGERS = """
SELECT event_object_table, action_statement FROM information_schema.triggers WHERE event_object_schema = DATABASE()"""
_TYPE = """
SELECT column_type, character_set_name, collation_name FROM information_schema.columns
WHERE table_schema = {schema} AND table_name = {table} AND column_name = {column}"""
_TRIAL = "`sqlmig_trial`"


class Key(NamedTuple):
    """A foreign key: the table and the column that have it, what it refers to, and what becomes of its rows."""

    table: str
    column: str
    refers_to: str
    cascades: bool
    sets_null: bool


class MySQLCensus:
    """
    Counts and facts of one connection, unseen by SQLAlchemy's events.

    Args:
        lift: Called before each, so that no limit for a migration's statements holds for it.

    Attributes:
        spent: Seconds that its statements have taken.
    """

    def __init__(self, raw: Any, lift: Callable[[], object] | None = None) -> None:
        self._raw, self._lift = raw, lift
        self.spent = 0.0

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """What a statement gives."""
        began = time.perf_counter()
        if self._lift is not None:
            self._lift()
        try:
            return ask_any(self._raw, sql)
        finally:
            self.spent += time.perf_counter() - began

    def tables(self, schema: str | None = None) -> dict[str, list[str]]:
        """The tables of the connection's database, or of another, with their columns."""
        place = "DATABASE()" if schema is None else _text(schema)
        found: dict[str, list[str]] = {table: [] for (table,) in self.rows(_TABLES.format(schema=place))}
        for table, column in self.rows(_COLUMNS.format(schema=place)):
            if table in found:
                found[table].append(column)
        return found

    def keys(self) -> list[Key]:
        """The foreign keys by which a statement on one table writes rows of another."""
        return [
            Key(table, column, other, "CASCADE" in on_delete, "SET NULL" in (on_delete, on_update))
            for table, column, other, on_delete, on_update in self.rows(_KEYS)
            if "CASCADE" in (on_delete, on_update) or "SET NULL" in (on_delete, on_update)
        ]

    def triggers(self) -> list[tuple[str, str]]:
        """The tables that have triggers, and what these do."""
        return [(table, _as_text(body)) for table, body in self.rows(_TRIGGERS)]

    def ansi(self) -> bool:
        """Whether double quotes stand around names."""
        return "ANSI_QUOTES" in str(self.rows("SELECT @@sql_mode")[0][0])

    def has_column(self, table: str, column: str) -> bool:
        """Whether a table has a column of that name."""
        return bool(self.rows(_type_query(table, column)))

    def count(self, table: str, column: str | None = None, partitions: Sequence[str] = ()) -> int:
        """How many rows a table, or some partitions of it, has, or how many values, other than NULL, a column holds."""
        what = "*" if column is None else quoted(column)
        part = f" PARTITION ({', '.join(map(quoted, partitions))})" if partitions else ""
        return int(self.rows(f"SELECT count({what}) FROM {quoted(table)}{part}")[0][0])

    def count_if_there(self, table: str, column: str | None = None, partitions: Sequence[str] = ()) -> int:
        """The same; 0 where the server cannot count it, and will not carry out what was to be done to it either."""
        with suppress(Exception):
            return self.count(table, column, partitions)
        return 0

    def changed_by(self, table: str, column: str, type_: str) -> tuple[int, int]:
        """
        How many values of a column become NULL under another type, and how many are others there and back again.

        It is tried out on a temporary table, which commits nothing.
        """
        found = self.rows(_type_query(table, column))
        if not found or _is_wider(str(found[0][0]), type_):
            return 0, 0
        was, charset, collation = (None if value is None else _as_text(value) for value in found[0])
        before = f"{was} CHARACTER SET {charset} COLLATE {collation}" if charset else was
        name, made = quoted(column), False
        try:
            self.rows(f"CREATE TEMPORARY TABLE {_TRIAL} (was {before}, now {type_} NULL, back {before})")
            made = True
            there = f"SELECT {name}, {name} FROM {quoted(table)} WHERE {name} IS NOT NULL"
            self.rows(f"INSERT IGNORE INTO {_TRIAL} (was, now) {there}")
            self.rows(f"UPDATE IGNORE {_TRIAL} SET back = now")
            others = "now IS NOT NULL AND NOT (CAST(back AS BINARY) <=> CAST(was AS BINARY))"
            nulls, cut = self.rows(f"SELECT sum(now IS NULL), sum({others}) FROM {_TRIAL}")[0]
            return int(nulls or 0), int(cut or 0)
        except Exception:
            # A type that cannot be tried by itself: the ALTER tells what it thinks of the values.
            return 0, 0
        finally:
            if made:
                self.rows(f"DROP TEMPORARY TABLE IF EXISTS {_TRIAL}")


def held_by(raw: Any, name: str) -> Loss | None:
    """The rows of a table, or the values of a column, of that name; None where it is there no more."""
    census, (place, _, last) = MySQLCensus(raw), name.rpartition(".")
    with suppress(Exception):
        return Loss(kind="table", name=name, count=census.count(name))
    if not place or not census.has_column(place, last):
        return None
    return Loss(kind="column", name=name, count=census.count(place, last))


def quoted(name: str) -> str:
    """A name as SQL; a dot stands between those of a database and of a table."""
    return ".".join(map(backticked, name.split(".", 1)))


def _is_wider(was: str, now: str) -> bool:
    """Whether nothing can change: the same type, or a longer text."""
    before, after = (" ".join(text.lower().split()).replace(" (", "(") for text in (was, now))
    lengths = [text[8:-1] if text.startswith("varchar(") else "" for text in (before, after)]
    return before == after or (all(map(str.isdigit, lengths)) and int(lengths[1]) >= int(lengths[0]))


def _type_query(table: str, column: str) -> str:
    schema, _, name = table.rpartition(".")
    place = _text(schema) if schema else "DATABASE()"
    return _TYPE.format(schema=place, table=_text(name), column=_text(column))


def _text(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"


def _as_text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
