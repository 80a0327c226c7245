"""The schema that is drawn: of the database, or of what the migrations make up to a version."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from sqlalchemy import inspect
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.types import NullType

from ..connection import display_name
from ..drift.check import migrated_database, patterns, read_shape
from ..drift.shape import Shape
from ..errors import UnknownVersion
from .picture import Picture, Seen, difference_of, picture_of

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from ..migrator import Migrator

__all__ = ["database_at", "picture_between", "picture_now", "seen", "staying"]


def picture_now(
    migrator: Migrator, *, at: int | None = None, ignore: Sequence[str] = (), name: str | None = None
) -> Picture:
    """
    The picture of the database, or of what the migrations make of an empty one up to a version.

    Args:
        ignore: Patterns of the names of tables and views that are left out.
        name: What the database is called.

    Raises:
        UnknownVersion: No migration has it.
        CheckImpossible: The migrations fail on an empty database.
    """
    if at is None:
        title = display_name(migrator.db.engine) if name is None else name
        return picture_of(title, *_without(migrator.backend.read(lambda: seen(migrator)), ignore))
    return picture_of(f"Version {at} of the migrations", *_without(_migrated(migrator, at), ignore))


def picture_between(migrator: Migrator, older: int, newer: int, ignore: Sequence[str] = ()) -> Picture:
    """
    The picture of what the migrations between two versions change.

    Raises:
        UnknownVersion: No migration has one of them.
        CheckImpossible: They fail on an empty database.
    """
    both = [_without(_migrated(migrator, version), ignore) for version in (older, newer)]
    title = f"From version {older} to version {newer}"
    return difference_of(title, both[0], both[1], (f"version {older}", f"version {newer}"))


def _migrated(migrator: Migrator, version: int) -> Seen:
    with database_at(migrator, version) as twin:
        return seen(twin)


@contextmanager
def database_at(migrator: Migrator, version: int) -> Iterator[Migrator]:
    """
    The Migrator on an empty database that was migrated up to *version*, for the time inside.

    Raises:
        UnknownVersion: No migration has it.
        CheckImpossible: The migrations fail there.
    """
    available = migrator.manager.get_available_versions()
    if version != 0 and version not in available:
        raise UnknownVersion(version, available)
    with migrated_database(migrator, migrator._target(version)) as twin:
        yield twin


def seen(migrator: Migrator) -> Seen:
    """What there is in a database."""
    shape = read_shape(migrator)
    names = [thing.name for thing in shape.things.values() if thing.kind in ("view", "materialized view")]
    virtual = [thing.name for thing in shape.things.values() if thing.kind == "virtual table"]
    with migrator.db.reading() as connection:
        return shape, {name: _columns(connection, name) for name in [*names, *virtual]}


def _columns(connection: Connection, view: str) -> list[tuple[str, str]]:
    """None of a view that does not work any more; a dot is part of its name, or stands behind that of its schema."""
    dots = [at for at, letter in enumerate(view) if letter == "."]
    for schema, name in [(None, view), *((view[:at], view[at + 1 :]) for at in dots)]:
        try:
            found = inspect(connection).get_columns(name, schema)
        except SQLAlchemyError:
            continue
        return [(column["name"], _type(column["type"])) for column in found]
    return []


def _type(type_: object) -> str:
    if isinstance(type_, NullType):
        return ""
    try:
        return str(type_)
    except SQLAlchemyError:
        return ""


def staying(ignore: Sequence[str]) -> Callable[[str | None], bool]:
    """
    Whether a table or a view of a name is not passed over.

    Raises:
        ConfigurationError: One is no pattern.
    """
    passed_over = patterns(ignore)
    return lambda name: name is None or not any(fnmatchcase(name, pattern) for pattern in passed_over)


def _without(found: Seen, ignore: Sequence[str]) -> Seen:
    """What is left when tables and views of these names are passed over, with all that is theirs."""
    (shape, views), stays = found, staying(ignore)
    kept = Shape(
        {key: table for key, table in shape.tables.items() if stays(table.name)},
        {key: index for key, index in shape.indexes.items() if stays(index.table)},
        {key: thing for key, thing in shape.things.items() if stays(thing.table) and stays(thing.name)},
        shape.folds,
        shape.folds_columns,
        shape.schemas,
    )
    return kept, views
