"""
What a column of the target holds, and how a value of the source becomes one of its own: exactly, or not at all.

Values are looked at by the column and the batch: in nearly all of them each value is of the one type that it should
be, which a few calls of C tell. Only where they do not is one value looked at after the other.
"""

from __future__ import annotations

import json
import re
import struct
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import UUID

__all__ = [
    "Bits",
    "Boolean",
    "Bytes",
    "Date",
    "Float",
    "Integer",
    "Json",
    "Kind",
    "Numeric",
    "Same",
    "Text",
    "Time",
    "Timestamp",
    "Unfit",
    "Uuid",
    "kind_of_value",
    "spread",
]

_NONE = type(None)
# Of a backslash before it that is escaped itself, it is the text of a u and four zeros.
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
_DECIMAL = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,4})?", re.ASCII)


class Unfit(Exception):
    """A value that a column cannot hold: its place in the batch, and why."""

    def __init__(self, why: str, index: int = 0) -> None:
        self.why, self.index = why, index
        super().__init__(why)


def kind_of_value(value: Any) -> str:
    """What a value is, in words; never the value itself, which may be somebody's secret."""
    if isinstance(value, str):
        return f"a text of {len(value):,} characters"
    if isinstance(value, bytes):
        return f"{len(value):,} bytes"
    names = {bool: "a boolean", int: "a whole number", float: "a floating-point number", Decimal: "a decimal number"}
    return names.get(type(value), type(value).__name__)


def spread(values: Sequence[Any], convert: Callable[[list[Any]], list[Any]]) -> list[Any]:
    """What *convert* makes of those that are not None, each in its place."""
    present = [value for value in values if value is not None]
    made = convert(present)
    if len(present) == len(values):
        return made
    rest = iter(made)
    return [None if value is None else next(rest) for value in values]


class Kind(ABC):
    """What a column holds; `name` is the word for it in messages."""

    name: str
    takes: frozenset[type] = frozenset()
    """The types of which values may be right as they are."""

    def convert(self, values: Sequence[Any]) -> Sequence[Any]:
        """
        The values as the target holds them.

        Raises:
            Unfit: It cannot hold one of them.
        """
        types = set(map(type, values))
        types.discard(_NONE)
        if not types:
            return values
        if types <= self.takes:
            present = [value for value in values if value is not None] if None in values else values
            if self.fit(present):
                return values
        return self.one_by_one(values)

    def one_by_one(self, values: Sequence[Any]) -> list[Any]:
        """The same, for values of which some may need a closer look."""
        made = []
        for index, value in enumerate(values):
            try:
                made.append(None if value is None else self.one(value))
            except Unfit as error:
                error.index = index
                raise
        return made

    def fit(self, values: Sequence[Any]) -> bool:
        """Whether all of these, which are of the right types, can stay as they are."""
        return True

    @abstractmethod
    def one(self, value: Any) -> Any:
        """A single value as the target holds it."""

    def refuse(self, value: Any, more: str = "") -> Unfit:
        """Why a value cannot be held."""
        return Unfit(f"{kind_of_value(value)} in a column that holds {self.name}{more}")


class Same(Kind):
    """Anything, as it is: source and target are of one kind, or the target takes what it is given."""

    def __init__(self, name: str) -> None:
        self.name = name

    def convert(self, values: Sequence[Any]) -> Sequence[Any]:
        return values

    def one(self, value: Any) -> Any:
        return value


class Integer(Kind):
    """Whole numbers from *low* to *high*."""

    takes = frozenset({int})

    def __init__(self, low: int, high: int, name: str = "whole numbers") -> None:
        self.low, self.high = low, high
        self.name = f"{name} from {low} to {high}"

    def fit(self, values: Sequence[Any]) -> bool:
        return bool(min(values) >= self.low and max(values) <= self.high)

    def one(self, value: Any) -> Any:
        if isinstance(value, Decimal) and value.is_finite() and value == int(value):
            value = int(value)
        if not isinstance(value, int):
            raise self.refuse(value)
        if not self.low <= value <= self.high:
            raise self.refuse(value, "; it is out of that range")
        return int(value)


