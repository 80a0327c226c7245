"""A schema as an entity-relationship diagram: one file that needs nothing else, light or dark as its reader has it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from .layout import Box, Drawing, End, Line, Link, Path, arrange
from .lettering import CELL, cells, cut, markup
from .picture import Field, Mark, Note, Picture, Reference, TablePicture

__all__ = ["as_svg"]

_MARGIN, _HEAD, _ROW, _PAD, _TEXT, _SMALL = 24.0, 28.0, 20.0, 10.0, 12.0, 10.0
_LONGEST_NAME, _LONGEST_TYPE, _LONGEST_NOTE = 36.0, 24.0, 60.0
_BEND = 6.0
_STEP = 10.0
"""Between two lines that end at one row."""


def as_svg(picture: Picture, prefix: str = "schema", *, embedded: bool = False) -> str:
    """
    Draw it.

    Args:
        embedded: Whether it stands on a page that tells its title and how much there is.
        prefix: What the ids begin with; on a page with several diagrams, each has its own.
    """
    boxes = {table.name: _TableBox(table, is_difference=picture.is_difference) for table in picture.tables}
    drawing = arrange([box.box for box in boxes.values()], list(_links(boxes)))
    heading = _heading(picture, embedded=embedded)
    wide = max([drawing.width, *(x + cells(text) * size * CELL for x, _, size, _, text in heading.texts)])
    width, height = wide + 2 * _MARGIN, drawing.height + heading.height + 2 * _MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="sqlmig-diagram" role="img" width="{width:.0f}"'
        f' height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}"'
        f' aria-labelledby="{prefix}-title {prefix}-desc">',
        f'<title id="{prefix}-title">{markup(picture.title)}</title>',
        f'<desc id="{prefix}-desc">{markup(_described(picture))}</desc>',
        f"<style>{_STYLE}</style>",
        f'<rect class="paper" width="{width:.0f}" height="{height:.0f}"/>',
        f'<g transform="translate({_MARGIN:.0f} {_MARGIN:.0f})">',
        *heading.marks,
        *(_text(x, y, text, kind) for x, y, _, kind, text in heading.texts),
        "</g>",
        f'<g transform="translate({_MARGIN:.0f} {_MARGIN + heading.height:.0f})">',
        *_drawn_lines(drawing),
        *(part for box in boxes.values() for part in box.drawn()),
        *_drawn_ends(drawing),
        "</g>",
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


# Above the diagram


class _Heading(NamedTuple):
    """
    What stands above.

    Attributes:
        texts: Each with its place, the size of its letters and its class.
        marks: What is behind the words of the legend.
    """

    texts: list[tuple[float, float, float, str, str]]
    marks: list[str]
    height: float


def _heading(picture: Picture, *, embedded: bool) -> _Heading:
    texts = [(0.0, 15.0, 16.0, "heading", cut(picture.title, 70)), (0.0, 36.0, _TEXT, "dim", picture.summary)]
    height = 56.0
    if embedded:
        texts, height = [], 0.0
    if not picture.is_difference:
        return _Heading(texts, [], height)
    x, marks = 0.0, []
    for mark in (Mark.ADDED, Mark.REMOVED, Mark.CHANGED):
        word = f"{mark.sign} {mark}"
        wide = cells(word) * _TEXT * CELL + 2 * _PAD
        marks.append(
            f'<rect class="row {mark}" x="{x:.0f}" y="{height - 8:.0f}" width="{wide:.0f}" height="20" rx="4"/>'
        )
        texts.append((x + _PAD, height + 6, _TEXT, "name", word))
        x += wide + _PAD
    return _Heading(texts, marks, height + 36)


def _described(picture: Picture) -> str:
    """The diagram in words, for whoever does not see it."""
    said = [picture.summary]
    for table in picture.tables:
        mark = "" if table.mark is Mark.SAME else f", {table.mark}"
        theirs = dict.fromkeys(reference.parent for reference in table.references)
        refers = f", refers to {', '.join(theirs)}" if theirs else ""
        said.append(f"{table.kind.capitalize()} {table.name}{mark}: {len(table.fields)} columns{refers}.")
    return " ".join(said)


# Boxes


class _Row(NamedTuple):
    """A line of a box: a column, or a note that goes over its whole width."""

    name: str
    keys: str = ""
    type: str = ""
    nullable: bool = False
    mark: Mark = Mark.SAME
    full: str = ""
    is_note: bool = False


class _TableBox:
    """A table as it is drawn."""

    def __init__(self, table: TablePicture, *, is_difference: bool) -> None:
        self.table = table
        self._rows = [row for field in table.fields for row in _field_rows(field)]
        self._rows += list(_note_rows(table)) if is_difference else []
        self._places = {row.name: place for place, row in enumerate(self._rows) if not row.is_note}
        self._sign = 1.6 * _TEXT * CELL if is_difference else 0.0
        self._keys = max((cells(row.keys) for row in self._rows), default=0.0) * _SMALL * CELL
        self._keys += 8.0 if self._keys else 0.0
        names = max((cells(cut(row.name, _LONGEST_NAME)) for row in self._rows if not row.is_note), default=0.0)
        self._types = max((cells(row.type) for row in self._rows), default=0.0) * _TEXT * CELL
        self._types += cells(" null") * _SMALL * CELL if any(row.nullable for row in self._rows) else 0.0
        inner = self._sign + self._keys + names * _TEXT * CELL + 18.0 + self._types
        notes = max((cells(row.name) for row in self._rows if row.is_note), default=0.0) * _SMALL * CELL + self._sign
        self.title = cut(table.name, _LONGEST_NAME + 10)
        kind = "" if table.kind == "table" else table.kind
        title = cells(self.title) * 13 * CELL + self._sign + (cells(kind) * _SMALL * CELL + 12 if kind else 0.0)
        width = max(120.0, inner, notes, title) + 2 * _PAD
        height = _HEAD + _ROW * len(self._rows) + (6.0 if self._rows else 0.0)
        self.box = Box(table.name, float(round(width)), height)

    def height_of(self, columns: Sequence[str]) -> float:
        """Where the line of a key over these columns comes: to the first of them."""
        place = next((self._places[name] for name in columns if name in self._places), None)
        return _HEAD / 2 if place is None else _HEAD + _ROW * place + _ROW / 2 + 2

    def drawn(self) -> Iterator[str]:
        """Its parts, the lower ones first."""
        box, table = self.box, self.table
        style = "" if table.kind == "table" else " view"
        at = f'x="{box.x:.0f}" y="{box.y:.0f}" width="{box.width:.0f}"'
        yield f'<g class="table {table.mark}{style}">'
        yield f"<title>{markup(self._told())}</title>"
        yield f'<rect class="box" {at} height="{box.height:.0f}" rx="6"/>'
        yield f'<path class="head" d="{_rounded_head(box, whole=not self._rows)}"/>'
        for place, row in enumerate(self._rows):
            yield from self._drawn_row(row, box.y + _HEAD + 2 + place * _ROW)
        # Once more without a filling: what the rows are coloured with must not cover it.
        yield f'<rect class="frame" {at} height="{box.height:.0f}" rx="6"/>'
        if self._sign and table.mark is not Mark.SAME:
            yield _text(box.x + _PAD, box.y + 19, table.mark.sign, "title")
        yield _text(box.x + _PAD + self._sign, box.y + 19, self.title, "title")
        if style:
            yield _text(box.x + box.width - _PAD, box.y + 18, table.kind, "small right")
        yield "</g>"

    def _drawn_row(self, row: _Row, y: float) -> Iterator[str]:
        box = self.box
        x, base = box.x + _PAD, y + 14
        if row.mark is not Mark.SAME:
            yield (
                f'<rect class="row {row.mark}" x="{box.x + 1:.0f}" y="{y:.0f}" width="{box.width - 2:.0f}"'
                f' height="{_ROW:.0f}"/>'
            )
            yield _text(x, base, row.mark.sign, "name")
        x += self._sign
        if row.is_note:
            yield _text(x, base, row.name, "small", row.full)
            return
        if row.keys:
            yield _text(x, base - 0.5, row.keys, "small key")
        shown = cut(row.name, _LONGEST_NAME)
        kind = "name gone" if row.mark is Mark.REMOVED else "name key" if "PK" in row.keys else "name"
        yield _text(x + self._keys, base, shown, kind, row.full)
        right = box.x + box.width - _PAD
        if row.nullable:
            yield _text(right, base, "null", "small right")
        if any(other.nullable for other in self._rows):
            right -= cells(" null") * _SMALL * CELL
        yield _text(right, base, row.type, "type right")

    def _told(self) -> str:
        table = self.table
        mark = "" if table.mark is Mark.SAME else f" ({table.mark})"
        return f"{table.kind} {table.name}{mark}" + (f": {table.comment}" if table.comment else "")


def _field_rows(field: Field) -> Iterator[_Row]:
    words = [word for word, there in (("PK", field.key), ("FK", field.refers), ("UQ", field.unique)) if there]
    is_whole = not field.details and cells(field.name) <= _LONGEST_NAME and cells(field.type) <= _LONGEST_TYPE
    full = "" if is_whole else " ".join([field.name, field.type, *field.details])
    type_, nullable = cut(field.type, _LONGEST_TYPE), field.required is False
    yield _Row(field.name, " ".join(words), type_, nullable, field.mark, full)
    if field.before is not None:
        was = f"{field.name} was: {field.before}"
        yield _Row(cut(f"  was: {field.before}", _LONGEST_NOTE), mark=field.mark, full=was, is_note=True)


def _note_rows(table: TablePicture) -> Iterator[_Row]:
    """What differs besides the columns."""
    parts: tuple[Reference | Note, ...] = (*table.references, *table.notes)
    for part in parts:
        if part.mark is Mark.SAME or (table.mark is not Mark.CHANGED):
            continue
        kind, text = ("foreign key", str(part)) if isinstance(part, Reference) else (part.kind, part.text)
        said = f"{kind} {text}" + (f", was: {part.before}" if part.before else "")
        yield _Row(cut(said, _LONGEST_NOTE), mark=part.mark, full=said, is_note=True)


def _rounded_head(box: Box, *, whole: bool) -> str:
    x, y, right, bottom = box.x, box.y, box.x + box.width, box.y + _HEAD
    below = f"a6 6 0 0 1 -6 6H{x + 6:.0f}a6 6 0 0 1 -6 -6" if whole else f"V{bottom:.0f}H{x:.0f}"
    down = f"V{bottom - 6:.0f}{below}" if whole else below
    return f"M{x:.0f} {y + 6:.0f}a6 6 0 0 1 6 -6H{right - 6:.0f}a6 6 0 0 1 6 6{down}z"


def _text(x: float, y: float, text: str, kind: str, full: str = "") -> str:
    title = f"<title>{markup(full)}</title>" if full and full != text else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}">{title}{markup(text)}</text>'


# Lines


def _links(boxes: dict[str, _TableBox]) -> Iterator[Link]:
    """The foreign keys; those that are optional or marked otherwise end beside each other at their parent."""
    found = [
        (child, boxes[reference.parent], reference)
        for child in boxes.values()
        for reference in child.table.references
        if reference.parent in boxes
    ]
    ends: dict[tuple[str, float], dict[object, None]] = defaultdict(dict)
    starts: dict[tuple[str, float], dict[object, None]] = defaultdict(dict)
    for child, parent, reference in found:
        ends[parent.table.name, parent.height_of(reference.parent_columns)][_kind(reference)] = None
        starts[child.table.name, child.height_of(reference.columns)][reference] = None
    for child, parent, reference in found:
        start, end = child.height_of(reference.columns), parent.height_of(reference.parent_columns)
        start += _beside(reference, starts[child.table.name, start])
        end += _beside(_kind(reference), ends[parent.table.name, end])
        yield Link(child.table.name, parent.table.name, start, end, _kind(reference), reference)


def _kind(reference: Reference) -> tuple[object, ...]:
    return reference.parent_columns, reference.optional, reference.mark


def _beside(one: object, all_: dict[object, None]) -> float:
    """How far below the middle of its row, which several share evenly."""
    step = min(_STEP, (_ROW - 4) / max(1, len(all_) - 1))
    return (list(all_).index(one) - (len(all_) - 1) / 2) * step


def _drawn_lines(drawing: Drawing) -> Iterator[str]:
    for line in drawing.lines:
        yield f'<path class="line {_reference(line, 0).mark}" d="{" ".join(map(_rounded, line.paths))}"/>'


def _rounded(path: Path) -> str:
    """A path with its corners rounded."""
    points = [point for place, point in enumerate(path) if place == 0 or point != path[place - 1]]
    said = [f"M{points[0][0]:.1f} {points[0][1]:.1f}"]
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        radius = min(_BEND, _apart(before, corner) / 2, _apart(corner, after) / 2)
        (x, y), (to_x, to_y) = _toward(corner, before, radius), _toward(corner, after, radius)
        said.append(f"L{x:.1f} {y:.1f}Q{corner[0]:.1f} {corner[1]:.1f} {to_x:.1f} {to_y:.1f}")
    return "".join([*said, f"L{points[-1][0]:.1f} {points[-1][1]:.1f}"])


def _apart(one: tuple[float, float], other: tuple[float, float]) -> float:
    return abs(one[0] - other[0]) + abs(one[1] - other[1])


def _toward(start: tuple[float, float], end: tuple[float, float], far: float) -> tuple[float, float]:
    way = _apart(start, end) or 1.0
    return start[0] + (end[0] - start[0]) * far / way, start[1] + (end[1] - start[1]) * far / way


def _drawn_ends(drawing: Drawing) -> Iterator[str]:
    """Crow's feet: at the child how many there may be, at the parent whether there must be one."""
    for line in drawing.lines:
        first = _reference(line, 0)
        yield _bar_and(line.root, "circle" if first.optional else "bar", first.mark)
        for place, end in enumerate(line.ends):
            reference = _reference(line, place)
            told = f"{line.links[place].child} {reference}"
            foot = _bar_and(end, "circle", first.mark) if reference.single else _foot(end, first.mark)
            yield f"<g><title>{markup(told)}</title>{foot}</g>"


