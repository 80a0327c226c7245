"""The scratch database while it is migrated: its schema, its rows, its size, and what is wrong with it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy import event

from ...backends.raw import ask_any
from ...backends.sqlite import quoted
from ..original import Copy
from .schema_text import SchemaReader
from .server_fence import ServerFence

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection, Engine

    from ...backends.session import Session
    from ..differences import Schema

__all__ = ["INVALID", "PostgreSQLCopy", "problems_of"]

_SIZE = "SELECT pg_database_size(current_database())"
_CHANGED = """
SELECT relid::bigint, (n_tup_ins + n_tup_upd + n_tup_del)::bigint FROM pg_stat_xact_user_tables
WHERE n_tup_ins + n_tup_upd + n_tup_del > 0"""
INVALID = """
SELECT x.indexrelid::regclass::text FROM pg_index x JOIN pg_class c ON c.oid = x.indexrelid
WHERE NOT x.indisvalid AND c.relkind = 'i'"""
_KEYS = """
SELECT k.conrelid::regclass::text, k.confrelid::regclass::text,
    ARRAY(SELECT attname::text FROM unnest(k.conkey) WITH ORDINALITY u(n, i)
        JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.n ORDER BY u.i),
    ARRAY(SELECT attname::text FROM unnest(k.confkey) WITH ORDINALITY u(n, i)
        JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.n ORDER BY u.i)
FROM pg_constraint k WHERE k.contype = 'f' AND k.convalidated AND k.conparentid = 0"""
_WRITES = re.compile(r"\s*(?:insert|update|delete|merge|copy)\b", re.IGNORECASE)


class PostgreSQLCopy(Copy):
    """A database of its own, which nobody else knows of."""

    def __init__(self, engine: Engine, files: list[str], warnings: list[str]) -> None:
        super().__init__(engine, files, warnings)
        self._rows = _Rows(engine)
        self._server = ServerFence(engine)
        self._read_schema = SchemaReader()

    def schema(self, session: Session, ignored: Collection[str]) -> Schema:
        """As the catalogue describes it."""
        return self._read_schema(session, ignored)

    @contextmanager
    def counting(self, session: Session) -> Iterator[Callable[[], int]]:
        """As the server counts them, so that those of triggers and keys are among them."""
        self._rows.restart(session.raw)
        with self._server.watched(session.raw):
            yield lambda: self._rows.so_far(session.raw)

    def size_in(self, session: Session) -> int:
        """That of its files: what is dropped stays in them until the commit."""
        [[size]] = ask_any(session.raw, _SIZE)
        return int(size)

    def size(self) -> int:
        """That of its files."""
        with self._raw() as raw:
            [[size]] = ask_any(raw, _SIZE)
            return int(size)

    def problems(self, *, thorough: bool, tables: Collection[tuple[str, str]]) -> Counter[str]:
        """Invalid indexes, rows without their parents."""
        with self._raw() as raw:
            return problems_of(raw, thorough=thorough)

    @contextmanager
    def _raw(self) -> Iterator[Any]:
        pooled = self.engine.raw_connection()
        try:
            yield pooled.dbapi_connection
        finally:
            pooled.close()


def problems_of(raw: Any, *, thorough: bool) -> Counter[str]:
    """
    What is wrong with a database.

    Args:
        thorough: Whether every row of every table is asked for its parents; the server sees to that itself, except
            where its triggers were switched off.
    """
    found = Counter(f"index {name}: it is invalid" for (name,) in ask_any(raw, INVALID))
    for child, parent, columns, keys in ask_any(raw, _KEYS) if thorough else ():
        named = [(f"c.{quoted(column)}", f"p.{quoted(key)}") for column, key in zip(columns, keys, strict=True)]
        filled = " AND ".join(f"{column} IS NOT NULL" for column, _ in named)
        equal = " AND ".join(f"{column} = {key}" for column, key in named)
        sql = f"SELECT count(*) FROM {child} c WHERE {filled} AND NOT EXISTS (SELECT FROM {parent} p WHERE {equal})"
        [[orphans]] = ask_any(raw, sql)
        if orphans:
            found[f"rows of {child} that refer to no row of {parent}"] += orphans
    return found


class _Rows:
    """
    The rows that an engine's connections changed: as the statistics of each transaction tell when it commits.

    Where each statement commits by itself, what the driver says of it. Source:
    https://www.postgresql.org/docs/current/monitoring-stats.html
    """

    def __init__(self, engine: Engine) -> None:
        self._total = 0
        self._before: dict[int, int] | None = None
        event.listen(engine, "begin", self._begin)
        event.listen(engine, "commit", self._commit)
        event.listen(engine, "rollback", self._rollback)
        event.listen(engine, "after_cursor_execute", self._executed)

    def restart(self, raw: Any) -> None:
        """Count from here on."""
        self._total = 0
        if self._before is not None:
            self._before = self._changed(raw)

    def so_far(self, raw: Any) -> int:
        """Since then, those of the transaction that is open included."""
        if self._before is None:
            return self._total
        # By table, since one that is dropped takes its figures along.
        grown = {table: count - self._before.get(table, 0) for table, count in self._changed(raw).items()}
        return self._total + sum(grown.values())

    def _begin(self, connection: Connection) -> None:
        raw: Any = connection.connection.dbapi_connection
        # Those of transactions before may not have been handed in yet.
        self._before = None if raw.autocommit else self._changed(raw)

    def _commit(self, connection: Connection) -> None:
        self._total, self._before = self.so_far(connection.connection.dbapi_connection), None

    def _rollback(self, _connection: Connection) -> None:
        self._before = None

    def _executed(self, connection: Connection, cursor: Any, statement: str, *_: object) -> None:
        raw: Any = connection.connection.dbapi_connection
        if raw.autocommit and cursor.rowcount > 0 and _WRITES.match(statement):
            self._total += cursor.rowcount

    def _changed(self, raw: Any) -> dict[int, int]:
        return dict(ask_any(raw, _CHANGED))
