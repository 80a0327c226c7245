"""Asynchronous engines: aiosqlite on a file and in memory, asyncpg and psycopg on PostgreSQL."""

from __future__ import annotations

import asyncio
import inspect
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from async_places import KINDS, Place, appears, place_of, rows, tables
from conftest import Folder
from sqlalchemy import create_engine, event, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from alembic_compat import AlembicMigrator
from sqlmig import (
    BaseMigration,
    ConfigurationError,
    DatabaseConnection,
    DatabaseLocked,
    DataLossError,
    MigrationFailed,
    MigrationResult,
    Migrator,
    UnsupportedDatabase,
)
from sqlmig.schema.operations import Operations


@pytest.fixture(params=KINDS)
def spot(request: pytest.FixtureRequest, tmp_path: Path, folder: Folder) -> Iterator[Place]:
    with place_of(request.param, tmp_path, folder) as found:
        yield found


def test_up_at_head_down_and_what_is_told_of_it(spot: Place) -> None:
    for version in (1, 2, 3):
        spot.folder.table(version)

    async def scenario(engine: AsyncEngine) -> None:
        migrator = spot.migrator(engine)
        assert await migrator.needs_migration_async()
        assert [step.version for step in (await migrator.get_migration_plan_async()).steps] == [1, 2, 3]
        assert (await migrator.migrate_to_version_async(2)).applied == [1, 2]
        assert (await migrator.migrate_async()).applied == [3]
        assert not await migrator.needs_migration_async()
        assert (await migrator.migrate_async()).direction == "none"
        assert await tables(engine) == ["t1", "t2", "t3"]
        assert (await migrator.rollback_to_version_async(1)).rolled_back == [3, 2]
        assert await migrator.get_current_version_async() == 1
        assert (await migrator.create_tables_if_not_exist_async()).applied == []
        assert (await migrator.get_migration_status_async()).pending_versions == [2, 3]
        told = [(one["version"], one["operation"]) for one in await migrator.get_migration_history_async(limit=2)]
        assert told == [(2, "rollback"), (3, "rollback")]
        assert [loss.table for loss in await migrator.get_rollback_losses_async(0)] == ["t1"]
        assert await migrator.stamp_async(3)
        await migrator.set_version_async(1)
        await migrator.repair_async()
        info = await migrator.get_schema_info_async()
        assert info.tables["t1"]
        if not spot.is_server:
            assert await migrator.validate_schema_async()
            await migrator.optimize_database_performance_async()
            assert await migrator.get_performance_statistics_async()
        assert await rows(engine, "SELECT id, n FROM t1") == [(1, "row")]

    spot.run(scenario)


def test_every_verb_is_awaited_with_its_own_arguments() -> None:
    verbs = [name for name in vars(Migrator) if f"{name}_async" in vars(Migrator)]
    assert len(verbs) == 30
    public = {name for name, one in vars(Migrator).items() if inspect.isfunction(one) and not name.startswith("_")}
    assert {name for name in public if not name.endswith("_async")} == set(verbs)
    for name in verbs:
        one = getattr(Migrator, f"{name}_async")
        assert inspect.iscoroutinefunction(one)
        assert one.__name__ == f"{name}_async"
        assert inspect.signature(one) == inspect.signature(getattr(Migrator, name))


def test_at_head_one_small_read_is_all(spot: Place) -> None:
    spot.folder.table(1)
    said: list[str] = []

    def listen(connection: Any, _record: object) -> None:
        # Of a server's driver, what SQLAlchemy says is all that is heard: the read goes past it.
        if not spot.is_server:
            connection.run_async(lambda driver: driver.set_trace_callback(note))

    def note(statement: str) -> None:
        # A comment stands for a part of a statement; and over an engine that is new, SQLAlchemy asks for its settings.
        if not statement.startswith(("--", "PRAGMA")):
            said.append(statement)

    async def scenario(engine: AsyncEngine) -> None:
        event.listen(engine.sync_engine, "connect", listen)
        event.listen(engine.sync_engine, "before_cursor_execute", lambda *given: said.append(given[2]))
        migrator = spot.migrator(engine)
        await migrator.migrate_async()
        assert len(said) > 10
        said.clear()
        for one in (migrator, spot.migrator(engine)):
            assert (await one.migrate_async()).direction == "none"
        assert len(said) == (0 if spot.is_server else 2)
        assert all(one.startswith('SELECT (SELECT count(*) FROM "migration_versions")') for one in said)

    spot.run(scenario)


