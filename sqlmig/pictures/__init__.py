"""A schema for people to look at: as statements, in words, as a drawing, and on a page with all that is known of it."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

__all__ = ["FORMATS", "Format"]

Format: TypeAlias = Literal["sql", "text", "markdown", "mermaid", "svg", "html"]
"""The forms that a schema can have."""

FORMATS: tuple[str, ...] = get_args(Format)
