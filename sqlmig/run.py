"""
One call of the runner: what it has done so far, whom it tells, and how a failure is worded and recorded.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeAlias

from .connection import DatabaseConnection
from .errors import (
    ConfigurationError,
    DatabaseLocked,
    DatabaseTooNew,
    DatabaseUnavailable,
    DataLossError,
    DiskFull,
    MigrationError,
    UnknownRevision,
    UnknownVersion,
    shorten,
)
from .execution import explain, how_far, reason, statement_of
from .results import MigrationResult
from .telemetry import trace_of

if TYPE_CHECKING:
    from pathlib import Path

    from .backends.session import Session
    from .base import BaseMigration
    from .guard import Account
    from .loader import LoadedMigration
    from .manager import Prepared
    from .results import Loss, Plan
    from .steps import StepsTaken
    from .version_tracker import VersionTracker

__all__ = ["BeforeFirst", "Clock", "Progress", "Run", "Teller"]

Progress: TypeAlias = Callable[[int, int, str], object]
BeforeFirst: TypeAlias = "Callable[[Session, Run, Prepared], object]"

logger = logging.getLogger("sqlmig.runner")


class Clock:
    """When something began, and for how long it has gone on."""

    def __init__(self) -> None:
        self.started_at = datetime.now(UTC)
        self._began = time.perf_counter()

    @property
    def milliseconds(self) -> float:
        return (time.perf_counter() - self._began) * 1000


class Teller:
    """A progress callback; one that fails must not undo a migration, and is not called again."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress

    @property
    def listens(self) -> bool:
        """Whether there is anybody to be told."""
        return self._progress is not None

    def __call__(self, done: int, total: int, message: str) -> None:
        if self._progress is None:
            return
        try:
            self._progress(done, total, message)
        except Exception:
            logger.warning("the progress callback failed, and is not called again", exc_info=True)
            self._progress = None