def test_a_failure_is_undone(spot: Place) -> None:
    spot.folder.table(1)
    spot.folder.add(
        2, 'self.execute_sql("CREATE TABLE half (id INTEGER)")\nself.execute_sql("INSERT INTO nowhere VALUES (1)")'
    )

    async def scenario(engine: AsyncEngine) -> None:
        migrator = spot.migrator(engine)
        with pytest.raises(MigrationFailed, match="nowhere"):
            await migrator.migrate_async()
        assert await tables(engine) == ["t1"]
        assert await migrator.get_current_version_async() == 1
        newest = (await migrator.get_migration_history_async(limit=1))[0]
        assert (newest["version"], newest["success"]) == (2, False)
        spot.folder.table(2)
        assert (await spot.migrator(engine).migrate_async()).applied == [2]

    spot.run(scenario)


def test_a_loss_that_is_not_declared_is_refused(spot: Place) -> None:
    spot.folder.table(1)
    spot.folder.add(2, 'self.execute_sql("DROP TABLE t1")')
    spot.folder.add(3, 'self.drop_column("t1", "n")')

    async def scenario(engine: AsyncEngine) -> None:
        migrator = spot.migrator(engine)
        with pytest.raises(DataLossError, match="t1"):
            await migrator.migrate_async()
        (spot.folder.path / "002_step_2.py").unlink()
        spot.folder.add(2, 'self.execute_sql("SELECT 1")')
        with pytest.raises(DataLossError, match="n"):
            await spot.migrator(engine).migrate_async()
        assert await rows(engine, "SELECT id, n FROM t1") == [(1, "row")]
        assert (await spot.migrator(engine, on_data_loss="warn").migrate_async()).losses

    spot.run(scenario)


def test_placeholders_and_constructs(spot: Place) -> None:
    spot.folder.add(
        1,
        """
from sqlalchemy import Column, Integer, MetaData, String, Table, insert, select
t = Table("t", MetaData(), Column("id", Integer, primary_key=True), Column("a", String(40)), Column("b", Integer))
self.create_table(t)
self.execute_sql("INSERT INTO t (id, a, b) VALUES (?, ?, ?)", (1, "50 % :b ?", 7))
self.execute_sql("INSERT INTO t (id, a, b) VALUES (:id, ':id % ?', :b)", {"id": 2, "b": 8})
self.execute_sql("INSERT INTO t (id, a, b) VALUES (?, 'many %', ?)", [(3, 9), (4, 10)])
self.execute_sql("INSERT INTO t (id, a, b) VALUES (:id, :a, :id)", [{"id": 5, "a": "x"}, {"id": 6, "a": "y"}])
self.execute_sql("INSERT INTO t (id, a, b) VALUES (7, 'plain 100 %', NULL)")
self.db.execute(insert(t), [{"id": 8, "a": "core", "b": 1}])
assert self.db.fetch_one("SELECT a FROM t WHERE id = ? AND b = ?", (1, 7))["a"] == "50 % :b ?"
assert [row.id for row in self.db.fetch_all(select(t.c.id).where(t.c.a == "core"))] == [8]
assert self.execute_sql("UPDATE t SET b = b + 1 WHERE b > ?", (7,)).rowcount == 3 + 0
""",
    )

    async def scenario(engine: AsyncEngine) -> None:
        await spot.migrator(engine).migrate_async()
        found = await rows(engine, "SELECT id, a, b FROM t ORDER BY id")
        assert found == [
            (1, "50 % :b ?", 7),
            (2, ":id % ?", 9),
            (3, "many %", 10),
            (4, "many %", 11),
            (5, "x", 5),
            (6, "y", 6),
            (7, "plain 100 %", None),
            (8, "core", 1),
        ]

    spot.run(scenario)


