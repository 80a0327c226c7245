"""
What a migration loses on PostgreSQL, by what the server itself tells of its transaction.

Rows: the statistics of the transaction count what was deleted of each table, by whomever; what the migration's own
statements told is taken off. Tables and columns: the catalogue before and after, which knows them by number, so that a
new name is no loss. A statement that may drop something is carried out twice: once inside a savepoint, to see what it
would take along, which is counted when that is undone; a DROP costs nothing.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

from ..results import Loss
from ..schema.watched import Watcher
from ..sql_text import without_literals

__all__ = ["ServerFindings", "ServerWatch", "held_by"]

_NAME = r'((?:"(?:[^"]|"")+"|[\w$]+)(?:\s*\.\s*(?:"(?:[^"]|"")+"|[\w$]+))?)'
_HARMLESS = (
    "index|view|constraint|default|not\\s+null|trigger|function|procedure|identity|expression|rule|policy|statistics"
    "|sequence|materialized|aggregate|operator|cast|role|user|publication|subscription|event"
)
_MAY_DROP = re.compile(rf"\bdrop\s+(?!(?:{_HARMLESS})\b)|\bdrop\b.*\bcascade\b|\btruncate\b", re.IGNORECASE | re.DOTALL)
_DELETES = re.compile(rf"\bdelete\s+from\s+(?:only\s+)?{_NAME}", re.IGNORECASE)
_MERGES = re.compile(rf"\bmerge\s+into\s+(?:only\s+)?{_NAME}.*\bdelete\b", re.IGNORECASE | re.DOTALL)
_UPDATES = re.compile(rf"\bupdate\s+(?:only\s+)?{_NAME}\s", re.IGNORECASE)
_SETS = re.compile(rf"(?:\bset|,)\s*\(?\s*{_NAME}\s*[=,)]", re.IGNORECASE)
_TRUNCATES = re.compile(
    rf"\btruncate\s+(?:table\s+)?((?:only\s+)?{_NAME}(?:\s*,\s*(?:only\s+)?{_NAME})*)", re.IGNORECASE
)
_ALTERS = re.compile(rf"\s*alter\s+table\s+(?:if\s+exists\s+)?(?:only\s+)?{_NAME}", re.IGNORECASE)
_TYPE = re.compile(
    rf"\balter\s+(?:column\s+)?{_NAME}\s+(?:set\s+data\s+)?type\s+(?P<type>[^,()]+?(?:\([^)]*\))?[^,()]*?)"
    r"(?:\s+collate\s+\S+)?(?:\s+using\s+(?P<using>.+?))?\s*(?:,\s*(?=alter\b|add\b|drop\b)|;?\s*\Z)",
    re.IGNORECASE | re.DOTALL,
)
_WRITES_ROWS = re.compile(
    r"\s*(insert|update|delete|select)\b(?!.*\b(drop|truncate|alter)\b)", re.IGNORECASE | re.DOTALL
)
_REMEMBERED = 1000
_SAVEPOINT = re.compile(
    r"\s*(savepoint|release(?:\s+savepoint)?|rollback\s+to(?:\s+savepoint)?)\s+(\S+?)\s*;?\s*\Z", re.I
)

_LOCKED = "SELECT relation FROM pg_locks WHERE pid = pg_backend_pid() AND mode = 'AccessExclusiveLock'"
_CATALOGUE = """
SELECT c.oid, CASE WHEN pg_table_is_visible(c.oid) THEN c.relname ELSE n.nspname || '.' || c.relname END,
    format('%I.%I', n.nspname, c.relname), coalesce(pg_partition_root(c.oid)::oid, c.oid), pg_relation_filenode(c.oid),
    c.oid IN ({locked}),
    a.attnum, a.attname
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't'
    AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%'
ORDER BY c.oid, a.attnum""".replace("{locked}", _LOCKED)
_DELETED = """
SELECT coalesce(pg_partition_root(relid)::oid, relid), sum(n_tup_del)::bigint
FROM pg_stat_xact_user_tables WHERE n_tup_del > 0 GROUP BY 1"""
_STIRRED = """
SELECT coalesce(sum(n_tup_del) FILTER (WHERE schemaname NOT LIKE 'pg\\_%'), 0),
    coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del) FILTER (WHERE relname IN ('pg_class', 'pg_attribute')), 0)
