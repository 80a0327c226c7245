"""MigrationRunner that runs revisions inside their env.py."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from sqlmig import MigrationRunner, NotAtomic
from sqlmig.backends import as_sqlite
from sqlmig.execution import TryAgain
from sqlmig.manager import require_version
from sqlmig.run import BeforeFirst, Run

from .configured import PARSING
from .environment import Environment
from .errors import EnvironmentFailed, OverlappingHeads, UnknownRevision
from .handed import Handover
from .history import RevisionTarget
from .managing import SEE, LoadedRevision, RevisionManager
from .tracking import RevisionTracker

if TYPE_CHECKING:
    from sqlmig.backends.session import Session
    from sqlmig.loader import LoadedMigration
    from sqlmig.manager import Prepared
    from sqlmig.results import MigrationResult
    from sqlmig.version_tracker import AppliedVersion

__all__ = ["RevisionRunner"]

_TURNS_OFF = re.compile(r"foreign_keys\s*(?:=|\()\s*['\"]?(?:off|0|false|no)\b", re.IGNORECASE)


class RevisionRunner(MigrationRunner):
    """Applies and rolls back revisions."""

    manager: RevisionManager
    tracker: RevisionTracker

    def __init__(self, manager: RevisionManager, environment: Environment, progress: Any = None) -> None:
        # Alembic asks no declaration of a revision, so there is nothing to measure a loss by.
        super().__init__(manager, progress, on_data_loss="ignore")
        self.environment = environment
        self._handover: Handover | None = None
        self._destination, self._function = "heads", "upgrade"
        self._without_foreign_keys: dict[int, bool] = {}
        self._again_from_the_start = False

    def apply(
        self, target: int | None = None, *, all_or_nothing: bool = False, before_first: Sequence[BeforeFirst] = ()
    ) -> MigrationResult:
        """Apply what is pending, up to *target*."""
        apply = super().apply
        return self._in_turn(
            "apply", target, lambda: apply(target, all_or_nothing=all_or_nothing, before_first=before_first)
        )

    def rollback(self, target: int, *, before_first: Sequence[BeforeFirst] = ()) -> MigrationResult:
        """Roll back to *target*, newest first."""
        rollback = super().rollback
        return self._in_turn("rollback", target, lambda: rollback(target, before_first=before_first))

    def _in_turn(self, operation: str, target: int | None, call: Callable[[], MigrationResult]) -> MigrationResult:
        self._function = "downgrade" if operation == "rollback" else "upgrade"
        self._destination = target.name if isinstance(target, RevisionTarget) else "heads"
        _ = self.tracker.revisions
        with self.environment.turn(self.backend.lock_timeout, self.backend.name), self.environment.settling():
            try:
                return call()
            except EnvironmentFailed as error:
                run = Run(self.tracker, operation)
                with run.recording_refusals(target):
                    raise error

    def stamp(self, version: int | str, *, if_untracked: bool = False, purge: bool = False) -> bool:
        """
        Record that the database is at *version*, in Alembic's table too, without running anything.

        Args:
            version: A version, a revision's name, or several names with blanks between.
            if_untracked: Leave a database alone that has a history already.
            purge: Forget first what was recorded.
        """
        history = self.tracker.revisions
        if not isinstance(version, str):
            require_version(version, SEE)
        if not isinstance(version, str) or not version.strip():
            self.manager.target(version)
        else:
            # For the sake of its errors, before anything is touched.
            history.stamped(version, ())
        run = Run(self.tracker, "stamp", retry=f"stamp({version!r})")
        with run.recording_refusals(version), self.backend.session() as session, session.transaction():
            connection = session.connection
            heads = self.tracker.heads(connection)
            if if_untracked and (heads or self.tracker.read(connection).tracked):
                return False
            try:
                done = set() if purge else history.closure(heads)
            except (UnknownRevision, OverlappingHeads):
                # Stamping is the way out of this.
                done = set()
            if isinstance(version, str):
                found = history.stamped(version, history.heads_of(done))
            else:
                found = history.heads_of(range(1, version + 1))
            self.tracker.write_heads(connection, found)
            self.tracker.prepare(connection)
            self.tracker.reconcile(connection, log=False)
            reached = max(history.closure(found), default=0)
            self.tracker.log(connection, reached, f"stamped at {version}", "stamp")
            return True

    def _again(self, target: int | None) -> str:
        if target is None:
            return "migrate()"
        return f"migrate_to_version({target.name if isinstance(target, RevisionTarget) else int(target)!r})"

    def _after_repair(self) -> str:
        return "repair(), then migrate()"

    def _look_again(self, session: Session, *arguments: Any, **options: Any) -> Prepared:
        """Under the lock: what Alembic did meanwhile goes into our rows first."""
        self.tracker.reconcile(session.connection)
        return super()._look_again(session, *arguments, **options)

    def _around(self, session: Session, carry_out: Callable[[], MigrationResult]) -> MigrationResult:
        handover = Handover(as_sqlite(session, "AlembicMigrator"), self.tracker.db.engine)

        def begin() -> MigrationResult:
            handover.settle()
            self._enforced = handover.foreign_keys()
            return carry_out()

        self._handover = handover
        try:
            with handover.tidied():
                return self.environment.run(handover, begin, self._destination)
        finally:
            self._handover = None
            self._without_foreign_keys.clear()

    def _before(self, session: Session, migrations: Sequence[LoadedMigration]) -> None:
        """Foreign keys as the scripts of the next transaction want them: inside it SQLite ignores the PRAGMA."""
        handover = self._handover
        assert handover is not None
        handover.settle()
        handover.forget()
        if self._again_from_the_start:
            handover.tidy()
            self._again_from_the_start = False
        if session.joined:
            return
        said = not hasattr(handover.raw, "setconfig") and any(_turns_off(one, self._function) for one in migrations)
        off = said or any(migration.version in self._without_foreign_keys for migration in migrations)
        wanted = self._enforced and not off
        if handover.foreign_keys() != wanted:
            handover.raw.execute(f"PRAGMA foreign_keys = {'ON' if wanted else 'OFF'}")

    def _apply_one(self, session: Session, run: Run, migration: LoadedMigration, highest: int) -> None:
        self._step(
            session,
            run,
            migration,
            lambda: super(RevisionRunner, self)._apply_one(session, run, migration, highest),
            lambda: self.tracker.mark_started(session.connection, migration.row()),
            lambda: self.tracker.unmark(session.connection, migration.version),
        )

    def _roll_back_one(
        self, session: Session, run: Run, migration: LoadedMigration | None, row: AppliedVersion
    ) -> None:
        assert migration is not None
        self._step(
            session,
            run,
            migration,
            lambda: super(RevisionRunner, self)._roll_back_one(session, run, migration, row),
            lambda: self.tracker.mark_undoing(session.connection, row),
            lambda: None,
        )

    def _step(
        self,
        session: Session,
        run: Run,
        migration: LoadedMigration,
        perform: Callable[[], object],
        mark: Callable[[], None],
        unmark: Callable[[], None],
    ) -> None:
        """One revision, which may find that it cannot run in the transaction that is open."""
        handover, left = self._handover, False
        assert handover is not None

        def leave(reason: str) -> None:
            nonlocal left
            if run.together:
                raise NotAtomic(
                    f"Revision {migration.revision} ({migration.description}) uses {reason}, which commits,"
                    " so the migrations cannot be all or nothing.\n"
                    "  Everything of this call was undone\n"
                    "Apply it without: migrate(all_or_nothing=False), or one step at a time."
                )
            mark()
            left, migration.transactional = True, False

        def without_foreign_keys(asked: bool) -> None:
            if session.joined:
                raise NotAtomic(
                    f"Revision {migration.revision} turns foreign keys off, which SQLite ignores in a transaction.\n"
                    "  It is that of the Connection that was handed in\nPass the Engine instead of a Connection."
                )
            if migration.version in self._without_foreign_keys:
                # They were to be off already; to try again would not end.
                return
            self._without_foreign_keys[migration.version] = asked
            self._again_from_the_start = True
            raise TryAgain

        handover.on_leave, handover.on_return, handover.on_foreign_keys_off = leave, unmark, without_foreign_keys
        try:
            with handover.step():
                if self._without_foreign_keys.get(migration.version) is False:
                    handover.count_orphans()
                perform()
        except BaseException:
            if left:
                with suppress(Exception):
                    session.abandon()
                    with session.transaction():
                        self.tracker.mark_failed(session.connection, migration.version)
            raise
        migration.transactional = True


def _turns_off(migration: LoadedMigration, function: str) -> bool:
    """Whether a statement in the very function says so; what is said elsewhere is met when it comes to it."""
    if not isinstance(migration, LoadedRevision):
        return False
    with open(migration.file.location, "rb") as stream:
        text = stream.read()
    if b"foreign_keys" not in text:
        return False
    with PARSING:
        tree = ast.parse(text)
    return any(
        isinstance(part, ast.Constant) and isinstance(part.value, str) and _TURNS_OFF.search(part.value) is not None
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and node.name == function
        for statement in node.body
        # A text by itself is a docstring, or a comment.
        if not (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant))
        for part in ast.walk(statement)
    )
