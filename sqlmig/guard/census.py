"""What a SQLite database holds, counted over the connection that a migration runs on and unseen by it."""

from __future__ import annotations

import os
import re
import sqlite3
import time
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from ..backends.sqlite import ask, quoted
from ..schema.sqlite.definition import folded

_SHADOWS = ("data", "idx", "content", "docsize", "config", "node", "rowid", "parent", "segments", "segdir", "stat")
_FULL_TEXT = re.compile(r"\bUSING\s+[\"'`\[]?fts[345]\b", re.IGNORECASE)
_REPLACING = re.compile(r"\bCONFLICT\s+REPLACE\b", re.IGNORECASE)

__all__ = ["Census", "Column", "ForeignKey", "TableId"]


class TableId(NamedTuple):
    """A table: the schema that it lies in, and its name as it is spelled."""

    schema: str
    name: str

    @property
    def sql(self) -> str:
        """Its name in a statement."""
        return f"{quoted(self.schema)}.{quoted(self.name)}"

    @property
    def key(self) -> tuple[str, str]:
        """The same for every spelling."""
        return folded(self.schema), folded(self.name)

    def __str__(self) -> str:
        return self.name if folded(self.schema) == "main" else f"{self.schema}.{self.name}"


class Column(NamedTuple):
    """A column as `table_xinfo` tells it."""

    name: str
    type: str
    notnull: bool
    pk: int
    generated: bool


class ForeignKey(NamedTuple):
    """A foreign key: its own columns, and the table and the columns that they refer to, all folded."""

    columns: tuple[str, ...]
    parent: str
    parent_columns: tuple[str, ...]


