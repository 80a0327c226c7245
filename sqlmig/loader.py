"""
A migration file brought to life: read once, and what was read is both what is hashed and what is run.

Of a file in plain SQL a class is made that runs its sections (`sql_files.py`, `sql_migration.py`).

Python's own import is not used for the file itself: its cache in `__pycache__` goes by seconds and sizes, and a
migration runs once.
"""

from __future__ import annotations

import ast
import builtins
import dis
import hashlib
import inspect
import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from functools import cache, cached_property
from types import ModuleType
from typing import TYPE_CHECKING, Any

from . import base
from .base import BaseMigration
from .checksum import syntax_checksum, text_hash
from .connection import DatabaseConnection
from .errors import shorten
from .results import Issue, PlanStep
from .sql_files import SqlFileError, read_sql_file
from .sql_migration import migration_class
from .squashed import Recorded, Squashes, understood
from .version_tracker import AppliedVersion

if TYPE_CHECKING:
    from .sources import MigrationFile
    from .sql_files import SqlFile

__all__ = ["DIALECTS", "Checksums", "LoadedMigration", "SqlChecksums", "Unloadable", "is_no_way_back", "load"]

DIALECTS = ("sqlite", "postgresql", "mysql")
"""Those by which an SQL file is read in different ways."""


class Unloadable(Exception):
    """The file holds no migration that can be run; `issue` says why."""

    def __init__(self, issue: Issue) -> None:
        self.issue = issue
        super().__init__(str(issue))


class Checksums:
    """Two hashes of a file: of its text, quick to take, and of its syntax, which formatting does not change."""

    def __init__(self, source: bytes, tree: ast.Module | None = None) -> None:
        self._source = source
        self.text = text_hash(source)
        if tree is not None:
            # Now, so that the trees of a thousand files are not kept together.
            self.syntax = self._hash(tree)

    @staticmethod
    def of(file: MigrationFile, dialect: str) -> Checksums:
        """The hashes of a file that is not to be run; an SQL file is read as the database of *dialect* reads it."""
        with open(file.location, "rb") as stream:
            source = stream.read()
        return SqlChecksums(source, dialect) if file.in_sql else Checksums(source)

    @cached_property
    def syntax(self) -> str:
        """The hash of the syntax tree."""
        return self._hash(ast.parse(self._source))

    def _hash(self, tree: ast.Module) -> str:
        try:
            return syntax_checksum(tree)
        except RecursionError:
            # Too deep a file to walk through: any change of its text is an edit.
            return f"text:{self.text}"


class SqlChecksums(Checksums):
    """The same of a file in plain SQL, of which comments and white space are no part."""

    def __init__(self, source: bytes, dialect: str, read: SqlFile | None = None) -> None:
        super().__init__(source)
        self._dialect = dialect
        if read is not None:
            self.syntax = read.checksum

    @cached_property
    def syntax(self) -> str:
        """The hash of its directives and statements."""
        return read_sql_file(self._source, self._dialect).checksum


class LoadedMigration:
    """A migration class and what it says of itself."""

    def __init__(self, file: MigrationFile, cls: type[BaseMigration], checksums: Checksums) -> None:
        self.file, self.cls, self.checksums = file, cls, checksums
        self.version = file.version
        self.description = file.title
        self.dependencies: list[int] = []
        self.rollback_supported = False
        self.transactional = True
        self.resumable = False
        self.removes: list[str] = []
        self.replaces: dict[int, tuple[Recorded, ...]] = {}
        self.revision: str | None = None
        self.version_table = "alembic_version"
        self.depends_line: int | None = None
        self._in_sql = cls._in_sql

    @property
    def depends_at(self) -> str:
        """Its file, with the line that says what it depends on where that is known."""
        return self.file.name if self.depends_line is None else f"{self.file.name}:{self.depends_line}"

    def create(self, database: DatabaseConnection) -> BaseMigration:
        """The migration, on a connection."""
        return self.cls(database)

    def step(self) -> PlanStep:
        """As it stands in a plan."""
        return PlanStep(
            version=self.version,
            description=self.description,
            dependencies=self.dependencies,
            rollback_supported=self.rollback_supported,
            removes=self.removes,
        )

    def row(self, sql_files: Mapping[str, str] | None = None) -> dict[str, Any]:
        """As it stands in the versions table, with the hashes of the SQL files that it has run."""
        metadata: dict[str, Any] = {"file": self.file.name, "text_hash": self.checksums.text}
        if sql_files:
            metadata["sql_files"] = dict(sql_files)
        return {
            "version": self.version,
            "description": self.description,
            "rollback_supported": self.rollback_supported,
            "checksum": self.checksums.syntax,
            "metadata": metadata,
        }

    def applied(self) -> AppliedVersion:
        """The same as a row that was read, as far as planning looks at one."""
        return AppliedVersion(**{**self.row(), "state": "applied", "applied_at": None, "execution_time_ms": None})

    def __repr__(self) -> str:
        return f"<migration {self.version}: {self.description}>"


