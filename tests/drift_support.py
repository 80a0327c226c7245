"""Two schemas of a server compared by their catalogues, each made in one scratch schema, which is emptied again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

from native_databases import scratch_database
from sqlalchemy import Connection, MetaData

from sqlmig.drift.compare import compare
from sqlmig.drift.report import told
from sqlmig.drift.scratch import shape_of
from sqlmig.drift.shape import Shape

__all__ = ["Maker", "Making", "differs", "made_on", "only"]

Making: TypeAlias = "Callable[[Connection], object] | MetaData | str"


class Maker:
    """Makes a schema, reads its shape, and leaves nothing of it."""

    def __init__(self, connection: Connection, scratch: str) -> None:
        self.connection, self.scratch = connection, scratch
        self.postgresql = connection.dialect.name == "postgresql"

    def shape(self, *makings: Making) -> Shape:
        """What the catalogue says when all of these were made: statements, models, or what a function does."""
        try:
            for making in makings:
                self._make(making)
            raw: Any = self.connection.connection.dbapi_connection
            return shape_of(self.connection, raw, (), self._schemas())
        finally:
            self._clear()

    def _schemas(self) -> set[str]:
        """Those of PostgreSQL whose names begin with its own: others are other tests'."""
        if not self.postgresql:
            return set()
        found = self.connection.exec_driver_sql("SELECT nspname::text FROM pg_namespace").scalars()
        return {name for name in found if name.startswith(self.scratch)}

    def told(self, ours: tuple[Making, ...], theirs: tuple[Making, ...]) -> list[str]:
        """What a check would say."""
        return [
            found.text for found in told(compare(self.shape(*ours), self.shape(*theirs)), "models", "database").findings
        ]

    def _make(self, making: Making) -> None:
        if isinstance(making, MetaData):
            making.create_all(self.connection, checkfirst=False)
        elif isinstance(making, str):
            # A line by itself ends a statement.
            for statement in making.split(";\n"):
                if statement.strip():
                    self.connection.exec_driver_sql(statement, execution_options={"no_parameters": True})
        else:
            making(self.connection)

    def _clear(self) -> None:
        self.connection.rollback()
        if not self.postgresql:
            for statement in (
                f"DROP DATABASE {self.scratch}",
                f"CREATE DATABASE {self.scratch}",
                f"USE {self.scratch}",
            ):
                self.connection.exec_driver_sql(statement)
            self.connection.rollback()


@contextmanager
def made_on(server: str) -> Iterator[Maker]:
    """On "postgresql" or "mariadb"; skips where there is no such server."""
    with scratch_database(server) as database:
        yield Maker(database.connection, database.scratch)


def differs(what: str, ours: str, theirs: str) -> str:
    """What is said of something that both sides have."""
    return f"{what}: {ours} in the models, {theirs} in the database"


def only(what: str, where: str) -> str:
    """What is said of something that one side has, "models" or "database"."""
    return f"{what}: in the {where} only"
