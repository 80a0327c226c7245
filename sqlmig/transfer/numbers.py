"""Columns that hold numbers, or truth."""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from .kinds import NONE, Kind, spread

__all__ = ["Bits", "Boolean", "Float", "Integer", "Numeric"]

_DECIMAL = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,4})?", re.ASCII)


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
        types = set(map(type, values)) - {NONE}
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
