"""A scratch database, of a rehearsal or a check: made, filled with a copy of another, and always dropped."""

from __future__ import annotations

import hashlib
import json
import logging
import subprocess
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from ...backends.raw import ask_any
from ...backends.sqlite import quoted
from ...errors import ConfigurationError
from ..copied_engine import connect_with, engine_like
from ..differences import one_line
from .dumping import Dump
from .statements import literal, run, without_limits
from .tools import Tool, pipe, target

if TYPE_CHECKING:
    from sqlalchemy.engine import URL, Engine

    from ..backup import Tell

__all__ = ["REHEARSAL", "Purpose", "engine_on", "fill", "finish", "scratch", "sweep"]

logger = logging.getLogger("sqlmig.safety")


class Purpose(NamedTuple):
    """
    What it is made for.

    Attributes:
        word: What a database of it is called by, and in messages.
        use: What it is needed for.
        otherwise: What to do where none can be made.
    """

    word: str
    use: str
    otherwise: str

    @property
    def prefix(self) -> str:
        """What the names of its databases begin with."""
        return f"sqlmig_{self.word}_"


REHEARSAL = Purpose("rehearsal", "a rehearsal needs for its copy", "rehearse as a user who may")
# Settings of several names, each of which is quoted already (PostgreSQL, GUC_LIST_QUOTE).
_LISTS = ("search_path", "temp_tablespaces", "session_preload_libraries", "local_preload_libraries")


@contextmanager
def scratch(
    raw: Any, anew: Callable[[], AbstractContextManager[Any]], warnings: list[str], purpose: Purpose = REHEARSAL
) -> Iterator[str]:
    """
    An empty database with the encoding and the collation of the one of *raw*; gone at the end.

    Args:
        raw: A connection of our own under autocommit; it holds a lock which tells that the database is in use.
        anew: Another one like it, for the end, if it is lost.
        warnings: Told where it could not be dropped.

    Raises:
        ConfigurationError: This user may not make one.
    """
    [[may, user]] = ask_any(raw, "SELECT rolcreatedb OR rolsuper, rolname FROM pg_roles WHERE rolname = current_user")
    if not may:
        raise ConfigurationError(
            f"The user {user} may not make a database, which {purpose.use}.\n"
            "  Nothing was copied and nothing was changed.\n"
            f"Let it: ALTER ROLE {quoted(user)} CREATEDB; or {purpose.otherwise}."
        )
    [[number]] = ask_any(raw, "SELECT oid FROM pg_database WHERE datname = current_database()")
    name = f"{purpose.prefix}{number}_{uuid.uuid4().hex[:12]}"
    ask_any(raw, f"SELECT pg_advisory_lock({_key(name)})")
    try:
        run(raw, f"CREATE DATABASE {name} TEMPLATE template0 {_like(raw)}")
        yield name
    finally:
        try:
            _drop(raw, name)
        except Exception:
            try:
                with anew() as other:
                    _drop(other, name)
            except Exception as error:
                warnings.append(_stays(name, error, purpose))


def sweep(raw: Any, purpose: Purpose = REHEARSAL) -> None:
    """Drop what rehearsals, or checks, of the database of *raw* left whose processes were killed."""
    found = ask_any(
        raw,
        f"SELECT datname FROM pg_database WHERE datname ~ ('^{purpose.prefix}' ||"
        " (SELECT oid FROM pg_database WHERE datname = current_database()) || '_')",
    )
    for (name,) in found:
        if ask_any(raw, f"SELECT pg_try_advisory_lock({_key(name)})")[0][0]:
            logger.info("dropping the database %s, which a killed %s left behind", name, purpose.word)
            try:
                _drop(raw, name)
            except Exception as error:
                _stays(name, error, purpose)
            ask_any(raw, f"SELECT pg_advisory_unlock({_key(name)})")


def fill(raw: Any, url: URL, name: str, patience: float, tell: Tell) -> None:
    """
    Copy the database of *raw* into the empty one called *name*, through a pipe and no file.

    Args:
        patience: Seconds to wait for what somebody has for himself.
        tell: Called with the bytes that are copied, and those of all tables.

    Raises:
        ToolFailed: It could not be copied.
        StillLocked: It was waited for, in vain.
    """
    # Whose things are and who may use them is left out: not everybody may make things that are another's. Replication
    # must not begin from a copy.
    usual = ["--no-owner", "--no-privileges", "--no-publications", "--no-subscriptions", "--no-tablespaces"]
    dump = Dump(raw, url, name, patience, tell, "--compress=0", *usual)
    restore = ["pg_restore", "--exit-on-error", "--no-password", *dump.role, *usual, target(dump.place, name)]
    with dump.tool:
        pipe(dump.tool, Tool(restore, dump.place, source=subprocess.PIPE), dump.look)
    dump.finished()


def _key(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)


def _drop(raw: Any, name: str) -> None:
    [[version]] = ask_any(raw, "SELECT current_setting('server_version_num')::integer")
    run(raw, f"DROP DATABASE IF EXISTS {name}" + (" WITH (FORCE)" if version >= 130_000 else ""))


