"""
DatabaseConnection: execute, fetch_one, fetch_all and transaction over SQLAlchemy.

It stands over an Engine, where each statement outside `transaction()` is a transaction of its own, or over a
Connection, whose transaction it joins and never ends.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, TypeAlias
from weakref import WeakKeyDictionary

from sqlalchemy.engine import URL, Connection, Engine
from sqlalchemy.pool import Pool, StaticPool

from .turns import Here, Turn, greenlet_at_work

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
    from sqlalchemy.sql import Executable

    from .rows import Result, Row

__all__ = [
    "Asynchronous",
    "Database",
    "DatabaseConnection",
    "Parameters",
    "atomic",
    "begin",
    "display_name",
    "in_autocommit",
    "is_asynchronous",
    "pool_lock",
    "refuse_asynchronous",
    "secret_options",
]

Parameters: TypeAlias = "Sequence[Any] | Mapping[str, Any] | None"
Asynchronous: TypeAlias = "AsyncEngine | AsyncConnection"

logger = logging.getLogger("sqlmig.sql")

_URLS = (
    "A SQLite file is sqlite:///relative/path.db or sqlite:////absolute/path.db; a database of a server"
    " postgresql+psycopg://user@host/database or mysql+pymysql://user@host/database"
)
_DRIVERS = {
    "postgresql": ("postgresql", "postgresql+psycopg://"),
    "mysql": ("mysql", "mysql+pymysql://"),
    "mariadb": ("mysql", "mariadb+pymysql://"),
}
"""Of each kind of server, the extra that brings a driver, and how URLs begin that name it."""

_pool_locks: WeakKeyDictionary[Pool, Turn] = WeakKeyDictionary()
_pool_locks_guard = threading.Lock()


class DatabaseConnection:
    """
    A database to run SQL on.

    SQL is text with `?` and a tuple, text with `:name` and a dict, a list of either for many rows,
    or any SQLAlchemy Core construct. A literal `?` beside parameters is written `??`.

    Args:
        database: Engine, Connection, URL, URL text, or the path of a SQLite file (`":memory:"` included).
    """

    def __init__(self, database: Database) -> None:
        self.engine: Engine
        self._joined: Connection | None = None
        self._here = Here()
        self.lent = False
        """Whether the Connection is sqlmig's own, so that what a read has begun on it may be ended."""
        self.statements = 0
        self.last_statement: str | None = None
        if isinstance(database, DatabaseConnection):
            self._joined, self.engine = database._joined, database.engine
            self._here = database._here
        elif isinstance(database, Connection):
            self._joined, self.engine = database, database.engine
        else:
            self.engine = _engine(database)

    @property
    def connection(self) -> Connection | None:
        """The Connection that statements go to now, or None outside any transaction."""
        return self._joined if self._joined is not None else self._here.values.get("connection")

    @property
    def bound(self) -> bool:
        """Whether it stands over a Connection, whose transaction is somebody else's."""
        return self._joined is not None

    def execute(self, sql: str | Executable, params: Parameters = None) -> Result:
        """Run one statement."""
        from .rows import Result, Row
        from .sql_text import has_placeholders
        from .statements import run

        self.statements += 1
        self.last_statement = sql if isinstance(sql, str) else None
        logger.debug("%s", sql)
        if isinstance(params, Iterable) and not isinstance(params, Sequence | Mapping | Row | str | bytes | set):
            params = list(params)
        if isinstance(params, list) and not params:
            if not isinstance(sql, str) or has_placeholders(sql, self.engine.dialect.name):
                # A list of rows, with no row in it.
                return Result(None)
            params = None
        refuse_asynchronous(self.engine)
        connection = self.connection
        if connection is not None:
            return Result(run(connection, sql, params))
        with self._alone(), self.engine.begin() as own:
            return Result(run(own, sql, params)).buffer()

    def fetch_one(self, sql: str | Executable, params: Parameters = None) -> Row | None:
        """The first row of a query, or None."""
        return self.execute(sql, params).first()

    def fetch_all(self, sql: str | Executable, params: Parameters = None) -> list[Row]:
        """All rows of a query."""
        return self.execute(sql, params).fetchall()

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Commit what happens inside together or not at all; inside a transaction, a savepoint."""
        refuse_asynchronous(self.engine)
        connection = self.connection
        if connection is not None:
            with atomic(connection):
                yield connection
            return
        with self._alone(), self.engine.connect() as own, _ended(own, "COMMIT"):
            self._here.values["connection"] = own
            try:
                yield own
            finally:
                del self._here.values["connection"]

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """The connection at hand, or one for the time of a read, which sees one moment of the database."""
        refuse_asynchronous(self.engine)
        connection = self.connection
        if connection is not None:
            yield connection
            return
        with self._alone(), self.engine.connect() as own, _ended(own, "ROLLBACK"):
            yield own

    @contextmanager
    def at_work(self, connection: Connection) -> Iterator[None]:
        """
        Have whatever this thread, or this task of an event loop, reads meanwhile read on *connection*.

        Raises:
            ConfigurationError: The thread is at work already: a progress callback or a migration calls back.
        """
        here = self._here.values
        if here.get("at_work"):
            from .errors import ConfigurationError

            raise ConfigurationError(
                "This Migrator is at work already, in this thread.\n"
                "  It was called back from a migration or from a progress callback; nothing was changed by that.\n"
                "Call it when migrate() has returned."
            )
        before = here.get("connection")
        here.update(at_work=True, connection=connection)
        try:
            yield
        finally:
            here.update(at_work=False, connection=before)

    def _alone(self) -> AbstractContextManager[object]:
        """Keep other threads out where all share one connection, and with it one transaction."""
        pool = self.engine.pool
        return pool_lock(pool) if isinstance(pool, StaticPool) else nullcontext()

    def close(self) -> None:
        """Give the engine's pooled connections back; a joined Connection stays open."""
        if not self.bound:
            self.engine.dispose()

    def __repr__(self) -> str:
        return f"DatabaseConnection({display_name(self.engine)})"


