"""A migration file under another version: what is rewritten, what is refused, and what a kill leaves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from conftest import Folder
from sqlalchemy import Engine

from sqlmig import ConfigurationError, Migrator, ValidationFailed
from sqlmig.cli.app import app

PYTHON = '''# Übersicht: version = 2, in a comment
from sqlmig import BaseMigration


class Other(BaseMigration):
    """version = 2"""

    version   =  2   # of two branches
    description = "version = 2"

    def up(self):
        self.execute_sql("CREATE TABLE other (version INTEGER DEFAULT 2)")
'''
PROPERTY = "    @property\n    def version(self) -> int:\n        return 2"


def texts(folder: Folder) -> dict[str, str]:
    return {path.name: path.read_bytes().decode() for path in folder.path.iterdir() if path.is_file()}


@pytest.fixture
def branches(folder: Folder) -> Folder:
    """Two files with the version 2, and a third migration that depends on it."""
    folder.table(1)
    folder.table(2)
    folder.write("002_other.py", PYTHON)
    folder.table(3, "dependencies = [1, 2]")
    return folder


def test_it_gets_the_next_free_version_and_keeps_its_text(branches: Folder, engine: Engine) -> None:
    migrator = Migrator(engine, branches.path)
    with pytest.raises(ValidationFailed, match=r"sqlmig renumber 002_step_2\.py"):
        migrator.migrate()
    before = texts(branches)
    done = migrator.renumber("002_other.py")
    assert (done.path.name, done.version, done.dependents) == ("004_other.py", 4, [])
    assert done.warnings == [
        "003_step_3.py depends on version 2, which is 002_step_2.py from now on;"
        " if it meant 002_other.py, write 4 there"
    ]
    now = texts(branches)
    assert now.pop("004_other.py") == before.pop("002_other.py").replace("version   =  2   #", "version   =  4   #")
    assert now == before
    assert migrator.migrate().applied == [1, 2, 3, 4]


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_a_version_may_be_a_property_and_lines_may_end_otherwise(branches: Folder, engine: Engine, ends: str) -> None:
    text = PYTHON.replace("    version   =  2   # of two branches", PROPERTY).replace("\n", ends)
    (branches.path / "002_other.py").write_bytes(b"\xef\xbb\xbf" + text.encode())
    Migrator(engine, branches.path).renumber(branches.path / "002_other.py", 7)
    assert "return 7" in texts(branches)["007_other.py"]
    assert texts(branches)["007_other.py"].count(ends) == text.count(ends)
    loaded = Migrator(engine, branches.path, out_of_order="apply")
    assert loaded.migrate().applied == [1, 2, 3, 7]


def test_what_depends_on_it_follows_where_it_is_clear(folder: Folder, engine: Engine) -> None:
    folder.table(1)
    folder.sql(2, "-- sqlmig: up", "CREATE TABLE two (a INTEGER);")
    folder.table(9, "dependencies = (\n    2,  # the two\n    1,\n)")
    folder.sql(10, "-- sqlmig: description: 2 of 22", "-- sqlmig: depends: 1, 2", "-- sqlmig: up", "SELECT 2;")
    done = Migrator(engine, folder.path, out_of_order="apply").renumber("002_step_2.sql", 5)
    assert [path.name for path in done.dependents] == ["009_step_9.py", "010_step_10.sql"]
    assert "5,  # the two" in texts(folder)["009_step_9.py"]
    assert texts(folder)["010_step_10.sql"].splitlines()[:2] == [
        "-- sqlmig: description: 2 of 22",
        "-- sqlmig: depends: 1, 5",
    ]
    assert Migrator(engine, folder.path, out_of_order="apply").migrate().applied == [1, 5, 9, 10]


def test_a_number_that_nobody_has_any_more_is_told(folder: Folder, engine: Engine) -> None:
    for version in (1, 2, 3):
        folder.table(version)
    migrator = Migrator(engine, folder.path)
    (gap,) = migrator.renumber("002_step_2.py").warnings
    assert gap == "no file has version 2, though there is a version 3; until there is one, nothing is applied"
    with pytest.raises(ValidationFailed, match="no file has version 2"):
        migrator.migrate()
    assert migrator.renumber("003_step_3.py", 2).warnings == [
        "no file has version 3, though there is a version 4; until there is one, nothing is applied"
    ]
    assert migrator.renumber("004_step_2.py", 3).warnings == []
    assert migrator.migrate().applied == [1, 2, 3]
    assert Migrator(":memory:", folder.path, out_of_order="apply").renumber("002_step_3.py").warnings == []


@pytest.mark.parametrize(
    ("name", "version", "words"),
    [
        ("002_othr.py", None, r"Did you mean 002_other\.py"),
        ("3", None, r"Did you mean 003_step_3\.py"),
        ("002_other.py", 3, "version 3 is taken"),
        ("002_other.py", 0, "0 is no version"),
        ("002_other.py", 2, "has that version already"),
        ("003_step_3.py", 2, "version 2 is taken"),
    ],
)
def test_wrong_calls_change_nothing(
    branches: Folder, engine: Engine, name: str, version: int | None, words: str
) -> None:
    before = texts(branches)
    with pytest.raises(ConfigurationError, match=words):
        Migrator(engine, branches.path).renumber(name, version)
    assert texts(branches) == before


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda folder: folder.add(4, extra="dependencies = [3]"), r"renumber 004_step_4\.py"),
        (lambda folder: folder.write("003_step_3.py", PYTHON.replace("=  2 ", "= 1 + 2 ")), "not written as a number"),
        (lambda folder: folder.write("003_step_3.py", PYTHON.replace("=  2 ", "= (")), "SyntaxError"),
        (
            lambda folder: folder.write("003_step_3.py", PYTHON.replace("=  2 ", "= 3\n    replaces = {3: 'py1:a'} ")),
            "squashed",
        ),
    ],
)
def test_what_cannot_be_rewritten_is_refused(
    folder: Folder, engine: Engine, spoil: Callable[[Folder], Path], words: str
) -> None:
    for version in (1, 2, 3):
        folder.table(version)
    spoil(folder)
    before = texts(folder)
    with pytest.raises((ConfigurationError, ValidationFailed), match=words):
        Migrator(engine, folder.path).renumber("003_step_3.py", 8)
    assert texts(folder) == before


def test_one_that_the_database_has_had_is_refused_and_the_other_is_not(
    branches: Folder, engine: Engine, url: str
) -> None:
    (branches.path / "002_other.py").unlink()
    Migrator(engine, branches.path).migrate()
    branches.write("002_other.py", PYTHON)
    before = texts(branches)
    options = ["--url", url, "--path", str(branches.path)]
    ran = CliRunner().invoke(app, ["renumber", "002_step_2.py", *options])
    assert ran.exit_code == 2
    assert "002_step_2.py is not renumbered: migration 2 is applied from it in the database" in ran.output
    assert "take it back first: sqlmig to 1" in ran.output
    assert texts(branches) == before
    ran = CliRunner().invoke(app, ["renumber", "002_other.py", *options, "--json"])
    assert (ran.exit_code, json.loads(ran.output)["version"]) == (0, 4)
    assert Migrator(engine, branches.path).migrate().applied == [4]


@pytest.mark.parametrize("stop", range(4))
def test_killed_in_between_it_is_as_before_or_done_or_refused_until_the_same_command(
    folder: Folder, engine: Engine, stop: int
) -> None:
    folder.table(1)
    folder.write("002_other.py", PYTHON)
    code = (
        "import os, signal, sys\nfrom pathlib import Path\n"
        "left = int(sys.argv[2])\n"
        "def dying(method):\n"
        "    def call(*given):\n"
        "        global left\n"
        "        if not left: os.kill(os.getpid(), signal.SIGKILL)\n"
        "        left -= 1\n"
        "        return method(*given)\n"
        "    return call\n"
        "from sqlmig import Migrator\n"
        "migrator = Migrator(':memory:', sys.argv[1])\n"
        "os.fsync, Path.rename, Path.replace = dying(os.fsync), dying(Path.rename), dying(Path.replace)\n"
        "migrator.renumber('002_other.py', 3)\n"
    )
    ran = subprocess.run([sys.executable, "-c", code, str(folder.path), str(stop)], check=False)
    assert ran.returncode == (0 if stop == 3 else -signal.SIGKILL)
    migrator = Migrator(engine, folder.path, out_of_order="apply")
    if stop == 2:
        with pytest.raises(ValidationFailed, match=r"sqlmig renumber 003_other\.py 3"):
            migrator.migrate()
        migrator.renumber("003_other.py", 3)
    assert migrator.migrate().applied == [1, 2 if stop < 2 else 3]
    assert os.path.exists(folder.path / ("002_other.py" if stop < 2 else "003_other.py"))


def test_a_number_that_a_squash_stands_for_is_taken(folder: Folder, engine: Engine) -> None:
    """Databases from before it have that version recorded, and would never run another one of it."""
    for version in (1, 2, 3, 4, 5):
        folder.table(version)
    Migrator(engine, folder.path).squash(2, 4, keep=True)
    before = texts(folder)
    with pytest.raises(ConfigurationError, match="version 3 is taken"):
        Migrator(engine, folder.path).renumber("005_step_5.py", 3)
    assert texts(folder) == before