class Census:
    """
    Counts and facts of one connection.

    Attributes:
        busy: Whether it asks just now, so that its own statements are taken for nobody's.
        spent: Seconds that its statements have taken.
    """

    def __init__(self, raw: Any) -> None:
        self.raw = raw
        self.busy, self.spent = False, 0.0
        self._enforces: bool | None = None
        self._texts: dict[tuple[str, str], str | None] = {}
        self._columns: dict[tuple[str, str], list[Column]] = {}
        self._references: dict[str, dict[str, list[tuple[TableId, ForeignKey]]]] = {}

    def forget(self, dropped: TableId | None = None) -> None:
        """The schema is about to change: what was read of it does not hold any more, but where a table only goes."""
        if dropped is None:
            self._enforces = None
            self._references.clear()
            self._texts.clear()
            self._columns.clear()
            return
        self._texts.pop(dropped.key, None)
        self._columns.pop(dropped.key, None)
        for found in self._references.get(folded(dropped.schema), {}).values():
            found[:] = [(child, key) for child, key in found if child.key != dropped.key]

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """What a statement gives; the application's row factory has no part in it."""
        before, self.busy = self.busy, True
        began = time.perf_counter()
        try:
            return ask(self.raw, sql, values)
        finally:
            self.busy = before
            self.spent += time.perf_counter() - began

    def value(self, sql: str, values: Sequence[Any] = ()) -> Any:
        """The first value of the first row."""
        return self.rows(sql, values)[0][0]

    def compile(self, sql: str) -> None:
        """
        Have SQLite compile a statement, for the authorizer to hear of it, and not run it.

        Calling a connection of sqlite3 does that, past its cache of statements, which would be silent. EXPLAIN would
        not do: it is run, and sets `changes()` to 0 for the statement that comes next.
        """
        self.raw(sql)

    @property
    def enforces_references(self) -> bool:
        """Whether SQLite itself keeps rows from losing what they refer to."""
        if self._enforces is None:
            self._enforces = bool(self.value("PRAGMA foreign_keys"))
        return self._enforces

    def find(self, schema: str | None, name: str) -> TableId | None:
        """The table that a name means; None where there is none, or it is a view or a temporary one."""
        places = self._schemas()
        if schema is not None:
            places = [place for place in places if folded(place) == folded(schema)]
        for place in places:
            master = "sqlite_temp_master" if folded(place) == "temp" else f"{quoted(place)}.sqlite_master"
            found = self.rows(
                f"SELECT name, type, sql FROM {master} WHERE type IN ('table', 'view') AND name = ? COLLATE NOCASE",
                (name,),
            )
            if found:
                if _text(found[0][1]) == "view" or folded(place) == "temp":
                    return None
                table = TableId(place, _text(found[0][0]))
                self._texts[table.key] = _text(found[0][2] or "")
                return table
        return None

    def _schemas(self) -> list[str]:
        """In the order in which SQLite looks a name up."""
        names = [_text(row[1]) for row in self.rows("PRAGMA database_list")]
        return [name for name in ("temp",) if name in names] + [name for name in names if name != "temp"]

    def is_view(self, table: TableId) -> bool:
        """Whether there is a view of the name."""
        master = f"{quoted(table.schema)}.sqlite_master"
        return bool(self.rows(f"SELECT 1 FROM {master} WHERE type = 'view' AND name = ? COLLATE NOCASE", (table.name,)))

    def holds_data(self, table: TableId) -> bool:
        """Whether its rows are its own: neither an index that can be made again, nor another table's inner part."""
        if folded(table.name).startswith("sqlite_") or self._sql(table) is None:
            return False
        if self.is_virtual(table):
            return "content=" not in "".join((self._sql(table) or "").lower().split())
        return not self._is_shadow(table)

    def _is_shadow(self, table: TableId) -> bool:
        """Source: https://sqlite.org/vtab.html#xshadowname"""
        if sqlite3.sqlite_version_info >= (3, 37):
            kinds = self.rows("SELECT type FROM pragma_table_list(?) WHERE schema = ?", (table.name, table.schema))
            return any(_text(kind) == "shadow" for (kind,) in kinds)
        owner, _, suffix = table.name.rpartition("_")
        return suffix in _SHADOWS and bool(owner) and self.is_virtual(TableId(table.schema, owner))

    def _sql(self, table: TableId) -> str | None:
        if table.key not in self._texts:
            master = f"{quoted(table.schema)}.sqlite_master"
            found = self.rows(
                f"SELECT sql FROM {master} WHERE type = 'table' AND name = ? COLLATE NOCASE", (table.name,)
            )
            self._texts[table.key] = _text(found[0][0] or "") if found else None
        return self._texts[table.key]

    def is_virtual(self, table: TableId) -> bool:
        """Whether a module keeps it."""
        return (self._sql(table) or "")[:60].upper().split()[1:2] == ["VIRTUAL"]

    def is_countable(self, table: TableId) -> bool:
        """Whether its columns hold what was put into them: those of full-text tables do, of other modules' perhaps."""
        return not self.is_virtual(table) or bool(_FULL_TEXT.search(self._sql(table) or ""))

    def replaces_on_conflict(self, table: TableId) -> bool:
        """Whether a constraint of the table itself pushes rows out."""
        return bool(_REPLACING.search(self._sql(table) or ""))

    def trigger_replaces(self, schema: str, trigger: str) -> bool:
        """Whether a trigger may push rows out."""
        master = f"{quoted(schema)}.sqlite_master"
        found = self.rows(f"SELECT sql FROM {master} WHERE type = 'trigger' AND name = ? COLLATE NOCASE", (trigger,))
        return any("REPLACE" in _text(sql).upper() for (sql,) in found)

    def may_push_others_out(self, table: TableId) -> bool:
        """Whether a row can be in the way of another that has a different key: where more than one thing is unique."""
        indexes = self.rows(f"PRAGMA {quoted(table.schema)}.index_list({quoted(table.name)})")
        unique = [row for row in indexes if row[2]]
        has_rowid_key = any(column.pk for column in self.columns(table)) and not any(row[3] == "pk" for row in unique)
        return len(unique) + has_rowid_key > 1

    def columns(self, table: TableId) -> list[Column]:
        """The columns that can be read, generated ones too."""
        if table.key not in self._columns:
            rows = self.rows('SELECT name, type, "notnull", pk, hidden FROM pragma_table_xinfo(?, ?)', table[::-1])
            self._columns[table.key] = [
                Column(_text(name), _text(type_ or ""), bool(notnull), pk, hidden in (2, 3))
                for name, type_, notnull, pk, hidden in rows
                if hidden != 1
            ]
        return self._columns[table.key]

    def count(self, table: TableId, up_to: int | None = None) -> int:
        """How many rows there are, all or *up_to* a rowid; SQLite reads the smallest index for all."""
        return int(self.value(f"SELECT count(*) FROM {table.sql}{_where(up_to)}"))

    def filled(self, table: TableId, columns: Iterable[str], up_to: int | None = None) -> dict[str, int]:
        """How many values, other than NULL, each of these columns holds: one pass over the table."""
        names = list(columns)
        if not names:
            return {}
        counted = ", ".join(f"count({quoted(name)})" for name in names)
        counts = self.rows(f"SELECT {counted} FROM {table.sql}{_where(up_to)}")[0]
        return {folded(name): int(count) for name, count in zip(names, counts, strict=True)}

    def key(self, table: TableId) -> list[str]:
        """What tells one row from another: its primary key, else a unique one, else the rowid."""
        columns = self.columns(table)
        primary = [column.name for column in sorted(columns, key=lambda c: c.pk) if column.pk]
        if primary:
            return primary
        for _, name, unique, _, partial in self.rows(f"PRAGMA {quoted(table.schema)}.index_list({quoted(table.name)})"):
            if unique and not partial:
                found = [row[0] for row in self.rows("SELECT name FROM pragma_index_info(?, ?)", (name, table.schema))]
                if all(isinstance(column, str) for column in found):
                    return found
        return ["rowid"]

    def keep_keys(self, table: TableId, key: Sequence[str]) -> str:
        """Note the keys of all rows in a temporary table, whose name it gives."""
        kept = f"temp.sqlmig_keys_{os.urandom(6).hex()}"
        listed = ", ".join(f"{quoted(name)} AS k{i}" for i, name in enumerate(key))
        self.rows(f"CREATE TABLE {kept} AS SELECT {listed} FROM {table.sql}")
        return kept

    def missing_keys(self, table: TableId, key: Sequence[str], kept: str) -> int:
        """How many of the keys that were noted are no row's any more."""
        same = " AND ".join(f"t.{quoted(name)} IS k.k{i}" for i, name in enumerate(key))
        sql = f"SELECT count(*) FROM {kept} AS k WHERE NOT EXISTS (SELECT 1 FROM {table.sql} AS t WHERE {same})"
        return int(self.value(sql))

    def forget_keys(self, kept: str) -> None:
        """Take such a table away."""
        self.rows(f"DROP TABLE IF EXISTS {kept}")

    def foreign_keys(self, table: TableId) -> list[ForeignKey]:
        """Those of a table, in an order of their own."""
        found: dict[int, list[tuple[Any, ...]]] = {}
        if "references" not in (self._sql(table) or "").lower():
            return []
        for row in self.rows(
            'SELECT id, "table", "from", "to" FROM pragma_foreign_key_list(?, ?) ORDER BY id, seq', table[::-1]
        ):
            found.setdefault(row[0], []).append(row)
        return sorted(
            ForeignKey(
                tuple(folded(_text(row[2])) for row in rows),
                folded(_text(rows[0][1])),
                tuple(folded(_text(row[3])) if row[3] is not None else "" for row in rows),
            )
            for rows in found.values()
        )

    def references_to(self, table: TableId) -> list[tuple[TableId, ForeignKey]]:
        """The tables that refer to one, with their foreign keys."""
        schema = folded(table.schema)
        if schema not in self._references:
            found: dict[str, list[tuple[TableId, ForeignKey]]] = {}
            self._references[schema] = found
            master = f"{quoted(table.schema)}.sqlite_master"
            sql = f"SELECT name, sql FROM {master} WHERE type = 'table' AND rootpage <> 0 AND sql LIKE '%references%'"
            for name, text in self.rows(sql):
                child = TableId(table.schema, _text(name))
                self._texts.setdefault(child.key, _text(text))
                for key in self.foreign_keys(child):
                    found.setdefault(key.parent, []).append((child, key))
        return self._references[schema].get(folded(table.name), [])

    def orphans(self, table: TableId) -> int:
        """
        How many references of a table lead nowhere.

        Source: https://sqlite.org/pragma.html#pragma_foreign_key_check
        """
        try:
            return int(self.value("SELECT count(*) FROM pragma_foreign_key_check(?, ?)", (table.name, table.schema)))
        except self.raw.Error as error:
            # It refers to nothing unique, and can have no orphans that could be told.
            if "mismatch" in str(error):
                return 0
            raise

    def orphans_above(self, table: TableId, rowid: int) -> int:
        """The same of the rows above a rowid, of which no other is read."""
        return sum(self._orphans_of(table, key, rowid) for key in self.foreign_keys(table))

    def _orphans_of(self, table: TableId, key: ForeignKey, rowid: int) -> int:
        parent = self.find(table.schema, key.parent)
        there = " AND ".join(f"c.{quoted(column)} IS NOT NULL" for column in key.columns)
        sql = f"SELECT count(*) FROM {table.sql} AS c WHERE c.rowid > {rowid} AND {there}"
        if parent is not None:
            primary = [c.name for c in sorted(self.columns(parent), key=lambda c: c.pk) if c.pk]
            theirs = [
                name or (primary[i] if i < len(primary) else "rowid") for i, name in enumerate(key.parent_columns)
            ]
            pairs = zip(theirs, key.columns, strict=True)
            same = " AND ".join(f"p.{quoted(name)} = c.{quoted(column)}" for name, column in pairs)
            sql += f" AND NOT EXISTS (SELECT 1 FROM {parent.sql} AS p WHERE {same})"
        return int(self.value(sql))

    def last_rowid(self, table: TableId) -> int | None:
        """The highest rowid; None where the table has none to ask for."""
        try:
            found = self.value(f"SELECT max(rowid) FROM {table.sql}")
        except self.raw.Error:
            return None
        return int(found) if found is not None else -(2**63)


def _where(up_to: int | None) -> str:
    return "" if up_to is None else f" WHERE rowid <= {up_to}"


def _text(value: Any) -> str:
    """A name, also where the application has its texts as bytes."""
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
