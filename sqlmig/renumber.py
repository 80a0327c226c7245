"""
A migration file under another version: its name, its class, and what depends on it.

Numbers are written where they stand in the text, so that comments and formatting stay as they are.
"""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from .errors import ConfigurationError, ValidationFailed, near_matches
from .loader import Checksums, LoadedMigration, Unloadable
from .planning import check_numbers
from .results import Record
from .sources import version_in
from .squashed import assigned

if TYPE_CHECKING:
    from .manager import MigrationManager
    from .sources import MigrationFile

__all__ = ["RenumberedMigration", "renumber"]

_COMING = ".renumbering"
_DEPENDS = re.compile(rb"^(\s*--\s*sqlmig\s*:\s*depends\s*:)(.*)$", re.IGNORECASE | re.MULTILINE)


class RenumberedMigration(Record):
    """
    A migration that has another version now.

    Attributes:
        path: The file as it is called now.
        before: As it was called.
        version: The one that it has now.
        dependents: The files that depend on it, and name the new version now.
        warnings: What is to be looked at.
    """

    path: Path
    before: Path
    version: int
    dependents: list[Path]
    warnings: list[str]

    def __str__(self) -> str:
        lines = [f"{self.before.name} is {self.path.name} now."]
        lines += [f"{path.name} depends on version {self.version} now." for path in self.dependents]
        return "\n".join([*lines, *(f"Look at it: {warning}" for warning in self.warnings)])


class _Span(NamedTuple):
    """A number in a text, by its place in bytes."""

    start: int
    end: int
    number: int


def renumber(
    manager: MigrationManager, name: str | os.PathLike[str], version: int | None = None
) -> RenumberedMigration:
    """
    Give a migration file another version.

    Args:
        name, version: As in `Migrator.renumber`.
    """
    file = _find(manager, os.fspath(name))
    taken = set(manager.sources.versions())
    new = max(taken) + 1 if version is None else version
    if isinstance(new, bool) or not isinstance(new, int) or new < 1:
        facts = "versions are whole numbers from 1 up"
        raise _refused(file, f"{new!r} is no version", facts, f"Leave it out: sqlmig renumber {file.name}")
    if version_in(file.name) != file.version:
        facts = f"{manager.sources.folders[0]} is a history of Alembic's"
        raise _refused(file, "it has no version in its name", facts, "Its revisions are put in order by Alembic alone.")
    migration = _loaded(manager, file)
    path = _renamed(file, new)
    text = _with_version(file, new)
    if path == file.path and text == file.path.read_bytes():
        raise _refused(file, "it has that version already", "nothing is to be done", "See what there is: sqlmig status")
    if path != file.path and (new in taken or path.exists()):
        facts = f"there are versions up to {max(taken)}"
        raise _refused(file, f"version {new} is taken", facts, f"Take the next free one: sqlmig renumber {file.name}")
    squash = manager.squashes().replacing(new)
    if squash is not None and path != file.path:
        facts = f"{squash.file.name} stands for it, and databases from before the squash have it recorded"
        raise _refused(file, f"version {new} is taken", facts, f"Take the next free one: sqlmig renumber {file.name}")
    _refuse_applied(manager, file, new)
    dependents, warnings = _dependents(manager, file, migration, new)
    gaps = _gaps(manager)
    _write(file.path, path, {path: text, **dependents})
    warnings += [f"{gap}; until there is one, nothing is applied" for gap in _gaps(manager) if gap not in gaps]
    return RenumberedMigration(path=path, before=file.path, version=new, dependents=[*dependents], warnings=warnings)


# What is meant


def _find(manager: MigrationManager, name: str) -> MigrationFile:
    """
    The file of a name, or at a path.

    Raises:
        ConfigurationError: There is none.
    """
    files = manager.sources.files()
    wanted = os.path.abspath(name)
    found = [file for file in files if wanted == os.path.abspath(file.location)] or [f for f in files if f.name == name]
    if len(found) == 1:
        return found[0]
    names = [file.name for file in files]
    meant = [file.name for file in files if name.isdecimal() and file.version == int(name)]
    near = meant or near_matches(os.path.basename(name), names)
    facts = f"looked in {', '.join(map(str, manager.sources.folders))}"
    hint = f"Did you mean {near[0]}?" if near and not found else "Name it by its path: migrations/005_words.py"
    what = "in two folders" if found else "no migration"
    raise ConfigurationError(f"{name} is {what}; nothing was changed.\n  {facts}\n{hint}")


