"""Sequences of PostgreSQL's: each goes on after the last number that the source has given out, and never goes back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..backends.raw import ask_any
from ..backends.sqlite import quoted
from .target import Job

__all__ = ["count_on"]

_ALL = """
SELECT s.oid::regclass::text, s.relname, q.seqincrement, q.seqmin, q.seqmax FROM pg_class s
    JOIN pg_sequence q ON q.seqrelid = s.oid
WHERE s.relnamespace = current_schema()::regnamespace AND NOT EXISTS (
    SELECT FROM pg_depend e WHERE e.classid = 'pg_class'::regclass AND e.objid = s.oid AND e.deptype = 'e')
ORDER BY s.oid"""
_COLUMNS = """
SELECT s.oid::regclass::text, c.relname, a.attname
FROM pg_depend d JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S' JOIN pg_class c ON c.oid = d.refobjid
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = d.refobjsubid
WHERE d.classid = 'pg_class'::regclass AND d.deptype IN ('a', 'i') AND c.relnamespace = current_schema()::regnamespace
UNION
SELECT s.oid::regclass::text, c.relname, a.attname
FROM pg_attrdef f JOIN pg_depend d ON d.classid = 'pg_attrdef'::regclass AND d.objid = f.oid
    JOIN pg_class s ON s.oid = d.refobjid AND s.relkind = 'S' JOIN pg_class c ON c.oid = f.adrelid
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = f.adnum
WHERE c.relnamespace = current_schema()::regnamespace"""
_WHOLE = ("int2", "int4", "int8", "numeric")


def count_on(
    raw: Any,
    jobs: Iterable[Job],
    last_numbers: Mapping[str, int | None],
    positions: Mapping[str, int | None],
) -> list[str]:
    """
    Set each sequence of the current schema, whatever tables use it.

    Args:
        last_numbers: By table, the last that the source gave to its key.
        positions: By name in lower case, where the source's own sequences are; None for one that was never used.

    Returns:
        Those of which neither the rows nor the source tell where they are.
    """
    copied = {job.target.name: job for job in jobs}
    used: dict[str, list[tuple[str, str]]] = {}
    for sequence, table, column in ask_any(raw, _COLUMNS):
        used.setdefault(sequence, []).append((table, column))
    unknown = []
    for sequence, name, step, lowest, highest in ask_any(raw, _ALL):
        if sequence in used and not any(table in copied for table, _ in used[sequence]):
            # That of a table that was left out, or of sqlmig's own.
            continue
        told, numbers = name.lower() in positions, [positions.get(name.lower())]
        for table, column in used.get(sequence, ()):
            job = copied.get(table)
            found = job.target.column(column) if job is not None else None
            if job is None or found is None or found.type not in _WHOLE:
                continue
            told = True
            outermost = "max" if step > 0 else "min"
            numbers += ask_any(raw, f"SELECT {outermost}({quoted(column)})::bigint FROM {quoted(table)}")[0]
            if step > 0 and job.target.key in ((), (column,)):
                numbers.append(last_numbers.get(table))
        _go_on(raw, sequence, [number for number in numbers if number is not None], (step, lowest, highest))
        if not told:
            unknown.append(name)
    return unknown


def _go_on(raw: Any, sequence: str, numbers: Sequence[int], limits: tuple[int, int, int]) -> None:
    step, lowest, highest = limits
    last, called = ask_any(raw, f"SELECT last_value, is_called FROM {sequence}")[0]
    now = last if called else last - step
    furthest = max([now, *numbers]) if step > 0 else min([now, *numbers])
    if furthest != now:
        # Beyond its end it is at its end: it says so when it is asked for the next.
        within = max(lowest, min(highest, furthest))
        escaped = sequence.replace("'", "''")
        ask_any(raw, f"SELECT setval('{escaped}', {within})")
