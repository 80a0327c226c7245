"""
MariaDB's and MySQL's catalogue, information_schema.

It does not record what depends on what: views, triggers, CHECKs and generated columns are known by their text, which
the server stores with every name written out and quoted, except that of triggers, which stays as it was written.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from ..changes import TableName
from ..ddl import Statement, quoted, raw
from .catalogue import Catalogue, Constraint, IndexPlace, User
from .mysql_columns import mentioned, read_definition, uses_column

__all__ = ["MysqlCatalogue"]

_KINDS: Final = {"BASE TABLE": "table", "SYSTEM VERSIONED": "table", "VIEW": "view", "SEQUENCE": "sequence"}


class MysqlCatalogue(Catalogue):
    """A schema is a database here; names without one are those of the current database."""

    transactional_ddl = False
    longest_name = 64

    def same(self, one: str, other: str) -> bool:
        return one.casefold() == other.casefold()

    def schema(self, name: TableName | None) -> str:
        """The database that the name lies in."""
        return (name and name.schema) or str(self.rows("SELECT DATABASE()")[0][0])

    def kind_of(self, name: TableName) -> str | None:
        sql = "SELECT table_type FROM information_schema.tables WHERE table_schema = :schema AND table_name = :name"
        rows = self.rows(sql, schema=self.schema(name), name=name.name)
        return _KINDS.get(rows[0][0], rows[0][0].lower()) if rows else None

    def names(self, kind: str, schema: str | None) -> list[str]:
        sql = "SELECT table_name, table_type FROM information_schema.tables WHERE table_schema = :schema ORDER BY 1"
        rows = self.rows(sql, schema=schema or self.schema(None))
        return [name for name, found in rows if _KINDS.get(found, "") == kind]

    def columns(self, table: TableName) -> list[str]:
        return [name for name, _ in self._columns(table)]

    def key(self, table: TableName) -> list[str]:
        return next((columns for name, _, columns in self._keys(table) if name == "PRIMARY"), [])

    def constraints(self, table: TableName) -> list[Constraint]:
        return [*self._unique(table), *self._foreign_keys(table), *self.checks(table)]

    def checks(self, table: TableName) -> list[Constraint]:
        """The CHECKs; one that stands in a column's definition has the name that the column had first."""
        known = self.columns(table)
        found = []
        for name, clause, level in self._check_clauses(table):
            named = mentioned(clause)
            columns = [column for column in known if column.lower() in named]
            drop = Statement("ALTER TABLE {} DROP CONSTRAINT {}", table, name)
            # The column may have another name by now, and another column the one that it had.
            owners = (name, *columns) if name.lower() in named else (*columns, name)
            for column in owners if level == "Column" else ():
                if column.lower() not in map(str.lower, known):
                    continue
                definition = read_definition(self.connection, quoted(self.connection, table), column)
                if "check" in definition.parts:
                    text = raw(definition.with_part("check", None).render())
                    drop = Statement("ALTER TABLE {} MODIFY COLUMN {} {}", table, column, text)
                    break
            found.append(Constraint(name, "check", columns, drop))
        return found

    def key_users(self, table: TableName) -> list[User]:
        key = set(self.key(table))
        if any(name != "PRIMARY" and set(columns[: len(key)]) == key for name, _, columns in self._keys(table)):
            return []
        return [user for user, columns in self._referring(table, own=True) if set(columns) <= key]

    def column_users(self, table: TableName, column: str) -> list[User]:
        return [
            *(user for user, columns in self._referring(table, own=False) if self._among(column, columns)),
            *self._constraint_users(table, column),
            *self._index_users(table, column),
            *self._generated_users(table, column),
            *self.column_readers(table, column),
        ]

    def column_readers(self, table: TableName, column: str) -> list[User]:
        return [*self._views(table, column), *self._triggers_that_mention(table, column)]

    def table_users(self, table: TableName) -> list[User]:
        return [*(user for user, _ in self._referring(table, own=False)), *self.table_readers(table)]

    def table_readers(self, table: TableName) -> list[User]:
        return [*self._views(table, None), *self._triggers_that_mention(table, None)]

    def view_users(self, view: TableName) -> list[User]:
        return self._views(view, None)

    def indexes(self, index: str, table: TableName | None, schema: str | None) -> list[IndexPlace]:
        found = self._index_rows(table, schema)
        return [
            IndexPlace(TableName(schema if table is None else table.schema, owner), name if name == "PRIMARY" else None)
            for name, owner in found
            if self.same(name, index)
        ]

    def index_names(self, table: TableName | None, schema: str | None) -> list[str]:
        return [name for name, _ in self._index_rows(table, schema)]

    def triggers(self, name: str | None, table: TableName | None) -> list[tuple[str, TableName]]:
        sql = """SELECT trigger_name, event_object_table FROM information_schema.triggers
                 WHERE trigger_schema = :schema ORDER BY 1"""
        rows = self.rows(sql, schema=self.schema(table))
        owner = table.schema if table else None
        return [
            (trigger, TableName(owner, on))
            for trigger, on in rows
            if (name is None or self.same(trigger, name)) and (table is None or self.same(on, table.name))
        ]

    def updated_by_triggers(self, table: TableName) -> list[str]:
        """The triggers that an UPDATE of the table fires."""
        sql = """SELECT trigger_name FROM information_schema.triggers WHERE event_object_schema = :schema
                 AND event_object_table = :name AND event_manipulation = 'UPDATE' ORDER BY 1"""
        return [row[0] for row in self.rows(sql, schema=self.schema(table), name=table.name)]

    def touched_by_updates(self, table: TableName) -> list[str]:
        """The columns that an UPDATE sets by itself: ON UPDATE CURRENT_TIMESTAMP."""
        sql = """SELECT column_name FROM information_schema.columns WHERE table_schema = :schema
                 AND table_name = :name AND lower(extra) LIKE '%on update%'"""
        return [row[0] for row in self.rows(sql, schema=self.schema(table), name=table.name)]

    def _constraint_users(self, table: TableName, column: str) -> Iterator[User]:
        for constraint in self.constraints(table):
            own = constraint.kind == "check" and [name.lower() for name in constraint.columns] == [column.lower()]
            if self._among(column, constraint.columns) and not own:
                yield User(constraint.kind.replace("_", " "), constraint.name, table, constraint.drop)

    def _index_users(self, table: TableName, column: str) -> Iterator[User]:
        for name, unique, columns in self._keys(table):
            if not unique and self._among(column, columns):
                yield User("index", name, table, Statement("DROP INDEX {} ON {}", name, table))

    def _generated_users(self, table: TableName, column: str) -> Iterator[User]:
        for name, expression in self._columns(table):
            if expression and column.lower() in mentioned(expression):
                yield User("generated column", name, table, Statement("ALTER TABLE {} DROP COLUMN {}", table, name))

    def _views(self, table: TableName, column: str | None) -> list[User]:
        schema = self.schema(table)
        rows = self.rows("SELECT table_schema, table_name, view_definition FROM information_schema.views ORDER BY 1, 2")
        return [
            User("view", name if owner == schema else f"{owner}.{name}", TableName(owner, name))
            for owner, name, query in rows
            if uses_column(query or "", schema, table.name, column)
        ]

    def _triggers_that_mention(self, table: TableName, column: str | None) -> list[User]:
        """The table's own follow it when it is renamed or dropped, and so count for a column alone."""
        schema = self.schema(table)
        sql = """SELECT trigger_schema, trigger_name, event_object_schema, event_object_table, action_statement
                 FROM information_schema.triggers ORDER BY 1, 2"""
        found = []
        for owner, name, on_schema, on, body in self.rows(sql):
            own = on_schema == schema and self.same(on, table.name)
            wanted = [name for name in (column, None if own and column else table.name) if name]
            if not (own and column is None) and all(_has_word(body, word) for word in wanted):
                found.append(User("trigger", name, TableName(owner, on)))
        return found

    def _unique(self, table: TableName) -> Iterator[Constraint]:
        for name, unique, columns in self._keys(table):
            if name == "PRIMARY":
                yield Constraint(name, "primary_key", columns, Statement("ALTER TABLE {} DROP PRIMARY KEY", table))
            elif unique:
                yield Constraint(name, "unique", columns, Statement("DROP INDEX {} ON {}", name, table))

    def _foreign_keys(self, table: TableName) -> list[Constraint]:
        sql = """SELECT constraint_name, column_name FROM information_schema.key_column_usage
                 WHERE table_schema = :schema AND table_name = :name AND referenced_table_name IS NOT NULL
                 ORDER BY constraint_name, ordinal_position"""
        found: dict[str, list[str]] = {}
        for name, column in self.rows(sql, schema=self.schema(table), name=table.name):
            found.setdefault(name, []).append(column)
        return [Constraint(name, "foreign_key", columns, _drop_key(table, name)) for name, columns in found.items()]

    def _referring(self, table: TableName, *, own: bool) -> list[tuple[User, list[str]]]:
        """The foreign keys that refer to the table, with the columns that they refer to."""
        sql = """SELECT constraint_name, table_schema, table_name, referenced_column_name
                 FROM information_schema.key_column_usage
                 WHERE referenced_table_schema = :schema AND referenced_table_name = :name ORDER BY 2, 3, 1"""
        schema = self.schema(table)
        found: dict[tuple[str, TableName], list[str]] = {}
        for name, owner, child, column in self.rows(sql, schema=schema, name=table.name):
            if own or (owner, child) != (schema, table.name):
                found.setdefault((name, TableName(owner, child)), []).append(column)
        return [
            (User("foreign key", f"{name} of {child.name}", child, _drop_key(child, name)), columns)
            for (name, child), columns in found.items()
        ]

    def _keys(self, table: TableName) -> list[tuple[str, bool, list[str]]]:
        """Every index: its name, whether it is unique, its columns."""
        sql = """SELECT index_name, non_unique, column_name FROM information_schema.statistics
                 WHERE table_schema = :schema AND table_name = :name ORDER BY index_name, seq_in_index"""
        found: dict[str, tuple[str, bool, list[str]]] = {}
        for index, shared, column in self.rows(sql, schema=self.schema(table), name=table.name):
            columns = found.setdefault(index, (index, not int(shared), []))[2]
            # An expression of MySQL has no column.
            columns.extend([column] if column else [])
        return list(found.values())

    def _check_clauses(self, table: TableName) -> list[tuple[str, str, str]]:
        sql = """SELECT constraint_name, check_clause, level FROM information_schema.check_constraints
                 WHERE constraint_schema = :schema AND table_name = :name ORDER BY 1"""
        if not getattr(self.connection.dialect, "is_mariadb", False):
            sql = """SELECT c.constraint_name, c.check_clause, 'Table' FROM information_schema.check_constraints c
                     JOIN information_schema.table_constraints t ON t.constraint_schema = c.constraint_schema
                      AND t.constraint_name = c.constraint_name AND t.constraint_type = 'CHECK'
                     WHERE t.table_schema = :schema AND t.table_name = :name ORDER BY 1"""
        rows = self.rows(sql, schema=self.schema(table), name=table.name)
        return [(name, clause, level) for name, clause, level in rows]

    def _columns(self, table: TableName) -> list[tuple[str, str | None]]:
        sql = """SELECT column_name, generation_expression FROM information_schema.columns
                 WHERE table_schema = :schema AND table_name = :name ORDER BY ordinal_position"""
        return [(row[0], row[1]) for row in self.rows(sql, schema=self.schema(table), name=table.name)]

    def _index_rows(self, table: TableName | None, schema: str | None) -> list[tuple[str, str]]:
        sql = """SELECT DISTINCT index_name, table_name FROM information_schema.statistics
                 WHERE table_schema = :schema ORDER BY 1, 2"""
        owner = self.schema(table) if table else schema or self.schema(None)
        rows = self.rows(sql, schema=owner)
        return [(name, on) for name, on in rows if table is None or self.same(on, table.name)]

    def _among(self, column: str, columns: Sequence[str]) -> bool:
        return any(self.same(column, one) for one in columns)


def _drop_key(table: TableName, name: str) -> Statement:
    return Statement("ALTER TABLE {} DROP FOREIGN KEY {}", table, name)


def _has_word(body: str, word: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(word)}(?!\w)", body, re.IGNORECASE) is not None
