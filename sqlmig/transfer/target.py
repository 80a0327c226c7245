"""
The database that is copied into: what it has, how rows come into it, and how they are read back.

Everything happens on the connection that holds sqlmig's lock.
"""

from __future__ import annotations

import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, NamedTuple

from ..backends.raw import ask_any
from ..errors import CopyError
from .kinds import Kind
from .shapes import Column, Table

if TYPE_CHECKING:
    from ..backends.session import Session

__all__ = ["Digest", "Job", "Pair", "Target", "Write", "escaped", "target_of"]

Write = Callable[[list[Any], "list[Sequence[Any]] | None"], Sequence[Any]]
"""
Takes the rows of a batch as they were read, and their columns as the target holds them (None where that is the same);
gives the form of each row in which it is compared.
"""


class Pair(NamedTuple):
    """A column of the source and the one of the target that it goes into."""

    source: Column
    target: Column
    kind: Kind


class Job(NamedTuple):
    """A table of the source, the one of the target, and their columns; those that the target computes are compared."""

    source: Table
    target: Table
    pairs: tuple[Pair, ...]

    @property
    def written(self) -> list[int]:
        """Which of the columns are written."""
        return [index for index, pair in enumerate(self.pairs) if not pair.target.generated]


class Digest:
    """
    What tells two sets of rows apart, whatever their order: their number, and two sums over the forms of all.

    The sum of Python's own hashes, of 64 bits and keyed anew in each process, is what nothing passes by chance; that of
    CRC-32 is the same tomorrow, and is what a report shows.

    Args:
        strong: The first of the two sums, where the database is to take it as well.
    """

    def __init__(self, strong: Callable[[Sequence[Any]], int] | None = None) -> None:
        self.rows = self._crc = self._sum = 0
        self._strong = strong or _hashes

    def add(self, forms: Sequence[Any]) -> None:
        """Count these rows as well."""
        self.rows += len(forms)
        self._crc += sum(map(zlib.crc32, forms))
        self._sum += self._strong(forms)

    def add_sums(self, rows: int, crc: int, strong: int) -> None:
        """The same for rows that the database has summed up by itself."""
        self.rows, self._crc, self._sum = self.rows + rows, self._crc + crc, self._sum + strong

    @property
    def checksum(self) -> str:
        """The sum of the CRC-32."""
        return f"{self._crc & 0xFFFF_FFFF_FFFF_FFFF:016x}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Digest) and self._all == other._all

    __hash__ = None  # type: ignore[assignment]

    @property
    def _all(self) -> tuple[int, int, int]:
        return self.rows, self._crc, self._sum


def _hashes(forms: Sequence[Any]) -> int:
    return sum(map(hash, forms))


class Target(ABC):
    """
    One database that rows are copied into.

    Args:
        session: Has the connection and the lock.
        own: The names of sqlmig's own tables, in lower case.
    """

    def __init__(self, session: Session, own: set[str]) -> None:
        self.session, self.own, self.raw = session, own, session.raw
        self.warnings: list[str] = []

    @abstractmethod
    def tables(self) -> list[Table]:
        """Its tables as they are now."""

    @abstractmethod
    def quote(self, name: str) -> str:
        """A name as SQL."""

    @abstractmethod
    def kind(self, column: Column, source: Column, dialect: str) -> Kind:
        """What a column holds, of what comes from a column of a source of some dialect."""

    @abstractmethod
    def drops(self) -> list[str]:
        """The statements that drop all that there is, but for sqlmig's own tables."""

    def clear(self) -> None:
        """Drop all that there is, but for sqlmig's own tables."""
        for sql in self.drops():
            self.run(sql)

    def has_rows(self, table: Table) -> bool:
        """Whether a table has any."""
        return bool(ask_any(self.raw, f"SELECT 1 FROM {self.quote(table.name)} LIMIT 1"))

    def elsewhere(self) -> set[str]:
        """Tables that are there beside those of the schema that is filled, as schema.table."""
        return set()

    # Around the transaction of the rows, where the database can hold back nothing in it

    def hold_back(self, jobs: Sequence[Job]) -> Mapping[str, Any]:
        """
        What is to be known to give back what `prepare` cannot hold back inside a transaction.

        It is kept where a later process finds it, before `take_away` does it.
        """
        return {}

    def take_away(self, held: Mapping[str, Any]) -> None:  # noqa: B027 - most databases need not
        """Take it away, outside a transaction."""

    def give_back(self, held: Mapping[str, Any]) -> None:  # noqa: B027 - the same
        """Give it back, as far as it is not there; outside a transaction."""

    def count_on(self, job: Job, last: int | None) -> None:  # noqa: B027 - the same
        """What `finish` does for one table's numbers, outside a transaction."""

    # Inside it

    @abstractmethod
    def prepare(self, jobs: Sequence[Job]) -> None:
        """Empty the tables; hold back what would act on rows as they come: triggers, and references until all came."""

    @abstractmethod
    def writing(self, job: Job) -> AbstractContextManager[Write]:
        """What takes the rows of one table."""

    def digest(self, job: Job) -> Digest:
        """An empty one, for the rows that are written."""
        return Digest()

    @abstractmethod
    def read_back(self, job: Job, size: int) -> Digest:
        """The digest of the rows that are there."""

    @abstractmethod
    def finish(
        self, jobs: Sequence[Job], last_numbers: Mapping[str, int | None], positions: Mapping[str, int | None]
    ) -> None:
        """
        Bring back what was held back, have numbers go on after the last, and fill what is made of the rows.

        Args:
            last_numbers: By table, the last that the source gave to its key.
            positions: By name in lower case, where the source's own sequences are; None for one that was never used.

        Raises:
            CopyError: Rows refer to rows that are not there.
        """

    def run(self, sql: str) -> None:
        """A statement that gives no rows, or whose rows nobody wants."""
        cursor = self.raw.cursor()
        try:
            cursor.execute(sql)
        finally:
            cursor.close()


def escaped(values: Sequence[str]) -> Sequence[str]:
    """
    Texts in a line of fields with tabs between them, as COPY writes them.

    Source: https://www.postgresql.org/docs/current/sql-copy.html#id-1.9.3.55.9.2
    """
    joined = "".join(values)
    for found, written in _ESCAPES:
        if found in joined:
            values = [value.replace(found, written) for value in values]
    return values


_ESCAPES = (
    ("\\", "\\\\"),
    ("\t", "\\t"),
    ("\n", "\\n"),
    ("\r", "\\r"),
    ("\b", "\\b"),
    ("\f", "\\f"),
    ("\v", "\\v"),
)


def dangling(table: str, parent: str, count: str, example: str) -> CopyError:
    """The error for rows that refer to rows which are not there."""
    return CopyError(
        f"Rows of {table} refer to rows of {parent} that the source has not.",
        f"{count}{example}\nthe source does not enforce this reference; what had been begun was undone",
        "Remove or mend these rows in the source, then copy again.",
    )


def target_of(session: Session, own: set[str]) -> Target:
    """What copies into the database of a session."""
    dialect = session.connection.dialect.name
    if dialect == "sqlite":
        from .to_sqlite import SQLiteTarget

        return SQLiteTarget(session, own)
    if dialect == "postgresql":
        from .to_postgresql import PostgreSQLTarget

        return PostgreSQLTarget(session, own)
    from .to_mysql import MySQLTarget

    return MySQLTarget(session, own)
