"""A scratch schema on PostgreSQL, or database on MariaDB, for one test each."""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import postgresql_server
import pytest
from sqlalchemy import Column, MetaData, Table, create_engine, make_url
from sqlalchemy.engine import URL, Connection
from sqlalchemy.exc import DBAPIError

from sqlmig.schema.changes import AddColumn, Change, TableName
from sqlmig.schema.native.schema import NativeSchema

_VARIABLES = {"postgresql": "SQLMIG_TEST_POSTGRESQL_URL", "mariadb": "SQLMIG_TEST_MYSQL_URL"}
# PyMySQL reads all certificates of the machine for each connection, which takes longer than most tests.
_MARIADB = "mysql+pymysql://root@127.0.0.1:3306/test?ssl_disabled=true"


class Database:
    """A connection in the scratch schema, with short words for what tests say."""

    def __init__(self, connection: Connection, scratch: str) -> None:
        self.connection, self.scratch = connection, scratch
        self.schema = NativeSchema(connection)
        self.postgresql = connection.dialect.name == "postgresql"

    def run(self, *statements: str) -> None:
        for statement in statements:
            self.connection.exec_driver_sql(statement, execution_options={"no_parameters": True})

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        result = self.connection.exec_driver_sql(query, execution_options={"no_parameters": True})
        return [tuple(row) for row in result]

    def value(self, query: str) -> Any:
        return self.rows(query)[0][0]

    def alter(self, *changes: Change, table: str = "t", schema: str | None = None) -> None:
        self.schema.alter(TableName(schema, table), changes)

    def refuses(self, statement: str) -> bool:
        """Whether the server refuses a statement; nothing of it stays."""
        try:
            with self.connection.begin_nested():
                self.run(statement)
        except DBAPIError:
            return True
        return False

    def columns(self, table: str = "t") -> list[str]:
        where = f"table_schema = '{self.scratch}' AND table_name = '{table}' ORDER BY ordinal_position"
        return [row[0] for row in self.rows(f"SELECT column_name FROM information_schema.columns WHERE {where}")]


def added(column: Column[Any], *parents: Table, table: str = "t") -> AddColumn:
    """The change that adds a column; *parents* are what its foreign keys refer to."""
    metadata = MetaData()
    for parent in parents:
        parent.to_metadata(metadata)
    holder = Table(table, metadata, column)
    return AddColumn(holder.columns[column.name])


@contextmanager
def scratch_database(server: str) -> Iterator[Database]:
    """A schema of its own, gone afterwards; skips where there is no such server."""
    url = server_url(server)
    name = f"sqlmig_test_{uuid.uuid4().hex[:16]}"
    kind, cascade = ("SCHEMA", " CASCADE") if server == "postgresql" else ("DATABASE", "")
    admin = create_engine(url, isolation_level="AUTOCOMMIT")
    engine = create_engine(*_inside(url, server, name)[0], **_inside(url, server, name)[1])
    with admin.connect() as connection:
        connection.exec_driver_sql(f"CREATE {kind} {name}")
    try:
        with engine.connect() as connection:
            yield Database(connection, name)
            connection.rollback()
    finally:
        engine.dispose()
        with admin.connect() as connection:
            connection.exec_driver_sql(f"DROP {kind} {name}{cascade}")
        admin.dispose()


def _inside(url: URL, server: str, name: str) -> tuple[Sequence[URL], dict[str, Any]]:
    if server == "postgresql":
        return [url], {"connect_args": {"options": f"-csearch_path={name}"}}
    return [url.set(database=name)], {}


def server_url(server: str) -> URL:
    """
    Where the server is: what the variable of its URL says, else PostgreSQL from its wheel, MariaDB on 127.0.0.1.

    Skips where there is none; under `CI=true`, a PostgreSQL that does not start is a failure, and so is a MariaDB that
    was named, or is there, and does not let us in.
    """
    found = _found(server)
    if isinstance(found, URL):
        return found
    reason, is_there = found
    if is_there and os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@cache
def _found(server: str) -> URL | tuple[str, bool]:
    """Its URL; or why there is none, and whether there should be one."""
    variable = _VARIABLES[server]
    given = os.environ.get(variable)
    try:
        url = make_url(given or _MARIADB) if given or server == "mariadb" else postgresql_server.running()
        url.get_dialect().import_dbapi()
    except (ImportError, postgresql_server.NoServer) as error:
        return f"no {server}, and none is named in {variable}: {error}", server == "postgresql" or bool(given)
    try:
        if not given and server == "mariadb":
            socket.create_connection((url.host, url.port), timeout=1).close()
    except OSError as error:
        return f"no {server} at {url.host}:{url.port} ({error}); name one in {variable}", False
    try:
        engine = create_engine(url)
        engine.connect().close()
        engine.dispose()
    except DBAPIError as error:
        return f"the {server} at {url} does not let us in ({error}); name one in {variable}", True
    return url


def by_driver(url: URL, name: str) -> URL:
    """The same place by another driver, as `mysql+aiomysql`, which has other options."""
    return url.set(drivername=name).difference_update_query(["ssl_disabled"])


def needs_extensions(url: URL, *names: str) -> None:
    """Skip where the server of *url* has not got them all: the wheel's has no contrib modules."""
    if missing := sorted(set(names) - available_extensions(url)):
        pytest.skip(f"the PostgreSQL at {url.host}:{url.port} has no extension {', '.join(missing)}")


def some_extension(url: URL) -> str:
    """One that is there, and makes a type of its own name; the wheel's server has but the second."""
    return "citext" if "citext" in available_extensions(url) else "vector"


def available_extensions(url: URL) -> set[str]:
    """The extensions that can be created there."""
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            return set(connection.exec_driver_sql("SELECT name::text FROM pg_available_extensions").scalars())
    finally:
        engine.dispose()


def fill(db: Database) -> None:
    """Two tables with rows."""
    db.run(
        "CREATE TABLE parent (id INTEGER PRIMARY KEY)",
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER, b VARCHAR(20) DEFAULT 'bee', c INTEGER NOT NULL)",
        "INSERT INTO parent VALUES (1), (2)",
        "INSERT INTO t (id, a, b, c) VALUES (1, 1, 'one', 10), (2, 2, 'two', 20), (3, NULL, NULL, 30)",
    )


def comment_of(db: Database, column: str) -> str | None:
    if db.postgresql:
        number = f"SELECT attnum FROM pg_attribute WHERE attrelid = 't'::regclass AND attname = '{column}'"
        return db.value(f"SELECT col_description('t'::regclass, ({number}))")
    where = f"table_schema = '{db.scratch}' AND table_name = 't' AND column_name = '{column}'"
    return db.value(f"SELECT column_comment FROM information_schema.columns WHERE {where}")


def collation_of(db: Database, column: str) -> str | None:
    where = f"table_schema = '{db.scratch}' AND table_name = 't' AND column_name = '{column}'"
    return db.value(f"SELECT collation_name FROM information_schema.columns WHERE {where}")


def make_trigger(db: Database, name: str, table: str, value: str) -> None:
    if db.postgresql:
        body = f"BEGIN INSERT INTO parent VALUES ({value}); RETURN NEW; END"
        db.run(f"CREATE FUNCTION {name}_f() RETURNS trigger LANGUAGE plpgsql AS $${body}$$")
        action = f"EXECUTE FUNCTION {name}_f()"
    else:
        action = f"INSERT INTO parent VALUES ({value})"
    db.run(f"CREATE TRIGGER {name} AFTER INSERT ON {table} FOR EACH ROW {action}")
