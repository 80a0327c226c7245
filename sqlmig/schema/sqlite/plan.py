"""
What is to become of one table: changes gathered into one new definition, and what they ask of the rows.

A plan changes nothing. It tells whether the rows must be copied, and which questions have to be put to the data.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...errors import DataContradicts, NoSuchObject
from .. import data_checks
from ..changes import AddUnique, AlterColumn, Change, ChangePrimaryKey, Expression, TableName
from . import sql
from .definition import ColumnDefinition, Constraint, TableDefinition, folded
from .tokens import name_of, quoted, refers_to, significant
from .users import describe
from .values import misfits

if TYPE_CHECKING:
    from .catalogue import Catalogue, TableFacts

__all__ = ["Question", "TablePlan"]


@dataclass(frozen=True)
class Question:
    """
    What must hold of the rows.

    Attributes:
        late: Whether it is about values that are there only when the change is made.
        ask: Raises DataContradicts; it is given the table to look into, as SQL.
    """

    late: bool
    ask: Callable[[str], None]


class TablePlan:
    """
    The new definition of a table, as changes are applied to it one by one.

    Attributes:
        definition: As it is to be.
        copies: Whether what is stored changes, so that the rows have to be copied.
        sources: For columns whose values are computed anew: the folded name, and the expression over the old row.
        added, dropped: Folded names.
        changed: Folded names of columns of which SQLite may tell something else afterwards.
        reindexed: Folded names of columns that compare otherwise.
        nullable: Folded names of columns that are to take NULL.
        references: Whether every foreign key around the table has to be looked up again.
        refers_anew: Whether there are new ones.
        questions: What must hold of the rows.
        native: SQLite's own statement for it, where there is one that means the same.
    """

    def __init__(self, catalogue: Catalogue, table: TableName) -> None:
        self.catalogue, self.table = catalogue, table
        self.before = catalogue.definition(table)
        self.facts: TableFacts = catalogue.facts(table)
        self.definition: TableDefinition = self.before
        self.copies = False
        self.sources: dict[str, str] = {}
        self.added: set[str] = set()
        self.dropped: set[str] = set()
        self.changed: set[str] = set()
        self.reindexed: set[str] = set()
        self.nullable: set[str] = set()
        self.references = False
        self.refers_anew = False
        self.questions: list[Question] = []
        self.native: str | None = None

    @property
    def name(self) -> str:
        """As SQL."""
        return f"{quoted(self.table.schema or 'main')}.{quoted(self.table.name)}"

    @property
    def is_empty(self) -> bool:
        return not self.catalogue.run(f"SELECT 1 FROM {self.name} LIMIT 1")

    def needs_pass_before(self, change: Change) -> bool:
        """Whether *change* has to wait until what is planned is done."""
        if not self.added:
            return False
        match change:
            case AddUnique() | ChangePrimaryKey():
                named = set(map(folded, change.columns))
            case AlterColumn():
                # What is asked of its values, or computed from them, is asked of rows that have the column.
                using = "" if change.using is None else self.expression(change.using)
                named = {folded(change.name)} | {name for name in self.added if refers_to(using, name)}
            case _:
                named = set()
        return bool(self.added & named)

    def keeps_index(self, columns: Sequence[str], text: str = "") -> bool:
        """
        Whether an index of the table is true of a copy of its rows as well.

        Args:
            columns: What it is over.
            text: Its keys and its condition, where these are expressions.
        """
        if not self._keeps_rowids():
            return False
        touched = self.derived(*self.sources, *self.changed, *self.dropped)
        return not any(one in map(folded, columns) or refers_to(text, one) for one in touched)

    def _keeps_rowids(self) -> bool:
        if self.before.without_rowid or self.before.rowid_alias != self.definition.rowid_alias:
            return False
        alias = self.before.rowid_alias
        if alias is not None:
            return folded(alias) not in self.sources
        return sql.rowid_name(self.before) is not None and sql.rowid_name(self.definition) is not None

    def derived(self, *names: str) -> set[str]:
        """Columns, and all that is computed from them; folded names."""
        found = set(map(folded, names))
        while more := [c for c in self._generated() if folded(c.name) not in found and self._uses(c, found)]:
            found |= {folded(column.name) for column in more}
        return found

    def _generated(self) -> list[ColumnDefinition]:
        return [column for column in self.definition.columns if column.generated]

    def _uses(self, column: ColumnDefinition, names: set[str]) -> bool:
        body = self.definition.body_of(column.generated) if column.generated else ""
        return any(refers_to(body, name) for name in names)

    def is_compared_otherwise(self, columns: Sequence[str], text: str) -> bool:
        """Whether one of *columns*, or one in *text*, has another collation now, or is computed from one that has."""
        touched = self.derived(*self.reindexed)
        return bool(touched & set(map(folded, columns))) or any(refers_to(text, one) for one in touched)

    def collation_of(self, name: str | None, otherwise: str) -> str:
        """The collation that a column is to have, where that is being changed."""
        if name is None or folded(name) not in self.reindexed:
            return otherwise
        collate = self.definition.column(name).of_kind("collate")
        return name_of(significant(self.definition.body_of(collate))[0]) if collate else "BINARY"

    def ask(self, *, late: bool, table: str) -> None:
        """Put the questions to the rows of *table*, SQL: those about what is there, or about what is new."""
        for question in self.questions:
            if question.late is late:
                question.ask(table)

    def column(self, name: str) -> ColumnDefinition:
        """
        A column of the table as it is to be.

        Raises:
            NoSuchObject: There is none of that name.
        """
        if not self.definition.has_column(name):
            known = [column.name for column in self.definition.columns]
            raise NoSuchObject("column", name, known, table=str(self.table))
        return self.definition.column(name)

    # What is asked of the rows

    def key(self) -> list[str]:
        """What names a row, as SQL: the primary key, or the rowid."""
        key = self.before.primary_key
        names = key.columns if key is not None else ()
        if names and all(self.definition.has_column(name) for name in names):
            return [quoted(name) for name in names]
        rowid = sql.rowid_name(self.before) and sql.rowid_name(self.definition)
        return [rowid] if rowid else []

    def _ask(self, late: bool, ask: Callable[[str], None]) -> None:
        self.questions.append(Question(late, ask))

    def _is_touched(self, name: str) -> bool:
        return folded(name) in self.derived(*self.sources, *self.added)

    def _found(self, offenders: data_checks.Offenders, what: str, facts: str, hint: str = "") -> None:
        if offenders:
            raise DataContradicts(
                f"{what}; nothing was changed.",
                offenders.count,
                offenders.sample,
                table=str(self.table),
                facts=f"{data_checks.rows(offenders.count)} {facts}",
                hint=hint,
            )

    def require_not_null(self, name: str) -> None:
        def ask(table: str) -> None:
            # SQLite does not look for NULL where the definition says NOT NULL already.
            condition = f"typeof({quoted(name)}) = 'null'" if late else f"{quoted(name)} IS NULL"
            found = data_checks.offenders(self.catalogue.connection, table, condition, self.key())
            self._found(found, f"{self.table}.{name} cannot be NOT NULL", "with NULL there")

        late = self._is_touched(name)
        if not self._keeps_null_out(name):
            self._ask(late, ask)

    def _keeps_null_out(self, name: str) -> bool:
        """Whether SQLite has kept NULL out of the column until now, and its values stay."""
        return not self._is_touched(name) and bool(self.facts.column(name).notnull)

    def require_check(self, check: Constraint) -> None:
        condition = self.definition.body_of(check)
        described = describe(self.definition, check)
        touched = self.sources.keys() | self.added | self.changed
        late = any(self.depends(condition, c.name) for c in self.definition.columns if folded(c.name) in touched)

        def ask(table: str) -> None:
            source = f"{table} AS {quoted(self.table.name)}"
            found = data_checks.violations(self.catalogue.connection, source, condition, self.key())
            self._found(found, f"{self.table} contradicts {described}", "for which it does not hold")

        self._ask(late, ask)

    def require_fit(self, column: ColumnDefinition, type_: str) -> None:
        value = self.sources.get(folded(column.name), quoted(column.name))
        condition = misfits(f"({value})" if value != quoted(column.name) else value, type_, strict=self.before.strict)
        if condition is None:
            return

        def ask(table: str) -> None:
            source = f"{table} AS {quoted(self.table.name)}"
            found = data_checks.offenders(self.catalogue.connection, source, condition, self.key())
            self._found(
                found,
                f"{self.table}.{column.name} cannot become {type_}",
                f"with values that would not keep their meaning as {type_}",
                f'Mend these rows first, or state the conversion: using="CAST({column.name} AS {type_})".',
            )

        self._ask(False, ask)

    def touch(self, name: str) -> None:
        """Have everything that depends on a column's values looked at again, when they are there."""
        self.copies = True
        for constraint in self.definition.all_constraints:
            if constraint.kind == "check" and self.depends(self.definition.body_of(constraint), name):
                self.require_check(constraint)
        for column in self._generated():
            if column.of_kind("not_null") and folded(column.name) in self.derived(name):
                self.require_not_null(column.name)
        self.references |= self.in_foreign_key(name)

    def depends(self, body: str, name: str) -> bool:
        """Whether an expression has a column in it, or another that is computed from it."""
        return any(refers_to(body, one) for one in self.derived(name))

    def in_foreign_key(self, name: str) -> bool:
        """Whether a change of a column's values may make orphans, here or in another table."""
        derived = self.derived(name)
        ours = any(derived & set(map(folded, c.columns)) for c in self.constraints("foreign_key"))
        return ours or bool(self.catalogue.foreign_keys_to(self.table))

    def expression(self, given: Expression) -> str:
        """
        An expression over the table's columns.

        Raises:
            NoSuchObject: It has a name in double quotes that no column has: SQLite would read it as a text.
        """
        text = sql.expression(self.catalogue.connection, given, self.table)
        known = [self.table.name, *(column.name for column in self.definition.columns)]
        for token in significant(text):
            if token.text.startswith('"') and folded(name_of(token)) not in map(folded, known):
                raise NoSuchObject("column", name_of(token), known[1:], table=str(self.table))
        return text

    def constraints(self, kind: str) -> list[Constraint]:
        return [found for found in self.definition.all_constraints if found.kind == kind]
