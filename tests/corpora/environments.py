"""One virtual environment per project, in a cache folder outside the checkout, made once and kept."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

from .projects import Project

CHECKOUT = Path(__file__).parents[2]
_FINISHED = "finished"  # the file that an environment has once everything in it is installed


class Unavailable(Exception):
    """An environment could not be made, most often because the package index was not reached."""


def cache() -> Path:
    named = os.environ.get("SQLMIG_CORPORA_CACHE")
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(named) if named else Path(base, "sqlmig", "corpora")


def environment(project: Project) -> Path:
    """
    Give the Python of *project*'s environment, making it if it is not there.

    Projects with the same requirements share one. Processes that ask together wait for the first, and what a killed
    one left half made is made again.
    """
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    digest = hashlib.sha256("\n".join([python, *project.requirements]).encode()).hexdigest()[:10]
    folder = cache() / f"{project.requirements[0].split('=')[0].split('[')[0]}-{python}-{digest}"
    if not (folder / _FINISHED).exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with open(folder.with_suffix(".lock"), "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (folder / _FINISHED).exists():
                _make(folder, project.requirements)
    return folder / "bin" / "python"


def run_probe(project: Project, walk: str, tools: str, foreign_keys: str, folder: Path) -> Path:
    """Run the probe in the project's environment, with sqlmig from this checkout, and give its trace."""
    process = subprocess.run(
        [environment(project), "-m", "corpora.probe", project.name, walk, tools, foreign_keys, folder],
        cwd=folder,
        env={
            **{
                name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COV_", "COVERAGE"))
            },
            "PYTHONPATH": os.pathsep.join([str(CHECKOUT), str(CHECKOUT / "tests"), str(_as_installed(folder))]),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONHASHSEED": "0",  # migrations that write out a set write it in one order
            "HOME": str(folder),
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=900,
    )
    assert process.returncode == 0, (
        f"The probe of {project.name} ended with {process.returncode}:\n" + process.stdout[-4000:]
    )
    return folder / "trace.json"


def _as_installed(folder: Path) -> Path:
    """What an installed sqlmig tells other packages of itself: the project's environment has it by its path only."""
    told = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["entry-points"]
    place = folder / "installed" / "sqlmig-0.dist-info"
    place.mkdir(parents=True)
    (place / "METADATA").write_text("Metadata-Version: 2.1\nName: sqlmig\nVersion: 0\n")
    lines = [
        line
        for group, found in told.items()
        for line in (f"[{group}]", *(f"{name} = {value}" for name, value in found.items()))
    ]
    (place / "entry_points.txt").write_text("\n".join(lines) + "\n")
    return place.parent


def _make(folder: Path, requirements: tuple[str, ...]) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    python, uv = folder / "bin" / "python", shutil.which("uv")
    if uv:
        _run([uv, "venv", "--quiet", "--python", sys.executable, folder])
        _run([uv, "pip", "install", "--quiet", "--python", python, *requirements])
    else:
        _run([sys.executable, "-m", "venv", folder])
        _run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *requirements])
    (folder / _FINISHED).write_text("\n".join(requirements) + "\n")


def _run(command: list[str | Path]) -> None:
    process = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if process.returncode:
        told = " ".join(str(part) for part in command[1:])
        raise Unavailable(f"{told} ended with {process.returncode}: {process.stderr.strip()[-600:]}")
