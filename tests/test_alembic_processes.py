"""Processes and threads that boot together, are killed, or open connections of their own beside the runner's."""

from __future__ import annotations

import importlib
import signal
import sqlite3
import threading
import time
from pathlib import Path

import pytest
from alembic_scripts_support import ENV, Project, catalogue, file_of, finish, rows, state
from sqlalchemy import create_engine, inspect, text
from test_alembic_atomicity import COMMITS, LOOSE, SESSION, STEPS, history, refused

from alembic_compat import AlembicMigrator
from sqlmig import InterruptedMigration


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project(tmp_path / "project")
    project.base()
    return project


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'app.db'}"


# Killed processes

KILL = "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)"


@pytest.mark.parametrize("step", [0, 3, len(STEPS)])
@pytest.mark.parametrize("commit", ["nothing", "bind.commit", "session.commit"])
def test_a_process_killed_in_a_revision(project: Project, url: str, commit: str, step: int) -> None:
    project.sqlmig(url)
    before = state(url)
    script = [COMMITS[commit], *STEPS[:step], KILL]
    project.add("work2", "\n".join(script), head=SESSION)
    assert finish(project.boot(url))[0] == -signal.SIGKILL
    assert state(url) == before
    project.last = "base1"
    project.add("work2", "\n".join([COMMITS[commit], *STEPS]), head=SESSION)
    code, _, told = finish(project.boot(url))
    assert code == 0, told
    assert rows(url, "SELECT version_num FROM alembic_version") == ["work2"]
    assert rows(url, "SELECT count(*) FROM other") == [2]


def test_a_process_killed_after_the_end_of_its_transaction(project: Project, url: str) -> None:
    project.add("loose2", f"{LOOSE['autocommit_block']}\n{KILL}")
    assert finish(project.boot(url))[0] == -signal.SIGKILL
    error = refused(project, url, InterruptedMigration)
    assert error.version == 2
    assert "loose2" in str(error)
    project.last = "base1"
    project.add("loose2", "op.execute('DROP TABLE IF EXISTS early')")
    with project.fresh(url):
        migrator = project.migrator(url)
        migrator.repair()
        assert migrator.migrate().applied == [2]


# Processes and threads


@pytest.mark.proves("`AlembicMigrator`", sqlite="yes")
def test_eight_processes_apply_each_revision_once(project: Project, url: str) -> None:
    """A revision applied twice would fail, or leave a second row."""
    project.add("work2", COMMITS["session.commit"] + '\nop.execute("CREATE TABLE other (n)")', head=SESSION)
    project.add("batch3", STEPS[2])
    project.add("last4", "op.execute('INSERT INTO other VALUES (1)')")
    running = [project.boot(url) for _ in range(8)]
    for process in running:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    told = [finish(process, 60) for process in running]
    assert [text for code, _, text in told if code] == []
    migrator = project.migrator(url)
    assert history(migrator) == [(n, "apply", True) for n in (1, 2, 3, 4)]
    assert rows(url, "SELECT count(*) FROM other") == [1]
    assert rows(url, "SELECT name FROM parent") == ["one", "two", "three", "four"]


