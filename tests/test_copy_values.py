"""What becomes of values between databases whose types differ: the same, or a refusal that names the row."""

from __future__ import annotations

import datetime as dt
import sqlite3
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from conftest import Folder
from copy_support import empty
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine

from sqlmig import CopyError, Migrator, ValueUnfit

TYPES = {
    "n": ("INTEGER", "INTEGER", "INTEGER"),
    "big": ("BIGINT", "BIGINT", "BIGINT"),
    "flag": ("BOOLEAN", "BOOLEAN", "BOOLEAN"),
    "amount": ("DECIMAL(8, 2)", "NUMERIC(8, 2)", "DECIMAL(8, 2)"),
    "real8": ("DOUBLE", "DOUBLE PRECISION", "DOUBLE"),
    "real4": ("REAL", "REAL", "FLOAT"),
    "name": ("VARCHAR(10)", "VARCHAR(10)", "VARCHAR(10)"),
    "body": ("TEXT", "TEXT", "LONGTEXT"),
    "data": ("BLOB", "BYTEA", "LONGBLOB"),
    "day": ("DATE", "DATE", "DATE"),
    "at": ("DATETIME", "TIMESTAMP", "DATETIME(6)"),
    "zoned": ("DATETIME", "TIMESTAMPTZ", "TIMESTAMP(6) NULL"),
    "clock": ("TIME", "TIME", "TIME(6)"),
    "facts": ("JSON", "JSONB", "JSON"),
    "uid": ("CHAR(32)", "UUID", "CHAR(32)"),
}
SERVERS = ("postgresql", "mariadb")


