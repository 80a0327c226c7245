"""What a rehearsal needs of a database and of its copy, whichever kind of database it is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, NamedTuple

from .disk import DiskWatch

if TYPE_CHECKING:
    from collections import Counter

    from sqlalchemy.engine import Engine

    from ..backends.session import Session
    from ..migrator import Migrator
    from .backup import Tell
    from .differences import Schema

__all__ = ["Asked", "Copy", "Original", "original_of"]


class Asked(NamedTuple):
    """
    How the caller wants it done.

    Attributes:
        folder, room, thorough: As in `Migrator.rehearse`.
    """

    folder: str | None
    room: float
    thorough: bool


class Copy(ABC):
    """
    A copy, ready to be migrated.

    Attributes:
        engine: Connects as the application's does.
        files: The files of the copy, where this process sees them.
        warnings: In what it is not as the original.
    """

    def __init__(self, engine: Engine, files: list[str], warnings: list[str]) -> None:
        self.engine, self.files, self.warnings = engine, files, warnings

    @abstractmethod
    def schema(self, session: Session, ignored: Collection[str]) -> Schema:
        """
        The schema in the transaction that is open.

        Args:
            ignored: Tables that are records of migrations, in lower case; they and theirs are left out.
        """

    @abstractmethod
    def counting(self, session: Session) -> AbstractContextManager[Callable[[], int]]:
        """Tell how many rows were inserted, updated and deleted since it was entered."""

    @abstractmethod
    def size_in(self, session: Session) -> int:
        """The bytes that it takes when the transaction that is open commits."""

    @abstractmethod
    def size(self) -> int:
        """The bytes that it takes."""

    @abstractmethod
    def problems(self, *, thorough: bool, tables: Collection[tuple[str, str]]) -> Counter[str]:
        """What is wrong with it; *tables*, with their schemas, are those that changed."""

    def disk(self) -> DiskWatch:
        """What tells how much it grows."""
        return DiskWatch(self.files, self.size())


class Original(ABC):
    """
    The database that a rehearsal is of.

    Args:
        session: That of a run which holds the lock and has written nothing yet.

    Attributes:
        exists: Whether there is anything to copy yet.
        size: In bytes.
    """

    exists = True
    size = 0

    def __init__(self, migrator: Migrator, session: Session | None) -> None:
        self._migrator, self._session = migrator, session

    @abstractmethod
    def opened(self) -> AbstractContextManager[object]:
        """Within it, what is asked of the original can be answered, and *size* is known."""

    @abstractmethod
    def copied(self, asked: Asked, tell: Tell) -> AbstractContextManager[Copy]:
        """
        A copy for the time inside.

        Raises:
            DiskFull: There is no room; nothing was written.
        """

    @abstractmethod
    def obstacle(self, growth: int) -> str | None:
        """Why itself cannot be migrated though its copy can, as far as that can be told; *growth* in bytes."""

    @abstractmethod
    def problems(self, *, thorough: bool, tables: Collection[tuple[str, str]]) -> Counter[str]:
        """What is wrong with it as it is."""


def original_of(migrator: Migrator, session: Session | None) -> Original:
    """
    The database of *migrator*.

    Raises:
        UnsupportedDatabase: There are no rehearsals for it.
    """
    from ..backends import require_sqlite

    dialect = migrator.db.engine.dialect.name
    if dialect == "postgresql":
        from .postgresql.original import PostgreSQLOriginal

        return PostgreSQLOriginal(migrator, session)
    require_sqlite(dialect, "A rehearsal", " and PostgreSQL")
    from .sqlite_original import SQLiteOriginal

    return SQLiteOriginal(migrator, session)
