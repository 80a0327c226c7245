"""The schema as people look at it: as statements that make it again, as a drawing, in words, and as a difference."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from conftest import Folder
from places import Place

from sqlmig import ConfigurationError, Migrator, UnknownVersion
from sqlmig.cli.app import app
from sqlmig.drift.check import read_shape
from sqlmig.drift.compare import compare
from sqlmig.drift.scratch import empty_database, twin_on
from sqlmig.pictures.draw import schema_statements
from sqlmig.pictures.layout import Box, Drawing, Link, arrange
from sqlmig.pictures.seen import database_at
from sqlmig.pictures.words import _plain

_EVERYWHERE = (
    "CREATE TABLE authors (id INTEGER PRIMARY KEY, name VARCHAR(80) NOT NULL, favourite INTEGER);",
    "CREATE TABLE books (id INTEGER PRIMARY KEY, author_id INTEGER NOT NULL, part_of INTEGER, pages INTEGER DEFAULT 1,",
    " CONSTRAINT ck_pages CHECK (pages > 0), CONSTRAINT uq_part UNIQUE (author_id, part_of),",
    " CONSTRAINT to_author FOREIGN KEY (author_id) REFERENCES authors (id) ON DELETE CASCADE);",
    "CREATE INDEX ix_books_pages ON books (pages DESC, id);",
    # The later name stands before the earlier one, which it reads.
    "CREATE VIEW z_long AS SELECT id, pages FROM books WHERE pages > 500;",
    "CREATE VIEW a_longest AS SELECT id FROM z_long WHERE pages > 900;",
)
_OWN = {
    "sqlite": (
        "CREATE TABLE kept (k TEXT PRIMARY KEY, v ANY) STRICT, WITHOUT ROWID;",
        "CREATE INDEX ix_lower ON authors (lower(name)) WHERE name <> '';",
        "CREATE VIRTUAL TABLE texts USING fts5(body);",
        "CREATE TRIGGER shorter AFTER INSERT ON books BEGIN UPDATE books SET pages = 1; DELETE FROM authors; END;",
        "CREATE TRIGGER through INSTEAD OF INSERT ON z_long BEGIN SELECT 1; END;",
    ),
    "postgresql": (
        "CREATE TYPE mood AS ENUM ('calm', 'it''s; odd');",
        "CREATE TABLE notes (id INTEGER GENERATED ALWAYS AS IDENTITY, at DATE NOT NULL, mood mood, serial SERIAL,",
        " shout TEXT GENERATED ALWAYS AS ('a' || 'b') STORED) PARTITION BY RANGE (at);",
        "CREATE TABLE notes_old PARTITION OF notes FOR VALUES FROM ('2000-01-01') TO ('2010-01-01');",
        "ALTER TABLE authors ADD CONSTRAINT circle FOREIGN KEY (favourite) REFERENCES books (id) DEFERRABLE;",
        "CREATE INDEX ix_lower ON authors (lower(name)) WHERE name <> '';",
        "COMMENT ON TABLE authors IS 'who writes; mostly';",
        "CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.pages := 2; RETURN NEW; END $$;",
        "CREATE TRIGGER touched BEFORE UPDATE ON books FOR EACH ROW EXECUTE FUNCTION touch();",
    ),
    "mariadb": (
        "ALTER TABLE authors ADD CONSTRAINT circle FOREIGN KEY (favourite) REFERENCES books (id);",
        "CREATE SEQUENCE numbers START WITH 7;",
        "CREATE TABLE numbered (id INTEGER PRIMARY KEY DEFAULT (NEXT VALUE FOR numbers));",
        "CREATE TABLE notes (id INTEGER AUTO_INCREMENT PRIMARY KEY, body TEXT, twice INT AS (id2 * 2) STORED, id2 INT,",
        " data JSON, FULLTEXT KEY ft (body)) COMMENT 'AUTO_INCREMENT=4';",
        "INSERT INTO notes (body) VALUES ('one');",
        "CREATE FUNCTION doubled(n INT) RETURNS INT DETERMINISTIC RETURN n * 2;",
        "CREATE TRIGGER touched BEFORE UPDATE ON books FOR EACH ROW BEGIN SET NEW.pages = 2; SET NEW.part_of = 1; END;",
    ),
}


def test_the_statements_make_the_schema_again(place: Place, folder: Folder) -> None:
    folder.sql(1, "-- sqlmig: up", *_EVERYWHERE, *_OWN[place.database])
    migrator = place.migrator(folder)
    with database_at(migrator, 1) as twin:
        made = read_shape(twin)
        statements = schema_statements(migrator, 1)
    assert [statement for statement in statements if "migration_history" in statement] == []
    with empty_database(migrator) as engine:
        with engine.connect() as connection:
            if place.database == "postgresql":
                # The schema that is there beforehand is one that the statements make.
                connection.exec_driver_sql(f"DROP SCHEMA {place.scratch} CASCADE")
            for statement in statements:
                connection.exec_driver_sql(statement, execution_options={"no_parameters": True})
            connection.commit()
        again = read_shape(twin_on(migrator, engine))
    assert made.tables
    assert compare(made, again) == []


@pytest.mark.parametrize("place", ["postgresql"], indirect=True)
def test_what_pg_dump_sets_is_told_where_it_is_needed(place: Place, folder: Folder) -> None:
    folder.sql(1, "-- sqlmig: up", "CREATE TABLE plain (id INTEGER PRIMARY KEY);")
    folder.sql(
        2,
        "-- sqlmig: up",
        "CREATE TABLE later (name TEXT DEFAULT 'größe\\n', as_xml TEXT);",
        "CREATE FUNCTION early() RETURNS BIGINT LANGUAGE sql AS 'SELECT count(*) FROM later';",
    )
    migrator = place.migrator(folder)
    plain, needed = (
        [one for one in schema_statements(migrator, version) if re.match(r"SET|RESET|SELECT pg_catalog", one)]
        for version in (1, 2)
    )
    path = "SELECT pg_catalog.set_config('search_path', '', false)"
    assert plain == [path, "RESET search_path"]
    assert needed == [
        "SET client_encoding = 'UTF8'",
        "SET standard_conforming_strings = on",
        path,
        "SET check_function_bodies = false",
        "SET xmloption = content",
        "RESET standard_conforming_strings",
        "RESET search_path",
        "RESET check_function_bodies",
        "RESET xmloption",
    ]


@pytest.mark.parametrize("place", ["mariadb"], indirect=True)
def test_a_view_of_a_table_that_is_called_like_its_database(place: Place, folder: Folder) -> None:
    [(name,)] = place.rows("SELECT DATABASE()")
    place.run(
        f"CREATE TABLE `{name}` (id INTEGER PRIMARY KEY)",
        "CREATE TABLE other (id INTEGER PRIMARY KEY)",
        "CREATE FUNCTION doubled(n INT) RETURNS INT DETERMINISTIC RETURN n * 2",
        f"CREATE VIEW v AS SELECT `{name}`.id, `{name}`.doubled(other.id) AS x, '`{name}`.`y`(' AS y"
        f" FROM `{name}` JOIN other",
    )
    [view] = [one for one in schema_statements(place.migrator(folder)) if " VIEW " in one]
    assert f"select `{name}`.`id` AS `id`,`doubled`(`other`.`id`) AS `x`,'`{name}`.`y`(' AS `y`" in view


def test_the_live_schema_as_a_script(folder: Folder, migrator: Migrator, tmp_path: Path) -> None:
    import sqlite3

    folder.sql(1, "-- sqlmig: up", *_EVERYWHERE, *_OWN["sqlite"])
    migrator.migrate()
    with sqlite3.connect(tmp_path / "again.db") as raw:
        raw.executescript(migrator.draw_schema())
    again = Migrator(tmp_path / "again.db", folder.path)
    assert compare(read_shape(migrator), read_shape(again)) == []
    assert "books" not in migrator.draw_schema(ignore=["books", "*_long*"])
    # A text alone is one pattern, and not that of each of its letters.
    assert "books" in migrator.draw_schema(ignore="kept*")
    assert "table books" in migrator.draw_schema("text", ignore="kept*")
    assert "kept" not in migrator.draw_schema("text", ignore="kept*")


_HOSTILE = (
    'CREATE TABLE "<script>alert(1)</script>" (id INTEGER PRIMARY KEY, "a & b ""q"" \'x\'" TEXT DEFAULT \'<b>\',',
    ' "|]]>" INT);',
    'CREATE TABLE "größe_表_таблица" ("名前" TEXT, "مفتاح" TEXT);',
    f"CREATE TABLE {'long_' * 30} ({'column_' * 30} VARCHAR(99));",
    "CREATE TABLE pairs (a INTEGER, b INTEGER, PRIMARY KEY (a, b));",
    "CREATE TABLE nodes (id INTEGER PRIMARY KEY, pa INTEGER, pb INTEGER, up INTEGER REFERENCES nodes,",
    ' gone INTEGER REFERENCES nowhere (id), odd INTEGER REFERENCES "<script>alert(1)</script>",',
    " FOREIGN KEY (pa, pb) REFERENCES pairs (a, b));",
    "CREATE TABLE x (id INTEGER PRIMARY KEY, y INTEGER UNIQUE REFERENCES y (id));",
    "CREATE TABLE y (id INTEGER PRIMARY KEY, x INTEGER NOT NULL REFERENCES x (id));",
    "CREATE TABLE bare (a, b);",
    'CREATE VIEW "the ""view""" AS SELECT a FROM pairs;',
    'CREATE VIEW "main.dotted" AS SELECT b AS of_dotted FROM pairs;',
)


