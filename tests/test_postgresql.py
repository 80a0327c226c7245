"""PostgreSQL: the same promise, with real processes really killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest
from conftest import Folder, failures
from native_databases import scratch_database
from resumable_support import in_child
from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.pool import NullPool, StaticPool

from sqlmig import (
    DatabaseLocked,
    DatabaseNotWritable,
    DatabaseTooNew,
    DatabaseUnavailable,
    InterruptedMigration,
    MigrationFailed,
    Migrator,
    NotAtomic,
    TakenOver,
    TransactionEnded,
    UnsupportedDatabase,
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


def test_up_at_head_and_down(migrator: Migrator, folder: Folder, engine: Engine) -> None:
    for version in (1, 2, 3):
        folder.table(version)
    assert (migrator.get_current_version(), migrator.needs_migration()) == (0, True)
    assert tables(engine) == []
    assert migrator.migrate().applied == [1, 2, 3]
    assert tables(engine) == ["t1", "t2", "t3"]
    assert (migrator.get_current_version(), migrator.needs_migration()) == (3, False)
    statements: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *given: statements.append(given[2]))
    assert migrator.migrate().applied == []
    # A boot at head is one read on the pool's connection, which SQLAlchemy does not see.
    assert statements == []
    assert migrator.rollback_to_version(1).rolled_back == [3, 2]
    assert tables(engine) == ["t1"]
    assert migrator.migrate_to_version(2).applied == [2]
    done = [(entry["version"], entry["operation"]) for entry in reversed(migrator.get_migration_history())]
    assert done == [(1, "apply"), (2, "apply"), (3, "apply"), (3, "rollback"), (2, "rollback"), (2, "apply")]
    assert migrator.get_migration_status().pending_versions == [3]
    folder.path.joinpath("003_step_3.py").unlink()
    folder.path.joinpath("002_step_2.py").unlink()
    with pytest.raises(DatabaseTooNew):
        of(engine, folder).migrate()


def test_the_operations_and_data_methods(migrator: Migrator, folder: Folder, engine: Engine) -> None:
    up = """from sqlalchemy import Column, Integer, Text
self.create_table("t", Column("id", Integer, primary_key=True), Column("n", Text))
self.execute_sql("INSERT INTO t VALUES (?, ?)", [(k, "50% ?") for k in range(100)])
self.execute_sql("INSERT INTO t VALUES (:id, ':id')", {"id": 100})
self.add_column("t", Column("m", Integer))
self.backfill("t", "m", lambda id: id * 2)
for rows in self.batches("t", size=30):
    self.update_rows("t", [{"id": row.id, "n": f"{row.n} {row.m}"} for row in rows])
