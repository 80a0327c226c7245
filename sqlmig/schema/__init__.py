"""Operations on tables, columns, constraints, indexes, views and triggers, the same on every database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .operations import Operations

__all__ = ["Operations"]


def __getattr__(name: str) -> Any:
    # Imported when it is used: a boot at head needs none of it.
    if name == "Operations":
        from .operations import Operations

        return Operations
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
