"""Python source as it is written by hand: calls and lists that break where black and ruff would break them."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

__all__ = ["Call", "Imports", "Node", "Raw", "comment", "listed", "literal", "written"]


@dataclass(frozen=True)
class Raw:
    """Source that is never broken."""

    text: str


@dataclass(frozen=True)
class Call:
    """
    A call; a list where `brackets` say so.

    Attributes:
        name: What is called; of a method of another expression, `.method`.
        of: That expression.
    """

    name: str
    args: tuple[Node, ...] = ()
    options: tuple[tuple[str, Node], ...] = ()
    of: Node | None = None
    brackets: str = "()"

    @property
    def parts(self) -> list[tuple[str, Node]]:
        """What stands between the brackets, with the words before it."""
        return [("", arg) for arg in self.args] + [(f"{name}=", value) for name, value in self.options]


@dataclass(frozen=True)
class _Text:
    """A text with line breaks in it: one literal for each line, unless all of it fits on one."""

    text: str

    @property
    def lines(self) -> list[str]:
        return [_quoted(line) for line in self.text.splitlines(keepends=True)]


Node: TypeAlias = "Raw | Call | _Text"


class Imports:
    """The names that a piece of source needs, by the modules that they come from."""

    def __init__(self) -> None:
        self._names: dict[str, set[str]] = {}

    def add(self, module: str, name: str) -> str:
        """Need a name; it is returned as it is written."""
        self._names.setdefault(module, set()).add(name)
        return name

    def update(self, other: Imports) -> None:
        """Need what another needs as well."""
        for module, names in other._names.items():
            self._names.setdefault(module, set()).update(names)

    def lines(self, width: int) -> Iterator[str]:
        """The import statements, sorted."""
        for module, names in sorted(self._names.items()):
            ordered = sorted(names, key=_import_order)
            line = f"from {module} import {', '.join(ordered)}"
            if len(line) <= width:
                yield line
            else:
                yield f"from {module} import ("
                yield from (f"    {name}," for name in ordered)
                yield ")"


def _import_order(name: str) -> tuple[int, str, str]:
    """Constants, classes, and the rest, as ruff and isort put them."""
    kind = 0 if name.isupper() and len(name) > 1 else 1 if name[:1].isupper() else 2
    return kind, name.lower(), name


def literal(value: Any) -> Node:
    """A text, a number, None, a bool, or a list or a dict of these."""
    if isinstance(value, str):
        text = str(value)
        return _Text(text) if len(text.splitlines()) > 1 else Raw(_quoted(text))
    if isinstance(value, list | tuple):
        return listed([literal(one) for one in value])
    if isinstance(value, dict):
        return Raw("{" + ", ".join(f"{_flat(literal(k))}: {_flat(literal(v))}" for k, v in value.items()) + "}")
    return Raw(repr(value))


def listed(nodes: Iterable[Node]) -> Call:
    """A list."""
    return Call("", tuple(nodes), brackets="[]")


def _quoted(text: str) -> str:
    """A literal in double quotes, but where that would take more backslashes."""
    shown = repr(text)
    if shown[0] == '"' or text.count('"') > text.count("'"):
        return shown
    inner = shown[1:-1].replace("\\'", "'").replace('"', '\\"')
    return f'"{inner}"'


def comment(text: str, indent: int, width: int) -> Iterator[str]:
    """A comment, broken into lines."""
    pad = " " * indent + "# "
    yield from textwrap.wrap(
        " ".join(text.split()),
        width,
        initial_indent=pad,
        subsequent_indent=pad,
        break_long_words=False,
        break_on_hyphens=False,
    )


def written(node: Node, indent: int, width: int, before: str = "", after: str = "") -> list[str]:
    """
    The lines of a piece of source.

    Args:
        before, after: What stands in front of it and behind it: `language=`, a comma.
    """
    pad = " " * indent
    line = f"{pad}{before}{_flat(node)}{after}"
    if len(line) <= width or isinstance(node, Raw):
        return [line]
    if isinstance(node, _Text):
        return _broken(node, indent, before, after)
    return _opened(node, indent, width, before, after)


def _opened(node: Call, indent: int, width: int, before: str, after: str) -> list[str]:
    """A call over several lines."""
    pad = " " * indent
    opening, closing = node.brackets[0], node.brackets[1]
    head = f"{pad}{before}{_flat(node.of) if node.of else ''}{node.name}{opening}"
    if isinstance(node.of, Call) and len(head) > width:
        *lines, last = _opened(node.of, indent, width, before, "")
        rest = Call(node.name, node.args, node.options, brackets=node.brackets)
        return [*lines, *written(rest, indent, width, last.removeprefix(pad), after)]
    return [head, *_inside(node, indent + 4, width), f"{pad}{closing}{after}"]


def _inside(call: Call, indent: int, width: int) -> list[str]:
    """What stands between the brackets: of a call on one line if it fits, of a list one by one."""
    pad = " " * indent
    if call.brackets == "()":
        together = pad + ", ".join(word + _flat(node) for word, node in call.parts)
        if len(together) <= width:
            return [together]
        if len(call.parts) == 1 and not call.options:
            # Black and ruff put no comma behind what stands alone and is one text.
            (_, node) = call.parts[0]
            if isinstance(node, _Text):
                return _broken(node, indent, "", "")
            if isinstance(node, Raw):
                return [pad + node.text]
    return [line for word, node in call.parts for line in written(node, indent, width, word, ",")]


def _broken(node: _Text, indent: int, before: str, after: str) -> list[str]:
    pad = " " * indent
    if before:
        return [f"{pad}{before}(", *(f"{pad}    {line}" for line in node.lines), f"{pad}){after}"]
    *lines, last = node.lines
    return [*(pad + line for line in lines), f"{pad}{last}{after}"]


def _flat(node: Node) -> str:
    """All of it on one line."""
    if isinstance(node, Raw):
        return node.text
    if isinstance(node, _Text):
        return _quoted(node.text)
    inner = ", ".join(word + _flat(value) for word, value in node.parts)
    return f"{_flat(node.of) if node.of else ''}{node.name}{node.brackets[0]}{inner}{node.brackets[1]}"
