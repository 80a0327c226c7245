"""Migrations that are marked as started: whether somebody is at work in them, and who may go on with them."""

from __future__ import annotations

import os
import time
from collections.abc import Collection
from typing import TYPE_CHECKING

from . import provenance, steps
from .data.checkpoints import in_words, loops_of
from .data.resumption import running_here
from .errors import DatabaseLocked, InterruptedMigration, MigrationError
from .provenance import is_running
from .turns import pause
from .version_tracker import half_copied

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from .run import Run
    from .version_tracker import AppliedVersion, DatabaseState

__all__ = ["blocking", "wait"]

_STILL = 10.0
"""Seconds for which the checkpoint of a process that lives has to have stood still, at the least."""


def blocking(state: DatabaseState, run: Run) -> list[AppliedVersion]:
    """The marks that stand in the way of *run*: those with which it may not go on."""
    return [row for row in state.interrupted if run.resumes.get(str(row.metadata.get("token"))) != _reached(row)]


def _reached(row: AppliedVersion) -> object:
    """What moves in a mark while somebody is at work."""
    return (row.metadata.get("loops"), row.metadata.get("beat"), row.metadata.get("failed"))


def wait(connection: Connection, run: Run, resumable: Collection[int], after_repair: str) -> None:
    """
    Wait while somebody is at work in a marked migration, and note in *run* what may be gone on with.

    A resumable one whose checkpoint has not moved for lock_timeout seconds is taken over, also where its process may
    live: that has lost the lock to somebody else, perhaps, and had none to say so. Should it come to its next batch
    after all, it stops before it.

    Args:
        resumable: The versions that *run* would go on with.
        after_repair: What to type when one cannot be gone on with.

    Raises:
        CopyInterrupted: The database is half copied.
        InterruptedMigration: One was interrupted, and is not to be gone on with.
        DatabaseLocked: A resumable one is at work for longer than lock_timeout.
    """
    timeout = run.backend.lock_timeout
    began = moved = time.monotonic()
    began_at = time.time()
    seen: object = None
    while found := blocking(run.backend.patiently(lambda: run.tracker.read(connection)), run):
        row, now = found[0], time.monotonic()
        facts = row.metadata
        mine = bool(facts.get("resumable")) and row.version in resumable
        if run.backend.locks_whole_calls or _is_over(row):
            if not mine:
                raise _interruption(row, run, after_repair, run.backend.left_behind(connection))
            run.resumes[facts["token"]] = _reached(row)
            continue
        if seen is not None and _reached(row) != seen:
            moved = now
        seen = _reached(row)
        if now - began >= timeout:
            if not facts.get("resumable"):
                raise _interruption(row, run, after_repair, run.backend.left_behind(connection))
            running = is_running(facts)
            patience = timeout if running is None else max(timeout, _STILL, 2 * facts.get("pause", 0))
            # On one host its clock is ours, and tells how long it has stood still before.
            earlier = began_at - facts.get("at", began_at) if moved == began and running else 0.0
            if mine and now - moved + max(earlier, 0.0) >= patience:
                run.resumes[facts["token"]] = _reached(row)
                continue
            raise _at_work(row, run)
        pause(0.05)


def _is_over(row: AppliedVersion) -> bool:
    """Whether nobody is at work in it any more; false where that cannot be known."""
    facts = row.metadata
    if facts.get("failed") or is_running(facts) is False:
        return True
    # This process lives, and may yet have been unable to write that it failed: on a full disk.
    own = facts.get("pid") == os.getpid() and facts.get("host") == provenance.provenance()["host"]
    same = facts.get("pid_started") == provenance.provenance().get("pid_started")
    return bool(facts.get("resumable")) and own and same and not running_here(facts.get("token"))


def _interruption(row: AppliedVersion, run: Run, again: str, left: str) -> MigrationError:
    facts = row.metadata
    if row.version == 0 and "copy" in facts:
        return half_copied(run.backend.name, row)
    started = f"{row.applied_at} by process {facts.get('pid')} of {facts.get('user')} on {facts.get('host')}"
    kept = in_words(loops_of(facts)) if facts.get("resumable") else ""
    permanent = steps.in_words(facts)
    return InterruptedMigration(row.version, row.description, started, again, kept=kept, permanent=permanent, left=left)


def _at_work(row: AppliedVersion, run: Run) -> DatabaseLocked:
    facts = row.metadata
    return DatabaseLocked(
        run.backend.name,
        run.backend.lock_timeout,
        f"process {facts.get('pid')} of {facts.get('user')} on {facts.get('host')} runs migration {row.version}"
        f" ({row.description}): {in_words(loops_of(facts))}",
        "Let it finish, and start again; to see how far it is: sqlmig status",
    )
