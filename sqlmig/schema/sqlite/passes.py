"""
The two ways of a change that SQLite has no statement for.

Either way the table keeps its row in `sqlite_schema`, and so do its indexes and triggers. What is exchanged is the
text, and after a copy the pages: nothing is dropped that anything refers to, so that nothing cascades.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sqlalchemy.exc import IntegrityError

from ..changes import TableName
from . import edits
from .catalogue import Entry, IndexFacts, TableFacts, scratch_name
from .constraint_indexes import arrange
from .definition import TableDefinition
from .rewrite import Update, edit_schema, update
from .rows import copy_rows
from .tokens import keys_and_condition, quoted, significant
from .unique import refuse_duplicates

if TYPE_CHECKING:
    from .plan import TablePlan

__all__ = ["copy_and_exchange", "edit_in_place"]


def edit_in_place(plan: TablePlan, wanted: TableFacts) -> None:
    """Exchange the stored text; the rows stay where they are."""
    catalogue, schema = plan.catalogue, plan.table.schema or "main"
    indexes = arrange(plan, wanted, plan.table, lambda index: True)
    table = update(catalogue.stored(plan.table), sql=plan.definition.text)
    edit_schema(catalogue, schema, [table, *indexes.updates()])
    indexes.finish()
    for entry in _explicit(plan):
        if plan.is_compared_otherwise(_columns(plan, entry), keys_and_condition(entry.sql or "")):
            _build(plan, plan.table, entry, f"REINDEX {quoted(schema)}.{quoted(entry.name)}")
    plan.ask(late=True, table=plan.name)


def copy_and_exchange(plan: TablePlan, wanted: TableFacts) -> None:
    """
    Copy the rows into a table of the new definition, and give its pages to the old one.

    An index whose columns stay as they are, over rows that keep their rowids, is true of the copy as well.
    """
    catalogue, schema = plan.catalogue, plan.table.schema or "main"
    copy = TableName(schema, scratch_name("copy"))
    scaffold = edits.copying(plan.definition, copy.name)
    target = f"{quoted(schema)}.{quoted(copy.name)}"
    catalogue.run(edits.replace(scaffold.text, (*scaffold.name_span, target)))
    copy_rows(plan, scaffold, target)
    plan.ask(late=True, table=target)
    indexes = arrange(plan, wanted, copy, lambda index: plan.keeps_index([name or "" for _, name, _, _ in index.keys]))
    twins = [(entry, _twin(plan, copy, entry)) for entry in _explicit(plan) if not _stays(plan, entry)]
    stored = {entry.name: entry for entry in catalogue.entries(schema, "type IN ('table', 'index')")}
    table, spare = stored[plan.table.name], stored[copy.name]
    updates = [update(table, sql=plan.definition.text, rootpage=spare.root), update(spare, rootpage=table.root)]
    for ours, theirs in twins:
        updates += _swapped(ours, stored[theirs])
    edit_schema(catalogue, schema, [*updates, *indexes.updates()])
    indexes.finish()
    catalogue.run(f"DROP TABLE {target}")
    if _counts(plan.before) and not _counts(plan.definition):
        catalogue.run(f"DELETE FROM {quoted(schema)}.sqlite_sequence WHERE name = ?", (plan.table.name,))


def _counts(definition: TableDefinition) -> bool:
    return definition.primary_key is not None and "AUTOINCREMENT" in definition.primary_key.words


def _explicit(plan: TablePlan) -> list[Entry]:
    """The indexes that somebody made by CREATE INDEX."""
    condition = "type = 'index' AND sql IS NOT NULL AND tbl_name = ?"
    return plan.catalogue.entries(plan.table.schema or "main", condition, (plan.table.name,))


def _stays(plan: TablePlan, entry: Entry) -> bool:
    return plan.keeps_index(_columns(plan, entry), keys_and_condition(entry.sql or ""))


def _columns(plan: TablePlan, entry: Entry) -> list[str]:
    """As SQLite tells them: in the text of an index even 'x' may be a column."""
    index = next(index for index in plan.facts.indexes if index.name == entry.name)
    return [name for _, name, _, _ in index.keys if name is not None]


def _twin(plan: TablePlan, copy: TableName, entry: Entry) -> str:
    """Make the same index over the copy; its name."""
    name = scratch_name("index")
    found = significant(entry.sql or "")
    on = next(i for i, token in enumerate(found) if token.is_word("ON") and found[i + 2].text == "(")
    statement = edits.replace(
        entry.sql or "",
        (found[on - 1].start, found[on - 1].end, f"{quoted(copy.schema or 'main')}.{quoted(name)}"),
        (found[on + 1].start, found[on + 1].end, quoted(copy.name)),
    )
    _build(plan, copy, entry, statement)
    return name


def _build(plan: TablePlan, over: TableName, entry: Entry, statement: str) -> None:
    try:
        plan.catalogue.run(statement)
    except IntegrityError as error:
        what = f"The rows of {plan.table} would contradict its unique index {entry.name}"
        refuse_duplicates(plan, over, _as_it_will_be(plan, entry), what, error)


def _as_it_will_be(plan: TablePlan, entry: Entry) -> IndexFacts:
    """The index, with the collations that its columns are to have."""
    index = next(index for index in plan.facts.indexes if index.name == entry.name)
    keys = tuple(
        (rank, name, descending, plan.collation_of(name, collation)) for rank, name, descending, collation in index.keys
    )
    return replace(index, keys=keys)


def _swapped(one: Entry, other: Entry) -> list[Update]:
    return [update(one, rootpage=other.root), update(other, rootpage=one.root)]
