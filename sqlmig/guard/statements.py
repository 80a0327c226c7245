"""What the text of one statement says it does to a table; the rest is asked of SQLite."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from ..schema.sqlite.definition import folded
from ..schema.sqlite.tokens import Token, matching, name_of, significant

__all__ = [
    "AddColumn",
    "Copy",
    "CreateTable",
    "Delete",
    "DropColumn",
    "DropTable",
    "Insert",
    "RenameColumn",
    "RenameTable",
    "Savepoint",
    "Statement",
    "Update",
    "first_word",
    "parse",
]

# Possessive, since what is nothing but blanks would otherwise be tried in every way to cut it.
_FIRST = re.compile(r"(?:\s|--[^\n]*(?:\n|$)|/\*.*?\*/|;)*+([A-Za-z]+)", re.DOTALL)
# What may follow the one table of a FROM whose rows are copied.
_AFTER_FROM = ("WHERE", "ORDER", "LIMIT", "GROUP", "HAVING", "NOT", "INDEXED", "RETURNING", "ON")


class Named(NamedTuple):
    """A table as a statement names it."""

    schema: str | None
    name: str


class DropTable(NamedTuple):
    table: Named


class RenameTable(NamedTuple):
    table: Named
    new: str


class RenameColumn(NamedTuple):
    table: Named
    old: str
    new: str


class DropColumn(NamedTuple):
    table: Named
    column: str


class AddColumn(NamedTuple):
    table: Named
    column: str


class Copy(NamedTuple):
    """
    `SELECT ... FROM source`.

    Attributes:
        columns: Of each result column the column read, None for an expression, and the name that it is given; None
            altogether for `*`.
        whole: Whether every row is taken, in the order in which the table has them.
    """

    source: Named
    columns: tuple[tuple[str | None, str | None], ...] | None
    whole: bool


class CreateTable(NamedTuple):
    table: Named
    temporary: bool
    filled: bool
    """Whether it is made of a query."""
    copy: Copy | None


class Insert(NamedTuple):
    """
    An INSERT.

    Attributes:
        columns: Those that are named; None where none is.
        replaces: Whether rows may be pushed out.
        counts: Whether the number of changed rows is the number of new ones.
    """

    table: Named
    columns: tuple[str, ...] | None
    replaces: bool
    counts: bool
    copy: Copy | None


class Update(NamedTuple):
    """An UPDATE; whether it says that rows may be pushed out."""

    replaces: bool


class Delete(NamedTuple):
    """A DELETE; whether the number of changed rows is known when it has run."""

    counts: bool


class Savepoint(NamedTuple):
    """SAVEPOINT, RELEASE or ROLLBACK TO; the name is folded."""

    word: str
    name: str


Statement: TypeAlias = (
    "DropTable | RenameTable | RenameColumn | DropColumn | AddColumn"
    " | CreateTable | Insert | Update | Delete | Savepoint"
)

# A statement that lists a hundred thousand rows says what it does at its two ends.
_ENDS = 8_000


def first_word(sql: str) -> str:
    """The keyword that a statement begins with, in capitals."""
    found = _FIRST.match(sql)
    return found[1].upper() if found else ""


def parse(sql: str) -> Statement | None:
    """What a statement that changes rows, tables or savepoints says; None for any other, and for one cut off."""
    long = len(sql) > 2 * _ENDS
    found = significant(sql[:_ENDS]) + significant(sql[-_ENDS:]) if long else significant(sql)
    reader = _Reader(found)
    while found[reader.at :] and found[reader.at].text == ";":
        reader.at += 1
    with_queries = reader.sees("WITH")
    if with_queries:
        reader.skip_queries()
    try:
        for word, read in _READERS.items():
            if reader.skip(word):
                said = read(reader)
                # What the names in a SELECT mean is said before it.
                return said._replace(copy=None) if with_queries and isinstance(said, Insert) else said
    except (IndexError, ValueError):
        # Cut off in the middle: SQLite will refuse it.
        pass
    return None


class _Reader:
    """Tokens, read from the first to the last."""

    def __init__(self, found: list[Token]) -> None:
        self.tokens, self.at = found, 0

    @property
    def ended(self) -> bool:
        return self.at >= len(self.tokens) or self.tokens[self.at].text == ";"

    def sees(self, *words: str) -> bool:
        return not self.ended and self.tokens[self.at].is_word(*words)

    def sees_text(self, text: str) -> bool:
        return not self.ended and self.tokens[self.at].text == text

    def skip(self, *words: str) -> bool:
        """Go past these words, if they are what comes next."""
        wanted = self.tokens[self.at : self.at + len(words)]
        if len(wanted) == len(words) and all(t.is_word(w) for t, w in zip(wanted, words, strict=True)):
            self.at += len(words)
            return True
        return False

    def skip_text(self, text: str) -> bool:
        if self.sees_text(text):
            self.at += 1
            return True
        return False

    def name(self) -> str:
        token = self.tokens[self.at]
        if not token.is_name:
            raise ValueError(token.text)
        self.at += 1
        return name_of(token)

    def table(self) -> Named:
        first = self.name()
        return Named(first, self.name()) if self.skip_text(".") else Named(None, first)

    def inside(self) -> list[Token]:
        """What stands in the parentheses that open here; goes past them."""
        end = matching(self.tokens, self.at)
        found = self.tokens[self.at + 1 : end]
        self.at = end + 1
        return found

    def rest(self) -> list[Token]:
        return self.tokens[self.at :]

    def skip_queries(self) -> None:
        """Go past the WITH of a statement, to its verb."""
        depth = 0
        while not self.ended and not (depth == 0 and self.sees("INSERT", "REPLACE", "UPDATE", "DELETE", "SELECT")):
            depth += {"(": 1, ")": -1}.get(self.tokens[self.at].text, 0)
            self.at += 1

    def says(self, *words: str) -> bool:
        """Whether these words stand in what is left, one after the other and in no parentheses."""
        found = _outside(self.rest())
        places = range(len(found) - len(words) + 1)
        return any(all(found[i + n].is_word(word) for n, word in enumerate(words)) for i in places)


def _drop(reader: _Reader) -> Statement | None:
    if not reader.skip("TABLE"):
        return None
    reader.skip("IF", "EXISTS")
    return DropTable(reader.table())


def _alter(reader: _Reader) -> Statement | None:
    if not reader.skip("TABLE"):
        return None
    table = reader.table()
    if reader.skip("RENAME", "TO"):
        return RenameTable(table, reader.name())
    for word in ("RENAME", "DROP", "ADD"):
        if reader.skip(word):
            reader.skip("COLUMN")
            column = reader.name()
            if word == "RENAME":
                reader.skip("TO")
                return RenameColumn(table, column, reader.name())
            return DropColumn(table, column) if word == "DROP" else AddColumn(table, column)
    return None


def _create(reader: _Reader) -> Statement | None:
    temporary = reader.skip("TEMP") or reader.skip("TEMPORARY")
    reader.skip("VIRTUAL")
    if not reader.skip("TABLE"):
        return None
    reader.skip("IF", "NOT", "EXISTS")
    table = reader.table()
    filled = reader.skip("AS")
    return CreateTable(table, temporary, filled, _copy(reader) if filled else None)


def _replace(reader: _Reader) -> Statement | None:
    return _insert(reader, replaces=True)


def _insert(reader: _Reader, replaces: bool = False) -> Statement | None:
    if reader.skip("OR"):
        replaces = reader.sees("REPLACE")
        reader.at += 1
    if not reader.skip("INTO"):
        return None
    table = reader.table()
    if reader.skip("AS"):
        reader.name()
    columns = None
    if reader.sees_text("("):
        columns = tuple(name_of(token) for token in reader.inside() if token.text != ",")
    counts = not (replaces or reader.says("ON", "CONFLICT") or reader.says("RETURNING"))
    return Insert(table, columns, replaces, counts, _copy(reader))


def _update(reader: _Reader) -> Statement:
    return Update(reader.skip("OR", "REPLACE"))


def _delete(reader: _Reader) -> Statement:
    return Delete(not reader.says("RETURNING"))


def _savepoint(reader: _Reader) -> Statement:
    return Savepoint("SAVEPOINT", folded(reader.name()))


def _release(reader: _Reader) -> Statement:
    reader.skip("SAVEPOINT")
    return Savepoint("RELEASE", folded(reader.name()))


def _rollback(reader: _Reader) -> Statement | None:
    reader.skip("TRANSACTION")
    if not reader.skip("TO"):
        return None
    reader.skip("SAVEPOINT")
    return Savepoint("ROLLBACK", folded(reader.name()))


_READERS: dict[str, Callable[[_Reader], Statement | None]] = {
    "INSERT": _insert,
    "REPLACE": _replace,
    "UPDATE": _update,
    "DELETE": _delete,
    "DROP": _drop,
    "ALTER": _alter,
    "CREATE": _create,
    "SAVEPOINT": _savepoint,
    "RELEASE": _release,
    "ROLLBACK": _rollback,
}


def _outside(found: list[Token]) -> list[Token]:
    """The tokens that stand in no parentheses."""
    depth, outside = 0, []
    for token in found:
        depth += {"(": 1, ")": -1}.get(token.text, 0)
        if depth == 0:
            outside.append(token)
    return outside


def _copy(reader: _Reader) -> Copy | None:
    """A plain SELECT from one table, else None."""
    try:
        return _plain_copy(reader)
    except (IndexError, ValueError):
        return None


def _plain_copy(reader: _Reader) -> Copy | None:
    while reader.skip_text("("):
        pass
    if not reader.skip("SELECT") or reader.says("UNION") or reader.says("INTERSECT") or reader.says("EXCEPT"):
        return None
    reader.skip("ALL")
    distinct = reader.skip("DISTINCT")
    items: list[list[Token]] = [[]]
    depth = 0
    while not (depth == 0 and reader.sees("FROM")):
        token = reader.tokens[reader.at]
        depth += {"(": 1, ")": -1}.get(token.text, 0)
        if depth == 0 and token.text == ",":
            items.append([])
        else:
            items[-1].append(token)
        reader.at += 1
    reader.skip("FROM")
    source = reader.table()
    if not (reader.ended or reader.sees(*_AFTER_FROM) or reader.sees_text(")")):
        reader.skip("AS")
        reader.name()
    if not (reader.ended or reader.sees(*_AFTER_FROM) or reader.sees_text(")")):
        return None
    whole = reader.ended and not distinct
    if len(items) == 1 and items[0][-1].text == "*":
        return Copy(source, None, whole)
    return Copy(source, tuple(_column(item) for item in items), whole)


def _column(item: list[Token]) -> tuple[str | None, str | None]:
    """What a result column reads, if it reads one column and does nothing to it, and what it is called."""
    called = None
    if len(item) > 2 and item[-2].is_word("AS") and item[-1].is_name:
        item, called = item[:-2], name_of(item[-1])
    path, dots = item[::2], item[1::2]
    plain = len(item) % 2 == 1 and all(dot.text == "." for dot in dots)
    if plain and all(token.kind in ("word", "quoted") for token in path) and not path[-1].is_word(*_CONSTANTS):
        return name_of(path[-1]), called or name_of(path[-1])
    return None, called


_CONSTANTS = ("NULL", "TRUE", "FALSE", "CURRENT_TIMESTAMP", "CURRENT_DATE", "CURRENT_TIME")
