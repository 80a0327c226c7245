"""A SQLite database that is rehearsed: reached beside the application, copied, and asked whether it can be written."""

from __future__ import annotations

import os
import sqlite3
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from ..backends import as_sqlite
from ..errors import DiskFull
from ..execution import TryAgain
from .copied_engine import connects_plainly, given_path
from .copies import Making, SQLiteCopy, copied
from .original import Asked, Original
from .places import free_bytes, readable_size
from .soundness import problems
from .source import Source

if TYPE_CHECKING:
    from ..backends.session import Session
    from ..migrator import Migrator
    from .backup import Tell

__all__ = ["SQLiteOriginal"]


class SQLiteOriginal(Original):
    """A file, one that is not there yet, or a database in memory."""

    def __init__(self, migrator: Migrator, session: Session | None) -> None:
        super().__init__(migrator, session)
        self.exists = session is not None or self._missing() is None
        self._raw: Any = None
        self._source = Source.missing("")

    @contextmanager
    def opened(self) -> Iterator[None]:
        """With the only connection held that a database in memory has; another's is given back at once."""
        with ExitStack() as held:
            self._raw, self._source = held.enter_context(self._connected())
            self.size = self._source.size
            if self._source.path and self._session is None:
                held.close()
            yield

    @property
    def source(self) -> Source:
        """What the application's connections are like; known within `opened()`."""
        return self._source

    @contextmanager
    def copied(self, asked: Asked, tell: Tell) -> Iterator[SQLiteCopy]:
        """By the backup API."""
        backend = self._migrator.backend
        raw, engine, name = self._raw, self._migrator.db.engine, backend.name
        making = Making(engine, self._source, raw, raw is not None, name, backend.lock_timeout, tell)
        with ExitStack() as stack:
            with self._let_go():
                copy = stack.enter_context(copied(making, asked.folder, asked.room))
            yield copy

    def obstacle(self, growth: int) -> str | None:
        """Its permissions, or the room on its disk."""
        # Asked when the copy is gone, which may have lain on the same disk.
        return self._unwritable() or self._no_room(growth)

    def problems(self, *, thorough: bool, tables: Collection[tuple[str, str]]) -> Counter[str]:
        """Damage, short indexes, rows without their parents."""
        if not self.exists:
            return Counter()
        with self._again() as raw:
            return problems(raw, thorough=thorough, tables=tables)

    @contextmanager
    def _again(self) -> Iterator[Any]:
        if self._session is not None or not self._source.path:
            yield self._raw
            return
        with self._connected() as (raw, _):
            yield raw

    @contextmanager
    def _connected(self) -> Iterator[tuple[Any, Source]]:
        """
        A connection of the application's and what it shows; none to a file that is not there, which nobody makes.
        """
        if self._session is not None:
            yield self._session.raw, Source.of(self._session.raw)
            return
        missing = self._missing()
        if missing is not None:
            yield None, Source.missing(missing)
            return
        backend = self._migrator.backend
        with backend.one_thread():
            pooled = backend.read(self._migrator.db.engine.raw_connection)
            try:
                raw: Any = pooled.dbapi_connection
                source = backend.read(lambda: Source.of(raw))
                if getattr(raw, "autocommit", None) is False:
                    # It has begun to read, and would keep writers out all the while.
                    raw.rollback()
                yield raw, source
            finally:
                pooled.close()

    def _missing(self) -> str | None:
        """The file of the database where it is not there yet."""
        engine = self._migrator.db.engine
        if connects_plainly(engine) or len(engine.dialect.dispatch.do_connect) > 0:
            return None
        path = given_path(engine)
        if not path or path.startswith((":", "file:")) or os.path.exists(path):
            return None
        # Where its folder is not there either, connecting makes nothing and says why.
        return path if os.path.isdir(os.path.dirname(os.path.abspath(path))) else None

    @contextmanager
    def _let_go(self) -> Iterator[None]:
        """
        Have no transaction open meanwhile on the only connection that a database in memory has.

        Other threads are kept out by their lock, and there are no other processes.
        """
        session = self._session
        paused = session is not None and not self._source.path
        with as_sqlite(session, "A rehearsal").paused() if session is not None and paused else nullcontext():
            yield
        if session is not None and not session.unchanged():
            raise TryAgain

    def _unwritable(self) -> str | None:
        """Why the database itself cannot be written, which its copy could."""
        path = self._source.path
        if not path or not os.path.exists(path):
            return None
        engine = self._migrator.db.engine
        uri = "" if connects_plainly(engine) else given_path(engine)
        said = parse_qs(urlsplit(uri).query) if uri.startswith("file:") else {}
        opened_to_read = said.get("mode") == ["ro"] or said.get("immutable", ["0"]) != ["0"]
        # A journal is written beside it.
        if not opened_to_read and all(os.access(p, os.W_OK) for p in (path, os.path.dirname(path))):
            return None
        error = sqlite3.OperationalError("attempt to write a readonly database")
        error.sqlite_errorcode = sqlite3.SQLITE_READONLY
        return str(self._migrator.backend.translate(error))

    def _no_room(self, growth: int) -> str | None:
        """Why the database itself has no room to be migrated."""
        if not self._source.path or not os.path.exists(self._source.path):
            return None
        folder = os.path.dirname(os.path.abspath(self._source.path))
        free = free_bytes(folder)
        if free >= growth:
            return None
        reason = f"migrating it needs {readable_size(growth)} more, and {folder} has {readable_size(free)} free"
        undone = "It was found out in a rehearsal; nothing was changed."
        return str(DiskFull(self._migrator.backend.name, reason, undone=undone))
