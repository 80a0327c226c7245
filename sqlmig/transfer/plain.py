"""A driver's connection that gives what is stored, whatever the application has it make of that."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from ..backends.raw import ask_any

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

__all__ = ["plainly"]


@contextmanager
def plainly(connection: Connection) -> Iterator[None]:
    """
    Have texts come and go as they are, for as long as this lasts.

    An application may have SQLite's texts decoded with `errors="ignore"`, and a URL with `charset=latin1` has MariaDB
    put a question mark in the place of what that does not know: what is read so agrees with itself afterwards.
    """
    raw: Any = connection.connection.dbapi_connection
    if connection.dialect.name == "sqlite":
        before = raw.text_factory
        raw.text_factory = str
        try:
            yield
        finally:
            raw.text_factory = before
    elif connection.dialect.name in ("mysql", "mariadb"):
        charset, collation = ask_any(raw, "SELECT @@character_set_client, @@collation_connection")[0]
        if charset == "utf8mb4":
            yield
            return
        # The driver may know it by a name of its own.
        known = getattr(raw, "charset", None) or charset
        _speak(raw, "utf8mb4")
        try:
            yield
        finally:
            # A connection that is gone has nothing to be given back.
            with suppress(Exception):
                _speak(raw, known, collation)
    else:
        yield


def _speak(raw: Any, charset: str, collation: str | None = None) -> None:
    """Both sides: the server by SET NAMES, and the driver, which encodes texts by itself."""
    change = getattr(raw, "set_character_set", None)
    if change is not None:
        change(charset)
    cursor = raw.cursor()
    try:
        cursor.execute(f"SET NAMES {charset}" + (f" COLLATE {collation}" if collation else ""))
    finally:
        cursor.close()
