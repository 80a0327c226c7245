"""Traps that a change of a SQLite table can fall into, each met once: small databases, looked at from outside after."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import ARRAY, Column, Integer, String, create_engine, text

from sqlmig import DataContradicts, NoSuchObject, ObjectInUse, Operations, SchemaError, UnsupportedChange

UNKNOWN = "CREATE TABLE t (a, b); CREATE VIEW v AS SELECT f(a) AS z FROM t;"
ABC = "CREATE TABLE t (a INTEGER); INSERT INTO t VALUES (3), (1), (2);"


class Trial:
    """A database, and what an operation makes of it."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def set_up(self, script: str) -> None:
        with closing(sqlite3.connect(self.file)) as raw:
            raw.create_function("f", 1, lambda value: value, deterministic=True)
            raw.executescript(script)

    def run(self, act: Callable[[Operations], Any], *before: str) -> None:
        engine = create_engine(f"sqlite:///{self.file}")
        with engine.connect() as connection:
            for statement in before:
                connection.exec_driver_sql(statement)
            act(Operations(connection))
            connection.commit()

    def rows(self, query: str) -> list[Any]:
        with closing(sqlite3.connect(self.file)) as raw:
            assert raw.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            assert raw.execute("PRAGMA foreign_key_check").fetchall() == []
            return raw.execute(query).fetchall()

    def dump(self) -> list[Any]:
        return self.rows("SELECT name, sql FROM sqlite_master ORDER BY 1, 2")


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    return Trial(tmp_path / "app.db")


def block(*steps: Callable[[Any], Any]) -> Callable[[Operations], None]:
    def act(operations: Operations) -> None:
        with operations.alter_table("t") as t:
            for step in steps:
                step(t)

    return act


@pytest.mark.parametrize(
    "definition",
    ["CREATE TABLE t (\n  id INTEGER PRIMARY KEY,\n  b TEXT\n)", "CREATE TABLE t (id INTEGER PRIMARY KEY)"],
)
def test_rows_that_read_a_default_keep_it_whatever_the_layout(trial: Trial, definition: str) -> None:
    trial.set_up(
        f"{definition}; WITH RECURSIVE i(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM i WHERE n < 3000)"
        " INSERT INTO t (id) SELECT n FROM i; ALTER TABLE t ADD COLUMN c INTEGER DEFAULT 5;"
        " UPDATE t SET c = c WHERE id <= 1000;"
    )
    trial.run(lambda o: o.alter_column("t", "c", server_default="9"))
    assert trial.rows("SELECT c, count(*) FROM t GROUP BY c") == [(5, 3000)]


def test_without_a_journal_nothing_is_begun(trial: Trial) -> None:
    trial.set_up("CREATE TABLE t (a, y); INSERT INTO t VALUES (1, 3); ALTER TABLE t ADD COLUMN d DEFAULT 5")
    with pytest.raises(UnsupportedChange, match="journal_mode"):
        trial.run(lambda o: o.alter_column("t", "d", server_default="6"), "PRAGMA journal_mode = OFF")
    assert trial.rows("SELECT * FROM t") == [(1, 3, 5)]


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        (
            (
                lambda t: t.add_column(Column("c", Integer, server_default="77")),
                lambda t: t.alter_column("a", using='"c"'),
            ),
            77,
        ),
        (
            (
                lambda t: t.add_column(Column("c", Integer)),
                lambda t: t.alter_column("c", using="a * 0 + 4", nullable=False),
            ),
            4,
        ),
        ((lambda t: t.add_column(Column("c", String)), lambda t: t.alter_column("c", type_=Integer)), None),
        ((lambda t: t.add_column(Column("c", String)), lambda t: t.alter_column("c", server_default="9")), None),
    ],
)
def test_a_column_added_and_changed_in_one_block(trial: Trial, steps: Any, expected: Any) -> None:
    trial.set_up(ABC)
    trial.run(block(*steps))
    found = [row[0] for row in trial.rows("SELECT CASE WHEN a = 77 THEN a ELSE c END FROM t")]
    assert found == [expected] * 3


