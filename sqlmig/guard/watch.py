"""
Watch: looks at each statement of a migration before SQLite carries it out, and has counted what it puts in danger.

SQLite's authorizer tells which tables a statement writes, those that foreign keys and triggers write for it included;
it may not ask the database anything itself, and is silent for statements that sqlite3 has kept compiled. So every
statement is compiled once more before its first run, and what it would touch is counted then.

What nothing endangers is never counted: a table that only gets rows, or that no statement names.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from ..schema.changes import AddColumn as AddingColumn
from ..schema.changes import AlterColumn, Change, ChangePrimaryKey, TableName, Unset
from ..schema.changes import DropColumn as DroppingColumn
from ..schema.changes import RenameColumn as RenamingColumn
from ..schema.ddl import expression_part, plain, type_part
from ..schema.sqlite.definition import folded
from . import statements
from .census import Census, TableId
from .conversion import cut_off
from .dangers import Dangers
from .ledger import Copied, Ledger, Touched
from .statements import first_word, parse

if TYPE_CHECKING:
    from sqlalchemy.engine.interfaces import Dialect

    from ..schema.changes import Expression

__all__ = ["Watch"]

_WRITES = (sqlite3.SQLITE_INSERT, sqlite3.SQLITE_UPDATE, sqlite3.SQLITE_DELETE)
_DML = ("INSERT", "REPLACE", "UPDATE", "DELETE", "WITH")
_DDL = ("DROP", "CREATE", "ALTER")
_SAVEPOINTS = ("SAVEPOINT", "RELEASE", "ROLLBACK")
# Statements whose effect is known: a script may have a hundred thousand different ones.
_REMEMBERED = 1000


class _Action(NamedTuple):
    """A write that the authorizer has told of."""

    code: int
    table: TableId
    column: str | None
    trigger: str | None


class _Effect(NamedTuple):
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


class Watch:
    """
    The eyes of the guard on one migration; the session tells it of every statement.

    Args:
        raw: The driver's connection.
        dialect: SQLAlchemy's, which spells types and expressions.
        counting: Without it, only what the migration makes is noted.
    """

    def __init__(self, raw: Any, dialect: Dialect, *, counting: bool = True) -> None:
        self.census, self._dialect = Census(raw), dialect
        self.dangers = Dangers(self.census, counting=counting)
        self.unseen: set[str] = set()
        self._suspended = 0
        self._counting = counting
        self._savepoints: list[tuple[str, Ledger]] = []
        self._effects: dict[str, _Effect | None] = {}
        self._heard: list[_Action] | None = None
        self._announced = False
        self._running: _Effect | None = None
        self._rows_before = 0
        self._before_failure: Ledger | None = None

    @property
    def busy(self) -> bool:
        """Whether it is itself asking something of the database."""
        return self.census.busy

    @property
    def ledger(self) -> Ledger:
        """What is known so far."""
        return self.dangers.ledger

    # What the session tells

    def hear(self, action: int, what: str | None, name: str | None, schema: str | None, trigger: str | None) -> None:
        """The authorizer's word, while a statement is compiled."""
        if action == sqlite3.SQLITE_ALTER_TABLE and name is not None:
            what, schema = name, what
        elif action not in _WRITES:
            return
        if what is None or what.startswith("sqlite_") or schema in (None, "temp"):
            return
        if self._heard is not None:
            if action in _WRITES:
                self._heard.append(_Action(action, TableId(schema or "main", what), name, trigger))
        elif self._counting and not self._announced and not self._suspended and action != sqlite3.SQLITE_INSERT:
            self.unseen.add(what)

    def before(self, sql: str, parameters: Any, many: bool) -> None:
        """A statement is about to run."""
        self.settle()
        self._announced, self._running = True, None
        if self._suspended:
            return
        word = first_word(sql)
        if word in _DML:
            if self._counting:
                self._running = self._effect(sql)
        elif word in _DDL:
            self._before_failure = self.ledger.kept()
            self._reshape(sql)
        elif word in _SAVEPOINTS:
            self._savepoint(sql)

    def after(self, rowcount: int) -> None:
        """It has run."""
        self._announced, self._before_failure = False, None
        effect, self._running = self._running, None
        if effect is not None:
            self._count(effect, rowcount if effect.counts and rowcount >= 0 else None)

    def settle(self) -> None:
        """Take back what was told of a statement that failed, which the migration has gone on after."""
        if self._before_failure is not None:
            self.dangers.ledger, self._before_failure = self._before_failure, None
            self._forget()
        if self._announced and self._running is not None:
            # A list of rows may have got half way.
            self._count(self._running, None)
            self._running = None

    def _count(self, effect: _Effect, rows: int | None) -> None:
        """*rows* is None where the statement did not tell."""
        touched = self.ledger.write_touched(effect.table.key)
        made = self.ledger.write_made(effect.table.key)
        if effect.code == sqlite3.SQLITE_DELETE:
            if rows is None and not effect.counts and self._announced is False:
                rows = self._rows_before - self.census.count(effect.table)
            if touched is not None:
                touched.uncounted = touched.uncounted or rows is None
                touched.deleted += rows or 0
            if made is not None:
                made.deleted = None if rows is None or made.deleted is None else made.deleted + rows
            return
        if effect.code == sqlite3.SQLITE_UPDATE:
            return
        if effect.code == sqlite3.SQLITE_CREATE_TABLE and self._announced is False:
            rows = self.census.count(effect.table)
        if touched is not None and rows is not None:
            touched.inserted += rows
            touched.brought += rows
        if made is not None:
            if effect.copied is not None:
                effect.copied.rows = rows
            made.inserted = None if rows is None or made.inserted is None else made.inserted + rows

    # Statements that write rows

    def _effect(self, sql: str) -> _Effect | None:
        """What is to be counted when the statement has run; what it endangers is counted when it is seen first."""
        if sql not in self._effects:
            if len(self._effects) >= _REMEMBERED:
                self._effects.clear()
            actions = self._actions(sql)
            if actions is None:
                return None
            effect = self._look_into(sql, actions)
            grows = tuple({action.table.key for action in actions if action.code == sqlite3.SQLITE_INSERT})
            if effect is not None or grows:
                effect = (effect or _Effect(sqlite3.SQLITE_UPDATE, actions[0].table, True))._replace(grows=grows)
            self._effects[sql] = effect
        effect = self._effects[sql]
        if effect is None:
            return None
        for key in effect.grows:
            self.dangers.growing(key)
        if effect.code == sqlite3.SQLITE_DELETE and not effect.counts:
            self._rows_before = self.census.count(effect.table)
        if effect.copied is not None and effect.copied.rows is not None:
            # The same copy once more brings other rows.
            made = self.ledger.write_made(effect.table.key)
            if made is not None:
                again = self.dangers.copying(made, effect.copied.copy, effect.copied.columns)
                return effect._replace(copied=again)
        return effect

    def _actions(self, sql: str) -> list[_Action] | None:
        """What a statement writes; None where SQLite refuses it, as it will when it is to run."""
        self._heard = []
        try:
            self.census.compile(sql)
            return self._heard
        except Exception:
            return None
        finally:
            self._heard = None

    def _look_into(self, sql: str, actions: Sequence[_Action]) -> _Effect | None:
        own = next((action for action in actions if action.trigger is None), None)
        if own is None:
            return None
        said = parse(sql)
        of_view = self.census.is_view(own.table)
        for action in actions:
            if self._is_own(action, own):
                continue
            if of_view and action.trigger is not None:
                self._through_view(action)
            else:
                self._endanger(action)
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
            self._updating(own.table, columns)
        if own.code == sqlite3.SQLITE_UPDATE:
            if isinstance(said, statements.Update) and (said.replaces or self.census.replaces_on_conflict(own.table)):
                self._pushing_out(own.table)
            return None
        return self._inserting(own.table, said)

    @staticmethod
    def _is_own(action: _Action, own: _Action) -> bool:
        """Whether the statement itself says it; an upsert's UPDATE is its own, a foreign key's is nobody's."""
        if action.trigger is not None or action.table.key != own.table.key:
            return False
        upserts = own.code == sqlite3.SQLITE_INSERT and action.code == sqlite3.SQLITE_UPDATE
        return action.code == own.code or upserts

    def _endanger(self, action: _Action) -> None:
        """A foreign key or a trigger writes a table, and perhaps one that the statement does not name."""
        made = self.ledger.write_made(action.table.key)
        if made is not None:
            if action.code == sqlite3.SQLITE_UPDATE and action.column is not None:
                self.dangers.disturbing(made, action.column)
            elif action.code == sqlite3.SQLITE_INSERT:
                made.inserted = None
            return
        touched = self.dangers.touch(action.table)
        # A full-text table that triggers keep in step has no rows of its own to lose.
        if touched is None or self.census.is_virtual(action.table):
            return
        if action.code == sqlite3.SQLITE_DELETE:
            self.dangers.count_rows(touched)
            self.dangers.endanger_children(action.table)
        elif action.code == sqlite3.SQLITE_UPDATE and action.column is not None:
            self.dangers.count_filled(touched, [action.column])
        elif action.code == sqlite3.SQLITE_INSERT:
            replaces = action.trigger is not None and self.census.trigger_replaces(action.table.schema, action.trigger)
            if replaces or self.census.replaces_on_conflict(action.table):
                self.dangers.replacing(touched, action.table, None)

    def _through_view(self, action: _Action) -> None:
        """What is done to a view is done to its tables, by triggers INSTEAD OF it: by the statement itself."""
        touched = self.dangers.touch(action.table)
        if touched is None:
            return
        if action.code == sqlite3.SQLITE_UPDATE and action.column is not None:
            self._updating(action.table, {folded(action.column)})
        elif action.code == sqlite3.SQLITE_DELETE:
            touched.uncounted = True
            self.dangers.endanger_children(action.table)

    def _deleting(self, target: TableId, said: statements.Statement | None) -> _Effect:
        touched = self.dangers.touch(target)
        if touched is not None:
            self.dangers.count_rows(touched)
        self.dangers.endanger_children(target)
        return _Effect(sqlite3.SQLITE_DELETE, target, not isinstance(said, statements.Delete) or said.counts)

    def _updating(self, target: TableId, columns: set[str]) -> None:
        made = self.ledger.write_made(target.key)
        if made is not None:
            made.set_itself |= columns
        self.dangers.updating(target, columns)

    def _pushing_out(self, target: TableId) -> None:
        touched = self.dangers.touch(target)
        if touched is not None:
            self.dangers.count_rows(touched)
            self.dangers.endanger_children(target)

    def _inserting(self, target: TableId, said: statements.Statement | None) -> _Effect | None:
        insert = said if isinstance(said, statements.Insert) else None
        counts = insert is not None and insert.counts
        made = self.ledger.write_made(target.key)
        if made is not None:
            copied = None
            if insert is not None and insert.copy is not None:
                copied = self.dangers.copying(made, insert.copy, insert.columns)
            return _Effect(sqlite3.SQLITE_INSERT, target, counts, copied)
        touched = self.dangers.touch(target)
        if touched is None:
            return None
        if (insert is not None and insert.replaces) or self.census.replaces_on_conflict(target):
            self.dangers.replacing(touched, target, insert.columns if insert is not None else None)
            return None
        self.dangers.inserting(touched, target, insert)
        return _Effect(sqlite3.SQLITE_INSERT, target, counts)

    # Statements that change tables

    def _reshape(self, sql: str) -> None:
        said = parse(sql)
        if isinstance(said, statements.DropTable):
            self._effects.clear()
            self._dropping(sql, said)
            return
        self._forget()
        if isinstance(said, statements.CreateTable):
            self._creating(said)
        elif isinstance(said, statements.RenameTable):
            table = self.census.find(*said.table)
            if table is not None:
                self.dangers.renaming_table(table, said.new)
        elif isinstance(said, statements.AddColumn | statements.DropColumn | statements.RenameColumn):
            self._altering(said)
        # What was read meanwhile was the schema before.
        self._forget()

    def _creating(self, said: statements.CreateTable) -> None:
        if said.temporary or folded(said.table.schema or "") == "temp":
            return
        made = self.dangers.creating(*said.table)
        if made is not None and said.filled:
            copied = self.dangers.copying(made, said.copy, None) if said.copy is not None else None
            self._running = _Effect(sqlite3.SQLITE_CREATE_TABLE, made.now, False, copied)

    def _altering(self, said: statements.AddColumn | statements.DropColumn | statements.RenameColumn) -> None:
        table = self.census.find(*said.table)
        if table is None:
            return
        if isinstance(said, statements.DropColumn):
            self.dangers.dropping_column(table, said.column)
        elif isinstance(said, statements.RenameColumn):
            self.dangers.renaming_column(table, said.old, said.new)
        else:
            self.dangers.adding_column(table, said.column)

    def _dropping(self, sql: str, said: statements.DropTable) -> None:
        table = self.census.find(*said.table)
        if table is None:
            return
        if self._counting:
            for action in self._actions(sql) or ():
                if action.table.key != table.key:
                    self._endanger(action)
        self.dangers.dropping_table(table)
        self.census.forget(table)

    # Operations, which know what they do

    @contextmanager
    def altering(self, table: TableName, changes: Sequence[Change]) -> Iterator[None]:
        """Changes of a table are carried out inside."""
        with self._told():
            found = self.census.find(table.schema, table.name)
            if found is not None:
                touched = self.dangers.touch(found)
                if touched is not None and self._counting:
                    self._endanger_by(touched, found, changes)
                self._note_changes(found, changes)
            yield

    @contextmanager
    def dropping(self, table: TableName) -> Iterator[None]:
        """A table is dropped inside."""
        with self._told():
            found = self.census.find(table.schema, table.name)
            if found is not None:
                self.dangers.dropping_table(found)
            yield

    @contextmanager
    def renaming(self, table: TableName, new: str) -> Iterator[None]:
        """A table gets another name inside."""
        with self._told():
            found = self.census.find(table.schema, table.name)
            if found is not None:
                self.dangers.renaming_table(found, new)
            yield

    @contextmanager
    def replacing(self, table: TableName, by: str) -> Iterator[None]:
        """A table is dropped inside, and another gets its name."""
        with self._told():
            found, other = self.census.find(table.schema, table.name), self.census.find(table.schema, by)
            if found is not None and other is not None:
                self.dangers.dropping_table(found)
                self.dangers.renaming_table(other, found.name)
            yield

    @contextmanager
    def _told(self) -> Iterator[None]:
        """The statements inside are an operation's, and looked at by nobody; where it is refused, nothing was told."""
        self.settle()
        before = self.ledger.kept()
        self._suspended += 1
        try:
            yield
        except BaseException:
            self.dangers.ledger = before
            raise
        finally:
            self._suspended -= 1
            self._forget()

    def _endanger_by(self, touched: Touched, table: TableId, changes: Sequence[Change]) -> None:
        self.dangers.count_rows(touched)
        for change in changes:
            if isinstance(change, ChangePrimaryKey):
                touched.rekeyed = True
            if isinstance(change, AlterColumn) and change.using is not None:
                self.dangers.count_filled(touched, [change.name])
                self._look_for_truncation(touched, table, change, change.using)

    def _look_for_truncation(self, touched: Touched, table: TableId, change: AlterColumn, using: Expression) -> None:
        if isinstance(change.type_, Unset):
            return
        type_ = plain(self._dialect, type_part(change.type_))
        # What SQLite refuses, it refuses again when the operation says it.
        with suppress(sqlite3.Error):
            found = cut_off(self.census, table, change.name, type_, plain(self._dialect, expression_part(using)))
            if found:
                touched.truncated[folded(change.name)] = found

    def _note_changes(self, table: TableId, changes: Sequence[Change]) -> None:
        real: dict[str, str] = {}
        for change in changes:
            if isinstance(change, DroppingColumn):
                self.dangers.dropping_column(table, change.name, real.get(folded(change.name)))
            elif isinstance(change, RenamingColumn):
                real[folded(change.new)] = real.pop(folded(change.old), change.old)
                self.dangers.renaming_column(table, change.old, change.new)
            elif isinstance(change, AddingColumn):
                self.dangers.adding_column(table, change.column.name)

    # Savepoints

    def _savepoint(self, sql: str) -> None:
        said = parse(sql)
        if not isinstance(said, statements.Savepoint):
            return
        if said.word == "SAVEPOINT":
            self._savepoints.append((said.name, self.ledger.kept()))
            return
        places = [i for i, (known, _) in enumerate(self._savepoints) if known == said.name]
        if not places:
            return
        if said.word == "ROLLBACK":
            self.dangers.ledger = self._savepoints[places[-1]][1].kept()
            self._forget()
            del self._savepoints[places[-1] + 1 :]
        else:
            del self._savepoints[places[-1] :]

    def _forget(self) -> None:
        """What was learnt of statements and of the schema holds for the schema as it was."""
        self._effects.clear()
        self.census.forget()

    def begin_anew(self) -> None:
        """Everything so far is committed: from here on, what there is now is what was there before."""
        self.close()
        self.dangers.ledger = Ledger()
        self._savepoints.clear()
        self.unseen.clear()
        self._before_failure = self._running = None
        self._forget()

    def close(self) -> None:
        """Take away what was made for counting."""
        for kept in self.dangers.keys_kept:
            # An open query of the migration's own may keep it locked; it goes with the connection then.
            with suppress(sqlite3.Error):
                self.census.forget_keys(kept)
        self.dangers.keys_kept.clear()
