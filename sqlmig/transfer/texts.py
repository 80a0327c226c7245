"""Columns that hold texts, and what is written as one: bytes, UUIDs, JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID

from .kinds import Kind

__all__ = ["Bytes", "Json", "Text", "Uuid"]

# Of a backslash before it that is escaped itself, it is the text of a u and four zeros.
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


class Text(Kind):
    """
    Texts.

    Args:
        length: In characters; None for any.
        octets: In bytes, of UTF-8; None for any.
        nul: Whether a character 0 can be in them.
        padded: Whether the database fills them up with blanks.
        hexed: Whether a UUID is a text without dashes here.
    """

    takes = frozenset({str})

    def __init__(
        self,
        length: int | None = None,
        *,
        octets: int | None = None,
        nul: bool = True,
        padded: bool = False,
        hexed: bool = False,
    ) -> None:
        self.length, self.octets, self._nul, self.padded, self._hexed = length, octets, nul, padded, hexed
        self.name = "texts" if length is None else f"texts of up to {length} characters"

    def fit(self, values: Sequence[Any]) -> bool:
        longest = max(map(len, values))
        if self.padded or self._hexed or (self.length is not None and longest > self.length):
            return False
        if self.octets is not None and longest * 4 > self.octets:
            return False
        return self._nul or "\0" not in "".join(values)

    def one(self, value: Any) -> Any:
        if not isinstance(value, str):
            raise self.refuse(value)
        if self._hexed and len(value) == 36:
            value = value.replace("-", "")
        if not self._nul and "\0" in value:
            raise self.refuse(value, "; it has a character 0 in it, which the database knows no text with")
        if self.length is not None and len(value) > self.length:
            raise self.refuse(value)
        if self.octets is not None and len(value.encode()) > self.octets:
            raise self.refuse(value, f", and no more than {self.octets:,} bytes")
        return value.ljust(self.length) if self.padded and self.length else value


class Bytes(Kind):
    """Binary values; *length* in bytes."""

    takes = frozenset({bytes})
    name = "binary values"

    def __init__(self, length: int | None = None) -> None:
        self.length = length

    def fit(self, values: Sequence[Any]) -> bool:
        return self.length is None or max(map(len, values)) <= self.length

    def one(self, value: Any) -> Any:
        if not isinstance(value, bytes | bytearray | memoryview):
            raise self.refuse(value)
        if self.length is not None and len(value) > self.length:
            raise self.refuse(value, f" of up to {self.length:,} bytes")
        return bytes(value)


class Uuid(Kind):
    """UUIDs; canonical is the text with dashes, in lower case."""

    name = "UUIDs"

    def one(self, value: Any) -> Any:
        try:
            if isinstance(value, bytes) and len(value) == 16:
                return str(UUID(bytes=value))
            if isinstance(value, str) and len(value) in (32, 36):
                return str(UUID(value))
        except ValueError:
            pass
        raise self.refuse(value)


class Json(Kind):
    """
    JSON; canonical is the text as it is, or, of a database that keeps no text, one of its own with sorted keys.

    SQLite has no such type, and keeps a JSON text that is a number as a number.
    """

    name = "JSON"
    takes = frozenset({str})

    def __init__(self, *, parsed: bool) -> None:
        self.parsed = parsed
        # Of two values under one key, a database that keeps no text keeps one.
        self._pairs = _no_twins if parsed else dict

    def fit(self, values: Sequence[Any]) -> bool:
        return False

    def one(self, value: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise self.refuse(value)
        text = value if isinstance(value, str) else repr(value)
        try:
            json.loads(text, parse_float=Decimal, parse_constant=_no_constant, object_pairs_hook=self._pairs)
        except (ValueError, RecursionError):
            raise self.refuse(value, "; it is none") from None
        if self.parsed and _NUL.search(text):
            raise self.refuse(value, "; it has a character 0 in it")
        return text

    @staticmethod
    def canonical(text: str) -> str:
        """The same for texts that mean the same."""
        found = json.loads(text, parse_float=Decimal, parse_int=Decimal)
        return json.dumps(found, default=_number, sort_keys=True)


def _number(value: Decimal) -> str:
    """A number without what may be written in more than one way, and with all its digits, however many."""
    sign, digits, exponent = value.as_tuple()
    written = "".join(map(str, digits)).rstrip("0")
    shift = int(exponent) + len(digits) - len(written)
    return f"#{'-' if sign else ''}{written.lstrip('0')}e{shift}" if written.strip("0") else "#0"


def _no_constant(word: str) -> Any:
    raise ValueError(word)


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is there twice")
    return found
