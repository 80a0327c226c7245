"""Scripts as projects have them: they end where real Alembic ends."""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path

import alembic.context
import alembic.op
import pytest
from alembic import command
from alembic_batch_cases import BATCH, SECOND, SECOND_AFTER_OUR_LOCK
from alembic_project_cases import PROJECTS
from alembic_script_cases import CASES, Case
from alembic_scripts_support import Project, catalogue, rows, state, strict_engine
from alembic_transaction_cases import LOOSE, TRANSACTIONS
from sqlalchemy import create_engine

from alembic_compat import AlembicMigrator
from sqlmig import MigrationError


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path / "project")


@pytest.fixture
def urls(tmp_path: Path) -> tuple[str, str]:
    """A database for Alembic and one for us."""
    return f"sqlite:///{tmp_path / 'theirs.db'}", f"sqlite:///{tmp_path / 'ours.db'}"


def write(project: Project, case: Case) -> None:
    project.base()
    project.add("work2", case.up, head=case.head)
    project.add("after3", "op.create_table('after', sa.Column('id', sa.Integer, primary_key=True))")


@pytest.mark.parametrize("case", [*CASES, *TRANSACTIONS, *PROJECTS])
def test_a_script_ends_where_alembic_ends(project: Project, urls: tuple[str, str], case: str) -> None:
    theirs, ours = urls
    found = {**CASES, **TRANSACTIONS, **PROJECTS}[case]
    write(project, found)
    project.alembic(theirs)
    assert rows(theirs, found.probe) == found.expected
    migrator = project.sqlmig(ours)
    assert catalogue(ours) == catalogue(theirs)
    assert [(e["version"], e["success"]) for e in reversed(migrator.get_migration_history())] == [
        (1, True),
        (2, True),
        (3, True),
    ]


@pytest.mark.parametrize("case", LOOSE)
def test_a_script_that_ends_the_transaction_itself(project: Project, urls: tuple[str, str], case: str) -> None:
    theirs, ours = urls
    write(project, LOOSE[case])
    project.alembic(theirs)
    assert rows(theirs, LOOSE[case].probe) == LOOSE[case].expected
    migrator = project.sqlmig(ours)
    assert catalogue(ours) == catalogue(theirs)
    assert not migrator.needs_migration()


@pytest.mark.parametrize("case", BATCH)
def test_batch_alter_table(project: Project, urls: tuple[str, str], case: str) -> None:
    theirs, ours = urls
    write(project, BATCH[case])
    project.alembic(theirs)
    assert rows(theirs, BATCH[case].probe) == BATCH[case].expected
    project.sqlmig(strict_engine(ours))
    assert catalogue(ours) == catalogue(theirs)


@pytest.mark.parametrize("engine", ["of its own", "of the application"])
@pytest.mark.parametrize("case", [*SECOND, *SECOND_AFTER_OUR_LOCK])
def test_a_second_connection_in_a_script(project: Project, urls: tuple[str, str], case: str, engine: str) -> None:
    theirs, ours = urls
    found = {**SECOND, **SECOND_AFTER_OUR_LOCK}[case]
    write(project, found)
    project.alembic(theirs)
    assert rows(theirs, found.probe) == found.expected
    with project.fresh(ours):
        database = importlib.import_module("shop").engine if engine == "of the application" else create_engine(ours)
        project.migrator(database, lock_timeout=2).migrate()
    assert catalogue(ours) == catalogue(theirs)


def test_downgrades_end_where_alembic_ends(project: Project, urls: tuple[str, str]) -> None:
    """A way down that deletes with a session, rebuilds, and reads the application's models."""
    theirs, ours = urls
    project.base()
    project.add(
        "work2",
        "op.add_column('parent', sa.Column('more', sa.Integer, server_default='1'))",
        """
        session = Session(op.get_bind())
        session.query(shop.Parent).filter_by(id=3).delete()
        session.commit()
        with op.batch_alter_table("parent") as batch:
            batch.drop_column("more")
        assert not context.is_offline_mode()
        assert op.get_context().get_current_revision() == "work2"
        """,
        head="import shop\nfrom sqlalchemy.orm import Session",
    )
    project.alembic(theirs)
    project.alembic(theirs, "base1", down=True)
    engine = strict_engine(ours)
    project.sqlmig(engine)
    migrator = project.sqlmig(engine, "base1")
    assert rows(theirs, "SELECT name FROM parent") == ["one", "two"]
    assert catalogue(ours) == catalogue(theirs)
    project.alembic(theirs, "base", down=True)
    project.sqlmig(engine, "base")
    assert catalogue(ours) == catalogue(theirs)
    done = [(e["version"], e["operation"]) for e in migrator.get_migration_history()]
    assert done == [(1, "rollback"), (2, "rollback"), (2, "apply"), (1, "apply")]


