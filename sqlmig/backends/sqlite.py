"""
SQLite: transactions that are real, on whatever engine the application made.

`BEGIN IMMEDIATE` is the lock. It is free again the moment its holder dies, and everything between it and COMMIT,
`PRAGMA user_version` included, happens or does not (https://sqlite.org/lang_transaction.html).
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from ..connection import pool_lock
from ..turns import pause
from .backend import Backend

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from ..connection import DatabaseConnection
    from ..errors import MigrationError
    from .sqlite_session import SQLiteSession

__all__ = [
    "MAX_USER_VERSION",
    "SQLiteBackend",
    "ask",
    "is_busy",
    "pragma",
    "primary_code",
    "quoted",
]

MAX_USER_VERSION = 2_147_483_647
"""The largest `PRAGMA user_version`; SQLite stores 0 for anything above it."""

T = TypeVar("T")


class SQLiteBackend(Backend):
    """Reads, locks and transactions of one SQLite database."""

    def __init__(
        self, database: DatabaseConnection, lock_timeout: float, statement_timeout: float | None = None
    ) -> None:
        super().__init__(database, lock_timeout, statement_timeout)
        named = self.engine.url.database or ""
        # An engine knows where its file is from when it was made, whatever folder the process goes to.
        self.file = os.path.abspath(named) if named and not named.startswith((":", "file:")) else None

    def _cursor(self, pooled: Any) -> Any:
        cursor = pooled.cursor()
        # An application's own row factory gives no tuple to compare.
        cursor.row_factory = None
        return cursor

    def session(self) -> SQLiteSession:
        """A connection with real transactions, for the time of one call."""
        from .sqlite_session import SQLiteSession

        return SQLiteSession(self)

    @contextmanager
    def one_thread(self) -> Iterator[None]:
        """
        Keep the other threads of this process out.

        Where the pool has one connection for all of them they would meet in one transaction. They would also stand
        still for good: one holds SQLite's mutex and waits for the interpreter to run the authorizer, the other
        holds the interpreter and waits for the mutex.
        """
        lock = pool_lock(self.engine.pool)
        if not lock.acquire(timeout=min(self.lock_timeout, threading.TIMEOUT_MAX)):
            raise self.locked(
                "another thread of this process is migrating it", "Let that thread finish, then start again."
            )
        try:
            yield
        finally:
            lock.release()

    def patiently(self, action: Callable[[], T]) -> T:
        """
        The result of *action*, tried again while the database is busy, for lock_timeout seconds.

        Raises:
            DatabaseLocked: It stayed busy.
        """
        deadline = time.monotonic() + self.lock_timeout
        moment = 0.002
        while True:
            try:
                return action()
            except Exception as error:
                if not is_busy(error):
                    raise
                if time.monotonic() >= deadline:
                    raise self.locked() from error
            pause(moment)
            moment = min(moment * 1.5, 0.05)

    def translate(self, error: BaseException, where: str | None = None) -> MigrationError | None:
        """
        The typed error for what SQLite said, or None where it is the migration's own affair.

        Args:
            where: The migration and the statement that met it.
        """
        origin = driver_error(error)
        if origin is None:
            return None
        from ..errors import ConfigurationError, DatabaseNotWritable, DatabaseUnavailable, DiskFull, NotADatabase

        code, reason = primary_code(origin), str(origin)
        if code == sqlite3.SQLITE_LOCKED and where is not None:
            # Its own open query keeps the table, and no waiting would help.
            return None
        if is_busy(error):
            return self.locked(f"{where}; {reason}" if where else reason)
        if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
            return DatabaseNotWritable(self.name, reason)
        if code == sqlite3.SQLITE_CANTOPEN:
            return DatabaseUnavailable(
                f"The database {self.name} cannot be opened: {reason}.\n"
                "  The file or its folder does not exist, is something else, or may not be opened by this user.\n"
                f"Look at both: ls -ld {self.name} {os.path.dirname(self.name) or '.'}"
            )
        if code == sqlite3.SQLITE_FULL:
            return DiskFull(self.name, f"{reason}; {where}" if where else reason)
        if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
            return NotADatabase(self.name, reason)
        if reason.startswith("unknown database"):
            return ConfigurationError(
                f"The database {self.name} has no schema of the name that was given: {reason}.\n"
                "  A schema is an attached database on SQLite.\n"
                "ATTACH it as the application connects, or leave schema=... out."
            )
        return None

    def non_atomic_files(self, connection: Connection) -> list[str]:
        """Attached files that a crash between the commits of two files can leave behind the main one."""
        attached = [row for row in connection.exec_driver_sql("PRAGMA database_list") if row[1] not in ("main", "temp")]
        names = ["main", *(row[1] for row in attached)] if any(row[2] for row in attached) else []
        modes = {n: connection.exec_driver_sql(f'PRAGMA "{n}".journal_mode').scalar() for n in names}
        return [row[1] for row in attached if row[2]] if "wal" in modes.values() else []


def ask(raw: Any, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    """All rows that a statement gives on the driver's own connection, as tuples, whatever row factory that has."""
    cursor = raw.cursor()
    cursor.row_factory = None
    try:
        found: list[tuple[Any, ...]] = cursor.execute(sql, values).fetchall()
        return found
    finally:
        cursor.close()


def pragma(raw: Any, name: str) -> Any:
    """The value of a PRAGMA; None where it gives none."""
    return (ask(raw, f"PRAGMA {name}") or [(None,)])[0][0]


def quoted(name: str) -> str:
    """A name of a schema, a table or a column as SQL, whatever is in it."""
    return '"' + name.replace('"', '""') + '"'


def driver_error(error: BaseException) -> sqlite3.Error | None:
    """The sqlite3 error inside *error*, which may be SQLAlchemy's wrapper of it."""
    origin = getattr(error, "orig", error)
    return origin if isinstance(origin, sqlite3.Error) else None


def primary_code(error: sqlite3.Error) -> int:
    """The primary result code; extended ones carry it in their low byte (https://sqlite.org/rescode.html)."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def is_busy(error: BaseException) -> bool:
    """Whether waiting may help: not where a query of its own stands in the way of a COMMIT."""
    origin = driver_error(error)
    if origin is None or "in progress" in str(origin):
        return False
    return primary_code(origin) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
