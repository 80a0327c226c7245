"""The databases that asynchronous engines are tested on: a file, in memory, and a schema of its own on PostgreSQL."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from conftest import Folder
from native_databases import scratch_database, server_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from sqlmig import Migrator

__all__ = ["KINDS", "SERVERS", "Place", "place_of", "rows", "tables"]

KINDS = ("file", "memory", "asyncpg", "psycopg")
SERVERS = ("asyncpg", "psycopg")

R = TypeVar("R")


class Place:
    """
    One of them, empty.

    Args:
        url: Of the asynchronous engine.
        options: For `create_async_engine`, what leads it there.
    """

    def __init__(self, kind: str, url: str, options: dict[str, Any], folder: Folder) -> None:
        self.kind, self.url, self.options, self.folder = kind, url, options, folder
        self.is_server = kind in SERVERS

    def engine(self, **options: Any) -> AsyncEngine:
        """Another engine: of a database in memory, another database."""
        given = {**self.options, **options}
        if "connect_args" in options:
            given["connect_args"] = {**self.options.get("connect_args", {}), **options["connect_args"]}
        return create_async_engine(self.url, **given)

    def run(self, scenario: Callable[[AsyncEngine], Awaitable[R]], **options: Any) -> R:
        """What awaiting *scenario* gives, with an engine that is disposed of in the same event loop."""

        async def main() -> R:
            engine = self.engine(**options)
            try:
                return await scenario(engine)
            finally:
                await engine.dispose()

        return asyncio.run(main())

    def migrator(self, engine: Any, **options: Any) -> Migrator:
        """With the folder of the test."""
        return Migrator(engine, self.folder.path, **options)

    @property
    def slow(self) -> str:
        """A query that takes a minute or more."""
        if self.is_server:
            return f"SELECT pg_sleep(60) /* {id(self)} */"
        return (
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000000000) SELECT max(i) FROM n"
        )

    async def until_slow(self, engine: Any) -> None:
        """PostgreSQL works on `slow`: a request to cancel it that comes earlier is lost, and it runs to its end."""
        if not self.is_server:
            return
        at_work = f"SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query = '{self.slow}'"
        async with engine.connect() as connection:
            while not (await connection.exec_driver_sql(at_work)).scalar():
                # A transaction sees the same all the time.
                await connection.rollback()
                await asyncio.sleep(0.002)

    @property
    def a_moment(self) -> str:
        """A query that takes a good part of a second."""
        return "SELECT pg_sleep(0.4)" if self.is_server else self.slow.replace("3000000000", "1500000")


@contextmanager
def place_of(kind: str, tmp_path: Path, folder: Folder) -> Iterator[Place]:
    """Gone at the end; skips where there is no such server."""
    if kind in ("file", "memory"):
        yield Place(
            kind, f"sqlite+aiosqlite:///{tmp_path / 'app.db'}" if kind == "file" else "sqlite+aiosqlite://", {}, folder
        )
        return
    with scratch_database("postgresql") as scratch:
        # It would keep a lock on what it has read.
        scratch.connection.rollback()
        url = server_url("postgresql").set(drivername=f"postgresql+{kind}")
        path = {"server_settings": {"search_path": scratch.scratch}}
        options = path if kind == "asyncpg" else {"options": f"-csearch_path={scratch.scratch}"}
        yield Place(kind, url.render_as_string(hide_password=False), {"connect_args": options}, folder)


async def rows(engine: AsyncEngine, sql: str) -> list[tuple[Any, ...]]:
    """What a query gives."""
    async with engine.connect() as connection:
        return [tuple(row) for row in await connection.exec_driver_sql(sql)]


async def tables(engine: AsyncEngine) -> list[str]:
    """The names of all tables but those of the records."""
    listed = (
        "SELECT name FROM sqlite_master WHERE type = 'table'"
        if engine.dialect.name == "sqlite"
        else "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"
    )
    return sorted(str(name) for (name,) in await rows(engine, listed) if not str(name).startswith("migration_"))


def appears(flag: Path) -> Callable[[], Awaitable[None]]:
    """Waits until a file is there, as a migration can make one."""

    async def wait() -> None:
        while not flag.exists():
            await asyncio.sleep(0.005)

    assert not os.path.exists(flag)
    return wait
