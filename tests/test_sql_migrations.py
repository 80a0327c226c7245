"""Migrations in plain SQL on every database: they do, and are told, what those in Python do and are told."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from conftest import Folder, failures
from places import Engines, Place
from sqlalchemy import Engine, event, inspect

from sqlmig import (
    DatabaseLocked,
    DataLossError,
    InterruptedMigration,
    MigrationFailed,
    Migrator,
    NotAtomic,
    RollbackNotSupported,
    StatementTimeout,
    ValidationFailed,
)

UP, DOWN = "-- sqlmig: up", "-- sqlmig: down"
MADE = "CREATE TABLE t1 (id INTEGER PRIMARY KEY, n VARCHAR(40));"

TRIGGERS = """\
-- sqlmig: up sqlite
CREATE TRIGGER shout AFTER INSERT ON t1 BEGIN
    UPDATE t1 SET n = n || '!' WHERE id = new.id; -- END;
    UPDATE t1 SET n = n || CASE WHEN new.id > 1 THEN ';' ELSE '.' END WHERE id = new.id;
END;
INSERT INTO t1 VALUES (1, 'a'), (2, 'b');

-- sqlmig: up postgresql
CREATE FUNCTION shouted() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    NEW.n := NEW.n || '!'; -- ' END;
    NEW.n := NEW.n || CASE WHEN NEW.id > 1 THEN ';' ELSE '.' END;
    RETURN NEW;
END $body$;
CREATE TRIGGER shout BEFORE INSERT ON t1 FOR EACH ROW EXECUTE FUNCTION shouted();
INSERT INTO t1 VALUES (1, 'a'), (2, 'b');

-- sqlmig: up mariadb
CREATE TRIGGER shout BEFORE INSERT ON t1 FOR EACH ROW
IF NEW.id > 1 THEN
    SET NEW.n = CONCAT(NEW.n, '!;');
ELSE
    SET NEW.n = CONCAT(NEW.n, '!.');
END IF;
INSERT INTO t1 VALUES (1, 'a'), (2, 'b');
CREATE PROCEDURE nothing()
BEGIN
    DECLARE EXIT HANDLER FOR SQLEXCEPTION BEGIN END;
    SELECT 1; -- END
    SELECT 2 FROM t1;
END;
CALL nothing();

-- sqlmig: down
DROP TRIGGER shout;
DELETE FROM t1;

-- sqlmig: down postgresql
DROP TRIGGER shout ON t1;
DROP FUNCTION shouted();
DELETE FROM t1;

