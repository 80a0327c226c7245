"""
A SQLite database as its stored text tells it.

What SQLite takes for the same is told in one way: white space, comments, quotes and the case of names, keys said with
the column or behind the columns, NOT NULL where a key implies it, actions and collations that are there by default.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import pairwise
from typing import Any

from ..backends.sqlite import ask, quoted
from ..backends.sqlite_virtual import shadow_tables, virtual_tables
from ..safety.source import files_of
from ..schema.sqlite.definition import ColumnDefinition, TableDefinition, folded
from ..schema.sqlite.definition import Constraint as Written
from ..schema.sqlite.reader import DefinitionError, parse
from ..schema.sqlite.tokens import Token, matching, name_of, significant
from .shape import Column, Constraint, Index, Shape, Table, Thing, Wording

__all__ = ["read"]

# Words for one type, of which SQLite keeps what was written.
_SYNONYMS = {
    "INT": "INTEGER",
    "BOOL": "BOOLEAN",
    "DEC": "NUMERIC",
    "DECIMAL": "NUMERIC",
    "CHARACTER VARYING": "VARCHAR",
    "DOUBLE": "FLOAT",
    "DOUBLE PRECISION": "FLOAT",
    "REAL": "FLOAT",
    "CHARACTER": "CHAR",
}
# Two ways to write an operator, of which each character is a token.
_OPERATORS = {("<", ">"): "!=", ("!", "="): "!=", ("=", "="): "="}
# What SQLite does where a constraint is not kept, and nothing is said.
_DEFAULT_CONFLICT = "ON CONFLICT ABORT"
# What a foreign key does where it does not say so.
_DEFAULT_ACTIONS = {"ON DELETE NO ACTION", "ON UPDATE NO ACTION", "INITIALLY IMMEDIATE"}


def read(raw: Any, ignored: Collection[str]) -> Shape:
    """
    Read all files of a connection of sqlite3's.

    Args:
        ignored: Tables that are left out with what is theirs, in lower case.
    """
    tables: dict[str, Table] = {}
    indexes: dict[str, Index] = {}
    things: dict[tuple[str, str], Thing] = {}
    for schema in files_of(raw):
        place = "" if schema == "main" else f"{schema}."
        rows = _rows(raw, schema, ignored)
        keys = {folded(name): _key_of(sql) for kind, name, _, sql in rows if kind == "table"}
        for kind, name, table, sql in rows:
            full, owner = place + name, place + table
            if kind == "index":
                indexes[folded(full)] = _index(full, owner, sql)
            elif kind == "table" and (found := _table(full, sql, keys)) is not None:
                tables[folded(full)] = found
            else:
                kind = "virtual table" if kind == "table" and _is_virtual(sql) else kind
                definition = Wording(_meaning(_essence(significant(sql))), sql)
                things[kind, folded(full)] = Thing(kind, full, definition, owner if kind == "trigger" else None)
    return Shape(tables, indexes, things, folds=True)


def _rows(raw: Any, schema: str, ignored: Collection[str]) -> list[tuple[str, str, str, str]]:
    found = ask(
        raw,
        f"SELECT type, name, tbl_name, sql FROM {quoted(schema)}.sqlite_master"
        " WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY rowid",
    )
    stored = [(name, sql) for kind, name, _, sql in found if kind == "table"]
    hidden = shadow_tables([name for name, _ in stored], virtual_tables(stored)) | set(ignored)
    return [row for row in found if row[2] not in hidden and folded(row[2]) not in hidden]


def _is_virtual(sql: str) -> bool:
    return [token.text.upper() for token in significant(sql)[:2]] == ["CREATE", "VIRTUAL"]


def _key_of(sql: str) -> tuple[str, ...]:
    try:
        key = parse(sql).primary_key
    except DefinitionError:
        return ()
    return tuple(map(folded, key.columns)) if key is not None else ()


# Tables


def _table(name: str, sql: str, keys: dict[str, tuple[str, ...]]) -> Table | None:
    """None for one whose text is not that of a table with columns."""
    try:
        written = parse(sql)
    except DefinitionError:
        return None
    columns = tuple(_column(written, column) for column in written.columns)
    options = {
        option for option, there in (("STRICT", written.strict), ("WITHOUT ROWID", written.without_rowid)) if there
    }
    return Table(name, columns, tuple(_constraints(written, keys)), frozenset(options))


def _column(table: TableDefinition, column: ColumnDefinition) -> Column:
    default, generated, not_null = (column.of_kind(kind) for kind in ("default", "generated", "not_null"))
    collated = _collation_of(table, column.name)
    return Column(
        name=column.name,
        type=_type_of(table, column),
        nullable=not_null is None and not _is_key_without_null(table, column),
        default=None if default is None else _default(table.body_of(default)),
        generated=None if generated is None else _generated(table, generated),
        identity="AUTOINCREMENT" if _counts_on(table, column) else None,
        collation=None if collated == "BINARY" else collated,
        others=" ".join(word for word in not_null.words if word != _DEFAULT_CONFLICT) if not_null else "",
        declared=" ".join(column.type.split()),
    )


def _type_of(table: TableDefinition, column: ColumnDefinition) -> str:
    key = table.primary_key
    if key is None or table.without_rowid or folded(column.type) != "int" or len(key.columns) != 1:
        return _type(column.type)
    # An INTEGER would be the rowid, which numbers itself.
    return "INT" if folded(key.columns[0]) == folded(column.name) else _type(column.type)


def _type(declared: str) -> str:
    """`varchar ( 8 )` as `VARCHAR(8)`."""
    said = " ".join(token.text for token in significant(declared)).upper()
    said = said.replace(" (", "(").replace("( ", "(").replace(" )", ")").replace(" ,", ",").replace(", ", ",")
    name, bracket, rest = said.partition("(")
    return _SYNONYMS.get(name, name) + bracket + rest


def _is_key_without_null(table: TableDefinition, column: ColumnDefinition) -> bool:
    """
    Whether the column takes no NULL for being in the key.

    Source: https://sqlite.org/lang_createtable.html#the_primary_key
    """
    key = table.primary_key
    if key is None or folded(column.name) not in map(folded, key.columns):
        return False
    return table.without_rowid or table.strict or table.rowid_alias == column.name


def _counts_on(table: TableDefinition, column: ColumnDefinition) -> bool:
    key = table.primary_key
    return key is not None and "AUTOINCREMENT" in key.words and table.rowid_alias == column.name


def _default(said: str) -> Wording | None:
    tokens = _unwrapped(significant(said))
    # SQLite takes a word in double quotes for a text here.
    tokens = [
        Token("string", "'" + name_of(token).replace("'", "''") + "'", token.start) if token.kind == "quoted" else token
        for token in tokens
    ]
    if tokens[:1] and tokens[0].text == "+" and len(tokens) == 2:
        tokens = tokens[1:]
    meant = {"null": "", "true": "1", "false": "0"}.get(_meaning(tokens), _meaning(tokens))
    return Wording(meant, said) if meant else None


def _generated(table: TableDefinition, generated: Written) -> Wording:
    stored = "STORED" if "STORED" in generated.words else "VIRTUAL"
    said = table.body_of(generated).strip()
    return Wording(f"{_meaning(_unwrapped(significant(said)))} {stored}", f"({said}) {stored}")


def _constraints(table: TableDefinition, keys: dict[str, tuple[str, ...]]) -> Iterator[Constraint]:
    for found in table.all_constraints:
        columns = tuple(map(folded, found.columns))
        match found.kind:
            case "primary_key":
                said = f"PRIMARY KEY ({', '.join(_keys(table, found))}){_joined(_words_of_key(found))}"
                yield Constraint("primary key", columns, Wording.plain(said))
            case "unique":
                said = f"UNIQUE ({', '.join(_keys(table, found))}){_joined(_words_of_key(found))}"
                yield Constraint("unique", columns, Wording.plain(said), found.name)
            case "check":
                said = table.body_of(found).strip()
                meant = _meaning(_unwrapped(significant(said)))
                # SQLite reads a conflict clause of CHECK and does nothing with it.
                yield Constraint("check", (), Wording(meant, f"CHECK ({said})"), found.name)
            case "foreign_key":
                yield _foreign_key(table, found, columns, keys)


def _words_of_key(found: Written) -> Iterator[str]:
    return (word for word in found.words if word not in ("ASC", "AUTOINCREMENT", _DEFAULT_CONFLICT))


def _keys(table: TableDefinition, found: Written) -> Iterator[str]:
    """The columns of a key, each with its collation, where that is not the column's own, and with DESC."""
    if found.column is not None:
        yield from map(folded, found.columns)
        return
    tokens = significant(table.text_of(found))
    for name, item in zip(found.columns, _items(tokens, _opening(tokens)), strict=True):
        words = [folded(name)]
        if (collation := _collation_in(item)) not in (None, _collation_of(table, name)):
            words.append(f"COLLATE {collation}")
        # The rowid has no order but its own.
        if item[-1].is_word("DESC") and not (found.kind == "primary_key" and table.rowid_alias):
            words.append("DESC")
        yield " ".join(words)


