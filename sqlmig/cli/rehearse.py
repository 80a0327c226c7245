"""The command that migrates a copy: rehearse."""

from __future__ import annotations

import sys

import click

from . import render
from .context import Options, migrator, shared_options

__all__ = ["COMMANDS"]


@click.command()
@click.argument("target", type=int, required=False)
@click.option(
    "--folder",
    metavar="FOLDER",
    help="Where the copy lies, :memory: for nowhere; by default the temporary folder, else beside the database.",
)
@click.option(
    "--room",
    type=click.FloatRange(min=1),
    default=3.0,
    show_default=True,
    metavar="FACTOR",
    help="How many times the size of the database must be free there.",
)
@click.option(
    "--thorough/--quick",
    default=None,
    help="Compare each entry of each index with its row, or not; by default in databases of up to 32 MiB.",
)
@shared_options
def rehearse(options: Options, target: int | None, folder: str | None, room: float, thorough: bool | None) -> None:
    """
    Migrate a copy, take it back, and migrate it again.

    It is done to a copy what `up`, or `to TARGET`, would do. The database is only read.

    Example: sqlmig rehearse
    """
    with render.progress(not options.as_json) as progress:
        found = migrator(options, progress)
        found.manager.require_files()
        report = found.rehearse(target, folder=folder, room=room, thorough=thorough)
    if options.as_json:
        render.as_json(report)
    else:
        render.rehearsal(report)
    sys.exit(0 if report else 1)


COMMANDS = (rehearse,)
