"""The reference of the command line, as click knows it: a new command is in it without anybody's doing."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

PAGE = "reference/commands.md"
PLACE = "<!-- commands -->"
EXAMPLE = re.compile(r"^Example: (.+)$", re.MULTILINE)
JSON_PAGE = Path(__file__).parents[1] / "reference" / "json.md"


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Put every command in its place on the page."""
    if page.file.src_uri != PAGE:
        return markdown
    assert PLACE in markdown, f"{PAGE} has no {PLACE}"
    from sqlmig.cli.app import app

    return markdown.replace(PLACE, "\n".join(described(app)))


def commands(group: click.Group, parent: click.Context | None = None) -> Iterator[tuple[click.Context, click.Command]]:
    """Each command with its context, those of groups below it as well, in the order of `--help`."""
    name = "sqlmig" if parent is None else group.name
    context = click.Context(group, info_name=name, parent=parent, max_content_width=10_000, terminal_width=10_000)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None, name
        if command.hidden:
            continue
        if isinstance(command, click.Group):
            yield from commands(command, context)
        else:
            yield click.Context(command, info_name=name, parent=context), command


def help_of(command: click.Command) -> str:
    """Its help, as it was written."""
    return inspect.cleandoc(command.help or "").replace("\b\n", "")


def examples(command: click.Command) -> list[str]:
    """The calls that its help shows."""
    return EXAMPLE.findall(help_of(command))


def shared() -> dict[str, click.Parameter]:
    """The options that a command has from `shared_options`, by the name that its function gets."""
    from sqlmig.cli.context import shared_options

    def nothing(*_: object) -> None: ...

    return {option.name or "": option for option in reversed(vars(shared_options(nothing))["__click_params__"])}


def described(app: click.Group) -> Iterator[str]:
    """The page, line by line."""
    yield "Nearly every command takes these:"
    yield ""
    yield from _table(click.Context(app), list(shared().values()))
    for context, command in commands(app):
        yield from _section(context, command)


def _section(context: click.Context, command: click.Command) -> Iterator[str]:
    yield f"\n## {context.command_path.removeprefix('sqlmig ')}\n"
    yield EXAMPLE.sub(r"```console\n$ \1\n```", help_of(command))
    own = [one for one in command.params if isinstance(one, click.Option) and one.name not in shared()]
    usage = " ".join((context.command_path, *command.collect_usage_pieces(context)))
    yield f"\n```text\n{usage}\n```\n"
    yield from _table(context, own)
    taken = [one for name, one in shared().items() if name in {param.name for param in command.params}]
    if len(taken) < len(shared()):
        named = ", ".join(f"`{one.opts[0]}`" for one in taken)
        yield f"\nOf the options of all commands it takes {named or 'none'}."
    if f"\n## {context.info_name}\n" in JSON_PAGE.read_text(encoding="utf-8"):
        yield f"\n[What `--json` prints](json.md#{context.info_name})."


def _table(context: click.Context, options: list[click.Parameter]) -> Iterator[str]:
    records = [record for one in options if (record := one.get_help_record(context)) is not None]
    if records:
        yield "| option | |\n| --- | --- |"
        yield from (
            f"| `{names}` | {text} |"
            for names, text in ([cell.replace("|", "\\|") for cell in record] for record in records)
        )
