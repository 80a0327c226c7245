"""`[tool.sqlmig]` in pyproject.toml."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

from .errors import ConfigurationError

__all__ = ["OPTIONS", "load_config", "project_folder"]

OPTIONS: dict[str, tuple[type, ...]] = {
    "url": (str,),
    "path": (str, list),
    "out_of_order": (str,),
    "all_or_nothing": (bool,),
    "on_data_loss": (str,),
    "lock_timeout": (int, float),
    "statement_timeout": (int, float),
    "versions_table": (str,),
    "history_table": (str,),
    "schema": (str,),
    "snapshot": (bool, str, dict),
    "models": (str, list),
}

_KINDS = {
    str: "text",
    list: "a list",
    bool: "true or false",
    dict: "a table",
    int: "a number",
    float: "a number",
}


def load_config(start: Path | None = None) -> dict[str, Any]:
    """
    The options of the nearest pyproject.toml that has a `[tool.sqlmig]` table; empty where there is none.

    A relative `path` and a relative SQLite URL are ones from the folder of that file.

    Args:
        start: The folder to begin with, the working directory by default; its parents follow.

    Raises:
        ConfigurationError: The file cannot be read, or an option is unknown or of the wrong type.
    """
    found = _nearest(start or Path.cwd())
    return _checked(*found) if found else {}


def project_folder() -> Path | None:
    """The folder of the file that `load_config()` reads; None where there is none, or none that can be read."""
    try:
        found = _nearest(Path.cwd())
    except (ConfigurationError, OSError):
        return None
    return found[1].parent if found else None


def _nearest(start: Path) -> tuple[dict[str, Any], Path] | None:
    here = start.resolve()
    for folder in (here, *here.parents):
        file = folder / "pyproject.toml"
        if file.is_file():
            found = _table(file)
            if found is not None:
                return found, file
    return None


def _table(file: Path) -> dict[str, Any] | None:
    import tomllib

    try:
        with file.open("rb") as stream:
            tools = tomllib.load(stream).get("tool", {})
    except (ValueError, OSError) as error:
        raise ConfigurationError(f"{file} cannot be read.\n  {error}\nMend it, then try again.") from error
    table = tools.get("sqlmig") if isinstance(tools, dict) else None
    if table is not None and not isinstance(table, dict):
        # Not shown: it may be a list of tables, and one of them have a url.
        raise ConfigurationError(
            f"tool.sqlmig is {'a list' if isinstance(table, list) else 'no table'} ({file})\n"
            "  it must be one table\nBegin it with the line: [tool.sqlmig]"
        )
    return table


def _checked(options: dict[str, Any], file: Path) -> dict[str, Any]:
    for name, value in options.items():
        if name not in OPTIONS:
            near = difflib.get_close_matches(name, OPTIONS, 1)
            raise ConfigurationError(
                f"[tool.sqlmig] has no option {name!r} ({file})\n  there are {', '.join(OPTIONS)}\n"
                + (f"Did you mean {near[0]}?" if near else "Take it out.")
            )
        if not isinstance(value, OPTIONS[name]) or (isinstance(value, bool) and bool not in OPTIONS[name]):
            wanted = " or ".join(dict.fromkeys(_KINDS[kind] for kind in OPTIONS[name]))
            shown = "of another kind" if name == "url" else repr(value)
            raise ConfigurationError(
                f"[tool.sqlmig] {name} is {shown} ({file})\n  it must be {wanted}\nMend it, then try again."
            )
    if "snapshot" in options:
        options = {**options, "snapshot": _snapshot_from(file.parent, options["snapshot"])}
    if "url" in options:
        options = {**options, "url": _sqlite_url_from(file.parent, options["url"])}
    if "path" in options:
        paths = options["path"] if isinstance(options["path"], list) else [options["path"]]
        if not paths or not all(isinstance(path, str) for path in paths):
            raise ConfigurationError(
                f"[tool.sqlmig] path is {paths!r} ({file})\n  it must be text or a list of texts\nMend it."
            )
        resolved = [_from(file.parent, str(path)) for path in paths]
        options = {**options, "path": resolved if len(resolved) > 1 else resolved[0]}
    return options


def _snapshot_from(folder: Path, said: bool | str | dict[str, Any]) -> bool | str | dict[str, Any]:
    """A relative folder of snapshots as one from *folder*."""
    if isinstance(said, str):
        return str(folder / said)
    if isinstance(said, dict) and isinstance(said.get("folder"), str):
        return {**said, "folder": str(folder / said["folder"])}
    return said


def _sqlite_url_from(folder: Path, url: str) -> str:
    """A relative SQLite URL as one from *folder*: the same database, wherever the command is typed."""
    scheme, _, path = url.partition(":///")
    if not scheme.startswith("sqlite") or not path or path.startswith(("/", ":memory:", "file:")):
        return url
    return f"{scheme}:///{folder / path}"


def _from(folder: Path, path: str) -> str:
    """A folder below *folder*; what is none there may be the name of a package."""
    below = folder / path
    return str(below) if below.exists() or "/" in path or "." not in path else path