Database: TypeAlias = "DatabaseConnection | Engine | Connection | URL | str | os.PathLike[str]"


def pool_lock(pool: Pool) -> Turn:
    """The lock with which threads, or the tasks of one, keep out of each other's way on one pool."""
    lock = _pool_locks.get(pool)
    if lock is None:
        with _pool_locks_guard:
            lock = _pool_locks.setdefault(pool, Turn())
    return lock


def begin(connection: Connection) -> None:
    """
    Have *connection* in a transaction that the database knows of.

    Python's sqlite3 begins one only before INSERT, UPDATE and DELETE: until then a savepoint would be the
    whole transaction, and its RELEASE a commit.
    """
    if not connection.in_transaction():
        connection.begin()
    raw = _idle_sqlite(connection)
    if raw is not None:
        raw.cursor().execute("BEGIN")


@contextmanager
def _ended(connection: Connection, word: str) -> Iterator[None]:
    """A transaction on a connection of our own, ended with COMMIT or ROLLBACK."""
    begin(connection)
    try:
        yield
        _end(connection, word)
    except BaseException:
        _end(connection, "ROLLBACK")
        raise


def _end(connection: Connection, word: str) -> None:
    if word == "COMMIT":
        connection.commit()
    else:
        connection.rollback()
    if connection.dialect.name == "sqlite":
        raw: Any = connection.connection.dbapi_connection
        # With `autocommit=True` the two methods of sqlite3 do nothing.
        if raw.in_transaction and getattr(raw, "autocommit", None) is True:
            raw.cursor().execute(word)


@contextmanager
def atomic(connection: Connection) -> Iterator[None]:
    """Undo what happens inside if it fails: a savepoint; where each statement commits by itself, a transaction."""
    if not connection.in_transaction():
        # The "begin" event of an engine may issue BEGIN.
        connection.begin()
    if connection.dialect.name != "sqlite":
        from .autocommit import by_hand, each_commits

        with by_hand(connection) if each_commits(connection) else connection.begin_nested():
            yield
        return
    raw = _idle_sqlite(connection)
    if raw is None or not in_autocommit(_driver(connection)):
        begin(connection)
        with connection.begin_nested():
            yield
        return
    raw.cursor().execute("BEGIN")
    try:
        yield
        raw.cursor().execute("COMMIT")
    except BaseException:
        if _driver(connection).in_transaction:
            raw.cursor().execute("ROLLBACK")
        raise


def in_autocommit(raw: Any) -> bool:
    """Whether a sqlite3 connection was asked to open no transaction by itself."""
    # `autocommit` is an attribute since Python 3.12, and goes before `isolation_level`.
    return raw.isolation_level is None or getattr(raw, "autocommit", None) is True


def _idle_sqlite(connection: Connection) -> Any:
    """The driver's connection where it is SQLite's and has no transaction open, else None."""
    if connection.dialect.name != "sqlite":
        return None
    raw: Any = connection.connection.dbapi_connection
    return None if raw is None or _driver(connection).in_transaction else raw


def _driver(connection: Connection) -> Any:
    """The driver's own connection: SQLAlchemy's adapter of an asynchronous one has no such attributes."""
    return connection.connection.driver_connection


def display_name(engine: Engine) -> str:
    """The database's URL for messages, its passwords hidden; of a SQLite file, the path."""
    if engine.dialect.name == "sqlite" and engine.url.database:
        return engine.url.database
    hidden = dict.fromkeys(secret_options(engine.url), "hidden")
    return engine.url.update_query_dict(hidden).render_as_string(hide_password=True)


