"""Names as callers write them: `"t"`, `"aux.t"`."""

from __future__ import annotations

from .changes import TableName

__all__ = ["split", "table_name"]


def split(name: str | tuple[None, str]) -> tuple[str | None, str]:
    """`"aux.t"` as `("aux", "t")`; a name that is a real one, dots and all, comes as `(None, name)`."""
    if isinstance(name, tuple):
        return name
    schema, _, table = name.rpartition(".")
    return schema or None, table


def table_name(name: str | tuple[None, str]) -> TableName:
    """The table, or view or trigger, that a name means."""
    return TableName(*split(name))
