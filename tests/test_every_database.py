"""
The promise, on every database by the same tests.

What a database cannot do is told by `place.undoes_ddl`; `proves` says what a test shows of a row of the README's
table, and on which databases it runs.
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from conftest import Folder, failures
from places import Place, at_once
from resumable_support import visited
from sqlalchemy import Column, Integer, MetaData, Numeric, String, Table, event, text
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import NullPool, StaticPool

import sqlmig
from sqlmig import (
    ConfigurationError,
    DatabaseLocked,
    DatabaseTooNew,
    DataLossError,
    InterruptedMigration,
    MigrationFailed,
    NotAtomic,
    RollbackNotSupported,
    TransactionEnded,
    UnknownVersion,
    UnsupportedDatabase,
    ValidationFailed,
)

proves = pytest.mark.proves
YES = {"sqlite": "yes", "postgresql": "yes", "mariadb": "yes"}
UNDONE = {"sqlite": "yes", "postgresql": "yes", "mariadb": "without DDL"}

WRITTEN = "self.execute_sql('INSERT INTO t1 (id, n) VALUES (2, ?)', ('two',))\n"
MADE = "self.execute_sql('CREATE TABLE half (id INTEGER)')\n"
WRONG = "self.execute_sql('INSERT INTO nowhere VALUES (?)', ('secret',))\n"
LOOSE = "transactional = False"


def half(place: Place) -> str:
    """The beginning of a migration that can be undone."""
    return MADE + WRITTEN if place.undoes_ddl else WRITTEN


# Up, down, and what is told


@proves("A boot at head is one small read", **YES)
def test_up_at_head_and_down(place: Place, folder: Folder) -> None:
    engine = place.engine()
    migrator = place.migrator(folder, engine)
    for version in (1, 2, 3):
        folder.table(version)
    assert (migrator.get_current_version(), migrator.needs_migration()) == (0, True)
    assert place.tables(all_=True) == []
    result = migrator.migrate()
    assert (result.applied, result.from_version, result.to_version) == ([1, 2, 3], 0, 3)
    assert place.tables() == ["t1", "t2", "t3"]
    assert (migrator.get_current_version(), migrator.needs_migration()) == (3, False)
    statements: list[str] = []
    event.listen(migrator.db.engine, "before_cursor_execute", lambda *given: statements.append(given[2]))
    assert place.migrator(folder, engine).migrate().applied == []
    # It is on the pool's connection, which SQLAlchemy does not see.
    assert statements == []
    assert migrator.rollback_to_version(1).rolled_back == [3, 2]
    assert place.tables() == ["t1"]
    assert migrator.migrate_to_version(2).applied == [2]
    done = [(entry["version"], entry["operation"]) for entry in reversed(migrator.get_migration_history())]
    assert done == [(1, "apply"), (2, "apply"), (3, "apply"), (3, "rollback"), (2, "rollback"), (2, "apply")]
    assert migrator.get_migration_status().pending_versions == [3]
    folder.path.joinpath("003_step_3.py").unlink()
    folder.path.joinpath("002_step_2.py").unlink()
    with pytest.raises(DatabaseTooNew):
        place.migrator(folder, engine).migrate()


@proves("A boot at head is one small read", **YES)
def test_versions_with_gaps_cost_one_read_as_well(place: Place, folder: Folder) -> None:
    """And those of a clock, which no INT would hold."""
    for version in range(20240101120000, 20240101120180, 3):
        folder.add(version, name=f"{version}_step.py")
    engine = place.engine()
    names = {"versions_table": "v", "history_table": "h", "out_of_order": "apply"}
    migrator = place.migrator(folder, engine, **names)
    assert len(migrator.migrate().applied) == 60
    statements: list[str] = []
    event.listen(migrator.db.engine, "before_cursor_execute", lambda *given: statements.append(given[2]))
    assert place.migrator(folder, engine, **names).migrate().applied == []
    assert statements == []
    assert migrator.get_current_version() == 20240101120177


@proves("Schema operations, batches, backfills; values by `?` and `:name`", **YES)
def test_the_operations_and_data_methods(place: Place, folder: Folder) -> None:
    up = """from sqlalchemy import Column, Integer, String
self.create_table("t", Column("id", Integer, primary_key=True, autoincrement=False), Column("n", String(40)))
self.execute_sql("INSERT INTO t VALUES (?, ?)", [(k, "50% ?") for k in range(100)])
self.execute_sql("INSERT INTO t VALUES (:id, ':id')", {"id": 100})
self.add_column("t", Column("m", Integer))
self.backfill("t", "m", lambda id: id * 2)
for rows in self.batches("t", size=30):
    self.update_rows("t", [{"id": row.id, "n": f"{row.n} {row.m}"} for row in rows])
