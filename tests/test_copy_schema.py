"""What is made of rows, and what acts on them as they come: triggers, indexes of texts, computed columns, numbers."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Folder
from copy_support import KINDS, empty
from sqlalchemy import create_engine, inspect

from sqlmig import CopyInterrupted, CopyMismatch, Migrator, TablesDiffer


@pytest.fixture(params=KINDS)
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with empty(request.param, tmp_path) as url:
        yield url


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "own")


def sql(url: str, *statements: str) -> list[tuple[Any, ...]]:
    """Run them; the rows of the last."""
    engine = create_engine(url)
    with engine.begin() as connection:
        for statement in statements:
            result = connection.exec_driver_sql(statement, execution_options={"no_parameters": True})
        found = [tuple(row) for row in result] if result.returns_rows else []
    engine.dispose()
    return found


def migrated(folder: Folder, tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path / 'source.db'}"
    Migrator(url, folder.path).migrate()
    return url


TRIGGERED = """
self.execute_sql("CREATE TABLE t1 (id INTEGER PRIMARY KEY, n INTEGER)")
self.execute_sql("CREATE TABLE audit (n INTEGER)")
if self.db.engine.dialect.name == "sqlite":
    self.execute_sql("CREATE TRIGGER tr AFTER INSERT ON t1 BEGIN INSERT INTO audit VALUES (new.n); END")
elif self.db.engine.dialect.name == "postgresql":
    self.execute_sql("CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS"
                     " $$BEGIN INSERT INTO audit VALUES (new.n); RETURN new; END$$")
    self.execute_sql("CREATE TRIGGER tr AFTER INSERT ON t1 FOR EACH ROW EXECUTE FUNCTION note()")
    self.execute_sql("CREATE TRIGGER off AFTER INSERT ON t1 FOR EACH ROW EXECUTE FUNCTION note()")
    self.execute_sql("ALTER TABLE t1 DISABLE TRIGGER off")
    self.execute_sql("CREATE TRIGGER always AFTER DELETE ON t1 FOR EACH ROW EXECUTE FUNCTION note()")
    self.execute_sql("ALTER TABLE t1 ENABLE ALWAYS TRIGGER always")
else:
    self.execute_sql("CREATE TRIGGER tr AFTER INSERT ON t1 FOR EACH ROW INSERT INTO audit VALUES (new.n)")
"""


class TestTriggers:
    @pytest.fixture
    def source(self, folder: Folder, tmp_path: Path) -> str:
        folder.add(1, TRIGGERED)
        url = migrated(folder, tmp_path)
        sql(url, "INSERT INTO t1 VALUES (1, 10), (2, 20)", "DELETE FROM audit WHERE n = 10")
        return url

    def test_none_acts_on_rows_that_come_and_each_acts_afterwards(
        self, source: str, folder: Folder, target: str
    ) -> None:
        Migrator(target, folder.path).copy_from(source)
        assert sql(target, "SELECT n FROM audit") == [(20,)]
        assert sql(target, "INSERT INTO t1 VALUES (3, 30)", "SELECT n FROM audit ORDER BY n") == [(20,), (30,)]
        if target.startswith("postgresql"):
            listed = "SELECT tgname::text, tgenabled::text FROM pg_trigger WHERE NOT tgisinternal ORDER BY 1"
            assert sql(target, listed) == [("always", "A"), ("off", "D"), ("tr", "O")]

    def test_those_of_a_target_that_was_there_outlive_a_kill(self, source: str, folder: Folder, tmp_path: Path) -> None:
        """MariaDB's are dropped and made again, and nothing but the mark remembers them in between."""
        code = (
            "import os, sys; from sqlmig import Migrator\n"
            "def tell(done, total, message):\n    if done: os.kill(os.getpid(), 9)\n"
            "Migrator(sys.argv[1], sys.argv[2], progress=tell).copy_from(sys.argv[3])"
        )
        with empty("mariadb", tmp_path) as target:
            Migrator(target, folder.path).migrate()
            before = sql(target, "SHOW CREATE TRIGGER tr")[0][:3]
            for _ in range(2):
                ran = subprocess.run([sys.executable, "-c", code, target, str(folder.path), source], env={**os.environ})
                assert ran.returncode == -signal.SIGKILL
                assert sql(target, "SHOW TRIGGERS") == []
                with pytest.raises(CopyInterrupted):
                    Migrator(target, folder.path).migrate()
            Migrator(target, folder.path).copy_from(source)
            assert sql(target, "SHOW CREATE TRIGGER tr")[0][:3] == before
            assert sql(target, "SELECT n FROM audit") == [(20,)]

    def test_those_of_a_target_that_was_there_outlive_a_failure(
        self, source: str, folder: Folder, tmp_path: Path
    ) -> None:
        sql(source, "INSERT INTO t1 VALUES (9, 'text')")
        with empty("mariadb", tmp_path) as target:
            Migrator(target, folder.path).migrate()
            before = sql(target, "SHOW CREATE TRIGGER tr")[0][:3]
            with pytest.raises(Exception, match=r"audit\.n"):
                Migrator(target, folder.path).copy_from(source)
            assert sql(target, "SHOW CREATE TRIGGER tr")[0][:3] == before
            assert Migrator(target, folder.path).migrate().applied == []
            assert sql(target, "SELECT * FROM t1") == sql(target, "SELECT * FROM audit") == []


