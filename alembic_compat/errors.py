"""
What can be wrong with an Alembic project, as errors of sqlmig's tree.

What Alembic's own commands would say of a revision is its CommandError as well, for whoever catches that.
"""

from __future__ import annotations

from collections.abc import Sequence

from alembic.util import CommandError

from sqlmig import MigrationError
from sqlmig import UnknownRevision as UncarriedRevision

__all__ = ["AmbiguousRevision", "EnvironmentFailed", "OverlappingHeads", "UnknownRevision"]


class UnknownRevision(UncarriedRevision, CommandError):
    """
    There is no revision of that name.

    Attributes:
        found: What was asked for, or what the database is at.
        known: What there is.
    """

    def __init__(self, found: Sequence[str], known: Sequence[str], message: str = "") -> None:
        self.found, self.known = list(found), list(known)
        listed = ", ".join(self.known[-8:]) or "none"
        more = f"the newest of {len(self.known)} are {listed}" if len(self.known) > 8 else f"there is {listed}"
        MigrationError.__init__(
            self,
            message
            or f"There is no revision {' and '.join(self.found)}; nothing was changed.\n  {more}\n"
            "See what there is: alembic history",
        )

    @classmethod
    def of_database(cls, table: str, found: Sequence[str], known: Sequence[str]) -> UnknownRevision:
        """The database is at a revision that is in no file."""
        return cls(
            found,
            known,
            f"The table {table} says {' and '.join(found)}, and no file has such a revision; nothing was changed.\n"
            f"  {len(known)} revisions are known here; a newer release of the application may have the others\n"
            "Run the release that it is from, or, if the schema is that of a revision here: stamp(revision)",
        )


class AmbiguousRevision(MigrationError, CommandError):
    """A name that fits more than one revision."""

    def __init__(self, name: str, reason: str) -> None:
        self.name = name
        super().__init__(
            f"{name!r} does not name one revision; nothing was changed.\n  {reason}\n"
            "Write more of its id, or 'heads' for all heads, or 'label@head' for one of them."
        )


class OverlappingHeads(MigrationError, CommandError):
    """Alembic's table has a revision together with one that it descends from."""

    def __init__(self, table: str, older: str, newer: str) -> None:
        self.older, self.newer = older, newer
        super().__init__(
            f"The table {table} has both {older} and {newer}, which descends from it; nothing was changed.\n"
            "  It was changed by hand, or by two programs at once: a head stands for everything before it\n"
            f"If the schema is that of {newer}: DELETE FROM {table} WHERE version_num = '{older}'"
        )


class EnvironmentFailed(MigrationError):
    """The project's env.py raised, or did not do what env.py is for."""

    def __init__(self, path: str, reason: str, hint: str = "") -> None:
        self.path = path
        super().__init__(
            f"{path} failed: {reason}\n  No migration of this call was applied after that.\n"
            + (hint or "Mend it, or migrate without it: AlembicMigrator(..., env=False, target_metadata=...)")
        )
