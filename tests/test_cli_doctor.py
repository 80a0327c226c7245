"""sqlmig doctor and redo, and the command line over drivers that are awaited."""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from check_support import server_of_its_own
from click.testing import CliRunner, Result
from conftest import Folder, contents
from native_databases import by_driver
from places import KINDS, Place, opened
from sqlalchemy import create_engine, event

from sqlmig import Migrator
from sqlmig.cli.app import app


def invoke(url: str, folder: Folder, *words: str, input: str = "") -> Result:
    return CliRunner().invoke(app, [*words, "--url", url, "--path", str(folder.path)], input=input)


def problems(shown: Result) -> dict[str, str]:
    found = json.loads(shown.stdout)["findings"]
    return {one["about"]: one["text"] for one in found if one["level"] == "problem"}


def test_a_healthy_database(place: Place, folder: Folder) -> None:
    folder.table(1)
    found = place.migrator(folder).diagnose()
    assert found.healthy, found
    about = {one.about: one for one in found.findings}
    assert "free, and the database can be written to" in about["lock"].text
    assert "Version 0 of 1: 1 pending." in about["migrations"].text
    assert place.tables(all_=True) == []


def test_what_stands_in_the_way(folder: Folder, url: str, tmp_path: Path) -> None:
    folder.table(1)
    assert invoke(url, folder, "doctor").exit_code == 0
    assert not (tmp_path / "app.db").exists()
    invoke(url, folder, "up")
    before = contents(create_engine(url))
    with closing(sqlite3.connect(tmp_path / "app.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        shown = invoke(url, folder, "doctor", "--json")
        assert (shown.exit_code, list(problems(shown))) == (1, ["lock"])
    folder.write("002_bad.py", "x = = 1\n")
    shown = invoke(url, folder, "doctor", "--json")
    assert "does not import" in problems(shown)["migrations"]
    folder.write("2_short.py", "")
    printed = invoke(url, folder, "doctor").stdout
    assert "problem   migrations  002_bad.py:1: does not import" in printed
    assert "2_short.py is passed over" in printed
    (folder.path / "002_bad.py").unlink()
    assert contents(create_engine(url)) == before


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="the superuser may write everywhere")
def test_a_folder_that_takes_no_journal(folder: Folder, url: str, tmp_path: Path) -> None:
    folder.table(1)
    invoke(url, folder, "up")
    tmp_path.chmod(0o500)
    try:
        assert "folder" in problems(invoke(url, folder, "doctor", "--json"))
    finally:
        tmp_path.chmod(0o700)


def test_a_file_that_is_no_database(folder: Folder, url: str, tmp_path: Path) -> None:
    folder.table(1)
    (tmp_path / "app.db").write_text("no database at all\n" * 100)
    shown = invoke(url, folder, "doctor", "--json")
    assert (shown.exit_code, list(problems(shown))) == (1, ["database"])
    assert "no database at all" in (tmp_path / "app.db").read_text()


def test_settings_that_lose_data(folder: Folder, url: str) -> None:
    folder.table(1)
    engine = create_engine(url)

    @event.listens_for(engine, "connect")
    def carelessly(raw: sqlite3.Connection, _record: object) -> None:
        raw.execute("PRAGMA journal_mode = OFF")
        raw.execute("PRAGMA synchronous = OFF")

    found = {one.about: one.level for one in Migrator(engine, folder.path).diagnose().findings}
    assert (found["journal_mode"], found["synchronous"], found["foreign_keys"]) == ("problem", "note", "note")


def test_a_server_that_takes_no_writes(folder: Folder, tmp_path: Path) -> None:
    folder.table(1)
    with opened(KINDS["postgresql"], tmp_path) as place:
        engine = place.engine()

        @event.listens_for(engine, "connect")
        def only_read(raw: object, _record: object) -> None:
            raw.execute("SET default_transaction_read_only = on")  # type: ignore[attr-defined]
            raw.commit()  # type: ignore[attr-defined]

        found = place.migrator(folder, engine).diagnose()
        assert [one.about for one in found.findings if one.level == "problem"] == ["lock"]


def test_redo(folder: Folder, url: str) -> None:
    for version in (1, 2, 3):
        folder.table(version)
    invoke(url, folder, "up")
    refused = invoke(url, folder, "redo")
    assert (refused.exit_code, "drop t3 (1 row)" in refused.stderr) == (1, True)
    done = invoke(url, folder, "redo", "2", "--yes")
    assert done.exit_code == 0
    assert [line for line in done.stdout.splitlines() if line.startswith("  ")] == [
        "  rolled back 003",
        "  rolled back 002",
        *(line for line in done.stdout.splitlines() if line.startswith("  lost")),
        "  applied 002",
        "  applied 003",
    ]
    found = json.loads(invoke(url, folder, "redo", "--yes", "--json").stdout)
    assert (found["rolled_back"]["rolled_back"], found["applied"]["applied"]) == ([3], [3])
    folder.add(3, "raise ValueError", "self.execute_sql('DROP TABLE t3')")
    Migrator(url, folder.path).repair()
    failed = invoke(url, folder, "redo", "--yes")
    assert (failed.exit_code, Migrator(url, folder.path).get_current_version()) == (1, 2)
    assert "There is no database" in invoke(f"{url}.empty", folder, "redo").stderr


@pytest.mark.parametrize("kind", ["aiosqlite", "asyncpg", "aiomysql"])
def test_a_driver_that_is_awaited(kind: str, folder: Folder, tmp_path: Path) -> None:
    folder.table(1)
    folder.table(2)
    with server_of_its_own(kind, tmp_path) as place:
        url = by_driver(place.look.url, KINDS[kind].driver).render_as_string(hide_password=False)
        for words, said in (
            (["up"], "Applied 2 migrations"),
            (["status"], "Version 2 of 2"),
            (["down", "--yes"], "Rolled back 1 migration"),
            (["plan", "--sql"], "INSERT INTO t2"),
            (["validate"], "fit to run"),
            (["history", "--limit", "1"], "rollback"),
            (["doctor"], "free, and the database can be written to"),
        ):
            shown = invoke(url, folder, *words)
            assert (shown.exit_code, said in shown.stdout) == (0, True), shown.output
        refused = invoke(url, folder, "to", "0")
        assert (refused.exit_code, "drop t1" in refused.stderr) == (1, True)
        assert place.tables() == ["t1"]


def test_an_option_that_the_driver_does_not_know(folder: Folder) -> None:
    folder.table(1)
    url = "mysql+pymysql://bob@127.0.0.1:1/db?colour=red"
    done = CliRunner().invoke(app, ["doctor", "--url", url, "--path", str(folder.path)])
    assert done.exit_code == 1
    assert "problem   database  it cannot be looked at: TypeError" in done.stdout
    assert "'colour'" in done.stdout
