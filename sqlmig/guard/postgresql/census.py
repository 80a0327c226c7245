"""What a PostgreSQL database holds, and what its transaction did, asked over the connection of a migration."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

from ...backends.raw import ask_any
from ...backends.sqlite import quoted
from ...results import Loss

__all__ = ["ServerCensus", "Table", "held_by"]

_LOCKED = "SELECT relation FROM pg_locks WHERE pid = pg_backend_pid() AND mode = 'AccessExclusiveLock'"
_CATALOGUE = f"""
SELECT c.oid, CASE WHEN pg_table_is_visible(c.oid) THEN c.relname ELSE n.nspname || '.' || c.relname END,
    format('%I.%I', n.nspname, c.relname), coalesce(pg_partition_root(c.oid)::oid, c.oid), pg_relation_filenode(c.oid),
    c.oid IN ({_LOCKED}), a.attnum, a.attname, a.attnotnull
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't'
    AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%'
ORDER BY c.oid, a.attnum"""
_DELETED = """
SELECT coalesce(pg_partition_root(relid)::oid, relid), sum(n_tup_del)::bigint
FROM pg_stat_xact_user_tables WHERE n_tup_del > 0 GROUP BY 1"""
_STIRRED = """
SELECT coalesce(sum(n_tup_del) FILTER (WHERE schemaname NOT LIKE 'pg\\_%'), 0),
    coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del) FILTER (WHERE relname IN ('pg_class', 'pg_attribute')), 0)
