"""
Doors: to where the database of an asynchronous engine may be reached by code that does not await.

A server is reached in a task of the event loop, inside a greenlet of SQLAlchemy's, which awaits where code waits. The
file of a SQLite database is opened a second time, by Python's sqlite3 in a thread (`files.py`). A database in memory,
and a connection that is handed in, are reached in the thread that aiosqlite has for the connection (`lent.py`). So the
loop never stands still while something is read, written, or waited for.
"""

from __future__ import annotations

import asyncio
import contextvars
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy.engine import Connection, Engine
from sqlalchemy.pool import SingletonThreadPool

from ..errors import ConfigurationError, UnsupportedDatabase
from ..turns import Stop, greenlet_at_work, under

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from ..connection import Database
    from ..migrator import Migrator

__all__ = ["ASKED_EVERY", "Door", "Outcome", "TaskDoor", "ThreadDoor", "door_of", "in_greenlet", "opened", "outlasting"]

R = TypeVar("R")

ASKED_EVERY = 0.05
"""Seconds between two times that a thread is asked to stop: what begins just then is missed by an interrupt."""


class Door(ABC):
    """Runs what does not await where it may reach the database."""

    @abstractmethod
    async def run(self, action: Callable[[], R]) -> R:
        """
        The result of *action*, awaited.

        Where the task is cancelled meanwhile, *action* is stopped and undone before this ends.
        """

    @abstractmethod
    def is_inside(self) -> bool:
        """Whether the database may be reached from here and now."""

    async def run_alone(self, action: Callable[[], R]) -> R:
        """As `run`, in an event loop that ends with it."""
        return await self.run(action)

    def call(self, name: str, action: Callable[[], R]) -> R:
        """
        The result of *action*, for a caller that does not await.

        Raises:
            ConfigurationError: It is called in an event loop, which would stand still.
        """
        if self.is_inside():
            return action()
        if greenlet_at_work() is not None:
            return awaited(self.run(action))
        if _loop_is_running():
            raise ConfigurationError(
                f"{name}() was called in a running event loop, which would stand still until it returns.\n"
                "  The engine is asynchronous; nothing was changed.\n"
                f"Await it: await migrator.{name}_async(...)"
            )
        return asyncio.run(self.run_alone(action))


class TaskDoor(Door):
    """
    To the server of a database: in a greenlet of the task's.

    Args:
        engine: The synchronous face of the asynchronous one.
        joined: Whether it is for a connection that was handed in.
    """

    def __init__(self, engine: Engine, *, joined: bool) -> None:
        self._engine, self._joined = engine, joined

    async def run(self, action: Callable[[], R]) -> R:
        """In a task of its own: it is cancelled once, and what it then does to undo its work no more."""
        return await in_greenlet(action)

    async def run_alone(self, action: Callable[[], R]) -> R:
        """Leave no connection in the pool: with the loop, it would be dead."""
        from sqlalchemy.util.concurrency import greenlet_spawn

        try:
            return await self.run(action)
        finally:
            if not self._joined:
                await outlasting(asyncio.ensure_future(greenlet_spawn(self._engine.dispose)))

    def is_inside(self) -> bool:
        """In any greenlet."""
        return greenlet_at_work() is not None


class ThreadDoor(Door):
    """
    To an engine that is not asynchronous: in a thread of its own.

    Args:
        prepare: Called each time before it is gone through.
    """

    def __init__(self, prepare: Callable[[], object] = lambda: None) -> None:
        self._prepare = prepare

    def call(self, name: str, action: Callable[[], R]) -> R:
        """As every door does."""
        self._prepare()
        return super().call(name, action)

    async def run(self, action: Callable[[], R]) -> R:
        """Beside the event loop, which is told when it has ended."""
        self._prepare()
        stop = Stop(asyncio.CancelledError)
        context = contextvars.copy_context()
        executor = ThreadPoolExecutor(1, thread_name_prefix="sqlmig")
        try:
            loop = asyncio.get_running_loop()
            future = loop.run_in_executor(executor, context.run, under, stop, lambda: Outcome(action))
            outcome = await outlasting(future, stop.ask, every=ASKED_EVERY)
        finally:
            executor.shutdown(wait=False)
        result: R = outcome.result()
        return result

    def is_inside(self) -> bool:
        """Wherever no event loop would stand still."""
        return greenlet_at_work() is None and not _loop_is_running()


