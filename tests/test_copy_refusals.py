"""What a copy refuses, and that nothing is changed by it."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from conftest import Folder
from copy_support import KINDS, empty, rows, source_in, tables_of, write_migrations
from sqlalchemy import create_engine
from sqlalchemy.engine import Engine

from sqlmig import (
    ConfigurationError,
    CopyError,
    CopyMismatch,
    DatabaseLocked,
    DatabaseNotWritable,
    DatabaseTooNew,
    DatabaseUnavailable,
    MigrationFailed,
    Migrator,
    NoSuchObject,
    NotAtomic,
    TablesDiffer,
    TargetNotEmpty,
    ValidationFailed,
)
from sqlmig.cli.app import app

OWN = {"migration_versions", "migration_history"}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("copy")


@pytest.fixture(scope="module")
def migrations(home: Path) -> Path:
    return write_migrations(home / "migrations")


@pytest.fixture(scope="module")
def library(home: Path, migrations: Path) -> str:
    return source_in("sqlite", f"sqlite:///{home / 'library.db'}", migrations)


@pytest.fixture(params=KINDS)
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with empty(request.param, tmp_path) as url:
        yield url


def run(url: str, *statements: str) -> None:
    engine = create_engine(url)
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
    engine.dispose()


def test_foreign_tables_are_left_alone(library: str, migrations: Path, target: str) -> None:
    run(target, "CREATE TABLE theirs (id INTEGER)", "INSERT INTO theirs VALUES (1)", "CREATE TABLE others (id INTEGER)")
    with pytest.raises(TargetNotEmpty) as caught:
        Migrator(target, migrations).copy_from(library)
    assert sorted(caught.value.tables) == ["others", "theirs"]
    assert sorted(tables_of(target)) == ["others", "theirs"]


def test_rows_of_an_application_that_runs_there_are_left_alone(library: str, migrations: Path, target: str) -> None:
    Migrator(target, migrations).migrate_to_version(1)
    with pytest.raises(TargetNotEmpty, match="tags") as caught:
        Migrator(target, migrations).copy_from(library)
    assert caught.value.tables == ["tags"]
    assert Migrator(target, migrations).get_current_version() == 1


def test_a_target_that_is_ahead(library: str, tmp_path: Path, target: str) -> None:
    folder = Folder(tmp_path / "own")
    folder.add(1, 'self.execute_sql("CREATE TABLE t1 (id INTEGER PRIMARY KEY)")')
    folder.add(2, 'self.execute_sql("CREATE TABLE t2 (id INTEGER PRIMARY KEY)")')
    Migrator(tmp_path / "source.db", folder.path).migrate_to_version(1)
    Migrator(target, folder.path).migrate()
    with pytest.raises(TargetNotEmpty, match="migration 2"):
        Migrator(target, folder.path).copy_from(tmp_path / "source.db")
    assert Migrator(target, folder.path).get_current_version() == 2


@pytest.mark.parametrize("kind", KINDS)
def test_one_database_twice(kind: str, library: str, migrations: Path, tmp_path: Path) -> None:
    with empty(kind, tmp_path) as url:
        Migrator(url, migrations).copy_from(library)
        before = rows(url)
        with pytest.raises(ConfigurationError, match="one database"):
            Migrator(url, migrations).copy_from(url)
        assert rows(url) == before
        if kind == "sqlite":
            link = tmp_path / "link.db"
            os.link(url.removeprefix("sqlite:///"), link)
            with pytest.raises(ConfigurationError, match="one database"):
                Migrator(link, migrations).copy_from(url)


def test_a_source_that_is_not_there_is_not_made(migrations: Path, tmp_path: Path) -> None:
    with pytest.raises(DatabaseUnavailable, match="no database"):
        Migrator(tmp_path / "target.db", migrations).copy_from(tmp_path / "nowhere.db")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("url", ["postgresql+psycopg://nobody@127.0.0.1:1/x", "mysql+pymysql://nobody@127.0.0.1:1/x"])
def test_what_cannot_be_reached(url: str, library: str, migrations: Path, tmp_path: Path) -> None:
    with pytest.raises(DatabaseUnavailable, match="refused"):
        Migrator(url, migrations).copy_from(library)
    with pytest.raises(DatabaseUnavailable, match="refused"):
        Migrator(tmp_path / "target.db", migrations).copy_from(url)
    assert list(tmp_path.iterdir()) == []


def test_the_command_with_wrong_words(library: str, migrations: Path, tmp_path: Path) -> None:
    def code(*words: str) -> int:
        return CliRunner().invoke(app, ["copy", *words, "--path", str(migrations)]).exit_code

    file = f"sqlite:///{tmp_path / 'target.db'}"
    assert code(library) == 2
    assert code(library, "oracle://nowhere") == 2
    assert code("oracle://nowhere", file) == 2
    assert code(library, library) == 2
    assert code(library, file, "--url", file) == 2
    assert code(library, file, "--batch-size", "0") == 2
    assert code("sqlite:///nowhere.db", file) == 1
    assert list(tmp_path.iterdir()) == []


def test_wrong_options(library: str, migrations: Path, tmp_path: Path) -> None:
    migrator = Migrator(tmp_path / "target.db", migrations)
    with pytest.raises(ConfigurationError, match="batch_size"):
        migrator.copy_from(library, batch_size=0)
    with pytest.raises(ConfigurationError, match="skip"):
        migrator.copy_from(library, skip="tags")
    with pytest.raises(NoSuchObject, match="peeple"):
        migrator.copy_from(library, skip=["peeple"])
    assert set(tables_of(f"sqlite:///{tmp_path / 'target.db'}")) <= OWN


def test_a_source_at_no_version(migrations: Path, tmp_path: Path) -> None:
    sqlite3.connect(tmp_path / "source.db").execute("CREATE TABLE t (id INTEGER)").connection.close()
    with pytest.raises(CopyError, match="at no version"):
        Migrator(tmp_path / "target.db", migrations).copy_from(tmp_path / "source.db")
    assert not (tmp_path / "target.db").exists()


def test_a_source_that_is_newer_than_the_files(migrations: Path, tmp_path: Path) -> None:
    folder = Folder(tmp_path / "own")
    folder.table(1)
    folder.table(2)
    Migrator(tmp_path / "source.db", folder.path).migrate()
    (folder.path / "002_step_2.py").unlink()
    with pytest.raises(DatabaseTooNew):
        Migrator(tmp_path / "target.db", folder.path).copy_from(tmp_path / "source.db")
    assert not (tmp_path / "target.db").exists()


def test_a_source_whose_files_were_edited(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "own")
    folder.table(1)
    Migrator(tmp_path / "source.db", folder.path).migrate()
    folder.add(1, 'self.execute_sql("CREATE TABLE other (id INTEGER)")')
    with pytest.raises(ValidationFailed, match="migration 1 was edited"):
        Migrator(tmp_path / "target.db", folder.path).copy_from(tmp_path / "source.db")
    assert not (tmp_path / "target.db").exists()


def test_a_source_in_the_middle_of_a_migration(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "own")
    folder.table(1)
    folder.add(2, "raise RuntimeError('no')", extra="transactional = False")
    with pytest.raises(MigrationFailed):
        Migrator(tmp_path / "source.db", folder.path).migrate()
    with pytest.raises(CopyError, match="Migration 2 of the source"):
        Migrator(tmp_path / "target.db", folder.path).copy_from(tmp_path / "source.db")
    assert not (tmp_path / "target.db").exists()


def test_a_target_that_is_busy(library: str, migrations: Path, target: str) -> None:
    engine = create_engine(target)
    held = Migrator(engine, migrations)
    with held.version_tracker.backend.session() as session, session.transaction():
        session.connection.exec_driver_sql("CREATE TABLE busy (id INTEGER)")
        with pytest.raises(DatabaseLocked):
            Migrator(target, migrations, lock_timeout=0.2).copy_from(library)
    engine.dispose()
    assert set(tables_of(target)) == {"busy"}


@pytest.mark.skipif(os.name != "posix", reason="no modes")
def test_a_target_that_takes_no_writes(library: str, migrations: Path, tmp_path: Path) -> None:
    sqlite3.connect(tmp_path / "target.db").execute("PRAGMA user_version = 0").connection.close()
    with pytest.raises(DatabaseNotWritable):
        Migrator(f"sqlite:///file:{tmp_path / 'target.db'}?mode=ro&uri=true", migrations).copy_from(library)
    engine = create_engine(library)
    assert engine.connect().exec_driver_sql("SELECT count(*) FROM items").scalar() == 40
    engine.dispose()


def test_a_transaction_that_is_handed_in(library: str, migrations: Path, tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'target.db'}")
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE mine (id INTEGER)")
        with pytest.raises(NotAtomic, match="A copy"):
            Migrator(connection, migrations).copy_from(library)
    engine.dispose()


class TestWhatOnlyOneSideHas:
    def test_a_table_and_a_column_that_no_migration_makes(self, migrations: Path, target: str, tmp_path: Path) -> None:
        file = tmp_path / "source.db"
        source = source_in("sqlite", f"sqlite:///{file}", migrations)
        run(source, "CREATE TABLE by_hand (id INTEGER)", "ALTER TABLE tags ADD COLUMN colour TEXT")
        with pytest.raises(TablesDiffer) as caught:
            Migrator(target, migrations).copy_from(source)
        assert sorted(caught.value.missing) == ["by_hand", "tags.colour"]
        assert "--skip" in str(caught.value)
        assert set(tables_of(target)) <= OWN
        result = Migrator(target, migrations).copy_from(source, skip=["BY_HAND", "tags.colour"])
        assert sorted(result.left_out) == ["by_hand", "tags.colour"]
        assert rows(target) == rows(source)
        newest = Migrator(target, migrations).get_migration_history()[0]
        assert sorted(newest["metadata"]["left_out"]) == ["by_hand", "tags.colour"]

    def test_a_column_that_the_source_lost(self, migrations: Path, target: str, tmp_path: Path) -> None:
        source = source_in("sqlite", f"sqlite:///{tmp_path / 'source.db'}", migrations)
        run(source, "ALTER TABLE items DROP COLUMN note")
        with pytest.raises(TablesDiffer) as caught:
            Migrator(target, migrations).copy_from(source)
        assert caught.value.added == ["items.note"]
        result = Migrator(target, migrations).copy_from(source, skip=["items.note"])
        assert result.left_out == ["items.note"]

    def test_what_a_migration_does_on_one_side_only(self, target: str, tmp_path: Path) -> None:
        folder = Folder(tmp_path / "own")
        folder.add(1, 'self.execute_sql("CREATE TABLE t1 (id INTEGER PRIMARY KEY)")')
        folder.add(
            2,
            'self.execute_sql("CREATE TABLE t2 (id INTEGER PRIMARY KEY)")',
            extra=f"def pre_migrate_checks(self):\n    return '{tmp_path.name}_source' not in str(self.db.engine.url)",
        )
        source = tmp_path / f"{tmp_path.name}_source.db"
        assert Migrator(source, folder.path).migrate().skipped == [2]
        result = Migrator(target, folder.path).copy_from(source)
        assert (result.applied, result.skipped) == ([1, 2], [])
        assert any("migration 2 was skipped in the source" in warning for warning in result.warnings)
        assert any("only the target has t2" in warning for warning in result.warnings)
        assert Migrator(target, folder.path).get_migration_status().pending_versions == []

    def test_gaps_stay_gaps(self, target: str, tmp_path: Path) -> None:
        """What was ignored on the source is ignored on the target as well."""
        folder = Folder(tmp_path / "own")
        for version in (1, 3):
            folder.add(version, f'self.execute_sql("CREATE TABLE t{version} (id INTEGER PRIMARY KEY)")')
        settings: dict[str, Any] = {"out_of_order": "ignore"}
        Migrator(tmp_path / "source.db", folder.path, **settings).migrate()
        folder.add(2, 'self.execute_sql("CREATE TABLE t2 (id INTEGER PRIMARY KEY)")')
        result = Migrator(target, folder.path, **settings).copy_from(tmp_path / "source.db")
        assert result.applied == [1, 3]
        assert "t2" not in tables_of(target)


class TestFailures:
    """Undone, written down, and tried again."""

    def test_a_migration_that_fails_on_the_target(self, tmp_path: Path, target: str) -> None:
        folder = Folder(tmp_path / "own")
        folder.add(1, 'self.execute_sql("CREATE TABLE t1 (id INTEGER PRIMARY KEY)")')
        folder.add(2, "if 'source' not in str(self.db.engine.url): raise RuntimeError('not here')")
        Migrator(tmp_path / "source.db", folder.path).migrate()
        with pytest.raises(MigrationFailed, match="not here"):
            Migrator(target, folder.path).copy_from(tmp_path / "source.db")
        assert set(tables_of(target)) == OWN
        newest = Migrator(target, folder.path).get_migration_history()[0]
        assert (newest["operation"], newest["success"]) == ("copy", False)
        assert Migrator(target, folder.path).get_current_version() == 0

    def test_a_row_that_the_target_refuses(self, tmp_path: Path, target: str) -> None:
        folder = Folder(tmp_path / "own")
        folder.add(1, 'self.execute_sql("CREATE TABLE t1 (id INTEGER PRIMARY KEY, n INTEGER NOT NULL CHECK (n > 0))")')
        source = tmp_path / "source.db"
        Migrator(source, folder.path).migrate()
        run(f"sqlite:///{source}", "PRAGMA ignore_check_constraints = ON", "INSERT INTO t1 VALUES (1, -5)")
        with pytest.raises(CopyError, match="rows of t1"):
            Migrator(target, folder.path).copy_from(source)
        assert set(tables_of(target)) == OWN
        run(f"sqlite:///{source}", "UPDATE t1 SET n = 5")
        assert Migrator(target, folder.path).copy_from(source).rows == 1
        history = [(e["operation"], e["success"]) for e in Migrator(target, folder.path).get_migration_history()]
        assert history[0] == ("copy", True)
        assert ("copy", False) in history

    @pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
    def test_rows_whose_parent_is_gone(self, kind: str, migrations: Path, tmp_path: Path) -> None:
        source = source_in("sqlite", f"sqlite:///{tmp_path / 'source.db'}", migrations)
        run(source, "INSERT INTO pairs VALUES (777, 2)")
        with empty(kind, tmp_path) as target:
            with pytest.raises(CopyError, match="pairs refer to rows"):
                Migrator(target, migrations).copy_from(source)
            assert set(tables_of(target)) == OWN

    def test_such_rows_stay_as_they_are_where_nobody_asks(self, migrations: Path, tmp_path: Path) -> None:
        source = source_in("sqlite", f"sqlite:///{tmp_path / 'source.db'}", migrations)
        run(source, "INSERT INTO pairs VALUES (777, 2)")
        Migrator(tmp_path / "plain.db", migrations).copy_from(source)
        assert rows(f"sqlite:///{tmp_path / 'plain.db'}") == rows(source)
        engine = enforcing(f"sqlite:///{tmp_path / 'strict.db'}")
        with pytest.raises(CopyError, match="pairs refer to rows"):
            Migrator(engine, migrations).copy_from(source)
        engine.dispose()

    def test_what_the_target_alters_is_noticed(self, tmp_path: Path) -> None:
        """A type of other affinity makes a number of a text, and another number of a number."""
        folder = Folder(tmp_path / "own")
        folder.add(
            1,
            "kind = 'TEXT' if 'source' in str(self.db.engine.url) else 'INTEGER'\n"
            'self.execute_sql(f"CREATE TABLE t1 (id INTEGER PRIMARY KEY, n {kind})")',
        )
        source = tmp_path / "source.db"
        Migrator(source, folder.path).migrate()
        run(f"sqlite:///{source}", "INSERT INTO t1 VALUES (1, '007')")
        with pytest.raises(CopyMismatch) as caught:
            Migrator(tmp_path / "target.db", folder.path).copy_from(source)
        assert caught.value.table == "t1"
        assert set(tables_of(f"sqlite:///{tmp_path / 'target.db'}")) == OWN


def enforcing(url: str) -> Engine:
    from sqlalchemy import event

    engine = create_engine(url)
    event.listen(engine, "connect", lambda raw, _: raw.execute("PRAGMA foreign_keys = ON"))
    return engine
