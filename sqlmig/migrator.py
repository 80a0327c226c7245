"""Migrator: the front door."""

from __future__ import annotations

import copy
import os
from functools import partial
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from .aio.verbs import awaitable, verb
from .backends import backend_for
from .backends.head import head_query
from .connection import Asynchronous, Database, DatabaseConnection, is_asynchronous
from .results import MigrationResult
from .sources import Sources

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sqlalchemy.engine.reflection import Inspector

    from .aio.doors import Door
    from .autogenerate.renames import RenameQuestion
    from .autogenerate.report import NewMigration
    from .diagnosis import Diagnosis
    from .drift.report import DriftReport
    from .guard import OnDataLoss
    from .manager import MigrationManager
    from .pictures import Format
    from .pictures.report import DatabaseReport
    from .planning import OutOfOrder
    from .preview import SqlPlan
    from .records import Outcome
    from .renumber import RenumberedMigration
    from .results import Loss, Optimization, Plan, SchemaInfo, SchemaReport, Statistics, Status
    from .run import BeforeFirst
    from .runner import MigrationRunner
    from .safety.keeper import Snapshots
    from .safety.policy import SnapshotPolicy
    from .safety.report import Rehearsal
    from .safety.shelf import Snapshot
    from .sources import MigrationPaths
    from .squash.report import SquashedMigration
    from .transfer.report import CopyResult
    from .version_tracker import VersionTracker

__all__ = ["DatabaseMigrator", "Migrator", "ModularDatabaseMigrator"]


