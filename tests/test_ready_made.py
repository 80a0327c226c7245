"""The ready-made tests find what is wrong with migrations, each by the test that is for it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from plugin_support import Application, Ran

from sqlmig import Migrator
from sqlmig.testing import Checks, Databases, Fault

# Parents with children that go with them, and an index: what faults are planted into.
_PEOPLE = """
CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT NOT NULL, nick TEXT)
CREATE TABLE notes (id INTEGER PRIMARY KEY, person INTEGER NOT NULL REFERENCES people ON DELETE CASCADE, body TEXT)
"""
_NO_PEOPLE = "DROP TABLE notes\nDROP TABLE people"
_INDEX = "CREATE INDEX ix_people_name ON people (name)"
_KEYS_ON = """
import pytest
from sqlalchemy import create_engine, event


@pytest.fixture(scope="session")
def sqlmig_create_engine():
    def make(url, **options):
        engine = create_engine(url, **options)
        event.listen(engine, "connect", lambda raw, _: raw.execute("PRAGMA foreign_keys = ON"))
        return engine

    return make
"""
_REBUILD = """
CREATE TABLE new (id INTEGER PRIMARY KEY, name TEXT NOT NULL, nick TEXT, UNIQUE (id, name))
INSERT INTO new SELECT id, name, nick FROM people
DROP TABLE people
ALTER TABLE new RENAME TO people
"""


@pytest.fixture
def application(tmp_path: Path) -> Application:
    """One with three migrations with which nothing is wrong."""
    found = Application(tmp_path / "application")
    found.write("tests/conftest.py", _KEYS_ON)
    found.write("tests/test_own.py", "def test_own(migrated_engine): pass")
    found.add(1, _PEOPLE, _NO_PEOPLE)
    found.add(2, _INDEX, "DROP INDEX ix_people_name")
    found.add(3, "ALTER TABLE people ADD COLUMN age INTEGER", "ALTER TABLE people DROP COLUMN age")
    return found


def checks(application: Application) -> Checks:
    """The same without a process of pytest's."""
    return Checks(Databases(application.versions, folder=application.path / "kept"))


def faults(ran: Ran) -> set[str]:
    """The ready-made tests that failed, by their names and versions."""
    assert not ran.of("error"), ran.output
    return {name.removeprefix("sqlmig::") for name in ran.of("failure")}


def test_nothing_is_wrong_with_good_migrations(application: Application) -> None:
    ran = application.run("--sqlmig")
    assert ran.code == 0, ran.output
    tests = ("sequence_is_valid", "up_down_up", "keeps_rows", "gives_rows_back")
    wanted = {f"sqlmig::{test}[{version:03}]" for test in tests for version in (1, 2, 3)}
    assert ran.of("passed") == wanted | {"tests.test_own::test_own"}


def test_a_gap(application: Application) -> None:
    application.add(5, "CREATE TABLE late (id INTEGER PRIMARY KEY)", "DROP TABLE late")
    ran = application.run("--sqlmig")
    assert ran.of("failure") == {"sqlmig::sequence_is_valid[005]"}
    # The application's own tests have no database then.
    assert ran.of("error") == {"tests.test_own::test_own"}
    message = ran.messages["sqlmig::sequence_is_valid[005]"]
    assert "no file has version 4, though there is a version 5" in message
    assert "Renumber the files" in message
    # Whoever else cannot be tried says where to look.
    assert "see sequence_is_valid[005]" in ran.messages["sqlmig::up_down_up[001]"]


def test_a_duplicate_version(application: Application) -> None:
    application.add(2, "CREATE TABLE twice (id INTEGER PRIMARY KEY)", "DROP TABLE twice", name="twice")
    ran = application.run("--sqlmig", "-k", "not test_own")
    assert faults(ran) == {"sequence_is_valid[002]"}
    assert "version 2 is taken by 2 files: 002_step.py, 002_twice.py" in ran.messages["sqlmig::sequence_is_valid[002]"]


