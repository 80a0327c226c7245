"""The command that looks at what may stand in the way: doctor."""

from __future__ import annotations

import sys

import click

from . import render
from .context import Options, reader, shared_options

__all__ = ["COMMANDS"]


@click.command()
@shared_options
def doctor(options: Options) -> None:
    """
    Look at all that may stand in the way of migrations.

    That is driver, versions, settings, lock, room and files. Nothing is changed; exit code 1 where something is a
    problem.

    Example: sqlmig doctor --url sqlite:///app.db
    """
    found = reader(options)
    diagnosis = found.migrator.diagnose()
    if options.as_json:
        render.as_json({"database": found.name, "healthy": diagnosis.healthy, **diagnosis})
    else:
        render.diagnosis(diagnosis, found.name)
    sys.exit(0 if diagnosis else 1)


COMMANDS = (doctor,)