@pytest.fixture
def hostile(folder: Folder, migrator: Migrator) -> Migrator:
    """A database with all that is hard to draw."""
    folder.sql(1, "-- sqlmig: up", *_HOSTILE)
    migrator.migrate()
    return migrator


def test_every_name_is_shown_and_none_is_code(hostile: Migrator) -> None:
    root = ET.fromstring(hostile.draw_schema("svg"))
    tags = {element.tag.rpartition("}")[2] for element in root.iter()}
    assert tags == {"svg", "title", "desc", "style", "rect", "g", "text", "path", "circle"}
    told = {"".join(element.itertext()) for element in root.iter()}
    assert "<script>alert(1)</script>" in told
    assert "名前" in told
    assert (root.get("role"), [root[0].tag, root[1].tag]) == ("img", [f"{{{_SVG}}}title", f"{{{_SVG}}}desc"])
    assert root.get("aria-labelledby") == f"{root[0].get('id')} {root[1].get('id')}"
    assert "of_dotted" in told
    for format in ("html", "markdown", "mermaid"):
        shown = hostile.draw_schema(format)  # type: ignore[arg-type]
        assert "<script>" not in shown.replace('"<script>', "").replace("`<script>", "")
        assert "größe_表" in shown.replace("\\", "")
    assert [line for line in hostile.draw_schema("markdown").splitlines() if line.startswith("| \\|")] == [
        r"| \|\]\]\> | INT |  |"
    ]


