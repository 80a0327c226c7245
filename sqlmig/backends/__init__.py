"""What differs per database: the lock, the transaction, the version pragma."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..connection import DatabaseConnection
    from .protocol import Backend, Session
    from .sqlite_session import SQLiteSession

__all__ = ["as_sqlite", "backend_for"]


def backend_for(database: DatabaseConnection, lock_timeout: float) -> Backend:
    """
    The backend of *database*.

    Raises:
        UnsupportedDatabase: There is none for its dialect.
    """
    dialect = database.engine.dialect.name
    if dialect != "sqlite" or database.engine.dialect.is_async:
        from ..errors import UnsupportedDatabase

        name = f"{dialect}+{database.engine.dialect.driver}" if dialect == "sqlite" else dialect
        raise UnsupportedDatabase(
            f"sqlmig has no backend for {name}.\n"
            "  This release runs on SQLite, through Python's sqlite3.\n"
            "Use a sqlite:// URL or an engine over SQLite."
        )
    from .sqlite import SQLiteBackend

    return SQLiteBackend(database, lock_timeout)


def as_sqlite(session: Session, what: str) -> SQLiteSession:
    """
    A session for *what* is done to SQLite only.

    Raises:
        UnsupportedDatabase: It is another database's.
    """
    from .sqlite_session import SQLiteSession

    if not isinstance(session, SQLiteSession):
        from ..errors import UnsupportedDatabase

        raise UnsupportedDatabase(
            f"{what} is for SQLite only.\n  the database is {session.connection.dialect.name}; nothing was changed"
        )
    return session
