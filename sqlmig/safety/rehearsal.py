"""Migrating on a copy first, and saying what came of it."""

from __future__ import annotations

import math
import os
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

from ..backends import as_sqlite, require_sqlite
from ..connection import in_autocommit
from ..errors import (
    ConfigurationError,
    DatabaseUnavailable,
    DiskFull,
    MigrationError,
    NotAtomic,
    RehearsalFailed,
    UnknownVersion,
)
from ..execution import TryAgain
from ..run import Teller
from .copied_engine import connects_plainly, given_path
from .copies import MEMORY, Making, copied
from .fence import hands_off, hands_on
from .judging import report
from .observed import Observer
from .passes import Pass, Passes, Steps
from .places import free_bytes, readable_size
from .soundness import AT_ONCE, new_problems, problems
from .source import Source

if TYPE_CHECKING:
    from ..backends.session import Session
    from ..manager import Prepared
    from ..migrator import Migrator
    from ..run import Run
    from .report import Rehearsal

__all__ = ["ROOM", "Outcome", "rehearse", "rehearse_first"]

ROOM = 3.0
"""Of the database's size, what must be free: the copy, as much again for tables that are made anew, a journal."""


class Outcome(NamedTuple):
    """The report, and the error behind it where migrating fails."""

    report: Rehearsal
    error: MigrationError | None


def rehearse_first(
    migrator: Migrator, target: Any, together: bool, where: object, warnings: list[str]
) -> Callable[[Session, Run, Prepared], None]:
    """
    What a run is to do under its lock, before its first migration.

    Args:
        where: True, or the folder for the copy.
        warnings: Filled with what was found and does not stop it.

    Raises:
        ConfigurationError: There is no such folder, or the transaction is the caller's.
    """
    require_sqlite(migrator.db.engine.dialect.name, "A rehearsal")
    folder = None if where is True else _folder(where, "rehearse")
    given = migrator.db.connection
    raw: Any = given.connection.dbapi_connection if given is not None else None
    _refuse_joined(migrator, raw is not None and (raw.in_transaction or not in_autocommit(raw)))

    def before_first(session: Session, _run: Run, _prepared: Prepared) -> None:
        found, error = rehearse(migrator, target, together=together, folder=folder, session=session)
        if isinstance(error, NotAtomic):
            # Whoever asked for one transaction may try without.
            raise error
        if not found.can_migrate:
            raise RehearsalFailed(found) from error
        warnings.extend(f"rehearsal: {text}" for text in found.warnings)
        warnings.extend(f"rehearsal: migration {s.version:03}: {text}" for s in found.steps for text in s.warnings)

    return before_first


def rehearse(
    migrator: Migrator,
    target: Any = None,
    *,
    together: bool | None = None,
    folder: object = None,
    room: float = ROOM,
    thorough: bool | None = None,
    session: Session | None = None,
) -> Outcome:
    """
    Do to a copy what `migrate()`, or `migrate_to_version(target)`, would do.

    Args:
        folder, room, thorough: As in `Migrator.rehearse`.
        session: That of a run which holds the lock and has written nothing yet.

    Raises:
        ConfigurationError: The call is wrong, or the database cannot be copied.
        DatabaseUnavailable: There is no room for a copy, or the database stayed locked.
    """
    _refuse(migrator, room, session)
    began = time.perf_counter()
    asked = _Asked(target, together, _folder(folder, "folder"), room, thorough)
    with _typed(migrator), ExitStack() as held:
        there = session is not None or _missing(migrator) is None
        # Before a connection is held here: there may be no second one.
        refused = _refused(migrator, target) if session is None and there else None
        raw, source = held.enter_context(_opened(migrator, session))
        if refused is not None:
            return _told(refused, source, Counter, [], None, began)
        if source.path and session is None:
            held.close()
        warnings, passes = _on_a_copy(migrator, asked, session, raw, source)
        # Asked when the copy is gone, which may have lain on the same disk.
        obstacle = _unwritable(migrator, source) or _no_room(migrator, source, passes.growth)

        def before() -> Counter[str]:
            if raw is None:
                return Counter()
            with nullcontext((raw, source)) if session or not source.path else _opened(migrator, None) as (again, _):
                return problems(again, thorough=asked.thorough_for(source), tables=passes.changed)

        return _told(passes, source, before, warnings, obstacle, began)


