"""A schema as a database's own catalogue tells it, in parts that can be compared one by one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from ..schema.sqlite.definition import folded

__all__ = ["COLUMN_FACETS", "Column", "Constraint", "Index", "Shape", "Table", "Thing", "Wording", "made_at_once"]


@dataclass(frozen=True)
class Wording:
    """
    A piece of SQL.

    Attributes:
        shown: As it is written in the database.
        meant: What counts when it is compared: two that say the same have the same.
    """

    meant: str
    shown: str = field(compare=False)

    def __str__(self) -> str:
        return self.shown

    @classmethod
    def plain(cls, text: str) -> Wording:
        """One that the database words in one way only."""
        return cls(text, text)


@dataclass(frozen=True)
class Column:
    """
    One column.

    Attributes:
        type: As the database words it.
        generated: The expression that it is computed by, with STORED or VIRTUAL.
        identity: How the database numbers it: AUTOINCREMENT, AUTO_INCREMENT, SERIAL, BY DEFAULT AS IDENTITY.
        collation: Where it is another than a column has that names none.
        others: What this kind of database knows besides.
        declared: The type as somebody has written it, where the database keeps that.
    """

    name: str
    type: str
    nullable: bool = True
    default: Wording | None = None
    generated: Wording | None = None
    identity: str | None = None
    collation: str | None = None
    comment: str | None = None
    others: str = ""
    declared: str | None = field(default=None, compare=False)


COLUMN_FACETS = ("type", "nullable", "default", "generated", "identity", "collation", "comment", "others")


@dataclass(frozen=True)
class Constraint:
    """
    A constraint of a table.

    Attributes:
        kind: "primary key", "unique", "check", "foreign key" or "exclude".
        name: None where the database made it up, or there is none.
        definition: All that it says, but for its name.
        parent: The table that a foreign key refers to.
        parent_columns: The columns there, each in the place of its own.
        surely_named: Whether somebody gave it the name that it has; it may be one that the database made up once, of a
            column that has another name by now.
        index: Of a foreign key, the index that the database made for it, and leaves when it is dropped.
    """

    kind: str
    columns: tuple[str, ...]
    definition: Wording
    name: str | None = None
    parent: str | None = None
    surely_named: bool = field(default=True, compare=False)
    index: str | None = field(default=None, compare=False)
    parent_columns: tuple[str, ...] = field(default=(), compare=False)


@dataclass(frozen=True)
class Index:
    """
    An index that CREATE INDEX made.

    Attributes:
        definition: Its table, keys and condition, and whether it is unique; all but its name.
    """

    name: str
    table: str
    unique: bool
    definition: Wording


@dataclass(frozen=True)
class Thing:
    """
    A trigger, a view, a virtual table, a type, a sequence, a function.

    Attributes:
        table: The table that it belongs to, if to one.
    """

    kind: str
    name: str
    definition: Wording
    table: str | None = None


@dataclass(frozen=True)
class Table:
    """
    One table.

    Attributes:
        name: With its schema where that is not the usual one.
        options: What else is said of it: STRICT, WITHOUT ROWID, an engine, a partitioning.
    """

    name: str
    columns: tuple[Column, ...]
    constraints: tuple[Constraint, ...] = ()
    options: frozenset[str] = frozenset()
    comment: str | None = None


@dataclass(frozen=True)
class Shape:
    """
    All that is compared of a database; its records of migrations are not among it.

    Attributes:
        tables, indexes, things: By the key of their name; where a name is a table's own affair, with that before it.
        folds: Whether names in another case are the same.
        folds_columns: Whether those of columns are, where others are not.
        schemas: Those in which there is something, but for the usual one.
    """

    tables: Mapping[str, Table]
    indexes: Mapping[str, Index]
    things: Mapping[tuple[str, str], Thing]
    folds: bool = False
    folds_columns: bool = False
    schemas: frozenset[str] = frozenset()

    def key(self, name: str) -> str:
        """What two names have in common that mean the same."""
        return folded(name) if self.folds else name

    def column_key(self, name: str) -> str:
        """The same, of names of columns."""
        return folded(name) if self.folds or self.folds_columns else name

    def has_table(self, name: str) -> bool:
        """Whether it is there, as a table, or as a view that triggers and indexes may belong to."""
        key = self.key(name)
        return key in self.tables or any((kind, key) in self.things for kind in ("view", "materialized view"))


def made_at_once(shape: Shape) -> Shape:
    """The same of a schema in which nothing was ever renamed: there each name that a constraint has was given to it."""
    tables = {
        key: replace(table, constraints=tuple(replace(one, surely_named=True) for one in table.constraints))
        for key, table in shape.tables.items()
    }
    return replace(shape, tables=tables)
