"""MigrationRunner: carries out a plan. The only module that begins and commits."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from . import records, waiting
from .data.resumption import Loops, claim
from .errors import ConfigurationError, NotAtomic, ValidationFailed
from .execution import TryAgain, perform
from .guard import Account, Guard
from .manager import refuse_rollback, require_version
from .run import BeforeFirst, Clock, Progress, Run
from .steps import Mark, StepsTaken

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from .backends.session import Session
    from .base import BaseMigration
    from .guard import OnDataLoss
    from .loader import LoadedMigration
    from .manager import MigrationManager, OtherWay, Prepared
    from .results import MigrationResult, Plan
    from .version_tracker import AppliedVersion, DatabaseState, VersionTracker

__all__ = ["MigrationRunner"]


class MigrationRunner:
    """
    Applies and rolls back.

    Each step is one transaction: the lock, another look at the versions (another process may have been quicker),
    the checks and `up` or `down`, the versions row, the history row and `user_version`, COMMIT. A step that fails
    is undone, written to the history as failed, and raised.

    Args:
        manager: What finds, checks and plans, and knows the database.
        progress: Called with (done, total, message) before the first step and after each.
        on_data_loss: What becomes of a migration that loses what it does not declare.
    """

    def __init__(
        self, manager: MigrationManager, progress: Progress | None = None, *, on_data_loss: OnDataLoss = "error"
    ) -> None:
        self.manager, self.progress = manager, progress
        self.tracker: VersionTracker = manager.version_tracker
        self.backend = self.tracker.backend
        self.guard = Guard(on_data_loss)
        self.new_run: Callable[..., Run] = Run
        self.safeguards: list[BeforeFirst] = []
        """What is to be done before the first migration of a run, under the lock; the front door fills it."""
        self.other_way: OtherWay | None = None
        """Where a version can be had that cannot be rolled back to."""

    def migrate_to_version(
        self, version: int, *, all_or_nothing: bool = False, before_first: Sequence[BeforeFirst] = ()
    ) -> MigrationResult:
        """Bring the database to *version*, up or down."""
        with Run(self.tracker, "apply").recording_refusals(version):
            require_version(version)
        if self.manager.goes_down(self.tracker.read(), version):
            return self.rollback(version, before_first=before_first)
        return self.apply(version, all_or_nothing=all_or_nothing, before_first=before_first)

    def apply(
        self, target: int | None = None, *, all_or_nothing: bool = False, before_first: Sequence[BeforeFirst] = ()
    ) -> MigrationResult:
        """
        Apply what is pending, up to *target*.

        Args:
            before_first: Called once, under the lock, when the first migration is about to begin.

        Raises:
            ValidationFailed: The files are not fit to run; nothing was started.
            MigrationFailed: A migration failed and was undone; those before it stay, unless *all_or_nothing*.
            DataLossError: It would have removed data without saying so.
        """
        again = self._again(target)
        run = self.new_run(self.tracker, "apply", progress=self.progress, together=all_or_nothing, retry=again)
        run.arm([*before_first, *self.safeguards])
        with run.recording_refusals(target):
            if target is not None:
                require_version(target)
            prepared = self._prepare(target, up_only=True)
            self._refuse(prepared, all_or_nothing)
        state = prepared.state
        if not (prepared.plan.steps or state.claim or state.outdated or state.interrupted):
            return run.result(state.current_version)
        with run.trace.around(), self.backend.session() as session:

            def carry_out() -> MigrationResult:
                ready = self._open(session, run, prepared, target, all_or_nothing)
                run.begin(ready.plan)
                apply = self._apply_together if all_or_nothing else self._apply_each
                apply(session, run, ready, target)
                return run.result(self._reached(session))

            return self._around(session, carry_out)

    def rollback(self, target: int, *, before_first: Sequence[BeforeFirst] = ()) -> MigrationResult:
        """
        Roll back to *target*, newest first: in one transaction, unless a step cannot run in one.

        Raises:
            RollbackNotSupported: A migration on the way has no way back; nothing was rolled back.
            ConfigurationError: The database is below *target*.
            MigrationFailed: A `down` failed; it was undone, and so was all that shared its transaction.
        """
        run = self.new_run(self.tracker, "rollback", progress=self.progress, retry=self._again(target))
        run.target = target
        run.arm(before_first)
        with run.recording_refusals(target):
            require_version(target)
            prepared = self._prepare(target, up_only=False)
            self._refuse(prepared, down_to=target)
        if not (prepared.order or prepared.state.interrupted):
            return run.result(prepared.state.current_version)
        with run.trace.around(), self.backend.session() as session:

            def carry_out() -> MigrationResult:
                ready = self._open(session, run, prepared, target)
                run.begin(ready.plan)
                self._roll_back_to(session, run, ready, target)
                return run.result(self._reached(session))

            return self._around(session, carry_out)

    def check(self, target: int | None = None) -> Plan:
        """
        The plan that a run to *target* begins with; nothing is written, not even a refusal.

        Raises:
            MigrationError: That with which the run would refuse to begin.
        """
        state = self.tracker.read()
        down = target is not None and self.manager.goes_down(state, target)
        prepared = self._prepare(target, state, up_only=not down)
        self._refuse(prepared, down_to=target if down else None)
        return prepared.plan

    def stamp(self, version: int, *, if_untracked: bool = False) -> bool:
        """Record that the database is at *version*, without running anything; tell whether it was recorded."""
        run = Run(self.tracker, "stamp", retry=f"sqlmig stamp {version}")
        with run.recording_refusals(version):
            require_version(version)
            with self.backend.session() as session, session.transaction():
                state = self.tracker.read(session.connection)
                self.manager.refuse_newer(state)
                if if_untracked and state.tracked:
                    return False
                records.stamp(session.connection, self.manager, version)
                return True

    def repair(self, interrupted: records.Outcome | None = None) -> list[str]:
        """
        Accept edited files, clear marks of interrupted migrations, put `user_version` right.

        Args:
            interrupted: Only say what became of interrupted migrations.
        """
        if interrupted is not None:
            records.require_outcome(interrupted)
        with self.backend.session() as session, session.transaction():
            if interrupted is not None:
                return records.settle(session.connection, self.manager, interrupted)
            return records.repair(session.connection, self.manager)

    # What a subclass may do around a run, and before each of its transactions

    def _around(self, session: Session, carry_out: Callable[[], MigrationResult]) -> MigrationResult:
        return carry_out()

    def _before(self, session: Session, migrations: Sequence[LoadedMigration]) -> None:
        pass

    # How errors word what to do next

    def _again(self, target: int | None) -> str:
        """What to type to go to *target*."""
        return "sqlmig up" if target is None else f"sqlmig to {target}"

    def _after_repair(self) -> str:
        """What to type after a migration was interrupted that cannot run in a transaction."""
        return f"sqlmig repair, then {self._again(None)}"

    # Before the first step

    def _prepare(self, target: int | None, state: DatabaseState | None = None, *, up_only: bool) -> Prepared:
        self.manager.require_files()
        state = state if state is not None else self.tracker.read()
        self.manager.refuse_newer(state, self.other_way)
        self.manager.refuse_unknown(state)
        self.manager.refuse_between(state)
        return self.manager.prepare(target, state, up_only=up_only)

    def _refuse(self, prepared: Prepared, all_or_nothing: bool = False, down_to: int | None = None) -> None:
        """Stop before anything is touched, for every reason that can be known then."""
        plan, state = prepared.plan, prepared.state
        if not state.interrupted:
            self.tracker.check_agreement(state)
        if down_to is not None and down_to > state.current_version:
            raise ConfigurationError(
                f"Version {down_to} is above the current version {state.current_version},"
                " so it cannot be rolled back to.\n"
                "  Nothing was changed.\n"
                f"To go up: sqlmig to {down_to}"
            )
        if plan.direction == "down":
            refuse_rollback(plan.validation_issues, lambda: self.other_way and self.other_way(plan.target_version))
        if plan.validation_issues:
            raise ValidationFailed(plan.validation_issues)
        if plan.steps:
            self.tracker.check_version(max(step.version for step in plan.steps))
        loose = [v for v, m in sorted(prepared.migrations.items()) if m.resumable or not m.transactional]
        if all_or_nothing and loose:
            raise NotAtomic(
                f"Migration {loose[0]} cannot run in one transaction, so all_or_nothing cannot be kept.\n"
                f"  {len(loose)} of {len(prepared.migrations)} pending migrations say `transactional = False`"
                " or `resumable = True`\n"
                "Apply it without: sqlmig up --one-by-one, or migrate(all_or_nothing=False)"
            )

    def _open(
        self, session: Session, run: Run, prepared: Prepared, target: int | None, all_or_nothing: bool = False
    ) -> Prepared:
        """Make the tables ready, adopt what something else brought here, and plan again if others were quicker."""
        with run.recording(session):
            if all_or_nothing:
                self._refuse_loose_files(session)
            while True:
                self._wait_for_interrupted(session, run, prepared)
                with suppress(_Interrupted), session.transaction():
                    session.require_writable()
                    # Before the tables are there: without its versions table, user_version is what a database says.
                    state = self.tracker.read(session.connection)
                    self.tracker.prepare(session.connection)
                    if state.claim is not None:
                        records.adopt(session.connection, self.manager, state.claim)
                    return self._look_again(session, run, prepared, target, all_or_nothing)

    def _look_again(
        self, session: Session, run: Run, prepared: Prepared, target: int | None, all_or_nothing: bool = False
    ) -> Prepared:
        """
        Under the lock: the plan for the versions that are there now, which nobody else can change any more.

        Raises:
            _Interrupted: Another process is in a migration that runs outside a transaction.
        """
        session.look(self.tracker.versions.schema)
        state = self.tracker.read(session.connection)
        if waiting.blocking(state, run):
            raise _Interrupted
        if state.done == prepared.state.done:
            return prepared._replace(state=state)
        run.arm_again()
        fresh = self._prepare(target, state, up_only=run.operation == "apply")
        self._refuse(fresh, all_or_nothing)
        return fresh

    def _wait_for_interrupted(self, session: Session, run: Run, prepared: Prepared) -> None:
        """Wait while the process lives that started a migration which is not undone when it is killed."""
        up = run.operation == "apply" and not session.joined
        resumable = {migration.version for migration in prepared.to_apply() if up and migration.resumable}
        waiting.wait(session.connection, run, resumable, self._after_repair())

    def _refuse_loose_files(self, session: Session) -> None:
        files = self.backend.patiently(lambda: self.backend.non_atomic_files(session.connection))
        if files:
            raise NotAtomic(
                f"With {', '.join(files)} attached, all_or_nothing cannot be kept.\n"
                "  Under WAL, SQLite commits each file by itself (https://sqlite.org/lang_attach.html)\n"
                "Use another journal mode, or migrate without all_or_nothing."
            )

    def _reached(self, session: Session) -> int:
        return self.backend.patiently(lambda: self.tracker.highest_done(session.connection))

    # Steps up

    def _apply_each(self, session: Session, run: Run, prepared: Prepared, target: int | None) -> None:
        todo, highest = prepared.to_apply(), prepared.state.current_version
        while todo:
            with run.recording(session):
                self._before(session, todo[:1])
                try:
                    with session.transaction():
                        if not session.unchanged():
                            prepared = self._look_again(session, run, prepared, target)
                            todo, highest = prepared.to_apply(), prepared.state.current_version
                            if not todo:
                                break
                        run.come_first(session, prepared)
                        migration = todo[0]
                        highest = max(highest, migration.version)
                        facts = self._apply_one(session, run, migration, highest)
                except TryAgain:
                    continue
                except _Interrupted:
                    self._wait_for_interrupted(session, run, prepared)
                    continue
                del todo[0]
                if not migration.transactional:
                    self._apply_loose(session, run, migration, highest)
                elif facts is not None:
                    self._apply_resumable(session, run, migration, highest, facts)
            run.committed()
            prepared = prepared.after(migration.applied())

    def _apply_together(self, session: Session, run: Run, prepared: Prepared, target: int | None) -> None:
        done = False
        with run.recording(session):
            while not done:
                run.forget()
                self._before(session, prepared.to_apply())
                with suppress(_Interrupted, TryAgain), session.transaction():
                    if not session.unchanged():
                        prepared = self._look_again(session, run, prepared, target, all_or_nothing=True)
                    highest, todo = prepared.state.current_version, prepared.to_apply()
                    if todo:
                        run.come_first(session, prepared)
                    for migration in todo:
                        highest = max(highest, migration.version)
                        self._apply_one(session, run, migration, highest)
                    done = True
                if not done:
                    self._wait_for_interrupted(session, run, prepared)
        run.committed()

    def _apply_one(self, session: Session, run: Run, migration: LoadedMigration, highest: int) -> dict[str, Any] | None:
        """
        In the transaction that is open: run it, or mark it as started where it cannot run in one.

        Returns:
            The mark of a resumable one.
        """
        instance, clock = run.start(migration, session), Clock()
        if not migration.transactional:
            session.require_own_transactions(f"Migration {migration.version}")
            self.tracker.mark_started(session.connection, migration.row())
            return None
        if migration.resumable and not session.joined:
            marks = {row.version: row for row in self.tracker.read(session.connection).interrupted}
            return claim(self.tracker, session.connection, migration, marks.get(migration.version))
        steps = self._steps(session, run, migration)
        with session.following(steps), self.guard.over(session, migration, steps=steps) as watched:
            applied = perform(instance, "apply")
        account = self.guard.judge_apply(watched, migration, together=run.together, retry=self._again(None))
        if steps is not None:
            self.tracker.unmark(session.connection, migration.version)
        self._record_applied(session.connection, run, instance, migration, applied, clock, highest, account)
        return None

    def _steps(
        self, session: Session, run: Run, migration: LoadedMigration, row: AppliedVersion | None = None
    ) -> StepsTaken | None:
        """
        What is to be written down of statements that commit by themselves; None where there are none, or must be none.

        Args:
            row: That of the migration, where it is rolled back.
        """
        if not session.commits_ddl or session.joined or run.together:
            return None
        run.steps = StepsTaken(Mark(self.tracker, session.connection, migration, row))
        return run.steps

    def _apply_resumable(
        self, session: Session, run: Run, migration: LoadedMigration, highest: int, facts: dict[str, Any]
    ) -> None:
        """In a transaction for each batch, which `batches` begins and commits; the last one records it as applied."""
        instance, clock = run.start(migration, session), Clock()
        loops = instance._loops = Loops(self.tracker, session, migration, facts)
        with loops.at_work(), session.transaction():
            loops.require_own()
            steps = run.steps = StepsTaken(in_batch=lambda: loops.in_batch) if session.commits_ddl else None
            with (
                session.following(steps),
                self.guard.over(session, migration, loops.account, steps=steps) as watched,
            ):
                loops.inspect = lambda: self.guard.judge_batch(
                    watched, migration, retry=self._again(None), kept=lambda: loops.in_words
                )
                loops.spent = lambda: watched.spent
                applied = perform(instance, "apply")
            loops.finish()
            account = self.guard.judge_apply(watched, migration, retry=self._again(None), kept=loops.in_words)
            self.tracker.unmark(session.connection, migration.version)
            self._record_applied(session.connection, run, instance, migration, applied, clock, highest, account)

    def _apply_loose(self, session: Session, run: Run, migration: LoadedMigration, highest: int) -> None:
        instance, clock = run.start(migration, session), Clock()
        with self._marking_failure(session, migration):
            with session.loosely():
                applied = perform(instance, "apply")
            with session.transaction():
                self.tracker.unmark(session.connection, migration.version)
                self._record_applied(session.connection, run, instance, migration, applied, clock, highest)

    @contextmanager
    def _marking_failure(self, session: Session, migration: LoadedMigration) -> Iterator[None]:
        """Tell those who wait for a migration outside a transaction that it has failed, though its process lives."""
        try:
            yield
        except BaseException:
            with suppress(Exception):
                session.abandon()
                with session.transaction():
                    self.tracker.mark_failed(session.connection, migration.version)
            raise

    def _record_applied(
        self,
        connection: Connection,
        run: Run,
        instance: BaseMigration,
        migration: LoadedMigration,
        applied: bool,
        clock: Clock,
        highest: int,
        account: Account | None = None,
    ) -> None:
        took = clock.milliseconds
        row = {**migration.row(instance.sql_files), "execution_time_ms": round(took, 3)}
        if account is not None:
            row["metadata"] |= account.row()
        self.tracker.record(connection, row, "applied" if applied else "skipped")
        self.tracker.log(
            connection,
            migration.version,
            migration.description,
            "apply" if applied else "skip",
            started_at=clock.started_at,
            execution_time_ms=took,
            metadata={
                **run.facts,
                **(account.metadata() if account is not None else {}),
                **(instance._loops.done if instance._loops is not None else {}),
            },
        )
        self.tracker.set_user_version(connection, highest)
        run.note("applied" if applied else "skipped", migration.version, migration.description, took, account)

    # Steps down

    def _roll_back_to(self, session: Session, run: Run, prepared: Prepared, target: int) -> None:
        rows = prepared.to_roll_back()
        while rows:
            with run.recording(session):
                run.forget()
                self._before(session, list(prepared.migrations.values()))
                try:
                    with session.transaction():
                        if not session.unchanged():
                            prepared = self._look_again(session, run, prepared, target)
                            rows = prepared.to_roll_back()
                            if not rows:
                                break
                        run.come_first(session, prepared)
                        batch = rows if prepared.transactional and not session.commits_ddl else rows[:1]
                        loose = self._roll_back_batch(session, run, prepared, batch)
                except TryAgain:
                    continue
                except _Interrupted:
                    self._wait_for_interrupted(session, run, prepared)
                    continue
                if loose is not None:
                    self._roll_back_loose(session, run, loose, batch[0])
            run.committed()
            prepared = prepared.without(batch)
            rows = rows[len(batch) :]

    def _roll_back_batch(
        self, session: Session, run: Run, prepared: Prepared, batch: Sequence[AppliedVersion]
    ) -> LoadedMigration | None:
        """In the transaction that is open: roll back, or only mark the one that cannot run in one, and return it."""
        run.together = len(batch) > 1
        loose = prepared.loose(batch)
        if loose is None:
            for row in batch:
                self._roll_back_one(session, run, prepared.migrations.get(row.version), row)
        else:
            session.require_own_transactions(f"Migration {loose.version}")
            self.tracker.mark_undoing(session.connection, batch[0])
        self._keep_user_version(session.connection)
        return loose

    def _roll_back_loose(self, session: Session, run: Run, migration: LoadedMigration, row: AppliedVersion) -> None:
        instance, clock = run.start(migration, session), Clock()
        with self._marking_failure(session, migration):
            with session.loosely():
                perform(instance, "rollback")
            with session.transaction():
                self._record_rolled_back(session.connection, run, row, clock)
                self._keep_user_version(session.connection)

    def _keep_user_version(self, connection: Connection) -> None:
        self.tracker.set_user_version(connection, self.tracker.highest_done(connection))

    def _roll_back_one(
        self, session: Session, run: Run, migration: LoadedMigration | None, row: AppliedVersion
    ) -> None:
        """*migration* is None where its own checks had skipped it: there is nothing to undo."""
        clock, account = Clock(), None
        if migration is not None:
            instance = run.start(migration, session)
            created, steps = row.metadata.get("created"), self._steps(session, run, migration, row)
            with (
                session.following(steps),
                self.guard.over(
                    session,
                    migration,
                    steps=steps,
                    rolls_back=True,
                    created=created,
                    retry=self._again(run.target),
                ) as watched,
            ):
                perform(instance, "rollback")
            account = self.guard.judge_rollback(
                watched, migration, created, together=run.together, retry=self._again(run.target)
            )
        self._record_rolled_back(session.connection, run, row, clock, account)

    def _record_rolled_back(
        self, connection: Connection, run: Run, row: AppliedVersion, clock: Clock, account: Account | None = None
    ) -> None:
        took = clock.milliseconds
        facts: dict[str, Any] = {"skipped": True} if row.state == "skipped" else {}
        facts |= {"replaces": [*row.replaces]} if row.replaces else {}
        self.tracker.remove(connection, row.version, *row.replaces)
        self.tracker.log(
            connection,
            row.version,
            row.description,
            "rollback",
            started_at=clock.started_at,
            execution_time_ms=took,
            metadata=facts | (account.metadata() if account is not None else {}),
        )
        run.note("rolled back", row.version, row.description, took, account)


class _Interrupted(Exception):
    """Another process is in a migration that runs outside a transaction: the lock is to be given back meanwhile."""