self.create_index("ix_m", "t", ["m"])"""
    folder.add(1, up, "self.drop_table('t')")
    migrator = place.migrator(folder)
    migrator.migrate()
    assert place.rows("SELECT n FROM t WHERE id IN (7, 100) ORDER BY id") == [("50% ? 14",), (":id 200",)]
    assert [loss.count for loss in migrator.get_rollback_losses(0)] == [101]
    assert migrator.rollback_to_version(0).rolled_back == [1]
    assert place.tables() == []


@proves("Migrations in plain SQL, with sections for each database", **YES)
def test_plain_sql(place: Place, folder: Folder) -> None:
    folder.table(1)
    sections = [f"-- sqlmig: up {word}\nINSERT INTO t1 VALUES (2, '{word}; ? %');" for word in YES]
    sections = [f"{section}\nSELECT * FROM t1;" for section in sections]
    folder.sql(2, "-- sqlmig: depends: 1", *sections, "-- sqlmig: down", "DELETE FROM t1", "WHERE id = 2;")
    migrator = place.migrator(folder)
    assert migrator.migrate().applied == [1, 2]
    assert place.rows("SELECT n FROM t1 WHERE id = 2") == [(f"{place.database}; ? %",)]
    assert migrator.rollback_to_version(1).rolled_back == [2]
    folder.sql(2, "-- sqlmig: up", "DELETE FROM t1;", "", "INSERT INTO nowhere", "VALUES (1);")
    with pytest.raises(MigrationFailed, match=r"statement in 002_step_2\.sql:4: INSERT INTO nowhere") as caught:
        migrator.migrate()
    assert caught.value.place == (folder.path / "002_step_2.sql", 4)
    assert place.rows("SELECT id FROM t1") == [(1,)]


@proves("Models, migrations and the database compared: `check()`", **YES)
@proves("Migrations written from the models: `sqlmig new --auto`", **YES)
def test_models_are_followed_and_drift_is_told(place: Place, folder: Folder) -> None:
    metadata = MetaData()
    items = Table("items", metadata, Column("id", Integer, primary_key=True), Column("name", String(20), index=True))
    migrator = place.migrator(folder)
    first = migrator.create_migration("items", metadata)
    assert first, str(first)
    migrator.migrate()
    assert migrator.check(metadata)
    if place.step > 1:
        # A second driver to the same database.
        return
    items.append_column(Column("price", Numeric(8, 2), nullable=False, server_default="0"))
    assert not migrator.check(metadata)
    second = migrator.create_migration("prices", metadata)
    assert (bool(second), second.changes) == (True, ["add column items.price"])
    migrator.migrate()
    assert migrator.check(metadata)
    with place.look.begin() as connection:
        connection.exec_driver_sql("CREATE INDEX by_hand ON items (id, name)")
    assert [found.name for found in migrator.check(metadata).between("migrations", "database")] == ["by_hand"]
    migrator.rollback_to_version(0)
    assert place.tables() == []


@proves("History of every attempt", **YES)
def test_who_when_and_with_what(place: Place, folder: Folder) -> None:
    folder.table(1)
    migrator = place.migrator(folder)
    for _ in range(2):
        migrator.migrate()
        migrator.rollback_to_version(0)
    entries = migrator.get_migration_history()
    assert [entry["operation"] for entry in entries] == ["rollback", "apply"] * 2
    assert len(migrator.get_migration_history(3)) == 3
    for entry in entries:
        assert entry["metadata"]["host"] == socket.gethostname()
        assert entry["metadata"]["pid"] == os.getpid()
        assert entry["metadata"]["sqlmig"] == sqlmig.__version__
        assert entry["metadata"]["user"]
        assert datetime.now(UTC) - entry["started_at"] < timedelta(minutes=5)
        assert entry["started_at"] <= entry["completed_at"]
        assert entry["execution_time_ms"] > 0
        assert (entry["success"], entry["error_message"]) == (True, None)


def test_reading_creates_nothing(place: Place, folder: Folder) -> None:
    folder.table(1)
    migrator = place.migrator(folder)
    assert migrator.needs_migration()
    assert migrator.get_migration_history() == []
    assert migrator.get_migration_status().needs_migration
    assert migrator.get_schema_info().tables == []
    assert str(migrator.get_migration_plan()).startswith("Apply 1 migration")
    assert place.tables(all_=True) == []


# Whole, or not at all


@proves("A migration that fails is undone", **UNDONE)
def test_a_failure_is_undone_told_and_mended(place: Place, folder: Folder) -> None:
    folder.table(1)
    migrator = place.migrator(folder)
    migrator.migrate()
    before = place.contents()
    folder.add(2, half(place) + WRONG)
    folder.table(3)
    with pytest.raises(MigrationFailed) as caught:
        migrator.migrate()
    error = caught.value
    assert (error.version, error.undone) == (2, True)
    # As the driver has it.
    assert re.sub(r"%s|\$1", "?", str(error.statement)) == "INSERT INTO nowhere VALUES (?)"
    assert "nowhere" in str(error)
    assert "sqlmig up" in str(error)
    assert place.contents() == before
    (failure,) = failures(migrator)
    assert (failure["version"], failure["metadata"]["statement"]) == (2, error.statement)
    assert "nowhere" in failure["error_message"]
    assert "secret" not in str(failure)
    assert migrator.get_migration_status().interrupted_versions == []
    folder.table(2)
    assert place.migrator(folder).migrate().applied == [2, 3]


@proves("A migration that fails is undone", **UNDONE)
def test_a_failed_check_afterwards_undoes_everything(place: Place, folder: Folder) -> None:
    folder.table(1)
    folder.add(2, half(place), extra="def post_migrate_checks(self): return False")
    migrator = place.migrator(folder)
    with pytest.raises(MigrationFailed, match="post_migrate_checks") as caught:
        migrator.migrate()
    assert caught.value.result is not None
    assert caught.value.result.applied == [1]
    assert (place.tables(), place.rows("SELECT id FROM t1")) == (["t1"], [(1,)])
    assert len(failures(migrator)) == 1


def test_an_interrupt_is_undone_recorded_and_passed_on(place: Place, folder: Folder) -> None:
    folder.table(1)
    folder.add(2, half(place) + "raise KeyboardInterrupt")
    migrator = place.migrator(folder)
    with pytest.raises(KeyboardInterrupt):
        migrator.migrate()
    assert (place.tables(), place.rows("SELECT id FROM t1")) == (["t1"], [(1,)])
    assert failures(migrator)[0]["metadata"]["error"] == "KeyboardInterrupt"


@proves("`all_or_nothing=True`", **UNDONE)
def test_all_or_nothing(place: Place, folder: Folder) -> None:
    folder.table(1)
    migrator = place.migrator(folder)
    migrator.migrate()
    before = place.contents()
    folder.add(2, half(place))
    folder.add(3, "self.execute_sql('DELETE FROM t1')\nraise ValueError")
    with pytest.raises(MigrationFailed, match="All migrations of its transaction were undone") as caught:
        migrator.migrate(all_or_nothing=True)
    assert caught.value.result is not None
    assert (caught.value.version, caught.value.result.applied) == (3, [])
    assert place.contents() == before
    folder.add(3, "self.execute_sql('DELETE FROM t1')")
    assert place.migrator(folder).migrate(all_or_nothing=True).applied == [2, 3]


@proves("`all_or_nothing=True`", mariadb="without DDL")
@pytest.mark.parametrize("swallow", [False, True])
def test_all_or_nothing_refuses_ddl_before_it_is_done(place: Place, folder: Folder, swallow: bool) -> None:
    folder.table(1)
    place.migrator(folder).migrate()
    folder.add(2, WRITTEN)
    folder.add(3, f"try:\n    {MADE}except Exception:\n    pass" if swallow else MADE)
    with pytest.raises(NotAtomic, match=r"CREATE TABLE half .*\n.*all migrations together.*\n.*--one-by-one"):
        place.migrator(folder).migrate(all_or_nothing=True)
    assert (place.tables(), place.rows("SELECT id FROM t1")) == (["t1"], [(1,)])
    assert place.migrator(folder).migrate().applied == [2, 3]


def test_all_or_nothing_refuses_what_runs_outside_a_transaction(place: Place, folder: Folder) -> None:
    folder.table(1)
    folder.add(2, "pass", extra=LOOSE)
    with pytest.raises(NotAtomic, match="Migration 2"):
        place.migrator(folder).migrate(all_or_nothing=True)
    assert place.tables() == []


@proves("A migration that ends its transaction is stopped", **YES)
@pytest.mark.parametrize(
    "ending",
    [
        "self.execute_sql('COMMIT')",
        "self.execute_sql('/* at last */ rollback')",
        "self.execute_sql('BEGIN')",
        "self.connection.commit()",
        "self.connection.rollback()",
        "try: self.execute_sql('COMMIT')\nexcept Exception: pass",
    ],
)
def test_a_migration_that_ends_its_transaction(place: Place, folder: Folder, ending: str) -> None:
    folder.table(1)
    migrator = place.migrator(folder)
    migrator.migrate()
    folder.add(2, half(place) + ending)
    with pytest.raises(TransactionEnded) as caught:
        migrator.migrate()
    assert (caught.value.version, caught.value.undone) == (2, True)
    assert (place.tables(), place.rows("SELECT id FROM t1")) == (["t1"], [(1,)])
    assert (migrator.get_current_version(), len(failures(migrator))) == (1, 1)
    folder.table(2)
    assert place.migrator(folder).migrate().applied == [2]


def test_a_transaction_inside_up_is_a_savepoint(place: Place, folder: Folder) -> None:
    up = """self.execute_sql("CREATE TABLE t (id INTEGER)")
