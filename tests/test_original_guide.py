"""What the guide of the original system shows its users still runs, in the order in which it shows it."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from conftest import Folder
from sqlalchemy import Engine

from sqlmig import (
    BaseMigration,
    DatabaseConnection,
    DatabaseMigrator,
    MigrationFailed,
    Migrator,
    ModularDatabaseMigrator,
    RollbackNotSupported,
)

LIBRARY = '''
"""
Migration 001: Readers and their books

Everything that the later ones build on.
"""

import logging
from typing import Any
from ..base import BaseMigration

logger = logging.getLogger(__name__)


class Library(BaseMigration):
    """Readers, books, and what is not converted yet."""

    @property
    def version(self) -> int:
        return 1

    @property
    def description(self) -> str:
        return "Readers and their books"

    def up(self) -> None:
        logger.info("Applying migration 001")
        self.execute_sql("CREATE TABLE users (id INTEGER PRIMARY KEY)")
        self.execute_sql("CREATE TABLE documents (id INTEGER PRIMARY KEY, created_at TEXT)")
        self.execute_sql("CREATE TABLE legacy (id INTEGER PRIMARY KEY, old TEXT, new TEXT, migrated INTEGER DEFAULT 0)")
        for n in range(2500):
            self.execute_sql("INSERT INTO legacy (old) VALUES (?)", (f"value {n}",))
'''

FULL = '''
import logging
from typing import Any
from ..base import BaseMigration

logger = logging.getLogger(__name__)


class Preferences(BaseMigration):
    @property
    def version(self) -> int:
        return 2

    @property
    def description(self) -> str:
        return "Preferences of each reader"

    @property
    def dependencies(self) -> list[int]:
        return [1]

    @property
    def rollback_supported(self) -> bool:
        return True

    def up(self) -> None:
        logger.info("Applying migration 002")
        self.create_table_if_not_exists(
            "preferences",
            """
            CREATE TABLE preferences (
                id INTEGER PRIMARY KEY AUTOINCREMENT,
                user_id INTEGER NOT NULL,
                name VARCHAR(100) NOT NULL,
                created_at DATETIME DEFAULT CURRENT_TIMESTAMP,
                FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE
            )
            """,
        )
        self.create_index_if_not_exists(
            "idx_preferences_user", "CREATE INDEX idx_preferences_user ON preferences(user_id)"
        )

    def down(self) -> None:
        logger.info("Rolling back migration 002")
        self.execute_sql("DROP TABLE IF EXISTS preferences")

    def pre_migrate_checks(self) -> bool:
        if not super().pre_migrate_checks():
            return False
        return True

    def post_migrate_checks(self) -> bool:
        return True
'''

COLUMN = """
    columns = self.db.fetch_all("PRAGMA table_info(documents)")
    names = [column["name"] for column in columns]
    if "language" not in names:
        self.execute_sql("ALTER TABLE documents ADD COLUMN language TEXT")
"""
DATA = """
    records = self.db.fetch_all("SELECT id, old FROM legacy WHERE migrated = 0")
    for record in records:
        self.execute_sql(
            "UPDATE legacy SET new = ?, migrated = 1 WHERE id = ?", (record["old"].upper(), record["id"])
        )
"""
INDEXES = """
    for name, sql in [
        ("idx_documents_created", "CREATE INDEX idx_documents_created ON documents(created_at DESC)"),
        ("idx_legacy_new", "CREATE INDEX idx_legacy_new ON legacy(new, migrated)"),
    ]:
        self.create_index_if_not_exists(name, sql)
"""
BATCHES = """
    size, offset, seen = 1000, 0, 0
    while True:
        records = self.db.fetch_all("SELECT * FROM legacy LIMIT ? OFFSET ?", (size, offset))
        if not records:
            break
        for record in records:
            seen += 1
        offset += size
    assert seen == 2500
"""
HELPERS = """
    assert self._get_current_version() == 6
    self._set_version(99)  # the runner's own value wins
    self.execute_sql_file("schema.sql")
"""
HANDLED = """
    try:
        self.execute_sql("CREATE TABLE")
    except Exception as error:
        logger.error(f"Migration failed: {error}")
        raise
