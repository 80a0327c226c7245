"""The records: history, adoption, and databases that the original system made."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime

import pytest
from conftest import Folder, contents
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import OperationalError

from sqlmig import Migrator, UnknownVersion, VersionTracker

ORIGINAL = """
CREATE TABLE migration_versions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    version INTEGER UNIQUE NOT NULL,
    description TEXT NOT NULL,
    applied_at DATETIME DEFAULT CURRENT_TIMESTAMP,
    execution_time_ms INTEGER,
    rollback_supported BOOLEAN DEFAULT FALSE,
    checksum TEXT,
    metadata TEXT
);
CREATE TABLE migration_history (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    version INTEGER NOT NULL,
    description TEXT NOT NULL,
    operation TEXT NOT NULL CHECK(operation IN ('apply', 'rollback')),
    started_at DATETIME NOT NULL,
    completed_at DATETIME,
    execution_time_ms INTEGER,
    success BOOLEAN NOT NULL DEFAULT FALSE,
    error_message TEXT,
    metadata TEXT
);
CREATE INDEX idx_history_version ON migration_history(version);
CREATE VIEW failed AS SELECT * FROM migration_history WHERE success = 0;
CREATE TRIGGER history_is_kept BEFORE DELETE ON migration_history BEGIN SELECT RAISE(ABORT, 'kept'); END;
INSERT INTO migration_versions (version, description, checksum, metadata) VALUES
    (1, 'one', 'd41d8cd98f00b204e9800998ecf8427e', '{"by": "original"}'), (2, 'two', NULL, 'not json');
INSERT INTO migration_history (version, description, operation, started_at, completed_at, execution_time_ms, success)
VALUES (1, 'one', 'apply', '2024-03-01T10:00:00', '2024-03-01T10:00:01', 900, 1),
       (2, 'two', 'apply', '2024-03-02 10:00:00', 'garbage', 100, 1);
