"""What an asynchronous env.py gets for the engine that it would make. Imported only then: it needs greenlet."""

from __future__ import annotations

from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from .handed import HandedEngine

__all__ = ["HandedAsyncEngine"]


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
