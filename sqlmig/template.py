"""The text of a new migration file."""

from __future__ import annotations

import keyword
import re
import unicodedata
from pathlib import Path

from .errors import ConfigurationError

__all__ = ["write_migration"]

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


def write_migration(folder: Path, version: int, description: str) -> Path:
    """
    Write `NNN_description.py`; a file that is there is never overwritten.

    Raises:
        ConfigurationError: The description has no letter to make a name of.
    """
    plain = unicodedata.normalize("NFKC", description).lower()
    words = re.findall(r"[^\W_]+", plain)
    if not words:
        raise ConfigurationError(
            f"{description!r} gives no file name.\n"
            "  The words of the description become the name.\n"
            'Say what it changes: sqlmig new "add language to documents"'
        )
    class_name = "".join(word.capitalize() for word in words)
    if not class_name.isidentifier() or keyword.iskeyword(class_name):
        class_name = f"Migration{class_name}" if f"M{class_name}".isidentifier() else f"Migration{version}"
    text = _TEMPLATE.format(
        description=" ".join(description.split()).replace("\\", " ").replace('"', "'"),
        class_name=class_name,
        version=version,
    )
    # File systems take names of 255 bytes, and people shorter ones.
    path = folder / f"{version:03}_{'_'.join(words)[:60].rstrip('_')}.py"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise ConfigurationError(
            f"The file {path} cannot be written.\n  {error.strerror or error}\nCheck the folder: ls -ld {folder}"
        ) from error
    return path
