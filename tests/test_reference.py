"""What the site says of the command line is what click knows, and every link of a page leads somewhere."""

from __future__ import annotations

import importlib.util
import re
import shlex
import tomllib
from pathlib import Path
from types import ModuleType

import click
import pytest
from test_documents import BLOCK, PAGES, ROOT

from sqlmig.cli.app import app

JSON_PAGE = ROOT / "docs" / "reference" / "json.md"


LINK = re.compile(r"\]\(([^)\s#:]*)(?:#([^)\s]+))?\)")


def hook(name: str) -> ModuleType:
    """A module of docs/hooks, which is no package."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / "hooks" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


REFERENCE = hook("commands")
COMMANDS = [command for _, command in REFERENCE.commands(app)]


def parsed(words: list[str]) -> click.Command:
    """The command that is called by these words, whose options and arguments it knows."""
    command: click.Command = app
    context = click.Context(app, info_name="sqlmig")
    while isinstance(command, click.Group):
        name, found, words = command.resolve_command(context, words)
        assert found is not None
        command, context = found, click.Context(found, info_name=name, parent=context)
    command.make_context(command.name, words, parent=context.parent)
    return command


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_help_has_an_example_that_the_command_understands(command: click.Command) -> None:
    shown = REFERENCE.examples(command)
    assert shown, f"the help of {command.name} has no line `Example: sqlmig {command.name} ...`"
    assert shlex.split(shown[0])[0] == "sqlmig"
    for example in shown:
        assert parsed(shlex.split(example)[1:]).name == command.name


def test_the_page_of_commands_has_each_of_them() -> None:
    page = "\n".join(REFERENCE.described(app))
    for command in COMMANDS:
        section = page.partition(f"\n## {command.name}\n")[2].partition("\n## ")[0]
        assert f"$ {REFERENCE.examples(command)[0]}" in section
        for option in (one for one in command.params if isinstance(one, click.Option)):
            assert option.opts[0] in (section if option.name not in REFERENCE.shared() else page)


def test_json_of_every_command_is_documented() -> None:
    """`test_documents` types the calls and compares what comes out."""
    page = JSON_PAGE.read_text()
    documented = set(re.findall(r"^## ([a-z-]+)$", page, re.MULTILINE))
    printing = {command.name for command in COMMANDS if any(one.name == "as_json" for one in command.params)}
    assert documented == printing
    for name in documented:
        section = page.partition(f"\n## {name}\n")[2].partition("\n## ")[0]
        assert re.search(rf"^\$ sqlmig {name} (.* )?--json$", section, re.MULTILINE), name
        assert "```json\n" in section, name


def anchors(page: Path) -> set[str]:
    """The headings of a page, as links name them: on the repository page and, by the site's slugs, there."""
    text = BLOCK.sub("", page.read_text())
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_evidence_is_a_test_that_there_is() -> None:
    named = re.findall(r"\[`(test_\w+)`\]\(\.\./(tests/\w+\.py)\)", (ROOT / "docs" / "guarantees.md").read_text())
    assert named
    for name, path in named:
        assert f"\ndef {name}(" in (ROOT / path).read_text(), f"{path} has no {name}"


@pytest.mark.parametrize(
    "page", [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"], ids=lambda page: str(page.relative_to(ROOT))
)
def test_links_lead_somewhere(page: Path) -> None:
    for path, anchor in LINK.findall(BLOCK.sub("", page.read_text())):
        target = (page.parent / path).resolve() if path else page
        assert target.is_file(), f"{path} is not there"
        assert target.is_relative_to(ROOT)
        if anchor:
            assert anchor in anchors(target), f"{path}#{anchor} is not there"


def test_every_page_is_in_the_menu() -> None:
    menu = re.findall(r": ([\w/-]+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE)
    assert len(menu) == len(set(menu))
    assert set(menu) == {str(page.relative_to(ROOT / "docs")) for page in PAGES[1:]} | {
        "overview.md",
        "changes.md",
        "contributing.md",
    }


def test_every_option_of_the_configuration_is_documented() -> None:
    from sqlmig.config import OPTIONS

    (block, *_) = re.findall(r"```toml\n(.*?)```", (ROOT / "docs/reference/configuration.md").read_text(), re.DOTALL)
    assert set(tomllib.loads(block)["tool"]["sqlmig"]) == set(OPTIONS)
