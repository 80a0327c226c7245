"""
Into SQLite: what comes from SQLite stays as it is, value by value with its storage class.

What comes from elsewhere is written as SQLAlchemy would write it: times as texts with six digits, UUIDs as texts, and
truth as 1 and 0. Where the declared type would turn a value into another storage class, it has that from the start.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from itertools import repeat
from marshal import dumps
from typing import Any

from ..backends.sqlite import ask, pragma, quoted
from .kinds import Kind, Same, Unfit
from .shapes import Column, Table, sqlite_tables
from .source import fetched
from .spans import FromSpan
from .target import Digest, Job, Target, Write, dangling
from .texts import Json, Uuid
from .times import Date, Time, Timestamp

__all__ = ["SQLiteTarget"]

_MOMENTS = ("timestamp", "timestamptz", "datetime")
# The last form that is the same whether or not a text is interned, and to which values refer only once.
_FORM = 2
_COUNTS = re.compile(r"\bAUTOINCREMENT\b", re.IGNORECASE)
_CONTENTLESS = re.compile(r"\bcontent\s*=\s*(''|\"\")", re.IGNORECASE)


class SQLiteTarget(Target):
    """The main schema of a SQLite database."""

    def tables(self) -> list[Table]:
        return sqlite_tables(self.raw)

    def quote(self, name: str) -> str:
        return quoted(name)

    def kind(self, column: Column, source: Column, dialect: str) -> Kind:
        if dialect == "sqlite":
            return Same("anything")
        if source.type in _MOMENTS:
            return _Padded(Timestamp(6, zoned=False))
        if source.type == "interval" and column.type in _MOMENTS:
            return FromSpan(_Padded(Timestamp(6, zoned=False)))
        if source.type == "time":
            return _Padded(Time(6))
        if source.type == "date":
            return Date()
        if source.type == "uuid":
            return _Hex() if column.length == 32 and "char" in column.type else Uuid()
        return _Stored(_affinity(column.type), source.type in ("json", "jsonb", "jsontext", "jsonarray"))

    def drops(self) -> list[str]:
        order = "CASE type WHEN 'view' THEN 0 WHEN 'trigger' THEN 1 ELSE 2 END, sql NOT LIKE 'CREATE VIRTUAL%'"
        sql = f"SELECT type, name FROM main.sqlite_master WHERE type IN ('view', 'table') ORDER BY {order}, name"
        known = {table.name for table in self.tables()}
        return [
            f"DROP {kind.upper()} IF EXISTS main.{quoted(name)}"
            for kind, name in ask(self.raw, sql)
            if kind == "view" or (name in known and name.lower() not in self.own)
        ]

    def clear(self) -> None:
        # Dropped under `foreign_keys`, a parent would be looked through for children; inside of one it cannot be set.
        before = pragma(self.raw, "foreign_keys")
        self.run("PRAGMA foreign_keys = OFF")
        try:
            with self.session.transaction():
                super().clear()
        finally:
            self.run(f"PRAGMA foreign_keys = {before}")

    def prepare(self, jobs: Sequence[Job]) -> None:
        self.run("PRAGMA defer_foreign_keys = ON")
        found = ask(self.raw, "SELECT name, sql, tbl_name FROM main.sqlite_master WHERE type = 'trigger'")
        self._triggers = [(name, sql) for name, sql, table in found if table.lower() not in self.own]
        for name, _ in self._triggers:
            self.run(f"DROP TRIGGER main.{quoted(name)}")
        for job in reversed(jobs):
            self.run(f"DELETE FROM main.{quoted(job.target.name)}")

    @contextmanager
    def writing(self, job: Job) -> Iterator[Write]:
        written = job.written
        whole = written == list(range(len(job.pairs)))
        listed = ", ".join(quoted(job.pairs[index].target.name) for index in written)
        marks = ", ".join("?" * len(written))
        sql = f"INSERT INTO main.{quoted(job.target.name)} ({listed}) VALUES ({marks})"
        cursor = self.raw.cursor()

        def write(rows: list[Any], columns: list[Sequence[Any]] | None) -> Sequence[Any]:
            if columns is not None:
                rows = list(zip(*columns, strict=True))
            cursor.executemany(sql, rows if whole else [tuple(row[index] for index in written) for row in rows])
            return _forms(rows)

        try:
            yield write
        finally:
            cursor.close()

    def read_back(self, job: Job, size: int) -> Digest:
        digest = Digest()
        # As expressions, of which no `detect_types` makes anything else.
        listed = ", ".join(f"+{quoted(pair.target.name)} AS c" for pair in job.pairs)
        cursor = self.raw.cursor()
        cursor.row_factory = None
        try:
            cursor.execute(f"SELECT {listed} FROM main.{quoted(job.target.name)}")
            for rows in fetched(cursor, size):
                digest.add(_forms(rows))
        finally:
            cursor.close()
        return digest

    def finish(
        self, jobs: Sequence[Job], last_numbers: Mapping[str, int | None], positions: Mapping[str, int | None]
    ) -> None:
        self._fill_derived()
        for _, sql in self._triggers:
            self.run(sql)
        self._count_on(jobs, last_numbers)
        if pragma(self.raw, "foreign_keys"):
            broken = ask(self.raw, "PRAGMA foreign_key_check")
            if broken:
                table, rowid, parent, _ = broken[0]
                more = f"{len(broken):,} row" + ("" if len(broken) == 1 else "s")
                raise dangling(table, parent, more, f", for example that with rowid {rowid}")

    def _fill_derived(self) -> None:
        """Have full-text indexes of other tables read them; what else is virtual is somebody else's to fill."""
        for table in self.tables():
            if not table.derived:
                continue
            text = ask(self.raw, "SELECT sql FROM main.sqlite_master WHERE name = ?", (table.name,))[0][0]
            if not (table.module or "").startswith("fts"):
                self.warnings.append(f"the virtual table {table.name} ({table.module}) was not filled")
            elif _CONTENTLESS.search(text):
                self.warnings.append(f"the full-text index {table.name} keeps no content, and was not filled")
            else:
                self.run(f"INSERT INTO main.{quoted(table.name)} ({quoted(table.name)}) VALUES ('rebuild')")

    def _count_on(self, jobs: Sequence[Job], last_numbers: Mapping[str, int | None]) -> None:
        """AUTOINCREMENT goes on after the highest number that there ever was, also of rows that are gone."""
        for job in jobs:
            name, last = job.target.name, last_numbers.get(job.target.name)
            sql = ask(self.raw, "SELECT sql FROM main.sqlite_master WHERE type = 'table' AND name = ?", (name,))[0][0]
            if last is None or not _COUNTS.search(sql or ""):
                continue
            there = ask(self.raw, "SELECT seq FROM main.sqlite_sequence WHERE name = ?", (name,))
            change = "UPDATE main.sqlite_sequence SET seq = max(coalesce(seq, 0), ?) WHERE name = ?"
            sql = change if there else "INSERT INTO main.sqlite_sequence (seq, name) VALUES (?, ?)"
            self.raw.cursor().execute(sql, (last, name))


