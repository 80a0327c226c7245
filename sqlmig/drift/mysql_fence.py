"""
What keeps migrations that a check runs in a scratch database from the other databases of a MariaDB or MySQL server.

There a statement may name any database, and the application's own is one of them. What it says is what is known of a
statement beforehand: the names that stand where something is written, made or dropped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from sqlalchemy import event

from ..backends.mysql_statements import parts
from ..errors import ConfigurationError

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection, Engine

__all__ = ["DatabaseFence"]

_PART = r"(?:`(?:[^`]|``)+`|[\w$]+)"
_QUALIFIED = rf"({_PART})\s*\.\s*{_PART}"
# Behind these words stands what is written to, wherever they are; behind ON KEY UPDATE a column does.
_WRITTEN = re.compile(
    rf"\b(?:into|delete\s+from|(?<!key\s)update|table|tables|view|trigger|procedure|function|event|sequence|references|call"
    rf"|exists|replace|ignore|low_priority|delayed)\s+{_QUALIFIED}",
    re.IGNORECASE,
)
_DELETED = re.compile(rf"\b(?:from|using|delete)\s+{_QUALIFIED}", re.IGNORECASE)
_MADE_ON = re.compile(
    rf"\s*(?:create|drop)\b.*?\b(?:index|trigger)\b.*?\bon\s+({_PART})(\s*\.)?", re.IGNORECASE | re.DOTALL
)
# In these there are no columns with the name of their table before them.
_LISTS = re.compile(r"\s*(?:drop|rename|truncate|lock|alter|optimize|analyze|repair)\b", re.IGNORECASE)
_ANY = re.compile(rf"(?<![\w`.]){_QUALIFIED}", re.IGNORECASE)
_DELETES = re.compile(r"\s*delete\b", re.IGNORECASE)
_USES = re.compile(rf"\s*use\s+({_PART})", re.IGNORECASE)
_DATABASE = re.compile(
    rf"\s*(?:create|drop|alter)\s+(?:or\s+replace\s+)?(?:database|schema)\s+(?:if\s+(?:not\s+)?exists\s+)?"
    rf"(?!(?:default|character|charset|collate|comment)\b)({_PART})",
    re.IGNORECASE,
)
_SERVER = re.compile(
    r"\s*(?:(?:create|drop|alter|rename)\s+(?:or\s+replace\s+)?(?:user|role|server)\b|grant\b|revoke\b|kill\b|shutdown\b"
    r"|flush\b|reset\b|purge\b|(?:un)?install\b|change\s+(?:master|replication)\b|(?:start|stop)\s+(?:all\s+)?(?:slave|replica)"
    r"|set\s+(?:global\b|persist\b|@@global\b|@@persist\b|password\b|default\s+role\b))",
    re.IGNORECASE,
)
# What is prepared is a statement as well.
_PREPARED = re.compile(r"\s*(?:prepare\b.*?\bfrom|execute\s+immediate)\s+'((?:[^'\\]|\\.|'')*)'", re.I | re.S)


class DatabaseFence:
    """
    Refuses, on an engine's connections, what would change another database, or the server itself.

    Args:
        others: The databases that are not to be changed.
    """

    def __init__(self, engine: Engine, others: set[str]) -> None:
        self._others = {name.lower() for name in others}
        event.listen(engine, "before_cursor_execute", self._execute)

    def _execute(self, _connection: Connection, _cursor: Any, statement: str, *_: object) -> None:
        if (prepared := _PREPARED.match(statement)) is not None:
            statement = prepared[1].replace("''", "'")
        # Under ANSI_QUOTES double quotes stand around names; where they do not, nothing else reads as such a name.
        several = [*parts(statement), *(parts(statement, ansi=True) if '"' in statement else [])]
        for part in several:
            if _SERVER.match(part):
                raise _changes(f"by: {' '.join(part.split())[:100]}")
            for name in _named(part):
                if name.lower() in self._others:
                    raise _changes(f"it names {name}, by: {' '.join(part.split())[:100]}")


def _named(part: str) -> Iterator[str]:
    """The databases that a statement says it changes something of."""
    patterns = [_WRITTEN]
    patterns += [_ANY] if _LISTS.match(part) else []
    patterns += [_DELETED] if _DELETES.match(part) else []
    for pattern in patterns:
        for found in pattern.finditer(part):
            yield _plain(found[1])
    if (match := _MADE_ON.match(part)) is not None and match[2]:
        yield _plain(match[1])
    for pattern in (_USES, _DATABASE):
        if (match := pattern.match(part)) is not None:
            yield _plain(match[1])


def _plain(name: str) -> str:
    return name[1:-1].replace("``", "`") if name.startswith("`") else name


def _changes(what: str) -> ConfigurationError:
    return ConfigurationError(
        "The migration changes another database than its own, or the server, which a check would change for good.\n"
        f"  {what}\n"
        "Name no database there, or leave it out where self.rehearsing is true."
    )