def test_threads_apply_each_revision_once(project: Project, url: str) -> None:
    """Alembic keeps one environment per process: its proxies may not be shared by two runs."""
    project.add("work2", COMMITS["session.commit"] + '\nop.execute("CREATE TABLE other (n)")', head=SESSION)
    project.add("last3", "op.execute('INSERT INTO other VALUES (1)')")
    errors: list[BaseException] = []
    barrier = threading.Barrier(4)

    def boot() -> None:
        try:
            barrier.wait(10)
            project.migrator(create_engine(url)).migrate()
        except BaseException as error:
            errors.append(error)

    with project.fresh(url):
        threads = [threading.Thread(target=boot, daemon=True) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert not any(thread.is_alive() for thread in threads)
    assert errors == []
    assert history(project.migrator(url)) == [(n, "apply", True) for n in (1, 2, 3)]
    assert rows(url, "SELECT count(*) FROM other") == [1]


def test_threads_with_a_database_each(project: Project, tmp_path: Path) -> None:
    """One process that keeps a database per tenant migrates them in threads."""
    project.add(
        "work2",
        "op.execute('CREATE TABLE other (n)')\nimport time\ntime.sleep(0.05)\n"
        "op.execute('INSERT INTO other VALUES (1)')",
    )
    urls = [f"sqlite:///{tmp_path / f'tenant{n}.db'}" for n in range(4)]
    errors: list[BaseException] = []

    def boot(url: str) -> None:
        try:
            project.migrator(create_engine(url)).migrate()
        except BaseException as error:
            errors.append(error)

    with project.fresh(urls[0]):
        threads = [threading.Thread(target=boot, args=(url,), daemon=True) for url in urls]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert not any(thread.is_alive() for thread in threads)
    assert errors == []
    assert [rows(url, "SELECT count(*) FROM other") for url in urls] == [[1]] * 4


# Second connections never wait for us for ever

DEADLOCKS = {
    "the application writes": "with shop.SessionLocal.begin() as session:\n    session.add(shop.Parent(name='four'))",
    "after a write of ours": "op.execute(\"UPDATE parent SET name = 'x'\")\n"
    "with shop.SessionLocal.begin() as session:\n    session.add(shop.Parent(name='four'))",
    "engine of the bind": "op.execute(\"UPDATE parent SET name = 'x'\")\nwith op.get_bind().engine.begin() as c:\n"
    "    c.execute(sa.text(\"INSERT INTO parent (name) VALUES ('four')\"))",
    "sqlite3": "import sqlite3\nraw = sqlite3.connect(shop.engine.url.database, timeout=0.5)\n"
    "raw.execute(\"INSERT INTO parent (name) VALUES ('four')\")\nraw.commit()\nraw.close()",
    "left open": "shop.left = shop.SessionLocal()\nshop.left.add(shop.Parent(name='four'))\nshop.left.flush()",
    "left reading": "shop.left = shop.engine.connect()\nshop.left.execute(sa.text('SELECT * FROM parent')).fetchone()",
}


@pytest.mark.parametrize("case", DEADLOCKS)
def test_a_second_connection_ends_in_time(project: Project, url: str, case: str) -> None:
    """It is let in, or the revision fails with nothing left of it on our connection; it never hangs."""
    project.add("work2", f"op.execute('CREATE TABLE other (n)')\n{DEADLOCKS[case]}", head="import shop")
    code, _, told = finish(project.boot(url, lock_timeout=1), timeout=25)
    if code == 0:
        assert rows(url, "SELECT version_num FROM alembic_version") == ["work2"]
        return
    assert "sqlmig" in told.strip().splitlines()[-1] or "MigrationFailed" in told or "DatabaseLocked" in told
    assert "other" not in rows(url, "SELECT name FROM sqlite_master")


SECONDS = {
    "reads before": ("with shop.engine.connect() as c:\n    c.execute(text('SELECT 1 FROM sqlite_master'))", ""),
    "writes before": (
        "with shop.engine.begin() as c:\n    c.execute(text('CREATE TABLE IF NOT EXISTS side (n)'))\n"
        "    c.execute(text('INSERT INTO side VALUES (1)'))",
        "",
    ),
    "writes after": (
        "",
        "with shop.engine.begin() as c:\n    c.execute(text('CREATE TABLE IF NOT EXISTS side (n)'))\n"
        "    c.execute(text('INSERT INTO side VALUES (1)'))",
    ),
    "create_all before": ("shop.Base.metadata.tables['child'].metadata.create_all(shop.engine, tables=[])", ""),
    "sqlite3 before": (
        "import sqlite3\nraw = sqlite3.connect(shop.engine.url.database, timeout=0.5)\n"
        "raw.execute('CREATE TABLE IF NOT EXISTS side (n)')\nraw.commit()\nraw.close()",
        "",
    ),
}


@pytest.mark.parametrize("case", SECONDS)
def test_a_second_connection_of_env_py(tmp_path: Path, case: str) -> None:
    before, after = SECONDS[case]
    head, _, _ = ENV.rpartition("run_migrations_online()\n")
    env = f"{head}\nimport shop\nfrom sqlalchemy import text\n{before}\nrun_migrations_online()\n{after}\n"
    project = Project(tmp_path / "project", env=env)
    project.base()
    project.add("work2", "op.execute('CREATE TABLE other (n)')")
    theirs, ours = f"sqlite:///{tmp_path / 'theirs.db'}", f"sqlite:///{tmp_path / 'ours.db'}"
    project.alembic(theirs)
    code, _, told = finish(project.boot(ours, lock_timeout=1), timeout=25)
    assert code == 0, told
    assert {k: v for k, v in catalogue(ours).items() if k != "table side"} == {
        k: v for k, v in catalogue(theirs).items() if k != "table side"
    }
    assert ("table side" in catalogue(ours)) == ("table side" in catalogue(theirs))


def test_a_waiter_for_another_process(project: Project, url: str) -> None:
    """A process in the middle of a revision is waited for, and what it did is not done again."""
    flag = project.path / "started"
    project.add(
        "work2",
        f"import pathlib, time\npathlib.Path({str(flag)!r}).touch()\ntime.sleep(0.7)\n"
        "op.execute('CREATE TABLE other (n)')",
    )
    first = project.boot(url)
    assert first.stdin is not None
    first.stdin.write("go\n")
    first.stdin.flush()
    until = time.monotonic() + 20
    while not flag.exists() and first.poll() is None and time.monotonic() < until:
        time.sleep(0.01)
    with project.fresh(url):
        assert project.migrator(url, lock_timeout=20).migrate().applied == []
    assert finish(first)[0] == 0


def test_a_joined_connection(project: Project, url: str) -> None:
    """The caller's transaction holds all of it."""
    project.add("work2", COMMITS["bind.commit"] + "\nop.execute('CREATE TABLE other (n)')")
    engine = create_engine(url)
    with project.fresh(url), engine.connect() as connection:
        connection.execute(text("CREATE TABLE mine (n)"))
        with connection.begin() if not connection.in_transaction() else connection.get_transaction() as transaction:
            connection.execute(text("INSERT INTO mine VALUES (1)"))
            AlembicMigrator(connection, project.config(url)).migrate()
            assert inspect(connection).has_table("other")
            transaction.rollback()
    assert rows(url, "SELECT name FROM sqlite_master WHERE name IN ('parent', 'other')") == []


def test_in_memory(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """env.py would open an empty database of its own; ours is the one that is meant."""
    project.add("work2", COMMITS["session.commit"], head=SESSION)
    engine = create_engine("sqlite://")
    with project.fresh("sqlite://"):
        assert project.migrator(engine).migrate().applied == [1, 2]
        assert importlib.import_module("shop") is not None
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM parent")).scalar() == 4
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar() == "work2"


def test_the_lock_is_free_afterwards(project: Project, url: str) -> None:
    project.add("work2", f"{COMMITS['bind.commit']}\nraise ValueError")
    refused(project, url)
    raw = sqlite3.connect(file_of(url), timeout=0.1, isolation_level=None)
    raw.execute("BEGIN EXCLUSIVE")
    raw.execute("ROLLBACK")
    raw.close()
