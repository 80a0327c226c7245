"""Rows that share what an index wants unique, told with their keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from ...errors import DataContradicts
from .. import data_checks
from .tokens import quoted

if TYPE_CHECKING:
    from ..changes import TableName
    from .catalogue import IndexFacts
    from .plan import TablePlan

__all__ = ["refuse_duplicates"]


def refuse_duplicates(plan: TablePlan, over: TableName, index: IndexFacts, what: str, error: Exception) -> NoReturn:
    """
    Say which rows of *over* share the keys of an index.

    Raises:
        DataContradicts: Always.
    """
    found = _duplicates(plan, over, index)
    raise DataContradicts(
        f"{what}; nothing was changed.",
        found.count,
        found.sample,
        table=str(plan.table),
        facts=f"{found.count} rows share their values with another" if found else str(getattr(error, "orig", error)),
    ) from error


def _duplicates(plan: TablePlan, over: TableName, index: IndexFacts) -> data_checks.Offenders:
    """With the collations of the index; what an expression or a partial index wants is not told."""
    if index.partial or any(name is None for _, name, _, _ in index.keys):
        return data_checks.Offenders(0)
    compared = [f"{quoted(name or '')} COLLATE {quoted(collation)}" for _, name, _, collation in index.keys]
    keys = plan.key()
    listed = "".join(f"{key} AS {key}, " for key in keys)
    shared = f"count(*) OVER (PARTITION BY {', '.join(compared)}) AS n_"
    present = " AND ".join(f"{one} IS NOT NULL" for one in compared)
    rows = f"(SELECT {listed}{shared} FROM {quoted(over.schema or 'main')}.{quoted(over.name)} WHERE {present})"
    return data_checks.offenders(plan.catalogue.connection, rows, "n_ > 1", keys)
