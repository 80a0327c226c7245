"""The command that shows the schema: schema."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ..errors import ConfigurationError
from ..pictures import FORMATS
from . import render
from .context import Options, reader, shared_options
from .models import ignore_option

if TYPE_CHECKING:
    from ..pictures.picture import Picture

__all__ = ["COMMANDS"]

_COLOURS = {"added": "green", "removed": "red", "changed": "yellow"}


@click.command()
@click.option(
    "--format", "format_", type=click.Choice(FORMATS), help="The form; sql by default, and text of a difference."
)
@click.option("--at", type=click.IntRange(min=0), metavar="VERSION", help="What the migrations make up to there.")
@click.option(
    "--diff",
    type=click.IntRange(min=0),
    nargs=2,
    metavar="A B",
    help="What differs between what the migrations make up to A and up to B.",
)
@ignore_option
@shared_options
def schema(
    options: Options, format_: str | None, at: int | None, diff: tuple[int, int] | None, ignore: tuple[str, ...]
) -> None:
    """
    Show the schema of the database, or of a version.

    Or what differs between two versions: + is told of what is added, - of what is removed, ~ of what is changed.

    Example: sqlmig schema --format mermaid --at 3
    """
    # No other command waits for what draws.
    from ..pictures.draw import draw, picture, require_format, schema_statements
    from ..pictures.words import as_data

    if options.as_json and format_ not in (None, "sql"):
        raise ConfigurationError(
            f"The schema is shown as JSON, or as {format_}.\n  both were asked for\nLeave out --json or --format."
        )
    chosen = format_ or ("text" if diff is not None else "sql")
    if not (options.as_json and format_ is None):
        require_format(chosen, is_difference=diff is not None)
    looked_at = reader(options)
    found = looked_at.migrator
    if not looked_at.is_there and at is None and diff is None:
        click.echo(looked_at.name, err=True)
    if options.as_json and format_ == "sql":
        render.as_json({"statements": schema_statements(found, at, ignore)})
    elif options.as_json:
        render.as_json(as_data(picture(found, at=at, diff=diff, ignore=ignore, name=looked_at.name)))
    elif chosen == "text":
        _show(picture(found, at=at, diff=diff, ignore=ignore, name=looked_at.name))
    else:
        with render.aside():
            drawn = draw(found, chosen, at=at, diff=diff, ignore=ignore, name=looked_at.name)
        # Without that click takes out of a name what a terminal would take for a colour.
        click.echo(drawn, nl=False, color=True)
        if not drawn and (looked_at.is_there or at is not None):
            click.echo("There is no table and no view.", err=True)


def _show(found: Picture) -> None:
    from ..pictures.draw import as_text
    from ..pictures.words import as_lines

    if not found.is_difference:
        click.echo(as_text(found), nl=False)
        return
    for mark, line in as_lines(found):
        render.say(line, _COLOURS.get(mark, ""))


COMMANDS = (schema,)
