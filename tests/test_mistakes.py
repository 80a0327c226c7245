"""What authors and operators get wrong: told, and without effect."""

from __future__ import annotations

import sqlite3
import textwrap
from contextlib import suppress
from pathlib import Path

import pytest
from conftest import Folder, contents
from sqlalchemy import Engine, create_engine, event

from sqlmig import (
    MigrationFailed,
    Migrator,
)

HEAD = "from sqlmig import BaseMigration\nclass A(BaseMigration):\n    version = 1\n"
LOOSE = "transactional = False"


def as_dict(cursor: sqlite3.Cursor, row: tuple[object, ...]) -> dict[str, object]:
    return dict(zip([column[0] for column in cursor.description], row, strict=True))


@pytest.mark.parametrize("factory", [sqlite3.Row, as_dict])
def test_row_factories_of_the_application(url: str, folder: Folder, factory: object) -> None:
    folder.table(1)
    Migrator(url, folder.path).migrate()
    engine = create_engine(url)
    event.listen(engine, "connect", lambda raw, _: setattr(raw, "row_factory", factory))
    migrator = Migrator(engine, folder.path)
    assert migrator._version_at_head() == 1
    assert migrator.migrate().applied == []


def test_named_parameters_as_the_engines_style(url: str, folder: Folder) -> None:
    folder.table(1)
    assert Migrator(create_engine(url, paramstyle="named"), folder.path).migrate().applied == [1]


@pytest.mark.parametrize("begin", ["BEGIN", "BEGIN IMMEDIATE"])
@pytest.mark.parametrize("how", ["self.connection.commit()", "self.connection.rollback()", "self.connection.close()"])
def test_a_joined_transaction_stays_the_callers(url: str, folder: Folder, begin: str, how: str) -> None:
    engine = create_engine(url)
    folder.add(1, how)
    with suppress(MigrationFailed), engine.begin() as connection:
        connection.exec_driver_sql(begin)
        connection.exec_driver_sql("CREATE TABLE mine (id)")
        Migrator(connection, folder.path).migrate()
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE yours (id)")
    assert [row[1] for row in contents(engine)["schema"]] == ["yours"]
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE mine (id)")
        with pytest.raises(MigrationFailed):
            Migrator(connection, folder.path).migrate()
    assert [row[1] for row in contents(engine)["schema"]] == ["mine", "yours"]


@pytest.mark.parametrize("kind", ["file", "memory"])
def test_adoption_with_something_pending_on_one_connection(url: str, folder: Folder, kind: str) -> None:
    from sqlalchemy.pool import StaticPool

    engine = create_engine(url if kind == "file" else "sqlite://", poolclass=StaticPool)
    for version in (1, 2, 3):
        folder.table(version)
    with engine.begin() as connection:
        for sql in ("CREATE TABLE t1 (id, n)", "CREATE TABLE t2 (id, n)", "PRAGMA user_version = 2"):
            connection.exec_driver_sql(sql)
    assert Migrator(engine, folder.path).migrate().applied == [3]


def test_stamping_over_a_file_that_does_not_load(migrator: Migrator, folder: Folder) -> None:
    folder.write("001_b.py", "import nothing_like_it\n")
    folder.table(2)
    migrator.stamp(2)
    assert migrator.version_tracker.get_applied_versions() == [1, 2]


def test_the_wrong_one_is_not_blamed_for_a_commit(url: str, folder: Folder) -> None:
    engine = create_engine(url)
    event.listen(engine, "connect", lambda raw, _: raw.execute("PRAGMA foreign_keys = ON"))
    folder.add(
        1,
        'self.execute_sql("CREATE TABLE p (id INTEGER PRIMARY KEY)")\n'
        'self.execute_sql("CREATE TABLE c (p REFERENCES p DEFERRABLE INITIALLY DEFERRED)")\n'
        'self.execute_sql("INSERT INTO c VALUES (7)")',
    )
    folder.table(2)
    with pytest.raises(MigrationFailed, match="at the COMMIT of all, so that one before it may be the cause"):
        Migrator(engine, folder.path).migrate(all_or_nothing=True)
    with pytest.raises(MigrationFailed, match=r"Migration 1 .* FOREIGN KEY"):
        Migrator(engine, folder.path).migrate()


def test_an_attached_history_that_another_process_changes(tmp_path: Path, folder: Folder) -> None:
    from sqlalchemy.pool import StaticPool

    def attached() -> Engine:
        engine = create_engine("sqlite://", poolclass=StaticPool)
        event.listen(engine, "connect", lambda raw, _: raw.execute(f"ATTACH '{tmp_path / 'aux.db'}' AS aux"))
        return engine

    folder.add(1, "self.execute_sql('CREATE TABLE aux.t (id)')")
    told: list[list[int]] = []

    def progress(*_: object) -> None:
        if not told:
            told.append(Migrator(attached(), folder.path, schema="aux").migrate().applied)

    assert Migrator(attached(), folder.path, schema="aux", progress=progress).migrate().applied == []
    assert told == [[1]]


def test_another_process_goes_past_the_target(engine: Engine, folder: Folder, url: str) -> None:
    folder.table(1)
    folder.table(2)
    folder.add(3)
    other, told = Migrator(url, folder.path), []

    def progress(*_: object) -> None:
        if not told:
            told.append(other.migrate().applied)

    assert Migrator(engine, folder.path, progress=progress).migrate_to_version(2).applied == []
    assert other.get_current_version() == 3


# Packages and helpers


def test_helpers_and_packages_of_the_original_layout(migrator: Migrator, folder: Folder) -> None:
    folder.write("__init__.py", "PREFIX = 'p'\n")
    folder.write("_common.py", "from ..base import BaseMigration\nclass Common(BaseMigration): pass\n")
    folder.write(
        "001_a.py",
        textwrap.dedent(
            """\
            from . import PREFIX
            from ._common import Common
            class A(Common):
                version = 1
                def up(self):
                    self.execute_sql(f"CREATE TABLE {PREFIX} (id)")
            """
        ),
    )
    assert migrator.migrate().applied == [1]
    assert migrator.inspector.has_table("p")


def test_a_migrations_own_log_can_be_configured(
    migrator: Migrator, folder: Folder, caplog: pytest.LogCaptureFixture
) -> None:
    path = folder.add(1, 'logging.getLogger(__name__).info("half way"); self.execute_sql("CREATE TABLE t (id)")')
    path.write_text("import logging\n" + path.read_text())
    with caplog.at_level("DEBUG", logger="sqlmig"), caplog.at_level("DEBUG", logger="sqlmig_migrations"):
        migrator.migrate()
    assert [record.message.split(" in ")[0] for record in caplog.records] == [
        "half way",
        "CREATE TABLE t (id)",
        "applied 001 step 1",
    ]
