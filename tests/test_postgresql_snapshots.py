"""Snapshots of PostgreSQL: what is restored is what was there, by pg_dump's own word, whatever happens on the way."""

from __future__ import annotations

import random
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from conftest import Folder
from native_databases import available_extensions, some_extension
from scratch_databases import own_database
from snapshot_support import Forks
from sqlalchemy import Engine, create_engine
from sqlalchemy.engine import URL
from sqlalchemy.pool import NullPool, StaticPool

from sqlmig import (
    ConfigurationError,
    DatabaseLocked,
    DiskFull,
    MigrationFailed,
    Migrator,
    NotAtomic,
    RestoreFailed,
    RollbackNotSupported,
    SnapshotFailed,
    SnapshotPolicy,
    SnapshotUnusable,
)
from sqlmig.cli.app import app

FURNITURE = r"""
CREATE EXTENSION {extension};
CREATE SCHEMA "Odd Schema";
CREATE TYPE mood AS ENUM ('sad', 'it''s', 'Grün');
CREATE DOMAIN positive AS integer CHECK (VALUE > 0);
CREATE TYPE pair AS (a integer, b text);
CREATE SEQUENCE loose START 41;
SELECT nextval('loose');
CREATE TABLE authors (id serial PRIMARY KEY, name text NOT NULL UNIQUE, feels mood DEFAULT 'sad');
CREATE TABLE books (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, title text,
    author integer REFERENCES authors ON DELETE CASCADE,
    shout text GENERATED ALWAYS AS (upper(title)) STORED, pages positive, both_ pair, "odd ""name" text[]
);
COMMENT ON TABLE books IS 'COPY nothing (here) FROM stdin;';
CREATE TABLE "Odd Schema"."t\b" ("COPY" text, at timestamptz) PARTITION BY RANGE (at);
CREATE TABLE "Odd Schema".part PARTITION OF "Odd Schema"."t\b" FOR VALUES FROM ('2020-01-01') TO ('2030-01-01');
CREATE TABLE odd_type (a {extension});
CREATE INDEX ON books (lower(title)) WHERE title IS NOT NULL;
CREATE VIEW shelf AS SELECT b.title, a.name FROM books b JOIN authors a ON a.id = b.author;
CREATE MATERIALIZED VIEW counted AS SELECT count(*) AS n FROM books;
CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS $f$
BEGIN
-- A line of a body that looks like what is between the tables of an archive:
COMMIT;
RETURN new;
END $f$;
CREATE FUNCTION shout(t text) RETURNS text LANGUAGE sql AS 'SELECT upper(t) -- 100 %';
CREATE AGGREGATE summed (integer) (sfunc = int4pl, stype = integer);
CREATE OPERATOR === (LEFTARG = integer, RIGHTARG = integer, FUNCTION = int4eq);
CREATE COLLATION plain FROM "C";
CREATE TEXT SEARCH CONFIGURATION words (COPY = english);
CREATE PUBLICATION news FOR TABLE books;
CREATE STATISTICS alike ON title, author FROM books;
ALTER TABLE authors ENABLE ROW LEVEL SECURITY;
CREATE POLICY mine ON authors USING (name <> 'nobody');
CREATE RULE quiet AS ON DELETE TO shelf DO INSTEAD NOTHING;
SELECT lo_from_bytea(0, '\xdeadbeef');
INSERT INTO authors (name, feels) SELECT 'Author ' || i, 'it''s' FROM generate_series(1, 30) i;
INSERT INTO books (title, author, pages, both_, "odd ""name")
    SELECT E'Title\t' || i || E'\n\\.\n' || repeat('words ', i % 7), i % 30 + 1, i, ROW(i, 'x')::pair, ARRAY['a', NULL]
    FROM generate_series(1, 300) i;
INSERT INTO books (title) VALUES (NULL), ('\N'), ('\.'), ('');
INSERT INTO "Odd Schema"."t\b"
    SELECT 'x', '2025-01-01'::timestamptz + i * interval '1 hour' FROM generate_series(1, 50) i;
CREATE TRIGGER books_noted BEFORE UPDATE ON books FOR EACH ROW WHEN (false) EXECUTE FUNCTION noted();
GRANT SELECT ON books TO PUBLIC;
"""

