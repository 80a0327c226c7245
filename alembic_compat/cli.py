"""The command `sqlmig import-alembic`, which sqlmig finds by its entry point."""

from __future__ import annotations

import click

from sqlmig.cli import render
from sqlmig.cli.context import Options, shared_options

from .import_history import import_history

__all__ = ["import_alembic"]


@click.command("import-alembic")
@click.argument("directory")
@click.option("--out", metavar="FOLDER", default="migrations/versions", show_default=True, help="Where to write.")
@shared_options
def import_alembic(options: Options, directory: str, out: str) -> None:
    """
    Write an Alembic history as migrations of sqlmig's.

    DIRECTORY is the folder with env.py and versions, a package:folder, or an alembic.ini. Databases that Alembic
    brought to any of its revisions go on from there with the new files.

    Example: sqlmig import-alembic alembic --out migrations/versions
    """
    imported = import_history(directory, out)
    if options.as_json:
        render.as_json({"paths": [str(path) for path in imported.paths], "notes": imported.notes})
        return
    for note in imported.notes:
        render.say(f"look at {note}")
    render.say(f"Wrote {len(imported.paths)} migrations to {out}. See what a database has of them: sqlmig status")
