"""What the tests of rehearsals on PostgreSQL share."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from conftest import Folder
from native_databases import server_url
from sqlalchemy import Engine, create_engine
from sqlalchemy.engine import URL
from sqlalchemy.pool import NullPool

from sqlmig import Migrator

__all__ = ["added", "at", "copies", "database_called", "of", "people", "role", "rows", "said", "tables"]


def of(engine: Engine, folder: Folder, **options: Any) -> Migrator:
    return Migrator(engine, folder.path, **options)


def rows(engine: Engine, query: str) -> list[tuple[Any, ...]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.exec_driver_sql(query)]


def tables(engine: Engine) -> list[str]:
    return [name for (name,) in rows(engine, "SELECT relname::text FROM pg_stat_user_tables ORDER BY 1")]


def copies(engine: Engine) -> list[str]:
    """The scratch databases of this one that are there."""
    query = (
        "SELECT datname::text FROM pg_database WHERE datname LIKE 'sqlmig_rehearsal_' ||"
        " (SELECT oid FROM pg_database WHERE datname = current_database()) || '_%%'"
    )
    return [name for (name,) in rows(engine, query)]


def at(url: URL, *statements: str) -> list[tuple[Any, ...]]:
    """Run each by itself over a connection of its own; the rows of the last."""
    engine = create_engine(url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    found: list[tuple[Any, ...]] = []
    with engine.connect() as connection:
        for statement in statements:
            result = connection.exec_driver_sql(statement, execution_options={"no_parameters": True})
            found = [tuple(row) for row in result] if result.returns_rows else []
    return found


def said(*statements: str) -> str:
    """The body of a migration that executes them."""
    return "\n".join(f"self.execute_sql({statement!r})" for statement in statements)


def added(folder: Folder, version: int, up: Sequence[str], down: Sequence[str] | None = None, extra: str = "") -> None:
    """A migration of these statements."""
    folder.add(version, said(*up), None if down is None else said(*down), extra)


def people(folder: Folder) -> None:
    folder.add(
        1,
        "self.execute_sql('CREATE TABLE people (id serial PRIMARY KEY, name text NOT NULL)')\n"
        "self.execute_sql(\"INSERT INTO people (name) SELECT 'n' || i FROM generate_series(1, 100) i\")",
        "self.drop_table('people')",
    )


@contextmanager
def database_called(name: str) -> Iterator[URL]:
    """An empty database of that name, and some letters of its own."""
    server, name = server_url("postgresql"), f"{name} {uuid.uuid4().hex[:8]}"
    quoted = '"' + name.replace('"', '""') + '"'
    at(server, f"CREATE DATABASE {quoted}")
    try:
        yield server.set(database=name)
    finally:
        at(server, f"DROP DATABASE {quoted} WITH (FORCE)")


@contextmanager
def role(options: str) -> Iterator[str]:
    """A role that can be dropped once the databases are gone which have something of it."""
    server, name = server_url("postgresql"), f"sqlmig_test_{uuid.uuid4().hex[:12]}"
    at(server, f"CREATE ROLE {name} {options}")
    try:
        yield name
    finally:
        at(server, f"DROP ROLE {name}")
