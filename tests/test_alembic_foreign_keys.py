"""Engines that enforce foreign keys: no script loses a child row, and enforcement is back where it was."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from alembic_scripts_support import Project, catalogue, rows, strict_engine
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

AFTER = """
op.execute("CREATE TABLE seen (foreign_keys INTEGER)")
op.execute(f"INSERT INTO seen VALUES ({op.get_bind().exec_driver_sql('PRAGMA foreign_keys').scalar()})")
"""
REBUILD = """
op.execute("CREATE TABLE parent_new (id INTEGER PRIMARY KEY, name VARCHAR(60) NOT NULL)")
op.execute("INSERT INTO parent_new SELECT id, name FROM parent")
op.execute("DROP TABLE parent")
op.execute("ALTER TABLE parent_new RENAME TO parent")
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path / "project")


@pytest.fixture
def urls(tmp_path: Path) -> tuple[str, str]:
    """A database for Alembic and one for us."""
    return f"sqlite:///{tmp_path / 'theirs.db'}", f"sqlite:///{tmp_path / 'ours.db'}"


def both(project: Project, urls: tuple[str, str]) -> None:
    """Alembic without enforcement and sqlmig with it end at the same schema and the same rows."""
    theirs, ours = urls
    project.alembic(theirs)
    engine = strict_engine(ours)
    project.sqlmig(engine)
    assert catalogue(ours) == catalogue(theirs)
    assert rows(ours, "PRAGMA foreign_key_check") == []
    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
    engine.dispose()


