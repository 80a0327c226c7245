"""What PostgreSQL says in other words and is the same, and what it says besides and is nobody's."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from drift_support import Maker, differs, made_on, only
from native_databases import some_extension


@pytest.fixture(scope="module")
def maker() -> Iterator[Maker]:
    with made_on("postgresql") as found:
        yield found


def test_what_conversions_leave_in_words_is_no_difference(maker: Maker) -> None:
    fresh = """
    CREATE TABLE t (
        a varchar(10) DEFAULT 'x' CHECK (a IN ('p', 'q')), b integer DEFAULT 5 CHECK (b BETWEEN 1 AND 9),
        c numeric(10,2) DEFAULT 0 CHECK (c < b AND c + b <> -3), d bigint DEFAULT -1, e double precision DEFAULT 1.50,
        f timestamptz DEFAULT now(), g date DEFAULT NULL);
    CREATE INDEX ix_a ON t (lower(a), (b + 1)) WHERE b > 3 AND a <> ''
    """
    converted = """
    CREATE TABLE t (
        a text DEFAULT 'x' CHECK (a IN ('p', 'q')), b numeric DEFAULT 5 CHECK (b BETWEEN 1 AND 9),
        c integer DEFAULT 0.0 CHECK (c < b AND c + b <> -3), d numeric DEFAULT '-1', e numeric DEFAULT 1.5,
        f timestamptz DEFAULT CURRENT_TIMESTAMP, g date);
    CREATE INDEX ix_a ON t (lower(a), (b + 1)) WHERE b > 3 AND a <> '';
    ALTER TABLE t ALTER a TYPE varchar(10), ALTER b TYPE integer, ALTER c TYPE numeric(10,2), ALTER d TYPE bigint;
    ALTER TABLE t ALTER e TYPE double precision
    """
    assert maker.told((fresh,), (converted,)) == []


def test_a_conversion_that_changes_a_result_is_a_difference(maker: Maker) -> None:
    plain, converted = (
        f"CREATE TABLE t (a integer, b integer, CHECK ({said} / 2 > b))" for said in ("a", "a::numeric")
    )
    assert maker.told((plain,), (converted,)) == [
        only("t: check CHECK (((a / 2) > b))", "models"),
        only("t: check CHECK ((((a)::numeric / (2)::numeric) > (b)::numeric))", "database"),
    ]
    days = [f"CREATE TABLE t (a timestamp, CHECK ({said} > '2020-01-01'))" for said in ("a", "a::date")]
    assert len(maker.told((days[0],), (days[1],))) == 2


def test_names_that_the_server_has_made_of_former_names_are_no_difference(maker: Maker) -> None:
    fresh = """
    CREATE TABLE parents (id serial PRIMARY KEY);
    CREATE TABLE t (id serial PRIMARY KEY, a integer UNIQUE CHECK (a > 0), p integer REFERENCES parents,
        EXCLUDE USING btree (p WITH =))
    """
    renamed = """
    CREATE TABLE old_parents (number serial PRIMARY KEY);
    CREATE TABLE old (number serial PRIMARY KEY, b integer UNIQUE CHECK (b > 0), q integer REFERENCES old_parents,
        EXCLUDE USING btree (q WITH =));
    ALTER TABLE old_parents RENAME number TO id;
    ALTER TABLE old_parents RENAME TO parents;
    ALTER TABLE old RENAME TO t;
    ALTER TABLE t RENAME number TO id;
    ALTER TABLE t RENAME b TO a;
    ALTER TABLE t RENAME q TO p
    """
    assert maker.told((fresh,), (renamed,)) == []


def test_the_names_that_the_server_makes_up_are_known(maker: Maker) -> None:
    """With columns or without, numbered, cut in the middle of a character, of expressions, behind an INCLUDE."""
    long = "x234567890" * 5
    shape = maker.shape(
        f"""
        CREATE TABLE t (a integer, b integer, CHECK (a > b), CHECK (a > 0), CHECK (a > 1), CHECK (a + b > 0),
            UNIQUE (a) INCLUDE (b), UNIQUE (b, a), PRIMARY KEY (a, b),
            EXCLUDE USING btree ((a + 1) WITH =, abs(b) WITH =));
        CREATE TABLE "Tüt" ("Größe" integer UNIQUE, x integer, FOREIGN KEY ("Größe", x) REFERENCES t (a, b));
        CREATE TABLE {long} ({long}_b integer PRIMARY KEY CHECK ({long}_b > 0), {long}_c integer UNIQUE,
            UNIQUE ({long}_b, {long}_c), UNIQUE ({long}_c, {long}_b));
        CREATE TABLE y (e{"é" * 26} integer, {"é" * 25}e integer, UNIQUE (e{"é" * 26}, {"é" * 25}e));
        ALTER TABLE t RENAME a TO z;
        ALTER TABLE t ADD CONSTRAINT t_z_key UNIQUE (z)
        """
    )
    named = {name: sorted(one.name for one in table.constraints if one.name) for name, table in shape.tables.items()}
    assert named == {"t": ["t_a_b_key", "t_a_check", "t_a_check1", "t_b_a_key"], "Tüt": [], long: [], "y": []}


def test_names_that_only_end_like_the_servers_are_compared(maker: Maker) -> None:
    ours, theirs = (
        f"""
        CREATE TABLE p (id integer PRIMARY KEY);
        CREATE TABLE t (a integer, b integer, CONSTRAINT {name}_pkey PRIMARY KEY (a), CONSTRAINT {name}_key UNIQUE (b),
            CONSTRAINT {name}_check CHECK (a > 0), CONSTRAINT {name}_fkey FOREIGN KEY (a) REFERENCES p,
            CONSTRAINT {name}_excl EXCLUDE USING btree (a WITH =))
        """
        for name in ("one", "other")
    )
    assert maker.told((ours,), (ours,)) == []
    assert sorted(maker.told((ours,), (theirs,))) == sorted(
        differs(f"t: {kind} one_{ending}", f"named one_{ending}", f"named other_{ending}")
        for kind, ending in (
            ("primary key", "pkey"),
            ("unique", "key"),
            ("check", "check"),
            ("foreign key", "fkey"),
            ("exclude", "excl"),
        )
    )


def test_partitions_are_tables_and_what_they_have_from_their_parent_is_not_theirs(maker: Maker) -> None:
    parent = "CREATE TABLE days (day date NOT NULL, n integer CHECK (n > 0), UNIQUE (day)) PARTITION BY RANGE (day)"
    part = "CREATE TABLE days_1 PARTITION OF days FOR VALUES FROM ('2020-01-01') TO ('2021-01-01')"
    index = "CREATE INDEX ix_n ON days (n)"
    assert maker.told((parent, index), (parent, part, index)) == [only("table days_1 (day, n)", "database")]
    assert maker.told((parent, part), (parent, part, index)) == [only("index ix_n on days (n)", "database")]


def test_what_an_extension_brought_is_left_out(maker: Maker) -> None:
    extension = some_extension(maker.connection.engine.url)
    assert maker.told((), (f"CREATE EXTENSION {extension}",)) == []
    column = f"CREATE EXTENSION {extension};\nCREATE TABLE t (c {extension})"
    assert maker.told((column,), (column,)) == []


def test_temporary_tables_are_left_out_and_hide_nothing(maker: Maker) -> None:
    table = "CREATE TABLE t (id integer)"
    assert maker.told((table,), (table, "CREATE TEMPORARY TABLE t (id text)")) == []


def test_the_search_path_is_as_it_was(maker: Maker) -> None:
    ask = "SELECT current_setting('search_path')"
    before = maker.connection.exec_driver_sql(ask).scalar()
    maker.shape("CREATE TABLE t (id integer)", "SET LOCAL search_path TO pg_catalog", lambda _: None)
    assert maker.connection.exec_driver_sql(ask).scalar() == before


def test_other_schemas_are_told_with_their_names_and_where_they_are_looked_at(maker: Maker) -> None:
    other = f"{maker.scratch}_b"
    made = f"""
    CREATE SCHEMA {other};
    CREATE TYPE {other}.mood AS ENUM ('ok');
    CREATE TABLE {other}.parents (id integer PRIMARY KEY);
    CREATE TABLE t (id integer REFERENCES {other}.parents, m {other}.mood)
    """
    shape = maker.shape(made)
    assert set(shape.tables) == {f"{other}.parents", "t"}
    assert shape.schemas == {other}
    [key] = shape.tables["t"].constraints
    assert (key.parent, shape.tables["t"].columns[1].type) == (f"{other}.parents", f"{other}.mood")


def test_long_definitions_are_shown_from_where_they_differ(maker: Maker) -> None:
    body = "; ".join(f"PERFORM {n}" for n in range(60))
    functions = [
        f"CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS 'BEGIN {body}; {end}; END'"
        for end in ("RETURN", "PERFORM 'the end'")
    ]
    quoted = [one.replace("'the end'", "''the end''") for one in functions]
    assert maker.told((quoted[0],), (quoted[1],)) == [
        differs(
            "function f()",
            "…PERFORM 57; PERFORM 58; PERFORM 59; RETURN; END$function$",
            "…PERFORM 57; PERFORM 58; PERFORM 59; PERFORM 'the end'; END$function$",
        )
    ]


def test_all_that_is_said_of_a_sequence(maker: Maker) -> None:
    plain = "CREATE SEQUENCE s"
    said = f"{plain} AS integer INCREMENT -2 MINVALUE -99 MAXVALUE 7 START 5 CACHE 3 CYCLE OWNED BY NONE"
    assert maker.told((plain,), (said,)) == [
        differs(
            "sequence s",
            "SEQUENCE",
            "SEQUENCE AS integer START 5 INCREMENT -2 MINVALUE -99 MAXVALUE 7 CACHE 3 CYCLE",
        )
    ]
    assert maker.told((plain,), (f"{plain} START 1 INCREMENT 1 NO CYCLE",)) == []


def test_the_name_of_a_not_null_constraint_and_the_order_of_columns_are_no_difference(maker: Maker) -> None:
    plain = "CREATE TABLE t (a integer NOT NULL, b text)"
    named = "CREATE TABLE t (b text, a integer CONSTRAINT a_is_there NOT NULL)"
    assert maker.told((plain,), (named,)) == []
