"""What an application says of itself: its migrations, and how it makes its engines."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from ..config import load_config
from ..errors import ConfigurationError
from ..migrator import Migrator
from ..sources import Sources

if TYPE_CHECKING:
    from sqlalchemy.engine import URL, Engine
    from sqlalchemy.ext.asyncio import AsyncEngine

    from ..sources import MigrationFile, MigrationPaths

__all__ = ["MakeEngine", "Prepared", "Project", "driver_of"]

MakeEngine: TypeAlias = "Callable[..., Any]"
"""Called as `create_engine(url, **options)`."""

# What a migrated database can depend on; where it is, and what is kept of it, tests decide themselves.
_OPTIONS = (
    "out_of_order",
    "all_or_nothing",
    "on_data_loss",
    "lock_timeout",
    "statement_timeout",
    "versions_table",
    "history_table",
    "schema",
)


class Prepared(NamedTuple):
    """
    What fills a database once it is migrated, once for all tests.

    Attributes:
        fill: Called with an Engine.
        key: Another one when it does something else, so that what it has filled is kept between runs; without one it
            is filled anew by each run.
    """

    fill: Callable[[Engine], object]
    key: str | None = None


class Project:
    """
    The application whose migrations are tested.

    Args:
        migrations: As `Migrator` takes them; left out, what `[tool.sqlmig]` says of *root*, then `migrations/versions`.
        options: Options of `Migrator`, before those of `[tool.sqlmig]`.
        create_engine, create_async_engine: How the application makes its engines, SQLAlchemy's own by default.
        engine_options: What they are called with beside the URL.
        prepare: What fills a migrated database.
        root: Where relative folders begin, the working directory by default.

    Raises:
        ConfigurationError: There are no migrations, or an option is unknown.
    """

    def __init__(
        self,
        migrations: MigrationPaths | None = None,
        *,
        options: Mapping[str, Any] | None = None,
        create_engine: MakeEngine | None = None,
        create_async_engine: MakeEngine | None = None,
        engine_options: Mapping[str, Any] | None = None,
        prepare: Prepared | Callable[[Engine], object] | None = None,
        root: Path | None = None,
    ) -> None:
        self.root = (root or Path.cwd()).resolve()
        config = load_config(self.root)
        if migrations is None:
            migrations = config.get("path") or "migrations/versions"
        paths = [migrations] if isinstance(migrations, str | os.PathLike) else migrations
        self.migrations = [_anchored(os.fspath(path), self.root) for path in paths]
        self.sources = Sources(self.migrations)
        _require_known(options or {})
        self.options = {name: config[name] for name in _OPTIONS if name in config} | dict(options or {})
        self.engine_options = dict(engine_options or {})
        self._create_engine, self._create_async_engine = create_engine, create_async_engine
        self.prepare = Prepared(prepare) if callable(prepare) else prepare

    @property
    def versions(self) -> list[int]:
        """
        The versions that there are files for, in order.

        Raises:
            ConfigurationError: There is no folder, or no migration in it.
        """
        self.sources.require_files()
        return sorted(set(self.sources.versions()))

    @property
    def files(self) -> tuple[MigrationFile, ...]:
        """The migration files, in the order of their versions."""
        return self.sources.files()

    @cached_property
    def identity(self) -> str:
        """Which project it is, of those whose databases are kept in one place."""
        return "\n".join(map(str, self.sources.folders))

    def migrator(self, database: Any) -> Migrator:
        """A Migrator as the application has it, on another database."""
        return Migrator(database, self.migrations, **self.options)

    def engine(self, url: URL, **options: Any) -> Engine:
        """An engine as the application makes its own."""
        if self._create_engine is None:
            from sqlalchemy import create_engine as make
        else:
            make = self._create_engine
        with driver_of(url):
            engine: Engine = make(url, **self._with(options))
        return engine

    def async_engine(self, url: URL, **options: Any) -> AsyncEngine:
        """The same, asynchronous."""
        if self._create_async_engine is None:
            from sqlalchemy.ext.asyncio import create_async_engine as make
        else:
            make = self._create_async_engine
        if find_spec("greenlet") is None:
            raise ConfigurationError(
                "An asynchronous engine needs greenlet, which is not installed.\n  SQLAlchemy awaits by it\n"
                "Install sqlmig[async]."
            )
        with driver_of(url):
            engine: AsyncEngine = make(url, **self._with(options))
        return engine

    def _with(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """The application's options and ours, which go before them."""
        connect = {**self.engine_options.get("connect_args", {}), **options.get("connect_args", {})}
        both = {**self.engine_options, **options}
        if "poolclass" in options:
            # What belongs to another pool.
            both = {name: value for name, value in both.items() if not name.startswith(("pool_", "max_overflow"))}
        return both | ({"connect_args": connect} if connect else {})


@contextmanager
def driver_of(url: URL) -> Iterator[None]:
    """Say which driver is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"There is no driver for {url.drivername}.\n  {error}\nInstall {error.name}."
        ) from error


def _anchored(path: str, root: Path) -> str:
    """A folder below *root* as it is from anywhere; what cannot be one may be the name of a package."""
    below = root / path
    is_package = not below.exists() and all(part.isidentifier() for part in path.split("."))
    return path if is_package else str(below)


def _require_known(options: Mapping[str, Any]) -> None:
    unknown = [name for name in options if name not in _OPTIONS]
    if unknown:
        raise ConfigurationError(
            f"sqlmig_options has {', '.join(map(repr, unknown))}, with which tests make no Migrator.\n"
            f"  they take {', '.join(_OPTIONS)}\nTake it out."
        )