@pytest.mark.parametrize(
    ("script", "act"),
    [
        (ABC, lambda o: o.add_column("t", Column("c", Integer, nullable=False, server_default=text("(nullif(1, 1))")))),
        (ABC, block(lambda t: t.add_column(Column("c", Integer)), lambda t: t.alter_column("c", nullable=False))),
        (ABC, block(lambda t: t.add_column(Column("c", Integer)), lambda t: t.change_primary_key(["c"]))),
        (
            "CREATE TABLE t (a INTEGER, g AS (a + 1), h AS (g + 1), CHECK (h < 10)); INSERT INTO t VALUES (3)",
            lambda o: o.alter_column("t", "a", using="a * 100"),
        ),
        (
            "CREATE TABLE t (a INTEGER, g AS (nullif(a, 300)) NOT NULL); INSERT INTO t VALUES (3)",
            lambda o: o.alter_column("t", "a", using="a * 100"),
        ),
        (
            "CREATE TABLE p (id INTEGER PRIMARY KEY); INSERT INTO p VALUES (3);"
            " CREATE TABLE t (a INTEGER, g AS (a) STORED REFERENCES p); INSERT INTO t VALUES (3)",
            lambda o: o.alter_column("t", "a", using="a * 100"),
        ),
        (
            "CREATE TABLE p (id INTEGER PRIMARY KEY, code INTEGER UNIQUE); INSERT INTO p VALUES (1, 10);"
            " CREATE TABLE t (a INTEGER REFERENCES p(id)); INSERT INTO t VALUES (1)",
            lambda o: o.create_foreign_key("t", "f2", ["a"], "p", ["code"]),
        ),
    ],
)
def test_what_the_new_rows_contradict(trial: Trial, script: str, act: Any) -> None:
    trial.set_up(script)
    before, rows = trial.dump(), trial.rows("SELECT * FROM t")
    with pytest.raises(DataContradicts):
        trial.run(act)
    assert (trial.dump(), trial.rows("SELECT * FROM t")) == (before, rows)


def test_a_default_of_another_type_in_a_strict_table(trial: Trial) -> None:
    trial.set_up("CREATE TABLE t (a INTEGER) STRICT; INSERT INTO t VALUES (1)")
    with pytest.raises(UnsupportedChange, match="STRICT"):
        trial.run(block(lambda t: t.add_column(Column("c", Integer, server_default="abc"))))
    trial.run(lambda o: o.add_column("t", Column("c", Integer, server_default="5")))
    assert trial.rows("SELECT c, typeof(c) FROM t") == [(5, "integer")]


def test_an_index_of_another_order_is_made_anew(trial: Trial) -> None:
    trial.set_up(
        "CREATE TABLE t (a INTEGER, CONSTRAINT d UNIQUE (a DESC), CONSTRAINT u UNIQUE (a));"
        " INSERT INTO t VALUES (3), (1), (2)"
    )
    trial.run(lambda o: o.drop_constraint("t", name="d"))
    assert trial.rows("SELECT a FROM t ORDER BY a") == [(1,), (2,), (3,)]


@pytest.mark.parametrize(
    ("script", "act", "user"),
    [
        (
            'CREATE TABLE t (a, x, y); CREATE VIEW v AS SELECT * FROM t; CREATE VIEW w AS SELECT "x" FROM v;',
            lambda o: o.drop_column("t", "x"),
            "view w",
        ),
        (
            "CREATE TABLE t (k PRIMARY KEY, x, y, n); CREATE TABLE log (a); CREATE TRIGGER tr AFTER INSERT ON log BEGIN"
            ' INSERT INTO t (k) VALUES (1) ON CONFLICT (k) DO UPDATE SET n = "x"; END;',
            block(lambda t: t.drop_column("x"), lambda t: t.add_column(Column("z", Integer))),
            "trigger tr",
        ),
        (
            "CREATE TABLE t (a, b); CREATE VIEW v AS SELECT f(a) AS z FROM t;",
            lambda o: o.drop_column("t", "a"),
            "view v",
        ),
        ("CREATE TABLE t (a, b); CREATE VIEW v AS SELECT f(a) AS z FROM t;", lambda o: o.drop_table("t"), "view v"),
    ],
)
def test_no_program_is_broken_silently(trial: Trial, script: str, act: Any, user: str) -> None:
    trial.set_up(script)
    before = trial.dump()
    with pytest.raises(ObjectInUse) as caught:
        trial.run(act)
    assert user in caught.value.users[0]
    assert trial.dump() == before


def test_the_foreign_key_to_the_column_goes_and_no_other(trial: Trial) -> None:
    trial.set_up(
        "CREATE TABLE p (id INTEGER PRIMARY KEY, code INTEGER UNIQUE); INSERT INTO p VALUES (1, 1);"
        " CREATE TABLE t (a INTEGER, CONSTRAINT x FOREIGN KEY (a) REFERENCES p(id),"
        " CONSTRAINT y FOREIGN KEY (a) REFERENCES p(code)); INSERT INTO t VALUES (1)"
    )
    trial.run(lambda o: o.drop_column("p", "code", cascade=True))
    assert trial.rows('SELECT "from", "to" FROM pragma_foreign_key_list(\'t\')') == [("a", "id")]


@pytest.mark.parametrize(
    "act",
    [
        lambda o: o.create_check("t", "k", '"nope" <> a'),
        lambda o: o.alter_column("t", "a", using='"nope"'),
        lambda o: o.create_index("i", "t", ['lower("nope")']),
    ],
)
def test_a_quoted_name_that_is_no_column_is_no_text(trial: Trial, act: Any) -> None:
    trial.set_up(ABC)
    with pytest.raises(NoSuchObject, match="nope"):
        trial.run(act)