def load(file: MigrationFile, database: DatabaseConnection) -> LoadedMigration:
    """
    Import a migration file under a module name of its own, or read one in plain SQL.

    Raises:
        Unloadable: It does not import, or what is in it is no migration.
    """
    loaded = _read(file, database.engine.dialect.name) if file.in_sql else _import(file)
    _describe(loaded, database)
    return loaded


def _read(file: MigrationFile, dialect: str) -> LoadedMigration:
    try:
        with open(file.location, "rb") as stream:
            source = stream.read()
        read = read_sql_file(source, dialect)
    except SqlFileError as error:
        raise Unloadable(_issue(file, error.reason, "sql", error.line)) from error
    except OSError as error:
        raise Unloadable(_issue(file, f"cannot be read: {error}", "import")) from error
    loaded = LoadedMigration(file, migration_class(file, read), SqlChecksums(source, dialect, read))
    loaded.depends_line = read.depends_line
    return loaded


def _import(file: MigrationFile) -> LoadedMigration:
    try:
        path = file.location
        with open(path, "rb") as stream:
            source = stream.read()
        tree = ast.parse(source, path)
        module = _module(file)
        exec(compile(tree, path, "exec", dont_inherit=True), module.__dict__)
        checksums = Checksums(source, tree)
    except (Exception, SystemExit) as error:
        raise Unloadable(_import_issue(file, error)) from error
    return LoadedMigration(file, _only_class(file, module), checksums)


def _only_class(file: MigrationFile, module: ModuleType) -> type[BaseMigration]:
    found = [
        value
        for name, value in vars(module).items()
        if isinstance(value, type)
        and issubclass(value, BaseMigration)
        and value.__module__ == module.__name__
        and not name.startswith("_")
    ]
    classes = list(dict.fromkeys(found))
    if len(classes) == 1:
        return classes[0]
    if not classes:
        reason = "has no class that inherits from BaseMigration"
    else:
        names = ", ".join(c.__name__ for c in classes)
        reason = f"has {len(classes)} migration classes ({names}); one is wanted, and a base of it begins with _"
    raise Unloadable(_issue(file, reason, "class"))


def is_no_way_back(down: object) -> bool:
    """Whether a `down` is missing, or does nothing but raise NotImplementedError, by its bytecode."""
    code = getattr(down, "__code__", None)
    if code is None:
        return down is None
    raises = any(instruction.opname == "RAISE_VARARGS" for instruction in dis.get_instructions(code))
    return raises and set(code.co_names) <= {"NotImplementedError", "type", "__name__"} and not code.co_cellvars


