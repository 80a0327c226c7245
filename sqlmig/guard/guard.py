"""Guard: what becomes of a loss, by what the migration says that it removes and by what its application wants."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from ..errors import DataLossError
from ..results import Loss
from .account import ANYTHING, Account, called_now, covers
from .findings import Findings
from .watch import Watch

if TYPE_CHECKING:
    from ..backends.session import Session
    from ..base import BaseMigration
    from ..loader import LoadedMigration
    from ..steps import StepsTaken
    from .mysql.findings import MySQLFindings
    from .mysql.watch import MySQLWatch
    from .postgresql.findings import ServerFindings
    from .postgresql.watch import ServerWatch

__all__ = ["Account", "Guard", "OnDataLoss", "Watched"]

OnDataLoss = Literal["error", "warn", "ignore"]

logger = logging.getLogger("sqlmig.guard")


class Watched:
    """One migration under the guard's eyes: what it finds is there once the migration has run."""

    def __init__(
        self,
        watch: Watch | ServerWatch | MySQLWatch,
        version: int,
        counting: bool,
        past: Account,
        steps: StepsTaken | None = None,
    ) -> None:
        self._watch, self._version, self.counting, self._steps = watch, version, counting, steps
        self.findings: Findings | ServerFindings | MySQLFindings | None = None
        self.refused: DataLossError | None = None
        """Of a statement that was to be permanent at once; the migration may have caught it."""
        self.past, self.in_parts = past, past != Account()
        """The account of what was committed before, and whether anything was."""

    def finish(self) -> None:
        """Count, in the transaction that is open, what the migration has left."""
        if self.refused is not None:
            raise self.refused
        self._watch.settle()
        self.findings = self._watch.findings()

    def pause(self) -> bool:
        """Whether all is well up to here without a look: what was done so far may be committed."""
        self._watch.settle()
        if self._watch.in_danger:
            return False
        self.in_parts = True
        self._watch.pause()
        return True

    def begin_anew(self, past: Account) -> None:
        """What was found is committed; what comes is measured by what there is now."""
        self.past, self.in_parts, self.findings = past, True, None
        self._watch.begin_anew()

    @property
    def losses(self) -> list[Loss]:
        """What is gone, but for what the migration itself had made in a part that is committed."""
        return self.told(self.findings.losses if self.findings is not None else [])

    def told(self, found: Sequence[Loss]) -> list[Loss]:
        """Of what was found, what is a loss of this migration's."""
        return [
            Loss(kind=loss.kind, name=loss.name, count=loss.count, version=self._version)
            for loss in found
            if not _covered(loss, self.past.created)
        ]

    @property
    def permanent(self) -> str:
        """What of it cannot be undone any more, in words."""
        return self._steps.in_words if self._steps is not None else ""

    @property
    def blind(self) -> str:
        """How something could be done that was not seen."""
        return getattr(self._watch, "blind", "by the driver's own cursor")

    @property
    def dropped(self) -> list[str]:
        """What was there and is not, by its name before."""
        return self.findings.dropped if self.findings is not None else []

    @property
    def spent(self) -> float:
        """Seconds that counting has taken."""
        return self._watch.spent

    @property
    def unseen(self) -> list[str]:
        """Tables written by the driver's own cursor, where nothing could be counted before."""
        return sorted(self._watch.unseen)


