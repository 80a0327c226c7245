"""The same calls, on SQLite, PostgreSQL and MariaDB alike."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from native_databases import scratch_database
from sqlalchemy import (
    CheckConstraint,
    Column,
    Connection,
    ForeignKey,
    Integer,
    String,
    Text,
    column,
    create_engine,
    func,
    insert,
    inspect,
    select,
    table,
    text,
)
from sqlalchemy.exc import DBAPIError

from sqlmig import (
    BaseMigration,
    DataContradicts,
    NoSuchObject,
    ObjectExists,
    ObjectInUse,
    Operations,
    SchemaError,
    WrongObject,
)

books = table("books", column("id"), column("title"), column("pages"), column("author"))


class ByHand(BaseMigration):
    version = 1
    description = "made by hand"


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def connection(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Connection]:
    if request.param == "sqlite":
        with create_engine(f"sqlite:///{tmp_path / 'app.db'}").connect() as found:
            found.exec_driver_sql("PRAGMA foreign_keys = ON")
            found.commit()
            yield found
    else:
        with scratch_database(request.param) as database:
            yield database.connection


@pytest.fixture(params=[Operations, ByHand], ids=["operations", "migration"])
def ops(request: pytest.FixtureRequest, connection: Connection) -> Any:
    """Operations, or a migration made by hand; with two tables that have rows."""
    made = request.param(connection)
    made.create_table("authors", Column("id", Integer, primary_key=True), Column("name", String(40)))
    made.create_table(
        "books",
        Column("id", Integer, primary_key=True),
        Column("title", String(40)),
        Column("pages", Integer, server_default="1"),
        Column("author", Integer),
    )
    connection.execute(insert(table("authors", column("id"), column("name"))), [{"id": 1, "name": "Ada"}])
    rows = [("Ode", 10, 1), ("Elegy", None, 1), (None, 30, None)]
    values = [{"id": i, "title": t, "pages": p, "author": a} for i, (t, p, a) in enumerate(rows, 1)]
    connection.execute(insert(books), values)
    return made


def refuses(connection: Connection, **values: Any) -> bool:
    """Whether the database refuses a row."""
    try:
        with connection.begin_nested():
            connection.execute(insert(books).values(**values))
    except DBAPIError:
        return True
    return False


def column_names(connection: Connection) -> list[str]:
    return [found["name"] for found in inspect(connection).get_columns("books")]


def test_columns_come_change_and_go(ops: Any, connection: Connection) -> None:
    assert ops.add_column("books", Column("language", String(8), server_default="en", nullable=False)) is True
    assert ops.add_column("books", Column("language", String(8)), if_not_exists=True) is False
    assert connection.execute(text("SELECT DISTINCT language FROM books")).scalars().all() == ["en"]
    ops.alter_column("books", "title", type_=Text, nullable=True)
    ops.alter_column("books", "pages", server_default=text("7"), new_name="leaves")
    connection.execute(text("INSERT INTO books (id, title) VALUES (9, 'New')"))
    assert connection.execute(text("SELECT leaves FROM books WHERE id = 9")).scalar() == 7
    ops.alter_column("books", "leaves", server_default=None)
    ops.rename_column("books", "leaves", "pages")
    assert ops.drop_column("books", "language") is True
    assert ops.drop_column("books", "language", if_exists=True) is False
    assert column_names(connection) == ["id", "title", "pages", "author"]


def test_constraints_are_kept_by_the_database(ops: Any, connection: Connection) -> None:
    ops.create_check("books", "ck_pages", column("pages") > 5)
    ops.create_unique("books", "uq_title", ["title"])
    ops.create_foreign_key("books", "fk_author", ["author"], "authors", ["id"], ondelete="SET NULL")
    for values in ({"pages": 1}, {"title": "Ode"}, {"author": 77}):
        assert refuses(connection, id=50, **values), values
    assert ops.create_check("books", "ck_pages", "pages > 5", if_not_exists=True) is False
    connection.execute(text("DELETE FROM authors"))
    assert connection.execute(select(func.count(books.c.author))).scalar() == 0
    ops.drop_constraint("books", name="ck_pages")
    ops.drop_constraint("books", kind="unique", columns=["title"])
    ops.drop_constraint("books", kind="foreign key", columns=["author"])
    assert ops.drop_constraint("books", name="ck_pages", if_exists=True) is False
    assert not refuses(connection, id=50, pages=1, title="Ode", author=77)


def test_what_the_rows_contradict_is_refused_with_their_keys(ops: Any, connection: Connection) -> None:
    wrong = [
        lambda: ops.alter_column("books", "title", nullable=False),
        lambda: ops.create_check("books", "ck", "pages <> 30"),
        lambda: ops.add_column("books", Column("isbn", String(13), nullable=False)),
    ]
    for attempt, sample in zip(wrong, (["id=3"], ["id=3"], None), strict=True):
        with pytest.raises(DataContradicts) as caught:
            attempt()
        assert sample is None or (caught.value.count, caught.value.sample) == (1, sample)
    connection.execute(text("UPDATE books SET author = 5 WHERE id = 2"))
    with pytest.raises(DataContradicts):
        ops.create_foreign_key("books", None, ["author"], "authors", ["id"])
    assert column_names(connection) == ["id", "title", "pages", "author"]


def test_the_primary_key_moves(ops: Any, connection: Connection) -> None:
    connection.execute(text("UPDATE books SET title = 'Third' WHERE id = 3"))
    ops.alter_column("books", "title", nullable=False)
    ops.change_primary_key("books", ["id", "title"])
    assert inspect(connection).get_pk_constraint("books")["constrained_columns"] == ["id", "title"]
    assert refuses(connection, id=1, title="Ode")
    assert not refuses(connection, id=1, title="Other")


def test_indexes_over_columns_and_expressions(ops: Any, connection: Connection) -> None:
    assert ops.create_index("ix_title", "books", ["title", "pages DESC"]) is True
    assert ops.create_index("ix_title", "books", ["title"], if_not_exists=True) is False
    with pytest.raises(ObjectExists):
        ops.create_index("ix_title", "books", ["title"])
    assert ops.create_index("uq_id", "books", ["id"], unique=True) is True
    assert ops.drop_index("ix_title", "books") is True
    assert ops.drop_index("ix_title", "books", if_exists=True) is False


def test_tables_views_and_triggers(ops: Any, connection: Connection) -> None:
    assert ops.create_view("titles", select(books.c.title)) is True
    assert ops.create_view("titles", "SELECT 1 AS one", if_not_exists=True) is False
    assert connection.execute(text("SELECT count(*) FROM titles")).scalar() == 3
    with pytest.raises(ObjectInUse) as caught:
        ops.drop_column("books", "title", cascade=True)
    assert "view titles" in str(caught.value)
    with pytest.raises(WrongObject):
        ops.add_column("titles", Column("n", Integer))
    assert ops.drop_view("titles") is True
    assert ops.drop_view("titles", if_exists=True) is False
    assert ops.rename_table("books", "volumes") is True
    assert ops.rename_table("books", "volumes", if_exists=True) is False
    assert ops.drop_table("volumes") is True
    assert ops.drop_table("volumes", if_exists=True) is False


def test_a_column_with_all_that_belongs_to_it(ops: Any, connection: Connection) -> None:
    ops.add_column("books", Column("editor", Integer, ForeignKey("authors.id"), index=True))
    ops.add_column("books", Column("rank", Integer, CheckConstraint("rank > 0"), unique=True))
    assert any(found["column_names"] == ["editor"] for found in inspect(connection).get_indexes("books"))
    connection.execute(text("UPDATE books SET rank = id, editor = 1"))
    for assignment in ("rank = -1 WHERE id = 1", "rank = 1 WHERE id = 2", "editor = 9"):
        with pytest.raises(DBAPIError), connection.begin_nested():
            connection.execute(text(f"UPDATE books SET {assignment}"))
    with pytest.raises(ObjectInUse):
        ops.drop_column("books", "rank")
    ops.drop_column("books", "rank", cascade=True)
    ops.drop_column("books", "editor", cascade=True)
    assert column_names(connection) == ["id", "title", "pages", "author"]


def test_several_changes_of_one_table(ops: Any, connection: Connection) -> None:
    with ops.alter_table("books") as t:
        t.add_column(Column("isbn", String(13)))
        t.alter_column("title", type_=Text)
        t.rename_column("pages", "leaves")
        t.create_check("ck_leaves", "leaves > 0")
        t.drop_column("author")
    assert column_names(connection) == ["id", "title", "leaves", "isbn"]
    with suppress(ZeroDivisionError), ops.alter_table("books") as t:
        t.drop_column("isbn")
        1 / 0  # noqa: B018
    assert "isbn" in column_names(connection)


def test_unknown_names_tell_the_near_ones(ops: Any) -> None:
    wrong = [
        (lambda: ops.drop_column("book", "title"), "books"),
        (lambda: ops.alter_column("books", "titel", nullable=False), "title"),
        (lambda: ops.create_unique("books", None, ["pagse"]), "pages"),
        (lambda: ops.create_index("ix", "books", ["tittle"]), "title"),
        (lambda: ops.drop_table("author"), "authors"),
    ]
    for attempt, near in wrong:
        with pytest.raises(NoSuchObject) as caught:
            attempt()
        assert f"Did you mean {near}" in str(caught.value)
    with pytest.raises(NoSuchObject):
        ops.drop_constraint("books", name="ck_nothing")
    with pytest.raises(ObjectExists):
        ops.create_table("books", Column("id", Integer))
    with pytest.raises(SchemaError):
        ops.rename_table("books", "authors")


def test_a_failed_operation_leaves_the_transaction_usable(ops: Any, connection: Connection) -> None:
    connection.execute(text("UPDATE books SET title = 'kept' WHERE id = 1"))
    with pytest.raises(DataContradicts):
        ops.alter_column("books", "title", nullable=False)
    connection.commit()
    assert connection.execute(text("SELECT title FROM books WHERE id = 1")).scalar() == "kept"


@pytest.mark.parametrize(
    "act",
    [
        lambda o: o.create_unique("books", "uq", []),
        lambda o: o.create_unique("books", "uq", ["title", "title"]),
        lambda o: o.create_unique("books", "uq", None),
        lambda o: o.create_check("books", "ck", ""),
        lambda o: o.create_check("books", "ck", "id >"),
        lambda o: o.create_check("books", "ck", None),
        lambda o: o.create_view("v", "selec 1"),
        lambda o: o.create_view("v", ""),
        lambda o: o.create_view("v", "CREATE VIEW v AS SELECT 1"),
        lambda o: o.create_trigger("tr", "foo"),
        lambda o: o.create_trigger("tr", None),
        lambda o: o.add_column("books", Column("x")),
        lambda o: o.add_column("books", None),
        lambda o: o.add_column(None, Column("x", Integer)),
        lambda o: o.create_table("empty"),
        lambda o: o.create_foreign_key("fk", "books", "authors", ["author"], ["id"]),
        lambda o: o.rename_column("books", "title", None),
        lambda o: o.alter_column("books", "title", nullable="no"),
        lambda o: o.alter_column("books", "title", nullable=None),
        lambda o: o.alter_column("books", "title", type_=None),
        lambda o: o.drop_constraint("books"),
        lambda o: o.drop_constraint("books", kind="foo"),
        lambda o: o.drop_table(""),
    ],
)
def test_a_call_that_cannot_be_meant_is_a_typed_error(ops: Any, connection: Connection, act: Any) -> None:
    connection.commit()
    with pytest.raises(SchemaError):
        act(ops)
    assert column_names(connection) == ["id", "title", "pages", "author"]
    assert not refuses(connection, id=60, title="still usable")
