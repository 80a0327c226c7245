"""
The image of a restore: a copy of the snapshot that has, beside its content, the whole history of the live database.

It is finished before the live database is touched, so that content and record arrive in one transaction.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from .. import records
from ..backends.sqlite import ask, primary_code, quoted
from ..errors import DatabaseLocked
from ..provenance import is_running
from .copying import connected

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.engine import Connection

    from ..manager import MigrationManager
    from ..version_tracker import VersionTracker

__all__ = ["Image", "Past", "read_past"]


class Past(NamedTuple):
    """What the live database says of itself before it is replaced."""

    current_version: int
    done: Sequence[int]
    columns: Sequence[str]
    """Of its history; none where there is none."""
    history: Sequence[tuple[Any, ...]]
    lost: str | None = None
    """Why the history could not be read."""


class Image:
    """
    An image that is being made.

    Args:
        raw: Our own connection to it, in which the snapshot's content is.
    """

    def __init__(self, raw: sqlite3.Connection, manager: MigrationManager) -> None:
        self.raw, self._manager, self._tracker = raw, manager, manager.version_tracker
        self._own: int | None = None
        self.current_version, self.done = self._bring_up_to_date()

    def _bring_up_to_date(self) -> tuple[int, list[int]]:
        """Its records in the form that they have today; what something else brought where it is is adopted."""
        with self._transaction() as connection:
            state = self._tracker.read(connection)
            self._tracker.prepare(connection)
            if state.claim is not None:
                records.adopt(connection, self._manager, state.claim)
            for row in state.interrupted:
                # Nobody is at work in what is restored, though the process that was may live.
                self._tracker.mark_failed(connection, row.version)
            return state.current_version, state.done

    def complete(self, past: Past, started_at: datetime, milliseconds: float, facts: Mapping[str, Any]) -> None:
        """Give it what the live history has and its own has not, and then the row of the restore; also once more."""
        history = quoted(self._tracker.history.name)
        with self._transaction() as connection:
            if self._own is not None:
                self.raw.execute(f"DELETE FROM {history} WHERE rowid = ?", (self._own,))
            triggers = self._without_triggers()
            self._append_missing(past)
            self._tracker.log(
                connection,
                self.current_version,
                f"restored version {self.current_version} over version {past.current_version}",
                "restore",
                started_at=started_at,
                execution_time_ms=milliseconds,
                metadata={
                    **facts,
                    "from_version": past.current_version,
                    "to_version": self.current_version,
                    **({} if past.lost is None else {"history_lost": past.lost}),
                },
            )
            self._own = self.raw.execute(f"SELECT max(rowid) FROM {history}").fetchone()[0]
            for sql in triggers:
                self.raw.execute(sql)

    def _without_triggers(self) -> list[str]:
        """Take those of the history off: what is carried over has happened, and fired them, already."""
        sql = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = ? COLLATE NOCASE"
        found = self.raw.execute(sql, (self._tracker.history.name,)).fetchall()
        for name, _ in found:
            self.raw.execute(f"DROP TRIGGER {quoted(name)}")
        return [text for _, text in found]

    def _append_missing(self, past: Past) -> None:
        """A row is the same where all is the same but its number, which it keeps where that is free."""
        columns, rows = _history(self.raw, self._tracker)
        common = [name for name in past.columns if name in columns and name != "id"]
        mine = Counter(tuple(row[columns.index(name)] for name in common) for row in rows)
        taken = {row[columns.index("id")] for row in rows} if "id" in columns else set()
        keeps = "id" in columns and "id" in past.columns
        names = [*common, "id"] if keeps else common
        listed, marks = ", ".join(map(quoted, names)), ", ".join("?" * len(names))
        insert = f"INSERT INTO {quoted(self._tracker.history.name)} ({listed}) VALUES ({marks})"
        for row in past.history:
            values = tuple(row[past.columns.index(name)] for name in common)
            if mine[values]:
                mine[values] -= 1
                continue
            number = row[past.columns.index("id")] if keeps else None
            if keeps and (number in taken or (taken and number < max(taken))):
                # After those that are there, as it came after them.
                number = max(taken) + 1
            taken.add(number)
            self.raw.execute(insert, (*values, number) if keeps else values)

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        with connected(self.raw) as connection:
            self.raw.execute("BEGIN")
            try:
                yield connection
                self.raw.execute("COMMIT")
            finally:
                if self.raw.in_transaction:
                    self.raw.execute("ROLLBACK")


def read_past(raw: Any, connection: Connection, manager: MigrationManager) -> Past:
    """
    What the live database says of itself, in the transaction that is open.

    A database that is damaged is what a restore is for: what cannot be read of it is given up.

    Raises:
        DatabaseLocked: A process that lives is in a migration outside a transaction.
    """
    tracker = manager.version_tracker
    try:
        state = tracker.read(connection)
        for row in state.interrupted:
            if is_running(row.metadata) and not row.metadata.get("failed"):
                raise DatabaseLocked(
                    tracker.backend.name,
                    0,
                    f"process {row.metadata['pid']} is running migration {row.version} outside a transaction",
                    "Let it finish, or end it, then restore.",
                )
        columns, rows = _history(raw, tracker)
        return Past(state.current_version, state.done, columns, rows)
    except Exception as error:
        origin = getattr(error, "orig", error)
        if not isinstance(origin, sqlite3.Error) or primary_code(origin) != sqlite3.SQLITE_CORRUPT:
            raise
        return Past(0, [], [], [], lost=str(origin))


def _history(raw: Any, tracker: VersionTracker) -> tuple[list[str], list[tuple[Any, ...]]]:
    """The columns of the history and its rows, in the order in which they were written."""
    name = quoted(tracker.history.name)
    known = set(tracker.history.columns.keys())
    columns = [row[1] for row in ask(raw, f"PRAGMA main.table_info({name})") if row[1] in known]
    if not columns:
        return [], []
    return columns, ask(raw, f"SELECT {', '.join(map(quoted, columns))} FROM main.{name} ORDER BY rowid")
