"""
SQLite's tokens.

Source: https://sqlite.org/src/file/src/tokenize.c. What Python calls a letter or a space is not what SQLite calls
one: every character above 0x7F is part of a name, a no-break space included.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from ...backends.sqlite import quoted
from .definition import folded

__all__ = [
    "Token",
    "ends_in_line_comment",
    "keys_and_condition",
    "matching",
    "name_of",
    "quoted",
    "refers_to",
    "significant",
    "tokens",
    "undisturbing",
]

_TOKEN = re.compile(
    r"""
      (?P<space> [ \t\n\f\r\ufeff]+ )
    | (?P<comment> --[^\n]* | /\*.*?(?:\*/|\Z) )
    | (?P<blob> [xX]'[0-9a-fA-F]*' )
    | (?P<string> '[^']*(?:''[^']*)*' )
    | (?P<quoted> "[^"]*(?:""[^"]*)*" | `[^`]*(?:``[^`]*)*` | \[[^\]]*\] )
    | (?P<number> 0[xX][0-9a-fA-F_]+ | (?: \d[\d_]*(?:\.[\d_]*)? | \.\d[\d_]* ) (?:[eE][+-]?\d[\d_]*)? )
    | (?P<word> [A-Za-z_\x80-\U0010ffff][A-Za-z0-9_$\x80-\U0010ffff]* )
    | (?P<other> . )
    """,
    re.VERBOSE | re.DOTALL,
)


class Token(NamedTuple):
    """A token, and where it stands in its text."""

    kind: str
    text: str
    start: int

    @property
    def end(self) -> int:
        return self.start + len(self.text)

    def is_word(self, *words: str) -> bool:
        """Whether it is one of these keywords; a quoted name never is."""
        # ASCII only: of a name with the letter long s, Python's upper() would make a keyword.
        return self.kind == "word" and self.text.isascii() and self.text.upper() in words

    @property
    def is_name(self) -> bool:
        """Whether it can be a name: SQLite takes 'strings' for names where only a name can stand."""
        return self.kind in ("word", "quoted", "string")


def tokens(sql: str) -> list[Token]:
    """All tokens, white space and comments among them: their texts together are *sql*."""
    return [Token(match.lastgroup or "other", match[0], match.start()) for match in _TOKEN.finditer(sql)]


def significant(sql: str) -> list[Token]:
    """The tokens that mean something."""
    return [token for token in tokens(sql) if token.kind not in ("space", "comment")]


def name_of(token: Token) -> str:
    """The name that a token stands for, without its quotes."""
    if token.kind not in ("quoted", "string"):
        return token.text
    quote, inner = token.text[0], token.text[1:-1]
    return inner if quote == "[" else inner.replace(quote * 2, quote)


def matching(found: list[Token], position: int) -> int:
    """
    The position of the parenthesis that closes the one at *position*.

    Raises:
        ValueError: There is none.
    """
    depth = 0
    for index in range(position, len(found)):
        depth += {"(": 1, ")": -1}.get(found[index].text, 0)
        if depth == 0:
            return index
    raise ValueError("a parenthesis is never closed")


def keys_and_condition(sql: str) -> str:
    """What follows the table in a CREATE INDEX."""
    opening = next((token for token in significant(sql) if token.text == "("), None)
    return sql[opening.start :] if opening else ""


def undisturbing(sql: str) -> bool:
    """Whether *sql* can stand inside a statement as one expression, and leaves the rest of it as it is."""
    found = significant(sql)
    depth = 0
    for token in found:
        depth += {"(": 1, ")": -1}.get(token.text, 0)
        if depth < 0 or token.text == ";" or (token.kind == "other" and token.text in "'\"`["):
            return False
    unclosed = [token for token in tokens(sql) if token.text.startswith("/*") and not token.text.endswith("*/")]
    return bool(found) and depth == 0 and not unclosed


def ends_in_line_comment(sql: str) -> bool:
    """Whether what follows on the same line would be a part of a comment."""
    last = tokens(sql)[-1:]
    return bool(last) and last[0].kind == "comment" and last[0].text.startswith("--")


def refers_to(sql: str, name: str) -> bool:
    """Whether an expression or a statement has *name* where a column or a table may stand."""
    found = significant(sql)
    for index, token in enumerate(found):
        if token.kind not in ("word", "quoted") or folded(name_of(token)) != folded(name):
            continue
        called = token.kind == "word" and found[index + 1 : index + 2] and found[index + 1].text == "("
        if not called and not (index and found[index - 1].is_word("COLLATE")):
            return True
    return False
