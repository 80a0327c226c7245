"""
One connection to MariaDB or MySQL that holds the lock for the whole of a call, and whose transactions are ours to end.

A statement that changes the schema commits what was done before it, and cannot be undone. Which statements may do so is
told by their first words; whether one has done so is asked of the server: a savepoint that was there before it is gone
afterwards, on every release and without any privilege. What commits is told to `Steps` before it runs, so that
its mark becomes permanent with it and not a moment earlier.

Source: https://mariadb.com/kb/en/sql-statements-that-cause-an-implicit-commit/
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any

from ..autocommit import BY_HAND
from ..errors import NotAtomic, TransactionMisused, shorten
from ..turns import pause
from .mysql import code_of
from .mysql_settings import MySQLSettings, use
from .mysql_statements import ends_transaction, is_read, may_commit
from .raw import ask_any, backticked
from .session import LOSING_METHODS, Session

if TYPE_CHECKING:
    from sqlalchemy.engine import NestedTransaction

    from .mysql import MySQLBackend
    from .session import Observer, Steps

__all__ = ["MySQLSession"]

_BEGINNING, _AHEAD, _TRIAL = "sqlmig_beginning", "sqlmig_ahead", "sqlmig_trial"
_NO_SUCH_SAVEPOINT = 1305
_NOT_UNDONE = 1196
_OVERDUE = (1969, 3024)


class MySQLSession(Session):
    """
    A connection for the time of one call; use it as a context manager.

    Attributes:
        connection: For everything that runs inside.
        joined: Whether the transaction is the caller's, which is never committed here.
    """

    _backend: MySQLBackend
    _may_be_lost = True
    commits_ddl = True

    def __init__(self, backend: MySQLBackend) -> None:
        super().__init__(backend)
        self._settings: MySQLSettings | None = None
        self._nested: NestedTransaction | None = None
        self._steps: Steps | None = None
        self._ahead: str | None = None
        self._refused: NotAtomic | None = None
        self._wrote = False
        self._writing = self._temporary = 0

    def _enter(self, stack: ExitStack) -> None:
        stack.enter_context(self._backend.one_thread())
        given = self._backend.database.connection
        self.connection = given if given is not None else stack.enter_context(self._backend.engine.connect())
        if given is not None and self._backend.database.lent:
            given.rollback()
        self.joined = given is not None and given.in_transaction()
        self._settings = MySQLSettings(self._say)
        if not self.joined:
            stack.enter_context(self._transactional())
        stack.enter_context(self._locked())
        stack.callback(self._settings.give_back)
        self._settings.limit(self._backend.lock_timeout, self._backend.statement_timeout)
        self._rest()
        stack.enter_context(self._backend.database.at_work(self.connection))
        stack.enter_context(self._listening())

    @property
    def raw(self) -> Any:
        """The driver's own connection."""
        return self.connection.connection.dbapi_connection

    def _say(self, sql: str) -> list[tuple[Any, ...]]:
        """What a statement of our own gives; SQLAlchemy's events do not hear of it."""
        return ask_any(self.raw, sql)

    def _value(self, sql: str) -> Any:
        return self._say(sql)[0][0]

    # The lock

    @contextmanager
    def _transactional(self) -> Iterator[None]:
        """Real transactions, also on an engine that was asked for AUTOCOMMIT."""
        if not self._value("SELECT @@autocommit"):
            yield
            return
        self._say("SET autocommit = 0")
        try:
            yield
        finally:
            with suppress(Exception):
                self.abandon()
                self._say("SET autocommit = 1")

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """
        The lock of the server's session, which is free when that ends.

        In a caller's transaction it is given back before that commits; there it is the unique version that keeps
        another process from recording the same migration.
        """
        name = self._backend.lock_name(self._database or "")
        self._wait_for(name)
        try:
            yield
        finally:
            with suppress(Exception):
                if not self.joined:
                    self.abandon()
                self._say(f"DO RELEASE_LOCK('{name}')")

    def _wait_for(self, name: str) -> None:
        # Whole seconds only, for MySQL rounds; and one at a time, for a driver may have a timeout of its own.
        deadline = time.monotonic() + self._backend.lock_timeout
        while True:
            left = deadline - time.monotonic()
            if self._value(f"SELECT GET_LOCK('{name}', {1 if left >= 1 else 0})"):
                self._rest()
                return
            if left <= 0:
                raise self._backend.locked(self._holder(name), "Let it finish, and start again.")
            if left < 1:
                pause(min(left, 0.02))

    def _holder(self, name: str) -> str:
        """Who has the lock, as far as this user may see it."""
        found: list[tuple[Any, ...]] = []
        number = self._value(f"SELECT IS_USED_LOCK('{name}')")
        if number is None:
            return "another process was migrating it"
        with suppress(Exception):
            found = self._say(f"SELECT user, host FROM information_schema.processlist WHERE id = {int(number)}")
        who = f" of {found[0][0]} at {found[0][1]}" if found else ""
        return f"server connection {number}{who} is migrating it"

    def _rest(self) -> None:
        """End the transaction that a read has begun; the lock stays."""
        if not self.joined:
            self.connection.rollback()

    # Transactions

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction of ours is open."""
        return self._nested is not None if self.joined else self.connection.in_transaction()

    def look(self, schema: str | None = None) -> None:
        """Nothing to remember: the lock is held until the session ends."""

    def unchanged(self) -> bool:
        """True: whoever writes records has the lock."""
        return True

    def _begin(self) -> None:
        self._ahead, self._wrote = None, False
        if self.joined:
            self._nested = self.connection.begin_nested()
            return
        self.abandon()
        self.connection.begin()
        self._begin_on_server()

    def _begin_on_server(self) -> None:
        self._say("START TRANSACTION")
        self._say(f"SAVEPOINT {_BEGINNING}")
        self._wrote = False

    def _commit(self) -> None:
        if self.joined:
            assert self._nested is not None
            self._nested.commit()
            self._nested = None
            return
        # Refused to a migration by this very name.
        type(self.connection).commit(self.connection)

    def _rollback(self) -> None:
        self._guarding = False
        if not self.joined:
            with suppress(Exception):
                self._settle()
                self._say("ROLLBACK")
                if self._steps is not None and any(row[1] == _NOT_UNDONE for row in self._say("SHOW WARNINGS")):
                    self._steps.has_stayed()
            self.abandon()
        elif self._nested is not None:
            nested, self._nested = self._nested, None
            if nested.is_active:
                nested.rollback()

    def abandon(self) -> None:
        # One whose COMMIT has failed is there still, though it is not active.
        if not self.joined and self.connection.get_transaction() is not None:
            with suppress(Exception):
                self.connection.rollback()

    def require_writable(self) -> None:
        """
        Refuse a server or a user that takes no writes.

        Raises:
            DatabaseNotWritable: It is one.
        """
        place = ".".join(map(backticked, self._backend.records.split(".", 1)))
        try:
            # It deletes nothing, and is refused where a real one would be.
            self._say(f"DELETE FROM {place} WHERE version IS NULL AND version IS NOT NULL")
        except self._backend.engine.dialect.loaded_dbapi.Error as error:
            refused = self._backend.translate(error)
            if refused is not None:
                raise refused from error

    # A migration's own code

    @contextmanager
    def following(self, steps: Steps | None) -> Iterator[None]:
        """Tell *steps* of each statement that commits by itself; without any, such statements are refused."""
        # They are kept until the next ones: `_rollback`, which comes after this, has something to tell them.
        self._steps, self._refused, self._ahead = steps, None, None
        yield

    @contextmanager
    def guarded(self, observer: Observer | None = None) -> Iterator[None]:
        """As every session does; and the settings are put back in the transaction."""
        assert self._settings is not None
        with self._settings.clocked(), super().guarded(observer):
            yield
            # A statement that failed, and whose error was caught, may have committed.
            self._settle()
        if self._refused is not None:
            raise self._refused
        self.restore_settings()

    def _check(self, statement: str) -> None:
        ending = ends_transaction(statement)
        if ending is not None:
            self._attempted = ending
            raise self._ended()

    def lift(self) -> None:
        """Until the next statement of the migration."""
        if self._guarding and self._settings is not None:
            self._settings.lift()

    def _limit_again(self) -> None:
        if self._settings is not None:
            self._settings.limit_again()

    def _time_for_a_statement(self) -> tuple[float | None, bool]:
        own = self._settings.own_time() if self._settings is not None else None
        return super()._time_for_a_statement() if own is None else (own, True)

    def _begins(self, statement: str) -> None:
        if self.connection.info.get(BY_HAND) and may_commit(statement):
            raise self._commits(statement)

    def _about_to_run(self, statement: str) -> None:
        self._settle()
        if not may_commit(statement):
            return
        if self._steps is None or self.joined or self.connection.in_nested_transaction():
            self._refused = self._commits(statement)
            raise self._refused
        if not self._is_intact():
            raise self._ended()
        with self._ours():
            self._steps.before(statement, self._wrote)
        self._say(f"SAVEPOINT {_AHEAD}")
        self._ahead = statement

    def _has_run(self, statement: str, rowcount: int) -> None:
        if self._ahead is not None:
            self._settle(done=True)
        elif rowcount and not is_read(statement):
            self._wrote = True
            self._writing += 1

    def _settle(self, *, done: bool = False) -> None:
        """Find out whether the statement that was announced has committed, and have it known."""
        ahead, self._ahead = self._ahead, None
        if ahead is None or self._steps is None:
            return
        committed = not self._release(_AHEAD)
        self._writing += done or committed
        with self._ours():
            self._steps.after(committed, done)
        if committed:
            # Nothing else is in this transaction: what the mark says of it becomes permanent as well.
            self._say("COMMIT")
            self._begin_on_server()

    def _release(self, savepoint: str) -> bool:
        """Whether a savepoint was there still."""
        try:
            self._say(f"RELEASE SAVEPOINT {savepoint}")
        except self._backend.engine.dialect.loaded_dbapi.Error as error:
            if code_of(error) != _NO_SUCH_SAVEPOINT:
                raise
            return False
        return True

    @contextmanager
    def _ours(self) -> Iterator[None]:
        """Statements of our own in the middle of a migration, where its records are, whatever database it uses."""
        self.lift()
        guarding, self._guarding = self._guarding, False
        elsewhere = self._value("SELECT DATABASE()")
        moved = elsewhere != self._database and self._database is not None
        if moved:
            use(self._say, self._database)
        try:
            with self.unobserved():
                yield
        finally:
            self._guarding = guarding
            if moved:
                use(self._say, elsewhere)

    def _commits(self, statement: str) -> NotAtomic:
        if self.joined:
            why, hint = "the transaction of the Connection that was handed in", "Pass the Engine instead."
        elif self._steps is None and not self.connection.info.get(BY_HAND):
            why = "a transaction that is to hold all migrations together"
            hint = "Apply them one by one: sqlmig up --one-by-one, or migrate(all_or_nothing=False)"
        else:
            why = "what `with self.db.transaction()` is to undo if it fails"
            hint = "Put the statement before or behind that block."
        return NotAtomic(
            f"A statement was refused because {self.connection.dialect.name} may commit with it: {shorten(statement)}\n"
            f"  With that, it would have committed {why}; nothing of it was done.\n{hint}"
        )

    def _is_intact(self) -> bool:
        if not self.in_transaction:
            return False
        if self.joined:
            return True
        intact = self._release(_BEGINNING)
        if intact:
            self._say(f"SAVEPOINT {_BEGINNING}")
        elif self._steps is not None:
            self._steps.ended_unseen()
        return intact

    def _changed(self) -> object:
        """
        How many statements have written, and on MariaDB how many rows, also of those that the driver's cursor ran.

        Source: https://mariadb.com/kb/en/server-status-variables/#handler_write
        """
        if not getattr(self.connection.dialect, "is_mariadb", False):
            return self._writing
        names = "'Handler_write', 'Handler_update', 'Handler_delete'"
        return self._writing, self._say(f"SHOW SESSION STATUS WHERE Variable_name IN ({names})")

    @contextmanager
    def _outside_transactions(self) -> Iterator[None]:
        self.abandon()
        self._say("SET autocommit = 1")
        left = False
        try:
            assert self._settings is not None
            with self._refusing(*LOSING_METHODS), self._settings.clocked():
                yield
            self._say(f"SAVEPOINT {_TRIAL}")
            # Outside of a transaction it is gone at once.
            left = self._release(_TRIAL)
        finally:
            if not self.connection.invalidated:
                with suppress(Exception):
                    self._say("ROLLBACK")
                    self._say("SET autocommit = 0")
                self.abandon()
                self.restore_settings()
        if left:
            raise TransactionMisused("it began a transaction and did not end it, so that this was undone")

    def _is_overdue(self, error: Exception) -> bool:
        return code_of(getattr(error, "orig", None) or error) in _OVERDUE

    @property
    def _database(self) -> str | None:
        """The one that the connection came with."""
        return self._settings.database if self._settings is not None else None

    def restore_settings(self, but: str = "") -> None:
        """Give the connection back the settings that it came with, *but* one, whatever a migration has set."""
        with suppress(Exception):
            assert self._settings is not None
            self._settings.restore(but)

    def commit_so_far(self, between: Callable[[], None]) -> None:
        """As every session does; the lock is held on."""
        self._settle()
        super().commit_so_far(between)
