"""The table in docs/schema-operations.md: each row is run on SQLite, and its way, cost and keeping are seen."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from sqlalchemy import CheckConstraint, Column, Computed, Connection, Engine, Integer, String, Text, event

from sqlmig import Operations

PAGE = Path(__file__).parent.parent / "docs" / "schema-operations.md"
DEFINITION = """CREATE TABLE "t" (
    id INTEGER PRIMARY KEY AUTOINCREMENT, -- the key
    x INTEGER DEFAULT 7,
    n VARCHAR(20) COLLATE NOCASE NOT NULL DEFAULT 'none', /* a name, (quoted) */
    k TEXT UNIQUE ON CONFLICT IGNORE,
    u TEXT CONSTRAINT uq_u UNIQUE,
    c INTEGER CONSTRAINT ck_c CHECK (c > 0),
    p INTEGER CONSTRAINT fk_p REFERENCES parent(id) ON DELETE SET NULL,
    g TEXT GENERATED ALWAYS AS (n || '!') VIRTUAL,
    s INTEGER AS (x * 2) STORED,
    CHECK (n <> 'forbidden')
)"""
NATIVE = re.compile(r"\s*(ALTER|(CREATE|DROP) (UNIQUE )?(TABLE (?!temp)|VIEW|TRIGGER|INDEX (?!.*sqlmig)))")
SCHEMA = (
    "CREATE TABLE parent (id INTEGER PRIMARY KEY)",
    "INSERT INTO parent VALUES (1)",
    DEFINITION,
    "CREATE INDEX ix_n ON t (lower(n), x DESC) WHERE x > 0",
    "CREATE INDEX ix_c ON t (n COLLATE NOCASE)",
    "CREATE TABLE log (m TEXT)",
    "CREATE TRIGGER tr AFTER UPDATE ON t BEGIN INSERT INTO log VALUES (new.id); END",
    "CREATE VIEW v AS SELECT id, n FROM t",
    "CREATE TABLE child (t_id INTEGER REFERENCES t(id) ON DELETE CASCADE)",
)


class Row(NamedTuple):
    """One row of the page: how the operation is called, and on a table in what state."""

    act: Callable[[Operations], Any]
    prepare: tuple[str, ...] = ()
    empty: bool = False
    named: tuple[str, ...] = ()
    """Columns and objects that the operation names, or that go with what it names."""


def to_integer(ops: Operations) -> None:
    ops.alter_column("t", "a", type_=Integer)


ROWS: dict[str, Row] = {
    "`create_table`": Row(lambda o: o.create_table("fresh", Column("id", Integer)), named=("fresh",)),
    "`drop_table`": Row(lambda o: o.drop_table("log2"), ("CREATE TABLE log2 (m)",), named=("log2",)),
    "`rename_table`": Row(lambda o: o.rename_table("log2", "log3"), ("CREATE TABLE log2 (m)",), named=("log2", "log3")),
    "`add_column`": Row(lambda o: o.add_column("t", Column("a", String(8), server_default="en"))),
    "`add_column`, `NOT NULL` on an empty table": Row(
        lambda o: o.add_column("t", Column("a", Integer, nullable=False)), empty=True
    ),
    "`add_column` with CHECK": Row(
        lambda o: o.add_column("t", Column("a", Integer, CheckConstraint("a > 0"), server_default="1"))
    ),
    "`add_column` with UNIQUE": Row(lambda o: o.add_column("t", Column("a", Integer, unique=True))),
    "`add_column`, default an expression, or `STORED`": Row(
        lambda o: o.add_column("t", Column("a", Integer, Computed("x + 1", persisted=True)))
    ),
    "`drop_column`": Row(lambda o: o.drop_column("t", "c"), named=("c",)),
    "`drop_column` of a key or with a UNIQUE, `cascade=True`": Row(
        lambda o: o.drop_column("t", "u", cascade=True), named=("u",)
    ),
    "`rename_column`": Row(lambda o: o.rename_column("t", "k", "kk"), named=("k", "kk")),
    "`alter_column(type_=)`, same affinity": Row(lambda o: o.alter_column("t", "n", type_=Text), named=("n",)),
    "`alter_column(type_=)`, another affinity": Row(lambda o: o.alter_column("t", "x", type_="TEXT"), named=("x",)),
    "`alter_column(using=)`": Row(lambda o: o.alter_column("t", "x", using="x + 1"), named=("x", "s")),
    "`alter_column(nullable=True)`": Row(lambda o: o.alter_column("t", "n", nullable=True), named=("n",)),
    "`alter_column(nullable=False)`": Row(lambda o: o.alter_column("t", "x", nullable=False), named=("x",)),
    "`alter_column(server_default=)`": Row(lambda o: o.alter_column("t", "n", server_default="other"), named=("n",)),
    "`alter_column(server_default=)`, rows older than the column": Row(
        lambda o: o.alter_column("t", "a", server_default="9"),
        ("ALTER TABLE t ADD COLUMN a INTEGER DEFAULT 8",),
        named=(),
    ),
    "`alter_column(collation=)`": Row(lambda o: o.alter_column("t", "k", collation="NOCASE"), named=("k",)),
    "`alter_column(comment=)`": Row(lambda o: o.alter_column("t", "k", comment="a key")),
    "`alter_column(new_name=)`": Row(lambda o: o.alter_column("t", "k", new_name="kk"), named=("k", "kk")),
    "`create_check`": Row(lambda o: o.create_check("t", "ck_x", "x >= 0")),
    "`create_unique`": Row(lambda o: o.create_unique("t", "uq_x", ["x", "id"])),
    "`create_foreign_key`": Row(lambda o: o.create_foreign_key("t", "fk_c", ["c"], "parent", ["id"])),
    "`change_primary_key`": Row(
        lambda o: o.change_primary_key("bare", ["a"]),
        ("CREATE TABLE bare (a INTEGER NOT NULL, b)", "INSERT INTO bare SELECT id, n FROM t"),
        named=("bare", "a"),
    ),
    "`drop_constraint`, a CHECK": Row(lambda o: o.drop_constraint("t", name="ck_c")),
    "`drop_constraint`, a FOREIGN KEY": Row(lambda o: o.drop_constraint("t", kind="foreign_key", columns=["p"])),
    "`drop_constraint`, a UNIQUE": Row(lambda o: o.drop_constraint("t", kind="unique", columns=["k"])),
    "`drop_constraint`, the primary key": Row(
        lambda o: o.drop_constraint("bare", kind="primary_key"),
        ("CREATE TABLE bare (a TEXT PRIMARY KEY, b)", "INSERT INTO bare SELECT id, n FROM t"),
        named=("bare", "a"),
    ),
    "`create_index`": Row(lambda o: o.create_index("ix_x", "t", ["x"]), named=("ix_x",)),
    "`drop_index`": Row(lambda o: o.drop_index("ix_c"), named=("ix_c",)),
    "`create_view`, `drop_view`": Row(lambda o: (o.create_view("w", "SELECT 1 AS one"), o.drop_view("w"))),
    "`create_trigger`, `drop_trigger`": Row(
        lambda o: (o.create_trigger("tr2", "AFTER INSERT ON t BEGIN SELECT 1; END"), o.drop_trigger("tr2"))
    ),
}


def listed() -> dict[str, tuple[str, str]]:
    """The rows of the page: operation, way on SQLite, cost there."""
    found = {}
    for line in PAGE.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 5 and cells[0].startswith("`"):
            found[cells[0]] = (cells[1], cells[2])
    return found


def test_every_row_of_the_page_is_tried() -> None:
    assert list(listed()) == list(ROWS)


def fill(connection: Connection, row: Row, rows: int) -> None:
    for statement in SCHEMA:
        connection.exec_driver_sql(statement)
    if not row.empty:
        connection.exec_driver_sql(
            "WITH RECURSIVE i(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM i WHERE n < ?)"
            " INSERT INTO t (id, x, n, k, u, c, p) SELECT n * 3, n, 'name ' || n, 'k' || n, 'u' || n, 1, 1 FROM i",
            (rows,),
        )
        connection.exec_driver_sql("INSERT INTO child SELECT id FROM t WHERE id < 30")
    for statement in row.prepare:
        connection.exec_driver_sql(statement)
    connection.exec_driver_sql("ANALYZE")
    connection.commit()


def seen(connection: Connection, row: Row) -> dict[str, Any]:
    """All that the operation did not name."""
    objects = connection.exec_driver_sql("SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY name").all()
    comments = re.findall(r"--.*|/\*.*?\*/", next(o.sql for o in objects if o.name == "t"))
    found: dict[str, Any] = {"comments": comments}
    for kind, name, table, sql in objects:
        if name in row.named or table in row.named or name in ("t", "sqlite_stat1") or "autoindex" in name:
            continue
        found[f"{kind} {name}"] = sql if not set(row.named) & set(re.findall(r"\w+", sql or "")) else None
    columns = [c[1] for c in connection.exec_driver_sql("PRAGMA table_xinfo(t)") if c[1] not in (*row.named, "a")]
    found["columns"] = [c[1:7] for c in connection.exec_driver_sql("PRAGMA table_xinfo(t)") if c[1] in columns]
    values = ", ".join(f"{c}, typeof({c})" for c in columns)
    found["rows"] = connection.exec_driver_sql(f"SELECT rowid, {values} FROM t ORDER BY rowid").all()
    for other in ("parent", "child", "log", "sqlite_sequence"):
        found[other] = connection.exec_driver_sql(f"SELECT rowid, * FROM {other} ORDER BY rowid").all()
    statistics = "SELECT * FROM sqlite_stat1 WHERE idx NOT LIKE '%auto%' ORDER BY 1, 2"
    found["statistics"] = [s for s in connection.exec_driver_sql(statistics).all() if not set(s) & set(row.named)]
    pragmas = ("foreign_keys", "legacy_alter_table", "writable_schema", "defer_foreign_keys", "recursive_triggers")
    found["settings"] = [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in pragmas]
    return found


def run(engine: Engine, row: Row) -> tuple[list[str], int]:
    """The statements of the operation, and how many instructions of SQLite's machine it took."""
    statements: list[str] = []
    steps = 0

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        statements.append(statement)

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA foreign_keys = ON")
        connection.commit()
        raw: Any = connection.connection.dbapi_connection
        event.listen(connection, "before_cursor_execute", note)
        raw.set_progress_handler(count, 1)
        row.act(Operations(connection))
        raw.set_progress_handler(None, 1)
        event.remove(connection, "before_cursor_execute", note)
        connection.commit()
    return statements, steps


