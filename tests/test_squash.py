"""Migrations made one: what it makes, which databases go on with it, and when nothing is written."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from conftest import Folder, contents
from places import KINDS, opened
from sqlalchemy import Engine, create_engine
from sqlalchemy.ext.asyncio import create_async_engine

from alembic_compat import AlembicMigrator
from sqlmig import (
    ConfigurationError,
    InsideSquash,
    MigrationError,
    MigrationFailed,
    Migrator,
    SquashImpossible,
    UnknownVersion,
    ValidationFailed,
)
from sqlmig.cli.app import app
from sqlmig.drift.check import read_shape
from sqlmig.drift.compare import compare

RENAME = ('self.rename_column("people", "name", "full_name")', 'self.rename_column("people", "full_name", "name")')
DEFAULTS = """self.add_column("t1", Column("a", Text, server_default="x"))
self.alter_column("t1", "a", server_default="y")"""


def make_history(folder: Folder) -> None:
    """Five migrations with rows, a rename, a trigger, a view, and a sixth that depends on one in the middle."""
    folder.add(
        1,
        """self.execute_sql("CREATE TABLE people (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL)")
self.execute_sql("INSERT INTO people (name) VALUES (?)", [("Ada",), ("Grace's",), ("gone",)])
self.execute_sql("DELETE FROM people WHERE name = 'gone'")""",
        'self.drop_table("people")',
    )
    folder.add(
        2,
        """self.execute_sql("CREATE TABLE notes (id INTEGER PRIMARY KEY, person REFERENCES people, body TEXT, x REAL)")
self.execute_sql("INSERT INTO notes VALUES (7, 1, 'two\\nlines', 1.5), (8, NULL, NULL, NULL)")
self.execute_sql("CREATE TABLE log (what TEXT)")""",
        'self.drop_table("log")\nself.drop_table("notes")',
    )
    folder.sql(
        3,
        "-- sqlmig: up",
        "CREATE TRIGGER tell AFTER INSERT ON people BEGIN INSERT INTO log VALUES (new.name); END;",
        "INSERT INTO people (name) VALUES ('Kurt'); -- tells it",
        "-- sqlmig: down",
        "DELETE FROM people WHERE name = 'Kurt'; DROP TRIGGER tell;",
    )
    folder.add(
        4, 'self.rename_column("people", "name", "full_name")', 'self.rename_column("people", "full_name", "name")'
    )
    folder.add(
        5,
        """self.create_view("names", "SELECT full_name FROM people")
