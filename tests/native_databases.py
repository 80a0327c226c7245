"""A scratch schema on PostgreSQL, or database on MariaDB, for one test each."""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Column, MetaData, Table, create_engine, make_url
from sqlalchemy.engine import URL, Connection
from sqlalchemy.exc import DBAPIError

from sqlmig.schema.changes import AddColumn, Change, TableName
from sqlmig.schema.native.schema import NativeSchema

_SERVERS = {
    "postgresql": ("SQLMIG_TEST_POSTGRESQL_URL", "postgresql+psycopg://postgres@127.0.0.1:5432/test"),
    "mariadb": ("SQLMIG_TEST_MYSQL_URL", "mysql+pymysql://root@127.0.0.1:3306/test"),
}


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
    """Where the server is; skips where there is none."""
    variable, default = _SERVERS[server]
    given = os.environ.get(variable)
    url = make_url(given or default)
    try:
        url.get_dialect().import_dbapi()
    except ImportError as error:
        pytest.skip(f"the driver for {server} is not installed: {error}")
    if not given:
        try:
            socket.create_connection((url.host or "127.0.0.1", url.port or 0), timeout=1).close()
            create_engine(url).connect().close()
        except (OSError, DBAPIError) as error:
            if isinstance(error, DBAPIError) and os.environ.get("CI") == "true":
                # A server that is there is there to be tested on.
                raise
            pytest.skip(f"no {server} that lets us in at {url.host}:{url.port} ({error}); name one in {variable}")
    return url


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
