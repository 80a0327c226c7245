"""The plugin of pytest's: fixtures, where it is told of the application, and what it costs whoever does not use it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from plugin_support import Application


@pytest.fixture
def application(tmp_path: Path) -> Application:
    """Two migrations, each of which writes down beside the application that it was run."""
    found = Application(tmp_path / "application")
    for version in (1, 2):
        counted(found, version)
    return found


def counted(application: Application, version: int, columns: str = "id INTEGER PRIMARY KEY, n TEXT") -> None:
    """A migration that makes the table t<version> with a row, and tells that it was run."""
    log = application.path / "log"
    application.write(
        f"migrations/versions/{version:03}_counted.py",
        f"""
        from sqlmig import BaseMigration

        class Counted{version}(BaseMigration):
            version = {version}

            def up(self):
                with open({str(log)!r}, "a") as log:
                    log.write("{version} ")
                self.execute_sql("CREATE TABLE t{version} ({columns})")
                self.execute_sql("INSERT INTO t{version} (n) VALUES ('first')")

            def down(self):
                self.drop_table("t{version}")
        """,
    )


def runs(application: Application) -> list[str]:
    """The migrations that were run since the last call, in their order."""
    log = application.path / "log"
    found = log.read_text().split() if log.exists() else []
    log.unlink(missing_ok=True)
    return found


def passes(application: Application, *arguments: str, tests: int, **options: object) -> str:
    """Run its tests, which all pass; what was printed."""
    ran = application.run(*arguments, **options)  # type: ignore[arg-type]
    assert ran.code == 0, ran.output
    assert len(ran.of("passed")) == tests, ran.output
    return ran.output


# Whoever does not use it


def test_nothing_is_imported_for_who_does_not_use_it(application: Application) -> None:
    application.write(
        "tests/test_own.py",
        """
        import json
        import sys

        def test_own(request):
            loaded = sorted(name for name in sys.modules if name.partition(".")[0] in ("sqlmig", "sqlalchemy"))
            request.config.rootpath.joinpath("loaded").write_text(json.dumps([loaded, request.fixturenames]))
        """,
    )
    passes(application, tests=1)
    loaded, fixtures = json.loads((application.path / "loaded").read_text())
    assert loaded == ["sqlmig", "sqlmig.pytest_plugin"]
    assert fixtures == ["request"]
    assert not list(application.path.glob(".pytest_cache/d/sqlmig*"))
    # And switched off, it is not even there.
    application.write("tests/test_own.py", "import sys\ndef test_own(): assert 'sqlmig' not in sys.modules\n")
    passes(application, "-p", "no:sqlmig", tests=1)
    assert "unrecognized arguments: --sqlmig" in application.run("-p", "no:sqlmig", "--sqlmig").output


def test_pytest_does_not_compile_sqlmig_anew(application: Application) -> None:
    """As it does with all packages that have a plugin, to rewrite their asserts."""
    application.write(
        "tests/test_own.py",
        """
        def test_own(migrator):
            import sqlmig.runner
            assert type(sqlmig.runner.__loader__).__name__ == "SourceFileLoader"
            assert type(__loader__).__name__ == "AssertionRewritingHook"
        """,
    )
    passes(application, tests=1)


# Fixtures


def test_each_test_has_a_database_of_its_own(application: Application) -> None:
    application.write(
        "tests/test_own.py",
        """
        import threading

        import pytest
        from sqlalchemy import inspect


        def count(engine):
            with engine.connect() as connection:
                return connection.exec_driver_sql("SELECT count(*) FROM t1").scalar()


        @pytest.mark.parametrize("number", range(3))
        def test_rows_of_others_are_not_there(migrated_engine, migrator, number):
            assert migrator.get_current_version() == 2
            assert migrator.db.engine is migrated_engine
            assert count(migrated_engine) == 1
            with migrated_engine.begin() as connection:
                connection.exec_driver_sql("INSERT INTO t1 (n) VALUES ('second')")
            assert count(migrated_engine) == 2


        def test_threads_see_one_database(migrated_engine):
            with migrated_engine.begin() as connection:
                connection.exec_driver_sql("INSERT INTO t1 (n) VALUES ('second')")
            found = []
            thread = threading.Thread(target=lambda: found.append(count(migrated_engine)))
            thread.start()
            thread.join()
            assert found == [2]


        def test_it_outlives_the_application_s_end(migrated_engine):
            with migrated_engine.begin() as connection:
                connection.exec_driver_sql("INSERT INTO t1 (n) VALUES ('second')")
            migrated_engine.dispose()
            assert count(migrated_engine) == 2


        def test_what_a_migration_does_is_undone(migrator):
            migrator.rollback_to_version(0)
            assert migrator.migrate().applied == [1, 2]
            assert migrator.rehearse(0)


        def test_an_empty_one(empty_engine):
            assert inspect(empty_engine).get_table_names() == []


        def test_an_older_one(database_at):
            old, older = database_at(1), database_at(0)
            old.db.execute("INSERT INTO t1 (n) VALUES (?)", ("old",))
            assert old.version == 1
            assert old.migrate().applied == [2]
            assert old.version == 2
            assert count(old.engine) == 2
            assert older.migrate(1).applied == [1]
            assert older.version == 1


        def test_one_that_no_migration_makes(database_at):
            with pytest.raises(Exception, match="There is no migration with version 7"):
                database_at(7)
        """,
    )
    passes(application, tests=9)
    made, first, migrated_on = ["1", "2"], ["1"], ["2", "1"]
    by_the_migrator = ["1", "2"] * 2
    assert runs(application) == [*made, *by_the_migrator, *first, *migrated_on]
    # What was made is there for the next run.
    passes(application, tests=9)
    assert runs(application) == [*by_the_migrator, *migrated_on]


def test_other_processes_see_the_database_of_a_url(application: Application) -> None:
    application.write(
        "tests/test_own.py",
        """
        import sqlite3
        import subprocess
        import sys

        CODE = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute(\\"INSERT INTO t1 (n) VALUES ('x')\\"); c.commit()"


        def test_one(migrated_url):
            path = migrated_url.removeprefix("sqlite:///")
            subprocess.run([sys.executable, "-c", CODE, path], check=True)
            assert sqlite3.connect(path).execute("SELECT count(*) FROM t1").fetchone() == (2,)


        def test_two(migrated_url, migrated_engine):
            path = migrated_url.removeprefix("sqlite:///")
            assert sqlite3.connect(path).execute("SELECT count(*) FROM t1").fetchone() == (1,)
        """,  # noqa: E501
    )
    passes(application, tests=2)


def test_an_asynchronous_engine_in_any_event_loop(application: Application) -> None:
    application.write(
        "tests/test_own.py",
        """
        import asyncio

        import pytest
        from sqlalchemy import text
        from sqlmig import Migrator


        async def count(engine):
            async with engine.connect() as connection:
                return await connection.scalar(text("SELECT count(*) FROM t1"))


        async def add(engine):
            async with engine.begin() as connection:
                await connection.execute(text("INSERT INTO t1 (n) VALUES ('second')"))
            await engine.dispose()


        @pytest.mark.parametrize("number", range(2))
        def test_several_loops(async_migrated_engine, number):
            asyncio.run(add(async_migrated_engine))
            assert asyncio.run(count(async_migrated_engine)) == 2


        def test_nobody_has_connected(async_migrated_engine):
            pass


        def test_verbs(async_migrated_engine):
            async def back():
                migrator = Migrator(async_migrated_engine, "migrations/versions")
                assert await migrator.get_current_version_async() == 2
                await migrator.rollback_to_version_async(1)
                await migrator.migrate_async()
                return await count(async_migrated_engine)

            assert asyncio.run(back()) == 1


        def test_what_is_still_open(async_migrated_engine):
            async def leave():
                connection = await async_migrated_engine.connect()
                await connection.execute(text("INSERT INTO t1 (n) VALUES ('left')"))

            asyncio.run(leave())
        """,
    )
    passes(application, "-W", "error", tests=5)


def test_the_application_s_own_engine(application: Application) -> None:
    application.write("pytest.ini", "[pytest]\n")
    application.write(
        "conftest.py",
        """
        import pytest
        from sqlalchemy import create_engine, event


        @pytest.fixture(scope="session")
        def sqlmig_create_engine():
            def make(url, **options):
                engine = create_engine(url, **options)

                @event.listens_for(engine, "connect")
                def connect(raw, _):
                    raw.execute("PRAGMA foreign_keys = ON")
                    raw.create_function("shout", 1, str.upper)

                @event.listens_for(engine, "before_cursor_execute", retval=True)
                def before(connection, cursor, statement, parameters, context, many):
                    return statement.replace("SHOUT!", "shout"), parameters

                return engine

            return make


        @pytest.fixture(scope="session")
        def sqlmig_engine_options():
            return {"json_serializer": repr, "pool_size": 3, "connect_args": {"cached_statements": 7}}


        @pytest.fixture(scope="session")
        def sqlmig_options():
            return {"versions_table": "our_versions"}
        """,
    )
    application.add(3, "INSERT INTO t1 (n) VALUES (SHOUT!('made'))")
    application.write(
        "tests/test_own.py",
        """
        def test_own(migrated_engine, migrator, empty_engine):
            for engine in (migrated_engine, empty_engine):
                assert engine.dialect._json_serializer is repr
                with engine.connect() as connection:
                    assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
                    assert connection.exec_driver_sql("SELECT SHOUT!('x')").scalar() == "X"
            assert migrator.inspector.has_table("our_versions")
            assert [row[0] for row in migrator.db.fetch_all("SELECT n FROM t1 ORDER BY id")] == ["first", "MADE"]
        """,
    )
    passes(application, "--sqlmig", "-k", "test_own or keeps_rows", tests=4)


def test_an_engine_that_is_not_made_as_was_asked(application: Application) -> None:
    application.write(
        "conftest.py",
        """
        import pytest
        from sqlalchemy import create_engine


        @pytest.fixture(scope="session")
        def sqlmig_create_engine():
            return lambda url, **options: create_engine(url)
        """,
    )
    application.write("tests/test_own.py", "def test_own(migrated_engine): pass")
    ran = application.run()
    assert "sqlmig_create_engine is called with (url, **options)" in ran.messages["tests.test_own::test_own"]


_PREPARING = """
import pytest
from sqlmig.testing import Prepared


