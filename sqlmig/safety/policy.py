"""SnapshotPolicy: where snapshots go, and how many are kept."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import ConfigurationError

__all__ = ["SnapshotPolicy", "anchored", "as_policy"]


@dataclass(frozen=True)
class SnapshotPolicy:
    """
    Where snapshots go, and how many of a database are kept.

    Args:
        folder: Made when it is needed; None for the folder of the database file.
        keep: How many; None for all.

    Raises:
        ConfigurationError: Either cannot be what was passed.
    """

    folder: str | os.PathLike[str] | None = None
    keep: int | None = 3

    def __post_init__(self) -> None:
        if self.keep is not None and (isinstance(self.keep, bool) or not isinstance(self.keep, int) or self.keep < 1):
            raise ConfigurationError(
                f"keep={self.keep!r} cannot be used.\n  it is the number of snapshots to keep, the new one included\n"
                "Use 1 or more, or None for all."
            )
        if self.folder is None:
            return
        if not isinstance(self.folder, str | os.PathLike) or not os.fspath(self.folder):
            raise ConfigurationError(
                f"folder={self.folder!r} cannot be used.\n  it is where snapshots go\n"
                "Use a path, or None for the folder of the database."
            )
        if Path(self.folder).exists() and not Path(self.folder).is_dir():
            raise ConfigurationError(
                f"{os.fspath(self.folder)} cannot hold snapshots.\n  it is there, and is no folder\nName another."
            )


def anchored(policy: SnapshotPolicy | None) -> SnapshotPolicy | None:
    """The same, its folder as it is found from here, whatever folder the process goes to."""
    if policy is None or policy.folder is None:
        return policy
    return replace(policy, folder=os.path.abspath(policy.folder))


def as_policy(value: object) -> SnapshotPolicy | None:
    """
    The policy that an option means: True for the usual one, a path for its folder, a table for both.

    Raises:
        ConfigurationError: It means none.
    """
    if value is None or value is False:
        return None
    if value is True:
        return SnapshotPolicy()
    if isinstance(value, SnapshotPolicy):
        return value
    if isinstance(value, str | os.PathLike):
        return SnapshotPolicy(value)
    if isinstance(value, Mapping) and set(value) <= {"folder", "keep"}:
        return SnapshotPolicy(**value)
    raise ConfigurationError(
        f"snapshot={value!r} cannot be used.\n  it says whether a copy is made before migrating, and where\n"
        "Use True, a folder, or SnapshotPolicy(folder, keep=3)."
    )