try:
    with self.db.transaction():
        self.execute_sql("INSERT INTO t VALUES (1)")
        raise KeyError
except KeyError:
    pass
with self.db.transaction():
    self.execute_sql("INSERT INTO t VALUES (2)")"""
    folder.add(1, up)
    place.migrator(folder).migrate()
    assert place.rows("SELECT id FROM t") == [(2,)]


@proves("Undeclared losses are refused", sqlite="before the commit", postgresql="before the commit")
def test_a_loss_that_is_not_declared_is_undone(place: Place, folder: Folder) -> None:
    folder.table(1)
    migrator = place.migrator(folder)
    migrator.migrate()
    before = place.contents()
    folder.add(2, f"{MADE}self.execute_sql('ALTER TABLE t1 DROP COLUMN n')")
    with pytest.raises(DataLossError) as caught:
        migrator.migrate()
    assert [str(loss) for loss in caught.value.losses] == ["drop t1.n (1 value)"]
    assert place.contents() == before
    _declared(place, folder)


@proves("Undeclared losses are refused", mariadb="before the statement")
def test_a_loss_that_is_not_declared_does_not_happen(place: Place, folder: Folder) -> None:
    folder.table(1)
    migrator = place.migrator(folder)
    migrator.migrate()
    before = place.contents()
    folder.add(2, "self.execute_sql('ALTER TABLE t1 DROP COLUMN n')\nraise AssertionError")
    with pytest.raises(DataLossError) as caught:
        migrator.migrate()
    assert [str(loss) for loss in caught.value.losses] == ["drop t1.n (1 value)"]
    assert place.contents() == before
    assert migrator.get_migration_status().interrupted_versions == []
    _declared(place, folder)


def _declared(place: Place, folder: Folder) -> None:
    folder.add(2, "self.execute_sql('ALTER TABLE t1 DROP COLUMN n')", extra="removes = ['t1.n']")
    assert [str(loss) for loss in place.migrator(folder).migrate().losses] == ["drop t1.n (1 value)"]


# Back


@proves("Several rolled back", sqlite="in one transaction", postgresql="in one transaction")
def test_a_failing_down_undoes_the_whole_rollback(place: Place, folder: Folder) -> None:
    migrator = _with_a_failing_down(place, folder)
    before = place.contents()
    with pytest.raises(MigrationFailed, match="failed to roll back: ValueError: no way") as caught:
        migrator.rollback_to_version(0)
    assert caught.value.version == 2
    assert place.contents() == before
    assert [(e["version"], e["operation"]) for e in failures(migrator)] == [(2, "rollback")]


@proves("Several rolled back", mariadb="one by one")
def test_each_step_of_a_rollback_is_its_own(place: Place, folder: Folder) -> None:
    migrator = _with_a_failing_down(place, folder)
    with pytest.raises(MigrationFailed, match="no way") as caught:
        migrator.rollback_to_version(0)
    assert caught.value.result is not None
    assert (caught.value.version, caught.value.result.rolled_back) == (2, [3])
    assert migrator.get_migration_status().applied_versions == [1, 2]
    assert (place.tables(), place.rows("SELECT id FROM t1")) == (["t1"], [(1,)])


def _with_a_failing_down(place: Place, folder: Folder) -> Any:
    folder.table(1)
    folder.add(2, "pass", "self.execute_sql('DELETE FROM t1'); raise ValueError('no way')")
    folder.table(3)
    migrator = place.migrator(folder)
    migrator.migrate()
    return migrator


def test_a_rollback_across_an_unsupported_one_does_nothing(place: Place, folder: Folder) -> None:
    folder.table(1)
    folder.add(2, "pass", "pass", extra="rollback_supported = False")
    folder.add(3, "pass", "raise NotImplementedError('it would lose data')")
    folder.table(4)
    migrator = place.migrator(folder)
    migrator.migrate()
    before = place.contents()
    ok, issues = place.manager(folder).can_rollback_to(1)
    assert (ok, [issue.version for issue in issues]) == (False, [3, 2])
    with pytest.raises(RollbackNotSupported, match="Migration 3"):
        migrator.rollback_to_version(1)
    assert (place.contents(), len(failures(migrator))) == (before, 1)
    with pytest.raises(UnknownVersion):
        migrator.migrate_to_version(9)
    assert place.contents() == before
    migrator.rollback_to_version(3)
    with pytest.raises(ConfigurationError, match="above the current version 3"):
        migrator.rollback_to_version(4)


# Several at once, and the lock


@proves("Exactly once, by any number of processes and threads", **YES)
@pytest.mark.parametrize("pending_only", [False, True], ids=["empty", "pending"])
def test_eight_processes_apply_each_migration_once(place: Place, folder: Folder, pending_only: bool) -> None:
    """A migration that is applied twice would fail, or leave a second row in the history."""

    def boot() -> None:
        assert place.migrator(folder, place.engine(poolclass=NullPool)).migrate()

    for version in range(1, 6):
        folder.table(version)
    for _ in range(5 if place.database == "sqlite" else 2):
        if pending_only:
            place.migrator(folder, place.engine(poolclass=NullPool)).migrate_to_version(2)
        assert at_once(8, boot) == [0] * 8
        history = place.migrator(folder, place.engine(poolclass=NullPool)).get_migration_history()
        assert [(entry["version"], entry["success"]) for entry in history] == [(n, True) for n in (5, 4, 3, 2, 1)]
        assert [place.rows(f"SELECT id, n FROM t{n}") for n in range(1, 6)] == [[(1, "row")]] * 5
        place.clear()


@proves("Exactly once, by any number of processes and threads", **YES)
@pytest.mark.parametrize("pool", [None, NullPool, StaticPool])
def test_threads_of_one_process_apply_each_migration_once(place: Place, folder: Folder, pool: Any) -> None:
    for version in range(1, 5):
        folder.table(version)
    options: dict[str, Any] = {"poolclass": pool} if pool else {}
    if place.kind.driver == "sqlite" and pool is StaticPool:
        options["connect_args"] = {"check_same_thread": False}
    # Each thread has an event loop of its own, and an asynchronous engine of a server belongs to one.
    shared = not place.kind.driver.endswith(("asyncpg", "aiomysql"))
    engine = place.engine(**options)
    applied: list[int] = []
    errors: list[BaseException] = []
    barrier = threading.Barrier(6)

    def boot() -> None:
        try:
            barrier.wait()
            mine = engine if shared else place.engine(**options)
            applied.extend(place.migrator(folder, mine).migrate().applied)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=boot) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert (errors, sorted(applied)) == ([], [1, 2, 3, 4])
    assert len(place.migrator(folder, engine).get_migration_history()) == 4


@proves(
    "What keeps the others out",
    sqlite="the file's write lock",
    postgresql="an advisory lock",
    mariadb="`GET_LOCK`",
)
def test_a_lock_that_is_not_had_in_time_is_a_typed_error(place: Place, folder: Folder) -> None:
    """And whoever waits finds it done."""
    begun, ended = folder.path.parent / "begun", folder.path.parent / "ended"
    up = f"""import pathlib, time
