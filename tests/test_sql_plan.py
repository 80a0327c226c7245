"""The SQL of a plan: what migrations would send, and that nothing is changed by asking."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from check_support import server_of_its_own
from click.testing import CliRunner
from conftest import Folder
from places import Place

from sqlmig import CheckImpossible, ConfigurationError, MigrationFailed, Migrator, UnknownVersion
from sqlmig.cli.app import app
from sqlmig.sql_text import only_reads


@pytest.fixture
def library(folder: Folder) -> Folder:
    """People, and then a column that is filled row by row."""
    folder.add(
        1,
        'self.execute_sql("CREATE TABLE people (id INTEGER PRIMARY KEY, name VARCHAR(40))")\n'
        'self.execute_sql("INSERT INTO people (id, name) VALUES (?, ?)", [(1, "Ada"), (2, "Bob")])',
        'self.execute_sql("DROP TABLE people")',
    )
    folder.add(
        2,
        "from sqlalchemy import Column, Integer\n"
        'self.add_column("people", Column("age", Integer))\n'
        'for row in self.execute_sql("SELECT id FROM people").fetchall():\n'
        '    self.execute_sql("UPDATE people SET age = ? WHERE id = ?", (row[0] * 10, row[0]))',
        'self.drop_column("people", "age")',
    )
    return folder


def test_what_would_be_sent(place: Place, library: Folder) -> None:
    migrator = place.migrator(library)
    plan = migrator.get_migration_sql()
    assert (plan.current_version, plan.target_version, plan.direction) == (0, 2, "up")
    first, second = plan.migrations
    assert [(one.sql.partition(" (")[0], one.times) for one in first.statements] == [
        ("CREATE TABLE people", 1),
        ("INSERT INTO people", 2),
    ]
    assert first.statements[1].parameters in ((1, "Ada"), [1, "Ada"])
    assert "ADD COLUMN age INTEGER" in str(plan)
    # Migration 1 has put its rows there.
    assert second.statements[-1].sql.startswith("UPDATE people SET age")
    assert second.statements[-1].times == 2
    assert not any("migration_versions" in one.sql or "sqlmig_trial" in one.sql for one in second.statements)
    assert place.tables(all_=True) == []


@pytest.mark.parametrize("kind", ["sqlite", "postgresql", "mariadb"])
def test_rows_are_seen_on_a_copy_only(kind: str, library: Folder, tmp_path: Path) -> None:
    # What is copied is a whole database, in which no other test may drop a table meanwhile.
    with server_of_its_own(kind, tmp_path) as place:
        migrator = place.migrator(library)
        migrator.migrate_to_version(1)
        place.run("DELETE FROM people", "INSERT INTO people (id, name) VALUES (7, 'Cyd')")
        before = place.contents()

        def updates(*, with_rows: bool) -> list[object]:
            plan = place.migrator(library).get_migration_sql(with_rows=with_rows)
            return [one.parameters for one in plan.migrations[0].statements if one.sql.startswith("UPDATE people")]

        assert "what depends on rows may be missing" in str(migrator.get_migration_sql())
        # The schema alone is made by the migrations, which put their own rows there.
        assert [list(one) for one in updates(with_rows=False) if isinstance(one, tuple | list)] == [[10, 1]]
        if place.database != "mariadb":
            assert [list(one) for one in updates(with_rows=True) if isinstance(one, tuple | list)] == [[70, 7]]
        assert place.contents() == before


def test_down(place: Place, library: Folder) -> None:
    migrator = place.migrator(library)
    migrator.migrate()
    plan = place.migrator(library).get_migration_sql(0)
    assert plan.direction == "down"
    assert [one.version for one in plan.migrations] == [2, 1]
    assert plan.migrations[1].statements[0].sql == "DROP TABLE people"
    assert migrator.get_current_version() == 2
    assert str(migrator.get_migration_sql()) == "-- Nothing to do: the database is at version 2."


def test_a_migration_that_fails_there(migrator: Migrator, library: Folder) -> None:
    library.add(3, 'self.execute_sql("INSERT INTO nowhere VALUES (1)")')
    with pytest.raises(MigrationFailed, match="nowhere"):
        migrator.get_migration_sql()
    with pytest.raises(UnknownVersion):
        migrator.get_migration_sql(9)
    assert migrator.get_migration_sql(2).target_version == 2
    assert migrator.get_migration_history() == []


def test_an_older_migration_that_fails_on_an_empty_database(migrator: Migrator, library: Folder) -> None:
    migrator.migrate()
    library.add(1, 'self.execute_sql("INSERT INTO nowhere VALUES (1)")')
    migrator.repair()
    library.add(3, 'self.execute_sql("CREATE TABLE more (id INTEGER)")')
    with pytest.raises(CheckImpossible, match="nowhere"):
        migrator.get_migration_sql()
    copied = migrator.get_migration_sql(with_rows=True)
    assert [one.sql for one in copied.migrations[0].statements] == ["CREATE TABLE more (id INTEGER)"]


def test_late_migrations_are_seen(folder: Folder, url: str) -> None:
    folder.table(1)
    folder.table(3)
    Migrator(url, folder.path, out_of_order="apply").migrate()
    folder.table(2)
    plan = Migrator(url, folder.path, out_of_order="apply").get_migration_sql()
    assert [one.version for one in plan.migrations] == [2]


def test_outside_transactions_and_in_batches(folder: Folder, migrator: Migrator) -> None:
    folder.table(1)
    migrator.migrate()
    folder.add(2, "self.execute_sql('VACUUM')", extra="transactional = False")
    folder.add(3, "self.backfill('t1', 'n', '9')", extra="resumable = True")
    plan = migrator.get_migration_sql(with_rows=True)
    assert [one.sql for one in plan.migrations[0].statements] == ["VACUUM"]
    assert [one.sql.split()[0] for one in plan.migrations[1].statements] == ["UPDATE"]


def test_the_printed_script_does_what_the_migrations_do(folder: Folder, tmp_path: Path) -> None:
    """Where no value is bound, it can be run as it is."""
    folder.add(1, "self.execute_sql('CREATE TABLE t1 (id INTEGER PRIMARY KEY, n TEXT DEFAULT \\'x\\')')")
    folder.add(
        2,
        'self.execute_sql("CREATE TRIGGER tr AFTER INSERT ON t1 BEGIN UPDATE t1 SET n = 1; END")\n'
        'self.execute_sql("INSERT INTO t1 (id) VALUES (1)")',
    )
    folder.add(4, 'self.execute_sql("INSERT INTO t1 (id) VALUES (2) -- the second")')
    folder.add(5, 'self.execute_sql("DELETE FROM t1 WHERE id = 1")')
    folder.add(3, "from sqlalchemy import Column, Integer\nself.add_column('t1', Column('m', Integer))")
    options = ["--url", f"sqlite:///{tmp_path / 'app.db'}", "--path", str(folder.path)]
    printed = CliRunner().invoke(app, ["plan", "--sql", *options])
    assert printed.exit_code == 0
    assert not (tmp_path / "app.db").exists()
    assert CliRunner().invoke(app, ["up", *options]).exit_code == 0
    with closing(sqlite3.connect(tmp_path / "app.db")) as migrated, closing(sqlite3.connect(":memory:")) as scripted:
        scripted.executescript(printed.stdout)
        found = "SELECT type, name, sql FROM sqlite_master WHERE tbl_name = 't1' ORDER BY type, name"
        assert scripted.execute(found).fetchall() == migrated.execute(found).fetchall()
        assert scripted.execute("SELECT * FROM t1").fetchall() == migrated.execute("SELECT * FROM t1").fetchall()


def test_as_json_and_what_is_said_wrong(folder: Folder, url: str) -> None:
    folder.table(1)
    options = ["--url", url, "--path", str(folder.path)]
    found = json.loads(CliRunner().invoke(app, ["plan", "--sql", "--json", *options]).stdout)
    assert found["migrations"][0]["statements"][0]["times"] == 1
    refused = CliRunner().invoke(app, ["plan", "--with-rows", *options])
    assert (refused.exit_code, "sqlmig plan --sql --with-rows" in refused.stderr) == (2, True)


def test_inside_a_transaction_there_is_no_copy(folder: Folder, migrator: Migrator) -> None:
    folder.table(1)
    with migrator.db.engine.connect() as connection:
        joined = Migrator(connection, folder.path)
        with pytest.raises(ConfigurationError, match="Pass the Engine"):
            joined.get_migration_sql(with_rows=True)


@pytest.mark.parametrize(
    ("sql", "reads"),
    [
        ("SELECT 1", True),
        ("-- note\nSELECT 1", True),
        ("WITH a AS (SELECT 1) SELECT * FROM a", True),
        ("WITH a AS (SELECT 1) INSERT INTO t SELECT * FROM a", False),
        ("PRAGMA table_info(t)", True),
        ("PRAGMA user_version = 3", False),
        ("SAVEPOINT a", True),
        ("ROLLBACK TO SAVEPOINT a", True),
        ("SHOW CREATE TABLE t", True),
        ("VACUUM", False),
        ("", False),
    ],
)
def test_only_reads(sql: str, reads: bool) -> None:
    assert only_reads(sql) == reads
