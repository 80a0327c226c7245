"""The models of an application: a MetaData, found by name, and made into tables of a scratch database."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import os
import re
import sys
import traceback
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from sqlalchemy import MetaData
from sqlalchemy.exc import CompileError, SQLAlchemyError

from ..errors import ConfigurationError

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

__all__ = ["Models", "as_metadata", "create_models", "load_models"]

Models: TypeAlias = "MetaData | Sequence[MetaData]"


def load_models(where: str) -> MetaData:
    """
    The MetaData that `"app.models:Base"` names: itself, or what has it as `.metadata`.

    Without a colon it is the module's only MetaData or declarative base. The working directory is looked in first, as
    Python does for `python -m`.

    Raises:
        ConfigurationError: The module cannot be imported, or has no such thing.
    """
    module_name, _, path = where.partition(":")
    module = _imported(module_name, where)
    if not path:
        return _only_one(module, where)
    found: Any = module
    for part in path.split("."):
        if not hasattr(found, part):
            near = difflib.get_close_matches(part, dir(found), 1)
            raise ConfigurationError(
                f"The models {where!r} are not there: {module_name} has no {path}.\n"
                f"  {getattr(module, '__file__', module_name)} was imported\n"
                + (f"Did you mean {module_name}:{near[0]}?" if near else "Name the declarative base or the MetaData.")
            )
        found = getattr(found, part)
    metadata = _metadata_of(found)
    if metadata is None:
        raise ConfigurationError(
            f"The models {where!r} are no MetaData.\n"
            f"  it is of the type {type(found).__qualname__}, without an attribute metadata that is one\n"
            f"Name the declarative base or the MetaData: {module_name}:Base"
        )
    return metadata


def as_metadata(models: object, *, allow_empty: bool = False) -> list[MetaData]:
    """
    What was passed for models, as a list.

    Raises:
        ConfigurationError: It is none, or has no tables, which most often means that the modules that define them
            were not imported.
    """
    given = list(models) if isinstance(models, Sequence) and not isinstance(models, str) else [models]
    found = [load_models(one) if isinstance(one, str) else _metadata_of(one) for one in given]
    kept = [metadata for metadata in found if metadata is not None]
    if len(kept) < len(found) or not kept:
        raise ConfigurationError(
            f"{models!r} cannot be the models.\n  found {type(models).__qualname__}\n"
            'Pass a MetaData, a declarative base, or where it is: "app.models:Base".'
        )
    if not allow_empty and not any(metadata.tables for metadata in kept):
        raise ConfigurationError(
            "The models have no tables.\n"
            "  MetaData knows of a table only once the module that defines it was imported\n"
            "Import those modules where the models are named, or say that none is meant: allow_empty=True,"
            " --allow-empty."
        )
    # Two modules may be named for what they define, and have one base.
    return list({id(metadata): metadata for metadata in kept}.values())


def create_models(connection: Connection, models: Iterable[MetaData]) -> None:
    """
    Create every table of the models, with all that `create_all` brings along.

    Raises:
        ConfigurationError: This kind of database cannot hold one of them.
    """
    dialect = connection.dialect.name
    for metadata in models:
        try:
            metadata.create_all(connection, checkfirst=False)
        except CompileError as error:
            raise ConfigurationError(
                f"The models have something that {dialect} cannot hold.\n"
                f"  {re.sub('Compiler <.*?> ', '', _first_line(error))}\n"
                f"Give it a type of its own there: Column(..., JSONB().with_variant(JSON(), {dialect!r})),"
                " or compare with the database that they are for: --url."
            ) from error
        except SQLAlchemyError as error:
            statement = " ".join(str(getattr(error, "statement", None) or "").split())
            raise ConfigurationError(
                f"The models cannot be created in an empty {dialect} database.\n"
                f"  {_first_line(getattr(error, 'orig', None) or error)}\n"
                + (f"  by: {statement[:300]}\n" if statement else "")
                + "Mend the models; the database itself was not touched."
            ) from error


def _metadata_of(found: object) -> MetaData | None:
    if isinstance(found, MetaData):
        return found
    try:
        inner = getattr(found, "metadata", None)
    except Exception:
        # A proxy of what is there in a request only, as web frameworks have them.
        return None
    return inner if isinstance(inner, MetaData) else None


def _imported(name: str, where: str) -> Any:
    if not name or not all(part.isidentifier() for part in name.split(".")):
        raise ConfigurationError(
            f'{where!r} names no models.\n  it names a module and what is in it\nWrite it so: "app.models:Base"'
        )
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:
        if isinstance(error, ModuleNotFoundError) and (error.name or "") in _parents(name):
            facts = f"there is no module {error.name}; looked from {here} and along sys.path"
            hint = "Check the spelling, or install the application, and run it from its folder."
            module, dot, attribute = name.rpartition(".")
            if dot and error.name == name and ":" not in where:
                hint = f"If {attribute} is in the module {module}, write it so: {module}:{attribute}"
        else:
            last = traceback.extract_tb(error.__traceback__)[-1]
            place, said = (last.filename, last.lineno), str(error)
            if isinstance(error, SyntaxError) and error.filename:
                place, said = (error.filename, error.lineno), error.msg
            facts = f"{type(error).__name__}: {said} ({place[0]}, line {place[1]})"
            hint = f'Mend it; to see it alone: python -c "import {name}"'
        raise ConfigurationError(f"The models {where!r} cannot be imported.\n  {facts}\n{hint}") from error


def _parents(name: str) -> set[str]:
    parts = name.split(".")
    return {".".join(parts[: n + 1]) for n in range(len(parts))}


def _only_one(module: Any, where: str) -> MetaData:
    found: dict[int, tuple[str, MetaData]] = {}
    for name, value in vars(module).items():
        metadata = None if name.startswith("_") else _metadata_of(value)
        if metadata is not None:
            found.setdefault(id(metadata), (name, metadata))
    if len(found) != 1:
        said = ", ".join(f"{where}:{name}" for name, _ in found.values()) or "none"
        raise ConfigurationError(
            f"The models {where!r} are not clear: the module has {len(found)} MetaData.\n  found {said}\n"
            f"Say which: {where}:Base"
        )
    return next(iter(found.values()))[1]


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0]