DESTROY = [
    "DROP VIEW shelf",
    "ALTER TABLE authors ADD COLUMN born integer",
    "UPDATE books SET title = title || '!'",
    "DELETE FROM authors WHERE id < 5",
    'DROP SCHEMA "Odd Schema" CASCADE',
    "ALTER TYPE mood RENAME VALUE 'sad' TO 'blue'",
    "CREATE SCHEMA later",
    "CREATE TABLE later.t AS SELECT * FROM authors",
    "DROP EXTENSION {extension} CASCADE",
]


@pytest.fixture
def url() -> Iterator[URL]:
    with own_database() as url:
        yield url


@pytest.fixture
def engine(url: URL) -> Iterator[Engine]:
    engine = create_engine(url)
    yield engine
    engine.dispose()


def of(engine: Engine, folder: Folder, place: Path | None = None, **options: Any) -> Migrator:
    snapshot = SnapshotPolicy(place, keep=options.pop("keep", 3)) if place is not None else None
    return Migrator(engine, folder.path, snapshot=snapshot, **options)


def run(engine: Engine, *statements: str) -> None:
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement, execution_options={"no_parameters": True})


def rows(engine: Engine, query: str) -> list[tuple[Any, ...]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.exec_driver_sql(query)]


def dumped(url: URL) -> list[str]:
    """All of a database but sqlmig's own records, as pg_dump tells it."""
    command = ["pg_dump", "--exclude-table=migration_*", "--encoding=UTF8", "--dbname"]
    address = url.set(drivername="postgresql").render_as_string(hide_password=False)
    told = subprocess.run([*command, address], capture_output=True, text=True, check=True).stdout
    lines = re.sub(r"^\\(un)?restrict .*$", "", told, flags=re.MULTILINE).splitlines()
    # Rows of a table have no order, nor have objects of one kind.
    return sorted(line for line in lines if line.strip() and not line.startswith("--"))


def write_migrations(url: URL, folder: Folder, extension: str) -> None:
    folder.add(1, 'self.execute_sql("CREATE TABLE first (n INTEGER)")')
    destroyed = [statement.replace("{extension}", extension) for statement in DESTROY]
    destroyed += ["CREATE EXTENSION pg_trgm"] if "pg_trgm" in available_extensions(url) else []
    folder.add(2, "\n".join(f"self.execute_sql({statement!r})" for statement in destroyed), extra='removes = "*"')


@pytest.fixture
def library(url: URL, engine: Engine, folder: Folder) -> Folder:
    """A database of many kinds of objects, at version 1, and a migration that destroys much of it."""
    extension = some_extension(url)
    run(engine, FURNITURE.replace("{extension}", extension))
    write_migrations(url, folder, extension)
    of(engine, folder).migrate_to_version(1)
    return folder


@pytest.mark.proves("Snapshots and `restore()`", postgresql="yes, with `pg_dump` and `pg_restore`")
def test_what_is_restored_is_what_was_there(url: URL, engine: Engine, library: Folder, tmp_path: Path) -> None:
    before = dumped(url)
    result = of(engine, library, tmp_path / "kept").migrate()
    assert result.snapshot is not None
    after = dumped(url)
    assert before != after
    restored = of(engine, library, tmp_path / "kept").restore(result.snapshot)
    assert (restored.direction, restored.from_version, restored.to_version) == ("restore", 2, 1)
    assert restored.rolled_back == [2]
    assert dumped(url) == before
    # And once more, up and back.
    of(engine, library).migrate()
    assert dumped(url) == after
    of(engine, library).restore(result.snapshot)
    assert dumped(url) == before
    assert rows(engine, "SELECT nextval('loose')") == [(42,)]


def test_the_history_is_of_all_since(engine: Engine, library: Folder, tmp_path: Path) -> None:
    snapshot = of(engine, library, tmp_path).migrate().snapshot
    assert snapshot is not None
    of(engine, library).restore(snapshot)
    history = of(engine, library).get_migration_history()
    assert [(e["operation"], e["version"]) for e in history] == [("restore", 1), ("apply", 2), ("apply", 1)]
    assert history[0]["metadata"]["file"] == str(snapshot)
    assert history[1]["metadata"]["snapshot"] == str(snapshot)
    of(engine, library).migrate()
    numbers = [number for (number,) in rows(engine, "SELECT id FROM migration_history ORDER BY id")]
    assert numbers == [1, 2, 3, 4]