self.create_index("ix_people", "people", ["full_name"])""",
        'self.drop_index("ix_people", "people")\nself.drop_view("names")',
    )
    folder.table(6, "dependencies = [3]")


@pytest.fixture
def history(folder: Folder) -> Folder:
    make_history(folder)
    return folder


def names(folder: Folder) -> list[str]:
    return sorted(path.name for path in folder.path.iterdir() if path.is_file())


def texts(folder: Folder) -> dict[str, str]:
    return {str(path.relative_to(folder.path)): path.read_text() for path in folder.path.rglob("*.*") if path.is_file()}


def squashed(folder: Folder, first: int = 1, last: int = 5, **options: Any) -> Any:
    return Migrator(":memory:", folder.path).squash(first, last, keep=True, **options)


def rows(engine: Engine, sql: str) -> list[tuple[Any, ...]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.exec_driver_sql(sql)]


def test_a_new_database_has_the_same_from_one_file(history: Folder, engine: Engine, tmp_path: Path) -> None:
    before = create_engine(f"sqlite:///{tmp_path / 'before.db'}")
    Migrator(before, history.path).migrate()
    done = squashed(history)
    assert names(history) == ["005_squashed_001_to_005.py", "006_step_6.py"]
    assert sorted(path.name for path in (history.path / "replaced_by_005").iterdir())[0] == "001_step_1.py"
    assert (done.version, done.replaces, done.rows) == (5, [1, 2, 3, 4, 5], {"people": 3, "notes": 2, "log": 1})
    assert Migrator(engine, history.path).migrate().applied == [5, 6]
    for table in ("people", "notes", "log", "names", "t6"):
        assert rows(engine, f"SELECT * FROM {table}") == rows(before, f"SELECT * FROM {table}")
    # The number of the row that was deleted is not given out again.
    for one in (engine, before):
        with one.begin() as connection:
            connection.exec_driver_sql("INSERT INTO people (full_name) VALUES ('next')")
        assert rows(one, "SELECT max(id) FROM people") == [(5,)]
        assert rows(one, "SELECT count(*) FROM log") == [(2,)]


def test_a_database_that_had_them_goes_on_unchanged(history: Folder, engine: Engine) -> None:
    migrator = Migrator(engine, history.path)
    migrator.migrate()
    before, records = contents(engine), rows(engine, "SELECT version, checksum, metadata FROM migration_versions")
    squashed(history)
    history.table(7, "dependencies = [2]")
    migrator = Migrator(engine, history.path)
    status = migrator.get_migration_status()
    assert (status.current_version, status.applied_versions, status.pending_versions) == (6, [5, 6], [7])
    assert status.validation_issues == []
    assert [step.version for step in migrator.get_migration_plan().steps] == [7]
    (history.path / "007_step_7.py").unlink()
    assert migrator.migrate().applied == []
    assert migrator.check()
    assert not migrator.needs_migration()
    assert migrator.repair() == []
    assert contents(engine) == before
    assert rows(engine, "SELECT version, checksum, metadata FROM migration_versions") == records
    history.table(7, "dependencies = [2]")
    assert migrator.migrate().applied == [7]


def test_a_boot_at_head_writes_nothing_and_takes_no_lock(history: Folder, engine: Engine, url: str) -> None:
    Migrator(engine, history.path).migrate()
    squashed(history)
    holder = create_engine(url)
    with engine.connect() as connection:
        raw: Any = connection.connection.dbapi_connection
        seen: list[str] = []
        raw.set_trace_callback(seen.append)
    with holder.connect() as connection:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        assert Migrator(engine, history.path, lock_timeout=0).migrate().applied == []
    assert [sql[:6] for sql in seen if not sql.startswith("--")] == ["SELECT", "SELECT"]


@pytest.mark.parametrize("at", [1, 3, 4])
def test_a_database_in_the_middle_is_refused(history: Folder, engine: Engine, at: int) -> None:
    Migrator(engine, history.path).migrate_to_version(at)
    before = contents(engine)
    squashed(history)
    migrator = Migrator(engine, history.path)
    for refused in (migrator.migrate, lambda: migrator.migrate_to_version(5), lambda: migrator.rollback_to_version(0)):
        with pytest.raises(InsideSquash) as caught:
            refused()
        assert f"at version {at}, and migration 5 stands for 1-5" in str(caught.value)
        assert "with the release before the squash" in str(caught.value)
    (issue,) = migrator.get_migration_status().validation_issues
    assert (issue.kind, issue.version) == ("squash", 5)
    assert migrator.needs_migration()
    assert contents(engine) == before
    for path in (history.path / "replaced_by_005").iterdir():
        shutil.copy(path, history.path)
    (history.path / "005_squashed_001_to_005.py").unlink()
    assert migrator.migrate().applied == list(range(at + 1, 7))


def test_one_that_user_version_puts_in_the_middle_is_refused(history: Folder, engine: Engine) -> None:
    squashed(history)
    with engine.begin() as connection:
        connection.exec_driver_sql("PRAGMA user_version = 3")
    with pytest.raises(InsideSquash, match="at version 3"):
        Migrator(engine, history.path).migrate()


def test_one_that_skipped_a_version_is_refused(history: Folder, engine: Engine) -> None:
    aside = (history.path / "002_step_2.py").rename(history.path / "aside")
    (history.path / "003_step_3.sql").rename(history.path / "aside3")
    (history.path / "006_step_6.py").unlink()
    Migrator(engine, history.path, out_of_order="apply").migrate()
    aside.rename(history.path / "002_step_2.py")
    (history.path / "aside3").rename(history.path / "003_step_3.sql")
    squashed(history)
    with pytest.raises(InsideSquash, match="lacks 2-3"):
        Migrator(engine, history.path).migrate()
    # Whoever ignores what appeared late ignores it further on.
    assert Migrator(engine, history.path, out_of_order="ignore").migrate().applied == []


def test_rolling_back_takes_all_back_and_their_records(history: Folder, engine: Engine) -> None:
    migrator = Migrator(engine, history.path)
    migrator.migrate()
    squashed(history)
    migrator = Migrator(engine, history.path)
    with pytest.raises(UnknownVersion):
        migrator.rollback_to_version(3)
    assert {loss.name for loss in migrator.get_rollback_losses(0)} == {"t6", "people", "notes", "log"}
    assert migrator.rollback_to_version(0).rolled_back == [6, 5]
    assert (
        rows(engine, "SELECT name FROM sqlite_master WHERE tbl_name NOT LIKE 'migration%' AND name NOT LIKE 'sqlite%'")
        == []
    )
    assert rows(engine, "SELECT * FROM migration_versions") == []
    entry = next(entry for entry in migrator.get_migration_history() if entry["version"] == 5)
    assert (entry["operation"], entry["metadata"]["replaces"]) == ("rollback", [1, 2, 3, 4])
    assert migrator.migrate().applied == [5, 6]


def test_the_new_file_refuses_another_kind_of_database(history: Folder, tmp_path: Path) -> None:
    """SQLite knows no time zone, and what it makes of a column is less than what the old files make elsewhere."""
    squashed(history)
    with opened(KINDS["postgresql"], tmp_path) as place:
        with pytest.raises(MigrationFailed, match="was squashed on sqlite"):
            Migrator(place.look, history.path).migrate()
        assert place.tables() == []


def test_another_file_under_a_replaced_version_is_told_and_can_be_accepted(history: Folder, engine: Engine) -> None:
    Migrator(engine, history.path).migrate()
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE migration_versions SET checksum = 'py1:other' WHERE version IN (2, 5)")
    squashed(history)
    migrator = Migrator(engine, history.path)
    issues = migrator.manager.validate_migration_sequence()
    assert [(issue.kind, issue.version) for issue in issues] == [("edited", 5), ("edited", 2)]
    assert len(migrator.repair()) == 2
    assert migrator.manager.validate_migration_sequence() == []
    assert migrator.migrate().applied == []


def test_squashed_again(history: Folder, engine: Engine, tmp_path: Path) -> None:
    """Databases from before the first squash, and from after it, go on with the second."""
    Migrator(engine, history.path).migrate()
    squashed(history)
    between = create_engine(f"sqlite:///{tmp_path / 'between.db'}")
    Migrator(between, history.path).migrate()
    done = squashed(history, 1, 6)
    assert done.replaces == [1, 2, 3, 4, 5, 6]
    assert names(history) == ["006_squashed_001_to_006.py"]
    for one in (engine, between):
        migrator = Migrator(one, history.path)
        assert migrator.migrate().applied == []
        assert migrator.get_migration_status().validation_issues == []
        assert migrator.rollback_to_version(0).rolled_back == [6]


def test_a_copy_carries_a_database_from_before(history: Folder, engine: Engine, tmp_path: Path) -> None:
    Migrator(engine, history.path).migrate()
    squashed(history)
    target = Migrator(f"sqlite:///{tmp_path / 'target.db'}", history.path)
    assert target.copy_from(engine).version == 6
    assert target.get_migration_status().applied_versions == [5, 6]


# Beginning above the first


def test_a_range_that_begins_above_the_first_keeps_what_is_there(
    folder: Folder, engine: Engine, tmp_path: Path
) -> None:
    folder.add(
        1,
        """self.execute_sql("CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT NOT NULL)")
