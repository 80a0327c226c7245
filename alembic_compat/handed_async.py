"""What an asynchronous env.py gets for the engine that it would make. Imported only then: it needs greenlet."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncEngine

from .handed import HandedEngine

__all__ = ["HandedAsyncEngine"]


class HandedAsyncEngine(AsyncEngine):
    """An asynchronous face of the connection, on which nothing has to be awaited."""

    def __init__(self, engine: HandedEngine) -> None:
        # AsyncEngine's own refuses a driver that is not asynchronous.
        self.sync_engine = self._assign_proxied(engine)

    async def dispose(self, close: bool = True) -> None:
        """Nothing is to be disposed of."""
