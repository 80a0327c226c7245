"""Any number of processes and threads may boot at once, and be killed at any statement."""

from __future__ import annotations

import logging
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from conftest import Folder, contents
from resumable_support import in_child
from sqlalchemy import Engine, create_engine
from sqlalchemy.pool import StaticPool

from sqlmig import DatabaseLocked, InterruptedMigration, Migrator

BOOT = """
import sys
from sqlalchemy import create_engine
from sqlmig import Migrator
url, folder = sys.argv[1:3]
engine = create_engine(url)
sys.stdin.readline()
Migrator(engine, folder).migrate()
"""


@pytest.mark.parametrize("kind", ["file", "memory"])
def test_threads_of_one_process_apply_each_migration_once(folder: Folder, url: str, kind: str) -> None:
    options = {"poolclass": StaticPool, "connect_args": {"check_same_thread": False}} if kind == "memory" else {}
    engine = create_engine("sqlite://" if kind == "memory" else url, **options)
    for version in range(1, 6):
        folder.table(version)
    errors: list[BaseException] = []
    barrier = threading.Barrier(8)

    def boot() -> None:
        try:
            barrier.wait()
            assert Migrator(engine, folder.path).migrate()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=boot) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    history = Migrator(engine, folder.path).get_migration_history()
    assert [entry["version"] for entry in history] == [5, 4, 3, 2, 1]


def test_a_lock_that_is_not_had_in_time_is_a_typed_error(engine: Engine, folder: Folder, url: str) -> None:
    folder.table(1)
    holder = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    began = time.monotonic()
    with pytest.raises(DatabaseLocked, match="lock_timeout") as caught:
        Migrator(engine, folder.path, lock_timeout=0.3).migrate()
    assert "fuser" in str(caught.value)
    assert time.monotonic() - began < 30
    holder.execute("ROLLBACK")
    assert Migrator(engine, folder.path).migrate().applied == [1]
    holder.close()


def test_a_waiter_goes_on_when_the_lock_is_free(engine: Engine, folder: Folder, url: str) -> None:
    folder.table(1)
    holder = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None, check_same_thread=False)
    holder.execute("BEGIN EXCLUSIVE")
    release = threading.Timer(0.5, lambda: holder.execute("ROLLBACK"))
    release.start()
    assert Migrator(engine, folder.path).migrate().applied == [1]
    release.join()
    holder.close()


def test_an_interrupted_loose_migration_is_named_at_the_next_boot(folder: Folder, url: str) -> None:
    folder.add(1, "import os, signal; os.kill(os.getpid(), signal.SIGKILL)", extra="transactional = False")
    assert in_child(lambda: Migrator(url, folder.path).migrate()) == signal.SIGKILL
    migrator = Migrator(url, folder.path)
    with pytest.raises(InterruptedMigration, match=r"Migration 1 \(step 1\) was started and never finished"):
        migrator.migrate()
    folder.add(1, "self.execute_sql('VACUUM')", extra="transactional = False")
    migrator.repair()
    assert migrator.migrate().applied == [1]


def test_a_loose_migration_that_still_runs_is_waited_for(folder: Folder, url: str, tmp_path: Path) -> None:
    flag = tmp_path / "started"
    folder.add(
        1,
        f"import pathlib, time; pathlib.Path({str(flag)!r}).touch(); time.sleep(1)",
        extra="transactional = False",
    )
    boot = "import sys; from sqlmig import Migrator; Migrator(*sys.argv[1:]).migrate()"
    process = subprocess.Popen([sys.executable, "-c", boot, url, str(folder.path)])
    while not flag.exists():
        assert process.poll() is None
        time.sleep(0.01)
    result = Migrator(url, folder.path).migrate()
    assert result.applied == []
    assert process.wait(timeout=30) == 0


def test_a_loose_migration_of_a_live_process_is_not_waited_for_longer_than_lock_timeout(
    folder: Folder, url: str
) -> None:
    folder.add(1, "raise ValueError", extra="transactional = False")
    migrator = Migrator(url, folder.path, lock_timeout=0.2)
    with pytest.raises(Exception, match="ValueError"):
        migrator.migrate()
    with pytest.raises(InterruptedMigration, match=str(os.getpid())):
        migrator.migrate()


