"""What a rehearsal on PostgreSQL tells of objects and rows of every kind: all of it, and nothing that is not so."""

from __future__ import annotations

from ast import literal_eval
from collections.abc import Iterator

import pytest
from conftest import Folder
from native_databases import some_extension
from rehearsal_support import added, at, of
from scratch_databases import own_database
from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.engine import URL

from sqlmig.safety.differences import differences
from sqlmig.safety.postgresql.schema_text import PostgreSQLSchema


@pytest.fixture
def url() -> Iterator[URL]:
    with own_database() as url:
        yield url


@pytest.fixture
def engine(url: URL) -> Iterator[Engine]:
    engine = create_engine(url)
    yield engine
    engine.dispose()


def test_rows_are_counted_by_migration(url: URL, engine: Engine, folder: Folder) -> None:
    at(url, "CREATE TABLE log (n int)", "CREATE TABLE t (i int PRIMARY KEY)")
    at(
        url,
        "CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN INSERT INTO log VALUES (new.i); RETURN new; END $$",
        "CREATE TRIGGER noted AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION noted()",
    )
    added(folder, 1, ["INSERT INTO t SELECT generate_series(1, 100)"], ["DELETE FROM t"])
    # A table that is dropped takes its figures along, and another takes its place.
    added(
        folder,
        2,
        ["CREATE TABLE u AS SELECT i FROM t LIMIT 50", "INSERT INTO u SELECT i FROM t LIMIT 7", "DROP TABLE t"],
        ["CREATE TABLE t (i int PRIMARY KEY)", "DROP TABLE u"],
        extra="removes = ['t', 'u']",
    )
    added(folder, 3, ["UPDATE u SET i = 0"], ["UPDATE u SET i = 1"], extra="transactional = False")
    folder.add(
        4,
        "for rows in self.batches('log', key='n', size=30):\n"
        "    self.execute_sql('UPDATE log SET n = n WHERE n BETWEEN ? AND ?', (rows[0]['n'], rows[-1]['n']))",
        extra="resumable = True",
    )
    report = of(engine, folder).rehearse()
    assert report.can_migrate, str(report)
    found = [step.rows_touched for step in report.steps]
    assert found[:3] == [200, 57, 57]
    # The checkpoints are counted as well.
    assert 100 <= found[3] <= 110


def test_rows_of_one_transaction(url: URL, engine: Engine, folder: Folder) -> None:
    added(folder, 1, ["CREATE TABLE t AS SELECT generate_series(1, 100) i", "INSERT INTO t SELECT i FROM t"])
    added(
        folder,
        2,
        ["CREATE TABLE u (i int)", "INSERT INTO u SELECT i FROM t LIMIT 5", "DROP TABLE t"],
        extra="removes = ['t']",
    )
    report = of(engine, folder).rehearse(all_or_nothing=True)
    assert report.can_migrate, str(report)
    assert [step.rows_touched for step in report.steps] == [200, 5]


def test_a_schema_that_comes_before_the_usual_one(url: URL, folder: Folder) -> None:
    at(url, "CREATE TABLE t (i int)")
    engine = create_engine(url, connect_args={"options": "-csearch_path=tenant,public"})
    added(folder, 1, ["CREATE SCHEMA tenant", "CREATE TABLE tenant.u (i int)"], ["DROP SCHEMA tenant CASCADE"])
    report = of(engine, folder).rehearse()
    assert report, str(report)
    assert report.steps[0].schema_difference == ["+ schema tenant", "+ table tenant.u"]
    engine.dispose()


SET = (
    "SELECT 1 FROM pg_db_role_setting WHERE setconfig = '{work_mem=9MB}' AND setdatabase IN"
    " (0, (SELECT oid FROM pg_database WHERE datname = current_database()))"
)


