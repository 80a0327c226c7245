"""MigrationManager: finds the migrations of a folder, checks them, and plans. It changes nothing."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, overload

from . import planning, takeover, verification
from .connection import Database, DatabaseConnection
from .data.checkpoints import in_words, loops_of, summary
from .errors import (
    FIRST_MIGRATION,
    ConfigurationError,
    DatabaseTooNew,
    InsideSquash,
    RollbackNotSupported,
    UnknownRevision,
    UnknownVersion,
    ValidationFailed,
)
from .loader import LoadedMigration, Unloadable, load
from .results import Issue, Plan, Status
from .sources import NAMES, PUT_BACK, MigrationPaths, Sources
from .squashed import Squashes
from .template import write_migration
from .version_tracker import DatabaseState, VersionTracker

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from .base import BaseMigration
    from .planning import OutOfOrder
    from .sources import MigrationFile
    from .squashed import Between
    from .takeover import Claim
    from .version_tracker import AppliedVersion

__all__ = ["MigrationManager", "OtherWay", "Prepared", "refuse_rollback", "require_version"]

OtherWay: TypeAlias = Callable[[int], tuple[str, str] | None]
"""Asked for a snapshot of a version: its path, and what to do with it."""

logger = logging.getLogger("sqlmig.manager")


class Prepared(NamedTuple):
    """A plan with what is needed to carry it out."""

    plan: Plan
    migrations: dict[int, LoadedMigration]
    state: DatabaseState
    order: Sequence[int] = ()
    """The versions of its steps; of a rollback, those without a file as well."""

    @property
    def transactional(self) -> bool:
        """Whether every migration of it can run in a transaction."""
        return all(migration.transactional for migration in self.migrations.values())

    def to_apply(self) -> list[LoadedMigration]:
        """The migrations of its steps up that are still to come, in order."""
        done = set(self.state.done)
        return [self.migrations[s.version] for s in self.plan.migrations_to_apply if s.version not in done]

    def to_roll_back(self) -> list[AppliedVersion]:
        """What a rollback takes back, newest first."""
        return [row for row in reversed(self.state.rows) if row.done and row.version in self.order]

    def loose(self, rows: Sequence[AppliedVersion]) -> LoadedMigration | None:
        """The first migration of *rows* that refuses to run in a transaction."""
        found = (self.migrations.get(row.version) for row in rows)
        return next((m for m in found if m is not None and not m.transactional), None)

    def after(self, row: AppliedVersion) -> Prepared:
        """The same once *row* is there."""
        return self._replace(state=self.state._replace(rows=(*self.state.rows, row)))

    def without(self, rows: Sequence[AppliedVersion]) -> Prepared:
        """The same once *rows* are gone."""
        kept = tuple(row for row in self.state.rows if row not in rows)
        return self._replace(state=self.state._replace(rows=kept))


class MigrationManager:
    """
    The migrations of one database.

    Args:
        database: Whatever DatabaseConnection takes.
        migrations: A folder, an importable package, or a list of both; left out, what pyproject.toml says.
        tracker: Where the applied versions are recorded.
        out_of_order: What a migration is that appeared below the current version: an `"error"`, to
            `"apply"`, or to `"ignore"`.
    """

    refuses_edits = True
    """Whether a file that was edited after it was applied stops a run."""

    def __init__(
        self,
        database: Database,
        migrations: MigrationPaths | Sources | None = None,
        *,
        tracker: VersionTracker | None = None,
        out_of_order: OutOfOrder = "error",
    ) -> None:
        self.db = database if isinstance(database, DatabaseConnection) else DatabaseConnection(database)
        self.sources = migrations if isinstance(migrations, Sources) else Sources(migrations)
        self.version_tracker = tracker if tracker is not None else VersionTracker(self.db)
        self.out_of_order = out_of_order
        self.only: Collection[int] | None = None
        """The versions that alone are ever pending: of a copy, those that its source has had."""
        self.version_tracker.claims = self.claim
        self.version_tracker.folds = self.folded

    def discover_migrations(self) -> dict[int, MigrationFile]:
        """The migration files by version, in order. No file is opened."""
        return {file.version: file for file in self.sources.files()}

    def get_available_versions(self) -> list[int]:
        """The versions that there are files for, in order."""
        return sorted(set(self.sources.versions()))

    def get_target_version(self) -> int:
        """The newest version that there is a file for; 0 where there is none."""
        return max(self.sources.versions(), default=0)

    def get_pending_migrations(self, target: int | None = None) -> list[MigrationFile]:
        """The files that are not applied yet, in the order in which they would be."""
        files = self.discover_migrations()
        return [files[version] for version in self.pending(self.version_tracker.read(), target)]

    def get_rollback_sequence(self, target: int) -> list[MigrationFile]:
        """The files that a rollback to *target* would take back, newest first."""
        require_version(target)
        files = self.discover_migrations()
        return [
            files[version] for version in self.to_roll_back(self.version_tracker.read(), target) if version in files
        ]

    def validate_migration_sequence(self, target: int | None = None) -> list[Issue]:
        """
        Everything that is wrong with the files, as against the database; empty when they are good.

        Args:
            target: Files above this version are not looked into.
        """
        return self._examined(self.version_tracker.read(), target)[1]

    def validate_files(self) -> list[Issue]:
        """Everything that is wrong with the files by themselves; no database is asked."""
        return self._examined(DatabaseState(rows=(), user_version=0, tracked=False))[1]

    def _examined(
        self, state: DatabaseState, target: int | None = None
    ) -> tuple[dict[int, LoadedMigration], list[Issue]]:
        """The migrations that load, and everything that is wrong."""
        for path in self.sources.suspicious():
            logger.warning("%s is no migration: %s", path, NAMES)
        files = [file for file in self.sources.files() if target is None or file <= target]
        if not files:
            what = f"there is no migration in {self.sources.folders[0]}"
            return {}, [Issue(what, kind="empty", hint=PUT_BACK if self.sources.half_squashed() else FIRST_MIGRATION)]
        migrations, issues = self._load(files)
        issues = [*issues, *self.standing_issues(state, verify=True)]
        return migrations, issues + [
            Issue(
                f"migration {row.version} {_standing(row)}" if row.version else f"the {row.description} never finished",
                kind="interrupted",
                version=row.version,
                hint="Have it go on: sqlmig up" if row.metadata.get("resumable") else _SETTLE if row.version else "",
            )
            for row in state.interrupted
        ]

    def get_migration_plan(self, target: int | None = None) -> Plan:
        """
        What `migrate` (or `migrate_to_version(target)`) would do. Read-only.

        Raises:
            UnknownVersion: No migration has the version *target*.
        """
        return self.prepare(target).plan

    def needs_migration(self) -> bool:
        """Whether there is something to apply, or the database is not as its records or the files say. Read-only."""
        return self.needs(self.version_tracker.read())

    def needs(self, state: DatabaseState) -> bool:
        """The same, of the state that the database is in."""
        newer = state.current_version > self.get_target_version()
        wrong = newer or bool(state.interrupted) or self.version_tracker.disagrees(state)
        return wrong or bool(self.pending(state))

    def get_migration_status(self) -> Status:
        """Where the database stands. Read-only."""
        state = self.version_tracker.read()
        migrations, issues = self._examined(state)
        pending = self.pending(state)
        return Status(
            current_version=state.current_version,
            target_version=self.get_target_version(),
            needs_migration=self.needs(state),
            available_versions=self.get_available_versions(),
            applied_versions=state.done,
            skipped_versions=[row.version for row in state.rows if row.state == "skipped"],
            pending_versions=pending,
            interrupted_versions=[row.version for row in state.interrupted],
            validation_issues=issues,
            removes={v: migrations[v].removes for v in pending if v in migrations and migrations[v].removes},
            progress={
                row.version: summary(loops_of(row.metadata)) for row in state.interrupted if "loops" in row.metadata
            },
        )

    def can_rollback_to(self, target: int) -> tuple[bool, list[Issue]]:
        """Whether a rollback to *target* is possible, and what stands against it. Read-only."""
        state = self.version_tracker.read()
        if target != 0 and target not in self.get_available_versions():
            return False, [Issue(f"no migration has version {target}", kind="version", version=target)]
        if target > state.current_version:
            text = f"version {target} is above the current version {state.current_version}"
            return False, [Issue(text, kind="version", version=target)]
        _, issues = self._load_down(state, target)
        return not issues, issues

    @overload
    def create_migration(self, what: int) -> BaseMigration: ...
    @overload
    def create_migration(self, what: str, *, sql: bool = False) -> Path: ...
    def create_migration(self, what: int | str, *, sql: bool = False) -> BaseMigration | Path:
        """
        The migration with a version, on this database; or a new migration file with the next free version.

        Args:
            what: A version; or a description in words, which become the file's name and the class's.
            sql: Whether the new file is to be in plain SQL.

        Returns:
            The migration, to be run by hand; or the path of the file that was written.

        Raises:
            UnknownVersion: No file has that version.
            ValidationFailed: Its file does not load.
            ConfigurationError: The description gives no name.
        """
        if isinstance(what, str):
            folder = self.sources.folders[0]
            versions = self.get_available_versions() if folder.is_dir() else []
            return write_migration(folder, max(versions, default=0) + 1, what, sql=sql)
        files = self.discover_migrations()
        if what not in files:
            raise UnknownVersion(what, list(files))
        try:
            return self.load_file(files[what]).create(self.db)
        except Unloadable as error:
            raise ValidationFailed([error.issue]) from error

    def prepare(
        self, target: int | None = None, state: DatabaseState | None = None, *, up_only: bool = False
    ) -> Prepared:
        """
        A plan and its migrations.

        Args:
            state: The state that the database is in, where the caller has read it; no connection is asked for then,
                and nothing is estimated.
            up_only: Where *target* is below the current version, there is nothing to do.
        """
        if target is not None:
            require_version(target)
        estimate = state is None
        state = state if state is not None else self.version_tracker.read()
        available = self.get_available_versions()
        if target is not None and target != 0 and target not in available:
            raise UnknownVersion(target, available)
        down = target is not None and not up_only and self.goes_down(state, target)
        if down:
            migrations, issues = self._load_down(state, target or 0)
            order = self.to_roll_back(state, target or 0)
        else:
            order = self.pending(state, target)
            pending = set(order)
            migrations, issues = self._load(file for file in self.sources.files() if file.version in pending)
            issues += planning.check_reachable(migrations, self._with_replaced(migrations, {*state.done, *order}))
            # Checksums are verified when something is to be applied on top of them.
            issues += self.standing_issues(state, verify=bool(order) and self.refuses_edits)
        steps = [migrations[version].step() for version in order if version in migrations]
        plan = Plan(
            current_version=state.current_version,
            target_version=max([state.current_version, *order], default=0) if target is None else target,
            direction="down" if down else "up" if order else "none",
            migrations_to_apply=[] if down else steps,
            migrations_to_rollback=steps if down else [],
            validation_issues=issues,
            estimated_time_ms=0.0 if not order else self._estimate(order) if estimate else None,
        )
        return Prepared(plan, migrations, state, order)

    def require_files(self) -> None:
        """
        Refuse to work without migrations.

        Raises:
            ConfigurationError: There is no folder, or none in it.
        """
        self.sources.require_files()

    def pending(self, state: DatabaseState, target: int | None = None) -> list[int]:
        """The versions to apply in the state that the database is in."""
        pending = planning.pending_versions(
            self.sources.versions(), state.done, state.current_version, target, self.out_of_order
        )
        late = {version for version in self._imported_late(state) if target is None or version <= target}
        found = {*pending, *late}
        return sorted(found if self.only is None else found.intersection(self.only))

    def goes_down(self, state: DatabaseState, target: int) -> bool:
        """Whether the way to *target* is a rollback."""
        return target < state.current_version

    def to_roll_back(self, state: DatabaseState, target: int) -> list[int]:
        """The versions that a rollback to *target* takes back, newest first."""
        return planning.rollback_versions(state.done, target)

    def load_file(self, file: MigrationFile) -> LoadedMigration:
        """
        A migration file brought to life.

        Raises:
            Unloadable: It holds no migration that can be run.
        """
        return load(file, self.db)

    def refuse_newer(self, state: DatabaseState, other_way: OtherWay | None = None) -> None:
        """
        Keep an old program's hands off a newer database.

        Args:
            other_way: Asked for a snapshot of the version that the files end with.

        Raises:
            DatabaseTooNew: It is ahead of every file.
        """
        target = self.get_target_version()
        if state.current_version > target:
            _, hint = (other_way(target) if other_way is not None else None) or (None, "")
            raise DatabaseTooNew(state.current_version, target, hint)

    def accepted(self, state: DatabaseState) -> dict[int, tuple[str, dict[str, Any]]]:
        """What is to be recorded for the applied migrations whose files were edited, if they are to be taken so."""
        duplicates = planning.check_duplicates(self.sources.files())
        if duplicates:
            raise ValidationFailed(duplicates)
        squashes, dialect = self.squashes(), self.db.engine.dialect.name
        return {
            **verification.accepted(state.rows, self.discover_migrations(), dialect, squashes),
            **verification.accepted_replaced(state.replaced, squashes),
        }

    def claim(self, connection: Connection, state: DatabaseState) -> Claim | None:
        """What a database has by the word of something else: of Alembic, or of its `user_version`."""
        return takeover.claim(connection, state, self)

    def refuse_unknown(self, state: DatabaseState) -> None:
        """
        Leave a database alone of which it is not known what it has.

        Raises:
            UnknownRevision: Alembic brought it to a revision that no file carries.
        """
        if state.claim is not None and state.claim.unknown:
            raise UnknownRevision(state.claim.unknown, state.claim.known)

    def squashes(self) -> Squashes:
        """The squashed migrations among the files, each read when it is asked for."""
        return Squashes(self.sources.files())

    def folded(self, state: DatabaseState) -> DatabaseState:
        """A state in which the versions are one that a squashed migration replaces."""
        return self.squashes().seen(state, self.out_of_order)

    def refuse_between(self, state: DatabaseState) -> None:
        """
        Leave a database alone that has only a part of what a squashed migration replaces.

        Raises:
            InsideSquash: It has.
        """
        if state.between is not None:
            raise _inside(state.between)

    def load_what_loads(self, files: Iterable[MigrationFile]) -> dict[int, LoadedMigration]:
        """Those of *files* that import; the others are left out."""
        return self._load(files)[0]

    def _imported_late(self, state: DatabaseState) -> set[int]:
        """
        Versions below the current one that were never applied, and carry a revision of Alembic's.

        What Alembic applied is a set, and need not be the first so many of them.
        """
        late = planning.late_versions(self.sources.versions(), state.done, state.current_version)
        files = self.discover_migrations() if late else {}
        loaded = self.load_what_loads(files[v] for v in late if takeover.says_revision(files[v]))
        return {version for version, migration in loaded.items() if migration.revision is not None}

    def _load(self, files: Iterable[MigrationFile]) -> tuple[dict[int, LoadedMigration], list[Issue]]:
        migrations: dict[int, LoadedMigration] = {}
        issues = []
        for file in files:
            try:
                migrations[file.version] = self.load_file(file)
            except Unloadable as error:
                issues.append(error.issue)
        known = self._with_replaced(migrations, set(self.sources.versions()))
        return migrations, [*issues, *planning.check_dependencies(migrations, known)]

    def _with_replaced(self, migrations: Mapping[int, LoadedMigration], versions: set[int]) -> set[int]:
        """*versions*, and what *migrations* depend on that was squashed into one of them."""
        wanted = {one for migration in migrations.values() for one in migration.dependencies} - versions
        squashes = self.squashes()
        owners = {version: squashes.owner(version) for version in wanted}
        return versions | {v for v, squash in owners.items() if squash is not None and squash.version in versions}

    def _load_down(self, state: DatabaseState, target: int) -> tuple[dict[int, LoadedMigration], list[Issue]]:
        """The migrations of a rollback; one that its own checks skipped needs no file, for nothing is to be undone."""
        skipped = {row.version for row in state.rows if row.state == "skipped"}
        order = [v for v in self.to_roll_back(state, target) if v not in skipped]
        files = self.discover_migrations()
        migrations, issues = self._load(files[version] for version in order if version in files)
        issues = [issue for issue in issues if issue.kind != "dependency"]
        rows = [row for row in state.rows if row.version in migrations]
        issues += (self._edits(rows) if self.refuses_edits else []) + planning.check_duplicates(self.sources.files())
        if target != 0 and target not in state.done:
            issues.append(planning.never_applied(target))
        issues += [
            Issue(f"the file of migration {version} is gone", kind="missing_file", version=version)
            for version in order
            if version not in files
        ]
        issues += [
            Issue(f"migration {v} ({m.description}) does not support rollback", kind="rollback", version=v)
            for v, m in migrations.items()
            if not m.rollback_supported
        ]
        return migrations, sorted(issues, key=lambda issue: -(issue.version or 0))

    def standing_issues(self, state: DatabaseState, *, verify: bool) -> list[Issue]:
        """What is wrong with the folder as a whole and with the part of it that is applied."""
        versions, squashes = self.get_available_versions(), self.squashes()
        replaced = squashes.behind_gaps() if self.out_of_order == "error" else set()
        issues = planning.check_numbers(self.sources.files(), self.out_of_order, {*state.done, *replaced})
        for name in self.sources.half_squashed():
            issues.append(Issue(f"a squash was killed before {name} was in its place", kind="squash", hint=PUT_BACK))
        if state.between is not None:
            text, facts, hint = str(_inside(state.between)).splitlines()
            text = f"{text.removesuffix('; nothing was changed.')}: {facts.strip()}"
            issues.append(Issue(text, kind="squash", version=state.between.squash.version, hint=hint))
        elif state.tracked:
            found = planning.check_history(versions, state, self.out_of_order)
            late = self._imported_late(state) if found else ()
            issues += [issue for issue in found if issue.kind != "out_of_order" or issue.version not in late]
        if state.claim is not None and state.claim.unknown:
            error = UnknownRevision(state.claim.unknown, state.claim.known)
            issues.append(Issue(str(error).partition("\n")[0], kind="revision", hint=str(error).rpartition("\n")[2]))
        if self.version_tracker.disagrees(state) and not state.interrupted:
            text = f"user_version is {state.user_version}, but the versions table says {state.current_version}"
            issues.append(Issue(text, kind="mismatch", hint="If the table is right: sqlmig repair"))
        for file, squash in squashes.beside() if verify or issues else ():
            text = f"{file.name} has version {file.version}, which {squash.file.name} stands for"
            hint = f"Delete it if it is one of the old files; if it is new: sqlmig renumber {file.name}"
            issues.append(Issue(text, kind="duplicate", version=file.version, hint=hint))
        edited = self._edits(state.rows) + verification.unlike_replaced(state.replaced, squashes) if verify else []
        return issues + edited

    def _edits(self, rows: Iterable[AppliedVersion]) -> list[Issue]:
        return verification.edits(rows, self.discover_migrations(), self.db.engine.dialect.name, self.squashes())

    def _estimate(self, order: Sequence[int]) -> float | None:
        """The earlier timings of these migrations; of those that have none, the mean of the others."""
        timings = self.version_tracker.timings()
        if not timings:
            return None
        mean = sum(timings.values()) / len(timings)
        return round(sum(timings.get(version, mean) for version in order), 3)


def _inside(between: Between) -> InsideSquash:
    squash = between.squash
    return InsideSquash(squash.file.name, squash.version, sorted(squash.replaces), between.reached, between.missing)


_SETTLE = "Look at the schema, and say what is so: sqlmig repair --retry, --mark-applied or --mark-rolled-back"


def _standing(row: AppliedVersion) -> str:
    if not row.metadata.get("resumable"):
        return "was started and never finished"
    return f"was started and has not finished: {in_words(loops_of(row.metadata))}"


def refuse_rollback(issues: Sequence[Issue], other_way: Callable[[], tuple[str, str] | None] = lambda: None) -> None:
    """
    Stop a rollback that cannot reach its target, before its first step.

    Args:
        other_way: Asked for a snapshot that can be restored instead: its path, and what to do.

    Raises:
        RollbackNotSupported: A migration on the way has no way back.
        ValidationFailed: The file of one does not load, or was edited.
    """
    final = [issue for issue in issues if issue.kind in ("rollback", "missing_file")]
    if final:
        hint = "Bring the file back from version control." if final[0].kind == "missing_file" else ""
        path, restore = other_way() or (None, "")
        hint = "\n".join(part for part in (hint, restore) if part)
        error = RollbackNotSupported(final[0].version or 0, "; ".join(final), hint)
        error.snapshot = path
        raise error
    if issues:
        raise ValidationFailed(issues)


def require_version(version: object, see: str = "sqlmig status") -> None:
    """
    Refuse what cannot be a version to go to; *see* is where there is what can.

    Raises:
        ConfigurationError: It is not a whole number from 0 up.
    """
    if isinstance(version, bool) or not isinstance(version, int) or version < 0:
        raise ConfigurationError(
            f"{version!r} is no version.\n  A version is a whole number from 0 (nothing applied) up.\n"
            f"See what there is: {see}"
        )
