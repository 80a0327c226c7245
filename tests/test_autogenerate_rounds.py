"""An application whose models change again and again: each change becomes a migration, up and down, by itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from autogenerate_app import App, Changed
from conftest import Folder
from effort import EFFORT
from places import Place

from sqlmig import Migrator, RenameQuestion
from sqlmig.drift.check import read_shape
from sqlmig.drift.compare import Difference, compare
from sqlmig.drift.report import finding
from sqlmig.drift.shape import Shape

DIALECTS = {"sqlite": "sqlite", "postgresql": "postgresql", "mariadb": "mysql"}


@pytest.mark.thorough
@pytest.mark.parametrize("place", ["sqlite"], indirect=True)
def test_sixty_models_go_through_ten_rounds(place: Place, folder: Folder) -> None:
    _go_through(place, folder, App(2026, 60), rounds=10)


@pytest.mark.parametrize("place", ["sqlite", "postgresql", "mariadb"], indirect=True)
@pytest.mark.parametrize("seed", range(EFFORT))
def test_models_go_through_rounds(place: Place, folder: Folder, seed: int) -> None:
    # A server writes each table to the disk.
    size, rounds = (12, 3) if place.database == "sqlite" else (5, 2)
    _go_through(place, folder, App(seed, size, DIALECTS[place.database]), rounds)


def _go_through(place: Place, folder: Folder, app: App, rounds: int) -> None:
    migrator = place.migrator(folder)
    _one_round(migrator, app, Changed(), 1)
    for number in range(2, rounds + 2):
        _one_round(migrator, app, app.change(), number)
    migrator.rollback_to_version(0)
    assert not read_shape(migrator, ()).tables
    _require_formatted(folder.path)


def _one_round(migrator: Migrator, app: App, changed: Changed, version: int) -> None:
    """Changed models become a migration; the database follows there, back, and there again."""
    before = read_shape(migrator, ())
    renames = dict(app.names(changed))
    half = dict(list(renames.items())[::2])

    def answer(question: RenameQuestion) -> str | None:
        return renames.get(question.name)

    rename = [f"{old}:{new}" for old, new in half.items() if _is_gone(before, old, changed)]
    models = app.metadata()
    made = migrator.create_migration(f"round {version}", models, rename=rename, ask=answer)
    assert made.clean is True, "\n".join(map(str, [*made.missing, *made.warnings]))
    assert not [warning for warning in made.warnings if "loses" in warning or "leaves" in warning]
    if made.path is None:
        return
    migrator.migrate()
    assert migrator.check(models), str(migrator.check(models))
    migrator.rollback_to_version(version - 1)
    assert _told(compare(before, read_shape(migrator, ()))) == []
    migrator.migrate()
    assert migrator.check(models)


def _is_gone(shape: Shape, name: str, changed: Changed) -> bool:
    """Whether a name, of a column with the name that its table has now, was one before."""
    table, _, column = name.rpartition(".")
    if not table:
        return shape.key(column) in shape.tables
    found = shape.tables.get(shape.key(changed.tables.get(table, table)))
    return found is not None and any(shape.column_key(one.name) == shape.column_key(column) for one in found.columns)


def _told(found: list[Difference]) -> list[str]:
    return [str(finding(one, "before", "after")) for one in found]


def _require_formatted(folder: Path) -> None:
    """Every file is as ruff would write it, and nothing in it is amiss."""
    for command in (
        ["format", "--check", "--diff"],
        ["check", "--select", "B,E4,E7,E9,F,I,UP,W"],
    ):
        ran = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--isolated", "--no-cache", str(folder)],
            capture_output=True,
            text=True,
            check=False,
            # Where sqlmig is one of the packages that are installed.
            cwd=folder,
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
