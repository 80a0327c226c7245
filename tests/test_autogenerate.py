"""What is written from models: each kind of change, what it loses, what was renamed, and when nothing is written."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from check_support import server_of_its_own
from click.testing import CliRunner, Result
from conftest import Folder
from sqlalchemy import (
    CheckConstraint,
    Column,
    Computed,
    Enum,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Numeric,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects import mysql

from sqlmig import MigrationFailed, Migrator, NewMigration, RenameImpossible, RenameQuestion, RenameUnclear
from sqlmig.cli.app import app

AUTHORS = "CREATE TABLE authors (id INTEGER NOT NULL PRIMARY KEY, name VARCHAR(80) NOT NULL, born TEXT)"
BOOKS = (
    "CREATE TABLE books (id INTEGER NOT NULL PRIMARY KEY, title VARCHAR(200) NOT NULL,"
    " author INTEGER REFERENCES authors (id), CONSTRAINT ck_title CHECK (title <> ''))"
)
INDEX = "CREATE INDEX ix_title ON books (title)"


class Shout(TypeDecorator[str]):
    """A type of the application's own."""

    impl = String(40)
    cache_ok = True


def models(*more: Any, authors: tuple[Any, ...] | None = None, books: tuple[Any, ...] | None = None) -> MetaData:
    metadata = MetaData()
    Table(
        "authors",
        metadata,
        Column("id", Integer, primary_key=True),
        *(authors if authors is not None else (Column("name", String(80), nullable=False), Column("born", Text))),
    )
    if books != ():
        Table(
            "books",
            metadata,
            Column("id", Integer, primary_key=True),
            *(books or (Column("title", String(200), nullable=False),)),
            Column("author", ForeignKey("authors.id")),
            CheckConstraint("title <> ''", name="ck_title"),
            Index("ix_title", "title"),
        )
    for make in more:
        make(metadata)
    return metadata


@pytest.fixture
def migrator(folder: Folder, tmp_path: Path) -> Migrator:
    for number, statement in enumerate((AUTHORS, BOOKS, INDEX), 1):
        folder.add(number, f'self.execute_sql("{statement}")')
    made = Migrator(tmp_path / "library.db", folder.path)
    made.migrate()
    made.db.execute("INSERT INTO authors (id, name, born) VALUES (1, 'Ada', '1815')")
    made.db.execute("INSERT INTO books (id, title, author) VALUES (1, 'Notes', 1)")
    return made


def written(made: NewMigration) -> str:
    assert made.path is not None
    text = made.path.read_text()
    assert text == made.source
    return text


def rows(migrator: Migrator) -> list[Any]:
    return [[tuple(row) for row in migrator.db.fetch_all(f"SELECT * FROM {name}")] for name in ("authors", "books")]


def followed(migrator: Migrator, metadata: MetaData, **options: Any) -> str:
    """The file, once the database has followed it there, back and there again without another row gone."""
    before = rows(migrator)
    made = migrator.create_migration("what the models want", metadata, **options)
    assert made, str(made)
    source = written(made)
    assert migrator.migrate().applied == [4]
    assert migrator.check(metadata), str(migrator.check(metadata))
    if not made.removes:
        migrator.rollback_to_version(3)
        assert rows(migrator) == before
        assert not migrator.check().differences
        migrator.migrate()
    assert migrator.check(metadata)
    assert migrator.db.fetch_one("SELECT count(*) FROM authors")[0] == 1
    return source


