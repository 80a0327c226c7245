"""Python's garbage collector, made to wait for more during a loop over rows."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["less_often"]

_ENOUGH = 50_000

_lock = threading.Lock()
_loops = 0
_before: tuple[int, int, int] | None = None


@contextmanager
def less_often() -> Iterator[None]:
    """
    Have the collector run after 50,000 new objects, not after some hundreds.

    A batch makes thousands and drops them all. Each would be looked at again and again, and everything that the
    application has imported with them every few dozen batches: a fifth of the time of such a loop.
    """
    global _loops, _before
    with _lock:
        _loops += 1
        first, *others = gc.get_threshold()
        # 0 is an application that has switched it off.
        if _loops == 1 and 0 < first < _ENOUGH:
            _before = gc.get_threshold()
            gc.set_threshold(_ENOUGH, *others)
    try:
        yield
    finally:
        with _lock:
            _loops -= 1
            if _loops == 0 and _before is not None:
                if gc.get_threshold()[0] == _ENOUGH:
                    gc.set_threshold(*_before)
                _before = None
