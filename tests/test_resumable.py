"""Resumable migrations: each batch is committed with its checkpoint, and each row is written exactly once."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from conftest import Folder, failures
from effort import EFFORT
from resumable_support import COUNTING, RESUMABLE, TABLE, Deadly, copied, counted, in_child, visits
from sqlalchemy import Engine, create_engine, event

from sqlmig import (
    BaseMigration,
    CheckpointMismatch,
    DatabaseLocked,
    DiskFull,
    InterruptedMigration,
    MigrationFailed,
    Migrator,
    NotAtomic,
    ResumableMigration,
    TakenOver,
    ValidationFailed,
)


def migrate_traced(url: str, folder: Path, trace: Deadly, **options: Any) -> None:
    engine = create_engine(url)
    event.listen(engine, "connect", lambda raw, _: raw.set_trace_callback(trace))
    Migrator(engine, folder, **options).migrate()


def fail_at(folder: Folder, batch: int, size: int = 4) -> None:
    up = COUNTING + f"\n    if rows[0]['id'] == {batch * size + 1}: raise ValueError('stop')"
    folder.add(2, up.format(size=size), extra=RESUMABLE)


def started(url: str) -> dict[str, Any]:
    raw = sqlite3.connect(url.removeprefix("sqlite:///"))
    (text,) = raw.execute("SELECT metadata FROM migration_versions WHERE state = 'started'").fetchone()
    raw.close()
    return dict(json.loads(text))


# Killed


@pytest.mark.parametrize("journal", ["delete", "wal"])
def test_killed_at_every_statement_each_row_is_written_once(folder: Folder, tmp_path: Path, journal: str) -> None:
    """Every boundary, sqlmig's own statements included; then booted again until it is done."""
    counted(folder, rows=14, size=4)
    start = tmp_path / "start.db"
    engine = create_engine(f"sqlite:///{start}")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"PRAGMA journal_mode = {journal}")
    Migrator(engine, folder.path).migrate_to_version(1)
    engine.dispose()
    undisturbed = Deadly(0)
    migrate_traced(copied(start, tmp_path / "undisturbed.db"), folder.path, undisturbed)
    assert undisturbed.count > 60
    # What differs between journals is how SQLite itself recovers: each has half of the boundaries.
    first, step = (1, 1) if EFFORT > 1 else (1, 2) if journal == "delete" else (2, 2)
    for at in range(first, undisturbed.count + 1, step):
        url = copied(start, tmp_path / f"killed{at}.db")
        ended = in_child(lambda url=url, at=at: migrate_traced(url, folder.path, Deadly(at)))
        assert ended == signal.SIGKILL
        migrator = Migrator(url, folder.path)
        before = migrator.get_migration_status().progress.get(2, {"rows": 0})["rows"]
        assert before % 4 == 0 or before == 14
        assert migrator.migrate()
        assert visits(url) == {1: 14}, f"killed at statement {at}"
        done = [e for e in migrator.get_migration_history() if e["operation"] == "apply" and e["version"] == 2]
        assert len(done) == 1
        assert done[0]["metadata"]["rows"] == 14
        assert migrator.get_current_version() == 2


@pytest.mark.thorough
def test_killed_again_and_again_at_random_moments(folder: Folder, tmp_path: Path) -> None:
    """A row may be visited by any of the processes, and by one only."""
    chance = random.Random(20)
    counted(folder, rows=600, size=5)
    start = tmp_path / "start.db"
    Migrator(f"sqlite:///{start}", folder.path).migrate_to_version(1)
    kills = 0
    for round_ in range(6):
        url = copied(start, tmp_path / f"killed{round_}.db")
        killed_here = 0
        while True:
            deadly = Deadly(chance.randrange(60, 200))
            ended = in_child(lambda url=url, deadly=deadly: migrate_traced(url, folder.path, deadly))
            if not ended:
                break
            assert ended == signal.SIGKILL
            kills += 1
            killed_here += 1
        assert visits(url) == {1: 600}
        (entry,) = Migrator(url, folder.path).get_migration_history(1)
        assert entry["metadata"]["rows"] == 600
        assert entry["metadata"]["batches"] == 120
        assert 0 < entry["metadata"]["resumed"] <= killed_here
    assert kills > 75


