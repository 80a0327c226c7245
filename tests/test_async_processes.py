"""Asynchronous engines: processes that boot at once, processes that are killed, copies made before and brought back."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from async_places import Place, place_of, rows, tables
from conftest import Folder, contents
from resumable_support import Deadly, in_child
from scratch_databases import own_database
from sqlalchemy import create_engine, event
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from sqlmig import Migrator, RehearsalFailed, SnapshotPolicy

BOOT = """
import asyncio, json, sys
from sqlalchemy.ext.asyncio import create_async_engine
from sqlmig import Migrator
url, options, folder = sys.argv[1:4]

async def boot():
    engine = create_async_engine(url, **json.loads(options))
    await asyncio.to_thread(sys.stdin.readline)
    result = await Migrator(engine, folder).migrate_async()
    await engine.dispose()
    print(*result.applied)

asyncio.run(boot())
"""
PROCESSES = 8


@pytest.fixture(params=["file", "asyncpg"])
def spot(request: pytest.FixtureRequest, tmp_path: Path, folder: Folder) -> Iterator[Place]:
    with place_of(request.param, tmp_path, folder) as found:
        yield found


def test_eight_processes_apply_each_migration_once(spot: Place) -> None:
    for version in (1, 2, 3):
        spot.folder.table(version)
    arguments = [sys.executable, "-c", BOOT, spot.url, json.dumps(spot.options), str(spot.folder.path)]
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    running = [subprocess.Popen(arguments, text=True, **pipes) for _ in range(PROCESSES)]
    for process in running:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    told = [process.communicate(timeout=120) for process in running]
    assert [said for _, said in told if said] == []
    assert sorted(int(version) for said, _ in told for version in said.split()) == [1, 2, 3]

    async def scenario(engine: AsyncEngine) -> None:
        history = await spot.migrator(engine).get_migration_history_async()
        assert [entry["version"] for entry in history] == [3, 2, 1]

    spot.run(scenario)


def _eventful(folder: Folder) -> None:
    folder.table(1)
    folder.add(
        2,
        """for n in range(2):
    self.execute_sql(f"CREATE TABLE part{n} (id INTEGER PRIMARY KEY, v TEXT)")
    self.execute_sql(f"INSERT INTO part{n} (id, v) SELECT id, n FROM t1")
self.execute_sql("UPDATE t1 SET n = n || '!'")
self.execute_sql("ALTER TABLE t1 ADD COLUMN more TEXT DEFAULT 'x'")""",
    )
    folder.table(3)


@pytest.mark.thorough
def test_a_file_of_which_each_statement_is_the_last(folder: Folder, tmp_path: Path) -> None:
    """The trace callback of aiosqlite's engine, set by a listener as an application sets one."""
    _eventful(folder)

    def boot(path: Path, deadly: Deadly) -> None:
        async def main() -> None:
            engine = create_async_engine(f"sqlite+aiosqlite:///{path}")

            @event.listens_for(engine.sync_engine, "connect")
            def trace(connection: Any, _record: object) -> None:
                connection.run_async(lambda driver: driver.set_trace_callback(deadly))

            await Migrator(engine, folder.path).migrate_async()
            await engine.dispose()

        asyncio.run(main())

    undisturbed = Deadly(0)
    boot(tmp_path / "undisturbed.db", undisturbed)
    expected = contents(create_engine(f"sqlite:///{tmp_path / 'undisturbed.db'}"))
    assert undisturbed.count > 30
    for statement in range(1, undisturbed.count + 1, 2):
        path = tmp_path / f"killed{statement}.db"
        assert in_child(lambda at=statement, path=path: boot(path, Deadly(at))) == signal.SIGKILL  # type: ignore[misc]
        boot(path, Deadly(0))
        assert contents(create_engine(f"sqlite:///{path}")) == expected, f"killed at statement {statement}"


def test_a_server_s_client_is_killed_at_some_statements(tmp_path: Path, folder: Folder) -> None:
    _eventful(folder)

    def boot(spot: Place, deadly: int) -> int:
        count = 0

        async def scenario(engine: AsyncEngine) -> None:
            @event.listens_for(engine.sync_engine, "before_cursor_execute")
            def before(*_: Any) -> None:
                nonlocal count
                count += 1
                if count == deadly:
                    os.kill(os.getpid(), signal.SIGKILL)

            await spot.migrator(engine).migrate_async()

        spot.run(scenario)
        return count

    async def state(engine: AsyncEngine) -> Any:
        return await tables(engine), await rows(engine, "SELECT * FROM t1"), await rows(engine, "SELECT * FROM part1")

    with place_of("asyncpg", tmp_path, folder) as spot:
        total = boot(spot, 0)
        expected = spot.run(state)
    assert total > 30
    for at in sorted(random.sample(range(1, total + 1), 8)):
        with place_of("asyncpg", tmp_path, folder) as spot:
            assert in_child(lambda at=at, spot=spot: boot(spot, at)) == signal.SIGKILL  # type: ignore[misc]
            boot(spot, 0)
            assert spot.run(state) == expected, f"killed at statement {at} of {total}"


