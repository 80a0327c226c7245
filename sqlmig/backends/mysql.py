"""
MariaDB and MySQL: each statement that changes the schema commits by itself, and a named lock keeps all others out.

Source: https://mariadb.com/kb/en/get_lock/
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import StaticPool

from ..connection import pool_lock
from ..turns import pause
from .backend import Backend, refused_hint

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from ..connection import DatabaseConnection
    from ..errors import MigrationError
    from .mysql_session import MySQLSession

__all__ = ["MySQLBackend", "code_of"]

T = TypeVar("T")

# Source: https://mariadb.com/kb/en/mariadb-error-code-reference/
_LOCKED = (1205, 1213, 3058, 3572)
_CHANGING = (1412, 1684)
_FULL = (1021, 1114)
_NOT_WRITABLE = (1142, 1223, 1290, 1792, 1836)
_NO_DATABASE = 1049
_REFUSED = (1040, 1044, 1045, 1046, _NO_DATABASE, 1129, 1130, 1203, 1226, 1698, 2002, 2003, 2005)
_LOST = (1053, 1077, 1152, 1158, 1159, 1160, 1161, 1927, 2006, 2013, 2055, 4031)


class MySQLBackend(Backend):
    """
    Reads, locks and transactions of one database of a MariaDB or MySQL server.

    Args:
        records: What the versions table is called, with its schema: two histories of one database do not wait for
            each other.
    """

    locks_whole_calls = True

    def __init__(
        self, database: DatabaseConnection, lock_timeout: float, records: str, statement_timeout: float | None = None
    ) -> None:
        super().__init__(database, lock_timeout, statement_timeout)
        self.records = records

    def lock_name(self, schema: str) -> str:
        """The name of the lock; names are the server's own, and have at most 64 characters."""
        import hashlib

        name = self.records if "." in self.records else f"{schema}.{self.records}"
        return f"sqlmig {hashlib.sha256(name.lower().encode()).hexdigest()[:40]}"

    def session(self) -> MySQLSession:
        """A connection with the lock, for the time of one call."""
        from .mysql_session import MySQLSession

        return MySQLSession(self)

    def one_thread(self) -> AbstractContextManager[Any]:
        """Keep the other threads of this process out, where all have one connection."""
        pool = self.engine.pool
        return pool_lock(pool) if isinstance(pool, StaticPool) else nullcontext()

    def patiently(self, action: Callable[[], T]) -> T:
        """The result of *action*, tried again while somebody else changes the definition of what it reads."""
        deadline = time.monotonic() + self.lock_timeout
        while True:
            try:
                return action()
            except DBAPIError as error:
                origin = error.orig
                if origin is None or code_of(origin) not in _CHANGING or time.monotonic() >= deadline:
                    raise
                pause(0.02)

    def non_atomic_files(self, connection: Connection) -> list[str]:
        """None: what commits by itself is found out statement by statement."""
        return []

    def translate(self, error: BaseException, where: str | None = None) -> MigrationError | None:
        """
        The typed error for what the server said, or None where it is the migration's own affair.

        Args:
            where: The migration and the statement that met it.
        """
        from ..errors import DatabaseNotWritable, DatabaseUnavailable, DiskFull

        origin = getattr(error, "orig", error)
        if not isinstance(origin, self.engine.dialect.loaded_dbapi.Error):
            return None
        code, reason = code_of(origin), _reason(origin)
        about = f"{reason}; {where}" if where else reason
        if code in _LOCKED:
            return self.locked(f"{where}; {reason}" if where else reason, "Let the other finish, and start again.")
        if code in _FULL or "No space left" in reason or "error 28 " in reason:
            hint = "Free space on the disk of the server, then start again."
            undone = "What was not committed yet was undone by the server."
            return DiskFull(self.name, about, undone=undone, hint=hint)
        if code in _NOT_WRITABLE and where is None:
            hint = "Look at the grants of its user, and whether the server or its transactions are read-only."
            return DatabaseNotWritable(self.name, reason, hint)
        # Of a connection that is closed, PyMySQL says 0 and nothing.
        lost = code in _LOST or (isinstance(error, DBAPIError) and error.connection_invalidated) or code == 0
        if lost or (where is None and code in _REFUSED):
            said = f"  {where}; what it had not committed was undone by the server.\n" if where else ""
            found = DatabaseUnavailable(
                f"The connection to {self.name} was refused or lost: {reason}.\n{said}"
                + refused_hint(code == _NO_DATABASE)
            )
            found.lost = lost
            return found
        return None


def code_of(origin: BaseException) -> int | None:
    """The server's number for an error; None where the driver gives none."""
    first = origin.args[0] if origin.args else None
    return first if isinstance(first, int) else getattr(origin, "errno", None)


def _reason(origin: BaseException) -> str:
    """What the server said, in one line."""
    said = [str(part) for part in origin.args if part not in ("", 0, None)]
    return " ".join(said).strip().partition("\n")[0] or "the connection is closed"
