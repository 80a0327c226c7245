"""
The SQL of migrations before they run: what they send to a scratch database.

A migration is a program, and what it sends may depend on the database, its version and its rows; so it is run where
nothing is lost, and looked at.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any

from sqlalchemy import event
from sqlalchemy.engine import Engine

from .drift.check import migrated_database
from .errors import shorten
from .results import Record
from .run import Run
from .safety.fence import hands_off
from .safety.rehearsal import copied_database
from .sql_text import mentions, only_reads

if TYPE_CHECKING:
    from .backends.session import Session
    from .base import BaseMigration
    from .loader import LoadedMigration
    from .migrator import Migrator

# What operations try out first, and which a script has no use for.
_PROBE = {
    "PRAGMA writable_schema = 1",
    "UPDATE sqlite_master SET name = name WHERE 0",
    "PRAGMA writable_schema = 0",
}
_TRIAL = "sqlmig_trial"

__all__ = ["MigrationSql", "SentStatement", "SqlPlan", "sql_plan"]


class SentStatement(Record):
    """
    A statement, as often as it was sent without another one in between.

    Attributes:
        sql: As the driver takes it, its placeholders too.
        parameters: Those of the first time.
        times: How often, with how many sets of parameters.
    """

    sql: str
    parameters: Any = None
    times: int = 1

    def __str__(self) -> str:
        remarks = [f"{self.times:,} times"] if self.times > 1 else []
        if self.parameters:
            remarks.append(f"{'first ' if self.times > 1 else ''}with {shorten(repr(self.parameters), 100)}")
        # A semicolon behind a comment would be a part of it.
        commented = any(mark in self.sql.rpartition("\n")[2] for mark in ("--", "#"))
        end = "\n;" if commented else ";"
        return f"{self.sql}{end}" + (f"  -- {', '.join(remarks)}" if remarks else "")


class MigrationSql(Record):
    """What one migration sends, reads left out."""

    version: int
    description: str
    statements: list[SentStatement]


class SqlPlan(Record):
    """
    What a call would send, in the order in which it would send it.

    Attributes:
        direction: "up", "down" or "none".
        with_rows: Whether it was seen on a copy with all rows, or on the schema alone.
    """

    current_version: int
    target_version: int
    direction: str
    with_rows: bool
    migrations: list[MigrationSql]

    def __str__(self) -> str:
        if not self.migrations:
            return f"-- Nothing to do: the database is at version {self.current_version}."
        lines = [f"-- version {self.current_version} -> {self.target_version}"]
        if not self.with_rows:
            lines.append("-- seen in empty tables: what depends on rows may be missing")
        for one in self.migrations:
            lines += ["", f"-- {one.version:03} {one.description} ({self.direction})"]
            lines += [str(statement) for statement in one.statements] or ["-- it sends nothing that changes anything"]
        return "\n".join(lines)


def sql_plan(migrator: Migrator, target: Any = None, *, with_rows: bool = False) -> SqlPlan:
    """
    What `migrate()`, or `migrate_to_version(target)`, would send to the database.

    Args:
        with_rows: As in `Migrator.get_migration_sql`.

    Raises:
        MigrationError: That with which the run would refuse to begin, or with which a migration fails there.
    """
    plan = migrator.runner.check(None if target is None else migrator._target(target))
    seen: dict[int, MigrationSql] = {}
    if plan.steps:
        with copied_database(migrator) if with_rows else _without_rows(migrator) as twin:
            twin.runner.new_run = partial(_HeardRun, seen, twin.version_tracker.own_tables)
            with hands_off(migrator.db.engine):
                twin.migrate() if target is None else twin.migrate_to_version(target)
    return SqlPlan(
        current_version=plan.current_version,
        target_version=plan.target_version,
        direction=plan.direction,
        with_rows=with_rows,
        migrations=list(seen.values()),
    )


def _without_rows(migrator: Migrator) -> AbstractContextManager[Migrator]:
    """
    The Migrator on an empty database that has had the same migrations.

    Raises:
        CheckImpossible: They fail there.
    """
    done = migrator.version_tracker.read().done
    return migrated_database(migrator, max(done, default=0), only=frozenset(done))


class _HeardRun(Run):
    """A run that notes what each migration's own methods send."""

    def __init__(self, seen: dict[int, MigrationSql], own: Collection[str], *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._seen, self._own = seen, own

    def start(self, migration: LoadedMigration, session: Session) -> BaseMigration:
        """The migration on the session's connection."""
        instance = super().start(migration, session)
        heard = MigrationSql(version=migration.version, description=migration.description, statements=[])
        self._seen[migration.version] = heard
        instance._accompany(lambda: _noting(heard.statements, self._own))
        return instance


@contextmanager
def _noting(statements: list[SentStatement], own: Collection[str]) -> Iterator[None]:
    """Note what changes something, but for what sqlmig itself tries out and writes down."""

    def note(_connection: object, _cursor: object, sql: str, parameters: Any, _context: object, many: bool) -> None:
        # Another thread may talk to another database meanwhile.
        if _noted.get() is statements and not (only_reads(sql) or mentions(sql, own) or sql in _PROBE or _TRIAL in sql):
            first = (parameters[0] if parameters else None) if many else parameters
            _add(statements, sql.strip().rstrip(";").rstrip(), first, len(parameters) if many else 1)

    token = _noted.set(statements)
    # Of every engine: a script of Alembic's makes one of its own, over the same connection.
    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield
    finally:
        event.remove(Engine, "before_cursor_execute", note)
        _noted.reset(token)


_noted: ContextVar[list[SentStatement] | None] = ContextVar("sqlmig_noted", default=None)


def _add(statements: list[SentStatement], sql: str, parameters: Any, times: int) -> None:
    last = statements[-1] if statements else None
    if last is not None and last.sql == sql:
        statements[-1] = SentStatement(sql=sql, parameters=last.parameters, times=last.times + times)
    else:
        statements.append(SentStatement(sql=sql, parameters=parameters or None, times=times))
