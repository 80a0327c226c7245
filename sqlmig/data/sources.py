"""What is read in batches, made into statements: the next rows after a key, the last key, how many there are."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from sqlalchemy import (
    Column,
    Select,
    Table,
    and_,
    bindparam,
    func,
    literal_column,
    null,
    or_,
    select,
    text,
    tuple_,
    type_coerce,
)
from sqlalchemy.sql.expression import SelectBase, TableClause, UnaryExpression
from sqlalchemy.sql.operators import custom_op
from sqlalchemy.types import NullType

from ..errors import DataError, NoSuchObject, WrongKey
from .tables import ColumnNames, describe, names_of, table_of, views

if TYPE_CHECKING:
    from sqlalchemy.engine import Compiled, Connection
    from sqlalchemy.sql.elements import ColumnElement

    from .tables import TableFacts

__all__ = ["Rows", "Source", "source_of"]

Source: TypeAlias = "str | Table | SelectBase | type[Any]"
"""The name of a table, a Table, a mapped class, or a select()."""


class Rows:
    """
    Rows in the order of a key.

    Attributes:
        raw: Whether values are the driver's own; else they are those of SQLAlchemy's types.
        width: How many columns a row has; of typed rows, the key's raw values stand after them.
        key: The names of the key's columns.
        never_null: Whether no key can hold NULL.
        proven: Whether the key is known to be unique by the comparison that orders it.
        lasting: Whether a row keeps its key, whatever is done to the file.
    """

    def __init__(
        self,
        name: str,
        columns: Sequence[ColumnElement[Any]],
        key: Sequence[ColumnElement[Any]],
        *,
        raw: bool,
        where: ColumnElement[bool] | None = None,
        never_null: bool = False,
        proven: bool = False,
        lasting: bool = True,
        mixable: bool = False,
        digest: str = "",
    ) -> None:
        self.name, self.raw, self.width = name, raw, len(columns)
        self.key = tuple(str(getattr(column, "name", column)) for column in key)
        self.never_null, self.proven, self._digest = never_null, proven, digest
        self.lasting = lasting
        self._columns, self._where = columns, where
        # SQLite calls a rowid "rowid", whatever it was asked for by.
        self._shown = [column.label(column.name) for column in columns] if raw else []
        self._key: list[Any] = [type_coerce(column, NullType()) for column in key]
        if mixable:
            # The parts of a UNION compare each by its own type, and are ordered by none; a + leaves the type out.
            self._key = [UnaryExpression(one, operator=custom_op("+"), type_=NullType()) for one in self._key]
        at = {column: n for n, column in enumerate(columns)}
        self._hidden = not raw or any(column not in at for column in key)
        self.at = [len(columns) + n if self._hidden else at[column] for n, column in enumerate(key)]
        """Where the values of the key stand in what is read."""

    @property
    def hidden(self) -> bool:
        """Whether the key stands behind the columns, where nobody is to see it."""
        return self._hidden

    def __str__(self) -> str:
        return f"{self.name} by {', '.join(self.key)}" + (f" ({self._digest})" if self._digest else "")

    def next(self, connection: Connection, *, after: bool, until: bool) -> Select[Any]:
        """The next rows: parameters `sqlmig_after_0`, ..., `sqlmig_until_0`, ... and `sqlmig_size`."""
        key = [one.label(f"sqlmig_key_{n}") for n, one in enumerate(self._key)] if self._hidden else []
        return (
            select(*(self._shown if self.raw else self._columns), *key)
            .where(*self._conditions(connection, after, until))
            .order_by(*self._key)
            # limit() would write OFFSET 0 along.
            .suffix_with(text("LIMIT :sqlmig_size"))
        )

    def last(self) -> Select[Any]:
        """The last key."""
        query: Select[Any] = select(*self._key).order_by(*(one.desc() for one in self._key)).limit(1)
        return query if self._where is None else query.where(self._where)

    def count(self) -> Select[Any]:
        """How many rows there are."""
        inner: Select[Any] = select(*self._key)
        inner = inner if self._where is None else inner.where(self._where)
        return select(func.count()).select_from(inner.subquery())

    def null(self) -> Select[Any]:
        """A row whose key holds NULL."""
        query: Select[Any] = select(literal_column("1")).where(or_(*(one.is_(null()) for one in self._key))).limit(1)
        return query if self._where is None else query.where(self._where)

    def same(self) -> Select[Any]:
        """How many rows have the key `sqlmig_after_0`, ...; it stops at two."""
        equal = and_(*(one == _value("after", n) for n, one in enumerate(self._key)))
        inner: Select[Any] = select(literal_column("1").label("one")).where(equal).limit(2)
        inner = inner if self._where is None else inner.where(self._where)
        return select(func.count()).select_from(inner.subquery())

    def _conditions(self, connection: Connection, after: bool, until: bool) -> Iterable[ColumnElement[bool]]:
        # MariaDB reads the whole index for a comparison of rows.
        spelled = len(self._key) > 1 and connection.dialect.name in ("mysql", "mariadb")
        values = {name: [_value(name, n) for n in range(len(self._key))] for name in ("after", "until")}
        conditions = [] if self._where is None else [self._where]
        if after:
            bounds = values["after"]
            conditions.append(_above(self._key, bounds) if spelled else _row(self._key) > _row(bounds))
        if until:
            bounds = values["until"]
            conditions.append(~_above(self._key, bounds) if spelled else _row(self._key) <= _row(bounds))
        return conditions


def source_of(
    connection: Connection,
    source: Source,
    key: ColumnNames | None,
    *,
    columns: ColumnNames | None = None,
    where: ColumnElement[bool] | None = None,
) -> Rows:
    """
    The rows of what a caller gave, in the order of *key*, else of the primary key.

    Raises:
        NoSuchObject: There is no such table or column.
        WrongKey: No key was given, and none is known.
        DataError: It cannot be read in batches.
    """
    given: Any = table_of(source)
    if isinstance(given, str):
        return _of_name(connection, describe(connection, given), key, columns, where)
    if columns is not None:
        raise DataError(
            "columns=... goes with the name of a table; nothing was done.",
            hint="Of a Table, select what is wanted: batches(select(t.c.id, t.c.title)).",
        )
    if isinstance(given, TableClause):
        return _of_table(connection, given, key, where)
    if isinstance(given, SelectBase):
        return _of_select(connection, given, key, where)
    raise DataError(
        f"{type(source).__name__} is nothing that can be read in batches; nothing was done.",
        hint='Give the name of a table, "t" or "schema.t", a Table, or a select().',
    )


def _of_name(
    connection: Connection,
    facts: TableFacts,
    key: ColumnNames | None,
    columns: ColumnNames | None,
    where: ColumnElement[bool] | None,
) -> Rows:
    wanted = _with_rowid(facts, names_of(key)) if key is not None else facts
    names = wanted.resolve(names_of(key)) if key is not None else facts.key
    if not names:
        raise _no_key(facts.name, facts.columns)
    shown = wanted.resolve(names_of(columns, "columns")) if columns is not None else wanted.columns
    # The key goes along: update_rows wants it.
    shown = tuple(dict.fromkeys((*(name for name in names if name not in shown), *shown)))
    clause = wanted.clause
    return Rows(
        facts.name,
        [clause.c[name] for name in shown],
        [clause.c[name] for name in names],
        raw=True,
        where=where,
        never_null=wanted.never_null.issuperset(names),
        proven=wanted.proven and set(names) >= set(wanted.key),
        lasting=wanted.lasting(names),
        mixable=not wanted.stored and _has_unions(connection),
    )


def _with_rowid(facts: TableFacts, names: Sequence[str]) -> TableFacts:
    """The same with SQLite's rowid for the key, where that was asked for and is none of the columns."""
    from dataclasses import replace

    lower = [name.lower() for name in names]
    known = {name.lower() for name in facts.columns}
    if facts.has_rowid and len(lower) == 1 and lower[0] in ("rowid", "_rowid_", "oid") and lower[0] not in known:
        return replace(facts, key=(lower[0],), never_null=facts.never_null | {lower[0]}, proven=True)
    return facts


