"""
Sample rows: some for each table, which the database itself takes, the same ones in each run.

What a row must be like is tried, not understood: values of the types first, then what the CHECKs themselves speak of,
in an order that a number generator with a fixed seed gives. A table that takes none of them is told.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy.exc import DBAPIError

from ..backends.raw import backticked
from ..backends.sqlite import quoted
from ..connection import atomic
from ..transfer.shapes import Reference
from .sampled import Sampled, sampled_tables
from .values import alternatives, speaks_of, value_of

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from ..connection import DatabaseConnection

__all__ = ["Census", "Given", "census", "fill"]

Given = Mapping[str, Sequence[Mapping[str, Any]]]
"""Rows by table, as the application gives them."""

_ROWS = 3
_FIRST = 11
"""The number of the first: seeds of an application have smaller ones."""
_TRIES = 200


class Census(NamedTuple):
    """How many rows a table has, and how many values each of its columns."""

    rows: int
    values: Mapping[str, int]

    def among(self, columns: Collection[str]) -> Census:
        """The same of these columns only."""
        return self._replace(values={name: count for name, count in self.values.items() if name in columns})


def census(db: DatabaseConnection, ignored: Sequence[str]) -> dict[str, Census]:
    """What all tables hold but those of *ignored*, which are in lower case."""
    found = {}
    with db.reading() as connection:
        quote = _quote(connection)
        for one in _tables(connection, ignored):
            names = [column.name for column in one.table.columns if not column.generated]
            counted = ", ".join(["count(*)", *(f"count({quote(name)})" for name in names)])
            sql = f"SELECT {counted} FROM {quote(one.table.name)}"
            row = connection.exec_driver_sql(sql, execution_options={"no_parameters": True}).one()
            found[one.table.name] = Census(int(row[0]), dict(zip(names, row[1:], strict=True)))
    return found


def fill(db: DatabaseConnection, ignored: Sequence[str], given: Given) -> list[str]:
    """
    Put rows into every table but those of *ignored*, which are in lower case.

    Args:
        given: Rows of the application's own, for tables that have all their columns at this version.

    Returns:
        A line for each table that has none, with the reason.
    """
    told: list[str] = []
    with db.transaction() as connection:
        tables = {one.table.name: one for one in _tables(connection, ignored)}
        for sampled in _in_order(tables):
            table = sampled.table
            rows = given.get(table.name, ())
            if rows and all({*row} <= {column.name for column in table.columns} for row in rows):
                reason = _put(db, connection, table.name, rows)
            else:
                reason = _Filler(connection, sampled, tables).fill()
            if reason is not None:
                told.append(f"{table.name}: {reason}")
    return told


def _tables(connection: Connection, ignored: Sequence[str]) -> list[Sampled]:
    raw: Any = connection.connection.dbapi_connection
    found = sampled_tables(raw, connection.dialect.name)
    return [one for one in found if one.table.name.lower() not in ignored]


def _in_order(tables: Mapping[str, Sampled]) -> list[Sampled]:
    """Parents before their children; of those that go in a circle, first one that may do without."""
    left = dict(sorted(tables.items()))
    done: list[Sampled] = []

    def waits_for(one: Sampled, needed: Callable[[Reference], bool]) -> bool:
        return any(r.parent in left and r.parent != one.table.name and needed(r) for r in one.table.references)

    while left:
        free = [one for one in left.values() if not waits_for(one, lambda _: True)]
        if not free:
            able = (one for one in left.values() if not waits_for(one, _needs(one)))
            free = [next(able, next(iter(left.values())))]
        done += [left.pop(one.table.name) for one in free]
    return done


def _needs(one: Sampled) -> Callable[[Reference], bool]:
    return lambda reference: one.required.issuperset(reference.columns)


def _quote(connection: Connection) -> Any:
    return backticked if connection.dialect.name in ("mysql", "mariadb") else quoted


def _put(db: DatabaseConnection, connection: Connection, table: str, rows: Sequence[Mapping[str, Any]]) -> str | None:
    """Rows of the application's; why the database does not take them."""
    quote = _quote(connection)
    try:
        with atomic(connection):
            for row in rows:
                names, marks = ", ".join(map(quote, row)), ", ".join("?" for _ in row)
                db.execute(f"INSERT INTO {quote(table)} ({names}) VALUES ({marks})", tuple(row.values()))
    except Exception as error:
        return f"the rows that sqlmig_sample_rows gives are refused: {_said(error)}"
    return None


