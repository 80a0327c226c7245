"""SQL as text: where its literals and comments are, so that statements and placeholders are found beside them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterator
from itertools import count as count_from
from typing import NamedTuple

from .sql_bodies import body_of

__all__ = [
    "COPY_REFUSED",
    "Script",
    "Statement",
    "Unclosed",
    "bind_named",
    "bind_positional",
    "comments_in",
    "copies_with_client",
    "has_placeholders",
    "number_named",
    "read_script",
    "split_statements",
    "sql_hash",
    "without_literals",
    "writes",
]

# Each alternative also matches unterminated, to the end of the text: the database is to complain, not this module.
# The possessive ++ and *+ give nothing back, or a literal would take a hundred bytes of memory for each of its own.
_TOKEN = re.compile(
    r"""
      (?P<comment> --[^\n]* | /\*.*?(?:\*/|\Z) )
    | (?P<quoted>
          '(?:[^']++|'')*+(?:'|\Z) | "(?:[^"]++|"")*+(?:"|\Z) | `(?:[^`]++|``)*+(?:`|\Z) | \[[^\]]*+(?:\]|\Z)
      )
    | (?P<dollar> \$(?P<tag>[A-Za-z_]\w*|)\$ .*? (?:\$(?P=tag)\$|\Z) )
    | (?P<word> [^\W\d][\w$]* )
    | (?P<space> \s+ )
    | (?P<number> \d+ )
    | (?P<other> \?\? | \?\d+ | . )
    """,
    re.VERBOSE | re.DOTALL,
)
# There a backslash escapes a quote, # begins a comment, and brackets and dollars stand around nothing. What stands in
# /*! */ is executed.
_MYSQL_TOKEN = re.compile(
    r"""
      (?P<command> /\*M?!.*?(?:\*/|\Z) )
    | (?P<comment> --(?=\s|\Z)[^\n]* | \#[^\n]* | /\*.*?(?:\*/|\Z) )
    | (?P<quoted>
          '(?:[^'\\]++|\\(?:.|\Z)|'')*+(?:'|\Z) | "(?:[^"\\]++|\\(?:.|\Z)|"")*+(?:"|\Z) | `(?:[^`]++|``)*+(?:`|\Z)
      )
    | (?P<word> [^\W\d][\w$]* )
    | (?P<space> \s+ )
    | (?P<number> \d+ )
    | (?P<other> \?\? | \?\d+ | . )
    """,
    re.VERBOSE | re.DOTALL,
)
# There E'' has escapes, comments nest, and brackets and backticks are operators.
_POSTGRESQL_TOKEN = re.compile(
    r"""
      (?P<comment> --[^\n]* | /\* )
    | (?P<quoted>
          [Ee]'(?:[^'\\]++|\\(?:.|\Z)|'')*+(?:'|\Z) | '(?:[^']++|'')*+(?:'|\Z) | "(?:[^"]++|"")*+(?:"|\Z)
      )
    | (?P<dollar> \$(?P<tag>[^\W\d]\w*|)\$ .*? (?:\$(?P=tag)\$|\Z) )
    | (?P<word> [^\W\d][\w$]* )
    | (?P<space> \s+ )
    | (?P<number> \d+ )
    | (?P<other> \?\? | \?\d+ | . )
    """,
    re.VERBOSE | re.DOTALL,
)
_COPY = re.compile(r"(?:\s|--[^\n]*\n|/\*.*?\*/)*COPY\b", re.IGNORECASE | re.DOTALL)
_OF_CLIENT = re.compile(r"\b(?:FROM\s+STDIN|TO\s+STDOUT)\b", re.IGNORECASE)
_HINT = "/*+"
"""What a comment begins with that tells the planner what to do, so that it is a part of its statement."""

_COMMENT_EDGE = re.compile(r"/\*|\*/")
_MYSQL = ("mysql", "mariadb")
_POSTGRESQL = "postgresql"
_READING = {"SELECT", "PRAGMA", "EXPLAIN", "VALUES"}
_LOOKING = {"SHOW", "DESCRIBE", "DESC", "SAVEPOINT", "RELEASE"}
_WRITING = {"INSERT", "UPDATE", "DELETE", "REPLACE"}


def _tokens(sql: str, dialect: str = "") -> Iterator[tuple[str, str]]:
    pattern = _MYSQL_TOKEN if dialect in _MYSQL else _POSTGRESQL_TOKEN if dialect == _POSTGRESQL else _TOKEN
    position = 0
    while match := pattern.match(sql, position):
        begins, position = position, match.end()
        if match[0] == "/*":
            position = _end_of_comment(sql, position)
        kind = match.lastgroup if match.lastgroup != "tag" else "dollar"
        yield kind, sql[begins:position]  # type: ignore[misc]


def _end_of_comment(sql: str, position: int) -> int:
    """Behind a comment, and those in it, whose first two characters are before *position*."""
    depth = 1
    for edge in _COMMENT_EDGE.finditer(sql, position):
        depth += 1 if edge[0] == "/*" else -1
        if not depth:
            return edge.end()
    return len(sql)


class Statement(NamedTuple):
    """
    One statement of a script, without its semicolon.

    Attributes:
        whole: With the comments that stand before and behind it.
        text: From its first word to its last.
        begins: Where that first word is in the script.
        normal: The same with one blank for comments and white space, and none where that means nothing.
        words: Its first words, in capitals.
    """

    whole: str
    text: str
    begins: int
    normal: str
    words: tuple[str, ...]


class Unclosed(NamedTuple):
    """What begins in a script and has no end there: as it begins, and where."""

    opening: str
    begins: int


class Script(NamedTuple):
    """The statements of a script, and what is open at its end."""

    statements: list[Statement]
    unclosed: Unclosed | None


def read_script(sql: str, dialect: str = "") -> Script:
    """
    The statements of a script.

    A semicolon in a literal, a quoted name, a comment or the body of a trigger separates nothing. What is only
    comment is left out.

    Args:
        dialect: For which database it is written; each has literals, comments and bodies of its own.
    """
    statements: list[Statement] = []
    unclosed, first, position = None, 0, 0
    reader = _Reader(sql, dialect)
    # What has no end takes in this one as well.
    for kind, text in _tokens(f"{sql}\n;", dialect):
        begins, position = position, position + len(text)
        if position > len(sql) and text not in ("\n", ";"):
            unclosed = None if kind == "space" else Unclosed(_opening(kind, text), begins)
        if kind == "other" and text == ";" and (not reader.body.open or position > len(sql)):
            if reader.body.open:
                unclosed = Unclosed(reader.body.opens, reader.begins)
            if reader.body.started:
                statements.append(reader.statement(first, begins))
            reader, first = _Reader(sql, dialect), position
        else:
            reader.see(kind, text, begins)
    if reader.body.started:
        statements.append(reader.statement(first, len(sql)))
    return Script(statements, unclosed)


class _Reader:
    """Puts one statement together, token by token."""

    def __init__(self, sql: str, dialect: str) -> None:
        self.body, self.begins = body_of(dialect), 0
        self._sql, self._ends, self._gap = sql, 0, False
        self._parts: list[str] = []

    def see(self, kind: str, text: str, begins: int) -> None:
        parts, hint = self._parts, False
        if kind in ("space", "comment"):
            hint = bool(parts) and text.startswith(_HINT)
            if not hint:
                self._gap = True
                return
        if not parts:
            self.begins = begins
        elif self._gap and text not in (",", ")") and parts[-1] not in (",", "("):
            parts.append(" ")
        self._gap, self._ends = False, begins + len(text)
        parts.append(text)
        if not hint and not self.body.settled:
            self.body.see(kind, text)

    def statement(self, first: int, last: int) -> Statement:
        text = self._sql[self.begins : self._ends]
        whole = self._sql[first:last].strip()
        return Statement(whole, text, self.begins, "".join(self._parts), tuple(self.body.head[:3]))


def _opening(kind: str, text: str) -> str:
    if kind == "dollar":
        return text[: text.index("$", 1) + 1]
    return text[:2] if text.startswith("/*") else text.lstrip("Ee")[:1]


def split_statements(sql: str, dialect: str = "") -> list[str]:
    """The statements of a script without their semicolons, each with the comments around it; see `read_script`."""
    return [statement.whole for statement in read_script(sql, dialect).statements]


def comments_in(sql: str, dialect: str = "") -> Iterator[tuple[int, str]]:
    """The comments of a script, and where they begin."""
    position = 0
    for kind, text in _tokens(sql, dialect):
        if kind == "comment":
            yield position, text
        position += len(text)


COPY_REFUSED = "COPY from or to the client needs rows beside the statement, which a migration cannot send along"


def copies_with_client(sql: str) -> bool:
    """Whether a statement for PostgreSQL is a COPY FROM STDIN or a COPY TO STDOUT, for which the driver has methods."""
    return _COPY.match(sql) is not None and _OF_CLIENT.search(without_literals(sql, _POSTGRESQL)) is not None


def has_placeholders(sql: str, dialect: str = "") -> bool:
    """Whether a statement has a `?` or a `:name` for a value."""
    tokens = [(kind, text) for kind, text in _tokens(sql, dialect) if kind not in ("comment", "space")]
    pairs = zip(tokens, [*tokens[1:], ("", "")], strict=False)
    return any(
        kind == "other" and (text == "?" or (text == ":" and following[0] == "word"))
        for (kind, text), following in pairs
    )


def writes(sql: str) -> bool:
    """Whether a statement that returns rows may also write: RETURNING, with or without a WITH before it."""
    words = (text.upper() for kind, text in _tokens(sql) if kind == "word")
    first = next(words, "")
    return first not in _READING and (first != "WITH" or any(word in _WRITING for word in words))


def only_reads(sql: str) -> bool:
    """Whether a statement leaves the database as it is; a savepoint does, and what a function does is not seen."""
    words = [text.upper() for kind, text in _tokens(sql) if kind == "word"]
    first = words[0] if words else ""
    if first == "PRAGMA":
        return not any(kind == "other" and text == "=" for kind, text in _tokens(sql))
    return first in _LOOKING or (first == "ROLLBACK" and "TO" in words) or not writes(sql)


def mentions(sql: str, names: Collection[str]) -> bool:
    """Whether one of *names*, in lower case, is a name in a statement."""
    found = (text for kind, text in _tokens(sql) if kind in ("word", "quoted") and not text.startswith("'"))
    return any(text.strip('"`[]').lower() in names for text in found)


def sql_hash(sql: str) -> str:
    """The hash of what a script does: comments and white space are no part of it."""
    tokens: list[str] = []
    for kind, text in _tokens(sql):
        if kind == "number":
            # Digit by digit, as in the hashes that databases have.
            tokens.extend(text)
        elif kind not in ("comment", "space"):
            tokens.append(text)
    return hashlib.sha256("\0".join(tokens).encode()).hexdigest()[:32]


def without_literals(sql: str, dialect: str = "") -> str:
    """*sql* with its comments left out and its texts empty; of a dollar-quoted body, what is in it."""
    parts: list[str] = []
    for kind, text in _tokens(sql, dialect):
        if kind == "comment":
            parts.append(" ")
        elif kind == "quoted" and text.startswith(("'", "E'", "e'")):
            parts.append("''")
        elif kind == "dollar":
            parts.append(without_literals(text.strip("$").partition("$")[2].rpartition("$")[0], dialect) or text)
        else:
            parts.append(text)
    return "".join(parts)


def bind_named(sql: str, names: Collection[str], dialect: str = "") -> str:
    """*sql* with each `:name` of *names* spelled `%(name)s`, and every other `%` doubled, as some drivers want it."""
    parts: list[str] = []
    for kind, text in _tokens(sql, dialect):
        # `a::text` is a cast, and no parameter of the name text.
        if kind == "word" and text in names and parts[-1:] == [":"] and parts[-2:-1] != [":"]:
            parts[-1] = f"%({text})s"
        else:
            parts.append(text.replace("%", "%%"))
    return "".join(parts)


def number_named(sql: str, names: Collection[str]) -> tuple[str, list[str]]:
    """*sql* with each `:name` of *names* spelled `$1`, one number for one name, and the names in the order of these."""
    parts: list[str] = []
    found: dict[str, int] = {}
    for kind, text in _tokens(sql, _POSTGRESQL):
        # `a::text` is a cast, and no parameter of the name text.
        if kind == "word" and text in names and parts[-1:] == [":"] and parts[-2:-1] != [":"]:
            parts[-1] = f"${found.setdefault(text, len(found) + 1)}"
        else:
            parts.append(text)
    return "".join(parts), list(found)


def bind_positional(sql: str, count: int, placeholder: str = "?", dialect: str = "") -> str:
    """
    *sql* with its `?` spelled as the driver wants them, and `??` as a literal `?`.

    Args:
        count: How many values there are.
        placeholder: With `%s`, every other `%` is doubled; with `$`, they are numbered: `$1`, `$2`.

    Raises:
        ValueError: There is another number of `?`, or a numbered one (Python 3.14 refuses those with a tuple).
    """
    pieces = [(kind == "other", text) for kind, text in _tokens(sql, dialect)]
    if any(bare and text[0] == "?" and text[1:].isdigit() for bare, text in pieces):
        raise ValueError("a numbered placeholder (?1) takes no tuple; write ? for each value, or :name and a dict")
    found = sum(1 for bare, text in pieces if bare and text == "?")
    if found != count:
        raise ValueError(f"the statement has {found} placeholders (?), and {count} values were given")
    if placeholder == "$":
        numbers = count_from(1)
        return "".join(
            f"${next(numbers)}" if bare and text == "?" else "?" if bare and text == "??" else text
            for bare, text in pieces
        )
    if "%" in placeholder:
        pieces = [(bare, text.replace("%", "%%")) for bare, text in pieces]
    return "".join({"?": placeholder, "??": "?"}.get(text, text) if bare else text for bare, text in pieces)