TABLES: dict[str, str] = {
    **{
        action: f"""
        CREATE TABLE parent (id INTEGER PRIMARY KEY, name VARCHAR(50) NOT NULL);
        CREATE TABLE child (id INTEGER PRIMARY KEY, p INTEGER DEFAULT 1 REFERENCES parent (id) ON DELETE {action});
        INSERT INTO parent VALUES (1, 'one'), (2, 'two');
        INSERT INTO child VALUES (1, 1), (2, 2), (3, 2), (4, NULL)
        """
        for action in ("CASCADE", "SET NULL", "SET DEFAULT", "RESTRICT", "NO ACTION")
    },
    "deferred": """
        CREATE TABLE parent (id INTEGER PRIMARY KEY, name VARCHAR(50) NOT NULL);
        CREATE TABLE child (p INTEGER REFERENCES parent (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED);
        INSERT INTO parent VALUES (1, 'one'), (2, 'two');
        INSERT INTO child VALUES (1), (2), (2)
        """,
    "grandchildren": """
        CREATE TABLE parent (id INTEGER PRIMARY KEY, name VARCHAR(50) NOT NULL);
        CREATE TABLE child (id INTEGER PRIMARY KEY REFERENCES parent (id) ON DELETE CASCADE);
        CREATE TABLE grandchild (id INTEGER PRIMARY KEY, c INTEGER REFERENCES child (id) ON DELETE CASCADE);
        INSERT INTO parent VALUES (1, 'one'), (2, 'two');
        INSERT INTO child VALUES (1), (2);
        INSERT INTO grandchild VALUES (1, 1), (2, 2), (3, 2)
        """,
    "itself": """
        CREATE TABLE parent (id INTEGER PRIMARY KEY, name VARCHAR(50) NOT NULL,
            up INTEGER, FOREIGN KEY (up) REFERENCES parent (id) ON DELETE CASCADE);
        INSERT INTO parent VALUES (1, 'one', NULL), (2, 'two', 1), (3, 'three', 2), (4, 'own', 4)
        """,
    "each other": """
        CREATE TABLE parent (id INTEGER PRIMARY KEY, name VARCHAR(50) NOT NULL,
            best INTEGER, FOREIGN KEY (best) REFERENCES child (id) ON DELETE SET NULL);
        CREATE TABLE child (id INTEGER PRIMARY KEY, p INTEGER REFERENCES parent (id) ON DELETE CASCADE);
        INSERT INTO parent VALUES (1, 'one', NULL), (2, 'two', NULL);
        INSERT INTO child VALUES (1, 1), (2, 2);
        UPDATE parent SET best = id
        """,
    "composite key": """
        CREATE TABLE parent (a INTEGER NOT NULL, b VARCHAR(9) NOT NULL, name VARCHAR(50) NOT NULL, PRIMARY KEY (a, b));
        CREATE TABLE child (a INTEGER, b VARCHAR(9), FOREIGN KEY (a, b) REFERENCES parent (a, b) ON DELETE CASCADE);
        INSERT INTO parent VALUES (1, 'x', 'one'), (1, 'y', 'two');
        INSERT INTO child VALUES (1, 'x'), (1, 'y'), (1, NULL)
        """,
    "unique key": """
        CREATE TABLE parent (id INTEGER PRIMARY KEY, name VARCHAR(50) NOT NULL, CONSTRAINT uq UNIQUE (name));
        CREATE TABLE child (n VARCHAR(50) REFERENCES parent (name) ON UPDATE CASCADE ON DELETE CASCADE);
        INSERT INTO parent VALUES (1, 'one'), (2, 'two');
        INSERT INTO child VALUES ('one'), ('two')
        """,
    "indexes": """
        CREATE TABLE parent (id INTEGER PRIMARY KEY, name VARCHAR(50) NOT NULL);
        CREATE UNIQUE INDEX ix_name ON parent (name);
        CREATE INDEX ix_both ON parent (name, id);
        CREATE TABLE child (id INTEGER PRIMARY KEY, p INTEGER REFERENCES parent (id) ON DELETE CASCADE);
        CREATE INDEX ix_p ON child (p);
        INSERT INTO parent VALUES (1, 'one'), (2, 'two');
        INSERT INTO child VALUES (1, 1)
        """,
    "triggers": """
        CREATE TABLE parent (id INTEGER PRIMARY KEY, name VARCHAR(50) NOT NULL);
        CREATE TABLE child (id INTEGER PRIMARY KEY, p INTEGER REFERENCES parent (id) ON DELETE CASCADE);
        CREATE TABLE log (n TEXT);
        INSERT INTO parent VALUES (1, 'one'), (2, 'two');
        INSERT INTO child VALUES (1, 1);
        CREATE TRIGGER on_child AFTER DELETE ON child BEGIN INSERT INTO log VALUES ('gone'); END;
        CREATE TRIGGER on_parent AFTER DELETE ON parent BEGIN INSERT INTO log VALUES ('parent gone'); END
        """,
    "quotes and spaces": """
        CREATE TABLE parent (id INTEGER PRIMARY KEY, name VARCHAR(50) NOT NULL, "the ""x"" col" INTEGER);
        CREATE TABLE "a child's ""table" (id INTEGER PRIMARY KEY,
            "p id" INTEGER REFERENCES parent (id) ON DELETE CASCADE);
        INSERT INTO parent VALUES (1, 'one', 1), (2, 'two', 2);
        INSERT INTO "a child's ""table" VALUES (1, 1), (2, 2)
        """,
    "without rowid": """
        CREATE TABLE parent (id VARCHAR(9) NOT NULL PRIMARY KEY, name VARCHAR(50) NOT NULL) WITHOUT ROWID;
        CREATE TABLE child (p VARCHAR(9) NOT NULL PRIMARY KEY REFERENCES parent (id) ON DELETE CASCADE) WITHOUT ROWID;
        INSERT INTO parent VALUES ('a', 'one'), ('b', 'two');
        INSERT INTO child VALUES ('a'), ('b')
        """,
}


