"""Migrating on a copy first: the database itself is only read, whatever the migrations and their processes do."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Folder, contents, failures
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.pool import NullPool, StaticPool

from sqlmig import (
    ConfigurationError,
    DatabaseLocked,
    DatabaseUnavailable,
    DiskFull,
    Migrator,
    Rehearsal,
    RehearsalFailed,
    UnknownVersion,
    ValidationFailed,
)
from sqlmig.safety.places import PREFIX, folder_of_its_own


def leftovers(folder: Path | str) -> list[str]:
    return [name for name in os.listdir(folder) if name.startswith(PREFIX)]


def files(folder: Path) -> dict[str, bytes]:
    """Every file of a folder, byte for byte."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Path]:
    """A folder for copies, which must be empty afterwards."""
    folder = tmp_path / "copies"
    folder.mkdir()
    yield folder
    assert list(folder.iterdir()) == []


@pytest.fixture
def pending(folder: Folder, migrator: Migrator) -> Migrator:
    """A database at version 1, and two migrations more."""
    folder.table(1)
    migrator.migrate()
    folder.table(2)
    folder.add(
        3,
        """self.execute_sql("ALTER TABLE t1 ADD COLUMN x TEXT")
self.execute_sql("UPDATE t1 SET x = n")""",
        'self.execute_sql("ALTER TABLE t1 DROP COLUMN x")',
    )
    return migrator


# What it finds out


@pytest.mark.proves("Rehearsals", sqlite="yes")
def test_a_rehearsal_tells_what_each_migration_does(pending: Migrator, tmp_path: Path, room: Path) -> None:
    before = files(tmp_path)
    report = pending.rehearse(folder=room)
    assert files(tmp_path) == before
    assert isinstance(report, Rehearsal)
    assert report
    assert (report.direction, report.from_version, report.target_version) == ("up", 1, 3)
    second, third = report.steps
    assert (second.version, second.description, second.rows_touched) == (2, "step 2", 1)
    assert second.schema_difference == ["+ table t2"]
    assert third.schema_difference == ["~ table t1: + column x TEXT"]
    for step in report.steps:
        assert (step.down_restores_schema, step.up_again_same, step.warnings) == (True, True, [])
        assert step.up_ms is not None
        assert step.down_ms is not None
    assert report.size_bytes == len(before["app.db"])
    assert report.disk_needed_bytes > 0
    assert report.integrity == []
    assert "went well" in str(report)
    assert pending.get_current_version() == 1


def test_at_head_nothing_is_copied(pending: Migrator) -> None:
    pending.migrate()
    report = pending.rehearse(room=1e9, folder="/")
    assert report
    assert (report.steps, report.direction) == ([], "none")
    assert "Nothing to rehearse" in str(report)
    assert pending.migrate(rehearse="/nowhere").applied == []


def test_a_rollback_that_forgets_something_is_found_once(folder: Folder, migrator: Migrator) -> None:
    folder.table(1)
    folder.add(2, 'self.execute_sql("CREATE INDEX ix ON t1 (n)")', "pass")
    folder.table(3)
    report = migrator.rehearse()
    assert not report
    assert report.can_migrate
    assert [step.down_restores_schema for step in report.steps] == [True, False, True]
    assert report.steps[1].down_difference == ["+ index ix"]
    assert [len(step.warnings) for step in report.steps] == [0, 1, 0]
    result = migrator.migrate(rehearse=True)
    assert result.applied == [1, 2, 3]
    assert "migration 002: rolling it back leaves the schema otherwise: + index ix" in str(result.warnings)


def test_a_second_apply_that_fails_is_found(folder: Folder, migrator: Migrator) -> None:
    folder.table(1)
    migrator.migrate()
    folder.add(2, 'self.execute_sql("CREATE INDEX ix ON t1 (n)")', "pass")
    (step,) = migrator.rehearse().steps
    assert step.up_again_same is False
    assert "applied again" in step.warnings[1]


def test_a_down_that_fails_stops_no_migration(folder: Folder, migrator: Migrator) -> None:
    folder.table(1)
    folder.add(2, "pass", "raise ValueError('no')")
    folder.table(3)
    report = migrator.rehearse()
    assert [step.down_restores_schema for step in report.steps] == [None, False, True]
    assert report.steps[0].down_note == "not tried: 002 could not be rolled back"
    assert report.can_migrate
    assert not report
    assert migrator.migrate(rehearse=True).applied == [1, 2, 3]


def test_a_lossy_down_fails_no_later_migration(folder: Folder, migrator: Migrator) -> None:
    """Migration 2 moves values, and its way back loses them; 3 needs them, and would find them."""
    folder.table(1)
    migrator.migrate()
    folder.add(
        2,
        """self.execute_sql("ALTER TABLE t1 ADD COLUMN full TEXT")
self.execute_sql("UPDATE t1 SET full = n")
self.execute_sql("ALTER TABLE t1 DROP COLUMN n")""",
        """self.execute_sql("ALTER TABLE t1 DROP COLUMN full")
self.execute_sql("ALTER TABLE t1 ADD COLUMN n TEXT")""",
        "removes = ['t1.n']",
    )
    folder.add(3, "self.alter_column('t1', 'full', nullable=False)", "self.alter_column('t1', 'full', nullable=True)")
    report = migrator.rehearse()
    assert report.can_migrate
    assert report.error is None
    assert report.steps[1].up_again_same is False
    assert migrator.migrate(rehearse=True).applied == [2, 3]


def test_what_has_no_way_back_is_said(folder: Folder, migrator: Migrator) -> None:
    folder.table(1)
    folder.add(2)
    folder.table(3)
    notes = [(step.down_restores_schema, step.down_note) for step in migrator.rehearse().steps]
    assert notes == [(None, "behind 002, which has no way back"), (None, "no way back"), (True, "")]


