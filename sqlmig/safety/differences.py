"""What differs between two schemas, in words."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

__all__ = ["Key", "Schema", "changed_tables", "differences", "one_line"]


class Key(NamedTuple):
    """Which object it is; the schema is empty for the usual one."""

    schema: str
    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {f'{self.schema}.' if self.schema else ''}{self.name}"


@dataclass(frozen=True)
class Schema(ABC):
    """The definitions of all objects, the tables that they are of, and what the database says of itself."""

    objects: Mapping[Key, str]
    tables: Mapping[Key, str]
    facts: Mapping[str, Any]

    @abstractmethod
    def is_same(self, before: str, after: str) -> bool:
        """Whether two definitions say the same."""

    @abstractmethod
    def changes(self, key: Key, before: str, after: str) -> Iterator[str]:
        """What differs between two definitions of one object; nothing where that cannot be told."""


def differences(before: Schema, after: Schema) -> list[str]:
    """What *after* has that *before* had not, and the other way round; empty where they say the same."""
    return list(_differences(before, after))


def _differences(before: Schema, after: Schema) -> Iterator[str]:
    for key in before.objects.keys() - after.objects.keys():
        yield f"- {key}"
    for key, sql in after.objects.items():
        if key not in before.objects:
            yield f"+ {key}"
        elif sql != before.objects[key] and not after.is_same(before.objects[key], sql):
            found = list(after.changes(key, before.objects[key], sql))
            yield from (f"~ {key}: {change}" for change in found or ["another definition"])
    for name, value in after.facts.items():
        if value != before.facts.get(name):
            yield f"~ {name}: {before.facts.get(name)} -> {value}"


def changed_tables(before: Schema, after: Schema) -> set[tuple[str, str]]:
    """The tables, with their schemas, that are new, defined otherwise, or have such an index."""
    return {
        (key.schema, after.tables[key])
        for key, sql in after.objects.items()
        if before.objects.get(key) != sql and key.kind in ("table", "index")
    }


def one_line(text: str) -> str:
    """A part of a definition, for a list."""
    line = " ".join(text.split())
    return line if len(line) <= 120 else f"{line[:119]}…"
