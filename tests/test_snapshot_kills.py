"""Snapshots and restores killed at any moment, hundreds of times: no half snapshot, no half database."""

from __future__ import annotations

import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Folder
from effort import EFFORT
from snapshot_support import Forks, furnish, intact, replace, rows, write_migrations

from sqlmig import Migrator, SnapshotPolicy

KILLS = 24 * EFFORT

# Ends itself where it is told how far it has got, if a moment is given.
DIE = """
import os, signal
from sqlmig import Migrator, SnapshotPolicy
def progress(done, total, message, moment=globals().get("moment")):
    if moment and message.startswith(moment) and int(message.split()[-2]) >= int(percent):
        os.kill(os.getpid(), signal.SIGKILL)
"""
MIGRATE = DIE + "Migrator(file, folder, snapshot=SnapshotPolicy(snapshots, keep=3), progress=progress).migrate()"
RESTORE = DIE + "Migrator(file, folder, progress=progress).restore(snapshot)"


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
    replace(library, base)
    for kill, _ in enumerate(forks.killed(MIGRATE, took, KILLS, **names)):
        found = rows(library)
        assert found in (before, after), f"kill {kill}"
        intact(library)
        for made in snapshots.glob("*.snapshot"):
            assert rows(made) == before, f"kill {kill}: {made}"
        replace(library, base)
    for percent in range(0, 100, 20 // min(EFFORT, 4)):
        code, _ = forks.run(MIGRATE, moment="snapshot: ", percent=str(percent), **names)
        assert code == -signal.SIGKILL
        assert len(list(snapshots.glob("*.partial"))) == 1
        assert rows(library) == before
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
    idle = sqlite3.connect(library, timeout=30)
    replace(library, base)
    for kill, _ in enumerate(forks.killed(RESTORE, took, KILLS, **names)):
        found = rows(library)
        assert found in (old, new), f"kill {kill}"
        intact(library)
        assert idle.execute("SELECT count(*) FROM tags").fetchone()[0] == len(found["tags"])
        history = [entry["operation"] for entry in migrator.get_migration_history()]
        assert history == (["restore"] if found == new else []) + ["apply", "apply"], f"kill {kill}"
        replace(library, base)
    idle.close()
    for percent in range(0, 100, 20 // min(EFFORT, 4)):
        code, _ = forks.run(RESTORE, moment="restore: writing", percent=str(percent), **names)
        assert code == -signal.SIGKILL
        assert rows(library) == old
        intact(library)
    assert _journal_mode(library) == mode
    assert migrator.restore(snapshot)
    assert rows(library) == new
    assert not list(tmp_path.glob("*.partial*"))


def _journal_mode(file: Path) -> str:
    raw = sqlite3.connect(file)
    mode = raw.execute("PRAGMA journal_mode").fetchone()[0]
    raw.close()
    return str(mode)
