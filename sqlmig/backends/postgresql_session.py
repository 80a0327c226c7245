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

from ..autocommit import in_transaction
from ..errors import DatabaseNotWritable, InvalidIndex, TransactionMisused
from ..sql_text import split_statements, without_literals
from ..turns import pause
from .postgresql import READ_ONLY_HINT
from .postgresql_indexes import invalid_indexes, left_by
from .raw import LOCK_NOT_AVAILABLE, QUERY_CANCELED, ask_any, sqlstate
from .session import LOSING_METHODS, Session

if TYPE_CHECKING:
    from sqlalchemy.engine import NestedTransaction

    from ..errors import MigrationError
    from .postgresql import PostgreSQLBackend
    from .session import Observer

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
_KEEPS_SHAPES = re.compile(
    r"\s*(select|insert|update|delete|merge|with|values|savepoint|release|rollback|set|show|lock|explain)\b",
    re.IGNORECASE,
)
_MAY_END = re.compile(r"\b(commit|end|rollback|abort|begin|start|prepare)\b", re.IGNORECASE)
_ENDS = re.compile(
    r"\s*(commit|end|abort|begin|start\s+transaction|prepare\s+transaction"
    r"|rollback(?!\s+(work\s+|transaction\s+)?to\b))\b",
    re.IGNORECASE,
)
_OLDEST = """
SELECT pid, usename, application_name, extract(epoch FROM now() - xact_start)::bigint FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL ORDER BY xact_start LIMIT 1"""


