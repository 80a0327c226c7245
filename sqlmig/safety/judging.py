"""What the passes of a rehearsal mean: the report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from .differences import Schema, differences
from .report import Rehearsal, RehearsedStep

if TYPE_CHECKING:
    from ..results import Loss
    from .observed import Sight
    from .passes import Pass, Passes

__all__ = ["report"]


def report(
    passes: Passes, *, size: int, integrity: Sequence[str], error: str | None, warnings: Sequence[str], took: float
) -> Rehearsal:
    """
    The whole of it.

    Args:
        error: Why migrating fails, where that is not told by a migration.
        took: In milliseconds.
    """
    steps = list(_steps(passes))
    wrong = str(passes.there.error) if passes.there.error is not None else error
    can_migrate = wrong is None and not integrity
    return Rehearsal(
        success=can_migrate and not any(step.warnings for step in steps),
        can_migrate=can_migrate,
        direction=passes.direction,
        from_version=passes.from_version,
        target_version=passes.target_version,
        steps=steps,
        size_bytes=size,
        disk_needed_bytes=passes.growth,
        integrity=list(integrity),
        error=wrong,
        warnings=list(warnings),
        execution_time_ms=round(took, 3),
    )


def _steps(passes: Passes) -> Iterator[RehearsedStep]:
    before = passes.there.seen.before
    for version, sight in passes.there.seen.seen.items():
        assert before is not None
        yield (_down if passes.direction == "down" else _up)(passes, version, sight, before)
        before = sight.schema
    error = passes.there.error
    if error is not None and error.version is not None and error.version not in passes.there.seen.seen:
        told = str(error).partition("\n")[0]
        description = getattr(error, "description", "")
        yield RehearsedStep(
            version=error.version, description=description, error=told, losses=getattr(error, "losses", ())
        )


def _up(passes: Passes, version: int, sight: Sight, before: Schema) -> RehearsedStep:
    back = _sight(passes.back, version)
    left, other = _left(passes, version), _other(passes, version)
    warnings = [f"rolling it back leaves the schema otherwise: {'; '.join(left)}"] if left else []
    warnings += _failure(passes.back, version, "it cannot be rolled back")
    warnings += _failure(passes.again, version, "it fails when it is applied again after its rollback")
    if other:
        warnings.append(f"applied again after its rollback, it leaves another schema: {'; '.join(other)}")
    failed = bool(_failure(passes.back, version, ""))
    return RehearsedStep(
        version=version,
        description=sight.description,
        up_ms=sight.took,
        down_ms=back.took if back is not None else None,
        rows_touched=sight.rows,
        schema_difference=differences(before, sight.schema),
        losses=_losses(passes.there, version),
        down_restores_schema=False if failed else not left if back is not None else None,
        down_difference=left or (),
        down_note=_note(passes, version, back is not None or failed),
        down_loses=_losses(passes.back, version),
        up_again_same=False if _failure(passes.again, version, "") else None if other is None else not other,
        skipped=sight.outcome == "skipped",
        warnings=warnings,
    )


def _left(passes: Passes, version: int) -> list[str] | None:
    """How its rollback left the schema otherwise, without what those above it had left so already."""
    back = _sight(passes.back, version)
    if back is None:
        return None
    order, seen = list(passes.there.seen.seen), passes.there.seen.seen
    above = next((v for v in order[order.index(version) + 1 :] if _sight(passes.back, v) is not None), None)
    assert passes.back is not None
    known = differences(seen[version].schema, passes.back.seen.seen[above].schema) if above is not None else []
    return [line for line in differences(_before(passes, version), back.schema) if line not in known]


def _other(passes: Passes, version: int) -> list[str] | None:
    """How applying it again left the schema otherwise, without what was so before it."""
    again = _sight(passes.again, version)
    if again is None or passes.again is None or passes.again.seen.before is None:
        return None
    order = list(passes.again.seen.seen)
    place = order.index(version)
    start = passes.again.seen.seen[order[place - 1]].schema if place else passes.again.seen.before
    known = differences(_before(passes, version), start)
    return [line for line in differences(passes.there.seen.seen[version].schema, again.schema) if line not in known]


def _before(passes: Passes, version: int) -> Schema:
    """The schema before a migration was first applied."""
    order = list(passes.there.seen.seen)
    place = order.index(version)
    before = passes.there.seen.seen[order[place - 1]].schema if place else passes.there.seen.before
    assert before is not None
    return before


def _down(passes: Passes, version: int, sight: Sight, before: Schema) -> RehearsedStep:
    """A migration that was to be rolled back: whether applying it again leads to where it began."""
    again = _sight(passes.back, version)
    left = differences(before, again.schema) if again is not None else []
    warnings = [f"applied again, it leaves another schema than there was: {'; '.join(left)}"] if left else []
    warnings += _failure(passes.back, version, "it fails when it is applied again")
    return RehearsedStep(
        version=version,
        description=sight.description,
        up_ms=again.took if again is not None else None,
        down_ms=sight.took,
        rows_touched=sight.rows,
        schema_difference=differences(before, sight.schema),
        losses=_losses(passes.there, version),
        up_again_same=not left if again is not None else None,
        warnings=warnings,
    )


def _sight(of: Pass | None, version: int) -> Sight | None:
    return of.seen.seen.get(version) if of is not None else None


def _failure(of: Pass | None, version: int, what: str) -> list[str]:
    if of is None or of.error is None or of.error.version != version:
        return []
    return [f"{what}: {str(of.error).partition(chr(10))[0]}"]


def _losses(of: Pass | None, version: int) -> list[Loss]:
    return [loss for loss in of.losses if loss.version in (version, 0)] if of is not None else []


def _note(passes: Passes, version: int, tried: bool) -> str:
    if tried:
        return ""
    if version in passes.not_tried:
        return passes.not_tried[version]
    if passes.back is not None and passes.back.error is not None:
        return f"not tried: {passes.back.error.version or 0:03} could not be rolled back"
    return "not tried"
