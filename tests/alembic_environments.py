"""The env.py files of real projects, in the forms in which they are found, and the application that they are of."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic_projects import TEMPLATES, Database, Rev, env, template

__all__ = ["APPLICATION", "BROKEN", "ENVIRONMENTS", "SHOP", "application", "ours", "real_url", "theirs"]

# Columns, keys and constraints with and without names, rows, and a table made anew in batch mode.
SHOP = (
    Rev(
        "c0ffee01",
        up="""op.create_table(
    "users",
    sa.Column("id", sa.Integer(), primary_key=True),
    sa.Column("name", sa.String(50)),
    sa.Column("active", sa.Boolean(), server_default=sa.true()),
    sa.UniqueConstraint("name"),
    sa.CheckConstraint("id > 0", name="positive"),
)
op.create_table(
    "orders",
    sa.Column("id", sa.Integer(), primary_key=True),
    sa.Column("user_id", sa.Integer(), sa.ForeignKey("users.id")),
)
op.create_index(op.f("ix_orders_user_id"), "orders", ["user_id"])""",
        back="""op.drop_index(op.f("ix_orders_user_id"), table_name="orders")
op.drop_table("orders")
op.drop_table("users")""",
    ),
    Rev(
        "c0ffee02",
        ("c0ffee01",),
        up="""users = sa.table("users", sa.column("id"), sa.column("name"))
op.bulk_insert(users, [{"id": 1, "name": "Ada"}, {"id": 2, "name": "Bob"}])
bind = op.get_bind()
count = bind.execute(sa.select(sa.func.count()).select_from(users)).scalar()
bind.execute(sa.text("INSERT INTO orders (id, user_id) VALUES (:id, 1)"), {"id": count})""",
        back="""op.execute("DELETE FROM orders")
op.execute(sa.text("DELETE FROM users"))""",
    ),
    Rev(
        "c0ffee03",
        ("c0ffee02",),
        up="""with op.batch_alter_table("users") as batch:
    batch.add_column(sa.Column("age", sa.Integer()))
    batch.alter_column("name", existing_type=sa.String(50), nullable=False)
    batch.create_unique_constraint("uq_age", ["age"])""",
        back="""with op.batch_alter_table("users") as batch:
    batch.drop_constraint("uq_age", type_="unique")
    batch.alter_column("name", existing_type=sa.String(50), nullable=True)
    batch.drop_column("age")""",
    ),
)

# The application, whose database is told by its environment.
APPLICATION = """import os
from sqlalchemy import Column, Integer, MetaData, String, create_engine, event
from sqlalchemy.orm import declarative_base
from sqlalchemy.ext.asyncio import create_async_engine

url = os.environ["SHOP_URL"]
engine = create_engine(url)
async_engine = create_async_engine(url.replace("sqlite:", "sqlite+aiosqlite:"))
immediate = create_engine(url, connect_args={"timeout": 1})

@event.listens_for(immediate, "connect")
def connected(connection, record):
    connection.isolation_level = None

@event.listens_for(immediate, "begin")
def begun(connection):
    connection.exec_driver_sql("BEGIN IMMEDIATE")

Base = declarative_base()
calls = []

class Unrelated(Base):
    __tablename__ = "unrelated"
    id = Column(Integer, primary_key=True)
"""

_ONLINE = """
    {opened}
        context.configure(connection=connection, target_metadata=None)
        with context.begin_transaction():
            context.run_migrations()
"""


def _short(
    head: str, connectable: str, opened: str = "with connectable.connect() as connection:", end: str = ""
) -> str:
    """A short env.py: how its engine is made, and how it is opened."""
    return f"""{head}
from alembic import context
config = context.config
def run():
    connectable = {connectable}
{_ONLINE.format(opened=opened)}
    {end or "pass"}
