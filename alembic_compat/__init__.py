"""For projects that have, or had, an Alembic history. Needs the extra `sqlmig[alembic]`; sqlmig never imports it."""

from __future__ import annotations

from . import command
from .adoption import adopt
from .errors import AmbiguousRevision, EnvironmentFailed, OverlappingHeads, UnknownRevision
from .migrator import AlembicMigrator

__all__ = [
    "AlembicMigrator",
    "AmbiguousRevision",
    "EnvironmentFailed",
    "OverlappingHeads",
    "UnknownRevision",
    "adopt",
    "command",
]
