"""Columns that come, go and change: what that makes of a plan."""

from __future__ import annotations

from ...errors import DataContradicts, ObjectExists, ObjectInUse, UnsupportedChange
from .. import data_checks
from ..changes import (
    AddColumn,
    AlterColumn,
    DropColumn,
    Unset,
)
from . import edits, sql
from .definition import ColumnDefinition, folded
from .plan import TablePlan
from .reader import DefinitionError, parse
from .short_rows import short_rows
from .users import readers_of_text
from .values import keeps_storage

__all__ = ["add_column", "alter_column", "drop_column"]


def add_column(plan: TablePlan, change: AddColumn) -> None:
    """Plan one more column, and what the rows that are there get in it."""
    specification = sql.column_specification(plan.catalogue.connection, change.column)
    column = _read_column(plan, specification)
    if plan.definition.has_column(column.name):
        raise ObjectExists("column", column.name, table=str(plan.table))
    if column.of_kind("primary_key") is not None:
        raise UnsupportedChange(
            f"The new column {column.name} of {plan.table} is a primary key; nothing was changed.",
            table=str(plan.table),
            hint=f"Add it without, fill it, then change_primary_key({str(plan.table)!r}, [{column.name!r}]).",
        )
    _require_no_text(plan, column.name)
    plan.definition = edits.add_column(plan.definition, specification)
    plan.added.add(folded(column.name))
    if not plan.is_empty:
        _fill(plan, plan.definition.column(column.name))


def _require_no_text(plan: TablePlan, name: str) -> None:
    """SQLite reads "name" as a text while there is no column of that name, and as the column from then on."""
    users = readers_of_text(plan.catalogue, plan.table, plan.definition, name)
    if users:
        raise ObjectInUse(
            f'"{name}" is used as a text where a new column {name} of {plan.table} would be meant;'
            " nothing was changed.",
            [user.what for user in users],
            table=str(plan.table),
            hint=f"Write the text in single quotes there: '{name}'.",
        )


def _read_column(plan: TablePlan, specification: str) -> ColumnDefinition:
    read = parse(f"CREATE TABLE t (a_, {specification})")
    if len(read.columns) != 2 or read.constraints:
        raise DefinitionError(f"cannot be read: {specification!r} is more than one column")
    return read.columns[1]


def _fill(plan: TablePlan, column: ColumnDefinition) -> None:
    """What the rows that are there get, in a column that is new."""
    default = column.of_kind("default")
    body = plan.definition.body_of(default) if default else "NULL"
    if column.of_kind("not_null") and not column.generated and body.upper() in ("NULL", "(NULL)"):
        there = data_checks.count(plan.catalogue.connection, plan.name)
        raise DataContradicts(
            f"The new column {column.name} of {plan.table} would be NULL in every row, and is NOT NULL;"
            " nothing was changed.",
            there,
            [],
            table=str(plan.table),
            facts=f"{data_checks.rows(there)} there",
            hint="Give it a server_default, or add it nullable, fill it, then alter_column(nullable=False).",
        )
    plan.copies |= (column.generated is not None and column.stored) or not sql.is_constant(body)
    plan.refers_anew |= column.of_kind("foreign_key") is not None and body.upper() != "NULL"
    if column.of_kind("not_null") and (column.generated or not sql.is_constant(body)):
        plan.require_not_null(column.name)
    _require_strict_default(plan, column, body)
    for check in column.constraints:
        if check.kind == "check":
            plan.require_check(check)


def _require_strict_default(plan: TablePlan, column: ColumnDefinition, default: str) -> None:
    """A STRICT table looks at the types of what is inserted, and not at what short rows read."""
    wanted = {"int": "integer"}.get(folded(column.type), folded(column.type))
    if not plan.definition.strict or wanted == "any" or column.generated:
        return
    found = sql.type_of_default(plan.catalogue, column.type, default)
    if found not in (wanted, "null"):
        raise UnsupportedChange(
            f"The default {default} of {plan.table}.{column.name} is {found} and no {column.type}, in a table that is"
            " STRICT; nothing was changed.",
            table=str(plan.table),
            hint="Give a default of the column's type.",
        )


def drop_column(plan: TablePlan, change: DropColumn) -> None:
    """Plan that a column goes; what used it is gone already."""
    column = plan.column(change.name)
    if len(plan.definition.columns) == 1:
        raise UnsupportedChange(
            f"{column.name} is the only column of {plan.table}; nothing was changed.",
            table=str(plan.table),
            hint=f"Drop the table: drop_table({str(plan.table)!r}).",
        )
    plan.definition = edits.drop_column(plan.definition, column.name)
    plan.dropped.add(folded(column.name))
    plan.copies = True


