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

from ..backends.raw import LOCK_NOT_AVAILABLE, ask_any, sqlstate
from ..backends.sqlite import ask, pragma
from ..connection import DatabaseConnection, display_name
from ..errors import CopyError, DatabaseUnavailable
from ..execution import reason
from .plain import plainly

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
        # The transaction of somebody who knows what it sees; how values are written there is this one's affair.
        _write_plainly(database.connection, stack)
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
        stack.callback(_run, raw, _count_in_utc(raw), first="ROLLBACK")
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
        if sqlstate(error) != LOCK_NOT_AVAILABLE:
            raise
        raise CopyError(
            f"Tables of the source {name} are being altered by somebody.",
            f"{reason(error)}\nnothing was copied, and nothing changed",
            "Copy when that is done.",
        ) from error


def _write_plainly(connection: Connection, stack: ExitStack) -> None:
    """The same for a connection that is handed in, with its settings given back."""
    raw: Any = connection.connection.dbapi_connection
    if connection.dialect.name == "postgresql":
        cursor = raw.cursor()
        if getattr(raw, "autocommit", False):
            raise CopyError(
                "The connection of the source commits by itself, and so sees no one moment.",
                "nothing was copied, and nothing changed",
                "Hand in an Engine, or a connection in a transaction of REPEATABLE READ.",
            )
        cursor.execute("SAVEPOINT sqlmig_copy")
        stack.callback(_run, raw, "RELEASE SAVEPOINT sqlmig_copy", first="ROLLBACK TO SAVEPOINT sqlmig_copy")
        cursor.execute(PG_FORM)
        cursor.close()
    elif connection.dialect.name != "sqlite":
        stack.callback(_run, raw, _count_in_utc(raw))


def _count_in_utc(raw: Any) -> str:
    """Have MariaDB write moments as of UTC; what sets the zone that was."""
    zone = str(ask_any(raw, "SELECT @@time_zone")[0][0]).replace("'", "")
    _execute(raw, "SET time_zone = '+00:00'")
    return f"SET time_zone = '{zone}'"


def _run(raw: Any, sql: str, first: str | None = None) -> None:
    with suppress(Exception):
        if first is not None:
            _execute(raw, first)
        _execute(raw, sql)


def _execute(raw: Any, sql: str) -> None:
    cursor = raw.cursor()
    try:
        cursor.execute(sql)
    finally:
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
