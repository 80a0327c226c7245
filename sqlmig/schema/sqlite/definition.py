"""
CREATE TABLE as SQLite has stored it: every part knows where it stands in the text.

The stored text is the only full truth about a table. Nothing is ever written anew from what was read here; edits
replace a stretch of the text and leave the rest as it is.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ColumnDefinition", "Constraint", "TableDefinition", "affinity_of", "folded"]


@dataclass(frozen=True)
class Constraint:
    """
    One constraint of a column or of the table; DEFAULT, COLLATE and GENERATED are constraints to SQLite's grammar.

    Attributes:
        kind: "primary_key", "unique", "check", "foreign_key", "not_null", "null", "default", "collate",
            "generated", "deferrable", or "name" for a CONSTRAINT with nothing after its name.
        start, end: The whole of it in the text, its name included.
        columns: The columns that it is over; of a column's own constraint, that column.
        body: Where its expression stands: inside the parentheses of CHECK and GENERATED, the term of DEFAULT,
            the name of COLLATE.
        target: The table that a foreign key refers to.
        target_columns: None where they were left out, and the primary key is meant.
        words: The keywords that come with it: AUTOINCREMENT, DESC, STORED, ON CONFLICT and the rest.
    """

    kind: str
    start: int
    end: int
    name: str | None = None
    column: str | None = None
    columns: tuple[str, ...] = ()
    body: tuple[int, int] | None = None
    target: str | None = None
    target_columns: tuple[str, ...] | None = None
    words: tuple[str, ...] = ()


@dataclass(frozen=True)
class ColumnDefinition:
    """
    One column.

    Attributes:
        type_span: Where its type stands; of no length where it has none.
    """

    name: str
    type: str
    start: int
    end: int
    type_span: tuple[int, int]
    constraints: tuple[Constraint, ...] = ()

    def of_kind(self, kind: str) -> Constraint | None:
        """The last constraint of a kind, which is the one that counts."""
        return next((found for found in reversed(self.constraints) if found.kind == kind), None)

    @property
    def generated(self) -> Constraint | None:
        return self.of_kind("generated")

    @property
    def stored(self) -> bool:
        """Whether its value is in the record: all but virtual generated columns."""
        return self.generated is None or "STORED" in self.generated.words


@dataclass(frozen=True)
class TableDefinition:
    """
    A CREATE TABLE statement.

    Attributes:
        name_span: Where the table's name stands.
        body: From behind the opening parenthesis to the closing one.
    """

    text: str
    name: str
    name_span: tuple[int, int]
    body: tuple[int, int]
    columns: tuple[ColumnDefinition, ...]
    constraints: tuple[Constraint, ...] = ()
    without_rowid: bool = False
    strict: bool = False

    def column(self, name: str) -> ColumnDefinition:
        """The column of a name; SQLite folds the case of ASCII letters only."""
        return next(column for column in self.columns if folded(column.name) == folded(name))

    def has_column(self, name: str) -> bool:
        return any(folded(column.name) == folded(name) for column in self.columns)

    @property
    def all_constraints(self) -> list[Constraint]:
        """Those of the columns, then those of the table."""
        return [found for column in self.columns for found in column.constraints] + list(self.constraints)

    @property
    def primary_key(self) -> Constraint | None:
        return next((found for found in self.all_constraints if found.kind == "primary_key"), None)

    @property
    def rowid_alias(self) -> str | None:
        """
        The column that is another name of the rowid.

        Source: https://sqlite.org/lang_createtable.html#rowids_and_the_integer_primary_key
        """
        key = self.primary_key
        if key is None or self.without_rowid or len(key.columns) != 1:
            return None
        if key.column is not None and "DESC" in key.words:
            return None
        column = self.column(key.columns[0])
        return column.name if folded(column.type) == "integer" else None

    def text_of(self, constraint: Constraint) -> str:
        """The constraint as it is written."""
        return self.text[constraint.start : constraint.end]

    def body_of(self, constraint: Constraint) -> str:
        """Its expression as it is written."""
        start, end = constraint.body or (0, 0)
        return self.text[start:end]


def folded(name: str) -> str:
    """A name as SQLite compares it: ASCII letters only."""
    return "".join(chr(ord(c) + 32) if "A" <= c <= "Z" else c for c in name)


def affinity_of(type_: str, *, strict: bool = False) -> str:
    """
    The affinity of a declared type.

    Source: https://sqlite.org/datatype3.html#determination_of_column_affinity
    """
    name = folded(type_)
    if strict and name == "any":
        return "BLOB"
    if "int" in name:
        return "INTEGER"
    if any(part in name for part in ("char", "clob", "text")):
        return "TEXT"
    if "blob" in name or not name:
        return "BLOB"
    if any(part in name for part in ("real", "floa", "doub")):
        return "REAL"
    return "NUMERIC"
