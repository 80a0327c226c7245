"""Values for sample rows, as SQL: for each type one that its database takes, another one for each number."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from uuid import UUID

from ..transfer.shapes import Column

__all__ = ["alternatives", "literal", "speaks_of", "value_of"]

_DIGITS = "abcdefghijklmnopqrstuvwxyz0123456789"


def literal(text: str) -> str:
    """A text as every one of the databases writes it, where it has no backslash."""
    return "'" + text.replace("'", "''") + "'"


def value_of(column: Column, dialect: str, number: int, labels: Sequence[str] = ()) -> str | None:
    """
    A value of a column's type, as SQL; None where none is known.

    Args:
        labels: All that there are, where the type has a list of them.
    """
    if labels:
        return literal(labels[number % len(labels)])
    by_type: Callable[[Column, int], str | None]
    by_type = {"sqlite": _on_sqlite, "postgresql": _on_postgresql}.get(dialect, _on_mysql)
    return by_type(column, number)


def speaks_of(check: str, column: str) -> bool:
    """Whether an expression names a column."""
    return re.search(rf"(?<!\w){re.escape(column)}(?!\w)", check, re.IGNORECASE) is not None


def alternatives(column: Column, checks: Sequence[str], number: int) -> list[str]:
    """What may please CHECKs that speak of a column: what they say themselves, and what is often asked for."""
    told = [check for check in checks if speaks_of(check, column.name)]
    if not told:
        return []
    found: list[str] = []
    for check in told:
        texts = [text.replace("''", "'") for text in re.findall(r"'((?:[^']|'')*)'", check)]
        found += [literal(text) for text in _fitting(check, texts, number)]
        numbers = [int(text) for text in re.findall(r"(?<![\w.'])-?\d{1,15}(?![\w.'])", check)]
        found += [literal(text) for text in texts] + [literal(text.strip("%")) for text in texts if "%" in text]
        for one in numbers:
            found += [str(one), str(one + 1), str(one - 1)]
            if re.search(r"length", check, re.IGNORECASE) and 0 < one <= 200:
                is_binary = "blob" in column.type or "binary" in column.type
                found.append(f"X'{number:0>{2 * one}x}'" if is_binary else literal(f"{number:0>{one}}"[-one:]))
    usual = ["NULL", "0", "1", str(number), str(number + 1), "-1", "0.5"]
    usual += [literal(text) for text in ("", "a", "A", "1", "A1", "a@b.cc", "https://a.bc", "{}", "[]", f"a{number}")]
    usual += [literal(str(_day(number))), literal(str(_day(number + 1)))]
    return list(dict.fromkeys(found + usual))


def _fitting(check: str, patterns: Sequence[str], number: int) -> list[str]:
    """Texts that may fit the patterns of a CHECK: of LIKE, of GLOB, or simple regular expressions."""
    found = []
    if re.search(r"like", check, re.IGNORECASE):
        found += [re.sub("[%_]", "a", text) for text in patterns if re.search("[%_]", text)]
    for text in patterns:
        if "[" in text or "\\" in text:
            plain = text.strip("^$").replace("\\d", "[0-9]").replace("\\w", "[a-z]").replace("\\s", " ")
            plain = re.sub(r"(\[[^]]+\]|\w)\{(\d{1,2})(?:,\d*)?\}", lambda one: one[1] * int(one[2]), plain)
            places = re.split(r"(\[[^]]+\])", re.sub(r"(?<=[\])\w])[+*?]|[*()\\]", "", plain))
            for at in range(1, len(places), 2):
                first, rest = places[at][1], places[at][2:-1]
                # Of a range, another one for each row in the last place, where most numbers differ.
                span = ord(rest[1]) - ord(first) + 1 if len(rest) > 1 and rest[0] == "-" else 1
                places[at] = chr(ord(first) + (number % span if at == len(places) - 2 and span > 1 else 0))
            found.append("".join(places).replace("?", "a"))
    return found


def _text(number: int, length: int | None) -> str:
    text = f"sample {number}"
    if length is not None and length < len(text):
        text = ""
        while number and len(text) < length:
            number, rest = divmod(number, len(_DIGITS))
            text = _DIGITS[rest] + text
        text = text or "a"[:length]
    return literal(text)


def _day(number: int) -> date:
    return date(2001, 1, 1) + timedelta(days=number)


def _moment(number: int) -> str:
    return f"{_day(number)} 03:04:05"


def _number(column: Column, number: int) -> str:
    """One with few enough digits."""
    if column.precision is None:
        return str(number)
    scale = column.scale or 0
    whole = column.precision - max(scale, 0)
    return str(number % 10**whole) if whole > 0 else f"0.{number % 10**scale:0>{scale}}"


def _on_sqlite(column: Column, number: int) -> str | None:
    kind = column.type
    if "bool" in kind:
        return str(number % 2)
    if "int" in kind:
        return str(number)
    if "datetime" in kind or "timestamp" in kind:
        return literal(f"{_moment(number)}.000000")
    if "date" in kind:
        return literal(str(_day(number)))
    if "time" in kind:
        return literal(f"03:04:{number % 60:02}.000000")
    if "json" in kind:
        return literal(f'{{"sample": {number}}}')
    if "blob" in kind or "binary" in kind:
        return f"X'{number:08x}'"
    if any(part in kind for part in ("real", "floa", "doub")):
        return f"{number}.5"
    if any(part in kind for part in ("num", "dec")):
        return _number(column, number)
    return _text(number, column.length)


_INTEGERS = {"int2", "int4", "int8", "oid", "smallint", "mediumint", "int", "bigint", "integer"}
_PG_PLAIN: dict[str, Callable[[int], str]] = {
    "bool": lambda n: "tf"[n % 2],
    "float4": lambda n: f"{n}.5",
    "float8": lambda n: f"{n}.5",
    "money": str,
    "date": lambda n: str(_day(n)),
    "timestamp": _moment,
    "timestamptz": lambda n: f"{_moment(n)}+00",
    "time": lambda n: f"03:04:{n % 60:02}",
    "timetz": lambda n: f"03:04:{n % 60:02}+00",
    "interval": lambda n: f"{n} days",
    "uuid": lambda n: str(UUID(int=n)),
    "json": lambda n: f'{{"sample": {n}}}',
    "jsonb": lambda n: f'{{"sample": {n}}}',
    "xml": lambda n: f"<sample>{n}</sample>",
    "bytea": lambda n: f"\\x{n:08x}",
    "inet": lambda n: f"10.0.{n // 256 % 256}.{n % 256}",
    "cidr": lambda n: f"10.{n // 256 % 256}.{n % 256}.0/24",
    "macaddr": lambda n: f"08:00:2b:01:{n // 256 % 256:02x}:{n % 256:02x}",
    "tsvector": lambda n: f"sample{n}",
    "hstore": lambda n: f"sample=>{n}",
    "ltree": lambda n: f"sample.n{n}",
    "point": lambda n: f"({n},{n})",
    "box": lambda n: f"({n},{n}),(0,0)",
    "circle": lambda n: f"<(0,0),{n}>",
    "int4range": lambda n: f"[{n},{n + 1})",
    "int8range": lambda n: f"[{n},{n + 1})",
    "numrange": lambda n: f"[{n},{n + 1})",
    "daterange": lambda n: f"[{_day(n)},{_day(n + 1)})",
    "tsrange": lambda n: f"[{_moment(n)},{_moment(n + 1)})",
    "tstzrange": lambda n: f"[{_moment(n)}+00,{_moment(n + 1)}+00)",
}


def _on_postgresql(column: Column, number: int) -> str | None:
    kind = column.type
    if kind in _INTEGERS:
        return str(number)
    if kind == "numeric":
        return _number(column, number)
    if kind in ("text", "varchar", "bpchar", "citext", "name", "char"):
        return _text(number, 1 if kind == "char" else column.length)
    if kind.startswith("_"):
        return "'{}'"
    found = _PG_PLAIN.get(kind)
    return literal(found(number)) if found is not None else None


_MY_PLAIN: dict[str, Callable[[int], str]] = {
    "date": lambda n: str(_day(n)),
    "datetime": _moment,
    "timestamp": _moment,
    "time": lambda n: f"03:04:{n % 60:02}",
    "year": lambda n: str(2000 + n % 100),
    "json": lambda n: f'{{"sample": {n}}}',
    "jsontext": lambda n: f'{{"sample": {n}}}',
    "uuid": lambda n: str(UUID(int=n)),
    "inet4": lambda n: f"10.0.{n // 256 % 256}.{n % 256}",
    "inet6": lambda n: f"::{n:x}",
}


def _on_mysql(column: Column, number: int) -> str | None:
    kind = column.type.removesuffix(" unsigned")
    if kind in _INTEGERS:
        return str(number)
    if kind == "tinyint":
        return str(number % 2)
    if kind == "decimal":
        return _number(column, number)
    if kind in ("float", "double"):
        return f"{number}.5"
    if kind == "bit":
        return f"b'{number % 2}'"
    if kind.endswith("text") or kind in ("char", "varchar"):
        if kind != "jsontext":
            return _text(number, column.length)
    elif kind.endswith(("blob", "binary")):
        return f"X'{f'{number:08x}'[-2 * min(column.length or 4, 4) :]}'"
    found = _MY_PLAIN.get(kind)
    return literal(found(number)) if found is not None else None
