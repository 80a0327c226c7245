"""Rehearsals on PostgreSQL that are locked out, killed and cut off: they end, and nothing of them stays."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from conftest import Folder
from rehearsal_support import added, at, copies, of, people, role
from resumable_support import in_child
from scratch_databases import own_database
from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.engine import URL
from sqlalchemy.pool import NullPool

from sqlmig import DatabaseLocked, DatabaseUnavailable


@pytest.fixture
def url() -> Iterator[URL]:
    with own_database() as url:
        yield url


@pytest.fixture
def engine(url: URL) -> Iterator[Engine]:
    engine = create_engine(url)
    yield engine
    engine.dispose()


def until(holds: Callable[[], Any]) -> None:
    """Wait until it holds; a minute is for machines that are busy."""
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize(
    "statement",
    ["LOCK TABLE t IN ACCESS EXCLUSIVE MODE", "CREATE OR REPLACE VIEW v AS SELECT i FROM t", "DROP INDEX ix"],
)
def test_what_somebody_has_for_himself_is_waited_for_no_longer_than_a_lock(
    url: URL, engine: Engine, folder: Folder, statement: str
) -> None:
    at(url, "CREATE TABLE t (i int)", "CREATE INDEX ix ON t (i)", "CREATE VIEW v AS SELECT i FROM t")
    people(folder)
    with engine.connect() as other:
        other.exec_driver_sql(statement)
        with pytest.raises(DatabaseLocked, match=r"server process \d+ of \w+ has \w+ locked"):
            of(engine, folder, lock_timeout=0.5).rehearse()
        asked = "SELECT count(*) FROM pg_locks WHERE NOT granted AND database = (SELECT oid FROM pg_database"
        assert at(url, f"{asked} WHERE datname = current_database())") == [(0,)]
    assert copies(engine) == []


def test_progress_is_told_by_the_thread_that_rehearses(url: URL, engine: Engine, folder: Folder) -> None:
    at(url, *(f"CREATE TABLE t{number} (i int)" for number in range(3)))
    people(folder)
    threads, messages = set(), []

    def told(_done: int, _total: int, message: str) -> None:
        threads.add(threading.get_ident())
        messages.append(message)

    assert of(engine, folder, progress=told).rehearse()
    assert threads == {threading.get_ident()}
    assert messages.count("copying the database") >= 4


@pytest.mark.parametrize("word", ["copying", "rehearsing", "rolling"])
def test_a_killed_rehearsal_leaves_nothing_at_work_and_is_tidied_up(
    url: URL, engine: Engine, folder: Folder, word: str
) -> None:
    at(url, *(f"CREATE TABLE t{number} AS SELECT generate_series(1, 50000) i" for number in range(4)))
    people(folder)

    def killed() -> None:
        def told(_done: int, _total: int, message: str) -> None:
            if message.startswith(word):
                os.kill(os.getpid(), signal.SIGKILL)

        of(create_engine(url), folder, progress=told).rehearse()

    assert in_child(killed) == signal.SIGKILL
    [left] = copies(engine)
    at_work = f"SELECT 1 FROM pg_stat_activity WHERE '{left}' IN (application_name, datname)"
    until(lambda: not at(url, at_work))
    assert of(engine, folder).rehearse()
    assert copies(engine) == []


def test_a_copy_that_is_in_use_is_left_alone(url: URL, engine: Engine, folder: Folder) -> None:
    people(folder)
    found: list[tuple[list[str], bool]] = []

    def told(_done: int, _total: int, message: str) -> None:
        if message.startswith("rehearsing") and not found:
            before = copies(engine)
            found.append((before, bool(of(engine, folder).rehearse())))
            assert copies(engine) == before

    assert of(engine, folder, progress=told).rehearse()
    [(before, well)] = found
    assert (len(before), well) == (1, True)
    assert copies(engine) == []


def test_an_interrupt_drops_the_copy(url: URL, engine: Engine, folder: Folder) -> None:
    at(url, "CREATE TABLE t AS SELECT generate_series(1, 50000) i")
    people(folder)
    for word in ("copying", "rehearsing"):

        def told(_done: int, _total: int, message: str, word: str = word) -> None:
            if message.startswith(word):
                os.kill(os.getpid(), signal.SIGINT)

        with pytest.raises(KeyboardInterrupt):
            of(engine, folder, progress=told).rehearse()
        assert copies(engine) == []


def test_of_four_processes_those_rehearse_that_migrate(url: URL, engine: Engine, folder: Folder) -> None:
    people(folder)
    added(folder, 2, ["ALTER TABLE people ADD COLUMN nick text"], ["ALTER TABLE people DROP COLUMN nick"])
    children = []
    for _ in range(4):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                own = create_engine(url)
                of(own, folder, lock_timeout=60).migrate(rehearse=True)
                code = 0
            finally:
                os._exit(code)
        children.append(child)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0, 0, 0, 0]
    assert of(engine, folder).get_current_version() == 2
    assert copies(engine) == []


ENDED = (
    "self.execute_sql('SELECT pg_terminate_backend(l.pid) FROM pg_locks l JOIN pg_database d ON d.oid = l.database"
    " WHERE l.locktype = ? AND d.datname = ?', ('advisory', {name!r}))\n"
)


def test_a_connection_that_the_server_ended_meanwhile(url: URL, engine: Engine, folder: Folder) -> None:
    folder.add(
        1, ENDED.format(name=url.database) + "self.execute_sql('CREATE TABLE t (i int)')", "self.drop_table('t')"
    )
    report = of(engine, folder).rehearse()
    assert report, str(report)
    assert copies(engine) == []
    # With the lock, it was that of the run as well.
    with pytest.raises(DatabaseUnavailable):
        of(engine, folder).migrate(rehearse=True)
    assert copies(engine) == []
    assert of(engine, folder).get_current_version() == 0


def test_a_server_that_ends_what_is_idle(url: URL, folder: Folder) -> None:
    at(url, f"ALTER DATABASE {url.database} SET idle_session_timeout = '200ms'")
    folder.add(1, "import time\ntime.sleep(0.6)\nself.execute_sql('CREATE TABLE t (i int)')", "self.drop_table('t')")
    engine = create_engine(url, pool_pre_ping=True)
    assert of(engine, folder).migrate(rehearse=True).applied == [1]
    time.sleep(0.4)
    assert copies(engine) == []
    engine.dispose()


def test_a_copy_that_cannot_be_dropped_is_told_and_dropped_later(url: URL, engine: Engine, folder: Folder) -> None:
    people(folder)
    with role("LOGIN CREATEDB") as user:
        at(url, f"ALTER DATABASE {url.database} OWNER TO {user}")
        own = create_engine(url.set(username=user), poolclass=NullPool)
        others: list[Connection] = []

        def told(_done: int, _total: int, message: str) -> None:
            if message.startswith("rehearsing") and not others:
                [name] = copies(engine)
                others.append(create_engine(url.set(database=name), poolclass=NullPool).connect())
                others[0].exec_driver_sql("SELECT 1")

        report = of(own, folder, progress=told).rehearse()
        [left] = copies(engine)
        assert f"the database {left} could not be dropped" in str(report.warnings)
        others[0].close()
        assert of(own, folder).rehearse().warnings == []
        assert copies(engine) == []
        at(url, f"REASSIGN OWNED BY {user} TO CURRENT_USER")