@contextmanager
def _typed(migrator: Migrator) -> Iterator[None]:
    """What SQLite says of the database, or of the copy while it is made, as an error of ours."""
    try:
        yield
    except Exception as error:
        unavailable = None if isinstance(error, MigrationError) else migrator.backend.translate(error)
        if unavailable is None:
            raise
        raise unavailable from error


class _Asked(NamedTuple):
    """What the caller wants."""

    target: Any
    together: bool | None
    folder: str | None
    room: float
    thorough: bool | None

    def thorough_for(self, source: Source) -> bool:
        """Whether the whole of each index is checked."""
        return source.size <= AT_ONCE if self.thorough is None else self.thorough


def _on_a_copy(
    migrator: Migrator, asked: _Asked, session: Session | None, raw: Any, source: Source
) -> tuple[list[str], Passes]:
    engine, backend, tell = migrator.db.engine, migrator.backend, _Telling(migrator)
    making = Making(engine, source, raw, raw is not None, backend.name, backend.lock_timeout, tell.copying)
    with ExitStack() as stack:
        with _let_go(session, source):
            copy = stack.enter_context(copied(making, asked.folder, asked.room))
        stack.enter_context(hands_off(engine))
        twin = migrator._on(copy.engine)
        refused = _refused(twin, asked.target) if raw is None else None
        if refused is not None:
            return copy.warnings, refused
        steps = Steps(twin, copy, asked.target, asked.together, tell, thorough=asked.thorough_for(source))
        return copy.warnings, steps.run()


def _refuse(migrator: Migrator, room: float, session: Session | None) -> None:
    require_sqlite(migrator.db.engine.dialect.name, "A rehearsal")
    if isinstance(room, bool) or not isinstance(room, int | float) or not 1 <= room < math.inf:
        raise ConfigurationError(f"room={room!r} cannot be used.\n  it is a factor of the size\nUse 1 or more.")
    joined = session.joined if session is not None else migrator.db.connection is not None
    _refuse_joined(migrator, joined)


def _refuse_joined(migrator: Migrator, joined: bool) -> None:
    if migrator.db.bound or joined:
        raise ConfigurationError(
            "There is no rehearsal inside the transaction of a Connection.\n"
            "  The copy is made through another connection, which does not see what that transaction has written\n"
            "Pass the Engine instead."
        )


def _folder(told: object, what: str) -> str | None:
    """
    Where the copy is to lie, as the caller said it.

    Raises:
        ConfigurationError: There is no such folder; of `folder=`, that is found when the copy is to be made.
    """
    if told is None:
        return None
    path = os.fspath(told) if isinstance(told, str | os.PathLike) else None
    if isinstance(path, str) and path and (what == "folder" or path == MEMORY or os.path.isdir(path)):
        return path
    raise ConfigurationError(
        f"{what}={told!r} cannot be used: there is no such folder for the copy.\n"
        "  it is the path of a folder, or ':memory:'; nothing was read and nothing was written\n"
        f"Make it, or leave {what} out for the system's temporary folder."
    )


def _refused(migrator: Migrator, target: Any) -> Passes | None:
    """What is known without a copy: that there is nothing to do, or why nothing would be started."""
    if target is None and not migrator.needs_migration():
        at = migrator.get_current_version()
        return Passes("none", at, at, Pass(Observer((), lambda *_: None)))
    nothing = Pass(Observer((), lambda *_: None))
    version = None if target is None else migrator._target(target)
    try:
        plan = migrator.runner.check(version)
    except (ConfigurationError, UnknownVersion, DatabaseUnavailable):
        # It is the call that is wrong, or nothing can be told of the migrations.
        raise
    except MigrationError as error:
        at = migrator.get_current_version()
        nothing.error = error
        return Passes("none", at, at, nothing)
    return None if plan.steps else Passes("none", plan.current_version, plan.target_version, nothing)


