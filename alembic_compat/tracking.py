"""Which revisions a database has: Alembic's own table says it, and our rows follow."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from alembic.runtime.migration import MigrationContext
from sqlalchemy import String, column, delete, insert, inspect, select, table
from sqlalchemy.exc import OperationalError, ProgrammingError

from sqlmig import ConfigurationError, VersionTracker
from sqlmig.version_tracker import AppliedVersion, DatabaseState

from .history import History, title
from .records import history_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.engine import Connection

__all__ = ["RevisionTracker"]


class RevisionTracker(VersionTracker):
    """
    The records of an Alembic history.

    `alembic_version` is what both tools go by. A row of ours is of a revision, which its metadata names; its number is
    the place of that revision now.
    """

    def __init__(
        self,
        database: Any,
        history: Callable[[], History],
        version_table: str,
        version_schema: str | None,
        **options: Any,
    ) -> None:
        super().__init__(database, **options)
        self._told = history
        self.keeps_user_version = False
        self.heads_table = table(version_table, column("version_num", String), schema=version_schema)

    @property
    def own_tables(self) -> set[str]:
        """Alembic's as well."""
        return super().own_tables | {self.heads_table.name.lower()}

    @property
    def revisions(self) -> History:
        """The revisions."""
        return self._told()

    def heads(self, connection: Connection) -> list[str]:
        """What Alembic's table holds."""
        place = self.heads_table
        if not inspect(connection).has_table(place.name, schema=place.schema):
            return []
        try:
            return sorted(str(row[0]) for row in connection.execute(select(place.c.version_num)))
        except (OperationalError, ProgrammingError) as error:
            columns = ", ".join(column["name"] for column in inspect(connection).get_columns(place.name, place.schema))
            raise ConfigurationError(
                f"The table {place.fullname} is not one that Alembic made; nothing was changed.\n"
                f"  It has {columns}, and no version_num\n"
                "Name the table that the project uses: version_table=..., or put that one out of the way."
            ) from error

    def _read(self, connection: Connection) -> DatabaseState:
        stored = super()._read(connection)
        others = [row for row in stored.rows if history_of(json.dumps(row.metadata)) != self.heads_table.fullname]
        if others:
            raise ConfigurationError(
                f"The table {self.versions.name} has the records of another history; nothing was changed.\n"
                f"  row {others[0].version} ({others[0].description}) is not of {self.heads_table.fullname}\n"
                "Give this one tables of its own: AlembicMigrator(..., versions_table=..., history_table=...)"
            )
        done = self.revisions.closure(self.heads(connection), self.heads_table.fullname)
        rows = self._rows_of(stored.rows, done)
        kept = {(row.version, row.metadata.get("revision")) for row in rows if row.applied_at is not None}
        found = {(row.version, row.metadata.get("revision")) for row in stored.rows}
        agrees = kept == found and len(kept) == len(rows)
        return stored._replace(
            rows=tuple(rows),
            user_version=max(done, default=0),
            tracked=stored.tracked or bool(done),
            outdated=stored.outdated or not agrees,
            original=False,
        )

    def _rows_of(self, stored: Iterable[AppliedVersion], done: set[int]) -> list[AppliedVersion]:
        """Our rows as the heads have them: those of other revisions left out, those that are missing made up."""
        version_of = self.revisions.version_of
        known = {row.metadata.get("revision"): row for row in stored}
        rows = []
        for name, version in version_of.items():
            row = known.get(name)
            if row is not None and (version in done or not row.done):
                rows.append(row._replace(version=version))
            elif version in done:
                rows.append(self._made_up(version))
        return sorted(rows, key=lambda row: row.version)

    def _made_up(self, version: int) -> AppliedVersion:
        script = self.revisions.script(version)
        metadata = {"revision": script.revision, "version_table": self.heads_table.fullname, "adopted": True}
        return AppliedVersion(version, title(script), "applied", True, None, metadata, None, None)

    def reconcile(self, connection: Connection, *, log: bool = True) -> None:
        """Write our rows anew where they are not what Alembic's table says, a history row for each that it changed."""
        state, stored = self._read(connection), super()._read(connection).rows
        if not state.outdated:
            return
        self._renumber(connection, state.rows)
        names = {row.metadata.get("revision") for row in stored}
        for row in state.rows:
            if row.applied_at is None and row.done:
                script = self.revisions.script(row.version)
                facts = {"version": row.version, "description": row.description, "metadata": dict(row.metadata)}
                self.record(connection, {**facts, "rollback_supported": True}, "applied")
                if log and script.revision not in names:
                    text = f"{row.description} (applied by Alembic)"
                    self.log(connection, row.version, text, "adopt", metadata={"by": "alembic"})
        kept = {row.metadata.get("revision") for row in state.rows}
        for row in stored:
            revision = row.metadata.get("revision")
            if log and revision in self.revisions.version_of and revision not in kept:
                text = f"{row.description} (rolled back by Alembic)"
                version = self.revisions.version_of[revision]
                self.log(connection, version, text, "rollback", metadata={"by": "alembic"})

    def _renumber(self, connection: Connection, rows: Iterable[AppliedVersion]) -> None:
        """Keep what is in the rows that stay, under the numbers that they have now."""
        stays = [row for row in rows if row.applied_at is not None]
        connection.execute(delete(self.versions))
        for row in stays:
            values = {name: value for name, value in row._asdict().items() if name in self.versions.c}
            values["metadata"] = json.dumps(row.metadata)
            if not isinstance(row.applied_at, datetime | str):
                values["applied_at"] = None
            connection.execute(insert(self.versions).values(**values))

    def record(self, connection: Connection, values: Mapping[str, Any], state: str) -> None:
        """Add a versions row, which tells what history it is of."""
        metadata = {**values["metadata"], "version_table": self.heads_table.fullname}
        super().record(connection, {**values, "metadata": metadata}, state)

    def write_heads(self, connection: Connection, heads: Iterable[str]) -> None:
        """Have Alembic's table hold these, where nothing was run."""
        place = self.heads_table
        self.ensure_heads_table(connection)
        connection.execute(delete(place))
        for head in heads:
            connection.execute(insert(place).values(version_num=head))

    def ensure_heads_table(self, connection: Connection) -> None:
        """Make Alembic's table as Alembic makes it."""
        options = {"version_table": self.heads_table.name, "version_table_schema": self.heads_table.schema}
        MigrationContext.configure(connection, opts=options)._ensure_version_table()

    def highest_done(self, connection: Connection) -> int:
        """The highest version that counts."""
        return max(self._read(connection).done, default=0)

    def log(
        self,
        connection: Connection,
        version: int,
        description: str,
        operation: str,
        *,
        metadata: Mapping[str, Any] | None = None,
        **values: Any,
    ) -> None:
        """Add a row to the audit log, with the revision that the version stands for."""
        facts = dict(metadata or {})
        if 0 < version <= len(self.revisions.order):
            facts.setdefault("revision", self.revisions.script(version).revision)
        super().log(connection, version, description, operation, metadata=facts, **values)
