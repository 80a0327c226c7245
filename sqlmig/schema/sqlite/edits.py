"""
Edits of a stored CREATE TABLE: each takes a definition and gives the one that its changed text reads as.

All that is not named keeps its place: comments, white space, quotes, the order and the spelling of everything else.
"""

from __future__ import annotations

from itertools import pairwise

from .definition import ColumnDefinition, Constraint, TableDefinition, folded
from .reader import DefinitionError, parse
from .tokens import Token, name_of, quoted, significant, tokens

__all__ = [
    "add_column",
    "add_constraint",
    "copying",
    "drop_column",
    "drop_constraint",
    "rename_table",
    "replace",
    "set_collation",
    "set_default",
    "set_nullable",
    "set_type",
]


def replace(text: str, *splices: tuple[int, int, str]) -> str:
    """
    *text* with each stretch from start to end exchanged for another, which stays apart from what is beside it.

    `VARCHAR(20)NOT NULL` needs no space, and TEXT in its place does: `TEXTNOT NULL` would be a type.
    """
    for start, end, new in sorted(splices, reverse=True):
        before = " " if new and _would_join(tokens(text[:start]), new) else ""
        after = " " if _would_join(tokens(text[:start] + before + new), text[end:]) else ""
        text = text[:start] + before + new + after + text[end:]
    return text


def rename_table(definition: TableDefinition, name: str) -> TableDefinition:
    """
    The same table under another name, whose CHECKs may call it by its name too.

    Its foreign keys go on meaning the table of the old name.
    """
    splices = [(*definition.name_span, quoted(name))]
    for constraint in definition.all_constraints:
        if constraint.kind == "check" and constraint.body is not None:
            splices += _qualifiers(definition, constraint, name)
    return parse(replace(definition.text, *splices))


def _qualifiers(definition: TableDefinition, check: Constraint, name: str) -> list[tuple[int, int, str]]:
    """The `t` of every `t.x` in a CHECK: no subquery is allowed there, so that it can be nothing else."""
    start = (check.body or (0, 0))[0]
    found = significant(definition.body_of(check))
    return [
        (start + token.start, start + token.end, quoted(name))
        for token, following in pairwise(found)
        if following.text == "." and token.is_name and folded(name_of(token)) == folded(definition.name)
    ]


def copying(definition: TableDefinition, name: str) -> TableDefinition:
    """
    The table that rows are copied into: their storage, and nothing that could refuse one.

    What a row has to fulfil was true of it before, or is looked at by itself: a row that was let through once
    (`ignore_check_constraints`) stays. UNIQUE comes as an index when the rows are there, which is faster; AUTOINCREMENT
    would write into sqlite_sequence; a foreign key would be looked up for each row.
    """
    definition = rename_table(definition, name)
    while unwanted := next((c for c in definition.all_constraints if _refuses(definition, c)), None):
        definition = drop_constraint(definition, unwanted)
    return _without_autoincrement(definition)


def _without_autoincrement(definition: TableDefinition) -> TableDefinition:
    key = definition.primary_key
    if key is None or "AUTOINCREMENT" not in key.words:
        return definition
    words = significant(definition.text_of(key))
    start = key.start + next(token.start for token in words if token.is_word("AUTOINCREMENT"))
    return parse(replace(definition.text, (start, start + len("AUTOINCREMENT"), "")))


def _refuses(definition: TableDefinition, constraint: Constraint) -> bool:
    if constraint.kind == "primary_key":
        # A table WITHOUT ROWID is its primary key's index; an INTEGER PRIMARY KEY is the rowid.
        return not definition.without_rowid and definition.rowid_alias is None
    return constraint.kind in ("check", "foreign_key", "unique", "not_null", "deferrable")


def add_column(definition: TableDefinition, specification: str) -> TableDefinition:
    """The table with one more column, behind the others: where SQLite's own ADD COLUMN writes it."""
    end = definition.columns[-1].end
    return parse(replace(definition.text, (end, end, f", {specification}")))


def drop_column(definition: TableDefinition, name: str) -> TableDefinition:
    """The table without a column and what belongs to the column alone."""
    column = definition.column(name)
    return _without_element(definition, column.start, column.end)


def add_constraint(definition: TableDefinition, specification: str) -> TableDefinition:
    """The table with one more constraint, behind the others."""
    end = (definition.constraints or definition.columns)[-1].end
    return parse(replace(definition.text, (end, end, f", {specification}")))


def drop_constraint(definition: TableDefinition, constraint: Constraint) -> TableDefinition:
    """The table without a constraint, wherever it stands."""
    if (dangling := _name_before(definition, constraint)) is not None:
        # `CONSTRAINT a CONSTRAINT b UNIQUE`: the first would become the name of what follows.
        definition = drop_constraint(definition, dangling)
        return drop_constraint(definition, _same(definition, constraint))
    if constraint.column is None:
        return _without_element(definition, constraint.start, constraint.end)
    text = _cut(definition.text, constraint.start, constraint.end)
    if constraint.kind == "foreign_key":
        left = parse(text)
        loose = next((c for c in left.column(constraint.column).constraints if c.kind == "deferrable"), None)
        # `REFERENCES p NOT NULL DEFERRABLE`: it said when the reference is looked at.
        if loose is not None and left.column(constraint.column).of_kind("foreign_key") is None:
            text = _cut(text, loose.start, loose.end)
    return parse(text)


