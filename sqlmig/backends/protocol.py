"""What a backend offers, whichever database it is for."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from types import TracebackType

    from sqlalchemy.engine import Connection, Engine

    from ..connection import DatabaseConnection
    from ..errors import MigrationError

__all__ = ["OBSERVER", "UNDONE", "Backend", "Observer", "Session"]

OBSERVER = "sqlmig_observer"
"""Under which `Connection.info` has the observer, while a migration runs."""

UNDONE = "sqlmig_undone"
"""Under which it has how many savepoints were rolled back."""

T = TypeVar("T")


class Observer(Protocol):
    """
    Somebody who looks at what a migration does, statement by statement.

    Attributes:
        busy: Whether it is itself asking something of the database.
    """

    @property
    def busy(self) -> bool: ...

    def hear(self, action: int, what: str | None, name: str | None, schema: str | None, trigger: str | None) -> None:
        """The word of SQLite's authorizer, while a statement is compiled."""

    def before(self, sql: str, parameters: Any, many: bool) -> None:
        """A statement is about to run."""

    def after(self, rowcount: int) -> None:
        """It has run."""


class Session(Protocol):
    """
    A connection for the time of one call, whose transactions begin and end where sqlmig says, and nowhere else.

    Attributes:
        connection: For everything that runs inside.
        joined: Whether the transaction is the caller's, which is never committed here.
        raw: The driver's own connection.
    """

    connection: Connection
    joined: bool

    @property
    def raw(self) -> Any: ...

    def __enter__(self) -> Session: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def translate(self, error: BaseException) -> MigrationError | None:
        """The typed error for what the database said; None where it is the migration's own affair."""

    def transaction(self) -> AbstractContextManager[None]:
        """Hold the lock, and commit what happens inside together or not at all."""

    def look(self, schema: str | None = None) -> None:
        """Remember the database as it is now."""

    def unchanged(self) -> bool:
        """Whether nobody else can have changed the records since `look`."""

    def guarded(self, observer: Observer | None = None) -> AbstractContextManager[None]:
        """Run a migration's own code: COMMIT, ROLLBACK and BEGIN are refused before they have an effect."""

    def unobserved(self) -> AbstractContextManager[None]:
        """Run statements of our own in the middle of a migration."""

    def commit_so_far(self, between: Callable[[], None]) -> None:
        """Commit in the middle of a guarded migration, call *between*, and begin again."""

    def writes(self) -> object:
        """Something that is another after each change of a row or of the schema by this connection."""

    def is_unsure(self, before: object, now: object) -> bool:
        """Whether what was written between two `writes()` may be gone again, or goes with the connection."""

    def loosely(self) -> AbstractContextManager[None]:
        """Run a migration's own code outside a transaction."""

    def require_own_transactions(self, what: str) -> None:
        """Refuse *what* in a caller's transaction."""

    def require_writable(self) -> None:
        """Write once, or fail as the database does where nothing can be written."""

    def restore_settings(self, but: str = "") -> None:
        """Give the connection back the settings that it came with, *but* one."""

    def abandon(self) -> None:
        """Undo a transaction that a migration outside transactions has left open."""


class Backend(Protocol):
    """One database: how it is read, locked, and what its errors mean."""

    database: DatabaseConnection
    engine: Engine
    lock_timeout: float
    file: str | None

    @property
    def name(self) -> str:
        """How messages call the database."""

    def read(self, action: Callable[[], T]) -> T:
        """The result of *action*, which reads."""

    def read_row(self, sql: str) -> tuple[Any, ...] | None:
        """The first row of a query; nothing is written and no lock is kept."""

    def session(self) -> Session:
        """A connection with real transactions, for the time of one call."""

    def one_thread(self) -> AbstractContextManager[None]:
        """Keep the other threads of this process out, where all have one connection."""

    def patiently(self, action: Callable[[], T]) -> T:
        """The result of *action*, tried again while the database is busy, for lock_timeout seconds."""

    def translate(self, error: BaseException, where: str | None = None) -> MigrationError | None:
        """The typed error for what the database said, or None where it is the migration's own affair."""

    def non_atomic_files(self, connection: Connection) -> list[str]:
        """Files that a crash can leave behind the main one, where a transaction is of several."""
