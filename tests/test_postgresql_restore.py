"""Restores of PostgreSQL that are hard: odd names and texts, other encodings, users who may not do everything."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Folder
from native_databases import needs_extensions, server_url
from scratch_databases import own_database
from sqlalchemy import Engine, create_engine
from sqlalchemy.engine import URL
from sqlalchemy.pool import NullPool
from test_postgresql_snapshots import run

from sqlmig import DatabaseLocked, Migrator, SnapshotPolicy, SnapshotUnusable

ODD_TEXTS = (
    "COMMENT ON SCHEMA public IS 'a\n\\restrict b\n\\unrestrict b\n'",
    'CREATE TABLE "line\nfeed" (a text, "b\nc" integer)',
    "INSERT INTO \"line\nfeed\" VALUES ('DROP SCHEMA public CASCADE;', 1), (E'\\r\\n\\\\.\\nCOMMIT;', 2)",
    'CREATE TABLE "q (a) FROM stdin;\n" (a integer)',
    'INSERT INTO "q (a) FROM stdin;\n" VALUES (1)',
    'CREATE SEQUENCE "s;\nit\'s"',
    "SELECT nextval('\"s;\nit''s\"')",
    'CREATE SCHEMA "odd; -- ""schema"',
    "INSERT INTO t1 (id, n) VALUES (9, repeat('x', 3000000))",
)
KINDS = (
    "CREATE TABLE p (a integer PRIMARY KEY) PARTITION BY HASH (a)",
    "CREATE TABLE p0 PARTITION OF p FOR VALUES WITH (MODULUS 1, REMAINDER 0)",
    "INSERT INTO p VALUES (1), (2)",
    "CREATE CAST (text AS bytea) WITH INOUT",
    "CREATE ACCESS METHOD heap2 TYPE TABLE HANDLER heap_tableam_handler",
    "CREATE AGGREGATE counted(*) (sfunc = int8inc, stype = int8, initcond = '0')",
    "CREATE AGGREGATE middle(float8 ORDER BY anyelement) (sfunc = ordered_set_transition, stype = internal,"
    " finalfunc = percentile_disc_final, finalfunc_extra)",
    "CREATE PROCEDURE put(IN a integer, OUT b integer) LANGUAGE sql AS 'SELECT 1'",
    "CREATE TYPE span AS RANGE (subtype = integer)",
    "CREATE OPERATOR CLASS ints FOR TYPE integer USING btree AS OPERATOR 1 <",
    "CREATE MATERIALIZED VIEW m1 AS SELECT count(*) AS n FROM p",
    "CREATE MATERIALIZED VIEW m0 AS SELECT n + 1 AS n FROM m1",
    "GRANT SELECT ON m0 TO PUBLIC",
)


@pytest.fixture
def url() -> Iterator[URL]:
    with own_database() as url:
        yield url


@pytest.fixture
def engine(url: URL) -> Iterator[Engine]:
    engine = create_engine(url, poolclass=NullPool)
    yield engine
    engine.dispose()


@pytest.fixture
def role(url: URL) -> Iterator[str]:
    """A user who owns the database and is no superuser."""
    name, admin = f"sqlmig_test_{random.randrange(10**9)}", create_engine(url, poolclass=NullPool)
    run(admin, f"CREATE ROLE {name} LOGIN", f"ALTER DATABASE {url.database} OWNER TO {name}")
    yield name
    run(admin, f"ALTER DATABASE {url.database} OWNER TO postgres", f"DROP OWNED BY {name} CASCADE", f"DROP ROLE {name}")


def dumped(url: URL) -> list[bytes]:
    """All of a database but sqlmig's own records and its rows' order."""
    address = url.set(drivername="postgresql").render_as_string(hide_password=False)
    command = ["pg_dump", "--exclude-table=migration_*", "--dbname", address]
    lines = subprocess.run(command, capture_output=True, check=True).stdout.split(b"\n")
    token = next(line.split()[1] for line in lines if line.startswith(b"\\restrict "))
    return sorted(line for line in lines if line and not line.startswith(b"--") and token not in line)


def there_and_back(url: URL, engine: Engine, folder: Folder, place: Path, before: Any = (), after: Any = ()) -> None:
    """Snapshot a database, change it, restore it, and find what was there."""
    folder.table(1)
    Migrator(engine, folder.path).migrate()
    run(engine, *before)
    there = dumped(url)
    made = Migrator(engine, folder.path, snapshot=SnapshotPolicy(place)).create_snapshot()
    run(engine, *after)
    Migrator(engine, folder.path).restore(made)
    assert dumped(url) == there


@pytest.mark.parametrize("statements", [ODD_TEXTS, KINDS], ids=["texts", "kinds"])
def test_what_is_there_makes_way(url: URL, engine: Engine, folder: Folder, tmp_path: Path, statements: Any) -> None:
    there_and_back(url, engine, folder, tmp_path, statements)


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_a_client_of_another_encoding(folder: Folder, tmp_path: Path, encoding: str) -> None:
    """No text is read as if it were in the client's, and the connection has its own again."""
    name, admin = f"sqlmig_test_{random.randrange(10**9)}", create_engine(server_url("postgresql"), poolclass=NullPool)
    with admin.connect().execution_options(isolation_level="AUTOCOMMIT") as server:
        locale = "LOCALE_PROVIDER libc LC_COLLATE 'C' LC_CTYPE 'C'"
        server.exec_driver_sql(f"CREATE DATABASE {name} ENCODING '{encoding}' {locale} TEMPLATE template0")
        url = admin.url.set(database=name)
        engine = create_engine(url, connect_args={"client_encoding": "utf8"}, pool_size=1, max_overflow=0)
        try:
            before = ["CREATE TABLE té (a text DEFAULT 'Ã©')", "INSERT INTO té VALUES ('Ã© é')"]
            there_and_back(url, engine, folder, tmp_path, before, ["DROP TABLE té"])
            with engine.connect() as connection:
                assert connection.exec_driver_sql("SHOW client_encoding").scalar() == "UTF8"
        finally:
            engine.dispose()
            server.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")