def _name_before(definition: TableDefinition, constraint: Constraint) -> Constraint | None:
    beside = [found for found in definition.all_constraints if found.column == constraint.column]
    rank = next(i for i, found in enumerate(beside) if found.start == constraint.start)
    return beside[rank - 1] if rank and beside[rank - 1].kind == "name" else None


def _same(definition: TableDefinition, constraint: Constraint) -> Constraint:
    """A constraint in a definition where it may stand further to the left."""
    alike = [c for c in definition.all_constraints if (c.kind, c.name) == (constraint.kind, constraint.name)]
    return max((c for c in alike if c.start <= constraint.start), key=lambda c: c.start)


def set_type(definition: TableDefinition, name: str, type_: str) -> TableDefinition:
    """The table with a column of another declared type."""
    start, end = definition.column(name).type_span
    return parse(replace(definition.text, (start, end, type_ if end > start else f" {type_}" if type_ else "")))


def set_nullable(definition: TableDefinition, name: str, nullable: bool) -> TableDefinition:
    """The table with a column that takes NULL, or does not."""
    for kind in ("not_null", "null"):
        if nullable or kind == "null":
            definition = _without_kind(definition, name, kind)
    if nullable or definition.column(name).of_kind("not_null") is not None:
        return definition
    return _insert(definition, definition.column(name), "NOT NULL")


def set_default(definition: TableDefinition, name: str, default: str | None) -> TableDefinition:
    """The table with a column that has another default: a literal, or an expression in parentheses."""
    found = definition.column(name).of_kind("default")
    if found is not None and found.body is not None and default is not None:
        return parse(replace(definition.text, (*found.body, default)))
    definition = _without_kind(definition, name, "default")
    if default is None:
        return definition
    return _insert(definition, definition.column(name), f"DEFAULT {default}")


def set_collation(definition: TableDefinition, name: str, collation: str | None) -> TableDefinition:
    """The table with a column that is compared otherwise."""
    definition = _without_kind(definition, name, "collate")
    if collation is None:
        return definition
    return _insert(definition, definition.column(name), f"COLLATE {quoted(collation)}")


def _without_kind(definition: TableDefinition, name: str, kind: str) -> TableDefinition:
    while (found := definition.column(name).of_kind(kind)) is not None:
        definition = drop_constraint(definition, found)
    return definition


def _insert(definition: TableDefinition, column: ColumnDefinition, words: str) -> TableDefinition:
    """Put a constraint behind the type of a column: before a REFERENCES it cannot be taken for a part of that."""
    at = column.type_span[1]
    text = replace(definition.text, (at, at, f" {words}"))
    changed = parse(text)
    if len(changed.column(column.name).constraints) != len(column.constraints) + 1:
        raise DefinitionError(f"{words} would not be read as one constraint")
    return changed


def _without_element(definition: TableDefinition, start: int, end: int) -> TableDefinition:
    """The table without one element of its list, and without one comma."""
    found = tokens(definition.text)
    first = next(i for i, token in enumerate(found) if token.start == start)
    last = next(i for i, token in enumerate(found) if token.end == end)
    following = next(i for i in range(last + 1, len(found)) if found[i].kind not in ("space", "comment"))
    before = next(i for i in range(first - 1, -1, -1) if found[i].kind not in ("space", "comment"))
    if found[following].text == ",":
        # A comment between the element and its comma stays.
        if all(token.kind == "space" for token in found[last + 1 : following]):
            return parse(_cut(definition.text, start, found[following].end))
        return parse(_cut(replace(definition.text, (found[following].start, found[following].end, "")), start, end))
    text = _cut(definition.text, start, end)
    if found[following].text == ")" and found[before].text == ",":
        text = replace(text, (found[before].start, found[before].end, ""))
    return parse(text)


def _cut(text: str, start: int, end: int) -> str:
    """*text* without a stretch and the white space before it, but for the end of a line of comment."""
    before = [token for token in tokens(text) if token.end <= start]
    if before and before[-1].kind == "space":
        kept = "\n" if _is_line_comment(before[:-1]) else ""
        left, right = text[: before[-1].start] + kept, text[end:]
        return left + right if kept or not _would_join(before[:-1], right) else f"{left} {right}"
    left, right = text[:start], text[end:]
    return f"{left} {right}" if _would_join(before, right) else left + right


def _is_line_comment(before: list[Token]) -> bool:
    return bool(before) and before[-1].kind == "comment" and before[-1].text.startswith("--")


def _would_join(before: list[Token], right: str) -> bool:
    """Whether the last token would become one with what follows."""
    following = tokens(right)
    if not before or not following:
        return False
    joined = tokens(before[-1].text + following[0].text)
    return [token.text for token in joined] != [before[-1].text, following[0].text]
