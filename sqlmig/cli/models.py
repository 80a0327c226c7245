"""What the commands that look at models are told of them."""

from __future__ import annotations

from typing import Any

import click

from ..config import load_config

__all__ = ["ignore_option", "models_of", "models_option"]

models_option = click.option(
    "--models",
    metavar="MODULE:NAME",
    multiple=True,
    help="The models: a MetaData or a declarative base, as app.models:Base; else models in [tool.sqlmig].",
)
ignore_option = click.option(
    "--ignore", metavar="PATTERN", multiple=True, help="Names to pass over: 'audit_*', 'books.legacy'."
)


def models_of(named: tuple[str, ...]) -> list[Any]:
    """What was named on the command line, else in pyproject.toml."""
    configured = load_config().get("models") or []
    return list(named) or ([configured] if isinstance(configured, str) else list(configured))