def test_strings_as_the_archive_has_them(url: URL, folder: Folder, tmp_path: Path) -> None:
    """And not as the connection would read them."""
    writer = create_engine(url, poolclass=NullPool)
    run(writer, r"CREATE TABLE t (a text DEFAULT 'a\nb')")
    folder.table(1)
    Migrator(writer, folder.path).migrate()
    there = dumped(url)
    made = Migrator(writer, folder.path, snapshot=SnapshotPolicy(tmp_path)).create_snapshot()
    old = {"options": "-c standard_conforming_strings=off -c escape_string_warning=off"}
    Migrator(create_engine(url, poolclass=NullPool, connect_args=old), folder.path).restore(made)
    assert dumped(url) == there


@pytest.mark.parametrize("made", ["before", "after"])
def test_default_privileges_grant_nothing(
    url: URL, engine: Engine, folder: Folder, tmp_path: Path, role: str, made: str
) -> None:
    """A table that is made anew has no grant that it had not, and they are what they were."""
    defaults = [
        f"ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO {role} WITH GRANT OPTION",
        f"ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON SEQUENCES TO {role}",
        "ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC",
        "ALTER DEFAULT PRIVILEGES REVOKE ALL ON SCHEMAS FROM postgres",
    ]
    before = ["CREATE FUNCTION one() RETURNS integer LANGUAGE sql AS 'SELECT 1'"]
    there_and_back(url, engine, folder, tmp_path, *([before + defaults] if made == "before" else [before, defaults]))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((), ("DROP SCHEMA public CASCADE", "CREATE SCHEMA public")),
        ((), ("DROP SCHEMA public CASCADE",)),
        ((), ("GRANT ALL ON SCHEMA public TO PUBLIC", "COMMENT ON SCHEMA public IS 'mine'")),
        (
            ("ALTER SCHEMA public OWNER TO postgres", "REVOKE ALL ON SCHEMA public FROM PUBLIC"),
            ("ALTER SCHEMA public OWNER TO pg_database_owner", "GRANT ALL ON SCHEMA public TO PUBLIC"),
        ),
    ],
    ids=["made anew", "dropped", "granted", "owned"],
)
def test_the_schema_public(
    url: URL, engine: Engine, folder: Folder, tmp_path: Path, before: tuple[str, ...], after: tuple[str, ...]
) -> None:
    there_and_back(url, engine, folder, tmp_path, before, after)


