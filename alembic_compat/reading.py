"""The ids and the heads of a history, read off its files: none of them is run for a boot at head."""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Callable
from typing import Any

from .configured import PARSING
from .layout import Layout

__all__ = ["Heads"]

_FILE = re.compile(r"(?!\.#|__init__).*\.py$")
# Begins with the end of the line before: so it is found much faster than with "^".
_SAID = re.compile(rb"\n(revision|down_revision|depends_on)\b[ \t]*(?::[^=\n]+)?=[ \t]*(.*)")
_PLAIN = re.compile(rb"""(["'])([\w.-]+)\1\s*(?:#.*)?""", re.ASCII)


class Unclear(Exception):
    """A file does not tell by its text; Alembic has to run it."""


class Heads:
    """
    What the files of a project say.

    Args:
        layout: Where they are now.
    """

    def __init__(self, layout: Callable[[], Layout]) -> None:
        self._layout = layout
        self._listed: dict[str, tuple[int, int]] = {}
        self._seen: dict[str, tuple[int, int]] | None = None
        self._found: tuple[list[str], list[str]] | None = None

    def changed(self) -> bool:
        """Whether the files are others than at the last call."""
        listed = self._listing()
        changed, self._seen = listed != self._seen, listed
        return changed

    def read(self) -> tuple[list[str], list[str]]:
        """
        The ids of all revisions, and of those that nothing needs.

        Raises:
            Unclear: A text does not tell.
        """
        listed = self._listing()
        if self._found is None or listed != self._listed:
            with PARSING:
                said = [_said(path) for path in listed]
            names = [one["revision"] for one in said]
            needed = {parent for one in said for key in ("down_revision", "depends_on") for parent in _names(one[key])}
            if not needed <= set(names) or len(set(names)) != len(names):
                # A label, or something broken.
                raise Unclear
            self._found, self._listed = (names, [name for name in names if name not in needed]), listed
        return self._found

    def _listing(self) -> dict[str, tuple[int, int]]:
        layout = self._layout()
        if layout.sourceless:
            raise Unclear
        found: dict[str, tuple[int, int]] = {}
        for folder in layout.folders:
            _list(folder, found, deep=layout.recursive)
        return found


def _list(folder: str, found: dict[str, tuple[int, int]], *, deep: bool) -> None:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                if deep and entry.name != "__pycache__":
                    _list(entry.path, found, deep=True)
            elif _FILE.match(entry.name):
                facts = entry.stat()
                found[entry.path] = facts.st_mtime_ns, facts.st_size


def _said(path: str) -> dict[str, Any]:
    with open(path, "rb") as stream:
        text = stream.read()
    said: dict[str, Any] = {"down_revision": None, "depends_on": None}
    for key, value in _SAID.findall(b"\n" + text):
        if value == b"None":
            said[key.decode()] = None
            continue
        plain = _PLAIN.fullmatch(value)
        try:
            said[key.decode()] = plain[2].decode() if plain else ast.literal_eval(value.decode().strip())
        except (ValueError, SyntaxError):
            return _parsed(text)
    if not isinstance(said.get("revision"), str):
        return _parsed(text)
    return said


def _parsed(text: bytes) -> dict[str, Any]:
    said: dict[str, Any] = {"down_revision": None, "depends_on": None}
    try:
        for node in ast.parse(text).body:
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
            for target in targets:
                if isinstance(target, ast.Name) and target.id in ("revision", *said) and node.value is not None:  # type: ignore[attr-defined]
                    said[target.id] = ast.literal_eval(node.value)  # type: ignore[attr-defined]
    except (ValueError, SyntaxError) as error:
        raise Unclear from error
    if not isinstance(said.get("revision"), str):
        raise Unclear
    return said


def _names(value: Any) -> list[str]:
    return [] if value is None else [value] if isinstance(value, str) else list(value)
