"""A folder to write migrations into, and the databases to run them on."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import postgresql_server
import pytest
from places import ASYNCHRONOUS, KINDS, Engines, Place, opened
from sqlalchemy import Engine, create_engine

from sqlmig import Migrator


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Two for each core, with `-n auto`: tests wait for disks, servers and processes more than they compute."""
    return 2 * (os.cpu_count() or 1)


def pytest_configure(config: pytest.Config) -> None:
    """Databases of tests lie in memory where there is room: a killed process needs no disk to be undone from."""
    memory = Path("/dev/shm")
    # Tests start Python some thousand times, which compiles all that it imports where it may not keep it.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    usable = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 4 * 2**30
    if usable and not config.option.basetemp:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(memory))
    if not hasattr(config, "workerinput"):
        postgresql_server.start_run()


def pytest_unconfigure(config: pytest.Config) -> None:
    postgresql_server.end_run()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """
    A test of a place runs on every database, or on those of which it `proves` something.

    By drivers that are awaited only the suite of all databases runs: what else there is looks at connections itself.
    """
    marks = metafunc.definition.iter_markers
    if "place" in metafunc.fixturenames and not any("place" in str(mark.args[0]) for mark in marks("parametrize")):
        proved = {database for mark in marks("proves") for database in mark.kwargs}
        names = [name for name, kind in KINDS.items() if not proved or kind.database in proved]
        if metafunc.module.__name__ != "test_every_database":
            names = [name for name in names if name not in ASYNCHRONOUS]
        # What awaiting changes is looked at by test_async; here it is all of the promises once more.
        marked = [pytest.param(name, marks=pytest.mark.thorough) if name in ASYNCHRONOUS else name for name in names]
        metafunc.parametrize("place", marked, indirect=True)


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    with opened(KINDS[request.param], tmp_path) as found:
        yield found


@pytest.fixture
def engines(place: Place) -> Engines:
    """Makes engines of one connection each; its arguments are what that says when it is new."""

    def engine(*statements: str) -> Engine:
        made: Engine = place.engine(pool_size=1, max_overflow=0)
        with made.connect() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)
            connection.commit()
        return made

    return engine


class Folder:
    """A migrations folder that a test fills."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)

    def add(self, version: int, up: str = "pass", down: str | None = None, extra: str = "", name: str = "") -> Path:
        """A migration whose `up` and `down` are these lines."""
        lines = [
            "from sqlmig import BaseMigration",
            f"class Step{version}(BaseMigration):",
            f"    version = {version}",
            f"    description = 'step {version}'",
            textwrap.indent(textwrap.dedent(extra), "    "),
            "    def up(self):",
            textwrap.indent(textwrap.dedent(up), "        "),
        ]
        if down is not None:
            lines += ["    def down(self):", textwrap.indent(textwrap.dedent(down), "        ")]
        return self.write(name or f"{version:03}_step_{version}.py", "\n".join(lines) + "\n")

    def table(self, version: int, extra: str = "") -> Path:
        """A migration that makes the table t<version> with a row, and can be rolled back."""
        return self.add(
            version,
            f"""self.execute_sql("CREATE TABLE t{version} (id INTEGER PRIMARY KEY, n TEXT)")
self.execute_sql("INSERT INTO t{version} (id, n) VALUES (1, ?)", ("row",))""",
            f'self.execute_sql("DROP TABLE t{version}")',
            extra,
        )

    def sql(self, version: int, *lines: str, name: str = "") -> Path:
        """A migration in plain SQL, of these lines."""
        return self.write(name or f"{version:03}_step_{version}.sql", "\n".join(lines) + "\n")

    def write(self, name: str, text: str) -> Path:
        path = self.path / name
        path.write_text(text, encoding="utf-8")
        return path


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "versions")


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'app.db'}"


@pytest.fixture
def engine(url: str) -> Engine:
    return create_engine(url)


@pytest.fixture
def migrator(engine: Engine, folder: Folder) -> Migrator:
    return Migrator(engine, folder.path)


@pytest.fixture
def small_disk(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A disk of two megabytes, or of as many as its parameter says."""
    disk = tmp_path / "small"
    disk.mkdir()
    size = f"size={getattr(request, 'param', 2)}m"
    try:
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(disk)], check=False)
    except OSError as error:
        pytest.skip(f"no disk can be mounted: {error}")
    if mounted.returncode:
        pytest.skip("this user may not mount a disk")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


@pytest.fixture
def dump() -> Callable[[Engine], Any]:
    return contents


def contents(engine: Engine) -> dict[str, Any]:
    """The whole of a database but sqlmig's own records: its schema with its rows, and its version."""
    with engine.connect() as connection:
        schema = connection.exec_driver_sql(
            "SELECT type, name, sql FROM sqlite_master"
            " WHERE tbl_name NOT LIKE 'migration\\_%' ESCAPE '\\' ORDER BY 1, 2"
        ).fetchall()
        tables = [row[1] for row in schema if row[0] == "table"]
        rows = {table: connection.exec_driver_sql(f'SELECT * FROM "{table}"').fetchall() for table in tables}
        version = connection.exec_driver_sql("PRAGMA user_version").scalar()
    return {"schema": schema, "rows": rows, "version": version}


def failures(migrator: Migrator) -> list[dict[str, Any]]:
    """The failed entries of the history."""
    return [entry for entry in migrator.get_migration_history() if not entry["success"]]


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """Alembic's own fileConfig(), in tests that run it, switches off every logger of the process."""
    before = {one: (one.disabled, one.level, one.propagate) for one in _loggers()}
    handlers, level = list(logging.root.handlers), logging.root.level
    yield
    for one in _loggers():
        # Also one that a module has brought that was imported meanwhile.
        one.disabled, own, one.propagate = before.get(one, (False, logging.NOTSET, True))
        one.setLevel(own)
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)


def _loggers() -> list[logging.Logger]:
    return [one for one in logging.root.manager.loggerDict.values() if isinstance(one, logging.Logger)]
