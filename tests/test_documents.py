"""Every block of code in README and docs runs as it is written."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def blocks(page: Path, language: str) -> list[str]:
    return [code for word, code in BLOCK.findall(page.read_text()) if word == language]


def run(command: str, folder: Path) -> str:
    """Type *command* in *folder*, its `sqlmig` being the one under test."""
    binaries = folder / "binaries"
    binaries.mkdir(exist_ok=True)
    for name in ("sqlmig", "pytest"):
        (binaries / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" -m {name} "$@"\n')
        (binaries / name).chmod(0o755)
    path = f"{binaries}{os.pathsep}{os.environ['PATH']}"
    ran = subprocess.run(
        ["sh", "-ec", command],
        cwd=folder,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, f"{command}\n{ran.stdout}{ran.stderr}"
    return ran.stdout


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_is_of_a_kind_that_is_run(page: Path) -> None:
    kinds = {word for word, _ in BLOCK.findall(page.read_text())}
    assert kinds <= {"sh", "python", "sql", "console", "toml", "text"}


@pytest.fixture
def forgetful(tmp_path: Path) -> Iterator[None]:
    """What a page imports from its folder is gone afterwards: the next may have an `app.models` of its own."""
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", None) or "").startswith(str(tmp_path)) or name == "app":
            del sys.modules[name]
    trace = sys.modules.get("opentelemetry.trace")
    if trace is not None:
        # A process can set a tracer provider but once.
        vars(trace).update(_TRACER_PROVIDER=None, _TRACER_PROVIDER_SET_ONCE=type(trace._TRACER_PROVIDER_SET_ONCE)())


@pytest.mark.usefixtures("forgetful")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_and_console_blocks(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In order, in one folder and one namespace; a block above which a file is named becomes that file."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    names: dict[str, object] = {"__name__": "__main__"}
    text = page.read_text()
    for match in BLOCK.finditer(text):
        language, code = match.groups()
        named = re.search(r"`([\w/]+\.(?:py|sql|toml))`:\n\n\Z", text[: match.start()])
        if language in ("python", "sql", "toml") and named:
            path = tmp_path / named[1]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(code)
        elif language == "sql":
            pytest.fail(f"no file is named for {code.splitlines()[0]}")
        elif language == "python":
            exec(compile(code, f"{page.name}: {code.splitlines()[0]}", "exec"), names)
        elif language == "console":
            for command in re.findall(r"^\$ (.+)$", code, re.MULTILINE):
                run(command, tmp_path)


def test_the_first_command_runs_the_shipped_migrations(tmp_path: Path) -> None:
    install, sqlmig = blocks(ROOT / "README.md", "sh")[0].strip().split(" && .venv/bin/sqlmig ", 1)
    assert install == 'python3 -m venv .venv && .venv/bin/pip install -q -e ".[cli]"'
    shutil.copytree(ROOT / "migrations", tmp_path / "migrations")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    printed = run(f"sqlmig {sqlmig.replace('.venv/bin/', '')}", tmp_path)
    assert "Version 7 of 7: up to date." in printed
    assert "Authors in a table of their own" in printed
    assert (tmp_path / "library.db").exists()


def test_the_second_command_is_what_ci_runs() -> None:
    (_, command, *_) = blocks(ROOT / "README.md", "sh")
    assert command.count("\n") == 1
    script = (ROOT / ".ci" / "run").read_text()
    lines = textwrap.dedent(script[script.index("command=$(") :].partition("\n")[0])
    found = subprocess.run(
        ["bash", "-c", f'{lines}; echo "$command"'], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert found.stdout == command
