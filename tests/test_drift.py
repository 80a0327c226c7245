"""Whether models, migrations and a database agree: what is told, what is not, and what is said first."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic_project import AlembicProject
from click.testing import CliRunner, Result
from conftest import Folder
from sqlalchemy import (
    ARRAY,
    CheckConstraint,
    Column,
    Computed,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    create_engine,
    event,
    text,
)
from sqlalchemy.ext.asyncio import create_async_engine

from alembic_compat import AlembicMigrator
from sqlmig import CheckImpossible, ConfigurationError, Migrator
from sqlmig.cli.app import app
from sqlmig.drift.models import load_models

BOOKS = (
    "CREATE TABLE authors (id INTEGER NOT NULL PRIMARY KEY, name VARCHAR(80) NOT NULL);"
    "CREATE TABLE books (id INTEGER NOT NULL PRIMARY KEY, title VARCHAR(200) NOT NULL, pages INTEGER DEFAULT 1,"
    " author INTEGER REFERENCES authors (id) ON DELETE CASCADE, CONSTRAINT ck_pages CHECK (pages > 0));"
    "CREATE INDEX ix_title ON books (title)"
)


def library(**changes: Any) -> MetaData:
    """The models of BOOKS, with parts exchanged."""
    metadata = MetaData()
    Table(
        "authors",
        metadata,
        Column("id", Integer, primary_key=True),
        Column("name", String(80), nullable=False),
    )
    Table(
        "books",
        metadata,
        Column("id", Integer, primary_key=True),
        changes.get("title", Column("title", String(200), nullable=False)),
        changes.get("pages", Column("pages", Integer, server_default=text("1"))),
        changes.get("author", Column("author", ForeignKey("authors.id", ondelete="CASCADE"))),
        changes.get("check", CheckConstraint("pages > 0", name="ck_pages")),
        changes.get("index", Index("ix_title", "title")),
        *changes.get("more", ()),
        **changes.get("options", {}),
    )
    return metadata


@pytest.fixture
def migrator(folder: Folder, tmp_path: Path) -> Migrator:
    for statement in BOOKS.split(";"):
        folder.add(len(list(folder.path.glob("*.py"))) + 1, f"self.execute_sql({statement!r})")
    made = Migrator(tmp_path / "library.db", folder.path)
    made.migrate()
    return made


def told(migrator: Migrator, metadata: MetaData, **options: Any) -> list[str]:
    return [str(found) for found in migrator.check(metadata, **options).between("models", "migrations")]


def test_they_agree(migrator: Migrator) -> None:
    report = migrator.check(library())
    assert report
    assert report.clean
    assert str(report).splitlines() == [
        "models and migrations agree",
        "migrations and database agree",
        "models and database agree",
    ]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"title": Column("title", String(100), nullable=False)},
            "column books.title: type VARCHAR(100) in the models, type VARCHAR(200) in the migrations",
        ),
        ({"title": Column("title", String(200))}, "column books.title: takes NULL in the models, NOT NULL in the migr"),
        (
            {"pages": Column("pages", Integer, server_default=text("2"))},
            "column books.pages: DEFAULT 2 in the models, DEFAULT 1 in the migrations",
        ),
        ({"pages": Column("pages", Integer)}, "column books.pages: no default in the models, DEFAULT 1 in the migra"),
        (
            {"pages": Column("pages", Integer, Computed("1 + 1"))},
            "column books.pages: no default in the models, DEFAULT 1 in the migrations; AS (1 + 1) VIRTUAL in the",
        ),
        (
            {"title": Column("title", String(200, collation="NOCASE"), nullable=False)},
            "column books.title: COLLATE NOCASE in the models, no collation in the migrations",
        ),
        (
            {"author": Column("author", ForeignKey("authors.id"))},
            "books: foreign key: FOREIGN KEY (author) REFERENCES authors (id) in the models, FOREIGN KEY (author) REF"
            "ERENCES authors (id) ON DELETE CASCADE in the migrations",
        ),
        (
            {"author": Column("author", ForeignKey("books.id", ondelete="CASCADE"))},
            "books: foreign key: FOREIGN KEY (author) REFERENCES books (id) ON DELETE CASCADE in the models",
        ),
        (
            {"check": CheckConstraint("pages > 1", name="ck_pages")},
            "books: check ck_pages: CHECK (pages > 1) in the models, CHECK (pages > 0) in the migrations",
        ),
        (
            {"check": CheckConstraint("pages > 0", name="ck_all")},
            "books: check ck_all: named ck_all in the models, named ck_pages in the migrations",
        ),
        (
            {"check": CheckConstraint("pages > 0")},
            "books: check: without a name of its own in the models, named ck_pages in the migrations",
        ),
        ({"index": Index("ix_title", "title", unique=True)}, "index ix_title on books: UNIQUE (title) in the models"),
        (
            {"index": Index("ix_title", text("lower(title)"))},
            "index ix_title on books: (lower(title)) in the models, (title) in the migrations",
        ),
        (
            {"index": Index("ix_title", "title", sqlite_where=text("pages > 5"))},
            "index ix_title on books: (title) WHERE pages > 5 in the models, (title) in the migrations",
        ),
        (
            {"index": Index("ix_titles", "title")},
            "index ix_titles on books: named ix_titles in the models, named ix_title in the migrations",
        ),
        ({"more": [Column("isbn", Text)]}, "column books.isbn TEXT: in the models only"),
        ({"more": [UniqueConstraint("title")]}, "books: unique UNIQUE (title): in the models only"),
        ({"more": [Index("ix_pages", "pages")]}, "index ix_pages on books (pages): in the models only"),
        ({"options": {"sqlite_autoincrement": True}}, "column books.id: AUTOINCREMENT in the models, no identity in"),
        ({"options": {"sqlite_with_rowid": False}}, "table books: WITHOUT ROWID in the models, a plain table in the"),
    ],
)
def test_each_facet_is_seen(migrator: Migrator, changes: dict[str, Any], said: str) -> None:
    (found,) = told(migrator, library(**changes))
    assert found.startswith(said)


def test_what_the_models_have_not(migrator: Migrator) -> None:
    metadata = MetaData()
    Table("authors", metadata, Column("id", Integer, primary_key=True))
    assert told(migrator, metadata) == [
        "column authors.name VARCHAR(80) NOT NULL: in the migrations only",
        "table books (id, title, pages, author): in the migrations only",
    ]


@pytest.mark.parametrize(
    ("some", "others"),
    [
        ("a INTEGER PRIMARY KEY", "a integer NOT NULL, PRIMARY KEY (a)"),
        ("a VARCHAR ( 8 )", '"a" varchar(8)'),
        ("a NUMERIC(10, 2)", "a DECIMAL (10,2)"),
        ("a INT DEFAULT NULL", "a INTEGER NULL"),
        ("a INT DEFAULT (1)", "a INT DEFAULT +1"),
        ("a INT DEFAULT TRUE", "a INT DEFAULT 1"),
        ("a TEXT DEFAULT 'x'", 'a TEXT DEFAULT "x"'),
        ("a TEXT DEFAULT CURRENT_TIMESTAMP", "a TEXT DEFAULT (current_timestamp)"),
        ("a TEXT COLLATE binary", "a TEXT"),
        ("a TEXT UNIQUE", "a TEXT, UNIQUE (a)"),
        ("a INT CHECK (a > 1)", 'a INT, CHECK (("a"  >1 ))'),
        ("a INT REFERENCES p", "a INT, FOREIGN KEY (a) REFERENCES p(i) ON DELETE NO ACTION NOT DEFERRABLE"),
        (
            "a INT REFERENCES p ON UPDATE CASCADE ON DELETE SET NULL",
            "a INT REFERENCES p(i) ON DELETE SET NULL ON UPDATE CASCADE",
        ),
        (
            "a INT REFERENCES p DEFERRABLE INITIALLY DEFERRED",
            "a INT, FOREIGN KEY (a) REFERENCES p (i) DEFERRABLE INITIALLY DEFERRED",
        ),
        ("a INT, b AS (a + 1)", "a INT, b GENERATED ALWAYS AS ((a+1)) VIRTUAL"),
        ("a INT, b INT", "b INT, a INT"),
        ("a INT, b INT, UNIQUE (a), CHECK (a > b)", "a INT, b INT, CHECK (a > b), UNIQUE (a)"),
        ("A INT", "a INT"),
        ("a INT CHECK (a <> 1 AND a == 2)", "a INT CHECK (a != 1 AND a = 2)"),
        ("a INT NOT NULL UNIQUE", "a INT NOT NULL ON CONFLICT ABORT UNIQUE ON CONFLICT ABORT"),
        ("a TEXT COLLATE NOCASE, UNIQUE (a ASC)", "a TEXT COLLATE NOCASE, UNIQUE ('a' COLLATE nocase)"),
        ("a INTEGER PRIMARY KEY", "a INTEGER, PRIMARY KEY (a DESC)"),
    ],
)
def test_two_ways_to_say_the_same(folder: Folder, tmp_path: Path, some: str, others: str) -> None:
    made = f"CREATE TABLE t ({some}) /* so */", f"CREATE TABLE IF NOT EXISTS 't' ({others})"
    assert _told_of_two(folder, tmp_path, *made) == []


@pytest.mark.parametrize(
    ("some", "others"),
    [
        ("t (a)", "t ((a) ASC)"),
        ("t (lower(a), b DESC)", "t ((lower(a)), (b) DESC)"),
        ("t (a) WHERE b > 1", "t (a) WHERE ((b > 1))"),
        ("t (a || b) WHERE b <> 1", "t ((a || b)) WHERE b != 1"),
    ],
)
def test_two_ways_to_say_the_same_of_an_index(folder: Folder, tmp_path: Path, some: str, others: str) -> None:
    table = "CREATE TABLE t (a, b)"
    made = [f"{table}; CREATE INDEX x ON {said}" for said in (some, others)]
    assert _told_of_two(folder, tmp_path, *made) == []


@pytest.mark.parametrize(
    ("some", "others", "said"),
    [
        (
            "t (a INT NOT NULL PRIMARY KEY)",
            "t (a INTEGER NOT NULL PRIMARY KEY)",
            "column t.a: type INT in the migrations, type INTEGER in the database",
        ),
        (
            "t (a TEXT, UNIQUE (a COLLATE NOCASE))",
            "t (a TEXT, UNIQUE (a))",
            "t: unique: UNIQUE (a COLLATE NOCASE) in the migrations, UNIQUE (a) in the database",
        ),
        (
            "t (a TEXT, b TEXT, PRIMARY KEY (b, a COLLATE NOCASE))",
            "t (a TEXT, b TEXT, PRIMARY KEY (b, a))",
            "t: primary key: PRIMARY KEY (b, a COLLATE NOCASE) in the migrations, PRIMARY KEY (b, a) in the database",
        ),
        (
            "t (a TEXT, UNIQUE (a DESC))",
            "t (a TEXT, UNIQUE (a))",
            "t: unique: UNIQUE (a DESC) in the migrations, UNIQUE (a) in the database",
        ),
    ],
)
def test_what_looks_like_the_same_and_is_not(folder: Folder, tmp_path: Path, some: str, others: str, said: str) -> None:
    assert _told_of_two(folder, tmp_path, f"CREATE TABLE {some}", f"CREATE TABLE {others}") == [said]


def _told_of_two(folder: Folder, tmp_path: Path, some: str, others: str) -> list[str]:
    """What a check tells where the migrations make *some* of table t, and somebody has made *others* of it."""
    for at, statement in enumerate(["CREATE TABLE p (i INTEGER PRIMARY KEY)", *some.split("; ")], 1):
        folder.add(at, f"self.execute_sql({statement!r})")
    migrator = Migrator(tmp_path / "t.db", folder.path)
    migrator.migrate()
    with sqlite3.connect(tmp_path / "t.db") as raw:
        raw.executescript(f"DROP TABLE t; {others}")
    return [found.text for found in migrator.check().differences]


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("ALTER TABLE books ADD COLUMN note", "column books.note: in the database only"),
        ("DROP INDEX ix_title", "index ix_title on books (title): in the migrations only"),
        ("DROP TABLE books", "table books (id, title, pages, author): in the migrations only"),
        ("CREATE TABLE more (a)", "table more (a): in the database only"),
        ("CREATE VIEW short AS SELECT 1", "view short: in the database only"),
        ("CREATE VIRTUAL TABLE found USING fts5(title)", "virtual table found: in the database only"),
        (
            "CREATE TRIGGER t AFTER INSERT ON books BEGIN SELECT 1; END",
            "trigger t on books: in the database only",
        ),
    ],
)
def test_what_was_done_by_hand_is_told(migrator: Migrator, tmp_path: Path, statement: str, said: str) -> None:
    with sqlite3.connect(tmp_path / "library.db") as raw:
        raw.execute(statement)
    report = migrator.check(library())
    assert not report
    assert [str(found) for found in report.between("migrations", "database")] == [said]
    assert not report.between("models", "migrations")


def test_what_models_cannot_say_is_no_difference(migrator: Migrator, folder: Folder) -> None:
    folder.add(4, 'self.execute_sql("CREATE VIEW short AS SELECT title FROM books")')
    folder.add(5, 'self.execute_sql("CREATE VIRTUAL TABLE found USING fts5(title)")')
    folder.add(6, 'self.create_trigger("t", "CREATE TRIGGER t AFTER INSERT ON books BEGIN SELECT 1; END")')
    migrator.migrate()
    metadata = library()
    assert migrator.check(metadata)
    # Both may be mapped.
    Table("short", metadata, Column("title", String(200), primary_key=True))
    Table("found", metadata, Column("title", Text, primary_key=True))
    assert migrator.check(metadata)


def test_what_the_models_bring_along_is_compared(migrator: Migrator, folder: Folder) -> None:
    metadata = library()

    @event.listens_for(metadata, "after_create")
    def view(_: object, connection: Any, **__: object) -> None:
        connection.exec_driver_sql("CREATE VIEW short AS SELECT title FROM books")

    assert told(migrator, metadata) == ["view short: in the models only"]
    folder.add(4, 'self.execute_sql("CREATE VIEW IF NOT EXISTS short AS SELECT title,  1 FROM books")')
    (found,) = told(migrator, metadata)
    assert found.startswith("view short: CREATE VIEW short AS SELECT title FROM books in the models, CREATE VIEW")


def test_a_database_that_is_behind_is_compared_with_what_it_has_got(migrator: Migrator, folder: Folder) -> None:
    folder.add(4, 'self.execute_sql("ALTER TABLE books ADD COLUMN isbn TEXT")')
    report = migrator.check(library(more=[Column("isbn", Text)]))
    assert report
    assert str(report).splitlines()[0] == (
        "The database is at version 3, 1 migration behind: it is compared with the migrations up to there."
    )
    assert [(one.left, one.right) for one in report.comparisons] == [
        ("models", "migrations"),
        ("migrations", "database"),
    ]


def test_a_database_that_is_ahead_is_not_compared(migrator: Migrator, folder: Folder) -> None:
    next(folder.path.glob("003*")).unlink()
    report = migrator.check(library())
    assert not report.clean
    assert report.state == ("The database is at version 3, ahead of the newest migration, 2: it is not compared.")
    assert [(one.left, one.right) for one in report.comparisons] == [("models", "migrations")]


def test_a_database_that_lacks_one_in_between_is_not_compared(migrator: Migrator, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "library.db") as raw:
        raw.execute("DELETE FROM migration_versions WHERE version = 2")
    report = migrator.check()
    assert not report.clean
    assert "Migration 002 was not applied" in str(report)


def test_a_new_database(folder: Folder, tmp_path: Path) -> None:
    folder.table(1)
    report = Migrator(tmp_path / "new.db", folder.path).check()
    assert report
    assert report.state is not None
    assert report.state.startswith("The database is at version 0, 1 migration behind")
    raw = sqlite3.connect(tmp_path / "new.db")
    raw.execute("CREATE TABLE there (a)")
    raw.close()
    assert "table there (a): in the database only" in str(Migrator(tmp_path / "new.db", folder.path).check())


def test_names_are_passed_over(migrator: Migrator, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "library.db") as raw:
        raw.executescript(
            "CREATE TABLE audit_log (a); ALTER TABLE books ADD COLUMN legacy; CREATE INDEX h ON books (id)"
        )
    assert len(migrator.check().differences) == 3
    assert migrator.check(ignore=["audit_*", "books.legacy", "h"])
    assert len(migrator.check(ignore=["audit_*"]).differences) == 2
    # A text alone is one pattern, and its star does not hide all.
    assert len(migrator.check(ignore="audit_*").differences) == 2
    with pytest.raises(ConfigurationError, match="1 is no pattern of names"):
        migrator.check(ignore=[1])  # type: ignore[list-item]


def test_nothing_is_left_and_nothing_is_written(migrator: Migrator, tmp_path: Path) -> None:
    file = tmp_path / "library.db"
    migrator.db.close()
    before, there = file.read_bytes(), sorted(path.name for path in tmp_path.iterdir())
    migrator.check(library(more=[Column("isbn", Text)]))
    migrator.db.close()
    assert file.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == there


def test_the_applications_own_connections_make_the_scratch_databases(folder: Folder, tmp_path: Path) -> None:
    """Functions, collations and attached files, which the schema may use."""
    engine = create_engine(f"sqlite:///{tmp_path / 'own.db'}")

    @event.listens_for(engine, "connect")
    def equip(raw: Any, _: object) -> None:
        raw.create_function("shout", 1, str.upper, deterministic=True)
        raw.create_collation("backwards", lambda a, b: (a < b) - (a > b))
        raw.execute(f"ATTACH '{tmp_path / 'aside.db'}' AS aside")

    metadata = MetaData()
    Table(
        "t",
        metadata,
        Column("a", Text(collation="backwards")),
        CheckConstraint("shout(a) <> 'NO'"),
        Index("ix_a", "a"),
    )
    Table("log", metadata, Column("id", Integer, primary_key=True), schema="aside")
    folder.add(1, """self.execute_sql("CREATE TABLE t (a TEXT COLLATE backwards CHECK (shout(a) <> 'NO'))")""")
    folder.add(2, 'self.execute_sql("CREATE INDEX ix_a ON t (a)")')
    folder.add(3, 'self.execute_sql("CREATE TABLE aside.log (id INTEGER PRIMARY KEY)")')
    migrator = Migrator(engine, folder.path)
    migrator.migrate()
    assert migrator.check(metadata)
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE aside.log ADD COLUMN note")
    assert told_of(migrator, metadata) == ["column aside.log.note: in the database only"]


def told_of(migrator: Migrator, metadata: MetaData) -> list[str]:
    return [str(found) for found in migrator.check(metadata).between("migrations", "database")]


@pytest.mark.parametrize("kind", ["memory", "connection"])
def test_other_ways_to_be_connected(folder: Folder, kind: str) -> None:
    folder.table(1)
    engine = create_engine("sqlite://")
    Migrator(engine, folder.path).migrate()
    if kind == "memory":
        assert Migrator(engine, folder.path).check()
        return
    with engine.connect() as connection:
        assert Migrator(connection, folder.path).check()


@pytest.mark.parametrize("file", [True, False])
def test_asynchronous_engines(migrator: Migrator, tmp_path: Path, file: bool) -> None:
    async def checked() -> list[str]:
        engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path / 'library.db' if file else ''}")
        ours = Migrator(engine, migrator.manager.sources.folders[0])
        await ours.migrate_async()
        report = await ours.check_async(library(more=[Column("isbn", Text)]))
        await engine.dispose()
        return [str(found) for found in report.differences]

    assert asyncio.run(checked()) == [
        "column books.isbn TEXT: in the models only",
        "column books.isbn TEXT: in the models only",
    ]


def test_revisions_of_alembics(tmp_path: Path) -> None:
    project = AlembicProject(tmp_path / "alembic")
    project.table("authors", None)
    project.table("pages", "authors")
    migrator = AlembicMigrator(tmp_path / "alembic.db", project.path)
    migrator.migrate()
    metadata = MetaData()
    for name in ("authors", "pages"):
        Table(name, metadata, Column("id", Integer, primary_key=True), Column("n", Text))
    assert migrator.check(metadata)
    project.add("later", "pages", "def upgrade():\n    op.drop_table('pages')\n")
    report = AlembicMigrator(tmp_path / "alembic.db", project.path).check(metadata)
    assert [str(found) for found in report.differences] == ["table pages (id, n): in the models only"]


# Bad input


def test_migrations_that_fail_on_an_empty_database(migrator: Migrator, folder: Folder) -> None:
    folder.add(4, 'if not self.db.fetch_one("SELECT 1 FROM authors"): raise ValueError("no author")')
    with pytest.raises(CheckImpossible, match=r"(?s)fail on an empty database.*no author.*new installation"):
        migrator.check(library())


def test_models_that_sqlite_cannot_hold(migrator: Migrator) -> None:
    with pytest.raises(
        ConfigurationError, match=r"(?s)sqlite cannot hold.*table 'books', column 'extra'\): can't render"
    ):
        migrator.check(library(more=[Column("extra", ARRAY(Integer))]))


def test_models_that_cannot_be_created(migrator: Migrator) -> None:
    metadata = library(more=[Index("ix_gone", text("gone"))])
    with pytest.raises(ConfigurationError, match=r"(?s)cannot be created in an empty sqlite.*gone.*by: CREATE INDEX"):
        migrator.check(metadata)


def test_no_models(migrator: Migrator) -> None:
    with pytest.raises(ConfigurationError, match=r"(?s)models have no tables.*imported"):
        migrator.check(MetaData())
    assert len(migrator.check(MetaData(), allow_empty=True).between("models", "migrations")) == 2
    with pytest.raises(ConfigurationError, match="cannot be the models"):
        migrator.check(42)


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Writes a module of models that can be imported from the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    made: list[str] = []

    def write(name: str, source: str) -> None:
        (tmp_path / f"{name}.py").write_text(source)
        made.append(name)

    yield write
    for name in made:
        sys.modules.pop(name, None)


MODELS = """from sqlalchemy import *
metadata = MetaData()
Table("t1", metadata, Column("id", Integer, primary_key=True), Column("n", Text))
"""


def test_models_by_name(module: Any) -> None:
    module("shop_models", MODELS + "class Base:\n    metadata = metadata\n")
    for where in ("shop_models:metadata", "shop_models:Base", "shop_models"):
        assert list(load_models(where).tables) == ["t1"]


PROXY = """
class Proxy:
    def __getattr__(self, name):
        raise RuntimeError("outside of a request")
