"""Connections to a server on which each statement commits by itself: there a savepoint is nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import DBAPIError

from .backends.raw import NO_TRANSACTION, sqlstate

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

__all__ = ["BY_HAND", "by_hand", "each_commits", "in_transaction"]

BY_HAND = "sqlmig_by_hand"
"""Under which `Connection.info` says that a transaction is open that was begun here."""

_PROBE = "sqlmig_probe"


def each_commits(connection: Connection) -> bool:
    """Whether each statement commits by itself, and no transaction was begun by hand."""
    if connection.dialect.name == "postgresql":
        driver: Any = connection.connection.dbapi_connection
        return driver.autocommit is True and not in_transaction(connection)
    if connection.dialect.name in ("mysql", "mariadb"):
        return bool(_say(connection, "SELECT @@autocommit").scalar()) and not in_transaction(connection)
    return False


def in_transaction(connection: Connection) -> bool:
    """Whether the server has a transaction open, by the only way that every server and driver has to tell."""
    try:
        _say(connection, f"SAVEPOINT {_PROBE}")
    except DBAPIError as error:
        # Else it is one that has failed.
        return sqlstate(error) != NO_TRANSACTION
    try:
        _say(connection, f"RELEASE SAVEPOINT {_PROBE}")
    except DBAPIError:
        # MariaDB takes it, and has forgotten it at once.
        return False
    return True


@contextmanager
def by_hand(connection: Connection) -> Iterator[None]:
    """A transaction that is begun and ended by statements."""
    _say(connection, "BEGIN")
    connection.info[BY_HAND] = True
    try:
        yield
    except BaseException:
        connection.info.pop(BY_HAND, None)
        # Of a connection that is lost, the server undoes it.
        with suppress(Exception):
            _say(connection, "ROLLBACK")
        raise
    connection.info.pop(BY_HAND, None)
    _say(connection, "COMMIT")


def _say(connection: Connection, sql: str) -> Any:
    return connection.exec_driver_sql(sql, execution_options={"no_parameters": True})
