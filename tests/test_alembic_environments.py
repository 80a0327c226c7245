"""env.py is run as Alembic runs it, handed our connection, whatever it does to get one."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from alembic import command as alembic_command
from alembic.config import Config
from alembic_environments import BROKEN, ENVIRONMENTS, SHOP, real_url
from alembic_environments import application as application
from alembic_environments import ours as ours
from alembic_environments import theirs as theirs
from alembic_projects import Database, Project, Rev, catalogue, env, template_file
from sqlalchemy import StaticPool, create_engine, event

from alembic_compat import AlembicMigrator, EnvironmentFailed
from sqlmig import MigrationFailed


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_the_same_as_alembic(
    name: str, tmp_path: Path, ours: Database, theirs: Database, application: Callable[[Database], Any]
) -> None:
    project = Project(tmp_path, ENVIRONMENTS[name]).add(*SHOP)
    application(theirs)
    project.alembic("upgrade", real_url(name, theirs), "head")
    assert theirs.heads() == ["c0ffee03"]
    application(ours)
    migrator = AlembicMigrator(create_engine(ours.url), project.config(_said(name, ours)))
    assert migrator.migrate().applied == [1, 2, 3]
    assert _told(ours) == _told(theirs)
    application(theirs)
    project.alembic("downgrade", real_url(name, theirs), "c0ffee01")
    application(ours)
    assert migrator.rollback_to_version("c0ffee01").rolled_back == [3, 2]
    assert _told(ours) == _told(theirs)
    # And on with Alembic, in the same database.
    project.alembic("upgrade", real_url(name, ours), "head")
    assert AlembicMigrator(create_engine(ours.url), project.config(_said(name, ours))).migrate().applied == []
    application(theirs)
    project.alembic("upgrade", real_url(name, theirs), "head")
    assert _told(ours) == _told(theirs)
    # A failing revision leaves nothing behind.
    application(ours)
    project.add(BROKEN)
    with pytest.raises(MigrationFailed, match="bad00001"):
        AlembicMigrator(create_engine(ours.url), project.config(_said(name, ours))).migrate()
    assert _told(ours) == _told(theirs)


def _said(name: str, database: Database) -> str | None:
    """An env.py that needs an address for more than the connection which it is handed gets one."""
    return database.url if "second" in name else None


def _told(database: Database) -> dict[str, Any]:
    """How often env.py was run is not told apart."""
    found = database.catalogue()
    if "table deployments" in found:
        assert found["table deployments"].pop("rows")
    return found


@pytest.mark.parametrize(
    ("name", "attribute"),
    [
        ("application's engine", "engine"),
        ("application's BEGIN IMMEDIATE", "immediate"),
        ("application's BEGIN IMMEDIATE, begin", "immediate"),
        ("application's second connection", "immediate"),
        ("application's async engine", "async_engine"),
        ("async", "async_engine"),
        ("generic", "async_engine"),
        ("async", "immediate"),
    ],
)
def test_the_engine_of_the_application_is_handed_to_sqlmig(
    name: str, attribute: str, tmp_path: Path, ours: Database, theirs: Database, application: Callable[[Database], Any]
) -> None:
    project = Project(tmp_path, ENVIRONMENTS[name]).add(*SHOP)
    application(theirs)
    project.alembic("upgrade", real_url(name, theirs), "head")
    engine = getattr(application(ours), attribute)
    AlembicMigrator(engine, project.config()).migrate()
    assert _told(ours) == _told(theirs)
    project.add(BROKEN)
    with pytest.raises(MigrationFailed):
        AlembicMigrator(engine, project.config()).migrate()
    assert _told(ours) == _told(theirs)


@pytest.mark.parametrize("name", ["generic", "async", "create_engine", "attributes", "begin", "dispose"])
def test_a_database_in_memory(name: str, tmp_path: Path, theirs: Database) -> None:
    project = Project(tmp_path, ENVIRONMENTS[name]).add(*SHOP)
    project.alembic("upgrade", real_url(name, theirs), "head")
    engine = create_engine("sqlite://", poolclass=StaticPool)
    AlembicMigrator(engine, project.config()).migrate()
    with engine.connect() as connection:
        found = catalogue(connection.connection.dbapi_connection)
    assert found == theirs.catalogue()


@pytest.mark.parametrize("name", ["generic", "create_engine", "second connection"])
def test_a_relative_path(name: str, tmp_path: Path, theirs: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    project = Project(tmp_path, ENVIRONMENTS[name]).add(*SHOP)
    project.alembic("upgrade", "sqlite:///theirs.db", "head")
    AlembicMigrator("sqlite:///ours.db", project.config("sqlite:///ours.db")).migrate()
    assert _told(Database(tmp_path / "ours.db")) == _told(theirs)
    assert theirs.heads() == ["c0ffee03"]


def test_a_callers_connection_is_joined(tmp_path: Path, ours: Database, theirs: Database) -> None:
    project = Project(tmp_path, ENVIRONMENTS["generic"]).add(*SHOP)
    project.alembic("upgrade", theirs.url, "head")
    engine = create_engine(ours.url)
    with engine.connect() as connection:
        connection.exec_driver_sql("CREATE TABLE before (n)")
        connection.exec_driver_sql("INSERT INTO before VALUES (1)")
        AlembicMigrator(connection, project.config()).migrate()
        assert connection.in_transaction()
        connection.rollback()
    assert "users" not in ours.tables()
    with engine.begin() as connection:
        AlembicMigrator(connection, project.config()).migrate()
    assert {k: v for k, v in ours.catalogue().items() if k != "table before"} == theirs.catalogue()


@pytest.mark.skipif("pyproject" not in ENVIRONMENTS, reason="since Alembic 1.16")
@pytest.mark.parametrize("place", ["alembic", "alembic.ini", "pyproject.toml"])
def test_every_way_to_name_a_project_of_pyproject_toml(place: str, tmp_path: Path, ours: Database) -> None:
    project = Project(tmp_path, ENVIRONMENTS["pyproject"]).add(*SHOP)
    text = project.ini.read_text()
    project.ini.write_text("\n".join(one for one in text.splitlines() if not one.startswith(("script_", "path_"))))
    (tmp_path / "pyproject.toml").write_text('[tool.alembic]\nscript_location = "%(here)s/alembic"\n')
    assert AlembicMigrator(create_engine(ours.url), tmp_path / place).migrate().applied == [1, 2, 3]


@pytest.mark.skipif("pyproject" not in ENVIRONMENTS, reason="since Alembic 1.16")
def test_pyproject_toml(tmp_path: Path, ours: Database, theirs: Database) -> None:
    """The layout of the template `pyproject`: where the files are is said in one file, the rest in the other."""
    project = Project(tmp_path, ENVIRONMENTS["pyproject"]).add(*SHOP)
    text = project.ini.read_text()
    project.ini.write_text("\n".join(one for one in text.splitlines() if not one.startswith(("script_", "path_"))))
    toml = tmp_path / "pyproject.toml"
    toml.write_text('[tool.alembic]\nscript_location = "%(here)s/alembic"\nprepend_sys_path = ["."]\n')

    def config(url: str) -> Config:
        found = Config(str(project.ini), toml_file=str(toml))
        found.set_main_option("sqlalchemy.url", url)
        return found

    from alembic import command

    command.upgrade(config(theirs.url), "head")
    AlembicMigrator(create_engine(ours.url), config("sqlite:///nowhere/at/all.db")).migrate()
    assert ours.catalogue() == theirs.catalogue()


@pytest.mark.parametrize("form", ["config", "ini", "folder"])
def test_loggers_of_the_application_stay(form: str, tmp_path: Path, ours: Database, theirs: Database) -> None:
    """`fileConfig` in env.py switches off every logger that is there."""
    project = Project(tmp_path, env(), logs=True).add(*SHOP)
    logger, root = logging.getLogger("shop.existing"), logging.getLogger()
    kept = root.handlers[:], root.level
    try:
        project.alembic("upgrade", theirs.url, "head")
        assert logger.disabled
        logger.disabled = False
        root.handlers[:], root.level = kept[0][:], kept[1]
        place = {"config": project.config(), "ini": project.ini, "folder": project.folder}[form]
        AlembicMigrator(create_engine(ours.url), place).migrate()
        assert not logger.disabled
        assert root.handlers == kept[0]
        assert root.level == kept[1]
    finally:
        logger.disabled = False
        root.handlers[:], root.level = kept
    assert ours.catalogue() == theirs.catalogue()


def test_sys_path_of_the_ini(tmp_path: Path, ours: Database, theirs: Database) -> None:
    """`prepend_sys_path` lets revisions import the application."""
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "shop_tables.py").write_text("NAME = 'from_the_application'")
    up = 'op.execute(f"CREATE TABLE {NAME} (n TEXT)")'
    project = Project(tmp_path, env(), ini={"prepend_sys_path": "%(here)s/lib"})
    project.add(Rev("a1", up=up, module="from shop_tables import NAME"))
    kept = sys.path[:]
    try:
        project.alembic("upgrade", theirs.url, "head")
        for form in ("config", "ini"):
            sys.path[:] = kept
            sys.modules.pop("shop_tables", None)
            database = Database(tmp_path / f"{form}.db")
            place = project.config() if form == "config" else project.ini
            AlembicMigrator(create_engine(database.url), place).migrate()
            assert database.catalogue() == theirs.catalogue()
    finally:
        sys.path[:] = kept
        sys.modules.pop("shop_tables", None)


MULTI = {"databases": "one, two"}


def test_env_py_for_several_databases(tmp_path: Path) -> None:
    """Alembic's template `multidb`: each database has an AlembicMigrator, and gets what is its own."""
    project = Project(tmp_path, template_file("multidb", "env.py"), ini=MULTI)
    up = "op.execute(f'CREATE TABLE {engine_name} (n)')"
    project.add(Rev("a1", up=up, back="op.execute(f'DROP TABLE {engine_name}')", arguments="engine_name"))

    def config(folder: str) -> Config:
        (tmp_path / folder).mkdir(exist_ok=True)
        config = project.config()
        for name in ("one", "two"):
            config.set_section_option(name, "sqlalchemy.url", Database(tmp_path / folder / f"{name}.db").url)
        return config

    alembic_command.upgrade(config("theirs"), "head")
    for name in ("two", "one"):
        database, theirs = (Database(tmp_path / folder / f"{name}.db") for folder in ("ours", "theirs"))
        migrator = AlembicMigrator(create_engine(database.url), config("ours"))
        assert migrator.migrate().applied == [1]
        assert migrator.migrate().applied == []
        assert database.catalogue() == theirs.catalogue()
        assert name in database.tables()
    alembic_command.downgrade(config("ours"), "base")
    for name in ("two", "one"):
        assert name not in Database(tmp_path / "ours" / f"{name}.db").tables()
    with pytest.raises(EnvironmentFailed, match="none of its databases") as caught:
        AlembicMigrator(create_engine(Database(tmp_path / "other.db").url), config("ours")).migrate()
    assert "(one, two)" in str(caught.value)


