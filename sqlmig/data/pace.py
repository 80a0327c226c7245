"""How far a loop over rows is, how fast it goes, and what is told of it."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["Pace", "how_far"]

_EVERY = 0.2


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
        rate = self._here / seconds if seconds > 0 else 0.0
        parts = [how_far(self._rows, self._total), f"{rate:,.0f} rows/s"]
        if self._total is not None and rate > 0:
            parts.append(f"{_duration(max(self._total - self._rows, 0) / rate)} left")
        return ", ".join(parts)


def how_far(rows: int, total: int | None) -> str:
    """`340,000 of 1,000,000 rows`."""
    return f"{rows:,} rows" if total is None else f"{rows:,} of {max(total, rows):,} rows"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
