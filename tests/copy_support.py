"""Migrations that run on every database, rows for what they make, and empty databases to copy into."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

from native_databases import server_url
from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Double,
    ForeignKey,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    String,
    Table,
    Text,
    Time,
    Uuid,
    create_engine,
    inspect,
    select,
)
from sqlalchemy.dialects.mysql import DATETIME, LONGBLOB, LONGTEXT
from sqlalchemy.dialects.mysql import TIME as MYSQL_TIME
from sqlalchemy.engine import Engine

from sqlmig import Migrator

KINDS = ("sqlite", "postgresql", "mariadb")

metadata = MetaData()
MOMENT = DateTime().with_variant(DATETIME(fsp=6), "mysql", "mariadb")
people = Table(
    "people",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(60), nullable=False, unique=True),
    Column("boss_id", ForeignKey("people.id")),
    Column("team_id", ForeignKey("teams.id", name="fk_team", use_alter=True)),
)
teams = Table(
    "teams",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(60)),
    Column("lead_id", ForeignKey("people.id")),
)
items = Table(
    "items",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("owner_id", ForeignKey("people.id"), nullable=False),
    Column("note", Text().with_variant(LONGTEXT, "mysql", "mariadb")),
    Column("price", Numeric(12, 2)),
    Column("weight", Double),
    Column("made_at", MOMENT),
    Column("day", Date),
    Column("clock", Time().with_variant(MYSQL_TIME(fsp=6), "mysql", "mariadb")),
    Column("active", Boolean),
    Column("facts", JSON),
    Column("picture", LargeBinary().with_variant(LONGBLOB, "mysql", "mariadb")),
    Column("token", Uuid),
    Column("number", BigInteger),
)
tags = Table("tags", metadata, Column("id", Integer, primary_key=True), Column("name", String(20)))
pairs = Table(
    "pairs",
    metadata,
    Column("a", ForeignKey("people.id"), primary_key=True),
    Column("b", ForeignKey("tags.id"), primary_key=True),
)

_FILES = {
    "001_tables.py": """
from copy_support import metadata, tags
from sqlmig import BaseMigration

class Tables(BaseMigration):
    version = 1
    description = "Tables, with tags"
    def up(self):
        metadata.create_all(self.db.connection)
        self.execute_sql("INSERT INTO tags (id, name) VALUES (1, 'seed'), (2, 'other seed')")
""",
    "002_language.py": """
from sqlalchemy import Column, String
from sqlmig import BaseMigration

class Language(BaseMigration):
    version = 2
    description = "Items have a language"
    rollback_supported = True
    def up(self):
        self.add_column("items", Column("language", String(8), server_default="en", nullable=False))
    def down(self):
        self.drop_column("items", "language")
""",
    "003_later.py": """
from sqlmig import BaseMigration

class Later(BaseMigration):
    version = 3
    description = "Not everywhere yet"
    def up(self):
        self.execute_sql("CREATE TABLE later (id INTEGER PRIMARY KEY)")
""",
}
TABLES = ("people", "teams", "items", "tags", "pairs")


def write_migrations(folder: Path) -> Path:
    """A folder with three migrations; the third is for nobody yet."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in _FILES.items():
        (folder / name).write_text(text.lstrip())
    return folder


def fill(engine: Engine, count: int = 40) -> None:
    """Rows with every kind of value, references in a circle and to themselves, and other tags than the seeds."""
    with engine.begin() as connection:
        connection.execute(tags.delete())
        connection.execute(
            tags.insert(), [{"id": n, "name": name} for n, name in ((2, "two"), (9, "n\tine\\"), (7, None))]
        )
        connection.execute(people.insert(), [{"id": n, "name": f"Person {n}"} for n in range(1, 9)])
        connection.execute(teams.insert(), [{"id": n, "name": f"T{n}", "lead_id": 9 - n} for n in (1, 2)])
        connection.execute(people.update().values(team_id=people.c.id % 2 + 1))
        connection.execute(people.update().where(people.c.id < 8).values(boss_id=people.c.id + 1))
        connection.execute(pairs.insert(), [{"a": n, "b": t} for n in range(1, 9) for t in (2, 7)])
        connection.execute(items.insert(), [item(n) for n in range(1, count + 1)])


def item(number: int) -> dict[str, Any]:
    if number % 10 == 0:
        return {"id": number, "owner_id": 1, **dict.fromkeys([c.name for c in items.columns][2:])}
    return {
        "id": number,
        "owner_id": number % 8 + 1,
        "note": ["", "plain", "tab\t, line\n, \\N, \\, 'quotes' \"both\"", "Ünïcödé 🦄 \u2028"][number % 4],
        "price": Decimal(number * 7) / 4,
        "weight": [0.1, -1.5e300, 5e-324, 1e15, 123456789.123][number % 5],
        "made_at": dt.datetime(2024, 2, 29, 23, 59, 59, [0, 120_000, 999_999][number % 3]),
        "day": dt.date(1969, 12, 31) + dt.timedelta(days=number),
        "clock": dt.time(3, 4, 5, [0, 50][number % 2]),
        "active": bool(number % 2),
        "facts": [{"a": [1, 2.5, None], "ü": '\\t"'}, [], "text", 5, 2.5, True][number % 6],
        "picture": bytes(range(256)) * (number % 3),
        "token": uuid.UUID(int=number * 2**96 + 7),
        "number": [2**63 - 1, -(2**63), 0][number % 3],
    }


@contextmanager
def empty(kind: str, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty database, gone afterwards; skips where there is no such server."""
    name = f"sqlmig_test_{uuid.uuid4().hex[:16]}"
    if kind == "sqlite":
        yield f"sqlite:///{tmp_path / name}.db"
        return
    url = server_url(kind)
    admin = create_engine(url, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    try:
        yield url.set(database=name).render_as_string(hide_password=False)
    finally:
        with admin.connect() as connection:
            connection.exec_driver_sql(f"DROP DATABASE {name}{' WITH (FORCE)' if kind == 'postgresql' else ''}")
        admin.dispose()


def source_in(kind: str, url: str, folder: Path, count: int = 40) -> str:
    """Make a database at version 2 of three, with rows."""
    engine = create_engine(url)
    Migrator(engine, folder).migrate_to_version(2)
    fill(engine, count)
    engine.dispose()
    return url


def rows(url: str) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of all tables, as SQLAlchemy reads them."""
    engine = create_engine(url)
    found = {}
    with engine.connect() as connection:
        for name in TABLES:
            table = metadata.tables[name]
            listed = connection.execute(select(table).order_by(*table.primary_key.columns))
            found[name] = [tuple(str(value) if isinstance(value, dict) else value for value in row) for row in listed]
        found["language"] = [
            tuple(row) for row in connection.exec_driver_sql("SELECT id, language FROM items ORDER BY id")
        ]
    engine.dispose()
    return found


def tables_of(url: str) -> list[str]:
    engine = create_engine(url)
    try:
        return inspect(engine).get_table_names()
    finally:
        engine.dispose()
