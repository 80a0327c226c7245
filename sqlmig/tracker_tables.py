"""
The two tables of the tracker, and the steps that bring older forms of them up to date.

The original system made tables of the same names, with fewer columns, and with a history that knew no operations
but apply and rollback. What it recorded is kept row by row; what is upgraded is the shape.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    desc,
    false,
    inspect,
    literal_column,
)
from sqlalchemy.schema import CreateColumn
from sqlalchemy.types import TypeDecorator

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection, Dialect
    from sqlalchemy.sql import ColumnElement

__all__ = ["OPERATIONS", "as_text", "newest_first", "prepare", "tables"]

OPERATIONS = ("apply", "rollback", "skip", "adopt", "stamp", "repair", "restore", "copy")


class UtcTime(TypeDecorator[Any]):
    """Aware UTC times, stored as text that sorts; text that is no time is handed out as it is."""

    impl = String(32)
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        return as_text(value) if isinstance(value, datetime) else value

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        try:
            found = datetime.fromisoformat(value)
        except (TypeError, ValueError):
            return value
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def as_text(time: datetime) -> str:
    """A time as it stands in the tables: UTC, in text that sorts."""
    return time.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")


class Flag(Boolean):
    """A boolean that lets any stored number through: the original system's column has no CHECK."""

    def result_processor(self, dialect: Dialect, coltype: object) -> Any:
        return lambda value: None if value is None else bool(value)


def tables(versions_table: str, history_table: str, schema: str | None, dialect: str) -> tuple[Table, Table]:
    """The versions table and the history table, for a database of one *dialect*."""
    metadata = MetaData(schema=schema)
    # On MariaDB and MySQL a TEXT has at most 65,535 bytes, and on MySQL no default.
    long = Text().with_variant(Text(16_000_000), "mysql", "mariadb")
    short = Text().with_variant(String(2000), "mysql", "mariadb")
    # A version that is a date has 14 digits; SQLite's INTEGER holds them.
    number = Integer().with_variant(BigInteger(), "postgresql", "mysql", "mariadb")
    # Whatever the server's defaults are: with transactions, and texts compared as they are.
    options = {"engine": "InnoDB", "charset": "utf8mb4", "collate": "utf8mb4_bin"}
    kept: dict[str, Any] = {
        f"{name}_{option}": value for name in ("mysql", "mariadb") for option, value in options.items()
    }
    versions = Table(
        versions_table,
        metadata,
        Column("id", Integer, primary_key=True),
        Column("version", number, nullable=False, unique=True),
        Column("description", short, nullable=False, server_default=""),
        Column("state", String(16), nullable=False, server_default="applied"),
        Column("applied_at", UtcTime),
        Column("execution_time_ms", Float),
        Column("rollback_supported", Flag, nullable=False, server_default=false()),
        Column("checksum", String(64)),
        Column("metadata", long),
        **kept,
    )
    # Empty nearly always, so that a boot learns for nothing that no migration was interrupted.
    # SQLAlchemy loads each dialect that is named here, which takes longer than such a boot.
    partial: dict[str, Any] = {}
    if dialect in ("sqlite", "postgresql"):
        partial[f"{dialect}_where"] = versions.c.state == "started"
    Index(f"ix_{versions_table}_started", versions.c.version, **partial)
    history = Table(
        history_table,
        metadata,
        Column("id", Integer, primary_key=True),
        Column("version", number, nullable=False),
        Column("description", short, nullable=False, server_default=""),
        Column("operation", String(16), nullable=False),
        Column("started_at", UtcTime),
        Column("completed_at", UtcTime),
        Column("execution_time_ms", Float),
        Column("success", Flag, nullable=False),
        Column("error_message", long),
        Column("metadata", long),
        CheckConstraint(f"operation IN ({', '.join(map(repr, OPERATIONS))})"),
        **kept,
    )
    return versions, history


def newest_first(history: Table, dialect: str) -> ColumnElement[Any]:
    """The order of the audit log; a history that somebody else made in SQLite may have no id."""
    return desc(literal_column("rowid")) if dialect == "sqlite" else desc(history.c.id)


def prepare(connection: Connection, versions: Table, history: Table) -> None:
    """Create the tables, or bring them up to date, in the transaction that is open."""
    inspector = inspect(connection)
    for table in (versions, history):
        if inspector.has_table(table.name, schema=table.schema):
            _add_missing_columns(connection, table)
        else:
            table.create(connection)
    for index in versions.indexes:
        index.create(connection, checkfirst=True)
    if connection.dialect.name == "sqlite":
        _widen_operations(connection, history)
    else:
        _widen_operations_natively(connection, history)


def _add_missing_columns(connection: Connection, table: Table) -> None:
    there = {c["name"] for c in inspect(connection).get_columns(table.name, schema=table.schema)}
    for column in table.columns:
        if column.name not in there and not column.primary_key:
            spec = CreateColumn(column).compile(dialect=connection.dialect).string.replace(" NOT NULL", "")
            connection.exec_driver_sql(f"ALTER TABLE {_quoted(connection, table)} ADD COLUMN {spec}")


def _widen_operations(connection: Connection, history: Table) -> None:
    """
    Let the history's CHECK know every operation.

    The stored text of the table is edited in place: whatever else somebody gave it stays, columns, rows, indexes and
    triggers, and so do the rows that refer to it, which a rebuild under `foreign_keys` would delete. The change is
    undone with its transaction.
    """
    from .schema.sqlite.catalogue import Catalogue
    from .schema.sqlite.rewrite import edit_schema, update

    catalogue = Catalogue(connection)
    schema = history.schema or "main"
    listed = ", ".join(map(repr, OPERATIONS))
    for entry in catalogue.entries(schema, "type = 'table' AND name = ? COLLATE NOCASE", (history.name,)):
        widened = re.sub(
            r"(\boperation\b[\"`\]]?\s+IN\s*)\(([^()]*)\)",
            lambda m: m[0] if all(repr(o) in m[2] for o in OPERATIONS) else f"{m[1]}({listed})",
            entry.sql or "",
            flags=re.IGNORECASE,
        )
        if widened != entry.sql:
            edit_schema(catalogue, schema, [update(entry, sql=widened)])


def _widen_operations_natively(connection: Connection, history: Table) -> None:
    """The same on a server, of a history that an older release made."""
    name, quote = _quoted(connection, history), connection.dialect.identifier_preparer.quote
    listed = ", ".join(map(repr, OPERATIONS))
    for found in inspect(connection).get_check_constraints(history.name, schema=history.schema):
        text, ours = found["sqltext"], "operation" in found["sqltext"] and "'adopt'" in found["sqltext"]
        if found["name"] and ours and not all(f"'{operation}'" in text for operation in OPERATIONS):
            connection.exec_driver_sql(f"ALTER TABLE {name} DROP CONSTRAINT {quote(found['name'])}")
            connection.exec_driver_sql(f"ALTER TABLE {name} ADD CHECK (operation IN ({listed}))")


def _quoted(connection: Connection, table: Table) -> str:
    return connection.dialect.identifier_preparer.format_table(table)
