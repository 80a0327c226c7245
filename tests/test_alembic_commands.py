"""`alembic_compat.command` over a Config does what `alembic.command` does."""

from __future__ import annotations

import inspect
import io
from collections.abc import Callable
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from alembic import command as alembic_command
from alembic.util import CommandError
from alembic_environments import BROKEN, ENVIRONMENTS, SHOP, real_url
from alembic_environments import application as application
from alembic_environments import ours as ours
from alembic_environments import theirs as theirs
from alembic_projects import Database, Project, Rev, dated, env
from sqlalchemy import create_engine

from alembic_compat import AlembicMigrator, command
from sqlmig import MigrationError, MigrationFailed

TREE = (
    Rev("a1b2c3d4"),
    Rev("cafe0001", ("a1b2c3d4",), labels=("left",)),
    Rev("beef0002", ("a1b2c3d4",), labels=("right",)),
    Rev("beef0003", ("beef0002",)),
    Rev("feed0004", ("cafe0001", "beef0003")),
    Rev("dead0005", ("feed0004",)),
    Rev("dead0006", ("feed0004",)),
)


@pytest.fixture
def tree(tmp_path: Path) -> Project:
    return Project(tmp_path, env()).add(*TREE)


def said(tool: Any, project: Project, database: Database, name: str, *arguments: Any, **options: Any) -> str:
    """What a command prints."""
    out = io.StringIO()
    getattr(tool, name)(project.config(database.url, stdout=out, output_buffer=out), *arguments, **options)
    return out.getvalue()


STEPS: tuple[tuple[str, str], ...] = (
    ("upgrade", "left"),
    ("upgrade", "+1"),
    ("upgrade", "heads"),
    ("downgrade", "feed0004"),
    ("downgrade", "right@beef0002"),
    ("upgrade", "dead"),
    ("downgrade", "base"),
    ("upgrade", "right@head"),
    ("stamp", "heads"),
    ("stamp", "base"),
    ("stamp", "beef0003"),
    ("upgrade", "dead0006"),
    ("downgrade", "-1"),
)


def test_a_walk_of_commands(tree: Project, ours: Database, theirs: Database) -> None:
    for name, target in STEPS:
        outcomes = []
        for tool, database in ((alembic_command, theirs), (command, ours)):
            try:
                assert said(tool, tree, database, name, target) == ""
                outcomes.append("done")
            except (CommandError, MigrationError, UserWarning):
                outcomes.append("refused")
        assert outcomes[0] == outcomes[1], (name, target)
        assert ours.heads() == theirs.heads(), (name, target)
        assert ours.catalogue() == theirs.catalogue(), (name, target)


def test_commands_that_only_read_are_alembics_own() -> None:
    """What they print hangs on the order of sets in Alembic, and changes from run to run."""
    for name in ("current", "history", "heads"):
        assert getattr(command, name) is getattr(alembic_command, name)


def test_current_after_either_tool(tree: Project, ours: Database, theirs: Database) -> None:
    command.upgrade(tree.config(ours.url), "heads")
    tree.alembic("upgrade", theirs.url, "heads")
    told = [
        sorted(said(tool, tree, database, "current").splitlines())
        for tool in (alembic_command, command)
        for database in (ours, theirs)
    ]
    assert told == [["dead0005 (head)", "dead0006 (head)"]] * 4


@pytest.mark.parametrize(
    ("name", "target"), [("upgrade", "heads"), ("upgrade", "base:left"), ("downgrade", "left:base")]
)
def test_sql_is_written_and_not_run(name: str, target: str, tree: Project, ours: Database, theirs: Database) -> None:
    if target == "heads":
        tree = Project(tree.root / "line", env()).add(*TREE[:2])
    expected = said(alembic_command, tree, theirs, name, target, sql=True)
    found = said(command, tree, ours, name, target, sql=True)
    assert "t_cafe0001" in expected
    assert found == expected
    assert not ours.path.exists() or not ours.tables()


def test_stamp_with_sql(tree: Project, ours: Database, theirs: Database) -> None:
    expected = said(alembic_command, tree, theirs, "stamp", "left", sql=True)
    assert "cafe0001" in expected
    assert said(command, tree, ours, "stamp", "left", sql=True) == expected


