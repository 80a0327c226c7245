"""How much room a database takes while it is migrated."""

from __future__ import annotations

import os
import threading
from contextlib import suppress

__all__ = ["DiskWatch"]

_SUFFIXES = ("", "-journal", "-wal")
_EVERY = 0.01


class DiskWatch:
    """
    The peak of what files of databases and their journals take, while it is entered.

    Looked at after each migration inside its transaction, where the journal is whole, and every few milliseconds,
    for what a migration needs only in between (VACUUM). SQLite's own temporary files are not seen.

    Attributes:
        growth: The peak, more than at the beginning; in bytes.

    Args:
        files: None for databases in memory.
        start: What they take when it begins.
    """

    def __init__(self, files: list[str], start: int) -> None:
        self._files, self._start, self._peak = files, start, start
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def growth(self) -> int:
        return self._peak - self._start

    def __enter__(self) -> DiskWatch:
        if self._files:
            self._thread = threading.Thread(target=self._watch, name="sqlmig-disk-watch", daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def look(self, pages: int) -> None:
        """Take into account that the transaction which is open will make *pages* bytes of the databases' files."""
        files = sum(_size(file) for file in self._files)
        self._peak = max(self._peak, self._size() - files + max(files, pages))

    def _watch(self) -> None:
        while not self._stop.wait(_EVERY):
            self._peak = max(self._peak, self._size())

    def _size(self) -> int:
        return sum(_size(file + suffix) for file in self._files for suffix in _SUFFIXES)


def _size(path: str) -> int:
    with suppress(OSError):
        return os.stat(path).st_size
    return 0
