"""What is wrong in an Alembic project or a call is a typed error that says what to do; the database stays as it was."""

from __future__ import annotations

import re
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from alembic.config import Config
from alembic.util import CommandError
from alembic_scripts_support import ENV, Project, catalogue, failed, file_of, rows, state, write_broken
from sqlalchemy import create_engine

import alembic_compat
from alembic_compat import AlembicMigrator, EnvironmentFailed, command
from sqlmig import (
    ConfigurationError,
    DatabaseLocked,
    DatabaseNotWritable,
    MigrationError,
    MigrationFailed,
    UnknownVersion,
    ValidationFailed,
)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Two revisions, `aa11` and `aa22`, of which the first has been applied by Alembic."""
    project = Project(tmp_path / "project")
    project.add("aa11", "op.execute('CREATE TABLE one (n INTEGER)')", "op.drop_table('one')")
    return project


@pytest.fixture
def url(tmp_path: Path, project: Project) -> str:
    url = f"sqlite:///{tmp_path / 'app.db'}"
    project.alembic(url)
    project.add("aa22", "op.execute('CREATE TABLE two (n INTEGER)')", "op.drop_table('two')")
    return url


def refused(project: Project, url: str, call: Callable[[Any], Any] = lambda migrator: migrator.migrate()) -> Any:
    """Whatever the call raises, after a look at the database."""
    before = state(url)
    with project.fresh(url), pytest.raises(MigrationError) as caught:
        call(project.migrator(url))
    assert state(url) == before
    told(caught.value)
    return caught.value


def told(error: Exception) -> None:
    """What happened, the facts, and what to do."""
    assert len(str(error).strip().splitlines()) >= 3, str(error)
    assert "Traceback" not in str(error)
    # The command line is for migrations of sqlmig's own.
    assert not re.search(r"\bsqlmig (up|to|down|repair|new|status|stamp)\b", str(error)), str(error)


# The project


PLACES = {
    "no such folder": lambda p: p / "absent",
    "a file": lambda p: p / "shop.py",
    "the folder above": lambda p: p,
    "no such package": lambda p: "no_such_package_here:migrations",
    "no such folder in a package": lambda p: "sqlmig:no_such_folder",
    "no such ini": lambda p: str(p / "absent.ini"),
    "an empty ini": lambda p: p / "empty.ini",
    "an empty Config": lambda p: Config(),
    "None": lambda p: None,
    "empty": lambda p: "",
    "5": lambda p: 5,
    "bytes": lambda p: b"alembic",
    "True": lambda p: True,
}


@pytest.mark.parametrize("place", PLACES)
def test_a_place_that_is_no_project(project: Project, url: str, place: str) -> None:
    (project.path / "empty.ini").write_text("[alembic]\n")
    before = file_of(url).read_bytes()
    with project.fresh(url), pytest.raises(ConfigurationError) as caught:
        AlembicMigrator(url, PLACES[place](project.path)).migrate()
    told(caught.value)
    assert file_of(url).read_bytes() == before


@pytest.mark.parametrize(
    "options", [{"env": "no"}, {"x_arguments": 5}, {"lock_timeout": "x"}, {"version_table": 5}, {"nonsense": 1}]
)
def test_an_option_that_cannot_be_meant(project: Project, url: str, options: dict[str, Any]) -> None:
    before = file_of(url).read_bytes()
    with project.fresh(url), pytest.raises((ConfigurationError, TypeError)):
        project.migrator(url, **options).migrate()
    assert file_of(url).read_bytes() == before


def test_no_versions_directory(project: Project, url: str) -> None:
    shutil.rmtree(project.versions)
    error = refused(project, url)
    assert isinstance(error, ConfigurationError)
    assert "versions" in str(error)


def test_no_env(project: Project, url: str) -> None:
    (project.scripts / "env.py").unlink()
    error = refused(project, url)
    assert "env.py" in str(error)
    assert "env=False" in str(error)
    with project.fresh(url):
        assert project.migrator(url, env=False).migrate().applied == [2]


def test_an_empty_versions_directory(project: Project, tmp_path: Path) -> None:
    """Alembic upgrades to nothing, and so do we, or say so."""
    shutil.rmtree(project.versions)
    project.versions.mkdir()
    url = f"sqlite:///{tmp_path / 'new.db'}"
    project.alembic(url, "heads")
    with project.fresh(url):
        try:
            assert project.migrator(url).migrate().applied == []
        except MigrationError as error:
            told(error)


# The history


BROKEN = {
    "cycle": ["bb1", "bb2"],
    "cycle below a head": ["bb1", "bb2"],
    "self-reference": ["bb1"],
    "missing down_revision": ["bb1", "gone99"],
    "missing one of two": ["bb1", "gone99"],
    "missing depends_on": ["bb1", "gone99"],
    "cycle by depends_on": ["bb1", "bb2"],
    "duplicate ids": ["aa22", "again_step.py"],
    "duplicate labels": ["twice"],
    "a label like a revision": ["aa11"],
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_history(project: Project, url: str, name: str) -> None:
    write_broken(project, name)
    error = refused(project, url)
    assert isinstance(error, ValidationFailed)
    assert [word for word in BROKEN[name] if word not in str(error)] == []


FILES = {
    "syntax error": ("def upgrade(:\n", ["wrong.py"]),
    "import error": (
        "import no_such_module_here\nrevision = 'bb1'\ndown_revision = 'aa22'\n",
        ["wrong.py", "no_such_module_here"],
    ),
    "raises": ("revision = 'bb1'\ndown_revision = 'aa22'\n1 / 0\n", ["wrong.py", "division"]),
    "exits": ("revision = 'bb1'\ndown_revision = 'aa22'\nimport sys\nsys.exit(3)\n", ["wrong.py"]),
    "no revision": ("def upgrade():\n    pass\n", ["wrong.py", "revision"]),
    "no upgrade": ("revision = 'bb1'\ndown_revision = 'aa22'\n", ["wrong.py", "upgrade"]),
    "upgrade is no function": ("revision = 'bb1'\ndown_revision = 'aa22'\nupgrade = None\n", ["upgrade"]),
    "asynchronous upgrade": ("revision = 'bb1'\ndown_revision = 'aa22'\nasync def upgrade():\n    pass\n", ["upgrade"]),
    "no down_revision": ("revision = 'bb1'\ndef upgrade():\n    pass\n", ["wrong.py", "down_revision"]),
    "revision is a number": ("revision = 5\ndown_revision = 'aa22'\ndef upgrade():\n    pass\n", ["wrong.py"]),
    "down_revision is a number": ("revision = 'bb1'\ndown_revision = 5\ndef upgrade():\n    pass\n", ["wrong.py"]),
    "not text": ("\x00\x01", ["wrong.py"]),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_no_revision(project: Project, url: str, name: str) -> None:
    text, words = FILES[name]
    project.write("wrong.py", text)
    error = refused(project, url)
    assert [word for word in words if word not in str(error)] == []


def test_no_downgrade_function_is_said_before_anything_is_undone(project: Project, url: str) -> None:
    project.write("bb1.py", "revision = 'bb1'\ndown_revision = 'aa22'\ndef upgrade():\n    pass\n")
    project.sqlmig(url)
    assert "bb1" in str(refused(project, url, lambda migrator: migrator.migrate_to_version("aa11")))


def test_a_file_whose_name_is_its_revision(project: Project, url: str, tmp_path: Path) -> None:
    """The oldest form of all: no variable `revision`, and a file name of hexadecimal digits."""
    project.write(
        "abc123.py",
        "from alembic import op\ndown_revision = 'aa22'\ndef upgrade():\n    op.execute('CREATE TABLE t (n)')\n",
    )
    theirs = f"sqlite:///{tmp_path / 'theirs.db'}"
    project.alembic(theirs)
    assert rows(theirs, "SELECT version_num FROM alembic_version") == ["abc123"]
    project.sqlmig(url)
    assert catalogue(url) == catalogue(theirs)


def test_files_that_alembic_passes_over(project: Project, url: str, tmp_path: Path) -> None:
    """Its own rule: `__init__.py`, editors' locks, and what is no Python file."""
    for name in ("__init__.py", ".#aa22_step.py", "README", "notes.txt", "aa22_step.py.orig"):
        project.write(name, "this is no python\n" if name != "__init__.py" else "")
    (project.versions / "__pycache__").mkdir(exist_ok=True)
    project.alembic(f"sqlite:///{tmp_path / 'theirs.db'}")
    project.sqlmig(url)
    assert rows(url, "SELECT version_num FROM alembic_version") == ["aa22"]


