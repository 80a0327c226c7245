"""Checkpoints: how far each loop of a resumable migration is, as values and as they stand in the versions row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import DataError
from .pace import how_far

__all__ = ["Loop", "in_words", "loops_of", "summary"]


class Loop:
    """
    One loop over rows.

    What a loop has read without writing anything is in variables of its process, and nowhere else: the checkpoint
    stays behind such batches, and a loop that has written nothing is read again from its beginning.

    Attributes:
        reads: What it reads, and by which key, in words.
        site: Where in the code it begins.
        after: The raw key of the last row that need not be read again.
        rows, batches: How much was handed out, by this process and by those whose checkpoint it went on from.
        total: How many rows there were when it began.
        done: Whether it has come to its end.
        claimed: Whether one has begun in this process that is taken for it; `begun`, whether that was asked for rows.
    """

    def __init__(self, reads: str, site: str, facts: Mapping[str, Any] | None = None) -> None:
        facts = facts or {}
        self.reads, self.site = reads, site
        self.after: tuple[Any, ...] | None = tuple(map(_decoded, facts["after"])) if facts.get("after") else None
        self.rows, self.batches = int(facts.get("rows", 0)), int(facts.get("batches", 0))
        self._kept = (self.rows, self.batches)
        self.total: int | None = facts.get("total")
        self.done, self._has_tail = bool(facts.get("done")), bool(facts.get("tail"))
        self.claimed = self.begun = False

    def __str__(self) -> str:
        return f"{self.reads} in {self.site}"

    def begin(self) -> None:
        """It is reached in this process: what it had read behind its last write is read again."""
        self.begun = True
        if self.after is None:
            self.rows, self.batches = 0, 0
        if self.after is None or self._has_tail:
            self.done = self._has_tail = False

    def end(self, *, left: bool = False) -> None:
        """It has come to its end, or was *left* in the middle, and wants no more."""
        self.done, self._has_tail = True, not left and self._kept != (self.rows, self.batches)

    def advance(self, after: tuple[Any, ...], rows: int, *, wrote: bool) -> None:
        """A batch of so many rows, the last of which has the key *after*, is done."""
        self.rows += rows
        self.batches += 1
        if wrote:
            self.after, self._kept = after, (self.rows, self.batches)

    @property
    def left(self) -> bool:
        """Whether an earlier process was in the middle of it, and this one has not come to it."""
        return not self.begun and not self.done and self.after is not None

    def as_facts(self) -> dict[str, Any]:
        """As it stands in the versions row."""
        rows, batches = (self.rows, self.batches) if self.done and not self._has_tail else self._kept
        return {
            "reads": self.reads,
            "site": self.site,
            "after": None if self.after is None else [_encoded(value, self.reads) for value in self.after],
            "rows": rows,
            "batches": batches,
            "total": self.total,
            "done": self.done,
        } | ({"tail": True} if self._has_tail else {})


def loops_of(metadata: Mapping[str, Any]) -> list[Loop]:
    """The loops of a versions row."""
    found = metadata.get("loops")
    return [Loop(str(one.get("reads")), str(one.get("site")), one) for one in found] if isinstance(found, list) else []


def summary(loops: Sequence[Loop]) -> dict[str, Any]:
    """How far all loops together are: rows, batches, total (of the loops that have begun)."""
    totals = [max(loop.total, loop.rows) for loop in loops if loop.total is not None]
    return {
        "rows": sum(loop.rows for loop in loops),
        "total": sum(totals) if totals else None,
        "batches": sum(loop.batches for loop in loops),
    }


def in_words(loops: Sequence[Loop]) -> str:
    """`340,000 of 1,000,000 rows`."""
    found = summary(loops)
    return how_far(found["rows"], found["total"])


def _encoded(value: Any, reads: str) -> Any:
    if isinstance(value, bytes | bytearray | memoryview):
        return {"hex": bytes(value).hex()}
    if value is None or isinstance(value, str | int | float):
        return value
    raise DataError(
        f"A key of type {type(value).__name__} cannot be kept as a checkpoint; the last batch was undone.",
        facts=f"the loop reads {reads}",
        hint="Read by a key of numbers, texts or bytes.",
    )


def _decoded(value: Any) -> Any:
    return bytes.fromhex(value["hex"]) if isinstance(value, dict) else value