@pytest.mark.parametrize("tables", TABLES)
def test_a_batch_on_a_parent_keeps_its_children(project: Project, urls: tuple[str, str], tables: str) -> None:
    """Adding, altering, and dropping, each a rebuild."""
    statements = [statement.strip() for statement in _split(TABLES[tables])]
    project.add("tables1", f"for statement in {statements!r}:\n    op.get_bind().exec_driver_sql(statement)")
    project.add(
        "batch2",
        """
        with op.batch_alter_table("parent", recreate="always") as batch:
            batch.add_column(sa.Column("more", sa.Integer, server_default="1"))
        """,
    )
    project.add(
        "batch3",
        """
        with op.batch_alter_table("parent") as batch:
            batch.alter_column("name", existing_type=sa.String(50), type_=sa.String(90), server_default="x")
        with op.batch_alter_table("parent", recreate="always") as batch:
            batch.drop_column("more")
        """,
    )
    both(project, urls)


def test_a_batch_keeps_the_counter_of_autoincrement(project: Project, urls: tuple[str, str]) -> None:
    project.add(
        "tables1",
        """
        op.create_table("parent", sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.String(9)),
                        sqlite_autoincrement=True)
        op.create_table("child", sa.Column("p", sa.Integer, sa.ForeignKey("parent.id", ondelete="CASCADE")))
        op.execute("INSERT INTO parent VALUES (1, 'a'), (90, 'b'), (91, 'c')")
        op.execute("INSERT INTO child VALUES (1), (90)")
        op.execute("DELETE FROM parent WHERE id = 91")
        """,
    )
    project.add(
        "batch2",
        """
        with op.batch_alter_table("parent", recreate="always", table_kwargs={"sqlite_autoincrement": True}) as batch:
            batch.alter_column("name", nullable=False, server_default="x")
        op.execute("INSERT INTO parent (name) VALUES ('d')")
        """,
    )
    both(project, urls)


@pytest.mark.parametrize("legacy", [False, True])
def test_a_batch_under_a_view(project: Project, urls: tuple[str, str], legacy: bool) -> None:
    """Where Alembic is stopped by the view, we may be; then nothing is left of it."""
    theirs, ours = urls
    project.base()
    project.add("view2", "op.execute('CREATE VIEW v AS SELECT name FROM parent')")
    on, off = (f"op.execute('PRAGMA legacy_alter_table={way}')" if legacy else "pass" for way in ("ON", "OFF"))
    project.add(
        "batch3",
        f"{on}\nwith op.batch_alter_table('parent', recreate='always') as batch:\n"
        f"    batch.add_column(sa.Column('more', sa.Integer))\n{off}",
    )
    if legacy:
        both(project, urls)
        return
    with pytest.raises(Exception, match="error in view v"):
        project.alembic(theirs)
    project.sqlmig(strict_engine(ours), "view2")
    before = catalogue(ours)
    try:
        project.sqlmig(strict_engine(ours))
    except Exception:
        assert catalogue(ours) == before
    else:
        assert rows(ours, "SELECT name FROM v") == ["one", "two", "three"]
    assert rows(ours, "SELECT count(*) FROM child") == [3]


def test_enforcement_is_on_for_what_follows_the_batch(project: Project, urls: tuple[str, str]) -> None:
    _, ours = urls
    project.base()
    project.add(
        "batch2",
        """
        with op.batch_alter_table("parent", recreate="always") as batch:
            batch.add_column(sa.Column("more", sa.Integer))
        assert op.get_bind().exec_driver_sql("SELECT count(*) FROM child").scalar() == 3
        op.execute("DELETE FROM parent WHERE id = 1")
        try:
            op.execute("INSERT INTO child (parent_id) VALUES (77)")
        except sa.exc.IntegrityError:
            op.execute("INSERT INTO child (parent_id, note) VALUES (3, 'refused')")
        """,
    )
    engine = strict_engine(ours)
    project.sqlmig(engine)
    assert rows(ours, "SELECT note FROM child ORDER BY id") == ["c", "refused"]
    with pytest.raises(IntegrityError), engine.begin() as connection:
        connection.execute(text("INSERT INTO child (parent_id) VALUES (77)"))
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM parent"))
    assert rows(ours, "SELECT count(*) FROM child") == [0]


