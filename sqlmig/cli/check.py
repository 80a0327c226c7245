"""The command that compares: check."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import click

from ..drift.report import DriftReport
from ..errors import ConfigurationError
from . import render
from .context import Options, reader, shared_options
from .models import ignore_option, models_of, models_option

__all__ = ["COMMANDS"]


@click.command()
@models_option
@ignore_option
@click.option("--no-database", is_flag=True, help="Compare the models with the migrations alone.")
@click.option("--allow-empty", is_flag=True, help="Models without tables are meant.")
@shared_options
def check(
    options: Options, models: tuple[str, ...], ignore: tuple[str, ...], no_database: bool, allow_empty: bool
) -> None:
    """
    Compare models, migrations and the database.

    It is told in what any two of them do not agree. The database is only read. Exit code 1 where something differs.

    Example: sqlmig check --models app.models:Base
    """
    named = models_of(models)
    if no_database and not named:
        raise ConfigurationError(
            "There is nothing to compare.\n  --no-database leaves the models and the migrations, and none were named\n"
            "Name them: sqlmig check --no-database --models app.models:Base"
        )
    found = reader(options)
    missing = not found.is_there and not no_database
    if missing and not named:
        raise ConfigurationError(
            f"There is nothing to compare.\n  {found.name}, and no models were named\n"
            "Look at the URL; make it by: sqlmig up; or name the models: sqlmig check --models app.models:Base"
        )
    report = found.migrator.check(
        named or None, ignore=ignore, database=found.is_there and not no_database, allow_empty=allow_empty
    )
    if missing:
        state = f"{found.name}: compared are the models and the migrations alone."
        report = DriftReport(**{**report, "state": state})
    if options.as_json:
        render.as_json({**report, "clean": report.clean})
    else:
        render.say(str(report))
        for line in _next_steps(report):
            render.say(line)
    sys.exit(0 if report else 1)


def _next_steps(report: DriftReport) -> Iterator[str]:
    for comparison in report.comparisons:
        if comparison:
            continue
        if (comparison.left, comparison.right) == ("models", "migrations"):
            yield 'What the models want is written as a migration by: sqlmig new --auto "what it changes"'
        elif comparison.left == "migrations":
            yield "What was done to the database by hand is taken back by hand, or made a migration of."


COMMANDS = (check,)
