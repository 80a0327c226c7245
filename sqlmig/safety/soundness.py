"""Damage and broken references, before and after."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from typing import Any

from ..backends.sqlite import ask, quoted

__all__ = ["AT_ONCE", "new_problems", "problems"]

AT_ONCE = 32 * 1024 * 1024
"""Databases of at most so many bytes are checked entry by entry, which of larger ones takes longer than migrating."""


def problems(raw: Any, *, thorough: bool, tables: Collection[tuple[str, str]] = ()) -> Counter[str]:
    """
    What is wrong with a database.

    Args:
        thorough: Whether each entry of each index is compared with its row (`integrity_check`). Otherwise the pages,
            and every row with the constraints of its table (`quick_check`), and of *tables*, given with their schema,
            whether each index has as many entries as there are rows.
    """
    check = "integrity_check" if thorough else "quick_check"
    found = Counter(f"{check}: {line}" for (line,) in ask(raw, f"PRAGMA {check}") if line != "ok")
    if not thorough:
        found.update(text for table in tables for text in _short_indexes(raw, *table))
    try:
        orphans = Counter((row[0], row[2]) for row in ask(raw, "PRAGMA foreign_key_check"))
    except sqlite3.OperationalError as error:
        # A foreign key to columns that no index makes unique: SQLite checks none then.
        found[f"foreign_key_check: {error}"] += 1
        return found
    for (table, parent), count in orphans.items():
        found[f"rows of {table} that refer to no row of {parent}"] = count
    return found


def new_problems(after: Counter[str], before: Callable[[], Counter[str]]) -> list[str]:
    """What is there now and was not before; *before* is asked only where there is something."""
    if not after:
        return []
    return [text if ":" in text else f"{count:,} {text}" for text, count in (after - before()).items()]


def _short_indexes(raw: Any, schema: str, table: str) -> Iterator[str]:
    schema = schema or "main"
    name = f"{quoted(schema)}.{quoted(table)}"
    whole = [row[1] for row in ask(raw, f"PRAGMA {quoted(schema)}.index_list({quoted(table)})") if not row[4]]
    # A table WITHOUT ROWID has no rowid to count by, and a virtual one no indexes.
    with suppress(sqlite3.OperationalError):
        ((rows,),) = ask(raw, f"SELECT count(*) FROM {name} NOT INDEXED") if whole else ((0,),)
        for index in whole:
            # count(*) would be counted by whichever index is smallest.
            ((entries,),) = ask(raw, f"SELECT count(rowid) FROM {name} INDEXED BY {quoted(index)}")
            if entries != rows:
                yield f"index {index}: it has {entries:,} entries for {rows:,} rows of {table}"
