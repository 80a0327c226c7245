"""Where in a migration's code a loop over rows begins, in words that outlive the mending of the migration."""

from __future__ import annotations

import dis
import sys
from types import CodeType

__all__ = ["call_site"]

_BEGINNING = frozenset(("batches", "backfill"))
_OURS = __name__.partition(".")[0]


def call_site() -> str:
    """
    The innermost function outside of sqlmig, and which of its loops it is in: `up, loop 2 of 3`.

    Lines move when something above them is mended; how many loops a function has, and in which order, does not.
    """
    frame = sys._getframe(1)
    while frame.f_back is not None and str(frame.f_globals.get("__name__")).partition(".")[0] == _OURS:
        frame = frame.f_back
    places, here = _loops_of(frame.f_code, frame.f_lasti)
    return f"{frame.f_code.co_name}, loop {places.index(here) + 1 if here in places else 0} of {len(places)}"


def _loops_of(code: CodeType, at: int) -> tuple[list[tuple[int, int]], tuple[int, int] | None]:
    """Lines and columns of the calls that begin a loop, in order, and of the one that runs at an instruction."""
    places, here = set(), None
    for instruction in dis.get_instructions(code):
        if instruction.argval in _BEGINNING and instruction.opname in ("LOAD_METHOD", "LOAD_ATTR"):
            where = instruction.positions
            # The body of a `finally` is compiled more than once.
            place = (where.lineno or 0, where.col_offset or 0) if where is not None else (0, instruction.offset)
            places.add(place)
            here = place if instruction.offset <= at else here
    return sorted(places), here
