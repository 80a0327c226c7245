"""A schema on a page: the diagram, and every table in words for whoever does not see it."""

from __future__ import annotations

from collections.abc import Iterator

from .page import Html, Section, chip, document, html, scrolling, table
from .picture import Mark, Note, Picture, Reference, TablePicture
from .svg import as_svg
from .words import key_words

__all__ = ["GENERATOR", "as_html", "diagram", "tables_in_words"]

GENERATOR = "sqlmig schema"
_FEW = 8
"""So many tables are open at once."""
_MAY_BE_NULL = {True: "no", False: "yes", None: ""}
_KINDS = {Mark.ADDED: "good", Mark.REMOVED: "bad", Mark.CHANGED: "note"}


def as_html(picture: Picture) -> str:
    """The whole page."""
    sections = [
        Section("diagram", "Diagram", diagram(picture)),
        Section("tables", "Tables", tables_in_words(picture)),
    ]
    return document(f"Schema: {picture.title}", Html(f"<p>{html(picture.summary)}</p>"), sections, GENERATOR)


def diagram(picture: Picture) -> Html:
    """The drawing, in a frame in which it can be moved."""
    if not picture.tables:
        return Html("<p>There are no tables.</p>")
    told = "A wide diagram can be moved within its frame. The tables are told in words as well."
    return Html(
        f'<p class="dim">{told}</p>' + scrolling(as_svg(picture, embedded=True), 'aria-label="Diagram of the schema"')
    )


def tables_in_words(picture: Picture, prefix: str = "table") -> Html:
    """
    A part for each table that opens and closes.

    Args:
        prefix: What the ids begin with.
    """
    shown = list(_in_words(picture, prefix))
    others = [note for note in picture.others if not picture.is_difference or note.mark is not Mark.SAME]
    if others:
        listed = "".join(f"<li>{_marked(note.mark)}{html(_said(note))}</li>" for note in others)
        shown.append(f"<h3>Others</h3><ul>{listed}</ul>")
    return Html("\n".join(shown) or "<p>There is nothing to tell.</p>")


def _in_words(picture: Picture, prefix: str) -> Iterator[str]:
    told = [one for one in picture.tables if not picture.is_difference or one.mark is not Mark.SAME]
    opened = " open" if len(told) <= _FEW else ""
    for number, one in enumerate(told):
        kind = f' <span class="dim">{html(one.kind)}</span>' if one.kind != "table" else ""
        summary = f"<summary>{html(one.name)}{kind} {_marked(one.mark)}</summary>"
        comment = f"<p>{html(one.comment)}</p>" if one.comment else ""
        fields = _fields(one, picture, f"{prefix}-{number}") if one.fields else ""
        parts: list[Reference | Note] = [*one.references, *one.notes]
        listed = "".join(f"<li>{_marked(part.mark)}{html(_said(part))}</li>" for part in parts)
        yield f"<details{opened}>{summary}{comment}{fields}{f'<ul>{listed}</ul>' if listed else ''}</details>"


def _fields(one: TablePicture, picture: Picture, id_: str) -> Html:
    rows: list[list[object]] = []
    for field in one.fields:
        more = [*key_words(field), *field.details, *([f"was: {field.before}"] if field.before else [])]
        # Beside the name, where a narrow screen shows it as well.
        mark = [_marked(field.mark)] if picture.is_difference else []
        rows.append([field.name, *mark, field.type, _MAY_BE_NULL[field.required], ", ".join(more)])
    headings = ["column", *(["change"] if picture.is_difference else []), "type", "may be NULL", "more"]
    return table(id_, f"Columns of {one.name}", headings, rows)


def _said(part: Reference | Note) -> str:
    kind, text = ("foreign key", str(part)) if isinstance(part, Reference) else (part.kind, part.text)
    return f"{kind} {text}" + (f", was: {part.before}" if part.before else "")


def _marked(mark: Mark) -> Html:
    return Html("") if mark is Mark.SAME else Html(chip(f"{mark.sign} {mark}", _KINDS[mark]) + " ")
