"""
Operations: the checks and changes of a schema that a migration or a script can ask for.

Each asks a fresh inspector first: an inspector caches what it read, and would not see what was added since.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    CheckConstraint,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    UniqueConstraint,
    inspect,
    text,
)
from sqlalchemy.exc import NoReferencedColumnError, NoReferencedTableError
from sqlalchemy.schema import CreateColumn, SchemaItem

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection
    from sqlalchemy.engine.reflection import Inspector

__all__ = ["Operations"]


class Operations:
    """Schema operations over one Connection, in its transaction."""

    def __init__(self, connection: Connection) -> None:
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

    def _find_index(self, index: str, schema: str | None, table: str | None) -> bool:
        if self.connection.dialect.name == "sqlite":
            # The inspector leaves out indexes on expressions.
            catalogue = f"{self._quote(schema)}.sqlite_master" if schema else "sqlite_master"
            sql = f"SELECT 1 FROM {catalogue} WHERE type = 'index' AND name = ? COLLATE NOCASE"
            values: tuple[str, ...] = (index,)
            if table is not None:
                sql, values = sql + " AND tbl_name = ? COLLATE NOCASE", (index, table)
            return self.connection.exec_driver_sql(sql, values).first() is not None
        tables = [table] if table else self.inspector.get_table_names(schema=schema)
        return any(found["name"] == index for one in tables for found in self.inspector.get_indexes(one, schema=schema))

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

    def create_table(self, table: str | Table, *items: SchemaItem) -> None:
        """
        Create a table with its indexes.

        Args:
            table: A Table; or a name, of a table of *items*.
            items: Columns and constraints. They are copied: the caller's may be used again.
        """
        if isinstance(table, str):
            table = self._assembled(table, items)
        elif any(_unresolved(key) for key in table.foreign_keys):
            table = table.to_metadata(MetaData())
            self._resolve(table)
        table.create(self.connection)

    def _assembled(self, table: str, items: Sequence[SchemaItem]) -> Table:
        schema, name = _split(table)
        assembled = Table(name, MetaData(), *(_fresh(item) for item in items), schema=schema)
        self._resolve(assembled)
        return assembled

    def _resolve(self, table: Table) -> None:
        """
        Let the foreign keys of *table* find what they refer to.

        SQLAlchemy writes no REFERENCES to a table that it does not know, and takes a column's type from there.
        """
        for key in table.foreign_keys:
            if not _unresolved(key):
                continue
            owner, column = key.target_fullname.rsplit(".", 1)
            schema, name = _split(owner)
            known: list[Any] = []
            if self.has_table(owner):
                known = [c for c in self.inspector.get_columns(name, schema=schema) if c["name"] == column]
            kind = known[0]["type"] if known else None
            Table(name, table.metadata, Column(column, kind), schema=schema, extend_existing=True)

    def drop_table(self, table: str) -> None:
        """Drop a table."""
        self.connection.exec_driver_sql(f"DROP TABLE {self._name(table)}")

    def add_column(self, table: str, column: Column[Any]) -> None:
        """Add a column; its rows read the column's server default."""
        holder = self._assembled(table, [column])
        copied = holder.columns[column.key]
        compiled: Any = CreateColumn(copied).compile(dialect=self.connection.dialect)
        spec = compiled.string
        for key in copied.foreign_keys:
            spec += f" REFERENCES {self._target(key.target_fullname)}"
            spec += compiled.define_constraint_cascades(key) + compiled.define_constraint_deferrability(key)
        for check in holder.constraints:
            # That of a type: Boolean or Enum with create_constraint=True.
            if isinstance(check, CheckConstraint) and check not in copied.constraints:
                spec += f" {compiled.process(check)}"
        self.connection.exec_driver_sql(f"ALTER TABLE {self._name(table)} ADD COLUMN {spec}")
        if column.index or column.unique:
            unique = bool(column.unique)
            name = f"{'uq' if unique else 'ix'}_{_split(table)[1]}_{column.name}"
            Index(name, copied, unique=unique).create(self.connection)

    def drop_column(self, table: str, column: str) -> None:
        """Drop a column and what it held."""
        self.connection.exec_driver_sql(f"ALTER TABLE {self._name(table)} DROP COLUMN {self._quote(column)}")

    def create_index(
        self, index: str, table: str, columns: Sequence[str], *, unique: bool = False, where: str | None = None
    ) -> None:
        """Create an index over columns or expressions, partial where *where* is given."""
        known = {c["name"].lower() for c in self.inspector.get_columns(_split(table)[1], schema=_split(table)[0])}
        keys = ", ".join(self._quote(key) if key.lower() in known else key for key in columns)
        schema, name = _split(table)
        # The index lies where its table does, whether or not its own name says so.
        index = self._name(f"{schema}.{_split(index)[1]}" if schema else index)
        kind = "UNIQUE INDEX" if unique else "INDEX"
        self.connection.exec_driver_sql(
            f"CREATE {kind} {index} ON {self._quote(name)} ({keys})" + (f" WHERE {where}" if where else "")
        )

    def drop_index(self, index: str) -> None:
        """Drop an index."""
        self.connection.exec_driver_sql(f"DROP INDEX {self._name(index)}")

    def row_count(self, table: str | tuple[None, str]) -> int:
        """How many rows a table has."""
        return int(self.connection.execute(text(f"SELECT count(*) FROM {self._name(table)}")).scalar_one())

    def _target(self, fullname: str) -> str:
        table, column = fullname.rsplit(".", 1)
        return f"{self._quote(_split(table)[1])} ({self._quote(column)})"

    def _name(self, name: str | tuple[None, str]) -> str:
        return ".".join(self._quote(part) for part in _split(name) if part)

    def _quote(self, name: str) -> str:
        return self.connection.dialect.identifier_preparer.quote(name)