FROM pg_stat_xact_all_tables"""
_SET_BY_KEYS = """
WITH RECURSIVE reached (oid) AS (
    SELECT {oid}::oid
    UNION SELECT conrelid FROM pg_constraint JOIN reached ON confrelid = reached.oid
    WHERE contype = 'f' AND confdeltype = 'c'
)
SELECT DISTINCT k.conrelid, a.attnum, a.attname FROM pg_constraint k JOIN reached ON k.confrelid = reached.oid
JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = ANY (k.conkey)
WHERE k.contype = 'f' AND (k.confdeltype IN ('n', 'd') OR k.confupdtype IN ('n', 'd')) AND NOT a.attnotnull"""


class Table(NamedTuple):
    """
    A table as the catalogue has it: its name for people and for statements, its file, its columns by number.

    Attributes:
        root: The partitioned table that it is a part of; else itself.
        ours: Whether this transaction has it for itself, as what it has made; what others make meanwhile is theirs.
    """

    name: str
    sql: str
    root: int
    file: int | None
    ours: bool
    columns: dict[int, str]


class Dropped(NamedTuple):
    """A table that goes, and what it held."""

    table: Table
    rows: int
    filled: dict[str, int]


class Mark(NamedTuple):
    """What was known when a savepoint began."""

    name: str
    deleted: Counter[int]
    own: Counter[int]
    undone: Counter[int]
    dropped: int
    columns: int
    truncated: int
    emptied: int


class ServerFindings:
    """
    The account of one migration.

    Attributes:
        losses: What is gone.
        removed: Every table and column that is gone or was in danger, whether or not it held anything; in lower case.
        created: The tables and columns that are there and were not.
        renamed: The tables and columns that were there, by what they are called now.
        dropped: The tables and columns that were there, and are not; by their names before.
    """

    def __init__(self) -> None:
        self.losses: list[Loss] = []
        self.removed: set[str] = set()
        self.created: list[str] = []
        self.renamed: dict[str, str] = {}
        self.dropped: list[str] = []

    def lose(self, kind: str, name: str, count: int) -> None:
        """Enter a loss, if there is any."""
        self.removed.add(name.lower())
        if count > 0:
            self.losses.append(Loss(kind=kind, name=name, count=count))


class ServerWatch(Watcher):
    """
    The eyes of the guard on a migration on PostgreSQL; the session tells it of every statement.

    Args:
        raw: The driver's connection.
        counting: Without it, only what the migration makes is noted.
    """

    def __init__(self, raw: Any, *, counting: bool = True) -> None:
        self._raw, self._counting = raw, counting
        self.spent = 0.0
        self.busy = False
        self.unseen: set[str] = set()
        self._stale = False
        self._begin()

    def _begin(self) -> None:
        self._before = self._catalogue()
        self._at_start = self._deleted()
        self._stirred = self._rows(_STIRRED)[0]
        self._own: Counter[int] = Counter()
        self._undone: Counter[int] = Counter()
        self._uncounted: set[int] = set()
        self._own_of: Counter[str] = Counter()
        self._uncounted_of: set[str] = set()
        self._set_itself: set[tuple[int, str]] = set()
        self._dropped: list[Dropped] = []
        self._columns: list[tuple[int, str, int]] = []
        self._truncated: list[tuple[str, str, int]] = []
        self._filled: dict[tuple[int, str], int] = {}
        self._emptied: list[tuple[int, int]] = []
        self._savepoints: list[Mark] = []
        self._running: int | None = None
        self._noted: dict[str, int | None] = {}
        self._going_back: Mark | None = None

    # What the session tells

    def hear(self, action: int, what: str | None, name: str | None, schema: str | None, trigger: str | None) -> None:
        """Nothing: that is SQLite's."""

    def before(self, sql: str, parameters: Any, many: bool) -> None:
        """A statement is about to run."""
        self._running = None
        if self._stale:
            self._stale = False
            self._begin()
        if not self._counting:
            return
        if sql in self._noted:
            # Said once, it need not be asked again what it says: a loop may run it for each row.
            self._running = self._noted[sql]
            return
        bare = without_literals(sql)
        if _SAVEPOINT.match(bare):
            self._savepoint(bare)
            return
        self._note_own(bare)
        if _WRITES_ROWS.match(bare) and len(self._noted) < _REMEMBERED:
            self._noted[sql] = self._running
        else:
            # What names mean may be another thing from here on.
            self._noted.clear()
        if _MAY_DROP.search(bare):
            self._try_out(sql, bare, parameters, many)
        elif _ALTERS.match(bare) and re.search(r"\btype\b", bare, re.IGNORECASE):
            self._changing_type(bare)

    def after(self, rowcount: int) -> None:
        """It has run."""
        if self._going_back is not None:
            # PostgreSQL goes on counting what was tried; before this, a transaction that had failed told nothing.
            self._undone = self._undone + (
                self._deleted() - self._going_back.deleted - self._undone_since(self._going_back)
            )
            self._going_back = None
        if self._running is not None and rowcount > 0:
            self._own[self._running] += rowcount
        self._running = None

    def settle(self) -> None:
        """Nothing to take back: a statement that failed has ended the transaction, or a savepoint is rolled back."""

    # What statements say of themselves

    def _undone_since(self, mark: Mark) -> Counter[int]:
        """What was counted as undone inside of it already."""
        return self._undone - mark.undone

    def _note_own(self, bare: str) -> None:
        deletes = [*_DELETES.findall(bare), *_MERGES.findall(bare)]
        for name in deletes:
            oid = self._oid(name)
            if oid is None:
                continue
            if bare.lstrip().lower().startswith("delete") and len(deletes) == 1:
                self._running = self._root(oid)
            else:
                self._uncounted.add(self._root(oid))
            self._watch_keys(oid)
        for name in _UPDATES.findall(bare):
            oid = self._oid(name)
            if oid is not None:
                self._set_itself |= {(oid, _plain(column).lower()) for column in _SETS.findall(bare)}
                self._watch_keys(oid)
                if self._is_part(oid):
                    # A row that goes to another partition is deleted in its own.
                    self._uncounted.add(self._root(oid))

    def _watch_keys(self, oid: int) -> None:
        """Count the values that a foreign key would make NULL when rows of a table go, or change their keys."""
        for child, _, column in self._rows(_SET_BY_KEYS.format(oid=oid)):
            if (child, column) not in self._filled:
                name = self._rows(f"SELECT {child}::regclass::text")[0][0]
                self._filled[child, column] = self._count(name, column)

    def _root(self, oid: int) -> int:
        return int(self._rows(f"SELECT coalesce(pg_partition_root({oid})::oid, {oid}::oid)")[0][0])

    def _is_part(self, oid: int) -> bool:
        return bool(self._rows(f"SELECT 1 FROM pg_inherits WHERE inhrelid = {oid} OR inhparent = {oid}"))

    def _savepoint(self, bare: str) -> None:
        found = _SAVEPOINT.match(bare)
        assert found is not None
        word, name = found[1].lower(), _plain(found[2]).lower()
        if word == "savepoint":
            kept = (len(self._dropped), len(self._columns), len(self._truncated), len(self._emptied))
            self._savepoints.append(Mark(name, self._deleted(), Counter(self._own), Counter(self._undone), *kept))
            return
        places = [i for i, mark in enumerate(self._savepoints) if mark.name == name]
        if not places:
            return
        if word.startswith("release"):
            del self._savepoints[places[-1] :]
            return
        self._going_back = mark = self._savepoints[places[-1]]
        del self._savepoints[places[-1] + 1 :]
        self._own = Counter(mark.own)
        del self._dropped[mark.dropped :], self._columns[mark.columns :]
        del self._truncated[mark.truncated :], self._emptied[mark.emptied :]

    # What a statement would take along

    def _try_out(self, sql: str, bare: str, parameters: Any, many: bool) -> None:
        if many:
            return
        with self._undone_again() as cursor:
            # What is refused now is refused again when it is to run.
            try:
                cursor.execute(sql, parameters) if parameters else cursor.execute(sql)
            except Exception:
                return
            then = self._catalogue()
            # What it drops or empties it has for itself; what others do meanwhile is theirs.
            locked = {oid for (oid,) in self._rows(_LOCKED)}
        there = {oid: table for oid, table in self._catalogue().items() if oid in locked}
        named = {self._oid(name) for name in self._truncated_names(bare)}
        for oid, table in there.items():
            if oid not in then:
                # A partition that goes with the whole is counted with it.
                if table.root == oid or table.root in then:
                    self._going(oid, table)
                continue
            for number, column in table.columns.items():
                if number not in then[oid].columns and not self._is_new(oid, number):
                    self._columns.append((oid, self._first(oid, number, column), self._count(table.sql, column)))
            if then[oid].file != table.file and "truncate" in bare.lower():
                if oid in named:
                    self._uncounted.add(oid)
                elif oid in self._before:
                    self._emptied.append((oid, self._count(table.sql)))

    def _going(self, oid: int, table: Table) -> None:
        if oid not in self._before:
            self._own_of[table.name] += self._own[oid]
            self._uncounted_of |= {table.name} if oid in self._uncounted else set()
            return
        names = list(table.columns.values())
        counted = ", ".join(f"count({_quoted(name)})" for name in names)
        rows, *filled = self._rows(f"SELECT count(*){', ' if names else ''}{counted} FROM {table.sql}")[0]
        self._dropped.append(Dropped(self._before[oid], rows, dict(zip(names, filled, strict=True))))

    def _is_new(self, oid: int, number: int) -> bool:
        return oid not in self._before or number not in self._before[oid].columns

    def _first(self, oid: int, number: int, column: str) -> str:
        """What a column was called before the migration."""
        return self._before[oid].columns.get(number, column)

    def _truncated_names(self, bare: str) -> list[str]:
        found = _TRUNCATES.search(bare)
        return re.findall(rf"(?:only\s+)?{_NAME}", found[1], re.IGNORECASE) if found is not None else []

    def _changing_type(self, bare: str) -> None:
        altered = _ALTERS.match(bare)
        oid = self._oid(altered[1]) if altered is not None else None
        if altered is None or oid is None or oid not in self._before:
            return
        table = self._catalogue()[oid]
        for change in _TYPE.finditer(bare, altered.end()):
            column = _plain(change[1])
            number = next((n for n, name in table.columns.items() if name == column), None)
            if number is None or self._is_new(oid, number):
                continue
            self._filled.setdefault((oid, column), self._count(table.sql, column))
            self._look_for_truncation(oid, table, column, self._first(oid, number, column), change)

    def _look_for_truncation(self, oid: int, table: Table, column: str, first: str, change: re.Match[str]) -> None:
        """Values that a cast to the new type and back makes others; any other USING is a mapping."""
        name, using = _quoted(column), change["using"]
        itself = rf'"?{re.escape(column)}"?'
        cast = rf"\(*\s*{itself}\s*::[^:]+|cast\s*\(\s*{itself}\s+as\s.+\)"
        if using is not None and not re.fullmatch(cast, using.strip(), re.IGNORECASE | re.DOTALL):
            return
        where = f"attrelid = {oid} AND attname = {_text(column)}"
        type_ = self._rows(f"SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE {where}")[0][0]
        back = f"(({using or name})::{change['type'].strip()})::{type_}::text IS DISTINCT FROM {name}::text"
        # There may be no way back from a type to the other.
        with suppress(Exception), self._undone_again():
            lost = self._rows(f"SELECT count(*) FROM {table.sql} WHERE {name} IS NOT NULL AND {back}")[0][0]
            if lost:
                self._truncated.append((table.name, first, lost))

    # At the end

    @property
    def in_danger(self) -> bool:
        """Whether anything was done that is to be looked into."""
        counted = self._dropped or self._columns or self._truncated or self._filled or self._emptied
        return bool(counted) or self._rows(_STIRRED)[0] != self._stirred

    def pause(self) -> None:
        """Everything so far is committed, and nothing of it was in danger."""
        self._stale = True

    def begin_anew(self) -> None:
        """Everything so far is committed: from here on, what there is now is what was there before."""
        self._stale = True

    def close(self) -> None:
        """Nothing was made for counting."""

    def findings(self) -> ServerFindings:
        """What is gone, in the transaction that is open."""
        found, then = ServerFindings(), self._catalogue()
        if self._counting:
            self._find_dropped(found, then)
            self._find_rows(found, then)
            self._find_values(found, then)
        self._find_new(found, then)
        return found

    def _find_dropped(self, found: ServerFindings, then: dict[int, Table]) -> None:
        heirs = {table.name: (oid, table) for oid, table in then.items() if oid not in self._before and table.ours}
        for was in self._dropped:
            name = was.table.name
            if name not in heirs:
                found.lose("table", name, was.rows)
                continue
            oid, heir = heirs[name]
            # What the migration itself has deleted of the heir, or of one between, is its own affair.
            own = self._own[oid] + self._own_of[name]
            gone = max(0, was.rows - self._count(heir.sql) - own)
            found.lose("rows", name, 0 if oid in self._uncounted or name in self._uncounted_of else gone)
            gone += own
            theirs = set(heir.columns.values())
            for column, filled in was.filled.items():
                if column not in theirs:
                    found.lose("column", f"{name}.{column}", filled)
                elif (oid, column.lower()) not in self._set_itself:
                    found.lose("nulls", f"{name}.{column}", filled - self._count(heir.sql, column) - gone)
        for oid, column, count in self._columns:
            found.lose("column", f"{self._before[oid].name}.{column}", count)

    def _find_rows(self, found: ServerFindings, then: dict[int, Table]) -> None:
        for oid, count in self._emptied:
            found.lose("rows", self._before[oid].name, count)
        lost = self._deleted() - self._at_start - self._undone - self._own
        for oid in {*lost, *self._own, *self._uncounted}:
            if oid in self._before and oid in then:
                found.lose("rows", self._before[oid].name, 0 if oid in self._uncounted else lost[oid])
        for oid, column in self._set_itself:
            if oid in self._before:
                found.removed.add(f"{self._before[oid].name}.{column}".lower())

    def _find_values(self, found: ServerFindings, then: dict[int, Table]) -> None:
        for table, column, count in self._truncated:
            found.lose("truncated", f"{table}.{column}", count)
        gone = self._deleted() - self._at_start - self._undone
        for (oid, column), filled in self._filled.items():
            if oid not in then or (oid, column.lower()) in self._set_itself:
                continue
            number = next((n for n, name in self._before.get(oid, then[oid]).columns.items() if name == column), None)
            now = then[oid].columns.get(number) if number is not None else None
            if now is not None:
                name = f"{self._before.get(oid, then[oid]).name}.{column}"
                found.lose("nulls", name, filled - self._count(then[oid].sql, now) - gone[oid])

    def _find_new(self, found: ServerFindings, then: dict[int, Table]) -> None:
        for oid, was in self._before.items():
            there = then[oid].columns if oid in then else {}
            gone = [f"{was.name}.{column}" for number, column in was.columns.items() if number not in there]
            found.dropped += gone if oid in then else [was.name]
        for oid, table in then.items():
            if oid not in self._before:
                found.created += [table.name] if table.ours else []
                continue
            was = self._before[oid]
            if was.name != table.name:
                found.renamed[was.name] = table.name
            for number, column in table.columns.items():
                first = was.columns.get(number)
                if first is None:
                    found.created.append(f"{table.name}.{column}")
                elif first != column:
                    found.renamed[f"{was.name}.{first}"] = f"{table.name}.{column}"

    # Questions

    def _catalogue(self) -> dict[int, Table]:
        found: dict[int, Table] = {}
        for oid, name, sql, root, file, ours, number, column in self._rows(_CATALOGUE):
            table = found.setdefault(oid, Table(name, sql, root, file, bool(ours), {}))
            if number is not None:
                table.columns[number] = column
        return found

    def _deleted(self) -> Counter[int]:
        return Counter(dict(self._rows(_DELETED)))

    def _count(self, table: str, column: str | None = None) -> int:
        what = "*" if column is None else _quoted(column)
        return int(self._rows(f"SELECT count({what}) FROM {table}")[0][0])

    def _oid(self, name: str) -> int | None:
        found: int | None = self._rows(f"SELECT to_regclass({_text(name)})::oid")[0][0]
        return int(found) if found is not None else None

    def _rows(self, sql: str) -> list[tuple[Any, ...]]:
        began, before, self.busy = time.perf_counter(), self.busy, True
        cursor = self._raw.cursor()
        try:
            cursor.execute(sql)
            return [tuple(row) for row in cursor.fetchall()]
        finally:
            cursor.close()
            self.busy = before
            self.spent += time.perf_counter() - began

    @contextmanager
    def _undone_again(self) -> Iterator[Any]:
        """A savepoint that is rolled back at the end."""
        cursor = self._raw.cursor()
        cursor.execute("SAVEPOINT sqlmig_trial")
        try:
            yield cursor
        finally:
            cursor.execute("ROLLBACK TO SAVEPOINT sqlmig_trial")
            cursor.execute("RELEASE SAVEPOINT sqlmig_trial")
            cursor.close()


