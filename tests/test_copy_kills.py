"""A copy whose process is killed: nothing takes what it has left for a whole database, and the next one is whole."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from conftest import Folder
from copy_support import KINDS, empty, rows, source_in, tables_of, write_migrations
from sqlalchemy import create_engine, inspect

from sqlmig import CopyInterrupted, Migrator
from sqlmig.cli.app import app

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")

CHILD = """
import os, sys
from sqlmig import Migrator
at, told = int(sys.argv[4]), [0]
def tell(done, total, message):
    told[0] += 1
    if told[0] == at:
        os.kill(os.getpid(), 9)
Migrator(sys.argv[1], sys.argv[2], progress=tell).copy_from(sys.argv[3], batch_size=20)
"""
KILLED = -signal.SIGKILL


def child(target: str, folder: Path, source: str, at: int) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    command = [sys.executable, "-c", CHILD, target, str(folder), source, str(at)]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


@pytest.fixture(params=KINDS)
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with empty(request.param, tmp_path) as url:
        yield url


@pytest.fixture(scope="module")
def migrations(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_migrations(tmp_path_factory.mktemp("kills") / "migrations")


@pytest.fixture(scope="module")
def library(migrations: Path) -> str:
    return source_in("sqlite", f"sqlite:///{migrations.parent / 'library.db'}", migrations, count=200)


def is_untouched_or_marked(target: str, folder: Path) -> bool:
    """
    What an application meets that boots on it: a database with nothing in it, or one that says that it is half copied.

    On MariaDB the tables that the mark goes into are committed before the mark is. Killed between the two, a copy
    leaves them, and nothing in them.

    Returns:
        Whether it is marked.
    """
    if target.startswith("sqlite") and not Path(target.removeprefix("sqlite:///")).exists():
        return False
    migrator = Migrator(target, folder, lock_timeout=5)
    state = migrator.version_tracker.read()
    if migrator.version_tracker.copy_mark(state) is None:
        assert state.rows == ()
        records = {"migration_versions", "migration_history"} if target.startswith("mysql") else set()
        assert set(tables_of(target)) <= records
        return False
    for boot in (migrator.migrate, migrator.create_tables_if_not_exist, lambda: migrator.stamp(1), migrator.repair):
        with pytest.raises(CopyInterrupted, match="sqlmig copy"):
            boot()
    assert migrator.needs_migration()
    shown = CliRunner().invoke(app, ["status", "--url", target, "--path", str(folder)])
    assert "the copy from" in shown.stdout
    return True


@pytest.mark.parametrize("at", [1, 4, 9, 16])
def test_killed_at_a_point(library: str, migrations: Path, target: str, at: int) -> None:
    process = child(target, migrations, library, at)
    process.communicate(timeout=60)
    assert process.returncode == KILLED
    assert is_untouched_or_marked(target, migrations) == target.startswith("mysql")
    result = Migrator(target, migrations).copy_from(library)
    assert result.version == 2
    assert rows(target) == rows(library)
    assert Migrator(target, migrations).migrate().applied == [3]


def test_killed_at_any_time(library: str, migrations: Path, target: str) -> None:
    """Whatever it was about to do: between two statements, while it commits, or when all is done."""
    ended = 0
    chance = random.Random(20)
    for _ in range(6):
        process = child(target, migrations, library, 0)
        time.sleep(0.35 + chance.random() * 0.9)
        process.kill()
        process.communicate()
        if process.returncode == 0 or is_whole(target, migrations):
            ended += 1
            break
        is_untouched_or_marked(target, migrations)
    if not ended:
        Migrator(target, migrations).copy_from(library)
    assert rows(target) == rows(library)
    assert Migrator(target, migrations).get_current_version() == 2


def is_whole(target: str, folder: Path) -> bool:
    if target.startswith("sqlite") and not Path(target.removeprefix("sqlite:///")).exists():
        return False
    migrator = Migrator(target, folder)
    state = migrator.version_tracker.read()
    return bool(state.done) and not state.interrupted


class TestOutsideOfOneTransaction:
    """A migration that runs outside of transactions: on every database, then, the mark tells."""

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Folder:
        folder = Folder(tmp_path / "loose")
        folder.add(1, 'self.execute_sql("CREATE TABLE t1 (id INTEGER PRIMARY KEY, n INTEGER)")')
        folder.add(2, 'self.execute_sql("CREATE INDEX ix_n ON t1 (n)")', extra="transactional = False")
        folder.add(3, 'self.execute_sql("CREATE VIEW v1 AS SELECT n FROM t1")')
        return folder

    @pytest.fixture
    def source(self, folder: Folder, tmp_path: Path) -> str:
        url = f"sqlite:///{tmp_path / 'source.db'}"
        Migrator(url, folder.path).migrate()
        engine = create_engine(url)
        with engine.begin() as connection:
            connection.exec_driver_sql("INSERT INTO t1 VALUES (1, 10), (2, 20), (7, 70)")
        engine.dispose()
        return url

    @pytest.mark.parametrize("at", [1, 2, 3, 4])
    def test_killed(self, folder: Folder, source: str, target: str, at: int) -> None:
        process = child(target, folder.path, source, at)
        process.communicate(timeout=60)
        assert process.returncode == KILLED
        assert is_untouched_or_marked(target, folder.path)
        assert Migrator(target, folder.path).copy_from(source).rows == 3
        self.check(target, folder)

    def test_failed(self, folder: Folder, source: str, target: str) -> None:
        """All that was made is removed again, so that it can be tried again at once."""
        engine = create_engine(source)
        with engine.begin() as connection:
            connection.exec_driver_sql("UPDATE t1 SET n = 'text' WHERE id = 7")
        if target.startswith("sqlite"):
            folder.add(4, "if 'source' not in str(self.db.engine.url): raise RuntimeError('not here')")
            Migrator(source, folder.path).migrate()
        with pytest.raises(Exception, match=r"t1\.n|not here"):
            Migrator(target, folder.path).copy_from(source)
        assert set(tables_of(target)) == {"migration_versions", "migration_history"}
        assert Migrator(target, folder.path).version_tracker.read().rows == ()
        with engine.begin() as connection:
            connection.exec_driver_sql("UPDATE t1 SET n = 70 WHERE id = 7")
        engine.dispose()
        if target.startswith("sqlite"):
            folder.add(4, "pass")
            Migrator(source, folder.path).repair()
        Migrator(target, folder.path).copy_from(source)
        self.check(target, folder)

    def check(self, target: str, folder: Folder) -> None:
        engine = create_engine(target)
        with engine.connect() as connection:
            assert connection.exec_driver_sql("SELECT n FROM v1 ORDER BY n").scalars().all() == [10, 20, 70]
            assert [index["name"] for index in inspect(connection).get_indexes("t1")] == ["ix_n"]
        engine.dispose()
        assert not Migrator(target, folder.path).needs_migration()