def test_mermaid_reads_every_name(folder: Folder, migrator: Migrator) -> None:
    folder.sql(
        1,
        "-- sqlmig: up",
        'CREATE TABLE "a%b" (pk INTEGER PRIMARY KEY, fk INTEGER REFERENCES "a""b", "Uk(x)" TEXT, pkey TEXT);',
        'CREATE TABLE "a""b" (id INTEGER PRIMARY KEY, "~a~" TEXT);',
        'CREATE TABLE "" (id INTEGER PRIMARY KEY, "direction  LR" INTEGER REFERENCES "Direction TB");',
        'CREATE TABLE "Direction TB" (id INTEGER PRIMARY KEY);',
    )
    folder.sql(2, "-- sqlmig: up", 'ALTER TABLE "a""b" ADD COLUMN "b~" TEXT;', name="002_more.sql")
    # Mermaid's own parser refuses PK as a name, two tildes in a line, "" as a table, and the words of a direction.
    lines = [line.strip() for line in migrator.draw_schema("mermaid", at=1).splitlines()]
    assert {line for line in lines if line.startswith('"')} == {
        '"_" {',
        '"a_b" {',
        '"a_b_" {',
        '"Direction_TB" {',
        '"a_b" |o--o{ "a_b_" : "fk"',
        '"Direction_TB" |o--o{ "_" : "direction_LR"',
    }
    assert 'INTEGER _pk PK "pk"' in lines
    assert 'TEXT _Uk(x) "Uk(x), may be NULL"' in lines
    assert 'TEXT pkey "may be NULL"' in lines
    assert 'TEXT _a_ "_a_, may be NULL"' in lines
    assert 'TEXT b_ "+ added, b_, may be NULL"' in migrator.draw_schema("mermaid", diff=(1, 2))