def _loaded(manager: MigrationManager, file: MigrationFile) -> LoadedMigration | None:
    """
    The migration in it; None where it is not finished, or its class has another version, which is put right.

    Raises:
        ValidationFailed: It does not import.
        ConfigurationError: It was squashed from others.
    """
    try:
        migration = manager.load_file(file)
    except Unloadable as error:
        if error.issue.kind in ("version", "class", "sql"):
            return None
        raise ValidationFailed([error.issue]) from error
    if migration.replaces:
        facts = f"it stands for version {file.version} of those that it was squashed from"
        raise _refused(
            file, "it keeps the version that it replaces", facts, "Renumber the other file, or squash again."
        )
    return migration


def _renamed(file: MigrationFile, version: int) -> Path:
    digits, _, words = file.name.partition("_")
    return file.path.with_name(f"{version:0{len(digits)}}_{words}")


def _refuse_applied(manager: MigrationManager, file: MigrationFile, new: int) -> None:
    """
    Leave a file alone that the database has had, or that it would then refuse.

    Raises:
        ConfigurationError: It has, or would.
    """
    state = manager.version_tracker.read()
    row = next((row for row in state.rows if row.version == file.version), None)
    if row is not None:
        checksums = Checksums.of(file, manager.db.engine.dialect.name)
        same = checksums.text == row.metadata.get("text_hash") or checksums.syntax == row.checksum
        alone = len([one for one in manager.sources.versions() if one == file.version]) == 1
        # What was squashed had the version then.
        alone = alone and manager.squashes().replacing(file.version) is None
        if same or alone or row.metadata.get("file") == file.name:
            raise _refused(
                file,
                f"migration {row.version} is {row.state} from it in the database",
                f"{row.metadata.get('file', 'a file')}, on {row.applied_at}",
                f"Renumber the other file of version {row.version}, or take it back first: sqlmig to {row.version - 1}",
            )
    if manager.out_of_order == "error" and new < state.current_version:
        facts = f"the database is at version {state.current_version}, and would refuse it as out of order"
        raise _refused(file, f"{new} is too low", facts, f"Leave the number out: sqlmig renumber {file.name}")


def _refused(file: MigrationFile, why: str, facts: str, hint: str) -> ConfigurationError:
    return ConfigurationError(f"{file.name} is not renumbered: {why}; nothing was changed.\n  {facts}\n{hint}")


# The numbers in the texts


def _with_version(file: MigrationFile, new: int) -> bytes:
    source = file.path.read_bytes()
    if file.in_sql:
        return source
    spans = list(_in_class(source, "version"))
    if len(spans) != 1:
        raise _refused(
            file,
            "its version is not written as a number",
            f"found {len(spans)} places where one stands as `version = {file.version}`",
            f"Write `version = {new}` into its class, and rename it by hand.",
        )
    return _replaced(source, spans, new)


def _dependents(
    manager: MigrationManager, file: MigrationFile, migration: LoadedMigration | None, new: int
) -> tuple[dict[Path, bytes], list[str]]:
    """
    The texts of the files that depend on it, and what is to be known.

    Raises:
        ConfigurationError: One of them would come before it, or it before what it depends on.
    """
    late = [version for version in migration.dependencies if version >= new] if migration is not None else []
    if late:
        raise _refused(file, f"{new} is too low", f"it depends on version {late[0]}", "Say one above that, or none.")
    others = [one for one in manager.sources.files() if one.location != file.location]
    loaded = manager.load_what_loads(others)
    dependents = [one.file for one in loaded.values() if file.version in one.dependencies]
    squash = manager.squashes().replacing(file.version)
    stays = next((one.name for one in others if one.version == file.version), squash.file.name if squash else "")
    if stays:
        return {}, [
            f"{one.name} depends on version {file.version}, which is {stays} from now on;"
            f" if it meant {file.name}, write {new} there"
            for one in dependents
        ]
    before = [one for one in dependents if one.version < new]
    if before:
        facts = f"{before[0].name} depends on it, and would come before it"
        raise _refused(file, f"{new} is too high", facts, f"Renumber that first: sqlmig renumber {before[0].name}")
    return {one.path: _with_dependency(one, file, new) for one in dependents}, []


