"""
A million rows copied from SQLite into an empty PostgreSQL, MariaDB or SQLite: `python -m bench.copy`.

The floor is the driver's own COPY (psycopg's `cursor.copy`), or executemany elsewhere, with the rows read by sqlite3,
into tables that are there already; nothing of it is looked at again. sqlmig makes the schema, writes, reads all of it
back, compares, and carries the history. Medians of several runs in turn, each in a fresh process over a fresh database.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from sqlalchemy import create_engine, make_url
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError

from sqlmig import Migrator

from .copy_contestants import COLUMNS, SCHEMA

SERVERS = {
    "PostgreSQL": ("SQLMIG_TEST_POSTGRESQL_URL", "postgresql+psycopg://postgres@127.0.0.1:5432/test"),
    "MariaDB": ("SQLMIG_TEST_MYSQL_URL", "mysql+pymysql://root@127.0.0.1:3306/test"),
}
SCRATCH = "sqlmig_bench_copy"
GOAL = 2.0


def prepare(home: Path, rows: int, amount: str) -> None:
    """The source, at the version of its one migration."""
    folder = home / "migrations"
    folder.mkdir(exist_ok=True)
    (folder / "001_accounts.py").write_text(SCHEMA.replace("{amount}", amount))
    file = home / "source.db"
    Migrator(file, folder).migrate()
    raw = sqlite3.connect(file, isolation_level=None)
    raw.execute("PRAGMA synchronous = OFF")
    raw.execute(
        f"INSERT INTO accounts ({COLUMNS})"
        " WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)"
        " SELECT i, 'Somebody Number ' || (i * 48271 % 99991), 'somebody.' || i || '@example.org',"
        " (i * 7919 % 1000003) / 100.0, datetime(1600000000 + i * 61, 'unixepoch') || '.000000', i % 3 = 0 FROM n",
        (rows,),
    )
    raw.close()


def fresh(kind: str, home: Path) -> str:
    """An empty database; its URL."""
    if kind == "SQLite":
        for file in home.glob("target.db*"):
            file.unlink()
        return f"sqlite:///{home / 'target.db'}"
    variable, default = SERVERS[kind]
    url = make_url(os.environ.get(variable) or default)
    admin = create_engine(url, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        _drop(connection)
        connection.exec_driver_sql(f"CREATE DATABASE {SCRATCH}")
    admin.dispose()
    return url.set(database=SCRATCH).render_as_string(hide_password=False)


def _drop(connection: Connection) -> None:
    force = " WITH (FORCE)" if connection.dialect.name == "postgresql" else ""
    connection.exec_driver_sql(f"DROP DATABASE IF EXISTS {SCRATCH}{force}")


def drop(kind: str, home: Path) -> None:
    if kind != "SQLite":
        variable, default = SERVERS[kind]
        admin = create_engine(os.environ.get(variable) or default, isolation_level="AUTOCOMMIT")
        with admin.connect() as connection:
            _drop(connection)
        admin.dispose()


def run(contestant: str, kind: str, home: Path) -> list[int]:
    command = [sys.executable, "-m", "bench.copy_contestants", contestant, str(home / "source.db")]
    done = subprocess.run([*command, fresh(kind, home), str(home / "migrations")], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{contestant}:\n{done.stderr}")
    return [int(number) for number in done.stdout.split()]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.copy", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of the table (1000000)")
    parser.add_argument("--runs", type=int, default=5, help="runs of each contestant (5)")
    parser.add_argument("--only", default="", help="PostgreSQL, MariaDB or SQLite")
    options = parser.parse_args(arguments)
    print(f"{'into':12} {'by hand ms':>11} {'sqlmig ms':>10} {'ratio':>6} {'goal':>5} {'MiB':>7} {'sqlmig MiB':>11}")
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        prepare(home, options.rows, "Double")
        for kind in (*SERVERS, "SQLite"):
            if not kind.startswith(options.only):
                continue
            took: dict[str, list[list[int]]] = {"by hand": [], "sqlmig": []}
            try:
                for _ in range(options.runs):
                    for name in took:
                        took[name].append(run(name, kind, home))
            except DBAPIError as error:
                print(f"{kind:12} is not there: {str(error.orig).splitlines()[0]}")
                continue
            finally:
                drop(kind, home)
            (floor, floor_peak), (ours, peak) = (
                [median(column) for column in zip(*runs, strict=True)] for runs in took.values()
            )
            ratio = ours / floor
            print(
                f"{kind:12} {floor / 1e6:11.0f} {ours / 1e6:10.0f} {ratio:6.2f} {GOAL:5.2f}"
                f" {floor_peak / 1024:7.1f} {peak / 1024:11.1f}{' over' if ratio > GOAL else ''}",
                flush=True,
            )


if __name__ == "__main__":
    main()
