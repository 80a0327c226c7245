"""The command for somebody who writes a migration: redo."""

from __future__ import annotations

import click

from . import render
from .change import agree, below, yes_option
from .context import Options, migrator, require_database, shared_options

__all__ = ["COMMANDS"]


@click.command()
@click.argument("steps", type=click.IntRange(min=1), default=1)
@yes_option
@shared_options
def redo(options: Options, steps: int, yes: bool) -> None:
    """
    Roll back the newest STEPS migrations, and apply them.

    One by default, and for a migration that is being written: what it made goes with what it holds, after a question.
    Where it fails on its way up, the database stays below it.

    Example: sqlmig redo
    """
    found = migrator(options)
    require_database(found)
    applied = found.get_migration_status().applied_versions
    target = below(applied, steps)
    agree(found, target, yes)
    with render.progress(not options.as_json) as progress:
        found = migrator(options, progress)
        back = found.rollback_to_version(target)
        up = found.migrate_to_version(applied[-1]) if applied else back
    if options.as_json:
        render.as_json({"rolled_back": back, "applied": up})
        return
    render.result(back)
    if applied:
        render.result(up)


COMMANDS = (redo,)
