"""One project's database under real Alembic and under sqlmig, from inside the project's own environment."""

import importlib
import importlib.util
import logging.config
import os
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import MetaData, create_engine, event
from sqlalchemy.engine import Engine
from sqlalchemy.pool import NullPool, Pool

from . import openings
from .projects import Project


class Subject:
    """A project and one database of it, with the application as it is when it migrates."""

    def __init__(self, project: Project, folder: Path) -> None:
        self.project, self.path = project, folder / "database.db"
        self.words = {"path": str(self.path), "folder": str(folder), "url": f"sqlite:///{self.path}"}
        self.url = self.words["url"]
        self.stack = ExitStack()

    def open(self) -> None:
        """Set the environment's variables and enter the application's context; then make what the history expects."""
        for name, value in self.project.environment.items():
            os.environ[name] = value.format(**self.words)
        if self.project.opening:
            self.stack.enter_context(getattr(openings, self.project.opening)(self.words))
        if self.project.prepare:
            engine = self.engine()
            getattr(openings, self.project.prepare)(engine)
            engine.dispose()

    def engine(self) -> Engine:
        return create_engine(self.url, poolclass=NullPool)

    def config(self) -> Config:
        """Give the configuration that the project's own code makes."""
        project = self.project
        config = Config(_file_of(project.ini) if project.ini else None, ini_section=project.section)
        if project.scripts:
            config.set_main_option("script_location", _file_of(project.scripts))
        options = {"sqlalchemy.url": self.url, **{k: v.format(**self.words) for k, v in project.options.items()}}
        for name, value in options.items():
            config.set_section_option(project.section, name, _located(value).replace("%", "%%"))
        config.attributes.update(project.attributes)
        return config

    def revisions(self) -> list[str]:
        """Give the revisions, each after what it needs."""
        scripts = self._scripts()
        found = [script.revision for script in scripts.iterate_revisions("heads", "base")]
        return [*reversed(found)]

    def way_down(self, revisions: list[str]) -> list[str]:
        """Give what to downgrade to, for each of *revisions* to go in turn; in a branch, its own foot."""
        scripts = self._scripts()
        targets = []
        for before, revision in zip(["base", *revisions], revisions):  # noqa: B905
            below = scripts.get_revision(revision)._all_down_revisions
            straight = before in below or (not below and before == "base")
            targets.append(before if straight else f"{revision}@{(*below, 'base')[0]}")
        return [*reversed(targets)]

    def step(self, tool: str, verb: str, revision: str) -> None:
        call = getattr(self, tool)
        if self.project.caller:
            call = partial(getattr(openings, self.project.caller), call)
        call(verb, revision)

    def alembic(self, verb: str, revision: str) -> None:
        with self._handed(self.config()) as config:
            getattr(command, verb)(config, revision)

    def sqlmig(self, verb: str, revision: str) -> None:
        from alembic_compat import AlembicMigrator

        engine = self.engine()
        try:
            migrator = AlembicMigrator(engine, self.config())
            if revision == "heads":
                migrator.migrate()
            elif verb == "upgrade":
                migrator.migrate_to_version(revision)
            else:
                migrator.rollback_to_version(revision)
        finally:
            engine.dispose()

    def native(self, verb: str, revision: str) -> None:
        """The history written as migrations, which sqlmig runs without the project's env.py."""
        from alembic_compat.import_history import import_history
        from sqlmig import Migrator

        assert verb == "upgrade"
        folder, engine = self.path.parent / "native", self.engine()
        if not folder.exists():
            import_history(self.config(), folder, naming_convention=self._naming())
        try:
            migrator = Migrator(engine, folder)
            if revision == "heads":
                migrator.migrate()
            else:
                files = migrator.manager.discover_migrations().values()
                carrying = {m.revision: m.version for m in migrator.manager.load_what_loads(files).values()}
                migrator.migrate_to_version(carrying[revision])
        finally:
            engine.dispose()

    def _naming(self) -> dict[str, Any]:
        from alembic_compat import AlembicMigrator

        said = AlembicMigrator(create_engine("sqlite://"), self.config()).ask_env()
        convention = dict(getattr(said.get("target_metadata"), "naming_convention", {}))
        return {} if convention == dict(MetaData().naming_convention) else convention

    def _scripts(self) -> ScriptDirectory:
        config = self.config()
        if self.project.listed:
            config.set_main_option("version_locations", _located(self.project.listed))
        return ScriptDirectory.from_config(config)

    @contextmanager
    def _handed(self, config: Config) -> Iterator[Config]:
        if not self.project.hands_connection:
            yield config
            return
        engine = self.engine()
        with engine.connect() as connection:
            config.attributes["connection"] = connection
            yield config
            connection.commit()
        engine.dispose()


def silence_logging() -> None:
    """Keep env.py's fileConfig from writing where the trace is read."""
    logging.config.fileConfig = lambda *_args, **_options: None  # type: ignore[assignment]


def enforce_foreign_keys(how: bool) -> None:
    """Have every SQLite connection of this process go out with PRAGMA foreign_keys on, or off, whatever else sets."""

    @event.listens_for(Pool, "checkout")
    def _set(connection: Any, _record: Any, _proxy: Any) -> None:
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA foreign_keys = {'ON' if how else 'OFF'}")
        cursor.close()


def _file_of(place: str) -> str:
    package, _, inside = place.partition(":")
    found = importlib.util.find_spec(package)
    assert found is not None, f"{package} is not installed"
    folders = found.submodule_search_locations or [str(Path(found.origin or "").parent)]
    return str(Path(next(iter(folders)), inside))


def _located(value: str) -> str:
    return re.sub(r"@([^:]+:[^:]*)", lambda match: _file_of(match.group(1)), value)
