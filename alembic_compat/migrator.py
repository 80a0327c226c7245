"""AlembicMigrator: Migrator's front door over an Alembic project."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine, MetaData, create_engine

from sqlmig import ConfigurationError, Migrator, NotAtomic
from sqlmig.backends import as_sqlite
from sqlmig.backends.sqlite import quoted

from .configured import sets_locations, text_of, version_table_in
from .layout import Layout, plain_layout
from .reading import Heads
from .records import history_of

# The rest of this package imports Alembic, and is imported where a boot is not at head.
if TYPE_CHECKING:
    from sqlmig.connection import Database
    from sqlmig.results import MigrationResult, Plan
    from sqlmig.safety.report import Rehearsal
    from sqlmig.transfer.report import CopyResult

    from .environment import Environment
    from .history import History
    from .managing import RevisionManager
    from .project import Project, ScriptLocation
    from .running import RevisionRunner
    from .tracking import RevisionTracker

__all__ = ["AlembicMigrator"]


class AlembicMigrator(Migrator):
    """
    Runs an existing Alembic project, unmodified, with everything that Migrator promises.

    `AlembicMigrator(engine, "alembic").migrate()` instead of `alembic upgrade heads`. The revisions are the versions
    1 to N; their names are taken wherever a version is, and mean what they mean to Alembic. `alembic_version` is kept
    in step in the same transaction, so that either tool goes on where the other stopped.

    Args:
        database: As in Migrator.
        script_location: Alembic's folder, "package:folder", the path of an alembic.ini, or a Config.
        env: Whether env.py is run, on our connection; False goes without it.
        target_metadata, naming_convention: What names the constraints, where env.py does not say it.
        version_table, version_table_schema: Where Alembic keeps its heads; else as env.py says.
        x_arguments: As `alembic -x`: a mapping, or texts "name=value".
        configure: More options of `context.configure()`, where env.py does not say them.
        arguments: Passed to upgrade() and downgrade() under env=False.
        options: Those of Migrator.

    Raises:
        ConfigurationError: There is no such project, or the database cannot be what was passed.
    """

    def __init__(
        self,
        database: Database,
        script_location: ScriptLocation,
        *,
        env: bool = True,
        target_metadata: Any = None,
        naming_convention: Mapping[str, Any] | None = None,
        version_table: str | None = None,
        version_table_schema: str | None = None,
        x_arguments: Mapping[str, str] | Sequence[str] | None = None,
        configure: Mapping[str, Any] | None = None,
        arguments: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        for option, value, kind in (
            ("env", env, bool),
            ("version_table", version_table, str),
            ("version_table_schema", version_table_schema, str),
        ):
            if value is not None and (not isinstance(value, kind) or value == ""):
                raise ConfigurationError(
                    f"{option}={value!r} cannot be used.\n  it is no {kind.__name__}\nLeave it out."
                )
        options.setdefault("out_of_order", "apply")
        if options.setdefault("on_data_loss", "ignore") != "ignore":
            raise ConfigurationError(
                f"on_data_loss={options['on_data_loss']!r} cannot be used with an Alembic project.\n"
                "  its revisions have no place to say what they remove, so what they lose is not counted\n"
                "Leave it out, or write the history as migrations: sqlmig import-alembic"
            )
        self._says_together = "all_or_nothing" in options
        # The folder is never looked into: the revisions are the files.
        super().__init__(_synchronous(database), ".", **options)
        if self._door is not None:
            raise ConfigurationError(
                "AlembicMigrator runs on no connection of an asynchronous driver, and no asynchronous database in"
                " memory.\n"
                "  Alembic's scripts run on a connection of Python's sqlite3; nothing was changed.\n"
                "Pass an engine of sqlite:///, or of sqlite+aiosqlite:/// with a file: the file is opened by sqlite3."
            )
        self._location, self._x_arguments, self._runs_env = script_location, x_arguments, env
        self._options = {**(configure or {}), **_metadata(target_metadata, naming_convention)}
        self._options |= {"version_table": version_table} if version_table else {}
        self._options |= {"version_table_schema": version_table_schema} if version_table_schema else {}
        self._arguments = arguments
        self._named = {name for name in ("versions_table", "history_table") if name in options}
        self._history: History | None = None
        self._tables_found: dict[str, Any] | None = None
        self._place: tuple[str, str | None] | None = None
        self._plain = plain_layout(script_location)
        self._heads = Heads(lambda: self._layout)
        if self._plain is None or (env and sets_locations(self._env_text)):
            self._plain = None
            # So that what is wrong with it is told here.
            _ = self.project

    def _on(self, database: Database) -> AlembicMigrator:
        """The same on another database, which has an env.py run of its own."""
        twin = super()._on(database)
        for name in ("project", "environment", "_told"):
            twin.__dict__.pop(name, None)
        twin._history = twin._tables_found = twin._place = None
        return twin

    def copy_from(self, source: Database, *, skip: Sequence[str] = (), batch_size: int = 2_000) -> CopyResult:
        """
        Not for Alembic projects.

        Raises:
            ConfigurationError: Always.
        """
        raise ConfigurationError(
            "AlembicMigrator copies no databases.\n  Its history is Alembic's; nothing was changed.\n"
            "Import the project, and copy with what comes of it: sqlmig import-alembic"
        )

    @cached_property
    def project(self) -> Project:
        """The project as Alembic has it."""
        from .project import Project

        url = self.db.engine.url.render_as_string(hide_password=False)
        return Project(self._location, url, self._x_arguments, runs_env=self._runs_env)

    @cached_property
    def environment(self) -> Environment:
        """How its revisions are run."""
        from .environment import Environment

        environment = Environment(self.project, options=self._options, arguments=self._arguments)
        environment.history = lambda: self.history
        return environment

    @property
    def _layout(self) -> Layout:
        return self.project.layout if self._plain is None else self._plain

    @cached_property
    def _env_text(self) -> bytes:
        return text_of(self._layout.env_py) if self._runs_env else b""

    @property
    def history(self) -> History:
        """The revisions, read anew when a file has changed."""
        self._locate()
        if self._history is None or (not self.environment.settled and self._heads.changed()):
            from .history import History

            self.project._directory = None
            self._history = History(self.project)
        return self._history

    @property
    def version_table(self) -> tuple[str, str | None]:
        """Where Alembic keeps its heads, with the schema; env.py is run for it only where its text does not tell."""
        if self._place is None:
            said = self._told if self._told is not None else self.ask_env()
            self._place = str(said.get("version_table") or "alembic_version"), said.get("version_table_schema")
        return self._place

    def ask_env(self) -> Mapping[str, Any]:
        """What env.py gives to `context.configure()`; it is run for that, and nothing else is."""
        from .handed import Handover

        with self.environment.turn(self.backend.lock_timeout, self.backend.name), self.backend.session() as session:
            self.environment.run(Handover(as_sqlite(session, "AlembicMigrator"), self.db.engine), lambda: None)
        return self.environment.said or {}

    def _locate(self) -> None:
        """Where env.py says where the revisions are, run it for that, once."""
        if self._plain is None and self.project.awaits_locations:
            directory = self.project.directory
            self.ask_env()
            self.project.locations = directory.version_locations
            self.project._directory = None

    def _records(self) -> dict[str, Any]:
        """Tables of our own for each history of a database."""
        if self._tables_found is None:
            tables = dict(self._tables)
            place = ".".join(part for part in reversed(self.version_table) if part)
            if not self._named and self._is_taken(place):
                self._refuse_taken_over()
                tables = {**tables, **{key: f"{tables[key]}_{place}" for key in ("versions_table", "history_table")}}
            self._tables_found = tables
        return self._tables_found

    def _is_taken(self, place: str) -> bool:
        """Whether the versions table is another history's: sqlmig's own, or that of another table of Alembic's."""
        facts = self._facts("versions_table", "LIMIT 1")
        return facts is not None and history_of(facts) != place

    def _refuse_taken_over(self) -> None:
        """
        Leave a database alone where native migrations have gone on with these very revisions.

        Alembic's table says there what was applied before that, so that everything since would run again.

        Raises:
            ConfigurationError: It is such a database.
        """
        facts = self._facts("history_table", "WHERE operation = 'adopt' ORDER BY rowid DESC LIMIT 1")
        revisions = json.loads(facts or "{}").get("revisions", [])
        if any(name in self.history.version_of for name in revisions):
            raise ConfigurationError(
                f"The database {self.backend.name} is that of sqlmig's own migrations; nothing was changed.\n"
                f"  They took it over at {', '.join(revisions)}, and Alembic's table has not been written since\n"
                "Run them: Migrator(engine, folder). To go back to Alembic: alembic stamp REVISION, and drop"
                f" {self._tables['versions_table']}"
            )

    def _facts(self, kind: str, which: str) -> str | None:
        """The metadata of one row of our tables; None where there is no such row, or no such table yet."""
        schema = f"{quoted(self._tables['schema'])}." if self._tables["schema"] else ""
        try:
            row = self.backend.read_row(f"SELECT (SELECT metadata FROM {schema}{quoted(self._tables[kind])} {which})")
        except Exception:
            # What is wrong is told by whoever reads next.
            return None
        return None if row is None or row[0] is None else str(row[0])

    @property
    def manager(self) -> RevisionManager:
        """What finds, checks and plans."""
        from .managing import RevisionManager

        if self._manager is None:
            from .tracking import RevisionTracker

            tracker = RevisionTracker(
                self.db,
                lambda: self.history,
                *self.version_table,
                **self._records(),
                lock_timeout=self.backend.lock_timeout,
            )
            self._manager = RevisionManager(self.db, lambda: self.history, tracker, self.environment)
        assert isinstance(self._manager, RevisionManager)
        return self._manager

    @property
    def version_tracker(self) -> RevisionTracker:
        """The versions table and the audit log, which follow Alembic's own table."""
        return self.manager.version_tracker

    @property
    def runner(self) -> RevisionRunner:
        """What applies and rolls back."""
        from .running import RevisionRunner

        if self._runner is None:
            self._runner = self._secured(RevisionRunner(self.manager, self.environment, self._progress))
        assert isinstance(self._runner, RevisionRunner)
        return self._runner

    def migrate_to_version(
        self,
        version: int | str,
        *,
        all_or_nothing: bool | None = None,
        rehearse: bool | str | os.PathLike[str] = False,
        use_snapshot: bool = False,
    ) -> MigrationResult:
        """Bring the database to a version, up or down; a name means that revision and what it needs."""
        return super().migrate_to_version(
            self._target(version), all_or_nothing=all_or_nothing, rehearse=rehearse, use_snapshot=use_snapshot
        )

    def rehearse(self, target: int | str | None = None, **options: Any) -> Rehearsal:
        """Do to a copy what `migrate()`, or `migrate_to_version(target)`, would do."""
        # A name is looked up on the copy: a file that is not there is not made for it.
        named: Any = target
        return super().rehearse(named, **options)

    def rollback_to_version(self, version: int | str, *, use_snapshot: bool = False) -> MigrationResult:
        """Roll back every migration above a version; of a name, what descends from it."""
        return super().rollback_to_version(self._target(version, down=True), use_snapshot=use_snapshot)

    def _how_to_restore(self, path: str) -> str:
        return f"restore({path!r})"

    def get_migration_plan(self, target: int | str | None = None) -> Plan:
        """What `migrate()` or `migrate_to_version(target)` would do. Read-only."""
        return self.manager.get_migration_plan(target)

    def stamp(self, version: int | str, *, if_untracked: bool = False) -> bool:
        """Record that the database is at a version, in Alembic's table too, without running anything."""
        return self.runner.stamp(version, if_untracked=if_untracked)

    def set_version(self, version: int | str) -> None:
        """The same as `stamp`."""
        self.stamp(version)

    def _together(self, said: bool | None, run: Callable[[bool], MigrationResult]) -> MigrationResult:
        """Where nobody said it, as Alembic does: in one transaction where env.py has it so, unless a script commits."""
        if said is not None or self._says_together or not self._alembic_has_one_transaction():
            return super()._together(said, run)
        try:
            return run(True)
        except NotAtomic:
            return run(False)

    def _alembic_has_one_transaction(self) -> bool:
        said: Mapping[str, Any] = self._options
        if not said.get("transactional_ddl") and b"transactional_ddl" in self._env_text:
            said = self.environment.said or self.ask_env()
        return bool(said.get("transactional_ddl")) and not said.get("transaction_per_migration")

    def _target(self, version: int | str, *, down: bool | None = None) -> int:
        from sqlmig.manager import require_version

        from .managing import SEE

        found = self.manager.target(version, down=down)
        require_version(found, SEE)
        assert found is not None
        return found

    def _version_at_head(self) -> int | None:
        """N, where one small read shows that every revision is applied and recorded."""
        try:
            self._locate()
            names, heads = self._heads.read()
        except Exception:
            # The long way meets the same, and says it.
            return None
        if not names or (self._place is None and self._told is None):
            return None
        sql = self._head_query(heads)
        try:
            return len(names) if self.backend.read_row(sql) == (len(names), None, len(heads), len(heads)) else None
        except Exception:
            return None

    @cached_property
    def _told(self) -> Mapping[str, Any] | None:
        """What is known of the version table without running env.py."""
        if self._options.get("version_table") or not self._runs_env:
            return self._options
        return version_table_in(self._env_text)

    def _head_query(self, heads: Sequence[str]) -> str:
        name, schema = self.version_table
        place = f"{quoted(schema)}.{quoted(name)}" if schema else quoted(name)
        tables = self._records()
        versions = quoted(tables["versions_table"])
        versions = f"{quoted(tables['schema'])}.{versions}" if tables["schema"] else versions
        listed = ", ".join("'" + head.replace("'", "''") + "'" for head in heads)
        return (
            f"SELECT (SELECT count(*) FROM {versions} WHERE state <> 'started'),"
            f" (SELECT version FROM {versions} WHERE state = 'started' LIMIT 1),"
            f" (SELECT count(*) FROM {place}), (SELECT count(*) FROM {place} WHERE version_num IN ({listed}))"
        )


def _metadata(target_metadata: Any, naming_convention: Mapping[str, Any] | None) -> dict[str, Any]:
    """What says how constraints are named."""
    if naming_convention is not None:
        return {"target_metadata": MetaData(naming_convention=naming_convention)}
    return {} if target_metadata is None else {"target_metadata": target_metadata}


def _synchronous(database: Any) -> Any:
    """An engine of the same SQLite file for one whose driver is asynchronous; anything else as it is."""
    # A connection's transaction is not to be left out.
    engine = database if hasattr(database, "sync_connection") else getattr(database, "sync_engine", database)
    if (
        isinstance(engine, Engine)
        and engine.dialect.is_async
        and engine.dialect.name == "sqlite"
        and engine.url.database not in (None, "", ":memory:")
    ):
        return create_engine(engine.url.set(drivername="sqlite"))
    return database
