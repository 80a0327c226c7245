"""Where the copy of a rehearsal lies: a folder with room, a folder of its own in it, and what the killed left there."""

from __future__ import annotations

import json
import logging
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from ..errors import DiskFull
from ..provenance import as_json, is_running

__all__ = ["PREFIX", "choose", "folder_of_its_own", "free_bytes", "readable_size", "sweep"]

PREFIX = "sqlmig-rehearsal-"
_OWNER = "owner.json"
# A folder that does not say whose it is may be one that is just being made.
_ANONYMOUS_FOR = 3600.0

logger = logging.getLogger("sqlmig.safety")


def choose(folders: Sequence[str], needed: int, database: str) -> str:
    """
    The first of *folders* that can be written and has room for *needed* bytes.

    Raises:
        DiskFull: None has; nothing was written.
    """
    usable = [folder for folder in folders if os.path.isdir(folder) and os.access(folder, os.W_OK | os.X_OK)]
    for folder in usable:
        if free_bytes(folder) >= needed:
            return folder
    roomiest = max(usable, key=free_bytes, default=folders[0])
    free = free_bytes(roomiest) if usable else 0
    where = f"{roomiest} has {readable_size(free)} free" if usable else f"{roomiest} cannot be written"
    raise DiskFull(
        database,
        f"its rehearsal may need {readable_size(needed)}, and {where}",
        undone="Nothing was copied and nothing was changed.",
        hint="Free space there, name another folder: rehearse(folder=...), or ask for less: rehearse(room=1.5)",
        needed=needed,
        free=free,
        folder=roomiest,
    )


def free_bytes(folder: str) -> int:
    """What this user may still write there; 0 where that cannot be told."""
    try:
        return shutil.disk_usage(folder or ".").free
    except OSError:
        return 0


@contextmanager
def folder_of_its_own(parent: str) -> Iterator[str]:
    """A new folder in *parent*, which only this user can look into, for the time inside; it is always removed."""
    folder = tempfile.mkdtemp(prefix=PREFIX, dir=parent)
    try:
        with open(os.path.join(folder, _OWNER), "w", encoding="utf-8") as owner:
            owner.write(as_json({}))
        yield folder
    finally:
        _remove(folder)


def sweep(folders: Sequence[str]) -> None:
    """Remove what rehearsals left in *folders* whose processes were killed."""
    for folder in folders:
        with suppress(OSError), os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith(PREFIX) and _is_left_over(entry):
                    logger.info("removing %s, which a killed rehearsal left behind", entry.path)
                    _remove(entry.path)


def _is_left_over(entry: os.DirEntry[str]) -> bool:
    try:
        facts = entry.stat(follow_symlinks=False)
        # In a folder that is everybody's, another's is none of our business.
        if not stat.S_ISDIR(facts.st_mode) or (hasattr(os, "geteuid") and facts.st_uid != os.geteuid()):
            return False
        try:
            with open(os.path.join(entry.path, _OWNER), encoding="utf-8") as owner:
                return is_running(json.load(owner)) is False
        except (FileNotFoundError, ValueError):
            return time.time() - facts.st_mtime > _ANONYMOUS_FOR
    except OSError:
        return False


def _remove(folder: str) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    if os.path.exists(folder):
        logger.warning("the copy in %s could not be removed whole; the next rehearsal tries again", folder)


def readable_size(size: float) -> str:
    """`1,234,567` as `1.2 MB`."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if abs(size) < 1000:
            return f"{size:,.0f} {unit}" if unit == "bytes" else f"{size:,.1f} {unit}"
        size /= 1000
    return f"{size:,.1f} TB"
