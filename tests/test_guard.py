"""Whatever a migration would lose without saying so is found, told exactly, and undone."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from conftest import Folder, contents, failures
from sqlalchemy import Engine, create_engine, event, text

from sqlmig import DataLossError, Loss, Migrator

SCHEMA = """
    CREATE TABLE authors (id INTEGER PRIMARY KEY, name TEXT UNIQUE);
    CREATE TABLE documents (
        id INTEGER PRIMARY KEY, author_id INTEGER REFERENCES authors (id) ON DELETE CASCADE,
        editor_id INTEGER REFERENCES authors (id) ON DELETE SET NULL, title TEXT NOT NULL, abstract TEXT, price REAL
    );
    CREATE TABLE notes (document_id INTEGER REFERENCES documents (id) ON DELETE CASCADE, body TEXT);
    CREATE TABLE old_table (x);
    CREATE TABLE settings (key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
    INSERT INTO authors VALUES (1, 'Ada'), (2, 'Grace'), (3, 'Emmy');
    INSERT INTO documents VALUES
        (1, 1, 2, 'One', 'the first', 1.5), (2, 2, 3, 'Two', NULL, 2.0), (3, 3, 3, 'Three', 'the third', NULL);
    INSERT INTO notes VALUES (1, 'a'), (1, 'b'), (3, 'c');
    INSERT INTO old_table VALUES (1), (2);
    INSERT INTO settings VALUES ('colour', 'red');
"""
REBUILT = "CREATE TABLE new (id INTEGER PRIMARY KEY, {columns})"


@pytest.fixture(params=["OFF", "ON"])
def foreign_keys(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def library(url: str, folder: Folder, foreign_keys: str) -> Migrator:
    engine = create_engine(url)

    @event.listens_for(engine, "connect")
    def enforce(raw: Any, _: object) -> None:
        raw.execute(f"PRAGMA foreign_keys = {foreign_keys}")

    folder.write("schema.sql", SCHEMA)
    folder.add(1, "self.execute_sql_file('schema.sql')", name="001_schema.py")
    migrator = Migrator(engine, folder.path)
    migrator.migrate()
    return migrator


def lines(*statements: str) -> str:
    return "\n".join(f"self.execute_sql({statement!r})" for statement in statements)


class Case(NamedTuple):
    """What a migration runs, and what it would lose, under foreign_keys OFF and ON."""

    up: str
    off: list[tuple[str, str, int]]
    on: list[tuple[str, str, int]] | None = None

    def losses(self, foreign_keys: str) -> list[tuple[str, str, int]]:
        return self.off if foreign_keys == "OFF" or self.on is None else self.on


LOSSES = {
    "a table": Case(lines("DROP TABLE old_table"), [("table", "old_table", 2)]),
    "a table by an operation": Case("self.drop_table('old_table')", [("table", "old_table", 2)]),
    "a table that was renamed first": Case(
        lines("ALTER TABLE old_table RENAME TO older", "DROP TABLE older"), [("table", "old_table", 2)]
    ),
    "a column": Case(lines("ALTER TABLE documents DROP COLUMN abstract"), [("column", "documents.abstract", 2)]),
    "a column by an operation": Case(
        "self.drop_column('documents', 'abstract')", [("column", "documents.abstract", 2)]
    ),
    "a column that was renamed first": Case(
        lines("ALTER TABLE documents RENAME abstract TO summary", 'ALTER TABLE "documents" DROP "summary"'),
        [("column", "documents.abstract", 2)],
    ),
    "a column that was renamed along": Case(
        "with self.alter_table('documents') as documents:\n"
        "    documents.rename_column('abstract', 'summary')\n"
        "    documents.drop_column('summary')",
        [("column", "documents.abstract", 2)],
    ),
    "a column of Core": Case(
        "from sqlalchemy import text\nself.connection.execute(text('ALTER TABLE documents DROP COLUMN abstract'))",
        [("column", "documents.abstract", 2)],
    ),
    "rows by a cascade": Case(
        lines("DELETE FROM authors WHERE id = 1"),
        [("references", "documents", 1)],
        [("rows", "documents", 1), ("rows", "notes", 2)],
    ),
    "rows of a table that is dropped under others": Case(
        lines("DROP TABLE notes", "DROP TABLE documents"),
        [("table", "notes", 3), ("table", "documents", 3)],
    ),
    "values by SET NULL": Case(
        "self.execute_sql('UPDATE documents SET author_id = 1 WHERE author_id = 2')\n"
        "self.execute_sql('DELETE FROM authors WHERE id = ?', (2,))",
        [("references", "documents", 1)],
        [("nulls", "documents.editor_id", 1)],
    ),
    "rows by a trigger": Case(
        lines(
            "CREATE TRIGGER clean AFTER UPDATE ON settings BEGIN DELETE FROM old_table; END",
            "UPDATE settings SET value = 'blue'",
        ),
        [("rows", "old_table", 2)],
    ),
    "a row that REPLACE pushes out": Case(
        lines("INSERT OR REPLACE INTO authors (id, name) VALUES (4, 'Ada')"),
        [("rows", "authors", 1), ("references", "documents", 1)],
        [("rows", "authors", 1), ("rows", "documents", 1), ("rows", "notes", 2)],
    ),
    "children of a row that REPLACE writes anew": Case(
        lines("REPLACE INTO authors (id, name) VALUES (1, 'Ada Lovelace')"),
        [],
        [("rows", "documents", 1), ("rows", "notes", 2)],
    ),
    "a row that UPDATE OR REPLACE pushes out": Case(
        lines("UPDATE OR REPLACE authors SET name = 'Ada' WHERE id = 2"),
        [("rows", "authors", 1), ("references", "documents", 1)],
        [("rows", "authors", 1), ("rows", "documents", 1), ("rows", "notes", 2)],
    ),
    "rows in a rebuild by hand": Case(
        lines(
            "CREATE TABLE new (document_id INTEGER, body TEXT)",
            "INSERT INTO new SELECT n.document_id, n.body FROM notes AS n JOIN authors a ON a.id = n.document_id - 1",
            "DROP TABLE notes",
            "ALTER TABLE new RENAME TO notes",
        ),
        [("rows", "notes", 2)],
    ),
    "rows that a rebuild by hand leaves out": Case(
        lines(
            "CREATE TABLE new (x)",
            "INSERT INTO new SELECT x FROM old_table WHERE x > 1",
            "DROP TABLE old_table",
            "ALTER TABLE new RENAME TO old_table",
        ),
        [("rows", "old_table", 1)],
    ),
    "child rows in a rebuild of their parent": Case(
        lines(
            "CREATE TABLE new (id INTEGER PRIMARY KEY, name TEXT UNIQUE NOT NULL)",
            "INSERT INTO new SELECT * FROM authors",
            "DROP TABLE authors",
            "ALTER TABLE new RENAME TO authors",
        ),
        [],
        [("rows", "documents", 3), ("rows", "notes", 3)],
    ),
    "a column that a rebuild by hand forgets": Case(
        lines(
            "CREATE TABLE new (key TEXT PRIMARY KEY)",
            "INSERT INTO new (key) SELECT key FROM settings",
            "DROP TABLE settings",
            "ALTER TABLE new RENAME TO settings",
        ),
        [("column", "settings.value", 1)],
    ),
    "values that become NULL in a rebuild": Case(
        lines(
            "CREATE TABLE new (x)",
            "INSERT INTO new SELECT nullif(x, 1) FROM old_table",
            "DROP TABLE old_table",
            "ALTER TABLE new RENAME TO old_table",
        ),
        [("nulls", "old_table.x", 1)],
    ),
    "values that are rebuilt in Python": Case(
        "rows = self.db.fetch_all('SELECT x FROM old_table')\n"
        + lines("DROP TABLE old_table", "CREATE TABLE old_table (y)")
        + "\nself.execute_sql('INSERT INTO old_table VALUES (?)', [(row[0],) for row in rows])",
        [("column", "old_table.x", 2)],
    ),
    "numbers that a cast cuts off": Case(
        lines(
            "CREATE TABLE new (key TEXT PRIMARY KEY, value INTEGER) WITHOUT ROWID",
            "INSERT INTO settings VALUES ('size', '12 cm'), ('count', '7')",
            "INSERT INTO new SELECT key, CAST(value AS INTEGER) FROM settings WHERE key <> 'colour'",
            "DELETE FROM settings WHERE key = 'colour'",
            "DROP TABLE settings",
            "ALTER TABLE new RENAME TO settings",
        ),
        [("truncated", "settings.value", 1)],
    ),
    "texts that are cut off": Case(
        lines(
            "CREATE TABLE new (key TEXT PRIMARY KEY, value VARCHAR(2)) WITHOUT ROWID",
            "INSERT INTO new SELECT key, substr(value, 1, 2) FROM settings",
            "DROP TABLE settings",
            "ALTER TABLE new RENAME TO settings",
        ),
        [("truncated", "settings.value", 1)],
    ),
    "texts that an operation cuts off": Case(
        "from sqlalchemy import String\n"
        "self.alter_column('settings', 'value', type_=String(2), using='substr(value, 1, 2)')",
        [("truncated", "settings.value", 1)],
    ),
    "values that an operation makes NULL": Case(
        "from sqlalchemy import Integer\n"
        "self.alter_column('documents', 'abstract', type_=Integer, using='nullif(length(abstract), 9)')",
        [("nulls", "documents.abstract", 2)],
    ),
    "what a batch operation of Alembic's forgets": Case(
        "with self.op.batch_alter_table('documents') as documents:\n    documents.drop_column('abstract')",
        [("column", "documents.abstract", 2)],
    ),
    "what a batch operation of Alembic's casts": Case(
        "import sqlalchemy as sa\n"
        "self.execute_sql('INSERT INTO settings VALUES (?, ?)', ('size', '12'))\n"
        "with self.op.batch_alter_table('settings') as settings:\n"
        "    settings.alter_column('value', type_=sa.Integer, existing_type=sa.Text)",
        [("truncated", "settings.value", 1)],
    ),
    "the other columns of a row that REPLACE writes anew": Case(
        lines("INSERT OR REPLACE INTO settings (key) VALUES ('colour')"), [("nulls", "settings.value", 1)]
    ),
    "a row that a trigger's REPLACE pushes out": Case(
        lines(
            "CREATE TRIGGER copy AFTER INSERT ON old_table BEGIN"
            " INSERT OR REPLACE INTO authors (id, name) VALUES (new.x, 'Ada'); END",
            "INSERT INTO old_table VALUES (9)",
        ),
        [("rows", "authors", 1), ("references", "documents", 1)],
        [("rows", "authors", 1), ("rows", "documents", 1), ("rows", "notes", 2)],
    ),
    "values that a trigger sets": Case(
        lines(
            "CREATE TRIGGER wipe AFTER UPDATE OF title ON documents BEGIN"
            " UPDATE documents SET abstract = NULL WHERE id = new.id; END",
            "UPDATE documents SET title = upper(title)",
        ),
        [("nulls", "documents.abstract", 2)],
    ),
    "references to a parent that is rebuilt under its name of before": Case(
        lines(
            "ALTER TABLE authors RENAME TO authors_old",
            "CREATE TABLE authors (id INTEGER PRIMARY KEY, name TEXT UNIQUE)",
            "INSERT INTO authors SELECT * FROM authors_old",
            "DROP TABLE authors_old",
        ),
        [("references", "documents", 6)],
        [("rows", "documents", 3), ("rows", "notes", 3)],
    ),
    "rows deleted while their table is rebuilt": Case(
        lines(
            "CREATE TABLE new (id INTEGER PRIMARY KEY, name TEXT UNIQUE)",
            "INSERT INTO new SELECT * FROM authors",
            "DELETE FROM new WHERE id = 1",
            "DROP TABLE notes",
            "DROP TABLE documents",
            "DROP TABLE authors",
            "ALTER TABLE new RENAME TO authors",
        ),
        [("table", "notes", 3), ("table", "documents", 3)],
    ),
    "rows that others take the place of": Case(
        lines(
            "CREATE TABLE new (key TEXT PRIMARY KEY, value TEXT)",
            "INSERT INTO new SELECT key, value FROM settings WHERE key <> 'colour'",
            "INSERT INTO new VALUES ('size', '3')",
            "DROP TABLE settings",
            "ALTER TABLE new RENAME TO settings",
        ),
        [("rows", "settings", 1)],
    ),
    "values in a copy of two parts": Case(
        lines(
            "CREATE TABLE new (x)",
            "INSERT INTO new SELECT x FROM old_table WHERE x = 1 UNION ALL SELECT NULL FROM old_table WHERE x > 1",
            "DROP TABLE old_table",
            "ALTER TABLE new RENAME TO old_table",
        ),
        [("nulls", "old_table.x", 1)],
    ),
    "zeros of a table without a key": Case(
        lines(
            "UPDATE old_table SET x = '00' || x",
            "CREATE TABLE new (x INTEGER)",
            "INSERT INTO new SELECT x FROM old_table",
            "DROP TABLE old_table",
            "ALTER TABLE new RENAME TO old_table",
        ),
        [("truncated", "old_table.x", 2)],
    ),
    "what is done again after a savepoint": Case(
        "for attempt in range(2):\n"
        "    try:\n"
        "        with self.db.transaction():\n"
        "            self.execute_sql('DELETE FROM authors WHERE id = 1')\n"
        "            if not attempt:\n"
        "                raise KeyError\n"
        "    except KeyError:\n"
        "        pass",
        [("references", "documents", 1)],
        [("rows", "documents", 1), ("rows", "notes", 2)],
    ),
    "a table behind a semicolon": Case(lines("; -- here\n DROP TABLE old_table;"), [("table", "old_table", 2)]),
    "a column that was not added": Case(
        "try:\n"
        "    self.execute_sql('ALTER TABLE documents ADD COLUMN abstract TEXT')\n"
        "except Exception:\n"
        "    pass\n"
        "self.execute_sql('ALTER TABLE documents DROP COLUMN abstract')",
        [("column", "documents.abstract", 2)],
    ),
    "rows hidden by others that come": Case(
        lines(
            "DELETE FROM authors WHERE id = 3",
            "INSERT INTO documents (title) VALUES ('Four') RETURNING id",
            "WITH x (t) AS (VALUES ('Five')) INSERT INTO documents (title) SELECT t FROM x",
        ),
        [("references", "documents", 3)],
        [("rows", "documents", 1), ("rows", "notes", 1), ("nulls", "documents.editor_id", 1)],
    ),
    "children of a table that is upserted": Case(
        lines(
            "INSERT INTO documents (id, title) VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET abstract = NULL",
            "DELETE FROM documents WHERE id = 3",
        ),
        [("references", "notes", 1)],
        [("rows", "notes", 1)],
    ),
    "leading zeros under another type": Case(
        lines(
            "UPDATE settings SET value = '007'",
            "CREATE TABLE new (key TEXT PRIMARY KEY, value INTEGER) WITHOUT ROWID",
            "INSERT INTO new SELECT * FROM settings",
            "DROP TABLE settings",
            "ALTER TABLE new RENAME TO settings",
        ),
        [("truncated", "settings.value", 1)],
    ),
    "rows that a rebuild left out, of a table that then goes": Case(
        lines(
            "CREATE TABLE new (document_id INTEGER, body TEXT)",
            "INSERT INTO new SELECT document_id, body FROM notes ORDER BY rowid LIMIT 1",
            "DROP TABLE notes",
            "DELETE FROM new",
            "DROP TABLE new",
        ),
        [("table", "notes", 2)],
    ),
    "rows that a trigger took out of a rebuilt table that then goes": Case(
        lines(
            "CREATE TABLE new (document_id INTEGER, body TEXT)",
            "INSERT INTO new SELECT document_id, body FROM notes",
            "DROP TABLE notes",
            "CREATE TRIGGER sweep AFTER INSERT ON settings BEGIN DELETE FROM new; END",
            "INSERT INTO settings VALUES ('on', 'yes')",
            "DROP TABLE new",
        ),
        [("table", "notes", 3)],
    ),
}


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_is_told_and_undone_and_passes_when_declared(
    library: Migrator, folder: Folder, foreign_keys: str, name: str
) -> None:
    case = LOSSES[name]
    expected = [Loss(kind=kind, name=what, count=n, version=2) for kind, what, n in case.losses(foreign_keys)]
    before = contents(library.db.engine)
    path = folder.add(2, case.up)
    if not expected:
        assert list(library.migrate().losses) == []
        return
    with pytest.raises(DataLossError) as caught:
        library.migrate()
    assert sorted(map(str, caught.value.losses)) == sorted(map(str, expected))
    assert all(f"{loss}" in str(caught.value) for loss in expected)
    assert contents(library.db.engine) == before
    assert failures(library)[0]["metadata"]["losses"] == [dict(loss) for loss in caught.value.losses]
    path.unlink()
    folder.add(2, case.up, extra=f"removes = {[loss.name for loss in expected]!r}")
    done = Migrator(library.db.engine, folder.path).migrate()
    assert list(done.losses) == caught.value.losses
    assert done.warnings == []
    kept = library.get_migration_history()[0]["metadata"]["losses"]
    assert sorted((loss["kind"], loss["name"], loss["count"]) for loss in kept) == sorted(case.losses(foreign_keys))


def test_the_message_is_exact(library: Migrator, folder: Folder) -> None:
    folder.add(2, lines("ALTER TABLE documents DROP COLUMN abstract", "DROP TABLE old_table"))
    with pytest.raises(DataLossError) as caught:
        library.migrate()
    assert str(caught.value) == (
        "Migration 2 (step 2) failed: migration 002 would drop documents.abstract (2 values); drop old_table (2 rows)\n"
        "  Everything that it did was undone; the database is as it was before it.\n"
        "If that is meant, say so in the migration:"
        ' removes = ["documents.abstract", "old_table"]. Then: sqlmig up'
    )


HARMLESS = {
    "an empty table": lines("DELETE FROM old_table", "DROP TABLE old_table"),
    "a column without values": lines("ALTER TABLE old_table ADD y", "ALTER TABLE old_table DROP y"),
    "its own rows": lines("DELETE FROM notes WHERE body = 'c'"),
    "its own values": lines("UPDATE documents SET abstract = NULL, price = CAST(price AS INTEGER)"),
    "new names": lines(
        "ALTER TABLE documents RENAME abstract TO summary",
        "ALTER TABLE documents RENAME TO papers",
        "ALTER TABLE papers RENAME COLUMN summary TO digest",
    ),
    "new names by operations": (
        "self.rename_column('documents', 'abstract', 'summary')\nself.rename_table('documents', 'papers')"
    ),
    "a rebuild by operations": (
        "from sqlalchemy import Integer, String\n"
        "self.alter_column('documents', 'title', type_=Integer, using='length(title)')\n"
        "self.alter_column('documents', 'price', type_=String(9))"
    ),
    "a rebuild by hand": lines(
        "CREATE TABLE new (document_id INTEGER, body TEXT NOT NULL, extra TEXT DEFAULT 'x')",
        "INSERT INTO new (body, document_id) SELECT body, document_id FROM notes",
        "DROP TABLE notes",
        "ALTER TABLE new RENAME TO notes",
    ),
    "a rebuild under a name of before": lines(
        "ALTER TABLE notes RENAME TO notes_old",
        "CREATE TABLE notes (document_id INTEGER, text TEXT)",
        "INSERT INTO notes SELECT document_id, body AS text FROM notes_old",
        "DROP TABLE notes_old",
    ),
    "a rebuild that maps values": lines(
        "INSERT INTO settings VALUES ('on', 'yes'), ('off', 'no')",
        "CREATE TABLE new (key TEXT PRIMARY KEY, value INTEGER) WITHOUT ROWID",
        "INSERT INTO new SELECT key, CASE value WHEN 'yes' THEN 1 WHEN 'no' THEN 0 ELSE 2 END FROM settings",
        "DROP TABLE settings",
        "ALTER TABLE new RENAME TO settings",
    ),
    "a rebuild that trims": lines(
        "UPDATE settings SET value = 'red  '",
        "CREATE TABLE new (key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID",
        "INSERT INTO new SELECT key, trim(value) FROM settings",
        "DROP TABLE settings",
        "ALTER TABLE new RENAME TO settings",
    ),
    "batch operations of Alembic's": (
        "import sqlalchemy as sa\n"
        "with self.op.batch_alter_table('documents') as documents:\n"
        "    documents.alter_column('title', new_column_name='heading', existing_type=sa.Text)\n"
        "    documents.add_column(sa.Column('pages', sa.Integer))\n"
        "with self.op.batch_alter_table('authors') as authors:\n"
        "    authors.alter_column('name', type_=sa.String(9), nullable=False)"
    ),
    "a table of its own": lines(
        "CREATE TABLE work AS SELECT * FROM documents",
        "DELETE FROM work WHERE id = 1",
        "DROP TABLE work",
        "CREATE TEMP TABLE documents (id)",
        "INSERT INTO temp.documents VALUES (1)",
        "DROP TABLE temp.documents",
    ),
    "a row that REPLACE writes anew": lines("REPLACE INTO settings VALUES ('colour', 'blue'), ('size', '3')"),
    "an upsert": lines(
        "INSERT INTO settings VALUES ('colour', 'blue') ON CONFLICT (key) DO UPDATE SET value = NULL",
        "INSERT OR IGNORE INTO settings VALUES ('colour', 'green')",
    ),
    "a column filled again": lines(
        "ALTER TABLE documents ADD COLUMN cents INTEGER",
        "UPDATE documents SET cents = CAST(price * 100 AS INTEGER)",
        "ALTER TABLE documents DROP COLUMN price",
        "ALTER TABLE documents RENAME COLUMN cents TO price",
    ),
    "rows that come and go": lines(
        "INSERT INTO notes SELECT id, title FROM documents",
        "DELETE FROM notes WHERE body = 'One'",
        "INSERT INTO documents (title) VALUES ('Four') RETURNING id",
        "DELETE FROM documents WHERE title = 'Four' RETURNING id",
    ),
    "what a savepoint undid": (
        "self.execute_sql('DELETE FROM notes WHERE document_id = 99')\n"
        "try:\n"
        "    with self.db.transaction():\n"
        "        self.execute_sql('INSERT INTO notes VALUES (2, 9)')\n"
        "        self.execute_sql('DROP TABLE old_table')\n"
        "        raise KeyError\n"
        "except KeyError:\n"
        "    pass"
    ),
    "statements that fail": (
        "from sqlalchemy.exc import OperationalError\n"
        "self.execute_sql('CREATE VIEW titles AS SELECT title FROM documents')\n"
        "for sql in ('ALTER TABLE documents DROP COLUMN title', 'CREATE TABLE documents (x)',\n"
        "            'DROP VIEW documents', 'ALTER TABLE documents RENAME TO notes'):\n"
        "    try:\n"
        "        self.execute_sql(sql)\n"
        "    except OperationalError:\n"
        "        pass\n"
        "    else:\n"
        "        raise AssertionError(sql)"
    ),
    "a refused operation": (
        "from sqlmig import SchemaError\ntry:\n    self.drop_table('documents')\nexcept SchemaError:\n    pass"
    ),
    "statements that look at changes()": lines(
        "UPDATE settings SET value = 'blue' WHERE key = 'colour'",
        "INSERT INTO settings SELECT 'colour', 'blue' WHERE changes() = 0",
    ),
    "own deletes between other changes": (
        "for i in (1, 2):\n"
        "    self.execute_sql('DELETE FROM old_table WHERE x = ?', (i,))\n"
        "    self.execute_sql('DROP INDEX IF EXISTS nowhere')\n"
        "    self.execute_sql('CREATE TABLE IF NOT EXISTS old_table (x)')"
    ),
    "tables made by any query": lines(
        "CREATE TABLE one AS SELECT 1 AS a",
        "CREATE TABLE two AS SELECT x FROM (SELECT x FROM old_table)",
        "CREATE TABLE three AS VALUES (1), (2)",
        "DROP TABLE one",
        "DROP TABLE old_table",
        "ALTER TABLE two RENAME TO old_table",
        "DROP TABLE three",
    ),
    "savepoints with comments": lines(
        "/* begin */ SAVEPOINT a -- here", "DROP TABLE old_table", "ROLLBACK TO a /* so */;", "RELEASE SAVEPOINT [a]"
    ),
    "a list of rows that fails half way": (
        'self.execute_sql("CREATE TRIGGER stop BEFORE DELETE ON old_table WHEN old.x = 2'
        " BEGIN SELECT RAISE(FAIL, 'no'); END\")\n"
        "try:\n"
        "    self.execute_sql('DELETE FROM old_table WHERE x = ?', [(1,), (2,)])\n"
        "except Exception:\n"
        "    pass"
    ),
    "an empty table that is filled and dropped": lines(
        "DELETE FROM old_table", "INSERT INTO old_table VALUES (5)", "DELETE FROM old_table", "DROP TABLE old_table"
    ),
    "rows deleted through a view": lines(
        "CREATE VIEW olds AS SELECT x FROM old_table",
        "CREATE TRIGGER through INSTEAD OF DELETE ON olds BEGIN DELETE FROM old_table WHERE x = old.x; END",
        "DELETE FROM olds WHERE x = 1",
    ),
    "a table in two parts": lines(
        "CREATE TABLE low AS SELECT * FROM old_table WHERE x < 2",
        "CREATE TABLE high AS SELECT * FROM old_table WHERE x >= 2",
        "DROP TABLE old_table",
    ),
    "a full-text table that triggers keep in step": lines(
        "CREATE VIRTUAL TABLE titles USING fts5 (title)",
        "INSERT INTO titles (rowid, title) SELECT id, title FROM documents",
        "CREATE TRIGGER titles_out AFTER DELETE ON documents BEGIN DELETE FROM titles WHERE rowid = old.id; END",
        "DELETE FROM notes",
        "DELETE FROM documents",
    ),
    "a query that is still open": (
        "self.open = self.connection.exec_driver_sql('SELECT * FROM documents')\n"
        "self.open.fetchone()\n"
        "self.execute_sql(\"REPLACE INTO authors (id, name) VALUES (9, 'Nobody')\")"
    ),
    "a key that is renamed": lines(
        "REPLACE INTO settings VALUES ('size', '3')", "ALTER TABLE settings RENAME COLUMN key TO name"
    ),
    "a rebuild whose rows it then takes out": lines(
        "CREATE TABLE new (document_id INTEGER, body TEXT, extra)",
        "INSERT INTO new (document_id, body) SELECT document_id, body FROM notes",
        "DROP TABLE notes",
        "ALTER TABLE new RENAME TO notes",
        "DELETE FROM notes",
        "DROP TABLE notes",
    ),
    "texts about tables": lines("INSERT INTO settings VALUES ('sql', 'DROP TABLE documents; DELETE FROM notes')"),
}


@pytest.mark.parametrize("name", HARMLESS)
def test_what_loses_nothing_passes_in_silence(library: Migrator, folder: Folder, name: str) -> None:
    folder.add(2, HARMLESS[name])
    done = library.migrate()
    assert (list(done.losses), list(done.warnings)) == ([], [])


def test_old_orphans_are_no_new_ones(url: str, folder: Folder) -> None:
    folder.write("schema.sql", SCHEMA + "INSERT INTO notes VALUES (77, 'orphan');")
    folder.add(1, "self.execute_sql_file('schema.sql')", extra="removes = ['notes']", name="001_schema.py")
    rebuild = lines(
        "CREATE TABLE new (document_id INTEGER REFERENCES documents (id), body TEXT)",
        "INSERT INTO new SELECT document_id, upper(body) FROM notes",
        "DROP TABLE notes",
        "ALTER TABLE new RENAME TO notes",
    )
    folder.add(2, "self.execute_sql('DELETE FROM documents WHERE id = 2')\n" + rebuild)
    folder.add(3, lines("INSERT INTO notes VALUES (88, 'new orphan')"))
    migrator = Migrator(url, folder.path)
    assert [loss.version for loss in migrator.migrate_to_version(2).losses] == [1]
    with pytest.raises(DataLossError, match="leave 1 row of notes without what they refer to"):
        migrator.migrate()


@pytest.mark.parametrize(("policy", "warned"), [("warn", True), ("ignore", False)])
def test_policies(url: str, folder: Folder, policy: Any, warned: bool, caplog: pytest.LogCaptureFixture) -> None:
    folder.table(1)
    folder.add(2, lines("DROP TABLE t1"))
    done = Migrator(url, folder.path, on_data_loss=policy).migrate()
    assert [str(loss) for loss in done.losses] == (["drop t1 (1 row)"] if warned else [])
    assert list(done.warnings) == (["migration 002 was not said to drop t1 (1 row)"] if warned else [])
    assert ("was not said to drop t1" in caplog.text) is warned


def test_a_declaration_of_more_than_is_removed_is_a_warning(url: str, folder: Folder) -> None:
    folder.table(1)
    folder.add(2, lines("DROP TABLE t1"), extra="removes = ['t1', 't9.x', 'main.T1.n']")
    assert list(Migrator(url, folder.path).migrate().warnings) == [
        "migration 002 says that it removes t9.x, and does not",
        "migration 002 says that it removes main.T1.n, and does not",
    ]


def test_a_declaration_holds_on_an_empty_database_too(url: str, folder: Folder) -> None:
    folder.add(1, lines("CREATE TABLE a (id INTEGER PRIMARY KEY, x)", "CREATE TABLE b (x)"))
    folder.add(
        2, lines("ALTER TABLE a DROP COLUMN x", "DROP TABLE b", "DELETE FROM a"), extra="removes = ['a.x', 'b', 'a']"
    )
    assert list(Migrator(url, folder.path).migrate().warnings) == []


def test_anything_may_be_declared(url: str, folder: Folder) -> None:
    folder.table(1)
    folder.add(2, lines("DROP TABLE t1"), extra="removes = '*'")
    assert Migrator(url, folder.path).migrate().applied == [1, 2]


@pytest.mark.parametrize("said", ["7", "[7]", "['']", "''", "{'a': 1}"])
def test_a_wrong_declaration_stops_before_the_start(url: str, folder: Folder, said: str) -> None:
    folder.table(1)
    folder.add(2, extra=f"removes = {said}")
    with pytest.raises(Exception, match="removes is"):
        Migrator(url, folder.path).migrate()


@pytest.mark.parametrize("name", ["virtual_hosts_old", "docs_old", "posts_tags"])
def test_a_name_like_that_of_an_inner_table_hides_nothing(url: str, folder: Folder, name: str) -> None:
    folder.add(
        1,
        lines(
            "CREATE TABLE virtual_hosts (x)",
            "CREATE TABLE docs (virtual INT)",
            "CREATE VIRTUAL TABLE posts USING fts5 (body)",
            f"CREATE TABLE {name} (x)",
            f"INSERT INTO {name} VALUES (1)",
        ),
    )
    folder.add(2, lines(f"DROP TABLE {name}"))
    with pytest.raises(DataLossError, match=f"drop {name}"):
        Migrator(url, folder.path).migrate()


def test_nothing_of_the_counting_stays(library: Migrator, folder: Folder) -> None:
    folder.add(2, lines("INSERT OR REPLACE INTO authors (id, name) VALUES (4, 'Ada')"), extra="removes = '*'")
    folder.add(3, lines("INSERT OR REPLACE INTO authors (id, name) VALUES (4, 'Grace')"))
    with library.db.engine.connect() as connection:
        before = dict(connection.info)
        connection.rollback()
        with pytest.raises(DataLossError):
            Migrator(connection, folder.path).migrate()
        assert connection.exec_driver_sql("SELECT count(*) FROM sqlite_temp_master").scalar() == 0
        assert dict(connection.info) == before


# Rollback


def test_what_a_rollback_would_remove_is_told_by_its_names_of_now(library: Migrator, folder: Folder) -> None:
    folder.add(
        2,
        lines(
            "CREATE TABLE more (x)",
            "INSERT INTO more VALUES (1), (2)",
            "ALTER TABLE documents ADD COLUMN lang TEXT DEFAULT 'en'",
            "CREATE TABLE empty (x)",
        ),
        lines("DROP TABLE more", "ALTER TABLE documents DROP COLUMN lang", "DROP TABLE empty"),
    )
    folder.add(
        3,
        lines(
            "ALTER TABLE more RENAME TO extra",
            "ALTER TABLE documents RENAME COLUMN lang TO language",
            "ALTER TABLE documents RENAME TO papers",
        ),
        lines(
            "ALTER TABLE papers RENAME TO documents",
            "ALTER TABLE documents RENAME COLUMN language TO lang",
            "ALTER TABLE extra RENAME TO more",
        ),
    )
    library.migrate()
    assert [str(loss) for loss in library.get_rollback_losses(1)] == [
        "drop papers.language (3 values)",
        "drop extra (2 rows)",
    ]
    assert library.get_rollback_losses(2) == []
    assert len(library.rollback_to_version(1).losses) == 2


def test_a_rollback_drops_no_column_that_up_could_not_add(library: Migrator, folder: Folder) -> None:
    folder.add(
        2,
        "try:\n    self.execute_sql('ALTER TABLE documents ADD COLUMN abstract TEXT')\nexcept Exception:\n    pass",
        lines("ALTER TABLE documents DROP COLUMN abstract"),
    )
    library.migrate()
    with pytest.raises(DataLossError, match=r"documents\.abstract"):
        library.rollback_to_version(1)


def test_a_rollback_removes_what_its_up_made_and_tells_it(library: Migrator, folder: Folder) -> None:
    folder.add(
        2,
        lines(
            "CREATE TABLE more (x)",
            "INSERT INTO more VALUES (1), (2), (3)",
            "ALTER TABLE documents ADD COLUMN language TEXT DEFAULT 'en'",
        ),
        lines("DROP TABLE more", "ALTER TABLE documents DROP COLUMN language"),
    )
    library.migrate()
    done = library.rollback_to_version(1)
    told = [str(loss) for loss in done.losses]
    assert sorted(told) == ["drop documents.language (3 values)", "drop more (3 rows)"]
    assert done.warnings == []
    assert len(library.get_migration_history()[0]["metadata"]["losses"]) == 2


def test_a_rollback_removes_nothing_else(library: Migrator, folder: Folder) -> None:
    folder.add(
        2,
        "from sqlalchemy import Column, Text\nself.add_column('documents', Column('language', Text))",
        "self.drop_column('documents', 'language')\nself.drop_column('documents', 'abstract')",
    )
    library.migrate()
    before = contents(library.db.engine)
    with pytest.raises(DataLossError, match=r"would, rolled back, drop documents\.abstract \(2 values\)"):
        library.rollback_to_version(1)
    assert contents(library.db.engine) == before


def test_a_rollback_of_which_nothing_is_recorded_warns(library: Migrator, folder: Folder) -> None:
    folder.add(2, lines("CREATE TABLE more (x)", "INSERT INTO more VALUES (1)"), lines("DROP TABLE more"))
    library.migrate()
    with library.db.engine.begin() as connection:
        connection.execute(text("UPDATE migration_versions SET metadata = '{}' WHERE version = 2"))
    done = library.rollback_to_version(1)
    assert [str(loss) for loss in done.losses] == ["drop more (1 row)"]
    assert "it is not recorded whether its up() had made that" in done.warnings[0]


def test_columns_that_a_rebuild_by_hand_added_may_go_with_its_rollback(library: Migrator, folder: Folder) -> None:
    folder.add(
        2,
        lines(
            "CREATE TABLE new (x, y DEFAULT 5)",
            "INSERT INTO new (x) SELECT x FROM old_table",
            "DROP TABLE old_table",
            "ALTER TABLE new RENAME TO old_table",
        ),
        lines("ALTER TABLE old_table DROP COLUMN y"),
    )
    library.migrate()
    assert [str(loss) for loss in library.rollback_to_version(1).losses] == ["drop old_table.y (2 values)"]


def test_all_or_nothing_and_a_loss(library: Migrator, folder: Folder) -> None:
    folder.add(2, lines("CREATE TABLE more (x)"))
    folder.add(3, lines("DROP TABLE old_table"))
    before = contents(library.db.engine)
    with pytest.raises(DataLossError, match="All migrations of its transaction were undone"):
        library.migrate(all_or_nothing=True)
    assert contents(library.db.engine) == before


def test_in_a_transaction_of_the_callers(library: Migrator, folder: Folder) -> None:
    folder.add(2, lines("DROP TABLE old_table"))
    with library.db.engine.connect() as connection:
        connection.exec_driver_sql("INSERT INTO settings VALUES ('mine', '1')")
        with pytest.raises(DataLossError):
            Migrator(connection, folder.path).migrate()
        connection.commit()
        assert connection.exec_driver_sql("SELECT count(*) FROM old_table").scalar() == 2


def test_the_drivers_own_cursor_is_warned_of(library: Migrator, folder: Folder) -> None:
    folder.add(2, "self.connection.connection.cursor().execute('DELETE FROM old_table')")
    assert list(library.migrate().warnings) == [
        "migration 002 wrote old_table by the driver's own cursor, where nothing is counted"
    ]


def test_a_column_that_the_drivers_own_cursor_puts_back(library: Migrator, folder: Folder) -> None:
    """What was read of the schema for a statement before it does not hold at the end."""
    up = lines("ALTER TABLE documents DROP COLUMN abstract", "UPDATE documents SET price = 1 WHERE price IS NULL")
    folder.add(
        2, f"{up}\nself.connection.connection.cursor().execute('ALTER TABLE documents ADD COLUMN abstract TEXT')"
    )
    with pytest.raises(DataLossError) as error:
        library.migrate()
    assert [(loss.kind, loss.name) for loss in error.value.losses] == [("nulls", "documents.abstract")]


def test_by_hand(engine: Engine) -> None:
    from sqlmig import BaseMigration

    class Drop(BaseMigration):
        version = 1

        def up(self) -> None:
            self.execute_sql("DROP TABLE t")

        def down(self) -> None:
            self.execute_sql("DROP TABLE t")

    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE t (x)")
        connection.exec_driver_sql("INSERT INTO t VALUES (1)")
    with pytest.raises(DataLossError, match=r"Drop\(\.\.\.\)\.run\(\)"):
        Drop(engine).run()
    assert Drop(engine).rollback()


def test_a_database_of_every_kind(url: str, folder: Folder, dump: Callable[[Engine], Any]) -> None:
    """Full-text tables with content of their own are data, external ones are not; inner tables are nobody's."""
    folder.add(
        1,
        lines(
            "CREATE TABLE posts (id INTEGER PRIMARY KEY, body TEXT)",
            "CREATE VIRTUAL TABLE own USING fts5 (body)",
            "CREATE VIRTUAL TABLE outside USING fts5 (body, content='posts', content_rowid=id)",
            "CREATE VIRTUAL TABLE boxes USING rtree (id, low, high)",
            "CREATE TABLE pairs (a, b, PRIMARY KEY (a, b)) WITHOUT ROWID",
            "CREATE TRIGGER posts_in AFTER INSERT ON posts BEGIN"
            " INSERT INTO outside (rowid, body) VALUES (new.id, new.body); END",
            "CREATE VIEW bodies AS SELECT body FROM posts",
            "INSERT INTO posts (body) VALUES ('one'), ('two')",
            "INSERT INTO own VALUES ('three')",
            "INSERT INTO boxes VALUES (1, 0, 1)",
            "INSERT INTO pairs VALUES (1, 2)",
        ),
    )
    folder.add(2, lines("DROP TABLE outside", "DROP TRIGGER posts_in", "INSERT INTO own (own) VALUES ('rebuild')"))
    folder.add(3, lines("DROP TABLE own"))
    folder.add(4, lines("DROP TABLE boxes"))
    folder.add(5, lines("DROP VIEW bodies", "DROP TABLE pairs"))
    migrator = Migrator(url, folder.path, on_data_loss="warn")
    told = [(loss.version, str(loss)) for loss in migrator.migrate().losses]
    assert told == [(3, "drop own (1 row)"), (4, "drop boxes (1 row)"), (5, "drop pairs (1 row)")]


# Migrations that are committed batch by batch


BATCHES = """
self.execute_sql("CREATE TABLE IF NOT EXISTS made (x)")
self.add_column_if_not_exists("documents", Column("slug", Text))
for rows in self.batches("documents", size=1):
    self.update_rows("documents", [{"id": row["id"], "slug": row["title"].lower()} for row in rows])
    if rows[0]["id"] == LOSING:
        self.execute_sql("CREATE TRIGGER clean AFTER UPDATE ON settings BEGIN DELETE FROM old_table; END")
        self.execute_sql("UPDATE settings SET value = 'blue'")
        self.execute_sql("DROP TRIGGER clean")
"""


def add_batches(folder: Folder, losing: int, extra: str = "") -> None:
    down = "self.drop_column('documents', 'slug')\nself.drop_table('made')"
    path = folder.add(2, BATCHES.replace("LOSING", str(losing)), down, f"resumable = True\n{extra}")
    path.write_text("from sqlalchemy import Column, Text\n" + path.read_text())


def test_a_batch_that_loses_data_is_not_committed(library: Migrator, folder: Folder) -> None:
    add_batches(folder, 2)
    with pytest.raises(DataLossError, match="would delete 2 rows of old_table") as caught:
        library.migrate()
    assert "Its finished batches have stayed" in str(caught.value)
    found = contents(library.db.engine)["rows"]
    assert found["old_table"] == [(1,), (2,)]
    assert [row[-1] for row in found["documents"]] == ["one", None, None]
    add_batches(folder, 0)
    done = Migrator(library.db.engine, folder.path).migrate()
    assert (list(done.losses), list(done.warnings)) == ([], [])
    assert [row[-1] for row in contents(library.db.engine)["rows"]["documents"]] == ["one", "two", "three"]


def test_what_a_resumable_migration_made_is_recorded_whenever_it_made_it(library: Migrator, folder: Folder) -> None:
    add_batches(folder, 2)
    with pytest.raises(DataLossError):
        library.migrate()
    add_batches(folder, 2, "removes = ['old_table']")
    migrator = Migrator(library.db.engine, folder.path)
    done = migrator.migrate()
    assert [str(loss) for loss in done.losses] == ["delete 2 rows of old_table"]
    assert done.warnings == []
    assert [str(loss) for loss in migrator.get_rollback_losses(1)] == ["drop documents.slug (3 values)"]
    assert [str(loss) for loss in migrator.rollback_to_version(1).losses] == ["drop documents.slug (3 values)"]


def test_what_an_earlier_batch_has_made_is_the_migration_s_own(library: Migrator, folder: Folder) -> None:
    """It is gone again at the end, or called otherwise, as if it had all been one transaction."""
    up = """
self.execute_sql("CREATE TABLE IF NOT EXISTS drafts (id INTEGER PRIMARY KEY, x TEXT)")
for rows in self.batches("documents", size=1):
    number = rows[0]["id"]
    self.execute_sql("INSERT INTO drafts VALUES (NULL, 'a'), (NULL, 'b')")
    if number == 2:
        self.execute_sql("CREATE TRIGGER clean AFTER UPDATE ON settings BEGIN DELETE FROM drafts WHERE id = 1; END")
        self.execute_sql("UPDATE settings SET value = 'blue'")
        self.execute_sql("DROP TRIGGER clean")
        self.rename_column("drafts", "x", "text")
        self.rename_table("settings", "options")
        self.rename_column("options", "value", "said")
    if number == 1:
        self.execute_sql("ALTER TABLE drafts RENAME COLUMN x TO y")
        self.execute_sql("ALTER TABLE drafts RENAME COLUMN y TO x")
        self.execute_sql("CREATE TABLE scratch (x)")
        self.execute_sql("INSERT INTO scratch VALUES (1)")
    if number == 3:
        self.rename_table("drafts", "remarks")
        self.rename_column("options", "said", "meant")
        self.execute_sql("DROP TABLE scratch")
"""
    down = "self.drop_table('remarks')\nself.rename_table('options', 'settings')"
    down += "\nself.rename_column('settings', 'meant', 'value')"
    folder.add(2, up, down, "resumable = True")
    migrator = Migrator(library.db.engine, folder.path)
    done = migrator.migrate()
    assert (list(done.losses), list(done.warnings)) == ([], [])
    with library.db.engine.connect() as connection:
        (text,) = connection.exec_driver_sql("SELECT metadata FROM migration_versions WHERE version = 2").one()
    facts = json.loads(text)
    assert "remarks" in facts["created"]
    assert facts["renamed"] == {"settings": "options", "settings.value": "options.meant"}
    assert [str(loss) for loss in migrator.rollback_to_version(1).losses] == ["drop remarks (5 rows)"]


def test_what_another_program_does_to_the_schema_between_two_batches(
    library: Migrator, folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same statement, harmless so far, has a trigger now."""
    monkeypatch.setattr("sqlmig.data.pace._EVERY", 0.0)
    file = str(library.db.engine.url.database)
    added: list[str] = []

    def add(done: int, total: int, message: str) -> None:
        if "2 of 3 rows" in message:
            raw = sqlite3.connect(file)
            raw.execute("CREATE TRIGGER t AFTER UPDATE ON documents BEGIN DELETE FROM old_table; END")
            raw.close()
            added.append(message)

    folder.add(
        2,
        "for rows in self.batches('documents', size=1): self.update_rows('documents', rows)",
        "pass",
        "resumable = True",
    )
    migrator = Migrator(library.db.engine, folder.path, progress=add)
    with pytest.raises(DataLossError, match="would delete 2 rows of old_table"):
        migrator.migrate()
    assert added
    assert contents(library.db.engine)["rows"]["old_table"] == [(1,), (2,)]


def test_batches_share_a_commit_where_counting_takes_longer_than_they_do(
    library: Migrator, folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was not committed is undone with the batch that failed, and done again."""
    monkeypatch.setattr("sqlmig.data.resumption._GRACE", -1000.0)
    before = contents(library.db.engine)["rows"]["documents"]
    add_batches(folder, 3)
    with pytest.raises(DataLossError):
        library.migrate()
    assert contents(library.db.engine)["rows"]["documents"] == before
    add_batches(folder, 0)
    done = Migrator(library.db.engine, folder.path)
    assert done.migrate().applied == [2]
    assert [row[-1] for row in contents(library.db.engine)["rows"]["documents"]] == ["one", "two", "three"]
    assert done.get_migration_history(1)[0]["metadata"]["rows"] == 3


RENAMING = """
self.create_table("old", Column("id", Integer, primary_key=True), if_not_exists=True)
for rows in self.batches("documents", size=1):
    self.update_rows("documents", [{"id": row["id"], "title": row["title"]} for row in rows])
    if rows[0]["id"] == 1:
        self.execute_sql("DROP TABLE old")
        self.rename_table("old_table", "old")
    if rows[0]["id"] == 3:
        self.execute_sql("DROP TABLE old")
"""


def test_a_name_that_the_migration_had_for_a_table_of_its_own(library: Migrator, folder: Folder) -> None:
    """What has it now was there before; and a declaration may say what it was called then."""
    path = folder.add(2, RENAMING, extra="resumable = True")
    path.write_text("from sqlalchemy import Column, Integer\n" + path.read_text())
    with pytest.raises(DataLossError, match="would drop old"):
        Migrator(library.db.engine, folder.path).migrate()
    path = folder.add(2, RENAMING, extra="resumable = True\nremoves = ['old_table']")
    path.write_text("from sqlalchemy import Column, Integer\n" + path.read_text())
    done = Migrator(library.db.engine, folder.path).migrate()
    assert [str(loss) for loss in done.losses] == ["drop old (2 rows)"]


def test_what_a_harmless_batch_has_set_hides_nothing_later(library: Migrator, folder: Folder) -> None:
    """Each part is measured by itself: what one has set itself may be lost in another."""
    up = """
for rows in self.batches("documents", size=1):
    if rows[0]["id"] == 1:
        self.execute_sql("UPDATE documents SET id = id, abstract = upper(abstract) WHERE id = 1")
    else:
        self.execute_sql("CREATE TRIGGER t AFTER UPDATE ON settings BEGIN UPDATE documents SET abstract = NULL; END")
        self.execute_sql("UPDATE settings SET value = 'blue'")
"""
    folder.add(2, up, extra="resumable = True")
    with pytest.raises(DataLossError, match=r"make NULL of documents\.abstract"):
        Migrator(library.db.engine, folder.path).migrate()


def test_a_warning_tells_the_sum_of_all_batches(library: Migrator, folder: Folder) -> None:
    up = """
trigger = "CREATE TRIGGER IF NOT EXISTS t AFTER UPDATE ON documents BEGIN {}; END"
self.execute_sql(trigger.format("DELETE FROM old_table WHERE rowid = new.id"))
for rows in self.batches("documents", size=1):
    self.update_rows("documents", [{"id": row["id"], "title": row["title"]} for row in rows])
"""
    folder.add(2, up, extra="resumable = True")
    done = Migrator(library.db.engine, folder.path, on_data_loss="warn").migrate()
    assert done.warnings == ["migration 002 was not said to delete 2 rows of old_table"]
    assert [str(loss) for loss in done.losses] == ["delete 2 rows of old_table"]
