"""What every command shares: its options, the Migrator that they describe, and how errors are shown."""

from __future__ import annotations

import asyncio
import functools
import os
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import EntryPoint, entry_points
from typing import Any, NamedTuple, NoReturn
from urllib.parse import unquote, urlsplit

import click
from sqlalchemy.engine import URL, Engine, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError
from sqlalchemy.pool import NullPool

from ..config import load_config
from ..connection import display_name
from ..errors import ConfigurationError, MigrationError, UnknownVersion, UnsupportedDatabase
from ..migrator import Migrator
from . import render

__all__ = [
    "Group",
    "Options",
    "as_url",
    "database_named",
    "migrations_of",
    "migrator",
    "reader",
    "require_database",
    "require_version",
    "scratch_migrator",
    "shared_options",
]

# What the caller can mend in the call itself.
_USAGE = (ConfigurationError, UnknownVersion, UnsupportedDatabase)


class Options(NamedTuple):
    """The options that every command has."""

    url: str | None
    path: tuple[str, ...]
    as_json: bool
    traceback: bool


_OF_OTHERS = {
    "apply": "up",
    "baseline": "stamp",
    "current": "status",
    "diff": "check",
    "downgrade": "down",
    "heads": "status",
    "info": "status",
    "makemigrations": "new --auto",
    "migrate": "up",
    "revision": "new",
    "rollback": "down",
    "showmigrations": "status",
    "sqlmigrate": "plan --sql",
    "undo": "down",
    "upgrade": "up",
}
"""What commands are called in Alembic, Django, Flyway and Atlas, and here."""


class Group(click.Group):
    """
    Shows the commands in the order in which they were added, and then those that other packages bring.

    A package declares them as entry points in the group `sqlmig.commands`; one that is not installed whole tells so
    when it is called.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*self.commands, *(name for name in _brought() if name not in self.commands)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in self.commands or cmd_name not in _brought():
            return self.commands.get(cmd_name)
        try:
            command: click.Command = _brought()[cmd_name].load()
        except ImportError as error:
            return _unavailable(cmd_name, error)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        here = _OF_OTHERS.get(args[0])
        if here is not None and self.get_command(ctx, args[0]) is None:
            raise click.UsageError(f"No such command '{args[0]}'. Here it is: sqlmig {here}", ctx)
        return super().resolve_command(ctx, args)


def _brought() -> dict[str, EntryPoint]:
    return {found.name: found for found in sorted(entry_points(group="sqlmig.commands"))}


def _unavailable(name: str, error: ImportError) -> click.Command:
    """Stands for a command whose package lacks what it needs."""
    extra = "alembic" if (error.name or "").partition(".")[0] == "alembic" else None
    needs = f"pip install 'sqlmig[{extra}]'" if extra else str(error)

    def fail(*_: object, **__: object) -> NoReturn:
        raise click.UsageError(f"{name} cannot be loaded: {error}. Needed: {needs}")

    settings = {"ignore_unknown_options": True, "allow_extra_args": True}
    return click.Command(name, callback=fail, context_settings=settings, help=f"Needs {needs}.", add_help_option=False)


def shared_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of every command, and show errors as messages."""

    @click.option("--url", metavar="URL", help="The database, as a SQLAlchemy URL.")
    @click.option("--path", metavar="FOLDER", multiple=True, help="The migrations: a folder or a package.")
    @click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
    @click.option("--traceback", is_flag=True, help="Show where in the code an error was raised.")
    @functools.wraps(command)
    def wrapped(url: str | None, path: tuple[str, ...], as_json: bool, traceback: bool, **arguments: Any) -> None:
        options = Options(url, path, as_json, traceback)
        try:
            with render.aside(as_json):
                _run(lambda: command(options, **arguments), options)
        except click.ClickException:
            raise
        except BrokenPipeError:
            # Whoever read the output has enough of it; click ends the command.
            raise
        except (Exception, KeyboardInterrupt) as error:
            _fail(error, options)

    return wrapped


def _run(action: Callable[[], object], options: Options) -> None:
    """Run a command; where its database is reached by a driver that is awaited, in an event loop."""
    url = as_url(database_named(options, load_config()))
    if url is None or not _is_awaited(url):
        action()
        return
    from ..aio.doors import in_greenlet

    asyncio.run(in_greenlet(action))


def as_url(named: Any) -> URL | None:
    """A URL; None where it is none, which is told where it is used."""
    try:
        return make_url(named) if named else None
    except (ArgumentError, ValueError):
        return None


def _is_awaited(url: URL) -> bool:
    try:
        return bool(url.get_dialect().is_async)
    except NoSuchModuleError:
        return False