def _stays(name: str, error: Exception, purpose: Purpose) -> str:
    said = (
        f"the database {name} could not be dropped, which the next {purpose.word} tries again: {one_line(str(error))}"
    )
    logger.warning("%s", said)
    return said


@contextmanager
def engine_on(
    original: Engine,
    name: str,
    asked: Any,
    purpose: Purpose = REHEARSAL,
    *,
    options: Mapping[str, Any] | None = None,
    settings: Mapping[str, str] | None = None,
) -> Iterator[Engine]:
    """
    An engine like the application's whose every connection is to the database *name*.

    Args:
        asked: A connection to the original.
        options: Execution options beside the original's.
        settings: What is set on each of its connections.
    """
    # A password file may tell it for the original only.
    password = getattr(getattr(asked, "info", None), "password", None)
    known_as = "database" if original.dialect.driver in ("asyncpg", "pg8000") else "dbname"

    def lead(_arguments: list[Any], options: dict[str, Any]) -> None:
        if password:
            options.setdefault("password", password)
        options[known_as] = name

    def settle(raw: Any, _record: object) -> None:
        [[found]] = ask_any(raw, "SELECT current_database()")
        if not raw.autocommit:
            raw.rollback()
        if found != name:
            raise ConfigurationError(
                f"A connection for the {purpose.word} leads to the database {found}, and not to its own.\n"
                "  The engine connects in a way of its own; nothing was run there\n"
                "Take an engine whose database is in its URL: create_engine(url, connect_args=...)"
            )
        for setting, value in (settings or {}).items():
            ask_any(raw, f"SELECT set_config({literal(setting)}, {literal(value)}, false)")
        if settings and not raw.autocommit:
            raw.commit()

    with engine_like(
        original,
        original.url.set(database=name),
        lambda record: connect_with(original, lead, record),
        settle,
        options=options,
    ) as engine:
        yield engine


def finish(raw: Any, copy: Engine, warnings: list[str], *, filled: bool = True) -> None:
    """
    Make a scratch database what the one of *raw* is besides: its settings, its planner's knowledge, no schema too many.

    Args:
        copy: Connects to it.
        warnings: Told in what it is not.
        filled: Whether there is anything in it that a planner can know of.
    """
    pooled = copy.raw_connection()
    try:
        there: Any = pooled.dbapi_connection
        there.rollback()
        there.autocommit = True
        without_limits(there)
        [[name]] = ask_any(there, "SELECT current_database()")
        # template0 has brought it along.
        gone = not ask_any(raw, "SELECT 1 FROM pg_namespace WHERE nspname = 'public'")
        todo = [("the schema public", "DROP SCHEMA public")] if gone else []
        planning = [("what the planner knows", "ANALYZE")] if filled else []
        for what, said in [*todo, *_settings(raw, name), *planning]:
            try:
                run(there, said)
            except Exception as error:
                # A superuser's setting, most often. Its value may be a secret.
                told = str(error).partition("\n")[0]
                warnings.append(f"{what} is not in the copy as it is in the database: {told}")
    finally:
        # What was set for the database is a new connection's.
        pooled.invalidate()
        pooled.close()


def _like(raw: Any) -> str:
    """The options that make a database whose texts compare as those of this one."""
    # As an object, since releases differ in its columns.
    [[facts]] = ask_any(raw, "SELECT to_jsonb(d) FROM pg_database d WHERE datname = current_database()")
    if isinstance(facts, str):
        facts = json.loads(facts)
    [[encoding]] = ask_any(raw, "SELECT getdatabaseencoding()")
    options = [f"ENCODING {literal(encoding)}"]
    options += [
        f"{word} {literal(facts[key])}" for word, key in (("LC_COLLATE", "datcollate"), ("LC_CTYPE", "datctype"))
    ]
    provider = facts.get("datlocprovider", "c")
    locale = facts.get("datlocale") or facts.get("daticulocale")
    if provider == "i":
        options.append(f"LOCALE_PROVIDER icu ICU_LOCALE {literal(locale)}")
    elif provider == "b":
        options.append(f"LOCALE_PROVIDER builtin BUILTIN_LOCALE {literal(locale)}")
    return " ".join(options)


def _settings(raw: Any, name: str) -> Iterator[tuple[str, str]]:
    """What was set for the database, or in it for this user, and the statements that set it for the other one."""
    rows = ask_any(
        raw,
        "SELECT s.setrole <> 0, unnest(s.setconfig) FROM pg_db_role_setting s"
        " JOIN pg_database d ON d.oid = s.setdatabase AND d.datname = current_database()"
        " WHERE s.setrole = 0 OR s.setrole = (SELECT oid FROM pg_roles WHERE rolname = session_user)",
    )
    for is_user, setting in rows:
        key, _, value = setting.partition("=")
        whom = f"ROLE SESSION_USER IN DATABASE {name}" if is_user else f"DATABASE {name}"
        setting = ".".join(map(quoted, key.split(".")))
        yield f"the setting {key}", f"ALTER {whom} SET {setting} = {value if key in _LISTS else literal(value)}"
