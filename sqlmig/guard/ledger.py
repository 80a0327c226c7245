"""
What is known of the tables that a migration has touched.

A savepoint, and a statement that may fail, can take it all back: the ledger as it was is kept then, and an entry is
copied when it is next written, so that a thousand savepoints do not copy a thousand tables each.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from itertools import count
from typing import TypeVar

from .census import Column, TableId
from .statements import Copy

E = TypeVar("E", bound="Entry")
_epochs = count(1)

__all__ = ["Children", "Dropped", "Ledger", "Made", "Touched"]


@dataclass
class Entry:
    """One table; `epoch` is that of the ledger which it belongs to alone."""

    epoch: int = field(default=0, kw_only=True)


@dataclass
class Touched(Entry):
    """
    A table that was there before the migration.

    Attributes:
        origin: What it was called.
        now: What it is called; None once it is dropped.
        rows: How many it had when it was first in danger.
        inserted, deleted: What the migration's own statements added and took since, as far as they told it.
        uncounted: Whether it took rows by a statement that did not tell how many.
        filled: Of columns in danger: the values that they held, and the NULLs.
        doomed: Columns that were dropped, as they were called first, with the values that they held.
        renamed: What columns were called first, by what they are called now; folded but for the first name.
        set_itself: Columns that the migration set by an UPDATE of its own, folded.
        replacing: The key of its rows and the table in which the keys are kept, once rows may be pushed out.
        rekeyed: Whether an UPDATE has changed keys, which says nothing of rows any more.
        added: Columns that the migration gave it.
        truncated: Values that a change of type cuts off, by column.
    """

    origin: TableId
    now: TableId | None
    rows: int | None = None
    inserted: int = 0
    deleted: int = 0
    uncounted: bool = False
    filled: dict[str, tuple[int, int]] = field(default_factory=dict)
    doomed: list[tuple[str, int]] = field(default_factory=list)
    renamed: dict[str, str] = field(default_factory=dict)
    set_itself: set[str] = field(default_factory=set)
    replacing: tuple[list[str], str] | None = None
    rekeyed: bool = False
    added: list[str] = field(default_factory=list)
    truncated: dict[str, int] = field(default_factory=dict)
    dropped: Dropped | None = None


@dataclass
class Dropped:
    """
    What a table was when it was dropped.

    Attributes:
        columns: What it had.
        kept: Its columns whose values were copied as they are into the table that took its place, with their names
            there; folded.
        filled: The values that its other columns held, folded.
        rows: How many it would have had, whatever took some of them.
        heir: The table that its rows were copied into, as it is called now.
        orphans: References of it that led nowhere, where that has to be asked.
    """

    columns: list[Column]
    kept: dict[str, str]
    filled: dict[str, int]
    rows: int
    heir: tuple[str, str] | None
    orphans: int | None


@dataclass
class Made(Entry):
    """
    A table that the migration has made.

    Attributes:
        copies: The SELECTs that filled it, with the names of the columns that they filled, where they were named.
        deleted: Rows that the migration took out again by statements of its own.
        set_itself: Columns that it set by an UPDATE of its own, folded.
    """

    now: TableId
    copies: list[tuple[Copy, tuple[str, ...] | None]] = field(default_factory=list)
    deleted: int = 0
    uncounted: bool = False
    set_itself: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Children:
    """References of a table that are in danger: how many led nowhere, or from which rowid on it is asked."""

    table: TableId
    orphans: int | None = None
    above: int | None = None


@dataclass
class Ledger:
    """
    All of it.

    Attributes:
        touched: By the name that each table has or had last.
        made: By the name that each has now.
        gone: Tables that were there before and were dropped, in order.
        children: By table.
    """

    touched: dict[tuple[str, str], Touched] = field(default_factory=dict)
    made: dict[tuple[str, str], Made] = field(default_factory=dict)
    gone: list[Touched] = field(default_factory=list)
    children: dict[tuple[str, str], Children] = field(default_factory=dict)
    epoch: int = 0

    def kept(self) -> Ledger:
        """The ledger as it is, whatever is written into this one."""
        self.epoch = next(_epochs)
        return Ledger(dict(self.touched), dict(self.made), list(self.gone), dict(self.children), next(_epochs))

    def write_touched(self, key: tuple[str, str]) -> Touched | None:
        """The entry of a table that was there before, to be written."""
        found = self.touched.get(key)
        if found is not None:
            found = self.touched[key] = self._own(found)
        return found

    def write_made(self, key: tuple[str, str]) -> Made | None:
        """The entry of a table that the migration has made, to be written."""
        found = self.made.get(key)
        if found is not None:
            found = self.made[key] = self._own(found)
        return found

    def write_gone(self) -> list[Touched]:
        """The entries of the tables that were dropped, to be written."""
        self.gone = [self._own(one) for one in self.gone]
        return self.gone

    def _own(self, entry: E) -> E:
        if entry.epoch != self.epoch:
            entry = copy.deepcopy(entry)
            entry.epoch = self.epoch
        return entry

    @property
    def all(self) -> list[Touched]:
        """Every table that was there before and was touched."""
        return [*self.touched.values(), *self.gone]
