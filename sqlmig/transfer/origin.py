"""What the source of a copy says of itself, and whether that is enough to copy it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import CopyError, ValidationFailed
from .source import Source

if TYPE_CHECKING:
    from ..migrator import Migrator
    from ..results import Issue

__all__ = ["Origin", "look_at_source"]


class Origin(NamedTuple):
    """What the source says of itself."""

    done: list[int]
    skipped: set[int]
    version: int
    history: list[dict[str, Any]]
    warnings: list[str]


def look_at_source(migrator: Migrator, source: Source) -> Origin:
    """
    The version of a source, which the files must know, and its history.

    Raises:
        CopyError: It is at none, or somebody is in the middle of a migration.
        ValidationFailed: The files are not those that it was made with.
    """
    connection = source.connection
    manager = migrator._on(connection).manager
    tracker = manager.version_tracker
    state = tracker.read(connection)
    tracker.refuse_half_copied(state)
    manager.refuse_newer(state)
    manager.refuse_unknown(state)
    name = source.name
    if state.interrupted:
        raise CopyError(
            f"Migration {state.interrupted[0].version} of the source {name} was started and has not finished.",
            "nothing was copied, and nothing changed",
            "Let it finish, or settle it there, then copy: sqlmig status",
        )
    tracker.check_agreement(state)
    if not state.done:
        raise CopyError(
            f"The source {name} is at no version, so it is not known which migrations make its tables.",
            "nothing was copied, and nothing changed",
            "Migrate it first: sqlmig up. If it has tables that migrations would make: sqlmig stamp N",
        )
    issues: list[Issue] = manager.standing_issues(state, verify=manager.refuses_edits)
    if issues:
        raise ValidationFailed(issues)
    pending = manager.pending(state)
    listed = ", ".join(f"{version:03}" for version in pending)
    warnings = [f"the source has not had {listed}, and the target neither: migrate it"] if pending else []
    skipped = {row.version for row in state.rows if row.state == "skipped"}
    return Origin(state.done, skipped, state.current_version, source.history(tracker), warnings)
