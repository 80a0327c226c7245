"""What the rows of a table are made of, as the database says: columns, and the key that tells rows apart."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

from sqlalchemy import column, inspect, table
from sqlalchemy.exc import SAWarning
from sqlalchemy.sql.expression import TableClause

from ..errors import DataError, NoSuchObject
from ..schema.names import split

if TYPE_CHECKING:
    from sqlalchemy import Column
    from sqlalchemy.engine import Connection

__all__ = ["ColumnNames", "TableFacts", "describe", "names_of", "table_of", "views"]

ColumnNames: TypeAlias = "str | Column[Any] | Sequence[str | Column[Any]]"
"""One column or several, by name or as Columns."""


@dataclass(frozen=True)
class TableFacts:
    """
    One table.

    Attributes:
        name: As callers write it, with its schema where one was given.
        columns: The names of its columns, as they are stored.
        key: The columns of its primary key, or the rowid; empty where nothing tells rows apart for certain.
        never_null: Columns that cannot hold NULL.
        proven: Whether the key is unique by the very comparison that orders it.
        has_rowid: Whether it has SQLite's rowid.
        virtual: Whether it is a virtual table, which keeps its rowids.
        stored: Whether it is a table; a view is not.
        unique: Columns of its unique indexes.
    """

    name: str
    schema: str | None
    table: str
    columns: tuple[str, ...]
    key: tuple[str, ...]
    never_null: frozenset[str]
    proven: bool
    has_rowid: bool = False
    virtual: bool = False
    stored: bool = True
    unique: tuple[frozenset[str], ...] = ()

    def tells_apart(self, key: Sequence[str]) -> bool:
        """Whether no two rows can have the same values of these columns."""
        return any(columns.issubset(key) for columns in (frozenset(self.key), *self.unique) if columns)

    def lasting(self, key: Sequence[str]) -> bool:
        """Whether a row keeps a key; a rowid that is none of its columns is given anew by VACUUM."""
        return self.virtual or all(name in self.columns for name in key)

    @cached_property
    def clause(self) -> TableClause:
        """The table for statements; its columns have no types, so that values are the driver's own."""
        named = dict.fromkeys((*self.columns, *self.key))
        return table(self.table, *(column(name) for name in named), schema=self.schema)

    def resolve(self, names: Iterable[str]) -> tuple[str, ...]:
        """
        The columns of these names, as they are stored.

        Raises:
            NoSuchObject: There is none.
        """
        known = {name.lower(): name for name in (*self.key, *self.columns)} | {n: n for n in self.columns}
        found = []
        for name in names:
            if name not in known and name.lower() not in known:
                raise NoSuchObject("column", name, self.columns, table=self.name)
            found.append(known.get(name) or known[name.lower()])
        return tuple(found)


def names_of(columns: ColumnNames, what: str = "key") -> tuple[str, ...]:
    """
    The names of one column or of several.

    Raises:
        DataError: There is none, or something else was given.
    """
    given: list[Any] = [columns] if isinstance(columns, str) or hasattr(columns, "name") else list(columns)
    names = [getattr(one, "name", one) for one in given]
    if not names or not all(isinstance(name, str) and name for name in names) or len({*names}) < len(names):
        raise DataError(
            f"{what}={columns!r} names no columns that can be used; nothing was done.",
            facts="it is the name of a column, or a list of different ones",
            hint=f'Write it like this: {what}="id", or {what}=["tenant", "id"].',
        )
    return tuple(names)


def table_of(source: object) -> object:
    """The Table of a mapped class; anything else is itself."""
    return source.__table__ if isinstance(source, type) and hasattr(source, "__table__") else source


def describe(connection: Connection, given: object) -> TableFacts:
    """
    The facts of a table that is given by its name or as a Table.

    Raises:
        NoSuchObject: There is no such table or view.
    """
    if isinstance(given, TableClause):
        schema, bare = given.schema, given.name
        name = f"{schema}.{bare}" if schema else bare
    elif isinstance(given, str) and given:
        name = given
        schema, bare = split(given)
    else:
        raise DataError(
            f"{given!r} is no table; nothing was done.",
            hint='Give its name, "t" or "schema.t", a Table, or a select().',
        )
    facts = _of_sqlite if connection.dialect.name == "sqlite" else _of_server
    found = facts(connection, name, schema, bare)
    if found is None:
        inspector = inspect(connection)
        known = [*inspector.get_table_names(schema=schema), *inspector.get_view_names(schema=schema)]
        raise NoSuchObject("table", name, known)
    return found


