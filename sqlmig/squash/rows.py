"""The rows that migrations write: read from a scratch database, compared, and written as statements."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from ..autogenerate.code import Call, Node, Raw, listed, literal
from ..autogenerate.statements import Statement
from ..autogenerate.things import execute, sql_name
from ..drift.check import read_shape
from ..drift.shape import Shape, Table

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection
    from sqlalchemy.engine.interfaces import Dialect

    from ..migrator import Migrator

__all__ = [
    "Counter",
    "Rows",
    "TableRows",
    "differing",
    "is_of_now",
    "of_now",
    "read_rows",
    "unstable",
    "written_rows",
]

# Types whose values a driver gives and takes as Python has them; the others are read and written as texts.
_PLAIN = {
    "postgresql": re.compile(r"(small|big)?int(eger)?|boolean|text|character( varying)?(\(\d+\))?|double precision"),
    "mysql": re.compile(r"((tiny|small|medium|big)?int|year|double|(var)?char|(var)?binary|\w*text|\w*blob)\b.*"),
}
# Longer statements have two lines.
_LINE = 70
_FULL_TEXT = re.compile(r"\bUSING\s+(fts\d\w*)", re.IGNORECASE)
# It has an index and no texts.
_CONTENTLESS = re.compile(r"\bcontent\s*=\s*(''|\"\")", re.IGNORECASE)


@dataclass(frozen=True)
class TableRows:
    """
    The rows of one table.

    Attributes:
        casts: By column, the type that a text is made a value of.
        own_numbers: Whether a column numbers itself, and takes no number that is given without being told to.
        key: The columns of the primary key.
        readable: Whether what was written can be read back.
    """

    name: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    casts: Mapping[str, str]
    parents: frozenset[str] = frozenset()
    own_numbers: bool = False
    key: tuple[str, ...] = ()
    readable: bool = True

    def comparable_without(self, names: Collection[str]) -> list[list[tuple[str, str]]]:
        """The same without some columns; two values that tell the time of their run are the same."""
        order = sorted(range(len(self.columns)), key=lambda at: self.columns[at])
        order = [at for at in order if f"{self.name}.{self.columns[at]}" not in names]
        return sorted([(self.columns[at], _said(row[at])) for at in order] for row in self.rows)

    @property
    def highest(self) -> int | None:
        """The highest number that a row has for its key, where that is one column of numbers."""
        if len(self.key) != 1 or self.key[0] not in self.columns:
            return None
        at = self.columns.index(self.key[0])
        numbers = [row[at] for row in self.rows]
        return max(numbers) if numbers and all(isinstance(number, int) for number in numbers) else None


_SEQUENCES = """
SELECT c.oid::regclass::text, q.seqstart, (
    SELECT t.relname FROM pg_depend d JOIN pg_class t ON t.oid = d.refobjid
    WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype IN ('a', 'i') LIMIT 1)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_sequence q ON q.seqrelid = c.oid
