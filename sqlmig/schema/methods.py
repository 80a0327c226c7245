"""SchemaMethods: the operations as methods of a migration."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

from .unset import UNSET, Unset

if TYPE_CHECKING:
    from sqlalchemy import Column, Table
    from sqlalchemy.schema import SchemaItem
    from sqlalchemy.sql import Executable
    from sqlalchemy.sql.elements import ColumnElement, TextClause

    from .alter_table import AlterTable
    from .changes import Default, Expression, Kind, TypeName
    from .operations import Operations

__all__ = ["SchemaMethods"]


class SchemaMethods:
    """
    Each does what the method of `Operations` of the same name says, in the migration's transaction.

    Outside one, each is a transaction of its own.
    """

    def _operations(self) -> AbstractContextManager[Operations]:
        raise NotImplementedError

    @contextmanager
    def alter_table(self, table: str) -> Iterator[AlterTable]:
        """Gather several changes of one table, and carry them out together at the end of the `with` block."""
        with self._operations() as operations, operations.alter_table(table) as changes:
            yield changes

    def create_table(self, table: str | Table, *items: SchemaItem, if_not_exists: bool = False) -> bool:
        """Create a table with its indexes."""
        with self._operations() as operations:
            return operations.create_table(table, *items, if_not_exists=if_not_exists)

    def drop_table(self, table: str, *, if_exists: bool = False, cascade: bool = False) -> bool:
        """Drop a table, and no row of another."""
        with self._operations() as operations:
            return operations.drop_table(table, if_exists=if_exists, cascade=cascade)

    def rename_table(self, old: str, new: str, *, if_exists: bool = False) -> bool:
        """Rename a table, which stays in its schema; indexes, triggers, views and foreign keys follow."""
        with self._operations() as operations:
            return operations.rename_table(old, new, if_exists=if_exists)

    def add_column(self, table: str, column: Column[Any], *, if_not_exists: bool = False) -> bool:
        """Add a column; rows that are there get its server default."""
        with self._operations() as operations:
            return operations.add_column(table, column, if_not_exists=if_not_exists)

    def drop_column(self, table: str, name: str, *, if_exists: bool = False, cascade: bool = False) -> bool:
        """Drop a column and what it held."""
        with self._operations() as operations:
            return operations.drop_column(table, name, if_exists=if_exists, cascade=cascade)

    def rename_column(self, table: str, old: str, new: str, *, if_exists: bool = False) -> bool:
        """Rename a column; indexes, constraints, triggers, views and foreign keys follow."""
        with self._operations() as operations:
            return operations.rename_column(table, old, new, if_exists=if_exists)

    def alter_column(
        self,
        table: str,
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
        """Change what is named of a column, and nothing else."""
        with self._operations() as operations:
            operations.alter_column(
                table,
                name,
                type_=type_,
                nullable=nullable,
                server_default=server_default,
                new_name=new_name,
                comment=comment,
                collation=collation,
                using=using,
            )

    def create_check(self, table: str, name: str | None, condition: Expression, *, if_not_exists: bool = False) -> bool:
        """Add a CHECK that every row fulfils."""
        with self._operations() as operations:
            return operations.create_check(table, name, condition, if_not_exists=if_not_exists)

    def create_unique(
        self, table: str, name: str | None, columns: Sequence[str], *, if_not_exists: bool = False
    ) -> bool:
        """Add a UNIQUE constraint."""
        with self._operations() as operations:
            return operations.create_unique(table, name, columns, if_not_exists=if_not_exists)

    def create_foreign_key(
        self,
        table: str,
        name: str | None,
        columns: Sequence[str],
        ref_table: str,
        ref_columns: Sequence[str],
        *,
        ondelete: str | None = None,
        onupdate: str | None = None,
        deferrable: bool | None = None,
        initially: str | None = None,
        if_not_exists: bool = False,
    ) -> bool:
        """Add a foreign key."""
        with self._operations() as operations:
            return operations.create_foreign_key(
                table,
                name,
                columns,
                ref_table,
                ref_columns,
                ondelete=ondelete,
                onupdate=onupdate,
                deferrable=deferrable,
                initially=initially,
                if_not_exists=if_not_exists,
            )

    def change_primary_key(self, table: str, columns: Sequence[str]) -> None:
        """Give a table another primary key; no columns: none."""
        with self._operations() as operations:
            operations.change_primary_key(table, columns)

    def drop_constraint(
        self,
        table: str,
        *,
        name: str | None = None,
        kind: Kind | None = None,
        columns: Sequence[str] | None = None,
        if_exists: bool = False,
    ) -> bool:
        """Drop a constraint, by its name, or by its kind and its columns where it has none."""
        with self._operations() as operations:
            return operations.drop_constraint(table, name=name, kind=kind, columns=columns, if_exists=if_exists)

    def create_index(
        self,
        index: str,
        table: str,
        columns: Sequence[str | ColumnElement[Any] | TextClause],
        *,
        unique: bool = False,
        where: Expression | None = None,
        if_not_exists: bool = False,
    ) -> bool:
        """Create an index over columns or expressions."""
        with self._operations() as operations:
            return operations.create_index(
                index, table, columns, unique=unique, where=where, if_not_exists=if_not_exists
            )

    def drop_index(self, index: str, table: str | None = None, *, if_exists: bool = False) -> bool:
        """Drop an index; *table* says whose, where each has names of its own."""
        with self._operations() as operations:
            return operations.drop_index(index, table, if_exists=if_exists)

    def create_view(self, name: str, query: str | Executable, *, if_not_exists: bool = False) -> bool:
        """Create a view."""
        with self._operations() as operations:
            return operations.create_view(name, query, if_not_exists=if_not_exists)

    def drop_view(self, name: str, *, if_exists: bool = False) -> bool:
        """Drop a view that no other view uses."""
        with self._operations() as operations:
            return operations.drop_view(name, if_exists=if_exists)

    def create_trigger(self, name: str, definition: str, *, if_not_exists: bool = False) -> bool:
        """Create a trigger."""
        with self._operations() as operations:
            return operations.create_trigger(name, definition, if_not_exists=if_not_exists)

    def drop_trigger(self, name: str, table: str | None = None, *, if_exists: bool = False) -> bool:
        """Drop a trigger; *table* says whose, where each has names of its own."""
        with self._operations() as operations:
            return operations.drop_trigger(name, table, if_exists=if_exists)
