"""The command `sqlmig` and its groups."""

from __future__ import annotations

import click

from .. import __version__
from . import (
    change,
    check,
    completion,
    copy,
    create,
    doctor,
    init,
    read,
    redo,
    rehearse,
    renumber,
    report,
    schema,
    snapshots,
    squash,
)
from .context import Group


@click.group(
    cls=Group,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 it worked; 1 a migration or the database failed, or validate or check found something;"
    " 2 the call or the configuration was wrong.",
)
@click.version_option(__version__, prog_name="sqlmig")
def app() -> None:
    """
    Database migrations for SQLAlchemy applications.

    The database is --url, else SQLMIG_URL, else url in [tool.sqlmig] of pyproject.toml; the migrations are --path,
    else path there, else migrations/versions.
    """


_GROUPS = (
    init,
    change,
    redo,
    rehearse,
    read,
    check,
    doctor,
    schema,
    report,
    snapshots,
    copy,
    create,
    renumber,
    squash,
    completion,
)
for command in (command for group in _GROUPS for command in group.COMMANDS):
    app.add_command(command)
