"""Full ALTER on SQLite: native where it exists, an edit of the stored text where rows stay, else a rebuild from it."""

from __future__ import annotations

from .schema import SQLiteSchema

__all__ = ["SQLiteSchema"]
