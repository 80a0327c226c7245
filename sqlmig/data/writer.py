"""Rows written by their key, with one executemany."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, bindparam, func, select, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.expression import TableClause
from sqlalchemy.types import NullType

from ..backends.session import OBSERVER, note_undone
from ..backends.sqlite import pragma
from ..connection import atomic
from ..errors import DataError, NoSuchRows, WrongKey
from ..statements import plain_for
from .tables import ColumnNames, describe, names_of, table_of

if TYPE_CHECKING:
    from sqlalchemy import Table
    from sqlalchemy.engine import Connection

    from ..backends.session import Observer
    from ..base import BaseMigration
    from ..connection import DatabaseConnection
    from .tables import TableFacts

__all__ = ["Writer", "shape_of", "writer_for"]

_SIMPLE = {int, str, float, bytes, type(None), bool}
_SAVE, _RELEASE, _BACK = "SAVEPOINT sqlmig_rows", "RELEASE sqlmig_rows", "ROLLBACK TO sqlmig_rows"


class Writer:
    """
    Updates rows of one table; made once for rows of one shape.

    Args:
        table: Its name, for values as the driver takes them; a Table, for values of its types.
        names: The columns that every row has.
        key: Which of them say which row; the primary key, where it is None.
    """

    def __init__(
        self,
        connection: Connection,
        table: str | Table | type[Any],
        names: Sequence[str],
        key: ColumnNames | None,
    ) -> None:
        given: Any = table_of(table)
        self._typed = isinstance(given, TableClause)
        self._plain = plain_for(connection)
        facts = describe(connection, given)
        self._facts, self._names = facts, tuple(names)
        wanted = names_of(key) if key is not None else facts.key
        if not wanted:
            raise WrongKey(
                f"It is not known which columns say which row of {facts.name} is meant; nothing was written.",
                facts="it has no primary key",
                hint='Name the columns: update_rows(..., key=["a", "b"]).',
            )
        stored = dict(zip(names, facts.resolve(names), strict=True))
        self._key = self._find(facts, wanted, stored)
        self._unique = facts.tells_apart(facts.resolve(wanted))
        self._set = [name for name in names if name not in self._key]
        if not self._set:
            raise DataError(
                f"The rows for {facts.name} hold nothing but their key {_listed(self._key)}; nothing was written.",
                facts="a row holds the key columns and the columns to set",
                hint='Write it like this: {"id": row["id"], "title": "new"}.',
            )
        target = given if self._typed else facts.clause
        by_name = {column.name: column for column in target.columns}
        self._target, self._columns = target, {name: by_name[stored[name]] for name in names}
        self._statement = self._make()
        compiled = self._statement.compile(dialect=connection.dialect)
        self._sql = str(compiled)
        # In the order of the statement, where the driver goes by that.
        order = [int(name[1:]) for name in compiled.positiontup or ()] if compiled.positional else []
        self._by_name = self._typed or not compiled.positional
        self._pick = itemgetter(*(self._names if self._by_name else [self._names[n] for n in order]))

    @staticmethod
    def _find(facts: TableFacts, wanted: Sequence[str], stored: Mapping[str, str]) -> list[str]:
        by_column = {column: name for name, column in stored.items()}
        key = facts.resolve(wanted)
        missing = [name for name in key if name not in by_column]
        if missing:
            raise DataError(
                f"The rows for {facts.name} lack the key column {missing[0]}; nothing was written.",
                facts=f"they hold {', '.join(stored)}; the key is {_listed(key)}",
                hint="Add it to each row, or say by which columns they are found: update_rows(..., key=...).",
            )
        return [by_column[name] for name in key]

    def _make(self) -> Any:
        numbers = {name: n for n, name in enumerate(self._names)}

        def value(name: str) -> Any:
            return bindparam(f"v{numbers[name]}", type_=self._columns[name].type if self._typed else NullType())

        where = and_(*(self._columns[name] == value(name) for name in self._key))
        return update(self._target).where(where).values({self._columns[name]: value(name) for name in self._set})

    def write(self, db: DatabaseConnection, connection: Connection, rows: Sequence[Any]) -> int:
        """
        Update *rows*, all of them or none.

        Returns:
            How many rows were found.

        Raises:
            DataError: One has other columns than the first.
            NoSuchRows: Some are not in the table.
        """
        values = self._values(rows)
        db.statements += 1
        db.last_statement = self._sql
        with _whole(connection):
            count = self._execute(connection, values)
            if count == len(rows) and self._unique:
                return count
            self._require_all(connection, rows)
            # A driver that does not tell, or a trigger that kept some rows as they were.
            return count if count >= 0 else len(rows)

    def _execute(self, connection: Connection, values: list[tuple[Any, ...]]) -> int:
        if self._typed:
            return connection.execute(self._statement, [self._named(row) for row in values]).rowcount
        raw: Any = connection.connection.driver_connection
        if type(raw) is not sqlite3.Connection:
            return connection.exec_driver_sql(self._sql, self._given(values)).rowcount
        observer: Observer | None = connection.info.get(OBSERVER)
        try:
            if observer is not None:
                observer.before(self._sql, values, True)
            # SQLAlchemy looks at each row once more.
            written = int(raw.executemany(self._sql, values).rowcount)
            if observer is not None:
                observer.after(written)
            return written
        except sqlite3.Error as error:
            raise DBAPIError.instance(self._sql, None, error, sqlite3.Error, dialect=connection.dialect) from error

    def _values(self, rows: Sequence[Any]) -> list[tuple[Any, ...]]:
        names = self._names
        try:
            found = list(map(self._pick, rows))
        except (KeyError, IndexError):
            found = []
        # Each has every name, and all together no more.
        if len(found) < len(rows) or sum(map(len, rows)) != len(names) * len(rows):
            at = next(n for n, row in enumerate(rows) if {*row.keys()} != {*names})
            raise DataError(
                f"Rows for {self._facts.name} hold different columns; nothing was written.",
                facts=f"the first holds {', '.join(names)}; number {at + 1} holds {', '.join(rows[at].keys())}",
                hint="Write rows of one shape in one call.",
            )
        if not self._typed and not self._simple(found):
            return [tuple(map(self._plain, row)) for row in found]
        return found

    def _simple(self, found: Sequence[tuple[Any, ...]]) -> bool:
        """Whether the driver takes them as they are; of keys, which are all of a kind, one is looked at."""
        columns = range(len(self._set)) if not self._by_name else range(len(self._names))
        return {*map(type, found[0])} <= _SIMPLE and all(
            {*map(type, map(itemgetter(number), found))} <= _SIMPLE for number in columns
        )

    def _given(self, values: list[tuple[Any, ...]]) -> list[Any]:
        return [self._named(row) for row in values] if self._by_name else values

    def _named(self, row: Sequence[Any]) -> dict[str, Any]:
        return {f"v{number}": value for number, value in enumerate(row)}

    def _require_all(self, connection: Connection, rows: Sequence[Any]) -> None:
        """
        Look for each row, where it is not known that all were found.

        Raises:
            NoSuchRows: They are not there.
        """
        numbers = {name: n for n, name in enumerate(self._names)}
        same = [
            self._columns[name]
            == bindparam(f"v{numbers[name]}", type_=self._columns[name].type if self._typed else NullType())
            for name in self._key
        ]
        query = select(func.count()).select_from(self._target).where(*same)
        lost = []
        for row in rows:
            values = {f"v{numbers[name]}": row[name] if self._typed else self._plain(row[name]) for name in self._key}
            if not connection.execute(query, values).scalar_one():
                lost.append(", ".join(f"{name}={row[name]}" for name in self._key))
        if lost:
            raise NoSuchRows(
                f"{len(lost):,} of {len(rows):,} rows are not in {self._facts.name}; nothing was written.",
                len(lost),
                lost[:5],
                table=self._facts.name,
            )


def writer_for(
    migration: BaseMigration,
    connection: Connection,
    table: str | Table | type[Any],
    names: tuple[str, ...],
    key: ColumnNames | None,
) -> Writer:
    """The writer that a migration has made for such rows already, while it is on the same connection; or a new one."""
    given: Any = names_of(key) if key is not None else None
    wanted = (table, names, given)
    kept = migration._writers
    if kept is None or kept[0] is not connection or kept[1] != _shape(connection):
        kept = migration._writers = (connection, _shape(connection), {})
    if wanted not in kept[2]:
        kept[2][wanted] = Writer(connection, table, names, key)
    return kept[2][wanted]


def _shape(connection: Connection) -> Any:
    """A number that changes with the schema; on servers a writer is made anew for each call."""
    if connection.dialect.name != "sqlite":
        return object()
    return pragma(connection.connection, "schema_version")


def shape_of(rows: Iterable[Any]) -> tuple[list[Any], tuple[str, ...]]:
    """
    Rows as a list, and the columns of the first.

    Raises:
        DataError: One is no mapping of columns to values.
    """
    found = list(rows)
    for row in found[:1]:
        if not hasattr(row, "keys"):
            raise DataError(
                f"Rows of type {type(row).__name__} cannot be written; nothing was.",
                facts="a row holds its columns by name: the key columns and the columns to set",
                hint='Write it like this: {"id": row["id"], "title": "new"}.',
            )
    names = tuple(found[0].keys()) if found else ()
    if not all(isinstance(name, str) for name in names):
        raise DataError(f"Columns are named by texts, not {names!r}; nothing was written.")
    return found, names


@contextmanager
def _whole(connection: Connection) -> Iterator[None]:
    """Undo what happens inside if it fails; SQLAlchemy's own savepoints take as long as a hundred rows."""
    raw: Any = connection.connection.driver_connection
    if not isinstance(raw, sqlite3.Connection) or not raw.in_transaction:
        with atomic(connection):
            yield
        return
    raw.execute(_SAVE)
    try:
        yield
    except BaseException:
        # A full disk may have ended the transaction.
        if raw.in_transaction:
            raw.execute(_BACK)
            raw.execute(_RELEASE)
            note_undone(connection)
        raise
    raw.execute(_RELEASE)


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"({', '.join(names)})"
