"""Statements of a migration: calls of the schema operations, with what is to be said of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby

from .code import Call, Imports, Node, comment, literal, written

__all__ = ["Statement", "body", "source"]


@dataclass(frozen=True)
class Statement:
    """
    One call.

    Attributes:
        method: Of the migration; of `alter_table`'s block too, where there is a table.
        table: The one that it is about, if it can stand in such a block.
        text: What it does, in words.
        notes: What is to be known before it runs where there are rows.
        removes: The tables and columns whose data goes with it.
        alone: Whether it must not share a block with what follows.
    """

    method: str
    args: tuple[Node, ...]
    options: tuple[tuple[str, Node], ...] = ()
    table: str | None = None
    text: str = ""
    notes: tuple[str, ...] = ()
    removes: tuple[str, ...] = ()
    imports: Imports = field(default_factory=Imports, compare=False)
    alone: bool = False

    def call(self, of: str = "self") -> Call:
        """The call; without the table where it is one of a block."""
        named = (literal(self.table),) if self.table is not None and of == "self" else ()
        return Call(f"{of}.{self.method}", (*named, *self.args), self.options)


def source(statement: Statement) -> str:
    """A statement by itself, with what it imports, to be tried."""
    return "\n".join([*statement.imports.lines(10_000), *written(statement.call(), 0, 10_000)])


def body(statements: Iterable[Statement], indent: int, width: int) -> Iterator[str]:
    """The lines of a method; what is done to one table in a row is done together."""
    for table, group in groupby(_numbered(statements), key=lambda pair: pair[0]):
        together = [statement for _, statement in group]
        inside, pad = indent, " " * indent
        if len(together) > 1:
            yield f"{pad}with {''.join(written(Call('self.alter_table', (literal(table[1]),)), 0, 10_000))} as table:"
            inside += 4
        for statement in together:
            for note in statement.notes:
                yield from comment(note, inside, width)
            yield from written(statement.call("table" if inside > indent else "self"), inside, width)


def _numbered(statements: Iterable[Statement]) -> Iterator[tuple[tuple[int, str | None], Statement]]:
    """Each with what those have in common that stand in one block."""
    number, before = 0, None
    for statement in statements:
        if before is None or statement.table is None or statement.table != before.table or before.alone:
            number += 1
        yield (number, statement.table), statement
        before = statement
