"""What is looked at for each migration of an application: each check says what is wrong by raising a Fault."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ConfigurationError, DataLossError, MigrationError, MigrationFailed
from ..guard.account import called_now, covers
from .faults import Fault, NotSampled, NotTried
from .samples import Census, Given, census, fill
from .scratch import there_and_back
from .traces import places, told

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

    from ..migrator import Migrator
    from ..results import Issue
    from ..safety.report import RehearsedStep
    from .base_branch import FileFault
    from .databases import Databases
    from .image import Image

__all__ = ["Checks"]

# Issues that stop a run wherever they are.
_OF_ALL = ("gap", "duplicate", "empty")


class Checks:
    """
    The ready-made tests, one method each.

    Args:
        databases: Those of the application.
        models: Its models: a MetaData, a declarative base, or where one is: `"app.models:Base"`.
        samples: Rows by table, instead of generated ones.
        base: The branch of git that the migrations are compared with; by default the one that `origin` begins with,
            `main` or `master`.
    """

    def __init__(
        self, databases: Databases, *, models: Any = None, samples: Given | None = None, base: str | None = None
    ) -> None:
        self.databases, self._models, self._samples, self._base = databases, models, samples or {}, base

    @property
    def versions(self) -> list[int]:
        """The versions that there are files for, in order."""
        return self.databases.project.versions

    # The sequence

    def sequence_is_valid(self, version: int) -> None:
        """
        Whether the file of a version can be run where it stands: no gap before it, no other file, no later dependency.

        Raises:
            Fault: It cannot.
        """
        found = [issue for issue in self._issues if self._place_of(issue.version) == version]
        if found:
            listed = "\n".join(f"  - {issue}" for issue in found)
            hints = dict.fromkeys(issue.hint or "Mend the file, then look again: sqlmig validate" for issue in found)
            raise Fault("\n".join([f"Migration {version:03} is not fit to run.", listed, *hints]))

    @cached_property
    def _issues(self) -> list[Issue]:
        from ..migrator import Migrator

        migrator = Migrator(":memory:", self.databases.project.migrations, **self.databases.project.options)
        try:
            return migrator.manager.validate_migration_sequence()
        finally:
            migrator.db.close()

    def _place_of(self, version: int | None) -> int:
        """The version with which something is told of one; where that has no file, the next that has."""
        return min((v for v in self.versions if v >= (version or 0)), default=self.versions[-1])

    # There and back

    def up_down_up(self, version: int) -> None:
        """
        Whether a migration goes up, down and up again on what those before it make, and leaves the schema as it was.

        Raises:
            Fault: It does not.
            NotTried: It has no way back, was skipped by its own checks, or one before it fails.
        """
        with self._database(version) as migrator:
            try:
                found, errors = there_and_back(migrator, version)
            except MigrationError as error:
                raise Fault(f"Migration {version:03} cannot be applied.\n{self._told(error)}") from error
        led_here = [line for error in errors for line in places(error, self.databases.project)]
        step = next((step for step in found.steps if step.version == version), None)
        if found.error is not None or found.integrity or step is None:
            said = found.error or "\n".join(found.integrity) or "it was not applied"
            what = f"Migration {version:03} does not work on what the migrations before it make."
            raise Fault("\n".join([what, said, *led_here]))
        if step.skipped:
            raise NotTried(f"its own checks skip migration {version:03} here")
        if wrong := list(_wrong_with(step)):
            raise Fault("\n".join([*wrong, *led_here]))
        if step.down_restores_schema is None:
            raise NotTried(f"migration {version:03} was applied; back it was not tried: {step.down_note}")

    # Rows

    def keeps_rows(self, version: int) -> None:
        """
        Whether a migration works on a database with rows, and loses none, nor values of them, unless it says so.

        Warns:
            NotSampled: A table took no sample row, so that nothing is known of it.

        Raises:
            Fault: It fails there, or rows are gone, or a column has fewer values.
            NotTried: It fails on an empty database as well.
        """
        with self._database(version) as migrator:
            before = self._filled(migrator, version)
            self._apply(migrator, version)
            after = census(migrator.db, self._own(migrator))
            removes, renamed = self._removes(migrator, version), self._renamed(migrator, version)
        # A table or column that is gone is the guard's affair.
        now = {table: after[called] for table in before if (called := called_now(table, renamed)) in after}
        there = {table: held.among(now[table].values) for table, held in before.items() if table in now}
        lost = dict(_lost(there, now, removes))
        if lost:
            names = ", ".join(f'"{name}"' for name in lost)
            listed = "\n".join(f"  {name}: {told}" for name, told in lost.items())
            raise Fault(
                f"Migration {version:03} loses sample rows, or values of them.\n{listed}\n"
                f"Keep them; or, if they are to go, say so in the migration: removes = [{names}]"
            )

    def gives_rows_back(self, version: int) -> None:
        """
        Whether rolling a migration back leaves the rows and values that were there before it.

        Raises:
            Fault: It fails on rows, or some are gone.
            NotTried: It has no way back, or fails on an empty database as well.
        """
        with self._database(version) as migrator:
            before = self._filled(migrator, version, tell=False)
            try:
                migrator.migrate_to_version(version)
            except MigrationError as error:
                raise NotTried(f"migration {version:03} fails on sample rows: see keeps_rows[{version:03}]") from error
            possible, issues = migrator.manager.can_rollback_to(self._below(version))
            if not possible:
                raise NotTried("; ".join(issues))
            self._roll_back(migrator, version)
            after = census(migrator.db, self._own(migrator))
            removes = self._removes(migrator, version)
        lost = list(_lost(before, after, removes))
        if lost:
            listed = "\n".join(f"  {name}: {told}" for name, told in lost)
            raise Fault(
                f"Migration {version:03}, applied and rolled back, loses what was there before it.\n{listed}\n"
                "Have its down() keep them; or say that there is no way back: rollback_supported = False"
            )

    # Models

    def models_agree(self) -> None:
        """
        Whether the migrations make what the models say.

        Raises:
            Fault: They do not; each difference is told.
            NotTried: It is not said where the models are, or the migrations fail.
        """
        if self._models is None:
            raise NotTried(
                "neither sqlmig_models nor models in [tool.sqlmig] says where the models are: app.models:Base"
            )
        newest = self.versions[-1]
        self._require_sequence(newest)
        with self._at_work(self._step(newest)) as engine:
            said = _drift(self.databases.project.migrator(engine), self._models)
        if said is not None:
            raise Fault(
                f"Migrations and models do not agree.\n{said}\n"
                'Write the migration that is missing: sqlmig new "what it does" --auto; or mend the models.'
            )

    # The base branch

    def unchanged_since_base(self, version: int) -> None:
        """
        Whether a migration that the base branch has is as it is there, and a new one is above all that it has.

        Raises:
            Fault: It was edited, renamed or removed, or has a number that is too low.
            NotTried: There is no git here, or no such branch.
        """
        found = self._file_faults
        if isinstance(found, Exception):
            raise type(found)(*found.args)
        told = [fault.text for fault in found if self._place_of(fault.version) == version]
        if told:
            raise Fault("\n".join(told))

    @cached_property
    def _file_faults(self) -> list[FileFault] | Exception:
        """Asked once for all versions."""
        from .base_branch import faults_of

        try:
            return faults_of(self.databases.project, self._base)
        except (Fault, NotTried) as error:
            return error

    # What they share

    @contextmanager
    def _database(self, version: int) -> Iterator[Migrator]:
        """A database on which everything below a version was applied."""
        self._require_sequence(version)
        image = self._step(self._below(version))
        with self._at_work(image) as engine:
            yield self.databases.project.migrator(engine)

    @contextmanager
    def _at_work(self, image: Image) -> Iterator[Engine]:
        """An engine on a copy in which everything is as in a real database."""
        with tempfile.TemporaryDirectory(dir=self.databases.scratch) as folder, image.at_work(Path(folder)) as engine:
            yield engine

    def _step(self, version: int) -> Image:
        try:
            return self.databases.step(version)
        except MigrationFailed as error:
            number = error.version or 0
            raise NotTried(
                f"migration {number:03} fails, so that nothing can be said: see up_down_up[{number:03}]"
            ) from error

    def _below(self, version: int) -> int:
        return max((v for v in self.versions if v < version), default=0)

    def _require_sequence(self, version: int) -> None:
        """Stop where nothing up to a version can be applied; what is wrong with a file above it does not matter."""
        found = [issue for issue in self._issues if issue.kind in _OF_ALL or (issue.version or 0) <= version]
        if found:
            at = self._place_of(found[0].version)
            raise NotTried(f"the sequence of migrations is not valid: see sequence_is_valid[{at:03}]")

    def _own(self, migrator: Migrator) -> list[str]:
        return sorted(migrator.version_tracker.own_tables)

    def _filled(self, migrator: Migrator, version: int, *, tell: bool = True) -> dict[str, Census]:
        """Put sample rows into every table; what there is then."""
        told = fill(migrator.db, self._own(migrator), self._samples)
        if told and tell:
            listed = "\n".join(f"  {line}" for line in told)
            warnings.warn(
                f"Migration {version:03} was not tried on rows of:\n{listed}\n"
                "Give some rows by the session fixture sqlmig_sample_rows: {table: [{column: value}]}",
                NotSampled,
                stacklevel=3,
            )
        return census(migrator.db, self._own(migrator))

    def _apply(self, migrator: Migrator, version: int) -> None:
        try:
            migrator.migrate_to_version(version)
        except DataLossError as error:
            raise Fault(f"Migration {version:03} loses data of sample rows.\n{self._told(error)}") from error
        except MigrationError as error:
            if self._fails_empty(version):
                raise NotTried(f"it fails without sample rows as well: see up_down_up[{version:03}]") from error
            raise Fault(
                f"Migration {version:03} works on an empty database only: it fails on sample rows.\n"
                f"{self._told(error)}\nHave it give a value to the rows that are there, or mend them first."
            ) from error

    def _roll_back(self, migrator: Migrator, version: int) -> None:
        try:
            migrator.rollback_to_version(self._below(version))
        except DataLossError as error:
            raise Fault(
                f"Migration {version:03} loses data of before it when it is rolled back.\n{self._told(error)}"
            ) from error
        except MigrationError as error:
            if self._fails_empty(version, back=True):
                raise NotTried(f"it fails without sample rows as well: see up_down_up[{version:03}]") from error
            what = f"Migration {version:03} is rolled back on an empty database only: it fails on sample rows."
            raise Fault(f"{what}\n{self._told(error)}") from error

    def _fails_empty(self, version: int, *, back: bool = False) -> bool:
        """Whether it fails on a database without sample rows."""
        with self._database(version) as migrator:
            try:
                migrator.migrate_to_version(version)
                if back:
                    migrator.rollback_to_version(self._below(version))
            except MigrationError:
                return True
        return False

    def _told(self, error: MigrationError) -> str:
        return told(error, self.databases.project)

    def _removes(self, migrator: Migrator, version: int) -> Sequence[str]:
        """What the migration says that it removes."""
        files = migrator.manager.discover_migrations()
        return migrator.manager.load_file(files[version]).removes

    def _renamed(self, migrator: Migrator, version: int) -> Mapping[str, str]:
        rows = migrator.version_tracker.read().rows
        found = next((row.metadata.get("renamed") for row in rows if row.version == version), None)
        return found if isinstance(found, dict) else {}


def _wrong_with(step: RehearsedStep) -> Iterator[str]:
    """What is wrong with its way back, and the next thing to do."""
    left = step.down_difference
    if left:
        listed = "\n".join(f"  {line}" for line in left)
        yield (
            f"Migration {step.version:03}, rolled back, does not leave the schema as it was before it.\n{listed}\n"
            "  (+ is there and was not before; - was there and is not)\n"
            "Have its down() undo that; or say that there is no way back: rollback_supported = False"
        )
    others = [text for text in step.warnings if not (left and text.startswith("rolling it back leaves"))]
    if others:
        listed = "\n".join(f"  {text}" for text in others)
        yield (
            f"Migration {step.version:03} does not come back, or not up again.\n{listed}\n"
            "Mend its down(); or say that there is no way back: rollback_supported = False"
        )


def _covered(name: str, removes: Sequence[str]) -> bool:
    return any(covers(said, name) for said in removes)


def _lost(
    before: Mapping[str, Census], after: Mapping[str, Census], removes: Sequence[str]
) -> Iterator[tuple[str, str]]:
    """The tables and columns of which something is gone that the migration does not say it removes, and what it is."""
    for table, held in before.items():
        if _covered(table, removes):
            continue
        if table not in after:
            yield table, "the table is gone"
        elif after[table].rows < held.rows:
            yield table, f"{held.rows:,} rows before, {after[table].rows:,} after"
        else:
            for column, count in held.values.items():
                now = after[table].values.get(column, 0)
                if now < count and not _covered(f"{table}.{column}", removes):
                    yield f"{table}.{column}", f"{count:,} values before, {now:,} after"


def _drift(migrator: Migrator, models: Any) -> str | None:
    """In which words migrations and models differ; None where they do not."""
    try:
        found = migrator.check(models, database=False)
    except ConfigurationError as error:
        raise ConfigurationError(f"sqlmig_models is {models!r}:\n{error}") from error
    return None if found else str(found)
