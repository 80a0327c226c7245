"""
Indexes that a CREATE INDEX CONCURRENTLY left behind as it failed or was killed: kept up to date, and used by no query.

Source: https://www.postgresql.org/docs/current/sql-createindex.html#SQL-CREATEINDEX-CONCURRENTLY
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

__all__ = ["InvalidIndex", "in_words", "invalid_indexes", "left_by", "make_room"]

# One that somebody is building right now is invalid as well, and no wreck; whose it is, not every user may see.
_INVALID = """
SELECT i.indexrelid, n.nspname, c.relname,
    CASE WHEN pg_table_is_visible(t.oid) THEN t.relname ELSE n.nspname || '.' || t.relname END,
    CASE WHEN pg_table_is_visible(c.oid) THEN format('%I', c.relname) ELSE format('%I.%I', n.nspname, c.relname) END,
    pg_table_is_visible(c.oid)
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_class t ON t.oid = i.indrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE NOT i.indisvalid AND c.relkind = 'i' AND n.nspname NOT LIKE 'pg\\_%'
    AND i.indexrelid NOT IN (SELECT index_relid FROM pg_stat_progress_create_index WHERE index_relid IS NOT NULL)
ORDER BY pg_table_is_visible(c.oid) DESC, 2, 3"""
# What REINDEX CONCURRENTLY calls the one that it builds beside the old one, and the old one afterwards.
_OF_REINDEX = re.compile(r"_cc(new|old)\d*$")

_REINDEX = re.compile(r"\breindex\b", re.IGNORECASE)


class InvalidIndex(NamedTuple):
    """
    An index that is of no use.

    Attributes:
        table: Its table, for people.
        sql: Its name as a statement needs it.
        visible: Whether its name without a schema means it.
    """

    oid: int
    schema: str
    name: str
    table: str
    sql: str
    visible: bool


def invalid_indexes(connection: Connection) -> list[InvalidIndex]:
    """All that are there and are not being built, those of the search path first. Read-only."""
    found = connection.exec_driver_sql(_INVALID, execution_options={"no_parameters": True})
    return [InvalidIndex(*row) for row in found]


def in_words(indexes: Iterable[InvalidIndex]) -> str:
    """Which they are, each with what makes room for a new attempt."""
    return ", ".join(f"{index.name} of {index.table} (DROP INDEX {index.sql})" for index in indexes)


def left_by(index: InvalidIndex, statements: Sequence[str], before: Collection[int]) -> bool:
    """
    Whether one of *statements* is about it or its table; in other schemas there may be others of the same name.

    Args:
        before: Those that were there already: of a CREATE INDEX, what is only on the same table is none of its.
    """
    table = index.table.rpartition(".")[2]
    return any(
        (
            _names(statement, _OF_REINDEX.sub("", index.name))
            or ((index.oid not in before or _REINDEX.search(statement)) and _names(statement, table))
        )
        and (index.visible or _names(statement, index.schema))
        for statement in statements
    )


def _names(statement: str, name: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(name)}(?!\w)", statement, re.IGNORECASE) is not None


def make_room(connection: Connection, schema: str | None, name: str) -> bool:
    """Drop an index of that name if it is an invalid one, which loses nothing, and tell whether it did."""
    for index in invalid_indexes(connection):
        if index.name == name and (index.visible if schema is None else index.schema == schema):
            # Outside a transaction, as it was to be built: so that nobody has to wait for it.
            alone = "CONCURRENTLY " if connection.get_isolation_level() == "AUTOCOMMIT" else ""
            connection.exec_driver_sql(f"DROP INDEX {alone}{index.sql}", execution_options={"no_parameters": True})
            return True
    return False
