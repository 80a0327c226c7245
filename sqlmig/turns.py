"""
Waiting, and knowing who is at work, wherever that is: in a thread, or in a task of an event loop.

Inside SQLAlchemy's greenlets many tasks share one thread. There a sleep has to be awaited, or whoever is waited for
could not go on; and what a thread has noted for itself would be noted for all its tasks.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from weakref import WeakKeyDictionary

__all__ = ["Here", "Stop", "Turn", "current_stop", "greenlet_at_work", "pause", "stop_if_asked", "under"]


def greenlet_at_work() -> Any:
    """The greenlet of SQLAlchemy's in which this runs, where awaiting is possible; None anywhere else."""
    greenlet: Any = sys.modules.get("greenlet")
    if greenlet is None:
        return None
    current = greenlet.getcurrent()
    # The mark is not in every release; the name of the class is.
    ours = getattr(current, "__sqlalchemy_greenlet_provider__", type(current).__name__ == "_AsyncIoGreenlet")
    return current if ours else None


def pause(seconds: float) -> None:
    """Wait, and let the other threads go on, or the other tasks."""
    stop_if_asked()
    if greenlet_at_work() is None:
        time.sleep(seconds)
        stop_if_asked()
        return
    import asyncio

    from sqlalchemy.util.concurrency import await_only

    await_only(asyncio.sleep(seconds))


class Here:
    """Values that each thread has for itself; and where tasks share a thread, each task."""

    def __init__(self) -> None:
        self._threads = threading.local()
        self._tasks: WeakKeyDictionary[Any, dict[str, Any]] = WeakKeyDictionary()

    @property
    def values(self) -> dict[str, Any]:
        """Those of whoever asks."""
        task = greenlet_at_work()
        return self._threads.__dict__ if task is None else self._tasks.setdefault(task, {})


class Turn:
    """A lock of whatever thread has it, or of whatever task, which may take it again."""

    def __init__(self) -> None:
        self._threads = threading.RLock()
        self._task: Any = None
        self._times = 0

    def acquire(self, timeout: float = -1) -> bool:
        """Wait for it, for so many seconds, or for as long as it takes; whether it was had."""
        task = greenlet_at_work()
        if task is None:
            return self._threads.acquire(timeout=timeout)
        began = time.monotonic()
        while self._task is not None and self._task is not task:
            if 0 <= timeout <= time.monotonic() - began:
                return False
            pause(0.005)
        self._task = task
        self._times += 1
        return True

    def release(self) -> None:
        """Give it back, once for each time it was had."""
        if greenlet_at_work() is None:
            self._threads.release()
            return
        self._times -= 1
        if not self._times:
            self._task = None

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


class Stop:
    """
    Has a thread end what it does, undone, as Ctrl-C has the main thread do: that reaches no other.

    Statements of SQLite are interrupted; what else is at work stops before its next statement.
    """

    def __init__(self, error: Callable[[], BaseException]) -> None:
        self._error = error
        self._asked = self._over = False
        self._interrupts: list[Callable[[], object]] = []

    def ask(self) -> None:
        """From another thread, until it is heard."""
        if self._over:
            return
        self._asked = True
        for interrupt in list(self._interrupts):
            # It may be closed by now.
            with suppress(Exception):
                interrupt()

    def call_on_ask(self, interrupt: Callable[[], object]) -> None:
        """Have a connection's own interrupt called as well."""
        self._interrupts.append(interrupt)

    def check(self) -> None:
        """Raise, once, where it was asked: what is to be put in order then must not be stopped again."""
        if self._asked and not self._over:
            self._over = True
            raise self._error()

    def heard(self) -> None:
        """An interrupted statement has failed by now, and ends the rest."""
        self._over = self._over or self._asked


_stops = threading.local()


def current_stop() -> Stop | None:
    """That of this thread; None where nobody can ask."""
    return getattr(_stops, "stop", None)


def under(stop: Stop, action: Callable[[], Any]) -> Any:
    """The result of *action*, which *stop* may end."""
    before, _stops.stop = current_stop(), stop
    try:
        return action()
    finally:
        _stops.stop = before


def stop_if_asked() -> None:
    """Where a thread may end what it does."""
    stop = current_stop()
    if stop is not None:
        stop.check()
