"""
Into MariaDB and MySQL: rows go in statements of many rows, and are summed up by the server to be compared.

Triggers cannot be switched off there, and dropping one commits. So the definitions of all are kept in the mark of the
copy before they are dropped, and are made again when the rows have been committed; until the mark is gone nothing
takes the database for whole.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import md5
from typing import Any

from ..backends.raw import ask_any, backticked
from ..errors import CopyError
from .kinds import Kind, Same
from .numbers import Bits, Float, Integer, Numeric
from .shapes import Column, Table, mysql_tables
from .source import fetched, streaming
from .spans import FromSpan
from .target import Digest, Job, Target, Write, dangling
from .texts import Bytes, Json, Text, Uuid
from .times import Date, Time, Timestamp

__all__ = ["MySQLTarget"]

_WIDTHS = {"tinyint": 8, "smallint": 16, "mediumint": 24, "int": 32, "bigint": 64}
_TEXTS = ("char", "varchar", "tinytext", "text", "mediumtext", "longtext", "jsontext", "enum", "set")
_BINARIES = ("binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob")
_MODE = "STRICT_ALL_TABLES,STRICT_TRANS_TABLES,NO_AUTO_VALUE_ON_ZERO,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION"
_NULL = "\\N"
_MOST = 1_000_000
"""Bytes of a statement; more would be no quicker."""


class MySQLTarget(Target):
    """One database of a MariaDB or MySQL server."""

    def tables(self) -> list[Table]:
        return mysql_tables(self.raw)

    def quote(self, name: str) -> str:
        return backticked(name)

    def kind(self, column: Column, source: Column, dialect: str) -> Kind:
        word, unsigned = column.type.removesuffix(" unsigned"), column.type.endswith(" unsigned")
        if word in _WIDTHS:
            width = _WIDTHS[word]
            return Integer(0, (1 << width) - 1) if unsigned else Integer(-(1 << width - 1), (1 << width - 1) - 1)
        if word in ("float", "double"):
            return Float(single=word == "float", finite=True)
        if word == "decimal":
            return Numeric(column.precision, column.scale)
        if word in ("char", "varchar", "enum", "set"):
            return Text(column.length, hexed=source.type == "uuid" and column.length == 32)
        if word == "jsontext":
            return Json(parsed=False)
        if word in _TEXTS:
            return Text(octets=column.length)
        if word in _BINARIES:
            return Bytes(column.length)
        if dialect in ("mysql", "mariadb"):
            return Same(word)
        precision = column.precision or 0
        if source.type == "interval" and word == "datetime":
            return FromSpan(Timestamp(precision))
        known: dict[str, Kind] = {
            "json": Json(parsed=True),
            "date": Date(),
            "time": Time(precision),
            "datetime": Timestamp(precision),
            "timestamp": Timestamp(precision),
            "year": Integer(0, 2155),
            "bit": Bits(column.precision or 1),
            "uuid": Uuid(),
        }
        return known.get(word) or Text()

    def drops(self) -> list[str]:
        here = "WHERE table_schema = DATABASE() ORDER BY table_type = 'BASE TABLE', table_name"
        relations = ask_any(self.raw, f"SELECT table_name, table_type FROM information_schema.tables {here}")
        words = {"VIEW": "VIEW", "SEQUENCE": "SEQUENCE"}
        found = [
            f"DROP {words.get(kind, 'TABLE')} IF EXISTS {backticked(name)}"
            for name, kind in relations
            if name.lower() not in self.own
        ]
        routines = ask_any(
            self.raw,
            "SELECT routine_type, routine_name FROM information_schema.routines WHERE routine_schema = DATABASE()"
            " AND routine_type IN ('PROCEDURE', 'FUNCTION')",
        )
        events = ask_any(self.raw, "SELECT event_name FROM information_schema.events WHERE event_schema = DATABASE()")
        found += [f"DROP {kind} IF EXISTS {backticked(name)}" for kind, name in routines]
        return found + [f"DROP EVENT IF EXISTS {backticked(name)}" for (name,) in events]

    def clear(self) -> None:
        before = ask_any(self.raw, "SELECT @@foreign_key_checks")[0][0]
        self.run("SET foreign_key_checks = 0")
        try:
            super().clear()
        finally:
            self.run(f"SET foreign_key_checks = {before}")

    # Triggers

    def hold_back(self, jobs: Sequence[Job]) -> Mapping[str, Any]:
        tables = {job.target.name for job in jobs}
        found = ask_any(
            self.raw,
            "SELECT trigger_name, event_object_table FROM information_schema.triggers"
            " WHERE trigger_schema = DATABASE() ORDER BY event_object_table, action_timing, action_order",
        )
        held = []
        for name, table in found:
            if table in tables:
                row = ask_any(self.raw, f"SHOW CREATE TRIGGER {backticked(name)}")[0]
                held.append({"name": name, "sql_mode": row[1], "statement": row[2]})
        return {"triggers": held} if held else {}

    def take_away(self, held: Mapping[str, Any]) -> None:
        for trigger in held.get("triggers", ()):
            self.run(f"DROP TRIGGER IF EXISTS {backticked(trigger['name'])}")

    def give_back(self, held: Mapping[str, Any]) -> None:
        there = {
            row[0]
            for row in ask_any(
                self.raw, "SELECT trigger_name FROM information_schema.triggers WHERE trigger_schema = DATABASE()"
            )
        }
        before = ask_any(self.raw, "SELECT @@sql_mode")[0][0]
        try:
            for trigger in held.get("triggers", ()):
                if trigger["name"] not in there:
                    # A trigger runs under the mode that it was made in.
                    self.run(f"SET sql_mode = '{trigger['sql_mode']}'")
                    self.run(trigger["statement"])
        finally:
            self.run(f"SET sql_mode = '{before}'")

    def count_on(self, job: Job, last: int | None) -> None:
        """What a table has given out by itself is known to it from its rows; only more than that is to be told."""
        found = ask_any(
            self.raw,
            "SELECT column_name FROM information_schema.columns WHERE table_schema = DATABASE()"
            f" AND table_name = {_literal(job.target.name)} AND extra LIKE '%auto_increment%'",
        )
        if not found or last is None:
            return
        name = backticked(job.target.name)
        highest = ask_any(self.raw, f"SELECT max({backticked(found[0][0])}) FROM {name}")[0][0] or 0
        if last > highest:
            self.run(f"ALTER TABLE {name} AUTO_INCREMENT = {last + 1}")

    # Rows

    def prepare(self, jobs: Sequence[Job]) -> None:
        self.run("SET NAMES utf8mb4")
        self.run(f"SET sql_mode = '{_MODE}', foreign_key_checks = 0, time_zone = '+00:00', sql_safe_updates = 0")
        for job in reversed(jobs):
            self.run(f"DELETE FROM {backticked(job.target.name)}")

    @contextmanager
    def writing(self, job: Job) -> Iterator[Write]:
        written = job.written
        literals = [_literals_of(job.pairs[index].target.type) for index in written]
        checks = [_forms_of(pair.target) for pair in job.pairs]
        listed = ", ".join(backticked(job.pairs[index].target.name) for index in written)
        begin = f"INSERT INTO {backticked(job.target.name)} ({listed}) VALUES ("
        packet = int(ask_any(self.raw, "SELECT @@max_allowed_packet")[0][0])
        cursor = self.raw.cursor()

        def write(rows: list[Any], columns: list[Sequence[Any]] | None) -> Sequence[Any]:
            columns = columns if columns is not None else list(zip(*rows, strict=True))
            fields = [made(columns[index]) for made, index in zip(literals, written, strict=True)]
            for statement in _statements(begin, list(map(",".join, zip(*fields, strict=True))), packet):
                cursor.execute(statement)
            forms = [_with(values, check, _NULL) for check, values in zip(checks, columns, strict=True)]
            return "\n".join(map("\t".join, zip(*forms, strict=True))).encode().split(b"\n")

        try:
            yield write
        finally:
            cursor.close()

    def digest(self, job: Job) -> Digest:
        return Digest(_md5_sum) if _summed(job) else Digest()

    def read_back(self, job: Job, size: int) -> Digest:
        digest = self.digest(job)
        line = ", ".join(f"IFNULL({_check(pair.target)}, '\\\\N')" for pair in job.pairs)
        line = f"CAST(CONCAT_WS('\\t', {line}) AS BINARY)"
        table = backticked(job.target.name)
        if _summed(job):
            strong = "CAST(CONV(LEFT(MD5(l), 12), 16, 10) AS UNSIGNED)"
            sql = f"SELECT COUNT(*), SUM(CRC32(l)), SUM({strong}) FROM (SELECT {line} AS l FROM {table}) AS listed"
            rows, crc, total = ask_any(self.raw, sql)[0]
            digest.add_sums(int(rows), int(crc or 0), int(total or 0))
            return digest
        return self._read_all(job, size, digest)

    def _read_all(self, job: Job, size: int, digest: Digest) -> Digest:
        """Numbers that the server rounds as it writes them, and JSON that it orders, are compared here."""
        listed = ", ".join(_check(pair.target) for pair in job.pairs)
        forms = [_read_form(pair.target) for pair in job.pairs]
        sql = f"SELECT {listed} FROM {backticked(job.target.name)}"
        with streaming(self.session.connection) as cursor:
            cursor.execute(sql)
            for rows in fetched(cursor, size):
                read = zip(forms, zip(*rows, strict=True), strict=True)
                columns = [_with(values, made, _NULL) for made, values in read]
                digest.add([line.encode() for line in map("\t".join, zip(*columns, strict=True))])
        return digest

    def finish(
        self, jobs: Sequence[Job], last_numbers: Mapping[str, int | None], positions: Mapping[str, int | None]
    ) -> None:
        for job in jobs:
            for reference in job.target.references:
                child, parent = backticked(job.target.name), backticked(reference.parent)
                pairs = list(zip(reference.columns, reference.parent_columns, strict=True))
                on = " AND ".join(f"p.{backticked(theirs)} = c.{backticked(own)}" for own, theirs in pairs)
                given = " AND ".join(f"c.{backticked(own)} IS NOT NULL" for own, _ in pairs)
                sql = f"SELECT count(*) FROM {child} c LEFT JOIN {parent} p ON {on}"
                sql += f" WHERE {given} AND p.{backticked(pairs[0][1])} IS NULL"
                count = int(ask_any(self.raw, sql)[0][0])
                if count:
                    more = f"{count:,} row" + ("" if count == 1 else "s")
                    raise dangling(job.target.name, reference.parent, more, f", by {', '.join(reference.columns)}")
        self.run("SET foreign_key_checks = 1")
        here = "table_schema = DATABASE() AND table_type = 'SEQUENCE'"
        for (name,) in ask_any(self.raw, f"SELECT table_name FROM information_schema.tables WHERE {here}"):
            last = positions.get(name.lower())
            # One that is there already it leaves alone.
            if last is not None:
                ask_any(self.raw, f"SELECT SETVAL({backticked(name)}, {last})")


def _statements(begin: str, rows: list[str], packet: int) -> Iterator[bytes]:
    """Statements of as many rows as the server takes at a time."""
    limit = min(_MOST, packet // 2)
    whole = "),(".join(rows).encode()
    if len(whole) <= limit:
        yield begin.encode() + whole + b")"
    elif len(rows) > 1:
        middle = len(rows) // 2
        yield from _statements(begin, rows[:middle], packet)
        yield from _statements(begin, rows[middle:], packet)
    elif len(whole) + len(begin) + 64 < packet:
        yield begin.encode() + whole + b")"
    else:
        raise CopyError(
            f"A row is too large for the server: it takes {len(whole):,} bytes as a statement.",
            f"max_allowed_packet is {packet:,} bytes; what had been begun was undone",
            "Raise it on the server, then copy again: SET GLOBAL max_allowed_packet = 1073741824",
        )


def _literal(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'").replace("\0", "\\0") + "'"


def _with(values: Sequence[Any], made: Callable[[Sequence[Any]], Sequence[str]], null: str) -> Sequence[str]:
    """*made* of those that are not None."""
    if None not in values:
        return made(values)
    rest = iter(made([value for value in values if value is not None]))
    return [null if value is None else next(rest) for value in values]


# How values are written


def _literals_of(word: str) -> Callable[[Sequence[Any]], Sequence[str]]:
    word = word.removesuffix(" unsigned")
    made = _plain if word in (*_WIDTHS, "decimal", "bit", "year") else _texts
    if word in ("float", "double"):
        made = _floats
    elif word in _BINARIES:
        made = _binaries
    return lambda values: _with(values, made, "NULL")


def _plain(values: Sequence[Any]) -> Sequence[str]:
    return list(map(str, values))


def _floats(values: Sequence[Any]) -> Sequence[str]:
    # With an exponent a number is read as a floating-point one, and exactly.
    return [f"{value!r}e0" if "e" not in repr(value) else repr(value) for value in values]


def _binaries(values: Sequence[Any]) -> Sequence[str]:
    return [f"x'{value.hex()}'" for value in values]


def _texts(values: Sequence[Any]) -> Sequence[str]:
    joined = "".join(values)
    if "'" in joined or "\\" in joined or "\0" in joined:
        return list(map(_literal, values))
    return [f"'{value}'" for value in values]


# How they are compared


def _summed(job: Job) -> bool:
    """Whether the server writes each column as Python does."""
    return not any(pair.target.type.removesuffix(" unsigned") in ("float", "double", "json") for pair in job.pairs)


def _check(column: Column) -> str:
    name, word = backticked(column.name), column.type.removesuffix(" unsigned")
    if word in _BINARIES:
        return f"HEX({name})"
    if word in ("float", "double"):
        return f"({name} + 0e0)"
    if word == "bit":
        return f"CAST({name} + 0 AS CHAR)"
    if word in ("time", "datetime", "timestamp") and column.precision:
        return f"TRIM(TRAILING '.' FROM TRIM(TRAILING '0' FROM CAST({name} AS CHAR)))"
    if word in _TEXTS:
        text = f"CAST(CONVERT({name} USING utf8mb4) AS BINARY)"
        for found, written in (("\\\\", "\\\\\\\\"), ("\\t", "\\\\t"), ("\\n", "\\\\n")):
            text = f"REPLACE({text}, '{found}', '{written}')"
        return text
    return f"CAST({name} AS CHAR)"


def _forms_of(column: Column) -> Callable[[Sequence[Any]], Sequence[str]]:
    word = column.type.removesuffix(" unsigned")
    if word in ("time", "datetime", "timestamp") and column.precision:
        return lambda values: [value.rstrip("0").rstrip(".") if "." in value else value for value in values]
    if word in _BINARIES:
        return lambda values: [value.hex().upper() for value in values]
    if word in ("float", "double"):
        return lambda values: [struct.pack(">d", value + 0.0).hex() for value in values]
    if word == "json":
        return lambda values: [Json.canonical(value) for value in values]
    return _escaped if word in _TEXTS else _plain


def _read_form(column: Column) -> Callable[[Sequence[Any]], Sequence[str]]:
    if column.type.removesuffix(" unsigned") in ("float", "double", "json"):
        return _forms_of(column)
    return lambda values: [value.decode() if isinstance(value, bytes) else str(value) for value in values]


def _escaped(values: Sequence[Any]) -> Sequence[str]:
    joined = "".join(values)
    for found, written in (("\\", "\\\\"), ("\t", "\\t"), ("\n", "\\n")):
        if found in joined:
            values = [value.replace(found, written) for value in values]
    return values


def _md5_sum(forms: Iterable[bytes]) -> int:
    """What the server's sum over MD5 is, of the same lines."""
    return sum(int(md5(form, usedforsecurity=False).hexdigest()[:12], 16) for form in forms)
