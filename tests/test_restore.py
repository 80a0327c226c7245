"""A snapshot brought back into the live database: whole, recorded, and seen by all who have it open."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from conftest import Folder, contents, failures
from snapshot_support import furnish, intact, replace, rows, write_migrations
from sqlalchemy import create_engine, event
from sqlalchemy.pool import NullPool, QueuePool, StaticPool

from sqlmig import (
    ConfigurationError,
    DatabaseLocked,
    DatabaseNotWritable,
    DatabaseTooNew,
    DiskFull,
    MigrationFailed,
    Migrator,
    NotAtomic,
    RollbackNotSupported,
    Snapshot,
    SnapshotPolicy,
    SnapshotUnusable,
)
from sqlmig.cli.app import app

MODES = ["delete", "wal"]


class Library:
    """A furnished database at version 2, and the snapshot of version 1."""

    def __init__(self, file: Path, folder: Folder, journal_mode: str, **options: Any) -> None:
        self.file, self.folder = file, folder
        furnish(file, journal_mode=journal_mode)
        write_migrations(folder)
        first = Migrator(file, folder.path)
        first.migrate_to_version(1)
        first.db.close()
        self.old = rows(file)
        self.migrator = Migrator(file, folder.path, snapshot=True, lock_timeout=0.4, **options)
        made = self.migrator.migrate().snapshot
        assert made is not None
        self.snapshot, self.new = made, rows(file)

    def connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self.file, isolation_level=None, timeout=0.1)

    def untouched(self) -> None:
        assert rows(self.file) == self.new
        assert not list(self.file.parent.glob("*.partial*"))


@pytest.fixture(params=MODES)
def library(request: pytest.FixtureRequest, folder: Folder, tmp_path: Path) -> Library:
    return Library(tmp_path / "library.db", folder, request.param)


@pytest.fixture
def plain_library(folder: Folder, tmp_path: Path) -> Library:
    return Library(tmp_path / "library.db", folder, "delete")


def journal_mode(file: Path) -> str:
    raw = sqlite3.connect(file)
    mode = raw.execute("PRAGMA journal_mode").fetchone()[0]
    raw.close()
    return str(mode)


@pytest.mark.proves("Snapshots and `restore()`", sqlite="yes")
def test_the_content_comes_back_and_the_history_stays(library: Library) -> None:
    mode = journal_mode(library.file)
    before = library.migrator.get_migration_history()
    result = library.migrator.restore(library.snapshot)
    assert result
    assert (result.direction, result.from_version, result.to_version) == ("restore", 2, 1)
    assert (result.rolled_back, result.applied, result.snapshot) == ([2], [], library.snapshot)
    assert "Restored library.db.v001." in str(result)
    assert "version 2 -> 1" in str(result)
    assert rows(library.file) == library.old
    intact(library.file)
    assert journal_mode(library.file) == mode
    newest, *others = library.migrator.get_migration_history()
    assert others == before
    assert (newest["version"], newest["operation"], newest["success"]) == (1, "restore", True)
    assert newest["metadata"]["file"] == str(library.snapshot)
    assert (newest["metadata"]["from_version"], newest["metadata"]["to_version"]) == (2, 1)
    assert library.migrator.validate_schema()
    assert library.migrator.get_current_version() == 1
    assert not list(library.file.parent.glob("*.partial*"))


def test_it_can_be_migrated_and_restored_again(library: Library) -> None:
    for _ in range(3):
        library.migrator.restore(library.snapshot)
        assert rows(library.file) == library.old
        assert library.migrator.migrate().applied == [2]
        assert rows(library.file) == library.new
    operations = [entry["operation"] for entry in reversed(library.migrator.get_migration_history())]
    assert operations == ["apply", "apply"] + ["restore", "apply"] * 3
    identities = [entry["id"] for entry in library.migrator.get_migration_history()]
    assert identities == sorted(set(identities), reverse=True)


def test_a_newer_snapshot_goes_forward(library: Library) -> None:
    newer = library.migrator.create_snapshot()
    library.migrator.restore(library.snapshot)
    result = library.migrator.restore(newer)
    assert (result.from_version, result.to_version, result.rolled_back) == (1, 2, [])
    assert rows(library.file) == library.new
    operations = [entry["operation"] for entry in reversed(library.migrator.get_migration_history())]
    assert operations == ["apply", "apply", "restore", "restore"]


WATCH = """
import sqlite3, sys
raw = sqlite3.connect(sys.argv[1], isolation_level=None)
for line in sys.stdin:
    try:
        print(raw.execute(line).fetchall(), flush=True)
    except sqlite3.Error as error:
        print(error, flush=True)