def test_enforcement_is_on_in_scripts_that_do_not_speak_of_it(project: Project, urls: tuple[str, str]) -> None:
    _, ours = urls
    project.base()
    project.add("plain2", "op.execute('DELETE FROM parent WHERE id = 1')\n" + AFTER)
    project.sqlmig(strict_engine(ours))
    assert rows(ours, "SELECT note FROM child") == ["c"]
    assert rows(ours, "SELECT * FROM seen") == [1]


def test_a_violation_that_a_batch_would_leave_is_not_made(project: Project, urls: tuple[str, str]) -> None:
    """Rows that the script deletes by a cascade stay deleted; a new foreign key that no row fulfils is said."""
    _, ours = urls
    project.base()
    project.add(
        "batch2",
        """
        op.execute("CREATE TABLE loose (p INTEGER)")
        op.execute("INSERT INTO loose VALUES (1), (99)")
        with op.batch_alter_table("loose", recreate="always") as batch:
            batch.create_foreign_key("fk", "parent", ["p"], ["id"])
        """,
    )
    project.sqlmig(strict_engine(ours), "base1")
    before = catalogue(ours)
    try:
        project.sqlmig(strict_engine(ours))
    except Exception:
        assert catalogue(ours) == before
    else:
        assert rows(ours, "SELECT count(*) FROM loose") == [2]


OFF = {
    "OFF": "op.execute('PRAGMA foreign_keys=OFF')",
    "spaces": "op.execute('  pragma  foreign_keys = off ; ')",
    "0": "op.get_bind().execute(sa.text('PRAGMA foreign_keys=0'))",
    "parentheses": "op.get_bind().exec_driver_sql('PRAGMA foreign_keys(off)')",
    "main": "op.execute('PRAGMA main.foreign_keys=no')",
    "FALSE": "op.execute(sa.text('PRAGMA foreign_keys = FALSE'))",
    "quoted": "op.execute(\"PRAGMA foreign_keys = 'off'\")",
    "comment": "op.execute('-- for the rebuild\\nPRAGMA /* x */ foreign_keys=OFF')",
    "raw cursor": "op.get_bind().connection.cursor().execute('PRAGMA foreign_keys=OFF')",
    "dbapi": "op.get_bind().connection.dbapi_connection.execute('PRAGMA foreign_keys=OFF')",
    "session": "from sqlalchemy.orm import Session\nSession(op.get_bind()).execute(sa.text('PRAGMA foreign_keys=OFF'))",
    "helper": "import shop\nshop.without_foreign_keys(op.get_bind())",
}
ON = "op.execute('PRAGMA foreign_keys=ON')"


@pytest.mark.parametrize("first", [True, False], ids=["first", "after rows were written"])
@pytest.mark.parametrize("way", OFF)
def test_foreign_keys_off_in_a_script_means_it(project: Project, urls: tuple[str, str], way: str, first: bool) -> None:
    """A rebuild by hand keeps the child rows, and after ON a delete cascades again."""
    theirs, ours = urls
    project.base()
    middle = "" if first else "op.execute(\"UPDATE parent SET name = name || '.'\")\n"
    project.add("hand2", f"{middle}{OFF[way]}\n{REBUILD}{ON}\n")
    project.add("cascade3", f"op.execute('DELETE FROM parent WHERE id = 2')\n{AFTER}")
    project.alembic(theirs, "hand2")
    assert rows(theirs, "SELECT count(*) FROM child") == [3]
    engine = strict_engine(ours)
    project.sqlmig(engine, "hand2")
    assert catalogue(ours) == catalogue(theirs)
    project.sqlmig(engine)
    assert rows(ours, "SELECT note FROM child") == ["a", "b"]
    assert rows(ours, "SELECT * FROM seen") == [1]
    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1


SWITCHES = pytest.mark.skipif(
    not hasattr(sqlite3.Connection, "setconfig"),
    reason="a switch in a transaction needs Python 3.12's setconfig()",
)


