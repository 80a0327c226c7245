"""
A snapshot brought back into the live database.

It goes through SQLite's backup API into the file that is there: connections of other processes keep it open, and a
file put in its place by a rename would not be theirs. One transaction of SQLite replaces the content, so that a
process killed in it leaves the old content or the new one.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..backends.sqlite import ask, pragma, primary_code
from ..errors import DatabaseLocked, DiskFull, MigrationError, NotADatabase, RestoreFailed, SnapshotUnusable
from ..execution import reason
from ..results import MigrationResult
from ..run import Clock, Run
from .copying import (
    StayedBusy,
    another_connection,
    connected,
    copy_pages,
    damage_in,
    damage_of,
    main_file,
    open_to_read,
)
from .image import Image, Past, read_past
from .shelf import Shelf, taken_at_of
from .snapshots import blaming, require_alone, require_room
from .source import size_of

if TYPE_CHECKING:
    from ..backends.session import Session
    from ..manager import MigrationManager
    from ..run import Progress
    from ..version_tracker import DatabaseState

__all__ = ["Restore"]


_BY_HAND = "See which snapshots there are: sqlmig snapshots. If it is meant, copy it over the file while nothing runs."


class _About(NamedTuple):
    """What tells whether two files are of one database."""

    encoding: str
    application_id: int
    tables: frozenset[str]
    checksums: dict[int, str]

    @classmethod
    def of(cls, raw: Any, state: DatabaseState) -> _About:
        names = ask(raw, "SELECT lower(name) FROM main.sqlite_master WHERE type = 'table'")
        tables = frozenset(name for (name,) in names if not name.startswith(("sqlite_", "migration_")))
        checksums = {row.version: row.checksum for row in state.rows if row.done and row.checksum is not None}
        return cls(pragma(raw, "encoding"), pragma(raw, "main.application_id"), tables, checksums)


class _Overtaken(Exception):
    """Another connection has committed since the image was finished."""


class Restore:
    """
    One restore of one database.

    Args:
        manager: What knows the database, its records and its files.
        path: The snapshot, or any other copy of the database.
        expected: The version that it must have, where a rollback asks for it.
    """

    def __init__(self, manager: MigrationManager, path: Path, expected: int | None, progress: Progress | None) -> None:
        self.manager, self.path, self.expected = manager, path, expected
        self.tracker = manager.version_tracker
        self.backend = self.tracker.backend
        self._run = Run(self.tracker, "restore", progress=progress)
        self._clock = Clock()

    def __call__(self) -> MigrationResult:
        with self._run.recording_refusals(), blaming(self.path):
            self._inspect()
        with self._open() as session, self._run.recording(session), self._worded():
            require_alone(self.manager, session)
            file = main_file(session.raw)
            self._refuse_live(file)
            self._refuse_foreign(session)
            # What would be refused at the end is refused before the work: a lock, a file that is read-only.
            with session.transaction():
                session.require_writable()
            with self._image(session, file) as image:
                past = self._replace(session, file, image)
            self._settle(session)
            return self._result(past, image)

    @contextmanager
    def _open(self) -> Iterator[Session]:
        """
        The live database.

        Raises:
            RestoreFailed: It is damaged so that it cannot even be opened.
        """
        with ExitStack() as stack:
            try:
                session = stack.enter_context(self.backend.session())
            except NotADatabase as error:
                file = self.backend.name
                raise RestoreFailed(
                    file,
                    self.path,
                    "it is too damaged to be opened",
                    hint=f"Stop the programs that use it, move {file}, {file}-wal and {file}-shm away, and restore"
                    f" again: sqlmig restore {self.path}",
                ) from error
            yield session

    def _inspect(self) -> None:
        """Refuse what is no database of these migrations, before anything is written."""
        path = self.path
        if not path.is_file():
            raise SnapshotUnusable(path, "it is a folder" if path.is_dir() else "there is no such file")
        if not os.access(path, os.R_OK):
            raise SnapshotUnusable(path, "this user may not read it", f"Look at it: ls -l {path}")
        journal = Path(f"{path}-journal")
        unfinished = 0
        with suppress(FileNotFoundError):
            unfinished = journal.stat().st_size
        if unfinished and not self._is_in_use(path):
            hint = f"Open it once, so that SQLite undoes what was interrupted in it: sqlite3 {path} .schema"
            raise SnapshotUnusable(path, f"{journal.name} beside it holds an unfinished transaction of it", hint)
        with closing(open_to_read(path)) as raw:
            if not pragma(raw, "schema_version") and not size_of(raw):
                raise SnapshotUnusable(path, "it is empty")
            if not Path(f"{path}-wal").exists() and path.stat().st_size != size_of(raw):
                raise SnapshotUnusable(path, "it is not as long as it says, so that it was cut off or added to")
            with connected(raw) as connection:
                state = self.tracker.read(connection)
            self._about = _About.of(raw, state)
        newest = self.manager.get_target_version()
        if state.current_version > newest:
            raise SnapshotUnusable(
                path,
                f"it is at version {state.current_version}, newer than the newest migration file, version {newest}",
                f"Run the release of the application that has migration {state.current_version}.",
            )
        self.manager.refuse_unknown(state)
        if self.expected is not None and state.current_version != self.expected:
            raise SnapshotUnusable(path, f"it is at version {state.current_version}, not {self.expected}")
        if self.expected is not None and state.interrupted:
            version = state.interrupted[0].version
            raise SnapshotUnusable(path, f"it was taken while migration {version} had got half way")

    def _is_in_use(self, path: Path) -> bool:
        """Whether a process is at work in the file, whose journal is none that was left."""
        with closing(open_to_read(path)) as raw:
            try:
                raw.execute("SELECT count(*) FROM sqlite_master").fetchone()
            except sqlite3.OperationalError as error:
                return primary_code(error) == sqlite3.SQLITE_BUSY
        return True

    def _refuse_foreign(self, session: Session) -> None:
        """
        Leave the live database as it is where the file is of another application, or cannot take its place.

        Raises:
            SnapshotUnusable: It is.
        """
        try:
            live = _About.of(session.raw, self.tracker.read(session.connection))
        except Exception as error:
            origin = getattr(error, "orig", getattr(error.__cause__, "orig", error))
            if not isinstance(origin, sqlite3.Error) or primary_code(origin) != sqlite3.SQLITE_CORRUPT:
                raise
            # A database that is damaged is what a restore is for.
            return
        if not live.tables:
            return
        if self._about.encoding != live.encoding:
            why = f"its texts are {self._about.encoding}, those of the database {live.encoding}"
            raise SnapshotUnusable(self.path, f"{why}, and connections that are open could not read it")
        if self._about.application_id != live.application_id:
            why = f"its application_id is {self._about.application_id}, that of the database {live.application_id}"
            raise SnapshotUnusable(self.path, f"{why}: it is another application's", _BY_HAND)
        for version, checksum in self._about.checksums.items():
            if live.checksums.get(version, checksum) != checksum:
                why = f"its migration {version} is another than that of the database"
                raise SnapshotUnusable(self.path, why, _BY_HAND)
        if live.checksums and not self._about.checksums and not self._about.tables & live.tables:
            raise SnapshotUnusable(self.path, "it shares no table with the database: it is another one's", _BY_HAND)

    def _refuse_live(self, file: Path | None) -> None:
        if file is not None and file.exists() and os.path.samefile(file, self.path):
            raise SnapshotUnusable(self.path, "it is the live database itself")

    @contextmanager
    def _image(self, session: Session, file: Path | None) -> Iterator[Image]:
        """A copy of the snapshot, verified, that can be written to; in memory for a database in memory."""
        with ExitStack() as stack:
            with blaming(self.path):
                source = stack.enter_context(closing(open_to_read(self.path)))
                copied: Path | None = None
                if file is not None:
                    shelf = Shelf(file.parent, file.name)
                    shelf.sweep()
                    copied = stack.enter_context(shelf.unfinished(file))
                    self._require_room(session.raw, source, file)
                raw = stack.enter_context(closing(sqlite3.Connection(str(copied or ":memory:"), isolation_level=None)))
                self._read_into(raw, source)
                damage = damage_in(raw, "main") if copied is None else damage_of(copied, self.backend, session.raw)
                if damage is not None:
                    raise SnapshotUnusable(self.path, f"it is damaged: {damage}")
                image = Image(raw, self.manager)
            yield image

    def _read_into(self, raw: sqlite3.Connection, source: sqlite3.Connection) -> None:
        tell = self._run.tell
        raw.execute("PRAGMA synchronous = OFF")
        # One moment, also where somebody writes to it: it may be any copy of the database.
        source.execute("BEGIN")
        source.execute("SELECT count(*) FROM sqlite_master").fetchone()
        copy_pages(source, raw, patience=self.backend.lock_timeout, tell=lambda p: tell(f"restore: reading, {p} %"))
        source.execute("ROLLBACK")
        # The live database keeps the journal mode that it has.
        raw.execute("PRAGMA journal_mode = DELETE")
        tell("restore: verifying")

    def _require_room(self, live: Any, source: Any, file: Path) -> None:
        """For the image, for what SQLite keeps to undo it all, and for what the database grows by."""
        new, old = size_of(source), size_of(live)
        journal = new if _has_wal(live) else old
        require_room(self.backend.name, file.parent, new + journal + max(0, new - old), "the restore")

    def _replace(self, session: Session, file: Path | None, image: Image) -> Past:
        """The content and its record, in one transaction of the live database."""
        live = session.raw
        if file is None or pragma(live, "main.locking_mode") == "exclusive":
            # Nobody else is there.
            return self._finish(session, image, live)
        if not _has_wal(live):
            with self._others_kept_out(session):
                return self._finish(session, image, live)
        if pragma(live, "main.page_size") != pragma(image.raw, "main.page_size"):
            with self._without_wal(session), self._others_kept_out(session):
                return self._finish(session, image, live)
        with another_connection(self.backend, live) as other:
            if other is None:
                return self._finish(session, image, live)
            return self._replace_under_wal(session, image, other)

    def _finish(self, session: Session, image: Image, live: Any) -> Past:
        self.backend.patiently(lambda: live.execute("BEGIN IMMEDIATE"))
        try:
            past = read_past(live, session.connection, self.manager)
        finally:
            # Nothing was written, and a COMMIT would tell of the damage that was met.
            live.execute("ROLLBACK")
        self._complete(image, past)
        self._copy(image, live)
        return past

    def _replace_under_wal(self, session: Session, image: Image, other: Any) -> Past:
        """
        *other* reads the history and holds the lock while the image gets it.

        The lock is given up before the copy takes it. Where somebody has written in between, it begins anew.
        """
        deadline = time.monotonic() + self.backend.lock_timeout
        while True:
            # Closed, a Connection rolls back.
            with connected(other) as connection:
                self.backend.patiently(lambda: other.execute("BEGIN IMMEDIATE"))
                past = read_past(other, connection, self.manager)
                self._complete(image, past)
                seen = pragma(other, "main.data_version")

            def locked(seen: int = seen) -> None:
                if pragma(other, "main.data_version") != seen:
                    raise _Overtaken

            try:
                self._copy(image, session.raw, locked)
                return past
            except _Overtaken:
                if time.monotonic() >= deadline:
                    raise StayedBusy from None

    def _complete(self, image: Image, past: Past) -> None:
        facts = {"file": str(self.path), "taken_at": taken_at_of(self.path).isoformat()}
        image.complete(past, self._clock.started_at, self._clock.milliseconds, facts)

    def _copy(self, image: Image, live: Any, locked: Callable[[], None] | None = None) -> None:
        tell = self._run.tell
        copy_pages(
            image.raw,
            live,
            patience=self.backend.lock_timeout,
            tell=lambda percent: tell(f"restore: writing, {percent} %"),
            locked=locked,
        )

    @contextmanager
    def _others_kept_out(self, session: Session) -> Iterator[None]:
        """Hold the file between two transactions as well: with a rollback journal nobody is to read or write then."""
        live = session.raw
        mode = pragma(live, "main.journal_mode")
        if mode in ("off", "memory"):
            # With these a killed process would leave half of either content.
            live.execute("PRAGMA main.journal_mode = DELETE")
        try:
            self.backend.patiently(lambda: live.execute("BEGIN EXCLUSIVE"))
            # Not before: one that waits in this mode keeps the lock of a reader between its tries, and whoever
            # writes meanwhile could never commit (https://sqlite.org/pragma.html#pragma_locking_mode).
            live.execute("PRAGMA main.locking_mode = EXCLUSIVE")
            live.execute("COMMIT")
            yield
        finally:
            if live.in_transaction:
                live.execute("ROLLBACK")
            live.execute("PRAGMA main.locking_mode = NORMAL")
            with suppress(sqlite3.Error):
                # The lock is given up by the next that is read.
                live.execute("SELECT count(*) FROM sqlite_master").fetchone()
            if mode in ("off", "memory"):
                live.execute(f"PRAGMA main.journal_mode = {mode}")

    @contextmanager
    def _without_wal(self, session: Session) -> Iterator[None]:
        """SQLite cannot change the size of the pages under WAL, and leaves WAL only where nobody else is connected."""
        live = session.raw
        try:
            self.backend.patiently(lambda: live.execute("PRAGMA main.journal_mode = DELETE").fetchone())
        except DatabaseLocked as error:
            raise DatabaseLocked(
                self.backend.name,
                self.backend.lock_timeout,
                "its pages are of another size than those of the file, and others have it open in WAL mode",
                "End the programs that have it open, then restore.",
            ) from error
        try:
            yield
        finally:
            with suppress(sqlite3.Error):
                live.execute("PRAGMA main.journal_mode = WAL").fetchone()

    def _settle(self, session: Session) -> None:
        """
        Verify what is there now.

        Raises:
            RestoreFailed: It is not what was written.
        """
        live = session.raw
        if _has_wal(live):
            with suppress(sqlite3.Error):
                # The WAL has all of it; who has an old view open keeps it.
                live.execute("PRAGMA main.wal_checkpoint(TRUNCATE)").fetchall()
        self._run.tell("restore: verifying what was written")
        damage = self.backend.patiently(lambda: damage_in(live, "main"))
        if damage is not None:
            raise RestoreFailed(self.backend.name, self.path, f"it is damaged: {damage}", undone=False)

    def _result(self, past: Past, image: Image) -> MigrationResult:
        lost = [] if past.lost is None else [f"the history of what was there could not be read: {past.lost}"]
        return MigrationResult(
            success=True,
            direction="restore",
            from_version=past.current_version,
            to_version=image.current_version,
            applied=[],
            skipped=[],
            rolled_back=sorted(set(past.done) - set(image.done), reverse=True),
            execution_time_ms=round(self._clock.milliseconds, 3),
            warnings=lost,
            snapshot=self.path,
        )

    @contextmanager
    def _worded(self) -> Iterator[None]:
        """Typed errors for what comes from SQLite, from the disk, and from waiting."""
        name = self.backend.name
        try:
            yield
        except MigrationError:
            raise
        except StayedBusy as error:
            raise self._busy() from error
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise DiskFull(name, f"the restore could not be written: {error}") from error
            raise RestoreFailed(name, self.path, str(error)) from error
        except Exception as error:
            origin = getattr(error, "orig", error)
            if not isinstance(origin, sqlite3.Error):
                raise
            if "in use" in str(origin):
                raise self._busy() from error
            raise self.backend.translate(error) or RestoreFailed(name, self.path, reason(error)) from error

    def _busy(self) -> DatabaseLocked:
        holder = "another connection has a transaction open on it, or reads it"
        return DatabaseLocked(self.backend.name, self.backend.lock_timeout, holder)


def _has_wal(raw: Any) -> bool:
    return bool(pragma(raw, "main.journal_mode") == "wal")
