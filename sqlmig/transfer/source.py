"""The tables of the database that is copied, and its rows, as the driver's own tuples, a batch at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from importlib import import_module
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from ..backends.raw import ask_any, backticked
from ..backends.sqlite import ask, quoted
from ..connection import display_name
from ..errors import CopyError, ValueUnfit
from ..execution import reason
from .shapes import (
    Column,
    Table,
    mysql_tables,
    postgresql_elsewhere,
    postgresql_tables,
    sqlite_tables,
)

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from ..version_tracker import VersionTracker

__all__ = ["Source", "fetched", "key_of", "next_size", "streaming"]

_UNBUFFERED = {"pymysql": "pymysql.cursors", "mysqldb": "MySQLdb.cursors"}
_BATCH_BYTES = 4 * 1024 * 1024
_DECIMALS = ("numeric", "decimal")
_PG_PLAIN = {"int2", "int4", "int8", "bool", "float8", "text", "varchar", "bytea"}
_PG_SEQUENCES = (
    "SELECT relname FROM pg_class WHERE relkind = 'S' AND relnamespace = current_schema()::regnamespace"
    " AND has_table_privilege(oid, 'SELECT')"
)
_MY_SEQUENCES = (
    "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE() AND table_type = 'SEQUENCE'"
)
_MY_PLAIN = {
    "tinyint",
    "smallint",
    "mediumint",
    "int",
    "bigint",
    "double",
    "char",
    "varchar",
    "tinytext",
    "text",
    "mediumtext",
    "longtext",
    "jsontext",
    "enum",
    "set",
    "binary",
    "varbinary",
    "tinyblob",
    "blob",
    "mediumblob",
    "longblob",
    "year",
}


class Source:
    """
    The rows of one moment of a database.

    Args:
        connection: In a transaction that goes on seeing that moment.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.dialect = connection.dialect.name
        self.name = display_name(connection.engine)
        self.raw: Any = connection.connection.dbapi_connection
        reader = {"sqlite": sqlite_tables, "postgresql": postgresql_tables}.get(self.dialect, mysql_tables)
        self.tables: list[Table] = reader(self.raw)
        self.elsewhere: set[str] = set()
        self.warnings = self._elsewhere() if self.dialect == "postgresql" else []

    @property
    def quote(self) -> Any:
        return quoted if self.dialect in ("sqlite", "postgresql") else backticked

    def _elsewhere(self) -> list[str]:
        """What is not seen, as it lies in other schemas, or in none: what belongs to the application is not known."""
        self.elsewhere = {f"{schema}.{name}" for schema, name in postgresql_elsewhere(self.raw)}
        schemas = sorted({schema for schema, _ in postgresql_elsewhere(self.raw)})
        found = [f"the tables of the schema {schema} were not copied" for schema in schemas]
        objects = int(ask_any(self.raw, "SELECT count(*) FROM pg_largeobject_metadata")[0][0])
        return found + ([f"{objects:,} large objects were not copied"] if objects else [])

    def history(self, tracker: VersionTracker) -> list[dict[str, Any]]:
        """The rows of its audit log, the oldest first, as they are stored."""
        found = tracker._columns(self.connection, tracker.history)
        if not found:
            return []
        wanted = [column for column in tracker.history.columns if column.name in found]
        rows = [dict(row) for row in self.connection.execute(select(*wanted)).mappings()]
        return sorted(rows, key=lambda row: row.get("id") or 0)

    def count(self, table: Table) -> int:
        """How many rows there are."""
        with self._reading(table):
            return int(ask_any(self.raw, f"SELECT count(*) FROM {self._rows_of(table)}")[0][0])

    def _rows_of(self, table: Table) -> str:
        """A table without those that inherit from it, which are tables of their own."""
        return f"ONLY {self.quote(table.name)}" if table.inherited else str(self.quote(table.name))

    @contextmanager
    def _reading(self, table: Table) -> Iterator[None]:
        """What its driver raises here is no fault of the target's."""
        try:
            yield
        except self.connection.dialect.loaded_dbapi.Error as error:
            raise CopyError(
                f"The table {table.name} of the source {self.name} could not be read.",
                f"{reason(error)}\nnothing was copied: what had been begun was undone",
                "See that the source is there and lets this user read all rows, then copy again.",
            ) from error

    def last_number(self, table: Table, column: Column) -> int | None:
        """The last number that the database gave by itself to new rows; None where it has not, or keeps none."""
        sql = None
        if self.dialect == "sqlite":
            if ask(self.raw, "SELECT 1 FROM main.sqlite_master WHERE name = 'sqlite_sequence'"):
                rows = ask(self.raw, "SELECT seq FROM main.sqlite_sequence WHERE name = ?", (table.name,))
                return int(rows[0][0]) if rows and isinstance(rows[0][0], int) else None
        elif self.dialect == "postgresql":
            name, owner = column.name.replace("'", "''"), quoted(table.name).replace("'", "''")
            found = ask_any(self.raw, f"SELECT pg_get_serial_sequence('{owner}', '{name}')")[0][0]
            sql = f"SELECT CASE WHEN is_called THEN last_value END FROM {found}" if found else None
        else:
            name = table.name.replace("\\", "\\\\").replace("'", "''")
            sql = (
                "SELECT auto_increment - 1 FROM information_schema.tables"
                f" WHERE table_schema = DATABASE() AND table_name = '{name}'"
            )
        rows = ask_any(self.raw, sql) if sql else []
        return int(rows[0][0]) if rows and rows[0][0] is not None else None

    def sequences(self) -> dict[str, int | None]:
        """The last number of each sequence by its name in lower case; None where it has given none."""
        if self.dialect == "postgresql":
            names = [row[0] for row in ask_any(self.raw, _PG_SEQUENCES)]
            sql = "SELECT CASE WHEN is_called THEN last_value END FROM {}"
        elif self.dialect == "sqlite":
            return {}
        else:
            names = [row[0] for row in ask_any(self.raw, _MY_SEQUENCES)]
            # What a server has put by for later is gone.
            sql = "SELECT next_not_cached_value - increment FROM {}"
        return {name.lower(): ask_any(self.raw, sql.format(self.quote(name)))[0][0] for name in names}

    def batches(self, table: Table, columns: Sequence[Column], size: int) -> Iterator[list[Any]]:
        """
        The rows of a table, in lists of up to *size*, and of fewer where rows are large.

        Raises:
            ValueUnfit: A text is none: it is not UTF-8.
        """
        listed = ", ".join(self._expression(column) for column in columns)
        sql = f"SELECT {listed} FROM {self._rows_of(table)}"
        with self._reading(table):
            if self.dialect == "sqlite":
                yield from self._from_sqlite(table, columns, sql, size)
                return
            decimals = [index for index, column in enumerate(columns) if self._is_decimal(column)]
            with streaming(self.connection) as cursor:
                cursor.execute(sql)
                for rows in fetched(cursor, size):
                    yield _with_decimals(rows, decimals) if decimals else rows

    def _is_decimal(self, column: Column) -> bool:
        """An application may have its driver make floats of them: they are read as texts."""
        return column.type.removesuffix(" unsigned") in _DECIMALS and not column.labels

    def _expression(self, column: Column) -> str:
        name = self.quote(column.name)
        if self.dialect == "postgresql":
            if column.type == "float4":
                return f"{name}::float8"
            if column.type == "jsonarray":
                return f"to_json({name})::text"
            return name if column.type in _PG_PLAIN and not column.labels else f"{name}::text"
        if self.dialect != "sqlite":
            word = column.type.removesuffix(" unsigned")
            if word == "float":
                return f"({name} + 0e0)"
            if word == "bit":
                return f"({name} + 0)"
            return name if word in _MY_PLAIN else f"CAST({name} AS CHAR)"
        # Of an expression nothing is converted by a declared type, whatever `detect_types` says.
        return f"+{name} AS c"

    def _from_sqlite(self, table: Table, columns: Sequence[Column], sql: str, size: int) -> Iterator[list[Any]]:
        import sqlite3

        cursor = self.raw.cursor()
        cursor.row_factory = None
        try:
            cursor.execute(sql)
            yield from fetched(cursor, size)
        except sqlite3.OperationalError as error:
            if "decode" not in str(error):
                raise
            raise self._no_text(table, columns, sql) from error
        finally:
            cursor.close()

    def _no_text(self, table: Table, columns: Sequence[Column], sql: str) -> ValueUnfit:
        """Which text it is that is not UTF-8: only read again, with a function for each text, it shows itself."""
        factory = self.raw.text_factory
        self.raw.text_factory = lambda data: _Undecodable(data) if _is_broken(data) else data.decode()
        cursor = self.raw.cursor()
        cursor.row_factory = None
        try:
            for row in cursor.execute(sql):
                for column, value in zip(columns, row, strict=True):
                    if isinstance(value, _Undecodable):
                        why = f"a text of {len(value):,} bytes that is not UTF-8"
                        return ValueUnfit(table.name, column.name, key_of(table, columns, row), why)
        finally:
            cursor.close()
            self.raw.text_factory = factory
        raise AssertionError("a text that could not be decoded can be decoded")


