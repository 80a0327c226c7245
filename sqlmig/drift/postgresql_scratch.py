"""
An empty PostgreSQL database beside the application's, on its server, with the same encoding and collation.

What an application may find in a database that nobody has migrated yet is in it: the schemas of its search path, its
extensions, its settings. Whether the migrations make these by themselves cannot be known beforehand: `another_try` has
it found out.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import DBAPIError

from ..backends.raw import ask_any, sqlstate
from ..backends.sqlite import quoted
from ..errors import ConfigurationError
from ..safety.postgresql.scratch import Purpose, engine_on, finish, scratch, sweep
from ..safety.postgresql.server_fence import ServerFence
from ..safety.postgresql.statements import beside, run
from .postgresql_shape import usual_schema
from .scratch import USUAL_SCHEMA, Beforehand

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

    from ..migrator import Migrator

__all__ = ["another_try", "empty_postgresql"]

logger = logging.getLogger("sqlmig.drift")

CHECK = Purpose(
    "check",
    "a check needs to create the models and to run the migrations in",
    "check on another server: Migrator(url, ...).check(models), sqlmig check --url",
)
_DUPLICATE_SCHEMA, _DUPLICATE_OBJECT, _NO_SCHEMA = "42P06", "42710", "3F000"
# What is set on each connection: nothing here must survive the machine.
_SETTINGS = {"synchronous_commit": "off"}
_EXTENSIONS = """
SELECT e.extname::text, n.nspname::text FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
WHERE e.extname <> 'plpgsql' ORDER BY e.oid"""
_SCHEMAS = """
SELECT n.nspname::text, n.nspname = ANY (current_schemas(false)) FROM pg_namespace n
WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND NOT EXISTS (SELECT FROM pg_depend e
    WHERE e.classid = 'pg_namespace'::regclass AND e.objid = n.oid AND e.deptype = 'e')
ORDER BY n.oid"""


@contextmanager
def empty_postgresql(migrator: Migrator, beforehand: Beforehand) -> Iterator[Engine]:
    """
    An engine on one, for the time inside.

    Raises:
        ConfigurationError: This user may not make one, or the engine cannot be led to it.
    """
    engine, backend = migrator.db.engine, migrator.backend
    anew = partial(beside, engine, backend.lock_timeout)
    warnings: list[str] = []
    with backend.translating(), anew() as raw:
        sweep(raw, CHECK)
        options = {USUAL_SCHEMA: usual_schema(raw)}
        with (
            scratch(raw, anew, warnings, CHECK) as name,
            engine_on(engine, name, raw, CHECK, options=options, settings=_SETTINGS) as empty,
        ):
            with _reached(name, backend.name):
                finish(raw, empty, warnings, filled=False)
            records = migrator._tables["schema"]
            _bring(raw, empty, beforehand, {records} if records else set())
            for warning in warnings:
                logger.info("%s", warning)
            ServerFence(empty)
            yield empty


def another_try(beforehand: Beforehand, error: BaseException) -> Beforehand | None:
    """What is to be there beforehand where something failed for what was, or was not; None where it is none of that."""
    cause: BaseException | None = error
    while cause is not None and not sqlstate(cause):
        cause = cause.__cause__
    if cause is None:
        return None
    code, said = sqlstate(cause), str(getattr(cause, "orig", cause))
    # The server may say it in any language, with its quotes.
    named = re.search('["«„](.+?)["»“]', said)
    name = named[1] if named else ""
    if code in (_DUPLICATE_SCHEMA, _DUPLICATE_OBJECT) and name and name not in beforehand.without:
        return beforehand._replace(without=beforehand.without | {name})
    if code != _NO_SCHEMA or name in beforehand.without:
        return None
    if not beforehand.all_schemas:
        return beforehand._replace(all_schemas=True)
    # Every new database has one; the application's has lost it, perhaps by these very migrations.
    has_public = name != "public" or name in beforehand.schemas
    return None if has_public else beforehand._replace(schemas=beforehand.schemas | {name})


@contextmanager
def _reached(name: str, database: str) -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        raise ConfigurationError(
            f"The scratch database {name}, which a check has made beside {database}, cannot be connected to.\n"
            f"  {str(error.orig).strip().partition(chr(10))[0]}\n"
            "Connect to the server itself, without a pool that knows one database only, and let this user into its"
            " other databases (pg_hba.conf)."
        ) from error


def _bring(raw: Any, empty: Engine, beforehand: Beforehand, schemas: set[str]) -> None:
    """
    Make what is to be there beforehand.

    Args:
        raw: A connection to the application's database.
        schemas: Those that are needed whatever that has.
    """
    extensions = [row for row in ask_any(raw, _EXTENSIONS) if row[0] not in beforehand.without]
    there = ask_any(raw, _SCHEMAS)
    wanted = [schema for schema, on_path in there if on_path or beforehand.all_schemas]
    wanted += [*sorted(schemas), *sorted(beforehand.schemas), *(schema for _, schema in extensions)]
    pooled = empty.raw_connection()
    try:
        new: Any = pooled.dbapi_connection
        new.rollback()
        new.autocommit = True
        for schema in dict.fromkeys(wanted):
            if schema not in beforehand.without and not schema.startswith("pg_"):
                run(new, f"CREATE SCHEMA IF NOT EXISTS {quoted(schema)}")
        for name, schema in extensions:
            try:
                run(new, f"CREATE EXTENSION IF NOT EXISTS {quoted(name)} SCHEMA {quoted(schema)} CASCADE")
            except Exception as error:
                # Not everybody may. What needs it says so.
                logger.info("the extension %s is not in the scratch database: %s", name, error)
    finally:
        pooled.invalidate()
        pooled.close()
