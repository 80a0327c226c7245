"""
What sqlmig tells its callers: frozen values, each a Mapping that also answers to attributes.

They are not dataclasses because building those costs a boot at head more than its read of the database does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, SupportsIndex, dataclass_transform, overload

__all__ = [
    "Issue",
    "Loss",
    "MigrationResult",
    "Optimization",
    "Plan",
    "PlanStep",
    "Record",
    "SchemaInfo",
    "SchemaReport",
    "Statistics",
    "Status",
    "TableInfo",
    "Tables",
]


if TYPE_CHECKING:
    _Mapping = Mapping[str, Any]
else:
    # A class that inherits from Mapping takes ten times as long to make, and a boot at head waits for it.
    _Mapping = object


@dataclass_transform(kw_only_default=True, frozen_default=True)
class Record(_Mapping):
    """A frozen value with named fields: `record.field` and `record["field"]`."""

    _fields: ClassVar[tuple[str, ...]] = ()

    if not TYPE_CHECKING:
        keys, values, items, get = Mapping.keys, Mapping.values, Mapping.items, Mapping.get
        __contains__, __eq__ = Mapping.__contains__, Mapping.__eq__

    def __init_subclass__(cls) -> None:
        own = [name for name in cls.__annotations__ if not name.startswith("_")]
        cls._fields = (*cls._fields, *own)

    def __init__(self, **values: Any) -> None:
        for name in self._fields:
            if name in values:
                self.__dict__[name] = values.pop(name)
            elif not hasattr(type(self), name):
                raise TypeError(f"{type(self).__name__} needs a value for {name!r}")
        if values:
            raise TypeError(f"{type(self).__name__} has no field {next(iter(values))!r}")

    def __getitem__(self, key: str) -> Any:
        if key not in self._fields:
            raise KeyError(key)
        return getattr(self, key)

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen")

    def __hash__(self) -> int:
        return hash(repr(self))

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in self._fields)
        return f"{type(self).__name__}({shown})"


Mapping.register(Record)


class Issue(str):
    """
    One reason why the migrations are not fit to run, readable as it is.

    Attributes:
        kind: A word for programs: `import`, `class`, `version`, `duplicate`, `gap`, `dependency`,
            `missing_file`, `edited`, `out_of_order`, `newer`, `interrupted`, `sql`.
        version, path, line: What the issue is about, where it is known.
        hint: The next thing to do.
    """

    kind: str
    version: int | None
    path: Path | None
    line: int | None
    hint: str

    def __new__(
        cls,
        text: str,
        *,
        kind: str,
        version: int | None = None,
        path: Path | None = None,
        line: int | None = None,
        hint: str = "",
    ) -> Issue:
        self = super().__new__(cls, text)
        self.kind, self.version, self.path, self.line, self.hint = kind, version, path, line, hint
        return self


class Loss(Record):
    """
    Data that was there before a migration and is not there after it.

    Attributes:
        kind: `table` (dropped with its rows), `column` (dropped with its values), `rows` (gone from a table from which
            the migration deleted none itself), `nulls` (values that became NULL), `truncated` (values that a type
            cut off), `references` (rows whose parent is gone).
        name: "table" or "table.column", with the schema of an attached database before it.
        count: Of rows or of values.
        version: The migration.
    """

    kind: str
    name: str
    count: int
    version: int = 0

    @property
    def table(self) -> str:
        """The table that it is about."""
        return self.name.rpartition(".")[0] if self.kind in ("column", "nulls", "truncated") else self.name

    def __str__(self) -> str:
        values, rows = _count(self.count, "value"), _count(self.count, "row")
        return {
            "table": f"drop {self.name} ({rows})",
            "column": f"drop {self.name} ({values})",
            "rows": f"delete {rows} of {self.name}",
            "nulls": f"make NULL of {self.name} ({values})",
            "truncated": f"truncate {self.name} ({values})",
            "references": f"leave {rows} of {self.name} without what they refer to",
        }[self.kind]


class MigrationResult(Record):
    """
    What one call did. True when it succeeded; a failure raises instead.

    Attributes:
        losses: The data that went with it: declared by `removes`, made by what was rolled back, or let pass by
            `on_data_loss`.
        warnings: What else is to be known, in words.
        snapshot: The copy of the database that was made before the first migration, or that was restored.
    """

    success: bool
    direction: str
    from_version: int
    to_version: int
    applied: list[int]
    skipped: list[int]
    rolled_back: list[int]
    execution_time_ms: float
    losses: Sequence[Loss] = ()
    warnings: Sequence[str] = ()
    snapshot: Path | None = None

    def __bool__(self) -> bool:
        return self.success

    def __str__(self) -> str:
        if self.direction == "restore" and self.snapshot is not None:
            done = f"Restored {self.snapshot.name}"
        elif self.rolled_back:
            done = f"Rolled back {_count(len(self.rolled_back))}"
        elif self.applied or self.skipped:
            done = f"Applied {_count(len(self.applied))}"
        else:
            return f"Nothing to do: the database is at version {self.to_version}."
        skipped = f", skipped {len(self.skipped)}" if self.skipped else ""
        if not self.success:
            done = f"Failed. Before that: {done[0].lower()}{done[1:]}"
        return f"{done}{skipped}: version {self.from_version} -> {self.to_version} in {self.execution_time_ms:,.1f} ms."


class PlanStep(Record):
    """One migration of a plan."""

    version: int
    description: str
    dependencies: list[int]
    rollback_supported: bool
    removes: Sequence[str] = ()


class Plan(Record):
    """What a call would do, in the order in which it would do it."""

    current_version: int
    target_version: int
    direction: str
    migrations_to_apply: list[PlanStep]
    migrations_to_rollback: list[PlanStep]
    validation_issues: list[Issue]
    estimated_time_ms: float | None

    @property
    def steps(self) -> list[PlanStep]:
        """The migrations of either direction."""
        return self.migrations_to_apply or self.migrations_to_rollback

    def __str__(self) -> str:
        lines = [self._headline()]
        width = max((len(str(step.version)) for step in self.steps), default=3)
        for step in self.steps:
            notes = [f"needs {', '.join(map(str, step.dependencies))}"] if step.dependencies else []
            notes += [] if step.rollback_supported else ["no way back"]
            # What a rollback removes is what its up() had made.
            notes += [f"removes {', '.join(step.removes)}"] if step.removes and self.migrations_to_apply else []
            lines.append(
                f"  {step.version:>0{max(width, 3)}}  {step.description}" + (f"  ({'; '.join(notes)})" if notes else "")
            )
        lines += [f"  issue: {issue}" for issue in self.validation_issues]
        return "\n".join(lines)

    def _headline(self) -> str:
        if not self.steps and self.validation_issues:
            issues = _count(len(self.validation_issues), "issue")
            return f"Nothing can be done from version {self.current_version} on: {issues}."
        if not self.steps:
            return f"Nothing to do: the database is at version {self.current_version}."
        verb = "Apply" if self.migrations_to_apply else "Roll back"
        known = self.estimated_time_ms is not None
        estimate = f", about {self.estimated_time_ms:,.0f} ms" if known else ""
        return f"{verb} {_count(len(self.steps))}: version {self.current_version} -> {self.target_version}{estimate}"


class Status(Record):
    """Where a database stands against its migration files."""

    current_version: int
    target_version: int
    needs_migration: bool
    available_versions: list[int]
    applied_versions: list[int]
    skipped_versions: list[int]
    pending_versions: list[int]
    interrupted_versions: list[int]
    validation_issues: list[Issue]
    removes: Mapping[int, list[str]] = MappingProxyType({})
    """What the pending migrations say that they remove."""
    progress: Mapping[int, Mapping[str, Any]] = {}
    """How far resumable migrations are that have not finished: rows, total and batches, by version."""

    def __str__(self) -> str:
        state = f"{len(self.pending_versions)} pending" if self.pending_versions else "up to date"
        if self.validation_issues:
            state = f"{len(self.pending_versions)} pending, {_count(len(self.validation_issues), 'issue')}"
        return f"Version {self.current_version} of {self.target_version}: {state}."


class TableInfo(Record):
    """One table as it is in the database."""

    name: str
    columns: list[dict[str, Any]]
    indexes: list[dict[str, Any]]
    foreign_keys: list[dict[str, Any]]
    row_count: int


class Tables(list[TableInfo]):
    """Tables in the order of their names, which also answer to a name: `tables["documents"]`."""

    @overload
    def __getitem__(self, key: str | SupportsIndex) -> TableInfo: ...
    @overload
    def __getitem__(self, key: slice) -> list[TableInfo]: ...
    def __getitem__(self, key: str | SupportsIndex | slice) -> TableInfo | list[TableInfo]:
        if not isinstance(key, str):
            return super().__getitem__(key)
        for table in self:
            if table.name == key:
                return table
        raise KeyError(f"no table {key!r}; there are {', '.join(self.keys())}")

    def __contains__(self, key: object) -> bool:
        return key in self.keys() if isinstance(key, str) else super().__contains__(key)

    def keys(self) -> list[str]:
        """The names of the tables."""
        return [table.name for table in self]


class SchemaInfo(Record):
    """Tables with their columns, indexes and row counts, views, and the versions behind them."""

    current_version: int
    target_version: int
    needs_migration: bool
    tables: Tables
    views: list[str]


class SchemaReport(Record):
    """Whether a database is sound, and what is wrong with it; true when nothing is."""

    valid: bool
    current_version: int
    issues: list[Issue]

    def __bool__(self) -> bool:
        return self.valid

    def __str__(self) -> str:
        return "\n".join(self.issues) or "The database is sound."


class Statistics(Record):
    """Sizes, rows and timings of a database and its migrations."""

    database_size_bytes: int
    page_size: int
    page_count: int
    freelist_count: int
    journal_mode: str
    table_rows: dict[str, int]
    total_rows: int
    migration_timings: dict[int, float]
    migration_count: int
    total_migration_time_ms: float
    average_migration_time_ms: float


class Optimization(Record):
    """What was done for the query planner."""

    success: bool
    operations_performed: list[str]


def _count(number: int, what: str = "migration") -> str:
    return f"{number:,} {what}" + ("" if number == 1 else "s")
