"""What came of a squash."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ..results import Record

__all__ = ["SquashedMigration"]


class SquashedMigration(Record):
    """
    The migration that took the place of others.

    Attributes:
        path: Its file.
        version: The last version that it replaces, which is its own.
        replaces: All versions that it replaces.
        removed: The files that are gone.
        kept_in: The folder that they are kept in; None where they were deleted, and git has them.
        changes: What its `up` does, in words, in order.
        rows: How many rows it writes, by table.
        warnings: What is to be looked at.
        source: The text of its file.
    """

    path: Path
    version: int
    replaces: list[int]
    removed: list[Path]
    kept_in: Path | None
    changes: list[str]
    rows: dict[str, int]
    warnings: list[str]
    source: str

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        yield str(self.path)
        yield from (f"  {change}" for change in self.changes)
        yield from (f"  {count:,} {'row' if count == 1 else 'rows'} of {table}" for table, count in self.rows.items())
        for warning in self.warnings:
            yield f"Look at it: {warning}"
        names = ", ".join(path.name for path in self.removed)
        yield f"moved to {self.kept_in}: {names}" if self.kept_in is not None else f"deleted, and kept by git: {names}"
