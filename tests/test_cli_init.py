"""sqlmig init and completion: from nothing, from a database and from models to a project that migrates."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from check_support import server_of_its_own
from click.testing import CliRunner, Result
from conftest import Folder
from sqlalchemy import create_engine

from sqlmig import Migrator
from sqlmig.cli.app import app

LIBRARY = (
    "CREATE TABLE authors (id INTEGER PRIMARY KEY, name VARCHAR(80) NOT NULL)",
    "CREATE TABLE books (id INTEGER PRIMARY KEY, author INTEGER NOT NULL, title VARCHAR(80) DEFAULT 'none',"
    " CONSTRAINT fk_author FOREIGN KEY (author) REFERENCES authors (id) ON DELETE CASCADE)",
    "CREATE INDEX ix_title ON books (title)",
    "CREATE VIEW titles AS SELECT title FROM books",
)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "project"
    home.mkdir()
    monkeypatch.chdir(home)
    monkeypatch.delenv("SQLMIG_URL", raising=False)
    return home


def invoke(*words: str) -> Result:
    return CliRunner().invoke(app, list(words))


def run(url: str, *statements: str) -> None:
    engine = create_engine(url)
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
    engine.dispose()


def listing(home: Path) -> set[str]:
    return {str(path.relative_to(home)) for path in home.rglob("*") if path.is_file()}


def test_on_an_empty_folder(home: Path) -> None:
    done = invoke("init")
    assert done.exit_code == 0, done.output
    assert 'sqlmig new "initial schema"' in done.stdout
    assert listing(home) == {"pyproject.toml"}
    assert (home / "migrations/versions").is_dir()
    found = tomllib.loads((home / "pyproject.toml").read_text())["tool"]["sqlmig"]
    assert found == {"url": "sqlite:///app.db", "path": "migrations/versions"}
    assert invoke("new", "initial", "schema").exit_code == 0
    again = invoke("init")
    assert (again.exit_code, "configured already" in again.stderr) == (2, True)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql", "mariadb"])
def test_from_a_database(kind: str, home: Path, tmp_path: Path) -> None:
    with server_of_its_own(kind, tmp_path) as place:
        url = place.look.url.set(drivername=place.kind.driver).render_as_string(hide_password=False)
        place.run(*LIBRARY, "INSERT INTO authors VALUES (1, 'Ada')")
        before = place.contents()
        done = invoke("init", "--url", url, "--json")
        assert done.exit_code == 0, done.output
        assert Path(json.loads(done.stdout)["migration"]).name == "001_initial_schema.py"
        assert place.contents() == before
        assert invoke("stamp", "1").exit_code == 0
        agreed = invoke("check")
        assert (agreed.exit_code, agreed.stdout) == (0, "migrations and database agree\n")
        assert place.rows("SELECT id, name FROM authors") == [(1, "Ada")]
    with server_of_its_own(kind, tmp_path / "..") as place:
        assert place.migrator(Folder(home / "migrations/versions")).migrate().applied == [1]
        # A database that the migration made takes what the first one took.
        place.run("INSERT INTO authors VALUES (1, 'Ada')", "INSERT INTO books (id, author) VALUES (1, 1)")
        place.run("DELETE FROM books")
        assert place.rows("SELECT title FROM titles") == []


MODELS = """
from sqlalchemy import Column, Integer, MetaData, String, Table
metadata = MetaData()
Table("people", metadata, Column("id", Integer, primary_key=True), Column("name", String(40)))
"""


def test_from_models(home: Path) -> None:
    (home / "app_models.py").write_text(MODELS)
    (home / "pyproject.toml").write_bytes(b'[project]\r\nname = "caf\xc3\xa9"\r\nversion = "1"')
    command = [sys.executable, "-m", "sqlmig", "init", "--models", "app_models:metadata"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=home)
    assert done.returncode == 0, done.stderr
    assert "Read it, then: sqlmig up" in done.stdout
    text = (home / "pyproject.toml").read_bytes()
    assert text.startswith(b'[project]\r\nname = "caf\xc3\xa9"\r\nversion = "1"\r\n\r\n[tool.sqlmig]\r\n')
    assert text.count(b"\n") == text.count(b"\r\n")
    assert tomllib.loads(text.decode())["tool"]["sqlmig"]["models"] == "app_models:metadata"
    for words in (["up"], ["check"]):
        assert subprocess.run([sys.executable, "-m", "sqlmig", *words], cwd=home, capture_output=True).returncode == 0


def test_what_is_refused_leaves_nothing(home: Path) -> None:
    run("sqlite:///alembic.db", "CREATE TABLE alembic_version (version_num TEXT)")
    run("sqlite:///known.db", "CREATE TABLE t (id INTEGER)")
    other = home.parent / "other"
    other.mkdir()
    (other / "001_first.sql").write_text("-- sqlmig: up\nCREATE TABLE u (id INTEGER);\n")
    Migrator("sqlite:///known.db", other).migrate()
    before = listing(home)
    for url, said in (
        ("sqlite:///alembic.db", "sqlmig import-alembic"),
        ("sqlite:///known.db", "is at version 1 already"),
        ("nosuch://host/database", "nosuch"),
    ):
        refused = invoke("init", "--url", url)
        assert (refused.exit_code, said in refused.stderr) == (2, True), refused.output
        assert listing(home) == before
        assert not (home / "migrations").exists()
    assert invoke("init", "--models", "nowhere:metadata").exit_code == 2
    assert listing(home) == before
    (home / "pyproject.toml").write_text("[tool\n")
    assert invoke("init").exit_code == 2
    assert (home / "pyproject.toml").read_text() == "[tool\n"


def test_a_folder_of_migrations_that_is_there_is_taken(home: Path) -> None:
    other = home / "versions"
    other.mkdir()
    (other / "001_first.sql").write_text("-- sqlmig: up\nCREATE TABLE u (id INTEGER);\n")
    done = invoke("init", "--path", "versions")
    assert (done.exit_code, "There are migrations already" in done.stdout) == (0, True)
    assert listing(home) == {"pyproject.toml", "versions/001_first.sql"}
    assert "Applied 1 migration" in invoke("up").stdout


@pytest.mark.parametrize("given", [{"password": "secret"}, {"query": {"password": "secret"}}], ids=["part", "option"])
def test_a_password_is_not_written_down(home: Path, tmp_path: Path, given: dict[str, Any]) -> None:
    with server_of_its_own("postgresql", tmp_path) as place:
        url = place.look.url.set(drivername="postgresql+psycopg", **given)
        done = invoke("init", "--url", url.render_as_string(hide_password=False))
    assert done.exit_code == 0, done.output
    assert "SQLMIG_URL" in done.stdout
    assert "secret" not in (home / "pyproject.toml").read_text() + done.output


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell: str) -> None:
    assert "_SQLMIG_COMPLETE" in invoke("completion", shell).stdout
    assert invoke("completion", "tcsh").exit_code == 2


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
def test_bash_completes_commands(home: Path) -> None:
    """What the shell itself would be told at `sqlmig re<TAB>`."""
    script = invoke("completion", "bash").stdout
    typed = 'COMP_WORDS=(sqlmig re) COMP_CWORD=1; _sqlmig_completion sqlmig; echo "${COMPREPLY[@]}"'
    place = str(Path(sys.executable).parent)
    shown = subprocess.run(
        ["bash", "-c", f"PATH={place}:$PATH\n{script}\n{typed}"], capture_output=True, text=True, cwd=home
    )
    assert set(shown.stdout.split()) >= {"redo", "rehearse", "repair", "restore"}, shown.stderr


@pytest.mark.parametrize("text", ["[tool.sqlmig]\n", "tool = 3\n", "tool = {a = 1}\n"])
def test_a_file_that_takes_no_table_is_left_as_it_is(home: Path, text: str) -> None:
    (home / "pyproject.toml").write_text(text)
    refused = invoke("init", "--url", "sqlite:///new.db")
    assert refused.exit_code == 2
    assert "pyproject.toml takes no [tool.sqlmig]; nothing was written." in refused.stderr
    assert ([path.name for path in home.iterdir()], (home / "pyproject.toml").read_text()) == (["pyproject.toml"], text)
