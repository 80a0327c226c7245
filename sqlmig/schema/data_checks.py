"""
Questions to the rows of a table before it is changed, as plain SQL that every database answers alike.

Names come quoted. A percent sign in them or in a condition means itself. Every answer names rows by their keys
alone: what they hold may be nobody's business.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection, CursorResult

__all__ = ["Offenders", "count", "duplicates", "fetch", "nulls", "offenders", "orphans", "violations"]

_SAMPLE = 5


@dataclass(frozen=True)
class Offenders:
    """How many rows, and the keys of some of them; false where there is none."""

    count: int
    sample: Sequence[str] = ()

    def __bool__(self) -> bool:
        return self.count > 0


def fetch(connection: Connection, sql: str) -> CursorResult[Any]:
    """Run a query as it stands; no parameters, so the driver reads no placeholder into it."""
    return connection.exec_driver_sql(sql, execution_options={"no_parameters": True})


def rows(count: int) -> str:
    """`1 row`, `2 rows`."""
    return "1 row" if count == 1 else f"{count} rows"


def count(connection: Connection, table: str) -> int:
    """How many rows there are."""
    return int(fetch(connection, f"SELECT count(*) FROM {table}").scalar_one())


def nulls(connection: Connection, table: str, expressions: Sequence[str], key: Sequence[str]) -> Offenders:
    """The rows where one of *expressions* is NULL."""
    return offenders(connection, table, " OR ".join(f"({one}) IS NULL" for one in expressions), key)


def violations(connection: Connection, table: str, condition: str, key: Sequence[str]) -> Offenders:
    """The rows that a CHECK of *condition* would refuse: those where it is false, not where it is NULL."""
    return offenders(connection, table, f"NOT ({condition}\n)", key)


def duplicates(connection: Connection, table: str, columns: Sequence[str], key: Sequence[str]) -> Offenders:
    """The rows that share their values with another; one NULL makes a row unlike every other."""
    listed = ", ".join(columns)
    present = " AND ".join(f"{column} IS NOT NULL" for column in columns)
    same = " AND ".join(f"t_.{column} = d_.{column}" for column in columns)
    twice = f"SELECT {listed} FROM {table} WHERE {present} GROUP BY {listed} HAVING count(*) > 1"
    return offenders(connection, f"{table} t_ JOIN ({twice}) d_ ON {same}", "1 = 1", [f"t_.{one}" for one in key])


def orphans(
    connection: Connection,
    table: str,
    columns: Sequence[str],
    ref_table: str,
    ref_columns: Sequence[str],
    key: Sequence[str],
) -> Offenders:
    """The rows that refer to no row of *ref_table*; one NULL makes a row refer to nothing."""
    present = " AND ".join(f"c_.{column} IS NOT NULL" for column in columns)
    same = " AND ".join(f"p_.{there} = c_.{here}" for here, there in zip(columns, ref_columns, strict=True))
    lost = f"{present} AND NOT EXISTS (SELECT 1 FROM {ref_table} p_ WHERE {same})"
    return offenders(connection, f"{table} c_", lost, [f"c_.{one}" for one in key])


def offenders(connection: Connection, source: str, condition: str, key: Sequence[str]) -> Offenders:
    """
    The rows of *source* that *condition* holds for.

    Args:
        key: What names a row; nothing, where nothing does.
    """
    tail = f"FROM {source} WHERE {condition}"
    found = int(fetch(connection, f"SELECT count(*) {tail}").scalar_one())
    if not found or not key:
        return Offenders(found)
    listed = ", ".join(key)
    rows = fetch(connection, f"SELECT {listed} {tail} ORDER BY {listed} LIMIT {_SAMPLE}")
    names = list(rows.keys())
    return Offenders(found, tuple(_named(names, row) for row in rows))


def _named(names: Sequence[str], row: Sequence[Any]) -> str:
    pairs = [f"{name}={value}" for name, value in zip(names, row, strict=True)]
    return pairs[0] if len(pairs) == 1 else f"({', '.join(pairs)})"
