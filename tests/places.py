"""The databases that the suite runs on: for each test an empty one of its own, and what can be undone there."""

from __future__ import annotations

import os
import signal
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from native_databases import by_driver, scratch_database
from sqlalchemy import Engine, create_engine, event, inspect, make_url
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from sqlmig import MigrationManager, Migrator

if TYPE_CHECKING:
    from conftest import Folder

__all__ = ["ASYNCHRONOUS", "KINDS", "Engines", "Kind", "Place", "at_once", "opened"]

Engines = Callable[..., Engine]


class Kind(NamedTuple):
    """A column of the README's table, and the driver by which a Migrator gets there."""

    database: str
    driver: str


KINDS = {
    "sqlite": Kind("sqlite", "sqlite"),
    "postgresql": Kind("postgresql", "postgresql+psycopg"),
    "mariadb": Kind("mariadb", "mysql+pymysql"),
    "aiosqlite": Kind("sqlite", "sqlite+aiosqlite"),
    "asyncpg": Kind("postgresql", "postgresql+asyncpg"),
    "aiomysql": Kind("mariadb", "mysql+aiomysql"),
}


@contextmanager
def opened(kind: Kind, folder: Path) -> Iterator[Place]:
    """An empty database; skips where there is no server."""
    if kind.database == "sqlite":
        place = Place(kind, URL.create("sqlite", database=str(folder / "app.db")))
        yield place
        place.close()
        return
    with scratch_database(kind.database) as database:
        place = Place(kind, database.connection.engine.url, database.scratch)
        yield place
        place.close()


ASYNCHRONOUS = ("aiosqlite", "asyncpg", "aiomysql")


class Place:
    """
    An empty database, which is looked at by a driver of its own.

    Attributes:
        undoes_ddl: Whether a change of the schema is undone with its transaction.
    """

    def __init__(self, kind: Kind, url: URL, scratch: str = "") -> None:
        self.kind, self.database, self.scratch = kind, kind.database, scratch
        self.undoes_ddl = kind.database != "mariadb"
        self.step = 1 if KINDS[kind.database] == kind else 3
        self._url = url
        self._made: list[Any] = []
        self.look = create_engine(url, poolclass=NullPool, **self._arguments(url.drivername))

    def engine(self, **options: Any) -> Any:
        """What a Migrator is given: an Engine, or an AsyncEngine."""
        driver = options.pop("driver", self.kind.driver)
        url = self._url if driver == self._url.drivername else by_driver(self._url, driver)
        make: Any = create_async_engine if make_url(url).get_dialect().is_async else create_engine
        self._made.append(make(url, **self._arguments(url.drivername), **options))
        return self._made[-1]

    def _arguments(self, driver: str) -> dict[str, Any]:
        """How tables come to be in the test's own schema, where it has no whole database."""
        if self.database != "postgresql":
            return {}
        if driver.endswith("asyncpg"):
            return {"connect_args": {"server_settings": {"search_path": self.scratch}}}
        return {"connect_args": {"options": f"-csearch_path={self.scratch}"}}

    def migrator(self, folder: Folder, engine: Any = None, **options: Any) -> Migrator:
        return Migrator(self.engine() if engine is None else engine, folder.path, **options)

    def manager(self, folder: Folder) -> MigrationManager:
        """What a program that looks at the migrations has, by a driver that is not asynchronous."""
        return Migrator(self.look, folder.path).manager

    def close(self) -> None:
        for engine in self._made:
            getattr(engine, "sync_engine", engine).dispose()

    # Looking

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with self.look.connect() as connection:
            return [tuple(row) for row in connection.exec_driver_sql(query)]

    def run(self, *statements: str) -> None:
        with self.look.begin() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)

    def tables(self, *, all_: bool = False) -> list[str]:
        names = inspect(self.look).get_table_names()
        return sorted(name for name in names if all_ or not name.startswith("migration_"))

    def contents(self) -> dict[str, Any]:
        """All that is in it but sqlmig's own records: what the tables are, and their rows."""
        if self.database == "sqlite":
            from conftest import contents

            return contents(self.look)
        found: dict[str, Any] = {}
        with self.look.connect() as connection:
            inspector = inspect(connection)
            for table in self.tables():
                found[table] = [
                    [str(sorted(column.items(), key=str)) for column in inspector.get_columns(table)],
                    inspector.get_pk_constraint(table),
                    sorted(map(str, inspector.get_indexes(table))),
                    sorted(map(str, inspector.get_unique_constraints(table))),
                    sorted(map(str, inspector.get_foreign_keys(table))),
                    sorted(map(str, connection.exec_driver_sql(f"SELECT * FROM {table}"))),
                ]
        return found

    # Beginning anew

    def clear(self) -> None:
        """Make it empty again, by what costs least there."""
        if self.database == "sqlite":
            for file in Path(str(self._url.database)).parent.glob("app.db*"):
                file.unlink()
        elif tables := self.tables():
            self.run(f"DROP TABLE {', '.join(tables)}")
        if self.database == "postgresql" and (records := self.tables(all_=True)):
            self.run(f"DROP TABLE {', '.join(records)}")
        if self.database == "mariadb":
            # Each CREATE and DROP is written to the disk there.
            for table in self.tables(all_=True):
                self.run(f"DELETE FROM {table}")

    # Killing

    def kills(self, folder: Folder) -> Iterator[int]:
        """
        Kill a process that migrates at each event in turn: a statement begins, has ended, is about to be committed.

        Yields the number of the event, until a process comes to the end; what there is is put back by the caller. Over
        a second driver to the same database, at each third.
        """
        from resumable_support import in_child

        for at in count(1, self.step):
            ended = in_child(lambda at=at: self._migrate(folder, at))
            if not ended:
                return
            assert ended == signal.SIGKILL
            yield at

    def _migrate(self, folder: Folder, at: int) -> None:
        engine = self.engine(poolclass=NullPool)
        Deadly(engine, at, traced=self.kind.driver == "sqlite")
        self.migrator(folder, engine).migrate()