self.execute_sql("INSERT INTO people VALUES (1, 'Ada')")""",
        'self.drop_table("people")',
    )
    folder.add(
        2, 'self.rename_column("people", "name", "full_name")', 'self.rename_column("people", "full_name", "name")'
    )
    folder.add(
        3,
        """self.execute_sql("CREATE TABLE kinds (id INTEGER PRIMARY KEY, name TEXT)")
self.execute_sql("INSERT INTO kinds VALUES (1, 'a'), (2, 'b')")""",
        'self.drop_table("kinds")',
        "dependencies = [1]",
    )
    folder.add(4, 'self.rename_table("people", "persons")', 'self.rename_table("persons", "people")')
    Migrator(engine, folder.path).migrate_to_version(1)
    later = create_engine(f"sqlite:///{tmp_path / 'later.db'}")
    Migrator(later, folder.path).migrate()
    done = squashed(folder, 2, 4)
    assert 'self.rename_table("people", "persons")' in done.source
    assert "dependencies = [1]" in done.source
    assert done.rows == {"kinds": 2}
    migrator = Migrator(engine, folder.path)
    assert migrator.migrate().applied == [4]
    assert contents(engine)["rows"] == contents(later)["rows"]
    assert rows(engine, "SELECT id, full_name FROM persons") == [(1, "Ada")]
    assert migrator.rollback_to_version(1).rolled_back == [4]
    assert rows(engine, "SELECT id, name FROM people") == [(1, "Ada")]
    assert Migrator(later, folder.path).rollback_to_version(1).rolled_back == [4]


@pytest.mark.parametrize(
    ("up", "words"),
    [
        ('self.execute_sql("UPDATE t1 SET n = upper(n)")', "UPDATE t1"),
        ('self.backfill("t1", "n", "upper(n)")', "self.backfill"),
        ('self.execute_sql("CREATE TABLE u AS SELECT * FROM t1")', "CREATE TABLE u"),
        # Sample rows are not such that these do anything.
        (
            'import sqlalchemy as sa\nself.execute_sql(sa.delete(sa.table("t1", sa.column("n"))).filter_by(n=1))',
            "sa.delete",
        ),
        ('for t in ("t1",): self.execute_sql(f"UPDATE {t} SET n = 2 WHERE n = 1")', "UPDATE {}"),
        ('self.execute_sql("-- the old one\\nUPDATE t1 SET n = 2 WHERE n = 1")', "UPDATE t1"),
        ('sql = "UPD" + "ATE t1 SET n = 2 WHERE n = 1"\nself.execute_sql(sql)', "UPDATE t1"),
        ('if self.execute_sql("SELECT n FROM t1 WHERE n = 1").first(): self.drop_table("t2")', "SELECT n FROM t1"),
        (DEFAULTS, "t1.a"),
    ],
)
def test_rows_that_a_database_before_needs_are_a_refusal(folder: Folder, up: str, words: str) -> None:
    folder.table(1)
    folder.table(2)
    folder.add(3, f"from sqlalchemy import Column, Text\n{up}", "pass")
    before = texts(folder)
    with pytest.raises(SquashImpossible) as caught:
        squashed(folder, 2, 3)
    assert words in str(caught.value)
    assert texts(folder) == before


# When nothing is written


@pytest.mark.parametrize(
    ("up", "words"),
    [
        ("import uuid\nself.execute_sql('INSERT INTO t1 VALUES (2, ?)', (uuid.uuid4().hex,))", "t1.n: two runs"),
        ("raise ValueError('not here')", "not here"),
        (
            """self.execute_sql("CREATE VIRTUAL TABLE f USING fts5(body, content='')")
