"""Indexes that a CREATE INDEX CONCURRENTLY leaves behind when it fails or is killed: told, and not taken for whole."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from conftest import Folder, failures
from native_databases import scratch_database
from sqlalchemy import Engine, create_engine

from sqlmig import DatabaseUnavailable, InterruptedMigration, InvalidIndex, MigrationError, MigrationFailed, Migrator

UNIQUE = "CREATE UNIQUE INDEX CONCURRENTLY ix_n ON t1 (n)"
LOOSE = "transactional = False"


@pytest.fixture
def engine() -> Iterator[Engine]:
    """An engine whose tables are in a schema of the test's own."""
    with scratch_database("postgresql") as database:
        place = {"options": f"-csearch_path={database.scratch}"}
        made = create_engine(database.connection.engine.url, connect_args=place)
        yield made
        made.dispose()


@pytest.fixture
def migrator(engine: Engine, folder: Folder) -> Migrator:
    """Version 1: a table in which two rows have the same value."""
    folder.table(1)
    migrator = Migrator(engine, folder.path)
    migrator.migrate()
    say(engine, "INSERT INTO t1 VALUES (2, 'row')")
    return migrator


def say(engine: Engine, *statements: str) -> None:
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def valid(engine: Engine, index: str = "ix_n") -> bool | None:
    """Whether queries can use an index; None where there is none."""
    with engine.connect() as connection:
        query = f"SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('{index}')"
        return connection.exec_driver_sql(query).scalar()


def failed(migrator: Migrator, folder: Folder, up: str = f"self.execute_sql('{UNIQUE}')") -> MigrationError:
    folder.add(2, up, "self.drop_index_if_exists('ix_n')", extra=LOOSE)
    with pytest.raises((MigrationFailed, DatabaseUnavailable)) as caught:
        migrator.migrate()
    return caught.value


def test_what_a_failed_one_has_left_is_told(migrator: Migrator, folder: Folder, engine: Engine) -> None:
    said = str(failed(migrator, folder))
    assert valid(engine) is False
    left = "No query can use what is left of an index: ix_n of t1 (DROP INDEX ix_n)"
    assert "could not create unique index" in said
    assert left in said
    assert left in failures(migrator)[0]["error_message"]
    with pytest.raises(InterruptedMigration) as caught:
        Migrator(engine, folder.path).migrate()
    assert left in str(caught.value)
    say(engine, "DROP INDEX ix_n", "DELETE FROM t1 WHERE id = 2")
    migrator.repair(interrupted="retry")
    assert migrator.migrate().applied == [2]
    assert valid(engine)


def test_it_is_not_taken_for_whole_by_if_not_exists(migrator: Migrator, folder: Folder, engine: Engine) -> None:
    """PostgreSQL says "already exists, skipping" of it, and that would be the end of the story."""
    failed(migrator, folder)
    say(engine, "DELETE FROM t1 WHERE id = 2")
    migrator.repair(interrupted="retry")
    error = failed(migrator, folder, f"self.execute_sql('{UNIQUE.replace('ix_n', 'IF NOT EXISTS ix_n')}')")
    assert isinstance(error.__cause__, InvalidIndex)
    assert "the index ix_n of t1 is invalid: no query can use it" in str(error)
    assert "Drop it: DROP INDEX ix_n." in str(error)
    assert migrator.get_current_version() == 1
    say(engine, "DROP INDEX ix_n")
    migrator.repair(interrupted="retry")
    assert migrator.migrate().applied == [2]


@pytest.mark.parametrize(
    "up",
    [
        f"self.create_index_if_not_exists('ix_n', '{UNIQUE}')",
        "self.create_index('ix_n', 't1', ['n'], unique=True, if_not_exists=True)",
    ],
)
@pytest.mark.parametrize("extra", [LOOSE, ""])
def test_the_operations_make_it_anew(migrator: Migrator, folder: Folder, engine: Engine, up: str, extra: str) -> None:
    failed(migrator, folder)
    say(engine, "DELETE FROM t1 WHERE id = 2")
    migrator.repair(interrupted="retry")
    folder.add(2, up if extra else up.replace("CONCURRENTLY ", ""), extra=extra)
    assert Migrator(engine, folder.path).migrate().applied == [2]
    assert valid(engine)
    # One that is whole is left alone.
    folder.add(3, up, extra=LOOSE)
    assert Migrator(engine, folder.path).migrate().applied == [3]


