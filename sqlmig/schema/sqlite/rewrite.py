"""
The stored definitions, edited in place, inside the transaction that is open and undone with it.

Source: https://sqlite.org/pragma.html#pragma_writable_schema
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

from sqlalchemy.exc import DatabaseError

from .tokens import quoted

if TYPE_CHECKING:
    from .catalogue import Catalogue, Entry

__all__ = ["Update", "can_edit", "edit_schema", "setting", "update"]

Update: TypeAlias = "tuple[str, Sequence[Any]]"


@contextmanager
def setting(catalogue: Catalogue, name: str, value: int) -> Iterator[None]:
    """Have a PRAGMA of the session at *value* meanwhile."""
    before = catalogue.value(f"PRAGMA {name}")
    if before != value:
        catalogue.run(f"PRAGMA {name} = {value}")
    try:
        yield
    finally:
        if before != value:
            catalogue.run(f"PRAGMA {name} = {before}")


def can_edit(catalogue: Catalogue) -> bool:
    """
    Whether the connection lets the stored definitions be edited.

    `SQLITE_DBCONFIG_DEFENSIVE` forbids it, and the PRAGMA tells ON all the same.
    """
    try:
        with setting(catalogue, "writable_schema", 1):
            catalogue.run("UPDATE sqlite_master SET name = name WHERE 0")
    except DatabaseError:
        return False
    return True


def update(entry: Entry, **values: Any) -> Update:
    """Change columns of one row of `sqlite_schema`."""
    assigned = ", ".join(f"{name} = ?" for name in values)
    sql = f"UPDATE {quoted(entry.schema)}.sqlite_master SET {assigned} WHERE rowid = ?"
    return sql, (*values.values(), entry.rowid)


def edit_schema(catalogue: Catalogue, schema: str, updates: Sequence[Update]) -> None:
    """Change rows of `sqlite_schema`, and have every connection read them anew."""
    version = catalogue.value(f"PRAGMA {quoted(schema)}.schema_version")
    before = catalogue.value("PRAGMA writable_schema")
    catalogue.run("PRAGMA writable_schema = ON")
    try:
        for sql, values in updates:
            catalogue.run(sql, values)
    finally:
        catalogue.run("PRAGMA writable_schema = RESET")
        # After the RESET, which makes SQLite forget that the schema was changed: a ROLLBACK would then keep this
        # connection on the schema that was undone, and it would write into pages that are somebody else's.
        catalogue.run(f"PRAGMA {quoted(schema)}.schema_version = {(version + 1) % 2**31}")
        if before:
            catalogue.run("PRAGMA writable_schema = ON")
