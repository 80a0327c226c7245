"""DatabaseType: a column's type by the name that it has in the database."""

from __future__ import annotations

from typing import Any

from sqlalchemy.types import UserDefinedType

__all__ = ["DatabaseType"]


class DatabaseType(UserDefinedType[Any]):
    """
    A type that SQLAlchemy has no class for, or that an application has one of its own for: `DatabaseType("VECTOR(3)")`.

    Migrations name types so because they must not import the application.
    """

    cache_ok = True

    def __init__(self, name: str) -> None:
        self.name = name

    def get_col_spec(self, **_: Any) -> str:
        """The name, as it stands."""
        return self.name
