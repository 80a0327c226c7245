"""
The one connection of a run, handed out to env.py and to scripts as if each had its own.

What they do with it behaves as with a sqlite3 connection of theirs: it begins a transaction before a write, commits,
rolls back. Inside a migration such a transaction is a savepoint of ours, so that nothing is final before the migration
is. A second connection that they open to the same database is another view of this one, and so waits for no lock.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit
from weakref import WeakSet

from sqlalchemy.engine import Connection, Engine
from sqlalchemy.pool import NullPool

from sqlmig.backends.sqlite import ask, quoted
from sqlmig.execution import ChecksFailed

from .handed_connection import HandedConnection

if TYPE_CHECKING:
    from sqlalchemy.engine import Dialect
    from sqlalchemy.pool import PoolProxiedConnection

    from sqlmig.backends.sqlite_session import SQLiteSession

__all__ = ["HandedEngine", "Handover", "routed"]


class Handover:
    """
    The connection of one session, and who works on it.

    Attributes:
        inside: Whether a transaction of ours is around, so that theirs are savepoints.
        on_leave: Called with the reason before a script makes its migration commit in the middle.
        on_return: Called when the migration is in a transaction again.
        on_foreign_keys_off: Called where the migration is to run without foreign keys, which SQLite ignores inside a
            transaction; with whether the script says so itself.
        orphans: What `foreign_key_check` counted before a migration that runs without them and does not say so.
    """

    def __init__(self, session: SQLiteSession, engine: Engine) -> None:
        self.session, self.engine = session, engine
        self.raw: Any = session.raw
        self.inside = session.joined
        self.scopes: list[HandedConnection] = []
        self.on_leave: Callable[[str], None] = lambda reason: None
        self.on_return: Callable[[], None] = lambda: None
        self.on_foreign_keys_off: Callable[[bool], None] = lambda asked: None
        self.orphans: Counter[tuple[str, str]] | None = None
        self._enforced = False
        self._attached: list[str] = []
        self._temporary: list[tuple[str, str]] = []
        self.last_writer: HandedConnection | None = None
        self._number = 0
        self._ready: WeakSet[Dialect] = WeakSet([engine.dialect])

    def connection(self) -> Connection:
        """A SQLAlchemy Connection of the application's engine."""
        return Connection(self.engine, connection=self.checkout(self.engine))

    def checkout(self, engine: Engine) -> PoolProxiedConnection:
        """What a pool would give out."""
        handed = HandedConnection(self)
        fairy = _pool(handed, engine.dialect).connect()
        handed.awaited = engine.dialect.is_async
        handed.connecting = False
        if engine.dialect not in self._ready:
            # Its own pool would have done this at its first connection.
            self._ready.add(engine.dialect)
            probe = Connection(engine, connection=fairy, _has_events=False, _allow_revalidate=False)
            engine.dialect.initialize(probe)
            handed.rollback()
        return fairy

    def is_ours(self, engine: Engine) -> bool:
        """Whether an engine's connections would be to the same database."""
        # Of a rehearsal: whatever would be to the database that was copied is to the copy.
        copied = self.engine.get_execution_options().get("sqlmig_rehearsal")
        return self._is_same(engine, self.engine) or (copied is not None and self._is_same(engine, copied))

    @staticmethod
    def _is_same(engine: Engine, ours: Engine) -> bool:
        if engine is ours or engine.pool is ours.pool:
            return True
        own, other = _file(ours), _file(engine)
        if engine.dialect.name != "sqlite" or not own or not other or ":memory:" in (own, other):
            return False
        return os.path.realpath(own) == os.path.realpath(other)

    def foreign_keys(self) -> bool:
        """Whether SQLite enforces them now."""
        return bool(self.raw.execute("PRAGMA foreign_keys").fetchone()[0])

    def set_foreign_keys(self, on: bool) -> bool:
        """
        Have the effect of the PRAGMA, which SQLite ignores in a transaction; whether that was possible.

        Source: https://sqlite.org/c3ref/c_dbconfig_defensive.html#sqlitedbconfigenablefkey
        """
        if hasattr(self.raw, "setconfig"):
            # From Python 3.12.
            self.raw.setconfig(getattr(sqlite3, "SQLITE_DBCONFIG_ENABLE_FKEY"), on)  # noqa: B009
            return True
        if not on:
            self.on_foreign_keys_off(True)
        return False

    def drops(self, table: str) -> None:
        """
        Have foreign keys off where a table is to be dropped to which rows refer.

        SQLite deletes the rows of a table before it drops it, with whatever hangs on them: a script that puts another
        in its place has never said that those are to go. Alembic's own connections enforce nothing.
        """
        if not (self.inside and self.foreign_keys() and self._is_referred_to(table)):
            return
        if hasattr(self.raw, "setconfig"):
            self.count_orphans()
            self.set_foreign_keys(False)
        else:
            self.on_foreign_keys_off(False)

    def _is_referred_to(self, table: str) -> bool:
        found = self._plainly(
            'SELECT m.name, k."from" FROM sqlite_master m, pragma_foreign_key_list(m.name) k'
            " WHERE m.type = 'table' AND k.\"table\" = ? COLLATE NOCASE AND m.name <> ? COLLATE NOCASE",
            (table, table),
        )
        filled = "SELECT EXISTS (SELECT 1 FROM {} WHERE {} IS NOT NULL)"
        return any(self._plainly(filled.format(quoted(name), quoted(column)))[0][0] for name, column in found)

    def count_orphans(self) -> None:
        """Remember which rows refer to nothing by now."""
        if self.orphans is None:
            self.orphans = self._orphans()

    def refuse_orphans(self) -> None:
        """
        See to it that a migration which ran without foreign keys has taken nobody's parent.

        Raises:
            ChecksFailed: It has.
        """
        before, self.orphans = self.orphans, None
        found = Counter() if before is None else (self._orphans() or Counter()) - before
        if found:
            listed = "; ".join(f"{count} of {table} in {parent}" for (table, parent), count in sorted(found.items()))
            raise ChecksFailed(
                f"it leaves rows whose parent is gone: {listed}. With foreign_keys=ON SQLite would delete them, or"
                " refuse, and the revision does not say which (PRAGMA foreign_keys=OFF in it has them stay)"
            )

    def _orphans(self) -> Counter[tuple[str, str]] | None:
        try:
            return Counter((row[0], row[2]) for row in self._plainly("PRAGMA foreign_key_check"))
        except sqlite3.OperationalError:
            # A foreign key to columns that no index makes unique: nothing can be counted.
            return None

    def settle(self) -> None:
        """Commit what env.py began and would commit later: it would be in the way of our transaction."""
        if not self.session.joined:
            for handed in reversed(self.scopes.copy()):
                handed.commit()
            if self.raw.in_transaction:
                self.raw.execute("COMMIT")

    @contextmanager
    def tidied(self) -> Iterator[None]:
        """Give the connection back without what scripts attached, or made in its temporary database."""
        self._attached, self._temporary = self._extras()
        try:
            yield
        finally:
            with suppress(sqlite3.Error):
                self.tidy()

    def tidy(self) -> None:
        """Take away what was not there when the run began; the connection of another program is its own affair."""
        if self.session.joined or self.raw.in_transaction:
            return
        attached, temporary = self._extras()
        for kind, name in temporary:
            if (kind, name) not in self._temporary:
                self.raw.execute(f"DROP {kind} IF EXISTS temp.{quoted(name)}")
        for name in attached:
            if name not in self._attached:
                self.raw.execute(f"DETACH {quoted(name)}")

    def _extras(self) -> tuple[list[str], list[tuple[str, str]]]:
        temporary = "SELECT type, name FROM sqlite_temp_master WHERE type IN ('table', 'view') AND sql IS NOT NULL"
        attached = [name for _, name, _ in self._plainly("PRAGMA database_list") if name not in ("main", "temp")]
        return attached, [(kind, name) for kind, name in self._plainly(temporary)]

    def _plainly(self, sql: str, values: Sequence[str] = ()) -> list[tuple[Any, ...]]:
        return ask(self.raw, sql, values)

    @contextmanager
    def step(self) -> Iterator[None]:
        """The time of one migration, in a transaction of ours."""
        self.inside, self._enforced, self.orphans = True, self.foreign_keys(), None
        try:
            yield
        finally:
            self.forget()
            if hasattr(self.raw, "setconfig"):
                self.set_foreign_keys(self._enforced)
            self.inside = self.session.joined

    def end_others(self) -> None:
        """Undo what a script began on a second connection and never committed."""
        for handed in reversed(self.scopes.copy()):
            handed.rollback()

    def forget(self) -> None:
        """The savepoints are gone."""
        for handed in self.scopes:
            handed.scope = None
        self.scopes.clear()

    def leave(self, reason: str) -> None:
        """Commit in the middle of a migration, because it has *reason* to; it goes on without a transaction."""
        if not self.inside:
            return
        self.session.require_own_transactions(f"A revision that uses {reason}")
        self.on_leave(reason)
        self.forget()
        self.session.leave()
        self.inside = False

    def come_back(self) -> None:
        """End the migration in a transaction again."""
        if self.inside:
            return
        self.settle()
        self.raw.execute(f"PRAGMA foreign_keys = {int(self._enforced)}")
        self.session.come_back()
        self.inside = True
        self.on_return()

    def open(self, handed: HandedConnection) -> str:
        """Begin a transaction for *handed*: a savepoint inside ours."""
        self.scopes.append(handed)
        handed.wrote = False
        if not self.inside and not self.raw.in_transaction:
            self.raw.execute("BEGIN")
            return ""
        self._number += 1
        name = f"sqlmig_script_{self._number}"
        self.raw.execute(f"SAVEPOINT {name}")
        return name

    def close(self, handed: HandedConnection, *, undo: bool) -> None:
        """
        End it.

        Raises:
            sqlite3.OperationalError: It is to be undone, and another view wrote since it did: SQLite would have refused
                that on two real connections.
        """
        if undo and not handed.wrote:
            # Only read: what others wrote meanwhile is theirs.
            undo = False
        elif undo and self.last_writer is not handed:
            raise sqlite3.OperationalError(
                "database is locked: a transaction was left open on one connection, and another wrote since"
            )
        name, handed.scope, handed.savepoint = handed.scope, None, None
        place = self.scopes.index(handed)
        above, self.scopes = self.scopes[place + 1 :], self.scopes[:place]
        if not self.raw.in_transaction:
            return
        if name == "":
            self.raw.execute("ROLLBACK" if undo else "COMMIT")
        elif undo:
            self.raw.execute(f"ROLLBACK TO {name}")
            self.raw.execute(f"RELEASE {name}")
        elif above:
            # Its savepoint stays below theirs, and means nothing any more.
            self.scopes += above
            return
        else:
            self.raw.execute(f"RELEASE {name}")
        for other in above:
            other.scope = None


