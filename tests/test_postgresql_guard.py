"""What a migration would lose on PostgreSQL is told, undone, and passes when it is declared."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from conftest import Folder
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from native_databases import scratch_database
from sqlalchemy import Engine, create_engine, event

from sqlmig import DataLossError, Migrator

LIBRARY = """
CREATE TABLE authors (id INTEGER PRIMARY KEY, name TEXT);
CREATE TABLE documents (
    id INTEGER PRIMARY KEY, title TEXT NOT NULL, abstract TEXT, price NUMERIC(8, 2), code TEXT,
    author_id INTEGER REFERENCES authors ON DELETE CASCADE, editor_id INTEGER REFERENCES authors ON DELETE SET NULL
);
CREATE TABLE pages (id INTEGER PRIMARY KEY, document_id INTEGER REFERENCES documents ON DELETE CASCADE);
CREATE TABLE old_table (x INTEGER);
CREATE TABLE empty_table (x INTEGER);
CREATE TABLE measures (day DATE, value INTEGER) PARTITION BY RANGE (day);
CREATE TABLE measures_1 PARTITION OF measures FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
CREATE TABLE measures_2 PARTITION OF measures FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
INSERT INTO authors VALUES (1, 'Ada'), (2, 'Bea'), (3, 'Cia');
INSERT INTO documents VALUES (1, 'One', 'a', 1.00, '007', 1, 2), (2, 'Two', NULL, 2.50, '12', 2, 2),
    (3, 'Three', 'c', NULL, NULL, 2, 3);
