"""
VersionTracker: which migrations a database has had, and the audit log of everything that was tried.

A row in the versions table whose state is applied or skipped always means that the migration is done; a row whose
state is started means that a migration which cannot run in a transaction has not finished. The highest done version
is also kept in SQLite's `PRAGMA user_version`, where other programs look for it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from sqlalchemy import delete, func, insert, inspect, select, update

from . import provenance, tracker_tables
from .backends import backend_for
from .backends.sqlite import MAX_USER_VERSION
from .connection import Database, DatabaseConnection
from .errors import ConfigurationError, CopyInterrupted, VersionMismatch

if TYPE_CHECKING:
    from sqlalchemy import Table
    from sqlalchemy.engine import Connection

    from .squashed import Between
    from .takeover import Claim

T = TypeVar("T")

__all__ = ["AppliedVersion", "DatabaseState", "VersionTracker", "half_copied"]

HISTORY_TABLE = "migration_history"
VERSIONS_TABLE = "migration_versions"


class AppliedVersion(NamedTuple):
    """One row of the versions table."""

    version: int
    description: str
    state: str
    rollback_supported: bool
    checksum: str | None
    metadata: dict[str, Any]
    applied_at: datetime | str | None
    execution_time_ms: float | None
    replaces: tuple[int, ...] = ()
    """The versions whose rows go with this one: of a squashed migration, those that were applied in its place."""

    @property
    def done(self) -> bool:
        """Whether it counts: applied or skipped."""
        return self.state != "started"


class DatabaseState(NamedTuple):
    """What a database says of itself."""

    rows: tuple[AppliedVersion, ...]
    user_version: int
    tracked: bool
    """Whether it has a history of ours: a table with rows."""

    outdated: bool = False
    """Whether its versions table is of an older form."""

    original: bool = False
    """Whether that form is the original system's."""

    claim: Claim | None = None
    """What something else says is applied, where the word is not ours; then there are no rows."""

    replaced: tuple[AppliedVersion, ...] = ()
    """The rows that a squashed migration stands for, which are not among the others."""

    folded: frozenset[int] = frozenset()
    """Their versions, those without a row as well."""

    between: Between | None = None
    """Where it has a part of what a squashed migration replaces."""

    @property
    def done(self) -> list[int]:
        """The versions that count, in order."""
        if self.claim is not None:
            return list(self.claim.versions)
        return sorted([row.version for row in self.rows if row.done] + self.inherited)

    @property
    def inherited(self) -> list[int]:
        """The versions that the original system counted without a row: all up to its `user_version`."""
        if not self.original:
            return []
        versions = [row.version for row in (*self.rows, *self.replaced)]
        first, last = min(versions), max(versions)
        # It had three digits for a version; a larger user_version is somebody else's.
        end = self.user_version if self.user_version <= 999 else last
        return [version for version in (*range(1, first), *range(last + 1, end + 1)) if version not in self.folded]

    @property
    def interrupted(self) -> list[AppliedVersion]:
        """Migrations that were started and have not finished."""
        return [row for row in self.rows if not row.done]

    @property
    def current_version(self) -> int:
        """The highest version that counts; of a database that is not tracked yet, what something else says."""
        if self.claim is not None:
            return self.claim.version
        return max(self.done, default=0) if self.tracked else self.user_version


