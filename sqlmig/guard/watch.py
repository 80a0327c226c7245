"""
Watch: looks at each statement of a migration before SQLite carries it out, and counts what it puts in danger.

SQLite's authorizer tells which tables a statement writes, those that foreign keys and triggers write for it included;
it may not ask the database anything itself, and is silent for statements that sqlite3 has kept compiled. So every
statement is compiled once more by EXPLAIN before its first run, and what it would touch is counted then.

What nothing endangers is never counted: a table that only gets rows, or that no statement names.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from ..schema.changes import AddColumn as AddingColumn
from ..schema.changes import AlterColumn, Change, TableName, Unset
from ..schema.changes import DropColumn as DroppingColumn
from ..schema.changes import RenameColumn as RenamingColumn
from ..schema.ddl import expression_part, plain, type_part
from ..schema.sqlite.definition import folded
from . import statements
from .census import Census, TableId
from .conversion import cut_off
from .dangers import Dangers
from .heirs import heir_loses, heir_renames
from .ledger import Ledger, Touched
from .statements import first_word, parse

if TYPE_CHECKING:
    from sqlalchemy.engine.interfaces import Dialect

    from ..schema.changes import Expression

__all__ = ["Watch"]

_WRITES = (sqlite3.SQLITE_INSERT, sqlite3.SQLITE_UPDATE, sqlite3.SQLITE_DELETE)
# Statements whose effect is known: a script may have a hundred thousand different ones.
_REMEMBERED = 1000
_DML = ("INSERT", "REPLACE", "UPDATE", "DELETE", "WITH", "DROP")


class _Action(NamedTuple):
    """A write that the authorizer has told of."""

    code: int
    table: TableId
    column: str | None
    trigger: str | None


class _Effect(NamedTuple):
    """What a statement that has run changes in the ledger, by the rows that it counted."""

    code: int
    table: tuple[str, str]
    counts: bool


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
        self.suspended = 0
        self._counting = counting
        self._savepoints: list[tuple[str, Ledger]] = []
        self._effects: dict[str, _Effect | None] = {}
        self._heard: list[_Action] | None = None
        self._announced = False
        self._running: _Effect | None = None
        self._kept: list[str] = []
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

    def hear(self, action: int, what: str | None, column: str | None, schema: str | None, trigger: str | None) -> None:
        """The authorizer's word, while a statement is compiled."""
        if action not in _WRITES or what is None or what.startswith("sqlite_") or schema in (None, "temp"):
            return
        if self._heard is not None:
            self._heard.append(_Action(action, TableId(schema or "main", what), column, trigger))
        elif self._counting and not self._announced and not self.suspended and action != sqlite3.SQLITE_INSERT:
            self.unseen.add(what)

    def before(self, sql: str, parameters: Any, many: bool) -> None:
        """A statement is about to run."""
        self.settle()
        self._announced, self._running = True, None
        if self.suspended:
            return
        word = first_word(sql)
        if word in ("DROP", "CREATE", "ALTER"):
            self._before_failure = self.ledger.kept()
        if word in _DML:
            if sql not in self._effects:
                if len(self._effects) >= _REMEMBERED:
                    self._effects.clear()
                self._effects[sql] = self._look_into(sql, word, _first(parameters) if many else parameters)
            self._running = self._effects[sql]
        elif word in ("CREATE", "ALTER"):
            self._forget()
            self._reshape(sql)
            self._forget()
        elif word in ("SAVEPOINT", "RELEASE", "ROLLBACK"):
            self._savepoint(sql, word)

    def after(self, rowcount: int) -> None:
        """It has run."""
        self._announced, self._before_failure = False, None
        effect, self._running = self._running, None
        if effect is None:
            return
        touched, made = self.ledger.write_touched(effect.table), self.ledger.write_made(effect.table)
        if effect.code == sqlite3.SQLITE_INSERT:
            if touched is not None and effect.counts:
                touched.inserted += max(rowcount, 0)
            return
        for one in (touched, made):
            if one is not None:
                one.uncounted = one.uncounted or not effect.counts or rowcount < 0
                one.deleted += max(rowcount, 0)

    def settle(self) -> None:
        """Take back what was told of a statement that failed, which the migration has gone on after."""
        if self._before_failure is not None:
            self.dangers.ledger, self._before_failure = self._before_failure, None
            self._forget()

    # Statements that write rows

    def _look_into(self, sql: str, word: str, parameters: Any) -> _Effect | None:
        said = parse(sql) if word != "WITH" else None
        if word == "DROP" and not isinstance(said, statements.DropTable):
            self._forget()
            return None
        if not self._counting:
            return None
        actions = self._actions(sql, parameters)
        own = next((action for action in actions if action.trigger is None), None)
        if own is None:
            return None
        target = own.table
        upserting = own.code == sqlite3.SQLITE_INSERT
        for action in actions:
            if action.table.key != target.key or action.code == sqlite3.SQLITE_DELETE != own.code:
                self._endanger(action)
            elif action.code == sqlite3.SQLITE_UPDATE and (action.trigger is not None or own.code != action.code):
                self._updating_along(action, itself=upserting and action.trigger is None)
        if isinstance(said, statements.DropTable):
            self._forget()
            self._dropping(said)
            self._forget()
            return None
        if own.code == sqlite3.SQLITE_DELETE:
            return self._deleting(target, sql)
        if own.code == sqlite3.SQLITE_UPDATE:
            own_columns = [a.column for a in actions if a[:2] == own[:2] and a.trigger is None]
            self._updating(target, sql, own_columns)
            return None
        return self._inserting(target, sql, said)

    def _actions(self, sql: str, parameters: Any) -> list[_Action]:
        self._heard = []
        try:
            self.census.actions(sql, parameters)
            return self._heard
        except Exception:
            # SQLite refuses the statement, and will do so again when it is to run.
            return []
        finally:
            self._heard = None

    def _endanger(self, action: _Action) -> None:
        """A foreign key or a trigger writes a table that the statement does not name."""
        if action.table.key in self.ledger.made or action.code == sqlite3.SQLITE_INSERT:
            return
        touched = self.dangers.touch(action.table)
        if touched is None:
            return
        if action.code == sqlite3.SQLITE_DELETE:
            self.dangers.count_rows(touched)
            self.dangers.endanger_children(action.table)
        elif action.column is not None:
            self.dangers.count_filled(touched, [action.column])

    def _updating_along(self, action: _Action, *, itself: bool) -> None:
        """An upsert sets columns as an UPDATE does; a foreign key or a trigger does so for the statement."""
        touched = self.dangers.touch(action.table) if itself else None
        if touched is not None and action.column is not None:
            touched.set_itself.add(folded(action.column))
        elif not itself:
            self._endanger(action)

    def _deleting(self, target: TableId, sql: str) -> _Effect:
        counts = "RETURNING" not in sql.upper()
        touched = self.dangers.touch(target)
        if touched is not None:
            self.dangers.count_rows(touched)
        self.dangers.endanger_children(target)
        return _Effect(sqlite3.SQLITE_DELETE, target.key, counts)

    def _updating(self, target: TableId, sql: str, columns: list[str | None]) -> None:
        names = {folded(column) for column in columns if column is not None}
        made = self.ledger.write_made(target.key)
        if made is not None:
            made.set_itself |= names
            return
        touched = self.dangers.touch(target)
        if touched is None:
            return
        if "REPLACE" in sql.upper() or self.census.replaces_on_conflict(target):
            self.dangers.count_rows(touched)
            self.dangers.endanger_children(target)
        touched.set_itself |= names
        keys = {folded(name) for name in self.census.key(target)}
        if keys & names:
            touched.rekeyed = True
            self.dangers.endanger_children(target)
        if any(names & set(key.columns) for key in self.census.foreign_keys(target)):
            self.dangers.watch_references(target)

    def _inserting(self, target: TableId, sql: str, said: statements.Statement | None) -> _Effect | None:
        insert = said if isinstance(said, statements.Insert) else None
        made = self.ledger.write_made(target.key)
        if made is not None:
            if insert is not None and insert.copy is not None:
                made.copies.append((insert.copy, insert.columns))
            return None
        touched = self.dangers.touch(target)
        if touched is None:
            return None
        replaces = insert.replaces if insert is not None else "REPLACE" in sql.upper()
        if replaces or self.census.replaces_on_conflict(target):
            self._replacing(touched, target)
            return None
        self.dangers.watch_references(target, inserting=True)
        return _Effect(sqlite3.SQLITE_INSERT, target.key, insert is not None and insert.counts)

    def _replacing(self, touched: Touched, target: TableId) -> None:
        """Rows may be pushed out, unseen by anything but their keys."""
        if touched.replacing is None and not self.census.is_virtual(target):
            key = self.census.key(target)
            touched.replacing = key, self.census.keep_keys(target, key)
            self._kept.append(touched.replacing[1])
        self.dangers.endanger_children(target)
        self.dangers.watch_references(target)

    # Statements that change tables

    def _reshape(self, sql: str) -> None:
        said = parse(sql)
        if isinstance(said, statements.CreateTable):
            if not (said.temporary or folded(said.table.schema or "") == "temp"):
                self.dangers.creating(said.table.schema, said.table.name, said.copy)
        elif isinstance(said, statements.RenameTable):
            table = self.census.find(*said.table)
            if table is not None:
                self.dangers.renaming_table(table, said.new)
        elif isinstance(said, statements.AddColumn | statements.DropColumn | statements.RenameColumn):
            table = self.census.find(*said.table)
            if table is not None:
                self._altering_column(table, said)

    def _altering_column(
        self, table: TableId, said: statements.AddColumn | statements.DropColumn | statements.RenameColumn
    ) -> None:
        touched = self.dangers.touch(table)
        if touched is None:
            if isinstance(said, statements.DropColumn):
                heir_loses(self.census, self.ledger, table, said.column)
            elif isinstance(said, statements.RenameColumn):
                heir_renames(self.ledger, table, said.old, said.new)
        elif isinstance(said, statements.DropColumn):
            self.dangers.dropping_column(touched, said.column)
        elif isinstance(said, statements.RenameColumn):
            self.dangers.renaming_column(touched, said.old, said.new)
        else:
            touched.added.append(said.column)

    def _dropping(self, said: statements.DropTable) -> None:
        table = self.census.find(*said.table)
        if table is not None:
            self.dangers.dropping_table(table)

    # Operations, which know what they do

    @contextmanager
    def altering(self, table: TableName, changes: Sequence[Change]) -> Iterator[None]:
        """Changes of a table are carried out inside."""
        with self._told():
            found = self.census.find(table.schema, table.name)
            touched = self.dangers.touch(found) if found is not None else None
            if touched is not None:
                if self._counting:
                    self._endanger_by(touched, changes)
                self._note_changes(touched, changes)
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
        self.suspended += 1
        try:
            yield
        except BaseException:
            self.dangers.ledger = before
            raise
        finally:
            self.suspended -= 1
            self._forget()

    def _endanger_by(self, touched: Touched, changes: Sequence[Change]) -> None:
        assert touched.now is not None
        self.dangers.count_rows(touched)
        for change in changes:
            if isinstance(change, AlterColumn) and change.using is not None:
                self.dangers.count_filled(touched, [change.name])
                self._look_for_truncation(touched, change, change.using)

    def _look_for_truncation(self, touched: Touched, change: AlterColumn, using: Expression) -> None:
        assert touched.now is not None
        if isinstance(change.type_, Unset):
            return
        type_ = plain(self._dialect, type_part(change.type_))
        found = cut_off(self.census, touched.now, change.name, type_, plain(self._dialect, expression_part(using)))
        if found:
            touched.truncated[folded(change.name)] = found

    def _note_changes(self, touched: Touched, changes: Sequence[Change]) -> None:
        real: dict[str, str] = {}
        for change in changes:
            if isinstance(change, DroppingColumn):
                self.dangers.dropping_column(touched, change.name, real.get(folded(change.name)))
            elif isinstance(change, RenamingColumn):
                real[folded(change.new)] = real.pop(folded(change.old), change.old)
                self.dangers.renaming_column(touched, change.old, change.new)
            elif isinstance(change, AddingColumn):
                touched.added.append(change.column.name)

    # Savepoints

    def _savepoint(self, sql: str, word: str) -> None:
        name = folded(sql.split("/*")[0].replace(";", " ").split()[-1].strip("\"'`[]"))
        if word == "SAVEPOINT":
            self._savepoints.append((name, self.ledger.kept()))
            return
        places = [i for i, (known, _) in enumerate(self._savepoints) if known == name]
        if not places:
            return
        if word == "ROLLBACK":
            self.dangers.ledger = self._savepoints[places[-1]][1].kept()
            self._forget()
            del self._savepoints[places[-1] + 1 :]
        else:
            del self._savepoints[places[-1] :]

    def _forget(self) -> None:
        """What was learnt of statements and of the schema holds for the schema as it was."""
        self._effects.clear()
        self.census.forget()

    def close(self) -> None:
        """Take away what was made for counting."""
        for kept in self._kept:
            self.census.forget_keys(kept)
        self._kept.clear()


def _first(parameters: Any) -> Any:
    return parameters[0] if parameters else ()
