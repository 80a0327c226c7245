"""
One migration, carried out on one session: checks, `up` or `down`, checks, and the wording of what went wrong.

Used by the runner, which records around it, and by `BaseMigration.run()`, which records nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .errors import MigrationError, MigrationFailed, TransactionEnded, TransactionMisused, shorten

if TYPE_CHECKING:
    from .backends.sqlite_session import SQLiteSession
    from .base import BaseMigration
    from .loader import LoadedMigration

__all__ = ["attempt", "explain", "perform"]


def attempt(migration: BaseMigration, session: SQLiteSession, operation: str) -> bool:
    """
    Carry out *migration* in a transaction of its own.

    Returns:
        False when `pre_migrate_checks` said to skip it.
    """
    try:
        if not migration.transactional:
            session.require_own_transactions(f"Migration {migration.version}")
            return perform(migration, operation)
        with session.transaction(), session.guarded():
            return perform(migration, operation)
    except Exception as error:
        raised = explain(error, migration, migration, operation)
        if raised is error:
            raise
        raise raised from error


def perform(migration: BaseMigration, operation: str) -> bool:
    """
    Run the checks and `up`, or `down`, in the transaction that is open.

    Args:
        operation: "apply" or "rollback", as in the history.

    Raises:
        MigrationFailed: `post_migrate_checks` said no. Whatever the migration raises comes through as it is.
    """
    if operation == "rollback":
        migration.down()
        return True
    if not migration.pre_migrate_checks():
        return False
    migration.up()
    if not migration.post_migrate_checks():
        raise MigrationFailed(
            migration.version,
            migration.description,
            operation,
            "post_migrate_checks() returned False",
            undone=migration.transactional,
        )
    return True


def explain(
    error: Exception, said: BaseMigration | LoadedMigration, ran: BaseMigration | None, operation: str
) -> MigrationError:
    """
    The typed error for what a migration raised.

    Args:
        said: What knows its version and its description.
        ran: The migration on its connection, where it came so far.
    """
    if isinstance(error, MigrationError) and not isinstance(error, TransactionMisused):
        return error
    kind = TransactionEnded if isinstance(error, TransactionMisused) else MigrationFailed
    return kind(
        said.version,
        said.description,
        operation,
        reason(error),
        statement=statement_of(error, ran),
        undone=said.transactional,
    )


def reason(error: BaseException) -> str:
    """What went wrong in one line, without the parameters, which may be somebody's data."""
    if isinstance(error, TransactionMisused):
        return str(error)
    origin = getattr(error, "orig", None)
    if origin is not None:
        return f"{type(origin).__name__}: {shorten(str(origin))}"
    text = shorten(str(error))
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def statement_of(error: BaseException, ran: BaseMigration | None) -> str | None:
    """The statement that the database refused, or at which the transaction was found ended."""
    statement = getattr(error, "statement", None)
    if statement is None and ran is not None and isinstance(error, TransactionMisused):
        statement = ran.db.last_statement
    return statement if isinstance(statement, str) else None
