"""
What counts of an expression that a server has worded: two that mean the same are the same here.

A server words an expression in one way, but not always in the same: PostgreSQL writes down each conversion that the
types of the columns once asked for, and keeps it when these change; parentheses stay behind. Conversions between texts,
and between numbers, of a column or a constant, and parentheses around one thing, are no part of the meaning; but for
numbers that are divided.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

__all__ = ["mysql_meaning", "number", "postgresql_meaning", "split_at"]

_POSTGRESQL = re.compile(
    r"""
      (?P<text> [EeBbXx]?'(?:[^'\\]|''|\\.)*' )
    | (?P<name> "(?:[^"]|"")*" )
    | (?P<number> \d+(?:\.\d+)?(?:[eE][+-]?\d+)? )
    | (?P<word> [^\W\d][\w$]* )
    | (?P<cast> :: )
    | (?P<space> \s+ )
    | (?P<other> [-+*/<>=~!@\#%^&|?]+ | . )
    """,
    re.VERBOSE | re.DOTALL,
)
_MYSQL = re.compile(
    r"""
      (?P<text> [bxn]?'(?:[^'\\]|''|\\.)*' | "(?:[^"\\]|""|\\.)*" )
    | (?P<name> `(?:[^`]|``)*` )
    | (?P<number> \d+(?:\.\d+)?(?:e[+-]?\d+)? )
    | (?P<word> [^\W\d][\w$]* )
    | (?P<space> \s+ )
    | (?P<other> [-+*/<>=~!@\#%^&|?]+ | . )
    """,
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)
_NUMBERS = frozenset({"smallint", "integer", "bigint", "numeric", "real", "double precision"})
# Types between which PostgreSQL converts without being told to.
_IMPLICIT = {*_NUMBERS, "text", "character varying", "character", "bpchar", "name"}
_LONGER = {
    ("character", "varying"),
    ("bit", "varying"),
    ("double", "precision"),
    ("with", "time"),
    ("without", "time"),
    ("time", "zone"),
    ("timestamp", "with"),
    ("timestamp", "without"),
    ("time", "with"),
    ("time", "without"),
}
_OPENING = {"(": ")", "[": "]"}


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str


@dataclass(frozen=True)
class _Group:
    """What stands in parentheses or brackets."""

    opening: str
    nodes: list[_Node]


_Node = _Token | _Group


def postgresql_meaning(sql: str) -> str:
    """What counts of an expression, or of what stands behind the name of an index or of a constraint."""
    tokens = _tokens(_POSTGRESQL, sql)
    # A division has another result where its numbers are integers.
    kept = _NUMBERS if any(token.text == "/" for token in tokens) else frozenset()
    return _joined(_simple(_tree(tokens), kept))


def mysql_meaning(sql: str, database: str) -> str:
    """
    What counts of an expression of MariaDB's or MySQL's.

    Args:
        database: The one that it is in, which the server names again and again.
    """
    found: list[_Token] = []
    for token in _tokens(_MYSQL, sql):
        if token.kind == "text" and found and found[-1].kind == "word" and found[-1].text.startswith("_"):
            # The character set of the connection by which it came.
            found.pop()
        if token.kind == "other" and token.text == "." and found and found[-1].text == f"`{database}`":
            found.pop()
        elif token.kind in ("text", "name"):
            found.append(token)
        else:
            found.append(_Token(token.kind, token.text.lower()))
    return _joined(_simple(_tree(found), frozenset()))


def number(said: str) -> str:
    """`'0.00'` as `0`; what is no number stays as it is."""
    try:
        return f"{Decimal(said.strip(chr(39))).normalize():f}"
    except InvalidOperation:
        return said


def split_at(sql: str, word: str) -> tuple[str, str]:
    """What stands before a word of PostgreSQL's, and what from it on, where it is none of a name."""
    for found in _POSTGRESQL.finditer(sql):
        if found.lastgroup == "word" and found[0] == word:
            return sql[: found.start()], sql[found.start() :]
    return sql, ""


def _tokens(pattern: re.Pattern[str], sql: str) -> list[_Token]:
    return [_Token(str(found.lastgroup), found[0]) for found in pattern.finditer(sql) if found.lastgroup != "space"]


def _tree(tokens: Sequence[_Token]) -> list[_Node]:
    stack: list[tuple[str, list[_Node]]] = [("", [])]
    for token in tokens:
        if token.kind == "other" and token.text in _OPENING:
            stack.append((token.text, []))
        elif token.kind == "other" and len(stack) > 1 and token.text == _OPENING[stack[-1][0]]:
            opening, nodes = stack.pop()
            stack[-1][1].append(_Group(opening, nodes))
        else:
            stack[-1][1].append(token)
    while len(stack) > 1:
        # One that is not closed: it is nothing that a server has worded.
        opening, nodes = stack.pop()
        stack[-1][1].extend([_Token("other", opening), *nodes])
    return stack[0][1]


def _simple(nodes: Sequence[_Node], kept: frozenset[str]) -> list[_Node]:
    """
    Without conversions and parentheses that change nothing.

    Args:
        kept: The types to which a conversion does change something.
    """
    made: list[_Node] = []
    place = 0
    while place < len(nodes):
        node = nodes[place]
        place += 1
        if isinstance(node, _Group):
            inner = _simple(node.nodes, kept)
            # Of one thing in parentheses only that thing is left.
            made.append(inner[0] if node.opening == "(" and len(inner) == 1 else _Group(node.opening, inner))
        elif node.kind == "cast":
            type_, place = _type(nodes, place)
            _convert(made, type_, kept)
        else:
            made.append(node)
    while len(made) == 1 and isinstance(made[0], _Group) and made[0].opening == "(":
        made = list(made[0].nodes)
    return made


def _type(nodes: Sequence[_Node], place: int) -> tuple[str, int]:
    """The name of the type that stands there, and where it ends."""
    words: list[str] = []
    dotted = False
    while place < len(nodes):
        node = nodes[place]
        text = node.text if isinstance(node, _Token) else ""
        if isinstance(node, _Token) and node.kind in ("word", "name"):
            if words and not dotted and (words[-1], text) not in _LONGER:
                break
            words.append(text)
            dotted = False
        elif text == "." and words:
            words.append(text)
            dotted = True
        elif isinstance(node, _Group) and words and (node.opening == "(" or not node.nodes):
            # Its length, or that it is an array.
            words.append("[]" if node.opening == "[" else _joined([node]))
        else:
            break
        place += 1
    return " ".join(words), place


def _convert(made: list[_Node], type_: str, kept: frozenset[str]) -> None:
    """What is to be converted is the last of *made*: it stays as it is where that is no part of the meaning."""
    last = made[-1] if made else None
    if type_ in kept:
        pass
    elif isinstance(last, _Group):
        inner = last.nodes if last.opening == "(" else made[-2:]
        if len(inner) == 2 and inner[0] == _Token("word", "ARRAY") and type_.removesuffix(" []") in _IMPLICIT:
            made[-1:] = inner if last.opening == "(" else [last]
            return
    elif last is not None and (last.kind in ("text", "number") or last.text == "NULL" or type_ in _IMPLICIT):
        return
    made += [_Token("cast", "::"), _Token("word", type_)]


def _joined(nodes: Sequence[_Node]) -> str:
    return " ".join(
        node.text if isinstance(node, _Token) else f"{node.opening} {_joined(node.nodes)} {_OPENING[node.opening]}"
        for node in nodes
    )
