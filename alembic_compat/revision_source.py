"""What is in the text of an Alembic revision file; text in, facts out."""

from __future__ import annotations

import ast
import io
import re
import symtable
import tokenize
from collections.abc import Iterator
from typing import NamedTuple

__all__ = ["IDENTIFIERS", "Method", "RevisionSource", "Unconvertible"]

IDENTIFIERS = frozenset({"revision", "down_revision", "branch_labels", "depends_on"})


class Unconvertible(Exception):
    """The file cannot be written as a migration of sqlmig's."""

    def __init__(self, reason: str, line: int = 1) -> None:
        self.reason, self.line = reason, line
        super().__init__(reason)


class Method(NamedTuple):
    """`upgrade` or `downgrade`, as it is to become a method."""

    name: str
    node: ast.FunctionDef | None
    """The function, where its body can be moved into a class; else it stays where it is, and is called."""

    only_raises: bool = False
    """Whether it does nothing but say that there is no way back."""

    calls: bool = True
    """Whether it calls anything at all."""


class RevisionSource:
    """
    A revision file, read.

    Args:
        text: Of the file, with "\\n" for line ends.

    Raises:
        Unconvertible: It is no Python.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.lines = text.split("\n")
        try:
            self.tree = ast.parse(text)
            self._scope = symtable.symtable(text, "<revision>", "exec")
            self._tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
        except (SyntaxError, ValueError, tokenize.TokenError) as error:
            raise Unconvertible(f"it does not compile: {error}", getattr(error, "lineno", None) or 1) from error
        self.inside_strings = set(_lines_inside_strings(self._tokens))
        self.names = self._names()
        self.op, self.op_import = self._find_op()
        self.upgrade = self._method("upgrade")
        self.downgrade = self._method("downgrade")
        if self.upgrade is None:
            raise Unconvertible("it has no upgrade()")

    def first_statement(self) -> int:
        """The index of the first statement after the docstring and the `__future__` imports."""
        body = self.tree.body
        index = 1 if body and _is_text(body[0]) else 0
        while index < len(body) and _is_future(body[index]):
            index += 1
        return index

    def last_import(self, statement: ast.stmt) -> int:
        """The last line of the imports that follow upon *statement*."""
        index = self.tree.body.index(statement)
        while index + 1 < len(self.tree.body) and isinstance(self.tree.body[index + 1], ast.Import | ast.ImportFrom):
            index += 1
        return self.tree.body[index].end_lineno or statement.lineno

    @property
    def docstring(self) -> str:
        """The first line of what the file says of itself."""
        lines = (ast.get_docstring(self.tree) or "").strip().split("\n")
        return lines[0].strip()

    def moved(self) -> list[Method]:
        """The functions whose bodies become methods."""
        return [method for method in (self.upgrade, self.downgrade) if method is not None and method.node is not None]

    def helpers_use_op(self) -> bool:
        """Whether anything but the functions that become methods needs `op` as a global name."""
        moved = {method.name for method in self.moved()}
        return any(
            _reaches(scope, self.op)
            for scope in self._scope.get_children()
            if scope.get_name() not in moved or scope.get_type() != "function"
        )

    def uses_op(self, node: ast.AST) -> bool:
        """Whether *node* says `op` anywhere."""
        return any(isinstance(found, ast.Name) and found.id == self.op for found in ast.walk(node))

    def identifier_statements(self) -> list[ast.stmt]:
        """The statements which only say what Alembic needs to know, and that nothing else reads."""
        read = {symbol for symbol in IDENTIFIERS if self._is_read(symbol)}
        return [
            statement
            for statement in self.tree.body
            if (names := _assigned(statement)) and names <= IDENTIFIERS and not names & read
        ]

    def end_of_header(self, node: ast.FunctionDef) -> tuple[int, int]:
        """Where the colon of a `def` is: line and column."""
        depth = 0
        for token in self._tokens:
            if token.start[0] < node.lineno or token.type != tokenize.OP:
                continue
            depth += (token.string in "([{") - (token.string in ")]}")
            if token.string == ":" and depth == 0:
                return token.start
        raise AssertionError("a def without a colon does not compile")

    def last_line(self, node: ast.stmt) -> int:
        """The last line of a function, its comments at the end being a part of it."""
        last = line = node.end_lineno or node.lineno
        while line < len(self.lines):
            text = self.lines[line]
            if text.strip() and not re.match(r"[ \t]+#", text):
                break
            line += 1
            last = line if text.strip() else last
        return last

    def comment_above(self, line: int) -> int:
        """The first line of the comment that stands directly above *line*; *line* itself where there is none."""
        while line > 1 and self.lines[line - 2].startswith("#") and line - 1 not in self.inside_strings:
            line -= 1
        return line

    # What is bound, and how

    def _names(self) -> set[str]:
        return {token.string for token in self._tokens if token.type == tokenize.NAME}

    def _find_op(self) -> tuple[str, tuple[ast.ImportFrom, ast.alias] | None]:
        """What the file calls `op`, and its import where that can go; nothing where it has none."""
        imported = [
            (node, alias)
            for node in ast.walk(self.tree)
            if isinstance(node, ast.Import | ast.ImportFrom)
            for alias in node.names
            if (getattr(node, "module", None), alias.name) in (("alembic", "op"), (None, "alembic.op"))
        ]
        names = [alias.asname or "op" for node, alias in imported if alias.asname or isinstance(node, ast.ImportFrom)]
        if not names:
            return "", None
        node, alias = imported[0]
        if len(imported) > 1 or not isinstance(node, ast.ImportFrom) or node not in self.tree.body:
            return names[0], None
        in_classes = any(scope.get_type() == "class" and _refers(scope, names[0]) for scope in _scopes([self._scope]))
        bound = any(names[0] in _assigned(other) for other in ast.walk(self.tree) if isinstance(other, ast.stmt))
        # What uses it when the module is imported needs what the import gives.
        goes = not (self._scope.lookup(names[0]).is_referenced() or in_classes or bound) and self._alone(node)
        return names[0], (node, alias) if goes else None

    def _alone(self, statement: ast.stmt) -> bool:
        lines = range(statement.lineno, (statement.end_lineno or statement.lineno) + 1)
        return not any(
            other is not statement and (other.lineno in lines or other.end_lineno in lines) for other in self.tree.body
        )

    def _is_read(self, name: str) -> bool:
        return any(_refers(scope, name) for scope in _scopes([self._scope]))

    def _method(self, name: str) -> Method | None:
        bound = [
            node
            for node in ast.walk(self.tree)
            if (isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and node.name == name)
            or (isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Store))
            or (isinstance(node, ast.Import | ast.ImportFrom) and name in _imported(node))
        ]
        if not bound or name not in self._scope.get_identifiers():
            return None
        node = bound[0]
        if isinstance(node, ast.AsyncFunctionDef):
            raise Unconvertible(f"{name}() is asynchronous", node.lineno)
        if len(bound) > 1 or not isinstance(node, ast.FunctionDef) or node not in self.tree.body:
            return Method(name, None)
        if not node.decorator_list and _needs_arguments(node.args):
            raise Unconvertible(f"{name}() wants arguments, which sqlmig has none for", node.lineno)
        body = node.body[1:] if _is_text(node.body[0]) else node.body
        return Method(
            name,
            node if self._can_move(node) else None,
            only_raises=len(body) == 1 and isinstance(body[0], ast.Raise) and not node.decorator_list,
            calls=any(isinstance(found, ast.Call | ast.With | ast.For) for found in ast.walk(node)),
        )

    def _can_move(self, node: ast.FunctionDef) -> bool:
        """Whether the body means the same in a method."""
        scope = next(s for s in self._scope.get_children() if s.get_name() == node.name and s.get_type() == "function")
        names = set(scope.get_identifiers())
        op_is_global = self.op in names and scope.lookup(self.op).is_declared_global()
        plain = not node.decorator_list and not _has_arguments(node.args) and self._alone(node)
        return (
            plain
            and not self._is_read(node.name)
            and not op_is_global
            and not any("self" in s.get_identifiers() and s.lookup("self").is_global() for s in _scopes([scope]))
            and "self" not in names
            and not any(isinstance(found, ast.Yield | ast.YieldFrom) for found in ast.walk(node))
            and not any(_is_mangled(name) for name in self._names_in(node))
        )

    def _names_in(self, node: ast.stmt) -> Iterator[str]:
        for token in self._tokens:
            if token.type == tokenize.NAME and node.lineno <= token.start[0] <= (node.end_lineno or node.lineno):
                yield token.string


def _lines_inside_strings(tokens: list[tokenize.TokenInfo]) -> Iterator[int]:
    """The lines that begin inside a string: what stands before their text is a part of it."""
    begun: list[int] = []
    for token in tokens:
        kind = tokenize.tok_name[token.type]
        if kind == "STRING":
            yield from range(token.start[0] + 1, token.end[0] + 1)
        elif kind.endswith("STRING_START"):
            begun.append(token.start[0])
        elif kind.endswith("STRING_END"):
            yield from range(begun.pop() + 1, token.end[0] + 1)


def _scopes(scopes: list[symtable.SymbolTable]) -> Iterator[symtable.SymbolTable]:
    for scope in scopes:
        yield scope
        yield from _scopes(scope.get_children())


def _refers(scope: symtable.SymbolTable, name: str) -> bool:
    """Whether a scope reads the module's *name*."""
    if name not in scope.get_identifiers():
        return False
    symbol = scope.lookup(name)
    at_top = scope.get_type() == "module"
    return (symbol.is_referenced() and (at_top or symbol.is_global())) or symbol.is_declared_global()