SETS = """
import os
from alembic import context as found
found.script.version_locations = [os.path.join(os.path.dirname(__file__), kind) for kind in ("shared", "sqlite")]
"""


@pytest.mark.parametrize("by_default", ["there", "missing"])
def test_env_py_that_says_where_the_revisions_are(
    by_default: str, tmp_path: Path, ours: Database, theirs: Database
) -> None:
    """As Prefect's does, by the kind of its database."""
    project = Project(tmp_path, env(before=SETS), locations=("shared", "sqlite"), ini={"version_locations": ""})
    project.add(SHOP[0], *(replace(one, folder=1) for one in SHOP[1:]))
    if by_default == "there":
        (project.folder / "versions").mkdir()
    project.alembic("upgrade", theirs.url, "head")
    migrator = AlembicMigrator(create_engine(ours.url), project.config())
    assert migrator.needs_migration()
    assert [file.version for file in migrator.manager.get_pending_migrations()] == [1, 2, 3]
    assert migrator.migrate().applied == [1, 2, 3]
    assert ours.catalogue() == theirs.catalogue()
    again = AlembicMigrator(create_engine(ours.url), project.config())
    assert again.migrate().applied == []
    assert not again.needs_migration()
    project.add(Rev("c0ffee04", down=("c0ffee03",), folder=1))
    assert again.migrate().applied == [4]
    assert again.rollback_to_version("c0ffee02").rolled_back == [4, 3]