def test_rows_in_batches(spot: Place) -> None:
    spot.folder.add(
        1,
        """
from sqlalchemy import Column, String
self.execute_sql("CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER)")
self.execute_sql("INSERT INTO t (id, n) VALUES (?, ?)", [(k, k) for k in range(1, 301)])
for rows in self.batches("t", size=70):
    self.update_rows("t", [{"id": row["id"], "n": row["n"] * 2} for row in rows])
self.add_column("t", Column("said", String(20)))
self.backfill("t", "said", lambda n: f"n is {n}")
self.alter_column("t", "said", nullable=False)
""",
    )

    async def scenario(engine: AsyncEngine) -> None:
        await spot.migrator(engine).migrate_async()
        assert await rows(engine, "SELECT count(*), sum(n), min(said) FROM t") == [(300, 90300, "n is 10")]

    spot.run(scenario)


def test_a_resumable_migration_goes_on(spot: Place) -> None:
    spot.folder.add(
        1,
        """
self.execute_sql("CREATE TABLE t (id INTEGER PRIMARY KEY, done INTEGER NOT NULL DEFAULT 0)")
self.execute_sql("INSERT INTO t (id) VALUES (?)", [(k,) for k in range(1, 41)])
""",
    )
    counting = """
for rows in self.batches("t", size=10):
    {0}
    self.execute_sql("UPDATE t SET done = done + 1 WHERE id BETWEEN ? AND ?", (rows[0]["id"], rows[-1]["id"]))
"""
    spot.folder.add(2, counting.format('assert rows[0]["id"] < 21'), extra="resumable = True")

    async def scenario(engine: AsyncEngine) -> None:
        with pytest.raises(MigrationFailed):
            await spot.migrator(engine).migrate_async()
        assert await rows(engine, "SELECT sum(done) FROM t") == [(20,)]
        spot.folder.add(2, counting.format("pass"), extra="resumable = True")
        assert (await spot.migrator(engine).migrate_async()).applied == [2]
        assert await rows(engine, "SELECT min(done), max(done), count(*) FROM t") == [(1, 1, 40)]

    spot.run(scenario)


@pytest.mark.parametrize("loose", [False, True])
def test_several_statements_and_one_outside_a_transaction(spot: Place, loose: bool) -> None:
    script = "CREATE TABLE a (id INTEGER); CREATE TABLE b (id INTEGER); INSERT INTO a VALUES (1)"
    if spot.is_server:
        up = f'self.execute_sql("-- nothing yet")\nself.execute_sql("{script}")'
        spot.folder.add(1, up, extra=f"transactional = {not loose}")
    else:
        lines = "\n".join(f'self.execute_sql("{one}")' for one in script.split("; "))
        spot.folder.add(1, lines, extra=f"transactional = {not loose}")

    async def scenario(engine: AsyncEngine) -> None:
        assert (await spot.migrator(engine).migrate_async()).applied == [1]
        assert await tables(engine) == ["a", "b"]
        assert await rows(engine, "SELECT id FROM a") == [(1,)]

    spot.run(scenario)


SCRIPT = r"""
CREATE TABLE a (t TEXT); CREATE TABLE b (t TEXT[]);
CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.t := NEW.t || ';'; RETURN NEW; END $$;
CREATE TRIGGER t BEFORE INSERT ON a FOR EACH ROW EXECUTE FUNCTION f();
INSERT INTO a VALUES (E'it\'s; so') /* and /* so; */ on; */; INSERT INTO b VALUES (ARRAY['];'])"""


def test_a_script_with_what_only_postgresql_has(spot: Place) -> None:
    if not spot.is_server:
        pytest.skip("SQLite has none of it")
    spot.folder.add(1, f"self.execute_sql({SCRIPT!r})\nself.execute_sql('UPDATE b SET t = t || ARRAY[?]', ('x',))")
    spot.folder.add(2, f"self.execute_sql({SCRIPT.partition('INSERT')[0]!r} + 'COMMIT; SELECT 1')")

    async def scenario(engine: AsyncEngine) -> None:
        with pytest.raises(MigrationFailed, match="Migration 2"):
            await spot.migrator(engine).migrate_async()
        assert await rows(engine, "SELECT a.t, b.t FROM a, b") == [("it's; so;", ["];", "x"])]

    spot.run(scenario)


