"""
Databases that something else brought where they are: which of our migrations they have.

`PRAGMA user_version` says it with a number. Alembic says it with revisions, of which files that were imported from an
Alembic history carry one each; so do the records of AlembicMigrator, which numbers its migrations by itself. Nothing
is changed here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import String, column, inspect, select, table

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from .loader import LoadedMigration
    from .manager import MigrationManager
    from .sources import MigrationFile
    from .version_tracker import AppliedVersion, DatabaseState

__all__ = ["Claim", "claim", "says_revision"]


class Claim(NamedTuple):
    """What something other than our own records says is applied."""

    version: int
    """The one that the database is at."""

    versions: tuple[int, ...]
    source: str
    """Who says so, as the history words it."""

    unknown: tuple[str, ...] = ()
    """Revisions that no file carries; then nothing can be told."""

    known: tuple[str, ...] = ()
    replaces: tuple[AppliedVersion, ...] = ()
    """Rows of the versions table that are not ours."""

    facts: Mapping[str, Any] = {}
    """For the history."""


def claim(connection: Connection, state: DatabaseState, manager: MigrationManager) -> Claim | None:
    """What the database has by somebody else's word; None where the word is ours, or nobody's."""
    if state.interrupted or (state.tracked and not _by_revisions(state)):
        return None
    found = _by_alembic(connection, state, manager)
    if found is None and not state.tracked and state.user_version > 0:
        versions = tuple(v for v in manager.get_available_versions() if v <= state.user_version)
        found = Claim(state.user_version, versions, "as PRAGMA user_version says")
    return found


def says_revision(file: MigrationFile) -> bool:
    """Whether a file may carry a revision; most need not be loaded to tell that they do not."""
    try:
        return b"revision" in file.path.read_bytes()
    except OSError:
        return False


def _by_revisions(state: DatabaseState) -> bool:
    """Whether the records are AlembicMigrator's: its rows name revisions, and it leaves user_version alone."""
    return bool(state.rows) and not state.user_version and all("revision" in row.metadata for row in state.rows)


def _by_alembic(connection: Connection, state: DatabaseState, manager: MigrationManager) -> Claim | None:
    tracker = manager.version_tracker
    tables = {*inspect(connection).get_table_names()} - {tracker.versions.name, tracker.history.name}
    # A database without tables is at the beginning, whatever the files say.
    carrying = _carrying(manager) if tables else {}
    heads: dict[tuple[str, str], None] = {}
    for name in dict.fromkeys(version_table for version_table, _ in carrying):
        if name in tables:
            query = select(column("version_num", String)).select_from(table(name))
            heads |= dict.fromkeys((name, str(revision)) for revision in connection.execute(query).scalars())
        else:
            heads |= dict.fromkeys((name, str(row.metadata["revision"])) for row in state.rows)
    if not carrying or not (heads or state.rows):
        return None
    source = f"as {' and '.join(dict.fromkeys(name for name, _ in heads)) or 'Alembic'} says"
    unknown = tuple(revision for name, revision in heads if (name, revision) not in carrying)
    known = tuple(revision for _, revision in carrying)
    if unknown:
        return Claim(0, (), source, unknown, known, replaces=state.rows)
    versions = _closure((carrying[head] for head in heads), {m.version: m for m in carrying.values()})
    facts = {"revisions": [revision for _, revision in heads]}
    return Claim(max(versions, default=0), versions, source, (), known, state.rows, facts)


def _carrying(manager: MigrationManager) -> dict[tuple[str, str], LoadedMigration]:
    """The migrations that carry a revision, by the table in which it would stand, and by the revision."""
    loaded = manager.load_what_loads(file for file in manager.discover_migrations().values() if says_revision(file))
    return {(m.version_table, m.revision): m for m in loaded.values() if m.revision is not None}


def _closure(heads: Iterable[LoadedMigration], migrations: Mapping[int, LoadedMigration]) -> tuple[int, ...]:
    """The versions of *heads* and of all that they depend on."""
    found: set[int] = set()
    ahead = [migration.version for migration in heads]
    while ahead:
        version = ahead.pop()
        if version not in found:
            found.add(version)
            ahead += migrations[version].dependencies if version in migrations else []
    return tuple(sorted(found))
