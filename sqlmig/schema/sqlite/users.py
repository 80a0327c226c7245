"""What else in the schema uses a column or a table: found before anything is changed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..changes import TableName
from . import edits
from .definition import Constraint, TableDefinition, folded
from .programs import broken, is_unknowable, update_of
from .rewrite import can_edit, edit_schema, update
from .tokens import keys_and_condition, name_of, quoted, refers_to, significant

if TYPE_CHECKING:
    from .catalogue import Catalogue, Entry, ForeignKey, TableFacts

__all__ = [
    "User",
    "column_users",
    "content_users",
    "describe",
    "foreign_key_user",
    "readers_of_column",
    "readers_of_table",
    "readers_of_text",
    "rows_refer",
]


@dataclass(frozen=True)
class User:
    """
    Something that uses a column.

    Attributes:
        what: In words: "index ix_t_x".
        kind: "index", "constraint", "generated column", "foreign key" (of another table), or what no cascade drops.
        name: Of the index or of the column.
        constraint: Of the same table.
        table: The other table of a foreign key.
    """

    what: str
    kind: str
    name: str = ""
    constraint: Constraint | None = None
    table: TableName | None = None
    key: ForeignKey | None = None


def column_users(
    catalogue: Catalogue, table: TableName, definition: TableDefinition, facts: TableFacts, column: str
) -> list[User]:
    """
    What cannot be without a column, but for views and triggers (`readers_of_column`).

    The column's own CHECK and REFERENCES belong to it and are none.
    """
    users = [*_indexes(catalogue, table, facts, column), *_constraints(definition, column)]
    users += [
        User(f"generated column {other.name}", "generated column", other.name)
        for other in definition.columns
        if other.generated
        and folded(other.name) != folded(column)
        and refers_to(definition.body_of(other.generated), column)
    ]
    for owner, key in catalogue.foreign_keys_to(table):
        if folded(owner.name) != folded(table.name) and _refers_to_column(key, definition, column):
            users.append(foreign_key_user(owner, key))
    return users


def _indexes(catalogue: Catalogue, table: TableName, facts: TableFacts, column: str) -> list[User]:
    stored = catalogue.entries(table.schema or "main", "type = 'index' AND tbl_name = ?", (table.name,))
    texts = {entry.name: entry.sql or "" for entry in stored}
    found = []
    for index in facts.indexes:
        if index.origin != "c":
            continue
        keyed = any(name is not None and folded(name) == folded(column) for _, name, _, _ in index.keys)
        if keyed or refers_to(keys_and_condition(texts[index.name]), column):
            found.append(User(f"index {index.name}", "index", index.name))
    return found


def _constraints(definition: TableDefinition, column: str) -> list[User]:
    found = []
    for constraint in definition.all_constraints:
        own = constraint.column is not None and folded(constraint.column) == folded(column)
        if constraint.kind == "check":
            uses = not own and refers_to(definition.body_of(constraint), column)
        elif constraint.kind in ("unique", "primary_key"):
            uses = folded(column) in map(folded, constraint.columns)
        else:
            uses = constraint.kind == "foreign_key" and not own and _in_foreign_key(definition, constraint, column)
        if uses:
            found.append(User(describe(definition, constraint), "constraint", constraint=constraint))
    return found


def _in_foreign_key(definition: TableDefinition, constraint: Constraint, column: str) -> bool:
    """On either side: a table may refer to itself."""
    to_itself = folded(constraint.target or "") == folded(definition.name)
    key = definition.primary_key.columns if definition.primary_key else ()
    theirs = (constraint.target_columns or key) if to_itself else ()
    return folded(column) in map(folded, (*constraint.columns, *theirs))


def describe(definition: TableDefinition, constraint: Constraint) -> str:
    """A constraint in words: its name, or its text where it has none."""
    words = {"check": "CHECK", "unique": "UNIQUE", "primary_key": "PRIMARY KEY", "foreign_key": "FOREIGN KEY"}
    kind = words.get(constraint.kind, constraint.kind.upper().replace("_", " "))
    if constraint.name:
        return f"{kind} {constraint.name}"
    if constraint.kind == "check":
        return f"CHECK ({' '.join(definition.body_of(constraint).split())})"
    listed = f"{kind} ({', '.join(constraint.columns)})"
    return f"{listed} to {constraint.target}" if constraint.target else listed


def _refers_to_column(key: ForeignKey, definition: TableDefinition, column: str) -> bool:
    implicit = definition.primary_key.columns if definition.primary_key else ()
    theirs = [name for _, name in key.columns if name is not None] or list(implicit)
    return folded(column) in map(folded, theirs)


def foreign_key_user(owner: TableName, key: ForeignKey) -> User:
    """The foreign key of another table."""
    columns = ", ".join(name for name, _ in key.columns)
    return User(f"foreign key {owner.name} ({columns})", "foreign key", table=owner, key=key)


def _content_tables(catalogue: Catalogue, table: TableName) -> list[Entry]:
    """The full-text tables that read their content from a table (`content='t'`)."""
    found = []
    for entry in catalogue.entries(table.schema or "main", "type = 'table' AND rootpage = 0"):
        words = re.search(r"""\bcontent\s*=\s*('(?:[^']|'')*'|"(?:[^"]|"")*"|[^\s,)]+)""", entry.sql or "", re.I)
        if words and folded(words[1].strip("'\"")) == folded(table.name):
            found.append(entry)
    return found