self.execute_sql("INSERT INTO f (rowid, body) VALUES (7, 'words')")""",
            "written into f cannot be read back",
        ),
        ("self.execute_sql(\"INSERT INTO t1 VALUES (2, CAST(x'ff41' AS TEXT))\")", "rows cannot be read"),
    ],
)
def test_what_cannot_be_proved_leaves_the_folder_as_it_was(folder: Folder, up: str, words: str) -> None:
    folder.table(1)
    folder.add(2, up, "pass")
    before = texts(folder)
    with pytest.raises(Exception, match=words):
        squashed(folder, 1, 2)
    assert texts(folder) == before


def test_wrong_calls_change_nothing(history: Folder) -> None:
    before = texts(history)
    migrator = Migrator(":memory:", history.path)
    for first, last, error, words in (
        (1, 9, UnknownVersion, "version 9"),
        (0, 3, UnknownVersion, "version 0"),
        (4, 4, ConfigurationError, "not two migrations"),
        (5, 2, ConfigurationError, "not two migrations"),
        (1, 5, ConfigurationError, "no commit of git has 001_step_1.py"),
    ):
        with pytest.raises(error, match=words):
            migrator.squash(first, last)
    history.write("005_squashed_001_to_005.py", "")
    with pytest.raises(ValidationFailed, match="taken by 2 files"):
        migrator.squash(1, 5, keep=True)
    (history.path / "005_squashed_001_to_005.py").unlink()
    assert texts(history) == before


def test_files_that_git_has_are_deleted(history: Folder) -> None:
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(history.path)]
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "all"]):
        subprocess.run([*git, *command], check=True)
    edited = history.path / "002_step_2.py"
    edited.write_text(edited.read_text() + "# more\n")
    subprocess.run([*git, "update-index", "--assume-unchanged", edited.name], check=True)
    ran = CliRunner().invoke(app, ["squash", "1", "5", "--path", str(history.path)])
    assert ran.exit_code == 2
    assert "no commit of git has 002_step_2.py as it is now" in ran.output
    assert "sqlmig squash 1 5 --keep" in ran.output
    subprocess.run([*git, "update-index", "--no-assume-unchanged", edited.name], check=True)
    subprocess.run([*git, "commit", "-qam", "more"], check=True)
    ran = CliRunner().invoke(app, ["squash", "1", "5", "--path", str(history.path), "--json", "--name", "beginning"])
    assert ran.exit_code == 0, ran.output
    assert Path(json.loads(ran.output)["path"]).name == "005_beginning.py"
    assert names(history) == ["005_beginning.py", "006_step_6.py"]
    assert not (history.path / "replaced_by_005").exists()


def test_a_time_that_is_written_is_told(folder: Folder) -> None:
    folder.add(1, 'self.execute_sql("CREATE TABLE a (at TEXT DEFAULT CURRENT_TIMESTAMP, n INTEGER)")', "pass")
    folder.add(2, 'self.execute_sql("INSERT INTO a (n) VALUES (1)")', "pass")
    done = squashed(folder, 1, 2)
    assert any("a.at tells the time of this run" in warning for warning in done.warnings)
    assert "# a.at tells the time" in done.source


def test_what_is_neither_schema_nor_rows_is_told(folder: Folder) -> None:
    folder.table(1)
    folder.add(2, 'self.execute_sql("PRAGMA application_id = 7")', "pass", "def pre_migrate_checks(self): return True")
    (warning,) = squashed(folder, 1, 2).warnings
    assert warning.endswith("not in the new file: PRAGMA application_id = 7; pre_migrate_checks()")


@pytest.mark.parametrize("stop", range(9))
def test_a_killed_exchange_is_put_right_by_the_next(folder: Folder, stop: int) -> None:
    """Killed at each rename and deletion, the next squash finds the old files, or the new one alone."""
    for version in (1, 2, 3):
        folder.table(version)
    before = texts(folder)
    code = (
        "import os, signal, sys\nfrom pathlib import Path\n"
        "left = int(sys.argv[2])\n"
        "def dying(method):\n"
        "    def call(*given, **options):\n"
        "        global left\n"
        "        if given[0].parent == Path(sys.argv[1]):\n"
        "            if not left: os.kill(os.getpid(), signal.SIGKILL)\n"
        "            left -= 1\n"
        "        return method(*given, **options)\n"
        "    return call\n"
        "from sqlmig.squash.files import exchange\n"
        "Path.rename, Path.unlink = dying(Path.rename), dying(Path.unlink)\n"
        "folder = Path(sys.argv[1])\n"
        "exchange(sorted(folder.glob('*.py'))[:2], folder / '002_new.py', 'x = 1\\n', None)\n"
    )
    ran = subprocess.run([sys.executable, "-c", code, str(folder.path), str(stop)], check=False)
    assert ran.returncode in (0, -signal.SIGKILL)
    from sqlmig.squash.files import finish_what_was_killed

    finish_what_was_killed([folder.path])
    now = {name: text for name, text in texts(folder).items() if os.sep not in name}
    new = {"002_new.py": "x = 1\n", "003_step_3.py": before["003_step_3.py"]}
    assert now in (before, new)


def test_a_killed_exchange_of_two_folders_puts_all_back(folder: Folder, tmp_path: Path) -> None:
    other = Folder(tmp_path / "other")
    folder.table(1)
    other.table(2)
    other.table(3)
    before = texts(folder), texts(other)
    for one in (folder.path / "001_step_1.py", other.path / "002_step_2.py"):
        one.rename(f"{one}.squashed-away")
    other.write("002_new.py.squash-coming", "x = 1")
    migrator = Migrator(":memory:", [folder.path, other.path])
    with pytest.raises(MigrationError, match="a squash was killed"):
        migrator.migrate()
    with pytest.raises(ConfigurationError, match="no commit of git"):
        migrator.squash(1, 2)
    assert (texts(folder), texts(other)) == before


def test_a_folder_that_a_killed_squash_has_emptied_says_so(folder: Folder) -> None:
    folder.write("002_new.py.squash-coming", "x = 1")
    folder.write("001_step_1.py.squashed-away", "x = 1")
    (issue,) = Migrator(":memory:", folder.path).manager.validate_files()
    assert (issue.kind, "sqlmig squash 1 2" in issue.hint) == ("empty", True)


@pytest.mark.parametrize("out_of_order", ["error", "apply"])
def test_a_file_with_a_version_that_was_squashed_is_told(history: Folder, engine: Engine, out_of_order: Any) -> None:
    """It came from another branch: databases from before have that version recorded."""
    Migrator(engine, history.path).migrate()
    squashed(history)
    history.table(3)
    for database in (engine, ":memory:"):
        with pytest.raises(ValidationFailed, match="which 005_squashed_001_to_005"):
            Migrator(database, history.path, out_of_order=out_of_order).migrate()
    migrator = Migrator(engine, history.path, out_of_order=out_of_order)
    migrator.renumber(next(history.path.glob("003_*")))
    assert migrator.migrate().applied == [7]


def test_what_was_kept_before_is_not_written_over(folder: Folder) -> None:
    """The old files were put back, one was mended, and they are squashed again."""
    folder.table(1)
    folder.table(2)
    done = squashed(folder, 1, 2)
    shutil.copy(done.kept_in / "001_step_1.py", folder.path)
    shutil.copy(done.kept_in / "002_step_2.py", folder.path)
    done.path.unlink()
    kept = folder.path / "replaced_by_002" / "002_step_2.py"
    kept.write_text("# mine")
    squashed(folder, 1, 2)
    assert kept.read_text() == "# mine"
    assert len(list((folder.path / "replaced_by_002").glob("*.py"))) == 4


def test_a_folder_that_cannot_be_made_changes_nothing(folder: Folder) -> None:
    folder.table(1)
    folder.table(2)
    (folder.path / "replaced_by_002").write_text("")
    before = texts(folder)
    with pytest.raises(ConfigurationError, match="they are as they were before"):
        squashed(folder, 1, 2)
    assert texts(folder) == before


@pytest.mark.parametrize("database", ["postgresql", "mariadb"])
def test_on_a_server(history: Folder, tmp_path: Path, database: str) -> None:
    for path in history.path.iterdir():
        path.unlink()
    history.add(
        1,
        """from sqlalchemy import JSON, Boolean, Column, Date, ForeignKey, Integer, Numeric, String