class PostgreSQLSession(Session):
    """
    A connection for the time of one call; use it as a context manager.

    Attributes:
        connection: For everything that runs inside.
        joined: Whether the transaction is the caller's, which is never committed here.
    """

    _backend: PostgreSQLBackend
    _may_be_lost = True

    def __init__(self, backend: PostgreSQLBackend) -> None:
        super().__init__(backend)
        # What the connection came with, and what it has between migrations.
        self._given: dict[str, str] = {}
        self._settings: dict[str, str] = {}
        # What a connection's own statement_timeout is shortened to while a migration runs, and was when it was lifted.
        self._clock = self._lifted = ""
        self._limits: dict[str, str] = {}
        self._concurrent: list[str] | None = None
        self._nested: NestedTransaction | None = None
        self._number: Any = None

    def _enter(self, stack: ExitStack) -> None:
        stack.enter_context(self._backend.one_thread())
        given = self._backend.database.connection
        self.connection = given if given is not None else stack.enter_context(self._backend.engine.connect())
        if given is not None and self._backend.database.lent:
            given.rollback()
        self.joined = given is not None and given.in_transaction()
        if not self.joined:
            stack.enter_context(self._transactional())
        stack.enter_context(self._locked())
        self._given = self._settings = self._read_settings()
        stack.callback(self._give_back)
        self._limit()
        stack.enter_context(self._backend.database.at_work(self.connection))
        stack.enter_context(self._listening())

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
        moment = 0.002
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
            pause(moment)
            moment = min(moment * 1.5, 0.05)

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
        return f"{_process(*found)} is migrating it"

    def _rest(self) -> None:
        """End the transaction that a read has begun; the lock of a session stays."""
        if not self.joined:
            self.connection.rollback()

    # Limits

    def _limit(self) -> None:
        """Have no statement wait longer than it may, and know how long one may run; a shorter limit stays."""
        waits = self._shorter("lock_timeout", self._backend.lock_timeout)
        self._clock = self._shorter("statement_timeout", self._backend.statement_timeout)
        if waits:
            self._settings = {**self._settings, "lock_timeout": waits}
            self._set("lock_timeout", waits, here=self.joined)
        # In a transaction of the caller's they end with it, or his own SET LOCAL would become one for ever.
        self._limits = {"lock_timeout": waits, "statement_timeout": self._clock} if self.joined else {}
        if not self.joined:
            # With a ROLLBACK they would be gone.
            self.connection.commit()

    def _shorter(self, name: str, seconds: float | None) -> str:
        """In milliseconds, where a limit of the connection's own is longer."""
        own = int(self._given[name])
        if seconds is None or 0 < own <= seconds * 1000:
            return ""
        # 0 would be any time.
        return str(max(1, int(min(seconds * 1000, 2**31 - 1))))

    @contextmanager
    def _clocked(self) -> Iterator[None]:
        """Have no statement run longer than it may; what sqlmig itself has to write and to count is no part of that."""
        if not self._clock:
            yield
            return
        calm, self._lifted = self._settings, ""
        self._settings = {**calm, "statement_timeout": self._clock}
        self._set("statement_timeout", self._clock, here=self.joined)
        try:
            yield
            # Or what it has set by itself would not be seen.
            self._limit_again()
        finally:
            self._settings, self._lifted = calm, ""

    def lift(self) -> None:
        """Until the next statement of the migration."""
        if self._guarding and self._clock and not self._lifted:
            own = self._given["statement_timeout"]
            said = f"SELECT current_setting('statement_timeout'), set_config('statement_timeout', '{own}', true)"
            self._lifted = str(ask_any(self.raw, said)[0][0])

    def _limit_again(self) -> None:
        if self._lifted:
            # A transaction that has failed takes none, and undoes what was set in it.
            with suppress(Exception):
                ask_any(self.raw, f"SELECT set_config('statement_timeout', '{self._lifted}', true)")
            self._lifted = ""

    def _time_for_a_statement(self) -> tuple[float | None, bool]:
        own = int(self._given["statement_timeout"])
        return (own / 1000, True) if own and not self._clock else super()._time_for_a_statement()

    def _give_back(self) -> None:
        """The connection as it came."""
        self._settings = self._given
        if not self.connection.invalidated and not self.connection.closed:
            self.abandon()
            self.restore_settings()
            if not self.joined:
                with suppress(Exception):
                    self.connection.commit()

    def _set(self, name: str, value: str, *, here: bool = False) -> None:
        """For the session, or only until the transaction ends."""
        said = text(f"SELECT set_config(:name, :value, {'true' if here else 'false'})")
        self.connection.execute(said, {"name": name, "value": value})

    def _value(self, sql: str) -> Any:
        return self.connection.exec_driver_sql(sql, execution_options={"no_parameters": True}).scalar()

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
        # Refused to a migration by this very name.
        type(self.connection).commit(self.connection)

    def _rollback(self) -> None:
        self._guarding = False
        if not self.joined:
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

    def translate(self, error: BaseException, where: str | None = None) -> MigrationError | None:
        """As every session does; of a lock that was not had, who may have it."""
        if where is not None and sqlstate(error) == LOCK_NOT_AVAILABLE:
            where += self._oldest()
        return super().translate(error, where)

    def _oldest(self) -> str:
        """The transaction of somebody else that has been open longest, as far as this user may see it."""
        with suppress(Exception):
            found = self.connection.exec_driver_sql(_OLDEST, execution_options={"no_parameters": True}).first()
            self._rest()
            if found is not None:
                *who, seconds = found
                return f"; the oldest transaction is that of {_process(*who)}, open for {seconds} s"
        return ""

    def _is_overdue(self, error: Exception) -> bool:
        return sqlstate(error) == QUERY_CANCELED and "statement timeout" in str(error)

    def require_writable(self) -> None:
        """
        Refuse a server that takes no writes: a standby, or a transaction that may only read.

        Raises:
            DatabaseNotWritable: It is one.
        """
        if self._value("SHOW transaction_read_only") == "on":
            raise DatabaseNotWritable(
                self._backend.name, "its transactions may only read (a standby, perhaps)", READ_ONLY_HINT
            )

    # A migration's own code

    @contextmanager
    def guarded(self, observer: Observer | None = None) -> Iterator[None]:
        """As every session does; a transaction is known by its number, and the settings are put back in it."""
        self._number = self._transaction_number()
        with self._clocked(), super().guarded(observer):
            yield
        self.restore_settings()

    def _is_intact(self) -> bool:
        return self.in_transaction and self._transaction_number() == self._number

    def commit_so_far(self, between: Callable[[], None]) -> None:
        """As every session does; the lock is held on."""
        super().commit_so_far(between)
        self._number = self._transaction_number()

    def _transaction_number(self) -> Any:
        with self.unobserved():
            return self._value("SELECT txid_current()")

    def _changed(self) -> object:
        """
        How many rows were changed, those of the catalogues included.

        Source: https://www.postgresql.org/docs/current/monitoring-stats.html
        """
        return self._value(
            "SELECT sum(n_tup_ins + n_tup_upd + n_tup_del) FROM pg_stat_xact_all_tables"
            " WHERE schemaname NOT LIKE 'pg\\_temp%'"
        )

    @contextmanager
    def _outside_transactions(self) -> Iterator[None]:
        self.abandon()
        before = self.connection.get_isolation_level()
        self.connection.execution_options(isolation_level="AUTOCOMMIT")
        left = False
        try:
            with self._refusing(*LOSING_METHODS), self._valid_indexes(), self._clocked():
                yield
            left = in_transaction(self.connection)
        finally:
            if not self.connection.invalidated:
                self._end_by_hand()
                self.connection.rollback()
                self.connection.execution_options(isolation_level=before)
                self.restore_settings()
                self.connection.commit()
        if left:
            raise TransactionMisused("it began a transaction and did not end it, so that this was undone")

    @contextmanager
    def _valid_indexes(self) -> Iterator[None]:
        """
        Refuse to take a migration for done that has left an index invalid, or has taken such a one for whole.

        Raises:
            InvalidIndex: It did.
        """
        before = {index.oid for index in invalid_indexes(self.connection)}
        self._concurrent = []
        try:
            yield
            said = self._concurrent
        finally:
            self._concurrent = None
        for index in invalid_indexes(self.connection):
            if left_by(index, said, before):
                raise InvalidIndex(index.name, index.table, f"DROP INDEX {index.sql}")

    def _begins(self, statement: str) -> None:
        if self._concurrent is not None and "concurrently" in statement.lower():
            self._concurrent.append(statement)

    def _end_by_hand(self) -> None:
        """Under AUTOCOMMIT, SQLAlchemy sends no ROLLBACK, and a migration may have sent BEGIN."""
        with suppress(Exception):
            ask_any(self.raw, "ROLLBACK")

    def _read_settings(self) -> dict[str, str]:
        listed = ", ".join(f"'{name}'" for name in _SETTINGS)
        rows = self.connection.exec_driver_sql(f"SELECT name, setting FROM pg_settings WHERE name IN ({listed})").all()
        return {row[0]: row[1] for row in rows}

    def restore_settings(self, but: str = "") -> None:
        """Give the connection back the settings that it came with, *but* one, whatever a migration has set."""
        with suppress(Exception):
            for name, setting in self._read_settings().items():
                if name != but and setting != self._settings[name]:
                    ours = self._limits.get(name) == setting
                    if not ours:
                        self._set(name, self._given[name])
                    if ours or self._given[name] != self._settings[name]:
                        self._set(name, self._settings[name], here=self.joined)

    def _ends(self, statement: str) -> None:
        # asyncpg's statements stay prepared, and their columns are those that a table had when they were.
        forget = getattr(self.connection.dialect, "_invalidate_schema_cache", None)
        if forget is not None and not _KEEPS_SHAPES.match(statement):
            forget()

    def _check(self, statement: str) -> None:
        if _MAY_END.search(statement):
            for one in split_statements(statement, "postgresql"):
                found = _ENDS.match(without_literals(one, "postgresql"))
                if found is not None:
                    self._attempted = found[1].upper()
                    raise self._ended()


def _process(number: int, user: str, program: str, place: object = None) -> str:
    """A process of the server, and whose it is."""
    return f"server process {number} of {user}{f' at {place}' if place else ''}{f' ({program})' if program else ''}"
