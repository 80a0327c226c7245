"""A project with two databases."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from alembic_histories import History, above
from alembic_projects import Database
from hypothesis import assume
from sqlalchemy import NullPool, create_engine

from alembic_compat import AlembicMigrator

__all__ = ["Pair", "pair"]


class Pair:
    """A project with two databases: `ours` is migrated by sqlmig or by both tools, `theirs` by Alembic alone."""

    def __init__(self, root: Path, history: History) -> None:
        self.history, self.project = history, history.project(root)
        self.ours, self.theirs = Database(root / "ours.db"), Database(root / "theirs.db")

    def migrator(self, **options: Any) -> AlembicMigrator:
        return AlembicMigrator(create_engine(self.ours.url, poolclass=NullPool), self.project.config(), **options)

    def applied(self, database: Database) -> set[str]:
        """The revisions that Alembic takes for applied."""
        return above(self.project.revisions, database.heads(self.history.heads_table))

    def alembic(self, name: str, target: str, *, assumed: bool = True) -> bool:
        """Run it on `theirs`; where Alembic itself does not do it, the example is none, or the answer is False."""
        before = self.theirs.catalogue()
        try:
            self.project.alembic(name, self.theirs.url, target)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            assume(not assumed and self.theirs.catalogue() == before)
            return False
        heads = self.theirs.heads(self.history.heads_table)
        # Alembic leaves rows of which one is below another now and then, and then contradicts itself.
        assume(
            not any(one in above(self.project.revisions, [other]) for one in heads for other in heads if one != other)
        )
        return True

    def same(self) -> None:
        table = self.history.heads_table
        assert self.ours.heads(table) == self.theirs.heads(table)
        found, expected = self.ours.catalogue(), self.theirs.catalogue()
        if not self.theirs.heads(table):
            # Alembic makes its table even where nothing is to be done.
            for name in [name for name in (*found, *expected) if table in name]:
                found.pop(name, None), expected.pop(name, None)
        assert found == expected


@contextmanager
def pair(history: History) -> Iterator[Pair]:
    with TemporaryDirectory() as folder:
        yield Pair(Path(folder), history)
