"""What is drawn of a schema, or of the difference between two: tables with their columns and what they refer to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from ..drift.compare import Difference, compare
from ..drift.report import finding
from ..drift.shape import Column, Constraint, Index, Shape, Table, Thing

__all__ = ["Field", "Mark", "Note", "Picture", "Reference", "TablePicture", "difference_of", "picture_of"]

_VIEWS = ("view", "materialized view")


class Mark(StrEnum):
    """What has become of a part between two versions."""

    SAME = "same"
    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"

    @property
    def sign(self) -> str:
        """The same for whoever sees no colours."""
        return {Mark.SAME: " ", Mark.ADDED: "+", Mark.REMOVED: "-", Mark.CHANGED: "~"}[self]


@dataclass(frozen=True)
class Field:
    """
    A column of a table or of a view.

    Attributes:
        required: Whether it takes no NULL; None where nobody can tell, as of a view.
        details: What else is said of it: its default, how it is computed or numbered, its collation.
        key: Whether it is in the primary key.
        refers: Whether it is in a foreign key.
        unique: Whether it is unique by itself.
        before: What it said before it was changed.
    """

    name: str
    type: str = ""
    required: bool | None = None
    details: tuple[str, ...] = ()
    key: bool = False
    refers: bool = False
    unique: bool = False
    mark: Mark = Mark.SAME
    before: str | None = None


@dataclass(frozen=True)
class Reference:
    """
    A foreign key.

    Attributes:
        columns, parent_columns: As the tables call them.
        optional: Whether a row may do without a parent.
        single: Whether a parent has one such row at the most.
        actions: What else it says: ON DELETE CASCADE.
    """

    columns: tuple[str, ...]
    parent: str
    parent_columns: tuple[str, ...]
    name: str | None = None
    optional: bool = False
    single: bool = False
    actions: str = ""
    mark: Mark = Mark.SAME
    before: str | None = None

    def __str__(self) -> str:
        theirs = f" ({', '.join(self.parent_columns)})" if self.parent_columns else ""
        return f"({', '.join(self.columns)}) refers to {self.parent}{theirs}" + (self.actions and f" {self.actions}")


@dataclass(frozen=True)
class Note:
    """
    Something else that is said of a table, or of the schema where no table is meant.

    Attributes:
        kind: "unique", "check", "index", "trigger", "comment", ...
        before: What it said before it was changed.
    """

    kind: str
    text: str
    mark: Mark = Mark.SAME
    before: str | None = None


@dataclass(frozen=True)
class TablePicture:
    """
    A table or a view.

    Attributes:
        kind: "table", "view", "materialized view" or "virtual table".
        key: The columns of the primary key.
        before: Of a changed view, that its definition is another.
    """

    name: str
    kind: str = "table"
    fields: tuple[Field, ...] = ()
    references: tuple[Reference, ...] = ()
    key: tuple[str, ...] = ()
    notes: tuple[Note, ...] = ()
    comment: str | None = None
    mark: Mark = Mark.SAME


@dataclass(frozen=True)
class Picture:
    """
    A schema, or what has become of one.

    Attributes:
        title: What it is of.
        is_difference: Whether its marks count.
        others: What belongs to no table: functions, types, sequences.
    """

    title: str
    tables: tuple[TablePicture, ...] = ()
    others: tuple[Note, ...] = ()
    is_difference: bool = False

    @property
    def changes(self) -> dict[Mark, int]:
        """How many tables and views were added, removed and changed."""
        marks = [table.mark for table in self.tables]
        return {mark: marks.count(mark) for mark in (Mark.ADDED, Mark.REMOVED, Mark.CHANGED)}

    @property
    def summary(self) -> str:
        """In one line, how much there is, or how much is another."""
        if self.is_difference:
            said = [f"{count} {mark}" for mark, count in self.changes.items() if count]
            others = sum(note.mark is not Mark.SAME for note in self.others)
            said += [f"{others} of what belongs to no table"] if others else []
            return f"Tables and views: {', '.join(said)}." if said else "Nothing differs."
        views = sum(table.kind in _VIEWS for table in self.tables)
        references = sum(len(table.references) for table in self.tables)
        counts = ((len(self.tables) - views, "table"), (views, "view"), (references, "foreign key"))
        said = [f"{count} {word}{'' if count == 1 else 's'}" for count, word in counts if count or word == "table"]
        return f"{', '.join(said)}."


Views = Mapping[str, Sequence[tuple[str, str]]]
"""Names and types of the columns of each view."""


def picture_of(title: str, shape: Shape, views: Views) -> Picture:
    """The picture of a schema."""
    tables = [_table(table, shape) for table in shape.tables.values()]
    tables += [_view(thing, views) for thing in shape.things.values() if _is_drawn(thing)]
    return Picture(title, _sorted(tables), tuple(_others(shape)))


Seen = tuple[Shape, Views]
"""A schema, with the columns of its views."""

Names = tuple[str, str]
"""What two schemas are called where it is told in what they differ."""


def difference_of(title: str, older: Seen, newer: Seen, names: Names) -> Picture:
    """The picture of what has become of a schema."""
    (left, _), (right, _) = older, newer
    before, after = picture_of(title, *older), picture_of(title, *newer)
    found = compare(left, right)
    was, now = ({right.key(table.name): table for table in picture.tables} for picture in (before, after))
    about: dict[str, list[Difference]] = {}
    loose: list[Difference] = []
    for one in found:
        owner = one.table if one.table is not None else one.name if one.kind in (*_VIEWS, "virtual table") else None
        if owner is not None:
            about.setdefault(right.key(owner), []).append(one)
        else:
            loose.append(one)
    tables = []
    for key in dict.fromkeys([*was, *now]):
        if key not in now:
            tables.append(_all(was[key], Mark.REMOVED))
        elif key not in was:
            tables.append(_all(now[key], Mark.ADDED))
        elif key in about:
            tables.append(_changed(was[key], now[key], about[key], right, names))
        else:
            tables.append(now[key])
    others = [_note(one, names) for one in loose]
    return Picture(title, _sorted(tables), tuple(others), is_difference=True)


def _sorted(tables: Sequence[TablePicture]) -> tuple[TablePicture, ...]:
    return tuple(sorted(tables, key=lambda table: (table.kind != "table", table.name.casefold(), table.name)))


def _is_drawn(thing: Thing) -> bool:
    return thing.kind in (*_VIEWS, "virtual table")


# One schema


def _table(table: Table, shape: Shape) -> TablePicture:
    called = {shape.column_key(column.name): column.name for column in table.columns}

    def own(names: Sequence[str]) -> tuple[str, ...]:
        return tuple(called.get(shape.column_key(name), name) for name in names)

    key = next((own(found.columns) for found in table.constraints if found.kind == "primary key"), ())
    unique = [own(found.columns) for found in table.constraints if found.kind == "unique"]
    optional = {column.name for column in table.columns if column.nullable} - set(key)
    references = tuple(
        _reference(found, own(found.columns), shape, optional, [key, *unique])
        for found in table.constraints
        if found.kind == "foreign key"
    )
    refers = {name for reference in references for name in reference.columns}
    alone = {columns[0] for columns in unique if len(columns) == 1}
    fields = tuple(
        Field(
            name=column.name,
            type=column.type if column.declared is None else column.declared,
            required=not column.nullable or column.name in key,
            details=tuple(_details(column)),
            key=column.name in key,
            refers=column.name in refers,
            unique=column.name in alone,
        )
        for column in table.columns
    )
    return TablePicture(table.name, "table", fields, references, key, tuple(_notes(table, shape)), table.comment)


def _reference(
    found: Constraint,
    columns: tuple[str, ...],
    shape: Shape,
    optional: set[str],
    unique: Sequence[tuple[str, ...]],
) -> Reference:
    parent = shape.tables.get(shape.key(found.parent or ""))
    theirs = {shape.column_key(column.name): column.name for column in parent.columns} if parent is not None else {}
    _, _, said = str(found.definition).partition("REFERENCES")
    at = min((place for word in _ACTIONS if (place := said.find(word)) >= 0), default=len(said))
    return Reference(
        columns=columns,
        parent=parent.name if parent is not None else found.parent or "",
        parent_columns=tuple(theirs.get(shape.column_key(name), name) for name in found.parent_columns),
        name=found.name,
        optional=bool(optional.intersection(columns)),
        single=any(found and set(found) <= set(columns) for found in unique),
        actions=said[at:].strip(),
    )


_ACTIONS = (" ON DELETE ", " ON UPDATE ", " DEFERRABLE", " INITIALLY ", " NOT VALID", " MATCH ")


def _details(column: Column) -> Iterator[str]:
    if column.generated is not None:
        yield f"AS {column.generated}"
    yield from (word for word in (column.identity, column.collation and f"COLLATE {column.collation}") if word)
    if column.default is not None:
        yield f"DEFAULT {column.default}"
    yield from (word for word in (column.others, column.comment and f"({column.comment})") if word)


def _notes(table: Table, shape: Shape) -> Iterator[Note]:
    for found in table.constraints:
        if found.kind in ("check", "exclude") or (found.kind == "unique" and len(found.columns) > 1):
            yield Note(found.kind, _said(found))
    for index in _of(table.name, shape.indexes.values(), shape):
        yield Note("index", _said(index))
    for thing in _of(table.name, shape.things.values(), shape):
        yield Note(thing.kind, thing.name)
    for option in sorted(table.options):
        yield Note("option", option)


def _of(table: str, parts: Any, shape: Shape) -> Iterator[Any]:
    key = shape.key(table)
    yield from (part for part in parts if part.table is not None and shape.key(part.table) == key)


def _view(thing: Thing, views: Views) -> TablePicture:
    fields = tuple(Field(name, type_) for name, type_ in views.get(thing.name, ()))
    return TablePicture(thing.name, thing.kind, fields)


def _others(shape: Shape) -> Iterator[Note]:
    for thing in shape.things.values():
        if not _is_drawn(thing) and (thing.table is None or not shape.has_table(thing.table)):
            yield Note(thing.kind, thing.name)


def _said(part: Constraint | Index) -> str:
    said = _one_line(part.definition)
    return f"{part.name}: {said}" if part.name else said


def _one_line(text: object) -> str:
    return " ".join(str(text).split())


# The difference between two


def _all(table: TablePicture, mark: Mark) -> TablePicture:
    """A table with all that it has under one mark."""
    return replace(
        table,
        mark=mark,
        fields=tuple(replace(field, mark=mark) for field in table.fields),
        references=tuple(replace(reference, mark=mark) for reference in table.references),
        notes=tuple(replace(note, mark=mark) for note in table.notes),
    )


def _changed(
    was: TablePicture, now: TablePicture, found: Sequence[Difference], shape: Shape, names: Names
) -> TablePicture:
    columns = {shape.column_key(one.name): one for one in found if one.kind == "column"}
    fields = [_field(field, columns.get(shape.column_key(field.name)), names) for field in now.fields]
    kept = {shape.column_key(field.name) for field in now.fields}
    for place, field in enumerate(was.fields):
        if shape.column_key(field.name) not in kept:
            # Where it was, as far as there is such a place.
            fields.insert(min(place, len(fields)), replace(field, mark=Mark.REMOVED))
    notes = [_note(one, names) for one in found if one.kind not in ("column", "foreign key")]
    told = {(note.kind, note.text) for note in notes} | {(one.kind, one.name) for one in found}
    same = [note for note in now.notes if (note.kind, note.text) not in told]
    references = tuple(_references(was, now, found, shape, names))
    return replace(now, mark=Mark.CHANGED, fields=tuple(fields), references=references, notes=(*same, *notes))


def _field(field: Field, one: Difference | None, names: Names) -> Field:
    if one is None:
        return field
    if one.left is None:
        return replace(field, mark=Mark.ADDED)
    return replace(field, mark=Mark.CHANGED, before=finding(one, *names).left)


def _references(
    was: TablePicture, now: TablePicture, found: Sequence[Difference], shape: Shape, names: Names
) -> Iterator[Reference]:
    """The foreign keys with their marks, those that are gone last."""
    keys = [one for one in found if one.kind == "foreign key"]
    for table, side, mark in ((now, "right", Mark.ADDED), (was, "left", Mark.REMOVED)):
        for reference in table.references:
            one = next((one for one in keys if _is_about(getattr(one, side), reference, shape)), None)
            if one is None:
                yield from [reference] if table is now else []
            elif one.left is None or one.right is None:
                yield replace(reference, mark=mark)
            elif table is now:
                yield replace(reference, mark=Mark.CHANGED, before=finding(one, *names).left)


def _is_about(part: Any, reference: Reference, shape: Shape) -> bool:
    return (
        isinstance(part, Constraint)
        and part.name == reference.name
        and [*map(shape.column_key, part.columns)] == [*map(shape.column_key, reference.columns)]
        and shape.key(part.parent or "") == shape.key(reference.parent)
    )


def _note(one: Difference, names: Names) -> Note:
    told = finding(one, *names)
    part = one.right if one.right is not None else one.left
    match part:
        case Constraint() | Index():
            said = _said(part)
        case Thing():
            # Of a view that is another, its name is told by the table that it is drawn as.
            said = part.name if one.left is None or one.right is None else _one_line(part.definition)
        case _:
            said = (told.right if one.right is not None else told.left) or one.name
    if one.left is None or one.right is None:
        return Note(one.kind, said, Mark.ADDED if one.left is None else Mark.REMOVED)
    return Note(one.kind, said, Mark.CHANGED, told.left)
