"""Backend: one database, how it is read and locked, and what its errors mean."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, TypeVar

from ..connection import display_name

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from ..connection import DatabaseConnection
    from ..errors import DatabaseLocked, MigrationError
    from .session import Session

__all__ = ["Backend", "refused_hint"]

T = TypeVar("T")


class Backend(ABC):
    """
    Reads, locks and transactions of one database.

    Attributes:
        file: The file of the URL; None for one in memory, for a URI, and for what a server keeps.
        lock_timeout: Seconds to wait for what another connection has locked.
        statement_timeout: Seconds that a statement of a migration may take; None for any.
    """

    file: str | None = None

    locks_whole_calls = False
    """Whether the lock is held from the first read of a call to its end: whoever has it finds nobody else at work."""

    def __init__(
        self, database: DatabaseConnection, lock_timeout: float, statement_timeout: float | None = None
    ) -> None:
        self.database, self.engine = database, database.engine
        self.lock_timeout, self.statement_timeout = lock_timeout, statement_timeout

    @property
    def name(self) -> str:
        """How messages call the database."""
        return display_name(self.engine)

    @abstractmethod
    def session(self) -> Session:
        """A connection with real transactions, for the time of one call."""

    @abstractmethod
    def one_thread(self) -> AbstractContextManager[Any]:
        """Keep the other threads of this process out, where all have one connection."""

    @abstractmethod
    def patiently(self, action: Callable[[], T]) -> T:
        """The result of *action*, tried again while the database is busy, for lock_timeout seconds."""

    @abstractmethod
    def translate(self, error: BaseException, where: str | None = None) -> MigrationError | None:
        """
        The typed error for what the database said, or None where it is the migration's own affair.

        Args:
            where: The migration and the statement that met it.
        """

    @abstractmethod
    def non_atomic_files(self, connection: Connection) -> list[str]:
        """Files that a crash can leave behind the main one, where a transaction is of several."""

    def left_behind(self, connection: Connection) -> str:
        """What interrupted migrations outside transactions have left there that is of no use, in words."""
        return ""

    @contextmanager
    def translating(self) -> Iterator[None]:
        """Raise the typed error for what the database says inside."""
        try:
            yield
        except Exception as error:
            unavailable = self.translate(error)
            if unavailable is None:
                raise
            raise unavailable from error

    def read(self, action: Callable[[], T]) -> T:
        """
        The result of *action*, which reads, however long the database is busy.

        Raises:
            DatabaseUnavailable: It cannot be read.
        """
        with self.translating(), self.one_thread():
            return self.patiently(action)

    def read_row(self, sql: str) -> tuple[Any, ...] | None:
        """The first row of a query; nothing is written and no lock is kept."""
        connection = self.database.connection
        if connection is not None:
            with self._aside(connection):
                return tuple(connection.exec_driver_sql(sql).one())
        return self.read(lambda: self._read_once(sql))

    def _aside(self, connection: Connection) -> AbstractContextManager[Any]:
        """Where a query that fails does no harm to the transaction that a caller has open."""
        return nullcontext()

    def _read_once(self, sql: str) -> tuple[Any, ...] | None:
        # The pool's connection and not engine.connect(): an engine whose "begin" event takes the write lock
        # must not do so for a read.
        pooled = self.engine.raw_connection()
        try:
            cursor = self._cursor(pooled)
            cursor.execute(sql)
            row: tuple[Any, ...] | None = cursor.fetchone()
            cursor.close()
            return row
        finally:
            pooled.close()

    def _cursor(self, pooled: Any) -> Any:
        """A cursor whose rows are tuples."""
        return pooled.cursor()

    def locked(self, holder: str = "", hint: str = "", *, waited: bool = True) -> DatabaseLocked:
        """The error for a lock that was not had in time, or that was not *waited* for."""
        from ..errors import DatabaseLocked

        return DatabaseLocked(self.name, self.lock_timeout, holder, hint, waited=waited)


def refused_hint(is_missing: bool) -> str:
    """What to do where a server lets nobody in, or has no such database."""
    if is_missing:
        return "Create the database, or correct its name, and start again: sqlmig makes tables only."
    return "Look whether the server runs and lets this user in, and start again."
