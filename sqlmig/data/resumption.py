"""
A resumable migration at work: each batch is committed with its checkpoint, under a token that tells whose it is.

The checkpoint is in the migration's own row of the versions table. Whoever takes an interrupted migration over writes
another token there; the one who had it before finds that out before its next batch, under the lock, and stops.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, literal_column, select, update

from .. import provenance
from ..errors import CheckpointMismatch, DataError, TakenOver
from ..turns import pause as pause_for
from .checkpoints import Loop, in_words, loops_of, summary

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from ..backends.session import Session, Writes
    from ..loader import LoadedMigration
    from ..version_tracker import AppliedVersion, VersionTracker

__all__ = ["Loops", "claim", "running_here"]

_here: set[str] = set()
_BEAT = 1.0
"""Seconds after which a loop that writes nothing shows that it is alive."""
_GRACE = 1.0
"""Seconds of looking for losses that need no work to be worth it."""


def running_here(token: object) -> bool:
    """Whether this very process is at work under a token."""
    return token in _here


def claim(
    tracker: VersionTracker, connection: Connection, migration: LoadedMigration, row: AppliedVersion | None
) -> dict[str, Any]:
    """
    Mark a resumable migration as this process's own, in the transaction that is open.

    Args:
        row: The mark that another has left.

    Returns:
        What stands in the mark.
    """
    facts = dict(migration.row()["metadata"]) | {"resumable": True, "token": os.urandom(8).hex()}
    if row is None:
        facts |= {"resumed": 0, "loops": []}
        tracker.mark_started(connection, {**migration.row(), "metadata": facts})
    else:
        found = loops_of(row.metadata)
        # A run that was killed before its first checkpoint has left nothing to resume.
        resumed = int(row.metadata.get("resumed", 0)) + bool(found)
        facts |= {"resumed": resumed, "loops": row.metadata.get("loops") or []}
        facts |= {"account": row.metadata["account"]} if "account" in row.metadata else {}
        tracker.mark_resumed(connection, migration.version, provenance.as_json(facts))
    # Before it is committed: another thread must not take it for one that nobody is at work in.
    _here.add(facts["token"])
    return facts


class Loops:
    """
    The loops of one resumable migration, told apart by what they read, from where in the code, and for which time.

    Args:
        facts: What `claim` wrote.
    """

    def __init__(
        self, tracker: VersionTracker, session: Session, migration: LoadedMigration, facts: dict[str, Any]
    ) -> None:
        self._session, self._version, self._facts = session, migration.version, facts
        self._loops = loops_of(facts)
        self.begun = bool(self._loops)
        """Whether something of it was committed before: its checks said yes then."""
        self.inspect: Callable[[], Mapping[str, Any]] = dict
        """Called before each commit, to refuse it, or for what is to be known of what was committed so far."""
        self.spent: Callable[[], float] = float
        """The seconds that looking for losses has taken."""
        self._active = self._inner = 0
        self._began, self._away = time.monotonic(), 0.0
        self._over = self._held = False
        self._failed: BaseException | None = None
        self._written, self._wrote_at = provenance.as_json(facts), time.monotonic()
        self._read_sql, self._write_sql = _statements(tracker, session.connection)

    def register(self, reads: str, site: str) -> Loop | None:
        """
        The loop that begins now, as far as it came; None inside another one, whose batch it belongs to.

        Raises:
            CheckpointMismatch: It is a new one, and the one that was interrupted has not been reached.
            DataError: It is inside a savepoint, which no commit of a batch would leave.
        """
        if self._active:
            return None
        if self._session.connection.in_nested_transaction():
            raise self._fail(_in_savepoint())
        self._refuse_to_go_on()
        for loop in self._loops:
            if not loop.claimed and (loop.reads, loop.site) == (reads, site):
                break
        else:
            loop = Loop(reads, site)
            self._require_none_left(f"now it reads {loop}")
            self._loops.append(loop)
        loop.claimed = True
        return loop

    @property
    def in_batch(self) -> bool:
        """Whether a loop has a batch handed out."""
        return self._active > 0

    def hold(self) -> None:
        """Commit no more batches: from here on it is not known what a checkpoint would be worth."""
        self._held = True

    def _refuse_to_go_on(self) -> None:
        """What went wrong with a checkpoint is no error to catch and go on after."""
        if self._failed is not None:
            raise self._failed

    def _require_none_left(self, found: str) -> None:
        for loop in self._loops:
            if loop.left:
                raise self._fail(CheckpointMismatch(self._version, str(loop), found))

    def writes(self) -> Writes:
        """What this connection has written so far."""
        return self._session.writes()

    def wrote_since(self, before: Writes) -> bool | None:
        """Whether something was written that is there to stay; None where that cannot be told, and nothing may be."""
        # A loop that outlives its migration is closed when nobody refers to it any more.
        return None if self._over else self._session.wrote_since(before)

    @contextmanager
    def active(self) -> Iterator[None]:
        """The time in which a loop has a batch handed out."""
        self._refuse_to_go_on()
        if self._active:
            raise self._fail(_two_at_once())
        self._active += 1
        try:
            yield
        finally:
            self._active -= 1

    @contextmanager
    def inner(self) -> Iterator[None]:
        """The time of a loop inside a loop."""
        self._inner += 1
        try:
            yield
        finally:
            self._inner -= 1

    def commit(self, pause: float, tell: Callable[[], None]) -> None:
        """
        Commit a batch with the checkpoints, leave the database to others for a while, and begin anew.

        Where it takes longer to look for losses than to write, because whole tables are counted each time, some batches
        share a commit, so that a loop takes no more than twice its time.

        Raises:
            TakenOver: Another process goes on with the migration.
        """
        self._refuse_to_go_on()
        if self._inner:
            raise self._fail(_two_at_once())
        if self._session.connection.in_nested_transaction():
            raise self._fail(_in_savepoint())
        if self._held or self._is_dear():
            tell()
            return
        try:
            account = dict(self.inspect())
            facts = {**self._facts, "loops": [one.as_facts() for one in self._loops]}
            facts |= {"account": account} if account else {}
            facts |= {"pause": pause} if pause else {}
            if facts == self._facts and time.monotonic() - self._wrote_at > _BEAT:
                facts["beat"] = facts.get("beat", 0) + 1
            text = self._written
            if facts != self._facts:
                text = provenance.as_json({**facts, "at": time.time()})
                self._write(text)
                self._wrote_at = time.monotonic()

            def between() -> None:
                # Only what is committed is ever written into a mark.
                self._facts, self._written = facts, text
                tell()
                if pause:
                    pause_for(pause)

            began = time.monotonic()
            self._session.commit_so_far(between)
            self._away += time.monotonic() - began
            self.require_own()
        except BaseException as error:
            raise self._fail(error) from error.__cause__

    def _write(self, text: str) -> None:
        """
        Write the mark anew, where it is still what was written last.

        Raises:
            TakenOver: It is another's.
        """
        if self._execute(self._write_sql, the_metadata=text, the_last=self._written).rowcount != 1:
            self.require_own()

    def _is_dear(self) -> bool:
        spent = self.spent()
        return spent > time.monotonic() - self._began - self._away - spent + _GRACE

    def require_own(self) -> None:
        """
        Look, under the lock, whether the migration is still this process's.

        Raises:
            TakenOver: It is not.
        """
        row = self._execute(self._read_sql).fetchone()
        if row is None or row[0] != self._written:
            raise TakenOver(self._version, "its mark was cleared" if row is None else _owner(row[0]))

    def finish(self) -> None:
        """
        Raise what went wrong with a checkpoint, also where the migration has caught it.

        Raises:
            CheckpointMismatch: The migration has ended without the loop in which it was interrupted.
        """
        if self._failed is not None:
            raise self._failed
        self._require_none_left("now it has ended without it")

    def _fail(self, error: BaseException) -> BaseException:
        self._failed = self._failed or error
        return error

    @property
    def account(self) -> Mapping[str, Any]:
        """What `inspect` gave at the last commit, of an earlier process's perhaps."""
        found: Mapping[str, Any] = self._facts.get("account") or {}
        return found

    @property
    def progress(self) -> dict[str, Any]:
        """Rows, total and batches that were committed, and how often it was resumed."""
        return {**summary(loops_of(self._facts)), "resumed": self._facts["resumed"]}

    @property
    def in_words(self) -> str:
        """The same: `340,000 of 1,000,000 rows`; nothing before the first batch was committed."""
        found = loops_of(self._facts)
        return in_words(found) if any(loop.batches for loop in found) else ""

    @property
    def done(self) -> dict[str, Any]:
        """The same for the history, the last batches included."""
        found = summary(self._loops)
        return {"rows": found["rows"], "batches": found["batches"], "resumed": self._facts["resumed"]}

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """The time in which this process runs it; a failure is written into its mark, so that nobody waits."""
        try:
            yield
        except BaseException as error:
            if not isinstance(error, TakenOver):
                self._mark_failed()
            raise
        finally:
            self._over = True
            _here.discard(self._facts["token"])

    def _mark_failed(self) -> None:
        with suppress(Exception):
            self._session.abandon()
            with self._session.transaction():
                self.require_own()
                self._write(provenance.as_json({**self._facts, "failed": True}))

    def _execute(self, statement: tuple[str, list[str]], **values: Any) -> Any:
        sql, order = statement
        values["the_version"] = self._version
        cursor = self._session.raw.cursor()
        with self._session.unobserved():
            if order:
                # Of sqlite3, whatever the application has its rows made by.
                if hasattr(cursor, "row_factory"):
                    cursor.row_factory = None
                cursor.execute(sql, [values[name] for name in order])
                return cursor
            cursor.execute(sql, values)
            return cursor


