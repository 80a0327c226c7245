"""Migrations compared with those of the branch that this one is to be merged into, by git."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ..checksum import text_hash
from ..loader import DIALECTS, Checksums, SqlChecksums
from ..sources import MigrationFile, version_in
from ..squashed import Squashes
from .faults import Fault, NotTried
from .traces import shown

if TYPE_CHECKING:
    from .project import Project

__all__ = ["FileFault", "faults_of"]

_BRANCHES = ("origin/HEAD", "origin/main", "origin/master", "main", "master")


class FileFault(NamedTuple):
    """What is wrong with the file of a version, and what to do."""

    version: int
    text: str


def faults_of(project: Project, base: str | None) -> list[FileFault]:
    """
    Everything that is wrong with the files as against the base branch.

    Args:
        base: Its name; by default the branch that `origin` begins with, `main` or `master`.

    Raises:
        NotTried: There is no git here, or no such branch.
        Fault: The branch that was named is not there.
    """
    return [fault for folder in project.sources.folders for fault in _faults_in(str(folder), base)]


def _faults_in(folder: str, base: str | None) -> list[FileFault]:
    branch = _branch(folder, base)
    # What was merged there since this branch began is not missing here.
    origin = _git(folder, "merge-base", "HEAD", branch)
    if origin is None:
        raise NotTried(f"git knows no commit from which both HEAD and {branch} began; fetch more of the history")
    # One in Python goes before the SQL file of its number that it runs.
    before, now = (
        _names(folder, origin.strip()),
        sorted(os.listdir(folder), key=lambda name: (name.endswith(".py"), name)),
    )
    here = {version: name for name in now if (version := version_in(name))}
    squashes = Squashes([MigrationFile(version, folder, name) for version, name in sorted(here.items())])
    faults = [
        fault
        for name in before
        if not _is_squashed(folder, origin.strip(), name, squashes)
        for fault in _changed(folder, branch, origin.strip(), name, here)
    ]
    merged = _names(folder, branch)
    newest = max((version_in(name) or 0 for name in merged), default=0)
    faults += [
        FileFault(
            version,
            f"Migration {version:03} is new here, and {branch} has migrations up to {newest:03} already.\n"
            f"  {name}: databases that are at {newest:03} would never have it, or refuse it as out of order\n"
            f"Give it a number above that, in its name and in its class: {newest + 1:03}\n"
            f"  sqlmig renumber {name} {newest + 1}",
        )
        for version, name in here.items()
        if version <= newest and name not in before and name not in merged and not _had(version, before)
    ]
    return faults


def _is_squashed(folder: str, origin: str, name: str, squashes: Squashes) -> bool:
    """Whether a file that is gone is one that another replaces, as it was in the base branch."""
    squash = squashes.replacing(version_in(name) or 0)
    was = None if squash is None or Path(folder, name).exists() else _git_bytes(folder, "show", f"{origin}:./{name}")
    if squash is None or was is None:
        return False
    recorded = {one.checksum for one in squash.replaces[version_in(name) or 0]}
    try:
        if name.endswith(".sql"):
            return any(SqlChecksums(was, dialect).syntax in recorded for dialect in DIALECTS)
        return Checksums(was).syntax in recorded
    except (SyntaxError, ValueError, RecursionError):
        return False


def _had(version: int, names: Mapping[str, str]) -> bool:
    return any(version_in(name) == version for name in names)


def _changed(folder: str, branch: str, origin: str, name: str, here: Mapping[int, str]) -> Iterator[FileFault]:
    """What has become of a file that the base branch had."""
    version = version_in(name)
    path = Path(folder, name)
    mend = f"Bring it back, and put the change into a new migration: git checkout {branch} -- {_typed(path)}"
    if version is None:
        return
    if not path.exists():
        other = here.get(version)
        if other is not None:
            what = f"Migration {version:03} was renamed since {branch}: {name} is {other} now."
            facts = "databases that have it know it by its name"
            mend = f"Give it its name back: git mv {_typed(path.with_name(other))} {_typed(path)}"
        else:
            what = f"Migration {version:03} was removed since {branch}: {name}."
            facts = "databases that have it could not be migrated any more"
        yield FileFault(version, f"{what}\n  {facts}\n{mend}")
        return
    was = _git_bytes(folder, "show", f"{origin}:./{name}")
    text = path.read_bytes()
    if was is not None and not _is_same(name, was, text):
        yield FileFault(
            version,
            f"Migration {version:03} was changed since {branch}, where it may be applied already.\n"
            f"  {name} does something else now; such databases would refuse it\n{mend}",
        )
    for used in _files_named_in(folder, text):
        was = _git_bytes(folder, "show", f"{origin}:./{used}")
        if was is not None and text_hash(was) != text_hash(Path(folder, used).read_bytes()):
            yield FileFault(
                version,
                f"Migration {version:03} runs an SQL file that was changed since {branch}.\n  {used}\n"
                "Bring it back, and put the change into a new migration: "
                f"git checkout {branch} -- {_typed(Path(folder, used))}",
            )


def _is_same(name: str, was: bytes, now: bytes) -> bool:
    """Whether two texts of a migration do the same: formatting and comments are no change."""
    if text_hash(was) == text_hash(now):
        return True
    if name.endswith(".sql"):
        return any(_say_the_same(SqlChecksums(was, dialect), SqlChecksums(now, dialect)) for dialect in DIALECTS)
    return _say_the_same(Checksums(was), Checksums(now))


def _say_the_same(was: Checksums, now: Checksums) -> bool:
    try:
        return was.syntax == now.syntax
    except (SyntaxError, ValueError, RecursionError):
        return False


def _files_named_in(folder: str, text: bytes) -> list[str]:
    """SQL files beside a migration that its text names."""
    named = re.findall(rb"[\w./-]+\.sql\b", text)
    return [name for name in dict.fromkeys(found.decode() for found in named) if Path(folder, name).is_file()]


def _names(folder: str, commit: str) -> dict[str, str]:
    """The names of the migrations in a folder as they were in a commit; none where there was no such folder."""
    listed = _git(folder, "ls-tree", "-z", "--name-only", commit, "./")
    if not listed:
        return {}
    names = [os.path.basename(name) for name in listed.split("\0") if name]
    return {name: name for name in names if version_in(name) is not None}


def _branch(folder: str, base: str | None) -> str:
    if _git(folder, "rev-parse", "--is-inside-work-tree") is None:
        raise NotTried(f"{folder} is in no repository of git, or git is not installed")
    if base is not None:
        if _git(folder, "rev-parse", "--verify", "--quiet", f"{base}^{{commit}}") is None:
            raise Fault(
                f"There is no branch {base} here, with which the migrations are to be compared.\n"
                "  it was named by --sqlmig-base\nFetch it (git fetch origin), or name another."
            )
        return base
    for name in _BRANCHES:
        if _git(folder, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}") is not None:
            return name
    raise NotTried(f"git has none of {', '.join(_BRANCHES)} here; fetch one, or name it: --sqlmig-base BRANCH")


def _typed(path: Path) -> str:
    """A path as a shell takes it."""
    return shlex.quote(shown(path))


def _git(folder: str, *arguments: str) -> str | None:
    """What git prints; None where it fails, or is not there."""
    found = _git_bytes(folder, *arguments)
    return found.decode(errors="surrogateescape") if found is not None else None


def _git_bytes(folder: str, *arguments: str) -> bytes | None:
    # A hook of git's sets where the repository is, which need not be this one.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        ran = subprocess.run(
            ["git", "-C", folder, *arguments], capture_output=True, check=False, env=environment, timeout=60
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return ran.stdout if ran.returncode == 0 else None