CREATE TABLE t1 (id INTEGER PRIMARY KEY, n TEXT);
CREATE TABLE t2 (id INTEGER PRIMARY KEY, n TEXT);
PRAGMA user_version = 2;
"""


@pytest.fixture
def original(url: str) -> Engine:
    raw = sqlite3.connect(url.removeprefix("sqlite:///"))
    raw.executescript(ORIGINAL)
    raw.close()
    return create_engine(url)


def test_a_database_of_the_original_system_opens_with_its_history(original: Engine, folder: Folder) -> None:
    for version in (1, 2, 3):
        folder.table(version)
    migrator = Migrator(original, folder.path)
    assert migrator.get_current_version() == 2
    assert [entry["version"] for entry in migrator.get_migration_history()] == [2, 1]
    assert migrator.get_migration_plan().estimated_time_ms == 500
    assert migrator.migrate().applied == [3]
    newest, two, one = migrator.get_migration_history()
    assert (newest["version"], two["completed_at"], one["started_at"]) == (
        3,
        "garbage",
        datetime(2024, 3, 1, 10, tzinfo=UTC),
    )
    with original.begin() as connection:
        names = {row[0] for row in connection.exec_driver_sql("SELECT name FROM sqlite_master")}
        assert {"idx_history_version", "failed", "history_is_kept"} <= names
        assert connection.exec_driver_sql("SELECT count(*) FROM failed").scalar() == 0
        assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
    migrator.stamp(3)
    assert migrator.rollback_to_version(1).rolled_back == [3, 2]


def test_a_database_of_the_original_system_at_head_is_upgraded_once(original: Engine, folder: Folder) -> None:
    for version in (1, 2):
        folder.table(version)
    assert Migrator(original, folder.path).migrate().applied == []
    with original.connect() as connection:
        before = connection.exec_driver_sql("PRAGMA schema_version").scalar()
    migrator = Migrator(original, folder.path)
    assert migrator._version_at_head() == 2
    assert migrator.migrate().applied == []
    with original.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA schema_version").scalar() == before


@pytest.mark.proves("Taken over: `PRAGMA user_version`", sqlite="yes")
def test_user_version_is_adopted(url: str, folder: Folder) -> None:
    for version in (1, 2, 3):
        folder.table(version)
    raw = sqlite3.connect(url.removeprefix("sqlite:///"))
    raw.executescript("CREATE TABLE t1 (id, n); CREATE TABLE t2 (id, n); PRAGMA user_version = 2;")
    raw.close()
    migrator = Migrator(url, folder.path)
    assert migrator.get_current_version() == 2
    assert migrator.get_migration_status().pending_versions == [3]
    assert migrator.migrate().applied == [3]
    apply, adopt = migrator.get_migration_history()
    assert (apply["operation"], adopt["operation"], adopt["version"]) == ("apply", "adopt", 2)
    assert adopt["metadata"]["versions"] == [1, 2]
    assert migrator.version_tracker.get_applied_versions() == [1, 2, 3]
    assert migrator.rollback_to_version(0)


def test_a_user_version_that_no_file_has_is_not_guessed_at(url: str, folder: Folder) -> None:
    folder.table(1)
    folder.table(5)
    raw = sqlite3.connect(url.removeprefix("sqlite:///"))
    raw.execute("PRAGMA user_version = 3")
    raw.close()
    migrator = Migrator(url, folder.path, out_of_order="apply")
    with pytest.raises(UnknownVersion):
        migrator.migrate()
    assert contents(migrator.db.engine)["version"] == 3


def test_records_in_tables_of_other_names(engine: Engine, folder: Folder) -> None:
    folder.table(1)
    migrator = Migrator(engine, folder.path, versions_table="vers", history_table="hist")
    assert migrator.migrate().applied == [1]
    assert migrator.migrate().applied == []
    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA user_version").scalar() == 0
    assert set(migrator.inspector.get_table_names()) == {"hist", "t1", "vers"}


def test_reading_creates_nothing(migrator: Migrator, folder: Folder, engine: Engine) -> None:
    folder.table(1)
    assert migrator.needs_migration()
    assert migrator.get_migration_history() == []
    assert migrator.get_migration_status().needs_migration
    assert migrator.get_schema_info().tables == []
    assert migrator.get_performance_statistics().total_rows == 0
    assert migrator.validate_schema()
    assert migrator.inspector.get_table_names() == []
    migrator.version_tracker.create_tables_if_not_exist()
    migrator.version_tracker.create_tables_if_not_exist()
    assert migrator.inspector.get_table_names() == ["migration_history", "migration_versions"]


def test_tables_of_a_new_database_are_made_by_migrating_it(migrator: Migrator, folder: Folder) -> None:
    folder.table(1)
    assert migrator.create_tables_if_not_exist().applied == [1]
    folder.table(2)
    assert not migrator.create_tables_if_not_exist().applied
    assert migrator.get_current_version() == 1


def test_tracker_by_itself(engine: Engine) -> None:
    tracker = VersionTracker(engine)
    assert (tracker.get_current_version(), tracker.get_applied_versions()) == (0, [])
    tracker.create_tables_if_not_exist()
    assert not tracker.is_applied(1)


def test_schema_info_and_statistics(migrator: Migrator, folder: Folder) -> None:
    folder.table(1)
    folder.add(
        2,
        'self.execute_sql("CREATE UNIQUE INDEX i ON t1 (lower(n))")\n'
        'self.execute_sql("CREATE INDEX j ON t1 (n)")\nself.execute_sql("CREATE VIEW v AS SELECT 1")',
    )
    migrator.migrate()
    info = migrator.get_schema_info()
    assert (info.current_version, info["target_version"], info.needs_migration) == (2, 2, False)
    assert [table["name"] for table in info["tables"]] == ["migration_history", "migration_versions", "t1"]
    assert "t1" in info.tables
    assert "t2" not in info.tables
    with pytest.raises(KeyError, match="there are migration_history, migration_versions, t1"):
        info.tables["t2"]
    table = info.tables["t1"]
    assert table["row_count"] == 1
    assert [column["name"] for column in table["columns"]] == ["id", "n"]
    assert table["columns"][1]["nullable"] is True
    assert [(index["name"], index["columns"], index["unique"]) for index in table.indexes] == [
        ("i", [None], True),
        ("j", ["n"], False),
    ]
    assert info.views == ["v"]
    statistics = migrator.get_performance_statistics()
    assert statistics["table_rows"]["t1"] == 1
    assert statistics.database_size_bytes == statistics.page_size * statistics.page_count > 0
    assert set(statistics.migration_timings) == {1, 2}
    assert migrator.optimize_database_performance().operations_performed == ["ANALYZE", "PRAGMA optimize"]


def test_validate_schema_finds_broken_references(migrator: Migrator, folder: Folder) -> None:
    folder.add(
        1,
        'self.execute_sql("CREATE TABLE p (id INTEGER PRIMARY KEY)")\n'
        'self.execute_sql("CREATE TABLE c (p REFERENCES p)")\nself.execute_sql("INSERT INTO c VALUES (7)")',
        extra="removes = ['c']",
    )
    migrator.migrate()
    report = migrator.validate_schema()
    assert not report
    assert "row 1 of c refers to a row of p" in report.issues[0]
    assert str(report) == report.issues[0]


def test_versions_that_the_original_system_had_no_row_for(url: str, folder: Folder) -> None:
    """Its predecessor knew user_version alone; rows began where it took over, and the higher of the two counted."""
    for version in range(1, 8):
        folder.table(version)
    raw = sqlite3.connect(url.removeprefix("sqlite:///"))
    raw.executescript(
        ORIGINAL.partition("INSERT INTO migration_versions")[0]
        + "INSERT INTO migration_versions (version, description) VALUES (3, 'three'), (4, 'four');"
        + "".join(f"CREATE TABLE t{n} (id INTEGER PRIMARY KEY, n TEXT);" for n in range(1, 7))
        + "PRAGMA user_version = 6"
    )
    raw.close()
    migrator = Migrator(url, folder.path)
    assert (migrator.get_current_version(), migrator.needs_migration()) == (6, True)
    assert migrator.migrate().applied == [7]
    apply, adopt = migrator.get_migration_history()
    assert (apply["version"], adopt["operation"]) == (7, "adopt")
    assert adopt["metadata"]["versions"] == [1, 2, 5, 6]
    assert migrator.version_tracker.get_applied_versions() == [1, 2, 3, 4, 5, 6, 7]
    assert migrator.manager.validate_migration_sequence() == []
    assert migrator.rollback_to_version(0).rolled_back == [7, 6, 5, 4, 3, 2, 1]


def test_rows_that_refer_to_the_original_history_stay(original: Engine, folder: Folder) -> None:
    """Its upgrade is no rebuild, which would delete them under `foreign_keys`."""
    with original.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE note (h REFERENCES migration_history (id) ON DELETE CASCADE)")
        connection.exec_driver_sql("INSERT INTO note VALUES (1)")
    event.listen(original, "connect", lambda raw, _: raw.execute("PRAGMA foreign_keys = ON"))
    original.dispose()
    for version in (1, 2):
        folder.table(version)
    migrator = Migrator(original, folder.path)
    migrator.migrate()
    migrator.stamp(1)
    assert contents(original)["rows"]["note"] == [(1,)]
    assert migrator.get_migration_history()[0]["operation"] == "stamp"
    assert migrator.validate_schema()


def test_an_upgrade_that_the_caller_undoes_leaves_the_connection_on_the_real_schema(
    original: Engine, folder: Folder
) -> None:
    """Another connection raises schema_version by as much as the upgrade had: the number alone would not show it."""

    def schema_version(connection: Connection) -> int:
        return int(connection.exec_driver_sql("PRAGMA schema_version").scalar_one())

    with original.connect() as connection:
        before = schema_version(connection)
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        Migrator(connection, folder.path).version_tracker.create_tables_if_not_exist()
        raised = schema_version(connection) - before
        connection.exec_driver_sql("SELECT state FROM migration_versions").all()
        connection.rollback()
        other = sqlite3.connect(str(original.url.database), isolation_level=None)
        for number in range(raised):
            other.execute(f"CREATE INDEX y{number} ON migration_history (description)")
        other.close()
        with pytest.raises(OperationalError, match="state"):
            connection.exec_driver_sql(
                "INSERT INTO migration_versions (version, description, state) VALUES (9, '', 'started')"
            )
        connection.rollback()
        assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