def _statements(tracker: VersionTracker, connection: Connection) -> tuple[tuple[str, list[str]], ...]:
    """Compiled once: SQLAlchemy's way to an UPDATE takes longer than SQLite's."""
    table = tracker.versions
    own = (table.c.version == bindparam("the_version")) & (table.c.state == literal_column("'started'"))
    made = (
        select(table.c.metadata).where(own),
        update(table)
        .where(own & (table.c.metadata == bindparam("the_last")))
        .values({table.c.metadata: bindparam("the_metadata")}),
    )
    compiled = [one.compile(dialect=connection.dialect) for one in made]
    return tuple((str(one), list(one.positiontup or ())) for one in compiled)


def _owner(text: str) -> str:
    try:
        facts = json.loads(text)
    except ValueError:
        facts = {}
    if facts.get("failed"):
        return "its mark says that it has failed"
    return f"process {facts.get('pid')} of {facts.get('user')} on {facts.get('host')} goes on with it"


def _in_savepoint() -> DataError:
    return DataError(
        "A loop of a resumable migration began inside a savepoint; nothing of it was done.",
        facts="each of its batches is committed, and no savepoint outlives a commit",
        hint="Put `with self.db.transaction()` inside the loop, or leave out `resumable`.",
    )


def _two_at_once() -> DataError:
    return DataError(
        "Two loops over rows were advanced in turn; the last batch was undone.",
        facts="a resumable migration can go on in one loop at a time, with whole loops inside a batch",
        hint="Put one loop after the other.",
    )
