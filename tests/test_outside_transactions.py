"""A migration that says `transactional = False` has all its methods, and transactions of its own, on every database."""

from __future__ import annotations

import pytest
from conftest import Folder
from places import Engines, Place
from sqlalchemy import Engine, inspect

from sqlmig import MigrationFailed, Migrator, NotAtomic

LOOSE = "transactional = False"
KEYED = """from sqlalchemy import Column, Integer, String
self.create_table("u", Column("id", Integer, primary_key=True), Column("n", String(20)))
self.create_index("ix_n", "u", ["n"])
self.add_column("u", Column("m", Integer))
self.execute_sql("INSERT INTO u (id, n) VALUES (?, ?)", [(k, str(k)) for k in range(1, 10)])
self.backfill("u", "m", lambda id: id + 1)
for rows in self.batches("u", size=4):
    self.update_rows("u", [{"id": row.id, "n": f"row {row.m}"} for row in rows])
self.alter_column("u", "n", nullable=False)
self.rename_column("u", "m", "k")"""


@pytest.fixture
def engine(engines: Engines) -> Engine:
    return engines()


def rows(engine: Engine, query: str) -> list[tuple[object, ...]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.exec_driver_sql(query)]


def test_operations_and_data_methods(engine: Engine, folder: Folder) -> None:
    folder.add(1, KEYED, "self.drop_column('u', 'k')\nself.drop_table('u')", extra=LOOSE)
    migrator = Migrator(engine, folder.path)
    assert migrator.migrate().applied == [1]
    assert rows(engine, "SELECT n, k FROM u WHERE id = 9") == [("row 10", 10)]
    assert [index["name"] for index in inspect(engine).get_indexes("u")] == ["ix_n"]
    assert migrator.rollback_to_version(0).rolled_back == [1]


def test_an_operation_that_fails_changes_nothing(engine: Engine, folder: Folder) -> None:
    folder.table(1)
    up = """self.execute_sql("INSERT INTO t1 VALUES (2, 'row')")
self.create_unique("t1", "uq_n", ["n"])"""
    folder.add(2, up, extra=LOOSE)
    with pytest.raises(MigrationFailed, match="outside a transaction"):
        Migrator(engine, folder.path).migrate()
    assert rows(engine, "SELECT count(*) FROM t1") == [(2,)]
    assert inspect(engine).get_unique_constraints("t1") == []


def test_a_transaction_of_its_own_is_undone_or_kept(engine: Engine, folder: Folder) -> None:
    folder.table(1)
    up = """insert = "INSERT INTO t1 VALUES (?, 'more')"
with self.db.transaction():
    self.execute_sql(insert, (2,))
    try:
        with self.db.transaction():
            self.execute_sql(insert, (3,))
            raise ValueError
    except ValueError:
        pass
    self.execute_sql(insert, (4,))
try:
    with self.db.transaction():
        self.execute_sql(insert, (5,))
        self.execute_sql(insert, (2,))
except Exception:
    pass
self.execute_sql(insert, (6,))"""
    folder.add(2, up, extra=LOOSE)
    assert Migrator(engine, folder.path).migrate().applied == [1, 2]
    assert rows(engine, "SELECT id FROM t1 ORDER BY id") == [(1,), (2,), (4,), (6,)]


def test_a_transaction_in_one_that_was_begun_by_a_statement(engine: Engine, folder: Folder) -> None:
    folder.table(1)
    up = """insert = "INSERT INTO t1 VALUES (?, 'more')"
self.execute_sql("BEGIN")
self.execute_sql(insert, (2,))
try:
    with self.db.transaction():
        self.execute_sql(insert, (3,))
        raise ValueError
except ValueError:
    pass
self.execute_sql("ROLLBACK")
self.execute_sql(insert, (4,))"""
    folder.add(2, up, extra=LOOSE)
    assert Migrator(engine, folder.path).migrate().applied == [1, 2]
    assert rows(engine, "SELECT id FROM t1 ORDER BY id") == [(1,), (4,)]


@pytest.mark.parametrize("place", ["mariadb"], indirect=True)
def test_what_would_commit_a_transaction_is_refused_in_it(engine: Engine, folder: Folder, place: Place) -> None:
    """MariaDB would have kept the first row, whatever comes after it."""
    folder.table(1)
    up = """with self.db.transaction():
    self.execute_sql("INSERT INTO t1 VALUES (2, 'more')")
    self.execute_sql("CREATE TABLE t2 (id INTEGER)")"""
    folder.add(2, up, extra=LOOSE)
    with pytest.raises(NotAtomic, match=r"CREATE TABLE t2.*\n.*`with self.db.transaction\(\)` is to undo"):
        Migrator(engine, folder.path).migrate()
    assert place.rows("SELECT id FROM t1") == [(1,)]
    assert place.tables() == ["t1"]
