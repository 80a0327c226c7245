"""Where the files of a project are, with Alembic and without: a boot at head does not import it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from alembic_environments import SHOP
from alembic_projects import Database, Project, Rev, env
from sqlalchemy import create_engine

from alembic_compat import AlembicMigrator
from alembic_compat.layout import plain_layout
from alembic_compat.project import Project as AlembicsProject

BOOT = """
import sys
from sqlalchemy import create_engine
from alembic_compat import AlembicMigrator

migrator = AlembicMigrator(create_engine(sys.argv[1]), sys.argv[2])
assert not migrator.needs_migration()
assert migrator.migrate().applied == []
print(*sorted(name for name in sys.modules if name.split(".")[0] == "alembic"))
"""


SETTINGS = """
from alembic import context

def run():
    context.configure(connection=context.config.attributes["connection"])
    with context.begin_transaction():
        context.run_migrations()
"""


@pytest.mark.parametrize(
    ("text", "imported"),
    [
        (env(), False),
        (env("version_table='mine'"), False),
        (env("**{'version_table': 'mine'}"), True),
        ("from settings import run\nrun()\n", True),
    ],
)
@pytest.mark.parametrize("place", ["folder", "ini"])
def test_a_boot_at_head_imports_alembic_only_where_it_must(
    text: str, imported: bool, place: str, tmp_path: Path
) -> None:
    project, database = Project(tmp_path, text).add(*SHOP), Database(tmp_path / "app.db")
    (tmp_path / "settings.py").write_text(SETTINGS)
    location = project.folder if place == "folder" else project.ini
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}

    def run(code: str) -> str:
        command = [sys.executable, "-c", code, database.url, str(location)]
        return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout

    run(BOOT.replace("assert not migrator.needs_migration()", "migrator.migrate()"))
    assert len(database.recorded()) == len(SHOP)
    assert bool(run(BOOT).strip()) == imported


INI = "[alembic]\nscript_location = {}\n{}\n"
SITUATIONS: dict[str, tuple[dict[str, str], str]] = {
    "a folder": ({}, "alembic"),
    "beside its ini": ({"alembic.ini": INI.format("%(here)s/alembic", "")}, "alembic"),
    "beside another's ini": ({"alembic.ini": INI.format("other", "version_locations = away")}, "alembic"),
    "beside an ini that is none": ({"alembic.ini": "[alembic\nscript_location"}, "alembic"),
    "with its ini inside": ({"alembic/alembic.ini": "[alembic]\n"}, "alembic"),
    "the ini": ({"alembic.ini": INI.format("%(here)s/alembic", "")}, "alembic.ini"),
    "an ini with a relative place": ({"alembic.ini": INI.format("alembic", "")}, "alembic.ini"),
    "version_locations": (
        {"alembic.ini": INI.format("%(here)s/alembic", "version_locations = %(here)s/alembic/versions"), "v/x": ""},
        "alembic.ini",
    ),
    "recursive": ({"alembic.ini": INI.format("alembic", "recursive_version_locations = true")}, "alembic.ini"),
    "sourceless": ({"alembic.ini": INI.format("alembic", "sourceless = true")}, "alembic"),
    "sourceless in defaults": (
        {"alembic.ini": "[DEFAULT]\nsourceless = true\n" + INI.format("alembic", "")},
        "alembic",
    ),
    "a missing value": ({"alembic.ini": INI.format("%(nothing)s/alembic", "")}, "alembic.ini"),
    "no section": ({"alembic.ini": "[other]\n"}, "alembic.ini"),
    "pyproject.toml": (
        {"pyproject.toml": "[tool.alembic]\nversion_locations = ['%(here)s/elsewhere']\n", "elsewhere/x": ""},
        "alembic",
    ),
    "another's pyproject.toml": ({"pyproject.toml": "[tool.other]\n"}, "alembic"),
    "a percent sign": ({"a%b/alembic/versions/x": "", "a%b/alembic/env.py": ""}, "a%b/alembic"),
    "no versions": ({"empty/env.py": ""}, "empty"),
    "Flask-Migrate": ({"alembic/alembic.ini": "[alembic]\nfile_template = %%(rev)s\n"}, "alembic/alembic.ini"),
    "nothing": ({}, "absent"),
    "a package": ({"pack/__init__.py": "", "pack/alembic/versions/x": ""}, "pack:alembic"),
}


@pytest.mark.parametrize("relative", [True, False])
@pytest.mark.parametrize("case", SITUATIONS)
def test_what_is_plain_is_where_alembic_has_it(
    case: str, relative: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, place = SITUATIONS[case]
    for name, text in {"alembic/env.py": "", "alembic/versions/x": "", **files}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    location: Any = place if relative or ":" in place else str(tmp_path / place)
    found = plain_layout(location)
    if found is not None:
        theirs = AlembicsProject(location, "sqlite://").layout
        assert [os.path.realpath(one) for one in (found.env_py, *found.folders)] == [
            os.path.realpath(one) for one in (theirs.env_py, *theirs.folders)
        ]
        assert found[2:] == theirs[2:]
    answered = ("folder", "beside", "inside", "the ini", "relative", "another", "percent", "an ini that")
    assert (found is not None) == any(word in case for word in answered)


def test_a_new_revision_after_a_boot_without_alembic(tmp_path: Path) -> None:
    project, database = Project(tmp_path, env()).add(*SHOP), Database(tmp_path / "app.db")
    AlembicMigrator(create_engine(database.url), project.folder).migrate()
    migrator = AlembicMigrator(create_engine(database.url), project.folder)
    assert migrator.migrate().applied == []
    project.add(Rev("c0ffee04", down=(SHOP[-1].name,)))
    assert migrator.migrate().applied == [4]
    assert migrator.rollback_to_version("-1").rolled_back == [4]
    assert database.heads() == [SHOP[-1].name]
