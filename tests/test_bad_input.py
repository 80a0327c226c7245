"""Databases and folders that cannot be used: a typed error, nothing changed."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest
from conftest import Folder, contents, failures
from sqlalchemy import Engine, create_engine, event

from sqlmig import (
    ConfigurationError,
    DatabaseConnection,
    DatabaseNotWritable,
    DatabaseUnavailable,
    DiskFull,
    Migrator,
    NotADatabase,
    UnsupportedDatabase,
)


@pytest.mark.parametrize(
    ("kind", "words"), [("missing", "no migrations folder"), ("empty", "no migration in"), ("file", "is not a folder")]
)
def test_folders_that_are_none(engine: Engine, tmp_path: Path, kind: str, words: str) -> None:
    path = tmp_path / "versions"
    if kind == "empty":
        path.mkdir()
    if kind == "file":
        path.write_text("")
    migrator = Migrator(engine, path)
    for call in (migrator.migrate, lambda: migrator.migrate_to_version(1), lambda: migrator.rollback_to_version(0)):
        with pytest.raises(ConfigurationError, match=words):
            call()
    assert contents(engine) == {"schema": [], "rows": {}, "version": 0}


def test_an_empty_folder_is_an_issue(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "versions").mkdir()
    (issue,) = Migrator(engine, tmp_path / "versions").manager.validate_migration_sequence()
    assert issue.kind == "empty"


def test_a_file_that_is_no_database(folder: Folder, tmp_path: Path) -> None:
    folder.table(1)
    file = tmp_path / "letter.db"
    file.write_bytes(b"Dear reader, this is no database at all. " * 50)
    migrator = Migrator(f"sqlite:///{file}", folder.path)
    for call in (migrator.migrate, migrator.get_current_version, migrator.get_migration_history):
        with pytest.raises(NotADatabase, match=r"letter\.db"):
            call()
    assert file.read_bytes().startswith(b"Dear reader")


def test_a_read_only_database_with_something_pending(engine: Engine, folder: Folder, tmp_path: Path) -> None:
    folder.table(1)
    Migrator(engine, folder.path).migrate()
    folder.table(2)
    before = contents(engine)
    read_only = create_engine(f"sqlite:///file:{tmp_path / 'app.db'}?mode=ro&uri=true")
    with pytest.raises(DatabaseNotWritable, match="readonly"):
        Migrator(read_only, folder.path).migrate()
    assert contents(engine) == before


def test_a_folder_for_the_file_that_does_not_exist(folder: Folder, tmp_path: Path) -> None:
    folder.table(1)
    with pytest.raises(DatabaseUnavailable, match="cannot be opened"):
        Migrator(f"sqlite:///{tmp_path}/nowhere/app.db", folder.path).migrate()


@pytest.mark.parametrize("together", [False, True])
def test_a_full_disk(url: str, folder: Folder, together: bool) -> None:
    engine = create_engine(url)
    folder.table(1)
    Migrator(engine, folder.path).migrate()
    folder.add(2, 'self.execute_sql("INSERT INTO t1 (n) VALUES (hex(zeroblob(1000000)))")')
    before = contents(engine)
    engine = create_engine(url)
    event.listen(engine, "connect", lambda raw, _: raw.execute("PRAGMA max_page_count = 40"))
    migrator = Migrator(engine, folder.path)
    with pytest.raises(DiskFull, match="max_page_count") as caught:
        migrator.migrate(all_or_nothing=together)
    assert caught.value.version == 2
    assert contents(engine) == before
    assert len(failures(migrator)) == 1


def test_databases_that_cannot_be_meant(folder: Folder) -> None:
    with pytest.raises(ConfigurationError, match="Not a database"):
        Migrator(42, folder.path)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="begins with nonsense"):
        Migrator("nonsense://user:secret@host/db", folder.path)
    with pytest.raises(ConfigurationError, match="out_of_order"):
        Migrator(":memory:", folder.path, out_of_order="maybe")  # type: ignore[arg-type]


def test_passwords_are_never_shown(folder: Folder) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Migrator("nonsense://user:secret@host/db", folder.path)
    assert "secret" not in str(caught.value)
    with pytest.raises(DatabaseUnavailable, match="was refused or lost") as refused:
        Migrator(
            "mysql+pymysql://user@127.0.0.1:1/db?password=secret&charset=utf8mb4", folder.path
        ).get_current_version()
    assert "//user@127.0.0.1:1/db?charset=utf8mb4" in str(refused.value)
    assert "secret" not in str(refused.value)


def test_a_database_without_a_backend(folder: Folder) -> None:
    class Other:
        """As much of a driver as create_engine looks at."""

        paramstyle = "pyformat"
        __version__ = "2.9"
        Error = sqlite3.Error

    engine = create_engine("mssql+pymssql://", module=Other)
    with pytest.raises(UnsupportedDatabase, match="mssql"):
        Migrator(engine, folder.path)


def test_no_folder_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError, match="migrations/versions"):
        Migrator(":memory:").migrate()
    Folder(tmp_path / "migrations" / "versions").table(1)
    assert Migrator(":memory:").migrate().applied == [1]
    Folder(tmp_path / "elsewhere").table(1)
    (tmp_path / "pyproject.toml").write_text('[tool.sqlmig]\npath = "elsewhere"\n')
    assert Migrator(":memory:").manager.sources.folders == [tmp_path / "elsewhere"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every folder")
def test_a_folder_that_may_not_be_read(engine: Engine, folder: Folder) -> None:
    folder.path.chmod(0)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        Migrator(engine, folder.path).migrate()
    folder.path.chmod(0o700)


def test_connections_of_every_form(url: str, engine: Engine, tmp_path: Path, folder: Folder) -> None:
    folder.table(1)
    for database in (engine, url, engine.url, tmp_path / "app.db", str(tmp_path / "app.db"), DatabaseConnection(url)):
        assert Migrator(database, folder.path).migrate().to_version == 1