@pytest.mark.parametrize("target", ["beef0003", "heads", "base", ["cafe0001", "beef0003"]])
def test_stamp_with_purge(target: str | list[str], tree: Project, ours: Database, theirs: Database) -> None:
    """A table that holds revisions of another project is emptied first."""
    for tool, database in ((alembic_command, theirs), (command, ours)):
        tree.alembic("upgrade", database.url, "left")
        engine = create_engine(database.url)
        with engine.begin() as connection:
            connection.exec_driver_sql("UPDATE alembic_version SET version_num = 'of another one'")
        with pytest.raises((CommandError, MigrationError)):
            tool.stamp(tree.config(database.url), target)
        tool.stamp(tree.config(database.url), target, purge=True)
    assert ours.heads() == theirs.heads()
    assert ours.catalogue() == theirs.catalogue()
    if target != "base":
        assert command.upgrade(tree.config(ours.url), "heads") is None
        tree.alembic("upgrade", theirs.url, "heads")
        assert ours.catalogue() == theirs.catalogue()


def test_an_upgrade_is_recorded(tree: Project, ours: Database) -> None:
    command.upgrade(tree.config(ours.url), "left")
    command.downgrade(tree.config(ours.url), "-1")
    entries = AlembicMigrator(ours.url, tree.config(ours.url)).get_migration_history()
    assert [entry["operation"] for entry in entries] == ["rollback", "apply", "apply"]
    assert ours.recorded() == {"a1b2c3d4": 1}


def test_the_callers_transaction_is_joined(tmp_path: Path, ours: Database, theirs: Database) -> None:
    """As in Alembic's cookbook: `config.attributes["connection"]`."""
    project = Project(tmp_path, ENVIRONMENTS["attributes"]).add(*SHOP)
    for tool, database in ((alembic_command, theirs), (command, ours)):
        engine = create_engine(database.url)
        with engine.begin() as connection:
            connection.exec_driver_sql("CREATE TABLE notes (n TEXT)")
        with engine.connect() as connection:
            connection.exec_driver_sql("INSERT INTO notes VALUES ('before')")
            config = project.config()
            config.attributes["connection"] = connection
            tool.upgrade(config, "head")
            assert connection.in_transaction()
            assert connection.exec_driver_sql("SELECT count(*) FROM orders").scalar() == 1
            connection.rollback()
        assert database.rows("SELECT n FROM notes") == []
        assert "users" not in database.tables()
        with engine.begin() as connection:
            connection.exec_driver_sql("INSERT INTO notes VALUES ('kept')")
            config.attributes["connection"] = connection
            tool.upgrade(config, "head")
            tool.downgrade(config, "-1")
    assert ours.catalogue() == theirs.catalogue()
    assert ours.heads() == ["c0ffee02"]


def test_a_failure_in_the_callers_transaction(tmp_path: Path, ours: Database) -> None:
    """The failed revision is undone, and what the caller did before is still his."""
    project = Project(tmp_path, ENVIRONMENTS["attributes"]).add(*SHOP, BROKEN)
    with create_engine(ours.url).begin() as connection:
        connection.exec_driver_sql("CREATE TABLE notes (n TEXT)")
        config = project.config()
        config.attributes["connection"] = connection
        with pytest.raises(MigrationFailed):
            command.upgrade(config, "head")
        connection.exec_driver_sql("INSERT INTO notes VALUES ('after')")
    assert ours.rows("SELECT n FROM notes") == [("after",)]
    assert "half" not in ours.tables()


