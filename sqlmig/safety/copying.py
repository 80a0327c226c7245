"""
A whole database copied through SQLite's backup API, and what can be said of the copy.

The source is read in one transaction, so that the copy shows one moment; the target is written in one, so that it is
what it was or the copy, whatever happens on the way (https://sqlite.org/backup.html).
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import create_engine
from sqlalchemy.pool import StaticPool

from ..backends.sqlite import pragma, primary_code, quoted
from ..errors import UnsupportedDatabase
from .source import files_of

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from ..backends.backend import Backend

__all__ = [
    "StayedBusy",
    "another_connection",
    "connected",
    "copy_pages",
    "damage_in",
    "damage_of",
    "main_file",
    "open_to_read",
    "plain",
    "step_through",
]

_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
# Pages between two looks at the clock: 4 MiB of them at the usual size.
_STRIDE = 1024
# What quick_check says of rows that contradict the schema: the application's affair, and no damage of the copy.
_NO_DAMAGE = ("CHECK constraint failed", "NULL value in", "non-", "NUMERIC value in", "TEXT value in")

# Connections of which an application's own creator made no second one: closing the proxy would close the only one.
_shared: list[Any] = []


class StayedBusy(Exception):
    """Another connection kept the source or the target locked for as long as was to be waited."""


def main_file(raw: Any) -> Path | None:
    """The file of the main database, links resolved; None for one in memory."""
    file = files_of(raw)["main"]
    return Path(file) if file else None


def copy_pages(
    source: Any,
    target: Any,
    *,
    patience: float,
    tell: Callable[[int], object] | None = None,
    locked: Callable[[], None] | None = None,
) -> None:
    """
    Replace what *target* holds by what *source* holds, in one transaction of the target.

    Args:
        source, target: Connections of sqlite3, neither in a write transaction.
        patience: Seconds without a page copied, after which it is given up.
        tell: Called with the percentage that is copied, now and then.
        locked: Called once the target's lock is held and nothing is committed yet; what it raises undoes the copy.

    Raises:
        StayedBusy: Another connection held a lock for that long; the target is as it was.
        UnsupportedDatabase: The driver has no backup API.
    """
    if not isinstance(source, sqlite3.Connection) or not isinstance(target, sqlite3.Connection):
        raise UnsupportedDatabase(
            f"The driver {type(source).__module__} cannot copy a database.\n"
            "  Snapshots need the backup API of Python's sqlite3.\nMigrate without a snapshot, or use that driver."
        )
    pages = int(pragma(source, "main.page_count"))
    told = -1

    def look(remaining: int, total: int) -> None:
        nonlocal told, locked
        if locked is not None:
            locked()
            locked = None
        percent = 100 * (total - remaining) // max(total, 1)
        if tell is not None and percent > told:
            told = percent
            tell(percent)

    # After the last page it is committed already, so that the first look must come before.
    step_through(source, target, pages=max(1, min(_STRIDE, pages // 2)), patience=patience, look=look)


def step_through(
    source: Any,
    target: Any,
    *,
    pages: int,
    patience: float,
    look: Callable[[int, int], None],
    name: str = "main",
) -> None:
    """
    Copy the database *name* of *source* to the main one of *target*, so many *pages* at a time.

    Args:
        patience: Seconds without a page copied, after which it is given up: the driver itself would try for ever.
        look: Called after each step with the pages that remain, and all; what it raises ends the copy.

    Raises:
        StayedBusy: Another connection held a lock for that long.
    """
    deadline = time.monotonic() + patience

    def stepped(status: int, remaining: int, total: int) -> None:
        nonlocal deadline
        if status & 0xFF in _BUSY:
            if time.monotonic() >= deadline:
                raise StayedBusy
            return
        deadline = time.monotonic() + patience
        look(remaining, total)

    source.backup(target, pages=pages, progress=stepped, name=name, sleep=0.02)


@contextmanager
def another_connection(backend: Backend, own: Any) -> Iterator[Any]:
    """
    One more connection as the application makes them, outside its pool, which may have none to spare.

    Yields None where there is no other than *own*: the engine's creator returns one connection again and again.
    """
    pool = backend.engine.pool.recreate()
    proxy = backend.patiently(pool.connect)
    raw: Any = proxy.dbapi_connection
    if raw is own:
        _shared.append((pool, proxy))
        yield None
        return
    try:
        yield plain(raw)
    finally:
        # It goes back to nobody: a transaction that it has open ends here.
        with suppress(sqlite3.Error):
            raw.rollback()
        proxy.close()
        pool.dispose()


def plain(raw: Any) -> Any:
    """A connection of our own that begins no transactions by itself, and waits in short turns."""
    if isinstance(getattr(raw, "autocommit", None), bool):
        # Under autocommit=True, rollback() does nothing, and a transaction that was begun by hand would stay.
        raw.autocommit = True
        raw.autocommit = sqlite3.LEGACY_TRANSACTION_CONTROL  # type: ignore[attr-defined,unused-ignore]
    raw.isolation_level = None
    raw.row_factory = None
    raw.text_factory = str
    raw.execute("PRAGMA busy_timeout = 100")
    return raw


@contextmanager
def connected(raw: Any) -> Iterator[Connection]:
    """A SQLAlchemy Connection over a connection of our own, which stays open; at the end it rolls back."""
    engine = create_engine("sqlite://", creator=lambda: raw, poolclass=StaticPool)
    with engine.connect() as connection:
        yield connection


def open_to_read(path: Path) -> sqlite3.Connection:
    """
    A file opened so that nothing is written, neither into it nor beside it.

    A WAL beside it is part of it, and is read. A database whose header says WAL, and that has none, is taken for one
    that nobody has open: to look would make one. Any other is locked while it is read, so that it shows one moment.
    """
    with path.open("rb") as stream:
        header = stream.read(20)
    alone = header[18:20] == b"\x02\x02" and not Path(f"{path}-wal").exists()
    uri = f"{path.absolute().as_uri()}?mode=ro{'&immutable=1' if alone else ''}"
    return sqlite3.Connection(uri, uri=True, isolation_level=None, timeout=5.0)


def damage_of(path: Path, backend: Backend, own: Any) -> str | None:
    """
    What `PRAGMA quick_check` finds wrong with the database in a file; None for nothing.

    Args:
        backend: Its connections know the collations and functions that the schema uses.
        own: The one that is in use.
    """
    try:
        with closing(open_to_read(path)) as raw:
            return damage_in(raw, "main")
    except sqlite3.OperationalError as error:
        if primary_code(error) != sqlite3.SQLITE_ERROR:
            raise
        with another_connection(backend, own) as raw:
            if raw is None:
                raise
            raw.execute("ATTACH DATABASE ? AS sqlmig_copy", (str(path),))
            try:
                return damage_in(raw, "sqlmig_copy")
            finally:
                raw.execute("DETACH DATABASE sqlmig_copy")


def damage_in(raw: Any, schema: str) -> str | None:
    """The same of an open database; an interrupt is obeyed on the way."""
    cursor = raw.cursor()
    cursor.row_factory = None
    # Whenever it is called Python looks for signals; what it raises then, sqlite3 swallows.
    raw.set_progress_handler(lambda: 0, 1_000_000)
    try:
        lines = [str(row[0]) for row in cursor.execute(f"PRAGMA {quoted(schema)}.quick_check")]
    except sqlite3.OperationalError as error:
        if primary_code(error) == sqlite3.SQLITE_INTERRUPT:
            raise KeyboardInterrupt from error
        raise
    finally:
        raw.set_progress_handler(None, 0)
        cursor.close()
    found = [line for line in lines if line != "ok" and not line.startswith(_NO_DAMAGE)]
    return "; ".join(found[:3]) or None
