"""What a rehearsal found out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..results import Loss, Record
from .places import readable_size

__all__ = ["Rehearsal", "RehearsedStep"]


class RehearsedStep(Record):
    """
    One migration, rehearsed.

    Attributes:
        up_ms, down_ms: How long it took to apply and to roll back; None where that was not done.
        rows_touched: Rows that it inserted, updated and deleted, in the direction that was asked for.
        schema_difference: What it changed, a line for each object.
        losses: The data that it removed, in the direction that was asked for.
        down_restores_schema: Whether rolling it back left the schema as it was before it; None where that was not
            tried, and `down_note` says why.
        down_difference: What rolling back left otherwise.
        down_loses: The data that went with rolling back.
        up_again_same: Whether applying it once more, after that, gave the same schema.
        error: Why it failed, in one line; those behind it were not tried then.
        skipped: Whether its own checks said to skip it.
        warnings: What is to be mended and does not stop a migration.
    """

    version: int
    description: str
    up_ms: float | None = None
    down_ms: float | None = None
    rows_touched: int = 0
    schema_difference: Sequence[str] = ()
    losses: Sequence[Loss] = ()
    down_restores_schema: bool | None = None
    down_difference: Sequence[str] = ()
    down_note: str = ""
    down_loses: Sequence[Loss] = ()
    up_again_same: bool | None = None
    skipped: bool = False
    error: str | None = None
    warnings: Sequence[str] = ()

    @property
    def way_back(self) -> str:
        """What came of rolling it back, in a few words."""
        if self.down_restores_schema is None:
            return self.down_note
        told = "restores the schema" if self.down_restores_schema else "does not restore the schema"
        return f"{told}, loses data" if self.down_loses else told


class Rehearsal(Record):
    """
    What migrating would do, as it was done to a copy; true when all went well.

    Attributes:
        success: Whether everything worked, the way back included.
        can_migrate: Whether migrating works; what else was found is in the steps' warnings.
        direction: "up", "down", or "none" where there was nothing to do.
        size_bytes: Of the database.
        disk_needed_bytes: The room that migrating takes beside it, at its peak.
        integrity: Damage and rows without their parents that were not there before.
        error: Why migrating fails, in the words in which it would.
    """

    success: bool
    can_migrate: bool
    direction: str
    from_version: int
    target_version: int
    steps: Sequence[RehearsedStep]
    size_bytes: int
    disk_needed_bytes: int
    integrity: Sequence[str]
    error: str | None
    warnings: Sequence[str]
    execution_time_ms: float

    def __bool__(self) -> bool:
        return self.success

    def __str__(self) -> str:
        return "\n".join(self._lines())

    @property
    def headline(self) -> str:
        """All of it in one line."""
        if not self.steps and self.error is None:
            return f"Nothing to rehearse: the database is at version {self.from_version}."
        number = f"{len(self.steps)} migration" + ("" if len(self.steps) == 1 else "s")
        told = "went well" if self.success else "works, but not everything is well" if self.can_migrate else "fails"
        disk = f" and needs {readable_size(self.disk_needed_bytes)} of disk" if self.can_migrate else ""
        return (
            f"Rehearsed {number} on a copy of {readable_size(self.size_bytes)}: version {self.from_version} ->"
            f" {self.target_version} {told}. It took {self.execution_time_ms:,.0f} ms{disk}."
        )

    def _lines(self) -> Iterator[str]:
        yield self.headline
        for step in self.steps:
            yield from _step(step)
        for text in (*self.integrity, *self.warnings):
            yield f"  ! {text}"
        if self.error is not None:
            yield self.error


def _step(step: RehearsedStep) -> Iterator[str]:
    times = [f"{name} {ms:,.1f} ms" for name, ms in (("up", step.up_ms), ("down", step.down_ms)) if ms is not None]
    facts = (
        ["failed"]
        if step.error
        else ["skipped"]
        if step.skipped
        else [*times, f"{step.rows_touched:,} rows", step.way_back]
    )
    yield f"  {step.version:03}  {step.description}  ({'; '.join(fact for fact in facts if fact)})"
    yield from (f"         {line}" for line in step.schema_difference)
    yield from (f"         ! {loss}" for loss in step.losses)
    yield from (f"         ! rolled back, it would {loss}" for loss in step.down_loses)
    yield from (f"         ! {text}" for text in step.warnings)
