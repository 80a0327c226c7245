"""A schema in the form that was asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..errors import ConfigurationError
from . import FORMATS
from .picture import Picture
from .schema_page import as_html
from .seen import database_at, picture_between, picture_now, staying
from .statements import as_script, statements_of
from .svg import as_svg
from .words import as_lines, as_markdown, as_mermaid

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..migrator import Migrator

__all__ = ["draw", "picture", "require_format", "schema_statements"]


def draw(
    migrator: Migrator,
    format: str,
    *,
    at: int | None = None,
    diff: tuple[int, int] | None = None,
    ignore: Sequence[str] = (),
    name: str | None = None,
) -> str:
    """
    The schema of a database, of a version, or what differs between two versions.

    Args:
        format, at, diff, ignore: As in `Migrator.draw_schema`.
        name: What the database is called.
    """
    require_format(format, is_difference=diff is not None)
    if format == "sql":
        return as_script(schema_statements(migrator, at, ignore), migrator.db.engine.dialect.name)
    return _FORMS[format](picture(migrator, at=at, diff=diff, ignore=ignore, name=name))


def picture(
    migrator: Migrator,
    *,
    at: int | None = None,
    diff: tuple[int, int] | None = None,
    ignore: Sequence[str] = (),
    name: str | None = None,
) -> Picture:
    """
    The picture of it.

    Raises:
        ConfigurationError: Both a version and two versions were named.
    """
    if diff is None:
        return picture_now(migrator, at=at, ignore=ignore, name=name)
    if at is not None:
        raise ConfigurationError(
            "A schema is of one version, or a difference of two.\n"
            f"  version {at} was named, and the difference between {diff[0]} and {diff[1]}\n"
            "Leave one of them out."
        )
    return picture_between(migrator, *diff, ignore)


def schema_statements(migrator: Migrator, at: int | None = None, ignore: Sequence[str] = ()) -> list[str]:
    """
    The statements that would make a schema again.

    Raises:
        ConfigurationError, CheckImpossible: As in `Migrator.draw_schema`.
    """
    stays = staying(ignore)
    if at is None:
        return migrator.backend.read(lambda: statements_of(migrator, stays))
    with database_at(migrator, at) as twin:
        return statements_of(twin, stays)


def require_format(format: str, *, is_difference: bool) -> None:
    """
    Refuse what is no form of a schema, or of a difference.

    Raises:
        ConfigurationError: It says which there are.
    """
    if format not in FORMATS:
        raise ConfigurationError(
            f"format={format!r} is no form of a schema.\n  it is one of {', '.join(FORMATS)}\nUse one of these."
        )
    if format == "sql" and is_difference:
        raise ConfigurationError(
            "The difference between two versions has no form in SQL.\n"
            "  The statements that lead from one to the other are the migrations between them.\n"
            "Choose another: --format text, markdown, mermaid, svg or html"
        )


def as_text(picture: Picture) -> str:
    """Lines without colours."""
    return "\n".join(line for _, line in as_lines(picture)) + "\n"


_FORMS: dict[str, Callable[[Picture], str]] = {
    "text": as_text,
    "markdown": as_markdown,
    "mermaid": as_mermaid,
    "svg": as_svg,
    "html": as_html,
}
