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


def _told(directory: str, options: Options) -> dict[str, Any]:
    """What env.py says that the files must say as well: how constraints are named, and where the heads are."""
    try:
        said = AlembicMigrator("sqlite://", directory).ask_env()
    except MigrationError as error:
        # Without it the import says what to look at. As JSON there is one object, and nothing before it.
        if not options.as_json:
            render.note(str(error).partition("\n")[0])
        return {}
    convention = dict(getattr(said.get("target_metadata"), "naming_convention", {}))
    return {
        "naming_convention": {} if convention == dict(MetaData().naming_convention) else convention,
        "version_table": said.get("version_table") or "alembic_version",
    }


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
    imported = import_history(directory, out, **_told(directory, options))
    if options.as_json:
        render.as_json({"paths": [str(path) for path in imported.paths], "notes": imported.notes})
        return
    for note in imported.notes:
        render.say(f"look at {note}")
    render.say(f"Wrote {len(imported.paths)} migrations to {out}. See what a database has of them: sqlmig status")
