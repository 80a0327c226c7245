"""
The file of an aiosqlite engine, opened by Python's sqlite3 as the application opens it.

With everything that was given to `create_async_engine`, and the listeners of the application's engine and pool. These
get a connection that looks like aiosqlite's, `run_async()` included.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from sqlalchemy import create_engine, event
from sqlalchemy.dialects.sqlite.aiosqlite import AsyncAdapt_aiosqlite_connection
from sqlalchemy.engine import Engine
from sqlalchemy.pool import NullPool

from ..errors import ConfigurationError
from ..safety.copied_engine import connects_plainly, given_path, listen_as, told

__all__ = ["is_file", "options_of", "synchronous"]

_OF_AIOSQLITE = ("iter_chunk_size", "loop", "async_creator_fn")


def is_file(engine: Engine) -> bool:
    """Whether an engine connects to a file by its own means: to one that another connection finds, too."""
    if connects_plainly(engine):
        return False
    path, query = given_path(engine), str(engine.url)
    return path not in ("", ":memory:") and "mode=memory" not in query and ":memory:" not in path


def synchronous(original: Engine) -> Engine:
    """An engine of sqlite3 that connects as *original* does."""
    path = given_path(original)
    url = original.url.set(drivername="sqlite+pysqlite")
    if not path.startswith("file:"):
        # As it was when the engine was made, wherever the process is now.
        url = url.set(database=path)
    engine = create_engine(
        url,
        connect_args={
            name: value for name, value in told(original.pool._creator)["cparams"].items() if name not in _OF_AIOSQLITE
        },
        poolclass=NullPool,
        **options_of(original),
    )
    _connect_as(engine, original)
    listen_as(engine, original)
    return engine


def options_of(original: Engine) -> dict[str, Any]:
    """What `create_engine` is to be told so that values, transactions and messages are as those of another engine."""
    dialect: Any = original.dialect
    found = {
        "json_serializer": dialect._json_serializer,
        "json_deserializer": dialect._json_deserializer,
        "native_datetime": dialect.native_datetime,
        "isolation_level": dialect._on_connect_isolation_level,
        "execution_options": dict(original.get_execution_options()),
        "echo": original.echo,
        "hide_parameters": original.hide_parameters,
        "logging_name": original.logging_name,
    }
    return {name: value for name, value in found.items() if value}


def _connect_as(engine: Engine, original: Engine) -> None:
    """Call the application's listeners of a connection that is about to be made, or has been."""
    own: Any = engine.pool.dispatch
    # What listens to every pool is among the other's listeners as well, and is to see the same connection as they do.
    own.connect.for_modify(own).parent_listeners = ()

    def before(_dialect: Any, record: Any, arguments: list[Any], options: dict[str, Any]) -> None:
        for listener in list(original.dialect.dispatch.do_connect):
            if listener(original.dialect, record, arguments, options) is not None:
                raise ConfigurationError(
                    "A do_connect listener of the asynchronous engine makes its connections by itself.\n"
                    "  sqlmig opens the file by Python's sqlite3, and cannot use them; nothing was changed.\n"
                    "Have the listener change the arguments only, or pass an AsyncConnection."
                )
        for name in _OF_AIOSQLITE:
            options.pop(name, None)

    def after(raw: Any, record: Any) -> None:
        theirs: Any = original.pool.dispatch
        face = LikeAiosqlite(raw)
        for listener in list(theirs.connect):
            # Its own do to the connection what those of the engine here do.
            if not str(getattr(listener, "__module__", "")).startswith("sqlalchemy."):
                listener(face, record)

    event.listen(engine, "do_connect", before)
    event.listen(engine.pool, "connect", after)


class LikeAiosqlite(AsyncAdapt_aiosqlite_connection):
    """What the listeners of an aiosqlite engine expect of a connection, over one of sqlite3's."""

    __slots__ = ("_raw",)

    def __init__(self, raw: Any) -> None:
        self._raw = raw
        self._connection: Any = _Awaited(raw)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._raw, name)

    @property
    def driver_connection(self) -> Any:
        """As aiosqlite's own, whose methods are awaited."""
        return self._connection

    @property
    def isolation_level(self) -> str | None:
        """That of sqlite3."""
        level: str | None = self._raw.isolation_level
        return level

    @isolation_level.setter
    def isolation_level(self, value: str | None) -> None:
        self._raw.isolation_level = value

    def run_async(self, fn: Callable[[Any], Awaitable[Any]]) -> Any:
        """What awaiting the result of *fn* gives."""

        async def run() -> Any:
            return await fn(self._connection)

        return asyncio.run(run())

    def cursor(self, server_side: bool = False) -> Any:
        """That of sqlite3."""
        return self._raw.cursor()

    def execute(self, operation: Any, parameters: Any = ()) -> Any:
        """As sqlite3 does."""
        return self._raw.execute(operation, parameters or ())

    def create_function(self, *args: Any, **options: Any) -> None:
        """As sqlite3 does."""
        self._raw.create_function(*args, **options)

    def commit(self) -> None:
        """As sqlite3 does."""
        self._raw.commit()

    def rollback(self) -> None:
        """As sqlite3 does."""
        self._raw.rollback()

    def close(self) -> None:
        """As sqlite3 does."""
        self._raw.close()


class _Awaited:
    """A connection of sqlite3 whose methods are awaited."""

    def __init__(self, raw: Any) -> None:
        self._conn = raw

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._conn, name)
        if not callable(found):
            return found

        async def call(*args: Any, **options: Any) -> Any:
            return found(*args, **options)

        return call
