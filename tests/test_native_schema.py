"""Constraints, tables, indexes, views and triggers on PostgreSQL and MariaDB, and bad input."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from native_databases import Database, added, fill, scratch_database
from sqlalchemy import Column, Integer, String, create_engine
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
from sqlmig.schema.native.schema import NativeSchema

NASTY = ['a"b', "a`b", "x; DROP TABLE t; --", "100%", "%s", "%(x)s", "Upper Case", "select", "a'b", "a:b", "{}", "ü"]


@pytest.fixture(params=["postgresql", "mariadb"])
def db(request: pytest.FixtureRequest) -> Iterator[Database]:
    with scratch_database(request.param) as database:
        fill(database)
        yield database


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


@pytest.mark.parametrize("name", ["", "ü" * 65])
def test_name_that_the_database_would_cut(db: Database, name: str) -> None:
    for attempt in (
        lambda: db.alter(RenameColumn("a", name)),
        lambda: db.alter(AddCheck(name, "a > 0")),
        lambda: db.schema.rename_table(TableName(None, "t"), name),
        lambda: db.schema.create_view(TableName(None, name), "SELECT 1 AS one"),
        lambda: db.schema.create_trigger(name, "BEFORE INSERT ON t"),
    ):
        with pytest.raises(UnsupportedChange, match="Take another name"):
            attempt()
    assert db.columns() == ["id", "a", "b", "c"]


@pytest.mark.parametrize(
    "change",
    [
        AlterColumn("b", type_="nosuchtype"),
        AlterColumn("b", collation="nosuchcollation"),
        AddCheck("ck", "a >= (SELECT 1)"),
        AddForeignKey("fk", ["b"], TableName(None, "parent"), ["id"]),
    ],
)
def test_what_the_server_cannot_have_is_said_in_our_words(db: Database, change: Change) -> None:
    db.run("UPDATE t SET b = NULL")
    with pytest.raises((UnsupportedChange, NoSuchObject)) as caught:
        db.alter(change)
    assert isinstance(caught.value.__cause__, DBAPIError)
    assert db.rows("SELECT b FROM t WHERE id = 1") == [(None,)]


def test_view_of_a_table_that_is_not_there(db: Database) -> None:
    with pytest.raises(NoSuchObject) as caught:
        db.schema.create_view(TableName(None, "v"), "SELECT * FROM parents")
    assert caught.value.available == ["parent", "t"]


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
