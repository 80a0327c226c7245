"""Snapshots of PostgreSQL: verified archives of pg_dump, made before a database is migrated or when asked for."""

from __future__ import annotations

import errno
import hashlib
import re
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import ConfigurationError, DiskFull, SnapshotFailed, SnapshotUnusable
from ...execution import TryAgain
from ..keeper import Snapshots
from ..shelf import Shelf, Snapshot
from .archive import Archive
from .dumping import Dump, StillLocked
from .statements import at_rest, beside
from .tools import ToolFailed, require_tools, spool

if TYPE_CHECKING:
    from ...backends.session import Session
    from ...manager import Prepared
    from ...results import MigrationResult
    from ...run import Run
    from ...version_tracker import DatabaseState, VersionTracker

__all__ = ["PostgreSQLSnapshots", "state_in"]


class PostgreSQLSnapshots(Snapshots):
    """Those of one database of a server, in a folder of this machine."""

    def _require_alone(self, session: Session) -> None:
        session.require_own_transactions("A snapshot or a restore")
        require_tools("A snapshot")

    def _make_before(self, session: Session, run: Run, prepared: Prepared) -> None:
        # What its transaction has locked, pg_dump would wait for.
        with at_rest(session):
            run.snapshot = self._make(prepared.state.current_version, run.tell).path
        raise TryAgain

    def make(self, tell: Callable[[str], None] | None = None) -> Snapshot:
        """
        Make one now, of one moment of the database; applications go on reading and writing.

        Raises:
            SnapshotFailed, DiskFull, DatabaseLocked: None could be made.
        """
        with self.backend.session() as session:
            self._require_alone(session)
            version = self.tracker.read(session.connection).current_version
            with at_rest(session):
                return self._make(version, tell or (lambda message: None))

    def _make(self, version: int, tell: Callable[[str], None]) -> Snapshot:
        shelf, name = self._shelf(), f"sqlmig_snapshot_{uuid.uuid4().hex[:12]}"
        patience, url = self.backend.lock_timeout, self.backend.engine.url
        shelf.sweep()
        with shelf.unfinished(None) as path, self._worded():
            with beside(self.backend.engine, patience) as raw, path.open("wb") as output:
                taken_at = datetime.now(UTC)
                dump = Dump(raw, url, name, patience, lambda done, all_: tell(f"snapshot: {done * 100 // all_} %"))
                spool(dump.tool, output, dump.look)
            tell("snapshot: verifying")
            Archive(path).verify()
            found = shelf.publish(path, version, taken_at)
        shelf.rotate(self.policy.keep, found)
        return found

    def _restore(self, path: Path, expected: int | None) -> MigrationResult:
        from .restore import Restore

        return Restore(self.manager, path, expected, self._progress)()

    def _version_in(self, path: Path) -> int:
        require_tools("A restore")
        try:
            return self._state_in(path).current_version
        except ToolFailed as error:
            raise SnapshotUnusable(path, str(error)) from error

    def _is_whole(self, path: Path) -> bool:
        try:
            require_tools("A restore")
            return not self._state_in(path).interrupted
        except (ConfigurationError, ToolFailed, ValueError):
            # A damaged one is none to recommend, nor one that cannot be read here.
            return False

    def _state_in(self, path: Path) -> DatabaseState:
        return state_in(path, self.tracker)

    def _has_a_place(self) -> bool:
        return self.policy.folder is not None

    def _shelf(self) -> Shelf:
        name = self.backend.name
        if self.policy.folder is None:
            raise ConfigurationError(
                f"No folder is named for the snapshots of {name}, a database of a server.\n"
                "  They go beside the database where that is a file.\n"
                "Name one: SnapshotPolicy(folder), or --snapshot-folder FOLDER"
            )
        records = self.backend.engine.url, self.tracker.versions.schema, self.tracker.versions.name
        digest = hashlib.sha256("\n".join([name, *map(str, records[1:])]).encode()).hexdigest()[:8]
        stem = re.sub(r"[^\w-]", "_", records[0].database or "database")
        return Shelf(Path(self.policy.folder).absolute(), f"{stem}-{digest}")

    @contextmanager
    def _worded(self) -> Iterator[None]:
        """Typed errors for what pg_dump says, and the disk."""
        name = self.backend.name
        try:
            yield
        except StillLocked as error:
            raise self.backend.locked(str(error), "Let it finish, and start again.") from error
        except ToolFailed as error:
            said = str(error)
            if error.is_of_a_full_disk:
                raise DiskFull(name, f"its snapshot could not be written: {said}", hint="Free space there.") from error
            raise SnapshotFailed(name, said) from error
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise DiskFull(name, f"its snapshot could not be written: {error}") from error
            raise SnapshotFailed(name, str(error)) from error


def state_in(path: Path, tracker: VersionTracker) -> DatabaseState:
    """
    What the versions table in an archive says, where the database has its own.

    Raises:
        ToolFailed: It is damaged, or none.
    """
    row = tracker.backend.read_row("SELECT coalesce(current_schema(), 'public')")
    return Archive(path).state(tracker.versions.schema or str(row and row[0]), tracker.versions.name)
