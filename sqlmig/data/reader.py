"""Batches of rows, read one after the other by their key; every batch is read whole before it is handed out."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy.exc import DBAPIError

from ..errors import DataError, WrongKey
from ..rows import KeptRow, Row

if TYPE_CHECKING:
    from sqlalchemy import Select
    from sqlalchemy.engine import Connection, CursorResult

    from ..connection import DatabaseConnection
    from .sources import Rows

__all__ = ["Batch", "Reader"]


class DriverRow(Row, sqlite3.Row):
    """A row of sqlite3's own making, which costs a third of one made here."""

    __slots__ = ()
    __getitem__ = sqlite3.Row.__getitem__
    __iter__ = sqlite3.Row.__iter__
    __len__ = sqlite3.Row.__len__
    keys = sqlite3.Row.keys


class Batch(NamedTuple):
    """Some rows, and the raw values of the last one's key."""

    rows: list[Row]
    last: tuple[Any, ...]


class Reader:
    """
    Reads *rows* batch by batch.

    Args:
        until: Whether to stop at the key that is the last now, so that what a loop adds does not keep it going.
    """

    def __init__(self, db: DatabaseConnection, rows: Rows, size: int, *, until: bool) -> None:
        self._db, self._rows, self._size, self._until = db, rows, size, until
        self._bound: tuple[Any, ...] | None = None
        self._names: list[str] = []
        self._statements: dict[bool, Select[Any]] = {}
        self._compiled: dict[bool, tuple[str, list[str] | None]] = {}

    def begin(self, connection: Connection) -> bool:
        """
        Look for what would be left out, and for where to stop; tell whether there is anything to read.

        Raises:
            WrongKey: There are NULLs in the key.
        """
        if not self._rows.never_null and connection.execute(self._rows.null()).first() is not None:
            raise WrongKey(
                f"The key {_listed(self._rows.key)} of {self._rows.name} holds NULL; nothing was done.",
                facts="a NULL is neither before nor after another value, so that its row could be left out",
                hint="Read by another key, or select only rows where it is not NULL.",
            )
        if not self._until:
            return True
        self._bound = self._driver_row(connection.execute(self._rows.last()))
        return self._bound is not None

    def count(self, connection: Connection) -> int:
        """How many rows there are."""
        return int(connection.execute(self._rows.count()).scalar_one())

    def next(self, connection: Connection, after: Sequence[Any] | None) -> Batch:
        """
        The rows that follow the key *after*; none at the end.

        Raises:
            WrongKey: The key does not tell the last of them from others.
        """
        values = {"sqlmig_size": self._size}
        values |= _numbered("after", after or ()) | _numbered("until", self._bound or ())
        read = self._read_raw if self._rows.raw and not self._rows.hidden else self._read_typed
        batch = read(connection, after is not None, values)
        if batch.rows:
            self._check(connection, batch)
        return batch

    def _statement(self, connection: Connection, after: bool) -> Select[Any]:
        if after not in self._statements:
            self._statements[after] = self._rows.next(connection, after=after, until=self._bound is not None)
        return self._statements[after]

    def _read_raw(self, connection: Connection, after: bool, values: dict[str, Any]) -> Batch:
        """What the driver gave, past SQLAlchemy's rows."""
        if after not in self._compiled:
            made = self._statement(connection, after).compile(dialect=connection.dialect)
            self._compiled[after] = str(made), list(made.positiontup or ()) if made.positional else None
        sql, order = self._compiled[after]
        self._db.statements += 1
        self._db.last_statement = sql
        given: Any = values if order is None else tuple(map(values.__getitem__, order))
        raw: Any = connection.connection.driver_connection
        if type(raw) is sqlite3.Connection:
            rows = self._fetch(connection, raw, sql, given)
        else:
            result = connection.exec_driver_sql(sql, given)
            cursor: Any = result.cursor
            names = [described[0] for described in cursor.description]
            rows = [KeptRow(names, values) for values in cursor.fetchall()]
            result.close()
        return Batch(rows, tuple(rows[-1][at] for at in self._rows.at) if rows else ())

    def _fetch(self, connection: Connection, raw: Any, sql: str, values: Any) -> list[Row]:
        cursor = raw.cursor()
        # Whatever the application has its rows made by.
        cursor.row_factory = DriverRow
        try:
            rows: list[Row] = cursor.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise DBAPIError.instance(sql, None, error, sqlite3.Error, dialect=connection.dialect) from error
        return rows

    def _read_typed(self, connection: Connection, after: bool, values: dict[str, Any]) -> Batch:
        self._db.statements += 1
        result = connection.execute(self._statement(connection, after), values)
        width = self._rows.width
        self._names = self._names or list(result.keys())[:width]
        found = result.all()
        last = tuple(found[-1][at] for at in self._rows.at) if found else ()
        return Batch([KeptRow(self._names, row[:width]) for row in found], last)

    def _driver_row(self, result: CursorResult[Any]) -> tuple[Any, ...] | None:
        row = result.first()
        return None if row is None else tuple(row)

    def _check(self, connection: Connection, batch: Batch) -> None:
        """Ask whether the border between this batch and the next is one."""
        if self._rows.proven and all(type(value) is int for value in batch.last):
            return
        if any(value is None for value in batch.last):
            found = 0
        else:
            found = int(connection.execute(self._rows.same(), _numbered("after", batch.last)).scalar_one())
        if found == 1:
            return
        why = "more than one row has" if found else "no row is found again by"
        raise WrongKey(
            f"The key {_listed(self._rows.key)} does not tell the rows of {self._rows.name} apart.",
            facts=f"{why} the key with which a batch ends, so that rows could be left out or read twice",
            hint='Read by a key that is unique, for example by more columns: batches(..., key=["a", "id"]).',
        )


def _numbered(name: str, values: Sequence[Any]) -> dict[str, Any]:
    return {f"sqlmig_{name}_{number}": value for number, value in enumerate(values)}


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"({', '.join(names)})"


def check_size(size: object) -> int:
    """
    Refuse what is no number of rows.

    Raises:
        DataError: It is not a whole number from 1 up.
    """
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        raise DataError(
            f"size={size!r} is no size of a batch; nothing was done.",
            facts="it is a number of rows, 1 or more",
            hint="Leave it out for 1,000 rows.",
        )
    return size


def check_throttle(throttle: object) -> float:
    """
    Refuse what is no pause.

    Raises:
        DataError: It is not a number of seconds from 0 up.
    """
    if isinstance(throttle, bool) or not isinstance(throttle, int | float) or not 0 <= throttle < float("inf"):
        raise DataError(
            f"throttle={throttle!r} is no pause; nothing was done.",
            facts="it is a number of seconds, 0 or more",
            hint="Say throttle=0.05 for a pause of 50 ms after each batch.",
        )
    return float(throttle)
