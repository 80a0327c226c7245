"""`Migrator.check` on servers: three databases, made, compared and gone again, by every driver."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from check_support import EVERY, PLAIN, UP, add, checked, left_behind, library, number, server_of_its_own, words
from click.testing import CliRunner
from conftest import Folder
from drift_models import metadata_of, tables
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from places import Place
from sqlalchemy import CheckConstraint, Column, Integer, MetaData, String, Table, UniqueConstraint
from sqlalchemy.dialects import mysql, postgresql
from sqlalchemy.pool import NullPool
from sqlalchemy.types import UserDefinedType

from sqlmig.cli.app import app
from sqlmig.errors import CheckImpossible, ConfigurationError

every_driver = pytest.mark.parametrize("server", EVERY, indirect=True)
each_server = pytest.mark.parametrize("server", PLAIN, indirect=True)


@pytest.fixture
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    with server_of_its_own(request.param, tmp_path) as place:
        yield place


@every_driver
def test_what_somebody_changed_by_hand_is_told_and_nothing_else(server: Place, folder: Folder) -> None:
    add(folder, 1, UP)
    before = checked(server, folder, library())
    assert before.clean, str(before)
    server.run("ALTER TABLE books ADD by_hand INTEGER", "ALTER TABLE authors DROP COLUMN name")
    report = checked(server, folder, library())
    assert [found.text for found in report.between("migrations", "database")] == [
        f"column authors.name {words(server, 40)} NOT NULL: in the migrations only",
        f"column books.by_hand {number(server)}: in the database only",
    ]
    assert report.between("models", "migrations") == []
    assert not report
    assert len(report.between("models", "database")) == 2
    assert left_behind(server) == []
    assert server.tables() == ["authors", "books"]


@each_server
def test_what_the_models_have_and_the_migrations_have_not(server: Place, folder: Folder) -> None:
    add(folder, 1, UP)
    models = library()
    models.tables["books"].append_column(Column("pages", Integer, nullable=False))
    Table("shelves", models, Column("id", Integer, primary_key=True))
    report = checked(server, folder, models, database=False)
    assert {found.text for found in report.differences} == {
        f"column books.pages {number(server)} NOT NULL: in the models only",
        "table shelves (id): in the models only",
    }
    assert checked(server, folder, models, database=False, ignore=["shelves", "books.pages"]).clean


@each_server
def test_a_name_that_models_give_is_told_where_the_server_made_one_up(server: Place, folder: Folder) -> None:
    """In a new database each name that the server would not give is the models', however it ends."""
    add(folder, 1, 'self.create_table("t", Column("a", Integer, unique=True))')
    name = "no_two_key" if server.database == "postgresql" else "slug"
    models = MetaData()
    Table("t", models, Column("a", Integer), UniqueConstraint("a", name=name))
    (found,) = checked(server, folder, models).between("models", "migrations")
    assert found.text == (f"t: unique {name}: named {name} in the models, without a name of its own in the migrations")


@each_server
def test_a_name_that_the_server_made_up_of_a_former_name_is_no_difference(server: Place, folder: Folder) -> None:
    add(folder, 1, 'self.create_table("old", Column("b", Integer, CheckConstraint("b > 0"), unique=True))')
    add(folder, 2, 'self.rename_table("old", "t"); self.rename_column("t", "b", "a")')
    models = MetaData()
    Table("t", models, Column("a", Integer, CheckConstraint("a > 0"), unique=True))
    report = checked(server, folder, models)
    assert report, str(report)


@each_server
def test_a_database_that_is_behind_is_compared_with_the_migrations_up_to_there(server: Place, folder: Folder) -> None:
    add(folder, 1, UP)
    assert checked(server, folder).clean
    add(folder, 2, 'self.add_column("books", Column("pages", Integer))')
    report = checked(server, folder, migrate=False)
    assert report.clean
    assert str(report).startswith("The database is at version 1, 1 migration behind")


@each_server
def test_a_database_that_is_ahead_is_not_compared(server: Place, folder: Folder) -> None:
    add(folder, 1, UP)
    newest = add(folder, 2, 'self.add_column("books", Column("pages", Integer))')
    assert checked(server, folder).clean
    newest.unlink()
    report = checked(server, folder, library(), migrate=False)
    assert not report.clean
    assert "ahead of the newest migration" in str(report)
    assert [(one.left, one.right) for one in report.comparisons] == [("models", "migrations")]


@each_server
def test_records_of_other_names_are_left_out(server: Place, folder: Folder) -> None:
    add(folder, 1, UP)
    records = {"versions_table": "done", "history_table": "tried"}
    assert checked(server, folder, library(), migrator=records).clean
    assert set(server.tables()) == {"authors", "books", "done", "tried"}


