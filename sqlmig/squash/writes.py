"""Which migrations write rows that a database may have had before: told by their text, and nothing of them is run."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from ..sql_files import SqlFileError, read_sql_file

if TYPE_CHECKING:
    from ..loader import LoadedMigration

__all__ = ["first_write"]

_METHODS = {"batches", "update_rows", "backfill", "bulk_insert", "execute_sql_file"}
_CORE = {"insert", "update", "delete"}
_NAME = r"[\w.\"`\[\]]+"
_WRITE = re.compile(
    rf"\s*(?:(?:INSERT|REPLACE)(?:\s+OR\s+\w+|\s+IGNORE)?\s+INTO\s+({_NAME})|UPDATE(?:\s+OR\s+\w+)?\s+({_NAME})"
    rf"|DELETE\s+FROM\s+({_NAME})|(WITH|MERGE|TRUNCATE|COPY|CALL|DO)\b)(.*)",
    re.IGNORECASE | re.DOTALL,
)


def first_write(migration: LoadedMigration, dialect: str, new: Iterable[str]) -> str | None:
    """
    What a migration does first to the rows of a table that was there before, in words; None where it does nothing.

    Args:
        new: The tables that were not there before: whatever it writes into them, it writes in every database.
    """
    known = {_plain(name) for name in new}
    return next(_writes(migration, dialect, known), None)


def _writes(migration: LoadedMigration, dialect: str, new: set[str]) -> Iterator[str]:
    source = migration.file.path.read_bytes()
    if migration.resumable:
        yield "it is resumable, and goes through rows"
    if migration.file.in_sql:
        try:
            texts = [statement.text for statement in read_sql_file(source, dialect).up.statements]
        except SqlFileError:
            return
    else:
        tree = ast.parse(source)
        yield from _calls(tree)
        texts = [
            node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)
        ]
    for text in texts:
        if _touches(text, new):
            yield " ".join(text.split())[:80]


def _calls(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name in _METHODS or (name in _CORE and not node.keywords and _is_core(node)):
            yield f"line {node.lineno}: {ast.unparse(node)[:80]}"


def _is_core(node: ast.Call) -> bool:
    """Whether `insert(table)`, or `table.insert()`, is SQLAlchemy's; `list.insert(0, x)` has two arguments."""
    return len(node.args) <= (0 if isinstance(node.func, ast.Attribute) else 1)


def _touches(text: str, new: set[str]) -> bool:
    found = _WRITE.match(text)
    if found is None:
        return False
    table = found[1] or found[2] or found[3]
    if table is None or _plain(table) not in new:
        return True
    # Filled from what is there, it holds something else in each database.
    return bool(found[1] and re.search(r"\bSELECT\b.*\bFROM\b", found[5], re.IGNORECASE | re.DOTALL))


def _plain(name: str) -> str:
    return name.rpartition(".")[2].strip('"`[]').lower()