def test_a_dependency_on_a_later_version(application: Application) -> None:
    application.add(2, _INDEX, "DROP INDEX ix_people_name", extra="dependencies = [3]")
    ran = application.run("--sqlmig", "-k", "not test_own")
    assert faults(ran) == {"sequence_is_valid[002]"}
    assert "depends on version 3, which comes later" in ran.messages["sqlmig::sequence_is_valid[002]"]
    # What is below it can be tried.
    assert ran.outcomes["sqlmig::up_down_up[001]"] == "passed"


def test_a_down_that_raises(application: Application) -> None:
    application.add(2, _INDEX, "DROP INDEX people_names")
    ran = application.run("--sqlmig", "-k", "not test_own")
    assert faults(ran) == {"up_down_up[002]"}
    message = ran.messages["sqlmig::up_down_up[002]"]
    assert "no such index: people_names" in message
    assert "Mend its down(); or say that there is no way back: rollback_supported = False" in message


def test_a_down_that_leaves_an_index(application: Application) -> None:
    application.add(3, "ALTER TABLE people ADD COLUMN age INTEGER\nCREATE INDEX notes_body ON notes (body)",
                    "ALTER TABLE people DROP COLUMN age")  # fmt: skip
    ran = application.run("--sqlmig", "-k", "not test_own")
    assert faults(ran) == {"up_down_up[003]"}
    message = ran.messages["sqlmig::up_down_up[003]"]
    assert "+ index notes_body" in message
    assert "Have its down() undo that" in message


def test_a_down_after_which_up_does_something_else(application: Application) -> None:
    application.add(
        3,
        "CREATE TABLE IF NOT EXISTS log (id INTEGER PRIMARY KEY)\nALTER TABLE log ADD COLUMN line TEXT",
        "ALTER TABLE log RENAME COLUMN line TO row\nDROP TABLE IF EXISTS logs",
    )
    ran = application.run("--sqlmig", "-k", "up_down_up")
    assert faults(ran) == {"up_down_up[003]"}
    message = ran.messages["sqlmig::up_down_up[003]"]
    assert "+ table log" in message
    assert "applied again after its rollback, it leaves another schema" in message


def test_a_lossy_down(application: Application) -> None:
    """The schema is restored exactly, and the nicks are gone."""
    application.add(
        3,
        "ALTER TABLE people RENAME COLUMN nick TO alias",
        "ALTER TABLE people DROP COLUMN alias\nALTER TABLE people ADD COLUMN nick TEXT",
    )
    ran = application.run("--sqlmig", "-k", "not test_own")
    assert faults(ran) == {"gives_rows_back[003]"}
    message = ran.messages["sqlmig::gives_rows_back[003]"]
    assert "would, rolled back, drop people.alias (2 values)" in message
    assert "removes = " in message


def test_a_down_that_deletes_rows_itself(application: Application) -> None:
    """Which the guard takes for its own affair."""
    application.add(
        3,
        "ALTER TABLE people ADD COLUMN age INTEGER",
        "ALTER TABLE people DROP COLUMN age\nDELETE FROM notes WHERE body IS NOT NULL",
    )
    ran = application.run("--sqlmig", "-k", "not test_own")
    assert faults(ran) == {"gives_rows_back[003]"}
    message = ran.messages["sqlmig::gives_rows_back[003]"]
    assert "notes: 3 rows before, 1 after" in message
    assert "rollback_supported = False" in message


def test_a_down_that_works_on_an_empty_table_only(application: Application) -> None:
    application.add(4, "CREATE TABLE codes (id INTEGER PRIMARY KEY, code TEXT NOT NULL)", "DROP TABLE codes")
    back = "ALTER TABLE codes ADD COLUMN code TEXT NOT NULL"
    application.add(5, "ALTER TABLE codes DROP COLUMN code", back, extra="removes = ['codes.code']")
    ran = application.run("--sqlmig", "-k", "not test_own")
    assert faults(ran) == {"gives_rows_back[005]"}
    message = ran.messages["sqlmig::gives_rows_back[005]"]
    assert "is rolled back on an empty database only: it fails on sample rows" in message
    assert "Cannot add a NOT NULL column" in message


