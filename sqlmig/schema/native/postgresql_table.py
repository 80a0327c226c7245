"""ALTER TABLE on PostgreSQL."""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import literal, null
from sqlalchemy.dialects.postgresql import NamedType
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import SetColumnComment
from sqlalchemy.types import TypeEngine

from ...errors import ObjectInUse
from .. import data_checks
from ..changes import UNSET, AlterColumn
from ..data_checks import Offenders
from ..ddl import Part, Statement, default_part, expression_part, raw, type_part
from .server_errors import error_code
from .table import NativeTable

if TYPE_CHECKING:
    from sqlalchemy import Column

    from .catalogue import Constraint
    from .postgresql_catalogue import PostgresqlCatalogue

__all__ = ["PostgresqlTable"]

_MISMATCH: Final = "42804"
_NO_CAST: Final = "42846"
_CONSTANT: Final = re.compile(r"(?:'(?:[^']|'')*'|\(?-?[\d.]+\)?)(?:::[^()']+(?:\([\d,]+\))?)?")
_JUDGE: Final = "pg_temp.sqlmig_does_not_fit"
_BAD_VALUE: Final = ("22", "23")
_COLUMN: Final = """
SELECT CAST(a.attname AS text) AS name, format_type(a.atttypid, a.atttypmod) AS type,
       CAST(t.typcategory AS text) AS category, pg_get_expr(d.adbin, d.adrelid) AS default_sql,
       a.attgenerated <> '' AS generated, a.attidentity <> '' AS identity,
       CASE WHEN a.attcollation <> t.typcollation THEN CAST(n.nspname AS text) END AS collation_schema,
       CAST(c.collname AS text) AS collation
FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
LEFT JOIN pg_collation c ON c.oid = a.attcollation LEFT JOIN pg_namespace n ON n.oid = c.collnamespace
WHERE a.attrelid = :oid AND a.attname = :name
"""


@dataclass(frozen=True)
class _Column:
    name: str
    type: str
    category: str
    default_sql: str | None
    generated: bool
    identity: bool
    collation_schema: str | None
    collation: str | None

    @property
    def default(self) -> str | None:
        """The expression of its default; what makes a generated column is none."""
        return None if self.generated or self.identity else self.default_sql


