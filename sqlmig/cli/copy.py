"""The command that copies a whole database into another: copy."""

from __future__ import annotations

import click

from ..errors import ConfigurationError
from . import render
from .context import Options, migrator, shared_options

__all__ = ["COMMANDS"]


@click.command()
@click.argument("source", metavar="SOURCE_URL")
@click.argument("target", metavar="TARGET_URL")
@click.option("--skip", multiple=True, metavar="TABLE[.COLUMN]", help="Leave this out; may be given more than once.")
@click.option(
    "--batch-size",
    type=click.IntRange(min=1),
    default=2_000,
    show_default=True,
    metavar="ROWS",
    help="How many rows are held in memory at a time, at the most.",
)
@shared_options
def copy(options: Options, source: str, target: str, skip: tuple[str, ...], batch_size: int) -> None:
    """
    Copy one database into another, also of another kind.

    TARGET_URL is empty. The migrations make the schema there; the rows come with their history, and are read back and
    compared.

    Example: sqlmig copy sqlite:///app.db postgresql+psycopg://app@localhost/app
    """
    if options.url is not None:
        raise ConfigurationError(
            "copy was given --url beside its two databases.\n  Nothing was copied.\n"
            "Name both: sqlmig copy SOURCE_URL TARGET_URL"
        )
    with render.progress(not options.as_json) as progress:
        found = migrator(options._replace(url=target), progress)
        done = found.copy_from(source, skip=skip, batch_size=batch_size)
    if options.as_json:
        render.as_json({**done, "rows": done.rows})
    else:
        render.copy(done)


COMMANDS = (copy,)