class TestNumbers:
    def test_they_go_on_after_rows_that_are_gone(self, folder: Folder, tmp_path: Path, target: str) -> None:
        folder.add(
            1,
            "kind = {'sqlite': 'INTEGER PRIMARY KEY AUTOINCREMENT', 'postgresql':"
            " 'INTEGER GENERATED ALWAYS AS IDENTITY PRIMARY KEY'}"
            ".get(self.db.engine.dialect.name, 'INTEGER AUTO_INCREMENT PRIMARY KEY')\n"
            'self.execute_sql(f"CREATE TABLE t1 (id {kind}, n INTEGER)")\n'
            'self.execute_sql(f"CREATE TABLE t2 (id {kind}, n INTEGER)")',
        )
        source = migrated(folder, tmp_path)
        sql(source, "INSERT INTO t1 (id, n) VALUES (0, 0), (-5, 5), (7, 1), (100, 2)", "DELETE FROM t1 WHERE id = 100")
        sql(source, "INSERT INTO t2 (id, n) VALUES (50, 2)", "DELETE FROM t2")
        Migrator(target, folder.path).copy_from(source)
        assert sql(target, "SELECT id, n FROM t1 ORDER BY id") == [(-5, 5), (0, 0), (7, 1)]
        assert sql(target, "INSERT INTO t1 (n) VALUES (9)", "SELECT id FROM t1 WHERE n = 9") == [(101,)]
        assert sql(target, "INSERT INTO t2 (n) VALUES (9)", "SELECT id FROM t2") == [(51,)]
        back = f"sqlite:///{tmp_path / 'back.db'}"
        Migrator(back, folder.path).copy_from(target)
        assert sql(back, "INSERT INTO t1 (n) VALUES (9)", "SELECT max(id) FROM t1 WHERE n = 9") == [(102,)]

    def test_sequences_of_postgresql(self, folder: Folder, tmp_path: Path) -> None:
        folder.add(
            1,
            "if self.db.engine.dialect.name == 'postgresql':\n"
            "    self.execute_sql('CREATE SEQUENCE own')\n"
            "    self.execute_sql(\"CREATE TABLE t1 (id INTEGER PRIMARY KEY DEFAULT nextval('own'), n SERIAL)\")\n"
            "else:\n"
            "    self.execute_sql('CREATE TABLE t1 (id INTEGER PRIMARY KEY, n INTEGER NOT NULL)')",
        )
        source = migrated(folder, tmp_path)
        sql(source, "INSERT INTO t1 VALUES (5, 90), (6, 80)")
        with empty("postgresql", tmp_path) as target:
            Migrator(target, folder.path).copy_from(source)
            assert sql(target, "INSERT INTO t1 DEFAULT VALUES RETURNING id, n") == [(7, 91)]

    SHARED = """
if self.db.engine.dialect.name == "postgresql":
    self.execute_sql("CREATE SEQUENCE shared")
    self.execute_sql("CREATE SEQUENCE later MINVALUE 1000 START 1000")
    self.execute_sql("CREATE SEQUENCE few MAXVALUE 3")
    self.execute_sql("CREATE SEQUENCE down INCREMENT -1")
    self.execute_sql("CREATE SEQUENCE invoices START 100")
    self.execute_sql("CREATE SEQUENCE codes")
default = "DEFAULT nextval('%s')" if self.db.engine.dialect.name == "postgresql" else "-- %s"
for table, sequence in (("a", "shared"), ("z", "shared"), ("l", "later"), ("f", "few"), ("d", "down")):
    self.execute_sql(f"CREATE TABLE {table} (id INTEGER PRIMARY KEY {default % sequence}\\n)")
text = "DEFAULT 'A' || nextval('codes')" if self.db.engine.dialect.name == "postgresql" else ""
self.execute_sql(f"CREATE TABLE t (code VARCHAR(20) {text})")
"""

    def test_sequences_of_many_tables_and_with_ends(self, folder: Folder, tmp_path: Path) -> None:
        folder.add(1, self.SHARED)
        source = migrated(folder, tmp_path)
        sql(source, "INSERT INTO a VALUES (1), (20)", "INSERT INTO z VALUES (5)", "INSERT INTO l VALUES (5)")
        sql(source, "INSERT INTO f VALUES (9)", "INSERT INTO d VALUES (-7)", "INSERT INTO t VALUES ('A1')")
        with empty("postgresql", tmp_path) as target, empty("postgresql", tmp_path) as other:
            result = Migrator(target, folder.path).copy_from(source)
            assert [warning.split()[2] for warning in result.warnings] == ["invoices", "codes"]
            nexts = {"shared": 21, "later": 1000, "down": -8, "invoices": 100, "codes": 1}
            for name, number in nexts.items():
                assert sql(target, f"SELECT nextval('{name}')") == [(number,)]
            with pytest.raises(Exception, match="reached maximum value"):
                sql(target, "SELECT nextval('few')")
            sql(target, "SELECT nextval('down'), nextval('codes')", "DELETE FROM d", "DELETE FROM a")
            again = Migrator(other, folder.path).copy_from(target)
            assert again.warnings == []
            nexts = {"shared": 22, "later": 1001, "down": -10, "invoices": 101, "codes": 3}
            for name, number in nexts.items():
                assert sql(other, f"SELECT nextval('{name}')") == [(number,)]

    def test_sequences_of_mariadb(self, folder: Folder, tmp_path: Path) -> None:
        folder.add(1, 'for name in ("used", "fresh"):\n    self.execute_sql(f"CREATE SEQUENCE {name} START WITH 5")')
        with empty("mariadb", tmp_path) as source, empty("mariadb", tmp_path) as target:
            Migrator(source, folder.path).migrate()
            sql(source, "SELECT nextval(used)")
            Migrator(target, folder.path).copy_from(source)
            assert sql(target, "SELECT nextval(used)")[0][0] > 5
            assert sql(target, "SELECT nextval(fresh)") == [(5,)]
            with empty("postgresql", tmp_path) as other:
                Migrator(other, folder.path).copy_from(source)
                assert sql(other, "SELECT nextval('used')")[0][0] > 5
                assert sql(other, "SELECT nextval('fresh')") == [(5,)]


