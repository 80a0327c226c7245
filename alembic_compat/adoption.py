"""Databases that Alembic has brought to a revision, taken over at the version that stands for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from alembic.runtime.migration import MigrationContext

from sqlmig import Migrator

from .errors import UnknownRevision

__all__ = ["adopt"]


def adopt(
    migrator: Migrator,
    versions: Mapping[str, int],
    *,
    version_table: str = "alembic_version",
    version_table_schema: str | None = None,
) -> int | None:
    """
    Record a database that Alembic made as being at the version that stands for its revision; nothing is run.

    For an application that has written its Alembic history anew as migrations. Call it before every `migrate()`: it
    is safe in any number of processes, and where sqlmig knows the database already, or Alembic never was there, it
    does nothing. Alembic's own table stays as it is.

    Args:
        migrator: The application's own.
        versions: For each revision that a database may be at, the version with the same schema.
        version_table, version_table_schema: Where Alembic keeps its revision, as in `context.configure()`.

    Returns:
        The version that was recorded, or None.

    Raises:
        UnknownRevision: The database is at another revision, or at several heads.
    """
    if migrator.version_tracker.read().tracked:
        return None
    options = {"version_table": version_table, "version_table_schema": version_table_schema}
    with migrator.db.reading() as connection:
        heads = MigrationContext.configure(connection, opts=options).get_current_heads()
    if not heads:
        return None
    if len(heads) > 1 or heads[0] not in versions:
        raise UnknownRevision(heads, list(versions), _unknown(heads, list(versions)))
    version = versions[heads[0]]
    return version if migrator.stamp(version, if_untracked=True) else None


def _unknown(found: Sequence[str], known: Sequence[str]) -> str:
    return (
        f"The database is at Alembic's revision {' and '.join(found)}, which no version stands for.\n"
        f"  known: {', '.join(known)}; nothing was changed\n"
        f"Bring it to one of them with Alembic (alembic upgrade {known[-1] if known else 'head'}), or add it here."
    )