def more_books(*columns: Any) -> MetaData:
    return models(books=(Column("title", String(200), nullable=False), *columns))


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        (
            lambda: more_books(Column("language", String(8), server_default="en")),
            'self.add_column("books", Column("language", String(8), server_default="en"))',
        ),
        (lambda: more_books(Column("price", Numeric(10, 2))), "Numeric(10, 2)"),
        (
            lambda: more_books(Column("kind", Enum("novel", "essay", name="kind"))),
            'Enum("novel", "essay", name="kind")',
        ),
        (lambda: more_books(Column("cry", Shout)), 'Column("cry", String(40))'),
        (lambda: more_books(Column("loud", Text, Computed("upper(title)"))), "Computed("),
        (
            lambda: models(books=(Column("title", Text, nullable=False),)),
            'alter_column("books", "title", type_=Text)',
        ),
        (lambda: models(books=(Column("title", String(200)),)), "nullable=True"),
        (
            lambda: models(books=(Column("title", String(200), nullable=False, server_default="?"),)),
            'alter_column("books", "title", server_default="?")',
        ),
        (
            lambda: more_books(UniqueConstraint("title", name="uq_title")),
            'create_unique("books", "uq_title", ["title"])',
        ),
        (lambda: more_books(CheckConstraint("id > 0", name="ck_id")), 'create_check("books", "ck_id", "id > 0")'),
        (
            lambda: more_books(Index("ix_lower", text("lower(title)"), sqlite_where=text("id > 5"))),
            "lower(title)",
        ),
        (
            lambda: models(lambda metadata: Table("tags", metadata, Column("name", String(20), primary_key=True))),
            'self.create_table("tags"',
        ),
    ],
)
def test_each_kind_of_change(migrator: Migrator, metadata: Callable[[], MetaData], said: str) -> None:
    source = followed(migrator, metadata())
    assert said in source, source
    assert "removes" not in source


