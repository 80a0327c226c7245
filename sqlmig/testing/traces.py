"""A migration that fails, as a test says it: the message, and where in the application, without the frames between."""

from __future__ import annotations

import os
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from .fingerprint import is_installed

if TYPE_CHECKING:
    from .project import Project

__all__ = ["places", "shown", "told"]


def told(error: BaseException, project: Project) -> str:
    """What an error says, and the lines of the application that led to it."""
    return "\n".join([str(error), *places(error, project)])


def places(error: BaseException, project: Project) -> list[str]:
    """The lines of the application that led to an error, as `--tb=short` has them."""
    return list(_lines(error, project))


def shown(path: str | Path) -> str:
    """A path as it is typed here."""
    try:
        return str(Path(path).relative_to(Path.cwd()))
    except (ValueError, OSError):
        return str(path)


def _lines(error: BaseException, project: Project) -> Iterator[str]:
    for frame in _frames(error, project):
        yield f"{shown(frame.filename)}:{frame.lineno}: in {frame.name}"
        if frame.line:
            yield f"    {frame.line}"


def _frames(error: BaseException, project: Project) -> list[traceback.FrameSummary]:
    """Those of what a migration raised; the driver's own error, which is behind that, has been nowhere else."""
    beside = tuple(f"{folder}{os.sep}" for folder in project.sources.folders)
    raised = error.__cause__
    while raised is not None:
        frames = traceback.extract_tb(raised.__traceback__)
        found = [frame for frame in frames if frame.filename.startswith(beside) or _is_own(frame.filename)]
        if found:
            return found
        raised = raised.__cause__
    return []


def _is_own(path: str) -> bool:
    """Whether a file is the application's: what is no file has no line to be looked at."""
    return os.path.isabs(path) and not is_installed(path)
