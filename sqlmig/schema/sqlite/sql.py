"""What callers give (Columns, types, expressions), spelled as SQLite is to store it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import CheckConstraint
from sqlalchemy.dialects.sqlite import dialect
from sqlalchemy.exc import CompileError
from sqlalchemy.schema import CreateColumn

from ...errors import NoSuchObject, UnsupportedChange
from ..changes import AddForeignKey, Default, Expression, TableName, TypeName
from ..ddl import Statement, default_part, expression_part, plain, type_part
from .catalogue import scratch_name
from .definition import TableDefinition, folded
from .reader import DefinitionError, parse
from .tokens import ends_in_line_comment, matching, quoted, significant, undisturbing

if TYPE_CHECKING:
    from sqlalchemy import Column
    from sqlalchemy.engine import Connection
    from sqlalchemy.sql.elements import ClauseElement

    from .catalogue import Catalogue
    from .plan import TablePlan

__all__ = [
    "Referenced",
    "as_default",
    "column_specification",
    "default",
    "expression",
    "foreign_key_words",
    "is_constant",
    "is_type",
    "name",
    "referenced",
    "rowid_name",
    "type_name",
    "type_of_default",
]

_PREPARER = dialect().identifier_preparer
_CONSTANTS = ("NULL", "TRUE", "FALSE")
_MOMENTS = ("CURRENT_TIMESTAMP", "CURRENT_DATE", "CURRENT_TIME")
_ACTIONS = ("SET NULL", "SET DEFAULT", "CASCADE", "RESTRICT", "NO ACTION")


def name(name: str) -> str:
    """A name as SQL, with quotes where it needs them."""
    return _PREPARER.quote(name)


def expression(connection: Connection, given: Expression | ClauseElement, table: TableName) -> str:
    """
    An expression over a table as SQL, its values written into it.

    Raises:
        UnsupportedChange: It would end, and something else begin.
    """
    sql = plain(connection.dialect, Statement("{}", expression_part(given))).strip()
    if not undisturbing(sql):
        raise UnsupportedChange(
            f"{sql!r} is no expression over {table}; nothing was changed.",
            table=str(table),
            facts="its quotes or parentheses do not match, or it holds a semicolon or a comment without an end",
            hint="Give one expression, as it would stand in parentheses.",
        )
    return f"{sql}\n" if ends_in_line_comment(sql) else sql


def type_name(connection: Connection, given: TypeName) -> str:
    """
    A type by the name it has on SQLite.

    Raises:
        UnsupportedChange: It has none.
    """
    try:
        return plain(connection.dialect, type_part(given)).strip()
    except CompileError as error:
        raise UnsupportedChange(f"SQLite has no such type: {error}; nothing was changed.") from error


def is_type(sql: str) -> bool:
    """Whether a column could be declared with it, and would have nothing else by it."""
    try:
        read = parse(f"CREATE TABLE t (a_ {sql})")
    except DefinitionError:
        return False
    return len(read.columns) == 1 and not read.constraints and not read.columns[0].constraints and not read.strict


def default(connection: Connection, given: Default, table: TableName) -> str | None:
    """A server default as SQL: a str is a literal, as in SQLAlchemy."""
    if given is None:
        return None
    if isinstance(given, bool):
        return str(int(given))
    return expression(connection, default_part(given), table)


def as_default(sql: str) -> str:
    """In parentheses, where it is more than a literal."""
    found = significant(sql)
    if found[0].text == "(" and matching(found, 0) == len(found) - 1:
        return sql
    rest = found[1:] if found[0].text in ("+", "-") else found
    literal = len(rest) == 1 and (
        rest[0].kind in ("number", "string", "blob") or rest[0].is_word(*_CONSTANTS, *_MOMENTS)
    )
    return sql if literal else f"({sql})"


def is_constant(sql: str) -> bool:
    """Whether SQLite gives a default to the rows that are there without writing them."""
    return not sql.startswith("(") and not significant(sql)[0].is_word(*_MOMENTS)


def type_of_default(catalogue: Catalogue, type_: str, default: str) -> str:
    """What `typeof` tells of a default in a column of a type, tried on a table that is gone at once."""
    table = quoted(scratch_name("default"))
    with catalogue.undone():
        catalogue.run(f"CREATE TABLE temp.{table} (c {type_} DEFAULT {default})")
        catalogue.run(f"INSERT INTO temp.{table} DEFAULT VALUES")
        return str(catalogue.value(f"SELECT typeof(c) FROM temp.{table}"))


def column_specification(connection: Connection, column: Column[Any]) -> str:
    """A column as it stands in CREATE TABLE, with its CHECKs and its foreign key, but without UNIQUE."""
    try:
        compiled: Any = CreateColumn(column).compile(dialect=connection.dialect)
    except CompileError as error:
        raise UnsupportedChange(f"SQLite has no such column: {error}; nothing was changed.") from error
    words = [compiled.string]
    for key in column.foreign_keys:
        table, _, target = key.target_fullname.rpartition(".")
        constraint = f"CONSTRAINT {name(str(key.name))} " if key.name else ""
        words.append(f"{constraint}REFERENCES {name(table.rpartition('.')[2])} ({name(target)})")
        words.append(compiled.define_constraint_cascades(key) + compiled.define_constraint_deferrability(key))
    for check in column.table.constraints:
        # Those of its type are among them: Boolean or Enum with create_constraint=True.
        if isinstance(check, CheckConstraint):
            words.append(str(compiled.process(check)))
    return " ".join(word.strip() for word in words if word.strip())


def foreign_key_words(change: AddForeignKey) -> str:
    """What follows the columns of a foreign key."""
    words = ""
    for event, action in (("DELETE", change.ondelete), ("UPDATE", change.onupdate)):
        if action is not None:
            words += f" ON {event} {_one_of(action, _ACTIONS)}"
    if change.deferrable is not None:
        words += " DEFERRABLE" if change.deferrable else " NOT DEFERRABLE"
    if change.initially is not None:
        words += " DEFERRABLE" if change.deferrable is None else ""
        words += f" INITIALLY {_one_of(change.initially, ('DEFERRED', 'IMMEDIATE'))}"
    return words


def _one_of(given: str, allowed: tuple[str, ...]) -> str:
    words = " ".join(given.upper().split())
    if words not in allowed:
        raise UnsupportedChange(
            f"{given!r} is none of {', '.join(allowed)}; nothing was changed.", hint="Take one of them."
        )
    return words


class Referenced(NamedTuple):
    """What a foreign key refers to, as it is spelled there."""

    table: str
    columns: list[str]


def referenced(catalogue: Catalogue, plan: TablePlan, change: AddForeignKey) -> Referenced:
    """
    The table and the columns that a new foreign key refers to.

    Raises:
        NoSuchObject: There is no such table or column.
        UnsupportedChange: The columns are no key there, or the table lies in another file.
    """
    schema = plan.table.schema
    asked = change.ref_table
    if asked.schema is not None and folded(asked.schema) != folded(schema or "main"):
        raise UnsupportedChange(
            f"A foreign key of {plan.table} cannot refer to {asked}: SQLite knows none between files;"
            " nothing was changed.",
            table=str(plan.table),
        )
    itself = folded(asked.name) == folded(plan.table.name)
    table = plan.table if itself else catalogue.resolve(TableName(schema, asked.name))
    definition = plan.definition if itself else catalogue.definition(table)
    columns = _target_columns(definition, table, change)
    _require_key(catalogue, definition, table, columns)
    if len(columns) != len(change.columns):
        raise UnsupportedChange(
            f"A foreign key of {len(change.columns)} columns cannot refer to {len(columns)}; nothing was changed.",
            table=str(plan.table),
        )
    return Referenced(table.name, columns)


def _target_columns(definition: TableDefinition, table: TableName, change: AddForeignKey) -> list[str]:
    key = definition.primary_key
    asked = list(change.ref_columns) or list(key.columns if key else ())
    for one in asked:
        if not definition.has_column(one):
            raise NoSuchObject("column", one, [column.name for column in definition.columns], table=str(table))
    return [definition.column(one).name for one in asked]


def _require_key(catalogue: Catalogue, definition: TableDefinition, table: TableName, columns: list[str]) -> None:
    """SQLite takes any columns, and then refuses every INSERT: "foreign key mismatch"."""
    wanted = sorted(map(folded, columns))
    keys = [c.columns for c in definition.all_constraints if c.kind in ("primary_key", "unique")]
    keys += [
        tuple(column or "" for _, column, _, _ in index.keys)
        for index in catalogue.facts(table).indexes
        if index.origin == "c" and index.unique and not index.partial
    ]
    if wanted not in [sorted(map(folded, key)) for key in keys]:
        listed = ", ".join(columns)
        raise UnsupportedChange(
            f"A foreign key cannot refer to {table} ({listed}): nothing makes that unique; nothing was changed.",
            table=str(table),
            facts=f"keys there: {'; '.join(', '.join(key) for key in keys) or 'none'}",
            hint=f"First create_unique({str(table)!r}, ..., {columns!r}).",
        )


def rowid_name(definition: TableDefinition) -> str | None:
    """A name of the rowid that no column has taken; None where there is no rowid, or none to name it by."""
    if definition.without_rowid:
        return None
    return next((one for one in ("rowid", "_rowid_", "oid") if not definition.has_column(one)), None)
