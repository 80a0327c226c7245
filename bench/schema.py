"""
Operations on a table of a million rows against the floor, a bare edit and Alembic: `python -m bench.schema`.

The floor is one transaction in which the table is made once more, filled by INSERT ... SELECT, and given its indexes
after the rows; the old table stays. "By hand" is what somebody would run who knows that nothing else is to be
looked after. Each figure is the median of several runs, all contestants in turn, each in a fresh process over a fresh
copy of the same database, which is on the disk and in the system's cache when the time begins.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

from .schema_jobs import JOBS, LAYOUTS, Job, prepare


class Measured(NamedTuple):
    """The medians of one contestant: milliseconds, and MiB of the process and of the operation alone."""

    ms: float
    peak: float
    growth: float


class Bench:
    """The prepared databases, and the runs."""

    def __init__(self, home: Path, rows: int, runs: int) -> None:
        self.home, self.rows, self.runs = home, rows, runs

    def measure(self, wanted: Sequence[tuple[str, str, str]]) -> dict[tuple[str, str], Measured]:
        """The medians of each contestant and what it does; given with them, the layout that it begins with."""
        took: dict[tuple[str, str], list[list[int]]] = {(contestant, name): [] for contestant, name, _ in wanted}
        for _ in range(self.runs):
            for contestant, name, layout in wanted:
                took[contestant, name].append(self.run(contestant, name, layout))
        return {key: _medians(runs) for key, runs in took.items()}

    def run(self, contestant: str, name: str, layout: str) -> list[int]:
        file = self.home / "run.db"
        self.copy(layout, file)
        command = [sys.executable, "-m", "bench.schema_contestants", contestant, name, str(file)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{contestant}, {name}:\n{done.stderr}")
        return [int(number) for number in done.stdout.split()]

    def copy(self, layout: str, file: Path) -> None:
        """A fresh copy, brought to the disk: or the COMMIT that is timed would have to do it."""
        made = self.home / f"{layout}.db"
        if not made.exists():
            prepare(made, layout, self.rows)
        shutil.copyfile(made, file)
        with file.open("rb+") as copied:
            os.fsync(copied.fileno())


def _medians(runs: Sequence[Sequence[int]]) -> Measured:
    ns, peak, growth = (median(column) for column in zip(*runs, strict=True))
    return Measured(ns / 1e6, peak / 1024, growth / 1024)


def goal(job: Job, hand: float, floor: float) -> float:
    """The ratio to the floor that sqlmig is to reach."""
    return {"edit": 0.02, "scan": 0.02 + hand / floor, "rebuild": 1.05}[job.goal]


def line(job: Job, found: dict[tuple[str, str], Measured]) -> str:
    floor, hand, sqlmig = found["floor", job.layout], found["hand", job.title], found["sqlmig", job.title]
    alembic = found.get(("alembic", job.title))
    wanted = goal(job, hand.ms, floor.ms)
    cells = [f"{job.title:34}", f"{floor.ms:8.0f} {hand.ms:8.1f} {sqlmig.ms:8.1f}"]
    cells.append(f"{alembic.ms:8.1f}" if alembic else f"{'-':>8}")
    cells.append(f"{hand.ms / floor.ms:8.3f} {sqlmig.ms / floor.ms:8.3f}")
    cells.append(f"{alembic.ms / floor.ms:8.3f}" if alembic else f"{'-':>8}")
    cells.append(f"{wanted:6.3f} {'' if sqlmig.ms / floor.ms <= wanted else 'over':4}")
    cells.append(f"{sqlmig.peak - floor.peak:7.1f} {sqlmig.growth - floor.growth:7.1f}")
    cells.append(f"{alembic.peak - floor.peak:8.1f} {alembic.growth - floor.growth:7.1f}" if alembic else "")
    return " ".join(cells).rstrip()


_TITLES = (" ", *["ms"] * 4, *["/floor"] * 3, " ", " ", *["MiB", "MiB op"] * 2)
_WHOSE = (" ", *["floor", "by hand", "sqlmig", "alembic"], *["by hand", "sqlmig", "alembic"], "goal", " ")
_WIDTHS = (34, *[8] * 7, 6, 4, 7, 7, 8, 7)


def head() -> str:
    whose = (*_WHOSE, "sqlmig", "sqlmig", "alembic", "alembic")
    rows = [zip(words, _WIDTHS, strict=True) for words in (whose, _TITLES)]
    return "\n".join(" ".join(f"{word:>{width}}" for word, width in row).rstrip() for row in rows)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.schema", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of the table (1000000)")
    parser.add_argument("--runs", type=int, default=5, help="runs of each contestant (5)")
    parser.add_argument("--only", default="", help="operations whose title begins with this")
    options = parser.parse_args(arguments)
    jobs = [job for job in JOBS if job.title.startswith(options.only)]
    wanted = []
    for layout in LAYOUTS:
        here = [job for job in jobs if job.layout == layout]
        wanted += [(contestant, layout, layout) for contestant in ("floor", "before") if here]
        for job in here:
            contestants = ("hand", "sqlmig", "alembic") if job.alembic else ("hand", "sqlmig")
            wanted += [(contestant, job.title, layout) for contestant in contestants]
    with tempfile.TemporaryDirectory() as home:
        found = Bench(Path(home), options.rows, options.runs).measure(wanted)
    print(head())
    for job in jobs:
        print(line(job, found))
    print()
    print("MiB: the peak of the process, more than that of the floor; goal 15. op: what the operation itself added.")
    for (contestant, layout), measured in found.items():
        if contestant == "before":
            ratio = measured.ms / found["floor", layout].ms
            print(f"{layout}: {ratio:.2f} of the floor, had the indexes been there (SQLite copies them raw, too).")


if __name__ == "__main__":
    main()
