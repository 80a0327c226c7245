"""MigrationManager over the revisions of an Alembic project."""

from __future__ import annotations

import inspect
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alembic.script import Script

from sqlmig import BaseMigration, ConfigurationError, DatabaseConnection, MigrationManager, UnknownVersion
from sqlmig.loader import Checksums, LoadedMigration, Unloadable, is_no_way_back
from sqlmig.manager import require_version
from sqlmig.results import Issue
from sqlmig.sources import MigrationFile, Sources

from .environment import Environment
from .history import History, RevisionTarget, needs, title
from .tracking import RevisionTracker

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.engine import Connection

    from sqlmig.manager import Prepared
    from sqlmig.results import Plan
    from sqlmig.version_tracker import DatabaseState

__all__ = ["LoadedRevision", "RevisionManager", "RevisionSources"]


# Where errors send whoever asked for what is not there.
SEE = "alembic history"


class RevisionFile(MigrationFile):
    """The file of a revision, with the place of that revision in the order."""

    revision: Script

    @classmethod
    def of(cls, version: int, script: Script) -> RevisionFile:
        """The file of *script*."""
        self = cls(version, *os.path.split(script.path))
        self.revision = script
        return self

    @property
    def title(self) -> str:
        """The first line of its docstring."""
        return title(self.revision)


class RevisionSources(Sources):
    """Stands for the folders: the revisions are the files."""

    def __init__(self, history: Callable[[], History]) -> None:
        self._history = history

    @property
    def folders(self) -> list[Path]:
        """Where the revisions are."""
        return [Path(place) for place in self._history().directory._version_locations]

    def versions(self) -> tuple[int, ...]:
        """1 to N."""
        return tuple(range(1, len(self._history().order) + 1))

    def files(self) -> tuple[RevisionFile, ...]:
        """The files, in order."""
        return tuple(RevisionFile.of(number, script) for number, script in enumerate(self._history().order, 1))

    def suspicious(self) -> list[Path]:
        """Alembic decides what is a revision."""
        return []

    def half_squashed(self) -> list[str]:
        """None: revisions are not squashed."""
        return []


class RevisionMigration(BaseMigration):
    """Runs a revision's own upgrade() and downgrade()."""

    _script: Script
    _environment: Environment

    def up(self) -> None:
        """Run upgrade()."""
        self._environment.carry_out(self._script, up=True)

    def down(self) -> None:
        """Run downgrade()."""
        self._environment.carry_out(self._script, up=False)


class LoadedRevision(LoadedMigration):
    """A revision as a migration."""

    def __init__(self, file: RevisionFile, environment: Environment, dependencies: list[int]) -> None:
        with open(file.location, "rb") as stream:
            checksums = Checksums(stream.read())
        # No edit is refused, so nobody asks whether it was formatting only; and parsing costs as much as running.
        checksums.syntax = checksums.text
        super().__init__(file, RevisionMigration, checksums)
        self.script, self._environment, self.revision = file.revision, environment, file.revision.revision
        self.description, self.dependencies = file.title, dependencies
        self.rollback_supported = not is_no_way_back(getattr(self.script.module, "downgrade", None))

    def create(self, database: DatabaseConnection) -> BaseMigration:
        """The revision, on a connection."""
        migration = RevisionMigration(database)
        migration._script, migration._environment = self.script, self._environment
        return migration

    def row(self, sql_files: Any = None) -> dict[str, Any]:
        """As it stands in the versions table: by its revision."""
        row = super().row(sql_files)
        row["metadata"]["revision"] = self.script.revision
        return row


class RevisionManager(MigrationManager):
    """Takes the names of revisions wherever a version is."""

    refuses_edits = False
    """Alembic knows no checksums, and projects do mend revisions that are applied everywhere."""

    version_tracker: RevisionTracker

    def __init__(
        self, database: Any, history: Callable[[], History], tracker: RevisionTracker, environment: Environment
    ):
        super().__init__(database, RevisionSources(history), tracker=tracker, out_of_order="apply")
        self._history, self._environment = history, environment

    def require_files(self) -> None:
        """A project that has no revision yet has nothing to do, as under Alembic."""

    def claim(self, connection: Connection, state: DatabaseState) -> None:
        """Alembic's word is in the state already."""

    def target(self, what: int | str | None, *, down: bool | None = None) -> int | None:
        """
        A version as it is, and a name as what it means now.

        Raises:
            UnknownRevision, AmbiguousRevision: It means nothing, or several things.
        """
        if what is None or isinstance(what, RevisionTarget):
            return what
        if isinstance(what, str):
            if not what.strip():
                raise ConfigurationError(
                    f"{what!r} names no revision.\n  nothing was changed\nSee what there is: {SEE}"
                )
            return self._history().target(what.strip(), self.version_tracker.read().done, down=down)
        require_version(what, SEE)
        if what > len(self._history().order):
            raise UnknownVersion(what, self.get_available_versions(), SEE)
        return what

    def prepare(self, target: Any = None, state: DatabaseState | None = None, *, up_only: bool = False) -> Prepared:
        """A plan and its migrations."""
        self._history()
        with self._environment.settling():
            return super().prepare(self.target(target), state, up_only=up_only)

    def get_migration_plan(self, target: int | str | None = None) -> Plan:
        """What `migrate` (or `migrate_to_version(target)`) would do. Read-only."""
        return super().get_migration_plan(self.target(target))

    def get_pending_migrations(self, target: int | str | None = None) -> list[MigrationFile]:
        """The revisions that are not applied yet, in the order in which they would be."""
        return super().get_pending_migrations(self.target(target, down=False))

    def get_rollback_sequence(self, target: int | str) -> list[MigrationFile]:
        """The revisions that a rollback to *target* would take back, newest first."""
        return super().get_rollback_sequence(self.target(target, down=True) or 0)

    def can_rollback_to(self, target: int | str) -> tuple[bool, list[Issue]]:
        """Whether a rollback to *target* is possible, and what stands against it. Read-only."""
        return super().can_rollback_to(self.target(target, down=True) or 0)

    def pending(self, state: DatabaseState, target: int | None = None) -> list[int]:
        """The versions to apply in the state that the database is in."""
        if isinstance(target, RevisionTarget):
            return sorted(target.up - set(state.done))
        return super().pending(state, target)

    def goes_down(self, state: DatabaseState, target: int) -> bool:
        """Whether the way to *target* is a rollback."""
        return target.goes_down if isinstance(target, RevisionTarget) else super().goes_down(state, target)

    def to_roll_back(self, state: DatabaseState, target: int) -> list[int]:
        """The versions that a rollback to *target* takes back, newest first."""
        if isinstance(target, RevisionTarget):
            return sorted(target.down & set(state.done), reverse=True)
        return super().to_roll_back(state, target)

    def load_file(self, file: MigrationFile) -> LoadedMigration:
        """A revision as a migration; its module is loaded already."""
        assert isinstance(file, RevisionFile)
        upgrade = getattr(file.revision.module, "upgrade", None)
        if not callable(upgrade) or inspect.iscoroutinefunction(upgrade):
            what = "is asynchronous; write a plain function" if callable(upgrade) else "is no function, or missing"
            reason = f"{file.name}: its upgrade() {what}"
            raise Unloadable(Issue(reason, kind="class", version=file.version, path=file.path))
        version_of = self._history().version_of
        return LoadedRevision(file, self._environment, sorted({version_of[name] for name in needs(file.revision)}))