def _describe(loaded: LoadedMigration, database: DatabaseConnection) -> None:
    """Ask the migration for its own account of itself, and check that it is one."""
    file, cls = loaded.file, loaded.cls
    try:
        migration = cls(database)
        version, description = migration.version, migration.description
        dependencies, transactional = migration.dependencies, migration.transactional
        resumable, throttle = migration.resumable, migration.throttle
        rollback_supported, removes = migration.rollback_supported, migration.removes
        revision, version_table, replaces = migration.revision, migration.version_table, migration.replaces
    except Exception as error:
        raise Unloadable(_import_issue(file, error)) from error
    if not isinstance(getattr(migration, "db", None), DatabaseConnection):
        raise Unloadable(_issue(file, f"{cls.__name__}.__init__ does not call super().__init__(database)", "class"))
    if cls.up is BaseMigration.up:
        raise Unloadable(_issue(file, f"{cls.__name__} has no up()", "class"))
    for name in ("up", "down"):
        _check_method(file, cls, name)
    own = cls.__mro__[: cls.__mro__.index(BaseMigration)]
    _check_version(file, version, any("version" in vars(one) for one in own))
    if not isinstance(description, str):
        raise Unloadable(_issue(file, f"description is {description!r}, not a text", "class"))
    if not _are_versions(dependencies):
        raise Unloadable(_issue(file, f"dependencies are {dependencies!r}, not a list of versions", "dependency"))
    if not _are_names(removes):
        raise Unloadable(_issue(file, f'removes is {removes!r}, not a list like ["table", "table.column"]', "class"))
    flags = {"rollback_supported": rollback_supported, "transactional": transactional, "resumable": resumable}
    for name, value in flags.items():
        if not isinstance(value, bool):
            what = "a method; write @property above it" if callable(value) else repr(value)
            raise Unloadable(_issue(file, f"{name} is {what}, not True or False", "class"))
    if resumable and not transactional:
        raise Unloadable(_issue(file, "is resumable and not transactional; each batch is a transaction", "class"))
    if isinstance(throttle, bool) or not isinstance(throttle, int | float) or not 0 <= throttle < float("inf"):
        raise Unloadable(_issue(file, f"throttle is {throttle!r}, not a number of seconds, 0 or more", "class"))
    loaded.replaces = _replaced(file, replaces)
    loaded.resumable = resumable
    loaded.description = " ".join(description.split()) or file.title
    loaded.dependencies = list(dependencies)
    loaded.rollback_supported = rollback_supported and not is_no_way_back(cls.down)
    loaded.transactional = transactional
    loaded.removes = [removes] if isinstance(removes, str) else list(removes)
    # An attribute of that name in an older migration means nothing to us.
    loaded.revision = revision if isinstance(revision, str) else None
    loaded.version_table = version_table if isinstance(version_table, str) else "alembic_version"


_RUNS_LATER = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR


def _check_method(file: MigrationFile, cls: type[BaseMigration], name: str) -> None:
    method = getattr(cls, name)
    if not callable(method):
        raise Unloadable(_issue(file, f"{name} is {method!r}, not a method", "class"))
    if getattr(getattr(method, "__code__", None), "co_flags", 0) & _RUNS_LATER:
        raise Unloadable(_issue(file, f"{name}() is asynchronous or a generator; write a plain method", "class"))


def _check_version(file: MigrationFile, version: object, said: bool) -> None:
    if not said:
        raise Unloadable(_issue(file, f"says no version; add `version = {file.version}`", "version"))
    if isinstance(version, bool) or not isinstance(version, int):
        reason = f"its version is {version!r} ({type(version).__name__}); write the number {file.version}"
    elif version <= 0:
        reason = f"its version is {version}; versions begin with 1"
    elif version != file.version:
        reason = f"its version is {version}, but its file name says {file.version}"
        hint = f"Have the class follow the name: sqlmig renumber {file.name} {file.version}"
        raise Unloadable(_issue(file, reason, "version", hint=hint))
    else:
        return
    raise Unloadable(_issue(file, reason, "version"))


def _replaced(file: MigrationFile, said: object) -> dict[int, tuple[Recorded, ...]]:
    try:
        found = understood(said, file.version)
    except ValueError as error:
        raise Unloadable(_issue(file, str(error), "class")) from error
    squash = Squashes([file]).of(file) if found else None
    if found and (squash is None or squash.replaces != found):
        # It is looked up without running the file.
        raise Unloadable(_issue(file, "replaces is computed; write the numbers and checksums out", "class"))
    return found


def _are_versions(value: object) -> bool:
    return (
        isinstance(value, Sequence | set | frozenset)
        and not isinstance(value, str | bytes)
        and all(isinstance(item, int) and not isinstance(item, bool) for item in value)
    )


