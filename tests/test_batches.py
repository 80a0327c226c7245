"""Rows in batches: by keyset, whole, in the order of a key, and none of them silently left out."""

from __future__ import annotations

import gc
import random
import sqlite3
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from native_databases import Database, scratch_database
from sqlalchemy import (
    Column,
    DateTime,
    Engine,
    Integer,
    MetaData,
    String,
    Table,
    create_engine,
    event,
    func,
    select,
    union_all,
)
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from sqlmig import (
    BaseMigration,
    DataError,
    NoSuchObject,
    NoSuchRows,
    Row,
    SchemaError,
    WrongKey,
)


class Step(BaseMigration):
    version = 1

    def up(self) -> None:
        raise NotImplementedError


@pytest.fixture
def step(tmp_path: Any) -> Iterator[Step]:
    """A migration over a connection to a table of a hundred documents."""
    engine = create_engine(f"sqlite:///{tmp_path / 'a.db'}")
    with engine.connect() as connection:
        made = Step(connection)
        made.execute_sql("CREATE TABLE documents (id INTEGER PRIMARY KEY, title TEXT, slug TEXT)")
        rows = [(n * 3, f"Title {n}") for n in range(1, 101)]
        made.execute_sql("INSERT INTO documents (id, title) VALUES (?, ?)", rows)
        yield made


META = MetaData()
DOCUMENTS = Table(
    "documents", META, Column("id", Integer, primary_key=True), Column("title", String), Column("slug", String)
)


def ids(batches: Iterator[list[Row]], name: str = "id") -> list[Any]:
    return [row[name] for rows in batches for row in rows]


def test_rows_come_in_lists_of_the_size_in_the_order_of_the_key(step: Step) -> None:
    found = list(step.batches("documents", size=30))
    assert [len(rows) for rows in found] == [30, 30, 30, 10]
    assert [row["id"] for rows in found for row in rows] == [n * 3 for n in range(1, 101)]
    assert all(isinstance(rows, list) for rows in found)


def test_a_row_answers_to_index_name_attribute_and_dict(step: Step) -> None:
    for source in ("documents", DOCUMENTS, select(DOCUMENTS)):
        (row, *_), *_ = step.batches(source)
        assert isinstance(row, Row)
        assert (row[0], row["title"], row.title, row[-1]) == (3, "Title 1", "Title 1", None)
        assert dict(row) == {"id": 3, "title": "Title 1", "slug": None}
        assert (len(row), list(row), row == (3, "Title 1", None)) == (3, [3, "Title 1", None], True)
        assert repr(row) == "Row(id=3, title='Title 1', slug=None)"
        with pytest.raises(AttributeError, match="the row has id, title, slug"):
            row.titel  # noqa: B018
        with pytest.raises(LookupError):
            row["titel"]


def test_an_application_s_row_factory_changes_nothing(tmp_path: Any) -> None:
    engine = create_engine("sqlite://")
    event.listen(engine, "connect", lambda raw, _: setattr(raw, "row_factory", sqlite3.Row))
    with engine.connect() as connection:
        step = Step(connection)
        step.execute_sql("CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER)")
        step.execute_sql("INSERT INTO t (n) VALUES (7)")
        assert isinstance(next(step.batches("t"))[0], Row)
        assert [dict(row) for rows in step.batches("t") for row in rows] == [{"id": 1, "n": 7}]


def test_columns_leaves_the_others_out_and_keeps_the_key(step: Step) -> None:
    (row, *_), *_ = step.batches("documents", columns=["title"])
    assert dict(row) == {"id": 3, "title": "Title 1"}