self.create_index("ix_m", "t", ["m"])"""
    folder.add(1, up, "self.drop_table('t')")
    migrator.migrate()
    assert rows(engine, "SELECT n FROM t WHERE id IN (7, 100) ORDER BY id") == [("50% ? 14",), (":id 200",)]
    assert migrator.rollback_to_version(0).rolled_back == [1]


def test_a_failure_is_undone_told_and_mended(migrator: Migrator, folder: Folder, engine: Engine) -> None:
    folder.table(1)
    folder.add(2, "self.execute_sql('CREATE TABLE half (id INTEGER)')\nself.execute_sql('SELECT nothing')")
    with pytest.raises(MigrationFailed, match='column "nothing" does not exist') as caught:
        migrator.migrate()
    assert "statement: SELECT nothing" in str(caught.value)
    assert caught.value.undone
    assert tables(engine) == ["t1"]
    assert failures(migrator)[0]["metadata"]["statement"] == "SELECT nothing"
    folder.table(2)
    assert of(engine, folder).migrate().applied == [2]


def test_all_or_nothing(migrator: Migrator, folder: Folder, engine: Engine) -> None:
    folder.table(1)
    folder.add(2, "raise ValueError")
    with pytest.raises(MigrationFailed):
        migrator.migrate(all_or_nothing=True)
    assert tables(engine) == []
    folder.table(2)
    assert of(engine, folder).migrate(all_or_nothing=True).applied == [1, 2]


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


BOOT = """import sys
from sqlalchemy import create_engine
from sqlmig import Migrator
url, schema, folder = sys.argv[1:]
engine = create_engine(url, connect_args={"options": f"-csearch_path={schema}"})
print(len(Migrator(engine, folder).migrate().applied))"""


def schema_of(engine: Engine) -> str:
    return str(rows(engine, "SELECT current_schema()")[0][0])


def boot(engine: Engine, folder: Folder) -> subprocess.Popen[str]:
    url = engine.url.render_as_string(hide_password=False)
    command = [sys.executable, "-c", BOOT, url, schema_of(engine), str(folder.path)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_eight_processes_at_once(engine: Engine, folder: Folder) -> None:
    for version in range(1, 7):
        folder.table(version)
    processes = [boot(engine, folder) for _ in range(8)]
    told = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0] * 8, told
    assert sum(int(out) for out, _ in told) == 6
    assert [rows(engine, f"SELECT count(*) FROM t{n}") for n in range(1, 7)] == [[(1,)]] * 6
    assert len(of(engine, folder).get_migration_history()) == 6


def test_threads_at_once(engines: Engines, folder: Folder) -> None:
    for version in range(1, 5):
        folder.table(version)
    for options in ({}, {"poolclass": NullPool}, {"poolclass": StaticPool}):
        engine = engines(**options)
        applied: list[int] = []

        def migrate(engine: Engine = engine, applied: list[int] = applied) -> None:
            applied += of(engine, folder).migrate().applied

        threads = [threading.Thread(target=migrate) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert sorted(applied) == [1, 2, 3, 4]
        of(engine, folder).rollback_to_version(0)


def test_a_lock_that_is_not_had_in_time_names_its_holder(engines: Engines, folder: Folder) -> None:
    folder.add(1, "import time\ntime.sleep(1.5)")
    done = threading.Thread(target=lambda: of(engines(), folder).migrate())
    done.start()
    time.sleep(0.6)
    with pytest.raises(DatabaseLocked, match=r"server process \d+ of postgres"):
        of(engines(), folder, lock_timeout=0.2).migrate()
    # Another history of the same database waits for nobody.
    other = Folder(folder.path.parent / "other")
    other.table(1)
    assert of(engines(), other, lock_timeout=0.2, versions_table="v", history_table="h").migrate().applied == [1]
    done.join()


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


class DeadlyEngine:
    """Kills its process when the statement of a number is about to run; a raw read of the driver's does not count."""

    def __init__(self, engine: Engine, at: int) -> None:
        self.at, self.count = at, 0
        event.listen(engine, "before_cursor_execute", self._before)

    def _before(self, *_: Any) -> None:
        self.count += 1
        if self.count == self.at:
            os.kill(os.getpid(), signal.SIGKILL)


def in_fork(engines: Engines, folder: Folder, at: int) -> int:
    def migrate() -> None:
        engine = engines(poolclass=NullPool)
        DeadlyEngine(engine, at)
        of(engine, folder).migrate()

    return in_child(migrate)


def kills(engines: Engines, engine: Engine, folder: Folder, first: int, made: str, start: int = 0) -> Iterator[int]:
    """
    The number of each statement before which a process was killed, and of the first that it did not come to.

    Args:
        made: The tables that are dropped after each.
        start: The version from which the process migrates.
    """
    for at in count(first):
        of(engine, folder).migrate_to_version(start)
        ended = in_fork(engines, folder, at)
        yield at
        with engine.begin() as connection:
            connection.exec_driver_sql(f"DROP TABLE {made}, migration_versions, migration_history")
        if not ended:
            return
        assert ended == signal.SIGKILL


def test_killed_at_every_statement(engines: Engines, folder: Folder) -> None:
    for version in (1, 2):
        folder.table(version)
    engine = engines(poolclass=NullPool)
    at = 0
    for at in kills(engines, engine, folder, 1, "t1, t2"):
        there = tables(engine)
        versions = of(engine, folder).get_migration_status().applied_versions
        assert there == [f"t{version}" for version in versions], at
        assert of(engine, folder).migrate().applied == [v for v in (1, 2) if v not in versions]
        assert [rows(engine, f"SELECT count(*) FROM t{n}") for n in (1, 2)] == [[(1,)], [(1,)]]
    assert at > 15


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


def test_one_that_fails_outside_a_transaction_is_marked(engine: Engine, folder: Folder) -> None:
    folder.add(
        1, "self.execute_sql('CREATE TABLE stays (id INTEGER)')\nraise ValueError", extra="transactional = False"
    )
    migrator = of(engine, folder)
    with pytest.raises(MigrationFailed) as caught:
        migrator.migrate()
    assert not caught.value.undone
    assert tables(engine) == ["stays"]
    with pytest.raises(InterruptedMigration):
        of(engine, folder).migrate()
    assert "pending again" in migrator.repair()[0]


