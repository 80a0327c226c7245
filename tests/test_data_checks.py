"""Questions to the rows, on SQLite; the native tests ask them on the servers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, create_engine

from sqlmig.schema import data_checks
from sqlmig.schema.data_checks import Offenders


@pytest.fixture
def connection() -> Iterator[Connection]:
    with create_engine("sqlite://").connect() as connection:
        connection.exec_driver_sql('CREATE TABLE "a t" (id INTEGER PRIMARY KEY, "x%" INTEGER, y TEXT)')
        rows = "(1, 1, 'a'), (2, 1, 'b'), (3, NULL, 'b'), (4, 9, NULL), (5, NULL, '50%')"
        connection.exec_driver_sql(f'INSERT INTO "a t" VALUES {rows}')
        connection.exec_driver_sql("CREATE TABLE p (k INTEGER PRIMARY KEY)")
        connection.exec_driver_sql("INSERT INTO p VALUES (1)")
        yield connection


def test_nulls(connection: Connection) -> None:
    assert data_checks.count(connection, '"a t"') == 5
    assert data_checks.nulls(connection, '"a t"', ['"x%"', "y"], ["id"]) == Offenders(3, ("id=3", "id=4", "id=5"))
    assert not data_checks.nulls(connection, '"a t"', ["id"], ["id"])


def test_duplicates_are_all_named_and_null_is_unlike_null(connection: Connection) -> None:
    assert data_checks.duplicates(connection, '"a t"', ['"x%"'], ["id"]) == Offenders(2, ("id=1", "id=2"))
    assert not data_checks.duplicates(connection, '"a t"', ['"x%"', "y"], ["id"])


def test_orphans(connection: Connection) -> None:
    assert data_checks.orphans(connection, '"a t"', ['"x%"'], "p", ["k"], ["id", "y"]) == Offenders(
        1, ("(id=4, y=None)",)
    )


def test_violations_are_where_a_check_is_false_and_not_where_it_is_null(connection: Connection) -> None:
    assert data_checks.violations(connection, '"a t"', '"x%" < 2 -- why', ["id"]) == Offenders(1, ("id=4",))
    assert data_checks.violations(connection, '"a t"', "y NOT LIKE '%\\%' ESCAPE '\\'", ["id"]) == Offenders(
        1, ("id=5",)
    )


def test_sample_is_short_and_empty_without_a_key(connection: Connection) -> None:
    connection.exec_driver_sql(
        'INSERT INTO "a t" SELECT k + 10, 0, NULL FROM (SELECT 1 AS k UNION SELECT 2 UNION SELECT 3)'
    )
    found = data_checks.offenders(connection, '"a t"', "1 = 1", ["id"])
    assert (found.count, len(found.sample)) == (8, 5)
    assert data_checks.offenders(connection, '"a t"', "1 = 1", []) == Offenders(8)