@pytest.mark.parametrize(
    ("statement", "extra"),
    [
        ("CREATE ROLE {name}", ""),
        ("DO $$ BEGIN CREATE ROLE {name}; END $$", ""),
        ("CREATE ROLE {name}", "resumable = True"),
        ("CREATE ROLE {name}", "transactional = False"),
        ("ALTER DATABASE {database} SET work_mem = '9MB'", ""),
        ("ALTER DATABASE {database} CONNECTION LIMIT 7", ""),
        (
            "DO $$ BEGIN ALTER DATABASE {database} CONNECTION LIMIT 7;"
            " EXCEPTION WHEN division_by_zero THEN NULL; END $$",
            "",
        ),
        ("ALTER ROLE CURRENT_USER SET work_mem = '9MB'", ""),
        ("CREATE DATABASE {name}", "transactional = False"),
        ("ALTER SYSTEM SET work_mem = '9MB'", "transactional = False"),
        ("GRANT pg_read_all_data TO CURRENT_USER", "transactional = False"),
    ],
)
def test_what_is_the_server_s_is_refused(url: URL, engine: Engine, folder: Folder, statement: str, extra: str) -> None:
    told = statement.format(name=f"{url.database}_new", database=url.database)
    added(folder, 1, [told], extra=extra)
    report = of(engine, folder).rehearse()
    assert not report.can_migrate
    assert "all databases of the server have in common" in str(report)
    assert "self.rehearsing" in str(report)
    server = "SELECT rolname FROM pg_roles UNION ALL SELECT datname FROM pg_database"
    assert at(url, f"SELECT 1 FROM ({server}) s (n) WHERE n LIKE current_database() || '_new'") == []
    assert at(url, "SELECT datconnlimit FROM pg_database WHERE datname = current_database()") == [(-1,)]
    assert at(url, SET) == []


def test_what_is_the_copy_s_own_is_let_be(url: URL, engine: Engine, folder: Folder) -> None:
    for number, statement in enumerate(
        (
            "ALTER DATABASE %I SET work_mem = '9MB'",
            "COMMENT ON DATABASE %I IS 'x'",
            "GRANT CONNECT ON DATABASE %I TO PUBLIC",
            "ALTER DATABASE %I CONNECTION LIMIT 9",
        ),
        1,
    ):
        told = f"DO $$ BEGIN EXECUTE format($q${statement}$q$, current_database()); END $$"
        added(folder, number, [told, f"CREATE TABLE t{number} (i int)"])
    report = of(engine, folder).rehearse()
    assert report, str(report)
    assert at(url, SET) == []


KINDS = [
    "CREATE TYPE mood AS ENUM ('a', 'b')",
    "CREATE DOMAIN pos AS int CHECK (value > 0)",
    'CREATE TABLE base (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, n text COLLATE "C",'
    " g int GENERATED ALWAYS AS (1 + 1) STORED, m mood DEFAULT 'a', p pos)",
    "CREATE TABLE part (id int, d date) PARTITION BY RANGE (d)",
    "CREATE TABLE part1 PARTITION OF part FOR VALUES FROM ('2020-01-01') TO ('2021-01-01')",
    "CREATE TABLE child () INHERITS (base)",
    "CREATE UNLOGGED TABLE fleeting (i int)",
    "CREATE TABLE solo (t text)",
    "CREATE VIEW v AS SELECT id FROM base",
    "CREATE MATERIALIZED VIEW mv AS SELECT id FROM base",
    "CREATE INDEX ix ON base (lower(n)) WHERE id > 3",
    "CREATE FUNCTION tf() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN new; END $$",
    "CREATE TRIGGER tg BEFORE INSERT ON base FOR EACH ROW EXECUTE FUNCTION tf()",
    "CREATE FUNCTION et() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN END $$",
    "CREATE EVENT TRIGGER ev ON ddl_command_end EXECUTE FUNCTION et()",
    "CREATE POLICY pol ON base FOR SELECT USING (id > 0)",
    "CREATE RULE ru AS ON DELETE TO fleeting DO INSTEAD NOTHING",
    "CREATE STATISTICS st ON id, n FROM base",
    "CREATE SEQUENCE sq START 7 INCREMENT 3",
    "CREATE COLLATION coll (locale = 'C')",
    "CREATE AGGREGATE total(int) (sfunc = int4pl, stype = int)",
    "CREATE OPERATOR === (leftarg = int, rightarg = int, function = int4eq)",
    "CREATE TYPE rng AS RANGE (subtype = int4)",
    "COMMENT ON COLUMN base.n IS 'told'",
    "COMMENT ON FUNCTION tf() IS 'told'",
    "SELECT lo_from_bytea(0, 'x')",
    "INSERT INTO base (n) VALUES ('x')",
    "INSERT INTO part VALUES (1, '2020-05-05')",
]


