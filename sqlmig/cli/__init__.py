"""
The command line: parse, call Migrator, print.

Exit codes: 0 it worked, 1 a migration or the database failed (or something is to be mended), 2 the call was wrong.
"""

from __future__ import annotations

import io
import sys

__all__ = ["main"]


def main() -> None:
    """The console script `sqlmig`."""
    try:
        import click  # noqa: F401
        import rich  # noqa: F401
    except ModuleNotFoundError as error:
        sys.exit(_missing(error.name or "click"))
    from ..config import project_folder
    from .app import app

    # As `python -m` does: migrations may import the application, and the folder may be a package of it. What
    # pyproject.toml names is found from any folder below it as well.
    project = project_folder()
    sys.path[:0] = [""] if project is None else ["", str(project)]
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A description in a language that the terminal cannot show must not stop a migration's report.
            stream.reconfigure(errors="replace")
    app()


def _missing(module: str) -> int:
    print(
        f"The sqlmig command needs {module}.\n  It comes with the extra cli.\npip install 'sqlmig[cli]'",
        file=sys.stderr,
    )
    return 2
