"""All that is known of a database and its migrations, read at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from ..connection import display_name
from ..drift.models import as_metadata
from ..drift.report import DriftReport
from ..errors import DatabaseUnavailable, MigrationError
from ..execution import reason
from ..results import Plan, Record, Status
from .picture import Picture
from .seen import picture_now, staying
from .sizes import TableSize, sizes_of

if TYPE_CHECKING:
    from ..migrator import Migrator

__all__ = ["DatabaseReport", "read_report"]

T = TypeVar("T")


class DatabaseReport(Record):
    """
    What the page tells; a part that could not be read is None, and `failed` says why.

    Attributes:
        made_at: In UTC.
        history: Newest first.
        failed: What stood in the way of a part, by the name of that.
    """

    database: str
    made_at: datetime
    status: Status | None
    plan: Plan | None
    history: list[dict[str, Any]] | None
    picture: Picture | None
    sizes: list[TableSize] | None
    drift: DriftReport | None
    failed: dict[str, str]


def read_report(
    migrator: Migrator, models: object = None, *, ignore: Sequence[str] = (), name: str | None = None
) -> DatabaseReport:
    """
    Read all of it.

    Args:
        models: As in `Migrator.check`; without, the migrations and the database are compared.
        ignore: Patterns of names that are passed over.
        name: What the database is called.

    Raises:
        ConfigurationError: The models are none, or what is passed over is no pattern.
        DatabaseUnavailable: The database cannot be read at all.
    """
    metadata = None if models is None else as_metadata(models)
    stays = staying(ignore)
    database = display_name(migrator.db.engine) if name is None else name
    failed: dict[str, str] = {}

    def tried(part: str, read: Callable[[], T]) -> T | None:
        # A page about a database with mistakes in it is what it is for.
        try:
            return read()
        except MigrationError as error:
            if part == "schema" and isinstance(error, DatabaseUnavailable):
                raise
            failed[part] = str(error)
        except Exception as error:
            # The driver's, as of a virtual table whose module is not there; or a value's that nobody can read.
            failed[part] = reason(error)
        return None

    return DatabaseReport(
        database=database,
        made_at=datetime.now(UTC),
        picture=tried("schema", lambda: picture_now(migrator, ignore=ignore, name=database)),
        status=tried("status", migrator.get_migration_status),
        plan=tried("plan", migrator.get_migration_plan),
        history=tried("history", migrator.get_migration_history),
        sizes=tried("sizes", lambda: migrator.backend.read(lambda: sizes_of(migrator, stays))),
        drift=tried("drift", lambda: migrator.check(metadata, ignore=ignore)),
        failed=failed,
    )
