"""MariaDB and MySQL: what they commit by themselves is told honestly, with real processes really killed."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest
from conftest import Folder, failures
from native_databases import scratch_database
from resumable_support import in_child, visited
from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.pool import NullPool

from sqlmig import (
    BaseMigration,
    ConfigurationError,
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
)

Engines = Callable[..., Engine]


@pytest.fixture
def engines() -> Iterator[Engines]:
    """Engines of a database of the test's own."""
    made: list[Engine] = []
    with scratch_database("mariadb") as database:
        url = database.connection.engine.url

        def make(**options: Any) -> Engine:
            made.append(create_engine(options.pop("url", url), **options))
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
    return sorted(name for (name,) in rows(engine, "SHOW TABLES") if not name.startswith("migration_"))


def rows(engine: Engine, query: str) -> list[tuple[Any, ...]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.exec_driver_sql(query)]


MADE = "self.execute_sql('CREATE TABLE half (id INTEGER)')\n"
WRITTEN = "self.execute_sql('INSERT INTO t1 VALUES (2, ?)', ('two',))\n"


# Up, down, and what is told


@pytest.mark.parametrize("dialect", ["mysql", "mariadb"])
def test_up_at_head_and_down(engines: Engines, engine: Engine, folder: Folder, dialect: str) -> None:
    engine = engines(url=engine.url.set(drivername=f"{dialect}+pymysql"))
    migrator = of(engine, folder)
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


def test_a_file_of_statements(migrator: Migrator, folder: Folder, engine: Engine) -> None:
    script = r"""
# It's a comment; and not a statement
CREATE TABLE t (id INTEGER PRIMARY KEY, n VARCHAR(40)); -- it's one as well;
INSERT INTO t VALUES (1, 'it\'s; one'), (2, "two;\\");
CREATE TRIGGER one BEFORE INSERT ON t FOR EACH ROW SET NEW.n = CONCAT(NEW.n, '!');
CREATE DEFINER = CURRENT_USER PROCEDURE two (IN a INTEGER)
BEGIN
    DECLARE EXIT HANDLER FOR SQLEXCEPTION BEGIN SET @failed = 1; END;
    IF a > 0 THEN
        INSERT INTO t VALUES (a, CASE WHEN a > 1 THEN 'many' ELSE 'one' END);
    END IF;
    COMMIT;
END;
CREATE OR REPLACE PROCEDURE three() INSERT INTO t VALUES (4, 'four');
INSERT INTO t VALUES (5, 'five')"""
    folder.write("script.sql", script)
    folder.add(
        1, "self.execute_sql_file('script.sql')\nself.execute_sql('CALL two(3)')\nself.execute_sql('CALL three()')"
    )
    assert migrator.migrate().applied == [1]
    told = [(1, "it's; one"), (2, "two;\\"), (3, "many!"), (4, "four!"), (5, "five!")]
    assert rows(engine, "SELECT * FROM t ORDER BY id") == told


# Whole or nothing, where nothing was committed


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE half (id NONSENSE)",
        "ALTER TABLE nowhere ADD x INTEGER",
        "ALTER TABLE t1 DROP nothing",
        "CREATE TABLE t1 (id INTEGER)",
        "DROP TABLE nowhere",
    ],
)
def test_a_first_ddl_that_is_refused_leaves_nothing(
    migrator: Migrator, folder: Folder, engine: Engine, statement: str
) -> None:
    """Some of them commit before they fail; but there was nothing to commit."""
    folder.table(1)
    folder.add(2, f"self.execute_sql({statement!r})")
    with pytest.raises(MigrationFailed) as caught:
        migrator.migrate()
    assert caught.value.undone
    assert statement in str(caught.value)
    assert migrator.get_migration_status().interrupted_versions == []
    folder.table(2)
    assert of(engine, folder).migrate().applied == [2]


