"""Guard: what becomes of a loss, by what the migration says that it removes and by what its application wants."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from ..errors import DataLossError
from ..results import Loss
from ..schema.sqlite.definition import folded
from .findings import Findings
from .watch import Watch

if TYPE_CHECKING:
    from ..backends.sqlite_session import SQLiteSession
    from ..base import BaseMigration
    from ..loader import LoadedMigration

__all__ = ["Account", "Guard", "OnDataLoss", "Watched"]

OnDataLoss = Literal["error", "warn", "ignore"]

logger = logging.getLogger("sqlmig.guard")

ANYTHING = "*"
"""What `removes` says where a migration may remove whatever it does."""


class Account(NamedTuple):
    """
    What a migration did to the data that was there.

    Attributes:
        losses: What is gone, with leave.
        created: The tables and columns that it made, by which its rollback is measured.
        renamed: The tables and columns that it renamed, by their names before.
        warnings: In words.
    """

    losses: tuple[Loss, ...] = ()
    created: tuple[str, ...] = ()
    renamed: Mapping[str, str] = MappingProxyType({})
    warnings: tuple[str, ...] = ()

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> Account:
        """An account that was written down by `facts`."""
        losses = tuple(Loss(**loss) for loss in facts.get("losses", ()))
        return cls(losses, tuple(facts.get("created", ())), facts.get("renamed", {}), tuple(facts.get("warnings", ())))

    def facts(self) -> dict[str, Any]:
        """All of it as JSON has it; nothing where there is nothing to tell."""
        found = {
            "losses": [dict(loss) for loss in self.losses],
            "created": list(self.created),
            "renamed": dict(self.renamed),
            "warnings": list(self.warnings),
        }
        return {name: value for name, value in found.items() if value}

    def and_then(self, later: Account) -> Account:
        """Both, one after the other; what went batch by batch is added up."""
        losses: dict[tuple[str, str], Loss] = {}
        for loss in (*self.losses, *later.losses):
            before = losses.get((loss.kind, loss.name))
            more = before.count if before is not None else 0
            losses[loss.kind, loss.name] = Loss(**{**loss, "count": loss.count + more})
        return Account(
            tuple(losses.values()),
            tuple(dict.fromkeys((*self.created, *later.created))),
            {**self.renamed, **later.renamed},
            tuple(dict.fromkeys((*self.warnings, *later.warnings))),
        )

    def row(self) -> dict[str, Any]:
        """As it stands with the version."""
        return {"created": list(self.created)} | ({"renamed": dict(self.renamed)} if self.renamed else {})

    def metadata(self) -> dict[str, Any]:
        """As it stands in the history."""
        listed = [{"kind": loss.kind, "name": loss.name, "count": loss.count} for loss in self.losses]
        return {key: value for key, value in (("losses", listed), ("warnings", list(self.warnings))) if value}


class Watched:
    """One migration under the guard's eyes: what it finds is there once the migration has run."""

    def __init__(self, watch: Watch, version: int, counting: bool, past: Account) -> None:
        self._watch, self._version, self._counting = watch, version, counting
        self.findings: Findings | None = None
        self.past, self.in_parts = past, past != Account()
        """The account of what was committed before, and whether anything was."""

    def finish(self) -> None:
        """Count, in the transaction that is open, what the migration has left."""
        watch = self._watch
        watch.settle()
        self.findings = Findings(watch.census, watch.ledger, counting=self._counting)

    def begin_anew(self, past: Account) -> None:
        """What was found is committed; what comes is measured by what there is now."""
        self.past, self.in_parts, self.findings = past, True, None
        self._watch.begin_anew()

    @property
    def losses(self) -> list[Loss]:
        """What is gone."""
        found = self.findings.losses if self.findings is not None else []
        return [Loss(kind=loss.kind, name=loss.name, count=loss.count, version=self._version) for loss in found]

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
        self, session: SQLiteSession, migration: BaseMigration | LoadedMigration, past: Mapping[str, Any] | None = None
    ) -> Iterator[Watched]:
        """
        Run a migration's own code, as `session.guarded()` does, and look on.

        Args:
            past: What `judge_batch` gave of the part of it that is committed.
        """
        counting = self.policy != "ignore" and ANYTHING not in migration.removes
        watch = Watch(session.raw, session.connection.dialect, counting=counting)
        watched = Watched(watch, migration.version, counting, Account.from_facts(past or {}))
        try:
            with session.guarded(watch):
                yield watched
                watched.finish()
        finally:
            watch.close()

    def judge_batch(
        self, watched: Watched, migration: BaseMigration | LoadedMigration, *, retry: str, kept: str
    ) -> dict[str, Any]:
        """
        The account of what is about to be committed in the middle of an `up`, and of all before it, as facts.

        Raises:
            DataLossError: It lost what it does not declare.
        """
        watched.finish()
        undeclared = [loss for loss in watched.losses if not _covered(loss, migration.removes)]
        warnings = self._refuse_or_warn(undeclared, migration, "apply", False, retry, kept)
        past = watched.past.and_then(self._account(watched, migration.version, warnings))
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
        assert findings is not None
        undeclared = [loss for loss in watched.losses if not _covered(loss, migration.removes)]
        warnings = self._refuse_or_warn(undeclared, migration, "apply", together, retry, kept)
        # Of one that was committed in parts it is not kept what each of them put in danger.
        silent = ANYTHING in migration.removes or self.policy == "ignore" or watched.in_parts
        for name in () if silent else migration.removes:
            if not any(_names(name, one) for one in findings.removed):
                warnings.append(f"migration {migration.version:03} says that it removes {name}, and does not")
        return watched.past.and_then(self._account(watched, migration.version, warnings))

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
        verb = "was, rolled back," if operation == "rollback" else "was"
        return [f"migration {loss.version:03} {verb} not said to {loss}" for loss in losses]

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


def _covered(loss: Loss, names: Sequence[str]) -> bool:
    return any(_names(name, loss.name) or _names(name, loss.table) for name in names)


def _names(said: str, name: str) -> bool:
    """Whether "documents" or "documents.abstract" covers a table or a column."""
    said, name = (folded(text).removeprefix("main.") for text in (said, name))
    return said in (ANYTHING, name) or name.startswith(f"{said}.")
