"""
An Alembic revision written as a migration file of sqlmig's; text in, text out.

The module stays as it is: its imports, constants, helpers, comments. What only Alembic reads is left out, and
`upgrade` and `downgrade` become `up` and `down` of a class. Where the body of one would not mean the same in a method
(it has decorators, or is called by another), the function stays and the method calls it.
"""

from __future__ import annotations

import ast
import builtins
import keyword
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from .revision_source import Method, RevisionSource, Unconvertible

__all__ = ["NativeFile", "Note", "Unconvertible", "convert"]


class Note(NamedTuple):
    """Something in a revision file that a human should look at."""

    line: int
    text: str


class NativeFile(NamedTuple):
    """A migration file that can be written."""

    name: str
    text: str
    notes: list[Note]


def convert(
    text: str,
    *,
    version: int,
    revision: str,
    dependencies: Sequence[int] = (),
    naming_convention: Mapping[str, str] | None = None,
    version_table: str = "alembic_version",
) -> NativeFile:
    """
    Write a revision as a migration.

    Args:
        text: Of the revision's file.
        version: The number that it gets.
        dependencies: The versions that must be applied before it.
        naming_convention, version_table: As in the project's `context.configure()`.

    Raises:
        Unconvertible: It has no upgrade(), or one that cannot be called as a migration is.
    """
    source = RevisionSource(text.replace("\r\n", "\n").replace("\r", "\n").removeprefix("\ufeff"))
    description = source.docstring or revision
    words = _words(description) or _words(revision) or ["revision"]
    notes = sorted(_notes(source))
    attributes = {"version": str(version), "description": _quoted(description), "revision": _quoted(revision)}
    # It was written for a tool that asks for no declaration, and databases elsewhere have had it as it is.
    attributes["removes"] = '"*"'
    if dependencies:
        attributes["dependencies"] = repr(tuple(sorted(dependencies)))
    if naming_convention:
        attributes["naming_convention"] = _mapping(naming_convention)
    if version_table != "alembic_version":
        attributes["version_table"] = _quoted(version_table)
    if _autocommit_lines(source):
        attributes["transactional"] = "False"
    if source.downgrade is not None and source.downgrade.only_raises:
        attributes["rollback_supported"] = "False"
    file_name = f"{version:03}_{'_'.join(words)[:60].rstrip('_')}.py"
    return NativeFile(file_name, _Writer(source).write(_class_name(words, version, source.names), attributes), notes)


class _Writer:
    """Puts the new text together, line by line of the old."""

    def __init__(self, source: RevisionSource) -> None:
        self._source = source
        self._op_is_global = source.op_import is not None and source.helpers_use_op()
        self._base = "BaseMigration" if "BaseMigration" not in source.names else "SqlmigMigration"
        self._inserted = self._imports()

    def write(self, class_name: str, attributes: Mapping[str, str]) -> str:
        """The text of the whole file: what is kept, and between it the class, where the first function was."""
        source = self._source
        gone = set(self._left_out())
        place = end = len(source.lines) + 1
        for method in source.moved():
            assert method.node is not None
            start = source.comment_above(method.node.lineno)
            place = min(place, start)
            gone |= set(range(start, source.last_line(method.node) + 1))
        parts = [
            self._kept(range(1, place), gone),
            "\n".join(self._class(class_name, attributes)),
            self._kept(range(place, end), gone),
        ]
        return "\n\n\n".join(part for part in parts if part) + "\n"

    def _kept(self, numbers: range, gone: set[int]) -> str:
        """Those lines without what is gone, and without the empty lines that would be too many then."""
        lines: list[str] = []
        cut = True
        for number in numbers:
            lines += self._inserted.get(number, ())
            if number in gone:
                cut = True
                continue
            line = self._source.lines[number - 1]
            if cut and not line.strip() and not (lines and lines[-1].strip()):
                continue
            cut = cut and not line.strip()
            lines.append(line)
        return "\n".join(lines).strip("\n")

    def _left_out(self) -> Iterator[int]:
        """The lines of what only Alembic reads, with the comment that its templates put above it."""
        source = self._source
        statements: list[ast.stmt] = source.identifier_statements()
        if source.op_import is not None:
            statements.append(source.op_import[0])
        for statement in statements:
            above = statement.lineno - 1
            if above and re.fullmatch(r"#\s*revision identifiers.*", source.lines[above - 1].strip()):
                yield above
            shared = [other for other in source.tree.body if other is not statement and _meet(other, statement)]
            if not any(other not in statements for other in shared):
                yield from range(statement.lineno, (statement.end_lineno or statement.lineno) + 1)

    def _imports(self) -> dict[int, list[str]]:
        """What is to stand in the place of `from alembic import op`, or else before everything that is run."""
        source = self._source
        name = "BaseMigration" if self._base == "BaseMigration" else f"BaseMigration as {self._base}"
        ours, body = [f"from sqlmig import {name}"], source.tree.body
        index = source.first_statement()
        first = _first_line(body[index]) if index < len(body) else len(source.lines)
        if source.op_import is None:
            above = source.comment_above(first)
            # Not above the encoding or the interpreter, which are said in the first two lines.
            return {above if above > 2 else first: [*ours, ""]}
        statement, alias = source.op_import
        others = [_as_written(other) for other in statement.names if other is not alias]
        kept = [f"from alembic import {', '.join(others)}"] if others else []
        inserted = {statement.lineno: [*kept, *ours]}
        if not all(m.node is not None and statement.lineno < m.node.lineno for m in source.moved()):
            inserted = {statement.lineno: kept, first: [*ours, *([] if first == statement.lineno else [""])]}
        if self._op_is_global:
            after = source.last_import(statement) + 1
            inserted.setdefault(after, []).extend(
                ["", f"{source.op} = None  # Alembic's operations; set by up(), down()"]
            )
        return inserted

    def _class(self, name: str, attributes: Mapping[str, str]) -> list[str]:
        lines = [f"class {name}({self._base}):", *(f"    {key} = {value}" for key, value in attributes.items())]
        for method, new in ((self._source.upgrade, "up"), (self._source.downgrade, "down")):
            if method is not None:
                lines += ["", *(self._moved(method, method.node, new) if method.node else self._calling(method, new))]
        return lines

    def _calling(self, method: Method, new: str) -> list[str]:
        """A method that calls the function, which stays where it is."""
        lines = [f"    def {new}(self) -> None:"]
        if self._op_is_global:
            lines += [f"        global {self._source.op}", f"        {self._source.op} = self.op"]
        else:
            lines.append(f"        self.op  {_BECAUSE}")
        return [*lines, f"        {method.name}()"]

    def _moved(self, method: Method, node: ast.FunctionDef, new: str) -> list[str]:
        source = self._source
        line, column = source.end_of_header(node)
        returns = f" -> {ast.unparse(node.returns)}" if node.returns is not None else ""
        rest = source.lines[line - 1][column + 1 :].strip()
        comment = rest.startswith("#")
        above = [f"    {text}" for text in source.lines[source.comment_above(node.lineno) - 1 : node.lineno - 1]]
        header = [*above, f"    def {new}(self){returns}:{f'  {rest}' if comment else ''}"]
        last = source.last_line(node)
        body = [self._indented(number) for number in range(line + 1, last + 1)]
        indent = "        "
        if rest and not comment:
            body.insert(0, indent + rest)
        else:
            first = source.lines[_first_line(node.body[0]) - 1]
            indent = "    " + first[: len(first) - len(first.lstrip())]
        return [*header, *(indent + text for text in self._op_lines(method, node)), *body]

    def _op_lines(self, method: Method, node: ast.FunctionDef) -> list[str]:
        if self._op_is_global:
            return [f"global {self._source.op}", f"{self._source.op} = self.op"] if method.calls else []
        if self._source.uses_op(node):
            return [f"{self._source.op} = self.op"]
        return [f"self.op  {_BECAUSE}"] if method.calls and not method.only_raises else []

    def _indented(self, number: int) -> str:
        text = self._source.lines[number - 1]
        return text if number in self._source.inside_strings or not text.strip() else f"    {text}"