"""


def test_idle_connections_of_all_processes_see_it(library: Library) -> None:
    """The file stays the same file."""
    engine = create_engine(f"sqlite:///{library.file}", poolclass=QueuePool)
    held = [engine.connect() for _ in range(3)]
    for connection in held:
        assert connection.exec_driver_sql("SELECT count(*) FROM tags").scalar() == 0
        connection.commit()
    process = subprocess.Popen(
        [sys.executable, "-c", WATCH, str(library.file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )

    def ask(sql: str) -> str:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(sql + "\n")
        process.stdin.flush()
        return process.stdout.readline().strip()

    assert ask("SELECT count(*) FROM tags") == "[(0,)]"
    inode = library.file.stat().st_ino
    library.migrator.restore(library.snapshot)
    assert library.file.stat().st_ino == inode
    assert ask("SELECT count(*) FROM tags") == "[(300,)]"
    assert ask("SELECT count(*) FROM shelf") == "[(300,)]"
    assert ask("INSERT INTO books (title, author) VALUES ('from without', 1) RETURNING id") == "[(301,)]"
    for connection in held:
        assert connection.exec_driver_sql("SELECT count(*) FROM tags WHERE book > 0").scalar() == 299
        assert connection.exec_driver_sql("SELECT title FROM books WHERE id = 301").scalar() == "from without"
        connection.exec_driver_sql("DELETE FROM tags WHERE book = 0")
        connection.commit()
        connection.close()
    process.communicate(timeout=30)
    intact(library.file)
    engine.dispose()


# Busy


def test_an_open_write_transaction_is_busy(library: Library) -> None:
    writer = library.connect()
    writer.execute("BEGIN IMMEDIATE")
    with pytest.raises(DatabaseLocked):
        library.migrator.restore(library.snapshot)
    writer.execute("ROLLBACK")
    library.untouched()
    writer.close()
    assert library.migrator.restore(library.snapshot)


def test_an_open_reader(library: Library) -> None:
    """It keeps the file busy without WAL; with it, it goes on with what it sees."""
    reader = library.connect()
    reader.execute("BEGIN")
    assert reader.execute("SELECT count(*) FROM tags").fetchone() == (0,)
    if journal_mode(library.file) == "wal":
        assert library.migrator.restore(library.snapshot)
        assert reader.execute("SELECT count(*) FROM tags").fetchone() == (0,)
        reader.execute("COMMIT")
        assert reader.execute("SELECT count(*) FROM tags").fetchone() == (300,)
        reader.close()
        return
    with pytest.raises(DatabaseLocked, match="lock_timeout"):
        library.migrator.restore(library.snapshot)
    reader.execute("COMMIT")
    reader.close()
    library.untouched()
    assert library.migrator.restore(library.snapshot)


def test_a_writer_that_ends_is_waited_for(library: Library) -> None:
    writer = sqlite3.connect(library.file, isolation_level=None, check_same_thread=False)
    writer.execute("BEGIN IMMEDIATE")
    release = threading.Timer(0.3, lambda: writer.execute("ROLLBACK"))
    release.start()
    assert Migrator(library.file, library.folder.path, lock_timeout=30).restore(library.snapshot)
    release.join()
    writer.close()
    assert rows(library.file) == library.old


def test_one_that_waits_keeps_nobody_from_committing(library: Library) -> None:
    """Of a lock that is asked for again and again, no part is kept in between."""
    writer = sqlite3.connect(library.file, isolation_level=None, timeout=1, check_same_thread=False)
    refused: list[Exception] = []

    def commit() -> None:
        try:
            writer.execute("COMMIT")
        except sqlite3.Error as error:
            refused.append(error)

    release = threading.Timer(0.5, commit)

    def progress(done: int, total: int, message: str) -> None:
        if message == "restore: verifying":
            writer.execute("BEGIN IMMEDIATE")
            writer.execute("INSERT INTO migration_history (version, operation, success) VALUES (1000, 'stamp', 1)")
            release.start()

    migrator = Migrator(library.file, library.folder.path, lock_timeout=3, progress=progress)
    assert migrator.restore(library.snapshot)
    release.join()
    writer.close()
    assert not refused
    assert migrator.get_migration_history()[1]["operation"] == "stamp"


def test_the_history_is_whole_though_others_write_all_the_time(library: Library) -> None:
    """Between the look at the history and the copy nobody gets in unseen."""
    stop, written = threading.Event(), []

    def write() -> None:
        raw = sqlite3.connect(library.file, isolation_level=None, timeout=30)
        while not stop.is_set():
            insert = "INSERT INTO migration_history (version, operation, success) VALUES (?, 'stamp', 1)"
            # Without WAL, SQLite may say at once that it is locked.
            with suppress(sqlite3.OperationalError):
                raw.execute(insert, (1000 + len(written),))
                written.append(1000 + len(written))
            # Without WAL nobody is in turn: who never pauses may keep everybody else out.
            time.sleep(0.005)
        raw.close()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        migrator = Migrator(library.file, library.folder.path, lock_timeout=60)
        for _ in range(5):
            assert migrator.restore(library.snapshot)
    finally:
        stop.set()
        writer.join()
    kept = [entry["version"] for entry in reversed(migrator.get_migration_history()) if entry["operation"] == "stamp"]
    assert kept == written
    intact(library.file)


def test_a_connection_of_its_own_with_an_open_cursor(folder: Folder, tmp_path: Path) -> None:
    """In memory there is one connection for all; a query that is not read to its end keeps it."""
    folder.table(1)
    migrator = Migrator(":memory:", folder.path, snapshot=SnapshotPolicy(tmp_path / "kept"), lock_timeout=0.2)
    migrator.migrate()
    made = migrator.create_snapshot()
    raw: Any = migrator.db.engine.raw_connection().dbapi_connection
    cursor = raw.cursor()
    cursor.execute(
        "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT x, (SELECT n FROM t1) FROM c"
    )
    cursor.fetchone()
    with pytest.raises(DatabaseLocked):
        migrator.restore(made)
    cursor.close()
    assert migrator.restore(made)


# In other circumstances


def test_in_memory(folder: Folder, tmp_path: Path) -> None:
    folder.table(1)
    migrator = Migrator(":memory:", folder.path, snapshot=SnapshotPolicy(tmp_path / "kept"))
    migrator.migrate()
    before = contents(migrator.db.engine)
    folder.add(2, 'self.execute_sql("DELETE FROM t1")')
    made = migrator.migrate().snapshot
    assert made is not None
    assert contents(migrator.db.engine) != before
    assert migrator.restore(made).rolled_back == [2]
    assert contents(migrator.db.engine) == before
    operations = [entry["operation"] for entry in migrator.get_migration_history()]
    assert operations == ["restore", "apply", "apply"]


@pytest.mark.parametrize(
    "options",
    [
        {"poolclass": NullPool},
        {"poolclass": QueuePool, "pool_size": 1, "max_overflow": 0, "pool_timeout": 0.1},
        {"poolclass": StaticPool},
        pytest.param(
            {"connect_args": {"autocommit": False}},
            marks=pytest.mark.skipif(sys.version_info < (3, 12), reason="autocommit= is of Python 3.12"),
        ),
    ],
    ids=["null", "one connection", "static", "autocommit=False"],
)
def test_engines_as_applications_have_them(library: Library, options: dict[str, Any]) -> None:
    engine = create_engine(f"sqlite:///{library.file}", **options)
    assert Migrator(engine, library.folder.path).restore(library.snapshot)
    engine.dispose()
    assert rows(library.file) == library.old


@pytest.mark.parametrize("setting", ["locking_mode = EXCLUSIVE", "journal_mode = MEMORY", "query_only = ON"])
def test_settings_of_the_applications_connection(plain_library: Library, setting: str) -> None:
    engine = create_engine(f"sqlite:///{plain_library.file}", poolclass=StaticPool)
    event.listen(engine, "connect", lambda raw, _: raw.execute(f"PRAGMA {setting}"))
    migrator = Migrator(engine, plain_library.folder.path)
    if setting.startswith("query_only"):
        with pytest.raises(DatabaseNotWritable):
            migrator.restore(plain_library.snapshot)
        engine.dispose()
        plain_library.untouched()
        return
    assert migrator.restore(plain_library.snapshot)
    name, _, value = setting.partition(" = ")
    with engine.connect() as connection:
        assert connection.exec_driver_sql(f"PRAGMA {name}").scalar() == value.lower()
    engine.dispose()
    assert rows(plain_library.file) == plain_library.old


@pytest.mark.parametrize("vacuum", ["page_size = 8192", "auto_vacuum = FULL"])
def test_a_snapshot_with_pages_of_another_kind(library: Library, vacuum: str) -> None:
    """What was VACUUMed in between is as it was; the journal mode is as it is."""
    library.migrator.db.engine.dispose()
    mode = journal_mode(library.file)
    raw = library.connect()
    raw.execute("PRAGMA journal_mode = DELETE")
    raw.execute(f"PRAGMA {vacuum}")
    raw.execute("VACUUM")
    raw.execute(f"PRAGMA journal_mode = {mode}")
    raw.close()
    assert library.migrator.restore(library.snapshot)
    assert rows(library.file) == library.old
    intact(library.file)
    assert journal_mode(library.file) == mode
    assert library.migrator.migrate().applied == [2]
    intact(library.file)


def test_pages_of_another_size_while_others_have_a_wal_open(folder: Folder, tmp_path: Path) -> None:
    library = Library(tmp_path / "library.db", folder, "wal")
    library.migrator.db.engine.dispose()
    raw = library.connect()
    raw.execute("PRAGMA journal_mode = DELETE")
    raw.execute("PRAGMA page_size = 8192")
    raw.execute("VACUUM")
    raw.execute("PRAGMA journal_mode = WAL")
    raw.execute("SELECT count(*) FROM tags").fetchone()
    with pytest.raises(DatabaseLocked, match="pages are of another size"):
        library.migrator.restore(library.snapshot)
    library.untouched()
    raw.close()
    assert library.migrator.restore(library.snapshot)
    assert rows(library.file) == library.old


@pytest.mark.parametrize("damage", ["deleted", "emptied", "a page"])
def test_a_live_database_that_is_lost_or_damaged(plain_library: Library, damage: str) -> None:
    """That is what it is for."""
    library = plain_library
    library.migrator.db.engine.dispose()
    if damage == "deleted":
        library.file.unlink()
    elif damage == "emptied":
        library.file.write_bytes(b"")
    else:
        raw = library.connect()
        roots = raw.execute("SELECT rootpage FROM sqlite_master WHERE name LIKE 'migration%' AND rootpage").fetchall()
        size = raw.execute("PRAGMA page_size").fetchone()[0]
        raw.close()
        with library.file.open("r+b") as stream:
            for (root,) in roots:
                stream.seek((root - 1) * size)
                stream.write(b"\xff" * size)
    result = library.migrator.restore(library.snapshot)
    assert rows(library.file) == library.old
    intact(library.file)
    assert bool(result.warnings) == (damage == "a page")
    operations = [entry["operation"] for entry in library.migrator.get_migration_history()]
    assert operations == ["restore", "apply"]
    assert library.migrator.migrate().applied == [2]


def test_a_live_file_that_is_no_database(plain_library: Library) -> None:
    plain_library.file.write_bytes(b"no database at all" * 100)
    with pytest.raises(Exception, match="is not a database"):
        plain_library.migrator.restore(plain_library.snapshot)


def test_a_newer_database_goes_back_with_the_older_program(library: Library) -> None:
    """The way out of DatabaseTooNew, without the release that brought it there."""
    (library.folder.path / "002_step_2.py").unlink()
    older = Migrator(library.file, library.folder.path)
    with pytest.raises(DatabaseTooNew, match=f"Restore it instead: sqlmig restore {library.snapshot}"):
        older.migrate()
    assert older.restore(library.snapshot).rolled_back == [2]
    assert older.migrate().applied == []
    assert rows(library.file) == library.old


def test_a_copy_that_somebody_made_with_its_wal(folder: Folder, tmp_path: Path) -> None:
    """What is only in the WAL beside a file belongs to it."""
    library = Library(tmp_path / "library.db", folder, "wal")
    raw = library.connect()
    raw.execute("PRAGMA wal_autocheckpoint = 0")
    raw.execute("INSERT INTO authors (name) VALUES ('in the WAL')")
    backup = tmp_path / "backup.db"
    shutil.copy(library.file, backup)
    shutil.copy(f"{library.file}-wal", f"{backup}-wal")
    raw.close()
    content = rows(library.file)
    assert Migrator(library.file, folder.path).restore(library.snapshot)
    assert library.migrator.restore(backup).to_version == 2
    assert rows(library.file) == content


def test_a_snapshot_from_before_sqlmig(folder: Folder, tmp_path: Path) -> None:
    """Its user_version is taken over, as migrate() takes it over."""
    file, backup = tmp_path / "app.db", tmp_path / "backup.db"
    folder.table(1)
    folder.table(2)
    raw = sqlite3.connect(file)
    raw.executescript("CREATE TABLE t1 (id INTEGER PRIMARY KEY, n TEXT); PRAGMA user_version = 1")
    raw.close()
    shutil.copy(file, backup)
    migrator = Migrator(file, folder.path)
    assert migrator.migrate().applied == [2]
    assert migrator.restore(backup).rolled_back == [2]
    assert migrator.get_current_version() == 1
    assert migrator.validate_schema()
    assert migrator.migrate().applied == [2]


def test_an_interrupted_migration_is_undone_by_a_restore(folder: Folder, tmp_path: Path) -> None:
    folder.table(1)
    file = tmp_path / "app.db"
    Migrator(file, folder.path).migrate()
    folder.add(2, "import os, signal; os.kill(os.getpid(), signal.SIGKILL)", extra="transactional = False")
    boot = "import sys\nfrom sqlmig import Migrator\nMigrator(*sys.argv[1:], snapshot=True).migrate()"
    subprocess.run([sys.executable, "-c", boot, str(file), str(folder.path)], check=False)
    migrator = Migrator(file, folder.path)
    assert migrator.get_migration_status().interrupted_versions == [2]
    (made,) = migrator.snapshots()
    migrator.restore(made)
    assert migrator.get_migration_status().interrupted_versions == []
    folder.table(2)
    assert migrator.migrate().applied == [2]


def test_a_migration_that_runs_outside_a_transaction_is_let_finish(folder: Folder, tmp_path: Path) -> None:
    folder.table(1)
    migrator = Migrator(tmp_path / "app.db", folder.path)
    migrator.migrate()
    made = migrator.create_snapshot()
    running, go_on = tmp_path / "running", tmp_path / "go on"
    wait = f"import pathlib, time; pathlib.Path({str(running)!r}).touch()\n"
    wait += f"while not pathlib.Path({str(go_on)!r}).exists(): time.sleep(0.01)"
    folder.add(2, wait, extra="transactional = False")
    boot = "import sys\nfrom sqlmig import Migrator\nMigrator(*sys.argv[1:]).migrate()"
    process = subprocess.Popen([sys.executable, "-c", boot, str(tmp_path / "app.db"), str(folder.path)])
    while not running.exists():
        assert process.poll() is None
    with pytest.raises(DatabaseLocked, match="is running migration 2"):
        migrator.restore(made)
    go_on.touch()
    assert process.wait(timeout=30) == 0
    assert migrator.restore(made).rolled_back == [2]


# What is refused


def test_files_that_cannot_be_restored(plain_library: Library, tmp_path: Path) -> None:
    library = plain_library
    raw = sqlite3.connect(library.snapshot)
    page = raw.execute("SELECT rootpage FROM sqlite_master WHERE name = 'books'").fetchone()[0]
    size = raw.execute("PRAGMA page_size").fetchone()[0]
    raw.close()
    damaged, cut, other, newer, hot = (
        tmp_path / name for name in ("damaged.db", "cut.db", "other.txt", "newer.db", "hot.db")
    )
    shutil.copy(library.snapshot, damaged)
    with damaged.open("r+b") as stream:
        stream.seek((page - 1) * size)
        stream.write(b"\xff" * 300)
    cut.write_bytes(library.snapshot.read_bytes()[:-20_000])
    other.write_text("no database" * 1000)
    shutil.copy(library.file, newer)
    raw = sqlite3.connect(newer)
    raw.executescript("INSERT INTO migration_versions (version) VALUES (3); PRAGMA user_version = 3")
    raw.close()
    shutil.copy(library.snapshot, hot)
    Path(f"{hot}-journal").write_bytes(b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7" + bytes(600))
    (tmp_path / "empty.db").touch()
    for file, reason in (
        (damaged, "damaged|malformed"),
        (cut, "damaged|malformed"),
        (other, "not a database"),
        (newer, "newer than the newest migration file"),
        (hot, "unfinished transaction"),
        (tmp_path / "empty.db", "it is empty"),
        (tmp_path / "nowhere.db", "no such file"),
        (tmp_path, "it is a folder"),
        (library.file, "the live database itself"),
    ):
        with pytest.raises(SnapshotUnusable, match=reason) as caught:
            library.migrator.restore(file)
        assert str(file) in str(caught.value)
        library.untouched()
    told = failures(library.migrator)
    assert {entry["operation"] for entry in told} == {"restore"}
    assert len(told) == 9


def test_a_joined_transaction_is_refused(library: Library) -> None:
    engine = create_engine(f"sqlite:///{library.file}")
    with engine.begin() as connection, pytest.raises(NotAtomic):
        Migrator(connection, library.folder.path).restore(library.snapshot)
    library.untouched()


def test_a_file_that_may_only_be_read(library: Library) -> None:
    engine = create_engine(f"sqlite:///file:{library.file}?mode=ro&uri=true")
    with pytest.raises(DatabaseNotWritable):
        Migrator(engine, library.folder.path).restore(library.snapshot)
    engine.dispose()
    library.untouched()


@pytest.mark.parametrize("moment", ["reading", "verifying", "writing", "verifying what was written"])
def test_an_interrupt(library: Library, moment: str) -> None:
    """After the last page it is restored; before, nothing has happened."""

    def progress(done: int, total: int, message: str) -> None:
        if message == f"restore: {moment}" or message.startswith(f"restore: {moment},"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Migrator(library.file, library.folder.path, progress=progress).restore(library.snapshot)
    if moment == "verifying what was written":
        assert rows(library.file) == library.old
    else:
        library.untouched()
    intact(library.file)
    assert library.migrator.restore(library.snapshot)


def test_a_database_that_may_not_grow(library: Library) -> None:
    """PRAGMA max_page_count stands for a full disk: the first that does not fit undoes all."""
    engine = create_engine(f"sqlite:///{library.file}")
    raw = library.connect()
    raw.execute("VACUUM")
    pages = raw.execute("PRAGMA page_count").fetchone()[0]
    raw.close()
    event.listen(engine, "connect", lambda raw, _: raw.execute(f"PRAGMA max_page_count = {pages + 2}"))
    with pytest.raises(DiskFull):
        Migrator(engine, library.folder.path).restore(library.snapshot)
    engine.dispose()
    library.untouched()
    intact(library.file)


@pytest.mark.parametrize("leave", [150_000, 700_000, 1_300_000])
@pytest.mark.parametrize("mode", MODES)
def test_a_disk_that_fills(
    folder: Folder, small_disk: Path, tmp_path: Path, mode: str, leave: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the image, or in the journal or the WAL: the database is as it was."""

    library = Library(small_disk / "library.db", folder, mode)
    snapshot = tmp_path / "away.snapshot"
    shutil.move(library.snapshot, snapshot)
    free = os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize
    (small_disk / "filler").write_bytes(bytes(max(0, free - leave)))
    with pytest.raises(DiskFull, match="restore needs"):
        library.migrator.restore(snapshot)
    library.untouched()
    monkeypatch.setattr("sqlmig.safety.restore.require_room", lambda *_: None)
    try:
        library.migrator.restore(snapshot)
    except DiskFull:
        library.untouched()
    else:
        assert rows(library.file) == library.old
    intact(library.file)
    (small_disk / "filler").unlink()
    library.migrator.restore(snapshot)
    assert rows(library.file) == library.old


