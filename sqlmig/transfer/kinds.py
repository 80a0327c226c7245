"""
What a column of the target holds, and how a value of the source becomes one of its own: exactly, or not at all.

Values are looked at by the column and the batch: in nearly all of them each value is of the one type that it should
be, which a few calls of C tell. Only where they do not is one value looked at after the other.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

__all__ = ["NONE", "Kind", "Never", "Same", "Unfit", "kind_of_value", "spread"]

NONE = type(None)


class Unfit(Exception):
    """A value that a column cannot hold: its place in the batch, and why."""

    def __init__(self, why: str, index: int = 0) -> None:
        self.why, self.index = why, index
        super().__init__(why)


def kind_of_value(value: Any) -> str:
    """What a value is, in words; never the value itself, which may be somebody's secret."""
    if isinstance(value, str):
        return f"a text of {len(value):,} characters"
    if isinstance(value, bytes):
        return f"{len(value):,} bytes"
    names = {bool: "a boolean", int: "a whole number", float: "a floating-point number", Decimal: "a decimal number"}
    return names.get(type(value), type(value).__name__)


def spread(values: Sequence[Any], convert: Callable[[list[Any]], list[Any]]) -> list[Any]:
    """What *convert* makes of those that are not None, each in its place."""
    present = [value for value in values if value is not None]
    made = convert(present)
    if len(present) == len(values):
        return made
    rest = iter(made)
    return [None if value is None else next(rest) for value in values]


class Kind(ABC):
    """What a column holds; `name` is the word for it in messages."""

    name: str
    takes: frozenset[type] = frozenset()
    """The types of which values may be right as they are."""

    def convert(self, values: Sequence[Any]) -> Sequence[Any]:
        """
        The values as the target holds them.

        Raises:
            Unfit: It cannot hold one of them.
        """
        types = set(map(type, values))
        types.discard(NONE)
        if not types:
            return values
        if types <= self.takes:
            present = [value for value in values if value is not None] if None in values else values
            if self.fit(present):
                return values
        return self.one_by_one(values)

    def one_by_one(self, values: Sequence[Any]) -> list[Any]:
        """The same, for values of which some may need a closer look."""
        made = []
        for index, value in enumerate(values):
            try:
                made.append(None if value is None else self.one(value))
            except Unfit as error:
                error.index = index
                raise
        return made

    def fit(self, values: Sequence[Any]) -> bool:
        """Whether all of these, which are of the right types, can stay as they are."""
        return True

    @abstractmethod
    def one(self, value: Any) -> Any:
        """A single value as the target holds it."""

    def refuse(self, value: Any, more: str = "") -> Unfit:
        """Why a value cannot be held."""
        return Unfit(f"{kind_of_value(value)} in a column that holds {self.name}{more}")


class Same(Kind):
    """Anything, as it is: source and target are of one kind, or the target takes what it is given."""

    def __init__(self, name: str) -> None:
        self.name = name

    def convert(self, values: Sequence[Any]) -> Sequence[Any]:
        return values

    def one(self, value: Any) -> Any:
        return value


class Never(Kind):
    """NULL, and nothing else: what a value would become there is not known."""

    def __init__(self, name: str) -> None:
        self.name = name

    def one(self, value: Any) -> Any:
        raise self.refuse(value)
