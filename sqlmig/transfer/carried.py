"""The audit log of the source, carried over: what was done to a database goes with what is in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, func, insert, select

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from ..version_tracker import VersionTracker

__all__ = ["carry_history"]


def carry_history(connection: Connection, tracker: VersionTracker, past: Sequence[dict[str, Any]]) -> dict[str, int]:
    """
    Put the rows of the source before those that the target has of its own, in the transaction that is open.

    Returns:
        How many rows are the source's, and how many tell how the target was made.
    """
    history = tracker.history
    own = [dict(row) for row in connection.execute(select(history).order_by(history.c.id)).mappings()]
    # A history that the original system made may have no numbers, or no such columns.
    blank = {"description": "", "success": True}
    rows = [
        {**dict.fromkeys(history.columns.keys()), **blank, **row, "id": number}
        for number, row in enumerate([*past, *own], 1)
    ]
    connection.execute(delete(history))
    if rows:
        connection.execute(insert(history), rows)
    if connection.dialect.name == "postgresql" and rows:
        name = connection.dialect.identifier_preparer.format_table(history)
        connection.execute(select(func.setval(func.pg_get_serial_sequence(name, "id"), len(rows))))
    return {"carried": len(past), "own": len(own)}