# Instead of a rollback


def test_a_rollback_that_cannot_be_names_the_snapshot(library: Library) -> None:
    with pytest.raises(RollbackNotSupported) as caught:
        library.migrator.rollback_to_version(1)
    assert caught.value.snapshot == str(library.snapshot)
    assert f"sqlmig restore {library.snapshot}" in str(caught.value)
    assert "A snapshot of version 1 was taken 20" in str(caught.value)
    assert failures(library.migrator)[0]["error_message"] == str(caught.value)
    library.untouched()


def test_a_rollback_that_uses_the_snapshot(library: Library) -> None:
    result = library.migrator.rollback_to_version(1, use_snapshot=True)
    assert (result.direction, result.rolled_back) == ("restore", [2])
    assert rows(library.file) == library.old
    assert failures(library.migrator) == []
    library.migrator.migrate()
    assert library.migrator.migrate_to_version(1, use_snapshot=True).direction == "restore"
    assert library.migrator.migrate_to_version(2, use_snapshot=True).applied == [2]


def test_a_rollback_that_can_be_uses_none(folder: Folder, tmp_path: Path) -> None:
    folder.table(1)
    folder.table(2)
    migrator = Migrator(tmp_path / "app.db", folder.path, snapshot=True)
    migrator.migrate_to_version(1)
    migrator.migrate()
    assert migrator.rollback_to_version(1, use_snapshot=True).direction == "down"


