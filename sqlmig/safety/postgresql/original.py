"""A PostgreSQL database that is rehearsed: copied into a scratch database of the same server."""

from __future__ import annotations

import ipaddress
import os
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING, Any

from ...backends.raw import ask_any
from ...errors import ConfigurationError, DatabaseUnavailable, DiskFull
from ..copied_engine import connects_plainly
from ..original import Asked, Original
from ..places import free_bytes, readable_size
from .copy import INVALID, PostgreSQLCopy, problems_of
from .dumping import StillLocked
from .scratch import engine_on, fill, finish, scratch, sweep
from .statements import at_rest, beside
from .tools import ToolFailed, require_tools

if TYPE_CHECKING:
    from ..backup import Tell

__all__ = ["PostgreSQLOriginal"]

_FOREIGN = "SELECT count(*) FROM pg_foreign_table"
_PLACE = "SELECT host(inet_server_addr()), current_setting('data_directory')"


class PostgreSQLOriginal(Original):
    """Asked over one connection of our own, beside the application's pool."""

    _raw: Any = None

    @contextmanager
    def opened(self) -> Iterator[None]:
        """With a connection that has its own transactions; a run that waits meanwhile has none open."""
        with at_rest(self._session) if self._session else nullcontext(), self._connected() as self._raw:
            [[self.size]] = ask_any(self._raw, "SELECT pg_database_size(current_database())")
            yield

    @contextmanager
    def copied(self, asked: Asked, tell: Tell) -> Iterator[PostgreSQLCopy]:
        """By pg_dump and pg_restore, of one moment; applications go on reading and writing."""
        if asked.folder is not None:
            raise ConfigurationError(
                f"folder={asked.folder!r} cannot be used.\n  a PostgreSQL database is copied on its own server\n"
                "Leave it out."
            )
        engine, backend = self._migrator.db.engine, self._migrator.backend
        if connects_plainly(engine):
            raise ConfigurationError(
                "The engine has a creator= of its own, which cannot be led to a copy, so there is no rehearsal.\n"
                "  Nothing was copied and nothing was changed.\n"
                "Rehearse with an engine whose database is in its URL: create_engine(url, connect_args=...)"
            )
        require_tools("A rehearsal")
        sweep(self._raw)
        self._require_room(int(self.size * asked.room))
        warnings = self._warnings()
        with scratch(self._raw, self._connected, warnings) as name:
            try:
                fill(self._raw, engine.url, name, backend.lock_timeout, tell)
            except StillLocked as error:
                raise backend.locked(str(error), "Let it finish, and rehearse again.") from error
            except ToolFailed as error:
                raise self._failed(error) from error
            with engine_on(engine, name, self._raw) as copy:
                finish(self._raw, copy, warnings)
                yield PostgreSQLCopy(copy, [], warnings)

    def _connected(self) -> AbstractContextManager[Any]:
        return beside(self._migrator.db.engine, self._migrator.backend.lock_timeout)

    def obstacle(self, growth: int) -> str | None:
        """The room on the server's disk, where that is this machine's."""
        found = self._disk()
        if found is None or found[1] >= growth:
            return None
        folder, free = found
        reason = f"migrating it needs {readable_size(growth)} more, and {folder} has {readable_size(free)} free"
        undone = "It was found out in a rehearsal; nothing was changed."
        return str(DiskFull(self._migrator.backend.name, reason, undone=undone, hint="Free space there."))

    def problems(self, *, thorough: bool, tables: Collection[tuple[str, str]]) -> Counter[str]:
        """Invalid indexes, rows without their parents."""
        return problems_of(self._raw, thorough=thorough)

    def _require_room(self, needed: int) -> None:
        found = self._disk()
        if found is not None and found[1] < needed:
            folder, free = found
            raise DiskFull(
                self._migrator.backend.name,
                f"its rehearsal may need {readable_size(needed)}, and {folder} has {readable_size(free)} free",
                undone="Nothing was copied and nothing was changed.",
                hint="Free space there, or ask for less: rehearse(room=1.5)",
                needed=needed,
                free=free,
                folder=folder,
            )

    def _disk(self) -> tuple[str, int] | None:
        """The server's folder and the bytes free there; None where it is another machine's, or is not told."""
        with suppress(Exception):
            [[place, folder]] = ask_any(self._raw, _PLACE)
            if (place is None or ipaddress.ip_address(place).is_loopback) and os.path.isdir(folder):
                return folder, free_bytes(folder)
        return None

    def _warnings(self) -> list[str]:
        [[foreign]] = ask_any(self._raw, _FOREIGN)
        told = f"{foreign:,} foreign tables lead where they do in the original: what is written there is really written"
        warnings = [told] if foreign else []
        invalid = [name for (name,) in ask_any(self._raw, INVALID)]
        if invalid:
            # One of an attempt that failed, most often, which the next one is to drop.
            warnings.append(f"indexes that are invalid are not in the copy: {', '.join(invalid)}")
        return warnings

    def _failed(self, error: ToolFailed) -> DatabaseUnavailable:
        name, said = self._migrator.backend.name, str(error)
        if error.is_of_a_full_disk:
            undone = "The copy was dropped; nothing was changed."
            return DiskFull(name, said, undone=undone, hint="Free space on the server's disk, then rehearse again.")
        return DatabaseUnavailable(
            f"The database {name} could not be copied for a rehearsal.\n"
            f"  {said}\n  The copy was dropped; nothing was changed.\n"
            "Put right what is said there, or migrate without a rehearsal."
        )