def test_a_fault_of_python_s_is_told_with_its_line(application: Application) -> None:
    """A KeyError says nothing by itself; the application's lines are enough, and those of sqlmig are too many."""
    application.add(4, "pass", "raise KeyError('y')")
    ran = application.run("--sqlmig", "-k", "up_down_up")
    assert faults(ran) == {"up_down_up[004]"}
    message = ran.messages["sqlmig::up_down_up[004]"]
    assert "migrations/versions/004_step.py:9: in down\n    raise KeyError('y')" in message
    assert "sqlmig/run.py:" not in message.replace("sqlmig.runner:run.py:", "")


def test_a_migration_that_its_own_checks_skip(application: Application) -> None:
    application.add(
        4, "CREATE TABLE never (id INTEGER PRIMARY KEY)", extra="def pre_migrate_checks(self): return False"
    )
    ran = application.run("--sqlmig", "-k", "up_down_up")
    assert not faults(ran)
    assert ran.messages["sqlmig::up_down_up[004]"].endswith("its own checks skip migration 004 here")


def test_an_up_that_loses_rows_by_a_cascade(application: Application) -> None:
    application.add(3, _REBUILD, extra="rollback_supported = False")
    ran = application.run("--sqlmig", "-k", "not test_own")
    assert faults(ran) == {"keeps_rows[003]"}
    message = ran.messages["sqlmig::keeps_rows[003]"]
    assert "loses data of sample rows" in message
    assert "delete 3 rows of notes" in message


def test_an_up_that_deletes_rows_itself(application: Application) -> None:
    application.add(3, "DELETE FROM notes WHERE id > 1", extra="rollback_supported = False")
    ran = application.run("--sqlmig", "-k", "not test_own")
    assert faults(ran) == {"keeps_rows[003]"}
    assert 'say so in the migration: removes = ["notes"]' in ran.messages["sqlmig::keeps_rows[003]"]
    application.add(3, "DELETE FROM notes WHERE id > 1", extra="rollback_supported = False\nremoves = ['*']")
    assert not faults(application.run("--sqlmig", "-k", "not test_own"))


@pytest.mark.parametrize(
    ("up", "names"),
    [
        ("UPDATE people SET nick = NULL", "people.nick"),
        ("UPDATE people SET nick = NULL WHERE id = 2\nALTER TABLE people RENAME TO persons", "people.nick"),
    ],
)
def test_an_up_that_loses_values(application: Application, up: str, names: str) -> None:
    application.add(4, up)
    with pytest.raises(Fault, match="loses sample rows, or values of them") as caught:
        checks(application).keeps_rows(4)
    assert f'removes = ["{names}"]' in str(caught.value)
    application.add(4, up, extra=f"removes = ['{names}']")
    checks(application).keeps_rows(4)


@pytest.mark.parametrize(
    ("up", "told"),
    [
        ("CREATE VIEW v AS SELECT gone FROM people", "view v: no such column: gone"),
        (
            "CREATE TRIGGER t AFTER DELETE ON people BEGIN DELETE FROM gone; END",
            "trigger t: no such table: main.gone",
        ),
        ("CREATE VIEW v AS SELECT nick FROM people\nALTER TABLE people RENAME TO p\nDROP TABLE p", "view v: no such"),
    ],
)
def test_an_up_that_leaves_what_does_not_compile(application: Application, up: str, told: str) -> None:
    """SQLite takes it, and refuses each statement that comes by it."""
    application.add(4, up, extra="removes = ['people', 'p', 'notes']")
    with pytest.raises(Fault, match=told):
        checks(application).up_down_up(4)


