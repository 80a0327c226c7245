"""
Models, migrations and the database, compared.

Nothing is guessed: the models are created in an empty database of the same kind, the migrations are run in another, and
what the three catalogues say is compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import MetaData

from ..errors import CheckImpossible, MigrationError
from .compare import Difference, compare
from .models import as_metadata, create_models
from .report import Comparison, DriftReport, told
from .scratch import empty_database, shape_of
from .shape import Shape

if TYPE_CHECKING:
    from ..migrator import Migrator

__all__ = ["check", "migrated_shape", "modelled_shape", "without_what_models_cannot_say"]

# What MetaData has no word for; where the models bring one along, by a DDL event, it is compared.
_NOT_IN_MODELS = frozenset({"trigger", "view", "materialized view", "virtual table", "function", "procedure", "policy"})
_ALWAYS_IGNORED = frozenset({"alembic_version"})


class _Live(NamedTuple):
    """
    The database itself.

    Attributes:
        state: What is to be said of it first.
        shape: None where it cannot be compared.
        version: The one whose migrations it is to be compared with.
    """

    version: int
    state: str | None
    shape: Shape | None
    vouched: bool = True


def check(
    migrator: Migrator,
    models: object = None,
    *,
    ignore: Sequence[str] = (),
    database: bool = True,
    allow_empty: bool = False,
) -> DriftReport:
    """
    What any two of models, migrations and database do not have in common.

    Args:
        models, ignore, database, allow_empty: As in `Migrator.check`.
    """
    metadata = None if models is None else as_metadata(models, allow_empty=allow_empty)
    live = _live(migrator) if database else None
    newest = migrator.manager.get_target_version()
    modelled = None if metadata is None else modelled_shape(migrator, metadata)
    head = migrated_shape(migrator, None)
    made: list[Comparison] = []

    def look(left: str, right: str, found: list[Difference]) -> None:
        made.append(told([one for one in found if not _is_ignored(one, ignore)], left, right))

    if modelled is not None:
        look("models", "migrations", without_what_models_cannot_say(compare(modelled, head), head))
    if live is not None and live.shape is not None:
        at_head = live.version == newest
        then = head if at_head else migrated_shape(migrator, live.version)
        look("migrations", "database", compare(then, live.shape))
        if modelled is not None and at_head:
            look("models", "database", without_what_models_cannot_say(compare(modelled, live.shape), live.shape))
    return DriftReport(
        current_version=live.version if live else None,
        target_version=newest,
        state=live.state if live else None,
        comparisons=made,
        vouched=live is None or live.vouched,
    )


def migrated_shape(migrator: Migrator, version: int | None) -> Shape:
    """
    The schema that the migrations make of an empty database, up to *version*, or all of them.

    Raises:
        CheckImpossible: They fail there.
    """
    with empty_database(migrator) as engine:
        twin = migrator._on(engine)
        twin._on_data_loss = "ignore"
        try:
            if version != 0:
                twin.migrate() if version is None else twin.migrate_to_version(version)
        except MigrationError as error:
            raise CheckImpossible(migrator.backend.name, error) from error
        return _read(twin)


def modelled_shape(migrator: Migrator, models: Sequence[MetaData]) -> Shape:
    """
    The schema that the models make of an empty database.

    Raises:
        ConfigurationError: They cannot be created there.
    """
    with empty_database(migrator) as engine:
        with engine.begin() as connection:
            create_models(connection, models)
        return _read(migrator._on(engine))


def without_what_models_cannot_say(found: list[Difference], other: Shape) -> list[Difference]:
    """The differences between models and something else that are to be told."""
    hidden = {key for kind, key in other.things if kind in ("view", "virtual table", "materialized view")}
    return [
        one
        for one in found
        if not (one.left is None and one.kind in _NOT_IN_MODELS)
        # A model may be mapped to a view or a virtual table.
        and not (one.kind == "table" and one.right is None and other.key(one.name) in hidden)
    ]


def _live(migrator: Migrator) -> _Live:
    status = migrator.get_migration_status()
    current, newest = status.current_version, status.target_version
    known, done = set(status.available_versions), set(status.applied_versions)
    if status.interrupted_versions:
        version = status.interrupted_versions[0]
        return _Live(current, f"Migration {version:03} was interrupted: the database is not compared.", None, False)
    if current > newest or not done <= known:
        # What the newer migrations do is not known here.
        text = f"The database is at version {current}, ahead of the newest migration, {newest}: it is not compared."
        return _Live(current, text, None, False)
    late = sorted(version for version in known - done if version < current)
    if late:
        text = f"Migration {late[0]:03} was not applied, though later ones were: the database is not compared."
        return _Live(current, text, None, False)
    pending = len(status.pending_versions)
    state = None
    if pending:
        count = f"{pending} migration{'s' if pending > 1 else ''}"
        state = f"The database is at version {current}, {count} behind: it is compared with the migrations up to there."
    return _Live(current, state, _read(migrator))


def _read(migrator: Migrator) -> Shape:
    ignored = {*migrator.version_tracker.own_tables, *_ALWAYS_IGNORED}
    with migrator.db.reading() as connection:
        raw: Any = connection.connection.dbapi_connection
        return shape_of(connection, raw, ignored)


def _is_ignored(found: Difference, patterns: Sequence[str]) -> bool:
    names = [found.name, *([found.table] if found.table else [])]
    names += [f"{found.table}.{found.name}"] if found.table else []
    return any(fnmatchcase(name, pattern) for name in names for pattern in patterns)
