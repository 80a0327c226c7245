"""Databases of tests on SQLite: templates are files, and copies are made in memory by the backup API, or as files."""

from __future__ import annotations

import logging
import os
import sqlite3
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from sqlalchemy import event
from sqlalchemy.engine import URL

from ..errors import ConfigurationError
from .engines import KeptPool, async_sibling, end, end_async, initialised, run_apart, sibling
from .image import Files, Home, Image, Work
from .shelf import Shelf, copy

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from sqlalchemy.engine import Engine
    from sqlalchemy.ext.asyncio import AsyncEngine

    from .project import Project

__all__ = ["SQLiteHome", "SQLiteImage"]

logger = logging.getLogger("sqlmig.testing")

# In its header: which versions of the format may write and read a file. 2 is a WAL, which memory has none of.
_FORMATS = slice(18, 20)


class SQLiteImage(Image):
    """
    A file, held open, or nothing at all.

    Args:
        file: None for an empty database.
    """

    def __init__(
        self, project: Project, file: BufferedReader | None, files: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        self._project, self._file, self.files = project, file, files
        self._copying, self._turn = threading.Lock(), threading.RLock()
        self._made: Engine | None = None
        self._made_async: AsyncEngine | None = None
        self._source: sqlite3.Connection | None = None

    @contextmanager
    def engine(self) -> Iterator[Engine]:
        """In memory, with one connection for all threads."""
        engine = sibling(self._prototype())
        try:
            yield engine
        finally:
            end(engine)

    @contextmanager
    def async_engine(self) -> Iterator[AsyncEngine]:
        """In memory, with one connection for all tasks."""
        engine = async_sibling(self._async_prototype())
        try:
            yield engine
        finally:
            end_async(engine)

    @contextmanager
    def url(self, folder: Path) -> Iterator[URL]:
        """Of a file."""
        handle, path = tempfile.mkstemp(prefix="migrated-", suffix=".db", dir=folder)
        os.close(handle)
        self.copy_to(path)
        # The folder is the caller's, who may want to look at what a test has left.
        yield URL.create("sqlite", database=path)

    @contextmanager
    def at_work(self, folder: Path) -> Iterator[Engine]:
        """On a file: in memory there is no WAL, and no second connection."""
        with self.url(folder) as url:
            engine = _without_waiting(self._project.engine(url))
            try:
                yield engine
            finally:
                engine.dispose()

    def copy_to(self, path: str) -> None:
        """Write a copy over a file."""
        if self._file is None:
            return
        with self._copying, open(path, "wb") as target:
            copy(self._file, target)

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()
        if self._source is not None:
            self._source.close()

    def _prototype(self) -> Engine:
        # A cached_property keeps threads out of each other's way no more since Python 3.12.
        with self._turn:
            if self._made is None:
                self._made = initialised(self._project.engine(URL.create("sqlite"), **self._in_memory()))
            return self._made

    def _async_prototype(self) -> AsyncEngine:
        with self._turn:
            if self._made_async is None:
                engine = self._project.async_engine(URL.create("sqlite+aiosqlite"), **self._in_memory())
                from sqlalchemy.util import greenlet_spawn

                run_apart(lambda: greenlet_spawn(initialised, engine.sync_engine))
                self._made_async = engine
            return self._made_async

    def _in_memory(self) -> dict[str, Any]:
        connect: dict[str, Any] = {"check_same_thread": False}
        if self._file is not None:
            theirs = self._project.engine_options.get("connect_args", {}).get("factory", sqlite3.Connection)
            connect["factory"] = self._filled(theirs)
        return {"poolclass": KeptPool, "connect_args": connect}

    def _filled(self, factory: Callable[..., Any]) -> Callable[..., Any]:
        """What makes a connection of sqlite3's whose database in memory is a copy of this one."""
        if self._source is None:
            self._source = self._in_a_source()
        source = self._source

        def connect(*arguments: Any, **options: Any) -> Any:
            raw = factory(*arguments, **options)
            # Python would have begun a transaction on it.
            begins = getattr(raw, "autocommit", None) is False
            if begins:
                raw.autocommit = True
            with self._copying:
                # Not by `deserialize`, which is as quick: SQLite then says that the database is a file called x.
                source.backup(raw)
            if begins:
                raw.autocommit = False
            return raw

        return connect

    def _in_a_source(self) -> sqlite3.Connection:
        """The database in memory, from which copies are made."""
        assert self._file is not None
        self._file.seek(0)
        content = bytearray(self._file.read())
        content[_FORMATS] = b"\x01\x01"
        source = sqlite3.connect(":memory:", check_same_thread=False)
        source.deserialize(bytes(content))
        return source


class SQLiteHome(Home):
    """
    Files in a folder.

    Args:
        folder: For templates.
        scratch: Asked for a folder for this process.
    """

    def __init__(self, project: Project, folder: Path, scratch: Callable[[], Path]) -> None:
        super().__init__(project)
        if project.options.get("schema") not in (None, "main"):
            raise ConfigurationError(
                f"schema={project.options['schema']!r} cannot be used in tests on SQLite.\n"
                "  it is an attached file there, and a copy is one file\n"
                'Override the session fixture sqlmig_options: {"schema": None}, or name a server in sqlmig_database.'
            )
        self._shelf, self._scratch = Shelf(folder), scratch

    @property
    def facts(self) -> Mapping[str, Any]:
        """The release of SQLite."""
        return {"sqlite": sqlite3.sqlite_version}

    def empty(self) -> Image:
        """No file."""
        return SQLiteImage(self.project, None)

    def find(self, key: str) -> Image | None:
        """A file on the shelf."""
        found = self._shelf.find(key)
        return SQLiteImage(self.project, *found) if found is not None else None

    def building(self, key: str) -> AbstractContextManager[None]:
        """The lock of the whole shelf."""
        return self._shelf.lock()

    def build(self, base: Image, work: Work, version: int, key: str | None, files: Files) -> Image:
        """In a file."""
        assert isinstance(base, SQLiteImage)
        handle, name = tempfile.mkstemp(suffix=".db", dir=self._scratch())
        os.close(handle)
        try:
            base.copy_to(name)
            engine = _without_waiting(self.project.engine(URL.create("sqlite", database=name)))
            try:
                work(engine)
            finally:
                engine.dispose()
            whole = Path(f"{name}.whole")
            # What is still in a WAL comes along.
            with closing(sqlite3.connect(name)) as source, closing(sqlite3.connect(whole)) as target:
                target.execute("PRAGMA synchronous = OFF")
                source.backup(target)
            file = whole.open("rb")
            with suppress(OSError):
                # Windows removes it with the folder.
                whole.unlink()
            if key is None:
                return SQLiteImage(self.project, file)
            made_with = {**base.files, **files()}
            try:
                kept = self._shelf.publish(key, file, made_with)
            except OSError as error:
                # There is no room, or another run clears pytest's cache just now.
                logger.warning("a migrated database could not be kept, and is made again by each process: %s", error)
                return SQLiteImage(self.project, file, made_with)
            file.close()
            return SQLiteImage(self.project, *kept)
        finally:
            for suffix in ("", "-wal", "-shm", "-journal"):
                with suppress(OSError):
                    os.unlink(name + suffix)


def _without_waiting(engine: Engine) -> Engine:
    """Have nothing of a database that is thrown away reach the disk, unless the application says otherwise."""
    event.listen(engine, "connect", _no_sync, insert=True)
    return engine


def _no_sync(raw: Any, _record: object) -> None:
    # In a transaction, which Python may have begun already, it is refused.
    with suppress(sqlite3.Error):
        cursor = raw.cursor()
        cursor.execute("PRAGMA synchronous = OFF")
        cursor.close()
