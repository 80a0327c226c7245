"""What a statement for MariaDB or MySQL says that it does to tables and columns; it has been through `parts`."""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = [
    "Altered",
    "Redefined",
    "altered",
    "dropped",
    "dropped_schema",
    "renamed",
    "replaced",
    "savepoint",
    "targets",
    "truncated",
]

_PART = r"(?:`(?:[^`]|``)+`|[\w$]+)"
_NAME = rf"({_PART}(?:\s*\.\s*{_PART})?)"
_DROPS = re.compile(r"drop\s+tables?\s+(?:if\s+exists\s+)?(.+)", re.IGNORECASE | re.DOTALL)
_DROPS_SCHEMA = re.compile(rf"drop\s+(?:database|schema)\s+(?:if\s+exists\s+)?({_PART})", re.IGNORECASE)
_TRUNCATES = re.compile(rf"truncate\s+(?:table\s+)?{_NAME}", re.IGNORECASE)
_REPLACES = re.compile(rf"create\s+or\s+replace\s+table\s+{_NAME}", re.IGNORECASE)
_RENAMES = re.compile(r"rename\s+tables?\s+(?:if\s+exists\s+)?(.+)", re.IGNORECASE | re.DOTALL)
_RENAME = re.compile(rf"\s*{_NAME}(?:\s+(?:no)?wait(?:\s+\d+)?)?\s+to\s+{_NAME}\s*\Z", re.IGNORECASE)
_ALTERS = re.compile(
    rf"alter\s+(?:online\s+)?(?:ignore\s+)?table\s+(?:if\s+exists\s+)?{_NAME}(?:\s+(?:no)?wait(?:\s+\d+)?)?\s",
    re.IGNORECASE,
)
_DROPS_COLUMN = re.compile(
    rf"drop\s+(?:column\s+)?(?:if\s+exists\s+)?(?!(?:index|key|primary|foreign|constraint|check|partition|system|period)\b"
    rf"(?!\s*\Z))({_PART})",
    re.IGNORECASE,
)
_PARTITIONS = re.compile(
    rf"(?:drop|truncate)\s+partition\s+(?:if\s+exists\s+)?({_PART}(?:\s*,\s*{_PART})*)", re.IGNORECASE
)
_DISCARDS = re.compile(r"discard\s+tablespace\b", re.IGNORECASE)
_RENAMES_TABLE = re.compile(rf"rename\s+(?:to\s+|as\s+|=\s*)?(?!(?:column|index|key)\b\s){_NAME}\s*\Z", re.IGNORECASE)
_RENAMES_COLUMN = re.compile(rf"rename\s+column\s+(?:if\s+exists\s+)?({_PART})\s+to\s+({_PART})", re.IGNORECASE)
_CHANGES = re.compile(
    rf"change\s+(?:column\s+)?(?:if\s+exists\s+)?({_PART})\s+({_PART})\s+(.+)", re.IGNORECASE | re.DOTALL
)
_MODIFIES = re.compile(rf"modify\s+(?:column\s+)?(?:if\s+exists\s+)?({_PART})\s+(.+)", re.IGNORECASE | re.DOTALL)
_TYPE = re.compile(
    r"\w+(?:\s+precision|\s+varying)?(?:\s*\([^)]*\))?"
    r"(?:\s+(?:unsigned|signed|zerofill|binary|(?:character\s+set|charset|collate)\s+\w+))*",
    re.IGNORECASE,
)
_DELETES = re.compile(
    r"delete\s+(?:(?:low_priority|quick|ignore|history)\s+)*(.*?)(?:\bwhere\b|\border\s+by\b|\blimit\b|\breturning\b|\Z)",
    re.IGNORECASE | re.DOTALL,
)
_UPDATES = re.compile(r"update\s+(?:(?:low_priority|ignore)\s+)*(.*?)\bset\b", re.IGNORECASE | re.DOTALL)
_INSERTS = re.compile(
    rf"(?:insert|replace)\s+(?:(?:low_priority|delayed|high_priority|ignore)\s+)*(?:into\s+)?{_NAME}", re.IGNORECASE
)
_LOADS = re.compile(rf"load\s+(?:data|xml)\b.*?\binto\s+table\s+{_NAME}", re.IGNORECASE | re.DOTALL)
_WORDS = re.compile(_NAME)


_SAVEPOINT = re.compile(
    rf"\s*(savepoint|release|rollback)\s+(?:(?:work\s+)?(?:to\s+)?savepoint\s+|to\s+)?({_PART})\s*;?\s*\Z", re.I
)


