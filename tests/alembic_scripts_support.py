"""An Alembic project that a test writes, run by real Alembic and by AlembicMigrator."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.pool import Pool

ENV = """
import sys
from alembic import context
from sqlalchemy import engine_from_config, pool

config = context.config
target_metadata = None


def run_migrations_online():
    connectable = engine_from_config(
        config.get_section(config.config_ini_section, {}), prefix="sqlalchemy.", poolclass=pool.NullPool
    )
    with connectable.connect() as connection:
        context.configure(connection=connection, target_metadata=target_metadata)
        with context.begin_transaction():
            context.run_migrations()


run_migrations_online()
"""

SHOP = """
import os
import sqlalchemy as sa
from sqlalchemy import orm


class Base(orm.DeclarativeBase):
    pass


class Parent(Base):
    __tablename__ = "parent"
    id = sa.Column(sa.Integer, primary_key=True)
    name = sa.Column(sa.String(50), nullable=False)
    children = orm.relationship("Child", back_populates="parent", passive_deletes=True)


class Child(Base):
    __tablename__ = "child"
    id = sa.Column(sa.Integer, primary_key=True)
    parent_id = sa.Column(sa.ForeignKey("parent.id", ondelete="CASCADE"))
    note = sa.Column(sa.String(50))
    parent = orm.relationship("Parent", back_populates="children")


engine = sa.create_engine(os.environ["APP_URL"], connect_args={"timeout": 1})
SessionLocal = orm.sessionmaker(engine)


def shout(bind):
    bind.execute(sa.text("UPDATE parent SET name = upper(name)"))


def without_foreign_keys(bind):
    bind.exec_driver_sql("PRAGMA foreign_keys=OFF")


def with_foreign_keys(bind):
    bind.exec_driver_sql("PRAGMA foreign_keys=ON")
"""

BASE = """
op.create_table(
    "parent", sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.String(50), nullable=False)
)
op.create_table(
    "child",
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("parent_id", sa.Integer, sa.ForeignKey("parent.id", ondelete="CASCADE")),
    sa.Column("note", sa.String(50)),
)
op.execute("INSERT INTO parent (id, name) VALUES (1, 'one'), (2, 'two'), (3, 'three')")
op.execute("INSERT INTO child (id, parent_id, note) VALUES (1, 1, 'a'), (2, 1, 'b'), (3, 2, 'c')")
"""

REVISION = '''"""{name}

