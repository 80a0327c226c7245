"""Migration files looked at by themselves: no database is connected to, and no driver is needed."""

from __future__ import annotations

from typing import NoReturn

from sqlalchemy.engine import URL, Engine
from sqlalchemy.exc import NoSuchModuleError
from sqlalchemy.pool import NullPool

from ..config import load_config
from ..connection import DatabaseConnection
from ..manager import MigrationManager
from .context import Options, database_named, migrations_of

__all__ = ["manager_of_files"]


def manager_of_files(options: Options) -> MigrationManager:
    """
    What finds and checks the files, as the database that is named would read them; without one, as SQLite would.

    Raises:
        ConfigurationError: What is named is no database.
        UnsupportedDatabase: sqlmig has no backend for it.
    """
    config = load_config()
    database = _unconnected(str(database_named(options, config) or "sqlite://"))
    order = config.get("out_of_order", "error")
    return MigrationManager(database, migrations_of(options, config), out_of_order=order)


def _unconnected(named: str) -> DatabaseConnection:
    """A database of which the kind is known, and nothing else: its driver may not be installed here."""
    scheme, found, _ = named.partition("://")
    # That of the kind, and not of its driver: an asynchronous one would want to be awaited.
    url = URL.create(scheme.partition("+")[0] if found else "sqlite")
    try:
        dialect = url.get_dialect()()
    except NoSuchModuleError:
        # It says what is wrong with it.
        return DatabaseConnection(named)
    return DatabaseConnection(Engine(NullPool(_refuse), dialect, url))


def _refuse() -> NoReturn:
    raise AssertionError("files are looked at without a database")