def test_what_only_looks_like_ddl_can_be_undone(migrator: Migrator, folder: Folder, engine: Engine) -> None:
    """Whether a statement has committed is looked at, and not told by its first word."""
    folder.table(1)
    up = f"""self.execute_sql("DROP TEMPORARY TABLE IF EXISTS nowhere")
self.execute_sql("CREATE TEMPORARY TABLE mine (id INTEGER)")
self.execute_sql("BEGIN NOT ATOMIC INSERT INTO t1 VALUES (3, 'three'); END")
{WRITTEN}
self.execute_sql("EXECUTE IMMEDIATE 'INSERT INTO t1 VALUES (4, 4)'")
raise ValueError"""
    folder.add(2, up)
    with pytest.raises(MigrationFailed) as caught:
        migrator.migrate()
    assert caught.value.undone
    assert rows(engine, "SELECT id FROM t1") == [(1,)]
    assert migrator.get_migration_status().interrupted_versions == []


# What is permanent


def test_a_failure_behind_ddl_says_what_is_permanent(migrator: Migrator, folder: Folder, engine: Engine) -> None:
    folder.table(1)
    folder.add(2, f"{WRITTEN}{MADE}self.execute_sql('DELETE FROM t1')\nself.execute_sql('SELECT nothing')")
    with pytest.raises(MigrationFailed) as caught:
        migrator.migrate()
    said = str(caught.value)
    assert "statement: SELECT nothing" in said
    assert "permanent: 1 statement on the schema: CREATE TABLE half (id INTEGER)" in said
    assert "permanent: rows that were written before" in said
    assert "sqlmig repair --retry" in said
    assert not caught.value.undone
    # What came before the DDL is there with it; what came behind it is not.
    assert (tables(engine), rows(engine, "SELECT id FROM t1")) == (["half", "t1"], [(1,), (2,)])
    entry = failures(migrator)[0]
    assert entry["metadata"]["permanent"] == {
        "statements": ["CREATE TABLE half (id INTEGER)"],
        "count": 1,
        "rows": True,
    }
    assert "CREATE TABLE half" in entry["error_message"]


def test_a_ddl_that_fails_is_named_beside_what_was_done(migrator: Migrator, folder: Folder, engine: Engine) -> None:
    folder.add(1, f"{MADE}self.execute_sql('ALTER TABLE half DROP nothing')")
    with pytest.raises(MigrationFailed, match="it was at: ALTER TABLE half DROP nothing"):
        migrator.migrate()
    with pytest.raises(InterruptedMigration, match="it was at: ALTER TABLE half DROP nothing"):
        of(engine, folder).migrate()


def test_a_ddl_of_several_that_fails_may_be_half_done(migrator: Migrator, folder: Folder, engine: Engine) -> None:
    folder.table(1)
    folder.add(2, "self.execute_sql('DROP TABLE t1, nowhere')", extra="removes = ['t1']")
    with pytest.raises(MigrationFailed) as caught:
        migrator.migrate()
    assert not caught.value.undone
    assert "DROP TABLE t1, nowhere, of which a part may be done" in str(caught.value)
    assert migrator.get_migration_status().interrupted_versions == [2]


def test_rows_before_a_ddl_that_fails_are_permanent(migrator: Migrator, folder: Folder, engine: Engine) -> None:
    folder.table(1)
    folder.add(2, f"{WRITTEN}self.execute_sql('ALTER TABLE nowhere ADD x INTEGER')")
    with pytest.raises(MigrationFailed, match="permanent: rows that were written") as caught:
        migrator.migrate()
    assert not caught.value.undone
    assert rows(engine, "SELECT id FROM t1") == [(1,), (2,)]


def test_rows_of_tables_without_transactions_stay(migrator: Migrator, folder: Folder, engine: Engine) -> None:
    folder.add(1, "self.execute_sql('CREATE TABLE loose (id INTEGER) ENGINE = MyISAM')")
    folder.add(2, "self.execute_sql('INSERT INTO loose VALUES (1)')\nraise ValueError")
    with pytest.raises(MigrationFailed, match="tables that know no transactions") as caught:
        migrator.migrate()
    assert not caught.value.undone
    assert rows(engine, "SELECT * FROM loose") == [(1,)]
    with pytest.raises(InterruptedMigration, match="tables that know no transactions"):
        of(engine, folder).migrate()


