"""
The folder in which templates are kept: each is there whole or not at all, whoever is killed whenever.

A template is a file and a slip beside it, which tells its checksum and the application's files that it was made with.
Both are written under other names and renamed, the slip first: a file without a slip that fits counts for nothing. Who
makes one has the lock of the folder, which the system gives back when its process ends.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import sqlite3
import stat
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import ConfigurationError, DatabaseLocked
from .fingerprint import OF_A_RUN, is_unchanged

__all__ = ["KEPT", "PATIENCE", "UNUSED_FOR", "Kept", "Shelf", "copy", "folder_of_user", "still_kept"]

logger = logging.getLogger("sqlmig.testing")

PATIENCE = 600.0
"""Seconds to wait for another process that makes a template."""
KEPT = 24
"""So many templates are kept, those that were used last."""
UNUSED_FOR = 7 * 24 * 3600.0
"""Seconds after which one that nobody uses goes."""
RUN_OVER_AFTER = 3600.0
"""The same of one that is of one run only."""
_TOUCHED_EVERY = 3600.0


class Kept(NamedTuple):
    """
    A template.

    Attributes:
        file: Open, so that it stays whoever removes it.
        files: The application's files that it was made with, and their hashes.
    """

    file: BufferedReader
    files: Mapping[str, str]


class Shelf:
    """
    Templates in a folder.

    Args:
        folder: Made where it is not there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._unusable(error) from error

    def find(self, key: str) -> Kept | None:
        """A template; None where there is none that is whole, and made with files that are as they were."""
        path = self.folder / f"{key}.db"
        try:
            slip = json.loads(self._slip(key).read_text(encoding="utf-8"))
            file = path.open("rb")
        except (OSError, ValueError):
            return None
        try:
            whole = hashlib.file_digest(file, "sha256").hexdigest() == slip["sha256"]
            if whole and is_unchanged(slip["files"]):
                if time.time() - os.fstat(file.fileno()).st_mtime > _TOUCHED_EVERY:
                    with suppress(OSError):
                        os.utime(path)
                return Kept(file, slip["files"])
        except (OSError, KeyError, TypeError, AttributeError):
            whole = False
        file.close()
        if not whole:
            logger.warning("%s is damaged, and is made anew", path)
        return None

    @contextmanager
    def lock(self) -> Iterator[None]:
        """
        Have other processes wait, and what killed ones left removed.

        Raises:
            DatabaseLocked: Another has had it for too long.
            ConfigurationError: The folder cannot be written.
        """
        place = str(self.folder / "lock")
        try:
            opened = sqlite3.connect(place, timeout=0, isolation_level=None)
        except sqlite3.OperationalError as error:
            raise self._unusable(error) from error
        with closing(opened) as lock:
            self._wait_for(lock, place)
            for left in self.folder.glob("making-*"):
                # Only the holder of the lock makes any.
                with suppress(OSError):
                    left.unlink()
            yield

    def publish(self, key: str, file: BufferedReader, files: Mapping[str, str]) -> Kept:
        """
        Put a copy of a file that is whole where it is found, under the lock, and remove what is old.

        Args:
            files: The application's files that it was made with.

        Raises:
            OSError: It could not be written; nothing of it counts.
        """
        checksum = hashlib.file_digest(file, "sha256").hexdigest()
        with ExitStack() as stack:
            slip, made = (stack.enter_context(self._new()) for _ in range(2))
            with slip.open("w", encoding="utf-8") as stream:
                json.dump({"sha256": checksum, "files": dict(files)}, stream)
                stream.flush()
                os.fsync(stream.fileno())
            with made.open("wb") as target:
                copy(file, target)
                target.flush()
                os.fsync(target.fileno())
            os.replace(slip, self._slip(key))
            os.replace(made, self.folder / f"{key}.db")
        self._remember()
        self._sweep(key)
        found = self.find(key)
        if found is None:
            raise OSError(f"what was written to {self.folder} is not what is read there")
        return found

    @contextmanager
    def _new(self) -> Iterator[Path]:
        """Where something may be written under the lock; at the end it is renamed, or gone."""
        handle, name = tempfile.mkstemp(prefix="making-", suffix=".db", dir=self.folder)
        os.close(handle)
        try:
            yield Path(name)
        finally:
            with suppress(OSError):
                os.unlink(name)

    def _unusable(self, error: Exception) -> ConfigurationError:
        return ConfigurationError(
            f"The folder for migrated databases cannot be used: {self.folder}\n  {error}\n"
            "Make it one that this user can write, or name another: cache_dir in pytest's configuration."
        )

    def _slip(self, key: str) -> Path:
        return self.folder / f"{key}.json"

    def _wait_for(self, lock: sqlite3.Connection, place: str) -> None:
        deadline, pause = time.monotonic() + PATIENCE, 0.005
        while True:
            try:
                lock.execute("BEGIN EXCLUSIVE")
                return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
                    raise self._unusable(error) from error
                if time.monotonic() > deadline:
                    raise DatabaseLocked(
                        place, PATIENCE, "another run of the tests migrates the database that all are copied from"
                    ) from error
            time.sleep(pause)
            pause = min(pause * 1.5, 0.1)

    def _remember(self) -> None:
        """Have the names outlast a machine that stops."""
        with suppress(OSError, AttributeError):
            folder = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    def _sweep(self, own: str) -> None:
        """Remove templates that nobody has used for long, and slips without a template."""
        used: list[tuple[float, str]] = []
        for path in self.folder.glob("*.db"):
            with suppress(OSError):
                if not path.name.startswith("making-"):
                    used.append((time.time() - path.stat().st_mtime, path.stem))
        kept = {own, *still_kept(used, KEPT)}
        for path in [*self.folder.glob("*.db"), *self.folder.glob("*.json")]:
            if path.stem not in kept and not path.name.startswith("making-"):
                with suppress(OSError):
                    path.unlink()


def still_kept(used: Iterable[tuple[float, str]], number: int) -> list[str]:
    """
    Of templates those that are not removed yet.

    Args:
        used: How many seconds ago each was used, and its key.
        number: How many there may be beside those of a run.
    """
    found = sorted(used)
    of_runs = [key for ago, key in found if key.startswith(OF_A_RUN) and ago < RUN_OVER_AFTER]
    return [key for ago, key in found if not key.startswith(OF_A_RUN) and ago < UNUSED_FOR][:number] + of_runs


def folder_of_user() -> Path:
    """A folder for templates among the system's temporary ones, which nobody else can write into."""
    name = str(os.getuid()) if hasattr(os, "getuid") else os.environ.get("USERNAME", "user")
    folder = Path(tempfile.gettempdir()) / f"sqlmig-testing-{name}"
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    facts = folder.lstat()
    if hasattr(os, "getuid") and (
        not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.getuid() or facts.st_mode & 0o022
    ):
        raise ConfigurationError(
            f"{folder} is another user's, or others can write into it, so that no database is kept there.\n"
            "  migrated databases are read from it\n"
            "Remove it; or have pytest's cacheprovider on, so that they are kept in its cache_dir."
        )
    return folder


def copy(source: BufferedReader, target: Any) -> None:
    """The whole of a file, by the system itself where it can: on some disks that copies nothing."""
    size, done = os.fstat(source.fileno()).st_size, 0
    if hasattr(os, "copy_file_range"):
        with suppress(OSError):
            while done < size:
                count = os.copy_file_range(source.fileno(), target.fileno(), size - done, done, done)
                if not count:
                    break
                done += count
            if done == size:
                return
    source.seek(0)
    target.seek(0)
    target.truncate()
    shutil.copyfileobj(source, target, 1 << 20)
