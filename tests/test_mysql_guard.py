"""What a migration would lose on MariaDB and MySQL is told before it is done, for there it could not be undone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from conftest import Folder, failures
from native_databases import scratch_database
from sqlalchemy import Engine, create_engine

from sqlmig import BaseMigration, DataLossError, MigrationFailed, Migrator
from sqlmig.backends.mysql_statements import ends_transaction, may_commit
from sqlmig.guard.mysql import statements

LIBRARY = """
CREATE TABLE authors (id INTEGER PRIMARY KEY, name VARCHAR(40));
CREATE TABLE documents (
    id INTEGER PRIMARY KEY, title VARCHAR(40) NOT NULL, abstract TEXT, price DECIMAL(8, 2), code VARCHAR(10),
    author_id INTEGER, editor_id INTEGER,
    CONSTRAINT by_author FOREIGN KEY (author_id) REFERENCES authors (id) ON DELETE CASCADE,
    CONSTRAINT by_editor FOREIGN KEY (editor_id) REFERENCES authors (id) ON DELETE SET NULL
);
CREATE TABLE Pages (
    id INTEGER PRIMARY KEY, document_id INTEGER, FOREIGN KEY (document_id) REFERENCES documents (id) ON DELETE CASCADE
);
CREATE TABLE old_table (x INTEGER);
CREATE TABLE empty_table (x INTEGER);
CREATE TABLE `odd ``name` (`a, (b` INTEGER);
CREATE TABLE measures (day INTEGER, value INTEGER) PARTITION BY RANGE (day) (
    PARTITION p1 VALUES LESS THAN (10), PARTITION p2 VALUES LESS THAN (20)
);
INSERT INTO authors VALUES (1, 'Ada'), (2, 'Bea'), (3, 'Cia');
INSERT INTO documents VALUES (1, 'One', 'a', 1.00, '007', 1, 2), (2, 'Two', NULL, 2.50, '12', 2, 2),
    (3, 'Three', 'c', NULL, NULL, 2, 3);
