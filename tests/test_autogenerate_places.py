"""What is written from models where the database matters: it is run there, back and there again, with rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from conftest import Folder
from places import Place
from sqlalchemy import Boolean, Column, Enum, Integer, MetaData, Table, inspect

from sqlmig import Migrator, NewMigration
from sqlmig.drift.check import read_shape
from sqlmig.drift.compare import compare
from sqlmig.drift.report import finding

Models = Callable[[MetaData], object]


def models(make: Models) -> MetaData:
    metadata = MetaData()
    make(metadata)
    return metadata


class App:
    """An application whose database has followed its first models."""

    def __init__(self, place: Place, folder: Folder, first: Models | MetaData, *rows: str) -> None:
        self.place, self.folder, self.migrator = place, folder, place.migrator(folder)
        self.follow(first)
        place.run(*rows)

    def follow(self, wanted: Models | MetaData, **options: Any) -> NewMigration:
        """Write the next migration, and apply it."""
        metadata = wanted if isinstance(wanted, MetaData) else models(wanted)
        made = self.migrator.create_migration("next", metadata, **options)
        assert made.clean is True, str(made)
        self.migrator.migrate()
        assert self.migrator.check(metadata), str(self.migrator.check(metadata))
        return made

    def go_there_and_back(self, wanted: Models | MetaData, kept: str, **options: Any) -> NewMigration:
        """Follow the models, go back, and follow again: what *kept* asks for is there each time."""
        before, rows = read_shape(self.migrator), self.place.rows(kept)
        made = self.follow(wanted, **options)
        self.migrator.rollback_to_version(made.version - 1)
        left = compare(before, read_shape(self.migrator))
        assert [str(finding(one, "before", "after")) for one in left] == [], made.source
        assert self.place.rows(kept) == rows
        self.migrator.migrate()
        return made


# CHECKs that types make


NO_CONVENTION: dict[str, str] = {}
CONVENTION = {"ck": "ck_%(table_name)s_%(constraint_name)s"}


def flags(convention: dict[str, str], *names: str, others: Sequence[str] = ()) -> MetaData:
    metadata = MetaData(naming_convention=convention)
    kinds: dict[str, Any] = {
        "named": Boolean(create_constraint=True, name="named_flag"),
        # A convention takes none without a name.
        "nameless": Boolean(create_constraint=True, name="nameless" if convention else None),
        "state": Enum("new", "it's", create_constraint=True, native_enum=False, name="state"),
    }
    columns = [Column(name, kinds[name]) for name in names]
    Table("items", metadata, Column("id", Integer, primary_key=True), *columns)
    for table in others:
        Table(table, metadata, *(Column(name, kinds[name], primary_key=name == "state") for name in kinds))
    return metadata


@pytest.mark.parametrize("convention", [NO_CONVENTION, CONVENTION], ids=["", "convention"])
def test_checks_of_types_written_on_sqlite_are_taken_everywhere(
    place: Place, folder: Folder, tmp_path: Path, convention: dict[str, str]
) -> None:
    author = Migrator(tmp_path / "author.db", folder.path)
    wanted = [
        flags(convention),
        flags(convention, "named", "nameless", "state", others=["more"]),
        # What goes is made again by down(), of what SQLite has stored.
        flags(convention, "state"),
    ]
    for metadata in wanted:
        assert author.create_migration("next", metadata).clean is True
    migrator = place.migrator(folder)
    migrator.migrate()
    assert migrator.check(wanted[-1]), str(migrator.check(wanted[-1]))
    migrator.rollback_to_version(2)
    found = {check["name"] for check in inspect(place.look).get_check_constraints("items")}
    # PostgreSQL has a boolean of its own.
    assert len(found) == (1 if place.database == "postgresql" else 3), found
    migrator.rollback_to_version(0)
