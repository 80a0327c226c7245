"""Statements and placeholders are found beside literals, comments and the bodies of triggers."""

from __future__ import annotations

import sqlite3
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqlmig.backends.mysql_statements import bare
from sqlmig.sql_text import bind_positional, has_placeholders, number_named, read_script, split_statements, sql_hash

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


IN_MYSQL = [
    "CREATE TRIGGER t BEFORE INSERT ON x FOR EACH ROW SET NEW.a = IF(NEW.a, 1, REPEAT('a', 2))",
    "CREATE TRIGGER begin BEFORE INSERT ON x FOR EACH ROW FOLLOWS u IF NEW.a THEN SET NEW.a = 0; END IF",
    "CREATE OR REPLACE TRIGGER IF NOT EXISTS t AFTER UPDATE ON x FOR EACH ROW BEGIN SET @a = 1; SET @b = 2; END",
    "CREATE DEFINER=CURRENT_USER() PROCEDURE p(IN a INT) COMMENT 'BEGIN' BEGIN SELECT 1; END",
    "CREATE PROCEDURE p(begin INT, loop INT) SELECT begin, loop",
    "CREATE DEFINER = `a`@`b` FUNCTION f(a ENUM('x')) RETURNS TEXT CHARACTER SET utf8 DETERMINISTIC RETURN 'END;'",
    "CREATE FUNCTION f() RETURNS SET('a', 'b') BEGIN RETURN CASE WHEN 1 THEN IF(1, 'a', 'b') END; END",
    "CREATE PROCEDURE p() DROP TABLE IF EXISTS t",
    "CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO CALL p(IF(1, 2, 3))",
    "CREATE PROCEDURE p() WHILE @a < 3 DO SET @a = @a + 1; END WHILE",
    "CREATE PROCEDURE p() CASE @a WHEN 1 THEN SELECT 1; ELSE BEGIN SELECT 2; END; END CASE",
    "CREATE PROCEDURE p() this: BEGIN DECLARE CONTINUE HANDLER FOR NOT FOUND BEGIN END; LEAVE this; END this",
    "CREATE PROCEDURE p() BEGIN a: LOOP REPEAT SELECT end, begin FROM t; UNTIL @a > 3 END REPEAT; END LOOP a; END",
    "CREATE EVENT IF NOT EXISTS e ON SCHEDULE EVERY 1 DAY ENDS '2030-01-01' DO BEGIN SELECT 1; SELECT 2; END",
    "BEGIN NOT ATOMIC IF 1 THEN SELECT 1; ELSEIF 2 THEN SELECT 2; END IF; FOR i IN 1..3 DO SELECT i; END FOR; END",
    "SELECT begin, end FROM t",
    "/*!50001 SET @a = ';' */",
    "/*M! SET @a = 2 */",
    "SELECT 5--1; # ;".partition(";")[0],
]


@given(st.lists(st.sampled_from(IN_MYSQL), max_size=6))
def test_routines_of_mysql_and_mariadb(parts: list[str]) -> None:
    assert split_statements(";\n".join(parts), "mysql") == parts


def test_where_a_statement_begins_and_ends() -> None:
    sql = " -- one;\n CREATE /* a */ TABLE  t ( a ,b )  -- two\n; /* three */ ; SELECT 'x  y' , 1;"
    (first, second), unclosed = read_script(sql)
    assert unclosed is None
    assert first.text == sql[first.begins :][: len(first.text)] == "CREATE /* a */ TABLE  t ( a ,b )"
    assert first.whole == "-- one;\n CREATE /* a */ TABLE  t ( a ,b )  -- two"
    assert (first.normal, first.words) == ("CREATE TABLE t (a,b)", ("CREATE", "TABLE", "T"))
    assert (second.text, second.normal) == ("SELECT 'x  y' , 1", "SELECT 'x  y',1")


@pytest.mark.parametrize(
    ("sql", "dialect", "opening", "begins"),
    [
        ("SELECT 1; SELECT 'it''", "sqlite", "'", 17),
        ("SELECT E'it\\'", "postgresql", "'", 7),
        ("SELECT 1 /* /* */", "postgresql", "/*", 9),
        ("SELECT $a$ $$", "postgresql", "$a$", 7),
        ("SELECT 1; CREATE TRIGGER t AFTER INSERT ON x BEGIN SELECT 1; END SELECT 2", "sqlite", "BEGIN", 10),
        (" CREATE PROCEDURE p() BEGIN IF 1 THEN SELECT 1; ", "mysql", "IF", 1),
    ],
)
def test_what_has_no_end(sql: str, dialect: str, opening: str, begins: int) -> None:
    script = read_script(sql, dialect)
    assert script.unclosed == (opening, begins)
    assert len(script.statements) == len(split_statements(sql, dialect)) == 1 + sql.startswith("SELECT 1;")


@pytest.mark.parametrize("sql", ["SELECT 'it'''", 'SELECT "a"""', "SELECT 1 -- 'a", "SELECT 1 /* ' */", "SELECT 1\n"])
@pytest.mark.parametrize("dialect", ["", "sqlite", "postgresql", "mysql"])
def test_what_has_an_end(sql: str, dialect: str) -> None:
    assert read_script(sql, dialect).unclosed is None


def peak_of(sql: str, dialect: str) -> int:
    tracemalloc.start()
    try:
        read_script(sql, dialect)
        if dialect == "mysql":
            bare(sql)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql", "mysql"])
@pytest.mark.parametrize("literal", ["'{}'", '"{}"', "/*{}*/"])
def test_a_long_literal_takes_no_more_memory_than_its_text(literal: str, dialect: str) -> None:
    sql = "SELECT " + literal.format("it''s; " * 100_000)
    assert peak_of(sql, dialect) < 10 * len(sql)


@pytest.mark.parametrize("dialect", ["postgresql", "mysql"])
def test_a_literal_without_an_end_may_end_in_a_backslash(dialect: str) -> None:
    assert not has_placeholders("SELECT E'? it''s ?\\", dialect)


def test_a_comment_has_no_placeholders() -> None:
    assert not has_placeholders("-- Nothing? :yet")
    assert not has_placeholders("")


def test_the_hash_of_a_script_is_the_one_that_databases_have() -> None:
    assert sql_hash("INSERT INTO t VALUES (12, 3.50, 0x1F, '12;'); -- 7") == "5300ede81e87bc234afcd8b2f1303b41"
