"""The page about a database: what it tells, what it reads, and what it is written over."""

from __future__ import annotations

import asyncio
import json
import os
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from conftest import Folder, contents
from places import Place
from sqlalchemy import Column, Engine, Integer, MetaData, Table
from sqlalchemy.ext.asyncio import create_async_engine

from sqlmig import ConfigurationError, Migrator
from sqlmig.cli.app import app


class Page(HTMLParser):
    """What stands on a page: its text by section, its ids, and what it would fetch."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.section = ""
        self.text: dict[str, str] = {"": ""}
        self.ids: list[str] = []
        self.links: list[str] = []
        self.times: list[str] = []
        self.tags: set[str] = set()
        self.named: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.add(tag)
        if tag == "section":
            self.section = str(found["id"])
            self.text[self.section] = ""
        if "id" in found:
            self.ids.append(str(found["id"]))
        self.links += [str(found[name]) for name in ("href", "src", "srcset", "action", "data") if name in found]
        self.times += [str(found["datetime"])] if "datetime" in found else []
        self.named += str(found.get("aria-labelledby") or "").split()

    def handle_data(self, data: str) -> None:
        self.text[self.section] += data


@pytest.fixture
def used(migrator: Migrator, folder: Folder) -> Migrator:
    """A database with rows, a failure in its history, something pending, and an index that was made by hand."""
    folder.table(1)
    folder.table(2)
    migrator.migrate()
    folder.add(3, "raise ValueError('<b>no</b>')", extra='description = "a & <script>"')
    with pytest.raises(Exception, match="no"):
        migrator.migrate()
    with migrator.db.engine.begin() as connection:
        connection.exec_driver_sql("CREATE INDEX by_hand ON t1 (n)")
    folder.add(3, "pass", extra='description = "a & <script>"\nremoves = ["t1.n"]')
    return migrator


def test_what_it_tells(used: Migrator, tmp_path: Path, engine: Engine) -> None:
    before = contents(engine)
    report = used.write_report(tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text("utf-8")
    page = Page(text)
    assert contents(engine) == before
    assert [(size.name, size.rows, size.is_estimate) for size in report.sizes or ()] == [
        ("t1", 1, False),
        ("t2", 1, False),
    ]
    assert report.failed == {}
    assert "Migration 3 (a & <script>) failed" in page.text["history"]
    assert page.text["history"].count("ok") == 2
    assert "removes t1.n" in page.text["plan"]
    assert "2 tables." in page.text["schema"]
    assert "index by_hand on t1 (n): in the database only" in page.text["drift"]
    assert "<b>no" not in text
    assert "script" not in page.tags
    assert len(page.ids) == len(set(page.ids))
    assert set(page.named) <= set(page.ids)
    # It leads to itself alone, and asks for nothing.
    assert {link.removeprefix("#") for link in page.links} <= set(page.ids)
    assert "url(" not in text
    # HTML takes a fraction of three digits at the most.
    assert re.fullmatch(r"[0-9T:+-]{25}", page.times[0])
    assert "@import" not in text


def test_models_are_compared_and_parts_that_fail_are_told(used: Migrator, folder: Folder, tmp_path: Path) -> None:
    metadata = MetaData()
    Table("t1", metadata, Column("id", Integer, primary_key=True))
    used.write_report(tmp_path / "report.html", metadata)
    assert "models and migrations differ" in Page((tmp_path / "report.html").read_text()).text["drift"]
    with pytest.raises(ConfigurationError, match="cannot be the models"):
        used.write_report(tmp_path / "other.html", models=7)
    folder.add(3, "raise ValueError('never')")
    report = used.write_report(tmp_path / "report.html")
    page = Page((tmp_path / "report.html").read_text())
    assert set(report.failed) == {"drift"}
    assert "the migrations fail on an empty database" in page.text["drift"]
    assert "t2" in page.text["sizes"]
    folder.add(1, "pass")
    used.write_report(tmp_path / "report.html")
    assert "migration 1 was edited after it was applied" in Page((tmp_path / "report.html").read_text()).text["plan"]


def test_each_part_can_fail_and_the_others_are_told(used: Migrator, engine: Engine, tmp_path: Path) -> None:
    _write_schema(
        engine, "INSERT INTO sqlite_master VALUES ('table', 'v', 'v', 0, 'CREATE VIRTUAL TABLE v USING none')"
    )
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE migration_history SET execution_time_ms = 'long', started_at = 'never'")
    report = used.write_report(tmp_path / "report.html")
    assert [(size.name, size.rows) for size in report.sizes or ()] == [("t1", 1), ("t2", 1), ("v", None)]
    page = Page((tmp_path / "report.html").read_text("utf-8"))
    assert "virtual table" in page.text["schema"]
    assert page.text["history"].count("never") == 3
    # A program that knew no UTF-8 has made this one.
    _write_schema(
        engine,
        "DELETE FROM sqlite_master WHERE name = 'v'",
        "UPDATE sqlite_master SET sql = replace(sql, ')', CAST(x'2f2aff2a2f29' AS TEXT)) WHERE name = 't2'",
    )
    report = used.write_report(tmp_path / "report.html")
    assert (report.picture, report.failed.keys() >= {"schema"}) == (None, True)
    page = Page((tmp_path / "report.html").read_text("utf-8"))
    assert "Could not decode to UTF-8" in page.text["schema"]
    assert "Migration 3 (a & <script>) failed" in page.text["history"]


@pytest.mark.parametrize("place", ["postgresql"], indirect=True)
def test_rows_that_nobody_can_count_are_not_told(place: Place, folder: Folder, tmp_path: Path) -> None:
    folder.add(1)
    place.run(
        "CREATE TABLE t1 (id INTEGER)",
        "INSERT INTO t1 VALUES (1)",
        "CREATE TABLE heir () INHERITS (t1)",
        "INSERT INTO heir VALUES (2)",
        "CREATE MATERIALIZED VIEW empty AS SELECT id FROM t1 WITH NO DATA",
    )
    report = place.migrator(folder).write_report(tmp_path / "report.html", ignore=["*.*"])
    found = {size.name: size.rows for size in report.sizes or ()}
    assert found == {"t1": 1, "heir": 1, "empty": None}


def _write_schema(engine: Engine, *statements: str) -> None:
    """What no statement makes, but a damaged disk or a program without that module."""
    with engine.begin() as connection:
        for statement in ("PRAGMA writable_schema = 1", *statements, "PRAGMA schema_version = 7777"):
            connection.exec_driver_sql(statement)
    engine.dispose()


def test_it_is_written_over_nothing_but_a_report(used: Migrator, tmp_path: Path) -> None:
    file = tmp_path / "notes.html"
    file.write_text("<p>mine</p>")
    with pytest.raises(ConfigurationError, match="no page of sqlmig report"):
        used.write_report(file)
    with pytest.raises(ConfigurationError, match="is a folder"):
        used.write_report(tmp_path)
    with pytest.raises(ConfigurationError, match="cannot be written"):
        used.write_report(tmp_path / "missing" / "report.html")
    assert file.read_text() == "<p>mine</p>"
    used.write_report(file, force=True)
    link = tmp_path / "link.html"
    link.symlink_to(file)
    os.chmod(file, 0o640)
    used.write_report(link)
    assert link.is_symlink()
    assert "Database report" in file.read_text()
    assert sorted(one.name for one in tmp_path.glob("*.tmp")) == []


def test_the_command(used: Migrator, folder: Folder, url: str, tmp_path: Path) -> None:
    where = ["--url", url, "--path", str(folder.path)]

    def run(*words: str) -> Any:
        return CliRunner().invoke(app, ["report", *words, *where])

    file = tmp_path / "report.html"
    done = run("--output", str(file))
    assert (done.exit_code, done.stdout) == (0, f"Wrote {file}.\n")
    assert run("--output", "-").stdout.startswith("<!DOCTYPE html>")
    told = json.loads(run("--json").stdout)
    assert (told["status"]["current_version"], [size["name"] for size in told["sizes"]]) == (2, ["t1", "t2"])
    file.write_text("mine")
    refused = run("--output", str(file))
    assert (refused.exit_code, "--force" in refused.stderr, file.read_text()) == (2, True, "mine")
    missing = CliRunner().invoke(
        app, ["report", "--output", str(file), "--force", "--url", f"{url}.none", "--path", str(folder.path)]
    )
    assert missing.exit_code == 0
    assert "not there yet" in file.read_text()
    assert not list(tmp_path.glob("*.none"))


def test_on_every_database(place: Place, folder: Folder, tmp_path: Path) -> None:
    folder.add(
        1,
        """
