"""ALTER TABLE on MariaDB and MySQL, where each statement commits by itself."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from sqlalchemy import literal
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.elements import ClauseElement

from .. import data_checks
from ..changes import UNSET, AddForeignKey, AlterColumn, Default, RenameColumn
from ..ddl import Part, Statement, default_part, expression_part, raw, type_part
from .mysql_columns import ColumnDefinition, read_definition
from .server_errors import error_code
from .table import NativeTable

if TYPE_CHECKING:
    from .catalogue import Constraint, User
    from .mysql_catalogue import MysqlCatalogue

__all__ = ["MysqlTable"]

_STRINGS: Final = {"char", "varchar", "tinytext", "text", "mediumtext", "longtext", "enum", "set"}
_TEMPORAL: Final = {"date", "datetime", "timestamp"}
_NUMERIC: Final = {
    *("tinyint", "smallint", "mediumint", "int", "integer", "bigint", "bool", "boolean"),
    *("decimal", "numeric", "float", "double", "real", "bit"),
}
_NUMBER: Final = r"^[[:space:]]*[-+]?([0-9]+[.]?[0-9]*|[.][0-9]+)(e[-+]?[0-9]+)?[[:space:]]*$"
_BARE_DEFAULT: Final = re.compile(r"\s*(current_timestamp|now|localtime|localtimestamp)\b", re.IGNORECASE)
_SPARE: Final = "sqlmig_converted"
_NO_COLUMN: Final = 1054


class MysqlTable(NativeTable):
    """
    One table of a server that cannot roll back its ALTER.

    A column's definition is edited as the server stores it, so that its other parts stay.
    """

    catalogue: MysqlCatalogue

    def add_foreign_key(self, change: AddForeignKey) -> None:
        if change.deferrable or (change.initially or "").upper() == "DEFERRED":
            raise self.refuse(f"A foreign key of {self.table} cannot be deferrable: the database has none such")
        plain_key = AddForeignKey(
            change.name, change.columns, change.ref_table, change.ref_columns, change.ondelete, change.onupdate
        )
        super().add_foreign_key(plain_key)

    def primary_key_clauses(self, old: Constraint | None, columns: Sequence[str]) -> list[Statement]:
        clauses = [Statement("DROP PRIMARY KEY")] if old else []
        return [*clauses, *([Statement("ADD PRIMARY KEY ({})", columns)] if columns else [])]

    def rename_column(self, change: RenameColumn) -> None:
        try:
            super().rename_column(change)
        except DBAPIError as error:
            if error_code(error) != _NO_COLUMN:
                raise
            # MariaDB may look for the old name in what it has open, where something is computed of the column; once.
            super().rename_column(change)

    def alter_column(self, change: AlterColumn) -> None:
        name = self.catalogue.column(self.table, change.name)
        old = read_definition(self.connection, self.sql_name, name)
        self._require_plain(name, old, change)
        self.require_nullability(name, change)
        new = self._edited(old, change)
        if change.using is not None:
            self._convert(name, old, new, change)
        elif new != old.with_part("default", new.parts.get("default")):
            if change.type_ is not UNSET or change.collation is not UNSET:
                self._require_fitting(name, old, new)
            self._modify(name, new)
        elif change.server_default is not UNSET:
            self._set_default(name, old, change.server_default)

    def _require_plain(self, name: str, old: ColumnDefinition, change: AlterColumn) -> None:
        if not old.generated:
            return
        if change.server_default is not UNSET or change.nullable is not UNSET or change.using is not None:
            raise self.refuse(f"The column {name} of {self.table} is generated: its expression alone makes its values")

    def _edited(self, old: ColumnDefinition, change: AlterColumn) -> ColumnDefinition:
        """The stored definition with the parts that the change names."""
        new = old
        if change.type_ is not UNSET:
            new = self._with_type(new, self.sql(type_part(change.type_)))
        if change.collation is not UNSET:
            collate = change.collation and f"COLLATE {self.sql(change.collation)}"
            # The character set follows from the collation.
            new = new.with_part("charset", None).with_part("collate", collate or None)
        if change.comment is not UNSET:
            comment = f"COMMENT {self.sql(literal(change.comment))}" if change.comment else None
            new = new.with_part("comment", comment)
        if change.nullable is not UNSET:
            new = new.with_part("null", "NULL" if change.nullable else "NOT NULL")
        if change.server_default is not UNSET:
            new = new.with_part("default", self._default_sql(change.server_default))
        if not new.nullable and new.parts.get("default", "").upper() == "DEFAULT NULL":
            new = new.with_part("default", None)
        # A stored NULL is not written where it is understood.
        return new.with_part("null", None) if new.nullable and old.nullable and "null" not in old.parts else new

    def _with_type(self, old: ColumnDefinition, sql: str) -> ColumnDefinition:
        asked = ColumnDefinition.parse(sql)
        new = old.with_part("type", asked.parts["type"])
        if asked.type_name not in _STRINGS:
            return new.with_part("charset", None).with_part("collate", None)
        if "charset" in asked.parts or "collate" in asked.parts:
            for part in ("charset", "collate"):
                new = new.with_part(part, asked.parts.get(part))
        return new

    def _default_sql(self, default: Default) -> str | None:
        return None if default is None else f"DEFAULT {self.sql(self._default_part(default))}"

    def _default_part(self, default: Default) -> Part:
        """An expression stands in parentheses, but for the time of now, which MySQL wants bare."""
        part = default_part(default)
        computed = isinstance(default, ClauseElement) and not _BARE_DEFAULT.match(self.sql(part))
        return Statement("({})", part) if computed else part

    def _set_default(self, name: str, old: ColumnDefinition, default: Default) -> None:
        """Without a default of NULL, a nullable column would demand a value of every INSERT."""
        if default is None and not old.nullable:
            self.run(Statement("ALTER COLUMN {} DROP DEFAULT", name))
            return
        value = raw("NULL") if default is None else self._default_part(default)
        if isinstance(default, ClauseElement) and not isinstance(value, Statement):
            # SET DEFAULT takes no bare function, and MODIFY does.
            self._modify(name, old.with_part("default", self._default_sql(default)))
        else:
            self.run(Statement("ALTER COLUMN {} SET DEFAULT {}", name, value))

    def _modify(self, name: str, definition: ColumnDefinition) -> None:
        self.run(Statement("MODIFY COLUMN {} {}", name, raw(definition.render())))

    def _require_fitting(self, name: str, old: ColumnDefinition, new: ColumnDefinition) -> None:
        """
        Refuse a type that would make another value of one that is there.

        The values go through a temporary table with both types: neither its making nor its end commits.
        """
        if old.generated:
            return
        key = self.catalogue.key(self.table)
        names = ", ".join([*map(self.sql, key), "sqlmig_old, sqlmig_new"])
        listed = ", ".join(self.sql(column) for column in [*key, name, name])
        data_checks.fetch(self.connection, f"CREATE TEMPORARY TABLE {_SPARE} ({self._spare_shape(key, old, new)})")
        try:
            filled = f"INSERT IGNORE INTO {_SPARE} ({names}) SELECT {listed} FROM {self.sql_name}"
            data_checks.fetch(self.connection, filled)
            data_checks.fetch(self.connection, f"UPDATE IGNORE {_SPARE} SET sqlmig_back = sqlmig_new")
            found = data_checks.offenders(self.connection, _SPARE, _changed(old, new), self.sql_key())
        finally:
            data_checks.fetch(self.connection, f"DROP TEMPORARY TABLE {_SPARE}")
        hint = "Say what becomes of them with using=, or mend these rows first."
        self.require_none(found, f"hold a value in {name} that does not fit {new.parts['type']}", hint)

    def _spare_shape(self, key: Sequence[str], old: ColumnDefinition, new: ColumnDefinition) -> str:
        known = [(column, read_definition(self.connection, self.sql_name, column)) for column in key]
        keys = [f"{self.sql(column)} {_bare(definition)}" for column, definition in known]
        return ", ".join([*keys, f"sqlmig_old {_bare(old)}", f"sqlmig_new {_bare(new)}", f"sqlmig_back {_bare(old)}"])

    def _convert(self, name: str, old: ColumnDefinition, new: ColumnDefinition, change: AlterColumn) -> None:
        """
        Give the column its new type and what an expression makes of its values.

        The new values are made in a spare column, which takes the old one's place in one statement: whatever fails
        before that leaves the column as it was.
        """
        self._require_convertible(name)
        if _SPARE in self.catalogue.columns(self.table):
            # Of an attempt that was killed.
            self.run(Statement("DROP COLUMN {}", _SPARE))
        self.run(Statement("ADD COLUMN {} {} AFTER {}", _SPARE, raw(_bare(new)), name))
        try:
            self._fill_spare(expression_part(change.using or name))
            if not new.nullable:
                empty = data_checks.nulls(self.connection, self.sql_name, [_SPARE], self.sql_key())
                self.require_none(empty, f"would be NULL in {name}, which is NOT NULL")
            taken = Statement("CHANGE COLUMN {} {} {}", _SPARE, name, raw(new.render()))
            self.run(Statement("DROP COLUMN {}", name), taken)
        except BaseException:
            self.run(Statement("DROP COLUMN {}", _SPARE))
            raise

    def _require_convertible(self, name: str) -> None:
        if triggers := self.catalogue.updated_by_triggers(self.table):
            what = f"Values of {self.table} cannot be converted: its UPDATE would fire {', '.join(triggers)}"
            raise self.refuse(what, "Drop the trigger, convert, and create it again.")
        users = [user for user in self.catalogue.column_users(self.table, name) if user.drop is not None]
        if users:
            what = f"Values of {name} of {self.table} cannot be converted while these use it: {_listed(users)}"
            raise self.refuse(what, "Drop these, convert, and create them again.")

    def _fill_spare(self, value: Part) -> None:
        """Set the spare column in every row, and no other: ON UPDATE CURRENT_TIMESTAMP would set its own."""
        touched = self.catalogue.touched_by_updates(self.table)
        kept = [Statement("{} = {}", column, column) for column in touched]
        self.connection.execute(Statement("UPDATE {} SET {}", self.table, [Statement("{} = {}", _SPARE, value), *kept]))


def _bare(definition: ColumnDefinition) -> str:
    """The type alone, with its character set."""
    parts = (definition.parts.get(part) for part in ("type", "charset", "collate"))
    return " ".join(part for part in parts if part) + " NULL"


def _listed(users: Sequence[User]) -> str:
    return ", ".join(map(str, users))


def _changed(old: ColumnDefinition, new: ColumnDefinition) -> str:
    """Whether `sqlmig_new`, which was made of `sqlmig_old`, is another value."""
    if old.type_name in _STRINGS and new.type_name in _NUMERIC:
        # The server reads 12 in '12abc'.
        unread = f"sqlmig_old NOT REGEXP '{_NUMBER}'"
        other = "CAST(sqlmig_old AS DECIMAL(65, 20)) <> CAST(sqlmig_new AS DECIMAL(65, 20))"
        return f"sqlmig_old IS NOT NULL AND ({unread} OR {other})"
    if old.type_name in _STRINGS and new.type_name in _TEMPORAL:
        # What is no time becomes the day zero, by a cast as well where sql_mode is lenient.
        zero = "(CAST(sqlmig_new AS CHAR) LIKE '0000-00-00%' AND sqlmig_old NOT LIKE '0000-00-00%')"
        return f"{zero} OR NOT (CAST(sqlmig_old AS DATETIME(6)) <=> CAST(sqlmig_new AS DATETIME(6)))"
    if old.type_name in _STRINGS:
        return "NOT (BINARY sqlmig_old <=> BINARY sqlmig_back)"
    return "NOT (sqlmig_old <=> sqlmig_back)"
