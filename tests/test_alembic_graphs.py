"""Histories of any shape: what sqlmig makes of them is what Alembic makes of them."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from alembic_histories import History, above, extended, histories
from alembic_pairs import Pair, pair
from alembic_projects import Database, Project, Rev, env
from effort import EFFORT
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine

from alembic_compat import AlembicMigrator, command

EXAMPLES = 5 * EFFORT
# The smallest that fails is looked for when there is time.
PHASES = [one for one in Phase if EFFORT > 1 or one not in (Phase.shrink, Phase.explain)]
graphs = settings(
    max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True, phases=PHASES
)


def in_order(revisions: tuple[Rev, ...] | list[Rev], versions: dict[str, int]) -> bool:
    """Whether every revision comes after what it needs."""
    labelled = {label: one.name for one in revisions for label in one.labels}
    return all(
        versions[labelled.get(needed, needed)] < versions[one.name]
        for one in revisions
        for needed in (*one.down, *one.depends)
    )


@graphs
@given(histories())
def test_an_empty_database_to_its_heads(history: History) -> None:
    with pair(history) as both:
        both.alembic("upgrade", "heads")
        migrator, count = both.migrator(), len(history.revisions)
        plan = migrator.get_migration_plan()
        assert [step.version for step in plan.migrations_to_apply] == list(range(1, count + 1))
        assert migrator.needs_migration()
        assert both.ours.tables() == set()
        assert migrator.migrate().applied == list(range(1, count + 1))
        both.same()
        recorded = both.ours.recorded()
        assert sorted(recorded.values()) == list(range(1, count + 1))
        assert in_order(history.revisions, recorded)
        entries = migrator.get_migration_history()[::-1]
        assert [(entry["version"], entry["operation"]) for entry in entries] == [
            (version, "apply") for version in range(1, count + 1)
        ]
        status = both.migrator().get_migration_status()
        assert status.applied_versions == status.available_versions == list(range(1, count + 1))
        assert not status.validation_issues
        assert not both.migrator().needs_migration()
        assert not both.migrator().migrate().applied


@graphs
@given(histories(), st.data())
def test_names_one_after_the_other(history: History, data: st.DataObject) -> None:
    """A name that is not applied is upgraded to; what descends from one that is, is rolled back."""
    names = [one.name for one in history.revisions]
    with pair(history) as both:
        for _ in range(3):
            name = data.draw(st.sampled_from(names))
            down = name in both.applied(both.theirs)
            if not both.alembic("downgrade" if down else "upgrade", name, assumed=False):
                continue
            both.migrator().migrate_to_version(name)
            both.same()


@graphs
@given(histories(), st.data())
def test_rolling_back_to_a_name(history: History, data: st.DataObject) -> None:
    names = ["base", *(one.name for one in history.revisions)]
    with pair(history) as both:
        both.alembic("upgrade", "heads")
        both.migrator().migrate()
        for _ in range(3):
            name = data.draw(st.sampled_from(names))
            if name != "base" and name not in both.applied(both.theirs):
                continue
            if not both.alembic("downgrade", name, assumed=False):
                continue
            both.migrator().rollback_to_version(name)
            both.same()
            status = both.migrator().get_migration_status()
            assert len(status.applied_versions) == len(both.applied(both.ours))
            assert len(status.pending_versions) == len(history.revisions) - len(status.applied_versions)
        # Whatever was rolled back, the rest of the way up is the same.
        both.alembic("upgrade", "heads")
        both.migrator().migrate()
        both.same()


TOOLS = ("alembic", "command", "migrator")
KINDS = ("upgrade", "upgrade", "heads", "+1", "downgrade", "base", "-1", "stamp")


def drawn(data: st.DataObject, history: History) -> tuple[str, str]:
    """A command and its target."""
    kind = data.draw(st.sampled_from(KINDS))
    if kind in ("heads", "+1"):
        return "upgrade", kind
    if kind in ("base", "-1"):
        return "downgrade", kind
    names = [*(one.name for one in history.revisions), *(label for one in history.revisions for label in one.labels)]
    return kind, data.draw(st.sampled_from(names))


def do(both: Pair, tool: str, name: str, target: str) -> None:
    """The same on `ours`, with one of the tools."""
    if tool == "alembic":
        both.project.alembic(name, both.ours.url, target)
    elif tool == "command":
        getattr(command, name)(both.project.config(both.ours.url), target)
    elif name == "stamp":
        both.migrator().stamp(target)
    elif name == "downgrade":
        both.migrator().rollback_to_version(target)
    else:
        both.migrator().migrate_to_version(target)


@graphs
@given(histories(), st.data())
def test_both_tools_in_turn(history: History, data: st.DataObject) -> None:
    with pair(history) as both:
        for _ in range(6):
            name, target = drawn(data, history)
            tool = data.draw(st.sampled_from(TOOLS))
            known = {one.name: one.name for one in history.revisions} | {
                label: one.name for one in history.revisions for label in one.labels
            }
            if name == "upgrade" and tool == "migrator" and known.get(target) in both.applied(both.theirs):
                # Said to migrate_to_version(), this would roll back.
                tool = "command"
            if not both.alembic(name, target, assumed=False):
                continue
            do(both, tool, name, target)
            both.same()


@graphs
@given(histories(), st.data())
def test_a_database_at_any_heads_of_alembic_is_adopted(history: History, data: st.DataObject) -> None:
    targets = data.draw(st.lists(st.sampled_from([one.name for one in history.revisions]), min_size=1, max_size=3))
    with pair(history) as both:
        for target in targets:
            both.alembic("upgrade", target)
            both.project.alembic("upgrade", both.ours.url, target)
        applied = both.applied(both.theirs)
        assert applied == above(history.revisions, targets)
        before = both.ours.catalogue()
        status = both.migrator().get_migration_status()
        assert both.ours.catalogue() == before
        assert not both.ours.recorded()
        both.alembic("upgrade", "heads")
        result = both.migrator().migrate()
        both.same()
        versions = both.ours.recorded()
        assert status.applied_versions == sorted(versions[name] for name in applied)
        assert result.applied == sorted(version for name, version in versions.items() if name not in applied)
        told = [(entry["operation"], entry["version"]) for entry in both.migrator().get_migration_history()]
        assert sorted(told) == sorted(
            ("adopt" if name in applied else "apply", version) for name, version in versions.items()
        )


@graphs
@given(histories(), st.data())
def test_what_alembic_did_meanwhile(history: History, data: st.DataObject) -> None:
    """Applied is what Alembic's table says, also where sqlmig has records of its own."""
    names = ["base", *(one.name for one in history.revisions)]
    with pair(history) as both:
        both.alembic("upgrade", "heads")
        both.migrator().migrate()
        versions = both.ours.recorded()
        target = data.draw(st.sampled_from(names))
        assume(both.alembic("downgrade", target, assumed=False))
        both.project.alembic("downgrade", both.ours.url, target)
        applied = both.applied(both.theirs)
        status = both.migrator().get_migration_status()
        assert status.applied_versions == sorted(versions[name] for name in applied)
        assert both.migrator().needs_migration() == (len(applied) < len(history.revisions))
        both.alembic("upgrade", "heads")
        both.migrator().migrate()
        both.same()
        assert both.ours.recorded() == versions