def _forms(rows: Sequence[Any]) -> list[bytes]:
    try:
        return list(map(dumps, rows, repeat(_FORM)))
    except ValueError:
        # Rows of a class of the application's own.
        return [dumps(tuple(row), _FORM) for row in rows]


def _affinity(declared: str) -> str:
    """
    What SQLite makes of a declared type.

    Source: https://sqlite.org/datatype3.html#determination_of_column_affinity
    """
    word = declared.upper()
    if "INT" in word:
        return "integer"
    if any(part in word for part in ("CHAR", "CLOB", "TEXT")):
        return "text"
    if "BLOB" in word or not word:
        return "blob"
    return "real" if any(part in word for part in ("REAL", "FLOA", "DOUB")) else "numeric"


class _Padded(Kind):
    """Times with six digits, as SQLAlchemy writes them on SQLite, of UTC."""

    def __init__(self, kind: Kind) -> None:
        self._kind, self.name = kind, kind.name

    def convert(self, values: Sequence[Any]) -> Sequence[Any]:
        made = self._kind.convert(values)
        return [None if text is None else f"{text}.000000" if "." not in text else _six(text) for text in made]

    def one(self, value: Any) -> Any:
        return self.convert([value])[0]


def _six(text: str) -> str:
    whole, _, fraction = text.partition(".")
    return f"{whole}.{fraction:0<6}"


class _Hex(Kind):
    """UUIDs without dashes, as SQLAlchemy writes them on SQLite."""

    name = "UUIDs"

    def one(self, value: Any) -> Any:
        return Uuid().one(value).replace("-", "")


class _Stored(Kind):
    """A value in the storage class in which a column keeps it."""

    def __init__(self, affinity: str, is_json: bool) -> None:
        self._affinity, self._json = affinity, is_json
        self.name = f"values with the affinity {affinity}"
        usual: set[type] = {int} if affinity in ("blob", "integer", "numeric") else set()
        self.takes = frozenset(usual | {bytes} | (set() if is_json else {str}))

    def fit(self, values: Sequence[Any]) -> bool:
        return all(-(2**63) <= value < 2**63 for value in values if isinstance(value, int))

    def one(self, value: Any) -> Any:
        if isinstance(value, int) and not -(2**63) <= value < 2**63:
            raise self.refuse(value, "; it has more than the eight bytes that SQLite keeps")
        if self._json and isinstance(value, str) and self._affinity in ("integer", "real", "numeric"):
            return self._one_json(value)
        if isinstance(value, bool):
            value = int(value)
        if isinstance(value, Decimal):
            if self._affinity in ("text", "blob"):
                return format(value, "f")
            value = self._one_decimal(value)
        if isinstance(value, int) and self._affinity == "real":
            if float(value) != value:
                raise self.refuse(value, ", which would round it")
            value = float(value)
        if isinstance(value, float):
            if value != value:
                raise self.refuse(value, "; SQLite has no NaN")
            # SQLite knows no negative zero.
            value += 0.0
            if self._affinity in ("integer", "numeric") and value.is_integer() and abs(value) < 2**53:
                return int(value)
        return value

    def _one_decimal(self, value: Decimal) -> int | float:
        if not value.is_finite():
            raise self.refuse(value, "; SQLite has no such number")
        if value == value.to_integral_value() and self._affinity != "real" and abs(value) < 2**63:
            return int(value)
        number = float(value)
        if Decimal(repr(number)) != value:
            raise self.refuse(value, " of up to 15 digits, which would round it")
        return number

    def _one_json(self, value: str) -> Any:
        """A JSON text that is a number becomes a number there."""
        try:
            Json(parsed=False).one(value)
        except Unfit:
            return value
        text = value.strip()
        if not text or text[0] not in "-0123456789":
            return value
        number = Decimal(text)
        return self.one(number) if number.is_finite() else value
