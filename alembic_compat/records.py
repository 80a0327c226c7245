"""Whose a row of the versions table is, where several histories are in one database."""

from __future__ import annotations

import json

__all__ = ["history_of"]


def history_of(metadata: str) -> str | None:
    """Which of Alembic's tables a row of ours goes by; None where it is no revision's."""
    try:
        facts = json.loads(metadata)
    except ValueError:
        return None
    return str(facts.get("version_table")) if isinstance(facts, dict) and "revision" in facts else None
