"""
A snapshot brought back into the live database, in one transaction of it.

What pg_restore would send to the server goes through the connection that holds the lock: what is there is dropped, what
was there is made again, and the record of it is written, together or not at all. Whoever is killed in it leaves the
database as it was, and connections that are open see the old content until it commits.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, insert, inspect, select

from ... import records
from ...backends.raw import ask_any
from ...errors import ConfigurationError, DatabaseLocked, MigrationError, RestoreFailed, SnapshotUnusable
from ...execution import reason
from ...provenance import is_running
from ...results import MigrationResult
from ...run import Clock, Run
from ..shelf import taken_at_of
from .archive import Archive
from .clearing import clear
from .snapshots import state_in
from .statements import awaited_driver, literal, run, wait_for
from .tools import ToolFailed, require_tools

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from ...backends.session import Session
    from ...manager import MigrationManager
    from ...run import Progress
    from ...version_tracker import DatabaseState

__all__ = ["Restore"]

_BY_HAND = "See which snapshots there are: sqlmig snapshots. If it is meant, use pg_restore while nothing runs."
_SETTINGS = "SELECT name, setting FROM pg_settings WHERE context IN ('user', 'superuser')"
_NAME = re.compile(r'"(?:[^"]|"")*"|[^\s.,"]+')
_COPY = re.compile(r"COPY (?P<table>.*?) \((?P<columns>.*)\) FROM stdin;\n", re.DOTALL)
_TABLES = """
SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
    AND NOT EXISTS (
        SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')"""


class Restore:
    """
    One restore of one database.

    Args:
        manager: What knows the database, its records and its files.
        path: The snapshot, or any other archive of the database in pg_dump's custom format.
        expected: The version that it must have, where a rollback asks for it.
    """

    def __init__(self, manager: MigrationManager, path: Path, expected: int | None, progress: Progress | None) -> None:
        self.manager, self.path, self.expected = manager, path, expected
        self.tracker = manager.version_tracker
        self.backend = self.tracker.backend
        self._archive = Archive(path)
        self._run = Run(self.tracker, "restore", progress=progress)
        self._clock = Clock()

    def __call__(self) -> MigrationResult:
        with self._run.recording_refusals():
            self._inspect()
        with self.backend.session() as session, self._run.recording(session), self._worded():
            session.require_own_transactions("A snapshot or a restore")
            with session.transaction():
                session.require_writable()
                live = self._refuse_live(session)
                past = self._past(session.connection)
                with _settings_kept(session.raw):
                    self._replace(session.raw)
                state = self._settle(session.connection, live, past)
        return self._result(live, state)

    def _inspect(self) -> None:
        """Refuse what is no archive of these migrations, before anything is written."""
        require_tools("A restore")
        if not self.path.is_file():
            raise SnapshotUnusable(self.path, "it is a folder" if self.path.is_dir() else "there is no such file")
        self._run.tell("restore: verifying the snapshot")
        try:
            self._archive.verify()
            self._state = state_in(self.path, self.tracker)
        except ToolFailed as error:
            raise SnapshotUnusable(self.path, f"pg_restore cannot read it: {error}") from error
        self._refuse(self._state)

    def _refuse(self, state: DatabaseState) -> None:
        newest = self.manager.get_target_version()
        if state.current_version > newest:
            raise SnapshotUnusable(
                self.path,
                f"it is at version {state.current_version}, newer than the newest migration file, version {newest}",
                f"Run the release of the application that has migration {state.current_version}.",
            )
        self.manager.refuse_unknown(state)
        if self.expected is not None and state.current_version != self.expected:
            raise SnapshotUnusable(self.path, f"it is at version {state.current_version}, not {self.expected}")
        if self.expected is not None and state.interrupted:
            version = state.interrupted[0].version
            raise SnapshotUnusable(self.path, f"it was taken while migration {version} had got half way")

    def _refuse_live(self, session: Session) -> DatabaseState:
        """
        What the database says of itself before it is replaced.

        Raises:
            SnapshotUnusable: The archive is another application's.
            DatabaseLocked: A process that lives is in a migration outside a transaction.
        """
        live = self.tracker.read(session.connection)
        checksums = {row.version: row.checksum for row in live.rows if row.done and row.checksum is not None}
        for row in self._state.rows:
            if row.done and row.checksum is not None and checksums.get(row.version, row.checksum) != row.checksum:
                why = f"its migration {row.version} is another than that of the database"
                raise SnapshotUnusable(self.path, why, _BY_HAND)
        self._refuse_parts(session, bool(checksums))
        for row in live.interrupted:
            if is_running(row.metadata) and not row.metadata.get("failed"):
                raise DatabaseLocked(
                    self.backend.name,
                    0,
                    f"process {row.metadata['pid']} is running migration {row.version} outside a transaction",
                    "Let it finish, or end it, then restore.",
                )
        if ask_any(
            session.raw,
            "SELECT 1 FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid"
            " WHERE d.datname = current_database() LIMIT 1",
        ):
            raise ConfigurationError(
                f"The database {self.backend.name} has a subscription, whose tables a restore would drop.\n"
                "  Nothing was changed.\nDrop the subscription, restore, and make it again."
            )
        return live

    def _refuse_parts(self, session: Session, tracked: bool) -> None:
        """Refuse an archive of another database, or without the rows of one: what is there would be gone for it."""
        there = {f"{schema} {table}" for schema, table in ask_any(session.raw, _TABLES)} & self._archive.named("TABLE")
        for name in sorted(there - self._archive.named("TABLE DATA")):
            why = f"it has the table {name.replace(' ', '.', 1)} without its rows"
            raise SnapshotUnusable(self.path, why, _BY_HAND)
        if tracked and not self._state.tracked and not there:
            raise SnapshotUnusable(self.path, "it shares no table with the database: it is another one's", _BY_HAND)

    def _past(self, connection: Connection) -> list[dict[str, Any]]:
        """The rows of the history, in the order in which they were written."""
        history = self.tracker.history
        if not inspect(connection).has_table(history.name, schema=history.schema):
            return []
        return [dict(row) for row in connection.execute(select(history).order_by(history.c.id)).mappings()]

    def _replace(self, raw: Any) -> None:
        """Drop what is there, and make what was there."""
        patience = max(1, int(self.backend.lock_timeout * 1000))
        # Whoever uses a table keeps it from being dropped, and whoever is making one of its name from its being made.
        run(raw, f"SET LOCAL lock_timeout = {patience}; SET LOCAL statement_timeout = 0")
        self._run.tell("restore: clearing the database")
        self._archive.leave_out(*clear(raw, self._archive.extensions))
        self._run.tell("restore: making its tables")
        self._send(raw, self._archive.section("pre-data"))
        with self._archive.rows() as statements:
            for sql, lines in statements:
                if sql.startswith(b"COPY "):
                    self._run.tell(f"restore: {sql.decode(errors='replace').split(' ', 2)[1]}")
                    _copy(raw, sql, lines)
                else:
                    run(raw, sql)
        self._run.tell("restore: making its indexes")
        self._send(raw, self._archive.section("post-data"))
        self._send(raw, self._archive.last())

    def _send(self, raw: Any, statements: Iterator[bytes]) -> None:
        for sql in statements:
            run(raw, sql)

    def _settle(self, connection: Connection, live: DatabaseState, past: list[dict[str, Any]]) -> DatabaseState:
        """
        Its records in the form that they have today, with the history of all since.

        Raises:
            SnapshotUnusable: It is not what it was taken for.
        """
        state = self.tracker.read(connection)
        self._refuse(state)
        self.tracker.prepare(connection)
        if state.claim is not None:
            records.adopt(connection, self.manager, state.claim)
        for row in state.interrupted:
            # Nobody is at work in what is restored, though the process that was may live.
            self.tracker.mark_failed(connection, row.version)
        self._append_missing(connection, past)
        self.tracker.log(
            connection,
            state.current_version,
            f"restored version {state.current_version} over version {live.current_version}",
            "restore",
            started_at=self._clock.started_at,
            execution_time_ms=self._clock.milliseconds,
            metadata={
                "file": str(self.path),
                "taken_at": taken_at_of(self.path).isoformat(),
                "from_version": live.current_version,
                "to_version": state.current_version,
            },
        )
        return state

    def _append_missing(self, connection: Connection, past: list[dict[str, Any]]) -> None:
        """A row is the same where all is the same but its number, which it keeps where that is the next."""
        history = self.tracker.history
        there = [dict(row) for row in connection.execute(select(history)).mappings()]
        newest = max((row["id"] for row in there), default=0)
        mine = Counter(_without_id(row) for row in there)
        missing = []
        for row in past:
            if mine[_without_id(row)]:
                mine[_without_id(row)] -= 1
                continue
            newest = max(newest + 1, row["id"])
            missing.append({**row, "id": newest})
        if missing:
            connection.execute(insert(history), missing)
        name = connection.dialect.identifier_preparer.format_table(history)
        sequence = func.pg_get_serial_sequence(name, "id")
        connection.execute(select(func.setval(sequence, max(newest, 1), newest > 0)))

    def _result(self, live: DatabaseState, state: DatabaseState) -> MigrationResult:
        return MigrationResult(
            success=True,
            direction="restore",
            from_version=live.current_version,
            to_version=state.current_version,
            applied=[],
            skipped=[],
            rolled_back=sorted(set(live.done) - set(state.done), reverse=True),
            execution_time_ms=round(self._clock.milliseconds, 3),
            snapshot=self.path,
        )

    @contextmanager
    def _worded(self) -> Iterator[None]:
        """Typed errors for what the server says, and pg_restore."""
        try:
            yield
        except MigrationError:
            raise
        except ToolFailed as error:
            raise RestoreFailed(self.backend.name, self.path, str(error)) from error
        except Exception as error:
            origin = getattr(error, "orig", error)
            if not isinstance(origin, self.backend.engine.dialect.loaded_dbapi.Error):
                raise
            raise self.backend.translate(error, "the restore") or RestoreFailed(
                self.backend.name, self.path, reason(error)
            ) from error


@contextmanager
def _settings_kept(raw: Any) -> Iterator[None]:
    """Give the connection back the settings that it came with: an archive sets some for the session."""
    before = dict(ask_any(raw, _SETTINGS))
    yield
    # Before anything is read: under SQL_ASCII psycopg takes no name for a text.
    run(raw, f"SET client_encoding = {literal(before['client_encoding'])}")
    for name, setting in ask_any(raw, _SETTINGS):
        if before.get(name, setting) != setting:
            run(raw, f"SELECT set_config({literal(name)}, {literal(before[name])}, false)")


def _copy(raw: Any, sql: bytes, lines: Iterator[bytes]) -> None:
    first = next(lines, None)
    if first is None:
        # An extension's table may be another user's, who gives nobody the right to write.
        return
    lines = chain([first], lines)
    driver = awaited_driver(raw)
    if driver is not None:
        wait_for(_copy_awaited(driver, sql, lines))
        return
    cursor = raw.cursor()
    try:
        if hasattr(cursor, "copy"):
            with cursor.copy(sql) as copy:
                for line in lines:
                    copy.write(line)
        else:
            cursor.copy_expert(sql, _Readable(lines))
    finally:
        cursor.close()


async def _copy_awaited(driver: Any, sql: bytes, lines: Iterator[bytes]) -> None:
    if not hasattr(driver, "copy_to_table"):
        async with driver.cursor() as cursor, cursor.copy(sql) as copy:
            for line in lines:
                await copy.write(line)
        return
    # asyncpg writes the statement by itself, and reads in a thread.
    found = _COPY.fullmatch(sql.decode())
    assert found is not None
    schema, table = map(_bare, _NAME.findall(found["table"]))
    columns = list(map(_bare, _NAME.findall(found["columns"])))
    await driver.copy_to_table(table, schema_name=schema, columns=columns, source=_Readable(lines))


def _bare(name: str) -> str:
    return name[1:-1].replace('""', '"') if name.startswith('"') else name


class _Readable:
    """Lines as a file that psycopg2 and asyncpg read."""

    def __init__(self, lines: Iterator[bytes]) -> None:
        self._lines, self._rest = lines, b""

    def read(self, size: int) -> bytes:
        while len(self._rest) < size:
            line = next(self._lines, None)
            if line is None:
                break
            self._rest += line
        given, self._rest = self._rest[:size], self._rest[size:]
        return given


def _without_id(row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(value for name, value in row.items() if name != "id")
