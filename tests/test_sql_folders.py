"""Migrations in plain SQL beside those in Python: folders, packages, boots, the command line, copies of databases."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from conftest import Folder
from hypothesis import given, settings
from hypothesis import strategies as st
from native_databases import scratch_database
from sqlalchemy import Engine, create_engine
from sqlalchemy.pool import StaticPool

from sqlmig import MigrationFailed, Migrator, RehearsalFailed, ValidationFailed
from sqlmig.cli.app import app

UP, DOWN = "-- sqlmig: up", "-- sqlmig: down"


def table(folder: Folder, version: int, *head: str) -> Path:
    """The same as `folder.table`, in SQL."""
    made = f"CREATE TABLE t{version} (id INTEGER PRIMARY KEY, n VARCHAR(40));"
    row = f"INSERT INTO t{version} VALUES (1, 'row');"
    return folder.sql(version, *head, UP, made, row, DOWN, f"DROP TABLE t{version};")


def test_both_kinds_make_one_history(migrator: Migrator, folder: Folder) -> None:
    folder.table(1)
    table(folder, 2)
    folder.table(3)
    assert migrator.migrate().applied == [1, 2, 3]
    assert migrator.rollback_to_version(0).rolled_back == [3, 2, 1]
    files = migrator.manager.discover_migrations().values()
    assert [(file.name, file.title, file.in_sql) for file in files] == [
        ("001_step_1.py", "step 1", False),
        ("002_step_2.sql", "step 2", True),
        ("003_step_3.py", "step 3", False),
    ]


def test_one_version_has_one_file_of_whatever_kind(migrator: Migrator, folder: Folder) -> None:
    folder.table(1)
    table(folder, 1)
    said = r"version 1 is taken by 2 files: 001_step_1\.py, 001_step_1\.sql"
    with pytest.raises(ValidationFailed, match=said) as caught:
        migrator.migrate()
    assert [issue.kind for issue in caught.value.issues] == ["duplicate"]
    assert "An SQL file that a migration in Python runs has no directive, and that one names it." in str(caught.value)
    assert migrator.get_current_version() == 0


ITS_OWN = """
from pathlib import Path
from ..base import BaseMigration

class Schema(BaseMigration):
    version = 1
    description = "Schema"

    def up(self):
        self.execute_sql_file(%s)
