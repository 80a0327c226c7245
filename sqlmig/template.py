"""The text of a new migration file."""

from __future__ import annotations

import re
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
    words = re.findall(r"[^\W_]+", description.lower())
    if not words:
        raise ConfigurationError(
            f"{description!r} gives no file name.\n"
            "  The words of the description become the name.\n"
            'Say what it changes: sqlmig new "add language to documents"'
        )
    class_name = "".join(word.capitalize() for word in words)
    if not class_name.isidentifier():
        class_name = f"Migration{class_name}"
    text = _TEMPLATE.format(
        description=" ".join(description.split()).replace("\\", " ").replace('"', "'"),
        class_name=class_name,
        version=version,
    )
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{version:03}_{'_'.join(words)}.py"
    with path.open("x", encoding="utf-8") as file:
        file.write(text)
    return path
