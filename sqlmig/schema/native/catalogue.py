"""What a server's catalogue knows of a table: its columns and constraints, and what uses them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from sqlalchemy import text

from ...errors import NoSuchObject, UnsupportedChange, WrongObject
from ..changes import Kind, TableName
from ..ddl import Statement

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

__all__ = ["Catalogue", "Constraint", "IndexPlace", "User"]


@dataclass(frozen=True)
class Constraint:
    """A constraint of a table, and the statement that drops it."""

    name: str
    kind: Kind
    columns: Sequence[str]
    drop: Statement = field(compare=False)

    def __str__(self) -> str:
        return f"{self.kind.replace('_', ' ')} {self.name} ({', '.join(self.columns)})"


@dataclass(frozen=True)
class User:
    """Something that uses a column or a table; without *drop*, it is never dropped along."""

    kind: str
    name: str
    table: TableName
    drop: Statement | None = field(default=None, compare=False)

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


@dataclass(frozen=True)
class IndexPlace:
    """Where an index lies, and the constraint that it serves."""

    table: TableName
    constraint: str | None = None


class Catalogue(ABC):
    """
    Answers from one server's catalogue; it never writes to the database.

    Names are compared as the server compares them.
    """

    transactional_ddl: ClassVar[bool]
    longest_name: ClassVar[int]

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    @abstractmethod
    def kind_of(self, name: TableName) -> str | None:
        """ "table", "view", or what else has the name."""

    @abstractmethod
    def names(self, kind: str, schema: str | None) -> list[str]:
        """The tables or the views of a schema."""

    @abstractmethod
    def columns(self, table: TableName) -> list[str]:
        """The columns of a table or view, in their order."""

    @abstractmethod
    def key(self, table: TableName) -> list[str]:
        """The columns of the primary key."""

    @abstractmethod
    def constraints(self, table: TableName) -> list[Constraint]:
        """Every CHECK, UNIQUE, FOREIGN KEY and the primary key."""

    @abstractmethod
    def key_users(self, table: TableName) -> list[User]:
        """The foreign keys that refer to the primary key's columns."""

    @abstractmethod
    def column_users(self, table: TableName, column: str) -> list[User]:
        """What uses a column, but for what is part of its definition; what must be dropped first comes first."""

    @abstractmethod
    def column_readers(self, table: TableName, column: str) -> list[User]:
        """The views and triggers that would go on using a renamed column's old name."""

    @abstractmethod
    def table_users(self, table: TableName) -> list[User]:
        """What would lack a table that is dropped."""

    @abstractmethod
    def table_readers(self, table: TableName) -> list[User]:
        """The views and triggers that would go on using a renamed table's old name."""

    @abstractmethod
    def view_users(self, view: TableName) -> list[User]:
        """The views that read from a view."""

    @abstractmethod
    def indexes(self, index: str, table: TableName | None, schema: str | None) -> list[IndexPlace]:
        """Where an index of that name lies."""

    @abstractmethod
    def index_names(self, table: TableName | None, schema: str | None) -> list[str]:
        """The indexes of a table or of a schema."""

    @abstractmethod
    def triggers(self, name: str | None, table: TableName | None) -> list[tuple[str, TableName]]:
        """The triggers of that name, or all, each with its table."""

    def name_length(self, name: str) -> int:
        """How much of `longest_name` a name takes."""
        return len(name)

    def same(self, one: str, other: str) -> bool:
        """Whether two names of columns or constraints mean the same."""
        return one == other

    def require_name(self, name: str) -> None:
        """
        Return if the server would take the name as it is.

        Raises:
            UnsupportedChange: It is empty or too long; PostgreSQL would cut it and say nothing.
        """
        limit = self.longest_name
        if not name or self.name_length(name) > limit:
            raise UnsupportedChange(
                f"The name {name!r} cannot be had: the database takes 1 to {limit} characters; nothing was changed.",
                hint="Take another name.",
            )

    def require(self, name: TableName, kind: str = "table") -> None:
        """
        Return if there is such a table, or view.

        Raises:
            NoSuchObject: There is nothing of that name.
            WrongObject: It is something else.
        """
        found = self.kind_of(name)
        if found is None:
            raise NoSuchObject(kind, str(name), self.names(kind, name.schema), table=str(name))
        if found != kind:
            raise WrongObject(
                f"{name} is a {found} and not a {kind}; nothing was changed.",
                table=str(name),
                hint=f"Name a {kind}, or use the operation for a {found}.",
            )

    def column(self, table: TableName, name: str) -> str:
        """
        The column, as it is spelled in the database.

        Raises:
            NoSuchObject: The table has no such column.
        """
        known = self.columns(table)
        for column in known:
            if self.same(column, name):
                return column
        raise NoSuchObject("column", name, known, table=str(table))

    def rows(self, sql: str, **values: Any) -> Sequence[Any]:
        """What a query of the catalogue gives."""
        return self.connection.execute(text(sql), values).all()