def alter_column(plan: TablePlan, change: AlterColumn) -> None:
    """Plan what was named of a column."""
    column = plan.column(change.name)
    plan.changed.add(folded(column.name))
    if change.using is not None:
        _convert(plan, column, plan.expression(change.using))
    if not isinstance(change.type_, Unset):
        _set_type(plan, column, sql.type_name(plan.catalogue.connection, change.type_))
    if not isinstance(change.collation, Unset):
        _set_collation(plan, column, change.collation)
    if not isinstance(change.server_default, Unset):
        _set_default(plan, column, sql.default(plan.catalogue.connection, change.server_default, plan.table))
    if not isinstance(change.nullable, Unset):
        _set_nullable(plan, plan.column(column.name), change.nullable)
    _require_the_rest(plan, column, change)


def _require_the_rest(plan: TablePlan, column: ColumnDefinition, change: AlterColumn) -> None:
    """What was not named of the column is to be in its definition as before."""
    named = {"default": change.server_default, "collate": change.collation, "not_null": change.nullable}
    gone = {kind for kind, value in named.items() if not isinstance(value, Unset)}
    gone |= {"null", "name"}
    before, after = (
        [(c.kind, c.name, c.words) for c in one.constraints if c.kind not in gone]
        for one in (column, plan.definition.column(column.name))
    )
    if before != after:
        raise DefinitionError(f"would have lost a constraint of {column.name}")


def _convert(plan: TablePlan, column: ColumnDefinition, expression: str) -> None:
    _refuse_generated(plan, column, "values")
    plan.sources[folded(column.name)] = expression
    plan.touch(column.name)
    if column.of_kind("not_null"):
        plan.require_not_null(column.name)


def _set_type(plan: TablePlan, column: ColumnDefinition, type_: str) -> None:
    if not sql.is_type(type_):
        raise UnsupportedChange(
            f"{type_!r} is no name of a type for {plan.table}.{column.name}; nothing was changed.",
            table=str(plan.table),
            hint="Give a SQLAlchemy type, or words like VARCHAR(20). Constraints have operations of their own.",
        )
    alias = plan.definition.rowid_alias
    if alias is not None and folded(alias) == folded(column.name) and type_.upper() != "INTEGER":
        raise UnsupportedChange(
            f"{plan.table}.{column.name} is the INTEGER PRIMARY KEY, another name of the rowid; as {type_} it would"
            " no longer number new rows by itself. Nothing was changed.",
            table=str(plan.table),
            facts="INTEGER holds 64 bits here: a BIGINT has no more room",
            hint="Leave it (on SQLite only: BigInteger().with_variant(Integer, 'sqlite')).",
        )
    old, strict = column.type, plan.definition.strict
    plan.definition = edits.set_type(plan.definition, column.name, type_)
    becomes_alias = plan.definition.rowid_alias is not None and alias is None
    if column.generated and old != type_:
        plan.touch(column.name)
    elif folded(column.name) in plan.sources or not keeps_storage(old, type_, strict=strict) or becomes_alias:
        plan.require_fit(column, type_)
        plan.touch(column.name)
    if becomes_alias:
        plan.require_not_null(column.name)


def _set_collation(plan: TablePlan, column: ColumnDefinition, collation: str | None) -> None:
    plan.definition = edits.set_collation(plan.definition, column.name, collation)
    plan.reindexed.add(folded(column.name))
    key = plan.definition.primary_key
    if plan.definition.without_rowid and key and folded(column.name) in map(folded, key.columns):
        plan.copies = True
    for constraint in plan.definition.all_constraints:
        if constraint.kind == "check" and plan.depends(plan.definition.body_of(constraint), column.name):
            plan.require_check(constraint)
    if any(
        c.generated and plan.depends(plan.definition.body_of(c.generated), column.name) for c in plan.definition.columns
    ):
        plan.copies = True
    plan.references |= plan.in_foreign_key(column.name)


def _set_default(plan: TablePlan, column: ColumnDefinition, default: str | None) -> None:
    _refuse_generated(plan, column, "default")
    if default is not None:
        default = sql.as_default(default)
    if not plan.copies and short_rows(plan.catalogue, plan.table, plan.before, column.name):
        # They read the default out of the definition: it is a part of the data.
        plan.copies = True
    _require_strict_default(plan, plan.column(column.name), default or "NULL")
    plan.definition = edits.set_default(plan.definition, column.name, default)


def _set_nullable(plan: TablePlan, column: ColumnDefinition, nullable: bool) -> None:
    plan.definition = edits.set_nullable(plan.definition, column.name, nullable)
    if nullable:
        plan.nullable.add(folded(column.name))
    else:
        plan.nullable.discard(folded(column.name))
        plan.require_not_null(column.name)


def _refuse_generated(plan: TablePlan, column: ColumnDefinition, what: str) -> None:
    if column.generated:
        raise UnsupportedChange(
            f"{plan.table}.{column.name} is a generated column and has no {what} of its own; nothing was changed.",
            table=str(plan.table),
            facts=plan.definition.text_of(column.generated),
            hint="Drop the column and add it anew.",
        )