class Pair:
    """A source with one table, and a target that is made anew for each copy."""

    def __init__(self, kind: str, url: str, tmp_path: Path) -> None:
        self.kind, self.url, self.file = kind, url, tmp_path / "source.db"
        self.folder = Folder(tmp_path / "values")
        self.folder.add(
            1,
            f"types = {TYPES!r}\n"
            "index = {'sqlite': 0, 'postgresql': 1}.get(self.db.engine.dialect.name, 2)\n"
            "listed = ', '.join(f'{name} {kinds[index]}' for name, kinds in types.items())\n"
            "self.execute_sql(f'CREATE TABLE t (id INTEGER PRIMARY KEY, {listed})')",
        )
        Migrator(self.file, self.folder.path).migrate()
        self.engine = create_engine(url)

    def copy(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """What the target has of rows that the source has."""
        raw = sqlite3.connect(self.file)
        raw.execute("DELETE FROM t")
        for number, row in enumerate(rows, 1):
            values = {"id": number, **row}
            listed = ", ".join(f'"{name}"' for name in values)
            raw.execute(f"INSERT INTO t ({listed}) VALUES ({', '.join('?' * len(values))})", tuple(values.values()))
        raw.commit()
        raw.close()
        self.clear()
        Migrator(self.engine, self.folder.path).copy_from(self.file)
        with self.engine.connect() as connection:
            return [dict(row) for row in connection.exec_driver_sql("SELECT * FROM t ORDER BY id").mappings()]

    def clear(self) -> None:
        with self.engine.begin() as connection:
            for table in ("t", "migration_versions", "migration_history"):
                connection.exec_driver_sql(f"DROP TABLE IF EXISTS {table}")


@pytest.fixture(params=SERVERS, scope="module")
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folder = tmp_path_factory.mktemp("values")
    with empty(request.param, folder) as url:
        made = Pair(request.param, url, folder)
        yield made
        made.engine.dispose()


GOOD = [
    ("n", 2**31 - 1, 2**31 - 1),
    ("big", -(2**63), -(2**63)),
    ("flag", 1, True),
    ("flag", 0, False),
    ("amount", 12.5, Decimal("12.50")),
    ("amount", -0.07, Decimal("-0.07")),
    ("amount", 3, Decimal("3.00")),
    ("amount", "999999.99", Decimal("999999.99")),
    ("real8", 0.1, 0.1),
    ("real8", 5e-324, 5e-324),
    ("real8", -1.7976931348623157e308, -1.7976931348623157e308),
    ("real8", 44508871151812704.0, 44508871151812704.0),
    ("real4", 0.5, 0.5),
    ("name", "äöüß€🦄7890", "äöüß€🦄7890"),
    ("body", "\\N", "\\N"),
    ("body", "\\", "\\"),
    ("body", "a\tb\nc\rd\be\x0bf\x0cg\x1ah\\.", "a\tb\nc\rd\be\x0bf\x0cg\x1ah\\."),
    ("body", 'it\'s "quoted" %s %(x)s ? :x', 'it\'s "quoted" %s %(x)s ? :x'),
    ("body", "", ""),
    ("body", "trailing  ", "trailing  "),
    ("data", b"", b""),
    ("data", b"\x00\xff'\\\n", b"\x00\xff'\\\n"),
    ("day", "2024-02-29", dt.date(2024, 2, 29)),
    ("day", "2024-02-29 00:00:00.000000", dt.date(2024, 2, 29)),
    ("at", "2024-02-29 12:30:00.120000", dt.datetime(2024, 2, 29, 12, 30, 0, 120000)),
    ("at", "2024-02-29T12:30:00", dt.datetime(2024, 2, 29, 12, 30)),
    ("at", "2024-02-29T12:30Z", dt.datetime(2024, 2, 29, 12, 30)),
    ("at", "2024-02-29 12:30:00.1000000", dt.datetime(2024, 2, 29, 12, 30, 0, 100000)),
    ("at", "2024-02-29", dt.datetime(2024, 2, 29)),
    ("zoned", "2024-02-29 12:30:00", dt.datetime(2024, 2, 29, 12, 30)),
    ("clock", "12:30", dt.time(12, 30)),
    ("clock", "12:30:00.000001", dt.time(12, 30, 0, 1)),
    ("uid", "320222A643364067BCF653D4FE4477D3".lower(), "320222a6-4336-4067-bcf6-53d4fe4477d3"),
]


@pytest.mark.parametrize(("column", "given", "wanted"), GOOD)
def test_a_value_that_both_can_hold(pair: Pair, column: str, given: Any, wanted: Any) -> None:
    found = pair.copy([{column: given}, {}])
    value = found[0][column]
    if isinstance(value, dt.datetime) and value.tzinfo is not None:
        value = value.astimezone(dt.UTC).replace(tzinfo=None)
    if isinstance(value, dt.timedelta):
        value = (dt.datetime.min + value).time()
    if column == "uid":
        value, wanted = str(value).replace("-", ""), wanted.replace("-", "")
    assert value == wanted
    assert found[1][column] is None


BAD = [
    ("n", 2**31 + 5),
    ("n", "a secret"),
    ("n", 1.5),
    ("n", b"7"),
    ("flag", 2),
    ("amount", 0.1 + 0.2),
    ("amount", 1_000_000),
    ("amount", "many"),
    ("real8", "a secret"),
    ("real4", 0.1),
    ("name", "12345678901"),
    ("name", b"bytes"),
    ("data", "a secret"),
    ("day", "yesterday"),
    ("day", "2024-02-29 12:00:00"),
    ("at", 1_700_000_000),
    ("at", "2024-02-29 12:30:00.1234567"),
    ("at", "29.2.2024"),
    ("clock", "noon"),
    ("facts", "{not json"),
    ("facts", "NaN"),
]


@pytest.mark.parametrize(("column", "value"), BAD)
def test_a_value_that_the_target_cannot_hold(pair: Pair, column: str, value: Any) -> None:
    if pair.kind == "mariadb" and column == "flag":
        # It has no such type: it is a number of one byte.
        return
    with pytest.raises(ValueUnfit) as caught:
        pair.copy([{column: None}] * 5 + [{column: value}])
    error = caught.value
    assert (error.table, error.column, error.key) == ("t", column, "id = 6")
    assert str(value) not in str(error) or len(str(value)) < 3
    with pair.engine.connect() as connection:
        query = "SELECT count(*) FROM information_schema.tables WHERE table_name = 't' AND table_schema NOT IN ('x')"
        schema = "current_schema()" if pair.kind == "postgresql" else "DATABASE()"
        assert connection.exec_driver_sql(f"{query} AND table_schema = {schema}").scalar() == 0


@pytest.mark.parametrize(("column", "value"), [("day", "2024-13-01"), ("at", "2024-02-30 12:00:00")])
def test_a_day_that_there_is_not(pair: Pair, column: str, value: str) -> None:
    with pytest.raises(CopyError, match="rows of t"):
        pair.copy([{column: value}])


def test_what_only_postgresql_refuses_or_converts(pair: Pair) -> None:
    if pair.kind == "mariadb":
        assert pair.copy([{"body": "nul\0nul"}])[0]["body"] == "nul\0nul"
        return
    for value in ("nul\0nul",):
        with pytest.raises(ValueUnfit, match="character 0"):
            pair.copy([{"body": value}])
    with pytest.raises(ValueUnfit, match="none"):
        pair.copy([{"facts": '{"a": 1, "a": 2}'}])
    with pytest.raises(ValueUnfit, match="character 0"):
        pair.copy([{"facts": '"\\u0000"'}])
    found = pair.copy([{"zoned": "2024-02-29 12:30:00+02:00"}, {"at": "2024-02-29 12:30:00+00:00"}])
    assert found[0]["zoned"].astimezone(dt.UTC) == dt.datetime(2024, 2, 29, 10, 30, tzinfo=dt.UTC)
    with pytest.raises(ValueUnfit, match="zone"):
        pair.copy([{"at": "2024-02-29 12:30:00+02:00"}])


@pytest.mark.parametrize("kind", ["sqlite", *SERVERS])
def test_a_text_that_is_not_utf_8(kind: str, tmp_path: Path) -> None:
    with empty(kind, tmp_path) as url:
        made = Pair(kind, url, tmp_path)
        raw = sqlite3.connect(made.file)
        raw.executemany("INSERT INTO t (id, body) VALUES (?, ?)", [(n, "fine") for n in range(1, 200)])
        raw.execute("UPDATE t SET body = CAST(x'66ff66' AS TEXT) WHERE id = 150")
        raw.commit()
        raw.close()
        with pytest.raises(ValueUnfit, match="not UTF-8") as caught:
            Migrator(made.engine, made.folder.path).copy_from(made.file)
        assert (caught.value.column, caught.value.key) == ("body", "id = 150")
        made.engine.dispose()


@pytest.mark.parametrize("value", [7, 2.5, "007", b"\0", 2**63 - 1, float("inf"), -0.0, "text", ""])
def test_between_two_sqlite_databases_each_value_keeps_its_class(value: Any, tmp_path: Path) -> None:
    """Whatever the column is declared as, and although the declared type would not have it."""
    folder = Folder(tmp_path / "own")
    folder.add(
        1, 'self.execute_sql("CREATE TABLE t (id INTEGER PRIMARY KEY, a, b TEXT, c INTEGER, d DECIMAL, e REAL)")'
    )
    Migrator(tmp_path / "a.db", folder.path).migrate()
    raw = sqlite3.connect(tmp_path / "a.db")
    raw.execute("INSERT INTO t VALUES (1, ?, ?, ?, ?, ?)", (value,) * 5)
    raw.commit()
    Migrator(tmp_path / "b.db", folder.path).copy_from(tmp_path / "a.db")
    other = sqlite3.connect(tmp_path / "b.db")
    query = "SELECT a, b, c, d, e, typeof(a), typeof(b), typeof(c), typeof(d), typeof(e) FROM t"
    assert list(map(repr, other.execute(query).fetchone())) == list(map(repr, raw.execute(query).fetchone()))
    raw.close()
    other.close()


TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=30)
ROWS = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "n": st.none() | st.integers(-(2**31), 2**31 - 1),
            "big": st.none() | st.integers(-(2**63), 2**63 - 1),
            "flag": st.none() | st.integers(0, 1),
            "amount": st.none() | st.integers(-99_999_999, 99_999_999).map(lambda n: n / 100),
            "real8": st.none() | st.floats(allow_nan=False, allow_infinity=False),
            "real4": st.none() | st.floats(width=32, allow_nan=False, allow_infinity=False, allow_subnormal=False),
            "name": st.none() | TEXTS.map(lambda text: text[:10]),
            "body": st.none() | TEXTS,
            "data": st.none() | st.binary(max_size=40),
            "day": st.none() | st.dates(dt.date(1000, 1, 1)).map(str),
            "at": st.none() | st.datetimes(dt.datetime(1000, 1, 1)).map(lambda t: t.isoformat(" ", "microseconds")),
            "clock": st.none() | st.times().map(lambda t: t.isoformat("microseconds")),
            "uid": st.none() | st.uuids().map(lambda u: u.hex),
        },
    ),
    min_size=1,
    max_size=25,
)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ROWS)
def test_any_rows_come_back_as_they_went(pair: Pair, rows: list[dict[str, Any]], tmp_path_factory: Any) -> None:
    """There and back again, each value is what it was."""
    pair.copy(rows)
    back = tmp_path_factory.mktemp("back") / "back.db"
    Migrator(back, pair.folder.path).copy_from(pair.engine)
    first, second = sqlite3.connect(pair.file), sqlite3.connect(back)
    query = "SELECT * FROM t ORDER BY id"
    assert second.execute(query).fetchall() == first.execute(query).fetchall()
    first.close()
    second.close()
