"""The directives and sections of a migration in plain SQL, what is refused of it, and what of it is hashed."""

from __future__ import annotations

import random
import re
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqlmig.sql_files import SqlFile, SqlFileError, read_sql_file

DIALECTS = ["sqlite", "postgresql", "mysql", "mariadb"]


def read(text: str | bytes, dialect: str = "sqlite") -> SqlFile:
    return read_sql_file(text if isinstance(text, bytes) else text.encode(), dialect)


WHOLE = """\
/* Documents
   know their language. */
-- sqlmig: description:   Documents know   their language
--sqlmig:depends: 3,  007
   -- SQLMIG: Removes: documents.abstract , old_table
-- sqlmig: transactional: False

-- sqlmig: up
-- It is asked for.
ALTER TABLE documents ADD COLUMN language TEXT; UPDATE documents
    SET language = 'en;' -- the most
    ;

-- sqlmig: Up PostgreSQL
SELECT 1;
-- sqlmig: up mariadb
SELECT 2
-- sqlmig: down
ALTER TABLE documents DROP COLUMN language"""


def test_everything_that_can_be_said() -> None:
    found = read(WHOLE)
    assert found.description == "Documents know their language"
    assert (found.depends, found.removes) == ([3, 7], ["documents.abstract", "old_table"])
    assert found.transactional is False
    assert [(section.name, section.line) for section in found.sections] == [
        ("up", 8),
        ("up postgresql", 14),
        ("up mysql", 16),
        ("down", 18),
    ]
    assert [(statement.text, statement.line) for statement in found.up.statements] == [
        ("ALTER TABLE documents ADD COLUMN language TEXT", 10),
        ("UPDATE documents\n    SET language = 'en;'", 10),
    ]
    assert found.down is not None
    assert [statement.line for statement in found.down.statements] == [19]


@pytest.mark.parametrize(
    ("dialect", "line"), [("sqlite", 8), ("postgresql", 14), ("mysql", 16), ("mariadb", 16), ("oracle", 8)]
)
def test_the_section_of_the_database_goes_before_the_plain_one(dialect: str, line: int) -> None:
    found = read(WHOLE, dialect)
    assert found.up.line == line
    assert found.down is not None
    assert found.down.line == 18


def test_without_a_down_section_there_is_no_way_back() -> None:
    assert read("-- sqlmig: up\nSELECT 1").down is None
    assert read("-- sqlmig: up\nSELECT 1\n-- sqlmig: down mysql\nSELECT 2").down is None


def test_what_is_not_said_has_a_meaning() -> None:
    found = read("-- sqlmig: up\nSELECT 1;")
    assert (found.description, found.depends, found.removes, found.transactional) == ("", [], [], True)
    assert read("-- sqlmig: transactional: TRUE\n-- sqlmig: up\nSELECT 1;").transactional


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_line_ends_and_a_byte_order_mark_mean_nothing(newline: str, mark: str) -> None:
    text = "-- sqlmig: up\nINSERT INTO t VALUES ('a\nb');\nSELECT 2;\n"
    found = read(mark + text.replace("\n", newline))
    assert [(one.text, one.line) for one in found.up.statements] == [
        ("INSERT INTO t VALUES ('a\nb')", 2),
        ("SELECT 2", 4),
    ]
    assert found.checksum == read(text).checksum


