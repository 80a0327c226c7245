"""The prepared table, and each operation upon it as every contestant does it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["INDEXES", "JOBS", "LAYOUTS", "Job", "edited", "prepare"]

_COLUMNS = (
    "id INTEGER PRIMARY KEY",
    "owner INTEGER NOT NULL",
    "name TEXT NOT NULL",
    "code TEXT",
    "price REAL",
    "amount INTEGER",
    "state TEXT NOT NULL DEFAULT 'new'",
    "note TEXT DEFAULT 'none'",
)
_CHECK = "CONSTRAINT amount_there CHECK (amount >= 0)"
_UNIQUE = "CONSTRAINT code_once UNIQUE (code)"


def _lines(*parts: str) -> str:
    return "CREATE TABLE item (\n    " + ",\n    ".join(parts) + "\n)"


LAYOUTS = {
    "lines": _lines(*_COLUMNS, _CHECK),
    "line": f"CREATE TABLE item ({', '.join((*_COLUMNS, _CHECK))})",
    "unique": _lines(*_COLUMNS, _CHECK, _UNIQUE),
}
"""The definition of the table in many lines, in one, and with a UNIQUE constraint."""

INDEXES = (
    "CREATE INDEX {prefix}owner ON {table} (owner)",
    "CREATE INDEX {prefix}name ON {table} (name)",
    "CREATE INDEX {prefix}dear ON {table} (state, price) WHERE price > 500",
)

_ROWS = """
INSERT INTO item
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
SELECT i, 1 + i * 7919 % 1000, 'name ' || (i * 48271 % 99991), printf('%07x', i * 40503 % 16777213),
    i % 100000 / 100.0, i % 97, CASE i % 5 WHEN 0 THEN 'done' ELSE 'new' END, 'a note on ' || i
