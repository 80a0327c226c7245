"""A database that Alembic brought anywhere goes on with the files that were imported from the history."""

from __future__ import annotations

import itertools
import json
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from alembic_project import AlembicProject, catalogue
from conftest import Folder, failures
from places import at_once
from sqlalchemy import Engine, create_engine, event, text

from alembic_compat import AlembicMigrator
from alembic_compat.import_history import import_history
from sqlmig import ConfigurationError, MigrationFailed, Migrator, UnknownRevision, VersionTracker

# r1 - r2 - r4 - r6 (a merge of both)
#    \ r3 - r5 /       and x1 by itself, on which r5 depends.
SHAPE: dict[str, tuple[Any, Any]] = {
    "r1": (None, None),
    "x1": (None, None),
    "r2": ("r1", None),
    "r3": ("r1", None),
    "r4": ("r2", None),
    "r5": ("r3", "x1"),
    "r6": (("r4", "r5"), None),
}


@pytest.fixture
def project(tmp_path: Path) -> AlembicProject:
    project = AlembicProject(tmp_path / "alembic")
    for revision, (down, depends_on) in SHAPE.items():
        project.table(revision, down, depends_on=depends_on)
    return project


@pytest.fixture
def imported(project: AlembicProject, tmp_path: Path) -> Path:
    import_history(project.path, tmp_path / "native")
    return tmp_path / "native"


@pytest.fixture
def native(imported: Path, engine: Engine) -> Migrator:
    return Migrator(engine, imported)


def revisions(migrator: Migrator) -> dict[int, str]:
    """The revision of each version."""
    files = migrator.manager.discover_migrations().values()
    return {v: str(m.revision) for v, m in migrator.manager.load_what_loads(files).items()}


def needs(*heads: str) -> set[str]:
    """What Alembic has applied at these heads."""
    found, ahead = set(), list(heads)
    while ahead:
        revision = ahead.pop()
        down, depends_on = SHAPE[revision]
        found.add(revision)
        ahead += [*([down] if isinstance(down, str) else down or ()), *([depends_on] if depends_on else ())]
    return found


@pytest.mark.parametrize(
    "heads",
    [(r,) for r in SHAPE] + [("r2", "r3"), ("r2", "x1"), ("r4", "r3"), ("r4", "r5"), ("r3", "x1")],
    ids="-".join,
)
def test_it_goes_on_from_every_set_of_heads(
    heads: tuple[str, ...], project: AlembicProject, native: Migrator, url: str, tmp_path: Path
) -> None:
    for head in heads:
        project.upgrade(url, head)
    names = revisions(native)
    # Read-only, it is told the same before anything is written.
    status = native.get_migration_status()
    assert {names[v] for v in status.applied_versions} == needs(*heads)
    assert status.validation_issues == []
    assert native.get_current_version() == status.current_version == max(status.applied_versions)
    planned = [step.version for step in native.get_migration_plan().migrations_to_apply]
    assert planned == status.pending_versions == sorted(set(names) - set(status.applied_versions))
    assert native.needs_migration() == bool(planned)
    assert not any(name.startswith("migration_") for name in tables(url))

    assert native.migrate().applied == planned
    entries = native.get_migration_history()[::-1]
    assert [entry["operation"] for entry in entries] == ["adopt"] + ["apply"] * len(planned)
    assert entries[0]["metadata"]["versions"] == status.applied_versions
    assert native.get_migration_status().applied_versions == sorted(names)
    assert native.migrate().applied == []
    assert pragma(url) == len(names)
    project.upgrade(f"sqlite:///{tmp_path / 'other.db'}")
    assert catalogue(url) == catalogue(f"sqlite:///{tmp_path / 'other.db'}")


