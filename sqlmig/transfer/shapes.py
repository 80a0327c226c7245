"""The tables of a database and their columns, as its own catalogue tells them: what a copy reads, and what it fills."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from ..backends.raw import ask_any
from ..backends.sqlite import ask, quoted
from ..backends.sqlite_virtual import shadow_tables, virtual_tables

__all__ = [
    "Column",
    "Reference",
    "Table",
    "in_order",
    "mysql_tables",
    "postgresql_elsewhere",
    "postgresql_tables",
    "sqlite_tables",
]


class Column(NamedTuple):
    """
    One column.

    Attributes:
        type: The catalogue's word for its type, in lower case and without what stands in parentheses.
        generated: Whether the database computes it.
        length: Of a text, in characters, or of binary values, in bytes.
        precision, scale: Of a number; of a time, how many digits its fraction has is the precision.
    """

    name: str
    type: str
    generated: bool = False
    length: int | None = None
    precision: int | None = None
    scale: int | None = None
    labels: bool = False
    """Whether its type is an ENUM of the application's own."""


class Reference(NamedTuple):
    """A foreign key: its columns, and those of the parent that they name."""

    columns: tuple[str, ...]
    parent: str
    parent_columns: tuple[str, ...]


class Table(NamedTuple):
    """
    One table.

    Attributes:
        key: The columns of its primary key, by which messages name a row.
        module: What makes a virtual table of SQLite's.
        derived: Whether its content is an index of another table's, or of none, and is no data of its own.
        inherited: Whether PostgreSQL would read the rows of tables that inherit from it as well.
    """

    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ()
    references: tuple[Reference, ...] = ()
    module: str | None = None
    derived: bool = False
    inherited: bool = False

    def column(self, name: str) -> Column | None:
        """The column of a name, as it is spelled or in other case."""
        exact = next((column for column in self.columns if column.name == name), None)
        return exact or next((column for column in self.columns if column.name.lower() == name.lower()), None)


def in_order(tables: Iterable[Table]) -> list[Table]:
    """
    Parents before their children, else by name; in a circle, whichever comes first by name.

    Nothing rests on it: where rows may come in any order, references are held back until all are there.
    """
    left = {table.name: table for table in sorted(tables, key=lambda table: table.name)}
    done: list[Table] = []
    while left:
        free = [
            table
            for table in left.values()
            if not any(key.parent in left and key.parent != table.name for key in table.references)
        ]
        for table in free or [next(iter(left.values()))]:
            done.append(left.pop(table.name))
    return done


# SQLite

_DECLARED = re.compile(r"\s*([^(]*?)\s*(?:\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\))?\s*$")
_CONTENT = re.compile(r"\bcontent\s*=", re.IGNORECASE)
# Virtual tables that are written like others, and keep what they are given.
_KEEPING = re.compile(r"(fts[345]|rtree|rtree_i32)$")


def sqlite_tables(raw: Any) -> list[Table]:
    """The tables of the main schema, but for SQLite's own and for those in which virtual tables keep their content."""
    listed = ask(
        raw,
        "SELECT name, sql FROM main.sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%'"
        " ESCAPE '\\' ORDER BY name",
    )
    modules = virtual_tables(listed)
    shadows = shadow_tables([name for name, _ in listed], modules)
    tables = []
    for name, sql in listed:
        if name in shadows:
            continue
        module = modules.get(name)
        rows = ask(raw, f"PRAGMA main.table_xinfo({quoted(name)})")
        columns = tuple(_sqlite_column(row) for row in rows if row[6] != 1)
        key = tuple(row[1] for row in sorted(rows, key=lambda row: row[5]) if row[5])
        derived = module is not None and (_KEEPING.match(module) is None or _CONTENT.search(sql) is not None)
        if module is not None and module.startswith("fts"):
            columns, key = (Column("rowid", "integer"), *columns), ("rowid",)
        tables.append(Table(name, columns, key, _sqlite_references(raw, name, rows), module, derived))
    return tables


