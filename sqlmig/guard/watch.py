"""
Watch: looks at each statement of a migration before SQLite carries it out, and has counted what it puts in danger.

What nothing endangers is never counted: a table that only gets rows, or that no statement names.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

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
from .effects import WRITES, Action, Effect, Effects
from .findings import Findings
from .ledger import Ledger, Touched
from .statements import first_word, parse

if TYPE_CHECKING:
    from sqlalchemy.engine.interfaces import Dialect

    from ..schema.changes import Expression

__all__ = ["Watch"]

_DML = ("INSERT", "REPLACE", "UPDATE", "DELETE", "WITH")
_DDL = ("DROP", "CREATE", "ALTER")
_SAVEPOINTS = ("SAVEPOINT", "RELEASE", "ROLLBACK")


class Watch:
    """
    The eyes of the guard on one migration; the session tells it of every statement.

    Args:
        raw: The driver's connection.
        dialect: SQLAlchemy's, which spells types and expressions.
        shape: Gives numbers that change with the schema.
        counting: Without it, only what the migration makes is noted.
    """

    def __init__(self, raw: Any, dialect: Dialect, shape: Callable[[], object], *, counting: bool = True) -> None:
        self.census, self._dialect = Census(raw), dialect
        self.dangers = Dangers(self.census, counting=counting)
        self.unseen: set[str] = set()
        self._suspended = 0
        self._counting = counting
        self._savepoints: list[tuple[str, Ledger]] = []
        self._effects = Effects(self.dangers)
        self._announced = False
        self._ask_shape = shape
        self._shape: object = None
        self._running: Effect | None = None
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
        elif action not in WRITES:
            return
        if what is None or what.startswith("sqlite_") or schema in (None, "temp"):
            return
        if self._effects.hear(Action(action, TableId(schema or "main", what), name, trigger)):
            return
        if self._counting and not self._announced and not self._suspended and action != sqlite3.SQLITE_INSERT:
            self.unseen.add(what)

    def before(self, sql: str, parameters: Any, many: bool) -> None:
        """A statement is about to run."""
        self.settle()
        self._announced, self._running = True, None
        if self._suspended:
            return
        self._look_at_shape()
        word = first_word(sql)
        if word in _DML:
            if self._counting:
                self._running = self._effects.of(sql)
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
            self._effects.count(effect, rowcount if effect.counts and rowcount >= 0 else None, ran=True)

    def settle(self) -> None:
        """Take back what was told of a statement that failed, which the migration has gone on after."""
        if self._before_failure is not None:
            self.dangers.ledger, self._before_failure = self._before_failure, None
            self._forget()
        if self._announced and self._running is not None:
            # A list of rows may have got half way.
            self._effects.count(self._running, None, ran=False)
            self._running = None

    # Statements that change tables

    def _reshape(self, sql: str) -> None:
        said = parse(sql)
        if isinstance(said, statements.DropTable):
            self._effects.forget()
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
            self._running = Effect(sqlite3.SQLITE_CREATE_TABLE, made.now, False, copied)

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
            for action in self._effects.actions(sql) or ():
                if action.table.key != table.key:
                    self._effects.endanger(action)
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
        self._look_at_shape()
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
        self._effects.forget()
        self.census.forget()

    @property
    def spent(self) -> float:
        """Seconds that counting has taken."""
        return self.census.spent

    def findings(self) -> Findings:
        """What is gone, in the transaction that is open."""
        # The driver's own cursor may have changed the schema unheard.
        self.census.forget()
        return Findings(self.census, self.ledger, counting=self._counting)

    @property
    def in_danger(self) -> bool:
        """Whether anything was done that is to be looked into."""
        return self.ledger.in_danger or bool(self.unseen)

    def _look_at_shape(self) -> None:
        """The first statement after a commit: another program may have changed the schema meanwhile."""
        if self._shape is None:
            return
        before, self._shape = self._shape, None
        if self._ask_shape() != before:
            self.begin_anew()

    def pause(self) -> None:
        """Everything so far is committed, and nothing of it was in danger: what is known of the schema may hold on."""
        self._shape = self._ask_shape()
        self._savepoints.clear()
        self.dangers.ledger = self.ledger.begun_anew()
        self._effects.pause()

    def begin_anew(self) -> None:
        """Everything so far is committed: from here on, what there is now is what was there before."""
        self._shape = None
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
