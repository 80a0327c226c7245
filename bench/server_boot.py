"""
A boot at head on a server: `python -m bench.server_boot --url postgresql+psycopg://...` (or mysql+pymysql://...).

The floor is SQLAlchemy's connect and one SELECT of the versions table. Each run is a process of its own, the
contestants in turn; SQLAlchemy, the driver and an engine are there before the time begins, and what a contestant
imports is not. Then the same again in that process, over the pool. Medians, as ratios to the floor. The migrations are
in a schema, or a database, that is dropped afterwards.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from time import perf_counter_ns

from sqlalchemy import Engine, create_engine, make_url, text
from sqlalchemy.engine import URL

from .workloads import write_sqlmig

GOAL = 1.5
CONTESTANTS = ("floor", "sqlmig")


def boot(engine: Engine, contestant: str, folder: str) -> None:
    if contestant == "floor":
        with engine.connect() as connection:
            assert connection.execute(text("SELECT max(version) FROM migration_versions")).scalar()
        return
    from sqlmig import Migrator

    assert Migrator(engine, folder).migrate().applied == []


def engine_of(url: URL, place: str) -> Engine:
    if url.get_backend_name() == "postgresql":
        return create_engine(url, connect_args={"options": f"-csearch_path={place}"})
    return create_engine(url.set(database=place))


def run(url: str, place: str, contestant: str, folder: str) -> list[int]:
    """Nanoseconds of the first boot of a process, and of the next."""
    engine, took = engine_of(make_url(url), place), []
    for _ in range(2):
        began = perf_counter_ns()
        boot(engine, contestant, folder)
        took.append(perf_counter_ns() - began)
    return took


@contextmanager
def place_on(url: URL):  # type: ignore[no-untyped-def]
    """The name of a schema, or of a database, that is gone afterwards."""
    name = f"sqlmig_bench_{uuid.uuid4().hex[:12]}"
    kind, all_of_it = ("SCHEMA", " CASCADE") if url.get_backend_name() == "postgresql" else ("DATABASE", "")
    admin = create_engine(url, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.exec_driver_sql(f"CREATE {kind} {name}")
        try:
            yield name
        finally:
            connection.exec_driver_sql(f"DROP {kind} {name}{all_of_it}")
    admin.dispose()


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.server_boot", description=__doc__)
    parser.add_argument("--url", required=True, help="the server, and a database of it")
    parser.add_argument("--migrations", type=int, default=100, help="how many there are (100)")
    parser.add_argument("--runs", type=int, default=25, help="runs of each contestant (25)")
    parser.add_argument("--run", nargs=3, metavar=("PLACE", "CONTESTANT", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.run:
        print(*run(options.url, *options.run))
        return
    from sqlmig import Migrator

    with tempfile.TemporaryDirectory() as home, place_on(make_url(options.url)) as place:
        folder = write_sqlmig(Path(home), options.migrations)
        engine = engine_of(make_url(options.url), place)
        Migrator(engine, folder).migrate()
        engine.dispose()
        took: dict[str, list[list[int]]] = {name: [] for name in CONTESTANTS}
        for _ in range(options.runs):
            for name, found in took.items():
                command = [sys.executable, "-m", "bench.server_boot", "--url", options.url]
                command += ["--run", place, name, str(folder)]
                out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
                found.append([int(number) for number in out.split()])
    print(f"{options.migrations} migrations{'':16}{'floor ms':>10}{'sqlmig ms':>11}{'ratio':>8}{'goal':>7}")
    for title, which in (("a fresh process", 0), ("again in the process", 1)):
        floor, ours = (median(one[which] for one in took[name]) / 1e6 for name in CONTESTANTS)
        print(f"{title:30}{floor:10.2f}{ours:11.2f}{ours / floor:8.2f}{GOAL:7.1f}")


if __name__ == "__main__":
    main()