def test_without_a_snapshot_of_that_very_version(library: Library) -> None:
    """One of another version is no way to it."""
    with pytest.raises(RollbackNotSupported) as caught:
        library.migrator.rollback_to_version(0, use_snapshot=True)
    assert caught.value.snapshot is None
    assert "restore" not in str(caught.value).partition("\n")[0]
    library.untouched()


def test_a_snapshot_whose_name_lies_is_not_restored_for_a_rollback(library: Library) -> None:
    replace(library.snapshot, library.file)
    with pytest.raises(SnapshotUnusable, match="it is at version 2, not 1"):
        library.migrator.rollback_to_version(1, use_snapshot=True)
    library.untouched()


def test_a_failed_migration_and_its_snapshot(folder: Folder, tmp_path: Path) -> None:
    """A loose migration stays half done; the snapshot from before it brings everything back."""
    folder.table(1)
    migrator = Migrator(tmp_path / "app.db", folder.path, snapshot=True)
    migrator.migrate()
    before = rows_of(tmp_path / "app.db")
    folder.add(2, 'self.execute_sql("DELETE FROM t1")\nraise ValueError', extra="transactional = False")
    with pytest.raises(MigrationFailed) as caught:
        migrator.migrate()
    assert caught.value.result is not None
    assert caught.value.result.snapshot is not None
    assert rows_of(tmp_path / "app.db") != before
    migrator.restore(caught.value.result.snapshot)
    assert rows_of(tmp_path / "app.db") == before
    operations = [(entry["operation"], entry["success"]) for entry in migrator.get_migration_history()]
    assert operations == [("restore", True), ("apply", False), ("apply", True)]


