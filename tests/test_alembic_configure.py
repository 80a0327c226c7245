"""What env.py says to `configure()` and `run_migrations()`, and what is said in its place, is honoured."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from alembic_environments import BROKEN, ENVIRONMENTS, SHOP, real_url
from alembic_environments import application as application
from alembic_environments import ours as ours
from alembic_environments import theirs as theirs
from alembic_projects import Database, Project, Rev, env
from sqlalchemy import MetaData, create_engine

from alembic_compat import AlembicMigrator, command
from sqlmig import MigrationFailed

CONVENTION = {
    "ix": "ix_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}
CONVENTIONS = f"from sqlalchemy import MetaData\ntarget_metadata = MetaData(naming_convention={CONVENTION!r})"


NAMED = (
    Rev(
        "aaaa0001",
        up="""op.create_table(
    "parents",
    sa.Column("id", sa.Integer(), primary_key=True),
    sa.Column("name", sa.String(50), unique=True),
    sa.Column("kind", sa.Enum("a", "b", name="kinds", create_constraint=True, native_enum=False)),
    sa.Column("code", sa.String(5), index=True),
    sa.UniqueConstraint("code", "name"),
    sa.UniqueConstraint("kind", name=op.f("exactly_this")),
    sa.CheckConstraint("id > 0", name="positive"),
    sa.CheckConstraint("id < 9", name=op.f("ck_as_it_is")),
)
op.create_table(
    "children",
    sa.Column("id", sa.Integer(), primary_key=True),
    sa.Column("parent_id", sa.Integer(), sa.ForeignKey("parents.id")),
    sa.Column("other_id", sa.Integer()),
    sa.ForeignKeyConstraint(["other_id"], ["parents.id"], name=None),
)""",
        back='op.drop_table("children")\nop.drop_table("parents")',
    ),
    Rev(
        "aaaa0002",
        ("aaaa0001",),
        up="""with op.batch_alter_table("parents") as batch:
    batch.drop_constraint("uq_parents_code", type_="unique")
    batch.drop_constraint(op.f("ck_parents_positive"), type_="check")
with op.batch_alter_table("children") as batch:
    batch.drop_constraint("fk_children_parent_id_parents", type_="foreignkey")
    batch.create_foreign_key(None, "parents", ["parent_id"], ["id"])
    batch.create_unique_constraint(None, ["other_id"])""",
        back="""with op.batch_alter_table("children") as batch:
    batch.drop_constraint("uq_children_other_id", type_="unique")
