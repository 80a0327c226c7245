"""The views of the one connection that scripts are given behave as sqlite3's own connections do."""

from __future__ import annotations

import sqlite3
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from alembic_projects import Database, Project, Rev, env
from sqlalchemy import Engine, create_engine, event

from alembic_compat import AlembicMigrator
from sqlmig import MigrationFailed

TABLES = """
CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT);
INSERT INTO t VALUES (1, 'a'), (2, 'b');
CREATE TABLE u (id INTEGER);
CREATE TABLE p (id INTEGER PRIMARY KEY, v INT);
CREATE TABLE c (id INTEGER PRIMARY KEY, pid INT REFERENCES p (id) ON DELETE CASCADE);
INSERT INTO p VALUES (1, 0), (2, 1);
INSERT INTO c VALUES (1, 1), (2, 2);
"""


def plain(url: str) -> Engine:
    return create_engine(url)


def enforcing(url: str) -> Engine:
    engine = create_engine(url)
    event.listen(engine, "connect", lambda raw, _: raw.execute("PRAGMA foreign_keys = ON").close())
    return engine


def beginning(url: str) -> Engine:
    """SQLAlchemy's recipe for transactions that SQLite really begins."""
    engine = create_engine(url)
    event.listen(engine, "connect", lambda raw, _: setattr(raw, "isolation_level", None))
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN").close())
    return engine


def autocommitting(url: str) -> Engine:
    return create_engine(url, isolation_level="AUTOCOMMIT")


ENGINES = {one.__name__: one for one in (plain, enforcing, beginning, autocommitting)}
ENV = """
import test_alembic_views as made
from alembic import context

engine = made.ENGINES["{kind}"](context.config.get_main_option("sqlalchemy.url"))
with engine.connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
"""


@dataclass(frozen=True)
class Case:
    script: str
    left: list[Any]
    sql: str = "SELECT id FROM u"
    make: Callable[[str], Engine] = plain  # the application's engine
    environments: str = ""  # the one that env.py makes, where it is another
    back: str = "pass"


