"""How wide a text becomes in a picture, which is drawn without asking any font."""

from __future__ import annotations

import unicodedata
from html import escape

__all__ = ["CELL", "cells", "cut", "markup", "one_line", "readable"]

CELL = 0.625
"""The width of a letter in a font of fixed width, as a part of its height; the widest of the usual ones has 0.602."""

# Letters up to here, Cyrillic ones being the last, are in every font of fixed width. Others come from wherever the
# system finds them, and may be as wide as a full square, or a little wider.
_LAST_FIXED = 0x52F
_SQUARE = 2.1


def cells(text: str) -> float:
    """How many letters' room a text needs, at the most."""
    return sum(map(_cells, text))


def _cells(letter: str) -> float:
    if unicodedata.combining(letter) or unicodedata.category(letter) in ("Mn", "Me", "Cf"):
        return 0.0
    return 1.0 if ord(letter) <= _LAST_FIXED else _SQUARE


def cut(text: str, room: float) -> str:
    """The text in one line, and its beginning where it is too long."""
    text = " ".join(text.split())
    if cells(text) <= room:
        return text
    left, kept = room - _SQUARE, []
    for letter in text:
        left -= _cells(letter)
        if left < 0:
            break
        kept.append(letter)
    return "".join(kept).rstrip() + "…"


def readable(text: object) -> str:
    """The text; what a terminal or a page would obey, and not show, is a letter that could not be read."""
    return "".join(letter if _is_allowed(ord(letter)) else "\ufffd" for letter in str(text))


def one_line(text: object) -> str:
    """The same in one line."""
    return readable(" ".join(str(text).split()))


def markup(text: object) -> str:
    """The same for XML and HTML."""
    return escape(readable(text))


def _is_allowed(code: int) -> bool:
    """Source: https://www.w3.org/TR/xml/#charsets; and no letter that turns the direction of what is around it."""
    if code in (0x9, 0xA, 0xD):
        return True
    if code < 0x20 or 0x7F <= code < 0xA0 or 0x202A <= code <= 0x202E or 0x2066 <= code <= 0x2069:
        return False
    return not (0xD800 <= code <= 0xDFFF or code & 0xFFFE == 0xFFFE)
