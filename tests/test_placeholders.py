"""Values in statements, spelled in one way on every database; what looks like one in a literal stays as it is."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from native_databases import scratch_database
from sqlalchemy import bindparam, create_engine, literal, select, text
from sqlalchemy.engine import Connection

from sqlmig import DatabaseConnection
from sqlmig.sql_text import bind_named


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def connection(request: pytest.FixtureRequest) -> Iterator[Connection]:
    if request.param == "sqlite":
        with create_engine("sqlite://").connect() as found:
            yield found
        return
    with scratch_database(request.param) as database:
        yield database.connection


@pytest.fixture
def db(connection: Connection) -> DatabaseConnection:
    found = DatabaseConnection(connection)
    found.execute("CREATE TABLE t (a INTEGER, b VARCHAR(80))")
    return found


ODD = "50% of :name, ? and %s, %(x)s, ''"


def test_a_literal_survives_without_values(db: DatabaseConnection) -> None:
    db.execute(f"INSERT INTO t VALUES (1, '{ODD}') -- 100% :sure?")
    assert db.fetch_one("SELECT b FROM t WHERE b LIKE '50%'") == (ODD.replace("''", "'"),)


@pytest.mark.parametrize(
    ("sql", "values"),
    [
        ("INSERT INTO t VALUES (?, '{}') -- 100% ?", (7,)),
        ("INSERT INTO t VALUES (:a, '{}') /* 100% :a */", {"a": 7}),
        ("INSERT INTO t VALUES (:a + 0, '{}')", {"a": 7}),
    ],
)
def test_a_literal_survives_beside_values(db: DatabaseConnection, sql: str, values: object) -> None:
    db.execute(sql.format(ODD), values)  # type: ignore[arg-type]
    assert db.fetch_one("SELECT a, b FROM t") == (7, ODD.replace("''", "'"))


@pytest.mark.parametrize(("sql", "values"), [("?, {}", (7,)), (":a, {}", {"a": 7})])
def test_a_backslash_where_it_escapes(db: DatabaseConnection, sql: str, values: object) -> None:
    r"""On MariaDB `'it\'s ?'` is one literal; elsewhere it would end before the s."""
    if db.engine.dialect.name not in ("mysql", "mariadb"):
        pytest.skip("a backslash is a letter there")
    said = r"'it\'s ? and :a \\'"
    db.execute(f"INSERT INTO t VALUES ({sql.format(said)}) # 'not ? :a'", values)  # type: ignore[arg-type]
    assert db.fetch_one("SELECT a, b FROM t") == (7, "it's ? and :a \\")


def test_values_hold_anything(db: DatabaseConnection) -> None:
    db.execute("INSERT INTO t VALUES (?, ?)", (1, ODD))
    db.execute("INSERT INTO t VALUES (:a, :b)", {"a": 2, "b": ODD})
    db.execute("INSERT INTO t VALUES (?, ?)", [(3, ODD), (4, ODD)])
    db.execute("INSERT INTO t VALUES (:a, :b)", [{"a": 5, "b": ODD}, {"a": 6, "b": ODD}])
    db.execute("INSERT INTO t VALUES (:a, :b)", [{"a": 7, "b": ODD}])
    assert db.fetch_all("SELECT a FROM t WHERE b = ? ORDER BY a", (ODD,)) == [(n,) for n in range(1, 8)]
    assert db.fetch_all("SELECT a FROM t WHERE b = :b AND a IN (:low, :high)", {"b": ODD, "low": 1, "high": 2}) == [
        (1,),
        (2,),
    ]
    assert db.fetch_one("SELECT a % ? FROM t WHERE a = 7", (4,)) == (3,)


def test_core_is_taken_as_it_is(db: DatabaseConnection) -> None:
    assert db.fetch_one(select(literal(ODD))) == (ODD,)
    assert db.fetch_one(select(bindparam("n", 3))) == (3,)
    assert db.fetch_one(text("SELECT :n"), {"n": 5}) == (5,)


def test_a_wrong_number_of_values_reaches_no_database(db: DatabaseConnection) -> None:
    with pytest.raises(ValueError, match="2 placeholders"):
        db.execute("INSERT INTO t VALUES (?, ?)", (1,))


def test_a_cast_is_no_parameter() -> None:
    assert bind_named("SELECT :a::text, b::a, ':a', x % 2 -- :a%", ["a"]) == (
        "SELECT %(a)s::text, b::a, ':a', x %% 2 -- :a%%"
    )
