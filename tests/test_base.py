"""What an author of migrations has at hand."""

from __future__ import annotations

import datetime as dt
import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from conftest import Folder
from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    Computed,
    Engine,
    Enum,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    UniqueConstraint,
    create_engine,
    func,
    insert,
    select,
    text,
)
from sqlalchemy.exc import IntegrityError

from sqlmig import (
    BaseMigration,
    ConfigurationError,
    DatabaseConnection,
    MigrationFailed,
    Migrator,
    NotAtomic,
    RollbackNotSupported,
    Row,
)


class Hand(BaseMigration):
    """A migration made by hand; a test says what it does."""

    version = 1
    description = "by hand"

    def __init__(self, database: Any, up: Any = None, *, go_on: bool = True, good: bool = True) -> None:
        super().__init__(database)
        self._up, self._go_on, self._good = up, go_on, good

    def up(self) -> None:
        if self._up:
            self._up(self)

    def pre_migrate_checks(self) -> bool:
        return super().pre_migrate_checks() and self._go_on

    def post_migrate_checks(self) -> bool:
        return super().post_migrate_checks() and self._good


@pytest.fixture
def db(url: str) -> DatabaseConnection:
    return DatabaseConnection(url)


def test_tables_from_text_columns_or_a_table(db: DatabaseConnection) -> None:
    metadata = MetaData()
    table = Table("d", metadata, Column("id", Integer, primary_key=True), Column("n", String(3), index=True))

    def up(m: Hand) -> None:
        for created in (True, False):
            assert m.create_table_if_not_exists("a", "CREATE TABLE a (id INTEGER PRIMARY KEY)") is created
            assert m.create_table_if_not_exists("b", Column("id", Integer, primary_key=True)) is created
            columns = [Column("id", Integer), Column("a_id", ForeignKey("a.id")), CheckConstraint("id > 0")]
            assert m.create_table_if_not_exists("c", columns) is created
            assert m.create_table_if_not_exists(table) is created
            assert m.create_table_if_not_exists("e", Column("id", Integer), Column("n", String(9))) is created
        assert m.has_index("d", "ix_d_n")
        for dropped in (True, False):
            assert m.drop_table_if_exists("b") is dropped

    assert Hand(db, up).run() is True
    assert sorted(row["name"] for row in db.fetch_all("SELECT name FROM sqlite_master WHERE type = 'table'")) == [
        "a",
        "c",
        "d",
        "e",
    ]
    with pytest.raises(sqlite3.IntegrityError, match="CHECK"):
        db.engine.raw_connection().execute("INSERT INTO c (id) VALUES (0)")  # type: ignore[attr-defined]


def test_indexes_from_text_columns_or_expressions(db: DatabaseConnection) -> None:
    db.execute('CREATE TABLE t (a, b, "order")')

    def up(m: Hand) -> None:
        for created in (True, False):
            assert m.create_index_if_not_exists("i1", "CREATE INDEX i1 ON t (a)") is created
            assert m.create_index_if_not_exists("i2", "t", ["a", "order"], unique=True) is created
            assert m.create_index_if_not_exists("i3", "t", ["lower(b)"], where="b IS NOT NULL") is created
            assert m.create_index_if_not_exists("i4", Table("t", MetaData()), ["b"]) is created
        assert m.has_index("t", "i3")
        assert m.has_index("i3")
        assert not m.has_index("t", "i9")
        for dropped in (True, False):
            assert m.drop_index_if_exists("i3") is dropped
        assert not m.has_index("i3")

    Hand(db, up).run()
    found = dict(iter(db.fetch_all("SELECT name, sql FROM sqlite_master WHERE type = 'index'")))
    assert set(found) == {"i1", "i2", "i4"}
    assert found["i2"] == 'CREATE UNIQUE INDEX i2 ON t (a, "order")'


