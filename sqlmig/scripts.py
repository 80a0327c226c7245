"""
SQL files that are numbered like migrations and are none: a migration in Python runs them.

    001_initial_schema.py     self.execute_sql_file("001_initial_schema.sql")
    001_initial_schema.sql    CREATE TABLE documents (...);

So it was in folders that were written before there were migrations in plain SQL.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from .sql_files import is_script

__all__ = ["scripts_among"]


def scripts_among(folder: str, names: Mapping[str, int], doubtful: Sequence[str]) -> set[str]:
    """
    Those of the SQL files *doubtful* that belong to a migration in Python of their own number.

    Such a file has no directive, and the migration is called as it is or names it; any other is a migration itself,
    so that two of one number are not passed over.

    Args:
        names: The files of the folder that are called like migrations, with their versions.
    """
    return {
        name
        for name in doubtful
        if any(_runs(folder, other, name) for other, version in names.items() if version == names[name])
        and is_script(_read(folder, name))
    }


def _runs(folder: str, migration: str, script: str) -> bool:
    if not migration.endswith(".py"):
        return False
    return migration.removesuffix(".py") == script.removesuffix(".sql") or script.encode() in _read(folder, migration)


def _read(folder: str, name: str) -> bytes:
    """What is in a file; nothing where it cannot be read, which is told when it is to be run."""
    try:
        with open(os.path.join(folder, name), "rb") as stream:
            return stream.read()
    except OSError:
        return b""
