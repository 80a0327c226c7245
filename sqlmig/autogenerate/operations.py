"""The operation that makes one part of a schema, or takes it away, written as a statement."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import CheckConstraint, Column, ForeignKeyConstraint, UniqueConstraint
from sqlalchemy.schema import AddConstraint, Constraint, DropTableComment, SetTableComment

from ..drift import shape as shapes
from ..drift.compare import Difference
from ..schema.ddl import plain
from .code import Node, Raw, literal
from .conversions import may_lose
from .item_source import ItemSource, name_of_constraint, target_of
from .statements import Statement
from .target import IndexSource, Target
from .things import execute, sql_name

if TYPE_CHECKING:
    from sqlalchemy import Table

__all__ = ["Operations", "condition_of"]

_KINDS = {"foreign key": "foreign_key", "primary key": "primary_key", "unique": "unique", "check": "check"}
_REFERENCE_WORDS = ("ondelete", "onupdate", "deferrable", "initially")


class Operations:
    """
    Writes statements towards a target.

    Args:
        back: Whether they take back what others did, so that what goes was made by those.
    """

    def __init__(self, target: Target, *, back: bool = False) -> None:
        self.target, self.dialect, self.back = target, target.dialect, back

    # Tables

    def create_table(self, name: str, table: Table, without: Collection[ForeignKeyConstraint] = ()) -> Statement:
        """Create a table, with all but its indexes and the foreign keys that must wait."""
        items = ItemSource(self.dialect)
        args = items.table(table, name, without)
        return Statement("create_table", tuple(args), text=f"create table {name}", imports=items.imports)

    def drop_table(self, name: str, *, cascade: bool = False) -> Statement:
        """Drop a table, and with *cascade* the foreign keys of others to it."""
        options = (("cascade", Raw("True")),) if cascade else ()
        return Statement(
            "drop_table", (literal(name),), options, text=f"drop table {name}", removes=() if self.back else (name,)
        )

    def rename_table(self, old: str, new: str) -> Statement:
        """Rename a table."""
        place = f"{new.rpartition('.')[0]}."
        return Statement(
            "rename_table", (literal(old), literal(new.removeprefix(place))), text=f"rename table {old} to {new}"
        )

    def comment_table(self, table: Table) -> Statement:
        """Give a table the comment that it is to have, or none."""
        change = SetTableComment(table) if table.comment is not None else DropTableComment(table)
        return execute(plain(self.dialect, change), f"comment on table {table.fullname}")

    # Columns

    def rename_column(self, table: str, old: str, new: str) -> Statement:
        """Rename a column."""
        return Statement(
            "rename_column", (literal(old), literal(new)), table=table, text=f"rename column {table}.{old} to {new}"
        )

    def add_column(
        self, table: str, column: Column[Any], *, keys: Collection[ForeignKeyConstraint] = (), unique: bool = False
    ) -> Statement:
        """Add a column, with what constraints of it can be said with it."""
        items = ItemSource(self.dialect)
        node = items.column(column, keys=keys, unique=unique, primary=False)
        filled = column.server_default is not None or column.computed is not None or column.identity is not None
        notes = []
        if not column.nullable and not filled:
            notes.append(
                f"{table}.{column.name} is NOT NULL without a server_default: this stops where {table} has rows."
                " Give it one, or add it with nullable=True, fill it (self.backfill, or an UPDATE), and then"
                " alter_column(nullable=False)."
            )
        return Statement(
            "add_column",
            (node,),
            table=table,
            text=f"add column {table}.{column.name}",
            notes=tuple(notes),
            imports=items.imports,
        )

    def drop_column(self, table: str, column: shapes.Column, *, cascade: bool, alone: bool = False) -> Statement:
        """Drop a column, and with *cascade* what is over it."""
        # The guards of servers count what is computed as well.
        loses = not self.back and (column.generated is None or self.dialect.name != "sqlite")
        return Statement(
            "drop_column",
            (literal(column.name),),
            (("cascade", Raw("True")),) if cascade else (),
            table=table,
            text=f"drop column {table}.{column.name}",
            removes=(f"{table}.{column.name}",) if loses else (),
            alone=alone,
        )

    def alter_column(self, table: str, found: Difference, column: Column[Any]) -> Statement | None:
        """Change what differs of a column; None where there is no operation for any of it."""
        items = ItemSource(self.dialect)
        wanted, there = found.left, found.right
        assert isinstance(wanted, shapes.Column)
        assert isinstance(there, shapes.Column)
        options: list[tuple[str, Node]] = []
        notes: list[str] = []
        if "type" in found.facets:
            options.append(("type_", items.type(column)))
            if may_lose(there.type, wanted.type):
                notes.append(
                    f"{table}.{column.name} was {there.type or 'of no type'}, and is to be"
                    f" {wanted.type or 'of none'}: values that it cannot hold stop this."
                    " Say what becomes of them: using=."
                )
        if "collation" in found.facets:
            options.append(("collation", literal(wanted.collation)))
        if "nullable" in found.facets:
            options.append(("nullable", Raw(str(wanted.nullable))))
            if not wanted.nullable:
                notes.append(
                    f"This stops where {table}.{column.name} is NULL in a row. Fill it before:"
                    f" self.execute_sql('UPDATE {table} SET {column.name} = ... WHERE {column.name} IS NULL')."
                )
        if "default" in found.facets:
            options.append(("server_default", items.default(column) or Raw("None")))
        if "comment" in found.facets:
            options.append(("comment", literal(wanted.comment)))
        if not options:
            return None
        changed = ", ".join(facet for facet in found.facets)
        return Statement(
            "alter_column",
            (literal(column.name),),
            tuple(options),
            table=table,
            text=f"alter column {table}.{column.name}: {changed}",
            notes=tuple(notes),
            imports=items.imports,
        )

    # Constraints

    def change_key(self, table: str, columns: Sequence[str]) -> Statement:
        """Take another primary key."""
        there = self.target.table(table)
        names = [self._spelled(table, name) for name in columns] if there is not None else list(columns)
        return Statement(
            "change_primary_key",
            (literal(names),),
            table=table,
            text=f"primary key of {table}: {', '.join(names) or 'none'}",
        )

    def create_constraint(self, table: str, wanted: shapes.Constraint) -> Statement | None:
        """Make a constraint of the target; None where there is no operation for it."""
        made = self.target.constraint(table, wanted)
        text = f"add {_called(wanted)} to {table}"
        index = self.target.index_named(table, wanted.name) if made is None and wanted.name is not None else None
        if index is not None:
            # On MariaDB and MySQL a unique index is a constraint.
            return self.made_index(index, table, text)
        if made is not None and self._goes_beyond(made):
            return execute(plain(self.dialect, AddConstraint(made)), text) if self._alters else None
        items = ItemSource(self.dialect)
        names = literal([self._spelled(table, name) for name in wanted.columns])
        given = None if made is None or not self.target.given_names else name_of_constraint(made, self.dialect)
        name = literal(given or wanted.name)
        match wanted.kind:
            case "unique" if made is not None:
                return Statement("create_unique", (name, names), table=table, text=text)
            case "check":
                condition = items.sql(made.sqltext) if isinstance(made, CheckConstraint) else condition_of(wanted)
                return Statement("create_check", (name, literal(condition)), table=table, text=text)
            case "foreign key" if isinstance(made, ForeignKeyConstraint):
                parent, there = target_of(made)
                said = [(word, getattr(made, word)) for word in _REFERENCE_WORDS]
                options = tuple((word, literal(value)) for word, value in said if value is not None)
                args = (name, names, literal(parent), literal(there))
                return Statement("create_foreign_key", args, options, table=table, text=text)
        if not self._alters:
            return None
        if made is not None:
            return execute(plain(self.dialect, AddConstraint(made)), text)
        words = f"CONSTRAINT {sql_name(self.dialect, wanted.name)} " if wanted.name is not None else ""
        return execute(f"ALTER TABLE {sql_name(self.dialect, table)} ADD {words}{wanted.definition.shown}", text)

    def drop_constraint(
        self, table: str, there: shapes.Constraint, name: str | None, columns: Sequence[str]
    ) -> Statement:
        """
        Drop a constraint.

        Args:
            name: That by which it is dropped, if by one.
            columns: Those that it is over, as they are spelled; of a CHECK, those that are in it.
        """
        if name is not None:
            options: tuple[tuple[str, Node], ...] = (("name", literal(name)),)
        else:
            options = (("kind", literal(_KINDS.get(there.kind, there.kind))), ("columns", literal(list(columns))))
        text = f"drop {_called(there)} of {table}"
        return Statement("drop_constraint", (), options, table=table, text=text)

    @property
    def _alters(self) -> bool:
        return self.dialect.supports_alter

    def _goes_beyond(self, made: Constraint) -> bool:
        """Whether it says something that the operations have no word for."""
        own = f"{self.dialect.name}_"
        if any(value for name, value in made.dialect_kwargs.items() if name.startswith(own)):
            return True
        if getattr(made, "match", None) is not None:
            return True
        return isinstance(made, UniqueConstraint) and (made.deferrable is not None or made.initially is not None)

    def _spelled(self, table: str, name: str) -> str:
        column = self.target.column(table, name)
        return name if column is None else str(column.name)

    # Indexes

    def create_index(self, wanted: shapes.Index) -> Statement | None:
        """Make an index of the target."""
        found = self.target.index(wanted)
        text = f"create index {wanted.name} on {wanted.table}"
        return None if found is None else self.made_index(found, wanted.table, text)

    @staticmethod
    def made_index(found: IndexSource, table: str, text: str) -> Statement:
        """Make an index of which all is known."""
        if found.statement is not None:
            return execute(found.statement, text)
        options: list[tuple[str, Node]] = []
        if found.unique:
            options.append(("unique", Raw("True")))
        if found.where is not None:
            options.append(("where", literal(found.where)))
        args = (literal(found.name), literal(table), literal(list(found.keys)))
        return Statement("create_index", args, tuple(options), text=text)

    def drop_index(self, there: shapes.Index) -> Statement:
        """Drop an index."""
        place = there.table.rpartition(".")[0]
        name = there.name.removeprefix(f"{place}.") if place else there.name
        args = (literal(name), literal(there.table))
        return Statement("drop_index", args, text=f"drop index {there.name} of {there.table}")


def _called(constraint: shapes.Constraint) -> str:
    return f"{constraint.kind} {constraint.name}" if constraint.name else str(constraint.definition)


def condition_of(check: shapes.Constraint) -> str:
    """What stands in the parentheses of a CHECK."""
    said = check.definition.shown.strip()
    head, _, rest = said.partition("(")
    return rest.rpartition(")")[0].strip() if head.strip().upper() == "CHECK" else said
