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
    from .ledger import Copied, Ledger, Made

__all__ = ["dropped_as", "heir_disturbed", "heir_dropped", "heir_renames", "rows_lost"]


def rows_lost(census: Census, touched: Touched, table: TableId, count: int | None = None) -> int:
    """
    How many rows of a table are gone that its migration did not take by statements of its own.

    Args:
        count: How many it has now, where that is known.
    """
    if touched.uncounted:
        return 0
    if touched.keys is not None and not touched.rekeyed:
        key, kept, taken = touched.keys
        return census.missing_keys(table, key, kept) - (touched.deleted - taken)
    if touched.rows is None:
        return 0
    if touched.by_rowid or touched.replaced or touched.rekeyed:
        left = count if count is not None and touched.up_to is None else census.count(table, touched.up_to)
        return touched.rows - touched.deleted - left
    return touched.rows + touched.inserted - touched.deleted - (census.count(table) if count is None else count)


def dropped_as(census: Census, ledger: Ledger, touched: Touched, table: TableId) -> Dropped:
    """What is to be known of *table* before it goes."""
    now = census.count(table)
    rows = now + max(0, rows_lost(census, touched, table, now))
    columns = [column for column in census.columns(table) if not column.generated]
    if not census.is_countable(table):
        columns = []
    if not now:
        return Dropped(table.key, columns, {}, {}, rows, None, None, None)
    copies = [(made, one) for made in ledger.made.values() for one in made.copies if _is_from(one, table)]
    # Where several tables have its rows, the last one is compared with it.
    made = copies[-1][0] if copies else None
    theirs = {folded(column.name): column for column in census.columns(made.now)} if made is not None else {}
    ways = [_kept(one, columns, theirs) for into, one in copies if into is made]
    kept = (
        {name: there for name, there in ways[0].items() if all(way.get(name) == there for way in ways)} if ways else {}
    )
    if made is not None:
        kept = {name: there for name, there in kept.items() if there not in made.disturbed}
        _look_for_truncation(census, touched, table, made, copies[-1][1], columns, theirs, kept)
    filled = census.filled(table, [column.name for column in columns if folded(column.name) not in kept])
    counts = [one.rows for _, one in copies]
    copied = sum(n for n in counts if n is not None) if counts and None not in counts else None
    heir = made.now.key if made is not None else None
    return Dropped(table.key, columns, kept, filled, rows, copied, heir, _orphans(census, table, made, kept))


def heir_dropped(census: Census, ledger: Ledger, made: Made) -> None:
    """A table that took another's place is dropped in its turn: what it had taken goes on to its own heir."""
    places = ledger.places_taken(made.now.key)
    if not places:
        return
    own = dropped_as(census, ledger, Touched(made.now, made.now), made.now)
    for was in places:
        was.filled |= {name: own.filled[there] for name, there in was.kept.items() if there in own.filled}
        was.kept = {name: own.kept[there] for name, there in was.kept.items() if there in own.kept}
        was.lost += lost_since(made, own.rows)
        was.lost += max(0, own.rows - own.copied) if own.copied is not None else 0
        was.heir = own.heir
        if own.heir is None and was.copied is not None and None not in (made.inserted, made.deleted):
            # What its migration took out of it by statements of its own is its own affair, as without a rebuild.
            was.rows = min(was.rows, max(0, was.rows - was.copied) + was.lost + own.rows)


def lost_since(made: Made, count: int) -> int:
    """Rows that a table has lost which the migration put into it and did not take out again."""
    if made.inserted is None or made.deleted is None:
        return 0
    return max(0, made.inserted - made.deleted - count)


def heir_disturbed(census: Census, ledger: Ledger, heir: TableId, column: str) -> None:
    """A column of a table that took another's place is about to be dropped, or set by something unasked."""
    for was in ledger.places_taken(heir.key):
        for name, there in list(was.kept.items()):
            if there == folded(column):
                was.filled[name] = census.filled(heir, [column])[there]
                del was.kept[name]


def heir_renames(ledger: Ledger, heir: TableId, old: str, new: str) -> None:
    """A column of such a table is about to get another name."""
    for was in ledger.places_taken(heir.key):
        was.kept = {name: folded(new) if there == folded(old) else there for name, there in was.kept.items()}


def _is_from(copied: Copied, table: TableId) -> bool:
    schema, name = copied.copy.source
    return folded(name) == folded(table.name) and (schema is None or folded(schema) == folded(table.schema))


def _kept(copied: Copied, columns: list[Column], theirs: dict[str, Column]) -> dict[str, str]:
    """The columns that were copied as they are, with their names in the new table; all folded."""
    read = copied.copy.columns
    if read is None:
        read = tuple((column.name, column.name) for column in columns)
    into = [folded(name) for name in copied.columns] if copied.columns is not None else None
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
    made: Made,
    copied: Copied,
    columns: list[Column],
    theirs: dict[str, Column],
    kept: dict[str, str],
) -> None:
    """Compare, row by row, the columns whose values went through an expression or into another type."""
    changed = [
        (column, target, folded(column.name) in kept)
        for column in columns
        for target in (theirs.get(kept.get(folded(column.name), folded(column.name))),)
        # Of an expression into the same type, somebody wrote down what becomes of each value.
        if target is not None and not column.pk and folded(column.type) != folded(target.type)
    ]
    for column, target, as_it_is in changed:
        if as_it_is and keeps_storage(column.type, target.type, strict=False):
            continue
        key = _common_key(columns, theirs, kept)
        if key is None and not (copied.copy.whole and len(made.copies) == 1):
            continue
        pair = column.name, target.name
        found = cut_off_between(census, old, made.now, key, pair, target.type, as_it_is=as_it_is)
        if found:
            touched.truncated[folded(column.name)] = found


def _common_key(columns: list[Column], theirs: dict[str, Column], kept: dict[str, str]) -> list[tuple[str, str]] | None:
    """The primary key in both tables, where it was copied as it is."""
    primary = [column.name for column in sorted(columns, key=lambda c: c.pk) if column.pk]
    key = [(name, kept[folded(name)]) for name in primary if folded(name) in kept]
    keys_there = {name for name, column in theirs.items() if column.pk}
    same = bool(primary) and len(key) == len(primary) and {name for _, name in key} == keys_there
    return key if same else None


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
