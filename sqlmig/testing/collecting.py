"""How the ready-made tests come into a run: `pytest --sqlmig` has them under the id `sqlmig::`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from inspect import isgeneratorfunction
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from ..config import load_config
from ..errors import MigrationError

if TYPE_CHECKING:
    from .project import Project

__all__ = ["WHERE_TO_SAY_IT", "Suite", "collected", "migrations_of", "parametrize"]

WHERE_TO_SAY_IT = (
    "Tests take them from the session fixture sqlmig_migrations, else from sqlmig_migrations in pytest's configuration,"
    " else from path in [tool.sqlmig] of pyproject.toml, else from migrations/versions."
)
_SETTINGS = (
    "sqlmig_migrations",
    "sqlmig_database",
    "sqlmig_models",
    "sqlmig_options",
    "sqlmig_engine_options",
    "sqlmig_create_engine",
    "sqlmig_create_async_engine",
    "sqlmig_prepare",
    "sqlmig_sample_rows",
)


class Suite(pytest.Module):
    """
    The tests of `suite.py`, by shorter names.

    Attributes:
        others: Folders in which another application is described.
    """

    others: Sequence[pytest.Collector] = ()

    def _getobj(self) -> ModuleType:
        from . import suite

        module = ModuleType("sqlmig_ready_made")
        # In the order in which they stand there.
        tests = {name: test for name, test in vars(suite).items() if name in suite.__all__}
        vars(module).update({name.removeprefix("test_"): test for name, test in tests.items()})
        return module

    def funcnamefilter(self, name: str) -> bool:
        """All that are there, whatever the application's tests are called."""
        return not name.startswith("_")

    def collect(self) -> Iterable[pytest.Item | pytest.Collector]:
        """One for each version."""
        if self.others:
            assert self.parent is not None
            named = " and ".join(str(node.path / "conftest.py") for node in (self.parent, *self.others))
            raise self.CollectError(
                f"More than one application is described here, in {named}.\n"
                "Write in a test file beside each, instead of --sqlmig: from sqlmig.testing.suite import *"
            )
        versions_for(self)
        return [item for item in super().collect() if isinstance(item, pytest.Function)]


def collected(session: pytest.Session, items: list[pytest.Item]) -> Iterator[pytest.Item]:
    """The ready-made tests, where the fixtures that say something of the application are seen."""
    places = _places(session, items)
    suite = Suite.from_parent(places[0], path=Path(__file__).with_name("suite.py"), nodeid="sqlmig", name="sqlmig")
    suite.others = places[1:]
    yield from session.genitems(suite)


def _places(session: pytest.Session, items: list[pytest.Item]) -> list[pytest.Collector]:
    """The outermost folders whose conftest.py says something of the application; the session where none does."""
    folders: dict[pytest.Collector, None] = {}
    for item in items:
        folders.update(dict.fromkeys(n for n in item.listchain() if isinstance(n, pytest.Directory)))
    saying = [folder for folder in folders if any(_overriding(name, folder) for name in _SETTINGS)]
    outermost = [folder for folder in saying if not any(other in folder.listchain()[:-1] for other in saying)]
    return [session] if not outermost or _overriding_at(session) else outermost


def _overriding_at(session: pytest.Session) -> bool:
    return any(_overriding(name, session) for name in _SETTINGS)


def _overriding(name: str, node: pytest.Collector) -> Any:
    """The fixture of the application's own that *node* sees under a name of ours."""
    found = _fixtures(name, node)
    return found[-1] if found and not _is_ours(found[-1]) else None


def _fixtures(name: str, node: Any) -> list[Any]:
    return list(node.session._fixturemanager.getfixturedefs(name, node) or ())


def _is_ours(fixture: Any) -> bool:
    return bool(fixture.func.__module__ == "sqlmig.pytest_plugin")


def parametrize(metafunc: pytest.Metafunc) -> None:
    """Have a test once for each version, or for the newest."""
    versions = versions_for(metafunc.definition)
    for name, chosen in (("sqlmig_version", versions), ("sqlmig_newest", versions[-1:])):
        if name in metafunc.fixturenames:
            metafunc.parametrize(name, chosen, ids=[f"{version:03}" for version in chosen], scope="session")


def versions_for(node: Any) -> list[int]:
    """
    The versions that there are files for.

    Raises:
        CollectError: There are none, or it is not known before tests run where they are.
    """
    from .project import Project

    config = node.config
    fixture = _overriding("sqlmig_migrations", node)
    if fixture is None:
        migrations = migrations_of(config)
    elif fixture.argnames or isgeneratorfunction(fixture.func):
        raise pytest.Collector.CollectError(
            "The fixture sqlmig_migrations takes other fixtures, or yields, which is nothing for before tests run.\n"
            "  the ready-made tests are one for each version, so that the folder must be known then\n"
            "Have it take none and return, or say sqlmig_migrations in pytest's configuration."
        )
    else:
        migrations = fixture.func()
    try:
        project: Project = Project(migrations, root=config.rootpath)
        return project.versions
    except MigrationError as error:
        raise pytest.Collector.CollectError(f"{error}\n{WHERE_TO_SAY_IT}") from None


def migrations_of(config: pytest.Config) -> list[str] | str | None:
    """What pytest's configuration says of where the migrations are."""
    said = [line.strip() for line in str(config.getini("sqlmig_migrations") or "").splitlines() if line.strip()]
    if said:
        return said
    return load_config(config.rootpath).get("path")
