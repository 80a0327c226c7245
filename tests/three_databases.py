"""Engines on a file of SQLite, a schema of PostgreSQL and a database of MariaDB, each of the test's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from native_databases import scratch_database
from sqlalchemy import Engine, create_engine

__all__ = ["Engines", "engines", "place"]

Engines = Callable[..., Engine]


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def place(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def engines(place: str, url: str) -> Iterator[Engines]:
    """Makes engines of one connection each; its arguments are what that says when it is new."""
    made: list[Engine] = []

    def engine(target: Any, options: dict[str, Any], *statements: str) -> Engine:
        made.append(create_engine(target, pool_size=1, max_overflow=0, **options))
        with made[-1].connect() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)
            connection.commit()
        return made[-1]

    try:
        if place == "sqlite":
            yield lambda *statements: engine(url, {}, *statements)
            return
        with scratch_database(place) as database:
            target, options = database.connection.engine.url, {}
            if place == "postgresql":
                options = {"connect_args": {"options": f"-csearch_path={database.scratch}"}}
            yield lambda *statements: engine(target, options, *statements)
            for one in made:
                one.dispose()
    finally:
        for one in made:
            one.dispose()
