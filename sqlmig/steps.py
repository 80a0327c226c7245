"""
What a migration has made permanent before its end, where the database commits with each statement on the schema.

The mark in the versions table is written right before such a statement, in the transaction that it commits: there is
none while everything can be undone, and it cannot be missing once something is permanent. A process that is
killed in between leaves nothing, or a mark that names the statement.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from . import provenance
from .errors import DataError, shorten

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from .loader import LoadedMigration
    from .version_tracker import AppliedVersion, VersionTracker

__all__ = ["Mark", "StepsTaken", "in_words"]

_LISTED = 20
"""How many statements a mark lists, the last ones."""


class Mark:
    """
    A row of the versions table that says that a migration, or its rollback, was started.

    Args:
        row: The row of what is rolled back; None where *migration* is applied.
    """

    def __init__(
        self,
        tracker: VersionTracker,
        connection: Connection,
        migration: LoadedMigration,
        row: AppliedVersion | None = None,
    ) -> None:
        self._tracker, self._connection, self._migration, self._row = tracker, connection, migration, row
        self._token = os.urandom(8).hex()
        self._base = migration.row()["metadata"] if row is None else {"undoing": row.state, "before": row.metadata}
        self.there = False
        """Whether it is in the table, as far as this transaction sees it."""

    def write(self, facts: Mapping[str, Any]) -> None:
        """Put it into the table, or *facts* into it."""
        told = {**self._base, **facts, "token": self._token}
        if self.there:
            self._tracker.change_mark(self._connection, self._migration.version, self._token, provenance.as_json(told))
        elif self._row is None:
            self._tracker.mark_started(self._connection, {**self._migration.row(), "metadata": told})
        else:
            self._tracker.mark_undoing(self._connection, self._row, told)
        self.there = True

    def remove(self) -> None:
        """Have the table as it was before."""
        if self._row is None:
            self._tracker.unmark(self._connection, self._migration.version)
        else:
            self._tracker.unmark_undoing(self._connection, self._row._replace(metadata=self._base))
        self.there = False


class StepsTaken:
    """
    The statements of one migration that its database committed as they ran.

    Args:
        mark: Where it is written down; None for a migration that leaves no record, or has a mark of another kind.
        in_batch: Whether rows of a resumable migration are under way, of which no half may be committed.

    Attributes:
        at: The statement that is running, or was when it failed.
    """

    def __init__(self, mark: Mark | None = None, in_batch: Callable[[], bool] = bool) -> None:
        self._mark, self._in_batch = mark, in_batch
        self._statements: list[str] = []
        self._wrote = self._rows = self._partly = self._unseen = self._stayed = self._kept = self._open = False
        self.at: str | None = None

    # What the session tells

    def before(self, statement: str, wrote: bool) -> None:
        """A statement is about to run that may commit what is in the transaction."""
        if self._in_batch():
            raise DataError(
                f"A statement would commit half a batch of a resumable migration: {shorten(statement)}",
                facts="this database commits with each statement that changes the schema; it was not carried out",
                hint="Change the schema before the loop over rows, or behind it.",
            )
        self.at, self._wrote, self._open = shorten(statement), wrote, True
        if self._mark is not None:
            self._mark.write(self.facts)

    def after(self, committed: bool, done: bool) -> None:
        """It has run, or failed; and *committed* or not what is in the transaction, in which the mark is written."""
        statement, self.at, self._open = self.at or "", None, False
        if committed:
            self._rows = self._rows or self._wrote
            if done:
                self._statements.append(statement)
            else:
                self.at, self._partly = statement, self._partly or _may_be_half_done(statement)
        self._kept = self._kept or committed
        if self._mark is None:
            return
        if self.permanent:
            self._mark.write(self.facts)
        elif self._mark.there:
            self._mark.remove()
            self._kept = False

    def ended_unseen(self) -> None:
        """The transaction is not the one that was begun, and nobody has seen how it ended."""
        self._unseen = True

    def has_stayed(self) -> None:
        """The transaction was undone, but for rows of tables that know no transactions."""
        self._stayed = True

    # What is told of it

    @property
    def permanent(self) -> bool:
        """Whether anything of the migration is, or may be, there to stay."""
        return bool(self._statements) or self._rows or self._partly or self._unseen or self._stayed

    @property
    def facts(self) -> dict[str, Any]:
        """The same, as it stands in the mark and in the history."""
        found = {
            "statements": self._statements[-_LISTED:],
            "count": len(self._statements),
            "rows": self._rows,
            "at": self.at,
            "partly": self._partly,
            "unseen": self._unseen,
            "stayed": self._stayed,
        }
        return {"permanent": {name: value for name, value in found.items() if value}}

    @property
    def in_words(self) -> str:
        """What is permanent, or may be where nobody could look; nothing where everything was undone."""
        return in_words(self.facts) if self.permanent or self._open else ""

    def record_failure(self) -> None:
        """Write into the mark, in a transaction of its own, that the migration has failed, so that nobody waits."""
        if self._mark is None or not (self.permanent or self._open):
            return
        # What stood in the transaction that was undone is not there; what nobody could look into may be.
        self._mark.there = self._kept or self._open
        self._mark.write({**self.facts, "failed": True})


def in_words(facts: Mapping[str, Any]) -> str:
    """What a mark says is permanent."""
    told = facts.get("permanent")
    if not isinstance(told, Mapping):
        return ""
    statements, count = told.get("statements") or [], told.get("count", 0)
    parts = []
    if statements:
        many = f"{count} statements on the schema, the last of them" if count > 1 else "1 statement on the schema"
        parts.append(f"permanent: {many}: {statements[-1]}")
    if told.get("rows"):
        parts.append("permanent: rows that were written before the schema was changed")
    if told.get("unseen"):
        parts.append("its transaction was ended from inside, so that what it did before may have stayed")
    if told.get("stayed"):
        parts.append("rows in tables that know no transactions (MyISAM, Aria, MEMORY) have stayed")
    if told.get("at"):
        parts.append(f"it was at: {told['at']}" + (", of which a part may be done" if told.get("partly") else ""))
    return "; ".join(parts)


def _may_be_half_done(statement: str) -> bool:
    """Whether a statement that failed may have done something: one of several, or what is in a routine."""
    first = statement.split(None, 1)[0].lower() if statement.strip() else ""
    if first == "drop":
        return "," in statement
    return first not in ("create", "alter", "rename", "truncate", "analyze", "optimize", "grant", "revoke", "flush")
