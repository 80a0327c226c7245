"""What a migration would lose, counted before it commits."""

from __future__ import annotations

from .guard import Account, Guard, OnDataLoss, Watched

__all__ = ["Account", "Guard", "OnDataLoss", "Watched"]