self.create_table(
    "people",
    Column("id", Integer, primary_key=True), Column("name", String(50), nullable=False), Column("born", Date),
    Column("money", Numeric(10, 2)), Column("fine", Boolean), Column("parent", ForeignKey("people.id")),
    Column("facts", JSON),
)
self.execute_sql(
    "INSERT INTO people (name, born, money, fine, facts) VALUES (?, '1815-12-10', 10.50, true, '{\\"a\\": [1, 2.5]}')",
    ("Ada's \\\\ \\n",),
)
self.execute_sql("INSERT INTO people (name, parent) VALUES ('child', 1), ('gone', 1)")
self.execute_sql("DELETE FROM people WHERE name = 'gone'")""",
        'self.drop_table("people")',
    )
    history.sql(
        2,
        "-- sqlmig: up",
        "CREATE VIEW names AS SELECT name FROM people; -- of all",
        "-- sqlmig: up sqlite",
        "CREATE VIEW names AS SELECT name || '' AS name FROM people;",
        "-- sqlmig: down",
        "DROP VIEW names;",
    )
    history.add(3, 'self.create_index("ix_name", "people", ["name"])', 'self.drop_index("ix_name", "people")')
    with opened(KINDS[database], tmp_path) as place, opened(KINDS[database], tmp_path) as other:
        Migrator(place.look, history.path).migrate()
        done = Migrator(place.look, history.path).squash(1, 2, keep=True)
        # What is a comment to one database is hashed by another.
        assert len(done.source.split("2: ")[1].partition("}")[0].split("sql1:")) >= 2
        migrator = Migrator(place.look, history.path)
        assert migrator.migrate().applied == []
        assert migrator.get_migration_status().validation_issues == []
        assert Migrator(other.look, history.path).migrate().applied == [2, 3]
        for one in (place, other):
            one.run("INSERT INTO people (name) VALUES ('next')")
        told = "SELECT * FROM people ORDER BY id"
        assert place.rows(told) == other.rows(told)
        assert place.rows("SELECT max(id) FROM people") == [(4,)]
        assert migrator.rollback_to_version(0).rolled_back == [3, 2]
        assert place.tables() == []


@pytest.mark.parametrize("database", ["postgresql", "mariadb"])
def test_a_range_above_the_first_on_a_server(folder: Folder, tmp_path: Path, database: str) -> None:
    folder.add(
        1,
        """from sqlalchemy import Column, Integer, String
