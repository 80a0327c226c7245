"""
pytest's plugin: a migrated database for each test, and ready-made tests of the migrations.

It is loaded by pytest wherever sqlmig is installed, so that nothing is imported here until a test asks for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy.engine import Engine
    from sqlalchemy.ext.asyncio import AsyncEngine

    from .migrator import Migrator
    from .testing import Checks, DatabaseAt, Databases, Prepared

__all__: list[str] = []

T = TypeVar("T")


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    """The options, and the lines of pytest's configuration."""
    # Of every package that has a plugin pytest compiles all modules itself, to rewrite their asserts: where no bytecode
    # is written, that is seconds in each run. Nothing here asserts what somebody would want to read.
    rewritten = getattr(getattr(pluginmanager, "rewrite_hook", None), "_must_rewrite", None)
    if isinstance(rewritten, set):
        rewritten.difference_update(("sqlmig", "alembic_compat"))
    group = parser.getgroup("sqlmig", "tests of migrations")
    group.addoption("--sqlmig", action="store_true", help="Add the ready-made tests of the migrations.")
    group.addoption(
        "--sqlmig-base",
        metavar="BRANCH",
        help="The branch of git that migrations are compared with (origin/HEAD, main or master).",
    )
    parser.addini("sqlmig_migrations", "The migrations: a folder or a package; several, one on each line.")
    parser.addini("sqlmig_database", "The URL of a database on the server that tests run on; SQLite by default.")
    parser.addini("sqlmig_models", "The application's models, for example app.models:Base.")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    """Add the ready-made tests, where they are asked for."""
    if config.getoption("--sqlmig"):
        from .testing.collecting import collected

        items.extend(collected(session, items))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Have a ready-made test once for each version."""
    if "sqlmig_version" in metafunc.fixturenames or "sqlmig_newest" in metafunc.fixturenames:
        from .testing.collecting import parametrize

        parametrize(metafunc)


# What an application says of itself, for it to override


@pytest.fixture(scope="session")
def sqlmig_migrations(pytestconfig: pytest.Config) -> Any:
    """Where the migrations are: a folder, a package, or a list of them."""
    from .testing.collecting import migrations_of

    return migrations_of(pytestconfig)


@pytest.fixture(scope="session")
def sqlmig_database(pytestconfig: pytest.Config) -> str:
    """The URL of a database on the server that tests run on; "sqlite" for none."""
    return str(pytestconfig.getini("sqlmig_database") or "sqlite")


@pytest.fixture(scope="session")
def sqlmig_models(pytestconfig: pytest.Config) -> Any:
    """The application's models: a MetaData, a declarative base, or where one is ("app.models:Base")."""
    from .config import load_config

    return pytestconfig.getini("sqlmig_models") or load_config(pytestconfig.rootpath).get("models")


@pytest.fixture(scope="session")
def sqlmig_options() -> Mapping[str, Any]:
    """Options of `Migrator`, beside those of `[tool.sqlmig]`."""
    return {}


@pytest.fixture(scope="session")
def sqlmig_engine_options() -> Mapping[str, Any]:
    """What `create_engine()` is called with beside the URL."""
    return {}


@pytest.fixture(scope="session")
def sqlmig_create_engine() -> Callable[..., Engine] | None:
    """How the application makes its engine, with its listeners: called as `create_engine(url, **options)`."""
    return None


@pytest.fixture(scope="session")
def sqlmig_create_async_engine() -> Callable[..., AsyncEngine] | None:
    """The same of its asynchronous engine."""
    return None


@pytest.fixture(scope="session")
def sqlmig_prepare() -> Prepared | Callable[[Engine], object] | None:
    """What fills a migrated database, once for all tests: a function of an Engine, or `Prepared(function, key)`."""
    return None


@pytest.fixture(scope="session")
def sqlmig_sample_rows() -> Mapping[str, Sequence[Mapping[str, Any]]]:
    """Rows by table for the ready-made tests, where none can be generated."""
    return {}


# Databases


