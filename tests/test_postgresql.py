"""PostgreSQL: the same promise, with real processes really killed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from conftest import Folder, failures
from native_databases import scratch_database
from resumable_support import visited
from sqlalchemy import Engine, create_engine, event, text

from sqlmig import (
    ConfigurationError,
    DatabaseNotWritable,
    DatabaseUnavailable,
    MigrationFailed,
    Migrator,
    NotAtomic,
    TakenOver,
    TransactionEnded,
)

Engines = Callable[..., Engine]


@pytest.fixture
def engines() -> Iterator[Engines]:
    """Engines whose tables are in a schema of the test's own."""
    made: list[Engine] = []
    with scratch_database("postgresql") as database:
        url = database.connection.engine.url
        place = {"options": f"-csearch_path={database.scratch}"}

        def make(**options: Any) -> Engine:
            made.append(create_engine(options.pop("url", url), connect_args=place, **options))
            return made[-1]

        yield make
        for engine in made:
            engine.dispose()


@pytest.fixture
def engine(engines: Engines) -> Engine:
    return engines()


@pytest.fixture
def migrator(engine: Engine, folder: Folder) -> Migrator:
    return of(engine, folder)


def of(engine: Any, folder: Folder, **options: Any) -> Migrator:
    return Migrator(engine, folder.path, **options)


def tables(engine: Engine) -> list[str]:
    query = "SELECT relname FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r'"
    with engine.connect() as connection:
        return sorted(name for name in connection.exec_driver_sql(query).scalars() if not name.startswith("migration_"))


def rows(engine: Engine, query: str) -> list[tuple[Any, ...]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.exec_driver_sql(query)]


# Up, down, and what is told


@pytest.mark.parametrize(
    "ending",
    [
        "self.execute_sql('COMMIT')",
        "self.execute_sql('/* at last */ commit work')",
        "self.execute_sql('-- x\\nROLLBACK')",
        "self.execute_sql('INSERT INTO half VALUES (1); COMMIT; BEGIN')",
        "self.execute_sql('END')",
        "self.execute_sql('ABORT')",
        "self.execute_sql('START TRANSACTION')",
        "self.execute_sql(\"PREPARE TRANSACTION 'x'\")",
        "self.connection.commit()",
        "self.connection.rollback()",
        "self.connection.close()",
        "self.connection.connection.commit()",
        "self.connection.connection.cursor().execute('COMMIT')",
        "try: self.execute_sql('COMMIT')\nexcept Exception: pass",
    ],
)
def test_a_migration_does_not_end_its_transaction(
    migrator: Migrator, folder: Folder, engine: Engine, ending: str
) -> None:
    folder.add(1, f"self.execute_sql('CREATE TABLE half (id INTEGER)')\n{ending}")
    with pytest.raises(TransactionEnded):
        migrator.migrate()
    assert migrator.get_current_version() == 0
    assert failures(migrator)
    if "connection.connection" not in ending:
        # The driver's own way ends it before anybody can say no; it is found out, and nothing is recorded as applied.
        assert tables(engine) == []


def test_savepoints_and_names_like_endings(migrator: Migrator, folder: Folder, engine: Engine) -> None:
    up = """self.execute_sql("CREATE TABLE commit_log (id INTEGER PRIMARY KEY, \\"begin\\" TEXT, \\"end\\" TEXT)")
self.execute_sql("SAVEPOINT a")
self.execute_sql("INSERT INTO commit_log VALUES (1, 'COMMIT; ROLLBACK', NULL)")
self.execute_sql("ROLLBACK TO SAVEPOINT a")
self.execute_sql("INSERT INTO commit_log VALUES (2, 'COMMIT;', 'END')")
self.execute_sql("RELEASE SAVEPOINT a")
self.execute_sql("PREPARE two AS SELECT 2")
self.execute_sql("DO $$ BEGIN PERFORM 1; END $$")
try:
    with self.db.transaction():
        self.execute_sql("INSERT INTO commit_log VALUES (2, 'twice', NULL)")
except Exception: pass"""
    folder.add(1, up)
    assert migrator.migrate().applied == [1]
    assert rows(engine, "SELECT id FROM commit_log") == [(2,)]


def test_an_error_that_was_swallowed_is_no_success(migrator: Migrator, folder: Folder, engine: Engine) -> None:
    """PostgreSQL would turn the COMMIT of such a transaction into a ROLLBACK, and say nothing."""
    swallowed = "try: self.execute_sql('x')\nexcept Exception: pass"
    folder.add(1, f"self.execute_sql('CREATE TABLE half (id INTEGER)')\n{swallowed}")
    with pytest.raises(MigrationFailed, match="transaction is aborted"):
        migrator.migrate()
    assert (tables(engine), migrator.get_current_version()) == ([], 0)