def _file(engine: Engine) -> str | None:
    database = engine.url.database
    if database is not None and database.startswith("file:"):
        return unquote(urlsplit(database).path)
    return database


def _pool(handed: HandedConnection, dialect: Dialect) -> NullPool:
    connection: Any = handed
    return NullPool(lambda: connection, dialect=dialect)


class HandedEngine(Engine):
    """
    What env.py gets for the engine that it would make; there is nothing to dispose of.

    Args:
        run: Whose connection it gives out.
        dialect: That of the engine which it stands for, where it is not that of the application's.
    """

    def __init__(self, run: Handover, dialect: Dialect | None = None) -> None:
        dialect = dialect or run.engine.dialect
        super().__init__(_pool(HandedConnection(run), dialect), dialect, run.engine.url)
        self._run = run

    def raw_connection(self) -> PoolProxiedConnection:
        return self._run.checkout(self)

    def dispose(self, close: bool = True) -> None:
        pass


_current: ContextVar[Handover | None] = ContextVar("sqlmig_handover", default=None)
_guard = threading.Lock()
_users = 0
_original = Engine.raw_connection


@contextmanager
def routed(run: Handover) -> Iterator[None]:
    """Meanwhile, have every engine of the same database give out this run's connection, in this thread."""
    global _users
    with _guard:
        _users += 1
        Engine.raw_connection = _route  # type: ignore[method-assign,assignment]
    token = _current.set(run)
    try:
        yield
    finally:
        _current.reset(token)
        with _guard:
            _users -= 1
            if _users == 0:
                Engine.raw_connection = _original  # type: ignore[method-assign]


def _route(engine: Engine) -> PoolProxiedConnection:
    run = _current.get()
    return run.checkout(engine) if run is not None and run.is_ours(engine) else _original(engine)