def test_one_whose_backend_is_ended_in_the_middle(migrator: Migrator, folder: Folder, engine: Engine) -> None:
    say(engine, "DELETE FROM t1 WHERE id = 2")
    with engine.connect() as writer:
        # It has to wait for whoever has written into the table and has not ended.
        writer.exec_driver_sql("INSERT INTO t1 VALUES (3, 'other')")
        ending = threading.Thread(target=end_when_it_waits, args=[engine])
        ending.start()
        error = failed(migrator, folder)
        ending.join()
    assert isinstance(error, DatabaseUnavailable)
    assert "it runs outside a transaction, and may be half done" in str(error)
    assert valid(engine) is False
    with pytest.raises(InterruptedMigration, match=r"left of an index: ix_n of t1 \(DROP INDEX ix_n\)"):
        Migrator(engine, folder.path).migrate()


def end_when_it_waits(engine: Engine) -> None:
    """End the server process that builds the index, once it is half done."""
    place = "relid = to_regclass('t1') AND phase LIKE 'waiting for writers%'"
    query = f"SELECT pg_terminate_backend(pid) FROM pg_stat_progress_create_index WHERE {place}"
    for _ in range(500):
        with engine.connect() as connection:
            if connection.exec_driver_sql(query, execution_options={"no_parameters": True}).scalar():
                return
        time.sleep(0.02)


def test_one_that_somebody_builds_right_now_is_no_wreck(migrator: Migrator, folder: Folder, engine: Engine) -> None:
    folder.add(2, "self.execute_sql('CREATE INDEX CONCURRENTLY ix_id ON t1 (id, n)')", extra=LOOSE)
    say(engine, "CREATE TABLE other (n INTEGER)")
    with engine.connect() as writer:
        writer.exec_driver_sql("INSERT INTO other VALUES (1)")
        building = threading.Thread(target=say, args=[engine, "CREATE INDEX CONCURRENTLY ix_other ON other (n)"])
        building.start()
        for _ in range(500):
            if valid(engine, "ix_other") is False:
                break
            time.sleep(0.02)
        folder.add(3, "raise ValueError", extra=LOOSE)
        folder.add(2, "pass")
        with pytest.raises(MigrationFailed) as caught:
            Migrator(engine, folder.path).migrate()
        assert "ix_other" not in str(caught.value)
        writer.rollback()
        building.join()
    assert valid(engine, "ix_other")


def test_it_is_told_with_its_schema(migrator: Migrator, folder: Folder, engine: Engine) -> None:
    with engine.connect() as connection:
        schema = connection.exec_driver_sql("SELECT current_schema()").scalar()
    up = f"self.execute_sql('SET search_path = pg_catalog')\nself.execute_sql('{UNIQUE.replace('t1', f'{schema}.t1')}')"
    assert "ix_n of t1 (DROP INDEX ix_n)" in str(failed(migrator, folder, up))
    migrator.repair(interrupted="retry")
    folder.add(2, "self.execute_sql('CREATE INDEX CONCURRENTLY ix_id ON other (id)')", extra=LOOSE)
    say(engine, "CREATE TABLE other (id INTEGER)")
    assert migrator.migrate().applied == [2], "what is left of another table is somebody else's affair"


def test_what_is_left_of_a_reindex_is_told(migrator: Migrator, folder: Folder, engine: Engine) -> None:
    """It is called ix_n_ccnew, and no statement says so."""
    say(engine, "CREATE INDEX ix_n ON t1 (n)")
    folder.add(2, "self.execute_sql('REINDEX TABLE CONCURRENTLY t1')", extra=LOOSE)
    with engine.connect() as connection:
        schema = connection.exec_driver_sql("SELECT current_schema()").scalar()
    # As a killed one leaves it.
    catalogue = f"'{schema}.ix_n_ccnew'::regclass"
    say(
        engine,
        "CREATE INDEX ix_n_ccnew ON t1 (n)",
        f"UPDATE pg_index SET indisvalid = false WHERE indexrelid = {catalogue}",
    )
    with pytest.raises(MigrationFailed, match="the index ix_n_ccnew of t1 is invalid"):
        migrator.migrate()


def test_what_was_there_before_is_not_laid_to_the_next_one(migrator: Migrator, folder: Folder, engine: Engine) -> None:
    """On the same table, and no statement names it."""
    failed(migrator, folder)
    migrator.repair(interrupted="retry")
    folder.add(2, "self.execute_sql('CREATE INDEX CONCURRENTLY ix_fine ON t1 (n)')", extra=LOOSE)
    assert migrator.migrate().applied == [2]
    assert valid(engine, "ix_n") is False
    folder.add(3, "self.execute_sql('CREATE INDEX CONCURRENTLY IF NOT EXISTS ix_n ON t1 (n)')", extra=LOOSE)
    with pytest.raises(MigrationFailed, match="the index ix_n of t1 is invalid"):
        migrator.migrate()
