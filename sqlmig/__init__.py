"""Database migrations that SQLAlchemy applications run when they boot."""

from __future__ import annotations

import importlib
import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .base import BaseMigration
    from .connection import DatabaseConnection
    from .errors import (
        ConfigurationError,
        DatabaseLocked,
        DatabaseNotWritable,
        DatabaseTooNew,
        DatabaseUnavailable,
        DiskFull,
        InterruptedMigration,
        MigrationError,
        MigrationFailed,
        NotADatabase,
        NotAtomic,
        RollbackNotSupported,
        TransactionEnded,
        UnknownVersion,
        UnsupportedDatabase,
        ValidationFailed,
        VersionMismatch,
    )
    from .manager import MigrationManager
    from .migrator import DatabaseMigrator, Migrator, ModularDatabaseMigrator
    from .results import Issue, MigrationResult, Plan, PlanStep, Status
    from .rows import Row
    from .runner import MigrationRunner
    from .version_tracker import VersionTracker

__version__ = "0.1.0"

logging.getLogger("sqlmig").addHandler(logging.NullHandler())

# Each name is imported when it is first used, so that a boot at head loads
# nothing but the front door.
_HOMES = {
    "base": ["BaseMigration"],
    "connection": ["DatabaseConnection"],
    "errors": [
        "ConfigurationError",
        "DatabaseLocked",
        "DatabaseNotWritable",
        "DatabaseTooNew",
        "DatabaseUnavailable",
        "DiskFull",
        "InterruptedMigration",
        "MigrationError",
        "MigrationFailed",
        "NotADatabase",
        "NotAtomic",
        "RollbackNotSupported",
        "TransactionEnded",
        "UnknownVersion",
        "UnsupportedDatabase",
        "ValidationFailed",
        "VersionMismatch",
    ],
    "manager": ["MigrationManager"],
    "migrator": ["DatabaseMigrator", "Migrator", "ModularDatabaseMigrator"],
    "results": ["Issue", "MigrationResult", "Plan", "PlanStep", "Status"],
    "rows": ["Row"],
    "runner": ["MigrationRunner"],
    "version_tracker": ["VersionTracker"],
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "BaseMigration",
    "ConfigurationError",
    "DatabaseConnection",
    "DatabaseLocked",
    "DatabaseMigrator",
    "DatabaseNotWritable",
    "DatabaseTooNew",
    "DatabaseUnavailable",
    "DiskFull",
    "InterruptedMigration",
    "Issue",
    "MigrationError",
    "MigrationFailed",
    "MigrationManager",
    "MigrationResult",
    "MigrationRunner",
    "Migrator",
    "ModularDatabaseMigrator",
    "NotADatabase",
    "NotAtomic",
    "Plan",
    "PlanStep",
    "RollbackNotSupported",
    "Row",
    "Status",
    "TransactionEnded",
    "UnknownVersion",
    "UnsupportedDatabase",
    "ValidationFailed",
    "VersionMismatch",
    "VersionTracker",
]


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_HOME_OF[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