INSERT INTO Pages VALUES (1, 1), (2, 1), (3, 3);
INSERT INTO old_table VALUES (1), (2);
INSERT INTO `odd ``name` VALUES (1);
INSERT INTO measures VALUES (1, 1), (11, 2), (12, 3)"""


@pytest.fixture
def engine() -> Iterator[Engine]:
    with scratch_database("mariadb") as database:
        found = create_engine(database.connection.engine.url)
        with found.begin() as connection:
            for statement in LIBRARY.split(";"):
                connection.exec_driver_sql(statement)
        yield found
        found.dispose()


def contents(engine: Engine) -> dict[str, Any]:
    """The definition and the rows of each table."""
    with engine.connect() as connection:
        names = [name for name in connection.exec_driver_sql("SHOW TABLES").scalars() if "migration_" not in name]
        quoted = {name: "`" + name.replace("`", "``") + "`" for name in names}
        return {
            name: (
                connection.exec_driver_sql(f"SHOW CREATE TABLE {place}").one()[1],
                sorted(map(str, connection.exec_driver_sql(f"SELECT * FROM {place}"))),
            )
            for name, place in quoted.items()
        }


def steps(run: list[str]) -> str:
    return "\n".join(f"self.execute_sql({statement!r})" for statement in run)


class Case(NamedTuple):
    name: str
    up: list[str]
    told: list[str]
    removes: list[str]


TWO_ROWS = "drop old_table (2 rows)"
CASES = [
    Case("a table", ["DROP TABLE old_table"], [TWO_ROWS], ["old_table"]),
    Case("if it is there", ["/* x */ drop table if exists `old_table` restrict"], [TWO_ROWS], ["old_table"]),
    Case("in a comment that is executed", ["/*!40000 DROP TABLE old_table */"], [TWO_ROWS], ["old_table"]),
    Case("two tables", ["DROP TABLES empty_table, old_table"], [TWO_ROWS], ["old_table", "empty_table"]),
    Case("an odd name", ["DROP TABLE `odd ``name`"], ["drop odd `name (1 row)"], ["odd `name"]),
    Case(
        "an odd column", ["ALTER TABLE `odd ``name` ADD z INT, DROP `a, (b`"], ["drop odd `name.a, (b (1 value)"], ["*"]
    ),
    Case(
        "a table that was renamed first",
        ["RENAME TABLE old_table TO older", "DROP TABLE older"],
        [TWO_ROWS],
        ["old_table"],
    ),
    Case(
        "a table that was renamed by ALTER",
        ["ALTER TABLE old_table RENAME TO older, ADD y INT", "DROP TABLE older"],
        [TWO_ROWS],
        ["old_table"],
    ),
    Case("CREATE OR REPLACE", ["CREATE OR REPLACE TABLE old_table (y INTEGER)"], [TWO_ROWS], ["old_table"]),
    Case("TRUNCATE", ["TRUNCATE TABLE old_table"], ["delete 2 rows of old_table"], ["old_table"]),
    Case(
        "a column",
        ["ALTER TABLE documents DROP abstract"],
        ["drop documents.abstract (2 values)"],
        ["documents.abstract"],
    ),
    Case(
        "two columns among others",
        ["ALTER TABLE documents ADD INDEX i (title), DROP COLUMN IF EXISTS abstract, DROP COLUMN price, DROP nothing"],
        ["drop documents.abstract (2 values)", "drop documents.price (2 values)"],
        ["documents"],
    ),
    Case(
        "a column that was renamed first",
        ["ALTER TABLE documents CHANGE abstract summary TEXT", "ALTER TABLE documents DROP COLUMN summary"],
        ["drop documents.abstract (2 values)"],
        ["documents.abstract"],
    ),
    Case(
        "columns that exchange their names",
        [
            "ALTER TABLE documents RENAME COLUMN abstract TO x",
            "ALTER TABLE documents RENAME COLUMN title TO abstract, RENAME COLUMN x TO title",
            "ALTER TABLE documents DROP COLUMN title",
        ],
        ["drop documents.abstract (2 values)"],
        ["documents.abstract"],
    ),
    Case("a partition", ["ALTER TABLE measures DROP PARTITION p2"], ["delete 2 rows of measures"], ["measures"]),
    Case(
        "a partition emptied",
        ["ALTER TABLE measures TRUNCATE PARTITION p1, p2"],
        ["delete 3 rows of measures"],
        ["measures"],
    ),
    Case("a cascade", ["DELETE FROM documents WHERE id = 1"], ["delete 2 rows of Pages"], ["pages"]),
    Case(
        "a cascade by an alias", ["DELETE d FROM documents AS d WHERE d.id = 1"], ["delete 2 rows of Pages"], ["pages"]
    ),
    Case(
        "a cascade before the schema changes",
        ["DELETE FROM documents WHERE id = 1", "ALTER TABLE authors ADD x INTEGER"],
        ["delete 2 rows of Pages"],
        ["pages"],
    ),
    Case(
        "two cascades",
        ["DELETE FROM authors WHERE id = 2"],
        ["delete 2 rows of documents", "delete 1 row of Pages"],
        ["documents", "pages"],
    ),
    Case(
        "a cascade, and rows that are added",
        ["DELETE FROM documents WHERE id = 1", "INSERT INTO Pages VALUES (8, 2), (9, 2)"],
        ["delete 2 rows of Pages"],
        ["pages"],
    ),
    Case(
        "values that a foreign key sets to NULL",
        ["DELETE FROM authors WHERE id = 3"],
        ["make NULL of documents.editor_id (1 value)"],
        ["documents.editor_id"],
    ),
    Case(
        "rows that a trigger deletes",
        [
            "CREATE TRIGGER t AFTER UPDATE ON authors FOR EACH ROW DELETE FROM old_table",
            "UPDATE authors SET name = 'x'",
        ],
        ["delete 2 rows of old_table"],
        ["old_table"],
    ),
    Case(
        "leading zeros under another type",
        ["ALTER TABLE documents MODIFY code INTEGER"],
        ["truncate documents.code (1 value)"],
        ["documents.code"],
    ),
    Case(
        "cents",
        ["ALTER TABLE documents ADD x INT, CHANGE COLUMN price cents DECIMAL(8, 0) UNSIGNED NULL"],
        ["truncate documents.price (1 value)"],
        ["documents.price"],
    ),
    Case(
        "texts that are cut off",
        ["SET sql_mode = ''", "ALTER TABLE authors MODIFY name VARCHAR(2)"],
        ["truncate authors.name (3 values)"],
        ["authors.name"],
    ),
    Case(
        "letters that a character set has not got",
        [
            "UPDATE authors SET name = 'Αλφα'",
            "SET sql_mode = ''",
            "ALTER TABLE authors MODIFY name VARCHAR(40) CHARACTER SET latin1",
        ],
        ["truncate authors.name (3 values)"],
        ["authors.name"],
    ),
    Case(
        "a rebuild by hand",
        [
            "CREATE TABLE newer AS SELECT * FROM old_table",
            "RENAME TABLE old_table TO older, newer TO old_table",
            "DROP TABLE older",
        ],
        [TWO_ROWS],
        ["old_table"],
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_loss_is_refused_before_it_is_done_and_passes_when_declared(
    engine: Engine, folder: Folder, case: Case
) -> None:
    before = contents(engine)
    folder.add(1, steps(case.up))
    with pytest.raises(DataLossError) as caught:
        Migrator(engine, folder.path).migrate()
    told = sorted(str(loss) for loss in caught.value.losses)
    assert set(case.told) <= set(told), told
    now = contents(engine)
    # What came before is permanent where it was on the schema; no row is gone.
    assert sum(len(rows) for _, rows in now.values()) >= sum(len(rows) for _, rows in before.values())
    if caught.value.undone:
        assert now == before
    with engine.begin() as connection:
        connection.exec_driver_sql("SET foreign_key_checks = 0")
        for name in now:
            connection.exec_driver_sql("DROP TABLE `" + name.replace("`", "``") + "`")
        for statement in LIBRARY.split(";"):
            connection.exec_driver_sql(statement)
        connection.exec_driver_sql("SET foreign_key_checks = 1")
    Migrator(engine, folder.path).repair(interrupted="rolled back")
    up = [statement.replace(", DROP nothing", "") for statement in case.up]
    folder.add(1, steps(up), extra=f"removes = {[*case.removes, 'documents', 'pages']!r}")
    done = Migrator(engine, folder.path).migrate()
    if "*" not in case.removes:
        assert sorted(str(loss) for loss in done.losses) == told


@pytest.mark.parametrize(
    "sql", ["ALTER TABLE measures TRUNCATE PARTITION ALL", "ALTER TABLE measures DISCARD TABLESPACE"]
)
def test_all_rows_of_a_table(engine: Engine, folder: Folder, sql: str) -> None:
    folder.add(1, steps([sql]))
    with pytest.raises(DataLossError, match="delete 3 rows of measures"):
        Migrator(engine, folder.path).migrate()


def test_what_was_done_before_a_refused_loss_is_told(engine: Engine, folder: Folder) -> None:
    folder.add(1, steps(["CREATE TABLE made (x INTEGER)", "INSERT INTO made VALUES (1)", "DROP TABLE old_table"]))
    with pytest.raises(DataLossError) as caught:
        Migrator(engine, folder.path).migrate()
    said = str(caught.value)
    assert "would drop old_table (2 rows)" in said
    assert "permanent: 1 statement on the schema: CREATE TABLE made" in said
    assert 'removes = ["old_table"]' in said
    assert "sqlmig repair --retry" in said
    assert len(contents(engine)["old_table"][1]) == 2
    assert contents(engine)["made"][1] == []


def test_one_that_catches_the_refusal_fails_all_the_same(engine: Engine, folder: Folder) -> None:
    folder.add(1, "try:\n    self.execute_sql('DROP TABLE old_table')\nexcept Exception:\n    pass")
    with pytest.raises(DataLossError):
        Migrator(engine, folder.path).migrate()
    assert Migrator(engine, folder.path).get_migration_status().pending_versions == [1]


HARMLESS = [
    ["DELETE FROM old_table"],
    ["DELETE FROM old_table WHERE x = 1", "INSERT INTO old_table VALUES (3)"],
    ["DELETE FROM old_table", "DROP TABLE old_table"],
    ["TRUNCATE empty_table"],
    ["DROP TABLE empty_table"],
    ["DROP TABLE IF EXISTS nowhere"],
    ["CREATE TABLE made (x INTEGER)", "INSERT INTO made VALUES (1)", "TRUNCATE made", "DROP TABLE made"],
    [
        "CREATE TABLE made (x INTEGER)",
        "RENAME TABLE made TO made_2",
        "INSERT INTO made_2 VALUES (1)",
        "DROP TABLE made_2",
    ],
    ["CREATE TEMPORARY TABLE mine AS SELECT * FROM old_table", "DROP TEMPORARY TABLE mine"],
    ["ALTER TABLE documents ADD made TEXT", "UPDATE documents SET made = 'x'", "ALTER TABLE documents DROP made"],
    ["ALTER TABLE documents MODIFY price DECIMAL(12, 4)"],
    ["ALTER TABLE documents MODIFY COLUMN title VARCHAR(200) NOT NULL DEFAULT 'x, (y' AFTER abstract"],
    ["ALTER TABLE documents MODIFY abstract MEDIUMTEXT COMMENT 'DROP COLUMN title'"],
    ["ALTER TABLE authors MODIFY name VARCHAR(10) COLLATE utf8mb4_bin"],
    ["UPDATE documents SET abstract = NULL, editor_id = NULL"],
    ["ALTER TABLE documents RENAME TO papers", "ALTER TABLE papers RENAME COLUMN title TO name"],
    ["CREATE INDEX i ON documents (title)", "DROP INDEX i ON documents"],
    ["ALTER TABLE documents DROP FOREIGN KEY by_author, DROP INDEX by_author"],
    ["ALTER TABLE documents DROP CONSTRAINT by_editor, DROP KEY by_editor"],
    [
        "ALTER TABLE measures ADD PARTITION (PARTITION p3 VALUES LESS THAN (30))",
        "ALTER TABLE measures DROP PARTITION p3",
    ],
    ["SAVEPOINT s", "DELETE FROM documents", "INSERT INTO Pages VALUES (9, NULL)", "ROLLBACK TO SAVEPOINT s"],
    ["INSERT INTO authors VALUES (1, 'x') ON DUPLICATE KEY UPDATE name = 'y'"],
    ["SET foreign_key_checks = 0", "DELETE FROM documents WHERE id = 1"],
    ["SELECT 'DROP TABLE old_table; DELETE FROM Pages'", "ALTER TABLE old_table COMMENT = 'truncate me'"],
]


@pytest.mark.parametrize("run", HARMLESS, ids=lambda run: run[-1][:50])
def test_what_is_no_loss_is_none(engine: Engine, folder: Folder, run: list[str]) -> None:
    folder.add(1, steps(run))
    done = Migrator(engine, folder.path).migrate()
    assert (list(done.losses), list(done.warnings)) == ([], [])


def test_ansi_quotes(engine: Engine, folder: Folder) -> None:
    quoting = create_engine(engine.url, connect_args={"init_command": "SET sql_mode = 'ANSI_QUOTES'"})
    folder.add(1, steps(['DROP TABLE "old_table"']))
    with pytest.raises(DataLossError, match=r"drop old_table \(2 rows\)"):
        Migrator(quoting, folder.path).migrate()
    quoting.dispose()


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
    folder.add(1, steps(up), steps(["DROP TABLE old_table", *down]))
    migrator = Migrator(engine, folder.path)
    migrator.migrate()
    with pytest.raises(DataLossError, match="would, rolled back, drop old_table") as caught:
        migrator.rollback_to_version(1 - 1)
    assert caught.value.undone
    assert len(contents(engine)["old_table"][1]) == 2


def test_batches_of_a_resumable_one_are_looked_at_each(engine: Engine, folder: Folder) -> None:
    up = """for rows in self.batches("documents", size=1):
    self.update_rows("documents", [{"id": row.id, "title": row.title.upper()} for row in rows])
    if rows[0].id == 2: self.execute_sql("DELETE FROM documents WHERE id = 1")"""
    folder.add(1, up, extra="resumable = True")
    with pytest.raises(DataLossError, match="delete 2 rows of Pages") as caught:
        Migrator(engine, folder.path).migrate()
    assert "finished batches have stayed" in str(caught.value)
    assert len(contents(engine)["Pages"][1]) == 3
    folder.add(1, up, extra="resumable = True\nremoves = ['pages']")
    assert [str(loss) for loss in Migrator(engine, folder.path).migrate().losses] == ["delete 2 rows of Pages"]


def test_policies(engine: Engine, folder: Folder) -> None:
    folder.add(1, steps(["DROP TABLE old_table"]), steps(["CREATE TABLE old_table (x INTEGER)"]))
    folder.add(2, "pass", "pass", extra="removes = ['authors.name']")
    migrator = Migrator(engine, folder.path, on_data_loss="warn")
    done = migrator.migrate()
    assert done.warnings == [
        "migration 001 was not said to drop old_table (2 rows)",
        "migration 002 says that it removes authors.name, and does not",
    ]
    history = [entry for entry in migrator.get_migration_history() if entry["version"] == 1]
    assert history[0]["metadata"]["losses"] == [{"kind": "table", "name": "old_table", "count": 2}]
    folder.add(3, steps(["DROP TABLE Pages, documents"]))
    assert Migrator(engine, folder.path, on_data_loss="ignore").migrate().losses == []


def test_a_table_of_another_database_has_its_name(engine: Engine, folder: Folder) -> None:
    place = f"{engine.url.database}_b"
    with engine.begin() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {place}")
        connection.exec_driver_sql(f"CREATE TABLE {place}.`Odd name` (x INTEGER)")
        connection.exec_driver_sql(f"INSERT INTO {place}.`Odd name` VALUES (1)")
    try:
        for statement in (f"DROP DATABASE {place}", f"DROP TABLE {place} . `Odd name`"):
            folder.add(1, steps([statement]))
            with pytest.raises(DataLossError, match=f"drop {place}.Odd name"):
                Migrator(engine, folder.path).migrate()
    finally:
        with engine.begin() as connection:
            connection.exec_driver_sql(f"DROP DATABASE {place}")


def test_what_a_routine_drops_is_told_afterwards(engine: Engine, folder: Folder) -> None:
    folder.add(1, steps(["CREATE PROCEDURE p() BEGIN DROP TABLE old_table; END", "CALL p()"]))
    done = Migrator(engine, folder.path).migrate()
    assert done.warnings == ["migration 001 wrote old_table in a way that no statement told, where nothing is counted"]


def test_by_hand(engine: Engine) -> None:
    class ByHand(BaseMigration):
        version = 1

        def up(self) -> None:
            self.execute_sql("DROP TABLE old_table")

        def down(self) -> None:
            self.execute_sql("ALTER TABLE nowhere ADD x INTEGER")

    with pytest.raises(DataLossError):
        ByHand(engine).run()
    assert "old_table" in contents(engine)
    with pytest.raises(MigrationFailed):
        ByHand(engine).rollback()


def test_a_refusal_is_in_the_history(engine: Engine, folder: Folder) -> None:
    folder.add(1, steps(["DROP TABLE old_table"]))
    migrator = Migrator(engine, folder.path)
    with pytest.raises(DataLossError):
        migrator.migrate()
    told = failures(migrator)[0]["metadata"]["losses"]
    assert [(loss["kind"], loss["name"], loss["count"]) for loss in told] == [("table", "old_table", 2)]


# What statements say


@pytest.mark.parametrize(
    ("sql", "word"),
    [
        ("commit", "COMMIT"),
        ("INSERT INTO t VALUES ('it\\'s; COMMIT')", None),
        ("INSERT INTO t VALUES ('it''s'); rollback", "ROLLBACK"),
        ("ROLLBACK TO SAVEPOINT a", None),
        ("rollback work to a", None),
        ("begin not atomic select 1; end", None),
        ("/*M! COMMIT */", "COMMIT"),
        ("select 1 -- \n; commit", "COMMIT"),
        ("select 1 --; commit", "COMMIT"),
        ("CREATE PROCEDURE p() BEGIN COMMIT; START TRANSACTION; END", None),
        ("CREATE DEFINER=`a`@`b` TRIGGER t BEFORE INSERT ON x FOR EACH ROW BEGIN SET @a = 1; SET @b = 2; END", None),
        ("SET autocommit=0", "SET autocommit"),
        ("SET @autocommit_log = 1", None),
        ("START SLAVE", None),
    ],
)
def test_what_ends_a_transaction(sql: str, word: str | None) -> None:
    assert ends_transaction(sql) == word


@pytest.mark.parametrize(
    ("sql", "may"),
    [
        ("(SELECT 1) UNION (SELECT 2)", False),
        ("WITH x AS (SELECT 1) SELECT * FROM x", False),
        ("INSERT INTO t VALUES ('CREATE TABLE')", False),
        ("SET PASSWORD = 'x'", True),
        ("SET NAMES utf8mb4", False),
        ("LOAD INDEX INTO CACHE t", True),
        ("INSERT INTO t VALUES (1); CREATE TABLE u (x INT)", True),
        ("CREATE TEMPORARY TABLE t (x INT)", False),
        ("/* SELECT */ ALTER TABLE t ADD x INT", True),
        ("CALL p()", True),
        ("SOMETHING NEW", True),
        ("selection", True),
    ],
)
def test_what_may_commit(sql: str, may: bool) -> None:
    assert may_commit(sql) is may


def test_a_column_called_like_a_keyword_goes_as_well() -> None:
    said = statements.altered("ALTER TABLE t DROP check, DROP COLUMN `key`, DROP PRIMARY KEY, DROP system VERSIONING")
    assert said is not None
    assert said.columns == ["check", "key"]
