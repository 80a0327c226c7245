"""Columns, constraints and tables as source, from objects of SQLAlchemy: of the models, or of what a database has."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    CheckConstraint,
    ClauseElement,
    Column,
    Computed,
    DefaultClause,
    ForeignKeyConstraint,
    Identity,
    PrimaryKeyConstraint,
    Sequence,
    Table,
    UniqueConstraint,
)
from sqlalchemy.exc import NoReferencedColumnError, NoReferencedTableError
from sqlalchemy.schema import Constraint
from sqlalchemy.sql.elements import False_, True_
from sqlalchemy.sql.functions import Function

from ..schema.ddl import plain
from .code import Call, Imports, Node, Raw, literal
from .type_source import type_node

if TYPE_CHECKING:
    from sqlalchemy.engine.interfaces import Dialect

__all__ = ["ItemSource", "checks_of_type", "constraints_of", "name_of_constraint", "target_of", "unbound"]

# Spelled by each database in its own way.
_MOMENTS = ("now", "current_timestamp", "current_date", "current_time", "localtime", "localtimestamp")
_BIND = re.compile(r"(?<![:\w\\]):(?=\w+(?!:))")


class ItemSource:
    """
    Writes items, and remembers what has to be imported for them.

    Attributes:
        dialect: Of the database that expressions are written for.
    """

    def __init__(self, dialect: Dialect) -> None:
        self.dialect, self.imports = dialect, Imports()

    # Tables

    def table(self, table: Table, name: str, without: Collection[ForeignKeyConstraint] = ()) -> list[Node]:
        """
        What `create_table` is called with.

        Args:
            without: Foreign keys that are made later.
        """
        inline = {next(iter(key.columns)): key for key in self._inline_keys(table, without)}
        unique = {
            next(iter(one.columns)): one
            for one in table.constraints
            if isinstance(one, UniqueConstraint) and self._is_inline(one)
        }
        primary = self._primary_key(table)
        keys = {column: [inline[column]] if column in inline else [] for column in table.columns}
        nodes: list[Node] = [
            self.column(column, keys=keys[column], unique=column in unique, primary=primary is None)
            for column in table.columns
        ]
        nodes += [primary] if primary is not None else []
        given = [*inline.values(), *unique.values(), *without, table.primary_key]
        for constraint in self._ordered(table):
            if constraint not in given and (node := self.constraint(constraint)) is not None:
                nodes.append(node)
        options = dict(self._options(table))
        if not options:
            return [literal(name), *nodes]
        self._need("Table", "MetaData")
        schema, _, plain_name = name.rpartition(".")
        if schema:
            options["schema"] = literal(schema)
        return [Call("Table", (literal(plain_name), Raw("MetaData()"), *nodes), tuple(options.items()))]

    def _options(self, table: Table) -> Iterator[tuple[str, Node]]:
        if table.comment is not None and self.dialect.supports_comments:
            yield "comment", literal(table.comment)
        if table._prefixes:
            yield "prefixes", literal(list(table._prefixes))
        for name, value in sorted(table.dialect_kwargs.items()):
            if isinstance(value, str | int):
                yield name, literal(value)

    def _ordered(self, table: Table) -> list[Constraint]:
        """Those that this database gets, in the order in which they were declared."""
        compiler: Any = self.dialect.ddl_compiler(self.dialect, None)  # type: ignore[arg-type]
        own = [check for column in table.columns for check in checks_of_type(column, self.dialect)]
        kept: list[Constraint] = []
        for constraint in constraints_of(table):
            rule = getattr(constraint, "_create_rule", None)
            if (rule is None or rule(compiler)) and constraint not in own:
                kept.append(constraint)
        return kept

    def _inline_keys(self, table: Table, without: Collection[Any]) -> Iterator[ForeignKeyConstraint]:
        seen = set()
        for key in sorted(table.foreign_key_constraints, key=lambda one: str(one.name)):
            first = next(iter(key.columns))
            if len(key.columns) == 1 and key not in without and first not in seen and not key.dialect_kwargs:
                seen.add(first)
                yield key

    def _is_inline(self, constraint: UniqueConstraint) -> bool:
        return (
            len(constraint.columns) == 1
            and name_of_constraint(constraint, self.dialect) is None
            and not constraint.dialect_kwargs
            and not constraint.deferrable
        )

    def _primary_key(self, table: Table) -> Node | None:
        """None where saying so with the columns is enough."""
        key = table.primary_key
        name = name_of_constraint(key, self.dialect) if key.columns else None
        in_order = [column for column in table.columns if column.primary_key]
        if not key.columns or (name is None and list(key.columns) == in_order and not _spoken(key)):
            return None
        return self.constraint(key)

    # Columns

    def column(
        self,
        column: Column[Any],
        *,
        keys: Collection[ForeignKeyConstraint] = (),
        unique: bool = False,
        primary: bool = True,
    ) -> Call:
        """
        A column.

        Args:
            keys: Foreign keys of it alone, to be said with it.
            unique: Whether its UNIQUE is to be said with it.
            primary: Whether the primary key is said with the columns.
        """
        self._need("Column")
        checks = checks_of_type(column, self.dialect)
        check_name = name_of_constraint(checks[0], self.dialect) if checks else None
        kind = type_node(column.type, self.dialect, self.imports, checked=bool(checks), check_name=check_name)
        args: list[Node] = [literal(column.name), kind]
        args += [self._foreign_key(key) for key in keys]
        if column.computed is not None:
            args.append(self._computed(column.computed))
        elif column.identity is not None:
            args.append(self._identity(column.identity))
        options: list[tuple[str, Node]] = []
        in_key = primary and column.primary_key
        if in_key:
            options.append(("primary_key", Raw("True")))
        if bool(column.nullable) == bool(in_key):
            options.append(("nullable", Raw(str(bool(column.nullable)))))
        if (default := self.default(column)) is not None:
            options.append(("server_default", default))
        if unique:
            options.append(("unique", Raw("True")))
        if column.primary_key and (column.autoincrement is False or self._takes_from_sequence(column)):
            options.append(("autoincrement", Raw("False")))
        if column.comment is not None and self.dialect.supports_comments:
            options.append(("comment", literal(column.comment)))
        options += [
            (name, literal(value)) for name, value in column.dialect_kwargs.items() if isinstance(value, str | int)
        ]
        return Call("Column", tuple(args), tuple(options))

    def _takes_from_sequence(self, column: Column[Any]) -> bool:
        """Whether the application asks a sequence of its own for the value, which no default of the database gives."""
        default = column.default
        return isinstance(default, Sequence) and self.dialect.supports_sequences and not default.optional

    def default(self, column: Column[Any]) -> Node | None:
        """Its server default; None where it has none."""
        given = column.server_default
        if not isinstance(given, DefaultClause) or isinstance(given, Computed | Identity):
            return None
        said = given.arg
        if isinstance(said, str):
            return literal(said)
        if isinstance(said, True_ | False_):
            self._need(name := "true" if isinstance(said, True_) else "false")
            return Call(name)
        if isinstance(said, Function) and said.name in _MOMENTS and not list(said.clauses) and not said.packagenames:
            self._need("func")
            return Call(f"func.{said.name}")
        self._need("text")
        return Call("text", (literal(unbound(self.sql(said))),))

    def type(self, column: Column[Any]) -> Node:
        """Its type alone."""
        return type_node(column.type, self.dialect, self.imports)

    def sql(self, expression: ClauseElement) -> str:
        """An expression as the database is told of it, its values written into it."""
        return plain(self.dialect, expression).strip()

    def _foreign_key(self, key: ForeignKeyConstraint) -> Call:
        self._need("ForeignKey")
        table, (column,) = target_of(key)
        return Call("ForeignKey", (literal(f"{table}.{column}"),), tuple(self._words(key)))

    def _computed(self, computed: Computed) -> Call:
        self._need("Computed")
        persisted = () if computed.persisted is None else (("persisted", literal(computed.persisted)),)
        return Call("Computed", (literal(unbound(self.sql(computed.sqltext))),), persisted)

    def _identity(self, identity: Identity) -> Call:
        self._need("Identity")
        names = ("always", "on_null", "start", "increment", "minvalue", "maxvalue", "cycle", "cache")
        said = [(name, getattr(identity, name, None)) for name in names]
        return Call("Identity", (), tuple((name, literal(value)) for name, value in said if value not in (None, False)))

    # Constraints

    def constraint(self, constraint: Constraint) -> Node | None:
        """A constraint as an item of its table; None for one that SQLAlchemy's own module has no class for."""
        columns = [literal(column.name) for column in getattr(constraint, "columns", ())]
        options = tuple(self._words(constraint))
        match constraint:
            case ForeignKeyConstraint():
                self._need("ForeignKeyConstraint")
                table, names = target_of(constraint)
                there = literal([f"{table}.{name}" for name in names])
                here = literal([column.name for column in constraint.columns])
                return Call("ForeignKeyConstraint", (here, there), options)
            case PrimaryKeyConstraint():
                self._need("PrimaryKeyConstraint")
                return Call("PrimaryKeyConstraint", tuple(columns), options)
            case UniqueConstraint():
                self._need("UniqueConstraint")
                return Call("UniqueConstraint", tuple(columns), options)
            case CheckConstraint():
                self._need("CheckConstraint")
                return Call("CheckConstraint", (literal(unbound(self.sql(constraint.sqltext))),), options)
        return None

    def _words(self, constraint: Constraint) -> Iterator[tuple[str, Node]]:
        name = name_of_constraint(constraint, self.dialect)
        if name is not None:
            yield "name", literal(name)
        for word in ("onupdate", "ondelete", "deferrable", "initially", "match"):
            value = getattr(constraint, word, None)
            if value is not None:
                yield word, literal(value)
        for option, value in _spoken(constraint):
            yield option, literal(value)

    def _need(self, *names: str) -> None:
        for name in names:
            self.imports.add("sqlalchemy", name)


