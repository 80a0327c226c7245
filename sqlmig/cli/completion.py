"""The command that teaches a shell: completion."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from .context import Group

__all__ = ["COMMANDS"]

_SHELLS = ("bash", "fish", "zsh")


@click.command()
@click.argument("shell", type=click.Choice(_SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """
    Print what has a SHELL complete commands and options.

    In ~/.bashrc or ~/.zshrc it is read by eval "$(sqlmig completion bash)", in fish by a pipe into source.

    Example: sqlmig completion bash
    """
    kind = get_completion_class(shell)
    root = context.find_root().command
    assert kind is not None
    assert isinstance(root, Group)
    click.echo(kind(root, {}, "sqlmig", "_SQLMIG_COMPLETE").source())


COMMANDS = (completion,)