def test_columns(db: DatabaseConnection) -> None:
    db.execute("CREATE TABLE p (id INTEGER PRIMARY KEY)")
    db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
    db.execute("INSERT INTO t (id) VALUES (1)")
    model = Table("t", MetaData(), Column("lang", String(8), nullable=False, server_default="en", index=True))

    def up(m: Hand) -> None:
        for added in (True, False):
            assert m.add_column_if_not_exists("t", model.c.lang) is added
        m.add_column("t", Column("p_id", Integer, ForeignKey("p.id", ondelete="CASCADE")))
        m.add_column("t", Column("twice", Integer, Computed("id * 2")))
        m.add_column("t", Column("gone", Integer))
        m.drop_column("t", "gone")
        assert m.has_column("t", "LANG")
        assert not m.has_column("t", "gone")
        assert not m.has_column("nothing", "lang")
        assert [column["name"] for column in m.inspector.get_columns("t")] == ["id", "lang", "p_id", "twice"]

    Hand(db, up).run()
    row = db.fetch_one("SELECT * FROM t")
    assert row is not None
    assert dict(row) == {"id": 1, "lang": "en", "p_id": None, "twice": 2}
    (key,) = db.fetch_all("PRAGMA foreign_key_list(t)")
    assert (key["table"], key["from"], key["to"], key["on_delete"]) == ("p", "p_id", "id", "CASCADE")
    assert db.fetch_one("SELECT 1 FROM sqlite_master WHERE name = 'ix_t_lang'")


def test_attached_databases_by_name(tmp_path: Path) -> None:
    db = DatabaseConnection(":memory:")
    db.execute(f"ATTACH '{tmp_path / 'aux.db'}' AS aux")

    def up(m: Hand) -> None:
        assert m.create_table_if_not_exists("aux.t", Column("id", Integer), Column("n", Integer))
        assert m.create_index_if_not_exists("aux.i", "aux.t", ["n"])
        assert m.has_table("aux.t")
        assert not m.has_table("t")
        assert m.has_index("aux.i")
        m.add_column("aux.t", Column("more", Integer))
        assert m.has_column("aux.t", "more")
        assert m.drop_index_if_exists("aux.i")
        assert m.drop_table_if_exists("aux.t")

    assert Hand(db, up).run()


def test_operations_by_hand_work_without_a_transaction(db: DatabaseConnection) -> None:
    migration = Hand(db)
    assert not migration.has_table("t")
    assert migration.create_table_if_not_exists("t", Column("id", Integer))
    assert Hand(db).has_table("t")
    assert migration.inspector.has_table("t")
    with pytest.raises(ConfigurationError, match="has no connection yet"):
        migration.connection  # noqa: B018
    with suppress(ZeroDivisionError), db.transaction():
        migration.drop_table_if_exists("t")
        raise ZeroDivisionError
    assert migration.has_table("t")


def test_sql_in_every_form(db: DatabaseConnection) -> None:
    t = Table("t", MetaData(), Column("id", Integer), Column("n", String))

    def up(m: Hand) -> None:
        m.execute_sql("CREATE TABLE t (id INTEGER, n TEXT DEFAULT '100% :name ?')")
        assert m.execute_sql("INSERT INTO t (id) VALUES (?)", (1,)).lastrowid == 1
        m.execute_sql("INSERT INTO t VALUES (:id, :n)", {"id": 2, "n": "two"})
        m.execute_sql("INSERT INTO t VALUES (?, ?)", [(3, "x"), (4, "y")])
        m.execute_sql("INSERT INTO t VALUES (:id, :n)", [{"id": 5, "n": "five"}])
        m.execute_sql(insert(t).values(id=6, n="six"))
        m.execute_sql(insert(t), [{"id": 7, "n": "seven"}])
        m.execute_sql(text("INSERT INTO t VALUES (:id, :n)"), {"id": 8, "n": "eight"})
        m.execute_sql("INSERT INTO t VALUES (?, '??' || ?)", (9, "!"))
        m.execute_sql("INSERT INTO t VALUES (?, ?)", (10, dt.datetime(2024, 1, 2, 3, 4, 5)))
        m.execute_sql("INSERT INTO t VALUES (?, ?)", (11, dt.date(2024, 1, 2)))
        assert m.execute_sql("UPDATE t SET id = id WHERE id > ?", (9,)).rowcount == 2
        assert m.execute_sql(select(t.c.n).where(t.c.id == 2)).scalar() == "two"
        with pytest.raises(TypeError, match="write \\(value,\\) for one value"):
            m.execute_sql("INSERT INTO t (n) VALUES (?)", "text")
        with pytest.raises(ValueError, match="1 placeholders"):
            m.execute_sql("INSERT INTO t (n) VALUES (?)", (1, 2))

    Hand(db, up).run()
    assert [row["n"] for row in db.fetch_all("SELECT n FROM t ORDER BY id")] == [
        "100% :name ?",
        "two",
        "x",
        "y",
        "five",
        "six",
        "seven",
        "eight",
        "??!",
        "2024-01-02 03:04:05",
        "2024-01-02",
    ]


