"""
Alembic's commands, with its own signatures, for an application that calls them: one import changes.

`upgrade`, `downgrade` and `stamp` run under sqlmig, on the database that env.py connects to; with `sql=True`, and all
commands that change no database, are Alembic's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import alembic.command as native
from alembic.command import branches, current, edit, heads, history, init, list_templates, merge, show
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import Script, ScriptDirectory

from .migrator import AlembicMigrator
from .project import HandedContext, quietly

__all__ = [
    "branches",
    "check",
    "current",
    "downgrade",
    "edit",
    "heads",
    "history",
    "init",
    "list_templates",
    "merge",
    "revision",
    "show",
    "stamp",
    "upgrade",
]


def upgrade(config: Config, revision: str, sql: bool = False, tag: str | None = None) -> None:
    """
    Upgrade to a revision: exactly once, each revision whole, with an audit log.

    Raises:
        MigrationError: What it was is in its class and its message; the failed revision was undone.
    """
    if sql:
        native.upgrade(config, revision, sql=True, tag=tag)
        return

    def act(migrator: AlembicMigrator) -> None:
        target = migrator.manager.target(revision, down=False)
        assert target is not None
        migrator.migrate_to_version(target)

    _run(config, act, revision, tag)


def downgrade(config: Config, revision: str, sql: bool = False, tag: str | None = None) -> None:
    """
    Downgrade to a revision, in one transaction.

    Raises:
        MigrationError: What it was is in its class and its message; nothing was changed.
    """
    if sql:
        native.downgrade(config, revision, sql=True, tag=tag)
        return
    _run(config, lambda migrator: migrator.rollback_to_version(revision), revision, tag)


def stamp(config: Config, revision: Any, sql: bool = False, tag: str | None = None, purge: bool = False) -> None:
    """Record a revision, or several, without running anything; *purge* forgets first what was recorded."""
    if sql:
        native.stamp(config, revision, sql=True, tag=tag, purge=purge)
        return
    wanted = [revision] if isinstance(revision, str) else list(revision)

    def act(migrator: AlembicMigrator) -> None:
        if not purge:
            # Of a database at revisions that nobody knows, Alembic wants to hear that they are to be forgotten.
            migrator.version_tracker.read()
        migrator.runner.stamp(" ".join(wanted), purge=purge)

    _run(config, act, tuple(wanted), tag)


def check(config: Config) -> None:
    """Raise where `revision --autogenerate` would find something; sqlmig's own tables are nothing."""
    with _own_tables_hidden():
        native.check(config)


def revision(config: Config, *arguments: Any, **options: Any) -> Script | list[Script | None] | None:
    """Write a new revision file; with autogenerate, without sqlmig's own tables."""
    with _own_tables_hidden():
        return native.revision(config, *arguments, **options)


def _run(config: Config, act: Callable[[AlembicMigrator], object], destination: Any, tag: str | None) -> None:
    # A project that is broken is told before env.py is run.
    with quietly():
        script = ScriptDirectory.from_config(config)
    with _Context(config, script, act, destination, tag):
        script.run_env()


class _Context(HandedContext):
    """Lets env.py connect as it does, and takes its engine from there."""

    def __init__(
        self, config: Config, script: ScriptDirectory, act: Callable[[Any], object], to: Any, tag: Any
    ) -> None:
        super().__init__(config, script, fn=lambda heads, context: [], as_sql=False, destination_rev=to, tag=tag)
        self._act = act
        self._said: dict[str, Any] = {}

    def configure(self, connection: Any = None, *positional: Any, **said: Any) -> None:
        super().configure(connection, *positional, **said)
        self._said = {key: value for key, value in said.items() if value is not None}
        self.get_context().__class__ = _RunContext

    def act(self, context: MigrationContext, arguments: dict[str, Any]) -> None:
        """Do what was asked for on the database of env.py's connection."""
        connection: Any = context.connection
        database: Any = connection.engine
        raw = connection.connection.dbapi_connection
        given: Any = self.config.attributes.get("connection")
        if connection is given and given.in_transaction():
            database = connection
        elif getattr(raw, "in_transaction", False) and not database.dialect.is_async:
            # env.py would commit it at its end, and it would be in the way of our transaction.
            raw.commit()
        options = {key: value for key, value in self._said.items() if key not in ("url", "dialect_name", "dialect")}
        migrator = AlembicMigrator(database, self.config, env=False, configure=options, arguments=arguments)
        self._act(migrator)
        if not migrator.version_tracker.read().tracked:
            # Alembic makes its table even where nothing is to be done.
            with migrator.backend.session() as session, session.transaction():
                migrator.version_tracker.ensure_heads_table(session.connection)


class _RunContext(MigrationContext):
    environment_context: _Context

    def begin_transaction(self, _per_migration: bool = False) -> Any:
        return _nothing()

    def run_migrations(self, **arguments: Any) -> None:
        self.environment_context.act(self, arguments)


@contextmanager
def _nothing() -> Iterator[None]:
    yield


@contextmanager
def _own_tables_hidden() -> Iterator[None]:
    """Keep sqlmig's tables out of what autogenerate compares."""

    class Hiding(HandedContext):
        def configure(self, *positional: Any, **said: Any) -> None:
            include_name = said.pop("include_name", None)

            def included(name: Any, kind: str, parents: Any) -> bool:
                own = kind == "table" and str(name).startswith(("migration_versions", "migration_history"))
                return not own and (include_name is None or bool(include_name(name, kind, parents)))

            said["include_name"] = included
            super().configure(*positional, **said)

    commands: Any = native
    before, commands.EnvironmentContext = commands.EnvironmentContext, Hiding
    try:
        yield
    finally:
        commands.EnvironmentContext = before
