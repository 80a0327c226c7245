"""What a check says: that something is wrong, or that it could not be tried."""

from __future__ import annotations

__all__ = ["Fault", "NotSampled", "NotTried"]


class Fault(AssertionError):
    """Something is wrong with a migration: what, the facts, and what to do about it."""


class NotTried(Exception):
    """Why a check says nothing of a migration."""


class NotSampled(UserWarning):
    """Tables for which no sample row could be made: what a migration does to theirs is not known."""
