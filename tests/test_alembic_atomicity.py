"""A revision happens exactly once and whole, wherever it fails and whoever boots beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from alembic_scripts_support import Project, failed, rows, state, strict_engine

from sqlmig import InterruptedMigration, MigrationError, MigrationFailed, NotAtomic

STEPS = [
    "op.create_table('other', sa.Column('id', sa.Integer, primary_key=True), sa.Column('n', sa.String(9)))",
    "op.bulk_insert(sa.table('other', sa.column('n')), [{'n': 'x'}, {'n': 'y'}])",
    "with op.batch_alter_table('parent', recreate='always') as batch:\n"
    "    batch.add_column(sa.Column('more', sa.Integer))\n    batch.create_index('ix_more', ['more'])",
    "op.execute('DELETE FROM child WHERE id = 1')",
    "op.add_column('child', sa.Column('more', sa.Integer, server_default='1'))",
    "op.execute('DROP TABLE child')",
    "op.rename_table('parent', 'elder')",
    "op.execute('PRAGMA user_version = 9')",
]
SESSION = "import shop\nfrom sqlalchemy.orm import Session"
WRITE = "op.execute('DELETE FROM child WHERE id = 2')\n"
ADD = "session.add(shop.Parent(name='four'))\n"
COMMITS: dict[str, str] = {
    "nothing": "pass",
    "session.commit": f"session = Session(op.get_bind())\n{ADD}session.commit()",
    "session.begin": f"with Session(op.get_bind()) as session, session.begin():\n    {ADD}",
    "session in full control": "session = Session(op.get_bind(), join_transaction_mode='control_fully')\n"
    f"{ADD}session.commit()",
    "bind.commit": f"{WRITE}op.get_bind().commit()",
    "bind.commit, twice": f"{WRITE}op.get_bind().commit()\nop.execute('DELETE FROM child')\nop.get_bind().commit()",
    "bind.rollback": f"op.execute('CREATE TABLE t (n)')\n{WRITE}op.get_bind().rollback()",
    "bind.begin": f"op.get_bind().commit()\nwith op.get_bind().begin():\n    {WRITE}",
    "bind.begin_nested": f"with op.get_bind().begin_nested():\n    {WRITE}",
    "get_transaction().commit": f"{WRITE}op.get_bind().get_transaction().commit()",
    "raw.commit": "raw = op.get_bind().connection\nraw.cursor().execute('DELETE FROM child')\nraw.commit()",
    "raw.rollback": "raw = op.get_bind().connection\nraw.cursor().execute('CREATE TABLE t (n)')\nraw.rollback()",
    "create_all": "sa.Table('t', shop.Base.metadata, sa.Column('n', sa.Integer), extend_existing=True)\n"
    "shop.Base.metadata.create_all(op.get_bind())\nop.get_bind().commit()",
    "swallowed": "try:\n    op.execute('INSERT INTO nowhere VALUES (1)')\nexcept sa.exc.OperationalError:\n    pass",
    "foreign_keys off": "op.execute('PRAGMA foreign_keys=OFF')\nop.execute('DROP TABLE parent')\n"
    "op.execute('PRAGMA foreign_keys=ON')",
}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project(tmp_path / "project")
    project.base()
    return project


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'app.db'}"


def refused(project: Project, database: Any, kind: type[Exception] = MigrationFailed, **options: Any) -> Any:
    """Migrate, which fails; gives back the error."""
    with pytest.raises(kind) as caught:
        project.sqlmig(database, **options)
    return caught.value


def history(migrator: Any) -> list[tuple[int, str, bool]]:
    return [(e["version"], e["operation"], bool(e["success"])) for e in reversed(migrator.get_migration_history())]


@pytest.mark.parametrize("step", range(len(STEPS) + 1))
def test_a_failure_before_each_statement_leaves_nothing(project: Project, url: str, step: int) -> None:
    engine = strict_engine(url)
    project.sqlmig(engine)
    before = state(url)
    script = [*STEPS]
    script.insert(step, "op.execute('INSERT INTO nowhere VALUES (1)')")
    project.add("work2", "\n".join(script))
    error = refused(project, engine)
    assert state(url) == before
    assert (error.version, error.undone) == (2, True)
    assert "work2" in str(error)
    assert "nowhere" in str(error)
    (entry,) = failed(project.migrator(engine))
    assert (entry["version"], entry["operation"]) == (2, "apply")
    assert "nowhere" in entry["error_message"]
    project.last = "base1"
    project.add("work2", "\n".join(STEPS))
    migrator = project.sqlmig(engine)
    assert history(migrator) == [(1, "apply", True), (2, "apply", False), (2, "apply", True)]
    assert rows(url, "SELECT version_num FROM alembic_version") == ["work2"]


@pytest.mark.parametrize("commit", COMMITS)
def test_what_a_script_committed_is_undone_when_it_fails_later(project: Project, url: str, commit: str) -> None:
    engine = strict_engine(url)
    project.sqlmig(engine)
    before = state(url)
    project.add(
        "work2", f"{COMMITS[commit]}\nop.execute('CREATE TABLE late (n)')\nraise ValueError('late')", head=SESSION
    )
    error = refused(project, engine)
    assert state(url) == before
    assert error.undone
    assert "late" in str(error)
    project.last = "base1"
    project.add("work2", COMMITS[commit], head=SESSION)
    migrator = project.sqlmig(engine)
    assert history(migrator)[-1] == (2, "apply", True)


@pytest.mark.parametrize("commit", COMMITS)
def test_a_failing_downgrade_leaves_nothing(project: Project, url: str, commit: str) -> None:
    project.add(
        "work2",
        "op.execute('CREATE TABLE other (n)')",
        f"{COMMITS[commit]}\nop.drop_table('other')\n1 / 0",
        head=SESSION,
    )
    engine = strict_engine(url)
    project.sqlmig(engine)
    before = state(url)
    with pytest.raises(MigrationFailed, match="division") as caught:
        project.sqlmig(engine, "base1")
    assert caught.value.operation == "rollback"
    assert state(url) == before
    assert [(e["version"], e["operation"]) for e in failed(project.migrator(engine))] == [(2, "rollback")]


def test_what_was_applied_before_the_failure_stays(project: Project, url: str) -> None:
    project.add("good2", "op.execute('CREATE TABLE other (n)')")
    project.add("bad3", "op.execute('CREATE TABLE late (n)')\nop.execute('nonsense')")
    project.add("never4", "op.execute('CREATE TABLE never (n)')")
    error = refused(project, url)
    assert error.result.applied == [1, 2]
    assert rows(url, "SELECT version_num FROM alembic_version") == ["good2"]
    names = rows(url, "SELECT name FROM sqlite_master")
    assert {"other", "late", "never"} & set(names) == {"other"}


@pytest.mark.parametrize(
    "raised", ["KeyboardInterrupt", "SystemExit(3)", "sys.exit('no')", "AssertionError", "MemoryError"]
)
def test_whatever_is_raised_leaves_nothing(project: Project, url: str, raised: str) -> None:
    project.sqlmig(url)
    before = state(url)
    project.add(
        "work2",
        f"op.execute('DROP TABLE child')\nop.get_bind().commit()\nraise {raised}"
        if "exit(" not in raised
        else f"op.execute('DROP TABLE child')\n{raised}",
        head="import sys",
    )
    with pytest.raises(BaseException):  # noqa: B017, PT011 - an interrupt may pass as it is
        project.sqlmig(url)
    assert state(url) == before
    assert len(failed(project.migrator(url))) == 1


# All or nothing


def test_all_or_nothing_undoes_every_revision(project: Project, url: str) -> None:
    project.add("good2", "op.execute('CREATE TABLE other (n)')\nop.get_bind().commit()")
    project.add("bad3", COMMITS["session.commit"] + "\nraise ValueError('late')", head=SESSION)
    refused(project, url, all_or_nothing=True)
    assert rows(
        url,
        "SELECT count(*) FROM sqlite_master WHERE name NOT LIKE 'migration%' AND name NOT LIKE 'sqlite%'"
        " AND name NOT LIKE 'ix_migration%' AND name <> 'alembic_version'",
    ) == [0]
    if "alembic_version" in rows(url, "SELECT name FROM sqlite_master"):
        assert rows(url, "SELECT * FROM alembic_version") == []
    project.last = "good2"
    project.add("bad3", "pass")
    migrator = project.sqlmig(url, all_or_nothing=True)
    assert migrator.get_current_version() == 3
    assert rows(url, "SELECT version_num FROM alembic_version") == ["bad3"]


@pytest.mark.parametrize(
    "loose", ["op.execute('COMMIT')", "with op.get_context().autocommit_block():\n    op.execute('VACUUM')"]
)
def test_all_or_nothing_is_kept_where_a_script_would_break_it(project: Project, url: str, loose: str) -> None:
    project.sqlmig(url)
    before = state(url)
    project.add("good2", "op.execute('CREATE TABLE other (n)')")
    project.add("loose3", f"op.execute('DELETE FROM child')\n{loose}\nop.execute('CREATE TABLE late (n)')")
    error = refused(project, url, MigrationError, all_or_nothing=True)
    assert isinstance(error, NotAtomic | MigrationFailed)
    assert state(url) == before
    migrator = project.sqlmig(url)
    assert migrator.get_current_version() == 3


# Scripts that end their transaction

LOOSE = {
    "autocommit_block": "with op.get_context().autocommit_block():\n    op.execute('CREATE TABLE early (n)')",
    "COMMIT": f"op.execute('CREATE TABLE early (n)')\n{WRITE}op.execute('COMMIT')",
}


@pytest.mark.parametrize("way", LOOSE)
def test_a_failure_after_it_is_told_as_not_undone(project: Project, url: str, way: str) -> None:
    project.add("loose2", f"{LOOSE[way]}\nop.execute('CREATE TABLE late (n)')\nraise ValueError('late')")
    error = refused(project, url)
    assert (error.version, error.undone) == (2, False)
    assert "repair" in str(error)
    assert "early" in rows(url, "SELECT name FROM sqlite_master")
    assert rows(url, "SELECT version_num FROM alembic_version") == ["base1"]
    assert rows(url, "SELECT state FROM migration_versions WHERE version = 2") == ["started"]
    stopped = refused(project, url, InterruptedMigration)
    assert stopped.version == 2
    assert "loose2" in str(stopped)
    project.last = "base1"
    project.add("loose2", "op.execute('DROP TABLE early')\nop.execute('DROP TABLE IF EXISTS late')")
    with project.fresh(url):
        migrator = project.migrator(url)
        assert migrator.repair()
        assert migrator.migrate().applied == [2]
    assert rows(url, "SELECT state FROM migration_versions ORDER BY version") == ["applied"] * 2


@pytest.mark.parametrize("way", LOOSE)
def test_a_failure_before_it_is_undone(project: Project, url: str, way: str) -> None:
    """The transaction was whole until then."""
    project.sqlmig(url)
    before = state(url)
    project.add("loose2", f"op.execute('DROP TABLE child')\nif True:\n    raise ValueError('soon')\n{LOOSE[way]}")
    error = refused(project, url)
    if error.undone:
        assert state(url) == before
        return
    # Known as one that ends its transaction before it starts: then it says so.
    assert rows(url, "SELECT state FROM migration_versions WHERE version = 2") == ["started"]


def test_a_loose_revision_that_works_is_applied(project: Project, url: str) -> None:
    for number, way in enumerate(LOOSE, start=2):
        project.add(f"loose{number}", f"{LOOSE[way]}\nop.execute('DROP TABLE early')")
    migrator = project.sqlmig(url)
    assert [(v, s) for v, _, s in history(migrator)] == [(1, True), (2, True), (3, True)]
    assert rows(url, "SELECT DISTINCT state FROM migration_versions") == ["applied"]
    assert rows(url, "SELECT version_num FROM alembic_version") == ["loose3"]
