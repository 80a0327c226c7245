"""
One connection to SQLite whose transactions begin and end where sqlmig says, and nowhere else.

Python's sqlite3 has three ways of opening transactions behind its user's back (`isolation_level`, `autocommit`
since 3.12, and engines whose "begin" event issues BEGIN). For its own connection a session switches all of them
off and puts them back when it ends; in a caller's transaction it touches none and works in savepoints.
"""

from __future__ import annotations

import math
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any

from ..connection import begin, in_autocommit
from ..errors import DatabaseLocked, TransactionMisused
from ..turns import current_stop
from .session import LOSING_METHODS, Session
from .sqlite import ask, driver_error, is_busy, pragma, primary_code, quoted

if TYPE_CHECKING:
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
# Of SQLite's virtual machine, between two looks at the clock: about a millisecond.
_INSTRUCTIONS = 10_000
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


class SQLiteSession(Session):
    """
    A connection for the time of one call; use it as a context manager.

    Attributes:
        connection: For everything that runs inside.
        joined: Whether the transaction is the caller's, which is never committed here.
        driver_begins: Whether the application's connection begins transactions by itself.
    """

    driver_begins: bool

    _how_it_ended = (
        "SQLite ended its transaction (INSERT OR ROLLBACK, RAISE(ROLLBACK) or a full disk does that),"
        " so that nothing after it could have been undone"
    )

    def __init__(self, backend: SQLiteBackend) -> None:
        super().__init__(backend)
        self._pragmas = False
        self._seen: list[Any] = []
        self._schemas = ["main"]
        # The PRAGMAs that tell of the schema of each file; None where files may have come or gone.
        self._files: list[str] | None = None
        self._settings: dict[str, Any] = {}
        self._raw: Any = None
        # What an engine's connections always ask; None but in a rehearsal.
        self._at_rest: Any = backend.engine.get_execution_options().get("sqlmig_authorizer")
        self._timeout = 0
        # When the statement that runs has run too long, by time.monotonic().
        self._deadline = math.inf
        self._overdue = False

    def _enter(self, stack: ExitStack) -> None:
        stack.enter_context(self._backend.one_thread())
        given = self._backend.database.connection
        # What an application does as it connects (PRAGMA journal_mode) may meet a lock as well.
        connect = self._backend.engine.connect
        self.connection = given if given is not None else stack.enter_context(self._backend.patiently(connect))
        raw: Any = self.connection.connection.dbapi_connection
        self._raw = raw
        stop = current_stop()
        if stop is not None:
            stop.call_on_ask(raw.interrupt)
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
        if self._backend.statement_timeout is not None:
            stack.enter_context(self._clocked())
        stack.enter_context(self._backend.database.at_work(self.connection))
        stack.enter_context(self._listening())

    @property
    def raw(self) -> Any:
        """The driver's own connection."""
        return self._raw

    @property
    def in_transaction(self) -> bool:
        """Whether SQLite has a transaction open on the connection."""
        return bool(self._raw.in_transaction)

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
    def _on_guard(self) -> Iterator[None]:
        self._pragmas = False
        self._files = None
        # Set anew each time: it makes SQLite compile again what sqlite3 has kept, so that nothing passes unseen.
        self._raw.set_authorizer(self._authorize)
        try:
            yield
        finally:
            with suppress(sqlite3.ProgrammingError):
                self._raw.set_authorizer(self._at_rest)
            if self._pragmas:
                # They would be in force for the next migration of the run.
                self.restore_settings()

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

    def _authorize(
        self, action: int, what: str | None, name: str | None, schema: str | None, trigger: str | None
    ) -> int:
        if self._at_rest is not None and self._at_rest(action, what, name, schema, trigger) != sqlite3.SQLITE_OK:
            return sqlite3.SQLITE_DENY
        if action in (sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH):
            self._files = None
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

    @contextmanager
    def _clocked(self) -> Iterator[None]:
        """
        Have a statement interrupted that takes too long.

        Source: https://sqlite.org/c3ref/progress_handler.html
        """
        self._raw.set_progress_handler(self._out_of_time, _INSTRUCTIONS)
        try:
            yield
        finally:
            with suppress(sqlite3.ProgrammingError):
                self._raw.set_progress_handler(None, 0)

    def _out_of_time(self) -> bool:
        if time.monotonic() < self._deadline or (self._observer is not None and self._observer.busy):
            return False
        # What comes next, to undo it, has all the time that it needs.
        self._deadline, self._overdue = math.inf, True
        return True

    def _begins(self, statement: str) -> None:
        if self._backend.statement_timeout is not None:
            self._deadline, self._overdue = time.monotonic() + self._backend.statement_timeout, False

    def _ends(self, statement: str) -> None:
        self._deadline = math.inf

    def _is_overdue(self, error: Exception) -> bool:
        origin = driver_error(error)
        return self._overdue and origin is not None and primary_code(origin) == sqlite3.SQLITE_INTERRUPT

    def _lost_to(self, error: Exception) -> bool:
        """Whether SQLite ended the transaction, and not because of a full disk, which says so itself."""
        return not self.in_transaction and self._backend.translate(error) is None

    def _changed(self) -> object:
        return self._raw.total_changes, self._lasting_shape()

    def _lasting_shape(self) -> list[tuple[str, Any]]:
        if self._files is None:
            listed = ask(self._raw, "PRAGMA database_list")
            self._files = [f"{quoted(row[1])}.schema_version" for row in listed if row[1] != "temp"]
        return [(file, self._pragma(file)) for file in self._files]

    def shape(self) -> object:
        """Numbers that change with the schema of each file, and with that of what is temporary."""
        with self.unobserved():
            return self._lasting_shape(), self._pragma("temp.schema_version")

    def _has_fleeting(self) -> bool:
        """Whether there are temporary tables, of the migration's own."""
        ours = "name NOT LIKE 'sqlmig%'"
        with self.unobserved():
            return bool(ask(self._raw, f"SELECT 1 FROM sqlite_temp_master WHERE type = 'table' AND {ours} LIMIT 1"))

    def require_writable(self) -> None:
        """
        Write once, in the transaction that is open: on a file that is read-only BEGIN IMMEDIATE does not fail.
        """
        self._execute(f"PRAGMA main.user_version = {self._pragma('main.user_version')}")

    @contextmanager
    def _outside_transactions(self) -> Iterator[None]:
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

    def _check(self, statement: str) -> None:
        if not self._raw.in_transaction:
            raise self._ended()


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
