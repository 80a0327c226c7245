"""A statement as a driver takes it: how placeholders are spelled there, and what values are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .sql_text import COPY_REFUSED, bind_named, bind_positional, copies_with_client, number_named, split_statements

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection, CursorResult
    from sqlalchemy.sql import Executable

    from .connection import Parameters

__all__ = ["as_plain", "plain_for", "run"]

# How `?` is spelled (PEP 249); asyncpg numbers them.
_PLACEHOLDERS = {"format": "%s", "pyformat": "%s", "numeric_dollar": "$"}


def run(connection: Connection, sql: str | Executable, params: Parameters) -> CursorResult[Any]:
    """
    Run one statement, its placeholders and its values as the driver of *connection* has them.

    Raises:
        ValueError: It is a COPY with the client, or has another number of placeholders than there are values.
    """
    if not isinstance(sql, str):
        return connection.execute(sql, params or None)
    if connection.dialect.name == "postgresql" and copies_with_client(sql):
        # A driver that begins it is stuck in it, and its connection is lost.
        raise ValueError(f"{COPY_REFUSED}; use the driver's own, behind self.connection.connection.cursor()")
    if params is None or (isinstance(params, Sequence) and not params):
        # Without values there are no placeholders: a driver is not to look for any behind a `%`.
        if _prepares(connection):
            return _run_each(connection, sql)
        return connection.exec_driver_sql(sql, execution_options={"no_parameters": True})
    if isinstance(params, Mapping):
        return _run_named(connection, sql, [params])
    if isinstance(params, str | bytes | set) or not isinstance(params, Iterable):
        raise TypeError("parameters are a tuple, a dict, or a list of them; write (value,) for one value")
    params = list(params)
    many = isinstance(params[0], Iterable) and not isinstance(params[0], str | bytes | bytearray | memoryview)
    rows: Sequence[Any] = params if many else [params]
    if isinstance(rows[0], Mapping):
        return _run_named(connection, sql, rows)
    placeholder = _PLACEHOLDERS.get(_style(connection), "?")
    sql = bind_positional(sql, len(rows[0]), placeholder, connection.dialect.name)
    plain = plain_for(connection)
    values = [tuple(map(plain, row)) for row in rows]
    return connection.exec_driver_sql(sql, values if many else values[0])


def _run_named(connection: Connection, sql: str, rows: Sequence[Mapping[str, Any]]) -> CursorResult[Any]:
    """`:name` is SQLite's own; other drivers have theirs."""
    if _prepares(connection):
        sql, names = number_named(sql, rows[0].keys())
        in_order = [tuple(row[name] for name in names) for row in rows]
        return connection.exec_driver_sql(sql, in_order[0] if len(in_order) == 1 else in_order)
    if _style(connection) in ("format", "pyformat"):
        sql = bind_named(sql, rows[0].keys(), connection.dialect.name)
    values = [{key: as_plain(value) for key, value in row.items()} for row in rows]
    return connection.exec_driver_sql(sql, values[0] if len(values) == 1 else values)


def _prepares(connection: Connection) -> bool:
    """Whether the driver prepares whatever it runs, which the server does for one statement at a time: asyncpg."""
    return _style(connection) == "numeric_dollar"


def _run_each(connection: Connection, sql: str) -> CursorResult[Any]:
    """Several statements in one text; the result is that of the first, as of drivers that take them together."""
    statements = split_statements(sql, connection.dialect.name) or [sql]
    options = {"no_parameters": True}
    first, *others = [connection.exec_driver_sql(one, execution_options=options) for one in statements]
    for result in others:
        result.close()
    return first


def _style(connection: Connection) -> str:
    """How the driver spells a placeholder (PEP 249)."""
    return str(getattr(connection.dialect.loaded_dbapi, "paramstyle", "qmark"))


def plain_for(connection: Connection) -> Callable[[Any], Any]:
    """What makes a value one as the driver takes it."""
    # asyncpg sends values in the form of the column's type, and takes no text for a date.
    return _as_it_is if _prepares(connection) else as_plain


def _as_it_is(value: Any) -> Any:
    return value


def as_plain(value: Any) -> Any:
    """Dates as ISO text: the adapters that sqlite3 has for them are deprecated."""
    if hasattr(value, "isoformat"):
        return value.isoformat(" ") if hasattr(value, "hour") and hasattr(value, "year") else value.isoformat()
    return value
