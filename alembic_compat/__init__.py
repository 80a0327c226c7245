"""For projects that come from Alembic. Needs the extra `sqlmig[alembic]`; sqlmig itself never imports it."""

from __future__ import annotations

from .adoption import UnknownRevision, adopt

__all__ = ["UnknownRevision", "adopt"]
