"""
The names that PostgreSQL gives to constraints which nobody names.

Source: https://github.com/postgres/postgres/blob/master/src/backend/commands/indexcmds.c, makeObjectName
"""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["could_be_made_up", "is_made_up", "made_up_name"]

# Bytes.
_LONGEST = 63
# By the kind that the catalogue tells.
_ENDINGS = {"p": "pkey", "u": "key", "x": "excl", "f": "fkey", "c": "check"}


def made_up_name(kind: str, table: str, columns: Sequence[str] = ()) -> str:
    """
    The name of the first such constraint.

    Args:
        kind: As in pg_constraint.contype.
        table: Without its schema.
        columns: Those in the name: of a primary key none, of a CHECK its only one.
    """
    return _joined(table, columns, _ENDINGS[kind])


def is_made_up(name: str, kind: str, table: str, columns: Sequence[str]) -> bool:
    """Whether it is the name that the server would give today; others of that name have got a number."""
    ending = re.search(rf"{_ENDINGS[kind]}\d*\Z", name)
    if ending is None:
        return False
    shown = columns if kind in "uxf" or (kind == "c" and len(columns) == 1) else ()
    return name == _joined(table, shown, ending[0])


def could_be_made_up(name: str, kind: str) -> bool:
    """Whether the server may have given it once, of a table and columns with other names."""
    return re.search(rf"_{_ENDINGS[kind]}\d*\Z", name) is not None


def _joined(table: str, columns: Sequence[str], ending: str) -> str:
    first, second = table.encode(), "_".join(columns).encode()
    room = _LONGEST - len(ending) - (2 if columns else 1)
    firsts, seconds = len(first), len(second)
    while firsts + seconds > room:
        # The longer one is cut; of both as long, the second.
        if firsts > seconds:
            firsts -= 1
        else:
            seconds -= 1
    parts = [first[:firsts], *([second[:seconds]] if columns else [])]
    # Half a character is none.
    return "_".join([*(part.decode(errors="ignore") for part in parts), ending])