Revision ID: {name}
Revises: {before}
"""
from typing import Sequence, Union

import sqlalchemy as sa
from alembic import context, op
{head}

revision: str = {name!r}
down_revision: Union[str, Sequence[str], None] = {before!r}
branch_labels: Union[str, Sequence[str], None] = None
depends_on: Union[str, Sequence[str], None] = None


def upgrade() -> None:
{up}


def downgrade() -> None:
{down}
'''


class Project:
    """An Alembic project in a folder: env.py, an ini file, revisions in one line, the application's module `shop`."""

    def __init__(self, path: Path, *, env: str | None = ENV, shop: str = SHOP) -> None:
        self.path, self.last = path, None
        self.scripts, self.versions, self.ini = path / "alembic", path / "alembic" / "versions", path / "alembic.ini"
        self.versions.mkdir(parents=True)
        if env is not None:
            (self.scripts / "env.py").write_text(env)
        (path / "shop.py").write_text(shop)
        self.ini.write_text(
            f"[alembic]\nscript_location = {self.scripts}\nprepend_sys_path = {path}\npath_separator = os\n"
        )

    last: str | None

    def add(
        self,
        name: str,
        up: str = "pass",
        down: str = "pass",
        *,
        head: str = "",
        before: str | tuple[str, ...] | None = "",
    ) -> Path:
        """A revision after the one written last, or after *before*, whose functions are these lines."""
        before = self.last if before == "" else before
        self.last = name
        text = REVISION.format(name=name, before=before, head=textwrap.dedent(head), up=_body(up), down=_body(down))
        return self.write(f"{name}_step.py", text)

    def base(self) -> Path:
        """The revision `base1`: parent and child, with three rows each."""
        return self.add("base1", BASE, "op.drop_table('child')\nop.drop_table('parent')")

    def write(self, name: str, text: str) -> Path:
        """A file of the folder of versions, as it is."""
        path = self.versions / name
        path.write_text(text)
        return path

    def config(self, url: str) -> Config:
        """The project's configuration, for that database."""
        config = Config(str(self.ini))
        config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
        return config

    def alembic(self, url: str, target: str = "head", *, down: bool = False) -> None:
        """What real Alembic does."""
        with self.fresh(url), _unsynchronised():
            (command.downgrade if down else command.upgrade)(self.config(url), target)

    def migrator(self, database: Any, **options: Any) -> Any:
        """AlembicMigrator over the project; use it inside `fresh`."""
        from alembic_compat import AlembicMigrator

        url = str(database.url) if isinstance(database, Engine) else database
        return AlembicMigrator(database, self.config(url), **options)

    def sqlmig(self, database: Any, target: Any = None, **options: Any) -> Any:
        """What AlembicMigrator does; gives back the migrator."""
        with self.fresh(str(database.url) if isinstance(database, Engine) else database):
            migrator = self.migrator(database, **options)
            if target is None:
                migrator.migrate()
            else:
                migrator.migrate_to_version(target)
            return migrator

    @contextmanager
    def fresh(self, url: str) -> Iterator[None]:
        """A process as it would be started for *url*: none of the project's modules imported, sys.path as before."""
        before, app_url = list(sys.path), os.environ.get("APP_URL")
        os.environ["APP_URL"] = url
        sys.path.insert(0, str(self.path))
        try:
            yield
        finally:
            sys.path[:] = before
            if app_url is None:
                del os.environ["APP_URL"]
            else:
                os.environ["APP_URL"] = app_url
            for name, module in list(sys.modules.items()):
                if str(getattr(module, "__file__", None) or "").startswith(str(self.path)):
                    engine = vars(module).get("engine")
                    if isinstance(engine, Engine):
                        engine.dispose()
                    del sys.modules[name]

    def boot(self, url: str, code: str = "", **options: Any) -> subprocess.Popen[str]:
        """A process that waits for a line on its standard input, and then migrates *url*."""
        script = BOOT.format(options=options, code=textwrap.indent(textwrap.dedent(code), ""))
        return subprocess.Popen(
            [sys.executable, "-c", script, url, str(self.ini)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.path,
            env={**os.environ, "APP_URL": url, "PYTHONPATH": os.pathsep.join(filter(None, [_ROOT, *sys.path]))},
        )


@contextmanager
def _unsynchronised() -> Iterator[None]:
    """Spare the disk: Alembic has each statement of DDL committed by itself, and what it shows is not durability."""

    def spare(raw: Any, _: object) -> None:
        if isinstance(raw, sqlite3.Connection):
            raw.execute("PRAGMA synchronous=OFF").close()

    event.listen(Pool, "connect", spare)
    try:
        yield
    finally:
        event.remove(Pool, "connect", spare)


_ROOT = str(Path(__file__).parents[1])

BOOT = """
import sys
from alembic.config import Config
from sqlalchemy import create_engine
from alembic_compat import AlembicMigrator
url, ini = sys.argv[1:3]
config = Config(ini)
config.set_main_option("sqlalchemy.url", url)
{code}
sys.stdin.readline()
print(AlembicMigrator(create_engine(url), config, **{options!r}).migrate())
"""


def finish(process: subprocess.Popen[str], timeout: float = 30) -> tuple[int, str, str]:
    """Let a `boot` go, and wait for its end; one that hangs is killed, and is a failure."""
    try:
        out, err = process.communicate("go\n", timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        raise AssertionError(f"the process hung: {out}{err}") from None
    return process.returncode, out, err


def strict_engine(url: str) -> Engine:
    """An engine of an application that has foreign keys enforced."""
    engine = create_engine(url)
    event.listen(engine, "connect", lambda raw, _: raw.execute("PRAGMA foreign_keys=ON").close())
    return engine


def file_of(url: str) -> Path:
    return Path(url.removeprefix("sqlite:///"))


def rows(url: str, sql: str) -> list[Any]:
    """The rows of a query over a connection of its own; of one column, the values."""
    raw = sqlite3.connect(file_of(url))
    try:
        found = raw.execute(sql).fetchall()
    finally:
        raw.close()
    return [row[0] if len(row) == 1 else row for row in found]


def catalogue(url: str) -> dict[str, Any]:
    """
    Schema and rows of a database but sqlmig's own tables, in a form in which the order of constraints does not count.
    """
    raw = sqlite3.connect(file_of(url))
    try:
        master = raw.execute(
            "SELECT type, name, tbl_name, sql FROM sqlite_master WHERE tbl_name NOT LIKE 'migration\\_%' ESCAPE '\\'"
        ).fetchall()
        found: dict[str, Any] = {"user_version": raw.execute("PRAGMA user_version").fetchone()[0]}
        for kind, name, _, sql in master:
            if kind == "table":
                found[f"table {name}"] = _table(raw, name, sql)
            elif sql is not None:
                found[f"{kind} {name}"] = _plain(sql)
        return found
    finally:
        raw.close()


def _table(raw: sqlite3.Connection, name: str, sql: str) -> dict[str, Any]:
    quoted = '"' + name.replace('"', '""') + '"'
    indexes = []
    for _, index, *rest in raw.execute(f"PRAGMA index_list({quoted})").fetchall():
        columns = raw.execute('PRAGMA index_xinfo("{}")'.format(index.replace('"', '""'))).fetchall()
        indexes.append((re.sub(r"^(sqlite_autoindex_).*", r"\1", index), tuple(rest), tuple(columns)))
    foreign: dict[int, list[Any]] = {}
    for number, *rest in raw.execute(f"PRAGMA foreign_key_list({quoted})").fetchall():
        foreign.setdefault(number, []).append(tuple(rest))
    kept = " WHERE name NOT LIKE 'migration\\_%' ESCAPE '\\'" if name == "sqlite_sequence" else ""
    return {
        "sql": _parts(sql),
        "columns": raw.execute(f"PRAGMA table_xinfo({quoted})").fetchall(),
        "indexes": sorted(indexes, key=repr),
        "foreign keys": sorted(foreign.values(), key=repr),
        "rows": sorted(raw.execute(f"SELECT * FROM {quoted}{kept}").fetchall(), key=repr),
    }


def _parts(sql: str) -> list[str]:
    """What a CREATE TABLE lists, sorted."""
    start, end = sql.find("("), sql.rfind(")")
    parts, depth, part = [sql[end + 1 :]], 0, ""
    for character in sql[start + 1 : end]:
        depth += {"(": 1, ")": -1}.get(character, 0)
        if character == "," and not depth:
            parts.append(part)
            part = ""
        else:
            part += character
    return sorted(_plain(found) for found in [*parts, part])


def _plain(sql: str) -> str:
    return " ".join(sql.split())


def state(url: str) -> dict[str, Any]:
    """All that a failure must leave as it was: `catalogue`, and which migrations are recorded."""
    if not file_of(url).exists():
        return {}
    recorded = rows(url, "SELECT count(*) FROM sqlite_master WHERE name = 'migration_versions'") == [1]
    versions = rows(url, "SELECT version, state, checksum FROM migration_versions ORDER BY 1") if recorded else []
    return {**catalogue(url), "recorded": versions}


def failed(migrator: Any) -> list[dict[str, Any]]:
    """The failed entries of the history."""
    return [entry for entry in migrator.get_migration_history() if not entry["success"]]


def change(path: Path, name: str, value: str) -> None:
    """Give one of the variables of a revision's file another value."""
    path.write_text(path.read_text().replace(f"{name}: Union[str, Sequence[str], None] = None", f"{name} = {value!r}"))


def write_broken(project: Project, name: str) -> None:
    if name.startswith("cycle") and name != "cycle by depends_on":
        project.add("bb1", before="bb2")
        project.add("bb2", before="bb1")
        if "head" in name:
            project.add("bb3", before="bb2")
    elif name == "cycle by depends_on":
        change(project.add("bb1", before="aa22"), "depends_on", "bb2")
        project.add("bb2", before="bb1")
    elif name == "self-reference":
        project.add("bb1", before="bb1")
    elif name == "missing down_revision":
        project.add("bb1", before="gone99")
    elif name == "missing one of two":
        project.add("bb1", before=("aa22", "gone99"))
    elif name == "missing depends_on":
        change(project.add("bb1", before="aa22"), "depends_on", "gone99")
    elif name == "duplicate ids":
        path = project.add("aa22", before="aa11")
        path.with_name("again_step.py").write_text(path.read_text())
    elif name == "duplicate labels":
        for n in (1, 2):
            change(project.add(f"bb{n}", before="aa22"), "branch_labels", "twice")
    else:
        change(project.add("bb1", before="aa22"), "branch_labels", "aa11")


def _body(lines: str) -> str:
    return textwrap.indent(textwrap.dedent(lines).strip("\n") or "pass", "    ")
