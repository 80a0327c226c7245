"""Every block of code in README and docs runs as it is written, and what it shows of the output is what comes out."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
KINDS = {"python", "sql", "console", "json", "toml", "yaml", "text"}
PROGRAMS = {"sqlmig": "-m sqlmig", "pytest": "-m pytest", "pip": "-m pip", "python": ""}
HOME = "/home/ada/library"
"""The folder in which a reader works, where output names it."""
VARYING = {
    r"\.db-[0-9a-f]{8}\b": ".db-HASH",
    r"\b\d+\.\d+\.\d+\w*": "RELEASE",
    r"\d{8}T\d{6}\.\d+Z": "TIME",
    r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?(\+00:00)?": "TIME",
    r"\d[\d,]*\.\d+ ?(ms|s)?\b": "NUMBER",
}
"""What is otherwise in each run, or in another folder."""
OF_THE_MACHINE = {"host", "pid", "pid_started", "user", "python", "sqlmig", "size", "size_bytes", "disk_needed_bytes"}


def blocks(page: Path, language: str) -> list[str]:
    return [code for word, code in BLOCK.findall(page.read_text()) if word == language]


def attempt(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Type *command* in *folder*, its programs being those under test; pip finds only what is there already."""
    binaries = folder / "binaries"
    binaries.mkdir(exist_ok=True)
    for name, arguments in PROGRAMS.items():
        (binaries / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {arguments} "$@"\n')
        (binaries / name).chmod(0o755)
    path = f"{binaries}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["sh", "-ec", command],
        cwd=folder,
        env={**os.environ, "PATH": path, "PIP_NO_INDEX": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def run(command: str, folder: Path) -> str:
    ran = attempt(command, folder)
    assert ran.returncode == 0, f"{command}\n{ran.stdout}{ran.stderr}"
    return ran.stdout


def type_in(transcript: str, folder: Path) -> str:
    """
    Type each command of a console block, and compare what is shown below it with what comes out.

    A command may fail where the next one asks for its exit code (`echo $?`). What varies between runs (times) is not
    compared, and `...` stands for any lines. Returns what the last one has printed.
    """
    steps = re.findall(r"^\$ (.+)\n((?:(?!\$ ).*\n)*)", transcript, re.MULTILINE)
    code, printed = 0, ""
    for (command, shown), (following, _) in zip(steps, [*steps[1:], ("", "")], strict=True):
        if command == "echo $?":
            assert shown == f"{code}\n", transcript
            continue
        ran = attempt(command, folder)
        code, printed, out = ran.returncode, ran.stdout, ran.stdout + ran.stderr
        assert code == 0 or following == "echo $?", f"{command}\n{out}"
        assert "does not provide the extra" not in out
        if shown:
            pattern = re.escape(alike(shown, folder)).replace(re.escape("...\n"), "(.*\n)*")
            assert re.fullmatch(pattern, alike(out, folder)), f"{command}\n{out}"
    return printed


def alike(text: str, folder: Path) -> str:
    """Text without what is otherwise in each run, and without the widths of columns."""
    text = text.replace(str(folder), HOME)
    for pattern, word in VARYING.items():
        text = re.sub(pattern, word, text)
    return "".join(f"{' '.join(line.split())}\n" for line in text.strip().splitlines())


def compare_json(documented: Any, real: Any, folder: Path, place: str = "") -> None:
    """Have JSON the form and the values that a page says; only what varies between runs may be another of its kind."""
    assert type(documented) is type(real), f"{place}: {documented!r} is documented, {real!r} is real"
    if isinstance(documented, dict):
        assert list(documented) == list(real), place
        for key, value in documented.items():
            if key not in OF_THE_MACHINE:
                compare_json(value, real[key], folder, f"{place}.{key}")
    elif isinstance(documented, list):
        assert len(documented) == len(real), f"{place}: {real!r}"
        for index, pair in enumerate(zip(documented, real, strict=True)):
            compare_json(*pair, folder, f"{place}[{index}]")
    elif isinstance(documented, str):
        assert alike(documented, folder) == alike(real, folder), place
    elif not isinstance(documented, float):
        assert documented == real, place


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_block_is_of_a_kind_that_is_run(page: Path) -> None:
    text = page.read_text()
    kinds = {word for word, _ in BLOCK.findall(text)}
    assert not re.search(r"^ +```", text, re.MULTILINE), "a block in a list would not be run"
    assert kinds <= KINDS | ({"sh"} if page.name == "README.md" else set())


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
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_blocks(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In order, in one folder and one namespace; a block above which a file is named becomes that file."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    names: dict[str, object] = {"__name__": "__main__"}
    text, printed = page.read_text(), ""
    for match in BLOCK.finditer(text):
        language, code = match.groups()
        named = re.search(r"`([\w./-]+\.(?:py|sql|toml|yml))`:\n\n\Z", text[: match.start()])
        if language in ("python", "sql", "toml", "yaml") and named:
            path = tmp_path / named[1]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(code)
        elif language == "sql":
            pytest.fail(f"no file is named for {code.splitlines()[0]}")
        elif language == "python":
            exec(compile(code, f"{page.name}: {code.splitlines()[0]}", "exec"), names)
        elif language == "console":
            printed = type_in(code, tmp_path)
        elif language == "json":
            compare_json(json.loads(code), json.loads(printed), tmp_path)
        if language == "yaml":
            for command in re.findall(r"^ *- run: (.+)$", code, re.MULTILINE):
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