with op.batch_alter_table("parents") as batch:
    batch.create_check_constraint("positive", "id > 0")
    batch.create_unique_constraint(None, ["code", "name"])""",
    ),
)


def named(tmp_path: Path, theirs: Database) -> Project:
    project = Project(tmp_path, env(before=CONVENTIONS)).add(*NAMED)
    project.alembic("upgrade", theirs.url, "head")
    entry = theirs.catalogue()
    assert "fk_children_parent_id_parents" in entry["table children"]["constraints"]
    assert "uq_parents_code" not in entry["table parents"]["constraints"]
    return project


@pytest.mark.parametrize("name", ["generic", "async", "schemaless"])
def test_the_naming_convention_of_the_metadata(name: str, tmp_path: Path, ours: Database, theirs: Database) -> None:
    text = env(before=CONVENTIONS)
    if name == "async":
        text = ENVIRONMENTS["async"].replace("target_metadata = None", CONVENTIONS, 1)
    if name == "schemaless":
        # A sequence of them is what an application with several bases has.
        text = text.replace("target_metadata=target_metadata", "target_metadata=[target_metadata]")
    project = Project(tmp_path, text).add(*NAMED)
    try:
        project.alembic("upgrade", real_url(name, theirs), "head")
    except ValueError:
        # Alembic takes no convention from a sequence: what it does not run has no names to compare.
        assert name == "schemaless"
        with pytest.raises(MigrationFailed):
            AlembicMigrator(create_engine(ours.url), project.config()).migrate()
        return
    migrator = AlembicMigrator(create_engine(ours.url), project.config())
    migrator.migrate()
    assert ours.catalogue() == theirs.catalogue()
    project.alembic("downgrade", real_url(name, theirs), "-1")
    migrator.rollback_to_version("-1")
    assert ours.catalogue() == theirs.catalogue()


@pytest.mark.parametrize("way", ["target_metadata", "naming_convention"])
def test_the_naming_convention_without_env_py(way: str, tmp_path: Path, ours: Database, theirs: Database) -> None:
    project = named(tmp_path, theirs)
    (project.folder / "env.py").write_text("raise RuntimeError('not to be run')")
    options: dict[str, Any] = {"naming_convention": CONVENTION}
    if way == "target_metadata":
        options = {"target_metadata": MetaData(naming_convention=CONVENTION)}
    migrator = AlembicMigrator(create_engine(ours.url), project.folder, env=False, **options)
    assert migrator.migrate().applied == [1, 2]
    assert ours.catalogue() == theirs.catalogue()
    assert not migrator.needs_migration()
    migrator.rollback_to_version("base")
    assert ours.heads() == []


def test_a_version_table_without_env_py(tmp_path: Path, ours: Database, theirs: Database) -> None:
    project = Project(tmp_path, env("version_table='mine'")).add(*SHOP)
    project.alembic("upgrade", theirs.url, "head")
    (project.folder / "env.py").unlink()
    migrator = AlembicMigrator(
        create_engine(ours.url), project.folder, env=False, version_table="mine", version_table_schema="main"
    )
    migrator.migrate()
    assert ours.catalogue() == theirs.catalogue()
    assert ours.heads("mine") == ["c0ffee03"]


@pytest.mark.parametrize(
    "configure",
    [
        "render_as_batch=True",
        "include_object=lambda object, name, kind, reflected, to: name != 'users'",
        "include_name=lambda name, kind, parents: False",
        "user_module_prefix='app.types.'",
        "sqlalchemy_module_prefix='sqlalchemy.'",
        "transaction_per_migration=True",
        "transaction_per_migration=False",
        "transactional_ddl=True",
        "transactional_ddl=False",
        "compare_type=True, compare_server_default=True",
        "include_schemas=True",
        "version_table_pk=False",
        "version_table='versions', version_table_schema='main'",
        "process_revision_directives=lambda context, revision, directives: None",
        "dialect_opts={'paramstyle': 'named'}",
        "template_args={'x': 1}",
        "my_own_option='kept'",
    ],
)
def test_options_of_configure(configure: str, tmp_path: Path, ours: Database, theirs: Database) -> None:
    table = "versions" if "versions" in configure else "alembic_version"
    project = Project(tmp_path, env(configure)).add(*SHOP)
    project.alembic("upgrade", theirs.url, "head")
    assert theirs.heads(table) == ["c0ffee03"]
    migrator = AlembicMigrator(create_engine(ours.url), project.config())
    migrator.migrate()
    assert ours.catalogue() == theirs.catalogue()
    project.alembic("downgrade", theirs.url, "-2")
    migrator.rollback_to_version("-2")
    assert ours.catalogue() == theirs.catalogue()
    project.add(BROKEN)
    AlembicMigrator(create_engine(ours.url), project.config()).migrate_to_version("c0ffee03")
    before = ours.catalogue()
    with pytest.raises(MigrationFailed):
        AlembicMigrator(create_engine(ours.url), project.config()).migrate()
    assert ours.catalogue() == before


ONE_TRANSACTION = "transactional_ddl=True"


@pytest.mark.parametrize(
    ("configure", "said", "stays"),
    [
        (ONE_TRANSACTION, None, False),
        (f"{ONE_TRANSACTION}, transaction_per_migration=False", None, False),
        (f"{ONE_TRANSACTION}, transaction_per_migration=True", None, True),
        (ONE_TRANSACTION, False, True),
        ("transaction_per_migration=False", None, True),
        ("", True, False),
    ],
)
@pytest.mark.parametrize("way", ["env.py", "env=False", "command"])
def test_one_transaction_where_alembic_has_one(
    configure: str, said: bool | None, stays: bool, way: str, tmp_path: Path, ours: Database
) -> None:
    """Alembic begins one for all where `transactional_ddl` is on, and is not told to begin one for each."""
    if way == "command" and said is not None:
        pytest.skip("Alembic's command has no such argument")
    project = Project(tmp_path, env(configure)).add(Rev("a1", up="op.execute('CREATE TABLE one (n)')"))
    project.add(Rev("a2", down=("a1",), up="op.execute('CREATE TABLE two (n)')\nraise RuntimeError('no')"))
    given = {part.partition("=")[0].strip(): "True" in part for part in configure.split(",") if part}
    options: dict[str, Any] = {"env": False, "configure": given} if way == "env=False" else {}

    def act() -> None:
        if way == "command":
            command.upgrade(project.config(ours.url), "head")
        else:
            AlembicMigrator(create_engine(ours.url), project.folder, **options).migrate(all_or_nothing=said)

    with pytest.raises(MigrationFailed):
        act()
    assert ("one" in ours.tables(), "two" in ours.tables()) == (stays, False)


def test_a_revision_that_commits_ends_the_one_transaction(tmp_path: Path, ours: Database, theirs: Database) -> None:
    project = Project(tmp_path, env(ONE_TRANSACTION)).add(*SHOP)
    block = "with op.get_context().autocommit_block():\n    op.execute('CREATE TABLE outside (n)')"
    project.add(Rev("late", down=(SHOP[-1].name,), up=block))
    project.alembic("upgrade", theirs.url, "head")
    result = AlembicMigrator(create_engine(ours.url), project.folder).migrate()
    assert result.applied == [1, 2, 3, 4]
    assert ours.catalogue() == theirs.catalogue()
    assert AlembicMigrator(create_engine(ours.url), project.folder, all_or_nothing=True).migrate().applied == []


def test_options_reach_the_revisions(tmp_path: Path, ours: Database, theirs: Database) -> None:
    told = (
        "options = op.get_context().opts\n"
        "op.execute('CREATE TABLE told (n TEXT)')\n"
        "said = [options['my_own_option'], op.get_context().config is context.config, op.get_context().dialect.name,"
        " context.is_offline_mode(), context.config.get_main_option('flavour'), context.get_head_revision(),"
        " context.get_context() is op.get_context(), op.get_bind() is op.get_context().connection,"
        " op.get_context().as_sql, context.config.config_ini_section]\n"
        "for one in said:\n"
        "    op.get_bind().execute(sa.text('INSERT INTO told VALUES (:one)'), {'one': str(one)})"
    )
    project = Project(tmp_path, env("my_own_option='kept'"), ini={"flavour": "sweet"})
    project.add(Rev("a1", up=told, module="from alembic import context"))
    project.alembic("upgrade", theirs.url, "head")
    assert ("kept",) in theirs.rows("SELECT n FROM told")
    AlembicMigrator(create_engine(ours.url), project.config()).migrate()
    assert ours.rows("SELECT n FROM told") == theirs.rows("SELECT n FROM told")


def test_callbacks_of_versions(
    tmp_path: Path, ours: Database, theirs: Database, application: Callable[[Database], Any]
) -> None:
    before = """from shop_application import calls