def test_the_plan_uses_the_index_and_no_offset(step: Step) -> None:
    step.execute_sql("CREATE TABLE pairs (a INTEGER, b TEXT, c INTEGER, PRIMARY KEY (a, b))")
    step.execute_sql("INSERT INTO pairs VALUES (?, ?, 0)", [(n // 7, f"b{n}") for n in range(100)])
    said: list[str] = []
    raw = step.connection.connection.dbapi_connection
    assert raw is not None
    raw.set_trace_callback(said.append)  # type: ignore[attr-defined]
    pairs = Table("pairs", MetaData(), Column("a", Integer), Column("b", String), Column("c", Integer))
    assert len(ids(step.batches("pairs", size=10), "c")) == 100
    assert len(ids(step.batches(select(pairs).where(pairs.c.c == 0), ["a", "b"], size=10), "c")) == 100
    assert len(ids(step.batches("documents", size=10))) == 100
    raw.set_trace_callback(None)  # type: ignore[attr-defined]
    read = [sql for sql in said if "ORDER BY" in sql and ">" in sql]
    assert len(read) > 20
    for sql in read:
        plan = " ".join(str(row[3]) for row in step.db.fetch_all(f"EXPLAIN QUERY PLAN {sql}"))
        assert "TEMP B-TREE" not in plan
        assert "SCAN" not in plan
        assert ("INTEGER PRIMARY KEY" if "documents" in sql else "sqlite_autoindex_pairs_1 (") in plan
        assert "OFFSET" not in sql


def test_rows_that_the_loop_changes_out_of_the_condition_disturb_nothing(step: Step) -> None:
    seen = []
    for rows in step.batches(select(DOCUMENTS).where(DOCUMENTS.c.slug.is_(None)), size=7):
        step.update_rows("documents", [{"id": row["id"], "slug": "x"} for row in rows])
        seen += [row["id"] for row in rows]
    assert seen == [n * 3 for n in range(1, 101)]


def test_rows_that_the_loop_adds_do_not_keep_it_going(step: Step) -> None:
    count = 0
    for rows in step.batches("documents", size=10):
        step.execute_sql("INSERT INTO documents (title) VALUES (?)", [("more",) for _ in rows])
        count += len(rows)
    assert count == 100


def test_rows_that_the_loop_deletes_ahead_are_not_read(step: Step) -> None:
    seen = []
    for rows in step.batches("documents", size=10):
        seen += [row["id"] for row in rows]
        step.execute_sql("DELETE FROM documents WHERE id > 30")
    assert seen == [n * 3 for n in range(1, 11)]


@pytest.mark.parametrize("statement", ["DROP TABLE documents", "ALTER TABLE documents ADD COLUMN more TEXT"])
def test_no_query_is_open_while_a_batch_is_worked_on(step: Step, statement: str) -> None:
    for _ in step.batches("documents", size=200):
        step.execute_sql(statement)


def test_loops_within_and_after_each_other(step: Step) -> None:
    pairs = [
        (outer["id"], inner["id"])
        for some in step.batches("documents", size=40)
        for outer in some
        for others in step.batches("documents", size=60)
        for inner in others
    ]
    assert len(pairs) == len(set(pairs)) == 10_000
    assert len(ids(step.batches("documents"))) == 100


def test_outside_a_transaction_each_statement_is_its_own(engine: Engine) -> None:
    step = Step(engine)
    step.execute_sql("CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER)")
    step.execute_sql("INSERT INTO t (n) VALUES (?)", [(n,) for n in range(25)])
    for rows in step.batches("t", size=10):
        step.update_rows("t", [{"id": row["id"], "n": -1} for row in rows])
        assert step.db.fetch_one("SELECT count(*) FROM t WHERE n = -1") == (rows[-1]["id"],)
    assert step.backfill("t", "n", lambda id: id * 2) == 25
    assert step.backfill("t", "n", "n + 1") == 25
    assert step.db.fetch_one("SELECT sum(n) FROM t") == (675,)


# Keys


def test_a_table_without_a_key_is_read_by_its_rowid(step: Step) -> None:
    step.execute_sql("CREATE TABLE bare (a TEXT)")
    step.execute_sql("INSERT INTO bare VALUES (?)", [("same",)] * 25)
    for rows in step.batches("bare", size=10):
        assert step.update_rows("bare", [{"rowid": row["rowid"], "a": str(row["rowid"])} for row in rows]) == len(rows)
    assert [row["a"] for row in step.db.fetch_all("SELECT a FROM bare ORDER BY rowid")] == [
        str(n + 1) for n in range(25)
    ]


def test_a_rowid_under_another_name(step: Step) -> None:
    step.execute_sql("CREATE TABLE bare (rowid TEXT, a TEXT)")
    step.execute_sql("INSERT INTO bare VALUES ('x', ?)", [(str(n),) for n in range(25)])
    assert ids(step.batches("bare", size=10), "_rowid_") == list(range(1, 26))


def test_a_key_of_null_is_refused(step: Step) -> None:
    step.execute_sql("CREATE TABLE t (code TEXT PRIMARY KEY, n INTEGER)")
    step.execute_sql("INSERT INTO t VALUES (NULL, 1), ('a', 2), (NULL, 3)")
    with pytest.raises(WrongKey, match="holds NULL"):
        list(step.batches("t"))
    assert len(ids(step.batches("t", "rowid"), "n")) == 3
    t = Table("t", MetaData(), Column("code", String), Column("n", Integer))
    assert ids(step.batches(select(t).where(t.c.code.is_not(None)), "code"), "n") == [2]


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5])
def test_a_key_that_is_not_unique_loses_no_row_unseen(step: Step, size: int) -> None:
    step.execute_sql("CREATE TABLE t (id INTEGER PRIMARY KEY, tenant INTEGER NOT NULL)")
    step.execute_sql("INSERT INTO t (tenant) VALUES (?)", [(n // 4,) for n in range(12)])
    with pytest.raises(WrongKey, match="does not tell the rows of t apart"):
        list(step.batches("t", "tenant", size=size))
    assert len(ids(step.batches("t", ["tenant", "id"], size=size))) == 12


@pytest.mark.parametrize("name", ["u", "other.u"])
def test_a_null_in_the_key_of_an_attached_file(step: Step, name: str) -> None:
    step.connection.rollback()
    step.execute_sql("ATTACH ':memory:' AS other")
    step.execute_sql("CREATE TABLE other.u (k TEXT PRIMARY KEY, n INTEGER)")
    step.execute_sql("INSERT INTO other.u VALUES ('a', 1), (NULL, 2)")
    with pytest.raises(WrongKey, match="NULL"):
        list(step.batches(name))
    step.execute_sql("CREATE TABLE other.w (n INTEGER)")
    step.execute_sql("INSERT INTO other.w VALUES (1), (2)")
    assert [row["rowid"] for rows in step.batches("w") for row in rows] == [1, 2]


def test_values_that_a_collation_takes_for_equal_are_no_key(step: Step) -> None:
    step.execute_sql("CREATE TABLE t (name TEXT COLLATE NOCASE NOT NULL, UNIQUE (name COLLATE BINARY))")
    step.execute_sql("INSERT INTO t VALUES ('a'), ('A'), ('b')")
    with pytest.raises(WrongKey, match="does not tell"):
        list(step.batches("t", "name", size=1))
    assert len(ids(step.batches("t", size=1), "name")) == 3


@pytest.mark.parametrize("first", ["INTEGER", "TEXT"])
def test_numbers_and_texts_of_a_union_are_compared_as_they_are_ordered(step: Step, first: str) -> None:
    """A column of a UNION is compared by the type of one of its parts, and ordered by none."""
    step.execute_sql(f"CREATE TABLE a (k {first})")
    step.execute_sql(f"CREATE TABLE b (k {'TEXT' if first == 'INTEGER' else 'INTEGER'})")
    step.execute_sql("INSERT INTO a VALUES (1), (2), (3), (10), (20)")
    step.execute_sql("INSERT INTO b VALUES (10), (11), (12), ('100'), ('9x'), ('x')")
    step.execute_sql("CREATE VIEW v AS SELECT k FROM a UNION ALL SELECT k FROM b")
    for size in range(1, 8):
        for source in ("v", select(Table("v", MetaData(), Column("k")))):
            found = [row.k for rows in step.batches(source, "k", size=size) for row in rows]
            assert sorted(map(repr, found)) == sorted(repr(row[0]) for row in step.db.fetch_all("SELECT k FROM v"))


def test_keys_of_every_storage_class(step: Step) -> None:
    values = [-(2**63), -1, 0, 0.5, 1, 2**63 - 1, "", "A", "a", "ß", "\U0001f600", b"", b"\x00", b"\xff"]
    step.execute_sql("CREATE TABLE t (k PRIMARY KEY NOT NULL) WITHOUT ROWID")
    random.Random(7).shuffle(values)
    step.execute_sql("INSERT INTO t VALUES (?)", [(value,) for value in values])
    for size in (1, 2, 3):
        assert ids(step.batches("t", size=size), "k") == [r[0] for r in step.db.fetch_all("SELECT k FROM t ORDER BY k")]


@settings(max_examples=35, deadline=None)
@given(
    rows=st.sets(
        st.tuples(
            st.integers(-3, 3),
            st.one_of(st.integers(-2, 2), st.text("aAbB", max_size=2), st.binary(max_size=1), st.floats(-2, 2)),
            st.text("xyß", max_size=2),
        ),
        max_size=40,
    ),
    size=st.integers(1, 9),
)
def test_every_row_comes_once_in_the_order_of_a_composite_key(rows: set[tuple[Any, ...]], size: int) -> None:
    with create_engine("sqlite://").connect() as connection:
        step = Step(connection)
        step.execute_sql("CREATE TABLE t (a INTEGER, b, c TEXT, PRIMARY KEY (a, b, c))")
        step.execute_sql("INSERT OR IGNORE INTO t VALUES (?, ?, ?)", list(rows))
        expected = [tuple(row) for row in step.db.fetch_all("SELECT a, b, c FROM t ORDER BY a, b, c")]
        assert [tuple(row) for found in step.batches("t", size=size) for row in found] == expected
        t = Table("t", MetaData(), *(Column(name) for name in "abc"))
        typed = [tuple(row) for found in step.batches(select(t), list("abc"), size=size) for row in found]
        assert typed == expected


@pytest.mark.parametrize(
    ("call", "kind", "said"),
    [
        (lambda s: s.batches("nowhere"), NoSuchObject, "no table nowhere"),
        (lambda s: s.batches("document"), NoSuchObject, "Did you mean documents"),
        (lambda s: s.batches("documents", "nr"), NoSuchObject, "no column nr"),
        (lambda s: s.batches("documents", columns=["nr"]), NoSuchObject, "no column nr"),
        (lambda s: s.batches("documents", []), DataError, "names no columns"),
        (lambda s: s.batches("documents", ["id", "id"]), DataError, "names no columns"),
        (lambda s: s.batches("documents", [1]), DataError, "names no columns"),
        (lambda s: s.batches("documents", size=0), DataError, "no size"),
        (lambda s: s.batches("documents", size=-1), DataError, "no size"),
        (lambda s: s.batches("documents", size=True), DataError, "no size"),
        (lambda s: s.batches("documents", size=2.0), DataError, "no size"),
        (lambda s: s.batches("documents", throttle=-1), DataError, "no pause"),
        (lambda s: s.batches(7), DataError, "nothing that can be read"),
        (lambda s: s.batches(""), DataError, "no table"),
        (lambda s: s.batches(DOCUMENTS, columns=["id"]), DataError, "goes with the name"),
        (lambda s: s.batches(select(DOCUMENTS.c.title)), WrongKey, "not known what tells"),
        (lambda s: s.batches(select(DOCUMENTS), "nr"), NoSuchObject, "no column nr"),
    ],
)
def test_a_call_that_cannot_be_meant_is_refused_at_once(
    step: Step, call: Any, kind: type[Exception], said: str
) -> None:
    with pytest.raises(kind, match=said) as caught:
        call(step)
    assert isinstance(caught.value, SchemaError)


# Selects


def test_a_select_is_right_whatever_is_in_it(step: Step) -> None:
    d = DOCUMENTS
    step.execute_sql("UPDATE documents SET slug = 'group ' || (id % 7)")
    grouped = select(d.c.slug, func.count().label("n")).group_by(d.c.slug).having(func.count() > 14)
    assert sum(ids(step.batches(grouped, "slug", size=1), "n")) == 30
    assert len(ids(step.batches(select(d.c.slug).distinct(), "slug", size=2), "slug")) == 7
    assert ids(step.batches(select(d).order_by(d.c.id.desc()), size=9)) == [n * 3 for n in range(1, 101)]
    newest = select(d).order_by(d.c.id.desc()).limit(10)
    assert ids(step.batches(newest, size=3)) == [n * 3 for n in range(91, 101)]
    skipped = select(d).order_by(d.c.id).limit(10).offset(5)
    assert ids(step.batches(skipped, size=3)) == [n * 3 for n in range(6, 16)]
    other = d.alias("other")
    joined = select(d.c.id, other.c.id.label("next")).join(other, other.c.id == d.c.id + 3)
    assert len(ids(step.batches(joined, "id", size=8))) == 99
    ranked = select(d.c.id, func.row_number().over(order_by=d.c.id.desc()).label("rank"))
    assert ids(step.batches(ranked, size=8), "rank") == list(range(100, 0, -1))
    both = union_all(select(d.c.id).where(d.c.id < 10), select(d.c.id).where(d.c.id > 290))
    assert ids(step.batches(both, "id", size=2)) == [3, 6, 9, 291, 294, 297, 300]


def test_the_values_of_a_table_are_those_of_its_types(step: Step) -> None:
    from datetime import datetime

    step.execute_sql("CREATE TABLE events (at DATETIME PRIMARY KEY, n INTEGER)")
    events = Table("events", MetaData(), Column("at", DateTime, primary_key=True), Column("n", Integer))
    times = [datetime(2024, 1, day, 12) for day in range(1, 26)]
    step.execute_sql(events.insert(), [{"at": time, "n": 0} for time in times])
    assert ids(step.batches(events, size=4), "at") == times
    for rows in step.batches(events, size=4):
        assert step.update_rows(events, [{"at": row["at"], "n": row["at"].day} for row in rows]) == len(rows)
    assert [row["n"] for rows in step.batches("events") for row in rows] == list(range(1, 26))
    assert isinstance(ids(step.batches("events"), "at")[0], str)


def test_a_mapped_class_is_its_table(step: Step) -> None:
    from sqlalchemy.orm import DeclarativeBase

    class Base(DeclarativeBase):
        pass

    class Document(Base):
        __table__ = Table("documents", Base.metadata, Column("id", Integer, primary_key=True), Column("slug", String))

    assert len(ids(step.batches(Document))) == 100
    assert step.update_rows(Document, [{"id": 3, "slug": "three"}]) == 1


def test_views_virtual_tables_and_attached_files(step: Step, tmp_path: Any) -> None:
    step.execute_sql("CREATE VIEW shown AS SELECT id, title FROM documents WHERE id < 31")
    with pytest.raises(WrongKey, match="no primary key"):
        step.batches("shown")
    assert len(ids(step.batches("shown", "id", size=3))) == 10
    step.execute_sql("CREATE VIRTUAL TABLE words USING fts5(body)")
    step.execute_sql("INSERT INTO words VALUES (?)", [(f"word {n}",) for n in range(12)])
    assert len(ids(step.batches("words", size=5), "rowid")) == 12
    other = sqlite3.connect(tmp_path / "other.db")
    other.execute('CREATE TABLE "odd.name" ("the key" INTEGER PRIMARY KEY, "50% ?" TEXT)')
    other.executemany('INSERT INTO "odd.name" ("50% ?") VALUES (?)', [("x",)] * 12)
    other.commit()
    other.close()
    with create_engine("sqlite://").connect() as connection:
        there = Step(connection)
        there.execute_sql("ATTACH ? AS aux", (str(tmp_path / "other.db"),))
        there.execute_sql('CREATE VIEW aux.plain AS SELECT * FROM "odd.name"')
        assert len(ids(there.batches("aux.plain", "the key", size=5), "the key")) == 12
        assert (
            there.update_rows(
                Table("odd.name", MetaData(), Column("the key", Integer), Column("50% ?", String), schema="aux"),
                [{"the key": 1, "50% ?": "y"}],
                "the key",
            )
            == 1
        )


# update_rows


def test_update_rows_tells_how_many_and_takes_any_mapping(step: Step) -> None:
    assert step.update_rows("documents", [{"id": 3, "slug": "a"}, {"id": 6, "slug": "b"}]) == 2
    assert step.update_rows("documents", iter([{"slug": "c", "id": 9}])) == 1
    assert step.update_rows("documents", []) == 0
    (rows, *_) = step.batches("documents")
    assert [row["slug"] for row in rows[:4]] == ["a", "b", "c", None]
    assert step.update_rows("documents", rows) == 100
    assert step.update_rows("documents", [{"TITLE": "Title 1", "Slug": "t"}], key="title") == 1


@pytest.mark.parametrize(
    ("rows", "key", "kind", "said"),
    [
        ([{"id": 3, "slug": "x"}, {"id": 4, "slug": "x"}], None, NoSuchRows, "1 of 2 rows are not in documents"),
        ([{"id": 3, "slug": "x"}, {"id": 6}], None, DataError, "different columns"),
        ([{"id": 3, "slug": "x"}, {"id": 6, "title": "x"}], None, DataError, "different columns"),
        ([{"id": 3, "slug": "x"}, {"id": 6, "slug": "x", "title": "x"}], None, DataError, "number 2 holds"),
        ([{"id": 3, "sluk": "x"}], None, NoSuchObject, "Did you mean slug"),
        ([{"slug": "x"}], None, DataError, "lack the key column id"),
        ([{"id": 3}], None, DataError, "nothing but their key"),
        ([{"id": 3, "slug": "x"}], [], DataError, "names no columns"),
        ([{"id": 3, "slug": "x"}], "title", DataError, "lack the key column title"),
        ([(3, "x")], None, DataError, "rows of type tuple|Rows of type tuple"),
        ([{"id": 3, "slug": object()}], None, SQLAlchemyError, "type 'object' is not supported"),
    ],
)
def test_update_rows_writes_all_or_nothing(step: Step, rows: Any, key: Any, kind: type[Exception], said: str) -> None:
    for table in ("documents", DOCUMENTS):
        with pytest.raises(kind, match=said):
            step.update_rows(table, rows, key)
        assert step.db.fetch_one("SELECT count(slug) FROM documents") == (0,)


def test_a_constraint_that_refuses_a_row_undoes_those_before_it(step: Step) -> None:
    step.execute_sql("CREATE UNIQUE INDEX ux ON documents (slug)")
    with pytest.raises(IntegrityError):
        step.update_rows("documents", [{"id": 3, "slug": "x"}, {"id": 6, "slug": "x"}])
    assert step.db.fetch_one("SELECT count(slug) FROM documents") == (0,)


@pytest.mark.parametrize(
    "index",
    [
        "",
        "CREATE UNIQUE INDEX part ON documents (title) WHERE id < 9",
        "CREATE UNIQUE INDEX finer ON documents (title)",
    ],
)
def test_a_key_that_is_not_unique_hides_no_missing_row(step: Step, index: str) -> None:
    """Two rows that one row writes do not make up for one that is not there."""
    if "finer" in index:
        step.drop_table("documents")
        step.execute_sql("CREATE TABLE documents (id INTEGER PRIMARY KEY, title TEXT COLLATE NOCASE, slug TEXT)")
        step.execute_sql("INSERT INTO documents (title) VALUES ('Twice'), ('twice')")
        index = index.replace("(title)", "(title COLLATE BINARY)")
    step.execute_sql("UPDATE documents SET title = 'twice' WHERE id IN (30, 33)")
    if index:
        step.execute_sql(index)
    rows = [{"title": "twice", "slug": "x"}, {"title": "nowhere", "slug": "y"}]
    for table in ("documents", DOCUMENTS):
        with pytest.raises(NoSuchRows, match="title=nowhere"):
            step.update_rows(table, rows, "title")
        assert step.db.fetch_one("SELECT count(slug) FROM documents") == (0,)
        assert step.update_rows(table, rows[:1], "title") == 2
        step.execute_sql("UPDATE documents SET slug = NULL")


def test_a_changed_schema_is_seen_by_the_next_call(step: Step) -> None:
    assert step.update_rows("documents", [{"id": 3, "slug": "x"}]) == 1
    step.rename_column("documents", "slug", "path")
    with pytest.raises(NoSuchObject, match="no column slug"):
        step.update_rows("documents", [{"id": 3, "slug": "x"}])


def test_a_table_whose_columns_have_other_names_in_python(step: Step) -> None:
    table = Table("documents", MetaData(), Column("id", Integer, key="ident"), Column("slug", String, key="path"))
    assert step.update_rows(table, [{"id": 3, "slug": "x"}]) == 1
    assert step.db.fetch_one("SELECT slug FROM documents WHERE id = 3") == ("x",)


# backfill


def test_backfill_by_an_expression(step: Step) -> None:
    assert step.backfill("documents", "slug", "lower(title) || ' 100%: ?'") == 100
    assert step.db.fetch_one("SELECT slug FROM documents") == ("title 1 100%: ?",)
    assert step.backfill("documents", "slug", func.upper(DOCUMENTS.c.title), where=DOCUMENTS.c.id < 31) == 10
    assert step.backfill("documents", "slug", None, where="id > 30 OR slug IS NULL -- all\n") == 90
    assert step.backfill("documents", "slug", 7) == 100


def test_backfill_by_a_function_of_columns_of_the_row_or_of_what_is_said(step: Step) -> None:
    assert step.backfill("documents", "slug", lambda title: title.lower()) == 100
    assert step.db.fetch_one("SELECT slug FROM documents WHERE id = 3") == ("title 1",)
    assert step.backfill("documents", "slug", lambda id, title: f"{id} {title}", where="id < 31") == 10
    assert step.backfill("documents", "slug", lambda row: f"{row['id']}/{row.title}/{len(row)}", where="id = 6") == 1
    assert step.db.fetch_one("SELECT slug FROM documents WHERE id = 6") == ("6/Title 2/3",)
    assert step.backfill("documents", "slug", str.lower, columns="title") == 100
    assert step.backfill("documents", "slug", lambda *v: sum(v), columns=["id", "id"] and ["id"]) == 100
    assert step.backfill("documents", "slug", lambda title, much=2: title * much) == 100


def test_what_the_function_raises_comes_through_as_itself_and_nothing_is_written(step: Step) -> None:
    def slug(title: str) -> str:
        if title == "Title 50":
            raise ZeroDivisionError("in the middle")
        return title

    with pytest.raises(ZeroDivisionError, match="in the middle") as caught:
        step.backfill("documents", "slug", slug)
    assert caught.value.__notes__ == ["raised by the function that fills documents.slug"]
    assert step.db.fetch_one("SELECT count(slug) FROM documents") == (0,)


@pytest.mark.parametrize("value", [2**70, "\ud800", object(), {1}])
def test_a_function_that_returns_what_cannot_be_stored(step: Step, value: Any) -> None:
    with pytest.raises((DataError, TypeError), match="SQLite cannot store"):
        step.backfill("documents", "slug", lambda title: value)
    assert step.db.fetch_one("SELECT count(slug) FROM documents") == (0,)


def test_the_function_is_given_up_afterwards_whatever_happened(step: Step) -> None:
    """sqlite3 has no way to take a name away; what it stands for is gone."""

    class Slug:
        def __call__(self, title: str) -> str:
            return title if title < "Title 5" else str(1 // 0)

    slug = Slug()
    kept = weakref.ref(slug)
    step.backfill("documents", "slug", slug, columns=["title"], where="title < 'Title 5'")
    with pytest.raises(ZeroDivisionError):
        step.backfill("documents", "slug", slug, columns=["title"])
    del slug
    gc.collect()
    assert kept() is None
    listed = step.db.fetch_all("SELECT name, narg FROM pragma_function_list WHERE name LIKE 'sqlmig%'")
    assert listed == [("sqlmig_backfill", 1)]


@pytest.mark.parametrize(
    ("call", "kind", "said"),
    [
        (lambda s: s.backfill("documents", "path", "1"), NoSuchObject, "no column path"),
        (lambda s: s.backfill("document", "slug", "1"), NoSuchObject, "no table document"),
        (lambda s: s.backfill("documents", "slug", lambda a, b: 1), DataError, "a, b is no column"),
        (lambda s: s.backfill("documents", "slug", lambda: 1), DataError, "not known which columns"),
        (lambda s: s.backfill("documents", "slug", lambda title: 1, columns=["nr"]), NoSuchObject, "no column nr"),
        (lambda s: s.backfill("documents", "slug", "1", columns=["id"]), DataError, "goes with a Python function"),
        (lambda s: s.backfill("documents", ["slug", "title"], "1"), DataError, "fills one column"),
    ],
)
def test_a_backfill_that_cannot_be_meant(step: Step, call: Any, kind: type[Exception], said: str) -> None:
    with pytest.raises(kind, match=said):
        call(step)


def test_a_backfill_while_a_query_is_open(step: Step) -> None:
    """SQLite changes no function that it has under the same name meanwhile."""
    for row in step.execute_sql("SELECT name FROM (SELECT 'slug' AS name UNION ALL SELECT 'title')"):
        assert step.backfill("documents", row[0], lambda id: f"no {id}") == 100
    assert step.db.fetch_one("SELECT slug, title FROM documents WHERE id = 9") == ("no 9", "no 9")


# The same on the servers


@pytest.fixture(params=["postgresql", "mariadb"])
def server(request: pytest.FixtureRequest) -> Iterator[Database]:
    with scratch_database(request.param) as found:
        found.run(
            "CREATE TABLE documents (id INTEGER PRIMARY KEY, title VARCHAR(40), slug VARCHAR(40))",
            "CREATE TABLE pairs (a INTEGER, b VARCHAR(9), n INTEGER, PRIMARY KEY (a, b))",
        )
        step = Step(found.connection)
        step.execute_sql(DOCUMENTS.insert(), [{"id": n * 3, "title": f"Title {n}%"} for n in range(1, 101)])
        pairs = Table("pairs", MetaData(), Column("a", Integer), Column("b", String), Column("n", Integer))
        step.execute_sql(pairs.insert(), [{"a": n // 7, "b": f"b{n:03}", "n": n} for n in range(100)])
        yield found


def test_batches_and_update_rows_on_a_server(server: Database) -> None:
    step = Step(server.connection)
    for source in ("documents", DOCUMENTS, select(DOCUMENTS).where(DOCUMENTS.c.slug.is_not(None))):
        for rows in step.batches(source, size=9):
            changed = [{"id": row["id"], "slug": row.title.lower()} for row in rows]
            assert step.update_rows(source if source is DOCUMENTS else "documents", changed) == len(rows)
    assert server.rows("SELECT count(*) FROM documents WHERE slug = lower(title)") == [(100,)]
    for size in (1, 7, 13, 100):
        assert ids(step.batches("pairs", size=size), "n") == list(range(100))
        wanted = select(Table("pairs", MetaData(), autoload_with=server.connection))
        assert ids(step.batches(wanted, size=size), "n") == list(range(100))
    # A driver may count the rows that changed, or the rows that were found.
    assert step.update_rows("documents", [{"id": 3, "slug": "title 1%"}, {"id": 6, "slug": "title 2%"}]) == 2
    with pytest.raises(NoSuchRows, match="id=4"):
        step.update_rows("documents", [{"id": 3, "slug": "x"}, {"id": 4, "slug": "x"}])
    assert server.rows("SELECT count(*) FROM documents WHERE slug = 'x'") == [(0,)]
    with pytest.raises(WrongKey, match="does not tell"):
        list(step.batches("pairs", "a", size=3))


def test_a_null_in_a_key_on_a_server_where_it_sorts_last(server: Database) -> None:
    step = Step(server.connection)
    step.execute_sql("UPDATE documents SET slug = title WHERE id > 3")
    with pytest.raises(WrongKey, match="holds NULL"):
        list(step.batches("documents", "slug"))


def test_backfill_on_a_server(server: Database) -> None:
    step = Step(server.connection)
    assert step.backfill("documents", "slug", lambda title: title.lower(), where="id < 31") == 10
    assert step.backfill("documents", "slug", "concat(title, ' 50% :x')", where="id = 33") == 1
    assert server.rows("SELECT slug FROM documents WHERE id IN (3, 33) ORDER BY id") == [
        ("title 1%",),
        ("Title 11% 50% :x",),
    ]
    with pytest.raises(ZeroDivisionError):
        step.backfill("documents", "slug", lambda title: 1 // 0)
