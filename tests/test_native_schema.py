"""Native ALTER on PostgreSQL and MariaDB: what becomes of the rows, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from native_databases import Database, added, scratch_database
from sqlalchemy import CheckConstraint, Column, Enum, ForeignKey, Integer, MetaData, String, Table, create_engine, text
from sqlalchemy.exc import DBAPIError

from sqlmig.errors import (
    DataContradicts,
    NoSuchObject,
    ObjectExists,
    ObjectInUse,
    SchemaError,
    UnsupportedChange,
    UnsupportedDatabase,
    WrongObject,
)
from sqlmig.schema.changes import (
    AddCheck,
    AddForeignKey,
    AddUnique,
    AlterColumn,
    Change,
    ChangePrimaryKey,
    DropColumn,
    DropConstraint,
    RenameColumn,
    TableName,
)
from sqlmig.schema.native import NativeSchema

PARENT = Table("parent", MetaData(), Column("id", Integer, primary_key=True))
NASTY = ['a"b', "a`b", "x; DROP TABLE t; --", "100%", "%s", "%(x)s", "Upper Case", "select", "a'b", "a:b", "{}", "ü"]


@pytest.fixture(params=["postgresql", "mariadb"])
def db(request: pytest.FixtureRequest) -> Iterator[Database]:
    with scratch_database(request.param) as database:
        database.run(
            "CREATE TABLE parent (id INTEGER PRIMARY KEY)",
            "CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER, b VARCHAR(20) DEFAULT 'bee', c INTEGER NOT NULL)",
            "INSERT INTO parent VALUES (1), (2)",
            "INSERT INTO t (id, a, b, c) VALUES (1, 1, 'one', 10), (2, 2, 'two', 20), (3, NULL, NULL, 30)",
        )
        yield database


# Columns: adding, dropping, renaming.


def test_added_column_reads_its_default_in_rows_that_are_there(db: Database) -> None:
    db.alter(added(Column("n", String(20), nullable=False, server_default="100% 'q' \\")))
    assert {row[0] for row in db.rows("SELECT n FROM t")} == {"100% 'q' \\"}


def test_added_column_brings_its_check_unique_foreign_key_and_index(db: Database) -> None:
    db.alter(
        added(Column("n", Integer, CheckConstraint("n > 0"), unique=True)),
        added(Column("p", Integer, ForeignKey("parent.id", name="fk_p"), index=True), PARENT),
    )
    db.run("UPDATE t SET n = 5, p = 1 WHERE id = 1")
    assert db.refuses("UPDATE t SET n = -1 WHERE id = 2")
    assert db.refuses("UPDATE t SET n = 5 WHERE id = 2")
    assert db.refuses("UPDATE t SET p = 77 WHERE id = 2")
    assert db.schema.catalogue.indexes("ix_t_p", TableName(None, "t"), None)


def test_added_enum_makes_its_type(db: Database) -> None:
    db.alter(added(Column("mood", Enum("happy", "100%", name="mood"), server_default="happy")))
    assert db.value("SELECT mood FROM t WHERE id = 1") == "happy"
    assert db.refuses("UPDATE t SET mood = 'angry'")


def test_added_column_with_comment(db: Database) -> None:
    db.alter(added(Column("n", Integer, comment="it's 5% \\")))
    assert _comment(db, "n") == "it's 5% \\"


def test_added_not_null_column_without_default_needs_an_empty_table(db: Database) -> None:
    with pytest.raises(DataContradicts) as caught:
        db.alter(added(Column("n", Integer, nullable=False)))
    assert (caught.value.count, caught.value.sample) == (3, ["id=1", "id=2", "id=3"])
    db.run("DELETE FROM t")
    db.alter(added(Column("n", Integer, nullable=False)))
    assert db.columns() == ["id", "a", "b", "c", "n"]


def test_added_primary_key_numbers_the_rows(db: Database) -> None:
    db.run("CREATE TABLE bare (x INTEGER)", "INSERT INTO bare VALUES (7), (8)")
    db.alter(added(Column("id", Integer, primary_key=True), table="bare"), table="bare")
    assert sorted(db.rows("SELECT id FROM bare")) == [(1,), (2,)]
    with pytest.raises(ObjectExists, match="primary key"):
        db.alter(added(Column("id2", Integer, primary_key=True)))


def test_dropped_column_is_gone_with_its_own_check(db: Database) -> None:
    db.alter(added(Column("n", Integer, CheckConstraint("n > 0"))))
    db.alter(DropColumn("n"))
    assert db.columns() == ["id", "a", "b", "c"]


def test_drop_column_lists_every_user_and_cascade_drops_them(db: Database) -> None:
    db.run(
        "CREATE INDEX ix_a ON t (a, c)",
        "ALTER TABLE t ADD CONSTRAINT uq_a UNIQUE (a)",
        "ALTER TABLE t ADD CONSTRAINT ck_ac CHECK (a < c)",
        "ALTER TABLE t ADD CONSTRAINT fk_a FOREIGN KEY (a) REFERENCES parent (id)",
        "ALTER TABLE t ADD COLUMN g INTEGER GENERATED ALWAYS AS (a + 1) STORED",
        "CREATE TABLE child (x INTEGER, CONSTRAINT fk_child FOREIGN KEY (x) REFERENCES t (a))",
        "INSERT INTO child VALUES (1)",
    )
    with pytest.raises(ObjectInUse) as caught:
        db.alter(DropColumn("a"))
    wanted = {"index ix_a", "unique uq_a", "check ck_ac", "foreign key fk_a", "generated column g"}
    assert wanted | {"foreign key fk_child of child"} == set(caught.value.users)
    assert "cascade=True" in str(caught.value)
    db.alter(DropColumn("a", cascade=True))
    assert db.columns() == ["id", "b", "c"]
    assert db.rows("SELECT x FROM child") == [(1,)]


def test_drop_column_never_takes_a_view_or_a_trigger_along(db: Database) -> None:
    db.run("CREATE VIEW v AS SELECT s.id, s.a FROM t s")
    _trigger(db, "tr", "t", "NEW.c")
    db.run("CREATE INDEX ix_a ON t (a)")
    for column, user in (("a", "view v"), ("c", "trigger tr")):
        with pytest.raises(ObjectInUse) as caught:
            db.alter(DropColumn(column, cascade=True))
        assert user in caught.value.users
    assert db.columns() == ["id", "a", "b", "c"]
    db.alter(DropColumn("b"))


def test_drop_column_looks_for_views_of_what_goes_along(db: Database) -> None:
    db.run(
        "ALTER TABLE t ADD COLUMN g INTEGER GENERATED ALWAYS AS (a + 1) STORED",
        "CREATE VIEW v AS SELECT g FROM t",
    )
    with pytest.raises(ObjectInUse, match="view v"):
        db.alter(DropColumn("a", cascade=True))
    assert "g" in db.columns()


def test_renamed_column_keeps_values_default_and_what_uses_it(db: Database) -> None:
    db.run(
        "CREATE INDEX ix_b ON t (b)",
        "ALTER TABLE t ADD CONSTRAINT ck_b CHECK (b <> 'no')",
        "ALTER TABLE t ADD COLUMN g INTEGER GENERATED ALWAYS AS (a + 1) STORED",
    )
    db.alter(RenameColumn("b", "bb"), RenameColumn("a", "aa"))
    db.run("INSERT INTO t (id, aa, c) VALUES (4, 4, 40)")
    assert db.rows("SELECT bb, g FROM t ORDER BY id") == [("one", 2), ("two", 3), (None, None), ("bee", 5)]
    assert db.refuses("UPDATE t SET bb = 'no'")


def test_rename_column_refuses_to_break_a_trigger(db: Database) -> None:
    _trigger(db, "tr", "t", "NEW.c")
    with pytest.raises(ObjectInUse, match="trigger tr"):
        db.alter(RenameColumn("c", "cc"))


def test_renamed_column_under_a_view_follows_or_is_refused(db: Database) -> None:
    db.run("CREATE VIEW v AS SELECT a FROM t")
    if db.postgresql:
        db.alter(RenameColumn("a", "aa"))
    else:
        with pytest.raises(ObjectInUse, match="view v"):
            db.alter(RenameColumn("a", "aa"))
    assert len(db.rows("SELECT a FROM v")) == 3


def test_rename_column_to_a_name_that_is_taken(db: Database) -> None:
    with pytest.raises(ObjectExists, match="column b"):
        db.alter(RenameColumn("a", "b"))
    db.alter(RenameColumn("a", "a"))


# Columns: altering.


def test_nullable_both_ways(db: Database) -> None:
    db.alter(AlterColumn("c", nullable=True))
    db.run("UPDATE t SET c = NULL WHERE id = 2")
    with pytest.raises(DataContradicts) as caught:
        db.alter(AlterColumn("c", nullable=False))
    assert (caught.value.count, caught.value.sample) == (1, ["id=2"])
    db.run("UPDATE t SET c = 0 WHERE id = 2")
    db.alter(AlterColumn("c", nullable=False))
    assert db.refuses("UPDATE t SET c = NULL WHERE id = 1")


@pytest.mark.parametrize(
    ("column", "default", "value"),
    [
        ("b", "it's 5% \\ :x", "it's 5% \\ :x"),
        ("b", text("upper('x:y %')"), "X:Y %"),
        ("a", 7, 7),
        ("a", -7, -7),
        ("a", text("1 + 1"), 2),
        ("b", None, None),
    ],
)
def test_server_default(db: Database, column: str, default: object, value: object) -> None:
    db.alter(AlterColumn(column, server_default=default))  # type: ignore[arg-type]
    db.run("INSERT INTO t (id, c) VALUES (9, 9)")
    assert db.value(f"SELECT {column} FROM t WHERE id = 9") == value
    assert db.rows("SELECT b FROM t WHERE id < 9 ORDER BY id") == [("one",), ("two",), (None,)]


def test_default_of_a_not_null_column_is_dropped(db: Database) -> None:
    db.alter(AlterColumn("c", server_default=5))
    db.run("INSERT INTO t (id) VALUES (8)")
    db.alter(AlterColumn("c", server_default=None))
    assert db.refuses("INSERT INTO t (id) VALUES (9)")


def test_default_of_now(db: Database) -> None:
    db.run("ALTER TABLE t ADD COLUMN at TIMESTAMP NULL")
    db.alter(AlterColumn("at", server_default=text("CURRENT_TIMESTAMP")))
    db.run("INSERT INTO t (id, c) VALUES (9, 9)")
    assert db.value("SELECT at FROM t WHERE id = 9") is not None


def test_type_change_keeps_default_null_comment_and_index(db: Database) -> None:
    db.run("UPDATE t SET b = '4'", "CREATE UNIQUE INDEX ix_c ON t (c)")
    db.alter(AlterColumn("b", server_default="5", comment="kept"), AlterColumn("c", comment="also"))
    db.alter(AlterColumn("b", type_=Integer), AlterColumn("c", type_=String(9)))
    db.run("INSERT INTO t (id, c) VALUES (9, '9')")
    assert db.rows("SELECT b, c FROM t WHERE id IN (1, 9) ORDER BY id") == [(4, "10"), (5, "9")]
    assert (_comment(db, "b"), _comment(db, "c")) == ("kept", "also")
    assert db.refuses("INSERT INTO t (id) VALUES (10)")
    assert db.refuses("INSERT INTO t (id, c) VALUES (10, '9')")


@pytest.mark.parametrize("value", ["forty", "12abc", "2024-01-01", ""])
def test_type_change_over_values_that_do_not_fit(db: Database, value: str) -> None:
    db.run("UPDATE t SET b = '12' WHERE id = 1", f"UPDATE t SET b = '{value}' WHERE id = 2")
    with pytest.raises(DataContradicts) as caught:
        db.alter(AlterColumn("b", type_=Integer))
    assert (caught.value.count, caught.value.sample) == (1, ["id=2"])
    assert not value or value not in str(caught.value)
    assert db.rows("SELECT b FROM t ORDER BY id") == [("12",), (value,), (None,)]


@pytest.mark.parametrize(
    ("kind", "value", "narrow"),
    [
        ("VARCHAR(20)", "'abcdef'", "VARCHAR(3)"),
        ("NUMERIC(10, 2)", "1.55", "INTEGER"),
        ("INTEGER", "70000", "SMALLINT"),
        ("TIMESTAMP", "'2024-01-05 10:00:00'", "DATE"),
    ],
)
def test_type_change_never_rounds_or_cuts(db: Database, kind: str, value: str, narrow: str) -> None:
    db.run(f"CREATE TABLE n (id INTEGER PRIMARY KEY, v {kind} NULL)", f"INSERT INTO n VALUES (1, {value}), (2, NULL)")
    with pytest.raises(DataContradicts) as caught:
        db.alter(AlterColumn("v", type_=narrow), table="n")
    assert (caught.value.count, caught.value.sample) == (1, ["id=1"])
    db.run("DELETE FROM n WHERE id = 1")
    db.alter(AlterColumn("v", type_=narrow), table="n")


def test_using_states_the_conversion(db: Database) -> None:
    conversion = "CASE WHEN b = 'one' THEN 1 WHEN b = 'two' THEN 2 ELSE 0 END"
    db.alter(AlterColumn("b", type_=Integer, using=conversion, nullable=False, server_default=8))
    db.run("INSERT INTO t (id, c) VALUES (9, 9)")
    assert db.rows("SELECT b FROM t ORDER BY id") == [(1,), (2,), (0,), (8,)]
    assert db.columns() == ["id", "a", "b", "c"]
    assert db.refuses("UPDATE t SET b = NULL")


def test_using_that_gives_null_for_not_null(db: Database) -> None:
    with pytest.raises(DataContradicts) as caught:
        db.alter(AlterColumn("c", type_=String(9), using="CASE WHEN c > 10 THEN 'big' END", nullable=False))
    assert (caught.value.count, caught.value.sample) == (1, ["id=1"])
    assert db.columns() == ["id", "a", "b", "c"]


def test_comment_is_set_and_removed(db: Database) -> None:
    db.alter(AlterColumn("b", comment="it's 5% `x` \\"))
    assert _comment(db, "b") == "it's 5% `x` \\"
    db.alter(AlterColumn("b", comment=None))
    assert not _comment(db, "b")
    db.run("INSERT INTO t (id, c) VALUES (9, 9)")
    assert db.value("SELECT b FROM t WHERE id = 9") == "bee"


def test_collation_changes_and_survives_a_change_of_type(db: Database) -> None:
    binary, other = ("C", None) if db.postgresql else ("utf8mb4_bin", None)
    db.alter(AlterColumn("b", collation=binary))
    assert _collation(db, "b") == binary
    db.alter(AlterColumn("b", type_=String(30)))
    assert _collation(db, "b") == binary
    db.alter(AlterColumn("b", collation=other))
    assert _collation(db, "b") != binary


def test_generated_column_takes_no_default(db: Database) -> None:
    db.run("ALTER TABLE t ADD COLUMN g INTEGER GENERATED ALWAYS AS (a + 1) STORED")
    with pytest.raises(UnsupportedChange, match="generated"):
        db.alter(AlterColumn("g", server_default=1))


# Constraints.


def test_check_over_rows_that_break_it(db: Database) -> None:
    with pytest.raises(DataContradicts) as caught:
        db.alter(AddCheck("ck", "a < 2 -- it's a comment"))
    assert (caught.value.count, caught.value.sample) == (1, ["id=2"])
    db.alter(AddCheck("ck", "a < 3 -- it's a comment"), AddCheck(None, "b NOT LIKE '100%:x'"))
    assert db.refuses("UPDATE t SET a = 3")
    assert db.refuses("UPDATE t SET b = '1000:x'")


def test_unique_over_duplicates(db: Database) -> None:
    db.run("UPDATE t SET a = 1 WHERE id = 2", "INSERT INTO t (id, a, c) VALUES (4, NULL, 4)")
    with pytest.raises(DataContradicts) as caught:
        db.alter(AddUnique("uq", ["a"]))
    assert (caught.value.count, caught.value.sample) == (2, ["id=1", "id=2"])
    db.alter(AddUnique("uq", ["a", "c"]), AddUnique(None, ["c"]))
    assert db.refuses("INSERT INTO t (id, c) VALUES (9, 10)")


def test_foreign_key_over_orphans(db: Database) -> None:
    db.run("UPDATE t SET a = 77 WHERE id = 2")
    key = AddForeignKey("fk", ["a"], TableName(None, "parent"), ["id"], ondelete="cascade", onupdate="NO ACTION")
    with pytest.raises(DataContradicts) as caught:
        db.alter(key)
    assert (caught.value.count, caught.value.sample) == (1, ["id=2"])
    db.run("UPDATE t SET a = 2 WHERE id = 2")
    db.alter(key)
    db.run("DELETE FROM parent WHERE id = 1")
    assert db.rows("SELECT id FROM t ORDER BY id") == [(2,), (3,)]


def test_deferrable_foreign_key(db: Database) -> None:
    key = AddForeignKey("fk", ["a"], TableName(None, "parent"), ["id"], deferrable=True, initially="DEFERRED")
    if db.postgresql:
        db.alter(key)
        db.run("UPDATE t SET a = 77 WHERE id = 1", "INSERT INTO parent VALUES (77)", "SET CONSTRAINTS ALL IMMEDIATE")
    else:
        with pytest.raises(UnsupportedChange, match="deferrable"):
            db.alter(key)


@pytest.mark.parametrize(
    ("key", "error"),
    [
        (AddForeignKey("fk", ["a"], TableName(None, "paren"), ["id"]), NoSuchObject),
        (AddForeignKey("fk", ["a"], TableName(None, "parent"), ["idd"]), NoSuchObject),
        (AddForeignKey("fk", ["aa"], TableName(None, "parent"), ["id"]), NoSuchObject),
        (AddForeignKey("fk", ["a", "c"], TableName(None, "parent"), ["id"]), SchemaError),
        (AddForeignKey("fk", ["a"], TableName(None, "parent"), ["id"], ondelete="CASCADE; DROP"), UnsupportedChange),
        (AddForeignKey("fk", ["a"], TableName(None, "t"), ["c"]), (UnsupportedChange, DataContradicts)),
    ],
)
def test_foreign_key_that_cannot_be(db: Database, key: Change, error: type[SchemaError]) -> None:
    with pytest.raises(error):
        db.alter(key)


def test_primary_key_changes(db: Database) -> None:
    with pytest.raises(DataContradicts) as caught:
        db.alter(ChangePrimaryKey(["a"]))
    assert (caught.value.count, caught.value.sample) == (1, ["id=3"])
    db.alter(ChangePrimaryKey(["id", "c"]))
    db.run("INSERT INTO t (id, c) VALUES (1, 11)")
    assert db.refuses("INSERT INTO t (id, c) VALUES (1, 11)")
    with pytest.raises(DataContradicts) as caught:
        db.alter(ChangePrimaryKey(["id"]))
    assert caught.value.sample == ["(id=1, c=10)", "(id=1, c=11)"]
    db.alter(ChangePrimaryKey([]))
    db.run("INSERT INTO t (id, c) VALUES (1, 11)")
    db.alter(ChangePrimaryKey([]))


def test_primary_key_that_is_referred_to_stays(db: Database) -> None:
    db.run("CREATE TABLE child (x INTEGER, CONSTRAINT fk_child FOREIGN KEY (x) REFERENCES t (id))")
    with pytest.raises(ObjectInUse, match="fk_child"):
        db.alter(ChangePrimaryKey(["c"]))


@pytest.mark.parametrize("by_name", [True, False])
def test_constraints_are_dropped_by_name_or_by_kind_and_columns(db: Database, by_name: bool) -> None:
    key = AddForeignKey("fk", ["a"], TableName(None, "parent"), ["id"])
    db.alter(AddCheck("ck", "a < c"), AddCheck("ck2", "a < 9"), AddUnique("uq", ["a", "c"]), key)
    if by_name:
        drops = [DropConstraint(name=name) for name in ("fk", "ck", "uq")]
    else:
        drops = [DropConstraint(kind="foreign_key"), DropConstraint(kind="check", columns=["c", "a"])]
        drops.append(DropConstraint(kind="unique", columns=["a", "c"]))
    db.alter(*drops)
    db.run("UPDATE t SET a = 8, c = 0")
    assert db.refuses("UPDATE t SET a = 10")


def test_unnamed_check_of_a_column_is_dropped(db: Database) -> None:
    db.run("ALTER TABLE t ADD COLUMN n INTEGER DEFAULT 3 CHECK (n > 0)")
    db.alter(DropConstraint(kind="check", columns=["n"]))
    db.run("UPDATE t SET n = -1 WHERE id = 1")
    assert db.rows("SELECT n FROM t ORDER BY id") == [(-1,), (3,), (3,)]


def test_constraint_that_is_not_there_or_not_alone(db: Database) -> None:
    db.alter(AddCheck("ck_one", "a < c"), AddCheck("ck_two", "a < c + 1"))
    with pytest.raises(NoSuchObject, match=r"Did you mean ck_one"):
        db.alter(DropConstraint(name="ck_oen"))
    with pytest.raises(SchemaError, match=r"ck_one.*ck_two"):
        db.alter(DropConstraint(kind="check", columns=["a", "c"]))
    with pytest.raises(NoSuchObject):
        db.alter(DropConstraint(kind="unique"))


def test_constraint_name_that_is_taken(db: Database) -> None:
    db.alter(AddCheck("ck", "a < c"))
    for change in (AddCheck("ck", "a < c"), AddUnique("ck", ["c"])):
        with pytest.raises(ObjectExists, match="ck"):
            db.alter(change)


# Tables, indexes, views, triggers.


def test_renamed_table_keeps_rows_and_references(db: Database) -> None:
    db.run("CREATE TABLE child (x INTEGER, FOREIGN KEY (x) REFERENCES t (id))", "INSERT INTO child VALUES (1)")
    db.schema.rename_table(TableName(None, "t"), "u")
    assert len(db.rows("SELECT * FROM u")) == 3
    assert db.refuses("INSERT INTO child VALUES (99)")
    with pytest.raises(ObjectExists, match="parent"):
        db.schema.rename_table(TableName(None, "u"), "parent")


def test_rename_of_a_table_keeps_it_in_its_schema(db: Database) -> None:
    db.schema.rename_table(TableName(db.scratch, "t"), "u")
    db.alter(RenameColumn("a", "aa"), AddUnique("uq", ["aa"]), table="u", schema=db.scratch)
    assert len(db.rows(f"SELECT aa FROM {db.scratch}.u")) == 3


def test_dropped_table_is_gone_unless_it_is_used(db: Database) -> None:
    db.run("CREATE TABLE child (x INTEGER, CONSTRAINT fk FOREIGN KEY (x) REFERENCES t (id))")
    with pytest.raises(ObjectInUse, match="fk of child"):
        db.schema.drop_table(TableName(None, "t"))
    db.run("CREATE VIEW v AS SELECT id FROM t")
    with pytest.raises(ObjectInUse, match="view v"):
        db.schema.drop_table(TableName(None, "t"), cascade=True)
    db.schema.drop_view(TableName(None, "v"))
    db.schema.drop_table(TableName(None, "t"), cascade=True)
    db.run("INSERT INTO child VALUES (99)")
    assert db.columns() == []


def test_index_is_dropped_alone(db: Database) -> None:
    db.run("CREATE UNIQUE INDEX ix_a ON t (a)")
    with pytest.raises(NoSuchObject, match="Did you mean ix_a"):
        db.schema.drop_index("ix_aa", None, None)
    db.schema.drop_index("ix_a", None, None)
    db.run("UPDATE t SET a = 1")
    name = "t_pkey" if db.postgresql else "PRIMARY"
    with pytest.raises(WrongObject, match="constraint"):
        db.schema.drop_index(name, TableName(None, "t"), None)


def test_view_is_made_and_dropped(db: Database) -> None:
    db.schema.create_view(TableName(None, "v"), "SELECT id, b FROM t WHERE b LIKE 't%'")
    assert db.rows("SELECT id FROM v") == [(2,)]
    with pytest.raises(ObjectExists, match="view v"):
        db.schema.create_view(TableName(None, "v"), "SELECT 1 AS one")
    db.schema.create_view(TableName(None, "w"), "SELECT id FROM v")
    with pytest.raises(ObjectInUse, match="view w"):
        db.schema.drop_view(TableName(None, "v"))
    db.schema.drop_view(TableName(None, "w"))
    db.schema.drop_view(TableName(None, "v"))
    with pytest.raises(NoSuchObject):
        db.schema.drop_view(TableName(None, "v"))
    with pytest.raises(WrongObject):
        db.schema.drop_view(TableName(None, "t"))


def test_trigger_is_made_and_dropped(db: Database) -> None:
    body = "BEFORE INSERT ON t FOR EACH ROW SET NEW.b = '5%:x'"
    if db.postgresql:
        db.run("CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN NEW.b := '5%:x'; RETURN NEW; END$$")
        body = "BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f()"
    db.schema.create_trigger("Tr; x", body)
    db.run("INSERT INTO t (id, c) VALUES (9, 9)")
    assert db.value("SELECT b FROM t WHERE id = 9") == "5%:x"
    with pytest.raises(ObjectExists):
        db.schema.create_trigger("Tr; x", body)
    with pytest.raises(NoSuchObject):
        db.schema.drop_trigger("nothing", TableName(None, "t"))
    db.schema.drop_trigger("Tr; x", None)
    db.schema.create_trigger("whole", f"CREATE TRIGGER whole {body}")
    db.schema.drop_trigger("whole", TableName(None, "t"))
    db.run("INSERT INTO t (id, c) VALUES (10, 9)")
    assert db.value("SELECT b FROM t WHERE id = 10") == "bee"


# Bad input.


@pytest.mark.parametrize("name", NASTY)
def test_names_are_quoted_and_never_injected(db: Database, name: str) -> None:
    db.alter(
        RenameColumn("a", name),
        AlterColumn(name, comment=name),
        AlterColumn(name, type_=String(40), nullable=True),
        AlterColumn(name, server_default=name),
        AddUnique(f"uq {name}", [name]),
        AddCheck(f"ck {name}", "c > 0"),
        DropConstraint(name=f"ck {name}"),
        added(Column(f"{name} 2", Integer)),
        DropColumn(f"{name} 2"),
    )
    db.run("INSERT INTO t (id, c) VALUES (9, 9)")
    db.schema.rename_table(TableName(None, "t"), name)
    if name != "select":
        assert set(db.columns(name.replace("'", "''"))) == {"id", name, "b", "c"}
    db.alter(AlterColumn(name, server_default=None), DropColumn(name, cascade=True), table=name)
    db.schema.create_view(TableName(None, f"v {name}"), "SELECT 1 AS one")
    db.schema.drop_view(TableName(None, f"v {name}"))
    db.schema.drop_table(TableName(None, name))


@pytest.mark.parametrize(
    "change",
    [
        DropColumn("aa"),
        RenameColumn("aa", "z"),
        AlterColumn("aa", nullable=True),
        AddUnique("uq", ["aa"]),
        ChangePrimaryKey(["aa"]),
        AddCheck("ck", "aa > 0"),
    ],
)
def test_unknown_column_and_table_name_what_there_is(db: Database, change: Change) -> None:
    with pytest.raises(NoSuchObject) as caught:
        db.alter(change)
    assert (caught.value.kind, caught.value.name) == ("column", "aa")
    assert "a" in caught.value.available
    with pytest.raises(NoSuchObject, match="Did you mean parent") as caught:
        db.alter(change, table="parents")
    assert caught.value.kind == "table"
    assert len(db.rows("SELECT * FROM t")) == 3


def test_view_is_no_table_to_alter(db: Database) -> None:
    db.run("CREATE VIEW v AS SELECT id FROM t")
    for attempt in (
        lambda: db.alter(DropColumn("id"), table="v"),
        lambda: db.schema.rename_table(TableName(None, "v"), "w"),
        lambda: db.schema.drop_table(TableName(None, "v")),
    ):
        with pytest.raises(WrongObject, match="is a view"):
            attempt()


def test_added_column_that_is_there(db: Database) -> None:
    with pytest.raises(ObjectExists, match="column a in the table t"):
        db.alter(added(Column("a", Integer)))


def test_server_refusal_that_no_check_foresees_is_typed_and_chained(db: Database) -> None:
    """The default of a new UNIQUE column is the same in every row."""
    with pytest.raises(DataContradicts) as caught:
        db.alter(added(Column("n", Integer, unique=True, server_default="5")))
    assert isinstance(caught.value.__cause__, DBAPIError)
    assert db.columns() == ["id", "a", "b", "c"]


def test_sqlite_has_another_way() -> None:
    with create_engine("sqlite://").connect() as connection, pytest.raises(UnsupportedDatabase):
        NativeSchema(connection)


def _comment(db: Database, column: str) -> str | None:
    if db.postgresql:
        number = f"SELECT attnum FROM pg_attribute WHERE attrelid = 't'::regclass AND attname = '{column}'"
        return db.value(f"SELECT col_description('t'::regclass, ({number}))")
    where = f"table_schema = '{db.scratch}' AND table_name = 't' AND column_name = '{column}'"
    return db.value(f"SELECT column_comment FROM information_schema.columns WHERE {where}")


def _collation(db: Database, column: str) -> str | None:
    where = f"table_schema = '{db.scratch}' AND table_name = 't' AND column_name = '{column}'"
    return db.value(f"SELECT collation_name FROM information_schema.columns WHERE {where}")


def _trigger(db: Database, name: str, table: str, value: str) -> None:
    if db.postgresql:
        body = f"BEGIN INSERT INTO parent VALUES ({value}); RETURN NEW; END"
        db.run(f"CREATE FUNCTION {name}_f() RETURNS trigger LANGUAGE plpgsql AS $${body}$$")
        action = f"EXECUTE FUNCTION {name}_f()"
    else:
        action = f"INSERT INTO parent VALUES ({value})"
    db.run(f"CREATE TRIGGER {name} AFTER INSERT ON {table} FOR EACH ROW {action}")