CASES = {
    "a reader that closes": Case(
        "with op.get_bind().engine.connect() as other:\n"
        "    for i in other.execute(sa.text('SELECT id FROM t')).scalars().all():\n"
        "        op.execute(f'INSERT INTO u VALUES ({i})')",
        [1, 2],
        make=beginning,
    ),
    "executescript": Case(
        "raw = op.get_bind().engine.raw_connection()\n"
        "raw.executescript('INSERT INTO u VALUES (1); INSERT INTO u VALUES (2);')\nraw.close()",
        [1, 2],
    ),
    "executescript that begins": Case(
        "raw = op.get_bind().engine.raw_connection()\n"
        "raw.executescript('INSERT INTO u VALUES (1); BEGIN; INSERT INTO u VALUES (2);')\nraw.rollback()\nraw.close()",
        [1],
    ),
    "row_factory": Case(
        "raw = op.get_bind().engine.raw_connection()\n"
        "raw.dbapi_connection.row_factory = lambda c, r: {d[0]: v for d, v in zip(c.description, r)}\n"
        "found = raw.cursor().execute('SELECT id FROM t').fetchall()\nraw.close()\n"
        "assert found == [{'id': 1}, {'id': 2}]\nop.execute('INSERT INTO u VALUES (3)')",
        [3],
    ),
    "a table replaced by hand": Case(
        "op.execute('CREATE TABLE p_new (id INTEGER PRIMARY KEY, v TEXT)')\n"
        "op.execute('INSERT INTO p_new SELECT * FROM p')\nop.execute('DROP TABLE IF EXISTS main.\"p\"')\n"
        "op.execute('ALTER TABLE p_new RENAME TO p')",
        [1, 2],
        "SELECT id FROM c",
        enforcing,
        environments="plain",
    ),
    "tables dropped parents first": Case(
        "op.drop_table('p')\nop.drop_table('c')",
        [],
        "SELECT name FROM sqlite_master WHERE name IN ('c', 'p')",
        enforcing,
    ),
    "a comment that names the pragma": Case(
        "# Never PRAGMA foreign_keys=OFF here\n'nor PRAGMA foreign_keys=OFF'\nop.execute('DELETE FROM p WHERE id = 2')",
        [1],
        "SELECT id FROM c",
        enforcing,
        back="op.execute('PRAGMA foreign_keys=OFF')",
    ),
    "a quoted pragma": Case(
        "op.execute('PRAGMA \"foreign_keys\"=OFF')\nop.execute('DELETE FROM p WHERE id = 1')",
        [1, 2],
        "SELECT id FROM c",
        enforcing,
    ),
    "ROLLBACK with a comment": Case(
        "for s in ('INSERT INTO u VALUES (0)', 'SAVEPOINT a', 'INSERT INTO u VALUES (1)', 'ROLLBACK /* only */ TO a',\n"
        "          'INSERT INTO u VALUES (2)'):\n    op.execute(s)",
        [0, 2],
    ),
    "a savepoint within one of its name": Case(
        "for s in ('SAVEPOINT a', 'INSERT INTO u VALUES (1)', 'SAVEPOINT a', 'INSERT INTO u VALUES (2)', 'RELEASE a',\n"
        "          'RELEASE a'):\n    op.execute(s)",
        [1, 2],
    ),
    "a savepoint undone": Case(
        "for s in ('SAVEPOINT a', 'INSERT INTO u VALUES (1)', 'ROLLBACK', 'INSERT INTO u VALUES (2)'):\n"
        "    op.execute(s)",
        [2],
        make=autocommitting,
    ),
    "isolation_level = None": Case(
        "raw = op.get_bind().connection.dbapi_connection\nraw.execute('INSERT INTO u VALUES (1)')\n"
        "raw.isolation_level = None\nraw.rollback()\nraw.isolation_level = ''",
        [1],
    ),
    "a batch that failed": Case(
        "op.execute('CREATE TABLE _alembic_tmp_p (x)')\ntry:\n"
        "    with op.batch_alter_table('p', recreate='always') as b:\n        b.alter_column('v', type_=sa.Text())\n"
        "except sa.exc.OperationalError:\n    pass\nop.drop_table('u')",
        [],
        "SELECT name FROM sqlite_master WHERE name = 'u'",
        enforcing,
    ),
    "a batch on a temporary table": Case(
        "op.execute('CREATE TEMP TABLE w (id INTEGER PRIMARY KEY, v INT)')\n"
        "with op.batch_alter_table('w', recreate='always') as b:\n    b.add_column(sa.Column('x', sa.Integer))\n"
        "op.execute('INSERT INTO w VALUES (7, 8, 9)')\nop.execute('INSERT INTO u SELECT id FROM w')",
        [7],
        make=enforcing,
    ),
    "WAL and synchronous": Case(
        "op.execute('PRAGMA journal_mode=WAL')\nop.execute('PRAGMA synchronous=NORMAL')\n"
        "op.execute('INSERT INTO u VALUES (1)')",
        [1],
    ),
    "temp_store": Case("op.execute('PRAGMA temp_store=MEMORY')\nop.execute('INSERT INTO u VALUES (1)')", [1]),
    "nothing but blanks": Case(
        "for s in 'INSERT INTO u VALUES (1);\\n' + ' ' * 60 + '-- no more\\n' + ' ' * 60, ' ' * 200:\n"
        "    for one in s.split(';'):\n        op.get_bind().exec_driver_sql(one)",
        [1],
    ),
    "backup": Case(
        "import sqlite3\nop.execute('INSERT INTO u VALUES (1)')\nop.get_bind().commit()\n"
        "copy = sqlite3.connect(':memory:')\nop.get_bind().connection.dbapi_connection.backup(copy)\n"
        "assert copy.execute('SELECT id FROM u').fetchall() == [(1,)]\ncopy.close()",
        [1],
    ),
}


@pytest.fixture
def databases(tmp_path: Path) -> tuple[Database, Database]:
    found = Database(tmp_path / "ours.db"), Database(tmp_path / "theirs.db")
    for one in found:
        connection = sqlite3.connect(one.path)
        connection.executescript(TABLES)
        connection.close()
    return found


@pytest.mark.parametrize("case", CASES)
def test_a_script_ends_where_alembic_ends(case: str, tmp_path: Path, databases: tuple[Database, Database]) -> None:
    ours, theirs = databases
    one = CASES[case]
    project = Project(tmp_path, ENV.format(kind=one.environments or one.make.__name__))
    project.add(Rev("a1", up=one.script, back=one.back), Rev("a2", down=("a1",), up="pass", back="pass"))
    project.alembic("upgrade", theirs.url, "head")
    assert [row[0] for row in theirs.rows(one.sql)] == one.left
    engine = one.make(ours.url)
    AlembicMigrator(engine, project.config(ours.url)).migrate()
    assert [row[0] for row in ours.rows(one.sql)] == one.left
    assert ours.heads() == ["a2"]
    with engine.connect() as connection:
        # As the application's other connections are.
        assert connection.exec_driver_sql("SELECT 1").one() == (1,)
        attached = {row[1] for row in connection.exec_driver_sql("PRAGMA database_list")} - {"main", "temp"}
        assert not attached
        assert connection.exec_driver_sql("SELECT count(*) FROM sqlite_temp_master").scalar() == 0
    engine.dispose()


