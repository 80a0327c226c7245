"""The command line: what it does, what it prints, and how it ends."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from conftest import Folder, contents
from native_databases import server_url
from sqlalchemy import create_engine

import sqlmig
from sqlmig.cli.app import app

Invoke = Callable[..., Result]


@pytest.fixture
def invoke(folder: Folder, url: str) -> Invoke:
    """Call `sqlmig ... --url URL --path FOLDER`."""

    def call(*words: str, input: str = "") -> Result:
        return CliRunner().invoke(app, [*words, "--url", url, "--path", str(folder.path)], input=input)

    return call


def test_up_down_and_to(invoke: Invoke, folder: Folder, url: str) -> None:
    for version in (1, 2, 3):
        folder.table(version)
    done = invoke("up")
    assert (done.exit_code, done.stdout.splitlines()[:3]) == (0, ["  applied 001", "  applied 002", "  applied 003"])
    assert "Applied 3 migrations: version 0 -> 3" in done.stdout
    assert "Nothing to do: the database is at version 3." in invoke("up", "--all-or-nothing").stdout
    refused = invoke("down")
    assert refused.exit_code == 1
    assert "would 003  drop t3 (1 row)" in refused.stderr
    assert "say so: --yes" in refused.stderr
    assert "would 003" in invoke("to", "0", input="n\n").stderr
    assert "rolled back 003" in invoke("down", input="y\n").stdout
    assert json.loads(invoke("down", "2", "--json", "--yes").stdout)["rolled_back"] == [2, 1]
    assert "Nothing to do" in invoke("down").stdout
    assert json.loads(invoke("to", "2", "--json").stdout)["applied"] == [1, 2]
    assert "Rolled back 1 migration: version 2 -> 1" in invoke("to", "1", "--yes").stdout
    assert set(contents(create_engine(url))["rows"]) == {"t1"}


def test_one_by_one_where_all_or_nothing_is_configured(
    folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.add(1, "self.execute_sql('VACUUM')", extra="transactional = False")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SQLMIG_URL", raising=False)
    (tmp_path / "pyproject.toml").write_text(
        '[tool.sqlmig]\nurl = "sqlite:///app.db"\npath = "versions"\nall_or_nothing = true\n'
    )
    refused = CliRunner().invoke(app, ["up"])
    assert refused.exit_code == 1
    assert "sqlmig up --one-by-one" in refused.stderr
    assert CliRunner().invoke(app, ["up", "--one-by-one"]).exit_code == 0


def test_rehearse(invoke: Invoke, folder: Folder, tmp_path: Path) -> None:
    folder.table(1)
    shown = invoke("rehearse")
    assert (shown.exit_code, list(tmp_path.glob("*.db"))) == (0, [])
    assert "restores the schema" in shown.stdout
    assert "+ table t1" in shown.stdout
    assert "version 0 -> 1 went well" in shown.stdout
    folder.add(2, 'self.execute_sql("CREATE INDEX ix ON t1 (n)")', "pass")
    shown = invoke("rehearse")
    assert shown.exit_code == 1
    assert "! rolling it back leaves the schema otherwise: + index ix" in shown.stdout
    assert invoke("rehearse", "1").exit_code == 0
    done = invoke("up", "--rehearse")
    assert done.exit_code == 0
    assert "rolling it back leaves the schema otherwise" in done.stdout
    folder.add(3, "raise ValueError")
    failed = invoke("rehearse", "--json")
    assert failed.exit_code == 1
    found = json.loads(failed.stdout)
    assert (found["success"], found["can_migrate"], found["steps"][0]["version"]) == (False, False, 3)
    assert "ValueError" in invoke("rehearse").stderr
    refused = invoke("to", "3", "--rehearse")
    assert refused.exit_code == 1
    assert "the database itself is as it was" in refused.stderr
    assert "may need" in invoke("rehearse", "--room", "1e12", "--folder", str(tmp_path)).stderr
    assert "Nothing to rehearse" in invoke("rehearse", "2").stdout


def test_what_the_reading_commands_print(invoke: Invoke, folder: Folder) -> None:
    assert "Nothing was ever done" in invoke("history").stdout
    folder.table(1)
    folder.add(2, extra="def pre_migrate_checks(self): return False")
    invoke("to", "1")
    assert "1 pending" in invoke("status").stdout
    assert "pending   002" in invoke("status").stdout
    assert "Apply 1 migration: version 1 -> 2" in invoke("plan").stdout
    assert "001  step 1" in invoke("plan", "0").stdout
    assert [step["version"] for step in json.loads(invoke("plan", "--json").stdout)["migrations_to_apply"]] == [2]
    invoke("up")
    status = json.loads(invoke("status", "--json").stdout)
    assert (status["current_version"], status["skipped_versions"], status["needs_migration"]) == (2, [2], False)
    assert "skipped   002" in invoke("status").stdout
    newest, first = json.loads(invoke("history", "--json").stdout)["history"]
    assert (newest["operation"], first["operation"], first["success"]) == ("skip", "apply", True)
    assert first["started_at"].endswith("+00:00")
    printed = invoke("history", "--limit", "1").stdout
    assert "skip" in printed
    assert "apply" not in printed


def test_validate_ends_with_1_where_something_is_wrong(invoke: Invoke, folder: Folder) -> None:
    folder.table(1)
    assert (invoke("validate").exit_code, invoke("validate").stdout) == (0, "The migrations are fit to run.\n")
    folder.write("003_bad.py", "x = = 1\n")
    bad = invoke("validate")
    assert bad.exit_code == 1
    assert "003_bad.py:1: does not import: SyntaxError" in bad.stdout
    assert 'out_of_order="apply"' in bad.stdout
    issues = json.loads(invoke("validate", "--json").stdout)["issues"]
    assert {issue["kind"] for issue in issues} == {"import", "gap"}
    assert "issue" in invoke("status").stdout


def test_stamp_and_repair(invoke: Invoke, folder: Folder) -> None:
    path = folder.table(1)
    folder.table(2)
    assert "is recorded at version 2; nothing was run." in invoke("stamp", "2").stdout
    assert json.loads(invoke("stamp", "1", "--json").stdout) == {"version": 1}
    assert "Nothing needed repair." in invoke("repair").stdout
    path.write_text(path.read_text().replace("'row'", "'other'").replace('"row"', '"other"'))
    assert json.loads(invoke("repair", "--json").stdout) == {
        "repaired": ["the edited file of migration 1 was accepted"]
    }


def test_new_writes_a_file_that_runs_when_it_is_filled_in(invoke: Invoke, folder: Folder) -> None:
    folder.table(1)
    written = invoke("new", "add", "language", "to", "people")
    path = folder.path / "002_add_language_to_people.py"
    assert written.stdout.splitlines()[0] == str(path)
    assert json.loads(invoke("new", "3rd step", "--json").stdout)["path"].endswith("003_3rd_step.py")
    assert invoke("up").exit_code == 1
    for file in (path, folder.path / "003_3rd_step.py"):
        text = file.read_text().replace('raise NotImplementedError("write what this migration changes")', "pass")
        file.write_text(text)
    assert invoke("up").exit_code == 0
    assert invoke("new", "!?").exit_code == 2


def test_an_error_is_a_message_of_three_lines(invoke: Invoke, folder: Folder) -> None:
    folder.add(1, "self.execute_sql('SELEC 1')")
    failed = invoke("up")
    assert failed.exit_code == 1
    assert failed.stdout == ""
    assert failed.stderr.splitlines() == [
        'Migration 1 (step 1) failed: OperationalError: near "SELEC": syntax error',
        "  statement: SELEC 1",
        "  Everything that it did was undone; the database is as it was before it.",
        "Mend the migration, then run it again: sqlmig up",
    ]
    assert json.loads(invoke("up", "--json").stdout)["error"]["type"] == "MigrationFailed"
    assert "failed" in invoke("history").stdout
    shown = invoke("up", "--traceback")
    assert shown.exit_code == 1
    assert "Traceback (most recent call last)" in shown.stderr
    assert invoke("to", "9", "--traceback").exit_code == 2


def test_a_server_that_is_not_there_ends_with_1(folder: Folder) -> None:
    folder.table(1)
    url = "mysql+pymysql://u:secret@127.0.0.1:1/d"
    called = CliRunner().invoke(app, ["up", "--url", url, "--path", str(folder.path)])
    assert called.exit_code == 1
    assert "The connection to mysql+pymysql://u:***@127.0.0.1:1/d was refused or lost" in called.stderr
    assert "secret" not in called.output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["to", "9"], "There is no migration with version 9."),
        (["up", "--path", "/nowhere/at/all"], "There is no migrations folder /nowhere/at/all"),
        (["up", "--url", "nonsense://u:secret@h/d"], "No engine can be made for a URL that begins with nonsense://"),
        (["up", "--url", "mssql+pymssql://u:secret@h/d"], "its driver pymssql is not installed"),
        (["up", "--url", "postgresql+psycopg://u:secret@h:543secret/d"], "its port is not a number"),
        (["up", "--url", "postgresql+psycopg://u:p@secret@h/d"], "Write an @ of the user or the password as %40"),
        (["up", "--url", "postgresql+psycopg//u:secret@h/d"], "A URL has :// after its scheme."),
        (["down", "0"], "Invalid value"),
        (["history", "--limit", "99999999999999999999"], "Invalid value"),
        (["to", "three"], "not a valid integer"),
        (["nothing"], "No such command"),
    ],
)
def test_a_call_that_is_wrong_ends_with_2(folder: Folder, url: str, words: list[str], said: str) -> None:
    folder.table(1)
    given = [] if words == ["nothing"] else ["--url", url, "--path", str(folder.path)]
    called = CliRunner().invoke(app, [words[0], *given, *words[1:]])
    assert called.exit_code == 2
    assert said in called.stderr
    assert "secret" not in called.output


def test_the_url_comes_from_the_call_the_environment_or_the_configuration(
    folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.table(1)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SQLMIG_URL", raising=False)
    unnamed = CliRunner().invoke(app, ["up"])
    assert unnamed.exit_code == 2
    assert "No database was named." in unnamed.stderr
    (tmp_path / "pyproject.toml").write_text(
        '[tool.sqlmig]\nurl = "sqlite:///configured.db"\npath = "versions"\nlock_timeout = 5\n'
    )
    (tmp_path / "below").mkdir()
    assert CliRunner().invoke(app, ["up"]).exit_code == 0
    assert (tmp_path / "configured.db").exists()
    monkeypatch.setenv("SQLMIG_URL", "sqlite:///environment.db")
    CliRunner().invoke(app, ["up"])
    assert (tmp_path / "environment.db").exists()
    CliRunner().invoke(app, ["up", "--url", "sqlite:///called.db"])
    assert (tmp_path / "called.db").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[tool.sqlmig]\nlock_timout = 3\n", "Did you mean lock_timeout?"),
        ("[tool.sqlmig]\nxyz = 3\n", "has no option 'xyz'"),
        ("[tool.sqlmig]\npath = 3\n", "it must be text or a list"),
        ("[tool.sqlmig]\nlock_timeout = true\n", "it must be a number"),
        ("[tool.sqlmig\n", "cannot be read"),
        ("[tool]\nsqlmig = 3\n", "tool.sqlmig is no table"),
        ("[[tool.sqlmig]]\nurl = 'sqlite://'\n", "tool.sqlmig is a list"),
    ],
)
def test_mistakes_in_pyproject(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, said: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pyproject.toml").write_text(text)
    called = CliRunner().invoke(app, ["status", "--url", "sqlite://"])
    assert called.exit_code == 2
    assert said in called.stderr


def test_foreign_errors_have_the_same_form(invoke: Invoke, folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.table(1)
    monkeypatch.setattr("sqlmig.migrator.Migrator.migrate", lambda self, **_: 1 / 0)
    called = invoke("up")
    assert called.exit_code == 1
    assert called.stderr.splitlines()[0] == "ZeroDivisionError: division by zero"
    assert called.stderr.splitlines()[-1] == "To see where it came from: --traceback"


def sqlmig_command(*words: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sqlmig", *words]
    return subprocess.run(
        command, cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )


def test_as_a_program(folder: Folder, url: str, tmp_path: Path) -> None:
    folder.table(1)
    done = sqlmig_command("up", "--path", str(folder.path), folder=tmp_path, SQLMIG_URL=url)
    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout
    assert sqlmig_command("--version", folder=tmp_path).stdout == f"sqlmig, version {sqlmig.__version__}\n"
    shown = sqlmig_command("--help", folder=tmp_path).stdout
    listed = [line.split()[0] for line in shown.splitlines() if line.startswith("  ") and "  " in line.strip()]
    # What other packages bring comes after sqlmig's own.
    ours = list(app.commands)
    assert listed[listed.index(ours[0]) :][: len(ours)] == ours
    assert listed[-1] == "import-alembic"
    assert "Exit codes" in shown


def test_without_its_extra_the_command_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "click.py").write_text("raise ModuleNotFoundError('no', name='click')\n")
    called = sqlmig_command("up", folder=tmp_path, PYTHONPATH=str(tmp_path))
    assert called.returncode == 2
    assert "pip install 'sqlmig[cli]'" in called.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals")
def test_colours_and_a_progress_bar_on_a_terminal_only(folder: Folder, url: str, tmp_path: Path) -> None:
    folder.table(1)
    words = [sys.executable, "-m", "sqlmig", "status", "--url", url, "--path", str(folder.path)]
    assert "\x1b[33m" in on_a_terminal(words, {"TERM": "xterm-256color"})
    assert "\x1b[33m" not in on_a_terminal(words, {"TERM": "xterm-256color", "NO_COLOR": "1"})
    words[3] = "up"
    assert "001 step 1" in on_a_terminal(words, {"TERM": "xterm-256color"})


def test_long_work_tells_its_pace_and_moves_the_bar(folder: Folder, url: str) -> None:
    folder.sql(
        1,
        "-- sqlmig: up",
        "CREATE TABLE t (id INTEGER PRIMARY KEY);",
        "INSERT INTO t VALUES (1), (2), (3), (4), (5), (6), (7), (8);",
        "-- sqlmig: down",
        "DROP TABLE t;",
    )
    folder.add(2, "import time\nfor _ in self.batches('t', size=1):\n    time.sleep(0.11)", "pass")
    for words in (["rehearse"], ["up"]):
        command = [sys.executable, "-m", "sqlmig", *words, "--url", url, "--path", str(folder.path)]
        shown = on_a_terminal(command, {"TERM": "xterm-256color", "COLUMNS": "60"})
        shown = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", shown)
        # The pace is below what has no room for it, and is not cut off.
        assert re.search(r"002 step 2: [2-7] of 8 rows,\s+[\d,]+ rows/s, \d s left\s*\n", shown), shown
        assert "━╺" in shown or "━╸" in shown


def on_a_terminal(words: list[str], environment: dict[str, str]) -> str:
    import pty

    pid, terminal = pty.fork()
    if pid == 0:
        os.environ.pop("NO_COLOR", None)
        os.environ.update(environment)
        os.execv(words[0], words)
    read = b""
    while True:
        try:
            read += os.read(terminal, 4096)
        except OSError:
            break
    os.waitpid(pid, 0)
    os.close(terminal)
    return read.decode()


@pytest.mark.parametrize("form", ["sqlite:///{}", "sqlite:///file:{}?uri=true", "sqlite+aiosqlite:///{}"])
def test_looking_at_a_file_makes_none(folder: Folder, tmp_path: Path, form: str) -> None:
    folder.table(1)
    for words in (["status"], ["plan"], ["plan", "--sql"], ["history"], ["validate"], ["doctor"]):
        given = ["--url", form.format(tmp_path / "mistyped.db"), "--path", str(folder.path)]
        assert CliRunner().invoke(app, [*words, *given]).exit_code == 0
    assert "mistyped.db (not there yet)" in CliRunner().invoke(app, ["status", *given]).stdout
    assert not (tmp_path / "mistyped.db").exists()


@pytest.mark.parametrize("command", ["down", "redo", "repair", "snapshot"])
def test_what_needs_a_database_makes_none(folder: Folder, tmp_path: Path, command: str) -> None:
    folder.table(1)
    given = ["--url", f"sqlite:///{tmp_path / 'mistyped.db'}", "--path", str(folder.path)]
    called = CliRunner().invoke(app, [command, *given])
    assert called.exit_code == 2
    assert f"There is no database {tmp_path / 'mistyped.db'}\n" in called.stderr
    assert "Check its URL, or have the migrations make it: sqlmig up" in called.stderr
    assert [path.name for path in tmp_path.iterdir() if path != folder.path] == []


@pytest.mark.parametrize(("word", "here"), [("upgrade", "up"), ("migrate", "up"), ("makemigrations", "new --auto")])
def test_the_words_of_other_tools_are_known(word: str, here: str) -> None:
    called = CliRunner().invoke(app, [word, "head"])
    assert (called.exit_code, called.stderr.splitlines()[-1]) == (
        2,
        f"Error: No such command '{word}'. Here it is: sqlmig {here}",
    )


@pytest.mark.parametrize("server", ["postgresql", "mariadb"])
def test_a_database_that_its_server_has_not(folder: Folder, server: str) -> None:
    folder.table(1)
    url = server_url(server).set(database="sqlmig_test_nowhere").render_as_string(hide_password=False)
    called = CliRunner().invoke(app, ["up", "--url", url, "--path", str(folder.path)])
    assert (called.exit_code, called.stderr.splitlines()[-1]) == (
        1,
        "Create the database, or correct its name, and start again: sqlmig makes tables only.",
    )


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("postgres://ada:secret@db/app", "postgresql+psycopg://user@host/database"),
        ("mysql+nodriver://ada:secret@db/app", "mysql+pymysql://user@host/database"),
        ("mysql://ada:secret@db/app", "pip install 'sqlmig[mysql]', and have the URL begin with mysql+pymysql://"),
        ("postgresql+pg8000://ada:secret@db/app", "pip install 'sqlmig[postgresql]', and have the URL begin with"),
    ],
)
def test_a_url_that_names_no_driver_which_is_there(folder: Folder, url: str, words: str) -> None:
    for driver, module in (("mysql:", "MySQLdb"), ("postgresql+pg8000:", "pg8000")):
        if url.startswith(driver) and find_spec(module) is not None:
            pytest.skip(f"{module} is installed")
    folder.table(1)
    called = CliRunner().invoke(app, ["up", "--url", url, "--path", str(folder.path)])
    assert (called.exit_code, words in called.stderr.splitlines()[-1]) == (2, True), called.stderr
    assert "secret" not in called.stderr


def test_an_interrupted_migration_is_shown_with_what_to_do(invoke: Invoke, folder: Folder) -> None:
    folder.add(1, 'self.execute_sql("CREATE TABLE t (id INTEGER)")\nraise ValueError', extra="transactional = False")
    assert invoke("up").exit_code == 1
    for command in ("status", "validate", "doctor"):
        assert "sqlmig repair --retry, --mark-applied or --mark-rolled-back" in invoke(command).stdout
    assert invoke("repair", "--retry").exit_code == 0
    assert "sqlmig repair" not in invoke("status").stdout


@pytest.mark.parametrize("command", ["up", "plan", "rehearse", "check"])
def test_without_a_migration_each_command_says_how_to_make_one(invoke: Invoke, folder: Folder, command: str) -> None:
    folder.table(1)
    invoke("up")
    for path in folder.path.glob("*.py"):
        path.unlink()
    called = invoke(command)
    assert called.exit_code == 2
    assert called.stderr.splitlines()[0] == f"There is no migration in {folder.path}"
    assert called.stderr.splitlines()[-1] == "Make the first one: sqlmig new initial_schema"


def test_an_empty_folder_and_an_empty_database_are_told_everywhere(invoke: Invoke, folder: Folder, url: str) -> None:
    create_engine(url).connect().close()
    for words, code in (
        (["validate"], 1),
        (["status"], 0),
        (["doctor"], 1),
        (["stamp", "3"], 2),
        (["squash", "1", "2"], 2),
    ):
        called = invoke(*words)
        assert (called.exit_code, "Make the first one: sqlmig new" in called.output) == (code, True), called.output
    shown = invoke("schema")
    assert (shown.exit_code, shown.stdout, shown.stderr) == (0, "", "There is no table and no view.\n")


def test_slips_in_names_are_noted(invoke: Invoke, folder: Folder) -> None:
    folder.table(1)
    folder.write("02_b.py", "")
    for command in ("validate", "status", "up"):
        called = invoke(command)
        assert (called.exit_code, "note      02_b.py is no migration" in called.stdout) == (0, True), called.output


def test_where_all_names_are_slips_they_are_told(invoke: Invoke, folder: Folder) -> None:
    folder.write("books.py", "")
    folder.write("001-authors.sql", "")
    folder.write("__init__.py", "")
    called = invoke("up")
    assert called.exit_code == 2
    assert called.stderr.splitlines()[2] == "  Called otherwise, and passed over: 001-authors.sql, books.py"


def test_the_same_database_from_a_folder_below(folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.table(1)
    (tmp_path / "pyproject.toml").write_text('[tool.sqlmig]\nurl = "sqlite:///app.db"\npath = "versions"\n')
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    monkeypatch.delenv("SQLMIG_URL", raising=False)
    assert CliRunner().invoke(app, ["up"]).exit_code == 0
    assert (tmp_path / "app.db").exists()
    assert not (tmp_path / "below" / "app.db").exists()


def test_the_application_is_found_from_a_folder_below_its_configuration(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(
        '[tool.sqlmig]\nurl = "sqlite:///app.db"\npath = "app.versions"\nmodels = "app.models:Base"\n'
    )
    versions = tmp_path / "app" / "versions"
    versions.mkdir(parents=True)
    (versions / "001_nothing.sql").write_text("-- sqlmig: up\nSELECT 1;\n")
    (tmp_path / "app" / "models.py").write_text("from sqlalchemy import MetaData as Base\nBase = Base()\n")
    command = [sys.executable, "-m", "sqlmig", "check", "--allow-empty", "--no-database"]
    ran = subprocess.run(command, cwd=versions, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (0, "models and migrations agree\n"), ran.stderr


def test_packages_of_the_working_directory(tmp_path: Path, url: str) -> None:
    package = Folder(tmp_path / "myapp" / "migrations")
    (tmp_path / "myapp" / "names.py").write_text("TABLE = 'from_app'\n")
    package.write(
        "001_a.py",
        "from myapp.names import TABLE\nfrom sqlmig import BaseMigration\nclass A(BaseMigration):\n    version = 1\n"
        "    def up(self): self.execute_sql(f'CREATE TABLE {TABLE} (id)')\n",
    )
    done = subprocess.run(
        [sys.executable, "-c", "from sqlmig.cli import main; main()", "up", "--path", "myapp.migrations", "--url", url],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", ["none", "true", "x\u00b2 index", "3 steps", "class", "w" * 300])
def test_new_writes_what_python_can_read(invoke: Invoke, folder: Folder, name: str) -> None:
    assert invoke("new", name).exit_code == 0
    assert invoke("validate").exit_code == 0


def test_new_in_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    called = CliRunner().invoke(app, ["new", "x", "--path", str(tmp_path / "file")])
    assert called.exit_code == 2
    assert "is not a folder" in called.stderr or "cannot be written" in called.stderr


def test_a_terminal_that_cannot_show_a_description(folder: Folder, url: str, tmp_path: Path) -> None:
    folder.add(1, extra="description = '\u738b\u5c0f\u660e'")
    words = ["--path", str(folder.path), "--url", url]
    for command in ("plan", "up", "history"):
        assert sqlmig_command(command, *words, folder=tmp_path, PYTHONIOENCODING="ascii").returncode == 0


def test_passwords_in_the_configuration_are_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pyproject.toml").write_text('[tool.sqlmig]\nurl = ["postgresql://bob:s3cret@h/d"]\n')
    called = CliRunner().invoke(app, ["status"])
    assert called.exit_code == 2
    assert "s3cret" not in called.output


def test_passwords_in_the_options_of_a_url_are_not_shown(folder: Folder) -> None:
    folder.table(1)
    url = "mysql+pymysql://127.0.0.1:1/db?user=bob&password=s3cret"
    called = CliRunner().invoke(app, ["doctor", "--url", url, "--path", str(folder.path)])
    assert "password=hidden&user=bob" in called.output
    assert "s3cret" not in called.output


def test_what_migrations_print_does_not_get_into_documents(invoke: Invoke, folder: Folder) -> None:
    folder.add(1, "print('noise'); self.execute_sql('CREATE TABLE t1 (id INTEGER)')")
    for words in (["plan", "--sql"], ["schema", "--at", "1"]):
        shown = invoke(*words)
        assert (shown.exit_code, "noise" in shown.stderr, "noise" in shown.stdout) == (0, True, False), words
        assert "CREATE TABLE t1" in shown.stdout
    for words in (["plan", "--sql"], ["rehearse"], ["schema", "--at", "1"], ["up"]):
        shown = invoke(*words, "--json")
        assert shown.exit_code == 0
        assert json.loads(shown.stdout)
        assert "noise" in shown.stderr


def test_an_interruption_says_where_to_look(invoke: Invoke, folder: Folder) -> None:
    folder.add(1, "raise KeyboardInterrupt")
    shown = invoke("up")
    assert (shown.exit_code, shown.stdout) == (1, "")
    assert "Interrupted" in shown.stderr
    assert "sqlmig status" in shown.stderr
    assert json.loads(invoke("up", "--json").stdout)["error"]["type"] == "KeyboardInterrupt"


def test_streams_that_are_closed_or_full(folder: Folder, url: str, tmp_path: Path) -> None:
    folder.table(1)
    words = f"--url {url} --path {folder.path}"

    def typed(line: str) -> subprocess.CompletedProcess[str]:
        command = line.replace("sqlmig", f"{sys.executable} -m sqlmig")
        return subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=tmp_path)

    assert typed(f"sqlmig up {words}").returncode == 0
    refused = typed(f"sqlmig down {words} <&-")
    assert (refused.returncode, "say so: --yes" in refused.stderr) == (1, True)
    assert typed(f"sqlmig schema {words} | true").stderr == ""
    if os.path.exists("/dev/full"):
        full = typed(f"sqlmig status --json {words} >/dev/full")
        assert full.returncode != 0
        assert "No space left" in full.stderr
        assert "Traceback" not in full.stderr


@pytest.mark.parametrize(
    "words", [["up"], ["up", "--rehearse"], ["to", "1"], ["stamp", "1"], ["to", "9"], ["stamp", "9"]]
)
def test_a_wrong_call_leaves_no_trace(folder: Folder, tmp_path: Path, words: list[str]) -> None:
    """Neither a database where there was none, nor tables in one of another program."""
    folder.table(1)
    path = folder.path if "9" in words else tmp_path / "nowhere"
    for name in ("new.db", "other.db"):
        file = tmp_path / name
        if name == "other.db":
            with create_engine(f"sqlite:///{file}").begin() as connection:
                connection.exec_driver_sql("CREATE TABLE theirs (id INTEGER)")
        called = CliRunner().invoke(app, [*words, "--url", f"sqlite:///{file}", "--path", str(path)])
        assert called.exit_code == 2
        assert file.exists() == (name == "other.db")
    assert set(contents(create_engine(f"sqlite:///{tmp_path / 'other.db'}"))["rows"]) == {"theirs"}


def test_tables_are_whole_on_a_narrow_screen(invoke: Invoke, folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.table(1)
    invoke("up")
    invoke("snapshot")
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("NO_COLOR", "1")
    shown = invoke("history").stdout
    assert re.search(r"\d\d:\d\d:\d\d +001 +apply +ok +[\d.]+ +step 1", shown), shown
    assert "…" not in shown + invoke("snapshots").stdout + invoke("rehearse").stdout
