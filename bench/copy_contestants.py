"""One run of `bench.copy`: prints its nanoseconds and the peak of the process in KiB."""

from __future__ import annotations

import gc
import resource
import sqlite3
import sys
import time
from pathlib import Path

from sqlalchemy import create_engine, make_url

from sqlmig import Migrator

COLUMNS = "id, name, email, amount, created_at, active"
SCHEMA = """
from sqlalchemy import Boolean, Column, DateTime, Double, Integer, MetaData, String, Table
from sqlalchemy.dialects.mysql import DATETIME

from sqlmig import BaseMigration


class Accounts(BaseMigration):
    version = 1
    description = "Accounts"

    def up(self):
        Table(
            "accounts",
            MetaData(),
            Column("id", Integer, primary_key=True),
            Column("name", String(40), nullable=False),
            Column("email", String(80), nullable=False),
            Column("amount", {amount}),
            Column("created_at", DateTime().with_variant(DATETIME(fsp=6), "mysql", "mariadb")),
            Column("active", Boolean, nullable=False),
        ).create(self.db.connection)
"""
_BATCH = 5_000


def by_hand(source: Path, target: str) -> None:
    """What the driver does by itself, with the rows read by sqlite3: COPY, or executemany; nothing is read back."""
    reader = sqlite3.connect(source).execute(f"SELECT {COLUMNS} FROM accounts")
    dialect = make_url(target).get_backend_name()
    raw = create_engine(target).raw_connection()
    cursor = raw.cursor()
    if dialect == "postgresql":
        with cursor.copy(f"COPY accounts ({COLUMNS}) FROM STDIN") as copy:
            for row in reader:
                copy.write_row(row)
    else:
        mark = "?" if dialect == "sqlite" else "%s"
        sql = f"INSERT INTO accounts ({COLUMNS}) VALUES ({', '.join([mark] * 6)})"
        while rows := reader.fetchmany(_BATCH):
            cursor.executemany(sql, rows)
    raw.commit()
    raw.close()


def main() -> None:
    contestant, source, target, folder = sys.argv[1:]
    if contestant == "by hand":
        # The schema is there already: only the rows are to be measured.
        engine = create_engine(target)
        Migrator(engine, folder).migrate()
        engine.dispose()
    else:
        # Imported by both, so that the peaks can be compared.
        create_engine(target).dispose()
    gc.collect()
    began = time.perf_counter_ns()
    if contestant == "by hand":
        by_hand(Path(source), target)
    else:
        result = Migrator(target, folder).copy_from(source)
        assert result.tables[0].rows
    took = time.perf_counter_ns() - began
    print(took, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


if __name__ == "__main__":
    main()
