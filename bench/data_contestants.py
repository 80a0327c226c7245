"""
One measurement in a process of its own: `python -m bench.data_contestants CONTESTANT FILE`.

Prints nanoseconds, and the peak of the process in KiB. Everything is imported before; the connection, where it is not
made by hand, is made in the time that is measured, and so are sqlmig's tables and records.
"""

from __future__ import annotations

import json
import sqlite3
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter_ns

from .schema_contestants import resident

__all__ = ["CONTESTANTS"]


def slug(title: str) -> str:
    return title.lower().replace(" ", "-")


def by_hand(file: str, *, commit: bool = False, checkpoint: bool = False) -> Callable[[], None]:
    def run() -> None:
        raw = sqlite3.connect(file, isolation_level=None)
        if checkpoint:
            raw.execute("CREATE TABLE checkpoints (loop INTEGER PRIMARY KEY, facts TEXT)")
            raw.execute("INSERT INTO checkpoints VALUES (1, NULL)")
        raw.execute("BEGIN IMMEDIATE")
        last = 0
        read = "SELECT id, title FROM documents WHERE id > ? ORDER BY id LIMIT 1000"
        while rows := raw.execute(read, (last,)).fetchall():
            values = [(slug(title), id) for id, title in rows]
            raw.executemany("UPDATE documents SET slug = ? WHERE id = ?", values)
            last = rows[-1][0]
            if checkpoint:
                raw.execute("UPDATE checkpoints SET facts = ? WHERE loop = 1", (json.dumps({"after": last}),))
            if commit:
                raw.execute("COMMIT")
                raw.execute("BEGIN IMMEDIATE")
        raw.execute("COMMIT")

    return run


def registered(file: str) -> Callable[[], None]:
    def run() -> None:
        raw = sqlite3.connect(file, isolation_level=None)
        raw.create_function("slug", 1, slug)
        raw.execute("UPDATE documents SET slug = slug(title)")

    return run


def core(file: str) -> Callable[[], None]:
    from sqlalchemy import Column, Integer, MetaData, Table, Text, bindparam, create_engine, select, update

    table = Table("documents", MetaData(), Column("id", Integer, primary_key=True), Column("title", Text))
    table.append_column(Column("slug", Text))
    change = update(table).where(table.c.id == bindparam("key")).values(slug=bindparam("new"))

    def run() -> None:
        last = 0
        with create_engine(f"sqlite:///{file}").begin() as connection:
            while True:
                query = select(table.c.id, table.c.title).where(table.c.id > last).order_by(table.c.id).limit(1000)
                rows = connection.execute(query).all()
                if not rows:
                    break
                connection.execute(change, [{"key": row.id, "new": slug(row.title)} for row in rows])
                last = rows[-1].id

    return run


def _sqlmig(file: str, body: str, base: str = "BaseMigration") -> Callable[[], None]:
    import sqlmig
    import sqlmig.data.filling
    import sqlmig.data.loops
    import sqlmig.runner
    from sqlmig import Migrator

    assert sqlmig
    folder = Path(tempfile.mkdtemp())
    lines = [
        f"from sqlmig import {base}",
        "from bench.data_contestants import slug",
        f"class Fill({base}):",
        "    version = 1",
        "    def up(self):",
        *(f"        {line}" for line in body.splitlines()),
    ]
    (folder / "001_fill.py").write_text("\n".join(lines) + "\n")

    def run() -> None:
        assert Migrator(f"sqlite:///{file}", folder).migrate().applied == [1]

    return run


_LOOP = """for rows in self.batches("documents", columns=["title"]):
    self.update_rows("documents", [{"id": row["id"], "slug": slug(row["title"])} for row in rows])"""
_FILL = 'self.backfill("documents", "slug", slug)'


@dataclass(frozen=True)
class Contestant:
    """How it is done, given a file; and the ratio to the loop by hand that it is to reach."""

    prepare: Callable[[str], Callable[[], None]]
    goal: float | None = None


CONTESTANTS = {
    "by hand": Contestant(by_hand),
    "by hand, a commit per batch": Contestant(lambda file: by_hand(file, commit=True)),
    "by hand, and a checkpoint": Contestant(lambda file: by_hand(file, commit=True, checkpoint=True)),
    "by hand, one UPDATE": Contestant(registered),
    "SQLAlchemy Core": Contestant(core),
    "sqlmig, batches": Contestant(lambda file: _sqlmig(file, _LOOP), 1.3),
    "sqlmig, batches, resumable": Contestant(lambda file: _sqlmig(file, _LOOP, "ResumableMigration"), 1.8),
    "sqlmig, backfill": Contestant(lambda file: _sqlmig(file, _FILL), 0.5),
    "sqlmig, backfill, resumable": Contestant(lambda file: _sqlmig(file, _FILL, "ResumableMigration")),
}


def main() -> None:
    name, file = sys.argv[1:]
    run = CONTESTANTS[name].prepare(file)
    began = perf_counter_ns()
    run()
    took = perf_counter_ns() - began
    with sqlite3.connect(file) as raw:
        wrong = "SELECT count(*) FROM documents WHERE slug IS NOT lower(replace(title, ' ', '-'))"
        assert raw.execute(wrong).fetchone() == (0,)
    print(took, resident("VmHWM"))


if __name__ == "__main__":
    main()
