"""
The tables of a server as objects of SQLAlchemy: columns as its inspector tells them, all else as the catalogue does.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    CheckConstraint,
    Column,
    Computed,
    ForeignKeyConstraint,
    Identity,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    UniqueConstraint,
    inspect,
    text,
)
from sqlalchemy.engine import Connection
from sqlalchemy.schema import SchemaItem
from sqlalchemy.types import JSON, NullType, TypeEngine

from ..drift import shape as shapes
from ..schema.database_type import DatabaseType
from ..schema.names import split
from .item_source import unbound
from .operations import condition_of
from .target import IndexSource, Target, keys_of
from .things import sql_name
from .type_source import generic

if TYPE_CHECKING:
    from sqlalchemy.engine.interfaces import Dialect

__all__ = ["index_of", "of_server"]

# A text, with the cast that PostgreSQL writes behind it.
_TEXT = re.compile(r"'((?:[^'\\]|'')*)'(?:::(?:character varying|text|character|bpchar))?")
_SERIAL = {"smallint": "SMALLSERIAL", "integer": "SERIAL", "bigint": "BIGSERIAL"}
_IDENTITY = ("always", "start", "increment", "minvalue", "maxvalue", "cycle", "cache")


def of_server(connection: Connection, shape: shapes.Shape) -> Target:
    """A database as it is."""
    metadata = MetaData()
    tables = {key: _Reflected(connection, shape, table).table(metadata) for key, table in shape.tables.items()}
    dialect = connection.dialect
    indexes = {
        (shape.key(index.table), shape.key(index.name)): index_of(
            index.name, index.table, index.definition.shown, dialect
        )
        for index in shape.indexes.values()
    }
    for table in shape.tables.values() if dialect.name != "postgresql" else ():
        for one in table.constraints:
            # MariaDB and MySQL take a unique index for a constraint, whatever its keys are.
            if one.kind == "unique" and one.name is not None and not _is_plain(one):
                made = index_of(one.name, table.name, one.definition.shown, dialect)
                indexes[shape.key(table.name), shape.key(one.name)] = made
    return Target(shape, connection.dialect, tables, indexes, given_names=False)


class _Reflected:
    """One table."""

    def __init__(self, connection: Connection, shape: shapes.Shape, table: shapes.Table) -> None:
        self.dialect, self.shape, self.there = connection.dialect, shape, table
        self.schema, self.name = split(table.name)
        inspector = inspect(connection)
        self._columns = inspector.get_columns(self.name, schema=self.schema)
        self._keys = inspector.get_foreign_keys(self.name, schema=self.schema)
        self._counted = [shape.column_key(name) for one in table.constraints for name in _sole_key(one)]

    def table(self, metadata: MetaData) -> Table:
        """It, with its constraints."""
        known = {self.shape.column_key(column.name): column for column in self.there.columns}
        items: list[SchemaItem] = [
            self._column(found, known[self.shape.column_key(found["name"])])
            for found in self._columns
            if self.shape.column_key(found["name"]) in known
        ]
        for constraint in self.there.constraints:
            items += self._constraint(constraint)
        options: dict[str, Any] = {"comment": self.there.comment, **dict(self._options())}
        made: Table = Table(self.name, metadata, *items, schema=self.schema, **options)
        return made

    def _options(self) -> Iterator[tuple[str, str]]:
        for option in self.there.options if self.dialect.name in ("mysql", "mariadb") else ():
            if option.startswith("ENGINE="):
                yield "mysql_engine", option.removeprefix("ENGINE=")
            elif option.startswith("COLLATE "):
                yield "mysql_collate", option.removeprefix("COLLATE ")

    def _column(self, found: Mapping[str, Any], there: shapes.Column) -> Column[Any]:
        items: list[SchemaItem] = []
        options: dict[str, Any] = {"nullable": there.nullable, "comment": there.comment}
        kind = self._type(found["type"], there)
        alone = self._counted == [self.shape.column_key(there.name)]
        if found.get("computed") and there.generated is not None:
            computed = found["computed"]
            items.append(Computed(unbound(computed["sqltext"]), persisted="STORED" in there.generated.shown))
        elif found.get("identity") and there.identity is not None:
            said = {word: value for word in _IDENTITY if (value := found["identity"].get(word)) is not None}
            items.append(Identity(**_without_usual(said)))
        elif there.identity is not None and there.identity.startswith("SERIAL") and not alone:
            kind = DatabaseType(_SERIAL.get(there.type, "SERIAL"))
        elif there.default is not None:
            options["server_default"] = _default(there.default.shown)
        options["autoincrement"] = there.identity is not None if alone else "auto"
        return Column(str(found["name"]), kind, *items, **options)

    def _type(self, found: TypeEngine[Any], there: shapes.Column) -> TypeEngine[Any]:
        if there.type == "json" and self.dialect.name in ("mysql", "mariadb"):
            return JSON()
        if isinstance(found, NullType) or type(found).__name__ == "DOMAIN":
            return DatabaseType(there.type)
        found = copy.copy(found)
        if there.collation is None and getattr(found, "collation", None) is not None:
            found.collation = None  # type: ignore[attr-defined]
        if there.collation is None and getattr(found, "charset", None) is not None:
            found.charset = None  # type: ignore[attr-defined]
        if getattr(found, "display_width", None) is not None and there.type != "tinyint(1)":
            # MariaDB tells one where nothing was said.
            found.display_width = None  # type: ignore[attr-defined]
        return generic(found, self.dialect)

    def _constraint(self, there: shapes.Constraint) -> Iterator[SchemaItem]:
        spelled = {self.shape.column_key(column.name): column.name for column in self.there.columns}
        names = [spelled[self.shape.column_key(name)] for name in there.columns if there.kind != "check"]
        match there.kind:
            case "primary key":
                yield PrimaryKeyConstraint(*names, name=there.name)
            case "unique" if _is_plain(there):
                yield UniqueConstraint(*names, name=there.name)
            case "check":
                yield CheckConstraint(unbound(condition_of(there)), name=there.name)
            case "foreign key":
                same = (one for one in self._keys if one["constrained_columns"] == names)
                if (found := next(same, None)) is not None:
                    yield _foreign_key(found, there)


def _sole_key(constraint: shapes.Constraint) -> tuple[str, ...]:
    return constraint.columns if constraint.kind == "primary key" else ()


def _is_plain(unique: shapes.Constraint) -> bool:
    """Whether it is over whole columns, and nothing else is said of it."""
    said = unique.definition.shown.removeprefix("UNIQUE ")
    if not said.startswith("("):
        return False
    keys, rest = keys_of(said)
    return not rest and [key.lower() for key in keys] == [column.lower() for column in unique.columns]


def _foreign_key(found: Mapping[str, Any], there: shapes.Constraint) -> ForeignKeyConstraint:
    place = f"{found['referred_schema']}." if found["referred_schema"] else ""
    target = f"{place}{found['referred_table']}"
    said = {word: value for word, value in found.get("options", {}).items() if value is not None}
    options = {word: value for word, value in said.items() if value not in ("NO ACTION", "RESTRICT")}
    columns = [f"{target}.{column}" for column in found["referred_columns"]]
    return ForeignKeyConstraint(found["constrained_columns"], columns, name=there.name, **options)


def _without_usual(said: dict[str, Any]) -> dict[str, Any]:
    """The words of an identity without those that say what is so anyway."""
    usual = {"start": 1, "increment": 1, "minvalue": 1, "cycle": False, "cache": 1, "always": False}
    largest = (2**15 - 1, 2**31 - 1, 2**63 - 1)
    return {
        word: value
        for word, value in said.items()
        if value != usual.get(word) and not (word == "maxvalue" and value in largest)
    }


def _default(said: str) -> Any:
    found = _TEXT.fullmatch(said)
    return found[1].replace("''", "'") if found else text(unbound(said))


def index_of(full_name: str, table: str, shown: str, dialect: Dialect) -> IndexSource:
    """An index by what the catalogue says of it."""
    name, unique = split(full_name)[1], shown.startswith("UNIQUE ")
    said, postgresql = shown.removeprefix("UNIQUE "), dialect.name == "postgresql"
    if said.startswith("("):
        keys, rest = keys_of(said)
        if not rest or (rest.upper().startswith("WHERE ") and postgresql):
            return IndexSource(name, keys, unique, rest[6:].strip() or None)
    word, kind = "UNIQUE " if unique else "", ""
    if not postgresql:
        # FULLTEXT and the like stand behind the keys, and go before the word INDEX.
        said, _, kind = said.rpartition(") ")
        word, said = f"{kind} ", f"{said})"
    place = f"{sql_name(dialect, name)} ON {sql_name(dialect, table)}"
    return IndexSource(name, (), unique, None, f"CREATE {word}INDEX {place} {said}")