def content_users(catalogue: Catalogue, table: TableName, column: str | None = None) -> list[User]:
    """The full-text tables that read their content from a table, or a column of it."""
    return [
        User(f"full-text table {entry.name}", "full-text table")
        for entry in _content_tables(catalogue, table)
        if column is None or folded(column) in map(folded, _content_columns(catalogue, entry))
    ]


def _content_columns(catalogue: Catalogue, entry: Entry) -> list[str]:
    facts = catalogue.run(f"PRAGMA {quoted(entry.schema)}.table_xinfo({quoted(entry.name)})")
    key = re.search(r"""\bcontent_rowid\s*=\s*['"]?(\w+)""", entry.sql or "", re.I)
    return [row[1] for row in facts] + ([key[1]] if key else [])


def readers_of_column(catalogue: Catalogue, table: TableName, definition: TableDefinition, column: str) -> list[User]:
    """
    The views and triggers that would not compile without a column.

    Tried on the schema alone, with nothing that is stored touched, and undone.
    """
    programs = [entry for entry in catalogue.all_entries() if entry.kind in ("view", "trigger")]
    named = [e for e in programs if e.kind == "trigger" and _is_over(e, table) and update_of(e.sql or "", column)]
    found = {f"trigger {entry.name}" for entry in named}
    found |= {f"{e.kind} {e.name}" for e in programs if _names(e, table.name, column)} & _unknowable(catalogue)
    kept = [one.name for one in definition.columns if not _goes(definition, one.name, column)]
    if programs and kept and can_edit(catalogue):
        quoting = [entry for entry in programs if _bracketed(entry.sql or "", column) != entry.sql]
        for spelled in ([], quoting) if quoting else ([],):
            found |= _broken_without(catalogue, table, definition, kept, column, spelled)
    return [User(what, what.split()[0]) for what in sorted(found)]


def _broken_without(
    catalogue: Catalogue,
    table: TableName,
    definition: TableDefinition,
    kept: list[str],
    column: str,
    spelled: list[Entry],
) -> set[str]:
    """The programs that no longer compile; those *spelled* are read with the column's name in brackets."""
    with catalogue.undone():
        _bracket(catalogue, spelled, column)
        before = broken(catalogue)
        _take_away(catalogue, table, definition, kept)
        after = broken(catalogue)
    named = {f"{e.kind} {e.name}" for e in catalogue.all_entries() if _names(e, column)}
    # Keys were taken away as well, and what misses one of them may miss the column behind it.
    return {what for what, error in after.items() if what not in before and (_lacks_column(error) or what in named)}


def _names(entry: Entry, *names: str) -> bool:
    return all(refers_to(entry.sql or "", name) for name in names)


def _unknowable(catalogue: Catalogue) -> set[str]:
    """What cannot be compiled here at all, for want of what the application gives its own connections."""
    return {what for what, error in broken(catalogue).items() if is_unknowable(error)}


def readers_of_text(catalogue: Catalogue, table: TableName, definition: TableDefinition, name: str) -> list[User]:
    """What has "name" as a text, which would become the column of that name."""
    stored = catalogue.entries(table.schema or "main", "type = 'index' AND tbl_name = ?", (table.name,))
    found = [User(f"index {e.name}", "index") for e in stored if e.sql and _quotes(keys_and_condition(e.sql), name)]
    bodies = [c for c in definition.all_constraints if c.kind in ("check", "generated", "default")]
    found += [User(describe(definition, c), c.kind) for c in bodies if _quotes(definition.body_of(c), name)]
    programs = [e for e in catalogue.all_entries() if e.kind in ("view", "trigger") and _names(e, table.name)]
    spelled = [e for e in programs if _bracketed(e.sql or "", name) != e.sql]
    if spelled and can_edit(catalogue):
        before = broken(catalogue)
        with catalogue.undone():
            _bracket(catalogue, spelled, name)
            after = broken(catalogue)
        found += [User(what, what.split()[0]) for what in sorted(after) if what not in before]
    return found


