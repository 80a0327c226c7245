"""
What a migration in plain SQL says: directives in lines of their own, and a section for each way and database.

    -- sqlmig: description: Documents know their language
    -- sqlmig: depends: 3, 7

    -- sqlmig: up
    ALTER TABLE documents ADD COLUMN language TEXT;

    -- sqlmig: down
    ALTER TABLE documents DROP COLUMN language;

A directive is known by its line alone, whatever stands around it, so that the sections are the same for every database:
they differ in what is a literal. One inside a literal is refused, because the literal has no end in its section then.
Nothing is run here.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from .errors import near_matches
from .sql_text import COPY_REFUSED, Statement, Unclosed, comments_in, copies_with_client, read_script

__all__ = ["Section", "SqlFile", "SqlFileError", "SqlStatement", "is_script", "read_sql_file"]

PREFIX = "sql1:"
"""Before every checksum: which form was hashed."""

_WAYS = ("up", "down")
_SETTINGS = {
    "description": "-- sqlmig: description: what it changes",
    "depends": "-- sqlmig: depends: 3, 7",
    "transactional": "-- sqlmig: transactional: false",
    "removes": "-- sqlmig: removes: documents.abstract, old_table",
}
_DATABASES = {"sqlite": "sqlite", "postgresql": "postgresql", "mysql": "mysql", "mariadb": "mysql"}
_DIRECTIVE = re.compile(r"\s*--\s*sqlmig\s*:\s*(.*?)\s*", re.IGNORECASE)
_PARTS = re.compile(r"(\w*)\s*(:?)\s*(.*)", re.DOTALL)
# A comment that begins like a directive, with another mark, another name or without its colon.
_ALMOST = re.compile(r"\s*(?:--+|\#+|//+|/\*+)\s*(\w+)\W*?([:\s])\s*(\w+)")
_HIDDEN = re.compile(r"\W*sqlmig\s*:", re.IGNORECASE)
_VERSION = re.compile(r"0*[1-9][0-9]{0,17}")
_OPENED = {
    "'": "a string",
    '"': "a string or a quoted name",
    "`": "a quoted name",
    "[": "a quoted name",
    "/*": "a comment",
}
_MYSQL_CLIENT = "of the mysql client"
_CLIENTS = {"DELIMITER": _MYSQL_CLIENT, "SOURCE": _MYSQL_CLIENT, "\\": "of psql", ".": "of the sqlite3 shell"}
_LOCKS_TABLES = (("LOCK", "TABLES"), ("LOCK", "TABLE"))


class SqlFileError(ValueError):
    """The file is no migration; `line` and `reason` say where and why."""

    def __init__(self, line: int, reason: str) -> None:
        self.line, self.reason = line, reason
        super().__init__(f"line {line}: {reason}")


class SqlStatement(NamedTuple):
    """A statement, the line that it begins in, and what of it is hashed."""

    text: str
    line: int
    normal: str


class Section(NamedTuple):
    """The statements for one way, of one database or of all (`""`)."""

    way: str
    database: str
    line: int
    statements: Sequence[SqlStatement]

    @property
    def name(self) -> str:
        """As its directive says it."""
        return f"{self.way} {self.database}".strip()


class SqlFile(NamedTuple):
    """
    A file that can be run.

    Attributes:
        up, down: The sections for the database at hand; None where there is no way back.
        depends_line: Where it says what it depends on.
    """

    description: str
    depends: Sequence[int]
    transactional: bool
    removes: Sequence[str]
    sections: Sequence[Section]
    up: Section
    down: Section | None
    depends_line: int | None = None

    @property
    def checksum(self) -> str:
        """The hash of what it does, on every database: comments, white space and its description are no part of it."""
        said = {
            "depends": sorted(set(self.depends)),
            "transactional": self.transactional,
            "removes": sorted(set(self.removes)),
            "sections": sorted([section.name, [s.normal for s in section.statements]] for section in self.sections),
        }
        return PREFIX + hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:40]


class _Directive(NamedTuple):
    line: int
    name: str
    value: str


def read_sql_file(source: bytes, dialect: str) -> SqlFile:
    """
    What a file says to the database of *dialect*.

    Raises:
        SqlFileError: Nobody could run it, here or where a section of it is for.
    """
    lines = _decoded(source).split("\n")
    directives = [found for number, line in enumerate(lines, 1) if (found := _directive_in(line, number)) is not None]
    openings = [directive for directive in directives if directive.name in _WAYS]
    settings = directives[: directives.index(openings[0])] if openings else directives
    _refuse_late(directives[len(settings) :])
    _refuse_twice(directives)
    said = {directive.name: directive for directive in settings}
    _check_head(lines, said.values(), openings, dialect)
    up, down = (_chosen(openings, way, dialect) for way in _WAYS)
    if up is None:
        raise _no_up(openings, dialect)
    transactional = _transactional(said)
    sections = {}
    for opening, end in zip(openings, [*(one.line for one in openings[1:]), None], strict=True):
        text = "\n".join(lines[opening.line : end and end - 1])
        checked = bool(opening.value) or opening in (up, down)
        sections[opening] = _section(opening, text, dialect, transactional, end, checked=checked)
    return SqlFile(
        description=said["description"].value if "description" in said else "",
        depends=_depends(said),
        transactional=transactional,
        removes=_removes(said),
        sections=tuple(sections.values()),
        up=sections[up],
        down=None if down is None else sections[down],
        depends_line=said["depends"].line if "depends" in said else None,
    )


def is_script(source: bytes) -> bool:
    """Whether a file has no directive, nor what is nearly one."""
    try:
        return not any(_directive_in(line, 1) for line in _decoded(source).split("\n"))
    except SqlFileError:
        return False


def _decoded(source: bytes) -> str:
    """Its text with plain line ends: what is run is what is hashed, wherever it was checked out."""
    try:
        text = source.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # Without its byte order mark, which the place does not count.
        read = error.object
        line = read[: error.start].replace(b"\r\n", b"\n").replace(b"\r", b"\n").count(b"\n") + 1
        wide = read.startswith((b"\xff\xfe", b"\xfe\xff"))
        what = "it is UTF-16" if wide else f"the byte {read[error.start]:#04x} belongs to no character"
        raise SqlFileError(line, f"is not UTF-8 ({what}); save it as UTF-8") from error
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if "\0" in text:
        raise SqlFileError(text[: text.index("\0")].count("\n") + 1, "has a NUL character; save it as UTF-8, as text")
    return text


# Directives


def _directive_in(line: str, number: int) -> _Directive | None:
    if not line.lstrip().startswith(("--", "#", "/")):
        return None
    found = _DIRECTIVE.fullmatch(line)
    if found is None:
        _refuse_almost(line, number)
        return None
    name, colon, value = _PARTS.fullmatch(found[1]).groups()  # type: ignore[union-attr]
    name, value = name.lower(), " ".join(value.split())
    if name not in _WAYS and name not in _SETTINGS:
        raise SqlFileError(number, f'there is no directive "{name or value}"; {_nearest(name, [*_WAYS, *_SETTINGS])}')
    if name in _SETTINGS:
        if not colon or not value:
            lacks = "says nothing" if colon else "has no colon"
            raise SqlFileError(number, f'the directive "{name}" {lacks}; write it so: {_SETTINGS[name]}')
        return _Directive(number, name, value)
    database = value.lower()
    if colon or (database and database not in _DATABASES):
        what = f'takes no "{colon}{value}"' if colon else f'takes a database, and "{value}" is none'
        raise SqlFileError(
            number, f'the directive "{name}" {what}; {_nearest(database, [*_DATABASES], f"-- sqlmig: {name} ")}'
        )
    return _Directive(number, name, _DATABASES.get(database, ""))


def _nearest(word: str, known: Sequence[str], form: str = "") -> str:
    near = near_matches(word, known) if word else []
    if near:
        return f'the nearest is "{near[0]}"' + (f", as in {form}{near[0]}" if form else "")
    return f"there are {', '.join(known)}" + (f", as in {form}{known[0]}" if form else "")


def _refuse_almost(line: str, number: int) -> None:
    """A slip in a directive would make a comment of it, and have its section run with the one above."""
    found = _ALMOST.match(line)
    if found is None:
        return
    word, mark, name = found[1].lower(), found[2], found[3].lower()
    known = name in _WAYS or name in _SETTINGS
    if (word == "sqlmig" and (known or mark == ":")) or (mark == ":" and known and near_matches(word, ["sqlmig"])):
        form = _SETTINGS.get(name) or f"-- sqlmig: {name if known else 'up'}"
        raise SqlFileError(number, f'"{line.strip()}" is no directive, and nearly one; write it so: {form}')


def _refuse_late(directives: Sequence[_Directive]) -> None:
    for directive in directives:
        if directive.name in _SETTINGS:
            raise SqlFileError(
                directive.line, f'the directive "{directive.name}" is for all sections; write it above the first one'
            )


def _refuse_twice(directives: Sequence[_Directive]) -> None:
    seen: dict[str, int] = {}
    for directive in directives:
        name = f"{directive.name} {directive.value}".strip() if directive.name in _WAYS else directive.name
        if name in seen:
            raise SqlFileError(
                directive.line, f'the directive "{name}" stands here a second time; the first is in line {seen[name]}'
            )
        seen[name] = directive.line


def _transactional(said: Mapping[str, _Directive]) -> bool:
    directive = said.get("transactional")
    if directive is None:
        return True
    if directive.value.lower() not in ("true", "false"):
        raise SqlFileError(directive.line, f'transactional is "{directive.value}", not true or false')
    return directive.value.lower() == "true"


def _depends(said: Mapping[str, _Directive]) -> list[int]:
    directive = said.get("depends")
    if directive is None:
        return []
    found = [word.strip() for word in directive.value.split(",")]
    for word in found:
        if not _VERSION.fullmatch(word):
            form = _SETTINGS["depends"]
            raise SqlFileError(directive.line, f'depends on "{word}", which is no version; write it so: {form}')
    return [int(word) for word in found]


def _removes(said: Mapping[str, _Directive]) -> list[str]:
    directive = said.get("removes")
    if directive is None:
        return []
    found = [name.strip() for name in directive.value.split(",")]
    if not all(found):
        raise SqlFileError(directive.line, f"removes has a comma too many; write it so: {_SETTINGS['removes']}")
    return found


# Sections


def _check_head(
    lines: Sequence[str], settings: Collection[_Directive], openings: Sequence[_Directive], dialect: str
) -> None:
    """Nothing but comments may stand before the first section."""
    end = openings[0].line - 1 if openings else len(lines)
    said = {directive.line for directive in settings}
    head = "\n".join("" if number in said else line for number, line in enumerate(lines[:end], 1))
    statements, unclosed = read_script(head, dialect)
    if statements:
        line = head.count("\n", 0, statements[0].begins) + 1
        if not openings:
            raise SqlFileError(
                line,
                'has no section; write "-- sqlmig: up" above its first statement'
                " (or, if a migration in Python runs this file, call it as that one, or with no number)",
            )
        raise SqlFileError(line, f"a statement stands before the first section, which begins in line {end + 1}")
    if unclosed is not None:
        raise _not_closed(unclosed, head, 0, end + 1 if openings else None)


def _chosen(openings: Sequence[_Directive], way: str, dialect: str) -> _Directive | None:
    """The section of the database at hand goes before the one for all."""
    family = _DATABASES.get(dialect, dialect)
    found = {opening.value: opening for opening in openings if opening.name == way}
    return found.get(family) or found.get("")


def _no_up(openings: Sequence[_Directive], dialect: str) -> SqlFileError:
    others = [opening for opening in openings if opening.name == "up"]
    if not others:
        line = openings[0].line if openings else 1
        return SqlFileError(line, 'has no section "up"; write "-- sqlmig: up" above what it changes')
    names = " and ".join(opening.value for opening in others)
    return SqlFileError(
        others[0].line,
        f'its section "up" is for {names} alone, and this database is {dialect};'
        f' write "-- sqlmig: up {dialect}", or "-- sqlmig: up" for all others',
    )


def _section(
    opening: _Directive, text: str, dialect: str, transactional: bool, follows: int | None, *, checked: bool
) -> Section:
    """
    One section, its statements looked at as the database reads them that it is for.

    Args:
        follows: The line of the next section.
        checked: Whether it is known of which database that is.
    """
    statements, unclosed = read_script(text, opening.value or dialect)
    section = Section(opening.name, opening.value, opening.line, _with_lines(statements, text, opening.line))
    if checked:
        _refuse_hidden(text, opening.line, opening.value or dialect)
        # Where something has no end, what comes before it is read rightly all the same.
        sound = statements if unclosed is None else [s for s in statements if s.begins < unclosed.begins]
        for statement, (_, line, _) in zip(sound, section.statements, strict=False):
            _check_statement(statement, line, opening.value or dialect, transactional)
        if unclosed is not None:
            raise _not_closed(unclosed, text, opening.line, follows)
    if not statements:
        what = "the migration changes" if opening.name == "up" else "takes it back, or leave the section out"
        raise SqlFileError(opening.line, f'the section "{section.name}" is empty; write what {what}')
    return section


def _with_lines(statements: Sequence[Statement], text: str, before: int) -> list[SqlStatement]:
    found = []
    line, position = before + 1, 0
    for statement in statements:
        line += text.count("\n", position, statement.begins)
        position = statement.begins
        found.append(SqlStatement(statement.text, line, statement.normal))
    return found


def _not_closed(unclosed: Unclosed, text: str, before: int, follows: int | None) -> SqlFileError:
    opening = unclosed.opening
    if opening.startswith("$"):
        reason = f"the dollar quote {opening} begins here and has no end"
    elif opening in _OPENED:
        reason = f"{_OPENED[opening]} begins here and has no end"
    else:
        reason = f"this statement has a {opening} without its {')' if opening == '(' else 'END;'}"
    if follows is not None:
        reason += f" before the section of line {follows}"
    return SqlFileError(before + text.count("\n", 0, unclosed.begins) + 1, reason)


def _refuse_hidden(text: str, before: int, dialect: str) -> None:
    """A directive behind a statement on its line would be a comment."""
    if "sqlmig" not in text.lower():
        return
    for begins, comment in comments_in(text, dialect):
        if _HIDDEN.match(comment):
            line = before + text.count("\n", 0, begins) + 1
            raise SqlFileError(line, f'the directive in "{comment.strip()}" needs a line of its own, with -- before it')


def _check_statement(statement: Statement, line: int, dialect: str, transactional: bool) -> None:
    first = statement.words[0]
    is_mysql = _DATABASES.get(dialect) == "mysql"
    client = _CLIENTS.get(first)
    if client is not None:
        client = _MYSQL_CLIENT if is_mysql else client
        word = first if first == "DELIMITER" else statement.text.split()[0]
        why = "; a routine is over with the END of its BEGIN, and needs none" if first == "DELIMITER" else ""
        raise SqlFileError(line, f"{word} is a command {client}, and no SQL{why}")
    ends = _transaction_word(statement.words)
    if ends is not None and transactional:
        raise SqlFileError(
            line,
            f"{ends} begins or ends a transaction, which sqlmig does by itself; take it out"
            f" (or say {_SETTINGS['transactional']})",
        )
    if dialect == "postgresql" and copies_with_client(statement.text):
        raise SqlFileError(line, f"{COPY_REFUSED}; write INSERTs (pg_dump --inserts), or a migration in Python")
    if is_mysql and transactional and statement.words[:2] in _LOCKS_TABLES:
        raise SqlFileError(
            line,
            "LOCK TABLES would lock the tables out in which sqlmig writes down how far it came; take it out, with its"
            f" UNLOCK TABLES (mysqldump --skip-add-locks), or say {_SETTINGS['transactional']}",
        )


def _transaction_word(words: Sequence[str]) -> str | None:
    """The word of a statement that begins or ends a transaction; savepoints do not."""
    first, second = words[0], words[1] if len(words) > 1 else ""
    if (first in ("START", "PREPARE") and second == "TRANSACTION") or (first, second) == ("SET", "AUTOCOMMIT"):
        return f"{first} {second}"
    if first in ("COMMIT", "END", "ABORT", "XA") or (first == "BEGIN" and second != "NOT"):
        return first
    return first if first == "ROLLBACK" and "TO" not in words[1:] else None
