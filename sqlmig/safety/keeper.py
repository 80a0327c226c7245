"""The snapshots of a database, whichever kind of database it is: which there are, and what can be done with them."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ConfigurationError, SnapshotUnusable
from ..telemetry import traced
from .shelf import Shelf, Snapshot, taken_at_of

if TYPE_CHECKING:
    from ..backends.session import Session
    from ..manager import MigrationManager, Prepared
    from ..results import MigrationResult
    from ..run import Progress, Run
    from .policy import SnapshotPolicy

__all__ = ["Snapshots", "keeper_of"]


class Snapshots(ABC):
    """
    The snapshots of one database.

    Args:
        manager: What knows the database, its records and its files.
        policy: Where they go, and how many are kept.
        progress: Called with (done, total, message) while one is restored.
    """

    def __init__(self, manager: MigrationManager, policy: SnapshotPolicy, progress: Progress | None = None) -> None:
        self.manager, self.policy, self._progress = manager, policy, progress
        self.tracker = manager.version_tracker
        self.backend = self.tracker.backend

    def before(self, session: Session, run: Run, prepared: Prepared) -> None:
        """
        Make one before the first migration of a run, whose lock keeps every other run out meanwhile.

        Raises:
            TryAgain: It was made outside the transaction that was open.
            SnapshotFailed, DiskFull, DatabaseLocked: None could be made.
        """
        self._require_alone(session)
        if prepared.state.interrupted:
            # What was there before its first try is what somebody may want back.
            earlier = self.of_version(prepared.state.current_version)
            if earlier is not None:
                run.snapshot = earlier.path
                return
        self._make_before(session, run, prepared)

    @abstractmethod
    def make(self, tell: Callable[[str], None] | None = None) -> Snapshot:
        """
        Make one now, of one moment of the database.

        Raises:
            SnapshotFailed, DiskFull, DatabaseLocked: None could be made.
        """

    def listed(self) -> list[Snapshot]:
        """Those that are there, newest first."""
        return self._shelf().listed()

    def of_version(self, version: int) -> Snapshot | None:
        """The newest of a version in which no migration has got half way."""
        if not self._has_a_place():
            return None
        listed = (snapshot for snapshot in self.listed() if snapshot.version == version)
        return next((snapshot for snapshot in listed if self._is_whole(snapshot.path)), None)

    def instead_of_rollback(self, version: int) -> Snapshot | None:
        """The newest of *version*, where there is no other way down to it."""
        issues = self.manager.can_rollback_to(version)[1]
        if any(issue.kind in ("rollback", "missing_file") for issue in issues):
            return self.of_version(version)
        return None

    def advice(self, version: int, command: Callable[[str], str]) -> tuple[str, str] | None:
        """The path of the newest of *version*, and what to do with it."""
        found = self.of_version(version)
        if found is None:
            return None
        return str(found.path), (
            f"A snapshot of version {version} was taken {found.taken_at:%Y-%m-%d %H:%M:%S} UTC; what was written"
            f" since is not in it. Restore it instead: {command(str(found.path))}"
        )

    def restore(self, snapshot: Snapshot | str | os.PathLike[str], expected: int | None = None) -> MigrationResult:
        """Bring one back; *expected* is the version that it must have, where a rollback asks for it."""
        if not isinstance(snapshot, Snapshot | str | os.PathLike) or snapshot == "":
            raise ConfigurationError(
                f"{snapshot!r} cannot be restored.\n  it is neither a snapshot nor a path\nSee: sqlmig snapshots"
            )
        path = snapshot.path if isinstance(snapshot, Snapshot) else Path(snapshot)
        with traced("restore", self.backend) as tell:
            result = self._restore(path.absolute(), expected)
            tell(outcome="succeeded", version_from=result.from_version, version_to=result.to_version)
            return result

    def look_at(self, path: Path) -> Snapshot:
        """
        What a file holds that may be restored.

        Raises:
            SnapshotUnusable: It is none.
        """
        if not path.is_file():
            raise SnapshotUnusable(path, "it is a folder" if path.is_dir() else "there is no such file")
        version = self._version_in(path)
        return Snapshot(path=path, version=version, taken_at=taken_at_of(path), size=path.stat().st_size)

    @abstractmethod
    def _require_alone(self, session: Session) -> None:
        """Refuse what a copy cannot be made of, or would be only a part of."""

    @abstractmethod
    def _make_before(self, session: Session, run: Run, prepared: Prepared) -> None: ...

    @abstractmethod
    def _restore(self, path: Path, expected: int | None) -> MigrationResult: ...

    @abstractmethod
    def _version_in(self, path: Path) -> int:
        """The version that the database in a file is at."""

    @abstractmethod
    def _is_whole(self, path: Path) -> bool:
        """Whether a file can be read, and no migration had got half way in it."""

    @abstractmethod
    def _has_a_place(self) -> bool: ...

    @abstractmethod
    def _shelf(self) -> Shelf: ...


def keeper_of(manager: MigrationManager, policy: SnapshotPolicy, progress: Progress | None) -> Snapshots:
    """
    The snapshots of the database of *manager*.

    Raises:
        UnsupportedDatabase: There are none for it.
    """
    from ..backends import require_sqlite

    dialect = manager.version_tracker.backend.engine.dialect.name
    if dialect == "postgresql":
        from .postgresql.snapshots import PostgreSQLSnapshots

        return PostgreSQLSnapshots(manager, policy, progress)
    require_sqlite(dialect, "A snapshot", " and PostgreSQL")
    from .snapshots import SQLiteSnapshots

    return SQLiteSnapshots(manager, policy, progress)
