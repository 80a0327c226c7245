"""Migrated databases that are kept for tests: made when they must be, whole or not at all, and never an old one."""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import signal
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from conftest import Folder, contents
from places import at_once
from resumable_support import in_child
from sqlalchemy import create_engine, event
from sqlalchemy.engine import Engine

from sqlmig import ConfigurationError, DatabaseLocked, MigrationFailed, Migrator
from sqlmig.testing import Databases, Prepared
from sqlmig.testing import shelf as shelves


class Kept:
    """An application's migrations, and what is kept of them."""

    def __init__(self, folder: Folder, path: Path) -> None:
        self.folder, self.shelf, self.log = folder, path / "shelf", path / "log"

    def add(self, version: int, table: str = "", head: str = "") -> None:
        """A migration that tells that it was run."""
        up = f"{head}\nopen({str(self.log)!r}, 'a').write('{version} ')\n"
        up += f"self.execute_sql('CREATE TABLE {table or f't{version}'} (id INTEGER PRIMARY KEY)')"
        self.folder.add(version, up, f"self.drop_table('{table or f't{version}'}')")

    def databases(self, **options: Any) -> Databases:
        """As a new process has them."""
        return Databases(self.folder.path, folder=self.shelf, **options)

    def runs(self) -> list[str]:
        """The migrations that were run since the last call."""
        found = self.log.read_text().split() if self.log.exists() else []
        self.log.unlink(missing_ok=True)
        return found

    def tables(self, version: int | None = None, **options: Any) -> list[str]:
        """What a copy holds that a new process gets."""
        with self.databases(**options) as databases, databases.engine(version) as engine:
            return tables(engine)

    def files(self) -> list[Path]:
        return sorted(self.shelf.glob("*.db"))


def tables(engine: Engine) -> list[str]:
    with engine.connect() as connection:
        found = connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY 1").scalars()
        return [name for name in found if not name.startswith(("migration_", "sqlite_"))]


@pytest.fixture
def kept(folder: Folder, tmp_path: Path) -> Kept:
    found = Kept(folder, tmp_path)
    for version in (1, 2, 3):
        found.add(version)
    return found


# When one is made anew


def test_a_copy_is_what_migrating_makes(kept: Kept, tmp_path: Path) -> None:
    own = create_engine(f"sqlite:///{tmp_path / 'own.db'}")
    Migrator(own, kept.folder.path).migrate()
    with kept.databases() as databases:
        with databases.engine() as engine:
            found = contents(engine)
        with databases.url(tmp_path) as url:
            on_file = create_engine(url)
            assert contents(on_file) == found == contents(own)
            assert Migrator(on_file, kept.folder.path).migrate().applied == []
            history = Migrator(on_file, kept.folder.path).get_migration_history()
    assert [(entry["version"], entry["success"]) for entry in history] == [(3, True), (2, True), (1, True)]


def test_only_a_new_migration_has_to_be_run(kept: Kept) -> None:
    assert kept.tables() == ["t1", "t2", "t3"]
    assert kept.runs() == ["1", "2", "3"]
    kept.add(4)
    assert kept.tables() == ["t1", "t2", "t3", "t4"]
    assert kept.runs() == ["4"]
    # And while it is written, only that one again.
    kept.add(4, table="other")
    assert kept.tables() == ["other", "t1", "t2", "t3"]
    assert kept.runs() == ["4"]
    kept.add(2, table="second")
    assert kept.tables() == ["other", "second", "t1", "t3"]
    assert kept.runs() == ["1", "2", "3", "4"]
    assert kept.tables(2) == ["second", "t1"]
    assert kept.tables(0) == []


def test_formatting_makes_another_one_as_well(kept: Kept) -> None:
    """For its text is in the records."""
    kept.tables()
    path = next(kept.folder.path.glob("002*"))
    path.write_text(path.read_text() + "\n# A comment.\n")
    kept.runs()
    kept.tables()
    assert kept.runs() == ["1", "2", "3"]


