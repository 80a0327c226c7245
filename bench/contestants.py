"""
One measurement in a process of its own: `python -m bench.contestants JOB CONTESTANT FILE FOLDER COUNT`.

Prints nanoseconds. What every contestant has to have before it can begin (SQLAlchemy, an engine) is not counted;
its own import is.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter_ns

import sqlalchemy
import sqlalchemy.dialects.sqlite  # what create_engine loads for everybody
from sqlalchemy import Engine, create_engine, event, text

from .workloads import STATEMENTS, UNDO


def boot_floor(engine: Engine, folder: Path) -> None:
    with engine.connect() as connection:
        connection.execute(text("SELECT max(version) FROM migration_versions")).scalar()
    with os.scandir(folder) as entries:
        for _ in entries:
            pass


def boot_sqlmig(engine: Engine, folder: Path) -> None:
    from sqlmig import Migrator

    Migrator(engine, folder).migrate()


def boot_alembic(engine: Engine, folder: Path) -> None:
    from alembic import command

    command.upgrade(alembic_config(engine, folder), "head")


def alembic_config(engine: Engine, folder: Path):  # type: ignore[no-untyped-def]
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(folder))
    config.set_main_option("sqlalchemy.url", str(engine.url))
    return config


def real_transactions(engine: Engine) -> Engine:
    """The recipe of SQLAlchemy's documentation: without it a failure would not undo the DDL."""

    @event.listens_for(engine, "connect")
    def connect(raw, _):  # type: ignore[no-untyped-def]
        raw.isolation_level = None

    @event.listens_for(engine, "begin")
    def begin(connection) -> None:  # type: ignore[no-untyped-def]
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def by_hand(engine: Engine, versions: range, statements: tuple[str, ...], *, together: bool = False) -> None:
    """The same SQL and one transaction per migration, with no file, no record and no check."""
    real_transactions(engine)
    batches = [list(versions)] if together else [[n] for n in versions]
    with engine.connect() as connection:
        for batch in batches:
            with connection.begin():
                for n in batch:
                    for statement in statements:
                        connection.exec_driver_sql(statement.format(n=n))
                connection.exec_driver_sql(f"PRAGMA user_version = {batch[-1]}")


def apply_sqlmig(engine: Engine, folder: Path, count: int, *, together: bool = False) -> None:
    from sqlmig import Migrator

    assert len(Migrator(engine, folder).migrate(all_or_nothing=together).applied) == count


def rollback_sqlmig(engine: Engine, folder: Path, count: int) -> None:
    from sqlmig import Migrator

    assert len(Migrator(engine, folder).rollback_to_version(0).rolled_back) == count


def rollback_alembic(engine: Engine, folder: Path, count: int) -> None:
    from alembic import command

    command.downgrade(alembic_config(engine, folder), "base")


def import_of(name: str) -> Callable[[], object]:
    def load() -> object:
        module = __import__(name)
        return module.Migrator if name == "sqlmig" else __import__("alembic.command")

    return load


def job(name: str, contestant: str, engine: Engine, folder: Path, count: int) -> Callable[[], object]:
    """What is to be timed."""
    down = range(count, 0, -1)
    table: dict[tuple[str, str], Callable[[], object]] = {
        ("boot", "floor"): lambda: boot_floor(engine, folder),
        ("boot", "sqlmig"): lambda: boot_sqlmig(engine, folder),
        ("boot", "alembic"): lambda: boot_alembic(engine, folder),
        ("apply", "floor"): lambda: by_hand(engine, range(1, count + 1), STATEMENTS),
        ("apply", "sqlmig"): lambda: apply_sqlmig(engine, folder, count),
        ("apply", "alembic"): lambda: boot_alembic(engine, folder),
        ("together", "bare"): lambda: by_hand(engine, range(1, count + 1), STATEMENTS, together=True),
        ("together", "sqlmig"): lambda: apply_sqlmig(engine, folder, count, together=True),
        ("rollback", "floor"): lambda: by_hand(engine, down, UNDO),
        ("rollback", "sqlmig"): lambda: rollback_sqlmig(engine, folder, count),
        ("rollback", "alembic"): lambda: rollback_alembic(engine, folder, count),
        ("import", "sqlmig"): import_of("sqlmig"),
        ("import", "alembic"): import_of("alembic"),
    }
    return table[name, contestant]


def again(name: str, contestant: str, engine: Engine, folder: Path) -> int:
    """The median of many boots in one process, the first of which is not counted."""
    if contestant == "sqlmig":
        from sqlmig import Migrator

        call: Callable[[], object] = Migrator(engine, folder).migrate
    else:
        call = job("boot", contestant, engine, folder, 0)
    call()
    took = sorted(timed(call) for _ in range(30))
    return took[len(took) // 2]


def timed(call: Callable[[], object]) -> int:
    began = perf_counter_ns()
    call()
    return perf_counter_ns() - began


def main() -> None:
    name, contestant, file, folder, count = sys.argv[1:]
    engine = create_engine(f"sqlite:///{file}")
    if name == "again":
        print(again(name, contestant, engine, Path(folder)))
        return
    print(timed(job(name, contestant, engine, Path(folder), int(count))))


if __name__ == "__main__":
    assert sqlalchemy.__version__
    main()
