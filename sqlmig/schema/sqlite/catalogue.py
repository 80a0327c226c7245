"""
What SQLite itself says of its tables: the stored rows of `sqlite_schema`, and how it reads them.

Source: https://sqlite.org/schematab.html and https://sqlite.org/pragma.html
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from ...errors import NoSuchObject, UnsupportedChange, WrongObject
from ..changes import TableName
from .definition import TableDefinition, folded
from .reader import DefinitionError, parse
from .tokens import quoted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.engine import Connection

__all__ = ["Catalogue", "Entry", "ForeignKey", "IndexFacts", "TableFacts", "scratch_name"]


class Entry(NamedTuple):
    """A row of `sqlite_schema`."""

    schema: str
    kind: str
    name: str
    table: str
    root: int
    sql: str | None
    rowid: int


class ColumnFacts(NamedTuple):
    """A row of `table_xinfo`."""

    name: str
    type: str
    notnull: int
    default: str | None
    pk: int
    hidden: int


@dataclass(frozen=True)
class IndexFacts:
    """
    An index as SQLite reads it.

    Attributes:
        origin: "c" for CREATE INDEX, "u" for a UNIQUE constraint, "pk" for a primary key.
        keys: (rank of the column in the table, -2 for an expression; its name; whether DESC; collation) of each key.
    """

    name: str
    unique: bool
    origin: str
    partial: bool
    keys: tuple[tuple[int, str | None, int, str], ...]


@dataclass(frozen=True)
class ForeignKey:
    """
    A foreign key as SQLite reads it.

    Attributes:
        columns: Pairs of column and referenced column; the latter is None where the primary key is meant.
    """

    id: int
    table: str
    columns: tuple[tuple[str, str | None], ...]
    onupdate: str
    ondelete: str
    match: str


@dataclass(frozen=True)
class TableFacts:
    """All that SQLite tells of a table."""

    columns: tuple[ColumnFacts, ...]
    indexes: tuple[IndexFacts, ...]
    foreign_keys: tuple[ForeignKey, ...]

    def column(self, name: str) -> ColumnFacts:
        return next(column for column in self.columns if folded(column.name) == folded(name))

    @property
    def constraint_indexes(self) -> list[IndexFacts]:
        """Those that SQLite made for constraints, in the order of their numbers."""
        return sorted((index for index in self.indexes if index.origin != "c"), key=lambda i: number_of(i.name))


def number_of(autoindex: str) -> int:
    """The 2 of `sqlite_autoindex_t_2`."""
    return int(autoindex.rpartition("_")[2])


def scratch_name(purpose: str) -> str:
    """A name that nothing has."""
    return f"sqlmig_{purpose}_{os.urandom(6).hex()}"


class Catalogue:
    """Reads over one connection, always anew."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def run(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        """All rows that a statement gives."""
        result = self.connection.exec_driver_sql(sql, tuple(values))
        return list(result.all()) if result.returns_rows else []

    def value(self, sql: str, values: Sequence[Any] = ()) -> Any:
        """The first column of the first row."""
        return self.connection.exec_driver_sql(sql, tuple(values)).scalar()

    @property
    def version(self) -> tuple[int, ...]:
        """The version of the SQLite library."""
        return tuple(map(int, self.value("SELECT sqlite_version()").split(".")))

    def schemas(self) -> list[str]:
        """The databases of the connection: main, temp where it is used, and those attached."""
        return [row[1] for row in self.run("PRAGMA database_list")]

    def entries(self, schema: str, condition: str = "1", values: Sequence[Any] = ()) -> list[Entry]:
        """Rows of `sqlite_schema`."""
        rows = self.run(
            f"SELECT type, name, tbl_name, rootpage, sql, rowid FROM {quoted(schema)}.sqlite_master"
            f" WHERE {condition} ORDER BY rowid",
            values,
        )
        return [Entry(schema, *row) for row in rows]

    def all_entries(self, kind: str | None = None) -> list[Entry]:
        """Rows of every schema, all or those of one kind."""
        return [
            entry
            for schema in self.schemas()
            for entry in self.entries(schema, "type = ?" if kind else "1", (kind,) if kind else ())
        ]

    def resolve(self, table: TableName) -> TableName:
        """
        The table with the schema that SQLite would find it in, spelled as it is stored.

        Raises:
            NoSuchObject: There is none.
            WrongObject: It is a view, a virtual table, or one of SQLite's own.
        """
        entry = self._find(table)
        self._require_ordinary(entry, table)
        return TableName(entry.schema, entry.name)

    def search_path(self, schema: str | None) -> list[str]:
        """
        Where a name without a schema is looked for, in SQLite's order: temp goes before main.

        Raises:
            NoSuchObject: No database of that name is attached.
        """
        there = self.schemas()
        if schema is None:
            return sorted(there, key=lambda name: (name != "temp", name != "main"))
        found = [name for name in (*there, "temp") if name.lower() == schema.lower()]
        if not found:
            raise NoSuchObject("attached database", schema, there)
        return found[:1]

    def _find(self, table: TableName) -> Entry:
        path = self.search_path(table.schema)
        for schema in path:
            found = self.entries(schema, "type IN ('table', 'view') AND name = ? COLLATE NOCASE", (table.name,))
            if found:
                return found[0]
        names = [
            e.name for s in path for e in self.entries(s, "type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'")
        ]
        raise NoSuchObject("table", str(table), names, table=str(table))

    def _require_ordinary(self, entry: Entry, table: TableName) -> None:
        if entry.kind == "view":
            raise WrongObject(
                f"{table} is a view and no table; nothing was changed.",
                table=str(table),
                hint=f"Change a view by drop_view({str(table)!r}) and create_view(...).",
            )
        if entry.name.lower().startswith("sqlite_"):
            raise WrongObject(f"{table} is a table of SQLite's own; nothing was changed.", table=str(table))
        if self.is_virtual(entry):
            raise WrongObject(
                f"{table} is a virtual table, which SQLite cannot alter; nothing was changed.",
                table=str(table),
                facts=f"it was made by: {' '.join((entry.sql or '').split())}",
                hint="Drop it, create it again as it is to be, and fill it anew.",
            )
        owner = self._shadow_of(entry)
        if owner:
            raise WrongObject(
                f"{table} belongs to the virtual table {owner}; nothing was changed.",
                table=str(table),
                hint=f"Drop {owner}, create it again as it is to be, and fill it anew.",
            )

    @staticmethod
    def is_virtual(entry: Entry) -> bool:
        """Whether it is a virtual table, which has no page of its own."""
        return entry.kind == "table" and entry.root == 0

    def _shadow_of(self, entry: Entry) -> str | None:
        """The virtual table that keeps its content in this one."""
        # `table_list` knows since 3.37; its rows: schema, name, type.
        if self.version < (3, 37):
            return None
        kinds = [row[2] for row in self.run(f"PRAGMA {quoted(entry.schema)}.table_list({quoted(entry.name)})")]
        if "shadow" not in kinds:
            return None
        virtual = [e.name for e in self.entries(entry.schema, "type = 'table' AND rootpage = 0")]
        return next((name for name in virtual if entry.name.lower().startswith(f"{name.lower()}_")), "it was made for")

    def droppable(self, table: TableName) -> Entry:
        """
        The row of a table that DROP TABLE may take, a virtual one among them.

        Raises:
            NoSuchObject: There is none.
            WrongObject: It is a view, or one of SQLite's own.
        """
        entry = self._find(table)
        if not self.is_virtual(entry):
            self._require_ordinary(entry, table)
        return entry

    def stored(self, table: TableName) -> Entry:
        """The row of a resolved table."""
        (entry,) = self.entries(table.schema or "main", "type = 'table' AND name = ?", (table.name,))
        return entry

    def definition(self, table: TableName) -> TableDefinition:
        """
        The stored text of a resolved table, read.

        Raises:
            UnsupportedChange: It cannot be read, or SQLite reads it otherwise.
        """
        entry = self.stored(table)
        try:
            definition = parse(entry.sql or "")
        except DefinitionError as error:
            raise UnsupportedChange(
                f"The definition of {table} {error}; nothing was changed.",
                table=str(table),
                facts=" ".join((entry.sql or "").split()),
                hint="Change it with SQL of your own, and report this definition.",
            ) from error
        self.require_agreement(definition, self.facts(table), str(table))
        return definition

    def facts(self, table: TableName) -> TableFacts:
        """What SQLite tells of a table."""
        schema, name = quoted(table.schema or "main"), quoted(table.name)
        columns = tuple(ColumnFacts(*row[1:7]) for row in self.run(f"PRAGMA {schema}.table_xinfo({name})"))
        indexes = tuple(
            IndexFacts(row[1], bool(row[2]), row[3], bool(row[4]), self._keys(schema, row[1]))
            for row in self.run(f"PRAGMA {schema}.index_list({name})")
        )
        return TableFacts(columns, indexes, self._foreign_keys(schema, name))

    def _keys(self, schema: str, index: str) -> tuple[tuple[int, str | None, int, str], ...]:
        rows = self.run(f"PRAGMA {schema}.index_xinfo({quoted(index)})")
        return tuple((row[1], row[2], row[3], row[4]) for row in rows if row[5])

    def _foreign_keys(self, schema: str, name: str) -> tuple[ForeignKey, ...]:
        grouped: dict[int, list[Any]] = {}
        for row in self.run(f"PRAGMA {schema}.foreign_key_list({name})"):
            grouped.setdefault(row[0], []).append(row)
        return tuple(
            ForeignKey(
                id_,
                rows[0][2],
                tuple((row[3], row[4]) for row in sorted(rows, key=lambda r: r[1])),
                rows[0][5],
                rows[0][6],
                rows[0][7],
            )
            for id_, rows in sorted(grouped.items())
        )

    def require_agreement(self, definition: TableDefinition, facts: TableFacts, table: str) -> None:
        """
        Refuse a definition that was not read as SQLite reads it.

        Raises:
            UnsupportedChange: They differ in columns, types, keys, defaults or foreign keys.
        """
        read = [
            [folded(column.name) for column in definition.columns],
            [column.of_kind("default") is not None for column in definition.columns],
            [column.generated is not None for column in definition.columns],
            sum(found.kind == "foreign_key" for found in definition.all_constraints),
            sorted(folded(name) for name in (definition.primary_key.columns if definition.primary_key else ())),
            definition.rowid_alias is not None,
        ]
        keyed = [column for column in facts.columns if column.pk]
        told = [
            [folded(column.name) for column in facts.columns],
            [column.default is not None for column in facts.columns],
            [column.hidden in (2, 3) for column in facts.columns],
            len(facts.foreign_keys),
            sorted(folded(column.name) for column in keyed),
            bool(keyed) and not any(index.origin == "pk" for index in facts.indexes),
        ]
        # A generated column's expression is no default, and some versions tell it as one.
        told[1] = [a and not b for a, b in zip(told[1], told[2], strict=True)]  # type: ignore[call-overload]
        if read != told:
            raise UnsupportedChange(
                f"The definition of {table} is not read here as SQLite reads it; nothing was changed.",
                table=table,
                facts=" ".join(definition.text.split()),
                hint="Change it with SQL of your own, and report this definition.",
            )

    def foreign_keys_to(self, table: TableName) -> list[tuple[TableName, ForeignKey]]:
        """The foreign keys that refer to a resolved table, its own among them."""
        schema = table.schema or "main"
        owners = self.run(
            f"SELECT DISTINCT m.name FROM {quoted(schema)}.sqlite_master m, pragma_foreign_key_list(m.name, ?) f"
            " WHERE m.type = 'table' AND m.rootpage <> 0 AND f.\"table\" = ? COLLATE NOCASE ORDER BY m.rowid",
            (schema, table.name),
        )
        return [
            (TableName(schema, owner), key)
            for (owner,) in owners
            for key in self._foreign_keys(quoted(schema), quoted(owner))
            if folded(key.table) == folded(table.name)
        ]

    @contextmanager
    def undone(self) -> Iterator[None]:
        """Undo everything that happens inside."""
        name = scratch_name("undone")
        self.run(f"SAVEPOINT {name}")
        try:
            yield
        finally:
            self.run(f"ROLLBACK TO {name}")
            self.run(f"RELEASE {name}")