def _of_table(
    connection: Connection, given: TableClause, key: ColumnNames | None, where: ColumnElement[bool] | None
) -> Rows:
    facts = describe(connection, given)
    columns = {column.name: column for column in given.columns}
    names = facts.resolve(names_of(key)) if key is not None else facts.key
    if not names or (key is None and any(name not in columns for name in names)):
        raise _no_key(facts.name, list(columns))
    _require(names, columns, facts.name)
    return Rows(
        facts.name,
        list(given.columns),
        [columns[name] for name in names],
        raw=False,
        where=where,
        never_null=facts.never_null.issuperset(names),
        proven=facts.proven and set(names) >= set(facts.key),
        mixable=not facts.stored and _has_unions(connection),
    )


def _of_select(
    connection: Connection, given: SelectBase, key: ColumnNames | None, where: ColumnElement[bool] | None
) -> Rows:
    names = names_of(key) if key is not None else _key_of(given)
    compiled = given.compile(dialect=connection.dialect)
    limited = isinstance(given, Select) and (given._limit_clause is not None or given._offset_clause is not None)
    if isinstance(given, Select) and not limited and given._fetch_clause is None and not given._distinct_on:
        # Rows come in the order of the key.
        given = given.order_by(None)
    inner = given.subquery("sqlmig_rows")
    columns = {column.name: column for column in inner.c}
    if not names:
        raise _no_key("the select()", list(columns))
    _require(names, columns, "the select()")
    return Rows(
        "a select()",
        list(inner.c),
        [columns[name] for name in names],
        raw=False,
        where=where,
        mixable=_has_unions(connection, str(compiled)),
        digest=_digest(connection, compiled),
    )


