"""
What is to become of one table: changes gathered into one new definition, and what they ask of the rows.

A plan changes nothing. It tells whether the rows must be copied, and which questions have to be put to the data.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...errors import DataContradicts, NoSuchObject, ObjectExists, SchemaError, UnsupportedChange
from .. import data_checks
from ..changes import (
    AddCheck,
    AddColumn,
    AddForeignKey,
    AddUnique,
    AlterColumn,
    Change,
    ChangePrimaryKey,
    DropColumn,
    DropConstraint,
    TableName,
    Unset,
)
from . import edits, sql
from .definition import ColumnDefinition, Constraint, DefinitionError, TableDefinition, folded, parse
from .short_rows import short_rows
from .tokens import name_of, quoted, refers_to, significant
from .users import describe
from .values import keeps_storage, misfits

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
        # An index for the constraint is made before the definition is edited, and the column is not there then.
        return isinstance(change, AddUnique) and not self.copies and bool(self.added & set(map(folded, change.columns)))

    def apply(self, change: Change) -> None:
        """
        Plan one more change.

        Raises:
            SchemaError: It cannot be, whatever the rows are.
        """
        try:
            match change:
                case AddColumn():
                    self._add_column(change)
                case DropColumn():
                    self._drop_column(change)
                case AlterColumn():
                    self._alter_column(change)
                case AddCheck():
                    self._add_check(change)
                case AddUnique():
                    self._add_unique(change)
                case AddForeignKey():
                    self._add_foreign_key(change)
                case ChangePrimaryKey():
                    self._change_primary_key(change)
                case DropConstraint():
                    self._drop_constraint(change)
                case _:
                    raise NotImplementedError(type(change).__name__)
        except DefinitionError as error:
            raise UnsupportedChange(
                f"The definition that {self.table} would get {error}; nothing was changed.",
                table=str(self.table),
                hint="Look at the names, types and expressions that were given.",
            ) from error

    def keeps_index(self, columns: Sequence[str], text: str = "") -> bool:
        """
        Whether an index of the table is true of a copy of its rows as well.

        Args:
            columns: What it is over.
            text: Its keys and its condition, where these are expressions.
        """
        if not self._keeps_rowids():
            return False
        touched = [c.name for c in self.before.columns if self._is_affected(c.name)]
        return not any(folded(one) in map(folded, columns) or refers_to(text, one) for one in touched)

    def _keeps_rowids(self) -> bool:
        if self.before.without_rowid or self.before.rowid_alias != self.definition.rowid_alias:
            return False
        alias = self.before.rowid_alias
        if alias is not None:
            return folded(alias) not in self.sources
        return sql.rowid_name(self.before) is not None and sql.rowid_name(self.definition) is not None

    def _is_affected(self, name: str) -> bool:
        """Whether what a column holds, or how it compares, may change."""
        named = self.sources.keys() | self.changed | self.dropped
        generated = self.before.column(name).generated
        return folded(name) in named or (
            generated is not None
            and any(
                refers_to(self.before.body_of(generated), c.name) and self._is_affected(c.name)
                for c in self.before.columns
                if folded(c.name) != folded(name)
            )
        )

    def is_compared_otherwise(self, text: str) -> bool:
        """Whether a column in *text* has another collation now, or is computed from one that has."""
        return any(self._depends(text, c.name) for c in self.before.columns if folded(c.name) in self.reindexed)

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

    # Columns

    def _add_column(self, change: AddColumn) -> None:
        specification = sql.column_specification(self.catalogue.connection, change.column)
        column = self._read_column(specification)
        if self.definition.has_column(column.name):
            raise ObjectExists("column", column.name, table=str(self.table))
        if column.of_kind("primary_key") is not None:
            raise UnsupportedChange(
                f"The new column {column.name} of {self.table} is a primary key; nothing was changed.",
                table=str(self.table),
                hint=f"Add it without, fill it, then change_primary_key({str(self.table)!r}, [{column.name!r}]).",
            )
        self.definition = edits.add_column(self.definition, specification)
        self.added.add(folded(column.name))
        if not self.is_empty:
            self._fill(self.definition.column(column.name))

    def _read_column(self, specification: str) -> ColumnDefinition:
        read = parse(f"CREATE TABLE t (a_, {specification})")
        if len(read.columns) != 2 or read.constraints:
            raise DefinitionError(f"cannot be read: {specification!r} is more than one column")
        return read.columns[1]

    def _fill(self, column: ColumnDefinition) -> None:
        """What the rows that are there get, in a column that is new."""
        default = column.of_kind("default")
        body = self.definition.body_of(default) if default else "NULL"
        if column.of_kind("not_null") and not column.generated and body.upper() in ("NULL", "(NULL)"):
            raise DataContradicts(
                f"The new column {column.name} of {self.table} would be NULL in every row, and is NOT NULL;"
                " nothing was changed.",
                data_checks.count(self.catalogue.connection, self.name),
                [],
                table=str(self.table),
                facts=f"{data_checks.count(self.catalogue.connection, self.name)} rows are there",
                hint="Give it a server_default, or add it nullable, fill it, then alter_column(nullable=False).",
            )
        self.copies |= (column.generated is not None and column.stored) or not sql.is_constant(body)
        self.refers_anew |= column.of_kind("foreign_key") is not None and body.upper() != "NULL"
        if column.generated and column.of_kind("not_null"):
            self._require_not_null(column.name)
        for check in column.constraints:
            if check.kind == "check":
                self._require_check(check)

    def _drop_column(self, change: DropColumn) -> None:
        column = self.column(change.name)
        if len(self.definition.columns) == 1:
            raise UnsupportedChange(
                f"{column.name} is the only column of {self.table}; nothing was changed.",
                table=str(self.table),
                hint=f"Drop the table: drop_table({str(self.table)!r}).",
            )
        self.definition = edits.drop_column(self.definition, column.name)
        self.dropped.add(folded(column.name))
        self.copies = True

    def _alter_column(self, change: AlterColumn) -> None:
        column = self.column(change.name)
        self.changed.add(folded(column.name))
        if change.using is not None:
            self._convert(column, sql.expression(self.catalogue.connection, change.using, self.table))
        if not isinstance(change.type_, Unset):
            self._set_type(column, sql.type_name(self.catalogue.connection, change.type_))
        if not isinstance(change.collation, Unset):
            self._set_collation(column, change.collation)
        if not isinstance(change.server_default, Unset):
            self._set_default(column, sql.default(self.catalogue.connection, change.server_default, self.table))
        if not isinstance(change.nullable, Unset):
            self._set_nullable(self.column(column.name), change.nullable)

    def _convert(self, column: ColumnDefinition, expression: str) -> None:
        self._refuse_generated(column, "values")
        self.sources[folded(column.name)] = expression
        self._touch(column.name)
        if column.of_kind("not_null"):
            self._require_not_null(column.name)

    def _touch(self, name: str) -> None:
        """Have everything that depends on a column's values looked at again, when they are there."""
        self.copies = True
        for constraint in self.definition.all_constraints:
            if constraint.kind == "check" and self._depends(self.definition.body_of(constraint), name):
                self._require_check(constraint)
        self.references |= self._in_foreign_key(name)

    def _depends(self, body: str, name: str) -> bool:
        """Whether an expression has a column in it, or another that is computed from it."""
        computed = [c for c in self.definition.columns if c.generated and folded(c.name) != folded(name)]
        return refers_to(body, name) or any(
            refers_to(body, c.name) and c.generated and refers_to(self.definition.body_of(c.generated), name)
            for c in computed
        )

    def _in_foreign_key(self, name: str) -> bool:
        ours = any(folded(name) in map(folded, c.columns) for c in self._constraints("foreign_key"))
        return ours or bool(self.catalogue.foreign_keys_to(self.table))

    def _set_type(self, column: ColumnDefinition, type_: str) -> None:
        if not sql.is_type(type_):
            raise UnsupportedChange(
                f"{type_!r} is no name of a type for {self.table}.{column.name}; nothing was changed.",
                table=str(self.table),
                hint="Give a SQLAlchemy type, or words like VARCHAR(20). Constraints have operations of their own.",
            )
        alias = self.definition.rowid_alias
        if alias is not None and folded(alias) == folded(column.name) and type_.upper() != "INTEGER":
            raise UnsupportedChange(
                f"{self.table}.{column.name} is the INTEGER PRIMARY KEY, another name of the rowid; as {type_} it would"
                " no longer number new rows by itself. Nothing was changed.",
                table=str(self.table),
                facts="INTEGER holds 64 bits here: a BIGINT has no more room",
                hint="Leave it (on SQLite only: BigInteger().with_variant(Integer, 'sqlite')).",
            )
        old, strict = column.type, self.definition.strict
        self.definition = edits.set_type(self.definition, column.name, type_)
        becomes_alias = self.definition.rowid_alias is not None and alias is None
        if column.generated and old != type_:
            self._touch(column.name)
        elif folded(column.name) in self.sources or not keeps_storage(old, type_, strict=strict) or becomes_alias:
            self._require_fit(column, type_)
            self._touch(column.name)
        if becomes_alias:
            self._require_not_null(column.name)

    def _set_collation(self, column: ColumnDefinition, collation: str | None) -> None:
        self.definition = edits.set_collation(self.definition, column.name, collation)
        self.reindexed.add(folded(column.name))
        key = self.definition.primary_key
        if self.definition.without_rowid and key and folded(column.name) in map(folded, key.columns):
            self.copies = True
        for constraint in self.definition.all_constraints:
            if constraint.kind == "check" and self._depends(self.definition.body_of(constraint), column.name):
                self._require_check(constraint)
        if any(
            c.generated and self._depends(self.definition.body_of(c.generated), column.name)
            for c in self.definition.columns
        ):
            self.copies = True
        self.references |= self._in_foreign_key(column.name)

    def _set_default(self, column: ColumnDefinition, default: str | None) -> None:
        self._refuse_generated(column, "default")
        if default is not None:
            default = sql.as_default(default)
        if not self.copies and short_rows(self.catalogue, self.table, self.before, column.name):
            # They read the default out of the definition: it is a part of the data.
            self.copies = True
        self.definition = edits.set_default(self.definition, column.name, default)

    def _set_nullable(self, column: ColumnDefinition, nullable: bool) -> None:
        self.definition = edits.set_nullable(self.definition, column.name, nullable)
        if nullable:
            self.nullable.add(folded(column.name))
        else:
            self.nullable.discard(folded(column.name))
            self._require_not_null(column.name)

    def _refuse_generated(self, column: ColumnDefinition, what: str) -> None:
        if column.generated:
            raise UnsupportedChange(
                f"{self.table}.{column.name} is a generated column and has no {what} of its own; nothing was changed.",
                table=str(self.table),
                facts=self.definition.text_of(column.generated),
                hint="Drop the column and add it anew.",
            )

    # Constraints

    def _constraints(self, kind: str) -> list[Constraint]:
        return [found for found in self.definition.all_constraints if found.kind == kind]

    def _require_free(self, name: str | None) -> None:
        for found in self.definition.all_constraints:
            if name is not None and found.name is not None and folded(found.name) == folded(name):
                raise ObjectExists("constraint", name, table=str(self.table))

    def _add_check(self, change: AddCheck) -> None:
        self._require_free(change.name)
        condition = sql.expression(self.catalogue.connection, change.condition, self.table)
        self._add_constraint(change.name, f"CHECK ({condition})")
        self._require_check(self.definition.constraints[-1])

    def _add_unique(self, change: AddUnique) -> None:
        self._require_free(change.name)
        names = [self.column(name).name for name in change.columns]
        same = [c for c in self._constraints("unique") if list(map(folded, c.columns)) == list(map(folded, names))]
        if same and change.name is None:
            raise ObjectExists("constraint", describe(self.definition, same[0]), table=str(self.table))
        self._add_constraint(change.name, f"UNIQUE ({', '.join(map(sql.name, names))})")

    def _add_foreign_key(self, change: AddForeignKey) -> None:
        self._require_free(change.name)
        names = [self.column(name).name for name in change.columns]
        target = sql.referenced(self.catalogue, self, change)
        words = sql.foreign_key_words(change)
        listed = ", ".join(map(sql.name, target.columns))
        self._add_constraint(
            change.name,
            f"FOREIGN KEY ({', '.join(map(sql.name, names))}) REFERENCES {sql.name(target.table)} ({listed}){words}",
        )
        self.refers_anew = True

    def _add_constraint(self, name: str | None, specification: str) -> None:
        words = f"CONSTRAINT {sql.name(name)} " if name is not None else ""
        before = len(self.definition.constraints)
        self.definition = edits.add_constraint(self.definition, words + specification)
        if len(self.definition.constraints) != before + 1:
            raise DefinitionError(f"cannot be read: {specification!r} is more than one constraint")

    def _change_primary_key(self, change: ChangePrimaryKey) -> None:
        names = [self.column(name).name for name in change.columns]
        if self.definition.without_rowid and not names:
            raise UnsupportedChange(
                f"{self.table} is WITHOUT ROWID and is stored by its primary key; nothing was changed.",
                table=str(self.table),
            )
        key = self.definition.primary_key
        if key is not None and list(map(folded, key.columns)) == list(map(folded, names)):
            return
        if key is not None:
            self.definition = edits.drop_constraint(self.definition, key)
        if names:
            name = key.name if key is not None else None
            self._add_constraint(name, f"PRIMARY KEY ({', '.join(map(sql.name, names))})")
        self.copies = True
        for one in names:
            self._require_not_null(one)
        alias = self.definition.rowid_alias
        if alias is not None:
            self._require_fit(self.definition.column(alias), "INTEGER")

    def _drop_constraint(self, change: DropConstraint) -> None:
        found = self.find_constraint(change)
        if found.kind == "primary_key":
            self._change_primary_key(ChangePrimaryKey(()))
            return
        self.changed |= set(map(folded, found.columns))
        self.definition = edits.drop_constraint(self.definition, found)

    def find_constraint(self, change: DropConstraint) -> Constraint:
        """
        The one constraint that is meant.

        Raises:
            NoSuchObject: There is none.
            SchemaError: There are several.
        """
        kinds = ("check", "unique", "foreign_key", "primary_key", "not_null")
        known = [c for c in self.definition.all_constraints if c.kind in kinds and (c.name or c.kind != "not_null")]
        found = [c for c in known if self._meant(c, change)]
        asked = change.name or " ".join(
            part for part in ((change.kind or "").replace("_", " ").upper(), _listed(change.columns)) if part
        )
        if not found:
            described = [c.name or describe(self.definition, c) for c in known]
            raise NoSuchObject("constraint", asked, described, table=str(self.table))
        if len(found) > 1:
            raise SchemaError(
                f"{self.table} has {len(found)} constraints that {asked} may mean; nothing was changed.",
                table=str(self.table),
                facts="; ".join(describe(self.definition, c) for c in found),
                hint="Say which: by name=, or by kind= and columns=.",
            )
        return found[0]

    def _meant(self, constraint: Constraint, change: DropConstraint) -> bool:
        if change.name is not None and folded(constraint.name or "") != folded(change.name):
            return False
        if change.kind is not None and constraint.kind != change.kind:
            return False
        if change.name is None and constraint.kind == "not_null":
            return False
        return change.columns is None or self._columns_of(constraint) == set(map(folded, change.columns))

    def _columns_of(self, constraint: Constraint) -> set[str]:
        if constraint.kind != "check":
            return set(map(folded, constraint.columns))
        body = self.definition.body_of(constraint)
        return {folded(c.name) for c in self.definition.columns if refers_to(body, c.name)}

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
        return folded(name) in self.sources.keys() | self.added

    def _found(self, offenders: data_checks.Offenders, what: str, facts: str, hint: str = "") -> None:
        if offenders:
            raise DataContradicts(
                f"{what}; nothing was changed.",
                offenders.count,
                offenders.sample,
                table=str(self.table),
                facts=f"{offenders.count} {facts}",
                hint=hint,
            )

    def _require_not_null(self, name: str) -> None:
        def ask(table: str) -> None:
            found = data_checks.nulls(self.catalogue.connection, table, [quoted(name)], self.key())
            self._found(found, f"{self.table}.{name} cannot be NOT NULL", "rows have NULL there")

        if self.facts_notnull(name):
            return
        self._ask(self._is_touched(name), ask)

    def facts_notnull(self, name: str) -> bool:
        """Whether SQLite has kept NULL out of the column until now, and its values stay."""
        return not self._is_touched(name) and bool(self.facts.column(name).notnull)

    def _require_check(self, check: Constraint) -> None:
        condition = self.definition.body_of(check)
        described = describe(self.definition, check)
        touched = self.sources.keys() | self.added | self.changed
        late = any(self._depends(condition, c.name) for c in self.definition.columns if folded(c.name) in touched)

        def ask(table: str) -> None:
            source = f"{table} AS {quoted(self.table.name)}"
            found = data_checks.violations(self.catalogue.connection, source, condition, self.key())
            self._found(found, f"{self.table} contradicts {described}", "rows do not fulfil it")

        self._ask(late, ask)

    def _require_fit(self, column: ColumnDefinition, type_: str) -> None:
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
                f"rows have values that would not keep their meaning as {type_}",
                f'Mend these rows first, or state the conversion: using="CAST({column.name} AS {type_})".',
            )

        self._ask(False, ask)


def _listed(columns: object) -> str:
    return f"({', '.join(columns)})" if isinstance(columns, list | tuple) else ""
