"""An empty database of the same kind beside the application's, connecting as that does, and always removed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from ..errors import ConfigurationError, MigrationError
from .shape import Shape

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection, Engine

    from ..migrator import Migrator

__all__ = ["BEFOREHAND", "USUAL_SCHEMA", "Beforehand", "empty_database", "filled_database", "shape_of", "twin_on"]

T = TypeVar("T")

USUAL_SCHEMA = "sqlmig_usual_schema"
"""The execution option under which an engine has the schema that names are told without."""


class Beforehand(NamedTuple):
    """
    What is in an empty database of PostgreSQL's beforehand, where migrations or models may take it for granted.

    Attributes:
        schemas: Schemas that are there whatever the application's database has.
        all_schemas: Whether there are all that the application's database has, or those of its search path.
        without: Schemas and extensions that are not there, since they are made by what is to be run.
    """

    schemas: frozenset[str] = frozenset()
    all_schemas: bool = False
    without: frozenset[str] = frozenset()


BEFOREHAND = Beforehand()


@contextmanager
def empty_database(migrator: Migrator, beforehand: Beforehand = BEFOREHAND) -> Iterator[Engine]:
    """
    An engine on one, for the time inside.

    Raises:
        ConfigurationError: None can be made here.
    """
    dialect = migrator.db.engine.dialect.name
    if dialect == "sqlite":
        with _empty_sqlite(migrator) as engine:
            yield engine
        return
    _require_plain(migrator.db.engine)
    if dialect == "postgresql":
        from .postgresql_scratch import empty_postgresql

        with empty_postgresql(migrator, beforehand) as engine:
            yield engine
    else:
        from .mysql_scratch import empty_mysql

        with empty_mysql(migrator) as engine:
            yield engine


def _require_plain(engine: Engine) -> None:
    """On a server a scratch database is reached by the engine's own way of connecting, which must let itself be led."""
    from ..safety.copied_engine import connects_plainly

    if connects_plainly(engine):
        raise ConfigurationError(
            "The engine has a creator= of its own, which cannot be led to a scratch database, so there is no check.\n"
            "  Nothing was read and nothing was changed.\n"
            "Check with an engine whose database is in its URL: create_engine(url, connect_args=...)"
        )


@contextmanager
def filled_database(
    migrator: Migrator, fill: Callable[[Engine], T], beforehand: Beforehand = BEFOREHAND
) -> Iterator[T]:
    """
    What *fill* gives, called with an engine on an empty database, which is there for the time inside.

    It is called again, with another one, where it failed since it makes a schema or an extension by itself that was
    there, or since one was not there that the application's database has.
    """
    with ExitStack() as stack:
        while True:
            try:
                filled = fill(stack.enter_context(empty_database(migrator, beforehand)))
                break
            except MigrationError as error:
                stack.close()
                if migrator.db.engine.dialect.name != "postgresql":
                    raise
                from .postgresql_scratch import another_try

                other = another_try(beforehand, error)
                if other is None:
                    raise
                beforehand = other
        yield filled


@contextmanager
def _empty_sqlite(migrator: Migrator) -> Iterator[Engine]:
    from ..safety.copies import MEMORY, Making, copied
    from ..safety.sqlite_original import SQLiteOriginal

    original = SQLiteOriginal(migrator, None)
    with original.opened():
        source, backend = original.source, migrator.backend
    making = Making(migrator.db.engine, source, None, False, backend.name, backend.lock_timeout, lambda *_: None)
    with copied(making, MEMORY, 0) as copy:
        yield copy.engine


def twin_on(migrator: Migrator, engine: Engine) -> Migrator:
    """The same migrations on an empty database, in which there is nothing to be lost."""
    twin = migrator._on(engine)
    twin._on_data_loss = "ignore"
    if engine.dialect.name in ("mysql", "mariadb"):
        # There a schema is another database, in which the records of the application's are.
        twin._tables = {**twin._tables, "schema": None}
    return twin


def shape_of(
    connection: Connection, raw: Any, ignored: Collection[str], schemas: Collection[str] | None = None
) -> Shape:
    """
    What the catalogue of an open connection tells.

    Args:
        raw: The driver's connection.
        ignored: Tables that are left out, in lower case.
        schemas: Those of PostgreSQL that are looked at beside the usual one; all by default.
    """
    dialect = connection.dialect.name
    if dialect == "postgresql":
        from .postgresql_shape import read_postgresql, usual_schema

        options = connection.get_execution_options()
        usual = options[USUAL_SCHEMA] if USUAL_SCHEMA in options else usual_schema(raw)
        return read_postgresql(raw, ignored, usual, schemas)
    if dialect == "sqlite":
        from .sqlite_shape import read

        return read(raw, ignored)
    from .mysql_shape import read_mysql

    return read_mysql(raw, ignored)