def test_killed_by_another_process_while_others_boot(folder: Folder, tmp_path: Path) -> None:
    """Three processes boot all the time; whoever is killed, one of the others goes on."""
    chance = random.Random(4)
    counted(folder, rows=400, size=4, extra="throttle = 0.001")
    url = f"sqlite:///{tmp_path / 'a.db'}"
    Migrator(url, folder.path).migrate_to_version(1)
    boot = "import sys; from sqlmig import Migrator; Migrator(sys.argv[1], sys.argv[2]).migrate()"

    def begin() -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", boot, url, str(folder.path)], stderr=subprocess.PIPE)

    running = [begin() for _ in range(3)]
    for _ in range(12):
        time.sleep(0.1 + chance.random() * 0.2)
        victim = running.pop(chance.randrange(len(running)))
        victim.kill()
        victim.communicate()
        running.append(begin())
    said = [process.communicate(timeout=120)[1].decode() for process in running]
    assert [process.returncode for process in running] == [0, 0, 0], said
    assert visits(url) == {1: 400}


def test_a_full_disk_in_the_middle_and_room_afterwards(folder: Folder, url: str) -> None:
    counted(folder, rows=3000, size=100)
    Migrator(url, folder.path).migrate_to_version(1)
    engine = create_engine(url)
    room = {"pages": 0}

    @event.listens_for(engine, "connect")
    def limit(raw: Any, _: Any) -> None:
        raw.execute(f"PRAGMA max_page_count = {room['pages'] or 1_073_741_823}")

    with engine.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
    engine.dispose()
    assert pages is not None
    migrator = Migrator(engine, folder.path, lock_timeout=0.5)
    room["pages"] = pages
    told = 0
    while told < 50:
        try:
            migrator.migrate()
            break
        except DiskFull:
            told += 1
        engine.dispose()
        room["pages"] += 1
        assert set(visits(url)) <= {0, 1}
    assert told > 5
    assert visits(url) == {1: 3000}


# Failed


def test_a_failure_keeps_the_batches_before_it_and_says_how_far_it_came(folder: Folder, url: str) -> None:
    counted(folder)
    fail_at(folder, batch=3)
    migrator = Migrator(url, folder.path)
    with pytest.raises(MigrationFailed, match="12 of 40 rows") as caught:
        migrator.migrate()
    assert "goes on after them" in str(caught.value)
    assert "sqlmig up" in str(caught.value)
    assert visits(url) == {0: 28, 1: 12}
    (entry,) = failures(migrator)
    assert {k: entry["metadata"][k] for k in ("rows", "total", "batches")} == {"rows": 12, "total": 40, "batches": 3}
    status = migrator.get_migration_status()
    assert status.progress == {2: {"rows": 12, "total": 40, "batches": 3}}
    assert status.interrupted_versions == [2]
    assert migrator.needs_migration()
    counted(folder)
    result = Migrator(url, folder.path).migrate()
    assert result.applied == [2]
    assert visits(url) == {1: 40}
    assert migrator.get_migration_history(1)[0]["metadata"]["resumed"] == 1


def test_a_migration_that_catches_the_error_of_its_checkpoint_is_not_applied(folder: Folder, url: str) -> None:
    counted(folder)
    both = 'one, two = self.batches("t", size=4), self.batches("t", size=4)\n'
    folder.add(2, both + "try: next(one); next(two); next(one)\nexcept Exception: pass", extra=RESUMABLE)
    migrator = Migrator(url, folder.path)
    with pytest.raises(MigrationFailed, match="advanced in turn"):
        migrator.migrate()
    assert migrator.get_current_version() == 1


def test_what_stands_around_the_loops_runs_again(folder: Folder, url: str) -> None:
    counted(folder)
    before = 'self.add_column_if_not_exists("t", Column("more", Integer))\n'
    after = '\nself.execute_sql("UPDATE t SET more = done")'
    loop = COUNTING.format(size=4)
    for stop in ("\n    if rows[0]['id'] == 21: raise ValueError", ""):
        up = "from sqlalchemy import Column, Integer\n" + before + loop + stop + after
        folder.add(2, up, extra=RESUMABLE)
        if stop:
            with pytest.raises(MigrationFailed):
                Migrator(url, folder.path).migrate()
    Migrator(url, folder.path).migrate()
    assert visits(url) == {1: 40}
    raw = sqlite3.connect(url.removeprefix("sqlite:///"))
    assert raw.execute("SELECT sum(more) FROM t").fetchone() == (40,)


