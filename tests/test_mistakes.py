"""What authors and operators get wrong: told, and without effect."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from conftest import Folder, contents, failures
from sqlalchemy import Engine, create_engine, event

from sqlmig import (
    BaseMigration,
    ConfigurationError,
    DatabaseConnection,
    DatabaseLocked,
    DatabaseNotWritable,
    DatabaseTooNew,
    InterruptedMigration,
    MigrationFailed,
    Migrator,
    NotADatabase,
    RollbackNotSupported,
    UnsupportedDatabase,
    ValidationFailed,
    VersionMismatch,
)

HEAD = "from sqlmig import BaseMigration\nclass A(BaseMigration):\n    version = 1\n"
LOOSE = "transactional = False"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("async def up(self): self.execute_sql('x')", "up() is asynchronous or a generator"),
        ("def up(self): yield self.execute_sql('x')", "up() is asynchronous or a generator"),
        ("def up(self): pass\n    async def down(self): pass", "down() is asynchronous or a generator"),
        ("up = None", "up is None, not a method"),
        ("def up(self): pass\n    rollback_supported = 'no'", "rollback_supported is 'no', not True or False"),
        ("def up(self): pass\n    def rollback_supported(self): return False", "write @property above it"),
        ("def up(self): pass\n    def transactional(self): return False", "write @property above it"),
        ("def up(self): pass\n    def __init__(self, db): pass", "does not call super().__init__"),
        ("raise ValueError('one\\ntwo')", "does not import: ValueError: one two"),
    ],
)
def test_a_class_that_says_what_cannot_be_meant(migrator: Migrator, folder: Folder, body: str, said: str) -> None:
    folder.write("001_a.py", HEAD + f"    {body}\n")
    with pytest.raises(ValidationFailed) as caught:
        migrator.migrate()
    assert said in str(caught.value)
    assert len(failures(migrator)) == 1


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        ("def pre_migrate_checks(self): pass", "pre_migrate_checks() returned None; it must return True"),
        ("def post_migrate_checks(self): pass", "post_migrate_checks() returned None"),
    ],
)
def test_checks_that_forget_to_answer(migrator: Migrator, folder: Folder, extra: str, said: str) -> None:
    folder.table(1, extra)
    with pytest.raises(MigrationFailed) as caught:
        migrator.migrate()
    assert said in str(caught.value)
    assert migrator.get_current_version() == 0


def test_a_coroutine_that_only_running_shows(migrator: Migrator, folder: Folder) -> None:
    folder.add(1, "async def later(): pass\nreturn later()")
    with pytest.raises(MigrationFailed, match="nothing of it was run"):
        migrator.migrate()


def test_a_statement_that_refuses_transactions_says_how_to_go_on(migrator: Migrator, folder: Folder) -> None:
    folder.add(1, "self.execute_sql('VACUUM')")
    with pytest.raises(MigrationFailed, match="Say `transactional = False` in the migration, then: sqlmig up"):
        migrator.migrate()


def test_a_name_that_the_file_gives_stands_in_messages(migrator: Migrator, folder: Folder) -> None:
    body = "    def up(self): pass\n    def post_migrate_checks(self): return False\n"
    folder.write("001_add_people.py", HEAD + body)
    with pytest.raises(MigrationFailed, match=r"Migration 1 \(add people\) failed"):
        migrator.migrate()


def test_files_that_are_too_deep_to_walk_through(migrator: Migrator, folder: Folder) -> None:
    deep = "if x == 0:\n    pass\n" + "".join(f"elif x == {n}:\n    pass\n" for n in range(600))
    path = folder.add(1)
    path.write_text("x = 1\n" + deep + path.read_text())
    assert migrator.migrate().applied == [1]
    path.write_text("# a comment\n" + path.read_text())
    assert migrator.manager.validate_migration_sequence()[0].kind == "edited"
    migrator.repair()
    assert migrator.manager.validate_migration_sequence() == []


def test_a_table_that_its_own_query_keeps(migrator: Migrator, folder: Folder) -> None:
    folder.table(1)
    folder.add(
        2,
        """self.execute_sql("INSERT INTO t1 (n) VALUES ('a'), ('b'), ('c')")
