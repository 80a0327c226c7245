"""
Effects: what a statement that writes rows puts in danger before it runs, and what it has changed once it has.

SQLite's authorizer tells which tables a statement writes, those that foreign keys and triggers write for it included;
it may not ask the database anything itself, and is silent for statements that sqlite3 has kept compiled. So every
statement is compiled once more before its first run, and what it would touch is counted then.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import NamedTuple

from ..schema.sqlite.definition import folded
from . import statements
from .census import TableId
from .dangers import Dangers
from .ledger import Copied
from .statements import parse

__all__ = ["WRITES", "Action", "Effect", "Effects"]

WRITES = (sqlite3.SQLITE_INSERT, sqlite3.SQLITE_UPDATE, sqlite3.SQLITE_DELETE)
"""What the authorizer is told of a statement that writes rows."""

# Statements whose effect is known: a script may have a hundred thousand different ones.
_REMEMBERED = 1000


class Action(NamedTuple):
    """A write that the authorizer has told of."""

    code: int
    table: TableId
    column: str | None
    trigger: str | None


class Effect(NamedTuple):
    """
    What a statement that has run changes in the ledger, by the rows that it counted.

    Attributes:
        counts: Whether it counts them.
        copied: The copy of a table that it is, if it is one.
        grows: The tables that get rows by it.
    """

    code: int
    table: TableId
    counts: bool
    copied: Copied | None = None
    grows: tuple[tuple[str, str], ...] = ()


class Effects:
    """
    The statements of one migration that write rows.

    Args:
        dangers: Where what they put in danger is entered.
    """

    def __init__(self, dangers: Dangers) -> None:
        self._dangers, self._census = dangers, dangers.census
        self._known: dict[str, Effect | None] = {}
        self._sets: dict[str, tuple[TableId, set[str]]] = {}
        self._entered: set[str] = set()
        self._heard: list[Action] | None = None
        self._rows_before = 0

    def forget(self) -> None:
        """The schema is about to change: what was learnt of statements holds for the one that was."""
        self._known.clear()
        self._sets.clear()

    def pause(self) -> None:
        """The ledger begins anew, and the schema is the same: what a statement sets is entered again when it runs."""
        self._entered.clear()

    def hear(self, action: Action) -> bool:
        """The authorizer's word; whether it is of a statement that is only looked into."""
        if self._heard is None:
            return False
        if action.code in WRITES:
            self._heard.append(action)
        return True

    def of(self, sql: str) -> Effect | None:
        """What is to be counted when the statement has run; what it endangers is counted when it is seen first."""
        if sql not in self._known:
            if len(self._known) >= _REMEMBERED:
                self.forget()
            actions = self.actions(sql)
            if actions is None:
                return None
            effect = self._look_into(sql, actions)
            grows = tuple({action.table.key for action in actions if action.code == sqlite3.SQLITE_INSERT})
            if effect is not None or grows:
                effect = (effect or Effect(sqlite3.SQLITE_UPDATE, actions[0].table, True))._replace(grows=grows)
            self._known[sql] = effect
            self._entered.add(sql)
        elif sql not in self._entered:
            self._entered.add(sql)
            if sql in self._sets:
                self._updating(*self._sets[sql])
        effect = self._known[sql]
        if effect is None:
            return None
        for key in effect.grows:
            self._dangers.growing(key)
        if effect.code == sqlite3.SQLITE_DELETE and not effect.counts:
            self._rows_before = self._census.count(effect.table)
        if effect.copied is not None and effect.copied.rows is not None:
            # The same copy once more brings other rows.
            made = self._dangers.ledger.write_made(effect.table.key)
            if made is not None:
                again = self._dangers.copying(made, effect.copied.copy, effect.copied.columns)
                return effect._replace(copied=again)
        return effect

    def count(self, effect: Effect, rows: int | None, *, ran: bool) -> None:
        """
        Enter what a statement has done.

        Args:
            rows: How many it counted; None where it did not tell.
            ran: Whether it came to its end; of one that may have got half way, what is there now tells nothing.
        """
        touched = self._dangers.ledger.write_touched(effect.table.key)
        made = self._dangers.ledger.write_made(effect.table.key)
        if effect.code == sqlite3.SQLITE_DELETE:
            if rows is None and not effect.counts and ran:
                rows = self._rows_before - self._census.count(effect.table)
            if touched is not None:
                touched.uncounted = touched.uncounted or rows is None
                touched.deleted += rows or 0
            if made is not None:
                made.deleted = None if rows is None or made.deleted is None else made.deleted + rows
            return
        if effect.code == sqlite3.SQLITE_UPDATE:
            return
        if effect.code == sqlite3.SQLITE_CREATE_TABLE and ran:
            rows = self._census.count(effect.table)
        if touched is not None and rows is not None:
            touched.inserted += rows
            touched.brought += rows
        if made is not None:
            if effect.copied is not None:
                effect.copied.rows = rows
            made.inserted = None if rows is None or made.inserted is None else made.inserted + rows

    def actions(self, sql: str) -> list[Action] | None:
        """What a statement writes; None where SQLite refuses it, as it will when it is to run."""
        self._heard = []
        try:
            self._census.compile(sql)
            return self._heard
        except Exception:
            return None
        finally:
            self._heard = None

    def _look_into(self, sql: str, actions: Sequence[Action]) -> Effect | None:
        own = next((action for action in actions if action.trigger is None), None)
        if own is None:
            return None
        said = parse(sql)
        of_view = self._census.is_view(own.table)
        for action in actions:
            if self._is_own(action, own):
                continue
            if of_view and action.trigger is not None:
                self._through_view(action)
            else:
                self.endanger(action)
        if of_view:
            return None
        if own.code == sqlite3.SQLITE_DELETE:
            return self._deleting(own.table, said)
        columns = {
            folded(action.column)
            for action in actions
            if action.code == sqlite3.SQLITE_UPDATE and self._is_own(action, own) and action.column is not None
        }
        if columns:
            self._sets[sql] = own.table, columns
            self._updating(own.table, columns)
        if own.code == sqlite3.SQLITE_UPDATE:
            if isinstance(said, statements.Update) and (said.replaces or self._census.replaces_on_conflict(own.table)):
                self._pushing_out(own.table)
            return None
        return self._inserting(own.table, said)

    @staticmethod
    def _is_own(action: Action, own: Action) -> bool:
        """Whether the statement itself says it; an upsert's UPDATE is its own, a foreign key's is nobody's."""
        if action.trigger is not None or action.table.key != own.table.key:
            return False
        upserts = own.code == sqlite3.SQLITE_INSERT and action.code == sqlite3.SQLITE_UPDATE
        return action.code == own.code or upserts

    def endanger(self, action: Action) -> None:
        """A foreign key or a trigger writes a table, and perhaps one that the statement does not name."""
        made = self._dangers.ledger.write_made(action.table.key)
        if made is not None:
            if action.code == sqlite3.SQLITE_UPDATE and action.column is not None:
                self._dangers.disturbing(made, action.column)
            elif action.code == sqlite3.SQLITE_INSERT:
                made.inserted = None
            return
        touched = self._dangers.touch(action.table)
        # A full-text table that triggers keep in step has no rows of its own to lose.
        if touched is None or self._census.is_virtual(action.table):
            return
        if action.code == sqlite3.SQLITE_DELETE:
            self._dangers.count_rows(touched)
            self._dangers.endanger_children(action.table)
        elif action.code == sqlite3.SQLITE_UPDATE and action.column is not None:
            self._dangers.count_filled(touched, [action.column])
        elif action.code == sqlite3.SQLITE_INSERT:
            replaces = action.trigger is not None and self._census.trigger_replaces(action.table.schema, action.trigger)
            if replaces or self._census.replaces_on_conflict(action.table):
                self._dangers.replacing(touched, action.table, None)

    def _through_view(self, action: Action) -> None:
        """What is done to a view is done to its tables, by triggers INSTEAD OF it: by the statement itself."""
        touched = self._dangers.touch(action.table)
        if touched is None:
            return
        if action.code == sqlite3.SQLITE_UPDATE and action.column is not None:
            self._updating(action.table, {folded(action.column)})
        elif action.code == sqlite3.SQLITE_DELETE:
            touched.uncounted = True
            self._dangers.endanger_children(action.table)

    def _deleting(self, target: TableId, said: statements.Statement | None) -> Effect:
        touched = self._dangers.touch(target)
        if touched is not None:
            self._dangers.count_rows(touched)
        self._dangers.endanger_children(target)
        return Effect(sqlite3.SQLITE_DELETE, target, not isinstance(said, statements.Delete) or said.counts)

    def _updating(self, target: TableId, columns: set[str]) -> None:
        made = self._dangers.ledger.write_made(target.key)
        if made is not None:
            made.set_itself |= columns
        self._dangers.updating(target, columns)

    def _pushing_out(self, target: TableId) -> None:
        touched = self._dangers.touch(target)
        if touched is not None:
            self._dangers.count_rows(touched)
            self._dangers.endanger_children(target)

    def _inserting(self, target: TableId, said: statements.Statement | None) -> Effect | None:
        insert = said if isinstance(said, statements.Insert) else None
        counts = insert is not None and insert.counts
        made = self._dangers.ledger.write_made(target.key)
        if made is not None:
            copied = None
            if insert is not None and insert.copy is not None:
                copied = self._dangers.copying(made, insert.copy, insert.columns)
            return Effect(sqlite3.SQLITE_INSERT, target, counts, copied)
        touched = self._dangers.touch(target)
        if touched is None:
            return None
        if (insert is not None and insert.replaces) or self._census.replaces_on_conflict(target):
            self._dangers.replacing(touched, target, insert.columns if insert is not None else None)
            return None
        self._dangers.inserting(touched, target, insert)
        return Effect(sqlite3.SQLITE_INSERT, target, counts)