def test_several_loops_go_on_in_the_one_that_was_interrupted(folder: Folder, url: str) -> None:
    counted(folder)
    second = """
for rows in self.batches("log", size=10):
    self.execute_sql("UPDATE log SET id = id + 1000 WHERE entry BETWEEN ? AND ?", (rows[0].entry, rows[-1].entry))
"""
    loop = COUNTING.format(size=4) + second
    folder.add(2, loop + "    if rows[0].entry == 21: raise ValueError", extra=RESUMABLE)
    migrator = Migrator(url, folder.path)
    with pytest.raises(MigrationFailed, match="60 of 80 rows"):
        migrator.migrate()
    folder.add(2, loop, extra=RESUMABLE)
    migrator.migrate()
    raw = sqlite3.connect(url.removeprefix("sqlite:///"))
    assert raw.execute("SELECT min(id), max(id), count(DISTINCT id) FROM log").fetchone() == (1001, 1040, 40)
    assert raw.execute("SELECT min(done), max(done) FROM t").fetchone() == (1, 1)


def test_a_loop_inside_a_loop_belongs_to_its_batch(folder: Folder, tmp_path: Path) -> None:
    folder.add(1, TABLE.format(rows=20))
    up = """for rows in self.batches("t", size=4):
    for inner in self.batches("t", size=7):
        self.execute_sql("INSERT INTO log (id) VALUES (?)", [(rows[0]["id"],) for row in inner])
    self.execute_sql("UPDATE t SET done = done + 1 WHERE id BETWEEN ? AND ?", (rows[0]["id"], rows[-1]["id"]))"""
    folder.add(2, up, extra=RESUMABLE)
    start = tmp_path / "start.db"
    Migrator(f"sqlite:///{start}", folder.path).migrate_to_version(1)
    for at in range(40, 110, 3):
        url = copied(start, tmp_path / f"killed{at}.db")
        in_child(lambda url=url, at=at: migrate_traced(url, folder.path, Deadly(at)))
        Migrator(url, folder.path).migrate()
        raw = sqlite3.connect(url.removeprefix("sqlite:///"))
        assert raw.execute("SELECT id, count(*) FROM log GROUP BY id").fetchall() == [
            (n, 20) for n in (1, 5, 9, 13, 17)
        ]
        assert raw.execute("SELECT min(done), max(done) FROM t").fetchone() == (1, 1)
        raw.close()


def test_a_loop_that_was_left_stays_left(folder: Folder, url: str) -> None:
    counted(folder)
    left = COUNTING.format(size=4) + "\n    if rows[0]['id'] == 9: break\n"
    more = 'for rows in self.batches("log", size=3):\n    '
    folder.add(2, left + more + "if rows[0].entry == 4: raise ValueError", extra=RESUMABLE)
    with pytest.raises(MigrationFailed):
        Migrator(url, folder.path).migrate()
    folder.add(2, left + more + "pass", extra=RESUMABLE)
    Migrator(url, folder.path).migrate()
    assert visits(url) == {0: 28, 1: 12}


def test_another_loop_in_the_place_of_the_interrupted_one(folder: Folder, url: str) -> None:
    counted(folder)
    fail_at(folder, batch=3)
    migrator = Migrator(url, folder.path)
    with pytest.raises(MigrationFailed):
        migrator.migrate()
    folder.add(2, COUNTING.replace('"t"', '"t", ["n", "id"]').format(size=4), extra=RESUMABLE)
    with pytest.raises(
        CheckpointMismatch, match="it read t by id in up, loop 1 of 1; now it reads t by n, id in"
    ) as caught:
        Migrator(url, folder.path).migrate()
    assert "sqlmig repair" in str(caught.value)
    assert visits(url) == {0: 28, 1: 12}
    assert migrator.get_migration_status().progress[2]["rows"] == 12
    # Starting over is the author's decision: what was done is done again.
    migrator.repair()
    assert migrator.get_migration_status().progress == {}
    Migrator(url, folder.path).migrate()
    assert visits(url) == {1: 28, 2: 12}


def test_another_size_goes_on_as_well(folder: Folder, url: str) -> None:
    counted(folder)
    fail_at(folder, batch=3)
    with pytest.raises(MigrationFailed):
        Migrator(url, folder.path).migrate()
    counted(folder, size=11)
    Migrator(url, folder.path).migrate()
    assert visits(url) == {1: 40}