def test_a_transaction_that_is_left_open_is_undone(engine: Engine, folder: Folder) -> None:
    up = "self.execute_sql('BEGIN')\nself.execute_sql('CREATE TABLE half (id INTEGER)')"
    folder.add(1, up, extra="transactional = False")
    with pytest.raises(TransactionEnded, match="did not end it"):
        of(engine, folder).migrate()
    assert tables(engine) == []


# Resumable


COUNTED = """for rows in self.batches("t", size=4):
    self.execute_sql("UPDATE t SET done = done + 1 WHERE id BETWEEN ? AND ?", (rows[0].id, rows[-1].id))"""


def counted(folder: Folder, stop: str = "") -> None:
    up = """self.execute_sql("CREATE TABLE t (id INTEGER PRIMARY KEY, done INTEGER NOT NULL DEFAULT 0)")
self.execute_sql("INSERT INTO t SELECT generate_series(1, 14)")"""
    folder.add(1, up)
    folder.add(2, COUNTED + stop, extra="resumable = True")


def test_a_resumable_one_is_killed_at_every_statement(engines: Engines, folder: Folder) -> None:
    counted(folder)
    engine = engines(poolclass=NullPool)
    at = 0
    for at in kills(engines, engine, folder, 11, "t", start=1):
        assert of(engine, folder).migrate()
        assert rows(engine, "SELECT DISTINCT done FROM t") == [(1,)], at
    assert at > 30


def test_a_resumable_one_that_fails_goes_on(engine: Engine, folder: Folder) -> None:
    counted(folder, "\n    if rows[0].id == 9: raise ValueError")
    migrator = of(engine, folder)
    with pytest.raises(MigrationFailed, match="8 of 14 rows"):
        migrator.migrate()
    assert migrator.get_migration_status().progress[2]["rows"] == 8
    counted(folder)
    assert of(engine, folder).migrate().applied == [2]
    assert rows(engine, "SELECT DISTINCT done FROM t") == [(1,)]


def test_a_resumable_loop_that_only_reads_is_read_again(engine: Engine, folder: Folder) -> None:
    counted(folder)
    collect = "found = []\nfor rows in self.batches('t', size=4):\n    found += [row.id for row in rows]{}\n"
    write = "self.execute_sql('UPDATE t SET done = done + 1 WHERE id = ?', [(one,) for one in found])"
    folder.add(2, collect.format("\n    if rows[0].id == 9: raise ValueError") + write, extra="resumable = True")
    with pytest.raises(MigrationFailed):
        of(engine, folder).migrate()
    folder.add(2, collect.format("") + write, extra="resumable = True")
    of(engine, folder).migrate()
    assert rows(engine, "SELECT DISTINCT done FROM t") == [(1,)]


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


def test_records_in_another_schema(engine: Engine, folder: Folder) -> None:
    place = f"{schema_of(engine)}_records"
    folder.table(1)
    with engine.begin() as connection:
        connection.exec_driver_sql(f"CREATE SCHEMA {place}")
    try:
        migrator = of(engine, folder, schema=place)
        assert migrator.migrate().applied == [1]
        assert not migrator.needs_migration()
        assert rows(engine, f"SELECT version FROM {place}.migration_versions") == [(1,)]
        assert of(engine, folder).needs_migration()
    finally:
        with engine.begin() as connection:
            connection.exec_driver_sql(f"DROP SCHEMA {place} CASCADE")


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


def test_what_is_for_sqlite_only_is_refused(engine: Engine, folder: Folder) -> None:
    folder.table(1)
    for ask in ("get_performance_statistics", "validate_schema", "optimize_database_performance"):
        with pytest.raises(UnsupportedDatabase, match="for SQLite only"):
            getattr(of(engine, folder), ask)()
    assert tables(engine) == []
    of(engine, folder).migrate()
    info = of(engine, folder).get_schema_info()
    assert info.tables["t1"].row_count == 1


def test_whoever_was_taken_over_stops(
    engine: Engine, engines: Engines, folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its connection was ended by the server: another has the lock, and goes on."""
    counted(folder)
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