def _sqlite_column(row: Sequence[Any]) -> Column:
    found = _DECLARED.match(row[2] or "")
    declared, length, scale = found.groups() if found else (row[2] or "", None, None)
    size = int(length) if length else None
    return Column(row[1], declared.lower(), row[6] in (2, 3), size, size, int(scale) if scale else None)


def _sqlite_references(raw: Any, name: str, columns: Sequence[Any]) -> tuple[Reference, ...]:
    found: dict[int, list[tuple[str, str, str | None]]] = {}
    for number, _, parent, own, theirs, *_ in ask(raw, f"PRAGMA main.foreign_key_list({quoted(name)})"):
        found.setdefault(number, []).append((parent, own, theirs))
    return tuple(
        Reference(tuple(own for _, own, _ in rows), rows[0][0], tuple(theirs or "" for _, _, theirs in rows))
        for rows in found.values()
    )


# PostgreSQL

_OWN = """NOT EXISTS (
    SELECT FROM pg_depend e WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid AND e.deptype = 'e')"""
_PG_TABLES = f"""
SELECT c.oid, c.relname, c.relkind = 'r' AND c.relhassubclass FROM pg_class c
WHERE c.relnamespace = current_schema()::regnamespace
    AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND {_OWN} ORDER BY c.relname"""
_PG_ELSEWHERE = f"""
SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', current_schema())
    AND NOT c.relispartition AND {_OWN} ORDER BY 1, 2"""
# A domain may be of another domain: what counts is the type below all of them, and the first length on the way.
_PG_COLUMNS = """
WITH RECURSIVE bases AS (
    SELECT oid, oid AS base, -1 AS modifier, typtype FROM pg_type WHERE typtype = 'd'
    UNION ALL
    SELECT s.oid, t.typbasetype, CASE WHEN s.modifier >= 0 THEN s.modifier ELSE t.typtypmod END, b.typtype
    FROM bases s JOIN pg_type t ON t.oid = s.base JOIN pg_type b ON b.oid = t.typbasetype WHERE t.typtype = 'd'
)
SELECT a.attrelid, a.attname, coalesce(b.typname, t.typname), coalesce(b.typtype, t.typtype) = 'e',
    coalesce(s.modifier, a.atttypmod), a.attgenerated <> ''
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_type t ON t.oid = a.atttypid
    LEFT JOIN bases s ON s.oid = t.oid AND s.typtype <> 'd' LEFT JOIN pg_type b ON b.oid = s.base
WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p')
    AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attrelid, a.attnum"""
_PG_KEYS = """
SELECT k.conrelid, k.contype, p.relname, k.oid,
    ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY u (n, i)
        JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.n ORDER BY u.i),
    ARRAY(SELECT a.attname::text FROM unnest(k.confkey) WITH ORDINALITY u (n, i)
        JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.n ORDER BY u.i)
FROM pg_constraint k LEFT JOIN pg_class p ON p.oid = k.confrelid
WHERE k.contype IN ('p', 'f') AND k.connamespace = current_schema()::regnamespace"""


def postgresql_tables(raw: Any) -> list[Table]:
    """The tables of the current schema, but for partitions and for those that an extension brought."""
    columns: dict[int, list[Column]] = {}
    for owner, name, kind, labels, modifier, generated in ask_any(raw, _PG_COLUMNS):
        columns.setdefault(owner, []).append(_pg_column(name, kind, labels, modifier, generated))
    keys: dict[int, tuple[str, ...]] = {}
    references: dict[int, list[Reference]] = {}
    for owner, kind, parent, _, own, theirs in ask_any(raw, _PG_KEYS):
        if kind in ("p", b"p"):
            keys[owner] = tuple(own)
        else:
            references.setdefault(owner, []).append(Reference(tuple(own), parent, tuple(theirs)))
    return [
        Table(name, tuple(columns.get(oid, ())), keys.get(oid, ()), tuple(references.get(oid, ())), inherited=inherited)
        for oid, name, inherited in ask_any(raw, _PG_TABLES)
    ]


