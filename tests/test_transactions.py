"""Transactions are real on every engine that an application may have made."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from conftest import Folder, contents, failures
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.pool import NullPool, QueuePool, SingletonThreadPool, StaticPool

from sqlmig import DatabaseConnection, DatabaseLocked, MigrationFailed, Migrator, NotAtomic, TransactionEnded


def recipe(url: str, begin: str = "BEGIN") -> Engine:
    """The recipe of SQLAlchemy's documentation for SQLite transactions."""
    engine = create_engine(url)

    @event.listens_for(engine, "connect")
    def connect(dbapi_connection: sqlite3.Connection, _: object) -> None:
        dbapi_connection.isolation_level = None

    @event.listens_for(engine, "begin")
    def begin_(connection) -> None:  # type: ignore[no-untyped-def]
        connection.exec_driver_sql(begin)

    return engine


def wal(url: str) -> Engine:
    engine = create_engine(url)
    event.listen(engine, "connect", lambda raw, _: raw.execute("PRAGMA journal_mode = WAL"))
    return engine


ENGINES: dict[str, Callable[[str], Engine]] = {
    "default": create_engine,
    "recipe": recipe,
    "recipe-immediate": lambda url: recipe(url, "BEGIN IMMEDIATE"),
    "autocommit-engine": lambda url: create_engine(url, isolation_level="AUTOCOMMIT"),
    "null-pool": lambda url: create_engine(url, poolclass=NullPool),
    "queue-pool-of-one": lambda url: create_engine(url, poolclass=QueuePool, pool_size=1, max_overflow=0),
    "static-pool": lambda url: create_engine(url, poolclass=StaticPool),
    "singleton": lambda url: create_engine(url, poolclass=SingletonThreadPool),
    "memory": lambda url: create_engine("sqlite://"),
    "memory-static": lambda url: create_engine("sqlite://", poolclass=StaticPool),
    "wal": wal,
}
if sys.version_info >= (3, 12):
    ENGINES["pep-249"] = lambda url: create_engine(url, connect_args={"autocommit": False})
    ENGINES["driver-autocommit"] = lambda url: create_engine(url, connect_args={"autocommit": True})


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest, url: str) -> Engine:
    return ENGINES[request.param](url)


HALF = """self.execute_sql("CREATE TABLE half (id INTEGER)")
self.execute_sql("INSERT INTO t1 (n) VALUES ('x')")
{}"""


def test_a_failure_undoes_schema_and_rows(engine: Engine, folder: Folder) -> None:
    folder.table(1)
    migrator = Migrator(engine, folder.path)
    migrator.migrate()
    before = contents(engine)
    folder.add(2, HALF.format("self.execute_sql('INSERT INTO nowhere VALUES (1)')"))
    with pytest.raises(MigrationFailed):
        migrator.migrate()
    assert contents(engine) == before
    assert len(failures(migrator)) == 1
    folder.table(2)
    assert migrator.migrate().applied == [2]
    assert migrator.rollback_to_version(0).rolled_back == [2, 1]
    assert migrator.migrate(all_or_nothing=True).applied == [1, 2]


@pytest.mark.parametrize(
    "ending",
    [
        "self.execute_sql('COMMIT')",
        "self.execute_sql('ROLLBACK')",
        "self.execute_sql('END TRANSACTION')",
        "self.execute_sql('COMMIT /* sqlmig */')",
        "self.connection.commit()",
        "self.connection.rollback()",
        "self.connection.connection.dbapi_connection.execute('COMMIT')",
        "self.connection.connection.dbapi_connection.cursor().execute('commit')",
        "self.connection.connection.dbapi_connection.executescript('CREATE TABLE b (id); COMMIT;')",
        "self.execute_sql('BEGIN')",
        "try: self.execute_sql('COMMIT')\nexcept Exception: pass",
        "self.execute_sql('CREATE TABLE u (id UNIQUE)'); self.execute_sql('INSERT INTO u VALUES (1)')\n"
        "try: self.execute_sql('INSERT OR ROLLBACK INTO u VALUES (1)')\nexcept Exception: pass\n"
        "self.execute_sql('CREATE TABLE outside (id)')",
    ],
)
def test_a_migration_that_ends_its_transaction_is_stopped_and_undone(
    engine: Engine, folder: Folder, ending: str
) -> None:
    folder.table(1)
    migrator = Migrator(engine, folder.path)
    migrator.migrate()
    before = contents(engine)
    folder.add(2, HALF.format(ending))
    with pytest.raises(TransactionEnded) as caught:
        migrator.migrate()
    assert caught.value.version == 2
    assert contents(engine) == before
    assert len(failures(migrator)) == 1
    folder.table(2)
    assert migrator.migrate().applied == [2]


