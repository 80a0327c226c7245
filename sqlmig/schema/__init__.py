"""Idempotent operations on tables, columns and indexes, over the SQLAlchemy inspector."""

from __future__ import annotations

from .operations import Operations

__all__ = ["Operations"]