def test_foreign_keys_that_env_py_turned_off_stay_off(tmp_path: Path, databases: tuple[Database, Database]) -> None:
    """As Prefect's does around its run, also after a revision that commits by itself."""
    ours, _ = databases
    text = ENV.format(kind="plain").replace(
        "    with context.begin", "    connection.exec_driver_sql('PRAGMA foreign_keys=OFF')\n    with context.begin"
    )
    project = Project(tmp_path, text).add(
        Rev("a1", up="op.execute('COMMIT')\nop.execute('INSERT INTO u VALUES (1)')"),
        Rev("a2", down=("a1",), up=CASES["a table replaced by hand"].script),
    )
    engine = enforcing(ours.url)
    assert AlembicMigrator(engine, project.folder).migrate().applied == [1, 2]
    assert ours.rows("SELECT id FROM c") == [(1,), (2,)]
    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1


def test_the_applications_row_factory_is_that_of_its_scripts(
    tmp_path: Path, databases: tuple[Database, Database]
) -> None:
    ours, _ = databases
    engine = create_engine(ours.url)
    event.listen(engine, "connect", lambda raw, _: setattr(raw, "row_factory", sqlite3.Row))
    up = "found = op.get_bind().connection.cursor().execute('SELECT x FROM t').fetchall()\nassert found[0]['x'] == 'a'"
    project = Project(tmp_path, env()).add(Rev("a1", up=up))
    assert AlembicMigrator(engine, project.folder).migrate().applied == [1]


ORPHANS = {
    "its parent is dropped": "op.drop_table('p')",
    "deleted, and another table rebuilt that had an orphan before": (
        "op.execute('DELETE FROM p WHERE id = 2')\n"
        "with op.batch_alter_table('d', recreate='always') as b: b.alter_column('v', type_=sa.Text())"
    ),
}


@pytest.mark.parametrize("case", ORPHANS)
def test_no_row_loses_its_parent_where_foreign_keys_had_to_be_off(
    case: str, tmp_path: Path, databases: tuple[Database, Database]
) -> None:
    ours, _ = databases
    connection = sqlite3.connect(ours.path)
    connection.executescript(
        "CREATE TABLE d (id INT, v INT, pid INT REFERENCES p (id)); INSERT INTO d VALUES (1, 1, 99)"
    )
    connection.close()
    before = ours.catalogue()
    project = Project(tmp_path, env()).add(Rev("a1", up=ORPHANS[case]))
    with pytest.raises(MigrationFailed, match="1 of c in p" if "deleted" in case else "2 of c in p"):
        AlembicMigrator(enforcing(ours.url), project.folder).migrate()
    assert ours.catalogue() == before


def test_what_a_failed_script_attached_is_detached(tmp_path: Path, databases: tuple[Database, Database]) -> None:
    ours, _ = databases
    flag = tmp_path / "flag"
    up = f"""
        op.execute("ATTACH DATABASE ':memory:' AS legacy")
        op.execute("CREATE TEMP TABLE t AS SELECT * FROM main.t")
        op.execute("CREATE TABLE legacy.x AS SELECT * FROM temp.t")
        import os
        if not os.path.exists({str(flag)!r}):
            raise RuntimeError("the first time")
        op.execute("INSERT INTO u SELECT id FROM legacy.x")
    """
    project = Project(tmp_path, env()).add(Rev("a1", up=textwrap.dedent(up).strip()))
    engine = create_engine(ours.url)
    with pytest.raises(MigrationFailed, match="the first time"):
        AlembicMigrator(engine, project.folder).migrate()
    flag.touch()
    assert AlembicMigrator(engine, project.folder).migrate().applied == [1]
    assert ours.rows("SELECT id FROM u") == [(1,), (2,)]


def test_env_py_with_a_database_of_its_own_beside_the_one_to_migrate(
    tmp_path: Path, databases: tuple[Database, Database]
) -> None:
    """Where it makes several engines, their addresses tell which is ours."""
    ours, _ = databases
    other = Database(tmp_path / "audit.db")
    before = (
        "from sqlalchemy import create_engine, text\n"
        f"with create_engine({other.url!r}).begin() as audit:\n"
        "    audit.execute(text('CREATE TABLE IF NOT EXISTS runs (n INTEGER)'))"
    )
    project = Project(tmp_path, env(before=before)).add(Rev("a1"))
    for url in (None, ours.url):
        if other.path.exists():
            other.path.unlink()
        AlembicMigrator(create_engine(ours.url), project.config(url)).migrate()
        AlembicMigrator(create_engine(ours.url), project.config(url)).rollback_to_version(0)
    assert "runs" in other.tables()
    assert "runs" not in ours.tables()
    assert ours.heads() == []
