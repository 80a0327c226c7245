"""Database migrations that SQLAlchemy applications run when they boot."""

from __future__ import annotations

import importlib
import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .autogenerate.renames import RenameQuestion
    from .autogenerate.report import NewMigration
    from .base import BaseMigration, ResumableMigration
    from .connection import DatabaseConnection
    from .drift.report import Comparison, DriftReport, Finding
    from .errors import (
        AutogenerateFailed,
        CheckImpossible,
        CheckpointMismatch,
        ConfigurationError,
        CopyError,
        CopyInterrupted,
        CopyMismatch,
        DatabaseLocked,
        DatabaseNotWritable,
        DatabaseTooNew,
        DatabaseUnavailable,
        DataContradicts,
        DataError,
        DataLossError,
        DiskFull,
        InsideSquash,
        InterruptedMigration,
        InvalidIndex,
        MigrationError,
        MigrationFailed,
        NoSuchObject,
        NoSuchRows,
        NotADatabase,
        NotAtomic,
        ObjectExists,
        ObjectInUse,
        RehearsalFailed,
        RenameImpossible,
        RenameUnclear,
        RestoreFailed,
        RollbackNotSupported,
        SchemaError,
        SnapshotFailed,
        SnapshotUnusable,
        SquashImpossible,
        StatementTimeout,
        TablesDiffer,
        TakenOver,
        TargetNotEmpty,
        TransactionEnded,
        UnknownRevision,
        UnknownVersion,
        UnsupportedChange,
        UnsupportedDatabase,
        ValidationFailed,
        ValueUnfit,
        VersionMismatch,
        WrongKey,
        WrongObject,
    )
    from .manager import MigrationManager
    from .migrator import DatabaseMigrator, Migrator, ModularDatabaseMigrator
    from .renumber import RenumberedMigration
    from .results import Issue, Loss, MigrationResult, Plan, PlanStep, Status
    from .rows import Row
    from .runner import MigrationRunner
    from .safety.policy import SnapshotPolicy
    from .safety.report import Rehearsal, RehearsedStep
    from .safety.shelf import Snapshot
    from .schema.database_type import DatabaseType
    from .schema.operations import Operations
    from .squash.report import SquashedMigration
    from .transfer.report import CopyResult, TableCopy
    from .version_tracker import VersionTracker

__version__ = "0.1.0"

logging.getLogger("sqlmig").addHandler(logging.NullHandler())

# Each name is imported when it is first used, so that a boot at head loads
# nothing but the front door.
_HOMES = {
    "autogenerate.renames": ["RenameQuestion"],
    "autogenerate.report": ["NewMigration"],
    "base": ["BaseMigration", "ResumableMigration"],
    "connection": ["DatabaseConnection"],
    "drift.report": ["Comparison", "DriftReport", "Finding"],
    "errors": [
        "AutogenerateFailed",
        "CheckImpossible",
        "CheckpointMismatch",
        "ConfigurationError",
        "CopyError",
        "CopyInterrupted",
        "CopyMismatch",
        "DataContradicts",
        "DataError",
        "DataLossError",
        "DatabaseLocked",
        "DatabaseNotWritable",
        "DatabaseTooNew",
        "DatabaseUnavailable",
        "DiskFull",
        "InsideSquash",
        "InterruptedMigration",
        "InvalidIndex",
        "MigrationError",
        "MigrationFailed",
        "NoSuchObject",
        "NoSuchRows",
        "NotADatabase",
        "NotAtomic",
        "ObjectExists",
        "ObjectInUse",
        "RehearsalFailed",
        "RenameImpossible",
        "RenameUnclear",
        "RestoreFailed",
        "RollbackNotSupported",
        "SchemaError",
        "SnapshotFailed",
        "SnapshotUnusable",
        "SquashImpossible",
        "StatementTimeout",
        "TablesDiffer",
        "TakenOver",
        "TargetNotEmpty",
        "TransactionEnded",
        "UnknownRevision",
        "UnknownVersion",
        "UnsupportedChange",
        "UnsupportedDatabase",
        "ValidationFailed",
        "ValueUnfit",
        "VersionMismatch",
        "WrongKey",
        "WrongObject",
    ],
    "manager": ["MigrationManager"],
    "migrator": ["DatabaseMigrator", "Migrator", "ModularDatabaseMigrator"],
    "results": ["Issue", "Loss", "MigrationResult", "Plan", "PlanStep", "Status"],
    "renumber": ["RenumberedMigration"],
    "rows": ["Row"],
    "runner": ["MigrationRunner"],
    "safety.report": ["Rehearsal", "RehearsedStep"],
    "safety.policy": ["SnapshotPolicy"],
    "safety.shelf": ["Snapshot"],
    "schema.database_type": ["DatabaseType"],
    "schema.operations": ["Operations"],
    "squash.report": ["SquashedMigration"],
    "transfer.report": ["CopyResult", "TableCopy"],
    "version_tracker": ["VersionTracker"],
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "AutogenerateFailed",
    "BaseMigration",
    "CheckImpossible",
    "CheckpointMismatch",
    "Comparison",
    "ConfigurationError",
    "CopyError",
    "CopyInterrupted",
    "CopyMismatch",
    "CopyResult",
    "DataContradicts",
    "DataError",
    "DataLossError",
    "DatabaseConnection",
    "DatabaseLocked",
    "DatabaseMigrator",
    "DatabaseNotWritable",
    "DatabaseTooNew",
    "DatabaseType",
    "DatabaseUnavailable",
    "DiskFull",
    "DriftReport",
    "Finding",
    "InsideSquash",
    "InterruptedMigration",
    "InvalidIndex",
    "Issue",
    "Loss",
    "MigrationError",
    "MigrationFailed",
    "MigrationManager",
    "MigrationResult",
    "MigrationRunner",
    "Migrator",
    "ModularDatabaseMigrator",
    "NewMigration",
    "NoSuchObject",
    "NoSuchRows",
    "NotADatabase",
    "NotAtomic",
    "ObjectExists",
    "ObjectInUse",
    "Operations",
    "Plan",
    "PlanStep",
    "Rehearsal",
    "RehearsalFailed",
    "RehearsedStep",
    "RenameImpossible",
    "RenameQuestion",
    "RenameUnclear",
    "RenumberedMigration",
    "RestoreFailed",
    "ResumableMigration",
    "RollbackNotSupported",
    "Row",
    "SchemaError",
    "Snapshot",
    "SnapshotFailed",
    "SnapshotPolicy",
    "SnapshotUnusable",
    "SquashImpossible",
    "SquashedMigration",
    "StatementTimeout",
    "Status",
    "TableCopy",
    "TablesDiffer",
    "TakenOver",
    "TargetNotEmpty",
    "TransactionEnded",
    "UnknownRevision",
    "UnknownVersion",
    "UnsupportedChange",
    "UnsupportedDatabase",
    "ValidationFailed",
    "ValueUnfit",
    "VersionMismatch",
    "VersionTracker",
    "WrongKey",
    "WrongObject",
]


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_HOME_OF[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
