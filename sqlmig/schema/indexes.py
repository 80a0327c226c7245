"""CREATE INDEX over columns and expressions, as callers write them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import inspect
from sqlalchemy.exc import IntegrityError

from ..errors import DataContradicts, NoSuchObject, ObjectExists, UnsupportedChange, WrongObject
from .changes import Expression
from .ddl import expression_part, plain, whole
from .names import split
from .sqlite.definition import folded
from .sqlite.tokens import ends_in_line_comment, name_of, significant, undisturbing

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

__all__ = ["create_index"]


def create_index(
    connection: Connection, index: str, table: str, columns: Sequence[Any], *, unique: bool, where: Expression | None
) -> None:
    """
    Create an index.

    Raises:
        NoSuchObject, WrongObject, UnsupportedChange, DataContradicts: See `Operations.create_index`.
    """
    schema, name = split(table)
    known = _columns(connection, table)
    keys = [_key(connection, table, known, key) for key in ([columns] if isinstance(columns, str) else columns)]
    if not keys:
        raise UnsupportedChange(f"The index {index} has no columns; nothing was changed.", table=table)
    quote = connection.dialect.identifier_preparer.quote
    place, target = split(index)[1], quote(name)
    if connection.dialect.name == "sqlite":
        # The index lies where its table does, whether or not its own name says so.
        called = f"{quote(schema)}.{quote(place)}" if schema else quote(place)
    else:
        called, target = quote(place), f"{quote(schema)}.{quote(name)}" if schema else quote(name)
    if inspect(connection).has_table(place, schema=schema):
        raise ObjectExists("table", place, table=table)
    condition = f" WHERE {_expression(connection, where, table)}" if where is not None else ""
    sql = f"CREATE {'UNIQUE ' if unique else ''}INDEX {called} ON {target} ({', '.join(keys)}){condition}"
    try:
        with whole(connection):
            connection.exec_driver_sql(sql, execution_options={"no_parameters": True})
    except IntegrityError as error:
        raise DataContradicts(
            f"The index {index} cannot be unique: rows of {table} share their values; nothing was changed.",
            2,
            [],
            table=table,
            facts=str(error.orig),
        ) from error


def _columns(connection: Connection, table: str) -> list[str]:
    schema, name = split(table)
    inspector = inspect(connection)
    if not inspector.has_table(name, schema=schema):
        raise NoSuchObject("table", table, inspector.get_table_names(schema=schema), table=table)
    if name.lower() in (view.lower() for view in inspector.get_view_names(schema=schema)):
        raise WrongObject(f"{table} is a view and cannot be indexed; nothing was changed.", table=table)
    return [column["name"] for column in inspector.get_columns(name, schema=schema)]


def _key(connection: Connection, table: str, known: list[str], key: Any) -> str:
    if not isinstance(key, str):
        return _expression(connection, key, table)
    if key.lower() in (column.lower() for column in known):
        return connection.dialect.identifier_preparer.quote(key)
    found = significant(key)
    if len(found) == 1 and found[0].is_name:
        raise NoSuchObject("column", key, known, table=table)
    return _expression(connection, key, table)


def _expression(connection: Connection, given: Expression, table: str) -> str:
    sql = plain(connection.dialect, expression_part(given))
    if not undisturbing(sql):
        raise UnsupportedChange(
            f"{sql!r} is neither a column of {table} nor one expression; nothing was changed.", table=table
        )
    known = [split(table)[1], *_columns(connection, table)]
    for token in significant(sql) if connection.dialect.name == "sqlite" else ():
        if token.text.startswith('"') and folded(name_of(token)) not in map(folded, known):
            # SQLite would read it as a text.
            raise NoSuchObject("column", name_of(token), known[1:], table=table)
    return f"{sql}\n" if ends_in_line_comment(sql) else sql
