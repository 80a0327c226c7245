"""
A PostgreSQL database as its catalogue tells it.

Names are told with their schemas where these are not the usual one. What the server names by itself has no name, a
sequence that only numbers a column is a part of that column, and what a partition has from its parent is the parent's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any, NamedTuple, TypeAlias

from ..backends.raw import ask_any
from ..backends.sqlite import quoted
from ..safety.postgresql.statements import literal
from . import postgresql_queries as queries
from .postgresql_names import could_be_made_up, is_made_up
from .shape import Column, Constraint, Index, Shape, Table, Thing, Wording
from .wording import number, postgresql_meaning, split_at

__all__ = ["read_postgresql", "usual_schema"]

_Rows: TypeAlias = "list[tuple[Any, ...]]"

_KINDS = {"p": "primary key", "u": "unique", "x": "exclude", "f": "foreign key", "c": "check"}
_NUMERIC = re.compile(r"smallint|integer|bigint|numeric|real|double precision|money")
_NEXT = re.compile(r"nextval\('(?:[^']|'')*'::regclass\)")
# Words for one moment: that at which the transaction began.
_NOW = {"CURRENT_TIMESTAMP", "transaction_timestamp (  )"}
_LARGEST = {"smallint": 2**15 - 1, "integer": 2**31 - 1, "bigint": 2**63 - 1}


def usual_schema(raw: Any) -> str | None:
    """The schema in which a table is made whose name has none."""
    [[schema]] = ask_any(raw, "SELECT current_schema()::text")
    return None if schema is None else str(schema)


def read_postgresql(
    raw: Any, ignored: Collection[str], usual: str | None, schemas: Collection[str] | None = None
) -> Shape:
    """
    Read it off a connection of the driver's, in the transaction that is open.

    Args:
        ignored: Tables that are left out with what is theirs, in lower case.
        usual: The schema that names are told without.
        schemas: Those that are looked at beside it; all by default.
    """
    looked_at = None if schemas is None else {*schemas, *([usual] if usual else [])}
    with _path(raw, usual):
        [[version]] = ask_any(raw, "SELECT current_setting('server_version_num')::integer")
        return _Reading(lambda query: ask_any(raw, queries.within(query, looked_at, version)), ignored, usual).shape()


@contextmanager
def _path(raw: Any, usual: str | None) -> Iterator[None]:
    """With a search path on which there is the usual schema alone; that of before is put back."""
    # In a transaction it ends with that at the latest; a setting of the caller's for his own must not outlive it.
    local = "false" if getattr(raw, "autocommit", False) is True else "true"
    [[before]] = ask_any(raw, "SELECT current_setting('search_path')")
    # What is temporary is found first, unless it is said to be found last.
    path = f"{quoted(usual)}, pg_temp" if usual else "pg_temp"
    back = f"SELECT set_config('search_path', {literal(before)}, {local})"
    ask_any(raw, f"SELECT set_config('search_path', {literal(path)}, {local})")
    try:
        yield
    except BaseException:
        # A transaction that has failed takes no more, and undoes it.
        with suppress(Exception):
            ask_any(raw, back)
        raise
    ask_any(raw, back)


class _ColumnRow(NamedTuple):
    """A row of the query for columns, behind the number of its table."""

    name: str
    type: str
    required: bool
    identity: str
    generated: str
    expression: str | None
    collation: str | None
    comment: str | None
    others: str


class _SequenceRow(NamedTuple):
    """A row of the query for sequences."""

    schema: str
    name: str
    type: str
    start: int
    step: int
    least: int
    most: int
    cache: int
    cycle: bool
    owner: int | None
    table: str | None
    column: str | None
    column_type: str | None
    dependency: str | None
    used: bool
    comment: str | None

    @property
    def numbers_its_column(self) -> bool:
        """Whether it is a part of that."""
        return self.owner is not None and (self.dependency == "i" or self.used)


class _Reading:
    """
    The rows of the catalogue made into parts.

    Args:
        ask: Gives those of a query.
        ignored, usual: As in `read_postgresql`.
    """

    def __init__(
        self, ask: Callable[[str], list[tuple[Any, ...]]], ignored: Collection[str], usual: str | None
    ) -> None:
        self._ask, self._ignored, self._usual = ask, ignored, usual
        self._schemas: set[str] = set()
        self._things: dict[tuple[str, str], Thing] = {}
        self._numbering: dict[tuple[int | None, str | None], _SequenceRow] = {}

    def shape(self) -> Shape:
        tables = self._relations()
        for row in self._ask(queries.SEQUENCES):
            self._sequence(_SequenceRow(*row))
        columns: dict[int, list[Column]] = {oid: [] for oid in tables}
        for oid, *rest in self._ask(queries.COLUMNS):
            if oid in columns:
                found = _ColumnRow(*rest)
                columns[oid].append(_column(found, self._numbering.get((oid, found.name))))
        constraints: dict[int, list[Constraint]] = {oid: [] for oid in tables}
        for oid, *rest in self._ask(queries.CONSTRAINTS):
            if oid in constraints:
                constraints[oid].append(self._constraint(*rest))
        made = {
            table.name: replace(table, columns=tuple(columns[oid]), constraints=tuple(constraints[oid]))
            for oid, table in tables.items()
        }
        indexes = [self._index(*row) for row in self._ask(queries.INDEXES) if not self._is_ignored(row[2])]
        for row in self._ask(queries.THINGS):
            self._thing(*row)
        return Shape(made, {one.name: one for one in indexes}, self._things, schemas=frozenset(self._schemas))

    def _name(self, schema: str, name: str) -> str:
        if schema == self._usual:
            return name
        self._schemas.add(schema)
        return f"{schema}.{name}"

    def _is_ignored(self, table: str | None) -> bool:
        return table is not None and table.lower() in self._ignored

    def _relations(self) -> dict[int, Table]:
        """The tables; views are noted."""
        tables = {}
        for oid, schema, name, kind, options, comment, view in self._ask(queries.RELATIONS):
            if self._is_ignored(name):
                continue
            full = self._name(schema, name)
            if kind in ("v", "m"):
                word = "view" if kind == "v" else "materialized view"
                said = " ".join([view.strip(), *options, *([f"COMMENT {literal(comment)}"] if comment else [])])
                self._things[word, full] = Thing(word, full, Wording.plain(said))
            else:
                tables[oid] = Table(full, (), (), frozenset(options), comment)
        return tables

    def _sequence(self, row: _SequenceRow) -> None:
        """A part of the column that it numbers, or a thing of its own."""
        if self._is_ignored(row.table):
            return
        if row.numbers_its_column:
            self._numbering[row.owner, row.column] = row
            return
        full = self._name(row.schema, row.name)
        words = ["SEQUENCE", *_numbering(row, "bigint")]
        words += [f"OWNED BY {row.table}.{row.column}"] if row.owner is not None else []
        words += [f"COMMENT {literal(row.comment)}"] if row.comment else []
        self._things["sequence", full] = Thing("sequence", full, Wording.plain(" ".join(words)))

    def _constraint(
        self,
        name: str,
        kind: str,
        table: str,
        said: str,
        columns: list[str],
        indexed: list[str],
        schema: str | None,
        parent: str | None,
        parent_columns: list[str],
    ) -> Constraint:
        return Constraint(
            kind=_KINDS[kind],
            # Those of a CHECK are in what it says, in an order of their own.
            columns=() if kind == "c" else tuple(columns),
            definition=Wording(postgresql_meaning(said), said),
            name=None if is_made_up(name, kind, table, indexed or columns) else name,
            parent=self._name(schema, parent) if schema and parent else None,
            parent_columns=tuple(parent_columns),
            surely_named=not could_be_made_up(name, kind),
        )

    def _index(self, schema: str, name: str, table: str, unique: bool, said: str) -> Index:
        _, keys = split_at(said, "USING")
        owner, word = self._name(schema, table), "UNIQUE " if unique else ""
        shown = word + keys.removeprefix("USING btree ")
        return Index(
            self._name(schema, name), owner, unique, Wording(f"{word}{owner} {postgresql_meaning(keys)}", shown)
        )

    def _thing(self, kind: str, schema: str, name: str, table: str | None, said: str) -> None:
        if self._is_ignored(table):
            return
        full = self._name(schema, name)
        owner = self._name(schema, table) if table is not None else None
        if owner is not None and kind != "statistics":
            # Two tables may have one of a name.
            self._things[kind, f"{owner}.{name}"] = Thing(kind, name, Wording.plain(said), owner)
        else:
            self._things[kind, full] = Thing(kind, full, Wording.plain(said), owner)


def _column(row: _ColumnRow, numbering: _SequenceRow | None) -> Column:
    default = generated = identity = None
    if row.expression is not None and row.generated:
        stored = "VIRTUAL" if row.generated == "v" else "STORED"
        generated = Wording(
            f"{postgresql_meaning(row.expression)} {stored}", f"{_in_parentheses(row.expression)} {stored}"
        )
    elif numbering is not None and row.identity:
        identity = ("ALWAYS" if row.identity == "a" else "BY DEFAULT") + " AS IDENTITY"
    elif numbering is not None and _NEXT.fullmatch(row.expression or ""):
        identity = "SERIAL"
    elif row.expression is not None:
        default = _default(row.expression, row.type)
    if identity and numbering is not None and (words := list(_numbering(numbering, numbering.column_type or ""))):
        identity = f"{identity} ({' '.join(words)})"
    return Column(
        name=row.name,
        type=row.type,
        nullable=not row.required,
        default=default,
        generated=generated,
        identity=identity,
        collation=row.collation,
        comment=row.comment,
        others=row.others,
    )


def _in_parentheses(expression: str) -> str:
    return expression if expression.startswith("(") and expression.endswith(")") else f"({expression})"


def _default(expression: str, type_: str) -> Wording | None:
    meant = postgresql_meaning(expression)
    if _NUMERIC.match(type_):
        meant = number(meant)
    elif meant in _NOW:
        meant = "now (  )"
    return None if meant == "NULL" else Wording(meant, expression)


def _numbering(row: _SequenceRow, usual_type: str) -> Iterator[str]:
    """What is said of a sequence, where that is not as it is for one of which nothing is said."""
    largest = _LARGEST.get(row.type, 0)
    # Of a column that got a larger type its numbers end sooner than those of the column do. One that reaches further
    # does no harm, and is what old releases made.
    if largest < _LARGEST.get(usual_type, 0):
        yield f"AS {row.type}"
    first, last = (1, largest) if row.step > 0 else (-largest - 1, -1)
    if row.start != (row.least if row.step > 0 else row.most):
        yield f"START {row.start}"
    for word, value, usual in (
        ("INCREMENT", row.step, 1),
        ("MINVALUE", row.least, first),
        ("MAXVALUE", row.most, last),
    ):
        if value != usual:
            yield f"{word} {value}"
    if row.cache != 1:
        yield f"CACHE {row.cache}"
    if row.cycle:
        yield "CYCLE"