@contextmanager
def _opened(migrator: Migrator, session: Session | None) -> Iterator[tuple[Any, Source]]:
    """A connection of the application's and what it shows; none to a file that is not there, which nobody makes."""
    if session is not None:
        yield session.raw, Source.of(session.raw)
        return
    missing = _missing(migrator)
    if missing is not None:
        yield None, Source.missing(missing)
        return
    backend = migrator.backend
    with backend.one_thread():
        pooled = backend.read(migrator.db.engine.raw_connection)
        try:
            raw: Any = pooled.dbapi_connection
            source = backend.read(lambda: Source.of(raw))
            if getattr(raw, "autocommit", None) is False:
                # It has begun to read, and would keep writers out all the while.
                raw.rollback()
            yield raw, source
        finally:
            pooled.close()


def _missing(migrator: Migrator) -> str | None:
    """The file of the database where it is not there yet."""
    engine = migrator.db.engine
    if connects_plainly(engine) or len(engine.dialect.dispatch.do_connect) > 0:
        return None
    path = given_path(engine)
    if not path or path.startswith((":", "file:")) or os.path.exists(path):
        return None
    # Where its folder is not there either, connecting makes nothing and says why.
    return path if os.path.isdir(os.path.dirname(os.path.abspath(path))) else None


def _unwritable(migrator: Migrator, source: Source) -> str | None:
    """Why the database itself cannot be written, which its copy could."""
    if not source.path or not os.path.exists(source.path):
        return None
    engine = migrator.db.engine
    uri = "" if connects_plainly(engine) else given_path(engine)
    said = parse_qs(urlsplit(uri).query) if uri.startswith("file:") else {}
    opened_to_read = said.get("mode") == ["ro"] or said.get("immutable", ["0"]) != ["0"]
    # A journal is written beside it.
    if not opened_to_read and all(os.access(p, os.W_OK) for p in (source.path, os.path.dirname(source.path))):
        return None
    error = sqlite3.OperationalError("attempt to write a readonly database")
    error.sqlite_errorcode = sqlite3.SQLITE_READONLY
    return str(migrator.backend.translate(error))


@contextmanager
def _let_go(session: Session | None, source: Source) -> Iterator[None]:
    """
    Have no transaction open meanwhile on the only connection that a database in memory has.

    Other threads are kept out by their lock, and there are no other processes.
    """
    with as_sqlite(session, "A rehearsal").paused() if session is not None and not source.path else nullcontext():
        yield
    if session is not None and not session.unchanged():
        raise TryAgain


def _no_room(migrator: Migrator, source: Source, growth: int) -> str | None:
    """Why the database itself has no room to be migrated."""
    if not source.path or not os.path.exists(source.path):
        return None
    folder = os.path.dirname(os.path.abspath(source.path))
    free = free_bytes(folder)
    if free >= growth:
        return None
    reason = f"migrating it needs {readable_size(growth)} more, and {folder} has {readable_size(free)} free"
    return str(DiskFull(migrator.backend.name, reason, undone="It was found out in a rehearsal; nothing was changed."))


def _told(
    passes: Passes,
    source: Source,
    before: Callable[[], Counter[str]],
    warnings: list[str],
    no_room: str | None,
    began: float,
) -> Outcome:
    integrity = new_problems(passes.problems, before) if passes.problems is not None else []
    took = (time.perf_counter() - began) * 1000
    told = report(passes, size=source.size, integrity=integrity, error=no_room, warnings=warnings, took=took)
    return Outcome(told, passes.there.error)


class _Telling:
    """The application's progress callback, which may use the real database."""

    def __init__(self, migrator: Migrator) -> None:
        self._teller = Teller(migrator._progress)

    def __call__(self, done: int, total: int, message: str) -> None:
        with hands_on():
            self._teller(done, total, message)

    def copying(self, done: int, total: int) -> None:
        """Pages."""
        self(done, total, "copying the database")
