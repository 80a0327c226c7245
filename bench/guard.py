"""
What the guard costs: `python -m bench.guard`, or `python -m bench.guard --url postgresql+psycopg://...`.

The same migration with `on_data_loss="error"` and with "ignore", in turn, each in a fresh process over a fresh copy of
a table of a million rows with three indexes, which is on the disk and in the system's cache when the time begins.
Medians of several runs, as a ratio to the run that counts nothing. Of PostgreSQL, the copies are databases of the
server that is named, made of a template and dropped afterwards.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from sqlalchemy import create_engine, make_url
from sqlalchemy.engine import URL, Connection

from .schema_jobs import INDEXES, prepare

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


_ON_SERVER = """
CREATE TABLE item (
    id serial PRIMARY KEY, owner integer NOT NULL, name text NOT NULL, code text, price real, amount integer,
    state text NOT NULL DEFAULT 'new', note text DEFAULT 'none'
);
INSERT INTO item (owner, name, code, price, amount, state, note)
    SELECT i % 1000 + 1, 'item ' || i, CASE WHEN i % 3 > 0 THEN md5(i::text) END, i % 1000, i % 97,
        (ARRAY['new', 'sold', 'gone'])[i % 3 + 1], CASE WHEN i % 4 > 0 THEN 'a note of ' || i END
    FROM generate_series(1, {rows}) i"""


def run(url: str, folder: str, policy: str) -> float:
    """The milliseconds of one migrate()."""
    from sqlmig import Migrator

    migrator = Migrator(create_engine(url), folder, on_data_loss=policy)  # type: ignore[arg-type]
    began = time.perf_counter()
    migrator.migrate()
    return (time.perf_counter() - began) * 1000


class Files:
    """The table in a SQLite file, and copies of that."""

    def __init__(self, home: Path, rows: int) -> None:
        self._prepared, self._file = home / "prepared.db", home / "run.db"
        prepare(self._prepared, "lines", rows)

    @contextmanager
    def fresh(self) -> Iterator[str]:
        """The URL of a copy."""
        shutil.copyfile(self._prepared, self._file)
        with self._file.open("rb+") as copied:
            os.fsync(copied.fileno())
        yield f"sqlite:///{self._file}"


class Server:
    """The table in a database of PostgreSQL, and databases made of that."""

    def __init__(self, url: URL, rows: int) -> None:
        self._url, self._name = url, f"sqlmig_bench_{uuid.uuid4().hex[:12]}"
        self._admin = create_engine(url, isolation_level="AUTOCOMMIT")
        self._say(f"CREATE DATABASE {self._name}")
        engine = create_engine(url.set(database=self._name), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            self._fill(connection, rows)
        engine.dispose()

    def _fill(self, connection: Connection, rows: int) -> None:
        connection.exec_driver_sql(_ON_SERVER.format(rows=rows), execution_options={"no_parameters": True})
        for index in INDEXES:
            connection.exec_driver_sql(index.format(prefix="item_", table="item"))
        connection.exec_driver_sql("VACUUM ANALYZE item")

    @contextmanager
    def fresh(self) -> Iterator[str]:
        """The URL of a copy."""
        copied = f"{self._name}_run"
        self._say(f"CREATE DATABASE {copied} TEMPLATE {self._name}", "CHECKPOINT")
        try:
            yield self._url.set(database=copied).render_as_string(hide_password=False)
        finally:
            self._say(f"DROP DATABASE {copied}")

    def close(self) -> None:
        """Drop the template."""
        self._say(f"DROP DATABASE {self._name}")

    def _say(self, *statements: str) -> None:
        with self._admin.connect() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)


def measure(home: Path, place: Files | Server, name: str, body: str, policy: str) -> float:
    folder = home / "versions"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / "001_job.py").write_text(
        f"from sqlmig import BaseMigration\nclass Job(BaseMigration):\n    version = 1\n{body}\n"
    )
    with place.fresh() as url:
        command = [sys.executable, "-m", "bench.guard", "--run", url, str(folder), policy]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{name}, {policy}:\n{done.stderr}")
    return float(done.stdout)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.guard", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of the table (1000000)")
    parser.add_argument("--runs", type=int, default=5, help="runs of each contestant (5)")
    parser.add_argument("--only", default="", help="jobs whose name begins with this")
    parser.add_argument("--url", type=make_url, help="a PostgreSQL server; by default it is SQLite")
    parser.add_argument("--run", nargs=3, metavar=("URL", "FOLDER", "POLICY"), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.run:
        print(run(*options.run))
        return
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        place = Server(options.url, options.rows) if options.url else Files(home, options.rows)
        try:
            compare(home, place, options.runs, options.only)
        finally:
            if isinstance(place, Server):
                place.close()


def compare(home: Path, place: Files | Server, runs: int, only: str) -> None:
    """Print a line for each job."""
    print(f"{'':34}{'ignore':>10}{'error':>10}{'ratio':>8}")
    for name, body in JOBS.items():
        if not name.startswith(only):
            continue
        took: dict[str, list[float]] = {"ignore": [], "error": []}
        for _ in range(runs):
            for policy, times in took.items():
                times.append(measure(home, place, name, body, policy))
        free, guarded = median(took["ignore"]), median(took["error"])
        print(f"{name:34}{free:7.0f} ms{guarded:7.0f} ms{guarded / free:8.2f}", flush=True)


if __name__ == "__main__":
    main()