INSERT INTO pages VALUES (1, 1), (2, 1), (3, 3);
INSERT INTO old_table VALUES (1), (2);
INSERT INTO measures VALUES ('2024-05-05', 1), ('2025-05-05', 2)"""


@pytest.fixture
def engine() -> Iterator[Engine]:
    with scratch_database("postgresql") as database:
        place = {"options": f"-csearch_path={database.scratch}"}
        found = create_engine(database.connection.engine.url, connect_args=place)
        with found.begin() as connection:
            connection.exec_driver_sql(LIBRARY)
        yield found
        found.dispose()


def contents(engine: Engine) -> dict[str, list[Any]]:
    with engine.connect() as connection:
        names = connection.exec_driver_sql(
            "SELECT relname FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r'"
            " AND relname NOT LIKE 'migration%%' ORDER BY 1"
        ).scalars()
        return {name: sorted(map(str, connection.exec_driver_sql(f'SELECT * FROM "{name}"'))) for name in names}


class Case(NamedTuple):
    name: str
    up: list[str]
    told: list[str]
    removes: list[str]


TWO_ROWS = "drop old_table (2 rows)"
CASES = [
    Case("a table", ["DROP TABLE old_table"], [TWO_ROWS], ["old_table"]),
    Case("a table if it is there", ["/* x */ drop table if exists old_table"], [TWO_ROWS], ["old_table"]),
    Case("two tables", ["DROP TABLE empty_table, old_table"], [TWO_ROWS], ["old_table", "empty_table"]),
    Case("a table in a block", ["DO $x$ BEGIN DROP TABLE old_table; END $x$"], [TWO_ROWS], ["old_table"]),
    Case(
        "a table that was renamed first",
        ["ALTER TABLE old_table RENAME TO older", "DROP TABLE older"],
        [TWO_ROWS],
        ["old_table"],
    ),
    Case(
        "a column",
        ["ALTER TABLE documents DROP abstract"],
        ["drop documents.abstract (2 values)"],
        ["documents.abstract"],
    ),
    Case(
        "a column that was renamed first",
        ["ALTER TABLE documents RENAME abstract TO summary", "ALTER TABLE documents DROP COLUMN summary"],
        ["drop documents.abstract (2 values)"],
        ["documents.abstract"],
    ),
    Case("a cascade", ["DELETE FROM documents WHERE id = 1"], ["delete 2 rows of pages"], ["pages"]),
    Case(
        "two cascades",
        ["DELETE FROM authors WHERE id = 2"],
        ["delete 2 rows of documents", "delete 1 row of pages"],
        ["documents", "pages"],
    ),
    Case(
        "values that a foreign key sets to NULL",
        ["DELETE FROM authors WHERE id = 3"],
        ["make NULL of documents.editor_id (1 value)"],
        ["documents.editor_id"],
    ),
    Case("what a TRUNCATE takes along", ["TRUNCATE documents CASCADE"], ["delete 3 rows of pages"], ["pages"]),
    Case(
        "rows that a trigger deletes",
        [
            "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN DELETE FROM old_table; RETURN NULL; END'",
            "CREATE TRIGGER t AFTER UPDATE ON authors FOR EACH STATEMENT EXECUTE FUNCTION f()",
            "UPDATE authors SET name = 'x'",
        ],
        ["delete 2 rows of old_table"],
        ["old_table"],
    ),
    Case(
        "leading zeros under another type",
        ["ALTER TABLE documents ALTER COLUMN code TYPE integer USING code::integer"],
        ["truncate documents.code (1 value)"],
        ["documents.code"],
    ),
    Case(
        "cents",
        ["ALTER TABLE documents ALTER price TYPE integer"],
        ["truncate documents.price (1 value)"],
        ["documents.price"],
    ),
    Case(
        "values that a change of type makes NULL",
        ["ALTER TABLE documents ALTER COLUMN abstract TYPE text USING NULLIF(abstract, 'a')"],
        ["make NULL of documents.abstract (1 value)"],
        ["documents.abstract"],
    ),
    Case(
        "rows and a column in a rebuild by hand",
        [
            "CREATE TABLE new_one AS SELECT id, title, abstract FROM documents WHERE id < 3",
            "DROP TABLE documents CASCADE",
            "ALTER TABLE new_one RENAME TO documents",
        ],
        ["delete 1 row of documents", "drop documents.price (2 values)"],
        ["documents"],
    ),
    Case(
        "a column whose type goes",
        [
            "CREATE TYPE mood AS ENUM ('x')",
            "ALTER TABLE authors ADD mood mood",
            "DROP TYPE mood CASCADE",
            "DROP TABLE old_table",
        ],
        [TWO_ROWS],
        ["old_table"],
    ),
    Case("a partitioned table", ["DROP TABLE measures"], ["drop measures (2 rows)"], ["measures"]),
    Case("a partition", ["DROP TABLE measures_1"], ["drop measures_1 (1 row)"], ["measures_1"]),
]


def steps(statements: list[str]) -> str:
    return "\n".join(f"self.execute_sql({statement!r})" for statement in statements)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_loss_is_told_and_undone_and_passes_when_declared(engine: Engine, folder: Folder, case: Case) -> None:
    before = contents(engine)
    folder.add(1, steps(case.up))
    with pytest.raises(DataLossError) as caught:
        Migrator(engine, folder.path).migrate()
    told = sorted(str(loss) for loss in caught.value.losses)
    assert set(case.told) <= set(told), told
    assert contents(engine) == before
    folder.add(1, steps(case.up), extra=f"removes = {[*case.removes, 'documents', 'pages']!r}")
    done = Migrator(engine, folder.path).migrate()
    assert sorted(str(loss) for loss in done.losses) == told


HARMLESS = [
    ["DELETE FROM old_table"],
    ["DELETE FROM old_table WHERE x = 1", "INSERT INTO old_table VALUES (3)"],
    ["TRUNCATE old_table"],
    ["TRUNCATE TABLE old_table, pages"],
    ["DROP TABLE empty_table"],
    ["CREATE TABLE made (x INTEGER)", "INSERT INTO made VALUES (1)", "DROP TABLE made"],
    ["ALTER TABLE documents ADD made TEXT", "UPDATE documents SET made = 'x'", "ALTER TABLE documents DROP made"],
    ["ALTER TABLE documents ALTER price TYPE numeric(12, 4)"],
    ["ALTER TABLE authors ALTER COLUMN id TYPE bigint"],
    ["ALTER TABLE documents ALTER COLUMN abstract TYPE boolean USING (abstract = 'a')"],
    ["UPDATE documents SET abstract = NULL, editor_id = NULL"],
    [
        "CREATE TABLE new_one AS SELECT * FROM old_table",
        "DROP TABLE old_table",
        "ALTER TABLE new_one RENAME TO old_table",
    ],
    [
        "CREATE TABLE newer AS TABLE old_table",
        "DROP TABLE old_table",
        "ALTER TABLE newer RENAME TO old_table",
        "DELETE FROM old_table WHERE x = 1",
        "TRUNCATE old_table",
    ],
    ["ALTER TABLE documents RENAME TO papers", "ALTER TABLE papers RENAME title TO name"],
    ["CREATE INDEX i ON documents (title)", "DROP INDEX i"],
    ["ALTER TABLE documents DROP CONSTRAINT documents_author_id_fkey"],
    ["UPDATE measures SET day = '2025-01-02' WHERE value = 1"],
    ["DELETE FROM measures WHERE value = 2"],
    ["SAVEPOINT s", "DELETE FROM documents", "DROP TABLE old_table", "ROLLBACK TO SAVEPOINT s", "RELEASE SAVEPOINT s"],
    ["WITH gone AS (DELETE FROM old_table RETURNING x) SELECT count(*) FROM gone"],
    ["INSERT INTO authors VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET name = excluded.name"],
    ["SELECT 'DROP TABLE old_table; DELETE FROM pages'", "COMMENT ON TABLE old_table IS 'truncate me'"],
]


@pytest.mark.parametrize("statements", HARMLESS, ids=lambda statements: statements[-1][:50])
def test_what_is_no_loss_is_none(engine: Engine, folder: Folder, statements: list[str]) -> None:
    folder.add(1, steps(statements))
    done = Migrator(engine, folder.path).migrate()
    assert (list(done.losses), list(done.warnings)) == ([], [])


def test_a_rollback_removes_what_its_up_made_and_nothing_else(engine: Engine, folder: Folder) -> None:
    up = ["CREATE TABLE made (x INTEGER)", "INSERT INTO made VALUES (1), (2)", "ALTER TABLE documents ADD slug TEXT"]
    down = ["DROP TABLE made", "ALTER TABLE documents DROP slug"]
    folder.add(1, steps([*up, "UPDATE documents SET slug = 'x'"]), steps(down))
    folder.add(2, "self.rename_table('made', 'making')", "self.rename_table('making', 'made')")
    migrator = Migrator(engine, folder.path)
    migrator.migrate()
    told = ["drop documents.slug (3 values)", "drop made (2 rows)"]
    # What a rollback would remove is told by the names of now.
    ahead = sorted(str(loss) for loss in migrator.get_rollback_losses(0))
    assert ahead == ["drop documents.slug (3 values)", "drop making (2 rows)"]
    assert sorted(str(loss) for loss in migrator.rollback_to_version(0).losses) == told
    folder.add(1, steps(up), steps([*down, "DROP TABLE old_table"]))
    migrator = Migrator(engine, folder.path)
    migrator.migrate()
    with pytest.raises(DataLossError, match="old_table"):
        migrator.rollback_to_version(0)


def test_batches_of_a_resumable_one_are_looked_at_each(engine: Engine, folder: Folder) -> None:
    up = """for rows in self.batches("documents", size=1):
    self.update_rows("documents", [{"id": row.id, "title": row.title.upper()} for row in rows])
    if rows[0].id == 2: self.execute_sql("DELETE FROM documents WHERE id = 1")"""
    folder.add(1, up, extra="resumable = True")
    with pytest.raises(DataLossError, match="delete 2 rows of pages") as caught:
        Migrator(engine, folder.path).migrate()
    assert "finished batches have stayed" in str(caught.value)
    assert len(contents(engine)["pages"]) == 3
    folder.add(1, up, extra="resumable = True\nremoves = ['pages']")
    assert [str(loss) for loss in Migrator(engine, folder.path).migrate().losses] == ["delete 2 rows of pages"]


def test_what_others_do_meanwhile_is_none_of_its_own(engine: Engine, folder: Folder) -> None:
    """Not by name, either: a column of theirs is no column that a rollback of this one would remove."""
    with engine.begin() as connection:
        for name in ("theirs", "going", "dwindling"):
            connection.exec_driver_sql(f"CREATE TABLE {name} (a INTEGER, b INTEGER)")
    folder.table(1)
    folder.add(2, steps(["ALTER TABLE empty_table ADD COLUMN y INTEGER DEFAULT 7"]), "pass")
    another = engine.execution_options()
    done: list[str] = []

    @event.listens_for(engine, "after_cursor_execute")
    def meanwhile(_c: object, _cursor: object, statement: str, *_: object) -> None:
        if "ADD COLUMN y" in statement and not done:
            done.append(statement)
            with another.begin() as connection:
                for theirs in (
                    *("ALTER TABLE theirs ADD COLUMN c INTEGER", "DROP TABLE going", "CREATE TABLE fresh (a INTEGER)"),
                    *("ALTER TABLE dwindling DROP COLUMN b", "ALTER TABLE old_table RENAME COLUMN x TO z"),
                ):
                    connection.exec_driver_sql(theirs)

    migrator = Migrator(engine, folder.path)
    assert migrator.migrate().warnings == []
    assert done
    row = next(row for row in migrator.version_tracker.read().rows if row.version == 2)
    assert row.metadata["created"] == ["empty_table.y"]
    assert "renamed" not in row.metadata
    migrator.rollback_to_version(1)


def test_policies(engine: Engine, folder: Folder) -> None:
    folder.add(1, steps(["DROP TABLE old_table"]), steps(["CREATE TABLE old_table (x INTEGER)"]))
    folder.add(2, steps(["INSERT INTO old_table VALUES (1)", "DROP TABLE old_table"]), "pass")
    folder.add(2, "pass", "pass", extra="removes = ['authors.name']")
    done = Migrator(engine, folder.path, on_data_loss="warn").migrate()
    assert done.warnings == [
        "migration 001 was not said to drop old_table (2 rows)",
        "migration 002 says that it removes authors.name, and does not",
    ]


def test_a_table_of_another_schema_has_its_name(engine: Engine, folder: Folder) -> None:
    with engine.begin() as connection:
        place = str(connection.exec_driver_sql("SELECT current_schema()").scalar()) + "_b"
        connection.exec_driver_sql(f'CREATE SCHEMA "{place}"')
        connection.exec_driver_sql(f'CREATE TABLE "{place}"."Odd name" (x INTEGER)')
        connection.exec_driver_sql(f'INSERT INTO "{place}"."Odd name" VALUES (1)')
    try:
        folder.add(1, steps([f'DROP SCHEMA "{place}" CASCADE']))
        with pytest.raises(DataLossError, match=f"drop {place}.Odd name"):
            Migrator(engine, folder.path).migrate()
    finally:
        with engine.begin() as connection:
            connection.exec_driver_sql(f'DROP SCHEMA "{place}" CASCADE')


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(chosen=st.lists(st.sampled_from(range(len(HARMLESS))), max_size=4, unique=True))
def test_a_stream_of_harmless_statements(
    engine: Engine, tmp_path_factory: pytest.TempPathFactory, chosen: list[int]
) -> None:
    """Each in a savepoint: one may not be possible after another; nothing of it is told either."""
    folder = Folder(tmp_path_factory.mktemp("stream"))
    parts = [
        "try:\n    with self.db.transaction():\n"
        + "\n".join(f"        self.execute_sql({statement!r})" for statement in HARMLESS[one])
        + "\nexcept Exception: pass"
        for one in chosen
        if not HARMLESS[one][0].startswith("SAVEPOINT")
    ]
    folder.add(1, "\n".join(parts) or "pass")
    with engine.connect() as connection:
        done = Migrator(connection, folder.path)
        connection.exec_driver_sql("SELECT 1")
        result = done.migrate()
        assert (list(result.losses), list(result.warnings)) == ([], [])
        connection.rollback()
