"""For projects that have, or had, an Alembic history. Needs the extra `sqlmig[alembic]`; sqlmig never imports it."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from . import command
    from .adoption import adopt
    from .errors import AmbiguousRevision, EnvironmentFailed, OverlappingHeads, UnknownRevision
    from .migrator import AlembicMigrator

# Imported where they are asked for: Alembic itself imports plugin.py of this package while it is being imported.
_HOME_OF = {
    "AlembicMigrator": "migrator",
    "AmbiguousRevision": "errors",
    "EnvironmentFailed": "errors",
    "OverlappingHeads": "errors",
    "UnknownRevision": "errors",
    "adopt": "adoption",
}

__all__ = [
    "AlembicMigrator",
    "AmbiguousRevision",
    "EnvironmentFailed",
    "OverlappingHeads",
    "UnknownRevision",
    "adopt",
    "command",
]


def __getattr__(name: str) -> object:
    if name == "command":
        return importlib.import_module(".command", __name__)
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_HOME_OF[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