UP = "-- sqlmig: up\n"
REFUSED: list[tuple[str | bytes, str, int, str]] = [
    # Sections
    ("", "sqlite", 1, 'has no section "up"'),
    ("-- only a comment\n", "sqlite", 1, 'has no section "up"'),
    ("-- sqlmig: depends: 1\n", "sqlite", 1, 'has no section "up"'),
    ("\nSELECT 1;\n", "sqlite", 2, 'has no section; write "-- sqlmig: up" above'),
    ("-- x\n-- sqlmig: down\nSELECT 1;\n", "sqlite", 2, 'has no section "up"'),
    ("-- sqlmig: up postgresql\nSELECT 1", "sqlite", 1, "is for postgresql alone, and this database is sqlite"),
    ("\n-- sqlmig: up mariadb\nSELECT 1\n-- sqlmig: up sqlite\nSELECT 1", "postgresql", 2, "for mysql and sqlite"),
    ("-- sqlmig: up sqlite\nSELECT 1", "mariadb", 1, "this database is mariadb; write .*-- sqlmig: up mariadb"),
    (UP, "sqlite", 1, '"up" is empty; write what the migration changes'),
    (UP + "\n-- nothing\n;;/* ; */\n", "sqlite", 1, '"up" is empty'),
    (UP + "SELECT 1;\n-- sqlmig: down\n-- nothing\n", "sqlite", 3, '"down" is empty; .* leave the section out'),
    (UP + "SELECT 1;\n-- sqlmig: up mysql\n# nothing\n", "sqlite", 3, '"up mysql" is empty'),
    ("-- a\nSELECT 1;\n" + UP + "SELECT 2", "sqlite", 2, "before the first section, which begins in line 3"),
    ("/* a\n" + UP + "SELECT 2", "sqlite", 1, "comment begins here and has no end before the section of line 2"),
    (UP + "SELECT 1;\n" + UP + "SELECT 2", "sqlite", 3, '"up" stands here a second time; the first is in line 1'),
    ("-- sqlmig: up mysql\nSELECT 1\n-- sqlmig: up mariadb\nSELECT 1", "mysql", 3, '"up mysql" .* second time'),
    # Directives
    ("\n-- sqlmig: upp\nSELECT 1", "sqlite", 2, 'no directive "upp"; the nearest is "up"'),
    (UP + "SELECT 1;\n-- sqlmig: donw\nSELECT 2", "sqlite", 3, 'no directive "donw"; the nearest is "down"'),
    ("-- sqlmig: dependencies: 1\n" + UP + "SELECT 1", "sqlite", 1, 'the nearest is "depends"'),
    ("-- sqlmig: zzz\n" + UP + "SELECT 1", "sqlite", 1, "there are up, down, description, depends"),
    ("-- sqlmig:\n" + UP + "SELECT 1", "sqlite", 1, 'no directive ""'),
    ("-- sqlmig: up postgres\nSELECT 1", "sqlite", 1, '"postgres" is none; the nearest is "postgresql"'),
    ("-- sqlmig: up: sqlite\nSELECT 1", "sqlite", 1, 'takes no ":sqlite"; .* as in -- sqlmig: up sqlite'),
    ("-- sqlmig: up sqlite mysql\nSELECT 1", "sqlite", 1, '"sqlite mysql" is none'),
    ("-- sqlmig: up;\nSELECT 1", "sqlite", 1, '";" is none'),
    ("-- sqlmig up\nSELECT 1", "sqlite", 1, "nearly one; write it so: -- sqlmig: up"),
    ("--- sqlmig: up\nSELECT 1", "sqlite", 1, "nearly one"),
    (UP + "SELECT 1;\n# sqlmig: down\nSELECT 2", "sqlite", 3, "nearly one; write it so: -- sqlmig: down"),
    (UP + "SELECT 1;\n# sqlmig: donw\nSELECT 2", "sqlite", 3, "nearly one; write it so: -- sqlmig: up"),
    (UP + "SELECT 1;\n-- sqlmig - down\nSELECT 2", "sqlite", 3, "nearly one"),
    (UP + "SELECT 1;\n/* sqlmig: down */\nSELECT 2", "sqlite", 3, "nearly one"),
    (UP + "SELECT 1;\n-- sqlmgi: down\nSELECT 2", "sqlite", 3, "nearly one; write it so: -- sqlmig: down"),
    (UP + "SELECT 1; -- sqlmig: down\nSELECT 2", "sqlite", 2, "needs a line of its own"),
    (UP + "SELECT 1; /* sqlmig: down */\nSELECT 2", "sqlite", 2, "needs a line of its own"),
    (UP + "SELECT 1;\n-- sqlmig: depends: 1\n", "sqlite", 3, '"depends" is for all sections; write it above'),
    ("-- sqlmig: depends: 1\n-- sqlmig: depends: 2\n" + UP + "SELECT 1", "sqlite", 2, "the first is in line 1"),
    # Values
    ("-- sqlmig: depends 3\n" + UP + "SELECT 1", "sqlite", 1, '"depends" has no colon; write it so'),
    ("-- sqlmig: description:\n" + UP + "SELECT 1", "sqlite", 1, '"description" says nothing'),
    ("-- sqlmig: depends: 3, x\n" + UP + "SELECT 1", "sqlite", 1, 'depends on "x", which is no version'),
    ("-- sqlmig: depends: 3,\n" + UP + "SELECT 1", "sqlite", 1, 'depends on ""'),
    ("-- sqlmig: depends: 3 7\n" + UP + "SELECT 1", "sqlite", 1, 'depends on "3 7"'),
    ("-- sqlmig: depends: 0\n" + UP + "SELECT 1", "sqlite", 1, 'depends on "0"'),
    ("-- sqlmig: depends: ٣\n" + UP + "SELECT 1", "sqlite", 1, "which is no version"),
    ("-- sqlmig: depends: " + "9" * 5000 + "\n" + UP + "SELECT 1", "sqlite", 1, "which is no version"),
    ("-- sqlmig: transactional: no\n" + UP + "SELECT 1", "sqlite", 1, '"no", not true or false'),
    ("-- sqlmig: removes: a,,b\n" + UP + "SELECT 1", "sqlite", 1, "a comma too many"),
    # What has no end
    (UP + "SELECT 1;\nSELECT 'a;\n\n-- sqlmig: down\nSELECT 2", "sqlite", 3, "string begins here .* line 5"),
    (UP + "SELECT 'a''", "sqlite", 2, "a string begins here and has no end"),
    (UP + 'SELECT "a', "sqlite", 2, "a string or a quoted name begins here"),
    (UP + "SELECT 1,\n [a", "sqlite", 3, "a quoted name begins here"),
    (UP + "SELECT `a", "mysql", 2, "a quoted name begins here"),
    (UP + "SELECT 1;\n/* a\n;", "sqlite", 3, "a comment begins here"),
    (UP + "SELECT 1 /* a /* b */\n;", "postgresql", 2, "a comment begins here"),
    (UP + "SELECT 'a\\';", "mysql", 2, "a string begins here"),
    (UP + "SELECT E'a\\';", "postgresql", 2, "a string begins here"),
    (UP + "SELECT 1;\nDO $a$ BEGIN\n$b$;", "postgresql", 3, r"dollar quote \$a\$ begins here"),
    (UP + "SELECT (1;\nSELECT 2;", "postgresql", 2, r"has a \( without its \)"),
    (
        UP + "SELECT 1;\n-- one\nCREATE TRIGGER t AFTER INSERT ON x\nBEGIN SELECT 1;\n-- sqlmig: down\nSELECT 2",
        "sqlite",
        4,
        "has a BEGIN without its END; before the section of line 6",
    ),
    (UP + "CREATE PROCEDURE p()\nBEGIN IF a THEN SELECT 1; END;", "mysql", 2, "has a BEGIN without its END;"),
    (UP + "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1;", "postgresql", 2, "BEGIN ATOMIC without"),
    # What is not of the database
    (UP + "SELECT 1;\nBEGIN;\nSELECT 1;\nCOMMIT;", "sqlite", 3, "BEGIN begins or ends a transaction"),
    (UP + "SELECT 1;\n\n COMMIT", "sqlite", 4, "COMMIT begins or ends a transaction"),
    (UP + "START /* */ TRANSACTION", "mysql", 2, "START TRANSACTION begins or ends"),
    (UP + "ROLLBACK WORK", "postgresql", 2, "ROLLBACK begins or ends"),
    (UP + "SELECT 1;\nend", "sqlite", 3, "END begins or ends"),
    (UP + "SELECT 1;\n-- sqlmig: down mysql\nCOMMIT;", "sqlite", 4, "COMMIT begins or ends"),
    (UP + "SELECT 1;\nDELIMITER //\nCREATE PROCEDURE p() BEGIN SELECT 1; END//", "mysql", 3, "DELIMITER is a command"),
    (UP + "\\connect a\nSELECT 1", "postgresql", 2, r"\\connect is a command of psql"),
    (UP + ".headers on\nSELECT 1", "sqlite", 2, r"\.headers is a command of the sqlite3 shell"),
    (UP + "SELECT 1;\n\\. more.sql\nSELECT 1", "mysql", 3, r"\\\. is a command of the mysql client"),
    (UP + "source more.sql;", "mariadb", 2, "source is a command of the mysql client"),
    (UP + "SELECT 1;\nXA START 'a';", "mysql", 3, "XA begins or ends a transaction"),
    (UP + "SET autocommit = 0;", "mysql", 2, "SET AUTOCOMMIT begins or ends a transaction"),
    (
        UP + "SELECT 1;\n-- Its rows:\nCOPY b (x) FROM stdin;\nit's\n\\.\n",
        "postgresql",
        4,
        "COPY from or to the client",
    ),
    (UP + "copy (SELECT ';') /* */ to\nSTDOUT", "postgresql", 2, "write INSERTs .* or a migration in Python"),
    (UP + "SELECT 1;\nLOCK TABLES `t` WRITE;\nUNLOCK TABLES;", "mysql", 3, "LOCK TABLES would .*--skip-add-locks"),
    (UP + "LOCK TABLE t READ", "mariadb", 2, "or say -- sqlmig: transactional: false"),
    # Bytes
    (b"-- sqlmig: up\r\nSELECT 1;\r\nSELECT '\xe9'", "sqlite", 3, "the byte 0xe9 belongs to no character"),
    (b"\xef\xbb\xbf-- sqlmig: up\rSELECT '\xe9'\n", "sqlite", 2, "the byte 0xe9 belongs to no character"),
    ("-- sqlmig: up\nSELECT 1".encode("utf-16"), "sqlite", 1, "it is UTF-16"),
    ("-- sqlmig: up\nSELECT 1".encode("utf-16-le"), "sqlite", 1, "NUL"),
    (UP + "SELECT\n'\0'", "sqlite", 3, "NUL"),
]