def test_what_is_written_needs_nothing_of_the_application(migrator: Migrator, tmp_path: Path) -> None:
    source = written(migrator.create_migration("own types", more_books(Column("cry", Shout))))
    assert "Shout" not in source
    names = [line for line in source.splitlines() if line.startswith(("import ", "from "))]
    assert all(line.split()[1] in ("__future__", "sqlalchemy", "sqlmig") for line in names)
    checked = subprocess.run(
        [sys.executable, "-m", "ruff", "format", "--check", "--isolated", "--line-length", "88", "-"],
        input=source,
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr + source


def test_what_goes_is_said_to_go(migrator: Migrator) -> None:
    metadata = models(authors=(Column("name", String(80), nullable=False),), books=())
    made = migrator.create_migration("less", metadata)
    assert made.removes == ["authors.born", "books"]
    source = written(made)
    assert 'removes = ["authors.born", "books"]' in source
    # Children before their parents, and made again in the other order.
    assert [str(loss) for loss in migrator.migrate().losses] == ["drop authors.born (1 value)", "drop books (1 row)"]
    assert migrator.check(metadata)
    migrator.rollback_to_version(3)
    assert not migrator.check().differences
    assert migrator.db.fetch_all("SELECT * FROM books") == []


def test_tables_that_refer_to_each_other(migrator: Migrator) -> None:
    def circle(metadata: MetaData) -> None:
        Table(
            "left",
            metadata,
            Column("id", Integer, primary_key=True),
            Column("other", ForeignKey("right.id", name="fk_left", use_alter=True)),
        )
        Table(
            "right",
            metadata,
            Column("id", Integer, primary_key=True),
            Column("other", ForeignKey("left.id", name="fk_right")),
            Column("own", ForeignKey("right.id", name="fk_own")),
        )

    followed(migrator, models(circle))


def test_a_column_that_rows_cannot_fill_is_told(migrator: Migrator) -> None:
    made = migrator.create_migration("isbn", more_books(Column("isbn", String(13), nullable=False)))
    assert made
    assert any("books.isbn" in warning for warning in made.warnings)
    assert "books.isbn" in written(made)
    before = rows(migrator)
    with pytest.raises(MigrationFailed, match="isbn of books would be NULL in every row"):
        migrator.migrate()
    assert rows(migrator) == before


def test_there_is_nothing_to_write(migrator: Migrator, folder: Folder) -> None:
    files = sorted(folder.path.iterdir())
    made = migrator.create_migration("nothing", models())
    assert made
    assert made.path is None
    assert "nothing to write" in str(made)
    assert migrator.create_migration("x", more_books(Column("isbn", Text)), ignore=["books.isbn"]).path is None
    assert sorted(folder.path.glob("*.py")) == [file for file in files if file.suffix == ".py"]


# What was renamed


def renamed() -> MetaData:
    return models(authors=(Column("full_name", String(80), nullable=False), Column("born", Text)))


def test_a_renamed_column_keeps_its_values(migrator: Migrator) -> None:
    source = followed(migrator, renamed(), rename=["authors.name:full_name"])
    assert 'self.rename_column("authors", "name", "full_name")' in source
    assert migrator.db.fetch_one("SELECT full_name FROM authors")[0] == "Ada"


def test_a_renamed_table_with_a_renamed_and_retyped_column(migrator: Migrator) -> None:
    metadata = MetaData()
    Table(
        "writers",
        metadata,
        Column("id", Integer, primary_key=True),
        Column("label", Text, nullable=False),
        Column("born", Text),
    )
    Table(
        "books",
        metadata,
        Column("id", Integer, primary_key=True),
        Column("title", String(200), nullable=False),
        Column("author", ForeignKey("writers.id")),
        CheckConstraint("title <> ''", name="ck_title"),
        Index("ix_title", "title"),
    )
    made = migrator.create_migration("writers", metadata, rename=["authors:writers", "writers.name:label"])
    assert made, str(made)
    assert made.removes == []
    migrator.migrate()
    assert migrator.check(metadata)
    assert tuple(migrator.db.fetch_one("SELECT label, born FROM writers") or ()) == ("Ada", "1815")
    migrator.rollback_to_version(3)
    assert not migrator.check().differences
    assert rows(migrator) == [[(1, "Ada", "1815")], [(1, "Notes", 1)]]


def test_what_is_not_said_is_not_guessed(migrator: Migrator, folder: Folder) -> None:
    with pytest.raises(RenameUnclear, match=r"--rename authors\.name:full_name, or --drop authors\.name"):
        migrator.create_migration("names", renamed())
    asked: list[RenameQuestion] = []
    made = migrator.create_migration("names", renamed(), ask=lambda question: asked.append(question))  # type: ignore[func-returns-value]
    assert [(question.name, question.candidates) for question in asked] == [("authors.name", ("full_name",))]
    assert made.removes == ["authors.name"]


@pytest.mark.parametrize(
    ("rename", "said"),
    [
        ("authors.nam:full_name", "authors"),
        ("authors.name:fullname", "full_name"),
        ("authors.born:full_name", "born"),
        ("author:writers", "author"),
        ("authors.name", "old:new"),
        ("authors.name:", "authors.name"),
    ],
)
def test_renames_that_cannot_be(migrator: Migrator, folder: Folder, rename: str, said: str) -> None:
    with pytest.raises(RenameImpossible, match=said):
        migrator.create_migration("names", renamed(), rename=[rename])
    assert len(list(folder.path.glob("*.py"))) == 3


def test_names_that_are_exchanged_are_no_difference_and_it_is_told(migrator: Migrator, folder: Folder) -> None:
    metadata = models(authors=(Column("born", String(80), nullable=False), Column("name", Text)))
    with pytest.raises(
        RenameImpossible, match=r"(?s)still have the column authors\.name.*self\.rename_column\(\.\.\.\)"
    ):
        migrator.create_migration("exchange", metadata, rename=["authors.name:born", "authors.born:name"])
    assert len(list(folder.path.glob("*.py"))) == 3


def test_what_has_no_operation_is_told_with_what_to_do(migrator: Migrator, folder: Folder) -> None:
    def strict(*columns: Any) -> MetaData:
        metadata = models()
        metadata.remove(metadata.tables["authors"])
        born, name = Column("born", Text), Column("name", Text, nullable=False)
        table = ("authors", metadata, Column("id", Integer, primary_key=True), name, born, *columns)
        Table(*table, sqlite_strict=True)
        return metadata

    folder.add(4, 'self.alter_column("authors", "name", type_="TEXT")')
    none = migrator.create_migration("strict", strict())
    assert (none.path, bool(none)) == (None, False)
    lines = str(none).splitlines()
    assert lines[-2].strip() == "table authors: STRICT in the models, a plain table in the migrations"
    assert 'sqlmig new "what it does"' in lines[-1]
    assert lines[-1].endswith("--ignore authors")
    half = migrator.create_migration("strict", strict(Column("died", Text)))
    assert not half
    assert "Write the rest by hand, into the file" in str(half)
    assert half.source.startswith('"""strict."""\n\n# Not all could be expressed.')
    assert migrator.create_migration("strict", strict(Column("died", Text)), ignore=["authors"]).path is None


# The command

SOURCE = """from sqlalchemy import *
metadata = MetaData()
Table("authors", metadata, Column("id", Integer, primary_key=True), Column("{column}", String(80), nullable=False))
"""


@pytest.fixture
def project(folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder.add(1, 'self.execute_sql("CREATE TABLE authors (id INTEGER PRIMARY KEY, name VARCHAR(80) NOT NULL)")')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "auto_models.py").write_text(SOURCE.format(column="full_name"))
    (tmp_path / "pyproject.toml").write_text(f'[tool.sqlmig]\npath = "{folder.path}"\nmodels = "auto_models"\n')
    yield tmp_path
    sys.modules.pop("auto_models", None)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["new", "names in full", *arguments])


