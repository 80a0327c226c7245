"""
Real applications end with the same database under sqlmig as under Alembic, at every revision, up and down.

The whole set is `pytest -m "corpora or not corpora" tests/corpora`; some ways through the projects marked reduced run
always.
"""

import json
import os
import sys
from typing import Any

import pytest

from .environments import Unavailable, environment, run_probe
from .projects import PROJECTS, Project

Trace = list[dict[str, Any]]
_ALEMBICS: dict[tuple[str, ...], Trace] = {}


def _ways(always: list[tuple[str, ...]], others: list[tuple[str, ...]]) -> list[Any]:
    """Ways through a history: of a project that runs always, the first ones."""
    return [*always, *(pytest.param(*way, marks=pytest.mark.corpora) for way in others)]


def _cases() -> list[Any]:
    return [pytest.param(p, id=p.name, marks=[] if p.reduced else pytest.mark.corpora) for p in PROJECTS]


@pytest.fixture
def traced(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Give a function that walks a project's history and returns the trace; real Alembic's are kept for the session."""

    def walk(project: Project, name: str, tools: str, foreign_keys: str) -> Trace:
        _ready(project)
        key = (project.name, name, foreign_keys)
        if tools == "alembic" and key in _ALEMBICS:
            return _ALEMBICS[key]
        folder = tmp_path_factory.mktemp(f"{project.name}-{name}")
        trace: Trace = json.loads(run_probe(project, name, tools, foreign_keys, folder).read_text())
        return _ALEMBICS.setdefault(key, trace) if tools == "alembic" else trace

    return walk


@pytest.mark.corpora
@pytest.mark.parametrize("project", PROJECTS, ids=lambda project: project.name)
def test_alembic_takes_it_to_head_and_twice_alike(project: Project, traced: Any) -> None:
    """The measure itself: what real Alembic does, and does again, is worth comparing with."""
    trace = traced(project, "one_by_one", "alembic", "off")
    ups = [entry for entry in trace if entry["step"].startswith("upgrade")]
    assert [f"{entry['step']}: {entry['error']}" for entry in ups if entry["error"]] == []
    assert len(ups) == project.revisions
    silent = [up["step"] for up in ups if not any(f'"{up["step"].split()[1]}"' in row for row in up["rows"])]
    assert silent == [], "upgraded without an error, and is not there"
    _same(trace, traced(project, "one_by_one", "alembic+alembic", "off"))


@pytest.mark.parametrize(
    ("walk", "foreign_keys"),
    _ways(
        [("one_by_one", "on"), ("halfway", "off")],
        [("one_by_one", "off"), ("halfway", "on"), ("to_head", "off"), ("to_head", "on")],
    ),
)
@pytest.mark.parametrize("project", _cases())
def test_sqlmig_leaves_what_alembic_leaves(project: Project, walk: str, foreign_keys: str, traced: Any) -> None:
    """
    Alembic's batch deletes the rows of children when foreign_keys is on: its measure is taken with them off.

    Where a step breaks foreign keys by its own statements (tables dropped in the wrong order), it fails under both.
    """
    expected, found = traced(project, walk, "alembic", "off"), traced(project, walk, "sqlmig", foreign_keys)
    if foreign_keys == "on" and found[-1]["error"] and not expected[len(found) - 1]["error"]:
        enforced = traced(project, walk, "alembic", "on")
        assert (enforced[-1]["step"], bool(enforced[-1]["error"])) == (found[-1]["step"], True), found[-1]["traceback"]
        assert _differences(found[-2], found[-1], "schema") == "", "it failed and left something behind"
        expected, found = expected[: len(found) - 1], found[:-1]
    _same(expected, found)


@pytest.mark.parametrize(
    ("tools", "walk", "foreign_keys"),
    _ways(
        [("sqlmig+alembic", "one_by_one", "off"), ("alembic+sqlmig", "bare", "on")],
        [("sqlmig+alembic", "bare", "on"), ("alembic+sqlmig", "one_by_one", "off")],
    ),
)
@pytest.mark.parametrize("project", _cases())
def test_both_tools_take_turns_in_one_database(
    project: Project, tools: str, walk: str, foreign_keys: str, traced: Any
) -> None:
    rows = () if foreign_keys == "on" and project.loses_rows else ("rows",)
    kinds = ("schema", "complaints", *rows)
    _same(traced(project, walk, "alembic", foreign_keys), traced(project, walk, tools, foreign_keys), kinds)


@pytest.mark.parametrize(
    ("tools", "foreign_keys"),
    _ways([("native", "on"), ("alembic+native", "off")], [("native", "off"), ("alembic+native", "on")]),
)
@pytest.mark.parametrize("project", _cases())
def test_imported_it_leaves_what_alembic_leaves(project: Project, foreign_keys: str, tools: str, traced: Any) -> None:
    """From empty, and from the middle, where Alembic brought the database with rows in it."""
    if project.imported_not:
        pytest.skip(project.imported_not)
    if tools != "native" and project.rows:
        pytest.skip("Alembic would have to go on after sqlmig")
    walk = "to_head" if tools == "native" else "halfway"
    expected, found = traced(project, walk, "alembic", "off"), traced(project, walk, tools, foreign_keys)
    for entry in (*expected, *found):
        # Alembic's own table is not written any more.
        for kind in ("schema", "rows"):
            entry[kind] = [line for line in entry[kind] if "alembic_version" not in line]
    _same(expected, found)


def _same(expected: Trace, found: Trace, kinds: tuple[str, ...] = ("schema", "rows", "complaints")) -> None:
    """
    Every step of *found* leaves what the same step of *expected* left.

    Where Alembic's own step failed the walk ended; what sqlmig makes of that step must be whole or not there at all.
    """
    before: dict[str, Any] | None = None
    for theirs, ours in zip(expected, found, strict=False):
        where = f"{ours['step']} by {ours['tool']}"
        assert theirs["step"] == ours["step"]
        if theirs["error"]:
            if ours["error"] and ours["tool"] == "sqlmig" and before:
                assert _differences(before, ours, "schema") == "", f"{where} failed and left something behind"
            return
        assert not ours["error"], f"{where} failed:\n{ours['traceback'][-3000:]}"
        for kind in kinds:
            told = _differences(theirs, ours, kind)
            assert not told, f"{where} left another {kind} than Alembic:\n{told}"
        before = ours
    assert len(found) >= len(expected)


def _differences(theirs: dict[str, Any], ours: dict[str, Any], kind: str) -> str:
    lost, extra = [*theirs[kind]], []
    for line in ours[kind]:
        lost.remove(line) if line in lost else extra.append(line)
    return "\n".join([f"- {line[:400]}" for line in lost[:20]] + [f"+ {line[:400]}" for line in extra[:20]])


def _ready(project: Project) -> None:
    if sys.version_info[:2] > project.python:
        pytest.skip(f"{project.name} does not install on Python {sys.version_info.major}.{sys.version_info.minor}")
    try:
        environment(project)
    except Unavailable as error:
        if os.environ.get("CI") == "true" and project.reduced:
            raise
        pytest.skip(f"{project.name} is not to be had: {error}")
