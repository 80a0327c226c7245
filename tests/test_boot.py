"""A boot at head is free, and the first boot is whole."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Folder
from sqlalchemy import Engine, create_engine, event

import sqlmig
from sqlmig import Migrator


def test_first_boot_applies_everything_in_order(migrator: Migrator, folder: Folder, engine: Engine) -> None:
    for version in (3, 1, 2):
        folder.table(version)
    result = migrator.migrate()
    assert result
    assert (result.applied, result.from_version, result.to_version) == ([1, 2, 3], 0, 3)
    assert migrator.get_current_version() == 3
    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA user_version").scalar() == 3


def test_boot_at_head_reads_once_and_opens_no_file(
    engine: Engine, folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.table(1)
    Migrator(engine, folder.path).migrate()
    statements: list[str] = []
    with engine.connect() as connection:
        raw = connection.connection.dbapi_connection
        assert raw is not None
        raw.set_trace_callback(statements.append)
    monkeypatch.setattr(Path, "read_bytes", lambda self: pytest.fail(f"{self} was opened"))
    assert Migrator(engine, folder.path).migrate().applied == []
    # What begins with -- is a part of the statement before it.
    (statement,) = (text for text in statements if not text.startswith("--"))
    assert statement.startswith("SELECT")


def test_a_boot_on_sqlite_loads_no_other_dialect(folder: Folder, tmp_path: Path) -> None:
    folder.table(1)
    code = (
        "import sys\nfrom sqlmig import Migrator\nMigrator(*sys.argv[1:]).migrate()\n"
        "print('sqlalchemy.dialects.sqlite' in sys.modules, 'sqlalchemy.dialects.postgresql' in sys.modules)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "new.db"), str(folder.path)]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["True", "False"]


def test_boot_at_head_needs_no_lock(engine: Engine, folder: Folder, url: str) -> None:
    folder.table(1)
    Migrator(engine, folder.path).migrate()
    holder = create_engine(url)
    with holder.connect() as connection:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        assert Migrator(engine, folder.path, lock_timeout=0).migrate()
        connection.rollback()


def test_boot_at_head_takes_no_lock_through_a_begin_event(engine: Engine, folder: Folder) -> None:
    folder.table(1)
    Migrator(engine, folder.path).migrate()
    event.listen(engine, "begin", lambda connection: pytest.fail("a transaction was begun for a read"))
    assert Migrator(engine, folder.path).migrate()


def test_boot_at_head_of_a_read_only_file(engine: Engine, folder: Folder, tmp_path: Path) -> None:
    folder.table(1)
    Migrator(engine, folder.path).migrate()
    read_only = create_engine(f"sqlite:///file:{tmp_path / 'app.db'}?mode=ro&uri=true")
    assert Migrator(read_only, folder.path).migrate().applied == []


@pytest.mark.parametrize("versions", [(1, 2, 3), (5, 9, 120)])
def test_boot_notices_every_difference_between_names_and_records(
    engine: Engine, folder: Folder, versions: tuple[int, ...]
) -> None:
    for version in versions:
        folder.table(version)
    migrator = Migrator(engine, folder.path, out_of_order="apply")
    assert migrator.migrate().applied == list(versions)
    assert not migrator.needs_migration()
    folder.table(4)
    assert migrator.needs_migration()
    assert Migrator(engine, folder.path, out_of_order="apply").migrate().applied == [4]


def test_import_loads_nothing_heavy() -> None:
    code = (
        "import sys, sqlalchemy; before = set(sys.modules); import sqlmig; sqlmig.Migrator;"
        "print(sorted(m for m in set(sys.modules) - before if not m.startswith('sqlmig')))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    for heavy in ("click", "rich", "tomllib", "ast", "socket", "hypothesis", "sqlalchemy.dialects.sqlite"):
        assert f"'{heavy}'" not in loaded


def test_every_public_name_is_importable_and_listed() -> None:
    assert sorted(sqlmig.__all__) == sqlmig.__all__
    for name in sqlmig.__all__:
        assert getattr(sqlmig, name).__name__ in (name, "Migrator")
    assert sqlmig.Migrator is sqlmig.ModularDatabaseMigrator is sqlmig.DatabaseMigrator
    with pytest.raises(AttributeError, match="nothing_of_the_kind"):
        sqlmig.nothing_of_the_kind  # noqa: B018
    assert "Migrator" in dir(sqlmig)
