"""What is written from models where the database matters: it is run there, back and there again, with rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from conftest import Folder
from places import Place
from scratch_databases import own_database
from sqlalchemy import (
    DDL,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Computed,
    Enum,
    Identity,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    event,
    inspect,
    text,
)
from sqlalchemy import Sequence as Counter
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import DBAPIError, IntegrityError

from sqlmig import Migrator, NewMigration
from sqlmig.drift.check import read_shape
from sqlmig.drift.compare import compare
from sqlmig.drift.report import finding

Models = Callable[[MetaData], object]


def models(make: Models) -> MetaData:
    metadata = MetaData()
    make(metadata)
    return metadata


class App:
    """An application whose database has followed its first models."""

    def __init__(self, place: Place, folder: Folder, first: Models | MetaData, *rows: str) -> None:
        self.place, self.folder, self.migrator = place, folder, place.migrator(folder)
        self.follow(first)
        place.run(*rows)

    def follow(self, wanted: Models | MetaData, **options: Any) -> NewMigration:
        """Write the next migration, and apply it."""
        metadata = wanted if isinstance(wanted, MetaData) else models(wanted)
        made = self.migrator.create_migration("next", metadata, **options)
        assert made.clean is True, str(made)
        self.migrator.migrate()
        assert self.migrator.check(metadata), str(self.migrator.check(metadata))
        return made

    def go_there_and_back(self, wanted: Models | MetaData, kept: str, **options: Any) -> NewMigration:
        """Follow the models, go back, and follow again: what *kept* asks for is there each time."""
        before, rows = read_shape(self.migrator, ()), self.place.rows(kept)
        made = self.follow(wanted, **options)
        self.migrator.rollback_to_version(made.version - 1)
        left = compare(before, read_shape(self.migrator, ()))
        assert [str(finding(one, "before", "after")) for one in left] == [], made.source
        assert self.place.rows(kept) == rows
        self.migrator.migrate()
        return made


# CHECKs that types make


NO_CONVENTION: dict[str, str] = {}
CONVENTION = {"ck": "ck_%(table_name)s_%(constraint_name)s"}


def flags(convention: dict[str, str], *names: str, others: Sequence[str] = ()) -> MetaData:
    metadata = MetaData(naming_convention=convention)
    kinds: dict[str, Any] = {
        "named": Boolean(create_constraint=True, name="named_flag"),
        # A convention takes none without a name.
        "nameless": Boolean(create_constraint=True, name="nameless" if convention else None),
        "state": Enum("new", "it's", create_constraint=True, native_enum=False, name="state"),
    }
    columns = [Column(name, kinds[name]) for name in names]
    Table("items", metadata, Column("id", Integer, primary_key=True), *columns)
    for table in others:
        Table(table, metadata, *(Column(name, kinds[name], primary_key=name == "state") for name in kinds))
    return metadata


@pytest.mark.parametrize("convention", [NO_CONVENTION, CONVENTION], ids=["", "convention"])
def test_checks_of_types_written_on_sqlite_are_taken_everywhere(
    place: Place, folder: Folder, tmp_path: Path, convention: dict[str, str]
) -> None:
    author = Migrator(tmp_path / "author.db", folder.path)
    wanted = [
        flags(convention),
        flags(convention, "named", "nameless", "state", others=["more"]),
        # What goes is made again by down(), of what SQLite has stored.
        flags(convention, "state"),
    ]
    for metadata in wanted:
        assert author.create_migration("next", metadata).clean is True
    migrator = place.migrator(folder)
    migrator.migrate()
    assert migrator.check(wanted[-1]), str(migrator.check(wanted[-1]))
    migrator.rollback_to_version(2)
    found = {check["name"] for check in inspect(place.look).get_check_constraints("items")}
    # PostgreSQL has a boolean of its own.
    assert len(found) == (1 if place.database == "postgresql" else 3), found
    migrator.rollback_to_version(0)


# What PostgreSQL alone has


on_postgresql = pytest.mark.parametrize("place", ["postgresql"], indirect=True)
on_mariadb = pytest.mark.parametrize("place", ["mariadb"], indirect=True)


def moods(*labels: str, default: str | None = None, array: str | None = None) -> Models:
    """A table with a column of an ENUM, one of an array of them, and what compares them with a label."""
    kind = Enum(*labels, name="Mood")

    def make(metadata: MetaData) -> None:
        Table(
            "items",
            metadata,
            Column("id", Integer, primary_key=True),
            Column("mood", kind, server_default=default),
            Column("all", postgresql.ARRAY(kind), server_default=text(array) if array is not None else None),
            CheckConstraint("mood <> 'it''s'", name="ck_mood"),
            CheckConstraint("mood <> 'b' OR id > 0"),
            Index("ix_b", "id", postgresql_where=text("mood = 'b'")),
            Index("ix_mood", "mood"),
        )

    return make


@on_postgresql
def test_labels_come_and_go(place: Place, folder: Folder) -> None:
    rows = "INSERT INTO items (mood, \"all\") VALUES ('b', '{b,it''s}')"
    app = App(place, folder, moods("b", "it's"), rows)
    kept = 'SELECT mood::text, "all"::text FROM items'
    added = app.go_there_and_back(moods("ü", "b", "c", "it's"), kept)
    assert added.changes == ["labels of the type Mood: ü", "labels of the type Mood: c"]
    changed = app.go_there_and_back(moods("it's", "b", "new", default="new", array="""ARRAY['b'::"Mood"]"""), kept)
    assert any("Rows that hold ü, c in items.mood stop this." in warning for warning in changed.warnings)
    assert "ix_mood" not in changed.source


@pytest.mark.thorough
@on_postgresql
def test_labels_under_a_view_stay_and_it_is_told(place: Place, folder: Folder) -> None:
    folder.add(1, "self.execute_sql(\"CREATE TYPE \\\"Mood\\\" AS ENUM ('a', 'b')\")")
    folder.add(2, 'self.execute_sql("CREATE TABLE items (id SERIAL PRIMARY KEY, mood \\"Mood\\")")')
    folder.add(3, 'self.create_view("moods", "SELECT mood FROM items")')

    def wanted(metadata: MetaData) -> None:
        Table("items", metadata, Column("id", Integer, primary_key=True), Column("mood", Enum("a", name="Mood")))

    made = place.migrator(folder).create_migration("fewer", models(wanted))
    assert made.path is None
    assert [str(one) for one in made.missing] == [
        "type Mood: ENUM ('a') in the models, ENUM ('a', 'b') in the migrations"
    ]
    assert "labels of the type Mood was refused" in "\n".join(made.warnings)
    assert "view" in "\n".join(made.warnings)


def numbered(*items: Any, kind: Any = Integer, **options: Any) -> Models:
    """A table with a column that numbers itself, or does not."""

    def make(metadata: MetaData) -> None:
        key = Column("id", Integer, primary_key=True, autoincrement=False)
        Table("items", metadata, key, Column("n", kind, *items, nullable=False, **options), schema=metadata.schema)

    return make


@pytest.mark.thorough
@on_postgresql
def test_an_identity_comes_and_goes(place: Place, folder: Folder) -> None:
    app = App(place, folder, numbered(), "INSERT INTO items (id, n) VALUES (1, 7)")
    kept = "SELECT id, n FROM items"
    app.go_there_and_back(numbered(Identity(always=True, start=10, increment=5)), kept)
    place.run("INSERT INTO items (id) VALUES (2)")
    assert place.rows(kept) == [(1, 7), (2, 10)]
    app.go_there_and_back(numbered(Identity(start=20), kind=BigInteger), kept)


@pytest.mark.thorough
@on_postgresql
def test_a_serial_key_becomes_an_identity_and_none(place: Place, folder: Folder) -> None:
    def keyed(*items: Any, kind: Any = Integer, **options: Any) -> Models:
        return lambda metadata: Table("items", metadata, Column("id", kind, *items, primary_key=True, **options))

    app = App(place, folder, keyed(), "INSERT INTO items DEFAULT VALUES")
    app.go_there_and_back(keyed(kind=BigInteger), "SELECT id FROM items")
    app.go_there_and_back(keyed(Identity(start=5), kind=BigInteger), "SELECT id FROM items")
    place.run("INSERT INTO items DEFAULT VALUES")
    assert place.rows("SELECT id FROM items ORDER BY id") == [(1,), (5,)]
    app.go_there_and_back(keyed(autoincrement=False), "SELECT id FROM items")


@pytest.mark.thorough
@on_postgresql
def test_domains_and_sequences_come_and_go(place: Place, folder: Folder) -> None:
    def plain(metadata: MetaData) -> None:
        Table("items", metadata, Column("id", Integer, primary_key=True), Column("code", Text))

    def named(metadata: MetaData) -> None:
        short = postgresql.DOMAIN("Short", String(5), check=text("VALUE <> 'no'"), not_null=False)
        Counter("Numbers", start=5, increment=2, metadata=metadata)
        Table("items", metadata, Column("id", Integer, primary_key=True), Column("code", Text), Column("short", short))

    app = App(place, folder, plain, "INSERT INTO items (id, code) VALUES (1, 'a')")
    app.go_there_and_back(named, "SELECT id, code FROM items")
    assert place.rows("SELECT nextval('\"Numbers\"')") == [(5,)]
    with pytest.raises(IntegrityError):
        place.run("INSERT INTO items (short) VALUES ('no')")
    app.go_there_and_back(plain, "SELECT id, code FROM items")


@pytest.mark.thorough
@on_postgresql
def test_what_belongs_to_a_table_that_goes_is_made_again(place: Place, folder: Folder) -> None:
    statements = [
        "CREATE TABLE kept (id integer PRIMARY KEY)",
        'CREATE TABLE "Items" (id integer PRIMARY KEY, "Owner" text, note text DEFAULT E\'a\\\\b\')',
        'CREATE POLICY "Own" ON "Items" FOR UPDATE USING ("Owner" = current_user) WITH CHECK (id > 0)',
        'CREATE RULE "No delete" AS ON DELETE TO "Items" WHERE old.id = 1 DO INSTEAD NOTHING',
        'CREATE STATISTICS "Together" ON id, "Owner" FROM "Items"',
        "COMMENT ON TABLE \"Items\" IS 'it''s ünï'",
    ]
    folder.add(1, "\n".join(f"self.execute_sql({statement!r})" for statement in statements))
    migrator = place.migrator(folder)
    migrator.migrate()
    before = read_shape(migrator, ())

    def wanted(metadata: MetaData) -> None:
        Table("kept", metadata, Column("id", Integer, primary_key=True, autoincrement=False))

    made = migrator.create_migration("less", models(wanted))
    assert made.clean is True, str(made)
    assert made.removes == ["Items"]
    assert [warning for warning in made.warnings if "leaves" in warning] == [], made.source
    migrator.migrate()
    migrator.rollback_to_version(1)
    assert [str(finding(one, "before", "after")) for one in compare(before, read_shape(migrator, ()))] == []


@pytest.mark.thorough
@on_postgresql
def test_views_and_the_like_that_the_models_make_come_and_go(place: Place, folder: Folder) -> None:
    def plain(metadata: MetaData) -> None:
        Table("items", metadata, Column("id", Integer, primary_key=True), Column("note", Text))

    def watched(metadata: MetaData) -> None:
        plain(metadata)
        for statement in (
            'CREATE MATERIALIZED VIEW "Totals" AS SELECT count(*) AS n FROM items',
            "CREATE VIEW notes AS SELECT note FROM items WHERE note LIKE 'it''s %%'",
            'CREATE POLICY "Own" ON items FOR SELECT USING (id > 0)',
            "CREATE RULE stay AS ON DELETE TO items DO INSTEAD NOTHING",
        ):
            event.listen(metadata, "after_create", DDL(statement))

    app = App(place, folder, plain, "INSERT INTO items (note) VALUES ('it''s %% one')")
    kept = "SELECT id, note FROM items"
    app.go_there_and_back(watched, kept)
    assert place.rows('SELECT n FROM "Totals"') == [(1,)]
    place.run("DELETE FROM items")
    assert len(place.rows(kept)) == 1


def test_a_schema_is_made_for_its_first_table(folder: Folder) -> None:
    def wanted(metadata: MetaData) -> None:
        Table("select", metadata, Column("id", Integer, primary_key=True), schema="My App")

    with own_database() as url:
        migrator = Migrator(url, folder.path)
        made = migrator.create_migration("first", models(wanted))
        assert made.clean is True, str(made)
        assert made.changes[0] == "create schema My App"
        migrator.migrate()
        assert migrator.check(models(wanted)), str(migrator.check(models(wanted)))
        migrator.rollback_to_version(0)
        migrator.migrate()


# What MariaDB alone has


def indexed(*indexes: Index) -> Models:
    def make(metadata: MetaData) -> None:
        columns = [Column("body", Text), Column("title", String(300))]
        Table("items", metadata, Column("id", Integer, primary_key=True), *columns, *(copy(one) for one in indexes))

    def copy(index: Index) -> Index:
        return Index(index.name, *index._pending_colargs, unique=index.unique, **index.dialect_kwargs)

    return make


@pytest.mark.thorough
@on_mariadb
def test_indexes_over_words_and_prefixes(place: Place, folder: Folder) -> None:
    app = App(place, folder, indexed(), "INSERT INTO items (id, body) VALUES (1, 'a text')")
    kept = "SELECT id, body FROM items"
    made = app.go_there_and_back(
        indexed(
            Index("ix_words", "body", mysql_prefix="FULLTEXT"),
            Index("ix_start", "body", mysql_length=20),
            Index("ix_both", "body", "title", mysql_length={"body": 10}, unique=True),
        ),
        kept,
    )
    assert "CREATE FULLTEXT INDEX ix_words" in made.source
    app.go_there_and_back(indexed(Index("ix_start", "body", mysql_length=30)), kept)


@pytest.mark.thorough
@on_mariadb
def test_a_key_that_counts_comes_and_goes(place: Place, folder: Folder) -> None:
    def keyed(**options: Any) -> Models:
        return lambda metadata: Table("items", metadata, Column("id", Integer, primary_key=True, **options))

    app = App(place, folder, keyed(), "INSERT INTO items () VALUES ()")
    app.go_there_and_back(keyed(autoincrement=False), "SELECT id FROM items")
    app.migrator.rollback_to_version(1)
    place.run("INSERT INTO items () VALUES ()")


@pytest.mark.thorough
@pytest.mark.parametrize("place", ["mariadb", "postgresql"], indirect=True)
def test_a_column_that_is_in_others_definitions_is_renamed(place: Place, folder: Folder) -> None:
    def wanted(price: str, count: str) -> Models:
        def make(metadata: MetaData) -> None:
            Table(
                "items",
                metadata,
                Column("id", Integer, primary_key=True),
                Column(price, Integer, CheckConstraint(f"{price} > 0"), nullable=False),
                Column("twice", Integer, Computed(f"{price} * 2", persisted=True)),
                Column(count, Integer, CheckConstraint(f"{count} > 0")),
                CheckConstraint(f"{price} < 100 OR {count} < 100", name="ck_both"),
                Index("ix_price", price),
            )

        return make

    app = App(place, folder, wanted("price", "n"), "INSERT INTO items (id, price, n) VALUES (1, 3, 4)")
    kept = "SELECT * FROM items"
    app.go_there_and_back(wanted("cost", "m"), kept, rename=["items.price:cost", "items.n:m"])
    with pytest.raises(DBAPIError):
        place.run("UPDATE items SET cost = 0")