def test_rows(db: DatabaseConnection) -> None:
    row = db.fetch_one("SELECT 1 AS a, 'x' AS b")
    assert isinstance(row, Row)
    assert (row[0], row["b"], row[-1], row[:1]) == (1, "x", "x", (1,))
    assert (list(row), row.keys(), dict(row), len(row)) == ([1, "x"], ["a", "b"], {"a": 1, "b": "x"}, 2)
    first, second = row
    assert (first, second) == row == db.fetch_one("SELECT 1 AS c, 'x' AS d")
    assert hash(row) == hash((1, "x"))
    assert repr(row) == "Row(a=1, b='x')"
    with pytest.raises(KeyError, match="no column 'c'; the row has a, b"):
        row["c"]
    assert db.fetch_one("SELECT 1 WHERE 0") is None
    assert db.execute("SELECT 1 WHERE 0").scalar() is None
    assert [row[0] for row in db.execute("SELECT 1 UNION SELECT 2")] == [1, 2]
    assert repr(db).startswith("DatabaseConnection(/")


def test_running_by_hand(db: DatabaseConnection) -> None:
    def half(m: Hand) -> None:
        m.execute_sql("CREATE TABLE half (id INTEGER)")
        m.execute_sql("INSERT INTO nowhere VALUES (1)")

    assert Hand(db, go_on=False).run() is False
    with pytest.raises(MigrationFailed, match="no such table: nowhere"):
        Hand(db, half).run()
    with pytest.raises(MigrationFailed, match="post_migrate_checks"):
        Hand(db, lambda m: m.execute_sql("CREATE TABLE half (id INTEGER)"), good=False).run()
    with pytest.raises(MigrationFailed, match="issued COMMIT"):
        Hand(db, lambda m: m.execute_sql("COMMIT")).run()
    assert db.fetch_all("SELECT name FROM sqlite_master") == []
    with pytest.raises(RollbackNotSupported):
        Hand(db).rollback()


def test_running_by_hand_joins_a_transaction(engine: Engine) -> None:
    with engine.connect() as connection:
        Hand(connection, lambda m: m.execute_sql("CREATE TABLE t (id INTEGER)")).run()
        assert Hand(connection).has_table("t")
        connection.rollback()
        assert not Hand(connection).has_table("t")

    class Loose(Hand):
        transactional = False

    assert Loose(engine, lambda m: m.execute_sql("VACUUM")).run()
    with engine.begin() as connection, pytest.raises(NotAtomic):
        Loose(connection).run()


def test_sql_files_lie_beside_the_migration(
    migrator: Migrator, folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder.path / "sql").mkdir()
    (folder.path / "sql" / "t.sql").write_bytes("\ufeffCREATE TABLE t (n);\r\nINSERT INTO t VALUES ('é;');".encode())
    folder.add(1, 'self.execute_sql_file("sql/t.sql")')
    monkeypatch.chdir("/")
    migrator.migrate()
    assert migrator.db.fetch_all("SELECT n FROM t") == [("é;",)]
    folder.add(2, 'self.execute_sql_file("sql/nothing.sql")')
    with pytest.raises(MigrationFailed, match=r"no SQL file .*nothing\.sql"):
        migrator.migrate()