@pytest.mark.parametrize(("text", "dialect", "line", "reason"), REFUSED)
def test_what_is_refused_names_its_line(text: str | bytes, dialect: str, line: int, reason: str) -> None:
    with pytest.raises(SqlFileError, match=reason) as caught:
        read(text, dialect)
    assert caught.value.line == line


ALLOWED = [
    (UP + "COPY b FROM '/tmp/from stdin';\nCOPY b TO PROGRAM 'cat' -- to stdout", "postgresql", 2),
    (UP + "LOCK TABLE t IN SHARE MODE", "postgresql", 1),
    ("-- sqlmig: transactional: false\n" + UP + "LOCK TABLES t WRITE;\nUNLOCK TABLES", "mysql", 2),
    (UP + "SELECT 1; -- sqlmig runs this", "sqlite", 1),
    (UP + "-- sqlmig is what runs this\nSELECT 1", "sqlite", 1),
    (UP + "INSERT INTO t VALUES ('a -- sqlmig: down', '/* sqlmig: down */')", "sqlite", 1),
    (UP + "SAVEPOINT a;\nROLLBACK TO a;\nROLLBACK TRANSACTION TO SAVEPOINT a;\nRELEASE a", "sqlite", 4),
    (UP + "BEGIN NOT ATOMIC SELECT 1; SELECT 2; END", "mysql", 1),
    ("-- sqlmig: transactional: false\n" + UP + "BEGIN;\nSELECT 1;\nCOMMIT", "sqlite", 3),
    (UP + "CREATE TABLE [begin] (\"commit\" INT, 'delimiter' INT)", "sqlite", 1),
    (UP + "SELECT $$ it's $$;\nSELECT 2", "postgresql", 2),
    ("-- sqlmig: depends: 1\n\n/* sqlmig is ours */\n" + UP + "SELECT 1", "sqlite", 1),
    ("# Of this database, a comment.\n" + UP + "SELECT 1", "mysql", 1),
]