class Run:
    """
    The state of one call; steps count when their transaction has committed.

    Args:
        operation: As in the history.
        progress: Called with (done, total, message).
        together: Whether one transaction holds all steps.
        retry: The command that does the same again.
    """

    rehearses = False
    """Whether it is one on a copy."""

    def __init__(
        self,
        tracker: VersionTracker,
        operation: str,
        *,
        progress: Progress | None = None,
        together: bool = False,
        retry: str = "sqlmig up",
    ) -> None:
        self.backend, self.tracker, self.operation = tracker.backend, tracker, operation
        self.together, self._retry = together, retry
        self._teller, self._clock = Teller(progress), Clock()
        self.trace = trace_of(operation, tracker, rehearses=self.rehearses)
        self._from = self._total = self._told = 0
        self._names: list[str] = []
        self._done: dict[str, list[int]] = {"applied": [], "skipped": [], "rolled back": []}
        self._uncommitted: list[tuple[str, int, str, float, Account | None]] = []
        self._losses: list[Loss] = []
        self._warnings: list[str] = []
        self.target: int | None = None
        self._migration: LoadedMigration | None = None
        self._instance: BaseMigration | None = None
        self._running = False
        self._armed: tuple[BeforeFirst, ...] = ()
        self._first: list[BeforeFirst] = []
        self.resumes: dict[str, object] = {}
        """How far the interrupted migrations had come that this call may go on with, by token."""
        self.steps: StepsTaken | None = None
        """What the migration that runs has made permanent by itself."""
        self.snapshot: Path | None = None
        """The copy of the database that was made before the first migration."""
        self.about = "refused"
        """What failed, as the history describes it, where it was no migration."""
        self.keeps_failures = True
        """Whether a failure is written to the history: not where nothing may be written to the database."""

    def arm(self, before_first: Iterable[BeforeFirst]) -> None:
        """Have this done, in order, under the lock before the first migration begins."""
        self._armed = tuple(before_first)
        self._first = list(self._armed)

    def arm_again(self) -> None:
        """The database is another than the one that it was done for."""
        if not self.has_done:
            self._first = list(self._armed)

    def come_first(self, session: Session, prepared: Prepared) -> None:
        """The first migration is about to begin: do once what was asked for before it."""
        while self._first:
            self._first.pop(0)(session, self, prepared)

    @property
    def has_done(self) -> bool:
        """Whether a step has committed."""
        return any(self._done.values())

    @property
    def facts(self) -> dict[str, Any]:
        """What the history is told beside each migration."""
        return {} if self.snapshot is None else {"snapshot": str(self.snapshot)}

    def begin(self, plan: Plan) -> None:
        """Say what is about to happen."""
        self._from, self._total = plan.current_version, len(plan.steps)
        self._names = [f"{step.version:03} {step.description}" for step in plan.steps]
        self._tell_step()

    def start(self, migration: LoadedMigration, session: Session) -> BaseMigration:
        """The migration on the session's connection; a failure from here on is its."""
        self._migration, self._instance, self._running = migration, None, True
        self.steps = None
        self._instance = instance = migration.create(DatabaseConnection(session.connection))
        if self._teller.listens:
            instance._tell = lambda text: self.tell(f"{migration.version:03} {migration.description}: {text}")
        self.trace.started(migration, session, instance)
        return instance

    def note(self, outcome: str, version: int, description: str, took: float, account: Account | None = None) -> None:
        """A step is done, and will count when it is committed."""
        self._running = False
        self.trace.noted(outcome)
        self._uncommitted.append((outcome, version, description, took, account))
        if self.together:
            self._told += 1
            self._tell_step()

    def forget(self) -> None:
        """What was noted is undone, and begins anew."""
        self._told -= len(self._uncommitted) if self.together else 0
        self._uncommitted.clear()
        self.trace.undone()

    def committed(self) -> None:
        """The steps that were noted count from now on."""
        self.trace.committed()
        for outcome, version, description, took, account in self._uncommitted:
            self._done[outcome].append(version)
            self._losses += account.losses if account is not None else ()
            self._warnings += account.warnings if account is not None else ()
            logger.info("%s %03d %s in %.1f ms", outcome, version, description, took)
            if not self.together:
                self._told += 1
                self._tell_step()
        self._uncommitted.clear()
        self._migration = self._instance = self.steps = None

    def _tell_step(self) -> None:
        """Say which migration comes next, or was the last."""
        if self._names:
            self.tell(self._names[min(self._told, len(self._names) - 1)])

    def tell(self, message: str) -> None:
        """Say what is being done."""
        self._teller(self._told, self._total, message)

    def result(self, version: int, *, success: bool = True) -> MigrationResult:
        """What has been done."""
        up, down = self._done["applied"] + self._done["skipped"], self._done["rolled back"]
        result = MigrationResult(
            success=success,
            direction="down" if down else "up" if up else "none",
            from_version=self._from if up or down else version,
            to_version=version,
            applied=self._done["applied"],
            skipped=self._done["skipped"],
            rolled_back=down,
            execution_time_ms=round(self._clock.milliseconds, 3),
            losses=list(self._losses),
            warnings=list(self._warnings),
            snapshot=self.snapshot,
        )
        self.trace.reached(result)
        return result

    @contextmanager
    def recording(self, session: Session) -> Iterator[None]:
        """Write a failure to the history once its transaction is undone, word it, and raise it."""
        clock = Clock()
        try:
            yield
        except BaseException as error:
            at_commit = bool(self._uncommitted) and not self._running
            self.forget()
            session.restore_settings()
            raised = self._worded(error, session, at_commit=at_commit)
            self.trace.failed(raised, error)
            version = self._migration.version if self._migration else getattr(raised, "version", None) or self._from
            description = self._migration.description if self._migration else self.about
            # Before its first migration a locked database takes no row, and a newer one must get none from here.
            locked = isinstance(raised, DatabaseLocked) and self._migration is None
            kept = self.keeps_failures and not locked
            if kept and not isinstance(raised, DatabaseTooNew | UnknownRevision):
                self._log(session, version, description, raised, error, clock)
            if isinstance(raised, MigrationError):
                raised.result = self.result(self._reached(session), success=False)
            if raised is error:
                raise
            raise raised from error

    @contextmanager
    def recording_refusals(self, version: object = None) -> Iterator[None]:
        """Write to the history, if there is one, that the call was refused before its first step, and why."""
        clock = Clock()
        try:
            with self.trace.refusing():
                yield
        except (DatabaseTooNew, UnknownRevision, DatabaseUnavailable):
            # The first two must not be touched by this program, the others cannot be.
            raise
        except MigrationError as error:
            if isinstance(error, ConfigurationError | UnknownVersion) and not self._is_tracked():
                # The call was wrong, perhaps in its database: one that is not sqlmig's gets no tables of it.
                raise
            about = error.version if error.version is not None else version if isinstance(version, int) else 0
            try:
                with self.backend.session() as session:
                    self._log(session, about, "refused before it started", error, error, clock)
            except Exception as second:
                logger.warning("the refusal could not be written to the history: %s", reason(second))
            raise

    def _is_tracked(self) -> bool:
        try:
            return self.tracker.read().tracked
        except Exception:
            return False

    def _worded(self, error: BaseException, session: Session, *, at_commit: bool) -> BaseException:
        if isinstance(error, SystemExit) and self._running:
            # A migration must not end the program, least of all as if all were well.
            error = RuntimeError(f"it called sys.exit({error.code!r})")
        if not isinstance(error, Exception):
            return error
        if self._migration is None:
            return self.backend.translate(error) or error
        db = getattr(self._instance, "db", None)
        where = None
        if db is not None and db.statements:
            statement = shorten(statement_of(error, self._instance) or db.last_statement or "", 100)
            place = self._instance._place if self._instance is not None else None
            at = f" {place[0].name}:{place[1]}" if place is not None else ""
            where = f"migration {self._migration.version} was at{at}: {statement}"
            kept = how_far(self._instance)
            where += f"; its finished batches have stayed, and it goes on after them: {kept}" if kept else ""
            where += f"; {self._permanent}" if self._permanent else ""
            where += "" if self._migration.transactional else "; it runs outside a transaction, and may be half done"
        unavailable = session.translate(error, where)
        lost = bool(getattr(error, "connection_invalidated", False)) or getattr(unavailable, "lost", False)
        if unavailable is not None and (where is None or lost or isinstance(unavailable, DiskFull | DatabaseLocked)):
            unavailable.version = self._migration.version
            return unavailable
        return explain(
            error,
            self._migration,
            self._instance,
            self.operation,
            retry=self._retry,
            together=self.together,
            at_commit=at_commit,
            permanent=self._permanent,
            left="" if self._migration.transactional else self.backend.left_behind(session.connection),
            new=self._from == 0 and not self.has_done,
        )

    @property
    def _permanent(self) -> str:
        return self.steps.in_words if self.steps is not None else ""

    def _log(
        self,
        session: Session,
        version: int,
        description: str,
        raised: BaseException,
        cause: BaseException,
        clock: Clock,
    ) -> None:
        statement = getattr(raised, "statement", None) or getattr(cause, "statement", None)
        metadata: dict[str, Any] = {"error": type(raised).__name__}
        if isinstance(raised, DataLossError):
            metadata["losses"] = [dict(loss) for loss in raised.losses]
        if statement:
            metadata["statement"] = str(statement)
        if self._instance is not None and self._instance._loops is not None:
            metadata |= self._instance._loops.progress
        if self._permanent and self.steps is not None:
            metadata |= self.steps.facts
        text = str(raised) if isinstance(raised, MigrationError) else reason(raised)
        logger.error("%s: %s", self.backend.name, text.partition("\n")[0])
        try:
            with session.transaction():
                self.tracker.prepare(session.connection)
                if self.steps is not None:
                    self.steps.record_failure()
                self.tracker.log(
                    session.connection,
                    version,
                    description,
                    self.operation,
                    started_at=clock.started_at,
                    execution_time_ms=clock.milliseconds,
                    error=text,
                    metadata=metadata,
                )
        except Exception as second:
            logger.warning("the failure could not be written to the history: %s", reason(second))

    def _reached(self, session: Session) -> int:
        try:
            return self.backend.patiently(lambda: self.tracker.highest_done(session.connection))
        except Exception:
            return self._from
