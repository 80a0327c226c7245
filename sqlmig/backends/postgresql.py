"""
PostgreSQL: DDL is transactional, and an advisory lock keeps all others out for the whole of a call.

Source: https://www.postgresql.org/docs/current/explicit-locking.html#ADVISORY-LOCKS
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import StaticPool

from ..connection import pool_lock
from .backend import Backend, refused_hint
from .raw import LOCK_NOT_AVAILABLE, QUERY_CANCELED, sqlstate

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from ..connection import DatabaseConnection
    from ..errors import MigrationError
    from .postgresql_session import PostgreSQLSession

__all__ = ["READ_ONLY_HINT", "PostgreSQLBackend"]

READ_ONLY_HINT = "Connect to a server that takes writes, as a user who may write there."

_ABORTED = "25P02"
_OTHER_LOOP = (
    "  asyncpg says so as well of a connection that an event loop has left in the pool which has ended.\n"
    "Have each event loop dispose of its engine: await engine.dispose(); or give that poolclass=NullPool.\n"
)
_HOLDER_HINT = (
    "Find the holder, end its transaction, and start again: SELECT pid, query, xact_start FROM pg_stat_activity"
)

T = TypeVar("T")


class PostgreSQLBackend(Backend):
    """
    Reads, locks and transactions of one PostgreSQL database.

    Args:
        records: What the versions table is called, with its schema: two histories of one database do not wait for
            each other.
    """

    def __init__(
        self, database: DatabaseConnection, lock_timeout: float, records: str, statement_timeout: float | None = None
    ) -> None:
        super().__init__(database, lock_timeout, statement_timeout)
        self.records = records

    def lock_key(self, schema: str) -> int:
        """The number of the advisory lock, 64 bits; locks are a database's own, so that its name is no part of it."""
        import hashlib

        name = self.records if "." in self.records else f"{schema}.{self.records}"
        return int.from_bytes(hashlib.sha256(f"sqlmig {name}".encode()).digest()[:8], "big", signed=True)

    def _aside(self, connection: Connection) -> AbstractContextManager[Any]:
        # A table that is not there must not end the caller's transaction.
        return connection.begin_nested() if connection.in_transaction() else connection.begin()

    def session(self) -> PostgreSQLSession:
        """A connection with the lock, for the time of one call."""
        from .postgresql_session import PostgreSQLSession

        return PostgreSQLSession(self)

    def one_thread(self) -> AbstractContextManager[Any]:
        """Keep the other threads of this process out, where all have one connection."""
        pool = self.engine.pool
        return pool_lock(pool) if isinstance(pool, StaticPool) else nullcontext()

    def patiently(self, action: Callable[[], T]) -> T:
        """The result of *action*: the server does the waiting."""
        return action()

    def non_atomic_files(self, connection: Connection) -> list[str]:
        """None: a transaction is of one database."""
        return []

    def left_behind(self, connection: Connection) -> str:
        """The invalid indexes."""
        from .postgresql_indexes import in_words, invalid_indexes

        try:
            found = invalid_indexes(connection)
        except Exception:
            # Something worse is being told already.
            return ""
        return f"No query can use what is left of an index: {in_words(found)}" if found else ""

    def translate(self, error: BaseException, where: str | None = None) -> MigrationError | None:
        """
        The typed error for what PostgreSQL said, or None where it is the migration's own affair.

        Args:
            where: The migration and the statement that met it.

        Source: https://www.postgresql.org/docs/current/errcodes-appendix.html
        """
        from ..errors import ConfigurationError, DatabaseNotWritable, DatabaseUnavailable, DiskFull

        origin, code = getattr(error, "orig", error), sqlstate(error)
        if not isinstance(origin, self.engine.dialect.loaded_dbapi.Error):
            return None
        reason = str(origin).strip().partition("\n")[0]
        if code == LOCK_NOT_AVAILABLE:
            # NOWAIT says so as well.
            waited = "lock timeout" in reason
            return self.locked(f"{where}; {reason}" if where else reason, _HOLDER_HINT, waited=waited)
        if code == _ABORTED and where is None and self.database.bound:
            return ConfigurationError(
                f"The transaction of the Connection that was handed in has failed already: {reason}.\n"
                "  PostgreSQL runs nothing more in it; nothing was changed.\n"
                "Roll it back, then migrate; or pass the Engine."
            )
        if code in ("25006", "42501") and where is None:
            return DatabaseNotWritable(self.name, reason, READ_ONLY_HINT)
        if code == "53100":
            return DiskFull(self.name, f"{reason}; {where}" if where else reason)
        lost = isinstance(error, DBAPIError) and error.connection_invalidated
        # Of a connection that was never had there is no code; a statement that was cancelled is the migration's.
        refused = code != QUERY_CANCELED and code[:2] in ("08", "28", "3D", "57") if code else where is None
        if lost or refused:
            said = f"  {where}: what it had not committed was undone by the server.\n" if where else ""
            return DatabaseUnavailable(
                f"The connection to {self.name} was refused or lost: {reason}.\n{said}"
                + (_OTHER_LOOP if "another operation is in progress" in reason else "")
                + refused_hint('database "' in reason and "does not exist" in reason)
            )
        return None
