"""A column added, dropped, renamed and altered natively: what becomes of the rows, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from native_databases import Database, added, collation_of, comment_of, fill, make_trigger, scratch_database
from sqlalchemy import CheckConstraint, Column, Enum, ForeignKey, Integer, MetaData, String, Table, text

from sqlmig.errors import (
    DataContradicts,
    ObjectExists,
    ObjectInUse,
    UnsupportedChange,
)
from sqlmig.schema.changes import (
    AlterColumn,
    DropColumn,
    RenameColumn,
    TableName,
)

PARENT = Table("parent", MetaData(), Column("id", Integer, primary_key=True))


@pytest.fixture(params=["postgresql", "mariadb"])
def db(request: pytest.FixtureRequest) -> Iterator[Database]:
    with scratch_database(request.param) as database:
        fill(database)
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


def test_added_column_withcomment_of(db: Database) -> None:
    db.alter(added(Column("n", Integer, comment="it's 5% \\")))
    assert comment_of(db, "n") == "it's 5% \\"


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
    make_trigger(db, "tr", "t", "NEW.c")
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


def test_rename_column_refuses_to_break_amake_trigger(db: Database) -> None:
    make_trigger(db, "tr", "t", "NEW.c")
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
    assert (comment_of(db, "b"), comment_of(db, "c")) == ("kept", "also")
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
    assert comment_of(db, "b") == "it's 5% `x` \\"
    db.alter(AlterColumn("b", comment=None))
    assert not comment_of(db, "b")
    db.run("INSERT INTO t (id, c) VALUES (9, 9)")
    assert db.value("SELECT b FROM t WHERE id = 9") == "bee"


def test_collation_changes_and_survives_a_change_of_type(db: Database) -> None:
    binary, other = ("C", None) if db.postgresql else ("utf8mb4_bin", None)
    db.alter(AlterColumn("b", collation=binary))
    assert collation_of(db, "b") == binary
    db.alter(AlterColumn("b", type_=String(30)))
    assert collation_of(db, "b") == binary
    db.alter(AlterColumn("b", collation=other))
    assert collation_of(db, "b") != binary


def test_generated_column_takes_no_default(db: Database) -> None:
    db.run("ALTER TABLE t ADD COLUMN g INTEGER GENERATED ALWAYS AS (a + 1) STORED")
    with pytest.raises(UnsupportedChange, match="generated"):
        db.alter(AlterColumn("g", server_default=1))


def test_default_that_does_not_fit_the_new_type(db: Database) -> None:
    db.run("UPDATE t SET b = NULL")
    with pytest.raises(UnsupportedChange, match="default"):
        db.alter(AlterColumn("b", type_=Integer))
    db.alter(AlterColumn("b", type_=Integer, server_default=None))
    db.run("INSERT INTO t (id, c) VALUES (9, 9)")
    assert db.value("SELECT b FROM t WHERE id = 9") is None


def test_collation_and_default_of_an_added_column(db: Database) -> None:
    name = "C" if db.postgresql else "utf8mb4_bin"
    db.alter(added(Column("n", String(9, collation=name), server_default=text("concat('a', 'b')"))))
    assert collation_of(db, "n") == name
    assert db.value("SELECT n FROM t WHERE id = 1") == "ab"
    db.alter(AlterColumn("n", type_=String(20, collation=name)), AlterColumn("n", nullable=False))
    assert collation_of(db, "n") == name
