"""Snapshots of SQLite: verified copies of the file, made by the backup API."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..backends.sqlite import ask, pragma, primary_code
from ..errors import ConfigurationError, DatabaseLocked, DiskFull, SnapshotFailed, SnapshotUnusable
from ..execution import TryAgain, reason
from .copying import (
    StayedBusy,
    another_connection,
    connected,
    copy_pages,
    damage_of,
    main_file,
    open_to_read,
)
from .keeper import Snapshots
from .places import free_bytes, readable_size
from .shelf import Shelf, Snapshot, shelf_of
from .source import size_of

if TYPE_CHECKING:
    from ..backends.session import Session
    from ..manager import MigrationManager, Prepared
    from ..results import MigrationResult
    from ..run import Run

__all__ = ["SQLiteSnapshots", "blaming", "require_alone", "require_room"]


class SQLiteSnapshots(Snapshots):
    """Those of one file, or of a database in memory."""

    def _require_alone(self, session: Session) -> None:
        require_alone(self.manager, session)

    def _make_before(self, session: Session, run: Run, prepared: Prepared) -> None:
        with self._worded():
            raw = session.raw
            # From the connection that holds the write transaction a copy would never end.
            shared = "cache=shared" in str(self.backend.engine.url)
            if main_file(raw) is not None and not shared and pragma(raw, "main.locking_mode") != "exclusive":
                with another_connection(self.backend, raw) as other:
                    if other is not None:
                        run.snapshot = self._make(other, raw, run.tell).path
                        return
            session.abandon()
            run.snapshot = self._make(raw, raw, run.tell).path
            raise TryAgain

    def make(self, tell: Callable[[str], None] | None = None) -> Snapshot:
        """
        Make one now, of one moment of the database; writers are kept out only where it has no WAL.

        Raises:
            SnapshotFailed, DiskFull, DatabaseLocked: None could be made.
        """
        file = self._file()
        if file is not None and not file.exists():
            raise ConfigurationError(
                f"There is no database file {file}, so there is nothing to make a snapshot of.\n"
                "  Nothing was made.\nCheck the URL or the path."
            )
        with self.backend.session() as session:
            require_alone(self.manager, session)
            with self._worded():
                return self._make(session.raw, session.raw, tell or (lambda message: None))

    def listed(self) -> list[Snapshot]:
        """Those that are there, newest first."""
        with self.backend.one_thread():
            return super().listed()

    def _has_a_place(self) -> bool:
        return self._file() is not None or self.policy.folder is not None

    def _is_whole(self, path: Path) -> bool:
        try:
            with closing(open_to_read(path)) as raw, connected(raw) as connection:
                return not self.tracker.read(connection).interrupted
        except Exception:
            # A damaged one is none to recommend.
            return False

    def _restore(self, path: Path, expected: int | None) -> MigrationResult:
        from .restore import Restore

        return Restore(self.manager, path, expected, self._progress)()

    def _version_in(self, path: Path) -> int:
        with blaming(path):
            return self.version_in(path)

    def version_in(self, path: Path) -> int:
        """The version that the database in a file is at."""
        with closing(open_to_read(path)) as raw, connected(raw) as connection:
            return self.tracker.read(connection).current_version

    def _make(self, source: Any, own: Any, tell: Callable[[str], None]) -> Snapshot:
        file = main_file(own)
        shelf = self._shelf_of(file)
        shelf.sweep()
        with shelf.unfinished(file) as path:
            with self._one_moment(source):
                taken_at = datetime.now(UTC)
                require_room(self.backend.name, shelf.folder, size_of(source), "its snapshot")
                self._copy(source, path, tell)
            tell("snapshot: verifying")
            damage = damage_of(path, self.backend, own)
            if damage is not None:
                hint = (
                    "If the database itself is damaged (sqlite3 FILE 'PRAGMA integrity_check'), restore an older one."
                )
                raise SnapshotFailed(self.backend.name, f"the copy is damaged: {damage}", hint)
            found = shelf.publish(path, self.version_in(path), taken_at)
        shelf.rotate(self.policy.keep, found)
        return found

    def _copy(self, source: Any, path: Path, tell: Callable[[str], None]) -> None:
        with closing(sqlite3.Connection(str(path), isolation_level=None)) as target:
            # Until it has its name nobody misses it: it needs no journal, and is forced to the disk once, at the end.
            target.execute("PRAGMA journal_mode = OFF")
            target.execute("PRAGMA synchronous = OFF")
            patience = self.backend.lock_timeout
            copy_pages(source, target, patience=patience, tell=lambda percent: tell(f"snapshot: {percent} %"))

    @contextmanager
    def _one_moment(self, source: Any) -> Iterator[None]:
        """Read it in one transaction; where others write meanwhile, a copy without one would begin anew each time."""
        cursor = source.cursor()

        def begin() -> None:
            if not source.in_transaction:
                cursor.execute("BEGIN")
            cursor.execute("SELECT count(*) FROM sqlite_master").fetchone()

        try:
            self.backend.patiently(begin)
            yield
        finally:
            if source.in_transaction:
                cursor.execute("ROLLBACK")
            cursor.close()

    def _file(self) -> Path | None:
        named = self.backend.file
        if named is not None and not os.path.exists(named):
            # To connect would make it.
            return Path(os.path.realpath(named))
        connection = self.tracker.db.connection
        if connection is not None:
            return main_file(connection.connection.dbapi_connection)
        pooled = self.backend.patiently(self.backend.engine.raw_connection)
        try:
            return main_file(pooled.dbapi_connection)
        finally:
            pooled.close()

    def _shelf(self) -> Shelf:
        return self._shelf_of(self._file())

    def _shelf_of(self, file: Path | None) -> Shelf:
        if file is None and self.policy.folder is None:
            raise ConfigurationError(
                f"The database {self.backend.name} is in memory, so there is no folder for its snapshots.\n"
                "  They go beside the database file where no folder is named.\n"
                "Name one: SnapshotPolicy(folder), or --snapshot-folder FOLDER"
            )
        folder = None if self.policy.folder is None else Path(self.policy.folder).absolute()
        return shelf_of(file, folder, self.tracker.versions.name)

    @contextmanager
    def _worded(self) -> Iterator[None]:
        """Typed errors for what comes from SQLite, from the disk, and from waiting."""
        name = self.backend.name
        try:
            yield
        except StayedBusy as error:
            raise DatabaseLocked(name, self.backend.lock_timeout, "it could not be read for a snapshot") from error
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise DiskFull(name, f"its snapshot could not be written: {error}") from error
            raise SnapshotFailed(name, str(error)) from error
        except sqlite3.Error as error:
            if primary_code(error) == sqlite3.SQLITE_FULL:
                raise DiskFull(name, f"its snapshot could not be written: {error}") from error
            raise SnapshotFailed(name, reason(error)) from error


def require_alone(manager: MigrationManager, session: Session) -> None:
    """
    Refuse what a copy of the main file cannot be made of, or would be only a part of.

    Raises:
        NotAtomic: The transaction is a caller's.
        ConfigurationError: Other files are attached, or hold the records.
    """
    session.require_own_transactions("A snapshot or a restore")
    listed = ask(session.raw, "PRAGMA database_list")
    records = manager.version_tracker.versions.schema
    attached = [row[1] for row in listed if row[1] not in ("main", "temp") and (row[2] or row[1] == records)]
    if attached:
        raise ConfigurationError(
            f"The database {manager.version_tracker.backend.name} has {', '.join(attached)} attached.\n"
            "  A snapshot is a copy of the main file only, and the files would no longer belong together\n"
            "Migrate them as databases of their own, or without a snapshot, with a backup of all of them."
        )


@contextmanager
def blaming(path: Path) -> Iterator[None]:
    """
    What SQLite says while only a snapshot is read, or a copy of it written.

    Raises:
        SnapshotUnusable: It is damaged, no database, or locked.
    """
    try:
        yield
    except Exception as error:
        origin = getattr(error, "orig", error)
        bad = (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_CANTOPEN)
        if isinstance(origin, sqlite3.Error) and primary_code(origin) in bad:
            raise SnapshotUnusable(path, reason(error)) from error
        if isinstance(origin, sqlite3.Error) and primary_code(origin) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise SnapshotUnusable(path, "another program writes to it", "Stop that, or take a copy of it.") from error
        raise


def require_room(name: str, folder: Path, needed: int, what: str) -> None:
    """
    Refuse what the disk has no room for, before it is begun.

    Raises:
        DiskFull: It tells how much is needed, and how much is free.
    """
    # A hundredth, for what others write meanwhile.
    needed += needed // 100 + 1_048_576
    free = free_bytes(str(folder))
    if free < needed:
        told = f"needs {readable_size(needed)} in {folder}, where {readable_size(free)} are free (nothing was begun)"
        raise DiskFull(name, f"{what} {told}")