class TestComputedColumns:
    @pytest.fixture
    def source(self, folder: Folder, tmp_path: Path) -> str:
        folder.add(
            1,
            'self.execute_sql("CREATE TABLE t1 (id INTEGER PRIMARY KEY, twice INTEGER'
            ' GENERATED ALWAYS AS (n * 2) STORED, n INTEGER)")',
        )
        url = migrated(folder, tmp_path)
        sql(url, "INSERT INTO t1 (id, n) VALUES (1, 10), (2, NULL)")
        return url

    def test_they_are_computed_there_and_compared(self, source: str, folder: Folder, target: str) -> None:
        Migrator(target, folder.path).copy_from(source)
        assert sql(target, "SELECT id, twice, n FROM t1 ORDER BY id") == [(1, 20, 10), (2, None, None)]

    def test_other_ones_are_noticed(self, tmp_path: Path, folder: Folder, target: str) -> None:
        folder.add(
            1,
            "factor = 2 if 'source' in str(self.db.engine.url) else 3\n"
            'self.execute_sql(f"CREATE TABLE t1 (id INTEGER PRIMARY KEY, n INTEGER,'
            ' more INTEGER GENERATED ALWAYS AS (n * {factor}) STORED)")',
        )
        source = migrated(folder, tmp_path)
        sql(source, "INSERT INTO t1 (id, n) VALUES (1, 10)")
        with pytest.raises(CopyMismatch, match="t1"):
            Migrator(target, folder.path).copy_from(source)