def test_a_statement_is_read_anew_when_its_table_has_changed(spot: Place) -> None:
    """asyncpg keeps what it has prepared, with the columns that there were."""
    spot.folder.add(
        1,
        """
self.execute_sql("CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER)")
self.execute_sql("INSERT INTO t (id, n) VALUES (1, 2)")
assert dict(self.db.fetch_one("SELECT * FROM t")) == {"id": 1, "n": 2}
self.execute_sql("ALTER TABLE t ADD COLUMN more VARCHAR(9) DEFAULT 'x'")
assert dict(self.db.fetch_one("SELECT * FROM t")) == {"id": 1, "n": 2, "more": "x"}
self.rename_column("t", "more", "less")
assert dict(self.db.fetch_one("SELECT * FROM t")) == {"id": 1, "n": 2, "less": "x"}
""",
    )

    async def scenario(engine: AsyncEngine) -> None:
        assert (await spot.migrator(engine).migrate_async()).applied == [1]

    spot.run(scenario)


def test_rows_are_copied_from_another_database(spot: Place, tmp_path: Path) -> None:
    for version in (1, 2):
        spot.folder.table(version)
    source = Migrator(f"sqlite:///{tmp_path / 'source.db'}", spot.folder.path)
    source.migrate()
    source.db.execute("INSERT INTO t1 (id, n) VALUES (?, ?)", [(k, f"row {k}") for k in range(2, 30)])

    async def scenario(engine: AsyncEngine) -> None:
        migrator = spot.migrator(engine)
        if spot.is_server:
            # COPY goes through a connection of psycopg's that is not asynchronous.
            with pytest.raises(UnsupportedDatabase, match="COPY"):
                await migrator.copy_from_async(source.db)
            assert await tables(engine) == []
            return
        assert await migrator.copy_from_async(source.db)
        assert await rows(engine, "SELECT count(*), max(n) FROM t1") == [(29, "row 9")]

    spot.run(scenario)


# Tasks, and the event loop


def _telling(flag: Path, query: str) -> str:
    return f'import pathlib\npathlib.Path({str(flag)!r}).touch()\nself.db.fetch_all("{query}")'


@pytest.mark.parametrize("one_engine", [True, False])
def test_tasks_of_one_loop_apply_each_migration_once(spot: Place, one_engine: bool) -> None:
    if spot.kind == "memory" and not one_engine:
        pytest.skip("each engine is a database of its own")
    for version in (1, 2, 3):
        spot.folder.table(version)

    async def scenario(engine: AsyncEngine) -> None:
        others = [] if one_engine else [spot.engine() for _ in range(3)]
        engines = [engine] * 4 if one_engine else [engine, *others]
        results = await asyncio.gather(*(spot.migrator(one).migrate_async() for one in engines))
        applied = [version for result in results for version in result.applied]
        assert sorted(applied) == [1, 2, 3]
        history = await spot.migrator(engine).get_migration_history_async()
        assert [entry["version"] for entry in history] == [3, 2, 1]
        for one in others:
            await one.dispose()

    spot.run(scenario)


def test_one_migrator_of_two_tasks(spot: Place) -> None:
    """It is not at work already, for another task."""
    for version in (1, 2):
        spot.folder.table(version)

    async def scenario(engine: AsyncEngine) -> None:
        migrator = spot.migrator(engine)
        results = await asyncio.gather(
            migrator.migrate_async(), migrator.get_current_version_async(), migrator.migrate_async()
        )
        assert sorted([*results[0].applied, *results[2].applied]) == [1, 2]
        assert results[1] in (0, 1, 2)

    spot.run(scenario)


