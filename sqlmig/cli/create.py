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
@click.option("--sql", is_flag=True, help="Write a file in plain SQL.")
@shared_options
def new(options: Options, name: tuple[str, ...], sql: bool) -> None:
    """
    Write a new migration file with the next free version.

    Example: sqlmig new add language to documents
    """
    # No database is asked: the next version is told by the files.
    manager = MigrationManager(":memory:", migrations_of(options, load_config()))
    path = manager.create_migration(" ".join(name), sql=sql)
    if options.as_json:
        render.as_json({"path": path})
    else:
        what = "sections up and down" if sql else "up() and down()"
        render.say(f"{path}\nWrite its {what}, then: sqlmig up")


COMMANDS = (new,)
