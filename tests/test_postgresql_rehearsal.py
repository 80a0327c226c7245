"""A rehearsal on PostgreSQL: everything is done to a copy, nothing to the database, and the copy is gone afterwards."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from conftest import Folder
from rehearsal_support import copies, of, people, rows, tables
from scratch_databases import own_database
from sqlalchemy import Engine, create_engine
from sqlalchemy.engine import URL

from sqlmig import ConfigurationError, RehearsalFailed


@pytest.fixture
def url() -> Iterator[URL]:
    with own_database() as url:
        yield url


@pytest.fixture
def engine(url: URL) -> Iterator[Engine]:
    engine = create_engine(url)
    yield engine
    engine.dispose()


@pytest.mark.proves("Rehearsals", postgresql="yes, with `pg_dump` and `pg_restore`")
def test_the_report_tells_what_was_done_to_the_copy(engine: Engine, folder: Folder) -> None:
    people(folder)
    of(engine, folder).migrate()
    folder.add(
        2,
        "self.execute_sql('ALTER TABLE people ADD COLUMN nick text')\n"
        "self.execute_sql('UPDATE people SET nick = left(name, 1)')\n"
        "self.execute_sql('CREATE INDEX people_name ON people (name)')",
        "self.drop_column('people', 'nick')",
    )
    report = of(engine, folder).rehearse()
    assert report.can_migrate
    assert not report
    [step] = report.steps
    assert (step.version, step.rows_touched) == (2, 100)
    assert step.schema_difference == ["~ table people: + column nick text", "+ index people_name"]
    assert step.down_restores_schema is False
    assert step.down_difference == ["+ index people_name"]
    assert [str(loss) for loss in step.down_loses] == ["drop people.nick (100 values)"]
    assert of(engine, folder).get_current_version() == 1
    assert "nick" not in str(rows(engine, "SELECT * FROM people LIMIT 1"))
    assert copies(engine) == []


def test_a_new_database_is_left_without_any_table(engine: Engine, folder: Folder) -> None:
    people(folder)
    report = of(engine, folder).rehearse()
    assert report, str(report)
    assert report.steps[0].down_restores_schema is True
    assert tables(engine) == []
    assert copies(engine) == []


def test_a_migration_that_meets_data_it_cannot_have_fails_before_the_database_is_touched(
    engine: Engine, folder: Folder
) -> None:
    people(folder)
    of(engine, folder).migrate()
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE people SET name = 'twice' WHERE id <= 2")
    folder.add(2, "self.execute_sql('ALTER TABLE people ADD UNIQUE (name)')")
    with pytest.raises(RehearsalFailed, match="twice") as failed:
        of(engine, folder).migrate(rehearse=True)
    assert failed.value.report.steps[0].error
    assert of(engine, folder).get_current_version() == 1
    history = of(engine, folder).get_migration_history()
    assert (history[0]["operation"], history[0]["success"]) == ("apply", False)
    assert copies(engine) == []


def test_rehearsed_and_then_done(engine: Engine, folder: Folder) -> None:
    people(folder)
    result = of(engine, folder).migrate(rehearse=True)
    assert result.applied == [1]
    assert rows(engine, "SELECT count(*) FROM people") == [(100,)]
    assert copies(engine) == []


@pytest.mark.proves("Rehearsals", postgresql="yes, with `pg_dump` and `pg_restore`")
def test_without_its_programs_nothing_is_begun(engine: Engine, folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    people(folder)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ConfigurationError, match="needs pg_dump and pg_restore"):
        of(engine, folder).rehearse()
    assert tables(engine) == []