def test_a_failing_revision(tmp_path: Path, ours: Database) -> None:
    project = Project(tmp_path, env()).add(*SHOP, BROKEN)
    with pytest.raises(MigrationFailed, match="bad00001"):
        command.upgrade(project.config(ours.url), "head")
    assert ours.heads() == ["c0ffee03"]
    assert "half" not in ours.tables()


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_every_env_py(
    name: str, tmp_path: Path, ours: Database, theirs: Database, application: Callable[[Database], Any]
) -> None:
    """The database is the one that env.py opens."""
    project = Project(tmp_path, ENVIRONMENTS[name]).add(*SHOP)
    application(theirs)
    project.alembic("upgrade", real_url(name, theirs), "head")
    application(ours)
    command.upgrade(project.config(real_url(name, ours)), "head")
    for database in (ours, theirs):
        assert "table deployments" in database.catalogue() or "second" not in name
    assert _without_deployments(ours) == _without_deployments(theirs)
    assert ours.recorded() == {"c0ffee01": 1, "c0ffee02": 2, "c0ffee03": 3}


def _without_deployments(database: Database) -> dict[str, Any]:
    return {name: entry for name, entry in database.catalogue().items() if name != "table deployments"}


MODELS = """from sqlalchemy import Column, Integer, MetaData, Table, Text
target_metadata = MetaData()
Table("t_a1", target_metadata, Column("n", Text))
"""


def test_check(tmp_path: Path, ours: Database, theirs: Database) -> None:
    project = Project(tmp_path, env(before=MODELS)).add(Rev("a1"))
    for database in (ours, theirs):
        project.alembic("upgrade", database.url, "head")
    expected = said(alembic_command, project, theirs, "check")
    assert "No new upgrade operations" in expected
    assert said(command, project, ours, "check") == expected
    command.upgrade(project.config(ours.url), "head")
    assert said(command, project, ours, "check") == expected


def test_check_finds_what_the_models_have(tmp_path: Path, ours: Database, theirs: Database) -> None:
    project = Project(tmp_path, env(before=MODELS + 'Table("more", target_metadata, Column("n", Text))'))
    project.add(Rev("a1"))
    for tool, database in ((alembic_command, theirs), (command, ours)):
        tool.upgrade(project.config(database.url), "head")
        with pytest.raises((CommandError, MigrationError), match="more"):
            tool.check(project.config(database.url))


@pytest.mark.skipif(not find_spec("alembic.runtime.plugins"), reason="Alembic has plugins from 1.18")
@pytest.mark.parametrize("options", [{}, {"versions_table": "audit", "history_table": "trail"}])
def test_alembics_own_autogenerate_leaves_the_records_alone(
    options: dict[str, str], tmp_path: Path, ours: Database
) -> None:
    project = Project(tmp_path, env(before=MODELS)).add(Rev("a1"))
    AlembicMigrator(create_engine(ours.url), project.config(ours.url), **options).migrate()
    alembic_command.check(project.config(ours.url))
    script = alembic_command.revision(project.config(ours.url, stdout=io.StringIO()), autogenerate=True)
    assert not isinstance(script, list | None)
    assert "drop_" not in Path(script.path).read_text()


@pytest.mark.skipif(not find_spec("alembic.runtime.plugins"), reason="Alembic has plugins from 1.18")
def test_tables_that_look_like_records_are_compared_where_the_application_declares_them(
    tmp_path: Path, ours: Database
) -> None:
    names = ["version", "description", "applied_at", "checksum", "rollback_supported"]
    declared = f"Table('releases', target_metadata, *[Column(name, Text) for name in {names!r}])"
    up = f"op.execute('CREATE TABLE releases ({', '.join(names)})')\nop.execute('CREATE TABLE stranger (n)')"
    project = Project(tmp_path, env(before=MODELS + declared)).add(Rev("a1"), Rev("a2", down=("a1",), up=up))
    AlembicMigrator(create_engine(ours.url), project.config(ours.url)).migrate()
    with pytest.raises(CommandError) as caught:
        alembic_command.check(project.config(ours.url))
    assert "stranger" in str(caught.value)
    assert "add_table" not in str(caught.value)


def test_alembic_18_and_later_take_the_entry_point() -> None:
    """Alembic 1.18 iterates over what it names, later releases want a module."""
    (found,) = entry_points(group="alembic.plugins", name="alembic.autogenerate.sqlmig")
    plugin = found.load()
    assert isinstance(plugin, ModuleType)
    assert [one.setup for one in plugin] == [plugin.setup]