# Names


TARGETS: dict[str, tuple[Any, Any]] = {
    "unknown": ("nosuchrevision", alembic_compat.UnknownRevision),
    "unknown prefix": ("aa3", alembic_compat.UnknownRevision),
    "ambiguous": ("aa", alembic_compat.AmbiguousRevision),
    "ambiguous label": ("aa@head", MigrationError),
    "unknown label": ("nolabel@head", MigrationError),
    "too far up": ("+99", MigrationError),
    "too far down": ("-99", MigrationError),
    "relative to nothing": ("nosuch+1", MigrationError),
    "no number": ("+x", MigrationError),
    "range": ("aa11:aa22", MigrationError),
    "number": (99, UnknownVersion),
    "negative number": (-1, MigrationError),
    "float": (1.5, ConfigurationError),
    "bool": (True, ConfigurationError),
    "bytes": (b"aa22", ConfigurationError),
    "None": (None, ConfigurationError),
    "empty": ("", MigrationError),
    "blank": ("  ", MigrationError),
    "quote": ("'; DROP TABLE one; --", MigrationError),
}


@pytest.mark.parametrize("method", ["migrate_to_version", "rollback_to_version", "stamp"])
@pytest.mark.parametrize("target", TARGETS)
def test_a_target_that_is_none(project: Project, url: str, target: str, method: str) -> None:
    value, kind = TARGETS[target]
    before = file_of(url).read_bytes()
    error = refused(project, url, lambda migrator: getattr(migrator, method)(value))
    assert isinstance(error, kind), f"{type(error).__name__}: {error}"
    assert file_of(url).read_bytes() == before