def test_a_transaction_inside_up_is_a_savepoint(engine: Engine, folder: Folder) -> None:
    folder.add(
        1,
        """self.execute_sql("CREATE TABLE t (id INTEGER)")
try:
    with self.db.transaction():
        self.execute_sql("INSERT INTO t VALUES (1)")
        raise KeyError
except KeyError:
    pass
with self.db.transaction():
    self.execute_sql("INSERT INTO t VALUES (2)")""",
    )
    Migrator(engine, folder.path).migrate()
    assert contents(engine)["rows"]["t"] == [(2,)]


def test_the_application_finds_its_connection_as_it_was(engine: Engine, folder: Folder) -> None:
    def settings() -> list[object]:
        with engine.connect() as connection:
            raw = connection.connection.dbapi_connection
            assert raw is not None
            busy = connection.exec_driver_sql("PRAGMA busy_timeout").scalar()
            return [raw.isolation_level, getattr(raw, "autocommit", None), busy]

    before = settings()
    folder.table(1)
    folder.add(2, "raise ValueError")
    with pytest.raises(MigrationFailed):
        Migrator(engine, folder.path).migrate()
    assert settings() == before


def test_a_commit_that_sqlmig_made_before_is_still_refused(folder: Folder, url: str) -> None:
    """sqlite3 keeps compiled statements, and a kept one does not ask the authorizer."""
    engine = create_engine(url, poolclass=StaticPool)
    with engine.connect() as connection:
        raw = connection.connection.dbapi_connection
        assert raw is not None
        raw.execute("BEGIN")
        raw.execute("COMMIT")
    folder.add(1, "self.connection.connection.dbapi_connection.execute('COMMIT')")
    with pytest.raises(TransactionEnded):
        Migrator(engine, folder.path).migrate()


@pytest.mark.parametrize("engine", sorted(ENGINES.keys() - {"autocommit-engine", "driver-autocommit"}), indirect=True)
def test_joined_connection_is_never_committed(engine: Engine, folder: Folder) -> None:
    with engine.connect() as connection:
        folder.table(1)
        assert Migrator(connection, folder.path).migrate().applied == [1]
        assert Migrator(connection, folder.path).migrate().applied == []
        connection.rollback()
        assert Migrator(connection, folder.path).get_current_version() == 0
        folder.add(2, HALF.format("raise ValueError"))
        with pytest.raises(MigrationFailed):
            Migrator(connection, folder.path).migrate()
        assert Migrator(connection, folder.path).get_current_version() == 1
        connection.commit()
    assert Migrator(engine, folder.path).get_current_version() == 1
    assert [row[1] for row in contents(engine)["schema"]] == ["t1"]


@pytest.mark.parametrize("engine", ["autocommit-engine"], indirect=True)
def test_a_connection_without_transactions_is_given_real_ones(engine: Engine, folder: Folder) -> None:
    folder.table(1)
    folder.add(2, HALF.format("raise ValueError"))
    with engine.connect() as connection, pytest.raises(MigrationFailed):
        Migrator(connection, folder.path).migrate()
    assert [row[1] for row in contents(engine)["schema"]] == ["t1"]
    assert Migrator(engine, folder.path).get_current_version() == 1


def test_joined_connection_keeps_the_callers_own_work(folder: Folder, url: str) -> None:
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE mine (id INTEGER)")
        connection.exec_driver_sql("INSERT INTO mine VALUES (1)")
        folder.add(1, "self.execute_sql('COMMIT')")
        with pytest.raises(TransactionEnded):
            Migrator(connection, folder.path).migrate()
        folder.add(1, "self.execute_sql('RELEASE sqlmig_step')")
        with pytest.raises(TransactionEnded):
            Migrator(connection, folder.path).migrate()
        folder.add(1, 'self.execute_sql("VACUUM")', extra="transactional = False")
        with pytest.raises(NotAtomic, match="Connection that was handed in"):
            Migrator(connection, folder.path).migrate()
    assert contents(engine)["rows"]["mine"] == [(1,)]


def test_a_joined_reader_that_is_too_old_to_write(folder: Folder, url: str) -> None:
    engine = wal(url)
    Migrator(engine, folder.path).version_tracker.create_tables_if_not_exist()
    folder.table(1)
    with engine.connect() as reader:
        reader.exec_driver_sql("BEGIN")
        reader.exec_driver_sql("SELECT * FROM migration_versions").all()
        with engine.begin() as writer:
            writer.exec_driver_sql("CREATE TABLE other (id)")
        with pytest.raises(DatabaseLocked):
            Migrator(reader, folder.path).migrate()


def test_attached_files_under_wal(folder: Folder, url: str, tmp_path: Path) -> None:
    engine = create_engine(url)

    @event.listens_for(engine, "connect")
    def attach(raw: sqlite3.Connection, _: object) -> None:
        raw.execute("PRAGMA journal_mode = WAL")
        raw.execute(f"ATTACH '{tmp_path / 'other.db'}' AS other")

    folder.add(1, "self.execute_sql('CREATE TABLE other.t (id)')")
    with pytest.raises(NotAtomic, match="other"):
        Migrator(engine, folder.path).migrate(all_or_nothing=True)
    assert Migrator(engine, folder.path).migrate().applied == [1]


