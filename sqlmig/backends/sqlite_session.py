"""
One connection to SQLite whose transactions begin and end where sqlmig says, and nowhere else.

Python's sqlite3 has three ways of opening transactions behind its user's back (`isolation_level`, `autocommit`
since 3.12, and engines whose "begin" event issues BEGIN). For its own connection a session switches all of them
off and puts them back when it ends; in a caller's transaction it touches none and works in savepoints.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any

from ..connection import begin, in_autocommit
from ..errors import DatabaseLocked, NotAtomic, TransactionMisused
from .protocol import OBSERVER, UNDONE
from .refusing import LOSING_METHODS, Refusing, note_undone
from .sqlite import ask, is_busy, pragma, quoted

if TYPE_CHECKING:
    from types import TracebackType

    from sqlalchemy.engine import Connection

    from ..errors import MigrationError
    from .protocol import Observer
    from .sqlite import SQLiteBackend

__all__ = ["SQLiteSession"]

_SAVEPOINT = "sqlmig_step"
# Spelled as nobody else spells them: sqlite3 keeps compiled statements by their text, and a statement that is kept
# passes the authorizer unseen. A migration's own "COMMIT" must be compiled anew.
_OURS = os.urandom(8).hex()
_COMMIT = f"COMMIT /* {_OURS} */"
_ROLLBACK = f"ROLLBACK /* {_OURS} */"
_SAVE = f"SAVEPOINT {_SAVEPOINT} /* {_OURS} */"
_RELEASE = f"RELEASE {_SAVEPOINT} /* {_OURS} */"
_ROLLBACK_TO = f"ROLLBACK TO {_SAVEPOINT} /* {_OURS} */"
# What a migration may change of a connection that is the application's again afterwards.
_SETTINGS = (
    "query_only",
    "foreign_keys",
    "ignore_check_constraints",
    "legacy_alter_table",
    "recursive_triggers",
    "writable_schema",
    "synchronous",
    "locking_mode",
    "trusted_schema",
    "read_uncommitted",
    "automatic_index",
    "reverse_unordered_selects",
    "cell_size_check",
    "cache_size",
)


class SQLiteSession(Refusing):
    """
    A connection for the time of one call; use it as a context manager.

    Attributes:
        connection: For everything that runs inside.
        joined: Whether the transaction is the caller's, which is never committed here.
        driver_begins: Whether the application's connection begins transactions by itself.
    """

    connection: Connection
    joined: bool
    driver_begins: bool

    def __init__(self, backend: SQLiteBackend) -> None:
        self._backend = backend
        self._stack = ExitStack()
        self._pragmas = self._left = False
        self._observer: Observer | None = None
        self._seen: list[Any] = []
        self._schemas = ["main"]
        self._settings: dict[str, Any] = {}
        self._raw: Any = None
        # What an engine's connections always ask; None but in a rehearsal.
        self._at_rest: Any = backend.engine.get_execution_options().get("sqlmig_authorizer")
        self._timeout = 0

    def __enter__(self) -> SQLiteSession:
        try:
            return self._enter()
        except Exception as error:
            unavailable = self.translate(error)
            if unavailable is None:
                raise
            raise unavailable from error

    def _enter(self) -> SQLiteSession:
        with ExitStack() as stack:
            stack.enter_context(self._backend.one_thread())
            given = self._backend.database.connection
            # What an application does as it connects (PRAGMA journal_mode) may meet a lock as well.
            connect = self._backend.engine.connect
            self.connection = given if given is not None else stack.enter_context(self._backend.patiently(connect))
            raw: Any = self.connection.connection.dbapi_connection
            self._raw = raw
            self.driver_begins = not in_autocommit(raw)
            self._settle()
            self.joined = given is not None and (raw.in_transaction or not in_autocommit(raw))
            if self.joined:
                if not raw.in_transaction:
                    self._backend.patiently(lambda: raw.cursor().execute("BEGIN IMMEDIATE"))
                begin(self.connection)
            else:
                stack.enter_context(_no_hidden_transactions(raw))
                self._timeout = self._pragma("busy_timeout")
                stack.callback(self._wait_for, self._timeout)
                # In short turns, so that lock_timeout and an interrupt are obeyed.
                self._wait_for(100)
            # Some of them read the schema, which a writer may keep locked.
            self._settings = self._backend.patiently(lambda: {name: self._pragma(name) for name in _SETTINGS})
            stack.callback(self.restore_settings)
            stack.enter_context(self._backend.database.at_work(self.connection))
            stack.enter_context(self._watch())
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)
        unavailable = self.translate(error) if error is not None else None
        if unavailable is not None:
            raise unavailable from error

    def translate(self, error: BaseException) -> MigrationError | None:
        """The typed error for what SQLite said."""
        return self._backend.translate(error)

    @property
    def raw(self) -> Any:
        """The driver's own connection."""
        return self._raw

    @property
    def in_transaction(self) -> bool:
        """Whether SQLite has a transaction open on the connection."""
        return bool(self._raw.in_transaction)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """
        Hold the write lock, and commit what happens inside together or not at all.

        Raises:
            DatabaseLocked: The lock was not had in time.
        """
        self._begin()
        try:
            yield
            if not self.in_transaction:
                raise TransactionMisused("The transaction was ended from inside.")
            self._commit()
        except BaseException:
            self._rollback()
            raise

    def look(self, schema: str | None = None) -> None:
        """Remember the database as it is now, the attached *schema* as well, in the transaction that reads it."""
        self._schemas = ["main"] if schema is None else ["main", schema]
        self._seen = self._data_versions()

    def unchanged(self) -> bool:
        """
        Whether no other connection has committed anything since `look`.

        Source: https://sqlite.org/pragma.html#pragma_data_version
        """
        return self._seen == self._data_versions()

    def _data_versions(self) -> list[Any]:
        return [self._pragma(f"{quoted(schema)}.data_version") for schema in self._schemas]

    def _pragma(self, name: str) -> Any:
        return pragma(self._raw, name)

    @contextmanager
    def guarded(self, observer: Observer | None = None) -> Iterator[None]:
        """
        Run a migration's own code: COMMIT, ROLLBACK and BEGIN are refused before they have an effect.

        Args:
            observer: Told of every statement.

        Raises:
            TransactionMisused: It tried, or SQLite ended the transaction on a conflict.
        """
        self._attempted, self._guarding, self._pragmas, self._left = None, True, False, False
        stack = ExitStack()
        # Refused before SQLAlchemy has taken its own transaction for ended.
        stack.enter_context(self._refusing("commit", "rollback", *LOSING_METHODS))
        # Set anew each time: it makes SQLite compile again what sqlite3 has kept, so that nothing passes unseen.
        self._raw.set_authorizer(self._authorize)
        self._observer = observer
        self.connection.info[OBSERVER] = observer
        try:
            yield
        except BaseException as error:
            if isinstance(error, Exception) and not self._left and (self._attempted or self._lost_to(error)):
                raise self._ended() from error
            raise
        finally:
            self._guarding, self._observer = False, None
            with suppress(Exception):
                del self.connection.info[OBSERVER]
            stack.close()
            with suppress(sqlite3.ProgrammingError):
                self._raw.set_authorizer(self._at_rest)
            if self._pragmas:
                # They would be in force for the next migration of the run.
                self.restore_settings()
        if self._attempted or not self.in_transaction:
            raise self._ended()

    def leave(self) -> None:
        """Commit, in the middle of a migration that needs it; from here on its statements stand for themselves."""
        self._guarding, self._left = False, True
        self._raw.set_authorizer(self._at_rest)
        self._commit()
        self._wait_for(max(self._timeout, int(min(self._backend.lock_timeout, 86_400) * 1000)))

    def come_back(self) -> None:
        """Begin again, so that the migration ends as every other does."""
        self._wait_for(100)
        # They cannot be set inside a transaction; `foreign_keys` is its caller's affair.
        self.restore_settings(but="foreign_keys")
        self._begin()
        self._left = False

    def commit_so_far(self, between: Callable[[], None]) -> None:
        """
        Commit in the middle of a guarded migration, call *between* without the lock, and begin again.

        Raises:
            TransactionMisused: The migration has ended the transaction.
        """
        if self._attempted or not self.in_transaction:
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
    def unobserved(self) -> Iterator[None]:
        """Run statements of our own in the middle of a migration."""
        observer, self._observer = self._observer, None
        try:
            yield
        finally:
            self._observer = observer

    def _authorize(
        self, action: int, what: str | None, name: str | None, schema: str | None, trigger: str | None
    ) -> int:
        if self._at_rest is not None and self._at_rest(action, what, name, schema, trigger) != sqlite3.SQLITE_OK:
            return sqlite3.SQLITE_DENY
        if not self._guarding:
            return sqlite3.SQLITE_OK
        observer = self._observer
        if observer is not None:
            if observer.busy:
                return sqlite3.SQLITE_OK
            observer.hear(action, what, name, schema, trigger)
        if action == sqlite3.SQLITE_TRANSACTION:
            self._attempted = what
            return sqlite3.SQLITE_DENY
        if action == sqlite3.SQLITE_PRAGMA:
            self._pragmas = True
        if action == sqlite3.SQLITE_SAVEPOINT and name == _SAVEPOINT:
            self._attempted = f"{what} {name}"
            return sqlite3.SQLITE_DENY
        # After INSERT OR ROLLBACK the next statement would commit by itself.
        return sqlite3.SQLITE_OK if self._raw.in_transaction else sqlite3.SQLITE_DENY

    def _lost_to(self, error: Exception) -> bool:
        """Whether SQLite ended the transaction, and not because of a full disk, which says so itself."""
        return not self.in_transaction and self._backend.translate(error) is None

    def writes(self) -> object:
        """Something that is another after each change of a row or of the schema by this connection."""
        with self.unobserved():
            places = [row[1] for row in ask(self._raw, "PRAGMA database_list") if row[1] != "temp"]
            shapes = tuple(self._pragma(f"{quoted(place)}.schema_version") for place in places)
            return self.connection.info.get(UNDONE, 0), self._raw.total_changes, shapes

    def is_unsure(self, before: object, now: object) -> bool:
        """Whether a savepoint was rolled back in between, or there are temporary tables: SQLite counts all."""
        if before is None or now is None or before[0] != now[0]:  # type: ignore[index]
            return True
        ours = "name NOT LIKE 'sqlmig%'"
        with self.unobserved():
            return bool(ask(self._raw, f"SELECT 1 FROM sqlite_temp_master WHERE type = 'table' AND {ours} LIMIT 1"))

    def require_own_transactions(self, what: str) -> None:
        """Refuse *what* in a caller's transaction."""
        if self.joined:
            raise NotAtomic(
                f"{what} cannot run inside the transaction of the Connection that was handed in.\n"
                "  It needs to begin and to commit by itself.\n"
                "Pass the Engine instead of a Connection."
            )

    def require_writable(self) -> None:
        """
        Write once, in the transaction that is open: on a file that is read-only BEGIN IMMEDIATE does not fail.
        """
        self._execute(f"PRAGMA main.user_version = {self._pragma('main.user_version')}")

    @contextmanager
    def loosely(self) -> Iterator[None]:
        """
        Run a migration's own code outside a transaction; its statements wait as long as anybody's for a lock.

        Raises:
            TransactionMisused: It left a transaction open; what it had not committed was undone.
        """
        self._wait_for(max(self._timeout, int(min(self._backend.lock_timeout, 86_400) * 1000)))
        try:
            with self._refusing(*LOSING_METHODS):
                yield
        finally:
            self._wait_for(100)
            self.restore_settings()
        if self.in_transaction:
            self.abandon()
            raise TransactionMisused("it began a transaction and did not end it, so that this was undone")

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Give the lock back for a moment, in a transaction that has written nothing yet."""
        self._execute(_ROLLBACK)
        try:
            yield
        finally:
            self._begin()

    def _wait_for(self, milliseconds: int) -> None:
        with suppress(sqlite3.ProgrammingError):
            self._raw.cursor().execute(f"PRAGMA busy_timeout = {milliseconds}")

    def restore_settings(self, but: str = "") -> None:
        """Give the connection back the settings that it came with, *but* one, whatever a migration has set."""
        with suppress(sqlite3.ProgrammingError):
            for name, value in self._settings.items():
                # `foreign_keys` is ignored in a transaction, and set when the session ends.
                if name != but and self._pragma(name) != value:
                    self._raw.cursor().execute(f"PRAGMA {name} = {value}")

    def abandon(self) -> None:
        """Undo a transaction that a migration outside transactions has left open."""
        if self.in_transaction and not self.joined:
            self._execute(_ROLLBACK)

    def _settle(self) -> None:
        """
        Let SQLAlchemy begin, so that no "begin" event fires later, and end what such an event began.

        An engine that was made by SQLAlchemy's recipe for SQLite issues BEGIN there.
        """
        if self.connection.in_transaction():
            return
        if self.connection.get_transaction() is not None:
            # A migration's own commit() was refused, and SQLAlchemy takes its transaction for a broken one.
            self.connection.rollback()
        self._backend.patiently(self.connection.begin)
        if self._backend.database.connection is None and self.in_transaction:
            self._raw.rollback()

    def _begin(self) -> None:
        if self.joined:
            self._execute(_SAVE)
            self._become_writer()
            return
        self._settle()
        self._backend.patiently(lambda: self._execute("BEGIN IMMEDIATE"))

    def _become_writer(self) -> None:
        """
        Take the write lock now.

        Raises:
            DatabaseLocked: Another has it, and a transaction that has read cannot wait: SQLite would have two such
                wait for each other.
        """
        try:
            self.require_writable()
        except sqlite3.OperationalError as error:
            if not is_busy(error):
                raise
            raise DatabaseLocked(
                self._backend.name,
                0,
                "the joined transaction has read already, and SQLite lets no such reader wait for the lock",
                "Pass the Engine, or begin the transaction with BEGIN IMMEDIATE.",
            ) from error

    def _commit(self) -> None:
        if self.joined:
            self._execute(_RELEASE)
            return
        # A reader in another process can hold up a COMMIT (rollback journal); the transaction stays open.
        self._backend.patiently(lambda: self._execute(_COMMIT))

    def _rollback(self) -> None:
        self._guarding = False
        if not self.in_transaction:
            return
        if self.joined:
            self._execute(_ROLLBACK_TO)
            self._execute(_RELEASE)
        else:
            self._execute(_ROLLBACK)

    def _execute(self, sql: str) -> None:
        self._raw.cursor().execute(sql)

    @contextmanager
    def _watch(self) -> Iterator[None]:
        """Have SQLAlchemy's events look out for ends of transactions, and tell of statements."""
        raw = self._raw

        def before(_: object, __: object, statement: str, parameters: Any, ___: object, many: bool) -> None:
            if self._guarding and not raw.in_transaction:
                raise self._ended()
            note_undone(self.connection, statement)
            if self._observer is not None:
                self._observer.before(statement, parameters, many)

        def after(_: object, cursor: Any, *__: object) -> None:
            if self._observer is not None:
                self._observer.after(cursor.rowcount)

        with self._listening(before_cursor_execute=before, after_cursor_execute=after):
            yield

    _how_it_ended = (
        "SQLite ended its transaction (INSERT OR ROLLBACK, RAISE(ROLLBACK) or a full disk does that),"
        " so that nothing after it could have been undone"
    )


@contextmanager
def _no_hidden_transactions(raw: Any) -> Iterator[None]:
    """Leave BEGIN and COMMIT to us, and put the application's own settings back afterwards."""
    autocommit = getattr(raw, "autocommit", None)
    isolation_level = raw.isolation_level
    if autocommit is False:
        raw.autocommit = True
    else:
        raw.isolation_level = None
    try:
        yield
    finally:
        if autocommit is False:
            raw.autocommit = False
        else:
            raw.isolation_level = isolation_level