class Boolean(Kind):
    """True and false, for which databases without such a type keep 1 and 0."""

    name = "true or false"
    takes = frozenset({bool, int})

    def fit(self, values: Sequence[Any]) -> bool:
        return set(values) <= {0, 1}

    def one(self, value: Any) -> Any:
        if isinstance(value, int) and value in (0, 1):
            return bool(value)
        raise self.refuse(value, "; only 0 and 1 mean one of the two")


class Bits(Kind):
    """A number that the database keeps as so many bits."""

    takes = frozenset({int})

    def __init__(self, width: int) -> None:
        self.name = f"{width} bits"
        self._high = (1 << width) - 1

    def fit(self, values: Sequence[Any]) -> bool:
        return bool(min(values) >= 0 and max(values) <= self._high)

    def one(self, value: Any) -> Any:
        if isinstance(value, int) and 0 <= value <= self._high:
            return int(value)
        raise self.refuse(value)


class Float(Kind):
    """Floating-point numbers of eight bytes, or of four."""

    takes = frozenset({float})

    def __init__(self, *, single: bool = False, finite: bool = False) -> None:
        self.single, self._finite = single, finite
        self.name = f"floating-point numbers of {4 if single else 8} bytes"

    def fit(self, values: Sequence[Any]) -> bool:
        if self.single:
            try:
                held = struct.unpack(f"{len(values)}f", struct.pack(f"{len(values)}f", *values))
            except OverflowError:
                return False
            return list(held) == list(values)
        # What is no number is equal to nothing, and takes the slow way.
        return not self._finite or all(value - value == 0 for value in values)

    def one(self, value: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
            raise self.refuse(value)
        try:
            number = float(value)
            if self.single and number == number:
                held = struct.unpack("f", struct.pack("f", number))[0]
                if held != number:
                    raise self.refuse(value, ", which would round it")
        except OverflowError:
            raise self.refuse(value, ", which are too small for it") from None
        # A decimal number is kept as long as it can be read back.
        same = Decimal(repr(number)) == value if isinstance(value, Decimal) and value.is_finite() else True
        if not same or (isinstance(value, int) and number != value):
            raise self.refuse(value, ", which would round it")
        if self._finite and number - number != 0:
            raise self.refuse(value, ", and none of them infinite")
        return number


class Numeric(Kind):
    """Decimal numbers; canonical is the text with all digits of the scale."""

    def __init__(self, precision: int | None, scale: int | None, *, special: bool = False) -> None:
        self.precision, self.scale, self._special = precision, scale, special
        self.name = "decimal numbers" if precision is None else f"decimal numbers ({precision}, {scale})"
        self._limit = None if precision is None else Decimal(10) ** (precision - (scale or 0))

    def convert(self, values: Sequence[Any]) -> Sequence[Any]:
        scale = self.scale
        types = set(map(type, values)) - {_NONE}
        if types == {float} and scale is not None and self.precision is not None and 0 <= scale <= 12:
            present = [value for value in values if value is not None]
            largest = min(10.0 ** (self.precision - scale), 10.0 ** (15 - scale))
            if -largest < min(present) and max(present) < largest:
                made = [f"{value:.{scale}f}" for value in present]
                # Their shortest texts have no more digits than that, and 0 no sign.
                if list(map(float, made)) == present and not any(text.startswith("-0") for text in made):
                    return spread(values, lambda _: made)
        return self.one_by_one(values)

    def one(self, value: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, int | float | Decimal | str):
            raise self.refuse(value)
        if isinstance(value, str) and not _DECIMAL.fullmatch(value):
            raise self.refuse(value)
        try:
            number = Decimal(repr(value) if isinstance(value, float) else value)
        except InvalidOperation:
            raise self.refuse(value) from None
        if not number.is_finite():
            if self._special and not isinstance(value, str):
                return {"Infinity": "Infinity", "-Infinity": "-Infinity"}.get(str(number), "NaN")
            raise self.refuse(value, ", and none of them infinite")
        if number == 0:
            number = number.copy_abs()
        if self.scale is None:
            return format(number, "f")
        whole, _, fraction = format(number, "f").partition(".")
        digits = max(self.scale, 0)
        if fraction[digits:].strip("0") or (self.scale < 0 and whole[self.scale :].strip("0")):
            raise self.refuse(value, "; it has more digits")
        if self._limit is not None and number.copy_abs() >= self._limit:
            raise self.refuse(value, "; it is too large")
        return f"{whole}.{fraction[:digits]:0<{digits}}" if digits else whole


class Text(Kind):
    """
    Texts.

    Args:
        length: In characters; None for any.
        octets: In bytes, of UTF-8; None for any.
        nul: Whether a character 0 can be in them.
        padded: Whether the database fills them up with blanks.
        hexed: Whether a UUID is a text without dashes here.
    """

    takes = frozenset({str})

    def __init__(
        self,
        length: int | None = None,
        *,
        octets: int | None = None,
        nul: bool = True,
        padded: bool = False,
        hexed: bool = False,
    ) -> None:
        self.length, self.octets, self._nul, self.padded, self._hexed = length, octets, nul, padded, hexed
        self.name = "texts" if length is None else f"texts of up to {length} characters"

    def fit(self, values: Sequence[Any]) -> bool:
        longest = max(map(len, values))
        if self.padded or self._hexed or (self.length is not None and longest > self.length):
            return False
        if self.octets is not None and longest * 4 > self.octets:
            return False
        return self._nul or "\0" not in "".join(values)

    def one(self, value: Any) -> Any:
        if not isinstance(value, str):
            raise self.refuse(value)
        if self._hexed and len(value) == 36:
            value = value.replace("-", "")
        if not self._nul and "\0" in value:
            raise self.refuse(value, "; it has a character 0 in it, which the database knows no text with")
        if self.length is not None and len(value) > self.length:
            raise self.refuse(value)
        if self.octets is not None and len(value.encode()) > self.octets:
            raise self.refuse(value, f", and no more than {self.octets:,} bytes")
        return value.ljust(self.length) if self.padded and self.length else value


class Bytes(Kind):
    """Binary values; *length* in bytes."""

    takes = frozenset({bytes})
    name = "binary values"

    def __init__(self, length: int | None = None) -> None:
        self.length = length

    def fit(self, values: Sequence[Any]) -> bool:
        return self.length is None or max(map(len, values)) <= self.length

    def one(self, value: Any) -> Any:
        if not isinstance(value, bytes | bytearray | memoryview):
            raise self.refuse(value)
        if self.length is not None and len(value) > self.length:
            raise self.refuse(value, f" of up to {self.length:,} bytes")
        return bytes(value)


class Uuid(Kind):
    """UUIDs; canonical is the text with dashes, in lower case."""

    name = "UUIDs"

    def one(self, value: Any) -> Any:
        try:
            if isinstance(value, bytes) and len(value) == 16:
                return str(UUID(bytes=value))
            if isinstance(value, str) and len(value) in (32, 36):
                return str(UUID(value))
        except ValueError:
            pass
        raise self.refuse(value)


class Json(Kind):
    """
    JSON; canonical is the text as it is, or, of a database that keeps no text, one of its own with sorted keys.

    SQLite has no such type, and keeps a JSON text that is a number as a number.
    """

    name = "JSON"
    takes = frozenset({str})

    def __init__(self, *, parsed: bool) -> None:
        self.parsed = parsed
        # Of two values under one key, a database that keeps no text keeps one.
        self._pairs = _no_twins if parsed else dict

    def fit(self, values: Sequence[Any]) -> bool:
        return False

    def one(self, value: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise self.refuse(value)
        text = value if isinstance(value, str) else repr(value)
        try:
            json.loads(text, parse_float=Decimal, parse_constant=_no_constant, object_pairs_hook=self._pairs)
        except (ValueError, RecursionError):
            raise self.refuse(value, "; it is none") from None
        if self.parsed and _NUL.search(text):
            raise self.refuse(value, "; it has a character 0 in it")
        return text

    @staticmethod
    def canonical(text: str) -> str:
        """The same for texts that mean the same."""
        found = json.loads(text, parse_float=Decimal, parse_int=Decimal)
        return json.dumps(found, default=_number, sort_keys=True)


def _number(value: Decimal) -> str:
    """A number without what may be written in more than one way, and with all its digits, however many."""
    sign, digits, exponent = value.as_tuple()
    written = "".join(map(str, digits)).rstrip("0")
    shift = int(exponent) + len(digits) - len(written)
    return f"#{'-' if sign else ''}{written.lstrip('0')}e{shift}" if written.strip("0") else "#0"


def _no_constant(word: str) -> Any:
    raise ValueError(word)


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is there twice")
    return found


# Times

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
        if set(map(type, values)) <= {str, _NONE} and self.digits == 6:
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