@pytest.mark.parametrize("statement", ["COPY made FROM STDIN", "-- out\ncopy (SELECT 1) TO stdout"])
def test_a_copy_with_the_client_is_refused_before_the_driver_is_stuck_in_it(
    migrator: Migrator, folder: Folder, engine: Engine, statement: str
) -> None:
    folder.add(1, f"self.execute_sql('CREATE TABLE made (n INT)')\nself.execute_sql({statement!r})")
    with pytest.raises(MigrationFailed, match=r"COPY from or to the client .* use the driver's own") as caught:
        migrator.migrate()
    assert "Everything that it did was undone" in str(caught.value)
    rows = """
with self.connection.connection.cursor() as cursor, cursor.copy("COPY made FROM STDIN") as copy:
    copy.write_row((7,))
"""
    folder.add(1, f"self.execute_sql('CREATE TABLE made (n INT)')\n{rows}")
    assert migrator.migrate().applied == [1]
    assert migrator.db.fetch_all("SELECT n FROM made") == [(7,)]


def test_a_commit_that_fails_is_recorded_and_gives_the_lock_back(engine: Engine, folder: Folder) -> None:
    folder.table(1)
    up = """self.execute_sql("CREATE TABLE c (t1 INTEGER REFERENCES t1 (id) DEFERRABLE INITIALLY DEFERRED)")
self.execute_sql("INSERT INTO c VALUES (7)")"""
    folder.add(2, up)
    migrator = of(engine, folder)
    with pytest.raises(MigrationFailed) as caught:
        migrator.migrate()
    assert (caught.value.statement, tables(engine)) == ("COMMIT", ["t1"])
    assert [entry["version"] for entry in failures(migrator)] == [2]
    assert rows(engine, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()") == [
        (0,)
    ]


def test_settings_are_given_back(engines: Engines, folder: Folder) -> None:
    """Its records go where they belong, whatever it has set."""
    folder.add(
        1, "self.execute_sql('SET search_path = pg_catalog')\nself.execute_sql(\"SET statement_timeout = '5s'\")"
    )
    folder.table(2)
    engine = engines(pool_size=1, max_overflow=0)
    assert of(engine, folder).migrate().applied == [1, 2]
    assert rows(engine, "SHOW statement_timeout") == [("0",)]
    assert tables(engine) == ["t2"]


# Several at once, and the lock


def test_whoever_waited_finds_it_done(engines: Engines, folder: Folder) -> None:
    """Under REPEATABLE READ as well, where a transaction that began before would not see it."""
    folder.add(1, "import time\ntime.sleep(0.7)\nself.execute_sql('CREATE TABLE t (id INTEGER)')")
    first = threading.Thread(target=lambda: of(engines(), folder).migrate())
    first.start()
    time.sleep(0.3)
    assert of(engines(isolation_level="REPEATABLE READ"), folder).migrate().applied == []
    first.join()


@pytest.mark.parametrize("level", ["AUTOCOMMIT", "SERIALIZABLE", "REPEATABLE READ"])
def test_engines_of_another_isolation(engines: Engines, folder: Folder, level: str) -> None:
    engine = engines(isolation_level=level, pool_size=1, max_overflow=0)
    folder.table(1)
    folder.add(2, "self.execute_sql('CREATE TABLE half (id INTEGER)')\nraise ValueError")
    with pytest.raises(MigrationFailed):
        of(engine, folder).migrate()
    assert tables(engine) == ["t1"]
    with engine.connect() as connection:
        raw: Any = connection.connection.dbapi_connection
        assert raw.autocommit == (level == "AUTOCOMMIT")
        assert connection.get_isolation_level() == ("READ COMMITTED" if raw.autocommit else level)


# Killed


def test_the_server_ends_the_connection(engine: Engine, engines: Engines, folder: Folder) -> None:
    folder.table(1)
    up = """self.execute_sql("CREATE TABLE half (id INTEGER)")
self.execute_sql("SELECT pg_terminate_backend(pg_backend_pid())")
self.execute_sql("SELECT 1")"""
    folder.add(2, up)
    with pytest.raises((DatabaseUnavailable, MigrationFailed), match="connection"):
        of(engine, folder).migrate()
    other = of(engines(), folder)
    assert (tables(other.db.engine), other.get_current_version()) == (["t1"], 1)
    folder.table(2)
    assert of(engine, folder).migrate().applied == [2]


