"""Whether what became of a value still says what it said: a cast that cut it off, a text that lost its end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..schema.sqlite.definition import affinity_of
from ..schema.sqlite.tokens import quoted
from ..schema.sqlite.values import misfits

if TYPE_CHECKING:
    from .census import Census, TableId

__all__ = ["cut_off", "cut_off_between"]


def cut_off(census: Census, table: TableId, column: str, type_: str, becomes: str) -> int:
    """How many values of a column *becomes*, an expression over its table, would cut off."""
    source = f"(SELECT {quoted(column)} AS o, ({becomes}) AS n FROM {table.sql})"
    return _cut_off(census, source, "o", "n", type_, as_it_is=False)


def cut_off_between(
    census: Census,
    old: TableId,
    new: TableId,
    key: Sequence[tuple[str, str]] | None,
    column: tuple[str, str],
    type_: str,
    *,
    as_it_is: bool,
) -> int:
    """
    How many values were cut off on their way from one table to another.

    Args:
        key: What tells the rows apart, there and here; None where they stand in the same order.
        column: The column there and here.
        type_: What it is declared as here.
        as_it_is: Whether the values were copied without an expression.
    """
    if key is None:
        if census.last_rowid(old) is None or census.last_rowid(new) is None:
            return 0
        tables = [
            f"(SELECT {quoted(name)}, row_number() OVER (ORDER BY rowid) AS sqlmig_place FROM {table.sql})"
            for name, table in zip(column, (old, new), strict=True)
        ]
        source = f"{tables[0]} AS o JOIN {tables[1]} AS n USING (sqlmig_place)"
    else:
        same = " AND ".join(f"o.{quoted(a)} = n.{quoted(b)}" for a, b in key)
        source = f"{old.sql} AS o CROSS JOIN {new.sql} AS n ON {same}"
    values = f"o.{quoted(column[0])}", f"n.{quoted(column[1])}"
    return _cut_off(census, source, *values, type_, as_it_is=as_it_is)


def _cut_off(census: Census, source: str, old: str, new: str, type_: str, *, as_it_is: bool) -> int:
    """
    A cast that loses something counts where every value that changed was cast: otherwise somebody wrote down what
    each value becomes ('yes' is 1, 'no' is 0), and a cast would only by chance give the same.
    """
    respelled = f"CAST({new} AS TEXT) IS NOT CAST({old} AS TEXT)"
    shortened = (
        f"(typeof({old}) = 'text' AND typeof({new}) = 'text' AND length({new}) < length({old})"
        f" AND substr({old}, 1, length({new})) = {new} COLLATE BINARY AND rtrim({new}) <> rtrim({old}))"
    )
    cast = f"{new} IS CAST({old} AS {_plain(type_)})"
    misfit = misfits(old, type_, strict=False) or "0"
    there = f"{old} IS NOT NULL AND {new} IS NOT NULL AND {respelled}"
    cut, lost, others = census.rows(
        f"SELECT total({shortened}), total(NOT {shortened} AND ({misfit}) AND {'1' if as_it_is else cast}),"
        f" total(NOT {shortened} AND NOT ({cast})) FROM {source} WHERE {there}"
    )[0]
    return int(cut + (lost if as_it_is or not others else 0))


def _plain(type_: str) -> str:
    """A type that CAST understands as the column's own."""
    return affinity_of(type_, strict=False)