pathlib.Path({str(begun)!r}).touch()
while not pathlib.Path({str(ended)!r}).exists(): time.sleep(0.02)
self.execute_sql("CREATE TABLE t (id INTEGER)")"""
    folder.add(1, up)
    first = threading.Thread(target=lambda: place.migrator(folder).migrate())
    first.start()
    while not begun.exists():
        assert first.is_alive()
    waited: list[Any] = []
    with pytest.raises(DatabaseLocked) as caught:
        place.migrator(folder, lock_timeout=0.1).migrate()
    assert {"sqlite": "fuser", "postgresql": "server process ", "mariadb": "server connection "}[place.database] in str(
        caught.value
    )
    second = threading.Thread(target=lambda: waited.append(place.migrator(folder).migrate().applied))
    second.start()
    ended.touch()
    first.join(60)
    second.join(60)
    assert (waited, place.rows("SELECT count(*) FROM t")) == ([[]], [(0,)])


@proves("What keeps the others out", postgresql="an advisory lock", mariadb="`GET_LOCK`")
def test_another_history_of_the_same_database_waits_for_nobody(place: Place, folder: Folder) -> None:
    other = Folder(folder.path.parent / "other")
    other.table(1)
    told: list[list[int]] = []

    def progress(done: int, total: int, message: str) -> None:
        names = {"versions_table": "v", "history_table": "h"}
        told.append(place.migrator(other, lock_timeout=0.2, **names).migrate().applied)

    folder.table(2)
    place.migrator(folder, progress=progress, out_of_order="apply").migrate()
    assert told == [[1], []]


# Killed

EVENTFUL = """for n in range(2):
    self.execute_sql(f"CREATE TABLE part{n} (id INTEGER PRIMARY KEY, v TEXT)")
    self.execute_sql(f"INSERT INTO part{n} (id, v) SELECT id, n FROM t1")
