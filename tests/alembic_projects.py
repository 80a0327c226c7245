"""Throw-away Alembic projects, and what can be said of the databases that they make."""

from __future__ import annotations

import argparse
import json
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from sqlite3 import connect
from typing import Any

import alembic
from alembic import command as alembic_command
from alembic.config import Config

__all__ = [
    "NOWHERE",
    "TEMPLATES",
    "Database",
    "Project",
    "Rev",
    "catalogue",
    "dated",
    "env",
    "template",
    "template_file",
]

# What `alembic init` leaves in the ini: a driver that does not exist.
NOWHERE = "driver://user:pass@localhost/dbname"
_FOLDER = Path(alembic.__file__).parent / "templates"
TEMPLATES = [
    name for name in ("generic", "async", "pyproject", "pyproject_async") if (_FOLDER / name).exists()
]  # the two last since Alembic 1.16
# The records of sqlmig, which Alembic does not know of.
RECORDS = ("migration_versions", "migration_history")

# Alembic's env.py reads the setup of the logging in the ini: nothing of it.
QUIET = """[loggers]
keys = root
[handlers]
keys =
[formatters]
keys =
[logger_root]
level = WARNING
handlers =
"""

REVISION = '''"""{message}

Revision ID: {name}
Revises: {downs}
{date}
"""
from alembic import op
import sqlalchemy as sa

revision = {name!r}
down_revision = {down!r}
branch_labels = {labels!r}
depends_on = {depends!r}

{module}

def upgrade({arguments}) -> None:
{up}


def downgrade({arguments}) -> None:
{down_body}
'''


@dataclass(frozen=True)
class Rev:
    """
    A revision, which by default makes a table of its own with a row, and can be undone.

    Attributes:
        down, depends: Names of revisions; `depends` may have branch labels as well.
        up, back: Lines of Python; None for the table.
        module: Lines above the functions.
        arguments: Of both functions.
        folder: Which of the project's version locations.
        file: The name below it, without `.py`.
    """

    name: str
    down: tuple[str, ...] = ()
    depends: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    up: str | None = None
    back: str | None = None
    module: str = ""
    arguments: str = ""
    folder: int = 0
    file: str | None = None

    @property
    def table(self) -> str:
        # SQLite does not tell capitals from small letters.
        return "t_" + re.sub(r"[^a-z0-9_]", lambda found: f"{ord(found[0]):x}", self.name)

    def text(self, date: str | None) -> str:
        """The file."""
        # Running it twice shows in the rows, and does not fail: a stamped database may have the table.
        up = self.up or (
            f'op.execute("CREATE TABLE IF NOT EXISTS {self.table} (n TEXT)")\n'
            f"op.execute(\"INSERT INTO {self.table} VALUES ('up')\")"
        )
        back = self.back or f'op.execute("DROP TABLE IF EXISTS {self.table}")'
        down = self.down[0] if len(self.down) == 1 else self.down or None
        return REVISION.format(
            message=f"make {self.table}",
            name=self.name,
            downs=", ".join(self.down),
            date=f"Create Date: {date}\n" if date else "",
            down=down,
            labels=self.labels or None,
            depends=self.depends or None,
            module=self.module,
            arguments=self.arguments,
            up=_indented(up),
            down_body=_indented(back),
        )


def dated(number: int) -> str:
    """When a revision was written: each an hour after the one before."""
    return f"2024-01-{1 + number // 24:02} {number % 24:02}:00:00.000000"


class Project:
    """
    An Alembic project in a folder: alembic.ini, alembic/env.py, alembic/script.py.mako and revisions.

    Args:
        text: Of env.py.
        ini: Lines of the section `[alembic]`; None for no ini at all.
        locations: Version folders, relative to `alembic`.
        logs: Whether the ini sets up logging, as Alembic's own does.
    """

    def __init__(
        self,
        root: Path,
        text: str,
        *,
        ini: Mapping[str, str] | None = None,
        locations: Sequence[str] = ("versions",),
        logs: bool = False,
    ) -> None:
        self.root, self.folder = root, root / "alembic"
        self.locations = [self.folder / one for one in locations]
        for one in self.locations:
            one.mkdir(parents=True, exist_ok=True)
        (self.folder / "env.py").write_text(text, encoding="utf-8")
        (self.folder / "script.py.mako").write_text(template_file("generic", "script.py.mako"), encoding="utf-8")
        self.ini = root / "alembic.ini"
        self._write_ini(dict(ini or {}), logs)
        self.revisions: list[Rev] = []
        self.date: Callable[[int], str | None] = dated

    def add(self, *revisions: Rev) -> Project:
        for one in revisions:
            path = self.locations[one.folder] / f"{one.file or one.name + '_make'}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            assert not path.exists(), path
            path.write_text(one.text(self.date(len(self.revisions))), encoding="utf-8")
            self.revisions.append(one)
        return self

    def config(self, url: str | None = None, *, x: Sequence[str] = (), **options: Any) -> Config:
        """A Config, as `alembic` makes one; without *url* the ini's own, which leads nowhere."""
        config = Config(str(self.ini), cmd_opts=argparse.Namespace(x=list(x)), **options)
        if url is not None:
            config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
        return config

    def alembic(self, name: str, url: str | None, *arguments: Any, x: Sequence[str] = (), **options: Any) -> None:
        """Run a command of the real Alembic."""
        getattr(alembic_command, name)(self.config(url, x=x), *arguments, **options)

    def ancestors(self, names: Iterable[str]) -> set[str]:
        """The revisions with all that they need, `depends_on` included."""
        known = {one.name: one for one in self.revisions}
        labelled = {label: one.name for one in self.revisions for label in one.labels}
        found: set[str] = set()
        todo = list(names)
        while todo:
            name = labelled.get(todo[-1], todo[-1])
            todo.pop()
            if name not in found:
                found.add(name)
                todo += [*known[name].down, *known[name].depends]
        return found

    def _write_ini(self, options: dict[str, str], logs: bool) -> None:
        options.setdefault("script_location", "%(here)s/alembic")
        options.setdefault("sqlalchemy.url", NOWHERE)
        options.setdefault("path_separator", "os")
        options.setdefault("version_path_separator", "os")  # before Alembic 1.16
        if len(self.locations) > 1 or self.locations[0].name != "versions":
            listed = os.pathsep.join(f"%(here)s/{one.relative_to(self.root)}" for one in self.locations)
            options.setdefault("version_locations", listed)
        lines = ["[alembic]", *(f"{key} = {value}" for key, value in options.items()), ""]
        text = template_file("generic", "alembic.ini.mako")
        lines.append(text[text.index("[loggers]") :] if logs else QUIET)
        self.ini.write_text("\n".join(lines), encoding="utf-8")