def test_an_unknown_name_lists_what_there_is(project: Project, url: str) -> None:
    error = refused(project, url, lambda migrator: migrator.migrate_to_version("aa2x"))
    assert "aa2x" in str(error)
    assert "aa22" in str(error)


def test_an_ambiguous_prefix_lists_what_it_may_mean(project: Project, url: str) -> None:
    error = refused(project, url, lambda migrator: migrator.migrate_to_version("aa"))
    assert "aa11" in str(error)
    assert "aa22" in str(error)


def test_head_of_several_heads(project: Project, url: str) -> None:
    project.add("bb1", before="aa11")
    with pytest.raises(Exception, match="Multiple head"):
        project.alembic(url)
    error = refused(project, url, lambda migrator: migrator.migrate_to_version("head"))
    assert "aa22" in str(error)
    assert "bb1" in str(error)
    assert "heads" in str(error)
    with project.fresh(url):
        assert project.migrator(url).migrate_to_version("heads").applied


@pytest.mark.parametrize("target", ["nosuchrevision", "aa", "+99", ""])
def test_commands_with_a_target_that_is_none(project: Project, url: str, target: str) -> None:
    before = state(url)
    for name in ("upgrade", "stamp"):
        with project.fresh(url), pytest.raises(MigrationError):
            getattr(command, name)(project.config(url), target)
    with project.fresh(url), pytest.raises(MigrationError):
        command.downgrade(project.config(url), target.replace("+", "-"))
    assert state(url) == before


# The table alembic_version


def edit(url: str, *statements: str) -> None:
    raw = sqlite3.connect(file_of(url), isolation_level=None)
    for statement in statements:
        raw.execute(statement)
    raw.close()


