"""
One copy of a database into another: the migrations make the schema there, and then the rows come.

Where the target undoes statements on the schema, all of it is one transaction. Where it does not (MariaDB and MySQL, or
a migration that runs outside transactions), a mark is committed before anything else: a row of the versions table that
says "started", under the version 0, which no migration can have. Until it is gone nobody migrates that database, nor
takes it for whole, and the next copy begins anew.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from ..connection import DatabaseConnection, display_name
from ..data.collector import less_often
from ..data.pace import how_fast
from ..errors import ConfigurationError, CopyError, DatabaseLocked, TargetNotEmpty
from ..provenance import is_running
from ..run import Clock, Run, Teller
from .carried import carry_history
from .matching import Match, match
from .origin import look_at_source
from .plain import plainly
from .report import CopyResult
from .rows import copy_rows
from .snapshot import identity, opened
from .source import Source
from .target import target_of

if TYPE_CHECKING:
    from ..backends.session import Session
    from ..migrator import Migrator
    from ..results import MigrationResult
    from ..version_tracker import AppliedVersion, DatabaseState

__all__ = ["Copy"]


class _Start(NamedTuple):
    """What the target was before anything was done to it."""

    mark: AppliedVersion | None
    """Of a copy that was never finished."""

    fresh: bool
    """Whether it held nothing at all, so that all there is may be removed if the copy fails."""

    whole: bool
    """Whether one transaction can hold the copy."""


class Copy:
    """
    One copy.

    Args:
        migrator: Of the target, with the migrations of both.
        source: What is copied.
        skip: "table" or "table.column" to be left out.
        size: Rows of a batch at the most.
    """

    def __init__(self, migrator: Migrator, source: DatabaseConnection, skip: Sequence[str], size: int) -> None:
        self._migrator, self._database, self._skip, self._size = migrator, source, skip, size
        self._tracker = migrator.manager.version_tracker
        self._backend = self._tracker.backend
        self._names = display_name(source.engine), self._backend.name
        self._run = Run(self._tracker, "copy", progress=migrator._progress, retry="sqlmig copy")
        self._run.about, self._run.keeps_failures = f"copy from {self._names[0]}", False
        self._teller, self._clock = Teller(migrator._progress), Clock()
        self._filling = self._clock
        self._done = self._total = 0

    def __call__(self) -> CopyResult:
        self._migrator.manager.require_files()
        with ExitStack() as stack:
            self._source = Source(stack.enter_context(opened(self._database, self._backend.lock_timeout)))
            self._origin = look_at_source(self._migrator, self._source)
            session = stack.enter_context(self._backend.session())
            stack.enter_context(self._run.recording(session))
            stack.callback(session.restore_settings)
            stack.enter_context(plainly(session.connection))
            session.require_own_transactions("A copy")
            self._target = target_of(session, self._tracker.own_tables)
            return self._into(session)

    def _into(self, session: Session) -> CopyResult:
        with session.transaction():
            start = self._look_at_target(session)
            session.require_writable()
            self._run.keeps_failures = True
            if start.whole:
                made = self._migrate(session)
                self._fill(self._match())
                self._carry(session)
                return self._result(made)
            self._mark(session, start, {})
        return self._under_mark(session, start)

    # What there is

    def _look_at_target(self, session: Session) -> _Start:
        """
        Whether it may be filled, in the transaction that has the lock.

        Raises:
            TargetNotEmpty: It holds something.
            ConfigurationError: It is the source.
        """
        connection, target = session.connection, self._target
        self._there = target.elsewhere()
        if identity(connection) == identity(self._source.connection):
            raise ConfigurationError(
                f"Source and target are one database: {self._names[1]}\n  Nothing was changed.\n"
                "Name another one to copy it into."
            )
        state = self._tracker.read(connection)
        mark = self._tracker.copy_mark(state)
        started = [row for row in state.interrupted if row is not mark]
        fresh = not state.done and not target.drops()
        if mark is None:
            self._refuse_filled(state, started)
        else:
            self._refuse_at_work(mark, started)
            fresh = bool(mark.metadata["copy"].get("fresh"))
        pending = self._migrator.manager.load_what_loads(
            file
            for version, file in self._migrator.manager.discover_migrations().items()
            if version in set(self._origin.done) - set(state.done)
        )
        atomic = not session.commits_ddl and all(migration.transactional for migration in pending.values())
        return _Start(mark, fresh, atomic and mark is None)

    def _refuse_filled(self, state: DatabaseState, started: Sequence[AppliedVersion]) -> None:
        name = self._names[1]
        if started:
            raise CopyError(
                f"Migration {started[0].version} of the target {name} was started and has not finished.",
                "nothing was copied, and nothing changed",
                "Name a new, empty database.",
            )
        tables = [table for table in self._target.tables() if table.name.lower() not in self._records]
        if state.claim is not None or (tables and not state.tracked):
            raise TargetNotEmpty(name, [table.name for table in tables], "it has tables that no migration made")
        filled = [table.name for table in tables if not table.derived and self._target.has_rows(table)]
        if filled:
            raise TargetNotEmpty(name, filled, "it has rows in")
        beyond = sorted(set(state.done) - set(self._origin.done))
        if beyond:
            listed = [f"migration {version}" for version in beyond]
            raise TargetNotEmpty(name, listed, "it has had what the source has not")

    def _refuse_at_work(self, mark: AppliedVersion, started: Sequence[AppliedVersion]) -> None:
        if not self._backend.locks_whole_calls and is_running(mark.metadata) and not mark.metadata.get("failed"):
            raise DatabaseLocked(
                self._names[1], 0, f"process {mark.metadata['pid']} is copying into it", "Let it finish, or end it."
            )
        if started and not mark.metadata["copy"].get("fresh"):
            raise CopyError(
                f"A copy into {self._names[1]} was interrupted in migration {started[0].version}.",
                "how much of it was done is not known; the target had had migrations before, so that it is left alone",
                "Make the target anew, or name another, empty database.",
            )

    @property
    def _records(self) -> set[str]:
        """Tables that tell which migrations ran: the target has its own."""
        return {*self._tracker.own_tables, "alembic_version"}

    # What is done

    def _migrate(self, session: Session, *, lent: bool = False) -> MigrationResult:
        """
        Have the target have what the source has had, and nothing beyond.

        Args:
            lent: Whether each migration may have transactions of its own.

        Raises:
            MigrationError: A migration failed there.
        """
        self._tell("migrating the target")
        twin = self._migrator._on(session.connection)
        if self._teller.listens:
            twin.runner.progress = lambda done, total, what: self._tell(f"migrating the target: {what}")
        twin.db.lent = lent
        manager = twin.manager
        manager.only = frozenset(self._origin.done)
        manager.version_tracker.overlooks_copy = True
        made = twin.runner.apply(self._origin.version)
        state = manager.version_tracker.read(session.connection)
        if state.done != self._origin.done:
            listed = ", ".join(str(version) for version in sorted(set(state.done) ^ set(self._origin.done)))
            raise CopyError(
                "The target did not come to the version of the source.",
                f"they differ in the migrations {listed}; what had been begun was undone",
                "See what both have: sqlmig status",
            )
        self._skipped = {row.version for row in state.rows if row.state == "skipped"}
        return made

    def _match(self) -> Match:
        self._refuse_elsewhere()
        lenient = self._skipped != self._origin.skipped
        skip = [name for name in self._skip if name not in self._source.elsewhere]
        found = match(self._source.tables, self._target, self._source.dialect, skip, self._records, lenient=lenient)
        self._matched = found
        return found

    def _refuse_elsewhere(self) -> None:
        """Tables of other schemas that the migrations make are the application's, and would stay empty."""
        made = (self._target.elsewhere() - self._there) & self._source.elsewhere - set(self._skip)
        if made:
            raise CopyError(
                f"The migrations make tables in other schemas than the one that is copied: {', '.join(sorted(made))}",
                "their rows would be missing in the target; what had been begun was undone",
                f"Copy with the server's own tools, or leave them out of the copy: --skip {min(made)}",
            )

    def _fill(self, found: Match) -> None:
        """In the transaction that is open: all rows, and what is made of them."""
        source, target, jobs = self._source, self._target, found.jobs
        if self._teller.listens:
            self._tell("counting")
            self._total = sum(source.count(job.source) for job in jobs)
            self._filling = Clock()
        self._last = {}
        for job in jobs:
            column = job.source.column(job.source.key[0]) if len(job.source.key) == 1 else None
            self._last[job.target.name] = source.last_number(job.source, column) if column is not None else None
        target.prepare(jobs)
        with less_often():
            self._tables = [copy_rows(source, target, job, self._size, self._count) for job in jobs]
        self._tell("checking references")
        try:
            target.finish(jobs, self._last, source.sequences())
        except CopyError as error:
            if not found.left_out:
                raise
            left = ", ".join(found.left_out)
            hint = f"Copy {left} as well, or leave out what refers to it too, by --skip."
            raise CopyError(f"References do not hold in a copy without {left}.", str(error), hint) from error
        except Exception as error:
            raise self._backend.translate(error) or error from error

    def _carry(self, session: Session) -> None:
        """The whole history of the source, and then how this target was made."""
        carried = carry_history(session.connection, self._tracker, self._origin.history)
        tables = {table.table: {"rows": table.rows, "checksum": table.checksum} for table in self._tables}
        self._tracker.log(
            session.connection,
            self._origin.version,
            f"copied from {self._names[0]}",
            "copy",
            started_at=self._clock.started_at,
            execution_time_ms=self._clock.milliseconds,
            metadata={
                "source": self._names[0],
                "tables": tables,
                "left_out": self._matched.left_out,
                "history": carried,
            },
        )

    # Under a mark

    def _mark(self, session: Session, start: _Start, held: Mapping[str, Any]) -> None:
        self._tracker.prepare(session.connection)
        self._tracker.remove(session.connection, 0)
        facts = {"source": self._names[0], "target": self._names[1], "fresh": start.fresh, "held": held}
        row = {"version": 0, "description": f"copy from {self._names[0]}", "metadata": {"copy": facts}}
        self._tracker.record(session.connection, row, "started")

    def _under_mark(self, session: Session, start: _Start) -> CopyResult:
        target, held, filled = self._target, {}, False
        before: Mapping[str, Any] = start.mark.metadata["copy"].get("held", {}) if start.mark is not None else {}
        try:
            if start.mark is not None and start.fresh:
                self._clear(session)
            target.give_back({} if start.fresh else before)
            made = self._migrate(session, lent=True)
            found = self._match()
            held = dict(target.hold_back(found.jobs))
            with session.transaction():
                self._mark(session, start, held)
            target.take_away(held)
            with session.transaction():
                self._fill(found)
            filled = True
            target.give_back(held)
            for job in found.jobs:
                target.count_on(job, self._last[job.target.name])
            with session.transaction():
                self._carry(session)
                self._tracker.remove(session.connection, 0)
        except BaseException:
            if not filled:
                # Where it cannot be undone now, the mark stays, and the next copy does it.
                with suppress(Exception):
                    self._undo(session, start, held)
            raise
        return self._result(made)

    def _undo(self, session: Session, start: _Start, held: Mapping[str, Any]) -> None:
        """Leave the target as it was before; what its migrations made of one that had some already, stays."""
        session.restore_settings()
        if start.fresh:
            self._clear(session)
        else:
            self._target.give_back(held)
        with session.transaction():
            self._tracker.remove(session.connection, 0)

    def _clear(self, session: Session) -> None:
        self._target.clear()
        with session.transaction():
            for row in self._tracker.read(session.connection).rows:
                if row.version != 0:
                    self._tracker.remove(session.connection, row.version)
            self._tracker.set_user_version(session.connection, 0)

    # What is told

    def _count(self, rows: int, what: str) -> None:
        self._done += rows
        self._tell(what)

    def _tell(self, what: str) -> None:
        if not self._teller.listens:
            return
        seconds = self._filling.milliseconds / 1000
        if 0 < self._done < self._total and seconds > 0.5:
            what += f", {how_fast(self._done, seconds, self._total - self._done)}"
        self._teller(self._done, max(self._total, self._done), f"copy: {what}")

    def _result(self, made: MigrationResult) -> CopyResult:
        differing = sorted(self._skipped ^ self._origin.skipped)
        warnings = [
            f"migration {version} was skipped {'there' if version in self._skipped else 'in the source'} by its own"
            f" checks, and is applied {'in the source' if version in self._skipped else 'there'}"
            for version in differing
        ]
        warnings += [f"only the target has {name}, which was not filled" for name in self._matched.unfilled]
        return CopyResult(
            success=True,
            source=self._names[0],
            target=self._names[1],
            version=self._origin.version,
            applied=made.applied,
            skipped=made.skipped,
            tables=self._tables,
            left_out=self._matched.left_out,
            execution_time_ms=round(self._clock.milliseconds, 3),
            warnings=[
                *self._origin.warnings,
                *self._source.warnings,
                *made.warnings,
                *warnings,
                *self._target.warnings,
            ],
        )
