"""What is said to a server by its driver's own connection, past SQLAlchemy and its events, and what its errors are."""

from __future__ import annotations

from typing import Any

__all__ = ["LOCK_NOT_AVAILABLE", "NO_TRANSACTION", "QUERY_CANCELED", "ask_any", "backticked", "sqlstate"]

# Source: https://www.postgresql.org/docs/current/errcodes-appendix.html
LOCK_NOT_AVAILABLE, NO_TRANSACTION, QUERY_CANCELED = "55P03", "25P01", "57014"


def ask_any(raw: Any, sql: str) -> list[tuple[Any, ...]]:
    """The rows of a statement, whichever driver it is; none where it gives none."""
    cursor = raw.cursor()
    try:
        cursor.execute(sql)
        return [tuple(row) for row in cursor.fetchall()] if cursor.description else []
    finally:
        cursor.close()


def backticked(name: str) -> str:
    """A name as MariaDB and MySQL quote it."""
    return "`" + name.replace("`", "``") + "`"


def sqlstate(error: BaseException) -> str:
    """PostgreSQL's code for an error, SQLAlchemy's or the driver's; empty where there is none."""
    origin = getattr(error, "orig", error)
    return str(getattr(origin, "sqlstate", None) or getattr(origin, "pgcode", None) or "")
