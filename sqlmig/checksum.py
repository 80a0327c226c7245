"""
Two hashes of a migration file: of its text, and of its syntax.

The syntax hash is the same on every version of Python that reads the file, so it cannot be taken of `ast.dump`,
which changes from release to release: only what a node says is written down, in a form of our own. Fields that are
empty are left out, so that a field which a later Python adds changes nothing until somebody uses it.
"""

from __future__ import annotations

import ast
import hashlib
from typing import Any

__all__ = ["PREFIX", "syntax_checksum", "text_hash"]

PREFIX = "py1:"
"""Before every syntax checksum: which form was hashed."""

# What a node says twice, or says about spelling alone.
_LEFT_OUT = {"ctx", "type_comment", "type_ignores", "kind"}
_fields: dict[type, tuple[str, ...]] = {}


def text_hash(source: bytes) -> str:
    """The hash of a file's text, whatever its line ends."""
    text = source.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return hashlib.sha256(text).hexdigest()[:32]


def syntax_checksum(tree: ast.Module) -> str:
    """The hash of what a file does: comments, formatting and docstrings are no part of it."""
    out: list[str] = []
    _write(tree, out)
    return PREFIX + hashlib.sha256("".join(out).encode("utf-8", "surrogatepass")).hexdigest()[:40]


def _write(node: Any, out: list[str]) -> None:
    kind = node.__class__
    if kind is ast.Constant:
        out.append(_constant(node.value))
        return
    if kind is ast.JoinedStr:
        _write_joined(node, out)
        return
    fields = _fields.get(kind)
    if fields is None:
        fields = _fields[kind] = tuple(name for name in sorted(kind._fields) if name not in _LEFT_OUT)
    out.append(f"({kind.__name__}")
    documented = kind in _DOCUMENTED
    for name in fields:
        value = getattr(node, name, None)
        if value is None or value == []:
            continue
        out.append(f" {name}=")
        if value.__class__ is list:
            _write_list(value[1:] if documented and name == "body" and _is_docstring(value[0]) else value, out)
        elif isinstance(value, ast.AST):
            _write(value, out)
        else:
            out.append(_constant(value))
    out.append(")")


_DOCUMENTED = {ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef}


def _write_list(values: list[Any], out: list[str]) -> None:
    out.append("[")
    for value in values:
        if isinstance(value, ast.AST):
            _write(value, out)
        elif value is None:
            # The missing key of `{**more}`, which is not the constant of `{None: more}`.
            out.append("-")
        else:
            # A name in `global a, b`.
            out.append(_constant(value))
        out.append(",")
    out.append("]")


def _write_joined(node: ast.JoinedStr, out: list[str]) -> None:
    """An f-string: Pythons differ in how they cut the text between its fields into pieces."""
    out.append("(f")
    text = ""
    for value in node.values:
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            text += value.value
            continue
        if text:
            out.append(_constant(text))
            text = ""
        _write(value, out)
    if text:
        out.append(_constant(text))
    out.append(")")


def _is_docstring(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


def _constant(value: Any) -> str:
    """A constant with its type, its length where it is a text, so that no two are written alike."""
    if value.__class__ is str:
        return f"s{len(value)}:{value}"
    if value.__class__ is int:
        # Not in decimals: Python refuses to print more than 4,300 of them.
        return f"i{value:x}"
    return f"{value.__class__.__name__}:{value!r}"
