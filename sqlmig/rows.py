"""Rows, and what a statement gave back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from .sql_text import writes

if TYPE_CHECKING:
    from sqlalchemy.engine import CursorResult

__all__ = ["KeptRow", "Result", "Row"]


class Row:
    """One row: `row[0]`, `row["name"]`, `row.name`, `dict(row)`, and iteration over its values."""

    # Holds nothing itself, so that a row of the driver's own can be one as well; and has no `__new__`, which would
    # be called for each of them.
    __slots__ = ()

    if TYPE_CHECKING:

        def __getitem__(self, key: int | slice | str) -> Any: ...
        def keys(self) -> list[str]: ...
        def __iter__(self) -> Iterator[Any]: ...
        def __len__(self) -> int: ...

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name not in self.keys():
            raise AttributeError(f"no column {name!r}; the row has {', '.join(self.keys())}")
        return self[name]

    def __eq__(self, other: object) -> bool:
        return tuple(self) == (tuple(other) if isinstance(other, Row) else other)

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        return "Row(" + ", ".join(f"{k}={v!r}" for k, v in zip(self.keys(), self, strict=True)) + ")"


class KeptRow(Row):
    """
    A row that keeps its values by itself.

    Args:
        keys: The names of the columns.
        values: As many values.
    """

    __slots__ = ("_keys", "_values")

    def __init__(self, keys: Sequence[str], values: Sequence[Any]) -> None:
        self._keys, self._values = keys, tuple(values)

    def __getitem__(self, key: int | slice | str) -> Any:
        if not isinstance(key, str):
            return self._values[key]
        try:
            return self._values[self._keys.index(key)]
        except ValueError:
            raise KeyError(f"no column {key!r}; the row has {', '.join(self._keys)}") from None

    def keys(self) -> list[str]:
        """The names of the columns, in order."""
        return list(self._keys)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __reduce__(self) -> tuple[Any, ...]:
        return KeptRow, (list(self._keys), self._values)


class Result:
    """What a statement gave back: rows to fetch or iterate over, `rowcount`, `lastrowid`."""

    def __init__(self, cursor: CursorResult[Any] | None) -> None:
        self.rowcount: int = cursor.rowcount if cursor is not None else 0
        self.returns_rows: bool = cursor is not None and cursor.returns_rows
        self.lastrowid: int | None = None if self.returns_rows or cursor is None else _lastrowid(cursor)
        self._cursor = cursor
        self._keys: list[str] = []
        self._rows: Iterator[Any] = iter(())
        if cursor is not None and self.returns_rows:
            self._keys = list(cursor.keys())
            # What a writing statement returns is read at once: it would stand in the way of the COMMIT.
            self._rows = iter(cursor) if _only_reads(cursor) else iter(cursor.all())

    def buffer(self) -> Result:
        """Read all rows now, so that they outlive the connection."""
        self._rows = iter(list(self._rows))
        return self

    def first(self) -> Row | None:
        """The next row or None; the rest is given up, so that no open query keeps its tables locked."""
        row = self.fetchone()
        self.close()
        return row

    def close(self) -> None:
        """Give up the rows that are left, so that no open query keeps its tables locked."""
        if self._cursor is not None:
            self._cursor.close()

    def __iter__(self) -> Iterator[Row]:
        return (KeptRow(self._keys, row) for row in self._rows)

    def fetchone(self) -> Row | None:
        """The next row, or None after the last."""
        return next(iter(self), None)

    def fetchall(self) -> list[Row]:
        """The rows that are left."""
        return list(self)

    def scalar(self) -> Any:
        """The first value of the next row, or None; the rest is given up."""
        row = self.first()
        return row[0] if row else None


def _only_reads(cursor: CursorResult[Any]) -> bool:

    return not writes(getattr(cursor.context, "statement", None) or "")


def _lastrowid(cursor: CursorResult[Any]) -> int | None:
    try:
        return cursor.lastrowid
    except (AttributeError, TypeError):
        return None
