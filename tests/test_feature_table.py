"""The README's table of what holds on which database: each cell is what a test shows."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest
import test_every_database

README = Path(__file__).parents[1] / "README.md"
HEAD = "| | SQLite | PostgreSQL | MariaDB |"
DATABASES = ["sqlite", "postgresql", "mariadb"]
MARK = re.compile(r'^@pytest\.mark\.proves\("(.+)", (\w+)="(.+)"\)\ndef test_', re.MULTILINE)


def cells() -> dict[tuple[str, str], str]:
    """What the table says, by row and database."""
    lines = README.read_text().split(f"{HEAD}\n")[1].splitlines()[1:]
    found = {}
    for line in lines[: lines.index("")]:
        row, *said = [cell.strip() for cell in line.strip("|").split("|")]
        found |= {(row, database): words for database, words in zip(DATABASES, said, strict=True)}
    return found


def shown() -> dict[tuple[str, str], set[str]]:
    """What tests say that they show: those of a place, and those of modules that are one database's own."""
    found: dict[tuple[str, str], set[str]] = {}
    for name, test in inspect.getmembers(test_every_database, inspect.isfunction):
        marks = [mark for mark in getattr(test, "pytestmark", ()) if mark.name == "proves"]
        assert not marks or (name.startswith("test_") and "place" in inspect.signature(test).parameters), name
        for mark in marks:
            for database, words in mark.kwargs.items():
                found.setdefault((mark.args[0], database), set()).add(words)
    for path in sorted(Path(__file__).parent.glob("test_*.py")):
        # A module without the name of one is of SQLite; its marks are read and not imported, which takes long.
        named = [name for name in ("postgresql", "mariadb") if name.replace("mariadb", "mysql") in path.stem]
        for row, database, words in MARK.findall(path.read_text()):
            assert database == (named or ["sqlite"])[0], f"{path.name}: {row}"
            found.setdefault((row, database), set()).add(words)
    return found


def test_each_cell_is_what_tests_show() -> None:
    said, proved = cells(), shown()
    assert {key: {words} for key, words in said.items()} == proved


@pytest.mark.parametrize("name", ["skip", "skipif", "xfail"])
def test_what_shows_something_is_never_left_out(request: pytest.FixtureRequest, name: str) -> None:
    for item in request.session.items:
        if next(item.iter_markers("proves"), None) is not None:
            assert next(item.iter_markers(name), None) is None, item.nodeid
