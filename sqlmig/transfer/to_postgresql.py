"""
Into PostgreSQL: rows go through COPY, and come back through it, in the same lines.

References are dropped in the transaction and made again at its end, which checks all rows at once: it is quicker than
a check for each row, knows no order, and needs no superuser, as `session_replication_role` would.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import islice
from typing import Any

from ..backends.raw import ask_any
from ..backends.sqlite import quoted
from ..errors import CopyError, UnsupportedDatabase
from .kinds import Kind, Same
from .numbers import Boolean, Float, Integer, Numeric
from .sequences import count_on
from .shapes import Column, Table, postgresql_elsewhere, postgresql_tables
from .snapshot import PG_FORM
from .source import next_size
from .spans import ToSpan
from .target import Digest, Job, Target, Write, escaped
from .texts import Bytes, Json, Text, Uuid
from .times import Date, Time, Timestamp

__all__ = ["PostgreSQLTarget"]

_NULL = "\\N"
_LARGE = 1e15
_FLOATS = ("float4", "float8")
_HERE = "current_schema()::regnamespace"
_FOREIGN = """NOT EXISTS (
    SELECT FROM pg_depend e WHERE e.classid = '{}'::regclass AND e.objid = {}.oid AND e.deptype = 'e')"""
_REFERENCES = f"""
SELECT k.conrelid::regclass::text, quote_ident(k.conname), pg_get_constraintdef(k.oid),
    obj_description(k.oid, 'pg_constraint'), k.conrelid::regclass::text, k.confrelid::regclass::text
FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_class p ON p.oid = k.confrelid
WHERE k.contype = 'f' AND k.conparentid = 0
    AND (c.relnamespace = {_HERE} OR p.relnamespace = {_HERE})"""
_TRIGGERS = f"""
SELECT t.tgrelid::regclass::text, quote_ident(t.tgname), t.tgenabled
FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
WHERE NOT t.tgisinternal AND t.tgparentid = 0 AND t.tgenabled <> 'D'
    AND EXISTS (SELECT FROM pg_class r WHERE r.oid = coalesce(pg_partition_root(c.oid), c.oid)
        AND r.relname = ANY ({{}}) AND r.relnamespace = {_HERE})"""
_VIEWS = f"""
SELECT c.oid::regclass::text FROM pg_class c
WHERE c.relkind = 'm' AND c.relispopulated AND c.relnamespace = {_HERE} ORDER BY c.oid"""
_RELATIONS = {
    "v": "VIEW",
    "m": "MATERIALIZED VIEW",
    "r": "TABLE",
    "p": "TABLE",
    "f": "FOREIGN TABLE",
    "S": "SEQUENCE",
}
_ENABLE = {"O": "ENABLE", "A": "ENABLE ALWAYS", "R": "ENABLE REPLICA"}
_INTEGERS = {"int2": 15, "int4": 31, "int8": 63}
# A text of these means the same however it is written, and the server writes it in its own way.
_TEXTS = {"text", "varchar", "name", "citext"}


class PostgreSQLTarget(Target):
    """One schema of a PostgreSQL database."""

    def tables(self) -> list[Table]:
        return postgresql_tables(self.raw)

    def elsewhere(self) -> set[str]:
        return {f"{schema}.{name}" for schema, name in postgresql_elsewhere(self.raw)}

    def quote(self, name: str) -> str:
        return quoted(name)

    def kind(self, column: Column, source: Column, dialect: str) -> Kind:
        word = column.type
        if column.labels:
            return Text(nul=False)
        if word in _INTEGERS:
            return Integer(-(1 << _INTEGERS[word]), (1 << _INTEGERS[word]) - 1)
        if word in ("float4", "float8"):
            return Float(single=word == "float4")
        if word == "numeric":
            return Numeric(column.precision, column.scale, special=True)
        if word in _TEXTS or word == "bpchar":
            return Text(column.length, nul=False, padded=word == "bpchar")
        if dialect == "postgresql" and source.type == word and word not in ("bool", "bytea"):
            return Same(word)
        precision = 6 if column.precision is None else column.precision
        known: dict[str, Kind] = {
            "bool": Boolean(),
            "bytea": Bytes(),
            "uuid": Uuid(),
            "json": Json(parsed=False),
            "jsonb": Json(parsed=True),
            "date": Date(),
            "time": Time(precision),
            "interval": ToSpan() if source.type in ("datetime", "timestamp") else Text(nul=False),
            "timestamp": Timestamp(precision),
            "timestamptz": Timestamp(precision, zoned=True),
        }
        return known.get(word) or Text(nul=False)

    def drops(self) -> list[str]:
        relations = ask_any(
            self.raw,
            "SELECT c.oid::regclass::text, c.relkind::text, lower(c.relname) FROM pg_class c"
            f" WHERE c.relnamespace = {_HERE} AND c.relkind IN ('v', 'm', 'r', 'p', 'f', 'S') AND NOT c.relispartition"
            " AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid"
            f" AND d.deptype IN ('a', 'i')) AND {_FOREIGN.format('pg_class', 'c')}"
            " ORDER BY c.relkind IN ('v', 'm') DESC, c.relkind = 'S', c.oid",
        )
        found = [
            f"DROP {_RELATIONS[kind]} IF EXISTS {name} CASCADE" for name, kind, own in relations if own not in self.own
        ]
        routines = ask_any(
            self.raw,
            f"SELECT p.oid::regprocedure::text FROM pg_proc p WHERE p.pronamespace = {_HERE}"
            f" AND {_FOREIGN.format('pg_proc', 'p')}",
        )
        types = ask_any(
            self.raw,
            "SELECT t.oid::regtype::text FROM pg_type t LEFT JOIN pg_class c ON c.oid = t.typrelid"
            f" WHERE t.typnamespace = {_HERE} AND (t.typtype IN ('e', 'd', 'r') OR c.relkind = 'c')"
            f" AND {_FOREIGN.format('pg_type', 't')}",
        )
        found += [f"DROP ROUTINE IF EXISTS {name} CASCADE" for (name,) in routines]
        return found + [f"DROP TYPE IF EXISTS {name} CASCADE" for (name,) in types]

    def clear(self) -> None:
        with self.session.transaction():
            super().clear()

    def prepare(self, jobs: Sequence[Job]) -> None:
        dialect = self.session.connection.dialect
        # SQLAlchemy 2.0 hands through the COPY of an asynchronous cursor, which nobody could wait for here.
        if dialect.is_async or not hasattr(self.raw.cursor(), "copy"):
            raise UnsupportedDatabase(
                f"A copy into PostgreSQL needs psycopg 3, not asynchronous, and this is {dialect.driver}.\n"
                "  Rows go through its COPY; nothing was copied.\n"
                "Install it, and name it in the URL: pip install 'sqlmig[postgresql]', postgresql+psycopg://..."
            )
        self.run(PG_FORM)
        # Whatever a migration has deferred would keep its table from being altered.
        self.run("SET CONSTRAINTS ALL IMMEDIATE")
        listed = ", ".join(_literal(job.target.name) for job in jobs)
        names = f"ARRAY[{listed}]::text[]"
        here = f"SELECT c.oid::regclass::text FROM pg_class c WHERE c.relnamespace = {_HERE}"
        mine = {row[0] for row in ask_any(self.raw, f"{here} AND c.relname = ANY ({names})")}
        self._references = [row for row in ask_any(self.raw, _REFERENCES) if row[4] in mine or row[5] in mine]
        self._triggers = ask_any(self.raw, _TRIGGERS.format(names))
        for table, name, *_ in self._references:
            self.run(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
        for table, name, _ in self._triggers:
            self.run(f"ALTER TABLE {table} DISABLE TRIGGER {name}")
        if jobs:
            self.run(f"TRUNCATE {', '.join(quoted(job.target.name) for job in jobs)}")

    @contextmanager
    def writing(self, job: Job) -> Iterator[Write]:
        written = job.written
        renders = [_render_of(job.pairs[index].target.type) for index in written]
        types = [pair.target.type for pair in job.pairs]
        floats = [index for index, word in enumerate(types) if word in _FLOATS]
        as_written = written == list(range(len(types))) and "jsonb" not in types
        listed = ", ".join(quoted(job.pairs[index].target.name) for index in written)
        with self.raw.cursor() as cursor, cursor.copy(f"COPY {quoted(job.target.name)} ({listed}) FROM STDIN") as copy:

            def write(rows: list[Any], columns: list[Sequence[Any]] | None) -> Sequence[Any]:
                columns = columns if columns is not None else list(zip(*rows, strict=True))
                block = _block([render(columns[i]) for render, i in zip(renders, written, strict=True)])
                copy.write(block)
                if as_written and not any(_has_large(columns[index]) for index in floats):
                    return block.splitlines(keepends=True)
                checked = [_check(pair.target, column) for pair, column in zip(job.pairs, columns, strict=True)]
                return _block(checked).splitlines(keepends=True)

            yield write

    def read_back(self, job: Job, size: int) -> Digest:
        digest = Digest()
        listed = ", ".join(_check_expression(pair.target) for pair in job.pairs)
        only = "ONLY " if job.target.inherited else ""
        sql = f"COPY (SELECT {listed} FROM {only}{quoted(job.target.name)}) TO STDOUT"
        parsed = [index for index, pair in enumerate(job.pairs) if pair.target.type == "jsonb"]
        for batch in _lines(self.raw.pgconn, sql, size):
            digest.add([_canonical(bytes(line), parsed) for line in batch] if parsed else batch)
        return digest

    def finish(
        self, jobs: Sequence[Job], last_numbers: Mapping[str, int | None], positions: Mapping[str, int | None]
    ) -> None:
        for table, name, definition, comment, *_ in self._references:
            self._refer(table, name, definition)
            if comment is not None:
                self.run(f"COMMENT ON CONSTRAINT {name} ON {table} IS {_literal(comment)}")
        for table, name, enabled in self._triggers:
            word = enabled.decode() if isinstance(enabled, bytes) else enabled
            self.run(f"ALTER TABLE {table} {_ENABLE[word]} TRIGGER {name}")
        left = count_on(self.raw, jobs, last_numbers, positions)
        self.warnings += [f"the sequence {name} is where the migrations left it: no rows tell of it" for name in left]
        for (name,) in ask_any(self.raw, _VIEWS):
            self.run(f"REFRESH MATERIALIZED VIEW {name}")

    def _refer(self, table: str, name: str, definition: str) -> None:
        try:
            self.run(f"ALTER TABLE {table} ADD CONSTRAINT {name} {definition}")
        except Exception as error:
            if getattr(error, "sqlstate", None) != "23503":
                raise
            detail = getattr(getattr(error, "diag", None), "message_detail", None) or str(error)
            raise CopyError(
                f"Rows of {table} refer to rows that the source has not ({name}).",
                f"{detail}\nthe source does not enforce this reference; what had been begun was undone",
                "Remove or mend these rows in the source, then copy again.",
            ) from error


def _lines(pgconn: Any, sql: str, size: int) -> Iterator[list[Any]]:
    """
    The lines that COPY gives, by libpq's own call for one: a cursor's iterator takes several times as long for each.

    Source: https://www.psycopg.org/psycopg3/docs/api/pq.html#psycopg.pq.PGconn
    """
    from psycopg import errors
    from psycopg.pq import ExecStatus

    began = pgconn.exec_(sql.encode())
    if began.status != ExecStatus.COPY_OUT:
        raise errors.DatabaseError(began.get_error_message())
    lines = iter(partial(pgconn.get_copy_data, 0), (-1, b""))
    now = 1
    while batch := [line for _, line in islice(lines, now)]:
        yield batch
        now = next_size(now, size, sum(map(len, batch)) // len(batch))
    while (ended := pgconn.get_result()) is not None:
        if ended.status != ExecStatus.COMMAND_OK:
            raise errors.DatabaseError(ended.get_error_message())


def _literal(text: str) -> str:
    return " E'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def _block(fields: Sequence[Sequence[str]]) -> bytes:
    return ("\n".join(map("\t".join, zip(*fields, strict=True))) + "\n").encode()


# How a column is written


def _with_nulls(values: Sequence[Any], made: Any) -> Sequence[str]:
    """*made* of those that are not None."""
    if None not in values:
        return made(values)  # type: ignore[no-any-return]
    rest = iter(made([value for value in values if value is not None]))
    return [_NULL if value is None else next(rest) for value in values]


def _plain(values: Sequence[Any]) -> Sequence[str]:
    return _with_nulls(values, lambda present: list(map(str, present)))


def _floats(values: Sequence[Any]) -> Sequence[str]:
    """Below 1e15 the server writes the same shortest texts as Python, but for a .0 at their end."""
    return _with_nulls(values, lambda present: [text.removesuffix(".0") for text in map(repr, present)])


def _has_large(values: Sequence[Any]) -> bool:
    """Whether a number is among them which the server writes in another way; or infinity, or none at all."""
    return not all(-_LARGE < value < _LARGE for value in values if value is not None)


def _truths(values: Sequence[Any]) -> Sequence[str]:
    return _with_nulls(values, lambda present: list(map({0: "f", 1: "t"}.__getitem__, present)))


def _binaries(values: Sequence[Any]) -> Sequence[str]:
    return _with_nulls(values, lambda present: [f"\\\\x{value.hex()}" for value in present])


def _texts(values: Sequence[Any]) -> Sequence[str]:
    return _with_nulls(values, escaped)


def _render_of(word: str) -> Any:
    if word in _INTEGERS or word in ("numeric", "date", "time", "timestamp", "timestamptz", "uuid"):
        return _plain
    return {"bool": _truths, "bytea": _binaries, "float4": _floats, "float8": _floats}.get(word, _texts)


# How it is compared


def _check_expression(column: Column) -> str:
    name = quoted(column.name)
    if column.type in _FLOATS:
        # Of four bytes, they have shorter texts of their own.
        number = f"{name}::float8"
        return f"CASE WHEN abs({number}) < 1e15 THEN {number}::text ELSE encode(float8send({number}), 'hex') END"
    return name


def _check(column: Column, values: Sequence[Any]) -> Sequence[str]:
    if column.type in _FLOATS and _has_large(values):
        small = _floats(values)
        return [
            text
            if value is None or -_LARGE < value < _LARGE
            else struct.pack(">d", value if value == value else math.nan).hex()
            for value, text in zip(values, small, strict=True)
        ]
    if column.type == "jsonb":
        return _with_nulls(values, lambda present: escaped([Json.canonical(value) for value in present]))
    return _render_of(column.type)(values)  # type: ignore[no-any-return]


def _bits(value: float) -> str:
    return struct.pack(">d", value if value == value else math.nan).hex()


def _canonical(line: bytes, parsed: Sequence[int]) -> bytes:
    """A line with the JSON in it as Python writes it: the server has an order of its own."""
    fields = line.decode()[:-1].split("\t")
    for index in parsed:
        if fields[index] != _NULL:
            fields[index] = escaped([Json.canonical(_unescaped(fields[index]))])[0]
    return ("\t".join(fields) + "\n").encode()


def _unescaped(field: str) -> str:
    # JSON as the server writes it has no control characters in it but escaped ones.
    return field.replace("\\\\", "\\")
