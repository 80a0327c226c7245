"""The rows of one table: read, made fit, written, read back and compared, a batch at a time."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from typing import Any

from ..errors import CopyError, CopyMismatch, MigrationError, ValueUnfit
from ..execution import reason
from .kinds import Same, Unfit
from .report import TableCopy
from .source import Source, key_of
from .target import Job, Target

__all__ = ["copy_rows"]

# Behind it stands the value.
_PLACE = re.compile(r"^COPY .*, (line \d+(?:, column [^:]+)?)", re.MULTILINE)


def copy_rows(source: Source, target: Target, job: Job, size: int, tell: Callable[[int, str], object]) -> TableCopy:
    """
    Copy one table.

    Args:
        size: How many rows a batch has at the most.
        tell: Called with the number of rows that came since, and what is being done.

    Raises:
        ValueUnfit: The target cannot hold a value as it is.
        CopyMismatch: What was read back is not what was written.
        CopyError: The database refused a row.
    """
    began = time.perf_counter()
    columns = [pair.source for pair in job.pairs]
    as_read = all(isinstance(pair.kind, Same) for pair in job.pairs)
    wanted = target.digest(job)
    try:
        with target.writing(job) as write:
            for rows in source.batches(job.source, columns, size):
                wanted.add(write(rows, None if as_read else _converted(job, rows)))
                tell(len(rows), job.target.name)
        tell(0, f"{job.target.name}: reading back")
        found = target.read_back(job, size)
    except MigrationError:
        raise
    except Exception as error:
        raise _refused(job, target, error) from error
    # Asked in another way than by reading the rows: what reading has missed is missing in the target as well.
    there = source.count(job.source)
    if found != wanted or wanted.rows != there:
        facts = (
            f"the source has {there:,} rows; {wanted.rows:,} were read from it, and {found.rows:,} from the target\n"
            f"their checksums are {wanted.checksum} and {found.checksum}; what had been begun was undone"
        )
        raise CopyMismatch(job.target.name, facts)
    return TableCopy(
        table=job.target.name,
        rows=wanted.rows,
        checksum=wanted.checksum,
        execution_time_ms=round((time.perf_counter() - began) * 1000, 3),
    )


def _converted(job: Job, rows: Sequence[Any]) -> list[Sequence[Any]]:
    made: list[Sequence[Any]] = []
    for pair, values in zip(job.pairs, zip(*rows, strict=True), strict=True):
        try:
            made.append(pair.kind.convert(values))
        except Unfit as error:
            key = key_of(job.source, [each.source for each in job.pairs], rows[error.index])
            raise ValueUnfit(job.source.name, pair.source.name, key, error.why) from error
    return made


def _refused(job: Job, target: Target, error: Exception) -> Exception:
    """The typed error for what the database said of a row; whatever else was raised, as it is."""
    origin = getattr(error, "orig", None) or error
    connection = target.session.connection
    if not isinstance(origin, connection.dialect.loaded_dbapi.Error):
        return error
    unavailable = target.session.translate(origin)
    if unavailable is not None:
        return unavailable
    diagnosis = getattr(origin, "diag", None)
    said = getattr(diagnosis, "message_primary", None)
    facts = [f"{type(origin).__name__}: {said}" if said else reason(origin)]
    detail = getattr(diagnosis, "message_detail", None) or ""
    # The others are of the whole row.
    facts += [detail] if detail.startswith("Key ") else []
    facts += [found[1] for found in [_PLACE.search(getattr(diagnosis, "context", None) or "")] if found]
    return CopyError(
        f"The target does not take the rows of {job.target.name} as they are in the source.",
        "\n".join([*facts, "nothing was copied: what had been begun was undone"]),
        "Mend the rows in the source, or the table by a migration, then copy again.",
    )