@graphs
@given(histories(), st.data())
def test_versions_stay_when_revisions_are_added_at_the_ends(history: History, data: st.DataObject) -> None:
    added = data.draw(extended(history))
    with pair(history) as both:
        both.alembic("upgrade", "heads")
        both.migrator().migrate()
        before = both.ours.recorded()
        both.project.add(*added)
        both.alembic("upgrade", "heads")
        result = both.migrator().migrate()
        both.same()
        after = both.ours.recorded()
        if history.dates != "none":
            # What is at the end cannot be told from a graph of several heads alone.
            assert {name: after[name] for name in before} == before
        assert result.applied == sorted(after[one.name] for one in added)
        assert in_order(both.project.revisions, after)
        assert both.migrator().get_migration_status().applied_versions == list(range(1, len(after) + 1))


@graphs
@given(histories(), st.data())
def test_versions_are_the_same_in_a_new_database(history: History, data: st.DataObject) -> None:
    """The order is one of the files, and not of what a database has gone through."""
    assume(history.dates != "none")
    added = data.draw(extended(history))
    with pair(history) as both, TemporaryDirectory() as folder:
        both.alembic("upgrade", "heads")
        both.migrator().migrate()
        both.project.add(*added)
        both.alembic("upgrade", "heads")
        both.migrator().migrate()
        new = Database(Path(folder) / "new.db")
        AlembicMigrator(new.url, both.project.config()).migrate()
        assert new.recorded() == both.ours.recorded()
        assert new.catalogue() == both.theirs.catalogue()


