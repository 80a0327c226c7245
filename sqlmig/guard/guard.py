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
    from .postgresql.findings import ServerFindings
    from .postgresql.watch import ServerWatch

__all__ = ["Account", "Guard", "OnDataLoss", "Watched"]

OnDataLoss = Literal["error", "warn", "ignore"]

logger = logging.getLogger("sqlmig.guard")


class Watched:
    """One migration under the guard's eyes: what it finds is there once the migration has run."""

    def __init__(self, watch: Watch | ServerWatch, version: int, counting: bool, past: Account) -> None:
        self._watch, self._version, self.counting = watch, version, counting
        self.findings: Findings | ServerFindings | None = None
        self.past, self.in_parts = past, past != Account()
        """The account of what was committed before, and whether anything was."""

    def finish(self) -> None:
        """Count, in the transaction that is open, what the migration has left."""
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
        found = self.findings.losses if self.findings is not None else []
        return [
            Loss(kind=loss.kind, name=loss.name, count=loss.count, version=self._version)
            for loss in found
            if not _covered(loss, self.past.created)
        ]

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
        self, session: Session, migration: BaseMigration | LoadedMigration, past: Mapping[str, Any] | None = None
    ) -> Iterator[Watched]:
        """
        Run a migration's own code, as `session.guarded()` does, and look on.

        Args:
            past: What `judge_batch` gave of the part of it that is committed.
        """
        counting = self.policy != "ignore" and ANYTHING not in migration.removes
        watch = _watch(session, counting)
        watched = Watched(watch, migration.version, counting, Account.from_facts(past or {}))
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
        undeclared = _undeclared(watched.losses, migration, watched)
        # Warned of is the sum, when the migration is done.
        self._refuse_or_warn(undeclared, migration, "apply", False, retry, kept())
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
        undeclared = _undeclared(watched.losses, migration, watched)
        self._refuse_or_warn(undeclared, migration, "apply", together, retry, kept)
        # Those of earlier parts had leave, or are warned of with these.
        earlier = _undeclared(watched.past.losses, migration, watched)
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
            warnings = self._refuse_or_warn(beyond, migration, "rollback", together, retry)
        return self._account(watched, migration.version, warnings)

    def _refuse_or_warn(
        self,
        losses: Sequence[Loss],
        migration: BaseMigration | LoadedMigration,
        operation: str,
        together: bool,
        retry: str,
        kept: str = "",
    ) -> list[str]:
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
            )
        return _worded(losses, operation)

    def _account(self, watched: Watched, version: int, warnings: list[str]) -> Account:
        if watched.unseen:
            warnings.append(
                f"migration {version:03} wrote {', '.join(watched.unseen)} by the driver's own cursor,"
                " where nothing is counted"
            )
        for warning in warnings:
            logger.warning("%s", warning)
        for loss in watched.losses:
            logger.info("migration %03d: %s", version, loss)
        findings = watched.findings
        assert findings is not None
        return Account(tuple(watched.losses), tuple(findings.created), findings.renamed, tuple(warnings))


def _watch(session: Session, counting: bool) -> Watch | ServerWatch:
    dialect = session.connection.dialect
    if dialect.name == "sqlite":
        return Watch(session.raw, dialect, session.shape, counting=counting)
    from .postgresql.watch import ServerWatch

    return ServerWatch(session.raw, counting=counting)


def _worded(losses: Sequence[Loss], operation: str) -> list[str]:
    verb = "was, rolled back," if operation == "rollback" else "was"
    return [f"migration {loss.version:03} {verb} not said to {loss}" for loss in losses]


def _undeclared(losses: Sequence[Loss], migration: BaseMigration | LoadedMigration, watched: Watched) -> list[Loss]:
    return [loss for loss in losses if not _covered(loss, migration.removes, watched.past.renamed)]


def _covered(loss: Loss, names: Sequence[str], renamed: Mapping[str, str] = MappingProxyType({})) -> bool:
    """Whether names cover a loss, by what it is called or by what it was called before an earlier part renamed it."""
    before = called_now(loss.name, {now: first for first, now in renamed.items()})
    return any(covers(name, one) for name in names for one in (loss.name, loss.table, before))
