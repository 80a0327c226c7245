"""The report as a file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .report import DatabaseReport, read_report
from .report_page import GENERATOR, as_page
from .writing import require_ours, write_whole

if TYPE_CHECKING:
    from ..migrator import Migrator

__all__ = ["write_report"]


def write_report(
    migrator: Migrator,
    path: str | os.PathLike[str],
    models: object = None,
    *,
    ignore: Sequence[str] = (),
    force: bool = False,
    name: str | None = None,
) -> DatabaseReport:
    """
    Read it and write the page.

    Args:
        path, models, ignore, force: As in `Migrator.write_report`.
        name: What the database is called.
    """
    file = Path(path)
    # Before the migrations are run in a scratch database, which may take its time.
    require_ours(file, GENERATOR, force=force)
    report = read_report(migrator, models, ignore=ignore, name=name)
    write_whole(file, as_page(report), GENERATOR, force=force)
    return report
