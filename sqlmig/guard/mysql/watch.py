"""
MySQLWatch: looks at each statement of a migration on MariaDB or MySQL before it runs.

A statement on the schema commits, and nothing brings back what it has removed. So what it would remove is counted and
judged before it is carried out, together with what foreign keys and triggers have removed since the last commit.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from typing import Any, NamedTuple

from ...backends.mysql_statements import is_read, may_commit, parts
from ...results import Loss
from ...schema.watched import Watcher
from . import statements
from .census import Key, MySQLCensus
from .findings import MySQLFindings, Names

__all__ = ["MySQLWatch"]

# Statements whose effect is known: a script may have a hundred thousand different ones.
_REMEMBERED = 1000


class _Held(NamedTuple):
    """What a table held when something else than a statement of the migration's own began to endanger it."""

    table: str
    rows: int
    filled: dict[str, int]


class MySQLWatch(Watcher):
    """
    The eyes of the guard on a migration; the session tells it of every statement.

    Args:
        raw: The driver's connection.
        judge: Called with all that is lost when a statement is about to make it permanent; raises to refuse that.
        counting: Without it, only what the migration makes is noted.
    """

    busy = False
    """Its own questions go past SQLAlchemy, and nobody hears of them."""

    blind = "in a way that no statement told"

    def __init__(
        self,
        raw: Any,
        judge: Callable[[list[Loss]], None],
        *,
        counting: bool = True,
        lift: Callable[[], object] | None = None,
    ) -> None:
        self._census, self._judge, self._counting = MySQLCensus(raw, lift), judge, counting
        self._touched = True
        self._begin()

    def _begin(self) -> None:
        if self._touched:
            self._names, self._ansi = Names(self._census.tables()), self._census.ansi()
            self._forget_schema()
        self._losses: list[Loss] = []
        self._ahead: list[Loss] = []
        self._renaming: list[Callable[[], None]] = []
        self._removed: set[str] = set()
        self._held: dict[str, _Held] = {}
        self._touched = self._stale = False
        self._gone: set[str] = set()
        self._savepoints: list[tuple[str, list[Loss], dict[str, _Held]]] = []

    def _begin_if_stale(self) -> None:
        if self._stale:
            self._begin()

    def _forget_schema(self) -> None:
        """Keys and triggers may be others from here on."""
        self._keys: list[Key] | None = None
        self._triggers: list[tuple[str, str]] = []
        self._spelled: dict[str, str] = {}
        self._noted: dict[str, tuple[list[str], set[str]] | None] = {}

    # What the session tells

    def hear(self, action: int, what: str | None, name: str | None, schema: str | None, trigger: str | None) -> None:
        """Nothing: that is SQLite's."""

    def before(self, sql: str, parameters: Any, many: bool) -> None:
        """A statement is about to run."""
        self._begin_if_stale()
        self._ahead, self._renaming = [], []
        if sql in self._noted:
            self._endanger(self._noted[sql])
        elif (savepoint := statements.savepoint(sql)) is not None:
            self._savepoint(*savepoint)
        elif is_read(sql):
            return
        elif not may_commit(sql):
            self._writing(sql)
        else:
            self._touched = True
            for part in parts(sql, ansi=self._ansi):
                self._changing(part)
            self._settle_all()
            if self._counting:
                self._judge([*self._losses, *self._ahead])

    def after(self, rowcount: int) -> None:
        """It has run."""
        self._losses += self._ahead
        for rename in self._renaming:
            rename()
        if self._touched:
            self._forget_schema()
        self._ahead, self._renaming = [], []

    def settle(self) -> None:
        """Nothing to take back: what a statement that failed would have removed was not noted yet."""

    def _savepoint(self, word: str, name: str) -> None:
        """What was found in a savepoint that is rolled back is not so."""
        places = [place for place, mark in enumerate(self._savepoints) if mark[0] == name]
        if word == "savepoint":
            self._savepoints.append((name, list(self._losses), dict(self._held)))
        elif places and word == "release":
            del self._savepoints[places[-1] :]
        elif places:
            _, losses, held = self._savepoints[places[-1]]
            self._losses, self._held = list(losses), dict(held)
            del self._savepoints[places[-1] + 1 :]

    # Statements that write rows: what else they delete

    def _writing(self, sql: str) -> None:
        found = [statements.targets(part) for part in parts(sql, ansi=self._ansi)]
        targets = [name.lower() for names in found for name in names or ()]
        effect = (targets, self._reached(targets)) if self._counting and targets else None
        if len(self._noted) < _REMEMBERED:
            self._noted[sql] = effect
        self._endanger(effect)

    def _endanger(self, effect: tuple[list[str], set[str]] | None) -> None:
        """Count what is not the statement's own affair, before it runs for the first time."""
        targets, reached = effect if effect is not None else ([], set())
        for table in targets:
            # What it does to a table that it names is its own affair; what others did until now is not.
            self._settle(table)
        for table in sorted(reached - set(targets) - self._held.keys()):
            if self._names.first(table) is not None:
                self._held[table] = self._look_into(table)

    def _reached(self, targets: Collection[str]) -> set[str]:
        """The tables that foreign keys and triggers write when rows of *targets* go or change."""
        if self._keys is None:
            self._keys, self._triggers = self._census.keys(), self._census.triggers()
            self._spelled = {table.lower(): table for table in self._census.tables()}
        reached, ahead = set(targets), list(targets)
        while ahead:
            table = ahead.pop()
            found = {key.table.lower() for key in self._keys if key.refers_to.lower() == table}
            for owner, body in self._triggers:
                if owner.lower() == table:
                    words = set(re.findall(r"[\w$]+", body.lower()))
                    found |= words & self._spelled.keys()
            ahead += found - reached
            reached |= found
        return reached

    def _look_into(self, table: str) -> _Held:
        columns = {key.column for key in self._keys or () if key.table.lower() == table and key.sets_null}
        spelled = self._spelled.get(table, table)
        filled = {column: self._census.count(spelled, column) for column in sorted(columns)}
        return _Held(spelled, self._census.count(spelled), filled)

    def _settle(self, table: str) -> None:
        held = self._held.pop(table, None)
        name = self._names.first(table)
        if held is None or name is None:
            return
        gone = held.rows - self._census.count(held.table)
        self._lose(self._losses, "rows", name, gone)
        for column, filled in held.filled.items():
            nulls = filled - self._census.count(held.table, column) - max(gone, 0)
            self._lose(self._losses, "nulls", f"{name}.{column}", nulls)

    def _settle_all(self) -> None:
        for table in list(self._held):
            self._settle(table)

    def _lose(self, losses: list[Loss], kind: str, name: str, count: int) -> None:
        self._removed.add(name.lower())
        if count > 0:
            losses.append(Loss(kind=kind, name=name, count=count))

    # Statements on the schema

    def _changing(self, part: str) -> None:
        schema = statements.dropped_schema(part)
        if schema is not None:
            for table in self._census.tables(schema) if self._counting else ():
                self._lose(self._ahead, "table", f"{schema}.{table}", self._census.count(f"{schema}.{table}"))
            return
        replaced, emptied = statements.replaced(part), statements.truncated(part)
        for table in [*statements.dropped(part), *([replaced] if replaced is not None else [])]:
            self._going(table)
        if emptied is not None and (first := self._names.first(emptied)) is not None and self._counting:
            self._lose(self._ahead, "rows", first, self._census.count_if_there(emptied))
        for old, new in statements.renamed(part):
            # At once: a later one of the same statement may take the name that is free then.
            self._renaming.append(lambda old=old, new=new: self._names.rename(old, new))  # type: ignore[misc]
        said = statements.altered(part)
        if said is not None:
            self._altering(said)

    def _going(self, table: str) -> None:
        first = self._names.first(table)
        if first is not None and self._counting:
            self._lose(self._ahead, "table", first, self._census.count_if_there(table))
        if first is not None:
            self._gone.add(first)
        self._renaming.append(lambda: self._names.forget(table))

    def _altering(self, said: statements.Altered) -> None:
        table, names = said.table, self._names
        if self._counting:
            for column in said.columns:
                if (was := names.first_column(table, column)) is not None:
                    self._lose(self._ahead, "column", was, self._census.count_if_there(table, column))
            if said.partitions and (first := names.first(table)) is not None:
                parts_ = [] if [name.upper() for name in said.partitions] == ["ALL"] else said.partitions
                self._lose(self._ahead, "rows", first, self._census.count_if_there(table, None, parts_))
            for change in said.redefined:
                if (was := names.first_column(table, change.column)) is not None:
                    nulls, cut = self._census.changed_by(table, change.column, change.type)
                    self._lose(self._ahead, "nulls", was, nulls)
                    self._lose(self._ahead, "truncated", was, cut)
        for column in said.columns:
            self._gone |= {was for was in [names.first_column(table, column)] if was is not None}
            self._renaming.append(lambda column=column: names.forget(table, column))  # type: ignore[misc]
        pairs = [*said.renamed, *((one.column, one.now) for one in said.redefined if one.column != one.now)]
        self._renaming.append(lambda: names.rename_columns(table, pairs))
        if said.table_now is not None:
            now = said.table_now
            self._renaming.append(lambda: names.rename(table, now))

    # At the end

    @property
    def spent(self) -> float:
        """Seconds that counting has taken."""
        return self._census.spent

    @property
    def unseen(self) -> set[str]:
        """Tables that are gone, and that no statement named: a routine has dropped them."""
        if not self._touched or not self._counting or self._stale:
            return set()
        there = {self._names.first(table) for table in self._census.tables()}
        return {table for table in self._names.before if table not in there | self._gone}

    @property
    def in_danger(self) -> bool:
        """Whether anything was done that is to be looked into."""
        self._begin_if_stale()
        return bool(self._touched or self._held or self._losses)

    def pause(self) -> None:
        """Everything so far is committed, and nothing of it was in danger."""
        self._stale = True

    def begin_anew(self) -> None:
        """Everything so far is committed: from here on, what there is now is what was there before."""
        self._stale = True

    def close(self) -> None:
        """Nothing was made for counting that is there still."""

    def findings(self) -> MySQLFindings:
        """What is gone, in the transaction that is open."""
        self._begin_if_stale()
        self._settle_all()
        return MySQLFindings(self._names, self._census.tables(), _added(self._losses), self._removed)


def _added(losses: Collection[Loss]) -> list[Loss]:
    """Each of them once, with what they come to."""
    counts: dict[tuple[str, str], int] = {}
    for loss in losses:
        counts[loss.kind, loss.name] = counts.get((loss.kind, loss.name), 0) + loss.count
    return [Loss(kind=kind, name=name, count=count) for (kind, name), count in counts.items()]