X_ARGUMENTS = """
given = context.get_x_argument(as_dictionary=True)
assert context.get_x_argument() == ["colour=red", "flag"]
op.execute(f"UPDATE parent SET name = '{given['colour']}{given['flag']}'")
"""


@pytest.mark.parametrize("way", ["cmd_opts", "x_arguments"])
def test_x_arguments(project: Project, urls: tuple[str, str], way: str) -> None:
    theirs, ours = urls
    project.base()
    project.add("work2", X_ARGUMENTS)
    given = argparse.Namespace(x=["colour=red", "flag"])
    with project.fresh(theirs):
        config = project.config(theirs)
        config.cmd_opts = given
        command.upgrade(config, "head")
    assert rows(theirs, "SELECT DISTINCT name FROM parent") == ["red"]
    with project.fresh(ours):
        config = project.config(ours)
        if way == "cmd_opts":
            config.cmd_opts = given
            AlembicMigrator(ours, config).migrate()
        else:
            AlembicMigrator(ours, config, x_arguments=["colour=red", "flag"]).migrate()
    assert catalogue(ours) == catalogue(theirs)


ASYNC_ENV = """
import asyncio
from alembic import context
from sqlalchemy import pool
from sqlalchemy.ext.asyncio import async_engine_from_config


def do_run_migrations(connection):
    context.configure(connection=connection, target_metadata=None)
    with context.begin_transaction():
        context.run_migrations()


async def run_async_migrations():
    connectable = async_engine_from_config(
        context.config.get_section(context.config.config_ini_section, {}),
        prefix="sqlalchemy.",
        poolclass=pool.NullPool,
    )
    async with connectable.connect() as connection:
        await connection.run_sync(do_run_migrations)
    await connectable.dispose()


asyncio.run(run_async_migrations())
"""


ASYNCHRONOUS = """
async def change(connection, name):
    await connection.execute(sa.text("UPDATE parent SET name = :name WHERE id = 1"), {"name": name})
    await connection.exec_driver_sql("INSERT INTO parent (id, name) VALUES (9, 'nine')")
    found = [row.name async for row in await connection.stream(sa.text("SELECT name FROM parent ORDER BY id"))]
    async with connection.begin_nested():
        await connection.execute(sa.text("INSERT INTO parent (id, name) VALUES (10, :text)"), {"text": ",".join(found)})
    async with AsyncSession(bind=connection) as session:
        session.add(Thing(id=11, name="eleven"))
        await session.flush()
        names = (await session.execute(sa.select(Thing.name))).scalars().all()
    return len(names)


class Base(DeclarativeBase):
    pass


class Thing(Base):
    __tablename__ = "parent"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
"""
ASYNC_IMPORTS = (
    "import asyncio\nfrom sqlalchemy.ext.asyncio import AsyncSession, create_async_engine\n"
    "from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column\n"
)


@pytest.mark.parametrize("fails", [False, True])
def test_run_async(fails: bool, tmp_path: Path, urls: tuple[str, str]) -> None:
    """`op.run_async()`, under the env.py of Alembic's template for asynchronous drivers."""
    theirs, ours = urls
    project = Project(tmp_path / "project", env=ASYNC_ENV)
    project.base()
    project.sqlmig(ours)
    before = state(ours)
    end = "raise RuntimeError('no')" if fails else "pass"
    project.add("work2", f"assert op.run_async(change, 'changed') == 6\n{end}", head=ASYNC_IMPORTS + ASYNCHRONOUS)
    if fails:
        with pytest.raises(MigrationError):
            project.sqlmig(ours)
        assert state(ours) == before
        return
    project.alembic(theirs.replace("sqlite:", "sqlite+aiosqlite:"))
    project.sqlmig(ours)
    assert rows(ours, "SELECT name FROM parent WHERE id IN (1, 9)") == ["changed", "nine"]
    assert catalogue(ours) == catalogue(theirs)