def test_what_lacks_the_application_s_functions_is_no_fault(application: Application) -> None:
    application.add(4, "CREATE VIEW v AS SELECT shout(nick) FROM people", "DROP VIEW v")
    checks(application).up_down_up(4)


def test_an_up_that_works_on_an_empty_table_only(application: Application) -> None:
    application.add(3, "ALTER TABLE people ADD COLUMN age INTEGER NOT NULL", "ALTER TABLE people DROP COLUMN age")
    ran = application.run("--sqlmig", "-k", "not test_own")
    assert faults(ran) == {"keeps_rows[003]"}
    message = ran.messages["sqlmig::keeps_rows[003]"]
    assert "works on an empty database only" in message
    assert "Cannot add a NOT NULL column with default value NULL" in message
    assert "Have it give a value to the rows that are there" in message
    assert "see keeps_rows[003]" in ran.messages["sqlmig::gives_rows_back[003]"]


def test_an_up_that_works_nowhere(application: Application) -> None:
    application.add(2, "CREATE INDEX people_name ON persons (name)", "DROP INDEX people_name")
    ran = application.run("--sqlmig", "-k", "not test_own")
    assert faults(ran) == {"up_down_up[002]"}
    assert "no such table: main.persons" in ran.messages["sqlmig::up_down_up[002]"]
    for name in ("keeps_rows[002]", "up_down_up[003]", "keeps_rows[003]"):
        assert "see up_down_up[002]" in ran.messages[f"sqlmig::{name}"]


# Models

_MODELS = """
from sqlalchemy import ForeignKey, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    type_annotation_map = {str: Text}


class Note(Base):
    __tablename__ = "notes"
    id: Mapped[int] = mapped_column(primary_key=True)
    person: Mapped[int] = mapped_column(ForeignKey("people.id", ondelete="CASCADE"))
    body: Mapped[str | None]


class Person(Base):
    __tablename__ = "people"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(index=True)
    nick: Mapped[str | None]
    age: Mapped[int | None]
"""


@pytest.fixture
def modelled(application: Application) -> Application:
    application.write("tests/conftest.py", _KEYS_ON)
    application.write("models.py", _MODELS)
    application.write("pytest.ini", "[pytest]\nsqlmig_models = models:Base\npythonpath = .\n")
    return application


def test_models_that_agree(modelled: Application) -> None:
    ran = modelled.run("--sqlmig", "-k", "models")
    assert ran.outcomes == {"sqlmig::models_agree[003]": "passed"}


def test_models_that_pyproject_names_for_the_command_line(modelled: Application) -> None:
    modelled.write("pytest.ini", "[pytest]\npythonpath = .\n")
    assert modelled.run("--sqlmig", "-k", "models").of("skipped") == {"sqlmig::models_agree[003]"}
    modelled.write("pyproject.toml", '[tool.sqlmig]\nmodels = ["models:Base"]\n')
    assert modelled.run("--sqlmig", "-k", "models").outcomes == {"sqlmig::models_agree[003]": "passed"}


def test_a_forgotten_column(modelled: Application) -> None:
    modelled.write("models.py", _MODELS + "    language: Mapped[str | None]\n")
    ran = modelled.run("--sqlmig")
    assert faults(ran) == {"models_agree[003]"}
    message = ran.messages["sqlmig::models_agree[003]"]
    assert "people.language" in message
    assert "Write the migration that is missing: sqlmig new" in message


def test_models_that_are_not_there(modelled: Application) -> None:
    ran = modelled.run("--sqlmig", "-k", "models_agree", "-o", "sqlmig_models=nowhere.models:Base")
    assert faults(ran) == {"models_agree[003]"}
    message = ran.messages["sqlmig::models_agree[003]"]
    assert message.startswith("sqlmig_models is 'nowhere.models:Base':\nThe models"), message
    assert "testing/checks.py" not in message