@pytest.fixture(params=["aiosqlite", "asyncpg", "psycopg"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database of its own: what copies or replaces a whole one must not meet other tests."""
    if request.param == "aiosqlite":
        yield f"sqlite+aiosqlite:///{tmp_path / 'app.db'}"
        return
    with own_database() as url:
        yield url.set(drivername=f"postgresql+{request.param}").render_as_string(hide_password=False)


ODD = '"Od""d, 1"'
MAKE_ODD = f'CREATE TABLE {ODD} (id INTEGER PRIMARY KEY, "a ""b, c" TEXT)'
FILL_ODD = f"INSERT INTO {ODD} VALUES (1, 'tab\t, \\ and ''x'' too'), (2, NULL)"
READ_ODD = f"SELECT * FROM {ODD} ORDER BY id"


def test_a_snapshot_is_made_before_and_brought_back(url: str, folder: Folder, tmp_path: Path) -> None:
    folder.table(1)

    async def scenario() -> None:
        engine = create_async_engine(url)
        kept_in = SnapshotPolicy(tmp_path / "snapshots", keep=3)
        migrator = Migrator(engine, folder.path, snapshot=kept_in)
        await migrator.migrate_async()
        async with engine.begin() as connection:
            await connection.exec_driver_sql(MAKE_ODD)
            await connection.exec_driver_sql(FILL_ODD)
        before = await rows(engine, READ_ODD)
        folder.add(
            2,
            f"self.execute_sql('DROP TABLE t1')\nself.execute_sql('DELETE FROM {ODD}')",
            extra="removes = ['t1']",
        )
        done = await Migrator(engine, folder.path, snapshot=kept_in).migrate_async()
        assert done.snapshot is not None
        made = await migrator.create_snapshot_async()
        assert [one.version for one in await migrator.snapshots_async()] == [2, 1, 0]
        assert made.version == 2
        restored = await Migrator(engine, folder.path, snapshot=kept_in).restore_async(done.snapshot)
        assert restored.to_version == 1
        assert await rows(engine, READ_ODD) == before
        assert await rows(engine, "SELECT id, n FROM t1") == [(1, "row")]
        told = await migrator.get_migration_history_async()
        assert [one["operation"] for one in told] == ["restore", "apply", "apply"]
        await engine.dispose()

    asyncio.run(scenario())


@pytest.mark.thorough
def test_a_rehearsal_before_and_the_loop_goes_on(url: str, folder: Folder) -> None:
    folder.table(1)

    async def scenario() -> None:
        engine = create_async_engine(url)
        migrator = Migrator(engine, folder.path)
        await migrator.migrate_async()
        folder.add(2, "self.execute_sql('INSERT INTO nowhere VALUES (1)')")
        report = await Migrator(engine, folder.path).rehearse_async()
        assert not report
        with pytest.raises(RehearsalFailed, match="nowhere"):
            await Migrator(engine, folder.path).migrate_async(rehearse=True)
        folder.table(2)
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0.005)

        ticking = asyncio.create_task(tick())
        assert await Migrator(engine, folder.path).rehearse_async()
        assert (await Migrator(engine, folder.path).migrate_async(rehearse=True)).applied == [2]
        ticking.cancel()
        assert ticks > 10
        assert await tables(engine) == ["t1", "t2"]
        await engine.dispose()

    asyncio.run(scenario())


def test_a_cancelled_rehearsal_leaves_no_copy(url: str, folder: Folder, tmp_path: Path) -> None:
    folder.table(1)
    flag = tmp_path / "at_work"
    slow = (
        "SELECT pg_sleep(60)"
        if "postgresql" in url
        else (
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000000000) SELECT max(i) FROM n"
        )
    )
    folder.add(2, f"import pathlib\npathlib.Path({str(flag)!r}).touch()\nself.db.fetch_all({slow!r})")

    async def scenario() -> None:
        engine = create_async_engine(url)
        task = asyncio.create_task(Migrator(engine, folder.path).rehearse_async(folder=None))
        while not flag.exists():
            await asyncio.sleep(0.005)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        if engine.dialect.name == "postgresql":
            left = (
                "SELECT datname FROM pg_database, (SELECT oid FROM pg_database WHERE datname = current_database()) o"
                " WHERE starts_with(datname, 'sqlmig_rehearsal_' || o.oid)"
            )
            assert await rows(engine, left) == []
        folder.table(2)
        assert (await Migrator(engine, folder.path).migrate_async()).applied == [1, 2]
        await engine.dispose()

    asyncio.run(scenario())
