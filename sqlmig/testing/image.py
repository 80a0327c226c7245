"""A database at one version, of which each test gets a copy of its own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy.engine import URL, Engine
    from sqlalchemy.ext.asyncio import AsyncEngine

    from .project import Project

__all__ = ["Files", "Home", "Image", "Work"]

Work: TypeAlias = "Callable[[Engine], object]"
"""What is done to a database before it is an image."""
Files: TypeAlias = "Callable[[], Mapping[str, str]]"
"""Which of the application's files it was done with, asked when it is done."""


class Image(ABC):
    """
    What is copied; nothing changes it.

    Attributes:
        files: The application's files that it was made with, and their hashes.
    """

    files: Mapping[str, str] = MappingProxyType({})

    @abstractmethod
    def engine(self) -> AbstractContextManager[Engine]:
        """An engine on a copy, which is gone at the end."""

    @abstractmethod
    def async_engine(self) -> AbstractContextManager[AsyncEngine]:
        """The same, asynchronous, for any event loop."""

    @abstractmethod
    def url(self, folder: Path) -> AbstractContextManager[URL]:
        """The URL of a copy, which other processes can open as well; a file lies in *folder*."""

    @contextmanager
    def at_work(self, folder: Path) -> Iterator[Engine]:
        """An engine on a copy in which migrations do what they do in a real database; a file lies in *folder*."""
        with self.engine() as engine:
            yield engine

    def close(self) -> None:  # noqa: B027  (some have nothing to give back)
        """Give back what it takes."""


class Home(ABC):
    """
    Where the databases of tests are: on files, or on a server.

    Args:
        project: Whose databases they are.
    """

    def __init__(self, project: Project) -> None:
        self.project = project

    @property
    @abstractmethod
    def facts(self) -> Mapping[str, Any]:
        """What of it a migrated database depends on."""

    @abstractmethod
    def empty(self) -> Image:
        """A database with nothing in it."""

    @abstractmethod
    def find(self, key: str) -> Image | None:
        """What is kept under a key, and whole."""

    @abstractmethod
    def building(self, key: str) -> AbstractContextManager[None]:
        """Have other processes wait that are to keep the same."""

    @abstractmethod
    def build(self, base: Image, work: Work, version: int, key: str | None, files: Files) -> Image:
        """
        Another image: a copy of *base*, on which *work* was done.

        Args:
            version: The one that it is at then.
            key: Under which it is kept; None for this process only.
            files: Kept with it, and those of *base*.
        """

    def close(self) -> None:  # noqa: B027  (some have nothing to give back)
        """Give back what it takes."""
