"""DataMethods: rows read and written in batches, as methods of a migration."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Table
    from sqlalchemy.sql.elements import ColumnElement

    from ..connection import DatabaseConnection
    from ..rows import Row
    from .resumption import Loops
    from .sources import Source
    from .tables import ColumnNames
    from .writer import Writer

__all__ = ["DataMethods"]


class DataMethods:
    """Rows in batches, over `self.db`: in the migration's transaction; outside of one, each batch in its own."""

    # Set by the runner: whom to tell how far a loop is, and the checkpoints of a resumable migration.
    if TYPE_CHECKING:
        db: DatabaseConnection

    _tell: Callable[[str], object] | None = None
    _loops: Loops | None = None
    _writers: tuple[Any, Any, dict[Any, Writer]] | None = None

    def batches(
        self,
        source: Source,
        key: ColumnNames | None = None,
        size: int = 1000,
        *,
        columns: ColumnNames | None = None,
        throttle: float | None = None,
    ) -> Iterator[list[Row]]:
        """
        The rows of a table or a select, in lists of *size*, in the order of *key*.

        Each list is read whole, from where the one before it ended, so that the loop may change its rows, also out
        of the condition by which they were selected. What the loop adds at the end is not read, except by a
        resumable migration.

        Args:
            source: The name of a table ("t", "schema.t"), whose values are the driver's own; a Table, a mapped class
                or a select(), whose values are those of their types.
            key: One column or several that tell the rows apart, best with an index; the primary key by default, or
                SQLite's rowid, which then is a column `rowid` of the rows.
            size: Rows in a batch.
            columns: Of a table given by its name: what to read beside the key.
            throttle: Seconds to pause after each batch that was committed; the migration's own by default.

        Raises:
            NoSuchObject: There is no such table or column.
            WrongKey: It is not unique, or holds NULL.
            DataError: The call cannot be understood.
        """
        from .loops import batches

        return batches(cast(Any, self), source, key, size, columns=columns, throttle=throttle)

    def update_rows(
        self,
        table: str | Table | type[Any],
        rows: Iterable[Mapping[str, Any] | Row],
        key: ColumnNames | None = None,
    ) -> int:
        """
        Write rows that are in a table already, with one executemany: all of them or none.

        Args:
            table: Its name, for values as the driver takes them; a Table, for values of its types.
            rows: Each holds the key columns, and the columns to set.
            key: The columns that say which row is meant; the primary key by default, or SQLite's rowid.

        Returns:
            How many rows were written.

        Raises:
            NoSuchRows: Some are not in the table.
            NoSuchObject: There is no such table or column.
            DataError: The rows hold different columns, or not the key.
        """
        from .writer import shape_of, writer_for

        found, names = shape_of(rows)
        if not found:
            return 0
        connection = self.db.connection
        if connection is None:
            with self.db.transaction():
                return self.update_rows(table, found, key)
        return writer_for(cast(Any, self), connection, table, names, key).write(self.db, connection, found)

    def backfill(
        self,
        table: str | Table | type[Any],
        column: str,
        value: str | ColumnElement[Any] | Callable[..., Any] | float | None,
        *,
        columns: ColumnNames | None = None,
        where: str | ColumnElement[bool] | None = None,
    ) -> int:
        """
        Fill a column of every row.

        SQLite does it in one UPDATE, also with a Python function; a resumable migration goes through the table in
        batches, each with its checkpoint.

        Args:
            value: SQL, or a Core expression; or a Python function. Its parameters are named like the columns that it
                takes (`lambda title: ...`); one parameter that no column is named like gets the whole row.
            columns: The columns that the function takes, in order.
            where: A condition in SQL: only these rows.

        Returns:
            How many rows were filled.

        Raises:
            NoSuchObject: There is no such table or column.
            DataError: The call cannot be understood. What the function raises comes through as it is.
        """
        from .filling import backfill

        return backfill(cast(Any, self), table, column, value, columns=columns, where=where)
