"""Before a column or a table goes: what needs it is dropped along, where that was asked for, or stops it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...errors import ObjectInUse
from ..changes import DropColumn, TableName
from . import edits
from .carry_out import finish
from .definition import Constraint, folded
from .plan import TablePlan
from .planning import apply
from .tokens import quoted
from .users import (
    User,
    column_users,
    content_users,
    describe,
    foreign_key_user,
    readers_of_column,
    readers_of_table,
    rows_refer,
)

if TYPE_CHECKING:
    from .catalogue import Catalogue, ForeignKey

__all__ = ["let_go_of_column", "let_go_of_table", "refuse"]


def refuse(what: str, users: Sequence[User], why: str, hint: str = "") -> None:
    """
    Stop, where there are users.

    Raises:
        ObjectInUse: It lists them.
    """
    if users:
        raise ObjectInUse(
            f"The {what} is in use: {why}. Nothing was changed.",
            [user.what for user in users],
            hint=hint or "Drop these first, and create them again afterwards as they are to be.",
        )


def let_go_of_column(plan: TablePlan, change: DropColumn) -> None:
    """
    Drop what cannot be without a column; or refuse, which views, triggers and full-text tables always make it do.

    Raises:
        ObjectInUse: Something uses it.
    """
    column, catalogue = plan.column(change.name).name, plan.catalogue
    if folded(column) in plan.added:
        return
    users = column_users(catalogue, plan.table, plan.definition, plan.facts, column)
    kept = [*content_users(catalogue, plan.table, column), *_readers(plan, column, users)]
    what = f"column {plan.table}.{column}"
    if not change.cascade and users:
        refuse(what, users + kept, "this would lack it", "Drop these first, or along with it: cascade=True.")
    refuse(what, kept, "this would lack it")
    for user in users:
        _drop(plan, user)


def _readers(plan: TablePlan, column: str, users: Sequence[User]) -> list[User]:
    gone = [column, *(user.name for user in users if user.kind == "generated column")]
    found = {
        user.what: user for one in gone for user in readers_of_column(plan.catalogue, plan.table, plan.before, one)
    }
    return list(found.values())


def _drop(plan: TablePlan, user: User) -> None:
    if user.kind == "index":
        plan.catalogue.run(f"DROP INDEX {quoted(plan.table.schema or 'main')}.{quoted(user.name)}")
        plan.facts = plan.catalogue.facts(plan.table)
    elif user.constraint is not None:
        _drop_constraint(plan, user.constraint, user.what)
    elif user.kind == "generated column" and plan.definition.has_column(user.name):
        change = DropColumn(user.name, cascade=True)
        let_go_of_column(plan, change)
        apply(plan, change)
    elif user.table is not None and user.key is not None:
        drop_foreign_key(plan.catalogue, user.table, user.key)


def _drop_constraint(plan: TablePlan, wanted: Constraint, described: str) -> None:
    """Where a constraint stands changes with each that is dropped before it; what it is does not."""
    for found in plan.definition.all_constraints:
        alike = (found.kind, found.columns, found.target_columns) == (
            wanted.kind,
            wanted.columns,
            wanted.target_columns,
        )
        if alike and describe(plan.definition, found) == described:
            plan.definition = edits.drop_constraint(plan.definition, found)
            return


def drop_foreign_key(catalogue: Catalogue, owner: TableName, key: ForeignKey) -> None:
    """Drop a foreign key; the rows that refer stay as they are."""
    plan = TablePlan(catalogue, owner)
    ours, theirs = ([folded(names[side] or "") for names in key.columns] for side in (0, 1))
    for found in plan.definition.all_constraints:
        same = found.kind == "foreign_key" and [folded(name) for name in found.columns] == ours
        named = [folded(name) for name in found.target_columns or [""] * len(ours)]
        if same and folded(found.target or "") == folded(key.table) and named == theirs:
            plan.definition = edits.drop_constraint(plan.definition, found)
            break
    finish(plan)


def let_go_of_table(catalogue: Catalogue, table: TableName, *, cascade: bool) -> None:
    """
    Have no row deleted by the end of a table but its own.

    Under `foreign_keys`, DROP TABLE deletes the rows first, and ON DELETE does its work.

    Raises:
        ObjectInUse: Rows refer to the table; or a view, a trigger or a full-text table reads it.
    """
    keys = catalogue.foreign_keys_to(table)
    others = [(owner, key) for owner, key in keys if folded(owner.name) != folded(table.name)]
    users = [foreign_key_user(owner, key) for owner, key in others if cascade or rows_refer(catalogue, owner, key)]
    kept = [*content_users(catalogue, table), *readers_of_table(catalogue, table)]
    if not cascade and users:
        refuse(
            f"table {table}", users + kept, "this would lack it", "Drop these first, or along with it: cascade=True."
        )
    refuse(f"table {table}", kept, "this would lack it")
    for owner, key in others if cascade else ():
        drop_foreign_key(catalogue, owner, key)
    for owner, key in keys:
        if folded(owner.name) == folded(table.name):
            drop_foreign_key(catalogue, owner, key)
