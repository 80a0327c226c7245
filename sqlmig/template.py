"""The text of a new migration file."""

from __future__ import annotations

import keyword
import re
import unicodedata
from pathlib import Path
from typing import NamedTuple

from .errors import ConfigurationError

__all__ = ["Names", "class_name", "names_of", "write_migration", "write_new"]

_TEMPLATE = '''"""{description}."""

from __future__ import annotations

from sqlmig import BaseMigration


class {class_name}(BaseMigration):
    version = {version}
    description = {description!r}

    def up(self) -> None:
        raise NotImplementedError("write what this migration changes")

    def down(self) -> None:
        raise NotImplementedError("write how it is taken back, or delete this method if it cannot be")
'''


_SQL_TEMPLATE = """\
-- sqlmig: description: {description}

-- sqlmig: up
-- Write what this migration changes, each statement with a semicolon behind it.

-- sqlmig: down
-- Write how it is taken back, or delete this section if it cannot be.
"""


def write_migration(folder: Path, version: int, description: str, *, sql: bool = False) -> Path:
    """
    Write `NNN_description.py`, or `NNN_description.sql`; a file that is there is never overwritten.

    Raises:
        ConfigurationError: The description has no letter to make a name of.
    """
    names = names_of(version, description)
    if sql:
        path = (folder / names.file).with_suffix(".sql")
        return write_new(path, _SQL_TEMPLATE.format(description=" ".join(description.split())))
    text = _TEMPLATE.format(description=names.title, class_name=names.class_name, version=version)
    return write_new(folder / names.file, text)


class Names(NamedTuple):
    """What a description makes of the names in a new migration."""

    file: str
    class_name: str
    title: str


def names_of(version: int, description: str) -> Names:
    """
    The names of a migration in Python.

    Raises:
        ConfigurationError: The description has no letter to make a name of.
    """
    words = _words(description)
    if not words:
        raise ConfigurationError(
            f"{description!r} gives no file name.\n"
            "  The words of the description become the name.\n"
            'Say what it changes: sqlmig new "add language to documents"'
        )
    # File systems take names of 255 bytes, and people shorter ones.
    file = f"{version:03}_{'_'.join(words)[:60].rstrip('_')}.py"
    title = " ".join(description.split()).replace("\\", " ").replace('"', "'")
    return Names(file, class_name(description, version), title)


def write_new(path: Path, text: str) -> Path:
    """
    Write a file that is not there yet.

    Raises:
        ConfigurationError: It is, or cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise ConfigurationError(
            f"The file {path} cannot be written.\n  {error.strerror or error}\nCheck the folder: ls -ld {path.parent}"
        ) from error
    return path


def class_name(description: str, version: int) -> str:
    """The name of the class of a migration: the words of its description, where they make one."""
    name = "".join(word.capitalize() for word in _words(description))
    if name.isidentifier() and not keyword.iskeyword(name):
        return name
    return f"Migration{name}" if f"M{name}".isidentifier() else f"Migration{version}"


def _words(description: str) -> list[str]:
    return re.findall(r"[^\W_]+", unicodedata.normalize("NFKC", description).lower())
