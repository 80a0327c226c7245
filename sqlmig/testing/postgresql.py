"""
Databases of tests on PostgreSQL: templates are databases of the server, and copies are made by CREATE DATABASE.

A database is in use while the process lives whose token is in its name: that holds an advisory lock, which ends with
its connection. Such locks are of one database each, so that its number is in the names as well.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cached_property
from typing import Any

from sqlalchemy.exc import DBAPIError

from ..backends.raw import sqlstate
from ..backends.sqlite import quoted
from ..errors import ConfigurationError, DatabaseLocked
from ..safety.postgresql.statements import literal
from .fingerprint import digest, is_unchanged
from .image import Files, Image, Work
from .on_server import ServerHome, ServerImage
from .server import Server
from .shelf import PATIENCE, still_kept

__all__ = ["PostgreSQLHome"]

logger = logging.getLogger("sqlmig.testing")

KEPT = 8
"""So many templates of a project are kept on a server, those that were used last."""
_TOUCHED_EVERY = 3600.0
# "is being accessed by other users", which end a moment later.
_IN_USE = "55006"


class PostgreSQLHome(ServerHome):
    """
    Databases of a PostgreSQL server.

    Args:
        url: Of a database of it, whose user may make others.
    """

    _number = _place = ""

    @cached_property
    def facts(self) -> Mapping[str, Any]:
        """The server's release, and who makes the tables."""
        [[version, user]] = self.server.ask("SELECT current_setting('server_version_num'), current_user")
        return {"postgresql": version, "user": user, "database": self.given.database}

    def settle(self, server: Server) -> None:
        """With the server's patience for a connection that says nothing for long."""
        [[number, may, user]] = server.ask(
            "SELECT d.oid::text, r.rolcreatedb OR r.rolsuper, r.rolname FROM pg_database d, pg_roles r"
            " WHERE d.datname = current_database() AND r.rolname = current_user"
        )
        if not may:
            raise ConfigurationError(
                f"The user {user} may not make databases, of which each test has one.\n  nothing was changed\n"
                f"Let it: ALTER ROLE {quoted(user)} CREATEDB; or name another user in sqlmig_database."
            )
        server.ask("SELECT set_config(name, '0', false) FROM pg_settings WHERE name = 'idle_session_timeout'")
        self._number, self._place = number, f"sqlmig_copy_{number}_"
        server.ask(f"SELECT pg_advisory_lock({_lock(self._place + server.token)})")
        self._sweep(server)

    def empty(self) -> Image:
        """A copy of what the server copies by default."""
        return ServerImage(self, None)

    def create(self, base: str | None) -> str:
        """As the server is told to by default: PostgreSQL 15 and later log what they copy, and need no checkpoint."""
        name = self.server.new_name(self._place)
        copied = f" TEMPLATE {quoted(base)}" if base is not None else ""
        _patiently(lambda: self.server.ask(f"CREATE DATABASE {name}{copied}"))
        return name

    def drop(self, name: str) -> None:
        """With every connection to it."""
        _drop(self.server, name)

    def find(self, key: str) -> Image | None:
        """A database whose name has the key, which it is given when it is whole."""
        for name, text in self._templates(key):
            try:
                slip = json.loads(text or "")
                if is_unchanged(slip["files"]):
                    if time.time() - slip["used"] > _TOUCHED_EVERY:
                        self._note(name, slip["files"])
                    return ServerImage(self, name, slip["files"])
            except (ValueError, KeyError, TypeError, AttributeError):
                logger.warning("the database %s does not tell what it was made with, and is left alone", name)
        return None

    @contextmanager
    def building(self, key: str) -> Iterator[None]:
        """An advisory lock of the template's."""
        lock, deadline, pause = _lock(self._named(key)), time.monotonic() + PATIENCE, 0.01
        while not self.server.ask(f"SELECT pg_try_advisory_lock({lock})")[0][0]:
            if time.monotonic() > deadline:
                shown = self.given.render_as_string(hide_password=True)
                raise DatabaseLocked(shown, PATIENCE, "another run of the tests makes the template there")
            time.sleep(pause)
            pause = min(pause * 1.5, 0.2)
        try:
            yield
        finally:
            self.server.ask(f"SELECT pg_advisory_unlock({lock})")

    def build(self, base: Image, work: Work, version: int, key: str | None, files: Files) -> Image:
        """In a database of this process, which is renamed when it is whole."""
        assert isinstance(base, ServerImage)
        name = base.copy()
        try:
            self.do(name, work)
            if key is None:
                return ServerImage(self, name, temporary=True)
            made_with = {**base.files, **files()}
            self._note(name, made_with)
            # Nobody can be connected to what is copied.
            self.server.ask(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS false")
            self.server.ask(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
            # One that was made with other files may be in use still.
            whole = f"{self._named(key)}_{os.urandom(2).hex()}"
            _patiently(lambda: self.server.ask(f"ALTER DATABASE {name} RENAME TO {whole}"))
        except BaseException:
            with suppress(Exception):
                self.drop(name)
            raise
        self._remove_old()
        return ServerImage(self, whole, made_with)

    def _named(self, key: str) -> str:
        return f"sqlmig_template_{self._number}_{digest(self.project.identity)[:6]}_{key[:20]}"

    def _templates(self, key: str) -> list[tuple[Any, ...]]:
        """Those of this project whose keys begin so: their names, and what stands with them."""
        return self.server.ask(
            "SELECT datname, shobj_description(oid, 'pg_database') FROM pg_database"
            f" WHERE datname ~ '^{self._named(key)}'"
        )

    def _note(self, name: str, files: Mapping[str, str]) -> None:
        slip = json.dumps({"used": int(time.time()), "files": dict(files)})
        self.server.ask(f"COMMENT ON DATABASE {name} IS {literal(slip)}")

    def _sweep(self, server: Server) -> None:
        """Drop what processes have left that were killed."""
        query = f"SELECT datname FROM pg_database WHERE datname ~ '^{self._place}[0-9a-f]{{12}}_[0-9]+$'"
        by_process: dict[str, list[str]] = {}
        for (name,) in server.ask(query):
            by_process.setdefault(name.rpartition("_")[0], []).append(name)
        by_process.pop(self._place + server.token, None)
        for process, left in by_process.items():
            if server.ask(f"SELECT pg_try_advisory_lock({_lock(process)})")[0][0]:
                for name in left:
                    logger.info("dropping the database %s, which a run that was killed has left", name)
                    with suppress(DBAPIError):
                        _drop(server, name)
                server.ask(f"SELECT pg_advisory_unlock({_lock(process)})")

    def _remove_old(self) -> None:
        """Drop templates of this project that nobody has used for long."""
        place, used = self._named(""), []
        for name, slip in self._templates(""):
            when = 0.0
            with suppress(ValueError, KeyError, TypeError):
                when = float(json.loads(slip)["used"])
            used.append((time.time() - when, name.removeprefix(place)))
        kept = still_kept(used, KEPT)
        for _, key in used:
            if key not in kept:
                with suppress(DBAPIError):
                    # Somebody may be copying it.
                    _drop(self.server, f"{place}{key}")


def _lock(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)


def _drop(server: Server, name: str) -> None:
    [[version]] = server.ask("SELECT current_setting('server_version_num')::integer")
    server.ask(f"DROP DATABASE IF EXISTS {name}" + (" WITH (FORCE)" if version >= 130_000 else ""))


def _patiently(action: Any) -> None:
    """Do what nobody else may be connected for: who just left is still there for a moment."""
    for _ in range(50):
        try:
            action()
            return
        except DBAPIError as error:
            if sqlstate(error) != _IN_USE:
                raise
        time.sleep(0.1)
    action()