def test_what_the_manager_makes(migrator: Migrator, folder: Folder) -> None:
    folder.table(1)
    folder.table(2)
    migration = migrator.manager.create_migration(2)
    assert migration.run() is True
    assert migration.rollback() is True
    assert migrator.get_current_version() == 0
    assert migrator.manager.get_pending_migrations() == [1, 2]
    migrator.migrate()
    sequence = migrator.manager.get_rollback_sequence(0)
    assert sequence == [2, 1]
    assert [(file.version, file.name, file.title) for file in sequence] == [
        (2, "002_step_2.py", "step 2"),
        (1, "001_step_1.py", "step 1"),
    ]
    assert migrator.manager.validate_migration_sequence(1) == []


def test_an_index_of_a_result_is_its_name(db: DatabaseConnection) -> None:
    created = create_engine("sqlite://")
    DatabaseConnection(created).close()
    db.close()
    assert DatabaseConnection(db).engine is db.engine


def test_every_constraint_in_a_table_of_columns(db: DatabaseConnection) -> None:
    items = [
        Column("id", Integer),
        Column("a", Integer),
        Column("b", Integer),
        PrimaryKeyConstraint("id", name="pk_t"),
        UniqueConstraint("a", "b", name="uq_t"),
        ForeignKeyConstraint(["b"], ["t.id"], ondelete="SET NULL"),
        CheckConstraint("a > 0", name="ck_t"),
        Index("ix_t_a", "a", unique=True),
    ]

    def up(m: Hand) -> None:
        assert m.create_table_if_not_exists("t", items)

    for _ in range(2):  # the same objects again, as a module's constants are after a rollback
        Hand(db, up).run()
        sql = db.execute("SELECT sql FROM sqlite_master WHERE name = 't'").scalar()
        for words in ("CONSTRAINT pk_t PRIMARY KEY", "CONSTRAINT uq_t UNIQUE", "ON DELETE SET NULL", "CONSTRAINT ck_t"):
            assert words in sql
        assert db.fetch_one("SELECT 1 FROM sqlite_master WHERE name = 'ix_t_a'")
        db.execute("DROP TABLE t")


def test_columns_with_checks_and_references_to_their_own_table(db: DatabaseConnection) -> None:
    db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")

    def up(m: Hand) -> None:
        m.add_column("t", Column("parent", Integer, ForeignKey("t.id")))
        m.add_column("t", Column("flag", Boolean(create_constraint=True, name="ck_flag")))
        m.add_column("t", Column("kind", Enum("a", "b", create_constraint=True, name="ck_kind")))
        m.add_column("t", Column("n", Integer, CheckConstraint("n > 0")))

    Hand(db, up).run()
    for values in ("flag) VALUES (7", "kind) VALUES ('c'", "n) VALUES (0"):
        with pytest.raises(IntegrityError, match="CHECK"):
            db.execute(f"INSERT INTO t ({values})")
    assert db.fetch_one("SELECT * FROM pragma_foreign_key_list('t')")["table"] == "t"  # type: ignore[index]


def test_views_and_names_with_dots(db: DatabaseConnection, folder: Folder) -> None:
    db.execute("CREATE VIEW v AS SELECT 1")
    assert Hand(db).drop_table_if_exists("v") is False
    db.execute('CREATE TABLE "a.b" (id INTEGER)')
    folder.add(1)
    info = Migrator(db, folder.path).get_schema_info()
    assert (info.tables["a.b"].row_count, info.views) == (0, ["v"])
    assert info.tables[0].name == "a.b"
    assert [table.name for table in info.tables[:1]] == ["a.b"]