class Deadly:
    """
    Kills its process at the event of a number.

    Only an event before which something was done counts: killed between two reads, nothing else is left.

    Args:
        traced: Whether SQLite itself tells when a statement begins, also those that no engine hears of.
    """

    def __init__(self, engine: Any, at: int, *, traced: bool) -> None:
        self.at, self.count, self.wrote = at, 0, True
        engine = getattr(engine, "sync_engine", engine)
        if traced:
            event.listen(engine, "connect", lambda raw, _: raw.set_trace_callback(self._begins))
            return
        event.listen(engine, "before_cursor_execute", lambda *given: self._begins(given[2]))
        event.listen(engine, "after_cursor_execute", lambda *_: self._look())
        event.listen(engine, "commit", lambda _: self._begins("COMMIT"))

    def _begins(self, statement: str) -> None:
        # What begins with -- is a part of the statement before it.
        if not statement.startswith("--"):
            self._look()
            self.wrote = not _only_reads(statement)

    def _look(self) -> None:
        if self.wrote:
            self.wrote = False
            self.count += 1
            if self.count == self.at:
                os.kill(os.getpid(), signal.SIGKILL)


def _only_reads(statement: str) -> bool:
    """Whether nothing is there after it that was not before: settings and savepoints are gone with a connection."""
    words = statement.lstrip().upper()
    if words.startswith("PRAGMA"):
        return "=" not in words
    return words.startswith(("SELECT", "DESCRIBE", "SHOW", "SET ", "SAVEPOINT", "RELEASE"))


def at_once(processes: int, action: Callable[[], Any]) -> list[int]:
    """Run *action* in so many forks of this process, at one moment; how each of them ended."""
    waiting, go = os.pipe()
    children = []
    for _ in range(processes):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                os.close(go)
                os.read(waiting, 1)
                action()
                code = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(code)
        children.append(child)
    os.close(go)
    os.close(waiting)
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