def _has_unions(connection: Connection, sql: str = "") -> bool:
    """Whether a statement, or a view that it may read, puts the rows of several tables into one column of SQLite."""
    if connection.dialect.name != "sqlite":
        return False
    return "UNION" in sql.upper() or any("UNION" in view.upper() for view in views(connection))


def _digest(connection: Connection, compiled: Compiled) -> str:
    """A short name for a statement and the values in it, as the driver gets them."""
    values: list[Any] = []
    named = {name: bind for bind, name in getattr(compiled, "bind_names", {}).items()}
    for name, bind in sorted(named.items()):
        process = bind.type.dialect_impl(connection.dialect).bind_processor(connection.dialect) or (lambda one: one)
        value = bind.effective_value
        given = [value] if not bind.expanding or not value else value
        plain = [bytes(one) if isinstance(one, memoryview) else one for one in map(process, given)]
        # The order of a set is another one in each process.
        values.append((name, sorted(map(repr, plain))))
    spelled = " ".join(str(compiled).split())
    return hashlib.sha256(f"{spelled} {values!r}".encode()).hexdigest()[:12]


def _key_of(given: SelectBase) -> tuple[str, ...]:
    """The primary key of the one table that is selected from, where all of it is selected; else nothing."""
    if not isinstance(given, Select):
        return ()
    froms = given.get_final_froms()
    if len(froms) != 1 or not isinstance(froms[0], Table):
        return ()
    names = {column: column.name for column in given.selected_columns if isinstance(column, Column)}
    wanted = list(froms[0].primary_key.columns)
    return tuple(names[column] for column in wanted) if all(column in names for column in wanted) else ()


def _require(names: Sequence[str], columns: Any, where: str) -> None:
    for name in names:
        if name not in columns:
            raise NoSuchObject("column", name, list(columns), table=where)


def _no_key(name: str, columns: Sequence[str]) -> WrongKey:
    return WrongKey(
        f"It is not known what tells the rows of {name} apart; nothing was done.",
        facts=f"there is no primary key; the columns are {', '.join(columns)}",
        hint='Name columns that do: batches(..., key=["a", "b"]).',
    )


def _value(name: str, number: int) -> Any:
    # A select() has parameters of its own, which may have any name.
    return bindparam(f"sqlmig_{name}_{number}", type_=NullType())


def _row(parts: Sequence[Any]) -> Any:
    return parts[0] if len(parts) == 1 else tuple_(*parts, types=[NullType()] * len(parts))


def _above(key: Sequence[Any], bounds: Sequence[Any]) -> Any:
    """(a, b) > (x, y) without a comparison of rows; `a >= x` is what an index is read by."""
    first, bound = key[0], bounds[0]
    if len(key) == 1:
        return first > bound
    return and_(first >= bound, or_(first > bound, _above(key[1:], bounds[1:])))
