"""
The passes of a rehearsal: there, back, and there again.

First everything is applied, on data that nothing has changed yet: whether migrating works is told by that alone.
Then it is rolled back, newest first, as far as there is a way back, and applied once more. So a `down` that loses
data cannot have a later migration fail that would work.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from ..errors import MigrationError
from .differences import changed_tables
from .observed import ObservedRun, Observer

if TYPE_CHECKING:
    from collections import Counter

    from ..migrator import Migrator
    from ..results import Loss, MigrationResult
    from ..run import Teller
    from .disk import DiskWatch
    from .original import Copy

__all__ = ["Pass", "Passes", "Steps"]


@dataclass
class Pass:
    """One pass over the migrations: what was seen, what went with it, and how it ended."""

    seen: Observer
    error: MigrationError | None = None
    losses: Sequence[Loss] = ()


@dataclass
class Passes:
    """
    What came of them.

    Attributes:
        direction: That of the first.
        problems: What was wrong with the copy after the first.
        changed: The tables that it changed.
        growth: The disk that it needed, in bytes.
        not_tried: Why a migration was not rolled back.
    """

    direction: str
    from_version: int
    target_version: int
    there: Pass
    back: Pass | None = None
    again: Pass | None = None
    problems: Counter[str] | None = None
    changed: set[tuple[str, str]] = field(default_factory=set)
    growth: int = 0
    not_tried: dict[int, str] = field(default_factory=dict)


class Steps:
    """
    Carries the passes out.

    Args:
        twin: A Migrator like the application's, on the copy.
        target: As in `migrate_to_version`; None for the newest.
        together: As `all_or_nothing`.
        progress: The application's callback.
        thorough: Whether the whole of each index is checked.
    """

    def __init__(
        self,
        twin: Migrator,
        copy: Copy,
        target: Any,
        together: bool | None,
        progress: Teller,
        *,
        thorough: bool,
    ) -> None:
        self._twin, self._copy, self._target, self._together = twin, copy, target, together
        self._progress, self._thorough = progress, thorough

    def run(self) -> Passes:
        """All that can be done."""
        before = self._twin.version_tracker.read().done
        at = max(before, default=0)
        with self._copy.disk() as disk:
            there = self._pass(self._forth, "rehearsing", disk)
        passes = Passes("none", at, self._current(), there, growth=disk.growth)
        outcomes = {sight.outcome for sight in there.seen.seen.values()}
        passes.direction = "down" if "rolled back" in outcomes else "up" if outcomes else "none"
        if there.error is None and outcomes:
            last = [sight.schema for sight in there.seen.seen.values()][-1]
            passes.changed = changed_tables(there.seen.before or last, last)
            passes.problems = self._problems(passes.changed)
            if passes.direction == "down":
                passes.back = self._pass(lambda: self._twin.migrate_to_version(at), "going up again")
            else:
                self._back_and_again(passes, before)
        return passes

    def _forth(self) -> MigrationResult:
        if self._target is None:
            return self._twin.migrate(all_or_nothing=self._together)
        return self._twin.migrate_to_version(self._target, all_or_nothing=self._together)

    def _back_and_again(self, passes: Passes, before: list[int]) -> None:
        lowest = self._lowest_reachable(passes, max(before, default=0))
        if lowest is None:
            return
        below = max((v for v in self._twin.version_tracker.read().done if v < lowest), default=0)
        passes.back = self._pass(lambda: self._twin.rollback_to_version(below), "rolling back")
        if passes.back.error is None:
            passes.again = self._pass(self._forth, "going up again")

    def _lowest_reachable(self, passes: Passes, current: int) -> int | None:
        """Down to which migration, of those that were applied, there is a way back."""
        rows = {row.version: row for row in self._twin.version_tracker.read().rows}
        lowest = stop = None
        for version in sorted(passes.there.seen.seen, reverse=True):
            row = rows.get(version)
            if version < current:
                passes.not_tried[version] = f"below {current:03}, which was applied before"
            elif stop is not None:
                passes.not_tried[version] = f"behind {stop:03}, which has no way back"
            elif row is not None and row.state == "applied" and not row.rollback_supported:
                passes.not_tried[version], stop = "no way back", version
            else:
                lowest = version
        return lowest

    def _pass(self, action: Callable[[], MigrationResult], word: str, disk: DiskWatch | None = None) -> Pass:
        tracker = self._twin.version_tracker

        def told(done: int, total: int, what: str) -> None:
            self._progress(done, total, f"{word}: {what}")

        seen = Observer(self._copy, tracker.own_tables, disk)
        self._twin.runner.new_run = partial(ObservedRun, seen)
        self._twin.runner.progress = told if self._progress.listens else None
        try:
            result = action()
        except MigrationError as error:
            lost = getattr(error, "losses", ())
            return Pass(seen, error, [*(error.result.losses if error.result is not None else ()), *lost])
        return Pass(seen, None, result.losses)

    def _current(self) -> int:
        return self._twin.version_tracker.read().current_version

    def _problems(self, tables: set[tuple[str, str]]) -> Counter[str]:
        self._progress(0, 1, "checking the copy")
        return self._copy.problems(thorough=self._thorough, tables=tables)