def test_no_name_is_obeyed_by_a_terminal_or_by_markdown(folder: Folder, migrator: Migrator) -> None:
    table = 'CREATE TABLE "two\nlines" ("x\n\x1b[31m\u202ey" TEXT DEFAULT \'$a$\')'
    folder.add(1, f"self.execute_sql({table!r})")
    text = migrator.draw_schema("text", at=1)
    assert text.splitlines()[2:] == ["table two lines", "    x \ufffd[31m\ufffdy  TEXT  DEFAULT '$a$'"]
    assert "| x \ufffd\\[31m\ufffdy | TEXT | DEFAULT '\\$a\\$' |" in migrator.draw_schema("markdown", at=1)
    for format in ("mermaid", "svg", "html"):
        shown = migrator.draw_schema(format, at=1)  # type: ignore[arg-type]
        assert ("\x1b" in shown, "\u202e" in shown) == (False, False)
    assert [_plain(text) for text in ("- no item", "1. no item", "10 %")] == [r"\- no item", r"1\. no item", "10 %"]


_SVG = "http://www.w3.org/2000/svg"


def test_the_same_schema_is_the_same_picture_and_shows_every_key(hostile: Migrator) -> None:
    drawn = hostile.draw_schema("svg")
    assert drawn == hostile.draw_schema("svg")
    told = {"".join(title.itertext()) for title in ET.fromstring(drawn).iter(f"{{{_SVG}}}title")}
    for key in (
        "nodes (pa, pb) refers to pairs (a, b)",
        "nodes (up) refers to nodes (id)",
        "x (y) refers to y (id)",
        "y (x) refers to x (id)",
    ):
        assert key in told


@pytest.mark.parametrize(("tables", "seed"), [(5, 1), (20, 2), (60, 3), (150, 4)])
def test_no_box_is_over_another_and_no_line_runs_through_a_box(tables: int, seed: int) -> None:
    import random

    chance = random.Random(seed)
    boxes = [Box(f"t{n}", chance.randint(120, 400), 40 + 20 * chance.randint(1, 14)) for n in range(tables)]
    links = [
        Link(f"t{n}", f"t{chance.randrange(tables) if chance.random() < 0.2 else min(chance.randrange(6), n)}", 50, 38)
        for n in range(tables)
        for _ in range(chance.choice((0, 1, 1, 2)))
    ]
    drawing = arrange(boxes, links)
    assert sum(len(line.ends) for line in drawing.lines) == len(links)
    for n, one in enumerate(drawing.boxes):
        assert 0 <= one.x <= one.x + one.width <= drawing.width + 1
        assert 0 <= one.y <= one.y + one.height <= drawing.height + 1
        assert not any(_overlap(one, other) for other in drawing.boxes[n + 1 :])
    assert not list(_through_boxes(drawing))


def _overlap(one: Box, other: Box) -> bool:
    return (
        one.x < other.x + other.width
        and other.x < one.x + one.width
        and one.y < other.y + other.height
        and other.y < one.y + one.height
    )


