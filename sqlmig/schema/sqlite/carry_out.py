"""
A plan, carried out: the stored definition is edited where the rows stay, and else the rows are copied.

Either way the table keeps its row in `sqlite_schema`, and so do its indexes and triggers. What is exchanged is the
text, and after a copy the pages: nothing is dropped that anything refers to, so that nothing cascades.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sqlalchemy.exc import DatabaseError, IntegrityError

from ...errors import DataContradicts, UnsupportedChange
from .. import data_checks
from ..changes import AddColumn, Change, DropColumn, TableName
from . import edits
from .catalogue import IndexFacts, TableFacts, number_of, scratch_name
from .definition import folded
from .plain import rebuild_plainly
from .references import keeping_references
from .rewrite import Update, can_edit, edit_schema, update
from .rows import copy_rows
from .tokens import quoted, significant

if TYPE_CHECKING:
    from .catalogue import Catalogue, Entry
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
            _copy(plan, wanted)
        else:
            _edit(plan, wanted)
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


# The definition edited, the rows where they are


def _edit(plan: TablePlan, wanted: TableFacts) -> None:
    catalogue, schema = plan.catalogue, plan.table.schema or "main"
    made = _constraint_indexes(plan, wanted, plan.table, [i for i in _separate(plan, wanted) if _is_new(plan, i)])
    stored = {entry.name: entry for entry in catalogue.entries(schema, "type = 'index'")}
    updates: list[Update] = [update(catalogue.stored(plan.table), sql=plan.definition.text)]
    old = {index.signature: index for index in _separate(plan, plan.facts)}
    renamed: dict[str, str] = {}
    for index in _separate(plan, wanted):
        name = _autoindex(plan.table.name, number_of(index.name))
        kept = old.pop(index.signature, None)
        entry = stored[kept.name if kept else made[index.name]]
        updates.append(update(entry, name=name, sql=None))
        if kept and kept.name != name:
            renamed[kept.name] = name
    gone = [stored[index.name] for index in old.values()]
    updates += [update(entry, **_made_droppable(plan, entry)) for entry in gone]
    edit_schema(catalogue, schema, updates)
    _rename_statistics(catalogue, schema, plan.table.name, renamed, [entry.name for entry in gone])
    for entry in gone:
        catalogue.run(f"DROP INDEX {quoted(schema)}.{quoted(_spare(entry))}")
    _reindex(plan)
    plan.ask(late=True, table=plan.name)


def _separate(plan: TablePlan, facts: TableFacts) -> list[IndexFacts]:
    """The indexes of constraints that have pages of their own: a table WITHOUT ROWID is that of its primary key."""
    definition = plan.definition
    return [i for i in facts.constraint_indexes if not (definition.without_rowid and i.origin == "pk")]


def _is_new(plan: TablePlan, index: IndexFacts) -> bool:
    return index.signature not in {old.signature for old in _separate(plan, plan.facts)}


def _autoindex(table: str, number: int) -> str:
    return f"sqlite_autoindex_{table}_{number}"


def _spare(entry: Entry) -> str:
    return f"sqlmig_spare_{entry.rowid}_{entry.root}"


def _made_droppable(plan: TablePlan, entry: Entry) -> dict[str, str]:
    """As if it had been made by CREATE INDEX: the index of a constraint cannot be dropped by itself."""
    first, name = plan.definition.columns[0].name, _spare(entry)
    return {"name": name, "sql": f"CREATE INDEX {quoted(name)} ON {quoted(plan.table.name)} ({quoted(first)})"}


def _constraint_indexes(
    plan: TablePlan, wanted: TableFacts, table: TableName, indexes: Sequence[IndexFacts]
) -> dict[str, str]:
    """Make the indexes of constraints by CREATE INDEX, which sorts; their names in the plan, and in the schema."""
    made = {}
    for index in indexes:
        name = scratch_name("unique")
        keys = ", ".join(
            f"{quoted(wanted.columns[rank].name)} COLLATE {quoted(collation)}{' DESC' if descending else ''}"
            for rank, _, descending, collation in index.keys
        )
        schema = quoted(table.schema or "main")
        _create_unique(
            plan, table, index, f"CREATE UNIQUE INDEX {schema}.{quoted(name)} ON {quoted(table.name)} ({keys})"
        )
        made[index.name] = name
    return made


def _create_unique(plan: TablePlan, table: TableName, index: IndexFacts, statement: str) -> None:
    try:
        plan.catalogue.run(statement)
    except IntegrityError as error:
        names = [column or "" for _, column, _, _ in index.keys]
        compared = [f"{quoted(c or '')} COLLATE {quoted(collation)}" for _, c, _, collation in index.keys]
        source = f"{quoted(table.schema or 'main')}.{quoted(table.name)}"
        found = _duplicates(plan, source, compared)
        kind = "PRIMARY KEY" if index.origin == "pk" else "UNIQUE"
        raise DataContradicts(
            f"{plan.table} cannot have {kind} ({', '.join(names)}); nothing was changed.",
            found.count,
            found.sample,
            table=str(plan.table),
            facts=f"{found.count} rows share their values with another",
        ) from error


def _duplicates(plan: TablePlan, source: str, compared: Sequence[str]) -> data_checks.Offenders:
    """The rows whose *compared* expressions, collations in them, are those of another row."""
    present = " AND ".join(f"{one} IS NOT NULL" for one in compared)
    keys = plan.key()
    listed = "".join(f"{key} AS {key}, " for key in keys)
    shared = f"count(*) OVER (PARTITION BY {', '.join(compared)}) AS n_"
    rows = f"(SELECT {listed}{shared} FROM {source} WHERE {present})"
    return data_checks.offenders(plan.catalogue.connection, rows, "n_ > 1", keys)


def _rename_statistics(
    catalogue: Catalogue, schema: str, table: str, renamed: dict[str, str], gone: Sequence[str]
) -> None:
    """What ANALYZE has found is kept by the names of the indexes, which are numbered anew."""
    for entry in catalogue.entries(schema, "type = 'table' AND name IN ('sqlite_stat1', 'sqlite_stat4')"):
        name = f"{quoted(schema)}.{quoted(entry.name)}"
        for index in gone:
            catalogue.run(f"DELETE FROM {name} WHERE tbl = ? AND idx = ?", (table, index))
        # In ascending order, so that no name is taken when it is given.
        for old in sorted(renamed, key=number_of):
            catalogue.run(f"UPDATE {name} SET idx = ? WHERE tbl = ? AND idx = ?", (renamed[old], table, old))


def _reindex(plan: TablePlan) -> None:
    """Sort the indexes anew that compare a column otherwise; those of constraints were made anew."""
    if not plan.reindexed:
        return
    try:
        plan.catalogue.run(f"REINDEX {plan.name}")
    except IntegrityError as error:
        raise DataContradicts(
            f"{plan.table} has a unique index that its rows contradict under the new collation; nothing was changed.",
            2,
            [],
            table=str(plan.table),
            facts=str(error.orig),
        ) from error


# The rows copied


def _copy(plan: TablePlan, wanted: TableFacts) -> None:
    catalogue, schema = plan.catalogue, plan.table.schema or "main"
    copy = TableName(schema, scratch_name("copy"))
    scaffold = edits.copying(plan.definition, copy.name)
    source = f"{quoted(schema)}.{quoted(copy.name)}"
    catalogue.run(edits.replace(scaffold.text, (*scaffold.name_span, source)))
    copy_rows(plan, scaffold, source)
    plan.ask(late=True, table=source)
    made = _constraint_indexes(plan, wanted, copy, _separate(plan, wanted))
    twins = _explicit_indexes(plan, copy)
    _exchange(plan, wanted, copy, made, twins)
    catalogue.run(f"DROP TABLE {source}")


def _explicit_indexes(plan: TablePlan, copy: TableName) -> list[tuple[str, str]]:
    """Make each index of the table over the copy as well: the names of both."""
    catalogue, schema = plan.catalogue, plan.table.schema or "main"
    twins = []
    for entry in catalogue.entries(schema, "type = 'index' AND sql IS NOT NULL AND tbl_name = ?", (plan.table.name,)):
        name = scratch_name("index")
        try:
            catalogue.run(_over(entry.sql or "", schema, name, copy.name))
        except IntegrityError as error:
            raise DataContradicts(
                f"The unique index {entry.name} of {plan.table} does not hold of the new values; nothing was changed.",
                2,
                [],
                table=str(plan.table),
                facts=str(error.orig),
            ) from error
        twins.append((entry.name, name))
    return twins


def _over(sql: str, schema: str, name: str, table: str) -> str:
    """A CREATE INDEX under another name, over another table."""
    found = significant(sql)
    on = next(i for i, token in enumerate(found) if token.is_word("ON") and found[i + 2].text == "(")
    splices = [
        (found[on - 1].start, found[on - 1].end, f"{quoted(schema)}.{quoted(name)}"),
        (found[on + 1].start, found[on + 1].end, quoted(table)),
    ]
    return edits.replace(sql, *splices)


def _exchange(
    plan: TablePlan, wanted: TableFacts, copy: TableName, made: dict[str, str], twins: list[tuple[str, str]]
) -> None:
    """Give the table the pages of the copy, and the copy those of the table."""
    catalogue, schema = plan.catalogue, plan.table.schema or "main"
    stored = {entry.name: entry for entry in catalogue.entries(schema, "type IN ('table', 'index')")}
    table, spare = stored[plan.table.name], stored[copy.name]
    updates = [update(table, sql=plan.definition.text, rootpage=spare.root), update(spare, rootpage=table.root)]
    for ours, theirs in twins:
        updates += _swapped(stored[ours], stored[theirs])
    old = {number_of(i.name): stored[i.name] for i in _separate(plan, plan.facts)}
    for index in _separate(plan, wanted):
        entry = stored[made[index.name]]
        number = number_of(index.name)
        if number in old:
            updates += _swapped(old.pop(number), entry)
        else:
            name = _autoindex(plan.table.name, number)
            updates.append(update(entry, name=name, tbl_name=plan.table.name, sql=None))
    updates += [update(entry, **_made_droppable(plan, entry)) for entry in old.values()]
    edit_schema(catalogue, schema, updates)
    _move_statistics(plan, wanted, schema)
    for entry in old.values():
        catalogue.run(f"DROP INDEX {quoted(schema)}.{quoted(_spare(entry))}")


def _swapped(one: Entry, other: Entry) -> list[Update]:
    return [update(one, rootpage=other.root), update(other, rootpage=one.root)]


def _move_statistics(plan: TablePlan, wanted: TableFacts, schema: str) -> None:
    """By what the indexes of constraints are over: columns may have moved."""

    def by_columns(facts: TableFacts) -> dict[tuple[object, ...], str]:
        return {
            tuple((folded(c or ""), folded(x)) for _, c, _, x in i.keys): _autoindex(plan.table.name, number_of(i.name))
            for i in _separate(plan, facts)
        }

    old, new = by_columns(plan.facts), by_columns(wanted)
    renamed = {name: new[columns] for columns, name in old.items() if columns in new and new[columns] != name}
    gone = [name for columns, name in old.items() if columns not in new]
    _rename_statistics(plan.catalogue, schema, plan.table.name, renamed, gone)


# Afterwards


def _require_as_meant(plan: TablePlan, wanted: TableFacts) -> None:
    """SQLite is to read what is stored now as it read the trial, and the indexes as they were."""
    facts = plan.catalogue.facts(plan.table)
    ours = sorted((i for i in plan.facts.indexes if i.origin == "c"), key=lambda i: i.name)
    now = sorted((i for i in facts.indexes if i.origin == "c"), key=lambda i: i.name)
    same = (
        facts.columns == wanted.columns
        and facts.foreign_keys == wanted.foreign_keys
        and [i.signature for i in facts.constraint_indexes] == [i.signature for i in wanted.constraint_indexes]
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
