"""The copy that a rehearsal runs on: made, opened, and always removed."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import DiskFull
from .backup import Tell, back_up, open_source, reading
from .copied_engine import connects_plainly, engine_on
from .fence import AUTHORIZER, Fence
from .original import Copy
from .places import choose, folder_of_its_own, sweep
from .schema_text import SQLiteSchema
from .soundness import problems
from .source import files_of, size_of

if TYPE_CHECKING:
    from collections import Counter

    from sqlalchemy.engine import Engine

    from ..backends.session import Session
    from .differences import Schema
    from .source import Source

__all__ = ["MEMORY", "Making", "SQLiteCopy", "copied"]

MEMORY = ":memory:"
# Where no folder has room, a database of this many bytes is copied into memory instead.
_FITS_IN_MEMORY = 64 * 1024 * 1024


class SQLiteCopy(Copy):
    """Files, or a database in memory."""

    def schema(self, session: Session, ignored: Collection[str]) -> Schema:
        """As SQLite has stored it."""
        return SQLiteSchema.read(session.raw, ignored)

    @contextmanager
    def counting(self, session: Session) -> Iterator[Callable[[], int]]:
        """Those that triggers and keys changed as well; meanwhile no other file can be attached."""
        raw = session.raw
        before = raw.total_changes
        fence: Fence = self.engine.get_execution_options()[AUTHORIZER]
        with fence.telling(raw):
            yield lambda: int(raw.total_changes - before)

    def size_in(self, session: Session) -> int:
        """That of its pages."""
        return size_of(session.raw, list(files_of(session.raw)))

    def size(self) -> int:
        """That of its pages."""
        with self._raw() as raw:
            return size_of(raw, list(files_of(raw)))

    def problems(self, *, thorough: bool, tables: Collection[tuple[str, str]]) -> Counter[str]:
        """Damage, short indexes, rows without their parents."""
        with self._raw() as raw:
            return problems(raw, thorough=thorough, tables=tables)

    @contextmanager
    def _raw(self) -> Iterator[Any]:
        pooled = self.engine.raw_connection()
        try:
            yield pooled.dbapi_connection
        finally:
            pooled.close()


class Making(NamedTuple):
    """
    What is to be copied, and how.

    Attributes:
        raw: The application's connection, for a database in memory: nobody else can reach that.
        exists: Whether there is anything to copy yet.
        name: How messages call the database.
        timeout: Seconds to wait for a database that is locked.
    """

    original: Engine
    source: Source
    raw: Any
    exists: bool
    name: str
    timeout: float
    tell: Tell

    @contextmanager
    def opened(self) -> Iterator[sqlite3.Connection]:
        """The files of the source, which cannot be written through it."""
        with open_source(self.source.path, self.source.attached, self.timeout) as connection:
            yield connection

    def copy(self, source: Any, target: Any, name: str = "main", *, hold: bool) -> None:
        """Copy one database."""
        back_up(source, target, name=name, timeout=self.timeout, tell=self.tell, database=self.name, hold=hold)

    def fill(self, raw: Any) -> None:
        """Copy the main database into a connection to one in memory, which nothing has used yet."""
        before = getattr(raw, "autocommit", None)
        if before is False:
            # Python would have begun a transaction on it.
            raw.autocommit = True
        # In memory it cannot be changed any more once there is a page.
        raw.execute(f"PRAGMA page_size = {self.source.page_size}")
        if self.source.path:
            with self.opened() as source:
                self.copy(source, raw, hold=False)
        else:
            self.copy(self.raw, raw, hold=True)
        if before is False:
            raw.autocommit = False

    def write(self, files: Mapping[str, str]) -> None:
        """Copy these databases to files."""
        with self.opened() as source, ExitStack() as stack:
            together = len(self.source.attached) > 0
            if together:
                # So that they are of one moment.
                stack.enter_context(reading(source, list(files)))
            for name, file in files.items():
                with closing(sqlite3.connect(file, isolation_level=None)) as target:
                    # It is thrown away: nothing must reach the disk, nor be undone.
                    target.execute("PRAGMA synchronous = OFF")
                    self.copy(source, target, name, hold=together)


@contextmanager
def copied(making: Making, folder: str | None, room: float) -> Iterator[SQLiteCopy]:
    """
    A copy of a database for the time inside.

    Args:
        folder: Where to put it, ":memory:" for nowhere; by default the system's temporary folder if that has room,
            else beside the database.
        room: How many times the size of the database must be free.

    Raises:
        DiskFull: No folder has room; nothing was written.
        DatabaseLocked: The database stayed locked.
    """
    source, warnings = making.source, []
    with ExitStack() as stack:
        in_memory = not source.path or folder == MEMORY
        home = None
        if not in_memory or source.attached:
            place = _place(making, None if folder == MEMORY else folder, room)
            if place is None:
                in_memory = True
                warnings.append("no folder has room for a copy, so that it was rehearsed in memory")
            else:
                home = stack.enter_context(folder_of_its_own(place))
        files = {} if in_memory else {"main": os.path.join(str(home), "copy.db")}
        files |= {name: os.path.join(str(home), f"attached{n}.db") for n, name in enumerate(source.attached)}
        if making.exists and files:
            making.write(files)
        if connects_plainly(making.original):
            warnings.append(
                "the engine has a creator= of its own, which cannot open the copy: it was opened with the"
                " connection's settings, but without functions and collations that the creator adds"
            )
        main = files.pop("main", MEMORY)
        fill: Callable[[Any], None] | None = making.fill if in_memory and making.exists else None
        engine = stack.enter_context(engine_on(making.original, source, main, files, fill))
        # So that it is filled, and asked where it leads, before anything else is done.
        with engine.connect():
            pass
        yield SQLiteCopy(engine, [file for file in (main, *files.values()) if file != MEMORY], warnings)


def _place(making: Making, folder: str | None, room: float) -> str | None:
    """Where files go; None for one that is small enough for memory where no folder has room."""
    source = making.source
    beside = [os.path.dirname(os.path.abspath(file)) for file in (source.path, *source.attached.values()) if file]
    folders = [folder] if folder is not None else [tempfile.gettempdir(), *beside]
    sweep(list(dict.fromkeys([*folders, tempfile.gettempdir(), *beside])))
    try:
        return choose(folders, int(source.size * room), making.name)
    except DiskFull:
        if folder is not None or source.attached or source.size > _FITS_IN_MEMORY:
            raise
        return None
