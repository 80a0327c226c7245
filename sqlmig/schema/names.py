"""Names as callers write them: `"t"`, `"aux.t"`."""

from __future__ import annotations

from ..errors import UnsupportedChange
from .changes import TableName

__all__ = ["split", "table_name"]


def split(name: str | tuple[None, str]) -> tuple[str | None, str]:
    """`"aux.t"` as `("aux", "t")`; a name that is a real one, dots and all, comes as `(None, name)`."""
    if isinstance(name, tuple):
        return name
    schema, _, table = name.rpartition(".")
    return schema or None, table


def table_name(name: str | tuple[None, str]) -> TableName:
    """
    The table, or view or trigger, that a name means.

    Raises:
        UnsupportedChange: It is none.
    """
    if not isinstance(name, str | tuple) or not name:
        raise UnsupportedChange(
            f"{name!r} is no name of a table; nothing was changed.", hint='Give it as a text: "t", or "schema.t".'
        )
    return TableName(*split(name))