-- sqlmig: down mysql
DROP TRIGGER shout;
DROP PROCEDURE nothing;
DELETE FROM t1;
"""


@pytest.fixture
def engine(engines: Engines) -> Engine:
    return engines()


def test_sections_of_each_database(place: Place, folder: Folder) -> None:
    folder.sql(1, UP, MADE, DOWN, "DROP TABLE t1;")
    folder.write("002_shout.sql", TRIGGERS)
    migrator = place.migrator(folder)
    assert migrator.migrate().applied == [1, 2]
    assert place.rows("SELECT n FROM t1 ORDER BY id") == [("a!.",), ("b!;",)]
    assert migrator.rollback_to_version(0).rolled_back == [2, 1]
    assert place.tables() == []


def test_the_files_of_the_documentation(place: Place, folder: Folder) -> None:
    page = (Path(__file__).parents[1] / "docs" / "sql-migrations.md").read_text()
    for name, text in re.findall(r"`migrations/(\w+\.\w+)`:\n\n```\w+\n(.*?)^```", page, re.DOTALL | re.MULTILINE):
        folder.write(name, text)
    migrator = place.migrator(folder)
    assert migrator.migrate().applied == [1, 2, 3, 4]
    place.run("INSERT INTO documents (id, title) VALUES (2, 'Sketch')")
    assert place.rows("SELECT title, language FROM documents ORDER BY id") == [
        ("Der Zauberberg", "de"),
        ("Sketch!", "en"),
    ]


def test_text_goes_to_the_database_as_it_is(place: Place, folder: Folder, engine: Engine) -> None:
    """A literal, and an operator, is no placeholder of any driver."""
    own = {"postgresql": """INSERT INTO t1 SELECT 5 % 3 + 7, 'json' WHERE '{"a": 1}'::jsonb ? 'a';"""}
    folder.sql(
        1,
        UP,
        MADE,
        "INSERT INTO t1 VALUES (1, '50% ? :x %s %(x)s {y} $1');",
        "INSERT INTO t1 (id, n) SELECT 7 % 4, 'it''s; -- one';",
        own.get(place.database, ""),
        "SELECT * FROM t1;",
        "UPDATE t1 SET n = 'two\n  lines /*' WHERE id = 3",
    )
    seen: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *given: seen.append(given[2]))
    assert place.migrator(folder, engine).migrate().applied == [1]
    assert place.rows("SELECT n FROM t1 WHERE id < 9 ORDER BY id") == [
        ("50% ? :x %s %(x)s {y} $1",),
        ("two\n  lines /*",),
    ]
    # One at a time.
    assert [text for text in seen if "t1" in text and "VALUES" in text and "%s" in text] == [
        "INSERT INTO t1 VALUES (1, '50% ? :x %s %(x)s {y} $1')"
    ]


def test_what_is_told_of_it(place: Place, folder: Folder) -> None:
    folder.table(1)
    folder.sql(
        2,
        "-- sqlmig: description:  Rows have   a name",
        "-- sqlmig: depends: 1",
        "-- sqlmig: removes: t1.n",
        UP,
        "ALTER TABLE t1 DROP COLUMN n;",
        name="002_x.sql",
    )
    folder.sql(3, UP, "CREATE TABLE t3 (id INTEGER);", name="003_add_the_third.sql")
    migrator = place.migrator(folder)
    plan = migrator.get_migration_plan()
    assert [(s.version, s.description, s.dependencies, s.removes, s.rollback_supported) for s in plan.steps[1:]] == [
        (2, "Rows have a name", [1], ["t1.n"], False),
        (3, "add the third", [], [], False),
    ]
    assert migrator.get_migration_status().removes == {2: ["t1.n"]}
    result = migrator.migrate()
    assert [str(loss) for loss in result.losses] == ["drop t1.n (1 value)"]
    assert [entry["description"] for entry in migrator.get_migration_history(2)] == [
        "add the third",
        "Rows have a name",
    ]
    with pytest.raises(RollbackNotSupported, match="Rows have a name"):
        migrator.rollback_to_version(0)
    assert migrator.get_current_version() == 3


def test_a_statement_that_is_refused_names_its_line(place: Place, folder: Folder) -> None:
    folder.sql(1, UP, MADE, "INSERT INTO t1 VALUES (1, 'row');", DOWN, "DROP TABLE t1;")
    migrator = place.migrator(folder)
    migrator.migrate()
    before = place.contents()
    made = "CREATE TABLE half (id INTEGER);" if place.undoes_ddl else "UPDATE t1 SET n = 'half';"
    path = folder.sql(2, UP, made, "", "-- This one.", "INSERT INTO nowhere", "VALUES ('secret');", "SELECT 1;")
    with pytest.raises(MigrationFailed, match=r"statement in 002_step_2\.sql:5: INSERT INTO nowhere VALUES") as caught:
        migrator.migrate()
    assert (caught.value.place, caught.value.undone) == ((path, 5), True)
    assert "002_step_2.sql:5" in failures(migrator)[0]["error_message"]
    assert place.contents() == before
    # The first is refused by its syntax, which nothing comes before: on MariaDB nothing is there to stay either.
    folder.sql(2, UP, "", "CREATE TABEL half (id INTEGER);")
    with pytest.raises(MigrationFailed, match=r"002_step_2\.sql:3: CREATE TABEL") as caught:
        migrator.migrate()
    assert place.contents() == before
    folder.sql(2, UP, "SELECT 1;", DOWN, "SELECT 1;", "DROP TABLE nowhere;")
    migrator.migrate()
    with pytest.raises(MigrationFailed, match=r"failed to roll back.*\n  statement in 002_step_2\.sql:5: DROP TABLE"):
        migrator.rollback_to_version(1)
    assert (migrator.get_current_version(), place.rows("SELECT id FROM t1")) == (2, [(1,)])


def test_what_can_be_known_before_is_known_before(place: Place, folder: Folder) -> None:
    folder.sql(1, UP, MADE)
    folder.sql(2, UP, "SELECT 1;", "SELECT 'open;")
    migrator = place.migrator(folder)
    (issue,) = place.manager(folder).validate_migration_sequence()
    assert str(issue) == "002_step_2.sql:3: a string begins here and has no end"
    assert (issue.kind, issue.version, issue.line, issue.path) == ("sql", 2, 3, folder.path / "002_step_2.sql")
    assert migrator.get_migration_plan().validation_issues == [issue]
    with pytest.raises(ValidationFailed, match=r"002_step_2\.sql:3: a string begins here"):
        migrator.migrate()
    assert place.tables() == []


def test_a_file_for_other_databases_alone(place: Place, folder: Folder) -> None:
    others = [word for word in ("sqlite", "postgresql", "mariadb") if word != place.database]
    folder.sql(1, *[line for word in others for line in (f"{UP} {word}", MADE)])
    with pytest.raises(ValidationFailed, match=r'001_step_1\.sql:1: its section "up" is for .* alone'):
        place.migrator(folder).migrate()
    assert place.tables() == []


def test_a_loss_that_is_not_declared(place: Place, folder: Folder) -> None:
    folder.table(1)
    folder.sql(2, UP, "SELECT 1;", "DROP TABLE t1;")
    migrator = place.migrator(folder)
    with pytest.raises(DataLossError, match=r"say so in the migration: -- sqlmig: removes: t1\. Then: sqlmig up"):
        migrator.migrate()
    assert place.rows("SELECT count(*) FROM t1") == [(1,)]
    folder.sql(2, "-- sqlmig: removes: t1", UP, "SELECT 1;", "DROP TABLE t1;")
    assert [str(loss) for loss in migrator.migrate().losses] == ["drop t1 (1 row)"]


def test_edits_are_told_from_comments(place: Place, folder: Folder) -> None:
    folder.sql(1, UP, MADE, "INSERT INTO t1 VALUES (1, 'a -- b');")
    place.migrator(folder).migrate()
    folder.sql(
        1,
        "-- sqlmig: description: The first",
        "/* It makes",
        "   a table. */",
        UP,
        "",
        MADE.replace("(id", "( id"),
        "-- With a row.",
        "INSERT INTO t1",
        "    VALUES (1, 'a -- b'); -- a",
    )
    folder.table(2)
    migrator = place.migrator(folder)
    assert migrator.migrate().applied == [2]
    folder.sql(1, UP, MADE, "INSERT INTO t1 VALUES (1, 'a -- c');")
    folder.table(3)
    with pytest.raises(ValidationFailed, match="migration 1 was edited after it was applied"):
        migrator.migrate()
    assert migrator.repair() == ["the edited file of migration 1 was accepted"]
    assert migrator.migrate().applied == [3]
    folder.sql(1, "nonsense")
    (issue,) = [one for one in place.manager(folder).validate_migration_sequence() if one.kind == "edited"]
    assert issue.version == 1


def test_a_python_file_that_became_an_sql_file_is_an_edit(place: Place, folder: Folder) -> None:
    path = folder.table(1)
    place.migrator(folder).migrate()
    path.unlink()
    folder.sql(1, UP, MADE)
    (issue,) = place.manager(folder).validate_migration_sequence()
    assert "was applied from 001_step_1.py, and 001_step_1.sql says something else" in issue


def test_in_the_transaction_of_a_caller(place: Place, folder: Folder, engine: Engine) -> None:
    folder.sql(1, UP, MADE)
    Migrator(engine, folder.path).migrate()
    folder.sql(2, UP, "INSERT INTO t1 VALUES (1, 'a');", DOWN, "DELETE FROM t1;")
    with engine.connect() as connection:
        assert Migrator(connection, folder.path).migrate().applied == [2]
        connection.rollback()
    assert place.rows("SELECT * FROM t1") == []
    with engine.begin() as connection:
        Migrator(connection, folder.path).migrate()
    assert place.rows("SELECT id FROM t1") == [(1,)]
    folder.sql(3, "-- sqlmig: transactional: false", UP, "SELECT 1;")
    with engine.connect() as connection, pytest.raises(NotAtomic):
        Migrator(connection, folder.path).migrate()


def test_all_or_nothing(place: Place, folder: Folder) -> None:
    place.run(MADE)
    folder.sql(1, UP, "INSERT INTO t1 VALUES (1, 'a');")
    folder.sql(2, UP, "INSERT INTO t1 VALUES (2, 'b');", "INSERT INTO t1 VALUES (1, 'c');")
    with pytest.raises(MigrationFailed, match=r"002_step_2\.sql:3"):
        place.migrator(folder).migrate(all_or_nothing=True)
    assert place.rows("SELECT * FROM t1") == []


def test_by_hand(place: Place, folder: Folder) -> None:
    folder.sql(1, UP, MADE, DOWN, "DROP TABLE t1;", name="001_a_first_table.sql")
    folder.sql(2, UP, "SELECT 1;", "INSERT INTO t1 VALUES (1, nowhere);")
    manager = place.manager(folder)
    first, second = manager.create_migration(1), manager.create_migration(2)
    assert (type(first).__name__, first.version, first.rollback_supported) == ("AFirstTable", 1, True)
    assert first.run() is True
    with pytest.raises(MigrationFailed, match=r"statement in 002_step_2\.sql:3: INSERT"):
        second.run()
    with pytest.raises(RollbackNotSupported):
        second.rollback()
    assert first.rollback() is True
    assert place.tables() == []


def test_outside_a_transaction(place: Place, folder: Folder, engine: Engine) -> None:
    """It is marked until it is done, and its own transactions are its own."""
    folder.sql(1, UP, MADE)
    loose = "-- sqlmig: transactional: false"
    rest = ["BEGIN;", "INSERT INTO t1 VALUES (3, 'c');", "ROLLBACK;", "BEGIN;", "INSERT INTO t1 VALUES (2, 'b');"]
    folder.sql(2, loose, UP, "INSERT INTO t1 VALUES (1, 'a');", *rest, "INSERT INTO nowhere VALUES (1);", "COMMIT;")
    migrator = place.migrator(folder, engine)
    with pytest.raises(MigrationFailed, match=r"outside a transaction") as caught:
        migrator.migrate()
    assert caught.value.place == (folder.path / "002_step_2.sql", 9)
    assert place.rows("SELECT id FROM t1") == [(1,)]
    with pytest.raises(InterruptedMigration):
        migrator.migrate()
    folder.sql(2, loose, UP, *rest, "COMMIT;", DOWN, "DELETE FROM t1;")
    assert migrator.repair(interrupted="retry") == ["migration 2 is pending again"]
    assert migrator.migrate().applied == [2]
    assert place.rows("SELECT id FROM t1 ORDER BY id") == [(1,), (2,)]
    assert migrator.rollback_to_version(1).rolled_back == [2]
    assert place.rows("SELECT id FROM t1") == []


def test_what_fails_behind_the_last_statement_is_of_no_line(place: Place, folder: Folder) -> None:
    folder.table(1)
    migrator = place.migrator(folder)
    migrator.migrate()
    if place.database != "mariadb":
        child = "CREATE TABLE c (t1 INTEGER REFERENCES t1 (id) DEFERRABLE INITIALLY DEFERRED);"
        engine = place.engine()
        if place.database == "sqlite":
            event.listen(engine, "connect", lambda raw, _: raw.execute("PRAGMA foreign_keys = ON"))
        folder.sql(2, UP, child, "INSERT INTO c VALUES (7);")
        with pytest.raises(MigrationFailed, match=r"statement: COMMIT") as caught:
            place.migrator(folder, engine, on_data_loss="ignore").migrate()
        assert caught.value.place is None
    folder.sql(2, "-- sqlmig: transactional: false", UP, "BEGIN;", "INSERT INTO t1 VALUES (2, 'b');")
    with pytest.raises(MigrationFailed, match="began a transaction and did not end it") as caught:
        migrator.migrate()
    assert caught.value.place is None
    assert place.rows("SELECT id FROM t1") == [(1,)]


def test_an_interrupted_one_that_is_said_to_be_complete(place: Place, folder: Folder) -> None:
    folder.sql(1, UP, MADE)
    folder.sql(2, "-- sqlmig: transactional: false", UP, "SELECT * FROM nowhere;")
    migrator = place.migrator(folder)
    with pytest.raises(MigrationFailed):
        migrator.migrate()
    migrator.repair(interrupted="applied")
    assert migrator.get_current_version() == 2
    assert place.manager(folder).validate_migration_sequence() == []


@pytest.mark.parametrize("place", ["postgresql"], indirect=True)
def test_what_postgresql_refuses_in_a_transaction(place: Place, folder: Folder) -> None:
    folder.table(1)
    index = "CREATE INDEX CONCURRENTLY ix_n ON t1 (n);"
    folder.sql(2, UP, "", index)
    migrator = place.migrator(folder)
    said = r"(?s)002_step_2\.sql:3: CREATE INDEX.*Say `-- sqlmig: transactional: false` in the migration, then"
    with pytest.raises(MigrationFailed, match=said):
        migrator.migrate()
    loose = "-- sqlmig: transactional: false"
    folder.sql(2, loose, UP, "", index, DOWN, "DROP INDEX CONCURRENTLY ix_n;")
    assert migrator.migrate().applied == [2]
    assert [one["name"] for one in inspect(place.look).get_indexes("t1")] == ["ix_n"]
    assert migrator.rollback_to_version(1).rolled_back == [2]
    assert inspect(place.look).get_indexes("t1") == []


def test_a_statement_that_takes_too_long(place: Place, folder: Folder) -> None:
    endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 1000000000)"
    slow = {
        "sqlite": f"{endless} SELECT max(x) FROM n;",
        "postgresql": "SELECT pg_sleep(20);",
        "mariadb": "SELECT sleep(20) FROM t1;",
    }
    folder.table(1)
    folder.sql(2, UP, "INSERT INTO t1 VALUES (2, 'b');", slow[place.database])
    with pytest.raises(StatementTimeout, match=r"(?s)002_step_2\.sql:3: .*Give it more time, or .* in smaller parts"):
        place.migrator(folder, statement_timeout=0.3).migrate()
    assert place.rows("SELECT id FROM t1") == [(1,)]


@pytest.mark.parametrize("place", ["postgresql"], indirect=True)
def test_a_table_that_stays_locked(place: Place, folder: Folder) -> None:
    folder.table(1)
    place.migrator(folder).migrate()
    folder.sql(2, UP, "SELECT 1;", "", "ALTER TABLE t1 ADD COLUMN m INTEGER;")
    with place.look.begin() as holder:
        holder.exec_driver_sql("LOCK TABLE t1")
        with pytest.raises(DatabaseLocked, match=r"migration 2 was at 002_step_2\.sql:4: ALTER TABLE t1"):
            place.migrator(folder, lock_timeout=0.3).migrate()


@pytest.mark.parametrize("place", ["mariadb"], indirect=True)
def test_what_is_permanent_is_told_where_ddl_commits(place: Place, folder: Folder) -> None:
    folder.sql(1, UP, MADE, "CREATE TABLE t2 (id INTEGER);", "CREATE TABLE t1 (id INTEGER);")
    with pytest.raises(MigrationFailed, match=r"statement in 001_step_1\.sql:4: CREATE TABLE t1") as caught:
        place.migrator(folder).migrate()
    assert "CREATE TABLE t2" in caught.value.permanent


@pytest.mark.parametrize("place", ["mariadb"], indirect=True)
def test_what_mariadb_executes_in_a_comment(place: Place, folder: Folder) -> None:
    folder.sql(1, UP, MADE, "/*!50001 INSERT INTO t1 VALUES (1, ';') */;", "/*M! INSERT INTO t1 VALUES (2, 'm') */;")
    place.migrator(folder).migrate()
    assert place.rows("SELECT n FROM t1 ORDER BY id") == [(";",), ("m",)]
