"""The same migrations for every contestant: each makes a table and puts a row into it."""

from __future__ import annotations

from pathlib import Path

__all__ = ["STATEMENTS", "UNDO", "write_alembic", "write_sqlmig"]

STATEMENTS = (
    "CREATE TABLE t{n} (id INTEGER PRIMARY KEY, name TEXT NOT NULL, note TEXT)",
    "INSERT INTO t{n} (id, name) VALUES (1, 'row')",
)
UNDO = ("DROP TABLE t{n}",)

_SQLMIG = '''"""Table {n}."""

from sqlmig import BaseMigration


class Table{n}(BaseMigration):
    version = {n}
    description = "Table {n}"

    def up(self):
{up}

    def down(self):
{down}
'''

_ALEMBIC = '''"""Table {n}."""

from alembic import op

revision = "r{n}"
down_revision = {before!r}


def upgrade():
{up}


def downgrade():
{down}
'''

_ENV = """from alembic import context
from sqlalchemy import create_engine

engine = create_engine(context.config.get_main_option("sqlalchemy.url"))
with engine.connect() as connection:
    context.configure(connection=connection, transaction_per_migration=True, transactional_ddl=True)
    with context.begin_transaction():
        context.run_migrations()
"""


def write_sqlmig(folder: Path, count: int) -> Path:
    """A folder of *count* migrations."""
    versions = folder / f"sqlmig_{count}"
    versions.mkdir()
    for n in range(1, count + 1):
        text = _SQLMIG.format(
            n=n, up=_calls("self.execute_sql", STATEMENTS, n, 8), down=_calls("self.execute_sql", UNDO, n, 8)
        )
        (versions / f"{n:03}_table_{n}.py").write_text(text)
    return versions


def write_alembic(folder: Path, count: int) -> Path:
    """An Alembic directory of *count* revisions."""
    home = folder / f"alembic_{count}"
    (home / "versions").mkdir(parents=True)
    (home / "env.py").write_text(_ENV)
    for n in range(1, count + 1):
        text = _ALEMBIC.format(
            n=n,
            before=f"r{n - 1}" if n > 1 else None,
            up=_calls("op.execute", STATEMENTS, n, 4),
            down=_calls("op.execute", UNDO, n, 4),
        )
        (home / "versions" / f"r{n}_table.py").write_text(text)
    return home


def _calls(function: str, statements: tuple[str, ...], n: int, indent: int) -> str:
    return "\n".join(f"{' ' * indent}{function}({statement.format(n=n)!r})" for statement in statements)
