"""What only servers have: columns that number themselves, and types with names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from sqlalchemy import Column
from sqlalchemy.schema import CreateColumn

from ..drift import shape as shapes
from ..drift.postgresql_names import made_up_name
from ..schema.ddl import plain
from ..schema.sqlite.tokens import refers_to, significant
from .code import Raw, literal
from .operations import condition_of
from .reflected import index_of
from .statements import Statement
from .things import execute, sql_name

if TYPE_CHECKING:
    from sqlalchemy.engine.interfaces import Dialect

    from .changes import Changes

__all__ = ["change_enum", "modified", "numbered", "renamed_key", "unnumbered"]


def modified(dialect: Dialect, table: str, column: Column[Any]) -> Statement:
    """MariaDB and MySQL: have a column as it is to be, AUTO_INCREMENT or not."""
    sql = f"ALTER TABLE {sql_name(dialect, table)} MODIFY {plain(dialect, CreateColumn(column))}"
    return execute(sql, f"alter column {table}.{column.name}: identity")


def renamed_key(dialect: Dialect, table: str, wanted: str | None, there: str | None) -> Statement | None:
    """PostgreSQL: have a primary key under another name; None is the one that the server gives."""
    usual = made_up_name("p", table.rpartition(".")[2])
    old, new = there or usual, wanted or usual
    if dialect.name != "postgresql" or old == new:
        return None
    words = f"RENAME CONSTRAINT {sql_name(dialect, old)} TO {sql_name(dialect, new)}"
    return execute(f"ALTER TABLE {sql_name(dialect, table)} {words}", f"name of the primary key of {table}: {new}")


def unnumbered(dialect: Dialect, table: str, there: shapes.Column) -> Statement:
    """PostgreSQL: have a column number itself no more; a sequence of its own stays for now."""
    text = f"alter column {table}.{there.name}: no identity"
    if there.identity is not None and there.identity.startswith("SERIAL"):
        options = (("server_default", Raw("None")),)
        return Statement("alter_column", (literal(there.name),), options, table=table, text=text)
    owner, name = sql_name(dialect, table), sql_name(dialect, there.name)
    return execute(f"ALTER TABLE {owner} ALTER COLUMN {name} DROP IDENTITY", text)


def numbered(changes: Changes, table: str, wanted: shapes.Column, there: shapes.Column) -> Iterator[Statement]:
    """PostgreSQL: have a column number itself."""
    dialect = changes.ground.dialect
    owner, name = sql_name(dialect, table), sql_name(dialect, wanted.name)
    text, said = f"alter column {table}.{wanted.name}: identity", str(wanted.identity)
    if not said.startswith("SERIAL"):
        yield execute(f"ALTER TABLE {owner} ALTER COLUMN {name} ADD GENERATED {said}", text)
        return
    if there.identity is not None and there.identity.startswith("SERIAL"):
        sequence = changes.ground.value(f"SELECT pg_get_serial_sequence({_text(owner)}, {_text(wanted.name)})")
        if sequence is not None:
            yield execute(f"ALTER SEQUENCE {sequence} AS {wanted.type}", text)
        return
    place, _, plain_name = table.rpartition(".")
    sequence = sql_name(dialect, f"{place}.{plain_name}_{wanted.name}_seq".removeprefix("."))
    yield execute(f"CREATE SEQUENCE {sequence} AS {wanted.type} OWNED BY {owner}.{name}", f"{text}, its sequence")
    default = f"nextval({_text(sequence)})"
    yield execute(f"ALTER TABLE {owner} ALTER COLUMN {name} SET DEFAULT {default}", text)


def change_enum(changes: Changes, wanted: shapes.Thing, there: shapes.Thing) -> Iterator[Statement]:
    """
    PostgreSQL: have an ENUM have other labels.

    New ones are added; where one goes, or a default needs a new one at once, the columns get a new type.
    """
    dialect = changes.ground.dialect
    new, old = (_labels(thing) for thing in (wanted, there))
    name, text = sql_name(dialect, wanted.name), f"labels of the type {wanted.name}"
    users = [
        (table, column)
        for table in changes.shape.tables.values()
        for column in table.columns
        if column.type.removesuffix("[]") in (there.name, name)
    ]
    added = [label for label in new if label not in old]
    defaults = [_wanted_default(changes, table, column) or "" for table, column in users]
    if [label for label in new if label in old] == old and not any(
        _text(label) in default for label in added for default in defaults
    ):
        for at, label in enumerate(new):
            if label in added:
                place = f"BEFORE {_text(new[at + 1])}" if at + 1 < len(new) and new[at + 1] in old else ""
                place = place or (f"AFTER {_text(new[at - 1])}" if at else "")
                yield execute(f"ALTER TYPE {name} ADD VALUE {_text(label)} {place}".strip(), f"{text}: {label}")
        return
    over = list(_over(changes, users))
    yield from (dropping for _, dropping, _ in over)
    plain_name = wanted.name.rpartition(".")[2]
    before = f"{name.rpartition('.')[0]}.{sql_name(dialect, f'{plain_name}_before')}".removeprefix(".")
    yield execute(f"ALTER TYPE {name} RENAME TO {before.rpartition('.')[2]}", f"{text}: the old type")
    yield execute(f"CREATE TYPE {name} AS {wanted.definition.shown}", f"{text}: the new type")
    gone = [label for label in old if label not in new]
    yield from (_retyped(changes, table, column, name, gone, text) for table, column in users)
    yield execute(f"DROP TYPE {before}", f"{text}: no old type")
    # What is to be another is made with all others like it.
    differing = [found.right for found in changes.differences()]
    yield from (making for kept, _, making in over if kept not in differing)


def _over(
    changes: Changes, users: list[tuple[shapes.Table, shapes.Column]]
) -> Iterator[tuple[shapes.Constraint | shapes.Index, Statement, Statement]]:
    """The CHECKs and indexes that compare these columns with a label, by which they keep their type."""
    operations, key = changes.operations, changes.shape.key
    columns: dict[str, list[str]] = {}
    for table, column in users:
        columns.setdefault(key(table.name), []).append(column.name)
    for table in changes.shape.tables.values():
        for check in table.constraints if key(table.name) in columns else ():
            if check.kind == "check" and _is_over(check.definition.shown, columns[key(table.name)]):
                text = f"{check.definition.shown} of {table.name}"
                args = (literal(check.name), literal(condition_of(check)))
                making = Statement("create_check", args, table=table.name, text=f"{text}: again")
                yield check, changes.dropping(table.name, check), making
    for index in changes.shape.indexes.values():
        shown = index.definition.shown
        if ("::" in shown or "((" in shown) and _is_over(shown, columns.get(key(index.table), [])):
            found = index_of(index.name, index.table, shown, changes.ground.dialect)
            making = operations.made_index(found, index.table, f"index {index.name} of {index.table}: again")
            yield index, operations.drop_index(index), making


def _is_over(said: str, columns: list[str]) -> bool:
    return any(refers_to(said, name) for name in columns)


def _retyped(
    changes: Changes, table: shapes.Table, column: shapes.Column, name: str, gone: list[str], text: str
) -> Statement:
    """A column of the new type."""
    owner, own = sql_name(changes.ground.dialect, table.name), sql_name(changes.ground.dialect, column.name)
    array = "[]" if column.type.endswith("[]") else ""
    default = _wanted_default(changes, table, column)
    words = [f"ALTER COLUMN {own} DROP DEFAULT"] if column.default is not None else []
    words.append(f"ALTER COLUMN {own} TYPE {name}{array} USING {own}::text{array}::{name}{array}")
    words += [f"ALTER COLUMN {own} SET DEFAULT {default}"] if default is not None else []
    note = (f"Rows that hold {', '.join(gone)} in {table.name}.{column.name} stop this.",) if gone else ()
    made = execute(f"ALTER TABLE {owner} {', '.join(words)}", f"{text}: {table.name}.{column.name}")
    return Statement(made.method, made.args, text=made.text, notes=note)


def _wanted_default(changes: Changes, table: shapes.Table, column: shapes.Column) -> str | None:
    """The default that a column is to have, of the target where that has the column."""
    key = changes.shape.column_key
    to_be = changes.target.shape.tables.get(changes.shape.key(table.name))
    found = next((one for one in (to_be.columns if to_be else ()) if key(one.name) == key(column.name)), column)
    return found.default.shown if found.default is not None else None


def _labels(thing: shapes.Thing) -> list[str]:
    said = re.sub(r"\AENUM \(|\)\Z", "", thing.definition.shown)
    return [token.text[1:-1].replace("''", "'") for token in significant(said) if token.kind == "string"]


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
