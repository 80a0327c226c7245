"""A schema as MariaDB and MySQL word it themselves, compared with another."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator
from typing import Any, Self

from ..backends.raw import ask_any, backticked
from ..safety.differences import Key, Schema, one_line

__all__ = ["MySQLSchema"]

_OBJECTS = (
    ("table", "SELECT table_name, table_name FROM information_schema.tables WHERE table_schema = DATABASE()"
     " AND table_type IN ('BASE TABLE', 'SYSTEM VERSIONED')"),
    ("sequence", "SELECT table_name, table_name FROM information_schema.tables WHERE table_schema = DATABASE()"
     " AND table_type = 'SEQUENCE'"),
    ("view", "SELECT table_name, table_name FROM information_schema.views WHERE table_schema = DATABASE()"),
    ("trigger", "SELECT trigger_name, event_object_table FROM information_schema.triggers"
     " WHERE trigger_schema = DATABASE()"),
    ("procedure", "SELECT routine_name, routine_name FROM information_schema.routines"
     " WHERE routine_schema = DATABASE() AND routine_type = 'PROCEDURE'"),
    ("function", "SELECT routine_name, routine_name FROM information_schema.routines"
     " WHERE routine_schema = DATABASE() AND routine_type = 'FUNCTION'"),
    ("event", "SELECT event_name, event_name FROM information_schema.events WHERE event_schema = DATABASE()"),
)  # fmt: skip
# The column of SHOW CREATE in which the text is; the others tell settings of whoever made it.
_PLACE = {"trigger": 2, "procedure": 2, "function": 2, "event": 3}
_NEXT = re.compile(r" AUTO_INCREMENT=\d+")


class MySQLSchema(Schema):
    """All objects of the current database."""

    @classmethod
    def read(cls, raw: Any, ignored: Collection[str]) -> Self:
        """
        Read it off a connection.

        Args:
            ignored: Tables that are records of migrations, in lower case.
        """
        objects: dict[Key, str] = {}
        tables: dict[Key, str] = {}
        for kind, query in _OBJECTS:
            for name, table in ask_any(raw, query):
                if table.lower() not in ignored:
                    row = ask_any(raw, f"SHOW CREATE {kind.upper()} {backticked(name)}")[0]
                    # Which number comes next is no part of the schema.
                    objects[Key("", kind, name)] = _NEXT.sub("", str(row[_PLACE.get(kind, 1)]))
                    tables[Key("", kind, name)] = table
        return cls(objects, tables, {})

    def is_same(self, before: str, after: str) -> bool:
        """Whether two definitions are one text."""
        return before == after

    def changes(self, key: Key, before: str, after: str) -> Iterator[str]:
        """The lines of a table's definition."""
        if key.kind == "table":
            was, now = (Counter(line.strip(" ,") for line in text.splitlines()) for text in (before, after))
            yield from (f"- {one_line(line)}" for line in (was - now).elements())
            yield from (f"+ {one_line(line)}" for line in (now - was).elements())
