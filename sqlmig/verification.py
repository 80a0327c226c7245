"""Whether the files of applied migrations still say what was applied."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from .errors import ValidationFailed
from .loader import Checksums
from .results import Issue
from .sql_text import sql_hash

if TYPE_CHECKING:
    from .sources import MigrationFile
    from .squashed import Squash, Squashes
    from .version_tracker import AppliedVersion

__all__ = ["accepted", "accepted_replaced", "edits", "unlike_replaced"]


def edits(
    rows: Iterable[AppliedVersion], files: Mapping[int, MigrationFile], dialect: str, squashes: Squashes
) -> list[Issue]:
    """
    An issue for each applied migration whose file says something else now, or cannot be read.

    Args:
        dialect: Of the database: each has literals and comments of its own.
    """
    issues = []
    for row, file in _comparable(rows, files, squashes):
        try:
            if _is_edited(row, file, dialect):
                issues.append(_edited(row, file))
        except (OSError, ValueError) as error:
            reason = f"{file.name}: it, or an SQL file that it ran, cannot be read: {error}"
            issues.append(Issue(reason, kind="import", version=row.version, path=file.path))
    return issues


def unlike_replaced(rows: Iterable[AppliedVersion], squashes: Squashes) -> list[Issue]:
    """An issue for each row of another migration than the one that a squashed one replaces under its version."""
    return [
        Issue(
            f"migration {row.version} was applied from {row.metadata.get('file', 'another file')}, and is another than"
            f" the one that migration {squash.version} replaces",
            kind="edited",
            version=row.version,
            path=squash.file.path,
            hint="If the schema is the same (sqlmig check), accept it: sqlmig repair",
        )
        for row, squash in _strangers(rows, squashes)
    ]


def accepted_replaced(rows: Iterable[AppliedVersion], squashes: Squashes) -> dict[int, tuple[str, dict[str, Any]]]:
    """For each of these the checksum by which it is taken for the one that is replaced."""
    return {row.version: (squash.replaces[row.version][0].checksum, {}) for row, squash in _strangers(rows, squashes)}


def _strangers(rows: Iterable[AppliedVersion], squashes: Squashes) -> Iterator[tuple[AppliedVersion, Squash]]:
    for row in rows:
        squash = squashes.owner(row.version)
        if squash is not None and "text_hash" in row.metadata and not squash.accepts(row):
            yield row, squash


def accepted(
    rows: Iterable[AppliedVersion], files: Mapping[int, MigrationFile], dialect: str, squashes: Squashes
) -> dict[int, tuple[str, dict[str, Any]]]:
    """
    For each edited migration the checksum of its file as it is now, and the facts beside it.

    Raises:
        ValidationFailed: A file cannot be read or does not parse, so that there is nothing to accept.
    """
    found: dict[int, tuple[str, dict[str, Any]]] = {}
    for row, file in _comparable(rows, files, squashes):
        try:
            if _is_edited(row, file, dialect):
                checksums = Checksums.of(file, dialect)
                facts: dict[str, Any] = {"file": file.name, "text_hash": checksums.text}
                if row.metadata.get("sql_files"):
                    facts["sql_files"] = {name: _hash_of(file, name) for name in row.metadata["sql_files"]}
                found[row.version] = checksums.syntax, facts
        except (SyntaxError, ValueError, OSError) as error:
            reason = f"{file.name}: cannot be accepted: {type(error).__name__}: {error}"
            raise ValidationFailed([Issue(reason, kind="import", version=row.version, path=file.path)]) from error
    return found


def _comparable(
    rows: Iterable[AppliedVersion], files: Mapping[int, MigrationFile], squashes: Squashes
) -> Iterator[tuple[AppliedVersion, MigrationFile]]:
    """
    Those that have a file, and a text hash of ours: the original system's checksums tell nothing.

    Those that a squashed migration replaces have no file any more.
    """
    for row in rows:
        if row.done and row.version in files and "text_hash" in row.metadata:
            squash = squashes.of(files[row.version])
            if squash is None or not squash.accepts(row):
                yield row, files[row.version]


def _is_edited(row: AppliedVersion, file: MigrationFile, dialect: str) -> bool:
    checksums = Checksums.of(file, dialect)
    if checksums.text != row.metadata["text_hash"]:
        try:
            if checksums.syntax != row.checksum:
                return True
        except (SyntaxError, ValueError):
            return True
    return any(_hash_of(file, name) != recorded for name, recorded in row.metadata.get("sql_files", {}).items())


def _hash_of(file: MigrationFile, name: str) -> str | None:
    """The hash of an SQL file beside a migration; None where it is gone."""
    path = os.path.join(os.path.dirname(file.location), name)
    if not os.path.isfile(path):
        return None
    with open(path, encoding="utf-8-sig") as stream:
        return sql_hash(stream.read())


def _edited(row: AppliedVersion, file: MigrationFile) -> Issue:
    applied = row.metadata.get("file", file.name)
    if applied != file.name:
        text = f"migration {row.version} was applied from {applied}, and {file.name} says something else"
        hint = f"If {file.name} is another migration, give it the next free number: sqlmig renumber {file.name}"
    else:
        text = f"migration {row.version} was edited after it was applied"
        hint = "Put the change into a new migration, or accept the file as it is: sqlmig repair"
    return Issue(text, kind="edited", version=row.version, path=file.path, hint=hint)
