"""Constraints that come and go: what that makes of a plan."""

from __future__ import annotations

from ...errors import NoSuchObject, ObjectExists, SchemaError, UnsupportedChange
from ..changes import (
    AddCheck,
    AddForeignKey,
    AddUnique,
    ChangePrimaryKey,
    DropConstraint,
)
from . import edits, sql
from .definition import Constraint, folded
from .plan import TablePlan
from .reader import DefinitionError
from .tokens import refers_to
from .users import describe

__all__ = ["add_check", "add_foreign_key", "add_unique", "change_primary_key", "drop_constraint"]


def _require_free(plan: TablePlan, name: str | None) -> None:
    for found in plan.definition.all_constraints:
        if name is not None and found.name is not None and folded(found.name) == folded(name):
            raise ObjectExists("constraint", name, table=str(plan.table))


def add_check(plan: TablePlan, change: AddCheck) -> None:
    """Plan a CHECK, and have every row asked for it."""
    _require_free(plan, change.name)
    condition = plan.expression(change.condition)
    _add_constraint(plan, change.name, f"CHECK ({condition})")
    plan.require_check(plan.definition.constraints[-1])


def add_unique(plan: TablePlan, change: AddUnique) -> None:
    """Plan a UNIQUE constraint."""
    _require_free(plan, change.name)
    names = [plan.column(name).name for name in change.columns]
    same = [c for c in plan.constraints("unique") if list(map(folded, c.columns)) == list(map(folded, names))]
    if same and change.name is None:
        raise ObjectExists("constraint", describe(plan.definition, same[0]), table=str(plan.table))
    _add_constraint(plan, change.name, f"UNIQUE ({', '.join(map(sql.name, names))})")


def add_foreign_key(plan: TablePlan, change: AddForeignKey) -> None:
    """Plan a foreign key, and have its rows looked up."""
    _require_free(plan, change.name)
    names = [plan.column(name).name for name in change.columns]
    target = sql.referenced(plan.catalogue, plan, change)
    words = sql.foreign_key_words(change)
    listed = ", ".join(map(sql.name, target.columns))
    _add_constraint(
        plan,
        change.name,
        f"FOREIGN KEY ({', '.join(map(sql.name, names))}) REFERENCES {sql.name(target.table)} ({listed}){words}",
    )
    plan.refers_anew = True


def _add_constraint(plan: TablePlan, name: str | None, specification: str) -> None:
    words = f"CONSTRAINT {sql.name(name)} " if name is not None else ""
    before = len(plan.definition.constraints)
    plan.definition = edits.add_constraint(plan.definition, words + specification)
    if len(plan.definition.constraints) != before + 1:
        raise DefinitionError(f"cannot be read: {specification!r} is more than one constraint")


def change_primary_key(plan: TablePlan, change: ChangePrimaryKey) -> None:
    """Plan another primary key: a copy, for it decides how rows are found."""
    names = [plan.column(name).name for name in change.columns]
    if plan.definition.without_rowid and not names:
        raise UnsupportedChange(
            f"{plan.table} is WITHOUT ROWID and is stored by its primary key; nothing was changed.",
            table=str(plan.table),
        )
    key = plan.definition.primary_key
    if key is not None and list(map(folded, key.columns)) == list(map(folded, names)):
        return
    if key is not None:
        plan.definition = edits.drop_constraint(plan.definition, key)
    if names:
        name = key.name if key is not None else None
        _add_constraint(plan, name, f"PRIMARY KEY ({', '.join(map(sql.name, names))})")
    plan.copies = True
    for one in names:
        plan.require_not_null(one)
    alias = plan.definition.rowid_alias
    if alias is not None:
        plan.require_fit(plan.definition.column(alias), "INTEGER")


def drop_constraint(plan: TablePlan, change: DropConstraint) -> None:
    """Plan that a constraint goes."""
    found = find_constraint(plan, change)
    if found.kind == "primary_key":
        change_primary_key(plan, ChangePrimaryKey(()))
        return
    plan.changed |= set(map(folded, found.columns))
    plan.definition = edits.drop_constraint(plan.definition, found)


def find_constraint(plan: TablePlan, change: DropConstraint) -> Constraint:
    """
    The one constraint that is meant.

    Raises:
        NoSuchObject: There is none.
        SchemaError: There are several.
    """
    kinds = ("check", "unique", "foreign_key", "primary_key", "not_null")
    known = [c for c in plan.definition.all_constraints if c.kind in kinds and (c.name or c.kind != "not_null")]
    found = [c for c in known if _meant(plan, c, change)]
    asked = change.name or " ".join(
        part for part in ((change.kind or "").replace("_", " ").upper(), _listed(change.columns)) if part
    )
    if not found:
        described = [c.name or describe(plan.definition, c) for c in known]
        raise NoSuchObject("constraint", asked, described, table=str(plan.table))
    if len(found) > 1 and change.name is None and change.kind is not None:
        # Kind and columns are said of what has no name.
        found = [c for c in found if c.name is None] or found
    if len(found) > 1:
        raise SchemaError(
            f"{plan.table} has {len(found)} constraints that {asked} may mean; nothing was changed.",
            table=str(plan.table),
            facts="; ".join(describe(plan.definition, c) for c in found),
            hint="Say which: by name=, or by kind= and columns=.",
        )
    return found[0]


def _meant(plan: TablePlan, constraint: Constraint, change: DropConstraint) -> bool:
    if change.name is not None and folded(constraint.name or "") != folded(change.name):
        return False
    if change.kind is not None and constraint.kind != change.kind:
        return False
    if change.name is None and constraint.kind == "not_null":
        return False
    return change.columns is None or _columns_of(plan, constraint) == set(map(folded, change.columns))


def _columns_of(plan: TablePlan, constraint: Constraint) -> set[str]:
    if constraint.kind != "check":
        return set(map(folded, constraint.columns))
    body = plan.definition.body_of(constraint)
    return {folded(c.name) for c in plan.definition.columns if refers_to(body, c.name)}


def _listed(columns: object) -> str:
    return f"({', '.join(columns)})" if isinstance(columns, list | tuple) else ""
