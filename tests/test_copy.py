"""A database copied into another, from each kind into each."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from copy_support import KINDS, TABLES, empty, metadata, rows, source_in, write_migrations
from sqlalchemy import create_engine, insert, inspect, select
from sqlalchemy.exc import DBAPIError

from alembic_compat import AlembicMigrator
from sqlmig import ConfigurationError, Migrator
from sqlmig.cli.app import app


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("copy")


@pytest.fixture(scope="module")
def folder(home: Path) -> Path:
    return write_migrations(home / "migrations")


@pytest.fixture(scope="module")
def library(home: Path, folder: Path) -> str:
    """A SQLite database with rows, that nobody writes to."""
    return source_in("sqlite", f"sqlite:///{home / 'library.db'}", folder)


@pytest.fixture(params=KINDS)
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with empty(request.param, tmp_path) as url:
        yield url


def history(url: str, folder: Path) -> list[tuple[Any, ...]]:
    entries = reversed(Migrator(url, folder).get_migration_history())
    return [(entry["version"], entry["operation"], entry["success"]) for entry in entries]


def test_all_rows_arrive_with_the_version_and_the_history(library: str, target: str, folder: Path) -> None:
    before = Path(library.removeprefix("sqlite:///")).read_bytes()
    result = Migrator(target, folder).copy_from(library)
    assert result
    assert (result.version, result.applied, result.skipped) == (2, [1, 2], [])
    assert rows(target) == rows(library)
    assert {table.table: table.rows for table in result.tables} == {
        n: len(found) for n, found in rows(library).items() if n in TABLES
    }
    assert result.warnings == ["the source has not had 003, and the target neither: migrate it"]
    made = [(1, "apply", True), (2, "apply", True)]
    assert history(target, folder) == [*made, *made, (2, "copy", True)]
    newest = Migrator(target, folder).get_migration_history()[0]
    assert newest["metadata"]["source"] == library.removeprefix("sqlite:///")
    assert newest["metadata"]["tables"]["items"] == {
        "rows": 40,
        "checksum": result.tables[-1 if False else [t.table for t in result.tables].index("items")].checksum,
    }
    assert newest["metadata"]["history"] == {"carried": 2, "own": 2}
    assert Path(library.removeprefix("sqlite:///")).read_bytes() == before
    # The application boots on it, and goes on.
    assert Migrator(target, folder).migrate().applied == [3]


def test_there_and_back_again_nothing_is_another(library: str, target: str, folder: Path, tmp_path: Path) -> None:
    Migrator(target, folder).copy_from(library)
    back = tmp_path / "back.db"
    result = Migrator(back, folder).copy_from(target)
    assert result.version == 2
    first, second = sqlite3.connect(library.removeprefix("sqlite:///")), sqlite3.connect(back)
    for name in TABLES:
        listed = ", ".join(f"{column.name}, typeof({column.name})" for column in metadata.tables[name].columns)
        order = ", ".join(column.name for column in metadata.tables[name].primary_key.columns)
        query = f"SELECT {listed} FROM {name} ORDER BY {order}"
        assert second.execute(query).fetchall() == first.execute(query).fetchall(), name
    operations = [operation for _, operation, _ in history(f"sqlite:///{back}", folder)]
    assert operations == ["apply", "apply"] * 2 + ["copy"] + ["apply", "apply"] + ["copy"]


@pytest.mark.parametrize(("one", "other"), [("postgresql", "mariadb"), ("mariadb", "postgresql")])
def test_between_servers(library: str, folder: Path, tmp_path: Path, one: str, other: str) -> None:
    with empty(one, tmp_path) as source, empty(other, tmp_path) as target:
        Migrator(source, folder).copy_from(library)
        Migrator(target, folder).copy_from(source)
        assert rows(target) == rows(library)


@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_between_databases_of_one_kind(library: str, folder: Path, tmp_path: Path, kind: str) -> None:
    with empty(kind, tmp_path) as source, empty(kind, tmp_path) as target:
        first = Migrator(source, folder).copy_from(library)
        second = Migrator(target, folder).copy_from(source)
        assert rows(target) == rows(library)
        assert [table.checksum for table in first.tables] == [table.checksum for table in second.tables]


def test_new_rows_get_numbers_that_nobody_has_had(library: str, target: str, folder: Path) -> None:
    Migrator(target, folder).copy_from(library)
    engine = create_engine(target)
    with engine.begin() as connection:
        tags = metadata.tables["tags"]
        connection.execute(insert(tags).values(name="new"))
        assert connection.execute(select(tags.c.id).where(tags.c.name == "new")).scalar() == 10
        people = metadata.tables["people"]
        connection.execute(insert(people).values(name="new"))
        assert connection.execute(select(people.c.id).where(people.c.name == "new")).scalar() == 9
    engine.dispose()


def test_constraints_are_there_again(library: str, target: str, folder: Path, tmp_path: Path) -> None:
    """Those that were held back while rows came are those that the migrations made."""
    Migrator(target, folder).copy_from(library)
    kind = create_engine(target).dialect.name
    with empty({"postgresql": "postgresql", "mysql": "mariadb", "sqlite": "sqlite"}[kind], tmp_path) as plain:
        Migrator(plain, folder).migrate_to_version(2)
        copied, made = create_engine(target), create_engine(plain)
        for name in TABLES:
            for read in ("get_foreign_keys", "get_unique_constraints", "get_indexes", "get_columns"):
                ours, theirs = (sorted(map(str, getattr(inspect(e), read)(name))) for e in (copied, made))
                assert ours == theirs
        copied.dispose()
        made.dispose()


def test_a_version_below_the_newest_and_one_in_the_middle_are_kept(folder: Path, tmp_path: Path, target: str) -> None:
    source = tmp_path / "one.db"
    Migrator(source, folder).migrate_to_version(1)
    result = Migrator(target, folder).copy_from(source)
    assert (result.version, result.applied) == (1, [1])
    assert Migrator(target, folder).get_current_version() == 1


def test_a_target_that_the_application_has_made_already(library: str, target: str, tmp_path: Path) -> None:
    """One that migrations made, and that nobody has written to, is brought to where the source is."""
    folder = write_migrations(tmp_path / "own")
    text = (folder / "001_tables.py").read_text()
    (folder / "001_tables.py").write_text(
        text.replace("'seed'", "'seed'").replace("        self.execute_sql(", "        0 and self.execute_sql(")
    )
    source = source_in("sqlite", f"sqlite:///{tmp_path / 'source.db'}", folder)
    Migrator(target, folder).migrate_to_version(1)
    result = Migrator(target, folder).copy_from(source)
    assert result.applied == [2]
    assert rows(target) == rows(source)


@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_a_history_that_knows_no_copies_yet(kind: str, folder: Path, tmp_path: Path) -> None:
    """A release before this one made it, with a CHECK of the operations of its time."""
    Migrator(tmp_path / "source.db", folder).migrate_to_version(1)
    with empty(kind, tmp_path) as url:
        migrator = Migrator(url, folder)
        migrator.version_tracker.create_tables_if_not_exist()
        engine = create_engine(url)
        with engine.begin() as connection:
            [check] = inspect(connection).get_check_constraints("migration_history")
            connection.exec_driver_sql(f"ALTER TABLE migration_history DROP CONSTRAINT {check['name']}")
            old = "operation IN ('apply', 'rollback', 'skip', 'adopt', 'stamp', 'repair', 'restore')"
            connection.exec_driver_sql(f"ALTER TABLE migration_history ADD CHECK ({old})")
        migrator.copy_from(tmp_path / "source.db")
        assert migrator.get_migration_history()[0]["operation"] == "copy"
        wrong = "INSERT INTO migration_history (version, operation, success) VALUES (1, 'x', true)"
        with engine.connect() as connection, pytest.raises(DBAPIError, match=r"(?i)check|constraint"):
            connection.exec_driver_sql(wrong)
        engine.dispose()


def test_tables_of_other_schemas_are_told(folder: Path, tmp_path: Path) -> None:
    Migrator(tmp_path / "source.db", folder).migrate_to_version(1)
    with empty("postgresql", tmp_path) as url:
        Migrator(url, folder).copy_from(tmp_path / "source.db")
        engine = create_engine(url)
        with engine.begin() as connection:
            connection.exec_driver_sql("CREATE SCHEMA other")
            connection.exec_driver_sql("CREATE TABLE other.t (id INTEGER)")
        engine.dispose()
        result = Migrator(tmp_path / "back.db", folder).copy_from(url)
        assert "the tables of the schema other were not copied" in result.warnings


def test_an_alembic_project_is_refused(tmp_path: Path) -> None:
    (tmp_path / "alembic" / "versions").mkdir(parents=True)
    (tmp_path / "alembic" / "env.py").write_text("")
    migrator = AlembicMigrator(f"sqlite:///{tmp_path / 'target.db'}", str(tmp_path / "alembic"), env=False)
    with pytest.raises(ConfigurationError, match="import-alembic"):
        migrator.copy_from(tmp_path / "source.db")


def test_checksums_are_those_of_the_rows(library: str, folder: Path, tmp_path: Path) -> None:
    """The same twice, in another process as well; others where one value is another."""
    first = Migrator(tmp_path / "a.db", folder).copy_from(library)
    command = ["copy", library, f"sqlite:///{tmp_path / 'b.db'}", "--path", str(folder), "--json"]
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    run = subprocess.run(
        [sys.executable, "-m", "sqlmig", *command], env=env, capture_output=True, text=True, check=True
    )
    checksums = {table.table: table.checksum for table in first.tables}
    assert {table["table"]: table["checksum"] for table in json.loads(run.stdout)["tables"]} == checksums
    raw = sqlite3.connect(tmp_path / "b.db")
    raw.execute("UPDATE items SET number = -2 WHERE id = 1")
    raw.commit()
    raw.close()
    second = Migrator(tmp_path / "c.db", folder).copy_from(tmp_path / "b.db")
    assert [table.table for table in second.tables if table.checksum != checksums[table.table]] == ["items"]


def test_one_moment_of_the_source_is_copied(library: str, folder: Path, tmp_path: Path) -> None:
    """Somebody who writes meanwhile is not half copied."""
    file = tmp_path / "live.db"
    source_in("sqlite", f"sqlite:///{file}", folder)
    raw = sqlite3.connect(file, isolation_level=None)
    raw.execute("PRAGMA journal_mode = WAL")
    wrote = []

    def write(done: int, total: int, message: str) -> None:
        if done and not wrote:
            wrote.append(message)
            raw.execute("INSERT INTO tags (id, name) VALUES (1000, 'late')")
            raw.execute("UPDATE items SET note = 'late'")

    Migrator(tmp_path / "copy.db", folder, progress=write).copy_from(file)
    raw.close()
    assert wrote
    assert rows(f"sqlite:///{tmp_path / 'copy.db'}") == rows(library)


def test_progress_counts_rows(library: str, folder: Path, target: str) -> None:
    told: list[tuple[int, int, str]] = []
    total = sum(len(found) for name, found in rows(library).items() if name in TABLES)
    Migrator(target, folder, progress=lambda *each: told.append(each)).copy_from(library, batch_size=7)
    assert told[-1][:2] == (total, total)
    assert [done for done, _, _ in told] == sorted(done for done, _, _ in told)
    assert any("items" in message for _, _, message in told)


def test_batches_of_one_row(library: str, folder: Path, target: str) -> None:
    Migrator(target, folder).copy_from(library, batch_size=1)
    assert rows(target) == rows(library)


def test_connections_that_are_handed_in(library: str, folder: Path, tmp_path: Path) -> None:
    engine, source = create_engine(f"sqlite:///{tmp_path / 'copy.db'}"), create_engine(library)
    with source.connect() as connection:
        Migrator(engine, folder).copy_from(connection)
    assert rows(str(engine.url)) == rows(library)
    with source.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA query_only").scalar() == 0


def test_the_command(library: str, folder: Path, target: str) -> None:
    shown = CliRunner().invoke(app, ["copy", library, target, "--path", str(folder), "--skip", "pairs"])
    assert shown.exit_code == 0, shown.output
    assert "left out  pairs" in shown.stdout
    assert "counts and checksums agree." in shown.stdout
    assert "note      the source has not had 003" in shown.stdout
    again = CliRunner().invoke(app, ["copy", library, target, "--path", str(folder), "--json"])
    assert again.exit_code == 1
    assert json.loads(again.stdout)["error"]["type"] == "TargetNotEmpty"


@pytest.mark.skipif(sys.platform == "win32", reason="no resource module")
def test_memory_stays_flat(folder: Path, tmp_path: Path) -> None:
    """Ten times the rows take no more memory: few of them are held at a time, and fewer where they are large."""
    peaks = []
    for count in (2, 20):
        file, copied = tmp_path / f"{count}.db", tmp_path / f"{count}_copy.db"
        Migrator(file, folder).migrate_to_version(2)
        raw = sqlite3.connect(file)
        raw.execute("INSERT INTO people (id, name) VALUES (1, 'one')")
        raw.execute(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)"
            " INSERT INTO items (id, owner_id, picture) SELECT i, 1, randomblob(2000000) FROM n",
            (count * 2,),
        )
        raw.execute(
            "WITH RECURSIVE n (i) AS (SELECT 1000 UNION ALL SELECT i + 1 FROM n WHERE i < 1000 + ?)"
            " INSERT INTO items (id, owner_id, note) SELECT i, 1, 'a note of no great length' FROM n",
            (count * 2000,),
        )
        raw.commit()
        raw.close()
        code = (
            "import resource, sys; from sqlmig import Migrator;"
            " Migrator(sys.argv[1], sys.argv[2]).copy_from(sys.argv[3]);"
            " print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
        )
        ran = subprocess.run(
            [sys.executable, "-c", code, str(copied), str(folder), str(file)],
            env={"PYTHONPATH": str(Path(__file__).parent)},
            capture_output=True,
            text=True,
            check=True,
        )
        peaks.append(int(ran.stdout))
    assert peaks[1] - peaks[0] < 40 * 1024