@pytest.fixture(scope="session")
def sqlmig_prepare():
    def fill(engine):
        with open({log!r}, "a") as log:
            log.write("filled ")
        with engine.begin() as connection:
            connection.exec_driver_sql("INSERT INTO t1 (n) VALUES ('prepared')")

    return {prepared}
"""
_PREPARED = """
import pytest

@pytest.mark.parametrize("number", range(8))
def test_own(migrated_engine, database_at, number):
    for engine, wanted in ((migrated_engine, 2), (database_at(2).engine, 1)):
        with engine.begin() as connection:
            assert connection.exec_driver_sql("SELECT count(*) FROM t1").scalar() == wanted
            connection.exec_driver_sql("DELETE FROM t1")
"""


def test_what_is_prepared_is_there_for_all_tests(application: Application) -> None:
    def prepare(prepared: str) -> None:
        text = _PREPARING.format(log=str(application.path / "log"), prepared=prepared)
        application.write("tests/conftest.py", text)

    application.write("tests/test_own.py", _PREPARED)
    prepare("fill")
    passes(application, "-n", "4", tests=8)
    assert runs(application) == ["1", "2", "filled"]
    # Without a key nobody knows whether it would do the same again.
    passes(application, tests=8)
    assert runs(application) == ["filled"]
    prepare("Prepared(fill, key='1')")
    passes(application, tests=8)
    assert runs(application) == ["filled"]
    passes(application, "-n", "4", tests=8)
    assert runs(application) == []
    prepare("Prepared(fill, key='2')")
    passes(application, tests=8)
    assert runs(application) == ["filled"]


# Runs side by side

_MANY = """
import pytest

