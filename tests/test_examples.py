"""Each application in `examples/` does what its README says: started several times at once, asked, and stopped."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import httpx
import pytest
import yaml

ROOT = Path(__file__).parents[1]

Copied = Callable[[str], Path]


@pytest.fixture
def copied(tmp_path: Path) -> Copied:
    """An application as its author would have it: alone, in a folder of its own."""

    def copy(name: str) -> Path:
        ignored = shutil.ignore_patterns("__pycache__", "*.db*", ".pytest_cache")
        return Path(shutil.copytree(ROOT / "examples" / name, tmp_path / name, ignore=ignored))

    return copy


def environment(**more: str) -> dict[str, str]:
    """Nothing of this run's own that an application would look at."""
    left_out = ("SQLMIG_", "PYTEST_", "COV_")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(left_out)}
    return {**kept, "PYTHONUNBUFFERED": "1", **more}


@contextmanager
def started(folder: Path, *commands: list[str]) -> Iterator[list[str]]:
    """
    The addresses of servers that are started at once, when all listen.

    In the end each is told to stop, and has to.
    """
    logs = [folder / f"server_{n}.log" for n in range(len(commands))]
    servers = []
    for command, log in zip(commands, logs, strict=True):
        with log.open("w") as output:
            called = [sys.executable, "-m", *command]
            # In a group of its own, with the workers that it starts.
            servers.append(
                subprocess.Popen(
                    called, cwd=folder, env=environment(), stdout=output, stderr=output, start_new_session=True
                )
            )
    try:
        yield [_address(server, log) for server, log in zip(servers, logs, strict=True)]
        for server in servers:
            server.terminate()
        for server, log in zip(servers, logs, strict=True):
            assert server.wait(timeout=60) in (0, -signal.SIGTERM), log.read_text()
    finally:
        for server in servers:
            with suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGKILL)
            server.wait()


def _address(server: subprocess.Popen[bytes], log: Path) -> str:
    while not (found := re.search(r"running on (http://[\d.]+:\d+)", log.read_text(), re.IGNORECASE)):
        assert server.poll() is None, log.read_text()
        time.sleep(0.05)
    return found[1]


def client(address: str) -> httpx.Client:
    """Who waits until a worker listens and has migrated: uvicorn tells the address before."""
    return httpx.Client(base_url=address, timeout=60, transport=httpx.HTTPTransport(retries=8))


def applied(file: Path) -> list[int]:
    """The versions in the order in which they were applied, each as often as that was done or tried."""
    with closing(sqlite3.connect(file)) as raw:
        rows = raw.execute("SELECT version, operation, success FROM migration_history ORDER BY id").fetchall()
    assert {row[1:] for row in rows} == {("apply", 1)}
    return [row[0] for row in rows]


# Servers with several workers


def test_fastapi_with_two_workers(copied: Copied) -> None:
    folder = copied("fastapi_app")
    serve = ["uvicorn", "shop.app:app", "--workers", "2", "--port", "0"]
    with started(folder, serve) as (address,), client(address) as shop:
        assert shop.get("/products").json() == {"bread": 420, "milk": 139}
        made = shop.post("/orders", json={"product": "milk", "amount": 3})
        assert (made.status_code, made.json()) == (201, {"id": 1, "cents": 417})
        assert shop.post("/orders", json={"product": "honey"}).status_code == 404
    assert (folder / "server_0.log").read_text().count("Started server process") == 2
    assert applied(folder / "shop.db") == [1, 2, 3]


def test_starlette_with_two_workers(copied: Copied) -> None:
    folder = copied("starlette_app")
    serve = ["uvicorn", "feeds:app", "--workers", "2", "--port", "0"]
    with started(folder, serve) as (address,), client(address) as feeds:
        assert feeds.get("/example.org").json() == ["Entry 1", "Entry 2", "Entry 3"]
    assert (folder / "server_0.log").read_text().count("Started server process") == 2
    assert applied(folder / "feeds.db") == [1, 2, 3]


def test_flask_with_two_processes(copied: Copied) -> None:
    folder = copied("flask_app")
    serve = ["flask", "--app", "guestbook", "run", "--port", "0"]
    with started(folder, serve, serve) as addresses:
        one, other = map(client, addresses)
        with one, other:
            assert one.post("/", data={"guest": "Ada", "body": "Hello"}).status_code == 201
            assert other.get("/").json() == [
                {"guest": "The host", "body": "Welcome!", "mood": "good"},
                {"guest": "Ada", "body": "Hello", "mood": "good"},
            ]
    assert applied(folder / "guestbook.db") == [1, 2]


