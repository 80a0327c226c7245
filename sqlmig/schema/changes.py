"""What can be asked of one table, as values: gathered first, carried out together by the database's own means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from .unset import UNSET, Unset

if TYPE_CHECKING:
    from sqlalchemy import Column
    from sqlalchemy.sql.elements import ColumnElement, TextClause
    from sqlalchemy.types import TypeEngine

__all__ = [
    "UNSET",
    "AddCheck",
    "AddColumn",
    "AddForeignKey",
    "AddUnique",
    "AlterColumn",
    "Change",
    "ChangePrimaryKey",
    "Default",
    "DropColumn",
    "DropConstraint",
    "Expression",
    "Kind",
    "RenameColumn",
    "TableName",
    "TypeName",
    "Unset",
]


Expression: TypeAlias = "str | TextClause | ColumnElement[Any]"
"""SQL: text, `text()`, or a Core expression, whose values are written into it."""

TypeName: TypeAlias = "TypeEngine[Any] | type[TypeEngine[Any]] | str"
"""A SQLAlchemy type, or the name of the database's own."""

Default: TypeAlias = "Expression | int | float | bool | None"
"""A server default: a str is a literal, as in SQLAlchemy; an expression comes as `text()`; None is no default."""

Kind: TypeAlias = Literal["check", "unique", "foreign_key", "primary_key"]


@dataclass(frozen=True)
class TableName:
    """A table, and the schema (on SQLite an attached database) that it lies in."""

    schema: str | None
    name: str

    def __str__(self) -> str:
        # On SQLite a table is in main unless it is said to be elsewhere.
        return f"{self.schema}.{self.name}" if self.schema not in (None, "main") else self.name


@dataclass(frozen=True)
class AddColumn:
    """`column` is a copy that belongs to a Table of the table's name, so that its constraints and types compile."""

    column: Column[Any]


@dataclass(frozen=True)
class DropColumn:
    name: str
    cascade: bool = False


@dataclass(frozen=True)
class RenameColumn:
    old: str
    new: str


@dataclass(frozen=True)
class AlterColumn:
    """What is UNSET stays as it is."""

    name: str
    type_: TypeName | Unset = UNSET
    nullable: bool | Unset = UNSET
    server_default: Default | Unset = UNSET
    comment: str | Unset | None = UNSET
    collation: str | Unset | None = UNSET
    using: Expression | None = None
    """What becomes of the values that are there: an expression over the table's columns."""


@dataclass(frozen=True)
class AddCheck:
    name: str | None
    condition: Expression


@dataclass(frozen=True)
class AddUnique:
    name: str | None
    columns: Sequence[str]


@dataclass(frozen=True)
class AddForeignKey:
    name: str | None
    columns: Sequence[str]
    ref_table: TableName
    ref_columns: Sequence[str]
    ondelete: str | None = None
    onupdate: str | None = None
    deferrable: bool | None = None
    initially: str | None = None


@dataclass(frozen=True)
class ChangePrimaryKey:
    """No columns: no primary key."""

    columns: Sequence[str]


@dataclass(frozen=True)
class DropConstraint:
    """By name; or by kind, and by columns where there is more than one of the kind."""

    name: str | None = None
    kind: Kind | None = None
    columns: Sequence[str] | None = None


Change: TypeAlias = (
    AddColumn
    | DropColumn
    | RenameColumn
    | AlterColumn
    | AddCheck
    | AddUnique
    | AddForeignKey
    | ChangePrimaryKey
    | DropConstraint
)
