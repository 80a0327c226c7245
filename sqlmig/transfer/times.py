"""Columns that hold days, times and moments; they come as texts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from .kinds import NONE, Kind, spread

__all__ = ["Date", "Time", "Timestamp"]

_DAY = r"\d{4}-\d\d-\d\d"
_CLOCK = r"\d\d:\d\d(?::\d\d(?:\.\d+)?)?"
_MOMENT = re.compile(rf"({_DAY})(?:[ Tt]({_CLOCK}))?\s*(Z|z|[+-]\d\d(?::?\d\d)?)?")
_MOMENTS = re.compile(rf"(?:{_DAY} \d\d:\d\d:\d\d(?:\.\d{{1,6}})?\n)*", re.ASCII)
_DAYS = re.compile(rf"(?:{_DAY}\n)*", re.ASCII)
_CLOCKS = re.compile(r"(?:\d\d:\d\d:\d\d(?:\.\d{1,6})?\n)*", re.ASCII)
_ZEROS = re.compile(r"(\.\d*?)0+\n")


def _trimmed(joined: str) -> list[str]:
    """Lines of times, each without the zeros at the end of its fraction."""
    if "." in joined:
        joined = joined.replace(".000000\n", "\n")
        if "0\n" in joined:
            joined = _ZEROS.sub(r"\1\n", joined).replace(".\n", "\n")
    return joined.split("\n")[:-1]


def _clock(text: str, precision: int) -> str | None:
    """A time of day with seconds, and without zeros at the end; None where it has more digits than can be held."""
    text = text if text.count(":") == 2 else f"{text}:00"
    whole, _, fraction = text.partition(".")
    fraction = fraction.rstrip("0")
    if len(fraction) > precision:
        return None
    return f"{whole}.{fraction}" if fraction else whole


class _Lines(Kind):
    """Texts of one form, which are looked at together."""

    takes = frozenset({str})
    form: re.Pattern[str]
    digits = 6

    def convert(self, values: Sequence[Any]) -> Sequence[Any]:
        if set(map(type, values)) <= {str, NONE} and self.digits == 6:
            present = [value for value in values if value is not None]
            joined = "\n".join(present) + "\n" if present else ""
            if self.form.fullmatch(joined) and joined.count("\n") == len(present):
                return spread(values, lambda _: self.finished(joined))
        return self.one_by_one(values)

    def finished(self, joined: str) -> list[str]:
        return _trimmed(joined)


class Date(_Lines):
    """Days; canonical is YYYY-MM-DD."""

    name = "dates"
    form = _DAYS

    def one(self, value: Any) -> Any:
        found = _MOMENT.fullmatch(value) if isinstance(value, str) else None
        if found is None:
            raise self.refuse(value, "; it is not written as one (YYYY-MM-DD)")
        if found[2] is not None and _clock(found[2], 6) != "00:00:00":
            raise self.refuse(value, "; it has a time of day")
        return found[1]


class Time(_Lines):
    """Times of day; canonical is HH:MM:SS with the fraction that it has."""

    form = _CLOCKS

    def __init__(self, precision: int) -> None:
        self.digits = precision
        self.name = f"times with {precision} digits of a second's fraction"

    def one(self, value: Any) -> Any:
        if not isinstance(value, str) or not re.fullmatch(_CLOCK, value):
            raise self.refuse(value, "; it is not written as one (HH:MM:SS)")
        made = _clock(value, self.digits)
        if made is None:
            raise self.refuse(value, "; it has more")
        return made


class Timestamp(_Lines):
    """
    Moments; canonical is YYYY-MM-DD HH:MM:SS with the fraction that it has.

    One without a zone is of UTC. Where none can be held, one of another zone is refused.
    """

    form = _MOMENTS

    def __init__(self, precision: int, *, zoned: bool = False) -> None:
        self.digits, self.zoned = precision, zoned
        self.name = f"times with {precision} digits of a second's fraction" + ("" if zoned else " and without a zone")

    def finished(self, joined: str) -> list[str]:
        made = super().finished(joined)
        return [f"{text}+00" for text in made] if self.zoned else made

    def one(self, value: Any) -> Any:
        found = _MOMENT.fullmatch(value) if isinstance(value, str) else None
        if found is None:
            raise self.refuse(value, "; it is not written as one (YYYY-MM-DD HH:MM:SS)")
        day, clock, zone = found[1], _clock(found[2] or "00:00:00", self.digits), found[3]
        if clock is None:
            raise self.refuse(value, "; it has more")
        shift = _shift(zone)
        if shift and not self.zoned:
            raise self.refuse(value, "; it has a zone other than UTC")
        if shift:
            try:
                moment = datetime.fromisoformat(f"{day} {clock.partition('.')[0]}").replace(tzinfo=UTC) - shift
            except (ValueError, OverflowError):
                raise self.refuse(value, "; there is no such moment") from None
            point, fraction = clock.partition(".")[1:]
            day, clock = moment.date().isoformat(), f"{moment:%H:%M:%S}{point}{fraction}"
        return f"{day} {clock}+00" if self.zoned else f"{day} {clock}"


def _shift(zone: str | None) -> timedelta:
    if zone in (None, "Z", "z"):
        return timedelta()
    assert zone is not None
    digits = zone[1:].replace(":", "").ljust(4, "0")
    found = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return -found if zone[0] == "-" else found
