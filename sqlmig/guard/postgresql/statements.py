"""What a statement for PostgreSQL says that it does, by its text without literals and comments."""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = [
    "SavepointSaid",
    "TypeChange",
    "altered_types",
    "deleted_from",
    "is_delete",
    "may_drop",
    "only_writes_rows",
    "savepoint",
    "set_columns",
    "truncated",
    "updated",
]

_NAME = r'((?:"(?:[^"]|"")+"|[\w$]+)(?:\s*\.\s*(?:"(?:[^"]|"")+"|[\w$]+))?)'
_HARMLESS = (
    "index|view|constraint|default|not\\s+null|trigger|function|procedure|identity|expression|rule|policy|statistics"
    "|sequence|materialized|aggregate|operator|cast|role|user|publication|subscription|event"
)
_MAY_DROP = re.compile(rf"\bdrop\s+(?!(?:{_HARMLESS})\b)|\bdrop\b.*\bcascade\b|\btruncate\b", re.IGNORECASE | re.DOTALL)
_DELETES = re.compile(rf"\bdelete\s+from\s+(?:only\s+)?{_NAME}", re.IGNORECASE)
_MERGES = re.compile(rf"\bmerge\s+into\s+(?:only\s+)?{_NAME}.*\bdelete\b", re.IGNORECASE | re.DOTALL)
_UPDATES = re.compile(rf"\bupdate\s+(?:only\s+)?{_NAME}\s", re.IGNORECASE)
_SETS = re.compile(rf"(?:\bset|,)\s*\(?\s*{_NAME}\s*[=,)]", re.IGNORECASE)
_TRUNCATES = re.compile(
    rf"\btruncate\s+(?:table\s+)?((?:only\s+)?{_NAME}(?:\s*,\s*(?:only\s+)?{_NAME})*)", re.IGNORECASE
)
_LISTED = re.compile(rf"(?:only\s+)?{_NAME}", re.IGNORECASE)
_ALTERS = re.compile(rf"\s*alter\s+table\s+(?:if\s+exists\s+)?(?:only\s+)?{_NAME}", re.IGNORECASE)
_TYPE = re.compile(
    rf"\balter\s+(?:column\s+)?{_NAME}\s+(?:set\s+data\s+)?type\s+(?P<type>[^,()]+?(?:\([^)]*\))?[^,()]*?)"
    r"(?:\s+collate\s+\S+)?(?:\s+using\s+(?P<using>.+?))?\s*(?:,\s*(?=alter\b|add\b|drop\b)|;?\s*\Z)",
    re.IGNORECASE | re.DOTALL,
)
_WRITES_ROWS = re.compile(
    r"\s*(insert|update|delete|select)\b(?!.*\b(drop|truncate|alter)\b)", re.IGNORECASE | re.DOTALL
)
_SAVEPOINT = re.compile(
    r"\s*(savepoint|release(?:\s+savepoint)?|rollback\s+to(?:\s+savepoint)?)\s+(\S+?)\s*;?\s*\Z", re.IGNORECASE
)


class SavepointSaid(NamedTuple):
    """SAVEPOINT, RELEASE or ROLLBACK, and the savepoint's name."""

    word: str
    name: str


class TypeChange(NamedTuple):
    """A column that gets another type, and by what expression, where one is said."""

    column: str
    type: str
    using: str | None

    @property
    def is_cast(self) -> bool:
        """Whether the values become what a cast makes of them; any other USING is a mapping."""
        itself = rf'"?{re.escape(self.column)}"?'
        cast = rf"\(*\s*{itself}\s*::[^:]+|cast\s*\(\s*{itself}\s+as\s.+\)"
        return self.using is None or bool(re.fullmatch(cast, self.using, re.IGNORECASE | re.DOTALL))


def savepoint(bare: str) -> SavepointSaid | None:
    """What a statement does with a savepoint; None for any other."""
    found = _SAVEPOINT.match(bare)
    return SavepointSaid(found[1].split()[0].upper(), _plain(found[2]).lower()) if found is not None else None


def may_drop(bare: str) -> bool:
    """Whether tables, columns or all rows of a table may go by it, by a cascade or from inside a block as well."""
    return bool(_MAY_DROP.search(bare))


def only_writes_rows(bare: str) -> bool:
    """Whether names mean the same after it as before."""
    return bool(_WRITES_ROWS.match(bare))


def is_delete(bare: str) -> bool:
    """Whether it is a DELETE, whose number of rows is that of the rows deleted."""
    return bare.lstrip().lower().startswith("delete")


def deleted_from(bare: str) -> list[str]:
    """The tables from which it says that it deletes rows."""
    return [*_DELETES.findall(bare), *_MERGES.findall(bare)]


def updated(bare: str) -> list[str]:
    """The tables that it says it updates."""
    return _UPDATES.findall(bare)


def set_columns(bare: str) -> set[str]:
    """The columns that it sets, in lower case."""
    return {_plain(column).lower() for column in _SETS.findall(bare)}


def truncated(bare: str) -> list[str]:
    """The tables that it says it truncates; none where it is no TRUNCATE."""
    found = _TRUNCATES.search(bare)
    return _LISTED.findall(found[1]) if found is not None else []


def altered_types(bare: str) -> tuple[str, list[TypeChange]]:
    """The table whose columns get other types, and how; an empty name where none does."""
    altered = _ALTERS.match(bare)
    if altered is None:
        return "", []
    changes = [
        TypeChange(_plain(one[1]), one["type"].strip(), one["using"].strip() if one["using"] else None)
        for one in _TYPE.finditer(bare, altered.end())
    ]
    return altered[1], changes


def _plain(name: str) -> str:
    """A name as the catalogue has it, its schema left out."""
    last = re.split(r'\.(?=(?:[^"]*"[^"]*")*[^"]*$)', name)[-1].strip()
    return last[1:-1].replace('""', '"') if last.startswith('"') else last.lower()
