"""The command that writes a file: new."""

from __future__ import annotations

from typing import Any

import click

from ..config import load_config
from ..manager import MigrationManager
from . import render
from .autogenerate import auto_options, write_from_models
from .context import Options, migrations_of, shared_options

__all__ = ["COMMANDS"]


@click.command()
@click.argument("name", nargs=-1, required=True)
@click.option("--sql", is_flag=True, help="Write a file in plain SQL.")
@auto_options
@shared_options
def new(options: Options, name: tuple[str, ...], sql: bool, **auto: Any) -> None:
    """
    Write a new migration file with the next free version.

    Example: sqlmig new add language to documents

    With --auto it is written from the models, and tried in scratch databases; exit code 1 where something is left that
    could not be expressed.

    Example: sqlmig new "add language" --auto --models app.models:Base
    """
    if write_from_models(options, " ".join(name), sql=sql, **auto):
        return
    # No database is asked: the next version is told by the files.
    manager = MigrationManager(":memory:", migrations_of(options, load_config()))
    path = manager.create_migration(" ".join(name), sql=sql)
    if options.as_json:
        render.as_json({"path": path})
    else:
        what = "sections up and down" if sql else "up() and down()"
        render.say(f"{path}\nWrite its {what}, then: sqlmig up")


COMMANDS = (new,)
