"""Names of revisions, wherever a version is taken, mean what they mean to Alembic."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from alembic.util import CommandError
from alembic_histories import History, above
from alembic_pairs import Pair
from alembic_projects import Rev
from sqlalchemy import create_engine

from alembic_compat import AlembicMigrator, AmbiguousRevision, UnknownRevision
from sqlmig import MigrationError

# What is said to Alembic, and to migrate_to_version(), from the same state.
#
#    a1b2c3d4 -- a1b2c3e5 -- cafe0001 (label "left")
#            \-- beef0002 -- beef0003 (label "right")
#    9999 (label "other"), which depends on a1b2c3e5
TREE = (
    Rev("a1b2c3d4"),
    Rev("a1b2c3e5", ("a1b2c3d4",)),
    Rev("cafe0001", ("a1b2c3e5",), labels=("left",)),
    Rev("beef0002", ("a1b2c3d4",), labels=("right",)),
    Rev("beef0003", ("beef0002",)),
    Rev("9999", (), ("a1b2c3e5",), ("other",)),
)
LINE = (Rev("1"), Rev("7", ("1",)), Rev("3", ("7",)), Rev("abcdef", ("3",)))


def built(root: Path, revisions: tuple[Rev, ...]) -> Pair:
    return Pair(root, History(revisions))


@pytest.mark.parametrize(
    ("start", "target"),
    [
        ([], "head"),
        ([], "heads"),
        ([], "3"),
        ([], "abcd"),
        ([], "+1"),
        ([], "+3"),
        (["7"], "+1"),
        (["7"], "+2"),
        (["7"], "3+1"),
        (["7"], "head-1"),
        (["7"], "head"),
        ([], "abcdef-1"),
        ([], "7+1"),
    ],
)
def test_names_upwards_in_a_line(tmp_path: Path, start: list[str], target: str) -> None:
    _compare(built(tmp_path, LINE), start, "upgrade", target)


@pytest.mark.parametrize(
    ("start", "target"),
    [
        (["head"], "base"),
        (["head"], "-1"),
        (["head"], "-2"),
        (["head"], "-4"),
        (["head"], "7"),
        (["head"], "3-1"),
        (["head"], "1+1"),
        (["head"], "head-2"),
        (["3"], "-1"),
        (["1"], "-1"),
    ],
)
@pytest.mark.parametrize("way", ["migrate_to_version", "rollback_to_version"])
def test_names_downwards_in_a_line(tmp_path: Path, start: list[str], target: str, way: str) -> None:
    _compare(built(tmp_path, LINE), start, "downgrade", target, way)


@pytest.mark.parametrize(
    ("start", "target"),
    [
        ([], "heads"),
        ([], "left"),
        ([], "left@head"),
        ([], "right@head"),
        ([], "right@heads"),
        ([], "left@heads"),
        ([], "other@head"),
        ([], "other@9999"),
        ([], "a1b2c3e"),
        ([], "beef0002@head"),
        ([], "right@beef0003"),
        (["a1b2c3d4"], "left@+1"),
        (["a1b2c3d4"], "right@+1"),
        (["left"], "right@+2"),
        (["9999"], "left@head"),
        (["left", "right"], "right@+1"),
        ([], "a1b2c3d4@heads"),
    ],
)
def test_names_upwards_in_a_tree(tmp_path: Path, start: list[str], target: str) -> None:
    _compare(built(tmp_path, TREE), start, "upgrade", target)


@pytest.mark.parametrize(
    ("start", "target"),
    [
        (["heads"], "base"),
        (["heads"], "a1b2c3d4"),
        (["heads"], "a1b2c3e5"),
        (["heads"], "right@base"),
        (["heads"], "other@base"),
        (["heads"], "left@-1"),
        (["heads"], "right@-1"),
        (["heads"], "right@-2"),
        (["heads"], "other@-1"),
        (["heads"], "right"),
        (["heads"], "left@a1b2c3d4"),
        (["heads"], "right@a1b2c3d4"),
        (["left@head", "right@head"], "beef0002"),
        (["right@head"], "-1"),
    ],
)
def test_names_downwards_in_a_tree(tmp_path: Path, start: list[str], target: str) -> None:
    _compare(built(tmp_path, TREE), start, "downgrade", target, "rollback_to_version")


def _compare(both: Pair, start: list[str], name: str, target: str, way: str = "migrate_to_version") -> None:
    for one in start:
        both.project.alembic("upgrade", both.theirs.url, one)
        both.project.alembic("upgrade", both.ours.url, one)
    before = both.theirs.catalogue()
    both.project.alembic(name, both.theirs.url, target)
    assert both.theirs.catalogue() != before
    getattr(both.migrator(), way)(target)
    both.same()


@pytest.mark.parametrize("start", [[], ["a1b2c3d4"], ["heads"]])
@pytest.mark.parametrize(
    ("target", "error"),
    [
        ("head", MigrationError),
        ("a1b2", AmbiguousRevision),
        ("beef", AmbiguousRevision),
        ("nowhere", UnknownRevision),
        ("right@beef", AmbiguousRevision),
        ("nowhere@head", MigrationError),
        ("left@nowhere", UnknownRevision),
        ("+9", MigrationError),
        ("-9", MigrationError),
    ],
)
def test_names_that_mean_nothing(tmp_path: Path, start: list[str], target: str, error: type[MigrationError]) -> None:
    """As with Alembic, but with types; the database stays as it is."""
    both = built(tmp_path, TREE)
    for one in start:
        both.project.alembic("upgrade", both.ours.url, one)
    heads = both.ours.heads() if start else []
    for name in ("upgrade", "downgrade"):
        with pytest.raises((CommandError, UserWarning)):
            both.project.alembic(name, both.ours.url, target)
    calls = [
        "migrate_to_version",
        "rollback_to_version",
        "get_migration_plan",
        *(["stamp"] if "9" not in target else []),
    ]
    for call in calls:
        with pytest.raises(error):
            getattr(both.migrator(), call)(target)
    made = {name for name in both.ours.tables() if name.startswith("t_")}
    assert made == {one.table for one in TREE if one.name in above(TREE, heads)}
    assert both.ours.heads() == heads


def test_an_ambiguous_prefix_names_the_candidates(tmp_path: Path) -> None:
    both = built(tmp_path, TREE)
    with pytest.raises(AmbiguousRevision) as caught:
        both.migrator().migrate_to_version("a1b2c3")
    assert "a1b2c3d4" in str(caught.value)
    assert "a1b2c3e5" in str(caught.value)


def test_one_head_of_many_is_not_meant_by_head(tmp_path: Path) -> None:
    both = built(tmp_path, TREE)
    with pytest.raises(MigrationError) as caught:
        both.migrator().migrate_to_version("head")
    assert "heads" in str(caught.value)


def test_an_id_of_digits_is_a_name_and_a_number_is_a_version(tmp_path: Path) -> None:
    both = built(tmp_path, LINE)
    both.migrator().migrate_to_version("3")
    assert both.ours.heads() == ["3"]
    both.migrator().migrate_to_version(2)
    assert both.ours.heads() == ["7"]
    both.migrator().migrate_to_version("1")
    assert both.ours.heads() == ["1"]
    both.migrator().migrate_to_version(0)
    assert both.ours.heads() == []
    with pytest.raises(MigrationError):
        both.migrator().migrate_to_version(7)


def test_plans_of_names_do_what_they_say(tmp_path: Path) -> None:
    both = built(tmp_path, TREE)
    migrator = both.migrator()
    for target in ("right@head", "other@head", "a1b2c3d4", "left", "heads", "base"):
        plan = migrator.get_migration_plan(target)
        result = migrator.migrate_to_version(target)
        assert [step.version for step in plan.migrations_to_apply] == result.applied
        assert [step.version for step in plan.migrations_to_rollback] == result.rolled_back
        assert result.applied or result.rolled_back
        assert not migrator.get_migration_plan(target).steps
    assert both.ours.heads() == []


def test_a_history_entry_tells_its_revision(tmp_path: Path) -> None:
    both = built(tmp_path, LINE)
    both.migrator().migrate()
    both.migrator().rollback_to_version("7")
    entries = both.migrator().get_migration_history()
    assert [(entry["operation"], entry["version"]) for entry in entries[:2]] == [("rollback", 3), ("rollback", 4)]
    assert all(entry["success"] for entry in entries)
    assert both.ours.recorded() == {"1": 1, "7": 2}
    assert both.ours.rows("PRAGMA user_version") == [(0,)]


@pytest.mark.parametrize("form", ["folder", "ini", "config", "text"])
def test_every_way_to_say_where_the_project_is(tmp_path: Path, form: str) -> None:
    both = built(tmp_path, LINE)
    places = {
        "folder": both.project.folder,
        "ini": both.project.ini,
        "config": both.project.config(),
        "text": str(both.project.folder),
    }
    AlembicMigrator(create_engine(both.ours.url), places[form]).migrate()
    both.project.alembic("upgrade", both.theirs.url, "head")
    both.same()


@pytest.mark.parametrize("form", ["folder", "ini", "config"])
def test_version_locations_of_the_ini(tmp_path: Path, form: str) -> None:
    """The folder finds its ini: one level up, where `alembic init` puts it."""
    history = History((Rev("a1"), Rev("b1", folder=1), Rev("a2", ("a1",), ("b1",))), ("one", "two"))
    both = Pair(tmp_path, history)
    places: dict[str, Any] = {
        "folder": both.project.folder,
        "ini": both.project.ini,
        "config": both.project.config(),
    }
    both.project.alembic("upgrade", both.theirs.url, "heads")
    AlembicMigrator(create_engine(both.ours.url), places[form]).migrate()
    both.same()


def test_a_revision_of_another_branch(tmp_path: Path) -> None:
    both = built(tmp_path, TREE)
    with pytest.raises(CommandError):
        both.project.alembic("upgrade", both.theirs.url, "left@beef0003")
    with pytest.raises(MigrationError):
        both.migrator().migrate_to_version("left@beef0003")
    assert not any(name.startswith("t_") for name in both.ours.tables())


def test_a_package_holds_the_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "packaged_history"
    package.mkdir()
    (package / "__init__.py").write_text("")
    both = built(package, LINE)
    monkeypatch.syspath_prepend(str(tmp_path))
    AlembicMigrator(create_engine(both.ours.url), "packaged_history:alembic").migrate()
    both.project.alembic("upgrade", both.theirs.url, "head")
    both.same()
