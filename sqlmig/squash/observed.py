"""What migrations say to a database while they run, whoever writes it: a helper, or an ORM."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import event

from ..base import BaseMigration
from ..sql_text import mentions, only_reads, without_literals

if TYPE_CHECKING:
    from types import FrameType

    from ..migrator import Migrator

__all__ = ["Said", "listening"]

_PACKAGE = Path(__file__).parent.parent
# What these say of rows is part of a change of the schema, or asked to guard one.
_OURS = tuple(f"{_PACKAGE / name}{os.sep}" for name in ("schema", "guard", "safety"))
_BATCHES = os.path.join("alembic", "operations", "batch.py")
_ASKS = re.compile(r"\W*(SELECT|WITH|TABLE)\b", re.IGNORECASE)


class Said(NamedTuple):
    """
    A statement of a migration.

    Attributes:
        text: Without its comments, and with its texts empty.
        reads: Whether it asks for rows of a table that was there before, and leaves them.
    """

    version: int
    text: str
    reads: bool


@contextmanager
def listening(twin: Migrator, there: Collection[str], said: list[Said]) -> Iterator[None]:
    """
    Note what the `up` of migrations, and their checks before it, say to a scratch database.

    Args:
        there: The tables that were there before, in lower case.
        said: Where it is noted.
    """
    dialect = twin.db.engine.dialect.name

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        version = _speaker()
        if version is not None:
            text = without_literals(statement, dialect)
            asks = _ASKS.match(text) is not None and only_reads(text)
            said.append(Said(version, text, asks and mentions(text, there)))

    event.listen(twin.db.engine, "before_cursor_execute", note)
    try:
        yield
    finally:
        event.remove(twin.db.engine, "before_cursor_execute", note)


def _speaker() -> int | None:
    """The version of the migration that says something; None where sqlmig does by itself, or a check afterwards."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        code = frame.f_code
        if code.co_filename.startswith(_OURS) or code.co_filename.endswith(_BATCHES):
            return None
        if code.co_name in ("up", "pre_migrate_checks") and isinstance(
            who := frame.f_locals.get("self"), BaseMigration
        ):
            return int(who.version)
        frame = frame.f_back
    return None