def test_parameters_that_are_rows_or_none(db: DatabaseConnection) -> None:
    db.execute("CREATE TABLE t (a, b)")
    db.execute("INSERT INTO t VALUES (?, ?)", [(1, 2), (3, 4)])
    db.execute("INSERT INTO t VALUES (?, ?)", db.fetch_all("SELECT b, a FROM t"))
    db.execute("INSERT INTO t VALUES (?, ?)", ((n, n) for n in range(2)))
    with db.reading() as connection:
        rows = connection.execute(text("SELECT a, b FROM t WHERE a = 1")).all()
    db.execute("INSERT INTO t VALUES (?, ?)", rows)
    assert db.execute("INSERT INTO t VALUES (?, ?)", []).rowcount == 0
    assert db.execute(insert(Table("t", MetaData(), Column("a"))), []).fetchall() == []
    for wrong in (5, {1, 2}, "text", b"bytes"):
        with pytest.raises(TypeError, match="parameters are a tuple"):
            db.execute("INSERT INTO t VALUES (?, ?)", wrong)  # type: ignore[arg-type]
    assert db.fetch_all("SELECT * FROM t") == [(1, 2), (3, 4), (2, 1), (4, 3), (0, 0), (1, 1), (1, 2), (1, 1)]


def test_columns_and_constraints_of_a_model_used_twice(db: DatabaseConnection) -> None:
    metadata = MetaData()
    Table("p", metadata, Column("id", Integer, primary_key=True))
    model = Table(
        "t",
        metadata,
        Column("a", Integer),
        Column("b", Integer),
        Column("p", Integer, ForeignKey("p.id", ondelete="CASCADE")),
    )
    key = PrimaryKeyConstraint(Column("a", Integer), "b")
    index = Index("ix_t", func.coalesce(model.c.a, 7))
    db.execute("CREATE TABLE p (id INTEGER PRIMARY KEY)")
    for _ in range(2):
        assert Hand(db).create_table_if_not_exists("u", [*model.columns, key, index])
        sql = db.execute("SELECT sql FROM sqlite_master WHERE name = 'u'").scalar()
        assert "REFERENCES p (id) ON DELETE CASCADE" in sql
        assert sql.count("NOT NULL") == 2
        assert "coalesce(a, 7)" in db.execute("SELECT sql FROM sqlite_master WHERE name = 'ix_t'").scalar()
        db.execute("DROP TABLE u")
    db.execute("CREATE TABLE w (id INTEGER)")
    Hand(db).add_column("w", model.c.p)
    assert db.fetch_one("PRAGMA foreign_key_list(w)")["on_delete"] == "CASCADE"  # type: ignore[index]


def test_lists_without_a_row(db: DatabaseConnection) -> None:
    params: list[int] = []
    assert db.fetch_one("SELECT 1", params) == (1,)
    db.execute("CREATE TABLE t (a)", [])
    db.execute("INSERT INTO t VALUES (?)", iter(()))
    db.execute("INSERT INTO t VALUES (:a)", [])
    assert db.fetch_all("SELECT * FROM t") == []


def test_returned_rows_are_read_at_once_however_they_begin(db: DatabaseConnection) -> None:
    db.execute("CREATE TABLE t (a INTEGER PRIMARY KEY)")
    kept = []

    def up(m: Hand) -> None:
        for sql in (
            "-- a note\nINSERT INTO t VALUES (1), (2) RETURNING a",
            "WITH x AS (SELECT 3 AS a UNION SELECT 4) INSERT INTO t SELECT a FROM x WHERE true RETURNING a",
        ):
            kept.append(m.execute_sql(sql))

    Hand(db, up).run()
    assert [[row["a"] for row in result] for result in kept] == [[1, 2], [3, 4]]


def test_a_result_that_is_closed_keeps_no_table_locked(engine: Engine) -> None:
    db = DatabaseConnection(engine)
    with db.transaction():
        db.execute("CREATE TABLE t (id INTEGER)")
        db.execute("INSERT INTO t VALUES (1), (2)")
        result = db.execute("SELECT id FROM t")
        assert result.fetchone() == (1,)
        result.close()
        db.execute("DROP TABLE t")