def test_a_rollback_that_cannot_be_names_the_snapshot(engine: Engine, library: Folder, tmp_path: Path) -> None:
    migrator = of(engine, library, tmp_path)
    snapshot = migrator.migrate().snapshot
    with pytest.raises(RollbackNotSupported, match="sqlmig restore") as refused:
        migrator.rollback_to_version(1)
    assert refused.value.snapshot == str(snapshot)
    assert migrator.rollback_to_version(1, use_snapshot=True).direction == "restore"
    assert migrator.get_current_version() == 1
    assert rows(engine, "SELECT count(*) FROM shelf") == [(300,)]


def test_a_failed_migration_leaves_its_snapshot(engine: Engine, library: Folder, tmp_path: Path) -> None:
    library.add(3, "self.execute_sql('SELECT 1 / 0')")
    migrator = of(engine, library, tmp_path)
    with pytest.raises(MigrationFailed):
        migrator.migrate()
    assert [snapshot.version for snapshot in migrator.snapshots()] == [1]


def test_at_head_none_is_made_and_the_oldest_go(engine: Engine, folder: Folder, tmp_path: Path) -> None:
    for version in (1, 2, 3, 4):
        folder.table(version)
        of(engine, folder, tmp_path / "kept", keep=2).migrate()
        of(engine, folder, tmp_path / "kept", keep=2).migrate()
    migrator = of(engine, folder, tmp_path / "kept")
    assert [snapshot.version for snapshot in migrator.snapshots()] == [3, 2]
    made = migrator.create_snapshot()
    assert (made.version, migrator.snapshots()[0].path) == (4, made.path)
    assert migrator.keeper.look_at(made.path).version == 4
    assert made.path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "options",
    [
        {"poolclass": NullPool},
        {"poolclass": StaticPool},
        {"pool_size": 1, "max_overflow": 0},
        {"isolation_level": "AUTOCOMMIT"},
        {"isolation_level": "SERIALIZABLE"},
        {"connect_args": {"options": "-cstatement_timeout=60s -clock_timeout=2s"}},
    ],
    ids=str,
)
def test_engines_as_applications_have_them(url: URL, folder: Folder, tmp_path: Path, options: dict[str, Any]) -> None:
    folder.table(1)
    engine = create_engine(url, **options)
    of(engine, folder).migrate()
    folder.table(2)
    result = of(engine, folder, tmp_path / "kept").migrate()
    settings = rows(engine, "SELECT name, setting FROM pg_settings WHERE source <> 'override' ORDER BY 1")
    assert of(engine, folder).restore(result.snapshot or "").rolled_back == [2]
    assert rows(engine, "SELECT name, setting FROM pg_settings WHERE source <> 'override' ORDER BY 1") == settings
    assert rows(engine, "SELECT n FROM t1") == [("row",)]
    assert of(engine, folder).migrate().applied == [2]
    engine.dispose()


def test_connections_that_are_open_see_it(engine: Engine, library: Folder, tmp_path: Path) -> None:
    snapshot = of(engine, library, tmp_path).migrate().snapshot
    with engine.connect() as idle:
        assert idle.exec_driver_sql("SELECT count(*) FROM authors").scalar() == 26
        idle.commit()
        of(engine, library).restore(snapshot or "")
        assert idle.exec_driver_sql("SELECT count(*) FROM authors").scalar() == 30


def test_a_table_that_somebody_uses_is_busy(url: URL, engine: Engine, library: Folder, tmp_path: Path) -> None:
    snapshot = of(engine, library, tmp_path).migrate().snapshot
    before = dumped(url)
    with engine.connect() as user:
        user.exec_driver_sql("SELECT count(*) FROM authors")
        with pytest.raises(DatabaseLocked):
            of(engine, library, lock_timeout=0.3).restore(snapshot or "")
    assert dumped(url) == before
    assert of(engine, library).get_current_version() == 2


def test_a_table_that_is_locked_makes_no_snapshot(engine: Engine, library: Folder, tmp_path: Path) -> None:
    with engine.connect() as user:
        user.exec_driver_sql("LOCK TABLE authors")
        with pytest.raises(DatabaseLocked, match="authors"):
            of(engine, library, tmp_path / "kept", lock_timeout=0.3).migrate()
    assert list((tmp_path / "kept").iterdir()) == []
    assert of(engine, library).get_current_version() == 1


