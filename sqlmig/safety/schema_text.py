"""
A schema as SQLite has stored it, compared with another.

Two definitions are the same when they say the same: white space, comments, the quotes of names and the case of
keywords do not count, for ALTER TABLE leaves such traces; the order of columns and everything else does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from functools import lru_cache
from typing import Any, Self

from ..backends.sqlite import ask, pragma, quoted
from ..schema.sqlite.definition import TableDefinition, folded
from ..schema.sqlite.reader import DefinitionError, parse
from ..schema.sqlite.tokens import name_of, significant
from .differences import Key, Schema, one_line
from .source import files_of

__all__ = ["SQLiteSchema"]

_FACTS = ("application_id", "auto_vacuum", "encoding", "journal_mode", "page_size")


class SQLiteSchema(Schema):
    """All objects of the files of a connection."""

    @classmethod
    def read(cls, raw: Any, ignored: Collection[str]) -> Self:
        """
        Read it off a connection.

        Args:
            ignored: Tables that are records of migrations, in lower case; they and theirs are left out.
        """
        objects: dict[Key, str] = {}
        tables: dict[Key, str] = {}
        for schema in files_of(raw):
            # SQLite's own tables stay where they once were: sqlite_sequence cannot be dropped.
            rows = ask(
                raw,
                f"SELECT type, name, tbl_name, sql FROM {quoted(schema)}.sqlite_master"
                " WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY rowid",
            )
            place = "" if schema == "main" else schema
            for kind, name, table, sql in rows:
                if table.lower() not in ignored:
                    key = Key(place, kind, name)
                    objects[key], tables[key] = sql, table
        return cls(objects, tables, {name: pragma(raw, name) for name in _FACTS})

    def is_same(self, before: str, after: str) -> bool:
        """Whether two definitions say the same."""
        return canonical(before) == canonical(after)

    def changes(self, key: Key, before: str, after: str) -> Iterator[str]:
        """Columns and constraints of a table."""
        if key.kind != "table":
            return
        try:
            old, new = parse(before), parse(after)
        except DefinitionError:
            return
        yield from _columns(old, new)
        yield from _constraints(old, new)


@lru_cache(maxsize=4096)
def canonical(sql: str) -> tuple[str, ...]:
    """What a definition says, for comparison only."""
    return tuple(
        token.text if token.kind == "string" else folded(name_of(token) if token.is_name else token.text)
        for token in significant(sql)
    )


def _columns(old: TableDefinition, new: TableDefinition) -> Iterator[str]:
    was = {folded(column.name): old.text[column.start : column.end] for column in old.columns}
    now = {folded(column.name): new.text[column.start : column.end] for column in new.columns}
    for name, text in was.items():
        if name not in now:
            yield f"- column {one_line(text)}"
    for name, text in now.items():
        if name not in was:
            yield f"+ column {one_line(text)}"
        elif canonical(text) != canonical(was[name]):
            yield f"column {one_line(was[name])} -> {one_line(text)}"
    kept = [name for name in now if name in was]
    if kept != [name for name in was if name in now]:
        yield f"columns in another order: {', '.join(column.name for column in new.columns)}"


def _constraints(old: TableDefinition, new: TableDefinition) -> Iterator[str]:
    was, now = (
        {canonical(table.text_of(found)): one_line(table.text_of(found)) for found in table.constraints}
        for table in (old, new)
    )
    for sign, some, others in (("-", was, now), ("+", now, was)):
        for said in Counter(some.keys()) - Counter(others.keys()):
            yield f"{sign} {some[said]}"