def _collation_in(item: Sequence[Token]) -> str | None:
    for word, name in pairwise(item):
        if word.is_word("COLLATE"):
            return folded(name_of(name)).upper()
    return None


def _collation_of(table: TableDefinition, name: str) -> str:
    column = table.column(name)
    said = column.of_kind("collate") if column is not None else None
    return folded(_name_in(table, said)).upper() if said else "BINARY"


def _foreign_key(
    table: TableDefinition, found: Written, columns: tuple[str, ...], keys: dict[str, tuple[str, ...]]
) -> Constraint:
    parent = folded(found.target or "")
    theirs = tuple(map(folded, found.target_columns)) if found.target_columns else keys.get(parent, ())
    words = list(found.words)
    if found.column is not None:
        # A column's own has its DEFERRABLE behind it as a constraint of its own.
        words += [word for other in _behind(table, found) for word in other.words]
    words = sorted(word for word in words if word not in _DEFAULT_ACTIONS and not word.startswith("MATCH"))
    if "NOT" in words:
        words = [word for word in words if word not in ("NOT", "DEFERRABLE") and not word.startswith("INITIALLY")]
    text = f"FOREIGN KEY ({', '.join(columns)}) REFERENCES {parent} ({', '.join(theirs)}){_joined(words)}"
    return Constraint("foreign key", columns, Wording.plain(text), found.name, parent, parent_columns=theirs)


