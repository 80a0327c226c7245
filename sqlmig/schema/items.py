"""Columns and constraints of a caller, made into a Table of our own that compiles: theirs stay as they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    UniqueConstraint,
    inspect,
    text,
)
from sqlalchemy.exc import NoReferencedColumnError, NoReferencedTableError
from sqlalchemy.schema import SchemaItem

from .names import split

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

__all__ = ["assembled", "fresh", "resolved"]


def assembled(connection: Connection, table: str, items: Sequence[SchemaItem]) -> Table:
    """A Table of copies of *items*, whose foreign keys find what they refer to."""
    schema, name = split(table)
    made = Table(name, MetaData(), *(fresh(item) for item in items), schema=schema)
    _resolve(connection, made)
    return made


def resolved(connection: Connection, table: Table) -> Table:
    """*table*, or a copy of it whose foreign keys find what they refer to."""
    if any(_unresolved(key) for key in table.foreign_keys):
        table = table.to_metadata(MetaData())
        _resolve(connection, table)
    return table


def _resolve(connection: Connection, table: Table) -> None:
    """SQLAlchemy writes no REFERENCES to a table that it does not know, and takes a column's type from there."""
    for key in table.foreign_keys:
        if not _unresolved(key):
            continue
        owner, column = key.target_fullname.rsplit(".", 1)
        schema, name = split(owner)
        inspector = inspect(connection)
        known: list[Any] = []
        if inspector.has_table(name, schema=schema):
            known = [c for c in inspector.get_columns(name, schema=schema) if c["name"] == column]
        kind = known[0]["type"] if known else None
        Table(name, table.metadata, Column(column, kind), schema=schema, extend_existing=True)


def fresh(item: SchemaItem) -> SchemaItem:
    """A copy of *item*, which may belong to a model, or be used again in another run of `up`."""
    if isinstance(item, Column):
        return _fresh_column(item)
    if isinstance(item, Index):
        keys = [key if isinstance(key, str) else _key_text(key) for key in item.expressions]
        return Index(item.name, *keys, unique=item.unique, **item.dialect_kwargs)
    options: dict[str, Any] = {name: getattr(item, name, None) for name in ("name", "deferrable", "initially")}
    if isinstance(item, ForeignKeyConstraint):
        targets = [key.target_fullname for key in item.elements]
        options |= {"ondelete": item.ondelete, "onupdate": item.onupdate, "match": item.match}
        return ForeignKeyConstraint(item.column_keys, targets, **options, **item.dialect_kwargs)
    if isinstance(item, PrimaryKeyConstraint | UniqueConstraint):
        # By name: constraints over Column objects would go on meaning those of the first table.
        names = [c if isinstance(c, str) else c.name for c in item._pending_colargs or item.columns if c is not None]
        return type(item)(*names, **options, **item.dialect_kwargs)
    copied: SchemaItem = item._copy()  # type: ignore[attr-defined]
    return copied


def _fresh_column(column: Column[Any]) -> Column[Any]:
    copied = column._copy()
    for key in column.foreign_keys:
        # Those of a table's own column are left out by SQLAlchemy's copy.
        if key.constraint is not None and len(key.constraint.elements) == 1:
            names = ("ondelete", "onupdate", "deferrable", "initially", "match")
            options = {name: getattr(key.constraint, name) for name in names}
            copied.append_foreign_key(ForeignKey(key.target_fullname, name=key.constraint.name, **options))
    return copied


def _key_text(key: Any) -> Any:
    """A column of an index by its name, and an expression with its literals in it."""
    if isinstance(key, Column):
        return key.name
    return text(str(key.compile(compile_kwargs={"literal_binds": True, "include_table": False})))


def _unresolved(key: ForeignKey) -> bool:
    try:
        return key.column is None
    except (NoReferencedTableError, NoReferencedColumnError):
        return True