@pytest.mark.parametrize("tracked", [False, True])
@pytest.mark.parametrize(
    ("edits", "words"),
    [
        (["UPDATE alembic_version SET version_num = 'gone99'"], ["gone99"]),
        (["INSERT INTO alembic_version VALUES ('gone99')"], ["gone99"]),
        (["INSERT INTO alembic_version VALUES ('aa22')"], ["aa11", "aa22"]),
        (["UPDATE alembic_version SET version_num = ''"], []),
    ],
    ids=["unknown", "one of two unknown", "overlapping", "empty"],
)
def test_what_alembic_version_cannot_say(
    project: Project, url: str, tracked: bool, edits: list[str], words: list[str]
) -> None:
    if tracked:
        project.sqlmig(url, "aa11")
    edit(url, *edits)
    error = refused(project, url)
    assert [word for word in words if word not in str(error)] == []
    if len(words) == 1:
        assert isinstance(error, alembic_compat.UnknownRevision)
    elif words:
        assert isinstance(error, alembic_compat.OverlappingHeads)


def test_reading_tells_of_an_unknown_revision_too(project: Project, url: str) -> None:
    """Status and plan of a database that another branch of the code has been at."""
    edit(url, "UPDATE alembic_version SET version_num = 'gone99'")
    for call in ("get_migration_plan", "migrate"):
        with project.fresh(url), pytest.raises(MigrationError, match="gone99"):
            getattr(project.migrator(url), call)()
    with project.fresh(url):
        try:
            told = str(project.migrator(url).get_migration_status())
        except MigrationError as error:
            told = str(error)
        assert "gone99" in told


# env.py

FAILING_ENV = {
    "raises before": ("raise RuntimeError('no settings')\n" + ENV, "no settings"),
    "raises between": (
        ENV.replace("        context.configure(", "        1 / 0\n        context.configure("),
        "division",
    ),
    "syntax error": ("def (:\n", "env.py"),
    "import error": ("import no_such_module_here\n" + ENV, "no_such_module_here"),
    "exits": ("import sys\nsys.exit(0)\n", "exit"),
    "exits with an error": ("import sys\nsys.exit('set DATABASE_URL')\n" + ENV, "set DATABASE_URL"),
    "never configures": ("from alembic import context\n", "configure"),
    "never runs": (ENV.replace("            context.run_migrations()", "            pass"), "run_migrations"),
    "runs without configuring": ("from alembic import context\ncontext.run_migrations()\n", "configure"),
    "empty": ("", "configure"),
}


@pytest.mark.parametrize("case", FAILING_ENV)
def test_an_env_that_fails(project: Project, url: str, case: str) -> None:
    text, word = FAILING_ENV[case]
    (project.scripts / "env.py").write_text(text)
    error = refused(project, url)
    assert isinstance(error, alembic_compat.EnvironmentFailed), f"{type(error).__name__}: {error}"
    assert "env.py" in str(error)
    assert word in str(error)


def test_an_env_that_fails_is_said_once_it_is_mended_it_goes_on(project: Project, url: str) -> None:
    (project.scripts / "env.py").write_text(FAILING_ENV["raises before"][0])
    refused(project, url)
    (project.scripts / "env.py").write_text(ENV)
    assert project.sqlmig(url).get_current_version() == 2


# Revisions and databases


def test_a_revision_that_fails_in_the_middle(project: Project, url: str) -> None:
    project.add("bb1", "op.execute('DROP TABLE two')\nop.execute('DROP TABLE absent')")
    project.sqlmig(url, "aa22")
    error = refused(project, url)
    assert isinstance(error, MigrationFailed)
    assert (error.version, error.undone) == (3, True)
    assert "bb1" in str(error)
    assert "absent" in str(error)
    assert [entry["version"] for entry in failed(project.migrator(url))] == [3]


def test_a_database_that_cannot_be_written(project: Project, url: str) -> None:
    engine = create_engine(f"sqlite:///file:{file_of(url)}?mode=ro&uri=true")
    before = file_of(url).read_bytes()
    with project.fresh(url), pytest.raises(DatabaseNotWritable) as caught:
        project.migrator(engine).migrate()
    told(caught.value)
    assert file_of(url).read_bytes() == before