def _behind(table: TableDefinition, found: Written) -> Iterator[Written]:
    column = table.column(found.column or "")
    at = column.constraints.index(found)
    for other in column.constraints[at + 1 : at + 2]:
        if other.kind == "deferrable":
            yield other


def _name_in(table: TableDefinition, found: Written) -> str:
    (token,) = significant(table.body_of(found))
    return name_of(token)


def _joined(words: Iterator[str] | Sequence[str]) -> str:
    return "".join(f" {word}" for word in words)


# Indexes and programs


def _index(name: str, table: str, sql: str) -> Index:
    tokens = significant(sql)
    unique = tokens[1].is_word("UNIQUE")
    opening = _opening(tokens)
    keys = ", ".join(_meaning(_key(item)) for item in _items(tokens, opening))
    # Behind WHERE, if there is one.
    condition = _meaning(_unwrapped(tokens[matching(tokens, opening) + 2 :]))
    meant = f"{'UNIQUE ' if unique else ''}{folded(table)} ({keys}){condition and f' WHERE {condition}'}"
    shown = f"{'UNIQUE ' if unique else ''}{' '.join(sql[tokens[opening].start :].split())}"
    return Index(name, table, unique, Wording(meant, shown))


def _key(item: list[Token]) -> list[Token]:
    """One key of an index, without parentheses around it, and without ASC, which it is where it does not say."""
    item = item[:-1] if item[-1].is_word("ASC") else item
    end = matching(item, 0) + 1 if item[0].text == "(" else 0
    if end and (end == len(item) or item[end].is_word("COLLATE", "DESC")):
        return [*_unwrapped(item[:end]), *item[end:]]
    return item


def _opening(tokens: Sequence[Token]) -> int:
    return next(index for index, token in enumerate(tokens) if token.text == "(")


def _items(tokens: list[Token], opening: int) -> Iterator[list[Token]]:
    """What stands between the commas of a list in parentheses."""
    item: list[Token] = []
    depth = 0
    for token in tokens[opening + 1 : matching(tokens, opening)]:
        depth += {"(": 1, ")": -1}.get(token.text, 0)
        if token.text == "," and depth == 0:
            yield item
            item = []
        else:
            item.append(token)
    yield item


def _essence(tokens: list[Token]) -> list[Token]:
    """Without the words that say how it was made and not what it is: IF NOT EXISTS."""
    said = [token.text.upper() for token in tokens[:8]]
    for at in range(len(said) - 2):
        if said[at : at + 3] == ["IF", "NOT", "EXISTS"]:
            return tokens[:at] + tokens[at + 3 :]
    return tokens


def _unwrapped(tokens: list[Token]) -> list[Token]:
    """Without the parentheses that are around all of it."""
    while tokens and tokens[0].text == "(" and matching(tokens, 0) == len(tokens) - 1:
        tokens = tokens[1:-1]
    return tokens


def _meaning(tokens: Sequence[Token]) -> str:
    said: list[str] = []
    for before, token in zip([None, *tokens], tokens, strict=False):
        operator = _OPERATORS.get((before.text, token.text)) if before is not None else None
        if operator is not None:
            said[-1] = operator
        else:
            # A text stays what it is; where a name can stand only, SQLite takes one in single quotes as well.
            said.append(
                token.text if token.kind == "string" else folded(name_of(token) if token.is_name else token.text)
            )
    return " ".join(said)
