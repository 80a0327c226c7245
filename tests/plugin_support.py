"""An application in a folder of its own, whose tests are run by pytest in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

__all__ = ["Application", "Ran"]


class Ran(NamedTuple):
    """
    What came of a run.

    Attributes:
        outcomes: "passed", "failure", "skipped" or "error" by the name of a test, behind that of its file.
        messages: What was said of those that did not pass.
    """

    code: int
    output: str
    outcomes: Mapping[str, str]
    messages: Mapping[str, str]

    def of(self, outcome: str) -> set[str]:
        return {name for name, found in self.outcomes.items() if found == outcome}


class Application:
    """
    An application with migrations and tests.

    Attributes:
        path: Its folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.versions = path / "migrations" / "versions"
        self.versions.mkdir(parents=True)

    def write(self, name: str, text: str) -> Path:
        """A file of its own."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return path

    def add(self, version: int, up: str, down: str | None = None, extra: str = "", name: str = "step") -> Path:
        """A migration whose `up` and `down` are these statements of SQL, or lines of Python that begin with `self`."""
        lines = ["from sqlmig import BaseMigration", "", f"class Step{version}(BaseMigration):"]
        lines += [f"    version = {version}", textwrap.indent(textwrap.dedent(extra), "    ")]
        lines += ["    def up(self):", *map(_line, up.strip().splitlines())]
        if down is not None:
            lines += ["    def down(self):", *map(_line, down.strip().splitlines())]
        return self.write(f"migrations/versions/{version:03}_{name}.py", "\n".join(lines) + "\n")

    def run(self, *arguments: str, environment: Mapping[str, str] | None = None, timeout: float = 120) -> Ran:
        """Its tests, by pytest."""
        with self.started(*arguments, environment=environment) as process:
            try:
                output, _ = process.communicate(timeout=timeout)
            except subprocess.TimeoutExpired:
                process.kill()
                output = process.communicate()[0]
                raise AssertionError(f"pytest did not end:\n{output}") from None
        outcomes, messages = {}, {}
        for case in ElementTree.parse(self.report).iter("testcase") if self.report.exists() else ():
            name = "::".join(filter(None, (case.get("classname"), case.get("name"))))
            told = next((child for child in case if child.tag in ("failure", "error", "skipped")), None)
            outcomes[name] = told.tag if told is not None else "passed"
            if told is not None:
                messages[name] = (told.text or "") if told.tag != "skipped" else told.get("message", "")
        return Ran(process.returncode, output, outcomes, messages)

    @property
    def report(self) -> Path:
        return self.path / "report.xml"

    def started(self, *arguments: str, environment: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        """The same, begun and not waited for."""
        self.report.unlink(missing_ok=True)
        command = [sys.executable, "-m", "pytest", "--tb=short", f"--junitxml={self.report}", *arguments]
        # What this run was told is not for that one.
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "COV_", "SQLMIG"))}
        return subprocess.Popen(
            command,
            cwd=self.path,
            env={**kept, **(environment or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )


def _line(text: str) -> str:
    text = text.strip()
    if text.startswith(("self", "raise", "pass", "import", "from")):
        return f"        {text}"
    return f"        self.execute_sql({text!r})"
