"""The rows of a table, copied into its successor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy.exc import IntegrityError

from ...errors import DataContradicts, UnsupportedChange
from .. import data_checks
from .definition import TableDefinition, folded
from .sql import rowid_name
from .tokens import quoted

if TYPE_CHECKING:
    from .plan import TablePlan

__all__ = ["copy_rows"]


def copy_rows(plan: TablePlan, scaffold: TableDefinition, target: str) -> None:
    """
    Copy every row of the plan's table into *target*, SQL, whose definition is *scaffold*; each keeps its rowid.

    Raises:
        DataContradicts: The new table does not take one.
    """
    columns = [c for c in scaffold.columns if not c.generated and folded(c.name) not in plan.added]
    names = [quoted(column.name) for column in columns]
    values = [f"({plan.sources.get(folded(column.name), quoted(column.name))})" for column in columns]
    rowid = rowid_name(plan.before)
    theirs = rowid_name(scaffold)
    if scaffold.rowid_alias is None and rowid and theirs:
        names.insert(0, theirs)
        values.insert(0, rowid)
    table = f"{plan.name} AS {quoted(plan.table.name)} NOT INDEXED"
    try:
        plan.catalogue.run(f"INSERT INTO {target} ({', '.join(names)}) SELECT {', '.join(values)} FROM {table}")
    except IntegrityError as error:
        raise DataContradicts(
            f"The rows of {plan.table} cannot be stored as asked: {error.orig}; nothing was changed.",
            1,
            [],
            table=str(plan.table),
        ) from error
    _require_all(plan, target)


def _require_all(plan: TablePlan, target: str) -> None:
    """Rows in, rows out."""
    there, copied = (data_checks.count(plan.catalogue.connection, name) for name in (plan.name, target))
    if there != copied:
        raise UnsupportedChange(
            f"Of {there} rows of {plan.table}, {copied} were copied; nothing was changed.", table=str(plan.table)
        )