self.execute_sql("UPDATE t1 SET n = 'changed'")
self.execute_sql("ALTER TABLE t1 ADD COLUMN more INTEGER DEFAULT 7")
self.execute_sql("DROP TABLE part1")"""


@proves("Killed at any statement, the next boot", sqlite="goes on", postgresql="goes on")
def test_killed_at_every_statement_and_booted_again(place: Place, folder: Folder) -> None:
    """sqlmig's own statements included, from those that make its tables on."""
    folder.table(1)
    folder.add(2, EVENTFUL)
    folder.table(3)
    place.migrator(folder).migrate()
    expected = place.contents()
    place.clear()
    killed = []
    for at in place.kills(folder):
        migrator = place.migrator(folder, place.engine(poolclass=NullPool))
        applied = migrator.get_migration_status().applied_versions
        there = [[], ["t1"], ["part0", "t1"], ["part0", "t1", "t3"]][len(applied)]
        assert place.tables() == there, f"killed at event {at}"
        assert migrator.migrate().applied == [version for version in (1, 2, 3) if version not in applied]
        assert place.contents() == expected, f"killed at event {at}"
        done = [e["version"] for e in migrator.get_migration_history() if e["operation"] == "apply"]
        assert done == [3, 2, 1]
        killed.append(len(applied))
        place.clear()
    assert len(killed) * place.step > 12
    assert set(killed) >= ({0, 1, 2} if place.step == 1 else {0, 1})


@proves("Killed at any statement, the next boot", mariadb="goes on; behind DDL, it names what is permanent")
def test_killed_at_every_statement_without_ddl(place: Place, folder: Folder) -> None:
    folder.table(1)
    place.migrator(folder).migrate()
    folder.add(2, f"{WRITTEN}self.execute_sql(\"UPDATE t1 SET n = 'changed' WHERE id = 1\")")
    killed = []
    for at in place.kills(folder):
        migrator = place.migrator(folder, place.engine(poolclass=NullPool))
        applied = migrator.get_migration_status().applied_versions
        rows = [[(1, "row")], [(1, "changed"), (2, "two")]]
        assert place.rows("SELECT id, n FROM t1 ORDER BY id") == rows[len(applied) - 1], at
        assert migrator.migrate().applied == [version for version in (2,) if version not in applied]
        assert place.rows("SELECT id, n FROM t1 ORDER BY id") == rows[1], at
        place.run("DELETE FROM t1 WHERE id = 2", "UPDATE t1 SET n = 'row'")
        place.run("DELETE FROM migration_versions WHERE version = 2")
        killed.append(len(applied))
    assert len(killed) * place.step > 4
    assert 1 in killed


@proves("Killed at any statement, the next boot", mariadb="goes on; behind DDL, it names what is permanent")
def test_killed_at_every_statement_where_ddl_stays(place: Place, folder: Folder) -> None:
    """What is there without a mark is complete, or not there at all; a mark names what was reached; helpers go on."""
    folder.table(1)
    place.migrator(folder).migrate()
    changed = "self.execute_sql(\"UPDATE t1 SET n = '{}'\")\n"
    up = 'self.create_table_if_not_exists("half", "CREATE TABLE half (id INTEGER PRIMARY KEY)")\n'
    up = changed.format("before") + up + "self.execute_sql('INSERT INTO half VALUES (1)')\n" + changed.format("behind")
    folder.add(2, up)
    marked = set()
    killed = 0
    for at in place.kills(folder):
        migrator = place.migrator(folder, place.engine(poolclass=NullPool))
        status, there = migrator.get_migration_status(), place.tables()
        if not status.interrupted_versions:
            done = status.applied_versions == [1, 2]
            assert there == (["half", "t1"] if done else ["t1"]), at
            assert place.rows("SELECT n FROM t1") == [("behind" if done else "row",)], at
        else:
            assert status.interrupted_versions == [2]
            with pytest.raises(InterruptedMigration, match="CREATE TABLE half") as caught:
                migrator.migrate()
            permanent = "permanent: 1 statement" in str(caught.value)
            marked.add((permanent, "half" in there))
            assert place.rows("SELECT n FROM t1") == [("before",)], at
            assert "half" not in there or place.rows("SELECT * FROM half") == [], at
            assert migrator.repair(interrupted="retry") == ["migration 2 is pending again"]
        assert place.migrator(folder, place.engine(poolclass=NullPool)).migrate()
        assert place.rows("SELECT n FROM t1 UNION ALL SELECT id FROM half") == [("behind",), ("1",)], at
        place.run("DROP TABLE half", "UPDATE t1 SET n = 'row'", "DELETE FROM migration_versions WHERE version = 2")
        killed += 1
    assert killed * place.step > 7
    # Killed when the statement had run, and before that could be written down, it is there and only named.
    assert marked >= {(True, True), (False, True)}


