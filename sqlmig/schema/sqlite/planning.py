"""Changes put into a plan, one by one."""

from __future__ import annotations

from ...errors import UnsupportedChange
from ..changes import (
    AddCheck,
    AddColumn,
    AddForeignKey,
    AddUnique,
    AlterColumn,
    Change,
    ChangePrimaryKey,
    DropColumn,
    DropConstraint,
)
from .column_changes import add_column, alter_column, drop_column
from .constraint_changes import add_check, add_foreign_key, add_unique, change_primary_key, drop_constraint
from .plan import TablePlan
from .reader import DefinitionError

__all__ = ["apply"]


def apply(plan: TablePlan, change: Change) -> None:
    """
    Plan one more change.

    Raises:
        SchemaError: It cannot be, whatever the rows are.
    """
    try:
        _apply(plan, change)
    except DefinitionError as error:
        raise UnsupportedChange(
            f"The definition that {plan.table} would get {error}; nothing was changed.",
            table=str(plan.table),
            hint="Look at the names, types and expressions that were given.",
        ) from error


def _apply(plan: TablePlan, change: Change) -> None:
    match change:
        case AddColumn():
            add_column(plan, change)
        case DropColumn():
            drop_column(plan, change)
        case AlterColumn():
            alter_column(plan, change)
        case AddCheck():
            add_check(plan, change)
        case AddUnique():
            add_unique(plan, change)
        case AddForeignKey():
            add_foreign_key(plan, change)
        case ChangePrimaryKey():
            change_primary_key(plan, change)
        case DropConstraint():
            drop_constraint(plan, change)
        case _:
            raise NotImplementedError(type(change).__name__)
