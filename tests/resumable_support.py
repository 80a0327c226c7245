"""Migrations of data whose process is killed: written, run in a child, and counted afterwards."""

from __future__ import annotations

import os
import signal
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

from conftest import Folder

TABLE = """self.execute_sql("CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER, done INTEGER NOT NULL DEFAULT 0)")
self.execute_sql("CREATE TABLE log (entry INTEGER PRIMARY KEY, id INTEGER)")
self.execute_sql("INSERT INTO t (n) VALUES (?)", [(k * 7,) for k in range({rows})])"""
COUNTING = """for rows in self.batches("t", size={size}):
    ends = (rows[0]["id"], rows[-1]["id"])
    self.execute_sql("UPDATE t SET done = done + 1 WHERE id BETWEEN ? AND ?", ends)
    self.execute_sql("INSERT INTO log (id) SELECT id FROM t WHERE id BETWEEN ? AND ?", ends)"""
RESUMABLE = "resumable = True"


def counted(folder: Folder, rows: int = 40, size: int = 4, extra: str = "", up: str = COUNTING) -> None:
    """A table; then a resumable migration that counts in each row how often it was visited, and writes it down."""
    folder.add(1, TABLE.format(rows=rows), "pass")
    folder.add(2, up.format(size=size), extra=f"{RESUMABLE}\n{extra}")


VISITED = """for rows in self.batches("t", size=4):
    self.execute_sql("UPDATE t SET done = done + 1 WHERE id BETWEEN ? AND ?", (rows[0].id, rows[-1].id))"""


def visited(folder: Folder, stop: str = "", before: str = "") -> None:
    """The same for any database: fourteen rows, and what stands *before* the loop and at the end of its body."""
    up = """self.execute_sql("CREATE TABLE t (id INTEGER PRIMARY KEY, done INTEGER NOT NULL DEFAULT 0)")
self.execute_sql("INSERT INTO t (id) VALUES (?)", [(n,) for n in range(1, 15)])"""
    folder.add(1, up)
    folder.add(2, before + VISITED + stop, extra=RESUMABLE)


def visits(url: str) -> dict[int, int]:
    """How many rows were visited how often, by both accounts."""
    raw = sqlite3.connect(url.removeprefix("sqlite:///"))
    found = dict(raw.execute("SELECT done, count(*) FROM t GROUP BY done").fetchall())
    logged = "SELECT coalesce(k, 0), count(*) FROM t LEFT JOIN (SELECT id AS i, count(*) AS k FROM log GROUP BY id)"
    assert dict(raw.execute(f"{logged} ON i = t.id GROUP BY 1").fetchall()) == found
    raw.close()
    return found


def in_child(action: Callable[[], Any]) -> int:
    """Run *action* in a fork of this process, and tell how it ended: 0, or the signal that ended it."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            action()
            code = 0
        finally:
            os._exit(code)
    status = os.waitpid(child, 0)[1]
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


class Deadly:
    """Kills its process at the statement of a number, as a trace callback that SQLite calls when one begins."""

    def __init__(self, at: int) -> None:
        self.at, self.count = at, 0

    def __call__(self, statement: str) -> None:
        if statement.startswith("--"):
            return
        self.count += 1
        if self.count == self.at:
            os.kill(os.getpid(), signal.SIGKILL)


def copied(source: Path, target: Path) -> str:
    """A copy of a database file that nobody has open, and its URL."""
    target.write_bytes(source.read_bytes())
    return f"sqlite:///{target}"
