"""SQL put together from words and parts: names, types and values are spelled, and quoted, by the dialect."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, TypeAlias

from sqlalchemy import literal, literal_column, true
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.schema import ExecutableDDLElement, SchemaItem
from sqlalchemy.sql.ddl import BaseDDLElement
from sqlalchemy.sql.elements import ClauseElement
from sqlalchemy.types import TypeEngine

from ..connection import atomic
from .changes import Default, Expression, TableName, TypeName

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection
    from sqlalchemy.engine.interfaces import Dialect

__all__ = ["Part", "Statement", "default_part", "expression_part", "plain", "quoted", "raw", "type_part", "whole"]

Part: TypeAlias = "str | TableName | TypeEngine[Any] | ClauseElement | SchemaItem | Sequence[Any]"
"""A str is a name; an expression has its values written into it; a sequence is separated by commas."""


class Statement(ExecutableDDLElement):
    """Words of SQL with a part for each `{}`; a statement, or a part of one."""

    inherit_cache = False

    def __init__(self, words: str, *parts: Part) -> None:
        self.words, self.parts = words, parts


@compiles(Statement)
def _compile_statement(element: Statement, compiler: Any, **_: Any) -> str:
    return element.words.format(*(_spelled(part, compiler) for part in element.parts))


def _spelled(part: Part, compiler: Any) -> str:
    if isinstance(part, str):
        return str(compiler.preparer.quote(part))
    if isinstance(part, TableName):
        return ".".join(compiler.preparer.quote(name) for name in (part.schema, part.name) if name)
    if isinstance(part, TypeEngine):
        return str(compiler.dialect.type_compiler_instance.process(part))
    if isinstance(part, BaseDDLElement | SchemaItem) or not isinstance(part, ClauseElement):
        return _joined(part, compiler)
    return str(compiler.sql_compiler.process(part, literal_binds=True, include_table=False))


def _joined(part: Any, compiler: Any) -> str:
    if isinstance(part, BaseDDLElement | SchemaItem):
        return str(compiler.process(part))
    return ", ".join(_spelled(one, compiler) for one in part)


def raw(sql: str) -> ClauseElement:
    """SQL as it stands: a colon or a percent sign in it is nothing but that."""
    return literal_column(sql)


def expression_part(expression: Expression | ClauseElement) -> ClauseElement:
    """An expression that came as text or from Core."""
    return raw(expression) if isinstance(expression, str) else expression


def type_part(type_: TypeName) -> TypeEngine[Any] | ClauseElement:
    """A type that came as one of SQLAlchemy's, or by the name it has in the database."""
    if isinstance(type_, str):
        return raw(type_)
    return type_() if isinstance(type_, type) else type_


def default_part(default: Default) -> ClauseElement:
    """A server default: a str is a literal, a number or a bool is itself."""
    if isinstance(default, bool):
        return true() if default else ~true()
    if isinstance(default, ClauseElement):
        return default
    return literal(default)


def plain(dialect: Dialect, part: Part) -> str:
    """A part as a driver without parameters takes it: percent signs are not doubled."""
    compiled = str(Statement("{}", part).compile(dialect=dialect))
    # What is compiled is meant for a driver that reads `%s`, and has every percent sign twice.
    return compiled.replace("%%", "%") if dialect.paramstyle in ("format", "pyformat") else compiled


def whole(connection: Connection) -> AbstractContextManager[object]:
    """Undo what happens inside if it fails, where the database can: MariaDB and MySQL commit with every DDL."""
    return nullcontext() if connection.dialect.name in ("mysql", "mariadb") else atomic(connection)


def quoted(connection: Connection, *names: str | TableName) -> str:
    """Names as plain SQL, with commas between them."""
    return plain(connection.dialect, names)
