"""What one server alone has, and a change of something else must leave as it is."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from native_databases import Database, added, scratch_database
from sqlalchemy import BigInteger, Column, Enum, Integer, String

from sqlmig.errors import DataContradicts, NoSuchObject, ObjectInUse, SchemaError, UnsupportedChange
from sqlmig.schema.changes import (
    AddCheck,
    AddUnique,
    AlterColumn,
    ChangePrimaryKey,
    DropColumn,
    DropConstraint,
    RenameColumn,
    TableName,
)
from sqlmig.schema.native.mysql_columns import ColumnDefinition, mentioned, uses_column


@pytest.fixture
def pg() -> Iterator[Database]:
    with scratch_database("postgresql") as database:
        yield database


@pytest.fixture
def maria() -> Iterator[Database]:
    with scratch_database("mariadb") as database:
        yield database


# PostgreSQL.


def test_serial_and_identity_go_on_counting_after_a_change_of_type(pg: Database) -> None:
    pg.run(
        "CREATE TABLE t (id SERIAL PRIMARY KEY, n INTEGER GENERATED ALWAYS AS IDENTITY, x INTEGER)",
        "INSERT INTO t (x) VALUES (1), (2)",
    )
    pg.alter(AlterColumn("id", type_=BigInteger, comment="key"), AlterColumn("n", type_=BigInteger))
    pg.run("INSERT INTO t (x) VALUES (3)")
    assert pg.rows("SELECT id, n FROM t ORDER BY id") == [(1, 1), (2, 2), (3, 3)]
    assert pg.refuses("INSERT INTO t (n, x) VALUES (9, 9)")
    with pytest.raises(UnsupportedChange, match="identity"):
        pg.alter(AlterColumn("n", server_default=1))
    pg.alter(DropColumn("n"))


def test_text_becomes_an_enum_with_its_default(pg: Database) -> None:
    pg.run(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, m TEXT NOT NULL DEFAULT 'sad')", "INSERT INTO t VALUES (1, 'happy')"
    )
    mood = Enum("happy", "sad", name="mood")
    pg.alter(AlterColumn("m", type_=mood))
    pg.run("INSERT INTO t (id) VALUES (2)")
    assert pg.rows("SELECT m::text FROM t ORDER BY id") == [("happy",), ("sad",)]
    pg.alter(AlterColumn("m", type_=String(10)), AlterColumn("m", server_default="angry"))
    pg.run("INSERT INTO t (id) VALUES (3)")
    with pytest.raises(DataContradicts) as caught:
        pg.alter(AlterColumn("m", type_=mood, server_default="sad"))
    assert (caught.value.count, caught.value.sample) == (1, ["id=3"])


def test_every_value_that_does_not_fit_is_counted_and_nothing_is_left_behind(pg: Database) -> None:
    pg.run(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)",
        "INSERT INTO t SELECT n, CASE WHEN n % 2 = 0 THEN 'x' ELSE n::text END FROM generate_series(1, 100) n",
    )
    with pytest.raises(DataContradicts) as caught:
        pg.alter(AlterColumn("a", type_=Integer))
    assert (caught.value.count, caught.value.sample) == (50, ["id=2", "id=4", "id=6", "id=8", "id=10"])
    assert pg.rows("SELECT 1 FROM pg_proc WHERE proname LIKE 'sqlmig%'") == []


def test_transaction_goes_on_after_a_refusal_and_the_earlier_changes_of_the_call_are_undone(pg: Database) -> None:
    pg.run("CREATE TABLE t (id INTEGER, a INTEGER)", "INSERT INTO t VALUES (1, 1), (1, 2)")
    with pytest.raises(DataContradicts):
        pg.alter(RenameColumn("a", "b"), AddUnique("uq", ["id"]))
    with pytest.raises(SchemaError):
        pg.alter(RenameColumn("a", "b"), AddCheck("ck", "nothing > 0"))
    assert pg.columns() == ["id", "a"]


def test_type_that_a_view_or_a_generated_column_reads(pg: Database) -> None:
    pg.run(
        "CREATE TABLE t (a INTEGER, b INTEGER, g INTEGER GENERATED ALWAYS AS (b * 2) STORED)",
        "CREATE VIEW v AS SELECT a FROM t",
        "CREATE INDEX ix ON t (a) WHERE a > 0",
    )
    for column, user in (("a", "view v"), ("b", "generated column g")):
        with pytest.raises(ObjectInUse) as caught:
            pg.alter(AlterColumn(column, type_=BigInteger))
        assert caught.value.users == [user]
    with pytest.raises(ObjectInUse) as caught:
        pg.alter(DropColumn("a"))
    assert caught.value.users == ["index ix", "view v"]


def test_materialized_view_policy_and_trigger_of_a_column_are_users(pg: Database) -> None:
    pg.run(
        "CREATE TABLE t (id INTEGER, a INTEGER)",
        "CREATE MATERIALIZED VIEW m AS SELECT a FROM t",
        "CREATE POLICY p ON t USING (a > 0)",
        "CREATE RULE r AS ON INSERT TO t WHERE NEW.a > 9 DO INSTEAD NOTHING",
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
        "CREATE TRIGGER tr AFTER UPDATE OF a ON t FOR EACH ROW EXECUTE FUNCTION f()",
    )
    with pytest.raises(ObjectInUse) as caught:
        pg.alter(DropColumn("a", cascade=True))
    said = " ".join(caught.value.users)
    assert all(word in said for word in ("materialized view m", "policy p", "trigger tr", "rule"))
    pg.alter(RenameColumn("a", "b"))
    assert pg.rows("SELECT a FROM m") == []


def test_each_change_commits_whole_on_a_connection_that_commits_by_itself(pg: Database) -> None:
    pg.run("CREATE TABLE t (id INTEGER, a TEXT)", "INSERT INTO t VALUES (1, 'x')")
    pg.connection.commit()
    pg.connection.execution_options(isolation_level="AUTOCOMMIT")
    with pytest.raises(DataContradicts):
        pg.alter(RenameColumn("id", "b"), AlterColumn("a", type_=Integer))
    assert pg.columns() == ["id", "a"]
    pg.alter(RenameColumn("id", "b"), AlterColumn("a", type_=String(5)))
    pg.connection.rollback()
    assert pg.columns() == ["b", "a"]


def test_primary_key_keeps_its_name(pg: Database) -> None:
    pg.run("CREATE TABLE t (a INTEGER, b INTEGER NOT NULL, CONSTRAINT my_key PRIMARY KEY (a))")
    pg.alter(ChangePrimaryKey(["b", "a"]))
    assert [(one.name, one.columns) for one in pg.schema.catalogue.constraints(TableName(None, "t"))] == [
        ("my_key", ["b", "a"])
    ]


def test_triggers_of_one_name_on_two_tables(pg: Database) -> None:
    pg.run("CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'")
    for table in ("t", "u"):
        pg.run(f"CREATE TABLE {table} (id INTEGER)")
        pg.schema.create_trigger("tr", f"BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION f()")
    with pytest.raises(SchemaError, match="Say which table"):
        pg.schema.drop_trigger("tr", None)
    pg.schema.drop_trigger("tr", TableName(None, "u"))
    pg.schema.drop_trigger("tr", None)


def test_index_of_a_schema_off_the_search_path(pg: Database) -> None:
    other = pg.scratch + "_b"
    pg.run(f"CREATE SCHEMA {other}", f"CREATE TABLE {other}.t (id INTEGER)", f"CREATE INDEX ix ON {other}.t (id)")
    with pytest.raises(NoSuchObject):
        pg.schema.drop_index("ix", None, None)
    pg.schema.drop_index("ix", None, other)
    pg.run(f"CREATE INDEX ix ON {other}.t (id)")
    pg.schema.drop_index("ix", TableName(other, "t"), None)


# MariaDB.

RICH = r"""CREATE TABLE t (
  id INTEGER AUTO_INCREMENT PRIMARY KEY,
  e ENUM('a,b', 'c''d') DEFAULT 'c''d' COMMENT 'x, `y` \\ z) 100%',
  j JSON,
  at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP,
  n VARCHAR(20) CHARACTER SET latin1 COLLATE latin1_bin NOT NULL CHECK (n <> 'a)b'),
  i INTEGER INVISIBLE DEFAULT 3,
  g INTEGER GENERATED ALWAYS AS (id * 2) VIRTUAL COMMENT 'double',
  u BIGINT UNSIGNED ZEROFILL,
  d VARCHAR(10) DEFAULT (concat('a', 'b')))"""


@pytest.mark.parametrize("column", ["id", "e", "j", "at", "n", "i", "g", "u", "d"])
def test_a_comment_changes_nothing_but_the_comment(maria: Database, column: str) -> None:
    maria.run(RICH)
    before = maria.rows("SHOW CREATE TABLE t")[0][1]
    maria.alter(AlterColumn(column, comment="new, `one` 100% it's"))
    changed = maria.rows("SHOW CREATE TABLE t")[0][1]
    assert changed != before
    old = {"e": r"x, `y` \ z) 100%", "g": "double"}.get(column)
    maria.alter(AlterColumn(column, comment=old))
    assert maria.rows("SHOW CREATE TABLE t")[0][1] == before


def test_parts_of_a_column_survive_a_change_of_another_part(maria: Database) -> None:
    maria.run(RICH, "INSERT INTO t (n, u) VALUES ('x', 7)")
    maria.alter(
        AlterColumn("id", type_=BigInteger),
        AlterColumn("n", type_=String(40)),
        AlterColumn("i", nullable=False),
        AlterColumn("at", nullable=True),
        AlterColumn("u", server_default=9),
    )
    maria.run("UPDATE t SET at = '2001-01-01'", "INSERT INTO t (n) VALUES ('X')", "UPDATE t SET n = 'y' WHERE id = 1")
    assert maria.rows("SELECT id, n, i, g, u, at > '2020-01-01' FROM t") == [
        (1, "y", 3, 2, 7, 1),
        (2, "X", 3, 4, 9, 1),
    ]
    assert maria.value("SELECT count(*) FROM t WHERE n = 'x'") == 0
    assert maria.refuses("UPDATE t SET n = 'a)b'")
    assert "i" not in list(maria.connection.exec_driver_sql("SELECT * FROM t").keys())


def test_using_touches_no_other_column_and_leaves_the_place(maria: Database) -> None:
    maria.run(RICH, "INSERT INTO t (n, at) VALUES ('one', '2001-01-01')")
    before = maria.columns()
    maria.alter(DropConstraint(kind="check", columns=["n"]))
    maria.alter(AlterColumn("n", type_=Integer, using="CASE n WHEN 'one' THEN 1 END"))
    assert maria.rows("SELECT n, YEAR(at) FROM t") == [(1, 2001)]
    assert maria.columns() == before


def test_using_is_refused_where_it_would_fire_or_lose_something(maria: Database) -> None:
    maria.run(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER, b VARCHAR(9), KEY ix (a))",
        "INSERT INTO t VALUES (1, 1, 'x')",
    )
    for column in ("id", "a"):
        with pytest.raises(UnsupportedChange, match="while these use it"):
            maria.alter(AlterColumn(column, type_=String(9), using=f"concat({column}, 'x')"))
    with pytest.raises(DataContradicts):
        maria.alter(AlterColumn("b", type_=Integer, using="concat(b, 'y')"))
    assert maria.columns() == ["id", "a", "b"]
    maria.run("CREATE TRIGGER tr BEFORE UPDATE ON t FOR EACH ROW SET NEW.a = 5")
    with pytest.raises(UnsupportedChange, match="fire tr"):
        maria.alter(AlterColumn("b", type_=Integer, using="1"))


def test_lenient_sql_mode_cuts_nothing(maria: Database) -> None:
    maria.run(
        "SET SESSION sql_mode = ''",
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a VARCHAR(20), m VARCHAR(9))",
        "INSERT INTO t VALUES (1, 'abcdef', 'happy'), (2, '2024-02-30', NULL), (3, '1e3', 'sad')",
    )
    for kind, keys in (("VARCHAR(3)", ["id=1", "id=2"]), ("DATE", ["id=1", "id=2", "id=3"]), ("INT", ["id=1", "id=2"])):
        with pytest.raises(DataContradicts) as caught:
            maria.alter(AlterColumn("a", type_=kind))
        assert caught.value.sample == keys
    with pytest.raises(DataContradicts) as caught:
        maria.alter(AlterColumn("m", type_=Enum("happy", "angry")))
    assert caught.value.sample == ["id=3"]
    maria.alter(AlterColumn("m", type_=Enum("happy", "sad")))
    with pytest.raises(DataContradicts):
        maria.alter(AlterColumn("m", nullable=False))
    with pytest.raises(DataContradicts):
        maria.alter(added(Column("n", Integer, nullable=False)))


def test_composite_index_is_not_narrowed_silently(maria: Database) -> None:
    maria.run("CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER, b INTEGER, UNIQUE KEY uq (a, b))")
    with pytest.raises(ObjectInUse, match="unique uq"):
        maria.alter(DropColumn("a"))
    maria.alter(DropColumn("a", cascade=True))
    maria.run("INSERT INTO t VALUES (1, 1), (2, 1)")


def test_check_in_another_columns_definition_is_found_and_dropped(maria: Database) -> None:
    maria.run("CREATE TABLE t (a INTEGER, b INTEGER NOT NULL DEFAULT 4 CHECK (b > a))", "INSERT INTO t (a) VALUES (1)")
    with pytest.raises(ObjectInUse, match="check b"):
        maria.alter(DropColumn("a"))
    maria.alter(DropColumn("a", cascade=True))
    maria.run("INSERT INTO t VALUES (), ()", "UPDATE t SET b = -5 LIMIT 1")
    assert maria.rows("SELECT b FROM t") == [(-5,), (4,), (4,)]


def test_key_that_a_foreign_key_or_a_counter_needs(maria: Database) -> None:
    maria.run(
        "CREATE TABLE t (id INTEGER AUTO_INCREMENT PRIMARY KEY, a INTEGER UNIQUE)",
        "CREATE TABLE child (x INTEGER, CONSTRAINT fk FOREIGN KEY (x) REFERENCES t (a))",
    )
    with pytest.raises(ObjectInUse):
        maria.alter(DropConstraint(kind="unique"))
    with pytest.raises(ObjectInUse):
        maria.schema.drop_index("a", TableName(None, "t"), None)
    with pytest.raises(UnsupportedChange):
        maria.alter(ChangePrimaryKey([]))
    with pytest.raises(UnsupportedChange):
        maria.alter(AlterColumn("id", nullable=True))
    with pytest.raises(SchemaError, match="was not said"):
        maria.alter(DropConstraint())


def test_trigger_of_another_table_is_not_broken(maria: Database) -> None:
    maria.run(
        "CREATE TABLE t (id INTEGER, a INTEGER)",
        "CREATE TABLE u (id INTEGER)",
        "CREATE TRIGGER tr AFTER INSERT ON u FOR EACH ROW UPDATE t SET a = 1",
    )
    for attempt in (
        lambda: maria.alter(DropColumn("a", cascade=True)),
        lambda: maria.schema.rename_table(TableName(None, "t"), "x"),
        lambda: maria.schema.drop_table(TableName(None, "t"), cascade=True),
    ):
        with pytest.raises(ObjectInUse, match="trigger tr"):
            attempt()


# The text of a column's definition.

TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20).map(
    lambda value: "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"
)


@given(default=TEXT, comment=TEXT, check=TEXT)
def test_definition_is_taken_apart_at_its_parts_alone(default: str, comment: str, check: str) -> None:
    parts = {
        "type": f"enum({default},'b') ",
        "charset": "CHARACTER SET latin1",
        "collate": "COLLATE latin1_bin",
        "null": "NOT NULL",
        "default": f"DEFAULT {default}",
        "rest": "INVISIBLE",
        "comment": f"COMMENT {comment}",
        "check": f"CHECK (`a` <> {check} and (`b`))",
    }
    parts["type"] = parts["type"].strip()
    definition = ColumnDefinition.parse(" ".join(parts.values()))
    assert definition.parts == parts
    assert ColumnDefinition.parse(definition.render()) == definition


def test_names_in_stored_sql() -> None:
    assert mentioned("`a` > 'not `b`' and `C``d` = 1") == {"a", "c`d"}
    view = "select `x`.`a` AS `z`,`s`.`u`.`b` AS `b` from (`s`.`t` `x` join `s`.`u`)"
    assert uses_column(view, "s", "t", "a")
    assert not uses_column(view, "s", "t", "b")
    assert uses_column(view, "s", "u", "b")
    assert uses_column(view, "s", "t", None)
    assert not uses_column(view, "s", "tt", None)
