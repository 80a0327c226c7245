"""Operations inside migrations: undone with them, told with them, and whole when the process is killed."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from conftest import Folder, contents, failures
from resumable_support import in_child
from sqlalchemy import Column, Engine, Integer, String, create_engine, event

from sqlmig import BaseMigration, DataContradicts, MigrationFailed, Migrator, ObjectExists, Operations

SETUP = """
self.execute_sql("CREATE TABLE t (id INTEGER PRIMARY KEY, x INTEGER, n TEXT UNIQUE)")
self.execute_sql("CREATE INDEX ix ON t (x)")
self.execute_sql("CREATE TABLE kid (t_id INTEGER REFERENCES t(id) ON DELETE CASCADE)")
self.execute_sql("INSERT INTO t VALUES (1, 10, 'a'), (2, NULL, 'b')")
self.execute_sql("INSERT INTO kid VALUES (1), (2)")
"""
CHANGES = """
self.alter_column("t", "x", type_="TEXT", server_default="none")
self.create_check("t", "ck_n", "n <> ''")
self.add_column("t", Column("c", Integer, unique=True))
self.drop_constraint("t", kind="unique", columns=["n"])
self.drop_column("t", "n", cascade=True)
"""
IMPORTS = "from sqlalchemy import Column, Integer\n"


def add(folder: Folder, version: int, up: str, extra: str = "") -> None:
    path = folder.add(version, up, extra=f"removes = ['t.n']\n{extra}" if up.startswith(CHANGES) else extra)
    path.write_text(IMPORTS + path.read_text())


def test_a_failure_undoes_the_operations_before_it(folder: Folder, engine: Engine) -> None:
    add(folder, 1, SETUP)
    migrator = Migrator(engine, folder.path)
    migrator.migrate()
    before = contents(engine)
    add(folder, 2, f'{CHANGES}self.alter_column("t", "x", nullable=False)')
    with pytest.raises(MigrationFailed) as caught:
        migrator.migrate()
    assert isinstance(caught.value.__cause__, DataContradicts)
    for words in ("Migration 2", "t.x", "1 row with NULL", "id=2", "Then run it again: sqlmig up"):
        assert words in str(caught.value)
    assert contents(engine) == before
    assert "t.x" in failures(migrator)[-1]["error_message"]


def test_an_operation_outside_a_transaction_is_whole_by_itself(folder: Folder, engine: Engine) -> None:
    add(folder, 1, SETUP)
    loose = "transactional = False"
    add(folder, 2, CHANGES, loose)
    migrator = Migrator(engine, folder.path)
    migrator.migrate()
    before = contents(engine)
    add(folder, 3, 'self.alter_column("t", "x", nullable=False)', loose)
    with pytest.raises(MigrationFailed):
        migrator.migrate()
    assert contents(engine) == before


@pytest.mark.parametrize("settings", [{}, {"isolation_level": "AUTOCOMMIT"}])
def test_by_hand_over_a_plain_connection(url: str, settings: dict[str, str]) -> None:
    class Hand(BaseMigration):
        version = 1

    engine = create_engine(url, **settings)
    with engine.connect() as connection:
        hand = Hand(connection)
        hand.create_table("t", Column("id", Integer, primary_key=True))
        hand.add_column("t", Column("n", String(8)))
        with pytest.raises(ObjectExists):
            hand.add_column("t", Column("n", String(8)))
        assert hand.has_column("t", "n")
        connection.rollback()
    with engine.connect() as connection:
        assert Operations(connection).has_table("t") is bool(settings)


def test_killed_between_any_two_statements_the_database_is_as_it_was(tmp_path: Path, folder: Folder) -> None:
    add(folder, 1, SETUP)
    file = tmp_path / "app.db"
    engine = create_engine(f"sqlite:///{file}")
    Migrator(engine, folder.path).migrate()
    before = contents(engine)
    add(folder, 2, CHANGES)

    def migrate(left: int) -> None:
        deadly, events = create_engine(f"sqlite:///{file}"), iter(range(left, -1, -1))
        event.listen(deadly, "connect", spilling)
        event.listen(
            deadly, "before_cursor_execute", lambda *_: next(events) == 1 and os.kill(os.getpid(), signal.SIGKILL)
        )
        Migrator(deadly, folder.path).migrate()

    def spilling(raw: Any, _: object) -> None:
        for setting in ("foreign_keys = ON", "cache_spill = 1", "cache_size = 1"):
            raw.execute(f"PRAGMA {setting}")

    killed = 0
    for left in range(20, 10_000, 37):
        ended = in_child(lambda left=left: migrate(left))
        if ended == 0:
            break
        assert ended == signal.SIGKILL
        killed += 1
        assert contents(engine) == before
        with engine.connect() as connection:
            assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
    assert killed > 5
    assert contents(engine)["version"] == 2
    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
        assert connection.exec_driver_sql("SELECT * FROM kid").all() == [(1,), (2,)]
        assert connection.exec_driver_sql("SELECT id, x FROM t ORDER BY id").all() == [(1, "10"), (2, None)]