def test_check_before_it_is_up_to_date(tmp_path: Path, ours: Database, theirs: Database) -> None:
    project = Project(tmp_path, env(before=MODELS)).add(Rev("a1"))
    for tool, database in ((alembic_command, theirs), (command, ours)):
        with pytest.raises((CommandError, MigrationError), match="not up to date"):
            tool.check(project.config(database.url))


@pytest.mark.parametrize("autogenerate", [False, True])
def test_a_new_revision(autogenerate: bool, tmp_path: Path, ours: Database, theirs: Database) -> None:
    """sqlmig's own tables are no difference that a model lacks."""
    written = []
    for tool, database in ((alembic_command, theirs), (command, ours)):
        text = env(before=MODELS + 'Table("more", target_metadata, Column("n", Text))')
        project = Project(tmp_path / database.path.stem, text).add(Rev("a1"))
        tool.upgrade(project.config(database.url), "head")
        options = {"message": "More of it", "autogenerate": autogenerate, "rev_id": "b2", "branch_label": "new"}
        script = tool.revision(project.config(database.url, stdout=io.StringIO()), **options)
        assert script.revision == "b2"
        text = Path(script.path).read_text()
        assert Path(script.path).name == "b2_more_of_it.py"
        written.append([one for one in text.splitlines() if not one.startswith("Create Date")])
        tool.upgrade(project.config(database.url), "head")
    assert written[0] == written[1]
    assert ("create_table('more'" in "\n".join(written[0])) == autogenerate
    assert ours.catalogue() == theirs.catalogue()


def test_a_new_revision_on_a_branch(tree: Project, ours: Database) -> None:
    script = command.revision(
        tree.config(ours.url, stdout=io.StringIO()), message="x", head="dead0005", depends_on="dead0006", rev_id="new1"
    )
    assert script.down_revision == "dead0005"
    assert script.dependencies == "dead0006"
    with pytest.raises((CommandError, MigrationError)):
        command.revision(tree.config(ours.url, stdout=io.StringIO()), message="y")


@pytest.mark.filterwarnings("ignore:'get_engine' is deprecated")
def test_flask_migrate(tmp_path: Path, ours: Database, theirs: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its env.py takes engine, metadata and options from the application that is current."""
    flask = pytest.importorskip("flask")
    flask_migrate = pytest.importorskip("flask_migrate")
    flask_sqlalchemy = pytest.importorskip("flask_sqlalchemy")
    folder = tmp_path / "migrations"

    def made(url: str) -> Any:
        application = flask.Flask(__name__)
        application.config["SQLALCHEMY_DATABASE_URI"] = url
        database = flask_sqlalchemy.SQLAlchemy(application)
        flask_migrate.Migrate(application, database, directory=str(folder))
        return application, database

    application, _ = made(theirs.url)
    with application.app_context():
        flask_migrate.init()
        for number, one in enumerate(SHOP):
            (folder / "versions" / f"{one.name}.py").write_text(one.text(dated(number)))
        flask_migrate.upgrade()
        assert theirs.heads() == ["c0ffee03"]
    for form in ("folder", "config", "ini"):
        mine = Database(tmp_path / f"{form}.db")
        application, database = made(mine.url)
        with application.app_context():
            config = application.extensions["migrate"].migrate.get_config()
            place = {"folder": folder, "config": config, "ini": folder / "alembic.ini"}[form]
            migrator = AlembicMigrator(database.engine, place)
            migrator.migrate()
            assert mine.catalogue() == theirs.catalogue(), form
            migrator.rollback_to_version("-1")
            flask_migrate.upgrade()
            assert mine.catalogue() == theirs.catalogue(), form
            command.downgrade(config, "-1")
            assert mine.heads() == ["c0ffee02"]


def test_every_command_of_alembics_is_there() -> None:
    """An application that changes the import finds what it called before; `ensure_version` is what upgrade does."""
    names = {name for name, value in vars(alembic_command).items() if inspect.isfunction(value) and name[0] != "_"}
    theirs = {name for name in names if vars(alembic_command)[name].__module__ == alembic_command.__name__}
    assert theirs - {"ensure_version"} <= set(command.__all__)