request = Proxy()
"""


def test_models_beside_a_proxy_of_a_web_framework(module: Any) -> None:
    module("shop_models", MODELS + PROXY)
    assert list(load_models("shop_models").tables) == ["t1"]
    with pytest.raises(ConfigurationError, match="no MetaData"):
        load_models("shop_models:request")


def test_models_that_are_named_twice(module: Any, folder: Folder, tmp_path: Path) -> None:
    """Each module is named for what it defines, and both have one base."""
    module("shop_models", MODELS)
    module("more_models", "from shop_models import *\nTable('t2', metadata, Column('id', Integer, primary_key=True))\n")
    folder.add(1, 'self.execute_sql("CREATE TABLE t1 (id INTEGER PRIMARY KEY, n TEXT)")')
    report = Migrator(tmp_path / "t.db", folder.path).check(["shop_models:metadata", "more_models:metadata"])
    assert [found.text for found in report.differences] == ["table t2 (id): in the models only"]


@pytest.mark.parametrize(
    ("source", "where", "said"),
    [
        ("", "nowhere_models:Base", "there is no module nowhere_models"),
        (MODELS, "shop_models.metadata", "write it so: shop_models:metadata"),
        ("import nowhere_at_all", "shop_models:Base", "(?s)No module named 'nowhere_at_all'.*line 1"),
        ("\ndef f(:", "shop_models:Base", r"SyntaxError: invalid syntax \(.*shop_models\.py, line 2\)"),
        ("import sys\nsys.exit(0)", "shop_models:Base", r"(?s)cannot be imported.*SystemExit: 0 \(.*line 2\)"),
        ("x = 1\n1 / 0", "shop_models:Base", r"(?s)ZeroDivisionError.*line 2"),
        (MODELS, "shop_models:metdata", "Did you mean shop_models:metadata?"),
        (MODELS, "shop_models:Table", "no MetaData"),
        ("x = 1", "shop_models", "the module has 0 MetaData"),
        (MODELS + "other = MetaData()", "shop_models", "(?s)has 2 MetaData.*shop_models:metadata, shop_models:other"),
        ("", "shop models:Base", "names no models"),
        ("", ":Base", "names no models"),
    ],
)
def test_models_that_are_not_there(module: Any, source: str, where: str, said: str) -> None:
    module("shop_models", source)
    with pytest.raises(ConfigurationError, match=said):
        load_models(where)


# The command


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["check", *arguments])


@pytest.fixture
def project(module: Any, folder: Folder, tmp_path: Path) -> Path:
    folder.table(1)
    module("shop_models", MODELS)
    (tmp_path / "pyproject.toml").write_text(
        f'[tool.sqlmig]\nurl = "sqlite:///shop.db"\npath = "{folder.path}"\nmodels = "shop_models:metadata"\n'
    )
    return tmp_path


def test_the_command_before_there_is_a_database(project: Path) -> None:
    result = run()
    assert result.exit_code == 0, result.output
    said = f"{project / 'shop.db'} (not there yet): compared are the models and the migrations alone."
    assert result.output.splitlines() == [said, "models and migrations agree"]
    assert json.loads(run("--json").output)["state"] == said
    assert not (project / "shop.db").exists()


def test_the_command_refuses_a_database_that_is_not_there_without_models(project: Path) -> None:
    (project / "pyproject.toml").write_text((project / "pyproject.toml").read_text().replace("models =", "# models ="))
    result = run("--url", "sqlite:///shpo.db")
    assert result.exit_code == 2
    assert result.output.splitlines() == [
        "There is nothing to compare.",
        "  shpo.db (not there yet), and no models were named",
        "Look at the URL; make it by: sqlmig up; or name the models: sqlmig check --models app.models:Base",
    ]
    assert "error" in json.loads(run("--url", "sqlite:///shpo.db", "--json").output)
    assert not (project / "shpo.db").exists()


def test_the_command_tells_and_fails(project: Path) -> None:
    (project / "shop_models.py").write_text(MODELS + "Table('t2', metadata, Column('n', Integer))")
    sys.modules.pop("shop_models", None)
    result = run("--no-database")
    assert result.exit_code == 1
    assert result.output.splitlines() == [
        "models and migrations differ:",
        "  table t2 (n): in the models only",
        'What the models want is written as a migration by: sqlmig new --auto "what it changes"',
    ]
    told = json.loads(run("--no-database", "--json").output)
    assert told["clean"] is False
    assert told["comparisons"][0]["findings"][0]["kind"] == "table"
    assert run("--no-database", "--ignore", "t2").exit_code == 0


def test_the_command_with_nothing_to_compare(project: Path) -> None:
    (project / "pyproject.toml").write_text("[tool.sqlmig]\nurl = 'sqlite:///shop.db'\n")
    result = run("--no-database")
    assert result.exit_code == 2
    assert "Name them" in result.output
