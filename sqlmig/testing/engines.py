"""Engines of private databases: made as the application makes its own, but for where they lead."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy.engine import Engine
from sqlalchemy.pool import StaticPool

from ..errors import ConfigurationError
from ..safety.copied_engine import listen_as
from ..turns import Turn

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine
    from sqlalchemy.pool import ConnectionPoolEntry

__all__ = ["KeptPool", "async_sibling", "end", "end_async", "initialised", "run_apart", "sibling"]

R = TypeVar("R")


class KeptPool(StaticPool):
    """One connection for all threads, open until `end`: `Engine.dispose()` would take the database along."""

    _turn = Turn()

    def _do_get(self) -> ConnectionPoolEntry:
        """The connection; of those who are first at once, one makes it, and not each a database of his own."""
        if self.is_connected:
            return super()._do_get()
        with self._turn:
            return super()._do_get()

    def dispose(self) -> None:
        """Nothing: applications dispose of their engine when they stop, and tests look at the database then."""

    def recreate(self) -> KeptPool:
        """Itself, as `Engine.dispose()` asks for another."""
        return self

    def another(self) -> KeptPool:
        """One with a connection of its own."""
        made: Any = super().recreate()
        pool: KeptPool = made
        pool._turn = Turn()
        return pool

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection to be closed."""
        return "connection" in self.__dict__

    def end(self) -> None:
        """Close it."""
        super().dispose()


def sibling(prototype: Engine) -> Engine:
    """
    An engine like *prototype*, with a connection, and so with a database in memory, of its own.

    They share the dialect, which is most of what `create_engine()` takes its time for.
    """
    pool: Any = prototype.pool
    engine = Engine(
        pool.another(),
        prototype.dialect,
        prototype.url,
        logging_name=prototype.logging_name,
        echo=prototype.echo,
        execution_options=prototype.get_execution_options(),
        hide_parameters=prototype.hide_parameters,
    )
    if prototype._has_events:
        listen_as(engine, prototype)
    return engine


def async_sibling(prototype: AsyncEngine) -> AsyncEngine:
    """The same of an asynchronous engine."""
    return type(prototype)(sibling(prototype.sync_engine))


def end(engine: Engine) -> None:
    """Close the connection of a sibling, and with it its database in memory."""
    pool: Any = engine.pool
    pool.end()


def end_async(engine: AsyncEngine) -> None:
    """The same of an asynchronous one, whose event loop may be closed."""
    pool: Any = engine.sync_engine.pool
    if pool.is_connected:
        from sqlalchemy.util import greenlet_spawn

        run_apart(lambda: greenlet_spawn(pool.end))


def initialised(engine: Engine) -> Engine:
    """
    A prototype whose dialect has asked its database what it is: siblings that connect at once would not wait for that.

    Raises:
        ConfigurationError: Whoever made it did not do it as was asked.
    """
    if not isinstance(engine.pool, KeptPool):
        kind = type(engine.pool).__name__
        engine.dispose()
        raise ConfigurationError(
            "The engine for a database in memory was not made with the options that were given.\n"
            f"  its pool is a {kind}, so that each thread might have a database of its own\n"
            "Pass them on: sqlmig_create_engine is called with (url, **options), as create_engine() is."
        )
    with engine.connect():
        pass
    end(engine)
    return engine


def run_apart(make: Callable[[], Coroutine[Any, Any, R]]) -> R:
    """The result of a coroutine in an event loop of its own: in another thread where one runs here already."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(make())
    outcome: list[R] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            outcome.append(asyncio.run(make()))
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run, name="sqlmig-testing")
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return outcome[0]
