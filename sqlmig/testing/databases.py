"""Databases for tests: migrated once, and copied for each test."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from ..connection import DatabaseConnection
from ..errors import ConfigurationError, MigrationError, UnknownVersion
from ..safety.places import folder_of_its_own, sweep
from .fingerprint import OF_A_RUN, chain, digest, imported
from .project import MakeEngine, Prepared, Project

if TYPE_CHECKING:
    from types import TracebackType

    from sqlalchemy.engine import URL, Engine
    from sqlalchemy.ext.asyncio import AsyncEngine

    from ..migrator import Migrator
    from ..results import MigrationResult
    from ..sources import MigrationPaths
    from .image import Home, Image

__all__ = ["DatabaseAt", "Databases"]


class DatabaseAt:
    """
    A database of an older version: fill it as it was then, and migrate it on.

    Attributes:
        engine: On it.
        migrator: As the application has it, on that engine.
    """

    def __init__(self, engine: Engine, migrator: Migrator) -> None:
        self.engine, self.migrator = engine, migrator

    @property
    def db(self) -> DatabaseConnection:
        """To say SQL with: `database.db.execute("INSERT INTO people (name) VALUES (?)", ("Ada",))`."""
        return self.migrator.db

    @property
    def version(self) -> int:
        """The version that it is at now."""
        return self.migrator.get_current_version()

    def migrate(self, version: int | None = None) -> MigrationResult:
        """
        Migrate it to a version, the newest by default.

        Raises:
            MigrationError: As `Migrator.migrate()` does.
        """
        return self.migrator.migrate() if version is None else self.migrator.migrate_to_version(version)


class Databases:
    """
    The databases of an application's tests.

    The migrations are run once, and what they make is kept as a template, also between runs: it is made anew when
    a migration is another, a file beside it or one of the application's that it imports, sqlmig, the database, or the
    options. Each call gives a copy of its own, which is gone at the end of the block.

    Args:
        migrations: As `Migrator` takes them.
        database: "sqlite", or the URL of a database on a server, whose user may make others there.
        folder: Where templates of SQLite are kept; one of the user's own among temporary ones by default.
        options: Options of `Migrator`.
        create_engine, create_async_engine: How the application makes its engines, called with (url, **options).
        engine_options: What they are called with beside the URL.
        prepare: What fills a migrated database, once for all: a function of an Engine, or `Prepared(function, key)`.
        root: Where relative folders begin, the working directory by default.
        run: A name for this run, shared by its processes: what has no key of its own is kept for as long.

    Raises:
        ConfigurationError: There is no such database, folder or option.
    """

    def __init__(
        self,
        migrations: MigrationPaths | None = None,
        *,
        database: str | URL = "sqlite",
        folder: str | os.PathLike[str] | None = None,
        options: Mapping[str, Any] | None = None,
        create_engine: MakeEngine | None = None,
        create_async_engine: MakeEngine | None = None,
        engine_options: Mapping[str, Any] | None = None,
        prepare: Prepared | Callable[[Engine], object] | None = None,
        root: Path | None = None,
        run: str | None = None,
    ) -> None:
        self.project = Project(
            migrations,
            options=options,
            create_engine=create_engine,
            create_async_engine=create_async_engine,
            engine_options=engine_options,
            prepare=prepare,
            root=root,
        )
        self.given = _url(database)
        self._folder = Path(folder) if folder is not None else None
        self._run = run or os.urandom(8).hex()
        self._turn = threading.RLock()
        self._home: Home | None = None
        self._own = ExitStack()
        self._scratch: Path | None = None
        self._chain: dict[int, str] | None = None
        self._images: dict[object, Image] = {}
        self._failed: dict[object, MigrationError] = {}
        self._steps: dict[int, Image] = {}

    @property
    def home(self) -> Home:
        """Where they are."""
        with self._turn:
            if self._home is None:
                self._home = self._made()
            return self._home

    @property
    def scratch(self) -> Path:
        """A folder of this process's own; what killed ones have left of theirs is removed when it is made."""
        with self._turn:
            if self._scratch is None:
                parent = tempfile.gettempdir()
                sweep([parent])
                self._scratch = Path(self._own.enter_context(folder_of_its_own(parent)))
            return self._scratch

    @contextmanager
    def engine(self, version: int | None = None) -> Iterator[Engine]:
        """
        An engine on a database of its own.

        On SQLite it is in memory, with one connection for all threads, which `Engine.dispose()` leaves open.

        Args:
            version: The newest by default, filled by *prepare*; 0 is an empty database.

        Raises:
            UnknownVersion: No migration has it.
            MigrationError: The migrations failed.
        """
        with self.image(version).engine() as engine:
            yield engine

    @contextmanager
    def async_engine(self, version: int | None = None) -> Iterator[AsyncEngine]:
        """The same, for asyncio; it may be used in any event loop, and in several."""
        with self.image(version).async_engine() as engine:
            yield engine

    @contextmanager
    def url(self, folder: str | os.PathLike[str], version: int | None = None) -> Iterator[URL]:
        """The URL of a database of its own, which other processes can open; a file is put into *folder*, and left."""
        with self.image(version).url(Path(folder)) as url:
            yield url

    @contextmanager
    def at(self, version: int) -> Iterator[DatabaseAt]:
        """A database of its own at an older version, which is to be migrated on."""
        with self.engine(version) as engine:
            yield DatabaseAt(engine, self.project.migrator(engine))

    def image(self, version: int | None = None) -> Image:
        """What copies are made of; made where it is not there yet."""
        with self._turn:
            found = self._images.get(version)
        if found is not None:
            # Without a look at the folder: it is what it was when the first test asked.
            return found
        versions = self.project.versions
        if version is not None and version != 0 and version not in versions:
            raise UnknownVersion(version, versions)
        if version is not None:
            return self._kept(version)
        return self._once(
            None, self._prepared if self.project.prepare is not None else lambda: self._kept(versions[-1])
        )

    def step(self, version: int) -> Image:
        """
        An image for this process only, made of the one below it that was asked for last: for tests of each version.

        Raises:
            MigrationError: A migration up to it failed.
        """
        with self._turn:
            if version in self._steps:
                return self._steps[version]
            below = max((v for v in self._steps if v < version), default=0)
            base = self._steps[below] if below else self._kept(0)
            made = self._once(("step", version), lambda: self._built(base, below, version, None)) if version else base
            if version:
                for old in [v for v in self._steps if v != below]:
                    self._images.pop(("step", old), None)
                    self._steps.pop(old).close()
                self._steps[version] = made
            return made

    def close(self) -> None:
        """Remove what is only for this process, and end the connection to the server."""
        with self._turn, ExitStack() as stack:
            stack.callback(self._own.close)
            if self._home is not None:
                stack.callback(self._home.close)
            for image in dict.fromkeys([*self._images.values(), *self._steps.values()]):
                stack.callback(image.close)
            self._home = self._scratch = None
            self._images, self._steps = {}, {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _once(self, name: object, make: Callable[[], Image]) -> Image:
        """The image of a name; migrations that failed are not run again for each test."""
        with self._turn:
            if name in self._failed:
                raise self._failed[name].with_traceback(None)
            if name not in self._images:
                try:
                    self._images[name] = make()
                except MigrationError as error:
                    self._failed[name] = error
                    raise
            return self._images[name]

    def _kept(self, version: int) -> Image:
        if version == 0:
            return self._once(0, lambda: self.home.empty())
        return self._once(version, lambda: self._kept_under(self._keys[version], lambda key: self._whole(version, key)))

    def _kept_under(self, key: str, make: Callable[[str], Image]) -> Image:
        """What is kept under a key, or is now, by one process of those that ask."""
        found = self.home.find(key)
        if found is not None:
            return found
        with self.home.building(key):
            return self.home.find(key) or make(key)

    def _whole(self, version: int, key: str) -> Image:
        """Made of the newest that is kept below it, or of nothing."""
        with ExitStack() as stack:
            for below in sorted((v for v in self._keys if v < version), reverse=True):
                base = self.home.find(self._keys[below])
                if base is not None:
                    stack.callback(base.close)
                    return self._built(base, below, version, key)
            return self._built(self._kept(0), 0, version, key)

    def _built(self, base: Image, below: int, version: int, key: str | None) -> Image:
        sql_files: set[str] = set()

        def work(engine: Engine) -> None:
            migrator = self.project.migrator(engine)
            migrator.migrate_to_version(version)
            for row in migrator.version_tracker.read().rows:
                sql_files.update(row.metadata.get("sql_files", ()))

        def files() -> Mapping[str, str]:
            ran = [file for file in self.project.files if file <= version]
            others = {
                os.path.normpath(os.path.join(folder, name))
                for folder in self.project.sources.folders
                for name in sql_files
            }
            return imported(self.project, ran, (path for path in others if os.path.isfile(path)))

        return self.home.build(base, work, version, key, files)

    def _prepared(self) -> Image:
        prepare = self.project.prepare
        assert prepare is not None
        newest = self.project.versions[-1]
        key = digest(self._keys[newest], "prepared", prepare.key or self._run)
        if not prepare.key:
            key = f"{OF_A_RUN}{key}"
        base = self._kept(newest)
        fill = prepare.fill
        return self._kept_under(key, lambda key: self.home.build(base, fill, newest, key, dict))

    @property
    def _keys(self) -> dict[int, str]:
        if self._chain is None:
            self._chain = chain(self.project, self.home.facts)
        return self._chain

    def _made(self) -> Home:
        if self.given.get_backend_name() == "sqlite":
            from .shelf import folder_of_user
            from .sqlite import SQLiteHome

            folder = self._folder or folder_of_user() / digest(self.project.identity)[:12]
            return SQLiteHome(self.project, folder, lambda: self.scratch)
        if self.given.get_backend_name() == "postgresql":
            from .postgresql import PostgreSQLHome

            return PostgreSQLHome(self.project, self.given)
        from .mysql import MySQLHome

        return MySQLHome(self.project, self.given)


def _url(database: str | URL) -> URL:
    try:
        url = make_url("sqlite://" if database == "sqlite" else database)
        kind = url.get_backend_name()
    except ArgumentError as error:
        # It is not shown: it may hold a password.
        raise ConfigurationError(
            "sqlmig_database is no URL.\n  it is one of a server, as SQLAlchemy writes it\n"
            "Write for example postgresql+psycopg://user@localhost/postgres, or leave it out for SQLite."
        ) from error
    if kind == "sqlite" and url.database not in (None, "", ":memory:"):
        raise ConfigurationError(
            f"sqlmig_database names the file {url.database}, and no test may use it.\n"
            "  each test has a database of its own, in memory or in a temporary folder\n"
            "Write sqlite://, or leave it out."
        )
    if kind not in ("sqlite", "postgresql", "mysql", "mariadb"):
        raise ConfigurationError(
            f"sqlmig_database names {kind}, for which sqlmig has no backend.\n"
            "  there are sqlite, postgresql, mysql and mariadb\nName one of them, or leave it out."
        )
    return url
