"""Sample rows: for tables of every kind, which the database itself takes, the same in each run, and told where none."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from native_databases import scratch_database
from sqlalchemy import create_engine
from sqlalchemy.pool import StaticPool

from sqlmig import DatabaseConnection
from sqlmig.testing.samples import census, fill


@pytest.fixture
def db() -> Iterator[DatabaseConnection]:
    engine = create_engine("sqlite://", poolclass=StaticPool)
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA foreign_keys = ON")
    yield DatabaseConnection(engine)
    engine.dispose()


def filled(db: DatabaseConnection, *statements: str, given: Any = None) -> dict[str, int]:
    """The number of rows by table, once these were made and filled; the reasons of those that stay empty."""
    for statement in statements:
        db.execute(statement)
    told = fill(db, ["migration_versions"], given or {})
    rows = {table: found.rows for table, found in census(db, ["migration_versions"]).items()}
    assert {line.partition(":")[0] for line in told} == {table for table, count in rows.items() if not count}
    return rows


def rows(db: DatabaseConnection, table: str) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in db.fetch_all(f"SELECT * FROM {table}")]


def test_values_of_every_type(db: DatabaseConnection) -> None:
    found = filled(
        db,
        """CREATE TABLE every (
            id INTEGER PRIMARY KEY, a INT NOT NULL, b VARCHAR(40) NOT NULL UNIQUE, c CHAR(1) NOT NULL UNIQUE,
            d REAL NOT NULL, e NUMERIC(4, 2) NOT NULL, f BOOLEAN NOT NULL, g DATETIME NOT NULL, h DATE NOT NULL,
            i TIME NOT NULL, j JSON NOT NULL CHECK (json_valid(j)), k BLOB NOT NULL, l NOT NULL, m TEXT,
            n TEXT NOT NULL DEFAULT 'given', o INT GENERATED ALWAYS AS (a * 2) STORED)""",
        "CREATE TABLE strict (id TEXT PRIMARY KEY, a INTEGER, b REAL NOT NULL, c BLOB NOT NULL, d ANY NOT NULL) STRICT",
        "CREATE TABLE pairs (a INTEGER, b TEXT, PRIMARY KEY (a, b)) WITHOUT ROWID",
        "CREATE TABLE numbered (id INTEGER PRIMARY KEY AUTOINCREMENT)",
        'CREATE TABLE "Odd ""name""" ("a b" INTEGER NOT NULL, "select" TEXT NOT NULL)',
        "CREATE VIRTUAL TABLE words USING fts5 (title, body)",
        "CREATE TABLE migration_versions (version INTEGER PRIMARY KEY)",
    )
    assert found == dict.fromkeys(("every", "strict", "pairs", "numbered", 'Odd "name"', "words"), 3)
    first, _, last = rows(db, "every")
    assert first[:6] == (1, 11, "sample 11", "l", 11.5, 11)
    # The last has only what it must have.
    assert last[13:15] == (None, "given")
    assert first[14] != "given"


def test_they_are_the_same_each_time(db: DatabaseConnection) -> None:
    statement = (
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT NOT NULL CHECK (length(a) = 4 AND a <> 'abcd'), b INTEGER)"
    )
    filled(db, statement)
    first = rows(db, "t")
    db.execute("DROP TABLE t")
    filled(db, statement)
    assert rows(db, "t") == first
    assert len(first) == 3


@pytest.mark.parametrize(
    "check",
    [
        "a IN ('draft', 'it''s')",
        "a = 'one' OR a = 'two'",
        "b BETWEEN 3 AND 5",
        "b > 1000",
        "b < 0",
        "b % 2 = 0",
        "length(a) = 6",
        "length(a) <= 2",
        "a LIKE '%@%'",
        "a LIKE 'https://%'",
        "json_valid(a)",
        "(a IS NULL) <> (b IS NULL)",
        "a IS NULL",
        "b < c",
        "b > c",
        "b = c",
        "b IN (7, 8) AND a IN ('x', 'y') AND c > b",
        "a GLOB '[0-9]*'",
        "typeof(b) = 'integer' AND typeof(a) = 'text'",
        "upper(a) = a",
        "a GLOB '[A-Z][A-Z][A-Z]' AND length(a) = 3",
        "a GLOB '[A-C][x-z]?'",
        "a GLOB '+[1-9][0-9]*-?'",
        "a LIKE '____-__-__' AND a NOT LIKE '%~_%' ESCAPE '~'",
        "length(d) = 16",
    ],
)
def test_checks_that_are_met(db: DatabaseConnection, check: str) -> None:
    columns = "id INTEGER PRIMARY KEY, a TEXT, b INTEGER, c INTEGER, d BLOB"
    assert filled(db, f"CREATE TABLE t ({columns}, CHECK ({check}))")["t"] >= 1


