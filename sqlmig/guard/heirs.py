"""
A table that is dropped, and the one that its rows were copied into.

Who rebuilds a table by hand makes another, copies the rows, drops the first and renames the second. Where the copy is
a plain one, of columns as they are, nothing need be looked at but the number of rows; what went through an expression,
or went nowhere, is counted while both tables are there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..schema.sqlite.definition import folded
from ..schema.sqlite.values import keeps_storage
from .conversion import cut_off_between
from .ledger import Dropped, Touched

if TYPE_CHECKING:
    from .census import Census, Column, TableId
    from .ledger import Ledger, Made
    from .statements import Copy

__all__ = ["dropped_as", "expected_rows", "heir_dropped", "heir_loses", "heir_renames"]


def expected_rows(touched: Touched, now: int) -> int:
    """How many rows a table would have if its migration's own statements were all that took any."""
    if touched.rows is None or touched.uncounted or touched.replacing is not None:
        return now
    return max(now, touched.rows + touched.inserted - touched.deleted)


def dropped_as(census: Census, ledger: Ledger, touched: Touched, table: TableId) -> Dropped:
    """What is to be known of *table* before it goes."""
    now = census.count(table)
    rows = expected_rows(touched, now)
    if census.is_virtual(table):
        return Dropped([], {}, {}, rows, None, None)
    columns = [column for column in census.columns(table) if not column.generated]
    if not now:
        return Dropped(columns, {}, {}, rows, None, None)
    made, copied = _heir(ledger, table)
    theirs = {folded(column.name): column for column in census.columns(made.now)} if made is not None else {}
    kept = _kept(copied, columns, theirs) if copied is not None else {}
    filled = census.filled(table, [column.name for column in columns if folded(column.name) not in kept])
    if made is not None:
        _look_for_truncation(census, touched, table, made.now, columns, theirs, kept)
    return Dropped(
        columns, kept, filled, rows, made.now.key if made is not None else None, _orphans(census, table, made, kept)
    )


def _heir(ledger: Ledger, table: TableId) -> tuple[Made | None, tuple[Copy, tuple[str, ...] | None] | None]:
    """The table made last that rows of *table* were copied into, and how; only one copy alone tells it."""
    for made in reversed(ledger.made.values()):
        copies = [one for one in made.copies if folded(one[0].source.name) == folded(table.name)]
        if copies:
            return made, copies[0] if len(made.copies) == 1 else None
    return None, None


def _kept(
    copied: tuple[Copy, tuple[str, ...] | None], columns: list[Column], theirs: dict[str, Column]
) -> dict[str, str]:
    """The columns that were copied as they are, with their names in the new table; all folded."""
    copy, named = copied
    read = copy.columns
    if read is None:
        read = tuple((column.name, column.name) for column in columns)
    into = [folded(name) for name in named] if named is not None else None
    if into is None:
        # CREATE TABLE ... AS names its columns by the query; INSERT without names fills them in their order.
        made_by_query = [folded(called) if called is not None else "" for _, called in read]
        in_order = [name for name, column in theirs.items() if not column.generated]
        into = made_by_query if set(made_by_query) == set(theirs) else in_order
    if len(into) != len(read):
        return {}
    names = {folded(column.name) for column in columns}
    pairs = zip(read, into, strict=True)
    return {folded(source): target for (source, _), target in pairs if source is not None and folded(source) in names}


def _look_for_truncation(
    census: Census,
    touched: Touched,
    old: TableId,
    new: TableId,
    columns: list[Column],
    theirs: dict[str, Column],
    kept: dict[str, str],
) -> None:
    """Compare, row by row, the columns whose values went through an expression or into another type."""
    primary = [column.name for column in sorted(columns, key=lambda c: c.pk) if column.pk]
    key = [(name, kept[folded(name)]) for name in primary if folded(name) in kept]
    keys_there = {name for name, column in theirs.items() if column.pk}
    if not primary or len(key) < len(primary) or {name for _, name in key} != keys_there:
        return
    for column in columns:
        name = folded(column.name)
        target = theirs.get(kept.get(name, name))
        if target is None or column.pk:
            continue
        as_it_is = name in kept
        if folded(column.type) == folded(target.type):
            # Of an expression into the same type, somebody wrote down what becomes of each value.
            continue
        if as_it_is and keeps_storage(column.type, target.type, strict=False):
            continue
        pair = column.name, target.name
        found = cut_off_between(census, old, new, key, pair, target.type, as_it_is=as_it_is)
        if found:
            touched.truncated[name] = found


def _orphans(census: Census, table: TableId, made: Made | None, kept: dict[str, str]) -> int | None:
    """References of *table* that lead nowhere now, unless the new table has the same ones by its making."""
    if census.enforces_references:
        return None
    keys = census.foreign_keys(table)
    if made is not None:
        same = [key._replace(columns=tuple(kept.get(name, name) for name in key.columns)) for key in keys]
        if all(name in kept for key in keys for name in key.columns) and sorted(same) == census.foreign_keys(made.now):
            return None
    return census.orphans(table) if keys else 0


def heir_dropped(census: Census, ledger: Ledger, made: Made) -> None:
    """A table that took another's place is dropped in its turn: what it had taken goes on to its own heir."""
    places = _places_taken(ledger, made.now)
    if not places:
        return
    own = dropped_as(census, ledger, Touched(made.now, made.now), made.now)
    for was in places:
        was.filled |= {name: own.filled[there] for name, there in was.kept.items() if there in own.filled}
        was.kept = {name: own.kept[there] for name, there in was.kept.items() if there in own.kept}
        was.rows -= 0 if made.uncounted else made.deleted
        was.heir = own.heir


def heir_loses(census: Census, ledger: Ledger, heir: TableId, column: str) -> None:
    """A column is about to be dropped from a table that took another's place."""
    for was in _places_taken(ledger, heir):
        for name, there in list(was.kept.items()):
            if there == folded(column):
                was.filled[name] = census.filled(heir, [column])[there]
                del was.kept[name]


def heir_renames(ledger: Ledger, heir: TableId, old: str, new: str) -> None:
    """A column of such a table is about to get another name."""
    for was in _places_taken(ledger, heir):
        was.kept = {name: folded(new) if there == folded(old) else there for name, there in was.kept.items()}


def _places_taken(ledger: Ledger, heir: TableId) -> list[Dropped]:
    taken = [gone for gone in ledger.write_gone() if gone.dropped is not None]
    return [g.dropped for g in taken if g.dropped is not None and heir.key in (g.dropped.heir, g.origin.key)]
