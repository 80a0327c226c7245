"""The command that writes a page about the database: report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from . import render
from .context import Options, reader, shared_options
from .models import ignore_option, models_of, models_option

if TYPE_CHECKING:
    from ..pictures.report import DatabaseReport

__all__ = ["COMMANDS"]


@click.command()
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    default=Path("sqlmig-report.html"),
    show_default=True,
    metavar="FILE",
    help="Where the page is written; - for the terminal.",
)
@click.option("--force", is_flag=True, help="Replace FILE even if it is no report.")
@models_option
@ignore_option
@shared_options
def report(options: Options, output: Path, force: bool, models: tuple[str, ...], ignore: tuple[str, ...]) -> None:
    """
    Write a page with all about the database.

    Its history, what is pending, schema, sizes and drift, in one file that needs nothing else and asks no network. The
    database is only read. With --json nothing is written, and what the page would tell is printed.

    Example: sqlmig report --output report.html
    """
    # No other command waits for what draws.
    from ..pictures.report import read_report
    from ..pictures.report_file import write_report
    from ..pictures.report_page import as_page

    found, named = reader(options), models_of(models) or None
    if options.as_json or str(output) == "-":
        with render.aside():
            read = read_report(found.migrator, named, ignore=ignore, name=found.name)
        if options.as_json:
            render.as_json(_as_data(read))
        else:
            click.echo(as_page(read), nl=False)
        return
    read = write_report(found.migrator, output, named, ignore=ignore, force=force, name=found.name)
    render.say(f"Wrote {output}.")
    for part, message in read.failed.items():
        render.note(f"{part} could not be read: {message.partition(chr(10))[0]}")


def _as_data(read: DatabaseReport) -> dict[str, object]:
    from ..pictures.words import as_data

    return {**read, "picture": None if read.picture is None else as_data(read.picture)}


COMMANDS = (report,)
