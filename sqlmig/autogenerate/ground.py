"""A scratch database that migrations were run on, and on which statements are tried."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import SQLAlchemyError

from ..base import BaseMigration
from ..drift.check import read_shape
from ..drift.shape import Shape
from ..errors import MigrationError
from ..schema.names import table_name
from ..schema.native.schema import NativeSchema
from .statements import Statement, source

if TYPE_CHECKING:
    from sqlalchemy.engine.interfaces import Dialect

    from ..migrator import Migrator
    from .target import Target

__all__ = ["Ground", "Refused"]


class Refused(Exception):
    """A statement does not work, and changed nothing."""


class Ground:
    """
    The schema of a scratch database.

    Args:
        twin: The Migrator on it.
    """

    def __init__(self, twin: Migrator) -> None:
        self.twin = twin
        self._migration = BaseMigration(twin.db)
        self._shape: Shape | None = None

    @property
    def dialect(self) -> Dialect:
        """As it knows the database."""
        return self.twin.db.engine.dialect

    @property
    def shape(self) -> Shape:
        """What its catalogue tells now."""
        if self._shape is None:
            self._shape = read_shape(self.twin)
        return self._shape

    def run(self, *statements: Statement) -> None:
        """
        Run statements as they will be written, in one transaction.

        Raises:
            Refused: One fails.
        """
        self._shape = None
        names: dict[str, Any] = {"self": self._migration}
        try:
            with self.twin.db.transaction():
                for statement in statements:
                    exec(source(statement), names)
        except (MigrationError, SQLAlchemyError) as error:
            raise Refused(_said(error)) from error

    def value(self, query: str) -> Any:
        """What a query gives that has one row of one value."""
        with self.twin.db.reading() as connection:
            return connection.exec_driver_sql(query, execution_options={"no_parameters": True}).scalar()

    def names_of(self, table: str, kind: str, columns: Sequence[str]) -> list[str]:
        """The names that a server has for the constraints of a kind over these columns."""
        with self.twin.db.reading() as connection:
            known = NativeSchema(connection).catalogue.constraints(table_name(table))
        wanted = sorted(name.lower() for name in columns)
        return [one.name for one in known if one.kind == kind and sorted(c.lower() for c in one.columns) == wanted]

    def target(self) -> Target:
        """Its schema, as one to come back to."""
        with self.twin.db.reading() as connection:
            if self.dialect.name == "sqlite":
                from .stored_sqlite import of_sqlite

                return of_sqlite(connection, self.shape)
            from .reflected import of_server

            return of_server(connection, self.shape)


def _said(error: BaseException) -> str:
    """What went wrong, without what a migration would do next."""
    lines = str(getattr(error, "orig", None) or error).splitlines()
    facts = [line.strip() for line in lines[1:] if line.startswith("  ")]
    return " ".join([lines[0] if lines else type(error).__name__, *facts[:2]]).replace("; nothing was changed", "")
