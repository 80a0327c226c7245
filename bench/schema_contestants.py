"""
One measurement in a process of its own: `python -m bench.schema_contestants CONTESTANT JOB FILE`.

Prints nanoseconds, the peak of the process in KiB, and by how much the operation alone raised it. The connection is
open and everything imported before; the COMMIT is counted.
"""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from time import perf_counter_ns
from typing import Any

from sqlalchemy import create_engine, event

from .contestants import real_transactions
from .schema_jobs import INDEXES, JOBS, LAYOUTS


def floor(layout: str, *, before: bool = False) -> list[str]:
    """A copy of the rows with its indexes: made after them, or *before*; the old table stays."""
    create = LAYOUTS[layout].replace("CREATE TABLE item", "CREATE TABLE copy", 1)
    indexes = [index.format(prefix="copy_", table="copy") for index in INDEXES]
    rows = "INSERT INTO copy SELECT * FROM item"
    return [create, *indexes, rows] if before else [create, rows, *indexes]


def by_hand(connection: Any, statements: list[str]) -> None:
    for statement in statements:
        connection.exec_driver_sql(statement).close()


def operation(contestant: str, name: str) -> Callable[[Any], object]:
    """What is to be timed, given a connection in a transaction; everything that it needs is imported."""
    if contestant in ("floor", "before"):
        return lambda connection: by_hand(connection, floor(name, before=contestant == "before"))
    job = next(job for job in JOBS if job.title == name)
    if contestant == "hand":
        return lambda connection: by_hand(connection, list(job.hand))
    if contestant == "sqlmig":
        from sqlmig.schema import Operations, operations

        assert operations
        load_sqlite()
        return lambda connection: job.sqlmig(Operations(connection))
    from alembic.migration import MigrationContext
    from alembic.operations import Operations as Alembic

    change = job.alembic
    assert change is not None
    return lambda connection: change(Alembic(MigrationContext.configure(connection)))


def load_sqlite() -> None:
    """What sqlmig imports at the first operation."""
    import sqlmig.schema.sqlite.schema as schema

    assert schema


def resident(field: str) -> int:
    """A field of what the system tells of this process, in KiB; where it tells nothing, the peak."""
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(field):
                return int(line.split()[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main() -> None:
    contestant, name, file = sys.argv[1:]
    engine = real_transactions(create_engine(f"sqlite:///{file}"))

    @event.listens_for(engine, "connect")
    def connect(raw: Any, _: Any) -> None:
        raw.execute("PRAGMA foreign_keys = ON")

    call = operation(contestant, name)
    with engine.connect() as connection:
        connection.exec_driver_sql("SELECT name FROM sqlite_master").all()
        connection.rollback()
        connection.exec_driver_sql("SELECT 1")
        before = resident("VmRSS")
        began = perf_counter_ns()
        call(connection)
        connection.commit()
        took = perf_counter_ns() - began
    peak = resident("VmHWM")
    print(took, peak, peak - before)


if __name__ == "__main__":
    main()
