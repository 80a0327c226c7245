"""Snapshots: verified copies of a database, made before it is migrated."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from conftest import Folder, contents, failures
from hypothesis import given
from hypothesis import strategies as st
from snapshot_support import furnish, intact, rows, write_migrations
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.pool import NullPool, QueuePool, StaticPool

from sqlmig import (
    ConfigurationError,
    DatabaseLocked,
    DiskFull,
    MigrationFailed,
    Migrator,
    NotAtomic,
    RollbackNotSupported,
    Snapshot,
    SnapshotFailed,
    SnapshotPolicy,
)
from sqlmig.safety.policy import as_policy
from sqlmig.safety.shelf import Shelf, kept


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_file())


@pytest.fixture
def library(folder: Folder, tmp_path: Path) -> Path:
    """A furnished database at version 1, with migration 2 pending."""
    file = tmp_path / "library.db"
    furnish(file)
    write_migrations(folder)
    Migrator(file, folder.path).migrate_to_version(1)
    return file


@pytest.mark.proves("Snapshots and `restore()`", sqlite="yes")
@pytest.mark.parametrize("journal_mode", ["delete", "wal", "persist", "truncate"])
def test_a_snapshot_is_the_database_before_the_first_migration(
    folder: Folder, tmp_path: Path, journal_mode: str
) -> None:
    file = tmp_path / "library.db"
    furnish(file, journal_mode=journal_mode)
    write_migrations(folder)
    Migrator(file, folder.path).migrate_to_version(1)
    before = rows(file, records=True)
    result = Migrator(file, folder.path, snapshot=True).migrate()
    assert result.snapshot is not None
    assert result.snapshot.parent == tmp_path
    assert result.snapshot.name.startswith("library.db.v001.2")
    assert rows(result.snapshot, records=True) == before
    intact(result.snapshot)
    assert rows(file) != before
    assert not [
        name for name in files(tmp_path) if "partial" in name or name.endswith(("snapshot-wal", "snapshot-shm"))
    ]


def test_history_and_result_tell_the_snapshot(library: Path, folder: Folder) -> None:
    folder.table(3)
    migrator = Migrator(library, folder.path, snapshot=True)
    result = migrator.migrate()
    assert result.applied == [2, 3]
    told = [entry["metadata"].get("snapshot") for entry in migrator.get_migration_history()]
    assert told == [str(result.snapshot), str(result.snapshot), None]


def test_nothing_pending_makes_no_snapshot(library: Path, folder: Folder, tmp_path: Path) -> None:
    migrator = Migrator(library, folder.path, snapshot=tmp_path / "kept")
    first = migrator.migrate().snapshot
    assert migrator.migrate().snapshot is None
    assert Migrator(library, folder.path, snapshot=tmp_path / "kept").migrate().snapshot is None
    assert [one.path for one in migrator.snapshots()] == [first]


def test_one_snapshot_for_one_transaction_around_all(library: Path, folder: Folder) -> None:
    folder.table(3)
    migrator = Migrator(library, folder.path, snapshot=True, all_or_nothing=True)
    before = rows(library)
    result = migrator.migrate()
    assert result.applied == [2, 3]
    (made,) = migrator.snapshots()
    assert (made.path, made.version, made.size) == (result.snapshot, 1, os.path.getsize(made.path))
    assert rows(made.path) == before


def test_a_rollback_makes_none(folder: Folder, migrator: Migrator, tmp_path: Path) -> None:
    folder.table(1)
    migrator = Migrator(migrator.db, folder.path, snapshot=True)
    migrator.migrate()
    assert migrator.rollback_to_version(0).snapshot is None
    assert len(migrator.snapshots()) == 1


def test_a_snapshot_comes_before_a_loose_migration_is_marked(folder: Folder, engine: Engine) -> None:
    folder.table(1)
    Migrator(engine, folder.path).migrate()
    folder.add(2, "raise ValueError", extra="transactional = False")
    migrator = Migrator(engine, folder.path, snapshot=True)
    with pytest.raises(MigrationFailed) as caught:
        migrator.migrate()
    assert caught.value.result is not None
    assert caught.value.result.snapshot is not None
    raw = sqlite3.connect(caught.value.result.snapshot)
    assert raw.execute("SELECT version, state FROM migration_versions").fetchall() == [(1, "applied")]
    raw.close()


def test_the_process_that_waits_makes_none(library: Path, folder: Folder, tmp_path: Path) -> None:
    """Eight processes boot at once: one migrates, and one snapshot is made."""
    boot = (
        "import sys\nfrom sqlmig import Migrator\nfile, folder = sys.argv[1:]\nsys.stdin.readline()\n"
        "Migrator(file, folder, snapshot=True).migrate()"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", boot, str(library), str(folder.path)], stdin=subprocess.PIPE, text=True)
        for _ in range(8)
    ]
    for process in running:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in running:
        process.communicate(timeout=60)
    assert [process.returncode for process in running] == [0] * 8
    assert len(list(tmp_path.glob("*.snapshot"))) == 1


@pytest.mark.parametrize(
    "options",
    [
        {"poolclass": NullPool},
        {"poolclass": QueuePool, "pool_size": 1, "max_overflow": 0, "pool_timeout": 0.1},
        {"poolclass": StaticPool},
        {"isolation_level": "AUTOCOMMIT"},
        pytest.param(
            {"connect_args": {"autocommit": False}},
            marks=pytest.mark.skipif(sys.version_info < (3, 12), reason="autocommit= is of Python 3.12"),
        ),
    ],
    ids=["null", "one connection", "static", "autocommit", "autocommit=False"],
)
def test_engines_as_applications_have_them(library: Path, folder: Folder, options: dict[str, Any]) -> None:
    before = rows(library)
    engine = create_engine(f"sqlite:///{library}", **options)
    result = Migrator(engine, folder.path, snapshot=True).migrate()
    assert result.applied == [2]
    assert result.snapshot is not None
    assert rows(result.snapshot) == before
    engine.dispose()


def test_an_engine_whose_creator_has_but_one_connection(library: Path, folder: Folder) -> None:
    raw = sqlite3.connect(library, check_same_thread=False)
    engine = create_engine("sqlite://", creator=lambda: raw, poolclass=StaticPool)
    before = rows(library)
    result = Migrator(engine, folder.path, snapshot=True).migrate()
    assert result.applied == [2]
    assert result.snapshot is not None
    assert rows(result.snapshot) == before
    assert raw.execute("SELECT count(*) FROM books").fetchone() == (300,)


def test_a_connection_that_keeps_the_file_for_itself(library: Path, folder: Folder) -> None:
    """Under locking_mode=EXCLUSIVE no second connection can read."""
    engine = create_engine(f"sqlite:///{library}", poolclass=StaticPool)
    event.listen(engine, "connect", lambda raw, _: raw.execute("PRAGMA locking_mode = EXCLUSIVE"))
    before = rows(library)
    result = Migrator(engine, folder.path, snapshot=True).migrate()
    engine.dispose()
    assert result.applied == [2]
    assert result.snapshot is not None
    assert rows(result.snapshot) == before


def test_a_schema_that_needs_the_applications_own_functions(folder: Folder, url: str) -> None:
    """quick_check cannot even be compiled without them."""
    engine = create_engine(url)

    @event.listens_for(engine, "connect")
    def prepare(raw: Any, _: object) -> None:
        raw.create_function("checked", 1, lambda value: value != "bad", deterministic=True)
        raw.create_collation("backwards", lambda a, b: (a < b) - (a > b))

    folder.add(
        1,
        'self.execute_sql("CREATE TABLE own (v TEXT COLLATE backwards PRIMARY KEY CHECK (checked(v))) WITHOUT ROWID")\n'
        "self.execute_sql(\"INSERT INTO own VALUES ('a'), ('b')\")",
    )
    Migrator(engine, folder.path).migrate()
    folder.table(2)
    migrator = Migrator(engine, folder.path, snapshot=True)
    migrator.migrate()
    (made,) = migrator.snapshots()
    assert migrator.restore(made).rolled_back == [2]
    assert contents(engine)["rows"] == {"own": [("b",), ("a",)]}


def test_a_row_that_contradicts_a_check_is_no_damage(library: Path, folder: Folder) -> None:
    raw = sqlite3.connect(library)
    raw.execute("PRAGMA ignore_check_constraints = ON")
    raw.execute("UPDATE tags SET weight = 11")
    raw.commit()
    raw.close()
    assert Migrator(library, folder.path, snapshot=True).migrate().snapshot


def test_writers_go_on_under_wal_while_a_snapshot_is_made(folder: Folder, tmp_path: Path) -> None:
    """Each copy shows one moment: the two counters, which are written together, agree in it."""
    file = tmp_path / "busy.db"
    folder.add(1, 'self.execute_sql("CREATE TABLE a (n)")\nself.execute_sql("CREATE TABLE b (n, filler)")')
    migrator = Migrator(file, folder.path)
    migrator.migrate()
    raw = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    raw.execute("PRAGMA journal_mode = WAL")
    raw.execute("INSERT INTO a VALUES (0)")
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            raw.execute("BEGIN IMMEDIATE")
            raw.execute("UPDATE a SET n = n + 1")
            raw.execute("INSERT INTO b SELECT n, zeroblob(3000) FROM a")
            raw.execute("COMMIT")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        made = [migrator.create_snapshot() for _ in range(10)]
    finally:
        stop.set()
        writer.join()
        raw.close()
    assert len({one.path for one in made}) == 10
    for one in migrator.snapshots():
        copy = sqlite3.connect(one.path)
        assert (
            copy.execute("SELECT n FROM a").fetchone() == copy.execute("SELECT coalesce(max(n), 0) FROM b").fetchone()
        )
        copy.close()
    # Nobody has said how many are to be kept.
    assert len(migrator.snapshots()) == 10


def test_in_memory(folder: Folder, tmp_path: Path) -> None:
    folder.table(1)
    migrator = Migrator(":memory:", folder.path, snapshot=SnapshotPolicy(tmp_path / "kept", keep=None))
    assert migrator.migrate().applied == [1]
    folder.table(2)
    result = migrator.migrate()
    assert [one.version for one in migrator.snapshots()] == [1, 0]
    assert contents(create_engine(f"sqlite:///{result.snapshot}"))["rows"] == {"t1": [(1, "row")]}


def test_in_memory_without_a_folder(folder: Folder) -> None:
    folder.table(1)
    with pytest.raises(ConfigurationError, match="in memory"):
        Migrator(":memory:", folder.path, snapshot=True).migrate()


def test_shared_memory_of_several_connections(folder: Folder, tmp_path: Path) -> None:
    uri = f"file:{tmp_path.name}?mode=memory&cache=shared"
    keep = sqlite3.connect(uri, uri=True)
    engine = create_engine(f"sqlite:///{uri}&uri=true", poolclass=QueuePool)
    folder.table(1)
    migrator = Migrator(engine, folder.path, snapshot=tmp_path / "kept")
    assert migrator.migrate().applied == [1]
    assert [one.version for one in migrator.snapshots()] == [0]
    keep.close()


def test_a_joined_transaction_is_refused(library: Path, folder: Folder, tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{library}")
    with engine.begin() as connection, pytest.raises(NotAtomic, match="Pass the Engine"):
        Migrator(connection, folder.path, snapshot=True).migrate()
    assert not list(tmp_path.glob("*.snapshot"))
    assert Migrator(engine, folder.path).get_current_version() == 1


def test_attached_files_are_refused(library: Path, folder: Folder, tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{library}")
    other = tmp_path / "other.db"
    event.listen(engine, "connect", lambda raw, _: raw.execute(f"ATTACH '{other}' AS other"))
    with pytest.raises(ConfigurationError, match="has other attached"):
        Migrator(engine, folder.path, snapshot=True).migrate()
    assert Migrator(engine, folder.path).migrate().applied == [2]


def test_the_copy_may_be_read_by_whom_the_database_may(library: Path, folder: Folder) -> None:
    library.chmod(0o640)
    made = Migrator(library, folder.path).create_snapshot()
    assert made.path.stat().st_mode & 0o777 == 0o640


# Names and rotation


def test_several_in_one_second_have_names_of_their_own(library: Path, folder: Folder, tmp_path: Path) -> None:
    migrator = Migrator(library, folder.path, snapshot=SnapshotPolicy(tmp_path / "kept", keep=None))
    made = [migrator.create_snapshot() for _ in range(12)]
    assert [one.path for one in migrator.snapshots()] == [one.path for one in reversed(made)]
    assert migrator.snapshots()[0] == made[-1]


def test_others_files_are_never_rotated_away(folder: Folder, tmp_path: Path) -> None:
    """Neither files of other names, nor snapshots of other databases, not even of one of the same name."""
    place = tmp_path / "kept"
    place.mkdir()
    folder.table(1)
    (place / "app.db.v001.20200101T000000.000Z.snapshot").touch()
    (place / "app.db.v001.notes.snapshot").touch()
    (place / "app.db.v001.99999999T999999.000Z.snapshot").touch()
    (place / "other.db.v001.20200101T000000.000Z.snapshot").touch()
    strangers = files(place)
    migrators = []
    for home in ("one", "two"):
        (tmp_path / home).mkdir()
        migrators.append(Migrator(tmp_path / home / "app.db", folder.path, snapshot=SnapshotPolicy(place, keep=2)))
    for migrator in migrators:
        migrator.migrate()
    for migrator in migrators * 2:
        migrator.create_snapshot()
    assert [len(migrator.snapshots()) for migrator in migrators] == [2, 2]
    assert len(files(place)) == 4 + len(strangers)
    assert set(strangers) <= set(files(place))


def test_two_histories_of_one_file_have_snapshots_of_their_own(folder: Folder, tmp_path: Path) -> None:
    file = tmp_path / "app.db"
    folder.table(1)
    one = Migrator(file, folder.path, snapshot=True)
    two = Migrator(file, folder.path, snapshot=True, versions_table="plugin_versions", history_table="plugin_history")
    file.touch()
    one.create_snapshot()
    two.create_snapshot()
    assert [len(one.snapshots()), len(two.snapshots())] == [1, 1]
    # And a file that is called like both together has its own.
    third = Migrator(tmp_path / "app.db.plugin_versions", folder.path, snapshot=True)
    third.db.engine.connect().close()
    third.create_snapshot()
    assert [len(one.snapshots()), len(two.snapshots()), len(third.snapshots())] == [1, 1, 1]


def test_the_process_may_change_its_folder(folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder.table(1)
    migrator = Migrator("sqlite:///app.db", folder.path, snapshot=SnapshotPolicy("kept"))
    migrator.migrate()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    made = migrator.create_snapshot()
    assert made.path.parent == tmp_path / "kept"
    assert made in migrator.snapshots()
    migrator.db.engine.dispose()
    (tmp_path / "app.db").unlink()
    migrator.restore(made)
    assert (tmp_path / "app.db").exists()
    assert list((tmp_path / "elsewhere").iterdir()) == []


@given(versions=st.lists(st.integers(0, 4), max_size=12), keep=st.integers(1, 6))
def test_which_snapshots_are_kept(versions: list[int], keep: int) -> None:
    """As many as said, the newest of all among them; of one version its newest, then its oldest, before others."""
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    listed = [
        Snapshot(path=Path(f"{n}"), version=version, taken_at=begin - timedelta(hours=n), size=1)
        for n, version in enumerate(versions)
    ]
    stay = kept(listed, keep)
    assert len(stay) == min(keep, len(listed))
    assert stay[:1] == listed[:1]
    assert stay == [one for one in listed if one in stay]
    for version in {one.version for one in stay}:
        newest_first = [one for one in listed if one.version == version]
        assert newest_first[0] in stay
        if keep > 1 and len(stay) < len(listed) and Counter(one.version for one in stay)[version] > 2:
            assert max(Counter(one.version for one in stay).values()) > 2
    crowded = [version for version, number in Counter(versions).items() if number > 2]
    if sum(min(number, 2) for number in Counter(versions).values()) <= keep and keep > 1:
        assert {one.version for one in stay} == set(versions)
        for version in crowded:
            assert [one for one in listed if one.version == version][-1] in stay


def test_a_program_that_fails_over_and_over_keeps_the_older_versions(folder: Folder, tmp_path: Path) -> None:
    file = tmp_path / "app.db"
    for version in (1, 2):
        folder.table(version)
        Migrator(file, folder.path, snapshot=True).migrate()
    folder.add(3, "raise ValueError")
    migrator = Migrator(file, folder.path, snapshot=True)
    made = []
    for _ in range(5):
        with pytest.raises(MigrationFailed):
            migrator.migrate()
        made += [one.path for one in migrator.snapshots() if one.path not in made and one.version == 2]
    first = made[0]
    assert [one.version for one in migrator.snapshots()] == [2, 2, 1]
    assert migrator.snapshots()[1].path == first


def test_a_migration_that_goes_on_has_the_snapshot_of_its_first_try(folder: Folder, tmp_path: Path) -> None:
    """What its finished batches have changed must not push out what was there before them."""
    file = tmp_path / "app.db"
    folder.table(1)
    migrator = Migrator(file, folder.path, snapshot=SnapshotPolicy(keep=1))
    migrator.migrate()
    with sqlite3.connect(file) as raw:
        raw.execute("DELETE FROM t1")
        raw.executemany("INSERT INTO t1 (n) VALUES (?)", [(f"old {n}",) for n in range(10)])
    up = """for rows in self.batches("t1", size=2):
    self.update_rows("t1", [{"id": row["id"], "n": "new"} for row in rows])
    if FAILS and rows[0]["id"] > 4:
        raise ValueError"""
    folder.add(2, up.replace("FAILS", "True"), extra="resumable = True")
    for _ in range(3):
        with pytest.raises(MigrationFailed):
            Migrator(file, folder.path, snapshot=SnapshotPolicy(keep=1)).migrate()
    folder.add(2, up.replace("FAILS", "False"), extra="resumable = True")
    migrator = Migrator(file, folder.path, snapshot=SnapshotPolicy(keep=1))
    made = migrator.migrate().snapshot
    assert made is not None
    with sqlite3.connect(made) as raw:
        assert raw.execute("SELECT count(*) FROM t1 WHERE n LIKE 'old%'").fetchone() == (10,)
    assert migrator.rollback_to_version(1, use_snapshot=True).to_version == 1
    with sqlite3.connect(file) as raw:
        assert raw.execute("SELECT count(*) FROM t1 WHERE n LIKE 'old%'").fetchone() == (10,)
    raw.close()


def test_a_snapshot_of_half_a_migration_is_none_to_roll_back_to(folder: Folder, tmp_path: Path) -> None:
    file = tmp_path / "app.db"
    folder.table(1)
    migrator = Migrator(file, folder.path)
    migrator.migrate()
    folder.add(2, "self.execute_sql('VACUUM')\nraise ValueError", extra="transactional = False")
    with pytest.raises(MigrationFailed):
        Migrator(file, folder.path).migrate()
    half = migrator.create_snapshot()
    folder.add(2, "self.execute_sql('VACUUM')", extra="transactional = False")
    migrator = Migrator(file, folder.path)
    migrator.repair()
    migrator.migrate()
    with pytest.raises(RollbackNotSupported) as caught:
        migrator.rollback_to_version(1, use_snapshot=True)
    assert caught.value.snapshot is None
    # By its name it can be had, and nobody is taken to be at work in it.
    migrator.restore(half)
    assert [row.version for row in migrator.version_tracker.read().interrupted] == [2]
    migrator.repair()
    assert migrator.migrate().applied == [2]


def test_no_database_no_snapshot(folder: Folder, tmp_path: Path) -> None:
    folder.table(1)
    with pytest.raises(ConfigurationError, match="There is no database file"):
        Migrator(tmp_path / "typo.db", folder.path).create_snapshot()
    assert list(tmp_path.glob("typo*")) == []


def test_what_a_killed_process_left_is_cleared_away(library: Path, folder: Folder, tmp_path: Path) -> None:
    """And what a living one has, or somebody else, is left."""
    code = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom sqlmig.safety.shelf import Shelf\n"
        "with Shelf(Path(sys.argv[1]), 'library.db').unfinished(None) as path:\n    print(path, flush=True)\n"
        "    sys.stdin.readline()"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    killed, living = (
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)
    )
    left = []
    for process in (killed, living):
        assert process.stdout is not None
        left.append(Path(process.stdout.readline().strip()))
    killed.kill()
    killed.wait()
    stranger = tmp_path / f"other.db.{left[0].name.removeprefix('library.db.')}"
    stranger.touch()
    Migrator(library, folder.path).create_snapshot()
    assert [path.exists() for path in (*left, stranger)] == [False, True, True]
    living.communicate("\n", timeout=30)
    assert not left[1].exists()


def test_names_are_never_taken_twice(tmp_path: Path) -> None:
    shelf, now = Shelf(tmp_path, "app.db"), datetime.now(UTC)
    barrier, made = threading.Barrier(8), []

    def publish(n: int) -> None:
        with shelf.unfinished(None) as path:
            path.write_text(f"{n}")
            barrier.wait()
            made.append((shelf.publish(path, 1, now).path, f"{n}"))

    threads = [threading.Thread(target=publish, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({path for path, _ in made}) == 8
    assert all(path.read_text() == text for path, text in made)


# What goes wrong


@pytest.mark.parametrize("when", ["copying", "copied", "verifying"])
@pytest.mark.parametrize("journal_mode", ["delete", "wal"])
def test_an_interrupt_leaves_nothing(folder: Folder, tmp_path: Path, when: str, journal_mode: str) -> None:
    file = tmp_path / "library.db"
    furnish(file, books=3000, journal_mode=journal_mode)
    write_migrations(folder)
    Migrator(file, folder.path).migrate_to_version(1)
    before = rows(file)

    def progress(done: int, total: int, message: str) -> None:
        moment = {"snapshot: 100 %": "copied", "snapshot: verifying": "verifying"}.get(message, "copying")
        if message.startswith("snapshot: ") and moment == when:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Migrator(file, folder.path, snapshot=True, progress=progress).migrate()
    assert rows(file) == before
    assert not [name for name in files(tmp_path) if "snapshot" in name or "partial" in name]
    assert Migrator(file, folder.path, snapshot=True).migrate().applied == [2]


def test_progress_is_told(library: Path, folder: Folder) -> None:
    told: list[tuple[int, int, str]] = []
    Migrator(library, folder.path, snapshot=True, progress=lambda *said: told.append(said)).migrate()
    assert (0, 1, "snapshot: 100 %") in told
    assert [done for done, *_ in told] == sorted(done for done, *_ in told)


def test_a_damaged_database_is_not_migrated(library: Path, folder: Folder, tmp_path: Path) -> None:
    """What quick_check finds in the copy is what the database has."""
    raw = sqlite3.connect(library)
    page = raw.execute("SELECT rootpage FROM sqlite_master WHERE name = 'tags'").fetchone()[0]
    size = raw.execute("PRAGMA page_size").fetchone()[0]
    raw.close()
    with library.open("r+b") as stream:
        stream.seek((page - 1) * size)
        stream.write(b"\xff" * 200)
    with pytest.raises(SnapshotFailed, match=r"damaged|malformed"):
        Migrator(library, folder.path, snapshot=True).migrate()
    assert Migrator(library, folder.path).get_current_version() == 1
    assert not list(tmp_path.glob("*.snapshot")) + list(tmp_path.glob("*.partial"))


def test_too_little_room_is_told_beforehand(library: Path, folder: Folder, tmp_path: Path, small_disk: Path) -> None:
    furnish(tmp_path / "big.db", books=9000)
    migrator = Migrator(tmp_path / "big.db", folder.path, snapshot=small_disk)
    with pytest.raises(DiskFull, match=r"its snapshot needs [\d.]+ MB in .*, where [\d.]+ MB are free"):
        migrator.migrate()
    assert files(small_disk) == []
    assert [entry["operation"] for entry in failures(migrator)] == ["apply"]
    assert migrator.get_current_version() == 0


def test_the_disk_fills_while_a_snapshot_is_written(
    library: Path, folder: Folder, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There was room when it began."""
    monkeypatch.setattr("sqlmig.safety.snapshots.require_room", lambda *_: None)
    (small_disk / "filler").write_bytes(bytes(os.statvfs(small_disk).f_bavail * 4096 - 200_000))
    before = rows(library)
    migrator = Migrator(library, folder.path, snapshot=small_disk)
    with pytest.raises(DiskFull):
        migrator.migrate()
    assert files(small_disk) == ["filler"]
    assert rows(library) == before
    (entry,) = failures(migrator)
    assert (entry["operation"], entry["metadata"]["error"]) == ("apply", "DiskFull")
    (small_disk / "filler").unlink()
    assert migrator.migrate().applied == [2]


