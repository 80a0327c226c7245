"""
One connection to PostgreSQL that holds the lock for the whole of a call, and whose transactions are ours to end.

The lock belongs to the server's session and not to a transaction: it outlives each commit in between, and is free
again the moment its holder dies. It is had before any transaction begins, so that under REPEATABLE READ the first
thing that is read is what its last holder wrote; and by asking again and again, for whoever stood waiting inside
`pg_advisory_lock` would keep a CREATE INDEX CONCURRENTLY waiting too.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from ..errors import DatabaseNotWritable, NotAtomic, TransactionMisused
from ..sql_text import split_statements
from .protocol import OBSERVER, UNDONE
from .refusing import LOSING_METHODS, Refusing, note_undone

if TYPE_CHECKING:
    from types import TracebackType

    from sqlalchemy.engine import Connection, NestedTransaction

    from ..errors import MigrationError
    from .postgresql import PostgreSQLBackend
    from .protocol import Observer

__all__ = ["PostgreSQLSession"]

# What a migration may set for a connection that is the application's again afterwards.
_SETTINGS = (
    "search_path",
    "role",
    "statement_timeout",
    "lock_timeout",
    "idle_in_transaction_session_timeout",
    "session_replication_role",
    "check_function_bodies",
    "row_security",
    "TimeZone",
    "DateStyle",
    "standard_conforming_strings",
)
_MAY_END = re.compile(r"\b(commit|end|rollback|abort|begin|start|prepare)\b", re.IGNORECASE)
_ENDS = re.compile(
    r"\s*(commit|end|abort|begin|start\s+transaction|prepare\s+transaction"
    r"|rollback(?!\s+(work\s+|transaction\s+)?to\b))\b",
    re.IGNORECASE,
)
_COMMENT = re.compile(r"\A(\s+|--[^\n]*(\n|\Z)|/\*.*?\*/)+", re.DOTALL)


class PostgreSQLSession(Refusing):
    """
    A connection for the time of one call; use it as a context manager.

    Attributes:
        connection: For everything that runs inside.
        joined: Whether the transaction is the caller's, which is never committed here.
    """

    connection: Connection
    joined: bool
    _may_be_lost = True

    def __init__(self, backend: PostgreSQLBackend) -> None:
        self._backend = backend
        self._stack = ExitStack()
        self._observer: Observer | None = None
        self._settings: dict[str, str] = {}
        self._nested: NestedTransaction | None = None
        self._number: Any = None

    def __enter__(self) -> PostgreSQLSession:
        try:
            return self._enter()
        except Exception as error:
            unavailable = self.translate(error)
            if unavailable is None:
                raise
            raise unavailable from error

    def _enter(self) -> PostgreSQLSession:
        with ExitStack() as stack:
            stack.enter_context(self._backend.one_thread())
            given = self._backend.database.connection
            self.connection = given if given is not None else stack.enter_context(self._backend.engine.connect())
            self.joined = given is not None and given.in_transaction()
            if not self.joined:
                stack.enter_context(self._transactional())
            stack.enter_context(self._locked())
            self._settings = self._read_settings()
            stack.enter_context(self._backend.database.at_work(self.connection))
            stack.enter_context(self._listening(before_cursor_execute=self._before, after_cursor_execute=self._after))
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
        """The typed error for what PostgreSQL said."""
        return self._backend.translate(error)

    @property
    def raw(self) -> Any:
        """The driver's own connection."""
        return self.connection.connection.dbapi_connection

    # The lock

    @contextmanager
    def _transactional(self) -> Iterator[None]:
        """Real transactions, also on an engine that was asked for AUTOCOMMIT."""
        if not getattr(self.raw, "autocommit", False):
            yield
            return
        usual = self.connection.default_isolation_level
        self.connection.execution_options(isolation_level=usual if usual != "AUTOCOMMIT" else "READ COMMITTED")
        try:
            yield
        finally:
            if not self.connection.invalidated:
                self.abandon()
                self.connection.execution_options(isolation_level="AUTOCOMMIT")

    @contextmanager
    def _locked(self) -> Iterator[None]:
        key = self._backend.lock_key(str(self._value("SELECT coalesce(current_schema(), '')")))
        # In a caller's transaction the lock is kept until that ends, whoever ends it.
        scope = "_xact" if self.joined else ""
        self._wait_for(f"SELECT pg_try_advisory{scope}_lock({key})", key)
        try:
            yield
        finally:
            if not self.joined and not self.connection.invalidated and not self.connection.closed:
                with suppress(Exception):
                    self.abandon()
                    self._value(f"SELECT pg_advisory_unlock({key})")
                    self.connection.rollback()

    def _wait_for(self, attempt: str, key: int) -> None:
        deadline = time.monotonic() + self._backend.lock_timeout
        pause = 0.002
        while True:
            had = self._value(attempt)
            if had:
                self._rest()
                return
            if time.monotonic() >= deadline:
                holder = self._holder(key)
                self._rest()
                raise self._backend.locked(holder, "Let it finish, and start again.")
            self._rest()
            time.sleep(pause)
            pause = min(pause * 1.5, 0.05)

    def _holder(self, key: int) -> str:
        """Who has the lock, as the server tells."""
        found = self.connection.execute(
            text(
                "SELECT a.pid, a.usename, a.application_name, a.client_addr FROM pg_locks l JOIN pg_stat_activity a"
                " ON a.pid = l.pid WHERE l.locktype = 'advisory' AND l.granted"
                " AND (l.classid::bigint << 32) + l.objid::bigint = :key"
            ),
            {"key": key},
        ).first()
        if found is None:
            return "another process is migrating it"
        place = f" at {found[3]}" if found[3] else ""
        program = f" ({found[2]})" if found[2] else ""
        return f"server process {found[0]} of {found[1]}{place}{program} is migrating it"

    def _rest(self) -> None:
        """End the transaction that a read has begun; the lock of a session stays."""
        if not self.joined:
            self.connection.rollback()

    def _value(self, sql: str) -> Any:
        return self.connection.exec_driver_sql(sql, execution_options={"no_parameters": True}).scalar()

    # Transactions

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction of ours is open."""
        return self._nested is not None if self.joined else self.connection.in_transaction()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """
        Commit what happens inside together or not at all.

        Raises:
            TransactionMisused: It was ended from inside.
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
        """Nothing to remember: the lock is held until the session ends."""

    def unchanged(self) -> bool:
        """True: whoever writes records has the lock."""
        return True

    def _begin(self) -> None:
        if self.joined:
            self._nested = self.connection.begin_nested()
            return
        self.abandon()
        self.connection.begin()

    def _commit(self) -> None:
        if self.joined:
            assert self._nested is not None
            self._nested.commit()
            self._nested = None
            return
        self.connection.commit()

    def _rollback(self) -> None:
        self._guarding = False
        if not self.joined:
            self.abandon()
        elif self._nested is not None:
            nested, self._nested = self._nested, None
            if nested.is_active:
                nested.rollback()

    def abandon(self) -> None:
        """Undo whatever transaction is open, but a caller's."""
        if not self.joined and self.connection.in_transaction():
            with suppress(Exception):
                self.connection.rollback()

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
        Refuse a server that takes no writes: a standby, or a transaction that may only read.

        Raises:
            DatabaseNotWritable: It is one.
        """
        if self._value("SHOW transaction_read_only") == "on":
            raise DatabaseNotWritable(self._backend.name, "its transactions may only read (a standby, perhaps)")

    # A migration's own code

    @contextmanager
    def guarded(self, observer: Observer | None = None) -> Iterator[None]:
        """
        Run a migration's own code: COMMIT, ROLLBACK and BEGIN are refused before they have an effect.

        Args:
            observer: Told of every statement.

        Raises:
            TransactionMisused: It tried, or the transaction is another one afterwards.
        """
        self._number = self._value("SELECT txid_current()")
        self._attempted, self._guarding = None, True
        self._observer = observer
        self.connection.info[OBSERVER] = observer
        try:
            with self._refusing("commit", "rollback", *LOSING_METHODS):
                yield
        except BaseException as error:
            if isinstance(error, Exception) and self._attempted:
                raise self._ended() from error
            raise
        finally:
            self._guarding, self._observer = False, None
            with suppress(Exception):
                del self.connection.info[OBSERVER]
        if self._attempted or not self.in_transaction or self._value("SELECT txid_current()") != self._number:
            raise self._ended()
        self.restore_settings()

    def commit_so_far(self, between: Callable[[], None]) -> None:
        """
        Commit in the middle of a guarded migration, call *between*, and begin again; the lock is held on.

        Raises:
            TransactionMisused: The migration has ended the transaction.
        """
        if self._attempted or not self.in_transaction or self._value("SELECT txid_current()") != self._number:
            raise self._ended()
        self._guarding = False
        try:
            # Refused to the migration by these very names.
            type(self.connection).commit(self.connection)
            between()
            self.connection.begin()
            self._number = self._value("SELECT txid_current()")
        finally:
            self._guarding = True

    def writes(self) -> object:
        """
        Something that is another after each change of a row or of the schema by this transaction.

        Source: https://www.postgresql.org/docs/current/monitoring-stats.html; the catalogues' own rows are counted too.
        """
        with self.unobserved():
            changed = self._value(
                "SELECT sum(n_tup_ins + n_tup_upd + n_tup_del) FROM pg_stat_xact_all_tables"
                " WHERE schemaname NOT LIKE 'pg\\_temp%'"
            )
            return self.connection.info.get(UNDONE, 0), changed

    def is_unsure(self, before: object, now: object) -> bool:
        """Whether a savepoint was rolled back in between: PostgreSQL goes on counting what was tried."""
        return before is None or now is None or before[0] != now[0]  # type: ignore[index]

    @contextmanager
    def unobserved(self) -> Iterator[None]:
        """Run statements of our own in the middle of a migration."""
        observer, self._observer = self._observer, None
        try:
            yield
        finally:
            self._observer = observer

    @contextmanager
    def loosely(self) -> Iterator[None]:
        """
        Run a migration's own code outside a transaction.

        Raises:
            TransactionMisused: It left a transaction open; what it had not committed was undone.
        """
        self.abandon()
        before = self.connection.get_isolation_level()
        self.connection.execution_options(isolation_level="AUTOCOMMIT")
        left = False
        try:
            with self._refusing(*LOSING_METHODS):
                yield
            # Outside of one, each statement is the beginning of its transaction.
            left = bool(self._value("SELECT now() <> statement_timestamp()"))
        finally:
            if not self.connection.invalidated:
                self._end_by_hand()
                self.connection.rollback()
                self.connection.execution_options(isolation_level=before)
                self.restore_settings()
                self.connection.commit()
        if left:
            raise TransactionMisused("it began a transaction and did not end it, so that this was undone")

    def _end_by_hand(self) -> None:
        """Under AUTOCOMMIT, SQLAlchemy sends no ROLLBACK, and a migration may have sent BEGIN."""
        with suppress(Exception):
            cursor = self.raw.cursor()
            cursor.execute("ROLLBACK")
            cursor.close()

    def _read_settings(self) -> dict[str, str]:
        listed = ", ".join(f"'{name}'" for name in _SETTINGS)
        rows = self.connection.exec_driver_sql(f"SELECT name, setting FROM pg_settings WHERE name IN ({listed})").all()
        self._rest()
        return {row[0]: row[1] for row in rows}

    def restore_settings(self, but: str = "") -> None:
        """Give the connection back the settings that it came with, whatever a migration has set."""
        listed = ", ".join(f"'{name}'" for name in _SETTINGS)
        with suppress(Exception):
            query = f"SELECT name, setting FROM pg_settings WHERE name IN ({listed})"
            for name, setting in self.connection.exec_driver_sql(query).all():
                if name != but and setting != self._settings[name]:
                    self.connection.execute(
                        text("SELECT set_config(:name, :value, false)"), {"name": name, "value": self._settings[name]}
                    )

    def _before(self, _: object, __: object, statement: str, parameters: Any, ___: object, many: bool) -> None:
        if self._guarding and _MAY_END.search(statement):
            for one in split_statements(statement):
                found = _ENDS.match(_COMMENT.sub("", one))
                if found is not None:
                    self._attempted = found[1].upper()
                    raise self._ended()
        note_undone(self.connection, statement)
        if self._observer is not None:
            self._observer.before(statement, parameters, many)

    def _after(self, _: object, cursor: Any, *__: object) -> None:
        if self._observer is not None:
            self._observer.after(cursor.rowcount)
