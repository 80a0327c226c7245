"""Operations over connections as applications have them, foreign_keys on and off, committed and rolled back."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Column, Engine, Integer, create_engine, event

from sqlmig import Operations, SchemaError

SETUP = (
    "CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, x INTEGER, n TEXT UNIQUE, CHECK (x > 0))",
    "INSERT INTO t (id, x, n) VALUES (3, 1, 'a'), (5, 2, 'b')",
    "CREATE INDEX i ON t (lower(n))",
    "CREATE TABLE kid (tid INTEGER REFERENCES t(id) ON DELETE CASCADE)",
    "INSERT INTO kid VALUES (3), (5)",
    "CREATE TRIGGER tr AFTER UPDATE ON t BEGIN SELECT 1; END",
    "CREATE VIEW v AS SELECT id FROM t",
    "ANALYZE",
)
OPERATIONS: dict[str, Callable[[Operations], Any]] = {
    "type": lambda o: o.alter_column("t", "x", type_="TEXT"),
    "not null": lambda o: o.alter_column("t", "x", nullable=False),
    "drop check": lambda o: o.drop_constraint("t", kind="check"),
    "unique": lambda o: o.create_unique("t", "uq", ["x", "n"]),
    "drop unique": lambda o: o.drop_constraint("t", kind="unique", columns=["n"]),
    "drop column": lambda o: o.drop_column("t", "n", cascade=True),
    "add column": lambda o: o.add_column("t", Column("z", Integer, unique=True)),
    "collation": lambda o: o.alter_column("t", "n", collation="NOCASE"),
    "default": lambda o: o.alter_column("t", "n", server_default="q"),
    "rename column": lambda o: o.rename_column("t", "n", "m"),
    "rename table": lambda o: o.rename_table("t", "tt"),
    "check": lambda o: o.create_check("t", "c", "x < 9"),
}
EACH = ("autocommit", "driver's autocommit=True")
"""Modes in which each operation is a transaction of its own."""


def engine_of(mode: str, file: Path) -> Engine:
    url = f"sqlite:///{file}"
    if mode.startswith("driver's"):
        if not hasattr(sqlite3.Connection, "autocommit"):
            pytest.skip("sqlite3 has the attribute autocommit since Python 3.12")
        return create_engine(url, connect_args={"autocommit": mode.endswith("True")})
    if mode == "autocommit":
        return create_engine(url, isolation_level="AUTOCOMMIT")
    engine = create_engine(url)
    if mode == "begin event":
        event.listen(engine, "connect", lambda raw, _: setattr(raw, "isolation_level", None))
        event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
    if mode == "defensive":
        if not hasattr(sqlite3.Connection, "setconfig"):
            pytest.skip("sqlite3 has setconfig() since Python 3.12")
        option = sqlite3.SQLITE_DBCONFIG_DEFENSIVE  # type: ignore[attr-defined, unused-ignore]
        event.listen(engine, "connect", lambda raw, _: raw.setconfig(option, True))
    return engine


def look(file: Path) -> tuple[list[str], list[Any], list[Any]]:
    with closing(sqlite3.connect(file)) as raw:
        checked = raw.execute("PRAGMA integrity_check").fetchall()
        return list(raw.iterdump()), checked, raw.execute("SELECT * FROM kid").fetchall()


def set_foreign_keys(raw: Any, value: int) -> None:
    held = getattr(raw, "autocommit", None) is False
    if held:
        raw.autocommit = True
    raw.cursor().execute(f"PRAGMA foreign_keys = {value}")
    if held:
        raw.autocommit = False


@pytest.mark.parametrize("foreign_keys", [0, 1])
@pytest.mark.parametrize(
    "mode",
    [
        *("default", "autocommit", "begin event", "defensive"),
        *("driver's autocommit=True", "driver's autocommit=False"),
    ],
)
def test_every_mode_of_a_connection(mode: str, foreign_keys: int, tmp_path: Path) -> None:
    for name, operation in OPERATIONS.items():
        for end in ("commit", "rollback"):
            file = tmp_path / f"{name} {end}.db"
            with closing(sqlite3.connect(file)) as raw:
                for statement in SETUP:
                    raw.execute(statement)
                raw.commit()
            before = look(file)
            engine = engine_of(mode, file)
            with engine.connect() as connection:
                driver: Any = connection.connection.dbapi_connection
                set_foreign_keys(driver, foreign_keys)
                operation(Operations(connection))
                getattr(connection, end)()
                assert driver.execute("PRAGMA foreign_keys").fetchone()[0] == foreign_keys, name
            engine.dispose()
            after = look(file)
            assert after[1:] == ([("ok",)], [(3,), (5,)]), name
            assert (after[0] != before[0]) is (end == "commit" or mode in EACH), name


def test_a_defensive_connection_says_what_it_cannot_do(tmp_path: Path) -> None:
    engine = engine_of("defensive", tmp_path / "app.db")
    with engine.connect() as connection:
        connection.exec_driver_sql("CREATE TABLE t (id INTEGER PRIMARY KEY, x INTEGER, CHECK (t.x > 0))")
        with pytest.raises(SchemaError) as caught:
            Operations(connection).alter_column("t", "x", nullable=False)
        assert "defensive mode" in str(caught.value)


def test_an_asynchronous_engine(tmp_path: Path) -> None:
    pytest.importorskip("aiosqlite")
    from sqlalchemy.ext.asyncio import create_async_engine

    def change(connection: Any) -> None:
        for statement in SETUP:
            connection.exec_driver_sql(statement)
        for name in ("type", "not null", "drop check", "default", "add column", "drop column"):
            OPERATIONS[name](Operations(connection))

    async def run() -> None:
        engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path / 'app.db'}")
        async with engine.begin() as connection:
            await connection.run_sync(change)
        await engine.dispose()

    asyncio.run(run())
    assert look(tmp_path / "app.db")[1:] == ([("ok",)], [(3,), (5,)])


def test_a_temporary_trigger_over_an_attached_table_is_not_broken(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'app.db'}")
    with engine.connect() as connection:
        for statement in (
            f"ATTACH '{tmp_path / 'aux.db'}' AS aux",
            "CREATE TABLE aux.t (id INTEGER PRIMARY KEY, x INTEGER)",
            "CREATE TEMP TABLE t (id INTEGER PRIMARY KEY, y INTEGER)",
            "CREATE TEMP TRIGGER tr AFTER INSERT ON aux.t BEGIN SELECT new.x; END",
        ):
            connection.exec_driver_sql(statement)
        operations = Operations(connection)
        for name, column in (("aux.t", "id"), ("t", "y"), ("temp.t", "id")):
            operations.alter_column(name, column, nullable=False)
        with pytest.raises(SchemaError) as caught:
            operations.drop_column("aux.t", "x", cascade=True)
        assert "trigger tr" in str(caught.value)
