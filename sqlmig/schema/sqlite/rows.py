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
    statement = f"INSERT INTO {target} ({', '.join(names)}) SELECT {', '.join(values)} FROM {table}"
    try:
        copied = plan.catalogue.connection.exec_driver_sql(statement).rowcount
    except IntegrityError as error:
        raise DataContradicts(
            f"The rows of {plan.table} cannot be stored as asked: {error.orig}; nothing was changed.",
            1,
            [],
            table=str(plan.table),
        ) from error
    there = data_checks.count(plan.catalogue.connection, plan.name)
    if there != copied:
        raise UnsupportedChange(
            f"Of {there} rows of {plan.table}, {copied} were copied; nothing was changed.", table=str(plan.table)
        )
