"""What the guard reads off a statement's text."""

from __future__ import annotations

from typing import Any

import pytest

from sqlmig.guard.statements import (
    AddColumn,
    Copy,
    CreateTable,
    Delete,
    DropColumn,
    DropTable,
    Insert,
    Named,
    RenameColumn,
    RenameTable,
    Savepoint,
    Update,
    first_word,
    parse,
)

T, S = Named(None, "t"), Named(None, "s")


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("DROP TABLE t", DropTable(T)),
        (" ;; /* x */ drop table if exists main . [t];", DropTable(Named("main", "t"))),
        ("DROP INDEX t", None),
        ('ALTER TABLE "t" RENAME TO `new one`', RenameTable(T, "new one")),
        ("ALTER TABLE t RENAME a TO b", RenameColumn(T, "a", "b")),
        ("ALTER TABLE t RENAME COLUMN a TO 'b'", RenameColumn(T, "a", "b")),
        ("ALTER TABLE t DROP a", DropColumn(T, "a")),
        ("ALTER TABLE t ADD COLUMN a TEXT", AddColumn(T, "a")),
        ("CREATE TEMP TABLE IF NOT EXISTS t (x)", CreateTable(T, True, False, None)),
        ("CREATE VIRTUAL TABLE t USING fts5 (x)", CreateTable(T, False, False, None)),
        ("CREATE TABLE t AS SELECT * FROM s", CreateTable(T, False, True, Copy(S, None, True))),
        ("CREATE TABLE t AS SELECT 1 AS a", CreateTable(T, False, True, None)),
        ("CREATE TABLE t AS SELECT x FROM (SELECT 1 AS x)", CreateTable(T, False, True, None)),
        ("CREATE TRIGGER t AFTER INSERT ON s BEGIN DELETE FROM s; END", None),
        ("INSERT INTO t VALUES (1)", Insert(T, None, False, True, None)),
        ("INSERT OR REPLACE INTO t AS x (a, b) VALUES (1, 'ON CONFLICT')", Insert(T, ("a", "b"), True, False, None)),
        ("REPLACE INTO t (a) VALUES (1)", Insert(T, ("a",), True, False, None)),
        ("INSERT OR IGNORE INTO t (returning_) VALUES (1)", Insert(T, ("returning_",), False, True, None)),
        ("INSERT INTO t VALUES (1) ON CONFLICT DO NOTHING", Insert(T, None, False, False, None)),
        ("INSERT INTO t VALUES (1) RETURNING a", Insert(T, None, False, False, None)),
        (
            "INSERT INTO t (a, b, c) SELECT s.a, upper(b) AS b, c x FROM s WHERE a > 1",
            Insert(T, ("a", "b", "c"), False, True, Copy(S, (("a", "a"), (None, "b"), (None, None)), False)),
        ),
        ("INSERT INTO t SELECT NULL FROM s AS o", Insert(T, None, False, True, Copy(S, ((None, None),), True))),
        ("INSERT INTO t SELECT a FROM s JOIN u", Insert(T, None, False, True, None)),
        ("INSERT INTO t SELECT a FROM s UNION ALL SELECT a FROM u", Insert(T, None, False, True, None)),
        ("WITH s AS (SELECT 1 AS a) INSERT INTO t SELECT a FROM s", Insert(T, None, False, True, None)),
        ("UPDATE OR REPLACE t SET a = 1", Update(True)),
        ("UPDATE t SET a = replace(a, 'x', 'OR REPLACE')", Update(False)),
        ("DELETE FROM t WHERE returning_ = 'RETURNING'", Delete(True)),
        ("WITH x AS (SELECT 1) DELETE FROM t RETURNING *", Delete(False)),
        ("/* hi */ SAVEPOINT a", Savepoint("SAVEPOINT", "a")),
        ('SAVEPOINT "A" -- begin', Savepoint("SAVEPOINT", "a")),
        ("ROLLBACK TRANSACTION TO SAVEPOINT a;", Savepoint("ROLLBACK", "a")),
        ("RELEASE a", Savepoint("RELEASE", "a")),
        ("ROLLBACK", None),
        ("INSERT INTO", None),
        ("DROP TABLE", None),
        ("SELECT 1", None),
        ("", None),
    ],
)
def test_statements(sql: str, said: Any) -> None:
    assert parse(sql) == said


def test_a_statement_of_many_rows_is_read_at_its_ends() -> None:
    rows = ", ".join(f"({n}, 'it''s')" for n in range(20_000))
    assert parse(f"INSERT INTO t (a, b) VALUES {rows}") == Insert(T, ("a", "b"), False, True, None)
    assert parse(f"INSERT INTO t VALUES {rows} ON CONFLICT DO NOTHING") == Insert(T, None, False, False, None)


@pytest.mark.parametrize(
    ("sql", "word"),
    [(" -- a\n/* b */;drop TABLE t", "DROP"), ("", ""), ("/* open", ""), ("(SELECT 1)", ""), ("with x", "WITH")],
)
def test_first_words(sql: str, word: str) -> None:
    assert first_word(sql) == word
