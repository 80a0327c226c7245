"""What may stand in the way of a migration: drivers, versions, settings, locks, room, files."""

from __future__ import annotations

import copy
import os
import platform
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, Literal

import sqlalchemy

from . import __version__
from .errors import MigrationError
from .results import Record
from .sources import NAMES

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from .migrator import Migrator

__all__ = ["Diagnosis", "Finding", "diagnose"]

_ROOM = 3.0
"""Of a file's size, what must be free: a copy of it, as much again for tables that are made anew, a journal."""


class Finding(Record):
    """
    One thing that was looked at.

    Attributes:
        level: `ok`, `note` (something to know) or `problem` (something that stops migrations, or makes them unsafe).
        about: In a word or two.
        text: The facts.
        hint: What to do.
    """

    level: Literal["ok", "note", "problem"]
    about: str
    text: str
    hint: str = ""


class Diagnosis(Record):
    """All that was looked at; true where nothing is a problem."""

    findings: list[Finding]

    @property
    def healthy(self) -> bool:
        """Whether nothing is a problem."""
        return not any(finding.level == "problem" for finding in self.findings)

    def __bool__(self) -> bool:
        return self.healthy


def diagnose(migrator: Migrator) -> Diagnosis:
    """Look at everything; what cannot be looked at is a finding, and no error."""
    findings = list(_software(migrator))
    try:
        findings += _database(migrator)
        findings += _migrations(migrator)
    except MigrationError as error:
        what, hint = _first_and_last(error)
        findings.append(Finding(level="problem", about="database", text=what, hint=hint))
    return Diagnosis(findings=findings)


def _ok(about: str, text: str) -> Finding:
    return Finding(level="ok", about=about, text=text)


def _first_and_last(error: MigrationError) -> tuple[str, str]:
    """What happened, and what to do about it, of an error's lines."""
    first, *others = str(error).splitlines()
    return first, others[-1].strip() if others else ""


# Software


def _software(migrator: Migrator) -> Iterator[Finding]:
    dialect = migrator.db.engine.dialect
    python = f"Python {platform.python_version()}, SQLAlchemy {sqlalchemy.__version__}"
    yield _ok("versions", f"sqlmig {__version__}, {python}")
    yield _ok("driver", f"{dialect.name}+{dialect.driver} {_driver_version(dialect)}".rstrip())


def _driver_version(dialect: Any) -> str:
    names = {"pysqlite": "", "psycopg2": "psycopg2-binary"}
    name = names.get(dialect.driver, dialect.driver)
    try:
        return version(name) if name else ""
    except PackageNotFoundError:
        return str(getattr(dialect.loaded_dbapi, "__version__", ""))


# The database


def _database(migrator: Migrator) -> Iterator[Finding]:
    kind = migrator.db.engine.dialect.name
    looking = {"sqlite": _sqlite, "postgresql": _postgresql}.get(kind, _mysql)
    try:
        with migrator.db.reading() as connection:
            # Whole, before the connection goes back.
            yield from list(looking(connection))
    except Exception as error:
        unavailable = None if isinstance(error, MigrationError) else migrator.backend.translate(error)
        if unavailable is None:
            raise
        raise unavailable from error
    if kind == "sqlite" and migrator.db.engine.url.database:
        yield from _file(migrator)
    yield from _lock(migrator)


def _sqlite(connection: Connection) -> Iterator[Finding]:
    def pragma(name: str) -> Any:
        return connection.exec_driver_sql(f"PRAGMA {name}").scalar()

    yield _ok("SQLite", sqlite3.sqlite_version)
    journal, synchronous = str(pragma("journal_mode")).lower(), pragma("synchronous")
    if journal == "off":
        yield Finding(
            level="problem",
            about="journal_mode",
            text="off: nothing can be undone, so that a migration that fails stays half done",
            hint="Have the application set: PRAGMA journal_mode = WAL",
        )
    elif journal == "memory" and connection.engine.url.database not in (None, "", ":memory:"):
        yield Finding(
            level="note",
            about="journal_mode",
            text="memory: a process that is killed while it writes may leave a damaged file",
            hint="Have the application set: PRAGMA journal_mode = WAL",
        )
    else:
        yield _ok("journal_mode", journal)
    if synchronous == 0:
        yield Finding(
            level="note",
            about="synchronous",
            text="off: a power cut may leave a damaged file",
            hint="Have the application set: PRAGMA synchronous = NORMAL under WAL, else FULL",
        )
    if pragma("foreign_keys"):
        yield _ok("foreign_keys", "on")
    else:
        yield Finding(
            level="note",
            about="foreign_keys",
            text="off: SQLite enforces no foreign key on connections like this one",
            hint="Have the application set it on each connection: PRAGMA foreign_keys = ON",
        )