self.create_table("people", Column("id", Integer, primary_key=True), Column("name", String(50), nullable=False))
self.execute_sql("INSERT INTO people (name) VALUES ('Ada')")""",
        'self.drop_table("people")',
    )
    folder.add(
        2,
        """from sqlalchemy import Column, String
self.add_column("people", Column("town", String(30), server_default="London"))
self.create_index("ix_town", "people", ["town"])""",
        'self.drop_index("ix_town", "people")\nself.drop_column("people", "town")',
    )
    folder.add(
        3,
        """from sqlalchemy import Column, ForeignKey, Integer
self.create_table("pets", Column("id", Integer, primary_key=True), Column("owner", ForeignKey("people.id")))
self.drop_index("ix_town", "people")""",
        'self.create_index("ix_town", "people", ["town"])\nself.drop_table("pets")',
    )
    names = ("done", "middle", "new")
    with ExitStack() as stack:
        places = {name: stack.enter_context(opened(KINDS[database], tmp_path / name)) for name in names}
        migrator = Migrator(places["done"].look, folder.path)
        migrator.migrate()
        Migrator(places["middle"].look, folder.path).migrate_to_version(1)
        places["middle"].run("INSERT INTO people (name) VALUES ('Grace')")
        migrator.squash(2, 3, keep=True)
        applied = {name: Migrator(place.look, folder.path).migrate().applied for name, place in places.items()}
        assert applied == {"done": [], "middle": [3], "new": [1, 3]}
        told = "SELECT name, town FROM people ORDER BY id"
        assert places["middle"].rows(told) == [("Ada", "London"), ("Grace", "London")]
        shapes = [read_shape(Migrator(place.look, folder.path), ()) for place in places.values()]
        assert compare(shapes[0], shapes[1]) == compare(shapes[0], shapes[2]) == []
        for name, place in places.items():
            assert Migrator(place.look, folder.path).rollback_to_version(1).rolled_back == [3], name
            assert place.rows("SELECT name FROM people WHERE id = 1") == [("Ada",)]
            assert place.tables() == ["people"]


def test_counters_and_what_views_hold_on_postgresql(folder: Folder, tmp_path: Path) -> None:
    folder.add(
        1,
        """self.execute_sql("CREATE TABLE a (id serial PRIMARY KEY, n TEXT)")
