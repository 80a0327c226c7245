"""Sources and targets whose settings, or whose driver's settings, would alter or hide what is copied."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from conftest import Folder
from copy_support import empty
from sqlalchemy import JSON, Column, Integer, Interval, MetaData, Table, create_engine, event, select
from test_copy_schema import folder, migrated, sql

from sqlmig import CopyError, Migrator, TablesDiffer, ValueUnfit

__all__ = ["folder"]


@pytest.fixture
def pg(tmp_path: Path) -> Iterator[str]:
    with empty("postgresql", tmp_path) as url:
        yield url


@pytest.fixture
def other_pg(tmp_path: Path) -> Iterator[str]:
    with empty("postgresql", tmp_path) as url:
        yield url


class TestDrivers:
    @pytest.mark.parametrize("factory", [bytes, lambda data: data.decode(errors="ignore")])
    def test_a_text_factory_of_the_applications(self, folder: Folder, tmp_path: Path, factory: Any) -> None:
        folder.add(1, 'self.execute_sql("CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT)")')
        source = migrated(folder, tmp_path)
        sql(source, "INSERT INTO t VALUES (1, 'text')")
        engine, goal = create_engine(source), create_engine(f"sqlite:///{tmp_path / 'copy.db'}")
        for each in (engine, goal):
            event.listen(each, "connect", lambda raw, _: setattr(raw, "text_factory", factory))
        Migrator(goal, folder.path).copy_from(engine)
        assert sql(str(goal.url), "SELECT typeof(x), x FROM t") == [("text", "text")]
        with engine.connect() as connection:
            assert connection.connection.dbapi_connection.text_factory is factory  # type: ignore[union-attr]
        sql(source, "UPDATE t SET x = CAST(x'6180' AS TEXT)")
        with pytest.raises(ValueUnfit, match="not UTF-8"):
            Migrator(tmp_path / "again.db", folder.path).copy_from(engine)
        engine.dispose()
        goal.dispose()

    def test_types_that_the_driver_converts(self, folder: Folder, tmp_path: Path) -> None:
        folder.add(1, 'self.execute_sql("CREATE TABLE t (d DATE, [e [date]]] TEXT)")'.replace("]]]", "]"))
        source = migrated(folder, tmp_path)
        sql(source, "INSERT INTO t (d) VALUES ('2024-02-29')")
        parsed = {"detect_types": sqlite3.PARSE_DECLTYPES | sqlite3.PARSE_COLNAMES}
        engine = create_engine(source, connect_args=parsed)
        goal = create_engine(f"sqlite:///{tmp_path / 'copy.db'}", connect_args=parsed)
        Migrator(goal, folder.path).copy_from(engine)
        assert sql(str(goal.url), "SELECT typeof(d), d FROM t") == [("text", "2024-02-29")]
        engine.dispose()
        goal.dispose()

    @pytest.mark.parametrize("charset", ["utf8", "latin1"])
    def test_a_character_set_that_knows_less(self, folder: Folder, tmp_path: Path, charset: str) -> None:
        folder.add(1, 'self.execute_sql("CREATE TABLE t (id INTEGER PRIMARY KEY, ü VARCHAR(20))")')
        source = migrated(folder, tmp_path)
        sql(source, "INSERT INTO t VALUES (1, 'ü🦄Ж')")
        with empty("mariadb", tmp_path) as url:
            sql(url, f"ALTER DATABASE {url.rpartition('/')[2].partition('?')[0]} CHARACTER SET utf8mb4")
            engine = create_engine(url, connect_args={"charset": charset})
            Migrator(engine, folder.path).copy_from(source)
            assert sql(url, "SELECT * FROM t") == [(1, "ü🦄Ж")]
            back = f"sqlite:///{tmp_path / 'back.db'}"
            Migrator(back, folder.path).copy_from(engine)
            assert sql(back, "SELECT * FROM t") == [(1, "ü🦄Ж")]
            with engine.connect() as connection:
                raw: Any = connection.connection.dbapi_connection
                shown = connection.exec_driver_sql("SELECT 'ü', @@character_set_client").one()
                assert (raw.charset, shown[0]) == (charset, "ü")
                assert shown[1].startswith(charset)
            engine.dispose()

    def test_decimals_that_the_driver_makes_floats_of(self, folder: Folder, pg: str, tmp_path: Path) -> None:
        folder.add(1, 'self.execute_sql("CREATE TABLE t (id INTEGER PRIMARY KEY, n NUMERIC(40, 30))")')
        number = Decimal("0.123456789012345678901234567890")
        Migrator(pg, folder.path).migrate()
        sql(pg, f"INSERT INTO t VALUES (1, {number}), (2, NULL)")
        engine = create_engine(pg)

        @event.listens_for(engine, "connect")
        def _(raw: Any, _record: Any) -> None:
            from psycopg.types.numeric import FloatLoader

            raw.adapters.register_loader("numeric", FloatLoader)

        with empty("mariadb", tmp_path) as middle, empty("postgresql", tmp_path) as end:
            Migrator(middle, folder.path).copy_from(engine)
            from pymysql.constants import FIELD_TYPE
            from pymysql.converters import conversions

            floats = {**conversions, FIELD_TYPE.DECIMAL: float, FIELD_TYPE.NEWDECIMAL: float}
            other = create_engine(middle, connect_args={"conv": floats})
            Migrator(end, folder.path).copy_from(other)
            assert sql(end, "SELECT n FROM t ORDER BY id") == [(number,), (None,)]
            other.dispose()
        engine.dispose()

    def test_a_number_that_sqlite_has_not(self, folder: Folder, tmp_path: Path) -> None:
        folder.add(
            1,
            "kind = 'BIGINT UNSIGNED' if self.db.engine.dialect.name != 'sqlite' else 'BIGINT'\n"
            'self.execute_sql(f"CREATE TABLE t (id INTEGER PRIMARY KEY, n {kind})")',
        )
        with empty("mariadb", tmp_path) as source:
            Migrator(source, folder.path).migrate()
            sql(source, "INSERT INTO t VALUES (1, 9223372036854775807), (2, 18446744073709551615)")
            with pytest.raises(ValueUnfit, match="id = 2"):
                Migrator(tmp_path / "copy.db", folder.path).copy_from(source)


class TestConnectionsThatAreHandedIn:
    def test_a_time_zone_of_their_own(self, folder: Folder, pg: str, tmp_path: Path) -> None:
        folder.add(
            1,
            "kind = 'TIMESTAMP NULL' if self.db.engine.dialect.name != 'postgresql' else 'TIMESTAMPTZ'\n"
            'self.execute_sql(f"CREATE TABLE t (at {kind})")',
        )
        with empty("mariadb", tmp_path) as source, empty("postgresql", tmp_path) as end:
            Migrator(source, folder.path).migrate()
            sql(source, "SET time_zone = '+00:00'", "INSERT INTO t VALUES ('2024-01-01 00:00:00')")
            for url, target, zone in (
                (source, pg, "SET time_zone = '+05:00'"),
                (pg, end, "SET TimeZone = 'Asia/Tokyo'"),
            ):
                engine = create_engine(url)
                with engine.connect() as connection:
                    connection.exec_driver_sql(zone)
                    before = connection.exec_driver_sql("SELECT CAST(at AS CHAR(30)) FROM t").scalar()
                    Migrator(target, folder.path).copy_from(connection)
                    assert connection.exec_driver_sql("SELECT CAST(at AS CHAR(30)) FROM t").scalar() == before
                engine.dispose()
                found = sql(target, "SELECT to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI') FROM t")
                assert found == [("2024-01-01 00:00",)]

    def test_one_that_commits_by_itself(self, folder: Folder, pg: str, tmp_path: Path) -> None:
        folder.add(1, 'self.execute_sql("CREATE TABLE t (id INTEGER)")')
        Migrator(pg, folder.path).migrate()
        engine = create_engine(pg, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection, pytest.raises(CopyError, match="commits by itself"):
            Migrator(tmp_path / "copy.db", folder.path).copy_from(connection)
        engine.dispose()


class TestRowsThatAreHidden:
    def test_rows_that_a_policy_hides(self, folder: Folder, pg: str, tmp_path: Path) -> None:
        folder.add(1, 'self.execute_sql("CREATE TABLE t (id INTEGER PRIMARY KEY)")')
        Migrator(pg, folder.path).migrate()
        role = f"sqlmig_test_{uuid4().hex[:12]}"
        sql(
            pg,
            "INSERT INTO t VALUES (1), (2), (3)",
            "ALTER TABLE t ENABLE ROW LEVEL SECURITY",
            "CREATE POLICY few ON t USING (id < 3)",
            f"CREATE ROLE {role} LOGIN",
            f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}",
        )
        engine = create_engine(pg)
        event.listen(engine, "connect", lambda raw, _: (raw.execute(f"SET ROLE {role}"), raw.commit()))
        try:
            with pytest.raises(CopyError, match="row-level security") as caught:
                Migrator(tmp_path / "copy.db", folder.path).copy_from(engine)
            assert "table t of the source" in str(caught.value)
        finally:
            engine.dispose()
            sql(pg, f"DROP OWNED BY {role}", f"DROP ROLE {role}")

    def test_a_source_that_goes_away_is_told_as_such(self, folder: Folder, pg: str, other_pg: str) -> None:
        folder.add(1, 'self.execute_sql("CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT)")')
        Migrator(pg, folder.path).migrate()
        sql(pg, "INSERT INTO t SELECT n, repeat('x', 1000) FROM generate_series(1, 5000) n")
        name = pg.rpartition("/")[2].partition("?")[0]
        ended: list[int] = []

        def end(done: int, total: int, message: str) -> None:
            if done and not ended:
                ended.append(1)
                sql(other_pg, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")

        with pytest.raises(CopyError, match=r"of the source .* could not be read"):
            Migrator(other_pg, folder.path, progress=end).copy_from(pg, batch_size=10)
        assert Migrator(other_pg, folder.path).get_current_version() == 0

    def test_a_table_that_is_emptied_meanwhile(self, folder: Folder, pg: str, tmp_path: Path) -> None:
        """TRUNCATE, and what writes a table anew, is seen by older snapshots as well: nobody is to do it now."""
        folder.add(
            1, 'self.execute_sql("CREATE TABLE a (id INTEGER)")\nself.execute_sql("CREATE TABLE b (id INTEGER)")'
        )
        Migrator(pg, folder.path).migrate()
        sql(pg, "INSERT INTO a VALUES (1)", "INSERT INTO b VALUES (1), (2)")
        refused: list[str] = []

        def empty_it(done: int, total: int, message: str) -> None:
            if not refused:
                try:
                    sql(pg, "SET LOCAL lock_timeout = '50ms'", "TRUNCATE b")
                    refused.append("")
                except Exception as error:
                    refused.append(str(error))

        Migrator(tmp_path / "copy.db", folder.path, progress=empty_it).copy_from(pg)
        assert "lock timeout" in refused[0]
        assert sql(f"sqlite:///{tmp_path / 'copy.db'}", "SELECT count(*) FROM b") == [(2,)]


class TestTablesOfPostgreSQL:
    def test_tables_that_inherit(self, folder: Folder, pg: str, other_pg: str) -> None:
        folder.add(
            1,
            'self.execute_sql("CREATE TABLE a (id INTEGER)")\n'
            'self.execute_sql("CREATE TABLE b (n INTEGER) INHERITS (a)")',
        )
        Migrator(pg, folder.path).migrate()
        sql(pg, "INSERT INTO a VALUES (1)", "INSERT INTO b VALUES (2, 2)")
        result = Migrator(other_pg, folder.path).copy_from(pg)
        assert [(table.table, table.rows) for table in result.tables] == [("a", 1), ("b", 1)]
        assert sql(other_pg, "SELECT id FROM a ORDER BY id") == [(1,), (2,)]

    def test_tables_that_migrations_make_in_another_schema(self, folder: Folder, pg: str, other_pg: str) -> None:
        folder.add(
            1,
            'self.execute_sql("CREATE SCHEMA app")\n'
            'self.execute_sql("CREATE TABLE app.t (id INTEGER)")\n'
            'self.execute_sql("CREATE TABLE here (id INTEGER)")',
        )
        Migrator(pg, folder.path).migrate()
        sql(pg, "INSERT INTO app.t VALUES (1)", "SELECT lo_create(0)")
        with pytest.raises(CopyError, match=r"app\.t"):
            Migrator(other_pg, folder.path).copy_from(pg)
        assert Migrator(other_pg, folder.path).get_current_version() == 0
        result = Migrator(other_pg, folder.path).copy_from(pg, skip=["app.t"])
        assert "the tables of the schema app were not copied" in result.warnings
        assert "1 large objects were not copied" in result.warnings

    def test_two_tables_that_are_one_there(self, folder: Folder, pg: str, tmp_path: Path) -> None:
        folder.add(
            1,
            "for name in ('t', 'T'):\n    self.execute_sql(f'CREATE TABLE IF NOT EXISTS \"{name}\" (id INTEGER)')",
        )
        Migrator(pg, folder.path).migrate()
        sql(pg, "INSERT INTO t VALUES (1)")
        with pytest.raises(TablesDiffer) as caught:
            Migrator(tmp_path / "copy.db", folder.path).copy_from(pg)
        assert caught.value.missing in (["t"], ["T"])

    def test_domains_of_domains(self, folder: Folder, pg: str, tmp_path: Path) -> None:
        folder.add(
            1,
            "if self.db.engine.dialect.name == 'postgresql':\n"
            '    self.execute_sql("CREATE DOMAIN whole AS BIGINT")\n'
            '    self.execute_sql("CREATE DOMAIN positive AS whole CHECK (VALUE > 0)")\n'
            '    self.execute_sql("CREATE DOMAIN short AS VARCHAR(3)")\n'
            '    self.execute_sql("CREATE DOMAIN code AS short")\n'
            '    self.execute_sql("CREATE TABLE t (id positive, x code)")\n'
            "else:\n"
            '    self.execute_sql("CREATE TABLE t (id INTEGER, x TEXT)")',
        )
        source = migrated(folder, tmp_path)
        sql(source, "INSERT INTO t VALUES (9223372036854775807, 'abc')")
        Migrator(pg, folder.path).copy_from(source)
        assert sql(pg, "SELECT * FROM t") == [(2**63 - 1, "abc")]
        with empty("postgresql", tmp_path) as other:
            sql(source, "UPDATE t SET x = 'abcd'")
            with pytest.raises(ValueUnfit, match="3 characters"):
                Migrator(other, folder.path).copy_from(source)

    def test_triggers_of_a_partition(self, folder: Folder, pg: str, tmp_path: Path) -> None:
        folder.add(
            1,
            'self.execute_sql("CREATE TABLE audit (id INTEGER)")\n'
            "if self.db.engine.dialect.name == 'sqlite':\n"
            '    self.execute_sql("CREATE TABLE p (id INTEGER)")\n'
            "else:\n"
            '    self.execute_sql("CREATE TABLE p (id INTEGER) PARTITION BY RANGE (id)")\n'
            '    self.execute_sql("CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (9)")\n'
            '    self.execute_sql("CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS'
            ' $$BEGIN INSERT INTO audit VALUES (new.id); RETURN new; END$$")\n'
            '    self.execute_sql("CREATE TRIGGER tr AFTER INSERT ON p1 FOR EACH ROW EXECUTE FUNCTION note()")',
        )
        source = migrated(folder, tmp_path)
        sql(source, "INSERT INTO p VALUES (1)")
        Migrator(pg, folder.path).copy_from(source)
        assert sql(pg, "SELECT * FROM audit") == []
        assert sql(pg, "INSERT INTO p VALUES (2)", "SELECT * FROM audit") == [(2,)]


SPANS = """
from sqlalchemy import JSON, Column, Float, Integer, Interval, MetaData, Table
from sqlalchemy.dialects.mysql import DATETIME
from sqlalchemy.dialects.postgresql import ARRAY
span = Interval().with_variant(DATETIME(fsp=6), "mysql", "mariadb")
listed = JSON().with_variant(ARRAY(Integer), "postgresql")
floats = JSON().with_variant(ARRAY(Float), "postgresql")
columns = Column("span", span), Column("listed", listed), Column("floats", floats)
Table("t", MetaData(), Column("id", Integer, primary_key=True), *columns).create(self.db.connection)
"""


class TestTypesOfPostgreSQL:
    @pytest.mark.parametrize("kind", ["sqlite", "mariadb"])
    def test_intervals_and_arrays(self, folder: Folder, pg: str, other_pg: str, tmp_path: Path, kind: str) -> None:
        folder.add(1, SPANS)
        Migrator(pg, folder.path).migrate()
        spans = ["1 day 02:03:04.5", "-1 days", "00:00:00.000001", "-01:30:00", "3 days", "0", "1 day -02:00:00"]
        for number, span in enumerate(spans):
            sql(pg, f"INSERT INTO t VALUES ({number}, '{span}', '{{}}'), ({number + 100}, NULL, '{{1,NULL}}')")
        seconds = "SELECT id, extract(epoch FROM span) FROM t ORDER BY id"
        with empty(kind, tmp_path) as middle:
            Migrator(middle, folder.path).copy_from(pg)
            engine = create_engine(middle)
            table = Table("t", MetaData(), Column("id", Integer), Column("span", Interval), Column("listed", JSON))
            with engine.connect() as connection:
                found = {row.id: (row.span, row.listed) for row in connection.execute(select(table))}
            assert found[0] == (timedelta(days=1, hours=2, minutes=3, seconds=4.5), [])
            assert found[1] == (timedelta(days=-1), [])
            assert found[3] == (timedelta(hours=-1.5), [])
            assert found[100] == (None, [1, None])
            engine.dispose()
            # A list of JSON is no array of PostgreSQL's: the way back is for intervals only.
            sql(middle, "UPDATE t SET listed = NULL")
            Migrator(other_pg, folder.path).copy_from(middle)
            assert sql(other_pg, seconds) == sql(pg, seconds)

    @pytest.mark.parametrize("change", ["span = '1 month'", "floats = '{}'"])
    def test_what_would_be_something_else(self, folder: Folder, pg: str, tmp_path: Path, change: str) -> None:
        folder.add(1, SPANS)
        Migrator(pg, folder.path).migrate()
        sql(pg, "INSERT INTO t VALUES (1)", f"UPDATE t SET {change}")
        with pytest.raises(ValueUnfit, match=change.partition(" ")[0]):
            Migrator(tmp_path / "copy.db", folder.path).copy_from(pg)


@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_a_parent_that_is_left_out(folder: Folder, tmp_path: Path, kind: str) -> None:
    folder.add(
        1,
        'self.execute_sql("CREATE TABLE p (id INTEGER PRIMARY KEY)")\n'
        'self.execute_sql("CREATE TABLE c (id INTEGER, FOREIGN KEY (id) REFERENCES p (id))")',
    )
    source = migrated(folder, tmp_path)
    sql(source, "INSERT INTO p VALUES (1)", "INSERT INTO c VALUES (1)")
    with empty(kind, tmp_path) as target:
        with pytest.raises(CopyError, match=r"do not hold in a copy without p\."):
            Migrator(target, folder.path).copy_from(source, skip=["p"])
        assert Migrator(target, folder.path).get_current_version() == 0
        assert Migrator(target, folder.path).copy_from(source, skip=["p", "c"]).rows == 0
