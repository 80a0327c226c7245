"""What `.pre-commit-hooks.yaml` offers to applications, run as pre-commit runs it."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result
from conftest import Folder

from sqlmig.cli.app import app

ROOT = Path(__file__).parents[1]


@pytest.fixture
def hook() -> dict[str, Any]:
    (found,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    assert found["id"] == "sqlmig-validate"
    return dict(found)


@pytest.fixture
def versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    """The migrations of an application whose folder is the working directory, and that names no database."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SQLMIG_URL", raising=False)
    (tmp_path / "pyproject.toml").write_text('[tool.sqlmig]\npath = "versions"\n')
    folder = Folder(tmp_path / "versions")
    for version in (1, 2, 3):
        folder.table(version)
    return folder


def validate(*words: str) -> Result:
    return CliRunner().invoke(app, ["validate", *words])


def test_the_hook_stops_a_commit_that_leaves_a_gap(hook: dict[str, Any], versions: Folder) -> None:
    program, *words = shlex.split(hook["entry"])
    command = [sys.executable, "-m", program, *words]

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, cwd=versions.path.parent, capture_output=True, text=True, check=False)

    assert run().returncode == 0
    # Of a file that is gone pre-commit tells no hook, and it must run all the same.
    (versions.path / "002_step_2.py").unlink()
    assert (hook["always_run"], hook["pass_filenames"]) == (True, False)
    stopped = run()
    assert stopped.returncode == 1
    assert "issue     no file has version 2" in stopped.stdout


def test_the_hook_is_installed_with_what_the_command_needs(hook: dict[str, Any]) -> None:
    import tomllib

    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert hook["additional_dependencies"] == extras["cli"]


@pytest.mark.skipif(shutil.which("git") is None, reason="there is no git")
def test_pre_commit_runs_the_hook(hook: dict[str, Any], versions: Folder) -> None:
    """In an environment that is there, where pre-commit would make one from the package index."""
    pytest.importorskip("pre_commit", reason="pre-commit is not installed")
    here = versions.path.parent
    entry = f"{shlex.quote(sys.executable)} -m {hook['entry']}"
    local = {**hook, "entry": entry, "language": "system", "additional_dependencies": []}
    (here / ".pre-commit-config.yaml").write_text(json.dumps({"repos": [{"repo": "local", "hooks": [local]}]}))

    def run(*command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, cwd=here, capture_output=True, text=True, check=False)

    run("git", "init", "-q")
    run("git", "add", ".")
    assert run(sys.executable, "-m", "pre_commit", "run", "sqlmig-validate").returncode == 0
    run("git", "rm", "-q", "--cached", "versions/002_step_2.py")
    (versions.path / "002_step_2.py").unlink()
    stopped = run(sys.executable, "-m", "pre_commit", "run", "sqlmig-validate")
    assert stopped.returncode == 1
    assert "no file has version 2" in stopped.stdout


# sqlmig validate without a database


def test_without_a_database_the_files_alone_are_checked_and_that_is_said(versions: Folder) -> None:
    done = validate()
    assert done.exit_code == 0
    assert "The migrations are fit to run." in done.stdout
    assert "no database was asked" in done.stdout
    assert json.loads(validate("--json").stdout) == {"valid": True, "database": None, "issues": []}
    assert [path.name for path in versions.path.parent.iterdir() if path.suffix == ".db"] == []


def test_files_only_asks_no_database_and_needs_no_driver(versions: Folder) -> None:
    versions.sql(4, "-- sqlmig: up postgresql", "CREATE TABLE t4 (id INT GENERATED ALWAYS AS IDENTITY)")
    there = "postgresql+a_driver_that_is_not_there://nobody@127.0.0.1:1/none"
    assert validate("--url", there).exit_code != 0
    for url in ("postgresql+asyncpg://nobody@127.0.0.1:1/none", "postgresql://nobody@127.0.0.1:1/none"):
        assert validate("--files-only", "--url", url).exit_code == 0
    told = validate("--files-only", "--url", "mysql+aiomysql://nobody@127.0.0.1:1/none")
    assert told.exit_code == 1
    assert "for postgresql alone, and this database is mysql" in told.stdout


def test_files_only_passes_over_what_the_database_says(versions: Folder, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'app.db'}"
    assert CliRunner().invoke(app, ["up", "--url", url]).exit_code == 0
    path = versions.path / "003_step_3.py"
    path.write_text(path.read_text().replace("'step 3'", "'another'"))
    assert validate("--url", url).exit_code == 1
    assert validate("--files-only", "--url", url).exit_code == 0


def test_what_is_no_database_is_refused_with_files_only_too(versions: Folder) -> None:
    assert validate("--files-only", "--url", "nothing://x").exit_code == 2
    assert validate("--files-only", "--path", "nowhere").exit_code == 2
