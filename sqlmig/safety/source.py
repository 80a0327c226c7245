"""What a rehearsal must know of the database that it copies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from .backup import size_of

__all__ = ["Source", "files_of"]

# What an application sets as it connects, and what changes how a migration goes.
_PRAGMAS = (
    "foreign_keys",
    "recursive_triggers",
    "ignore_check_constraints",
    "legacy_alter_table",
    "trusted_schema",
    "synchronous",
    "cache_size",
    "temp_store",
)
_ATTRIBUTES = ("row_factory", "text_factory", "isolation_level")


class Source(NamedTuple):
    """
    A database as one connection of the application's has it.

    Attributes:
        path: Its file; empty for one in memory.
        attached: The files that the connection has attached, by name.
        size: Of all of them, in bytes.
        attributes, pragmas: What is set on the connection.
    """

    path: str
    attached: Mapping[str, str]
    size: int
    page_size: int
    attributes: Mapping[str, Any]
    pragmas: Mapping[str, Any]

    @classmethod
    def of(cls, raw: Any) -> Source:
        """Read it off a connection of the driver's."""
        files = files_of(raw)
        attached = {name: file for name, file in files.items() if name != "main" and file}
        attributes = {name: getattr(raw, name) for name in _ATTRIBUTES}
        return cls(
            path=files["main"],
            attached=attached,
            size=size_of(raw, ["main", *attached]),
            page_size=pragma(raw, "page_size"),
            attributes=attributes,
            pragmas={name: pragma(raw, name) for name in _PRAGMAS},
        )

    @classmethod
    def missing(cls, path: str) -> Source:
        """Of a file that is not there yet."""
        return cls(path, {}, 0, 4096, {}, {})


def files_of(raw: Any) -> dict[str, str]:
    """The databases of a connection with their files, which are empty for those in memory; without temp."""
    cursor = raw.cursor()
    cursor.row_factory = None
    rows = cursor.execute("PRAGMA database_list").fetchall()
    return {name: file or "" for _, name, file in rows if name != "temp"}


def pragma(raw: Any, name: str) -> Any:
    """The value of a PRAGMA."""
    cursor = raw.cursor()
    cursor.row_factory = None
    return (cursor.execute(f"PRAGMA {name}").fetchone() or [None])[0]
