"""
The files of migrations exchanged for one: as it was before, or as it is to be, also where it fails in between.

Until all is done the old files lie beside under another name. What a process that was killed has left so is put back,
or brought to its end, by the next squash.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Collection, Sequence
from pathlib import Path

from ..errors import ConfigurationError
from ..sources import COMING

__all__ = ["exchange", "finish_what_was_killed", "not_in_git"]

_ASIDE = ".squashed-away"


def exchange(old: Sequence[Path], new: Path, text: str, keep_in: Path | None) -> None:
    """
    Have *new* with its text in the place of *old*.

    Args:
        keep_in: The folder to move the old ones to; they are deleted where it is None.

    Raises:
        ConfigurationError: It cannot be done; all is as it was before.
    """
    coming, done = new.with_name(new.name + COMING), list[tuple[Path, Path]]()
    made = keep_in is not None and not keep_in.exists()
    try:
        if keep_in is not None:
            keep_in.mkdir(exist_ok=True)
        if new.exists() and new not in old:
            raise FileExistsError(17, "there is a file of that name", str(new))
        with coming.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        for path in old:
            aside = path.with_name(path.name + _ASIDE)
            path.rename(aside)
            done.append((path, aside))
        coming.rename(new)
    except BaseException as error:
        for path, aside in reversed(done):
            aside.rename(path)
        coming.unlink(missing_ok=True)
        if keep_in is not None and made and keep_in.is_dir():
            keep_in.rmdir()
        if not isinstance(error, OSError):
            raise
        raise ConfigurationError(
            f"The files of the migrations cannot be exchanged; they are as they were before.\n"
            f"  {error.strerror or error}: {error.filename}\nCheck the folder: ls -l {new.parent}"
        ) from error
    for path, aside in done:
        _put_away(path, aside, keep_in)


def _put_away(path: Path, aside: Path, keep_in: Path | None) -> None:
    if keep_in is None:
        aside.unlink()
        return
    keep_in.mkdir(exist_ok=True)
    # One that an earlier squash has kept is another file.
    names = (path.name, *(f"{path.stem}_{number}{path.suffix}" for number in range(2, 1000)))
    # It may be a folder of another file system.
    shutil.move(aside, next(place for name in names if not (place := keep_in / name).exists()))


def finish_what_was_killed(folders: Collection[Path]) -> None:
    """
    Put the old files back that a killed squash had put aside, unless the new one is in its place already.

    Args:
        folders: All of a history: the new file is in one of them, for the old ones of each.
    """
    there = [folder for folder in folders if folder.is_dir()]
    coming = [path for folder in there for path in sorted(folder.glob(f"*{COMING}"))]
    for path in [path for folder in there for path in sorted(folder.glob(f"*{_ASIDE}"))]:
        before = path.with_name(path.name.removesuffix(_ASIDE))
        # Once none is to come, the new file is there; what is aside was about to be put away.
        if not coming:
            _put_away(before, path, path.parent / "squashed_away")
        elif not before.exists():
            path.rename(before)
    for path in coming:
        path.unlink()


def not_in_git(paths: Sequence[Path]) -> list[Path]:
    """Those that no commit has as they are now."""
    return [path for path in paths if not _is_committed(path)]


def _is_committed(path: Path) -> bool:
    # A hook of git's sets where the repository is, which need not be this one.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    git = ["git", "-C", str(path.parent)]
    # Whatever the index says of it: a file may be marked there as unchanged.
    commands = [[*git, "rev-parse", "--verify", "-q", f"HEAD:./{path.name}"], [*git, "hash-object", "--", path.name]]
    try:
        committed, now = (
            subprocess.run(one, capture_output=True, check=True, env=environment, timeout=60).stdout for one in commands
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return committed == now
