"""
The loop itself: batch after batch is read, handed out, and, in a resumable migration, committed with its checkpoint.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

from ..errors import WrongKey
from ..turns import pause as pause_for
from ..turns import stop_if_asked
from .call_site import call_site, is_driven_by_for, was_left_on_purpose
from .collector import less_often
from .pace import Pace
from .reader import Reader, check_size, check_throttle
from .sources import source_of

if TYPE_CHECKING:
    from ..base import BaseMigration
    from ..rows import Row
    from .checkpoints import Loop
    from .resumption import Loops
    from .sources import Rows, Source
    from .tables import ColumnNames

__all__ = ["batches"]


def batches(
    migration: BaseMigration,
    source: Source,
    key: ColumnNames | None,
    size: int,
    *,
    columns: ColumnNames | None = None,
    throttle: float | None = None,
    where: Any = None,
    what: str = "",
) -> Iterator[list[Row]]:
    """
    The loop of `BaseMigration.batches`, checked at once and read when it is asked.

    Args:
        where: A condition upon the rows of a table.
        what: What is done to them, where the loop is not the migration's own.
    """
    check_size(size)
    pause = check_throttle(migration.throttle if throttle is None else throttle)
    with migration.db.reading() as connection:
        rows = source_of(connection, source, key, columns=columns, where=where)
    loops = migration._loops
    loop = loops.register(f"{what}{rows}", call_site()) if loops is not None else None
    if loops is not None and loop is not None:
        if not rows.lasting:
            raise _no_lasting_key(rows)
        return _resumable(migration, rows, size, pause, loops, loop)
    return _plain(migration, rows, size, pause, loops.inner if loops is not None else None)


def _plain(
    migration: BaseMigration,
    rows: Rows,
    size: int,
    pause: float,
    inner: Callable[[], AbstractContextManager[None]] | None,
) -> Iterator[list[Row]]:
    """In the transaction that is open; outside of any, each batch is read by itself."""
    db, tell = migration.db, migration._tell
    reader = Reader(db, rows, size, until=True)
    with db.reading() as connection:
        if not reader.begin(connection):
            return
        total = reader.count(connection) if tell is not None else None
    pace, after = Pace(tell, 0, total), None
    # A loop inside the loop of a resumable migration has no checkpoint of its own.
    with less_often(), inner() if inner is not None else nullcontext():
        while True:
            stop_if_asked()
            with db.reading() as connection:
                batch = reader.next(connection, after)
            if not batch.rows:
                return
            count = len(batch.rows)
            yield batch.rows
            after = batch.last
            pace.add(count)
            if count < size:
                return
            if pause and db.connection is None:
                pause_for(pause)


def _resumable(
    migration: BaseMigration, rows: Rows, size: int, pause: float, loops: Loops, loop: Loop
) -> Iterator[list[Row]]:
    """
    Each batch in a transaction of its own, with its checkpoint.

    It ends when there is nothing more: the read that finds nothing is in the same transaction as what follows.
    """
    loop.begin()
    if loop.done:
        return
    if not is_driven_by_for(sys._getframe(1)):
        loops.hold()
    reader = Reader(migration.db, rows, size, until=False)
    connection = migration.connection
    reader.begin(connection)
    if loop.total is None:
        loop.total = reader.count(connection)
    pace, after = Pace(migration._tell, loop.rows, loop.total), loop.after
    with less_often(), loops.active():
        while True:
            stop_if_asked()
            batch = reader.next(connection, after)
            if not batch.rows:
                loop.end()
                return
            count, before = len(batch.rows), loops.writes()
            try:
                yield batch.rows
            except GeneratorExit:
                if was_left_on_purpose(sys._getframe(1)):
                    # What was done in this batch stays, and the loop has said that it wants no more.
                    loop.advance(batch.last, count, wrote=bool(loops.wrote_since(before)))
                    loop.end(left=True)
                else:
                    # Something was raised in the middle of a batch, and may be caught: half of it is not committed.
                    loops.hold()
                raise
            after, wrote = batch.last, loops.wrote_since(before)
            loop.advance(after, count, wrote=bool(wrote))
            if wrote is None:
                pace.add(count)
            else:
                loops.commit(pause, partial(pace.add, count))


def _no_lasting_key(rows: Rows) -> WrongKey:
    return WrongKey(
        f"The rows of {rows.name} have no key that a resumable migration could go on from; nothing was written.",
        facts="it has no primary key, and VACUUM gives each row another rowid",
        hint='Name columns that tell its rows apart: batches(..., key=["a", "b"]); or leave out `resumable`.',
    )
