"""What a SQLite database holds, counted over the connection that a migration runs on and unseen by it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from ..schema.sqlite.definition import folded
from ..schema.sqlite.tokens import quoted

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
    """

    def __init__(self, raw: Any) -> None:
        self.raw = raw
        self.busy = False
        self._texts: dict[tuple[str, str], str | None] = {}

    def forget(self) -> None:
        """The schema is about to change: what was read of it does not hold any more."""
        self._texts.clear()

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """What a statement gives; the application's row factory has no part in it."""
        before, self.busy = self.busy, True
        try:
            cursor = self.raw.cursor()
            cursor.row_factory = None
            found: list[tuple[Any, ...]] = cursor.execute(sql, values).fetchall()
            cursor.close()
            return found
        finally:
            self.busy = before

    def value(self, sql: str, values: Sequence[Any] = ()) -> Any:
        """The first value of the first row."""
        return self.rows(sql, values)[0][0]

    def actions(self, sql: str, parameters: Any) -> None:
        """Have SQLite compile a statement, which is all that EXPLAIN does, for the authorizer to hear of it."""
        cursor = self.raw.cursor()
        cursor.row_factory = None
        try:
            cursor.execute(f"EXPLAIN {sql}", parameters if parameters is not None else ())
        finally:
            cursor.close()

    @property
    def enforces_references(self) -> bool:
        """Whether SQLite itself keeps rows from losing what they refer to."""
        return bool(self.value("PRAGMA foreign_keys"))

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
                if found[0][1] == "view" or folded(place) == "temp":
                    return None
                table = TableId(place, _text(found[0][0]))
                self._texts[table.key] = _text(found[0][2] or "")
                return table
        return None

    def _schemas(self) -> list[str]:
        """In the order in which SQLite looks a name up."""
        names = [_text(row[1]) for row in self.rows("PRAGMA database_list")]
        return [name for name in ("temp",) if name in names] + [name for name in names if name != "temp"]

    def holds_data(self, table: TableId) -> bool:
        """Whether its rows are its own: neither an index that can be made again, nor another table's inner part."""
        name = table.name
        if folded(name).startswith("sqlite_"):
            return False
        sql = self._sql(table)
        if sql is None:
            return False
        words = sql.split(None, 3)
        if len(words) > 1 and words[1].upper() == "VIRTUAL":
            return "content=" not in "".join(sql.lower().split())
        return not self._is_shadow(table)

    def _is_shadow(self, table: TableId) -> bool:
        owners = (table.name[:i] for i, letter in enumerate(table.name) if letter == "_" and i)
        return any("VIRTUAL" in (self._sql(TableId(table.schema, name)) or "")[:40].upper() for name in owners)

    def _sql(self, table: TableId) -> str | None:
        if table.key not in self._texts:
            master = f"{quoted(table.schema)}.sqlite_master"
            found = self.rows(
                f"SELECT sql FROM {master} WHERE type = 'table' AND name = ? COLLATE NOCASE", (table.name,)
            )
            self._texts[table.key] = _text(found[0][0] or "") if found else None
        return self._texts[table.key]

    def is_virtual(self, table: TableId) -> bool:
        """Whether a module keeps it, whose columns may hold nothing that can be counted."""
        return (self._sql(table) or "")[:40].upper().split()[1:2] == ["VIRTUAL"]

    def replaces_on_conflict(self, table: TableId) -> bool:
        """Whether a constraint of the table itself pushes rows out."""
        return "REPLACE" in (self._sql(table) or "").upper()

    def columns(self, table: TableId) -> list[Column]:
        """The columns that can be read, generated ones too."""
        rows = self.rows('SELECT name, type, "notnull", pk, hidden FROM pragma_table_xinfo(?, ?)', table[::-1])
        return [
            Column(_text(name), _text(type_ or ""), bool(notnull), pk, hidden in (2, 3))
            for name, type_, notnull, pk, hidden in rows
            if hidden != 1
        ]

    def count(self, table: TableId) -> int:
        """How many rows there are; SQLite reads the smallest index for it."""
        return int(self.value(f"SELECT count(*) FROM {table.sql}"))

    def filled(self, table: TableId, columns: Iterable[str]) -> dict[str, int]:
        """How many values, other than NULL, each of these columns holds: one pass over the table."""
        names = list(columns)
        if not names:
            return {}
        counts = self.rows(f"SELECT {', '.join(f'count({quoted(n)})' for n in names)} FROM {table.sql}")[0]
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

    def children(self, table: TableId) -> list[TableId]:
        """The tables that refer to it."""
        master = f"{quoted(table.schema)}.sqlite_master"
        found = self.rows(
            f"SELECT DISTINCT m.name FROM (SELECT name FROM {master} WHERE type = 'table' AND rootpage <> 0"
            # Reading the foreign keys of every table takes longer than to see which texts can have one to this.
            " AND instr(lower(sql), 'references') AND instr(lower(sql), lower(?))) m,"
            ' pragma_foreign_key_list(m.name, ?) f WHERE f."table" = ? COLLATE NOCASE',
            (table.name.replace('"', '""'), table.schema, table.name),
        )
        return [TableId(table.schema, _text(row[0])) for row in found]

    def orphans(self, table: TableId, above: int | None = None) -> int:
        """
        How many references of a table lead nowhere.

        Args:
            above: Of the rows above this rowid only.

        Source: https://sqlite.org/pragma.html#pragma_foreign_key_check
        """
        sql, values = "SELECT count(*) FROM pragma_foreign_key_check(?, ?)", [table.name, table.schema]
        if above is not None:
            sql += ' WHERE "rowid" > ?'
            values.append(above)  # type: ignore[arg-type]
        try:
            return int(self.value(sql, values))
        except self.raw.Error as error:
            # It refers to nothing unique, and can have no orphans that could be told.
            if "mismatch" in str(error):
                return 0
            raise

    def last_rowid(self, table: TableId) -> int | None:
        """The highest rowid; None where the table has none to ask for."""
        try:
            found = self.value(f"SELECT max(rowid) FROM {table.sql}")
        except self.raw.Error:
            return None
        return int(found) if found is not None else -(2**63)


def _text(value: Any) -> str:
    """A name, also where the application has its texts as bytes."""
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