def _through_boxes(drawing: Drawing) -> Any:
    for line in drawing.lines:
        for path in line.paths:
            for (x, y), (to_x, to_y) in pairwise(path):
                piece = Box("", abs(to_x - x), abs(to_y - y), min(x, to_x), min(y, to_y))
                piece.x, piece.width = piece.x + 0.5, piece.width - 1
                yield from (box.key for box in drawing.boxes if piece.width > 0 and _overlap(piece, box))


@pytest.fixture
def changing(folder: Folder) -> None:
    folder.sql(
        1,
        "-- sqlmig: up",
        "CREATE TABLE authors (id INTEGER PRIMARY KEY, name VARCHAR(80));",
        "CREATE TABLE books (id INTEGER PRIMARY KEY, title TEXT, old TEXT);",
        "CREATE TABLE dropped (id INTEGER PRIMARY KEY);",
        "CREATE TABLE same (id INTEGER PRIMARY KEY);",
        "CREATE TRIGGER touched AFTER INSERT ON books BEGIN SELECT 1; END;",
    )
    folder.add(
        2,
        """
from sqlalchemy import Column, Integer, String
self.drop_table("dropped")
self.alter_column("authors", "name", type_=String(90))
self.drop_column("books", "old")
self.add_column("books", Column("author_id", Integer))
self.create_foreign_key("books", "to_author", ["author_id"], "authors", ["id"])
self.create_index("ix_title", "books", ["title"])
self.execute_sql("DROP TRIGGER touched")
self.execute_sql("CREATE TRIGGER touched AFTER INSERT ON books BEGIN SELECT 2; END")
self.execute_sql("CREATE TABLE fresh (id INTEGER PRIMARY KEY)")
""",
        extra='removes = "*"',
    )


@pytest.mark.usefixtures("changing")
def test_what_differs_between_two_versions(migrator: Migrator) -> None:
    said = migrator.draw_schema("text", diff=(1, 2)).splitlines()
    assert said[0] == "From version 1 to version 2: Tables and views: 1 added, 1 removed, 2 changed."
    assert [re.sub(" +", " ", line) for line in said if line][1:] == [
        "~ table authors",
        "~ name VARCHAR(90) was: type VARCHAR(80)",
        "~ table books",
        "- old TEXT",
        "+ author_id INTEGER foreign key",
        "+ foreign key (author_id) refers to authors (id)",
        "+ index ix_title: (title)",
        "~ trigger CREATE TRIGGER touched AFTER INSERT ON books BEGIN SELECT 2; END,"
        " was: CREATE TRIGGER touched AFTER INSERT ON books BEGIN SELECT 1; END",
        "- table dropped",
        "- id INTEGER primary key",
        "+ table fresh",
        "+ id INTEGER primary key",
    ]
    backwards = migrator.draw_schema("markdown", diff=(2, 1))
    assert "## `+` dropped" in backwards
    assert "| `~` | name | VARCHAR(80) | was: type VARCHAR(90) |" in backwards
    assert "same" not in backwards
    assert "Nothing differs." in migrator.draw_schema("markdown", diff=(2, 2))
    assert migrator.get_current_version() == 0


@pytest.mark.parametrize("place", ["postgresql"], indirect=True)
def test_keys_over_columns_that_differ_in_case_are_two(place: Place, folder: Folder) -> None:
    folder.sql(
        1,
        "-- sqlmig: up",
        "CREATE TABLE p (id INTEGER PRIMARY KEY);",
        'CREATE TABLE c (x INTEGER REFERENCES p, "X" INTEGER REFERENCES p);',
    )
    folder.sql(
        2,
        "-- sqlmig: up",
        'ALTER TABLE c DROP CONSTRAINT "c_X_fkey", DROP CONSTRAINT c_x_fkey;',
        "ALTER TABLE c ADD CONSTRAINT c_x_fkey FOREIGN KEY (x) REFERENCES p ON DELETE CASCADE;",
    )
    migrator = place.migrator(folder)
    said = migrator.draw_schema("text", diff=(1, 2))
    assert "~     foreign key (x) refers to p (id) ON DELETE CASCADE, was" in said
    assert "-     foreign key (X) refers to p (id)\n" in said
    assert "+     foreign key (X) refers to p (id)\n" in migrator.draw_schema("text", diff=(2, 1))


