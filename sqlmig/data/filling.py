"""One column filled from others: by an expression, or by a Python function."""

from __future__ import annotations

import inspect
import re
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import count
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, bindparam, func, literal_column, tuple_, update
from sqlalchemy.sql.elements import ClauseElement
from sqlalchemy.sql.expression import TableClause
from sqlalchemy.sql.visitors import replacement_traverse
from sqlalchemy.types import NullType

from ..errors import DataError, WrongKey
from ..rows import KeptRow
from ..statements import as_plain
from .loops import batches
from .pace import Pace
from .tables import ColumnNames, TableFacts, describe, names_of, table_of
from .writer import Writer

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from ..base import BaseMigration

__all__ = ["backfill"]

_SIMPLE = frozenset((int, str, float, bytes, type(None), bool))
_SIZE = 1000
_NAME = "sqlmig_backfill"
_numbers = count()


def backfill(
    migration: BaseMigration,
    table: object,
    column: str,
    value: object,
    *,
    columns: ColumnNames | None = None,
    where: Any = None,
) -> int:
    """What `BaseMigration.backfill` does."""
    db = migration.db
    with db.reading() as connection:
        facts = describe(connection, table_of(table))
    target = facts.resolve(names_of(column, "column"))
    if len(target) != 1:
        raise DataError(f"backfill fills one column, not {', '.join(target)}; nothing was written.")
    condition = _condition(facts, where)
    if callable(value) and not isinstance(value, ClauseElement):
        filler = _Function(facts, target[0], value, columns)
        return filler.fill(migration, condition)
    if columns is not None:
        raise DataError("columns=... goes with a Python function; nothing was written.")
    return _by_expression(migration, facts, target[0], _expression(facts, value), condition)


def _condition(facts: TableFacts, where: Any) -> Any:
    return None if where is None else _expression(facts, where)


def _expression(facts: TableFacts, value: Any) -> Any:
    """SQL as text or from Core; a number, a date or None is a value."""
    if isinstance(value, str):
        return literal_column(f"({value}\n)")
    if not isinstance(value, ClauseElement):
        return value
    clause = facts.clause

    def replace(element: Any, **_: Any) -> Any:
        """The columns of a Table as those of the same table that the statement is made of."""
        of = getattr(element, "table", None)
        same = isinstance(of, TableClause) and (of.schema, of.name) == (facts.schema, facts.table)
        return clause.c[element.name] if same and element.name in clause.c else None

    return replacement_traverse(value, {}, replace)


def _by_expression(migration: BaseMigration, facts: TableFacts, column: str, value: Any, condition: Any) -> int:
    statement = update(facts.clause).values({facts.clause.c[column]: value})
    statement = statement if condition is None else statement.where(condition)
    if migration._loops is not None:
        return sum(_in_ranges(migration, facts, column, statement))
    with _transaction(migration) as connection:
        return _run(migration, connection, statement, {})


def _in_ranges(migration: BaseMigration, facts: TableFacts, column: str, statement: Any) -> Iterator[int]:
    """The same statement for the rows of one batch after the other, of which only the keys are read."""
    key = _key_of(facts)
    if column in key:
        raise DataError(
            f"A resumable migration cannot fill {facts.name}.{column}; nothing was written.",
            facts="it goes through the table by its key, which that column is part of, and would meet its rows again",
            hint="Do it in one statement: execute_sql(...), in a migration without `resumable`.",
        )
    sql = str(statement.compile(dialect=migration.connection.dialect))
    if re.search(rf"\bselect\b.*\b{re.escape(facts.table)}\b", sql, re.IGNORECASE | re.DOTALL):
        raise DataError(
            f"A resumable migration cannot fill {facts.name}.{column} by what reads {facts.name} itself;"
            " nothing was written.",
            facts="a batch would see what those before it have made of the table",
            hint="Read what is wanted into a value first, or do it in a migration without `resumable`.",
        )
    clause = facts.clause
    row = clause.c[key[0]] if len(key) == 1 else tuple_(*(clause.c[name] for name in key))
    ends = [[bindparam(f"{end}_{n}", type_=NullType()) for n in range(len(key))] for end in ("first", "last")]
    first, last = (one[0] if len(key) == 1 else tuple_(*one, types=[NullType()] * len(key)) for one in ends)
    limited = statement.where(and_(row >= first, row <= last))
    for rows in batches(migration, facts.name, key, _SIZE, columns=key, what=f"to fill {column} of "):
        values = {f"first_{n}": rows[0][name] for n, name in enumerate(key)}
        values |= {f"last_{n}": rows[-1][name] for n, name in enumerate(key)}
        yield _run(migration, migration.connection, limited, values)