def test_a_routine_that_commits_is_found_out(migrator: Migrator, folder: Folder, engine: Engine) -> None:
    folder.table(1)
    folder.add(2, "self.execute_sql('CREATE PROCEDURE p() BEGIN COMMIT; START TRANSACTION; END')")
    folder.add(3, f"{WRITTEN}self.execute_sql('CALL p()')\nraise ValueError")
    with pytest.raises(MigrationFailed, match=r"permanent: 1 statement on the schema: CALL p\(\)"):
        migrator.migrate()
    assert rows(engine, "SELECT id FROM t1") == [(1,), (2,)]


def test_an_error_that_the_migration_catches(migrator: Migrator, folder: Folder, engine: Engine) -> None:
    folder.table(1)
    up = f"""{WRITTEN}
try:
    self.execute_sql("ALTER TABLE nowhere ADD x INTEGER")
except Exception:
    self.execute_sql("INSERT INTO t1 VALUES (3, 'three')")"""
    folder.add(2, up)
    assert migrator.migrate().applied == [1, 2]
    assert rows(engine, "SELECT id FROM t1") == [(1,), (2,), (3,)]
    folder.add(3, up.replace("(2,", "(4,").replace("(3,", "(5,") + "\nraise ValueError")
    with pytest.raises(MigrationFailed, match="permanent: rows"):
        of(engine, folder).migrate()


def test_ddl_inside_a_savepoint_is_refused_before_it_is_done(
    migrator: Migrator, folder: Folder, engine: Engine
) -> None:
    folder.table(1)
    folder.add(2, f"with self.db.transaction():\n    {MADE}")
    with pytest.raises(NotAtomic, match=r"before or behind that block"):
        migrator.migrate()
    assert tables(engine) == ["t1"]
    assert migrator.get_migration_status().interrupted_versions == []


# The next boot, and the three ways out


def interrupted(engine: Engine, folder: Folder) -> Migrator:
    """Of a database in which migration 2 has failed behind its first statement."""
    folder.table(1)
    folder.add(2, f"{MADE}raise ValueError", "self.drop_table('half')")
    with pytest.raises(MigrationFailed):
        of(engine, folder).migrate()
    migrator = of(engine, folder)
    for ask in (migrator.migrate, lambda: migrator.rollback_to_version(0)):
        with pytest.raises(InterruptedMigration, match="CREATE TABLE half") as caught:
            ask()
        for flag in ("--retry", "--mark-applied", "--mark-rolled-back"):
            assert f"sqlmig repair {flag} " in str(caught.value)
    return migrator


def test_retry(engine: Engine, folder: Folder) -> None:
    migrator = interrupted(engine, folder)
    assert migrator.repair(interrupted="retry") == ["migration 2 is pending again"]
    folder.add(2, MADE.replace("TABLE", "TABLE IF NOT EXISTS"), "self.drop_table('half')")
    assert of(engine, folder).migrate().applied == [2]
    assert migrator.repair(interrupted="retry") == []


def test_mark_applied(engine: Engine, folder: Folder) -> None:
    migrator = interrupted(engine, folder)
    assert migrator.repair(interrupted="applied") == ["migration 2 counts as applied"]
    assert (migrator.migrate().applied, migrator.get_current_version()) == ([], 2)
    assert not migrator.needs_migration()
    assert migrator.get_migration_history(1)[0]["operation"] == "repair"
    assert of(engine, folder).rollback_to_version(1).rolled_back == [2]
    assert tables(engine) == ["t1"]


def test_mark_rolled_back(engine: Engine, folder: Folder) -> None:
    migrator = interrupted(engine, folder)
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE half")
    assert migrator.repair(interrupted="rolled back") == ["migration 2 is pending again; nothing is left of it"]
    assert migrator.get_migration_status().pending_versions == [2]
    with pytest.raises(ConfigurationError, match="'retry', 'applied', 'rolled back'"):
        migrator.repair(interrupted="sometimes")  # type: ignore[arg-type]


