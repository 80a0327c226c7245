"""
Models of every kind, as values: made into a MetaData, and into a migration that comes to the same by detours.

A migration that is written to a file has them as text, so that all are tuples of what can be written so.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from hypothesis import strategies as st
from sqlalchemy import (
    ARRAY,
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    Enum,
    Float,
    ForeignKeyConstraint,
    Index,
    Integer,
    Interval,
    LargeBinary,
    MetaData,
    Numeric,
    SmallInteger,
    String,
    Table,
    Text,
    Time,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects import mysql, postgresql

__all__ = ["Changed", "Col", "Key", "Tab", "changed", "metadata_of", "tables", "travel"]

# By the name of a kind: the type, a default, what a column of it may have been before, a condition.
_KINDS: dict[str, tuple[Any, str | None, str | None, str | None]] = {
    "small": (SmallInteger(), "3", "int", "{} > 0"),
    "int": (Integer(), "5", "number", "{} BETWEEN 1 AND 9"),
    "big": (BigInteger(), "-7", "int", "{} <> 0"),
    "string": (String(20), "'it''s'", "long", "{} IN ('a', 'b')"),
    "long": (String(120), "'x'", "string", "{} <> '' AND length({}) > 1"),
    "text": (Text(), None, None, None),
    "number": (Numeric(10, 2), "0", "int", "{} >= 1.5 OR {} < -1"),
    "wide": (Numeric(14, 4), "1.5", "number", "{} + 1 > 0"),
    "float": (Float(), "0.5", None, None),
    "flag": (Boolean(), "true", None, None),
    "date": (Date(), "'2020-02-29'", None, None),
    "time": (Time(), "'10:00:00'", None, None),
    "moment": (DateTime(), "CURRENT_TIMESTAMP", None, None),
    "bytes": (LargeBinary(), None, None, None),
    "json": (JSON(), None, None, None),
    "choice": (Enum("a", "b", "c", native_enum=False, create_constraint=True, name="ck_choice"), "'a'", None, None),
}
_OF_POSTGRESQL: dict[str, tuple[Any, str | None, str | None, str | None]] = {
    # On MariaDB there are no keys over texts of any length.
    "string": (String(20), "'it''s'", "text", "{} IN ('a', 'b')"),
    "text": (Text(), "'x'", "long", "lower({}) LIKE 'a%%'"),
    "zoned": (DateTime(timezone=True), "now()", None, None),
    "span": (Interval(), "'1 day'", None, None),
    "document": (postgresql.JSONB(), "'{}'", None, None),
    "key": (Uuid(), None, None, None),
    "list": (ARRAY(Integer()), "'{}'", None, None),
    "mood": (Enum("sad", "ok", name="mood"), "'ok'", None, None),
    "address": (postgresql.INET(), None, None, None),
}
_OF_MARIADB: dict[str, tuple[Any, str | None, str | None, str | None]] = {
    "unsigned": (mysql.INTEGER(unsigned=True), "1", None, None),
    "fine": (mysql.DATETIME(fsp=3), None, None, None),
    "mood": (Enum("sad", "ok"), "'ok'", None, None),
    "folded": (String(20, collation="utf8mb4_unicode_ci"), None, None, None),
    "huge": (mysql.LONGTEXT(), None, None, None),
}
# What may be part of a key everywhere.
_KEYED = ("small", "int", "big", "string", "number", "date")
_SOON, _LATE, _RENAMED, _RETYPED, _THERE_AND_BACK, _ALTERED = "soon", "late", "renamed", "retyped", "back", "altered"
_AGAIN, _BY_HAND = "again", "by hand"


class Col(NamedTuple):
    """A column, and how the migration comes to it."""

    name: str
    kind: str
    nullable: bool = True
    default: bool = False
    comment: str | None = None
    way: str = _SOON


class Key(NamedTuple):
    """A constraint or an index over columns, and how the migration comes to it."""

    kind: str
    name: str | None
    columns: tuple[str, ...]
    parent: str | None = None
    ondelete: str | None = None
    unique: bool = False
    way: str = _SOON


class Tab(NamedTuple):
    """A table."""

    name: str
    columns: tuple[Col, ...]
    keys: tuple[Key, ...] = ()
    way: str = _SOON


# Models


def _kinds(server: str) -> dict[str, tuple[Any, str | None, str | None, str | None]]:
    return _KINDS | (_OF_POSTGRESQL if server == "postgresql" else _OF_MARIADB)


def _column(server: str, col: Col) -> Column[Any]:
    type_, default, _, _ = _kinds(server)[col.kind]
    given = text(default) if col.default and default else None
    made = type_.copy() if isinstance(type_, Enum) else type_
    if isinstance(made, Enum) and made.create_constraint:
        made.name = f"ck_{col.name}_choice"
    return Column(col.name, made, nullable=col.nullable, server_default=given, comment=col.comment)


def _item(server: str, tab: Tab, key: Key) -> Any:
    if key.kind == "unique":
        return UniqueConstraint(*key.columns, name=key.name)
    if key.kind == "check":
        return CheckConstraint(_condition(server, tab, key), name=key.name)
    assert key.kind == "foreign key"
    return ForeignKeyConstraint(key.columns, [f"{key.parent}.id"], name=key.name, ondelete=key.ondelete)


def _condition(server: str, tab: Tab, key: Key) -> str:
    [column] = (col for col in tab.columns if col.name == key.columns[0])
    condition = _kinds(server)[column.kind][3]
    assert condition is not None
    return condition.format(column.name, column.name)


def metadata_of(server: str, listed: tuple[Tab, ...]) -> MetaData:
    """The models."""
    metadata = MetaData()
    for tab in listed:
        items = [_item(server, tab, key) for key in tab.keys if key.kind != "index"]
        columns = [_column(server, col) for col in tab.columns]
        table = Table(tab.name, metadata, Column("id", Integer, primary_key=True), *columns, *items)
        for key in tab.keys:
            if key.kind == "index":
                Index(key.name, *(table.c[name] for name in key.columns), unique=key.unique)
    return metadata


# A migration that comes to the same


def travel(migration: Any, listed: tuple[Tab, ...]) -> None:
    """Make the tables of these models as a program does over the years: not as they are in the end."""
    server = "postgresql" if migration.connection.dialect.name == "postgresql" else "mariadb"
    for tab in listed:
        _Way(migration, server, tab).go()


class _Way:
    """From the first form of a table to the last one."""

    def __init__(self, migration: Any, server: str, tab: Tab) -> None:
        self._do, self._server, self._tab = migration, server, tab
        self._name = f"old_{tab.name}" if tab.way == _RENAMED else tab.name

    def go(self) -> None:
        tab = self._tab
        soon = [col for col in tab.columns if col.way != _LATE]
        first = {col.name: self._first(col) for col in soon}
        # What stands in the CREATE TABLE is over columns that are there, by the names of then.
        at_once = [key for key in tab.keys if key.way == _SOON and key.kind != "index" and self._is_there(key, first)]
        self._do.create_table(
            self._name,
            Column("id", Integer, primary_key=True),
            *(_column(self._server, col) for col in first.values()),
            *(_item(self._server, tab, key) for key in at_once),
        )
        for col in soon:
            self._become(first[col.name], col)
        self._rename()
        for col in tab.columns:
            if col.way == _LATE:
                self._do.add_column(self._name, _column(self._server, col))
        for key in tab.keys:
            if key not in at_once:
                self._add(key)
            if key.way == _AGAIN:
                self._drop(key)
                self._add(key)

    def _is_there(self, key: Key, first: dict[str, Col]) -> bool:
        renamed = {name for name, col in first.items() if col.name != name}
        return all(name in first and name not in renamed for name in key.columns)

    def _first(self, col: Col) -> Col:
        before = _kinds(self._server)[col.kind][2]
        match col.way:
            case "renamed" if not _is_choice(col):
                return col._replace(name=f"old_{col.name}")
            case "retyped" if before:
                return col._replace(kind=before, default=False)
            case "altered":
                return col._replace(nullable=not col.nullable, default=False, comment=None)
        return col

    def _become(self, was: Col, col: Col) -> None:
        type_, default, before, _ = _kinds(self._server)[col.kind]
        given = text(default) if col.default and default else None
        if was.name != col.name:
            self._do.rename_column(self._name, was.name, col.name)
        if was.kind != col.kind:
            self._do.alter_column(self._name, col.name, type_=type_, server_default=given)
        elif was != col:
            self._do.alter_column(self._name, col.name, nullable=col.nullable, comment=col.comment)
            self._do.alter_column(self._name, col.name, server_default=given)
        elif col.way == _THERE_AND_BACK and before and not _is_choice(col):
            self._do.alter_column(self._name, col.name, type_=_kinds(self._server)[before][0])
            self._do.alter_column(self._name, col.name, type_=type_)

    def _rename(self) -> None:
        if self._name != self._tab.name:
            self._do.rename_table(self._name, self._tab.name)
            self._name = self._tab.name

    def _add(self, key: Key) -> None:
        by_hand, columns = key.way == _BY_HAND, ", ".join(key.columns)
        named = f"CONSTRAINT {key.name} " if key.name else ""
        if key.kind == "index":
            self._index(key, columns)
        elif key.kind == "check":
            condition = _condition(self._server, self._tab, key)
            if by_hand:
                self._do.execute_sql(f"ALTER TABLE {self._name} ADD {named}CHECK ({condition})")
            else:
                self._do.create_check(self._name, key.name, condition)
        elif key.kind == "unique":
            if by_hand:
                self._do.execute_sql(f"ALTER TABLE {self._name} ADD {named}UNIQUE ({columns})")
            else:
                self._do.create_unique(self._name, key.name, key.columns)
        elif by_hand:
            rule = f" ON DELETE {key.ondelete}" if key.ondelete else ""
            self._do.execute_sql(
                f"ALTER TABLE {self._name} ADD {named}FOREIGN KEY ({columns}) REFERENCES {key.parent} (id){rule}"
            )
        else:
            parent = str(key.parent)
            self._do.create_foreign_key(self._name, key.name, key.columns, parent, ["id"], ondelete=key.ondelete)

    def _index(self, key: Key, columns: str) -> None:
        unique = "UNIQUE " if key.unique else ""
        if key.way != _RENAMED:
            self._do.execute_sql(f"CREATE {unique}INDEX {key.name} ON {self._name} ({columns})")
            return
        self._do.execute_sql(f"CREATE {unique}INDEX ix_old_{key.name} ON {self._name} ({columns})")
        if self._server == "postgresql":
            self._do.execute_sql(f"ALTER INDEX ix_old_{key.name} RENAME TO {key.name}")
        else:
            self._do.execute_sql(f"ALTER TABLE {self._name} RENAME INDEX ix_old_{key.name} TO {key.name}")

    def _drop(self, key: Key) -> None:
        if key.kind == "index":
            on = "" if self._server == "postgresql" else f" ON {self._name}"
            self._do.execute_sql(f"DROP INDEX {key.name}{on}")
        elif key.name:
            self._do.drop_constraint(self._name, name=key.name)
        else:
            self._do.drop_constraint(self._name, kind=key.kind.replace(" ", "_"), columns=key.columns)


def _is_choice(col: Col) -> bool:
    # Its CHECK is a part of its type.
    return col.kind == "choice"


# One thing that is changed


class Changed(NamedTuple):
    """
    Models in which one thing is another than in those that it was made of, and what is to be found.

    Attributes:
        kind, table, name, facets: As in `Difference`; the name of a constraint without one is None.
    """

    tables: tuple[Tab, ...]
    kind: str
    table: str
    name: str | None
    facets: tuple[str, ...]


@st.composite
def changed(draw: Any, server: str, listed: tuple[Tab, ...]) -> Changed:
    """One thing of these models changed."""
    at = draw(st.integers(0, len(listed) - 1))
    tab = listed[at]
    options = [*_changed_columns(server, tab), *_changed_keys(server, tab)]
    now, kind, name, facets = draw(st.sampled_from(options))
    return Changed((*listed[:at], now, *listed[at + 1 :]), kind, tab.name, name, facets)


def _changed_columns(server: str, tab: Tab) -> Iterator[tuple[Tab, str, str | None, tuple[str, ...]]]:
    used = {name for key in tab.keys for name in key.columns}
    yield tab._replace(columns=(*tab.columns, Col("more", "int"))), "column", "more", ()
    for place, col in enumerate(tab.columns):
        rest = (tab.columns[:place], tab.columns[place + 1 :])
        # A CHECK, or a type of its own, goes with it.
        alone = col.name not in used and col.kind not in ("choice", "mood")
        if alone:
            yield tab._replace(columns=(*rest[0], *rest[1])), "column", col.name, ()
        if alone and col.kind != "text":
            other = col._replace(kind="text", default=False)
            facets = ("type", "default") if col.default and _kinds(server)[col.kind][1] else ("type",)
            facets += ("collation",) if col.kind == "folded" else ()
            yield tab._replace(columns=(*rest[0], other, *rest[1])), "column", col.name, facets
        # MariaDB makes no table with a column that takes no NULL, and a key that sets one.
        is_set = server == "mariadb" and any(col.name in key.columns and key.ondelete == "SET NULL" for key in tab.keys)
        if not is_set:
            nullable = col._replace(nullable=not col.nullable)
            yield tab._replace(columns=(*rest[0], nullable, *rest[1])), "column", col.name, ("nullable",)
        if _kinds(server)[col.kind][1]:
            default = col._replace(default=not col.default)
            yield tab._replace(columns=(*rest[0], default, *rest[1])), "column", col.name, ("default",)
        comment = col._replace(comment="another")
        yield tab._replace(columns=(*rest[0], comment, *rest[1])), "column", col.name, ("comment",)


def _changed_keys(server: str, tab: Tab) -> Iterator[tuple[Tab, str, str | None, tuple[str, ...]]]:
    for place, key in enumerate(tab.keys):
        # On MariaDB a unique index is a constraint, whichever statement made it.
        kind = "unique" if server == "mariadb" and key.kind == "index" and key.unique else key.kind
        rest = (tab.keys[:place], tab.keys[place + 1 :])
        named = key._replace(name=f"{key.name or 'ck_uq_fk'}_b")
        yield tab._replace(keys=(*rest[0], named, *rest[1])), kind, key.name, ("name",)
        if key.kind != "foreign key":
            yield tab._replace(keys=(*rest[0], *rest[1])), kind, key.name, ()
        else:
            rule = key._replace(ondelete=None if key.ondelete else "CASCADE")
            yield tab._replace(keys=(*rest[0], rule, *rest[1])), kind, key.name, ("definition",)


# What may be generated


@st.composite
def tables(draw: Any, server: str) -> tuple[Tab, ...]:
    """One to three tables, of which later ones may refer to earlier ones."""
    made: list[Tab] = []
    for number in range(draw(st.integers(1, 3))):
        made.append(_table(draw, server, f"t{number}", [tab.name for tab in made]))
    return tuple(made)


def _table(draw: Any, server: str, name: str, parents: list[str]) -> Tab:
    ways = st.sampled_from([_SOON, _LATE, _RENAMED, _RETYPED, _THERE_AND_BACK, _ALTERED])
    columns = []
    for number, kind in enumerate(draw(st.lists(st.sampled_from(sorted(_kinds(server))), min_size=1, max_size=5))):
        nullable, default = draw(st.booleans()), draw(st.booleans())
        comment = draw(st.sampled_from([None, None, "it's"]))
        columns.append(Col(f"c{number}", kind, nullable, default, comment, draw(ways)))
    keys = list(_keys(draw, server, name, columns, parents))
    columns += [Col(key.columns[0], "int") for key in keys if key.kind == "foreign key"]
    return Tab(name, tuple(columns), tuple(keys), draw(st.sampled_from([_SOON, _RENAMED])))


def _keys(draw: Any, server: str, table: str, columns: list[Col], parents: list[str]) -> Iterator[Key]:
    keyed = [col.name for col in columns if col.kind in _KEYED]
    checked = [col.name for col in columns if _kinds(server)[col.kind][3]]
    ways = st.sampled_from([_SOON, _LATE, _AGAIN, _BY_HAND])
    if keyed and draw(st.booleans()):
        over = tuple(draw(st.lists(st.sampled_from(keyed), min_size=1, max_size=2, unique=True)))
        yield Key("unique", draw(st.sampled_from([None, f"uq_{table}"])), over, way=draw(ways))
    if keyed and draw(st.booleans()):
        over = tuple(draw(st.lists(st.sampled_from(keyed), min_size=1, max_size=2, unique=True)))
        way = draw(st.sampled_from([_SOON, _AGAIN, _RENAMED]))
        yield Key("index", f"ix_{table}", over, unique=draw(st.booleans()), way=way)
    if checked and draw(st.booleans()):
        over = (draw(st.sampled_from(checked)),)
        yield Key("check", draw(st.sampled_from([None, f"ck_{table}"])), over, way=draw(ways))
    for parent in parents:
        if draw(st.booleans()):
            rule = draw(st.sampled_from([None, "CASCADE", "SET NULL"]))
            named = draw(st.sampled_from([None, f"fk_{table}_{parent}"]))
            yield Key("foreign key", named, (f"{parent}_id",), parent, rule, way=draw(ways))
