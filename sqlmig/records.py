"""Changes of the records alone, with nothing run: adopt, stamp, repair."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Literal, get_args

from .errors import ConfigurationError, DatabaseLocked, UnknownRevision, UnknownVersion
from .provenance import is_running

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from .manager import MigrationManager
    from .takeover import Claim
    from .version_tracker import DatabaseState, VersionTracker

__all__ = ["Outcome", "adopt", "repair", "require_outcome", "settle", "stamp"]

Outcome = Literal["retry", "applied", "rolled back"]
"""What became of an interrupted migration: it is to run again, or is complete, or nothing is left of it."""

# What stands in a mark for those who find it, and tells nothing of a migration that is applied.
_OF_MARKS = {"failed", "token", "permanent", "resumable", "resumed", "loops", "beat", "at", "pause", "account"}

logger = logging.getLogger("sqlmig.records")


def adopt(connection: Connection, manager: MigrationManager, claim: Claim) -> None:
    """
    Take over a database that something else brought where it is, as *claim* says.

    Raises:
        UnknownRevision: Alembic brought it to a revision that no migration carries.
        UnknownVersion: No migration has its `user_version`, so what the database has is not known.
    """
    tracker = manager.version_tracker
    if claim.unknown:
        raise UnknownRevision(claim.unknown, claim.known)
    if claim.version and claim.version not in claim.versions:
        raise UnknownVersion(claim.version, manager.get_available_versions())
    for row in claim.replaces:
        tracker.remove(connection, row.version)
    _record_unrun(connection, manager, claim.versions)
    tracker.set_user_version(connection, claim.version)
    text = f"adopted at version {claim.version}, {claim.source}"
    tracker.log(connection, claim.version, text, "adopt", metadata={"versions": list(claim.versions), **claim.facts})
    logger.info(text)


def stamp(connection: Connection, manager: MigrationManager, version: int) -> None:
    """
    Record that the database is at *version*, whatever was recorded before.

    Raises:
        UnknownVersion: It is neither 0 nor a migration's.
    """
    tracker, available = manager.version_tracker, manager.get_available_versions()
    if version != 0 and version not in available:
        raise UnknownVersion(version, available)
    tracker.prepare(connection)
    state = tracker.read(connection)
    _refuse_running(tracker, state, f"sqlmig stamp {version}")
    kept = {row.version for row in state.rows if row.done and row.version <= version}
    for row in (*state.rows, *(state.claim.replaces if state.claim is not None else ())):
        if row.version not in kept:
            tracker.remove(connection, row.version, *row.replaces)
    _record_unrun(connection, manager, (v for v in available if v <= version and v not in kept))
    tracker.log(connection, version, f"stamped at version {version}", "stamp")
    tracker.set_user_version(connection, version)


def repair(connection: Connection, manager: MigrationManager) -> list[str]:
    """Accept edited files, clear marks of interrupted migrations, put `user_version` right; tell what was done."""
    tracker = manager.version_tracker
    # Before the first write: an older program changes nothing of a newer database.
    manager.refuse_newer(tracker.read(connection))
    tracker.prepare(connection)
    state = tracker.read(connection)
    done: list[tuple[int, str]] = []
    _refuse_running(tracker, state, "sqlmig repair")
    for row in state.interrupted:
        if "undoing" in row.metadata:
            tracker.unmark_undoing(connection, row)
            done.append((row.version, f"the rollback of migration {row.version} is no longer marked as started"))
        else:
            tracker.remove(connection, row.version)
            done.append((row.version, f"migration {row.version} is no longer marked as started; it is pending again"))
    state = tracker.read(connection)
    by_version = {row.version: row for row in (*state.rows, *state.replaced)}
    for version, (checksum, facts) in manager.accepted(state).items():
        tracker.accept_checksum(connection, version, checksum, {**by_version[version].metadata, **facts})
        done.append((version, f"the edited file of migration {version} was accepted"))
    if tracker.disagrees(state):
        tracker.set_user_version(connection, state.current_version)
        text = f"user_version {state.user_version} was set to {state.current_version}, as the versions table says"
        done.append((state.current_version, text))
    for version, text in done:
        tracker.log(connection, version, text, "repair")
    return [text for _, text in done]


def require_outcome(outcome: object) -> None:
    """
    Refuse what cannot have become of a migration.

    Raises:
        ConfigurationError: It is none of the words for it.
    """
    if outcome not in get_args(Outcome):
        raise ConfigurationError(
            f"interrupted={outcome!r} cannot be used.\n  it says what became of an interrupted migration\n"
            f"Use one of {', '.join(map(repr, get_args(Outcome)))}."
        )


def settle(connection: Connection, manager: MigrationManager, outcome: Outcome) -> list[str]:
    """
    Record what became of interrupted migrations, as somebody says who has looked; tell what was recorded.

    Raises:
        DatabaseLocked: One of them is running.
    """
    tracker = manager.version_tracker
    manager.refuse_newer(tracker.read(connection))
    tracker.prepare(connection)
    state = tracker.read(connection)
    _refuse_running(tracker, state, f"sqlmig repair --{outcome.replace(' ', '-')}")
    done: list[tuple[int, str]] = []
    for row in state.interrupted:
        undoing, what = "undoing" in row.metadata, f"migration {row.version}"
        if undoing and outcome == "rolled back":
            tracker.remove(connection, row.version, *row.replaces)
            text = f"{what} counts as rolled back; it is pending"
        elif undoing:
            tracker.unmark_undoing(connection, row)
            text = f"{what} counts as applied" + ("; its rollback can be tried again" if outcome == "retry" else "")
        elif outcome == "applied":
            facts = {name: value for name, value in row.metadata.items() if name not in _OF_MARKS}
            tracker.finish_mark(connection, row.version, {**facts, "by_repair": True})
            text = f"{what} counts as applied"
        else:
            tracker.remove(connection, row.version)
            text = f"{what} is pending again" + ("" if outcome == "retry" else "; nothing is left of it")
        tracker.log(connection, row.version, text, "repair", metadata={"interrupted": outcome})
        done.append((row.version, text))
    tracker.set_user_version(connection, tracker.highest_done(connection))
    return [text for _, text in done]


def _refuse_running(tracker: VersionTracker, state: DatabaseState, retry: str) -> None:
    """Leave alone what another process is in the middle of: without its mark it would run twice."""
    tracker.refuse_half_copied(state)
    if tracker.backend.locks_whole_calls:
        return
    for row in state.interrupted:
        if is_running(row.metadata) and not row.metadata.get("failed"):
            raise DatabaseLocked(
                tracker.backend.name,
                0,
                f"process {row.metadata['pid']} is running migration {row.version}",
                f"Let it finish, or end it, then: {retry}",
            )


def _record_unrun(connection: Connection, manager: MigrationManager, versions: Iterable[int]) -> None:
    """Versions rows for migrations that something else applied; a file that does not import has a row all the same."""
    wanted: Collection[int] = list(versions)
    files = manager.discover_migrations()
    loaded = manager.load_what_loads(files[version] for version in wanted)
    for version in wanted:
        row = {"version": version, "description": files[version].title, "metadata": {"file": files[version].path.name}}
        manager.version_tracker.record(connection, loaded[version].row() if version in loaded else row, "applied")
