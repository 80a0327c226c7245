"""What two schemas do not have in common."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

from .shape import COLUMN_FACETS, Column, Constraint, Index, Shape, Table, Thing

__all__ = ["Difference", "Part", "compare"]

Part = Table | Column | Constraint | Index | Thing

T = TypeVar("T", bound=Part)
K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True)
class Difference:
    """
    One part of a schema that is not the same on both sides.

    Attributes:
        kind: "table", "column", "primary key", "unique", "check", "foreign key", "index", "trigger", "view" and the
            like; "options" and "comment" of a table.
        table: The table that it belongs to; of a table, itself.
        name: What it is called; of a constraint without a name, what it says.
        left, right: The part as each side has it, None where it has none.
        facets: In what it differs where both have it: "type", "nullable", "default", "name", "definition".
    """

    kind: str
    table: str | None
    name: str
    left: Part | None
    right: Part | None
    facets: tuple[str, ...] = ()


def compare(left: Shape, right: Shape) -> list[Difference]:
    """
    Every difference, by table; empty where both say the same.

    The order of columns is no difference: one that was added later stands behind the others for good.
    """
    return list(_differences(left, right))


def _differences(left: Shape, right: Shape) -> Iterator[Difference]:
    for table, one, other in _pairs(left.tables, right.tables):
        if one is None or other is None:
            yield Difference("table", table.name, table.name, one, other)
        else:
            yield from _table(one, other, left.column_key)
    yield from _indexes(left, right)
    for thing, this, that in _pairs(left.things, right.things):
        if this is None or that is None:
            # What goes with its table is told with it.
            if thing.table is None or _has_both(left, right, thing.table):
                yield Difference(thing.kind, thing.table, thing.name, this, that)
        elif this.definition != that.definition:
            yield Difference(thing.kind, thing.table, thing.name, this, that, ("definition",))


def _has_both(left: Shape, right: Shape, table: str) -> bool:
    return left.has_table(table) and right.has_table(table)


def _pairs(left: Mapping[K, T], right: Mapping[K, T]) -> Iterator[tuple[T, T | None, T | None]]:
    """What has one key: either of them, and both."""
    for key in dict.fromkeys([*left, *right]):
        one, other = left.get(key), right.get(key)
        if (either := one or other) is not None:
            yield either, one, other


def _table(left: Table, right: Table, key: Callable[[str], str]) -> Iterator[Difference]:
    ours, theirs = ({key(column.name): column for column in table.columns} for table in (left, right))
    for column, one, other in _pairs(ours, theirs):
        if one is None or other is None:
            yield Difference("column", left.name, column.name, one, other)
        else:
            facets = tuple(facet for facet in COLUMN_FACETS if getattr(one, facet) != getattr(other, facet))
            if facets:
                yield Difference("column", left.name, column.name, one, other, facets)
    yield from _constraints(left, right)
    if left.options != right.options:
        yield Difference("options", left.name, left.name, left, right, ("options",))
    if left.comment != right.comment:
        yield Difference("comment", left.name, left.name, left, right, ("comment",))


def _constraints(left: Table, right: Table) -> Iterator[Difference]:
    """
    Those that say the same are one, then those of one name, then those of one kind over the same columns.
    """
    ours, theirs = list(left.constraints), list(right.constraints)
    rules = (
        lambda a, b: _same_rule(a, b) and a.name == b.name,
        _same_rule,
        lambda a, b: a.kind == b.kind and (a.kind == "primary key" or (a.name is not None and a.name == b.name)),
        lambda a, b: a.kind == b.kind != "check" and a.columns == b.columns,
    )
    for rule in rules:
        for one in list(ours):
            other = next((found for found in theirs if rule(one, found)), None)
            if other is None:
                continue
            ours.remove(one)
            theirs.remove(other)
            facets = tuple(
                facet
                for facet, differs in (
                    ("definition", one.definition != other.definition),
                    # One that a database names by itself has no name here, whatever its table was called then.
                    ("name", one.name != other.name and not _perhaps_both_made_up(one, other)),
                )
                if differs
            )
            if facets:
                yield Difference(one.kind, left.name, _called(one), one, other, facets)
    yield from (Difference(found.kind, left.name, _called(found), found, None) for found in ours)
    yield from (Difference(found.kind, left.name, _called(found), None, found) for found in theirs)


def _same_rule(one: Constraint, other: Constraint) -> bool:
    return (one.kind, one.columns, one.definition) == (other.kind, other.columns, other.definition)


def _perhaps_both_made_up(one: Constraint, other: Constraint) -> bool:
    return any(a.name is None and not b.surely_named for a, b in ((one, other), (other, one)))


def _called(constraint: Constraint) -> str:
    return constraint.name or str(constraint.definition)


def _indexes(left: Shape, right: Shape) -> Iterator[Difference]:
    alone: list[tuple[Index | None, Index | None]] = []
    for index, one, other in _pairs(left.indexes, right.indexes):
        if one is None or other is None:
            alone.append((one, other))
        elif one.definition != other.definition:
            yield Difference("index", index.table, index.name, one, other, ("definition",))
    for ours in [found for found, _ in alone if found is not None]:
        same = next((found for _, found in alone if found is not None and found.definition == ours.definition), None)
        if same is not None:
            alone.remove((ours, None))
            alone.remove((None, same))
            yield Difference("index", ours.table, ours.name, ours, same, ("name",))
    for one, other in alone:
        found = one or other
        # What goes with its table is told with it.
        if found is not None and _has_both(left, right, found.table):
            yield Difference("index", found.table, found.name, one, other)