@pytest.mark.parametrize(("text", "dialect", "count"), ALLOWED)
def test_what_only_looks_like_it_is_let_pass(text: str, dialect: str, count: int) -> None:
    assert len(read(text, dialect).up.statements) == count


def test_a_plain_section_for_others_is_not_read_as_if_it_were_for_this_database() -> None:
    text = "-- sqlmig: up\nINSERT INTO t VALUES ('it\\'s');\n-- sqlmig: up sqlite\nINSERT INTO t VALUES ('it''s');"
    assert read(text, "sqlite").up.line == 3
    assert read(text, "mysql").up.line == 1
    with pytest.raises(SqlFileError, match="string begins here"):
        read(text, "postgresql")


# Files of every form


PIECES = {
    "": [
        "SELECT 'a; -- b', \"c;d\"",
        "INSERT INTO t VALUES (1, 'it''s\n\n  50% ? :x /*')",
        "CREATE TABLE begin_end (a INTEGER, b TEXT DEFAULT 'x')",
        "UPDATE t SET a = CASE WHEN b THEN 1 END",
        "DROP TABLE t",
        "SELECT 'ünï\t文'",
    ],
    "sqlite": [
        "CREATE TRIGGER t AFTER INSERT ON x BEGIN SELECT ';'; DELETE FROM y; END",
        "SELECT [a;b], `c;d`",
        "SELECT 'back\\', 1",
    ],
    "postgresql": [
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $a$ BEGIN x := ';'; -- $$\nEND $a$",
        "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT CASE WHEN a THEN 2 END; END",
        "SELECT E'it\\'s;', '{\"a\": 1}'::jsonb ? 'a', 5 % 2",
        "CREATE RULE r AS ON INSERT TO t DO ALSO (NOTIFY a; NOTIFY b)",
    ],
    "mysql": [
        "CREATE TRIGGER t BEFORE INSERT ON x FOR EACH ROW IF NEW.a < 0 THEN SET NEW.a = 0; END IF",
        "CREATE PROCEDURE p() BEGIN DECLARE EXIT HANDLER FOR SQLEXCEPTION BEGIN END; SELECT 1; END",
        "SELECT 'it\\'s;', 5--1, `a;b`",
        "/*!50001 SET @a = 1; */",
    ],
}
GAPS = ["", " ", "\n", "\n\n", "\t", "   \n  \n", ";\n"]
GAPS += ["\n-- only; a 'comment\n", "\n/* ;\n' */", "\n-- sqlmig is ours\n"]
FORMS = ["-- sqlmig: {}", "--sqlmig:{}", "  -- SQLMIG : {}  ", "\t--  sqlmig:  {}"]
WORDS = ["sqlite", "postgresql", "mysql", "mariadb"]