def test_a_copy_has_everything(url: URL, engine: Engine, folder: Folder) -> None:
    extension = some_extension(url)
    at(url, *KINDS, f"CREATE EXTENSION {extension}", f"ALTER TABLE base ADD c {extension}")
    folder.add(
        1,
        "import pathlib\n"
        "from sqlmig.safety.postgresql.schema_text import PostgreSQLSchema\n"
        "raw = self.db.connection.connection.dbapi_connection\n"
        "found = PostgreSQLSchema.read(raw, (), 'public').objects\n"
        f"pathlib.Path({str(folder.path / 'copied')!r}).write_text(\n"
        "    repr({str(key): text for key, text in found.items() if 'migration_' not in str(key)}))\n"
        "assert self.execute_sql('SELECT count(*) FROM pg_largeobject').scalar() == 1\n"
        "assert self.execute_sql('SELECT count(*) FROM mv').scalar() == 1\n"
        "assert self.execute_sql('SELECT count(*) FROM part1').scalar() == 1",
    )
    report = of(engine, folder).rehearse(thorough=True)
    assert report, str(report)
    with engine.connect() as connection:
        found = PostgreSQLSchema.read(connection.connection.dbapi_connection, (), "public").objects
    expected = {str(key): text for key, text in found.items() if "migration_" not in str(key)}
    assert literal_eval((folder.path / "copied").read_text()) == expected


@pytest.mark.parametrize(
    ("there", "back", "told"),
    [
        ("GRANT SELECT ON base TO PUBLIC", "REVOKE SELECT ON base FROM PUBLIC", "~ table base: "),
        ("GRANT SELECT (n) ON base TO PUBLIC", "REVOKE SELECT (n) ON base FROM PUBLIC", "~ table base: column n"),
        ("GRANT USAGE ON SEQUENCE sq TO PUBLIC", "REVOKE USAGE ON SEQUENCE sq FROM PUBLIC", "~ sequence sq"),
        ("ALTER SEQUENCE sq OWNED BY base.id", "ALTER SEQUENCE sq OWNED BY NONE", "~ sequence sq"),
        ("REVOKE EXECUTE ON FUNCTION tf() FROM PUBLIC", "GRANT EXECUTE ON FUNCTION tf() TO PUBLIC", "~ function tf()"),
        ("COMMENT ON INDEX ix IS 'x'", "COMMENT ON INDEX ix IS NULL", "+ comment on index public.ix"),
        ("COMMENT ON TYPE mood IS 'x'", "COMMENT ON TYPE mood IS NULL", "+ comment on type public.mood"),
        ("ALTER EVENT TRIGGER ev DISABLE", "ALTER EVENT TRIGGER ev ENABLE", "~ event trigger ev"),
        ("CREATE PUBLICATION pub FOR TABLE base", "DROP PUBLICATION pub", "+ publication pub"),
        ("DROP COLLATION coll", "CREATE COLLATION coll (locale = 'C')", "- collation public.coll"),
        (
            "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC",
            "ALTER DEFAULT PRIVILEGES REVOKE SELECT ON TABLES FROM PUBLIC",
            "+ default acl for role",
        ),
        (
            "ALTER TABLE solo ALTER t SET STORAGE main",
            "ALTER TABLE solo ALTER t SET STORAGE extended",
            "STORAGE",
        ),
        ("ALTER TABLE part DETACH PARTITION part1", None, "~ table part1"),
        ("ALTER TABLE child NO INHERIT base", "ALTER TABLE child INHERIT base", "~ table child"),
        ("ALTER TABLE base DISABLE TRIGGER tg", "ALTER TABLE base ENABLE TRIGGER tg", "~ trigger tg on base"),
        ("ALTER POLICY pol ON base USING (id > 1)", "ALTER POLICY pol ON base USING (id > 0)", "~ policy pol on base"),
        ("ALTER TABLE fleeting SET LOGGED", "ALTER TABLE fleeting SET UNLOGGED", "~ table fleeting"),
        ("ALTER VIEW v ALTER id SET DEFAULT 4", "ALTER VIEW v ALTER id DROP DEFAULT", "~ view v"),
    ],
)
def test_what_is_changed_is_told_and_what_is_put_back_is_none(
    everything: Engine, there: str, back: str | None, told: str
) -> None:
    with everything.connect() as connection:
        before = schema(connection)
        connection.exec_driver_sql(there)
        changed = differences(before, schema(connection))
        assert told in str(changed)
        assert len(changed) == 1
        if back is not None:
            connection.exec_driver_sql(back)
            assert differences(before, schema(connection)) == []


@pytest.fixture(scope="module")
def everything() -> Iterator[Engine]:
    with own_database() as url:
        at(url, *KINDS)
        engine = create_engine(url)
        yield engine
        engine.dispose()


def schema(connection: Connection) -> PostgreSQLSchema:
    return PostgreSQLSchema.read(connection.connection.dbapi_connection, (), "public")
