"""Snapshots and restores killed at any moment, hundreds of times: no half snapshot, no half database."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Folder
from snapshot_support import Forks, furnish, intact, replace, rows, write_migrations

from sqlmig import Migrator, SnapshotPolicy

KILLS = int(os.environ.get("SQLMIG_TEST_KILLS", "80"))

MIGRATE = """
from sqlmig import Migrator, SnapshotPolicy
Migrator(file, folder, snapshot=SnapshotPolicy(snapshots, keep=3)).migrate()
"""
RESTORE = """
from sqlmig import Migrator
Migrator(file, folder).restore(snapshot)
"""


@pytest.fixture
def forks() -> Iterator[Forks]:
    running = Forks()
    yield running
    running.close()


@pytest.fixture(params=["delete", "wal"])
def library(request: pytest.FixtureRequest, folder: Folder, tmp_path: Path) -> Path:
    """A furnished database at version 1, with migration 2 pending."""
    file = tmp_path / "library.db"
    furnish(file, journal_mode=request.param)
    write_migrations(folder)
    Migrator(f"sqlite:///{file}", folder.path).migrate_to_version(1)
    return file


def test_killed_while_it_makes_a_snapshot(forks: Forks, library: Path, folder: Folder, tmp_path: Path) -> None:
    snapshots, base = tmp_path / "snapshots", tmp_path / "base.db"
    replace(base, library)
    names = {"file": str(library), "folder": str(folder.path), "snapshots": str(snapshots)}
    before = rows(library)
    code, took = forks.run(MIGRATE, **names)
    assert code == 0
    after = rows(library)
    assert after != before
    ended, unfinished = [], 0
    for kill in range(KILLS):
        replace(library, base)
        ended.append(forks.run(MIGRATE, random.Random(kill).uniform(0, took), **names)[0])
        found = rows(library)
        assert found in (before, after), f"kill {kill}"
        intact(library)
        for made in snapshots.glob("*.snapshot"):
            assert rows(made) == before, f"kill {kill}: {made}"
        unfinished += len(list(snapshots.glob("*.partial")))
    assert ended.count(-signal.SIGKILL) > KILLS / 4
    assert unfinished > 0, "none was killed in the copy"
    replace(library, base)
    result = Migrator(f"sqlite:///{library}", folder.path, snapshot=SnapshotPolicy(snapshots)).migrate()
    assert result.applied == [2]
    assert rows(library) == after
    assert [path.suffix for path in snapshots.iterdir()] == [".snapshot"] * 3


def test_killed_while_it_restores(forks: Forks, library: Path, folder: Folder, tmp_path: Path) -> None:
    base, migrator = tmp_path / "base.db", Migrator(f"sqlite:///{library}", folder.path, snapshot=True)
    new = rows(library)
    snapshot = migrator.migrate().snapshot
    assert snapshot is not None
    replace(base, library)
    old, mode = rows(library), _journal_mode(library)
    names = {"file": str(library), "folder": str(folder.path), "snapshot": str(snapshot)}
    code, took = forks.run(RESTORE, **names)
    assert code == 0
    assert rows(library) == new
    outcomes = []
    idle = sqlite3.connect(library, timeout=30)
    for kill in range(KILLS):
        replace(library, base)
        code, _ = forks.run(RESTORE, random.Random(kill).uniform(0, took), **names)
        found = rows(library)
        assert found in (old, new), f"kill {kill}"
        intact(library)
        assert idle.execute("SELECT count(*) FROM tags").fetchone()[0] == len(found["tags"])
        history = [entry["operation"] for entry in migrator.get_migration_history()]
        assert history == (["restore"] if found == new else []) + ["apply", "apply"], f"kill {kill}"
        outcomes.append((code, found == new))
    idle.close()
    assert len([1 for code, _ in outcomes if code == -signal.SIGKILL]) > KILLS / 4
    assert (-signal.SIGKILL, False) in outcomes
    assert _journal_mode(library) == mode
    assert migrator.restore(snapshot)
    assert rows(library) == new
    assert not list(tmp_path.glob("*.partial*"))


def _journal_mode(file: Path) -> str:
    raw = sqlite3.connect(file)
    mode = raw.execute("PRAGMA journal_mode").fetchone()[0]
    raw.close()
    return str(mode)