def test_checks_are_asked_before_it_starts_and_before_it_ends(folder: Folder, url: str) -> None:
    """What was interrupted is not judged by its first half."""
    checks = """def pre_migrate_checks(self): return not self.db.fetch_one("SELECT sum(done) FROM t")[0]
def post_migrate_checks(self): return self.db.fetch_one("SELECT min(done) FROM t")[0] == {}"""
    counted(folder)
    fail_at(folder, batch=3)
    text = (folder.path / "002_step_2.py").read_text()
    folder.write("002_step_2.py", text + "".join(f"    {line}\n" for line in checks.format(1).split("\n")))
    with pytest.raises(MigrationFailed):
        Migrator(url, folder.path).migrate()
    counted(folder, extra=checks.format(2))
    with pytest.raises(MigrationFailed, match="post_migrate_checks"):
        Migrator(url, folder.path).migrate()
    counted(folder, extra=checks.format(1))
    assert Migrator(url, folder.path).migrate().applied == [2]
    assert visits(url) == {1: 40}


def test_backfill_goes_in_batches_and_is_resumed(folder: Folder, url: str) -> None:
    counted(folder, rows=5000)
    stop = "def slug(n):\n    if n == 4000 * 7: raise ZeroDivisionError\n    return n * 2\n"
    up = "{}self.backfill('t', 'done', slug)\nself.backfill('t', 'n', 'n + done', where='id % 2')"
    folder.add(2, up.format(stop), extra=RESUMABLE)
    migrator = Migrator(url, folder.path)
    with pytest.raises(MigrationFailed, match="ZeroDivisionError") as caught:
        migrator.migrate()
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert migrator.get_migration_status().progress[2]["rows"] == 4000
    folder.add(2, up.format("slug = lambda n: n * 2\n"), extra=RESUMABLE)
    migrator.migrate()
    raw = sqlite3.connect(url.removeprefix("sqlite:///"))
    wrong = "SELECT count(*) FROM t WHERE done <> (id - 1) * 14 OR n <> (id - 1) * 7 * (1 + 2 * (id % 2))"
    assert raw.execute(wrong).fetchone() == (0,)


# Others


def test_others_read_and_write_between_the_batches(folder: Folder, url: str) -> None:
    """What they add is visited too, for the read that finds nothing is one with the record."""
    counted(folder, rows=40, size=4, extra="throttle = 0.02")
    Migrator(url, folder.path).migrate_to_version(1)
    stop = threading.Event()
    added: list[int] = []

    def live() -> None:
        raw = sqlite3.connect(url.removeprefix("sqlite:///"), timeout=30)
        while not stop.is_set() and len(added) < 60:
            added.append(raw.execute("INSERT INTO t (n) VALUES (1)").lastrowid or 0)
            raw.commit()
            time.sleep(0.003)
        raw.close()

    thread = threading.Thread(target=live)
    thread.start()
    Migrator(url, folder.path).migrate()
    stop.set()
    thread.join()
    assert len(added) > 3
    raw = sqlite3.connect(url.removeprefix("sqlite:///"))
    (applied,) = raw.execute("SELECT applied_at FROM migration_versions WHERE version = 2").fetchone()
    assert applied
    visited = {row[0] for row in raw.execute("SELECT id FROM t WHERE done = 1")}
    # One after the record may be missing, and nothing before.
    assert visited == set(range(1, max(visited) + 1))
    assert max(visited) >= added[3]


def test_a_later_migration_waits_for_its_end(folder: Folder, url: str) -> None:
    counted(folder)
    folder.table(3)
    fail_at(folder, batch=3)
    migrator = Migrator(url, folder.path)
    with pytest.raises(MigrationFailed):
        migrator.migrate()
    assert migrator.get_migration_status().pending_versions == [2, 3]
    with pytest.raises(InterruptedMigration, match="12 of 40 rows"):
        migrator.rollback_to_version(0)
    counted(folder)
    assert Migrator(url, folder.path).migrate().applied == [2, 3]


