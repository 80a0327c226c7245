"""Where the copy of a rehearsal lies: a folder with room, a folder of its own in it, and what the killed left there."""

from __future__ import annotations

import errno
import json
import logging
import os
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress

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
    """
    A new folder in *parent*, which only this user can look into, for the time inside; it is always removed.

    Meanwhile a lock is held on a file in it, which tells whoever looks that it is in use: in another container as well,
    where this process has another number or none.
    """
    folder = tempfile.mkdtemp(prefix=PREFIX, dir=parent)
    try:
        with ExitStack() as held:
            # Renamed when it is locked, so that nobody finds it without.
            making = os.path.join(folder, _OWNER + ".new")
            owner = held.enter_context(open(making, "w", encoding="utf-8"))
            owner.write(as_json({}))
            owner.flush()
            if os.name == "nt":
                # Nobody can rename there what is open.
                owner.close()
                os.replace(making, os.path.join(folder, _OWNER))
                owner = held.enter_context(open(os.path.join(folder, _OWNER), "r+", encoding="utf-8"))
                _lock(owner.fileno())
            else:
                _lock(owner.fileno())
                os.replace(making, os.path.join(folder, _OWNER))
            yield folder
    finally:
        _remove(folder)


def _lock(file: int) -> bool | None:
    """Take the lock of an open file, until it is closed; False where another has it, None where there are no locks."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return False if error.errno in (errno.EAGAIN, errno.EACCES) else None
    return True


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
            with open(os.path.join(entry.path, _OWNER), "r+", encoding="utf-8") as owner:
                locked = _lock(owner.fileno())
                if locked is not None:
                    return locked
                facts_of_owner = json.load(owner)
                return isinstance(facts_of_owner, dict) and is_running(facts_of_owner) is False
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