def test_the_loop_goes_on_while_a_migration_runs_and_others_wait(spot: Place) -> None:
    spot.folder.add(1, f'self.db.fetch_all("{spot.a_moment}")')

    async def scenario(engine: AsyncEngine) -> int:
        ticks, stop = 0, asyncio.Event()

        async def tick() -> None:
            nonlocal ticks
            while not stop.is_set():
                ticks += 1
                await asyncio.sleep(0.005)

        ticking = asyncio.create_task(tick())
        await asyncio.gather(spot.migrator(engine).migrate_async(), spot.migrator(engine).migrate_async())
        stop.set()
        await ticking
        return ticks

    assert spot.run(scenario) > 10


def test_a_lock_that_is_not_had_in_time(spot: Place, tmp_path: Path) -> None:
    if spot.kind == "memory":
        pytest.skip("whoever waits for its only connection waits in its queue")
    spot.folder.add(
        1, f'import pathlib\npathlib.Path({str(tmp_path / "at_work")!r}).touch()\nself.db.fetch_all("{spot.slow}")'
    )

    async def scenario(engine: AsyncEngine) -> None:
        started = appears(tmp_path / "at_work")
        first = asyncio.create_task(spot.migrator(engine).migrate_async())
        await started()
        with pytest.raises(DatabaseLocked):
            await spot.migrator(engine, lock_timeout=0.2).migrate_async()
        first.cancel()
        await asyncio.wait([first])
        assert first.cancelled()

    spot.run(scenario)


@pytest.mark.parametrize("how", ["cancel", "timeout", "again and again"])
def test_a_cancelled_migration_is_undone(spot: Place, tmp_path: Path, how: str) -> None:
    spot.folder.table(1)
    flag = tmp_path / "at_work"
    spot.folder.add(
        2,
        f"""
import pathlib
self.execute_sql("CREATE TABLE half (id INTEGER)")
self.execute_sql("INSERT INTO t1 (id, n) VALUES (2, 'two')")
pathlib.Path({str(flag)!r}).touch()
self.db.fetch_all("{spot.slow}")
""",
    )

    async def scenario(engine: AsyncEngine) -> None:
        started = appears(flag)

        async def boot() -> MigrationResult:
            return await spot.migrator(engine).migrate_async()

        task = asyncio.create_task(boot())
        await started()
        await spot.until_slow(engine)
        if how == "timeout":
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await task
        else:
            for _ in range(1 if how == "cancel" else 50):
                task.cancel()
                await asyncio.sleep(0.001)
            with pytest.raises(asyncio.CancelledError):
                await task
        assert task.cancelled()
        assert await tables(engine) == ["t1"]
        assert await rows(engine, "SELECT id, n FROM t1") == [(1, "row")]
        async with engine.begin() as connection:
            # The connection that it had, and nobody else's lock.
            await connection.exec_driver_sql("INSERT INTO t1 (id, n) VALUES (3, 'three')")
        spot.folder.table(2)
        assert (await spot.migrator(engine, lock_timeout=10).migrate_async()).applied == [2]

    spot.run(scenario)


def test_a_cancelled_loop_stops_at_a_batch(spot: Place, tmp_path: Path) -> None:
    """Where no statement takes long, it stops before the next one."""
    flag = tmp_path / "at_work"
    spot.folder.add(
        1,
        f"""
import pathlib
self.execute_sql("CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER)")
self.execute_sql("INSERT INTO t (id, n) VALUES (?, ?)", [(k, k) for k in range(1, 41)])
while True:
    for rows in self.batches("t", size=10):
        self.update_rows("t", [{{"id": row["id"], "n": row["n"] + 1}} for row in rows])
    pathlib.Path({str(flag)!r}).touch()
""",
    )

    async def scenario(engine: AsyncEngine) -> None:
        started = appears(flag)
        task = asyncio.create_task(spot.migrator(engine).migrate_async())
        await started()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await tables(engine) == []

    spot.run(scenario)


def test_a_cancelled_wait_for_the_lock_leaves_its_holder_alone(spot: Place, tmp_path: Path) -> None:
    flag = tmp_path / "at_work"
    spot.folder.add(1, _telling(flag, spot.a_moment))

    async def scenario(engine: AsyncEngine) -> None:
        started = appears(flag)
        first = asyncio.create_task(spot.migrator(engine).migrate_async())
        await started()
        second = asyncio.create_task(spot.migrator(engine).migrate_async())
        await asyncio.sleep(0.02)
        second.cancel()
        assert (await first).applied == [1]
        await asyncio.wait([second])
        assert second.cancelled()

    spot.run(scenario)