def _of_sqlite(connection: Connection, name: str, schema: str | None, bare: str) -> TableFacts | None:
    quote = connection.dialect.identifier_preparer.quote_identifier
    prefix = f"{quote(schema)}." if schema else ""
    rows = connection.exec_driver_sql(f"PRAGMA {prefix}table_xinfo({quote(bare)})").all()
    # Hidden columns of virtual tables (1) are arguments, and no part of a row.
    shown = [row for row in rows if row[6] != 1]
    if not shown:
        return None
    columns = tuple(row[1] for row in shown)
    key = tuple(row[1] for row in sorted((r for r in shown if r[5]), key=lambda r: r[5]))
    sql = _stored_sql(connection, prefix, schema, bare)
    rowid = None
    if sql is not None:
        rowid = next((n for n in ("rowid", "_rowid_", "oid") if n not in {c.lower() for c in columns}), None)
        rowid = rowid if _has_rowid(connection, prefix, quote(bare), rowid) else None
    # A key may hold NULL, but in a WITHOUT ROWID table, whose key columns say NOT NULL by themselves.
    never_null = {row[1] for row in shown if row[3]}
    proven = False
    if len(key) == 1 and rowid is not None and _is_alias(connection, prefix, quote(bare), shown):
        never_null, proven = {*never_null, *key}, True
    elif not key and rowid is not None:
        key, never_null, proven = (rowid,), {*never_null, rowid}, True
    virtual = sql is not None and sql.upper().startswith("CREATE VIRTUAL")
    # An index may take values for different that a column's own collation takes for equal.
    unique = _unique(connection, prefix, quote(bare)) if sql is not None and "COLLATE" not in sql.upper() else ()
    return TableFacts(
        name,
        schema,
        bare,
        columns,
        key,
        frozenset(never_null),
        proven,
        has_rowid=rowid is not None,
        virtual=virtual,
        stored=sql is not None,
        unique=unique,
    )


def _stored_sql(connection: Connection, prefix: str, schema: str | None, bare: str) -> str | None:
    """The definition of a table; None of a view."""
    for catalogue in [f"{prefix}sqlite_master"] if schema else _catalogues(connection):
        row = connection.exec_driver_sql(
            f"SELECT type, sql FROM {catalogue} WHERE name = ? COLLATE NOCASE AND type IN ('table', 'view')", (bare,)
        ).first()
        if row is not None:
            return str(row[1]) if row[0] == "table" else None
    return None


def views(connection: Connection) -> list[str]:
    """The definitions of all views of SQLite."""
    queries = [f"SELECT sql FROM {catalogue} WHERE type = 'view'" for catalogue in _catalogues(connection)]
    return [str(sql) for query in queries for sql in connection.exec_driver_sql(query).scalars()]


def _catalogues(connection: Connection) -> list[str]:
    """In the order in which SQLite looks a name up."""
    quote = connection.dialect.identifier_preparer.quote_identifier
    attached = [row[1] for row in connection.exec_driver_sql("PRAGMA database_list") if row[0] > 1]
    return ["sqlite_temp_master", "sqlite_master", *(f"{quote(one)}.sqlite_master" for one in attached)]


def _has_rowid(connection: Connection, prefix: str, table: str, rowid: str | None) -> bool:
    """Whether SQLite finds a rowid there: a WITHOUT ROWID table has none."""
    from sqlalchemy.exc import DBAPIError

    if rowid is None:
        return False
    try:
        connection.exec_driver_sql(f"EXPLAIN SELECT {rowid} FROM {prefix}{table}").close()
    except DBAPIError:
        return False
    return True


def _is_alias(connection: Connection, prefix: str, table: str, columns: Sequence[Any]) -> bool:
    """Whether the primary key is the rowid itself: SQLite then has made no index for it."""
    if not any(row[5] and str(row[2]).upper() == "INTEGER" for row in columns):
        return False
    made = connection.exec_driver_sql(f"PRAGMA {prefix}index_list({table})").all()
    return not any(row[3] == "pk" for row in made)


def _unique(connection: Connection, prefix: str, table: str) -> tuple[frozenset[str], ...]:
    """Of unique indexes of columns that are about all rows."""
    quote = connection.dialect.identifier_preparer.quote_identifier
    found = []
    for row in connection.exec_driver_sql(f"PRAGMA {prefix}index_list({table})").all():
        if row[2] and not row[4]:
            columns = connection.exec_driver_sql(f"PRAGMA {prefix}index_info({quote(row[1])})").all()
            # An expression has no name.
            found += [frozenset(column[2] for column in columns)] if all(column[2] for column in columns) else []
    return tuple(found)


def _of_server(connection: Connection, name: str, schema: str | None, bare: str) -> TableFacts | None:
    inspector = inspect(connection)
    if not inspector.has_table(bare, schema=schema):
        return None
    with warnings.catch_warnings():
        # Types that SQLAlchemy does not know are none of our business.
        warnings.simplefilter("ignore", SAWarning)
        columns = inspector.get_columns(bare, schema=schema)
        key = tuple(inspector.get_pk_constraint(bare, schema=schema)["constrained_columns"] or ())
        unique = [frozenset(one["column_names"]) for one in inspector.get_unique_constraints(bare, schema=schema)]
    never_null = frozenset(c["name"] for c in columns if not c["nullable"]) | frozenset(key)
    names = tuple(c["name"] for c in columns)
    return TableFacts(name, schema, bare, names, key, never_null, bool(key), unique=tuple(unique))
