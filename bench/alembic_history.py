"""
AlembicMigrator against Alembic's own command, on one history: empty to head, at head, and at head in a new process.

    python -m bench.alembic_history                     a history of 100 revisions, written for the purpose
    python -m bench.alembic_history --project mlflow    that of an installed application (run it with its interpreter)

Both sides run in turn; what is printed are medians, and the ratio of ours to Alembic's. The new process is one that
connects to its database with SQLAlchemy in any case; a third one does only that.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine

from alembic_compat import AlembicMigrator

ENV = """
from alembic import context
from sqlalchemy import engine_from_config, pool

connectable = engine_from_config(context.config.get_section("alembic"), prefix="sqlalchemy.", poolclass=pool.NullPool)
with connectable.connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
"""

REVISION = '''"""revision {n}

Create Date: 2026-01-01 00:{n:03}
"""
import sqlalchemy as sa
from alembic import op

revision = "r{n:03}"
down_revision = {before!r}


def upgrade():
    op.create_table("t{n}", sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.String(50)))


def downgrade():
    op.drop_table("t{n}")
'''


CONNECTS = """
import sys
from sqlalchemy import create_engine

engine = create_engine(sys.argv[1])
engine.connect().close()
"""
PROCESSES = {
    "floor": CONNECTS,
    "sqlmig": CONNECTS + "from alembic_compat import AlembicMigrator\nAlembicMigrator(engine, sys.argv[2]).migrate()\n",
    "alembic": CONNECTS
    + """
import logging
from alembic import command
from alembic.config import Config

logging.disable(logging.CRITICAL)
config = Config()
config.set_main_option("script_location", sys.argv[2])
config.set_main_option("sqlalchemy.url", sys.argv[1])
command.upgrade(config, "heads")
""",
}


def main() -> None:
    """Measure, and print one line for each figure."""
    logging.disable(logging.CRITICAL)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--project", choices=["mlflow"])
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        scripts, prepare = _mlflow() if options.project else (_written(place), lambda engine: None)
        up: dict[str, list[float]] = {"alembic": [], "sqlmig": []}
        head: dict[str, list[float]] = {"alembic": [], "sqlmig": []}
        for number in range(options.runs + 1):
            for tool in ("alembic", "sqlmig"):
                url = f"sqlite:///{place / f'{tool}{number}.db'}"
                engine = create_engine(url)
                prepare(engine)
                boot = _alembic(url, scripts) if tool == "alembic" else _sqlmig(engine, scripts)
                for figures in (up, head):
                    took = _timed(boot)
                    # The first round imports what both sides need.
                    figures[tool] += [took] if number else []
                engine.dispose()
        fresh: dict[str, list[float]] = {name: [] for name in PROCESSES}
        for number in range(options.runs + 1):
            for name, code in PROCESSES.items():
                command_line = [sys.executable, "-c", code, url, scripts]
                took = _timed(partial(subprocess.run, command_line, check=True, capture_output=True))
                fresh[name] += [took] if number else []
        for name, figures in (("empty to head", up), ("at head", head), ("new process", fresh)):
            ours, theirs = statistics.median(figures["sqlmig"]), statistics.median(figures["alembic"])
            print(
                f"{name:14} sqlmig {ours * 1000:8.1f} ms   alembic {theirs * 1000:8.1f} ms   ratio {ours / theirs:.3f}"
            )
        print(f"{'(connects only)':14} {statistics.median(fresh['floor']) * 1000:21.1f} ms")


def _timed(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def _alembic(url: str, scripts: str) -> Callable[[], object]:
    def boot() -> None:
        config = Config()
        config.set_main_option("script_location", scripts)
        config.set_main_option("sqlalchemy.url", url)
        command.upgrade(config, "heads")

    return boot


def _sqlmig(engine: Any, scripts: str) -> Callable[[], object]:
    # A new one for each boot, as for each boot of a process.
    return lambda: AlembicMigrator(engine, scripts).migrate()


def _written(place: Path) -> str:
    versions = place / "alembic" / "versions"
    versions.mkdir(parents=True)
    (place / "alembic" / "env.py").write_text(ENV)
    for n in range(1, 101):
        before = f"r{n - 1:03}" if n > 1 else None
        (versions / f"r{n:03}.py").write_text(REVISION.format(n=n, before=before))
    return str(place / "alembic")


def _mlflow() -> tuple[str, Callable[[Any], None]]:
    from mlflow.store.db import utils  # type: ignore[import-not-found]
    from mlflow.store.tracking.dbmodels.initial_models import Base  # type: ignore[import-not-found]

    return str(Path(utils.__file__).parent.parent / "db_migrations"), Base.metadata.create_all


if __name__ == "__main__":
    main()
