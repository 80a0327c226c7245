"""The text of a migration, formatted as the project formats its own."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..template import Names
from .code import Imports, comment, literal, written
from .statements import Statement, body

__all__ = ["line_length", "migration_text"]

# That of black and of ruff.
_USUAL = 88


def migration_text(
    version: int,
    names: Names,
    up: Sequence[Statement],
    down: Sequence[Statement] | None,
    *,
    remarks: Sequence[str] = (),
    attributes: Sequence[str] = (),
    width: int = _USUAL,
) -> str:
    """
    The whole file.

    Args:
        down: None where there is no way back.
        remarks: What is said at the top, as comments.
        attributes: Lines of the class behind those that every migration has.
    """
    return "\n".join(_lines(version, names, up, down, remarks, attributes, width)) + "\n"


def _lines(
    version: int,
    names: Names,
    up: Sequence[Statement],
    down: Sequence[Statement] | None,
    remarks: Sequence[str],
    attributes: Sequence[str],
    width: int,
) -> Iterator[str]:
    imports = Imports()
    for statement in (*up, *(down or ())):
        imports.update(statement.imports)
    imports.add("sqlmig", "BaseMigration")
    yield from _docstring(names.title, width)
    yield ""
    for remark in remarks:
        yield from comment(remark, 0, width)
    if remarks:
        yield ""
    yield "from __future__ import annotations"
    yield ""
    yield from imports.lines(width)
    yield from ("", "")
    yield f"class {names.class_name}(BaseMigration):"
    yield f"    version = {version}"
    yield from written(literal(names.title), 4, width, "description = ")
    removes = sorted({name for statement in up for name in statement.removes})
    if removes:
        yield from written(literal(removes), 4, width, "removes = ")
    yield from attributes
    yield from _method("up", up, width)
    if down is not None:
        yield from _method("down", down, width)


def _docstring(title: str, width: int) -> Iterator[str]:
    line = f'"""{title.rstrip(".")}."""'
    if len(line) <= width:
        yield line
    else:
        yield '"""'
        yield from (line[2:] for line in comment(f"{title.rstrip('.')}.", 0, width))
        yield '"""'


def _method(name: str, statements: Sequence[Statement], width: int) -> Iterator[str]:
    yield ""
    yield f"    def {name}(self) -> None:"
    yield from body(statements, 8, width) if statements else iter(["        pass"])


def line_length(start: Path | None = None) -> int:
    """What the nearest pyproject.toml says to ruff or black, else what these take by themselves."""
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        file = folder / "pyproject.toml"
        if not file.is_file():
            continue
        try:
            tools = tomllib.loads(file.read_text(encoding="utf-8")).get("tool", {})
        except (ValueError, OSError):
            return _USUAL
        for tool in ("ruff", "black"):
            said = tools.get(tool, {}).get("line-length")
            if isinstance(said, int) and not isinstance(said, bool) and said >= 40:
                return said
        return _USUAL
    return _USUAL