def _reached(named: str) -> str | Engine:
    """What a Migrator is given for a URL of the application's, whose driver may be one that is awaited."""
    url = as_url(named)
    if url is None or not _is_awaited(url):
        return named
    if url.get_backend_name() == "sqlite":
        # The same file, by the driver that every Python has.
        return url.set(drivername="sqlite").render_as_string(hide_password=False)
    from sqlalchemy.ext.asyncio import create_async_engine

    # A connection of the pool would be dead with the event loop.
    return create_async_engine(url, poolclass=NullPool).sync_engine


def migrator(options: Options, progress: Callable[[int, int, str], object] | None = None, **settings: Any) -> Migrator:
    """
    The Migrator that the options, the environment and pyproject.toml describe, for a command that may write.

    Args:
        settings: Options of Migrator that go before what is configured.

    Raises:
        ConfigurationError: None of them names a database.
    """
    config = load_config()
    return _migrator(_url(options, config), options, {**config, **settings}, progress)


class Reader(NamedTuple):
    """
    A Migrator for a command that only looks.

    Attributes:
        name: The database's, as it is shown.
        is_there: Whether there is such a file yet; else the Migrator is on an empty database.
    """

    migrator: Migrator
    name: str
    is_there: bool = True


def reader(options: Options) -> Reader:
    """
    The same for a command that only looks: looking at a file makes none.

    Raises:
        ConfigurationError: No database was named.
    """
    config = load_config()
    found = _migrator(_url(options, config), options, config, None)
    name = display_name(found.db.engine)
    if not _is_there(found):
        return Reader(_migrator(":memory:", options, config, None), f"{name} (not there yet)", is_there=False)
    return Reader(found, name)


def require_database(found: Migrator) -> None:
    """
    Refuse to do to a database what means nothing to a new one: opening a file that is not there would make it.

    Raises:
        ConfigurationError: There is no such file.
    """
    if not _is_there(found):
        raise ConfigurationError(
            f"There is no database {display_name(found.db.engine)}\n"
            f"  looked from {os.getcwd()}; nothing was made\n"
            "Check its URL, or have the migrations make it: sqlmig up"
        )


def require_version(found: Migrator, version: int | None = None) -> None:
    """
    Refuse what the files do not have before a database is made for it.

    Raises:
        ConfigurationError: There is no folder of migrations; or none in it, where all are meant.
        UnknownVersion: None has *version*.
    """
    if _is_there(found):
        return
    if version is None:
        found.manager.require_files()
        return
    available = found.manager.get_available_versions()
    if version != 0 and version not in available:
        raise UnknownVersion(version, available)


def _is_there(found: Migrator) -> bool:
    """Whether looking at the database makes none; what is in memory is made by whoever looks, and gone again."""
    url = found.db.engine.url
    if url.get_backend_name() != "sqlite" or not url.database or url.database == ":memory:":
        return True
    if not url.database.startswith("file:"):
        return os.path.exists(url.database)
    # https://sqlite.org/uri.html
    path = unquote(urlsplit(url.database).path)
    return path in ("", ":memory:") or "memory" in str(url.query.get("mode")) or os.path.exists(path)


def scratch_migrator(options: Options) -> Migrator:
    """The same for a command that asks a database for its kind alone: without one, SQLite in memory."""
    config = load_config()
    if database_named(options, config):
        return reader(options).migrator
    return _migrator(":memory:", options, config, None)


def database_named(options: Options, config: dict[str, Any]) -> Any:
    """What names the database, or nothing."""
    return options.url or os.environ.get("SQLMIG_URL") or config.get("url")


def _url(options: Options, config: dict[str, Any]) -> str:
    url = database_named(options, config)
    if not url:
        raise ConfigurationError(
            "No database was named.\n"
            "  Neither --url, nor SQLMIG_URL, nor url in [tool.sqlmig] of pyproject.toml is there.\n"
            "Name one: sqlmig status --url sqlite:///app.db"
        )
    return str(url)


def _migrator(
    url: str, options: Options, config: dict[str, Any], progress: Callable[[int, int, str], object] | None
) -> Migrator:
    settings = {name: value for name, value in config.items() if name not in ("url", "path", "models")}
    return Migrator(_reached(url), migrations_of(options, config), progress=progress, **settings)


def migrations_of(options: Options, config: dict[str, Any]) -> str | list[str]:
    """The folders of migrations."""
    return list(options.path) or config.get("path") or "migrations/versions"


def _fail(error: BaseException, options: Options) -> NoReturn:
    if options.traceback:
        traceback.print_exception(error)
    ours = isinstance(error, MigrationError)
    message = str(error) if ours else render.foreign_error(error)
    shown = options.traceback
    if options.as_json:
        with suppress(OSError):
            render.as_json({"error": {"type": type(error).__name__, "message": message}})
            shown = True
    if not shown:
        render.error(message)
    sys.exit(2 if isinstance(error, _USAGE) else 1)