def _with_dependency(dependent: MigrationFile, file: MigrationFile, new: int) -> bytes:
    source = dependent.path.read_bytes()
    found = _in_directive(source) if dependent.in_sql else _in_class(source, "dependencies")
    spans = [span for span in found if span.number == file.version]
    if not spans:
        facts = f"{dependent.name} depends on it, and computes that"
        raise _refused(
            file, "what depends on it would be lost", facts, "Write its dependencies out: dependencies = [...]"
        )
    return _replaced(source, spans, new)


def _gaps(manager: MigrationManager) -> list[str]:
    """The versions between the files that no file has, where that is refused."""
    done = manager.version_tracker.read().done
    return [str(one) for one in check_numbers(manager.sources.files(), manager.out_of_order, done) if one.kind == "gap"]


def _replaced(source: bytes, spans: Sequence[_Span], new: int) -> bytes:
    for span in sorted(spans, reverse=True):
        source = source[: span.start] + str(new).encode() + source[span.end :]
    return source


def _in_class(source: bytes, name: str) -> Iterator[_Span]:
    """The numbers that an attribute, or a property, of the classes in a file is written with."""
    lines = [0]
    # As Python counts them, whatever their ends.
    for found in re.finditer(rb"\r\n|\r|\n", source):
        lines.append(found.end())
    mark = 3 if source.startswith(b"\xef\xbb\xbf") else 0
    for cls in (node for node in ast.parse(source).body if isinstance(node, ast.ClassDef)):
        for value in _values(cls, name):
            for node in ast.walk(value):
                if isinstance(node, ast.Constant) and type(node.value) is int and node.end_col_offset is not None:
                    first = mark if node.lineno == 1 else 0
                    start = lines[node.lineno - 1] + node.col_offset + first
                    end = start + node.end_col_offset - node.col_offset
                    # In another encoding than UTF-8 it may stand elsewhere.
                    if source[start:end] == str(node.value).encode():
                        yield _Span(start, end, node.value)


def _values(cls: ast.ClassDef, name: str) -> Iterator[ast.expr]:
    for node in cls.body:
        value = assigned(node, name)
        if value is not None:
            yield value
        elif isinstance(node, ast.FunctionDef) and node.name == name:
            yield from (one.value for one in ast.walk(node) if isinstance(one, ast.Return) and one.value is not None)


def _in_directive(source: bytes) -> Iterator[_Span]:
    for line in _DEPENDS.finditer(source):
        for number in re.finditer(rb"\d+", line[2]):
            yield _Span(line.start(2) + number.start(), line.start(2) + number.end(), int(number[0]))


# The files


def _write(before: Path, path: Path, texts: dict[Path, bytes]) -> None:
    """
    Have the texts of the others in their places, then the file called otherwise, and then its own text.

    A process that is killed in between leaves files that depend on a version which there is not, or one whose class and
    name have two: they are refused by every run, and put right by the same command for the name that there is.

    Raises:
        ConfigurationError: It cannot be done; all is as it was before.
    """
    kept = {one: one.read_bytes() for one in texts if one != path} | {path: before.read_bytes()}
    try:
        for one, text in texts.items():
            with one.with_name(one.name + _COMING).open("wb") as stream:
                stream.write(text)
                stream.flush()
                os.fsync(stream.fileno())
        for one in [*(other for other in texts if other != path), path]:
            if one == path != before:
                before.rename(path)
            one.with_name(one.name + _COMING).replace(one)
    except OSError as error:
        for one, text in kept.items():
            one.with_name(one.name + _COMING).unlink(missing_ok=True)
            if one.exists() and one.read_bytes() != text:
                one.write_bytes(text)
        if path.exists() and not before.exists():
            path.rename(before)
        raise ConfigurationError(
            f"{before.name} cannot be renumbered; all is as it was before.\n  {error.strerror or error}\n"
            f"Check the folder: ls -ld {path.parent}"
        ) from error
