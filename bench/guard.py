"""
What the guard costs: `python -m bench.guard`.

The same migration with `on_data_loss="error"` and with "ignore", in turn, each in a fresh process over a fresh copy of
a table of a million rows with three indexes, which is on the disk and in the system's cache when the time begins.
Medians of several runs, as a ratio to the run that counts nothing.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from .schema_jobs import prepare

_BY_HAND = """
    def up(self):
        self.execute_sql("CREATE TABLE new (id INTEGER PRIMARY KEY, owner INTEGER NOT NULL, name TEXT NOT NULL,"
            " code TEXT, price REAL, amount INTEGER, state TEXT NOT NULL DEFAULT 'new', note TEXT DEFAULT 'none')")
        self.execute_sql("INSERT INTO new SELECT {columns} FROM item")
        self.execute_sql("DROP TABLE item")
        self.execute_sql("ALTER TABLE new RENAME TO item")
        self.execute_sql("CREATE INDEX item_owner ON item (owner)")
        self.execute_sql("CREATE INDEX item_name ON item (name)")
        self.execute_sql("CREATE INDEX item_dear ON item (state, price) WHERE price > 500")
"""
_LISTED = "id, owner, name, code, price, amount, state, {note}"

JOBS = {
    "rebuild by an operation": "    def up(self): self.alter_column('item', 'owner', type_='TEXT')",
    "rebuild by hand": _BY_HAND.format(columns=_LISTED.format(note="note")),
    "rebuild by hand, one expression": _BY_HAND.format(columns=_LISTED.format(note="upper(note)")),
    "drop a column": "    removes = ['item.note']\n    def up(self): self.drop_column('item', 'note')",
    "update every row": "    def up(self): self.execute_sql('UPDATE item SET amount = amount + 1')",
    "delete a tenth": "    def up(self): self.execute_sql('DELETE FROM item WHERE id % 10 = 0')",
    "insert a row": "    def up(self): self.execute_sql(\"INSERT INTO item (owner, name) VALUES (1, 'new')\")",
    "a table beside": "    def up(self): self.execute_sql('CREATE TABLE beside (id INTEGER PRIMARY KEY)')",
}


def run(file: str, folder: str, policy: str) -> float:
    """The milliseconds of one migrate()."""
    from sqlalchemy import create_engine

    from sqlmig import Migrator

    engine = create_engine(f"sqlite:///{file}")
    migrator = Migrator(engine, folder, on_data_loss=policy)  # type: ignore[arg-type]
    began = time.perf_counter()
    migrator.migrate()
    return (time.perf_counter() - began) * 1000


def measure(home: Path, prepared: Path, name: str, body: str, policy: str) -> float:
    folder, file = home / "versions", home / "run.db"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / "001_job.py").write_text(
        f"from sqlmig import BaseMigration\nclass Job(BaseMigration):\n    version = 1\n{body}\n"
    )
    shutil.copyfile(prepared, file)
    with file.open("rb+") as copied:
        os.fsync(copied.fileno())
    command = [sys.executable, "-m", "bench.guard", "--run", str(file), str(folder), policy]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{name}, {policy}:\n{done.stderr}")
    return float(done.stdout)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.guard", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of the table (1000000)")
    parser.add_argument("--runs", type=int, default=5, help="runs of each contestant (5)")
    parser.add_argument("--only", default="", help="jobs whose name begins with this")
    parser.add_argument("--run", nargs=3, metavar=("FILE", "FOLDER", "POLICY"), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.run:
        print(run(*options.run))
        return
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        prepared = home / "prepared.db"
        prepare(prepared, "lines", options.rows)
        print(f"{'':34}{'ignore':>10}{'error':>10}{'ratio':>8}")
        for name, body in JOBS.items():
            if not name.startswith(options.only):
                continue
            took: dict[str, list[float]] = {"ignore": [], "error": []}
            for _ in range(options.runs):
                for policy, times in took.items():
                    times.append(measure(home, prepared, name, body, policy))
            free, guarded = median(took["ignore"]), median(took["error"])
            print(f"{name:34}{free:7.0f} ms{guarded:7.0f} ms{guarded / free:8.2f}", flush=True)


if __name__ == "__main__":
    main()