class Database:
    """A SQLite file, read without SQLAlchemy."""

    def __init__(self, path: Path) -> None:
        self.path, self.url = path, f"sqlite:///{path}"

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with closing(connect(self.path)) as connection:
            return connection.execute(sql).fetchall()

    def tables(self) -> set[str]:
        return {name for (name,) in self.rows("SELECT name FROM sqlite_master WHERE type = 'table'")}

    def heads(self, table: str = "alembic_version") -> list[str]:
        """The rows of Alembic's table."""
        if table not in self.tables():
            return []
        return sorted(name for (name,) in self.rows(f'SELECT version_num FROM "{table}"'))

    def recorded(self, table: str = "migration_versions") -> dict[str, int]:
        """For each revision that sqlmig has recorded, its version."""
        if table not in self.tables():
            return {}
        found = self.rows(f'SELECT version, metadata FROM "{table}"')
        return {json.loads(metadata)["revision"]: version for version, metadata in found}

    def catalogue(self) -> dict[str, Any]:
        """All that SQLite knows of the database, with the rows; without sqlmig's records."""
        with closing(connect(self.path)) as connection:
            return catalogue(connection)


def catalogue(connection: Any) -> dict[str, Any]:
    """What `Database.catalogue` gives, of an open connection."""

    def ask(sql: str) -> list[Any]:
        return [tuple(row) for row in connection.execute(sql).fetchall()]

    found: dict[str, Any] = {}
    for kind, name, table, sql in ask("SELECT type, name, tbl_name, sql FROM sqlite_master"):
        if table.startswith(RECORDS) or name.startswith("sqlite_"):
            continue
        # Batch mode writes constraints in an order of its own in every run.
        named = sorted(re.findall(r"CONSTRAINT (\"[^\"]+\"|\w+)", sql or ""))
        found[f"{kind} {name}"] = entry = {"table": table, "constraints": named}
        if kind != "table":
            entry["sql"] = " ".join(sql.split())
            continue
        entry["columns"] = ask(f'PRAGMA table_xinfo("{name}")')
        entry["keys"] = sorted(row[2:] for row in ask(f'PRAGMA foreign_key_list("{name}")'))
        entry["indexes"] = sorted(
            # An index without a name has the number of its constraint in it.
            (row[2:], "" if row[1].startswith("sqlite_") else row[1], ask(f'PRAGMA index_xinfo("{row[1]}")'))
            for row in ask(f'PRAGMA index_list("{name}")')
        )
        entry["rows"] = sorted(ask(f'SELECT * FROM "{name}"'), key=repr)
    return found


def env(configure: str = "", *, before: str = "", after: str = "", run: str = "") -> str:
    """Alembic's generic env.py, with more arguments of `configure()` and `run_migrations()`, and more lines."""
    return template("generic", configure, before=before, run=run) + after


def template(name: str, configure: str = "", *, before: str = "", run: str = "") -> str:
    """The env.py of one of Alembic's templates, or of a project that was made with it and then edited."""
    text = template_file(name, "env.py")
    if before:
        text = text.replace("target_metadata = None\n", f"target_metadata = None\n{before}\n", 1)
        assert before in text
    # Both templates say it in their own layout.
    text, count = re.subn(
        r"connection=connection, target_metadata=target_metadata",
        "connection=connection, target_metadata=target_metadata, " + configure,
        text,
    )
    assert count == 1
    return text.replace("context.run_migrations()", f"context.run_migrations({run})")


def template_file(name: str, file: str) -> str:
    return (_FOLDER / name / file).read_text(encoding="utf-8")


def _indented(text: str) -> str:
    return "\n".join("    " + line for line in text.splitlines() if line.strip()) or "    pass"
