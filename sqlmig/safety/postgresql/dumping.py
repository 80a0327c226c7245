"""pg_dump at work on the database of a connection: how far it is, and what it waits for."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ...backends.raw import ask_any
from .statements import literal
from .tools import Tool, address, target

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

    from ..backup import Tell

__all__ = ["Dump", "StillLocked"]

_PAUSE = 0.25
_MARGIN = 5.0
# Estimates, since to measure a table is to wait for whoever has it for himself.
_SIZES = """
SELECT n.nspname || '.' || c.relname, 8192 * (greatest(c.relpages, 1) + coalesce(t.relpages, 0))::bigint
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_class t ON t.oid = c.reltoastrelid
WHERE c.relkind = 'r' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'"""
_WAITS = """
SELECT format('server process %s of %s%s has %s locked', b.pid, b.usename,
    coalesce(' (' || nullif(b.application_name, '') || ')', ''), coalesce(l.relation::regclass::text, 'something'))
FROM pg_stat_activity a JOIN pg_locks l ON l.pid = a.pid AND NOT l.granted
JOIN pg_stat_activity b ON b.pid = ANY (pg_blocking_pids(a.pid))
WHERE a.application_name = {}"""


class StillLocked(Exception):
    """What is to be dumped is somebody's for himself, and this says whose."""


class Dump:
    """
    One run of pg_dump in its custom format.

    Args:
        raw: A connection to the database, under autocommit, that nobody else uses meanwhile.
        name: What it calls itself at the server; of no other process.
        patience: Seconds to wait for what somebody has for himself.
        tell: Called with the bytes that are dumped, and those of all tables.

    Attributes:
        tool: The process; whoever reads what it writes enters it.
        place: Where it was led.
        role: The option with which another program acts as the same role.
    """

    def __init__(self, raw: Any, url: URL, name: str, patience: float, tell: Tell, *options: str) -> None:
        self._raw, self._tell, self._patience = raw, tell, patience
        self._sizes = {table: int(size) for table, size in ask_any(raw, _SIZES)}
        self._total, self._done = max(1, sum(self._sizes.values())), 0
        self._waits, self._asked, self._since = _WAITS.format(literal(name)), time.monotonic(), 0.0
        self.place = address(raw, url)
        [[database, login, user, encoding]] = ask_any(
            raw, "SELECT current_database(), session_user, current_user, current_setting('server_encoding')"
        )
        self.role: Sequence[str] = [f"--role={user}"] if user != login else []
        # What waits for a table when this process is killed waits no longer than that.
        wait = f"--lock-wait-timeout={int((patience + _MARGIN) * 1000)}"
        # In the environment there may be another, into which not every text can be converted.
        usual = ["pg_dump", "--format=custom", "--verbose", "--no-password", f"--encoding={encoding}", wait, *self.role]
        self.tool = Tool([*usual, *options, target(self.place, database)], self.place, name=name)

    def look(self) -> None:
        """
        Say how far it is and, now and then, ask the server what it waits for.

        It limits that itself for tables only, and not for views and indexes.

        Raises:
            StillLocked: It was too long.
        """
        while self.tool.dumping:
            self._tell(self._done, self._total)
            self._done = min(self._total, self._done + self._sizes.get(self.tool.dumping.popleft(), 0))
        now = time.monotonic()
        if now - self._asked < _PAUSE:
            return
        self._asked = now
        found = ask_any(self._raw, self._waits)
        if not found:
            self._since = 0.0
        elif not self._since:
            self._since = now
        elif now - self._since >= self._patience:
            raise StillLocked("; ".join(said for (said,) in found))

    def finished(self) -> None:
        """Say that all of it is dumped."""
        self._tell(self._total, self._total)