class Guard:
    """
    Compares what a migration leaves with what was there, before it commits.

    Args:
        policy: "error" undoes a migration that lost what it did not declare, "warn" says so, "ignore" counts nothing.
    """

    def __init__(self, policy: OnDataLoss = "error") -> None:
        self.policy: OnDataLoss = policy

    @contextmanager
    def over(
        self,
        session: Session,
        migration: BaseMigration | LoadedMigration,
        past: Mapping[str, Any] | None = None,
        *,
        steps: StepsTaken | None = None,
        rolls_back: bool = False,
        created: Sequence[str] | None = None,
        retry: str = "sqlmig up",
    ) -> Iterator[Watched]:
        """
        Run a migration's own code, as `session.guarded()` does, and look on.

        Args:
            past: What `judge_batch` gave of the part of it that is committed.
            steps: Who knows what the database has committed by itself.
            rolls_back, created, retry: As `judge_rollback` will be told, for what must be judged before it is done.

        Raises:
            DataLossError: A statement that would commit by itself would remove what it must not; it was not run.
        """
        counting = self.policy != "ignore" and ANYTHING not in migration.removes

        def judge(found: Sequence[Loss]) -> None:
            may_go = [*(created or ()), *migration.removes] if rolls_back else migration.removes
            beyond = [] if rolls_back and created is None else _undeclared(watched.told(found), may_go, watched)
            try:
                self._refuse(beyond, migration, "rollback" if rolls_back else "apply", watched, retry=retry)
            except DataLossError as error:
                watched.refused = error
                raise

        watch = _watch(session, counting, judge)
        watched = Watched(watch, migration.version, counting, Account.from_facts(past or {}), steps)
        try:
            with session.guarded(watch):
                yield watched
                watched.finish()
        finally:
            watch.close()

    def judge_batch(
        self, watched: Watched, migration: BaseMigration | LoadedMigration, *, retry: str, kept: Callable[[], str]
    ) -> dict[str, Any]:
        """
        The account of what is about to be committed in the middle of an `up`, and of all before it, as facts.

        Args:
            kept: Says what was committed before, where something is lost.

        Raises:
            DataLossError: It lost what it does not declare.
        """
        if watched.pause():
            return watched.past.facts()
        watched.finish()
        undeclared = _undeclared(watched.losses, migration.removes, watched)
        # Warned of is the sum, when the migration is done.
        self._refuse(undeclared, migration, "apply", watched, retry=retry, kept=kept())
        past = watched.past.and_then(self._account(watched, migration.version, []), watched.dropped)
        watched.begin_anew(past)
        return past.facts()

    def judge_apply(
        self,
        watched: Watched,
        migration: BaseMigration | LoadedMigration,
        *,
        together: bool = False,
        retry: str,
        kept: str = "",
    ) -> Account:
        """
        The account of an `up`.

        Raises:
            DataLossError: It lost what it does not declare.
        """
        findings = watched.findings
        undeclared = _undeclared(watched.losses, migration.removes, watched)
        self._refuse(undeclared, migration, "apply", watched, together=together, retry=retry, kept=kept)
        # Those of earlier parts had leave, or are warned of with these.
        earlier = _undeclared(watched.past.losses, migration.removes, watched)
        warnings = _worded(Account(tuple(earlier)).and_then(Account(tuple(undeclared))).losses, "apply")
        # Of one that was committed in parts it is not kept what each of them put in danger.
        assert findings is not None
        silent = not watched.counting or watched.in_parts
        for name in () if silent else migration.removes:
            if not any(covers(name, one) for one in findings.removed):
                warnings.append(f"migration {migration.version:03} says that it removes {name}, and does not")
        return watched.past.and_then(self._account(watched, migration.version, warnings), watched.dropped)

    def judge_rollback(
        self,
        watched: Watched,
        migration: BaseMigration | LoadedMigration,
        created: Sequence[str] | None,
        *,
        together: bool = False,
        retry: str,
    ) -> Account:
        """
        The account of a `down`, which may remove what its `up` created.

        Args:
            created: What that was; None where nobody has recorded it, and a loss is no more than a warning.

        Raises:
            DataLossError: It lost something else.
        """
        beyond = [loss for loss in watched.losses if not _covered(loss, [*(created or ()), *migration.removes])]
        if created is None:
            warnings = [
                f"the rollback of migration {loss.version:03} is to {loss},"
                " and it is not recorded whether its up() had made that"
                for loss in beyond
            ]
        else:
            self._refuse(beyond, migration, "rollback", watched, together=together, retry=retry)
            warnings = _worded(beyond, "rollback")
        return self._account(watched, migration.version, warnings)

    def _refuse(
        self,
        losses: Sequence[Loss],
        migration: BaseMigration | LoadedMigration,
        operation: str,
        watched: Watched,
        *,
        retry: str,
        together: bool = False,
        kept: str = "",
    ) -> None:
        if losses and self.policy == "error":
            raise DataLossError(
                migration.version,
                migration.description,
                operation,
                losses,
                together=together,
                retry=retry,
                revision=migration.revision,
                kept=kept,
                permanent=watched.permanent,
                in_sql=migration._in_sql,
            )

    def _account(self, watched: Watched, version: int, warnings: list[str]) -> Account:
        if watched.unseen:
            warnings.append(
                f"migration {version:03} wrote {', '.join(watched.unseen)} {watched.blind}, where nothing is counted"
            )
        for warning in warnings:
            logger.warning("%s", warning)
        for loss in watched.losses:
            logger.info("migration %03d: %s", version, loss)
        findings = watched.findings
        assert findings is not None
        return Account(tuple(watched.losses), tuple(findings.created), findings.renamed, tuple(warnings))


def _watch(
    session: Session, counting: bool, judge: Callable[[Sequence[Loss]], None]
) -> Watch | ServerWatch | MySQLWatch:
    dialect = session.connection.dialect
    if dialect.name == "sqlite":
        return Watch(session.raw, dialect, session.shape, counting=counting)
    if session.commits_ddl:
        from .mysql.watch import MySQLWatch

        return MySQLWatch(session.raw, judge, counting=counting, lift=session.lift)
    from .postgresql.watch import ServerWatch

    return ServerWatch(session.raw, counting=counting, lift=session.lift)


def _worded(losses: Sequence[Loss], operation: str) -> list[str]:
    verb = "was, rolled back," if operation == "rollback" else "was"
    return [f"migration {loss.version:03} {verb} not said to {loss}" for loss in losses]


def _undeclared(losses: Sequence[Loss], may_go: Sequence[str], watched: Watched) -> list[Loss]:
    return [loss for loss in losses if not _covered(loss, may_go, watched.past.renamed)]


def _covered(loss: Loss, names: Sequence[str], renamed: Mapping[str, str] = MappingProxyType({})) -> bool:
    """Whether names cover a loss, by what it is called or by what it was called before an earlier part renamed it."""
    before = called_now(loss.name, {now: first for first, now in renamed.items()})
    return any(covers(name, one) for name in names for one in (loss.name, loss.table, before))
