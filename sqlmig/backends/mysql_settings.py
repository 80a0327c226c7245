"""What a migration may set for a connection to MariaDB or MySQL that is the application's again afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from math import ceil
from typing import Any

from .raw import backticked

__all__ = ["MySQLSettings", "use"]

_NAMES = (
    "sql_mode",
    "foreign_key_checks",
    "unique_checks",
    "check_constraint_checks",
    "time_zone",
    "character_set_client",
    "character_set_connection",
    "character_set_results",
    "collation_connection",
    "innodb_lock_wait_timeout",
    "lock_wait_timeout",
    "max_statement_time",
    "max_execution_time",
    "group_concat_max_len",
    "sql_safe_updates",
    "sql_auto_is_null",
    "default_storage_engine",
    "system_versioning_alter_history",
)

_LONGEST = 31_536_000
"""Seconds that the server takes for a limit, at the most: a year."""

Say = Callable[[str], list[tuple[Any, ...]]]


class MySQLSettings:
    """
    The settings of one connection, as they are now, and its database.

    Args:
        say: Runs a statement and gives its rows.
    """

    def __init__(self, say: Say) -> None:
        self._say = say
        self.database: str | None = say("SELECT DATABASE()")[0][0]
        self._given = self._values = self._read()
        # How long a statement of a migration may run, and how long it could when that was lifted.
        self._clock: dict[str, str] = {}
        self._lifted: dict[str, str] = {}

    def _read(self) -> Mapping[str, str]:
        # Those that a server does not know are not in its answer.
        listed = ", ".join(f"'{name}'" for name in _NAMES)
        return {row[0]: row[1] for row in self._say(f"SHOW SESSION VARIABLES WHERE Variable_name IN ({listed})")}

    def limit(self, lock_timeout: float, statement_timeout: float | None) -> None:
        """
        Have no statement wait longer than it may, and know how long one may run; a shorter limit stays.

        MySQL knows no limit for statements that write: there it holds for those that read.

        Source: https://mariadb.com/kb/en/server-system-variables/#max_statement_time
        """
        wait = ceil(min(lock_timeout, _LONGEST))
        limits: dict[str, float] = dict.fromkeys(("lock_wait_timeout", "innodb_lock_wait_timeout"), wait)
        if statement_timeout is not None:
            # Less would be 0: any time.
            run = min(max(statement_timeout, 1e-6), _LONGEST)
            limits |= {"max_statement_time": run, "max_execution_time": min(ceil(run * 1000), 2**32 - 1)}
        for name, value in limits.items():
            own = float(self._given.get(name, -1))
            # 0 is any time, but of the locks; and 1 s is the shortest that every release has for them.
            if own > value or (own == 0 and name.startswith("max_")):
                value = max(1, value) if "lock" in name else value
                said = f"{value:f}" if name == "max_statement_time" else str(int(value))
                if name.startswith("max_"):
                    self._clock[name] = said
                else:
                    self._values = {**self._values, name: said}
                    self._say(f"SET SESSION {name} = {said}")

    @contextmanager
    def clocked(self) -> Iterator[None]:
        """Have no statement run longer than it may; what sqlmig itself has to write and to count is no part of that."""
        if not self._clock:
            yield
            return
        calm, self._lifted = self._values, {}
        self._values = {**calm, **self._clock}
        self._set(self._clock)
        try:
            yield
        finally:
            self._values, self._lifted = calm, {}
            # Of a connection that is lost there is nothing to give back.
            with suppress(Exception):
                self._set({name: calm[name] for name in self._clock})

    def lift(self) -> None:
        """Until `limit_again`, what is not the migration's takes the time that it takes."""
        if self._clock and not self._lifted and self._values is not self._given:
            self._lifted = {name: str(self._say(f"SELECT @@{name}")[0][0]) for name in self._clock}
            self._set({name: self._given[name] for name in self._clock})

    def limit_again(self) -> None:
        """As it was."""
        lifted, self._lifted = self._lifted, {}
        self._set(lifted)

    def own_time(self) -> float | None:
        """Seconds that a statement may take by a limit of the connection's own, where that is the shorter one."""
        seconds = (
            float(self._given.get("max_statement_time", 0)) or float(self._given.get("max_execution_time", 0)) / 1e3
        )
        return seconds if seconds and not self._clock else None

    def _set(self, values: Mapping[str, str]) -> None:
        for name, value in values.items():
            self._say(f"SET SESSION {name} = {value}")

    def give_back(self) -> None:
        """Have them as the connection came with them."""
        self._values = self._given
        with suppress(Exception):
            self.restore()

    def restore(self, but: str = "") -> None:
        """Have them as they were, *but* one."""
        if self._say("SELECT DATABASE()")[0][0] != self.database:
            use(self._say, self.database)
        now = self._read()
        for name, value in self._values.items():
            if name != but and now.get(name) != value:
                with suppress(Exception):
                    self._say(f"SET SESSION {name} = {_literal(value)}")


def use(say: Say, database: str | None) -> None:
    """Go to a database, where there is one to go to."""
    if database is not None:
        say(f"USE {backticked(database)}")


def _literal(value: str) -> str:
    if value.replace(".", "", 1).isdigit():
        return value
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"
