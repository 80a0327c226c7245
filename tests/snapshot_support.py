"""Databases of other people, and what is in them, for the tests of snapshots and restores."""

from __future__ import annotations

import json
import random
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from conftest import Folder

__all__ = ["Forks", "furnish", "intact", "replace", "rows", "write_migrations"]

FURNITURE = """
CREATE TABLE authors (id INTEGER PRIMARY KEY, name TEXT NOT NULL COLLATE NOCASE);
CREATE TABLE books (
    id INTEGER PRIMARY KEY AUTOINCREMENT, title TEXT, author INTEGER REFERENCES authors ON DELETE CASCADE,
    shout TEXT GENERATED ALWAYS AS (upper(title)) STORED
);
CREATE TABLE tags (name TEXT, book INTEGER, weight REAL CHECK (weight < 10), PRIMARY KEY (name, book)) WITHOUT ROWID;
CREATE TABLE blobs (data BLOB) STRICT;
CREATE TABLE counted (n INTEGER);
CREATE UNIQUE INDEX ix_title ON books (lower(title)) WHERE title IS NOT NULL;
CREATE VIEW shelf AS SELECT b.title, a.name FROM books b JOIN authors a ON a.id = b.author;
CREATE VIRTUAL TABLE search USING fts5(title, content='books', content_rowid='id');
CREATE TRIGGER books_found AFTER INSERT ON books BEGIN
    INSERT INTO search (rowid, title) VALUES (new.id, new.title);
END;
CREATE TRIGGER shelf_insert INSTEAD OF INSERT ON shelf BEGIN
    INSERT INTO authors (name) VALUES (new.name);
END;
INSERT INTO counted VALUES (0);
CREATE TRIGGER books_counted AFTER INSERT ON books BEGIN UPDATE counted SET n = n + 1; END;
PRAGMA application_id = 4711;
"""


def furnish(file: Path, books: int = 300, journal_mode: str = "delete") -> None:
    """Make a database with triggers, views, full-text search, and tables of every kind, and fill it."""
    raw = sqlite3.connect(file)
    raw.execute(f"PRAGMA journal_mode = {journal_mode}")
    raw.executescript(FURNITURE)
    with raw:
        raw.executemany("INSERT INTO authors (name) VALUES (?)", [(f"Author {n}",) for n in range(books // 10)])
        raw.executemany(
            "INSERT INTO books (title, author) VALUES (?, ?)",
            [(f"Title {n} of {'words ' * (n % 7)}", n % (books // 10) + 1) for n in range(books)],
        )
        raw.executemany("INSERT INTO tags VALUES (?, ?, ?)", [(f"tag {n % 9}", n, n % 10) for n in range(books)])
        raw.executemany("INSERT INTO blobs VALUES (?)", [(bytes([n % 256]) * 2000,) for n in range(books // 3)])
    raw.close()


def rows(file: Path, *, records: bool = False) -> dict[str, Any]:
    """The whole of a database but sqlmig's own *records*: schema, rows, rowids, and what its header says."""
    raw = sqlite3.connect(file, timeout=30)
    try:
        schema = raw.execute("SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY 1, 2").fetchall()
        schema = [row for row in schema if records or not row[2].startswith("migration_")]
        kept: dict[str, Any] = {"schema": schema}
        for kind, name, *_ in schema:
            if kind in ("table", "view"):
                order = "" if kind == "table" and name in ("search", "sqlite_sequence") else " ORDER BY 1, 2"
                found = raw.execute(f'SELECT * FROM "{name}"').fetchall()
                kept[name] = sorted(found, key=repr) if order else found
        kept["found"] = raw.execute("SELECT rowid FROM search WHERE search MATCH 'words' ORDER BY 1").fetchall()
        kept["header"] = [raw.execute(f"PRAGMA {p}").fetchone() for p in ("application_id", "user_version", "encoding")]
        return kept
    finally:
        raw.close()


def intact(file: Path) -> None:
    """Nothing is damaged, and the full-text index agrees with its table."""
    raw = sqlite3.connect(file, timeout=30)
    try:
        assert raw.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert raw.execute("PRAGMA foreign_key_check").fetchall() == []
        if raw.execute("SELECT 1 FROM sqlite_master WHERE name = 'search'").fetchone():
            raw.execute("INSERT INTO search (search) VALUES ('integrity-check')")
            raw.rollback()
    finally:
        raw.close()


def write_migrations(folder: Folder) -> None:
    """One to begin with, and one that goes over the whole database and has no way back."""
    folder.add(1, 'self.execute_sql("CREATE TABLE first (n INTEGER)")')
    folder.add(
        2,
        """self.execute_sql("UPDATE books SET title = title || '!'")
self.execute_sql("DELETE FROM blobs WHERE rowid % 2")
self.execute_sql("DELETE FROM tags")
self.execute_sql("DROP VIEW shelf")
self.add_column("authors", Column("born", Integer))""",
    ).write_text(
        (folder.path / "002_step_2.py").read_text().replace("from sqlmig", "from sqlalchemy import *\nfrom sqlmig", 1)
    )


# Forks a process for each line that it is told, kills it after a while, and says how it ended: an interpreter that
# starts anew each time would spend its life importing.
_FORKS = """
import json, os, signal, sys, time
import sqlmig, sqlmig.migrator, sqlmig.runner, sqlmig.safety.restore, sqlmig.safety.snapshots as snapshots
from sqlalchemy import create_engine, text
from sqlmig.safety import copying
copying._STRIDE = 2  # So that many of the points at which it can be killed are in the copy.
for line in sys.stdin:
    job = json.loads(line)
    began = time.monotonic()
    child = os.fork()
    if not child:
        code = 1
        try:
            exec(job["code"], dict(job["names"]))
            code = 0
        except BaseException as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        finally:
            os._exit(code)
    if job["after"] is not None:
        time.sleep(job["after"])
        os.kill(child, signal.SIGKILL)
    ended = os.waitpid(child, 0)[1]
    print(json.dumps([os.waitstatus_to_exitcode(ended), time.monotonic() - began]), flush=True)
"""


class Forks:
    """Runs code in processes that can be killed."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _FORKS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(self, code: str, after: float | None = None, **names: str) -> tuple[int, float]:
        """Run *code*, killed *after* so many seconds; its exit code (negative: the signal) and how long it took."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"code": code, "names": names, "after": after}) + "\n")
        self._process.stdin.flush()
        ended, took = json.loads(self._process.stdout.readline())
        return ended, took

    def killed(self, code: str, took: float, times: int, **names: str) -> Iterator[int]:
        """
        Run *code* again and again, each run killed at some moment of its own, until so many were; how each ended.

        Args:
            took: How long it takes, in seconds, to begin with: how long it takes here and now is learnt from those
                that ended before they were killed.
        """
        killed = 0
        for turn in range(10 * times):
            ended, lasted = self.run(code, random.Random(turn).uniform(0, took), **names)
            killed += ended < 0
            took = took * 1.05 if ended < 0 else min(took, lasted)
            yield ended
            if killed >= times:
                return

    def close(self) -> None:
        self._process.communicate(timeout=30)


def replace(live: Path, by: Path) -> None:
    """Put the content of one database into the file of another."""
    source, target = sqlite3.connect(by), sqlite3.connect(live, timeout=30)
    source.backup(target)
    source.close()
    target.close()
