"""
A column's definition on MariaDB and MySQL, as the text that SHOW CREATE TABLE gives, edited part by part.

MODIFY COLUMN replaces the whole definition: what it does not repeat is lost. So the stored text is taken, and only
the part that a change names is another.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from ..data_checks import fetch

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

__all__ = ["ColumnDefinition", "mentioned", "read_definition", "uses_column"]

_TOKEN: Final = re.compile(
    r"""
      '(?:[^'\\]|''|\\.)*'     # a literal
    | `(?:[^`]|``)*`           # a name
    | "(?:[^"]|"")*"           # a name, under ANSI_QUOTES
    | [^\s()'`",]+             # a word
    | [(),]
    """,
    re.VERBOSE | re.DOTALL,
)
_ORDER: Final = ("type", "charset", "collate", "generated", "null", "default", "rest", "comment", "check")
_STARTS: Final = {
    "CHARACTER": "charset",
    "CHARSET": "charset",
    "COLLATE": "collate",
    "GENERATED": "generated",
    "AS": "generated",
    "NOT": "null",
    "NULL": "null",
    "DEFAULT": "default",
    "COMMENT": "comment",
    "CHECK": "check",
    "CONSTRAINT": "check",
    "ON": "rest",
    "AUTO_INCREMENT": "rest",
    "INVISIBLE": "rest",
    "REF_SYSTEM_ID": "rest",
    "WITHOUT": "rest",
    "WITH": "rest",
    "COMPRESSED": "rest",
    "/*!80023": "rest",
    "/*!80016": "rest",
}


@dataclass(frozen=True)
class ColumnDefinition:
    """What stands behind the name of a column: each part with the SQL that makes it."""

    parts: dict[str, str]

    @classmethod
    def parse(cls, text: str) -> ColumnDefinition:
        """The definition whose rendering is *text*, but for the order of its parts and white space."""
        parts: dict[str, str] = {}
        part = "type"
        for word in _pieces(text):
            started = _STARTS.get(re.split(r"[\s(]", word.upper(), maxsplit=1)[0])
            # DEFAULT NULL is one part, and NOT NULL is another.
            open_value = word.upper() == "NULL" and parts.get(part, "").upper() in ("DEFAULT", "NOT")
            if started and not open_value:
                part = started
            parts[part] = f"{parts[part]} {word}" if part in parts else word
        return cls(parts)

    def with_part(self, part: str, sql: str | None) -> ColumnDefinition:
        """The same with *sql* as one part, or without it."""
        kept = {name: text for name, text in self.parts.items() if name != part}
        return replace(self, parts=kept if sql is None else kept | {part: sql})

    def render(self) -> str:
        """The definition as SQL."""
        return " ".join(self.parts[part] for part in _ORDER if part in self.parts)

    @property
    def nullable(self) -> bool:
        return self.parts.get("null", "NULL").upper() != "NOT NULL"

    @property
    def generated(self) -> bool:
        return "generated" in self.parts

    @property
    def type_name(self) -> str:
        """The bare name of its type: `varchar` of `varchar(20)`."""
        return re.split(r"[\s(]", self.parts["type"], maxsplit=1)[0].lower()


def read_definition(connection: Connection, table: str, column: str) -> ColumnDefinition:
    """The stored definition of *column*; *table* is quoted, *column* is not."""
    row: Any = fetch(connection, f"SHOW CREATE TABLE {table}").one()
    text = str(row[1])
    # The server may quote with " (ANSI_QUOTES) and always breaks the line before a column.
    for line in _lines(text):
        match = re.match(r"\s*(`(?:[^`]|``)*`|\"(?:[^\"]|\"\")*\")\s+(.*)", line, re.DOTALL)
        if match and _unquoted(match[1]).lower() == column.lower():
            return ColumnDefinition.parse(match[2])
    raise LookupError(column)


def mentioned(sql: str) -> set[str]:
    """The names in back-quotes of stored SQL, in lower case."""
    return {_unquoted(token).lower() for token in _TOKEN.findall(sql) if token.startswith("`")}


def uses_column(view: str, schema: str, table: str, column: str | None) -> bool:
    """Whether a view, as the server stores its query, reads from the table, and the column of it."""
    names = [re.escape("`" + name.replace("`", "``") + "`") for name in (schema, table)]
    source = r"\.".join(names)
    if column is None:
        return re.search(source, view, re.IGNORECASE) is not None
    aliases = re.findall(source + r" (`(?:[^`]|``)+`)", view, re.IGNORECASE)
    owners = "|".join([source, names[1], *(re.escape(alias) for alias in aliases)])
    name = re.escape("`" + column.replace("`", "``") + "`")
    return re.search(rf"(?:{owners})\.{name}", view, re.IGNORECASE) is not None


def _lines(text: str) -> Iterator[str]:
    """Each definition of a CREATE TABLE, without the comma behind it; a line break in a literal ends none."""
    depth, start = 0, 0
    for match in _TOKEN.finditer(text):
        depth += {"(": 1, ")": -1}.get(match[0], 0)
        if depth == 1 and match[0] == "(" and not start:
            start = match.end()
        elif start and ((match[0] == "," and depth == 1) or depth == 0):
            yield text[start : match.start()].strip()
            start = match.end()
            if depth == 0:
                return


def _pieces(text: str) -> Iterator[str]:
    """Words of a definition; what is in parentheses belongs to the word before it."""
    piece, end, depth = "", 0, 0
    for match in _TOKEN.finditer(text):
        gap = text[end : match.start()]
        if piece and depth == 0 and match[0] != "(" and (gap or piece.endswith(")")):
            yield piece
            piece, gap = "", ""
        depth += {"(": 1, ")": -1}.get(match[0], 0)
        piece, end = piece + gap + match[0], match.end()
    if piece:
        yield piece


def _unquoted(name: str) -> str:
    return name[1:-1].replace(name[0] * 2, name[0])
