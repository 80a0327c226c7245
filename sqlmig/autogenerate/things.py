"""Triggers, views, types, sequences and the like: what makes one, and what takes it away."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..drift.shape import Thing
from ..schema.ddl import plain
from ..schema.names import table_name
from .code import literal
from .statements import Statement

if TYPE_CHECKING:
    from sqlalchemy.engine.interfaces import Dialect

__all__ = ["BUILT_ON", "execute", "making", "removing", "sql_name"]

BUILT_ON = frozenset({"type", "composite type", "range type", "sequence", "function", "procedure", "aggregate"})
"""What tables and programs are built on: it comes before them, and goes after them."""


def execute(sql: str, text: str) -> Statement:
    """A statement for which there is no operation."""
    return Statement("execute_sql", (literal(sql),), text=text)


def sql_name(dialect: Dialect, name: str) -> str:
    """A name as SQL, with its schema."""
    return plain(dialect, table_name(name))


def making(thing: Thing, dialect: Dialect) -> Statement | None:
    """What makes it of what the catalogue says of it; None where that is not enough."""
    text, said = f"create {thing.kind} {thing.name}", thing.definition.shown
    if dialect.name == "sqlite":
        if thing.kind == "trigger":
            return Statement("create_trigger", (literal(thing.name), literal(said)), text=text)
        return execute(said, text)
    if thing.kind in ("trigger", "view"):
        return Statement(f"create_{thing.kind}", (literal(thing.name), literal(said.rstrip(";"))), text=text)
    made = (_POSTGRESQL if dialect.name == "postgresql" else _MYSQL).get(thing.kind)
    if made is None:
        return None
    owner = sql_name(dialect, thing.table) if thing.table is not None else ""
    return execute(made(sql_name(dialect, thing.name), owner, said), text)


def _type(name: str, _owner: str, said: str) -> str:
    return f"CREATE {'TYPE' if said.startswith(('ENUM', '(')) else 'DOMAIN'} {name} AS {said}"


_POSTGRESQL: dict[str, Callable[[str, str, str], str]] = {
    "materialized view": lambda name, _, said: f"CREATE MATERIALIZED VIEW {name} AS {said}",
    "policy": lambda name, owner, said: f"CREATE POLICY {name} ON {owner} {said}",
    "rule": lambda _, __, said: said,
    "statistics": lambda _, __, said: said,
    "function": lambda _, __, said: said,
    "procedure": lambda _, __, said: said,
    "type": _type,
    "composite type": _type,
    "range type": lambda name, _, said: f"CREATE TYPE {name} AS RANGE (SUBTYPE = {said.removeprefix('RANGE OF ')})",
    "sequence": lambda name, _, said: f"CREATE SEQUENCE {name}{said.removeprefix('SEQUENCE')}",
}
_MYSQL: dict[str, Callable[[str, str, str], str]] = {
    "function": lambda name, _, said: f"CREATE FUNCTION {name}{said}",
    "procedure": lambda name, _, said: f"CREATE PROCEDURE {name}{said}",
    "event": lambda name, _, said: f"CREATE EVENT {name} {said}",
    "sequence": lambda name, _, said: f"CREATE SEQUENCE {name}{said.removeprefix('SEQUENCE')}",
}


def removing(thing: Thing, dialect: Dialect) -> Statement:
    """What takes it away."""
    text = f"drop {thing.kind} {thing.name}"
    if thing.kind == "trigger":
        args = (literal(thing.name), literal(thing.table)) if thing.table else (literal(thing.name),)
        return Statement("drop_trigger", args, text=text)
    if thing.kind == "view":
        return Statement("drop_view", (literal(thing.name),), text=text)
    if thing.kind == "virtual table":
        return Statement("drop_table", (literal(thing.name),), text=text)
    if thing.kind in ("policy", "rule") and thing.table is not None:
        return execute(
            f"DROP {thing.kind.upper()} {sql_name(dialect, thing.name)} ON {sql_name(dialect, thing.table)}", text
        )
    name, bracket, arguments = thing.name.partition("(")
    word = thing.kind.upper()
    if thing.kind == "type":
        word = "TYPE" if thing.definition.shown.startswith("ENUM") else "DOMAIN"
    elif thing.kind.endswith(" type"):
        word = "TYPE"
    return execute(f"DROP {word} {sql_name(dialect, name)}{bracket}{arguments}", text)
