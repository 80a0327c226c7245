"""
The verbs of `Migrator` on every kind of engine: a decorator for those that are called, and one to have them awaited.

Nothing is imported here that a boot with a synchronous engine could do without.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import partial, wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

__all__ = ["awaitable", "verb"]

P = ParamSpec("P")
R = TypeVar("R")
M = TypeVar("M", bound=Any)


def verb(method: Callable[Concatenate[M, P], R]) -> Callable[Concatenate[M, P], R]:
    """A method that goes through the door of an asynchronous engine, where its Migrator has one."""

    @wraps(method)
    def call(self: M, /, *args: P.args, **options: P.kwargs) -> R:
        door = self._door
        if door is None:
            return method(self, *args, **options)
        result: R = door.call(method.__name__, partial(method, self, *args, **options))
        return result

    return call


def awaitable(method: Callable[Concatenate[M, P], R]) -> Callable[Concatenate[M, P], Coroutine[Any, Any, R]]:
    """The method of the same name, as a subclass may have it, to be awaited: with the same arguments and result."""
    name = method.__name__

    @wraps(method)
    async def call(self: M, /, *args: P.args, **options: P.kwargs) -> R:
        from .doors import door_of

        result: R = await door_of(self, name).run(partial(getattr(self, name), *args, **options))
        return result

    call.__name__, call.__qualname__ = f"{name}_async", f"{method.__qualname__}_async"
    call.__doc__ = f"The same as `{name}()`, awaited: the event loop goes on meanwhile."
    return call