class Made(NamedTuple):
    """What a file is made of, and in which lines its statements begin."""

    settings: dict[str, str]
    sections: dict[tuple[str, str], list[str]]


@st.composite
def files(draw: st.DrawFn) -> Made:
    settings = draw(
        st.fixed_dictionaries(
            {},
            optional={
                "description": st.sampled_from(["A language", "50%: ünï; 'x"]),
                "depends": st.sampled_from(["1", "3, 7", "12,1"]),
                "transactional": st.sampled_from(["true", "FALSE"]),
                "removes": st.sampled_from(["*", "a.b, c", "t"]),
            },
        )
    )
    keys = draw(st.lists(st.tuples(st.sampled_from(["up", "down"]), st.sampled_from(["", *WORDS[:3]])), unique=True))
    keys = [("up", ""), *(key for key in keys if key != ("up", ""))]
    keys = draw(st.permutations(keys))
    own = {key: PIECES[""] + (PIECES[key[1]] if key[1] else []) for key in keys}
    sections = {key: draw(st.lists(st.sampled_from(own[key]), min_size=1, max_size=4)) for key in keys}
    return Made(settings, sections)


def written(made: Made, seed: int, *, gaps: bool = True) -> tuple[bytes, dict[tuple[str, str], list[int]]]:
    """A text of it, by chance one of many; and the lines of the statements."""
    chance = random.Random(seed)

    def directive(said: str) -> str:
        return chance.choice(FORMS).format(said) if gaps else f"-- sqlmig: {said}"

    def gap() -> str:
        return chance.choice(GAPS) if gaps else ""

    settings = list(made.settings.items())
    chance.shuffle(settings)
    out = "".join(f"{gap().replace(';', '')}\n{directive(f'{name}: {value}')}" for name, value in settings).lstrip("\n")
    lines: dict[tuple[str, str], list[int]] = {}
    for (way, database), statements in made.sections.items():
        word = chance.choice(["mysql", "mariadb"]) if database == "mysql" else database
        out += f"\n{directive(f'{way} {word}'.strip())}\n"
        for statement in statements:
            out += gap()
            lines.setdefault((way, database), []).append(out.count("\n") + 1)
            # A line comment must not take the semicolon in.
            out += f"{statement}{gap()}\n;"
        out += gap()
    ends = chance.choice(["\n", "\r\n"]) if gaps else "\n"
    return (chance.choice(["", "\ufeff"]) + out.replace("\n", ends)).encode(), lines


