"""Connections of the driver's own beside the application's, and what is asked on them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from ...backends.raw import ask_any
from ..copied_engine import engine_like

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

    from ...backends.session import Session

__all__ = ["at_rest", "awaited_driver", "beside", "literal", "run", "wait_for", "without_limits"]

_LIMITS = ("statement_timeout", "idle_session_timeout", "transaction_timeout")


def run(raw: Any, sql: str | bytes) -> None:
    """Statements that give no rows, or whose rows nobody wants."""
    driver = awaited_driver(raw)
    if hasattr(driver, "copy_to_table"):
        # asyncpg prepares what it runs through a cursor, one statement at a time; this takes as many as there are.
        script = sql if isinstance(sql, str) else sql.decode()
        # Of nothing but comments, its execute() waits for a word that the server does not say.
        if any(line.strip() and not line.startswith("--") for line in script.splitlines()):
            wait_for(driver.execute(script))
        return
    cursor = raw.cursor()
    try:
        cursor.execute(sql)
    finally:
        cursor.close()


def awaited_driver(raw: Any) -> Any:
    """The connection of asyncpg, or an asynchronous one of psycopg, behind SQLAlchemy's; None of any other driver."""
    return getattr(raw, "driver_connection", None)


def wait_for(awaitable: Any) -> Any:
    """What awaiting it gives, in the greenlet in which such a connection is used."""
    from sqlalchemy.util.concurrency import await_only

    return await_only(awaitable)


def literal(value: str) -> str:
    """A text as SQL."""
    return "'" + value.replace("'", "''") + "'"


def without_limits(raw: Any, *names: str) -> None:
    """Have the server end a connection neither for a long statement nor for a long silence; releases have their own."""
    listed = ", ".join(f"'{name}'" for name in names or _LIMITS)
    ask_any(raw, f"SELECT set_config(name, '0', false) FROM pg_settings WHERE name IN ({listed})")


@contextmanager
def beside(engine: Engine, patience: float) -> Iterator[Any]:
    """
    A connection under autocommit, after the application's listeners: they may have it act as another role.

    Args:
        patience: Seconds to wait for what somebody has locked.
    """
    creator: Any = engine.pool._invoke_creator
    with engine_like(engine, engine.url, creator, lambda *_: None) as ours:
        pooled = ours.raw_connection()
        try:
            raw: Any = pooled.dbapi_connection
            raw.rollback()
            raw.autocommit = True
            without_limits(raw)
            ask_any(raw, f"SELECT set_config('lock_timeout', '{max(1, int(patience * 1000))}', false)")
            yield raw
        finally:
            # Not to be used again by a pool that keeps its connections.
            pooled.invalidate()
            pooled.close()


@contextmanager
def at_rest(session: Session) -> Iterator[None]:
    """Let the connection with the lock do nothing for a long time."""
    # An open transaction would keep the server from cleaning up, and may be ended for being idle.
    session.abandon()
    raw, name = session.raw, "idle_session_timeout"
    before = ask_any(raw, f"SELECT setting FROM pg_settings WHERE name = '{name}'")
    without_limits(raw, name)
    raw.commit()
    try:
        yield
    finally:
        with suppress(Exception):
            for (setting,) in before:
                ask_any(raw, f"SELECT set_config('{name}', '{setting}', false)")
            raw.commit()
