"""What `validate_migration_sequence` finds, and that `migrate` refuses to start with it."""

from __future__ import annotations

import pytest
from conftest import Folder, contents, failures
from sqlalchemy import Engine

from sqlmig import DatabaseTooNew, Migrator, ValidationFailed, VersionMismatch

HEAD = "from sqlmig import BaseMigration\n"
GOOD = "class A(BaseMigration):\n    version = 2\n    def up(self): pass\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x = = 1\n", ["002_bad.py:1", "SyntaxError"]),
        ("import nothing_like_this\n", ["002_bad.py:1", "nothing_like_this"]),
        ("x = 1\n", ["no class"]),
        (HEAD + GOOD + GOOD.replace("A(", "B("), ["2 migration classes", "A, B"]),
        (HEAD + GOOD.replace("= 2", "= 3"), ["version is 3", "file name says 2"]),
        (HEAD + GOOD.replace("= 2", "= '2'"), ["'2'", "str"]),
        (HEAD + GOOD.replace("= 2", "= 0"), ["versions begin with 1"]),
        (HEAD + GOOD.replace("= 2", "= -4"), ["versions begin with 1"]),
        (HEAD + GOOD.replace("    version = 2\n", ""), ["says no version", "version = 2"]),
        (HEAD + "class A(BaseMigration):\n    version = 2\n", ["no up()"]),
        (HEAD + GOOD + "    dependencies = [7]\n", ["version 7", "does not exist"]),
        (HEAD + GOOD + "    dependencies = [3]\n", ["version 3", "comes later"]),
        (HEAD + GOOD + "    dependencies = [2]\n", ["depends on itself"]),
        (HEAD + GOOD + "    dependencies = '1'\n", ["not a list of versions"]),
        (HEAD + GOOD + "    description = 7\n", ["not a text"]),
        (HEAD + GOOD + "    @property\n    def version(self): raise KeyError('x')\n", ["KeyError"]),
    ],
)
def test_a_bad_file_is_refused_before_anything_runs(
    migrator: Migrator, folder: Folder, engine: Engine, text: str, words: list[str]
) -> None:
    folder.table(1)
    migrator.migrate()
    before = contents(engine)
    folder.write("002_bad.py", text)
    folder.table(3)
    with pytest.raises(ValidationFailed) as caught:
        migrator.migrate()
    for word in words:
        assert word in str(caught.value)
    assert any(word in issue for issue in migrator.manager.validate_migration_sequence() for word in words)
    assert contents(engine) == before
    assert [(entry["version"], entry["operation"]) for entry in failures(migrator)] == [(2, "apply")]


def test_the_issue_carries_file_line_and_reason(migrator: Migrator, folder: Folder) -> None:
    path = folder.write("001_bad.py", HEAD + "\n\nraise LookupError('the reason')\n")
    (issue,) = migrator.manager.validate_migration_sequence()
    assert (issue.path, issue.line, issue.version, issue.kind) == (path, 4, 1, "import")
    assert "the reason" in issue


def test_duplicates_gaps_and_circles(migrator: Migrator, folder: Folder, engine: Engine) -> None:
    folder.table(1)
    folder.add(1, name="001_other.py")
    folder.add(4, extra="dependencies = [5]")
    folder.add(5, extra="dependencies = [4]")
    kinds = {issue.kind for issue in migrator.manager.validate_migration_sequence()}
    assert {"duplicate", "gap", "dependency"} <= kinds
    texts = "\n".join(migrator.manager.validate_migration_sequence())
    assert "circular dependencies: 4 -> 5 -> 4" in texts
    assert "2 to 3" in texts
    loose = Migrator(engine, folder.path, out_of_order="apply").manager.validate_migration_sequence()
    assert "gap" not in {issue.kind for issue in loose}


def test_formatting_is_no_edit_and_a_change_is(migrator: Migrator, folder: Folder) -> None:
    path = folder.table(1)
    migrator.migrate()
    path.write_text('"""Documented since."""\n# a comment\n' + path.read_text().replace("'step 1'", '("step 1")'))
    assert migrator.manager.validate_migration_sequence() == []
    path.write_text(path.read_text().replace('"row"', '"other"'))
    folder.table(2)
    with pytest.raises(ValidationFailed, match="edited after it was applied"):
        migrator.migrate()
    assert migrator.repair() == ["the edited file of migration 1 was accepted"]
    assert migrator.migrate().applied == [2]
    assert [e["operation"] for e in migrator.get_migration_history(2)] == ["apply", "repair"]


def test_an_applied_migration_whose_file_is_gone(migrator: Migrator, folder: Folder) -> None:
    path = folder.table(1)
    folder.table(2)
    migrator.migrate()
    path.unlink()
    folder.table(3)
    with pytest.raises(ValidationFailed, match="its file is gone"):
        migrator.migrate()


def test_an_old_program_does_not_touch_a_newer_database(migrator: Migrator, folder: Folder, engine: Engine) -> None:
    folder.table(1)
    newer = folder.table(2)
    migrator.migrate()
    newer.unlink()
    history = migrator.get_migration_history()
    for call in (migrator.migrate, lambda: migrator.migrate_to_version(1), lambda: migrator.rollback_to_version(0)):
        with pytest.raises(DatabaseTooNew, match=r"version 2, newer .* version 1"):
            call()
    assert migrator.get_migration_history() == history


def test_records_that_disagree_are_refused_and_repaired(migrator: Migrator, folder: Folder, engine: Engine) -> None:
    for version in (1, 2, 3):
        folder.table(version)
    migrator.migrate()
    with engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM migration_versions WHERE version = 3")
    with pytest.raises(VersionMismatch, match=r"version 2, but PRAGMA user_version says 3"):
        migrator.migrate()
    assert len(failures(migrator)) == 1
    assert "user_version" in migrator.validate_schema().issues[0]
    migrator.stamp(3)
    assert migrator.migrate().applied == []
    with engine.begin() as connection:
        connection.exec_driver_sql("PRAGMA user_version = 1")
    with pytest.raises(VersionMismatch):
        migrator.migrate()
    migrator.repair()
    assert migrator.get_migration_status().current_version == 3
    assert migrator.migrate()
