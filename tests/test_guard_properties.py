"""Streams of harmless migrations raise no alarm; one loss among them is found by name and by number."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Column, String, create_engine, event

from sqlmig import BaseMigration, DataLossError

TYPES = ("TEXT", "INTEGER", "REAL", "VARCHAR(20)", "")


@dataclass
class Model:
    """What the database holds, as far as the next step has to know."""

    data: Any
    connection: Any = None
    tables: dict[str, list[str]] = field(default_factory=dict)
    numbers: Any = field(default_factory=itertools.count)

    def fresh(self, prefix: str) -> str:
        return f"{prefix}{next(self.numbers)}"

    def table(self) -> str:
        return str(self.data.draw(st.sampled_from(sorted(self.tables))))

    def column(self, table: str) -> str:
        return str(self.data.draw(st.sampled_from(self.tables[table])))

    def value(self) -> Any:
        return self.data.draw(st.one_of(st.none(), st.integers(-9, 9), st.text("ab 0", max_size=3)))


def create(step: BaseMigration, model: Model) -> None:
    name = model.fresh("t")
    columns = [model.fresh("c") for _ in range(2)]
    types = [model.data.draw(st.sampled_from(TYPES)) for _ in columns]
    parent = model.data.draw(st.sampled_from([None, *sorted(model.tables)]))
    reference = f", parent INTEGER REFERENCES {parent} (id) ON DELETE CASCADE" if parent else ""
    listed = ", ".join(f"{c} {t}" for c, t in zip(columns, types, strict=True))
    step.execute_sql(f"CREATE TABLE {name} (id INTEGER PRIMARY KEY, {listed}{reference})")
    model.tables[name] = columns


def insert(step: BaseMigration, model: Model) -> None:
    table = model.table()
    column = model.column(table)
    words = model.data.draw(st.sampled_from(["INSERT", "INSERT OR IGNORE"]))
    rows = [(model.value(),) for _ in range(model.data.draw(st.integers(1, 3)))]
    step.execute_sql(f"{words} INTO {table} ({column}) VALUES (?)", rows)


def upsert(step: BaseMigration, model: Model) -> None:
    table = model.table()
    column = model.column(table)
    step.execute_sql(
        f"INSERT INTO {table} (id, {column}) VALUES (1, ?) ON CONFLICT (id) DO UPDATE SET {column} = excluded.{column}",
        (model.value(),),
    )


def update(step: BaseMigration, model: Model) -> None:
    table = model.table()
    step.execute_sql(f"UPDATE {table} SET {model.column(table)} = ? WHERE id % 2 = 0", (model.value(),))


def delete(step: BaseMigration, model: Model) -> None:
    table = _leaf(model)
    if table:
        step.execute_sql(f"DELETE FROM {table} WHERE id % 3 = 0")


def _leaf(model: Model) -> str | None:
    """A table that no other refers to."""
    referred = {
        row[0].lower()
        for name in model.tables
        for row in model.connection.exec_driver_sql(f"SELECT \"table\" FROM pragma_foreign_key_list('{name}')")
    }
    leaves = [name for name in sorted(model.tables) if name.lower() not in referred]
    return str(model.data.draw(st.sampled_from(leaves))) if leaves else None


def rename_column(step: BaseMigration, model: Model) -> None:
    table = model.table()
    old, new = model.column(table), model.fresh("c")
    if model.data.draw(st.booleans()):
        step.execute_sql(f'ALTER TABLE "{table}" RENAME COLUMN {old} TO [{new}]')
    else:
        step.rename_column(table, old, new)
    model.tables[table] = [new if column == old else column for column in model.tables[table]]


def rename_table(step: BaseMigration, model: Model) -> None:
    old, new = model.table(), model.fresh("t")
    if model.data.draw(st.booleans()):
        step.execute_sql(f"alter table {old} rename to {new}")
    else:
        step.rename_table(old, new)
    model.tables[new] = model.tables.pop(old)


def add_column(step: BaseMigration, model: Model) -> None:
    table, name = model.table(), model.fresh("c")
    if model.data.draw(st.booleans()):
        step.execute_sql(f"ALTER TABLE {table} ADD {name} TEXT DEFAULT 'x'")
    else:
        step.add_column(table, Column(name, String(9), server_default="y"))
    model.tables[table].append(name)


def alter(step: BaseMigration, model: Model) -> None:
    table = model.table()
    step.alter_column(table, model.column(table), type_="BLOB")


def rebuild(step: BaseMigration, model: Model) -> None:
    """By hand, columns in another order and one more, of a table that nothing refers to."""
    table = _leaf(model)
    if table is None:
        return
    kept = ["id", *model.data.draw(st.permutations(model.tables[table]))]
    has_parent = step.has_column(table, "parent")
    kept += ["parent"] if has_parent else []
    listed = ", ".join(kept)
    extra = model.fresh("c")
    definition = ", ".join(f"{c} INTEGER PRIMARY KEY" if c == "id" else c for c in kept)
    new, final = model.fresh("new"), table
    if model.data.draw(st.booleans()):
        step.execute_sql(f"ALTER TABLE {table} RENAME TO {new}_old")
        step.execute_sql(f"CREATE TABLE {final} ({definition}, {extra} DEFAULT 7)")
        step.execute_sql(f"INSERT INTO {final} ({listed}) SELECT {listed} FROM {new}_old")
        step.execute_sql(f"DROP TABLE {new}_old")
    else:
        step.execute_sql(f"CREATE TABLE {new} ({definition}, {extra} DEFAULT 7)")
        step.execute_sql(f"INSERT INTO {new} ({listed}) SELECT {listed} FROM {table}")
        step.execute_sql(f"DROP TABLE {table}")
        step.execute_sql(f"ALTER TABLE {new} RENAME TO {final}")
    model.tables[table].append(extra)


def undo(step: BaseMigration, model: Model) -> None:
    """Whatever a savepoint takes back has not happened."""
    table = model.table()
    try:
        with step.db.transaction():
            step.execute_sql(f"INSERT INTO {table} ({model.column(table)}) VALUES (?)", (model.value(),))
            step.execute_sql(f"DELETE FROM {table}")
            step.execute_sql("CREATE TABLE undone (x)")
            raise KeyError(table)
    except KeyError:
        pass


def drop_empty(step: BaseMigration, model: Model) -> None:
    table = _leaf(model)
    if table and len(model.tables) > 1:
        step.execute_sql(f"DELETE FROM {table}")
        step.execute_sql(f"DROP TABLE {table}")
        del model.tables[table]


STEPS = [
    create,
    insert,
    insert,
    upsert,
    update,
    delete,
    rename_column,
    rename_table,
    add_column,
    alter,
    rebuild,
    undo,
    drop_empty,
]


class World:
    """A database in which migrations run one after the other."""

    def __init__(self, folder: str, data: Any, foreign_keys: bool) -> None:
        self.engine = create_engine(f"sqlite:///{Path(folder) / 'app.db'}")
        self.model = Model(data)

        @event.listens_for(self.engine, "connect")
        def enforce(raw: Any, _: object) -> None:
            raw.execute(f"PRAGMA foreign_keys = {int(foreign_keys)}")

    def run(self, *steps: Any) -> None:
        model = self.model

        class Step(BaseMigration):
            version = 1
            description = "generated"

            def up(self) -> None:
                model.connection = self.connection
                for step in steps:
                    step(self, model)

        assert Step(self.engine).run()


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data(), foreign_keys=st.booleans())
def test_harmless_migrations_raise_no_alarm(data: Any, foreign_keys: bool) -> None:
    with TemporaryDirectory() as folder:
        world = World(folder, data, foreign_keys)
        world.run(create, insert)
        for _ in range(data.draw(st.integers(1, 3))):
            world.run(*data.draw(st.lists(st.sampled_from(STEPS), min_size=1, max_size=5)))
        world.engine.dispose()


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data(), foreign_keys=st.booleans(), kind=st.sampled_from(["table", "column", "rows", "nulls"]))
def test_one_loss_among_harmless_steps_is_found(data: Any, foreign_keys: bool, kind: str) -> None:
    rows = data.draw(st.integers(1, 4))

    def plant(step: BaseMigration, _: Model) -> None:
        step.execute_sql("CREATE TABLE planted (id INTEGER PRIMARY KEY, worth TEXT)")
        step.execute_sql("CREATE TABLE fuse (x)")
        step.execute_sql("INSERT INTO planted (worth) VALUES (?)", [("gold",)] * rows)

    def lose(step: BaseMigration, _: Model) -> None:
        if kind == "table":
            step.execute_sql("DROP TABLE planted")
        elif kind == "column":
            step.execute_sql("ALTER TABLE planted DROP COLUMN worth")
        else:
            body = "DELETE FROM planted" if kind == "rows" else "UPDATE planted SET worth = NULL"
            step.execute_sql(f"CREATE TRIGGER spark AFTER INSERT ON fuse BEGIN {body}; END")
            step.execute_sql("INSERT INTO fuse VALUES (1)")

    steps = st.lists(st.sampled_from(STEPS), max_size=3)
    with TemporaryDirectory() as folder:
        world = World(folder, data, foreign_keys)
        world.run(create, insert, plant)
        with pytest.raises(DataLossError) as caught:
            world.run(*data.draw(steps), lose, *data.draw(steps))
        world.engine.dispose()
    (loss,) = caught.value.losses
    assert (loss.kind, loss.table, loss.count) == (kind, "planted", rows)
