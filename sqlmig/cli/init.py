"""The command that begins a project: init."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..config import load_config
from ..connection import secret_options
from ..errors import ConfigurationError
from ..sources import Sources
from . import render
from .context import Options, as_url, reader, scratch_migrator, shared_options
from .models import models_option

if TYPE_CHECKING:
    from ..autogenerate.report import NewMigration
    from ..migrator import Migrator

__all__ = ["COMMANDS"]

_CONFIG = Path("pyproject.toml")
_DATABASE = "sqlite:///app.db"
_FOLDER = "migrations/versions"


@click.command()
@models_option
@shared_options
def init(options: Options, models: tuple[str, ...]) -> None:
    """
    Begin: write the configuration and a first migration.

    The configuration is [tool.sqlmig] in pyproject.toml. The migration makes what the models are, or what the database
    has, so that a new one becomes the same. Nothing is asked, nothing that is there is overwritten, and the database is
    only read.

    Example: sqlmig init --url sqlite:///app.db

    Example: sqlmig init --models app.models:Base
    """
    text = _config_there()
    chosen = _Chosen(options, models)
    options = options._replace(url=chosen.url, path=chosen.paths)
    there = reader(options)
    with _made(chosen.folder):
        tables = _tables(there.migrator) if there.is_there and not chosen.has_migrations else []
        written = None if chosen.has_migrations else _first(options, there.migrator, models, tables)
        _write_config(text, chosen.table())
    following = list(_next(chosen, written, tables))
    if options.as_json:
        path = written.path if written is not None else None
        render.as_json({"config": str(_CONFIG), "folder": str(chosen.folder), "migration": path, "next": following})
        return
    render.say(f"{_CONFIG}\n{chosen.folder}")
    if written is not None:
        render.say(str(written))
    for line in following:
        render.say(line)


class _Chosen:
    """What the project is to have: its database, its folder, its models."""

    def __init__(self, options: Options, models: Sequence[str]) -> None:
        self.url = options.url or os.environ.get("SQLMIG_URL") or _DATABASE
        self.paths = options.path or (_FOLDER,)
        self.models = models
        url = as_url(self.url)
        self.has_secret = url is not None and (url.password is not None or bool(secret_options(url)))
        sources = Sources(list(self.paths))
        self.folder = Path(self.paths[0]) if Path(self.paths[0]).is_dir() else sources.folders[0]
        self.has_migrations = self.folder.is_dir() and bool(sources.versions())

    def table(self) -> str:
        """The lines of `[tool.sqlmig]`."""
        said: dict[str, Any] = {} if self.has_secret else {"url": self.url}
        said["path"] = self.paths[0] if len(self.paths) == 1 else list(self.paths)
        if self.models:
            said["models"] = self.models[0] if len(self.models) == 1 else list(self.models)
        # Texts and lists of texts are written in TOML as they are in JSON.
        lines = [f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in said.items()]
        return "\n".join(["[tool.sqlmig]", *lines, ""])


def _config_there() -> str:
    """
    The text of pyproject.toml, which is to be added to.

    Raises:
        ConfigurationError: It has a `[tool.sqlmig]` already, or a folder above does, or it cannot be read or added to.
    """
    if load_config():
        raise ConfigurationError(
            "This folder is configured already; nothing was written.\n"
            "  There is a [tool.sqlmig] in its pyproject.toml, or in one of a folder above it.\n"
            "See where the database stands: sqlmig status"
        )
    # Newlines as they are.
    text = _CONFIG.read_bytes().decode() if _CONFIG.exists() else ""
    try:
        # Of two tables of a name, or one in another that is closed, only TOML itself knows.
        tomllib.loads(f"{text}\n[tool.sqlmig]\n")
    except ValueError as error:
        raise ConfigurationError(
            f"{_CONFIG} takes no [tool.sqlmig]; nothing was written.\n  {error}\n"
            "Take out what is there of it, an empty table too, or write it by hand"
        ) from error
    return text


@contextmanager
def _made(folder: Path) -> Iterator[None]:
    """Have a folder, and those above it; an error leaves none that is empty and was not there."""
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        for one in missing:
            with suppress(OSError):
                one.rmdir()
        raise


def _tables(migrator: Migrator) -> list[str]:
    """
    What the database has.

    Raises:
        ConfigurationError: It has a history of migrations, whose files are somewhere.
    """
    state = migrator.version_tracker.read()
    tables = migrator.inspector.get_table_names()
    if state.tracked or state.done:
        raise ConfigurationError(
            f"{migrator.backend.name} is at version {state.current_version} already; nothing was written.\n"
            "  It was migrated by files that are not in this folder.\n"
            "Name their folder, and no first migration is written: sqlmig init --path FOLDER"
        )
    if "alembic_version" in tables:
        raise ConfigurationError(
            f"{migrator.backend.name} is migrated by Alembic; nothing was written.\n"
            "  It has a table alembic_version.\n"
            "Take its history over: sqlmig import-alembic alembic"
        )
    return sorted(tables)


def _first(options: Options, there: Migrator, models: Sequence[str], tables: Sequence[str]) -> NewMigration | None:
    """Write the first migration, where there is something that it can be made of."""
    description = "initial schema"
    if models:
        return scratch_migrator(options).create_migration(description, list(models))
    if not tables:
        return None
    from ..autogenerate.create import create_from_database

    return create_from_database(there, description)


def _write_config(text: str, table: str) -> None:
    """
    Add the table to pyproject.toml, whole or not at all.

    Raises:
        ConfigurationError: It cannot be written.
    """
    newline = "\r\n" if "\r\n" in text else "\n"
    gap = "" if not text else newline if text.endswith("\n") else newline * 2
    text = f"{text}{gap}{table.replace(chr(10), newline)}"
    try:
        with tempfile.NamedTemporaryFile("wb", dir=".", prefix=".pyproject", delete=False) as file:
            file.write(text.encode())
        if _CONFIG.exists():
            shutil.copymode(_CONFIG, file.name)
        else:
            os.chmod(file.name, 0o644)
        os.replace(file.name, _CONFIG)
    except OSError as error:
        with suppress(OSError, UnboundLocalError):
            os.unlink(file.name)
        raise ConfigurationError(
            f"{_CONFIG} cannot be written.\n  {error.strerror or error}\nCheck the folder: ls -ld ."
        ) from error


def _next(chosen: _Chosen, written: NewMigration | None, tables: Sequence[str]) -> Iterator[str]:
    if chosen.has_secret:
        yield "The URL has a password, and was not written down. Set it where the application runs: SQLMIG_URL"
    if chosen.has_migrations:
        yield "There are migrations already. See where the database stands: sqlmig status"
    elif written is None or written.path is None:
        yield 'Write the first migration: sqlmig new "initial schema"'
    elif not tables:
        yield "Read it, then: sqlmig up"
    elif not chosen.models:
        yield f"The database has all of it. Read it, then record that: sqlmig stamp {written.version}"
    else:
        yield (
            f"The database has tables already. Where they are those of the models, record that: "
            f"sqlmig stamp {written.version}, and see what differs: sqlmig check"
        )


COMMANDS = (init,)
