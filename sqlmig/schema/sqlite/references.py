"""Foreign keys before and after a change: none may lose what it refers to, and no row may become an orphan."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from sqlalchemy.exc import DatabaseError

from ...errors import DataContradicts, ObjectInUse
from ..changes import TableName
from ..data_checks import rows
from .definition import folded

if TYPE_CHECKING:
    from .catalogue import Catalogue, ForeignKey, IndexFacts, TableFacts

__all__ = ["keeping_references"]

_Key: TypeAlias = "tuple[str, str, tuple[str, ...], tuple[str, ...]]"
"""The table that refers, the one referred to, the columns that refer and those they name there; folded."""


class _Orphans(NamedTuple):
    rows: int
    sample: list[str]


@contextmanager
def keeping_references(
    catalogue: Catalogue, table: TableName, *, values: bool = False, new: bool = False, without: str = ""
) -> Iterator[None]:
    """
    Refuse a change of *table* inside that would take a foreign key's parent key, or make orphans.

    Args:
        values: Whether values or comparisons on either side may change: every reference is looked up, twice.
        new: Whether foreign keys may be added: those are looked up.
        without: What goes, in words.

    Raises:
        ObjectInUse: A foreign key would refer to nothing unique, or to other columns than before.
        DataContradicts: Rows would refer to no row.
    """
    parents = _parents(catalogue, table)
    known = {_named(owner, key) for owner, key in _around(catalogue, table)}
    before = _orphans(catalogue, table) if values else {}
    yield
    _require_parents(catalogue, table, parents, without)
    if not values and not new:
        return
    for key, orphans in _orphans(catalogue, table).items():
        if orphans.rows > before.get(key, _Orphans(0, [])).rows and (values or key not in known):
            _refuse(key, orphans, already=before.get(key, _Orphans(0, [])).rows)


def _refuse(key: _Key, orphans: _Orphans, already: int) -> None:
    table, parent, columns, _ = key
    count = orphans.rows - already
    raise DataContradicts(
        f"{rows(count)} of {table} ({', '.join(columns)}) would refer to no row of {parent}; nothing was changed.",
        count,
        orphans.sample,
        table=table,
        facts="1 orphan" if count == 1 else f"{count} orphans",
    )


def _around(catalogue: Catalogue, table: TableName) -> list[tuple[TableName, ForeignKey]]:
    """The foreign keys to a table, and its own."""
    own = [(table, key) for key in catalogue.facts(table).foreign_keys]
    return own + [(o, key) for o, key in catalogue.foreign_keys_to(table) if folded(o.name) != folded(table.name)]


def _named(owner: TableName, key: ForeignKey) -> _Key:
    ours, theirs = (tuple(folded(names[side] or "") for names in key.columns) for side in (0, 1))
    return folded(owner.name), folded(key.table), ours, theirs


def _orphans(catalogue: Catalogue, table: TableName) -> dict[_Key, _Orphans]:
    """How many rows have no parent, of each foreign key around a table."""
    found: dict[_Key, _Orphans] = {}
    owners = {owner.name: owner for owner, _ in _around(catalogue, table)}
    for owner in owners.values():
        by_id = {key.id: key for key in catalogue.facts(owner).foreign_keys}
        for id_, count in _counts(catalogue, owner):
            if id_ in by_id:
                found[_named(owner, by_id[id_])] = _Orphans(count, _sample(catalogue, owner, id_))
    return found


def _counts(catalogue: Catalogue, owner: TableName) -> list[tuple[int, int]]:
    sql = "SELECT fkid, count(*) FROM pragma_foreign_key_check(?, ?) GROUP BY fkid"
    try:
        return [(row[0], row[1]) for row in catalogue.run(sql, (owner.name, owner.schema or "main"))]
    except DatabaseError as error:
        # "foreign key mismatch": it refers to nothing unique, and can have no orphans that could be told.
        if "mismatch" in str(error.orig):
            return []
        raise


def _sample(catalogue: Catalogue, owner: TableName, id_: int) -> list[str]:
    sql = 'SELECT "rowid" FROM pragma_foreign_key_check(?, ?) WHERE fkid = ? LIMIT 5'
    rows = catalogue.run(sql, (owner.name, owner.schema or "main", id_))
    return [f"rowid={row[0]}" for row in rows if row[0] is not None]


def _parents(catalogue: Catalogue, table: TableName) -> dict[_Key, tuple[str, ...] | None]:
    """What each foreign key to a table refers to; None where it is nothing unique."""
    facts = catalogue.facts(table)
    return {
        _named(owner, key): _parent_key(catalogue, table, facts, key) for owner, key in catalogue.foreign_keys_to(table)
    }


def _parent_key(catalogue: Catalogue, table: TableName, facts: TableFacts, key: ForeignKey) -> tuple[str, ...] | None:
    """Source: https://sqlite.org/foreignkeys.html#fk_indexes"""
    primary = [folded(c.name) for c in sorted(facts.columns, key=lambda c: c.pk) if c.pk]
    named = [folded(theirs) for _, theirs in key.columns if theirs is not None]
    columns = named or primary
    if len(columns) != len(key.columns):
        return None
    alias = len(primary) == 1 and not any(index.origin == "pk" for index in facts.indexes)
    if alias and columns == primary:
        return tuple(columns)
    collations = _collations(catalogue, table, facts)
    for index in facts.indexes:
        if index.unique and not index.partial and _serves(index, columns, collations):
            return tuple(columns)
    return None


def _serves(index: IndexFacts, columns: list[str], collations: dict[str, str]) -> bool:
    keys = [(folded(name or ""), folded(collation)) for _, name, _, collation in index.keys]
    return sorted(name for name, _ in keys) == sorted(columns) and all(
        collation == collations.get(name, "binary") for name, collation in keys
    )


def _collations(catalogue: Catalogue, table: TableName, facts: TableFacts) -> dict[str, str]:
    """By which each column is compared, where it is not BINARY."""
    definition = catalogue.definition(table)
    found = {}
    for column in definition.columns:
        collate = column.of_kind("collate")
        if collate is not None:
            found[folded(column.name)] = folded(definition.body_of(collate).strip("\"'`[]"))
    return found


def _require_parents(
    catalogue: Catalogue, table: TableName, before: dict[_Key, tuple[str, ...] | None], without: str
) -> None:
    now = _parents(catalogue, table)
    lost = [key for key, parent in before.items() if parent is not None and key in now and now[key] != parent]
    if lost:
        raise ObjectInUse(
            f"Columns refer to {table}, and what they refer to would not be its key any more"
            f"{f' without the {without}' if without else ''}; nothing was changed.",
            [f"foreign key {owner} ({', '.join(columns)})" for owner, _, columns, _ in lost],
            table=str(table),
            hint="Drop these foreign keys first, or give what they refer to a key of its own (create_unique).",
        )