@given(files(), st.integers(), st.sampled_from(DIALECTS))
def test_a_file_is_read_as_it_was_written(made: Made, seed: int, dialect: str) -> None:
    text, lines = written(made, seed)
    found = read(text, dialect)
    assert {(s.way, s.database): [one.text for one in s.statements] for s in found.sections} == made.sections
    assert {(s.way, s.database): [one.line for one in s.statements] for s in found.sections} == lines
    said = made.settings
    assert found.description == said.get("description", "")
    assert found.depends == [int(word) for word in said.get("depends", "").split(",") if word]
    assert found.removes == [word.strip() for word in said.get("removes", "").split(",") if word]
    assert found.transactional == (said.get("transactional", "true") == "true")
    family = "mysql" if dialect == "mariadb" else dialect
    assert found.up.database == (family if ("up", family) in made.sections else "")


@given(files(), st.integers(), st.integers(), st.sampled_from(DIALECTS))
def test_comments_white_space_and_the_description_are_no_edit(made: Made, one: int, other: int, dialect: str) -> None:
    again = made._replace(settings={**made.settings, "description": "Another"})
    assert read(written(made, one)[0], dialect).checksum == read(written(again, other)[0], dialect).checksum
    plain = written(made, 0, gaps=False)[0]
    assert read(plain, dialect).checksum == read(written(made, one)[0], dialect).checksum


@given(files(), st.integers(), st.sampled_from(DIALECTS), st.data())
def test_an_edit_of_a_statement_or_of_what_matters_is_one(made: Made, seed: int, dialect: str, data: Any) -> None:
    before = read(written(made, seed)[0], dialect).checksum
    key = data.draw(st.sampled_from(sorted(made.sections)))
    statements = made.sections[key]
    at = data.draw(st.integers(0, len(statements) - 1))
    kind = data.draw(st.sampled_from(["word", "literal", "added", "dropped", "moved", "setting"]))
    changed, settings = list(statements), dict(made.settings)
    if kind == "word":
        changed[at] = re.sub(r"\b([a-z])\b", r"\1x", statements[at], count=1)
    elif kind == "literal":
        changed[at] = re.sub(r"(?<=')([\w;{])", r" \1", statements[at], count=1)
    elif kind == "added":
        changed.insert(at, "SELECT 9")
    elif kind == "dropped" and len(statements) > 1:
        del changed[at]
    elif kind == "moved":
        changed.append(changed.pop(at))
    else:
        name = data.draw(st.sampled_from(["depends", "transactional", "removes"]))
        settings[name] = {"depends": "99", "removes": "zz"}.get(name) or (
            "true" if settings.get(name) == "FALSE" else "false"
        )
    edited = made._replace(settings=settings, sections={**made.sections, key: changed})
    same = edited == made
    assert (read(written(edited, seed)[0], dialect).checksum == before) == same


