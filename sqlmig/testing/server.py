"""A server on which tests have databases: one connection of our own to it, and names that nobody else takes."""

from __future__ import annotations

import asyncio
import threading
import uuid
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from importlib.util import find_spec
from itertools import count
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import create_engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from ..errors import ConfigurationError, DatabaseUnavailable
from .project import driver_of

if TYPE_CHECKING:
    from sqlalchemy.engine import URL, Connection

__all__ = ["Server", "async_url", "sync_url"]

R = TypeVar("R")

_AWAITED = {"postgresql": ("asyncpg", "psycopg"), "mysql": ("aiomysql", "asyncmy")}
_PLAIN = {"postgresql": ("psycopg", "psycopg2", "pg8000"), "mysql": ("pymysql", "MySQLdb", "mysql.connector")}
_NAMES = {"MySQLdb": "mysqldb", "mysql.connector": "mysqlconnector"}


class Server:
    """
    A connection under autocommit, which holds the locks that tell whose databases are in use.

    Args:
        url: Of a database of the server, which is only connected to.
        settle: What is said on each connection first.

    Raises:
        DatabaseUnavailable: There is no connection.
    """

    def __init__(self, url: URL, settle: Callable[[Server], None]) -> None:
        with driver_of(url):
            url.get_dialect().import_dbapi()
        self._url, self._settle = url, settle
        self._loop = _Loop() if url.get_dialect().is_async else None
        self._turn = threading.RLock()
        self.token = uuid.uuid4().hex[:12]
        """Of this process, in the names of its databases."""
        self._numbers = count(1)
        self._connection: Any = None
        self._connect()

    def new_name(self, prefix: str) -> str:
        """A name for a database of this process."""
        return f"{prefix}{self.token}_{next(self._numbers)}"

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        """The rows of a statement; none where it gives none."""
        with self._turn:
            try:
                return self._ask(sql)
            except DBAPIError as error:
                if not error.connection_invalidated:
                    raise
                # The server was restarted, and its databases may live on.
                self._connect()
                return self._ask(sql)

    def close(self) -> None:
        """Give the connection back, and with it all locks."""
        with self._turn:
            connection, self._connection = self._connection, None
            if connection is not None:
                with suppress(Exception):
                    self._wait(connection.close())
            if self._loop is not None:
                self._loop.close()

    def _connect(self) -> None:
        try:
            self._connection = self._connected()
        except (DBAPIError, OSError) as error:
            shown = self._url.render_as_string(hide_password=True)
            said = str(getattr(error, "orig", error)).strip().partition("\n")[0]
            raise DatabaseUnavailable(
                f"The server of {shown} cannot be reached, on which tests are to have their databases.\n  {said}\n"
                "Start it, or name another in sqlmig_database; without one, tests run on SQLite."
            ) from error
        self._settle(self)

    def _connected(self) -> Any:
        if self._loop is None:
            return create_engine(self._url, poolclass=NullPool, isolation_level="AUTOCOMMIT").connect()
        from sqlalchemy.ext.asyncio import create_async_engine

        engine = create_async_engine(self._url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
        return self._wait(engine.connect().start())

    def _ask(self, sql: str) -> list[tuple[Any, ...]]:
        def rows(connection: Connection) -> list[tuple[Any, ...]]:
            result = connection.exec_driver_sql(sql, execution_options={"no_parameters": True})
            return [tuple(row) for row in result] if result.returns_rows else []

        return rows(self._connection) if self._loop is None else self._wait(self._connection.run_sync(rows))

    def _wait(self, given: Any) -> Any:
        return given if self._loop is None else self._loop.run(given)


class _Loop:
    """An event loop in a thread: what is awaited there does not mind which loops there are here."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="sqlmig-testing", daemon=True)
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, R]) -> R:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def sync_url(url: URL) -> URL | None:
    """The URL by a driver that is not awaited; None where none is installed."""
    return url if not url.get_dialect().is_async else _by(url, _PLAIN)


def async_url(url: URL) -> URL:
    """
    The URL by a driver that is awaited.

    Raises:
        ConfigurationError: None is installed.
    """
    dialect = url.get_dialect()
    if dialect.is_async or dialect.driver == "psycopg":
        return url
    found = _by(url, _AWAITED)
    if found is None:
        drivers = " or ".join(_AWAITED[url.get_backend_name().replace("mariadb", "mysql")])
        raise ConfigurationError(
            "There is no driver for an asynchronous engine.\n"
            f"  sqlmig_database names {url.drivername}\nInstall {drivers}."
        )
    return found


def _by(url: URL, drivers: Mapping[str, Sequence[str]]) -> URL | None:
    name = url.get_backend_name()
    for module in drivers[name.replace("mariadb", "mysql")]:
        if find_spec(module.partition(".")[0]) is not None:
            return url.set(drivername=f"{name}+{_NAMES.get(module, module)}")
    return None
