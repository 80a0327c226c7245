"""
ServerWatch: looks at each statement of a migration on PostgreSQL, and counts what the server will not tell afterwards.

Rows: the statistics of the transaction count what was deleted of each table, by whomever; what the migration's own
statements told is taken off. Tables and columns: the catalogue before and after, which knows them by number, so that a
new name is no loss. A statement that may drop something is carried out twice: once inside a savepoint, to see what it
would take along, which is counted when that is undone; a DROP costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...schema.watched import Watcher
from ...sql_text import without_literals
from . import statements
from .census import ServerCensus, Table
from .findings import ServerFindings
from .ledger import Dropped, Mark, ServerLedger

__all__ = ["ServerWatch"]

# Statements whose effect is known: a script may have a hundred thousand different ones.
_REMEMBERED = 1000


class ServerWatch(Watcher):
    """
    The eyes of the guard on a migration; the session tells it of every statement.

    Args:
        raw: The driver's connection.
        counting: Without it, only what the migration makes is noted.
    """

    busy = False
    """Its own questions go past SQLAlchemy, and nobody hears of them."""

    def __init__(self, raw: Any, *, counting: bool = True, lift: Callable[[], object] | None = None) -> None:
        self._census, self._counting = ServerCensus(raw, lift), counting
        self.unseen: set[str] = set()
        self._begin()

    def _begin(self) -> None:
        census = self._census
        self._ledger = ServerLedger(census.tables(), census.deleted(), census.stirred())
        self._stale = False
        self._savepoints: list[Mark] = []
        self._running: int | None = None
        self._noted: dict[str, int | None] = {}
        self._going_back: Mark | None = None

    def _begin_if_stale(self) -> None:
        if self._stale:
            self._begin()

    # What the session tells

    def hear(self, action: int, what: str | None, name: str | None, schema: str | None, trigger: str | None) -> None:
        """Nothing: that is SQLite's."""

    def before(self, sql: str, parameters: Any, many: bool) -> None:
        """A statement is about to run."""
        self._running = None
        self._begin_if_stale()
        if not self._counting:
            return
        if sql in self._noted:
            # Said once, it need not be asked again what it says: a loop may run it for each row.
            self._running = self._noted[sql]
            return
        bare = without_literals(sql, "postgresql")
        said = statements.savepoint(bare)
        if said is not None:
            self._savepoint(said)
            return
        self._note_own(bare)
        if statements.only_writes_rows(bare) and len(self._noted) < _REMEMBERED:
            self._noted[sql] = self._running
        else:
            # What names mean may be another thing from here on.
            self._noted.clear()
        if not statements.may_drop(bare):
            self._changing_types(bare)
        elif not many:
            self._try_out(sql, parameters, statements.truncated(bare), "truncate" in bare.lower())

    def after(self, rowcount: int) -> None:
        """It has run."""
        if self._going_back is not None:
            # Before this, a transaction that had failed told nothing.
            self._ledger.note_undone(self._going_back, self._census.deleted())
            self._going_back = None
        if self._running is not None and rowcount > 0:
            self._ledger.own[self._running] += rowcount
        self._running = None

    def settle(self) -> None:
        """Nothing to take back: a statement that failed has ended the transaction, or a savepoint is rolled back."""

    # What statements say of themselves

    def _note_own(self, bare: str) -> None:
        deleted = statements.deleted_from(bare)
        for oid in filter(None, map(self._census.oid, deleted)):
            if statements.is_delete(bare) and len(deleted) == 1:
                self._running = self._census.root(oid)
            else:
                self._ledger.uncounted.add(self._census.root(oid))
            self._watch_keys(oid)
        for oid in filter(None, map(self._census.oid, statements.updated(bare))):
            self._ledger.set_itself |= {(oid, column) for column in statements.set_columns(bare)}
            self._watch_keys(oid)
            if self._census.is_part(oid):
                # A row that goes to another partition is deleted in its own.
                self._ledger.uncounted.add(self._census.root(oid))

    def _watch_keys(self, oid: int) -> None:
        """Count the values that a foreign key would make NULL when rows of a table go, or change their keys."""
        for child, name, column in self._census.set_by_keys(oid):
            if (child, column) not in self._ledger.filled:
                self._ledger.filled[child, column] = self._census.count(name, column)

    def _savepoint(self, said: statements.SavepointSaid) -> None:
        if said.word == "SAVEPOINT":
            self._savepoints.append(self._ledger.mark(said.name, self._census.deleted()))
            return
        places = [i for i, mark in enumerate(self._savepoints) if mark.name == said.name]
        if not places:
            return
        if said.word == "RELEASE":
            del self._savepoints[places[-1] :]
            return
        self._going_back = self._savepoints[places[-1]]
        del self._savepoints[places[-1] + 1 :]
        self._ledger.go_back(self._going_back)

    # What a statement would take along

    def _try_out(self, sql: str, parameters: Any, emptied: list[str], empties: bool) -> None:
        with self._census.undone_again() as cursor:
            # What is refused now is refused again when it is to run.
            try:
                cursor.execute(sql, parameters) if parameters else cursor.execute(sql)
            except Exception:
                return
            then = self._census.tables()
            # What it drops or empties it has for itself; what others do meanwhile is theirs.
            locked = self._census.locked()
        named = set(map(self._census.oid, emptied))
        for oid, table in self._census.tables().items():
            if oid not in locked:
                continue
            if oid in then:
                self._losing_columns(oid, table, then[oid])
                if empties and then[oid].file != table.file:
                    self._emptying(oid, table, oid in named)
            elif table.root == oid or table.root in then:
                # A partition that goes with the whole is counted with it.
                self._going(oid, table)

    def _losing_columns(self, oid: int, table: Table, then: Table) -> None:
        for number, column in table.columns.items():
            if number not in then.columns and not self._ledger.is_new(oid, number):
                first = self._ledger.before[oid].columns[number]
                self._ledger.columns.append((oid, first, self._census.count(table.sql, column)))

    def _emptying(self, oid: int, table: Table, said: bool) -> None:
        if said:
            self._ledger.uncounted.add(oid)
        elif oid in self._ledger.before:
            self._ledger.emptied.append((oid, self._census.count(table.sql)))

    def _going(self, oid: int, table: Table) -> None:
        ledger = self._ledger
        if oid in ledger.before:
            ledger.dropped.append(Dropped(ledger.before[oid], *self._census.filled(table)))
            return
        ledger.own_of[table.name] += ledger.own[oid]
        ledger.uncounted_of |= {table.name} if oid in ledger.uncounted else set()

    def _changing_types(self, bare: str) -> None:
        name, changes = statements.altered_types(bare)
        oid = self._census.oid(name) if changes else None
        if oid is None or oid not in self._ledger.before:
            return
        table = self._census.tables()[oid]
        for change in changes:
            column = change.column
            number = table.number_of(column)
            if number is None or self._ledger.is_new(oid, number):
                continue
            self._ledger.filled.setdefault((oid, column), self._census.count(table.sql, column))
            if change.is_cast:
                lost = self._census.cut_off(oid, table, column, change.type, change.using)
                first = self._ledger.before[oid].columns[number]
                self._ledger.truncated += [(table.name, first, lost)] if lost else []

    # At the end

    @property
    def spent(self) -> float:
        """Seconds that counting has taken."""
        return self._census.spent

    @property
    def in_danger(self) -> bool:
        """Whether anything was done that is to be looked into."""
        self._begin_if_stale()
        return self._ledger.in_danger or self._census.stirred() != self._ledger.stirred

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
        self._begin_if_stale()
        return ServerFindings(self._census, self._ledger, counting=self._counting)
