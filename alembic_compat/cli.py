"""The command `sqlmig import-alembic`, which sqlmig finds by its entry point."""

from __future__ import annotations

from typing import Any

import click
from sqlalchemy import MetaData

from sqlmig import MigrationError
from sqlmig.cli import render
from sqlmig.cli.context import Options, shared_options

from .import_history import import_history
from .migrator import AlembicMigrator

__all__ = ["import_alembic"]


def _told(directory: str) -> tuple[dict[str, Any], str]:
    """What env.py says that the files must say as well: names of constraints, where the heads are; or why not."""
    try:
        said = AlembicMigrator("sqlite://", directory).ask_env()
    except MigrationError as error:
        return {}, str(error).partition("\n")[0]
    convention = dict(getattr(said.get("target_metadata"), "naming_convention", {}))
    found = {
        "naming_convention": {} if convention == dict(MetaData().naming_convention) else convention,
        "version_table": said.get("version_table") or "alembic_version",
    }
    return found, ""


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
    said, unsaid = _told(directory)
    imported = import_history(directory, out, **said)
    if options.as_json:
        render.as_json({"paths": [str(path) for path in imported.paths], "notes": imported.notes})
        return
    if unsaid:
        render.note(unsaid)
    for note in imported.notes:
        render.say(f"look at {note}")
    render.say(f"Wrote {len(imported.paths)} migrations to {out}. See what a database has of them: sqlmig status")