self.execute_sql("INSERT INTO a (n) VALUES ('x')")
self.execute_sql("CREATE TABLE b (id INT GENERATED ALWAYS AS IDENTITY PRIMARY KEY)")
self.execute_sql("CREATE SEQUENCE s")
self.execute_sql("CREATE SEQUENCE untouched")""",
        "pass",
    )
    folder.add(
        2,
        """self.execute_sql("ALTER SEQUENCE a_id_seq RESTART WITH 1000")
self.execute_sql("ALTER TABLE b ALTER COLUMN id RESTART WITH 500")
self.execute_sql("SELECT setval('s', 77, false)")
self.execute_sql("CREATE MATERIALIZED VIEW held AS SELECT n FROM a")""",
        "pass",
    )
    with opened(KINDS["postgresql"], tmp_path) as place, opened(KINDS["postgresql"], tmp_path) as other:
        Migrator(place.look, folder.path).migrate()
        Migrator(place.look, folder.path).squash(1, 2, keep=True)
        Migrator(other.look, folder.path).migrate()
        for one in (place, other):
            one.run("INSERT INTO a (n) VALUES ('y')", "INSERT INTO b DEFAULT VALUES")
            assert one.rows("SELECT max(id) FROM a") + one.rows("SELECT id FROM b") == [(1000,), (500,)]
            assert one.rows("SELECT nextval('s'), nextval('untouched')") == [(77, 1)]
            assert one.rows("SELECT * FROM held") == [("x",)]
        # One that is not to be filled yet cannot be told apart in a file.
        folder.add(3, 'self.execute_sql("CREATE MATERIALIZED VIEW e AS SELECT 1 WITH NO DATA")', "pass")
        with pytest.raises(SquashImpossible, match="e: what the materialized view holds"):
            Migrator(place.look, folder.path).squash(1, 3, keep=True)


def test_numbers_and_sequences_on_mariadb(folder: Folder, tmp_path: Path) -> None:
    """A FLOAT is told by six digits, and a sequence is no column's."""
    folder.add(1, 'self.execute_sql("CREATE TABLE a (f FLOAT)")', "pass")
    folder.add(
        2,
        """self.execute_sql("INSERT INTO a VALUES (16777215)")
self.execute_sql("CREATE SEQUENCE s START WITH 5")
self.execute_sql("SELECT nextval(s)")""",
        "pass",
    )
    with opened(KINDS["mariadb"], tmp_path) as place, opened(KINDS["mariadb"], tmp_path) as other:
        Migrator(place.look, folder.path).migrate()
        Migrator(place.look, folder.path).squash(1, 2, keep=True)
        Migrator(other.look, folder.path).migrate()
        for one in (place, other):
            assert one.rows("SELECT f + 0e0 FROM a") == [(16777215.0,)]
            assert one.rows("SELECT nextval(s)")[0][0] > 5