def tables(url: str) -> list[str]:
    with create_engine(url).connect() as connection:
        return [row[0] for row in connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'table'")]


def pragma(url: str) -> int:
    with create_engine(url).connect() as connection:
        return int(connection.exec_driver_sql("PRAGMA user_version").scalar() or 0)


def test_what_it_took_over_can_be_rolled_back(project: AlembicProject, native: Migrator, url: str) -> None:
    project.upgrade(url, "r4")
    applied = native.get_migration_status().applied_versions
    assert native.rollback_to_version(0).rolled_back == applied[::-1]
    assert catalogue(url) == {}
    # Alembic's table still says r4; the word is sqlmig's now.
    assert native.get_current_version() == 0
    assert native.migrate().applied == sorted(revisions(native))


def test_alembic_migrator_leaves_what_was_taken_over_alone(
    project: AlembicProject, native: Migrator, url: str, engine: Engine
) -> None:
    """An older release that still boots with it would run again what the migrations have applied since."""
    project.upgrade(url, "r2")
    native.migrate()
    before = catalogue(url)
    with pytest.raises(ConfigurationError, match="took it over at r2") as caught:
        AlembicMigrator(engine, project.path).migrate()
    assert "Migrator(engine, folder)" in str(caught.value)
    assert catalogue(url) == before
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE migration_versions")
        connection.exec_driver_sql("DROP TABLE migration_history")
    with pytest.raises(MigrationFailed):
        # Now it is Alembic's word that counts, which was not set right.
        AlembicMigrator(engine, project.path).migrate()


def test_a_version_that_alembic_left_out_cannot_be_gone_back_to(
    project: AlembicProject, native: Migrator, url: str
) -> None:
    project.upgrade(url, "r4")
    status = native.get_migration_status()
    skipped = next(v for v in status.pending_versions if v < status.current_version)
    before = catalogue(url)
    with pytest.raises(Exception, match="never applied"):
        native.rollback_to_version(skipped)
    assert catalogue(url) == before


def test_a_failure_on_the_way_leaves_the_others_for_the_next_call(
    project: AlembicProject, imported: Path, native: Migrator, url: str, engine: Engine
) -> None:
    """Then the records are sqlmig's, and still there is no order that they are out of."""
    project.upgrade(url, "r4")
    late = min(native.get_migration_status().pending_versions)
    with engine.begin() as connection:
        connection.execute(text(f"CREATE TABLE {revisions(native)[late]} (in_the_way INTEGER)"))
    with pytest.raises(MigrationFailed):
        native.migrate()
    status = native.get_migration_status()
    assert status.validation_issues == []
    assert late in status.pending_versions
    with engine.begin() as connection:
        connection.execute(text(f"DROP TABLE {revisions(native)[late]}"))
    assert late in native.migrate().applied
    assert [entry["operation"] for entry in native.get_migration_history()].count("adopt") == 1


def test_migrations_of_ones_own_come_after_the_imported_ones(
    project: AlembicProject, imported: Path, engine: Engine, url: str
) -> None:
    project.upgrade(url, "r2")
    Folder(imported).table(len(SHAPE) + 1)
    native = Migrator(engine, imported)
    assert native.migrate().applied[-1] == len(SHAPE) + 1
    assert native.migrate().applied == []
    # One of one's own that comes late is refused as ever.
    Folder(imported).table(len(SHAPE) + 3)
    Folder(imported).table(len(SHAPE) + 2)
    (imported / f"{len(SHAPE) + 2:03}_step_{len(SHAPE) + 2}.py").rename(imported / "later")
    with pytest.raises(Exception, match="no file has version"):
        Migrator(engine, imported).migrate()


@pytest.mark.parametrize("all_or_nothing", [False, True])
def test_unknown_heads_change_nothing(
    all_or_nothing: bool, project: AlembicProject, native: Migrator, url: str, engine: Engine, tmp_path: Path
) -> None:
    project.table("r7", "r6")
    project.upgrade(url, "r7")
    before = (tmp_path / "app.db").read_bytes()
    with pytest.raises(UnknownRevision, match="revision r7, which no migration carries") as caught:
        native.migrate(all_or_nothing=all_or_nothing)
    assert caught.value.found == ["r7"]
    assert "sqlmig stamp N" in str(caught.value)
    with pytest.raises(UnknownRevision):
        native.rollback_to_version(1)
    with pytest.raises(UnknownRevision):
        native.migrate_to_version(3)
    status = native.get_migration_status()
    assert [issue.kind for issue in status.validation_issues] == ["revision"]
    assert "r7" in status.validation_issues[0]
    assert native.get_migration_plan().validation_issues != []
    assert native.needs_migration()
    assert (tmp_path / "app.db").read_bytes() == before
    # The way out for who knows what it has.
    native.stamp(len(SHAPE))
    assert native.migrate().applied == []


def test_boots_at_one_moment_take_over_once(
    project: AlembicProject, imported: Path, native: Migrator, url: str
) -> None:
    project.upgrade(url, "r4")
    assert at_once(6, lambda: Migrator(create_engine(url), imported).migrate()) == [0] * 6
    operations = [entry["operation"] for entry in native.get_migration_history()]
    assert operations.count("adopt") == 1
    assert operations.count("apply") == len(SHAPE) - len(needs("r4"))


def alembic_migrators_records(url: str, numbers: dict[str, int]) -> None:
    """What AlembicMigrator leaves: a row for each revision, numbered in its own order, and no user_version."""
    tracker = VersionTracker(url)
    with create_engine(url).begin() as connection:
        tracker.prepare(connection)
        for revision, number in numbers.items():
            facts = {"file": f"{revision}.py", "revision": revision}
            row = {"version": number, "description": revision, "checksum": "alembic's", "metadata": facts}
            tracker.record(connection, row, "applied")
            tracker.log(connection, number, revision, "apply")


def test_records_of_alembic_migrator_are_replaced(
    project: AlembicProject, native: Migrator, url: str, tmp_path: Path
) -> None:
    """Its numbers are another order's; the revisions count."""
    project.upgrade(url, "r4")
    alembic_migrators_records(url, {"r1": 3, "r2": 5, "r4": 6})
    status = native.get_migration_status()
    assert {revisions(native)[v] for v in status.applied_versions} == needs("r4")
    assert status.validation_issues == []
    assert len(native.migrate().applied) == len(SHAPE) - 3
    assert native.migrate().applied == []
    assert pragma(url) == len(SHAPE)
    assert [e["operation"] for e in native.get_migration_history()].count("adopt") == 1
    project.upgrade(f"sqlite:///{tmp_path / 'other.db'}")
    assert catalogue(url) == catalogue(f"sqlite:///{tmp_path / 'other.db'}")
    assert native.get_migration_status().applied_versions == list(range(1, len(SHAPE) + 1))


@pytest.mark.parametrize("gone", ["rows", "table"])
def test_records_of_alembic_migrator_without_heads(
    gone: str, project: AlembicProject, native: Migrator, url: str, engine: Engine
) -> None:
    """Alembic went back to the base, which counts; or its table was dropped, and the records are all there is."""
    project.upgrade(url, "r2")
    alembic_migrators_records(url, {"r1": 1, "r2": 2})
    if gone == "rows":
        project.downgrade(url, "base")
    else:
        with engine.begin() as connection:
            connection.execute(text("DROP TABLE alembic_version"))
    expected = set() if gone == "rows" else {"r1", "r2"}
    assert {revisions(native)[v] for v in native.get_migration_status().applied_versions} == expected
    assert len(native.migrate().applied) == len(SHAPE) - len(expected)
    assert native.migrate().applied == []


def test_stamp_takes_the_place_of_alembic_migrators_records(
    project: AlembicProject, native: Migrator, url: str
) -> None:
    project.upgrade(url, "heads")
    alembic_migrators_records(url, {name: number for number, name in enumerate(SHAPE, 1)})
    native.stamp(2)
    assert native.get_migration_status().applied_versions == [1, 2]
    native.stamp(len(SHAPE))
    assert native.migrate().applied == []


def test_a_version_table_of_another_name(tmp_path: Path, url: str, engine: Engine) -> None:
    project = AlembicProject(tmp_path / "alembic", version_table="revisions of mine")
    project.table("r1", None)
    project.table("r2", "r1")
    import_history(project.path, tmp_path / "native", version_table="revisions of mine")
    native = Migrator(engine, tmp_path / "native")
    project.upgrade(url, "r1")
    assert native.migrate().applied == [2]
    assert native.get_migration_history()[-1]["description"] == "adopted at version 1, as revisions of mine says"


def test_alembics_word_counts_for_more_than_user_version(
    project: AlembicProject, native: Migrator, url: str, engine: Engine
) -> None:
    project.upgrade(url, "r1")
    with engine.begin() as connection:
        connection.execute(text("PRAGMA user_version = 4"))
    assert {revisions(native)[v] for v in native.get_migration_status().applied_versions} == {"r1"}
    assert len(native.migrate().applied) == len(SHAPE) - 1


def test_files_without_revisions_are_as_before(
    project: AlembicProject, folder: Folder, migrator: Migrator, url: str
) -> None:
    project.upgrade(url, "r1")
    folder.table(1, extra="revision = 7  # of something else")
    assert migrator.get_current_version() == 0
    assert migrator.migrate().applied == [1]


def test_a_rollback_to_nothing_is_not_taken_over_again(project: AlembicProject, native: Migrator, url: str) -> None:
    project.upgrade(url, "heads")
    native.rollback_to_version(0)
    assert native.get_migration_status().applied_versions == []
    assert failures(native) == []


def test_a_boot_at_head_asks_nothing_more(
    project: AlembicProject, imported: Path, native: Migrator, url: str, engine: Engine
) -> None:
    project.upgrade(url, "r4")
    native.migrate()
    statements: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *a: statements.append(a[2]))
    traced: list[str] = []
    raw: Any = engine.raw_connection()
    raw.driver_connection.set_trace_callback(traced.append)
    raw.close()
    fresh = Migrator(engine, imported)
    assert fresh.migrate().applied == []
    assert statements == []
    assert len([s for s in traced if s.startswith("SELECT")]) == 1
    assert fresh._manager is None


