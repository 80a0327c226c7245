"""
Where the files of a project are, found without Alembic: importing it takes longer than all of a boot at head.

Only what is plain is answered here, a folder or an ini file with the revisions where Alembic puts them. For all the
rest Alembic itself is asked.
"""

from __future__ import annotations

import configparser
import os
from typing import Any, NamedTuple

__all__ = ["Layout", "ini_of", "plain_layout"]

# Options by which the revisions are elsewhere, or are other files.
_ELSEWHERE = ("version_locations", "recursive_version_locations", "sourceless")


class Layout(NamedTuple):
    """Where env.py is, and where the revisions are."""

    env_py: str
    folders: tuple[str, ...]
    recursive: bool = False
    sourceless: bool = False


def plain_layout(location: Any) -> Layout | None:
    """The layout of what an AlembicMigrator was given; None where only Alembic can tell."""
    if not isinstance(location, str | os.PathLike):
        return None
    place = os.path.expanduser(os.fspath(location))
    if os.path.isdir(place):
        scripts: str | None = os.path.abspath(place)
        ini = ini_of(os.path.abspath(place))
        if _says_alembic(os.path.join(os.path.dirname(os.path.abspath(place)), "pyproject.toml")):
            return None
    elif os.path.isfile(place) and not place.endswith(".toml"):
        scripts, ini = None, place
    else:
        return None
    if ini is not None:
        try:
            said = _parsed(ini)
            if any(said.get("alembic", option, fallback="") for option in _ELSEWHERE):
                return None
            scripts = scripts or os.path.abspath(said.get("alembic", "script_location"))
        except (configparser.Error, UnicodeDecodeError, OSError):
            return None
    assert scripts is not None
    versions = os.path.join(scripts, "versions")
    return Layout(os.path.join(scripts, "env.py"), (versions,)) if os.path.isdir(versions) else None


def ini_of(folder: str) -> str | None:
    """The alembic.ini of a folder: in it, or beside it where it names that folder."""
    within, beside = os.path.join(folder, "alembic.ini"), os.path.join(os.path.dirname(folder), "alembic.ini")
    return within if os.path.isfile(within) else beside if os.path.isfile(beside) and _names(beside, folder) else None


def _names(ini: str, folder: str) -> bool:
    home = os.path.dirname(ini)
    try:
        said = _parsed(ini).get("alembic", "script_location")
    except (configparser.Error, UnicodeDecodeError):
        return False
    return any(os.path.realpath(os.path.join(root, said)) == os.path.realpath(folder) for root in (home, os.getcwd()))


def _parsed(ini: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser({"here": os.path.dirname(os.path.abspath(ini)).replace("%", "%%")})
    with open(ini, encoding="utf-8") as stream:
        parser.read_file(stream)
    return parser


def _says_alembic(toml: str) -> bool:
    try:
        with open(toml, "rb") as stream:
            return b"tool.alembic" in stream.read()
    except OSError:
        return False
