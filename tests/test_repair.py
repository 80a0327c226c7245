"""What became of an interrupted migration is said by somebody who has looked, and recorded, on every database."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner
from conftest import Folder
from native_databases import scratch_database
from sqlalchemy import Engine, create_engine

from sqlmig import ConfigurationError, InterruptedMigration, MigrationError, MigrationFailed, Migrator
from sqlmig.cli.app import app

LOOSE = "transactional = False"


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def engine(request: pytest.FixtureRequest, url: str) -> Iterator[Engine]:
    if request.param == "sqlite":
        yield create_engine(url)
        return
    with scratch_database(request.param) as database:
        place = {"options": f"-csearch_path={database.scratch}"} if request.param == "postgresql" else {}
        found = create_engine(database.connection.engine.url, connect_args=place)
        yield found
        found.dispose()


def interrupted(engine: Engine, folder: Folder, extra: str = LOOSE) -> Migrator:
    """Of a database in which migration 2 has failed in the middle."""
    folder.table(1)
    up = """self.execute_sql("CREATE TABLE half (id INTEGER PRIMARY KEY)")
self.execute_sql("INSERT INTO half VALUES (1)")
raise ValueError"""
    folder.add(2, up, "self.drop_table('half')", extra)
    with pytest.raises(MigrationFailed):
        Migrator(engine, folder.path).migrate()
    migrator = Migrator(engine, folder.path)
    with pytest.raises(InterruptedMigration):
        migrator.migrate()
    return migrator


def test_it_is_to_run_again(engine: Engine, folder: Folder) -> None:
    migrator = interrupted(engine, folder)
    assert migrator.repair(interrupted="retry") == ["migration 2 is pending again"]
    assert migrator.repair(interrupted="retry") == []
    folder.add(2, "self.drop_table('half')", extra="removes = ['half']")
    assert Migrator(engine, folder.path).migrate().applied == [2]
    assert migrator.get_current_version() == 2


def test_it_is_complete(engine: Engine, folder: Folder) -> None:
    migrator = interrupted(engine, folder)
    assert migrator.repair(interrupted="applied") == ["migration 2 counts as applied"]
    assert (migrator.get_current_version(), migrator.needs_migration()) == (2, False)
    assert migrator.migrate().applied == []
    assert migrator.manager.validate_migration_sequence() == []
    entry = migrator.get_migration_history(1)[0]
    assert (entry["operation"], entry["version"], entry["metadata"]["interrupted"]) == ("repair", 2, "applied")
    assert Migrator(engine, folder.path).rollback_to_version(1).rolled_back == [2]


def test_nothing_is_left_of_it(engine: Engine, folder: Folder) -> None:
    migrator = interrupted(engine, folder)
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE half")
    assert migrator.repair(interrupted="rolled back") == ["migration 2 is pending again; nothing is left of it"]
    assert migrator.get_migration_status().pending_versions == [2]
    assert migrator.get_current_version() == 1


@pytest.mark.parametrize(("said", "left"), [("retry", 1), ("applied", 1), ("rolled back", 0)])
def test_a_rollback(engine: Engine, folder: Folder, said: Any, left: int) -> None:
    folder.add(1, "self.execute_sql('CREATE TABLE half (id INTEGER)')", "raise ValueError", extra=LOOSE)
    migrator = Migrator(engine, folder.path)
    migrator.migrate()
    with pytest.raises(MigrationFailed):
        migrator.rollback_to_version(0)
    assert len(migrator.repair(interrupted=said)) == 1
    assert migrator.get_current_version() == left
    assert migrator.get_migration_status().pending_versions == [1] * (1 - left)


def test_a_resumable_one_is_complete(engine: Engine, folder: Folder) -> None:
    folder.table(1)
    folder.add(2, "for rows in self.batches('t1'):\n    pass\nraise ValueError", extra="resumable = True")
    migrator = Migrator(engine, folder.path)
    with pytest.raises(MigrationFailed):
        migrator.migrate()
    assert migrator.repair(interrupted="applied") == ["migration 2 counts as applied"]
    assert Migrator(engine, folder.path).migrate().applied == []
    row = next(row for row in migrator.version_tracker.read().rows if row.version == 2)
    assert not {"token", "loops", "resumable", "failed"} & row.metadata.keys()
    assert row.metadata["by_repair"] is True


def test_what_a_flag_leaves_alone(engine: Engine, folder: Folder) -> None:
    """An edited file is accepted by a repair without one."""
    path = folder.table(1)
    migrator = Migrator(engine, folder.path)
    migrator.migrate()
    path.write_text(path.read_text().replace('"row"', '"other"'))
    assert Migrator(engine, folder.path).repair(interrupted="applied") == []
    assert len(Migrator(engine, folder.path).repair()) == 1


def test_a_word_that_is_none(engine: Engine, folder: Folder) -> None:
    folder.table(1)
    with pytest.raises(ConfigurationError, match="'retry', 'applied', 'rolled back'"):
        Migrator(engine, folder.path).repair(interrupted="perhaps")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("flag", "told", "version"),
    [
        ("--retry", "migration 2 is pending again", 1),
        ("--mark-applied", "migration 2 counts as applied", 2),
        ("--mark-rolled-back", "migration 2 is pending again; nothing is left of it", 1),
    ],
)
def test_on_the_command_line(folder: Folder, url: str, flag: str, told: str, version: int) -> None:
    interrupted(create_engine(url), folder)
    words = ["--url", url, "--path", str(folder.path)]
    ran = CliRunner().invoke(app, ["repair", flag, "--json", *words])
    assert (ran.exit_code, json.loads(ran.stdout)) == (0, {"repaired": [told]})
    assert "Nothing needed repair." in CliRunner().invoke(app, ["repair", flag, *words]).stdout
    assert Migrator(url, folder.path).get_current_version() == version


def test_older_programs_are_kept_out(engine: Engine, folder: Folder) -> None:
    migrator = interrupted(engine, folder)
    migrator.repair(interrupted="applied")
    folder.path.joinpath("002_step_2.py").unlink()
    with pytest.raises(MigrationError, match="newer than the newest"):
        Migrator(engine, folder.path).repair(interrupted="retry")