def way(statements: list[str]) -> str:
    if any(re.match(r"INSERT INTO .*SELECT", s, re.S) for s in statements):
        return "copy"
    if any(
        re.match(r"ALTER|\s*(CREATE|DROP) (UNIQUE )?(TABLE (?!temp)|VIEW|TRIGGER|INDEX (?!.*sqlmig))", s)
        for s in statements
    ):
        return "native"
    return "edit" if any("writable_schema" in s for s in statements) else "nothing"


@pytest.mark.parametrize("operation", ROWS)
def test_it_is_done_in_the_way_that_the_page_says(operation: str, engine: Engine) -> None:
    with engine.connect() as connection:
        fill(connection, ROWS[operation], 50)
    statements, _ = run(engine, ROWS[operation])
    edited = any(re.match(r"UPDATE .*sqlite_master SET", s) for s in statements)
    expected = listed()[operation][0]
    assert way(statements) == expected or (expected == "edit" and edited and way(statements) != "copy")


@pytest.mark.parametrize("operation", ROWS)
def test_nothing_changes_that_was_not_named(operation: str, engine: Engine) -> None:
    row = ROWS[operation]
    with engine.connect() as connection:
        fill(connection, row, 50)
        connection.exec_driver_sql("PRAGMA foreign_keys = ON")
        before = seen(connection, row)
    run(engine, row)
    with engine.connect() as connection:
        after = seen(connection, row)
        assert after == before
        assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
        assert connection.exec_driver_sql("PRAGMA foreign_key_check").all() == []


@pytest.mark.parametrize("operation", [name for name, (_, cost) in listed().items() if cost in ("constant", "none")])
def test_what_is_constant_costs_a_large_table_what_it_costs_a_small_one(operation: str, tmp_path: Path) -> None:
    from sqlalchemy import create_engine

    # The default's edit looks at the oldest thousand rows.
    steps = []
    for rows in (1500, 3000):
        engine = create_engine(f"sqlite:///{tmp_path / f'{rows}.db'}")
        with engine.connect() as connection:
            fill(connection, ROWS[operation], rows)
        steps.append(run(engine, ROWS[operation])[1])
    assert steps[1] < steps[0] + 200
