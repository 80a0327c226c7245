"""Statements and placeholders are found beside literals, comments and the bodies of triggers."""

from __future__ import annotations

import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqlmig.sql_text import bind_positional, number_named, split_statements

TRIGGER = """CREATE TRIGGER IF NOT EXISTS t AFTER UPDATE OF a ON x WHEN new.a > 1 BEGIN
    UPDATE x SET a = CASE WHEN new.a > 2 THEN CASE new.a WHEN 3 THEN 1 END ELSE 2 END;
    SELECT ';', "END;", `;`, [;]; -- END;
END"""

PIECES = [
    "CREATE TABLE begin_end (a, \"semi;colon\", b DEFAULT 'it''s; END')",
    "INSERT INTO x VALUES (';', '--', '/*', '?')",
    TRIGGER,
    "CREATE TEMP TRIGGER u BEFORE DELETE ON x BEGIN SELECT 1; END",
    "UPDATE x SET a = CASE WHEN a = 1 THEN 2 END",
    "SELECT 1 /* ; */ + 2 -- ;\n + 3",
    "BEGIN IMMEDIATE",
    "END",
    "SELECT 'ünï; 文'",
    "CREATE TRIGGER v AFTER UPDATE ON x WHEN new.end < new.begin BEGIN UPDATE x SET end = 1; DELETE FROM x; END",
    "CREATE TRIGGER begin AFTER INSERT ON x BEGIN SELECT begin, end FROM x; END",
    "CREATE TABLE t$a$ (b$c$d INT)",
]
GAPS = ["\n", " ", "\r\n", "-- only a comment;\n", "/* ; \n */", ";;", "\t"]


@given(st.lists(st.tuples(st.sampled_from(PIECES), st.sampled_from(GAPS)), max_size=6), st.booleans())
def test_a_script_is_split_into_what_it_was_made_of(parts: list[tuple[str, str]], ended: bool) -> None:
    script = "".join(f"{gap}{piece};" for piece, gap in parts)
    if parts and not ended:
        script = script[:-1]
    found = split_statements(script)
    assert len(found) == len(parts)
    for statement, (piece, _) in zip(found, parts, strict=True):
        assert statement.endswith(piece)


@given(st.text(alphabet="'\"`[];-/*?ab \n\\", max_size=40))
def test_no_text_is_lost_and_none_ends_in_an_error(text: str) -> None:
    joined = "".join(split_statements(text))
    for letter in "ab":
        assert joined.count(letter) <= text.count(letter)


def test_sqlite_runs_each_statement_of_a_script() -> None:
    connection = sqlite3.connect(":memory:")
    trigger = TRIGGER.replace(", `;`, [;]", "")
    script = ";\n".join(["CREATE TABLE x (a)", trigger, "INSERT INTO x VALUES (2)", "UPDATE x SET a = 3"])
    for statement in split_statements(script):
        connection.execute(statement)
    assert connection.execute("SELECT a FROM x").fetchall() == [(1,)]


def test_unfinished_texts_are_left_to_the_database() -> None:
    assert split_statements("SELECT 'open; text") == ["SELECT 'open; text"]
    assert split_statements("SELECT 1 /* open;") == ["SELECT 1 /* open;"]
    assert split_statements("") == split_statements(" -- nothing\n;") == []


@pytest.mark.parametrize(
    ("sql", "count", "expected"),
    [
        ("SELECT ?, '?', \"?\", [?], `?` -- ?\n, /* ? */ ?", 2, "SELECT %s, '?', \"?\", [?], `?` -- ?\n, /* ? */ %s"),
        ("SELECT a ?? 'k' WHERE b = ?", 1, "SELECT a ? 'k' WHERE b = %s"),
        ("SELECT $tag$ ? $tag$, ?", 1, "SELECT $tag$ ? $tag$, %s"),
        ("SELECT a$b$ = ?, c$b$", 1, "SELECT a$b$ = %s, c$b$"),
    ],
)
def test_placeholders_are_told_from_question_marks(sql: str, count: int, expected: str) -> None:
    assert bind_positional(sql, count, "%s") == expected


def test_a_wrong_number_of_values_is_told() -> None:
    with pytest.raises(ValueError, match=r"has 1 placeholders .* 2 values"):
        bind_positional("SELECT ?", 2)
    with pytest.raises(ValueError, match="numbered placeholder"):
        bind_positional("SELECT ?1, ?1", 1)


ON_POSTGRESQL = [
    "INSERT INTO t VALUES (E'it\\'s; here', 'back\\', 1)",
    "CREATE TRIGGER t BEFORE INSERT ON x FOR EACH ROW EXECUTE FUNCTION f()",
    "SELECT ARRAY['];', '['], a[1]",
    "SELECT 1 /* a /* ; */ ; */ + 2",
    "CREATE RULE r AS ON INSERT TO t DO ALSO (NOTIFY a; NOTIFY b)",
    "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; SELECT 2; END",
    "DO $a$ BEGIN PERFORM $$;$$; END $a$",
    "SELECT a.end, b.begin FROM a, b",
    "END",
]


@given(st.lists(st.sampled_from(ON_POSTGRESQL), max_size=6))
def test_literals_comments_and_bodies_of_postgresql(parts: list[str]) -> None:
    assert split_statements(";\n".join(parts), "postgresql") == parts


def test_placeholders_of_postgresql() -> None:
    sql = "SELECT E'it\\'s ?', a[1:?], ARRAY[?] /* /* ? */ ? */, ?"
    expected = "SELECT E'it\\'s ?', a[1:$1], ARRAY[$2] /* /* ? */ ? */, $3"
    assert bind_positional(sql, 3, "$", "postgresql") == expected
    named = number_named("SELECT E'\\':a', ARRAY[:a, :b], x::a", ["a", "b"])
    assert named == ("SELECT E'\\':a', ARRAY[$1, $2], x::a", ["a", "b"])
