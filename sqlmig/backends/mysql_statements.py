"""What a statement for MariaDB or MySQL does to the transaction, by its text without literals and comments."""

from __future__ import annotations

import re

__all__ = ["bare", "ends_transaction", "is_read", "may_commit", "parts"]

_TOKEN = re.compile(
    r"""
      (?P<opening> /\*M?!\d* )
    | (?P<comment> --(?=\s|\Z)[^\n]* | \#[^\n]* | /\*.*?(?:\*/|\Z) )
    | (?P<closing> \*/ )
    | (?P<single> '(?:[^'\\]++|\\(?:.|\Z)|'')*+(?:'|\Z) )
    | (?P<double> "(?:[^"\\]++|\\(?:.|\Z)|"")*+(?:"|\Z) )
    | (?P<name> `(?:[^`]++|``)*+(?:`|\Z) )
    | (?P<end> ; )
    | (?P<rest> [^-/\#*'"`;]+ | . )
    """,
    re.VERBOSE | re.DOTALL,
)
_ROUTINE = re.compile(
    r"create\b(?:(?!\btable\b|\bview\b).)*?\b(procedure|function|trigger|event|package)\b|begin\s+not\s+atomic\b",
    re.IGNORECASE | re.DOTALL,
)
_ENDS = re.compile(
    r"(commit|start\s+transaction|begin(?!\s+not\s+atomic)|xa|rollback(?!\s+(?:work\s+)?to\b)"
    r"|set(?=\b.*\bautocommit\b))(?!\w)",
    re.IGNORECASE | re.DOTALL,
)
_QUIET = re.compile(
    r"(?:\(\s*)*(?:select|insert|update|delete|replace|with|values|show|describe|desc|explain|savepoint|release"
    r"|rollback|use|do|handler|help|load\s+data|load\s+xml|create\s+temporary|create\s+or\s+replace\s+temporary"
    r"|drop\s+temporary|set(?!\s+(?:password|role|default\s+role)\b))\b",
    re.IGNORECASE,
)
_READ = re.compile(r"(?:\(\s*)*(?:select|values|show|describe|desc|explain|savepoint|release|use|set|help)\b", re.I)


def bare(sql: str, *, ansi: bool = False) -> str:
    """
    *sql* with its comments left out and its texts empty; what stands in a comment that the server executes is kept.

    Args:
        ansi: Whether double quotes stand around names (ANSI_QUOTES); they are backticks in what is returned.

    Source: https://mariadb.com/kb/en/comment-syntax/
    """
    return ";".join(parts(sql, ansi=ansi))


def parts(sql: str, *, ansi: bool = False) -> list[str]:
    """The statements of *sql*, as `bare` has them; the body of a routine or a trigger is a part of its own."""
    found: list[str] = []
    current: list[str] = []
    for match in _TOKEN.finditer(sql):
        kind, text = match.lastgroup, match[0]
        if kind == "end" and not _ROUTINE.match("".join(current).strip()):
            found.append("".join(current).strip())
            current = []
        elif kind in ("opening", "comment", "closing"):
            current.append(" ")
        elif kind == "double" and ansi:
            current.append("`" + text[1:-1].replace('""', '"').replace("`", "``") + "`")
        else:
            current.append("''" if kind in ("single", "double") else text)
    found.append("".join(current).strip())
    return [part for part in found if part]


def ends_transaction(sql: str) -> str | None:
    """The words with which *sql* begins or ends a transaction, or changes whether there is one; None for any other."""
    for part in parts(sql):
        found = _ENDS.match(part)
        if found is not None:
            word = " ".join(found[1].upper().split())
            return "SET autocommit" if word == "SET" else word
    return None


def may_commit(sql: str) -> bool:
    """
    Whether the transaction may be committed by it: whatever is not known to leave it alone.

    Source: https://mariadb.com/kb/en/sql-statements-that-cause-an-implicit-commit/
    """
    return not all(_QUIET.match(part) for part in parts(sql))


def is_read(sql: str) -> bool:
    """Whether it only reads, or says how later statements are to be understood."""
    return all(_READ.match(part) for part in parts(sql))