def _reference(line: Line, place: int) -> Reference:
    found = line.links[place].data
    assert isinstance(found, Reference)
    return found


def _bar_and(end: End, second: str, mark: Mark) -> str:
    """At most one, or exactly one."""
    x, y, side = end
    bar = f'<path class="end {mark}" d="M{x + 6 * side:.1f} {y - 4.5:.1f}v9"/>'
    if second == "bar":
        return bar + f'<path class="end {mark}" d="M{x + 10 * side:.1f} {y - 4.5:.1f}v9"/>'
    return bar + f'<circle class="end {mark}" cx="{x + 13 * side:.1f}" cy="{y:.1f}" r="3.2"/>'


def _foot(end: End, mark: Mark) -> str:
    """Any number."""
    x, y, side = end
    toes = f"M{x + 10 * side:.1f} {y:.1f}L{x:.1f} {y - 4.5:.1f}M{x + 10 * side:.1f} {y:.1f}L{x:.1f} {y + 4.5:.1f}"
    circle = f'<circle class="end {mark}" cx="{x + 13.5 * side:.1f}" cy="{y:.1f}" r="3.2"/>'
    return f'<path class="end {mark}" d="{toes}"/>{circle}'


# Colours


class _Colours(NamedTuple):
    """Of one scheme; of added, removed and changed parts, that of the ground and that of lines."""

    paper: str
    box: str
    head: str
    frame: str
    ink: str
    dim: str
    line: str
    key: str
    added: tuple[str, str]
    removed: tuple[str, str]
    changed: tuple[str, str]

    def rules(self) -> str:
        said = [
            (".paper", f"fill:{self.paper}"),
            (".box", f"fill:{self.box}"),
            (".frame", f"stroke:{self.frame}"),
            (".head", f"fill:{self.head}"),
            ("text", f"fill:{self.ink}"),
            (".dim, .type, .small", f"fill:{self.dim}"),
            (".small.key", f"fill:{self.key}"),
            (".line, .end", f"stroke:{self.line}"),
            ("circle.end", f"fill:{self.paper}"),
        ]
        for mark, (ground, line) in (("added", self.added), ("removed", self.removed), ("changed", self.changed)):
            said += [
                (f".row.{mark}, .{mark} > .head", f"fill:{ground}"),
                (f".{mark} > .frame, .line.{mark}, .end.{mark}", f"stroke:{line}"),
            ]
        rules = []
        for selectors, rule in said:
            scoped = ",".join(f".sqlmig-diagram {selector.strip()}" for selector in selectors.split(","))
            rules.append(f"{scoped}{{{rule}}}")
        return "".join(rules)


