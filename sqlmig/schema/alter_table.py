"""AlterTable: several changes of one table, gathered in a `with` block and carried out together at its end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

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

    from sqlalchemy import Column

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
        holder = assembled(self._operations.connection, self._table, [column])
        self._changes.append(AddColumn(holder.columns[column.key]))

    def drop_column(self, name: str, *, cascade: bool = False) -> None:
        """Drop a column."""
        self._changes.append(DropColumn(name, cascade))

    def rename_column(self, old: str, new: str) -> None:
        """Rename a column; the changes after it use the new name."""
        self._changes.append(RenameColumn(old, new))

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
        self._changes.append(AlterColumn(name, type_, nullable, server_default, comment, collation, using))
        if new_name is not None:
            self._changes.append(RenameColumn(name, new_name))

    def create_check(self, name: str | None, condition: Expression) -> None:
        """Add a CHECK."""
        self._changes.append(AddCheck(name, condition))

    def create_unique(self, name: str | None, columns: Sequence[str]) -> None:
        """Add a UNIQUE constraint."""
        self._changes.append(AddUnique(name, _listed(columns)))

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
        target = table_name(ref_table)
        self._changes.append(
            AddForeignKey(
                name, _listed(columns), target, _listed(ref_columns), ondelete, onupdate, deferrable, initially
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
            raise TypeError("drop_constraint() needs a name, or a kind, or columns")
        self._changes.append(DropConstraint(name, _kind(kind), _listed(columns) if columns is not None else None))


def _listed(columns: Sequence[str]) -> list[str]:
    """One name is taken for a list of it."""
    return [columns] if isinstance(columns, str) else list(columns)


def _kind(kind: str | None) -> Any:
    """The kind, however it is spelled: "foreign_key", "FOREIGN KEY", "foreignkey"."""
    if kind is None:
        return None
    known = _KINDS.get("".join(kind.lower().replace("_", " ").split()))
    if known is None:
        raise ValueError(f"{kind!r} is no kind of constraint; there are check, unique, foreign_key and primary_key")
    return known
