"""
Where migration files are, and which versions their names tell. No migration is opened here.

This and one small read of the database are all that a boot at head does.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias

# Here and in the other modules of a boot at head, errors are imported where they are raised: their classes would
# take a sixth of its time.

__all__ = ["COMING", "NAMES", "PUT_BACK", "MigrationFile", "MigrationPaths", "Sources", "version_in"]

NAMES = "one is called NNN_words.py or NNN_words.sql, with three digits or more"
"""What migrations are called, for what is nearly called so."""

COMING = ".squash-coming"
"""What the new file of a squash is called at its end until the old ones are out of its way."""

PUT_BACK = "Have the old files put back, by the same command or another: sqlmig squash 1 2"

MigrationPaths: TypeAlias = "str | os.PathLike[str] | Sequence[str | os.PathLike[str]]"


class MigrationFile(int):
    """
    A version, as a file `NNN_description.py` or `.sql` has it in its name, and that file.

    Attributes:
        name: Of the file.
        package: The importable package that the folder is, where the caller named it so.
    """

    name: str
    package: str | None
    _folder: str

    def __new__(cls, version: int, folder: str, name: str, package: str | None = None) -> MigrationFile:
        self = super().__new__(cls, version)
        self._folder, self.name, self.package = folder, name, package
        return self

    @property
    def version(self) -> int:
        """The version, plainly."""
        return int(self)

    @property
    def path(self) -> Path:
        """Where the file is."""
        return Path(self.location)

    @property
    def location(self) -> str:
        """The same as text."""
        return os.path.join(self._folder, self.name)

    @property
    def title(self) -> str:
        """The words of its name: `001_initial_schema.py` is "initial schema"."""
        return self.name.rpartition(".")[0].partition("_")[2].replace("_", " ")

    @property
    def in_sql(self) -> bool:
        """Whether it is written in plain SQL."""
        return self.name.endswith(".sql")


class Sources:
    """
    The folders of one history.

    Args:
        paths: A folder, an importable package (`"myapp.migrations"`), or a list of both; left out, what
            `[tool.sqlmig]` in pyproject.toml says, then `migrations/versions`.

    Raises:
        ConfigurationError: One of them is neither; nothing is created.
    """

    def __init__(self, paths: MigrationPaths | None = None) -> None:
        if paths is None:
            from .config import load_config

            paths = load_config().get("path") or "migrations/versions"
        if isinstance(paths, str | os.PathLike):
            paths = [paths]
        if not isinstance(paths, Sequence) or not all(isinstance(p, str | os.PathLike) for p in paths) or not paths:
            raise _no_paths(paths)
        self._given = [os.fspath(path) for path in paths]
        # An application may change its working directory before it migrates.
        self._home = os.getcwd()
        self._folders: list[tuple[str, str | None]] | None = None
        self._listed: list[list[str]] = []
        self._numbered: list[_Numbered] = []
        self._migrations: list[Mapping[str, int]] = []
        self._files: tuple[MigrationFile, ...] | None = None
        self._versions: tuple[int, ...] = ()

    @property
    def folders(self) -> list[Path]:
        """The folders, whether or not they exist; the first takes new migrations."""
        return [Path(folder) for folder, _ in self._resolved()]

    def versions(self) -> tuple[int, ...]:
        """The versions that there are files for, in order, each as often as it occurs."""
        self._scan()
        return self._versions

    def files(self) -> tuple[MigrationFile, ...]:
        """The files, in the order of their versions."""
        self._scan()
        if self._files is None:
            found = [
                MigrationFile(version, folder, name, package)
                for (folder, package), names in zip(self._resolved(), self._migrations, strict=True)
                for name, version in names.items()
            ]
            self._files = tuple(sorted(found, key=lambda file: (int(file), file.location)))
        return self._files

    def require_files(self) -> None:
        """
        Refuse to work without migrations.

        Raises:
            ConfigurationError: There is no folder, or none in it.
        """
        if not self.versions():
            from .errors import FIRST_MIGRATION, ConfigurationError

            for name in self.half_squashed():
                raise ConfigurationError(
                    f"There is no migration in {self.folders[0]}, because a squash was killed.\n"
                    f"  {name} was to come, and the old files are called otherwise\n{PUT_BACK}"
                )
            raise ConfigurationError(
                f"There is no migration in {self.folders[0]}\n"
                "  A migration is a file NNN_description.py or .sql, with three digits or more.\n"
                f"{self._called_otherwise()}{FIRST_MIGRATION}"
            )

    def _called_otherwise(self) -> str:
        """The fact that files are there and none has the name of a migration; empty where there is no file either."""
        names = sorted(
            name for listed in self._listed for name in listed if name.endswith((".py", ".sql")) and name[0] != "_"
        )
        if not names:
            return ""
        told = f"{', '.join(names[:3])}{' and others' if names[3:] else ''}"
        return f"  Called otherwise, and passed over: {told}\n"

    def suspicious(self) -> list[Path]:
        """Files that look like migrations and are none, by a slip in their names."""
        self._scan()
        return [
            Path(folder, name)
            for (folder, _), names in zip(self._resolved(), self._listed, strict=True)
            for name in sorted(names)
            if name.lower().endswith((".py", ".sql")) and name[0].isdigit() and version_in(name) is None
        ]

    def half_squashed(self) -> list[str]:
        """The files that a squash was killed before it had put into their place; the old ones lie beside."""
        self._scan()
        return sorted(name for names in self._listed for name in names if name.endswith(COMING))

    def _scan(self) -> None:
        """Look at the folders again; names are taken apart only when a listing has changed."""
        folders = [folder for folder, _ in self._resolved()]
        listed = [_listing(folder) for folder in folders]
        if listed != self._listed:
            self._listed, self._numbered = listed, [_Numbered.among(names) for names in listed]
        migrations = [_migrations(*found) for found in zip(folders, self._numbered, strict=True)]
        if migrations != self._migrations:
            self._versions = tuple(sorted(version for names in migrations for version in names.values()))
            self._migrations, self._files = migrations, None

    def _resolved(self) -> list[tuple[str, str | None]]:
        if self._folders is None:
            self._folders = [_resolve(path, self._home) for path in self._given]
        return self._folders


def version_in(name: str) -> int | None:
    """The version in `NNN_description.py` or `.sql`, three digits or more; None where a file is called otherwise."""
    digits, _, description = name.partition("_")
    if len(digits) < 3 or not (digits.isascii() and digits.isdigit()):
        return None
    words, _, kind = description.rpartition(".")
    return int(digits) if kind in ("py", "sql") and words and "." not in words else None


class _Numbered(NamedTuple):
    """The files of a folder that are called like migrations, and those in SQL that one in Python may be running."""

    names: Mapping[str, int]
    doubtful: Sequence[str]

    @staticmethod
    def among(names: Iterable[str]) -> _Numbered:
        found = {name: version for name in names if (version := version_in(name)) is not None}
        in_python = {version for name, version in found.items() if name.endswith(".py")}
        return _Numbered(found, [name for name in found if name.endswith(".sql") and found[name] in in_python])


def _migrations(folder: str, numbered: _Numbered) -> Mapping[str, int]:
    """The migrations of a folder with their versions; of its files, only doubtful ones are opened."""
    if not numbered.doubtful:
        return numbered.names
    from .scripts import scripts_among

    scripts = scripts_among(folder, *numbered)
    return {name: version for name, version in numbered.names.items() if name not in scripts}


def _listing(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except (OSError, ValueError) as error:
        raise _unreadable(folder, error) from None


def _unreadable(folder: str, error: OSError | ValueError) -> Exception:
    from .errors import ConfigurationError

    if isinstance(error, FileNotFoundError):
        return ConfigurationError(
            f"There is no migrations folder {folder}\n"
            f"  looked from {os.getcwd()}\n"
            "Check the path, or make the first migration: sqlmig new initial_schema"
        )
    if isinstance(error, NotADirectoryError):
        return ConfigurationError(
            f"{folder} is not a folder.\n"
            "  Migrations are files NNN_description.py or .sql in a folder.\n"
            f"Pass the folder: {os.path.dirname(folder) or '.'}"
        )
    return ConfigurationError(
        f"The migrations folder {folder!r} cannot be read.\n  {error}\nCheck its name and its permissions."
    )


def _no_paths(paths: object) -> Exception:
    from .errors import ConfigurationError

    return ConfigurationError(
        f"{paths!r} names no migrations.\n  found {type(paths).__name__}\n"
        "Pass a folder, the name of a package, or a list of them that is not empty."
    )


def _resolve(path: str, home: str) -> tuple[str, str | None]:
    """A path as it is; the name of a package as its folder, `versions` below it where that holds the files."""
    folder = os.path.normpath(os.path.join(home, path))
    if os.path.exists(folder) or not _is_dotted_name(path):
        return folder, None
    from importlib.util import find_spec

    try:
        spec = find_spec(path)
    except ModuleNotFoundError:
        spec = None
    except Exception as error:
        from .errors import ConfigurationError

        raise ConfigurationError(
            f"The package {path} cannot be imported.\n  {type(error).__name__}: {error}\nMend its __init__.py."
        ) from error
    locations = list(spec.submodule_search_locations or ()) if spec else []
    if spec and spec.origin is None and "." not in path:
        # A folder that some other project has on sys.path, and not a package: its migrations are not the ones meant.
        locations = []
    if not locations:
        if "." in path:
            from .errors import ConfigurationError

            raise ConfigurationError(
                f"{path} is neither a folder nor an importable package.\n"
                f"  looked from {os.getcwd()} and along sys.path\n"
                "Check the spelling, or install the application that has it."
            )
        return folder, None
    nested = os.path.join(locations[0], "versions")
    if os.path.isdir(nested) and not _has_migrations(os.listdir(locations[0])):
        return nested, f"{path}.versions"
    return locations[0], path


def _is_dotted_name(path: str) -> bool:
    return all(part.isidentifier() for part in path.split("."))


def _has_migrations(names: Iterable[str]) -> bool:
    return any(version_in(name) is not None for name in names)
