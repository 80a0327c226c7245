"""
One migration, carried out on one session: checks, `up` or `down`, checks, and the wording of what went wrong.

Used by the runner, which records around it, and by `BaseMigration.run()`, which records nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from .errors import (
    MigrationError,
    MigrationFailed,
    ObjectExists,
    SchemaError,
    StatementOverdue,
    StatementTimeout,
    TransactionEnded,
    TransactionMisused,
    shorten,
)

if TYPE_CHECKING:
    from .backends.session import Session
    from .base import BaseMigration
    from .loader import LoadedMigration
    from .steps import StepsTaken

__all__ = ["ChecksFailed", "TryAgain", "attempt", "explain", "how_far", "perform", "reason", "statement_of"]


class TryAgain(BaseException):
    """
    The step is to be undone and begun anew, with the connection prepared otherwise.

    No Exception, so that a migration which catches its errors does not catch this.
    """


class ChecksFailed(Exception):
    """What a migration's own methods returned that they must not; worded by `explain`."""


def attempt(migration: BaseMigration, session: Session, operation: str) -> bool:
    """
    Carry out *migration* in a transaction of its own.

    Returns:
        False when `pre_migrate_checks` said to skip it.
    """
    from .steps import StepsTaken

    # Of a migration that is run by hand nothing is recorded; what is permanent is told all the same.
    steps = StepsTaken() if session.commits_ddl and not session.joined else None
    try:
        if not migration.transactional:
            session.require_own_transactions(f"Migration {migration.version}")
            return perform(migration, operation)
        return _watched(migration, session, operation, steps)
    except Exception as error:
        # Before its first statement, it is the database that cannot be used.
        unavailable = session.translate(error) if migration.db.statements == 0 else None
        raised = unavailable or explain(
            error,
            migration,
            migration,
            operation,
            retry=f"{type(migration).__name__}(...).{'run' if operation == 'apply' else 'rollback'}()",
            permanent=steps.in_words if steps is not None else "",
        )
        if raised is error:
            raise
        raise raised from error


def _watched(migration: BaseMigration, session: Session, operation: str, steps: StepsTaken | None) -> bool:
    """In one transaction. What its `up` made is recorded nowhere, so a rollback's loss is but a warning."""
    from .guard import Guard

    guard, name = Guard(), type(migration).__name__
    with session.transaction():
        rolls_back = operation == "rollback"
        with session.following(steps), guard.over(session, migration, steps=steps, rolls_back=rolls_back) as watched:
            done = perform(migration, operation)
        if operation == "apply":
            guard.judge_apply(watched, migration, retry=f"{name}(...).run()")
        else:
            guard.judge_rollback(watched, migration, None, retry=f"{name}(...).rollback()")
        return done


def perform(migration: BaseMigration, operation: str) -> bool:
    """
    Run the checks and `up`, or `down`, in the transaction that is open.

    Args:
        operation: "apply" or "rollback", as in the history.

    Returns:
        False when `pre_migrate_checks` said to skip it.

    Raises:
        ChecksFailed: Its checks said no. Whatever the migration raises comes through as it is.
    """
    with migration._run_by_sqlmig():
        return _perform(migration, operation)


def _perform(migration: BaseMigration, operation: str) -> bool:
    up: Callable[[], object] = migration.up
    down: Callable[[], object] = migration.down
    if operation == "rollback":
        _require_run(down(), "down")
        return True
    # What was interrupted had passed its checks, and they would judge the half that is done.
    loops = migration._loops
    checked: object = True if loops is not None and loops.begun else _asked(migration, migration.pre_migrate_checks)
    if checked is False:
        return False
    if not checked:
        raise ChecksFailed(
            f"pre_migrate_checks() returned {checked!r}; it must return True to go on, or False to skip the migration"
        )
    _require_run(up(), "up")
    checked = _asked(migration, migration.post_migrate_checks)
    if not checked:
        raise ChecksFailed(f"post_migrate_checks() returned {checked!r}")
    return True


def _asked(migration: BaseMigration, check: Callable[[], object]) -> object:
    """What a check says; a loop over rows in it is none of those that `up` is resumed in."""
    loops, migration._loops = migration._loops, None
    try:
        return check()
    finally:
        migration._loops = loops


