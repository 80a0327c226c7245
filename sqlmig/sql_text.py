"""SQL as text: where its literals and comments are, so that statements and placeholders are found beside them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterator
from itertools import count as count_from

__all__ = [
    "bind_named",
    "bind_positional",
    "has_placeholders",
    "number_named",
    "split_statements",
    "sql_hash",
    "without_literals",
    "writes",
]

# Each alternative also matches unterminated, to the end of the text: the database is to complain, not this module.
_TOKEN = re.compile(
    r"""
      (?P<comment> --[^\n]* | /\*.*?(?:\*/|\Z) )
    | (?P<quoted> '(?:[^']|'')*(?:'|\Z) | "(?:[^"]|"")*(?:"|\Z) | `(?:[^`]|``)*(?:`|\Z) | \[[^\]]*(?:\]|\Z) )
    | (?P<dollar> \$(?P<tag>[A-Za-z_]\w*|)\$ .*? (?:\$(?P=tag)\$|\Z) )
    | (?P<word> [^\W\d][\w$]* )
    | (?P<space> \s+ )
    | (?P<other> \?\? | \?\d+ | . )
    """,
    re.VERBOSE | re.DOTALL,
)
# There a backslash escapes a quote, # begins a comment, and brackets and dollars stand around nothing.
_MYSQL_TOKEN = re.compile(
    r"""
      (?P<comment> --(?=\s|\Z)[^\n]* | \#[^\n]* | /\*.*?(?:\*/|\Z) )
    | (?P<quoted> '(?:[^'\\]|\\.|'')*(?:'|\Z) | "(?:[^"\\]|\\.|"")*(?:"|\Z) | `(?:[^`]|``)*(?:`|\Z) )
    | (?P<word> [^\W\d][\w$]* )
    | (?P<space> \s+ )
    | (?P<other> \?\? | \?\d+ | . )
    """,
    re.VERBOSE | re.DOTALL,
)
# There E'' has escapes, comments nest, and brackets and backticks are operators.
_POSTGRESQL_TOKEN = re.compile(
    r"""
      (?P<comment> --[^\n]* | /\* )
    | (?P<quoted> [Ee]'(?:[^'\\]|\\.|'')*(?:'|\Z) | '(?:[^']|'')*(?:'|\Z) | "(?:[^"]|"")*(?:"|\Z) )
    | (?P<dollar> \$(?P<tag>[^\W\d]\w*|)\$ .*? (?:\$(?P=tag)\$|\Z) )
    | (?P<word> [^\W\d][\w$]* )
    | (?P<space> \s+ )
    | (?P<other> \?\? | \?\d+ | . )
    """,
    re.VERBOSE | re.DOTALL,
)
_COMMENT_EDGE = re.compile(r"/\*|\*/")
_MYSQL = ("mysql", "mariadb")
_POSTGRESQL = "postgresql"
_READING = {"SELECT", "PRAGMA", "EXPLAIN", "VALUES"}
_WRITING = {"INSERT", "UPDATE", "DELETE", "REPLACE"}
_TRIGGER = re.compile(r"(EXPLAIN )?CREATE (TEMP |TEMPORARY )?TRIGGER\b")
_ROUTINE = re.compile(
    r"CREATE (OR REPLACE )?(DEFINER = \S+( @ \S+)? )?(AGGREGATE )?(TRIGGER|PROCEDURE|FUNCTION|EVENT)\b"
)


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


def split_statements(sql: str, dialect: str = "") -> list[str]:
    """
    The statements of a script, without their semicolons.

    A semicolon in a literal, a quoted name, a comment or the body of a trigger separates nothing. What is only
    comment is left out.

    Args:
        dialect: For which database it is written; each has literals, comments and bodies of its own.
    """
    statements: list[str] = []
    parts: list[str] = []
    body = _Body(dialect)
    for kind, text in _tokens(sql, dialect):
        if kind == "other" and text == ";" and not body.open:
            _finish(statements, parts, body)
            parts, body = [], _Body(dialect)
            continue
        parts.append(text)
        body.see(kind, text)
    _finish(statements, parts, body)
    return statements


def has_placeholders(sql: str, dialect: str = "") -> bool:
    """Whether a statement has a `?` or a `:name` for a value."""
    tokens = [(kind, text) for kind, text in _tokens(sql, dialect) if kind not in ("comment", "space")]
    pairs = zip(tokens, [*tokens[1:], ("", "")], strict=True)
    return any(
        kind == "other" and (text == "?" or (text == ":" and following[0] == "word"))
        for (kind, text), following in pairs
    )


def writes(sql: str) -> bool:
    """Whether a statement that returns rows may also write: RETURNING, with or without a WITH before it."""
    words = (text.upper() for kind, text in _tokens(sql) if kind == "word")
    first = next(words, "")
    return first not in _READING and (first != "WITH" or any(word in _WRITING for word in words))


def sql_hash(sql: str) -> str:
    """The hash of what a script does: comments and white space are no part of it."""
    tokens = [text for kind, text in _tokens(sql) if kind not in ("comment", "space")]
    return hashlib.sha256("\0".join(tokens).encode()).hexdigest()[:32]


def _finish(statements: list[str], parts: list[str], body: _Body) -> None:
    if body.started:
        statements.append("".join(parts).strip())


class _Body:
    """
    Whether a statement is inside the body of a trigger, whose own statements end in semicolons.

    The rule is SQLite's own: only `;` END `;` ends it, for columns may be called begin and end
    (https://sqlite.org/c3ref/complete.html). On MariaDB and MySQL it is any routine's, which may be a single statement,
    or have blocks in blocks. On PostgreSQL it is what stands between BEGIN ATOMIC and its END, and the statements of a
    rule in parentheses; a trigger has none.
    """

    def __init__(self, dialect: str = "") -> None:
        self.started = False
        self._nests, self._blocks = dialect in _MYSQL, 0
        self._in_postgresql, self._atomic = dialect == _POSTGRESQL, False
        self._head: list[str] = []
        self._last = ("", "")

    @property
    def open(self) -> bool:
        """Whether a semicolon here is the trigger's own."""
        if self._in_postgresql:
            return self._blocks > 0
        ends = self._last == (";", "END")
        if self._nests:
            self._blocks -= ends
            return bool(_ROUTINE.match(" ".join(self._head))) and self._blocks > 0
        return bool(_TRIGGER.match(" ".join(self._head))) and not ends

    def see(self, kind: str, text: str) -> None:
        if kind in ("comment", "space"):
            return
        self.started = True
        word = text.upper() if kind in ("word", "other") else text
        if (kind == "word" or self._nests) and len(self._head) < (10 if self._nests else 4):
            self._head.append(word)
        if self._in_postgresql:
            self._blocks = max(0, self._blocks + self._step(kind, word))
        else:
            self._blocks += kind == "word" and word == "BEGIN"
        self._last = (self._last[1], word)

    def _step(self, kind: str, word: str) -> int:
        """By how many blocks a word of PostgreSQL's goes in."""
        if kind == "other":
            return (word == "(") - (word == ")")
        if self._last[1] == "BEGIN" and word == "ATOMIC":
            self._atomic = True
            return 1
        return ((word == "CASE") - (word == "END")) if self._atomic and kind == "word" else 0


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
