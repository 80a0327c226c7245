"""What images on a server have in common: databases that are made, connected to, and dropped."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING

from sqlalchemy.pool import NullPool

from ..errors import ConfigurationError
from .engines import run_apart
from .image import Home, Image, Work
from .server import Server, async_url, sync_url

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy.engine import URL, Engine
    from sqlalchemy.ext.asyncio import AsyncEngine

    from .project import Project

__all__ = ["ServerHome", "ServerImage"]


class ServerHome(Home):
    """
    Databases on a server.

    Args:
        url: Of a database of the server, in which nothing is done.
    """

    def __init__(self, project: Project, url: URL) -> None:
        super().__init__(project)
        self.given = url
        self.server = Server(url, self.settle)

    @abstractmethod
    def settle(self, server: Server) -> None:
        """Take the lock of this process on a new connection, and drop what killed ones have left."""

    @abstractmethod
    def create(self, base: str | None) -> str:
        """A new database, a copy of *base*; its name."""

    @abstractmethod
    def drop(self, name: str) -> None:
        """Drop it, whoever is connected to it."""

    def url(self, name: str) -> URL:
        """Of a database, by a driver that is not awaited where there is one."""
        return (sync_url(self.given) or self.given).set(database=name)

    def engine(self, name: str) -> Engine:
        """
        One that is not asynchronous.

        Raises:
            ConfigurationError: There is no driver for it.
        """
        url = self.url(name)
        if url.get_dialect().is_async:
            raise ConfigurationError(
                f"{url.drivername} makes asynchronous engines only.\n"
                "  this fixture is an engine that is not asynchronous\n"
                "Install psycopg (or PyMySQL) beside it, or have the test take async_migrated_engine."
            )
        return self.project.engine(url)

    def do(self, name: str, work: Work) -> None:
        """Do something in a database, by whichever driver there is."""
        if not self.url(name).get_dialect().is_async:
            engine = self.engine(name)
            try:
                work(engine)
            finally:
                engine.dispose()
            return
        from sqlalchemy.util import greenlet_spawn

        async def awaited() -> None:
            engine = self.project.async_engine(self.url(name), poolclass=NullPool)
            try:
                await greenlet_spawn(work, engine.sync_engine)
            finally:
                await engine.dispose()

        run_apart(awaited)

    def close(self) -> None:
        """End the connection."""
        self.server.close()


class ServerImage(Image):
    """
    A database of a server.

    Args:
        name: None for an empty one.
        temporary: Whether it is dropped when it is closed.
    """

    def __init__(
        self,
        home: ServerHome,
        name: str | None,
        files: Mapping[str, str] = MappingProxyType({}),
        *,
        temporary: bool = False,
    ) -> None:
        self.home, self.name, self.files, self._temporary = home, name, files, temporary

    def copy(self) -> str:
        """A new database like it; its name."""
        return self.home.create(self.name)

    @contextmanager
    def engine(self) -> Iterator[Engine]:
        """With the application's pool."""
        with self._copied() as name:
            engine = self.home.engine(name)
            try:
                yield engine
            finally:
                engine.dispose()

    @contextmanager
    def async_engine(self) -> Iterator[AsyncEngine]:
        """Without a pool: a connection belongs to the event loop that has made it."""
        with self._copied() as name:
            url = async_url(self.home.given).set(database=name)
            yield self.home.project.async_engine(url, poolclass=NullPool)

    @contextmanager
    def url(self, folder: Path) -> Iterator[URL]:
        """As it was given, with another database."""
        with self._copied() as name:
            yield self.home.given.set(database=name)

    @contextmanager
    def _copied(self) -> Iterator[str]:
        name = self.copy()
        try:
            yield name
        finally:
            self.home.drop(name)

    def close(self) -> None:
        """Drop it, where it is for this process only."""
        if self._temporary and self.name is not None:
            self.home.drop(self.name)
