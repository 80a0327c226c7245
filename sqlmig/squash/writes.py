"""
Which migrations write rows that a database may have had before, or do something else where there are others.

It is told by their text, which has what they do in other databases only, and by the statements that they were seen to
run, whatever has put these together.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterable, Iterator
from typing import TYPE_CHECKING

from ..sql_files import SqlFileError, read_sql_file
from ..sql_text import without_literals

if TYPE_CHECKING:
    from ..loader import LoadedMigration
    from .observed import Said

__all__ = ["beside_rows", "first_write"]

_METHODS = {"batches", "update_rows", "backfill", "bulk_insert", "execute_sql_file"}
_CORE = {"insert", "update", "delete"}
# A name that Python puts in may be a mark.
_NAME = r"[\w.\"`\[\]%{}$]+"
_WRITE = re.compile(
    rf"\s*(?:(?:INSERT|REPLACE)(?:\s+OR\s+\w+|\s+IGNORE)?\s+INTO\s+({_NAME})|UPDATE(?:\s+OR\s+\w+)?\s+({_NAME})"
    rf"|DELETE\s+FROM\s+({_NAME})|(WITH|MERGE|TRUNCATE|COPY|CALL|DO)\b)(.*)",
    re.IGNORECASE | re.DOTALL,
)
_FROM_ROWS = re.compile(r"\bSELECT\b.*\bFROM\b", re.IGNORECASE | re.DOTALL)
_MADE_FROM_ROWS = re.compile(rf"\s*CREATE\s+(?:\w+\s+)?TABLE\s.*{_FROM_ROWS.pattern}", re.IGNORECASE | re.DOTALL)


_BESIDE = re.compile(
    r"\s*(PRAGMA\s+(application_id|journal_mode|auto_vacuum|page_size|encoding)\s*[=(]|GRANT\b|REVOKE\b"
    r"|ALTER\s+(DEFAULT\s+PRIVILEGES|DATABASE|ROLE|USER|SYSTEM|SCHEMA)\b|CREATE\s+(ROLE|USER)\b|SECURITY\s+LABEL\b"
    r"|ALTER\s.*\bOWNER\s+TO\b)",
    re.IGNORECASE | re.DOTALL,
)
_CHECKS = ("pre_migrate_checks", "post_migrate_checks")


def beside_rows(migration: LoadedMigration, dialect: str) -> Iterator[str]:
    """What a migration does that is not compared: privileges, settings, and its checks."""
    texts, tree = _read(migration, dialect)
    yield from (" ".join(text.split())[:80] for text in texts if _BESIDE.match(without_literals(text, dialect)))
    for node in ast.walk(tree) if tree is not None else ():
        if isinstance(node, ast.FunctionDef) and node.name in _CHECKS:
            yield f"{node.name}()"


def first_write(migration: LoadedMigration, dialect: str, new: Iterable[str], said: Iterable[Said] = ()) -> str | None:
    """
    What a migration does first with the rows of a table that was there before, in words; None where it does nothing.

    Args:
        new: The tables that were not there before: whatever it writes into them, it writes in every database.
        said: The statements that were seen to be run.
    """
    known = {_plain(name) for name in new}
    return next(_writes(migration, dialect, known), None) or next(
        (
            " ".join(one.text.split())[:80]
            for one in said
            if one.version == migration.version and (one.reads or _touches(one.text, known))
        ),
        None,
    )


def _writes(migration: LoadedMigration, dialect: str, new: set[str]) -> Iterator[str]:
    if migration.resumable:
        yield "it is resumable, and goes through rows"
    texts, tree = _read(migration, dialect)
    if tree is not None:
        yield from _calls(tree)
    for text in texts:
        if _touches(without_literals(text, dialect), new):
            yield " ".join(text.split())[:80]


def _read(migration: LoadedMigration, dialect: str) -> tuple[list[str], ast.Module | None]:
    """The texts that may be statements, and the syntax of a file in Python."""
    source = migration.file.path.read_bytes()
    if not migration.file.in_sql:
        tree = ast.parse(source)
        return [*_texts(tree)], tree
    try:
        return [statement.text for statement in read_sql_file(source, dialect).up.statements], None
    except SqlFileError:
        return [], None


def _texts(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        elif isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)


def _calls(tree: ast.Module) -> Iterator[str]:
    core = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
        if alias.name.partition(".")[0] == "sqlalchemy"
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name in _METHODS or (name in _CORE and not node.keywords and _is_core(node, core)):
            yield f"line {node.lineno}: {ast.unparse(node)[:80]}"


def _is_core(node: ast.Call, core: Collection[str]) -> bool:
    """Whether `insert(table)`, `sa.insert(table)` or `table.insert()` is SQLAlchemy's; not so `list.insert(0, x)`."""
    whole = not isinstance(node.func, ast.Attribute) or ast.unparse(node.func.value) in core
    return len(node.args) <= (1 if whole else 0)


def _touches(text: str, new: set[str]) -> bool:
    if _MADE_FROM_ROWS.match(text):
        return True
    found = _WRITE.match(text)
    if found is None:
        return False
    table = found[1] or found[2] or found[3]
    if table is None or _plain(table) not in new:
        return True
    # Filled from what is there, it holds something else in each database.
    return bool(found[1] and _FROM_ROWS.search(found[5]))


def _plain(name: str) -> str:
    return name.rpartition(".")[2].strip('"`[]').lower()
