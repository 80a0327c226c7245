"""What rows of a table have to be like, as the database says: which values must be there, and which are checked."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from ..backends.raw import ask_any
from ..backends.sqlite import ask, quoted
from ..schema.sqlite.definition import folded
from ..schema.sqlite.reader import DefinitionError, parse
from ..transfer.shapes import Table, mysql_tables, postgresql_tables, sqlite_tables

__all__ = ["Check", "Sampled", "sampled_tables"]


class Check(NamedTuple):
    """
    A CHECK.

    Attributes:
        name: By which the database tells that it is broken; empty where it tells the expression.
        text: The expression.
    """

    name: str
    text: str


class Sampled(NamedTuple):
    """
    One table.

    Attributes:
        required: Columns that must not be NULL.
        given: Columns that the database gives a value where none is written: a default, or the next number.
        counted: Those of them that take the next number, and are left to it.
        checks: Its CHECKs.
        labels: The values of columns that have a list of them.
    """

    table: Table
    required: frozenset[str]
    given: frozenset[str]
    counted: frozenset[str]
    checks: tuple[Check, ...] = ()
    labels: Mapping[str, Sequence[str]] = MappingProxyType({})


def sampled_tables(raw: Any, dialect: str) -> list[Sampled]:
    """The tables whose rows are data of their own: indexes for searching are not."""
    read: Callable[[Any], list[Sampled]] = {"sqlite": _sqlite, "postgresql": _postgresql}.get(dialect, _mysql)
    return read(raw)


def _sqlite(raw: Any) -> list[Sampled]:
    texts = dict(ask(raw, "SELECT name, sql FROM main.sqlite_master WHERE type = 'table'"))
    spelled = {folded(name): name for name in texts}
    found = []
    for table in sqlite_tables(raw):
        # A reference may spell its parent in another case.
        references = [one._replace(parent=spelled.get(folded(one.parent), one.parent)) for one in table.references]
        table = table._replace(references=tuple(references))
        if table.derived:
            continue
        rows = ask(raw, f"PRAGMA main.table_xinfo({quoted(table.name)})")
        required = {row[1] for row in rows if row[3]} | set(table.key)
        given = {row[1] for row in rows if row[4] is not None}
        checks: tuple[Check, ...] = ()
        counted = {"rowid"} if table.module is not None and table.module.startswith("fts") else set()
        if table.module is None:
            try:
                read = parse(texts[table.name])
            except DefinitionError:
                pass
            else:
                found_checks = [one for one in read.all_constraints if one.kind == "check"]
                checks = tuple(Check(one.name or "", read.body_of(one)) for one in found_checks)
                alias = read.rowid_alias
                counted = {row[1] for row in rows if alias is not None and folded(row[1]) == folded(alias)}
        found.append(Sampled(table, frozenset(required), frozenset(given | counted), frozenset(counted), checks))
    return found


_PG_COLUMNS = """
SELECT c.relname, a.attname, a.attnotnull OR t.typnotnull, a.atthasdef OR a.attidentity <> '',
    a.attidentity <> '' OR coalesce(pg_get_expr(d.adbin, d.adrelid) LIKE 'nextval(%', false),
    ARRAY(SELECT e.enumlabel::text FROM pg_enum e WHERE e.enumtypid IN (t.oid, t.typbasetype) ORDER BY e.enumsortorder),
    ARRAY(SELECT k.conname || ' ' || pg_get_constraintdef(k.oid) FROM pg_constraint k WHERE k.contypid = t.oid)
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_type t ON t.oid = a.atttypid
    LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p') AND a.attnum > 0
    AND NOT a.attisdropped"""
_PG_CHECKS = """
SELECT c.relname, k.conname, pg_get_constraintdef(k.oid) FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
WHERE k.contype = 'c' AND k.connamespace = current_schema()::regnamespace ORDER BY k.conname"""


def _postgresql(raw: Any) -> list[Sampled]:
    facts = _Facts()
    for table, name, required, given, counted, labels, of_domain in ask_any(raw, _PG_COLUMNS):
        facts.add(table, name, required, given, counted, labels)
        for text in of_domain:
            # The name of a domain's has no blank, most often; and if so, all columns are tried instead of one.
            called, _, check = text.partition(" ")
            facts.checks.setdefault(table, []).append(Check(called, re.sub(r"\bVALUE\b", quoted(name), check)))
    for table, called, check in ask_any(raw, _PG_CHECKS):
        facts.checks.setdefault(table, []).append(Check(called, check))
    return [facts.of(table) for table in postgresql_tables(raw)]


_MY_COLUMNS = """
SELECT table_name, column_name, is_nullable = 'NO', column_default IS NOT NULL, extra, column_type
FROM information_schema.columns WHERE table_schema = DATABASE()"""
_MY_CHECKS = """
SELECT t.table_name, k.constraint_name, k.check_clause FROM information_schema.check_constraints k
JOIN information_schema.table_constraints t
    ON t.constraint_schema = k.constraint_schema AND t.constraint_name = k.constraint_name {same}
WHERE k.constraint_schema = DATABASE() AND t.constraint_type = 'CHECK' ORDER BY k.constraint_name"""


def _mysql(raw: Any) -> list[Sampled]:
    facts = _Facts()
    for table, name, required, given, extra, kind in ask_any(raw, _MY_COLUMNS):
        counted = "auto_increment" in (extra or "").lower()
        listed = kind.lower().startswith(("enum(", "set("))
        labels = [text.replace("''", "'") for text in re.findall(r"'((?:[^']|'')*)'", kind)] if listed else []
        facts.add(table, name, required, given or counted, counted, labels)
    # A name of MariaDB's is one of its table's only.
    maria = "mariadb" in str(ask_any(raw, "SELECT VERSION()")[0][0]).lower()
    query = _MY_CHECKS.format(same="AND t.table_name = k.table_name" if maria else "")
    for table, called, check in ask_any(raw, query):
        facts.checks.setdefault(table, []).append(Check(called, check))
    return [facts.of(table) for table in mysql_tables(raw)]


class _Facts:
    """What is told of columns one by one, by table."""

    def __init__(self) -> None:
        self.required: dict[str, set[str]] = {}
        self.given: dict[str, set[str]] = {}
        self.counted: dict[str, set[str]] = {}
        self.labels: dict[str, dict[str, Sequence[str]]] = {}
        self.checks: dict[str, list[Check]] = {}

    def add(self, table: str, name: str, required: Any, given: Any, counted: Any, labels: Sequence[str]) -> None:
        for is_so, kind in ((required, self.required), (given, self.given), (counted, self.counted)):
            if is_so:
                kind.setdefault(table, set()).add(name)
        if labels:
            self.labels.setdefault(table, {})[name] = list(labels)

    def of(self, table: Table) -> Sampled:
        return Sampled(
            table,
            frozenset(self.required.get(table.name, ())),
            frozenset(self.given.get(table.name, ())),
            frozenset(self.counted.get(table.name, ())),
            tuple(self.checks.get(table.name, ())),
            self.labels.get(table.name, {}),
        )
