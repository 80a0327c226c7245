"""Databases for an application's tests, with pytest or without: each test has a migrated one of its own."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .checks import Checks
    from .databases import DatabaseAt, Databases
    from .faults import Fault, NotSampled, NotTried
    from .project import Prepared

_HOMES = {
    "Checks": "checks",
    "DatabaseAt": "databases",
    "Databases": "databases",
    "Fault": "faults",
    "NotSampled": "faults",
    "NotTried": "faults",
    "Prepared": "project",
}

__all__ = ["Checks", "DatabaseAt", "Databases", "Fault", "NotSampled", "NotTried", "Prepared"]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