def test_models_are_what_a_fixture_gives(modelled: Application) -> None:
    modelled.write("pytest.ini", "[pytest]\npythonpath = .\n")
    override = "@pytest.fixture(scope='session')\ndef sqlmig_models():\n    import models\n    return models.Base\n"
    modelled.write("tests/conftest.py", _KEYS_ON + override)
    assert modelled.run("--sqlmig", "-k", "models").of("passed") == {"sqlmig::models_agree[003]"}
    modelled.write("tests/conftest.py", _KEYS_ON + override.replace("models.Base", "17"))
    ran = modelled.run("--sqlmig", "-k", "models")
    assert "sqlmig_models is 17:" in ran.output


# The base branch


@pytest.fixture
def merged(application: Application) -> Application:
    """Its three migrations are on the branch main, and this is another."""
    git(application, "init", "-q", "-b", "main")
    commit(application, "three migrations")
    git(application, "checkout", "-q", "-b", "topic")
    return application


def git(application: Application, *arguments: str) -> None:
    who = ["-c", "user.name=x", "-c", "user.email=x@example.com"]
    subprocess.run(["git", *who, *arguments], cwd=application.path, check=True, capture_output=True)


def commit(application: Application, subject: str) -> None:
    git(application, "add", "-A")
    git(application, "commit", "-q", "-m", subject)


def base_faults(application: Application, *arguments: str) -> Ran:
    ran = application.run("--sqlmig", "-k", "unchanged", *arguments)
    assert all("unchanged_since_base" in name for name in ran.outcomes)
    return ran


def test_new_files_and_other_formatting_are_no_change(merged: Application) -> None:
    merged.add(4, "CREATE TABLE later (id INTEGER PRIMARY KEY)", "DROP TABLE later")
    path = merged.versions / "002_step.py"
    path.write_text("# A comment.\n" + path.read_text().replace('"', "'"))
    ran = base_faults(merged)
    assert len(ran.of("passed")) == 4, ran.output


@pytest.mark.parametrize("committed", [False, True])
def test_an_edited_file(merged: Application, committed: bool) -> None:
    merged.add(2, "CREATE INDEX people_name ON people (name, nick)", "DROP INDEX people_name")
    if committed:
        commit(merged, "edit it")
    ran = base_faults(merged)
    assert faults(ran) == {"unchanged_since_base[002]"}
    message = ran.messages["sqlmig::unchanged_since_base[002]"]
    assert "Migration 002 was changed since main" in message
    assert "put the change into a new migration: git checkout main -- migrations/versions/002_step.py" in message


def test_a_renamed_and_a_removed_file(merged: Application) -> None:
    (merged.versions / "002_step.py").rename(merged.versions / "002_other.py")
    (merged.versions / "001_step.py").unlink()
    ran = base_faults(merged)
    assert faults(ran) == {"unchanged_since_base[002]"}
    message = ran.messages["sqlmig::unchanged_since_base[002]"]
    assert "Migration 001 was removed since main: 001_step.py" in message
    assert "Migration 002 was renamed since main: 002_step.py is 002_other.py now" in message
    assert "git mv migrations/versions/002_other.py migrations/versions/002_step.py" in message


def test_files_that_were_squashed_are_not_missing(merged: Application) -> None:
    Migrator(":memory:", merged.versions).squash(1, 2)
    assert not faults(base_faults(merged))
    (written,) = merged.versions.glob("002_squashed*")
    written.write_text(re.sub(r'1: "py1:\w+"', '1: "py1:other"', written.read_text()))
    assert faults(base_faults(merged)) == {"unchanged_since_base[002]"}


