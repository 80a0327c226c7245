"""Who did it: the host, process, user and versions that go into every row of the audit log."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import socket
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

__all__ = ["as_json", "is_marked_running", "is_running", "process_mark", "provenance"]


def provenance() -> dict[str, Any]:
    """Host, process id and its start, user, and the versions of sqlmig and Python."""
    return _of_process(os.getpid())


def as_json(extra: Mapping[str, Any]) -> str:
    """The provenance of this process and *extra*, as one JSON object."""
    rest = json.dumps(extra, default=str)
    own = _json_of_process(os.getpid())
    return f"{own[:-1]}, {rest[1:]}" if extra else own


@lru_cache(maxsize=1)
def _json_of_process(pid: int) -> str:
    return json.dumps(_of_process(pid))


@lru_cache(maxsize=1)
def _of_process(pid: int) -> dict[str, Any]:
    from . import __version__

    facts: dict[str, Any] = {"host": socket.gethostname(), "pid": pid, "user": _user()}
    started = _process_start(pid)
    if started is not None:
        facts["pid_started"] = started
    return facts | {"sqlmig": __version__, "python": platform.python_version()}


def is_running(facts: dict[str, Any]) -> bool | None:
    """Whether the process that wrote *facts* still runs; None where that cannot be known."""
    pid, started = facts.get("pid"), facts.get("pid_started")
    if facts.get("host") != socket.gethostname() or not isinstance(pid, int) or started is None:
        return None
    return bool(_process_start(pid) == started)


def process_mark() -> str:
    """This process as a part of a file's name: its id, its host, and when it began, of which no other has all three."""
    return f"{os.getpid()}-{_digest(socket.gethostname())}-{_digest(_process_start(os.getpid()) or '')}"


def is_marked_running(mark: str) -> bool | None:
    """Whether the process of a `process_mark` still runs; None where that cannot be known."""
    pid, host, started = mark.split("-")
    now = _process_start(int(pid))
    if host != _digest(socket.gethostname()) or started == _digest("") or not _has_processes():
        return None
    return now is not None and started == _digest(now)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _has_processes() -> bool:
    return _process_start(os.getpid()) is not None


def _process_start(pid: int) -> str | None:
    """
    When *pid* began, in ticks since boot, with the boot's own id: a number that a later process cannot have.

    Source: proc(5), /proc/[pid]/stat field 22. None where there is no /proc.
    """
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat, open("/proc/sys/kernel/random/boot_id") as boot:
            # The command's name, field 2, stands in parentheses and may hold blanks.
            ticks = stat.read().rpartition(b")")[2].split()[19].decode()
            return f"{boot.read().strip()}:{ticks}"
    except OSError:
        return None


def _user() -> str:
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        # A container's user id without a name.
        return str(os.getuid()) if hasattr(os, "getuid") else "unknown"
