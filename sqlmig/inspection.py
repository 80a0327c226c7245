"""What can be read off a database: its schema, its sizes, its health."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import inspect

from .backends import require_sqlite
from .results import Issue, Optimization, SchemaInfo, SchemaReport, Statistics, TableInfo, Tables
from .schema import Operations

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection
    from sqlalchemy.engine.reflection import Inspector

    from .connection import DatabaseConnection
    from .manager import MigrationManager
    from .version_tracker import VersionTracker

__all__ = ["optimize", "schema_info", "schema_report", "statistics"]


def schema_info(db: DatabaseConnection, manager: MigrationManager) -> SchemaInfo:
    """Tables with columns, indexes and row counts, through the SQLAlchemy inspector."""
    with db.reading() as connection:
        state = manager.version_tracker.read(connection)
        inspector, operations = inspect(connection), Operations(connection)
        return SchemaInfo(
            current_version=state.current_version,
            target_version=manager.get_target_version(),
            needs_migration=manager.needs(state),
            tables=Tables(_table(name, inspector, operations) for name in inspector.get_table_names()),
            views=inspector.get_view_names(),
        )


def _table(name: str, inspector: Inspector, operations: Operations) -> TableInfo:
    key = set(inspector.get_pk_constraint(name)["constrained_columns"])
    columns = [
        {
            "name": column["name"],
            "type": str(column["type"]),
            "nullable": column["nullable"],
            # The original system's word for the same.
            "notnull": not column["nullable"],
            "default": column["default"],
            "primary_key": column["name"] in key,
        }
        for column in inspector.get_columns(name)
    ]
    return TableInfo(
        name=name,
        columns=columns,
        indexes=operations.indexes((None, name)),
        foreign_keys=[dict(found) for found in inspector.get_foreign_keys(name)],
        row_count=operations.row_count((None, name)),
    )


def statistics(db: DatabaseConnection, tracker: VersionTracker) -> Statistics:
    """Sizes, rows and timings; of a database in memory, the size is that of its pages."""
    require_sqlite(db.engine.dialect.name, "This account of sizes")
    timings = tracker.timings()
    with db.reading() as connection:
        operations = Operations(connection)
        rows = {name: operations.row_count((None, name)) for name in inspect(connection).get_table_names()}
        pages, size = _pragma(connection, "page_count"), _pragma(connection, "page_size")
        return Statistics(
            database_size_bytes=pages * size,
            page_size=size,
            page_count=pages,
            freelist_count=_pragma(connection, "freelist_count"),
            journal_mode=_pragma(connection, "journal_mode"),
            table_rows=rows,
            total_rows=sum(rows.values()),
            migration_timings=timings,
            migration_count=len(timings),
            total_migration_time_ms=round(sum(timings.values()), 3),
            average_migration_time_ms=round(sum(timings.values()) / len(timings), 3) if timings else 0.0,
        )


def schema_report(db: DatabaseConnection, tracker: VersionTracker) -> SchemaReport:
    """Damage, broken foreign keys, and records that disagree. It reads the whole database."""
    require_sqlite(db.engine.dialect.name, "A check for damage")
    with db.reading() as connection:
        issues = [
            Issue(f"integrity_check: {found}", kind="damaged")
            for (found,) in connection.exec_driver_sql("PRAGMA integrity_check")
            if found != "ok"
        ]
        issues += [
            Issue(f"row {row[1]} of {row[0]} refers to a row of {row[2]} that is not there", kind="foreign_key")
            for row in connection.exec_driver_sql("PRAGMA foreign_key_check")
        ]
        state = tracker.read(connection)
        if tracker.disagrees(state):
            text = f"user_version is {state.user_version}, but the versions table says {state.current_version}"
            issues.append(Issue(text, kind="version", hint="sqlmig repair"))
        return SchemaReport(valid=not issues, current_version=state.current_version, issues=issues)


def optimize(db: DatabaseConnection) -> Optimization:
    """Let SQLite count its tables and indexes again (https://sqlite.org/lang_analyze.html)."""
    require_sqlite(db.engine.dialect.name, "PRAGMA optimize")
    statements = ["ANALYZE", "PRAGMA optimize"]
    for statement in statements:
        db.execute(statement)
    return Optimization(success=True, operations_performed=statements)


def _pragma(connection: Connection, name: str) -> Any:
    return connection.exec_driver_sql(f"PRAGMA {name}").scalar()
