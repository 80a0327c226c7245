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
from .safety.places import free_bytes, readable_size
from .safety.postgresql.tools import missing_tools
from .safety.rehearsal import ROOM
from .sources import NAMES

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from .migrator import Migrator

__all__ = ["Diagnosis", "Finding", "diagnose"]


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
        findings.append(_problem("database", what, hint))
    except Exception as error:
        # As of a driver that does not know an option of the URL.
        text = f"it cannot be looked at: {type(error).__name__}: {error}"
        findings.append(
            _problem("database", text, "Look at the options of its URL; where it came from: sqlmig status --traceback")
        )
    return Diagnosis(findings=findings)


def _ok(about: str, text: str) -> Finding:
    return Finding(level="ok", about=about, text=text)


def _note(about: str, text: str, hint: str = "") -> Finding:
    return Finding(level="note", about=about, text=text, hint=hint)


def _problem(about: str, text: str, hint: str) -> Finding:
    return Finding(level="problem", about=about, text=text, hint=hint)


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
        yield _problem(
            "journal_mode",
            "off: nothing can be undone, so that a migration that fails stays half done",
            "Have the application set: PRAGMA journal_mode = WAL",
        )
    elif journal == "memory" and connection.engine.url.database not in (None, "", ":memory:"):
        yield _note(
            "journal_mode",
            "memory: a process that is killed while it writes may leave a damaged file",
            "Have the application set: PRAGMA journal_mode = WAL",
        )
    else:
        yield _ok("journal_mode", journal)
    if synchronous == 0:
        yield _note(
            "synchronous",
            "off: a power cut may leave a damaged file",
            "Have the application set: PRAGMA synchronous = NORMAL under WAL, else FULL",
        )
    if pragma("foreign_keys"):
        yield _ok("foreign_keys", "on")
    else:
        yield _note(
            "foreign_keys",
            "off: SQLite enforces no foreign key on connections like this one",
            "Have the application set it on each connection: PRAGMA foreign_keys = ON",
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
            yield _note(name, text, "Give the user who migrates more, where needed.")
    missing = missing_tools()
    if missing:
        yield _note(
            "pg_dump",
            f"{' and '.join(missing)} cannot be found: there are no rehearsals and no snapshots",
            "Install the client programs of PostgreSQL, of the server's version or newer.",
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
        yield _note(
            "cluster",
            "Galera: GET_LOCK holds on one node, and two that boot on different nodes do not wait for each other",
            "Have all that migrate connect to one node.",
        )
    mode = variable("sql_mode")
    if "STRICT_" not in mode:
        yield _note(
            "sql_mode",
            "not strict: a value that does not fit is cut off without an error",
            "Have the application set: sql_mode = 'STRICT_TRANS_TABLES,...'",
        )
    engine = variable("default_storage_engine")
    if engine.lower() != "innodb":
        text = f"{engine}: its tables know no transactions"
        yield _note("storage engine", text, "Have tables made with ENGINE=InnoDB.")
    yield _note("DDL", "each statement that changes the schema is committed by itself")


def _only_reads(why: str) -> Finding:
    hint = "Connect to a server that takes writes."
    return _problem("writing", f"the server takes no writes: {why}", hint)


def _file(migrator: Migrator) -> Iterator[Finding]:
    """The file, its folder and the room around it."""
    file = migrator.backend.file
    if file is None:
        return
    folder, size = os.path.dirname(file), os.path.getsize(file) if os.path.exists(file) else 0
    if not os.access(folder, os.W_OK):
        text = f"{folder} cannot be written to, and SQLite needs a journal beside the file"
        yield _problem("folder", text, f"Look at it: ls -ld {folder}")
    for place, what in ((folder, "a rebuilt table or a snapshot"), (tempfile.gettempdir(), "a rehearsal")):
        free = free_bytes(place)
        text = f"{readable_size(free)} free in {place}, the database has {readable_size(size)}"
        if free < size * ROOM:
            hint = f"Make room there: up to {readable_size(int(size * ROOM))} may be needed."
            yield _note("room", f"{text}: it may not do for {what}", hint)
        else:
            yield _ok("room", text)


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
        yield _problem("lock", what, hint)


# The migrations


def _migrations(migrator: Migrator) -> Iterator[Finding]:
    status = migrator.manager.get_migration_status()
    where = ", ".join(str(folder) for folder in migrator.manager.sources.folders)
    count = len(status.available_versions)
    yield _ok("migrations", f"{count} in {where}; {status}")
    for issue in status.validation_issues:
        yield _problem("migrations", str(issue), issue.hint)
    for path in migrator.manager.sources.suspicious():
        text = f"{path.name} is passed over: {NAMES}"
        yield _note("migrations", text, "Rename it, if it is a migration.")
