"""A PostgreSQL database of its own for a test: what copies or replaces a whole one must not meet other tests."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from native_databases import server_url
from sqlalchemy import create_engine
from sqlalchemy.engine import URL

__all__ = ["own_database"]


@contextmanager
def own_database() -> Iterator[URL]:
    """The URL of an empty one, dropped afterwards; skips where there is no server."""
    url = server_url("postgresql")
    name = f"sqlmig_test_{uuid.uuid4().hex[:16]}"
    admin = create_engine(url, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    try:
        yield url.set(database=name)
    finally:
        with admin.connect() as connection:
            connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
        admin.dispose()
