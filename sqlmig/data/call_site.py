"""Where in a migration's code a loop over rows begins and ends, in words that outlive the mending of the migration."""

from __future__ import annotations

import dis
import sys
from collections.abc import Iterator
from types import CodeType, FrameType

__all__ = ["call_site", "is_driven_by_for", "was_left_on_purpose"]

_BEGINNING = frozenset(("batches", "backfill"))
_LOADS = frozenset(
    ("LOAD_METHOD", "LOAD_ATTR", "LOAD_SUPER_ATTR", "LOAD_GLOBAL", "LOAD_NAME", "LOAD_FAST", "LOAD_DEREF")
)
_OURS = __name__.partition(".")[0]
_FAR = 20


def call_site() -> str:
    """
    The functions that lead to a loop, innermost first, and which call of each: `fill, loop 1 of 1; up, call 2 of 2`.

    Lines move when something above them is mended; how many loops a function has, and in which order, does not.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and _is_ours(frame):
        frame = frame.f_back
    parts: list[str] = []
    wanted, word = _BEGINNING, "loop"
    while frame is not None and not _is_ours(frame) and len(parts) < _FAR:
        here, at = frame.f_code, frame.f_lasti
        # A comprehension is a function of its own up to Python 3.11, and a part of its function since.
        while frame.f_code.co_name.startswith("<") and frame.f_back is not None and not _is_ours(frame.f_back):
            frame = frame.f_back
        code = frame.f_code
        places = sorted({place for place, _ in _calls(code, wanted, nested=True)})
        passed = [place for place, offset in _calls(here, wanted, nested=here is not code) if offset <= at]
        number = places.index(passed[-1]) + 1 if passed and passed[-1] in places else 0
        parts.append(f"{code.co_name}, {word} {number} of {len(places)}")
        wanted, word, frame = frozenset((code.co_name,)), "call", frame.f_back
    return "; ".join(parts)


def is_driven_by_for(frame: FrameType | None) -> bool:
    """Whether the caller that asks for a batch is at a `for`: `next()` has it do something else before the next one."""
    return frame is not None and _instruction(frame) == "FOR_ITER"


def was_left_on_purpose(frame: FrameType | None) -> bool:
    """
    Whether the frame that gives a loop up does so by `break` or `return`, and not because something was raised.

    An exception takes the iterator off the stack at the instruction that raised; a `break` has one for it.
    """
    return frame is not None and _instruction(frame) in ("POP_TOP", "END_FOR", "POP_ITER")


def _is_ours(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__")).partition(".")[0] == _OURS


def _instruction(frame: FrameType) -> str:
    # Of an instruction that Python has specialised the frame may tell a place behind it, in its inline cache.
    passed = [one.opname for one in dis.get_instructions(frame.f_code) if one.offset <= frame.f_lasti]
    return passed[-1] if passed else ""


def _calls(code: CodeType, wanted: frozenset[str], *, nested: bool) -> Iterator[tuple[tuple[int, int], int]]:
    """Line and column of where one of these names is loaded, to be called, and the offset of the instruction."""
    for instruction in dis.get_instructions(code):
        if instruction.argval in wanted and instruction.opname in _LOADS:
            where = instruction.positions
            # The body of a `finally` is compiled more than once.
            place = (where.lineno or 0, where.col_offset or 0) if where is not None else (0, instruction.offset)
            yield place, instruction.offset
    for constant in code.co_consts if nested else ():
        if isinstance(constant, CodeType) and constant.co_name.startswith("<"):
            yield from _calls(constant, wanted, nested=True)