FROM pg_stat_xact_all_tables"""
_SET_BY_KEYS = """
WITH RECURSIVE reached (oid) AS (
    SELECT {oid}::oid
    UNION SELECT conrelid FROM pg_constraint JOIN reached ON confrelid = reached.oid
    WHERE contype = 'f' AND confdeltype = 'c'
)
SELECT DISTINCT k.conrelid, k.conrelid::regclass::text, a.attname
FROM pg_constraint k JOIN reached ON k.confrelid = reached.oid
JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = ANY (k.conkey)
WHERE k.contype = 'f' AND (k.confdeltype IN ('n', 'd') OR k.confupdtype IN ('n', 'd')) AND NOT a.attnotnull"""


class Table(NamedTuple):
    """
    A table as the catalogue has it: its name for people and for statements, its file, its columns by number.

    Attributes:
        root: The partitioned table that it is a part of; else itself.
        ours: Whether this transaction has it for itself, as what it has made; what others make meanwhile is theirs.
        required: The columns that hold no NULL.
    """

    name: str
    sql: str
    root: int
    file: int | None
    ours: bool
    columns: dict[int, str]
    required: set[str]

    def number_of(self, column: str) -> int | None:
        """Of a column of that name."""
        return next((number for number, name in self.columns.items() if name == column), None)


class ServerCensus:
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

    def value(self, sql: str) -> Any:
        """The first value of the first row; None where there is none."""
        return next(iter(self.rows(sql)), (None,))[0]

    @contextmanager
    def undone_again(self) -> Iterator[Any]:
        """A cursor in a savepoint that is rolled back at the end."""
        if self._lift is not None:
            # Within the savepoint, it would be undone with it.
            self._lift()
        cursor = self._raw.cursor()
        cursor.execute("SAVEPOINT sqlmig_trial")
        try:
            yield cursor
        finally:
            cursor.execute("ROLLBACK TO SAVEPOINT sqlmig_trial")
            cursor.execute("RELEASE SAVEPOINT sqlmig_trial")
            cursor.close()

    # Tables

    def tables(self) -> dict[int, Table]:
        """All that are not temporary, by number."""
        found: dict[int, Table] = {}
        for oid, name, sql, root, file, ours, number, column, required in self.rows(_CATALOGUE):
            table = found.setdefault(oid, Table(name, sql, root, file, bool(ours), {}, set()))
            if number is not None:
                table.columns[number] = column
            if required:
                table.required.add(column)
        return found

    def locked(self) -> set[int]:
        """The tables that this transaction has for itself, those that it has dropped included."""
        return {oid for (oid,) in self.rows(_LOCKED)}

    def oid(self, name: str) -> int | None:
        """The number of the table that a name means, as it stands in a statement; None where there is none."""
        found: int | None = self.value(f"SELECT to_regclass({_text(name)})::oid")
        return found

    def root(self, oid: int) -> int:
        """The partitioned table that a table is a part of; else itself."""
        return int(self.value(f"SELECT coalesce(pg_partition_root({oid})::oid, {oid}::oid)"))

    def is_part(self, oid: int) -> bool:
        """Whether it is a partition, or has some."""
        return bool(self.rows(f"SELECT 1 FROM pg_inherits WHERE inhrelid = {oid} OR inhparent = {oid}"))

    def set_by_keys(self, oid: int) -> list[tuple[int, str, str]]:
        """The columns that foreign keys set when rows of a table go: the table's number, its name, the column."""
        return [(child, name, column) for child, name, column in self.rows(_SET_BY_KEYS.format(oid=oid))]

    def has_column(self, oid: int, column: str) -> bool:
        """Whether a table has a column of that name."""
        return bool(self.rows(f"SELECT 1 FROM pg_attribute WHERE {_column(oid, column)} AND NOT attisdropped"))

    # What they hold

    def count(self, table: str, column: str | None = None) -> int:
        """How many rows a table has, or how many values, other than NULL, a column holds."""
        return int(self.value(f"SELECT count({'*' if column is None else quoted(column)}) FROM {table}"))

    def filled(self, table: Table, columns: Collection[str] | None = None) -> tuple[int, dict[str, int]]:
        """How many rows it has, and how many values *columns* hold, by default each: one pass."""
        asked = table.columns.values() if columns is None else columns
        # A column that may hold no NULL needs no counting, which is what a wide table costs.
        names = [name for name in asked if name not in table.required]
        counted = ", ".join(["count(*)", *(f"count({quoted(name)})" for name in names)])
        rows, *values = self.rows(f"SELECT {counted} FROM {table.sql}")[0]
        return rows, dict.fromkeys(asked, rows) | dict(zip(names, values, strict=True))

    def cut_off(self, oid: int, table: Table, column: str, type_: str, made: str | None) -> int:
        """How many values are others after a cast to a type, or by the expression *made*, and back."""
        name = quoted(column)
        before = self.value(f"SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE {_column(oid, column)}")
        back = f"(({made or name})::{type_})::{before}::text IS DISTINCT FROM {name}::text"
        # There may be no way back from a type to the other.
        with suppress(Exception), self.undone_again():
            return int(self.value(f"SELECT count(*) FROM {table.sql} WHERE {name} IS NOT NULL AND {back}"))
        return 0

    # What the transaction did

    def deleted(self) -> Counter[int]:
        """How many rows were deleted of each table, by whomever, those that were undone included."""
        return Counter(dict(self.rows(_DELETED)))

    def stirred(self) -> tuple[Any, ...]:
        """Numbers that change when rows are deleted or the schema is changed."""
        return self.rows(_STIRRED)[0]


def held_by(raw: Any, name: str) -> Loss | None:
    """The rows of a table, or the values of a column, of that name; None where it is there no more."""
    census, parts = ServerCensus(raw), name.split(".")
    # A name of three parts is that of a column; PostgreSQL would take the first for a database.
    if len(parts) < 3 and census.oid(_joined(parts)) is not None:
        return Loss(kind="table", name=name, count=census.count(_joined(parts)))
    table, column = _joined(parts[:-1]), parts[-1]
    oid = census.oid(table) if table else None
    if oid is None or not census.has_column(oid, column):
        return None
    return Loss(kind="column", name=name, count=census.count(table, column))


def _joined(parts: Sequence[str]) -> str:
    return ".".join(map(quoted, parts))


def _column(oid: int, name: str) -> str:
    return f"attrelid = {oid} AND attname = {_text(name)}"


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
