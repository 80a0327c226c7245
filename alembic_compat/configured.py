"""What env.py says of the tables and the folders of Alembic, read off its text: a boot at head does not run it."""

from __future__ import annotations

import ast
import threading
from collections.abc import Mapping
from typing import Any

__all__ = ["PARSING", "sets_locations", "text_of", "version_table_in"]

# Python 3.11 fails where two threads parse at once (https://github.com/python/cpython/issues/106905).
PARSING = threading.Lock()
_ASKED = ("version_table", "version_table_schema")


def text_of(path: str) -> bytes:
    """What env.py says; nothing where there is none."""
    try:
        with open(path, "rb") as stream:
            return stream.read()
    except OSError:
        return b""


def sets_locations(text: bytes) -> bool:
    """Whether it may be env.py that says where the revisions are, by `context.script.version_locations = ...`."""
    return b"version_locations" in text


def version_table_in(text: bytes) -> Mapping[str, Any] | None:
    """The two options as `configure()` gets them, left out where it does not; None where the text does not tell."""
    if b"configure(" in text and b"version_table" not in text and b"**" not in text:
        return {}
    try:
        with PARSING:
            tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return None
    constants = {
        target.id: node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    calls = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and (getattr(node.func, "attr", None) or getattr(node.func, "id", "")) == "configure"
    ]
    found: dict[str, Any] = {}
    for call in calls:
        for keyword in call.keywords:
            if keyword.arg is None:
                return None
            if keyword.arg in _ASKED:
                value = keyword.value
                if isinstance(value, ast.Constant):
                    found[keyword.arg] = value.value
                elif isinstance(value, ast.Name) and value.id in constants:
                    found[keyword.arg] = constants[value.id]
                else:
                    return None
    return found if calls else None
