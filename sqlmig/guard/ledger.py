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

__all__ = ["Children", "Copied", "Dropped", "Ledger", "Made", "Touched"]

E = TypeVar("E", bound="Entry")
_epochs = count(1)


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
        was_empty: Whether it had no row before the migration gave it some.
        brought: Rows that the migration gave it from its beginning on, as far as it is known.
        rows: How many it had when it was first in danger.
        floor: Its highest rowid, then and again before the first rows came: those stand above it. None where it has
            no rowids.
        grew: Whether rows have come since.
        inserted, deleted: What the migration's own statements added and took since, as far as they told it.
        uncounted: Whether it took rows by a statement that did not tell how many.
        filled: Of columns in danger: the values that they held, and the NULLs.
        doomed: Columns that were dropped, as they were called first, with the values that they held.
        renamed: What columns were called first, by what they are called now; folded but for the first name.
        set_itself: Columns that the migration set by an UPDATE of its own, folded.
        replaced: Whether REPLACE may have written rows of it anew.
        keys: Its key, the table in which the keys of its rows are kept, and how many rows it had taken itself
            by then; once rows may push out others.
        rekeyed: Whether an UPDATE has changed keys, which tell nothing of rows any more.
        added: Columns that the migration gave it.
        truncated: Values that a change of type cuts off, by column.
    """

    origin: TableId
    now: TableId | None
    was_empty: bool | None = None
    brought: int = 0
    rows: int | None = None
    floor: int | None = None
    grew: bool = False
    inserted: int = 0
    deleted: int = 0
    uncounted: bool = False
    filled: dict[str, tuple[int, int]] = field(default_factory=dict)
    doomed: list[tuple[str, int]] = field(default_factory=list)
    renamed: dict[str, str] = field(default_factory=dict)
    set_itself: set[str] = field(default_factory=set)
    replaced: bool = False
    keys: tuple[list[str], str, int] | None = None
    rekeyed: bool = False
    added: list[str] = field(default_factory=list)
    truncated: dict[str, int] = field(default_factory=dict)
    dropped: Dropped | None = None

    @property
    def up_to(self) -> int | None:
        """The rowid up to which its rows are counted; None for all, where none came or their rowids tell nothing."""
        return self.floor if self.grew and self.by_rowid else None

    @property
    def in_danger(self) -> bool:
        """Whether anything was done to it but that columns were set by the migration's own UPDATE."""
        untouched = Touched(
            self.origin, self.origin, set_itself=self.set_itself, rekeyed=self.rekeyed, epoch=self.epoch
        )
        return self != untouched

    @property
    def by_rowid(self) -> bool:
        """Whether rows that came later are told from the others by their rowid."""
        return self.floor is not None and not self.rekeyed and not self.replaced


@dataclass
class Dropped:
    """
    What a table was when it was dropped.

    Attributes:
        place: What it was called then, folded.
        columns: What it had.
        kept: Its columns whose values were copied as they are into the table that took its place, with their names
            there; folded.
        filled: The values that its other columns held, folded.
        rows: How many it would have had, whatever took some of them.
        copied: How many of them were copied into other tables; None where that is not known.
        lost: Rows that were lost since, in tables that had taken its place and were dropped in their turn.
        heir: The table that its rows were copied into, as it is called now.
        orphans: References of it that led nowhere, where that has to be asked.
    """

    place: tuple[str, str]
    columns: list[Column]
    kept: dict[str, str]
    filled: dict[str, int]
    rows: int
    copied: int | None
    heir: tuple[str, str] | None
    orphans: int | None
    lost: int = 0


@dataclass
class Copied:
    """A SELECT that filled a table, the columns that it filled, where they were named, and how many rows it brought."""

    copy: Copy
    columns: tuple[str, ...] | None
    rows: int | None = None


@dataclass
class Made(Entry):
    """
    A table that the migration has made.

    Attributes:
        inserted, deleted: Rows that the migration's own statements put in and took out; None where one did not tell.
        set_itself: Columns that it set by an UPDATE of its own, folded.
        disturbed: Columns that a foreign key or a trigger has set, folded.
    """

    now: TableId
    copies: list[Copied] = field(default_factory=list)
    inserted: int | None = 0
    deleted: int | None = 0
    set_itself: set[str] = field(default_factory=set)
    disturbed: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Children:
    """
    References of a table that are in danger.

    Attributes:
        orphans: How many led nowhere before.
        above: Where only rows that came later are asked, the rowid above which they are.
        without: Where they are in danger only if nothing has this name at the end, folded.
    """

    table: TableId
    orphans: int | None = None
    above: int | None = None
    without: tuple[str, str] | None = None


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

    def begun_anew(self) -> Ledger:
        """One that knows the same tables, to which nothing was done yet."""
        return Ledger({key: Touched(one.origin, one.origin) for key, one in self.touched.items()})

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
    def in_danger(self) -> bool:
        """Whether there is anything in it that may be a loss, or that the migration has made."""
        return bool(self.made or self.gone or self.children) or any(one.in_danger for one in self.touched.values())

    @property
    def all(self) -> list[Touched]:
        """Every table that was there before and was touched."""
        return [*self.touched.values(), *self.gone]

    def places_taken(self, made: tuple[str, str]) -> list[Dropped]:
        """What the tables were whose rows a table of the migration's has taken over, to be written."""
        found = [(gone.origin.key, gone.dropped) for gone in self.write_gone()]
        return [was for origin, was in found if was is not None and made in (was.heir, origin)]
