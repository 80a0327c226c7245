"""What a check found, in words and as data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ..results import Record
from .compare import Difference, Part
from .shape import Column, Constraint, Index, Table, Thing

__all__ = ["Comparison", "DriftReport", "Finding", "finding", "told"]

_SHORT = 160
"""Characters of a definition that are shown."""


class Finding(Record):
    """
    One difference.

    Attributes:
        kind: "table", "column", "primary key", "unique", "check", "foreign key", "index", "trigger", "view", ...
        table: The table that it is about, if about one.
        name: What it is called.
        facets: In what it differs where both have it: "type", "nullable", "default", "definition", "name", ...
        left, right: What each side says; None where it has nothing.
        text: The same in one line.
    """

    kind: str
    table: str | None
    name: str
    facets: list[str]
    left: str | None
    right: str | None
    text: str

    def __str__(self) -> str:
        return self.text


class Comparison(Record):
    """
    Two of the three, and what they do not have in common.

    Attributes:
        left, right: "models", "migrations" or "database".
    """

    left: str
    right: str
    findings: list[Finding]

    def __bool__(self) -> bool:
        return not self.findings

    def __str__(self) -> str:
        between = f"{self.left} and {self.right}"
        if not self.findings:
            return f"{between} agree"
        return "\n".join([f"{between} differ:", *(f"  {found}" for found in self.findings)])


class DriftReport(Record):
    """
    Whether models, migrations and a database agree; true where they do.

    Attributes:
        current_version: That of the database; None where it was not looked at.
        target_version: The newest migration.
        state: What is to be known before the differences: that the database is behind or ahead, or is not compared.
        comparisons: Those that were made.
        vouched: Whether everything that was asked for could be compared.
    """

    current_version: int | None
    target_version: int
    state: str | None
    comparisons: list[Comparison]
    vouched: bool = True

    @property
    def clean(self) -> bool:
        """Whether nothing differs, and everything that was asked for was compared."""
        return self.vouched and all(self.comparisons)

    @property
    def differences(self) -> list[Finding]:
        """All that was found."""
        return [found for comparison in self.comparisons for found in comparison.findings]

    def between(self, left: str, right: str) -> list[Finding]:
        """
        What was found between two of "models", "migrations" and "database".

        Raises:
            KeyError: They were not compared.
        """
        for comparison in self.comparisons:
            if (comparison.left, comparison.right) == (left, right):
                return comparison.findings
        raise KeyError((left, right))

    def __bool__(self) -> bool:
        return self.clean

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        if self.state:
            yield self.state
        others_agree = all(one for one in self.comparisons if (one.left, one.right) != ("models", "database"))
        for comparison in self.comparisons:
            count = len(comparison.findings)
            if (comparison.left, comparison.right) != ("models", "database") or others_agree:
                yield str(comparison)
            elif count:
                # They are the sum of those above.
                yield f"models and database differ in {count} {'part' if count == 1 else 'parts'} of these"


def finding(difference: Difference, left: str, right: str) -> Finding:
    """A difference between *left* and *right*, told."""
    one, other = difference.left, difference.right
    subject = _subject(difference)
    if one is None or other is None:
        there: Any = one or other
        said = _said(there)
        text = f"{subject}{f' {said}' if said else ''}: in the {left if one else right} only"
        sides = (_said(one) if one else None, _said(other) if other else None)
    else:
        parts = [_facets(one, other, facet) for facet in difference.facets]
        told = [f"{a} in the {left}, {b} in the {right}" for a, b in parts]
        text = f"{subject}: {'; '.join(told)}"
        sides = ("; ".join(a for a, _ in parts), "; ".join(b for _, b in parts))
    return Finding(
        kind=difference.kind,
        table=difference.table,
        name=difference.name,
        facets=list(difference.facets),
        left=sides[0],
        right=sides[1],
        text=text,
    )


def _subject(difference: Difference) -> str:
    part: Any = difference.left or difference.right
    match part:
        case Table():
            return f"table {difference.name}"
        case Column():
            return f"column {difference.table}.{difference.name}"
        case Constraint():
            named = f" {part.name}" if part.name else ""
            return f"{difference.table}: {difference.kind}{named}"
        case Index():
            return f"index {difference.name} on {part.table}"
        case Thing() if part.table is not None:
            return f"{difference.kind} {difference.name} on {part.table}"
    return f"{difference.kind} {difference.name}"


def _said(part: Part) -> str:
    """What one part says, beside its name."""
    match part:
        case Table():
            return f"({', '.join(column.name for column in part.columns)})"
        case Column():
            return " ".join(_words(part))
        case Constraint() | Index():
            return _one_line(str(part.definition))
        case Thing():
            return ""


def _words(column: Column) -> Iterator[str]:
    yield column.type
    if column.generated:
        yield f"AS {column.generated}"
    yield from (word for word in (column.identity, column.collation and f"COLLATE {column.collation}") if word)
    if not column.nullable:
        yield "NOT NULL"
    if column.default is not None:
        yield f"DEFAULT {column.default}"


def _facets(one: Part, other: Part, facet: str) -> tuple[str, str]:
    """What both sides say; of long texts, from where they begin to differ."""
    said = _facet(one, facet), _facet(other, facet)
    same = next((place for place, (a, b) in enumerate(zip(*said, strict=False)) if a != b), min(map(len, said)))
    if max(map(len, said)) <= _SHORT or same < _SHORT // 2:
        return _cut(said[0]), _cut(said[1])
    # With a few words before that.
    start = said[0].rfind(" ", 0, max(0, same - 30)) + 1
    return _cut(f"…{said[0][start:]}"), _cut(f"…{said[1][start:]}")


def _facet(part: Part, facet: str) -> str:
    value = getattr(part, facet)
    match facet:
        case "type":
            return f"type {value}" if value else "no type"
        case "nullable":
            return "takes NULL" if value else "NOT NULL"
        case "name":
            return f"named {value}" if value else "without a name of its own"
        case "options":
            return ", ".join(sorted(value)) if value else "a plain table"
        case "definition":
            return " ".join(str(value).split())
        case "comment":
            return f"comment {value!r}" if value is not None else "no comment"
    word = {"default": "DEFAULT", "generated": "AS", "collation": "COLLATE", "identity": "", "others": ""}[facet]
    if not value:
        return {"generated": "not generated", "others": "plain"}.get(facet, f"no {facet}")
    return f"{word} {value}".strip()


def _one_line(text: str) -> str:
    return _cut(" ".join(text.split()))


def _cut(line: str) -> str:
    return line if len(line) <= _SHORT else f"{line[: _SHORT - 1]}…"


def told(differences: Sequence[Difference], left: str, right: str) -> Comparison:
    """The whole of a comparison."""
    return Comparison(left=left, right=right, findings=[finding(found, left, right) for found in differences])