@pytest.mark.parametrize(("said", "left"), [("retry", [1]), ("applied", [1]), ("rolled back", [])])
def test_an_interrupted_rollback(engine: Engine, folder: Folder, said: Any, left: list[int]) -> None:
    folder.add(1, MADE, "self.drop_table('half')\nraise ValueError")
    migrator = of(engine, folder)
    migrator.migrate()
    with pytest.raises(MigrationFailed, match=r"failed to roll back(.|\n)*permanent: 1 statement.*DROP TABLE"):
        migrator.rollback_to_version(0)
    with pytest.raises(InterruptedMigration, match="DROP TABLE"):
        migrator.migrate()
    assert migrator.repair(interrupted=said)
    assert migrator.get_migration_status().applied_versions == left


def test_an_interrupted_rollback_is_whole_where_nothing_was_committed(engine: Engine, folder: Folder) -> None:
    folder.add(1, MADE, "self.execute_sql('INSERT INTO half VALUES (1)')\nraise ValueError")
    migrator = of(engine, folder)
    migrator.migrate()
    with pytest.raises(MigrationFailed, match="Everything that it did was undone"):
        migrator.rollback_to_version(0)
    assert rows(engine, "SELECT * FROM half") == []
    assert migrator.get_migration_status().applied_versions == [1]


def test_by_hand_nothing_is_recorded(engine: Engine) -> None:
    class ByHand(BaseMigration):
        version = 1

        def up(self) -> None:
            self.execute_sql("CREATE TABLE half (id INTEGER)")
            self.execute_sql("SELECT nothing")

    with pytest.raises(MigrationFailed, match=r"permanent: 1 statement(.|\n)*then: ByHand\(\.\.\.\)\.run\(\)"):
        ByHand(engine).run()
    assert rows(engine, "SHOW TABLES") == [("half",)]


# What a migration must not do to its transaction