def test_files_that_cannot_be_restored(url: URL, engine: Engine, library: Folder, tmp_path: Path) -> None:
    snapshot = of(engine, library, tmp_path / "kept").migrate().snapshot
    assert snapshot is not None
    whole, before = snapshot.read_bytes(), dumped(url)
    (tmp_path / "text").write_text("no archive")
    (tmp_path / "empty").write_text("")
    (tmp_path / "cut").write_bytes(whole[: len(whole) * 2 // 3])
    (tmp_path / "bent").write_bytes(whole[:-3000] + bytes(2000) + whole[-1000:])
    for name in ("text", "empty", "cut", "bent", "nowhere", "."):
        with pytest.raises(SnapshotUnusable, match="was not touched"):
            of(engine, library).restore(tmp_path / name)
    (library.path / "002_step_2.py").unlink()
    newer = of(engine, library, tmp_path / "kept")
    library.table(2)
    made = of(engine, library, tmp_path / "kept").create_snapshot()
    (library.path / "002_step_2.py").unlink()
    with pytest.raises(SnapshotUnusable, match="newer than the newest migration file"):
        newer.restore(made)
    assert dumped(url) == before


def test_an_archive_of_another_application(url: URL, engine: Engine, library: Folder, tmp_path: Path) -> None:
    with own_database() as other:
        stranger, foreign = create_engine(other, poolclass=NullPool), Folder(tmp_path / "foreign")
        foreign.table(1)
        of(stranger, foreign).migrate()
        made = of(stranger, foreign, tmp_path).create_snapshot()
    before = dumped(url)
    with pytest.raises(SnapshotUnusable, match="migration 1 is another"):
        of(engine, library).restore(made)
    assert dumped(url) == before


def test_what_cannot_be_made_again_is_undone(url: URL, engine: Engine, folder: Folder, tmp_path: Path) -> None:
    """A role that is gone, say, to whom something was granted."""
    role = f"sqlmig_test_{random.randrange(10**9)}"
    folder.table(1)
    of(engine, folder).migrate()
    run(engine, f"CREATE ROLE {role}", f"GRANT SELECT ON t1 TO {role}")
    made = of(engine, folder, tmp_path).create_snapshot()
    run(engine, f"REVOKE ALL ON t1 FROM {role}", f"DROP ROLE {role}")
    before = dumped(url)
    with pytest.raises(RestoreFailed, match=f'role "{role}" does not exist'):
        of(engine, folder).restore(made)
    assert dumped(url) == before
    history = of(engine, folder).get_migration_history()
    assert (history[0]["operation"], history[0]["success"]) == ("restore", False)


def test_a_user_who_is_no_superuser(url: URL, folder: Folder, tmp_path: Path) -> None:
    role = f"sqlmig_test_{random.randrange(10**9)}"
    admin = create_engine(url, poolclass=NullPool)
    run(admin, f"CREATE ROLE {role} LOGIN", f"ALTER DATABASE {url.database} OWNER TO {role}")
    engine = create_engine(url.set(username=role), poolclass=NullPool)
    try:
        folder.table(1)
        of(engine, folder).migrate()
        folder.table(2)
        result = of(engine, folder, tmp_path / "kept").migrate()
        assert of(engine, folder).restore(result.snapshot or "").rolled_back == [2]
        assert rows(engine, "SELECT count(*) FROM t1") == [(1,)]
    finally:
        run(admin, "DROP OWNED BY " + role + " CASCADE", f"ALTER DATABASE {url.database} OWNER TO postgres")
        run(admin, f"DROP ROLE {role}")


def test_what_is_refused(engine: Engine, library: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match="No folder is named"):
        Migrator(engine, library.path, snapshot=True).migrate()
    with engine.connect() as connection, connection.begin(), pytest.raises(NotAtomic):
        Migrator(connection, library.path, snapshot=SnapshotPolicy(tmp_path)).migrate()
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ConfigurationError, match="needs pg_dump and pg_restore"):
        of(engine, library, tmp_path).migrate()
    assert of(engine, library).get_current_version() == 1


def test_a_disk_that_fills(engine: Engine, library: Folder, small_disk: Path) -> None:
    run(engine, "CREATE TABLE noise AS SELECT md5(random()::text) AS a FROM generate_series(1, 200000)")
    with pytest.raises(DiskFull, match="snapshot"):
        of(engine, library, small_disk).migrate()
    assert list(small_disk.iterdir()) == []
    assert of(engine, library).get_current_version() == 1


def test_a_pg_dump_that_fails_starts_nothing(engine: Engine, library: Folder, tmp_path: Path) -> None:
    """As one of an older release than the server does."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("pg_dump", "pg_restore"):
        (tools / name).write_text(
            "#!/bin/sh\necho 'pg_dump: error: aborting because of server version mismatch' >&2\nexit 1\n"
        )
        (tools / name).chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{tools}:/usr/bin:/bin")
        with pytest.raises(SnapshotFailed, match="server version mismatch"):
            of(engine, library, tmp_path / "kept").migrate()
    assert list((tmp_path / "kept").iterdir()) == []
    assert of(engine, library).get_current_version() == 1


JOB = """
from sqlalchemy import create_engine
from sqlmig import Migrator
migrator = Migrator(create_engine(url), folder, snapshot=place)
"""


@pytest.fixture
def forks(url: URL) -> Iterator[Forks]:
    """With the programs of the server that *url* is of on the path."""
    forks = Forks()
    yield forks
    forks.close()


def test_killed_while_it_makes_a_snapshot(
    forks: Forks, url: URL, engine: Engine, library: Folder, tmp_path: Path
) -> None:
    place, before = tmp_path / "kept", dumped(url)
    names = {"url": url.render_as_string(hide_password=False), "folder": str(library.path), "place": str(place)}
    code, took = forks.run(JOB + "migrator.create_snapshot()", **names)
    assert code == 0
    for _ in forks.killed(JOB + "migrator.create_snapshot()", took, 6, **names):
        for snapshot in of(engine, library, place).snapshots():
            assert of(engine, library, place).keeper.look_at(snapshot.path).version == 1
    of(engine, library, place).create_snapshot()
    assert not [path for path in place.iterdir() if path.suffix != ".snapshot"]
    assert dumped(url) == before


def test_killed_while_it_restores(forks: Forks, url: URL, engine: Engine, library: Folder, tmp_path: Path) -> None:
    """The content is the old or the new, and the history tells which."""
    old = dumped(url)
    snapshot = of(engine, library, tmp_path).migrate().snapshot
    new = dumped(url)
    names = {"url": url.render_as_string(hide_password=False), "folder": str(library.path), "place": str(snapshot)}
    job = JOB.replace(", snapshot=place", "") + "migrator.restore(place)"
    code, took = forks.run(job, **names)
    assert code == 0
    seen, restores = set(), 1
    of(engine, library).migrate()
    for code in forks.killed(job, took, 8, **names):
        _wait_until_alone(engine)
        version, there = of(engine, library).get_current_version(), dumped(url)
        assert there == (old if version == 1 else new)
        now = [e for e in of(engine, library).get_migration_history() if e["operation"] == "restore"]
        restores += version == 1
        assert len(now) == restores
        seen.add((code, version))
        of(engine, library).migrate()
    assert (-9, 2) in seen


def _wait_until_alone(engine: Engine) -> None:
    """The server learns by and by that a client is gone."""
    query = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        " AND backend_type = 'client backend'"
    )
    engine.dispose()
    for _ in range(200):
        if rows(engine, query) == [(0,)]:
            return
        time.sleep(0.05)
    raise AssertionError("a killed process has a connection still")


def test_the_command_line(url: URL, engine: Engine, library: Folder, tmp_path: Path) -> None:
    where = ["--url", url.render_as_string(hide_password=False), "--path", str(library.path)]
    kept = ["--snapshot-folder", str(tmp_path / "kept")]

    def invoke(*words: str) -> Any:
        return CliRunner().invoke(app, [*words, *where])

    assert invoke("up", "--snapshot", *kept).exit_code == 0
    [snapshot] = of(engine, library, tmp_path / "kept").snapshots()
    assert snapshot.path.name in invoke("snapshots", *kept).output
    refused = invoke("restore", str(snapshot.path))
    assert refused.exit_code == 2
    assert "--yes" in refused.output
    assert invoke("restore", str(snapshot.path), "--yes").exit_code == 0
    assert of(engine, library).get_current_version() == 1
    assert "Version 1" in invoke("snapshot", *kept).output
