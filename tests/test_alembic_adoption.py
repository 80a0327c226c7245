"""A database that Alembic made, and an application that has left Alembic."""

from __future__ import annotations

from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from conftest import Folder, contents
from sqlalchemy import Engine

from alembic_compat import UnknownRevision, adopt
from sqlmig import Migrator

ENV = """from alembic import context
from sqlalchemy import create_engine
with create_engine(context.config.get_main_option("sqlalchemy.url")).connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
"""
REVISION = """from alembic import op
revision, down_revision = {name!r}, {before!r}
def upgrade():
    op.execute("CREATE TABLE {name} (id INTEGER PRIMARY KEY, n TEXT)")
"""


@pytest.fixture
def alembic(tmp_path: Path, url: str) -> Config:
    (tmp_path / "alembic" / "versions").mkdir(parents=True)
    (tmp_path / "alembic" / "env.py").write_text(ENV)
    for name, before in (("t1", None), ("t2", "t1"), ("branch", "t1")):
        (tmp_path / "alembic" / "versions" / f"{name}.py").write_text(REVISION.format(name=name, before=before))
    config = Config()
    config.set_main_option("script_location", str(tmp_path / "alembic"))
    config.set_main_option("sqlalchemy.url", url)
    return config


@pytest.fixture
def versions(folder: Folder) -> dict[str, int]:
    for version in (1, 2, 3):
        folder.table(version)
    return {"t1": 1, "t2": 2}


def test_it_goes_on_where_alembic_stopped(
    alembic: Config, migrator: Migrator, versions: dict[str, int], engine: Engine
) -> None:
    command.upgrade(alembic, "t2")
    assert adopt(migrator, versions) == 2
    assert migrator.migrate().applied == [3]
    assert adopt(migrator, versions) is None
    assert [entry["operation"] for entry in migrator.get_migration_history()] == ["apply", "stamp"]
    assert contents(engine)["rows"]["alembic_version"] == [("t2",)]


def test_a_new_database_and_a_second_process(migrator: Migrator, versions: dict[str, int], alembic: Config) -> None:
    assert adopt(migrator, versions) is None
    assert migrator.migrate().applied == [1, 2, 3]
    # What a process would do that had looked before the others migrated.
    assert not migrator.stamp(1, if_untracked=True)
    assert migrator.get_current_version() == 3


@pytest.mark.parametrize(("target", "said"), [("branch", "revision branch,"), ("heads", "which no version stands for")])
def test_a_revision_that_nothing_stands_for(
    alembic: Config, migrator: Migrator, versions: dict[str, int], target: str, said: str
) -> None:
    command.upgrade(alembic, target)
    with pytest.raises(UnknownRevision, match=said):
        adopt(migrator, versions)
    assert migrator.get_migration_history() == []
