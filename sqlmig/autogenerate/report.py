"""What came of writing a migration from the models."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

from ..drift.report import Finding
from ..results import Record

__all__ = ["NewMigration"]


class NewMigration(Record):
    """
    A migration that was written from the models, or why none was; true where models and migrations agree with it.

    Attributes:
        path: The file; None where there was nothing to write.
        version: The one that it has, or would have.
        changes: What its `up` does, in words, in order.
        removes: The tables and columns whose data goes with it.
        warnings: What is to be known where there are rows, and what its `down` cannot do.
        missing: The differences between models and migrations that it leaves, because they cannot be expressed.
        source: The text of the file.
    """

    path: Path | None
    version: int
    changes: list[str]
    removes: list[str]
    warnings: list[str]
    missing: list[Finding]
    source: str

    @property
    def clean(self) -> bool:
        """Whether models and migrations agree, once it is there."""
        return not self.missing

    def __bool__(self) -> bool:
        return self.clean

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        if self.path is None and self.clean:
            yield "Models and migrations agree: there is nothing to write."
            return
        if self.path is not None:
            yield str(self.path)
        yield from (f"  {change}" for change in self.changes)
        for warning in self.warnings:
            yield f"Look at it: {warning}"
        if self.missing:
            said = "No file was written: none" if self.path is None else "Not all could be expressed; none"
            yield f"{said} of these differences between models and migrations has an operation:"
            yield from (f"  {found}" for found in self.missing)
            where = 'in a migration of its own: sqlmig new "what it does"' if self.path is None else "into the file"
            passed = " ".join(f"--ignore {shlex.quote(_name(found))}" for found in self.missing)
            yield f"Write the rest by hand, {where}; or pass it over: {passed}"


def _name(found: Finding) -> str:
    """What a difference is passed over by."""
    return found.name if found.table in (None, found.name) else f"{found.table}.{found.name}"
