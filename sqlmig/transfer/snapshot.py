"""
The moment of the source that is copied: it is only read, and all of it as it was then.

SQLite gives that with one transaction that reads, PostgreSQL with REPEATABLE READ, MariaDB and MySQL with a consistent
snapshot.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any

from ..backends.sqlite import ask, pragma
from ..connection import DatabaseConnection, display_name
from ..errors import CopyError, DatabaseUnavailable
from ..execution import reason
from .plain import plainly
from .shapes import ask_any

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

__all__ = ["PG_FORM", "identity", "opened"]

PG_FORM = (
    "SET LOCAL TimeZone = 'UTC'; SET LOCAL DateStyle = 'ISO, YMD'; SET LOCAL IntervalStyle = 'postgres';"
    " SET LOCAL bytea_output = 'hex'; SET LOCAL extra_float_digits = 1; SET LOCAL client_encoding = 'UTF8';"
    " SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0; SET LOCAL row_security = off"
)
"""
How PostgreSQL writes values as texts, whatever its settings are; that it does not end a long transaction; and that it
refuses to read a table of which policies hide rows, instead of hiding them.
"""


@contextmanager
def opened(database: DatabaseConnection, lock_timeout: float) -> Iterator[Connection]:
    """
    A connection in a transaction that only reads, and sees one moment of *database*.

    Raises:
        DatabaseUnavailable: There is none, or it cannot be reached; no file is made.
    """
    from ..backends import backend_for

    backend = backend_for(database, lock_timeout)
    file = getattr(backend, "file", None)
    if file is not None and not os.path.exists(file):
        raise DatabaseUnavailable(
            f"There is no database {file} to copy.\n  Nothing was made or changed.\n"
            "Check the path: a relative one is sqlite:///app.db, an absolute one sqlite:////folder/app.db"
        )
    with ExitStack() as stack:
        # Only here: what is raised while the source is read may be another database's.
        with backend.translating():
            connection = backend.patiently(lambda: _snapshot(database, stack, lock_timeout))
            stack.enter_context(plainly(connection))
        yield connection


def _snapshot(database: DatabaseConnection, stack: ExitStack, lock_timeout: float) -> Connection:
    if database.connection is not None:
        # The transaction of somebody who knows what it sees.
        return database.connection
    dialect = database.engine.dialect.name
    if dialect == "sqlite":
        connection = stack.enter_context(database.reading())
        raw: Any = connection.connection.dbapi_connection
        if not pragma(raw, "query_only"):
            raw.cursor().execute("PRAGMA query_only = ON")
            stack.callback(lambda: raw.cursor().execute("PRAGMA query_only = OFF"))
        # What is seen from here on is what this has seen.
        ask(raw, "SELECT count(*) FROM main.sqlite_master")
        return connection
    connection = stack.enter_context(database.engine.connect())
    stack.callback(_leave, connection)
    connection.execution_options(isolation_level="REPEATABLE READ")
    raw = connection.connection.dbapi_connection
    listed = _lockable(raw) if dialect == "postgresql" else ""
    cursor = raw.cursor()
    if dialect == "postgresql":
        cursor.execute("SET TRANSACTION READ ONLY")
        cursor.execute(PG_FORM)
        cursor.execute(f"SET LOCAL lock_timeout = {max(1, min(int(lock_timeout * 1000), 2**31 - 1))}")
        # Before the first query, which fixes the moment.
        if listed:
            _lock(cursor, listed, display_name(database.engine))
    else:
        cursor.execute("SELECT @@time_zone")
        zone = cursor.fetchone()[0].replace("'", "")
        cursor.execute("SET time_zone = '+00:00'")
        stack.callback(_run, raw, f"SET time_zone = '{zone}'")
        cursor.execute("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
    cursor.close()
    return connection


def _leave(connection: Connection) -> None:
    """End the transaction; of a connection that was lost nothing is said any more, where the loss itself is raised."""
    try:
        connection.connection.rollback()
    except Exception:
        connection.invalidate()


def _lockable(raw: Any) -> str:
    """The tables that may be read, in a transaction of its own."""
    found = ask_any(
        raw,
        "SELECT string_agg(c.oid::regclass::text, ', ' ORDER BY c.oid) FROM pg_class c"
        " WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p')"
        " AND has_table_privilege(c.oid, 'SELECT')",
    )
    raw.rollback()
    return found[0][0] or ""


def _lock(cursor: Any, tables: str, name: str) -> None:
    """
    Keep TRUNCATE, and ALTER TABLE that writes a table anew, away: what they leave is seen by older snapshots as well.

    Source: https://www.postgresql.org/docs/current/mvcc-caveats.html
    """
    try:
        cursor.execute(f"LOCK TABLE {tables} IN ACCESS SHARE MODE")
    except Exception as error:
        if getattr(error, "sqlstate", None) != "55P03" and getattr(error, "pgcode", None) != "55P03":
            raise
        raise CopyError(
            f"Tables of the source {name} are being altered by somebody.",
            f"{reason(error)}\nnothing was copied, and nothing changed",
            "Copy when that is done.",
        ) from error


def _run(raw: Any, sql: str) -> None:
    with suppress(Exception):
        cursor = raw.cursor()
        cursor.execute("ROLLBACK")
        cursor.execute(sql)
        cursor.close()


def identity(connection: Connection) -> tuple[Any, ...]:
    """What is the same for two connections to one database, whatever their URLs are, and else is not."""
    raw: Any = connection.connection.dbapi_connection
    dialect = connection.dialect.name
    if dialect == "sqlite":
        file = next(row[2] for row in ask(raw, "PRAGMA database_list") if row[1] == "main")
        if not file:
            return (dialect, id(raw))
        found = os.stat(file)
        return (dialect, found.st_dev, found.st_ino)
    if dialect == "postgresql":
        asked = "pg_postmaster_start_time()::text, current_database(), current_schema(), current_setting('port')"
    else:
        asked = "@@hostname, @@port, @@datadir, @@server_id, DATABASE()"
    return (dialect, *ask_any(raw, f"SELECT {asked}")[0])