@pytest.mark.parametrize("name", ["helpers.py", "more/helpers.py", "rows.sql"])
def test_a_file_beside_the_migrations(kept: Kept, name: str) -> None:
    path = kept.folder.path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("SELECT = 1\n")
    kept.tables()
    kept.runs()
    assert (kept.tables(), kept.runs()) == (["t1", "t2", "t3"], [])
    path.write_text("SELECT = 2\n")
    kept.tables()
    assert kept.runs() == ["1", "2", "3"]


def test_a_module_of_the_application_s(kept: Kept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that a migration imports, and one that this imports; but none that nobody has to do with."""
    package = tmp_path / "some_application"
    package.mkdir()
    monkeypatch.syspath_prepend(tmp_path)

    def write(**texts: str) -> None:
        for name, text in texts.items():
            (package / f"{name}.py").write_text(text)
        for name in [name for name in sys.modules if name.partition(".")[0] == "some_application"]:
            del sys.modules[name]
        importlib.invalidate_caches()

    write(__init__="", names="from . import deeper\nNAME = deeper.NAME\n", deeper="NAME = 'named'\n", other="")
    kept.folder.add(4, "from some_application.names import NAME\nself.execute_sql(f'CREATE TABLE {NAME} (id INTEGER)')")
    assert kept.tables() == ["named", "t1", "t2", "t3"]
    kept.runs()
    write(other="X = 1\n")
    assert (kept.tables(), kept.runs()) == (["named", "t1", "t2", "t3"], [])
    write(deeper="NAME = 'renamed'\n")
    assert kept.tables() == ["renamed", "t1", "t2", "t3"]
    kept.runs()
    # Also where the migration that imports it was not run in this process.
    write(other="X = 2\n")
    kept.add(5)
    assert kept.tables() == ["renamed", "t1", "t2", "t3", "t5"]
    assert kept.runs() == ["5"]
    write(deeper="NAME = 'again'\n")
    assert kept.tables() == ["again", "t1", "t2", "t3", "t5"]


def test_an_sql_file_elsewhere(kept: Kept, tmp_path: Path) -> None:
    script = tmp_path / "rows.sql"
    script.write_text("CREATE TABLE one (id INTEGER);")
    kept.folder.add(4, f"self.execute_sql_file({str(script)!r})")
    assert "one" in kept.tables()
    script.write_text("CREATE TABLE two (id INTEGER);")
    assert "two" in kept.tables()


def test_options_make_another_one(kept: Kept) -> None:
    kept.tables()
    kept.runs()
    for options in (
        {"options": {"versions_table": "ours"}},
        {"engine_options": {"connect_args": {"cached_statements": 1}}},
    ):
        kept.tables(**options)
        assert kept.runs() == ["1", "2", "3"]
        kept.tables(**options)
        assert kept.runs() == []


def test_another_release_makes_another_one(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    kept.tables()
    kept.runs()
    for name in ("sqlmig.testing.fingerprint.__version__", "sqlite3.sqlite_version"):
        with monkeypatch.context() as context:
            context.setattr(name, "9.9.9")
            kept.tables()
        assert kept.runs() == ["1", "2", "3"]
    monkeypatch.setattr("sqlmig.testing.fingerprint._own_files", lambda: "edited")
    kept.tables()
    assert kept.runs() == ["1", "2", "3"]


def test_old_ones_are_removed(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    kept.tables()
    (first,) = kept.files()
    long_ago = time.time() - shelves.UNUSED_FOR - 60
    os.utime(first, (long_ago, long_ago))
    # One that is used is none.
    kept.tables()
    assert first.stat().st_mtime > long_ago
    os.utime(first, (long_ago, long_ago))
    kept.add(1, table="first")
    kept.tables()
    assert first not in kept.files()
    assert len(list(kept.shelf.glob("*.json"))) == 1
    monkeypatch.setattr(shelves, "KEPT", 3)
    for number in range(5):
        kept.add(1, table=f"first{number}")
        kept.tables()
    assert len(kept.files()) == 3


def test_those_of_one_run_push_out_no_others(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shelves, "KEPT", 2)
    for number in range(4):
        kept.tables(prepare=lambda engine: None, run=f"run {number}")
    assert kept.runs() == ["1", "2", "3"]
    of_runs = sorted(kept.shelf.glob("run*.db"))
    assert len(of_runs) == 4
    long_ago = time.time() - shelves.RUN_OVER_AFTER - 60
    for path in of_runs[:3]:
        os.utime(path, (long_ago, long_ago))
    kept.tables(prepare=lambda engine: None, run="another")
    assert len(sorted(kept.shelf.glob("run*.db"))) == 2
    assert len(kept.files()) == 3


def test_one_that_is_in_use_goes_on_when_it_is_removed(kept: Kept, tmp_path: Path) -> None:
    with kept.databases() as databases:
        with databases.engine() as engine:
            assert tables(engine) == ["t1", "t2", "t3"]
        for path in kept.shelf.iterdir():
            path.unlink()
        with databases.engine() as engine, databases.url(tmp_path) as url:
            assert tables(engine) == tables(create_engine(url)) == ["t1", "t2", "t3"]


# Whole or not at all


def damage(name: str) -> Callable[[Path, Path], None]:
    def cut(file: Path, _slip: Path) -> None:
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])

    def turn(file: Path, _slip: Path) -> None:
        text = bytearray(file.read_bytes())
        text[5000] ^= 1
        file.write_bytes(text)

    def empty(file: Path, _slip: Path) -> None:
        file.write_bytes(b"")

    def no_slip(_file: Path, slip: Path) -> None:
        slip.unlink()

    def no_file(file: Path, _slip: Path) -> None:
        file.unlink()

    def half_a_slip(_file: Path, slip: Path) -> None:
        slip.write_text(slip.read_text()[:30])

    def other_slip(_file: Path, slip: Path) -> None:
        slip.write_text(json.dumps(["sha256"]))

    kinds = (cut, turn, empty, no_slip, no_file, half_a_slip, other_slip)
    return {kind.__name__: kind for kind in kinds}[name]


@pytest.mark.parametrize("kind", ["cut", "turn", "empty", "no_slip", "no_file", "half_a_slip", "other_slip"])
def test_a_damaged_one_is_made_anew(kept: Kept, kind: str) -> None:
    kept.tables()
    (file,) = kept.files()
    whole = file.read_bytes()
    damage(kind)(file, file.with_suffix(".json"))
    kept.runs()
    assert kept.tables() == ["t1", "t2", "t3"]
    assert kept.runs() == ["1", "2", "3"]
    assert len(file.read_bytes()) == len(whole)
    kept.tables()
    assert kept.runs() == []


def test_killed_whenever_it_writes_it_leaves_nothing_half_made(kept: Kept) -> None:
    """At each call by which a file is opened, renamed or removed in turn, until it comes to its end."""
    kept.shelf.mkdir()
    for at in range(1, 200):
        ended = in_child(lambda at=at: (_Deadly(kept.shelf, at), kept.tables()))
        found = sqlite_files(kept.shelf)
        assert all(tables_of(file) == ["t1", "t2", "t3"] for file in found if not file.name.startswith("making-"))
        if ended == 0:
            break
        assert ended == signal.SIGKILL
        kept.runs()
        assert kept.tables() == ["t1", "t2", "t3"]
        # What was left is gone, where anything had to be made.
        assert not kept.runs() or not list(kept.shelf.glob("making-*"))
        for path in kept.shelf.iterdir():
            path.unlink()
    else:
        pytest.fail("it never came to its end")
    assert at > 10


class _Deadly:
    """Kills its process when it touches the files of a folder for the so-manieth time."""

    def __init__(self, folder: Path, at: int) -> None:
        self._folder, self._left = str(folder), at
        sys.addaudithook(self)

    def __call__(self, what: str, arguments: tuple[Any, ...]) -> None:
        if what in ("open", "os.rename", "os.remove", "sqlite3.connect", "os.utime") and self._is_there(arguments):
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    def _is_there(self, arguments: tuple[Any, ...]) -> bool:
        name = arguments[0]
        return isinstance(name, str | os.PathLike) and os.fspath(name).startswith(self._folder)


def sqlite_files(folder: Path) -> Iterator[Path]:
    """Those that count for anything: with a slip."""
    return (file for file in folder.glob("*.db") if file.with_suffix(".json").exists())


def tables_of(file: Path) -> list[str]:
    engine = create_engine(f"sqlite:///{file}")
    try:
        return tables(engine)
    finally:
        engine.dispose()


def test_killed_in_a_migration_it_is_made_by_the_next(
    kept: Kept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    kept.folder.add(4, "import os, signal\nif os.environ.get('DEADLY'): os.kill(os.getpid(), signal.SIGKILL)")

    def die() -> None:
        os.environ["DEADLY"] = "1"
        kept.tables()

    assert in_child(die) == signal.SIGKILL
    assert not kept.files()
    assert list(temporary.iterdir())
    kept.runs()
    assert kept.tables() == ["t1", "t2", "t3"]
    assert kept.runs() == ["1", "2", "3"]
    # What it had begun is gone.
    assert not list(temporary.iterdir())


def test_one_process_of_many_makes_it(kept: Kept) -> None:
    assert at_once(8, kept.tables) == [0] * 8
    assert kept.runs() == ["1", "2", "3"]


def test_threads_make_it_once(kept: Kept) -> None:
    with kept.databases() as databases:
        found: list[list[str]] = []

        def look() -> None:
            with databases.engine() as engine:
                found.append(tables(engine))

        threads = [threading.Thread(target=look) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found == [["t1", "t2", "t3"]] * 8
    assert kept.runs() == ["1", "2", "3"]


def test_threads_and_tasks_that_connect_at_once_share_a_connection(kept: Kept) -> None:
    def connect(engine: Engine) -> int:
        barrier.wait()
        with engine.connect() as connection:
            return id(connection.connection.dbapi_connection)

    barrier = threading.Barrier(8)
    with kept.databases() as databases, databases.engine() as engine, ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(connect, [engine] * 8))) == 1

    async def connect_async(engine: Any) -> int:
        async with engine.connect() as connection:
            return id((await connection.get_raw_connection()).driver_connection)

    async def all_at_once(engine: Any) -> list[int]:
        return await asyncio.gather(*(connect_async(engine) for _ in range(8)))

    with kept.databases() as databases, databases.async_engine() as awaited:
        assert len(set(asyncio.run(all_at_once(awaited)))) == 1


def test_who_waits_too_long_says_for_what(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    kept.shelf.mkdir()
    holder = sqlite3.connect(kept.shelf / "lock", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    monkeypatch.setattr(shelves, "PATIENCE", 0.05)
    with pytest.raises(DatabaseLocked, match="another run of the tests migrates the database"):
        kept.tables()
    holder.close()
    assert kept.tables() == ["t1", "t2", "t3"]


def test_a_folder_that_cannot_be_used(kept: Kept) -> None:
    (kept.shelf / "lock").mkdir(parents=True)
    with pytest.raises(ConfigurationError, match=r"cannot be used: .*shelf"):
        kept.tables()
    with pytest.raises(ConfigurationError, match="or name another: cache_dir"):
        Databases(kept.folder.path, folder=next(kept.folder.path.iterdir())).image()


def test_a_folder_that_is_removed_meanwhile(kept: Kept) -> None:
    """By `pytest --cache-clear` in another run, say: what was made is good for this process."""
    kept.folder.add(4, f"import shutil\nshutil.rmtree({str(kept.shelf)!r})")
    assert kept.tables() == ["t1", "t2", "t3"]
    assert kept.runs() == ["1", "2", "3"]
    assert not kept.shelf.exists()


@pytest.mark.parametrize("small_disk", [1], indirect=True)
def test_a_disk_that_is_full(kept: Kept, small_disk: Path) -> None:
    (small_disk / "other").write_bytes(bytes(900_000))
    kept.add(4)
    kept.folder.add(5, "self.execute_sql('INSERT INTO t1 (id) VALUES (?)', [(n,) for n in range(40000)])")
    kept.shelf = small_disk / "shelf"
    assert kept.tables() == ["t1", "t2", "t3", "t4"]
    assert not kept.files()


def test_migrations_that_fail_are_run_once_and_leave_nothing(kept: Kept) -> None:
    kept.add(4, table="t1")
    with kept.databases() as databases:
        for _ in range(3):
            with pytest.raises(MigrationFailed, match="table t1 already exists"), databases.engine():
                pass
        assert kept.runs() == ["1", "2", "3", "4"]
        with databases.engine(3) as engine:
            assert tables(engine) == ["t1", "t2", "t3"]
    assert len(kept.files()) == 1
    assert not list(kept.shelf.glob("making-*"))


def test_what_prepares_and_fails_leaves_nothing(kept: Kept) -> None:
    def fill(engine: Engine) -> None:
        raise ZeroDivisionError

    with kept.databases(prepare=Prepared(fill, "1")) as databases:
        with pytest.raises(ZeroDivisionError), databases.engine():
            pass
        # That of the migrations alone is whole.
        with databases.engine(3) as engine:
            assert tables(engine) == ["t1", "t2", "t3"]
    assert len(kept.files()) == 1


# What a copy is


def test_a_file_in_wal_is_copied_whole(kept: Kept, tmp_path: Path) -> None:
    def make(url: Any, **options: Any) -> Engine:
        engine = create_engine(url, **options)
        event.listen(engine, "connect", lambda raw, _: raw.execute("PRAGMA journal_mode = WAL").fetchall())
        return engine

    with kept.databases(create_engine=make) as databases:
        with databases.engine() as engine:
            assert tables(engine) == ["t1", "t2", "t3"]
        with databases.url(tmp_path) as url:
            raw = sqlite3.connect(str(url.database))
            assert raw.execute("PRAGMA journal_mode").fetchone() == ("wal",)
            assert raw.execute("SELECT count(*) FROM migration_versions").fetchone() == (3,)
            raw.close()


@pytest.mark.skipif(sys.version_info < (3, 12), reason="autocommit= is there since Python 3.12")
def test_connections_with_autocommit_switched_off(kept: Kept) -> None:
    with kept.databases(engine_options={"connect_args": {"autocommit": False}}) as databases:
        for version in (None, 2):
            with databases.engine(version) as engine:
                assert len(tables(engine)) == version or 3


def test_a_factory_of_the_application_s(kept: Kept) -> None:
    class Own(sqlite3.Connection):
        pass

    with kept.databases(engine_options={"connect_args": {"factory": Own}}) as databases, databases.engine() as engine:
        assert tables(engine) == ["t1", "t2", "t3"]
        with engine.connect() as connection:
            assert isinstance(connection.connection.driver_connection, Own)


def test_records_in_an_attached_file_are_refused(kept: Kept) -> None:
    with pytest.raises(ConfigurationError, match="it is an attached file there"):
        kept.tables(options={"schema": "aux"})
    with pytest.raises(ConfigurationError, match="with which tests make no Migrator"):
        kept.tables(options={"snapshot": True})


def test_a_folder_that_is_relative(kept: Kept, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(kept.folder.path.parent)
    with Databases(kept.folder.path.name, folder=kept.shelf) as databases:
        monkeypatch.chdir(tmp_path.parent)
        with databases.engine() as engine:
            assert databases.project.migrator(engine).get_current_version() == 3
