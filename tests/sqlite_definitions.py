"""
Strategies for CREATE TABLE over the whole of SQLite's grammar of it.

Source: https://sqlite.org/src/file/src/parse.y

A definition is a list of tokens first, and what may stand between two tokens is drawn afterwards.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from hypothesis import strategies as st

__all__ = ["Written", "written"]

Draw: TypeAlias = "Callable[[st.SearchStrategy[Any]], Any]"
Tokens: TypeAlias = "list[str]"

_BARE = re.compile(r"[A-Za-z_\u0080-\U0010ffff][\w$\u0080-\U0010ffff]*\Z", re.ASCII)
_RESERVED = {"select", "check", "constraint", "table", "default", "not", "primary", "references", "a b", "collate"}
# Keywords that SQLite takes for names as they are.
_KEYWORDS = ("key", "generated", "always", "conflict", "desc", "without", "match", "no", "action", "cascade", "left")
_NAMES = ("a", "b", "c", "d", "n", "Ünï", "ünï", "a\u00a0b", "x$1", "_", "rowid", "oid", "strict", "stored")
_QUOTED = ("select", "check", "constraint", "default", "a b", 'q"r', "it's", "x]y", "b`t", "--no", "/*no", "a,b)", "")
_SPACES = (" ", " ", " ", " ", "\n", "\t", "  \r\n ", "\f")
_COMMENTS = ("/**/", "/* , ) ' \" */", " -- it's ( here\n", "--\n", "/* CHECK ( */ ", " /* ü\n -- */")
_ACTIONS = ("SET NULL", "SET DEFAULT", "CASCADE", "RESTRICT", "NO ACTION")
_TYPES: tuple[Tokens, ...] = (
    [],
    ["INTEGER"],
    ['"INTEGER"'],
    ["integer"],
    ["INT"],
    ["TEXT"],
    ["REAL"],
    ["BLOB"],
    ["ANY"],
    ["VARCHAR", "(", "20", ")"],
    ["DECIMAL", "(", "10", ",", "-", "2", ")"],
    ["NUMERIC", "(", "+", "5.5", ")"],
    ["DOUBLE", "PRECISION"],
    ["UNSIGNED", "BIG", "INT"],
    ['"my type"'],
    ["'text'"],
    ["[x y]", "`z`"],
    ["generated"],
    ["generated", "thing"],
    ["key", "action"],
    ["Größe"],
)
_STRICT_TYPES: tuple[Tokens, ...] = (["INTEGER"], ["INT"], ["text"], ["REAL"], ["BLOB"], ["ANY"])
_DEFAULTS: tuple[Tokens, ...] = (
    ["1"],
    ["-", "1"],
    ["+", "1.5e3"],
    ["-", ".5"],
    ["0x1F"],
    ["'text'"],
    ["'it''s, ('"],
    ['"quoted"'],
    ["[br]"],
    ["word"],
    ["key"],
    ["NULL"],
    ["true"],
    ["X'00ff'"],
    ["CURRENT_TIMESTAMP"],
    ["current_date"],
    ["(", "1", "+", "2", ")"],
    ["(", "(", "'a)'", ")", "||", "x'41'", ")"],
    ["(", "CURRENT_TIMESTAMP", ")"],
    ["(", "NULL", ")"],
    ["(", "-", "5", ")"],
)


@dataclass
class Column:
    """A column as it is drawn."""

    name: str
    tokens: Tokens
    generated: bool = False


@dataclass
class Written:
    """
    A statement.

    Attributes:
        text: As it is given to SQLite.
        names: Of the columns, as they are without quotes.
    """

    text: str
    table: str
    names: list[str] = field(default_factory=list)
    generated: list[str] = field(default_factory=list)


def spelled(draw: Draw, name: str) -> str:
    """A name in one of the quotes that it can stand in, or without."""
    ways = [
        '"' + name.replace('"', '""') + '"',
        "`" + name.replace("`", "``") + "`",
        "'" + name.replace("'", "''") + "'",
    ]
    if "]" not in name and name:
        ways.append(f"[{name}]")
    if _BARE.match(name) and name.lower() not in _RESERVED:
        ways += [name] * 6 + [name.upper() if name.isascii() else name]
    return str(draw(st.sampled_from(ways)))


def columns_named(draw: Draw, most: int) -> list[str]:
    """Names of columns; SQLite folds the case of ASCII alone."""
    pool = st.sampled_from([*_NAMES, *_NAMES, *_KEYWORDS, *_QUOTED])
    return list(draw(st.lists(pool, min_size=1, max_size=most, unique=True)))


def expression(draw: Draw, names: Sequence[str]) -> Tokens:
    """An expression over the columns, which most values make true."""
    column = spelled_column(draw, draw(st.sampled_from(list(names))))
    return list(
        draw(
            st.sampled_from(
                [
                    [column, "IS", "NOT", "'zz'"],
                    ["(", column, ")", "IS", "NOT", "'a)('"],
                    ["length", "(", column, ")", "<", "100", "OR", column, "IS", "NULL"],
                    ["coalesce", "(", column, ",", "'x'", ")", "NOT", "IN", "(", "'--'", ",", "'/*'", ")"],
                    ["CASE", "WHEN", column, "THEN", "1", "ELSE", "2", "END", ">", "0"],
                    [column, "IS", "NOT", "x'00'", "AND", "1"],
                    ["1"],
                ]
            )
        )
    )


def spelled_column(draw: Draw, name: str) -> str:
    """A column in an expression, where 'x' would be a text."""
    found = spelled(draw, name)
    return '"' + name.replace('"', '""') + '"' if found.startswith("'") else found


def conflict(draw: Draw) -> Tokens:
    words = draw(st.sampled_from([None, None, None, "ROLLBACK", "ABORT", "FAIL", "IGNORE", "REPLACE"]))
    return ["ON", "CONFLICT", words] if words else []


def named(draw: Draw) -> Tokens:
    name = draw(st.sampled_from([None, None, None, "ck", "k e y", "unique", "c"]))
    return ["CONSTRAINT", spelled(draw, name) if name != "unique" else '"unique"'] if name else []


def deferrable(draw: Draw) -> Tokens:
    first = draw(st.sampled_from([["NOT", "DEFERRABLE"], ["DEFERRABLE"]]))
    return [*first, *draw(st.sampled_from([[], ["INITIALLY", "DEFERRED"], ["INITIALLY", "IMMEDIATE"]]))]


def reference(draw: Draw, count: int, names: Sequence[str]) -> Tokens:
    target = draw(st.sampled_from(["p", "p", "p", "T", "no where"]))
    out = ["REFERENCES", spelled(draw, target)]
    if draw(st.booleans()):
        theirs = ["x", "y", "id"] if target != "T" else [*names, "x"]
        picked = [draw(st.sampled_from(theirs)) for _ in range(count)]
        out += listed([[spelled(draw, one)] for one in picked])
    for _ in range(draw(st.integers(0, 3))):
        event = draw(st.sampled_from(["DELETE", "UPDATE", "INSERT", "MATCH"]))
        action = draw(st.sampled_from(_ACTIONS)).split()
        out += ["MATCH", draw(st.sampled_from(["FULL", "'simple'"]))] if event == "MATCH" else ["ON", event, *action]
    return out


def listed(items: Sequence[Tokens]) -> Tokens:
    out: Tokens = ["("]
    for index, item in enumerate(items):
        out += [","] * bool(index) + item
    return [*out, ")"]


def keyed(draw: Draw, names: Sequence[str], most: int = 3) -> tuple[list[Tokens], list[str]]:
    """Columns of a key, each with a collation and an order."""
    picked = draw(st.lists(st.sampled_from(list(names)), min_size=1, max_size=most, unique=True))
    ends = [
        [],
        [],
        [],
        ["ASC"],
        ["DESC"],
        ["COLLATE", "nocase"],
        ["COLLATE", "'rtrim'", "DESC"],
        ["COLLATE", '"binary"'],
    ]
    return [[spelled(draw, one), *draw(st.sampled_from(ends))] for one in picked], list(picked)


def column_constraint(draw: Draw, kind: str, name: str, names: Sequence[str]) -> Tokens:
    match kind:
        case "not null":
            return ["NOT", "NULL", *conflict(draw)]
        case "null":
            return ["NULL", *conflict(draw)]
        case "unique":
            return ["UNIQUE", *conflict(draw)]
        case "primary":
            order = draw(st.sampled_from([[], [], ["ASC"], ["DESC"]]))
            return ["PRIMARY", "KEY", *order, *conflict(draw), *draw(st.sampled_from([[], [], ["AUTOINCREMENT"]]))]
        case "check":
            return ["CHECK", "(", *expression(draw, names), ")"]
        case "default":
            return ["DEFAULT", *draw(st.sampled_from(_DEFAULTS))]
        case "collate":
            return ["COLLATE", draw(st.sampled_from(["nocase", "'rtrim'", '"BINARY"', "[nocase]", "`NoCase`"]))]
        case "references":
            return reference(draw, 1, names)
        case "deferrable":
            return deferrable(draw)
        case "generated":
            before = draw(st.sampled_from([["GENERATED", "ALWAYS", "AS"], ["AS"]]))
            others = [one for one in names if one != name] or names
            after = draw(st.sampled_from([[], ["STORED"], ["VIRTUAL"], ["stored"]]))
            return [*before, "(", *expression(draw, others), ")", *after]
    return []


_KINDS = (
    *("not null", "null", "unique", "check", "check", "default", "default", "collate", "references", "references"),
    *("deferrable", "alone"),
)


def column_tokens(draw: Draw, name: str, names: Sequence[str], *, strict: bool, key: bool, generated: bool) -> Tokens:
    """One column: its name, its type and its constraints in any order."""
    out = [spelled(draw, name), *draw(st.sampled_from(_STRICT_TYPES if strict else _TYPES))]
    kinds = draw(st.lists(st.sampled_from(_KINDS), max_size=4))
    if generated:
        kinds = [kind for kind in kinds if kind != "default"]
        kinds.insert(draw(st.integers(0, len(kinds))), "generated")
    if key:
        kinds.insert(draw(st.integers(0, len(kinds))), "primary")
    for kind in kinds:
        if kind == "deferrable" and "REFERENCES" not in out:
            continue
        found = column_constraint(draw, kind, name, names)
        out += ["CONSTRAINT", spelled(draw, "alone")] if kind == "alone" else [*named(draw), *found]
    return out


def table_constraint(draw: Draw, kind: str, names: Sequence[str]) -> Tokens:
    match kind:
        case "primary":
            keys, _ = keyed(draw, names)
            last = draw(st.sampled_from([[], [], [], ["AUTOINCREMENT"]]))
            keys[-1] = keys[-1] + last
            return ["PRIMARY", "KEY", *listed(keys), *conflict(draw)]
        case "unique":
            return ["UNIQUE", *listed(keyed(draw, names)[0]), *conflict(draw)]
        case "check":
            return ["CHECK", "(", *expression(draw, names), ")", *conflict(draw)]
        case "foreign":
            picked = draw(st.lists(st.sampled_from(list(names)), min_size=1, max_size=2, unique=True))
            ours = listed([[spelled(draw, one)] for one in picked])
            after = deferrable(draw) if draw(st.booleans()) else []
            return ["FOREIGN", "KEY", *ours, *reference(draw, len(picked), names), *after]
    return []


def joined(draw: Draw, found: Tokens) -> str:
    """The tokens as one text, with white space and comments of every kind between them."""
    plain = draw(st.booleans())
    between = st.sampled_from((" ",) if plain else (*_SPACES, *_SPACES, *_COMMENTS, ""))
    out = ""
    for one in found:
        space = draw(between)
        if not space and _needs_space(out, one):
            space = " "
        out += space if out else ""
        out += one
    return out + (draw(st.sampled_from(["", "", " ", "\n-- end", "/* end */"])) if not plain else "")


def _needs_space(before: str, after: str) -> bool:
    """Whether two tokens would become one, or something else."""
    return not (before[-1:] in "(,)" or after[0] in "(,)")


@st.composite
def written(draw: Draw, *, table: str | None = None, most: int = 5, stored: bool = False) -> Written:
    """
    A CREATE TABLE statement, which SQLite takes most of the time.

    Args:
        table: Its name; None for any.
        stored: Without what SQLite does not store: TEMP, IF NOT EXISTS and the schema.
    """
    names = columns_named(draw, most)
    strict = draw(st.integers(0, 4)) == 0
    key = draw(st.sampled_from(["none", "column", "column", "table"]))
    without_rowid = key != "none" and draw(st.integers(0, 3)) == 0
    owner = draw(st.integers(0, len(names) - 1))
    generated = [i for i in range(1, len(names)) if i != owner and draw(st.integers(0, 5)) == 0]
    real = [one for i, one in enumerate(names) if i not in generated]
    elements = [
        column_tokens(
            draw,
            one,
            names if i not in generated else real,
            strict=strict,
            key=key == "column" and i == owner,
            generated=i in generated,
        )
        for i, one in enumerate(names)
    ]
    if without_rowid:
        elements = [[t for t in element if t != "AUTOINCREMENT"] for element in elements]
    kinds = draw(st.lists(st.sampled_from(["unique", "check", "foreign", "alone"]), max_size=4))
    if key == "table":
        kinds.insert(draw(st.integers(0, len(kinds))), "primary")
    body: Tokens = ["(", *listed(elements)[1:-1]]
    for index, kind in enumerate(kinds):
        comma = index == 0 or draw(st.integers(0, 2)) > 0
        body += [","] * comma
        if kind == "alone":
            body += ["CONSTRAINT", spelled(draw, "alone")]
        else:
            body += [*named(draw), *table_constraint(draw, kind, real if kind == "primary" else names)]
    body.append(")")
    options = [["WITHOUT", "rowid"]] * without_rowid + [["STRICT"]] * strict
    if draw(st.booleans()):
        options.reverse()
    for index, option in enumerate(options):
        body += [","] * bool(index) + option
    name = table or draw(st.sampled_from(["T", "Té", "a b", 'q"r', "it's", "match", "select", "t]u", "t.u"]))
    head = ["CREATE", "TABLE"]
    if not stored:
        head = draw(
            st.sampled_from([["CREATE", "TABLE"], ["create", "Temp", "table"], ["CREATE", "TEMPORARY", "TABLE"]])
        )
        head = head + draw(st.sampled_from([[], [], ["IF", "not", "EXISTS"]]))
        head = head + (
            draw(st.sampled_from([[], [spelled(draw, "main"), "."]]))
            if len(head) % 2 == 0 and "Temp" not in head
            else []
        )
    text = joined(draw, [*head, spelled(draw, name), *body])
    return Written(text, name, names, [names[i] for i in generated])
