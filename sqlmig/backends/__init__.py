"""What differs per database: the lock, the transaction, the version pragma."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..connection import refuse_asynchronous

if TYPE_CHECKING:
    from ..connection import DatabaseConnection
    from .backend import Backend
    from .session import Session
    from .sqlite_session import SQLiteSession

__all__ = ["as_sqlite", "backend_for", "require_sqlite"]


def backend_for(
    database: DatabaseConnection,
    lock_timeout: float,
    records: str = "migration_versions",
    statement_timeout: float | None = None,
) -> Backend:
    """
    The backend of *database*.

    Args:
        lock_timeout, statement_timeout: Seconds, as in `Migrator`.
        records: What the versions table is called, with its schema where it has one.

    Raises:
        UnsupportedDatabase: There is none for its dialect.
        ConfigurationError: It is reached by a Migrator only.
    """
    dialect = database.engine.dialect.name
    if dialect == "postgresql":
        from .postgresql import PostgreSQLBackend

        return PostgreSQLBackend(database, lock_timeout, records, statement_timeout)
    if dialect in ("mysql", "mariadb"):
        from .mysql import MySQLBackend

        return MySQLBackend(database, lock_timeout, records, statement_timeout)
    if dialect != "sqlite":
        from ..errors import UnsupportedDatabase

        raise UnsupportedDatabase(
            f"sqlmig has no backend for {dialect}.\n"
            "  This release runs on SQLite, through Python's sqlite3, on PostgreSQL, MariaDB and MySQL.\n"
            "Use a sqlite://, postgresql+psycopg:// or mysql+pymysql:// URL, or an engine over one of them."
        )
    # In aiosqlite's own thread, which only a Migrator goes into, there is a connection of sqlite3's.
    refuse_asynchronous(database.engine)
    from .sqlite import SQLiteBackend

    return SQLiteBackend(database, lock_timeout, statement_timeout)


def as_sqlite(session: Session, what: str) -> SQLiteSession:
    """
    A session for *what* is done to SQLite only.

    Raises:
        UnsupportedDatabase: It is another database's.
    """
    from .sqlite_session import SQLiteSession

    require_sqlite(session.connection.dialect.name, what)
    assert isinstance(session, SQLiteSession)
    return session


def require_sqlite(dialect: str, what: str, besides: str = "") -> None:
    """
    Refuse *what* is done to SQLite only.

    Args:
        besides: What else it is for, where *dialect* is known to be none of these.

    Raises:
        UnsupportedDatabase: It is another database.
    """
    if dialect != "sqlite":
        from ..errors import UnsupportedDatabase

        raise UnsupportedDatabase(
            f"{what} is for SQLite{besides} only, in this release.\n"
            f"  The database is {dialect}; nothing was changed.\n"
            "Use the tools of that database, and migrate without."
        )
