"""Migrating on a copy first, and saying what came of it."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from ..connection import in_autocommit
from ..errors import (
    ConfigurationError,
    DatabaseUnavailable,
    MigrationError,
    NotAtomic,
    RehearsalFailed,
    UnknownVersion,
)
from ..execution import TryAgain
from ..run import Teller
from ..telemetry import traced
from .copies import MEMORY
from .fence import hands_off, hands_on
from .judging import report
from .observed import Observer
from .original import Asked, Original, original_of
from .passes import Pass, Passes, Steps
from .soundness import AT_ONCE, new_problems

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from ..backends.session import Session
    from ..manager import Prepared
    from ..migrator import Migrator
    from ..run import Run
    from .report import Rehearsal

__all__ = ["ROOM", "Outcome", "copied_database", "rehearse", "rehearse_first"]

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
    original_of(migrator, None)
    folder = None if where is True else _folder(where, "rehearse")
    given = migrator.db.connection
    _refuse_joined(migrator, given is not None and _is_in_transaction(given))

    def before_first(session: Session, _run: Run, _prepared: Prepared) -> None:
        found, error = rehearse(migrator, target, together=together, folder=folder, session=session)
        if isinstance(error, NotAtomic):
            # Whoever asked for one transaction may try without.
            raise error
        if not found.can_migrate:
            raise RehearsalFailed(found) from error
        warnings.extend(f"rehearsal: {text}" for text in found.warnings)
        warnings.extend(f"rehearsal: migration {s.version:03}: {text}" for s in found.steps for text in s.warnings)
        if not session.in_transaction:
            raise TryAgain

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
    with traced("rehearse", migrator.backend) as tell:
        outcome = _rehearse(migrator, target, together, folder, room, thorough, session)
        report = outcome.report
        tell(
            direction=report.direction,
            version_from=report.from_version,
            version_to=report.target_version,
            migrations=len(report.steps),
            outcome="succeeded" if report else "found something",
        )
        if not report.can_migrate:
            tell(outcome.error or RehearsalFailed(report))
        return outcome


def _rehearse(
    migrator: Migrator,
    target: Any,
    together: bool | None,
    folder: object,
    room: float,
    thorough: bool | None,
    session: Session | None,
) -> Outcome:
    began = time.perf_counter()
    original = original_of(migrator, session)
    _refuse(migrator, room, session)
    folder = _folder(folder, "folder")
    with _typed(migrator):
        # Before a connection is held here: there may be no second one.
        refused = _refused(migrator, target) if session is None and original.exists else None
        with original.opened():
            asked = Asked(folder, room, original.size <= AT_ONCE if thorough is None else thorough)
            if refused is not None:
                return _told(refused, original, asked, [], None, began)
            warnings, passes = _on_a_copy(migrator, original, asked, target, together)
            return _told(passes, original, asked, warnings, original.obstacle(passes.growth), began)


@contextmanager
def _typed(migrator: Migrator) -> Iterator[None]:
    """What the database says of itself, or of the copy while it is made, as an error of ours."""
    try:
        yield
    except Exception as error:
        unavailable = None if isinstance(error, MigrationError) else migrator.backend.translate(error)
        if unavailable is None:
            raise
        raise unavailable from error


def _on_a_copy(
    migrator: Migrator, original: Original, asked: Asked, target: Any, together: bool | None
) -> tuple[list[str], Passes]:
    tell = _Telling(migrator._progress)
    with ExitStack() as stack:
        copy = stack.enter_context(original.copied(asked, tell.copying))
        stack.enter_context(hands_off(migrator.db.engine))
        twin = migrator._on(copy.engine)
        refused = _refused(twin, target) if not original.exists else None
        if refused is not None:
            return copy.warnings, refused
        return copy.warnings, Steps(twin, copy, target, together, tell, thorough=asked.thorough).run()


@contextmanager
def copied_database(migrator: Migrator) -> Iterator[Migrator]:
    """
    The Migrator on a copy of the database, rows included, for the time inside.

    Raises:
        ConfigurationError: The database cannot be copied.
        DatabaseUnavailable: There is no room for a copy, or the database stayed locked.
    """
    original = original_of(migrator, None)
    _refuse(migrator, ROOM, None)
    with _typed(migrator), original.opened(), original.copied(Asked(None, ROOM, False), lambda *_: None) as copy:
        twin = migrator._on(copy.engine)
        twin._on_data_loss = "ignore"
        yield twin


def _refuse(migrator: Migrator, room: float, session: Session | None) -> None:
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


def _is_in_transaction(given: Connection) -> bool:
    if given.dialect.name != "sqlite":
        return given.in_transaction()
    raw: Any = given.connection.dbapi_connection
    return bool(raw.in_transaction) or not in_autocommit(raw)


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
        return Passes("none", at, at, Pass(Observer(None, ())))
    nothing = Pass(Observer(None, ()))
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


def _told(
    passes: Passes, original: Original, asked: Asked, warnings: list[str], obstacle: str | None, began: float
) -> Outcome:
    integrity = (
        new_problems(passes.problems, lambda: original.problems(thorough=asked.thorough, tables=passes.changed))
        if passes.problems is not None
        else []
    )
    took = (time.perf_counter() - began) * 1000
    told = report(passes, size=original.size, integrity=integrity, error=obstacle, warnings=warnings, took=took)
    return Outcome(told, passes.there.error)


class _Telling(Teller):
    """The application's progress callback, which may use the real database."""

    def __call__(self, done: int, total: int, message: str) -> None:
        """Call it."""
        with hands_on():
            super().__call__(done, total, message)

    def copying(self, done: int, total: int) -> None:
        """Pages."""
        self(done, total, "copying the database")
