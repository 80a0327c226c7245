"""
Operations: the checks and changes of a schema that a migration or a script can ask for.

Each asks a fresh inspector first: an inspector caches what it read, and would not see what was added since.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import Column, Connection, inspect, text

from ..connection import refuse_asynchronous
from ..errors import NoSuchObject, ObjectExists, UnsupportedChange
from ..turns import greenlet_at_work
from .alter_table import AlterTable
from .changes import UNSET, Change, Default, Expression, Kind, TypeName, Unset
from .ddl import plain, whole
from .indexes import create_index
from .items import assembled, resolved
from .names import split as _split
from .names import table_name
from .watched import watcher_of

if TYPE_CHECKING:
    from sqlalchemy import Table
    from sqlalchemy.engine.reflection import Inspector
    from sqlalchemy.schema import SchemaItem
    from sqlalchemy.sql import Executable
    from sqlalchemy.sql.elements import ColumnElement, TextClause

    from .native.schema import NativeSchema
    from .sqlite.schema import SQLiteSchema

__all__ = ["Operations"]


class Operations:
    """Schema operations over one Connection, in its transaction."""

    def __init__(self, connection: Connection) -> None:
        if greenlet_at_work() is None or not isinstance(connection, Connection):
            refuse_asynchronous(connection)
        self.connection = connection

    @property
    def inspector(self) -> Inspector:
        """A fresh Inspector."""
        return inspect(self.connection)

    def has_table(self, table: str) -> bool:
        """Whether there is such a table or view; the name may carry a schema."""
        schema, name = _split(table)
        return self.inspector.has_table(name, schema=schema)

    def has_column(self, table: str, column: str) -> bool:
        """Whether the table exists and has the column; names are compared as the database does."""
        if not self.has_table(table):
            return False
        schema, name = _split(table)
        names = (found["name"] for found in self.inspector.get_columns(name, schema=schema))
        return column.lower() in (found.lower() for found in names)

    def has_index(self, table: str, index: str) -> bool:
        """Whether the table has the index."""
        schema, name = _split(table)
        return self._find_index(index, schema, name)

    def index_exists(self, index: str) -> bool:
        """Whether any table has the index."""
        schema, name = _split(index)
        return self._find_index(name, schema, None)

    def has_usable_index(self, index: str) -> bool:
        """
        Whether any table has the index, for queries to use.

        One that an interrupted CREATE INDEX CONCURRENTLY left on PostgreSQL is of no use, and is dropped here.
        """
        if not self.index_exists(index):
            return False
        if self.connection.dialect.name != "postgresql":
            return True
        from ..backends.postgresql_indexes import make_room

        return not make_room(self.connection, *_split(index))

    def _find_index(self, index: str, schema: str | None, table: str | None) -> bool:
        if self.connection.dialect.name == "sqlite":
            # The inspector leaves out indexes on expressions.
            catalogue = f"{self._quote(schema)}.sqlite_master" if schema else "sqlite_master"
            sql = f"SELECT 1 FROM {catalogue} WHERE type = 'index' AND name = ? COLLATE NOCASE"
            values: tuple[str, ...] = (index,)
            if table is not None:
                sql, values = sql + " AND tbl_name = ? COLLATE NOCASE", (index, table)
            return self.connection.exec_driver_sql(sql, values).first() is not None
        if table is None:
            # The inspector would read every table, one by one.
            server: Any = self._schema
            return bool(server.catalogue.indexes(index, None, schema or self.inspector.default_schema_name))
        return any(found["name"] == index for found in self.inspector.get_indexes(table, schema=schema))

    def is_table(self, table: str) -> bool:
        """Whether there is a table, and no view, of that name."""
        schema, name = _split(table)
        return name.lower() in (found.lower() for found in self.inspector.get_table_names(schema=schema))

    def indexes(self, table: str | tuple[None, str]) -> list[dict[str, Any]]:
        """The indexes of a table that somebody made, with their columns (None for an expression) and their SQL."""
        schema, name = _split(table)
        if self.connection.dialect.name != "sqlite":
            return [dict(found) for found in self.inspector.get_indexes(name, schema=schema)]
        # The inspector leaves out indexes on expressions.
        prefix = f"{self._quote(schema)}." if schema else ""
        made = self.connection.exec_driver_sql(
            f"SELECT name, sql FROM {prefix}sqlite_master"
            " WHERE type = 'index' AND sql IS NOT NULL AND tbl_name = ? COLLATE NOCASE ORDER BY name",
            (name,),
        ).all()
        return [
            {
                "name": index,
                "columns": [row[2] for row in self.connection.exec_driver_sql(f"PRAGMA {prefix}index_info({quoted})")],
                "unique": sql.split(None, 2)[1].upper() == "UNIQUE",
                "sql": sql,
            }
            for index, sql in made
            for quoted in (self._quote(index),)
        ]

    # Tables

    def create_table(self, table: str | Table, *items: SchemaItem, if_not_exists: bool = False) -> bool:
        """
        Create a table with its indexes.

        Args:
            table: A Table; or a name, of a table of *items*.
            items: Columns and constraints. They are copied: the caller's may be used again.
            if_not_exists: Do nothing where there is a table or a view of the name.

        Returns:
            Whether it was created.

        Raises:
            ObjectExists: There is one of the name.
        """
        name = table if isinstance(table, str) else table.fullname
        table_name(name)
        if isinstance(table, str) and not any(isinstance(item, Column) for item in items):
            raise UnsupportedChange(
                f"The table {name} would have no columns; nothing was changed.",
                table=name,
                hint=f'create_table("{name}", Column(...), Column(...))',
            )
        if self.has_table(name):
            if if_not_exists:
                return False
            raise ObjectExists("table", name, table=name)
        made = assembled(self.connection, name, items) if isinstance(table, str) else resolved(self.connection, table)
        with whole(self.connection):
            made.create(self.connection)
        return True

    def drop_table(self, table: str, *, if_exists: bool = False, cascade: bool = False) -> bool:
        """
        Drop a table, and no row of another.

        Args:
            if_exists: Do nothing where there is no such table.
            cascade: Drop the foreign keys of other tables to it before it; their rows stay. Views and triggers that
                need it are never dropped along.

        Returns:
            Whether there was one.

        Raises:
            ObjectInUse: Rows of another table refer to it, or a view or a trigger reads it.
        """
        if if_exists and not self.is_table(table):
            return False
        with watcher_of(self.connection).dropping(table_name(table)):
            self._schema.drop_table(table_name(table), cascade=cascade)
        return True

    def rename_table(self, old: str, new: str, *, if_exists: bool = False) -> bool:
        """
        Rename a table, which stays in its schema; indexes, triggers, views and foreign keys follow.

        Args:
            new: The name alone, or with the same schema.
        """
        if if_exists and not self.is_table(old):
            return False
        was, becomes = table_name(old), table_name(new)
        if becomes.schema is not None and becomes.schema != was.schema:
            raise UnsupportedChange(
                f"{old} cannot be moved to another schema by a new name, {new}; nothing was changed.", table=old
            )
        with watcher_of(self.connection).renaming(was, becomes.name):
            self._schema.rename_table(was, becomes.name)
        return True

    def alter_table(self, table: str) -> AlterTable:
        """
        Gather several changes of one table, and carry them out together at the end of a `with` block.

        All of them happen or none, and where rows must be copied they are copied once.
        """
        table_name(table)
        return AlterTable(self, table)

    def alter(self, table: str, changes: Sequence[Change]) -> None:
        """Carry out the changes of one table, all or none; what `alter_table` calls at its end."""
        if changes:
            with watcher_of(self.connection).altering(table_name(table), changes):
                self._schema.alter(table_name(table), changes)

    # Columns

    def add_column(self, table: str, column: Column[Any], *, if_not_exists: bool = False) -> bool:
        """
        Add a column; rows that are there get its server default.

        Its UNIQUE, CHECK, FOREIGN KEY and index come along.

        Returns:
            Whether it was added.

        Raises:
            ObjectExists: The table has a column of that name.
            DataContradicts: It is NOT NULL without a default, and there are rows.
        """
        if if_not_exists and self.has_column(table, column.name):
            return False
        with self.alter_table(table) as changes:
            changes.add_column(column)
        return True

    def drop_column(self, table: str, name: str, *, if_exists: bool = False, cascade: bool = False) -> bool:
        """
        Drop a column and what it held.

        Args:
            if_exists: Do nothing where there is no such column.
            cascade: Drop indexes, constraints, generated columns and foreign keys that use it along with it. Views
                and triggers that do are never dropped along.

        Raises:
            ObjectInUse: It lists what uses the column.
        """
        if if_exists and not self.has_column(table, name):
            return False
        with self.alter_table(table) as changes:
            changes.drop_column(name, cascade=cascade)
        return True

    def rename_column(self, table: str, old: str, new: str, *, if_exists: bool = False) -> bool:
        """Rename a column; indexes, constraints, triggers, views and foreign keys follow."""
        if if_exists and not self.has_column(table, old):
            return False
        with self.alter_table(table) as changes:
            changes.rename_column(old, new)
        return True

    def alter_column(
        self,
        table: str,
        name: str,
        *,
        type_: TypeName | Unset = UNSET,
        nullable: bool | Unset = UNSET,
        server_default: Default | Unset = UNSET,
        new_name: str | None = None,
        comment: str | Unset | None = UNSET,
        collation: str | Unset | None = UNSET,
        using: Expression | None = None,
    ) -> None:
        """
        Change what is named of a column, and nothing else.

        Args:
            type_: A SQLAlchemy type, or the name of the database's own.
            server_default: A str is a literal, `text()` an expression; None drops the default.
            comment: SQLite has none, and does nothing.
            collation: None for the database's own.
            using: What becomes of the values: an expression over the columns of the table.

        Raises:
            DataContradicts: Values would not keep their meaning, or are NULL where none may be.
        """
        with self.alter_table(table) as changes:
            changes.alter_column(
                name,
                type_=type_,
                nullable=nullable,
                server_default=server_default,
                new_name=new_name,
                comment=comment,
                collation=collation,
                using=using,
            )

    # Constraints

    def create_check(self, table: str, name: str | None, condition: Expression, *, if_not_exists: bool = False) -> bool:
        """
        Add a CHECK that every row fulfils.

        Raises:
            DataContradicts: Some do not.
        """
        if if_not_exists and self.has_constraint(table, name):
            return False
        with self.alter_table(table) as changes:
            changes.create_check(name, condition)
        return True

    def create_unique(
        self, table: str, name: str | None, columns: Sequence[str], *, if_not_exists: bool = False
    ) -> bool:
        """
        Add a UNIQUE constraint.

        Raises:
            DataContradicts: Rows share their values.
        """
        if if_not_exists and self.has_constraint(table, name):
            return False
        with self.alter_table(table) as changes:
            changes.create_unique(name, columns)
        return True

    def create_foreign_key(
        self,
        table: str,
        name: str | None,
        columns: Sequence[str],
        ref_table: str,
        ref_columns: Sequence[str],
        *,
        ondelete: str | None = None,
        onupdate: str | None = None,
        deferrable: bool | None = None,
        initially: str | None = None,
        if_not_exists: bool = False,
    ) -> bool:
        """
        Add a foreign key.

        Raises:
            DataContradicts: Rows refer to no row.
            UnsupportedChange: What it refers to is not unique.
        """
        if if_not_exists and self.has_constraint(table, name):
            return False
        with self.alter_table(table) as changes:
            changes.create_foreign_key(
                name,
                columns,
                ref_table,
                ref_columns,
                ondelete=ondelete,
                onupdate=onupdate,
                deferrable=deferrable,
                initially=initially,
            )
        return True

    def change_primary_key(self, table: str, columns: Sequence[str]) -> None:
        """
        Give a table another primary key; no columns: none.

        Raises:
            DataContradicts: Rows share their values, or have none.
            ObjectInUse: Foreign keys refer to the old one.
        """
        with self.alter_table(table) as changes:
            changes.change_primary_key(columns)

    def drop_constraint(
        self,
        table: str,
        *,
        name: str | None = None,
        kind: Kind | None = None,
        columns: Sequence[str] | None = None,
        if_exists: bool = False,
    ) -> bool:
        """
        Drop a constraint, by its name, or by its kind and its columns where it has none.

        Args:
            kind: "check", "unique", "foreign_key" or "primary_key".
            columns: Those that it is over; of a CHECK, those that are in it.

        Raises:
            NoSuchObject: There is none.
            SchemaError: There are several.
        """
        try:
            with self.alter_table(table) as changes:
                changes.drop_constraint(name=name, kind=kind, columns=columns)
        except NoSuchObject as error:
            if if_exists and error.kind == "constraint":
                return False
            raise
        return True

    def has_constraint(self, table: str, name: str | None) -> bool:
        """Whether the table has a constraint of that name."""
        schema, plain = _split(table)
        wanted = (name or "").lower()
        inspector = self.inspector
        found = [
            *inspector.get_check_constraints(plain, schema=schema),
            *inspector.get_unique_constraints(plain, schema=schema),
            *inspector.get_foreign_keys(plain, schema=schema),
            inspector.get_pk_constraint(plain, schema=schema),
        ]
        return bool(wanted) and wanted in [str(one.get("name") or "").lower() for one in found]

    # Indexes

    def create_index(
        self,
        index: str,
        table: str,
        columns: Sequence[str | ColumnElement[Any] | TextClause],
        *,
        unique: bool = False,
        where: Expression | None = None,
        if_not_exists: bool = False,
    ) -> bool:
        """
        Create an index over columns or expressions.

        Args:
            columns: Names of columns; an expression or an order (`"n DESC"`, `text("lower(n)")`) as it stands.
            where: Of a partial index, where the database has them.

        Raises:
            NoSuchObject: There is no such column.
            ObjectExists: There is an index of that name.
            DataContradicts: It is unique, and rows share their values.
        """
        place = self._beside(index, table)
        if if_not_exists:
            if self.has_usable_index(place):
                return False
        elif self.index_exists(place):
            raise ObjectExists("index", index, table=table)
        create_index(self.connection, index, table, columns, unique=unique, where=where)
        return True

    def drop_index(self, index: str, table: str | None = None, *, if_exists: bool = False) -> bool:
        """Drop an index; *table* says whose, where each has names of its own."""
        if if_exists and not self.index_exists(index if table is None else self._beside(index, table)):
            return False
        schema, name = _split(index)
        self._schema.drop_index(name, table_name(table) if table else None, schema)
        return True

    @staticmethod
    def _beside(index: str, table: str) -> str:
        """The index lies where its table does, whether or not its own name says so."""
        schema = _split(table)[0]
        return f"{schema}.{_split(index)[1]}" if schema else index

    # Views and triggers

    def create_view(self, name: str, query: str | Executable, *, if_not_exists: bool = False) -> bool:
        """
        Create a view.

        Args:
            query: SELECT text, or a Core select.
        """
        if if_not_exists and self.has_view(name):
            return False
        sql = query if isinstance(query, str) else plain(self.connection.dialect, query)  # type: ignore[arg-type]
        query = str(sql).strip().rstrip(";")
        if not query or query.upper().startswith("CREATE"):
            raise UnsupportedChange(
                f"The view {name} has no query; nothing was changed.",
                hint="Give the SELECT alone, without CREATE VIEW.",
            )
        self._schema.create_view(table_name(name), query)
        return True

    def drop_view(self, name: str, *, if_exists: bool = False) -> bool:
        """Drop a view that no other view uses."""
        if if_exists and not self.has_view(name):
            return False
        self._schema.drop_view(table_name(name))
        return True

    def has_view(self, name: str) -> bool:
        """Whether there is such a view."""
        schema, plain_name = _split(name)
        views = self.inspector.get_view_names(schema=schema)
        return plain_name.lower() in (found.lower() for found in views)

    def create_trigger(self, name: str, definition: str, *, if_not_exists: bool = False) -> bool:
        """
        Create a trigger.

        Args:
            definition: The whole CREATE TRIGGER statement, or what follows the name in it.
        """
        if if_not_exists and self.has_trigger(name):
            return False
        if not isinstance(definition, str) or not definition.strip():
            raise UnsupportedChange(
                f"The trigger {name} has no definition; nothing was changed.",
                hint="Give what follows its name: AFTER INSERT ON t BEGIN ... END",
            )
        self._schema.create_trigger(name, definition.strip())
        return True

    def drop_trigger(self, name: str, table: str | None = None, *, if_exists: bool = False) -> bool:
        """Drop a trigger; *table* says whose, where each has names of its own."""
        if if_exists and not self.has_trigger(name):
            return False
        self._schema.drop_trigger(name, table_name(table) if table else None)
        return True

    def has_trigger(self, name: str) -> bool:
        """Whether there is such a trigger."""
        return self._schema.has_trigger(name)

    def row_count(self, table: str | tuple[None, str]) -> int:
        """How many rows a table has."""
        return int(self.connection.execute(text(f"SELECT count(*) FROM {self._name(table)}")).scalar_one())

    @property
    def _schema(self) -> SQLiteSchema | NativeSchema:
        if self.connection.dialect.name == "sqlite":
            from .sqlite.schema import SQLiteSchema

            return SQLiteSchema(self.connection)
        from .native.schema import NativeSchema

        return NativeSchema(self.connection)

    def _name(self, name: str | tuple[None, str]) -> str:
        return ".".join(self._quote(part) for part in _split(name) if part)

    def _quote(self, name: str) -> str:
        return self.connection.dialect.identifier_preparer.quote(name)
