"""The command that writes a file: new."""

from __future__ import annotations

import click

from ..config import load_config
from ..manager import MigrationManager
from . import render
from .context import Options, migrations_of, shared_options

__all__ = ["COMMANDS"]


@click.command()
@click.argument("name", nargs=-1, required=True)
@shared_options
def new(options: Options, name: tuple[str, ...]) -> None:
    """
    Write a new migration file with the next free version.

    Example: sqlmig new add language to documents
    """
    # No database is asked: the next version is told by the files.
    manager = MigrationManager(":memory:", migrations_of(options, load_config()))
    path = manager.create_migration(" ".join(name))
    if options.as_json:
        render.as_json({"path": path})
    else:
        render.say(f"{path}\nWrite its up() and down(), then: sqlmig up")


COMMANDS = (new,)
