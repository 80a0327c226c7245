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
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, BinaryIO

from ...errors import ConfigurationError, shorten
from ...turns import greenlet_at_work, pause

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

__all__ = ["Tool", "ToolFailed", "address", "pipe", "require_tools", "spool", "target"]

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
    "options": "PGOPTIONS",
}
_DUMPING = re.compile(rb'dumping contents of table "(.*)"')
_LAST_WORDS = 20
_CHUNK = 1 << 20
_MOMENT = 0.1
_GRACE = 5.0


class ToolFailed(Exception):
    """
    One of them ended with an error, and this is what it said.

    Attributes:
        killed: Whether it was ended from outside, as it is when nobody reads any more what it writes.
    """

    def __init__(self, said: str, *, killed: bool) -> None:
        super().__init__(said)
        self.killed = killed

    @property
    def is_of_a_full_disk(self) -> bool:
        """Whether there was no room for what was to be written."""
        return "No space left" in str(self)


def require_tools(what: str) -> None:
    """
    Refuse *what* needs both where they are not installed.

    Raises:
        ConfigurationError: It names what is missing.
    """
    missing = missing_tools()
    if missing:
        raise ConfigurationError(
            f"{what} of PostgreSQL needs {' and '.join(missing)}, which cannot be found on the PATH.\n"
            "  Nothing was begun and nothing was changed.\n"
            "Install the client programs of PostgreSQL, of the server's version (postgresql-client on Debian)."
        )


def missing_tools() -> list[str]:
    """Those of pg_dump and pg_restore that cannot be found on the PATH."""
    return [name for name in ("pg_dump", "pg_restore") if shutil.which(name) is None]


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


def target(place: Mapping[str, str], database: str) -> str:
    """The argument that leads to a *database*, whatever its name and whatever PGSERVICE says; without a password."""
    words = {word: place[_VARIABLES[word]] for word in ("host", "port", "user") if _VARIABLES[word] in place}
    words["dbname"] = database
    escaped = {word: value.replace("\\", "\\\\").replace("'", "\\'") for word, value in words.items()}
    return "--dbname=" + " ".join(f"{word}='{value}'" for word, value in escaped.items())


class Tool:
    """
    One of them at work; use it as a context manager, which ends it however it is left.

    Args:
        arguments: With the name of the program first.
        place: From `address()`.
        source: What it reads.
        output: What it writes into, where not through `stdout`.
        name: What it calls itself at the server.

    Attributes:
        dumping: The names of the tables whose rows it has begun to dump, oldest first.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        place: Mapping[str, str],
        *,
        source: BinaryIO | int = subprocess.DEVNULL,
        output: BinaryIO | int = subprocess.PIPE,
        name: str = "sqlmig",
    ) -> None:
        self._name = arguments[0]
        self.dumping: deque[str] = deque()
        # Its messages are read: they are to be in one language.
        environment = {**os.environ, **place, "LC_ALL": "C", "PGAPPNAME": name}
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

    @property
    def stdin(self) -> BinaryIO:
        """What it reads."""
        assert self._process.stdin is not None
        return self._process.stdin  # type: ignore[return-value]

    @property
    def running(self) -> bool:
        """Whether it is at work."""
        return self._process.poll() is None

    def __enter__(self) -> Tool:
        return self

    def __exit__(self, *error: object) -> None:
        if self.running:
            # It has the server stop what it waits for; one that is killed leaves that waiting.
            with suppress(OSError):
                self._process.terminate()
            self._let_end(_GRACE)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(0 if greenlet_at_work() is not None else _GRACE)
        with suppress(OSError):
            self._process.kill()
        self._process.wait()
        self._listener.join()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream is not None:
                with suppress(OSError, ValueError):
                    stream.close()

    def wait(self) -> None:
        """
        Wait for its end.

        Raises:
            ToolFailed: It was not a good one.
        """
        self._let_end()
        code = self._process.wait()
        self._listener.join()
        if code != 0:
            said = b" ".join(word for word in self._words if b"error:" in word or b"detail:" in word) or b" ".join(
                self._words
            )
            raise ToolFailed(
                shorten(said.decode(errors="replace")) or f"{self._name} ended with code {code}", killed=code < 0
            )

    def _let_end(self, seconds: float = float("inf")) -> None:
        """Where other tasks share the thread, let them go on until it has ended, or for so long."""
        until = time.monotonic() + seconds
        while greenlet_at_work() is not None and self.running and time.monotonic() < until:
            pause(_MOMENT / 10)

    def _listen(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            found = _DUMPING.search(line)
            if found is not None:
                self.dumping.append(found[1].decode(errors="replace"))
            elif line.strip():
                self._words = [*self._words[1 - _LAST_WORDS :], line.strip()]


def pipe(first: Tool, second: Tool, meanwhile: Callable[[], object]) -> None:
    """
    Have *second* read what *first* writes, and wait for both.

    It goes through this process: where this one is killed, the pipes end and so do they.

    Args:
        meanwhile: Called again and again, by the thread that waits.

    Raises:
        ToolFailed: One of them ended badly.
    """
    with first, second:
        pump = _Pump(first.stdout, second.stdin)
        while pump.is_alive() or first.running or second.running:
            pump.pause()
            meanwhile()
        failed: list[ToolFailed] = []
        for tool in (first, second):
            try:
                tool.wait()
            except ToolFailed as error:
                failed.append(error)
        if failed:
            raise next((error for error in failed if not error.killed), failed[0])


def spool(tool: Tool, sink: BinaryIO, meanwhile: Callable[[], object]) -> None:
    """
    Write what *tool* writes into a file, which is closed, and wait for its end.

    Args:
        meanwhile: As in `pipe`.

    Raises:
        ToolFailed: It ended badly.
        OSError: The file could not be written.
    """
    with tool:
        pump = _Pump(tool.stdout, sink)
        while pump.is_alive() or tool.running:
            pump.pause()
            meanwhile()
        if pump.error is not None:
            raise pump.error
        tool.wait()


class _Pump(threading.Thread):
    """Hands on what one end writes to the other, until either ends, and closes both."""

    def __init__(self, source: BinaryIO, sink: BinaryIO) -> None:
        super().__init__(name="sqlmig-pipe", daemon=True)
        self._source, self._sink = source, sink
        self.error: OSError | None = None
        self.start()

    def run(self) -> None:
        reader: Any = self._source
        try:
            # ValueError: the one that was ended has closed it.
            with suppress(ValueError), self._sink, self._source:
                while chunk := reader.read1(_CHUNK):
                    self._sink.write(chunk)
        except OSError as error:
            self.error = error

    def pause(self) -> None:
        """Let it work for a moment."""
        if greenlet_at_work() is None:
            self.join(_MOMENT)
        if not self.is_alive() or greenlet_at_work() is not None:
            pause(_MOMENT / 10)
