"""The scratch databases of a check: who may make them, what is in them beforehand, what they keep out, their end."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from check_support import PLAIN, UP, add, checked, left_behind, library, server_of_its_own
from conftest import Folder
from native_databases import some_extension
from places import Place
from resumable_support import in_child
from sqlalchemy import Column, Enum, ForeignKey, Integer, MetaData, Table, create_engine, event
from sqlalchemy.schema import CreateSchema
from sqlalchemy.types import UserDefinedType

from sqlmig.drift import scratch
from sqlmig.errors import CheckImpossible, ConfigurationError

each_server = pytest.mark.parametrize("server", PLAIN, indirect=True)
on_postgresql = pytest.mark.parametrize("server", ["postgresql"], indirect=True)
on_mariadb = pytest.mark.parametrize("server", ["mariadb"], indirect=True)


@pytest.fixture
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    with server_of_its_own(request.param, tmp_path) as place:
        yield place


# Making and ending


@each_server
def test_what_a_killed_check_left_is_dropped_by_the_next_one(server: Place, folder: Folder) -> None:
    add(folder, 1, UP)
    assert checked(server, folder).clean
    add(folder, 2, "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)")
    assert in_child(lambda: checked(server, folder, migrate=False, database=False)) == signal.SIGKILL
    assert len(left_behind(server)) == 1
    (folder.path / "002_step_2.py").unlink()
    assert checked(server, folder, library()).clean
    assert left_behind(server) == []


@each_server
def test_a_scratch_database_that_is_in_use_is_left_alone(server: Place, folder: Folder) -> None:
    add(folder, 1, UP)
    migrator = server.migrator(folder)
    with scratch.empty_database(migrator) as engine:
        mine = left_behind(server)
        assert len(mine) == 1
        assert checked(server, folder, library()).clean
        assert left_behind(server) == mine
        with engine.connect() as connection:
            connection.exec_driver_sql("CREATE TABLE t (id integer)")
    assert left_behind(server) == []


@on_postgresql
def test_a_role_that_may_make_no_database_is_told_what_to_grant(server: Place, folder: Folder) -> None:
    add(folder, 1, UP)
    user = f"{server.look.url.database}_user"
    server.run(f"CREATE ROLE {user} LOGIN", f"GRANT ALL ON SCHEMA public TO {user}")
    engine = server.engine()
    event.listen(engine, "connect", lambda raw, _: raw.execute(f"SET SESSION AUTHORIZATION {user}") and raw.commit())
    try:
        with pytest.raises(ConfigurationError, match=f'ALTER ROLE "?{user}"? CREATEDB') as raised:
            server.migrator(folder, engine).check(library())
        assert "sqlmig check --url" in str(raised.value)
        assert left_behind(server) == []
    finally:
        engine.dispose()
        server.run(f"DROP OWNED BY {user}", f"DROP ROLE {user}")


@on_mariadb
def test_a_user_who_may_make_no_database_is_told_what_to_grant(server: Place, folder: Folder) -> None:
    add(folder, 1, UP)
    user = server.scratch[-20:]
    server.run(f"CREATE USER {user}@'%%' IDENTIFIED BY 'x'", f"GRANT ALL ON {server.scratch}.* TO {user}@'%%'")
    url = server.look.url.set(username=user, password="x")
    try:
        place = Place(server.kind, url, server.scratch)
        with pytest.raises(ConfigurationError, match=r"GRANT ALL PRIVILEGES ON `sqlmig\\_check\\_%`\.\* TO") as raised:
            checked(place, folder, library())
        grant = str(raised.value).partition("Let it: ")[2].partition(";")[0]
        server.run(grant.replace("%", "%%"))
        assert checked(place, folder, library()).clean
        place.close()
    finally:
        server.run(f"DROP USER {user}@'%%'")
    assert left_behind(server) == []


# What is there beforehand


@on_postgresql
def test_schemas_that_the_migrations_make_and_that_models_name(server: Place, folder: Folder) -> None:
    models = MetaData()
    parents = Table("parents", models, Column("id", Integer, primary_key=True), schema="tenant_a")
    mood = Enum("sad", "ok", name="mood", schema="tenant_b")
    Table("t", models, Column("id", Integer, ForeignKey(parents.c.id), primary_key=True), Column("m", mood))
    up = """
    self.execute_sql("CREATE SCHEMA tenant_a")
    self.execute_sql("CREATE SCHEMA tenant_b")
    self.execute_sql("CREATE TYPE tenant_b.mood AS ENUM ('sad', 'ok')")
    self.execute_sql("CREATE TABLE tenant_a.parents (id serial PRIMARY KEY)")
    self.execute_sql("CREATE TABLE t (id integer PRIMARY KEY REFERENCES tenant_a.parents, m tenant_b.mood)")
    """
    add(folder, 1, up)
    report = checked(server, folder, models)
    assert report.clean, str(report)
    server.run("ALTER TABLE tenant_a.parents ADD more integer")
    assert [found.text for found in checked(server, folder).differences] == [
        "column tenant_a.parents.more integer: in the database only"
    ]


@on_postgresql
def test_schemas_that_the_migrations_take_for_granted(server: Place, folder: Folder) -> None:
    server.run("CREATE SCHEMA tenant_a", "CREATE SCHEMA other", "CREATE TABLE other.t (id integer)")
    add(folder, 1, 'self.execute_sql("CREATE TABLE tenant_a.parents (id serial PRIMARY KEY)")')
    # Another application's schema is none of ours.
    report = checked(server, folder)
    assert report.clean, str(report)


@on_postgresql
def test_schemas_that_models_make_by_themselves(server: Place, folder: Folder) -> None:
    models = MetaData(schema="tenant_a")
    Table("parents", models, Column("id", Integer, primary_key=True))
    event.listen(models, "before_create", CreateSchema("tenant_a"))
    up = """
    self.execute_sql("CREATE SCHEMA IF NOT EXISTS tenant_a")
    self.create_table("tenant_a.parents", Column("id", Integer, primary_key=True))
    """
    add(folder, 1, up)
    report = checked(server, folder, models)
    assert report.clean, str(report)


@on_postgresql
def test_a_schema_on_the_search_path_with_the_records_in_it(server: Place, folder: Folder) -> None:
    server.run("CREATE SCHEMA tenant_a")
    tenant = Place(server.kind, server.look.url, "tenant_a")
    add(folder, 1, UP)
    report = checked(tenant, folder, library(), migrator={"schema": "tenant_a"})
    assert report.clean, str(report)
    tenant.run("DROP TABLE books")
    assert [found.text for found in checked(tenant, folder).differences] == [
        "table books (id, title, author): in the migrations only"
    ]
    tenant.close()


@on_postgresql
def test_a_database_without_the_schema_public(server: Place, folder: Folder) -> None:
    server.run("CREATE SCHEMA app", "DROP SCHEMA public")
    app = Place(server.kind, server.look.url, "app")
    add(folder, 1, UP)
    assert checked(app, folder, library()).clean
    app.close()


@on_postgresql
def test_migrations_that_drop_the_schema_public(server: Place, folder: Folder) -> None:
    server.run("CREATE SCHEMA records")
    up = """
    self.execute_sql("CREATE SCHEMA app")
    self.execute_sql("CREATE TABLE app.t (id integer)")
    self.execute_sql("DROP SCHEMA public")
    """
    add(folder, 1, up)
    report = checked(server, folder, migrator={"schema": "records"})
    assert report.clean, str(report)


@on_postgresql
@pytest.mark.parametrize("made", ["by hand", "by the migration", "by both"])
def test_extensions_that_models_need(server: Place, folder: Folder, made: str) -> None:
    name = some_extension(server.look.url)

    class Extended(UserDefinedType[Any]):
        cache_ok = True

        def get_col_spec(self, **_: object) -> str:
            return name

    models = MetaData()
    Table("t", models, Column("id", Integer, primary_key=True), Column("c", Extended()))
    first = (
        ""
        if made == "by hand"
        else f'self.execute_sql("CREATE EXTENSION {"IF NOT EXISTS " if made == "by both" else ""}{name}")\n'
    )
    if made != "by the migration":
        server.run(f"CREATE EXTENSION {name}")
    add(folder, 1, f'{first}self.execute_sql("CREATE TABLE t (id serial PRIMARY KEY, c {name})")')
    report = checked(server, folder, models)
    assert report.clean, str(report)


@on_postgresql
def test_what_is_set_for_the_database_is_set_in_the_scratch_database(server: Place, folder: Folder) -> None:
    name = server.look.url.database
    server.run("CREATE SCHEMA first", f"ALTER DATABASE {name} SET search_path = first, public")
    # The engine says nothing of a search path.
    engine = create_engine(server.look.url)
    add(folder, 1, UP)
    migrator = server.migrator(folder, engine)
    migrator.migrate()
    report = migrator.check(library())
    assert report.clean, str(report)
    assert server.rows("SELECT to_regclass('first.books') IS NOT NULL") == [(True,)]
    engine.dispose()


@on_mariadb
def test_the_character_set_is_that_of_the_database(server: Place, folder: Folder) -> None:
    server.run(f"ALTER DATABASE {server.scratch} CHARACTER SET latin1 COLLATE latin1_german1_ci")
    add(folder, 1, UP)
    report = checked(server, folder, library())
    assert report.clean, str(report)
    server.run("ALTER TABLE authors CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_bin")
    assert [found.text for found in checked(server, folder).differences] == [
        "table authors: a plain table in the migrations, COLLATE utf8mb4_bin in the database"
    ]


@on_mariadb
def test_records_in_another_database_are_not_touched(server: Place, folder: Folder) -> None:
    other = f"{server.scratch}_r"
    server.run(f"CREATE DATABASE {other}")
    try:
        add(folder, 1, UP)
        report = checked(server, folder, library(), migrator={"schema": other})
        assert report.clean, str(report)
        assert server.rows(f"SELECT count(*) FROM {other}.migration_history") == [(1,)]
    finally:
        server.run(f"DROP DATABASE {other}")


@on_mariadb
def test_models_that_name_their_database(server: Place, folder: Folder) -> None:
    add(folder, 1, UP)
    models = MetaData()
    for table in library().tables.values():
        table.to_metadata(models, schema=server.scratch)
    # SQLAlchemy has made the name of an index from that of the schema as well.
    report = checked(server, folder, models, ignore=["ix_*"])
    assert report.clean, str(report)


# What is kept out


@on_postgresql
def test_a_migration_that_makes_a_role_is_refused(server: Place, folder: Folder) -> None:
    role = f"{server.look.url.database}_role"
    add(folder, 1, f'self.execute_sql("CREATE ROLE {role}")')
    with pytest.raises(CheckImpossible, match="all databases of the server"):
        checked(server, folder, migrate=False)
    assert server.rows(f"SELECT 1 FROM pg_roles WHERE rolname = '{role}'") == []
    assert left_behind(server) == []
    add(folder, 1, f'if not self.rehearsing: self.execute_sql("CREATE ROLE {role}")')
    assert checked(server, folder, migrate=False).clean


OTHER = [
    "CREATE TABLE {0}.made (id integer)",
    "INSERT INTO `{0}` . `t` VALUES (2)",
    "UPDATE {0}.t SET id = 5",
    "DELETE FROM {0}.t",
    "DROP TABLE IF EXISTS mine, {0}.t",
    "ALTER TABLE {0}.t ADD more integer",
    "RENAME TABLE {0}.t TO {0}.u",
    "TRUNCATE {0}.t",
    "CREATE INDEX ix ON {0}.t (id)",
    "CREATE VIEW {0}.v AS SELECT 1",
    "CREATE TRIGGER {0}.tr BEFORE INSERT ON {0}.t FOR EACH ROW SET @a = 1",
    "CREATE PROCEDURE p() BEGIN DELETE FROM {0}.t; END",
    "CREATE TABLE child (id integer, FOREIGN KEY (id) REFERENCES {0}.t (id))",
    "/*! DROP TABLE {0}.t */",
    "EXECUTE IMMEDIATE 'DROP TABLE {0}.t'",
    "USE {0}",
    "DROP DATABASE {0}",
    "ALTER DATABASE {0} CHARACTER SET latin1",
    "CREATE USER {0}_user",
    "GRANT SELECT ON {0}.* TO nobody",
    "SET GLOBAL max_connections = 151",
]


@pytest.mark.thorough
@on_mariadb
def test_a_migration_that_names_another_database_is_refused(server: Place, folder: Folder) -> None:
    other = f"{server.scratch}_o"
    server.run(f"CREATE DATABASE {other}", f"CREATE TABLE {other}.t (id integer PRIMARY KEY)")
    try:
        for statement in (one.format(other) for one in OTHER):
            add(folder, 1, f"self.execute_sql({statement!r})")
            with pytest.raises(CheckImpossible, match="another database than its own, or the server"):
                checked(server, folder, migrate=False, database=False)
            assert server.rows(f"SHOW CREATE TABLE {other}.t")[0][1].count("\n") == 3, statement
            assert server.rows(f"SHOW TABLES FROM {other}") == [("t",)]
        assert left_behind(server) == []
    finally:
        server.run(f"DROP DATABASE {other}")


@on_mariadb
def test_a_migration_that_only_looks_like_it_is_not_refused(server: Place, folder: Folder) -> None:
    # A database, a table and an alias may have one name.
    other = f"{server.scratch}_o"
    server.run(f"CREATE DATABASE {other}")
    up = f"""
    self.execute_sql("CREATE TABLE {other} (id integer, n integer)")
    self.execute_sql("CREATE TABLE b (id integer, t varchar(99) DEFAULT 'into {other}.t')")
    self.execute_sql("INSERT INTO {other} SELECT {other}.id, {other}.n FROM {other} JOIN b ON {other}.id = b.id")
    self.execute_sql("UPDATE {other} JOIN b ON {other}.id = b.id SET {other}.n = 1")
    self.execute_sql("INSERT INTO b (id) VALUES (1) ON DUPLICATE KEY UPDATE b.id = 1")
    self.execute_sql(
        "CREATE TRIGGER tr BEFORE INSERT ON b FOR EACH ROW SET NEW.id = (SELECT max({other}.id) FROM {other})")
    self.execute_sql("ALTER DATABASE CHARACTER SET utf8mb4")
    """
    try:
        add(folder, 1, up)
        assert checked(server, folder).clean
    finally:
        server.run(f"DROP DATABASE {other}")
