"""Whether one migration does what others did: both are run in scratch databases, and schema and rows are compared."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ..autogenerate.start import Start
from ..drift.check import migrated_database, read_shape
from ..drift.compare import compare
from ..drift.report import finding
from ..drift.shape import Shape
from ..errors import MigrationError, SquashImpossible
from ..safety.fence import hands_off
from ..sources import MigrationFile, Sources
from ..testing.samples import fill
from .observed import Said, listening
from .rows import Rows, differing, read_rows

if TYPE_CHECKING:
    from ..migrator import Migrator
    from ..version_tracker import AppliedVersion

__all__ = ["Filled", "Made", "SquashedSources", "filled", "made_by", "prove", "prove_filled", "require_same"]

_SHOWN = 5


class Made(NamedTuple):
    """
    What migrations make.

    Attributes:
        records: The rows of the versions table that tell so.
        unstable: The tables and columns that are filled in another way each time.
    """

    shape: Shape
    rows: Rows
    records: tuple[AppliedVersion, ...] = ()
    unstable: frozenset[str] = frozenset()


class Filled(NamedTuple):
    """
    What migrations make of a database that has sample rows.

    Attributes:
        made: None where the rows stop them.
        told: Why a table has none.
        said: The statements of the migrations.
    """

    made: Made | None
    told: list[str]
    said: list[Said]


class SquashedSources(Sources):
    """The files as they will be: one in the place of those that it replaces."""

    def __init__(self, sources: Sources, replaced: Sequence[MigrationFile], file: MigrationFile) -> None:
        gone = {one.location for one in replaced}
        kept = [one for one in sources.files() if one.location not in gone]
        self._now = tuple(sorted([*kept, file], key=lambda one: (int(one), one.location)))
        self._numbers = tuple(one.version for one in self._now)
        self._places = sources.folders

    @property
    def folders(self) -> list[Path]:
        """Those that there are."""
        return self._places

    def versions(self) -> tuple[int, ...]:
        """The versions that there will be."""
        return self._numbers

    def files(self) -> tuple[MigrationFile, ...]:
        """The files that there will be."""
        return self._now

    def suspicious(self) -> list[Path]:
        """None: they were looked at before."""
        return []

    def half_squashed(self) -> list[str]:
        """None: what was killed is put right."""
        return []


def made_by(twin: Migrator) -> Made:
    """What there is in a scratch database."""
    return Made(read_shape(twin), read_rows(twin), twin.version_tracker.read().rows)


def filled(start: Start, last: int) -> Filled:
    """What the old files make of sample rows that are there before them, and what they say meanwhile."""
    said: list[Said] = []
    with start.again() as twin:
        told = fill(twin.db, sorted(twin.version_tracker.own_tables), {})
        # The guard tells what was renamed.
        twin._on_data_loss, twin._runner = "warn", None
        try:
            _listened(start, twin, last, said)
            return Filled(made_by(twin), told, said)
        except MigrationError:
            pass
    with start.again() as twin:
        _listened(start, twin, last, said)
    return Filled(None, told, said)


def _listened(start: Start, twin: Migrator, last: int, said: list[Said]) -> None:
    tables = {table.name.rpartition(".")[2].lower() for table in read_shape(twin).tables.values()}
    with hands_off(start.migrator.db.engine), listening(twin, tables, said):
        twin.migrate_to_version(last)


def prove_filled(start: Start, first: int, last: int, then: Made, sources: SquashedSources) -> None:
    """
    Run what was written on the same sample rows.

    Raises:
        SquashImpossible: It makes something else of them, or fails.
    """
    with start.again() as twin:
        fill(twin.db, sorted(twin.version_tracker.own_tables), {})
        with (
            _failing(start, first, last, "the migration that was written for them fails where there are rows"),
            _as_it_will_be(start, twin, sources),
        ):
            twin.migrate_to_version(last)
        require_same(first, last, then, made_by(twin), "of rows that are there before it")


def prove(start: Start, first: int, last: int, then: Made, head: Made | None, sources: SquashedSources) -> list[str]:
    """
    Run the migration that is to replace others, there, back and there again, and those behind it; then have a database
    go on with it that had the others.

    Args:
        first, last: The versions that are replaced.
        then, head: What the migrations make up to the last that is replaced, and all of them.

    Returns:
        What its way back leaves, in words.

    Raises:
        SquashImpossible: It does not do the same, or fails.
    """
    with start.again() as twin, _failing(start, first, last, "the migration that was written for them fails"):
        was = read_shape(twin)
        with _as_it_will_be(start, twin, sources):
            twin.migrate_to_version(last)
            require_same(first, last, then, made_by(twin), "after it")
            left = _back_and_again(start, twin, last, was)
            require_same(first, last, then, made_by(twin), "after it was taken back and applied again")
            if head is not None:
                twin.migrate()
                require_same(first, last, head, made_by(twin), "after the migrations behind it")
    _prove_old(start, first, last, head, sources)
    return left


def _back_and_again(start: Start, twin: Migrator, last: int, was: Shape) -> list[str]:
    migration = twin.manager.load_file(twin.manager.discover_migrations()[last])
    if not migration.rollback_supported:
        return []
    twin.rollback_to_version(start.version)
    left = [str(finding(one, "schema before", "schema after")) for one in compare(was, read_shape(twin))]
    twin.migrate_to_version(last)
    return left


def _prove_old(start: Start, first: int, last: int, head: Made | None, sources: SquashedSources) -> None:
    """A database that had the others goes on with the files as they will be, and nothing of them is missed there."""
    with migrated_database(start.migrator, last) as twin:
        before = made_by(twin)
        with (
            _failing(start, first, last, "a database that has had them does not go on with what was written"),
            _as_it_will_be(start, twin, sources),
        ):
            done = twin.migrate_to_version(last)
            issues = twin.manager.validate_migration_sequence()
            if done.applied or issues:
                raise SquashImpossible(
                    first,
                    last,
                    "a database that has had them does not go on with what was written",
                    facts="; ".join(issues) or f"it would apply {done.applied}",
                    hint="Mend the migrations first: sqlmig validate",
                )
            require_same(first, last, before, made_by(twin), "in a database that has had them")
            if head is not None:
                twin.migrate()
                require_same(first, last, head, made_by(twin), "in a database that has had them, after those behind it")


@contextmanager
def _as_it_will_be(start: Start, twin: Migrator, sources: SquashedSources) -> Iterator[None]:
    before = twin._sources
    twin._take(sources)
    try:
        with hands_off(start.migrator.db.engine):
            yield
    finally:
        twin._take(before)


@contextmanager
def _failing(start: Start, first: int, last: int, why: str) -> Iterator[None]:
    try:
        yield
    except SquashImpossible:
        raise
    except MigrationError as error:
        head, _, rest = str(error).partition("\n")
        facts = "; ".join([head, *(line.strip() for line in rest.splitlines()[:2])])
        hint = "Squash a part of them: sqlmig squash FROM TO."
        raise SquashImpossible(first, last, why, facts=facts, hint=hint) from error


def require_same(first: int, last: int, one: Made, other: Made, when: str) -> None:
    """
    Compare what the old files made with what the new one makes.

    Raises:
        SquashImpossible: Something differs.
    """
    found = [str(finding(difference, "old files", "new one")) for difference in compare(one.shape, other.shape)]
    found += _other_order(one.shape, other.shape)
    found += differing(one.rows, other.rows, one.unstable)
    if found:
        more = f", and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        raise SquashImpossible(
            first,
            last,
            f"what was written for them does not make the same {when}",
            facts="\n  ".join(found[:_SHOWN]) + more,
            hint=f"Squash a part of them, that leaves this out: sqlmig squash FROM TO; or keep the {last - first + 1}.",
        )


def _other_order(one: Shape, other: Shape) -> list[str]:
    return [
        f"the columns of {table.name} stand in another order"
        for key, table in one.tables.items()
        if key in other.tables
        and [one.column_key(column.name) for column in table.columns]
        != [one.column_key(column.name) for column in other.tables[key].columns]
    ]