"""


@pytest.fixture
def guide(folder: Folder) -> Folder:
    folder.write("001_library.py", LIBRARY)
    folder.write("002_preferences.py", FULL)
    folder.write("schema.sql", "CREATE TABLE from_file (a); INSERT INTO from_file VALUES ('semi;colon'); -- end;\n")
    for version, body in enumerate((COLUMN, DATA, INDEXES, BATCHES, HELPERS), start=3):
        folder.add(version, body, "pass")
    return folder


def test_checking_and_migrating(guide: Folder, tmp_path: Path) -> None:
    db = DatabaseConnection(str(tmp_path / "database.db"))
    migrator = ModularDatabaseMigrator(db, guide.path)
    assert (migrator.get_current_version(), migrator.needs_migration()) == (0, True)
    assert f"{migrator.get_migration_plan()}".startswith("Apply 7 migrations")
    result = migrator.migrate()
    assert result
    assert (migrator.get_current_version(), migrator.needs_migration()) == (7, False)
    assert db.fetch_one("PRAGMA user_version")[0] == 7  # type: ignore[index]
    assert db.fetch_one("SELECT new FROM legacy WHERE id = 1")["new"] == "VALUE 0"  # type: ignore[index]
    assert db.fetch_one("SELECT a FROM from_file")["a"] == "semi;colon"  # type: ignore[index]
    assert "language" in [column["name"] for column in db.fetch_all("PRAGMA table_info(documents)")]


def test_rolling_back(guide: Folder, tmp_path: Path) -> None:
    migrator = ModularDatabaseMigrator(DatabaseConnection(tmp_path / "database.db"), guide.path)
    migrator.migrate()
    success = migrator.rollback_to_version(5)
    assert success
    can_rollback, issues = migrator.manager.can_rollback_to(3)
    assert (can_rollback, issues) == (True, [])
    can_rollback, issues = migrator.manager.can_rollback_to(0)
    assert not can_rollback
    assert f"{issues}" == "['migration 1 (Readers and their books) does not support rollback']"


def test_history_status_and_figures(guide: Folder, tmp_path: Path) -> None:
    migrator = ModularDatabaseMigrator(DatabaseConnection(tmp_path / "database.db"), guide.path)
    migrator.migrate_to_version(2)
    lines = [f"{e['version']}: {e['description']} ({e['operation']})" for e in migrator.get_migration_history()]
    assert lines == ["2: Preferences of each reader (apply)", "1: Readers and their books (apply)"]
    status = migrator.manager.get_migration_status()
    assert (status["current_version"], status["target_version"]) == (2, 7)
    assert f"Status: {status}" == "Status: Version 2 of 7: 5 pending."
    assert migrator.manager.validate_migration_sequence() == []
    assert migrator.get_performance_statistics()["migration_count"] == 2
    assert [entry["execution_time_ms"] > 0 for entry in migrator.get_migration_history()] == [True, True]


class Made(BaseMigration):
    """A migration made by hand, as a test of it does."""

    version = 8
    description = "A table by hand"
    rollback_supported = True

    def up(self) -> None:
        self.execute_sql("CREATE TABLE new_table (id INTEGER PRIMARY KEY)")

    def down(self) -> None:
        self.execute_sql("DROP TABLE IF EXISTS new_table")


def test_testing_a_migration_by_hand(guide: Folder) -> None:
    db = DatabaseConnection(":memory:")
    migrator = ModularDatabaseMigrator(db, guide.path)
    migrator.migrate_to_version(5)
    migration = Made(db)
    assert migration.run() is True
    tables = db.fetch_all("SELECT name FROM sqlite_master WHERE type='table'")
    assert "new_table" in [t["name"] for t in tables]
    if migration.rollback_supported:
        assert migration.rollback() is True
    assert db.fetch_one("SELECT 1 FROM sqlite_master WHERE name = 'new_table'") is None
    assert migrator.get_current_version() == 5
    assert [entry["version"] for entry in migrator.get_migration_history()] == [5, 4, 3, 2, 1]


def test_a_rollback_that_the_author_refuses(migrator: Migrator, folder: Folder, engine: Engine) -> None:
    folder.add(
        1,
        "pass",
        'raise NotImplementedError("it would lose data")',
        "@property\ndef rollback_supported(self) -> bool:\n    return False",
    )
    migrator.migrate()
    with pytest.raises(RollbackNotSupported, match="Migration 1"):
        migrator.rollback_to_version(0)
    with pytest.raises(RollbackNotSupported):
        migrator.manager.create_migration(1).rollback()


def test_an_error_that_is_logged_and_raised_again(
    migrator: Migrator, folder: Folder, caplog: pytest.LogCaptureFixture
) -> None:
    path = folder.add(1, HANDLED)
    path.write_text("import logging\nlogger = logging.getLogger(__name__)\n" + path.read_text())
    with caplog.at_level(logging.ERROR), pytest.raises(MigrationFailed, match=r"incomplete input|syntax error"):
        migrator.migrate()
    assert any(record.message.startswith("Migration failed: ") for record in caplog.records)


def test_the_old_name_does_the_same(guide: Folder, tmp_path: Path) -> None:
    migrator = DatabaseMigrator(DatabaseConnection(str(tmp_path / "database.db")), guide.path)
    assert migrator.get_current_version() == 0
    assert migrator.migrate()
    info = migrator.get_schema_info()
    assert (info["current_version"], info["needs_migration"]) == (7, False)
    counts = {table["name"]: table["row_count"] for table in info["tables"]}
    assert counts["legacy"] == 2500
    migrator.set_version(6)
    assert migrator.get_current_version() == 6


def test_a_database_of_the_monolith_needs_no_intervention(guide: Folder, tmp_path: Path) -> None:
    """It knew its version by user_version alone."""
    db = DatabaseConnection(tmp_path / "database.db")
    db.execute("CREATE TABLE users (id INTEGER PRIMARY KEY)")
    db.execute("PRAGMA user_version = 2")
    db.execute("CREATE TABLE documents (id INTEGER PRIMARY KEY, created_at TEXT)")
    db.execute("CREATE TABLE legacy (id INTEGER PRIMARY KEY, old TEXT, new TEXT, migrated INTEGER DEFAULT 0)")
    migrator = ModularDatabaseMigrator(db, guide.path)
    assert migrator.get_current_version() == 2
    assert migrator.migrate_to_version(5).applied == [3, 4, 5]
    assert migrator.version_tracker.get_applied_versions() == [1, 2, 3, 4, 5]
