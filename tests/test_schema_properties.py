"""Any operation on any table: it is refused and nothing changed, or it is done and nothing else changed."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st
from sqlalchemy import Boolean, Column, Integer, String, create_engine, text
from sqlalchemy.pool import StaticPool
from sqlite_definitions import Written, written

from sqlmig.errors import SchemaError
from sqlmig.schema import Operations
from sqlmig.schema.sqlite.definition import folded
from sqlmig.schema.sqlite.tokens import quoted

steady = settings(
    max_examples=100,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)

VALUES = (
    None,
    1,
    2,
    3,
    -1,
    1.5,
    2.0,
    "a",
    "A",
    "b",
    "1",
    "1.0",
    "007",
    "a ",
    "",
    b"\x00",
    b"a",
    2**53 + 1,
    "2024-01-01",
)
PARENT = (
    "CREATE TABLE p (id PRIMARY KEY, x UNIQUE, y UNIQUE)",
    "CREATE TABLE log (a, b)",
)


@steady
@given(written(table="T", most=4, stored=True), st.data())
def test_an_operation_changes_what_it_names(statement: Written, data: st.DataObject) -> None:
    engine = create_engine("sqlite://", poolclass=StaticPool)
    try:
        pooled = engine.raw_connection()
        driver: Any = pooled.driver_connection
        set_up(driver, statement, data.draw)
        driver.commit()
        pooled.close()
        operation, named = data.draw(st.sampled_from(OPERATIONS))(statement, data.draw)
        before = look(driver)
        tried = attempts(driver)
        with engine.connect() as connection:
            connection.exec_driver_sql("BEGIN")
            try:
                operation(Operations(connection))
            except SchemaError:
                assert look(driver) == before
                connection.rollback()
                assert look(driver) == before
                return
            assert_only_the_named_changed(before, look(driver), named)
            now = attempts(driver)
            if not named.constraints:
                for key, outcome in tried.items():
                    if key in now:
                        assert now[key] == outcome, key
            connection.rollback()
        assert look(driver) == before
        assert attempts(driver) == tried
    finally:
        engine.dispose()


class Named:
    """What an operation names, so that it may change: columns, indexes, the rest."""

    def __init__(
        self,
        *columns: str,
        gone: str | None = None,
        new: str | None = None,
        renamed: tuple[str, str] | None = None,
        values: bool = False,
        constraints: bool = False,
        key: bool = False,
        objects: tuple[str, ...] = (),
        table: str = "T",
        cascade: bool = False,
    ) -> None:
        self.columns = {folded(c) for c in columns}
        self.gone, self.new, self.renamed, self.values = gone, new, renamed, values
        self.constraints, self.key, self.objects, self.table, self.cascade = constraints, key, objects, table, cascade


Made = tuple[Callable[[Operations], Any], Named]


def _column(statement: Written, draw: Any) -> str:
    return str(draw(st.sampled_from(statement.names)))


def add_column(statement: Written, draw: Any) -> Made:
    column = draw(
        st.sampled_from(
            [
                lambda: Column("new_", Integer),
                lambda: Column("new_", String(5), server_default="x'y", nullable=False),
                lambda: Column("new_", Integer, server_default=text("(1 + 1)")),
                lambda: Column("new_", Boolean, server_default=text("CURRENT_TIMESTAMP")),
                lambda: Column("new_", Integer, unique=True),
                lambda: Column("new_", Integer, nullable=False),
                lambda: Column("new_", Integer, index=True),
            ]
        )
    )
    return lambda ops: ops.add_column("T", column()), Named(new="new_", constraints=True, objects=("ix_T_new_",))


def drop_column(statement: Written, draw: Any) -> Made:
    name, cascade = _column(statement, draw), draw(st.booleans())
    return lambda ops: ops.drop_column("T", name, cascade=cascade), Named(
        name, gone=name, constraints=True, key=cascade, cascade=cascade
    )


def rename_column(statement: Written, draw: Any) -> Made:
    name, new = _column(statement, draw), draw(st.sampled_from(["New", "select", 'q"', "a", "n"]))
    return lambda ops: ops.rename_column("T", name, new), Named(name, renamed=(name, new), constraints=True)


def alter_type(statement: Written, draw: Any) -> Made:
    name = _column(statement, draw)
    type_ = draw(st.sampled_from(["INTEGER", "TEXT", "REAL", "NUMERIC", "BLOB", "VARCHAR(20)", "ANY", "", "DATETIME"]))
    using = draw(
        st.sampled_from([None, None, None, "1", f"CAST({quoted(name)} AS TEXT)", f"coalesce({quoted(name)}, 3)"])
    )
    return lambda ops: ops.alter_column("T", name, type_=type_, using=using), Named(name, values=True, constraints=True)


def alter_nullable(statement: Written, draw: Any) -> Made:
    name, nullable = _column(statement, draw), draw(st.booleans())
    return lambda ops: ops.alter_column("T", name, nullable=nullable), Named(name, constraints=True)


def alter_default(statement: Written, draw: Any) -> Made:
    name, default = _column(statement, draw), draw(st.sampled_from([None, "a'b", 5, text("(1 + 2)"), text("-1"), True]))
    return lambda ops: ops.alter_column("T", name, server_default=default), Named(name)


def alter_collation(statement: Written, draw: Any) -> Made:
    name, collation = _column(statement, draw), draw(st.sampled_from([None, "NOCASE", "RTRIM", "BINARY"]))
    return lambda ops: ops.alter_column("T", name, collation=collation), Named(name, constraints=True)


def create_check(statement: Written, draw: Any) -> Made:
    name = _column(statement, draw)
    words = draw(st.sampled_from(["{} IS NOT 'a'", "{} IS NOT 17", "typeof({}) <> 'real'", "{} > 0"]))
    return lambda ops: ops.create_check("T", "new_ck", words.format(quoted(name))), Named(constraints=True)


def create_unique(statement: Written, draw: Any) -> Made:
    names = draw(st.lists(st.sampled_from(statement.names), min_size=1, max_size=2, unique=True))
    return lambda ops: ops.create_unique("T", draw_name, names), Named(constraints=True)


draw_name = "new_uq"


def create_foreign_key(statement: Written, draw: Any) -> Made:
    name, target = _column(statement, draw), draw(st.sampled_from(["x", "y", "id"]))
    return (
        lambda ops: ops.create_foreign_key("T", None, [name], "p", [target], ondelete="CASCADE", initially="DEFERRED"),
        Named(constraints=True),
    )


def change_primary_key(statement: Written, draw: Any) -> Made:
    names = draw(st.lists(st.sampled_from(statement.names), max_size=2, unique=True))
    return lambda ops: ops.change_primary_key("T", names), Named(*names, key=True, constraints=True)


def drop_constraint(statement: Written, draw: Any) -> Made:
    kind = draw(st.sampled_from(["check", "unique", "foreign_key", "primary_key", None]))
    asked: dict[str, Any] = {"name": draw(st.sampled_from(["ck", "k e y", "unique", "c"]))}
    if kind is not None:
        names = draw(st.lists(st.sampled_from(statement.names), min_size=1, max_size=2, unique=True))
        asked = {"kind": kind, **({"columns": names} if draw(st.booleans()) else {})}
    return lambda ops: ops.drop_constraint("T", **asked), Named(*statement.names, key=True, constraints=True)


def create_index(statement: Written, draw: Any) -> Made:
    name, unique = quoted(_column(statement, draw)), draw(st.booleans())
    keys = draw(st.sampled_from([f"lower({name})", f"{name} DESC", f"{name} COLLATE NOCASE"]))
    where = draw(st.sampled_from([None, f"{name} IS NOT NULL"]))
    return lambda ops: ops.create_index("new_ix", "T", [text(keys)], unique=unique, where=where), Named(
        constraints=True, objects=("new_ix",)
    )


def drop_index(statement: Written, draw: Any) -> Made:
    name = draw(st.sampled_from(["ix0", "ix1", "ix2"]))
    return lambda ops: ops.drop_index(name), Named(constraints=True, objects=(name,))


def rename_table(statement: Written, draw: Any) -> Made:
    name = draw(st.sampled_from(["t", "New", 'q"', "select"]))
    return lambda ops: ops.rename_table("T", name), Named(table=name, constraints=True)


def several(statement: Written, draw: Any) -> Made:
    first, second = _column(statement, draw), _column(statement, draw)
    type_ = draw(st.sampled_from(["TEXT", "NUMERIC", "BLOB"]))

    def operation(ops: Operations) -> None:
        with ops.alter_table("T") as table:
            table.alter_column(first, type_=type_)
            table.add_column(Column("new_", Integer, server_default="7"))
            table.alter_column(second, nullable=False)
            table.create_check(None, "1")

    return operation, Named(first, second, new="new_", values=True, constraints=True)


OPERATIONS: tuple[Callable[[Written, Any], Made], ...] = (
    *(add_column, drop_column, drop_column, rename_column, alter_type, alter_type, alter_nullable, alter_default),
    *(alter_collation, create_check, create_unique, create_foreign_key, change_primary_key, drop_constraint),
    *(drop_constraint, create_index, drop_index, rename_table, several),
)


# The database


def set_up(driver: sqlite3.Connection, statement: Written, draw: Any) -> None:
    """A table with rows, indexes, triggers, a view, a parent and a child; what SQLite refuses of it is left out."""
    driver.execute("PRAGMA foreign_keys = ON")
    for sql in PARENT:
        driver.execute(sql)
    for index, value in enumerate([1, 2, 3, "a", "A", "b"]):
        driver.execute("INSERT INTO p VALUES (?, ?, ?)", (value, value, index if index > 3 else value))
    try:
        driver.execute(statement.text)
    except sqlite3.OperationalError:
        reject()
    driver.commit()
    insert_rows(driver, statement, draw)
    names = [quoted(name) for name in statement.names]
    for number in range(draw(st.integers(0, 3))):
        one = draw(st.sampled_from(names))
        keys = draw(st.sampled_from([one, f"{one} DESC", f"{one} COLLATE NOCASE, {names[0]}", f"lower({one})"]))
        where = draw(st.sampled_from(["", "", f" WHERE {one} IS NOT NULL"]))
        unique = draw(st.sampled_from(["", "", "UNIQUE "]))
        with suppress(sqlite3.DatabaseError):
            driver.execute(f"CREATE {unique}INDEX ix{number} ON T ({keys}){where}")
    one = draw(st.sampled_from(names))
    with suppress(sqlite3.DatabaseError):
        event = draw(st.sampled_from(["AFTER INSERT", "BEFORE UPDATE", f"AFTER UPDATE OF {one}"]))
        if draw(st.booleans()):
            driver.execute(f"CREATE TRIGGER tr {event} ON T BEGIN INSERT INTO log VALUES ('t', new.{one}); END")
        if draw(st.booleans()):
            driver.execute(f"CREATE VIEW v AS SELECT {one} AS z, t.{names[0]} FROM T AS t /* v */")
    driver.commit()
    if draw(st.booleans()):
        one = draw(st.sampled_from(names))
        action = draw(st.sampled_from(["", " ON DELETE CASCADE", " ON UPDATE CASCADE ON DELETE SET NULL"]))
        driver.execute(f"CREATE TABLE child (id INTEGER PRIMARY KEY, ref REFERENCES T ({one}){action})")
        for value in VALUES[:10]:
            with suppress(sqlite3.DatabaseError):
                driver.execute("INSERT INTO child (ref) VALUES (?)", (value,))
    if draw(st.integers(0, 3)) == 0:
        with suppress(sqlite3.DatabaseError):
            driver.execute("ALTER TABLE T ADD COLUMN short_ DEFAULT 'was'")
            statement.names.append("short_")
            insert_rows(driver, statement, draw)


def insert_rows(driver: sqlite3.Connection, statement: Written, draw: Any) -> None:
    plain = [name for name in statement.names if name not in statement.generated]
    sql = f"INSERT INTO T ({', '.join(map(quoted, plain))}) VALUES ({', '.join('?' * len(plain))})"
    row = st.tuples(*[st.sampled_from(VALUES)] * len(plain))
    for values in draw(st.lists(row, max_size=6)):
        with suppress(sqlite3.DatabaseError):
            driver.execute(sql, values)
        # ON CONFLICT ROLLBACK shall not take along what was there before; a deferred foreign key may hold it up.
        try:
            driver.commit()
        except sqlite3.IntegrityError:
            driver.rollback()


def attempts(driver: sqlite3.Connection) -> dict[Any, Any]:
    """What becomes of each row, inserted again as it is, and of some rows that are new."""
    out: dict[Any, Any] = {}
    (row,) = driver.execute(
        "SELECT name, sql FROM sqlite_master WHERE type = 'table' AND name NOT IN ('p', 'log', 'child')"
        " AND name NOT LIKE 'sqlite%'"
    ).fetchall()
    table = quoted(row[0])
    if "ROLLBACK" in row[1].upper():
        # It would undo what is looked at.
        return out
    columns = [r[1] for r in driver.execute(f"PRAGMA table_xinfo({table})") if r[6] == 0]
    listed = ", ".join(map(quoted, columns))
    rows = driver.execute(f"SELECT {listed} FROM {table}").fetchall()
    for values in [*rows, *[(v,) * len(columns) for v in VALUES[:12]]]:
        driver.execute("SAVEPOINT attempt")
        try:
            driver.execute(f"INSERT INTO {table} ({listed}) VALUES ({', '.join('?' * len(columns))})", values)
            outcome = "done"
        except sqlite3.DatabaseError as error:
            outcome = str(error)
        out[tuple(map(folded, columns)), tuple(map(repr, values))] = outcome
        if driver.in_transaction:
            with suppress(sqlite3.OperationalError):
                driver.execute("ROLLBACK TO attempt")
                driver.execute("RELEASE attempt")
    return out


# What it holds


def look(driver: sqlite3.Connection) -> dict[str, Any]:
    """Everything that can be seen of the database."""

    def rows(sql: str) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in driver.execute(sql)]

    found: dict[str, Any] = {
        "schema": {
            (kind, name): (table, sql)
            for kind, name, table, sql in rows("SELECT type, name, tbl_name, sql FROM sqlite_master")
        },
        "integrity": rows("PRAGMA integrity_check"),
        "settings": [rows(f"PRAGMA {name}") for name in ("foreign_keys", "legacy_alter_table", "writable_schema")],
    }
    try:
        found["orphans"] = len(rows("PRAGMA foreign_key_check"))
    except sqlite3.OperationalError as error:
        found["orphans"] = str(error).split("-")[0]
    tables = [name for kind, name in found["schema"] if kind == "table"]
    found["tables"] = {name: look_at(rows, name) for name in tables}
    views = [name for kind, name in found["schema"] if kind == "view"]
    found["views"] = {name: sorted(map(repr, rows(f"SELECT * FROM {quoted(name)}"))) for name in views}
    return found


def look_at(rows: Callable[[str], list[tuple[Any, ...]]], name: str) -> dict[str, Any]:
    table = quoted(name)
    columns = rows(f"PRAGMA table_xinfo({table})")
    wr = any(row[4] for row in rows(f"PRAGMA table_list({table})"))
    rowid = next((one for one in ("rowid", "_rowid_", "oid") if one not in {folded(c[1]) for c in columns}), None)
    key = "NULL" if wr or rowid is None else rowid
    indexes = {row[1]: (row[2], row[3], row[4]) for row in rows(f"PRAGMA index_list({table})")}
    keys = {one: rows(f"PRAGMA index_xinfo({quoted(one)})") for one in indexes}
    values = {
        folded(c[1]): sorted(
            repr(row) for row in rows(f"SELECT {key}, typeof({quoted(c[1])}), {quoted(c[1])} FROM {table} NOT INDEXED")
        )
        for c in columns
    }
    return {
        "columns": {folded(c[1]): c[1:] for c in columns},
        "order": [folded(c[1]) for c in columns],
        "indexes": {one: (indexes[one], [k[2:] for k in keys[one] if k[5]]) for one in indexes},
        "foreign keys": sorted((row[2:] for row in rows(f"PRAGMA foreign_key_list({table})")), key=repr),
        "values": values,
    }


def assert_only_the_named_changed(before: dict[str, Any], after: dict[str, Any], named: Named) -> None:
    assert after["integrity"] == before["integrity"]
    assert after["settings"] == before["settings"]
    if isinstance(after["orphans"], int) and isinstance(before["orphans"], int):
        assert after["orphans"] <= before["orphans"]
    ours, now = before["tables"]["T"], after["tables"][named.table]
    for name in ("p", "log", "sqlite_sequence"):
        if name in before["tables"] and not named.renamed and named.table == "T":
            assert after["tables"].get(name) == before["tables"][name] or (name == "sqlite_sequence" and named.key)
    if "child" in before["tables"]:
        assert after["tables"]["child"]["values"] == before["tables"]["child"]["values"]
    moved = {folded(old): folded(new) for old, new in [named.renamed]} if named.renamed else {}
    if not named.cascade:
        wanted = [moved.get(c, c) for c in ours["order"] if named.gone is None or c != folded(named.gone)]
        assert now["order"] == wanted + ([named.new] if named.new else [])
    for name in ours["order"]:
        there = moved.get(name, name)
        if there not in now["order"]:
            continue
        if name not in named.columns:
            left, right = list(ours["columns"][name]), list(now["columns"][there])
            if named.key:
                left[2] = right[2] = left[4] = right[4] = 0
            assert left == right
        dependent = ours["columns"][name][5] in (2, 3)
        if not (named.values and (name in named.columns or dependent)) and not dependent:
            assert now["values"][there] == ours["values"][name], name
        if not named.values and not named.constraints:
            assert now["values"][there] == ours["values"][name], name
    if not named.cascade:
        for index in ("ix0", "ix1", "ix2"):
            if index in ours["indexes"] and index not in named.objects:
                assert now["indexes"][index][0] == ours["indexes"][index][0]
    for (kind, name), entry in before["schema"].items():
        if kind == "table" or name.startswith("sqlite_autoindex") or name in named.objects or named.cascade:
            continue
        assert (kind, name) in after["schema"]
        if not named.renamed and named.table == "T":
            assert after["schema"][kind, name] == entry
    if not (named.values or named.renamed or named.gone or named.constraints):
        assert after["views"] == before["views"]
