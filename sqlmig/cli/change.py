"""The commands that change a database: up, to, down, stamp, repair."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ..connection import display_name
from ..errors import MigrationError
from . import render
from .context import Options, migrator, require_database, require_version, shared_options
from .snapshots import as_option, confirm_restore, snapshot_options, use_snapshot

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..migrator import Migrator
    from ..records import Outcome
    from ..results import MigrationResult

__all__ = ["COMMANDS", "agree", "below", "yes_option"]


_together = click.option(
    "--all-or-nothing/--one-by-one",
    default=None,
    help="One transaction around all of them, or one for each; by default as configured, else one for each.",
)


yes_option = click.option("--yes", "-y", is_flag=True, help="Lose what a rollback removes, without a question.")
_rehearse = click.option("--rehearse", is_flag=True, help="Do it to a copy first, and to the database if that works.")


@click.command()
@_together
@_rehearse
@snapshot_options
@shared_options
def up(
    options: Options,
    all_or_nothing: bool | None,
    rehearse: bool,
    snapshot: bool | None,
    snapshot_folder: str | None,
) -> None:
    """
    Apply every pending migration.

    Example: sqlmig up --url sqlite:///app.db
    """
    with render.progress(not options.as_json) as progress:
        found = migrator(options, progress, **as_option(snapshot, snapshot_folder))
        require_version(found)
        done = found.migrate(all_or_nothing=all_or_nothing, rehearse=rehearse)
    _show(done, options)
    if not options.as_json:
        render.slips(found.manager.sources.suspicious())


@click.command()
@click.argument("version", type=int)
@_together
@_rehearse
@snapshot_options
@use_snapshot
@yes_option
@shared_options
def to(
    options: Options,
    version: int,
    all_or_nothing: bool | None,
    rehearse: bool,
    snapshot: bool | None,
    snapshot_folder: str | None,
    use_snapshot: bool,
    yes: bool,
) -> None:
    """
    Go to VERSION, up or down.

    Example: sqlmig to 5
    """
    chosen = as_option(snapshot, snapshot_folder)
    looking = migrator(options, **chosen)
    require_version(looking, version)
    agree(looking, version, yes, use_snapshot)
    with render.progress(not options.as_json) as progress:
        found = migrator(options, progress, **chosen)
        done = found.migrate_to_version(
            version, all_or_nothing=all_or_nothing, rehearse=rehearse, use_snapshot=use_snapshot
        )
    _show(done, options)


@click.command()
@click.argument("steps", type=click.IntRange(min=1), default=1)
@use_snapshot
@yes_option
@shared_options
def down(options: Options, steps: int, use_snapshot: bool, yes: bool) -> None:
    """
    Roll back the newest STEPS migrations, one by default.

    What they made goes with what it holds by now, after a question; a script says --yes.

    Example: sqlmig down 2
    """
    found = migrator(options)
    require_database(found)
    target = below(found.manager.get_migration_status().applied_versions, steps)
    agree(found, target, yes, use_snapshot)
    with render.progress(not options.as_json) as progress:
        done = migrator(options, progress).rollback_to_version(target, use_snapshot=use_snapshot)
    _show(done, options)


@click.command()
@click.argument("version", type=int)
@shared_options
def stamp(options: Options, version: int) -> None:
    """
    Record that the database is at VERSION; nothing is run.

    Example: sqlmig stamp 7
    """
    found = migrator(options)
    require_version(found, version)
    found.stamp(version)
    if options.as_json:
        render.as_json({"version": version})
    else:
        render.say(f"{display_name(found.db.engine)} is recorded at version {version}; nothing was run.")


@click.command()
@click.option("--retry", "said", flag_value="retry", help="Interrupted migrations are to run again.")
@click.option("--mark-applied", "said", flag_value="applied", help="They are complete, by hand perhaps.")
@click.option("--mark-rolled-back", "said", flag_value="rolled back", help="Nothing is left of them.")
@shared_options
def repair(options: Options, said: Outcome | None) -> None:
    """
    Accept edited files, and clear marks of interruptions.

    It also puts user_version right.

    With a flag, only record what became of interrupted migrations.

    Example: sqlmig repair --retry
    """
    found = migrator(options)
    require_database(found)
    done = found.repair(interrupted=said)
    if options.as_json:
        render.as_json({"repaired": done})
    else:
        render.say("\n".join(done) or "Nothing needed repair.")


COMMANDS = (up, to, down, stamp, repair)


def below(applied: Sequence[int], steps: int) -> int:
    """The version under the newest *steps* of those that are applied."""
    return applied[-steps - 1] if steps < len(applied) else 0


def agree(found: Migrator, target: int, yes: bool, use_snapshot: bool = False) -> None:
    """
    Have somebody say that what a rollback would remove, or a snapshot in its place, may go.

    Raises:
        MigrationError: Nobody did.
    """
    if yes or target < 0:
        return
    if use_snapshot and (snapshot := found.keeper.instead_of_rollback(target)) is not None:
        confirm_restore(found, snapshot)
        return
    losses = found.get_rollback_losses(target)
    if losses and not render.agreed(losses):
        raise MigrationError(
            "Nothing was rolled back: it would remove what is listed above.\n"
            "  It was made by these migrations, and holds data now.\n"
            "If it may go, say so: --yes"
        )


def _show(done: MigrationResult, options: Options) -> None:
    if options.as_json:
        render.as_json(done)
    else:
        render.result(done)