def _key_of(facts: TableFacts) -> tuple[str, ...]:
    if not facts.key:
        raise WrongKey(
            f"It is not known what tells the rows of {facts.name} apart; nothing was written.",
            facts="it has no primary key, and a resumable migration goes through it in batches",
            hint="Do it in one statement: execute_sql(...).",
        )
    return facts.key


@contextmanager
def _transaction(migration: BaseMigration) -> Iterator[Connection]:
    connection = migration.db.connection
    if connection is not None:
        yield connection
        return
    with migration.db.transaction() as own:
        yield own


def _run(migration: BaseMigration, connection: Connection, statement: Any, values: dict[str, Any]) -> int:
    migration.db.statements += 1
    migration.db.last_statement = str(statement)
    return int(connection.execute(statement, values).rowcount)


class _Function:
    """A Python function of some columns of a row, or of the whole row."""

    def __init__(
        self, facts: TableFacts, column: str, function: Callable[..., Any], columns: ColumnNames | None
    ) -> None:
        self._facts, self._column, self._function = facts, column, function
        self._whole = False
        if columns is not None:
            self._given = facts.resolve(names_of(columns, "columns"))
        else:
            self._given = self._parameters()

    def _parameters(self) -> tuple[str, ...]:
        """
        The columns that the parameters are named after; all of them for one parameter that no column is named like.

        Raises:
            DataError: They are neither.
        """
        names = _parameter_names(self._function)
        known = {name.lower(): name for name in self._facts.columns}
        if names is not None and names and all(name.lower() in known for name in names):
            return tuple(known[name.lower()] for name in names)
        if names is not None and len(names) == 1:
            self._whole = True
            return self._facts.columns
        unknown = [name for name in names or () if name.lower() not in known]
        raise DataError(
            f"It is not known which columns of {self._facts.name} the function takes; nothing was written.",
            facts=f"{', '.join(unknown)} is no column of it" if unknown else "its parameters have no names of columns",
            hint='Name its parameters like the columns, or say them: backfill(..., columns=["title", "year"]).',
        )

    def fill(self, migration: BaseMigration, condition: Any) -> int:
        connection = migration.db.connection
        if connection is None:
            with migration.db.transaction():
                return self.fill(migration, condition)
        raw = connection.connection.driver_connection
        if isinstance(raw, sqlite3.Connection):
            return self._by_sqlite(migration, connection, raw, condition)
        return self._in_batches(migration, connection, condition)

    def _by_sqlite(self, migration: BaseMigration, connection: Connection, raw: Any, condition: Any) -> int:
        """An UPDATE in which SQLite calls the function."""
        clause = self._facts.clause
        resumable = migration._loops is not None
        calls = _Calls(self._call, len(self._given), None if resumable else migration._tell)
        name = self._registered(raw, calls.function)
        call: Any = getattr(func, name)(*(clause.c[one] for one in self._given), type_=NullType())
        statement = update(clause).values({clause.c[self._column]: call})
        statement = statement if condition is None else statement.where(condition)
        try:
            if resumable:
                return sum(_in_ranges(migration, self._facts, self._column, statement))
            return _run(migration, connection, statement, {})
        except Exception as error:
            raise calls.explained(error, f"{self._facts.name}.{self._column}") from error.__cause__
        finally:
            # What sqlite3 leaves of it is the name alone; while a query is open it leaves the whole.
            with suppress(sqlite3.OperationalError):
                raw.create_function(name, len(self._given), None)

    def _registered(self, raw: Any, function: Callable[..., Any]) -> str:
        """The name under which SQLite knows the function: another one while a query is open on the connection."""
        for name in (_NAME, f"{_NAME}_{next(_numbers)}"):
            with suppress(sqlite3.OperationalError):
                raw.create_function(name, len(self._given), function)
                return name
        raise DataError(f"SQLite takes no function to fill {self._facts.name}.{self._column}; nothing was written.")

    @property
    def _call(self) -> Callable[..., Any]:
        """The function, called with the values of its columns."""
        if not self._whole:
            return self._function
        names, function = list(self._given), self._function
        return lambda *values: function(KeptRow(names, values))

    def _in_batches(self, migration: BaseMigration, connection: Connection, condition: Any) -> int:
        """Read, call, write: for a database that cannot call Python."""
        key, call, given = _key_of(self._facts), self._call, self._given
        wanted = [*dict.fromkeys((*key, *given))]
        writer = Writer(connection, self._facts.name, (*key, self._column), key)
        count = 0
        for rows in batches(migration, self._facts.name, key, _SIZE, columns=wanted, where=condition):
            changed = [
                {**{one: row[one] for one in key}, self._column: call(*(row[one] for one in given))} for row in rows
            ]
            count += writer.write(migration.db, connection, changed)
        return count