def test_the_command(project: Path, folder: Folder) -> None:
    unclear = run("--auto")
    assert unclear.exit_code == 2
    assert "--rename authors.name:full_name" in unclear.stderr
    assert not (folder.path / "002_names_in_full.py").exists()
    told = json.loads(run("--auto", "--rename", "authors.name:full_name", "--json").output)
    assert (told["clean"], told["version"], told["removes"]) == (True, 2, [])
    assert Path(told["path"]) == folder.path / "002_names_in_full.py"
    again = run("--auto")
    assert again.exit_code == 0
    assert "nothing to write" in again.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--rename", "a:b"], "belong to --auto"),
        (["--auto", "--sql"], "two kinds of files"),
        (["--auto", "--models", "nowhere_models:Base"], "no module nowhere_models"),
    ],
)
def test_calls_that_cannot_be_meant(project: Path, folder: Folder, arguments: list[str], said: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert said in result.stderr
    assert len(list(folder.path.glob("*.py"))) == 1


def test_models_without_tables_drop_nothing_unless_told_so(project: Path, folder: Folder) -> None:
    (project / "auto_models.py").write_text("from sqlalchemy import MetaData\nmetadata = MetaData()\n")
    result = run("--auto")
    assert result.exit_code == 2
    assert "have no tables" in result.stderr
    assert len(list(folder.path.glob("*.py"))) == 1
    assert run("--auto", "--allow-empty").exit_code == 0
    assert 'removes = ["authors"]' in (folder.path / "002_names_in_full.py").read_text()


@pytest.mark.parametrize(
    ("typed", "code", "said"),
    [("1\n", 0, 'rename_column("authors", "name", "full_name")'), ("0\n", 0, "removes"), ("\x03", 1, None)],
)
def test_at_a_terminal_it_is_asked(project: Path, folder: Folder, typed: str, code: int, said: str | None) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "sqlmig", "new", "names in full", "--auto"]
    process = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, cwd=project, start_new_session=True, close_fds=True,
        preexec_fn=lambda: _own_terminal(0),
    )  # fmt: skip
    os.close(theirs)
    seen = _read_until(ours, b"Which")
    assert b"The models have no column authors.name any more." in seen
    assert b"1  it is called full_name now" in seen
    os.write(ours, typed.encode())
    # One that comes just before Python reads is noticed with the next key only.
    seen += _read_until(ours, None, again=b"\x03" if typed == "\x03" else b"")
    assert process.wait(timeout=60) == code, seen.decode()
    os.close(ours)
    file = folder.path / "002_names_in_full.py"
    assert file.exists() == (said is not None)
    if said is not None:
        assert said in file.read_text()


def _own_terminal(file: int) -> None:
    import fcntl
    import termios

    fcntl.ioctl(file, termios.TIOCSCTTY, 0)


def test_a_type_of_mysqls_that_needs_its_length(folder: Folder, tmp_path: Path) -> None:
    metadata = MetaData()
    Table("t", metadata, Column("id", Integer, primary_key=True), Column("hash", mysql.VARBINARY(20)))
    with server_of_its_own("mariadb", tmp_path) as server:
        migrator = server.migrator(folder)
        assert "VARBINARY(20)" in str(migrator.create_migration("hashes", metadata).source)
        migrator.migrate()
        assert migrator.check(metadata)


def _read_until(file: int, wanted: bytes | None, *, again: bytes = b"") -> bytes:
    """What comes until then, or until the end; *again* is typed where nothing comes for a while."""
    seen = b""
    while wanted is None or wanted not in seen:
        try:
            if again and not select.select([file], [], [], 2)[0]:
                os.write(file, again)
                continue
            part = os.read(file, 4096)
        except OSError:
            return seen
        if not part:
            return seen
        seen += part
    return seen