for row in self.db.execute('SELECT * FROM t1'):
    self.execute_sql('DROP TABLE t1')""",
    )
    with pytest.raises(MigrationFailed, match="database table is locked") as caught:
        migrator.migrate()
    assert caught.value.statement == "DROP TABLE t1"


def test_rows_that_a_writing_statement_returns_do_not_stop_the_commit(migrator: Migrator, folder: Folder) -> None:
    folder.table(1)
    folder.add(
        2,
        """found = self.db.execute("INSERT INTO t1 (n) VALUES ('a'), ('b') RETURNING id")
self.kept = found
assert found.fetchone()[0] == 2""",
    )
    assert migrator.migrate().applied == [1, 2]
    folder.add(
        3,
        """self.kept = self.connection.connection.cursor()
self.kept.execute("INSERT INTO t1 (n) VALUES ('a'), ('b') RETURNING id")
self.kept.fetchone()""",
    )
    began = time.monotonic()
    with pytest.raises(MigrationFailed, match="statements in progress") as caught:
        migrator.migrate()
    assert caught.value.statement == "COMMIT"
    assert time.monotonic() - began < 30


# Two developers, and files that are not what was applied


def test_two_files_with_the_number_that_is_applied(migrator: Migrator, folder: Folder, engine: Engine) -> None:
    folder.table(1)
    apple = ('self.execute_sql("CREATE TABLE apple (id)")', 'self.execute_sql("DROP TABLE apple")')
    folder.add(2, *apple, name="002_apple.py")
    migrator.migrate()
    before = contents(engine)
    other = folder.add(2, "pass", 'self.execute_sql("DROP TABLE t1")', name="002_zebra.py")
    for call in (migrator.repair, lambda: migrator.rollback_to_version(1)):
        with pytest.raises(ValidationFailed, match=r"taken by 2 files: 002_apple\.py, 002_zebra\.py"):
            call()
    assert contents(engine) == before
    (folder.path / "002_apple.py").unlink()
    with pytest.raises(ValidationFailed, match=r"was applied from 002_apple\.py, and 002_zebra\.py says"):
        migrator.rollback_to_version(1)
    other.rename(folder.path / "003_zebra.py")
    assert contents(engine) == before


def test_an_edited_way_back_is_not_taken_before_it_is_accepted(migrator: Migrator, folder: Folder) -> None:
    path = folder.add(1, "pass", "raise ValueError")
    migrator.migrate()
    path.write_text(path.read_text().replace("raise ValueError", "pass"))
    with pytest.raises(ValidationFailed, match="sqlmig repair"):
        migrator.rollback_to_version(0)
    migrator.repair()
    assert migrator.rollback_to_version(0).rolled_back == [1]


def test_an_sql_file_is_part_of_its_migration(migrator: Migrator, folder: Folder) -> None:
    script = folder.write("t.sql", "CREATE TABLE t (id INTEGER);\n")
    folder.add(1, 'self.execute_sql_file("t.sql")')
    migrator.migrate()
    script.write_text("-- a comment\nCREATE TABLE t\n  (id INTEGER);")
    assert migrator.manager.validate_migration_sequence() == []
    script.write_text("CREATE TABLE t (id TEXT);\n")
    assert migrator.manager.validate_migration_sequence()[0].kind == "edited"
    migrator.repair()
    assert migrator.manager.validate_migration_sequence() == []
    script.unlink()
    assert migrator.manager.validate_migration_sequence()[0].kind == "edited"


def test_an_applied_file_that_does_not_parse_any_more(migrator: Migrator, folder: Folder) -> None:
    path = folder.table(1)
    migrator.migrate()
    path.write_text("x = = 1\n")
    with pytest.raises(ValidationFailed, match="cannot be accepted: SyntaxError"):
        migrator.repair()
    path.unlink()
    path.mkdir()
    with pytest.raises(ValidationFailed, match="cannot be accepted: IsADirectoryError"):
        migrator.repair()
    assert "cannot be read" in migrator.manager.validate_migration_sequence()[-1]


def test_a_version_that_was_never_applied_is_no_way_back(engine: Engine, folder: Folder) -> None:
    folder.table(1)
    folder.table(5)
    migrator = Migrator(engine, folder.path, out_of_order="apply")
    migrator.migrate()
    folder.table(3)
    for call in (migrator.migrate_to_version, migrator.rollback_to_version):
        with pytest.raises(ValidationFailed, match="migration 3 was never applied here"):
            call(3)
    assert set(contents(engine)["rows"]) == {"t1", "t5"}


def test_a_dependency_on_what_was_ignored(engine: Engine, folder: Folder) -> None:
    folder.table(1)
    folder.table(3)
    Migrator(engine, folder.path, out_of_order="apply").migrate()
    folder.table(2)
    folder.table(4, "dependencies = [2]")
    with pytest.raises(ValidationFailed, match="depends on version 2, which was not applied here"):
        Migrator(engine, folder.path, out_of_order="ignore").migrate()


def test_a_file_that_is_gone_is_no_gap_and_says_what_to_do(migrator: Migrator, folder: Folder) -> None:
    paths = [folder.table(version) for version in (1, 2, 3)]
    migrator.migrate()
    paths[1].unlink()
    assert [issue.kind for issue in migrator.manager.validate_migration_sequence()] == ["missing_file"]
    with pytest.raises(RollbackNotSupported, match="Bring the file back"):
        migrator.rollback_to_version(0)


def test_everybody_is_told_that_the_database_is_newer_or_disagrees(
    migrator: Migrator, folder: Folder, engine: Engine
) -> None:
    folder.table(1)
    newer = folder.table(2)
    migrator.migrate()
    newer.unlink()
    assert migrator.needs_migration()
    assert migrator.manager.validate_migration_sequence()[-1].kind == "newer"
    assert "1 issue" in str(migrator.get_migration_status())
    before, history = contents(engine), migrator.get_migration_history()
    for call in (lambda: migrator.stamp(1), migrator.repair):
        with pytest.raises(DatabaseTooNew):
            call()
    assert (contents(engine), migrator.get_migration_history()) == (before, history)
    folder.table(2)
    with engine.begin() as connection:
        connection.exec_driver_sql("PRAGMA user_version = 1")
    assert migrator.needs_migration()
    assert "user_version is 1" in migrator.get_migration_status().validation_issues[0]
    assert str(migrator.get_migration_plan()).startswith("Nothing can be done from version 2 on: 1 issue.")
    with pytest.raises(VersionMismatch):
        migrator.migrate()


def test_a_versions_table_that_somebody_dropped(migrator: Migrator, folder: Folder, engine: Engine) -> None:
    for version in (1, 2):
        folder.table(version)
    migrator.migrate()
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE migration_versions")
    folder.table(3)
    assert migrator.migrate().applied == [3]
    assert migrator.get_migration_history()[1]["operation"] == "adopt"
    assert migrator.version_tracker.get_applied_versions() == [1, 2, 3]


# Migrations outside transactions


def in_the_middle_of_a_loose_one(folder: Folder, url: str, flag: Path) -> subprocess.Popen[bytes]:
    """A process that will be for a second."""
    folder.add(1, f"import pathlib, time; pathlib.Path({str(flag)!r}).touch(); time.sleep(1)", extra=LOOSE)
    code = f"from sqlmig import Migrator; Migrator({url!r}, {str(folder.path)!r}).migrate()"
    process = subprocess.Popen([sys.executable, "-c", code])
    while not flag.exists():
        time.sleep(0.01)
    return process


def test_repair_leaves_alone_what_still_runs(folder: Folder, url: str, tmp_path: Path) -> None:
    process = in_the_middle_of_a_loose_one(folder, url, tmp_path / "started")
    with pytest.raises(DatabaseLocked, match=f"process {process.pid} is running migration 1"):
        Migrator(url, folder.path).repair()
    assert process.wait(timeout=30) == 0
    assert Migrator(url, folder.path).get_current_version() == 1


def test_a_failed_one_is_not_waited_for(migrator: Migrator, folder: Folder) -> None:
    folder.add(1, "raise ValueError", extra=LOOSE)
    began = time.monotonic()
    for error in (MigrationFailed, InterruptedMigration):
        with pytest.raises(error):
            migrator.migrate()
    assert time.monotonic() - began < 30
    assert [entry["metadata"]["error"] for entry in failures(migrator)] == ["InterruptedMigration", "MigrationFailed"]


def test_a_failed_way_back_is_repaired_to_applied(migrator: Migrator, folder: Folder, engine: Engine) -> None:
    folder.add(
        1,
        'self.execute_sql("CREATE TABLE a (id)")',
        "import os\nif 'SQLMIG_TEST_FAIL' in os.environ: raise ValueError\nself.execute_sql('DROP TABLE a')",
        LOOSE,
    )
    migrator.migrate()
    os.environ["SQLMIG_TEST_FAIL"] = "1"
    try:
        with pytest.raises(MigrationFailed, match="failed to roll back"):
            migrator.rollback_to_version(0)
    finally:
        del os.environ["SQLMIG_TEST_FAIL"]
    assert "rollback of migration 1" in migrator.repair()[0]
    assert migrator.get_current_version() == 1
    assert migrator.manager.validate_migration_sequence() == []
    assert migrator.rollback_to_version(0).rolled_back == [1]
    assert contents(engine)["rows"] == {}


def test_its_statements_wait_for_a_lock(migrator: Migrator, folder: Folder, url: str) -> None:
    folder.table(1)
    folder.add(
        2,
        f"""import sqlite3, threading
