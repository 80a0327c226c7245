"""An empty database of the same kind beside the application's, connecting as that does, and always removed."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from .shape import Shape

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

    from ..migrator import Migrator

__all__ = ["empty_database", "shape_of"]


@contextmanager
def empty_database(migrator: Migrator) -> Iterator[Engine]:
    """
    An engine on one, for the time inside.

    Raises:
        ConfigurationError: None can be made here.
    """
    from ..safety.copies import MEMORY, Making, copied
    from ..safety.sqlite_original import SQLiteOriginal

    original = SQLiteOriginal(migrator, None)
    with original.opened():
        source, backend = original.source, migrator.backend
    making = Making(migrator.db.engine, source, None, False, backend.name, backend.lock_timeout, lambda *_: None)
    with copied(making, MEMORY, 0) as copy:
        yield copy.engine


def shape_of(engine: Any, raw: Any, ignored: Collection[str]) -> Shape:
    """
    What the catalogue of an open connection tells.

    Args:
        raw: The driver's connection.
        ignored: Tables that are left out, in lower case.
    """
    from .sqlite_shape import read

    return read(raw, ignored)
