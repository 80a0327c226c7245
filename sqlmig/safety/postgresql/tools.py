"""
pg_dump and pg_restore: where they are, which server they are led to, and what they say.

Source: https://www.postgresql.org/docs/current/app-pgdump.html, https://www.postgresql.org/docs/current/app-pgrestore.html
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, BinaryIO

from ...errors import ConfigurationError, shorten

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

__all__ = ["Tool", "ToolFailed", "address", "piped", "require_tools"]

_VARIABLES = {
    "host": "PGHOST",
    "hostaddr": "PGHOSTADDR",
    "port": "PGPORT",
    "user": "PGUSER",
    "password": "PGPASSWORD",
    "passfile": "PGPASSFILE",
    "channel_binding": "PGCHANNELBINDING",
    "sslmode": "PGSSLMODE",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
    "sslrootcert": "PGSSLROOTCERT",
    "sslcrl": "PGSSLCRL",
    "requirepeer": "PGREQUIREPEER",
    "krbsrvname": "PGKRBSRVNAME",
    "gssencmode": "PGGSSENCMODE",
    "connect_timeout": "PGCONNECT_TIMEOUT",
}
_DUMPING = re.compile(rb'dumping contents of table "(.*)"')
_LAST_WORDS = 20


class ToolFailed(Exception):
    """
    One of them ended with an error, and this is what it said.

    Attributes:
        killed: Whether it was ended from outside, as it is when nobody reads any more what it writes.
    """

    def __init__(self, said: str, *, killed: bool) -> None:
        super().__init__(said)
        self.killed = killed


def require_tools(what: str) -> None:
    """
    Refuse *what* needs both where they are not installed.

    Raises:
        ConfigurationError: It names what is missing.
    """
    missing = [name for name in ("pg_dump", "pg_restore") if shutil.which(name) is None]
    if missing:
        raise ConfigurationError(
            f"{what} of PostgreSQL needs {' and '.join(missing)}, which cannot be found on the PATH.\n"
            "  Nothing was begun and nothing was changed.\n"
            "Install the client programs of PostgreSQL, of the server's version or newer (postgresql-client on Debian)."
        )


def address(raw: Any, url: URL) -> dict[str, str]:
    """
    Where a connection leads, as the environment in which libpq's programs are led there too.

    A password is none of the arguments of a process, which everybody on the machine can read.

    Args:
        raw: A connection of psycopg or psycopg2, which tell it; of another driver the *url* does.
    """
    info = getattr(raw, "info", None)
    told: dict[str, Any] = {name: url.query.get(name) for name in _VARIABLES}
    told |= {"host": url.host, "port": url.port, "user": url.username, "password": url.password}
    if info is not None:
        told = dict(info.get_parameters() if hasattr(info, "get_parameters") else info.dsn_parameters)
        told |= {name: getattr(info, name, None) for name in ("host", "port", "user", "password")}
    return {variable: str(told[name]) for name, variable in _VARIABLES.items() if told.get(name)}


class Tool:
    """
    One of them at work; use it as a context manager, which ends it however it is left.

    Args:
        arguments: With the name of the program first.
        place: From `address()`.
        source: What it reads.
        output: What it writes into, where not through `stdout`.
        dumping: Called with the name of each table whose rows are about to be dumped.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        place: Mapping[str, str],
        *,
        source: BinaryIO | int = subprocess.DEVNULL,
        output: BinaryIO | int = subprocess.PIPE,
        dumping: Callable[[str], object] | None = None,
    ) -> None:
        self._name, self._dumping = arguments[0], dumping
        # Its messages are read: they are to be in one language.
        environment = {**os.environ, **place, "LC_ALL": "C", "PGAPPNAME": "sqlmig"}
        self._process = subprocess.Popen(
            arguments, env=environment, stdin=source, stdout=output, stderr=subprocess.PIPE
        )
        self._words: list[bytes] = []
        self._listener = threading.Thread(target=self._listen, name=f"sqlmig-{self._name}", daemon=True)
        self._listener.start()

    @property
    def stdout(self) -> BinaryIO:
        """What it writes."""
        assert self._process.stdout is not None
        return self._process.stdout  # type: ignore[return-value]

    def __enter__(self) -> Tool:
        return self

    def __exit__(self, *error: object) -> None:
        with suppress(OSError):
            self._process.kill()
        self._process.wait()
        self._listener.join()
        for stream in (self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()

    def wait(self) -> None:
        """
        Wait for its end.

        Raises:
            ToolFailed: It was not a good one.
        """
        code = self._process.wait()
        self._listener.join()
        if code != 0:
            said = b" ".join(word for word in self._words if b"error:" in word or b"detail:" in word) or b" ".join(
                self._words
            )
            raise ToolFailed(
                shorten(said.decode(errors="replace")) or f"{self._name} ended with code {code}", killed=code < 0
            )

    def _listen(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            found = _DUMPING.search(line)
            if found is not None and self._dumping is not None:
                self._dumping(found[1].decode(errors="replace"))
            elif line.strip():
                self._words = [*self._words[1 - _LAST_WORDS :], line.strip()]


@contextmanager
def piped(first: Tool, second: Callable[[BinaryIO], Tool]) -> Iterator[None]:
    """Two of them, of which the second reads what the first writes."""
    with first, second(first.stdout) as reader:
        # So that the first learns it when the second ends.
        first.stdout.close()
        yield
        failed: list[ToolFailed] = []
        for tool in (first, reader):
            try:
                tool.wait()
            except ToolFailed as error:
                failed.append(error)
        if failed:
            raise next((error for error in failed if not error.killed), failed[0])
