"""How many rows the tables have, and how much room they take."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from ..backends.raw import ask_any, backticked
from ..backends.sqlite import ask, quoted
from ..backends.sqlite_virtual import shadow_tables, virtual_tables
from ..results import Record
from ..safety.source import files_of

if TYPE_CHECKING:
    from ..migrator import Migrator

__all__ = ["TableSize", "sizes_of"]

_COUNTED = 64 * 2**20
"""The rows of larger tables are not counted on a server, which has an estimate."""

_POSTGRESQL = """
SELECT n.nspname::text, c.relname::text, n.nspname = current_schema(), pg_total_relation_size(c.oid)::bigint,
    CASE WHEN c.relispopulated THEN c.reltuples::bigint ELSE -1 END,
    c.relispopulated AND has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname !~ '^pg_'
    AND n.nspname <> 'information_schema'
WHERE c.relkind IN ('r', 'm') AND c.relpersistence <> 't' AND NOT EXISTS (SELECT FROM pg_depend e
    WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid AND e.deptype = 'e')
ORDER BY n.nspname, c.relname"""
_MYSQL = """
SELECT table_name, data_length + index_length, table_rows FROM information_schema.tables
WHERE table_schema = DATABASE() AND table_type <> 'VIEW' AND table_type <> 'SEQUENCE' ORDER BY table_name"""


class TableSize(Record):
    """
    One table.

    Attributes:
        rows: None where nobody may count them and there is no estimate.
        is_estimate: Whether the rows were not counted.
        bytes: With its indexes; None where the database does not tell.
    """

    name: str
    rows: int | None
    is_estimate: bool
    bytes: int | None


def sizes_of(migrator: Migrator, stays: Callable[[str], bool]) -> list[TableSize]:
    """Those of all tables but the records of migrations, the largest first."""
    hidden = migrator.version_tracker.own_tables

    def is_shown(name: str) -> bool:
        return name.lower() not in hidden and stays(name)

    read = {"sqlite": _sqlite, "postgresql": _postgresql}.get(migrator.db.engine.dialect.name, _mysql)
    with migrator.db.reading() as connection:
        found = list(read(connection.connection.dbapi_connection, is_shown))
    return sorted(found, key=lambda one: (-(one.bytes or 0), -(one.rows or 0), one.name))


def _sqlite(raw: Any, is_shown: Callable[[str], bool]) -> Iterator[TableSize]:
    for schema in files_of(raw):
        place = "" if schema == "main" else f"{schema}."
        listed = ask(
            raw,
            f"SELECT name, sql FROM {quoted(schema)}.sqlite_master"
            " WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'",
        )
        virtual = virtual_tables(listed)
        shadows = shadow_tables([name for name, _ in listed], virtual)
        sizes = _pages(raw, schema)
        for name, _ in listed:
            if name not in shadows and is_shown(name):
                rows = _counted(raw, f"{quoted(schema)}.{quoted(name)}", is_virtual=name in virtual)
                yield TableSize(name=place + name, rows=rows, is_estimate=False, bytes=sizes.get(name))


def _counted(raw: Any, table: str, *, is_virtual: bool) -> int | None:
    """None of a virtual table whose module this program has not."""
    import sqlite3

    try:
        [[rows]] = ask(raw, f"SELECT count(*) FROM {table}")
    except sqlite3.OperationalError as error:
        if is_virtual and "no such module" in str(error):
            return None
        raise
    return int(rows)


def _pages(raw: Any, schema: str) -> dict[str, int]:
    """Bytes by table; not every SQLite was built to tell. Source: https://sqlite.org/dbstat.html"""
    import sqlite3

    query = (
        f"SELECT m.tbl_name, sum(s.pgsize) FROM dbstat({quoted(schema)}, 1) s"
        f" JOIN {quoted(schema)}.sqlite_master m ON m.name = s.name GROUP BY m.tbl_name"
    )
    try:
        return dict(ask(raw, query))
    except sqlite3.OperationalError:
        return {}


def _postgresql(raw: Any, is_shown: Callable[[str], bool]) -> Iterator[TableSize]:
    for schema, table, is_usual, size, estimate, is_open in ask_any(raw, _POSTGRESQL):
        name = table if is_usual else f"{schema}.{table}"
        if is_shown(table) and is_shown(name):
            rows, is_estimate = (None if estimate < 0 else estimate), True
            if is_open and (size <= _COUNTED or rows is None):
                [[rows]], is_estimate = (
                    ask_any(raw, f"SELECT count(*) FROM ONLY {quoted(schema)}.{quoted(table)}"),
                    False,
                )
            yield TableSize(name=name, rows=rows, is_estimate=is_estimate, bytes=size)


def _mysql(raw: Any, is_shown: Callable[[str], bool]) -> Iterator[TableSize]:
    for name, size, estimate in ask_any(raw, _MYSQL):
        if is_shown(name):
            bytes_ = None if size is None else int(size)
            rows, is_estimate = estimate, True
            if rows is None or (bytes_ or 0) <= _COUNTED:
                [[rows]], is_estimate = ask_any(raw, f"SELECT count(*) FROM {backticked(name)}"), False
            yield TableSize(name=name, rows=int(rows), is_estimate=is_estimate, bytes=bytes_)