@each_server
def test_the_command_tells_it_in_json_and_by_its_exit_code(
    server: Place, folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(folder, 1, UP)
    assert checked(server, folder).clean
    models = "from check_support import library\nmetadata = library()\n"
    (tmp_path / "server_models.py").write_text(models)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(__import__("sys").modules, "server_models", raising=False)
    url = server.look.url.render_as_string(hide_password=False)
    arguments = ["check", "--url", url, "--path", str(folder.path), "--models", "server_models:metadata", "--json"]
    clean = CliRunner().invoke(app, arguments)
    assert clean.exit_code == 0, clean.output
    assert json.loads(clean.output)["clean"]
    server.run("DROP TABLE books")
    found = CliRunner().invoke(app, arguments)
    assert found.exit_code == 1
    [told, _] = (one for one in json.loads(found.output)["comparisons"] if one["findings"])
    assert [one["text"] for one in told["findings"]] == ["table books (id, title, author): in the migrations only"]


class Unknown(UserDefinedType[Any]):
    cache_ok = True

    def get_col_spec(self, **_: object) -> str:
        return "no_such_type"


@each_server
@pytest.mark.parametrize("foreign", [True, False])
def test_a_type_that_the_database_cannot_hold(server: Place, folder: Folder, foreign: bool) -> None:
    add(folder, 1, UP)
    other = mysql.YEAR() if server.database == "postgresql" else postgresql.ARRAY(Integer)
    models = MetaData()
    Table("t", models, Column("id", Integer, primary_key=True), Column("c", other if foreign else Unknown()))
    with pytest.raises(ConfigurationError, match="The models") as raised:
        checked(server, folder, models)
    assert "no_such_type" in str(raised.value) or foreign
    assert left_behind(server) == []


@each_server
def test_migrations_that_fail_on_an_empty_database(server: Place, folder: Folder) -> None:
    add(folder, 1, UP)
    assert checked(server, folder).clean
    server.run("CREATE TABLE old (id INTEGER)")
    # The application's database has what no migration makes.
    add(folder, 2, 'self.add_column("old", Column("more", Integer))')
    with pytest.raises(CheckImpossible, match="old") as raised:
        checked(server, folder, library())
    # What becomes of a database that is gone again is nobody's affair, and what to do about it no advice.
    assert "permanent" not in str(raised.value)
    assert "sqlmig repair" not in str(raised.value)
    assert str(raised.value).endswith(
        "Mend that migration, so that a new installation works; the database itself was not touched."
    )
    assert left_behind(server) == []


@each_server
def test_an_engine_that_connects_in_its_own_way_is_refused(server: Place, folder: Folder) -> None:
    add(folder, 1, UP)
    checked(server, folder)
    dialect: Any = server.look.dialect
    arguments, options = dialect.create_connect_args(server.look.url)
    engine = server.engine(creator=lambda: dialect.loaded_dbapi.connect(*arguments, **options))
    with pytest.raises(ConfigurationError, match="creator="):
        server.migrator(folder, engine).check(library())
    assert left_behind(server) == []


@each_server
def test_a_migration_does_not_reach_the_database_of_the_application(server: Place, folder: Folder) -> None:
    import builtins

    engine = server.engine()
    builtins.application_engine = engine  # type: ignore[attr-defined]
    up = "with application_engine.begin() as c: c.exec_driver_sql('CREATE TABLE astray (id INTEGER)')"
    try:
        add(folder, 1, up)
        with pytest.raises(CheckImpossible, match="must not touch"):
            server.migrator(folder, engine).check()
    finally:
        del builtins.application_engine  # type: ignore[attr-defined]
    assert server.tables(all_=True) == []


ENGINES = [{"isolation_level": "AUTOCOMMIT"}, {"poolclass": NullPool}, {"pool_size": 1, "max_overflow": 0}]


@each_server
@pytest.mark.parametrize("options", ENGINES, ids=str)
def test_engines_as_applications_have_them(server: Place, folder: Folder, options: dict[str, Any]) -> None:
    add(folder, 1, UP)
    engine = server.engine(**options)
    migrator = server.migrator(folder, engine)
    migrator.migrate()
    report = migrator.check(library())
    assert report.clean, str(report)
    server.run("ALTER TABLE books ADD by_hand INTEGER")
    assert len(migrator.check(library()).between("migrations", "database")) == 1
    assert left_behind(server) == []


@pytest.mark.parametrize("server", EVERY, indirect=True)
def test_a_check_that_is_cancelled_leaves_nothing(server: Place, folder: Folder) -> None:
    add(folder, 1, UP + "import time\nfor _ in range(200): self.execute_sql('SELECT 1') or time.sleep(0.01)")

    async def cancel() -> None:
        engine = server.engine()
        task = asyncio.ensure_future(server.migrator(folder, engine).check_async(library()))
        while not left_behind(server):
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        closed = engine.dispose()
        await closed if closed is not None else None

    asyncio.run(cancel())
    assert left_behind(server) == []


@each_server
def test_inside_the_transaction_of_a_caller(server: Place, folder: Folder) -> None:
    add(folder, 1, UP)
    checked(server, folder)
    with server.look.connect() as connection:
        connection.exec_driver_sql("CREATE TABLE shelves (id INTEGER)")
        report = server.migrator(folder, connection).check(library())
        assert [found.text for found in report.between("migrations", "database")] == [
            "table shelves (id): in the database only"
        ]
        assert connection.in_transaction()


@each_server
@given(data=st.data())
@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_migration_file_that_makes_the_models_by_detours(server: Place, folder: Folder, data: st.DataObject) -> None:
    listed = data.draw(tables(server.database))
    path = add(folder, 1, f"travel(self, {listed!r})")
    path.write_text(f"from drift_models import Col, Key, Tab, travel\n{path.read_text()}")
    report = checked(server, folder, metadata_of(server.database, listed), migrate=False, database=False)
    assert report.clean, str(report)


@each_server
def test_models_of_a_view(server: Place, folder: Folder) -> None:
    add(folder, 1, UP + 'self.execute_sql("CREATE VIEW titles AS SELECT id, title FROM books")')
    models = library()
    Table("titles", models, Column("id", Integer, primary_key=True), Column("title", String(99)))
    assert checked(server, folder, models).clean
    server.run("DROP VIEW titles")
    assert [found.text for found in checked(server, folder, library()).differences] == [
        "view titles: in the migrations only"
    ]
