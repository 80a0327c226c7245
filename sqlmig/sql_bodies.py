"""Whether a semicolon ends a statement, or one in the body of a trigger or a routine: each database has a rule."""

from __future__ import annotations

import re

__all__ = ["Body", "body_of"]

_TRIGGER = re.compile(r"(EXPLAIN )?CREATE (TEMP |TEMPORARY )?TRIGGER\b")
_ROUTINE = re.compile(
    r"CREATE (OR REPLACE )?(DEFINER = \S+( @ \S+| \( \))? )?(AGGREGATE )?(TRIGGER|PROCEDURE|FUNCTION|EVENT)$"
)

_HEAD = 12
"""So many tokens tell whether a statement may have a body."""


def body_of(dialect: str) -> Body:
    """What watches over one statement of a database."""
    return (_MySQLBody if dialect in ("mysql", "mariadb") else _PostgreSQLBody if dialect == "postgresql" else Body)()


class Body:
    """
    Whether a statement is inside a body, told one token after the other.

    Here the rule is SQLite's own: only `;` END `;` ends the body of a trigger, for columns may be called begin and end
    (https://sqlite.org/c3ref/complete.html).
    """

    opens = "BEGIN"
    """What it begins with, for an error that says it has no end."""

    settled = False
    """Whether no more tokens need be told: nothing behind the ones that were makes a body of it."""

    def __init__(self) -> None:
        self.head: list[str] = []
        self._last = ("", "")

    @property
    def started(self) -> bool:
        """Whether there is anything but comments."""
        return bool(self.head)

    @property
    def open(self) -> bool:
        """Whether a semicolon here is the body's own."""
        return self._last != (";", "END") and bool(_TRIGGER.match(" ".join(self.head[:4])))

    def see(self, kind: str, text: str) -> None:
        """A token, comments and white space left out."""
        word = text.upper() if kind in ("word", "other") else text
        if len(self.head) < _HEAD:
            self.head.append(word)
        self._look(kind, word)
        if len(self.head) == _HEAD and not self.settled:
            self.settled = self._is_plain()
        self._last = (self._last[1], word)

    def _look(self, kind: str, word: str) -> None:
        pass

    def _is_plain(self) -> bool:
        """Whether a statement that begins as this one has no body."""
        return not _TRIGGER.match(" ".join(self.head[:4]))


class _PostgreSQLBody(Body):
    """What stands between BEGIN ATOMIC and its END, and the statements of a rule in parentheses; triggers have none."""

    def __init__(self) -> None:
        super().__init__()
        self._blocks, self._atomic = 0, False

    def _is_plain(self) -> bool:
        # Parentheses are counted to the end.
        return False

    @property
    def opens(self) -> str:  # type: ignore[override]
        return "BEGIN ATOMIC" if self._atomic else "("

    @property
    def open(self) -> bool:
        return self._blocks > 0

    def _look(self, kind: str, word: str) -> None:
        if kind == "other":
            self._blocks += (word == "(") - (word == ")")
        elif self._last[1] == "BEGIN" and word == "ATOMIC":
            self._atomic = True
            self._blocks += 1
        elif self._atomic and kind == "word":
            self._blocks += (word == "CASE") - (word == "END")
        self._blocks = max(0, self._blocks)


class _MySQLBody(Body):
    """
    The blocks of any routine on MariaDB and MySQL, which is a single statement or has blocks in blocks.

    Its words are names as well (`end`, `begin`), and functions (IF, REPEAT): they count where a statement begins.

    Source: https://mariadb.com/kb/en/programmatic-compound-statements/
    """

    _COMPOUND = frozenset({"BEGIN", "IF", "CASE", "LOOP", "WHILE", "REPEAT"})
    _SIMPLE = re.compile(
        "SET|RETURN|INSERT|UPDATE|DELETE|REPLACE|SELECT|WITH|VALUES|CALL|EXECUTE|PREPARE|SIGNAL|TRUNCATE|DROP|CREATE"
        "|ALTER|RENAME|OPTIMIZE|ANALYZE|LOAD|LOCK|GRANT|REVOKE|FLUSH|KILL|SHOW|EXPLAIN"
    )
    # Behind these the words above say what a trigger is for, or of which type a value is.
    _NO_STATEMENT = frozenset(
        {"TRIGGER", "PROCEDURE", "FUNCTION", "EVENT", "BEFORE", "AFTER", "OR", "CHARACTER", "RETURNS"}
    )
    _BEFORE_STATEMENTS = frozenset({";", "BEGIN", "ATOMIC", "THEN", "ELSE", "DO", "LOOP", "REPEAT", ":"})

    def __init__(self) -> None:
        super().__init__()
        self._blocks: list[str] = []
        self._is_routine = self._has_body = self._handles = False
        self._parentheses = 0

    @property
    def opens(self) -> str:  # type: ignore[override]
        return self._blocks[-1].removesuffix(" of a value") if self._blocks else "BEGIN"

    @property
    def open(self) -> bool:
        return bool(self._blocks)

    def _look(self, kind: str, word: str) -> None:
        if kind not in ("word", "other"):
            return
        if self._blocks:
            self._look_inside(word)
        elif self.head == ["BEGIN", "NOT"]:
            # MariaDB's block that is no routine's: BEGIN NOT ATOMIC.
            self._open("BEGIN")
        elif self._is_routine and not self._has_body:
            self._look_for_body(word)
        elif len(self.head) < _HEAD:
            self._is_routine = self._is_routine or bool(_ROUTINE.match(" ".join(self.head)))

    def _is_plain(self) -> bool:
        return not self._is_routine and not self._blocks

    def _look_for_body(self, word: str) -> None:
        self._parentheses += (word == "(") - (word == ")")
        if self._parentheses or self._last[1] in self._NO_STATEMENT:
            return
        if word in self._COMPOUND:
            self._open(word)
        elif self._SIMPLE.fullmatch(word):
            self._has_body = True

    def _look_inside(self, word: str) -> None:
        before, block = self._last[1], self._blocks[-1]
        begins = before in self._BEFORE_STATEMENTS and not (block == _VALUE and before in ("THEN", "ELSE"))
        if word == "END" and (begins or block in (_VALUE, "CASE", "UNTIL")):
            self._blocks.pop()
        elif before == "END" and word in (*self._COMPOUND, "FOR"):
            # It says what has ended.
            return
        elif word == "CASE":
            self._open("CASE" if begins else _VALUE)
        elif word == "UNTIL" and block == "REPEAT":
            self._blocks[-1] = "UNTIL"
        elif (begins and word in (*self._COMPOUND, "FOR")) or (word == "BEGIN" and self._handles):
            self._open(word)
        self._handles = word != ";" and (self._handles or word == "HANDLER")

    def _open(self, word: str) -> None:
        self._blocks.append(word)
        self._has_body = True


_VALUE = "CASE of a value"
