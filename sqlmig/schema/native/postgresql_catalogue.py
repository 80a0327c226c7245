"""PostgreSQL's catalogue: what depends on what is read from pg_depend."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from ..changes import Kind, TableName
from ..ddl import Statement, quoted
from .catalogue import Catalogue, Constraint, IndexPlace, User

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["PostgresqlCatalogue"]

_RELATIONS: Final = {
    "r": "table",
    "p": "table",
    "v": "view",
    "m": "materialized view",
    "f": "foreign table",
    "S": "sequence",
    "i": "index",
    "I": "index",
    "c": "type",
}
_CONSTRAINTS: Final[dict[str, Kind]] = {"c": "check", "u": "unique", "p": "primary_key", "f": "foreign_key"}
_DROPPED_ORDER: Final = ("foreign key", "check", "unique", "primary key", "index", "generated column")
_DEPENDENTS: Final = """
SELECT DISTINCT d.classid::regclass::text AS class, d.objid, d.objsubid,
       CAST(con.conname AS text) AS constraint_name, CAST(con.contype AS text) AS contype,
       cardinality(con.conkey) AS width, con.conrelid AS owner, CAST(att.attname AS text) AS attname,
       att.attnum AS attnum, CAST(trg.tgname AS text) AS tgname,
       CAST(ns.nspname AS text) AS schema, CAST(rel.relname AS text) AS relation,
       CAST(rel.relkind AS text) AS relkind, rel.oid AS relation_id,
       pg_describe_object(d.classid, d.objid, 0) AS described
FROM pg_depend d
LEFT JOIN pg_constraint con ON d.classid = 'pg_constraint'::regclass AND con.oid = d.objid
LEFT JOIN pg_attrdef def ON d.classid = 'pg_attrdef'::regclass AND def.oid = d.objid
LEFT JOIN pg_rewrite rew ON d.classid = 'pg_rewrite'::regclass AND rew.oid = d.objid
LEFT JOIN pg_trigger trg ON d.classid = 'pg_trigger'::regclass AND trg.oid = d.objid
LEFT JOIN pg_class rel ON rel.oid = COALESCE(con.conrelid, rew.ev_class, trg.tgrelid,
                                             CASE WHEN d.classid = 'pg_class'::regclass THEN d.objid END)
LEFT JOIN pg_namespace ns ON ns.oid = rel.relnamespace
LEFT JOIN pg_attribute att ON att.attrelid = d.refobjid
     AND att.attnum = COALESCE(def.adnum, CASE WHEN rel.oid = d.refobjid THEN d.objsubid END) AND att.attnum > 0
WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = :oid AND d.deptype <> 'I'
"""


class PostgresqlCatalogue(Catalogue):
    """Names without a schema are looked up along the search path."""

    transactional_ddl = True
    longest_name = 63

    def name_length(self, name: str) -> int:
        return len(name.encode())

    def oid(self, name: TableName) -> int | None:
        """The relation's identity, None where there is none."""
        # Beyond a name's length the server cuts; to_regclass takes the text apart, so it must come quoted.
        [row] = self.rows("SELECT CAST(CAST(to_regclass(:name) AS oid) AS bigint)", name=self._text(name))
        return None if row[0] is None else int(row[0])

    def kind_of(self, name: TableName) -> str | None:
        rows = self.rows("SELECT CAST(relkind AS text) FROM pg_class WHERE oid = :oid", oid=self.oid(name))
        return _RELATIONS.get(rows[0][0], "relation") if rows else None

    def names(self, kind: str, schema: str | None) -> list[str]:
        kinds = [code for code, meaning in _RELATIONS.items() if meaning == kind]
        where = "n.nspname = :schema" if schema else "pg_table_is_visible(c.oid) AND n.nspname NOT LIKE 'pg\\_%'"
        sql = f"""SELECT CAST(c.relname AS text) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                  WHERE c.relkind::text = ANY(:kinds) AND n.nspname <> 'information_schema' AND {where} ORDER BY 1"""
        return [row[0] for row in self.rows(sql, kinds=kinds, **({"schema": schema} if schema else {}))]

    def columns(self, table: TableName) -> list[str]:
        sql = """SELECT CAST(attname AS text) FROM pg_attribute
                 WHERE attrelid = :oid AND attnum > 0 AND NOT attisdropped ORDER BY attnum"""
        return [row[0] for row in self.rows(sql, oid=self.oid(table))]

    def key(self, table: TableName) -> list[str]:
        return next((list(one.columns) for one in self.constraints(table) if one.kind == "primary_key"), [])

    def constraints(self, table: TableName) -> list[Constraint]:
        sql = """SELECT CAST(conname AS text), CAST(contype AS text), ARRAY(
                     SELECT CAST(a.attname AS text) FROM unnest(conkey) WITH ORDINALITY k(attnum, place)
                     JOIN pg_attribute a ON a.attrelid = conrelid AND a.attnum = k.attnum ORDER BY k.place)
                 FROM pg_constraint WHERE conrelid = :oid AND contype IN ('c', 'u', 'p', 'f') ORDER BY conname"""
        return [
            Constraint(name, _CONSTRAINTS[kind], columns, _drop_constraint(table, name))
            for name, kind, columns in self.rows(sql, oid=self.oid(table))
        ]

    def key_users(self, table: TableName) -> list[User]:
        sql = """SELECT CAST(f.conname AS text), CAST(n.nspname AS text), CAST(c.relname AS text)
                 FROM pg_constraint f JOIN pg_constraint p ON p.conindid = f.conindid AND p.contype = 'p'
                 JOIN pg_class c ON c.oid = f.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
                 WHERE f.contype = 'f' AND f.confrelid = :oid AND p.conrelid = :oid ORDER BY 1"""
        return [_foreign_key(name, TableName(*owner)) for name, *owner in self.rows(sql, oid=self.oid(table))]

    def column_users(self, table: TableName, column: str) -> list[User]:
        return [*self.dependents(table, column), *self.column_readers(table, column)]

    def dependents(self, table: TableName, column: str) -> list[User]:
        """What pg_depend knows to use a column, but for what is part of its definition."""
        sql = "SELECT attnum FROM pg_attribute WHERE attrelid = :oid AND attname = :column"
        oid = self.oid(table)
        [[number]] = self.rows(sql, oid=oid, column=column)
        rows = self.rows(_DEPENDENTS + " AND d.refobjsubid = :number", oid=oid, number=number)
        users = [user for row in rows for user in self._users(table, oid, number, row)]
        order = {kind: place for place, kind in enumerate(_DROPPED_ORDER)}
        return sorted(set(users), key=lambda user: (order.get(user.kind, len(order)), user.name))

    def _users(self, table: TableName, oid: int | None, number: int, row: Any) -> Iterator[User]:
        owner = TableName(row.schema, row.relation) if row.relation else table
        if row.constraint_name is not None:
            own = row.owner == oid and ((row.contype == "c" and row.width == 1) or row.contype == "n")
            if row.contype == "f" and row.owner != oid:
                yield _foreign_key(row.constraint_name, owner)
            elif not own:
                kind = _CONSTRAINTS.get(row.contype, "constraint").replace("_", " ")
                yield User(kind, row.constraint_name, owner, _drop_constraint(owner, row.constraint_name))
        elif row.attnum is not None:
            if row.attnum != number:
                drop = Statement("ALTER TABLE {} DROP COLUMN {}", table, row.attname)
                yield User("generated column", row.attname, table, drop)
        elif row.tgname is not None:
            yield User("trigger", row.tgname, owner)
        elif row[0] == "pg_class":
            if row.relkind in ("i", "I"):
                yield User("index", row.relation, owner, Statement("DROP INDEX {}", owner))
        elif row[0] == "pg_rewrite" and row.relation_id == oid:
            yield User("rule", row.described, owner)
        elif row[0] == "pg_rewrite":
            yield User(_RELATIONS.get(row.relkind, "rule"), self._shown(table, owner), owner)
        elif row[0] != "pg_attrdef":
            yield User("object", row.described, owner)

    def column_readers(self, table: TableName, column: str) -> list[User]:
        """The triggers whose functions mention the column: their text is no part of pg_depend."""
        return self._mentions(
            "p.prosrc ~* :word AND (t.tgrelid = :oid OR p.prosrc ~* :also)",
            oid=self.oid(table),
            word=_word(column),
            also=_word(table.name),
        )

    def table_users(self, table: TableName) -> list[User]:
        oid = self.oid(table)
        users = []
        for row in self.rows(_DEPENDENTS, oid=oid):
            owner = TableName(row.schema, row.relation)
            if row.contype == "f" and row.owner != oid:
                users.append(_foreign_key(row.constraint_name, owner))
            elif row[0] == "pg_rewrite" and row.relation_id != oid:
                users.append(User(_RELATIONS.get(row.relkind, "rule"), self._shown(table, owner), owner))
        return [*sorted(set(users), key=str), *self.table_readers(table)]

    def table_readers(self, table: TableName) -> list[User]:
        return self._mentions("p.prosrc ~* :word AND t.tgrelid <> :oid", oid=self.oid(table), word=_word(table.name))

    def view_users(self, view: TableName) -> list[User]:
        return [user for user in self.table_users(view) if user.kind != "trigger"]

    def indexes(self, index: str, table: TableName | None, schema: str | None) -> list[IndexPlace]:
        where = "n.nspname = :schema" if schema else "pg_table_is_visible(i.oid)"
        values: dict[str, Any] = {"index": index, **({"schema": schema} if schema else {})}
        if table is not None:
            where, values = "x.indrelid = :oid", {"index": index, "oid": self.oid(table)}
        sql = f"""SELECT CAST(n.nspname AS text), CAST(c.relname AS text), CAST(con.conname AS text)
                  FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class c ON c.oid = x.indrelid
                  JOIN pg_namespace n ON n.oid = i.relnamespace
                  LEFT JOIN pg_constraint con ON con.conindid = i.oid AND con.contype IN ('p', 'u', 'x')
                  WHERE i.relname = :index AND {where}"""
        return [IndexPlace(TableName(*row[:2]), row[2]) for row in self.rows(sql, **values)]

    def index_names(self, table: TableName | None, schema: str | None) -> list[str]:
        if table is None:
            return self.names("index", schema)
        sql = """SELECT CAST(i.relname AS text) FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid
                 WHERE x.indrelid = :oid ORDER BY 1"""
        return [row[0] for row in self.rows(sql, oid=self.oid(table))]

    def triggers(self, name: str | None, table: TableName | None) -> list[tuple[str, TableName]]:
        where = "t.tgrelid = :oid" if table else "pg_table_is_visible(t.tgrelid)"
        values: dict[str, Any] = {"oid": self.oid(table)} if table else {}
        if name is not None:
            where, values = f"{where} AND t.tgname = :name", values | {"name": name}
        return [(row[0], TableName(*row[1:])) for row in self._triggers(where, **values)]

    def _mentions(self, where: str, **values: Any) -> list[User]:
        return [User("trigger", row[0], TableName(*row[1:])) for row in self._triggers(where, **values)]

    def _triggers(self, where: str, **values: Any) -> Sequence[Any]:
        sql = f"""SELECT CAST(t.tgname AS text), CAST(n.nspname AS text), CAST(c.relname AS text)
                  FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
                  JOIN pg_proc p ON p.oid = t.tgfoid WHERE NOT t.tgisinternal AND {where} ORDER BY 1, 2, 3"""
        return self.rows(sql, **values)

    def _shown(self, table: TableName, owner: TableName) -> str:
        return str(owner) if table.schema else owner.name

    def _text(self, name: TableName) -> str:
        return quoted(self.connection, name)


def _foreign_key(name: str, owner: TableName) -> User:
    return User("foreign key", f"{name} of {owner.name}", owner, _drop_constraint(owner, name))


def _drop_constraint(table: TableName, name: str) -> Statement:
    return Statement("ALTER TABLE {} DROP CONSTRAINT {}", table, name)


def _word(name: str) -> str:
    """A regular expression for the name as a word of its own."""
    return rf"(^|[^\w]){re.escape(name)}([^\w]|$)"