@pytest.mark.parametrize("ends", ["begin", "rollback"])
def test_an_asynchronous_engine_in_a_script(ends: str, project: Project, urls: tuple[str, str]) -> None:
    """A second connection, through another driver: a view of ours as well, so that it does not wait for itself."""
    theirs, ours = urls
    project.base()
    script = (
        "async def main():\n"
        "    url = op.get_bind().engine.url.set(drivername='sqlite+aiosqlite')\n"
        "    engine = create_async_engine(url)\n"
        "    async with engine.connect() as connection:\n"
        "        await connection.execute(sa.text(\"UPDATE parent SET name = 'async' WHERE id = 2\"))\n"
        f"        await connection.{'commit' if ends == 'begin' else ends}()\n"
        "    await engine.dispose()\n"
        "asyncio.run(main())\n"
        "op.execute(\"UPDATE parent SET name = name || '!' WHERE id = 2\")"
    )
    project.add("work2", script, head=ASYNC_IMPORTS)
    project.alembic(theirs)
    project.sqlmig(ours)
    assert rows(ours, "SELECT name FROM parent WHERE id = 2") == ["async!" if ends == "begin" else "two!"]
    assert catalogue(ours) == catalogue(theirs)


def test_a_failure_leaves_no_operations_behind(project: Project, urls: tuple[str, str]) -> None:
    """`alembic.op` is nobody's afterwards; Alembic itself leaves the failed ones there."""
    for module in (alembic.op, alembic.context):
        left = vars(module).get("_proxy")
        if left is not None:
            left._remove_proxy()
    project.base()
    project.add("work2", "raise RuntimeError('no')")
    with pytest.raises(MigrationError):
        project.sqlmig(urls[1])
    assert [vars(module).get("_proxy") for module in (alembic.op, alembic.context)] == [None, None]


OUTSIDE = {
    "rollback text": ("op.execute('DELETE FROM parent')\nop.execute('ROLLBACK')", [3]),
    "journal mode": ("op.execute('PRAGMA journal_mode=WAL')\nop.execute('DELETE FROM parent WHERE id = 3')", [2]),
    "AUTOCOMMIT": (
        "bind = op.get_bind()\nbind.commit()\nbind.execution_options(isolation_level='AUTOCOMMIT')\n"
        "op.execute('DELETE FROM parent WHERE id = 3')",
        [2],
    ),
    "engine in AUTOCOMMIT": (
        "engine = op.get_bind().engine.execution_options(isolation_level='AUTOCOMMIT')\n"
        "with engine.connect() as connection:\n"
        "    connection.execute(sa.text('DELETE FROM parent WHERE id = 3'))\n    connection.execute(sa.text('VACUUM'))",
        [2],
    ),
    "attached file": (
        "op.execute(\"ATTACH ':memory:' AS side\")\nop.execute('CREATE TABLE side.t AS SELECT * FROM parent')\n"
        "op.execute('DELETE FROM parent WHERE id NOT IN (SELECT id FROM side.t WHERE id < 3)')",
        [2],
    ),
}


@pytest.mark.parametrize("case", OUTSIDE)
def test_what_a_transaction_has_no_place_for_works_or_is_refused_whole(
    project: Project, urls: tuple[str, str], case: str
) -> None:
    theirs, ours = urls
    script, left = OUTSIDE[case]
    project.base()
    project.add("work2", script)
    project.alembic(theirs)
    assert rows(theirs, "SELECT count(*) FROM parent") == left
    project.sqlmig(ours, "base1")
    before = state(ours)
    try:
        project.sqlmig(ours)
    except MigrationError:
        assert state(ours) == before
    else:
        assert catalogue(ours) == catalogue(theirs)
