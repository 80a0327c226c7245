"""
The one connection of a run, handed out to env.py and to scripts as if each had its own.

What they do with it behaves as with a sqlite3 connection of theirs: it begins a transaction before a write, commits,
rolls back. Inside a migration such a transaction is a savepoint of ours, so that nothing is final before the migration
is. A second connection that they open to the same database is another view of this one, and so waits for no lock.
"""

from __future__ import annotations

import os
import re
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from sqlalchemy.engine import Connection, Engine
from sqlalchemy.pool import NullPool

from sqlmig.sql_text import split_statements

if TYPE_CHECKING:
    from sqlalchemy.engine import Dialect
    from sqlalchemy.pool import PoolProxiedConnection

    from sqlmig.backends.sqlite_session import SQLiteSession

__all__ = ["HandedEngine", "Handover", "routed"]

_WORDS = re.compile(r"(?:\s+|--[^\n]*(?:\n|$)|/\*.*?\*/|;)*([A-Za-z]+)\s*(.*)", re.DOTALL)
_PRAGMA = re.compile(r"(?:\w+\s*\.\s*)?(\w+)\s*(?:=|\()\s*['\"]?(\w+)", re.DOTALL)
_COMMENT = re.compile(r"/\*.*?\*/|--[^\n]*", re.DOTALL)
_WRITES = ("INSERT", "UPDATE", "DELETE", "REPLACE")
_READS = ("SELECT", "PRAGMA", "EXPLAIN", "VALUES", "BEGIN", "COMMIT", "END", "ROLLBACK", "SAVEPOINT", "RELEASE")
_OFF = ("off", "0", "false", "no")


class Handover:
    """
    The connection of one session, and who works on it.

    Attributes:
        inside: Whether a transaction of ours is around, so that theirs are savepoints.
        on_leave: Called with the reason before a script makes its migration commit in the middle.
        on_return: Called when the migration is in a transaction again.
        on_foreign_keys_off: Called when a script would turn foreign keys off where SQLite ignores it.
    """

    def __init__(self, session: SQLiteSession, engine: Engine) -> None:
        self.session, self.engine = session, engine
        self.raw: Any = session.raw
        self.inside = session.joined
        self.scopes: list[HandedConnection] = []
        self.on_leave: Callable[[str], None] = lambda reason: None
        self.on_return: Callable[[], None] = lambda: None
        self.on_foreign_keys_off: Callable[[], None] = lambda: None
        self._enforced = False
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
        if engine is self.engine or engine.pool is self.engine.pool:
            return True
        own, other = self.engine.url.database, engine.url.database
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
            self.on_foreign_keys_off()
        return False

    def settle(self) -> None:
        """Commit what env.py began and would commit later: it would be in the way of our transaction."""
        if not self.session.joined:
            for handed in reversed(self.scopes.copy()):
                handed.commit()
            if self.raw.in_transaction:
                self.raw.execute("COMMIT")

    @contextmanager
    def step(self) -> Iterator[None]:
        """The time of one migration, in a transaction of ours."""
        self.inside, self._enforced = True, self.foreign_keys()
        try:
            yield
        finally:
            self.forget()
            if hasattr(self.raw, "setconfig"):
                self.set_foreign_keys(self._enforced)
            self.inside = self.session.joined

    def end_others(self) -> None:
        """
        Undo what a script began on a second connection and never committed.

        Raises:
            RuntimeError: It wrote elsewhere since, which SQLite would have refused it on two real connections.
        """
        for handed in reversed(self.scopes.copy()):
            if self.last_writer is not handed:
                raise RuntimeError(
                    "it left a transaction open on a second connection, and wrote on another since: database is locked"
                )
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
        if not self.inside and not self.raw.in_transaction:
            self.raw.execute("BEGIN")
            return ""
        self._number += 1
        name = f"sqlmig_script_{self._number}"
        self.raw.execute(f"SAVEPOINT {name}")
        return name

    def close(self, handed: HandedConnection, *, undo: bool) -> None:
        """End it."""
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