def test_a_joined_connection_takes_over_in_its_transaction(
    project: AlembicProject, imported: Path, url: str, engine: Engine
) -> None:
    project.upgrade(url, "r2")
    with engine.connect() as connection:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        assert len(Migrator(connection, imported).migrate().applied) == len(SHAPE) - 2
        connection.rollback()
    assert "migration_versions" not in tables(url)


@pytest.mark.thorough
def test_every_interruption_of_the_takeover_leaves_a_database_that_goes_on(
    project: AlembicProject, imported: Path, url: str, tmp_path: Path
) -> None:
    """The process dies at one statement or another; the next boot goes on from whatever there is."""
    project.upgrade(url, "r2")
    start = (tmp_path / "app.db").read_bytes()
    whole = None
    for statement in itertools.count():
        path = tmp_path / f"killed{statement}.db"
        path.write_bytes(start)
        died = dies_at(f"sqlite:///{path}", imported, statement * 29)
        native = Migrator(f"sqlite:///{path}", imported)
        native.migrate()
        assert [e["operation"] for e in native.get_migration_history()].count("adopt") == 1
        found = catalogue(f"sqlite:///{path}")
        whole = whole or found
        assert found == whole
        if not died:
            break


DIES = """
import itertools, os, sys
from sqlalchemy import create_engine, event
from sqlmig import Migrator
url, folder, last = sys.argv[1:]
engine, count = create_engine(url), itertools.count()
event.listen(engine, "before_cursor_execute", lambda *_: next(count) == int(last) and os._exit(9))
raw = engine.raw_connection()
raw.driver_connection.set_trace_callback(lambda _: next(count) == int(last) and os._exit(9))
raw.close()
Migrator(engine, folder).migrate()
"""


def dies_at(url: str, folder: Path, statement: int) -> bool:
    """Whether migrate() came to that statement; then its process was ended there."""
    ran = subprocess.run([sys.executable, "-c", DIES, url, str(folder), str(statement)], check=False)
    assert ran.returncode in (0, 9)
    return ran.returncode == 9


def test_the_records_say_nothing_of_revisions(project: AlembicProject, native: Migrator, url: str) -> None:
    """Else they would be taken for AlembicMigrator's."""
    project.upgrade(url, "r2")
    native.migrate()
    with sqlite3.connect(url.removeprefix("sqlite:///")) as raw:
        stored = [json.loads(row[0]) for row in raw.execute("SELECT metadata FROM migration_versions")]
    assert not any("revision" in facts for facts in stored)
