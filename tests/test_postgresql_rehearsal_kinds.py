"""What a rehearsal on PostgreSQL tells of objects and rows of every kind: all of it, and nothing that is not so."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from conftest import Folder
from rehearsal_support import added, at, of
from scratch_databases import own_database
from sqlalchemy import Engine, create_engine
from sqlalchemy.engine import URL


@pytest.fixture
def url() -> Iterator[URL]:
    with own_database() as url:
        yield url


@pytest.fixture
def engine(url: URL) -> Iterator[Engine]:
    engine = create_engine(url)
    yield engine
    engine.dispose()


def test_rows_are_counted_by_migration(url: URL, engine: Engine, folder: Folder) -> None:
    at(url, "CREATE TABLE log (n int)", "CREATE TABLE t (i int PRIMARY KEY)")
    at(
        url,
        "CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN INSERT INTO log VALUES (new.i); RETURN new; END $$",
        "CREATE TRIGGER noted AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION noted()",
    )
    added(folder, 1, ["INSERT INTO t SELECT generate_series(1, 100)"], ["DELETE FROM t"])
    # A table that is dropped takes its figures along, and another takes its place.
    added(
        folder,
        2,
        ["CREATE TABLE u AS SELECT i FROM t LIMIT 50", "INSERT INTO u SELECT i FROM t LIMIT 7", "DROP TABLE t"],
        ["CREATE TABLE t (i int PRIMARY KEY)", "DROP TABLE u"],
        extra="removes = ['t', 'u']",
    )
    added(folder, 3, ["UPDATE u SET i = 0"], ["UPDATE u SET i = 1"], extra="transactional = False")
    folder.add(
        4,
        "for rows in self.batches('log', key='n', size=30):\n"
        "    self.execute_sql('UPDATE log SET n = n WHERE n BETWEEN ? AND ?', (rows[0]['n'], rows[-1]['n']))",
        extra="resumable = True",
    )
    report = of(engine, folder).rehearse()
    assert report.can_migrate, str(report)
    found = [step.rows_touched for step in report.steps]
    assert found[:3] == [200, 57, 57]
    # The checkpoints are counted as well.
    assert 100 <= found[3] <= 110


def test_rows_of_one_transaction(url: URL, engine: Engine, folder: Folder) -> None:
    added(folder, 1, ["CREATE TABLE t AS SELECT generate_series(1, 100) i", "INSERT INTO t SELECT i FROM t"])
    added(
        folder,
        2,
        ["CREATE TABLE u (i int)", "INSERT INTO u SELECT i FROM t LIMIT 5", "DROP TABLE t"],
        extra="removes = ['t']",
    )
    report = of(engine, folder).rehearse(all_or_nothing=True)
    assert report.can_migrate, str(report)
    assert [step.rows_touched for step in report.steps] == [200, 5]


def test_a_schema_that_comes_before_the_usual_one(url: URL, folder: Folder) -> None:
    at(url, "CREATE TABLE t (i int)")
    engine = create_engine(url, connect_args={"options": "-csearch_path=tenant,public"})
    added(folder, 1, ["CREATE SCHEMA tenant", "CREATE TABLE tenant.u (i int)"], ["DROP SCHEMA tenant CASCADE"])
    report = of(engine, folder).rehearse()
    assert report, str(report)
    assert report.steps[0].schema_difference == ["+ schema tenant", "+ table tenant.u"]
    engine.dispose()
