"""How long a statement of a migration waits and runs at most, on every database; connections keep their own limits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from conftest import Folder, failures
from places import Engines, Place
from sqlalchemy import Engine

from sqlmig import ConfigurationError, DatabaseLocked, MigrationFailed, Migrator, StatementTimeout

SLOW = {
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 99999999) SELECT sum(i) FROM n",
    "postgresql": "SELECT pg_sleep(30)",
    "mariadb": "SELECT sleep(30) FROM t1",
}


def settings(engine: Engine) -> dict[str, str]:
    """What the one connection of an engine has by now."""
    query = {
        "postgresql": "SELECT name, setting FROM pg_settings WHERE name IN ('lock_timeout', 'statement_timeout')",
        "mysql": "SHOW SESSION VARIABLES WHERE Variable_name IN"
        " ('lock_wait_timeout', 'innodb_lock_wait_timeout', 'max_statement_time')",
        "sqlite": "SELECT 'busy_timeout', timeout FROM pragma_busy_timeout",
    }[engine.dialect.name]
    with engine.connect() as connection:
        return {row[0]: str(row[1]) for row in connection.exec_driver_sql(query)}


def test_a_statement_that_takes_too_long_fails_with_its_migration(
    engines: Engines, folder: Folder, place: Place
) -> None:
    folder.table(1)
    folder.add(2, f"self.execute_sql('INSERT INTO t1 VALUES (9, 9)')\nself.execute_sql({SLOW[place.database]!r})")
    engine = engines()
    before = settings(engine)
    migrator = Migrator(engine, folder.path, statement_timeout=0.2)
    with pytest.raises(StatementTimeout) as caught:
        migrator.migrate()
    said = str(caught.value)
    assert "Migration 2 (step 2) failed: a statement took longer than 0.2 s (statement_timeout)" in said
    assert f"statement: {SLOW[place.database]}" in said
    assert "Give it more time" in said
    assert isinstance(caught.value, MigrationFailed)
    assert caught.value.undone
    assert failures(migrator)[0]["metadata"]["error"] == "StatementTimeout"
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM t1").scalar() == 1
    assert settings(engine) == before
    folder.table(2)
    assert Migrator(engine, folder.path, statement_timeout=5).migrate().applied == [2]


def test_many_statements_may_take_longer_together(engines: Engines, folder: Folder, place: Place) -> None:
    nap = {
        "sqlite": "import time; time.sleep(0.06); self.execute_sql('SELECT 1')",
        "postgresql": "self.execute_sql('SELECT pg_sleep(0.06)')",
        "mariadb": "self.execute_sql('DO sleep(0.06)')",
    }
    folder.add(1, f"for _ in range(6):\n    {nap[place.database]}")
    assert Migrator(engines(), folder.path, statement_timeout=0.3).migrate().applied == [1]


def test_outside_a_transaction_as_well(engines: Engines, folder: Folder, place: Place) -> None:
    folder.table(1)
    folder.add(2, f"self.execute_sql({SLOW[place.database]!r})", extra="transactional = False")
    engine = engines()
    before = settings(engine)
    with pytest.raises(StatementTimeout, match="outside a transaction"):
        Migrator(engine, folder.path, statement_timeout=0.2).migrate()
    assert settings(engine) == before


@pytest.mark.parametrize("place", ["postgresql", "mariadb"], indirect=True)
def test_a_table_that_another_has_locked_is_waited_for_no_longer_than_lock_timeout(
    engines: Engines, folder: Folder, place: Place
) -> None:
    folder.table(1)
    folder.add(2, "self.execute_sql('ALTER TABLE t1 ADD more INTEGER')")
    engine = engines()
    before = settings(engine)
    Migrator(engine, folder.path).migrate_to_version(1)
    with holding(engines(), "SELECT * FROM t1"), pytest.raises(DatabaseLocked) as caught:
        Migrator(engine, folder.path, lock_timeout=1).migrate()
    said = str(caught.value)
    assert "ALTER TABLE t1 ADD more" in said
    assert "stayed so for 1 s (lock_timeout)" in said
    if place.database == "postgresql":
        assert "the oldest transaction is that of server process" in said
    assert settings(engine) == before
    assert Migrator(engine, folder.path, lock_timeout=1).migrate().applied == [2]


@contextmanager
def holding(engine: Engine, query: str) -> Iterator[None]:
    with engine.connect() as connection:
        connection.exec_driver_sql(query)
        yield


OWN: dict[str, list[str]] = {
    "postgresql": ["SET lock_timeout = '700ms'", "SET statement_timeout = '900ms'"],
    "mariadb": ["SET SESSION lock_wait_timeout = 2, innodb_lock_wait_timeout = 3, max_statement_time = 0.9"],
}


@pytest.mark.parametrize("place", ["postgresql", "mariadb"], indirect=True)
def test_a_shorter_limit_of_the_connection_s_own_stays(engines: Engines, folder: Folder, place: Place) -> None:
    look = {
        "postgresql": "SELECT current_setting('lock_timeout') || ' ' || current_setting('statement_timeout')",
        "mariadb": "SELECT concat(@@lock_wait_timeout, ' ', @@innodb_lock_wait_timeout, ' ', @@max_statement_time)",
    }[place.database]
    folder.add(
        1,
        f"self.execute_sql('CREATE TABLE seen (said VARCHAR(99))')\nself.execute_sql({f'INSERT INTO seen {look}'!r})",
    )
    engine = engines(*OWN[place.database])
    before = settings(engine)
    Migrator(engine, folder.path, lock_timeout=50, statement_timeout=40).migrate()
    with engine.connect() as connection:
        said = connection.exec_driver_sql("SELECT said FROM seen").scalar()
    assert said == {"postgresql": "700ms 900ms", "mariadb": "2 3 0.900000"}[place.database]
    assert settings(engine) == before


@pytest.mark.parametrize("place", ["postgresql", "mariadb"], indirect=True)
def test_what_a_migration_sets_is_for_itself(engines: Engines, folder: Folder, place: Place) -> None:
    """The next one has the limits of the Migrator again, and the application its own."""
    setting = {"postgresql": "SET statement_timeout = 0", "mariadb": "SET SESSION max_statement_time = 0"}[
        place.database
    ]
    nap = {"postgresql": "SELECT pg_sleep(0.4)", "mariadb": "DO sleep(0.4)"}[place.database]
    folder.add(1, f"self.execute_sql({setting!r})\nself.execute_sql({nap!r})")
    folder.table(2)
    folder.add(3, f"self.execute_sql({SLOW[place.database].replace('t1', 't2')!r})")
    engine = engines()
    before = settings(engine)
    with pytest.raises(StatementTimeout) as caught:
        Migrator(engine, folder.path, statement_timeout=0.2).migrate()
    assert caught.value.version == 3
    assert settings(engine) == before


@pytest.mark.parametrize("seconds", [0, -1, "5", True])
def test_a_time_that_is_none(folder: Folder, seconds: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"(?s)statement_timeout=.*more than 0, or None"):
        Migrator(":memory:", folder.path, statement_timeout=seconds)


@pytest.mark.parametrize("seconds", [float("inf"), 1e9])
def test_any_time(engines: Engines, folder: Folder, seconds: float) -> None:
    folder.table(1)
    engine = engines()
    before = settings(engine)
    assert Migrator(engine, folder.path, lock_timeout=seconds, statement_timeout=seconds).migrate().applied == [1]
    assert settings(engine) == before


def test_hardly_any_time_is_not_any_time(engines: Engines, folder: Folder, place: Place) -> None:
    folder.table(1)
    Migrator(engines(), folder.path).migrate()
    folder.add(2, f"self.execute_sql({SLOW[place.database]!r})")
    with pytest.raises(StatementTimeout):
        Migrator(engines(), folder.path, statement_timeout=1e-7).migrate()


@pytest.mark.parametrize("place", ["postgresql", "mariadb"], indirect=True)
def test_a_limit_of_the_connection_s_own_is_told_as_such(engines: Engines, folder: Folder, place: Place) -> None:
    folder.table(1)
    Migrator(engines(), folder.path).migrate()
    folder.add(2, f"self.execute_sql({SLOW[place.database]!r})")
    for limit in (40, None):
        with pytest.raises(StatementTimeout, match=r"took longer than 0.9 s \(the connection's own limit\)"):
            Migrator(engines(*OWN[place.database]), folder.path, statement_timeout=limit).migrate()


@pytest.mark.parametrize("place", ["postgresql", "mariadb"], indirect=True)
def test_what_sqlmig_itself_has_to_do_is_no_statement_of_a_migration(
    engines: Engines, folder: Folder, place: Place
) -> None:
    """It waits for its records as long as lock_timeout says, and counts as long as that takes."""
    folder.table(1)
    Migrator(engines(), folder.path).migrate()
    folder.table(2)
    lock = {"postgresql": "LOCK TABLE migration_history IN SHARE MODE", "mariadb": "LOCK TABLES migration_history READ"}
    with holding(engines(), lock[place.database]), pytest.raises(DatabaseLocked, match=r"1 s \(lock_timeout\)"):
        Migrator(engines(), folder.path, lock_timeout=1, statement_timeout=0.1).migrate()


@pytest.mark.parametrize("place", ["postgresql"], indirect=True)
def test_settings_of_a_caller_s_transaction_end_with_it(engines: Engines, folder: Folder, place: Place) -> None:
    folder.add(1, "self.execute_sql('CREATE TABLE t (id INTEGER)')\nself.execute_sql(\"SET statement_timeout = '5s'\")")
    engine = engines("SET lock_timeout = '20s'")
    before = settings(engine)
    with engine.connect() as connection:
        connection.exec_driver_sql("SET LOCAL lock_timeout = '9s'")
        Migrator(connection, folder.path, lock_timeout=2, statement_timeout=3).migrate()
        assert connection.exec_driver_sql("SHOW lock_timeout").scalar() == "9s"
        connection.commit()
    assert settings(engine) == before


@pytest.mark.parametrize("place", ["postgresql"], indirect=True)
def test_what_was_not_waited_for_is_not_told_as_waited_for(engines: Engines, folder: Folder, place: Place) -> None:
    folder.table(1)
    Migrator(engines(), folder.path).migrate()
    folder.add(2, "self.execute_sql('LOCK TABLE t1 NOWAIT')")
    with holding(engines(), "LOCK TABLE t1"), pytest.raises(DatabaseLocked, match=r"is locked\.\n.*NOWAIT"):
        Migrator(engines(), folder.path).migrate()