self.execute_sql("CREATE TABLE t1 (id INTEGER PRIMARY KEY, n VARCHAR(9))")
self.execute_sql("INSERT INTO t1 (id, n) VALUES (1, 'a'), (2, 'b')")
""",
    )
    migrator = place.migrator(folder)
    migrator.migrate()
    report = migrator.write_report(tmp_path / "report.html", ignore=["*.*"])
    [size] = report.sizes or ()
    assert (size.name, size.rows, size.is_estimate, (size.bytes or 0) > 0) == ("t1", 2, False, True)
    assert report.drift is not None
    assert bool(report.drift)
    page = Page((tmp_path / "report.html").read_text())
    assert "1 table." in page.text["schema"]
    assert "migration_history" not in page.text["schema"]


def test_of_an_asynchronous_engine(folder: Folder, tmp_path: Path) -> None:
    async def run() -> None:
        engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path / 'app.db'}")
        migrator = Migrator(engine, folder.path)
        await migrator.migrate_async()
        report = await migrator.write_report_async(tmp_path / "report.html")
        assert (report.failed, [size.name for size in report.sizes or ()]) == ({}, ["t1"])
        assert (await migrator.draw_schema_async()).startswith("CREATE TABLE t1 (")
        assert "table t1" in await migrator.draw_schema_async("svg", at=1)
        await engine.dispose()

    folder.table(1)
    asyncio.run(run())
