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


@pytest.mark.parametrize(
    ("statement", "extra"),
    [
        ("CREATE ROLE {name}", ""),
        ("DO $$ BEGIN CREATE ROLE {name}; END $$", ""),
        ("CREATE ROLE {name}", "resumable = True"),
        ("CREATE ROLE {name}", "transactional = False"),
        ("ALTER DATABASE {database} SET work_mem = '9MB'", ""),
        ("ALTER DATABASE {database} CONNECTION LIMIT 7", ""),
        ("ALTER ROLE CURRENT_USER SET work_mem = '9MB'", ""),
        ("CREATE DATABASE {name}", "transactional = False"),
        ("ALTER SYSTEM SET work_mem = '9MB'", "transactional = False"),
        ("GRANT pg_read_all_data TO CURRENT_USER", "transactional = False"),
    ],
)
def test_what_is_the_server_s_is_refused(url: URL, engine: Engine, folder: Folder, statement: str, extra: str) -> None:
    told = statement.format(name=f"{url.database}_new", database=url.database)
    added(folder, 1, [told], extra=extra)
    report = of(engine, folder).rehearse()
    assert not report.can_migrate
    assert "all databases of the server have in common" in str(report)
    assert "self.rehearsing" in str(report)
    server = "SELECT rolname FROM pg_roles UNION ALL SELECT datname FROM pg_database"
    assert at(url, f"SELECT 1 FROM ({server}) s (n) WHERE n LIKE current_database() || '_new'") == []
    assert at(url, "SELECT datconnlimit FROM pg_database WHERE datname = current_database()") == [(-1,)]
    assert at(url, "SELECT 1 FROM pg_db_role_setting WHERE setconfig = '{work_mem=9MB}'") == []


def test_what_is_the_copy_s_own_is_let_be(url: URL, engine: Engine, folder: Folder) -> None:
    for number, statement in enumerate(
        (
            "ALTER DATABASE %I SET work_mem = '9MB'",
            "COMMENT ON DATABASE %I IS 'x'",
            "GRANT CONNECT ON DATABASE %I TO PUBLIC",
        ),
        1,
    ):
        told = f"DO $$ BEGIN EXECUTE format($q${statement}$q$, current_database()); END $$"
        added(folder, number, [told, f"CREATE TABLE t{number} (i int)"])
    report = of(engine, folder).rehearse()
    assert report, str(report)
    assert at(url, "SELECT 1 FROM pg_db_role_setting WHERE setconfig = '{work_mem=9MB}'") == []
