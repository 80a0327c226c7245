"""
What a migrated database for each test costs: `python -m bench.test_databases`.

Of 100 migrations, each a table with a row: a private engine in memory as the fixture `migrated_engine` gives it,
against a bare `sqlite3.Connection.backup` of the same template, from memory and from its file, and against
`alembic upgrade head` for each test. All in turn, many times; medians. Each is told twice: connected, and with the
first row read, before which SQLite has to read the whole schema, whoever has copied it.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from time import perf_counter_ns
from typing import NamedTuple

from sqlalchemy import create_engine

from sqlmig.testing import Databases

from .contestants import alembic_config
from .workloads import write_alembic, write_sqlmig

GOAL, GOAL_ALEMBIC = 2.0, 100.0
_READ = "SELECT count(*) FROM t7"


class Contestant(NamedTuple):
    """What is done for each test; how often in a round."""

    title: str
    connected: Callable[[], object]
    read: Callable[[], object]


def contestants(databases: Databases, template: Path, home: Path) -> list[Contestant]:
    """All but Alembic."""
    source = sqlite3.connect(template)
    in_memory = sqlite3.connect(":memory:")
    source.backup(in_memory)

    def bare(read: bool, from_file: bool) -> None:
        opened = sqlite3.connect(template) if from_file else in_memory
        target = sqlite3.connect(":memory:")
        opened.backup(target)
        if read:
            target.execute(_READ).fetchone()
        target.close()
        if from_file:
            opened.close()

    def engine(read: bool) -> None:
        with databases.engine() as made, made.connect() as connection:
            if read:
                connection.exec_driver_sql(_READ).fetchone()

    def file(read: bool) -> None:
        with databases.url(home) as url:
            made = create_engine(url)
            with made.connect() as connection:
                if read:
                    connection.exec_driver_sql(_READ).fetchone()
            made.dispose()
            os.unlink(str(url.database))

    return [
        Contestant("backup, template in memory", lambda: bare(False, False), lambda: bare(True, False)),
        Contestant("backup, template on file", lambda: bare(False, True), lambda: bare(True, True)),
        Contestant("migrated_engine", lambda: engine(False), lambda: engine(True)),
        Contestant("migrated_url, and an engine", lambda: file(False), lambda: file(True)),
    ]


def timed(call: Callable[[], object]) -> int:
    began = perf_counter_ns()
    call()
    return perf_counter_ns() - began


def alembic(home: Path, folder: Path, runs: int) -> float:
    """Microseconds for `upgrade head` of a new database."""
    from alembic import command

    took = []
    for number in range(runs):
        engine = create_engine(f"sqlite:///{home / f'alembic{number}.db'}")
        config = alembic_config(engine, folder)
        took.append(timed(lambda config=config: command.upgrade(config, "head")))  # type: ignore[misc]
    return median(took) / 1000


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.test_databases", description=__doc__)
    parser.add_argument("--migrations", type=int, default=100, help="how many there are (100)")
    parser.add_argument("--rounds", type=int, default=300, help="rounds, in each of which everybody is measured (300)")
    parser.add_argument("--alembic", type=int, default=3, help="runs of Alembic (3)")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as place:
        home = Path(place)
        folder = write_sqlmig(home, options.migrations)
        with Databases(folder, folder=home / "kept") as databases:
            with databases.engine():
                pass
            (template,) = (home / "kept").glob("*.db")
            found = contestants(databases, template, home)
            print(f"{options.migrations} migrations, a template of {template.stat().st_size:,} bytes")
            told = compare(found, options.rounds)
        whole = alembic(home, write_alembic(home, options.migrations), options.alembic)
        print(f"{'alembic upgrade head':30}{whole:14,.0f} us")
        times = whole / told["migrated_engine"]
        print(f"{'':30}{times:14,.0f} times migrated_engine{'' if times >= GOAL_ALEMBIC else '  under the goal'}")


def compare(found: Sequence[Contestant], rounds: int) -> dict[str, float]:
    """Print a line for each; the medians with the first row read, in microseconds."""
    took: dict[str, tuple[list[int], list[int]]] = {one.title: ([], []) for one in found}
    for number in range(rounds + 5):
        for one in found:
            both = timed(one.connected), timed(one.read)
            if number >= 5:
                for times, time in zip(took[one.title], both, strict=True):
                    times.append(time)
    medians = {title: (median(a) / 1000, median(b) / 1000) for title, (a, b) in took.items()}
    floor = medians[found[0].title]
    print(f"{'':30}{'connected':>14}{'ratio':>8}{'a row read':>14}{'ratio':>8}")
    for title, (connected, read) in medians.items():
        over = "  over" if title == "migrated_engine" and read / floor[1] > GOAL else ""
        ratios = connected / floor[0], read / floor[1]
        print(f"{title:30}{connected:11,.0f} us{ratios[0]:8.2f}{read:11,.0f} us{ratios[1]:8.2f}{over}")
    return {title: read for title, (_, read) in medians.items()}


if __name__ == "__main__":
    main()