def _postgresql(connection: Connection) -> Iterator[Finding]:
    def show(name: str) -> str:
        return str(connection.exec_driver_sql(f"SHOW {name}").scalar())

    yield _ok("PostgreSQL", show("server_version"))
    if connection.exec_driver_sql("SELECT pg_is_in_recovery()").scalar():
        yield _only_reads("it is a standby")
    for name in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"):
        if (value := show(name)) not in ("0", "0ms"):
            text = f"{value}: a migration that takes longer is ended"
            yield Finding(level="note", about=name, text=text, hint="Give the user who migrates more, where needed.")
    missing = [name for name in ("pg_dump", "pg_restore") if shutil.which(name) is None]
    if missing:
        yield Finding(
            level="note",
            about="pg_dump",
            text=f"{' and '.join(missing)} cannot be found: there are no rehearsals and no snapshots",
            hint="Install the client programs of PostgreSQL, of the server's version or newer.",
        )
    else:
        yield _ok("pg_dump", str(shutil.which("pg_dump")))


def _mysql(connection: Connection) -> Iterator[Finding]:
    def variable(name: str) -> str:
        row = connection.exec_driver_sql(f"SHOW VARIABLES LIKE '{name}'").first()
        return str(row[1]) if row is not None else ""

    yield _ok("server", variable("version"))
    if variable("read_only").upper() == "ON":
        yield _only_reads("read_only is ON")
    if variable("wsrep_on").upper() == "ON":
        yield Finding(
            level="note",
            about="cluster",
            text="Galera: GET_LOCK holds on one node, and two that boot on different nodes do not wait for each other",
            hint="Have all that migrate connect to one node.",
        )
    mode = variable("sql_mode")
    if "STRICT_" not in mode:
        yield Finding(
            level="note",
            about="sql_mode",
            text="not strict: a value that does not fit is cut off without an error",
            hint="Have the application set: sql_mode = 'STRICT_TRANS_TABLES,...'",
        )
    engine = variable("default_storage_engine")
    if engine.lower() != "innodb":
        text = f"{engine}: its tables know no transactions"
        yield Finding(level="note", about="storage engine", text=text, hint="Have tables made with ENGINE=InnoDB.")
    yield Finding(level="note", about="DDL", text="each statement that changes the schema is committed by itself")


def _only_reads(why: str) -> Finding:
    hint = "Connect to a server that takes writes."
    return Finding(level="problem", about="writing", text=f"the server takes no writes: {why}", hint=hint)


def _file(migrator: Migrator) -> Iterator[Finding]:
    """The file, its folder and the room around it."""
    file = migrator.backend.file
    if file is None:
        return
    folder, size = os.path.dirname(file), os.path.getsize(file) if os.path.exists(file) else 0
    if not os.access(folder, os.W_OK):
        text = f"{folder} cannot be written to, and SQLite needs a journal beside the file"
        yield Finding(level="problem", about="folder", text=text, hint=f"Look at it: ls -ld {folder}")
    for place, what in ((folder, "a rebuilt table or a snapshot"), (tempfile.gettempdir(), "a rehearsal")):
        free = shutil.disk_usage(place).free
        text = f"{_bytes(free)} free in {place}, the database has {_bytes(size)}"
        if free < size * _ROOM:
            hint = f"Make room there: up to {_bytes(int(size * _ROOM))} may be needed."
            yield Finding(level="note", about="room", text=f"{text}: it may not do for {what}", hint=hint)
        else:
            yield _ok("room", text)


def _bytes(count: int) -> str:
    size, unit = float(count), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if size < 1024:
            break
        size, unit = size / 1024, larger
    return f"{size:,.0f} {unit}" if unit == "B" else f"{size:,.1f} {unit}"


class _Enough(Exception):
    """Undoes what was tried."""


def _lock(migrator: Migrator) -> Iterator[Finding]:
    """Whether a migration could begin now: take its lock for a moment, write, and undo that."""
    backend = copy.copy(migrator.version_tracker.backend)
    backend.lock_timeout = 0.0
    try:
        with backend.session() as session, session.transaction():
            session.require_writable()
            raise _Enough
    except _Enough:
        yield _ok("lock", "free, and the database can be written to")
    except MigrationError as error:
        what, hint = _first_and_last(error)
        yield Finding(level="problem", about="lock", text=what, hint=hint)


# The migrations


def _migrations(migrator: Migrator) -> Iterator[Finding]:
    status = migrator.manager.get_migration_status()
    where = ", ".join(str(folder) for folder in migrator.manager.sources.folders)
    count = len(status.available_versions)
    yield _ok("migrations", f"{count} in {where}; {status}")
    for issue in status.validation_issues:
        yield Finding(level="problem", about="migrations", text=str(issue), hint=issue.hint)
    for path in migrator.manager.sources.suspicious():
        text = f"{path.name} is passed over: {NAMES}"
        yield Finding(level="note", about="migrations", text=text, hint="Rename it, if it is a migration.")
