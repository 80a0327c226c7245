"""
What a rehearsal costs, against its parts by themselves: `python -m bench.rehearsal`.

The parts are a copy through the backup API, `migrate()`, `rollback_to_version()` and `migrate()` again on that copy.
A rehearsal does the same and looks: it compares schemas, checks integrity and references, and watches the disk. Each
figure is the median of several runs, both contestants in turn, each in a fresh process over the same database.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from statistics import median
from time import perf_counter_ns
from typing import Any, NamedTuple

from .schema_jobs import prepare

GOAL = 1.3


class Job(NamedTuple):
    """A title, and the bodies of `up` and `down` of each migration."""

    title: str
    big: bool
    bodies: Sequence[tuple[str, str]]


JOBS = (
    Job(
        "fill a column",
        True,
        [
            (
                "self.add_column('item', Column('cents', Integer))\n"
                "        self.execute_sql('UPDATE item SET cents = CAST(price * 100 AS INTEGER)')",
                "self.drop_column('item', 'cents')",
            )
        ],
    ),
    Job(
        "rebuild the table",
        True,
        [
            (
                "self.alter_column('item', 'amount', type_=Text())",
                "self.alter_column('item', 'amount', type_=Integer())",
            )
        ],
    ),
    Job(
        "100 small tables",
        False,
        [
            (f"self.execute_sql('CREATE TABLE t{n} (id INTEGER PRIMARY KEY)')", f"self.drop_table('t{n}')")
            for n in range(1, 101)
        ],
    ),
)


def write(folder: Path, job: Job) -> None:
    """The migrations of a job."""
    folder.mkdir()
    for version, (up, down) in enumerate(job.bodies, 1):
        (folder / f"{version:03}_step.py").write_text(
            "from sqlalchemy import Column, Integer, Text\nfrom sqlmig import BaseMigration\n\n\n"
            f"class Step{version}(BaseMigration):\n    version = {version}\n\n"
            f"    def up(self):\n        {up}\n\n    def down(self):\n        {down}\n"
        )


def measure(contestant: str, file: str, folder: str) -> int:
    """Nanoseconds; everything is imported before."""
    from sqlalchemy import create_engine

    import sqlmig.safety.rehearsal as rehearsal
    import sqlmig.schema.sqlite.schema as schema
    from sqlmig import Migrator, Operations, runner

    assert all((rehearsal, schema, Operations, runner))
    run: Callable[[], Any] = _rehearsed(Migrator(create_engine(f"sqlite:///{file}"), folder))
    if contestant == "parts":
        copy = f"{file}.copy"
        run = _parts(file, copy, Migrator(create_engine(f"sqlite:///{copy}"), folder))
    began = perf_counter_ns()
    run()
    took = perf_counter_ns() - began
    if contestant == "parts":
        os.unlink(f"{file}.copy")
    return took


def _rehearsed(migrator: Any) -> Callable[[], Any]:
    def run() -> None:
        report = migrator.rehearse(folder=os.path.dirname(os.path.abspath(migrator.db.engine.url.database)))
        if not report:
            raise SystemExit(str(report))

    return run


def _parts(file: str, copy: str, migrator: Any) -> Callable[[], Any]:
    def run() -> None:
        with closing(sqlite3.connect(file)) as source, closing(sqlite3.connect(copy)) as target:
            source.backup(target)
        migrator.migrate()
        migrator.rollback_to_version(0)
        migrator.migrate()

    return run


def compare(job: Job, home: Path, rows: int, runs: int) -> tuple[float, float]:
    """The medians of both in milliseconds."""
    file, folder = home / ("big.db" if job.big else "small.db"), home / job.title.replace(" ", "_")
    if not file.exists():
        prepare(file, "lines", rows if job.big else 1000)
    write(folder, job)
    took: dict[str, list[int]] = {"parts": [], "rehearsal": []}
    for _ in range(runs):
        for contestant, times in took.items():
            command = [sys.executable, "-m", "bench.rehearsal", "--measure", contestant, str(file), str(folder)]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                raise SystemExit(f"{contestant}, {job.title}:\n{done.stderr}")
            times.append(int(done.stdout))
    return median(took["parts"]) / 1e6, median(took["rehearsal"]) / 1e6


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.rehearsal", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of the table (1000000)")
    parser.add_argument("--runs", type=int, default=5, help="runs of each contestant (5)")
    parser.add_argument("--measure", nargs=3, metavar=("CONTESTANT", "FILE", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.measure:
        print(measure(*options.measure))
        return
    print(f"{'':20} {'parts ms':>10} {'rehearsal ms':>13} {'ratio':>7} {'goal':>6}")
    with tempfile.TemporaryDirectory() as home:
        for job in JOBS:
            parts, whole = compare(job, Path(home), options.rows, options.runs)
            over = "" if whole / parts <= GOAL else "  over"
            print(f"{job.title:20} {parts:10.0f} {whole:13.0f} {whole / parts:7.2f} {GOAL:6.2f}{over}")


if __name__ == "__main__":
    main()
