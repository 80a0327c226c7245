"""
The snapshots of one database in one folder: their names, files that are not finished, and which are kept.

A file with the name of a snapshot is always whole and verified: it is written under another name, and gets its own
in one step. What a killed process has left of one is named for that process, and is cleared away by the next.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ..errors import ConfigurationError
from ..provenance import is_marked_running, process_mark
from ..results import Record

__all__ = ["Shelf", "Snapshot", "kept", "shelf_of", "taken_at_of"]

logger = logging.getLogger("sqlmig.snapshots")

_NAMED = re.compile(r"(?P<stem>.+)\.v(?P<version>\d{3,})\.(?P<time>\d{8}T\d{6}\.\d{3}Z)\.snapshot", re.DOTALL)
# A process whose life or death cannot be known (of another host) is taken for dead after a day without a write.
_FORGOTTEN = 24 * 3600.0


class Snapshot(Record):
    """
    A verified copy of a database.

    Attributes:
        path: Of the file, an SQLite database by itself.
        version: That the database was at.
        taken_at: The moment that it shows, in UTC.
        size: In bytes.
    """

    path: Path
    version: int
    taken_at: datetime
    size: int

    def __str__(self) -> str:
        return f"{self.path.name} (version {self.version}, {self.taken_at:%Y-%m-%d %H:%M:%S} UTC)"


class Shelf:
    """
    One database's place for snapshots.

    Args:
        folder: Made when it is needed.
        stem: What their names begin with; those of other databases begin with something else.
    """

    def __init__(self, folder: Path, stem: str) -> None:
        self.folder, self.stem = folder, stem

    def listed(self) -> list[Snapshot]:
        """The snapshots that are there, newest first."""
        found = []
        for entry in self._entries():
            named = _NAMED.fullmatch(entry.name)
            taken_at = None if named is None or named["stem"] != self.stem else _as_time(named["time"])
            if named is not None and taken_at is not None:
                # One that another process has just rotated away is none.
                with suppress(OSError):
                    path, version, size = self.folder / entry.name, int(named["version"]), entry.stat().st_size
                    found.append(Snapshot(path=path, version=version, taken_at=taken_at, size=size))
        return sorted(found, key=lambda one: (one.taken_at, one.version), reverse=True)

    @contextmanager
    def unfinished(self, database: Path | None) -> Iterator[Path]:
        """An empty file to write into, which whoever may read *database* may read; gone at the end."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(
                f"The folder {self.folder} for snapshots cannot be made.\n  {error}\n"
                "Name another: SnapshotPolicy(folder), or --snapshot-folder FOLDER"
            ) from error
        for number in range(1, 1000):
            path = self.folder / f"{self.stem}.{process_mark()}-{number}.partial"
            with suppress(FileExistsError):
                # Nobody else may read it, not even before it has its permissions.
                os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
                break
        try:
            if database is not None and database.exists():
                _permit_as(path, database.stat())
            yield path
        finally:
            _remove(path)

    def publish(self, unfinished: Path, version: int, taken_at: datetime) -> Snapshot:
        """Give a file that is whole the name of a snapshot, never one that is taken."""
        size = unfinished.stat().st_size
        _sync(unfinished)
        taken_at = taken_at.replace(microsecond=taken_at.microsecond // 1000 * 1000)
        while True:
            path = self.folder / f"{self.stem}.v{version:03}.{_as_name(taken_at)}.snapshot"
            try:
                _rename(unfinished, path)
                break
            except FileExistsError:
                taken_at += timedelta(milliseconds=1)
        _sync_folder(self.folder)
        return Snapshot(path=path, version=version, taken_at=taken_at, size=size)

    def rotate(self, keep: int | None, new: Snapshot) -> None:
        """Remove what is more than *keep*; the *new* one always stays."""
        listed = self.listed()
        stay = {snapshot.path for snapshot in kept(listed, keep)}
        for snapshot in listed:
            if snapshot.path not in stay and snapshot.path != new.path:
                try:
                    snapshot.path.unlink()
                except OSError as error:
                    logger.warning("an old snapshot could not be removed: %s", error)

    def sweep(self) -> None:
        """Clear away what killed processes have left unfinished."""
        for entry in self._entries():
            named = re.fullmatch(
                re.escape(self.stem) + r"\.(\d+-\w+-\w+)-\d+\.partial(-journal|-wal|-shm)?", entry.name
            )
            with suppress(OSError):
                if named is not None and self._is_left(named[1], entry.stat().st_mtime):
                    os.unlink(entry.path)
                    logger.info("removed %s, which a process has left unfinished", entry.path)

    def _is_left(self, mark: str, written: float) -> bool:
        running = is_marked_running(mark)
        return time.time() - written > _FORGOTTEN if running is None else not running

    def _entries(self) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(self.folder) as entries:
                return list(entries)
        except (FileNotFoundError, NotADirectoryError):
            return []


def shelf_of(file: Path | None, folder: Path | None, table: str) -> Shelf:
    """
    The shelf of a database.

    Args:
        file: The database; None for one in memory, which needs a *folder*.
        folder: Where snapshots go; None for beside the database.
        table: Its versions table: each of several histories of one file has versions of its own.
    """
    stem = "memory" if file is None else file.name
    if file is not None and folder is not None and not _same_folder(folder, file.parent):
        # Two databases may have the same name in two folders, and one place for their snapshots.
        stem += "-" + hashlib.sha256(os.fsencode(file)).hexdigest()[:8]
    if table != "migration_versions":
        # Another database beside this one may be called like both together.
        stem += f".{table}-{hashlib.sha256(table.encode()).hexdigest()[:8]}"
    if folder is None:
        assert file is not None
        folder = file.parent
    return Shelf(folder, stem)


def kept(listed: list[Snapshot], keep: int | None) -> list[Snapshot]:
    """
    Those of *listed*, newest first, that stay.

    Of many of one version the oldest and the newest stay before others: a program that fails to migrate, and is started
    over and over, must push out neither what there is of the versions before, nor what was there before its first try.
    """
    stay = list(listed)
    while keep is not None and len(stay) > keep:
        several = Counter(snapshot.version for snapshot in stay)
        crowded = next((version for version, number in several.items() if number > 2), None)
        of_one = [one for one in stay if one.version == crowded]
        stay.remove(of_one[-2] if crowded is not None and keep > 1 else stay[-1])
    return stay


def taken_at_of(path: Path) -> datetime:
    """When a file was taken: as its name says, else when it was last written."""
    named = _NAMED.fullmatch(path.name)
    said = None if named is None else _as_time(named["time"])
    return said or datetime.fromtimestamp(path.stat().st_mtime, UTC).replace(microsecond=0)


def _as_name(time: datetime) -> str:
    return f"{time:%Y%m%dT%H%M%S}.{time.microsecond // 1000:03}Z"


def _as_time(name: str) -> datetime | None:
    try:
        return datetime.strptime(name, "%Y%m%dT%H%M%S.%fZ").replace(tzinfo=UTC)
    except ValueError:
        return None


def _same_folder(one: Path, other: Path) -> bool:
    with suppress(OSError):
        return os.path.samefile(one, other)
    return os.path.abspath(one) == os.path.abspath(other)


def _rename(old: Path, new: Path) -> None:
    """
    Rename a file, in one step.

    Raises:
        FileExistsError: The name is taken; rename() would replace what has it.
    """
    try:
        os.link(old, new)
    except FileExistsError:
        raise
    except (OSError, AttributeError, NotImplementedError):
        # A file system without links (FAT, some of networks).
        if new.exists():
            raise FileExistsError(new) from None
        os.rename(old, new)


def _permit_as(path: Path, like: os.stat_result) -> None:
    os.chmod(path, (like.st_mode & 0o777) | 0o600)
    if getattr(os, "geteuid", lambda: -1)() == 0:
        with suppress(OSError):
            os.chown(path, like.st_uid, like.st_gid)


def _remove(path: Path) -> None:
    for suffix in ("", "-journal", "-wal", "-shm"):
        with suppress(OSError):
            os.unlink(f"{path}{suffix}")


def _sync(path: Path) -> None:
    with open(path, "rb+") as stream:
        os.fsync(stream.fileno())


def _sync_folder(folder: Path) -> None:
    """Have a new name survive the power's going away, where the system can open a folder."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
