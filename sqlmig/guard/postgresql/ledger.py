"""What is known of the tables that a migration has touched on PostgreSQL."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from .census import Table

__all__ = ["Dropped", "Mark", "ServerLedger"]


class Dropped(NamedTuple):
    """A table that goes, and what it held."""

    table: Table
    rows: int
    filled: dict[str, int]


class Mark(NamedTuple):
    """What was known when a savepoint began: what was counted by then, and how long the lists were."""

    name: str
    deleted: Counter[int]
    own: Counter[int]
    undone: Counter[int]
    lengths: tuple[int, ...]


@dataclass
class ServerLedger:
    """
    All of it; tables by their numbers.

    Attributes:
        before: The tables that were there.
        at_start: How many rows the server had counted as deleted when it began.
        stirred: What tells whether rows were deleted or the schema was changed since.
        own: Rows that the migration's own statements deleted, as far as they told it.
        undone: Rows that the server goes on counting as deleted, though a savepoint was rolled back.
        uncounted: Tables from which it deleted itself by a statement that did not tell how many.
        own_of, uncounted_of: The same of tables that it had made and dropped again, by name.
        set_itself: Columns that it set by an UPDATE of its own, in lower case.
        filled: How many values columns held that a key or a type may make NULL.
        dropped, columns, truncated, emptied: Tables that went, columns with the values that they held, values that a
            type cuts off, and rows that a TRUNCATE of another table took along.
    """

    before: dict[int, Table]
    at_start: Counter[int]
    stirred: tuple[object, ...]
    own: Counter[int] = field(default_factory=Counter)
    undone: Counter[int] = field(default_factory=Counter)
    uncounted: set[int] = field(default_factory=set)
    own_of: Counter[str] = field(default_factory=Counter)
    uncounted_of: set[str] = field(default_factory=set)
    set_itself: set[tuple[int, str]] = field(default_factory=set)
    filled: dict[tuple[int, str], int] = field(default_factory=dict)
    dropped: list[Dropped] = field(default_factory=list)
    columns: list[tuple[int, str, int]] = field(default_factory=list)
    truncated: list[tuple[str, str, int]] = field(default_factory=list)
    emptied: list[tuple[int, int]] = field(default_factory=list)

    @property
    def in_danger(self) -> bool:
        """Whether something was counted."""
        return bool(self.dropped or self.columns or self.truncated or self.filled or self.emptied)

    def is_new(self, oid: int, number: int) -> bool:
        """Whether the migration has made a column."""
        return oid not in self.before or number not in self.before[oid].columns

    def mark(self, name: str, deleted: Counter[int]) -> Mark:
        """What is known at the beginning of a savepoint."""
        return Mark(name, deleted, Counter(self.own), Counter(self.undone), tuple(map(len, self._lists)))

    def go_back(self, mark: Mark) -> None:
        """A savepoint is rolled back: what was found since is not so."""
        self.own = Counter(mark.own)
        for found, length in zip(self._lists, mark.lengths, strict=True):
            del found[length:]

    def note_undone(self, mark: Mark, deleted: Counter[int]) -> None:
        """It is rolled back, and the server goes on counting what was tried; a part of it may be noted already."""
        self.undone = self.undone + (deleted - mark.deleted - (self.undone - mark.undone))

    @property
    def _lists(self) -> tuple[list[Any], ...]:
        return self.dropped, self.columns, self.truncated, self.emptied
