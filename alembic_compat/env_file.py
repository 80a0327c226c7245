"""The file env.py, executed with a sqlalchemy of its own: one that makes no engines but ours."""

from __future__ import annotations

import builtins
import importlib.util
import re
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from .configured import text_of
from .handed import HandedEngine, Handover
from .project import Project

__all__ = ["execute_file"]


_MAKES = re.compile(rb"\b(?:create_engine|engine_from_config|create_async_engine|async_engine_from_config)\s*\(")


def execute_file(project: Project, handover: Handover) -> None:
    """Run env.py, with an import of its own."""
    spec = importlib.util.spec_from_file_location("env_py", project.env_py)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    code = spec.loader.get_code("env_py")  # type: ignore[attr-defined]
    module.__dict__["__builtins__"] = {**vars(builtins), "__import__": _importer(project, handover)}
    exec(code, module.__dict__)


def _importer(project: Project, handover: Handover) -> Callable[..., ModuleType]:
    """An import for env.py alone, whose sqlalchemy makes no engines but ours."""

    several = bool(project.databases) or len(_MAKES.findall(text_of(project.env_py))) > 1
    configured = None if project.databases else project.url

    def ours() -> Any:
        return HandedEngine(handover)

    def ours_awaited() -> Any:
        from .handed_async import HandedAsyncEngine, dialect_of

        return HandedAsyncEngine(HandedEngine(handover, dialect_of(handover.engine)))

    def instead_of(make: Callable[..., Any], handed: Callable[[], Any]) -> Callable[..., Any]:
        def engine(*arguments: Any, **options: Any) -> Any:
            if several:
                # The URL tells which of them is ours.
                try:
                    made = make(*arguments, **options)
                except Exception:
                    # No driver for it: an address as the templates have it.
                    return handed()
                if not (handover.is_ours(getattr(made, "sync_engine", made)) or str(made.url) == configured):
                    return made
            return handed()

        return engine

    def for_any_engine(_: object) -> Any:
        from .handed_async import HandedAsyncEngine

        return HandedAsyncEngine

    plain = dict.fromkeys(("create_engine", "engine_from_config"), lambda make: instead_of(make, ours))
    awaited: dict[str, Callable[[Any], Any]] = {
        "create_async_engine": lambda make: instead_of(make, ours_awaited),
        "async_engine_from_config": lambda make: instead_of(make, ours_awaited),
        # For those who wrap a synchronous one.
        "AsyncEngine": for_any_engine,
    }
    replaced: dict[str, Mapping[str, Callable[[Any], Any]]] = {
        "sqlalchemy": plain,
        "sqlalchemy.engine": plain,
        "sqlalchemy.engine.create": plain,
        "sqlalchemy.future": plain,
        "sqlmodel": plain,
        "sqlalchemy.ext": {},
        "sqlalchemy.ext.asyncio": awaited,
        "sqlalchemy.ext.asyncio.engine": awaited,
    }

    def overlaid(module: ModuleType) -> ModuleType:
        return _Overlay(module, replaced[module.__name__], overlaid) if module.__name__ in replaced else module

    def import_(name: str, *arguments: Any, **named: Any) -> ModuleType:
        return overlaid(builtins.__import__(name, *arguments, **named))

    return import_


class _Overlay(ModuleType):
    """A module with some of its names replaced, for whoever has this object."""

    def __init__(
        self,
        real: ModuleType,
        replaced: Mapping[str, Callable[[Any], Any]],
        again: Callable[[ModuleType], ModuleType],
    ) -> None:
        super().__init__(real.__name__)
        self.__dict__.update(_real=real, _replaced=replaced, _again=again)
        for name in ("__doc__", "__package__", "__loader__", "__spec__"):
            self.__dict__.pop(name, None)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._real, name)
        if name in self._replaced:
            return self._replaced[name](found)
        return self._again(found) if isinstance(found, ModuleType) else found

    def __dir__(self) -> list[str]:
        return dir(self._real)
