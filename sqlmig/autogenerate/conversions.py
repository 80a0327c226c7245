"""Whether values may not fit into a column of another type."""

from __future__ import annotations

import re

__all__ = ["may_lose"]

_SIZED = re.compile(r"\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\)")
# Each holds all values of those before it.
_WHOLE = ("TINYINT", "SMALLINT", "MEDIUMINT", "INTEGER", "BIGINT")
_LONG_TEXTS = ("TINYTEXT", "TEXT", "MEDIUMTEXT", "LONGTEXT")
_SHORT_TEXTS = ("CHAR", "VARCHAR")
_SYNONYMS = {
    "INT": "INTEGER",
    "CHARACTER VARYING": "VARCHAR",
    "CHARACTER": "CHAR",
    "NVARCHAR": "VARCHAR",
    "NCHAR": "CHAR",
    "DECIMAL": "NUMERIC",
    "CLOB": "TEXT",
}


def may_lose(before: str, after: str) -> bool:
    """Whether a value of the one type may have no equal in the other; what is not known may."""
    (old, old_size), (new, new_size) = _parsed(before), _parsed(after)
    if old in _WHOLE and new in _WHOLE:
        return _WHOLE.index(new) < _WHOLE.index(old)
    if new in _LONG_TEXTS and old in _LONG_TEXTS:
        return _LONG_TEXTS.index(new) < _LONG_TEXTS.index(old)
    if old in _SHORT_TEXTS:
        return new not in _LONG_TEXTS if new not in _SHORT_TEXTS else _shorter(old_size, new_size)
    if old == new == "NUMERIC":
        return _narrower(old_size, new_size)
    return before.upper() != after.upper()


def _shorter(old: tuple[int, int] | None, new: tuple[int, int] | None) -> bool:
    return new is not None and (old is None or new[0] < old[0])


def _narrower(old: tuple[int, int] | None, new: tuple[int, int] | None) -> bool:
    """Whether there are fewer digits before the point, or behind it."""
    if new is None or old is None:
        return new is not None
    return new[1] < old[1] or new[0] - new[1] < old[0] - old[1]


def _parsed(type_: str) -> tuple[str, tuple[int, int] | None]:
    """A type's name, and its sizes."""
    size = _SIZED.search(type_)
    name = " ".join((type_[: size.start()] + type_[size.end() :] if size else type_).upper().split())
    return _SYNONYMS.get(name, name), None if size is None else (int(size[1]), int(size[2] or 0))