# Programs


def at_once(folder: Path, *commands: list[str], **variables: str) -> list[str]:
    """What programs print that are started together, and end well."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    running = [
        subprocess.Popen(command, cwd=folder, env=environment(**variables), text=True, **pipes) for command in commands
    ]
    ended = [(process.communicate(timeout=60), process.returncode) for process in running]
    assert [(said, code) for (_, said), code in ended] == [("", 0)] * len(commands)
    return [printed for (printed, _), _ in ended]


def test_a_script_three_times_at_once(copied: Copied) -> None:
    folder = copied("script")
    notes = [sys.executable, "notes.py"]
    at_once(folder, *([*notes, "add", f"note {n}"] for n in range(3)))
    at_once(folder, [*notes, "done", "2"])
    (printed,) = at_once(folder, notes)
    assert [line.split()[0] for line in printed.splitlines()] == ["1", "3"]
    assert applied(folder / "notes.db") == [1, 2]


@pytest.fixture
def installed(copied: Copied, tmp_path: Path) -> Path:
    """The desktop program as a wheel in a virtual environment, whose other packages are those of this one."""
    folder = copied("desktop_app")
    wheels = tmp_path / "wheels"
    pip = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check"]
    build = [*pip, "wheel", "--no-deps", "--no-index", "--no-build-isolation", "-w", str(wheels), str(folder)]
    subprocess.run(build, check=True)
    (wheel,) = wheels.glob("inkwell-*.whl")
    with zipfile.ZipFile(wheel) as opened:
        assert "inkwell/migrations/versions/001_entries.py" in opened.namelist()
    shutil.rmtree(folder)
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    python = venv / "bin" / "python"
    subprocess.run([*pip, "--python", str(python), "install", "--no-deps", "--no-index", str(wheel)], check=True)
    (packages,) = venv.glob("lib/python*/site-packages")
    lines = [f"import site; site.addsitedir({path!r})" for path in sys.path if path.endswith("site-packages")]
    (packages / "of_this_run.pth").write_text("\n".join([*lines, str(ROOT)]) + "\n")
    return venv / "bin" / "inkwell"


def test_an_installed_desktop_program(installed: Path, tmp_path: Path) -> None:
    home = tmp_path / "home of somebody"
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()

    def inkwell(*commands: list[str]) -> list[str]:
        return at_once(elsewhere, *([str(installed), *words] for words in commands), INKWELL_HOME=str(home))

    inkwell(["write", "A quiet day."], ["write", "Rain"])
    (printed,) = inkwell(["read"])
    assert sorted(printed.splitlines()) == ["A quiet day. (3 words)", "Rain (1 words)"]
    assert applied(home / "diary.db") == [1, 2]
    with closing(sqlite3.connect(home / "diary.db")) as raw:
        raw.execute("UPDATE migration_versions SET version = 3 WHERE version = 2")
        raw.execute("PRAGMA user_version = 3")
        raw.commit()
    refused = subprocess.run(
        [installed, "read"], env=environment(INKWELL_HOME=str(home)), capture_output=True, text=True, check=False
    )
    assert (refused.returncode, refused.stderr) == (
        1,
        "This diary was written by a newer Inkwell. Please update; nothing was changed.\n",
    )


# Tests, and checks before a merge


def test_the_suite_of_an_application(copied: Copied) -> None:
    folder = copied("tested_app")
    command = [sys.executable, "-m", "pytest", "-q", "-rA", "-p", "no:cacheprovider"]
    ran = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    told = Counter(line.partition(" ")[0] for line in ran.stdout.splitlines())
    assert told["PASSED"] >= 4 + 2 * 4 + 1
    for name in ("up_down_up[002]", "keeps_rows[002]", "gives_rows_back[002]", "models_agree[002]"):
        assert f"PASSED sqlmig::{name}" in ran.stdout


def git(folder: Path, *words: str) -> None:
    who = ["-c", "user.name=nobody", "-c", "user.email=nobody@example.org"]
    subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True)


def workflow_of(folder: Path) -> Iterator[tuple[str, dict[str, str], str]]:
    """The commands of the workflow, with their names and environment; what installs the application is left out."""
    found = yaml.safe_load((folder / ".github" / "workflows" / "migrations.yml").read_text())
    # YAML 1.1 reads the word `on` as true.
    assert found[True] == "pull_request"
    (job,) = found["jobs"].values()
    variables = {name: value.replace("${{ github.base_ref }}", "main") for name, value in job["env"].items()}
    assert not any("${{" in value for value in variables.values())
    for step in job["steps"]:
        if "run" in step and not step["run"].startswith("pip install"):
            yield step["name"], variables, step["run"]


def run_workflow(folder: Path, bin_: Path) -> tuple[str, str] | None:
    """The step at which it stops, and what that says; None where it comes to its end."""
    for name, variables, command in workflow_of(folder):
        path = f"{bin_}{os.pathsep}{os.environ['PATH']}"
        ran = subprocess.run(
            ["bash", "-eo", "pipefail", "-c", command],
            cwd=folder,
            env=environment(PATH=path, PYTHONPATH=".", **variables),
            capture_output=True,
            text=True,
            check=False,
        )
        if ran.returncode:
            return name, ran.stdout + ran.stderr
    return None


@pytest.fixture
def bin_(tmp_path: Path) -> Path:
    """A folder with the command that is under test."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "sqlmig").write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m sqlmig "$@"\n')
    (folder / "sqlmig").chmod(0o755)
    return folder