def _are_names(value: object) -> bool:
    if isinstance(value, str):
        return bool(value.strip())
    return isinstance(value, Sequence | set | frozenset) and all(isinstance(name, str) and name for name in value)


def _issue(file: MigrationFile, reason: str, kind: str, line: int | None = None, hint: str = "") -> Issue:
    place = f"{file.path.name}:{line}" if line else file.path.name
    return Issue(f"{place}: {reason}", kind=kind, version=file.version, path=file.path, line=line, hint=hint)


def _import_issue(file: MigrationFile, error: BaseException) -> Issue:
    """Where in the file it failed: the syntax error's line, or the last one of the file in the traceback."""
    line = error.lineno if isinstance(error, SyntaxError) and error.filename == str(file.path) else None
    if line is None:
        frames = traceback.extract_tb(error.__traceback__)
        line = next((f.lineno for f in reversed(frames) if f.filename == str(file.path)), None)
    message = error.msg if isinstance(error, SyntaxError) else shorten(str(error))
    return _issue(file, f"does not import: {type(error).__name__}: {message}", "import", line)


def _module(file: MigrationFile) -> ModuleType:
    folder, name = os.path.split(file.location)
    package = file.package or _package(folder)
    module = ModuleType(f"{package}.{name.removesuffix('.py')}")
    module.__file__, module.__package__ = file.location, package
    module.__dict__["__builtins__"] = _builtins(folder, package)
    # Dataclasses and pickle look their module up by name.
    sys.modules[module.__name__] = module
    return module


@cache
def _package(folder: str) -> str:
    """
    A package of its own for a folder, so that `from ._helpers import x` finds its neighbours.

    `from ..base import BaseMigration` in a helper finds sqlmig's there. The name under which a migration logs begins
    with "sqlmig_migrations".
    """
    root = f"sqlmig_migrations.f{hashlib.sha256(folder.encode(errors='surrogateescape')).hexdigest()[:12]}"
    places = {"sqlmig_migrations": "", root: os.path.dirname(folder), f"{root}.versions": folder}
    for name, path in places.items():
        if name not in sys.modules:
            module = sys.modules[name] = _Package(name)
            module.__path__ = [path] if path else []
            module.__package__ = name
    sys.modules[root].base = base  # type: ignore[attr-defined]
    sys.modules[f"{root}.base"] = base
    return f"{root}.versions"


class _Package(ModuleType):
    """A package whose `__init__.py`, where there is one, runs when a name of it is asked for."""

    def __getattr__(self, name: str) -> Any:
        init = os.path.join(self.__path__[0], "__init__.py") if self.__path__ else ""
        if name.startswith("__") or "__file__" in vars(self) or not os.path.isfile(init):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        self.__file__ = init
        with open(init, "rb") as stream:
            exec(compile(stream.read(), init, "exec", dont_inherit=True), vars(self))
        return getattr(self, name)


@cache
def _builtins(folder: str, package: str) -> dict[str, Any]:
    """
    Builtins whose import knows the original layout; they reach the code of this folder's files and no other.

    `from ..base import BaseMigration` and `from base import BaseMigration` are sqlmig's, whatever modules of that
    name the application has; a neighbour in the folder is found by its plain name.
    """

    def import_(
        name: str,
        globals: Mapping[str, object] | None = None,
        locals: Mapping[str, object] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        if name == "base" and level in (0, 2) and fromlist and all(hasattr(base, n) for n in fromlist):
            return base
        try:
            return builtins.__import__(name, globals, locals, fromlist or (), level)
        except ModuleNotFoundError as error:
            head = name.partition(".")[0]
            if level or error.name != head or not _has_neighbour(folder, head):
                raise
        found = builtins.__import__(f"{package}.{name}", globals, locals, ("*",), 0)
        return found if fromlist else sys.modules[f"{package}.{head}"]

    return {**vars(builtins), "__import__": import_}


def _has_neighbour(folder: str, name: str) -> bool:
    return os.path.isfile(os.path.join(folder, f"{name}.py")) or os.path.isdir(os.path.join(folder, name))
