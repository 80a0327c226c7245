"""AlterTable: several changes of one table, gathered in a `with` block and carried out together at its end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import Column

from ..errors import UnsupportedChange
from .changes import (
    UNSET,
    AddCheck,
    AddColumn,
    AddForeignKey,
    AddUnique,
    AlterColumn,
    Change,
    ChangePrimaryKey,
    Default,
    DropColumn,
    DropConstraint,
    Expression,
    Kind,
    RenameColumn,
    TypeName,
    Unset,
)
from .items import assembled
from .names import table_name

if TYPE_CHECKING:
    from types import TracebackType

    from .operations import Operations

__all__ = ["AlterTable"]

_KINDS = {
    "check": "check",
    "unique": "unique",
    "foreignkey": "foreign_key",
    "fk": "foreign_key",
    "primarykey": "primary_key",
    "primary": "primary_key",
    "pk": "primary_key",
}


class AlterTable:
    """
    Changes of one table; each method is that of `Operations`, without the table.

    Nothing happens before the end of the block, and nothing at all if the block raises.
    """

    def __init__(self, operations: Operations, table: str) -> None:
        self._operations, self._table = operations, table
        self._changes: list[Change] = []
        self._indexes: list[tuple[str, str, bool]] = []

    def __enter__(self) -> AlterTable:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._operations.alter(self._table, self._changes)

    def add_column(self, column: Column[Any]) -> None:
        """Add a column."""
        if not isinstance(column, Column):
            raise self._wrong(f"a new column is a SQLAlchemy Column, and not {column!r}")
        holder = assembled(self._operations.connection, self._table, [column])
        self._changes.append(AddColumn(holder.columns[column.key]))

    def drop_column(self, name: str, *, cascade: bool = False) -> None:
        """Drop a column."""
        self._changes.append(DropColumn(name, cascade))

    def rename_column(self, old: str, new: str) -> None:
        """Rename a column; the changes after it use the new name."""
        self._changes.append(RenameColumn(self._name(old), self._name(new)))

    def alter_column(
        self,
        name: str,
        *,
        type_: TypeName | Unset = UNSET,
        nullable: bool | Unset = UNSET,
        server_default: Default | Unset = UNSET,
        new_name: str | None = None,
        comment: str | Unset | None = UNSET,
        collation: str | Unset | None = UNSET,
        using: Expression | None = None,
    ) -> None:
        """Change what is named of a column."""
        if nullable is not UNSET and not isinstance(nullable, bool):
            raise self._wrong(f"nullable is True or False, and not {nullable!r}")
        if type_ is None or isinstance(type_, int):
            raise self._wrong(f"a type is one of SQLAlchemy's or its name, and not {type_!r}")
        self._changes.append(AlterColumn(self._name(name), type_, nullable, server_default, comment, collation, using))
        if new_name is not None:
            self._changes.append(RenameColumn(name, self._name(new_name)))

    def create_check(self, name: str | None, condition: Expression) -> None:
        """Add a CHECK."""
        if condition is None or (isinstance(condition, str) and not condition.strip()):
            raise self._wrong(f"the CHECK {name or ''} has no condition")
        self._changes.append(AddCheck(name, condition))

    def create_unique(self, name: str | None, columns: Sequence[str]) -> None:
        """Add a UNIQUE constraint."""
        self._changes.append(AddUnique(name, self._columns(columns)))

    def create_foreign_key(
        self,
        name: str | None,
        columns: Sequence[str],
        ref_table: str,
        ref_columns: Sequence[str],
        *,
        ondelete: str | None = None,
        onupdate: str | None = None,
        deferrable: bool | None = None,
        initially: str | None = None,
    ) -> None:
        """Add a foreign key."""
        if not isinstance(ref_table, str):
            raise self._wrong(
                "create_foreign_key takes the table, the name, the columns, the table that they refer to, and its"
                f" columns; {ref_table!r} is no table"
            )
        target = table_name(ref_table)
        self._changes.append(
            AddForeignKey(
                name, self._columns(columns), target, _listed(ref_columns), ondelete, onupdate, deferrable, initially
            )
        )

    def change_primary_key(self, columns: Sequence[str] | None) -> None:
        """Take another primary key; no columns: none."""
        self._changes.append(ChangePrimaryKey(_listed(columns or ())))

    def drop_constraint(
        self, *, name: str | None = None, kind: Kind | None = None, columns: Sequence[str] | None = None
    ) -> None:
        """Drop a constraint, by its name, or by its kind and its columns."""
        if name is None and kind is None and columns is None:
            raise self._wrong("drop_constraint needs name=, or kind=, or columns=")
        if kind is not None and _kind(kind) is None:
            raise self._wrong(f"{kind!r} is no kind of constraint: check, unique, foreign_key or primary_key")
        self._changes.append(DropConstraint(name, _kind(kind), _listed(columns) if columns is not None else None))

    def _columns(self, columns: Sequence[str]) -> list[str]:
        listed = _listed(columns) if columns is not None else []
        if not listed or len(set(listed)) < len(listed):
            raise self._wrong(f"a constraint is over different columns, at least one, and not {columns!r}")
        return [self._name(name) for name in listed]

    def _name(self, name: str) -> str:
        if not isinstance(name, str) or not name:
            raise self._wrong(f"{name!r} is no name of a column")
        return name

    def _wrong(self, why: str) -> UnsupportedChange:
        return UnsupportedChange(
            f"The call about {self._table} cannot be understood; nothing was changed.",
            table=self._table,
            facts=why,
            hint="Look at the arguments.",
        )


def _listed(columns: Sequence[str]) -> list[str]:
    """One name is taken for a list of it."""
    return [columns] if isinstance(columns, str) else list(columns)


def _kind(kind: str | None) -> Any:
    """The kind, however it is spelled: "foreign_key", "FOREIGN KEY", "foreignkey"."""
    if kind is None:
        return None
    return _KINDS.get("".join(kind.lower().replace("_", " ").split()))
