"""
A schema as SQLite has stored it, compared with another, and what differs in words.

Two definitions are the same when they say the same: white space, comments, the quotes of names and the case of
keywords do not count, for ALTER TABLE leaves such traces; the order of columns and everything else does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from ..backends.sqlite import ask, pragma, quoted
from ..schema.sqlite.definition import TableDefinition, folded
from ..schema.sqlite.reader import DefinitionError, parse
from ..schema.sqlite.tokens import name_of, significant
from .source import files_of

__all__ = ["Schema", "changed_tables", "differences"]

_FACTS = ("application_id", "auto_vacuum", "encoding", "journal_mode", "page_size")


class Key(NamedTuple):
    """Which object it is; the schema is empty for main."""

    schema: str
    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {f'{self.schema}.' if self.schema else ''}{self.name}"


class Schema(NamedTuple):
    """The definitions of all objects, the tables that they are of, and what the file says of itself."""

    objects: Mapping[Key, str]
    tables: Mapping[Key, str]
    facts: Mapping[str, Any]

    @classmethod
    def read(cls, raw: Any, ignored: Collection[str]) -> Schema:
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


def differences(before: Schema, after: Schema) -> list[str]:
    """What *after* has that *before* had not, and the other way round; empty where they say the same."""
    return list(_differences(before, after))


def _differences(before: Schema, after: Schema) -> Iterator[str]:
    for key in before.objects.keys() - after.objects.keys():
        yield f"- {key}"
    for key, sql in after.objects.items():
        if key not in before.objects:
            yield f"+ {key}"
        elif sql != before.objects[key] and canonical(sql) != canonical(before.objects[key]):
            yield from _changes(key, before.objects[key], sql)
    for name, value in after.facts.items():
        if value != before.facts.get(name):
            yield f"~ {name}: {before.facts.get(name)} -> {value}"


def changed_tables(before: Schema, after: Schema) -> set[tuple[str, str]]:
    """The tables, with their schemas, that are new, defined otherwise, or have such an index."""
    return {
        (key.schema or "main", after.tables[key])
        for key, sql in after.objects.items()
        if before.objects.get(key) != sql and key.kind in ("table", "index")
    }


@lru_cache(maxsize=4096)
def canonical(sql: str) -> tuple[str, ...]:
    """What a definition says, for comparison only."""
    return tuple(
        token.text if token.kind == "string" else folded(name_of(token) if token.is_name else token.text)
        for token in significant(sql)
    )


def _changes(key: Key, before: str, after: str) -> Iterator[str]:
    try:
        old, new = (parse(before), parse(after)) if key.kind == "table" else (None, None)
    except DefinitionError:
        old = new = None
    found = [] if old is None or new is None else [*_columns(old, new), *_constraints(old, new)]
    yield from (f"~ {key}: {change}" for change in found or ["another definition"])


def _columns(old: TableDefinition, new: TableDefinition) -> Iterator[str]:
    was = {folded(column.name): old.text[column.start : column.end] for column in old.columns}
    now = {folded(column.name): new.text[column.start : column.end] for column in new.columns}
    for name, text in was.items():
        if name not in now:
            yield f"- column {_line(text)}"
    for name, text in now.items():
        if name not in was:
            yield f"+ column {_line(text)}"
        elif canonical(text) != canonical(was[name]):
            yield f"column {_line(was[name])} -> {_line(text)}"
    kept = [name for name in now if name in was]
    if kept != [name for name in was if name in now]:
        yield f"columns in another order: {', '.join(column.name for column in new.columns)}"


def _constraints(old: TableDefinition, new: TableDefinition) -> Iterator[str]:
    was, now = (
        {canonical(table.text_of(found)): _line(table.text_of(found)) for found in table.constraints}
        for table in (old, new)
    )
    for sign, some, others in (("-", was, now), ("+", now, was)):
        for said in Counter(some.keys()) - Counter(others.keys()):
            yield f"{sign} {some[said]}"


def _line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 120 else f"{line[:119]}…"