def test_the_order_of_columns_and_comments(folder: Folder, migrator: Migrator) -> None:
    folder.table(1)
    migrator.migrate()
    folder.add(
        2,
        'self.execute_sql("ALTER TABLE t1 DROP COLUMN n")',
        'self.execute_sql("ALTER TABLE t1 ADD COLUMN n  text /* again */")',
        "removes = ['t1.n']",
    )
    assert migrator.rehearse().steps[0].down_restores_schema is True
    folder.add(
        2,
        """self.execute_sql("ALTER TABLE t1 ADD COLUMN z")
self.execute_sql("ALTER TABLE t1 DROP COLUMN n")""",
        'self.execute_sql("ALTER TABLE t1 ADD COLUMN n TEXT")',
        "removes = ['t1.n']",
    )
    assert migrator.rehearse().steps[0].down_difference == ["~ table t1: + column z"]


def test_a_skipped_migration(folder: Folder, migrator: Migrator) -> None:
    folder.add(1, "raise ValueError", "raise ValueError", extra="def pre_migrate_checks(self): return False")
    report = migrator.rehearse()
    assert report
    assert report.steps[0].skipped
    assert migrator.migrate(rehearse=True).skipped == [1]


def test_migrations_outside_transactions(folder: Folder, migrator: Migrator) -> None:
    folder.table(1)
    folder.add(
        2,
        'self.execute_sql("VACUUM")\nself.execute_sql("PRAGMA journal_mode = WAL")',
        'self.execute_sql("PRAGMA journal_mode = DELETE")',
        extra="transactional = False",
    )
    report = migrator.rehearse()
    assert report
    assert report.steps[1].schema_difference == ["~ journal_mode: delete -> wal"]
    assert report.steps[1].rows_touched == 0
    assert migrator.migrate(rehearse=True).applied == [1, 2]


def test_damage_is_found_and_stops_migrating(folder: Folder, migrator: Migrator, engine: Engine) -> None:
    """A definition edited by hand: nothing raises, and the rows contradict it."""
    folder.table(1)
    migrator.migrate()
    folder.add(
        2,
        """self.execute_sql("INSERT INTO t1 (n) VALUES (NULL)")
self.execute_sql("PRAGMA writable_schema = ON")
self.execute_sql("UPDATE sqlite_master SET sql = replace(sql, 'n TEXT', 'n TEXT NOT NULL') WHERE name = 't1'")
self.execute_sql("PRAGMA schema_version = 99")
self.execute_sql("PRAGMA writable_schema = RESET")""",
    )
    before = contents(engine)
    for thorough in (True, False):
        report = migrator.rehearse(thorough=thorough)
        assert not report.can_migrate
        assert "NULL value in t1.n" in report.integrity[0]
    with pytest.raises(RehearsalFailed, match=r"NULL value in t1\.n") as caught:
        migrator.migrate(rehearse=True)
    assert caught.value.report.integrity
    assert contents(engine) == before


def test_rows_without_parents_count_only_where_they_are_new(folder: Folder, migrator: Migrator, engine: Engine) -> None:
    folder.add(1, 'self.execute_sql("CREATE TABLE p (id INTEGER PRIMARY KEY)")')
    folder.add(2, 'self.execute_sql("CREATE TABLE c (id INTEGER PRIMARY KEY, p REFERENCES p)")')
    migrator.migrate()
    with engine.begin() as connection:
        connection.exec_driver_sql("INSERT INTO c (p) VALUES (7)")
    folder.table(3)
    assert migrator.rehearse()
    folder.add(4, 'self.execute_sql("INSERT INTO c (p) VALUES (8), (9)")', extra="removes = ['c']")
    report = migrator.rehearse()
    assert report.integrity == ["2 rows of c that refer to no row of p"]
    assert not report.can_migrate


def test_an_index_that_lacks_entries_is_counted(tmp_path: Path) -> None:
    """Of large databases not every entry is compared; a table whose pages were exchanged is seen all the same."""
    from sqlmig.safety.soundness import problems

    with sqlite3.connect(tmp_path / "x.db", isolation_level=None) as raw:
        raw.execute("CREATE TABLE a (x)")
        raw.execute("CREATE INDEX ix ON a (x)")
        raw.execute("CREATE INDEX part ON a (x) WHERE x > 5")
        raw.execute("INSERT INTO a VALUES (1), (2), (3)")
        raw.execute("CREATE TABLE b (x)")
        raw.execute("INSERT INTO b VALUES (1)")
        raw.execute("PRAGMA writable_schema = ON")
        raw.execute(
            "UPDATE sqlite_master SET rootpage = (SELECT rootpage FROM sqlite_master WHERE name = 'b') WHERE name = 'a'"
        )
        raw.execute("UPDATE sqlite_master SET sql = 'CREATE TABLE b (x) ' WHERE name = 'b'")
        raw.execute("DELETE FROM sqlite_master WHERE name = 'b'")
    raw.close()
    raw = sqlite3.connect(tmp_path / "x.db")
    found = problems(raw, thorough=False, tables={("main", "a")})
    assert "index ix: it has 3 entries for 1 rows of a" in found
    raw.close()


def test_a_rollback_is_rehearsed_as_well(pending: Migrator, tmp_path: Path) -> None:
    pending.migrate()
    before = files(tmp_path)
    report = pending.rehearse(1)
    assert files(tmp_path) == before
    assert report
    assert (report.direction, report.from_version, report.target_version) == ("down", 3, 1)
    assert [step.version for step in report.steps] == [3, 2]
    assert [step.up_again_same for step in report.steps] == [True, True]
    assert pending.migrate_to_version(1, rehearse=True).rolled_back == [3, 2]


