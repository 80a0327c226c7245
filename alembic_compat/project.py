"""An Alembic project as it lies on disk: its configuration and its folder."""

from __future__ import annotations

import configparser
import os
import re
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, TypeAlias

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError

from sqlmig import ConfigurationError

from .configured import sets_locations, text_of
from .layout import Layout, ini_of

__all__ = ["HandedContext", "Project", "ScriptLocation", "quietly"]


class HandedContext(EnvironmentContext):
    """An EnvironmentContext that can be inherited from, and is what `alembic.context` stands for all the same."""

    def __init_subclass__(cls) -> None:
        # Alembic keeps what is to be set in its module by the very class.
        setups: Any = EnvironmentContext._setups
        setups[cls] = setups[EnvironmentContext]


ScriptLocation: TypeAlias = "str | os.PathLike[str] | Config"


@contextmanager
def quietly() -> Iterator[None]:
    """Alembic's advice on configurations is for those who write them, not for an application that boots."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


class Project:
    """
    One Alembic project.

    Args:
        location: Alembic's folder, "package:folder", the path of an alembic.ini, or a Config, which is taken as it
            is.
        url: What `sqlalchemy.url` is to be where the Config is ours.
        x_arguments: As `alembic -x`: a mapping, or texts "name=value".
        runs_env: Whether env.py is run.

    Raises:
        ConfigurationError: There is nothing.
    """

    def __init__(
        self,
        location: ScriptLocation,
        url: str,
        x_arguments: Mapping[str, str] | Sequence[str] | None = None,
        *,
        runs_env: bool = True,
    ) -> None:
        self.runs_env = runs_env
        if isinstance(location, Config):
            self.config = location
        elif isinstance(location, str | os.PathLike) and os.fspath(location):
            self.config = _config(os.path.expanduser(os.fspath(location)))
            self.config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
        else:
            raise ConfigurationError(
                f"{location!r} names no Alembic project.\n  found {type(location).__name__}\n"
                "Pass Alembic's folder, the path of its alembic.ini, or a Config."
            )
        if x_arguments is not None:
            given = [f"{k}={v}" for k, v in x_arguments.items()] if isinstance(x_arguments, Mapping) else x_arguments
            options = dict(vars(self.config.cmd_opts)) if self.config.cmd_opts is not None else {}
            self.config.cmd_opts = SimpleNamespace(**{**options, "x": list(given)})  # type: ignore[assignment]
        self.locations: Any = None
        """Where the revisions are, once env.py has said it."""
        self._directory: ScriptDirectory | None = None

    @property
    def directory(self) -> ScriptDirectory:
        """Alembic's own view of the folder."""
        if self._directory is None:
            before = list(sys.path)
            try:
                with quietly():
                    self._directory = ScriptDirectory.from_config(self.config)
                    self._extend_path()
                    if self.locations is not None:
                        self._directory.version_locations = self.locations
                    places = [str(place) for place in self._directory._version_locations]
            except CommandError as error:
                raise self._nothing(str(error)) from error
            except Exception as error:
                raise self._nothing(f"{type(error).__name__}: {error}") from error
            finally:
                # from_config() puts the same entries there again for each caller.
                sys.path[:] = dict.fromkeys([*sys.path, *before])
            if not any(os.path.isdir(place) for place in places) and not self.awaits_locations:
                self._directory = None
                raise self._nothing(f"there is no folder of revisions: {', '.join(places)}")
        return self._directory

    @property
    def layout(self) -> Layout:
        """Where the files are, as Alembic has it."""
        directory = self.directory
        folders = tuple(os.fspath(place) for place in directory._version_locations)
        return Layout(self.env_py, folders, directory.recursive_version_locations, directory.sourceless)

    @property
    def env_py(self) -> str:
        """Where env.py is."""
        return os.path.join(self.directory.dir, "env.py")

    @property
    def url(self) -> str | None:
        """The address that the configuration has; where the project is ours, that of the database."""
        try:
            return self.config.get_main_option("sqlalchemy.url")
        except configparser.Error:
            return None

    @property
    def databases(self) -> str:
        """The names of the databases, where env.py is for several, as that of Alembic's template `multidb` is."""
        return self.config.get_main_option("databases") or ""

    @property
    def awaits_locations(self) -> bool:
        """Whether env.py has to be run before it is known where the revisions are."""
        return self.runs_env and self.locations is None and sets_locations(text_of(self.env_py))

    def _extend_path(self) -> None:
        """`prepend_sys_path = .` means the folder of the ini file, wherever the application was started."""
        home = os.path.dirname(os.path.abspath(self.config.config_file_name or "."))
        for entry in _prepended(self.config):
            place = os.path.normpath(os.path.join(home, entry))
            if place not in sys.path:
                sys.path.insert(0, place)

    def _nothing(self, reason: str) -> ConfigurationError:
        where = self.config.get_main_option("script_location") or self.config.config_file_name
        return ConfigurationError(
            # Alembic goes on with advice on commands of its own.
            f"No Alembic history was found in {where}.\n  {reason.partition('.  ')[0]}\n"
            "Name the folder with env.py and versions, or the alembic.ini."
        )


def _prepended(config: Config) -> Sequence[str]:
    if hasattr(config, "get_prepend_sys_paths_list"):
        return config.get_prepend_sys_paths_list() or []
    # Before Alembic 1.16.
    said = config.get_main_option("prepend_sys_path")
    return [entry for entry in re.split(r"[,: ]+", said or "") if entry]


def _config(place: str) -> Config:
    if os.path.isfile(place):
        config = _config_of(place)
        try:
            said = config.get_alembic_option(_SCRIPTS) if _takes_toml() else config.get_main_option(_SCRIPTS)
        except (configparser.Error, CommandError, ValueError) as error:
            raise ConfigurationError(
                f"{place} is no configuration of Alembic's.\n  {error}\nName the folder with env.py and versions."
            ) from error
        if not said and os.path.isfile(os.path.join(os.path.dirname(os.path.abspath(place)), "env.py")):
            # Flask-Migrate's, which lies in the folder itself.
            config.set_main_option("script_location", os.path.dirname(os.path.abspath(place)).replace("%", "%%"))
        elif not said and not place.endswith(".toml"):
            raise ConfigurationError(
                f"{place} names no script_location.\n  It is no configuration of Alembic's, or an unfinished one\n"
                "Name the folder with env.py and versions."
            )
        return config
    if not os.path.isdir(place):
        config = Config()
        config.set_main_option("script_location", place.replace("%", "%%"))
        return config
    place = os.path.abspath(place)
    ini = ini_of(place)
    toml = os.path.join(os.path.dirname(place), "pyproject.toml")
    config = Config(ini, toml_file=toml) if _takes_toml() and os.path.isfile(toml) else Config(ini) if ini else Config()
    config.set_main_option("script_location", place.replace("%", "%%"))
    return config


def _config_of(file: str) -> Config:
    """With the pyproject.toml beside an ini file, as the command `alembic` reads them; or that alone."""
    if not _takes_toml():
        return Config(file)
    if file.endswith(".toml"):
        return Config(toml_file=file)
    toml = os.path.join(os.path.dirname(os.path.abspath(file)), "pyproject.toml")
    return Config(file, toml_file=toml) if os.path.isfile(toml) else Config(file)


_SCRIPTS = "script_location"


def _takes_toml() -> bool:
    import inspect

    return "toml_file" in inspect.signature(Config.__init__).parameters