class _Filler:
    """Rows for one table."""

    def __init__(self, connection: Connection, sampled: Sampled, tables: Mapping[str, Sampled]) -> None:
        self._connection, self._sampled, self._tables = connection, sampled, tables
        self._table, self._dialect = sampled.table, connection.dialect.name
        self._quote = _quote(connection)
        own = self._own_numbers()
        left = sampled.counted - own
        self._columns = [c for c in self._table.columns if not c.generated and c.name not in left]
        self._needed = (sampled.required - sampled.given) | own
        self._random = random.Random(self._table.name)
        self._lucky: dict[str, int] = {}
        self._error: Exception | None = None

    def fill(self) -> str | None:
        """Put some in; why there are none."""
        missing = self._unknown()
        if missing is not None:
            return missing
        parents = {}
        for reference in self._table.references:
            count = self._count(reference.parent)
            if count:
                parents[reference] = count
            elif reference.parent != self._table.name and self._sampled.required.issuperset(reference.columns):
                return f"its parent {reference.parent} has no rows"
        done = 0
        for row in range(_ROWS):
            done += self._one(row, parents, few=done > 0)
        if done or self._count(self._table.name):
            return None
        return f"none of {_TRIES} rows is taken: {_said(self._error)}"

    def _own_numbers(self) -> set[str]:
        """Columns that a row must refer to in itself, so that they are written, and not left to count."""
        referring = [r for r in self._table.references if r.parent == self._table.name and _needs(self._sampled)(r)]
        return {column for reference in referring for column in self._parent_columns(reference)}

    def _unknown(self) -> str | None:
        """A column that must have a value, of a type of which none is known."""
        told = {name for reference in self._table.references for name in reference.columns}
        for column in self._columns:
            if column.name in self._sampled.required - self._sampled.given - told:
                labels = self._sampled.labels.get(column.name, ())
                if value_of(column, self._dialect, _FIRST, labels) is None:
                    return f"its column {column.name} is of the type {column.type}, of which no value is known"
        return None

    def _one(self, row: int, parents: Mapping[Reference, int], *, few: bool) -> bool:
        """Whether a row could be put in, after a *few* tries; the last has only what it must have."""
        for values in islice(self._tries(row, parents), 20 if few else _TRIES):
            written = {name: value for name, value in values.items() if value is not None}
            if row == _ROWS - 1:
                # NULL where that may be, instead of a default: what makes it NOT NULL has to think of such rows.
                free = self._sampled.given - self._sampled.counted - self._sampled.required
                written = {n: "NULL" if n in free else v for n, v in written.items() if n in self._needed | free}
            try:
                with atomic(self._connection):
                    self._insert(written)
                return True
            except DBAPIError as error:
                self._error = error
        self._lucky = {}
        return False

    def _insert(self, values: Mapping[str, str]) -> None:
        table = self._quote(self._table.name)
        if values:
            names = ", ".join(map(self._quote, values))
            sql = f"INSERT INTO {table} ({names}) VALUES ({', '.join(values.values())})"
        else:
            sql = f"INSERT INTO {table} " + ("() VALUES ()" if self._quote is backticked else "DEFAULT VALUES")
        self._connection.exec_driver_sql(sql, execution_options={"no_parameters": True})

    def _tries(self, row: int, parents: Mapping[Reference, int]) -> Iterator[dict[str, str | None]]:
        """What to write into each column: values of the types; then, of what is checked, what may be wanted."""
        texts = [check.text for check in self._sampled.checks]
        choices = {c.name: alternatives(c, texts, _FIRST + row) for c in self._columns}
        checked = [name for name, found in choices.items() if found]
        # What the row before was taken with comes first.
        chosen, shift = dict(self._lucky), 0
        while checked or shift < 70:
            self._lucky = chosen
            yield {**self._values(row + shift, parents), **self._chosen(choices, chosen)}
            broken = self._broken(checked)
            if broken is None:
                shift += 7
            again = broken if broken is not None else self._named(checked) or checked
            chosen = {name: place for name, place in chosen.items() if name not in again}
            for name in again:
                if self._random.random() < 0.7:
                    chosen[name] = self._random.randrange(len(choices[name]))

    def _broken(self, checked: Sequence[str]) -> Sequence[str] | None:
        """The columns of the CHECK that the database has told last; None where it complained of something else."""
        said = str(getattr(self._error, "orig", self._error))
        if not re.search(r"check|constraint .* failed", said, re.IGNORECASE):
            return None
        for check in self._sampled.checks:
            if re.search(rf"(?<!\w){re.escape(check.name or check.text)}(?!\w)", said):
                return [name for name in checked if speaks_of(check.text, name)] or checked
        return checked

    def _named(self, checked: Sequence[str]) -> list[str]:
        """Those of the columns that the database has named last, as where a value was of no type for one."""
        said = _said(self._error)
        return [name for name in checked if speaks_of(said, name)]

    @staticmethod
    def _chosen(choices: Mapping[str, Sequence[str]], places: Mapping[str, int]) -> dict[str, str]:
        return {name: choices[name][place % len(choices[name])] for name, place in places.items()}

    def _values(self, row: int, parents: Mapping[Reference, int]) -> dict[str, str | None]:
        labels = self._sampled.labels
        found = {c.name: value_of(c, self._dialect, _FIRST + row, labels.get(c.name, ())) for c in self._columns}
        for reference in self._table.references:
            for own, theirs in zip(reference.columns, self._parent_columns(reference), strict=False):
                if own in found:
                    found[own] = self._referred(reference, own, theirs, row, parents)
        return found

    def _referred(
        self, reference: Reference, own: str, theirs: str, row: int, parents: Mapping[Reference, int]
    ) -> str | None:
        """The value that a row of the parent has, each time of another one."""
        if reference.parent == self._table.name:
            # Itself, where it must be one; MariaDB reads no table that it writes.
            number = self._table.column(theirs)
            return value_of(number, self._dialect, _FIRST + row) if number and own in self._sampled.required else None
        if reference not in parents:
            return None
        columns = ", ".join(map(self._quote, self._parent_columns(reference)))
        # Of two that lead to one parent, each to another row of it.
        before = [one for one in self._table.references if one.parent == reference.parent].index(reference)
        place = (row + before) % parents[reference]
        return (
            f"(SELECT {self._quote(theirs)} FROM {self._quote(reference.parent)}"
            f" ORDER BY {columns} LIMIT 1 OFFSET {place})"
        )

    def _parent_columns(self, reference: Reference) -> Sequence[str]:
        if all(reference.parent_columns):
            return reference.parent_columns
        parent = self._tables.get(reference.parent)
        return parent.table.key if parent is not None else ()

    def _count(self, table: str) -> int:
        if table not in self._tables:
            return 0
        sql = f"SELECT count(*) FROM {self._quote(table)}"
        return int(self._connection.exec_driver_sql(sql).scalar() or 0)


def _said(error: Exception | None) -> str:
    said = str(getattr(error, "orig", error)).strip()
    return said.partition("\n")[0]
