"""
Models, migrations and the database, compared.

Nothing is guessed: the models are created in an empty database of the same kind, the migrations are run in another, and
what the three catalogues say is compared.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import MetaData

from ..errors import CheckImpossible, ConfigurationError, MigrationError
from ..safety.fence import hands_off
from .compare import Difference, compare
from .models import as_metadata, create_models
from .report import Comparison, DriftReport, told
from .scratch import BEFOREHAND, filled_database, shape_of, twin_on
from .shape import Shape, Table, made_at_once

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

    from ..migrator import Migrator

__all__ = [
    "check",
    "is_ignored",
    "migrated_database",
    "modelled_database",
    "patterns",
    "read_shape",
    "without_what_models_cannot_say",
]

# What MetaData has no word for; where the models bring one along, by a DDL event, it is compared.
_NOT_IN_MODELS = frozenset(
    {
        *("trigger", "view", "materialized view", "virtual table", "function", "procedure", "aggregate", "policy"),
        *("rule", "statistics", "event", "composite type", "range type"),
    }
)
_ALWAYS_IGNORED = frozenset({"alembic_version"})


class _Live(NamedTuple):
    """
    The database itself.

    Attributes:
        state: What is to be said of it first.
        version: The one whose migrations it is to be compared with.
        comparable: Whether it can be compared.
    """

    version: int
    state: str | None
    comparable: bool = True


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
    ignore = patterns(ignore)
    live = _live(migrator) if database else None
    newest = migrator.manager.get_target_version()
    modelled, head = _ours(migrator, metadata)
    made: list[Comparison] = []

    def look(left: str, right: str, found: list[Difference]) -> None:
        made.append(told([one for one in found if not is_ignored(one, ignore)], left, right))

    if modelled is not None:
        look("models", "migrations", without_what_models_cannot_say(compare(modelled, head), head))
    if live is not None and live.comparable:
        at_head = live.version == newest
        then = head if at_head else migrated_shape(migrator, live.version)
        # Where none of these has anything, another application may have its own.
        ours = {schema for shape in (modelled, head, then) if shape is not None for schema in shape.schemas}
        there = read_shape(migrator, ours)
        look("migrations", "database", compare(then, there))
        if modelled is not None and at_head:
            look("models", "database", without_what_models_cannot_say(compare(modelled, there), there))
    return DriftReport(
        current_version=live.version if live else None,
        target_version=newest,
        state=live.state if live else None,
        comparisons=made,
        vouched=live is None or live.comparable,
    )


def _ours(migrator: Migrator, models: Sequence[MetaData] | None) -> tuple[Shape | None, Shape]:
    """What the models make and what the migrations make; on a server at the same time, for it is that which works."""
    dialect = migrator.db.engine.dialect
    if models is None:
        return None, migrated_shape(migrator, None)
    if dialect.name == "sqlite" or dialect.is_async:
        return modelled_shape(migrator, models), migrated_shape(migrator, None)
    with ThreadPoolExecutor(1, thread_name_prefix="sqlmig") as beside:
        made = beside.submit(copy_context().run, modelled_shape, migrator, models)
        head = migrated_shape(migrator, None)
        return made.result(), head


def migrated_shape(migrator: Migrator, version: int | None) -> Shape:
    """
    The schema that the migrations make of an empty database, up to *version*, or all of them.

    Raises:
        CheckImpossible: They fail there.
    """
    with migrated_database(migrator, version) as twin:
        return read_shape(twin)


@contextmanager
def migrated_database(
    migrator: Migrator, version: int | None, *, only: Collection[int] | None = None
) -> Iterator[Migrator]:
    """
    The Migrator on an empty database that was migrated up to *version*, or by all migrations, for the time inside.

    Args:
        only: The migrations up to there that it is to have; all by default.

    Raises:
        CheckImpossible: They fail there.
        ConfigurationError: There are none.
    """
    if version != 0:
        migrator.manager.require_files()

    def run(engine: Engine) -> Migrator:
        twin = twin_on(migrator, engine)
        twin.manager.only = only
        try:
            if version != 0:
                with hands_off(migrator.db.engine):
                    twin.migrate() if version is None else twin.migrate_to_version(version)
        except MigrationError as error:
            raise CheckImpossible(migrator.backend.name, error) from error
        twin.manager.only = None
        return twin

    with filled_database(migrator, run) as twin:
        yield twin


def modelled_shape(migrator: Migrator, models: Sequence[MetaData]) -> Shape:
    """
    The schema that the models make of an empty database.

    Raises:
        ConfigurationError: They cannot be created there.
    """
    with modelled_database(migrator, models) as twin:
        return made_at_once(read_shape(twin))


@contextmanager
def modelled_database(migrator: Migrator, models: Sequence[MetaData]) -> Iterator[Migrator]:
    """
    The Migrator on an empty database in which the models were created, for the time inside.

    Raises:
        ConfigurationError: They cannot be created there.
    """

    def create(engine: Engine) -> Migrator:
        with hands_off(migrator.db.engine), engine.begin() as connection:
            create_models(connection, models)
        return twin_on(migrator, engine)

    schemas = {table.schema for metadata in models for table in metadata.tables.values() if table.schema}
    with filled_database(migrator, create, BEFOREHAND._replace(schemas=frozenset(schemas))) as twin:
        yield twin


def without_what_models_cannot_say(found: list[Difference], other: Shape) -> list[Difference]:
    """The differences between models and something else that are to be told."""
    hidden = {key for kind, key in other.things if kind in ("view", "virtual table", "materialized view")}
    return [
        one
        for one in found
        if not (one.left is None and one.kind in _NOT_IN_MODELS)
        # A model may be mapped to a view or a virtual table.
        and not (one.kind == "table" and one.right is None and other.key(one.name) in hidden)
        and not (one.left is None and isinstance(one.right, Table) and _is_partition(one.right))
    ]


def _is_partition(table: Table) -> bool:
    return any(option.startswith("PARTITION OF") for option in table.options)


def _live(migrator: Migrator) -> _Live:
    status = migrator.get_migration_status()
    current, newest = status.current_version, status.target_version
    known, done = set(status.available_versions), set(status.applied_versions)
    if status.interrupted_versions:
        version = status.interrupted_versions[0]
        return _Live(current, f"Migration {version:03} was interrupted: the database is not compared.", False)
    if current > newest or not done <= known:
        # What the newer migrations do is not known here.
        text = f"The database is at version {current}, ahead of the newest migration, {newest}: it is not compared."
        return _Live(current, text, False)
    late = sorted(version for version in known - done if version < current)
    if late:
        text = f"Migration {late[0]:03} was not applied, though later ones were: the database is not compared."
        return _Live(current, text, False)
    pending = len(status.pending_versions)
    state = None
    if pending:
        count = f"{pending} migration{'s' if pending > 1 else ''}"
        state = f"The database is at version {current}, {count} behind: it is compared with the migrations up to there."
    return _Live(current, state)


def read_shape(migrator: Migrator, schemas: Collection[str] | None = None) -> Shape:
    """
    What the catalogue of a database tells, without the records of its migrations.

    Args:
        schemas: Those of PostgreSQL that are looked at beside the usual one; all by default.
    """
    ignored = {*migrator.version_tracker.own_tables, *_ALWAYS_IGNORED}
    with migrator.db.reading() as connection:
        raw: Any = connection.connection.dbapi_connection
        return shape_of(connection, raw, ignored, schemas)


def patterns(ignore: Sequence[str]) -> list[str]:
    """
    What was passed as patterns of names; a text alone is one, and not its letters, of which a `*` would hide all.

    Raises:
        ConfigurationError: One is no text.
    """
    given = [ignore] if isinstance(ignore, str) else list(ignore)
    for one in given:
        if not isinstance(one, str):
            raise ConfigurationError(
                f"{one!r} is no pattern of names.\n  ignore= takes texts, in which * stands for any letters\n"
                'Write it so: ignore=["audit_*", "books.legacy"]'
            )
    return given


def is_ignored(found: Difference, patterns: Sequence[str]) -> bool:
    """Whether a difference is about a name that is passed over."""
    names = [found.name, *([found.table] if found.table else [])]
    names += [f"{found.table}.{found.name}"] if found.table else []
    return any(fnmatchcase(name, pattern) for name in names for pattern in patterns)