# In and outside of event loops


def test_a_verb_that_is_not_awaited_in_a_running_loop_says_how_to(spot: Place, tmp_path: Path) -> None:
    spot.folder.table(1)
    arguments: dict[str, tuple[Any, ...]] = {
        "migrate_to_version": (1,),
        "rollback_to_version": (0,),
        "get_rollback_losses": (0,),
        "restore": (tmp_path / "none",),
        "copy_from": (tmp_path / "none",),
        "stamp": (1,),
        "set_version": (1,),
    }

    async def scenario(engine: AsyncEngine) -> None:
        migrator = spot.migrator(engine)
        for name in vars(Migrator):
            if f"{name}_async" in vars(Migrator):
                with pytest.raises(ConfigurationError, match=rf"await migrator\.{name}_async"):
                    getattr(migrator, name)(*arguments.get(name, ()))
        assert await tables(engine) == []

    spot.run(scenario)


def test_outside_of_any_loop_a_verb_is_just_called(spot: Place) -> None:
    for version in (1, 2):
        spot.folder.table(version)
    engine = spot.engine()
    migrator = spot.migrator(engine)
    assert migrator.migrate_to_version(1).applied == [1]
    assert migrator.migrate().applied == [2]
    assert migrator.get_current_version() == 2

    async def use() -> list[str]:
        found = await tables(engine)
        await engine.dispose()
        return found

    # No connection of the pool belongs to a loop that has ended.
    assert asyncio.run(use()) == ["t1", "t2"]


def test_a_connection_is_joined(spot: Place) -> None:
    for version in (1, 2):
        spot.folder.table(version)

    async def scenario(engine: AsyncEngine) -> None:
        async with engine.connect() as connection:
            assert (await spot.migrator(connection).migrate_to_version_async(1)).applied == [1]
            await connection.rollback()
        assert await tables(engine) == []
        async with engine.connect() as connection:
            migrator = spot.migrator(connection)
            assert (await migrator.migrate_to_version_async(1)).applied == [1]
            await connection.exec_driver_sql("INSERT INTO t1 (id, n) VALUES (2, 'with it')")
            assert (await migrator.migrate_async()).applied == [2]
            assert await migrator.get_current_version_async() == 2
            await connection.commit()
            # In another transaction of the same connection.
            assert (await migrator.rollback_to_version_async(1)).rolled_back == [2]
            await connection.rollback()
        assert await tables(engine) == ["t1", "t2"]
        assert await rows(engine, "SELECT id FROM t1 ORDER BY id") == [(1,), (2,)]

    spot.run(scenario)


def test_a_failure_in_a_joined_transaction_leaves_the_rest_of_it(spot: Place) -> None:
    spot.folder.add(1, 'self.execute_sql("CREATE TABLE half (id INTEGER)")\nraise ValueError("no")')

    async def scenario(engine: AsyncEngine) -> None:
        async with engine.begin() as connection:
            await connection.exec_driver_sql("CREATE TABLE mine (id INTEGER)")
            with pytest.raises(MigrationFailed, match="ValueError"):
                await spot.migrator(connection).migrate_async()
        assert await tables(engine) == ["mine"]

    spot.run(scenario)


def test_in_run_sync_a_connection_is_joined(spot: Place) -> None:
    spot.folder.table(1)

    async def scenario(engine: AsyncEngine) -> None:
        async with engine.connect() as connection:
            assert (await connection.run_sync(lambda c: spot.migrator(c).migrate())).applied == [1]
            await connection.rollback()
        async with engine.begin() as connection:
            assert (await connection.run_sync(lambda c: spot.migrator(c).migrate())).applied == [1]
        assert await tables(engine) == ["t1"]

    spot.run(scenario)


