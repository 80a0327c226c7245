"""What a migrated database depends on, as a key: where one of these is another, so is the database."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import platform
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.util import resolve_name
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import __version__
from ..checksum import text_hash
from ..loader import _package

if TYPE_CHECKING:
    from ..sources import MigrationFile
    from .project import Project

__all__ = ["OF_A_RUN", "chain", "digest", "imported", "is_installed", "is_unchanged"]

_FORM = 1
"""Of what is kept: another number when this module, or what it is kept in, means something else."""


OF_A_RUN = "run"
"""How the key of something begins that is of no use to other runs."""


def digest(*parts: str) -> str:
    """A key made of several."""
    return hashlib.sha256("\0".join(parts).encode(errors="surrogateescape")).hexdigest()[:24]


def chain(project: Project, facts: Mapping[str, Any]) -> dict[int, str]:
    """
    A key for the database at each version: that of the version before it, and the text of the migration.

    So a new migration leaves all keys below it as they are, and only it has to be run.

    Args:
        facts: What the database and its driver are.
    """
    base = {
        "form": _FORM,
        "sqlmig": [__version__, _own_files()],
        "python": platform.python_version(),
        "packages": _packages(),
        "migrator": {name: repr(value) for name, value in sorted(project.options.items())},
        "engine": {name: _stable(value) for name, value in sorted(project.engine_options.items())},
        "folders": project.identity,
        "beside": _beside(project),
        **facts,
    }
    key, keys = digest(json.dumps(base, sort_keys=True, default=str)), {}
    for file in project.files:
        with open(file.location, "rb") as stream:
            key = digest(key, file.name, text_hash(stream.read()))
        keys[file.version] = key
    return keys


@cache
def _own_files() -> str:
    """sqlmig's own files, by size and time: of a checkout the version alone says little."""
    facts = []
    for folder, folders, names in os.walk(Path(__file__).parents[1]):
        folders[:] = sorted(name for name in folders if name != "__pycache__")
        for name in sorted(names):
            found = os.stat(os.path.join(folder, name))
            facts.append(f"{folder} {name} {found.st_size} {found.st_mtime_ns}")
    return digest(*facts)


@cache
def _packages() -> str:
    """What is installed: names with versions, and when that was."""
    facts = []
    for place in sorted({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}):
        with os.scandir(place) as entries:
            found = [entry for entry in entries if entry.name.endswith(".dist-info")]
        facts += sorted(f"{entry.name} {entry.stat().st_mtime_ns}" for entry in found)
    return digest(*facts)


def _stable(value: Any) -> str:
    """A value in words that are the same in every process."""
    text = repr(value)
    return text if " at 0x" not in text else f"{type(value).__module__}.{type(value).__qualname__}"


def _beside(project: Project) -> str:
    """What else is in the folders of the migrations: helpers that they import, SQL that they run."""
    migrations = {file.location for file in project.files}
    facts = []
    for root in map(str, project.sources.folders):
        for folder, folders, names in os.walk(root):
            folders[:] = sorted(name for name in folders if not name.startswith((".", "__pycache__")))
            for name in sorted(names):
                path = os.path.join(folder, name)
                if path not in migrations and not name.startswith(".") and not name.endswith((".pyc", "~")):
                    facts.append(f"{path} {_hash_of(path)}")
    return digest(*facts)


def _hash_of(path: str) -> str:
    """Of a file's content; nothing where it cannot be read."""
    try:
        with open(path, "rb") as stream:
            return hashlib.sha256(stream.read()).hexdigest()
    except OSError:
        return ""


# What migrations import of the application


def is_unchanged(files: Mapping[str, str]) -> bool:
    """Whether files that a database was made with are as they were then."""
    return all(_hash_of(path) == found for path, found in files.items())


def imported(project: Project, ran: Iterable[MigrationFile], others: Iterable[str] = ()) -> dict[str, str]:
    """
    The application's own files that migrations have imported, and those that these import, with their hashes.

    Args:
        ran: The migrations, which have been run in this process.
        others: Files that they have read.
    """
    beside = tuple(f"{folder}{os.sep}" for folder in project.sources.folders)
    found: dict[str, str] = {}
    waiting = [(file.location, file.package or _package(os.path.dirname(file.location))) for file in ran]
    seen = {path for path, _ in waiting}
    while waiting:
        for name in _imports(*waiting.pop()):
            module = sys.modules.get(name)
            path = getattr(module, "__file__", None)
            if not path or path in seen or not path.endswith(".py") or is_installed(path):
                continue
            seen.add(path)
            waiting.append((path, getattr(module, "__package__", None) or ""))
            if not path.startswith(beside):
                found[path] = _hash_of(path)
    return found | {path: _hash_of(path) for path in others if not path.startswith(beside)}


def _imports(path: str, package: str) -> Iterator[str]:
    """The modules that a file may import, by their whole names, with the packages that they are in."""
    try:
        with open(path, "rb") as stream:
            tree = ast.parse(stream.read())
    except (OSError, SyntaxError, ValueError, RecursionError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            try:
                base = resolve_name("." * node.level + (node.module or ""), package) if node.level else node.module
            except ImportError:
                continue
            names = [f"{base}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            parts = name.split(".")
            yield from (".".join(parts[:n]) for n in range(1, len(parts) + 1))


@cache
def _installed() -> tuple[str, ...]:
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    places = {os.path.realpath(sysconfig.get_path(name)) for name in names} | {str(Path(__file__).resolve().parents[1])}
    return tuple(f"{place}{os.sep}" for place in places)


@cache
def is_installed(path: str) -> bool:
    """Whether a file is Python's, sqlmig's, or of another package that is installed."""
    return os.path.realpath(path).startswith(_installed())