def test_migrations_below_the_current_version(folder: Folder, engine: Engine) -> None:
    folder.table(1)
    folder.table(3)
    migrator = Migrator(engine, folder.path, out_of_order="apply")
    migrator.migrate()
    folder.table(2)
    folder.table(4)
    report = migrator.rehearse()
    assert report
    assert [step.down_note for step in report.steps] == ["below 003, which was applied before", ""]


@pytest.mark.parametrize("together", [True, False])
def test_all_or_nothing_is_rehearsed_as_such(folder: Folder, migrator: Migrator, together: bool) -> None:
    """In one transaction a deferred reference may stand open between two migrations."""
    folder.add(1, 'self.execute_sql("CREATE TABLE p (id INTEGER PRIMARY KEY)")')
    folder.add(
        2,
        """self.execute_sql("CREATE TABLE c (p REFERENCES p DEFERRABLE INITIALLY DEFERRED)")
self.execute_sql("INSERT INTO c VALUES (1)")""",
    )
    folder.add(3, 'self.execute_sql("INSERT INTO p VALUES (1)")')
    event.listen(migrator.db.engine, "connect", lambda raw, _: raw.execute("PRAGMA foreign_keys = ON"))
    report = migrator.rehearse(all_or_nothing=together)
    assert report.can_migrate is together
    if together:
        assert migrator.migrate(all_or_nothing=True, rehearse=True).applied == [1, 2, 3]
    else:
        assert "FOREIGN KEY constraint failed" in str(report.error)


# Failures


def test_a_failing_migration_gives_the_message_of_the_real_run(folder: Folder, migrator: Migrator) -> None:
    folder.table(1)
    migrator.migrate()
    folder.table(2)
    folder.add(3, 'print("so far")\nself.execute_sql("INSERT INTO nowhere VALUES (1)")')
    folder.table(4)
    report = migrator.rehearse()
    assert not report
    assert not report.can_migrate
    assert [step.version for step in report.steps] == [2, 3]
    assert report.steps[1].error is not None
    with pytest.raises(Exception, match="nowhere") as caught:
        migrator.migrate()
    assert report.error == str(caught.value)


def test_a_failed_rehearsal_leaves_the_database_alone(folder: Folder, migrator: Migrator, engine: Engine) -> None:
    folder.table(1)
    migrator.migrate()
    folder.table(2)
    folder.add(3, "raise ValueError('no')")
    before = contents(engine)
    with pytest.raises(RehearsalFailed, match="ValueError: no") as caught:
        migrator.migrate(rehearse=True)
    assert caught.value.version == 3
    assert not caught.value.report
    assert contents(engine) == before
    (entry,) = failures(migrator)
    assert entry["metadata"]["error"] == "RehearsalFailed"
    assert [e["version"] for e in migrator.get_migration_history() if e["success"]] == [1]


def test_files_that_do_not_load_are_told_without_a_copy(folder: Folder, migrator: Migrator) -> None:
    folder.table(1)
    migrator.migrate()
    folder.write("002_no.py", "import nothing_of_the_kind\n")
    report = migrator.rehearse(folder="/nowhere")
    with pytest.raises(ValidationFailed) as caught:
        migrator.migrate()
    assert report.error == str(caught.value)


def test_calls_that_are_wrong_raise(pending: Migrator, engine: Engine, folder: Folder) -> None:
    with pytest.raises(UnknownVersion):
        pending.rehearse(17)
    with pytest.raises(ConfigurationError, match="room"):
        pending.rehearse(room=0.5)
    with engine.connect() as connection:
        for call in (
            lambda migrator: migrator.rehearse(),
            lambda migrator: migrator.migrate(rehearse=True),
        ):
            with pytest.raises(ConfigurationError, match="inside the transaction of a Connection"):
                call(Migrator(connection, folder.path))
    assert pending.get_current_version() == 1


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_removes_the_copy(
    folder: Folder, migrator: Migrator, room: Path, error: type[BaseException]
) -> None:
    folder.add(1, f"raise {error.__name__}")
    if error is KeyboardInterrupt:
        with pytest.raises(KeyboardInterrupt):
            migrator.rehearse(folder=room)
    else:
        assert "sys.exit" in str(migrator.rehearse(folder=room).error)


def test_a_progress_callback_may_fail(pending: Migrator, folder: Folder, engine: Engine) -> None:
    told: list[tuple[int, int, str]] = []

    def progress(done: int, total: int, message: str) -> None:
        told.append((done, total, message))
        if len(told) == 5:
            raise ValueError

    report = Migrator(engine, folder.path, progress=progress).rehearse()
    assert report
    assert told[0][2] == "copying the database"
    assert told[0][0] == told[0][1]
    assert (told[-2][2], told[-1][2]) == ("rehearsing: 003 step 3", "checking the copy")


# The real database


def test_a_database_that_is_not_there_is_not_made(folder: Folder, migrator: Migrator, tmp_path: Path) -> None:
    folder.table(1)
    assert migrator.rehearse().steps[0].version == 1
    assert migrator.rehearse(1).steps[0].version == 1
    assert not (tmp_path / "app.db").exists()
    assert migrator.migrate(rehearse=True).applied == [1]
    with pytest.raises(DatabaseUnavailable, match="cannot be opened"):
        Migrator(f"sqlite:///{tmp_path}/nowhere/app.db", folder.path).rehearse()


