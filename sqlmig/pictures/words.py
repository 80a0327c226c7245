"""A schema in words: lines of text, Markdown, Mermaid, and data for programs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from .lettering import one_line
from .picture import Field, Mark, Note, Picture, Reference, TablePicture

__all__ = ["as_data", "as_lines", "as_markdown", "as_mermaid", "key_words"]


def key_words(field: Field) -> list[str]:
    """What keys a column is in."""
    words = (("primary key", field.key), ("foreign key", field.refers), ("unique", field.unique))
    return [word for word, there in words if there]


def _field_words(field: Field) -> str:
    """What is said of a column behind its type."""
    words = [*key_words(field), *([] if field.key or not field.required else ["NOT NULL"]), *field.details]
    words += [f"was: {field.before}"] if field.before else []
    return ", ".join(map(one_line, words))


def _part_words(part: Reference | Note) -> tuple[str, str]:
    """What kind of thing it is, and what it says."""
    kind, text = ("foreign key", str(part)) if isinstance(part, Reference) else (part.kind, part.text)
    return kind, text + (f", was: {part.before}" if part.before else "")


def _parts(table: TablePicture, picture: Picture) -> list[Reference | Note]:
    parts: list[Reference | Note] = [*table.references, *table.notes]
    return [part for part in parts if not picture.is_difference or part.mark is not Mark.SAME]


def _shown(picture: Picture) -> Iterator[tuple[TablePicture, list[Field], list[Reference | Note]]]:
    """Each table with what is told of it: of a difference, what differs."""
    for table in picture.tables:
        if picture.is_difference and table.mark is Mark.SAME:
            continue
        fields = [field for field in table.fields if not picture.is_difference or field.mark is not Mark.SAME]
        yield table, fields, _parts(table, picture)


def _others(picture: Picture) -> list[Note]:
    return [note for note in picture.others if not picture.is_difference or note.mark is not Mark.SAME]


# Text


def as_lines(picture: Picture) -> list[tuple[Mark, str]]:
    """Lines for a terminal, each with the mark by which it is coloured."""
    lines = [(Mark.SAME, f"{one_line(picture.title)}: {picture.summary}")]

    def line(mark: Mark, text: str) -> tuple[Mark, str]:
        return mark, (f"{mark.sign} {text}" if picture.is_difference else text).rstrip()

    for table, fields, parts in _shown(picture):
        lines += [(Mark.SAME, ""), line(table.mark, f"{table.kind} {one_line(table.name)}")]
        names, types = [one_line(field.name) for field in fields], [one_line(field.type) for field in fields]
        wide, wider = (max(map(len, texts), default=0) for texts in (names, types))
        for field, name, type_ in zip(fields, names, types, strict=True):
            lines.append(line(field.mark, f"    {name:<{wide}}  {type_:<{wider}}  {_field_words(field)}"))
        lines += [line(part.mark, "    " + one_line(" ".join(_part_words(part)))) for part in parts]
    if others := _others(picture):
        lines.append((Mark.SAME, ""))
        lines += [line(note.mark, one_line(" ".join(_part_words(note)))) for note in others]
    return lines


# Markdown


def as_markdown(picture: Picture) -> str:
    """Headings and tables, as GitHub shows them."""
    said = [f"# {_plain(picture.title)}", "", picture.summary, ""]
    if picture.is_difference:
        said += [r"`+` is added, `-` is removed, `~` is changed.", ""]
    for table, fields, parts in _shown(picture):
        sign = f"`{table.mark.sign}` " if table.mark is not Mark.SAME else ""
        kind = f" ({table.kind})" if table.kind != "table" else ""
        said += [f"## {sign}{_plain(table.name)}{kind}", ""]
        said += [_plain(table.comment), ""] if table.comment else []
        if fields:
            head = ["", "column", "type", "more"] if picture.is_difference else ["column", "type", "more"]
            said += [_row(head), _row(["---"] * len(head))]
            for field in fields:
                cells = [_plain(field.name), _plain(field.type), _plain(_field_words(field))]
                said.append(_row([f"`{field.mark.sign}`", *cells] if picture.is_difference else cells))
            said.append("")
        said += [_item(part, picture) for part in parts]
        said += [""] if parts else []
    if others := _others(picture):
        said += ["## Others", "", *(_item(note, picture) for note in others), ""]
    return "\n".join(said).rstrip() + "\n"


def _item(part: Reference | Note, picture: Picture) -> str:
    kind, text = _part_words(part)
    return f"- {f'`{part.mark.sign}` ' if picture.is_difference else ''}{_plain(kind)} {_plain(text)}"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _plain(text: str) -> str:
    """A text that means itself; also in a cell, where a line would end the table, and where it begins a paragraph."""
    # Between two dollars GitHub has a formula.
    escaped = re.sub(r"([\\`*_\[\]<>|#~$])", r"\\\1", one_line(text)).replace("&", "&amp;")
    return re.sub(r"^(?=[-+=])|^(\d+)(?=[.)])", r"\1\\", escaped)


# Mermaid


def as_mermaid(picture: Picture) -> str:
    """
    An entity-relationship diagram that Mermaid draws.

    Source: https://mermaid.js.org/syntax/entityRelationshipDiagram.html
    """
    said = ["---", f"title: {_quoted(picture.title)}", "---", "erDiagram"]
    names = _entities(picture)
    for table in picture.tables:
        said.append(f"    {names[table.name]}" + (" {" if table.fields else ""))
        said += [f"        {_attribute(field, picture)}" for field in table.fields]
        said += ["    }"] if table.fields else []
    for table in picture.tables:
        for reference in table.references:
            if reference.parent in names:
                parent = "|o" if reference.optional else "||"
                child = "o|" if reference.single else "o{"
                sign = f"{reference.mark.sign} " if picture.is_difference and reference.mark is not Mark.SAME else ""
                label = _quoted(", ".join(reference.columns), sign)
                said.append(f"    {names[reference.parent]} {parent}--{child} {names[table.name]} : {label}")
    return "\n".join(said) + "\n"


def _attribute(field: Field, picture: Picture) -> str:
    keys = [word for word, there in (("PK", field.key), ("FK", field.refers), ("UK", field.unique)) if there]
    name, type_ = _identifier(field.name), _identifier(field.type or "untyped")
    is_marked = picture.is_difference and field.mark is not Mark.SAME
    notes = [str(field.mark)] if is_marked else []
    notes += [field.name] if name != field.name else []
    notes += [field.type] if field.type and type_ != field.type else []
    notes += ["may be NULL"] if field.required is False else []
    said = f"{type_} {name}" + (f" {', '.join(keys)}" if keys else "")
    return said + (f" {_quoted(', '.join(notes), f'{field.mark.sign} ' if is_marked else '')}" if notes else "")


def _entities(picture: Picture) -> dict[str, str]:
    """What Mermaid calls each table; two that would be the same are told apart, as it would draw them as one."""
    names: dict[str, str] = {}
    for table in picture.tables:
        name, end = _quoted(table.name.strip() or "_"), ""
        while f'{name[:-1]}{end}"' in names.values():
            end += "_"
        names[table.name] = f'{name[:-1]}{end}"'
    return names


def _identifier(text: str) -> str:
    """What Mermaid takes for the name of a column or of a type."""
    kept = re.sub(r"[^A-Za-z0-9_\-\[\]()\u00c0-\uffff]", "_", one_line(text))
    # It reads a name that begins with the word PK as a key.
    is_name = re.match(r"(?!(?:PK|FK|UK)(?![A-Za-z0-9_]))[A-Za-z_\u00c0-\uffff]", kept, re.IGNORECASE)
    return kept if is_name else f"_{kept}"


def _quoted(text: str, sign: str = "") -> str:
    """Between quotes, without what ends them or means something inside: two tildes, or the word direction."""
    said = re.sub(r'["%\\~]+|(?<=direction) (?=TB|BT|RL|LR)', "_", one_line(text), flags=re.IGNORECASE)
    return f'"{sign}{said}"'


# Data


def as_data(picture: Picture) -> dict[str, Any]:
    """What the pictures are drawn of, for programs; marks where it is a difference."""
    is_difference = picture.is_difference

    def marked(part: Any, values: dict[str, Any]) -> dict[str, Any]:
        if is_difference:
            values |= {"mark": str(part.mark)}
            if (before := getattr(part, "before", None)) is not None:
                values["before"] = before
        return values

    def field(one: Field) -> dict[str, Any]:
        values = {
            "name": one.name,
            "type": one.type,
            "nullable": None if one.required is None else not one.required,
            "details": list(one.details),
        }
        return marked(one, {**values, "keys": key_words(one)})

    def reference(one: Reference) -> dict[str, Any]:
        values = {"name": one.name, "columns": list(one.columns), "table": one.parent}
        return marked(one, {**values, "referred_columns": list(one.parent_columns), "actions": one.actions})

    def note(one: Note) -> dict[str, Any]:
        return marked(one, {"kind": one.kind, "text": one.text})

    tables = [
        marked(
            table,
            {
                "name": table.name,
                "kind": table.kind,
                "comment": table.comment,
                "columns": [field(one) for one in table.fields],
                "primary_key": list(table.key),
                "foreign_keys": [reference(one) for one in table.references],
                "others": [note(one) for one in table.notes],
            },
        )
        for table in picture.tables
    ]
    return {"title": picture.title, "tables": tables, "others": [note(one) for one in picture.others]}
