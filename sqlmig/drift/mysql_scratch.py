"""An empty database of MariaDB or MySQL beside the application's, on its server, with the same character set."""

from __future__ import annotations

import copy
import hashlib
import logging
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from ..backends.mysql import code_of
from ..backends.raw import ask_any
from ..errors import ConfigurationError
from ..safety.copied_engine import connect_with, engine_like
from .mysql_fence import DatabaseFence

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

    from ..migrator import Migrator

__all__ = ["empty_mysql"]

logger = logging.getLogger("sqlmig.drift")

_PREFIX = "sqlmig_check_"
_STAYS = "the database %s could not be dropped, which the next check tries again: %s"
_DENIED = (1044, 1142, 1227)
# Drivers that call it otherwise than "database".
_CALL_IT_DB = ("aiomysql", "asyncmy", "mysqldb")
_FACTS = """
SELECT DATABASE(), default_character_set_name, default_collation_name, CURRENT_USER()
FROM information_schema.schemata WHERE schema_name = DATABASE()"""


@contextmanager
def empty_mysql(migrator: Migrator) -> Iterator[Engine]:
    """
    An engine on one, for the time inside.

    Raises:
        ConfigurationError: This user may not make one, or the engine cannot be led to it.
    """
    engine, backend = migrator.db.engine, migrator.backend
    with backend.translating(), _beside(engine) as raw:
        facts = ask_any(raw, _FACTS)
        if not facts:
            raise ConfigurationError(
                "The engine is connected to no database, beside which one could be made for a check.\n"
                "  Nothing was read and nothing was changed.\nName it in the URL: mysql+pymysql://user@host/database"
            )
        [[live, charset, collation, user]] = facts
        prefix = f"{_PREFIX}{hashlib.sha256(str(live).encode()).hexdigest()[:8]}_"
        _sweep(raw, prefix)
        with (
            _made(raw, engine, prefix, f"CHARACTER SET {charset} COLLATE {collation}", str(user)) as name,
            _engine_on(engine, name, str(live)) as empty,
        ):
            DatabaseFence(empty, _names(raw) - {name})
            yield empty


@contextmanager
def _beside(engine: Engine) -> Iterator[Any]:
    """A connection of the driver's own, after the application's listeners."""
    creator: Any = engine.pool._invoke_creator
    with engine_like(engine, engine.url, creator, lambda *_: None) as ours:
        pooled = ours.raw_connection()
        try:
            raw: Any = pooled.dbapi_connection
            raw.rollback()
            # It says nothing for as long as the migrations take, and its lock tells that the database is in use.
            ask_any(raw, "SET SESSION wait_timeout = 31536000")
            with suppress(Exception):
                # MySQL has no such limit.
                ask_any(raw, "SET SESSION max_statement_time = 0")
            yield raw
        finally:
            pooled.invalidate()
            pooled.close()


@contextmanager
def _made(raw: Any, engine: Engine, prefix: str, options: str, user: str) -> Iterator[str]:
    """The name of an empty database, which is gone at the end."""
    name = f"{prefix}{uuid.uuid4().hex[:12]}"
    ask_any(raw, f"SELECT GET_LOCK('{name}', 0)")
    # Where its making was cancelled in the middle, it may be there all the same.
    is_there = True
    try:
        try:
            ask_any(raw, f"CREATE DATABASE {name} {options}")
        except Exception as error:
            is_there = False
            if code_of(error) in _DENIED:
                raise _may_not(user) from error
            raise
        yield name
    finally:
        if is_there:
            _drop(raw, engine, name)


def _drop(raw: Any, engine: Engine, name: str) -> None:
    """Drop it, by a new connection where that of before is lost."""
    try:
        ask_any(raw, f"DROP DATABASE IF EXISTS {name}")
    except Exception:
        try:
            with _beside(engine) as other:
                ask_any(other, f"DROP DATABASE IF EXISTS {name}")
        except Exception as error:
            logger.warning(_STAYS, name, error)


def _may_not(user: str) -> ConfigurationError:
    name, _, host = user.rpartition("@")
    return ConfigurationError(
        f"The user {user} may not make a database, which a check needs to create the models and to run the migrations"
        " in.\n  Nothing was copied and nothing was changed.\n"
        f"Let it: GRANT ALL PRIVILEGES ON `{_PREFIX.replace('_', chr(92) + '_')}%`.* TO '{name}'@'{host}'; or check on"
        " another server: Migrator(url, ...).check(models), sqlmig check --url."
    )


def _sweep(raw: Any, prefix: str) -> None:
    """Drop what checks of this database left whose processes were killed."""
    for name in sorted(_names(raw)):
        if name.startswith(prefix) and ask_any(raw, f"SELECT GET_LOCK('{name}', 0)") == [(1,)]:
            logger.info("dropping the database %s, which a killed check left behind", name)
            try:
                ask_any(raw, f"DROP DATABASE IF EXISTS {name}")
            except Exception as error:
                logger.warning(_STAYS, name, error)
            ask_any(raw, f"SELECT RELEASE_LOCK('{name}')")


def _names(raw: Any) -> set[str]:
    """The databases that this user sees."""
    return {str(name) for (name,) in ask_any(raw, "SELECT schema_name FROM information_schema.schemata")}


@contextmanager
def _engine_on(original: Engine, name: str, live: str) -> Iterator[Engine]:
    """An engine like the application's whose every connection is to the database *name*."""
    known_as = "db" if original.dialect.driver in _CALL_IT_DB else "database"

    def lead(_arguments: list[Any], options: dict[str, Any]) -> None:
        for word in ("db", "database"):
            options.pop(word, None)
        options[known_as] = name

    def settle(raw: Any, _record: object) -> None:
        [[found]] = ask_any(raw, "SELECT DATABASE()")
        raw.rollback()
        if found != name:
            raise ConfigurationError(
                f"A connection for the check leads to the database {found}, and not to its own.\n"
                "  The engine connects in a way of its own; nothing was run there\n"
                "Take an engine whose database is in its URL: create_engine(url, connect_args=...)"
            )

    # The one of the application's engine looks for tables in the database that it has seen first.
    dialect = copy.copy(original.dialect)
    dialect.default_schema_name = name
    options = original.get_execution_options()
    # A model may name the database that it is in.
    given = {live: live, **(options.get("schema_translate_map") or {})}
    named = {schema: name if meant == live else meant for schema, meant in given.items()}
    with engine_like(
        original,
        original.url.set(database=name),
        lambda record: connect_with(original, lead, record),
        settle,
        options={"schema_translate_map": named},
        dialect=dialect,
    ) as engine:
        yield engine
