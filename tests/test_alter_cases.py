"""
The cases of `alter_cases`, each three ways: over a plain connection, in a migration, and rolled back.

What a case expects is first proved on a table that is rebuilt by hand; then the operation must come to the same.
"""

from __future__ import annotations

import re
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from alter_cases import CASES, Case, Check
from sqlalchemy import Engine, create_engine, event

from sqlmig import BaseMigration
from sqlmig.errors import SchemaError
from sqlmig.schema import Operations
from sqlmig.sql_text import split_statements

SETTINGS = (
    *("foreign_keys", "legacy_alter_table", "writable_schema", "defer_foreign_keys"),
    *("recursive_triggers", "ignore_check_constraints"),
)
HEADER = ("user_version", "application_id", "encoding", "page_size", "auto_vacuum", "journal_mode")
TOKEN = re.compile(r"""--[^\n]*|/\*.*?\*/|'(?:[^']|'')*'|"(?:[^"]|"")*"|`[^`]*`|\[[^\]]*\]|[\w.$]+|\S""", re.S)
UNORDERED = ("sqlite_sequence", "sqlite_stat1")

non_refused = [case for case in CASES if case.refused_naming is None]


def named(cases: list[Case]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", cases, ids=[case.name for case in cases])


def test_the_names_are_unique() -> None:
    assert [name for name, times in Counter(case.name for case in CASES).items() if times > 1] == []


@named(non_refused)
def test_what_is_expected_holds_when_done_by_hand(case: Case, tmp_path: Path) -> None:
    with closing(opened(case, tmp_path)) as hand:
        before = look(hand)
        do_by_hand(case, hand)
        after = look(hand)
        assert_only_the_named_changed(case, before, after)
        hold(case.after, hand)


@named([case for case in CASES if case.refused_naming is not None])
def test_what_is_refused_is_there_to_begin_with(case: Case, tmp_path: Path) -> None:
    with closing(opened(case, tmp_path)) as hand:
        hold(case.after, hand)


@named(CASES)
def test_over_a_plain_connection(case: Case, tmp_path: Path) -> None:
    def change(engine: Engine) -> None:
        with engine.connect() as connection:
            try:
                carry_out(case, Operations(connection))
            finally:
                # What was refused has left nothing that a commit would keep.
                connection.commit()

    done(case, tmp_path, change)


@named(CASES)
def test_in_a_migration(case: Case, tmp_path: Path) -> None:
    class Step(BaseMigration):
        version = 1
        description = "the case"
        removes = "*"

        def up(self) -> None:
            carry_out(case, self)

    done(case, tmp_path, lambda engine: Step(engine).run())


@pytest.mark.parametrize("before_it", [True, False], ids=["after a write", "alone"])
@named([case for case in non_refused if not case.may_refuse])
def test_rolled_back(case: Case, before_it: bool, tmp_path: Path) -> None:
    with session(case, tmp_path) as (engine, driver):
        driver.execute("CREATE TABLE aside(a)")
        before, dump = look(driver), dumped(driver)
        with engine.connect() as connection:
            if before_it:
                connection.exec_driver_sql("INSERT INTO aside VALUES (1)")
            carry_out(case, Operations(connection))
            connection.rollback()
        assert look(driver) == before
        assert dumped(driver) == dump


@named([case for case in CASES if case.refused_naming is not None])
def test_a_refusal_keeps_what_was_written_before_it(case: Case, tmp_path: Path) -> None:
    with session(case, tmp_path) as (engine, driver):
        driver.execute("CREATE TABLE aside(a)")
        before = look(driver)
        with engine.connect() as connection:
            connection.exec_driver_sql("INSERT INTO aside VALUES (1)")
            with pytest.raises(SchemaError):
                carry_out(case, Operations(connection))
            connection.commit()
        after = look(driver)
        assert after["main"]["data"].pop("aside") == [(1, {"a": "1"})]
        assert before["main"]["data"].pop("aside") == []
        assert after == before


def done(case: Case, folder: Path, change: Callable[[Engine], object]) -> None:
    """Run the case and hold the result against the one made by hand."""
    with session(case, folder / "done") as (engine, driver):
        before = look(driver)
        with closing(sqlite3.connect(folder / "done" / "main.db")) as witness:
            witness.execute("SELECT count(*) FROM sqlite_master").fetchall()
            try:
                change(engine)
            except Exception as error:
                refused(case, error)
                assert look(driver) == before
                if case.refused_naming is not None:
                    hold(case.after, driver)
                return
            assert case.refused_naming is None, "it was not refused"
            after = look(driver)
            assert_only_the_named_changed(case, before, after)
            with closing(opened(case, folder / "hand")) as hand:
                do_by_hand(case, hand)
                if case.same:
                    assert_same(before, after, look(hand))
            if case.in_one_session:
                hold(case.after, driver)
                return
            assert look(witness)["main"] == after["main"]
    with closing(connect(case, folder / "done")) as second:
        assert look(second) == after
        hold(case.after, second)
        assert look(second)["main"]["integrity"] in (["ok"], before["main"]["integrity"])


def refused(case: Case, error: Exception) -> None:
    """Whether it is the error that the case wants, or may have."""
    found: BaseException | None = error
    while found is not None and not isinstance(found, SchemaError):
        found = found.__cause__ or found.__context__
    if found is None or (case.refused_naming is None and not case.may_refuse):
        raise error
    missing = [word for word in case.refused_naming or () if not has_word(str(found), word)]
    assert missing == [], str(found)


def carry_out(case: Case, target: Any) -> None:
    if isinstance(case.does, list):
        with target.alter_table(case.table) as table:
            for one in case.does:
                getattr(table, one.method)(*one.args, **one.kwargs)
    else:
        getattr(target, case.does.method)(*case.does.args, **case.does.kwargs)


def has_word(message: str, word: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(word)}(?!\w)", message) is not None


# Connections


def connect(case: Case, folder: Path) -> sqlite3.Connection:
    folder.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(folder / "main.db", isolation_level=None)
    prepare(case, folder, connection)
    return connection


def prepare(case: Case, folder: Path, connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute(f"PRAGMA foreign_keys = {'ON' if case.foreign_keys else 'OFF'}")
    if "aux." in case.setup:
        connection.execute("ATTACH ? AS aux", (str(folder / "aux.db"),))


def set_up(case: Case, connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA foreign_keys = OFF")
    connection.executescript(f"{case.first}; BEGIN; {case.setup}\n; COMMIT;")
    connection.executescript(case.session)
    if "foreign_keys" not in case.session:
        connection.execute(f"PRAGMA foreign_keys = {'ON' if case.foreign_keys else 'OFF'}")


def opened(case: Case, folder: Path) -> sqlite3.Connection:
    connection = connect(case, folder)
    set_up(case, connection)
    return connection


@contextmanager
def session(case: Case, folder: Path) -> Iterator[tuple[Engine, sqlite3.Connection]]:
    """An engine of one connection, and that connection; its settings must come back."""
    folder.mkdir(parents=True, exist_ok=True)
    engine = create_engine(f"sqlite:///{folder}/main.db", pool_size=1, max_overflow=0)
    event.listen(engine, "connect", lambda raw, _: prepare(case, folder, raw))
    pooled = engine.raw_connection()
    driver: Any = pooled.driver_connection
    set_up(case, driver)
    pooled.close()
    assert not driver.in_transaction
    settings = [driver.execute(f"PRAGMA {name}").fetchone() for name in SETTINGS]
    try:
        yield engine, driver
        assert not driver.in_transaction
        assert [driver.execute(f"PRAGMA {name}").fetchone() for name in SETTINGS] == settings, SETTINGS
    finally:
        engine.dispose()


# What a database holds


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def look(connection: sqlite3.Connection) -> dict[str, dict[str, Any]]:
    """All that can be seen of every schema: the catalogue, the structures, every value, and what the checks say."""
    factory, connection.text_factory = connection.text_factory, lambda raw: raw.decode("utf-8", "surrogateescape")
    try:
        schemas = ["main", "temp", *(row[1] for row in connection.execute("PRAGMA database_list"))]
        return {schema: look_at(connection, schema) for schema in dict.fromkeys(schemas)}
    finally:
        connection.text_factory = factory


def look_at(c: sqlite3.Connection, schema: str) -> dict[str, Any]:
    master = c.execute(f"SELECT type, name, tbl_name, sql FROM {schema}.sqlite_master ORDER BY 1, 2").fetchall()
    tables = [name for kind, name, *_ in master if kind == "table"]
    return {
        "master": {(kind, name): (table, sql) for kind, name, table, sql in master},
        "structure": {name: structure(c, schema, name) for name in tables},
        "data": {name: data(c, schema, name) for name in tables},
        "integrity": [found for (found,) in c.execute(f"PRAGMA {schema}.integrity_check")],
        "orphans": orphans(c, schema),
        "header": [c.execute(f"PRAGMA {schema}.{name}").fetchone() for name in HEADER if schema != "temp"],
    }


def orphans(c: sqlite3.Connection, schema: str) -> list[Any]:
    with suppress(sqlite3.OperationalError):
        return sorted(c.execute(f"PRAGMA {schema}.foreign_key_check").fetchall(), key=repr)
    return ["cannot be checked"]


def structure(c: sqlite3.Connection, schema: str, table: str) -> dict[str, Any]:
    def pragma(what: str, of: str) -> list[Any]:
        return c.execute(f"PRAGMA {schema}.{what}({quoted(of)})").fetchall()

    options = [row[2:] for row in pragma("table_list", table) if row[0] == schema]
    indexes = [
        (name if origin == "c" else "auto", unique, origin, partial, [row[2:] for row in pragma("index_xinfo", name)])
        for _, name, unique, origin, partial in pragma("index_list", table)
    ]
    return {
        "options": [(kind, strict, rowid) for kind, _, rowid, strict in options],
        "columns": [row[1:] for row in pragma("table_xinfo", table)],
        "indexes": sorted(indexes, key=repr),
        "keys": sorted((row[1:] for row in pragma("foreign_key_list", table)), key=repr),
    }


def data(c: sqlite3.Connection, schema: str, table: str) -> list[tuple[Any, dict[str, str]]]:
    """Each row with its rowid, or None where it has none; each value as its repr, which tells 1 from 1.0."""
    columns = [row[1] for row in c.execute(f"PRAGMA {schema}.table_xinfo({quoted(table)})") if row[6] != 1]
    rowid = rowid_of(c, schema, table, columns)
    chosen = ", ".join([rowid or "NULL", *map(quoted, columns)])
    rows = c.execute(f"SELECT {chosen} FROM {schema}.{quoted(table)}").fetchall()
    read = [(number, dict(zip(columns, map(repr, values), strict=True))) for number, *values in rows]
    if table in UNORDERED:
        return sorted(((None, values) for _, values in read), key=repr)
    return sorted(read, key=repr)


def rowid_of(c: sqlite3.Connection, schema: str, table: str, columns: list[str]) -> str | None:
    listed = [row for row in c.execute(f"PRAGMA {schema}.table_list({quoted(table)})") if row[0] == schema]
    if listed and listed[0][4]:
        return None
    taken = {name.lower() for name in columns}
    return next((alias for alias in ("rowid", "_rowid_", "oid") if alias not in taken), None)


def dumped(connection: sqlite3.Connection) -> list[str]:
    try:
        return list(connection.iterdump())
    except sqlite3.Error as error:
        return [str(error)]


# What may change


def assert_only_the_named_changed(case: Case, before: dict[str, Any], after: dict[str, Any]) -> None:
    for schema, was in before.items():
        now = after[schema]
        target = case.table_in(schema)
        own = {case.table, *case.changes} if target is None else {target, *case.changes}
        for (kind, name), row in was["master"].items():
            if name not in own and not (name.startswith("sqlite_autoindex_") and row[0] in own):
                assert now["master"].get((kind, name)) == row, f"{kind} {name} is not as it was"
        assert len(now["orphans"]) <= len(was["orphans"]), now["orphans"]
        assert now["integrity"] in (["ok"], was["integrity"])
        assert now["header"] == was["header"]
        for table, rows in was["data"].items():
            if table == target:
                assert_kept(case, rows, now["data"].get(table), was["structure"][table], now["structure"].get(table))
            elif table not in own and table not in UNORDERED:
                assert now["data"][table] == rows, f"rows of {table}"
                assert now["structure"][table] == was["structure"][table]


def assert_kept(case: Case, rows: Any, now: Any, structure: Any, structure_now: Any) -> None:
    """The target's columns that were not named have the values and the declarations that they had."""
    if now is None:
        return
    assert len(rows) == len(now)
    moved = case.keys_change
    assert moved or [number for number, _ in rows] == [number for number, _ in now], "rowids"
    present = [row[0] for row in structure_now["columns"]]
    kept = [row[0] for row in structure["columns"] if row[0] in present and row[0] not in case.named_columns]
    for column in kept:
        was, is_now = [[row[1].get(column) for row in side] for side in (rows, now)]
        assert was == is_now if not moved else sorted(was) == sorted(is_now), f"values of {column}"
    declared = [{row[0]: row for row in side["columns"]} for side in (structure, structure_now)]
    if not moved:
        assert [declared[0][c] for c in kept] == [declared[1][c] for c in kept]


def tokens(sql: str) -> Counter[str]:
    found = TOKEN.findall(sql)
    return Counter(part if part[:2] in ("--", "/*") or part[0] == "'" else part.strip('"`[]').upper() for part in found)


def assert_same(before: dict[str, Any], after: dict[str, Any], hand: dict[str, Any]) -> None:
    """The operation came to what was made by hand: the same objects, structure and values."""
    assert after.keys() == hand.keys()
    for schema, now in after.items():
        expected = hand[schema]
        assert objects(now) == objects(expected)
        assert now["data"] == expected["data"]
        for (kind, name), (_, sql) in expected["master"].items():
            if sql and ("table", name) in before[schema]["master"]:
                was = before[schema]["master"]["table", name][1]
                lost = (tokens(was) & tokens(sql)) - tokens(now["master"][kind, name][1])
                assert not lost, f"the definition of {name} lost {list(lost)}"
        for table, is_now in now["structure"].items():
            assert alike(is_now) == alike(expected["structure"][table]), table


def objects(seen: dict[str, Any]) -> set[tuple[str, str, str]]:
    return {(kind, name, row[0]) for (kind, name), row in seen["master"].items() if "sqlite_autoindex_" not in name}


def alike(structure: dict[str, Any]) -> dict[str, Any]:
    """Without what is free to the writer: blanks in a type, the form of a default, which autoindex is the first."""
    columns = [(c[0], re.sub(r"\s", "", c[1]).upper(), c[2], evaluated(c[3]), *c[4:]) for c in structure["columns"]]
    return {**structure, "columns": columns}


def evaluated(default: str | None) -> Any:
    if default is None:
        return None
    with closing(sqlite3.connect(":memory:")) as scratch, suppress(sqlite3.Error):
        if not re.search(r"current_|random|now|changes", default, re.I):
            return repr(scratch.execute(f"SELECT {default}").fetchone())
    return re.sub(r"[\s()]", "", default).upper()


# By hand


def do_by_hand(case: Case, c: sqlite3.Connection) -> None:
    """Run the statements of the case, then edit the table's definition and make it anew, with its rows."""
    settings = {name: c.execute(f"PRAGMA {name}").fetchone()[0] for name in SETTINGS}
    c.execute("PRAGMA foreign_keys = OFF")
    c.execute("PRAGMA ignore_check_constraints = ON")
    for statement in split_statements(case.hand):
        c.execute(statement)
    if case.edit:
        schema = next(name for name in ("main", "aux", "temp") if case.table_in(name))
        table = str(case.table_in(schema))
        (sql,) = c.execute(
            f"SELECT sql FROM {schema}.sqlite_master WHERE type='table' AND name = ?", (table,)
        ).fetchone()
        for old, new in zip(case.edit[::2], case.edit[1::2], strict=True):
            assert sql.count(old) == 1, f"{old!r} in {sql}"
            sql = sql.replace(old, new)
        remake(c, schema, table, sql.replace("CREATE TABLE ", f"CREATE TABLE {schema}.", 1))
    for name, value in settings.items():
        c.execute(f"PRAGMA {name} = {value}")


class Undecodable(bytes):
    """A text that is no UTF-8."""


def as_text(raw: bytes) -> str | Undecodable:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return Undecodable(raw)


def remake(c: sqlite3.Connection, schema: str, table: str, statement: str) -> None:
    xinfo = f"PRAGMA {schema}.table_xinfo({quoted(table)})"
    old = [row[1] for row in c.execute(xinfo) if row[6] == 0]
    rowid = rowid_of(c, schema, table, [row[1] for row in c.execute(xinfo)])
    c.text_factory = as_text
    rows = c.execute(
        f"SELECT {', '.join([rowid or 'NULL', *map(quoted, old)])} FROM {schema}.{quoted(table)}"
    ).fetchall()
    c.text_factory = str
    hanging = [
        (catalogue, sql)
        for catalogue in dict.fromkeys([schema, "temp"])
        for (sql,) in c.execute(
            f"SELECT sql FROM {catalogue}.sqlite_master WHERE tbl_name = ? COLLATE NOCASE"
            " AND (type = 'trigger' OR type = 'index' AND ?) AND sql IS NOT NULL ORDER BY rowid",
            (table, catalogue == schema),
        )
    ]
    kept = {
        name: around(c, schema, name, key, table)
        for name, key in (("sqlite_sequence", "name"), ("sqlite_stat1", "tbl"))
    }
    c.execute(f"DROP TABLE {schema}.{quoted(table)}")
    c.execute(statement)
    new = c.execute(xinfo).fetchall()
    shared = [i for i, name in enumerate(old) if any(row[1].lower() == name.lower() and row[6] == 0 for row in new)]
    indexed = [row[3] for row in c.execute(f"PRAGMA {schema}.index_list({quoted(table)})")]
    numbered = rowid_of(c, schema, table, [row[1] for row in new])
    if any(row[5] for row in new) and "pk" not in indexed:
        numbered = None
    names = [*([numbered] if numbered and rowid else []), *(quoted(old[i]) for i in shared)]
    for number, *values in rows:
        row = [*([number] if numbered and rowid else []), *(values[i] for i in shared)]
        marks = ", ".join("CAST(? AS TEXT)" if isinstance(value, Undecodable) else "?" for value in row)
        c.execute(f"INSERT INTO {schema}.{quoted(table)}({', '.join(names)}) VALUES ({marks})", row)
    for catalogue, sql in hanging:
        place = "" if catalogue == "main" else f"{catalogue}."
        c.execute(re.sub(r"^(CREATE (?:UNIQUE )?(?:INDEX|TRIGGER)) ", rf"\1 {place}", sql))
    for name, saved in kept.items():
        for key in (saved or [[None]])[:1]:
            if key[0] is not None:
                c.execute(f"DELETE FROM {schema}.{name} WHERE {'name' if name.endswith('e') else 'tbl'} = ?", (table,))
        for row in saved:
            c.execute(f"INSERT INTO {schema}.{name} VALUES ({', '.join('?' * len(row))})", row)


def around(c: sqlite3.Connection, schema: str, name: str, key: str, table: str) -> list[Any]:
    if not c.execute(f"SELECT 1 FROM {schema}.sqlite_master WHERE name = ?", (name,)).fetchone():
        return []
    return c.execute(f"SELECT * FROM {schema}.{name} WHERE {key} = ?", (table,)).fetchall()


def hold(checks: tuple[Check, ...], c: sqlite3.Connection) -> None:
    isolation, c.isolation_level = c.isolation_level, None
    for check in checks:
        try:
            if check.kind == "rejects":
                with pytest.raises(sqlite3.Error, match=re.escape(check.word)):
                    c.execute(check.statement).fetchall()
                continue
            if check.statement:
                c.execute(check.statement).fetchall()
            assert c.execute(check.query).fetchall() == check.rows, check.query
        except sqlite3.Error as error:
            raise AssertionError(f"{check.statement or check.query}: {error}") from error
    c.isolation_level = isolation