def test_a_reference_that_is_still_broken_at_the_commit(folder: Folder, url: str) -> None:
    engine = create_engine(url)
    event.listen(engine, "connect", lambda raw, _: raw.execute("PRAGMA foreign_keys = ON"))
    folder.add(
        1,
        """self.execute_sql("CREATE TABLE p (id INTEGER PRIMARY KEY)")
self.execute_sql("CREATE TABLE c (p REFERENCES p DEFERRABLE INITIALLY DEFERRED)")""",
    )
    folder.add(2, 'self.execute_sql("INSERT INTO c VALUES (7)")')
    migrator = Migrator(engine, folder.path)
    for together in (False, True):
        with pytest.raises(MigrationFailed, match="FOREIGN KEY constraint failed") as caught:
            migrator.migrate(all_or_nothing=together)
        assert caught.value.version == 2
    assert contents(engine)["rows"] == {"p": [], "c": []}
    assert [entry["version"] for entry in failures(migrator)] == [2, 2]


LOOSE = "transactional = False"


def test_transactions_of_a_loose_migration_are_its_own(engine: Engine, folder: Folder) -> None:
    folder.add(
        1,
        """self.execute_sql("CREATE TABLE t (id INTEGER)")
with self.db.transaction():
    self.execute_sql("INSERT INTO t VALUES (1)")
    with self.db.transaction():
        self.execute_sql("INSERT INTO t VALUES (2)")
try:
    with self.db.transaction():
        self.execute_sql("INSERT INTO t VALUES (3)")
        raise KeyError
except KeyError:
    pass
self.execute_sql("BEGIN")
self.execute_sql("INSERT INTO t VALUES (4)")
self.execute_sql("COMMIT")""",
        extra=LOOSE,
    )
    folder.add(2, "self.execute_sql('INSERT INTO t VALUES (5)'); self.execute_sql('COMMIT')")
    migrator = Migrator(engine, folder.path)
    # sqlite3 has the first migration's COMMIT compiled; the second one's is refused all the same.
    with pytest.raises(TransactionEnded, match="Migration 2"):
        migrator.migrate()
    assert contents(engine)["rows"]["t"] == [(1,), (2,), (4,)]
    assert migrator.get_current_version() == 1


def test_a_loose_migration_that_leaves_a_transaction_open(engine: Engine, folder: Folder) -> None:
    folder.add(1, "self.execute_sql('BEGIN'); self.execute_sql('CREATE TABLE half (id)')", extra=LOOSE)
    migrator = Migrator(engine, folder.path)
    with pytest.raises(TransactionEnded, match="began a transaction and did not end it"):
        migrator.migrate()
    assert contents(engine)["schema"] == []
    assert migrator.get_migration_status().interrupted_versions == [1]


def test_a_query_that_is_left_open(engine: Engine, folder: Folder) -> None:
    folder.table(1)
    folder.add(
        2,
        """kept = self.db.execute("SELECT id FROM t1 UNION ALL SELECT 2")
assert kept.fetchone()[0] == 1
assert self.db.fetch_one("SELECT id FROM t1 UNION ALL SELECT 2")[0] == 1
self.kept = kept""",
    )
    assert Migrator(engine, folder.path).migrate().applied == [1, 2]


def test_a_failing_progress_callback_undoes_nothing(folder: Folder, url: str, caplog: pytest.LogCaptureFixture) -> None:
    folder.table(1)
    folder.table(2)
    migrator = Migrator(url, folder.path, progress=lambda *_: 1 / 0)
    assert migrator.migrate().applied == [1, 2]
    assert [record.message for record in caplog.records] == ["the progress callback failed, and is not called again"]


@pytest.mark.parametrize("engine", ENGINES, indirect=True)
def test_database_connections_commit_and_undo(engine: Engine) -> None:
    db = DatabaseConnection(engine)
    db.execute("CREATE TABLE t (id INTEGER)")
    with db.transaction():
        db.execute("INSERT INTO t VALUES (?)", (1,))
        with suppress(ZeroDivisionError), db.transaction():
            db.execute("INSERT INTO t VALUES (2)")
            raise ZeroDivisionError
    with suppress(ZeroDivisionError), db.transaction():
        db.execute("INSERT INTO t VALUES (3)")
        db.execute("CREATE TABLE u (id INTEGER)")
        raise ZeroDivisionError
    with db.reading() as connection:
        assert connection.exec_driver_sql("SELECT id FROM t").all() == [(1,)]
    db.execute("INSERT INTO t VALUES (4)")
    assert [row["id"] for row in db.fetch_all("SELECT id FROM t")] == [1, 4]
    assert contents(engine)["rows"] == {"t": [(1,), (4,)]}