def test_a_number_that_the_base_branch_has_passed(merged: Application) -> None:
    merged.add(4, "CREATE TABLE mine (id INTEGER PRIMARY KEY)", "DROP TABLE mine", name="mine")
    commit(merged, "mine")
    git(merged, "checkout", "-q", "main")
    merged.add(4, "CREATE TABLE theirs (id INTEGER PRIMARY KEY)", "DROP TABLE theirs", name="theirs")
    merged.add(5, "CREATE TABLE more (id INTEGER PRIMARY KEY)", "DROP TABLE more")
    commit(merged, "theirs")
    git(merged, "checkout", "-q", "topic")
    ran = base_faults(merged)
    assert faults(ran) == {"unchanged_since_base[004]"}
    message = ran.messages["sqlmig::unchanged_since_base[004]"]
    assert "main has migrations up to 005 already" in message
    assert "Give it a number above that, in its name and in its class: 006" in message
    # Compared with what this branch began from, theirs are not missing here.
    assert "removed" not in ran.output


def test_an_edited_sql_file(merged: Application) -> None:
    git(merged, "checkout", "-q", "main")
    merged.write("migrations/versions/sql/rows.sql", "CREATE TABLE more (id INTEGER PRIMARY KEY);")
    merged.add(4, "self.execute_sql_file('sql/rows.sql')", "DROP TABLE more")
    commit(merged, "with a file")
    git(merged, "checkout", "-q", "-b", "other")
    merged.write("migrations/versions/sql/rows.sql", "CREATE TABLE more (id INTEGER PRIMARY KEY, name TEXT);")
    ran = base_faults(merged)
    assert faults(ran) == {"unchanged_since_base[004]"}
    assert "sql/rows.sql" in ran.messages["sqlmig::unchanged_since_base[004]"]


@pytest.mark.parametrize(
    ("now", "found"),
    [
        ("-- So.\n-- sqlmig: up\nCREATE TABLE  more (id INTEGER PRIMARY KEY);\n", set()),
        ("-- sqlmig: up\nCREATE TABLE more (id INTEGER);\n", {"unchanged_since_base[004]"}),
    ],
)
def test_an_edited_migration_in_plain_sql(merged: Application, now: str, found: set[str]) -> None:
    """Comments and white space are no edit."""
    git(merged, "checkout", "-q", "main")
    merged.write("migrations/versions/004_more.sql", "-- sqlmig: up\nCREATE TABLE more (id INTEGER PRIMARY KEY);\n")
    commit(merged, "in SQL")
    git(merged, "checkout", "-q", "-b", "other")
    merged.write("migrations/versions/004_more.sql", now)
    assert faults(base_faults(merged)) == found


def test_what_is_to_be_typed_is_what_a_shell_takes(merged: Application) -> None:
    merged.add(4, "CREATE TABLE y (a)", name="two words")
    commit(merged, "a fourth")
    git(merged, "branch", "-f", "main")
    (merged.versions / "004_two words.py").unlink()
    [found] = base_faults(merged).messages.values()
    assert "git checkout main -- 'migrations/versions/004_two words.py'" in found


def test_the_base_branch_can_be_named(merged: Application) -> None:
    git(merged, "branch", "release", "main")
    git(merged, "branch", "-D", "main")
    merged.add(2, "CREATE INDEX people_name ON people (nick)", "DROP INDEX people_name")
    assert "git has none of origin/HEAD" in base_faults(merged).messages["sqlmig::unchanged_since_base[001]"]
    assert faults(base_faults(merged, "--sqlmig-base", "release")) == {"unchanged_since_base[002]"}
    ran = base_faults(merged, "--sqlmig-base", "nowhere")
    assert len(ran.of("failure")) == 3
    assert "There is no branch nowhere here" in ran.messages["sqlmig::unchanged_since_base[001]"]


def test_without_git_it_is_skipped_with_the_reason(application: Application) -> None:
    ran = base_faults(application)
    assert len(ran.of("skipped")) == 3, ran.output
    assert "is in no repository of git" in ran.messages["sqlmig::unchanged_since_base[001]"]