def constraints_of(table: Table) -> list[Constraint]:
    """All constraints of a table; a CHECK that was declared with a column is no other."""
    checks = [one for column in table.columns for one in column.constraints if isinstance(one, CheckConstraint)]
    return [*table._sorted_constraints, *(one for one in checks if one not in table.constraints)]


def checks_of_type(column: Column[Any], dialect: Dialect) -> list[CheckConstraint]:
    """
    The CHECK that the column's type makes (`create_constraint=True`), if the type can say what it is called.

    A migration knows no naming convention: there the type is given the whole name. That of a native ENUM is the type's
    own as well. With variants there may be more than one, of which a database gets one.
    """
    table = column.table
    found = [
        one
        for one in (table.constraints if table is not None else ())
        if isinstance(one, CheckConstraint) and getattr(one, "_type_bound", False) and list(one.columns) == [column]
    ]
    names = {name_of_constraint(one, dialect) for one in found}
    native = getattr(column.type, "native_enum", False)
    if len(names) != 1 or (native and names != {column.type.name}):  # type: ignore[attr-defined]
        return []
    return found


def name_of_constraint(constraint: Any, dialect: Dialect) -> str | None:
    """The name that a constraint or an index has in the database, by its convention too; None where it has none."""
    if constraint.name is None:
        return None
    name = dialect.identifier_preparer.format_constraint(constraint, _alembic_quote=False)
    return None if name is None else str(name)


def target_of(key: ForeignKeyConstraint) -> tuple[str, list[str]]:
    """The table and the columns that a foreign key refers to, by their names in the database."""
    try:
        columns = [element.column for element in key.elements]
        return str(columns[0].table.fullname), [str(column.name) for column in columns]
    except (NoReferencedTableError, NoReferencedColumnError):
        # SQLite lets it refer to what is not there, or is spelled otherwise.
        parts = [element.target_fullname.rpartition(".") for element in key.elements]
        return parts[0][0], [column for _, _, column in parts]


def _spoken(constraint: Constraint) -> list[tuple[str, Any]]:
    """What a database of one kind alone knows of a constraint."""
    return [
        (name, value)
        for name, value in sorted(constraint.dialect_kwargs.items())
        if isinstance(value, str | int | list | tuple) and value is not False
    ]


def unbound(sql: str) -> str:
    """As `text()` and what takes its place must have it: a colon before a word would be a parameter."""
    return _BIND.sub(r"\:", sql)
