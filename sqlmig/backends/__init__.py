"""What differs per database: the lock, the transaction, the version pragma."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..connection import DatabaseConnection
    from .sqlite import SQLiteBackend

__all__ = ["backend_for"]


def backend_for(database: DatabaseConnection, lock_timeout: float) -> SQLiteBackend:
    """
    The backend of *database*.

    Raises:
        UnsupportedDatabase: There is none for its dialect.
    """
    dialect = database.engine.dialect.name
    if dialect != "sqlite":
        from ..errors import UnsupportedDatabase

        raise UnsupportedDatabase(
            f"sqlmig has no backend for {dialect}.\n"
            "  This release runs on SQLite.\n"
            "Use a sqlite:// URL or an engine over SQLite."
        )
    from .sqlite import SQLiteBackend

    return SQLiteBackend(database, lock_timeout)
