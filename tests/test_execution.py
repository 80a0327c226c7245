"""Applying, skipping, failing and rolling back."""

from __future__ import annotations

import logging

import pytest
from conftest import Folder, contents, failures
from sqlalchemy import Engine

from sqlmig import (
    ConfigurationError,
    MigrationFailed,
    Migrator,
    RollbackNotSupported,
    UnknownVersion,
    ValidationFailed,
)


def test_up_and_down_to_versions(migrator: Migrator, folder: Folder, engine: Engine) -> None:
    states = [contents(engine)]
    for version in (1, 2, 3):
        folder.table(version)
    for version in (1, 2, 3):
        assert migrator.migrate_to_version(version).applied == [version]
        states.append(contents(engine))
    assert migrator.migrate_to_version(2).rolled_back == [3]
    assert contents(engine) == states[2]
    assert migrator.rollback_to_version(0).rolled_back == [2, 1]
    assert contents(engine) == states[0]
    assert migrator.migrate_to_version(0).direction == "none"


def test_a_down_that_only_says_no_is_no_way_back(migrator: Migrator, folder: Folder) -> None:
    """As the template writes it; what does anything else is carried out."""
    folder.add(1, "pass", "raise NotImplementedError('it would lose data')")
    folder.add(2, "pass", "if self.db.fetch_one('SELECT 1'): raise NotImplementedError")
    migrator.migrate()
    with pytest.raises(RollbackNotSupported, match="Migration 1"):
        migrator.rollback_to_version(0)
    with pytest.raises(MigrationFailed, match="NotImplementedError"):
        migrator.rollback_to_version(1)


def test_targets_that_do_not_exist(migrator: Migrator, folder: Folder, engine: Engine) -> None:
    folder.table(1)
    folder.table(2)
    migrator.migrate_to_version(1)
    before = contents(engine)
    with pytest.raises(UnknownVersion, match=r"no migration with version 9[^$]*nearest is 2"):
        migrator.migrate_to_version(9)
    with pytest.raises(ConfigurationError, match="above the current version 1"):
        migrator.rollback_to_version(2)
    with pytest.raises(ConfigurationError, match="no version"):
        migrator.migrate_to_version("2")  # type: ignore[arg-type]
    assert migrator.manager.can_rollback_to(9)[0] is False
    assert migrator.manager.can_rollback_to(2)[0] is False
    assert contents(engine) == before


def test_plans_read_well_and_cost_nothing(migrator: Migrator, folder: Folder, engine: Engine) -> None:
    folder.table(1)
    folder.table(2, extra="dependencies = [1]")
    folder.add(3)
    before = contents(engine)
    plan = migrator.get_migration_plan()
    assert (plan.direction, plan.current_version, plan["target_version"]) == ("up", 0, 3)
    assert plan.migrations_to_apply[1] == {
        "version": 2,
        "description": "step 2",
        "dependencies": [1],
        "rollback_supported": True,
        "removes": [],
    }
    assert plan.estimated_time_ms is None
    assert str(plan).splitlines() == [
        "Apply 3 migrations: version 0 -> 3",
        "  001  step 1",
        "  002  step 2  (needs 1)",
        "  003  step 3  (no way back)",
    ]
    assert contents(engine) == before
    with pytest.raises(AttributeError, match="frozen"):
        plan.direction = "down"  # type: ignore[misc]
    migrator.migrate_to_version(2)
    down = migrator.get_migration_plan(0)
    assert [step.version for step in down.migrations_to_rollback] == [2, 1]
    assert down.estimated_time_ms is not None
    assert "Roll back 2 migrations" in str(down)
    assert str(migrator.get_migration_plan(2)) == "Nothing to do: the database is at version 2."
    with pytest.raises(KeyError):
        plan["nothing"]


def test_progress_and_one_log_line_each(engine: Engine, folder: Folder, caplog: pytest.LogCaptureFixture) -> None:
    folder.table(1)
    folder.table(2)
    told: list[tuple[int, int, str]] = []
    migrator = Migrator(engine, folder.path, progress=lambda *step: told.append(step))
    with caplog.at_level(logging.INFO, logger="sqlmig"):
        migrator.migrate()
        assert [record.message.split(" in ")[0] for record in caplog.records] == [
            "applied 001 step 1",
            "applied 002 step 2",
        ]
        caplog.clear()
        migrator.migrate()
        assert caplog.records == []
    assert told == [(0, 2, "001 step 1"), (1, 2, "002 step 2"), (2, 2, "002 step 2")]


def test_outside_a_transaction(migrator: Migrator, folder: Folder, engine: Engine) -> None:
    folder.table(1)
    folder.add(2, 'self.execute_sql("VACUUM")', 'self.execute_sql("VACUUM")', "transactional = False")
    assert migrator.migrate().applied == [1, 2]
    assert migrator.rollback_to_version(0).rolled_back == [2, 1]
    assert migrator.migrate().applied == [1, 2]


def test_skipping_outside_a_transaction(migrator: Migrator, folder: Folder) -> None:
    folder.add(1, "raise ValueError", extra="transactional = False\ndef pre_migrate_checks(self): return False")
    assert migrator.migrate().skipped == [1]


@pytest.mark.parametrize("extra", ["", "transactional = False", "resumable = True"])
def test_an_interrupt_in_the_middle_of_a_statement_is_itself(
    folder: Folder, migrator: Migrator, engine: Engine, extra: str
) -> None:
    """Ctrl-C comes while SQLite is at work; SQLAlchemy then wants to give its connection up."""
    up = """import _thread, threading
threading.Timer(0.1, _thread.interrupt_main).start()
many = "WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < {}) "
for number in range(100):
    self.execute_sql(many.format(100_000) + "INSERT INTO t SELECT n FROM c")"""
    folder.add(1, 'self.execute_sql("CREATE TABLE t (n INTEGER)")')
    folder.add(2, up, extra=extra)
    with pytest.raises(KeyboardInterrupt):
        migrator.migrate()
    assert failures(migrator)[0]["metadata"]["error"] == "KeyboardInterrupt"
    with engine.connect() as connection:
        rows = connection.exec_driver_sql("SELECT count(*) FROM t").scalar_one()
    assert rows % 100_000 == 0
    assert rows == 0 or extra == "transactional = False"
    assert migrator.get_current_version() == 1


def test_a_version_too_large_for_user_version(engine: Engine, folder: Folder) -> None:
    folder.add(2147483648, name="2147483648_x.py")
    with pytest.raises(ConfigurationError, match="too large for PRAGMA user_version"):
        Migrator(engine, folder.path, out_of_order="apply").migrate()
    assert Migrator(engine, folder.path, out_of_order="apply", versions_table="mine").migrate()


def test_the_message_of_several_issues_names_each(migrator: Migrator, folder: Folder) -> None:
    folder.write("001_bad.py", "x = = 1")
    folder.write("003_bad.py", "y = = 1")
    with pytest.raises(ValidationFailed) as caught:
        migrator.migrate()
    assert len(caught.value.issues) == 3
    assert str(caught.value).count("\n  - ") == 3