class Outcome:
    """What an action gave, or raised: whatever that is, no future and no coroutine is to make something of it."""

    def __init__(self, action: Callable[[], Any]) -> None:
        self._value: Any = None
        self._error: BaseException | None = None
        try:
            self._value = action()
        except BaseException as error:
            self._error = error

    def result(self) -> Any:
        if self._error is None:
            return self._value
        try:
            raise self._error
        finally:
            # It holds this frame, by its traceback.
            self._error = None


async def in_greenlet(action: Callable[[], R]) -> R:
    """The result of *action*, which waits by awaiting; cancelled, it ends when it has undone its work."""
    from sqlalchemy.util.concurrency import greenlet_spawn

    # What a migration raises must not be taken for the end of an iterator.
    task = asyncio.ensure_future(greenlet_spawn(Outcome, action))
    outcome = await outlasting(task, task.cancel)
    result: R = outcome.result()
    return result


async def outlasting(
    future: asyncio.Future[Any], stop: Callable[[], object] = lambda: None, *, every: float | None = None
) -> Any:
    """
    The result of *future*, which is awaited to its end even where the task that awaits it is cancelled.

    Args:
        stop: Called then, so that the end comes soon.
        every: Seconds after which it is called again; only once by default.
    """
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        if future.done():
            raise
        stop()
        while not future.done():
            try:
                if not (await asyncio.wait([future], timeout=every))[0]:
                    stop()
            except asyncio.CancelledError:
                # Again: what undoes the work is not to be stopped.
                continue
        if not future.cancelled():
            # Else it would be told of as never retrieved.
            future.exception()
        raise


def awaited(coroutine: Coroutine[Any, Any, R]) -> R:
    """The result of a coroutine, in a greenlet."""
    from sqlalchemy.util.concurrency import await_only

    return await_only(coroutine)


def door_of(migrator: Migrator, name: str) -> Door:
    """
    The door through which a verb is awaited.

    Raises:
        ConfigurationError: There is none: the database is only reached by the thread that calls.
    """
    if migrator._door is not None:
        return migrator._door
    bound = migrator.db.bound
    if bound or isinstance(migrator.db.engine.pool, SingletonThreadPool):
        kind = "A Connection that is not asynchronous" if bound else "A database in memory with a pool for each thread"
        raise ConfigurationError(
            f"{kind} cannot be awaited.\n"
            "  No other thread may use it, and in this one the event loop would stand still; nothing was changed.\n"
            f"Call {name}(), or pass an engine."
        )
    return ThreadDoor()


def opened(database: Any) -> tuple[Database, Door]:
    """
    What a Migrator works on instead of *database*, where that is asynchronous, and the door to it.

    Args:
        database: An AsyncEngine or AsyncConnection, or the synchronous face of one.

    Raises:
        ConfigurationError: It is a connection that was not started, or is closed.
        UnsupportedDatabase: There is no way to a SQLite database through its driver.
    """
    given: Any = database
    if not isinstance(given, Engine | Connection):
        # An AsyncConnection has both.
        given = database.sync_connection if hasattr(database, "sync_connection") else database.sync_engine
    if given is None:
        raise ConfigurationError(
            "The AsyncConnection has not been started.\n"
            "  It is connected when it is awaited, or entered.\n"
            "Write: async with engine.connect() as connection"
        )
    engine = given.engine
    if engine.dialect.name != "sqlite":
        return given, TaskDoor(engine, joined=isinstance(given, Connection))
    if engine.dialect.driver != "aiosqlite":
        raise UnsupportedDatabase(
            f"sqlmig has no backend for sqlite+{engine.dialect.driver}.\n"
            "  Of the asynchronous drivers of SQLite it knows aiosqlite.\n"
            "Use a sqlite+aiosqlite:// URL."
        )
    from ..safety.copied_engine import listen_as
    from .files import is_file, synchronous
    from .lent import LentDoor

    if isinstance(given, Engine) and is_file(given):
        engine = synchronous(given)
        # The application may listen to more by the time when it migrates.
        return engine, ThreadDoor(partial(listen_as, engine, given))
    door = LentDoor(given)
    return door.database, door


def _loop_is_running() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