class Redefined(NamedTuple):
    """A column that gets another definition, and perhaps another name, and the type of it as it is written."""

    column: str
    now: str
    type: str


class Altered(NamedTuple):
    """
    What an ALTER TABLE says: the table, and what goes, gets another name or another type.

    Attributes:
        partitions: Those whose rows go; `ALL` is every one, also of a table that has none.
    """

    table: str
    columns: list[str]
    partitions: list[str]
    table_now: str | None
    renamed: list[tuple[str, str]]
    redefined: list[Redefined]


def savepoint(sql: str) -> tuple[str, str] | None:
    """What a statement does with a savepoint (savepoint, release, rollback), and its name; None for any other."""
    found = _SAVEPOINT.match(sql)
    return (found[1].lower(), _plain(found[2]).lower()) if found is not None else None


def dropped(part: str) -> list[str]:
    """The tables that it drops."""
    found = _DROPS.match(part)
    return [_plain(name) for name in _WORDS.findall(_without_behaviour(found[1]))] if found is not None else []


def _without_behaviour(listed: str) -> str:
    return re.sub(r"\s+(?:wait\s+\d+|nowait|restrict|cascade)\b", " ", listed, flags=re.IGNORECASE)


def dropped_schema(part: str) -> str | None:
    """The database that it drops."""
    found = _DROPS_SCHEMA.match(part)
    return _plain(found[1]) if found is not None else None


def truncated(part: str) -> str | None:
    """The table that it empties."""
    found = _TRUNCATES.match(part)
    return _plain(found[1]) if found is not None else None


def replaced(part: str) -> str | None:
    """The table in whose place it makes another."""
    found = _REPLACES.match(part)
    return _plain(found[1]) if found is not None else None


def renamed(part: str) -> list[tuple[str, str]]:
    """The tables that a RENAME TABLE gives other names, in its order."""
    found = _RENAMES.match(part)
    pairs = [_RENAME.match(one) for one in _at_commas(found[1])] if found is not None else []
    return [(_plain(pair[1]), _plain(pair[2])) for pair in pairs if pair is not None]


def altered(part: str) -> Altered | None:
    """What an ALTER TABLE says; None for any other statement."""
    found = _ALTERS.match(part)
    if found is None:
        return None
    said = Altered(_plain(found[1]), [], [], None, [], [])
    clauses = [clause.strip() for clause in _at_commas(part[found.end() :])]
    for place, clause in enumerate(clauses):
        # Nothing but its own list comes behind it.
        if match := _PARTITIONS.match(", ".join(clauses[place:])):
            return said._replace(partitions=[_plain(name) for name in re.findall(_PART, match[1])])
        if _DISCARDS.match(clause):
            return said._replace(partitions=["ALL"])
        if match := _DROPS_COLUMN.match(clause):
            said.columns.append(_plain(match[1]))
        elif match := _RENAMES_COLUMN.match(clause):
            said.renamed.append((_plain(match[1]), _plain(match[2])))
        elif match := _RENAMES_TABLE.match(clause):
            said = said._replace(table_now=_plain(match[1]))
        elif (match := _CHANGES.match(clause)) and (type_ := _TYPE.match(match[3])):
            said.redefined.append(Redefined(_plain(match[1]), _plain(match[2]), type_[0]))
        elif (match := _MODIFIES.match(clause)) and (type_ := _TYPE.match(match[2])):
            said.redefined.append(Redefined(_plain(match[1]), _plain(match[1]), type_[0]))
    return said


def targets(part: str) -> list[str] | None:
    """The tables whose rows it says it writes, perhaps more; None where it is no statement that writes rows."""
    for several in (_DELETES, _UPDATES):
        found = several.match(part)
        if found is not None:
            # Those of a join are all named: which of them is meant stands in aliases.
            return [_plain(name) for name in _WORDS.findall(found[1])]
    found = _INSERTS.match(part) or _LOADS.match(part)
    return [_plain(found[1])] if found is not None else None


def _at_commas(text: str) -> list[str]:
    """*text* in parts, at the commas outside of parentheses and names."""
    found, depth, quoted, start = [], 0, False, 0
    for place, character in enumerate(text):
        quoted ^= character == "`"
        depth += 0 if quoted else (character == "(") - (character == ")")
        if character == "," and not depth and not quoted:
            found.append(text[start:place])
            start = place + 1
    return [*found, text[start:]]


def _plain(name: str) -> str:
    """A name without its quotes; with that of its database before a dot, where it has one."""
    return ".".join(one[1:-1].replace("``", "`") if one[0] == "`" else one for one in re.findall(_PART, name))
