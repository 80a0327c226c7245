"""A migration in plain SQL as the class that every migration is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .base import BaseMigration
from .template import class_name

if TYPE_CHECKING:
    from .sources import MigrationFile
    from .sql_files import SqlFile, SqlStatement

__all__ = ["SqlMigration", "migration_class"]


class SqlMigration(BaseMigration):
    """Runs the sections of its file, one statement after the other, so that an error names the line of its own."""

    _in_sql = True
    _file: MigrationFile
    _up: Sequence[SqlStatement]
    _down: Sequence[SqlStatement]

    def up(self) -> None:
        """Run the section `up` that is for this database."""
        self._run_section(self._up)

    def down(self) -> None:
        """Run the section `down` that is for this database."""
        self._run_section(self._down)

    def _run_section(self, statements: Sequence[SqlStatement]) -> None:
        for statement in statements:
            self._place = (self._file.path, statement.line)
            self.execute_sql(statement.text).close()
        self._place = None


def migration_class(file: MigrationFile, read: SqlFile) -> type[SqlMigration]:
    """The class of a file, with what its directives say."""
    said = {
        "__doc__": read.description or file.title,
        "version": file.version,
        "description": read.description,
        "dependencies": read.depends,
        "transactional": read.transactional,
        "removes": read.removes,
        "rollback_supported": read.down is not None,
        "_file": file,
        "_up": read.up.statements,
        "_down": read.down.statements if read.down is not None else (),
    }
    return type(class_name(file.title, file.version), (SqlMigration,), said)