class PostgresqlTable(NativeTable):
    """Each change is one ALTER TABLE, in the transaction that is open."""

    catalogue: PostgresqlCatalogue

    def prepare_type(self, type_: Any) -> None:
        """Create an ENUM or DOMAIN that is not there yet."""
        known = type_ if isinstance(type_, TypeEngine) else type_part(type_)
        made = known.dialect_impl(self.dialect) if isinstance(known, TypeEngine) else None
        if isinstance(made, NamedType):
            made.create(self.connection, checkfirst=True)

    def describe_column(self, column: Column[Any]) -> None:
        if column.comment is not None:
            self.connection.execute(SetColumnComment(column))

    def primary_key_clauses(self, old: Constraint | None, columns: Sequence[str]) -> list[Statement]:
        """The new key takes over the old one's name."""
        clauses = [Statement("DROP CONSTRAINT {}", old.name)] if old else []
        if columns:
            clauses.append(self._named(old.name if old else None, "PRIMARY KEY ({})", columns))
        return clauses

    def alter_column(self, change: AlterColumn) -> None:
        column = self._read(self.catalogue.column(self.table, change.name))
        self._require_plain(column, change)
        self.require_nullability(column.name, change)
        if change.type_ is not UNSET or change.collation is not UNSET or change.using is not None:
            self._retype(column, change)
        else:
            self.run(*self._default_clauses(column, change), *self._null_clauses(column, change))
        if change.comment is not UNSET:
            text = null() if change.comment is None else literal(change.comment)
            self.connection.execute(Statement("COMMENT ON COLUMN {}.{} IS {}", self.table, column.name, text))

    def _read(self, name: str) -> _Column:
        [row] = self.catalogue.rows(_COLUMN, oid=self.catalogue.oid(self.table), name=name)
        return _Column(*row)

    def _require_plain(self, column: _Column, change: AlterColumn) -> None:
        if change.server_default is not UNSET and (column.generated or column.identity):
            kind = "generated" if column.generated else "an identity"
            raise self.refuse(f"The column {column.name} of {self.table} is {kind} column and takes no default")

    def _retype(self, column: _Column, change: AlterColumn) -> None:
        """
        Change the type, with what else is asked.

        The server's own conversion is tried first: it keeps the default and rewrites nothing where it need not.
        """
        self._require_retypable(column)
        if change.type_ is not UNSET:
            self.prepare_type(change.type_)
            self._require_fitting(column, change)
        try:
            with self.connection.begin_nested():
                self.run(*self._type_clauses(column, change, explicit=False))
        except DBAPIError as error:
            if error_code(error) != _MISMATCH:
                raise
            self.run(*self._type_clauses(column, change, explicit=True))

    def _require_retypable(self, column: _Column) -> None:
        users = [user for user in self.catalogue.dependents(self.table, column.name) if _blocks_retyping(user.kind)]
        if users:
            raise ObjectInUse(
                f"The type of {column.name} of {self.table} cannot change while these use it; nothing was changed.",
                [str(user) for user in users],
                table=str(self.table),
                hint="Drop these, change the type, and create them again.",
            )

    def _type_clauses(self, column: _Column, change: AlterColumn, *, explicit: bool) -> list[Statement]:
        """With *explicit*, values and default are cast where the server would not do it by itself."""
        type_ = self._target(column, change)
        words, parts = "ALTER COLUMN {} TYPE {}", [column.name, type_, *self._collation(column, change)]
        words += " COLLATE {}" if len(parts) == 3 else ""
        if change.using is not None:
            words, parts = words + " USING {}", [*parts, expression_part(change.using)]
        elif explicit:
            words, parts = words + " USING CAST({} AS {})", [*parts, column.name, type_]
        clauses = [Statement(words, *parts)]
        if change.server_default is not UNSET:
            # The old default may have no meaning in the new type.
            dropped = [] if column.default is None else [Statement("ALTER COLUMN {} DROP DEFAULT", column.name)]
            clauses = [*dropped, *clauses, *self._default_clauses(column, change)]
        elif explicit and column.default is not None:
            clauses.insert(0, Statement("ALTER COLUMN {} DROP DEFAULT", column.name))
            kept = Statement("CAST({} AS {})", raw(column.default), type_)
            clauses.append(Statement("ALTER COLUMN {} SET DEFAULT {}", column.name, kept))
        return [*clauses, *self._null_clauses(column, change)]

    def _target(self, column: _Column, change: AlterColumn) -> Part:
        """The type that the column is to have, without a collation: a cast takes none."""
        if change.type_ is UNSET:
            return raw(column.type)
        type_ = type_part(change.type_)
        if getattr(type_, "collation", None):
            type_ = copy.copy(type_)
            type_.collation = None  # type: ignore[union-attr]
        return type_

    def _collation(self, column: _Column, change: AlterColumn) -> list[Part]:
        """The collation that must be named; a change of type would lose that of the column."""
        if change.collation is not UNSET:
            return [] if change.collation is None else [change.collation]
        asked = None if change.type_ is UNSET else getattr(type_part(change.type_), "collation", None)
        if asked or column.collation_schema is None or not self._has_collation(self._target(column, change)):
            return [asked] if asked else []
        return [Statement("{}.{}", column.collation_schema, str(column.collation))]

    def _has_collation(self, type_: Part) -> bool:
        sql = "SELECT typcollation <> 0 FROM pg_type WHERE oid = to_regtype(:type)"
        rows = self.catalogue.rows(sql, type=self.sql(type_))
        return bool(rows and rows[0][0])

    def _default_clauses(self, column: _Column, change: AlterColumn) -> list[Statement]:
        if change.server_default is UNSET:
            return []
        if change.server_default is None:
            return [Statement("ALTER COLUMN {} DROP DEFAULT", column.name)]
        return [Statement("ALTER COLUMN {} SET DEFAULT {}", column.name, default_part(change.server_default))]

    def _null_clauses(self, column: _Column, change: AlterColumn) -> list[Statement]:
        if change.nullable is UNSET:
            return []
        return [Statement(f"ALTER COLUMN {{}} {'DROP' if change.nullable else 'SET'} NOT NULL", column.name)]

    def _require_fitting(self, column: _Column, change: AlterColumn) -> None:
        """Refuse a type that a value or the default does not fit, or that would make another value of it."""
        target = self.sql(self._target(column, change))
        if column.category == "S" and target.upper() in ("TEXT", "VARCHAR"):
            return
        changed = self._changed(column, target)
        if change.using is None:
            found = self._unfitting(column, target, changed)
            hint = "Say what becomes of them with using=, or mend these rows first."
            self.require_none(found, f"hold a value in {column.name} that does not fit {target}", hint)
        if change.server_default is UNSET and _CONSTANT.fullmatch(column.default or ""):
            self._require_fitting_default(column, str(column.default), target, changed)

    def _require_fitting_default(self, column: _Column, default: str, target: str, changed: str) -> None:
        """Refuse a constant default that every later INSERT would fail on, or cut."""
        cause: DBAPIError | None = None
        try:
            with self.connection.begin_nested():
                question = f"SELECT {changed.format(f'({default})', target, column.type)}"
                unfit = data_checks.fetch(self.connection, question).scalar_one()
        except DBAPIError as error:
            unfit, cause = str(error_code(error)).startswith(_BAD_VALUE), error
        if unfit:
            what = f"The default {default} of {column.name} of {self.table} does not fit {target}"
            raise self.refuse(what, "Give a server_default along with the type; None drops it.") from cause

    def _unfitting(self, column: _Column, target: str, changed: str) -> Offenders:
        try:
            with self.connection.begin_nested():
                condition = changed.format(self.sql(column.name), target, column.type)
                return data_checks.offenders(self.connection, self.sql_name, condition, self.sql_key())
        except DBAPIError as error:
            code = str(error_code(error))
            if code == _NO_CAST:
                what = f"PostgreSQL cannot make {target} of the {column.type} of {column.name} in {self.table}"
                raise self.refuse(what, "Say how with using=.") from error
            if not code.startswith(_BAD_VALUE):
                raise
        return self._judged_one_by_one(column, changed.format("$1", target, column.type))

    def _judged_one_by_one(self, column: _Column, condition: str) -> Offenders:
        """Count with a function that survives a value that cannot be cast; it is gone afterwards."""
        caught = "EXCEPTION WHEN data_exception OR integrity_constraint_violation THEN RETURN true"
        body = literal(f"BEGIN RETURN {condition}; {caught}; END")
        inner = self.connection.begin_nested()
        try:
            words = f"CREATE FUNCTION {_JUDGE}({{}}) RETURNS boolean LANGUAGE plpgsql AS {{}}"
            self.connection.execute(Statement(words, raw(column.type), body))
            unfit = f"{_JUDGE}({self.sql(column.name)})"
            return data_checks.offenders(self.connection, self.sql_name, unfit, self.sql_key())
        finally:
            inner.rollback()

    def _changed(self, column: _Column, target: str) -> str:
        """The question whether `{0}` becomes another value, with the types as `{1}` and `{2}`."""
        if self._compares(column, target):
            return "CAST(CAST({0} AS {1}) AS {2}) IS DISTINCT FROM {0}"
        # Text has many spellings for one value: that the server can read it is enough.
        return "CAST({0} AS {1}) IS NULL AND {0} IS NOT NULL"

    def _compares(self, column: _Column, target: str) -> bool:
        """Whether a value must come back the same from the new type."""
        sql = "SELECT CAST(typcategory AS text) FROM pg_type WHERE oid = to_regtype(:type)"
        rows = self.catalogue.rows(sql, type=target)
        text_to_text = bool(rows) and rows[0][0] == "S"
        return column.category not in ("S", "U") or (column.category == "S" and text_to_text)


def _blocks_retyping(kind: str) -> bool:
    return kind not in ("check", "unique", "primary key", "foreign key", "index", "constraint")
