"""The changes of one table that is there and stays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sqlalchemy import ForeignKeyConstraint, UniqueConstraint

from ..drift import shape as shapes
from ..drift.compare import Difference
from ..schema.sqlite.tokens import refers_to
from .item_source import checks_of_type
from .server_changes import modified, numbered, renamed_key, unnumbered

if TYPE_CHECKING:
    from .changes import Changes

__all__ = ["TableChanges"]


class TableChanges:
    """
    What differs of one table, put right.

    First goes what is to go or to be another, then come columns and constraints, and columns that hold data go last.
    """

    def __init__(self, changes: Changes, table: str) -> None:
        self.changes, self.table = changes, table
        self.operations, self.target = changes.operations, changes.target
        self._given: list[shapes.Constraint] = []

    def run(self, found: Sequence[Difference]) -> None:
        """
        Do it.

        Args:
            found: The differences of the table.
        """
        columns = [one for one in found if one.kind == "column"]
        constraints = [one for one in found if isinstance(one.left or one.right, shapes.Constraint)]
        gone = [one.right for one in columns if one.left is None and isinstance(one.right, shapes.Column)]
        changed = [one for one in columns if one.left is not None and one.right is not None]
        anew = [one for one in changed if "generated" in one.facets]
        self._drop_constraints(constraints, gone)
        for one in anew:
            if isinstance(one.right, shapes.Column):
                self._drop_column(one.right, alone=True)
        for column in gone:
            if column.generated is not None:
                self._drop_column(column)
        self._drop_computed(changed)
        new = [one.left for one in columns if isinstance(one.left, shapes.Column) and (not one.right or one in anew)]
        for column in (one for one in new if one.generated is None):
            self._add_column(column, constraints)
        for one in changed:
            if one not in anew:
                self._stop_numbering(one)
                self._alter_column(one)
        # What is computed keeps the type of what it is computed of.
        for column in (one for one in new if one.generated is not None):
            self._add_column(column, constraints)
        self._make_constraints(constraints)
        for one in changed:
            if one not in anew:
                self._number(one)
        for column in gone:
            if column.generated is None:
                self._drop_column(column)

    def _drop_computed(self, changed: Sequence[Difference]) -> None:
        """On servers a column keeps its type as long as another is computed of it; that one is made again."""
        table = self.changes.shape.tables.get(self.changes.shape.key(self.table))
        retyped = [one.name for one in changed if "type" in one.facets]
        if self._dialect == "sqlite" or table is None:
            return
        for column in table.columns:
            said = column.generated.shown if column.generated is not None else ""
            if any(refers_to(said, name) for name in retyped):
                self._drop_column(column, alone=True)

    @property
    def _dialect(self) -> str:
        return self.changes.ground.dialect.name

    def _stop_numbering(self, found: Difference) -> None:
        wanted, there = found.left, found.right
        if not isinstance(wanted, shapes.Column) or not isinstance(there, shapes.Column) or there.identity is None:
            return
        column = self.target.column(self.table, found.name)
        if "identity" not in found.facets or column is None:
            return
        if self._dialect == "postgresql":
            both = wanted.identity is not None and wanted.identity.split()[0] == there.identity.split()[0] == "SERIAL"
            if not both:
                self.changes.do(unnumbered(self.changes.ground.dialect, self.table, there))
        elif self._dialect in ("mysql", "mariadb"):
            self.changes.do(modified(self.changes.ground.dialect, self.table, column))

    def _number(self, found: Difference) -> None:
        wanted, there = found.left, found.right
        column = self.target.column(self.table, found.name)
        if not isinstance(wanted, shapes.Column) or not isinstance(there, shapes.Column) or wanted.identity is None:
            return
        if "identity" not in found.facets or column is None:
            return
        if self._dialect == "postgresql":
            for statement in numbered(self.changes, self.table, wanted, there):
                self.changes.do(statement)
        elif self._dialect in ("mysql", "mariadb"):
            self.changes.do(modified(self.changes.ground.dialect, self.table, column))

    def _drop_constraints(self, found: Sequence[Difference], gone: Sequence[shapes.Column]) -> None:
        for one in found:
            there = one.right
            if not isinstance(there, shapes.Constraint) or one.kind == "primary key":
                continue
            names = self.changes.spelled(self.table, there)
            if one.left is None and any(column.name in names for column in gone):
                # It goes along with its column.
                continue
            if there in self._there:
                self.changes.drop_constraint(self.table, there)

    @property
    def _there(self) -> tuple[shapes.Constraint, ...]:
        table = self.changes.shape.tables.get(self.changes.shape.key(self.table))
        return table.constraints if table is not None else ()

    def _drop_column(self, column: shapes.Column, *, alone: bool = False) -> None:
        self.changes.do(
            self.operations.drop_column(self.table, column, cascade=self._is_used(column.name), alone=alone)
        )

    def _is_used(self, name: str) -> bool:
        """Whether anything is over the column, or another table refers to it."""
        shape = self.changes.shape
        table = shape.tables.get(shape.key(self.table))
        if table is None:
            return False
        over = any(name in self.changes.spelled(self.table, one) for one in table.constraints)
        computed = any(
            other.generated is not None and refers_to(other.generated.shown, name)
            for other in table.columns
            if other.name != name
        )
        indexed = any(
            shape.key(index.table) == shape.key(self.table) and refers_to(index.definition.shown, name)
            for index in shape.indexes.values()
        )
        referred = any(
            shape.key(one.parent or "") == shape.key(self.table) and refers_to(one.definition.shown, name)
            for other in shape.tables.values()
            for one in other.constraints
            if one.kind == "foreign key" and other is not table
        )
        return over or computed or indexed or referred

    def _add_column(self, wanted: shapes.Column, constraints: Sequence[Difference]) -> None:
        column = self.target.column(self.table, wanted.name)
        if column is None:
            return
        key = self.changes.shape.column_key
        alone = (key(wanted.name),)
        keys: list[ForeignKeyConstraint] = []
        unique = False
        for one in constraints:
            new = one.left
            if not isinstance(new, shapes.Constraint) or one.right is not None:
                continue
            if tuple(map(key, new.columns)) != alone:
                continue
            made = self.target.constraint(self.table, new)
            if isinstance(made, ForeignKeyConstraint) and not keys and self._can_come(made, new):
                keys.append(made)
                self._given.append(new)
            elif isinstance(made, UniqueConstraint) and not unique and new.name is None and made.deferrable is None:
                unique = not made.dialect_kwargs
                self._given += [new] if unique else []
        if not self.changes.do(self.operations.add_column(self.table, column, keys=keys, unique=unique)):
            self._given = [one for one in self._given if tuple(map(key, one.columns)) != alone]
        elif checks_of_type(column, self.target.dialect):
            still = [one.left for one in self.changes.of_kind("check")]
            checks = [
                one.left for one in constraints if isinstance(one.left, shapes.Constraint) and one.kind == "check"
            ]
            self._given += [check for check in checks if check not in still]

    def _can_come(self, made: ForeignKeyConstraint, wanted: shapes.Constraint) -> bool:
        """Whether a foreign key can be said with its column."""
        itself = self.changes.shape.key(wanted.parent or "") == self.changes.shape.key(self.table)
        return not itself and self.changes.is_ready(self.table, wanted) and not made.dialect_kwargs

    def _alter_column(self, found: Difference) -> None:
        column = self.target.column(self.table, found.name)
        if column is not None:
            self.changes.do(self.operations.alter_column(self.table, found, column))

    def _make_constraints(self, found: Sequence[Difference]) -> None:
        order = {"primary key": 0, "unique": 1, "check": 2, "exclude": 3, "foreign key": 4}
        for one in sorted(found, key=lambda one: order.get(one.kind, 3)):
            wanted = one.left
            if one.kind == "primary key":
                self._change_key(one)
            elif isinstance(wanted, shapes.Constraint) and wanted not in self._given and self._is_time(wanted):
                self.changes.do(self.operations.create_constraint(self.table, wanted))

    def _change_key(self, found: Difference) -> None:
        wanted, there = found.left, found.right
        if found.facets == ("name",) and isinstance(wanted, shapes.Constraint) and isinstance(there, shapes.Constraint):
            self.changes.do(renamed_key(self.changes.ground.dialect, self.table, wanted.name, there.name))
            return
        columns = wanted.columns if isinstance(wanted, shapes.Constraint) else ()
        self.changes.do(self.operations.change_key(self.table, columns))

    def _is_time(self, wanted: shapes.Constraint) -> bool:
        return wanted.kind != "foreign key" or self.changes.is_ready(self.table, wanted)