def test_patterns_and_blobs_of_rows_that_must_differ(db: DatabaseConnection) -> None:
    found = filled(
        db,
        "CREATE TABLE t (code TEXT NOT NULL UNIQUE CHECK (code GLOB '[A-Z][A-Z][A-Z]'), key BLOB NOT NULL UNIQUE"
        " CHECK (length(key) = 16)) STRICT",
    )
    assert found == {"t": 3}


def test_references(db: DatabaseConnection) -> None:
    found = filled(
        db,
        "CREATE TABLE links (source INT NOT NULL REFERENCES nodes, target INT NOT NULL REFERENCES nodes,"
        " PRIMARY KEY (source, target), CHECK (source <> target))",
        "CREATE TABLE details (node INTEGER PRIMARY KEY REFERENCES Nodes (ID), text TEXT)",
        "CREATE TABLE nodes (id INTEGER PRIMARY KEY, parent INT REFERENCES nodes, twin INT NOT NULL DEFAULT 1)",
        "CREATE TABLE composite (a TEXT, b TEXT, PRIMARY KEY (a, b))",
        "CREATE TABLE refers (id INTEGER PRIMARY KEY, x TEXT NOT NULL, y TEXT NOT NULL,"
        " FOREIGN KEY (x, y) REFERENCES composite)",
        "CREATE TABLE round (id INTEGER PRIMARY KEY, other INT REFERENCES robin)",
        "CREATE TABLE robin (id INTEGER PRIMARY KEY, other INT NOT NULL REFERENCES round)",
        "CREATE TABLE loose (id INTEGER PRIMARY KEY, gone INT REFERENCES nowhere)",
    )
    # One row of which is all that a reference to itself, or to nothing, allows, is enough.
    assert found.pop("loose") == 0
    assert all(count >= 1 for count in found.values()), found
    assert found["links"] == found["details"] == found["refers"] == 3
    assert db.fetch_all("PRAGMA foreign_key_check") == []


@pytest.mark.parametrize("keys", ["ON", "OFF"])
def test_a_row_that_must_refer_to_its_own_table(db: DatabaseConnection, keys: str) -> None:
    """Whether or not that is enforced: what a migration does to rows that refer to nothing is not of interest."""
    db.execute(f"PRAGMA foreign_keys = {keys}")
    found = filled(
        db,
        "CREATE TABLE nodes (id INTEGER PRIMARY KEY, parent INT NOT NULL REFERENCES nodes, UNIQUE (id, parent))",
        "CREATE TABLE tags (name TEXT PRIMARY KEY, main TEXT NOT NULL REFERENCES tags (name))",
        "CREATE TABLE pairs (a INT, b INT, c INT NOT NULL, d INT NOT NULL, PRIMARY KEY (a, b),"
        " FOREIGN KEY (c, d) REFERENCES pairs (a, b))",
    )
    assert found == {"nodes": 3, "tags": 3, "pairs": 3}
    assert db.fetch_all("PRAGMA foreign_key_check") == []


def test_a_default_does_not_hide_that_there_may_be_null(db: DatabaseConnection) -> None:
    filled(
        db,
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT DEFAULT 'x', b TEXT NOT NULL DEFAULT 'y', c TEXT,"
        " d INT DEFAULT 1 CHECK (d = 1))",
    )
    assert rows(db, "t")[-1][1:4] == (None, "y", None)


def test_rows_that_migrations_have_put_there(db: DatabaseConnection) -> None:
    db.execute("CREATE TABLE tags (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE)")
    db.execute("INSERT INTO tags (name) VALUES ('sample 11'), ('new')")
    assert filled(db)["tags"] == 5


@pytest.mark.parametrize(
    ("statements", "reason"),
    [
        (["CREATE TABLE t (a TEXT NOT NULL CHECK (a > 'b' AND a < 'c'))"], "t: none of 200 rows is taken: CHECK"),
        (
            ["CREATE TABLE t (a TEXT NOT NULL CHECK (0))", "CREATE TABLE c (t TEXT NOT NULL REFERENCES t (a))"],
            "c: its parent t has no rows",
        ),
        (
            [
                "CREATE TABLE t (a TEXT)",
                "CREATE TRIGGER no BEFORE INSERT ON t BEGIN SELECT RAISE(ABORT, 'not by hand'); END",
            ],
            "t: none of 200 rows is taken: not by hand",
        ),
    ],
)
def test_tables_that_stay_empty_are_told(db: DatabaseConnection, statements: list[str], reason: str) -> None:
    for statement in statements:
        db.execute(statement)
    assert any(line.startswith(reason) for line in fill(db, [], {}))