@SWITCHES
def test_on_again_in_the_same_script_cascades(project: Project, urls: tuple[str, str]) -> None:
    _, ours = urls
    project.base()
    project.add(
        "hand2",
        f"import shop\nshop.without_foreign_keys(op.get_bind())\n{REBUILD}"
        "op.execute('DELETE FROM parent WHERE id = 1')\n"
        "shop.with_foreign_keys(op.get_bind())\nop.execute('DELETE FROM parent WHERE id = 2')\n"
        'op.execute("UPDATE child SET parent_id = 3")',
    )
    project.sqlmig(strict_engine(ours))
    assert rows(ours, "SELECT id, parent_id FROM child ORDER BY id") == [(1, 3), (2, 3)]


def test_off_is_not_left_behind(project: Project, urls: tuple[str, str]) -> None:
    """A script that never says ON: the application's connection has it on, and so has the next run."""
    _, ours = urls
    project.base()
    project.add("hand2", f"{OFF['OFF']}\n{REBUILD}")
    both(project, urls)
    project.add("cascade3", f"op.execute('DELETE FROM parent WHERE id = 2')\n{AFTER}")
    project.sqlmig(strict_engine(ours))
    assert rows(ours, "SELECT note FROM child") == ["a", "b"]
    assert rows(ours, "SELECT * FROM seen") == [1]


def test_off_in_a_failing_script_leaves_nothing(project: Project, urls: tuple[str, str]) -> None:
    _, ours = urls
    project.base()
    engine = strict_engine(ours)
    project.sqlmig(engine)
    before = catalogue(ours)
    project.add("hand2", f"{OFF['OFF']}\n{REBUILD}{ON}\nraise ValueError('late')")
    with pytest.raises(Exception, match="late"):
        project.sqlmig(engine)
    assert catalogue(ours) == before
    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1


@SWITCHES
@pytest.mark.parametrize("engine", ["strict", "lenient"])
def test_what_the_pragma_reads_back(project: Project, urls: tuple[str, str], engine: str) -> None:
    """Scripts that remember the setting, change it, and set it as it was."""
    theirs, ours = urls
    project.base()
    project.add(
        "hand2",
        f"""
bind = op.get_bind()
was = bind.exec_driver_sql("PRAGMA foreign_keys").scalar()
if was:
    op.execute("PRAGMA foreign_keys=OFF")
{REBUILD}
if was:
    op.execute("PRAGMA foreign_keys=ON")
{AFTER}""",
    )
    if engine == "lenient":
        project.alembic(theirs)
        project.sqlmig(ours)
        assert catalogue(ours) == catalogue(theirs)
    else:
        project.sqlmig(strict_engine(ours))
        assert rows(ours, "SELECT * FROM seen") == [1]
    assert rows(ours, "SELECT count(*) FROM child") == [3]


def _split(script: str) -> list[str]:
    """The statements of a script, of which those of a trigger's body are none."""
    return [part.replace("\0", "; END") for part in script.replace("; END", "\0").split(";")]


def test_a_rebuild_that_passes_through_a_conflict_is_made_without_foreign_keys(
    project: Project, urls: tuple[str, str]
) -> None:
    """The child's copy refers to columns of the parent that are no key of it yet."""
    project.add(
        "work2",
        """
        op.create_table("place", sa.Column("a", sa.Integer), sa.Column("b", sa.Integer), sa.Column("n", sa.Integer))
        op.create_table("spot", sa.Column("id", sa.Integer, primary_key=True), sa.Column("a", sa.Integer))
        op.execute("INSERT INTO place VALUES (1, 1, 1)")
        op.execute("INSERT INTO spot VALUES (1, 1)")
        with op.batch_alter_table("spot", recreate="always") as batch:
            batch.create_foreign_key("fk_spot", "place", ["a"], ["a"])
        with op.batch_alter_table("place", recreate="always") as batch:
            batch.create_unique_constraint("uq_place", ["a"])
        """,
    )
    both(project, urls)
    assert rows(urls[1], "SELECT a FROM spot") == [1]