def held_by(raw: Any, name: str) -> Loss | None:
    """The rows of a table, or the values of a column, of that name; None where it is there no more."""
    parts = name.split(".")
    cursor = raw.cursor()
    try:
        for kind, table, column in (("table", parts, None), ("column", parts[:-1], parts[-1])):
            quoted = ".".join(map(_quoted, table))
            cursor.execute(f"SELECT to_regclass({_text(quoted)})::oid")
            (oid,) = cursor.fetchone()
            if oid is None or not table:
                continue
            if column is not None:
                known = f"SELECT 1 FROM pg_attribute WHERE attrelid = {oid} AND attname = {_text(column)}"
                cursor.execute(f"{known} AND NOT attisdropped")
                if cursor.fetchone() is None:
                    return None
            cursor.execute(f"SELECT count({'*' if column is None else _quoted(column)}) FROM {quoted}")
            return Loss(kind=kind, name=name, count=cursor.fetchone()[0])
        return None
    finally:
        cursor.close()


def _plain(name: str) -> str:
    """A name as the catalogue has it, its schema left out."""
    last = re.split(r'\.(?=(?:[^"]*"[^"]*")*[^"]*$)', name)[-1].strip()
    return last[1:-1].replace('""', '"') if last.startswith('"') else last.lower()


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