def _require_run(returned: object, method: str) -> None:
    """A coroutine or a generator has run nothing yet, and nobody would run it."""
    if hasattr(returned, "__await__") or hasattr(returned, "__next__") or hasattr(returned, "__anext__"):
        if hasattr(returned, "close"):
            returned.close()
        raise ChecksFailed(f"{method}() is asynchronous or a generator, so that nothing of it was run")


def explain(
    error: Exception,
    said: BaseMigration | LoadedMigration,
    ran: BaseMigration | None,
    operation: str,
    *,
    retry: str,
    together: bool = False,
    at_commit: bool = False,
    permanent: str = "",
    left: str = "",
    new: bool = False,
) -> MigrationError:
    """
    The typed error for what a migration raised.

    Args:
        said: What knows its version and its description.
        ran: The migration on its connection, where it came so far.
        retry: What runs it again.
        together: Whether other migrations shared its transaction.
        at_commit: Whether it was the COMMIT that failed, after the last of them.
        permanent: What it did that its database committed by itself, in words.
        left: What the database has that is of no use, in words.
        new: Whether the database had no version yet.
    """
    if isinstance(error, MigrationError) and not isinstance(error, _RAISED_INSIDE):
        return error
    kind = _KINDS.get(type(error), MigrationFailed)
    why = reason(error)
    if at_commit and together:
        why = f"{why}, at the COMMIT of all, so that one before it may be the cause"
    loose = said.transactional and any(text in why for text in _REFUSED_IN_TRANSACTIONS)
    hint = _hint(error, loose, retry, said._in_sql)
    revision = getattr(said, "revision", None)
    if new and operation == "apply" and revision is None and _is_there_already(error, why):
        hint = (
            f"If the database was made before sqlmig came, record what it has: sqlmig stamp {said.version}\n"
            f"Else {_lowered(hint) or f'mend the migration, then run it again: {retry}'}"
        )
    return kind(
        said.version,
        said.description,
        operation,
        why,
        statement="COMMIT" if at_commit else statement_of(error, ran),
        undone=said.transactional,
        together=together,
        hint=hint,
        retry=retry,
        revision=revision,
        kept=how_far(ran),
        permanent=permanent,
        left=left,
        place=None if at_commit or ran is None else ran._place,
    )


_RAISED_INSIDE = (TransactionMisused, StatementOverdue, SchemaError)
_KINDS: dict[type, type[MigrationFailed]] = {
    TransactionMisused: TransactionEnded,
    StatementOverdue: StatementTimeout,
}


def how_far(ran: BaseMigration | None) -> str:
    """What an interrupted migration has committed already, in words; nothing where it is no resumable one."""
    loops = ran._loops if ran is not None else None
    return "" if loops is None else loops.in_words


def _hint(error: Exception, loose: bool, retry: str, in_sql: bool) -> str:
    if isinstance(error, SchemaError) and error.hint:
        return f"{error.hint} Then run it again: {retry}"
    if isinstance(error, StatementOverdue):
        how = "in smaller parts" if in_sql else "in batches (`resumable = True`)"
        return f"Give it more time, or have it done {how}, then run it again: {retry}"
    said = "-- sqlmig: transactional: false" if in_sql else "transactional = False"
    return f"Say `{said}` in the migration, then: {retry}" if loose else ""


def _is_there_already(error: Exception, why: str) -> bool:
    return isinstance(error, ObjectExists) or "already exists" in why


def _lowered(text: str) -> str:
    return text[:1].lower() + text[1:]


# What SQLite says of statements that refuse to run in a transaction.
_REFUSED_IN_TRANSACTIONS = ("from within a transaction", "inside a transaction", "within transaction")


def reason(error: BaseException) -> str:
    """What went wrong in one line, without the parameters, which may be somebody's data."""
    if isinstance(error, TransactionMisused | StatementOverdue | ChecksFailed):
        return str(error)
    if isinstance(error, SchemaError):
        return "\n".join([error.what, *([f"  {error.facts}"] if error.facts else [])])
    origin = getattr(error, "orig", None)
    if origin is not None:
        return f"{type(origin).__name__}: {shorten(str(origin))}"
    text = shorten(str(error))
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def statement_of(error: BaseException, ran: BaseMigration | None) -> str | None:
    """The statement that the database refused, or at which the transaction was found ended."""
    statement = getattr(error, "statement", None)
    db = getattr(ran, "db", None)
    if statement is None and db is not None and isinstance(error, TransactionMisused):
        statement = db.last_statement
    return statement if isinstance(statement, str) else None