WHERE c.relkind = 'S' AND c.relpersistence <> 't' ORDER BY 1"""


class Counter(NamedTuple):
    """
    Where the numbering of a key is.

    Attributes:
        number: As it is set.
        table: The one whose key it numbers.
        reached: The highest key that says the same without being set.
        called: Whether the number was given out; else it is the next one.
    """

    number: int
    table: str
    reached: int | None
    called: bool = True


@dataclass(frozen=True)
class Rows:
    """
    All rows of a database, and where the counters of its keys are.

    Attributes:
        tables: By the key of their name.
        counters: By the name of a sequence, or of a table that counts.
        held: What materialized views hold, by their names; None for one that was not filled.
    """

    tables: Mapping[str, TableRows]
    counters: Mapping[str, Counter]
    held: Mapping[str, list[str] | None] = field(default_factory=dict)

    def only(self, keys: Collection[str]) -> Rows:
        """Those of some tables."""
        tables = {key: table for key, table in self.tables.items() if key in keys}
        names = {table.name for table in tables.values()}
        return Rows(tables, {name: one for name, one in self.counters.items() if one.table in names})


def read_rows(twin: Migrator) -> Rows:
    """Read them all, but for the records of migrations."""
    shape = read_shape(twin)
    with twin.db.reading() as connection:
        found = {key: _table(connection, table, shape) for key, table in shape.tables.items()}
        if connection.dialect.name == "sqlite":
            for (kind, key), thing in shape.things.items():
                if kind == "virtual table":
                    found[key] = _virtual(connection, thing.name, thing.definition.shown)
        views = [thing.name for (kind, _), thing in shape.things.items() if kind == "materialized view"]
        return Rows(
            {key: table for key, table in found.items() if table.rows},
            _counters(connection, twin),
            {name: _held(connection, name) for name in views},
        )


def _held(connection: Connection, view: str) -> list[str] | None:
    name = sql_name(connection.dialect, view)
    ((filled,),) = _ask(
        connection, f"SELECT relispopulated FROM pg_class WHERE oid = '{name.replace(chr(39), chr(39) * 2)}'::regclass"
    )
    return sorted(str(row) for (row,) in _ask(connection, f"SELECT v::text FROM {name} v")) if filled else None


def _table(connection: Connection, table: Table, shape: Shape) -> TableRows:
    dialect = connection.dialect
    columns = [column for column in table.columns if column.generated is None]
    plain = _PLAIN.get("mysql" if dialect.name == "mariadb" else dialect.name)
    casts = {one.name: one.type for one in columns if plain and not plain.fullmatch(one.type.lower())}
    only = "ONLY " if dialect.name == "postgresql" else ""
    said = [_read_as(dialect, one.name, casts.get(one.name)) for one in columns]
    key = next((one.columns for one in table.constraints if one.kind == "primary key"), ())
    order = f" ORDER BY {', '.join(sql_name(dialect, name) for name in key)}" if key else ""
    rows = (
        _ask(connection, f"SELECT {', '.join(said)} FROM {only}{sql_name(dialect, table.name)}{order}") if said else ()
    )
    return TableRows(
        table.name,
        tuple(column.name for column in columns),
        tuple(rows),
        casts if dialect.name == "postgresql" else {},
        frozenset(shape.key(one.parent) for one in table.constraints if one.kind == "foreign key" and one.parent),
        any((column.identity or "").startswith("ALWAYS") for column in columns),
        key,
    )


def _read_as(dialect: Dialect, column: str, type_: str | None) -> str:
    name = sql_name(dialect, column)
    if type_ is None:
        return name
    if dialect.name == "postgresql":
        return f"CAST({name} AS text)"
    # A BIT is a string of bytes there, and takes a number.
    if type_.lower().startswith("bit"):
        return f"{name} + 0"
    # A FLOAT by itself is told by six digits.
    return f"{name} + 0e0" if type_.lower().startswith("float") else f"CAST({name} AS CHAR)"


def _virtual(connection: Connection, name: str, definition: str) -> TableRows:
    """A virtual table; the rowid of a full-text index is what its rows are known by."""
    dialect = connection.dialect
    schema, _, plain = name.rpartition(".")
    place = f"{sql_name(dialect, schema)}." if schema else ""
    found = _ask(connection, f"PRAGMA {place}table_info({sql_name(dialect, plain)})")
    columns = [str(row[1]) for row in found]
    if _FULL_TEXT.search(definition):
        columns.insert(0, "rowid")
    said = ", ".join(sql_name(dialect, column) for column in columns)
    rows = _ask(connection, f"SELECT {said} FROM {sql_name(dialect, name)}")
    return TableRows(name, tuple(columns), tuple(rows), {}, readable=_CONTENTLESS.search(definition) is None)


def _counters(connection: Connection, twin: Migrator) -> dict[str, Counter]:
    own = twin.version_tracker.own_tables
    name = connection.dialect.name
    if name == "sqlite":
        if not _ask(connection, "SELECT 1 FROM sqlite_master WHERE name = 'sqlite_sequence'"):
            return {}
        found = _ask(connection, "SELECT name, seq, name, seq FROM sqlite_sequence ORDER BY name")
    elif name == "postgresql":
        return _sequences(connection, own)
    else:
        found = _ask(
            connection,
            "SELECT table_name, auto_increment, table_name, auto_increment - 1 FROM information_schema.tables"
            " WHERE table_schema = DATABASE() AND auto_increment > 1 ORDER BY 1",
        )
    counters = {
        str(row[0]): Counter(int(row[1]), str(row[2]), row[3])
        for row in found
        if str(row[2] or row[0]).lower() not in own
    }
    return counters if name == "sqlite" else counters | dict(_mariadb_sequences(connection))


def _sequences(connection: Connection, own: Collection[str]) -> dict[str, Counter]:
    """Those of PostgreSQL that do not stand where they began; the catalogue does not tell of ALTER ... RESTART."""
    found = {}
    for sequence, start, table in _ask(connection, _SEQUENCES):
        if str(table or sequence).lower() not in own:
            ((number, called),) = _ask(connection, f"SELECT last_value, is_called FROM {sequence}")
            if called or number != start:
                found[str(sequence)] = Counter(int(number), str(table), None, bool(called))
    return found


def _mariadb_sequences(connection: Connection) -> Iterator[tuple[str, Counter]]:
    """What each would give out next if the server were started again; MySQL has none."""
    names = _ask(
        connection,
        "SELECT table_name FROM information_schema.tables"
        " WHERE table_schema = DATABASE() AND table_type = 'SEQUENCE' ORDER BY 1",
    )
    for (name,) in names:
        sql = f"SELECT next_not_cached_value, start_value FROM {sql_name(connection.dialect, name)}"
        ((number, start),) = _ask(connection, sql)
        if number != start:
            yield str(name), Counter(int(number), "", None, called=False)


def _ask(connection: Connection, sql: str) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in connection.exec_driver_sql(sql, execution_options={"no_parameters": True})]


# Compared


def differing(one: Rows, other: Rows, ignored: Collection[str] = ()) -> list[str]:
    """
    In which tables, and in which columns of them, two databases have other rows; counters as well.

    Args:
        ignored: Tables and columns that are other ones in each run.
    """
    found = []
    for key in sorted({*one.tables, *other.tables}):
        left, right = one.tables.get(key), other.tables.get(key)
        counts = [len(table.rows) if table is not None else 0 for table in (left, right)]
        name = next(table.name for table in (left, right) if table is not None)
        if name in ignored:
            continue
        if left is None or right is None or counts[0] != counts[1]:
            found.append(f"{name}: {counts[0]:,} and {counts[1]:,} rows")
        elif left.comparable_without(ignored) != right.comparable_without(ignored):
            found += [name for name in _columns_that_differ(left, right) if name not in ignored] or [
                f"{name}: its rows"
            ]
    counters = {*one.counters, *other.counters}
    changed = [name for name in sorted(counters) if _reached(one, name) != _reached(other, name)]
    views = sorted(name for name in {*one.held, *other.held} if one.held.get(name) != other.held.get(name))
    found += [f"{name}: what the materialized view holds" for name in views if name not in ignored]
    return [*found, *(f"the counter of {name}" for name in changed if name not in ignored)]


def _reached(rows: Rows, name: str) -> tuple[int, bool] | None:
    counter = rows.counters.get(name)
    return None if counter is None else (counter.number, counter.called)


def unstable(one: Rows, other: Rows) -> frozenset[str]:
    """The tables and columns that two runs of the same migrations have filled in two ways."""
    return frozenset(text.partition(":")[0].removeprefix("the counter of ") for text in differing(one, other))


def of_now(rows: Rows) -> list[str]:
    """The columns that tell when their rows were written."""
    return [
        f"{table.name}.{column}"
        for table in rows.tables.values()
        for at, column in enumerate(table.columns)
        if any(is_of_now(row[at]) for row in table.rows)
    ]


def _columns_that_differ(one: TableRows, other: TableRows) -> list[str]:
    def values(table: TableRows, column: str) -> list[str]:
        at = table.columns.index(column)
        return sorted(_said(row[at]) for row in table.rows)

    both = [column for column in one.columns if column in other.columns]
    return [f"{one.name}.{column}" for column in both if values(one, column) != values(other, column)]


def _said(value: Any) -> str:
    return "(now)" if is_of_now(value) else repr(value)


def is_of_now(value: Any) -> bool:
    """Whether a value tells the time at which it was written: a day, a moment, or seconds since 1970."""
    now = datetime.now(UTC).replace(tzinfo=None)
    near = timedelta(days=1)
    if isinstance(value, bytes | bool) or value is None:
        return False
    if isinstance(value, int | float):
        seconds = now.timestamp()
        return any(abs(float(value) / unit - seconds) < near.total_seconds() for unit in (1, 1e3, 1e6, 1e9))
    if isinstance(value, datetime | date):
        value = value.isoformat()
    text = str(value).strip()
    try:
        told = datetime.fromisoformat(re.sub(r"([+-]\d\d)$", r"\1:00", text))
    except ValueError:
        return False
    return abs(told.replace(tzinfo=None) - now) < near


# Written


def written_rows(rows: Rows, dialect: Dialect) -> list[Statement]:
    """The statements that insert them into tables that are there: parents first."""
    if not rows.tables and not rows.counters:
        return []
    ordered, circular = _parents_first(rows.tables)
    made = [_insert(table, dialect) for table in ordered]
    if circular and dialect.name == "sqlite":
        made.insert(0, execute("PRAGMA defer_foreign_keys = ON", ""))
    elif circular and dialect.name in ("mysql", "mariadb"):
        made = [execute("SET foreign_key_checks = 0", ""), *made, execute("SET foreign_key_checks = 1", "")]
    return [*made, *_counts(rows, dialect)]


def _parents_first(tables: Mapping[str, TableRows]) -> tuple[list[TableRows], bool]:
    """The tables in an order in which parents come first, and whether some refer to themselves or in a circle."""
    left, ordered, circular = dict(tables), list[TableRows](), False
    while left:
        free = [key for key, table in left.items() if not (table.parents & left.keys() - {key})]
        circular = circular or not free or any(key in left[key].parents for key in free)
        for key in free or [next(iter(left))]:
            ordered.append(left.pop(key))
    return ordered, circular


def _insert(table: TableRows, dialect: Dialect) -> Statement:
    names = ", ".join(sql_name(dialect, name) for name in table.columns)
    filled = {name for at, name in enumerate(table.columns) if any(row[at] is not None for row in table.rows)}
    marks = ", ".join(
        f"CAST(CAST(? AS text) AS {table.casts[name]})" if name in table.casts and name in filled else "?"
        for name in table.columns
    )
    overriding = "OVERRIDING SYSTEM VALUE " if table.own_numbers else ""
    head, values = f"INSERT INTO {sql_name(dialect, table.name)} ({names})", f"{overriding}VALUES ({marks})"
    sql = f"{head} {values}" if len(head) + len(values) < _LINE else f"{head}\n{values}"
    return Statement("execute_sql", (literal(sql), listed([_tuple(row) for row in table.rows])))


def _tuple(row: Sequence[Any]) -> Node:
    nodes = [_value(value) for value in row]
    if len(nodes) == 1:
        return Raw(f"({_source(row[0])},)")
    return Call("", tuple(nodes))


def _value(value: Any) -> Node:
    return literal(value) if isinstance(value, str) else Raw(_source(value))


def _source(value: Any) -> str:
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return f'float("{value!r}")'
    if isinstance(value, bytearray | memoryview):
        value = bytes(value)
    if value is not None and not isinstance(value, str | int | float | bytes):
        value = str(value)
    return repr(value)


def _counts(rows: Rows, dialect: Dialect) -> Iterator[Statement]:
    """Have the counters go on where they were: one may have given out more than what is left of the rows."""
    by_name = {table.name: table for table in rows.tables.values()}
    for name, counter in rows.counters.items():
        table = by_name.get(counter.table)
        if table is not None and table.highest is not None and table.highest == counter.reached:
            continue
        quoted, number = name.replace("'", "''"), counter.number
        if dialect.name == "sqlite":
            sql = f"UPDATE sqlite_sequence SET seq = {number} WHERE name = '{quoted}'"
            if table is None:
                sql = f"INSERT INTO sqlite_sequence (name, seq) VALUES ('{quoted}', {number})"
        elif dialect.name == "postgresql":
            sql = f"SELECT setval('{quoted}', {number}{'' if counter.called else ', false'})"
        elif not counter.called:
            sql = f"SELECT setval({sql_name(dialect, name)}, {number}, 0)"
        else:
            sql = f"ALTER TABLE {sql_name(dialect, name)} AUTO_INCREMENT = {number}"
        yield execute(sql, f"numbers of {name} go on at {number}")