# Outside of a transaction, and in parts


@proves("`transactional = False`, marked until it is done", **YES)
def test_one_that_fails_outside_a_transaction_is_marked(place: Place, folder: Folder) -> None:
    folder.table(1)
    folder.add(2, f"{MADE}{WRITTEN}raise ValueError", "self.drop_table('half')", extra=LOOSE)
    migrator = place.migrator(folder)
    with pytest.raises(MigrationFailed, match="has stayed") as caught:
        migrator.migrate()
    assert not caught.value.undone
    assert (place.tables(), place.rows("SELECT id FROM t1 ORDER BY id")) == (["half", "t1"], [(1,), (2,)])
    assert migrator.get_migration_status().interrupted_versions == [2]
    assert place.manager(folder).validate_migration_sequence()[0].kind == "interrupted"
    with pytest.raises(InterruptedMigration, match=rf"Migration 2(.|\n)*{os.getpid()}"):
        place.migrator(folder, lock_timeout=0.2).migrate()
    assert "pending again" in migrator.repair()[0]
    folder.add(2, "self.create_index('ix', 't1', ['id'])", "self.drop_index('ix', 't1')", extra=LOOSE)
    assert place.migrator(folder).migrate().applied == [2]
    assert place.migrator(folder).rollback_to_version(1).rolled_back == [2]


@proves("`transactional = False`, marked until it is done", **YES)
def test_transactions_of_a_loose_migration_are_its_own(place: Place, folder: Folder) -> None:
    folder.add(1, "self.execute_sql('CREATE TABLE t (id INTEGER)')")
    up = """with self.db.transaction():
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
try:
    with self.db.transaction():
        self.execute_sql("INSERT INTO t VALUES (5)")
        raise KeyError
except KeyError:
    pass
self.execute_sql("COMMIT")"""
    folder.add(2, up, extra=LOOSE)
    assert place.migrator(folder).migrate().applied == [1, 2]
    assert place.rows("SELECT id FROM t ORDER BY id") == [(1,), (2,), (4,)]


def test_a_transaction_that_is_left_open_is_undone(place: Place, folder: Folder) -> None:
    folder.table(1)
    folder.add(2, f"self.execute_sql('BEGIN')\n{WRITTEN}", extra=LOOSE)
    with pytest.raises(TransactionEnded, match="did not end it"):
        place.migrator(folder).migrate()
    assert place.rows("SELECT id FROM t1") == [(1,)]


@proves("Resumable, exactly once for each row", **YES)
def test_a_resumable_one_is_killed_at_every_statement(place: Place, folder: Folder) -> None:
    """What stands before the loop is done by the first try, or again by the next."""
    column = "from sqlalchemy import Column, Integer\nself.add_column_if_not_exists('t', Column('m', Integer))\n"
    visited(folder, before=column)
    place.migrator(folder).migrate_to_version(1)
    killed = 0
    for at in place.kills(folder):
        migrator = place.migrator(folder, place.engine(poolclass=NullPool))
        assert migrator.migrate()
        assert place.rows("SELECT DISTINCT done FROM t") == [(1,)], at
        place.run("ALTER TABLE t DROP COLUMN m", "UPDATE t SET done = 0")
        place.run("DELETE FROM migration_versions WHERE version = 2")
        if place.database == "sqlite":
            place.run("PRAGMA user_version = 1")
        killed += 1
    assert killed * place.step > 8


@proves("Resumable, exactly once for each row", **YES)
def test_a_resumable_one_that_fails_goes_on(place: Place, folder: Folder) -> None:
    visited(folder, "\n    if rows[0].id == 9: raise ValueError")
    migrator = place.migrator(folder)
    with pytest.raises(MigrationFailed, match="8 of 14 rows"):
        migrator.migrate()
    assert migrator.get_migration_status().progress[2]["rows"] == 8
    visited(folder)
    assert place.migrator(folder).migrate().applied == [2]
    assert place.rows("SELECT DISTINCT done FROM t") == [(1,)]


def test_a_resumable_loop_that_only_reads_is_read_again(place: Place, folder: Folder) -> None:
    visited(folder)
    collect = "found = []\nfor rows in self.batches('t', size=4):\n    found += [row.id for row in rows]{}\n"
    write = "self.execute_sql('UPDATE t SET done = done + 1 WHERE id = ?', [(one,) for one in found])"
    folder.add(2, collect.format("\n    if rows[0].id == 9: raise ValueError") + write, extra="resumable = True")
    with pytest.raises(MigrationFailed):
        place.migrator(folder).migrate()
    folder.add(2, collect.format("") + write, extra="resumable = True")
    place.migrator(folder).migrate()
    assert place.rows("SELECT DISTINCT done FROM t") == [(1,)]