_LIGHT = _Colours(
    paper="#ffffff",
    box="#ffffff",
    head="#e9eef5",
    frame="#b4bfcc",
    ink="#17202b",
    dim="#56616f",
    line="#75818f",
    key="#1d5fa8",
    added=("#d7f3dd", "#1a7f37"),
    removed=("#fde0dd", "#b3261e"),
    changed=("#fdeec3", "#8a5c00"),
)
_DARK = _Colours(
    paper="#10151c",
    box="#161d26",
    head="#222d3a",
    frame="#42505f",
    ink="#e7ecf2",
    dim="#a3afbd",
    line="#8795a5",
    key="#8ec1f7",
    added=("#14391f", "#4ac26b"),
    removed=("#4a1a1c", "#ff7b72"),
    changed=("#40300a", "#e0b03a"),
)
_SHAPES = """
.sqlmig-diagram{font-family:ui-monospace,"SFMono-Regular",Menlo,Consolas,"DejaVu Sans Mono","Liberation Mono",monospace;
font-size:12px}
.sqlmig-diagram text{font-size:12px;white-space:pre}
.sqlmig-diagram .heading{font-size:16px;font-weight:700}
.sqlmig-diagram .title{font-size:13px;font-weight:700}
.sqlmig-diagram .small{font-size:10px}
.sqlmig-diagram .key{font-weight:700}
.sqlmig-diagram .right{text-anchor:end}
.sqlmig-diagram .gone{text-decoration:line-through}
.sqlmig-diagram .frame,.sqlmig-diagram .line,.sqlmig-diagram path.end{fill:none}
.sqlmig-diagram .line,.sqlmig-diagram .end{stroke-width:1.3}
.sqlmig-diagram .view > .frame{stroke-dasharray:5 3}
.sqlmig-diagram .line.added{stroke-width:2.2}
.sqlmig-diagram .line.removed{stroke-dasharray:6 4}
.sqlmig-diagram .line.changed{stroke-dasharray:9 3 2 3}
"""
_STYLE = _SHAPES.replace("\n", "") + _LIGHT.rules() + f"@media (prefers-color-scheme: dark){{{_DARK.rules()}}}"
