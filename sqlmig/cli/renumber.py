"""The command that gives a migration another version: renumber."""

from __future__ import annotations

import click

from . import render
from .context import Options, scratch_migrator, shared_options

__all__ = ["COMMANDS"]


@click.command()
@click.argument("file", metavar="FILE")
@click.argument("version", metavar="[VERSION]", type=int, required=False)
@shared_options
def renumber(options: Options, file: str, version: int | None) -> None:
    """
    Give a migration FILE another version.

    That is the next free one, where none is named. Its name and its class are changed, and what depends on it. One that
    the database has had is refused.

    Example: sqlmig renumber 005_add_language.py
    """
    done = scratch_migrator(options).renumber(file, version)
    if options.as_json:
        render.as_json(done)
    else:
        render.say(f"{done}\nLook whether all is well: sqlmig validate")


COMMANDS = (renumber,)
