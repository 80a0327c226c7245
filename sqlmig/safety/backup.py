"""
A live database copied as it is at one moment, through SQLite's backup API.

Source: https://sqlite.org/c3ref/backup_finish.html
"""

from __future__ import annotations

import pathlib
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any, TypeAlias

from ..backends.sqlite import is_busy, pragma, quoted
from ..errors import DatabaseLocked
from .copying import StayedBusy, step_through

__all__ = ["Tell", "back_up", "open_source"]

Tell: TypeAlias = Callable[[int, int], object]

# 8 MiB with pages of the usual size: often enough for a progress bar, and seldom enough to cost nothing.
_PAGES = 2048
_RESTARTS = 2


@contextmanager
def open_source(path: str, attached: Mapping[str, str], timeout: float) -> Iterator[sqlite3.Connection]:
    """A connection of our own to the files of a database, which cannot write to them."""
    with closing(_open(path)) as source:
        source.execute(f"PRAGMA busy_timeout = {int(min(timeout, 86_400) * 1000)}")
        for name, file in attached.items():
            source.execute(f"ATTACH ? AS {quoted(name)}", (_uri(file, "ro"),))
        source.execute("PRAGMA query_only = ON")
        yield source


def _open(path: str) -> sqlite3.Connection:
    try:
        source = sqlite3.connect(_uri(path, "ro"), uri=True, isolation_level=None)
        try:
            source.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchall()
            return source
        except BaseException as error:
            source.close()
            if not isinstance(error, sqlite3.OperationalError) or is_busy(error):
                raise
    except sqlite3.OperationalError as error:
        if is_busy(error):
            raise
    # What a crashed writer left must be brought to an end first, as any reader does, and needs to write for it.
    return sqlite3.connect(_uri(path, "rw"), uri=True, isolation_level=None)


def _uri(path: str, mode: str) -> str:
    return f"{pathlib.Path(path).absolute().as_uri()}?mode={mode}"


class _Overtaken(Exception):
    """Others write faster than is copied."""


def back_up(source: Any, target: Any, *, name: str, timeout: float, tell: Tell, database: str, hold: bool) -> None:
    """
    Copy the database *name* of the connection *source* to the main one of *target*.

    In steps that let writers in between, which has SQLite begin again when one was there; where that goes on, and
    under WAL, where it hinders nobody, in one read transaction.

    Args:
        hold: Whether there is a read transaction around already, or none is needed.
        timeout: Seconds to wait for a database that is locked.

    Raises:
        DatabaseLocked: It stayed locked.
    """
    if hold:
        _copy(source, target, name, timeout, tell, database, patient=True)
        return
    if pragma(source, f"{quoted(name)}.journal_mode") != "wal":
        try:
            _copy(source, target, name, timeout, tell, database, patient=False)
            return
        except _Overtaken:
            pass
    with reading(source, [name]):
        _copy(source, target, name, timeout, tell, database, patient=True)


@contextmanager
def reading(source: Any, names: list[str]) -> Iterator[None]:
    """One read transaction over these databases of *source*."""
    source.execute("BEGIN")
    try:
        for name in names:
            source.execute(f"SELECT 1 FROM {quoted(name)}.sqlite_master LIMIT 1").fetchall()
        yield
    finally:
        source.execute("ROLLBACK")


def _copy(source: Any, target: Any, name: str, timeout: float, tell: Tell, database: str, *, patient: bool) -> None:
    before, restarts = -1, 0

    def look(remaining: int, total: int) -> None:
        nonlocal before, restarts
        if 0 <= before < remaining:
            restarts += 1
            if restarts > _RESTARTS and not patient:
                raise _Overtaken
        before = remaining
        tell(total - remaining, total)

    try:
        step_through(source, target, pages=_PAGES, patience=timeout, look=look, name=name)
    except StayedBusy:
        raise DatabaseLocked(database, timeout, "a transaction that writes is open on it") from None
