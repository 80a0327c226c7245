"""What the migrations lead to, to be begun with as often as wanted."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

from ..drift.check import migrated_database
from ..drift.scratch import empty_database, twin_on
from ..safety.source import files_of

if TYPE_CHECKING:
    from ..migrator import Migrator

__all__ = ["Start"]


class Start:
    """
    The Migrator on scratch databases at the version before a new migration.

    Args:
        version: 0 for none.
    """

    def __init__(self, migrator: Migrator, version: int) -> None:
        self.migrator, self.version = migrator, version
        self._copy: sqlite3.Connection | None = None

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Within it, the migrations are run once, where a database can be copied in no time."""
        if self.migrator.db.engine.dialect.name != "sqlite":
            yield
            return
        with closing(sqlite3.connect(":memory:", check_same_thread=False)) as copy:
            with self._migrated() as twin:
                # A file that is attached would have to be copied by itself.
                if list(files_of(self._raw(twin))) == ["main"]:
                    self._raw(twin).backup(copy)
                    self._copy = copy
            try:
                yield
            finally:
                self._copy = None

    @contextmanager
    def again(self) -> Iterator[Migrator]:
        """
        The Migrator on a scratch database of its own.

        Raises:
            CheckImpossible: The migrations fail there.
        """
        if self._copy is None:
            with self._migrated() as twin:
                yield twin
            return
        with empty_database(self.migrator) as engine:
            twin = twin_on(self.migrator, engine)
            self._copy.backup(self._raw(twin))
            yield twin

    @contextmanager
    def _migrated(self) -> Iterator[Migrator]:
        with migrated_database(self.migrator, self.version) as twin:
            yield twin

    @staticmethod
    def _raw(twin: Migrator) -> Any:
        """The only connection to a database in memory, by its driver."""
        pooled = twin.db.engine.raw_connection()
        try:
            return pooled.dbapi_connection
        finally:
            pooled.close()
