"""An Alembic project that a test writes, and what a database holds, as its catalogue tells it."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Engine, create_engine

ENV = """from alembic import context
from sqlalchemy import MetaData, create_engine
with create_engine(context.config.get_main_option("sqlalchemy.url")).connect() as connection:
    context.configure(
        connection=connection, target_metadata=MetaData(naming_convention={naming!r}), version_table={table!r}
    )
    with context.begin_transaction():
        context.run_migrations()
"""


class AlembicProject:
    """A folder with env.py and versions, which Alembic runs."""

    def __init__(
        self, path: Path, *, naming: dict[str, str] | None = None, version_table: str = "alembic_version"
    ) -> None:
        self.path = path
        (path / "versions").mkdir(parents=True)
        (path / "env.py").write_text(ENV.format(naming=naming, table=version_table))

    def add(self, revision: str, down: str | Sequence[str] | None, text: str, **identifiers: Any) -> Path:
        """A revision with this text behind its identifiers."""
        said = {"revision": revision, "down_revision": down, "branch_labels": None, "depends_on": None, **identifiers}
        lines = "".join(f"{key} = {value!r}\n" for key, value in said.items())
        head = f'"""{revision} of the project\n\nRevision ID: {revision}\n"""\nfrom alembic import op\n'
        path = self.path / "versions" / f"{revision}.py"
        path.write_text(f"{head}import sqlalchemy as sa\n\n# revision identifiers, used by Alembic.\n{lines}\n\n{text}")
        return path

    def table(self, revision: str, down: str | Sequence[str] | None, **identifiers: Any) -> Path:
        """A revision that makes a table of its own name with a row."""
        return self.add(
            revision,
            down,
            textwrap.dedent(f"""\
            def upgrade():
                op.create_table("{revision}", sa.Column("id", sa.Integer, primary_key=True), sa.Column("n", sa.Text))
                op.execute("INSERT INTO {revision} (n) VALUES ('row')")


            def downgrade():
                op.drop_table("{revision}")
            """),
            **identifiers,
        )

    def config(self, url: str) -> Config:
        config = Config()
        config.set_main_option("script_location", str(self.path))
        config.set_main_option("sqlalchemy.url", url)
        return config

    def upgrade(self, url: str, revision: str = "heads") -> None:
        command.upgrade(self.config(url), revision)

    def downgrade(self, url: str, revision: str) -> None:
        command.downgrade(self.config(url), revision)


def catalogue(database: Engine | str, *without: str) -> dict[Any, Any]:
    """Everything but the records of the two tools: tables, columns, indexes, foreign keys, triggers, views, rows."""
    engine = database if isinstance(database, Engine) else create_engine(database)
    found: dict[Any, Any] = {}
    with engine.connect() as connection:
        ask = connection.exec_driver_sql
        for kind, name, table in ask("SELECT type, name, tbl_name FROM sqlite_master").fetchall():
            if table.startswith(("migration_", "sqlite_")) or table in ("alembic_version", *without):
                continue
            found[kind, name] = table
            if kind == "table":
                indexes = ask(f'PRAGMA index_list("{name}")').fetchall()
                shapes = [(*i[2:], *ask(f'PRAGMA index_xinfo("{i[1]}")').fetchall()) for i in indexes]
                found[name] = {
                    "columns": ask(f'PRAGMA table_xinfo("{name}")').fetchall(),
                    "indexes": sorted(map(repr, shapes)),
                    "keys": sorted(map(repr, (key[2:] for key in ask(f'PRAGMA foreign_key_list("{name}")')))),
                    "rows": sorted(map(repr, ask(f'SELECT * FROM "{name}"'))),
                }
    return found
