"""
What telling drift costs: `python -m bench.drift` (or `--url postgresql+psycopg://...`, `mysql+pymysql://...`).

Tables with ten columns, a foreign key, a CHECK and two indexes each, made by twenty migrations, and models that say the
same. The peer is Alembic's `compare_metadata` on the database that is migrated already: it reflects that one and
compares it with the models, where `check` also runs all migrations, creates the models, and compares the three. Both in
turn, each in a fresh process, imports not included; medians.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from time import perf_counter_ns

from sqlalchemy import (
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Numeric,
    String,
    Table,
    make_url,
)
from sqlalchemy.schema import CreateIndex, CreateTable

from .server_boot import engine_of, place_on

GOAL = 2.0
MIGRATIONS = 20


def models(tables: int) -> MetaData:
    metadata = MetaData()
    for number in range(tables):
        Table(
            f"item{number:03}",
            metadata,
            Column("id", Integer, primary_key=True),
            Column("parent", ForeignKey(f"item{max(number - 1, 0):03}.id", name=f"fk_{number}", ondelete="CASCADE")),
            Column("title", String(200), nullable=False),
            Column("price", Numeric(10, 2)),
            CheckConstraint("price >= 0", name=f"ck_{number}"),
            Column("made", DateTime),
            *(Column(f"note{n}", String(40), server_default="x") for n in range(5)),
            Index(f"ix_title_{number}", "title"),
            Index(f"ix_made_{number}", "made", "note0"),
        )
    return metadata


def write(folder: Path, metadata: MetaData, url: str) -> None:
    dialect = make_url(url).get_dialect()()
    found = metadata.sorted_tables
    step = -(-len(found) // MIGRATIONS)
    for number in range(MIGRATIONS):
        statements = [
            str(made.compile(dialect=dialect)).strip()
            for table in found[number * step : (number + 1) * step]
            for made in (
                CreateTable(table),
                *map(CreateIndex, sorted(table.indexes, key=lambda index: str(index.name))),
            )
        ]
        lines = ["from sqlmig import BaseMigration", f"class Step{number + 1}(BaseMigration):"]
        lines += [f"    version = {number + 1}", "    description = 'tables'", "    def up(self):"]
        lines += [f"        self.execute_sql({statement!r})" for statement in statements] or ["        pass"]
        (folder / f"{number + 1:03}_tables.py").write_text("\n".join(lines) + "\n")


@contextmanager
def _file(home: str) -> Iterator[str]:
    yield str(Path(home, "run.db"))


def run(url: str, place: str, contestant: str, folder: str, tables: int) -> int:
    """Nanoseconds of one comparison, which must find nothing."""
    import alembic.autogenerate
    import alembic.migration

    import sqlmig.drift.check
    import sqlmig.runner
    from sqlmig import Migrator

    assert sqlmig
    engine, metadata = engine_of(make_url(url), place), models(tables)
    if contestant == "sqlmig":
        migrator = Migrator(engine, folder)
        began = perf_counter_ns()
        report = migrator.check(metadata)
        took = perf_counter_ns() - began
        assert report, str(report)
        return took
    with engine.connect() as connection:
        ignored = ("migration_versions", "migration_history")
        options = {"include_name": lambda name, kind, _: not (kind == "table" and name in ignored)}
        began = perf_counter_ns()
        context = alembic.migration.MigrationContext.configure(connection, opts=options)
        found = alembic.autogenerate.compare_metadata(context, metadata)
        took = perf_counter_ns() - began
        assert not found, found
        return took


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.drift", description=__doc__)
    parser.add_argument("--url", default="sqlite://", help="a server, and a database of it (SQLite)")
    parser.add_argument("--tables", type=int, default=200, help="how many (200)")
    parser.add_argument("--runs", type=int, default=5, help="runs of each contestant (5)")
    parser.add_argument("--run", nargs=3, metavar=("PLACE", "CONTESTANT", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.run:
        print(run(options.url, *options.run, options.tables))
        return
    from sqlmig import Migrator

    took: dict[str, list[int]] = {"Alembic": [], "sqlmig": []}
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home, "versions")
        folder.mkdir()
        write(folder, models(options.tables), options.url)
        on_server = make_url(options.url).get_backend_name() != "sqlite"
        with place_on(make_url(options.url)) if on_server else _file(home) as place:
            engine = engine_of(make_url(options.url), place)
            Migrator(engine, folder).migrate()
            engine.dispose()
            for _ in range(options.runs):
                for name, found in took.items():
                    command = [sys.executable, "-m", "bench.drift", "--url", options.url]
                    command += ["--tables", str(options.tables), "--run", place, name, str(folder)]
                    found.append(int(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout))
    peer, ours = (median(found) / 1e9 for found in took.values())
    print(
        f"{options.tables} tables: check {ours:.2f} s (goal {GOAL:.1f}), Alembic's compare_metadata {peer:.2f} s,",
        end=" ",
    )
    print(f"ratio {ours / peer:.2f}")


if __name__ == "__main__":
    main()