class TestFullText:
    BOTH = """
self.execute_sql("CREATE TABLE t1 (id INTEGER PRIMARY KEY, body TEXT)")
if self.db.engine.dialect.name == "sqlite":
    self.execute_sql("CREATE VIRTUAL TABLE found USING fts5(body, content='t1', content_rowid='id')")
    self.execute_sql("CREATE TRIGGER tr AFTER INSERT ON t1 BEGIN"
                     " INSERT INTO found (rowid, body) VALUES (new.id, new.body); END")
"""

    def test_an_index_of_a_table_is_made_anew(self, folder: Folder, tmp_path: Path, target: str) -> None:
        folder.add(1, self.BOTH)
        source = migrated(folder, tmp_path)
        sql(source, "INSERT INTO t1 VALUES (1, 'apples and pears'), (2, 'plums')")
        result = Migrator(target, folder.path).copy_from(source)
        assert [table.table for table in result.tables] == ["t1"]
        back = f"sqlite:///{tmp_path / 'back.db'}"
        Migrator(back, folder.path).copy_from(target)
        assert sql(back, "SELECT rowid FROM found WHERE found MATCH 'pears'") == [(1,)]
        sql(back, "INSERT INTO found (found, rank) VALUES ('integrity-check', 1)")

    def test_one_that_keeps_its_texts_is_copied(self, folder: Folder, tmp_path: Path, target: str) -> None:
        folder.add(
            1,
            "if self.db.engine.dialect.name == 'sqlite':\n"
            '    self.execute_sql("CREATE VIRTUAL TABLE kept USING fts5(title, body)")\n'
            '    self.execute_sql("CREATE VIRTUAL TABLE boxes USING rtree(id, x0, x1)")\n'
            "    self.execute_sql(\"CREATE VIRTUAL TABLE bare USING fts5(body, content='')\")",
        )
        source = migrated(folder, tmp_path)
        sql(source, "INSERT INTO kept (rowid, title, body) VALUES (7, 'fruit', 'apples and pears')")
        sql(source, "INSERT INTO boxes VALUES (1, 0.5, 2.25)")
        if not target.startswith("sqlite"):
            with pytest.raises(TablesDiffer) as caught:
                Migrator(target, folder.path).copy_from(source)
            assert sorted(caught.value.missing) == ["boxes", "kept"]
            return
        result = Migrator(target, folder.path).copy_from(source)
        assert sql(target, "SELECT rowid, title FROM kept WHERE kept MATCH 'pears'") == [(7, "fruit")]
        assert sql(target, "SELECT * FROM boxes") == [(1, 0.5, 2.25)]
        assert result.warnings == ["the full-text index bare keeps no content, and was not filled"]


def test_materialized_views_of_postgresql_are_filled(folder: Folder, tmp_path: Path) -> None:
    folder.add(
        1,
        'self.execute_sql("CREATE TABLE t1 (id INTEGER PRIMARY KEY)")\n'
        "kind = 'MATERIALIZED VIEW' if self.db.engine.dialect.name == 'postgresql' else 'VIEW'\n"
        'self.execute_sql(f"CREATE {kind} v1 AS SELECT count(*) AS n FROM t1")',
    )
    source = migrated(folder, tmp_path)
    sql(source, "INSERT INTO t1 VALUES (1), (2)")
    with empty("postgresql", tmp_path) as target:
        Migrator(target, folder.path).copy_from(source)
        assert sql(target, "SELECT n FROM v1") == [(2,)]


def test_odd_names(folder: Folder, tmp_path: Path, target: str) -> None:
    names = ["select", "Mixed Case", "we'ird", "back\\slash", "100%", "ünï"]
    folder.add(
        1,
        f"from sqlalchemy import Column, Integer, MetaData, String, Table\n"
        f"for name in {names!r}:\n"
        "    Table(name, MetaData(), Column('id', Integer, primary_key=True), Column('a ' + name, String(20)))"
        ".create(self.db.connection)",
    )
    source = migrated(folder, tmp_path)
    raw = sqlite3.connect(tmp_path / "source.db")
    for name in names:
        raw.execute(f'INSERT INTO "{name}" VALUES (1, ?)', (name,))
    raw.commit()
    raw.close()
    result = Migrator(target, folder.path).copy_from(source)
    assert {table.table.lower() for table in result.tables} == {name.lower() for name in names}
    engine = create_engine(target)
    assert len(inspect(engine).get_table_names()) == len(names) + 2
    engine.dispose()
    back = tmp_path / "back.db"
    Migrator(back, folder.path).copy_from(target)
    raw = sqlite3.connect(back)
    assert [raw.execute(f'SELECT * FROM "{name}"').fetchall() for name in names] == [[(1, name)] for name in names]
    raw.close()


def test_a_table_of_no_rows_and_a_database_of_no_tables(folder: Folder, tmp_path: Path, target: str) -> None:
    folder.add(1, "pass")
    first = Migrator(target, folder.path).copy_from(migrated(folder, tmp_path))
    assert (first.rows, first.tables) == (0, [])
    assert str(first).startswith("Copied 0 rows of 0 tables at version 1")
