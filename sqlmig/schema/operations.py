"""
Operations: the checks and changes of a schema that a migration or a script can ask for.

Each asks a fresh inspector first: an inspector caches what it read, and would not see what was added since.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import Column, Index, MetaData, Table, inspect, text
from sqlalchemy.schema import CreateColumn

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

    def indexes(self, table: str) -> list[dict[str, Any]]:
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

    def create_table(self, table: Table) -> None:
        """Create *table* with its indexes."""
        table.create(self.connection)

    def drop_table(self, table: str) -> None:
        """Drop a table."""
        self.connection.exec_driver_sql(f"DROP TABLE {self._name(table)}")

    def add_column(self, table: str, column: Column[Any]) -> None:
        """Add a column; its rows read the column's server default."""
        schema, name = _split(table)
        # A copy, on a table of its own: the caller's Column may belong to a model.
        holder = Table(name, MetaData(), column._copy(), schema=schema)
        (copied,) = holder.columns
        compiled = CreateColumn(copied).compile(dialect=self.connection.dialect)
        spec = compiled.string
        for key in column.foreign_keys:
            constraint = key.constraint
            spec += f" REFERENCES {self._target(key.target_fullname)}"
            if constraint is not None:
                spec += compiled.define_constraint_cascades(constraint)  # type: ignore[attr-defined]
        self.connection.exec_driver_sql(f"ALTER TABLE {self._name(table)} ADD COLUMN {spec}")
        if column.index or column.unique:
            unique = bool(column.unique)
            Index(f"{'uq' if unique else 'ix'}_{name}_{column.name}", copied, unique=unique).create(self.connection)

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
        prefix = f"{self._quote(schema)}." if schema else ""
        self.connection.exec_driver_sql(
            f"CREATE {'UNIQUE ' if unique else ''}INDEX {prefix}{self._quote(index)} ON {self._quote(name)} ({keys})"
            + (f" WHERE {where}" if where else "")
        )

    def drop_index(self, index: str) -> None:
        """Drop an index."""
        self.connection.exec_driver_sql(f"DROP INDEX {self._name(index)}")

    def row_count(self, table: str) -> int:
        """How many rows a table has."""
        return int(self.connection.execute(text(f"SELECT count(*) FROM {self._name(table)}")).scalar_one())

    def _target(self, fullname: str) -> str:
        table, column = fullname.rsplit(".", 1)
        return f"{self._quote(_split(table)[1])} ({self._quote(column)})"

    def _name(self, name: str) -> str:
        return ".".join(self._quote(part) for part in _split(name) if part)

    def _quote(self, name: str) -> str:
        return self.connection.dialect.identifier_preparer.quote(name)


def _split(name: str) -> tuple[str | None, str]:
    """`"aux.t"` as `("aux", "t")`."""
    schema, _, table = name.rpartition(".")
    return schema or None, table
