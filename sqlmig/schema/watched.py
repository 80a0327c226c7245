"""
Whoever watches a migration is told what an operation does, and leaves the statements that it takes for it alone.

The operations exchange pages and edit stored texts: read statement by statement, that would look like something else.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from ..backends.session import OBSERVER

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from .changes import Change, TableName

__all__ = ["Watcher", "watcher_of"]


class Watcher:
    """Who wants to be told; this one wants nothing, and does nothing."""

    def altering(self, table: TableName, changes: Sequence[Change]) -> AbstractContextManager[None]:
        """Changes of a table are carried out inside."""
        return nullcontext()

    def dropping(self, table: TableName) -> AbstractContextManager[None]:
        """A table is dropped inside."""
        return nullcontext()

    def renaming(self, table: TableName, new: str) -> AbstractContextManager[None]:
        """A table gets another name inside."""
        return nullcontext()

    def replacing(self, table: TableName, by: str) -> AbstractContextManager[None]:
        """A table is dropped inside, and another gets its name."""
        return nullcontext()


_NOBODY = Watcher()


def watcher_of(connection: Connection) -> Watcher:
    """Whoever watches what runs on a connection."""
    found: Watcher | None = connection.info.get(OBSERVER)
    return found if found is not None else _NOBODY
