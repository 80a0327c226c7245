"""Databases of tests on PostgreSQL and MariaDB: templates, copies, and what killed runs have left."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Folder
from native_databases import by_driver, scratch_database
from places import at_once
from resumable_support import in_child
from scratch_databases import own_database
from sqlalchemy import create_engine, inspect, text
from sqlalchemy.engine import URL, Engine
from sqlalchemy.pool import NullPool

from sqlmig import ConfigurationError, Migrator
from sqlmig.testing import Checks, Databases, Fault, NotTried, Prepared
from sqlmig.testing import postgresql as on_postgresql
from sqlmig.testing.fingerprint import digest

_CHILD = (
    "id INTEGER PRIMARY KEY, person INTEGER NOT NULL, FOREIGN KEY (person) REFERENCES people (id) ON DELETE CASCADE"
)


class Kept:
    """An application's migrations, and the server that its tests have databases on."""

    def __init__(self, folder: Folder, url: URL, log: Path) -> None:
        self.folder, self.url, self.log = folder, url, log
        self._admin = create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")

    def add(self, version: int, up: str, down: str | None = None, extra: str = "") -> None:
        """A migration of these statements, which tells that it was run."""
        lines = [f"open({str(self.log)!r}, 'a').write('{version} ')", *_calls(up)]
        self.folder.add(version, "\n".join(lines), "\n".join(_calls(down)) if down else None, extra)

    def databases(self, **options: Any) -> Databases:
        return Databases(self.folder.path, database=options.pop("database", self.url), **options)

    def runs(self) -> list[str]:
        found = self.log.read_text().split() if self.log.exists() else []
        self.log.unlink(missing_ok=True)
        return found

    def names(self, kind: str = "") -> list[str]:
        """The databases that were made beside the one of this test."""
        with self._admin.connect() as connection:
            if self.url.get_backend_name() == "postgresql":
                place = connection.exec_driver_sql("SELECT oid FROM pg_database WHERE datname = current_database()")
                listed, mark = "SELECT datname FROM pg_database", f"_{place.scalar()}_"
            else:
                listed, mark = "SHOW DATABASES", f"_{digest(str(self.url.database))[:6]}_"
            found = list(connection.exec_driver_sql(listed).scalars())
        return [name for name in found if name.startswith(f"sqlmig_{kind}") and mark in name]

    def clear(self) -> None:
        with self._admin.connect() as connection:
            for name in self.names():
                connection.exec_driver_sql(f"DROP DATABASE IF EXISTS {name}")


def _calls(statements: str) -> list[str]:
    return [f"self.execute_sql({statement!r})" for statement in statements.splitlines()]


def filled(folder: Folder, url: URL, tmp_path: Path) -> Kept:
    found = Kept(folder, url, tmp_path / "log")
    found.add(1, "CREATE TABLE people (id INTEGER PRIMARY KEY, name VARCHAR(40) NOT NULL)", "DROP TABLE people")
    found.add(
        2,
        f"CREATE TABLE notes ({_CHILD})\nINSERT INTO people VALUES (1, 'Ada')",
        "DROP TABLE notes\nDELETE FROM people WHERE id = 1",
    )
    return found


@pytest.fixture
def on_server(folder: Folder, tmp_path: Path) -> Iterator[Kept]:
    """On PostgreSQL, beside a database of the test's own, so that nobody else's are seen."""
    with own_database() as url:
        found = filled(folder, url, tmp_path)
        yield found
        found.clear()


@pytest.fixture
def on_mariadb(folder: Folder, tmp_path: Path) -> Iterator[Kept]:
    with scratch_database("mariadb") as own:
        found = filled(folder, by_driver(own.connection.engine.url, "mysql+pymysql"), tmp_path)
        yield found
        found.clear()


def people(engine: Engine) -> list[str]:
    with engine.connect() as connection:
        return list(connection.exec_driver_sql("SELECT name FROM people ORDER BY id").scalars())