FROM n
"""


def prepare(file: Path, layout: str, rows: int) -> None:
    """Make a database of a layout; its rows are the same in all of them."""
    connection = sqlite3.connect(file, isolation_level=None)
    # Nothing of this stays in the file.
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("PRAGMA journal_mode = OFF")
    connection.execute("PRAGMA cache_size = -400000")
    connection.execute("BEGIN")
    connection.execute("CREATE TABLE owner (id INTEGER PRIMARY KEY, name TEXT NOT NULL)")
    connection.execute(
        "INSERT INTO owner WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)"
        " SELECT i, 'owner ' || i FROM n"
    )
    connection.execute(LAYOUTS[layout])
    connection.execute(_ROWS, (rows,))
    for index in INDEXES:
        connection.execute(index.format(prefix="item_", table="item"))
    connection.execute("COMMIT")
    connection.close()


@dataclass(frozen=True)
class Job:
    """
    One operation.

    Attributes:
        goal: "edit" 0.02 of the floor; "scan" 0.02 and what the same demand costs by hand; "rebuild" 1.05.
        hand: The statements of somebody who knows what he does; with a COMMIT after them.
        sqlmig: Given an `sqlmig.schema.Operations`.
        alembic: Given an `alembic.operations.Operations`; None where it has nothing for it.
    """

    title: str
    layout: str
    goal: str
    hand: tuple[str, ...]
    sqlmig: Callable[[Any], object]
    alembic: Callable[[Any], object] | None = None


def edited(old: str, new: str) -> tuple[str, ...]:
    """The bare edit of the stored definition."""
    old, new = old.replace("'", "''"), new.replace("'", "''")
    return (
        "PRAGMA writable_schema = ON",
        f"UPDATE sqlite_master SET sql = replace(sql, '{old}', '{new}') WHERE type = 'table' AND name = 'item'",
        "PRAGMA schema_version = 1000",
        "PRAGMA writable_schema = RESET",
    )


def _batch(call: Callable[[Any], object], **options: Any) -> Callable[[Any], object]:
    def run(op: Any) -> None:
        from sqlalchemy import CheckConstraint

        # The CHECK is not reflected, and would be lost.
        kept = (CheckConstraint("amount >= 0", name="amount_there"),)
        with op.batch_alter_table("item", table_args=kept, **options) as batch:
            call(batch)

    return run


def _more(default: str) -> Any:
    from sqlalchemy import Column, Text, text

    return Column("more", Text(), server_default=text(default))


def _dropped_check(op: Any) -> None:
    op.drop_constraint("amount_there", type_="check")


def _type(op: Any, *before: str) -> None:
    from sqlalchemy import Text

    op.alter_column(*before, "amount", type_=Text())


_NAMES = ", ".join(column.split()[0] for column in _COLUMNS)
_KEPT = "PRAGMA foreign_key_check(item)"
_REBUILT = (
    "CREATE TABLE item_new ({definition})",
    f"INSERT INTO item_new ({_NAMES}) SELECT {_NAMES} FROM item",
    "DROP TABLE item",
    "ALTER TABLE item_new RENAME TO item",
    *(index.format(prefix="item_", table="item") for index in INDEXES),
)


def _rebuilt(old: str, new: str, layout: str = "lines") -> tuple[str, ...]:
    """What everybody does who has no other way, with nothing looked after."""
    definition = LAYOUTS[layout].partition("(")[2].rstrip()[:-1].replace(old, new)
    return tuple(statement.format(definition=definition) for statement in _REBUILT)


def _both(
    title: str, goal: str, old: str, new: str, scan: tuple[str, ...], *calls: Callable[[Any], object]
) -> list[Job]:
    return [
        Job(f"{title}{', one line' if layout == 'line' else ''}", layout, goal, (*scan, *edited(old, new)), *calls)
        for layout in ("lines", "line")
    ]


def _scan(condition: str) -> tuple[str, ...]:
    return (f"SELECT count(*) FROM item NOT INDEXED WHERE {condition}",)


JOBS = (
    *_both(
        "drop CHECK",
        "edit",
        _CHECK,
        "CHECK (1)",
        (),
        lambda op: op.drop_constraint("item", name="amount_there"),
        _batch(_dropped_check),
    ),
    *_both(
        "drop NOT NULL",
        "edit",
        "name TEXT NOT NULL",
        "name TEXT",
        (),
        lambda op: op.alter_column("item", "name", nullable=True),
        _batch(lambda op: op.alter_column("name", nullable=True)),
    ),
    *_both(
        "change a default",
        "edit",
        "DEFAULT 'none'",
        "DEFAULT 'any'",
        (),
        lambda op: op.alter_column("item", "note", server_default="any"),
        _batch(lambda op: op.alter_column("note", server_default="any")),
    ),
    *_both(
        "add CHECK",
        "scan",
        _CHECK,
        f"{_CHECK}, CONSTRAINT dear CHECK (price >= 0)",
        _scan("NOT (price >= 0)"),
        lambda op: op.create_check("item", "dear", "price >= 0"),
        _batch(lambda op: op.create_check_constraint("dear", "price >= 0")),
    ),
    Job(
        "set NOT NULL",
        "lines",
        "scan",
        (*_scan("code IS NULL"), *edited("code TEXT", "code TEXT NOT NULL")),
        lambda op: op.alter_column("item", "code", nullable=False),
        _batch(lambda op: op.alter_column("code", nullable=False)),
    ),
    Job(
        "add UNIQUE",
        "lines",
        "scan",
        ("CREATE UNIQUE INDEX code_once ON item (code)",),
        lambda op: op.create_unique("item", "code_once", ["code"]),
        _batch(lambda op: op.create_unique_constraint("code_once", ["code"])),
    ),
    Job(
        "drop UNIQUE",
        "unique",
        "edit",
        (
            "PRAGMA writable_schema = ON",
            f"UPDATE sqlite_master SET sql = replace(sql, ',\n    {_UNIQUE}', '') WHERE name = 'item'",
            "UPDATE sqlite_master SET name = 'gone', sql = 'CREATE INDEX gone ON item (id)'"
            " WHERE name = 'sqlite_autoindex_item_1'",
            "PRAGMA writable_schema = RESET",
            "DROP INDEX gone",
        ),
        lambda op: op.drop_constraint("item", name="code_once"),
        _batch(lambda op: op.drop_constraint("code_once", type_="unique")),
    ),
    Job(
        "add FOREIGN KEY",
        "lines",
        "scan",
        (*edited(_CHECK, f"{_CHECK}, FOREIGN KEY (owner) REFERENCES owner (id)"), _KEPT),
        lambda op: op.create_foreign_key("item", "owned", ["owner"], "owner", ["id"]),
        _batch(lambda op: op.create_foreign_key("owned", "owner", ["owner"], ["id"])),
    ),
    Job(
        "type INTEGER to TEXT",
        "lines",
        "rebuild",
        _rebuilt("amount INTEGER", "amount TEXT"),
        lambda op: _type(op, "item"),
        _batch(_type),
    ),
    Job(
        "type INTEGER to TEXT, UNIQUE",
        "unique",
        "rebuild",
        _rebuilt("amount INTEGER", "amount TEXT", "unique"),
        lambda op: _type(op, "item"),
        _batch(_type),
    ),
    Job(
        "drop column",
        "lines",
        "rebuild",
        ("ALTER TABLE item DROP COLUMN note",),
        lambda op: op.drop_column("item", "note"),
        _batch(lambda op: op.drop_column("note")),
    ),
    Job(
        "add column",
        "lines",
        "edit",
        ("ALTER TABLE item ADD COLUMN more TEXT DEFAULT 'x'",),
        lambda op: op.add_column("item", _more("'x'")),
        lambda op: op.add_column("item", _more("'x'")),
    ),
    Job(
        "add column, DEFAULT (expression)",
        "lines",
        "rebuild",
        _rebuilt("note TEXT", "more TEXT DEFAULT (upper('x')), note TEXT"),
        lambda op: op.add_column("item", _more("(upper('x'))")),
        _batch(lambda op: op.add_column(_more("(upper('x'))")), recreate="always"),
    ),
    Job(
        "rename column",
        "lines",
        "edit",
        ("ALTER TABLE item RENAME COLUMN note TO remark",),
        lambda op: op.rename_column("item", "note", "remark"),
        _batch(lambda op: op.alter_column("note", new_column_name="remark")),
    ),
    Job(
        "rename table",
        "lines",
        "edit",
        ("ALTER TABLE item RENAME TO thing",),
        lambda op: op.rename_table("item", "thing"),
        lambda op: op.rename_table("item", "thing"),
    ),
)
