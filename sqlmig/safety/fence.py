"""
What keeps a migration that is rehearsed from the files of the application: which it may attach, and whom it may ask.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from sqlalchemy.engine import Engine
from sqlalchemy.pool import Pool

from ..errors import ConfigurationError
from ..turns import Here
from .source import files_of

__all__ = ["AUTHORIZER", "Fence", "hands_off", "hands_on"]

AUTHORIZER = "sqlmig_authorizer"
"""The execution option under which an engine has what its connections ask while no migration is guarded."""

_TOKEN = "_sqlmig_token"
_here = Here()
_watching = threading.Lock()


class Fence:
    """
    An authorizer that lets a connection attach no file but those of the copy, however the statement is written.

    Args:
        files: Those of the copy.

    Attributes:
        refused: The file that was refused last; empty where SQLite did not tell which.
    """

    def __init__(self, files: Iterable[str]) -> None:
        self._files = {os.path.realpath(file) for file in files}
        self.refused: str | None = None

    def __call__(self, action: int, what: str | None, *_: object) -> int:
        if action != sqlite3.SQLITE_ATTACH or what in ("", ":memory:") or self._has(what):
            return sqlite3.SQLITE_OK
        # None is a file given as a parameter.
        self.refused = what or ""
        return sqlite3.SQLITE_DENY

    def _has(self, file: str | None) -> bool:
        return file is not None and os.path.realpath(file) in self._files

    @contextmanager
    def telling(self, raw: Any) -> Iterator[None]:
        """
        Say in our words that a migration attached a file, even where it went on without it.

        Raises:
            ConfigurationError: It tried to, or has one open that is none of the copy's.
        """
        self.refused = None
        try:
            yield
        except Exception as error:
            if self.refused is None:
                raise
            raise _attaches(self.refused) from error
        others = [file for file in files_of(raw).values() if file and not self._has(file)]
        if self.refused is not None or others:
            raise _attaches(self.refused or "".join(others[:1]))


def _attaches(file: str) -> ConfigurationError:
    return ConfigurationError(
        "The migration attaches a file, which a rehearsal would change for good.\n"
        f"  {file or 'its name is a parameter, or computed'}\n"
        "ATTACH it as the application connects: it is copied then. Or leave it out where self.rehearsing is true."
    )


@contextmanager
def hands_off(engine: Engine) -> Iterator[None]:
    """Meanwhile, refuse this thread a connection to the real database: a migration may open one beside its own."""
    token = _watched(engine.pool, object())
    before = _here.values.get("token")
    _here.values["token"] = token
    try:
        yield
    finally:
        _here.values["token"] = before


@contextmanager
def hands_on() -> Iterator[None]:
    """Within `hands_off`, run what is the application's own and no migration's."""
    before = _here.values.get("token")
    _here.values["token"] = None
    try:
        yield
    finally:
        _here.values["token"] = before


def _watched(pool: Pool, token: object) -> object:
    """
    Have a pool, and those that `Engine.dispose()` puts in its place, ask before they connect; once and for good.

    A listener would do, if adding it did not change a list that other threads are going through.

    Returns:
        What a thread that must not connect names; that of before, where the pool asks already.
    """
    connect, recreate = partial(type(pool).connect, pool), partial(type(pool).recreate, pool)

    def asked() -> Any:
        if _here.values.get("token") is token:
            raise ConfigurationError(
                "The migration opened a connection to the real database, which a rehearsal must not touch.\n"
                "  It imports the application's engine; its own connection is that of the copy\n"
                "Use self.db or self.connection, or leave it out where self.rehearsing is true."
            )
        return connect()

    def another() -> Pool:
        new = recreate()
        _watched(new, token)
        return new

    with _watching:
        if _TOKEN not in pool.__dict__:
            pool.__dict__.update({_TOKEN: token, "connect": asked, "recreate": another})
        return pool.__dict__[_TOKEN]