def _reaches(scope: symtable.SymbolTable, name: str) -> bool:
    return any(_refers(one, name) for one in _scopes([scope]))


def _assigned(statement: ast.stmt) -> set[str]:
    """The names that a plain assignment gives a value; none where it does anything else."""
    targets: list[ast.expr]
    if isinstance(statement, ast.AnnAssign):
        targets = [statement.target]
    elif isinstance(statement, ast.Assign):
        targets = statement.targets
    else:
        return set()
    found: set[str] = set()
    for target in targets:
        parts = target.elts if isinstance(target, ast.Tuple | ast.List) else [target]
        if not all(isinstance(part, ast.Name) for part in parts):
            return set()
        found |= {part.id for part in parts if isinstance(part, ast.Name)}
    return found


def _imported(statement: ast.stmt) -> list[str]:
    if not isinstance(statement, ast.Import | ast.ImportFrom):
        return []
    return [alias.asname or alias.name.partition(".")[0] for alias in statement.names]


def _is_text(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


def _is_future(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.ImportFrom) and statement.module == "__future__"


def _has_arguments(arguments: ast.arguments) -> bool:
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    return bool(every or arguments.vararg or arguments.kwarg)


def _needs_arguments(arguments: ast.arguments) -> bool:
    positional = len(arguments.posonlyargs) + len(arguments.args) - len(arguments.defaults)
    return positional > 0 or any(default is None for default in arguments.kw_defaults)


def _is_mangled(name: str) -> bool:
    return name.startswith("__") and not name.endswith("__")