def test_a_connection_that_was_not_started(spot: Place) -> None:
    async def scenario(engine: AsyncEngine) -> None:
        connection: AsyncConnection = engine.connect()
        with pytest.raises(ConfigurationError, match="has not been started"):
            spot.migrator(connection)

    spot.run(scenario)


def test_what_is_no_migrator_says_that_it_is_not_for_asynchronous_engines(spot: Place) -> None:
    class Step(BaseMigration):
        version = 1
        description = "a step"

        def up(self) -> None:
            self.execute_sql("CREATE TABLE t (id INTEGER)")

    spot.folder.table(1)

    async def scenario(engine: AsyncEngine) -> None:
        attempts: list[Any] = [
            lambda: Step(engine).up(),  # type: ignore[arg-type]
            lambda: DatabaseConnection(engine),  # type: ignore[arg-type]
            lambda: Operations(engine),  # type: ignore[arg-type]
            lambda: spot.migrator(engine).runner.apply(),
            lambda: spot.migrator(engine).db.fetch_all("SELECT 1"),
            lambda: Step(engine.sync_engine).up(),
        ]
        # The file of an engine is opened by sqlite3, whose runner may be used by whoever does not mind to block.
        for attempt in attempts if spot.kind != "file" else [*attempts[:3], attempts[-1]]:
            with pytest.raises(ConfigurationError, match=r"migrate_async\(\)"):
                attempt()
        async with engine.connect() as connection:
            await connection.run_sync(Operations)
            if spot.is_server:
                await connection.run_sync(lambda c: Step(c).up())
            else:
                with pytest.raises(ConfigurationError, match=r"migrate_async\(\)"):
                    await connection.run_sync(lambda c: Step(c).up())
        assert await tables(engine) == []

    spot.run(scenario)


# Subclasses, and engines that are not asynchronous


def test_the_override_of_a_subclass_is_what_is_awaited(spot: Place) -> None:
    spot.folder.table(1)

    class Noted(Migrator):
        asked = 0

        def migrate(self, **options: Any) -> MigrationResult:
            self.asked += 1
            return super().migrate(**options)

    async def scenario(engine: AsyncEngine) -> None:
        migrator = Noted(engine, spot.folder.path)
        assert (await migrator.migrate_async()).applied == [1]
        assert migrator.asked == 1

    spot.run(scenario)


def test_progress_is_told_and_the_context_is_the_callers(spot: Place) -> None:
    import contextvars

    who = contextvars.ContextVar("who", default="nobody")
    for version in (1, 2):
        spot.folder.table(version)
    told: list[tuple[int, int, str]] = []

    async def scenario(engine: AsyncEngine) -> None:
        who.set("me")
        await spot.migrator(
            engine, progress=lambda done, total, _: told.append((done, total, who.get()))
        ).migrate_async()

    spot.run(scenario)
    assert told[-1] == (2, 2, "me")


def test_an_engine_that_is_not_asynchronous_is_awaited_as_well(folder: Folder, url: str) -> None:
    folder.table(1)

    async def boot() -> MigrationResult:
        return await Migrator(url, folder.path).migrate_async()

    assert asyncio.run(boot()).applied == [1]

    async def refused() -> None:
        with create_engine(url).connect() as connection, pytest.raises(ConfigurationError, match=r"Call migrate\(\)"):
            await Migrator(connection, folder.path).migrate_async()

    asyncio.run(refused())