class _Calls:
    """
    A function as SQLite calls it.

    SQLite says of an exception only that there was one: it is kept here.
    """

    def __init__(self, function: Callable[..., Any], columns: int, tell: Callable[[str], object] | None) -> None:
        self._error: BaseException | None = None
        self._pace = Pace(tell)
        watched = self._watched_one if columns == 1 else self._watched
        self.function = watched(function) if tell is None else self._counted(watched(function))

    def _watched(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*values: Any) -> Any:
            try:
                value = function(*values)
                if value.__class__ in _SIMPLE:
                    return value
                return self._fit(value)
            except BaseException as error:
                self._error = error
                raise

        return call

    def _watched_one(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The same for one column, without the tuple that `*values` makes for each row."""

        def call(value: Any) -> Any:
            try:
                value = function(value)
                if value.__class__ is str or value.__class__ in _SIMPLE:
                    return value
                return self._fit(value)
            except BaseException as error:
                self._error = error
                raise

        return call

    def _counted(self, inner: Callable[..., Any]) -> Callable[..., Any]:
        count, pace = 0, self._pace

        def call(*values: Any) -> Any:
            nonlocal count
            count += 1
            if count == _SIZE:
                count = 0
                pace.add(_SIZE)
            return inner(*values)

        return call

    def _fit(self, value: Any) -> Any:
        plain = as_plain(value)
        if isinstance(plain, int | str | float | bytes | bytearray | memoryview):
            return plain
        raise TypeError(f"the function returned a value of type {type(value).__name__}, which SQLite cannot store")

    def explained(self, error: Exception, what: str) -> BaseException:
        """What was raised in the function, or else *error*."""
        if self._error is not None:
            self._error.add_note(f"raised by the function that fills {what}")
            return self._error
        if any(text in str(error) for text in ("user-defined function", "string or blob too big")):
            return DataError(
                f"The function that fills {what} returned what SQLite cannot store; nothing was written.",
                facts="an integer of more than 64 bits, or a text with half a character",
                hint="Have it return what the column can hold.",
            )
        return error


def _parameter_names(function: Callable[..., Any]) -> Sequence[str] | None:
    """The names of the parameters that must be given; None where they cannot be known."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return None
    if any(p.kind is p.KEYWORD_ONLY and p.default is p.empty for p in parameters):
        return None
    wanted = [
        p.name for p in parameters if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]
    return wanted or None
