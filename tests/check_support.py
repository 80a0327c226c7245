"""A server's database of its own, with migrations, and checks of it by whatever driver."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

from conftest import Folder
from places import ASYNCHRONOUS, KINDS, Place, opened
from scratch_databases import own_database
from sqlalchemy import Column, ForeignKey, Integer, MetaData, String, Table

from sqlmig.drift.report import DriftReport

__all__ = ["EVERY", "PLAIN", "UP", "add", "checked", "left_behind", "library", "number", "server_of_its_own", "words"]

EVERY = [name for name, kind in KINDS.items() if kind.database != "sqlite"]
PLAIN = [name for name in EVERY if name not in ASYNCHRONOUS]

UP = """
self.create_table("authors", Column("id", Integer, primary_key=True), Column("name", String(40), nullable=False))
self.create_table(
    "books", Column("id", Integer, primary_key=True), Column("title", String(99), unique=True),
    Column("author", ForeignKey("authors.id", ondelete="CASCADE")))
self.execute_sql("CREATE INDEX ix_books_author ON books (author)")
"""


def library() -> MetaData:
    """Models of what UP makes."""
    metadata = MetaData()
    Table("authors", metadata, Column("id", Integer, primary_key=True), Column("name", String(40), nullable=False))
    Table(
        "books",
        metadata,
        Column("id", Integer, primary_key=True),
        Column("title", String(99), unique=True),
        Column("author", ForeignKey("authors.id", ondelete="CASCADE"), index=True),
    )
    return metadata


def add(folder: Folder, version: int, up: str, extra: str = "") -> Path:
    """A migration in which the names of SQLAlchemy are known."""
    path = folder.add(version, up, "pass", extra)
    path.write_text(f"from sqlalchemy import *\n{path.read_text()}")
    return path


@contextmanager
def server_of_its_own(name: str, folder: Path) -> Iterator[Place]:
    """A whole database, beside which nobody else's checks are at work; skips where there is no server."""
    kind = KINDS[name]
    if kind.database != "postgresql":
        with opened(kind, folder) as place:
            yield place
        return
    with own_database() as url:
        place = Place(kind, url, "public")
        yield place
        place.close()


def checked(
    place: Place, folder: Folder, models: object = None, *, migrate: bool = True, migrator: Any = None, **options: Any
) -> DriftReport:
    """
    What a check tells, by the driver of the place.

    Args:
        migrate: Whether the migrations are applied before.
        migrator: Options of the Migrator.
    """
    own = migrator or {}

    async def wait(engine: Any) -> DriftReport:
        made = place.migrator(folder, engine, **own)
        if migrate:
            await made.migrate_async()
        report = await made.check_async(models, **options)
        await engine.dispose()
        return report

    if place.kind.driver.endswith(ASYNCHRONOUS):
        return asyncio.run(wait(place.engine()))
    made = place.migrator(folder, **own)
    if migrate:
        made.migrate()
    return made.check(models, **options)


def left_behind(place: Place) -> list[str]:
    """The scratch databases that there are of this one."""
    query, mine = "SHOW DATABASES", f"sqlmig_check_{sha256(place.scratch.encode()).hexdigest()[:8]}_"
    if place.database == "postgresql":
        query = "SELECT datname FROM pg_database"
        [[oid]] = place.rows("SELECT oid FROM pg_database WHERE datname = current_database()")
        mine = f"sqlmig_check_{oid}_"
    return [name for (name,) in place.rows(query) if name.startswith(mine)]


def words(place: Place, length: int) -> str:
    """A text, as the server words its type."""
    return f"{'character varying' if place.database == 'postgresql' else 'varchar'}({length})"


def number(place: Place) -> str:
    """An integer, as the server words its type."""
    return "integer" if place.database == "postgresql" else "int(11)"
