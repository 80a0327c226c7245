"""What a rollback would remove, counted before it begins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..results import Loss
from ..schema.sqlite.definition import folded
from .census import Census

if TYPE_CHECKING:
    from ..connection import DatabaseConnection
    from ..version_tracker import AppliedVersion, VersionTracker

__all__ = ["losses_of_rollback"]


def losses_of_rollback(database: DatabaseConnection, tracker: VersionTracker, target: int) -> list[Loss]:
    """The data in what the migrations above *target* have created, newest first; what is empty is left out."""
    with database.reading() as connection:
        census = Census(connection.connection.dbapi_connection)
        rows = [row for row in reversed(tracker.read(connection).rows) if row.done and row.version > target]
        seen: set[str] = set()
        return [loss for row in rows for loss in _of_version(census, row, seen)]


def _of_version(census: Census, row: AppliedVersion, seen: set[str]) -> list[Loss]:
    found = []
    for name in row.metadata.get("created") or ():
        if not isinstance(name, str) or folded(name) in seen:
            continue
        seen.add(folded(name))
        loss = _in(census, name)
        # A column of a table that goes as a whole is counted with it.
        if loss is not None and loss.count and folded(loss.table) not in seen - {folded(name)}:
            found.append(Loss(kind=loss.kind, name=loss.name, count=loss.count, version=row.version))
    return found


def _in(census: Census, name: str) -> Loss | None:
    """The rows of a table, or the values of a column, of that name; None where it is there no more."""
    table = census.find(None, name) or census.find(*_split(name))
    if table is not None:
        return Loss(kind="table", name=name, count=census.count(table)) if census.holds_data(table) else None
    place, _, column = name.rpartition(".")
    table = (census.find(None, place) or census.find(*_split(place))) if place else None
    if table is None or folded(column) not in [folded(found.name) for found in census.columns(table)]:
        return None
    return Loss(kind="column", name=name, count=census.filled(table, [column])[folded(column)])


def _split(name: str) -> tuple[str | None, str]:
    schema, dot, table = name.partition(".")
    return (schema, table) if dot else (None, name)
