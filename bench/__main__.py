"""
Run the benchmark and print its table.

Each figure is the median of several runs, the contestants in turn, each in a fresh process: the machine's speed
drifts, and ratios of runs that lie side by side survive that. Run it with nothing else running.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

from .workloads import write_alembic, write_sqlmig


class Row(NamedTuple):
    """One line of the table."""

    title: str
    job: str
    count: int
    contestants: tuple[str, ...]
    base: str
    """What the ratios are to."""
    start: str
    """The database to begin with: "none", or "head" after everything was applied."""
    target: str


ROWS = (
    Row("import, after SQLAlchemy", "import", 1, ("sqlmig", "alembic"), "sqlmig", "none", "3 ms"),
    Row("boot at head, fresh process", "boot", 100, ("floor", "sqlmig", "alembic"), "floor", "head", "3"),
    Row("boot at head, fresh process", "boot", 1000, ("floor", "sqlmig", "alembic"), "floor", "head", "2"),
    Row("boot at head, again in the process", "again", 100, ("floor", "sqlmig", "alembic"), "floor", "head", "1.2"),
    Row("boot at head, again in the process", "again", 1000, ("floor", "sqlmig"), "floor", "head", "1.2"),
    Row("apply, one transaction each", "apply", 100, ("floor", "sqlmig", "alembic"), "floor", "none", ""),
    Row("apply, one transaction each", "apply", 1000, ("floor", "sqlmig", "alembic"), "floor", "none", "1.2"),
    Row("apply, one transaction each", "apply", 3000, ("floor", "sqlmig"), "floor", "none", "linear"),
    Row("roll back", "rollback", 100, ("floor", "sqlmig", "alembic"), "floor", "head", "1.2"),
)
TOGETHER = Row("apply, all or nothing", "together", 1000, ("bare", "sqlmig"), "floor", "none", "0.6")


class Bench:
    """The folders, the databases at head, and the runs."""

    def __init__(self, home: Path, runs: int) -> None:
        self.home, self.runs = home, runs
        self._made: dict[tuple[str, int], Path] = {}

    def measure(self, row: Row) -> dict[str, float]:
        """The median of each contestant in milliseconds, all of them in turn."""
        took: dict[str, list[int]] = {name: [] for name in row.contestants}
        for _ in range(self.runs):
            for name in row.contestants:
                took[name].append(self.run(row.job, name, row.count, row.start))
        return {name: median(found) / 1e6 for name, found in took.items()}

    def run(self, job: str, contestant: str, count: int, start: str) -> int:
        folder, file = self.folder(contestant, count), self.home / "run.db"
        file.unlink(missing_ok=True)
        if start == "head":
            shutil.copy(self.at_head(contestant, count), file)
        command = [sys.executable, "-m", "bench.contestants", job, contestant, str(file), str(folder), str(count)]
        return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    def folder(self, contestant: str, count: int) -> Path:
        kind = "alembic" if contestant == "alembic" else "sqlmig"
        if (kind, count) not in self._made:
            self._made[kind, count] = (write_alembic if kind == "alembic" else write_sqlmig)(self.home, count)
        return self._made[kind, count]

    def at_head(self, contestant: str, count: int) -> Path:
        kind = "alembic" if contestant == "alembic" else "sqlmig"
        file = self.home / f"{kind}_{count}.db"
        if not file.exists():
            folder = self.folder(contestant, count)
            command = [sys.executable, "-m", "bench.contestants", "apply", kind, str(file), str(folder), str(count)]
            subprocess.run(command, check=True, capture_output=True)
        return file


def line(row: Row, found: dict[str, float], base: float) -> str:
    cells = [f"{row.title:36}", f"{row.count:5}"]
    for name in ("floor", "sqlmig", "alembic"):
        cells.append(f"{found[name]:10.2f}" if name in found else " " * 10)
    for name in ("sqlmig", "alembic"):
        cells.append(f"{found[name] / base:8.2f}" if name in found else " " * 8)
    return " ".join([*cells, f"{row.target:>7}"])


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--runs", type=int, default=7, help="runs of each contestant (7)")
    parser.add_argument("--only", default="", help="rows whose title begins with this")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as home:
        bench = Bench(Path(home), options.runs)
        print(f"{'':42} {'floor ms':>10} {'sqlmig ms':>10} {'alembic ms':>10} {'sqlmig':>8} {'alembic':>8} {'goal':>7}")
        print(f"{'':36} {'':5} {'':10} {'':10} {'':10} {'/floor':>8} {'/floor':>8} {'':>7}")
        for row in ROWS:
            if not row.title.startswith(options.only):
                continue
            found = bench.measure(row)
            print(line(row, found, found.get(row.base, 1.0)), flush=True)
            if row.job == "apply" and row.count == TOGETHER.count:
                together = bench.measure(TOGETHER)
                print(line(TOGETHER, {"sqlmig": together["sqlmig"]}, found["floor"]), flush=True)


main()