# In a caller's transaction


@proves("In the transaction of a `Connection` that is handed in", **UNDONE)
def test_a_joined_transaction_is_the_caller_s(place: Place, folder: Folder) -> None:
    """An asynchronous one is handed in as its `sync_connection`."""
    folder.table(1)
    place.migrator(folder).migrate()
    folder.add(2, half(place))
    with place.look.connect() as connection:
        connection.execute(text("INSERT INTO t1 (id, n) VALUES (7, 'theirs')"))
        assert place.migrator(folder, connection).migrate().applied == [2]
        assert connection.in_transaction()
        connection.rollback()
    assert (place.tables(), place.rows("SELECT id FROM t1")) == (["t1"], [(1,)])
    folder.add(2, f"{half(place)}raise ValueError")
    with place.look.begin() as connection:
        connection.execute(text("INSERT INTO t1 (id, n) VALUES (7, 'theirs')"))
        with pytest.raises(MigrationFailed):
            place.migrator(folder, connection).migrate()
    assert place.rows("SELECT id FROM t1 ORDER BY id") == [(1,), (7,)]
    folder.add(2, "pass", extra=LOOSE)
    with place.look.begin() as connection, pytest.raises(NotAtomic):
        place.migrator(folder, connection).migrate()


@proves("In the transaction of a `Connection` that is handed in", mariadb="without DDL")
def test_a_caller_s_transaction_is_not_committed_by_ddl(place: Place, folder: Folder) -> None:
    folder.table(1)
    with place.look.connect() as connection:
        connection.execute(text("SELECT 1"))
        with pytest.raises(NotAtomic, match="CREATE TABLE migration_versions"):
            place.migrator(folder, connection).migrate()
    assert place.tables() == []
    place.migrator(folder).migrate()
    folder.add(2, MADE)
    with place.look.begin() as connection:
        connection.execute(text("INSERT INTO t1 VALUES (7, 'theirs')"))
        with pytest.raises(NotAtomic, match="CREATE TABLE half"):
            place.migrator(folder, connection).migrate()
    assert (place.tables(), place.rows("SELECT id FROM t1")) == (["t1"], [(1,), (7,)])
    assert place.migrator(folder).get_migration_status().applied_versions == [1]


# Order, adoption, and where the records are


@proves("Out of order, dependencies, skipping", **YES)
def test_dependencies_and_what_appears_late(place: Place, folder: Folder) -> None:
    folder.table(1)
    folder.table(3, extra="dependencies = [1]")
    assert place.migrator(folder, out_of_order="apply").migrate().applied == [1, 3]
    folder.table(2)
    with pytest.raises(ValidationFailed, match="appeared below the current version 3"):
        place.migrator(folder).migrate()
    assert place.tables() == ["t1", "t3"]
    assert place.migrator(folder, out_of_order="ignore").migrate().applied == []
    assert place.migrator(folder, out_of_order="apply").migrate().applied == [2]
    assert place.migrator(folder).get_current_version() == 3


@proves("Out of order, dependencies, skipping", **YES)
def test_a_check_before_skips_and_the_next_go_on(place: Place, folder: Folder) -> None:
    folder.table(1, extra="def pre_migrate_checks(self): return False")
    folder.table(2)
    migrator = place.migrator(folder)
    result = migrator.migrate()
    assert (result.applied, result.skipped) == ([2], [1])
    assert [e["operation"] for e in migrator.get_migration_history()] == ["apply", "skip"]
    assert migrator.get_migration_status().skipped_versions == [1]
    assert migrator.migrate().skipped == []
    # Nothing was done, so nothing is undone: its down, which would fail, is not called.
    assert migrator.rollback_to_version(0).rolled_back == [2, 1]


@proves("Awaited: `migrate_async()` and all other methods", **YES)
def test_a_boot_is_awaited(place: Place, folder: Folder) -> None:
    """On every kind: an engine that is not asynchronous has its boot in a thread."""
    for version in (1, 2):
        folder.table(version)

    async def boot() -> None:
        # All at one moment, in one thread.
        migrators = [place.migrator(folder, engine) for _ in range(3)]
        results = await asyncio.gather(*(migrator.migrate_async() for migrator in migrators))
        assert sorted(version for result in results for version in result.applied) == [1, 2]
        assert (await migrators[0].rollback_to_version_async(1)).rolled_back == [2]
        assert len(await migrators[1].get_migration_history_async()) == 3
        if isinstance(engine, AsyncEngine):
            with pytest.raises(ConfigurationError, match="migrate_async"):
                migrators[2].migrate()
            await engine.dispose()

    engine = place.engine()
    asyncio.run(boot())
    assert place.tables() == ["t1"]


@proves("Taken over: a database that Alembic, or anything else, made", **YES)
def test_a_database_that_is_there_already(place: Place, folder: Folder) -> None:
    for version in (1, 2, 3):
        folder.table(version, extra=f'revision = "rev{version}"')
    place.run("CREATE TABLE alembic_version (version_num VARCHAR(32))", "INSERT INTO alembic_version VALUES ('rev1')")
    migrator = place.migrator(folder)
    assert migrator.migrate_to_version(2).applied == [2]
    assert place.tables() == ["alembic_version", "t2"]
    migrator.stamp(3)
    assert (migrator.migrate().applied, migrator.get_current_version()) == ([], 3)
    assert [entry["operation"] for entry in migrator.get_migration_history()] == ["stamp", "apply", "adopt"]


