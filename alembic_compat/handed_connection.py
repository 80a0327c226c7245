"""
What a script has for a sqlite3 connection: a view of the run's one connection that behaves as one of its own.

It begins a transaction before a write, as sqlite3 does, commits, rolls back; each of these is a savepoint inside a
migration. What a transaction has no place for ends the migration's own first.
"""

from __future__ import annotations

import re
import sqlite3
from typing import TYPE_CHECKING, Any

from sqlmig.sql_text import split_statements

if TYPE_CHECKING:
    from .handed import Handover

__all__ = ["HandedConnection"]

# Possessive, since what is nothing but blanks would otherwise be tried in every way to cut it.
_WORDS = re.compile(r"(?:\s|--[^\n]*(?:\n|$)|/\*.*?\*/|;)*+([A-Za-z]+)\s*(.*)", re.DOTALL)
_PRAGMA = re.compile(r"(?:[\"'`\[]?\w+[\"'`\]]?\s*\.\s*)?[\"'`\[]?(\w+)[\"'`\]]?\s*(?:=|\()\s*['\"]?(\w+)", re.DOTALL)
_DROPPED = re.compile(
    r"""TABLE\s+(?:IF\s+EXISTS\s+)?(?:\w+\s*\.\s*|"[^"]+"\s*\.\s*)?("(?:[^"]|"")+"|`[^`]+`|\[[^\]]+\]|[^\s;]+)""",
    re.IGNORECASE,
)
_CTE_WRITES = re.compile(r"\b(?:INSERT|UPDATE|DELETE|REPLACE)\b", re.IGNORECASE)
_COMMENT = re.compile(r"/\*.*?\*/|--[^\n]*", re.DOTALL)
_WRITES = ("INSERT", "UPDATE", "DELETE", "REPLACE")
_READS = ("SELECT", "PRAGMA", "EXPLAIN", "VALUES", "BEGIN", "COMMIT", "END", "ROLLBACK", "SAVEPOINT", "RELEASE")
_NAMING = ("SAVEPOINT", "RELEASE", "ROLLBACK")
_OFF = ("off", "0", "false", "no")