@pytest.mark.parametrize("number", range(20))
def test_own(migrated_engine, migrator, database_at, number):
    assert migrator.get_current_version() == 2
    assert database_at(1).version == 1
"""


def test_the_processes_of_a_run_migrate_once(application: Application) -> None:
    application.write("tests/test_own.py", _MANY)
    passes(application, "-n", "4", tests=20)
    assert sorted(runs(application)) in (["1", "2"], ["1", "1", "2"])
    passes(application, "-n", "4", tests=20)
    assert runs(application) == []


def test_runs_at_once_migrate_once(application: Application) -> None:
    application.write("tests/test_own.py", _MANY.replace("database_at(1).version == 1", "True"))
    started = [application.started(f"--junitxml={number}.xml") for number in range(3)]
    for process in started:
        output, _ = process.communicate(timeout=120)
        assert process.returncode == 0, output
        assert "20 passed" in output
    assert runs(application) == ["1", "2"]


def test_without_pytest_s_cache_it_is_kept_for_the_user(application: Application, tmp_path: Path) -> None:
    application.write("tests/test_own.py", "def test_own(migrated_engine): pass")
    places = {"TMPDIR": str(tmp_path)}
    for wanted in (["1", "2"], []):
        passes(application, "-p", "no:cacheprovider", tests=1, environment=places)
        assert runs(application) == wanted
    (place,) = tmp_path.glob("sqlmig-testing-*")
    assert place.stat().st_mode & 0o777 == 0o700
    # Not for anybody else.
    place.chmod(0o777)
    ran = application.run("-p", "no:cacheprovider", environment=places)
    assert "others can write into it" in ran.messages["tests.test_own::test_own"]


# Where it is told of the application


def test_no_migrations_folder(tmp_path: Path) -> None:
    application = Application(tmp_path / "application")
    application.versions.rmdir()
    application.write("tests/test_own.py", "def test_own(migrated_engine): pass\ndef test_two(migrated_url): pass\n")
    for arguments in ((), ("--sqlmig",), ("--sqlmig", "-n", "2")):
        ran = application.run(*arguments)
        assert ran.code, ran.output
        assert f"There is no migrations folder {application.versions}" in ran.output
        assert "else from sqlmig_migrations in pytest's configuration, else from path in [tool.sqlmig]" in ran.output
        assert "Traceback" not in ran.output
        assert "INTERNALERROR" not in ran.output
    application.versions.mkdir()
    assert "Make the first one: sqlmig new initial_schema" in application.run().output


@pytest.mark.parametrize("place", ["ini", "toml", "fixture", "package"])
def test_migrations_are_where_it_is_said(application: Application, place: str) -> None:
    (application.path / "migrations" / "versions").rename(application.path / "changes")
    if place == "ini":
        application.write("pytest.ini", "[pytest]\nsqlmig_migrations = changes\n")
    elif place == "toml":
        application.write("pyproject.toml", '[tool.pytest.ini_options]\n[tool.sqlmig]\npath = "changes"\n')
    elif place == "package":
        application.write("changes/__init__.py", "")
        application.write("pytest.ini", "[pytest]\nsqlmig_migrations = changes\npythonpath = .\n")
    else:
        text = "import pytest\n@pytest.fixture(scope='session')\ndef sqlmig_migrations(): return 'changes'\n"
        application.write("tests/conftest.py", text)
    application.write(
        "tests/deeper/test_own.py", "def test_own(migrator): assert migrator.get_current_version() == 2\n"
    )
    application.write("tests/test_more.py", "from sqlmig.testing.suite import *  # noqa: F403\n")
    ran = application.run("--sqlmig", "-k", "sequence or test_own", "--rootdir", str(application.path))
    assert ran.code == 0, ran.output
    assert ran.of("passed") == {
        "tests.deeper.test_own::test_own",
        "sqlmig::sequence_is_valid[001]",
        "sqlmig::sequence_is_valid[002]",
        "tests.test_more::test_sequence_is_valid[001]",
        "tests.test_more::test_sequence_is_valid[002]",
    }


def test_a_fixture_that_cannot_be_asked_before_tests_run(application: Application) -> None:
    text = "import pytest\n@pytest.fixture(scope='session')\ndef sqlmig_migrations(request): return 'changes'\n"
    application.write("tests/conftest.py", text)
    application.write("tests/test_own.py", "def test_own(): pass\n")
    ran = application.run("--sqlmig")
    assert ran.code == 2
    assert "Have it take none and return, or say sqlmig_migrations in pytest's configuration." in ran.output
    application.write("tests/conftest.py", text.replace("request", "").replace("return", "yield"))
    assert "Have it take none and return" in application.run("--sqlmig").output


def test_two_applications_under_one_roof(application: Application) -> None:
    for name in ("one", "two"):
        text = (
            "import pytest\n@pytest.fixture(scope='session')\ndef sqlmig_migrations(): return 'migrations/versions'\n"
        )
        application.write(f"{name}/conftest.py", text)
        application.write(f"{name}/test_{name}.py", "from sqlmig.testing.suite import *  # noqa: F403\n")
    ran = application.run("-k", "sequence")
    assert len(ran.of("passed")) == 4, ran.output
    ran = application.run("--sqlmig")
    assert "More than one application is described here" in ran.output
    assert "from sqlmig.testing.suite import *" in ran.output


def test_a_driver_that_is_missing(application: Application) -> None:
    application.write("conftest.py", "import sys\nsys.modules['aiosqlite'] = None\n")
    application.write("tests/test_own.py", "def test_own(async_migrated_engine): pass\n")
    message = application.run().messages["tests.test_own::test_own"]
    assert "Install aiosqlite" in message
    assert "Traceback" not in message


def test_a_migration_that_fails_shows_where(application: Application) -> None:
    application.add(3, "raise ZeroDivisionError")
    application.write("tests/test_own.py", "def test_own(migrated_engine): pass\ndef test_two(migrated_engine): pass\n")
    ran = application.run()
    for name in ("test_own", "test_two"):
        message = ran.messages[f"tests.test_own::{name}"]
        assert "migrations/versions/003_step.py:7: in up\n    raise ZeroDivisionError" in message
        assert "Migration 3 (step) failed: ZeroDivisionError" in message
        # The frames of sqlmig and SQLAlchemy between are hundreds of lines, in each test.
        assert len(message.splitlines()) < 12, message
    assert runs(application) == ["1", "2"]


def test_a_test_can_expect_that_a_migration_fails(application: Application) -> None:
    application.add(3, "raise ZeroDivisionError")
    application.write(
        "tests/test_own.py",
        """
        import pytest
        from sqlmig import MigrationFailed, UnknownVersion

        def test_own(database_at):
            with pytest.raises(MigrationFailed, match="ZeroDivisionError"):
                database_at(3)
            with pytest.raises(UnknownVersion):
                database_at(4)
            assert database_at(2).version == 2
        """,
    )
    passes(application, tests=1)


@pytest.mark.parametrize(
    ("database", "wanted"),
    [
        ("sqlite:///app.db", "names the file app.db, and no test may use it"),
        ("postgresql+nothing://x/y", "sqlmig_database"),
        ("no url", "sqlmig_database is no URL"),
        ("mssql+pyodbc://x/y", "for which sqlmig has no backend"),
        ("postgresql+psycopg://nobody:secret@127.0.0.1:1/x", "cannot be reached"),
    ],
)
def test_a_database_that_cannot_be_used(application: Application, database: str, wanted: str) -> None:
    if database.startswith("postgresql+psycopg"):
        pytest.importorskip("psycopg")
    application.write("pytest.ini", f"[pytest]\nsqlmig_database = {database}\n")
    application.write("tests/test_own.py", "def test_own(migrated_engine): pass\n")
    message = application.run().messages["tests.test_own::test_own"]
    assert wanted in message
    assert "secret" not in message


def test_the_ready_made_tests_in_several_processes(application: Application) -> None:
    ran = application.run("--sqlmig", "-n", "4")
    assert ran.code == 0, ran.output
    assert len(ran.of("passed")) == 8
    assert ran.of("skipped") == {f"sqlmig::unchanged_since_base[{v:03}]" for v in (1, 2)} | {
        "sqlmig::models_agree[002]"
    }


def test_tables_that_take_no_sample_row_are_told(application: Application) -> None:
    application.add(
        3, "CREATE TABLE sealed (id INTEGER PRIMARY KEY, code TEXT NOT NULL CHECK (hex(code) || '!' = '4178!'))"
    )
    application.add(4, "CREATE INDEX sealed_code ON sealed (code)", "DROP INDEX sealed_code")
    ran = application.run("--sqlmig", "-k", "keeps_rows")
    assert ran.code == 0, ran.output
    assert "NotSampled: Migration 004 was not tried on rows of:" in ran.output
    assert "sealed: none of 200 rows is taken: CHECK constraint failed" in ran.output
    assert application.run("--sqlmig", "-k", "keeps_rows", "-W", "error").of("failure") == {"sqlmig::keeps_rows[004]"}
    application.write(
        "conftest.py",
        "import pytest\n@pytest.fixture(scope='session')\n"
        "def sqlmig_sample_rows(): return {'sealed': [{'code': 'Ax'}, {'code': 'Ax'}]}\n",
    )
    passes(application, "--sqlmig", "-k", "keeps_rows", "-W", "error", tests=4)


def test_pytest_lists_the_fixtures(application: Application) -> None:
    found = subprocess.run(
        [sys.executable, "-m", "pytest", "--fixtures"], cwd=application.path, capture_output=True, text=True, check=True
    )
    for name in ("migrated_engine", "migrated_url", "async_migrated_engine", "migrator", "empty_engine", "database_at"):
        assert f"{name} -- " in found.stdout
