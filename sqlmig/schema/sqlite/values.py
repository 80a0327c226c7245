"""
Whether the values of a column keep their meaning under another type.

SQLite lets any value into any column: under INTEGER affinity 'forty' stays a text, '12' and '007' become numbers.
What would not fit, or could not be told again from what becomes of it, is refused.

Source: https://sqlite.org/datatype3.html
"""

from __future__ import annotations

import re

from .definition import affinity_of

__all__ = ["keeps_storage", "misfits"]

_DATES = re.compile("DATE|TIME")
_NUMBERS = re.compile("NUM|DEC|BOOL|MONEY|CURRENCY")
# Every integer up to here is a REAL as well.
_EXACT = 9007199254740992


def keeps_storage(old: str, new: str, *, strict: bool) -> bool:
    """
    Whether what is stored is the same under both types, so that no row need be touched.

    INTEGER and NUMERIC store alike: they differ in CAST alone.
    """
    classes = [affinity_of(type_, strict=strict).replace("INTEGER", "NUMERIC") for type_ in (old, new)]
    if strict and old.upper() != new.upper():
        return {old.upper(), new.upper()} == {"INT", "INTEGER"}
    return classes[0] == classes[1]


def misfits(value: str, type_: str, *, strict: bool) -> str | None:
    """
    The condition under which *value*, an expression, does not fit a type; None where everything fits.

    A text fits a number type if it is spelled as SQLite spells the number: not '007', '12abc' or '1e3'.
    """
    affinity = affinity_of(type_, strict=strict)
    if affinity == "BLOB":
        return None if not strict or type_.upper() == "ANY" else f"typeof({value}) NOT IN ('blob', 'null')"
    cases = {
        "TEXT": _for_text,
        "INTEGER": _for_integer,
        "REAL": _for_real,
        "NUMERIC": _for_numeric,
    }[affinity](value, type_.upper())
    return f"CASE typeof({value}) WHEN 'null' THEN 0 {cases} ELSE 1 END"


def _for_text(v: str, _: str) -> str:
    return f"WHEN 'text' THEN 0 WHEN 'integer' THEN 0 WHEN 'real' THEN CAST(CAST({v} AS TEXT) AS REAL) IS NOT {v}"


def _for_integer(v: str, _: str) -> str:
    return (
        f"WHEN 'integer' THEN 0 WHEN 'real' THEN NOT ({_is_whole(v)})"
        f" WHEN 'text' THEN NOT ({_spells_integer(v)} OR ({_spells_real(v)} AND {_is_whole(f'CAST({v} AS REAL)')}))"
    )


def _for_real(v: str, _: str) -> str:
    return (
        f"WHEN 'integer' THEN {v} NOT BETWEEN -{_EXACT} AND {_EXACT} WHEN 'real' THEN 0"
        f" WHEN 'text' THEN NOT (({_spells_integer(v)} AND abs(CAST({v} AS REAL)) <= {_EXACT}) OR {_spells_real(v)})"
    )


def _for_numeric(v: str, type_: str) -> str:
    numbers = f"WHEN 'integer' THEN 0 WHEN 'real' THEN CAST({v} AS NUMERIC) IS NOT {v} AND NOT ({_is_whole(v)})"
    looks_like_number = f"CAST({v} AS NUMERIC) = CAST({v} AS TEXT)"
    if _DATES.search(type_):
        return f"{numbers} WHEN 'text' THEN datetime({v}) IS NULL OR {looks_like_number}"
    if _NUMBERS.search(type_):
        return f"{numbers} WHEN 'text' THEN NOT ({_spells_integer(v)} OR {_spells_real(v)})"
    # JSON and whatever else: a text that looks like a number would become one.
    return f"{numbers} WHEN 'text' THEN {looks_like_number} WHEN 'blob' THEN 0"


def _is_whole(v: str) -> str:
    return f"abs({v}) <= {_EXACT} AND CAST(CAST({v} AS INTEGER) AS REAL) = CAST({v} AS REAL)"


def _spells_integer(v: str) -> str:
    return f"CAST(CAST({v} AS INTEGER) AS TEXT) = trim({v})"


def _spells_real(v: str) -> str:
    """Zeros at the end are no part of a number: '1.50' is 1.5."""
    told = f"rtrim(rtrim(CAST(CAST({v} AS REAL) AS TEXT), '0'), '.')"
    return f"(instr({v}, '.') > 0 AND rtrim(rtrim(trim({v}), '0'), '.') = {told})"
