"""
Every error that sqlmig raises on purpose.

    MigrationError
    ├── ConfigurationError        the call, the folder or pyproject.toml is wrong
    │   ├── RenameImpossible      what was said to be renamed is not there, or is not gone
    │   └── RenameUnclear         something may have been renamed, and nobody was there to ask
    ├── UnsupportedDatabase       no backend for this database
    ├── ValidationFailed          the migration files are not fit to run
    ├── UnknownVersion            no migration has that version
    ├── UnknownRevision           the database is at a revision of Alembic's that no migration carries
    ├── DatabaseTooNew            the database is ahead of the files
    ├── InsideSquash              the database has a part of what a squashed migration replaces
    ├── VersionMismatch           versions table and user_version disagree
    ├── InterruptedMigration      a migration was started and never finished
    ├── RollbackNotSupported      a migration on the way down has no way back
    ├── NotAtomic                 the wanted atomicity cannot be had
    ├── AutogenerateFailed        the migration that was written does not run
    ├── SquashImpossible          migrations cannot be made one that does the same
    ├── RehearsalFailed           it failed on a copy, so the database was left alone
    ├── CheckImpossible           the migrations fail on an empty database, so that nothing can be compared
    ├── SnapshotFailed            no verified copy of the database could be made, so nothing was started
    ├── SnapshotUnusable          what was to be restored cannot be; the database was not touched
    ├── RestoreFailed             a restore did not come to its end
    ├── CopyError                 a copy into another database was refused or undone
    │   ├── TargetNotEmpty        the target holds something already; nothing was changed
    │   ├── TablesDiffer          source and target have not the same tables and columns
    │   ├── ValueUnfit            the target cannot hold a value of the source as it is
    │   └── CopyMismatch          what was read back is not what was copied
    ├── CopyInterrupted           a copy into this database was started and never finished
    ├── MigrationFailed           a migration raised, or its checks said no
    │   ├── TransactionEnded      it ended, or tried to end, its own transaction
    │   ├── StatementTimeout      a statement of it took longer than statement_timeout
    │   └── DataLossError         it would remove data that it does not say it removes
    ├── SchemaError               an operation on the schema was refused; it changed nothing
    │   ├── NoSuchObject          there is no such table, column, constraint, index, view or trigger
    │   ├── ObjectExists          the name is taken
    │   ├── WrongObject           it is there, and is not of the kind that the operation is for
    │   ├── ObjectInUse           something else needs what would go or change
    │   ├── DataContradicts       rows that are there contradict what was asked for
    │   ├── InvalidIndex          an index was left that no query can use
    │   ├── UnsupportedChange     the database cannot have it, or sqlmig cannot prove it
    │   └── DataError             rows cannot be read or written as it was asked
    │       ├── WrongKey          the key does not tell the rows apart
    │       └── NoSuchRows        rows that are to be written are not there
    ├── CheckpointMismatch        a migration reads other rows than it did before it was interrupted
    ├── TakenOver                 another process goes on with the migration
    └── DatabaseUnavailable
        ├── DatabaseLocked        another connection holds the lock
        ├── DatabaseNotWritable   the file or the connection is read-only
        ├── DiskFull              no room for what was to be written
        └── NotADatabase          the file holds something else
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

    from .results import Issue, Loss, MigrationResult
    from .safety.report import Rehearsal

__all__ = [
    "AutogenerateFailed",
    "CheckImpossible",
    "CheckpointMismatch",
    "ConfigurationError",
    "CopyError",
    "CopyInterrupted",
    "CopyMismatch",
    "DataContradicts",
    "DataError",
    "DataLossError",
    "DatabaseLocked",
    "DatabaseNotWritable",
    "DatabaseTooNew",
    "DatabaseUnavailable",
    "DiskFull",
    "InsideSquash",
    "InterruptedMigration",
    "InvalidIndex",
    "MigrationError",
    "MigrationFailed",
    "NoSuchObject",
    "NoSuchRows",
    "NotADatabase",
    "NotAtomic",
    "ObjectExists",
    "ObjectInUse",
    "RehearsalFailed",
    "RenameImpossible",
    "RenameUnclear",
    "RestoreFailed",
    "RollbackNotSupported",
    "SchemaError",
    "SnapshotFailed",
    "SnapshotUnusable",
    "SquashImpossible",
    "StatementTimeout",
    "TablesDiffer",
    "TakenOver",
    "TargetNotEmpty",
    "TransactionEnded",
    "UnknownRevision",
    "UnknownVersion",
    "UnsupportedChange",
    "UnsupportedDatabase",
    "ValidationFailed",
    "ValueUnfit",
    "VersionMismatch",
    "WrongKey",
    "WrongObject",
]

FIRST_MIGRATION: Final = "Make the first one: sqlmig new initial_schema"
"""What to do where there is no migration."""

_UNDONE = "  Everything that it did was undone; "
_STAYED = "  Its database commits each statement on the schema, so that not all was undone; "
_SETTLED = "  sqlmig repair --"
_OF_A_DATABASE = (_UNDONE, _STAYED, _SETTLED)
"""How the lines begin that tell what became of the database, and what to do about that."""


class MigrationError(Exception):
    """Base of every error that sqlmig raises on purpose."""

    version: int | None = None
    """The migration that the error is about, where it is about one."""

    result: MigrationResult | None = None
    """What was applied or rolled back, and stays so, before the error."""


class ConfigurationError(MigrationError):
    """The call, the migrations folder or pyproject.toml is wrong."""


class RenameImpossible(ConfigurationError):
    """What was said to be renamed, or dropped, is not there, or is not gone."""

    def __init__(self, said: str, why: str, *, facts: str, hint: str) -> None:
        self.said = said
        super().__init__(f"{said!r} is no rename that can be made: {why}; nothing was written.\n  {facts}\n{hint}")


class RenameUnclear(ConfigurationError):
    """Something may have been renamed, and nobody was there to ask: dropped, it would lose its data."""

    def __init__(self, questions: Sequence[tuple[str, Sequence[str]]]) -> None:
        self.questions = [(old, list(new)) for old, new in questions]
        told = "\n".join(f"  {old} is gone, and {' or '.join(new)} is new" for old, new in self.questions)
        old, new = self.questions[0]
        super().__init__(
            "It is not clear what was renamed; nothing was written.\n"
            f"{told}\n"
            f"Say of each: --rename {old}:{new[0].rpartition('.')[2]}, or --drop {old} if it goes with its data."
        )


class UnsupportedDatabase(MigrationError):
    """There is no backend for this database."""


class ValidationFailed(MigrationError):
    """The migration files are not fit to run; `issues` tells each reason."""

    def __init__(self, issues: Sequence[Issue]) -> None:
        self.issues = list(issues)
        self.version = next((issue.version for issue in self.issues if issue.version is not None), None)
        listed = "\n".join(f"  - {issue}" for issue in self.issues)
        hints = dict.fromkeys(issue.hint for issue in self.issues if issue.hint)
        super().__init__(
            f"The migrations are not fit to run, so nothing was started.\n{listed}\n"
            + "\n".join(hints or ["Mend the files, then look again: sqlmig validate"])
        )


class UnknownVersion(MigrationError):
    """No migration has the version that was asked for."""

    def __init__(self, version: int, available: Sequence[int], see: str = "sqlmig status") -> None:
        self.version, self.available = version, list(available)
        nearest = min(self.available, key=lambda v: abs(v - version), default=None)
        facts = (
            f"available: {_ranges(self.available)}; the nearest is {nearest}" if available else "there is none at all"
        )
        hint = f"See what there is: {see}" if available else FIRST_MIGRATION
        super().__init__(f"There is no migration with version {version}.\n  {facts}\n{hint}")


class UnknownRevision(MigrationError):
    """Alembic brought the database to a revision that no migration carries."""

    def __init__(self, found: Sequence[str], known: Sequence[str]) -> None:
        self.found, self.known = list(found), list(known)
        nearest = [name for revision in self.found for name in near_matches(revision, self.known)]
        shown = (
            f"{len(self.known)} revisions are known, {self.known[0]} to {self.known[-1]}" if known else "none is known"
        )
        facts = f"{shown}; the nearest is {nearest[0]}" if nearest else shown
        super().__init__(
            f"The database is at Alembic's revision {' and '.join(self.found)}, which no migration carries.\n"
            f"  {facts}; nothing was changed\n"
            "Bring it to one of them with Alembic, or take the migrations of the release that it is from;"
            " if you know what it has: sqlmig stamp N"
        )


class InsideSquash(MigrationError):
    """The database has a part of what a squashed migration replaces: it can neither take it nor count it."""

    def __init__(
        self, file: str, version: int, replaces: Sequence[int], database_version: int, missing: Sequence[int]
    ) -> None:
        self.version, self.database_version, self.missing = version, database_version, list(missing)
        super().__init__(
            f"The database is at version {database_version}, and migration {version} stands for {_ranges(replaces)};"
            " nothing was changed.\n"
            f"  it lacks {_ranges(missing)} of what was squashed into {file}\n"
            f"Migrate it to version {version} with the release before the squash, or put the old files back,"
            " then: sqlmig up"
        )


class SquashImpossible(MigrationError):
    """Migrations cannot be made one, or it could not be proved that the one does the same; nothing was written."""

    def __init__(self, first: int, last: int, why: str, *, facts: str, hint: str) -> None:
        self.first, self.last, self.version = first, last, last
        super().__init__(
            f"Migrations {first} to {last} cannot be squashed: {why}; nothing was changed.\n  {facts}\n{hint}"
        )


class DatabaseTooNew(MigrationError):
    """The database has migrations newer than every file: an older program runs."""

    def __init__(self, database_version: int, latest_version: int, hint: str = "") -> None:
        self.version, self.latest_version = database_version, latest_version
        super().__init__(
            f"The database is at version {database_version}, newer than the newest migration file,"
            f" version {latest_version}.\n"
            "  A newer release of the application brought it there; nothing was touched.\n"
            f"Run the release that has migration {database_version}, or roll back with it:"
            f" sqlmig to {latest_version}" + (f"\n{hint}" if hint else "")
        )


class VersionMismatch(MigrationError):
    """The versions table and `PRAGMA user_version` tell different versions."""

    def __init__(self, table: str, recorded: int, user_version: int) -> None:
        self.version, self.recorded, self.user_version = recorded, recorded, user_version
        super().__init__(
            f"The table {table} says version {recorded}, but PRAGMA user_version says {user_version}.\n"
            "  One of them was changed by hand, so which migrations ran is not known; nothing was started.\n"
            "If the table is right: sqlmig repair. If the schema is that of another version N: sqlmig stamp N"
        )


class InterruptedMigration(MigrationError):
    """A migration that cannot run in a transaction was started and never finished."""

    def __init__(
        self,
        version: int,
        description: str,
        started: str,
        again: str = "sqlmig repair, then sqlmig up",
        *,
        kept: str = "",
        permanent: str = "",
        left: str = "",
    ) -> None:
        self.version, self.permanent = version, permanent
        how = permanent or (
            f"its finished batches have stayed: {kept}"
            if kept
            else "it ran outside a transaction, so part of it may have happened"
        )
        super().__init__(
            f"Migration {version} ({description}) was started and never finished.\n"
            f"  started {started}; {how}\n"
            + (f"  {left}\n" if left else "")
            + (
                "Have it go on to its end first: sqlmig up. To give up what it has done in the records: sqlmig repair"
                if kept
                else how_to_settle(again.rpartition("then ")[2])
                if permanent
                else f"Look at the schema, then run it again: {again}"
            )
        )


class RollbackNotSupported(MigrationError):
    """
    A migration on the way down cannot be rolled back; nothing was.

    Attributes:
        snapshot: The file of a snapshot of the version that was asked for, which can be restored instead.
    """

    snapshot: str | None = None

    def __init__(self, version: int, reason: str, hint: str = "") -> None:
        self.version = version
        super().__init__(
            f"Migration {version} cannot be rolled back, so nothing was.\n"
            f"  {reason}\n" + (hint or f"Stay at {version} or above, or restore a backup from before it.")
        )


class NotAtomic(MigrationError):
    """The atomicity that was asked for cannot be had."""


class RehearsalFailed(MigrationError):
    """
    Migrating failed on a copy, or damaged it; the database itself was left alone.

    Attributes:
        report: What came of the rehearsal.
    """

    def __init__(self, report: Rehearsal) -> None:
        self.report = report
        self.version = next((step.version for step in report.steps if step.error is not None), None)
        why = report.error or "\n".join(report.integrity)
        listed = "\n".join(f"  {line}" for line in why.splitlines())
        super().__init__(
            "The rehearsal on a copy failed, so nothing was started; the database itself is as it was.\n"
            f"{listed}\nMend that, then see whether it works: sqlmig rehearse, or rehearse()"
        )


class CheckImpossible(MigrationError):
    """The migrations failed on an empty database, which a check makes to see what they lead to."""

    def __init__(self, database: str, error: MigrationError) -> None:
        # What to do, and what is permanent, is of the database that is gone again.
        first, *others = str(error).splitlines()
        facts = [line for line in others if line.startswith("  ") and not line.startswith(_OF_A_DATABASE)]
        listed = "\n".join(f"  {line}" for line in [first, *facts])
        super().__init__(
            f"{database} could not be checked: the migrations fail on an empty database.\n{listed}\n"
            "Mend that migration, so that a new installation works; the database itself was not touched."
        )


class AutogenerateFailed(MigrationError):
    """
    The migration that was written from the models does not run in an empty database; it was not kept.

    Attributes:
        source: Its text.
    """

    def __init__(self, error: MigrationError, source: str) -> None:
        self.error, self.source = error, source
        first, _, rest = str(error).partition("\n")
        super().__init__(
            f"The migration from the models fails where it was tried: {first}\n{rest.partition(chr(10))[0]}\n"
            "Nothing was written. Write it by hand: sqlmig new ..., and sqlmig check tells what is missing."
        )


class SnapshotFailed(MigrationError):
    """No verified copy of the database could be made, so that nothing was started."""

    def __init__(self, database: str, reason: str, hint: str = "") -> None:
        self.reason = reason
        super().__init__(
            f"No snapshot of the database {database} could be made: {reason}.\n"
            "  What had been written of it was removed; the database was not touched, and no migration was started\n"
            + (hint or "Mend that, then start again; or migrate without a snapshot.")
        )


class SnapshotUnusable(MigrationError):
    """What was to be restored cannot be; the database was not touched."""

    def __init__(self, file: object, reason: str, hint: str = "") -> None:
        self.file, self.reason = str(file), reason
        super().__init__(
            f"{file} cannot be restored: {reason}.\n"
            "  The database was not touched.\n" + (hint or "See which snapshots there are: sqlmig snapshots")
        )


class RestoreFailed(MigrationError):
    """A restore did not come to its end."""

    def __init__(self, database: str, file: object, reason: str, *, undone: bool = True, hint: str = "") -> None:
        self.file, self.reason = str(file), reason
        super().__init__(
            f"The database {database} could not be restored from {file}: {reason}.\n"
            + (
                "  What had been begun was undone; the database is as it was.\n"
                + (hint or "Mend that, then start again.")
                if undone
                else "  It holds the content of the file now, and that content is damaged there.\n"
                "Look at the disk that it is on, then restore again."
            )
        )


class CopyError(MigrationError):
    """A copy into another database was refused, or undone; the source was only read."""

    def __init__(self, what: str, facts: str = "", hint: str = "") -> None:
        self.what = what
        listed = "\n".join(f"  {line}" for line in facts.splitlines())
        super().__init__("\n".join(part for part in (what, listed, hint) if part))


class TargetNotEmpty(CopyError):
    """
    The target holds something already, so that nothing was copied into it and nothing changed.

    Attributes:
        tables: What is there.
    """

    def __init__(self, target: str, tables: Sequence[str], why: str) -> None:
        self.tables = list(tables)
        shown = ", ".join(self.tables[:12]) + (f" and {len(self.tables) - 12} more" if len(self.tables) > 12 else "")
        super().__init__(
            f"The target {target} is not empty, so nothing was copied into it.",
            f"{why}: {shown}\nnothing was changed",
            "Name a new, empty database; or look whether what is there may go, and remove it.",
        )


class TablesDiffer(CopyError):
    """
    Source and target have not the same tables and columns once the migrations ran; what was begun was undone.

    Attributes:
        missing: "table" or "table.column" that the target has not, so that data would be left behind.
        added: What only the target has.
    """

    def __init__(self, missing: Sequence[str], added: Sequence[str]) -> None:
        self.missing, self.added = list(missing), list(added)
        facts = []
        if self.missing:
            facts.append(f"only the source has {', '.join(self.missing)}: no migration makes it on the target")
        if self.added:
            facts.append(f"only the target has {', '.join(self.added)}")
        named = " ".join(f"--skip {name}" for name in [*self.missing, *self.added][:6])
        super().__init__(
            "Source and target have not the same tables and columns, so no row was copied.",
            "\n".join([*facts, "what had been begun was undone"]),
            f"Write a migration for it; or leave it out of the copy: {named}",
        )


class ValueUnfit(CopyError):
    """
    The target cannot hold a value of the source as it is; everything that was begun was undone.

    Attributes:
        table, column: Where it is, in the source.
        key: Its row, as "id = 7".
        why: What the value is, and what the column holds; never the value.
    """

    def __init__(self, table: str, column: str, key: str, why: str) -> None:
        self.table, self.column, self.key, self.why = table, column, key, why
        super().__init__(
            f"{table}.{column} of the source has a value that cannot be copied as it is ({key}).",
            f"it is {why}\nnothing was copied: what had been begun was undone",
            "Mend the value in the source, or its column by a migration, then copy again; or leave it out:"
            f" --skip {table}.{column}",
        )


class CopyMismatch(CopyError):
    """
    What was read back from the target is not what was read from the source; the copy was undone.

    Attributes:
        table: The table.
    """

    def __init__(self, table: str, facts: str) -> None:
        self.table = table
        super().__init__(
            f"The rows of {table} that were read back are not those that were copied, so the copy was undone.",
            facts,
            "The target alters what it stores (a default, a type, a trigger, a collation perhaps): compare the"
            f" definitions of {table} on both sides, mend its migration, and copy again.",
        )


class CopyInterrupted(MigrationError):
    """A copy into this database was started and never finished, so that nothing may take it for whole."""

    def __init__(self, database: str, source: str, target: str, started: str) -> None:
        self.source = source
        super().__init__(
            f"The database {database} is half copied: a copy into it was started and never finished.\n"
            f"  copied from {source}, started {started}; nothing was changed now\n"
            f"Have it copied again: sqlmig copy {source} {target}"
        )


class MigrationFailed(MigrationError):
    """
    A migration raised or its checks said no; its changes were undone.

    Attributes:
        undone: Whether all of them were.
        permanent: What was not, in words, where its database commits with each statement on the schema.
        place: The file and the line of its statement, where it is in plain SQL.
    """

    def __init__(
        self,
        version: int,
        description: str,
        operation: str,
        reason: str,
        *,
        statement: str | None = None,
        undone: bool = True,
        together: bool = False,
        hint: str = "",
        retry: str = "sqlmig up",
        revision: str | None = None,
        kept: str = "",
        permanent: str = "",
        left: str = "",
        place: tuple[Path, int] | None = None,
    ) -> None:
        self.version, self.description, self.operation = version, description, operation
        self.revision, self.permanent, self.place = revision, permanent, place
        undone = undone and not permanent
        self.reason, self.statement, self.undone = reason, statement, undone
        verb = "failed to roll back" if operation == "rollback" else "failed"
        named = [shorten(description, 80)] + ([f"revision {revision}"] if revision not in (None, description) else [])
        lines = [f"Migration {version} ({', '.join(named)}) {verb}: {reason}"]
        if statement or place:
            where = f" in {place[0].name}:{place[1]}" if place else ""
            lines.append(f"  statement{where}" + (f": {shorten(statement)}" if statement else ""))
        if permanent:
            lines.append(f"{_STAYED}{permanent}")
            hint = hint and f"{hint}\n"
            hint += f"It goes on after the batches that are done: {retry}" if kept else how_to_settle(retry)
        elif not undone:
            lines.append("  It runs outside a transaction, so what it did before the error has stayed.")
            lines += [f"  {left}"] if left else []
            retry = f"{'sqlmig repair' if retry.startswith('sqlmig') else 'repair()'}, then {retry}"
        elif kept:
            lines.append(f"  Its finished batches have stayed, and it goes on after them: {kept}.")
        elif together:
            lines.append("  All migrations of its transaction were undone; the database is as it was before the first.")
        else:
            lines.append(f"{_UNDONE}the database is as it was before it.")
        lines.append(hint or f"Mend the migration, then run it again: {retry}")
        super().__init__("\n".join(lines))


class TransactionEnded(MigrationFailed):
    """A migration ended, or tried to end, the transaction that it runs in."""


class StatementTimeout(MigrationFailed):
    """A statement of a migration took longer than statement_timeout."""


class DataLossError(MigrationFailed):
    """
    A migration would remove data that it does not say it removes; everything it did was undone.

    Attributes:
        losses: What would have been lost.
    """

    def __init__(
        self,
        version: int,
        description: str,
        operation: str,
        losses: Sequence[Loss],
        *,
        together: bool = False,
        retry: str = "sqlmig up",
        revision: str | None = None,
        kept: str = "",
        permanent: str = "",
        in_sql: bool = False,
    ) -> None:
        self.losses = list(losses)
        names = list(dict.fromkeys(loss.name for loss in self.losses))
        said = f"-- sqlmig: removes: {', '.join(names)}" if in_sql else f"removes = {_listed(names)}"
        would = "would, rolled back," if operation == "rollback" else "would"
        listed = "; ".join(str(loss) for loss in self.losses)
        super().__init__(
            version,
            description,
            operation,
            f"migration {version:03} {would} {listed}",
            together=together,
            hint=f"If that is meant, say so in the migration: {said}. Then: {retry}",
            retry=retry,
            revision=revision,
            kept=kept,
            permanent=permanent,
        )


class TransactionMisused(MigrationError):
    """What `TransactionEnded` is raised from: said before it is known which migration runs."""


class StatementOverdue(MigrationError):
    """What `StatementTimeout` is raised from: said before it is known which migration runs."""

    def __init__(self, seconds: float, statement: object, *, own: bool = False) -> None:
        self.statement, self.own = statement, own
        limit = "the connection's own limit" if own else "statement_timeout"
        super().__init__(f"a statement took longer than {seconds:g} s ({limit})")


class SchemaError(MigrationError):
    """
    An operation on the schema was refused; it changed nothing.

    Attributes:
        table: The table that it was about, with its schema where one was given.
        facts: What stands in the way.
        hint: What to do next.
    """

    def __init__(self, what: str, *, table: str | None = None, facts: str = "", hint: str = "") -> None:
        self.what, self.table, self.facts, self.hint = what, table, facts, hint
        super().__init__("\n".join([what, *([f"  {facts}"] if facts else []), *([hint] if hint else [])]))


class NoSuchObject(SchemaError):
    """
    There is no such table, column, constraint, index, view or trigger.

    Attributes:
        kind: "table", "column", ...
        name: What was asked for.
        available: What there is.
    """

    def __init__(self, kind: str, name: str, available: Sequence[str], *, table: str | None = None) -> None:
        self.kind, self.name, self.available = kind, name, sorted(available)
        near = near_matches(name, self.available)
        listed = ", ".join(self.available[:20]) + (", ..." if len(self.available) > 20 else "")
        super().__init__(
            f"There is no {kind} {name}{f' in the table {table}' if table and kind != 'table' else ''};"
            " nothing was changed.",
            table=table,
            facts=f"there is: {listed}" if listed else "there is none",
            hint=f"Did you mean {' or '.join(near)}?" if near else f"Check the name of the {kind}.",
        )


class ObjectExists(SchemaError):
    """The name is taken."""

    def __init__(self, kind: str, name: str, *, table: str | None = None, hint: str = "") -> None:
        self.kind, self.name = kind, name
        where = f" in the table {table}" if table and table != name else ""
        super().__init__(
            f"There is a {kind} {name}{where} already; nothing was changed.",
            table=table,
            hint=hint or "Take another name, or ask for it only where it is missing: if_not_exists=True.",
        )


class WrongObject(SchemaError):
    """It is there, and is not of the kind that the operation is for."""


class ObjectInUse(SchemaError):
    """
    Something else needs what would go or change.

    Attributes:
        users: What needs it, each in words: "index ix_t_x", "view v".
    """

    def __init__(self, what: str, users: Sequence[str], *, table: str | None = None, hint: str = "") -> None:
        self.users = list(users)
        super().__init__(what, table=table, facts=f"it is used by: {', '.join(self.users)}", hint=hint)


class DataContradicts(SchemaError):
    """
    Rows that are there contradict what was asked for.

    Attributes:
        count: How many rows.
        sample: The keys of some of them, never their values.
    """

    def __init__(
        self, what: str, count: int, sample: Sequence[str], *, table: str, facts: str = "", hint: str = ""
    ) -> None:
        self.count, self.sample = count, list(sample)
        keys = f"for example {', '.join(self.sample)}" if self.sample else ""
        super().__init__(
            what,
            table=table,
            facts="; ".join(part for part in (facts, keys) if part),
            hint=hint or "Mend these rows first, in the same migration.",
        )


class InvalidIndex(SchemaError):
    """
    An index was left that the database keeps up to date and no query can use.

    Attributes:
        name: Its name.
    """

    def __init__(self, name: str, table: str, drop: str) -> None:
        self.name = name
        super().__init__(
            f"the index {name} of {table} is invalid: no query can use it",
            table=table,
            facts="CREATE INDEX CONCURRENTLY leaves such a one where it fails, and IF NOT EXISTS takes it for whole",
            hint=f"Drop it: {drop}.",
        )


class UnsupportedChange(SchemaError):
    """The database cannot have it, or sqlmig cannot prove that nothing would be lost."""


class DataError(SchemaError):
    """Rows cannot be read or written as it was asked; nothing was written."""


class WrongKey(DataError):
    """The key does not tell the rows apart, so that some could be left out unseen."""


class NoSuchRows(DataError):
    """
    Rows that were to be written are not there.

    Attributes:
        count: How many.
        sample: The keys of some of them.
    """

    def __init__(self, what: str, count: int, sample: Sequence[str], *, table: str) -> None:
        self.count, self.sample = count, list(sample)
        super().__init__(
            what,
            table=table,
            facts=f"for example {', '.join(self.sample)}",
            hint="Check the key columns of the rows; to add rows, INSERT them.",
        )


class CheckpointMismatch(MigrationError):
    """A resumable migration does not come to the loop in which it was interrupted."""

    def __init__(self, version: int, recorded: str, found: str) -> None:
        self.version, self.recorded, self.found = version, recorded, found
        super().__init__(
            f"Migration {version} was interrupted in a loop that it does not come to any more, so it cannot go on.\n"
            f"  it read {recorded}; {found}\n"
            "Run it as it was, or have it start over (its finished batches stay): sqlmig repair, then sqlmig up"
        )


class TakenOver(MigrationError):
    """Another process goes on with a resumable migration that this one was in; its last batch was undone."""

    def __init__(self, version: int, owner: str) -> None:
        self.version = version
        super().__init__(
            f"Migration {version} was taken over, so this process has stopped in it.\n"
            f"  {owner}; the batch that was under way here was undone\n"
            "See how far it is: sqlmig status"
        )


class DatabaseUnavailable(MigrationError):
    """
    The database cannot do what was asked of it now.

    Attributes:
        lost: Whether the connection was lost.
    """

    lost = False


class DatabaseLocked(DatabaseUnavailable):
    """Another connection holds the lock and did not release it in time."""

    def __init__(self, database: str, timeout: float, holder: str = "", hint: str = "", *, waited: bool = True) -> None:
        self.timeout = timeout
        stayed = f", and stayed so for {timeout:g} s (lock_timeout)" if waited else ""
        super().__init__(
            f"The database {database} is locked{stayed}.\n"
            f"  {holder or 'another process or connection has an open write transaction on it'}\n"
            + (hint or f"Find the holder, end it, and start again: {_holder_command(database)}")
        )


class DatabaseNotWritable(DatabaseUnavailable):
    """The file, its folder or the connection is read-only."""

    def __init__(self, database: str, reason: str, hint: str = "") -> None:
        super().__init__(
            f"The database {database} cannot be written: {reason}.\n"
            "  What was asked for needs to write to it; nothing was changed.\n"
            + (hint or "Check the permissions of the file and of its folder, and mode=ro in the URL.")
        )


class DiskFull(DatabaseUnavailable):
    """
    There was no room for what was to be written; it was undone, or not begun.

    Attributes:
        needed, free: Bytes, where it was found out before.
        folder: Where they are needed.
    """

    def __init__(
        self,
        database: str,
        reason: str,
        *,
        undone: str = "What had been begun was undone; the database is as it was.",
        hint: str = "Free space on its disk (or raise PRAGMA max_page_count), then start again.",
        needed: int | None = None,
        free: int | None = None,
        folder: str | None = None,
    ) -> None:
        self.needed, self.free, self.folder = needed, free, folder
        super().__init__(f"No room is left for the database {database}: {reason}.\n  {undone}\n{hint}")


class NotADatabase(DatabaseUnavailable):
    """The file exists and is not a database, or is a damaged one."""

    def __init__(self, database: str, reason: str) -> None:
        super().__init__(
            f"{database} is not a database that can be read: {reason}.\n"
            "  It may be encrypted, damaged or another kind of file; nothing was changed.\n"
            "Check the path, or restore the file from a backup."
        )


def how_to_settle(retry: str) -> str:
    """What to do about a migration of which a part is permanent."""
    if not retry.startswith("sqlmig"):
        return f"Look at the schema, put it as it was before or mend the migration, then: {retry}"
    return (
        f"Look at the schema, say what is so, then start again with: {retry}\n"
        f"{_SETTLED}retry             it is to run once more, from its beginning\n"
        f"{_SETTLED}mark-applied      it is complete, by hand perhaps\n"
        f"{_SETTLED}mark-rolled-back  nothing is left of it"
    )


def shorten(text: str, limit: int = 300) -> str:
    """*text* on one line, cut to *limit* characters."""
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def near_matches(name: str, available: Sequence[str]) -> list[str]:
    """The names most like *name*, as they are spelled."""
    import difflib

    spelled = {known.lower(): known for known in available}
    return [spelled[found] for found in difflib.get_close_matches(name.lower(), list(spelled), n=3)]


def _listed(names: Sequence[str]) -> str:
    return "[" + ", ".join(f'"{name}"' for name in names) + "]"


def _holder_command(database: str) -> str:
    return "fuser -v " + database if database.startswith("/") else "see which processes have it open"


def _ranges(numbers: Sequence[int]) -> str:
    """`[1, 2, 3, 7]` as `1-3, 7`."""
    spans: list[list[int]] = []
    for number in sorted(numbers):
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ", ".join(f"{a}" if a == b else f"{a}-{b}" for a, b in spans)