@graphs
@given(histories(plain=True), st.integers(1, 3))
def test_versions_of_a_line_stay(history: History, more: int) -> None:
    with pair(history) as both:
        both.migrator().migrate()
        before, last = both.ours.recorded(), history.revisions[-1].name
        assert list(before.values()) == list(range(1, len(before) + 1))
        for number in range(more):
            both.project.add(Rev(f"00new{number}", (last,)))
            last = f"00new{number}"
            assert both.migrator().migrate().applied == [len(before) + number + 1]
        assert {name: both.ours.recorded()[name] for name in before} == before


@graphs
@given(histories(most=6), st.data())
def test_numbers_are_the_first_of_the_order(history: History, data: st.DataObject) -> None:
    """A number means all of 1..N, up and down."""
    with pair(history) as both:
        both.alembic("upgrade", "heads")
        both.migrator().migrate()
        versions = both.ours.recorded()
        for _ in range(3):
            number = data.draw(st.integers(0, len(versions)))
            both.migrator().migrate_to_version(number)
            wanted = {name for name, version in versions.items() if version <= number}
            assert both.applied(both.ours) == wanted
            assert {one.name for one in history.revisions if one.table in both.ours.tables()} == wanted


@graphs
@given(histories(most=5), histories(most=5))
def test_two_histories_in_one_database(first: History, second: History) -> None:
    with TemporaryDirectory() as folder:
        root = Path(folder)
        ours, theirs = Database(root / "ours.db"), Database(root / "theirs.db")
        projects = []
        for number, history in enumerate((first, second)):
            table, prefix = f"heads_{number}", f"p{number}"
            project = Project(root / prefix, env(f"version_table={table!r}"), locations=history.locations)
            for one in history.revisions:
                body = f'op.execute("CREATE TABLE {prefix}_{one.table} (n TEXT)")'
                back = f'op.execute("DROP TABLE {prefix}_{one.table}")'
                project.add(Rev(**{**vars(one), "up": body, "back": back, "file": f"{one.name}_x".replace("%", "_")}))
            projects.append(project)
        migrators = [
            AlembicMigrator(
                create_engine(ours.url), project.config(), versions_table=f"versions_{n}", history_table=f"history_{n}"
            )
            for n, project in enumerate(projects)
        ]
        try:
            for project in projects:
                project.alembic("upgrade", theirs.url, "heads")
        except KeyError:
            assume(False)
        for migrator in migrators:
            migrator.migrate()
        assert _plain(ours) == _plain(theirs)
        projects[0].alembic("downgrade", theirs.url, "base")
        migrators[0].rollback_to_version("base")
        assert _plain(ours) == _plain(theirs)
        assert not migrators[1].needs_migration()


_OURS = ("versions_", "hist", "ix_versions_")


def _plain(database: Database) -> dict[str, Any]:
    found = database.catalogue()
    return {
        name: entry
        for name, entry in found.items()
        if not name.split(" ", 1)[1].startswith(("versions_", "hist", "ix_versions_"))
    }


def test_two_histories_with_the_names_of_sqlmig_as_they_are(tmp_path: Path) -> None:
    database, tables = Database(tmp_path / "app.db"), []
    for name in ("core", "plugin"):
        project = Project(tmp_path / name, env(f"version_table='{name}_version'"))
        project.add(Rev(f"{name}1"), Rev(f"{name}2", (f"{name}1",)))
        migrator = AlembicMigrator(create_engine(database.url), project.config())
        migrator.migrate()
        assert not migrator.needs_migration()
        tables += [f"t_{name}1", f"t_{name}2"]
    assert set(tables) <= database.tables()
    assert database.heads("core_version") == ["core2"]
    assert database.heads("plugin_version") == ["plugin2"]


def test_a_parent_below_a_dependency_of_the_same_revision(tmp_path: Path) -> None:
    """On the way down Alembic leaves two heads of which one is below the other; each step here leaves true ones."""
    graph = (
        *(Rev("a1"), Rev("x1", down=("a1",)), Rev("b1"), Rev("b2", down=("b1",), depends=("a1",))),
        Rev("c1", down=("a1", "b1"), depends=("b2",)),
    )
    project, database = Project(tmp_path, env()).add(*graph), Database(tmp_path / "app.db")
    migrator = AlembicMigrator(create_engine(database.url), project.config())
    migrator.migrate()
    assert database.heads() == ["c1", "x1"]
    assert migrator.rollback_to_version(4).rolled_back == [5]
    assert database.heads() == ["b2", "x1"]
    migrator.migrate()
    migrator.rollback_to_version("base")
    assert database.heads() == []
    migrator.migrate()
    project.alembic("current", database.url)
    assert database.heads() == ["c1", "x1"]
