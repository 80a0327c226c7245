"""
The reader of CREATE TABLE: SQLite's full grammar of that statement.

Source: https://sqlite.org/lang_createtable.html and the grammar, https://sqlite.org/src/file/src/parse.y
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

from .definition import ColumnDefinition, Constraint, TableDefinition
from .tokens import Token, matching, name_of, significant

__all__ = ["DefinitionError", "parse"]

# None of these can be a part of a type; GENERATED can, unless ALWAYS follows.
_AFTER_TYPE = (
    *("CONSTRAINT", "NOT", "NULL", "PRIMARY", "UNIQUE", "CHECK", "DEFAULT"),
    *("COLLATE", "REFERENCES", "AS", "DEFERRABLE", "FOREIGN"),
)
_TABLE_CONSTRAINT = ("CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN")


class DefinitionError(ValueError):
    """The text is no CREATE TABLE that could be read."""


@lru_cache(maxsize=1024)
def parse(text: str) -> TableDefinition:
    """
    Read a CREATE TABLE statement.

    Raises:
        DefinitionError: It cannot be read.
    """
    try:
        return _Reader(text).table()
    except (IndexError, ValueError) as error:
        raise DefinitionError(f"it cannot be read: {error}") from error


@dataclass
class _Parts:
    """What a constraint is made of, while it is read."""

    words: list[str] = field(default_factory=list)
    columns: tuple[str, ...] = ()
    body: tuple[int, int] | None = None
    target: str | None = None
    target_columns: tuple[str, ...] | None = None


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = significant(text)
        self._at = 0

    # The statement

    def table(self) -> TableDefinition:
        self._expect("CREATE")
        self._accept("TEMP", "TEMPORARY")
        self._expect("TABLE")
        if self._accept("IF"):
            self._expect("NOT")
            self._expect("EXISTS")
        name = self._name()
        if self._accept_text("."):
            name = self._name()
        opening = self._here
        if not self._accept_text("("):
            raise ValueError("no list of columns")
        columns, constraints = self._elements()
        closing = self._here
        if not self._accept_text(")"):
            raise ValueError(f"unexpected {closing.text!r}")
        options = self._options()
        return TableDefinition(
            self._text,
            name_of(name),
            (name.start, name.end),
            (opening.end, closing.start),
            tuple(columns),
            tuple(constraints),
            without_rowid="ROWID" in options,
            strict="STRICT" in options,
        )

    def _options(self) -> set[str]:
        found: set[str] = set()
        while self._at < len(self._tokens):
            token = self._next()
            if token.is_word("WITHOUT"):
                self._expect("ROWID")
                found.add("ROWID")
            elif token.is_word("STRICT"):
                found.add("STRICT")
            elif token.text != ",":
                raise ValueError(f"unexpected {token.text!r} after the columns")
        return found

    def _elements(self) -> tuple[list[ColumnDefinition], list[Constraint]]:
        columns = [self._column()]
        while self._accept_text(","):
            if self._here.is_word(*_TABLE_CONSTRAINT):
                return columns, self._table_constraints()
            columns.append(self._column())
        return columns, []

    # Columns

    def _column(self) -> ColumnDefinition:
        name = self._name()
        column = name_of(name)
        type_span = self._type(name)
        constraints: list[Constraint] = []
        while not self._at_end_of_element():
            constraints.append(self._constraint(column))
        return ColumnDefinition(
            column,
            self._spelled(type_span),
            name.start,
            self._previous.end,
            type_span,
            tuple(constraints),
        )

    def _spelled(self, span: tuple[int, int]) -> str:
        """A type as SQLite tells it: of one that begins with a quoted word, that word alone."""
        text = self._text[slice(*span)]
        first = significant(text)[:1]
        return name_of(first[0]) if first and first[0].kind in ("quoted", "string") else text

    def _type(self, name: Token) -> tuple[int, int]:
        first = self._at
        while self._here.is_name and not self._ends_type():
            self._at += 1
        if self._at == first:
            return name.end, name.end
        if self._here.text == "(":
            self._at = matching(self._tokens, self._at) + 1
        return self._tokens[first].start, self._previous.end

    def _ends_type(self) -> bool:
        if self._here.is_word("GENERATED"):
            return self._tokens[self._at + 1].is_word("ALWAYS")
        return self._here.is_word(*_AFTER_TYPE)

    # Constraints

    def _table_constraints(self) -> list[Constraint]:
        found = []
        while not self._at_end():
            found.append(self._constraint(None))
            # The comma between two of them may be left out.
            self._accept_text(",")
        return found

    def _constraint(self, column: str | None) -> Constraint:
        start, name = self._here.start, None
        if self._accept("CONSTRAINT"):
            name = name_of(self._name())
            if self._at_end_of_element() or self._here.is_word("CONSTRAINT"):
                return Constraint("name", start, self._previous.end, name, column)
        parts = _Parts(columns=() if column is None else (column,))
        kind = self._kind(parts, column is None)
        return Constraint(
            kind,
            start,
            self._previous.end,
            name,
            column,
            parts.columns,
            parts.body,
            parts.target,
            parts.target_columns,
            tuple(parts.words),
        )

    def _kind(self, parts: _Parts, of_table: bool) -> str:
        word = self._next()
        match word.text.upper() if word.kind == "word" else "":
            case "PRIMARY" | "UNIQUE" as first:
                return self._key(parts, of_table, first)
            case "CHECK":
                self._expression(parts)
                self._conflict(parts)
                return "check"
            case "FOREIGN":
                self._expect("KEY")
                parts.columns = self._names()
                self._expect("REFERENCES")
                self._references(parts)
                return "foreign_key"
            case "REFERENCES":
                self._references(parts)
                return "foreign_key"
            case "NOT" if not self._here.is_word("DEFERRABLE"):
                self._expect("NULL")
                self._conflict(parts)
                return "not_null"
            case "NOT" | "DEFERRABLE":
                self._at -= 1
                self._deferrable(parts)
                return "deferrable"
            case "NULL":
                self._conflict(parts)
                return "null"
            case "DEFAULT":
                self._default(parts)
                return "default"
            case "COLLATE":
                collation = self._name()
                parts.body = collation.start, collation.end
                return "collate"
            case "GENERATED" | "AS" as first:
                if first == "GENERATED":
                    self._expect("ALWAYS")
                    self._expect("AS")
                self._expression(parts)
                self._words(parts, "STORED", "VIRTUAL")
                return "generated"
        raise ValueError(f"unexpected {word.text!r}")

    def _key(self, parts: _Parts, of_table: bool, first: str) -> str:
        if first == "PRIMARY":
            self._expect("KEY")
        if of_table:
            closing = matching(self._tokens, self._at)
            parts.columns = self._names()
            inside = self._tokens[closing - 1]
            if first == "PRIMARY" and inside.is_word("AUTOINCREMENT"):
                parts.words.append("AUTOINCREMENT")
        elif first == "PRIMARY":
            self._words(parts, "ASC", "DESC")
        self._conflict(parts)
        if first == "PRIMARY":
            self._words(parts, "AUTOINCREMENT")
        return "primary_key" if first == "PRIMARY" else "unique"

    def _references(self, parts: _Parts) -> None:
        parts.target = name_of(self._name())
        if self._here.text == "(":
            parts.target_columns = self._names()
        while self._here.is_word("ON", "MATCH"):
            words = [self._next().text.upper()]
            if words[0] == "MATCH":
                words.append(self._name().text)
            else:
                words += [self._next().text.upper(), self._next().text.upper()]
                if words[-1] in ("SET", "NO"):
                    words.append(self._next().text.upper())
            parts.words += [" ".join(words)]
        if self._here.is_word("DEFERRABLE") or (
            self._here.is_word("NOT") and self._tokens[self._at + 1].is_word("DEFERRABLE")
        ):
            self._deferrable(parts)

    def _deferrable(self, parts: _Parts) -> None:
        self._words(parts, "NOT")
        self._expect("DEFERRABLE")
        parts.words.append("DEFERRABLE")
        if self._accept("INITIALLY"):
            parts.words.append(f"INITIALLY {self._next().text.upper()}")

    def _default(self, parts: _Parts) -> None:
        first = self._here
        if first.text == "(":
            self._at = matching(self._tokens, self._at) + 1
        else:
            self._at += 2 if first.text in "+-" else 1
        parts.body = first.start, self._previous.end

    def _expression(self, parts: _Parts) -> None:
        closing = matching(self._tokens, self._at)
        parts.body = self._here.end, self._tokens[closing].start
        self._at = closing + 1

    def _conflict(self, parts: _Parts) -> None:
        if self._accept("ON"):
            self._expect("CONFLICT")
            parts.words.append(f"ON CONFLICT {self._next().text.upper()}")

    def _names(self) -> tuple[str, ...]:
        """The names in a list of columns, each of which may have a collation and an order behind it."""
        closing = matching(self._tokens, self._at)
        names, expected = [], True
        for token in self._tokens[self._at + 1 : closing]:
            if token.text == ",":
                expected = True
            elif expected and token.is_name:
                names.append(name_of(token))
                expected = False
        self._at = closing + 1
        return tuple(names)

    # Tokens

    @property
    def _here(self) -> Token:
        return self._tokens[self._at]

    @property
    def _previous(self) -> Token:
        return self._tokens[self._at - 1]

    def _next(self) -> Token:
        self._at += 1
        return self._previous

    def _at_end(self) -> bool:
        return self._here.text == ")"

    def _at_end_of_element(self) -> bool:
        return self._here.text in (",", ")")

    def _name(self) -> Token:
        token = self._next()
        if not token.is_name:
            raise ValueError(f"{token.text!r} where a name should be")
        return token

    def _words(self, parts: _Parts, *words: str) -> None:
        if self._here.is_word(*words):
            parts.words.append(self._next().text.upper())

    def _expect(self, word: str) -> None:
        if not self._accept(word):
            raise ValueError(f"{self._here.text!r} where {word} should be")

    def _accept(self, *words: str) -> bool:
        if self._at < len(self._tokens) and self._here.is_word(*words):
            self._at += 1
            return True
        return False

    def _accept_text(self, text: str) -> bool:
        if self._here.text == text:
            self._at += 1
            return True
        return False
