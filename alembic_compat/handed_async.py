"""What an asynchronous env.py gets for the engine that it would make. Imported only then: it needs greenlet."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import MissingGreenlet
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.util import await_only

from .handed import HandedEngine

if TYPE_CHECKING:
    from sqlalchemy.engine import Dialect, Engine

__all__ = ["HandedAsyncEngine", "await_nothing", "dialect_of"]


def dialect_of(engine: Engine) -> Dialect:
    """An asynchronous dialect of the same database, as `op.run_async()` wants it; its own where there is no driver."""
    if engine.dialect.is_async:
        return engine.dialect
    try:
        return create_async_engine(engine.url.set(drivername="sqlite+aiosqlite")).dialect
    except ModuleNotFoundError:
        return engine.dialect


def await_nothing() -> None:
    """Await, where SQLAlchemy looks whether an asynchronous call did."""
    with suppress(MissingGreenlet):
        # Raised where something synchronous called.
        await_only(_nothing())


async def _nothing() -> None:
    pass


class _Anyones(type(AsyncEngine)):  # type: ignore[misc]
    """An env.py that asks whether something is an AsyncEngine means any."""

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, AsyncEngine)


class HandedAsyncEngine(AsyncEngine, metaclass=_Anyones):
    """An asynchronous face of the connection, on which nothing has to be awaited."""

    def __init__(self, engine: Any) -> None:
        if isinstance(engine, HandedEngine):
            # AsyncEngine's own refuses a driver that is not asynchronous.
            self.sync_engine = self._assign_proxied(engine)
        else:
            super().__init__(engine)

    async def dispose(self, close: bool = True) -> None:
        """Nothing is to be disposed of where the connection is ours."""
        if not isinstance(self.sync_engine, HandedEngine):
            await super().dispose(close)
