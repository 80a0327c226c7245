"""Rehearsals on PostgreSQL of databases, roles and engines of every kind, which lead to the copy as to the original."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
from conftest import Folder
from native_databases import available_extensions
from rehearsal_support import added, at, copies, database_called, of, role
from scratch_databases import own_database
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.exc import IntegrityError
from sqlalchemy.pool import NullPool, StaticPool

from sqlmig import ConfigurationError, DatabaseNotWritable, DatabaseUnavailable


@pytest.fixture
def url() -> Iterator[URL]:
    with own_database() as url:
        yield url


@pytest.fixture
def engine(url: URL) -> Iterator[Engine]:
    engine = create_engine(url)
    yield engine
    engine.dispose()


@pytest.mark.parametrize("name", ["dbname=other", "Übung \"x\" 'y' %s-\\z", "postgresql://elsewhere/test"])
def test_odd_names(folder: Folder, name: str) -> None:
    with database_called(name) as url:
        engine = create_engine(url)
        at(
            url,
            """CREATE TYPE "Kind%t" AS ENUM ('a%s:b', 'c''d')""",
            """CREATE TABLE "Odd %s:x" ("c%(a)s" "Kind%t", "q""uo" int)""",
            """INSERT INTO "Odd %s:x" VALUES ('a%s:b', 1)""",
            """CREATE FUNCTION "f%s"(int) RETURNS int LANGUAGE sql AS $$ SELECT 1 -- %s :x $1\n$$""",
        )
        added(folder, 1, ['ALTER TABLE "Odd %s:x" ADD "n:ew%" text'], ['ALTER TABLE "Odd %s:x" DROP "n:ew%"'])
        report = of(engine, folder).rehearse()
        assert report, str(report)
        assert report.steps[0].schema_difference == ['~ table Odd %s:x: + column "n:ew%" text']
        assert copies(engine) == []
        engine.dispose()


def test_a_service_of_the_environment_does_not_lead_elsewhere(
    url: URL, engine: Engine, folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    services = folder.path / "services"
    services.write_text("[other]\nhost=127.0.0.1\nport=1\ndbname=elsewhere\nuser=nobody\n")
    monkeypatch.setenv("PGSERVICEFILE", str(services))
    monkeypatch.setenv("PGSERVICE", "other")
    added(folder, 1, ["CREATE TABLE t (i int)"], ["DROP TABLE t"])
    assert of(engine, folder).rehearse()


@pytest.fixture
def owned() -> Iterator[tuple[URL, str, str]]:
    """A database of a role, to which another one can switch that logs in; with a table and a row."""
    with role("LOGIN CREATEDB") as owner, role(f"LOGIN NOINHERIT IN ROLE {owner}") as login, own_database() as url:
        at(url, f"ALTER DATABASE {url.database} OWNER TO {owner}")
        at(url.set(username=owner), "CREATE TABLE t (i int)", "INSERT INTO t VALUES (1)")
        yield url, owner, login


def nicknamed(folder: Folder) -> None:
    added(folder, 1, ["ALTER TABLE t ADD n text", "UPDATE t SET n = 'x'"], ["ALTER TABLE t DROP n"])


@pytest.mark.parametrize("by", ["listener", "option"])
def test_whoever_acts_as_another_role(owned: tuple[URL, str, str], folder: Folder, by: str) -> None:
    url, owner, login = owned
    engine = create_engine(
        url.set(username=login), connect_args={"options": f"-crole={owner}"} if by == "option" else {}
    )
    if by == "listener":

        @event.listens_for(engine, "connect")
        def act(raw: Any, _record: object) -> None:
            raw.execute(f"SET ROLE {owner}")
            raw.commit()

    nicknamed(folder)
    report = of(engine, folder).rehearse()
    assert report, str(report)
    assert report.steps[0].rows_touched == 1
    assert of(engine, folder).migrate(rehearse=True).applied == [1]
    assert copies(engine) == []
    engine.dispose()


def test_who_may_not_make_a_database_is_told_so(owned: tuple[URL, str, str], folder: Folder) -> None:
    url, owner, _ = owned
    at(url, f"ALTER ROLE {owner} NOCREATEDB")
    nicknamed(folder)
    with pytest.raises(ConfigurationError, match=f'ALTER ROLE "{owner}" CREATEDB'):
        of(create_engine(url.set(username=owner), poolclass=NullPool), folder).rehearse()


def test_what_cannot_be_read_is_said(owned: tuple[URL, str, str], folder: Folder) -> None:
    url, owner, _ = owned
    nicknamed(folder)
    engine = create_engine(url.set(username=owner), poolclass=NullPool)
    at(url, "CREATE TABLE secret (i int)")
    with pytest.raises(DatabaseUnavailable, match="permission denied for table secret"):
        of(engine, folder).rehearse()
    at(url, "DROP TABLE secret", "ALTER TABLE t ENABLE ROW LEVEL SECURITY", "ALTER TABLE t FORCE ROW LEVEL SECURITY")
    with pytest.raises(DatabaseUnavailable, match="affected by row-level security"):
        of(engine, folder).rehearse()
    at(url, "ALTER TABLE t NO FORCE ROW LEVEL SECURITY")
    # Those that anybody may create who owns a database.
    at(url, *(f"CREATE EXTENSION {name}" for name in sorted({"citext", "pg_trgm"} & available_extensions(url))))
    assert of(engine, folder).rehearse()
    assert copies(engine) == []


def test_the_settings_of_the_database_are_the_copy_s(owned: tuple[URL, str, str], folder: Folder) -> None:
    url, owner, _ = owned
    name = url.database
    at(
        url,
        f"ALTER DATABASE {name} SET log_statement = 'none'",
        f"ALTER DATABASE {name} SET search_path = 'a b', public",
        f"ALTER DATABASE {name} SET datestyle = 'SQL, DMY'",
        f"ALTER ROLE {owner} IN DATABASE {name} SET work_mem = '7MB'",
    )
    folder.add(
        1,
        "for name, value in ('search_path', '\"a b\", public'), ('datestyle', 'SQL, DMY'), ('work_mem', '7MB'):\n"
        "    assert self.execute_sql(f\"SELECT current_setting('{name}')\").scalar() == value",
    )
    report = of(create_engine(url.set(username=owner), poolclass=NullPool), folder).rehearse()
    assert report, str(report)
    [warning] = report.warnings
    assert warning.startswith(
        "the setting log_statement is not in the copy as it is in the database: permission denied"
    )
    at(url, f"ALTER DATABASE {name} RESET log_statement", f"ALTER DATABASE {name} SET app.key = 'se''cret'")
    folder.add(1, 'assert self.execute_sql("SELECT current_setting(\'app.key\')").scalar() == "se\'cret"')
    report = of(create_engine(url, poolclass=NullPool), folder).rehearse()
    assert report, str(report)
    assert report.warnings == []
    report = of(create_engine(url.set(username=owner), poolclass=NullPool), folder).rehearse()
    assert "the setting app.key is not in the copy" in str(report.warnings)
    assert "se'" not in str(report.warnings)


def test_no_schema_public_and_an_index_that_is_invalid(url: URL, folder: Folder) -> None:
    at(
        url,
        "CREATE SCHEMA app",
        "CREATE TABLE app.t (i int)",
        "INSERT INTO app.t VALUES (1), (1)",
        "DROP SCHEMA public",
    )
    with pytest.raises(IntegrityError):
        at(url, "CREATE UNIQUE INDEX CONCURRENTLY once ON app.t (i)")
    engine = create_engine(url, connect_args={"options": "-csearch_path=app"})
    added(folder, 1, ["CREATE SCHEMA public"], ["DROP SCHEMA public"])
    report = of(engine, folder).rehearse()
    assert report, str(report)
    assert report.warnings == ["indexes that are invalid are not in the copy: once"]
    engine.dispose()


def test_a_password_file_that_names_the_database(
    url: URL, folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passwords = tmp_path / "passwords"
    passwords.write_text(f"*:*:{url.database}:*:secret\n")
    passwords.chmod(0o600)
    monkeypatch.setenv("PGPASSFILE", str(passwords))
    folder.add(1, "assert self.db.connection.connection.dbapi_connection.info.password == 'secret'")
    report = of(create_engine(url, poolclass=NullPool), folder).rehearse()
    assert report, str(report)


def test_no_password_is_an_argument_or_told(url: URL, folder: Folder) -> None:
    engine = create_engine(url.set(password="hush"), poolclass=NullPool)
    added(folder, 1, ["CREATE TABLE t (i int)"], ["DROP TABLE t"])
    seen: set[bytes] = set()

    def told(_done: int, _total: int, _message: str) -> None:
        for one in Path("/proc").glob("[0-9]*/cmdline"):
            with suppress(OSError):
                seen.add(one.read_bytes())

    at(url, "CREATE TABLE full_of AS SELECT repeat('x', 1000) FROM generate_series(1, 20000)")
    assert of(engine, folder, progress=told).rehearse()
    assert any(b"pg_dump" in line and url.database.encode() in line for line in seen if url.database)
    assert not any(b"hush" in line for line in seen)
    at(url, "CREATE FUNCTION broken(int) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN RETURN $1 > 0; END $$")
    at(url, "CREATE TABLE checked (i int CHECK (broken(i)))", "INSERT INTO checked VALUES (1)")
    at(
        url,
        "CREATE OR REPLACE FUNCTION broken(int) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN RETURN $1 > 1; END $$",
    )
    with pytest.raises(DatabaseUnavailable, match="violates check constraint") as failed:
        of(engine, folder).rehearse()
    assert "hush" not in str(failed.value)
    assert "hush" not in str(failed.value.__cause__)


@pytest.mark.parametrize(
    "options",
    [
        {"pool_size": 1, "max_overflow": 0},
        {"poolclass": NullPool},
        {"poolclass": StaticPool},
        {"isolation_level": "AUTOCOMMIT"},
        {"isolation_level": "SERIALIZABLE"},
        {"connect_args": {"options": "-cstatement_timeout=5000 -clock_timeout=500"}},
    ],
)
def test_engines_of_every_kind(url: URL, folder: Folder, options: dict[str, Any]) -> None:
    engine = create_engine(url, **options)
    added(folder, 1, ["CREATE TABLE t (i int)", "INSERT INTO t VALUES (1)"], ["DROP TABLE t"])
    added(folder, 2, ["CREATE INDEX CONCURRENTLY ix ON t (i)"], ["DROP INDEX ix"], extra="transactional = False")
    report = of(engine, folder).rehearse()
    assert report, str(report)
    assert report.steps[1].schema_difference == ["+ index ix"]
    assert of(engine, folder).migrate(rehearse=True).applied == [1, 2]
    assert copies(engine) == []
    engine.dispose()


def test_engines_that_connect_in_a_way_of_their_own(url: URL, folder: Folder) -> None:
    added(folder, 1, ["CREATE TABLE t (i int)"], ["DROP TABLE t"])
    plain = create_engine(url, poolclass=NullPool)
    own = create_engine(
        "postgresql+psycopg://",
        creator=lambda: psycopg.connect(host=url.host, port=url.port, user=url.username, dbname=url.database),
        poolclass=NullPool,
    )
    with pytest.raises(ConfigurationError, match="has a creator= of its own"):
        of(own, folder).rehearse()
    astray = create_engine(url, poolclass=NullPool)

    @event.listens_for(astray, "do_connect")
    def connect(*_: object) -> Any:
        return psycopg.connect(host=url.host, port=url.port, user=url.username, dbname=url.database)

    with pytest.raises(ConfigurationError, match="leads to the database"):
        of(astray, folder).rehearse()
    assert copies(plain) == []


def test_a_server_that_takes_no_writes(url: URL, folder: Folder) -> None:
    added(folder, 1, ["CREATE TABLE t (i int)"], ["DROP TABLE t"])
    engine = create_engine(url, connect_args={"options": "-cdefault_transaction_read_only=on"}, poolclass=NullPool)
    with pytest.raises(DatabaseNotWritable, match="Connect to a server that takes writes"):
        of(engine, folder).rehearse()
    assert copies(engine) == []
