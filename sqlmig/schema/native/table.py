"""The changes of one table by native ALTER, as far as PostgreSQL, MariaDB and MySQL agree on them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy.schema import CheckConstraint, CreateColumn, CreateIndex, PrimaryKeyConstraint

from ...errors import DataContradicts, NoSuchObject, ObjectExists, ObjectInUse, SchemaError, UnsupportedChange
from .. import data_checks
from ..changes import (
    AddCheck,
    AddColumn,
    AddForeignKey,
    AddUnique,
    AlterColumn,
    Change,
    ChangePrimaryKey,
    DropColumn,
    DropConstraint,
    RenameColumn,
    TableName,
)
from ..data_checks import Offenders, rows
from ..ddl import Part, Statement, expression_part, plain, quoted

if TYPE_CHECKING:
    from sqlalchemy import Column

    from .catalogue import Catalogue, Constraint, User

__all__ = ["NativeTable"]

_ACTIONS: Final = {"CASCADE", "SET NULL", "SET DEFAULT", "RESTRICT", "NO ACTION"}
_TIMES: Final = {"DEFERRED", "IMMEDIATE"}


class NativeTable(ABC):
    """
    One table that is there, and what can be done to it.

    Everything is looked up again for each change: the one before it may have changed the answer. What the rows
    contradict is found before a change is sent.
    """

    def __init__(self, catalogue: Catalogue, table: TableName) -> None:
        self.catalogue, self.table = catalogue, table
        self.connection = catalogue.connection
        self.dialect = catalogue.connection.dialect
        self.sql_name = quoted(self.connection, table)

    def apply(self, change: Change) -> None:
        """Carry out one change."""
        match change:
            case AddColumn():
                self.add_column(change.column)
            case DropColumn():
                self.drop_column(change)
            case RenameColumn():
                self.rename_column(change)
            case AlterColumn():
                self.alter_column(change)
            case AddCheck():
                self.add_check(change)
            case AddUnique():
                self.add_unique(change)
            case AddForeignKey():
                self.add_foreign_key(change)
            case ChangePrimaryKey():
                self.change_primary_key(change.columns)
            case DropConstraint():
                self.drop_constraint(change)

    @abstractmethod
    def alter_column(self, change: AlterColumn) -> None:
        """Change what is not UNSET of a column, and nothing else of it."""

    @abstractmethod
    def primary_key_clauses(self, old: Constraint | None, columns: Sequence[str]) -> list[Statement]:
        """What replaces the primary key."""

    def prepare_type(self, type_: Any) -> None:
        """Make what a type needs beside the table; most databases need nothing."""
        return None

    def describe_column(self, column: Column[Any]) -> None:
        """Set what a column's definition has no room for."""
        return None

    def add_column(self, column: Column[Any]) -> None:
        """Add a column with the constraints and indexes that come along with it."""
        self._require_absent(column.name)
        self._require_a_value(column)
        self.prepare_type(column.type)
        clauses = [Statement("ADD COLUMN {}", CreateColumn(column))]
        if column.primary_key:
            self._require_no_key()
            clauses.append(Statement("ADD PRIMARY KEY ({})", column.name))
        clauses += [Statement("ADD {}", constraint) for constraint in self._constraints_of(column)]
        self.run(*clauses)
        for index in sorted(column.table.indexes, key=lambda one: str(one.name)):
            self.connection.execute(CreateIndex(index))
        self.describe_column(column)

    def drop_column(self, change: DropColumn) -> None:
        """Drop a column; with cascade, what uses it before it, but never a view or a trigger."""
        name = self.catalogue.column(self.table, change.name)
        users = self._all_users(name)
        kept = [user for user in users if user.drop is None]
        if kept or (users and not change.cascade):
            self._refuse_use(f"column {name} of {self.table}", users, kept)
        for user in users:
            if user.drop is not None:
                self.connection.execute(user.drop)
        self.run(Statement("DROP COLUMN {}", name))

    def rename_column(self, change: RenameColumn) -> None:
        """Rename a column; what the database follows by itself follows."""
        old = self.catalogue.column(self.table, change.old)
        if old == change.new:
            return
        # The same name in other letters is not in its own way.
        if not self.catalogue.same(old, change.new):
            self._require_absent(change.new)
        if readers := self.catalogue.column_readers(self.table, old):
            raise ObjectInUse(
                f"The column {old} of {self.table} cannot be renamed: what reads it would go on using the old name.",
                [str(user) for user in readers],
                table=str(self.table),
                hint="Drop these, rename the column, and create them again with its new name.",
            )
        self.run(Statement("RENAME COLUMN {} TO {}", old, change.new))

    def add_check(self, change: AddCheck) -> None:
        """Add a CHECK that the rows fulfil."""
        self._require_free(change.name)
        condition = expression_part(change.condition)
        found = data_checks.violations(self.connection, self.sql_name, self.sql(condition), self.sql_key())
        self.require_none(found, f"break the check {change.name or self.sql(condition)}")
        # The line break ends a comment that the condition ends with.
        self.run(self._named(change.name, "CHECK ({}\n)", condition))

    def add_unique(self, change: AddUnique) -> None:
        """Add a UNIQUE that the rows fulfil."""
        self._require_free(change.name)
        columns = self._columns(change.columns)
        self._require_distinct(columns, "unique constraint")
        self.run(self._named(change.name, "UNIQUE ({})", columns))

    def add_foreign_key(self, change: AddForeignKey) -> None:
        """Add a FOREIGN KEY that the rows fulfil; its table lies in this one's schema where it names none."""
        self._require_free(change.name)
        columns = self._columns(change.columns)
        target = TableName(change.ref_table.schema or self.table.schema, change.ref_table.name)
        self.catalogue.require(target)
        ref_columns = [self.catalogue.column(target, name) for name in change.ref_columns]
        if len(columns) != len(ref_columns):
            raise SchemaError(
                f"A foreign key of {self.table} has {len(columns)} columns and refers to {len(ref_columns)}.",
                table=str(self.table),
            )
        options = self._key_options(change)
        names, there = ([self.sql(name) for name in listed] for listed in (columns, ref_columns))
        ref_name = quoted(self.connection, target)
        found = data_checks.orphans(self.connection, self.sql_name, names, ref_name, there, self.sql_key())
        self.require_none(found, f"refer to no row of {target}")
        words = "FOREIGN KEY ({}) REFERENCES {} ({})" + "".join(f" {option}" for option in options)
        self.run(self._named(change.name, words, columns, target, ref_columns))

    def change_primary_key(self, wanted: Sequence[str]) -> None:
        """Make *wanted* the primary key; nothing, where it is empty."""
        columns = self._columns(wanted)
        old = next((one for one in self.catalogue.constraints(self.table) if one.kind == "primary_key"), None)
        if list(old.columns if old else []) == columns:
            return
        if users := self.catalogue.key_users(self.table):
            self._refuse_use(f"primary key of {self.table}", users, users)
        if columns:
            names = [self.sql(name) for name in columns]
            found = data_checks.nulls(self.connection, self.sql_name, names, self.sql_key())
            self.require_none(found, f"are NULL in {', '.join(columns)}, which is to be the primary key")
            self._require_distinct(columns, "primary key")
        self.run(*self.primary_key_clauses(old, columns))

    def drop_constraint(self, change: DropConstraint) -> None:
        """Drop the one constraint that is meant."""
        if change.name is None and change.kind is None:
            raise SchemaError(
                f"Which constraint of {self.table} to drop was not said; nothing was changed.",
                table=str(self.table),
                hint="Give its name, or its kind and columns.",
            )
        known = self.catalogue.constraints(self.table)
        found = [one for one in known if self._is_meant(change, one)]
        if not found:
            kind = (change.kind or "constraint").replace("_", " ")
            asked = change.name or f"over ({', '.join(change.columns or [])})"
            raise NoSuchObject(kind, asked, [one.name for one in known], table=str(self.table))
        if len(found) > 1:
            raise SchemaError(
                f"More than one constraint of {self.table} is meant; nothing was changed.",
                table=str(self.table),
                facts=f"there is: {', '.join(map(str, found))}",
                hint="Say which by its name, or by its kind and columns.",
            )
        self.connection.execute(found[0].drop)

    def run(self, *clauses: Statement) -> None:
        """Send clauses as one ALTER TABLE."""
        if clauses:
            self.connection.execute(Statement("ALTER TABLE {} {}", self.table, clauses))

    def sql(self, part: Part) -> str:
        """A part as plain SQL."""
        return plain(self.dialect, part)

    def sql_key(self) -> list[str]:
        """The primary key's columns, quoted."""
        return [self.sql(name) for name in self.catalogue.key(self.table)]

    def require_none(self, found: Offenders, what: str, hint: str = "") -> None:
        """
        Return if there are no such rows.

        Raises:
            DataContradicts: There are.
        """
        if found:
            said = f"{rows(found.count)} of {self.table} {what}; nothing was changed."
            raise DataContradicts(said, found.count, found.sample, table=str(self.table), hint=hint)

    def require_nullability(self, name: str, change: AlterColumn) -> None:
        """Refuse NOT NULL where a row has, or would get, a NULL; and NULL in a primary key."""
        if change.nullable is True and name in self.catalogue.key(self.table):
            # MariaDB would say yes and change nothing.
            raise self.refuse(f"The column {name} of {self.table} is in its primary key and takes no NULL")
        if change.nullable is False:
            value = self.sql(name if change.using is None else expression_part(change.using))
            found = data_checks.nulls(self.connection, self.sql_name, [value], self.sql_key())
            self.require_none(found, f"are NULL in {name}, which is to be NOT NULL")

    def refuse(self, what: str, hint: str = "") -> UnsupportedChange:
        """The error for what the database cannot have."""
        return UnsupportedChange(f"{what}; nothing was changed.", table=str(self.table), hint=hint)

    def _require_absent(self, name: str) -> None:
        self.catalogue.require_name(name)
        if any(self.catalogue.same(name, known) for known in self.catalogue.columns(self.table)):
            raise ObjectExists("column", name, table=str(self.table))

    def _require_free(self, name: str | None) -> None:
        if name is None:
            return
        self.catalogue.require_name(name)
        if any(self.catalogue.same(name, one.name) for one in self.catalogue.constraints(self.table)):
            raise ObjectExists("constraint", name, table=str(self.table), hint="Take another name.")

    def _require_no_key(self) -> None:
        if key := self.catalogue.key(self.table):
            hint = "Add it without primary_key=True, then change_primary_key."
            raise ObjectExists("primary key", f"({', '.join(key)})", table=str(self.table), hint=hint)

    def _require_a_value(self, column: Column[Any]) -> None:
        """MariaDB would fill a NOT NULL column with '' or 0 that nobody asked for."""
        filled = column.server_default is not None or column.computed is not None or column.identity is not None
        if column.nullable or filled or (column.primary_key and column.table._autoincrement_column is column):
            return
        listed = data_checks.offenders(self.connection, self.sql_name, "1 = 1", self.sql_key())
        hint = "Give it a server_default, or add it nullable, fill it, and set nullable=False."
        self.require_none(listed, f"would have no value for {column.name}, which is NOT NULL without a default", hint)

    def _require_distinct(self, columns: Sequence[str], what: str) -> None:
        names = [self.sql(name) for name in columns]
        found = data_checks.duplicates(self.connection, self.sql_name, names, self.sql_key())
        self.require_none(found, f"share their values of {', '.join(columns)} with another, against the {what}")

    def _constraints_of(self, column: Column[Any]) -> list[Any]:
        """What CreateColumn leaves out: UNIQUE, FOREIGN KEY, and the CHECK of a type."""
        compiler = self.dialect.ddl_compiler(self.dialect, None)  # type: ignore[arg-type]
        found = []
        for constraint in column.table.constraints:
            rule = getattr(constraint, "_create_rule", None)
            inline = isinstance(constraint, CheckConstraint) and constraint in column.constraints
            if not isinstance(constraint, PrimaryKeyConstraint) and not inline and (rule is None or rule(compiler)):
                found.append(constraint)
        return sorted(found, key=lambda one: (str(one.name or ""), type(one).__name__))

    def _all_users(self, name: str, seen: frozenset[str] = frozenset()) -> list[User]:
        """What uses the column, and what uses the generated columns that would go with it, before these."""
        found: list[User] = []
        for user in self.catalogue.column_users(self.table, name):
            if user.kind == "generated column" and user.name not in seen:
                found += self._all_users(user.name, seen | {name, user.name})
            found.append(user)
        return list(dict.fromkeys(found))

    def _refuse_use(self, what: str, users: Sequence[User], kept: Sequence[User]) -> None:
        hint = "Drop these first."
        if not kept:
            hint = "Drop these first, or ask for cascade=True to drop them along."
        elif len(kept) < len(users):
            hint = f"Drop {', '.join(map(str, kept))} first; cascade=True drops the rest along."
        said = f"The {what} is in use; nothing was changed."
        raise ObjectInUse(said, [str(user) for user in users], table=str(self.table), hint=hint)

    def _is_meant(self, change: DropConstraint, one: Constraint) -> bool:
        if change.name is not None and not self.catalogue.same(change.name, one.name):
            return False
        if change.columns is not None:
            wanted, there = list(change.columns), list(one.columns)
            # The order of a CHECK's columns is nobody's choice.
            if one.kind == "check":
                wanted, there = sorted(wanted), sorted(there)
            if len(wanted) != len(there) or not all(map(self.catalogue.same, wanted, there)):
                return False
        return change.kind in (None, one.kind)

    def _columns(self, names: Sequence[str]) -> list[str]:
        return [self.catalogue.column(self.table, name) for name in names]

    def _named(self, name: str | None, words: str, *parts: Part) -> Statement:
        if name is None:
            return Statement(f"ADD {words}", *parts)
        return Statement(f"ADD CONSTRAINT {{}} {words}", name, *parts)

    def _key_options(self, change: AddForeignKey) -> list[str]:
        options = []
        for event, action in (("DELETE", change.ondelete), ("UPDATE", change.onupdate)):
            if action is not None:
                options.append(f"ON {event} {self._word(action, _ACTIONS)}")
        if change.deferrable is not None:
            options.append("DEFERRABLE" if change.deferrable else "NOT DEFERRABLE")
        if change.initially is not None:
            options.append(f"INITIALLY {self._word(change.initially, _TIMES)}")
        return options

    def _word(self, given: str, known: set[str]) -> str:
        word = " ".join(given.upper().split())
        if word not in known:
            raise self.refuse(f"{given!r} is none of {', '.join(sorted(known))}")
        return word