def test_another_process_migrates_between_the_plan_and_the_first_step(engine: Engine, folder: Folder, url: str) -> None:
    for version in (1, 2, 3):
        folder.table(version)
    other = Migrator(url, folder.path)
    quicker: list[list[int]] = []

    def progress(done: int, total: int, message: str) -> None:
        if not quicker:
            quicker.append(other.migrate_to_version(2).applied)

    result = Migrator(engine, folder.path, progress=progress).migrate()
    assert (quicker, result.applied) == ([[1, 2]], [3])
    assert [entry["version"] for entry in other.get_migration_history()] == [3, 2, 1]


@pytest.mark.parametrize("loose", [False, True])
def test_another_process_goes_up_between_the_plan_and_the_first_step_down(
    engine: Engine, folder: Folder, url: str, loose: bool
) -> None:
    folder.table(1, "transactional = False" if loose else "")
    folder.table(2)
    Migrator(engine, folder.path).migrate()
    folder.table(3)
    other, told = Migrator(url, folder.path), []

    def progress(done: int, total: int, message: str) -> None:
        if not told:
            told.append(other.migrate().applied)

    result = Migrator(engine, folder.path, progress=progress).rollback_to_version(0)
    assert (told, result.rolled_back) == ([[3]], [3, 2, 1])
    assert contents(engine)["rows"] == {}
    assert other.get_current_version() == 0


def test_another_process_rolls_back_in_the_same_moment(engine: Engine, folder: Folder, url: str) -> None:
    for version in (1, 2):
        folder.table(version)
    Migrator(engine, folder.path).migrate()
    other, told = Migrator(url, folder.path), []

    def progress(done: int, total: int, message: str) -> None:
        if not told:
            told.append(other.rollback_to_version(0).rolled_back)

    assert Migrator(engine, folder.path, progress=progress).rollback_to_version(0).rolled_back == []
    assert told == [[2, 1]]
    assert [entry["operation"] for entry in other.get_migration_history()] == ["rollback"] * 2 + ["apply"] * 2


def test_another_program_writes_between_two_steps(engine: Engine, folder: Folder, url: str) -> None:
    """The versions are read again then, and what this run has applied itself is not applied a second time."""
    folder.add(1, 'self.execute_sql("CREATE TABLE busy (n INTEGER)")', 'self.execute_sql("DROP TABLE busy")')
    for version in (2, 3, 4):
        folder.table(version, "transactional = False" if version == 3 else "")

    class Writing(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raw = sqlite3.connect(url.removeprefix("sqlite:///"))
            raw.execute("INSERT INTO busy VALUES (1)")
            raw.commit()
            raw.close()

    logger, handler = logging.getLogger("sqlmig.runner"), Writing(logging.INFO)
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    try:
        migrator = Migrator(engine, folder.path)
        assert migrator.migrate().applied == [1, 2, 3, 4]
        assert migrator.rollback_to_version(1).rolled_back == [4, 3, 2]
    finally:
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)
    assert contents(engine)["rows"] == {"busy": [(1,)] * 7}


@pytest.mark.parametrize("journal_mode", ["delete", "wal"])
def test_a_program_that_writes_all_the_time(engine: Engine, folder: Folder, url: str, journal_mode: str) -> None:
    folder.add(1, 'self.execute_sql("CREATE TABLE busy (n INTEGER)")')
    Migrator(engine, folder.path).migrate()
    with engine.connect() as connection:
        connection.exec_driver_sql(f"PRAGMA journal_mode = {journal_mode}")
    for version in range(2, 12):
        folder.table(version)
    stop = threading.Event()

    def write() -> None:
        raw = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None, timeout=30)
        while not stop.is_set():
            raw.execute("INSERT INTO busy VALUES (1)")
        raw.close()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert Migrator(engine, folder.path).migrate().applied == list(range(2, 12))
    finally:
        stop.set()
        writer.join()
    assert Migrator(engine, folder.path).validate_schema()


def test_joined_connections_of_several_processes(folder: Folder, url: str) -> None:
    """Each holds the lock from its first look on, so that none plans for what another has done since."""
    for version in (1, 2, 3):
        folder.table(version)
    boot = BOOT.replace("Migrator(engine, folder).migrate()", "with engine.begin() as c: Migrator(c, folder).migrate()")
    running = [
        subprocess.Popen([sys.executable, "-c", boot, url, str(folder.path)], stdin=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    for process in running:
        process.communicate("go\n", timeout=60)
    assert [process.returncode for process in running] == [0] * 4
    history = Migrator(url, folder.path).get_migration_history()
    assert [entry["version"] for entry in history] == [3, 2, 1]