def test_extensions_of_another_user(url: URL, engine: Engine, folder: Folder, tmp_path: Path, role: str) -> None:
    """They stay, with their schemas; the rows in them that are the user's are what they were."""
    needs_extensions(url, "pageinspect", "hstore")
    run(
        engine,
        "CREATE EXTENSION pageinspect",
        "CREATE SCHEMA extensions",
        "GRANT USAGE ON SCHEMA extensions TO PUBLIC",
        "CREATE EXTENSION hstore SCHEMA extensions",
        "CREATE TABLE extensions.settings (a integer)",
        "ALTER EXTENSION hstore ADD TABLE extensions.settings",
        "UPDATE pg_extension SET extconfig = ARRAY['extensions.settings'::regclass::oid], extcondition = ARRAY['']"
        " WHERE extname = 'hstore'",
        f"GRANT SELECT, INSERT, DELETE ON extensions.settings TO {role}",
        "CREATE TABLE extensions.strange (a integer)",
        "ALTER EXTENSION pageinspect ADD TABLE extensions.strange",
        "UPDATE pg_extension SET extconfig = ARRAY['extensions.strange'::regclass::oid], extcondition = ARRAY['']"
        " WHERE extname = 'pageinspect'",
        "GRANT SELECT ON extensions.strange TO PUBLIC",
    )
    user = create_engine(url.set(username=role), poolclass=NullPool)
    before = ["CREATE TABLE t (a extensions.hstore)", "INSERT INTO extensions.settings VALUES (1)"]
    there_and_back(url, user, folder, tmp_path, before, ["INSERT INTO extensions.settings VALUES (2)", "DROP TABLE t"])


def test_an_extension_that_has_moved(url: URL, engine: Engine, folder: Folder, tmp_path: Path) -> None:
    needs_extensions(url, "pg_trgm")
    before = ["CREATE SCHEMA ext", "CREATE EXTENSION pg_trgm SCHEMA ext", "CREATE TABLE t (a text)"]
    before += ["CREATE INDEX ON t USING gin (a ext.gin_trgm_ops)"]
    after = ["ALTER EXTENSION pg_trgm SET SCHEMA public", "DROP SCHEMA ext"]
    there_and_back(url, engine, folder, tmp_path, before, after)


def test_an_owner_who_may_not_write(url: URL, folder: Folder, tmp_path: Path, role: str) -> None:
    """Grants come after the rows: a table that is only to be appended to, or read."""
    user = create_engine(url.set(username=role), poolclass=NullPool)
    before = ["CREATE TABLE log (a text)", "INSERT INTO log VALUES ('x')", f"REVOKE INSERT ON log FROM {role}"]
    there_and_back(url, user, folder, tmp_path, before, ["DROP TABLE log"])


def test_a_name_that_somebody_is_taking(engine: Engine, folder: Folder, tmp_path: Path) -> None:
    """He is waited for, as long as for anybody."""
    folder.table(1)
    migrator = Migrator(engine, folder.path, snapshot=SnapshotPolicy(tmp_path), lock_timeout=0.3)
    migrator.migrate()
    run(engine, "CREATE TABLE gone (a integer)")
    made = migrator.create_snapshot()
    run(engine, "DROP TABLE gone")
    with engine.connect() as user:
        user.exec_driver_sql("CREATE TABLE gone (b integer)")
        with pytest.raises(DatabaseLocked):
            migrator.restore(made)


def test_archives_that_would_lose_all(url: URL, engine: Engine, folder: Folder, tmp_path: Path) -> None:
    """One of the structure alone, and one of a database that has nothing to do with this one."""
    folder.table(1)
    Migrator(engine, folder.path).migrate()
    there = dumped(url)
    address = url.set(drivername="postgresql").render_as_string(hide_password=False)
    command = ["pg_dump", "--format=custom", "--file", str(tmp_path / "structure"), "--schema-only", address]
    subprocess.run(command, check=True)
    with pytest.raises(SnapshotUnusable, match="without its rows"):
        Migrator(engine, folder.path).restore(tmp_path / "structure")
    with own_database() as other:
        stranger = create_engine(other, poolclass=NullPool)
        run(stranger, "CREATE TABLE strange (a integer)")
        made = Migrator(stranger, folder.path, snapshot=SnapshotPolicy(tmp_path)).create_snapshot()
    with pytest.raises(SnapshotUnusable, match="shares no table"):
        Migrator(engine, folder.path).restore(made)
    assert dumped(url) == there
