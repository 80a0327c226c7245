"""What a server's refusal of a change means, as one of our own errors."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

from sqlalchemy.exc import CompileError, DBAPIError, ProgrammingError

from ...backends.raw import sqlstate
from ...errors import (
    DataContradicts,
    NoSuchObject,
    ObjectExists,
    ObjectInUse,
    SchemaError,
    UnsupportedChange,
    WrongObject,
    shorten,
)

__all__ = ["error_code", "translated"]

_DATA: Final = {
    # PostgreSQL: NOT NULL, FOREIGN KEY, UNIQUE, CHECK, and values that do not fit a type.
    *("23502", "23503", "23505", "23514", "22001", "22003", "22007", "22008", "22P02", "22018"),
    # MariaDB and MySQL: the same.
    *(1048, 1138, 1062, 1452, 4025, 3819, 1264, 1265, 1292, 1366, 1406),
}
_EXISTS: Final[Mapping[str | int, str]] = {
    "42P07": "table, view or index",
    "42701": "column",
    "42710": "constraint or trigger",
    1050: "table or view",
    1060: "column",
    1061: "index",
    1068: "primary key",
    1359: "trigger",
    1826: "constraint",
}
_MISSING: Final[Mapping[str | int, str]] = {
    "42P01": "table",
    "42703": "column",
    "42704": "type, collation or object",
    1051: "table",
    1054: "column",
    1072: "column",
    1091: "column or constraint",
    1146: "table",
    1273: "collation",
    1360: "trigger",
}
_IN_USE: Final = {"2BP01", 1451, 1553, 1828, 1829, 1832, 1833, 3730}
_WRONG: Final = {"42809", 1347}
_UNSUPPORTED: Final = {
    *("0A000", "42804", "42830", "42846", "42883", "42P16", "42P17"),
    *(1005, 1059, 1067, 1075, 1090, 1103, 1166, 1170, 1171, 1215, 1253, 1822, 1901, 1970, 3105, 4119, 4127, 4161),
}


@contextmanager
def translated(table: str, known: Callable[[str], Sequence[str]]) -> Iterator[None]:
    """
    Let a server's error out as a SchemaError, where it means one, raised from it.

    Args:
        known: What there is of a kind, for the error that something of the kind is not there.
    """
    try:
        yield
    except CompileError as error:
        raise UnsupportedChange(f"The change of {table} cannot be written as SQL: {error}", table=table) from error
    except DBAPIError as error:
        meaning = _meaning(error, table, known)
        if meaning is None and isinstance(error, ProgrammingError):
            meaning = UnsupportedChange(
                f"The server does not take the change of {table}; nothing was changed.",
                table=table,
                facts=str(error.orig),
                hint="Look at the expressions, types and names that were given.",
            )
        if meaning is None:
            raise
        raise meaning from error


def error_code(error: DBAPIError) -> str | int | None:
    """PostgreSQL's SQLSTATE, or the number that MariaDB and MySQL give."""
    original = error.orig
    number = original.args[0] if original is not None and original.args else None
    if isinstance(number, int):
        # PyMySQL has an SQLSTATE beside it, which says less.
        return number
    return sqlstate(error) or None


def _meaning(error: DBAPIError, table: str, known: Callable[[str], Sequence[str]]) -> SchemaError | None:
    code = error_code(error)
    if code is None:
        return None
    said = _said(error)
    if code in _DATA:
        # The server's text is left out: it quotes values.
        what = f"Rows of the table {table} contradict the change; the server refused it."
        return DataContradicts(what, 1, [], table=table, facts="the server stopped at the first such row")
    if code in _EXISTS:
        return ObjectExists(_EXISTS[code], _name_in(said) or _EXISTS[code], table=table)
    if code in _MISSING:
        return NoSuchObject(_MISSING[code], _name_in(said), known(_MISSING[code]), table=table)
    return _refusal(code, said, table)


def _refusal(code: str | int, said: str, table: str) -> SchemaError | None:
    what = f"The server refused the change of {table}; nothing was changed."
    if code in _IN_USE:
        return ObjectInUse(what, [said], table=table, hint="Drop what needs it first.")
    if code in _WRONG:
        return WrongObject(what, table=table, facts=said)
    if code in _UNSUPPORTED:
        return UnsupportedChange(what, table=table, facts=said)
    return None


def _said(error: DBAPIError) -> str:
    args = error.orig.args if error.orig is not None else ()
    return shorten(str(args[-1]) if args else str(error.orig))


def _name_in(said: str) -> str:
    found = re.search(r"""["'`](.+?)["'`]""", said)
    return found[1] if found else said