if context.is_offline_mode():
    context.configure(url=config.get_main_option("sqlalchemy.url"), literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()
else:
    run()
"""


_CONFIGURED = "config.get_section(config.config_ini_section, {}), prefix='sqlalchemy.', poolclass=pool.NullPool"
_URL = 'config.get_main_option("sqlalchemy.url")'

_ASYNC = """import asyncio
from alembic import context
{head}
config = context.config
def do_run(connection):
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
async def run():
    connectable = {connectable}
    async with connectable.connect() as connection:
        await connection.run_sync(do_run)
    await connectable.dispose()
{start}
"""

_ATTRIBUTES = """from alembic import context
from sqlalchemy import engine_from_config, pool
config = context.config
connectable = config.attributes.get("connection", None)
if connectable is None:
    connectable = engine_from_config(config.get_section(config.config_ini_section), poolclass=pool.NullPool)
    with connectable.connect() as connection:
        context.configure(connection=connection)
        with context.begin_transaction():
            context.run_migrations()
else:
    context.configure(connection=connectable)
    with context.begin_transaction():
        context.run_migrations()
"""

_SECOND = """from alembic import context
from sqlalchemy import create_engine, text
config = context.config
url = config.get_main_option("sqlalchemy.url")
other = create_engine(url, connect_args={"timeout": 1})
with other.begin() as second:
    second.execute(text("CREATE TABLE IF NOT EXISTS deployments (n INTEGER)"))
    second.execute(text("INSERT INTO deployments VALUES (1)"))
other.dispose()
engine = create_engine(url, connect_args={"timeout": 1})
with engine.connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
"""

# The same with an engine of the application, which nothing can take from it.
_SECOND_APPLICATION = """from alembic import context
from shop_application import immediate
from sqlalchemy import text
with immediate.begin() as second:
    second.execute(text("CREATE TABLE IF NOT EXISTS deployments (n INTEGER)"))
    second.execute(text("INSERT INTO deployments VALUES (1)"))
with immediate.connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
"""

_BARE = """from alembic import context
from sqlalchemy import create_engine, text
engine = create_engine(context.config.get_main_option("sqlalchemy.url"))
with engine.connect() as connection:
    connection.execute(text("PRAGMA foreign_keys=OFF"))
    context.configure(connection=connection)
    context.run_migrations()
    connection.commit()
"""

_COMMITS = """from alembic import context
from sqlalchemy import create_engine
connection = create_engine(context.config.get_main_option("sqlalchemy.url")).connect()
try:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
    connection.commit()
finally:
    connection.close()
"""

_SETTINGS = env(
    before="""from shop_application import Base, url
config.set_main_option("sqlalchemy.url", url)
target_metadata = Base.metadata"""
)

_LOOP = """try:
    asyncio.get_running_loop()
except RuntimeError:
    asyncio.run(run())
else:
    raise RuntimeError("there is a loop already")"""

_THREAD = (
    "with connectable.connect() as opened, opened.execution_options(isolation_level='SERIALIZABLE') as connection:"
)

ENVIRONMENTS: dict[str, str] = {
    **{name: template(name) for name in TEMPLATES},
    "create_engine": _short("from sqlalchemy import create_engine", f"create_engine({_URL})"),
    "sqlalchemy.create_engine": _short("import sqlalchemy", f"sqlalchemy.create_engine({_URL}, echo=False)"),
    "sa.engine_from_config": _short(
        "import sqlalchemy as sa\nfrom sqlalchemy import pool", f"sa.engine_from_config({_CONFIGURED})"
    ),
    "sqlalchemy.engine.create_engine": _short(
        "from sqlalchemy.engine import create_engine as make, make_url", f"make(make_url({_URL}))"
    ),
    "imported inside": _short("", f"__import__('sqlalchemy').create_engine({_URL})"),
    "begin": _short(
        "from sqlalchemy import create_engine", f"create_engine({_URL})", "with connectable.begin() as connection:"
    ),
    "dispose": _short("from sqlalchemy import create_engine", f"create_engine({_URL})", end="connectable.dispose()"),
    "options": _short("from sqlalchemy import create_engine", f"create_engine({_URL})", _THREAD),
    "create_async_engine": _ASYNC.format(
        head="from sqlalchemy.ext.asyncio import create_async_engine",
        connectable=f"create_async_engine({_URL})",
        start="asyncio.run(run())",
    ),
    "async, wrapped": _ASYNC.format(
        head="from sqlalchemy import engine_from_config, pool\nfrom sqlalchemy.ext.asyncio import AsyncEngine",
        connectable=f"AsyncEngine(engine_from_config({_CONFIGURED}, future=True))",
        start=_LOOP,
    ),
    "application's engine": _short("from shop_application import engine", "engine"),
    "application's engine, begin": _short(
        "from shop_application import engine", "engine", "with connectable.begin() as connection:"
    ),
    "application's BEGIN IMMEDIATE": _short("from shop_application import immediate", "immediate"),
    "application's BEGIN IMMEDIATE, begin": _short(
        "from shop_application import immediate", "immediate", "with connectable.begin() as connection:"
    ),
    "application's async engine": _ASYNC.format(
        head="from shop_application import async_engine", connectable="async_engine", start="asyncio.run(run())"
    ),
    "application's settings": _SETTINGS,
    "attributes": _ATTRIBUTES,
    "second connection": _SECOND,
    "application's second connection": _SECOND_APPLICATION,
    "no begin_transaction": _BARE,
    "commits": _COMMITS,
}

BROKEN = Rev(
    "bad00001",
    ("c0ffee03",),
    up="""op.execute("CREATE TABLE half (n INTEGER)")
op.execute("INSERT INTO users (id, name) VALUES (7, 'half')")
op.execute("INSERT INTO nowhere VALUES (1)")""",
)


@pytest.fixture
def ours(tmp_path: Path) -> Database:
    return Database(tmp_path / "ours.db")


@pytest.fixture
def theirs(tmp_path: Path) -> Database:
    return Database(tmp_path / "theirs.db")


@pytest.fixture
def application(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Database], Any]]:
    """Import the application anew, over a database."""
    folder = tmp_path / "application"
    folder.mkdir()
    (folder / "shop_application.py").write_text(APPLICATION)
    monkeypatch.syspath_prepend(str(folder))

    def start(database: Database) -> Any:
        sys.modules.pop("shop_application", None)
        monkeypatch.setenv("SHOP_URL", database.url)
        return __import__("shop_application")

    yield start
    sys.modules.pop("shop_application", None)


def real_url(name: str, database: Database) -> str:
    return database.url.replace("sqlite:", "sqlite+aiosqlite:") if "async" in name else database.url