def _with_decimals(rows: list[Any], decimals: Sequence[int]) -> list[Any]:
    columns: list[Sequence[Any]] = list(zip(*rows, strict=True))
    for index in decimals:
        columns[index] = [None if text is None else Decimal(text) for text in columns[index]]
    return list(zip(*columns, strict=True))


@contextmanager
def streaming(connection: Connection) -> Iterator[Any]:
    """A cursor of the driver's own that leaves the rows on the server until they are fetched."""
    raw: Any = connection.connection.dbapi_connection
    driver = connection.dialect.driver
    if connection.dialect.name == "postgresql":
        cursor = raw.cursor(name="sqlmig_copy") if driver.startswith("psycopg") else raw.cursor()
    elif driver in _UNBUFFERED:
        cursor = raw.cursor(import_module(_UNBUFFERED[driver]).SSCursor)
    else:
        cursor = raw.cursor()
    try:
        yield cursor
    finally:
        cursor.close()


class _Undecodable(bytes):
    pass


def _is_broken(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return True
    return False


def key_of(table: Table, columns: Sequence[Column], row: Sequence[Any]) -> str:
    """A row as messages name it: by its key, or by nothing."""
    names = [column.name for column in columns]
    if not table.key or not set(table.key) <= set(names):
        return "in a table without a key"
    return ", ".join(f"{name} = {_short(row[names.index(name)])}" for name in table.key)


def _short(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:59]}…"


def fetched(cursor: Any, size: int) -> Iterator[list[Any]]:
    """Batches that grow up to *size* as long as their rows are small."""
    now = 1
    while rows := cursor.fetchmany(now):
        yield rows
        sampled = rows[:: max(1, len(rows) // 16)]
        each = sum(len(value) if isinstance(value, str | bytes) else 16 for row in sampled for value in row)
        now = next_size(now, size, each // len(sampled))


def next_size(now: int, most: int, each: int) -> int:
    """How many rows to hold next, where a row of those before took *each* bytes."""
    return max(1, min(most, now * 4, _BATCH_BYTES // max(each, 1)))
