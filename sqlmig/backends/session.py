"""
Session: one connection whose transactions begin and end where sqlmig says, and nowhere else.

What a migration must not do to the connection that it runs on is refused before it has an effect.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from sqlalchemy import event

from ..errors import NotAtomic, StatementOverdue, TransactionMisused
from ..turns import current_stop, stop_if_asked

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from sqlalchemy.engine import Connection

    from ..errors import MigrationError
    from .backend import Backend

__all__ = ["LOSING_METHODS", "OBSERVER", "Observer", "Session", "Steps", "Writes", "note_undone"]

OBSERVER = "sqlmig_observer"
"""Under which `Connection.info` has the observer, while a migration runs."""

LOSING_METHODS = ("close", "invalidate", "detach")
"""Methods of a Connection after which it is another one, or none."""

_UNDONE = "sqlmig_undone"
"""Under which `Connection.info` has how many savepoints were rolled back."""


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


class Steps(Protocol):
    """Somebody who keeps account of what a database commits by itself in the middle of a migration."""

    def before(self, statement: str, wrote: bool) -> None:
        """A statement is about to run that may commit; whether rows were *wrote* since the last one did."""

    def after(self, committed: bool, done: bool) -> None:
        """Whether it has *committed*; it is *done*, or has failed."""

    def ended_unseen(self) -> None:
        """The transaction is not the one that was begun, and nobody has seen how it ended."""

    def has_stayed(self) -> None:
        """The transaction was undone, but for rows of tables that know no transactions."""


class Writes(NamedTuple):
    """
    Numbers that are others after each change of a row or of the schema by a connection.

    Attributes:
        undone: How many savepoints were rolled back, whose changes a database goes on counting.
    """

    undone: int
    changed: object


class Session(ABC):
    """
    A connection for the time of one call; use it as a context manager.

    Attributes:
        connection: For everything that runs inside.
        joined: Whether the transaction is the caller's, which is never committed here.
    """

    connection: Connection
    joined: bool

    commits_ddl = False
    """Whether the database commits with each statement that changes the schema, so that it cannot be undone."""

    _may_be_lost = False
    """Whether a server may end the connection, which SQLAlchemy then invalidates."""

    _how_it_ended = "its transaction was ended by the database"

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._stack = ExitStack()
        self._observer: Observer | None = None
        self._guarding = self._left = False
        self._attempted: str | None = None

    def __enter__(self) -> Self:
        with self._backend.translating(), ExitStack() as stack:
            self._enter(stack)
            self._stack = stack.pop_all()
        return self

    @abstractmethod
    def _enter(self, stack: ExitStack) -> None:
        """Have a connection, and on the *stack* what is to be put back at the end."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)
        unavailable = self.translate(error) if error is not None else None
        if unavailable is not None:
            raise unavailable from error

    def translate(self, error: BaseException, where: str | None = None) -> MigrationError | None:
        """
        The typed error for what the database said; None where it is the migration's own affair.

        Args:
            where: The migration and the statement that met it, where that is undone by now.
        """
        return self._backend.translate(error, where)

    @property
    @abstractmethod
    def raw(self) -> Any:
        """The driver's own connection."""

    # Transactions

    @property
    @abstractmethod
    def in_transaction(self) -> bool:
        """Whether a transaction of ours is open."""

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """
        Hold the lock, and commit what happens inside together or not at all.

        Raises:
            DatabaseLocked: The lock was not had in time.
            TransactionMisused: The transaction was ended from inside.
        """
        self._begin()
        try:
            yield
            if not self.in_transaction:
                raise TransactionMisused("The transaction was ended from inside.")
            self._commit()
        except BaseException:
            _hear_stop()
            self._rollback()
            raise

    @abstractmethod
    def _begin(self) -> None: ...

    @abstractmethod
    def _commit(self) -> None: ...

    @abstractmethod
    def _rollback(self) -> None: ...

    @abstractmethod
    def abandon(self) -> None:
        """Undo a transaction that a migration outside transactions has left open; never a caller's."""

    @abstractmethod
    def look(self, schema: str | None = None) -> None:
        """Remember the database as it is now, in the transaction that reads it."""

    @abstractmethod
    def unchanged(self) -> bool:
        """Whether nobody else can have changed the records since `look`."""

    @abstractmethod
    def require_writable(self) -> None:
        """Fail, in the transaction that is open, where nothing can be written."""

    def require_own_transactions(self, what: str) -> None:
        """Refuse *what* in a caller's transaction."""
        if self.joined:
            raise NotAtomic(
                f"{what} cannot run inside the transaction of the Connection that was handed in.\n"
                "  It needs to begin and to commit by itself.\n"
                "Pass the Engine instead of a Connection."
            )

    def following(self, steps: Steps | None) -> AbstractContextManager[None]:
        """Tell *steps* of each statement that commits by itself, where there are such."""
        return nullcontext()

    @abstractmethod
    def restore_settings(self, but: str = "") -> None:
        """Give the connection back the settings that it came with, *but* one, whatever a migration has set."""

    # A migration's own code

    @contextmanager
    def guarded(self, observer: Observer | None = None) -> Iterator[None]:
        """
        Run a migration's own code: COMMIT, ROLLBACK and BEGIN are refused before they have an effect.

        Args:
            observer: Told of every statement.

        Raises:
            TransactionMisused: It tried, or the transaction has ended, or is another one, afterwards.
            StatementOverdue: A statement took longer than statement_timeout.
        """
        self._attempted, self._guarding, self._left = None, True, False
        try:
            # Refused before SQLAlchemy has taken its own transaction for ended.
            with self._refusing("commit", "rollback", *LOSING_METHODS), self._on_guard():
                self._observer = observer
                self.connection.info[OBSERVER] = observer
                yield
        except BaseException as error:
            _hear_stop()
            if not isinstance(error, Exception):
                raise
            self._raise_if_overdue(error)
            if not self._left and (self._attempted or self._lost_to(error)):
                raise self._ended() from error
            raise
        finally:
            self._guarding, self._observer = False, None
            with suppress(Exception):
                del self.connection.info[OBSERVER]
        if self._attempted or not self._is_intact():
            raise self._ended()

    def _on_guard(self) -> AbstractContextManager[None]:
        """What a database needs besides, to notice what is refused."""
        return nullcontext()

    def _is_intact(self) -> bool:
        """Whether the transaction is open that was open before."""
        return self.in_transaction

    def _lost_to(self, error: Exception) -> bool:
        """Whether the database ended the transaction, and what was raised does not say so."""
        return False

    def commit_so_far(self, between: Callable[[], None]) -> None:
        """
        Commit in the middle of a guarded migration, call *between*, and begin again.

        Raises:
            TransactionMisused: The migration has ended the transaction.
        """
        if self._attempted or not self._is_intact():
            raise self._ended()
        self._guarding = False
        try:
            self._commit()
            # From here on, what fails is not the migration's transaction.
            self._left = True
            between()
            self._begin()
            self._left = False
        finally:
            self._guarding = True

    @contextmanager
    def loosely(self) -> Iterator[None]:
        """
        Run a migration's own code outside a transaction; its statements wait as long as anybody's for a lock.

        Raises:
            TransactionMisused: It left a transaction open; what it had not committed was undone.
            StatementOverdue: A statement took longer than statement_timeout.
        """
        try:
            with self._outside_transactions():
                yield
        except Exception as error:
            self._raise_if_overdue(error)
            raise

    @abstractmethod
    def _outside_transactions(self) -> AbstractContextManager[None]:
        """What `loosely` needs of the database."""

    def _raise_if_overdue(self, error: Exception) -> None:
        seconds, own = self._time_for_a_statement()
        if seconds is not None and self._is_overdue(error):
            raise StatementOverdue(seconds, getattr(error, "statement", None), own=own) from error

    def _time_for_a_statement(self) -> tuple[float | None, bool]:
        """Seconds that one may take, and whether that is a limit of the connection's own."""
        return self._backend.statement_timeout, False

    @abstractmethod
    def _is_overdue(self, error: Exception) -> bool:
        """Whether it is the database's word for a statement that took too long."""

    def lift(self) -> None:  # noqa: B027 - most databases need not be told
        """Have questions of our own, in the middle of a migration, take the time that they take."""

    def _limit_again(self) -> None:  # noqa: B027 - the same
        """A statement of the migration's is about to run."""

    @contextmanager
    def unobserved(self) -> Iterator[None]:
        """Run statements of our own in the middle of a migration."""
        observer, self._observer = self._observer, None
        try:
            yield
        finally:
            self._observer = observer

    # What it has written

    def writes(self) -> Writes:
        """What was written so far."""
        with self.unobserved():
            return Writes(self.connection.info.get(_UNDONE, 0), self._changed())

    @abstractmethod
    def _changed(self) -> object:
        """Something that is another after each change of a row or of the schema by this connection."""

    def shape(self) -> object:
        """Numbers that change with the schema; None where nobody asks for them."""
        return None

    def wrote_since(self, before: Writes) -> bool | None:
        """Whether something was written that is there to stay; None where that cannot be told, and nothing may be."""
        now = self.writes()
        if now == before:
            return False
        return None if now.undone != before.undone or self._has_fleeting() else True

    def _has_fleeting(self) -> bool:
        """Whether there is something that goes with the connection, and whose changes are counted all the same."""
        return False

    # What is refused, and listened to

    @contextmanager
    def _refusing(self, *methods: str) -> Iterator[None]:
        """Have these methods of the Connection raise."""
        for method in methods:
            setattr(self.connection, method, self._refuse(method))
        try:
            yield
        finally:
            for method in methods:
                delattr(self.connection, method)

    def _refuse(self, method: str) -> Callable[..., None]:
        def refuse(error: object = None) -> None:
            if isinstance(error, BaseException) and not isinstance(error, Exception):
                # Ctrl-C in a statement: SQLAlchemy gives the connection up, which has yet to roll back.
                return
            if isinstance(error, Exception) and self._may_be_lost:
                getattr(type(self.connection), method)(self.connection, error)
                return
            self._attempted = f"{method}()"
            raise self._ended()

        return refuse

    @contextmanager
    def _listening(self) -> Iterator[None]:
        """Have SQLAlchemy's events look out for ends of transactions, and tell of statements."""

        def refuse(word: str) -> Any:
            def listener(_: Connection) -> None:
                if self._guarding:
                    self._attempted = word
                    raise self._ended()

            return listener

        def before(_: object, __: object, statement: str, parameters: Any, ___: object, many: bool) -> None:
            stop_if_asked()
            if self._guarding:
                self._check(statement)
            note_undone(self.connection, statement)
            self._begins(statement)
            if self._observer is not None:
                self._observer.before(statement, parameters, many)
            if self._guarding or self.joined:
                self._about_to_run(statement)
            if self._observer is not None:
                self._limit_again()

        def after(_: object, cursor: Any, statement: str, *__: object) -> None:
            self._ends(statement)
            if self._guarding:
                self._has_run(statement, cursor.rowcount)
            if self._observer is not None:
                self._observer.after(cursor.rowcount)

        listeners = {
            "commit": refuse("COMMIT"),
            "rollback": refuse("ROLLBACK"),
            "before_cursor_execute": before,
            "after_cursor_execute": after,
        }
        for name, listener in listeners.items():
            event.listen(self.connection, name, listener)
        try:
            yield
        finally:
            for name, listener in listeners.items():
                event.remove(self.connection, name, listener)

    @abstractmethod
    def _check(self, statement: str) -> None:
        """Refuse a statement of a guarded migration that would end its transaction, or come after its end."""

    def _begins(self, statement: str) -> None:  # noqa: B027 - most databases need not know
        """Any statement is about to run."""

    def _ends(self, statement: str) -> None:  # noqa: B027 - the same
        """Any statement has run, and has not failed."""

    def _about_to_run(self, statement: str) -> None:  # noqa: B027 - most databases need not know
        """A statement of a guarded migration is about to run that was not refused."""

    def _has_run(self, statement: str, rowcount: int) -> None:  # noqa: B027 - the same
        """It has run."""

    def _ended(self) -> TransactionMisused:
        if self._attempted:
            return TransactionMisused(
                f"it issued {self._attempted}, and a migration must not end the transaction that it runs in"
                " (use `with self.db.transaction()` for a savepoint, or `transactional = False`)"
            )
        return TransactionMisused(self._how_it_ended)


def _hear_stop() -> None:
    """What was raised ends the call, and may be what an interrupt did: what is undone now is not to be interrupted."""
    stop = current_stop()
    if stop is not None:
        stop.heard()


def note_undone(connection: Connection, statement: str = "ROLLBACK") -> None:
    """Count a statement that rolls a savepoint back."""
    if statement.lstrip()[:8].upper() == "ROLLBACK":
        connection.info[_UNDONE] = connection.info.get(_UNDONE, 0) + 1