def test_a_migration_that_uses_the_applications_engine_is_refused(
    folder: Folder, engine: Engine, migrator: Migrator, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.table(1)
    migrator.migrate()
    monkeypatch.setattr("sqlmig.an_engine", engine, raising=False)
    folder.add(
        2,
        """import sqlmig
with sqlmig.an_engine.begin() as connection:
    connection.exec_driver_sql("DELETE FROM t1")""",
    )
    before = contents(engine)
    assert "opened a connection to the real database" in str(migrator.rehearse().error)
    assert contents(engine) == before


def test_a_file_that_a_migration_attaches_is_refused(folder: Folder, migrator: Migrator, tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    folder.add(1, f"self.execute_sql(\"attach '{other}' AS o\")", extra="transactional = False")
    assert "attaches a file" in str(migrator.rehearse().error)
    assert not other.exists()


def test_vacuum_into_a_file_is_refused(folder: Folder, migrator: Migrator, tmp_path: Path) -> None:
    """It attaches the file that it writes, which would be the real one's neighbour."""
    other = tmp_path / "other.db"
    folder.add(1, f"self.execute_sql(\"VACUUM INTO '{other}'\")", extra="transactional = False")
    assert "attaches a file" in str(migrator.rehearse().error)
    assert not other.exists()
    assert migrator.migrate().applied == [1]
    assert other.exists()


@pytest.mark.parametrize(
    "attach",
    [
        "self.connection.connection.cursor().execute(\"ATTACH '{file}' AS o\")",
        "self.connection.connection.cursor().execute('ATTACH ? AS o', ['{file}'])",
        "self.execute_sql(\"ATTACH '{file}' /* ':memory:' */ AS o\")",
        "try:\n    self.execute_sql(\"ATTACH '{file}' AS o\")\nexcept Exception:\n    pass",
    ],
)
@pytest.mark.parametrize("transactional", [True, False])
def test_the_real_file_cannot_be_attached(
    folder: Folder, pending: Migrator, tmp_path: Path, attach: str, transactional: bool
) -> None:
    before = files(tmp_path)
    folder.add(4, attach.format(file=tmp_path / "app.db"), extra=f"transactional = {transactional}")
    assert "attaches a file" in str(pending.rehearse().error)
    with pytest.raises(RehearsalFailed, match="attaches a file"):
        Migrator(pending.db.engine, folder.path).migrate(rehearse=True)
    folder.add(4, "self.execute_sql('ATTACH \\':memory:\\' AS o')", extra="transactional = False")
    assert files(tmp_path).keys() == before.keys()
    assert Migrator(pending.db.engine, folder.path).rehearse().can_migrate


def test_an_engine_that_a_migration_disposes_of_works_afterwards(
    folder: Folder, engine: Engine, pending: Migrator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sqlmig.an_engine", engine, raising=False)
    folder.add(4, "import sqlmig\nsqlmig.an_engine.dispose()\nsqlmig.an_engine.connect()")
    assert "opened a connection to the real database" in str(pending.rehearse().error)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM t1").scalar() == 1
    assert "opened a connection to the real database" in str(pending.rehearse().error)


def test_progress_may_use_the_applications_engine(pending: Migrator, folder: Folder, engine: Engine) -> None:
    told: list[Any] = []

    def progress(*_: object) -> None:
        with engine.connect() as connection:
            told.append(connection.exec_driver_sql("SELECT count(*) FROM t1").scalar())

    assert Migrator(engine, folder.path, progress=progress).rehearse()
    assert len(told) > 3


def test_other_threads_connect_meanwhile(folder: Folder, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'app.db'}"
    engine = create_engine(url, poolclass=NullPool)
    event.listen(engine.dialect, "do_connect", lambda *_: None)
    event.listen(engine.pool, "checkout", lambda *_: None)
    folder.table(1)
    done, wrong = threading.Event(), []

    def connects() -> None:
        while not done.is_set():
            try:
                engine.connect().close()
            except Exception as error:
                wrong.append(error)

    threads = [threading.Thread(target=connects) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        listeners: Any = engine.dialect.dispatch.do_connect
        here = list(listeners), list(engine.pool.dispatch.checkout)
        for _ in range(5):
            assert Migrator(engine, folder.path).rehearse()
        assert (list(listeners), list(engine.pool.dispatch.checkout)) == here
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert wrong == []


@pytest.mark.parametrize("wrong", [1, 3.5, b"x", "", "/nowhere"])
def test_what_migrate_cannot_rehearse_with(
    folder: Folder, migrator: Migrator, tmp_path: Path, engine: Engine, wrong: Any
) -> None:
    folder.table(1)
    with pytest.raises(ConfigurationError, match="rehearse="):
        migrator.migrate(rehearse=wrong)
    with pytest.raises(ConfigurationError, match="room=inf"):
        migrator.rehearse(room=float("inf"))
    with pytest.raises(ConfigurationError, match="folder=5"):
        migrator.rehearse(folder=5)  # type: ignore[arg-type]
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE other (id)")
        with pytest.raises(ConfigurationError, match="inside the transaction"):
            Migrator(connection, folder.path).migrate(rehearse=True)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT name FROM sqlite_schema").scalars().all() == ["other"]
    assert migrator.migrate(rehearse=None).applied == [1]  # type: ignore[arg-type]


def test_versions_that_are_not_there_of_a_database_that_is_not(folder: Folder, migrator: Migrator) -> None:
    folder.table(1)
    for wrong in (9, -1):
        with pytest.raises((UnknownVersion, ConfigurationError), match="version"):
            migrator.rehearse(wrong)
    assert migrator.rehearse(1).can_migrate
    migrator.migrate()
    for wrong in (9, -1):
        with pytest.raises((UnknownVersion, ConfigurationError), match="version"):
            migrator.rehearse(wrong)


def test_the_process_may_change_its_folder(
    folder: Folder, pending: Migrator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    engine = create_engine("sqlite:///app.db")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert Migrator(engine, folder.path).rehearse().from_version == 1


@pytest.mark.parametrize("how", ["mode=ro", "immutable=1"])
def test_what_can_only_be_read_is_not_said_to_migrate(
    folder: Folder, pending: Migrator, tmp_path: Path, how: str
) -> None:
    engine = create_engine(f"sqlite:///file:{tmp_path}/app.db?{how}&uri=true")
    report = Migrator(engine, folder.path).rehearse()
    assert not report.can_migrate
    assert "cannot be written" in str(report.error)


def test_one_connection_is_enough(folder: Folder, pending: Migrator, url: str) -> None:
    engine = create_engine(url, pool_size=1, max_overflow=0, pool_timeout=1)

    def progress(*_: object) -> None:
        engine.connect().close()

    migrator = Migrator(engine, folder.path, progress=progress)
    assert migrator.rehearse()
    assert migrator.migrate().applied == [2, 3]
    assert migrator.rehearse().direction == "none"


@pytest.mark.parametrize("said", ["[]", "null", '{"host": "another", "pid": 1}', '{"pid": 1}', ""])
def test_what_is_left_over_is_told_by_a_lock(pending: Migrator, room: Path, said: str) -> None:
    left = room / f"{PREFIX}left"
    left.mkdir()
    (left / "owner.json").write_text(said)
    assert pending.rehearse(folder=room)
    assert leftovers(room) == []


def test_a_copy_of_another_container_is_left_alone(pending: Migrator, room: Path) -> None:
    with folder_of_its_own(str(room)) as used:
        (Path(used) / "owner.json").write_text('{"host": "another", "pid": 1, "pid_started": "then"}')
        assert pending.rehearse(folder=room)
        assert [str(room / name) for name in leftovers(room)] == [used]


def test_a_migration_knows_that_it_is_rehearsed(folder: Folder, migrator: Migrator, tmp_path: Path) -> None:
    file = tmp_path / "told"
    folder.add(1, f"if not self.rehearsing:\n    open({str(file)!r}, 'w').close()")
    migrator.rehearse()
    assert not file.exists()
    migrator.migrate(rehearse=True)
    assert file.exists()


# Connections as the application's


def test_the_copy_is_connected_to_as_the_application_does(folder: Folder, tmp_path: Path, room: Path) -> None:
    """Functions, collations, PRAGMAs, attached files, WAL, options of the driver and of the engine."""
    folder.table(1)
    main, other = tmp_path / "app.db", tmp_path / "other.db"
    factory = type("Ours", (sqlite3.Connection,), {})
    engine = create_engine(f"sqlite:///{main}", connect_args={"factory": factory}, execution_options={"mine": 1})
    begun: list[str] = []

    @event.listens_for(engine, "connect")
    def connect(raw: Any, _: Any) -> None:
        raw.isolation_level = None
        raw.create_function("twice", 1, lambda text: text * 2)
        raw.create_collation("reverse", lambda a, b: (a < b) - (a > b))
        raw.execute("PRAGMA foreign_keys = ON")
        raw.execute("PRAGMA journal_mode = WAL")
        raw.execute("ATTACH ? AS other", (str(other),))

    @event.listens_for(engine, "begin")
    def begin(connection: Any) -> None:
        begun.append(str(connection.engine.url.database))
        connection.exec_driver_sql("BEGIN")

    migrator = Migrator(engine, folder.path)
    migrator.migrate()
    folder.add(
        2,
        """assert type(self.connection.connection.dbapi_connection).__name__ == "Ours"
assert self.connection.get_execution_options()["mine"] == 1
assert self.db.execute("PRAGMA foreign_keys").scalar() == 1
assert self.db.execute("PRAGMA journal_mode").scalar() == "wal"
self.execute_sql("CREATE TABLE other.o (id INTEGER PRIMARY KEY, n TEXT COLLATE reverse)")
self.execute_sql("INSERT INTO other.o SELECT id, twice(n) FROM t1")
self.execute_sql("CREATE INDEX ix ON t1 (n COLLATE reverse)")""",
        'self.execute_sql("DROP INDEX ix")\nself.execute_sql("DROP TABLE other.o")',
    )
    before = {path: path.read_bytes() for path in (main, other)}
    begun.clear()
    report = migrator.rehearse(folder=room)
    assert report, str(report)
    assert sorted(report.steps[0].schema_difference) == ["+ index ix", "+ table other.o"]
    assert {path: path.read_bytes() for path in (main, other)} == before
    assert any(str(room) in path for path in begun)
    assert migrator.migrate(rehearse=room).applied == [2]
    engine.dispose()


@pytest.mark.parametrize("level", ["AUTOCOMMIT", "SERIALIZABLE"])
def test_engines_made_by_execution_options(folder: Folder, engine: Engine, level: str) -> None:
    """With the listeners of both, each called once."""
    folder.table(1)
    made, seen = engine.execution_options(isolation_level=level), list[str]()
    for one, name in ((engine, "below"), (made, "above")):
        event.listen(one, "before_cursor_execute", lambda *arguments, name=name: seen.append(f"{name}: {arguments[2]}"))
    migrator = Migrator(made, folder.path)
    assert migrator.rehearse()
    made_there = [text for text in seen if "CREATE TABLE t1" in text]
    # Twice up, and of each time both listeners.
    assert sorted(text.partition(":")[0] for text in made_there) == ["above", "above", "below", "below"]
    assert migrator.migrate(rehearse=True).applied == [1]


@pytest.mark.parametrize("pool", [None, NullPool, StaticPool])
def test_an_engine_with_a_creator_of_its_own(folder: Folder, tmp_path: Path, pool: Any) -> None:
    folder.table(1)

    def creator() -> sqlite3.Connection:
        raw = sqlite3.connect(tmp_path / "app.db", check_same_thread=False)
        raw.execute("PRAGMA foreign_keys = ON")
        return raw

    engine = create_engine("sqlite://", creator=creator, poolclass=pool)
    migrator = Migrator(engine, folder.path)
    migrator.migrate()
    folder.add(2, "assert self.db.execute('PRAGMA foreign_keys').scalar() == 1\nself.execute_sql('CREATE TABLE x (y)')")
    before = contents(engine)
    report = migrator.rehearse()
    assert report.can_migrate, str(report)
    assert "creator=" in report.warnings[0]
    assert contents(engine) == before
    result = migrator.migrate(rehearse=True)
    assert result.applied == [2]
    assert "creator=" in result.warnings[0]


def test_ways_to_connect_that_lead_elsewhere(folder: Folder, tmp_path: Path) -> None:
    folder.table(1)
    kept = create_engine(f"sqlite:///{tmp_path / 'kept.db'}")
    event.listen(kept, "do_connect", lambda dialect, record, args, options: dialect.connect(*args, **options))
    assert Migrator(kept, folder.path).rehearse()
    turned = create_engine(f"sqlite:///{tmp_path / 'turned.db'}")

    @event.listens_for(turned, "do_connect")
    def turn(_dialect: Any, _record: Any, args: list[Any], _options: Any) -> None:
        args[0] = str(tmp_path / "there.db")

    Migrator(turned, folder.path).migrate()
    folder.table(2)
    report = Migrator(turned, folder.path).rehearse()
    assert report
    assert report.from_version == 1
    own = create_engine(f"sqlite:///{tmp_path / 'own.db'}")
    event.listen(own, "do_connect", lambda *_: sqlite3.connect(tmp_path / "there.db"))
    before = (tmp_path / "there.db").read_bytes()
    with pytest.raises(ConfigurationError, match="and not to the copy"):
        Migrator(own, folder.path).rehearse()
    assert (tmp_path / "there.db").read_bytes() == before


@pytest.mark.parametrize("options", [{}, {"poolclass": StaticPool, "connect_args": {"check_same_thread": False}}])
def test_a_database_in_memory(folder: Folder, options: dict[str, Any]) -> None:
    folder.table(1)
    engine = create_engine("sqlite://", **options)
    migrator = Migrator(engine, folder.path)
    assert migrator.rehearse()
    assert migrator.get_current_version() == 0
    assert migrator.migrate(rehearse=True).applied == [1]
    folder.add(2, 'self.execute_sql("DELETE FROM t1")')
    before = contents(engine)
    report = migrator.rehearse()
    assert report.steps[0].rows_touched == 1
    assert contents(engine) == before


def test_one_connection_that_the_application_keeps(folder: Folder) -> None:
    """The creator gives the same one each time: it must be neither migrated nor closed by a rehearsal."""
    folder.table(1)
    only = sqlite3.connect(":memory:")
    only.execute("CREATE TABLE mine (x)")
    engine = create_engine("sqlite://", creator=lambda: only, poolclass=StaticPool)
    report = Migrator(engine, folder.path).rehearse()
    assert report
    assert [row[0] for row in only.execute("SELECT name FROM sqlite_master")] == ["mine"]
    assert Migrator(engine, folder.path).migrate(rehearse=True).applied == [1]
    only.close()


# Room


def test_no_room_is_found_out_before(pending: Migrator, tmp_path: Path, room: Path) -> None:
    before = files(tmp_path)
    with pytest.raises(DiskFull, match="may need") as caught:
        pending.rehearse(room=1e12, folder=room)
    assert caught.value.needed is not None
    assert caught.value.free is not None
    assert caught.value.free < caught.value.needed
    assert caught.value.folder == str(room)
    with pytest.raises(DiskFull, match="cannot be written"):
        pending.rehearse(folder=tmp_path / "nowhere")
    with pytest.raises(ConfigurationError, match="no such folder"):
        pending.migrate(rehearse=tmp_path / "nowhere")
    assert set(files(tmp_path)) == set(before)
    assert pending.get_current_version() == 1


def test_small_databases_go_into_memory_where_nothing_else_has_room(pending: Migrator) -> None:
    report = pending.rehearse(room=1e12)
    assert report
    assert "in memory" in report.warnings[0]
    assert pending.rehearse(folder=":memory:")


def test_a_copy_beside_the_database(pending: Migrator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    seen: list[list[str]] = []
    pending._progress = lambda *_: seen.append(leftovers(tmp_path))
    assert pending.rehearse()
    assert len(seen[0]) == 1
    assert leftovers(tmp_path) == []


def test_the_disk_that_is_needed(folder: Folder, migrator: Migrator) -> None:
    """A table is made anew: as much again as the rows take, and a journal of what was overwritten."""
    folder.add(
        1,
        """self.execute_sql("CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT)")
self.execute_sql(
    "INSERT INTO t (x) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)"
    " SELECT printf('%090d', i) FROM n"
)""",
    )
    migrator.migrate()
    folder.add(2, "pass")
    assert migrator.rehearse().disk_needed_bytes < 100_000
    folder.add(2, 'self.execute_sql("CREATE TABLE u AS SELECT * FROM t")\nself.execute_sql("DROP TABLE t")')
    report = migrator.rehearse()
    assert report.size_bytes <= report.disk_needed_bytes <= 3 * report.size_bytes


# Others


def test_others_write_meanwhile(pending: Migrator, tmp_path: Path, room: Path) -> None:
    """Writers go on, in both kinds of journal, and each copy is of one moment: the two tables agree."""
    file = tmp_path / "app.db"
    setup = sqlite3.connect(file, isolation_level=None)
    setup.execute("CREATE TABLE pair_a (x)")
    setup.execute("CREATE TABLE pair_b (x, filler)")
    setup.execute("INSERT INTO pair_a VALUES (0)")
    setup.execute("INSERT INTO pair_b VALUES (0, zeroblob(60000000))")
    stop, written = threading.Event(), []

    def write() -> None:
        own = sqlite3.connect(file, isolation_level=None, timeout=30)
        while not stop.is_set():
            own.execute("BEGIN IMMEDIATE")
            own.execute("UPDATE pair_a SET x = x + 1")
            own.execute("UPDATE pair_b SET x = x + 1")
            own.execute("COMMIT")
            written.append(1)
            time.sleep(0.005)
        own.close()

    folder = pending.manager.sources.folders[0]
    (folder / "004_look.py").write_text(
        "from sqlmig import BaseMigration\n"
        "class Look(BaseMigration):\n"
        "    version = 4\n"
        "    def up(self):\n"
        "        a = self.db.execute('SELECT x FROM pair_a').scalar()\n"
        "        assert a == self.db.execute('SELECT x FROM pair_b').scalar()\n"
    )
    for mode in ("delete", "wal"):
        setup.execute(f"PRAGMA journal_mode = {mode}")
        stop.clear()
        writer = threading.Thread(target=write)
        writer.start()
        try:
            report = pending.rehearse(folder=room)
        finally:
            stop.set()
            writer.join()
        assert report.can_migrate, str(report)
    assert written
    setup.close()


def test_a_database_that_stays_locked(folder: Folder, engine: Engine, tmp_path: Path) -> None:
    folder.table(1)
    Migrator(engine, folder.path).migrate()
    folder.table(2)
    migrator = Migrator(engine, folder.path, lock_timeout=0.3)
    holder = sqlite3.connect(tmp_path / "app.db", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    with pytest.raises(DatabaseLocked):
        migrator.rehearse()
    holder.close()
    assert migrator.rehearse()


def test_threads_rehearse_side_by_side(pending: Migrator, folder: Folder, engine: Engine) -> None:
    reports: list[Any] = []

    def rehearse() -> None:
        try:
            reports.append(Migrator(engine, folder.path).rehearse())
        except BaseException as error:
            reports.append(error)

    threads = [threading.Thread(target=rehearse) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(isinstance(report, Rehearsal) and report for report in reports), reports
    assert pending.migrate().applied == [2, 3]


REHEARSE = """
import sys
from sqlmig import Migrator
url, folder, room = sys.argv[1:4]
print(bool(Migrator(url, folder).rehearse(folder=room)), flush=True)
"""
MIGRATE = """
import sys
from sqlmig import Migrator
url, folder, room = sys.argv[1:4]
sys.stdin.readline()
print(Migrator(url, folder).migrate(rehearse=room).applied, flush=True)
"""


def _process(code: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("when", ["up", "down"])
@pytest.mark.parametrize("code", [REHEARSE, MIGRATE], ids=["rehearse", "migrate"])
def test_a_killed_rehearsal_leaves_the_database_and_is_tidied_up(
    folder: Folder, url: str, tmp_path: Path, room: Path, code: str, when: str
) -> None:
    folder.table(1)
    Migrator(url, folder.path).migrate()
    deadly = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    bodies = {"up": "pass", "down": "pass"} | {when: f"if self.rehearsing and os.environ.get('DEADLY'): {deadly}"}
    folder.add(2, f"import os\n{bodies['up']}", f"import os\n{bodies['down']}")
    before = (tmp_path / "app.db").read_bytes()
    os.environ["DEADLY"] = "1"
    try:
        killed = _process(code, url, folder.path, room)
        killed.communicate("go\n", timeout=60)
    finally:
        del os.environ["DEADLY"]
    assert killed.returncode == -signal.SIGKILL
    assert len(leftovers(room)) == 1
    if code is REHEARSE:
        assert (tmp_path / "app.db").read_bytes() == before
    assert Migrator(url, folder.path).get_current_version() == 1
    assert Migrator(url, folder.path).rehearse(folder=room)
    assert leftovers(room) == []
    assert Migrator(url, folder.path).migrate(rehearse=room).applied == [2]


def test_a_copy_that_is_in_use_is_left_alone(pending: Migrator, folder: Folder, url: str, room: Path) -> None:
    """And so is what is no copy at all."""
    slow = Folder(folder.path.parent / "slow")
    for file in folder.path.glob("*.py"):
        slow.write(file.name, file.read_text())
    slow.add(4, "print('here', flush=True)\nimport sys; sys.stdin.readline()")
    other = _process(REHEARSE, url, slow.path, room)
    assert other.stdout is not None
    assert other.stdin is not None
    assert other.stdout.readline() == "here\n"
    (theirs,) = leftovers(room)
    (room / f"{PREFIX}file").write_text("mine")
    assert pending.rehearse(folder=room)
    assert sorted(leftovers(room)) == sorted([theirs, f"{PREFIX}file"])
    out, error = other.communicate("go\n", timeout=60)
    assert out.strip() == "True", error
    (room / f"{PREFIX}file").unlink()


def test_of_eight_processes_those_rehearse_that_migrate(folder: Folder, url: str, tmp_path: Path, room: Path) -> None:
    """Each before the first migration that it applies, under the lock: who comes later finds nothing to do."""
    for version in (1, 2, 3):
        folder.table(version)
    told = tmp_path / "rehearsals"
    folder.add(4, f"if self.rehearsing:\n    open({str(told)!r}, 'a').write('x')", "pass")
    running = [_process(MIGRATE, url, folder.path, room) for _ in range(8)]
    for process in running:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    ended = [process.communicate(timeout=120) for process in running]
    assert [process.returncode for process in running] == [0] * 8, ended
    applied = [out.strip() for out, _ in ended if out.strip() != "[]"]
    # Between two migrations another process may have the lock.
    assert ", ".join(sorted(text.strip("[]") for text in applied)) == "1, 2, 3, 4"
    assert told.read_text() == "xx" * len(applied)


# Any schema


PIECES = {
    "a column": ("ALTER TABLE t ADD COLUMN {} TEXT DEFAULT 'x'", "ALTER TABLE t DROP COLUMN {}"),
    "an index": ("CREATE INDEX {} ON t (n)", "DROP INDEX {}"),
    "a partial index": ("CREATE UNIQUE INDEX {} ON t (n) WHERE n > 'q'", "DROP INDEX {}"),
    "a table": ("CREATE TABLE {} (id INTEGER PRIMARY KEY AUTOINCREMENT, x DEFAULT 'a b')", "DROP TABLE {}"),
    "a view": ("CREATE VIEW {} AS SELECT n FROM t", "DROP VIEW {}"),
    "a trigger": ("CREATE TRIGGER {} AFTER INSERT ON t BEGIN UPDATE t SET n = n; END", "DROP TRIGGER {}"),
}


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from(sorted(PIECES)), st.booleans()), min_size=1, max_size=6), st.data())
def test_exactly_what_was_forgotten_is_told(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[tuple[str, bool]], data: st.DataObject
) -> None:
    """Each piece is made by one of up to three migrations, and taken back by its `down`, or forgotten there."""
    folder = Folder(tmp_path_factory.mktemp("versions"))
    folder.add(1, 'self.execute_sql("CREATE TABLE t (id INTEGER PRIMARY KEY, n TEXT)")', "self.drop_table('t')")
    engine = create_engine("sqlite://", poolclass=StaticPool)
    migrator = Migrator(engine, folder.path)
    migrator.migrate()
    version_of = sorted(data.draw(st.integers(2, 4)) for _ in pieces)
    forgotten: dict[int, int] = {}
    for version in sorted(set(version_of)):
        mine = [(n, kind, kept) for n, (kind, kept) in enumerate(pieces) if version_of[n] == version]
        ups = [PIECES[kind][0].format(f"p{n}") for n, kind, _ in mine]
        downs = [PIECES[kind][1].format(f"p{n}") for n, kind, kept in reversed(mine) if not kept]
        forgotten[version] = len(ups) - len(downs)
        folder.add(version, _statements(ups), _statements(downs))
    # Without a gap between them.
    for version in set(range(2, 5)) - set(version_of):
        folder.add(version, "pass", "pass")
    report = migrator.rehearse()
    assert report.can_migrate, str(report)
    for step in report.steps:
        count = forgotten.get(step.version, 0)
        assert len(step.down_difference) == count, str(report)
        assert step.down_restores_schema is (count == 0)
    assert contents(engine)["schema"] == [("table", "t", "CREATE TABLE t (id INTEGER PRIMARY KEY, n TEXT)")]
    engine.dispose()


def _statements(statements: list[str]) -> str:
    return "\n".join(f"self.execute_sql({statement!r})" for statement in statements) or "pass"


@pytest.mark.parametrize("small_disk", [4], indirect=True)
def test_a_full_disk(folder: Folder, small_disk: Path, migrator: Migrator) -> None:
    folder.add(1, 'self.execute_sql("CREATE TABLE t AS SELECT zeroblob(1500000) AS x")')
    migrator.migrate()
    large = Migrator(f"sqlite:///{small_disk / 'app.db'}", folder.path)
    large.migrate()
    three = "(SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3)"
    folder.add(2, f'self.execute_sql("CREATE TABLE u AS SELECT t.x FROM t, {three}")')
    before = files(small_disk)
    # The copy is where there is room; the database is not.
    report = large.rehearse()
    assert "migrating it needs 4.5 MB more" in str(report.error)
    with pytest.raises(RehearsalFailed, match=r"needs 4\.5 MB more"):
        large.migrate(rehearse=True)
    assert (large.get_current_version(), set(files(small_disk))) == (1, set(before))
    large.db.close()
    (small_disk / "app.db").unlink()
    # The database is where there is room; the copy is not.
    with pytest.raises(DiskFull, match="may need"):
        migrator.rehearse(folder=small_disk)
    report = migrator.rehearse(folder=small_disk, room=1)
    assert "database or disk is full" in str(report.error)
    (small_disk / "filler").write_bytes(bytes(3_500_000))
    with pytest.raises(DiskFull):
        migrator.rehearse(folder=small_disk, room=1)
    assert list(small_disk.iterdir()) == [small_disk / "filler"]
    assert migrator.rehearse().can_migrate


def test_what_would_be_lost_is_found_on_the_copy(folder: Folder, migrator: Migrator, engine: Engine) -> None:
    folder.table(1)
    migrator.migrate()
    before = contents(engine)
    folder.table(2)
    folder.add(3, 'self.execute_sql("ALTER TABLE t1 DROP COLUMN n")')
    report = migrator.rehearse()
    assert not report
    assert "migration 003 would drop t1.n (1 value)" in str(report.error)
    with pytest.raises(RehearsalFailed, match=r"migration 003 would drop t1\.n \(1 value\)"):
        migrator.migrate(rehearse=True)
    assert contents(engine) == before
    folder.add(3, 'self.execute_sql("ALTER TABLE t1 DROP COLUMN n")', extra="removes = ['t1.n']")
    report = Migrator(engine, folder.path).rehearse()
    assert report
    assert [str(loss) for loss in report.steps[1].losses] == ["drop t1.n (1 value)"]
    folder.add(3, "pass", "pass")
    report = Migrator(engine, folder.path).rehearse()
    assert [str(loss) for loss in report.steps[0].down_loses] == ["drop t2 (1 row)"]
    assert report.steps[0].way_back == "restores the schema, loses data"


def test_a_way_back_that_loses_what_was_there_is_no_way_back(folder: Folder, migrator: Migrator) -> None:
    folder.table(1)
    migrator.migrate()
    folder.add(2, "pass", 'self.execute_sql("DROP TABLE t1")')
    report = migrator.rehearse()
    assert (bool(report), report.can_migrate) == (False, True)
    assert "would, rolled back, drop t1 (1 row)" in "\n".join(report.steps[0].warnings)
