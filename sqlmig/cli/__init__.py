"""
The command line: parse, call Migrator, print.

Exit codes: 0 it worked, 1 a migration or the database failed (or something is to be mended), 2 the call was wrong.
"""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """The console script `sqlmig`."""
    try:
        import click  # noqa: F401
        import rich  # noqa: F401
    except ModuleNotFoundError as error:
        sys.exit(_missing(error.name or "click"))
    from .app import app

    app()


def _missing(module: str) -> int:
    print(
        f"The sqlmig command needs {module}.\n  It comes with the extra cli.\npip install 'sqlmig[cli]'",
        file=sys.stderr,
    )
    return 2
