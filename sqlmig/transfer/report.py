"""What a copy did, as a frozen value."""

from __future__ import annotations

from collections.abc import Sequence

from ..results import Record

__all__ = ["CopyResult", "TableCopy"]


class TableCopy(Record):
    """
    One table that was copied.

    Attributes:
        rows: How many; as many were counted in the target.
        checksum: The sum of the CRC-32 of all its rows, in the form in which they were compared; the same whenever the
            same rows are copied into a database of the same kind.
        execution_time_ms: Of reading, writing and comparing them.
    """

    table: str
    rows: int
    checksum: str
    execution_time_ms: float


class CopyResult(Record):
    """
    What a copy did. True: a failure raises instead.

    Attributes:
        source, target: The two databases, without passwords.
        version: The one that both are at.
        applied: The migrations that made the schema of the target, in this call.
        skipped: Those of them that their own checks skipped there.
        tables: What was copied, in the order in which it was.
        left_out: What was not, as it was asked for: "table" or "table.column".
        warnings: What else is to be known, in words.
    """

    success: bool
    source: str
    target: str
    version: int
    applied: list[int]
    skipped: list[int]
    tables: list[TableCopy]
    left_out: list[str]
    execution_time_ms: float
    warnings: Sequence[str] = ()

    @property
    def rows(self) -> int:
        """How many rows were copied in all."""
        return sum(table.rows for table in self.tables)

    def __bool__(self) -> bool:
        return self.success

    def __str__(self) -> str:
        seconds = self.execution_time_ms / 1000
        pace = f" ({self.rows / seconds:,.0f} rows/s)" if self.rows >= 1000 and seconds > 0 else ""
        rows = f"{self.rows:,} row" + ("" if self.rows == 1 else "s")
        tables = f"{len(self.tables)} table" + ("" if len(self.tables) == 1 else "s")
        return (
            f"Copied {rows} of {tables} at version {self.version}: {self.source} -> {self.target}"
            f" in {seconds:,.1f} s{pace}; counts and checksums agree."
        )
