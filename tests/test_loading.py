"""What a version file may look like, and what it may import."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import Folder
from sqlalchemy import Engine

from sqlmig import ConfigurationError, Migrator

PROPERTIES = """
{imported}
class Step(BaseMigration):
    @property
    def version(self) -> int:
        return 1
    @property
    def description(self) -> str:
        return "by properties"
    @property
    def dependencies(self) -> list[int]:
        return []
    @property
    def rollback_supported(self) -> bool:
        return True
    def up(self) -> None:
        self.execute_sql("CREATE TABLE t (id INTEGER)")
    def down(self) -> None:
        self.execute_sql("DROP TABLE t")
"""


@pytest.mark.parametrize(
    "imported",
    [
        "from ..base import BaseMigration",
        "from base import BaseMigration",
        "from sqlmig import BaseMigration",
        "try:\n    from ..base import BaseMigration\nexcept ImportError:\n    from base import BaseMigration",
    ],
)
def test_the_original_layout_loads_unchanged(migrator: Migrator, folder: Folder, imported: str) -> None:
    # A leftover of the original system beside the folder is not taken for sqlmig's.
    (folder.path.parent / "base.py").write_text("class BaseMigration: pass\n")
    folder.write("001_step.py", PROPERTIES.format(imported=imported))
    assert migrator.migrate().applied == [1]
    assert migrator.manager.get_migration_plan(0).migrations_to_rollback[0].description == "by properties"
    assert migrator.rollback_to_version(0).rolled_back == [1]


def test_two_folders_may_hold_the_same_names(engine: Engine, tmp_path: Path) -> None:
    for number in (1, 2):
        Folder(tmp_path / f"f{number}").add(1, f'self.execute_sql("CREATE TABLE f{number} (id INTEGER)")')
        Migrator(engine, tmp_path / f"f{number}", versions_table=f"v{number}", history_table=f"h{number}").migrate()
    tables = Migrator(engine, tmp_path / "f1").inspector.get_table_names()
    assert {"f1", "f2"} <= set(tables)


@pytest.mark.parametrize(
    "imported",
    [
        "from ._names import TABLE",
        "from . import _names\nTABLE = _names.TABLE",
        "from _names import TABLE",
        "import _names\nTABLE = _names.TABLE",
    ],
)
def test_files_of_a_folder_import_each_other(migrator: Migrator, folder: Folder, imported: str) -> None:
    folder.write("_names.py", "TABLE = 'from_helper'\n")
    folder.write(
        "001_step.py",
        f"from sqlmig import BaseMigration\n{imported}\nclass Step(BaseMigration):\n    version = 1\n"
        "    def up(self):\n        self.execute_sql(f'CREATE TABLE {TABLE} (id INTEGER)')\n",
    )
    assert migrator.migrate().applied == [1]
    assert migrator.inspector.has_table("from_helper")


def test_pending_files_alone_are_imported(migrator: Migrator, folder: Folder) -> None:
    folder.table(1)
    migrator.migrate()
    path = folder.path / "001_step_1.py"
    path.write_text("# the application has moved on\n" + path.read_text())
    folder.table(2)
    loads = folder.path / "loads"
    path.write_text(path.read_text() + f"\nopen({str(loads)!r}, 'a').write('x')\n")
    migrator.repair()
    assert migrator.migrate().applied == [2]
    assert not loads.exists()


def test_a_folder_of_another_project_is_no_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where that project is installed for development, and this one was started in the wrong directory."""
    Folder(tmp_path / "other" / "migrations_of_all").table(1)
    (tmp_path / "here").mkdir()
    monkeypatch.syspath_prepend(tmp_path / "other")
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(ConfigurationError, match=r"There is no migrations folder .*here.migrations_of_all"):
        Migrator(":memory:", "migrations_of_all").migrate()


def test_an_installed_package_works_from_any_directory(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "site" / "libraryapp"
    Folder(package / "migrations" / "versions").write(
        "001_step.py",
        "from ...names import TABLE\nfrom sqlmig import BaseMigration\nclass Step(BaseMigration):\n    version = 1\n"
        "    def up(self):\n        self.execute_sql(f'CREATE TABLE {TABLE} (id INTEGER)')\n",
    )
    for init in ("__init__.py", "migrations/__init__.py", "migrations/versions/__init__.py"):
        (package / init).touch()
    (package / "names.py").write_text("TABLE = 'from_app'\n")
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.chdir(tmp_path)
    assert Migrator(engine, "libraryapp.migrations").migrate().applied == [1]
    with pytest.raises(ConfigurationError, match="neither a folder nor an importable package"):
        Migrator(engine, "libraryapp.nothing").migrate()


def test_several_folders_make_one_history(engine: Engine, tmp_path: Path) -> None:
    Folder(tmp_path / "a").table(1)
    Folder(tmp_path / "b").table(2)
    assert Migrator(engine, [tmp_path / "a", tmp_path / "b"]).migrate().applied == [1, 2]


def test_a_file_rewritten_within_the_same_second_is_read_anew(migrator: Migrator, folder: Folder) -> None:
    folder.add(1, "raise ValueError('aaaa')")
    with pytest.raises(Exception, match="aaaa"):
        migrator.migrate()
    folder.add(1, "raise ValueError('bbbb')")
    with pytest.raises(Exception, match="bbbb"):
        migrator.migrate()


def test_dataclasses_with_text_annotations_work_in_a_migration(migrator: Migrator, folder: Folder) -> None:
    folder.write(
        "001_step.py",
        "from __future__ import annotations\nfrom dataclasses import dataclass\nfrom sqlmig import BaseMigration\n"
        "@dataclass\nclass Thing:\n    name: str\n"
        "class Step(BaseMigration):\n    version = 1\n    def up(self):\n        assert Thing('x').name == 'x'\n",
    )
    assert migrator.migrate().applied == [1]


def test_names_that_are_no_migrations_are_left_alone(migrator: Migrator, folder: Folder) -> None:
    folder.table(1)
    folder.write("_helper.py", "raise RuntimeError")
    folder.write("notes.txt", "")
    folder.write("12_too_short.py", "raise RuntimeError")
    folder.write("__init__.py", "")
    assert migrator.manager.get_available_versions() == [1]
    assert list(migrator.manager.discover_migrations()) == [1]
    assert migrator.migrate().applied == [1]
    assert [path.name for path in migrator.manager.sources.suspicious()] == ["12_too_short.py"]


def test_versions_of_more_than_three_digits(migrator: Migrator, folder: Folder) -> None:
    folder.table(1)
    path = folder.table(2)
    path.rename(folder.path / "0002_step.py")
    assert migrator.migrate().applied == [1, 2]


def test_create_migration_writes_the_next_version(engine: Engine, tmp_path: Path) -> None:
    manager = Migrator(engine, tmp_path / "new").manager
    first, second = manager.create_migration("Add people"), manager.create_migration("2 more: things!")
    assert [first.name, second.name] == ["001_add_people.py", "002_2_more_things.py"]
    assert manager.validate_migration_sequence() == []
    with pytest.raises(ConfigurationError, match="gives no file name"):
        manager.create_migration("!?")
