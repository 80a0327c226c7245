"""Whether a written migration does what it says: its file is run in scratch databases, there, back and there again."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ..drift.check import read_shape
from ..drift.compare import Difference, compare
from ..drift.shape import Shape
from ..errors import AutogenerateFailed, DataLossError, MigrationError
from ..safety.fence import hands_off
from ..sources import Sources
from .ground import Ground
from .samples import add_rows
from .start import Start

if TYPE_CHECKING:
    from ..migrator import Migrator
    from .changes import Told

__all__ = ["Proof", "prove"]


class Proof(NamedTuple):
    """
    What came of it.

    Attributes:
        missing: What differs from the models when it has run.
        left: What differs from what was there before when it has been rolled back.
        warnings: What is to be known beyond that.
    """

    missing: list[Difference]
    left: list[Difference]
    warnings: list[str]


def prove(
    start: Start,
    wanted: Shape,
    told: Told,
    text: str,
    name: str,
    noted: Collection[str] = (),
) -> Proof:
    """
    Run the text of a migration.

    Args:
        wanted: The shape of the models.
        noted: Of "up" and "down", those of which it is said already that rows may stop them.

    Raises:
        AutogenerateFailed: It does not run in empty tables, or not for a second time.
    """
    with tempfile.TemporaryDirectory(prefix="sqlmig_") as folder:
        (Path(folder) / name).write_text(text, encoding="utf-8")
        with _with_new(start, folder) as twin:
            was = read_shape(twin)
            try:
                twin.migrate()
                now = read_shape(twin)
                missing = told(compare(wanted, now), now)
                twin.rollback_to_version(start.version)
                back = read_shape(twin)
                left = compare(was, back)
                if not left:
                    twin.migrate()
                    now = read_shape(twin)
                    twin.rollback_to_version(start.version)
            except MigrationError as error:
                raise AutogenerateFailed(error, text) from error
            missing += [one for one in told(compare(wanted, now), now) if one not in missing]
            warned = None if left else _with_rows(twin, start.version, noted)
        return Proof(missing, left, [*_order(was, back), *([warned] if warned else [])])


@contextmanager
def _with_new(start: Start, folder: str) -> Iterator[Migrator]:
    """The Migrator of the migrations and the one in a folder."""
    with start.again() as twin:
        sources = start.migrator._sources
        there = [given for given, path in zip(sources._given, sources.folders, strict=True) if path.is_dir()]
        twin._take(Sources([*there, folder]))
        with hands_off(start.migrator.db.engine):
            yield twin


def _with_rows(twin: Migrator, before: int, noted: Collection[str]) -> str | None:
    """What stops it, or what it would lose, where there are rows; None where it works there too."""
    tables = Ground(twin).target().tables.values()
    with twin.db.transaction() as connection:
        filled = add_rows(connection, tables)
    if not filled:
        return None
    # The guard's policy is the runner's.
    twin._on_data_loss, twin._runner = "error", None
    way = "up"
    try:
        twin.migrate()
        way = "down"
        twin.rollback_to_version(before)
    except DataLossError as error:
        return f"with a row in each table, its {way}() loses what removes does not name: {error.losses[0]}"
    except MigrationError as error:
        return None if way in noted else f"with a row in each table, its {way}() stops: {_reason(error)}"
    return None


def _reason(error: MigrationError) -> str:
    cause = error.__cause__ if isinstance(error.__cause__, Exception) else error
    return str(cause).partition("\n")[0]


def _order(was: Shape, back: Shape) -> list[str]:
    """The tables whose columns stand in another order when it has been rolled back."""
    found = []
    for key, table in was.tables.items():
        there = back.tables.get(key)
        names, other = ([was.key(column.name) for column in one.columns] for one in (table, there or table))
        if names != other and sorted(names) == sorted(other):
            found.append(table.name)
    if not found:
        return []
    return [f"its down() brings the columns of {', '.join(found)} back in another order: what is added stands behind"]
