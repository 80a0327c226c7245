"""
A column of a million rows filled from another by a Python function: `python -m bench.data`.

The floor is a loop by keyset as somebody writes it by hand, with sqlite3 and executemany, in one transaction. Each
figure is the median of several runs, all contestants in turn, each in a fresh process over a fresh copy of the same
database.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from .data_contestants import CONTESTANTS


def prepare(file: Path, rows: int) -> None:
    """Make the database; nothing of how it is made stays in the file."""
    raw = sqlite3.connect(file, isolation_level=None)
    raw.execute("PRAGMA synchronous = OFF")
    raw.execute("PRAGMA journal_mode = OFF")
    raw.execute("BEGIN")
    raw.execute("CREATE TABLE documents (id INTEGER PRIMARY KEY, title TEXT NOT NULL, slug TEXT)")
    raw.execute(
        "INSERT INTO documents (id, title) WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)"
        " SELECT i, 'The Title of Document ' || (i * 48271 % 99991) FROM n",
        (rows,),
    )
    raw.execute("COMMIT")
    raw.close()


def run(home: Path, contestant: str) -> list[int]:
    file = home / "run.db"
    shutil.copyfile(home / "made.db", file)
    with file.open("rb+") as copied:
        os.fsync(copied.fileno())
    command = [sys.executable, "-m", "bench.data_contestants", contestant, str(file)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{contestant}:\n{done.stderr}")
    return [int(number) for number in done.stdout.split()]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.data", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of the table (1000000)")
    parser.add_argument("--runs", type=int, default=5, help="runs of each contestant (5)")
    options = parser.parse_args(arguments)
    took: dict[str, list[list[int]]] = {name: [] for name in CONTESTANTS}
    with tempfile.TemporaryDirectory() as home:
        prepare(Path(home) / "made.db", options.rows)
        for _ in range(options.runs):
            for name in CONTESTANTS:
                took[name].append(run(Path(home), name))
    found = {name: [median(column) for column in zip(*runs, strict=True)] for name, runs in took.items()}
    floor_ns, floor_peak = found["by hand"]
    print(f"{'':34} {'ms':>8} {'ratio':>6} {'goal':>5} {'MiB':>6} {'more':>6}")
    for name, (ns, peak) in found.items():
        goal = CONTESTANTS[name].goal
        ratio = ns / floor_ns
        cells = [f"{name:34} {ns / 1e6:8.0f} {ratio:6.2f}", f"{goal:5.2f}" if goal else f"{'':5}"]
        cells.append(f"{peak / 1024:6.1f} {(peak - floor_peak) / 1024:6.1f}")
        print(" ".join(cells), "over" if goal and ratio > goal else "")
    print("\nMiB: the peak of the process; more than that of the loop by hand: goal 30.")


if __name__ == "__main__":
    main()
