"""An Alembic history written as a folder of migrations, which goes on where any of its databases is."""

from __future__ import annotations

import os
import shutil
import tempfile
import tokenize
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from alembic.config import Config
from alembic.util import CommandError

from sqlmig import ConfigurationError, MigrationError, MigrationManager, ValidationFailed
from sqlmig.results import Issue
from sqlmig.sources import Sources

from .history import History, needs
from .native_files import NativeFile, Unconvertible, convert
from .project import Project

__all__ = ["Imported", "import_history"]


class Imported(NamedTuple):
    """What was written."""

    paths: list[Path]
    notes: list[str]
    """Where a human should look: file, line, and why."""


def import_history(
    location: str | os.PathLike[str] | Config,
    out: str | os.PathLike[str],
    *,
    naming_convention: Mapping[str, str] | None = None,
    version_table: str = "alembic_version",
) -> Imported:
    """
    Write every revision of an Alembic history as a migration file; all of them, or none.

    Args:
        location: Alembic's folder, "package:folder", the path of an alembic.ini, or a Config.
        out: The folder to write to; no migration may be in it.
        naming_convention: As in the `MetaData(naming_convention=...)` of the project's env.py; {} where it has none.
        version_table: Where the project keeps its revisions.

    Raises:
        ConfigurationError: There is no history there, or *out* is taken.
        ValidationFailed: A revision cannot be written as a migration; nothing was written.
    """
    history, folder, naming = _history(location), Path(out), _naming(naming_convention)
    scripts = history.order
    _require_free(folder)
    _require_elsewhere(folder, history.directory._version_locations)
    versions = {script.revision: number for number, script in enumerate(scripts, 1)}
    files, issues = [], []
    notes = [] if naming_convention is not None else [_UNNAMED]
    for script in scripts:
        path, version = Path(script.path), versions[script.revision]
        try:
            file = convert(
                _text(path),
                version=version,
                revision=script.revision,
                dependencies=[versions[name] for name in needs(script)],
                naming_convention=naming,
                version_table=version_table,
            )
        except Unconvertible as error:
            issues.append(Issue(f"{path}:{error.line}: {error}", kind="import", version=version, path=path))
            continue
        files.append(file)
        notes += [f"{path}:{note.line}: {note.text}" for note in file.notes]
    if issues:
        raise ValidationFailed(issues)
    return Imported(_write(files, folder), notes)


_UNNAMED = (
    "env.py was not run: where its target_metadata has a naming_convention, each file must say the same"
    " (`naming_convention = {...}`), for the names of constraints hang on it"
)


def _naming(convention: Mapping[str, str] | None) -> dict[str, str]:
    """
    What can be written into a file of a naming convention.

    Raises:
        ConfigurationError: Something in it is no text.
    """
    found = dict(convention or {})
    wrong = [key for key, value in found.items() if not isinstance(key, str) or not isinstance(value, str)]
    if wrong:
        raise ConfigurationError(
            f"The naming convention cannot be written into a file: {wrong[0]!r} is more than a text.\n"
            "  Nothing was written.\n"
            "Pass naming_convention={} to import_history(), and import the convention in the files that need it."
        )
    return found


def _history(location: str | os.PathLike[str] | Config) -> History:
    """
    The revisions, each after what it needs.

    Raises:
        ConfigurationError: There is no history, or Alembic cannot make sense of it.
    """
    try:
        history = History(Project(location, "sqlite://"))
    except CommandError as error:
        raise ConfigurationError(
            f"No Alembic history was found in {location}.\n  {error}\n"
            "Name the folder with env.py and versions, or the alembic.ini."
        ) from error
    except MigrationError:
        raise
    except Exception as error:
        raise ValidationFailed([Issue(f"{location}: {type(error).__name__}: {error}", kind="import")]) from error
    if not history.order:
        raise ConfigurationError(
            f"There is no revision in {location}.\n  {history.directory.versions} has none\n"
            "Name the folder with env.py and versions, or the alembic.ini."
        )
    return history


def _text(path: Path) -> str:
    """What is in a file, whatever encoding it says; written anew it is UTF-8."""
    try:
        with tokenize.open(path) as stream:
            text = stream.read()
    except (OSError, SyntaxError, UnicodeDecodeError) as error:
        raise Unconvertible(f"it cannot be read: {error}") from error
    head = text.split("\n", 2)
    for number, line in enumerate(head[:2]):
        if tokenize.cookie_re.match(line):
            head[number] = "# -*- coding: utf-8 -*-"
    return "\n".join(head)


def _require_elsewhere(folder: Path, locations: Iterable[str | os.PathLike[str]]) -> None:
    """Alembic takes every file in its folders for a revision."""
    for theirs in locations:
        if folder.resolve() == Path(theirs).resolve():
            raise ConfigurationError(
                f"{folder} is where Alembic keeps its revisions; nothing was written.\n"
                "  Alembic would take the migrations for revisions, and fail at each of them\n"
                "Name another folder: --out NAME"
            )


def _require_free(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise ConfigurationError(f"{folder} is no folder.\n  Nothing was written.\nName another: --out FOLDER")
    taken = sorted(file.name for file in Sources(folder).files()) if folder.is_dir() else []
    if taken:
        raise ConfigurationError(
            f"There are migrations in {folder} already.\n"
            f"  {taken[0]}{f' and {len(taken) - 1} more' if len(taken) > 1 else ''}; nothing was written\n"
            "Name a folder without: --out FOLDER"
        )


def _write(files: Sequence[NativeFile], folder: Path) -> list[Path]:
    """All of them, once sqlmig has loaded each from another folder; or none."""
    home = folder.resolve().parent
    made = next((parent for parent in [*reversed(home.parents), home] if not parent.exists()), None)
    try:
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".sqlmig-import-", dir=home) as name:
            rehearsal = Path(name) / folder.name
            rehearsal.mkdir()
            for file in files:
                (rehearsal / file.name).write_text(file.text, encoding="utf-8")
            issues = MigrationManager(":memory:", rehearsal).validate_migration_sequence()
            if issues:
                raise ValidationFailed(issues)
            shutil.rmtree(rehearsal / "__pycache__", ignore_errors=True)
            if not folder.exists():
                rehearsal.rename(folder)
            else:
                _add(files, folder)
    except OSError as error:
        _remove(made)
        raise ConfigurationError(
            f"The migrations cannot be written to {folder}.\n  {error}; nothing was written\nName another: --out FOLDER"
        ) from error
    except BaseException:
        _remove(made)
        raise
    return [folder / file.name for file in files]


def _add(files: Sequence[NativeFile], folder: Path) -> None:
    """Into a folder that has other files: what is there is never written over."""
    added: list[Path] = []
    try:
        for file in files:
            with (folder / file.name).open("x", encoding="utf-8") as stream:
                added.append(folder / file.name)
                stream.write(file.text)
    except BaseException:
        for path in added:
            path.unlink()
        raise


def _remove(made: Path | None) -> None:
    """Take away the folders that were made for nothing."""
    if made is not None:
        shutil.rmtree(made, ignore_errors=True)
