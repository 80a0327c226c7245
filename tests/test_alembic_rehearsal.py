"""An Alembic project, rehearsed: its env.py gets the copy wherever it would get the database."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from alembic_project import AlembicProject
from conftest import contents
from sqlalchemy import Engine, create_engine
from sqlalchemy.pool import StaticPool

from alembic_compat import AlembicMigrator
from sqlmig import RehearsalFailed, RollbackNotSupported


@pytest.fixture
def project(tmp_path: Path) -> AlembicProject:
    project = AlembicProject(tmp_path / "alembic")
    project.table("aa1", None)
    project.table("aa2", "aa1")
    return project


def test_revisions_are_rehearsed_by_name(project: AlembicProject, engine: Engine, tmp_path: Path) -> None:
    migrator = AlembicMigrator(engine, str(project.path))
    assert [step.version for step in migrator.rehearse().steps] == [1, 2]
    report = migrator.rehearse("aa1")
    assert report
    assert report.steps[0].schema_difference == ["+ table aa1"]
    assert report.steps[0].down_restores_schema
    assert not (tmp_path / "app.db").exists()
    assert migrator.migrate_to_version("aa1", rehearse=True).applied == [1]
    assert [step.version for step in migrator.rehearse().steps] == [2]
    assert migrator.rehearse("base").direction == "down"
    assert migrator.get_current_version() == 1


@pytest.mark.parametrize("own", ["url", "engine"])
def test_an_env_py_that_connects_by_itself_gets_the_copy(
    project: AlembicProject, engine: Engine, tmp_path: Path, own: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = project.path / "env.py"
    connects = 'create_engine(context.config.get_main_option("sqlalchemy.url"))'
    assert connects in env.read_text()
    instead = f"create_engine({str(engine.url)!r})"
    if own == "engine":
        monkeypatch.setattr("sqlmig.an_engine", engine, raising=False)
        instead = "__import__('sqlmig').an_engine"
    env.write_text(env.read_text().replace(connects, instead))
    migrator = AlembicMigrator(engine, str(project.path))
    migrator.migrate_to_version(1)
    before = (tmp_path / "app.db").read_bytes()
    assert migrator.rehearse()
    assert (tmp_path / "app.db").read_bytes() == before
    assert migrator.migrate(rehearse=True).applied == [2]


@pytest.mark.parametrize("options", [{}, {"env": False}])
def test_a_failing_revision_leaves_the_database_alone(
    project: AlembicProject, engine: Engine, options: dict[str, Any]
) -> None:
    migrator = AlembicMigrator(engine, str(project.path), **options)
    migrator.migrate()
    project.add(
        "aa3", "aa2", "def upgrade():\n    op.drop_table('aa1')\n    op.execute('INSERT INTO nowhere VALUES (1)')\n"
    )
    before = contents(engine)
    report = migrator.rehearse()
    with pytest.raises(RehearsalFailed, match="no such table: nowhere"):
        migrator.migrate(rehearse=True)
    assert contents(engine) == before
    with pytest.raises(Exception, match="nowhere") as caught:
        migrator.migrate()
    assert report.error == str(caught.value)


def test_a_revision_that_commits(project: AlembicProject, engine: Engine) -> None:
    """Under env.py's one transaction for all it is refused, and then goes one by one, rehearsed as well."""
    env = project.path / "env.py"
    env.write_text(env.read_text().replace("version_table=", "transactional_ddl=True, version_table="))
    project.add(
        "aa3",
        "aa2",
        "def upgrade():\n    with op.get_context().autocommit_block():\n        op.execute('CREATE TABLE x (y)')\n\n"
        "def downgrade():\n    op.drop_table('x')\n",
    )
    migrator = AlembicMigrator(engine, str(project.path))
    assert migrator.rehearse()
    result = migrator.migrate(rehearse=True)
    assert result.applied == [1, 2, 3]


def test_revisions_in_memory(project: AlembicProject) -> None:
    engine = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
    migrator = AlembicMigrator(engine, str(project.path), env=False)
    assert migrator.rehearse()
    assert migrator.get_current_version() == 0
    assert migrator.migrate(rehearse=True).applied == [1, 2]


def test_a_downgrade_that_only_says_no_is_no_way_back(project: AlembicProject, engine: Engine) -> None:
    """It is told before the first step, and with the snapshot that can be restored instead."""
    script = next((project.path / "versions").glob("aa2*"))
    text, _, _ = script.read_text().partition("def downgrade")
    never = "def downgrade() -> None:\n    'Never.'\n    raise NotImplementedError('rows are gone')\n"
    script.write_text(text + never)
    migrator = AlembicMigrator(engine, str(project.path), snapshot=True)
    migrator.migrate_to_version("aa1")
    migrator.migrate()
    assert [issue.kind for issue in migrator.get_migration_plan("base").validation_issues] == ["rollback"]
    with pytest.raises(RollbackNotSupported, match="Restore it instead") as caught:
        migrator.rollback_to_version("aa1")
    assert caught.value.snapshot is not None
    assert migrator.get_current_version() == 2
    assert migrator.rollback_to_version("aa1", use_snapshot=True).rolled_back == [2]
    assert migrator.get_current_version() == 1


def test_the_sql_of_revisions_is_seen(project: AlembicProject, engine: Engine) -> None:
    migrator = AlembicMigrator(engine, str(project.path))
    sent = {one.version: one.statements[0].sql.split("(")[0].strip() for one in migrator.get_migration_sql().migrations}
    assert sent == {1: "CREATE TABLE aa1", 2: "CREATE TABLE aa2"}
    assert "CREATE TABLE aa1" in str(migrator.get_migration_sql("aa1"))
    assert migrator.get_current_version() == 0
    migrator.migrate()
    assert "DROP TABLE aa1" in str(migrator.get_migration_sql("base", with_rows=True))