def test_a_history_of_alembics_is_refused(tmp_path: Path) -> None:
    versions = tmp_path / "alembic" / "versions"
    versions.mkdir(parents=True)
    for name, before in (("aaa", None), ("bbb", "aaa")):
        text = f"revision, down_revision = {name!r}, {before!r}\ndef upgrade(): pass\ndef downgrade(): pass\n"
        (versions / f"{name}_step.py").write_text(text)
    migrator = AlembicMigrator(f"sqlite:///{tmp_path / 'app.db'}", tmp_path / "alembic", env=False)
    with pytest.raises(SquashImpossible, match="migration 1 stands for Alembic's revision aaa"):
        migrator.squash(1, 2, keep=True)
    with pytest.raises(ConfigurationError, match="a history of Alembic's"):
        migrator.renumber("bbb_step.py")
    assert sorted(path.name for path in versions.glob("*.py")) == ["aaa_step.py", "bbb_step.py"]


def test_awaited(history: Folder, tmp_path: Path) -> None:
    async def run() -> list[int]:
        engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path / 'app.db'}")
        migrator = Migrator(engine, history.path)
        await migrator.migrate_async()
        await migrator.squash_async(1, 5, keep=True)
        applied = (await migrator.migrate_async()).applied
        await engine.dispose()
        return applied

    assert asyncio.run(run()) == []
