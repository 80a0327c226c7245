"""What was renamed: said by somebody, or asked, and never guessed, for what is dropped is gone with its data."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from ..drift import shape as shapes
from ..drift.compare import Difference
from ..errors import RenameImpossible, RenameUnclear

if TYPE_CHECKING:
    from .changes import Changes
    from .statements import Statement

__all__ = ["Ask", "Rename", "RenameQuestion", "Renames"]

_ALIKE = 0.6
# In what two columns must agree to be taken for one under another name.
_FACETS = ("type", "nullable", "default", "generated", "identity", "collation", "others")


@dataclass(frozen=True)
class RenameQuestion:
    """
    What became of a table or a column that is gone.

    Attributes:
        table: The table of the column; None for a table.
        old: What is gone.
        candidates: What is new and may be the same, the likeliest first.
    """

    table: str | None
    old: str
    candidates: tuple[str, ...]

    @property
    def name(self) -> str:
        """What is gone, in full."""
        return self.old if self.table is None else f"{self.table}.{self.old}"

    def __str__(self) -> str:
        kind = "table" if self.table is None else "column"
        return f"The models have no {kind} {self.name} any more."


Ask: TypeAlias = Callable[[RenameQuestion], str | None]
"""Answers a question by one of its candidates, or by None where it is really gone."""


@dataclass(frozen=True)
class Rename:
    """
    A table, or a column of *table*, under another name.

    Attributes:
        table: As it is called when the column is renamed.
    """

    table: str | None
    old: str
    new: str

    @property
    def back(self) -> Rename:
        """What takes it back."""
        return Rename(self.table, self.new, self.old)

    def statement(self, changes: Changes) -> Statement:
        """It, written."""
        if self.table is None:
            return changes.operations.rename_table(self.old, self.new)
        return changes.operations.rename_column(self.table, self.old, self.new)


class Renames:
    """
    Finds what was renamed, and does it.

    Args:
        changes: The changes that begin with it.
        said: `"old:new"` of tables, `"table.old:new"` of columns.
        dropped: Tables and `"table.column"` that are really gone.
        ask: Who is asked of what is not said.
    """

    def __init__(self, changes: Changes, said: Sequence[str], dropped: Sequence[str], ask: Ask | None) -> None:
        self.changes, self.ask = changes, ask
        self._said, self._dropped = list(said), set(dropped)
        self.done: list[Rename] = []
        self._unclear: list[tuple[str, list[str]]] = []

    def run(self) -> None:
        """
        Rename on the scratch database what was renamed.

        Raises:
            RenameImpossible: What was said to be renamed is not there, or is still there, or would not be new.
            RenameUnclear: Nobody said what is so, and nobody is there to ask.
        """
        pairs = [_parsed(said) for said in self._said]
        columns = [pair for pair in pairs if not self._means_table(*pair)]
        for pair in pairs:
            if pair not in columns:
                self._say_table(*pair)
        self._ask_tables()
        for said, old, new in columns:
            self._say_column(said, old, new)
        self._ask_columns()
        self._require_dropped()
        if self._unclear:
            raise RenameUnclear(self._unclear)

    def take_back(self, changes: Changes) -> None:
        """Begin other changes, which lead back, with the names before."""
        for rename in reversed(self.done):
            changes.do(rename.back.statement(changes))

    # Said

    def _means_table(self, said: str, old: str, new: str) -> bool:
        """A name with a point in it may be that of a table in a schema."""
        if "." not in old:
            return True
        key = self._key
        everywhere = {*self.changes.shape.tables, *self.changes.target.shape.tables}
        return key(old) in everywhere and key(old.rpartition(".")[0]) not in everywhere

    def _say_table(self, said: str, old: str, new: str) -> None:
        gone, come = self._tables()
        names = [table.name for table in self.changes.shape.tables.values()]
        there = self._find(said, old, gone, names, self.changes.target.shape.tables)
        becomes = self._find_new(said, new, come)
        self._do(Rename(None, there, becomes), said)

    def _say_column(self, said: str, old: str, new: str) -> None:
        key, (table, _, column) = self._key, old.rpartition(".")
        # The table may be called by its name before.
        table = next((one.new for one in self.done if one.table is None and key(one.old) == key(table)), table)
        here, there = (shape.tables.get(key(table)) for shape in (self.changes.target.shape, self.changes.shape))
        if there is None:
            names = [one.name for one in self.changes.shape.tables.values()]
            raise RenameImpossible(
                said,
                f"the migrations have no table {table}",
                facts=f"there are {', '.join(sorted(names)) or 'none'}",
                hint=_near(table, names, "sqlmig check tells what differs."),
            )
        if here is None:
            raise RenameImpossible(
                said,
                f"the models have no table {table}",
                facts="a column is renamed in a table that stays",
                hint=f"If the table was renamed as well: --rename {table}:its_new_name",
            )
        gone = [one.name for one in there.columns if key(one.name) not in {key(c.name) for c in here.columns}]
        come = [one.name for one in here.columns if key(one.name) not in {key(c.name) for c in there.columns}]
        still = {key(one.name): one for one in here.columns}
        names = [one.name for one in there.columns]
        found = self._find(said, column, gone, names, still, there.name)
        prefix = f"{table}."
        becomes = self._find_new(said, new.removeprefix(prefix), come, there.name)
        self._do(Rename(there.name, found, becomes), said)

    def _find(
        self,
        said: str,
        name: str,
        gone: Sequence[str],
        names: Sequence[str],
        still: Iterable[str],
        table: str | None = None,
    ) -> str:
        """What is gone, as it is spelled in the migrations."""
        key, hint = self._key, _near(name, gone or names, "sqlmig check tells what differs.")
        what = f"table {name}" if table is None else f"column {table}.{name}"
        for one in gone:
            if key(one) == key(name):
                return one
        done = next((one for one in self.done if key(one.old) == key(name)), None)
        if done is not None:
            why = f"{name} was renamed to {done.new} already"
        elif key(name) in {key(one) for one in still}:
            why = f"the models still have the {what}"
            # No comparison sees two that exchange their names.
            call = "rename_table" if table is None else "rename_column"
            hint = f"Names that are taken over by others are given by hand: sqlmig new ..., self.{call}(...)."
        else:
            why = f"the migrations have no {what}"
        raise RenameImpossible(
            said,
            why,
            facts=f"gone {'is' if len(gone) == 1 else 'are'} {', '.join(gone)}"
            if gone
            else "nothing of that kind is gone",
            hint=hint,
        )

    def _find_new(self, said: str, name: str, come: Sequence[str], table: str | None = None) -> str:
        """What is new, as it is spelled in the models."""
        for one in come:
            if self._key(one) == self._key(name):
                return one
        raise RenameImpossible(
            said,
            f"the models have no new {f'table {name}' if table is None else f'column {table}.{name}'}",
            facts=_told("new", come),
            hint=_near(name, come, "sqlmig check tells what differs."),
        )

    def _do(self, rename: Rename, said: str) -> None:
        statement = rename.statement(self.changes)
        if not self.changes.do(statement):
            raise RenameImpossible(
                said,
                "the database refuses it",
                facts=self.changes.refused.get(statement.text, "it changes nothing"),
                hint="Rename it by hand: sqlmig new ...",
            )
        self.done.append(rename)

    # Asked

    def _ask_tables(self) -> None:
        gone, come = self._tables()
        shape, target = self.changes.shape, self.changes.target.shape
        for name in gone:
            alike = {other: _likeness(shape.tables[self._key(name)], target.tables[self._key(other)]) for other in come}
            likely = sorted((other for other in come if alike[other] >= _ALIKE), key=lambda other: -alike[other])
            answer = self._answer(RenameQuestion(None, name, tuple(likely)))
            if answer is not None:
                come = [other for other in come if other != answer]
                self._do(Rename(None, name, answer), f"{name}:{answer}")

    def _ask_columns(self) -> None:
        tables = {str(found.table): None for found in self.changes.of_kind("column")}
        for table in tables:
            found = [one for one in self.changes.of_kind("column") if one.table == table]
            gone = [one.right for one in found if one.left is None and isinstance(one.right, shapes.Column)]
            come = [one.left for one in found if one.right is None and isinstance(one.left, shapes.Column)]
            for column in (one for one in gone if one.generated is None):
                likely = sorted((other for other in come if _may_be(column, other)), key=lambda o: -_score(column, o))
                question = RenameQuestion(table, column.name, tuple(other.name for other in likely))
                answer = self._answer(question)
                if answer is not None:
                    come = [other for other in come if other.name != answer]
                    self._do(Rename(table, column.name, answer), f"{table}.{column.name}:{answer}")

    def _answer(self, question: RenameQuestion) -> str | None:
        if not question.candidates or self._is_dropped(question.name):
            return None
        if self.ask is None:
            new = [name if question.table is None else f"{question.table}.{name}" for name in question.candidates]
            self._unclear.append((question.name, new))
            return None
        answer = self.ask(question)
        if answer is not None and answer not in question.candidates:
            raise RenameImpossible(
                f"{question.name}:{answer}",
                f"{answer} is none of the candidates",
                facts=f"they are {', '.join(question.candidates)}",
                hint="Answer with one of them, or with None.",
            )
        return answer

    def _is_dropped(self, name: str) -> bool:
        return self._key(name) in {self._key(one) for one in self._dropped}

    def _require_dropped(self) -> None:
        """What was said to be dropped must be gone."""
        found = self.changes.differences()
        gone = {_full(one) for one in found if one.kind in ("table", "column") and one.left is None}
        for name in sorted(self._dropped):
            if self._key(name) not in {self._key(one) for one in gone}:
                raise RenameImpossible(
                    name,
                    "it is said to be dropped, and is not gone",
                    facts=_told("gone", sorted(gone)),
                    hint=_near(name, sorted(gone), "Leave --drop out."),
                )

    def _tables(self) -> tuple[list[str], list[str]]:
        """The tables that are gone, and those that are new."""
        found = list(self.changes.of_kind("table"))
        return [one.name for one in found if one.left is None], [one.name for one in found if one.right is None]

    def _key(self, name: str) -> str:
        return self.changes.shape.key(name)


def _parsed(said: str) -> tuple[str, str, str]:
    old, colon, new = said.partition(":")
    if not colon or not old.strip() or not new.strip() or ":" in new:
        raise RenameImpossible(
            said,
            "it is no old and new name",
            facts="a table is renamed by old:new, a column by table.old:new",
            hint="For example: --rename books:volumes --rename books.lang:language",
        )
    return said, old.strip(), new.strip()


def _full(found: Difference) -> str:
    return found.name if found.kind == "table" else f"{found.table}.{found.name}"


def _likeness(one: shapes.Table, other: shapes.Table) -> float:
    """How much of two tables is the same column: 1 is all."""
    ours, theirs = ({(column.name.lower(), column.type) for column in table.columns} for table in (one, other))
    return 2 * len(ours & theirs) / max(1, len(ours) + len(theirs))


def _may_be(gone: shapes.Column, come: shapes.Column) -> bool:
    """Whether one column may be the other: alike in all but the name, or in the name."""
    return _same_kind(gone, come) or _named_alike(gone.name, come.name) >= _ALIKE


def _same_kind(gone: shapes.Column, come: shapes.Column) -> bool:
    return all(getattr(gone, facet) == getattr(come, facet) for facet in _FACETS)


def _named_alike(one: str, other: str) -> float:
    first, second = one.lower(), other.lower()
    if first in second or second in first:
        return 1.0
    return difflib.SequenceMatcher(None, first, second).ratio()


def _score(gone: shapes.Column, come: shapes.Column) -> float:
    return _same_kind(gone, come) + _named_alike(gone.name, come.name)


def _told(word: str, names: Sequence[str]) -> str:
    return (
        f"{word} {'is' if len(names) == 1 else 'are'} {', '.join(names)}"
        if names
        else f"nothing of that kind is {word}"
    )


def _near(name: str, names: Sequence[str], otherwise: str) -> str:
    near = difflib.get_close_matches(name, names, 1)
    return f"Did you mean {near[0]}?" if near and near[0] != name else otherwise
