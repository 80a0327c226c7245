"""
Whoever watches a migration is told what an operation does, and leaves the statements that it takes for it alone.

The operations exchange pages and edit stored texts: read statement by statement, that would look like something else.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Protocol

from ..backends.sqlite_session import OBSERVER

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from .changes import Change, TableName

__all__ = ["Watcher", "altering", "dropping", "renaming", "replacing"]


class Watcher(Protocol):
    """What an observer offers who wants to be told."""

    def altering(self, table: TableName, changes: Sequence[Change]) -> AbstractContextManager[None]:
        """Changes of a table are carried out inside."""

    def dropping(self, table: TableName) -> AbstractContextManager[None]:
        """A table is dropped inside."""

    def renaming(self, table: TableName, new: str) -> AbstractContextManager[None]:
        """A table gets another name inside."""

    def replacing(self, table: TableName, by: str) -> AbstractContextManager[None]:
        """A table is dropped inside, and another gets its name."""


def altering(connection: Connection, table: TableName, changes: Sequence[Change]) -> AbstractContextManager[None]:
    """Carry out changes of a table inside."""
    watcher = _watcher(connection)
    return watcher.altering(table, changes) if watcher is not None else nullcontext()


def dropping(connection: Connection, table: TableName) -> AbstractContextManager[None]:
    """Drop a table inside."""
    watcher = _watcher(connection)
    return watcher.dropping(table) if watcher is not None else nullcontext()


def renaming(connection: Connection, table: TableName, new: str) -> AbstractContextManager[None]:
    """Give a table another name inside."""
    watcher = _watcher(connection)
    return watcher.renaming(table, new) if watcher is not None else nullcontext()


def replacing(connection: Connection, table: TableName, by: str) -> AbstractContextManager[None]:
    """Put another table in a table's place inside."""
    watcher = _watcher(connection)
    return watcher.replacing(table, by) if watcher is not None else nullcontext()


def _watcher(connection: Connection) -> Watcher | None:
    found: Watcher | None = connection.info.get(OBSERVER)
    return found
