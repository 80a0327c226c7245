"""Views and triggers: whether SQLite can still compile each of them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from sqlalchemy.exc import DatabaseError

from .definition import folded
from .tokens import Token, name_of, quoted, significant

if TYPE_CHECKING:
    from .catalogue import Catalogue, Entry

__all__ = ["broken", "is_unknowable", "schema_of", "trigger_event", "update_of"]

_UNKNOWABLE = tuple(f"no such {what}" for what in ("function", "collation", "module", "tokenizer"))


def broken(catalogue: Catalogue) -> dict[str, str]:
    """The views and triggers that do not compile, each as "view v", with what SQLite says of it."""
    found = {}
    for entry in catalogue.all_entries():
        if entry.kind in ("view", "trigger"):
            error = _error(catalogue, entry)
            if error is not None:
                found[f"{entry.kind} {entry.name}"] = error
    return found


def is_unknowable(error: str) -> bool:
    """Whether something does not compile here for want of what the application gives its own connections."""
    return error.startswith(_UNKNOWABLE)


def _error(catalogue: Catalogue, entry: Entry) -> str | None:
    # The text is never the same twice: SQLite crashed on an EXPLAIN that was kept across a change of the schema.
    unique = f"/* {os.urandom(6).hex()} */"
    try:
        statement = (
            f"SELECT * FROM {quoted(entry.schema)}.{quoted(entry.name)}"
            if entry.kind == "view"
            else _firing(catalogue, entry)
        )
        if statement is not None:
            catalogue.run(f"EXPLAIN {statement} {unique}")
    except DatabaseError as error:
        return str(error.orig)
    return None


def _firing(catalogue: Catalogue, trigger: Entry) -> str | None:
    """A statement that would fire the trigger; None where its table is gone."""
    event, columns = trigger_event(trigger.sql or "")
    schema = schema_of(catalogue, trigger)
    if schema is None:
        return None
    table = f"{quoted(schema)}.{quoted(trigger.table)}"
    if event == "DELETE":
        return f"DELETE FROM {table}"
    if event == "INSERT":
        return f"INSERT INTO {table} DEFAULT VALUES"
    facts = catalogue.run(f"PRAGMA {quoted(schema)}.table_xinfo({quoted(trigger.table)})")
    # Those that are not generated: 0, or 1 where a virtual table hides them.
    plain = [row[1] for row in facts if row[6] in (0, 1)]
    wanted = [name for name in plain if not columns or folded(name) in {folded(one) for one in columns}]
    return f"UPDATE {table} SET {quoted(wanted[0])} = NULL" if wanted else None


def schema_of(catalogue: Catalogue, trigger: Entry) -> str | None:
    """The schema of its table: a trigger of temp may be over one of any schema, and may say of which."""
    schemas = [trigger.schema] if trigger.schema != "temp" else catalogue.search_path(_schema_named(trigger.sql or ""))
    for schema in schemas:
        if catalogue.entries(schema, "type IN ('table', 'view') AND name = ? COLLATE NOCASE", (trigger.table,)):
            return schema
    return None


def _schema_named(sql: str) -> str | None:
    found = significant(sql)
    on = next(index for index, token in enumerate(found) if token.is_word("ON"))
    return name_of(found[on + 1]) if found[on + 2].text == "." else None


def trigger_event(sql: str) -> tuple[str, list[str]]:
    """What fires a trigger: "DELETE", "INSERT" or "UPDATE", and the columns after UPDATE OF."""
    found = significant(sql)
    at = next(index for index, token in enumerate(found) if token.is_word("TRIGGER")) + 1
    at += 3 if found[at].is_word("IF") and found[at + 1].is_word("NOT") else 0
    at += 3 if found[at + 1].text == "." else 1
    while not found[at].is_word("DELETE", "INSERT", "UPDATE"):
        at += 1
    event = found[at].text.upper()
    return event, _listed(found[at + 1 :]) if event == "UPDATE" else []


def _listed(rest: list[Token]) -> list[str]:
    if not rest[0].is_word("OF"):
        return []
    end = next(index for index, token in enumerate(rest) if token.is_word("ON"))
    return [name_of(token) for token in rest[1:end] if token.text != ","]


def update_of(sql: str, column: str) -> bool:
    """Whether a trigger is UPDATE OF a column, which SQLite never looks up."""
    return folded(column) in {folded(name) for name in trigger_event(sql)[1]}
