"""
One connection of aiosqlite's, lent to code that does not await, in the thread in which aiosqlite works with it.

There sqlite3's own connection is at hand: nothing is imitated, callbacks run where they are called, and whoever else
wants something of the connection waits in aiosqlite's queue.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from sqlalchemy import create_engine, event
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.pool import StaticPool
from sqlalchemy.util.concurrency import greenlet_spawn

from ..connection import DatabaseConnection, pool_lock
from ..errors import ConfigurationError
from ..safety.copied_engine import listen_as
from ..turns import Stop, under
from .doors import ASKED_EVERY, Door, Outcome, outlasting
from .files import options_of

__all__ = ["LentDoor"]

R = TypeVar("R")


class LentDoor(Door):
    """
    To a database in memory, or to a connection that was handed in, whose transaction is joined.

    Attributes:
        database: What is worked on: over an engine, or a connection, of sqlite3's, in aiosqlite's thread only.
    """

    def __init__(self, given: Engine | Connection) -> None:
        self._given = given
        self._raw: Any = None
        self._thread: int | None = None
        # Of one pool there may be connections in several threads, and one at a time is at hand here.
        self._locks: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()
        joined = isinstance(given, Connection)
        self._engine = _engine_over(given.engine, self._reach, joined=joined)
        self._joined = _Joined(self._engine) if joined else None
        self.database = self._joined or DatabaseConnection(self._engine)

    def is_inside(self) -> bool:
        return self._thread == threading.get_ident()

    async def run(self, action: Callable[[], R]) -> R:
        """In aiosqlite's thread, while it does nothing else."""
        lock = self._locks.setdefault(asyncio.get_running_loop(), asyncio.Lock())
        async with lock:
            return await self._run(action)

    async def _run(self, action: Callable[[], R]) -> R:
        stop = Stop(asyncio.CancelledError)
        context = contextvars.copy_context()
        connection = await greenlet_spawn(self._connect)
        try:
            driver: Any = connection.connection.driver_connection

            def lent() -> Outcome:
                return Outcome(lambda: self._within(driver._conn, action))

            future = asyncio.ensure_future(driver._execute(context.run, under, stop, lent))
            outcome = await outlasting(future, stop.ask, every=ASKED_EVERY)
        finally:
            if connection is not self._given:
                await outlasting(asyncio.ensure_future(greenlet_spawn(connection.close)))
        result: R = outcome.result()
        return result

    def _connect(self) -> Connection:
        if isinstance(self._given, Engine):
            # Two tasks that were the first to ask for its only connection would make one each.
            with pool_lock(self._given.pool):
                return self._given.connect()
        if not self._given.in_transaction():
            # What is done in it is the caller's to commit, whose own object has to know of it.
            self._given.begin()
        return self._given

    def _within(self, raw: Any, action: Callable[[], R]) -> R:
        if self._raw is not raw:
            self._raw = raw
            self._engine.dispose(close=False)
        before, self._thread = self._thread, threading.get_ident()
        try:
            listen_as(self._engine, self._given.engine)
            if self._joined is None:
                return action()
            with self._joined.at_hand():
                return action()
        finally:
            self._thread = before

    def _reach(self) -> Any:
        if not self.is_inside():
            raise ConfigurationError(
                "A connection of aiosqlite cannot be used like this: it belongs to another thread.\n"
                "  Nothing was changed.\n"
                "Await a method of Migrator, for example: await migrator.migrate_async()"
            )
        return self._raw


class _Joined(DatabaseConnection):
    """Over a connection that is there while a door is gone through."""

    def __init__(self, engine: Engine) -> None:
        self._now: Connection | None = None
        super().__init__(engine)

    @property
    def bound(self) -> bool:
        return True

    @property
    def connection(self) -> Connection | None:
        if self._now is None:
            # It says what is wrong.
            self.engine.connect()
        return self._now

    @contextmanager
    def at_hand(self) -> Iterator[None]:
        """Have it there."""
        if self._now is not None:
            yield
            return
        # Its transaction has begun: who listens to that has been told of it already, or will be by the caller's own.
        connection = Connection(self.engine, _has_events=False)
        connection.begin()
        connection.dispatch = connection.dispatch._join(self.engine.dispatch)
        connection._has_events = self.engine._has_events
        self._now = connection
        try:
            yield
        finally:
            self._now = None
            connection.close()


def _engine_over(original: Engine, reach: Callable[[], Any], *, joined: bool) -> Engine:
    """An engine of sqlite3's whose one connection is another's: it is never closed here."""
    url = original.url.set(drivername="sqlite+pysqlite")
    options = options_of(original)
    # They are set on the connection already.
    options.pop("isolation_level", None)
    engine = create_engine(
        url, creator=reach, poolclass=StaticPool, pool_reset_on_return=None if joined else "rollback", **options
    )
    dispatch: Any = engine.pool.dispatch
    dispatch.connect.for_modify(dispatch).parent_listeners = ()
    for listener in list(dispatch.connect):
        # It defines functions, which the connection has already; SQLite refuses that while somebody reads from it.
        if getattr(listener, "__name__", "") == "on_connect":
            event.remove(engine.pool, "connect", listener)
    others = ("do_close", "do_terminate", *(("do_commit", "do_rollback") if joined else ()))
    for name in others:
        setattr(engine.dialect, name, _leave_alone)
    return engine


def _leave_alone(_connection: object) -> None:
    """A transaction, or a connection, that is somebody else's."""