class HandedConnection:
    """Stands for a sqlite3 connection, and is a view of the run's."""

    def __init__(self, run: Handover) -> None:
        values = {
            "run": run,
            "scope": None,
            "savepoint": None,
            "depth": 0,
            "wrote": False,
            "row_factory": run.raw.row_factory,
            "connecting": True,
            "awaited": False,
            "implicit": run.session.driver_begins,
        }
        self.__dict__.update(values)

    if TYPE_CHECKING:
        run: Handover
        scope: str | None
        savepoint: str | None
        depth: int
        wrote: bool
        row_factory: Any
        connecting: bool
        awaited: bool
        implicit: bool

    def __getattr__(self, name: str) -> Any:
        return getattr(self.run.raw, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "isolation_level" and value is None:
            # sqlite3 commits what is open.
            self.commit()
        if name in ("isolation_level", "autocommit"):
            # SQLAlchemy's AUTOCOMMIT, and the way back from it.
            self.implicit = value is not None if name == "isolation_level" else value is not True
        elif name in self.__dict__:
            self.__dict__[name] = value
        else:
            setattr(self.run.raw, name, value)

    @property
    def isolation_level(self) -> str | None:
        return "" if self.implicit else None

    @property
    def in_transaction(self) -> bool:
        return self.scope is not None or (not self.run.inside and self.run.raw.in_transaction)

    def cursor(self, factory: Any = None, *, server_side: bool = False) -> sqlite3.Cursor:
        cursor: HandedCursor = self.run.raw.cursor(HandedCursor)
        cursor.handed, cursor.row_factory = self, self.row_factory
        return cursor

    def backup(self, *arguments: Any, **options: Any) -> None:
        """Copy the database, which never ends while the connection has written and not committed."""
        self.run.leave("backup()")
        self.run.raw.backup(*arguments, **options)

    def execute(self, sql: str, parameters: Any = ()) -> sqlite3.Cursor:
        return self.cursor().execute(sql, parameters)

    def executemany(self, sql: str, parameters: Any) -> sqlite3.Cursor:
        return self.cursor().executemany(sql, parameters)

    def executescript(self, script: str) -> sqlite3.Cursor:
        return self.cursor().executescript(script)

    def commit(self) -> None:
        if self.scope is not None:
            self.run.close(self, undo=False)

    def rollback(self) -> None:
        if self.scope is not None:
            self.run.close(self, undo=True)

    def close(self) -> None:
        self.rollback()

    def __enter__(self) -> HandedConnection:
        return self

    def __exit__(self, kind: object, *rest: object) -> None:
        self.commit() if kind is None else self.rollback()

    def takes(self, sql: str) -> bool:
        """Whether a statement is dealt with here, and not to reach SQLite."""
        if self.awaited:
            from .handed_async import await_nothing

            await_nothing()
        found = _WORDS.match(sql)
        if found is None:
            return False
        word, rest = found[1].upper(), _COMMENT.sub(" ", found[2]) if found[1].upper() in _NAMING else found[2]
        taken = self._takes(word, rest)
        if word not in _READS and (word != "WITH" or _CTE_WRITES.search(rest)):
            self.run.last_writer, self.wrote = self, True
        return taken

    def _takes(self, word: str, rest: str) -> bool:
        if word in _WRITES and self.implicit:
            self._begin()
        elif word in ("COMMIT", "END"):
            return self._takes_commit()
        elif word == "BEGIN":
            self._begin()
            return True
        elif word == "SAVEPOINT":
            if self.scope is None:
                # Outside a transaction it begins one, which its RELEASE commits.
                self._begin()
                self.savepoint, self.depth = _named(rest), 0
            self.depth += _named(rest) == self.savepoint
        elif word == "RELEASE" and self.savepoint is not None:
            if _named(re.sub(r"^\s*SAVEPOINT\s+", "", rest, flags=re.IGNORECASE)) == self.savepoint:
                self.depth -= 1
                if self.depth == 0:
                    self.commit()
                    return True
        elif word == "ATTACH" and self.connecting:
            return True
        elif word == "ROLLBACK" and not re.match(r"\s*(?:TRANSACTION\s+)?TO\b", rest, re.IGNORECASE):
            self.rollback()
            return True
        elif word == "DROP":
            found = _DROPPED.match(_COMMENT.sub(" ", rest))
            if found is not None:
                self.run.drops(_unquoted(found[1]))
        elif word in ("VACUUM", "DETACH"):
            self.run.leave(word)
        elif word == "PRAGMA":
            return self._takes_pragma(rest)
        return False

    def _begin(self) -> None:
        if self.scope is None:
            self.scope = self.run.open(self)

    def _takes_commit(self) -> bool:
        if self.run.inside:
            self.run.leave("COMMIT")
            return True
        if self.scope is not None:
            self.commit()
            return True
        return not self.run.raw.in_transaction

    def _takes_pragma(self, rest: str) -> bool:
        found = _PRAGMA.match(_COMMENT.sub(" ", rest).lstrip())
        if found is None:
            return False
        if self.connecting:
            # What an application sets as it connects was set when the real connection was made.
            return True
        name, value = found[1].lower(), found[2].lower()
        if not self.run.inside:
            return False
        if name == "foreign_keys" and (value in _OFF) == self.run.foreign_keys():
            return self.run.set_foreign_keys(value not in _OFF)
        elif name == "journal_mode" and self.run.raw.execute("PRAGMA journal_mode").fetchone()[0].lower() != value:
            self.run.leave(f"PRAGMA journal_mode = {value}")
        # Of speed only, and refused in a transaction.
        return name in ("synchronous", "temp_store")


class HandedCursor(sqlite3.Cursor):
    """A cursor of the real connection that asks the handed one first."""

    handed: HandedConnection

    @property
    def connection(self) -> Any:
        return self.handed

    def execute(self, sql: str, parameters: Any = (), /) -> HandedCursor:
        if not self.handed.takes(sql):
            super().execute(sql, parameters)
        return self

    def executemany(self, sql: str, parameters: Any, /) -> HandedCursor:
        if not self.handed.takes(sql):
            super().executemany(sql, parameters)
        return self

    def executescript(self, script: str, /) -> HandedCursor:
        # sqlite3 commits before the first statement, and begins nothing by itself.
        handed = self.handed
        handed.commit()
        implicit, handed.implicit = handed.implicit, False
        try:
            for statement in split_statements(script):
                self.execute(statement)
        finally:
            handed.implicit = implicit
        return self


def _unquoted(name: str) -> str:
    return name[1:-1].replace(name[0] * 2, name[0]) if name[0] in "\"`'[" else name


def _named(text: str) -> str:
    return text.strip(" ;\n\t\r\"'`[]").lower()