NEW = """
from sqlalchemy import Column, Integer, text
from sqlmig import BaseMigration

class Stock(BaseMigration):
    version = 4
    description = "Products are in stock"

    def up(self):
        self.add_column("products", Column("stock", Integer, server_default=text("0"), nullable=False))

    def down(self):
        self.drop_column("products", "stock")
"""


@pytest.mark.thorough
@pytest.mark.skipif(shutil.which("git") is None, reason="there is no git")
def test_the_workflow_of_a_pull_request(copied: Copied, bin_: Path, tmp_path: Path) -> None:
    upstream = copied("fastapi_app")
    git(upstream, "init", "-q", "-b", "main")
    git(upstream, "add", "-A")
    git(upstream, "commit", "-qm", "three migrations")
    here = tmp_path / "runner" / "checkout"
    git(tmp_path, "clone", "-q", str(upstream), str(here))
    models, versions = here / "shop" / "models.py", here / "migrations" / "versions"
    column = '    stock: Mapped[int] = mapped_column(server_default=text("0"))\n'
    models.write_text(models.read_text().replace("\n\nclass Order", f"{column}\n\nclass Order".lstrip("\n"), 1))

    def checked() -> tuple[str, str] | None:
        stopped = run_workflow(here, bin_)
        (here / "rehearsal.db").unlink(missing_ok=True)
        shutil.rmtree(here.parent / "base", ignore_errors=True)
        git(here, "worktree", "prune")
        return stopped

    stopped = checked()
    assert stopped is not None
    assert stopped[0] == "They lead to what the models say"
    assert "products.stock" in stopped[1]
    (versions / "004_stock.py").write_text(NEW)
    assert checked() is None
    (versions / "004_stock.py").write_text(NEW.replace('self.drop_column("products", "stock")', "pass"))
    stopped = checked()
    assert stopped is not None
    assert stopped[0] == "They migrate a copy of it, there and back"


# What is there


def test_each_example_says_what_it_is_and_has_migrations() -> None:
    folders = [path for path in (ROOT / "examples").iterdir() if path.is_dir()]
    assert len(folders) == 6
    page = (ROOT / "docs" / "examples.md").read_text()
    for folder in folders:
        assert (folder / "README.md").read_text().startswith("# ")
        assert any((folder / name).exists() for name in ("pyproject.toml", "requirements.txt"))
        assert len(list(folder.rglob("00*_*.*"))) in (2, 3)
        assert f"(../examples/{folder.name}/README.md)" in page


def test_no_distribution_has_the_examples(tmp_path: Path) -> None:
    for kind in ("sdist", "wheel"):
        command = [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(tmp_path)]
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (sdist,) = tmp_path.glob("*.tar.gz")
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as opened:
        tops = {name.partition("/")[0] for name in opened.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"sqlmig", "alembic_compat"}
    shutil.unpack_archive(sdist, tmp_path / "unpacked", filter="data")
    (unpacked,) = (tmp_path / "unpacked").iterdir()
    assert (unpacked / "tests" / "test_boot.py").exists()
    assert not (unpacked / "examples").exists()
    assert not (unpacked / "tests" / "test_examples.py").exists()