def test_rows_that_the_application_gives(db: DatabaseConnection) -> None:
    given = {"t": [{"a": "Ax", "b": 1}, {"a": "By", "b": None}], "u": [{"missing": 1}]}
    found = filled(
        db,
        "CREATE TABLE t (a TEXT NOT NULL CHECK (a GLOB '[A-C][x-z]'), b INTEGER)",
        # At this version it has not that column yet.
        "CREATE TABLE u (id INTEGER PRIMARY KEY)",
        given=given,
    )
    assert found == {"t": 2, "u": 3}
    assert rows(db, "t") == [("Ax", 1), ("By", None)]
    db.execute("DELETE FROM t")
    (told,) = fill(db, ["u"], {"t": [{"a": "wrong"}]})
    assert told.startswith("t: the rows that sqlmig_sample_rows gives are refused: CHECK constraint failed")


# On servers


_ON_POSTGRESQL = """
CREATE TYPE mood AS ENUM ('calm', 'it''s');
CREATE DOMAIN short AS varchar(5) CHECK (length(VALUE) = 3);
CREATE TABLE every (
    id serial PRIMARY KEY, a smallint NOT NULL, b bigint NOT NULL, c numeric(4, 2) NOT NULL, d real NOT NULL,
    e double precision NOT NULL, f boolean NOT NULL, g text NOT NULL UNIQUE, h varchar(2) NOT NULL UNIQUE,
    i char(4) NOT NULL, j date NOT NULL, k timestamp NOT NULL, l timestamptz NOT NULL, m time NOT NULL,
    n interval NOT NULL, o uuid NOT NULL, p json NOT NULL, q jsonb NOT NULL, r bytea NOT NULL, s inet NOT NULL,
    t cidr NOT NULL, u macaddr NOT NULL, v text[] NOT NULL, w mood NOT NULL, x short NOT NULL, y int4range NOT NULL,
    z point NOT NULL, aa tsvector NOT NULL, ab numeric NOT NULL, ac money NOT NULL,
    ad int GENERATED ALWAYS AS (1) STORED, ae int NOT NULL CHECK (ae IN (4, 5)), af text NOT NULL CHECK (af ~ '@'),
    ag bit(3), ah text DEFAULT 'given' NOT NULL
);
CREATE TABLE identities (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, every int NOT NULL REFERENCES every);
CREATE TABLE parts (id int NOT NULL, day date NOT NULL) PARTITION BY RANGE (day);
CREATE TABLE parts_all PARTITION OF parts FOR VALUES FROM (MINVALUE) TO (MAXVALUE);
CREATE TABLE bits (b bit(3) NOT NULL)
"""
_ON_MARIADB = """
CREATE TABLE every (
    id INT AUTO_INCREMENT PRIMARY KEY, a TINYINT NOT NULL, b BIGINT UNSIGNED NOT NULL, c DECIMAL(4, 2) NOT NULL,
    d FLOAT NOT NULL, e DOUBLE NOT NULL, f BIT(1) NOT NULL, g VARCHAR(40) NOT NULL UNIQUE, h CHAR(2) NOT NULL UNIQUE,
    i TEXT NOT NULL, j DATE NOT NULL, k DATETIME NOT NULL, l TIMESTAMP NOT NULL, m TIME NOT NULL, n YEAR NOT NULL,
    o JSON NOT NULL, p BLOB NOT NULL, q BINARY(2) NOT NULL, r VARBINARY(9) NOT NULL, s ENUM('calm', 'it''s') NOT NULL,
    t SET('x', 'y') NOT NULL, u INT AS (1) STORED, v INT NOT NULL CHECK (v IN (4, 5)), w UUID NOT NULL,
    x INET6 NOT NULL, y MEDIUMINT NOT NULL, z LONGTEXT NOT NULL, aa POINT, ab TEXT DEFAULT 'given' NOT NULL
);
CREATE TABLE children (id INT PRIMARY KEY, every INT NOT NULL, FOREIGN KEY (every) REFERENCES every (id));
CREATE TABLE places (p POINT NOT NULL)
"""


@pytest.mark.parametrize(
    ("server", "statements", "untaken"),
    [
        ("postgresql", _ON_POSTGRESQL, "bits: its column b is of the type bit, of which no value is known"),
        ("mariadb", _ON_MARIADB, "places: its column p is of the type point, of which no value is known"),
    ],
)
def test_values_of_every_type_of_servers(server: str, statements: str, untaken: str) -> None:
    with scratch_database(server) as scratch:
        scratch.run(*statements.split(";\n"))
        db = DatabaseConnection(scratch.connection)
        assert fill(db, [], {}) == [untaken]
        found = {table: one.rows for table, one in census(db, []).items()}
        assert found.pop(untaken.partition(":")[0]) == 0
        assert set(found.values()) == {3}