def test_env_py_that_raises(tmp_path: Path, ours: Database) -> None:
    project = Project(tmp_path, "raise LookupError('no settings')").add(*SHOP)
    with pytest.raises(LookupError):
        project.alembic("upgrade", ours.url, "head")
    with pytest.raises(EnvironmentFailed, match="no settings"):
        AlembicMigrator(create_engine(ours.url), project.config()).migrate()
    assert ours.rows("SELECT name FROM sqlite_master WHERE name NOT LIKE 'migration_%'") == []


def test_env_py_that_raises_after_its_migrations(tmp_path: Path, ours: Database) -> None:
    """Alembic keeps what was committed by then; so is it here, and the error tells."""
    project = Project(tmp_path, env(after="\nraise LookupError('too late')\n")).add(*SHOP)
    with pytest.raises(LookupError):
        project.alembic("upgrade", ours.url, "c0ffee01")
    assert ours.heads() == ["c0ffee01"]
    with pytest.raises(EnvironmentFailed, match="too late"):
        AlembicMigrator(create_engine(ours.url), project.config()).migrate()
    heads = ours.heads()[0]
    assert ("age" in str(ours.rows("SELECT sql FROM sqlite_master WHERE name = 'users'"))) == (heads == "c0ffee03")


def test_env_py_that_does_not_migrate(tmp_path: Path, ours: Database) -> None:
    """Some env.py run nothing when they find the database of another program."""
    from sqlmig import MigrationError

    project = Project(tmp_path, "from alembic import context\n").add(*SHOP)
    project.alembic("upgrade", ours.url, "head")
    assert "users" not in ours.tables()
    with pytest.raises(MigrationError):
        AlembicMigrator(create_engine(ours.url), project.config()).migrate()
    assert "users" not in ours.tables()


def test_the_events_of_the_engine_are_seen_by_the_revisions(tmp_path: Path, ours: Database, theirs: Database) -> None:
    """A function that the application gives its connections is there for the migrations."""
    project = Project(tmp_path, env()).add(Rev("a1", up="op.execute(\"CREATE TABLE t AS SELECT shout('a') AS n\")"))
    engine = create_engine(ours.url)

    @event.listens_for(engine, "connect")
    def _connected(connection: Any, record: Any) -> None:
        connection.create_function("shout", 1, str.upper)

    AlembicMigrator(engine, project.config()).migrate()
    assert ours.rows("SELECT n FROM t") == [("A",)]
