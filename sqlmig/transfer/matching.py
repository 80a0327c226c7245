"""Which table of the source goes into which of the target, column by column; what has no counterpart is refused."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from ..errors import NoSuchObject, TablesDiffer
from .kinds import Never
from .shapes import Column, Table, in_order
from .target import Job, Pair, Target

__all__ = ["Match", "match"]

# Of others, JSON has no form of its own for each value.
_ARRAYS = ("_int2", "_int4", "_int8", "_bool", "_text", "_varchar", "_uuid")


class Match(NamedTuple):
    """
    What is to be copied, parents first.

    Attributes:
        left_out: What is not, as it was asked for.
        unfilled: What only the target has, because its migrations did there what they did not do in the source.
    """

    jobs: list[Job]
    left_out: list[str]
    unfilled: list[str]


def match(
    source: Sequence[Table],
    target: Target,
    dialect: str,
    skip: Collection[str],
    records: Collection[str],
    *,
    lenient: bool,
) -> Match:
    """
    Find the counterpart of each table and column.

    Args:
        dialect: That of the source.
        skip: "table" or "table.column" to be left out.
        records: Tables that tell which migrations ran, in lower case; they are nobody's rows.
        lenient: Whether migrations were skipped on one side only, so that one may have what the other has not.

    Raises:
        TablesDiffer: Something has none.
        NoSuchObject: What is to be left out is not there.
    """
    ours = [table for table in source if table.name.lower() not in records and not table.derived]
    theirs = [table for table in target.tables() if table.name.lower() not in records and not table.derived]
    left_out = _named(skip, [*ours, *theirs])
    lowered = {name.lower() for name in left_out}
    jobs, missing, added = [], [], []
    found: set[str] = set()
    for table in in_order(ours):
        if table.name.lower() in lowered:
            continue
        twin = _find(table.name, theirs)
        if twin is None or twin.name in found:
            # Two whose names are told apart by case only have one table where case does not count.
            missing.append(table.name)
            continue
        found.add(twin.name)
        pairs = []
        for column in table.columns:
            other = twin.column(column.name)
            if f"{table.name}.{column.name}".lower() in lowered:
                continue
            if other is not None:
                pairs.append(_pair(column, other, target, dialect))
            elif not column.generated:
                missing.append(f"{table.name}.{column.name}")
        for column in twin.columns:
            named = f"{twin.name}.{column.name}"
            if table.column(column.name) is None and not column.generated and named.lower() not in lowered:
                added.append(named)
        jobs.append(Job(table, twin, tuple(pairs)))
    added += [table.name for table in theirs if table.name not in found and table.name.lower() not in lowered]
    if missing or (added and not lenient):
        raise TablesDiffer(missing, added)
    return Match([job for job in jobs if job.written], left_out, added)


def _pair(column: Column, other: Column, target: Target, dialect: str) -> Pair:
    """An array of PostgreSQL's goes as JSON into JSON, which is what applications keep lists in elsewhere."""
    if dialect == "postgresql" and column.type.startswith("_") and other.type in ("json", "jsonb", "jsontext"):
        if column.type not in _ARRAYS:
            return Pair(column, other, Never(f"JSON, and the array is one of {column.type[1:]}"))
        column = column._replace(type="jsonarray")
    return Pair(column, other, target.kind(other, column, dialect))


def _find(name: str, tables: Sequence[Table]) -> Table | None:
    exact = next((table for table in tables if table.name == name), None)
    return exact or next((table for table in tables if table.name.lower() == name.lower()), None)


def _named(skip: Collection[str], tables: Sequence[Table]) -> list[str]:
    known = {table.name.lower(): table.name for table in tables}
    known |= {f"{t.name}.{c.name}".lower(): f"{t.name}.{c.name}" for t in tables for c in t.columns}
    for name in skip:
        if name.lower() not in known:
            raise NoSuchObject("table or column", name, sorted(set(known.values())))
    return [known[name.lower()] for name in dict.fromkeys(skip)]