def postgresql_elsewhere(raw: Any) -> list[tuple[str, str]]:
    """Schema and name of the tables in other schemas, but for those that an extension brought."""
    return [(schema, name) for schema, name in ask_any(raw, _PG_ELSEWHERE)]


def _pg_column(name: str, kind: str, labels: bool, modifier: int, generated: bool) -> Column:
    length = precision = scale = None
    if modifier >= 0 and kind in ("varchar", "bpchar"):
        length = modifier - 4
    elif modifier >= 0 and kind == "numeric":
        # Eleven bits with a sign, since PostgreSQL 15.
        precision, scale = (modifier - 4) >> 16 & 0xFFFF, ((modifier - 4 & 0x7FF) ^ 0x400) - 0x400
    elif kind in ("timestamp", "timestamptz", "time", "timetz"):
        precision = modifier if modifier >= 0 else 6
    return Column(name, kind, generated, length, precision, scale, labels)


# MariaDB and MySQL

_MY_COLUMNS = """
SELECT c.table_name, c.column_name, c.data_type, c.column_type, c.extra, c.character_maximum_length,
    c.numeric_precision, c.numeric_scale, c.datetime_precision, c.character_octet_length
FROM information_schema.columns c JOIN information_schema.tables t
    ON t.table_schema = c.table_schema AND t.table_name = c.table_name
WHERE c.table_schema = DATABASE() AND t.table_type IN ('BASE TABLE', 'SYSTEM VERSIONED')
ORDER BY c.table_name, c.ordinal_position"""
_MY_KEYS = """
SELECT table_name, constraint_name, column_name, referenced_table_name, referenced_column_name
FROM information_schema.key_column_usage WHERE table_schema = DATABASE()
ORDER BY table_name, constraint_name, ordinal_position"""
_MY_JSON = """
SELECT table_name, constraint_name FROM information_schema.check_constraints WHERE constraint_schema = DATABASE()
    AND level = 'Column' AND check_clause LIKE 'json_valid(%'"""
_COMPUTED = re.compile(r"\b(VIRTUAL|STORED|PERSISTENT)\b", re.IGNORECASE)


def mysql_tables(raw: Any) -> list[Table]:
    """The tables of the current database, but for sequences and views."""
    columns: dict[str, list[Column]] = {}
    # MariaDB's JSON is a text with a CHECK, which has the name of its column.
    maria = "mariadb" in str(ask_any(raw, "SELECT VERSION()")[0][0]).lower()
    checked = set(ask_any(raw, _MY_JSON)) if maria else set()
    for owner, name, kind, full, extra, length, precision, scale, fraction, octets in ask_any(raw, _MY_COLUMNS):
        word = (
            "jsontext"
            if (owner, name) in checked
            else kind.lower() + (" unsigned" if "unsigned" in full.lower() else "")
        )
        # Those that hold bytes have a length in bytes, and no other.
        size = length if length is not None else octets
        number = fraction if fraction is not None else precision
        columns.setdefault(owner, []).append(
            Column(name, word, _COMPUTED.search(extra or "") is not None, size, number, scale)
        )
    keys: dict[str, list[str]] = {}
    found: dict[tuple[str, str], list[tuple[str, str, str]]] = {}
    for owner, constraint, name, parent, theirs in ask_any(raw, _MY_KEYS):
        if constraint == "PRIMARY":
            keys.setdefault(owner, []).append(name)
        elif parent is not None:
            found.setdefault((owner, constraint), []).append((name, parent, theirs))
    references: dict[str, list[Reference]] = {}
    for (owner, _), rows in found.items():
        own, theirs = tuple(row[0] for row in rows), tuple(row[2] for row in rows)
        references.setdefault(owner, []).append(Reference(own, rows[0][1], theirs))
    return [
        Table(name, tuple(listed), tuple(keys.get(name, ())), tuple(references.get(name, ())))
        for name, listed in columns.items()
    ]