# Outside of a transaction


def test_an_index_is_made_concurrently(engine: Engine, folder: Folder) -> None:
    folder.table(1)
    folder.add(
        2,
        "self.execute_sql('CREATE INDEX CONCURRENTLY ix ON t1 (n)')",
        "self.execute_sql('DROP INDEX CONCURRENTLY ix')",
        extra="transactional = False",
    )
    migrator = of(engine, folder)
    assert migrator.migrate().applied == [1, 2]
    assert migrator.rollback_to_version(0).rolled_back == [2, 1]


# Resumable


# In a caller's transaction


def test_a_joined_transaction_is_the_caller_s(engine: Engine, folder: Folder) -> None:
    folder.table(1)
    with engine.connect() as connection:
        connection.execute(text("CREATE TABLE theirs (id INTEGER)"))
        assert of(connection, folder).migrate().applied == [1]
        assert connection.in_transaction()
        connection.rollback()
    assert tables(engine) == []
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE theirs (id INTEGER)"))
        of(connection, folder).migrate()
    assert tables(engine) == ["t1", "theirs"]
    folder.add(2, "raise ValueError")
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO theirs VALUES (1)"))
        with pytest.raises(MigrationFailed):
            of(connection, folder).migrate()
    assert rows(engine, "SELECT * FROM theirs") == [(1,)]
    folder.add(2, "pass", extra="transactional = False")
    with engine.begin() as connection, pytest.raises(NotAtomic):
        of(connection, folder).migrate()


# Places, and what cannot be


def test_a_server_that_takes_no_writes(engines: Engines, folder: Folder) -> None:
    folder.table(1)
    engine = engines()

    @event.listens_for(engine, "connect")
    def only_read(raw: Any, _: Any) -> None:
        raw.execute("SET default_transaction_read_only = on")
        raw.commit()

    with pytest.raises(DatabaseNotWritable):
        of(engine, folder).migrate()


def test_a_server_that_is_not_there(engine: Engine, engines: Engines, folder: Folder) -> None:
    folder.table(1)
    for url in (engine.url.set(port=1), engine.url.set(database="nowhere_at_all")):
        with pytest.raises(DatabaseUnavailable, match="refused or lost"):
            of(engines(url=url), folder).migrate()


def test_whoever_was_taken_over_stops(
    engine: Engine, engines: Engines, folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its connection was ended by the server: another has the lock, and goes on."""
    visited(folder)
    stolen: list[int] = []
    holder: list[int] = []
    event.listen(engine, "connect", lambda raw, _: holder.append(raw.info.backend_pid))

    def steal(done: int, total: int, message: str) -> None:
        if "rows/s" in message and not stolen:
            with engines().begin() as connection:
                connection.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": holder[0]})
            stolen.extend(of(engines(), folder, lock_timeout=30).migrate().applied)

    monkeypatch.setattr("sqlmig.data.pace._EVERY", 0.0)
    with pytest.raises((DatabaseUnavailable, MigrationFailed, TakenOver)):
        of(engine, folder, progress=steal).migrate()
    assert stolen == [2]
    assert rows(engine, "SELECT DISTINCT done FROM t") == [(1,)]


def test_the_body_of_a_routine_ends_no_transaction(migrator: Migrator, folder: Folder, engine: Engine) -> None:
    body = "CREATE FUNCTION two() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; SELECT CASE WHEN true THEN 2 END; END"
    folder.add(1, f"self.execute_sql('{body}; CREATE TABLE two (id INTEGER)')")
    assert migrator.migrate().applied == [1]
    assert rows(engine, "SELECT two()") == [(2,)]
    folder.add(2, f"self.execute_sql('{body.replace('two', 'three')}; COMMIT')")
    with pytest.raises(TransactionEnded, match="it issued COMMIT"):
        migrator.migrate()


def test_a_caller_s_transaction_that_has_failed_already(folder: Folder, engine: Engine) -> None:
    folder.table(1)
    with engine.connect() as connection:
        with pytest.raises(Exception, match="nonsense"):
            connection.exec_driver_sql("SELECT nonsense")
        for verb in (Migrator.migrate, Migrator.needs_migration, Migrator.get_migration_status):
            with pytest.raises(ConfigurationError, match=r"(?s)has failed already.*Roll it back, then migrate"):
                verb(of(connection, folder))
        connection.rollback()
        assert of(connection, folder).migrate().applied == [1]