def _fresh(item: SchemaItem) -> SchemaItem:
    """A copy of *item*, which may belong to a model, or be used again in another run of `up`."""
    if isinstance(item, Column):
        return _fresh_column(item)
    if isinstance(item, Index):
        keys = [key if isinstance(key, str) else _key_text(key) for key in item.expressions]
        return Index(item.name, *keys, unique=item.unique, **item.dialect_kwargs)
    options: dict[str, Any] = {name: getattr(item, name, None) for name in ("name", "deferrable", "initially")}
    if isinstance(item, ForeignKeyConstraint):
        targets = [key.target_fullname for key in item.elements]
        options |= {"ondelete": item.ondelete, "onupdate": item.onupdate, "match": item.match}
        return ForeignKeyConstraint(item.column_keys, targets, **options, **item.dialect_kwargs)
    if isinstance(item, PrimaryKeyConstraint | UniqueConstraint):
        # By name: constraints over Column objects would go on meaning those of the first table.
        names = [c if isinstance(c, str) else c.name for c in item._pending_colargs or item.columns if c is not None]
        return type(item)(*names, **options, **item.dialect_kwargs)
    copied: SchemaItem = item._copy()  # type: ignore[attr-defined]
    return copied


def _fresh_column(column: Column[Any]) -> Column[Any]:
    copied = column._copy()
    for key in column.foreign_keys:
        # Those of a table's own column are left out by SQLAlchemy's copy.
        if key.constraint is not None and len(key.constraint.elements) == 1:
            names = ("ondelete", "onupdate", "deferrable", "initially", "match")
            options = {name: getattr(key.constraint, name) for name in names}
            copied.append_foreign_key(ForeignKey(key.target_fullname, name=key.constraint.name, **options))
    return copied


def _key_text(key: Any) -> Any:
    """A column of an index by its name, and an expression with its literals in it."""
    if isinstance(key, Column):
        return key.name
    return text(str(key.compile(compile_kwargs={"literal_binds": True, "include_table": False})))


def _unresolved(key: ForeignKey) -> bool:
    try:
        return key.column is None
    except (NoReferencedTableError, NoReferencedColumnError):
        return True


def _split(name: str | tuple[None, str]) -> tuple[str | None, str]:
    """`"aux.t"` as `("aux", "t")`; a name that is a real one, dots and all, comes as `(None, name)`."""
    if isinstance(name, tuple):
        return name
    schema, _, table = name.rpartition(".")
    return schema or None, table
