"""A SQLite database's tables as objects of SQLAlchemy, made from the stored text: reflection loses half of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    Computed,
    ForeignKeyConstraint,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    UniqueConstraint,
    inspect,
    text,
)
from sqlalchemy.engine import Connection
from sqlalchemy.schema import SchemaItem
from sqlalchemy.types import TypeEngine

from ..backends.sqlite import ask, quoted
from ..drift.shape import Shape
from ..safety.source import files_of
from ..schema.database_type import DatabaseType
from ..schema.sqlite.definition import ColumnDefinition, TableDefinition, folded
from ..schema.sqlite.definition import Constraint as Written
from ..schema.sqlite.reader import parse
from ..schema.sqlite.tokens import keys_and_condition, name_of, significant
from .item_source import unbound
from .target import IndexSource, Target, keys_of
from .type_source import generic, spelled

__all__ = ["of_sqlite"]


def of_sqlite(connection: Connection, shape: Shape) -> Target:
    """A database as it is."""
    raw: Any = connection.connection.dbapi_connection
    stored: dict[tuple[str, str], str] = {}
    tables: dict[str, Table] = {}
    indexes: dict[tuple[str, str], IndexSource] = {}
    for schema in files_of(raw):
        place = "" if schema == "main" else f"{schema}."
        rows = ask(raw, f"SELECT type, name, tbl_name, sql FROM {quoted(schema)}.sqlite_master WHERE sql IS NOT NULL")
        kept = [row for row in rows if folded(place + row[2]) in shape.tables]
        written = {folded(name): parse(sql) for kind, name, _, sql in kept if kind == "table"}
        metadata = MetaData(schema=None if schema == "main" else schema)
        for kind, name, table, sql in kept:
            if kind == "table":
                stored["table", folded(place + name)] = sql if not place else _placed(sql, schema)
                tables[folded(place + name)] = _Stored(connection, metadata, written[folded(name)], written).table()
            elif kind == "index":
                indexes[folded(place + table), folded(name)] = _index(name, sql)
    return Target(shape, connection.dialect, tables, indexes, stored)


def _placed(sql: str, schema: str) -> str:
    """A stored CREATE TABLE, which never says the file, with the name of that."""
    start, end = parse(sql).name_span
    return f"{sql[:start]}{quoted(schema)}.{sql[start:end]}{sql[end:]}"


class _Stored:
    """One table."""

    def __init__(
        self,
        connection: Connection,
        metadata: MetaData,
        definition: TableDefinition,
        others: dict[str, TableDefinition],
    ) -> None:
        self.connection, self.metadata, self.definition = connection, metadata, definition
        self._others = others
        self._types = {
            folded(column["name"]): column["type"]
            for column in inspect(connection).get_columns(definition.name, schema=metadata.schema)
        }
        self._flags = dict(self._checks_of_flags())

    def table(self) -> Table:
        """The table, with its constraints."""
        written = self.definition
        options: dict[str, Any] = {}
        key = written.primary_key
        if key is not None and "AUTOINCREMENT" in key.words:
            options["sqlite_autoincrement"] = True
        if written.without_rowid:
            options["sqlite_with_rowid"] = False
        if written.strict:
            options["sqlite_strict"] = True
        items: list[SchemaItem] = [self._column(column) for column in written.columns]
        for found in written.all_constraints:
            if found not in self._flags.values():
                items += self._constraint(found)
        return Table(written.name, self.metadata, *items, **options)

    def _column(self, column: ColumnDefinition) -> Column[Any]:
        default, generated, not_null = (column.of_kind(kind) for kind in ("default", "generated", "not_null"))
        items: list[SchemaItem] = []
        if generated is not None:
            body = unbound(self.definition.body_of(generated).strip())
            items.append(Computed(body, persisted="STORED" in generated.words))
        options: dict[str, Any] = {}
        if default is not None:
            options["server_default"] = _default(self.definition.body_of(default))
        if not_null is not None and (action := _conflict(not_null)):
            options["sqlite_on_conflict_not_null"] = action
        key = self.definition.primary_key
        primary = key is not None and folded(column.name) in map(folded, key.columns)
        implied = self.definition.rowid_alias == column.name or self.definition.without_rowid or self.definition.strict
        nullable = not_null is None and not (primary and implied)
        return Column(column.name, self._type(column), *items, primary_key=primary, nullable=nullable, **options)

    def _type(self, column: ColumnDefinition) -> TypeEngine[Any]:
        """One of SQLAlchemy's where it is spelled like that, else the words themselves."""
        collation = column.of_kind("collate")
        collated = None if collation is None else name_of(significant(self.definition.body_of(collation))[0])
        found = self._types.get(folded(column.name))
        words = " ".join(column.type.split())
        if isinstance(found, String) and collated is not None and not hasattr(found, "enums"):
            found.collation = collated
            if spelled(found, self.connection.dialect) == f'{words} COLLATE "{collated}"':
                return generic(found, self.connection.dialect)
        elif found is not None and collated is None and spelled(found, self.connection.dialect) == words.upper():
            check = self._flags.get(folded(column.name))
            if check is not None:
                return Boolean(create_constraint=True, name=check.name)
            return generic(found, self.connection.dialect)
        return DatabaseType(words if collated is None else f"{words} COLLATE {quoted(collated)}".strip())

    def _checks_of_flags(self) -> Iterator[tuple[str, Written]]:
        """The CHECKs that a Boolean makes, by its column: its type says them, for other databases refuse the words."""
        for found in self.definition.all_constraints:
            tokens = significant(self.definition.body_of(found)) if found.kind == "check" else []
            if [token.text.upper() for token in tokens[1:]] == ["IN", "(", "0", ",", "1", ")"] and tokens[0].is_name:
                name = folded(name_of(tokens[0]))
                if isinstance(self._types.get(name), Boolean):
                    yield name, found

    def _constraint(self, found: Written) -> Iterator[SchemaItem]:
        options: dict[str, Any] = {"name": found.name}
        if action := _conflict(found):
            options["sqlite_on_conflict"] = action
        match found.kind:
            case "primary_key":
                names = [self.definition.column(name).name for name in found.columns]
                yield PrimaryKeyConstraint(*names, **options)
            case "unique":
                yield UniqueConstraint(*(self.definition.column(name).name for name in found.columns), **options)
            case "check":
                options.pop("sqlite_on_conflict", None)
                yield CheckConstraint(unbound(self.definition.body_of(found).strip()), **options)
            case "foreign_key":
                yield self._foreign_key(found)

    def _foreign_key(self, found: Written) -> ForeignKeyConstraint:
        words = list(found.words)
        if found.column is not None:
            # DEFERRABLE stands behind a column's own as a constraint of its own.
            column = self.definition.column(found.column)
            following = column.constraints[column.constraints.index(found) + 1 :][:1]
            words += [word for other in following if other.kind == "deferrable" for word in other.words]
        options: dict[str, Any] = {"name": found.name}
        for word in words:
            first, _, rest = word.partition(" ")
            if first == "ON":
                event, _, action = rest.partition(" ")
                options[f"on{event.lower()}"] = action
            elif first == "INITIALLY":
                options["initially"] = rest
            elif word == "DEFERRABLE":
                options["deferrable"] = "NOT" not in words
        columns = found.target_columns
        if columns is None:
            parent = self._others.get(folded(str(found.target)))
            columns = parent.primary_key.columns if parent is not None and parent.primary_key is not None else ()
        there = [*columns, *["rowid"] * (len(found.columns) - len(columns))]
        here = [self.definition.column(name).name for name in found.columns]
        place = f"{self.metadata.schema}." if self.metadata.schema else ""
        return ForeignKeyConstraint(here, [f"{place}{found.target}.{column}" for column in there], **options)


def _default(said: str) -> Any:
    """A text as a text, and an expression as it stands."""
    found = significant(said)
    if len(found) == 1 and found[0].kind == "string":
        return name_of(found[0])
    return text(unbound(said))


def _conflict(found: Written) -> str | None:
    return next((word.removeprefix("ON CONFLICT ") for word in found.words if word.startswith("ON CONFLICT")), None)


def _index(name: str, sql: str) -> IndexSource:
    keys, rest = keys_of(keys_and_condition(sql))
    # What follows the keys is WHERE and the condition.
    return IndexSource(name, keys, significant(sql)[1].is_word("UNIQUE"), rest[5:].strip() or None)