"""


@pytest.mark.parametrize(
    ("python", "script", "named"),
    [
        ("001_schema.py", "001_schema.sql", "'001_schema.sql'"),
        ("001_schema.py", "001_schema.sql", "Path(__file__).with_suffix('.sql')"),
        ("001_schema.py", "001_rows_and_tables.sql", "'001_rows_and_tables.sql'"),
        ("001_schema.py", "001_schema.sql", "f'{self.version:03}_schema.sql'"),
    ],
)
def test_a_script_with_the_number_of_the_migration_that_runs_it(
    migrator: Migrator, folder: Folder, engine: Engine, python: str, script: str, named: str
) -> None:
    """So folders of the original system may be, where only files in Python were migrations."""
    folder.write(python, ITS_OWN % named)
    path = folder.write(script, "-- Two statements.\nCREATE TABLE t (n);\nINSERT INTO t VALUES ('a; b');\n")
    table(folder, 2)
    assert migrator.manager.validate_migration_sequence() == []
    assert migrator.migrate().applied == [1, 2]
    assert migrator.db.fetch_all("SELECT n FROM t") == [("a; b",)]
    assert [file.name for file in migrator.manager.discover_migrations().values()] == [python, "002_step_2.sql"]
    assert Migrator(engine, folder.path)._version_at_head() == 2
    path.write_text(path.read_text().replace("b'", "c'"))
    (issue,) = migrator.manager.validate_migration_sequence()
    assert issue == "migration 1 was edited after it was applied"


@pytest.mark.parametrize(
    "text", ["-- sqlmig: up\nSELECT 1;\n", "-- sqlmg: up\nSELECT 1;\n", "SELECT 1;\n-- sqlmig: down\nSELECT 2;\n"]
)
def test_what_has_a_directive_is_no_script(migrator: Migrator, folder: Folder, text: str) -> None:
    folder.write("001_schema.py", ITS_OWN % "'001_schema.sql'")
    path = folder.write("001_schema.sql", "CREATE TABLE t (n);\n")
    assert migrator.migrate().applied == [1]
    path.write_text(text)
    with pytest.raises(ValidationFailed, match="version 1 is taken by 2 files"):
        migrator.migrate()


def test_a_script_that_nobody_runs_is_not_passed_over(migrator: Migrator, folder: Folder) -> None:
    folder.table(1)
    folder.write("001_forgotten.sql", "CREATE TABLE t (n);\n")
    with pytest.raises(ValidationFailed) as caught:
        migrator.migrate()
    assert [issue.kind for issue in caught.value.issues] == ["sql", "duplicate"]
    assert "if a migration in Python runs this file, call it as that one, or with no number" in caught.value.issues[0]
    assert migrator.get_current_version() == 0


def test_names_that_are_nearly_versions(migrator: Migrator, folder: Folder) -> None:
    table(folder, 1)
    nearly = ["002_x.up.sql", "003-x.sql", "006_x.SQL", "1_x.sql"]
    for name in (*nearly, "schema.sql", "004_x.sql~", ".005_x.sql.swp"):
        folder.write(name, "nonsense")
    assert [path.name for path in migrator.manager.sources.suspicious()] == nearly
    assert migrator.migrate().applied == [1]


@pytest.mark.parametrize(("wanted", "reason"), [("9", "version 9, which does not exist"), ("2", "depends on itself")])
def test_dependencies_are_checked(migrator: Migrator, folder: Folder, wanted: str, reason: str) -> None:
    folder.table(1)
    table(folder, 2, "-- sqlmig: description: Two", f"-- sqlmig: depends: 1, {wanted}")
    with pytest.raises(ValidationFailed, match=rf"002_step_2\.sql:2: (depends on )?{reason}") as caught:
        migrator.migrate()
    assert next(issue.line for issue in caught.value.issues if issue.kind == "dependency") == 2


def test_packages_and_lists_of_folders(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table(Folder(tmp_path / "site" / "sqlapp" / "migrations"), 1)
    (tmp_path / "site" / "sqlapp" / "__init__.py").touch()
    (tmp_path / "site" / "sqlapp" / "migrations" / "__init__.py").touch()
    table(Folder(tmp_path / "more"), 2)
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.chdir(tmp_path)
    assert Migrator(engine, ["sqlapp.migrations", "more"]).migrate().applied == [1, 2]


def test_a_boot_at_head_opens_no_file_and_imports_nothing_for_it(folder: Folder, url: str, tmp_path: Path) -> None:
    code = (
        "import builtins, io, os, sys\nfrom sqlmig import Migrator\n"
        "opened = []\n"
        "sys.addaudithook(lambda name, given: opened.append(str(given[0])) if name == 'open' else None)\n"
        "Migrator(*sys.argv[1:]).migrate()\n"
        "print([name for name in opened if '.sql' in name or '001_' in name])\n"
        "print(sorted(name for name in sys.modules if name.startswith('sqlmig')))"
    )

    def boot(path: Path, url: str) -> list[str]:
        command = [sys.executable, "-c", code, url, str(path)]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()

    other = Folder(tmp_path / "python")
    other.table(1)
    table(folder, 1)
    Migrator(url, folder.path).migrate()
    Migrator(f"{url}2", other.path).migrate()
    found, modules = boot(folder.path, url)
    assert found == "[]"
    assert modules == boot(other.path, f"{url}2")[1]
    assert "sql_files" not in modules


# The command line


@pytest.fixture
def invoke(folder: Folder, url: str) -> Callable[..., Result]:
    return lambda *words: CliRunner().invoke(app, [*words, "--url", url, "--path", str(folder.path)])


def test_a_new_file_is_valid_when_it_is_filled_in(invoke: Callable[..., Result], folder: Folder) -> None:
    folder.table(1)
    written = invoke("new", "Add: language!", "--sql")
    path = folder.path / "002_add_language.sql"
    assert written.stdout.splitlines() == [str(path), "Write its sections up and down, then: sqlmig up"]
    refused = invoke("validate")
    assert refused.exit_code == 1
    assert '002_add_language.sql:3: the section "up" is empty; write what the migration changes' in refused.stdout
    assert invoke("up").exit_code == 1
    text = path.read_text()
    path.write_text(
        text.replace("\n\n-- sqlmig: down", "\nALTER TABLE t1 ADD COLUMN language TEXT;\n\n-- sqlmig: down")
    )
    (issue,) = json.loads(invoke("validate", "--json").stdout)["issues"]
    assert issue["message"].startswith('002_add_language.sql:7: the section "down" is empty; write what takes it back')
    assert (issue["line"], issue["version"], issue["kind"]) == (7, 2, "sql")
    path.write_text(f"{path.read_text()}ALTER TABLE t1 DROP COLUMN language;\n")
    assert invoke("validate").exit_code == 0
    assert "002  Add: language!" in invoke("plan").stdout
    assert invoke("up").exit_code == 0
    assert "Add: language!" in invoke("history").stdout
    assert invoke("down", "--yes").exit_code == 0
    assert json.loads(invoke("new", "next", "--sql", "--json").stdout)["path"].endswith("003_next.sql")
    assert invoke("new", "and next").stdout.splitlines()[0].endswith("004_and_next.py")
    assert invoke("new", "!?", "--sql").exit_code == 2


def test_an_error_has_the_line(invoke: Callable[..., Result], folder: Folder) -> None:
    folder.sql(1, UP, "SELECT 1;", "SELEC 2;")
    failed = invoke("up")
    assert failed.exit_code == 1
    assert failed.stderr.splitlines()[1] == "  statement in 001_step_1.sql:3: SELEC 2"


# Copies of the database


def test_rehearsals(migrator: Migrator, folder: Folder) -> None:
    table(folder, 1)
    folder.sql(2, UP, "CREATE INDEX ix ON t1 (n);", "ALTER TABLE t1 ADD COLUMN m TEXT;", DOWN, "DROP INDEX ix;")
    report = migrator.rehearse()
    assert [(step.version, step.rows_touched, step.down_restores_schema) for step in report.steps] == [
        (1, 1, True),
        (2, 0, False),
    ]
    folder.sql(3, UP, "SELECT 1;", "DROP TABLE nowhere;")
    with pytest.raises(RehearsalFailed, match=r"003_step_3\.sql:3: DROP TABLE nowhere"):
        migrator.migrate(rehearse=True)
    assert migrator.get_current_version() == 0


def test_snapshots(migrator: Migrator, folder: Folder, engine: Engine, tmp_path: Path) -> None:
    table(folder, 1)
    migrator.migrate()
    folder.sql(2, "-- sqlmig: removes: t1", UP, "DROP TABLE t1;")
    safe = Migrator(engine, folder.path, snapshot=tmp_path / "snapshots")
    assert safe.migrate().snapshot is not None
    assert safe.rollback_to_version(1, use_snapshot=True).direction == "restore"
    assert safe.db.fetch_all("SELECT n FROM t1") == [("row",)]
    assert safe.get_current_version() == 1


@pytest.mark.parametrize("server", ["postgresql", "mariadb"])
def test_a_copy_into_a_database_that_has_sections_of_its_own(
    migrator: Migrator, folder: Folder, engine: Engine, server: str
) -> None:
    table(folder, 1)
    folder.sql(
        2,
        "-- sqlmig: up sqlite",
        "CREATE TABLE words (id INTEGER PRIMARY KEY AUTOINCREMENT, word TEXT UNIQUE COLLATE NOCASE);",
        "-- sqlmig: up postgresql",
        "CREATE TABLE words (id INTEGER GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, word TEXT UNIQUE);",
        "-- sqlmig: up mysql",
        "CREATE TABLE words (id INTEGER AUTO_INCREMENT PRIMARY KEY, word VARCHAR(80) UNIQUE);",
    )
    migrator.migrate()
    with engine.begin() as connection:
        connection.exec_driver_sql("INSERT INTO words (word) VALUES ('one'), ('two')")
    with scratch_database(server) as database:
        arguments = {"options": f"-csearch_path={database.scratch}"} if server == "postgresql" else {}
        target = create_engine(database.connection.engine.url, connect_args=arguments)
        there = Migrator(target, folder.path)
        there.copy_from(engine)
        assert there.db.fetch_all("SELECT word FROM words ORDER BY id") == [("one",), ("two",)]
        assert (there.get_current_version(), there.needs_migration()) == (2, False)
        # What is hashed is the same there.
        table(folder, 3)
        assert there.migrate().applied == [3]
        target.dispose()


STATEMENTS = [
    "INSERT INTO t (n) VALUES ('a; -- b'), ('it''s')",
    "CREATE TABLE IF NOT EXISTS begin_end (\"a;b\" TEXT DEFAULT ';', [c;d], `e;f`)",
    "UPDATE t SET n = n || CASE WHEN id > 1 THEN ';' ELSE '/*' END",
    "CREATE TRIGGER IF NOT EXISTS u AFTER INSERT ON t BEGIN UPDATE t SET n = n || ';' WHERE id = new.id; SELECT 1; END",
    "DELETE FROM t WHERE id = (SELECT max(id) FROM t)",
    "INSERT INTO t (n) SELECT group_concat(n, '\n-- ') FROM t",
    "DROP TRIGGER IF EXISTS u",
    "SELECT * FROM t, t AS s",
]
SCHEMA = r"SELECT type, name, sql FROM sqlite_master WHERE tbl_name NOT LIKE 'migration\_%' ESCAPE '\' ORDER BY 1, 2"
BETWEEN = [";", ";\n", "; -- ';\n", ";;\n\n/* ' ; */ ", "\n-- it's\n;"]


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.sampled_from(STATEMENTS), st.sampled_from(BETWEEN)), min_size=1, max_size=6))
def test_a_file_does_what_its_script_does(parts: list[tuple[str, str]]) -> None:
    """SQLite runs a script by itself, and knows best what its statements are."""
    made = "CREATE TABLE t (id INTEGER PRIMARY KEY, n TEXT);\n"
    script = made + "".join(f"{statement}{between}" for statement, between in parts)
    with tempfile.TemporaryDirectory() as place:
        Folder(Path(place)).sql(1, "-- sqlmig: removes: *", UP, script)
        engine = create_engine("sqlite://", poolclass=StaticPool)
        Migrator(engine, place).migrate()
        alone = sqlite3.connect(":memory:", isolation_level=None)
        alone.executescript(script)
        with engine.connect() as connection:
            for query in ("SELECT id, n FROM t ORDER BY id", SCHEMA):
                found = [tuple(row) for row in connection.exec_driver_sql(query)]
                assert found == alone.execute(query).fetchall()
        alone.close()
        engine.dispose()


def test_what_cannot_be_read(migrator: Migrator, folder: Folder) -> None:
    (folder.path / "001_folder.sql").mkdir()
    with pytest.raises(ValidationFailed, match=r"001_folder\.sql: cannot be read: .*[Dd]irectory"):
        migrator.migrate()


def test_a_savepoint_and_a_hidden_end_of_the_transaction(migrator: Migrator, folder: Folder) -> None:
    """The first is let pass; the second nobody can see in a text, and the database tells."""
    table(folder, 1)
    folder.sql(2, UP, "SAVEPOINT a;", "DELETE FROM t1;", "ROLLBACK TO a;", "RELEASE a;")
    assert migrator.migrate().applied == [1, 2]
    assert migrator.db.fetch_all("SELECT id FROM t1") == [(1,)]
    folder.sql(3, UP, "SELECT 1;", "INSERT OR ROLLBACK INTO t1 VALUES (1, 'again');")
    with pytest.raises(MigrationFailed, match=r"003_step_3\.sql:3: INSERT OR ROLLBACK"):
        migrator.migrate()
    assert migrator.get_current_version() == 2
