"""What a rollback would remove, counted before it begins."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from ..results import Loss
from ..schema.sqlite.definition import folded
from .account import called_now
from .census import Census

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..connection import DatabaseConnection
    from ..version_tracker import AppliedVersion, VersionTracker

__all__ = ["losses_of_rollback"]


def losses_of_rollback(database: DatabaseConnection, tracker: VersionTracker, target: int) -> list[Loss]:
    """The data in what the migrations above *target* have created, newest first; what is empty is left out."""
    with database.reading() as connection:
        raw = connection.connection.dbapi_connection
        name = connection.dialect.name
        look = partial(_in, Census(raw)) if name == "sqlite" else _on_server(name, raw)
        rows = [row for row in tracker.read(connection).rows if row.done and row.version > target]
        seen: set[str] = set()
        return [loss for version, name in reversed(_created(rows)) for loss in _lost(look, version, name, seen)]


def _on_server(name: str, raw: Any) -> Callable[[str], Loss | None]:
    if name == "postgresql":
        from .postgresql.census import held_by
    else:
        from .mysql.census import held_by

    return partial(held_by, raw)


def _created(rows: Sequence[AppliedVersion]) -> list[tuple[int, str]]:
    """What each version has created, by the names that later ones have given it."""
    found: list[tuple[int, str]] = []
    for row in rows:
        renamed = row.metadata.get("renamed")
        if isinstance(renamed, dict):
            found = [(version, called_now(name, renamed)) for version, name in found]
        created = row.metadata.get("created")
        found += [(row.version, name) for name in created or () if isinstance(name, str)]
    return found


def _lost(look: Callable[[str], Loss | None], version: int, name: str, seen: set[str]) -> list[Loss]:
    if folded(name) in seen or folded(name.rpartition(".")[0]) in seen:
        # A column of a table that goes as a whole is counted with it.
        return []
    seen.add(folded(name))
    loss = look(name)
    if loss is None or not loss.count:
        return []
    return [Loss(kind=loss.kind, name=loss.name, count=loss.count, version=version)]


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
