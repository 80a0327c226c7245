"""
Intervals: PostgreSQL has such a type; elsewhere SQLAlchemy keeps the moment that is so far from 1970-01-01.

Source: https://docs.sqlalchemy.org/en/20/core/type_basics.html#sqlalchemy.types.Interval
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any

from .kinds import Kind
from .times import Timestamp

__all__ = ["FromSpan", "ToSpan"]

_EPOCH = datetime(1970, 1, 1)
_SPAN = re.compile(r"(?:(-?\d+) days? ?)?(?:([+-]?)(\d+):(\d\d):(\d\d)(?:\.(\d{1,6}))?)?", re.ASCII)


class FromSpan(Kind):
    """A moment, of an interval as PostgreSQL writes it."""

    def __init__(self, moment: Kind) -> None:
        self._moment = moment
        self.name = f"intervals, as {moment.name}"

    def one(self, value: Any) -> Any:
        found = _SPAN.fullmatch(value) if isinstance(value, str) and value else None
        if found is None:
            raise self.refuse(value, "; months have no number of days")
        days, sign, hours, minutes, seconds, fraction = found.groups()
        clock = timedelta(
            hours=int(hours or 0),
            minutes=int(minutes or 0),
            seconds=int(seconds or 0),
            microseconds=int(f"{fraction or 0:0<6}"),
        )
        try:
            moment = _EPOCH + timedelta(days=int(days or 0)) + (-clock if sign == "-" else clock)
        except OverflowError:
            raise self.refuse(value, "; it is too long") from None
        return self._moment.convert([moment.isoformat(" ", "microseconds")])[0]


class ToSpan(Kind):
    """An interval as PostgreSQL writes it, of a moment."""

    name = "intervals"
    _moment = Timestamp(6)

    def one(self, value: Any) -> Any:
        try:
            span = datetime.fromisoformat(self._moment.one(value)) - _EPOCH
        except ValueError:
            raise self.refuse(value, "; there is no such moment") from None
        clock = (datetime.min + timedelta(seconds=span.seconds)).time().isoformat()
        clock += f".{span.microseconds:06}".rstrip("0") if span.microseconds else ""
        if not span.days:
            return clock
        days = f"{span.days} day" + ("" if span.days == 1 else "s")
        return days if not (span.seconds or span.microseconds) else f"{days} {'+' if span.days < 0 else ''}{clock}"