@given(st.text(alphabet="'\"`[];-/*$ab \n\\#:(", max_size=60), st.sampled_from(DIALECTS))
def test_no_text_ends_in_another_error(text: str, dialect: str) -> None:
    """What is said of it stands in one of its lines."""
    for head in ("", UP):
        try:
            found = read(head + text, dialect)
        except SqlFileError as error:
            assert 1 <= error.line <= (head + text).count("\n") + 1  # noqa: PT017
        else:
            assert found.up.statements


LINES = ["-- sqlmig: up", "-- sqlmig: down", "-- sqlmig: depends: 1", "a;", "'", "/*", "*/", ""]


@given(st.lists(st.sampled_from(LINES)))
def test_no_order_of_lines_ends_in_another_error(lines: list[str]) -> None:
    try:
        found = read("\n".join(lines))
    except SqlFileError as error:
        assert 1 <= error.line <= max(1, len(lines))  # noqa: PT017
    else:
        assert lines.count("-- sqlmig: up") == 1
        assert all(section.statements for section in found.sections)


# One file, hashed once: a Python that hashes it otherwise would stop boots.
HASH_OF_WHOLE = "sql1:21bc9b12e0cae4e0b6616726fbe8785b95cf4718"


def test_the_checksum_is_the_same_on_every_python_and_database() -> None:
    assert {read(WHOLE, dialect).checksum for dialect in DIALECTS} == {HASH_OF_WHOLE}


SAME = [
    ("SELECT 1", "SELECT 1;"),
    ("SELECT 1, 2", "SELECT 1 ,2"),
    ("SELECT f(1)", "SELECT f( 1 )"),
    ("SELECT 1 -- one\n", "SELECT 1"),
    ("SELECT/**/1", "SELECT 1"),
    ("SELECT 1;\nSELECT 2", "SELECT 1;;\n-- x\nSELECT 2;;"),
]
OTHER = [
    ("SELECT 1", "select 1"),
    ("SELECT 1 2", "SELECT 12"),
    ("SELECT x 'a'", "SELECT x'a'"),
    ("SELECT 'a'", "SELECT 'a '"),
    ("SELECT 'a\n'", "SELECT 'a'"),
    ("SELECT 'a -- b'", "SELECT 'a -- c'"),
    ("SELECT 1; SELECT 2", "SELECT 1 SELECT 2"),
    ("SELECT 1; SELECT 2", "SELECT 2; SELECT 1"),
    ("SELECT 1 /*+ a */", "SELECT 1 /*+ b */"),
    ("SELECT a - -1", "SELECT a--1\n-1"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_formatting_is_no_edit(one: str, other: str) -> None:
    assert read(UP + one).checksum == read(UP + other).checksum


@pytest.mark.parametrize(("one", "other"), OTHER)
def test_a_change_is_an_edit(one: str, other: str) -> None:
    assert read(UP + one).checksum != read(UP + other).checksum


def test_where_a_statement_stands_matters() -> None:
    texts = [
        "-- sqlmig: up\nSELECT 1",
        "-- sqlmig: up sqlite\nSELECT 1",
        "-- sqlmig: up\nSELECT 1\n-- sqlmig: down\nSELECT 1",
        "-- sqlmig: up\nSELECT 1\n-- sqlmig: down mysql\nSELECT 1",
        "-- sqlmig: up\nSELECT 1\n-- sqlmig: up mysql\nSELECT 1",
    ]
    assert len({read(text).checksum for text in texts}) == len(texts)
    sections = "-- sqlmig: down\nSELECT 2\n-- sqlmig: up\nSELECT 1\n"
    assert read(sections).checksum == read("-- sqlmig: up\nSELECT 1\n-- sqlmig: down\nSELECT 2\n").checksum
    mysql = "-- sqlmig: up\nSELECT 1\n-- sqlmig: down {}\nSELECT 1"
    assert read(mysql.format("mysql")).checksum == read(mysql.format("mariadb")).checksum
    # There a comment needs a blank behind its two hyphens.
    assert read(UP + "SELECT 5--1", "mysql").checksum != read(UP + "SELECT 5--2", "mysql").checksum
    assert read(UP + "SELECT 5--1").checksum == read(UP + "SELECT 5--2").checksum
