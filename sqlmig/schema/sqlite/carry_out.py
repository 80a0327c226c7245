"""A plan, carried out: tried first, asked of the rows, done in the cheapest way, and looked at afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy.exc import DatabaseError

from ...errors import UnsupportedChange
from ..changes import AddColumn, Change, DropColumn, TableName
from . import edits
from .catalogue import IndexFacts, TableFacts, scratch_name
from .definition import folded
from .passes import copy_and_exchange, edit_in_place
from .plain import rebuild_plainly
from .references import keeping_references
from .rewrite import can_edit, edit_schema, update
from .tokens import quoted

if TYPE_CHECKING:
    from .plan import TablePlan

__all__ = ["finish", "native_alter"]


def finish(plan: TablePlan) -> None:
    """
    Make the table what the plan says, in the transaction that is open.

    Raises:
        SchemaError: The rows contradict it, something else needs what would go, or SQLite would not read it as it is
            meant.
    """
    if plan.definition.text == plan.before.text and not (plan.sources or plan.nullable):
        return
    with keeping_references(plan.catalogue, plan.table, values=plan.references, new=plan.refers_anew):
        wanted = try_out(plan)
        plan.ask(late=False, table=plan.name)
        if plan.native is not None:
            _alter_natively(plan, plan.native)
        elif not can_edit(plan.catalogue):
            rebuild_plainly(plan)
        elif plan.copies:
            copy_and_exchange(plan, wanted)
        else:
            edit_in_place(plan, wanted)
        _require_as_meant(plan, wanted)


def native_alter(plan: TablePlan, change: Change) -> str | None:
    """SQLite's own statement for a plan of this one change; None where there is none that means the same."""
    version = plan.catalogue.version
    if isinstance(change, DropColumn) and version >= (3, 35, 5):
        return f"ALTER TABLE {plan.name} DROP COLUMN {quoted(change.name)}"
    if isinstance(change, AddColumn) and not (plan.copies or plan.questions or plan.refers_anew):
        column = plan.definition.columns[-1]
        return f"ALTER TABLE {plan.name} ADD COLUMN {plan.definition.text[column.start : column.end]}"
    return None


def _alter_natively(plan: TablePlan, statement: str) -> None:
    plan.catalogue.run(statement)
    stored = plan.catalogue.stored(plan.table)
    # DROP COLUMN takes comments along that are not the column's.
    if stored.sql != plan.definition.text and can_edit(plan.catalogue):
        edit_schema(plan.catalogue, stored.schema, [update(stored, sql=plan.definition.text)])


def try_out(plan: TablePlan) -> TableFacts:
    """
    How SQLite reads the new definition, seen on a table that is gone at once.

    Raises:
        UnsupportedChange: It does not take it, or something else would change as well.
    """
    catalogue, trial = plan.catalogue, TableName("temp", scratch_name("trial"))
    renamed = edits.rename_table(plan.definition, trial.name)
    statement = edits.replace(renamed.text, (*renamed.name_span, f"temp.{quoted(trial.name)}"))
    try:
        with catalogue.undone():
            catalogue.run(statement)
            facts = catalogue.facts(trial)
    except DatabaseError as error:
        raise UnsupportedChange(
            f"SQLite does not take the change of {plan.table}: {error.orig}; nothing was changed.",
            table=str(plan.table),
            facts=" ".join(plan.definition.text.split()),
            hint="Register what is missing on this connection." if "no such" in str(error.orig) else "",
        ) from error
    catalogue.require_agreement(plan.definition, facts, str(plan.table))
    _require_only_the_named(plan, facts)
    return facts


def _require_only_the_named(plan: TablePlan, facts: TableFacts) -> None:
    """What was not named is to be read as before."""
    named = plan.added | plan.changed
    for column in facts.columns:
        if folded(column.name) in plan.nullable and column.notnull:
            raise UnsupportedChange(
                f"{plan.table}.{column.name} cannot take NULL: it is in the primary key of a table that is STRICT or"
                " WITHOUT ROWID; nothing was changed.",
                table=str(plan.table),
            )
    # A primary key numbers its columns, and makes them NOT NULL in some tables.
    before = {folded(c.name): c for c in plan.facts.columns}
    for column in facts.columns:
        key = folded(column.name)
        if key not in named and column._replace(pk=0, notnull=0) != before[key]._replace(pk=0, notnull=0):
            raise UnsupportedChange(
                f"The column {column.name} of {plan.table} would be read otherwise, and was not named;"
                " nothing was changed.",
                table=str(plan.table),
                facts=f"{before[key]} as {column}",
            )


def _require_as_meant(plan: TablePlan, wanted: TableFacts) -> None:
    """SQLite is to read what is stored now as it read the trial, and the indexes as they were."""
    facts = plan.catalogue.facts(plan.table)
    ours = sorted((i for i in plan.facts.indexes if i.origin == "c"), key=lambda i: i.name)
    now = sorted((i for i in facts.indexes if i.origin == "c"), key=lambda i: i.name)
    same = (
        facts.columns == wanted.columns
        and facts.foreign_keys == wanted.foreign_keys
        and [i.keys for i in facts.constraint_indexes] == [i.keys for i in wanted.constraint_indexes]
        and [_outline(i) for i in now] == [_outline(i) for i in ours]
    )
    if not same:
        raise UnsupportedChange(
            f"SQLite does not read the changed {plan.table} as it was meant; nothing was changed.",
            table=str(plan.table),
            facts=" ".join(plan.definition.text.split()),
        )


def _outline(index: IndexFacts) -> tuple[object, ...]:
    return index.name, index.unique, index.partial, [(name, descending) for _, name, descending, _ in index.keys]
