"""What a schema is to become: its shape, and the objects of SQLAlchemy that its parts are written from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    Index,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    UniqueConstraint,
)
from sqlalchemy.schema import Constraint, CreateIndex

from ..drift import shape as shapes
from ..schema.ddl import plain
from ..schema.sqlite.tokens import Token, matching, name_of, significant
from .item_source import constraints_of, name_of_constraint, target_of

if TYPE_CHECKING:
    from sqlalchemy.engine.interfaces import Dialect

__all__ = ["IndexSource", "Target", "index_source", "keys_of", "of_models"]

_CLASSES = {
    "primary key": PrimaryKeyConstraint,
    "unique": UniqueConstraint,
    "foreign key": ForeignKeyConstraint,
    "check": CheckConstraint,
}


@dataclass(frozen=True)
class IndexSource:
    """
    An index as `create_index` is told of it.

    Attributes:
        keys: Names of columns, and expressions as they stand.
        statement: The whole CREATE INDEX, where it has something that `create_index` has no word for.
    """

    name: str
    keys: tuple[str, ...]
    unique: bool = False
    where: str | None = None
    statement: str | None = None


class Target:
    """
    A schema that is to be had.

    Args:
        tables: By the keys of the shape.
        indexes: Of a table, by its key, and their own names.
        stored: The statement by which the database itself would make a part again, by kind and key; for what cannot
            be written otherwise.
        given_names: Whether the names of constraints are somebody's, and not the database's own.
    """

    def __init__(
        self,
        shape: shapes.Shape,
        dialect: Dialect,
        tables: Mapping[str, Table],
        indexes: Mapping[tuple[str, str], IndexSource],
        stored: Mapping[tuple[str, str], str] | None = None,
        *,
        given_names: bool = True,
    ) -> None:
        self.given_names = given_names
        self.shape, self.dialect, self.tables, self.stored = shape, dialect, tables, stored or {}
        self._indexes = indexes

    def table(self, name: str) -> Table | None:
        """The table of a name."""
        return self.tables.get(self.shape.key(name))

    def column(self, table: str, name: str) -> Column[Any] | None:
        """The column of a table."""
        found, key = self.table(table), self.shape.column_key
        return next((one for one in (found.columns if found is not None else ()) if key(one.name) == key(name)), None)

    def index(self, index: shapes.Index) -> IndexSource | None:
        """An index of the shape."""
        return self.index_named(index.table, index.name)

    def index_named(self, table: str, name: str) -> IndexSource | None:
        """An index of a table, by its name with or without a schema."""
        key, found = self.shape.key(table), self._indexes
        return found.get((key, self.shape.key(name))) or found.get((key, self.shape.key(name.rpartition(".")[2])))

    def constraint(self, table: str, wanted: shapes.Constraint) -> Constraint | None:
        """A constraint of the shape; of a CHECK, only by its name."""
        found = self.table(table)
        same = [one for one in (constraints_of(found) if found is not None else ()) if self._is_same(one, wanted)]
        named = [one for one in same if name_of_constraint(one, self.dialect) == wanted.name]
        if wanted.name is not None or wanted.kind == "check":
            return named[0] if named and wanted.name is not None else None
        return next(iter(named or same), None)

    def _is_same(self, constraint: Constraint, wanted: shapes.Constraint) -> bool:
        if not isinstance(constraint, _CLASSES.get(wanted.kind, ())):
            return False
        if wanted.kind == "check":
            return True
        key, column_key = self.shape.key, self.shape.column_key
        columns = tuple(column_key(column.name) for column in getattr(constraint, "columns", ()))
        if columns != tuple(map(column_key, wanted.columns)):
            return False
        if not isinstance(constraint, ForeignKeyConstraint) or wanted.parent is None:
            return True
        return key(target_of(constraint)[0].rpartition(".")[2]) == key(wanted.parent.rpartition(".")[2])


def of_models(models: Iterable[MetaData], shape: shapes.Shape, dialect: Dialect) -> Target:
    """What the models are to become, once they were created somewhere and have the given shape."""
    tables: dict[str, Table] = {}
    indexes: dict[tuple[str, str], IndexSource] = {}
    for table in (table for metadata in models for table in metadata.tables.values()):
        name = table.fullname if shape.key(table.fullname) in shape.tables else table.name
        key = shape.key(name)
        tables[key] = table
        for index in table.indexes:
            found = index_source(index, dialect)
            indexes[key, shape.key(found.name)] = found
    return Target(shape, dialect, tables, indexes)


def index_source(index: Index, dialect: Dialect) -> IndexSource:
    """An index of SQLAlchemy's."""
    name = name_of_constraint(index, dialect) or ""
    keys = tuple(key.name if isinstance(key, Column) else plain(dialect, key) for key in index.expressions)
    options = (
        index.dialect_options[dialect.name] if dialect.name in ("sqlite", "postgresql", "mysql", "mariadb") else {}
    )
    condition = options.get("where")
    where = None if condition is None else condition if isinstance(condition, str) else plain(dialect, condition)
    own = {name.partition("_")[2] for name in index.dialect_kwargs if name.startswith(f"{dialect.name}_")}
    beyond = {name for name in own - {"where", "invalid", "concurrently"} if options.get(name)}
    statement = plain(dialect, CreateIndex(index)) if beyond else None
    return IndexSource(name, keys, bool(index.unique), where, statement)


def keys_of(said: str) -> tuple[tuple[str, ...], str]:
    """The keys of an index, whose definition begins with them in parentheses, and what follows."""
    tokens = significant(said)
    closing = matching(tokens, 0)
    return tuple(_parts(said, tokens[1:closing], tokens[closing])), said[tokens[closing].end :].strip()


def _parts(sql: str, tokens: list[Token], closing: Token) -> Iterator[str]:
    """The parts between commas: a name without its quotes, everything else as it is written."""
    depth, part = 0, list[Token]()
    for token in [*tokens, Token("other", ",", closing.start)]:
        depth += {"(": 1, ")": -1}.get(token.text, 0)
        if token.text == "," and depth == 0:
            alone = len(part) == 1 and part[0].is_name
            yield name_of(part[0]) if alone else sql[part[0].start : part[-1].end]
            part = []
        else:
            part.append(token)