c = sqlite3.connect({url.removeprefix("sqlite:///")!r}, isolation_level=None, check_same_thread=False)
c.execute('BEGIN IMMEDIATE')
threading.Timer(.5, lambda: c.execute('COMMIT')).start()
self.execute_sql("INSERT INTO t1 (n) VALUES ('waited')")""",
        extra=LOOSE,
    )
    assert migrator.migrate().applied == [1, 2]


def test_processes_that_boot_together_wait_for_it(folder: Folder, url: str) -> None:
    folder.table(1)
    folder.add(2, "import time; time.sleep(.4); self.execute_sql('CREATE TABLE t2 (id)')", extra=LOOSE)
    folder.table(3)
    boot = f"Migrator({url!r}, {str(folder.path)!r}).migrate()"
    code = f"import sys; from sqlmig import Migrator; sys.stdin.readline(); {boot}"
    running = [subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, text=True) for _ in range(5)]
    time.sleep(1)
    for process in running:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    assert [process.communicate(timeout=60) and process.returncode for process in running] == [0] * 5
    history = Migrator(url, folder.path).get_migration_history()
    assert [(entry["version"], entry["success"]) for entry in history] == [(3, True), (2, True), (1, True)]


# Callbacks


def test_a_progress_callback_may_read_but_not_migrate(folder: Folder, url: str) -> None:
    for version in (1, 2):
        folder.table(version)
    seen: list[object] = []

    def progress(done: int, total: int, message: str) -> None:
        seen.append((done, migrator.get_current_version()))
        with pytest.raises(ConfigurationError, match="is at work already"):
            migrator.stamp(0)

    migrator = Migrator(create_engine(url, pool_size=1, max_overflow=0), folder.path, progress=progress)
    assert migrator.migrate().applied == [1, 2]
    assert seen == [(0, 0), (1, 1), (2, 2)]


# Calls that cannot be meant


@pytest.mark.parametrize("migrations", [[], 5, [None], "\0", {"a": 1}])
def test_folders_that_cannot_be_meant(engine: Engine, migrations: Any) -> None:
    with pytest.raises(ConfigurationError):
        Migrator(engine, migrations).migrate()


@pytest.mark.parametrize(
    "options",
    [
        {"lock_timeout": -1},
        {"lock_timeout": "5"},
        {"lock_timeout": float("nan")},
        {"versions_table": ""},
        {"history_table": None},
        {"versions_table": "x", "history_table": "X"},
        {"schema": "nowhere"},
    ],
)
def test_options_that_cannot_be_meant(engine: Engine, folder: Folder, options: dict[str, Any]) -> None:
    folder.table(1)
    with pytest.raises(ConfigurationError):
        Migrator(engine, folder.path, **options).migrate()
    assert contents(engine)["schema"] == []


def test_waiting_for_ever_is_allowed(engine: Engine, folder: Folder) -> None:
    folder.add(1, extra=LOOSE)
    assert Migrator(engine, folder.path, lock_timeout=float("inf")).migrate().applied == [1]


@pytest.mark.parametrize("version", ["3", True, 1.0, None, -1])
def test_versions_that_cannot_be_meant(migrator: Migrator, folder: Folder, version: Any) -> None:
    folder.table(1)
    calls: list[Callable[[Any], object]] = [migrator.migrate_to_version, migrator.rollback_to_version, migrator.stamp]
    calls += [migrator.manager.get_rollback_sequence]
    for call in calls if version is None else [*calls, migrator.get_migration_plan]:
        with pytest.raises(ConfigurationError, match="is no version"):
            call(version)


@pytest.mark.parametrize(
    "database",
    ["postgresql:bob:s3cret@host", "sqlite:app.db", "postgresql://bob:s3cret", ("postgresql://bob:s3cret@h/d",)],
)
def test_what_is_no_database_is_not_shown(folder: Folder, database: Any) -> None:
    with pytest.raises((ConfigurationError, UnsupportedDatabase)) as caught:
        Migrator(database, folder.path)
    assert "s3cret" not in str(caught.value)


def test_tables_of_the_application_with_the_same_names(engine: Engine, folder: Folder) -> None:
    folder.table(1)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE migration_history (filename TEXT)")
    with pytest.raises(ConfigurationError, match="is none of sqlmig's"):
        Migrator(engine, folder.path).migrate()
    assert Migrator(engine, folder.path, history_table="sqlmig_history").migrate().applied == [1]


def test_every_writing_call_tells_what_the_database_is(folder: Folder, tmp_path: Path) -> None:
    folder.table(1)
    letter = tmp_path / "letter.db"
    letter.write_text("Dear reader, " * 100)
    Migrator(tmp_path / "good.db", folder.path).migrate()
    read_only = create_engine(f"sqlite:///file:{tmp_path / 'good.db'}?mode=ro&uri=true")

    class Hand(BaseMigration):
        version = 1

        def up(self) -> None:
            self.execute_sql("CREATE TABLE x (id)")

    bad = Migrator(f"sqlite:///{letter}", folder.path)
    hand = Hand(DatabaseConnection(f"sqlite:///{letter}"))
    writers = (bad.repair, bad.version_tracker.create_tables_if_not_exist, bad.optimize_database_performance, hand.run)
    for call in writers:
        with pytest.raises(NotADatabase):
            call()
    with pytest.raises(DatabaseNotWritable):
        Migrator(read_only, folder.path).stamp(0)


def test_another_directory_after_the_migrator_was_made(
    folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.table(1)
    monkeypatch.chdir(tmp_path)
    migrator = Migrator(":memory:", "versions")
    monkeypatch.chdir("/")
    assert migrator.migrate().applied == [1]


# Engines and settings


def test_settings_that_a_migration_changes_are_put_back(url: str, folder: Folder) -> None:
    engine = create_engine(url)
    event.listen(engine, "connect", lambda raw, _: raw.execute("PRAGMA foreign_keys = ON"))
    changes = ["foreign_keys = OFF", "legacy_alter_table = ON", "recursive_triggers = ON", "query_only = ON"]
    lines = "\n".join(f"self.execute_sql('PRAGMA {change}')" for change in changes)
    folder.table(1)
    folder.add(2, lines, extra=LOOSE)
    folder.add(3, f"{lines}\nraise ValueError")
    migrator = Migrator(engine, folder.path)
    with pytest.raises(MigrationFailed, match="Migration 3"):
        migrator.migrate()
    assert len(failures(migrator)) == 1
    with engine.connect() as connection:
        found = [connection.exec_driver_sql(f"PRAGMA {change.split()[0]}").scalar() for change in changes]
    assert found == [1, 0, 0, 0]


def as_dict(cursor: sqlite3.Cursor, row: tuple[object, ...]) -> dict[str, object]:
    return dict(zip([column[0] for column in cursor.description], row, strict=True))


@pytest.mark.parametrize("factory", [sqlite3.Row, as_dict])
def test_row_factories_of_the_application(url: str, folder: Folder, factory: object) -> None:
    folder.table(1)
    Migrator(url, folder.path).migrate()
    engine = create_engine(url)
    event.listen(engine, "connect", lambda raw, _: setattr(raw, "row_factory", factory))
    migrator = Migrator(engine, folder.path)
    assert migrator._version_at_head() == 1
    assert migrator.migrate().applied == []


def test_named_parameters_as_the_engines_style(url: str, folder: Folder) -> None:
    folder.table(1)
    assert Migrator(create_engine(url, paramstyle="named"), folder.path).migrate().applied == [1]


@pytest.mark.parametrize("begin", ["BEGIN", "BEGIN IMMEDIATE"])
@pytest.mark.parametrize("how", ["self.connection.commit()", "self.connection.rollback()", "self.connection.close()"])
def test_a_joined_transaction_stays_the_callers(url: str, folder: Folder, begin: str, how: str) -> None:
    engine = create_engine(url)
    folder.add(1, how)
    with suppress(MigrationFailed), engine.begin() as connection:
        connection.exec_driver_sql(begin)
        connection.exec_driver_sql("CREATE TABLE mine (id)")
        Migrator(connection, folder.path).migrate()
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE yours (id)")
    assert [row[1] for row in contents(engine)["schema"]] == ["yours"]
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE mine (id)")
        with pytest.raises(MigrationFailed):
            Migrator(connection, folder.path).migrate()
    assert [row[1] for row in contents(engine)["schema"]] == ["mine", "yours"]


@pytest.mark.parametrize("kind", ["file", "memory"])
def test_adoption_with_something_pending_on_one_connection(url: str, folder: Folder, kind: str) -> None:
    from sqlalchemy.pool import StaticPool

    engine = create_engine(url if kind == "file" else "sqlite://", poolclass=StaticPool)
    for version in (1, 2, 3):
        folder.table(version)
    with engine.begin() as connection:
        for sql in ("CREATE TABLE t1 (id, n)", "CREATE TABLE t2 (id, n)", "PRAGMA user_version = 2"):
            connection.exec_driver_sql(sql)
    assert Migrator(engine, folder.path).migrate().applied == [3]


def test_stamping_over_a_file_that_does_not_load(migrator: Migrator, folder: Folder) -> None:
    folder.write("001_b.py", "import nothing_like_it\n")
    folder.table(2)
    migrator.stamp(2)
    assert migrator.version_tracker.get_applied_versions() == [1, 2]


def test_the_wrong_one_is_not_blamed_for_a_commit(url: str, folder: Folder) -> None:
    engine = create_engine(url)
    event.listen(engine, "connect", lambda raw, _: raw.execute("PRAGMA foreign_keys = ON"))
    folder.add(
        1,
        'self.execute_sql("CREATE TABLE p (id INTEGER PRIMARY KEY)")\n'
        'self.execute_sql("CREATE TABLE c (p REFERENCES p DEFERRABLE INITIALLY DEFERRED)")\n'
        'self.execute_sql("INSERT INTO c VALUES (7)")',
    )
    folder.table(2)
    with pytest.raises(MigrationFailed, match="at the COMMIT of all, so that one before it may be the cause"):
        Migrator(engine, folder.path).migrate(all_or_nothing=True)
    with pytest.raises(MigrationFailed, match=r"Migration 1 .* FOREIGN KEY"):
        Migrator(engine, folder.path).migrate()


def test_an_attached_history_that_another_process_changes(tmp_path: Path, folder: Folder) -> None:
    from sqlalchemy.pool import StaticPool

    def attached() -> Engine:
        engine = create_engine("sqlite://", poolclass=StaticPool)
        event.listen(engine, "connect", lambda raw, _: raw.execute(f"ATTACH '{tmp_path / 'aux.db'}' AS aux"))
        return engine

    folder.add(1, "self.execute_sql('CREATE TABLE aux.t (id)')")
    told: list[list[int]] = []

    def progress(*_: object) -> None:
        if not told:
            told.append(Migrator(attached(), folder.path, schema="aux").migrate().applied)

    assert Migrator(attached(), folder.path, schema="aux", progress=progress).migrate().applied == []
    assert told == [[1]]


def test_another_process_goes_past_the_target(engine: Engine, folder: Folder, url: str) -> None:
    folder.table(1)
    folder.table(2)
    folder.add(3)
    other, told = Migrator(url, folder.path), []

    def progress(*_: object) -> None:
        if not told:
            told.append(other.migrate().applied)

    assert Migrator(engine, folder.path, progress=progress).migrate_to_version(2).applied == []
    assert other.get_current_version() == 3


# Packages and helpers


def test_helpers_and_packages_of_the_original_layout(migrator: Migrator, folder: Folder) -> None:
    folder.write("__init__.py", "PREFIX = 'p'\n")
    folder.write("_common.py", "from ..base import BaseMigration\nclass Common(BaseMigration): pass\n")
    folder.write(
        "001_a.py",
        textwrap.dedent(
            """\
            from . import PREFIX
            from ._common import Common
            class A(Common):
                version = 1
                def up(self):
                    self.execute_sql(f"CREATE TABLE {PREFIX} (id)")
            """
        ),
    )
    assert migrator.migrate().applied == [1]
    assert migrator.inspector.has_table("p")


def test_a_migrations_own_log_can_be_configured(
    migrator: Migrator, folder: Folder, caplog: pytest.LogCaptureFixture
) -> None:
    path = folder.add(1, 'logging.getLogger(__name__).info("half way"); self.execute_sql("CREATE TABLE t (id)")')
    path.write_text("import logging\n" + path.read_text())
    with caplog.at_level("DEBUG", logger="sqlmig"), caplog.at_level("DEBUG", logger="sqlmig_migrations"):
        migrator.migrate()
    assert [record.message.split(" in ")[0] for record in caplog.records] == [
        "half way",
        "CREATE TABLE t (id)",
        "applied 001 step 1",
    ]


# What a third reading found


def test_a_half_done_way_back_is_never_called_done(folder: Folder, url: str) -> None:
    folder.table(1)
    folder.add(
        2,
        'self.execute_sql("CREATE TABLE b (id)")',
        "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
        LOOSE,
    )
    migrator = Migrator(url, folder.path)
    migrator.migrate()
    code = f"from sqlmig import Migrator; Migrator({url!r}, {str(folder.path)!r}).rollback_to_version(1)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode < 0
    for call in (migrator.migrate, lambda: migrator.rollback_to_version(1), lambda: migrator.migrate_to_version(1)):
        with pytest.raises(InterruptedMigration):
            call()
    migrator.repair()
    assert migrator.get_current_version() == 2


def test_stamping_leaves_alone_what_still_runs(folder: Folder, url: str, tmp_path: Path) -> None:
    process = in_the_middle_of_a_loose_one(folder, url, tmp_path / "started")
    with pytest.raises(DatabaseLocked, match="sqlmig stamp 0"):
        Migrator(url, folder.path).stamp(0)
    assert process.wait(timeout=30) == 0


@pytest.mark.parametrize("method", ["close", "invalidate", "detach"])
def test_a_loose_migration_keeps_its_connection(migrator: Migrator, folder: Folder, method: str) -> None:
    folder.add(1, f"self.connection.{method}()", extra=LOOSE)
    with pytest.raises(MigrationFailed, match=method):
        migrator.migrate()
    migrator.repair()
    folder.add(1, extra=LOOSE)
    assert migrator.migrate().applied == [1]


def test_a_setting_is_not_in_force_for_the_next_migration(migrator: Migrator, folder: Folder) -> None:
    folder.add(
        1,
        'self.execute_sql("CREATE TABLE c (n CHECK (n > 0))")\n'
        'self.execute_sql("PRAGMA ignore_check_constraints = ON")',
    )
    folder.add(2, 'self.execute_sql("INSERT INTO c VALUES (-2)")')
    with pytest.raises(MigrationFailed, match="CHECK constraint failed"):
        migrator.migrate()


def test_an_exit_is_a_failure(migrator: Migrator, folder: Folder) -> None:
    folder.add(1, "raise SystemExit(0)")
    with pytest.raises(MigrationFailed, match=r"it called sys\.exit\(0\)"):
        migrator.migrate()
    folder.write("001_step_1.py", "import sys\nsys.exit()\n")
    with pytest.raises(ValidationFailed, match="does not import: SystemExit"):
        migrator.migrate()


def test_an_application_that_is_installed_elsewhere(engine: Engine, tmp_path: Path) -> None:
    first = Folder(tmp_path / "first")
    first.write("t.sql", "CREATE TABLE t (id INTEGER);\n")
    path = first.add(1, 'self.execute_sql_file(Path(__file__).parent / "t.sql")')
    path.write_text("from pathlib import Path\n" + path.read_text())
    Migrator(engine, first.path).migrate()
    first.path.rename(tmp_path / "second")
    Folder(tmp_path / "second").table(2)
    migrator = Migrator(engine, tmp_path / "second")
    assert migrator.migrate().applied == [2]
    (tmp_path / "second" / "t.sql").write_bytes("-- caf\u00e9\n".encode("latin-1"))
    assert "cannot be read" in migrator.manager.validate_migration_sequence()[0]