def test_a_database_that_another_has_locked(project: Project, url: str) -> None:
    holder = sqlite3.connect(file_of(url), isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    before = file_of(url).read_bytes()
    with project.fresh(url), pytest.raises(DatabaseLocked) as caught:
        project.migrator(url, lock_timeout=0.3).migrate()
    told(caught.value)
    holder.execute("ROLLBACK")
    holder.close()
    assert file_of(url).read_bytes() == before
    assert project.sqlmig(url).get_current_version() == 2


def test_a_file_that_is_no_database(project: Project, tmp_path: Path) -> None:
    path = tmp_path / "text.db"
    path.write_text("this is no database, and long enough to be looked at " * 40)
    before = path.read_bytes()
    with project.fresh(""), pytest.raises(MigrationError) as caught:
        project.migrator(f"sqlite:///{path}").migrate()
    told(caught.value)
    assert path.read_bytes() == before


def test_reading_writes_nothing(project: Project, url: str) -> None:
    before = file_of(url).read_bytes()
    with project.fresh(url):
        migrator = project.migrator(url)
        assert migrator.needs_migration()
        assert migrator.get_current_version() == 1
        assert migrator.get_migration_plan("head")
        assert migrator.get_migration_status()
        assert migrator.get_migration_history() == []
    assert file_of(url).read_bytes() == before


@pytest.mark.parametrize("ending", ["raise RuntimeError('no settings')", "import sys\nsys.exit(0)"])
def test_an_env_that_fails_at_its_end_has_applied_what_it_ran(project: Project, url: str, ending: str) -> None:
    """Each revision has a transaction of its own, and those that were committed stay."""
    (project.scripts / "env.py").write_text(f"{ENV}\n{ending}\n")
    with project.fresh(url), pytest.raises(EnvironmentFailed):
        AlembicMigrator(url, project.scripts).migrate()
    assert not AlembicMigrator(url, project.scripts).needs_migration()


def test_an_env_that_hands_no_connection_gets_ours(project: Project, url: str) -> None:
    text = "from alembic import context\ncontext.configure()\ncontext.run_migrations()\n"
    (project.scripts / "env.py").write_text(text)
    with project.fresh(url):
        assert AlembicMigrator(url, project.scripts).migrate()


def test_a_project_without_revisions_has_nothing_to_do(tmp_path: Path) -> None:
    project, url = Project(tmp_path / "project"), f"sqlite:///{tmp_path / 'app.db'}"
    assert project.sqlmig(url).migrate().applied == []
    assert project.sqlmig(url).get_current_version() == 0


def test_a_version_table_that_alembic_did_not_make(project: Project, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'other.db'}"
    connection = sqlite3.connect(tmp_path / "other.db")
    connection.execute("CREATE TABLE alembic_version (x INT)")
    connection.close()
    error = refused(project, url)
    assert isinstance(error, ConfigurationError)
    assert "no version_num" in str(error)


def test_an_ini_without_its_section(project: Project, url: str) -> None:
    project.ini.write_text(project.ini.read_text().replace("[alembic]", "[alembik]"))
    before = state(url)
    with pytest.raises(ConfigurationError) as caught:
        AlembicMigrator(url, project.ini).migrate()
    told(caught.value)
    assert state(url) == before


def test_an_import_into_the_folder_of_the_revisions(project: Project) -> None:
    from alembic_compat.import_history import import_history

    before = sorted(project.versions.glob("*.py"))
    with pytest.raises(ConfigurationError, match="nothing was written") as caught:
        import_history(project.scripts, project.versions, naming_convention={})
    told(caught.value)
    assert sorted(project.versions.glob("*.py")) == before


def test_what_alembics_command_raises_is_caught_as_it_was(project: Project, url: str) -> None:
    with project.fresh(url), pytest.raises(CommandError):
        command.upgrade(project.config(url), "nosuchrevision")