class Migrator:
    """
    Brings a database to the version that its program needs.

    `Migrator(engine, "migrations/versions").migrate()` when the application boots is all that is needed, in every
    process and every time. At head it costs one directory scan and one small read.

    Args:
        database: Engine, Connection (its transaction is joined and never committed), DatabaseConnection, URL, or
            the path of a SQLite file; an AsyncEngine or AsyncConnection, whose verbs are awaited: `migrate_async()`.
        migrations: A folder, an importable package (`"myapp.migrations"`), or a list of both; left out, what
            `[tool.sqlmig]` in pyproject.toml says, then `migrations/versions`.
        out_of_order: A migration that appears below the current version is an `"error"`, or to `"apply"`, or to
            `"ignore"`.
        all_or_nothing: One transaction around all pending migrations.
        on_data_loss: A migration that removes data without saying so in `removes` is an `"error"` and undone, or to
            `"warn"` about, or to `"ignore"`, which counts nothing.
        lock_timeout: Seconds to wait for another process that migrates, and a statement of a migration for a table
            that another connection has locked. A shorter time of the connection's own stays.
        statement_timeout: Seconds that one statement of a migration may take; any time by default, or what the
            connection has. The one that takes longer fails with its migration.
        progress: Called with how many migrations are done, of how many, and what is being done; where that is a loop
            over rows, also with how far it is, and how fast.
        snapshot: Whether a verified copy of the database is made before the first pending migration, and where:
            True, a folder, or `SnapshotPolicy(folder, keep=3)`.
        versions_table, history_table, schema: Where the records are kept.

    Raises:
        ConfigurationError: The database or the folder cannot be what was passed.
    """

    def __init__(
        self,
        database: Database | Asynchronous,
        migrations: MigrationPaths | None = None,
        *,
        out_of_order: OutOfOrder = "error",
        all_or_nothing: bool = False,
        on_data_loss: OnDataLoss = "error",
        lock_timeout: float = 60.0,
        statement_timeout: float | None = None,
        progress: Callable[[int, int, str], object] | None = None,
        snapshot: SnapshotPolicy | bool | str | os.PathLike[str] | Mapping[str, Any] | None = None,
        versions_table: str = "migration_versions",
        history_table: str = "migration_history",
        schema: str | None = None,
    ) -> None:
        if isinstance(lock_timeout, bool) or not isinstance(lock_timeout, int | float) or not lock_timeout >= 0:
            raise _wrong("lock_timeout", lock_timeout, "a number of seconds", "0 or more")
        if statement_timeout is not None and not _is_time(statement_timeout):
            raise _wrong("statement_timeout", statement_timeout, "a number of seconds", "more than 0, or None")
        if out_of_order not in ("error", "apply", "ignore"):
            raise _wrong("out_of_order", out_of_order, "a policy", "'error', 'apply' or 'ignore'")
        if on_data_loss not in ("error", "warn", "ignore"):
            raise _wrong("on_data_loss", on_data_loss, "a policy", "'error', 'warn' or 'ignore'")
        if progress is not None and _is_awaited(progress):
            raise _wrong("progress", progress, "a coroutine function, which nobody would await", "a plain function")
        self._door: Door | None = None
        if is_asynchronous(database):
            from .aio.doors import opened

            reached, self._door = opened(database)
        else:
            reached = cast("Database", database)
        self.db = reached if isinstance(reached, DatabaseConnection) else DatabaseConnection(reached)
        self.backend = backend_for(self.db, lock_timeout, statement_timeout=statement_timeout)
        self._sources = Sources(migrations)
        self._out_of_order: OutOfOrder = out_of_order
        self._all_or_nothing, self._progress = all_or_nothing, progress
        self._on_data_loss: OnDataLoss = on_data_loss
        self._tables: dict[str, Any] = {
            "versions_table": versions_table,
            "history_table": history_table,
            "schema": schema,
        }
        self._snapshot: Any = snapshot
        if not (snapshot is None or isinstance(snapshot, bool)):
            from .safety.policy import anchored, as_policy

            self._snapshot = anchored(as_policy(snapshot))
        self._head: tuple[tuple[int, ...], str, tuple[Any, ...]] | None = None
        self._manager: MigrationManager | None = None
        self._runner: MigrationRunner | None = None

    @property
    def version_tracker(self) -> VersionTracker:
        """The versions table and the audit log."""
        # The manager's: it knows the files, and so what a database has that something else brought here.
        return self.manager.version_tracker

    @property
    def manager(self) -> MigrationManager:
        """What finds, checks and plans."""
        if self._manager is None:
            from .manager import MigrationManager
            from .version_tracker import VersionTracker

            tracker = VersionTracker(self.db, **self._tables, **self._limits)
            self._manager = MigrationManager(self.db, self._sources, tracker=tracker, out_of_order=self._out_of_order)
        return self._manager

    @property
    def runner(self) -> MigrationRunner:
        """What applies and rolls back."""
        if self._runner is None:
            from .runner import MigrationRunner

            runner = MigrationRunner(self.manager, self._progress, on_data_loss=self._on_data_loss)
            self._runner = self._secured(runner)
        return self._runner

    def _secured(self, runner: Runner) -> Runner:
        """Have what was asked for done before the first migration, and a rollback know what can be restored."""
        if self._snapshot:
            runner.safeguards.append(self.keeper.before)
        if self.db.engine.dialect.name in ("sqlite", "postgresql"):
            runner.other_way = lambda version: self.keeper.advice(version, self._how_to_restore)
        return runner

    def _how_to_restore(self, path: str) -> str:
        import shlex

        return f"sqlmig restore {shlex.quote(path)}"

    @property
    def keeper(self) -> Snapshots:
        """What makes, finds and restores snapshots."""
        from .safety.keeper import keeper_of
        from .safety.policy import SnapshotPolicy, as_policy

        # Where nobody has said how many are kept, none of somebody else's is removed.
        policy = as_policy(self._snapshot) or SnapshotPolicy(keep=None)
        return keeper_of(self.manager, policy, self._progress)

    @property
    def inspector(self) -> Inspector:
        """A fresh SQLAlchemy Inspector."""
        from sqlalchemy import inspect

        return inspect(self.db.connection if self.db.connection is not None else self.db.engine)

    @verb
    def migrate(
        self, *, all_or_nothing: bool | None = None, rehearse: bool | str | os.PathLike[str] = False
    ) -> MigrationResult:
        """
        Bring the database to the newest version.

        Every migration happens exactly once and whole, however many processes call this and whenever they die.

        Args:
            all_or_nothing: One transaction around all pending migrations; the Migrator's own setting by default.
            rehearse: Do it to a copy first, under the lock, and leave the database alone if that fails; a path is
                the folder for the copy.

        Returns:
            What was applied, skipped, and how long it took; true.

        Raises:
            MigrationError: What it was is in its class and its message; the failed migration was undone.
            DataLossError: It would have removed data that it does not say it removes.
            RehearsalFailed: The copy could not be migrated, or was damaged by it; its report tells.
        """
        version = self._version_at_head()
        if version is not None:
            return _nothing_done(version)
        return self._together(all_or_nothing, lambda together: self._first(rehearse, None, together, self.runner.apply))

    @verb
    def migrate_to_version(
        self,
        version: int,
        *,
        all_or_nothing: bool | None = None,
        rehearse: bool | str | os.PathLike[str] = False,
        use_snapshot: bool = False,
    ) -> MigrationResult:
        """
        Bring the database to *version*, up or down.

        Args:
            rehearse: As in `migrate()`.
            use_snapshot: As in `rollback_to_version`.

        Raises:
            UnknownVersion: No migration has it.
        """
        if use_snapshot and (found := self.keeper.instead_of_rollback(version)) is not None:
            return self.keeper.restore(found, version)
        go = self.runner.migrate_to_version
        return self._together(
            all_or_nothing, lambda together: self._first(rehearse, version, together, partial(go, version))
        )

    def _first(
        self,
        rehearse: bool | str | os.PathLike[str],
        version: int | None,
        together: bool,
        go: Callable[..., MigrationResult],
    ) -> MigrationResult:
        """Have *go* do to a copy first what it is to do, if that is asked for."""
        warnings: list[str] = []
        first = [self._rehearsed(version, together, rehearse, warnings)] if rehearse not in (False, None) else []
        done = go(all_or_nothing=together, before_first=first)
        return MigrationResult(**{**done, "warnings": [*done.warnings, *warnings]}) if warnings else done

    def _rehearsed(
        self, version: int | None, together: bool, folder: bool | str | os.PathLike[str], warnings: list[str]
    ) -> BeforeFirst:
        from .safety.rehearsal import rehearse_first

        return rehearse_first(self, version, together, folder, warnings)

    @verb
    def rehearse(
        self,
        target: int | None = None,
        *,
        all_or_nothing: bool | None = None,
        folder: str | os.PathLike[str] | None = None,
        room: float = 3.0,
        thorough: bool | None = None,
    ) -> Rehearsal:
        """
        Do to a copy what `migrate()`, or `migrate_to_version(target)`, would do, and then what takes it back.

        The database is only read. The copy is removed, however this ends; what a killed process left of one is
        removed by the next rehearsal. A migration that fails makes a report that is false, and no error.

        Args:
            target: The newest version by default.
            all_or_nothing: As in `migrate()`.
            folder: Where the copy lies, `":memory:"` for nowhere; by default the system's temporary folder if that
                has room, else beside the database.
            room: How many times the size of the database must be free there.
            thorough: Whether each entry of each index is compared with its row afterwards (`integrity_check`); by
                default in databases of up to 32 MiB, and in larger ones `quick_check` and the number of entries.

        Raises:
            ConfigurationError: The database cannot be copied, or the call is wrong.
            DiskFull: There is no room for a copy; nothing was written.
        """
        from .safety.rehearsal import rehearse

        return rehearse(self, target, together=all_or_nothing, folder=folder, room=room, thorough=thorough).report

    @verb
    def check(
        self,
        models: object = None,
        *,
        ignore: Sequence[str] = (),
        database: bool = True,
        allow_empty: bool = False,
    ) -> DriftReport:
        """
        Tell in what models, migrations and the database do not agree.

        The models are created in an empty database of the same kind, the migrations are run in another, and what the
        catalogues of the three say is compared; both are removed at the end. The database is only read.

        Args:
            models: A MetaData, a declarative base, `"app.models:Base"`, or a list of them; without, the migrations and
                the database are compared.
            ignore: Patterns of names that are passed over: `"audit_*"`, `"books.legacy"`.
            database: Whether the database is compared at all, or the models and the migrations alone.
            allow_empty: Whether models without tables are meant, and not a module that was not imported.

        Raises:
            ConfigurationError: The models are none, or cannot be created in this kind of database.
            CheckImpossible: The migrations fail on an empty database.
        """
        from .drift.check import check

        return check(self, models, ignore=ignore, database=database, allow_empty=allow_empty)

    @verb
    def draw_schema(
        self,
        format: Format = "sql",
        *,
        at: int | None = None,
        diff: tuple[int, int] | None = None,
        ignore: Sequence[str] = (),
    ) -> str:
        """
        Show the schema of the database, of a version, or what differs between two versions. Read-only.

        What the migrations make is made in an empty database of the same kind, which is removed at the end.

        Args:
            format: `"sql"`, statements that would make it again; `"text"`, `"markdown"`, `"mermaid"`; `"svg"`, a
                diagram; `"html"`, a page with it.
            at: The version whose schema is meant, and not that of the database.
            diff: Two versions, whose difference is meant; there is none in SQL.
            ignore: Patterns of the names of tables and views that are left out.

        Raises:
            UnknownVersion: No migration has it.
            CheckImpossible: The migrations fail on an empty database.
            ConfigurationError: There is no such format, or pg_dump is not there, which tells PostgreSQL's statements.
        """
        from .pictures.draw import draw

        return draw(self, format, at=at, diff=diff, ignore=ignore)

    @verb
    def write_report(
        self,
        path: str | os.PathLike[str],
        models: object = None,
        *,
        ignore: Sequence[str] = (),
        force: bool = False,
    ) -> DatabaseReport:
        """
        Write a page with all that is known of the database: history, what is pending, schema, sizes, drift.

        The page needs nothing else to be looked at. The database is only read; what cannot be read is told there.

        Args:
            path: The file, which comes to be whole or not at all.
            models, ignore: As in `check()`.
            force: Whether something else that is there may be replaced, and not an earlier report alone.

        Raises:
            ConfigurationError: Something else is there, it cannot be written, or the models are none.
            DatabaseUnavailable: The database cannot be read at all.
        """
        from .pictures.report_file import write_report

        return write_report(self, path, models, ignore=ignore, force=force)

    @verb
    def create_migration(
        self,
        description: str,
        models: object,
        *,
        rename: Sequence[str] = (),
        drop: Sequence[str] = (),
        ask: Callable[[RenameQuestion], str | None] | None = None,
        ignore: Sequence[str] = (),
        allow_empty: bool = False,
    ) -> NewMigration:
        """
        Write the migration file that brings what the migrations make to what the models say, with its way back.

        The file is run in scratch databases of the same kind before it is kept, there, back and there again; what it
        cannot express is told, in it too. Of the database itself only its kind is asked.

        Args:
            description: In words, which become the file's name and the class's.
            models, ignore, allow_empty: As in `check()`.
            rename: What was renamed: `"old:new"` of tables, `"table.old:new"` of columns.
            drop: What is really gone, though it looks as if it were renamed: `"table"`, `"table.column"`.
            ask: Called with each question that these leave open; its answer is one of the candidates, or None.

        Returns:
            What was written; true where models and migrations agree with it. Without a path where they do already.

        Raises:
            RenameUnclear: Something may have been renamed, and nobody says so; nothing was written.
            RenameImpossible: What is said to be renamed or dropped is not there, or not gone.
            AutogenerateFailed: What was written does not run in a scratch database, and was not kept.
            ConfigurationError, CheckImpossible: As in `check()`.
        """
        from .autogenerate.create import create

        return create(
            self, description, models, rename=rename, drop=drop, ask=ask, ignore=ignore, allow_empty=allow_empty
        )

    @verb
    def squash(
        self,
        first: int,
        last: int,
        *,
        description: str = "",
        keep: bool = False,
        rename: Sequence[str] = (),
        drop: Sequence[str] = (),
    ) -> SquashedMigration:
        """
        Put one migration in the place of those from *first* to *last*: it makes the same schema and the same rows.

        It is run in scratch databases of the same kind before it is kept, and what it makes is compared with what the
        others make. Its version is *last*. A database that has had all of them counts it as applied; of the database
        itself only its kind is asked.

        Args:
            description: In words; it tells the versions by default.
            keep: Move the old files to a folder beside the new one. Else they are deleted, and must be in git.
            rename, drop: As in `create_migration()`, where it is not known what the migrations have renamed.

        Raises:
            SquashImpossible: They cannot be one, or it could not be proved that it does the same; nothing was changed.
            UnknownVersion: No migration has the version.
            ValidationFailed: A file of them does not load.
            ConfigurationError: A file would be lost, or the new one cannot be written.
            CheckImpossible: The migrations fail on an empty database.
        """
        from .squash.create import squash

        return squash(self, first, last, description=description, keep=keep, rename=rename, drop=drop)

    @verb
    def renumber(self, file: str | os.PathLike[str], version: int | None = None) -> RenumberedMigration:
        """
        Give a migration file another version: in its name, in its class, and in the files that depend on it.

        Comments and formatting stay. Where two files have the version, those that depend on it stay with the other
        one, which is told.

        Args:
            file: Its name or its path.
            version: The next free one by default.

        Raises:
            ConfigurationError: There is no such file, the version is taken, or the database has had the file.
            ValidationFailed: It does not load.
        """
        from .renumber import renumber

        return renumber(self.manager, file, version)

    @property
    def _limits(self) -> dict[str, Any]:
        return {"lock_timeout": self.backend.lock_timeout, "statement_timeout": self.backend.statement_timeout}

    def _target(self, version: int) -> int:
        """What a version means: here, itself."""
        return version

    def _on(self, database: Database) -> Self:
        """The same, with every option, on another database."""
        twin = copy.copy(self)
        twin.db = database if isinstance(database, DatabaseConnection) else DatabaseConnection(database)
        twin.backend = backend_for(twin.db, **self._limits)
        # Whoever comes here has gone through it.
        twin._door = None
        twin._progress = twin._head = twin._manager = twin._runner = twin._snapshot = None
        return twin

    def _take(self, sources: Sources) -> None:
        """Have these files from now on, and nothing that was known by others."""
        self._sources = sources
        self._head = self._manager = self._runner = None

    def _together(self, said: bool | None, run: Callable[[bool], MigrationResult]) -> MigrationResult:
        """Run with what was said of all_or_nothing, in this call or for all."""
        return run(self._all_or_nothing if said is None else said)

    @verb
    def rollback_to_version(self, version: int, *, use_snapshot: bool = False) -> MigrationResult:
        """
        Roll back every migration above *version*, newest first.

        Args:
            use_snapshot: Where one of them has no way back, restore the newest snapshot of *version* instead: what
                was written since is lost.

        Raises:
            RollbackNotSupported: One of them has no way back, and there is no snapshot, or it was not to be used;
                nothing was rolled back.
            ConfigurationError: The database is below *version*.
        """
        if use_snapshot and (found := self.keeper.instead_of_rollback(version)) is not None:
            return self.keeper.restore(found, version)
        return self.runner.rollback(version)

    @verb
    def create_snapshot(self) -> Snapshot:
        """
        Make a verified copy of the database now; older ones go as `snapshot` says, and stay where it says nothing.

        Raises:
            SnapshotFailed: None could be made.
            DiskFull: There is no room for it.
        """
        return self.keeper.make()

    @verb
    def snapshots(self) -> list[Snapshot]:
        """The snapshots of this database, newest first. Read-only."""
        return self.keeper.listed()

    @verb
    def restore(self, snapshot: Snapshot | str | os.PathLike[str]) -> MigrationResult:
        """
        Bring a snapshot back into the live database: its content as it was, with the history of all since.

        What was written since is lost. Connections that are open, of other processes too, see the restored content.

        Args:
            snapshot: One of `snapshots()`, or the path of one, or of another copy of this database.

        Raises:
            SnapshotUnusable: It is damaged, no database, or newer than the migration files.
            DatabaseLocked: Another connection has a transaction open; nothing was changed.
            DiskFull: There is no room for it; nothing was changed.
        """
        return self.keeper.restore(snapshot)

    @verb
    def copy_from(self, source: Database, *, skip: Sequence[str] = (), batch_size: int = 2_000) -> CopyResult:
        """
        Copy another database into this one, which is empty: SQLite, PostgreSQL, MariaDB or MySQL, into any of them.

        The migrations that the source has had make the schema here, under the lock; then come all its rows, of one
        moment, with its history. It counts only when numbers and checksums of what is read back agree. A failure
        undoes it; after a kill nothing takes this database for whole, and the next call begins anew. The source is
        only read.

        Args:
            source: What `Migrator` takes. Its migrations are those of this Migrator.
            skip: Tables, and columns as `"table.column"`, to be left out.
            batch_size: Rows that are held in memory at a time, at the most.

        Raises:
            TargetNotEmpty: There is something here already; nothing was changed.
            TablesDiffer: The source has a table or a column that no migration makes here.
            ValueUnfit: This database cannot hold a value of the source as it is.
            CopyMismatch: What was read back is not what was read.
            CopyError: The source is at no version, or this database refused a row.
        """
        if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
            raise _wrong("batch_size", batch_size, "a number of rows", "1 or more")
        if isinstance(skip, str):
            raise _wrong("skip", skip, "a list of names", "a list")
        from .transfer.copy import Copy

        database = source if isinstance(source, DatabaseConnection) else DatabaseConnection(source)
        return Copy(self, database, skip, batch_size)()

    @verb
    def create_tables_if_not_exist(self) -> MigrationResult:
        """Make the schema of a new database by migrating it; one that has a version already is left as it is."""
        state = self.version_tracker.read()
        self.version_tracker.refuse_half_copied(state)
        return self.migrate() if state.current_version == 0 else _nothing_done(state.current_version)

    @verb
    def needs_migration(self) -> bool:
        """Whether `migrate()` has something to apply, or will refuse the database as it is. Read-only."""
        return self._version_at_head() is None and self.manager.needs_migration()

    @verb
    def get_current_version(self) -> int:
        """The version that the database is at. Read-only."""
        return self.version_tracker.get_current_version()

    @verb
    def get_rollback_losses(self, target: int) -> list[Loss]:
        """
        What a rollback to *target* would remove that the migrations on the way have made. Read-only.

        It counts the rows of the tables and the values of the columns that are recorded with each version.
        """
        from .guard.ahead import losses_of_rollback

        return self.backend.read(lambda: losses_of_rollback(self.db, self.version_tracker, target))

    @verb
    def get_migration_plan(self, target: int | None = None) -> Plan:
        """What `migrate()` or `migrate_to_version(target)` would do. Read-only."""
        return self.manager.get_migration_plan(target)

    @verb
    def get_migration_sql(self, target: int | None = None, *, with_rows: bool = False) -> SqlPlan:
        """
        The SQL that `migrate()`, or `migrate_to_version(target)`, would send.

        The migrations are run in a scratch database; the database itself is only read. The statements by which sqlmig
        records them are left out, and so is what only reads.

        Args:
            with_rows: Have them run on a copy of the database, as `rehearse()` makes one, and not on its schema alone:
                only there statements show that depend on rows.

        Raises:
            MigrationError: That with which the run would refuse to begin, or with which a migration fails there.
        """
        from .preview import sql_plan

        return sql_plan(self, target, with_rows=with_rows)

    @verb
    def get_migration_status(self) -> Status:
        """Where the database stands. Read-only."""
        return self.manager.get_migration_status()

    @verb
    def get_migration_history(self, limit: int | None = None) -> list[dict[str, Any]]:
        """Everything that was done or tried, newest first, as dicts. Read-only."""
        return self.version_tracker.get_migration_history(limit)

    @verb
    def get_schema_info(self) -> SchemaInfo:
        """Tables with columns, indexes and row counts, and the versions behind them. Read-only."""
        from .inspection import schema_info

        return self.backend.read(lambda: schema_info(self.db, self.manager))

    @verb
    def get_performance_statistics(self) -> Statistics:
        """Sizes, rows and timings. Read-only."""
        from .inspection import statistics

        return self.backend.read(lambda: statistics(self.db, self.version_tracker))

    @verb
    def validate_schema(self) -> SchemaReport:
        """
        Look for damage, broken foreign keys and records that disagree. Read-only; it reads the whole database.

        Returns:
            A report, true when nothing is wrong.
        """
        from .inspection import schema_report

        return self.backend.read(lambda: schema_report(self.db, self.version_tracker))

    @verb
    def diagnose(self) -> Diagnosis:
        """
        Look at all that may stand in the way of a migration: driver, versions, settings, lock, room, files.

        Nothing is changed; the lock is taken for a moment, where nobody has it.

        Returns:
            The findings, true where none is a problem.
        """
        from .diagnosis import diagnose

        return diagnose(self)

    @verb
    def optimize_database_performance(self) -> Optimization:
        """Refresh the statistics of SQLite's query planner (`ANALYZE`, `PRAGMA optimize`)."""
        from .inspection import optimize

        return self.backend.read(lambda: optimize(self.db))

    @verb
    def stamp(self, version: int, *, if_untracked: bool = False) -> bool:
        """
        Record that the database is at *version*, without running anything.

        Args:
            if_untracked: Leave a database alone that sqlmig knows already, whoever was quicker to tell it.

        Returns:
            Whether it was recorded.

        Raises:
            UnknownVersion: No migration has it.
        """
        return self.runner.stamp(version, if_untracked=if_untracked)

    @verb
    def set_version(self, version: int) -> None:
        """The same as `stamp`."""
        self.stamp(version)

    @verb
    def repair(self, *, interrupted: Outcome | None = None) -> list[str]:
        """
        Accept edited files, clear marks of interrupted migrations, put `user_version` right; tell what was done.

        Args:
            interrupted: Only record what became of interrupted migrations, as somebody says who has looked: they are
                to `"retry"` from their beginning, or are complete (`"applied"`), or nothing is left of them
                (`"rolled back"`). Of an interrupted rollback, `"applied"` and `"retry"` have the migration count again.

        Raises:
            DatabaseLocked: The process of an interrupted one is at work in it.
        """
        return self.runner.repair(interrupted)

    # The same, awaited

    migrate_async = awaitable(migrate)
    migrate_to_version_async = awaitable(migrate_to_version)
    rehearse_async = awaitable(rehearse)
    check_async = awaitable(check)
    draw_schema_async = awaitable(draw_schema)
    write_report_async = awaitable(write_report)
    create_migration_async = awaitable(create_migration)
    squash_async = awaitable(squash)
    renumber_async = awaitable(renumber)
    rollback_to_version_async = awaitable(rollback_to_version)
    create_snapshot_async = awaitable(create_snapshot)
    snapshots_async = awaitable(snapshots)
    restore_async = awaitable(restore)
    copy_from_async = awaitable(copy_from)
    create_tables_if_not_exist_async = awaitable(create_tables_if_not_exist)
    needs_migration_async = awaitable(needs_migration)
    get_current_version_async = awaitable(get_current_version)
    get_rollback_losses_async = awaitable(get_rollback_losses)
    get_migration_plan_async = awaitable(get_migration_plan)
    get_migration_sql_async = awaitable(get_migration_sql)
    get_migration_status_async = awaitable(get_migration_status)
    get_migration_history_async = awaitable(get_migration_history)
    get_schema_info_async = awaitable(get_schema_info)
    get_performance_statistics_async = awaitable(get_performance_statistics)
    validate_schema_async = awaitable(validate_schema)
    diagnose_async = awaitable(diagnose)
    optimize_database_performance_async = awaitable(optimize_database_performance)
    stamp_async = awaitable(stamp)
    set_version_async = awaitable(set_version)
    repair_async = awaitable(repair)

    def _version_at_head(self) -> int | None:
        """The version, where one small read shows that there is nothing to do."""
        try:
            versions = self._sources.versions()
        except Exception:
            # The long way meets the same, and writes it down.
            return None
        if not versions:
            return None
        if self._head is None or self._head[0] is not versions:
            self._head = (versions, *self._expect(versions))
        _, sql, expected = self._head
        try:
            row = self.backend.read_row(sql)
            if row != expected and row is not None and (row[0] or 0) > expected[0]:
                # It may have had what is squashed by now.
                row, expected = self._read_unsquashed()
            return versions[-1] if row == expected else None
        except Exception as error:
            from .errors import MigrationError

            if isinstance(error, MigrationError):
                raise
            # No table yet, or one of an older form: the long way tells.
            return None

    def _read_unsquashed(self) -> tuple[Any, Any]:
        """What is there, and what would be at head in a database that had the replaced versions themselves."""
        from .squashed import with_replaced

        sql, expected = self._expect(with_replaced(self._sources.files()))
        return self.backend.read_row(sql), expected

    def _expect(self, versions: tuple[int, ...]) -> tuple[str, tuple[Any, ...]]:
        """The read, and what it gives at head."""
        first, last, count = versions[0], versions[-1], len(versions)
        table, schema = self._tables["versions_table"] or "", self._tables["schema"]
        # Between the first and the last nothing can be missing when the count is right and there are no gaps.
        listed = last - first + 1 != count
        dialect = self.db.engine.dialect.name
        keeps = dialect == "sqlite" and table == "migration_versions" and schema in (None, "main")
        sql = head_query(table, schema, listed=listed, user_version=keeps, dialect=dialect)
        names = (",".join(map(str, versions)),) if listed else ()
        return sql, (count, first, last, None, last if keeps else None, *names)


Runner = TypeVar("Runner", bound="MigrationRunner")

# The names of the system that this one grew from.
ModularDatabaseMigrator = Migrator
DatabaseMigrator = Migrator


def _nothing_done(version: int) -> MigrationResult:
    return MigrationResult(
        success=True,
        direction="none",
        from_version=version,
        to_version=version,
        applied=[],
        skipped=[],
        rolled_back=[],
        execution_time_ms=0.0,
    )


def _is_time(seconds: object) -> bool:
    return isinstance(seconds, int | float) and not isinstance(seconds, bool) and seconds > 0


def _is_awaited(callback: Callable[..., object]) -> bool:
    from inspect import iscoroutinefunction

    return iscoroutinefunction(callback) or iscoroutinefunction(getattr(callback, "__call__", None))  # noqa: B004


def _wrong(option: str, value: object, kind: str, use: str) -> Exception:
    from .errors import ConfigurationError

    return ConfigurationError(f"{option}={value!r} cannot be used.\n  it is {kind}\nUse {use}.")