class HandedConnection:
    """Stands for a sqlite3 connection, and is a view of the run's."""

    def __init__(self, run: Handover) -> None:
        values = {
            "run": run,
            "scope": None,
            "savepoint": None,
            "connecting": True,
            "awaited": False,
            "implicit": run.session.driver_begins,
        }
        self.__dict__.update(values)

    if TYPE_CHECKING:
        run: Handover
        scope: str | None
        savepoint: str | None
        connecting: bool
        awaited: bool
        implicit: bool

    def __getattr__(self, name: str) -> Any:
        return getattr(self.run.raw, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in ("isolation_level", "autocommit"):
            # SQLAlchemy's AUTOCOMMIT, and the way back from it.
            self.implicit = value is not None if name == "isolation_level" else value is not True
        elif name in self.__dict__:
            self.__dict__[name] = value
        else:
            setattr(self.run.raw, name, value)

    @property
    def isolation_level(self) -> str | None:
        return "" if self.implicit else None

    @property
    def in_transaction(self) -> bool:
        return self.scope is not None or (not self.run.inside and self.run.raw.in_transaction)

    def cursor(self, factory: Any = None, *, server_side: bool = False) -> sqlite3.Cursor:
        cursor: HandedCursor = self.run.raw.cursor(HandedCursor)
        cursor.handed = self
        return cursor

    def execute(self, sql: str, parameters: Any = ()) -> sqlite3.Cursor:
        return self.cursor().execute(sql, parameters)

    def executemany(self, sql: str, parameters: Any) -> sqlite3.Cursor:
        return self.cursor().executemany(sql, parameters)

    def executescript(self, script: str) -> sqlite3.Cursor:
        return self.cursor().executescript(script)

    def commit(self) -> None:
        if self.scope is not None:
            self.run.close(self, undo=False)

    def rollback(self) -> None:
        if self.scope is not None:
            self.run.close(self, undo=True)

    def close(self) -> None:
        self.rollback()

    def __enter__(self) -> HandedConnection:
        return self

    def __exit__(self, kind: object, *rest: object) -> None:
        self.commit() if kind is None else self.rollback()

    def takes(self, sql: str) -> bool:
        """Whether a statement is dealt with here, and not to reach SQLite."""
        if self.awaited:
            from .handed_async import await_nothing

            await_nothing()
        found = _WORDS.match(sql)
        if found is None:
            return False
        word, rest = found[1].upper(), found[2]
        if word not in _READS:
            self.run.last_writer = self
        if word in _WRITES and self.implicit:
            self._begin()
        elif word in ("COMMIT", "END"):
            return self._takes_commit()
        elif word == "BEGIN":
            self._begin()
            return True
        elif word == "SAVEPOINT" and self.implicit and self.scope is None:
            # Outside a transaction it begins one, which its RELEASE commits.
            self._begin()
            self.savepoint = rest.strip(" ;\n\"'`[]").lower()
        elif word == "RELEASE" and self.savepoint is not None:
            name = re.sub(r"^SAVEPOINT\s+", "", rest.strip(), flags=re.IGNORECASE).strip(" ;\n\"'`[]").lower()
            if name == self.savepoint:
                self.commit()
                return True
        elif word == "ROLLBACK" and not re.match(r"(?:TRANSACTION\s+)?TO\b", rest, re.IGNORECASE):
            self.rollback()
            return True
        elif word in ("VACUUM", "DETACH"):
            self.run.leave(word)
        elif word == "PRAGMA":
            return self._takes_pragma(rest)
        return False

    def _begin(self) -> None:
        if self.scope is None:
            self.scope = self.run.open(self)

    def _takes_commit(self) -> bool:
        if self.run.inside:
            self.run.leave("COMMIT")
            return True
        if self.scope is not None:
            self.commit()
            return True
        return not self.run.raw.in_transaction

    def _takes_pragma(self, rest: str) -> bool:
        found = _PRAGMA.match(_COMMENT.sub(" ", rest).lstrip())
        if found is None:
            return False
        if self.connecting:
            # What an application sets as it connects was set when the real connection was made.
            return True
        name, value = found[1].lower(), found[2].lower()
        if not self.run.inside:
            return False
        if name == "foreign_keys" and (value in _OFF) == self.run.foreign_keys():
            return self.run.set_foreign_keys(value not in _OFF)
        elif name == "journal_mode" and self.run.raw.execute("PRAGMA journal_mode").fetchone()[0].lower() != value:
            self.run.leave(f"PRAGMA journal_mode = {value}")
        return name == "synchronous"


class HandedCursor(sqlite3.Cursor):
    """A cursor of the real connection that asks the handed one first."""

    handed: HandedConnection

    @property
    def connection(self) -> Any:
        return self.handed

    def execute(self, sql: str, parameters: Any = (), /) -> HandedCursor:
        if not self.handed.takes(sql):
            super().execute(sql, parameters)
        return self

    def executemany(self, sql: str, parameters: Any, /) -> HandedCursor:
        if not self.handed.takes(sql):
            super().executemany(sql, parameters)
        return self

    def executescript(self, script: str, /) -> HandedCursor:
        # sqlite3 commits before the first statement.
        self.handed.commit()
        for statement in split_statements(script):
            self.execute(statement)
        return self


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