def secret_options(url: URL) -> list[str]:
    """The names of the options in *url* whose values are for nobody to see, as in `?user=ada&password=...`."""
    return [name for name in url.query if any(word in name.lower() for word in ("pass", "pwd", "secret", "token"))]


def is_asynchronous(database: object) -> bool:
    """Whether statements on it are awaited: of an AsyncEngine, an AsyncConnection, and what stands behind them."""
    if isinstance(database, Engine | Connection):
        return database.dialect.is_async
    return any(kind.__name__ in ("AsyncEngine", "AsyncConnection") for kind in type(database).__mro__)


def refuse_asynchronous(database: object) -> None:
    """
    Refuse what has to be awaited where it cannot be, or has no connection of sqlite3's.

    Raises:
        ConfigurationError: It is an AsyncEngine or AsyncConnection, or what stands behind one outside of a greenlet.
    """
    inner = isinstance(database, Engine | Connection)
    if not is_asynchronous(database) or (inner and greenlet_at_work() is not None and not _is_sqlite(database)):
        return
    from .errors import ConfigurationError

    kind = type(database).__name__ if not inner else "A Connection of aiosqlite" if _is_sqlite(database) else ""
    raise ConfigurationError(
        f"{kind or 'The Connection of an asynchronous engine'} cannot be used here.\n"
        "  Its statements have to be awaited, which was not done; nothing was changed.\n"
        "Migrate by: await Migrator(engine, ...).migrate_async()"
        + ("" if inner and _is_sqlite(database) else "\nFor anything else: await connection.run_sync(function)")
    )


def _is_sqlite(database: object) -> bool:
    return isinstance(database, Engine | Connection) and database.dialect.name == "sqlite"


def _engine(database: object) -> Engine:
    if isinstance(database, Engine):
        return database
    refuse_asynchronous(database)
    from sqlalchemy import create_engine
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError

    from .errors import ConfigurationError, UnsupportedDatabase

    if isinstance(database, URL):
        return create_engine(database)
    if not isinstance(database, str | os.PathLike):
        raise ConfigurationError(
            f"Not a database: a value of type {type(database).__name__}.\n"
            "  It is shown here without its content, which may hold a password.\n"
            "Pass an Engine, a Connection, a URL, or the path of a SQLite file."
        )
    text = os.fspath(database)
    if text == ":memory:":
        # One connection for all, or each thread would see a database of its own.
        return create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
    scheme, colon, _ = text.partition(":")
    like_a_url = (len(scheme) > 1 and scheme.replace("+", "").isalnum()) or ("//" in text and "@" in text)
    if "://" not in text and colon and like_a_url:
        # Never to be shown whole: it may hold a password. One letter is a drive of Windows.
        raise ConfigurationError(
            f"What begins with {scheme}: is neither a URL nor taken for the path of a file.\n"
            "  A URL has :// after its scheme.\n"
            f"{_URLS}"
        )
    if "://" not in text:
        return create_engine(URL.create("sqlite", database=text))
    scheme = text.partition("://")[0]
    try:
        engine = create_engine(text)
    except ModuleNotFoundError as error:
        dialect = scheme.partition("+")[0]
        if dialect in _DRIVERS:
            extra, known = _DRIVERS[dialect]
            raise ConfigurationError(
                f"The driver of {scheme}:// is not installed: {error.name}.\n"
                f"  The one that sqlmig[{extra}] brings is named by {known}\n"
                f"Install {error.name}; or: pip install 'sqlmig[{extra}]', and have the URL begin with {known}"
            ) from error
        if dialect != "sqlite":
            raise UnsupportedDatabase(
                f"sqlmig has no backend for {scheme}, and its driver {error.name} is not installed.\n"
                "  This release runs on SQLite, through Python's sqlite3, on PostgreSQL, MariaDB and MySQL.\n"
                f"Install {error.name}, or use a URL whose driver is there."
            ) from error
        raise ConfigurationError(f"The driver of {scheme}:// is missing.\n  {error}\nInstall it.") from error
    except (ArgumentError, NoSuchModuleError, ValueError) as error:
        raise ConfigurationError(
            f"No engine can be made for a URL that begins with {scheme}://\n  {_without_url(error, text)}\n{_URLS}"
        ) from error
    if "@" in (engine.url.host or ""):
        # What is taken for the host has the end of the password, and would be shown with it.
        raise ConfigurationError(
            f"The host of a URL that begins with {scheme}:// cannot be told from its password.\n"
            "  Between :// and the next / there is more than one @.\n"
            "Write an @ of the user or the password as %40"
        )
    return engine


def _without_url(error: Exception, url: str) -> str:
    if isinstance(error, ValueError):
        # It quotes what it could not read, which may be a part of a password.
        return "its port is not a number, or another part of it cannot be read"
    from .errors import shorten

    return f"{type(error).__name__}: {shorten(str(error).replace(url, 'the URL'))}"