@pytest.mark.parametrize(
    "ending",
    [
        "self.execute_sql('COMMIT')",
        "self.execute_sql('/* at last */ commit work')",
        "self.execute_sql('/*!40000 COMMIT */')",
        "self.execute_sql('# x\\nROLLBACK')",
        "self.execute_sql('-- x\\nROLLBACK AND CHAIN')",
        "self.execute_sql('BEGIN')",
        "self.execute_sql('START TRANSACTION')",
        "self.execute_sql('SET autocommit = 1')",
        "self.execute_sql('SET @x = 1, @@session.autocommit = ON')",
        "self.execute_sql(\"XA START 'x'\")",
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
    folder.table(1)
    folder.add(2, f"{WRITTEN}{ending}")
    with pytest.raises(TransactionEnded) as caught:
        migrator.migrate()
    assert migrator.get_current_version() == 1
    assert failures(migrator)
    if "connection.connection" not in ending:
        assert caught.value.undone
        assert rows(engine, "SELECT id FROM t1") == [(1,)]
        return
    # The driver's own way ends it before anybody can say no; it is found out, and the next boot is told.
    assert not caught.value.undone
    with pytest.raises(InterruptedMigration, match="ended from inside"):
        of(engine, folder).migrate()


def test_savepoints_and_names_like_endings(migrator: Migrator, folder: Folder, engine: Engine) -> None:
    up = r"""self.execute_sql("CREATE TABLE commit_log (id INTEGER PRIMARY KEY, `begin` TEXT, `end` TEXT)")
self.execute_sql("SAVEPOINT a")
self.execute_sql("INSERT INTO commit_log VALUES (1, 'COMMIT; ROLLBACK', NULL)")
self.execute_sql("ROLLBACK TO SAVEPOINT a")
self.execute_sql("INSERT INTO commit_log VALUES (2, 'it\\'s; COMMIT;', 'END')")
self.execute_sql("ROLLBACK WORK TO a")
self.execute_sql("INSERT INTO commit_log VALUES (2, \"; COMMIT\", 'END')")
self.execute_sql("RELEASE SAVEPOINT a")
self.execute_sql("PREPARE two FROM 'SELECT 2'")
self.execute_sql("CREATE TRIGGER t AFTER INSERT ON commit_log FOR EACH ROW BEGIN SET @a = 1; SET @b = 2; END")
try:
    with self.db.transaction():
        self.execute_sql("INSERT INTO commit_log VALUES (2, 'twice', NULL)")
except Exception: pass"""
    folder.add(1, up)
    assert migrator.migrate().applied == [1]
    assert rows(engine, "SELECT id, `begin` FROM commit_log") == [(2, "; COMMIT")]


def test_settings_are_given_back(engine: Engine, engines: Engines, folder: Folder) -> None:
    """Its records go where they belong, whatever it has set, and whatever database it uses."""
    other = f"{engine.url.database}_2"
    with engine.begin() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {other}")
    up = f"""self.execute_sql("SET sql_mode = '', foreign_key_checks = 0, time_zone = '+05:00', unique_checks = 0")
self.execute_sql("SET NAMES latin1")
self.execute_sql("USE {other}")
self.execute_sql("CREATE TABLE there (id INTEGER)")
self.execute_sql("INSERT INTO there VALUES (1)")"""
    folder.add(1, up)
    folder.table(2)
    engine = engines(pool_size=1, max_overflow=0)
    asked = "SELECT @@sql_mode, @@foreign_key_checks, @@time_zone, @@unique_checks, @@character_set_client"
    before = rows(engine, asked)
    try:
        assert of(engine, folder).migrate().applied == [1, 2]
        assert rows(engine, asked) == before
        assert tables(engine) == ["t2"]
        assert rows(engine, f"SHOW TABLES FROM {other}") == [("there",)]
        folder.add(
            3, f"self.execute_sql('USE {other}')\nself.execute_sql('CREATE TABLE two (id INTEGER)')\nraise OSError"
        )
        with pytest.raises(MigrationFailed):
            of(engine, folder).migrate()
        assert of(engine, folder).get_migration_status().interrupted_versions == [3]
        assert rows(engine, "SELECT DATABASE()") == [(engine.url.database,)]
    finally:
        with engine.begin() as connection:
            connection.exec_driver_sql(f"DROP DATABASE {other}")


# Several at once, and the lock


def test_a_lock_that_is_not_had_in_time_names_its_holder(engines: Engines, folder: Folder) -> None:
    begun, ended = folder.path.parent / "begun", folder.path.parent / "ended"
    up = f"""import pathlib, time
pathlib.Path({str(begun)!r}).touch()
while not pathlib.Path({str(ended)!r}).exists(): time.sleep(0.02)"""
    folder.add(1, up)
    done = threading.Thread(target=lambda: of(engines(), folder).migrate())
    done.start()
    while not begun.exists():
        time.sleep(0.02)
    for timeout in (0, 0.2, 1.2):
        began = time.monotonic()
        with pytest.raises(DatabaseLocked, match=r"server connection \d+ of \w+ at \S+ is migrating it"):
            of(engines(), folder, lock_timeout=timeout).migrate()
        assert time.monotonic() - began >= timeout
    # Another history of the same database waits for nobody.
    other = Folder(folder.path.parent / "other")
    other.table(1)
    assert of(engines(), other, lock_timeout=0.2, versions_table="v", history_table="h").migrate().applied == [1]
    ended.touch()
    done.join()


def test_whoever_waited_finds_it_done(engines: Engines, folder: Folder) -> None:
    """Under REPEATABLE READ, which is the server's default: a snapshot from before the lock would not show it."""
    folder.add(1, "import time\ntime.sleep(0.7)\nself.execute_sql('CREATE TABLE t (id INTEGER)')")
    first = threading.Thread(target=lambda: of(engines(), folder).migrate())
    first.start()
    time.sleep(0.3)
    assert of(engines(isolation_level="REPEATABLE READ"), folder).migrate().applied == []
    first.join()


@pytest.mark.parametrize("level", ["AUTOCOMMIT", "SERIALIZABLE", "READ COMMITTED"])
def test_engines_of_another_isolation(engines: Engines, folder: Folder, level: str) -> None:
    engine = engines(isolation_level=level, pool_size=1, max_overflow=0)
    folder.table(1)
    folder.add(2, f"{WRITTEN}raise ValueError")
    with pytest.raises(MigrationFailed):
        of(engine, folder).migrate()
    assert rows(engine, "SELECT id FROM t1") == [(1,)]
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT @@autocommit").scalar() == (level == "AUTOCOMMIT")
        assert connection.get_isolation_level() == ("REPEATABLE READ" if level == "AUTOCOMMIT" else level)


def test_a_row_that_somebody_else_has_locked(engine: Engine, engines: Engines, folder: Folder) -> None:
    folder.table(1)
    of(engine, folder).migrate()
    up = "self.execute_sql('SET innodb_lock_wait_timeout = 1')\nself.execute_sql('DELETE FROM t1')"
    folder.add(2, up)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE t1 SET n = 'x'")
        with pytest.raises(DatabaseLocked, match="migration 2 was at: DELETE FROM t1"):
            of(engines(), folder).migrate()
    assert of(engine, folder).migrate().applied == [2]


def test_a_deadlock(engine: Engine, engines: Engines, folder: Folder) -> None:
    folder.table(1)
    folder.table(2)
    of(engine, folder).migrate()
    begun = folder.path.parent / "begun"
    up = f"""import pathlib
self.execute_sql("UPDATE t1 SET n = 'a'")
pathlib.Path({str(begun)!r}).touch()
self.execute_sql("UPDATE t2 SET n = 'a'")"""
    folder.add(3, up)
    caught: list[BaseException] = []

    def migrate() -> None:
        try:
            of(engines(), folder).migrate()
        except DatabaseLocked as error:
            caught.append(error)

    thread = threading.Thread(target=migrate)
    with engine.begin() as connection:
        # The one who has written less is sacrificed.
        connection.exec_driver_sql("INSERT INTO t2 (id, n) VALUES (7, 'x'), (8, 'x'), (9, 'x'), (10, 'x')")
        connection.exec_driver_sql("UPDATE t2 SET n = 'b'")
        thread.start()
        while not begun.exists():
            time.sleep(0.02)
        connection.exec_driver_sql("UPDATE t1 SET n = 'b'")
    thread.join()
    assert "Deadlock" in str(caught[0])
    assert rows(engine, "SELECT n FROM t1") == [("b",)]


# Killed


class DeadlyEngine:
    """Kills its process when the statement of a number is about to run; a raw read of the driver's does not count."""

    def __init__(self, engine: Engine, at: int) -> None:
        self.at, self.count = at, 0
        event.listen(engine, "before_cursor_execute", self._look)
        event.listen(engine, "after_cursor_execute", self._look, named=True)

    def _look(self, *_: Any, **after: Any) -> None:
        # Where a statement has only read, it is all the same whether it has.
        if after and after["statement"].startswith(("SELECT", "DESCRIBE", "SHOW")):
            return
        self.count += 1
        if self.count == self.at:
            os.kill(os.getpid(), signal.SIGKILL)


def in_fork(engines: Engines, folder: Folder, at: int) -> int:
    def migrate() -> None:
        engine = engines(poolclass=NullPool)
        DeadlyEngine(engine, at)
        of(engine, folder).migrate()

    return in_child(migrate)


def kills(engines: Engines, engine: Engine, folder: Folder, first: int, back: str) -> Iterator[int]:
    """
    The number of each event (a statement begins, a statement has ended) at which a process was killed, and of the
    first that it did not come to.

    Args:
        back: What puts the database back after each.
    """
    for at in count(first):
        ended = in_fork(engines, folder, at)
        yield at
        with engine.begin() as connection:
            for statement in back.split(";"):
                connection.exec_driver_sql(statement)
        if not ended:
            return
        assert ended == signal.SIGKILL


@pytest.mark.thorough
def test_killed_while_its_own_tables_are_made(engines: Engines, folder: Folder) -> None:
    """That is DDL as well; the next boot makes what is missing."""
    folder.table(1)
    engine = engines(poolclass=NullPool)
    seen = set()
    for at in kills(engines, engine, folder, 1, "DROP TABLE migration_versions, migration_history, t1"):
        found = {name for (name,) in rows(engine, "SHOW TABLES")}
        seen.add(len(found))
        if at > 1 and found >= {"migration_versions", "migration_history"}:
            assert of(engine, folder).migrate_to_version(1) or True
            break
        assert of(engine, folder).migrate().applied == [1]
    assert seen == {0, 1, 2}


def test_the_server_ends_the_connection(engine: Engine, engines: Engines, folder: Folder) -> None:
    folder.table(1)
    up = f"{WRITTEN}self.execute_sql('KILL CONNECTION CONNECTION_ID()')\nself.execute_sql('SELECT 1')"
    folder.add(2, up)
    with pytest.raises(DatabaseUnavailable, match="migration 2 was at: KILL CONNECTION") as caught:
        of(engine, folder).migrate()
    assert not isinstance(caught.value, DatabaseLocked)
    assert rows(engines(), "SELECT id FROM t1") == [(1,)]
    assert of(engines(), folder).get_migration_status().interrupted_versions == []
    assert "KILL CONNECTION" in failures(of(engines(), folder))[0]["error_message"]
    folder.table(2)
    assert of(engine, folder).migrate().applied == [2]


@pytest.mark.parametrize("at", ["SELECT SLEEP(3)", "CREATE TABLE slow AS SELECT SLEEP(3) AS x"])
def test_a_connection_that_is_killed_behind_ddl(engine: Engine, engines: Engines, folder: Folder, at: str) -> None:
    """The process lives on: the next call does not wait for it, for it has not got the lock any more."""
    folder.table(1)
    folder.add(2, f"{MADE}self.execute_sql({at!r})\nself.execute_sql('SELECT 1')")
    caught: list[BaseException] = []

    def migrate() -> None:
        try:
            of(engine, folder).migrate()
        except DatabaseUnavailable as error:
            caught.append(error)

    thread = threading.Thread(target=migrate)
    thread.start()
    others = "db = DATABASE() AND id <> CONNECTION_ID()"
    busy = f"SELECT id FROM information_schema.processlist WHERE {others} AND info LIKE '%%SLEEP(3)%%'"
    watcher = engines()
    until = time.monotonic() + 10
    while not (found := rows(watcher, busy)) and time.monotonic() < until:
        time.sleep(0.05)
    with watcher.begin() as connection:
        connection.exec_driver_sql(f"KILL CONNECTION {found[0][0]}")
    thread.join(30)
    said = str(caught[0])
    assert f"was at: {at}" in said
    assert "permanent: 1 statement on the schema: CREATE TABLE half (id INTEGER)" in said
    began = time.monotonic()
    with pytest.raises(InterruptedMigration, match="CREATE TABLE half"):
        of(engine, folder).migrate()
    assert time.monotonic() - began < 10
    migrator = of(engines(), folder)
    assert migrator.repair(interrupted="retry") == ["migration 2 is pending again"]


# Outside of a transaction


def test_outside_a_transaction(engine: Engine, folder: Folder) -> None:
    folder.table(1)
    folder.add(
        2,
        "self.execute_sql('CREATE INDEX ix ON t1 (n(10))')\nself.execute_sql('OPTIMIZE TABLE t1')",
        "self.execute_sql('DROP INDEX ix ON t1')",
        extra="transactional = False",
    )
    migrator = of(engine, folder)
    assert migrator.migrate().applied == [1, 2]
    assert migrator.rollback_to_version(0).rolled_back == [2, 1]


# Resumable


def test_ddl_inside_a_batch_is_refused(engine: Engine, folder: Folder) -> None:
    visited(folder, "\n    self.execute_sql('CREATE TABLE IF NOT EXISTS half (id INTEGER)')")
    with pytest.raises(MigrationFailed, match=r"half a batch(.|\n)*CREATE TABLE IF NOT EXISTS half"):
        of(engine, folder).migrate()
    assert rows(engine, "SELECT DISTINCT done FROM t") == [(0,)]
    assert tables(engine) == ["t"]
    visited(folder)
    assert of(engine, folder).migrate().applied == [2]


def test_a_resumable_one_says_what_its_ddl_has_left(engine: Engine, folder: Folder) -> None:
    visited(folder, before="self.execute_sql('ALTER TABLE t ADD COLUMN IF NOT EXISTS m INTEGER')\nraise ValueError\n")
    with pytest.raises(MigrationFailed, match="permanent: 1 statement on the schema: ALTER TABLE t"):
        of(engine, folder).migrate()
    visited(folder, before="self.execute_sql('ALTER TABLE t ADD COLUMN IF NOT EXISTS m INTEGER')\n")
    assert of(engine, folder).migrate().applied == [2]


def test_whoever_was_taken_over_stops(
    engine: Engine, engines: Engines, folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its connection was ended by the server: another has the lock, and goes on."""
    visited(folder)
    stolen: list[int] = []
    holder: list[int] = []
    event.listen(engine, "connect", lambda raw, _: holder.append(raw.thread_id()))

    def steal(done: int, total: int, message: str) -> None:
        if "rows/s" in message and not stolen:
            with engines().begin() as connection:
                connection.execute(text(f"KILL CONNECTION {holder[0]}"))
            stolen.extend(of(engines(), folder, lock_timeout=30).migrate().applied)

    monkeypatch.setattr("sqlmig.data.pace._EVERY", 0.0)
    with pytest.raises((DatabaseUnavailable, MigrationFailed, TakenOver)):
        of(engine, folder, progress=steal).migrate()
    assert stolen == [2]
    assert rows(engine, "SELECT DISTINCT done FROM t") == [(1,)]


# In a caller's transaction


# Places, and what cannot be


def test_a_server_that_takes_no_writes(engines: Engines, engine: Engine, folder: Folder) -> None:
    folder.table(1)
    reader = engines(connect_args={"init_command": "SET SESSION TRANSACTION READ ONLY"})
    with pytest.raises(DatabaseNotWritable, match="READ ONLY"):
        of(reader, folder).migrate()
    of(engine, folder).migrate()
    folder.table(2)
    with pytest.raises(DatabaseNotWritable, match=r"READ ONLY(.|\n)*Look at the grants"):
        of(reader, folder).migrate()
    assert tables(engine) == ["t1"]


def test_a_user_who_may_only_read(engines: Engines, engine: Engine, folder: Folder) -> None:
    folder.table(1)
    of(engine, folder).migrate()
    folder.table(2)
    name = str(engine.url.database)[-20:]
    with engine.begin() as connection:
        connection.exec_driver_sql(f"CREATE USER {name} IDENTIFIED BY 'secret'")
        connection.exec_driver_sql(f"GRANT SELECT ON {engine.url.database}.* TO {name}")
    try:
        reader = of(engines(url=engine.url.set(username=name, password="secret")), folder)
        assert reader.get_current_version() == 1
        with pytest.raises(DatabaseNotWritable, match="denied") as caught:
            reader.migrate()
        assert "secret" not in str(caught.value)
        wrong = engines(url=engine.url.set(username=name, password="wrong"))
        with pytest.raises(DatabaseUnavailable, match="Access denied"):
            of(wrong, folder).migrate()
    finally:
        with engine.begin() as connection:
            connection.exec_driver_sql(f"DROP USER {name}")


def test_a_server_that_is_not_there(engine: Engine, engines: Engines, folder: Folder) -> None:
    folder.table(1)
    for url in (engine.url.set(port=1), engine.url.set(database="nowhere_at_all")):
        with pytest.raises(DatabaseUnavailable, match="refused or lost"):
            of(engines(url=url), folder).migrate()


def test_a_table_that_is_full(engine: Engine, folder: Folder) -> None:
    """A table in memory has a size of its own, and says the same as a disk that is full."""
    from sqlmig import DiskFull

    up = """self.execute_sql("SET max_heap_table_size = 16384")
self.execute_sql("CREATE TABLE small (n CHAR(200)) ENGINE = MEMORY")
self.execute_sql("INSERT INTO small VALUES (?)", [("x" * 200,) for _ in range(2000)])"""
    folder.add(1, up)
    with pytest.raises(DiskFull, match=r"is full; migration 1 was at: INSERT INTO small.*permanent: 1 statement"):
        of(engine, folder).migrate()
