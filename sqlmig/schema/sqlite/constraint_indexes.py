"""
The indexes of UNIQUE and PRIMARY KEY, which SQLite makes by itself and which no statement touches.

It knows them by name: `sqlite_autoindex_t_2` is that of the second constraint of t which needs one. An index made by
CREATE INDEX becomes that of a constraint when its row in `sqlite_schema` gets the name, and loses its text.

Source: https://sqlite.org/fileformat2.html#intschema
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from sqlalchemy.exc import IntegrityError

from .catalogue import IndexFacts, TableFacts, number_of, scratch_name
from .definition import folded
from .rewrite import Update, update
from .tokens import quoted
from .unique import refuse_duplicates

if TYPE_CHECKING:
    from ..changes import TableName
    from .catalogue import Entry
    from .plan import TablePlan

__all__ = ["ConstraintIndexes", "arrange"]

_Keys: TypeAlias = "tuple[tuple[str, str, int], ...]"


@dataclass
class ConstraintIndexes:
    """
    What becomes of the indexes of a table's constraints.

    Attributes:
        named: Those that are to be there, kept or made, each with its name.
        gone: Those that no constraint needs any more.
    """

    plan: TablePlan
    named: list[tuple[Entry, str]] = field(default_factory=list)
    gone: list[Entry] = field(default_factory=list)

    def updates(self) -> list[Update]:
        """The changes of `sqlite_schema`: names given, and what is gone made such that it can be dropped."""
        table = self.plan.table.name
        found = [update(entry, name=name, tbl_name=table, sql=None) for entry, name in self.named]
        return found + [update(entry, name=_spare(entry), sql=self._droppable(entry)) for entry in self.gone]

    def _droppable(self, entry: Entry) -> str:
        first = self.plan.definition.columns[0].name
        return f"CREATE INDEX {quoted(_spare(entry))} ON {quoted(self.plan.table.name)} ({quoted(first)})"

    def finish(self) -> None:
        """Drop what is gone, and have what ANALYZE found follow the names."""
        catalogue, schema = self.plan.catalogue, self.plan.table.schema or "main"
        for entry in self.gone:
            catalogue.run(f"DROP INDEX {quoted(schema)}.{quoted(_spare(entry))}")
        for entry in catalogue.entries(schema, "type = 'table' AND name IN ('sqlite_stat1', 'sqlite_stat4')"):
            self._follow(f"{quoted(schema)}.{quoted(entry.name)}")

    def _follow(self, statistics: str) -> None:
        run, table = self.plan.catalogue.run, self.plan.table.name
        for entry in self.gone:
            run(f"DELETE FROM {statistics} WHERE tbl = ? AND idx = ?", (table, entry.name))
        moved = [(entry.name, name) for entry, name in self.named if entry.sql is None and entry.name != name]
        # By way of names that nothing has: they may change places.
        for old, new in moved:
            run(f"UPDATE {statistics} SET idx = ? WHERE tbl = ? AND idx = ?", (f"sqlmig {new}", table, old))
        for _, new in moved:
            run(f"UPDATE {statistics} SET idx = ? WHERE tbl = ? AND idx = ?", (new, table, f"sqlmig {new}"))


def arrange(
    plan: TablePlan, wanted: TableFacts, over: TableName, keeps: Callable[[IndexFacts], bool]
) -> ConstraintIndexes:
    """
    Make the indexes that are missing.

    Args:
        over: Where they are made: the table, or the copy of its rows.
        keeps: Whether what an index of the table holds stays true.

    Raises:
        DataContradicts: Rows share their values.
    """
    schema = plan.table.schema or "main"
    old = {_keys(index): index for index in _separate(plan, plan.facts) if keeps(index)}
    made = {
        index.name: _make(plan, wanted, over, index) for index in _separate(plan, wanted) if _keys(index) not in old
    }
    stored = {entry.name: entry for entry in plan.catalogue.entries(schema, "type = 'index'")}
    found = ConstraintIndexes(plan)
    for index in _separate(plan, wanted):
        kept = old.pop(_keys(index), None)
        entry = stored[kept.name if kept else made[index.name]]
        found.named.append((entry, f"sqlite_autoindex_{plan.table.name}_{number_of(index.name)}"))
    kept_names = {entry.name for entry, _ in found.named}
    found.gone = [stored[index.name] for index in _separate(plan, plan.facts) if index.name not in kept_names]
    return found


def _keys(index: IndexFacts) -> _Keys:
    return tuple((folded(name or ""), folded(collation), descending) for _, name, descending, collation in index.keys)


def _separate(plan: TablePlan, facts: TableFacts) -> Sequence[IndexFacts]:
    """Those with pages of their own: a table WITHOUT ROWID is the index of its primary key."""
    without_rowid = plan.definition.without_rowid
    return [index for index in facts.constraint_indexes if not (without_rowid and index.origin == "pk")]


def _spare(entry: Entry) -> str:
    return f"sqlmig_spare_{entry.rowid}_{entry.root}"


def _make(plan: TablePlan, wanted: TableFacts, over: TableName, index: IndexFacts) -> str:
    """Make one by CREATE INDEX, which sorts; its name."""
    name, schema = scratch_name("unique"), quoted(over.schema or "main")
    keys = ", ".join(
        f"{quoted(wanted.columns[rank].name)} COLLATE {quoted(collation)}{' DESC' if descending else ''}"
        for rank, _, descending, collation in index.keys
    )
    try:
        plan.catalogue.run(f"CREATE UNIQUE INDEX {schema}.{quoted(name)} ON {quoted(over.name)} ({keys})")
    except IntegrityError as error:
        kind = "PRIMARY KEY" if index.origin == "pk" else "UNIQUE"
        names = ", ".join(column or "" for _, column, _, _ in index.keys)
        refuse_duplicates(plan, over, index, f"{plan.table} cannot have {kind} ({names})", error)
    return name