_BECAUSE = "# for what says `from alembic import op`"


def _notes(source: RevisionSource) -> Iterator[Note]:
    for line in _autocommit_lines(source):
        yield Note(line, "autocommit_block(): the migration runs outside a transaction (transactional = False)")
    binds = _names_of_binds(source)
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import | ast.ImportFrom) and _imports_context(node):
            yield Note(node.lineno, "alembic.context is there only while Alembic runs; what it is asked here will fail")
        elif isinstance(node, ast.Name) and node.id == "__file__":
            yield Note(node.lineno, "__file__ is another place now; bring along what it leads to")
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from _about_text(node, node.value)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            receiver = ast.unparse(node.func.value)
            if node.func.attr in ("commit", "rollback") and (receiver in binds or receiver.endswith(".get_bind()")):
                yield Note(node.lineno, f"{receiver}.{node.func.attr}() will be refused: sqlmig commits the migration")


def _imports_context(node: ast.Import | ast.ImportFrom) -> bool:
    names = [alias.name for alias in node.names]
    return "context" in names if getattr(node, "module", None) == "alembic" else "alembic.context" in names


def _about_text(node: ast.Constant, text: str) -> Iterator[Note]:
    if re.match(r"\s*(COMMIT|ROLLBACK)\s*(TRANSACTION)?\s*(;|$)", text, re.IGNORECASE):
        yield Note(node.lineno, f"{text.strip()} will be refused: sqlmig commits the migration")
    elif re.match(r"\s*PRAGMA\s+foreign_keys\s*[=(]", text, re.IGNORECASE):
        yield Note(node.lineno, f"{text.strip()} has no effect inside a transaction; transactional = False would help")


def _names_of_binds(source: RevisionSource) -> set[str]:
    return {
        target.id
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Assign) and ast.unparse(node.value) == f"{source.op}.get_bind()"
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def _autocommit_lines(source: RevisionSource) -> list[int]:
    return [n.lineno for n in ast.walk(source.tree) if isinstance(n, ast.Attribute) and n.attr == "autocommit_block"]


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", unicodedata.normalize("NFKC", text).lower())


def _class_name(words: Sequence[str], version: int, taken: set[str]) -> str:
    name = "".join(word.capitalize() for word in words)[:60]
    if not name.isidentifier() or keyword.iskeyword(name):
        name = f"Revision{name}" if f"R{name}".isidentifier() else f"Revision{version}"
    while name in taken or hasattr(builtins, name):
        name += "Migration"
    return name


def _quoted(text: str) -> str:
    shown = repr(text)
    return f'"{shown[1:-1]}"' if shown[0] == "'" and '"' not in shown else shown


def _mapping(values: Mapping[str, str]) -> str:
    items = "".join(f"        {_quoted(key)}: {_quoted(value)},\n" for key, value in values.items())
    return f"{{\n{items}    }}"


def _as_written(alias: ast.alias) -> str:
    return f"{alias.name} as {alias.asname}" if alias.asname else alias.name


def _first_line(statement: ast.stmt) -> int:
    decorators: list[ast.expr] = getattr(statement, "decorator_list", [])
    return min([statement.lineno, *(decorator.lineno for decorator in decorators)])


def _meet(one: ast.stmt, other: ast.stmt) -> bool:
    """Whether two statements share a line."""
    return one.lineno <= (other.end_lineno or 0) and other.lineno <= (one.end_lineno or 0)