def test_one_at_work_is_waited_for_and_told_of(folder: Folder, url: str, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    wait = f"while rows[0]['id'] == 13 and not pathlib.Path({str(flag)!r}).exists(): time.sleep(0.01)"
    stop = f"\n    import pathlib, time\n    {wait}"
    counted(folder, up=COUNTING + stop, extra="throttle = 0.001")
    boot = "import sys; from sqlmig import Migrator; Migrator(sys.argv[1], sys.argv[2]).migrate()"
    process = subprocess.Popen([sys.executable, "-c", boot, url, str(folder.path)])
    try:
        reader = Migrator(url, folder.path)
        while reader.get_migration_status().progress.get(2, {}).get("rows") != 12:
            assert process.poll() is None
            time.sleep(0.01)
        with pytest.raises(DatabaseLocked, match=r"runs migration 2 \(step 2\): 12 of 40 rows"):
            Migrator(url, folder.path, lock_timeout=0.3).migrate()
        with pytest.raises(DatabaseLocked):
            Migrator(url, folder.path, lock_timeout=0.2).repair()
        flag.touch()
        assert Migrator(url, folder.path).migrate().applied == []
    finally:
        flag.touch()
        assert process.wait(60) == 0
    assert visits(url) == {1: 40}


def test_whoever_was_taken_over_stops_before_its_next_batch(folder: Folder, url: str, tmp_path: Path) -> None:
    """As on a machine where it cannot be known whether a process lives, and it does."""
    counted(folder, up=COUNTING + "\n    import time; time.sleep(0.02)")
    Migrator(url, folder.path).migrate_to_version(1)
    stolen: list[int] = []

    def steal(done: int, total: int, message: str) -> None:
        if "rows/s" not in message or stolen:
            return
        raw = sqlite3.connect(url.removeprefix("sqlite:///"))
        (text,) = raw.execute("SELECT metadata FROM migration_versions WHERE version = 2").fetchone()
        facts = {**json.loads(text), "host": "elsewhere"}
        raw.execute("UPDATE migration_versions SET metadata = ? WHERE version = 2", (json.dumps(facts),))
        raw.commit()
        raw.close()
        stolen.append(in_child(lambda: Migrator(url, folder.path, lock_timeout=0.2).migrate()))

    migrator = Migrator(url, folder.path, progress=steal)
    with pytest.raises(TakenOver, match="Migration 2 was taken over"):
        migrator.migrate()
    assert stolen == [0]
    assert visits(url) == {1: 40}
    assert migrator.get_current_version() == 2


def test_a_process_that_lives_and_has_lost_its_lock_is_taken_over(
    folder: Folder, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another program held the lock between two batches, and still when the failure was to be written down."""
    counted(folder, extra="throttle = 0.3")
    script = """import sqlite3, sys, time
from sqlmig import Migrator
held = []
def hold(done, total, message):
    if "12 of 40 rows" in message:
        held.append(sqlite3.connect(sys.argv[1], isolation_level=None))
        held[0].execute("BEGIN IMMEDIATE")
try:
    Migrator("sqlite:///" + sys.argv[1], sys.argv[2], lock_timeout=0.2, progress=hold).migrate()
finally:
    held[0].close()
    print("lost", flush=True)
    time.sleep(60)"""
    file = url.removeprefix("sqlite:///")
    process = subprocess.Popen(
        [sys.executable, "-c", script, file, str(folder.path)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "lost\n"
        counted(folder)
        with pytest.raises(DatabaseLocked, match="12 of 40 rows"):
            Migrator(url, folder.path, lock_timeout=0.5).migrate()
        monkeypatch.setattr("sqlmig.waiting._STILL", 0.5)
        assert Migrator(url, folder.path, lock_timeout=1).migrate().applied == [2]
        assert process.poll() is None
    finally:
        process.kill()
        process.communicate()
    assert visits(url) == {1: 40}


def test_threads_of_one_process_do_it_once(folder: Folder, url: str) -> None:
    counted(folder, rows=200, size=4, extra="throttle = 0.001")
    said: list[BaseException] = []

    def boot() -> None:
        try:
            Migrator(url, folder.path).migrate()
        except BaseException as error:
            said.append(error)

    threads = [threading.Thread(target=boot) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert said == []
    assert visits(url) == {1: 200}


# What it is not for


def test_all_or_nothing_is_refused_before_it_starts(folder: Folder, url: str) -> None:
    counted(folder)
    with pytest.raises(NotAtomic, match="Migration 2 cannot run in one transaction"):
        Migrator(url, folder.path, all_or_nothing=True).migrate()
    assert Migrator(url, folder.path).get_current_version() == 0


def test_in_a_joined_transaction_and_by_hand_it_is_one_transaction(folder: Folder, engine: Engine, url: str) -> None:
    counted(folder)
    with engine.connect() as connection:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        assert Migrator(connection, folder.path).migrate().applied == [1, 2]
        connection.rollback()
    assert Migrator(engine, folder.path).get_current_version() == 0
    migrator = Migrator(engine, folder.path)
    migrator.migrate_to_version(1)
    fail_at(folder, batch=3)
    with pytest.raises(MigrationFailed, match="undone"):
        migrator.manager.create_migration(2).run()
    assert visits(url) == {0: 40}


def test_it_is_rolled_back_as_any_other(folder: Folder, engine: Engine) -> None:
    folder.add(1, TABLE.format(rows=9), "pass", extra=RESUMABLE)
    migrator = Migrator(engine, folder.path)
    assert migrator.migrate().applied == [1]
    assert migrator.rollback_to_version(0).rolled_back == [1]


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        ("resumable = 1", "resumable is 1, not True or False"),
        ("def resumable(self): return True", "write @property above it"),
        ("resumable = True\ntransactional = False", "each batch is a transaction"),
        ("throttle = -1", "throttle is -1"),
        ("throttle = 'slow'", "throttle is 'slow'"),
        ("throttle = float('nan')", "throttle is nan"),
    ],
)
def test_attributes_that_cannot_be_meant(folder: Folder, migrator: Migrator, extra: str, said: str) -> None:
    folder.add(1, extra=extra)
    with pytest.raises(ValidationFailed) as caught:
        migrator.migrate()
    assert said in str(caught.value)


def test_the_class_says_it(folder: Folder, engine: Engine) -> None:
    assert issubclass(ResumableMigration, BaseMigration)
    assert ResumableMigration(engine).resumable is True
    assert ResumableMigration(engine).throttle == 0.0


def test_a_commit_of_its_own_is_refused_as_ever(folder: Folder, url: str) -> None:
    counted(folder, up=COUNTING + "\n    self.execute_sql('COMMIT')")
    with pytest.raises(MigrationFailed, match="COMMIT"):
        Migrator(url, folder.path).migrate()
    assert visits(url) == {0: 40}


# What is told


def test_progress_tells_rows_and_speed(folder: Folder, url: str) -> None:
    slow = "\n    import time; time.sleep(0.06)"
    for resumable in (True, False):
        folder.add(1, TABLE.format(rows=40), "pass")
        folder.add(2, COUNTING.format(size=4) + slow, "pass", extra=f"resumable = {resumable}")
        told: list[tuple[int, int, str]] = []
        Migrator(url, folder.path, progress=lambda *said, told=told: told.append(said)).migrate()
        said = [message for _, _, message in told if "rows/s" in message]
        assert said
        assert all(message.startswith("002 step 2: ") and " of 40 rows, " in message for message in said)
        assert all(message.endswith(" left") for message in said)
        assert told[-1][:2] == (2, 2)
        Migrator(url, folder.path).rollback_to_version(1)
        told.clear()
        Migrator(url, folder.path, progress=lambda *said, told=told: told.append(said)).rehearse()
        for word in ("rehearsing", "going up again"):
            begins = f"{word}: 002 step 2"
            assert begins in [message for _, _, message in told]
            assert any(message.startswith(f"{begins}: ") and "rows/s" in message for _, _, message in told)
        raw = sqlite3.connect(url.removeprefix("sqlite:///"))
        raw.executescript("DROP TABLE t; DROP TABLE log; DELETE FROM migration_versions; PRAGMA user_version = 0")


def test_status_on_the_command_line_shows_how_far_it_is(folder: Folder, url: str) -> None:
    counted(folder)
    fail_at(folder, batch=3)
    with pytest.raises(MigrationFailed):
        Migrator(url, folder.path).migrate()
    command = [sys.executable, "-m", "sqlmig", "status", "--url", url, "--path", str(folder.path)]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "rows      002: 12 of 40 rows" in text
    assert "migration 2 was started and has not finished: 12 of 40 rows" in text
    assert "sqlmig up" in text
    found = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True).stdout
    assert json.loads(found)["progress"]["2"]["rows"] == 12
    assert os.path.exists(url.removeprefix("sqlite:///"))