def add_somebody(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("INSERT INTO people VALUES (2, 'Grace')")


# PostgreSQL


@pytest.mark.thorough
def test_each_has_a_copy_of_its_own(on_server: Kept, tmp_path: Path) -> None:
    with on_server.databases() as databases:
        for _ in range(2):
            with databases.engine() as engine, databases.url(tmp_path) as url:
                assert people(engine) == people(create_engine(url, poolclass=NullPool)) == ["Ada"]
                add_somebody(engine)
                assert Migrator(engine, on_server.folder.path).migrate().applied == []
        with databases.engine(0) as engine:
            assert inspect(engine).get_table_names() == []
        with databases.at(1) as old:
            old.db.execute("INSERT INTO people VALUES (?, ?)", (7, "old"))
            assert old.migrate().applied == [2]
            assert people(old.engine) == ["Ada", "old"]
        assert on_server.names("copy") == []
    assert len(on_server.names("template")) == 2
    assert on_server.runs() == ["1", "2", "1", "2"]
    with on_server.databases() as databases, databases.engine() as engine:
        assert people(engine) == ["Ada"]
    assert on_server.runs() == []
    on_server.add(3, "CREATE TABLE more (id INTEGER PRIMARY KEY)")
    with on_server.databases() as databases, databases.engine() as engine:
        assert inspect(engine).has_table("more")
    assert on_server.runs() == ["3"]


def look(kept: Kept) -> None:
    with kept.databases() as databases, databases.engine() as engine:
        assert people(engine) == ["Ada"]


def test_one_process_of_many_makes_it(on_server: Kept) -> None:
    assert at_once(4, lambda: look(on_server)) == [0] * 4
    assert on_server.runs() == ["1", "2"]
    assert len(on_server.names("template")) == 1
    assert on_server.names("copy") == []


def test_what_a_killed_run_has_left_is_dropped(on_server: Kept) -> None:
    def die(engine: Engine) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def die_using(kept: Kept) -> None:
        with kept.databases() as databases, databases.engine() as engine:
            die(engine)

    assert in_child(lambda: die_using(on_server)) == signal.SIGKILL
    assert len(on_server.names("copy")) == 1
    with on_server.databases(prepare=Prepared(die, "1")) as alive, alive.engine(2) as engine:
        # Those of a run that lives stay.
        assert in_child(lambda: prepare_in(on_server, die)) == signal.SIGKILL
        look(on_server)
        assert people(engine) == ["Ada"]
        assert len(on_server.names("copy")) == 1
    assert on_server.names("copy") == []
    assert len(on_server.names("template")) == 1


def prepare_in(kept: Kept, fill: Any) -> None:
    with kept.databases(prepare=Prepared(fill, "1")) as databases, databases.engine():
        pass


@pytest.mark.thorough
def test_killed_at_each_statement_it_leaves_nothing_half_made(on_server: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """At each of those beside the migrations that change anything: a database counts only when it has its name."""
    from sqlmig.testing.server import Server

    ask = Server._ask
    for at in range(1, 60):

        def deadly(self: Server, sql: str, left: list[int] = [at]) -> Any:  # noqa: B006
            left[0] -= sql.startswith(("CREATE", "ALTER", "COMMENT", "DROP", "SELECT pg_terminate"))
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return ask(self, sql)

        def run(deadly: Any = deadly) -> None:
            Server._ask = deadly  # type: ignore[method-assign]
            look(on_server)

        ended = in_child(run)
        if ended == 0:
            break
        assert ended == signal.SIGKILL
        look(on_server)
        assert on_server.names("copy") == []
        on_server.clear()
    assert 6 < at < 59


def test_it_goes_on_when_the_server_has_ended_its_connection(on_server: Kept) -> None:
    with on_server.databases() as databases, databases.engine() as engine:
        server = databases.home.server  # type: ignore[attr-defined]
        [[number]] = server.ask("SELECT pg_backend_pid()")
        admin = create_engine(on_server.url, poolclass=NullPool)
        with admin.connect() as connection:
            connection.exec_driver_sql(f"SELECT pg_terminate_backend({number}, 5000)")
        with databases.engine() as other:
            assert people(engine) == people(other) == ["Ada"]
        # Its lock is taken again, so that nobody drops what it uses.
        look(on_server)
        assert people(engine) == ["Ada"]
    assert on_server.names("copy") == []


def test_old_templates_are_dropped(on_server: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(on_postgresql, "KEPT", 2)
    for number in range(4):
        on_server.add(2, f"CREATE TABLE notes{number} ({_CHILD})\nINSERT INTO people VALUES (1, 'Ada')")
        look(on_server)
    assert len(on_server.names("template")) == 2


def test_it_is_prepared_once(on_server: Kept) -> None:
    for _ in range(2):
        with on_server.databases(prepare=Prepared(add_somebody, "1")) as databases, databases.engine() as engine:
            assert people(engine) == ["Ada", "Grace"]
    assert on_server.runs() == ["1", "2"]
    assert len(on_server.names("template")) == 2


def test_a_user_who_may_make_no_database(on_server: Kept) -> None:
    admin = create_engine(on_server.url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.exec_driver_sql("CREATE ROLE sqlmig_test_poor LOGIN PASSWORD 'poor'")
        try:
            url = on_server.url.set(username="sqlmig_test_poor", password="poor")
            with (
                pytest.raises(ConfigurationError, match=r"ALTER ROLE .*sqlmig_test_poor.* CREATEDB"),
                on_server.databases(database=url) as databases,
                databases.engine(),
            ):
                pass
        finally:
            connection.exec_driver_sql("DROP ROLE sqlmig_test_poor")


async def names(engine: Any) -> list[str]:
    async with engine.connect() as connection:
        return list(await connection.scalars(text("SELECT name FROM people ORDER BY id")))


@pytest.mark.parametrize("driver", ["postgresql+psycopg", "postgresql+asyncpg", "postgresql+psycopg2"])
def test_an_asynchronous_engine_in_any_event_loop(on_server: Kept, driver: str) -> None:
    if driver.endswith("psycopg2"):
        pytest.importorskip("psycopg2")
    with on_server.databases(database=on_server.url.set(drivername=driver)) as databases:
        with databases.async_engine() as engine:
            assert asyncio.run(names(engine)) == asyncio.run(names(engine)) == ["Ada"]
        # What a test leaves open is ended.
        with databases.async_engine() as engine:
            asyncio.run(leave_open(engine))
    assert on_server.names("copy") == []


async def leave_open(engine: Any) -> None:
    connection = await engine.connect()
    await connection.execute(text("INSERT INTO people VALUES (3, 'left')"))
    # Its own end would be in an event loop that is closed.
    await connection.get_raw_connection()
    connection.sync_connection.detach()


def test_where_there_is_asyncpg_only(on_server: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sqlmig.testing.server.find_spec", lambda name: None)
    url = on_server.url.set(drivername="postgresql+asyncpg")
    prepare = Prepared(add_somebody, "1")
    with on_server.databases(database=url, prepare=prepare) as databases:
        with databases.async_engine() as engine:
            assert asyncio.run(names(engine)) == ["Ada", "Grace"]
        with pytest.raises(ConfigurationError, match=r"makes asynchronous engines only.*\n.*\nInstall psycopg"):
            databases.engine().__enter__()

        async def inside() -> None:
            # Where an event loop runs already.
            with databases.async_engine(1) as engine:
                assert await names(engine) == []

        asyncio.run(inside())


# The ready-made tests there


def said(checks: Checks, name: str, version: int) -> str:
    """What a check says: a fault, why it was not tried, or nothing."""
    try:
        getattr(checks, name)(version)
    except (Fault, NotTried) as error:
        return f"{type(error).__name__}: {error}"
    return ""


@pytest.mark.thorough
@pytest.mark.parametrize("server", ["on_server", "on_mariadb"])
def test_checks_find_faults_on_servers(server: str, request: pytest.FixtureRequest) -> None:
    kept: Kept = request.getfixturevalue(server)
    kept.add(3, "ALTER TABLE people ADD COLUMN age INTEGER", "ALTER TABLE people DROP COLUMN age")
    leaves = "ALTER TABLE people ADD COLUMN x INTEGER\nCREATE INDEX people_name ON people (name)"
    kept.add(4, leaves, "ALTER TABLE people DROP COLUMN x")
    kept.add(5, "DELETE FROM notes", extra="rollback_supported = False")
    kept.add(
        6, "ALTER TABLE people ADD COLUMN y INTEGER", "ALTER TABLE people DROP COLUMN y\nUPDATE people SET age = NULL"
    )
    kept.add(7, "ALTER TABLE people ADD CONSTRAINT short CHECK (name IN ('Ada', 'Grace'))")
    with kept.databases() as databases:
        checks = Checks(databases)
        for version in (2, 3):
            assert not any(said(checks, name, version) for name in ("up_down_up", "keeps_rows", "gives_rows_back"))
        found = said(checks, "up_down_up", 4)
        assert found.startswith("Fault: Migration 004, rolled back, does not leave the schema as it was")
        assert "people_name" in found
        assert said(checks, "up_down_up", 5).startswith("NotTried: migration 005 was applied")
        assert "Migration 005 loses sample rows, or values of them.\n  notes: 3 rows" in said(checks, "keeps_rows", 5)
        assert said(checks, "gives_rows_back", 6).startswith("Fault: Migration 006")
        found = said(checks, "keeps_rows", 7)
        assert found.startswith("Fault: Migration 007 works on an empty database only")
    assert kept.names("copy") == []


# MariaDB


def test_mariadb_migrates_for_each(on_mariadb: Kept, tmp_path: Path) -> None:
    with on_mariadb.databases() as databases:
        with databases.engine() as engine, databases.engine() as other, databases.url(tmp_path) as url:
            add_somebody(engine)
            assert people(other) == people(create_engine(url, poolclass=NullPool)) == ["Ada"]
        with databases.at(1) as old:
            assert old.migrate().applied == [2]
        pytest.importorskip("aiomysql")
        with databases.async_engine() as engine:
            assert asyncio.run(names(engine)) == ["Ada"]
        # What a test leaves open holds nothing up.
        with databases.engine() as engine:
            raw = engine.raw_connection()
            raw.cursor().execute("SELECT * FROM people")
            raw.detach()
    assert on_mariadb.names("copy") == []


def test_what_a_killed_run_has_left_on_mariadb_is_dropped(on_mariadb: Kept) -> None:
    def die() -> None:
        with on_mariadb.databases() as databases, databases.engine():
            os.kill(os.getpid(), signal.SIGKILL)

    with on_mariadb.databases() as alive, alive.engine() as engine:
        assert in_child(die) == signal.SIGKILL
        look(on_mariadb)
        assert people(engine) == ["Ada"]
        assert len(on_mariadb.names("copy")) == 1
    assert on_mariadb.names("copy") == []