def rows_of(file: Path) -> Any:
    return contents(create_engine(f"sqlite:///{file}"))


# The command line


@pytest.fixture
def invoke(plain_library: Library) -> Callable[..., Result]:
    def call(*words: str, typed: str | None = None) -> Result:
        options = ["--url", f"sqlite:///{plain_library.file}", "--path", str(plain_library.folder.path)]
        return CliRunner().invoke(app, [*words, *options], input=typed)

    return call


def test_restore_says_what_is_lost_and_wants_a_yes(invoke: Callable[..., Result], plain_library: Library) -> None:
    refused = invoke("restore", str(plain_library.snapshot))
    assert refused.exit_code == 2
    assert "goes from version 2 to version 1" in refused.stderr
    assert "is lost" in refused.stderr
    assert "--yes" in refused.stderr
    plain_library.untouched()
    done = invoke("restore", str(plain_library.snapshot), "--yes")
    assert done.exit_code == 0, done.stderr
    assert "version 2 -> 1" in done.stdout
    assert rows(plain_library.file) == plain_library.old


def test_restore_asks_on_a_terminal(plain_library: Library) -> None:
    import pty

    for answer, restored in ((b"n\n", False), (b"\x04", False), (b"y\n", True)):
        main, terminal = pty.openpty()
        command = [sys.executable, "-m", "sqlmig", "restore", str(plain_library.snapshot)]
        command += ["--url", f"sqlite:///{plain_library.file}", "--path", str(plain_library.folder.path)]
        process = subprocess.Popen(command, stdin=terminal, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        os.write(main, answer)
        _, told = process.communicate(timeout=60)
        os.close(main)
        os.close(terminal)
        assert "Everything that was written to it since" in told
        assert ("Nothing was changed." in told) is not restored
        assert (process.returncode == 0) == restored
        assert rows(plain_library.file) == (plain_library.old if restored else plain_library.new)


def test_restore_by_name_and_as_json(invoke: Callable[..., Result], plain_library: Library) -> None:
    done = json.loads(invoke("restore", plain_library.snapshot.name, "--yes", "--json").stdout)
    assert (done["direction"], done["rolled_back"], done["snapshot"]) == ("restore", [2], str(plain_library.snapshot))


def test_snapshots_are_made_and_shown(invoke: Callable[..., Result], plain_library: Library, tmp_path: Path) -> None:
    assert plain_library.snapshot.name in invoke("snapshots").stdout
    assert invoke("restore").stdout == invoke("snapshots").stdout
    made = json.loads(invoke("snapshot", "--snapshot-folder", str(tmp_path / "kept"), "--json").stdout)
    assert made["version"] == 2
    assert Path(made["path"]).parent == tmp_path / "kept"
    listed = json.loads(invoke("snapshots", "--snapshot-folder", str(tmp_path / "kept"), "--json").stdout)
    assert [one["path"] for one in listed["snapshots"]] == [made["path"]]
    assert "no snapshot" in invoke("snapshots", "--snapshot-folder", str(tmp_path / "nowhere")).stdout
    missing = invoke("restore", "nowhere.snapshot", "--yes")
    assert (missing.exit_code, "no such file" in missing.stderr) == (1, True)


def test_up_to_and_down(invoke: Callable[..., Result], plain_library: Library) -> None:
    refused = invoke("down")
    assert refused.exit_code == 1
    assert f"sqlmig restore {plain_library.snapshot}" in refused.stderr
    assert "version 2 -> 1" in invoke("down", "--use-snapshot", "--yes").stdout
    assert rows(plain_library.file) == plain_library.old
    up = json.loads(invoke("up", "--snapshot", "--json").stdout)
    assert up["applied"] == [2]
    assert Path(up["snapshot"]).exists()
    assert invoke("to", "1", "--use-snapshot", "--yes").exit_code == 0
    assert rows(plain_library.file) == plain_library.old
    assert "snapshot before it: " in invoke("to", "2", "--snapshot").stdout


def test_what_is_configured(plain_library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SQLMIG_URL", raising=False)
    head = '[tool.sqlmig]\nurl = "sqlite:///library.db"\npath = "versions"\n'
    project = tmp_path / "pyproject.toml"

    def call(*words: str) -> Result:
        return CliRunner().invoke(app, list(words))

    project.write_text(head + 'snapshot = {folder = "kept", keep = 1}\n')
    for _ in range(3):
        assert call("snapshot").exit_code == 0
    (made,) = json.loads(call("snapshots", "--json").stdout)["snapshots"]
    assert Path(made["path"]).parent == tmp_path / "kept"
    assert call("snapshot", "--snapshot-folder", "else").exit_code == 0
    assert call("snapshot", "--snapshot-folder", "else").exit_code == 0
    assert len(list((tmp_path / "else").iterdir())) == 1
    plain_library.migrator.restore(plain_library.snapshot)
    assert json.loads(call("up", "--no-snapshot", "--json").stdout)["snapshot"] is None
    for wrong, told in (("snapshot = 3", "true or false or text or a table"), ("snapshot = {keep = 0}", "keep=0")):
        project.write_text(f"{head}{wrong}\n")
        refused = call("up")
        assert (refused.exit_code, told in refused.stderr) == (2, True), refused.stderr


def test_a_snapshot_is_what_is_handed_back(plain_library: Library) -> None:
    (made,) = plain_library.migrator.snapshots()
    assert isinstance(made, Snapshot)
    assert made["path"] == plain_library.snapshot
    assert plain_library.migrator.restore(made)
    with pytest.raises(ConfigurationError):
        Migrator(":memory:", plain_library.folder.path).snapshots()


def test_a_file_of_another_database_is_refused(plain_library: Library, tmp_path: Path) -> None:
    before = rows(plain_library.file)
    for name, statements, reason in (
        ("other", "CREATE TABLE moz (x); PRAGMA application_id = 4711", "shares no table"),
        ("app", "PRAGMA application_id = 77", "another application's"),
        ("utf16", "", "UTF-16le"),
    ):
        file = tmp_path / f"{name}.db"
        raw = sqlite3.connect(file, isolation_level=None)
        if name == "utf16":
            raw.execute("PRAGMA encoding = 'UTF-16le'")
            raw.execute("CREATE TABLE books (x)")
        elif name == "app":
            source = sqlite3.connect(plain_library.snapshot)
            source.backup(raw)
            source.close()
        raw.executescript(statements)
        raw.close()
        with pytest.raises(SnapshotUnusable, match=reason):
            Migrator(plain_library.file, plain_library.folder.path).restore(file)
    assert rows(plain_library.file) == before


def test_a_file_that_was_cut_or_added_to(plain_library: Library, tmp_path: Path) -> None:
    for name, change in (("cut", lambda data: data[:-100]), ("more", lambda data: data + bytes(100))):
        file = tmp_path / name
        file.write_bytes(change(plain_library.snapshot.read_bytes()))
        with pytest.raises(SnapshotUnusable):
            Migrator(plain_library.file, plain_library.folder.path).restore(file)


@pytest.mark.parametrize("value", [None, 3, ""])
def test_what_is_no_snapshot(plain_library: Library, value: Any) -> None:
    with pytest.raises(ConfigurationError, match="cannot be restored"):
        Migrator(plain_library.file, plain_library.folder.path).restore(value)


def test_another_copy_that_is_written_to_meanwhile_shows_one_moment(tmp_path: Path, folder: Folder) -> None:
    """A file with a rollback journal is locked while it is read; or it is refused."""
    folder.add(
        1,
        """self.execute_sql("CREATE TABLE a (n)")
self.execute_sql("CREATE TABLE filler (x)")
self.execute_sql("CREATE TABLE z (n)")
self.execute_sql("INSERT INTO a VALUES (0)")
self.execute_sql("INSERT INTO filler VALUES (zeroblob(8000000))")
self.execute_sql("INSERT INTO z VALUES (0)")""",
    )
    live, other = tmp_path / "live.db", tmp_path / "other.db"
    for file in (live, other):
        Migrator(file, folder.path).migrate()
    code = (
        "import sqlite3, sys\nraw = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)\n"
        "while True:\n    raw.executescript('BEGIN IMMEDIATE; UPDATE a SET n = n + 1; UPDATE z SET n = n + 1; COMMIT')"
    )
    writer = subprocess.Popen([sys.executable, "-c", code, str(other)])
    done = 0
    try:
        for _ in range(6):
            try:
                Migrator(live, folder.path, lock_timeout=1).restore(other)
            except (SnapshotUnusable, DatabaseLocked):
                continue
            done += 1
            raw = sqlite3.connect(live)
            assert raw.execute("SELECT n FROM a").fetchone() == raw.execute("SELECT n FROM z").fetchone()
            raw.close()
    finally:
        writer.kill()
        writer.wait()
    assert done or not live.with_name("live.db-journal").exists()