@pytest.fixture(scope="session")
def sqlmig_databases(
    pytestconfig: pytest.Config,
    sqlmig_migrations: Any,
    sqlmig_database: str,
    sqlmig_options: Mapping[str, Any],
    sqlmig_engine_options: Mapping[str, Any],
    sqlmig_create_engine: Callable[..., Engine] | None,
    sqlmig_create_async_engine: Callable[..., AsyncEngine] | None,
    sqlmig_prepare: Prepared | Callable[[Engine], object] | None,
) -> Iterator[Databases]:
    """All of them; `Databases` is described in `sqlmig.testing`."""
    from .errors import ConfigurationError
    from .testing import Databases
    from .testing.collecting import WHERE_TO_SAY_IT

    worker = getattr(pytestconfig, "workerinput", {})
    wrong, where = None, ""
    try:
        databases = Databases(
            sqlmig_migrations,
            database=sqlmig_database,
            folder=_folder(pytestconfig),
            options=sqlmig_options,
            engine_options=sqlmig_engine_options,
            create_engine=sqlmig_create_engine,
            create_async_engine=sqlmig_create_async_engine,
            prepare=sqlmig_prepare,
            root=pytestconfig.rootpath,
            run=worker.get("testrunuid"),
        )
        where = WHERE_TO_SAY_IT
        assert databases.project.versions
    except ConfigurationError as error:
        wrong = "\n".join(filter(None, (str(error), where)))
    if wrong is not None:
        # Not where it is handled, or it would be shown twice.
        pytest.fail(wrong, pytrace=False)
    with databases:
        yield databases


def _folder(config: pytest.Config) -> Path | None:
    """Where pytest keeps what plugins have; None where it keeps nothing, or cannot."""
    cache = getattr(config, "cache", None)
    with suppress(OSError):
        folder: Path | None = cache.mkdir("sqlmig") if cache is not None else None
        return folder
    return None


@contextmanager
def _entered(databases: Databases, given: AbstractContextManager[T]) -> Iterator[T]:
    """What a context manager gives; what has to be mended outside of the test is a message that says where."""
    from .errors import MigrationError

    wrong = None
    with ExitStack() as stack:
        try:
            value = stack.enter_context(given)
        except MigrationError as error:
            from .testing.traces import told

            wrong = told(error, databases.project)
        if wrong is not None:
            # Not where it is handled, or all of it would be shown in each test.
            pytest.fail(wrong, pytrace=False)
        yield value


@pytest.fixture
def migrated_engine(sqlmig_databases: Databases) -> Iterator[Engine]:
    """An engine on a migrated database of the test's own: on SQLite in memory, with one connection for all threads."""
    with _entered(sqlmig_databases, sqlmig_databases.engine()) as engine:
        yield engine


@pytest.fixture
def async_migrated_engine(sqlmig_databases: Databases) -> Iterator[AsyncEngine]:
    """The same, for asyncio; it is made and closed without an event loop, and may be used in any."""
    with _entered(sqlmig_databases, sqlmig_databases.async_engine()) as engine:
        yield engine


@pytest.fixture
def migrated_url(sqlmig_databases: Databases, tmp_path: Path) -> Iterator[str]:
    """The URL of a migrated database of the test's own, which other processes can open: of a file, or on the server."""
    with _entered(sqlmig_databases, sqlmig_databases.url(tmp_path)) as url:
        yield url.render_as_string(hide_password=False)


@pytest.fixture
def empty_engine(sqlmig_databases: Databases) -> Iterator[Engine]:
    """An engine on an empty database of the test's own."""
    with _entered(sqlmig_databases, sqlmig_databases.engine(0)) as engine:
        yield engine


@pytest.fixture
def migrator(sqlmig_databases: Databases, migrated_engine: Engine) -> Migrator:
    """The application's Migrator, on `migrated_engine`."""
    return sqlmig_databases.project.migrator(migrated_engine)


@pytest.fixture
def database_at(sqlmig_databases: Databases) -> Iterator[Callable[[int], DatabaseAt]]:
    """Gives a database of the test's own at an older version: `old = database_at(3)`, and then `old.migrate()`."""
    # What it raises is the test's own affair, which may expect it.
    with ExitStack() as stack:
        yield lambda version: stack.enter_context(sqlmig_databases.at(version))


# The ready-made tests


@pytest.fixture(scope="session")
def sqlmig_checks(
    pytestconfig: pytest.Config,
    sqlmig_databases: Databases,
    sqlmig_models: Any,
    sqlmig_sample_rows: Mapping[str, Sequence[Mapping[str, Any]]],
) -> Checks:
    """What the ready-made tests call."""
    from .testing import Checks

    base = pytestconfig.getoption("--sqlmig-base")
    return Checks(sqlmig_databases, models=sqlmig_models, samples=sqlmig_sample_rows, base=base)
