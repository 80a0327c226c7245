"""How far a loop over rows is, how fast it goes, and what is told of it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

__all__ = ["Pace", "fraction", "how_far", "how_fast"]

_EVERY = 0.2
_HOW_FAR = re.compile(r"([\d,]+) of ([\d,]+) rows")


class Pace:
    """
    Tells of a loop now and then.

    Args:
        tell: Called with a text; None where nobody listens.
        rows, total: How far it is when it begins, and how many rows there are, where that is known.
    """

    def __init__(self, tell: Callable[[str], object] | None, rows: int = 0, total: int | None = None) -> None:
        self._tell, self._rows, self._total = tell, rows, total
        self._began = self._last = time.monotonic()
        self._here = 0

    def add(self, rows: int) -> None:
        """So many rows more are done."""
        self._rows += rows
        self._here += rows
        if self._tell is None:
            return
        now = time.monotonic()
        if now - self._last >= _EVERY:
            self._last = now
            self._tell(self._text(now - self._began))

    def _text(self, seconds: float) -> str:
        left = None if self._total is None else self._total - self._rows
        return f"{how_far(self._rows, self._total)}, {how_fast(self._here, seconds, left)}"


def how_far(rows: int, total: int | None) -> str:
    """`340,000 of 1,000,000 rows`."""
    return f"{rows:,} rows" if total is None else f"{rows:,} of {max(total, rows):,} rows"


def how_fast(rows: int, seconds: float, left: int | None) -> str:
    """`73,000 rows/s, 9 s left`: the pace of so many rows in that time, and how long those take that are left."""
    rate = rows / seconds if seconds > 0 else 0.0
    text = f"{rate:,.0f} rows/s"
    return text if left is None or rate <= 0 else f"{text}, {_duration(max(left, 0) / rate)} left"


def fraction(text: str) -> float:
    """How much of its rows a loop has done, from 0 to 1, of which a text has what `how_far` says; else 0."""
    found = _HOW_FAR.search(text)
    rows, total = (int(number.replace(",", "")) for number in found.groups()) if found else (0, 1)
    return rows / max(total, 1)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
