"""CREATE TABLE over the whole grammar: read as SQLite reads it, and edited so that nothing else changes."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from typing import Any

from hypothesis import HealthCheck, assume, given, reject, settings
from hypothesis import strategies as st
from sqlite_definitions import Written, written

from sqlmig.schema.sqlite import edits
from sqlmig.schema.sqlite.definition import Constraint, TableDefinition, folded
from sqlmig.schema.sqlite.reader import parse
from sqlmig.schema.sqlite.tokens import name_of, quoted, tokens

steady = settings(
    max_examples=120,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)

# What belongs to a constraint or a column, and can be taken away with it.
_EDITED_KINDS = (
    *("check", "unique", "foreign_key", "not_null", "null", "default", "collate", "primary_key", "generated"),
)


@steady
@given(
    st.text() | st.text(alphabet="abcXx'\"`[]-/*()0123456789.eE_ \n\ufeff\u00a0$;,+") | written().map(lambda w: w.text)
)
def test_the_tokens_together_are_the_text(text: str) -> None:
    found = tokens(text)
    assert "".join(token.text for token in found) == text
    assert [token.start for token in found] == [len("".join(t.text for t in found[:i])) for i in range(len(found))]


@steady
@given(written())
def test_what_is_given_is_read_as_what_is_stored(statement: Written) -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        stored = parse(create(connection, statement))
    given_ = parse(statement.text)
    assert [c.name for c in given_.columns] == [c.name for c in stored.columns]
    assert [(c.kind, c.name, c.columns, c.words) for c in given_.all_constraints] == [
        (c.kind, c.name, c.columns, c.words) for c in stored.all_constraints
    ]
    assert (given_.name, given_.strict, given_.without_rowid) == (stored.name, stored.strict, stored.without_rowid)


@steady
@given(written())
def test_a_definition_is_read_as_sqlite_reads_it(statement: Written) -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        read = parse(create(connection, statement))
        assert folded(read.name) == folded(statement.table)
        assert [folded(column.name) for column in read.columns] == [folded(name) for name in statement.names]
        told = facts(connection, statement.table)
    assert [column.name for column in read.columns] == [row["name"] for row in told["columns"]]
    for column, row in zip(read.columns, told["columns"], strict=True):
        # Of a type that begins with a quoted name, SQLite keeps that name, without its quotes.
        told_type = name_of(tokens(column.type)[0]) if column.type[:1] in tuple("[`'\"") else column.type
        assert row["type"].lower() == told_type.lower()
        assert (column.of_kind("not_null") is not None) <= bool(row["notnull"])
        if not ((read.without_rowid or read.strict) and row["pk"]):
            assert bool(row["notnull"]) == (column.of_kind("not_null") is not None)
        assert row["hidden"] == (0 if column.generated is None else 3 if column.stored else 2)
        if column.generated is None:
            assert default_of(read, column.of_kind("default")) == row["dflt_value"]
    key = read.primary_key
    assert [folded(c) for c in (key.columns if key else ())] == told["key"]
    assert sum(c.kind == "foreign_key" for c in read.all_constraints) == told["foreign keys"]
    uniques = {tuple(map(folded, c.columns)) for c in read.all_constraints if c.kind == "unique"}
    keys = {tuple(map(folded, c.columns)) for c in read.all_constraints if c.kind in ("unique", "primary_key")}
    assert told["unique"] <= uniques
    assert told["unique"] | told["primary"] <= keys
    assert uniques <= told["unique"] | told["primary"]
    assert (read.without_rowid, read.strict) == told["options"]
    assert (read.rowid_alias is not None) == (bool(told["key"]) and not told["primary"])


@steady
@given(written(table="T", stored=True), st.data())
def test_an_edit_changes_what_it_names(statement: Written, data: st.DataObject) -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        before = parse(create(connection, statement))
        told = facts(connection, "T")
    edit = data.draw(st.sampled_from(EDITS))
    after, lost, named, may_fail = edit(before, data.draw)
    assert_kept(before, after, lost, named)
    with closing(sqlite3.connect(":memory:")) as connection:
        try:
            connection.execute(after.text)
        except sqlite3.OperationalError:
            if may_fail:
                reject()
            raise
        if not read_alike(connection, after):
            raise AssertionError(f"{after.text!r} is stored otherwise")
        now = facts(connection, after.name)
    here = {folded(row["name"]): row for row in told["columns"]}
    for row in now["columns"]:
        if folded(row["name"]) not in named:
            numbered = ("cid", "pk") if before.primary_key != after.primary_key else ("cid",)
            ours = here[folded(row["name"])]
            left_out = (*numbered, "notnull") if before.without_rowid or before.strict else numbered
            assert {k: v for k, v in row.items() if k not in left_out} == {
                k: v for k, v in ours.items() if k not in left_out
            }


Edit = Callable[[TableDefinition, Any], "tuple[TableDefinition, str, set[str], bool]"]
"""Gives the new definition, the text that may be lost, the folded names of columns that may be read otherwise, and
whether SQLite may refuse what comes of it, because something else needs what went."""


def rename(before: TableDefinition, draw: Any) -> tuple[TableDefinition, str, set[str], bool]:
    name = draw(st.sampled_from(["U", 'q"q', "it's", "Té", "select"]))
    after = edits.rename_table(before, name)
    assert after.name == name
    return after, before.text[slice(*before.name_span)], set(), False


def add_column(before: TableDefinition, draw: Any) -> tuple[TableDefinition, str, set[str], bool]:
    specification = draw(
        st.sampled_from(["new_", '"new_" INT', "new_ TEXT DEFAULT 'a,b' NOT NULL", "new_ REFERENCES p (x) CHECK (1)"])
    )
    after = edits.add_column(before, specification)
    assert [c.name for c in after.columns] == [*(c.name for c in before.columns), "new_"]
    return after, "", {"new_"}, before.strict


def drop_column(before: TableDefinition, draw: Any) -> tuple[TableDefinition, str, set[str], bool]:
    assume(len(before.columns) > 1)
    column = draw(st.sampled_from(before.columns))
    after = edits.drop_column(before, column.name)
    assert [c.name for c in after.columns] == [c.name for c in before.columns if c is not column]
    return after, before.text[column.start : column.end], {folded(column.name)}, True


def add_constraint(before: TableDefinition, draw: Any) -> tuple[TableDefinition, str, set[str], bool]:
    first = quoted(before.columns[0].name)
    words = draw(st.sampled_from([f"UNIQUE ({first})", "CHECK (')' <> '(')", f"FOREIGN KEY ({first}) REFERENCES p"]))
    after = edits.add_constraint(before, words)
    assert len(after.constraints) == len(before.constraints) + 1
    # Two UNIQUEs over the same columns may contradict each other in their ON CONFLICT.
    return after, "", set(), "CONFLICT" in before.text.upper()


def drop_constraint(before: TableDefinition, draw: Any) -> tuple[TableDefinition, str, set[str], bool]:
    there = [c for c in before.all_constraints if c.kind in _EDITED_KINDS]
    assume(there)
    found = draw(st.sampled_from(there))
    after = edits.drop_constraint(before, found)
    gone = len(before.all_constraints) - len(after.all_constraints)
    # A deferrable clause that has lost its REFERENCES goes with it, and a lone CONSTRAINT before it.
    names = [c for c in before.all_constraints if c.kind == "name"]
    assert gone == 1 or found.kind == "foreign_key" or names
    return (
        after,
        " ".join([before.text_of(found), *map(before.text_of, names)]),
        set(map(folded, found.columns)),
        found.kind in ("primary_key", "generated", "foreign_key"),
    )


def copying(before: TableDefinition, draw: Any) -> tuple[TableDefinition, str, set[str], bool]:
    after = edits.copying(before, "U")
    assert not [c for c in after.all_constraints if c.kind in ("check", "foreign_key", "unique", "not_null")]
    return after, before.text, {folded(c.name) for c in before.columns}, False


def set_type(before: TableDefinition, draw: Any) -> tuple[TableDefinition, str, set[str], bool]:
    column = draw(st.sampled_from(before.columns))
    type_ = draw(st.sampled_from(["INTEGER", "TEXT", "REAL"] if before.strict else ["", "VARCHAR(9)", "DECIMAL(5, 2)"]))
    after = edits.set_type(before, column.name, type_)
    assert after.column(column.name).type == type_
    lost = before.text[slice(*column.type_span)]
    return after, lost, {folded(column.name)}, "AUTOINCREMENT" in before.text.upper() or before.strict


def set_nullable(before: TableDefinition, draw: Any) -> tuple[TableDefinition, str, set[str], bool]:
    column = draw(st.sampled_from(before.columns))
    nullable = draw(st.booleans())
    after = edits.set_nullable(before, column.name, nullable)
    assert (after.column(column.name).of_kind("not_null") is None) is nullable
    return after, _texts(before, column.constraints, "not_null", "null"), {folded(column.name)}, False


def set_default(before: TableDefinition, draw: Any) -> tuple[TableDefinition, str, set[str], bool]:
    column = draw(st.sampled_from(before.columns))
    assume(column.generated is None)
    default = draw(st.sampled_from([None, "5", "-5", "'a)'", "(1 + 2)", "CURRENT_TIME"]))
    after = edits.set_default(before, column.name, default)
    found = after.column(column.name).of_kind("default")
    assert (None if found is None else after.body_of(found)) == default
    return after, _texts(before, column.constraints, "default"), {folded(column.name)}, False


def set_collation(before: TableDefinition, draw: Any) -> tuple[TableDefinition, str, set[str], bool]:
    column = draw(st.sampled_from(before.columns))
    collation = draw(st.sampled_from([None, "NOCASE", "RTRIM"]))
    after = edits.set_collation(before, column.name, collation)
    found = after.column(column.name).of_kind("collate")
    assert (None if found is None else after.body_of(found)) == (None if collation is None else f'"{collation}"')
    # Two UNIQUEs that were told apart by it may contradict each other in their ON CONFLICT.
    return (
        after,
        _texts(before, column.constraints, "collate"),
        {folded(column.name)},
        "CONFLICT" in before.text.upper(),
    )


EDITS: tuple[Edit, ...] = (
    *(rename, add_column, drop_column, add_constraint, drop_constraint, drop_constraint, copying),
    *(set_type, set_nullable, set_default, set_collation),
)


def _texts(definition: TableDefinition, constraints: tuple[Constraint, ...], *kinds: str) -> str:
    return " ".join(definition.text_of(one) for one in constraints if one.kind in kinds)


def assert_kept(before: TableDefinition, after: TableDefinition, lost: str, named: set[str]) -> None:
    """Every token that is not lost is there, in its order: comments, quotes and spellings among them."""
    ours = [t.text for t in tokens(before.text) if t.kind != "space"]
    now = [t.text for t in tokens(after.text) if t.kind != "space"]
    missing = Counter(ours) - Counter(now)
    may_go = Counter(t.text for t in tokens(lost) if t.kind != "space") + Counter([","])
    if loose := [c for c in before.all_constraints if c.kind == "deferrable" and folded(c.column or "") in named]:
        may_go += Counter(t.text for one in loose for t in tokens(before.text_of(one)) if t.kind != "space")
    assert missing <= may_go, f"{missing - may_go} lost: {before.text!r} became {after.text!r}"
    comments = [t.text for t in tokens(before.text) if t.kind == "comment"]
    gone = Counter(t.text for t in tokens(lost) if t.kind == "comment")
    gone += Counter({text: times for text, times in may_go.items() if text.startswith(("--", "/*"))})
    assert Counter(comments) - Counter(t.text for t in tokens(after.text) if t.kind == "comment") <= gone
    assert [c.name for c in after.columns if folded(c.name) not in named] == [
        c.name for c in before.columns if folded(c.name) not in named
    ]
    if lost == before.text:
        return
    kept = {folded(c.name): c for c in after.columns}
    for column in before.columns:
        if folded(column.name) not in named:
            there = kept[folded(column.name)]
            assert before.text[column.start : column.end] == after.text[there.start : there.end]
    texts = Counter(before.text_of(c) for c in before.constraints)
    remaining = Counter(after.text_of(c) for c in after.constraints)
    assert sum((texts - remaining).values()) <= 1
    assert (after.strict, after.without_rowid) == (before.strict, before.without_rowid)


def create(connection: sqlite3.Connection, statement: Written) -> str:
    """The text that SQLite keeps of a statement; it takes nearly all of them."""
    try:
        connection.execute(statement.text)
    except sqlite3.OperationalError as error:
        # These alone are expected: what else is refused is a mistake of the strategies.
        known = ("AUTOINCREMENT", "conflicting ON CONFLICT", "must be unqualified", "unknown datatype")
        if not any(words in str(error) for words in known):
            raise
        reject()
    everything = "SELECT * FROM sqlite_master UNION ALL SELECT * FROM sqlite_temp_master"
    stored = f"SELECT sql FROM ({everything}) WHERE lower(name) = lower(?)"
    return str(connection.execute(stored, (statement.table,)).fetchone()[0])


def read_alike(connection: sqlite3.Connection, definition: TableDefinition) -> bool:
    names = [row["name"] for row in facts(connection, definition.name)["columns"]]
    return names == [column.name for column in definition.columns]


def facts(connection: sqlite3.Connection, table: str) -> dict[str, Any]:
    """What SQLite tells of a table."""
    name = quoted(table)

    def rows(sql: str) -> list[dict[str, Any]]:
        cursor = connection.execute(sql)
        return [dict(zip([d[0] for d in cursor.description], row, strict=True)) for row in cursor]

    columns = rows(f"PRAGMA table_xinfo({name})")
    indexes: dict[str, set[tuple[str, ...]]] = {"u": set(), "pk": set()}
    for index in rows(f"PRAGMA index_list({name})"):
        found = rows(f"PRAGMA index_xinfo({quoted(index['name'])})")
        indexes[index["origin"]].add(tuple(folded(row["name"]) for row in found if row["key"]))
    (listed,) = rows(f"PRAGMA table_list({name})")
    return {
        "columns": columns,
        "key": [folded(row["name"]) for row in sorted(columns, key=lambda row: row["pk"]) if row["pk"]],
        "foreign keys": len({row["id"] for row in rows(f"PRAGMA foreign_key_list({name})")}),
        "unique": indexes["u"],
        "primary": indexes["pk"],
        "options": (bool(listed["wr"]), bool(listed["strict"])),
    }


def default_of(definition: TableDefinition, default: Constraint | None) -> str | None:
    """The text of a default as SQLite tells it: without the parentheses around it."""
    if default is None:
        return None
    body = definition.body_of(default)
    return body[1:-1].strip(" \t\n\r\f") if body.startswith("(") else body
