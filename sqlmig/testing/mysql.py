"""
Databases of tests on MariaDB and MySQL: each is migrated from its beginning.

These servers cannot copy a database: CREATE TABLE ... LIKE leaves foreign keys out, and triggers, views and routines
would have to be made again from texts that name the database they are in. What cannot be shown to be the same is not
made.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cached_property
from typing import Any

from sqlalchemy.exc import DBAPIError

from .fingerprint import digest
from .image import Files, Image, Work
from .on_server import ServerHome, ServerImage
from .server import Server

__all__ = ["MySQLHome"]

logger = logging.getLogger("sqlmig.testing")


class MySQLImage(ServerImage):
    """What has to be done to come to a version."""

    def __init__(self, home: MySQLHome, steps: tuple[Work, ...] = ()) -> None:
        super().__init__(home, None)
        self.steps = steps

    def copy(self) -> str:
        """A new database, in which all of it is done."""
        name = self.home.create(None)
        try:
            for step in self.steps:
                self.home.do(name, step)
        except BaseException:
            with suppress(Exception):
                self.home.drop(name)
            raise
        return name


class MySQLHome(ServerHome):
    """
    Databases of a MariaDB or MySQL server.

    Their names tell beside which database they were made, and by which process, which has a lock of that name.
    """

    @cached_property
    def _place(self) -> str:
        return f"sqlmig_copy_{digest(self.given.database or '')[:6]}_"

    @cached_property
    def facts(self) -> Mapping[str, Any]:
        """The server's release."""
        return {"mysql": self.server.ask("SELECT VERSION()")[0][0]}

    def settle(self, server: Server) -> None:
        """GET_LOCK is of the whole server."""
        server.ask("SET SESSION wait_timeout = 31536000")
        server.ask(f"SELECT GET_LOCK('{self._place}{server.token}', 0)")
        for (name,) in server.ask("SHOW DATABASES"):
            found = re.fullmatch(rf"({self._place}(?P<token>[0-9a-f]{{12}}))_\d+", name)
            if found is None or found["token"] == server.token:
                continue
            process = found[1]
            if server.ask(f"SELECT GET_LOCK('{process}', 0)")[0][0] == 1:
                logger.info("dropping the database %s, which a run that was killed has left", name)
                with suppress(DBAPIError):
                    server.ask(f"DROP DATABASE IF EXISTS `{name}`")
                server.ask(f"SELECT RELEASE_LOCK('{process}')")

    def empty(self) -> Image:
        """A new database."""
        return MySQLImage(self)

    def find(self, key: str) -> Image | None:
        """Nothing is kept."""
        return None

    @contextmanager
    def building(self, key: str) -> Iterator[None]:
        """Nobody has to wait."""
        yield

    def build(self, base: Image, work: Work, version: int, key: str | None, files: Files) -> Image:
        """It is done once, so that it is known to work."""
        assert isinstance(base, MySQLImage)
        image = MySQLImage(self, (*base.steps, work))
        self.drop(image.copy())
        return image

    def create(self, base: str | None) -> str:
        """An empty one."""
        name = self.server.new_name(self._place)
        self.server.ask(f"CREATE DATABASE `{name}`")
        return name

    def drop(self, name: str) -> None:
        """With every connection to it, whose transactions it would wait for."""
        for (number,) in self.server.ask(f"SELECT id FROM information_schema.processlist WHERE db = '{name}'"):
            with suppress(DBAPIError):
                # It may have ended meanwhile.
                self.server.ask(f"KILL {number}")
        self.server.ask(f"DROP DATABASE IF EXISTS `{name}`")