class VersionTracker:
    """
    The versions table and the audit log of one database.

    Args:
        database: Whatever DatabaseConnection takes.
        versions_table, history_table, schema: Where the two tables are.
        lock_timeout: Seconds to wait for a database that is busy.
        statement_timeout: Seconds that a statement of a migration may take.
    """

    def __init__(
        self,
        database: Database,
        *,
        versions_table: str = VERSIONS_TABLE,
        history_table: str = HISTORY_TABLE,
        schema: str | None = None,
        lock_timeout: float = 60.0,
        statement_timeout: float | None = None,
    ) -> None:
        self.db = database if isinstance(database, DatabaseConnection) else DatabaseConnection(database)
        records = f"{schema}.{versions_table}" if schema else versions_table
        self.backend = backend_for(self.db, lock_timeout, records, statement_timeout)
        for name, value in (("versions_table", versions_table), ("history_table", history_table)):
            if not isinstance(value, str) or not value:
                raise ConfigurationError(f"{name}={value!r} cannot be used.\n  it names a table\nUse a text.")
        if versions_table.lower() == history_table.lower():
            raise ConfigurationError(
                f"versions_table and history_table are both {versions_table!r}.\n"
                "  They have different columns.\nGive them two names."
            )
        self.versions, self.history = tracker_tables.tables(
            versions_table, history_table, schema, self.db.engine.dialect.name
        )
        # Two histories in one file would overwrite each other's.
        own = versions_table == VERSIONS_TABLE and schema in (None, "main")
        self.keeps_user_version = own and self.db.engine.dialect.name == "sqlite"
        self._inserts: dict[Table, tuple[str, list[str], bool]] = {}
        self.overlooks_copy = False
        """Whether the mark of a copy into the database is none of a migration's: for the copy itself."""
        self.claims: Callable[[Connection, DatabaseState], Claim | None] | None = None
        """What else to ask which versions a database has; the manager, which knows the files, sets it."""
        self.folds: Callable[[DatabaseState], DatabaseState] | None = None
        """What takes the versions for one that a squashed migration replaces; set by the manager as well."""

    @property
    def own_tables(self) -> set[str]:
        """The tables that are records of migrations, in lower case."""
        return {self.versions.name.lower(), self.history.name.lower()}

    def get_current_version(self) -> int:
        """The version that the database is at. Read-only."""
        return self.read().current_version

    def get_applied_versions(self) -> list[int]:
        """The versions that were applied, or skipped by their own checks. Read-only."""
        return self.read().done

    def is_applied(self, version: int) -> bool:
        """Whether *version* counts as applied. Read-only."""
        return version in self.get_applied_versions()

    def create_tables_if_not_exist(self) -> None:
        """Create the two tables, or bring those of an older release or of the original system up to date."""
        with self.backend.session() as session, session.transaction():
            self.prepare(session.connection)

    def prepare(self, connection: Connection) -> None:
        """The same, in a transaction that is open."""
        state = self._read(connection)
        self._columns(connection, self.history)
        tracker_tables.prepare(connection, self.versions, self.history)
        if state.original:
            self._take_over(connection, state)

    def _take_over(self, connection: Connection, state: DatabaseState) -> None:
        """Give rows to the versions that the original system counted without one, now that its form is gone."""
        for version in state.inherited:
            row = {"version": version, "description": "applied before its history began", "metadata": {}}
            self.record(connection, row, "applied")
        if state.inherited:
            text = f"took over {len(state.inherited)} versions that had no row"
            self.log(connection, state.current_version, text, "adopt", metadata={"versions": state.inherited})
        self.set_user_version(connection, state.current_version)

    def read(self, connection: Connection | None = None) -> DatabaseState:
        """What the database says of itself. Read-only."""
        return self._reading(self._read_with_claim, connection)

    def _read_with_claim(self, connection: Connection) -> DatabaseState:
        state = self._read(connection)
        claim = self.claims(connection, state) if self.claims is not None else None
        if claim is not None:
            state = state._replace(rows=(), tracked=False, claim=claim)
        return state if self.folds is None else self.folds(state)

    def _read(self, connection: Connection) -> DatabaseState:
        columns = self._columns(connection, self.versions)
        rows = self._rows(connection, columns) if columns else ()
        if self.overlooks_copy:
            rows = tuple(row for row in rows if row.version != 0)
        return DatabaseState(
            rows,
            self._user_version(connection),
            tracked=bool(rows) or bool(columns and self._has_history(connection)),
            outdated=bool(columns) and not columns.issuperset(self.versions.columns.keys()),
            original=bool(rows) and "state" not in columns,
        )

    def check_agreement(self, state: DatabaseState) -> None:
        """
        Refuse a database whose two records of its version differ.

        Raises:
            VersionMismatch: They do.
        """
        if self.disagrees(state):
            raise VersionMismatch(self.versions.name, state.current_version, state.user_version)

    def copy_mark(self, state: DatabaseState) -> AppliedVersion | None:
        """The mark of a copy into the database that has not finished; no migration has its version, 0."""
        return next((row for row in state.interrupted if row.version == 0 and "copy" in row.metadata), None)

    def refuse_half_copied(self, state: DatabaseState) -> None:
        """
        Keep everybody's hands off a database that was never copied to its end.

        Raises:
            CopyInterrupted: It was not.
        """
        mark = self.copy_mark(state)
        if mark is not None:
            raise half_copied(self.backend.name, mark)

    def disagrees(self, state: DatabaseState) -> bool:
        """Whether a tracked database's `user_version` is not what its versions table says."""
        kept = self.keeps_user_version and state.tracked and not state.original
        return kept and state.user_version != state.current_version

    def get_migration_history(self, limit: int | None = None) -> list[dict[str, Any]]:
        """Everything that was done or tried, newest first. Read-only."""
        return self._reading(lambda connection: self._read_history(connection, limit))

    def _read_history(self, connection: Connection, limit: int | None) -> list[dict[str, Any]]:
        columns = self._columns(connection, self.history)
        if not columns:
            return []
        wanted = [column for column in self.history.columns if column.name in columns]
        newest_first = tracker_tables.newest_first(self.history, connection.dialect.name)
        query = select(*wanted).order_by(newest_first).limit(limit)
        return [{**row, "metadata": _parsed(row.get("metadata"))} for row in connection.execute(query).mappings()]

    def timings(self) -> dict[int, float]:
        """How long each migration took when it was last applied, in milliseconds. Read-only."""
        entries = [e for e in self.get_migration_history() if e["success"] and e["operation"] == "apply"]
        timed = [e for e in entries if isinstance(e["execution_time_ms"] or 0, int | float)]
        return {e["version"]: float(e["execution_time_ms"] or 0) for e in reversed(timed)}

    def mark_started(self, connection: Connection, values: Mapping[str, Any]) -> None:
        """Record that a migration begins which will not be undone when it is killed."""
        self.record(connection, values, "started")

    def mark_resumed(self, connection: Connection, version: int, metadata: str) -> None:
        """Take over a mark that another process has left; *metadata* is JSON that says whose it is now."""
        self._update(connection, version, applied_at=_now(), metadata=metadata)

    def change_mark(self, connection: Connection, version: int, token: str, metadata: str) -> None:
        """Write a mark anew, if it is the one with that token still."""
        own = (self.versions.c.version == version) & (self.versions.c.state == "started")
        own &= self.versions.c.metadata.contains(token)
        connection.execute(update(self.versions).where(own).values(metadata=metadata))

    def mark_undoing(self, connection: Connection, row: AppliedVersion, facts: Mapping[str, Any] | None = None) -> None:
        """Record that a rollback begins which will not be undone when it is killed; what it was is kept in the mark."""
        metadata = provenance.as_json({"undoing": row.state, "before": row.metadata, **(facts or {})})
        self._update(connection, row.version, state="started", applied_at=_now(), metadata=metadata)

    def unmark_undoing(self, connection: Connection, row: AppliedVersion) -> None:
        """Have a migration count again whose rollback was interrupted."""
        metadata = json.dumps(row.metadata["before"])
        self._update(connection, row.version, state=row.metadata["undoing"], metadata=metadata)

    def finish_mark(self, connection: Connection, version: int, metadata: Mapping[str, Any]) -> None:
        """Have a migration count as applied that is marked as started."""
        self._update(connection, version, state="applied", applied_at=_now(), metadata=json.dumps(metadata))

    def mark_failed(self, connection: Connection, version: int) -> None:
        """Add to a mark that what was started has failed, so that nobody waits for it."""
        for row in self.read(connection).interrupted:
            if row.version == version:
                self._update(connection, version, metadata=json.dumps({**row.metadata, "failed": True}))

    def unmark(self, connection: Connection, version: int) -> None:
        """Take such a mark away."""
        started = (self.versions.c.version == version) & (self.versions.c.state == "started")
        connection.execute(delete(self.versions).where(started))

    def record(self, connection: Connection, values: Mapping[str, Any], state: str) -> None:
        """Add a versions row: unless *state* is "started", the migration counts from now on."""
        metadata = provenance.as_json(values["metadata"])
        now = tracker_tables.as_text(_now())
        row = {"rollback_supported": False, **values, "state": state, "applied_at": now, "metadata": metadata}
        self._insert(connection, self.versions, row)

    def remove(self, connection: Connection, *versions: int) -> None:
        """Take rows of the versions table away: these migrations do not count any more."""
        connection.execute(delete(self.versions).where(self.versions.c.version.in_(versions)))

    def accept_checksum(self, connection: Connection, version: int, checksum: str, metadata: dict[str, Any]) -> None:
        """Take an applied migration's file as it is now."""
        self._update(connection, version, checksum=checksum, metadata=json.dumps(metadata))

    def _update(self, connection: Connection, version: int, **values: Any) -> None:
        connection.execute(update(self.versions).where(self.versions.c.version == version).values(**values))

    def log(
        self,
        connection: Connection,
        version: int,
        description: str,
        operation: str,
        *,
        started_at: datetime | None = None,
        execution_time_ms: float = 0.0,
        error: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        """Add a row to the audit log; *error* makes it a failure."""
        now = _now()
        row = {
            "version": version,
            "description": description,
            "operation": operation,
            "started_at": tracker_tables.as_text(started_at or now),
            "completed_at": tracker_tables.as_text(now),
            "execution_time_ms": round(execution_time_ms, 3),
            "success": error is None,
            "error_message": error,
            "metadata": provenance.as_json(metadata or {}),
        }
        self._insert(connection, self.history, row)

    def _insert(self, connection: Connection, table: Table, row: Mapping[str, Any]) -> None:
        # Compiled once and handed to the driver: SQLAlchemy's way to an INSERT takes longer than SQLite's.
        if table not in self._inserts:
            keys = [column.name for column in table.columns if not column.primary_key]
            compiled = insert(table).compile(dialect=connection.dialect, column_keys=keys)
            self._inserts[table] = str(compiled), list(compiled.positiontup or keys), bool(compiled.positional)
        sql, keys, positional = self._inserts[table]
        _run(connection, sql, tuple(map(row.get, keys)) if positional else {key: row.get(key) for key in keys})

    def set_user_version(self, connection: Connection, version: int) -> None:
        """Keep `PRAGMA user_version` in step."""
        if self.keeps_user_version:
            self.check_version(version)
            _run(connection, f"PRAGMA main.user_version = {version}")

    def check_version(self, version: int) -> None:
        """
        Refuse a version that cannot be kept.

        Raises:
            ConfigurationError: SQLite would store 0 for it.
        """
        if self.keeps_user_version and version > MAX_USER_VERSION:
            raise ConfigurationError(
                f"Version {version} is too large for PRAGMA user_version.\n"
                f"  SQLite keeps numbers up to {MAX_USER_VERSION:,} there and stores 0 for larger ones\n"
                "Give the migration a smaller number, or keep the history elsewhere: versions_table=..."
            )

    def highest_done(self, connection: Connection) -> int:
        """The highest version that counts."""
        done = select(func.max(self.versions.c.version)).where(self.versions.c.state != "started")
        return connection.execute(done).scalar() or 0

    def _reading(self, action: Callable[[Connection], T], connection: Connection | None = None) -> T:
        """*action* on *connection*, else on the one at hand, else on one for the time of the read."""
        if connection is not None:
            return action(connection)

        def read() -> T:
            with self.db.reading() as own:
                return action(own)

        return self.backend.read(read)

    def _columns(self, connection: Connection, table: Table) -> set[str]:
        """
        The columns of one of the two tables; none where it is not there.

        Raises:
            ConfigurationError: A table of that name is the application's own.
        """
        inspector = inspect(connection)
        if not inspector.has_table(table.name, schema=table.schema):
            return set()
        columns = {column["name"] for column in inspector.get_columns(table.name, schema=table.schema)}
        wanted = {"version"} if table is self.versions else {"version", "operation", "success"}
        if not columns >= wanted:
            raise ConfigurationError(
                f"The table {table.name} is there, and is none of sqlmig's.\n"
                f"  it has no column {', '.join(sorted(wanted - columns))}; nothing was changed\n"
                'Keep the records elsewhere: Migrator(..., versions_table="...", history_table="...")'
            )
        return columns

    def _has_history(self, connection: Connection) -> bool:
        if not self._columns(connection, self.history):
            return False
        done = select(self.history.c.version).where(self.history.c.success.is_(True)).limit(1)
        return connection.execute(done).first() is not None

    def _rows(self, connection: Connection, columns: Iterable[str]) -> tuple[AppliedVersion, ...]:
        table = self.versions
        wanted = [table.c[name] for name in AppliedVersion._fields if name in columns and name in table.c]
        query = select(*wanted).order_by(table.c.version)
        if connection.dialect.name == "sqlite":
            # A row without a number, made by hand, tells of no migration.
            query = query.where(func.typeof(table.c.version) == "integer")
        found = connection.execute(query).mappings()
        blank = dict.fromkeys(AppliedVersion._fields) | {"state": "applied", "description": "", "replaces": ()}
        return tuple(AppliedVersion(**{**blank, **row, "metadata": _parsed(row.get("metadata"))}) for row in found)

    def _user_version(self, connection: Connection) -> int:
        if not self.keeps_user_version:
            return 0
        return int(connection.exec_driver_sql("PRAGMA main.user_version").scalar() or 0)


def half_copied(database: str, mark: AppliedVersion) -> CopyInterrupted:
    """The error for a database that has the mark of a copy."""
    facts, copy = mark.metadata, mark.metadata["copy"]
    started = f"{mark.applied_at} by process {facts.get('pid')} of {facts.get('user')} on {facts.get('host')}"
    return CopyInterrupted(database, copy.get("source", "SOURCE"), copy.get("target", "TARGET"), started)


def _run(connection: Connection, sql: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> None:
    cursor = connection.connection.cursor()
    cursor.execute(sql, values)
    cursor.close()


def _now() -> datetime:
    return datetime.now(UTC)


def _parsed(text: Any) -> dict[str, Any]:
    """Metadata as a dict; what somebody else wrote there is kept under "text"."""
    if not text:
        return {}
    try:
        value = json.loads(text)
    except (TypeError, ValueError):
        return {"text": text}
    return value if isinstance(value, dict) else {"value": value}
