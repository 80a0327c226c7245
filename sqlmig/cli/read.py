"""The commands that only look: status, plan, history, validate."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from ..config import load_config
from ..errors import ConfigurationError
from . import render
from .context import Options, database_named, reader, shared_options
from .files import manager_of_files

if TYPE_CHECKING:
    from ..manager import MigrationManager
    from ..preview import SqlPlan
    from ..results import Issue, Plan

__all__ = ["COMMANDS"]


@click.command()
@shared_options
def status(options: Options) -> None:
    """
    Show where the database stands.

    Example: sqlmig status --json
    """
    found = reader(options)
    state = found.migrator.get_migration_status()
    if options.as_json:
        render.as_json(state)
    else:
        render.status(state, found.name)
        render.slips(found.migrator.manager.sources.suspicious())


@click.command()
@click.argument("target", type=int, required=False)
@click.option("--sql", is_flag=True, help="The SQL that would run, seen in a scratch database.")
@click.option("--with-rows", is_flag=True, help="With --sql: seen on a copy of the database, rows included.")
@shared_options
def plan(options: Options, target: int | None, sql: bool, with_rows: bool) -> None:
    """
    Show what `up`, or `to TARGET`, would do.

    Example: sqlmig plan 3

    Example: sqlmig plan --sql
    """
    if with_rows and not sql:
        raise ConfigurationError(
            "--with-rows belongs to --sql.\n"
            "  A plan without it is told by the files.\n"
            "Say both: sqlmig plan --sql --with-rows"
        )
    looking = reader(options).migrator
    looking.manager.require_files()
    found: Plan | SqlPlan
    # The script may be piped into a database's own program.
    with render.aside():
        found = looking.get_migration_sql(target, with_rows=with_rows) if sql else looking.get_migration_plan(target)
    if options.as_json:
        render.as_json(found)
    else:
        render.plan(found)


@click.command()
@click.option("--limit", type=click.IntRange(1, 2**31 - 1), metavar="N", help="The newest N entries only.")
@shared_options
def history(options: Options, limit: int | None) -> None:
    """
    Show everything that was done or tried, newest first.

    Example: sqlmig history --limit 20
    """
    entries = reader(options).migrator.get_migration_history(limit)
    if options.as_json:
        render.as_json({"history": entries})
    else:
        render.history(entries)


@click.command()
@click.option("--files-only", is_flag=True, help="Check the files alone: no database is asked, and no driver needed.")
@shared_options
def validate(options: Options, files_only: bool) -> None:
    """
    Check the migration files, and the database against them.

    Exit code 1 where something is wrong. Where no database is named, the files alone are checked.

    Example: sqlmig validate --files-only
    """
    name = None
    if files_only or not database_named(options, load_config()):
        manager = manager_of_files(options)
        issues = manager.validate_files()
    else:
        found = reader(options)
        manager, name = found.migrator.manager, found.name
        issues = manager.validate_migration_sequence()
    if options.as_json:
        listed = [{"kind": i.kind, "version": i.version, "line": i.line, "message": str(i)} for i in issues]
        render.as_json({"valid": not issues, "database": name, "issues": listed})
    else:
        _show(issues, manager, alone=name is None)
    sys.exit(1 if issues else 0)


def _show(issues: list[Issue], manager: MigrationManager, *, alone: bool) -> None:
    if issues:
        render.issues(issues)
    else:
        render.say("The migrations are fit to run.")
    render.slips(manager.sources.suspicious())
    if alone:
        render.note("the files alone were checked: no database was asked")


COMMANDS = (status, plan, history, validate)
