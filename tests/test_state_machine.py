"""Any order of adding, migrating, failing, killing and rolling back, against a model of a few lines."""

from __future__ import annotations

import os
import signal
import tempfile
from pathlib import Path
from typing import Any

import pytest
from conftest import Folder, contents
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from sqlalchemy import create_engine, event
from sqlalchemy.pool import NullPool

from sqlmig import MigrationFailed, Migrator, RollbackNotSupported

UP = """self.execute_sql("CREATE TABLE t{n} (id INTEGER PRIMARY KEY, v TEXT)")
self.execute_sql("INSERT INTO t{n} (v) VALUES ('one'), ('two')")
self.execute_sql("UPDATE t{n} SET v = v || '!'")
"""
ROWS = [(1, "one!"), (2, "two!")]


class Life(RuleBasedStateMachine):
    """A database with an application over it; `applied` is what the application may believe."""

    def __init__(self) -> None:
        super().__init__()
        self.home = tempfile.TemporaryDirectory(dir=os.environ.get("PYTEST_DEBUG_TEMPROOT"))
        self.folder = Folder(Path(self.home.name) / "versions")
        self.url = f"sqlite:///{self.home.name}/app.db"
        self.files: list[bool] = []  # whether each has a way back
        self.applied = self.failures = self.successes = 0
        self.broken: int | None = None

    def teardown(self) -> None:
        self.home.cleanup()

    def migrator(self) -> Migrator:
        return Migrator(create_engine(self.url, poolclass=NullPool), self.folder.path)

    @rule(reversible=st.booleans(), breaks=st.booleans())
    def add_a_migration(self, reversible: bool, breaks: bool) -> None:
        n = len(self.files) + 1
        breaks = breaks and self.broken is None
        up = UP.format(n=n) + ('self.execute_sql("INSERT INTO nowhere VALUES (1)")' if breaks else "")
        self.folder.add(n, up, f'self.execute_sql("DROP TABLE t{n}")' if reversible else None)
        self.files.append(reversible)
        if breaks:
            self.broken = n

    @precondition(lambda self: self.broken is not None)
    @rule()
    def mend_the_broken_one(self) -> None:
        n = self.broken
        assert n is not None
        down = f'self.execute_sql("DROP TABLE t{n}")' if self.files[n - 1] else None
        self.folder.add(n, UP.format(n=n), down)
        self.broken = None

    @precondition(lambda self: self.files)
    @rule(together=st.booleans())
    def migrate(self, together: bool) -> None:
        pending = len(self.files) - self.applied
        if self.broken is not None and self.broken > self.applied:
            with pytest.raises(MigrationFailed):
                self.migrator().migrate(all_or_nothing=together)
            self.failures += 1
            reached = self.applied if together else self.broken - 1
        else:
            assert len(self.migrator().migrate(all_or_nothing=together).applied) == pending
            reached = len(self.files)
        self.successes += reached - self.applied
        self.applied = reached

    @precondition(lambda self: self.applied)
    @rule(data=st.data())
    def roll_back(self, data: st.DataObject) -> None:
        target = data.draw(st.integers(0, self.applied))
        if all(self.files[target : self.applied]):
            assert len(self.migrator().rollback_to_version(target).rolled_back) == self.applied - target
            self.successes += self.applied - target
            self.applied = target
        else:
            with pytest.raises(RollbackNotSupported):
                self.migrator().rollback_to_version(target)
            self.failures += 1

    @precondition(lambda self: self.files)
    @rule(statement=st.integers(1, 120))
    def be_killed(self, statement: int) -> None:
        """The process dies as its n-th statement begins; what it has committed by then is all that is there."""
        child = os.fork()
        if child == 0:
            migrate_and_die(self.url, self.folder.path, statement)
        os.waitpid(child, 0)
        reached = self.migrator().get_current_version()
        end = len(self.files) if self.broken is None or self.broken <= self.applied else self.broken - 1
        assert self.applied <= reached <= end
        self.successes += reached - self.applied
        self.applied = reached
        # It may have lived long enough to write down that the broken one failed.
        self.failures = sum(not entry["success"] for entry in self.migrator().get_migration_history())

    @invariant()
    def the_database_is_what_the_model_says(self) -> None:
        migrator = self.migrator()
        found = contents(migrator.db.engine)
        assert found["rows"] == {f"t{n}": ROWS for n in range(1, self.applied + 1)}
        assert found["version"] == self.applied
        assert migrator.version_tracker.get_applied_versions() == list(range(1, self.applied + 1))
        history = migrator.get_migration_history()
        assert sum(entry["success"] for entry in history) == self.successes
        assert sum(not entry["success"] for entry in history) == self.failures
        assert migrator.validate_schema()


def migrate_and_die(url: str, folder: Path, statement: int) -> None:
    """In a child process, which never comes back."""
    seen = 0

    def trace(sql: str) -> None:
        nonlocal seen
        seen += not sql.startswith("--")
        if seen == statement:
            os.kill(os.getpid(), signal.SIGKILL)

    def connected(raw: Any, _: object) -> None:
        raw.set_trace_callback(trace)

    try:
        engine = create_engine(url, poolclass=NullPool)
        event.listen(engine, "connect", connected)
        Migrator(engine, folder).migrate()
    finally:
        os._exit(0)


TestLife = Life.TestCase
TestLife.settings = settings(
    max_examples=25, stateful_step_count=15, deadline=None, suppress_health_check=list(HealthCheck)
)