def _quotes(sql: str, name: str) -> bool:
    return any(t.text.startswith('"') and folded(name_of(t)) == folded(name) for t in significant(sql))


def readers_of_table(catalogue: Catalogue, table: TableName) -> list[User]:
    """The views, and the triggers of other tables, that would not compile without a table."""
    programs = [entry for entry in catalogue.all_entries() if entry.kind in ("view", "trigger")]
    others = [entry for entry in programs if not (entry.kind == "trigger" and _is_over(entry, table))]
    if not others or not can_edit(catalogue):
        return []
    before = broken(catalogue)
    with catalogue.undone():
        schema = quoted(table.schema or "main")
        gone = f"DELETE FROM {schema}.sqlite_master WHERE tbl_name = ? COLLATE NOCASE AND type <> 'view'"
        edit_schema(catalogue, table.schema or "main", [(gone, (table.name,))])
        after = broken(catalogue)
    found = {what for what, error in after.items() if what not in before and "no such table" in error}
    found |= {f"{e.kind} {e.name}" for e in others if _names(e, table.name)} & _unknowable(catalogue)
    return [User(what, what.split()[0]) for what in sorted(found)]


def _is_over(trigger: Entry, table: TableName) -> bool:
    return folded(trigger.table) == folded(table.name)


def _take_away(catalogue: Catalogue, table: TableName, definition: TableDefinition, kept: list[str]) -> None:
    """Have SQLite see the table with some of its columns, and without all that would need the others."""
    schema, entry = table.schema or "main", catalogue.stored(table)
    columns = [definition.column(name) for name in kept]
    listed = ", ".join(
        " ".join((quoted(c.name), c.type, definition.text_of(c.generated) if c.generated else "")) for c in columns
    )
    updates = [
        (f"DELETE FROM {quoted(schema)}.sqlite_master WHERE type = 'index' AND tbl_name = ?", (table.name,)),
        update(entry, sql=f"CREATE TABLE {quoted(table.name)} ({listed})"),
    ]
    edit_schema(catalogue, schema, updates)


def _goes(definition: TableDefinition, name: str, column: str) -> bool:
    """Whether a column is the one, or computed from it."""
    generated = definition.column(name).generated
    if generated is None or folded(name) == folded(column):
        return folded(name) == folded(column)
    body = definition.body_of(generated)
    others = [other.name for other in definition.columns if folded(other.name) != folded(name)]
    return any(refers_to(body, other) and _goes(definition, other, column) for other in others)


def _bracket(catalogue: Catalogue, spelled: list[Entry], column: str) -> None:
    """Write a name in brackets, which is never a text."""
    for schema in {entry.schema for entry in spelled}:
        texts = [update(e, sql=_bracketed(e.sql or "", column)) for e in spelled if e.schema == schema]
        edit_schema(catalogue, schema, texts)


def _bracketed(sql: str, column: str) -> str:
    """Where "x" is no column any more, SQLite would read it as the text 'x', and not complain."""
    splices, previous = [], None
    for token in significant(sql):
        is_column = token.text.startswith('"') and folded(name_of(token)) == folded(column)
        if is_column and "]" not in column and not (previous is not None and previous.is_word("AS")):
            splices.append((token.start, token.end, f"[{name_of(token)}]"))
        previous = token
    return edits.replace(sql, *splices)


def _lacks_column(error: str) -> bool:
    """Indexes and constraints were taken away as well, and to lack one of those means nothing here."""
    return any(words in error for words in ("no such column", "has no column", "values were supplied", "values for"))


def rows_refer(catalogue: Catalogue, owner: TableName, key: ForeignKey) -> bool:
    """Whether any row of a table has a whole foreign key."""
    present = " AND ".join(f"{quoted(name)} IS NOT NULL" for name, _ in key.columns)
    table = f"{quoted(owner.schema or 'main')}.{quoted(owner.name)}"
    return bool(catalogue.run(f"SELECT 1 FROM {table} WHERE {present} LIMIT 1"))
