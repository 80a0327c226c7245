"""An application's models as data: 60 tables of every kind, and changes of them that leave them sensible."""

from __future__ import annotations

import copy
import enum
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Computed,
    Date,
    DateTime,
    Enum,
    Float,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    PrimaryKeyConstraint,
    SmallInteger,
    String,
    Table,
    Text,
    Time,
    TypeDecorator,
    UniqueConstraint,
    Uuid,
    false,
    func,
    text,
    true,
)
from sqlalchemy.types import TypeEngine

CONVENTION = {
    "ix": "ix_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


class Color(enum.Enum):
    red = 1
    green = 2


class Money(TypeDecorator[Any]):
    """An amount, which the application keeps as cents."""

    impl = Numeric(12, 2)
    cache_ok = True


class Tags(TypeDecorator[Any]):
    """A list in a text; a real JSON where there is one."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Any) -> Any:
        return dialect.type_descriptor(JSON() if dialect.name == "postgresql" else Text())


# Type, and the server defaults that suit it.
TYPES: dict[str, tuple[Callable[[], TypeEngine[Any]], list[Callable[[], Any]]]] = {
    "integer": (Integer, [lambda: "0", lambda: text("7"), lambda: "-1"]),
    "big": (lambda: BigInteger().with_variant(Integer(), "sqlite"), [lambda: "0", lambda: text("(1 + 1)")]),
    "small": (SmallInteger, [lambda: "3"]),
    "short": (lambda: String(20), [lambda: "en", lambda: "it's", lambda: "a:b", lambda: "50%"]),
    "long": (lambda: String(200), [lambda: "", lambda: "a longer text with \"quotes\" and 'quotes'"]),
    "text": (Text, []),
    "flag": (Boolean, [false, true]),
    "amount": (lambda: Numeric(10, 2), [lambda: "0.00"]),
    "money": (Money, [lambda: "0.00"]),
    "ratio": (Float, [lambda: "1.5"]),
    "moment": (DateTime, [func.now]),
    "day": (Date, []),
    "hour": (Time, []),
    "blob": (LargeBinary, []),
    "document": (JSON, []),
    "tags": (Tags, []),
    "key": (Uuid, []),
}
NUMBERS = ("integer", "big", "small")
WORDS = ("short", "long")
# Which another may become where there may be rows.
CHANGES = {"short": "long", "long": "text", "small": "integer", "integer": "big", "amount": "money", "day": "moment"}


@dataclass
class Col:
    name: str
    kind: str
    nullable: bool = True
    default: int | None = None
    computed: tuple[str, str, bool] | None = None
    labels: list[str] = field(default_factory=list)
    checked: bool = False


@dataclass
class Rule:
    """A constraint or an index over columns, with what it says of them."""

    name: str | None
    columns: list[str]
    says: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    parent: str = ""
    parent_columns: list[str] = field(default_factory=list)
    where: tuple[str, str] | None = None


@dataclass
class Tab:
    name: str
    columns: list[Col]
    key: list[str]
    uniques: list[Rule] = field(default_factory=list)
    checks: list[Rule] = field(default_factory=list)
    references: list[Rule] = field(default_factory=list)
    indexes: list[Rule] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)

    def column(self, name: str) -> Col:
        return next(column for column in self.columns if column.name == name)

    @property
    def rules(self) -> list[Rule]:
        return [*self.uniques, *self.checks, *self.references, *self.indexes]

    def is_used(self, name: str) -> bool:
        over = any(name in rule.columns or (rule.where and rule.where[0] == name) for rule in self.rules)
        return over or name in self.key or any(c.computed and c.computed[0] == name for c in self.columns)


class App:
    """The models, and how they change."""

    def __init__(self, seed: int, tables: int = 60, dialect: str = "sqlite") -> None:
        self.random = random.Random(seed)
        self.dialect, self.number, self.tables = dialect, 0, list[Tab]()
        self.named = self.random.random() < 0.5
        for _ in range(tables):
            self._add_table()
        self._add_circle()

    # As models

    def metadata(self) -> MetaData:
        metadata = MetaData(naming_convention=CONVENTION if self.named else None)
        for table in self.tables:
            items: list[Any] = [self._column(column) for column in table.columns]
            items.append(PrimaryKeyConstraint(*table.key))
            items += [UniqueConstraint(*rule.columns, name=rule.name) for rule in table.uniques]
            items += [CheckConstraint(self._said(rule), name=rule.name) for rule in table.checks]
            for rule in table.references:
                there = [f"{rule.parent}.{name}" for name in rule.parent_columns]
                items.append(ForeignKeyConstraint(rule.columns, there, name=rule.name, **rule.options))
            made = Table(table.name, metadata, *items, **table.options)
            for rule in table.indexes:
                keys = [self._said(rule)] if rule.says else rule.columns
                where = None if rule.where is None else text(rule.where[1].format(c=self._quoted(rule.where[0])))
                options = {f"{self.dialect}_where": where} if where is not None else {}
                Index(rule.name, *keys, unique=rule.options.get("unique", False), _table=made, **options)
        return metadata

    def _column(self, column: Col) -> Column[Any]:
        items: list[Any] = []
        if column.computed:
            base, says, persisted = column.computed
            items.append(Computed(says.format(c=self._quoted(base)), persisted=persisted))
        if column.kind == "enum":
            kind: TypeEngine[Any] = Enum(
                *column.labels, name=f"enum_{column.name}", create_constraint=column.checked, native_enum=False
            )
            if column.labels == ["red", "green"]:
                kind = Enum(Color, native_enum=False, name=f"enum_{column.name}", create_constraint=column.checked)
            default = column.labels[0] if column.default is not None else None
        else:
            make, defaults = TYPES[column.kind]
            kind = make()
            default = defaults[column.default % len(defaults)]() if column.default is not None and defaults else None
        return Column(column.name, kind, *items, nullable=column.nullable, server_default=default)

    def _said(self, rule: Rule) -> Any:
        # A colon before a word would be a parameter.
        return text(rule.says.format(c=self._quoted(rule.columns[0])).replace(":x", r"\:x"))

    def _quoted(self, name: str) -> str:
        """A name in an expression, with quotes where the database would read it in small letters."""
        mark = "`" if self.dialect == "mysql" else '"'
        return f"{mark}{name}{mark}" if name != name.lower() else name

    # Made

    def _name(self, word: str) -> str:
        self.number += 1
        words = ("Order", "user", "select") if self.random.random() < 0.05 else ("alpha", "beta", "gamma", "delta")
        return f"{word}_{self.random.choice(words)}_{self.number}"

    def _add_table(self) -> Tab:
        table = Tab(self._name("t"), [], [])
        style = self.random.choice(("plain", "plain", "plain", "composite", "word", "strict", "counted"))
        if self.dialect != "sqlite" and style in ("strict", "counted"):
            style = "plain"
        if style == "composite":
            table.columns = [Col(self._name("k"), "integer", False), Col(self._name("k"), "short", False)]
            if self.random.random() < 0.3 and self.dialect == "sqlite":
                table.options["sqlite_with_rowid"] = False
        elif style == "word":
            table.columns = [Col(self._name("k"), "short", False)]
        else:
            table.columns = [Col(self._name("id"), "integer", False)]
        if style == "counted":
            table.options["sqlite_autoincrement"] = True
        table.key = [column.name for column in table.columns]
        if self.random.random() < 0.2:
            table.key.reverse()
        self.tables.append(table)
        for _ in range(self.random.randint(2, 6)):
            self.add_column(table)
        for change in (self.add_unique, self.add_check, self.add_index, self.add_reference, self.add_computed):
            if self.random.random() < 0.5:
                change(table)
        if style == "strict":
            table.columns = [c for c in table.columns if c.kind in ("integer", "text", "blob") and not c.computed]
            kept = {column.name for column in table.columns}
            for rules in (table.uniques, table.checks, table.references, table.indexes):
                rules[:] = [rule for rule in rules if {*rule.columns, *([rule.where[0]] if rule.where else [])} <= kept]
            table.options["sqlite_strict"] = True
        return table

    def _add_circle(self) -> None:
        """Two tables that refer to each other."""
        one, other = self._add_table(), self._add_table()
        for here, there in ((one, other), (other, one)):
            self._refer(here, there)

    def add_column(self, table: Tab) -> None:
        strict = "sqlite_strict" in table.options
        kind = self.random.choice(("integer", "text", "blob") if strict else (*TYPES, "enum"))
        column = Col(self._name("c"), kind, self.random.random() < 0.6)
        if kind == "enum":
            column.labels = ["red", "green"] if self.random.random() < 0.3 else ["new", "old", "it's"]
            column.checked = self.random.random() < 0.5
        if self.random.random() < 0.5:
            column.default = self.random.randint(0, 5)
        table.columns.insert(self.random.randint(len(table.key), len(table.columns)), column)

    def add_computed(self, table: Tab) -> None:
        base = self._pick(table, NUMBERS)
        if base is None or "sqlite_strict" in table.options:
            return
        stored = self.dialect == "postgresql" or self.random.random() < 0.5
        says = self.random.choice(("{c} * 2", "{c} + 1"))
        table.columns.append(Col(self._name("g"), "integer", True, None, (base.name, says, stored)))

    def add_unique(self, table: Tab) -> None:
        column = self._pick(table, (*NUMBERS, *WORDS), beside=[rule.columns[0] for rule in table.uniques])
        if column is not None:
            second = self._pick(table, (*NUMBERS, *WORDS), beside=[column.name])
            columns = [column.name, second.name] if second is not None and self.random.random() < 0.4 else [column.name]
            name = None if self.random.random() < 0.4 else self._name("uq")
            table.uniques.append(Rule(name, columns))

    def add_check(self, table: Tab) -> None:
        beside = [name for rule in table.checks for name in rule.columns]
        column = self._pick(table, (*NUMBERS, *WORDS), beside=beside)
        if column is not None:
            says = "{c} >= 0 AND {c} <> 50" if column.kind in NUMBERS else "{c} <> '%' AND {c} <> ':x'"
            unnamed = self.random.random() < 0.4 and not self.named
            table.checks.append(Rule(None if unnamed else self._name("ck"), [column.name], says))

    def add_index(self, table: Tab) -> None:
        column = self._pick(table, (*NUMBERS, *WORDS, "day", "moment"))
        if column is None:
            return
        rule = Rule(self._name("ix"), [column.name])
        choice = self.random.random()
        if choice < 0.25 and column.kind in WORDS and self.dialect != "mysql":
            rule.says = "lower({c})"
        elif choice < 0.4:
            rule.says = "{c} DESC"
        elif choice < 0.55 and self.dialect != "mysql":
            rule.where = (column.name, "{c} IS NOT NULL")
        elif choice < 0.7:
            rule.options["unique"] = True
        table.indexes.append(rule)

    def add_reference(self, table: Tab) -> None:
        itself = self.random.random() < 0.2
        self._refer(table, table if itself else self.random.choice(self.tables))

    def _refer(self, table: Tab, parent: Tab) -> None:
        if "sqlite_strict" in (*table.options, *parent.options):
            return
        columns = []
        for name in parent.key:
            columns.append(Col(self._name("r"), parent.column(name).kind, True))
        table.columns += columns
        options: dict[str, Any] = {}
        for word, values in (("ondelete", ("CASCADE", "SET NULL")), ("onupdate", ("CASCADE",))):
            if self.random.random() < 0.3:
                options[word] = self.random.choice(values)
        if self.random.random() < 0.2 and self.dialect != "mysql":
            options |= {"deferrable": True, "initially": "DEFERRED"}
        name = None if self.random.random() < 0.5 else self._name("fk")
        names = [column.name for column in columns]
        table.references.append(Rule(name, names, "", options, parent.name, list(parent.key)))

    def _pick(self, table: Tab, kinds: tuple[str, ...], beside: list[str] | None = None) -> Col | None:
        referring = [name for rule in table.references for name in rule.columns]
        taken = {*(beside or ()), *table.key, *referring}
        found = [c for c in table.columns if c.kind in kinds and not c.computed and c.name not in taken]
        return self.random.choice(found) if found else None

    # Changed

    def change(self) -> Changed:
        """Change a good part of it, and tell what was renamed."""
        was = Changed()
        for _ in range(self.random.randint(8, 16)):
            change = self.random.choice(
                (
                    self._rename_table,
                    self._rename_column,
                    self._rename_column,
                    self._drop_table,
                    self._drop_column,
                    self._retype,
                    self._retype,
                    self._change_null,
                    self._change_default,
                    self._change_labels,
                    self._change_computed,
                    self._change_key,
                    self._drop_rule,
                    self._drop_rule,
                    self._change_rule,
                    self._exchange_table,
                )
            )
            change(was)
            grow = self.random.choice(
                (
                    self.add_column,
                    self.add_column,
                    self.add_unique,
                    self.add_check,
                    self.add_index,
                    self.add_reference,
                    self.add_computed,
                )
            )
            grow(self.random.choice(self.tables))
        if self.random.random() < 0.3:
            self._add_circle()
        elif self.random.random() < 0.5:
            self._add_table()
        return was

    def _rename_table(self, was: Changed) -> None:
        table = self.random.choice(self.tables)
        if table.name in was.tables:
            return
        new = self._name("t")
        for other in self.tables:
            for rule in other.references:
                if rule.parent == table.name:
                    rule.parent = new
        was.tables[new] = was.new_tables.pop(table.name, table.name)
        table.name = new

    def _rename_column(self, was: Changed) -> None:
        table = self.random.choice(self.tables)
        column = self.random.choice(table.columns)
        if (id(table), column.name) in was.columns or column.kind == "enum":
            return
        new = self._name("n")
        for rule in table.rules:
            rule.columns = [new if name == column.name else name for name in rule.columns]
            if rule.where and rule.where[0] == column.name:
                rule.where = (new, rule.where[1])
        for other in self.tables:
            for rule in other.references:
                if rule.parent == table.name:
                    rule.parent_columns = [new if name == column.name else name for name in rule.parent_columns]
        for one in table.columns:
            if one.computed and one.computed[0] == column.name:
                one.computed = (new, *one.computed[1:])
        table.key = [new if name == column.name else name for name in table.key]
        was.columns[id(table), new] = column.name
        column.name = new

    def _drop_table(self, _was: Changed) -> None:
        table = self.random.choice(self.tables)
        if len(self.tables) > 20:
            self._forget(table)

    def _forget(self, table: Tab) -> None:
        self.tables.remove(table)
        for other in self.tables:
            gone = [rule for rule in other.references if rule.parent == table.name]
            other.references = [rule for rule in other.references if rule not in gone]

    def _exchange_table(self, _was: Changed) -> None:
        """One goes, and another like it comes, which is no new name of it."""
        table = self.random.choice(self.tables)
        other = copy.deepcopy(table)
        self._forget(table)
        other.name, other.references = self._name("t"), []
        for rule in [*other.uniques, *other.checks]:
            rule.name = rule.name and self._name("x")
        self.tables.append(other)

    def _drop_column(self, _was: Changed) -> None:
        table = self.random.choice(self.tables)
        column = self.random.choice(table.columns)
        key = column.name in table.key
        computed = any(one.computed and one.computed[0] == column.name for one in table.columns)
        if key or computed or len(table.columns) < 3 or self._is_referred(table, column.name):
            return
        table.columns.remove(column)
        for rules in (table.uniques, table.checks, table.references, table.indexes):
            rules[:] = [
                rule for rule in rules if column.name not in [*rule.columns, *([rule.where[0]] if rule.where else [])]
            ]

    def _is_referred(self, table: Tab, name: str) -> bool:
        references = (rule for other in self.tables for rule in other.references if rule.parent == table.name)
        return any(name in rule.parent_columns for rule in references)

    def _free_column(self) -> tuple[Tab, Col]:
        """One that no key and no foreign key is over."""
        while True:
            table = self.random.choice(self.tables)
            column = self.random.choice(table.columns)
            held = [name for rule in table.references for name in rule.columns]
            if column.name not in (*table.key, *held) and not column.computed:
                return table, column

    def _retype(self, _was: Changed) -> None:
        table, column = self._free_column()
        if "sqlite_strict" in table.options:
            return
        if column.kind in CHANGES:
            column.kind = CHANGES[column.kind]
        elif not table.is_used(column.name) and column.kind not in ("enum", "blob"):
            column.kind, column.default = self.random.choice(("text", "long")), None

    def _change_null(self, _was: Changed) -> None:
        column = self._free_column()[1]
        column.nullable = not column.nullable

    def _change_default(self, _was: Changed) -> None:
        column = self._free_column()[1]
        column.default = (
            None if column.default is not None and self.random.random() < 0.5 else self.random.randint(0, 9)
        )

    def _change_labels(self, _was: Changed) -> None:
        for table in self.tables:
            for column in table.columns:
                if column.kind == "enum" and self.random.random() < 0.2:
                    column.labels = [*column.labels, f"more_{len(column.labels)}"]

    def _change_computed(self, _was: Changed) -> None:
        for table in self.tables:
            for column in table.columns:
                if column.computed and self.random.random() < 0.1:
                    base, _, stored = column.computed
                    column.computed = (base, self.random.choice(("{c} * 3", "{c} - 1")), stored)
                    return

    def _change_key(self, _was: Changed) -> None:
        table = self.random.choice(self.tables)
        referred = any(rule.parent == table.name for other in self.tables for rule in other.references)
        if referred or table.options:
            return
        if len(table.key) == 2:
            table.key.reverse()
            return
        column = self._pick(table, (*NUMBERS, "short"))
        if column is not None:
            column.nullable = False
            table.key.append(column.name)
            table.column(table.key[0]).nullable = False

    def _drop_rule(self, _was: Changed) -> None:
        table = self.random.choice(self.tables)
        rules = self.random.choice((table.uniques, table.checks, table.references, table.indexes))
        if rules:
            rules.pop()

    def _change_rule(self, _was: Changed) -> None:
        table = self.random.choice(self.tables)
        for rule in table.checks:
            if table.column(rule.columns[0]).kind in NUMBERS:
                rule.says = "{c} BETWEEN 0 AND 1000"
        for rule in table.references:
            rule.options["ondelete"] = "CASCADE" if rule.options.get("ondelete") is None else None
        for rule in table.indexes:
            rule.options["unique"] = not rule.options.get("unique")

    def names(self, was: Changed) -> Iterator[tuple[str, str]]:
        """What was renamed: the old name, a column's with the name that its table has now, and the new one."""
        for new, old in was.tables.items():
            if any(table.name == new for table in self.tables):
                yield old, new
        for table in self.tables:
            for column in table.columns:
                if (old := was.columns.get((id(table), column.name))) is not None:
                    yield f"{table.name}.{old}", column.name


@dataclass
class Changed:
    """What was renamed, by what it is called now."""

    tables: dict[str, str] = field(default_factory=dict)
    columns: dict[tuple[int, str], str] = field(default_factory=dict)
    new_tables: dict[str, str] = field(default_factory=dict)