LIMITED = """
import resource, sys
from sqlmig import Migrator, SnapshotFailed
file, folder = sys.argv[1:]
resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))
try:
    Migrator(file, folder, snapshot=True).migrate()
except SnapshotFailed as error:
    print(error)
"""


def test_a_file_that_may_not_grow(library: Path, folder: Folder, tmp_path: Path) -> None:
    before = rows(library)
    ran = subprocess.run(
        [sys.executable, "-c", LIMITED, str(library), str(folder.path)], capture_output=True, text=True, check=False
    )
    assert "could be made" in ran.stdout, ran.stderr
    assert rows(library) == before
    assert not list(tmp_path.glob("*.snapshot")) + list(tmp_path.glob("*.partial"))


def test_a_folder_that_cannot_be_made(library: Path, folder: Folder, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    migrator = Migrator(library, folder.path, snapshot=tmp_path / "file" / "below")
    with pytest.raises(ConfigurationError, match="cannot be made"):
        migrator.migrate()
    assert migrator.get_current_version() == 1


def test_a_reader_that_never_ends_does_not_stop_a_snapshot(library: Path, folder: Folder) -> None:
    raw = sqlite3.connect(library, isolation_level=None)
    raw.execute("BEGIN")
    raw.execute("SELECT * FROM books").fetchone()
    assert Migrator(library, folder.path).create_snapshot()
    raw.close()


def test_a_database_that_stays_locked(library: Path, folder: Folder) -> None:
    raw = sqlite3.connect(library, isolation_level=None)
    raw.execute("BEGIN EXCLUSIVE")
    with pytest.raises(DatabaseLocked):
        Migrator(library, folder.path, lock_timeout=0.2).create_snapshot()
    raw.close()


# How it is asked for


@pytest.mark.parametrize("keep", [0, -1, True, 2.5, "3"])
def test_keep_is_a_number_from_one_on(keep: Any) -> None:
    with pytest.raises(ConfigurationError, match="keep="):
        SnapshotPolicy(keep=keep)


@pytest.mark.parametrize("value", [1, 0, 3.5, {"where": "x"}, [], "", {"keep": 0}])
def test_a_snapshot_option_that_means_none(folder: Folder, value: Any) -> None:
    with pytest.raises(ConfigurationError):
        Migrator(":memory:", folder.path, snapshot=value)


def test_what_the_option_may_be(tmp_path: Path) -> None:
    assert as_policy(None) is as_policy(False) is None
    assert as_policy(True) == SnapshotPolicy(None, 3)
    assert as_policy(str(tmp_path)) == SnapshotPolicy(str(tmp_path))
    assert as_policy({"folder": "a", "keep": 2}) == SnapshotPolicy("a", keep=2)
    with pytest.raises(ConfigurationError, match="no folder"):
        SnapshotPolicy(__file__)
    with pytest.raises(AttributeError):
        SnapshotPolicy().keep = 4  # type: ignore[misc]


@pytest.mark.parametrize("snapshot", ["None", "True", "sqlmig.SnapshotPolicy(keep=2)"])
def test_a_boot_at_head_does_not_import_this(library: Path, folder: Folder, snapshot: str) -> None:
    Migrator(library, folder.path).migrate()
    code = (
        "import sys\nimport sqlmig\nfrom sqlmig import Migrator\nfile, folder = sys.argv[1:]\n"
        f"Migrator(file, folder, snapshot={snapshot}).migrate()\n"
        "print([name for name in sys.modules if name.startswith('sqlmig.safety.')])"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, str(library), str(folder.path)], capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == ("['sqlmig.safety.policy']" if "Policy" in snapshot else "[]")
