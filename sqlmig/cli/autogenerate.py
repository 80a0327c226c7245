"""What `sqlmig new --auto` is told, asks and prints."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, NoReturn

import click

from ..errors import ConfigurationError
from . import render
from .context import Options, scratch_migrator
from .models import ignore_option, models_of, models_option

if TYPE_CHECKING:
    from ..autogenerate.renames import RenameQuestion

__all__ = ["auto_options", "write_from_models"]


def auto_options(command: Any) -> Any:
    """Add `--auto` and what belongs to it."""
    for option in reversed(
        (
            click.option("--auto", is_flag=True, help="Write up() and down() from what the models have otherwise."),
            models_option,
            click.option(
                "--rename",
                metavar="OLD:NEW",
                multiple=True,
                help="What was renamed: a table as old:new, a column as table.old:new. Else it is asked.",
            ),
            click.option(
                "--drop", metavar="NAME", multiple=True, help="What is gone and not renamed: a table, or table.column."
            ),
            ignore_option,
            click.option("--allow-empty", is_flag=True, help="Models without tables are meant: drop them all."),
        )
    ):
        command = option(command)
    return command


def write_from_models(
    options: Options,
    description: str,
    *,
    auto: bool,
    sql: bool,
    models: tuple[str, ...],
    rename: tuple[str, ...],
    drop: tuple[str, ...],
    ignore: tuple[str, ...],
    allow_empty: bool,
) -> bool:
    """
    Write a migration from the models, if that is asked for, and end the command where they do not agree with it.

    Raises:
        ConfigurationError: There are no models, their options were given without `--auto`, or it is to be plain SQL.
    """
    if not auto:
        if models or rename or drop or ignore or allow_empty:
            raise ConfigurationError(
                "--models, --rename, --drop, --ignore and --allow-empty belong to --auto; nothing was written.\n"
                "  without it an empty migration is written\n"
                f'Say so: sqlmig new "{description}" --auto'
            )
        return False
    if sql:
        raise ConfigurationError(
            "--sql and --auto are two kinds of files; nothing was written.\n"
            "  what is written from models is in terms of the schema operations, for every database\n"
            "Leave one of them out."
        )
    named = models_of(models)
    if not named:
        raise ConfigurationError(
            "There are no models to write a migration from; nothing was written.\n"
            "  neither --models, nor models in [tool.sqlmig] of pyproject.toml is there\n"
            f'Name them: sqlmig new "{description}" --auto --models app.models:Base'
        )
    asks = _ask if render.somebody_is_there() and not options.as_json else None
    done = scratch_migrator(options).create_migration(
        description, named, rename=rename, drop=drop, ask=asks, ignore=ignore, allow_empty=allow_empty
    )
    if options.as_json:
        render.as_json({**done, "clean": done.clean})
    else:
        render.say(str(done))
        if done.path is not None and done:
            render.say("Models and migrations agree with it. Read it, then: sqlmig up")
    if not done:
        sys.exit(1)
    return True


def _ask(question: RenameQuestion) -> str | None:
    """Have somebody say what became of something."""
    click.echo(str(question), err=True)
    for number, name in enumerate(question.candidates, 1):
        click.echo(f"  {number}  it is called {name} now", err=True)
    click.echo("  0  it is gone, with what it holds", err=True)
    try:
        chosen: int = click.prompt("Which", type=click.IntRange(0, len(question.candidates)), err=True)
    except click.Abort:
        _give_up()
    return question.candidates[chosen - 1] if chosen else None


def _give_up() -> NoReturn:
    click.echo("\nNothing was written.", err=True)
    raise SystemExit(1)
