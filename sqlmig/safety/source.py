"""What a rehearsal must know of the database that it copies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from ..backends.sqlite import ask, pragma, quoted

__all__ = ["Source", "files_of", "size_of"]

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
    return {name: file or "" for _, name, file in ask(raw, "PRAGMA database_list") if name != "temp"}


def size_of(raw: Any, names: Iterable[str] = ("main",)) -> int:
    """The bytes of the pages of these databases of a connection, those in a WAL included."""
    parts = ((pragma(raw, f"{quoted(name)}.page_count"), pragma(raw, f"{quoted(name)}.page_size")) for name in names)
    return sum(int(count) * int(size) for count, size in parts)
