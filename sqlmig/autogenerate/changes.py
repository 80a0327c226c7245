"""
From one schema to another, statement by statement.

Each is tried on a scratch database as soon as it is written, and the next one is written from what is there then: what
went along with a column, or what a change has moved, is seen and not guessed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import TypeAlias

from sqlalchemy import ForeignKeyConstraint

from ..drift import shape as shapes
from ..drift.compare import Difference, compare
from ..schema.sqlite.tokens import refers_to
from .ground import Ground, Refused
from .item_source import name_of_constraint, target_of
from .operations import Operations
from .server_changes import change_enum
from .statements import Statement, source
from .table_changes import TableChanges
from .target import Target
from .things import BUILT_ON, execute, making, removing, sql_name

__all__ = ["Changes", "Told"]

Told: TypeAlias = Callable[[list[Difference], shapes.Shape], list[Difference]]
"""Which differences count, given what is there."""

# A round sees what the one before it took along.
_ROUNDS = 6


class Changes:
    """
    The statements that make a target of what is there.

    Attributes:
        statements: Those that worked, in order.
        refused: What did not, and why.

    Args:
        back: Whether they take back what others did.
    """

    def __init__(self, ground: Ground, target: Target, told: Told, *, back: bool = False) -> None:
        self.ground, self.target, self.back, self._told = ground, target, back, told
        self.operations = Operations(target, back=back)
        self.statements: list[Statement] = []
        self.refused: dict[str, str] = {}
        self._tried: set[str] = set()
        self._compared: tuple[shapes.Shape, list[Difference]] | None = None

    @property
    def shape(self) -> shapes.Shape:
        """What is there now."""
        return self.ground.shape

    def differences(self) -> list[Difference]:
        """What is not as it is to be."""
        there = self.shape
        if self._compared is None or self._compared[0] is not there:
            self._compared = there, self._told(compare(self.target.shape, there), there)
        return list(self._compared[1])

    def do(self, statement: Statement | None) -> bool:
        """Try a statement, and keep it if it works; one that has worked before is not what is needed again."""
        if statement is None:
            return False
        text = source(statement)
        if text in self._tried or statement.text in self.refused:
            return False
        try:
            self.ground.run(statement)
        except Refused as error:
            self.refused[statement.text] = str(error)
            return False
        self._tried.add(text)
        self.statements.append(statement)
        return True

    def do_together(self, statements: Sequence[Statement], text: str) -> None:
        """Try statements of which each needs the others, on a database that undoes them all where one fails."""
        try:
            self.ground.run(*statements)
        except Refused as error:
            self.refused[text] = str(error)
            return
        self.statements += statements

    def run(self) -> None:
        """Go on until nothing differs, or nothing helps."""
        for _ in range(_ROUNDS):
            before = len(self.statements)
            self.refused = {}
            if self.differences():
                self._round()
            if len(self.statements) == before:
                return

    def _round(self) -> None:
        self._drop_things()
        self._create_things(BUILT_ON)
        self._drop_keys_in_the_way()
        self._drop_indexes()
        self._create_tables()
        self._change_tables()
        self._create_keys()
        self._create_indexes()
        self._drop_tables()
        self._drop_what_nothing_is_built_on()
        self._create_things(None)
        self._comment_tables()

    def of_kind(self, *kinds: str) -> Iterator[Difference]:
        """The differences of these kinds."""
        return (found for found in self.differences() if found.kind in kinds)

    # What is no part of a table

    def _drop_things(self) -> None:
        for found in self._things():
            left, right = found.left, found.right
            if not isinstance(right, shapes.Thing):
                continue
            if right.kind == "type" and isinstance(left, shapes.Thing):
                if right.definition.shown.startswith("ENUM"):
                    self.do_together(list(change_enum(self, left, right)), f"labels of the type {left.name}")
            elif right.kind not in BUILT_ON or left is not None:
                # One that differs is made anew; where nothing is to be, something else has made it.
                self.do(removing(right, self.ground.dialect))

    def _create_things(self, kinds: Collection[str] | None) -> None:
        for found in self._things():
            wanted = found.left
            if not isinstance(wanted, shapes.Thing) or found.right is not None:
                continue
            # A column makes the ENUM that it is of.
            enum = wanted.kind == "type" and wanted.definition.shown.startswith("ENUM")
            if kinds is None or (wanted.kind in kinds and not enum):
                self.do(making(wanted, self.ground.dialect))

    def _drop_what_nothing_is_built_on(self) -> None:
        for found in self._things():
            if isinstance(found.right, shapes.Thing) and found.left is None:
                self.do(removing(found.right, self.ground.dialect))

    def _things(self) -> list[Difference]:
        return [found for found in self.differences() if isinstance(found.left or found.right, shapes.Thing)]

    # Indexes

    def _drop_indexes(self) -> None:
        for found in list(self.of_kind("index")):
            there = found.right
            if isinstance(there, shapes.Index) and not (found.left is None and self._goes_along(there)):
                self._drop_index(there)
        # Of a table that goes: its names may be wanted for others before that.
        key, to_be = self.target.shape.key, self.target.shape
        for name, index in list(self.shape.indexes.items()):
            if name in to_be.indexes and key(index.table) not in to_be.tables:
                self.do(self.operations.drop_index(index))

    def _drop_index(self, index: shapes.Index) -> None:
        if self.do(self.operations.drop_index(index)) or self.ground.dialect.name not in ("mysql", "mariadb"):
            return
        # A foreign key needs it, and will make one of its own.
        table = self.shape.tables.get(self.shape.key(index.table))
        for one in table.constraints if table is not None else ():
            if one.kind == "foreign key" and all(refers_to(index.definition.shown, name) for name in one.columns):
                self.drop_constraint(index.table, one)
        self.refused.pop(self.operations.drop_index(index).text, None)
        self.do(self.operations.drop_index(index))

    def _goes_along(self, index: shapes.Index) -> bool:
        """Whether a column that is to go takes the index along."""
        key = self.shape.key
        gone = (found for found in self.of_kind("column") if found.left is None and found.right is not None)
        names = [found.name for found in gone if key(str(found.table)) == key(index.table)]
        return any(refers_to(index.definition.shown, name) for name in names)

    def _create_indexes(self) -> None:
        for found in self.of_kind("index"):
            if isinstance(found.left, shapes.Index):
                self.do(self.operations.create_index(found.left))

    # Tables

    def _create_tables(self) -> None:
        waiting = [found.left for found in self.of_kind("table") if isinstance(found.left, shapes.Table)]
        while waiting:
            ready = [one for one in waiting if not self._missing(one)]
            # In a circle, the one that waits for the fewest begins, and its foreign keys come later.
            table = ready[0] if ready else min(waiting, key=lambda one: len(self._missing(one)))
            waiting.remove(table)
            self._create_table(table)

    def _create_table(self, table: shapes.Table) -> None:
        found = self.target.table(table.name)
        if found is None:
            return
        missing = self._missing(table)
        later = [key for key in found.foreign_key_constraints if any(self._is(key, one) for one in missing)]
        self._create_schema(table.name)
        statement = self.operations.create_table(table.name, found, later)
        stored = self.target.stored.get(("table", self.target.shape.key(table.name)))
        if self.do(statement) and stored is not None and not self._as_it_was(table, missing):
            # The database's own words say more than SQLAlchemy can.
            self.ground.run(self.operations.drop_table(table.name))
            self.statements.pop()
            self.do(execute(stored, statement.text))

    def _create_schema(self, table: str) -> None:
        """That of a table of PostgreSQL, where nothing says that it is there."""
        schema = table.rpartition(".")[0]
        if schema and self.ground.dialect.name == "postgresql" and schema not in self.shape.schemas:
            name = sql_name(self.ground.dialect, schema)
            self.do(execute(f"CREATE SCHEMA IF NOT EXISTS {name}", f"create schema {schema}"))

    def _as_it_was(self, table: shapes.Table, missing: Collection[shapes.Constraint]) -> bool:
        key = self.target.shape.key(table.name)
        there = {key: self.shape.tables[key]} if key in self.shape.tables else {}
        one, other = (shapes.Shape(tables, {}, {}, self.shape.folds) for tables in ({key: table}, there))
        return all(found.left in missing for found in compare(one, other))

    def _missing(self, table: shapes.Table) -> list[shapes.Constraint]:
        """Its foreign keys that cannot be made yet."""
        return [key for key in table.constraints if key.kind == "foreign key" and not self.is_ready(table.name, key)]

    def is_ready(self, table: str, wanted: shapes.Constraint) -> bool:
        """Whether what a foreign key refers to is there, with the key that it is to have."""
        key = self.shape.key
        parent = key(wanted.parent or "")
        if parent == key(table):
            return True
        found, there = self.target.constraint(table, wanted), self.shape.tables.get(parent)
        if there is None or not isinstance(found, ForeignKeyConstraint):
            # SQLite takes one that refers to nothing, now as later.
            return parent not in self.target.shape.tables and self.ground.dialect.name == "sqlite"
        names = {self.shape.column_key(name) for name in target_of(found)[1]}
        if not names <= {self.shape.column_key(column.name) for column in there.columns}:
            return False
        to_be = self.target.shape.tables.get(parent)
        return self._is_unique(there, names) or to_be is None or not self._is_unique(to_be, names)

    def _is_unique(self, table: shapes.Table, names: set[str]) -> bool:
        key = self.shape.column_key
        return any(
            {key(name) for name in one.columns} == names
            for one in table.constraints
            if one.kind in ("primary key", "unique")
        )

    def _is(self, made: ForeignKeyConstraint, wanted: shapes.Constraint) -> bool:
        key = self.target.shape.column_key
        columns, names = tuple(key(column.name) for column in made.columns), tuple(map(key, wanted.columns))
        same = name_of_constraint(made, self.target.dialect) == wanted.name or wanted.name is None
        return columns == names and same

    def _drop_tables(self) -> None:
        going = [found.right for found in self.of_kind("table") if isinstance(found.right, shapes.Table)]
        while going:
            free = [one for one in going if not self._referred(one, going)]
            table = free[0] if free else going[0]
            going.remove(table)
            self.do(self.operations.drop_table(table.name, cascade=not free))

    def _referred(self, table: shapes.Table, others: Iterable[shapes.Table]) -> bool:
        """Whether another refers to it."""
        key = self.shape.key
        keys = (one for other in others if other is not table for one in other.constraints if one.kind == "foreign key")
        return any(key(one.parent or "") == key(table.name) for one in keys)

    def _comment_tables(self) -> None:
        for found in self.of_kind("comment"):
            table = self.target.table(found.name)
            if table is not None:
                self.do(self.operations.comment_table(table))

    # Foreign keys, and the rest of a table

    def _drop_keys_in_the_way(self) -> None:
        """Those that are to go, or to be others, and refer to a table that is changed itself."""
        key = self.shape.key
        found = list(self.differences())
        touched = {key(str(one.table)) for one in found if one.kind in ("column", "primary key", "unique")}
        for one in found:
            there = one.right
            if one.kind != "foreign key" or not isinstance(there, shapes.Constraint) or one.table is None:
                continue
            if key(there.parent or "") in touched and key(there.parent or "") != key(one.table):
                self.drop_constraint(one.table, there)
        if self.ground.dialect.name in ("mysql", "mariadb"):
            self._drop_keys_of_types(found)

    def _drop_keys_of_types(self, found: Iterable[Difference]) -> None:
        """On MariaDB and MySQL a column keeps its type as long as a foreign key is over it, or refers to it."""
        key, column_key = self.shape.key, self.shape.column_key
        retyped = {
            (key(str(one.table)), column_key(one.name))
            for one in found
            if one.kind == "column" and {"type", "identity", "nullable"} & {*one.facets}
        }
        for table in list(self.shape.tables.values()):
            for one in table.constraints:
                if one.kind != "foreign key":
                    continue
                own = {(key(table.name), column_key(name)) for name in one.columns}
                theirs = {pair for pair in retyped if pair[0] == key(one.parent or "")}
                referred = any(refers_to(one.definition.shown, name) for _, name in theirs)
                if own & retyped or referred:
                    self.drop_constraint(table.name, one)

    def _change_tables(self) -> None:
        found = [one for one in self.differences() if one.table is not None and one.kind not in ("table", "index")]
        for table in self._parents_first(dict.fromkeys(str(one.table) for one in found)):
            changes = TableChanges(self, table)
            changes.run([one for one in self.differences() if one.table == table])

    def _parents_first(self, names: Iterable[str]) -> list[str]:
        key, waiting, ordered = self.target.shape.key, list(names), list[str]()
        while waiting:
            there = {key(name) for name in waiting}
            free = [name for name in waiting if not (self._parents(name) & there - {key(name)})]
            ordered.append(free[0] if free else waiting[0])
            waiting.remove(ordered[-1])
        return ordered

    def _parents(self, table: str) -> set[str]:
        key = self.target.shape.key
        found = self.target.shape.tables.get(key(table))
        constraints = found.constraints if found is not None else ()
        return {key(one.parent or "") for one in constraints if one.kind == "foreign key"}

    def _create_keys(self) -> None:
        for found in self.of_kind("foreign key"):
            if isinstance(found.left, shapes.Constraint) and found.right is None and found.table is not None:
                self.do(self.operations.create_constraint(found.table, found.left))

    def drop_constraint(self, table: str, there: shapes.Constraint) -> bool:
        """Drop a constraint."""
        return self.do(self.dropping(table, there))

    def dropping(self, table: str, there: shapes.Constraint) -> Statement:
        """What drops a constraint: by its kind and columns where it has no name, unless others are over these too."""
        columns, name = self.spelled(table, there), there.name
        found = self.shape.tables.get(self.shape.key(table))
        alike = [
            one
            for one in (found.constraints if found is not None else ())
            if one.kind == there.kind and self.spelled(table, one) == columns
        ]
        if name is None and len(alike) > 1 and self.ground.dialect.name != "sqlite":
            names = self.ground.names_of(table, there.kind.replace(" ", "_"), columns)
            unknown = [known for known in names if known not in {one.name for one in alike}]
            name = unknown[0] if len(unknown) == 1 else None
        return self.operations.drop_constraint(table, there, name, columns)

    def spelled(self, table: str, constraint: shapes.Constraint) -> list[str]:
        """The columns that a constraint is over, as they are spelled there; of a CHECK, those that are in it."""
        there = self.shape.tables.get(self.shape.key(table))
        columns = there.columns if there is not None else ()
        if constraint.kind == "check":
            return [column.name for column in columns if refers_to(constraint.definition.shown, column.name)]
        by_key = {self.shape.column_key(column.name): column.name for column in columns}
        return [by_key.get(self.shape.column_key(name), name) for name in constraint.columns]