@pytest.mark.usefixtures("changing")
def test_a_difference_is_drawn_in_colours_with_their_signs(migrator: Migrator) -> None:
    root = ET.fromstring(migrator.draw_schema("svg", diff=(1, 2)))
    groups = {
        "".join(group[0].itertext()): [(element.get("class"), "".join(element.itertext())) for element in group]
        for group in root.iter(f"{{{_SVG}}}g")
        if (group.get("class") or "").startswith("table")
    }
    assert ("title", "-") in groups["table dropped (removed)"]
    assert ("title", "+") in groups["table fresh (added)"]
    books = groups["table books (changed)"]
    assert ("row removed", "") in books
    assert [text for kind, text in books if text in "+-~" and text] == ["-", "+", "+", "+", "~", "~"]
    assert "table same" in groups
    page = migrator.draw_schema("html", diff=(1, 2))
    assert 'class="line added"' in page
    # On a telephone the first two columns are seen.
    assert '<th scope="row">old</th><td><span class="chip bad">- removed</span> </td><td>TEXT</td>' in page
    # Not once more as one that is the same.
    assert "trigger touched" not in page


@pytest.mark.usefixtures("changing")
def test_what_cannot_be_shown_is_refused(migrator: Migrator) -> None:
    for call in ({"format": "png"}, {"format": "sql", "diff": (1, 2)}, {"format": "text", "at": 1, "diff": (1, 2)}):
        with pytest.raises(ConfigurationError):
            migrator.draw_schema(**call)  # type: ignore[arg-type]
    with pytest.raises(UnknownVersion, match="available: 1-2"):
        migrator.draw_schema("svg", at=7)
    assert migrator.draw_schema("text", at=0) == "Version 0 of the migrations: 0 tables.\n"


@pytest.mark.usefixtures("changing")
def test_the_command(folder: Folder, tmp_path: Path) -> None:
    where = ["--url", f"sqlite:///{tmp_path / 'app.db'}", "--path", str(folder.path)]

    def run(*words: str) -> Any:
        return CliRunner().invoke(app, ["schema", *words, *where])

    assert "not there yet" in run().stderr
    assert run("--format", "text").stdout.endswith("app.db (not there yet): 0 tables.\n")
    assert not (tmp_path / "app.db").exists()
    assert run("--at", "1").stdout.startswith("CREATE TABLE authors (id INTEGER PRIMARY KEY, name VARCHAR(80));\n")
    assert "~ table books" in run("--diff", "1", "2").stdout
    assert run("--format", "mermaid", "--at", "2").stdout.count('"authors" |o--o{ "books" : "author_id"') == 1
    tables = json.loads(run("--diff", "1", "2", "--json").stdout)["tables"]
    assert {table["name"]: table["mark"] for table in tables} == {
        "authors": "changed",
        "books": "changed",
        "dropped": "removed",
        "fresh": "added",
        "same": "same",
    }
    assert len(json.loads(run("--at", "1", "--format", "sql", "--json").stdout)["statements"]) == 5
    for wrong in (("--json", "--format", "svg"), ("--diff", "1", "2", "--format", "sql"), ("--format", "png")):
        assert run(*wrong).exit_code == 2


def test_the_diagram_in_the_documentation_is_of_the_shipped_migrations() -> None:
    root = Path(__file__).parents[1]
    migrator = Migrator(":memory:", root / "migrations" / "versions")
    drawn = migrator.draw_schema("svg", at=7)
    assert (root / "docs" / "library.svg").read_text("utf-8") == drawn, (
        "sqlmig schema --url sqlite:///:memory: --at 7 --format svg > docs/library.svg"
    )
