"""The commands for snapshots: snapshot, snapshots, restore; and the options with which other commands use them."""

from __future__ import annotations

import os
import shlex
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..config import load_config
from ..connection import display_name
from ..errors import ConfigurationError, MigrationError
from . import render
from .context import Options, migrator, require_database, shared_options

if TYPE_CHECKING:
    from ..migrator import Migrator
    from ..safety.shelf import Snapshot

__all__ = ["COMMANDS", "as_option", "confirm_restore", "snapshot_options", "use_snapshot"]

_folder = click.option(
    "--snapshot-folder", metavar="FOLDER", help="Where snapshots go; by default beside the database file."
)
use_snapshot = click.option(
    "--use-snapshot",
    is_flag=True,
    help="Where a migration has no way back, restore the snapshot of that version: what was written since is lost.",
)


def snapshot_options(command: Any) -> Any:
    """Add `--snapshot`, `--no-snapshot` and `--snapshot-folder`."""
    made = click.option(
        "--snapshot/--no-snapshot",
        default=None,
        help="Make a verified copy of the database before the first migration; by default as configured, else none.",
    )
    return made(_folder(command))


def as_option(made: bool | None, folder: str | None) -> dict[str, Any]:
    """What the two options mean for the Migrator, over what is configured."""
    if made is False:
        return {"snapshot": False}
    configured = load_config().get("snapshot")
    table = {"folder": configured} if isinstance(configured, str) else configured
    table = dict(table) if isinstance(table, dict) else {}
    table |= {"folder": folder} if folder is not None else {}
    return {"snapshot": table or True} if made or folder is not None else {}


@click.command()
@_folder
@shared_options
def snapshot(options: Options, snapshot_folder: str | None) -> None:
    """
    Make a verified copy of the database now.

    Example: sqlmig snapshot --snapshot-folder backups
    """
    require_database(migrator(options))
    with render.progress(not options.as_json) as progress:
        made = migrator(options, progress, **as_option(None, snapshot_folder)).create_snapshot()
    if options.as_json:
        render.as_json(made)
    else:
        again = f"sqlmig restore {shlex.quote(str(made.path))}"
        render.say(f"{made.path}\nVersion {made.version}, {made.size:,} bytes. To bring it back: {again}")


@click.command()
@_folder
@shared_options
def snapshots(options: Options, snapshot_folder: str | None) -> None:
    """
    Show the snapshots of the database, newest first.

    Example: sqlmig snapshots
    """
    _show(migrator(options, **as_option(None, snapshot_folder)), options)


def _show(found: Migrator, options: Options) -> None:
    listed = found.snapshots()
    if options.as_json:
        render.as_json({"snapshots": listed})
    else:
        render.snapshots(listed)


@click.command()
@click.argument("file", required=False)
@click.option("--yes", is_flag=True, help="Do not ask: what was written since the snapshot is lost.")
@_folder
@shared_options
def restore(options: Options, file: str | None, yes: bool, snapshot_folder: str | None) -> None:
    """
    Bring the snapshot FILE back, or show which there are.

    The database gets the content of the file, with the history of all since. Programs that have it open go on with
    that content; what was written since the snapshot is lost.

    Example: sqlmig restore app.db.v007.20261125T101500Z.snapshot
    """
    found = migrator(options, **as_option(None, snapshot_folder))
    if file is None:
        if yes:
            raise ConfigurationError(
                "No file was named, so nothing was restored.\n  --yes answers the question about one\n"
                "See which there are: sqlmig snapshots"
            )
        _show(found, options)
        return
    chosen = _chosen(found, file)
    if not yes:
        confirm_restore(found, chosen)
    with render.progress(not options.as_json) as progress:
        done = migrator(options, progress).restore(chosen.path)
    if options.as_json:
        render.as_json(done)
    else:
        render.result(done)


def _chosen(found: Migrator, file: str) -> Snapshot:
    """The file of that path, else the snapshot of that name."""
    named = Path(file)
    if not named.exists() and not os.path.dirname(file):
        # A database in memory has none.
        with suppress(ConfigurationError):
            named = next((one.path for one in found.snapshots() if one.path.name == file), named)
    return found.keeper.look_at(named)


def confirm_restore(found: Migrator, chosen: Snapshot) -> None:
    """
    Have somebody say that what was written since may go.

    Raises:
        ConfigurationError: Nobody is there to say it.
    """
    name = display_name(found.db.engine)
    try:
        version = f"version {found.get_current_version()}"
    except MigrationError:
        version = "its version, which cannot be read,"
    since = f"{chosen.taken_at:%Y-%m-%d %H:%M:%S} UTC, {_ago(chosen.taken_at)} ago"
    told = f"The database {name} goes from {version} to version {chosen.version}, with the content of {chosen.path}."
    lost = f"Everything that was written to it since ({since}) is lost."
    if not render.somebody_is_there():
        raise ConfigurationError(f"{told}\n  {lost} Nothing was changed.\nIf that is meant, say so: --yes")
    click.echo(f"{told}\n{lost}", err=True)
    if not render.confirmed("Restore it?"):
        click.echo("Nothing was changed.", err=True)
        raise SystemExit(1)


def _ago(time: datetime) -> str:
    seconds = max(0, int((datetime.now(UTC) - time).total_seconds()))
    for size, unit in ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second")):
        if seconds >= size or size == 1:
            number = seconds // size
            return f"{number:,} {unit}" + ("" if number == 1 else "s")
    raise AssertionError


COMMANDS = (snapshot, snapshots, restore)