@pytest.mark.parametrize(
    "body",
    ["self.create_table('t', sa.Column('id', sa.Integer))", "self.execute_sql('CREATE TABLE t (id INT)')"],
)
def test_a_database_that_nobody_stamped_says_how_to_adopt_it(place: Place, folder: Folder, body: str) -> None:
    folder.add(1, f"import sqlalchemy as sa\n{body}")
    folder.add(2, "self.execute_sql('CREATE TABLE t2 (id INT)')")
    place.run("CREATE TABLE t (id INT)")
    with pytest.raises(MigrationFailed) as caught:
        place.migrator(folder).migrate()
    *_, adopt, again = str(caught.value).splitlines()
    assert adopt == "If the database was made before sqlmig came, record what it has: sqlmig stamp 1"
    assert again.endswith("run it again: sqlmig up")
    place.migrator(folder).stamp(1)
    place.run("CREATE TABLE t2 (id INT)")
    with pytest.raises(MigrationFailed) as caught:
        place.migrator(folder).migrate()
    assert "stamp" not in str(caught.value)


@proves("Taken over: `PRAGMA user_version`", postgresql="no", mariadb="no")
def test_without_records_there_is_no_version(place: Place, folder: Folder) -> None:
    folder.table(1)
    place.run("CREATE TABLE t0 (id INTEGER)")
    assert place.migrator(folder).get_current_version() == 0
    assert place.migrator(folder).migrate().applied == [1]


@proves("Records in tables of other names", **YES)
def test_records_in_tables_of_other_names(place: Place, folder: Folder) -> None:
    folder.table(1)
    names = {"versions_table": "vers", "history_table": "hist"}
    assert place.migrator(folder, **names).migrate().applied == [1]
    assert place.migrator(folder, **names).migrate().applied == []
    assert place.tables(all_=True) == ["hist", "t1", "vers"]


@proves("Records in another schema", postgresql="yes", mariadb="yes")
def test_records_in_another_schema(place: Place, folder: Folder) -> None:
    beside = f"{place.scratch}_records"
    folder.table(1)
    place.run(f"CREATE SCHEMA {beside}")
    try:
        migrator = place.migrator(folder, schema=beside)
        assert migrator.migrate().applied == [1]
        assert not migrator.needs_migration()
        assert place.rows(f"SELECT version FROM {beside}.migration_versions") == [(1,)]
        assert place.migrator(folder).needs_migration()
    finally:
        place.run(f"DROP SCHEMA {beside}{' CASCADE' if place.database == 'postgresql' else ''}")


@proves("Records in another schema", sqlite="in an attached file")
def test_records_in_an_attached_file(place: Place, folder: Folder) -> None:
    beside = folder.path.parent / "records.db"
    folder.table(1)
    engine = place.engine()
    event.listen(
        getattr(engine, "sync_engine", engine),
        "connect",
        lambda raw, _: raw.execute(f"ATTACH '{beside}' AS records"),
    )
    assert place.migrator(folder, engine, schema="records").migrate().applied == [1]
    assert not place.migrator(folder, engine, schema="records").needs_migration()
    assert place.tables(all_=True) == ["t1"]
    assert beside.exists()


# What is for some of them only


@proves("Rehearsals", mariadb="no")
@proves("Snapshots and `restore()`", mariadb="no")
def test_rehearsals_and_snapshots_are_refused(place: Place, folder: Folder) -> None:
    folder.table(1)
    asked: list[Any] = [
        place.migrator(folder).rehearse,
        lambda: place.migrator(folder).migrate(rehearse=True),
        place.migrator(folder, snapshot=True).migrate,
        place.migrator(folder).create_snapshot,
    ]
    for ask in asked:
        with pytest.raises(UnsupportedDatabase, match=r"[Rr]ehearsal|[Ss]napshot"):
            ask()
    assert place.tables(all_=True) == []


STATISTICS = "`validate_schema()`, `get_performance_statistics()`, `optimize_database_performance()`"


@proves(STATISTICS, sqlite="yes")
def test_statistics(place: Place, folder: Folder) -> None:
    folder.table(1)
    migrator = place.migrator(folder)
    migrator.migrate()
    assert migrator.validate_schema()
    assert migrator.get_performance_statistics().table_rows["t1"] == 1
    assert migrator.optimize_database_performance().operations_performed
    assert migrator.get_schema_info().tables["t1"].row_count == 1


@proves(STATISTICS, postgresql="no", mariadb="no")
def test_statistics_are_refused(place: Place, folder: Folder) -> None:
    folder.table(1)
    migrator = place.migrator(folder)
    for ask in ("get_performance_statistics", "validate_schema", "optimize_database_performance"):
        with pytest.raises(UnsupportedDatabase, match="for SQLite only"):
            getattr(migrator, ask)()
    assert place.tables(all_=True) == []
    migrator.migrate()
    assert migrator.get_schema_info().tables["t1"].row_count == 1


@proves("`AlembicMigrator`", postgresql="no", mariadb="no")
def test_alembic_as_it_is_is_refused(place: Place, folder: Folder) -> None:
    from alembic_compat import AlembicMigrator

    folder.write("env.py", "raise AssertionError")
    (folder.path / "versions").mkdir()
    (folder.path / "versions" / "a1_one.py").write_text("revision = 'a1'\ndown_revision = None\ndef upgrade(): 1 / 0\n")
    with pytest.raises(UnsupportedDatabase, match="AlembicMigrator is for SQLite only"):
        AlembicMigrator(place.look, folder.path).migrate()
    assert place.tables(all_=True) == []