from sqlalchemy import text
def applied(ctx, step, heads, run_args, **kw):
    calls.append((step.is_upgrade, step.is_stamp, step.up_revision_id, step.down_revision_ids, sorted(heads)))
    ctx.connection.execute(text("CREATE TABLE IF NOT EXISTS applied (n TEXT)"))
    ctx.connection.execute(text("INSERT INTO applied VALUES (:n)"), {"n": step.up_revision_id})"""
    project = Project(tmp_path, env("on_version_apply=applied", before=before)).add(*SHOP)
    found = application(theirs)
    project.alembic("upgrade", theirs.url, "head")
    project.alembic("downgrade", theirs.url, "-1")
    expected = list(found.calls)
    assert len(expected) == 4
    found = application(ours)
    migrator = AlembicMigrator(create_engine(ours.url), project.config())
    migrator.migrate()
    migrator.rollback_to_version("-1")
    assert found.calls == expected
    assert ours.catalogue() == theirs.catalogue()
    project.add(BROKEN)
    before_it = ours.catalogue()
    migrator = AlembicMigrator(create_engine(ours.url), project.config())
    with pytest.raises(MigrationFailed):
        migrator.migrate(all_or_nothing=True)
    assert ours.catalogue() == before_it


@pytest.mark.parametrize("x", [(), ("tenant=acme",), ("tenant=acme", "flag")])
def test_x_arguments(x: tuple[str, ...], tmp_path: Path, ours: Database, theirs: Database) -> None:
    before = 'tenant = context.get_x_argument(as_dictionary=True).get("tenant", "public")'
    up = (
        'tenant = context.get_x_argument(as_dictionary=True).get("tenant", "public")\n'
        'op.execute(f"CREATE TABLE {tenant}_things (n TEXT)")\n'
        "for one in context.get_x_argument():\n"
        "    op.execute(f\"INSERT INTO {tenant}_things VALUES ('{one}')\")"
    )
    project = Project(tmp_path, env("version_table=f'{tenant}_version'", before=before))
    project.add(Rev("a1", up=up, module="from alembic import context"))
    project.alembic("upgrade", theirs.url, "head", x=x)
    assert theirs.heads("acme_version" if x else "public_version") == ["a1"]
    AlembicMigrator(create_engine(ours.url), project.folder, x_arguments=list(x) or None).migrate()
    assert ours.catalogue() == theirs.catalogue()


def test_x_arguments_of_a_config(tmp_path: Path, ours: Database, theirs: Database) -> None:
    up = 'op.execute("CREATE TABLE " + context.get_x_argument(as_dictionary=True)["tenant"] + " (n TEXT)")'
    project = Project(tmp_path, env()).add(Rev("a1", up=up, module="from alembic import context"))
    project.alembic("upgrade", theirs.url, "head", x=["tenant=acme"])
    AlembicMigrator(create_engine(ours.url), project.config(x=["tenant=acme"])).migrate()
    assert ours.catalogue() == theirs.catalogue()
    assert "acme" in ours.tables()


def test_arguments_of_upgrade(tmp_path: Path, ours: Database, theirs: Database) -> None:
    up = 'op.execute(f"CREATE TABLE {flavour}_{engine_name} (n TEXT)")'
    back = 'op.execute(f"DROP TABLE {flavour}_{engine_name}")'
    project = Project(tmp_path, env(run="flavour='sweet', engine_name='one'"))
    project.add(Rev("a1", up=up, back=back, arguments="flavour, engine_name=None"))
    project.alembic("upgrade", theirs.url, "head")
    assert "sweet_one" in theirs.tables()
    migrator = AlembicMigrator(create_engine(ours.url), project.config())
    migrator.migrate()
    assert ours.catalogue() == theirs.catalogue()
    migrator.rollback_to_version("base")
    assert "sweet_one" not in ours.tables()