@pytest.mark.parametrize(
    "act",
    [
        lambda o: o.create_view("v", "SELECT 1; DROP TABLE t"),
        lambda o: o.create_trigger("tr", "AFTER INSERT ON t BEGIN SELECT 1; END; DROP TABLE t"),
        lambda o: o.alter_column("t", "a", type_=ARRAY(Integer)),
        lambda o: o.add_column("t", Column("c", ARRAY(Integer))),
    ],
)
def test_what_sqlite_cannot_have_is_a_typed_error(trial: Trial, act: Any) -> None:
    trial.set_up(ABC)
    with pytest.raises(SchemaError):
        trial.run(act)
    assert trial.rows("SELECT count(*) FROM t") == [(3,)]


def test_a_renamed_table_keeps_its_statistics(trial: Trial) -> None:
    trial.set_up("CREATE TABLE t (a UNIQUE, b); CREATE INDEX i ON t (b); INSERT INTO t VALUES (1, 1), (2, 1); ANALYZE")
    before = trial.rows("SELECT tbl, idx, stat FROM sqlite_stat1 ORDER BY 2")
    trial.run(lambda o: o.rename_table("t", "tt"))
    renamed = [("tt", idx.replace("_t_", "_tt_"), stat) for _, idx, stat in before]
    assert trial.rows("SELECT tbl, idx, stat FROM sqlite_stat1 ORDER BY 2") == renamed


def test_a_query_that_is_not_read_to_its_end_is_named(trial: Trial) -> None:
    trial.set_up(ABC)
    engine = create_engine(f"sqlite:///{trial.file}")
    with engine.connect() as connection:
        driver: Any = connection.connection.dbapi_connection
        cursor = driver.execute("SELECT a FROM t")
        cursor.fetchone()
        with pytest.raises(SchemaError, match="not been read to its end"):
            Operations(connection).alter_column("t", "a", type_="TEXT")
        cursor.close()
    assert trial.rows("SELECT a FROM t") == [(3,), (1,), (2,)]


@pytest.mark.parametrize(
    "act",
    [
        lambda o: o.alter_column("t", "a", using="a || '!'"),
        lambda o: o.alter_column("t", "a", type_="BLOB"),
        lambda o: o.alter_column("t", "a", collation="NOCASE"),
    ],
)
def test_an_index_over_a_column_in_single_quotes(trial: Trial, act: Any) -> None:
    trial.set_up(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT); INSERT INTO t (a) VALUES ('x'), ('Y');"
        " CREATE UNIQUE INDEX i ON t ('a')"
    )
    trial.run(act)
    assert trial.rows("SELECT count(*) FROM t INDEXED BY i WHERE a > ''") in ([(2,)], [(0,)])


@pytest.mark.parametrize(
    "script",
    [
        'CREATE INDEX i ON t (b) WHERE b <> "foo"',
        'CREATE INDEX i ON t (b || "foo")',
        'CREATE VIEW v AS SELECT b, "foo" AS n FROM t',
    ],
)
@pytest.mark.parametrize("default", ["B", text("(lower('B'))")])
def test_a_text_in_double_quotes_does_not_become_the_new_column(trial: Trial, script: str, default: Any) -> None:
    trial.set_up(f"CREATE TABLE t (a, b TEXT); INSERT INTO t VALUES (1, 'B'), (2, 'c'); {script}")
    before = trial.dump()
    with pytest.raises(ObjectInUse, match="single quotes"):
        trial.run(lambda o: o.add_column("t", Column("foo", String, server_default=default)))
    assert trial.dump() == before


def test_short_rows_that_were_copied_raw_keep_their_default(trial: Trial) -> None:
    """INSERT ... SELECT between like tables copies the records as they are."""
    trial.set_up(
        "CREATE TABLE o (id INTEGER PRIMARY KEY); WITH RECURSIVE i(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM i"
        " WHERE n < 3000) INSERT INTO o SELECT n FROM i; ALTER TABLE o ADD COLUMN c INTEGER DEFAULT 5;"
        " UPDATE o SET c = 5 WHERE id <= 1500; CREATE TABLE t (\n id INTEGER PRIMARY KEY,\n c INTEGER DEFAULT 5\n);"
        " INSERT INTO t SELECT * FROM o"
    )
    trial.run(lambda o: o.alter_column("t", "c", server_default="9"))
    assert trial.rows("SELECT c, count(*) FROM t GROUP BY c") == [(5, 3000)]


def test_of_two_foreign_keys_to_itself_the_one_to_the_column_goes(trial: Trial) -> None:
    trial.set_up(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, code INTEGER UNIQUE, a INTEGER, FOREIGN KEY (a) REFERENCES t(id),"
        " FOREIGN KEY (a) REFERENCES t(code)); INSERT INTO t VALUES (1, 1, 1)"
    )
    trial.run(lambda o: o.drop_column("t", "code", cascade=True))
    assert trial.rows('SELECT "from", "to" FROM pragma_foreign_key_list(\'t\')') == [("a", "id")]