def test_a_boot_without_an_asynchronous_engine_imports_nothing_of_it(folder: Folder, url: str) -> None:
    folder.table(1)
    code = f"""
import sys
import sqlalchemy
# Some releases import it themselves.
known = set(sys.modules)
from sqlmig import Migrator
Migrator({url!r}, {str(folder.path)!r}).migrate()
Migrator({url!r}, {str(folder.path)!r}).migrate()
new = {{*sys.modules}} - known
watched = ("asyncio", "greenlet", "aiosqlite", "sqlmig.aio.doors", "sqlalchemy.ext.asyncio")
print([name for name in watched if name in new])
"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


# What the application gave to its engine


def test_the_file_is_opened_as_the_application_opens_it(tmp_path: Path, folder: Folder) -> None:
    engine = create_async_engine(
        f"sqlite+aiosqlite:///{tmp_path / 'app.db'}",
        connect_args={"timeout": 3, "iter_chunk_size": 10},
        json_serializer=lambda value: json.dumps({"wrapped": value}),
    )
    seen: list[str] = []

    @event.listens_for(engine.sync_engine, "connect")
    def connected(connection: Any, _record: object) -> None:
        seen.append(type(connection).__mro__[-2].__name__)
        connection.execute("PRAGMA foreign_keys = ON")
        connection.run_async(lambda driver: driver.create_function("shout", 1, str.upper))
        connection.create_function("whisper", 1, str.lower)

    @event.listens_for(engine.sync_engine, "begin")
    def begun(_connection: object) -> None:
        seen.append("begin")

    folder.add(
        1,
        """
from sqlalchemy import JSON, Column, Integer, MetaData, Table, insert
t = Table("t", MetaData(), Column("id", Integer, primary_key=True), Column("j", JSON))
self.create_table(t)
self.db.execute(insert(t).values(id=1, j=5))
assert self.db.fetch_one("PRAGMA foreign_keys")[0] == 1
assert self.db.fetch_one("SELECT shout('a') || whisper('B')")[0] == "Ab"
""",
    )

    async def scenario() -> None:
        await Migrator(engine, folder.path).migrate_async()
        assert "begin" in seen
        assert await rows(engine, "SELECT j FROM t") == [('{"wrapped": 5}',)]
        await engine.dispose()

    asyncio.run(scenario())


def test_a_creator_of_ones_own(tmp_path: Path, folder: Folder) -> None:
    import aiosqlite

    folder.table(1)
    path = str(tmp_path / "app.db")

    async def connect() -> aiosqlite.Connection:
        return await aiosqlite.connect(path)

    async def scenario() -> None:
        engine = create_async_engine("sqlite+aiosqlite://", async_creator=connect)
        assert (await Migrator(engine, folder.path).migrate_async()).applied == [1]
        assert await tables(engine) == ["t1"]
        await engine.dispose()

    asyncio.run(scenario())


def test_alembic_s_migrator_says_what_it_runs_on(tmp_path: Path) -> None:
    async def scenario() -> None:
        engine = create_async_engine("sqlite+aiosqlite://")
        with pytest.raises(ConfigurationError, match="AlembicMigrator"):
            AlembicMigrator(engine, tmp_path)  # type: ignore[arg-type]
        async with engine.connect() as connection:
            with pytest.raises(ConfigurationError, match="AlembicMigrator"):
                AlembicMigrator(connection, tmp_path)  # type: ignore[arg-type]
        await engine.dispose()

    asyncio.run(scenario())


def test_a_callback_that_would_have_to_be_awaited_is_refused(folder: Folder) -> None:
    async def tell(done: int, total: int, message: str) -> None: ...

    class Teller:
        async def __call__(self, done: int, total: int, message: str) -> None: ...

    for callback in (tell, Teller()):
        with pytest.raises(
            ConfigurationError, match=r"(?s)coroutine function, which nobody would await.*plain function"
        ):
            Migrator(":memory:", folder.path, progress=callback)


def test_a_query_of_the_application_that_is_being_read_is_in_nobody_s_way(spot: Place) -> None:
    """In memory it is on the same connection, where SQLite defines no function meanwhile."""
    if spot.kind != "memory":
        pytest.skip("on every other it is on a connection of its own")
    spot.folder.table(1)
    spot.folder.add(2, "self.execute_sql('INSERT INTO t1 VALUES (2, 2), (3, 3)')")

    async def scenario(engine: AsyncEngine) -> None:
        await spot.migrator(engine).migrate_async()
        async with engine.connect() as connection:
            result = await connection.stream(text("SELECT id FROM t1"))
            assert (await result.fetchone())[0] == 1
            spot.folder.table(3)
            assert (await spot.migrator(engine).migrate_async()).applied == [3]
            assert await spot.migrator(engine).get_current_version_async() == 3
            await result.close()

    spot.run(scenario)
