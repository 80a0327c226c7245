"""The command that makes one migration of several: squash."""

from __future__ import annotations

import click

from . import render
from .context import Options, scratch_migrator, shared_options

__all__ = ["COMMANDS"]


@click.command()
@click.argument("first", metavar="FROM", type=int)
@click.argument("last", metavar="TO", type=int)
@click.option("--name", metavar="WORDS", default="", help="What the new file is called; by default after its versions.")
@click.option("--keep", is_flag=True, help="Move the old files to a folder; else they are deleted, and git has them.")
@click.option("--rename", metavar="OLD:NEW", multiple=True, help="What they rename, where it is not clear.")
@click.option("--drop", metavar="NAME", multiple=True, help="What they drop, and have not renamed.")
@shared_options
def squash(
    options: Options, first: int, last: int, name: str, keep: bool, rename: tuple[str, ...], drop: tuple[str, ...]
) -> None:
    """
    Put one migration in the place of several.

    They are those FROM one version TO another. It is proved in scratch databases to make the same schema and rows. A
    database that has had all of them skips it.

    Example: sqlmig squash 1 40
    """
    done = scratch_migrator(options).squash(first, last, description=name, keep=keep, rename=rename, drop=drop)
    if options.as_json:
        render.as_json(done)
    else:
        render.say(str(done))
        render.say("Read it. A database that has a part of what it replaces needs the release before: sqlmig status")


COMMANDS = (squash,)
