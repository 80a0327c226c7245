"""
The type of a column as source that needs SQLAlchemy alone.

Whatever is written is evaluated, and must be spelled by the database as the original is; else the name that the
database has for it is written.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

import sqlalchemy
from sqlalchemy.exc import CompileError
from sqlalchemy.types import Boolean, Enum, TypeDecorator, TypeEngine

from .code import Call, Imports, Node, Raw, literal, written

if TYPE_CHECKING:
    from sqlalchemy.engine.interfaces import Dialect

__all__ = ["generic", "spelled", "type_node"]

_DIALECTS = ("sqlite", "postgresql", "mysql")
_MODULES = ("sqlite", "postgresql", "mysql", "oracle", "mssql")
# Those that every reader knows without their names.
_POSITIONAL = ("length", "precision", "scale", "item_type", "display_width")
_OF_CHECKS = ("create_constraint", "name")


def type_node(
    type_: TypeEngine[Any],
    dialect: Dialect,
    imports: Imports,
    *,
    checked: bool = False,
    check_name: str | None = None,
) -> Node:
    """
    A type as source.

    Args:
        checked: Whether the CHECK that a Boolean or an Enum makes (`create_constraint=True`) is to come with it.
        check_name: What this is called in the database.
    """
    known = [dialect, *(other for other in _dialects() if other.name != dialect.name)]
    types = _Types(known, checked, check_name)
    node = types.node(type_)
    try:
        alike = node is not None and spelled(types.evaluated(node), dialect) == spelled(type_, dialect)
    except Exception:
        # Arguments of a class are what it makes of them.
        alike = False
    if node is None or not alike:
        imports.add("sqlmig", "DatabaseType")
        return Call("DatabaseType", (literal(spelled(type_, dialect) or ""),))
    imports.update(types.imports(node))
    return node


def spelled(type_: TypeEngine[Any] | type[TypeEngine[Any]], dialect: Dialect) -> str | None:
    """A type as the database is told of it; None where it cannot be."""
    type_ = type_() if isinstance(type_, type) else type_
    try:
        return str(dialect.type_compiler_instance.process(type_))
    except (CompileError, NotImplementedError, AttributeError, TypeError):
        # TypeError: MySQL's VARBINARY without its length.
        return None


def generic(type_: TypeEngine[Any], dialect: Dialect) -> TypeEngine[Any]:
    """A type that was read from a database, as most people would write it: `String(8)` for `VARCHAR(8)`."""
    try:
        found = type_.as_generic()
    except NotImplementedError:
        return type_
    return found if spelled(found, dialect) == spelled(type_, dialect) else type_


@cache
def _dialects() -> tuple[Dialect, ...]:
    return tuple(import_module(f"sqlalchemy.dialects.{name}").dialect() for name in _DIALECTS)


class _Types:
    """
    Types as source for a few kinds of database.

    Attributes:
        dialects: That of the database first.
    """

    def __init__(self, dialects: list[Dialect], checked: bool, check_name: str | None) -> None:
        self.dialects, self.checked, self.check_name = dialects, checked, check_name
        self._homes: dict[str, str] = {}

    def node(self, type_: TypeEngine[Any]) -> Node | None:
        """The type; None where SQLAlchemy has no class for it."""
        cls: Any = type(type_)
        if isinstance(type_, TypeDecorator) and _home(cls) is None:
            return self._decorated(type_)
        return self._with_variants(self._plain(type_), dict(getattr(type_, "_variant_mapping", None) or {}))

    def imports(self, node: Node) -> Imports:
        """What a type as source needs."""
        found = Imports()
        for name in _names_in(node):
            if name in self._homes:
                found.add(self._homes[name], name.partition(".")[0])
        return found

    def evaluated(self, node: Node) -> Any:
        """What a type as source is."""
        names: dict[str, Any] = {}
        exec("\n".join(self.imports(node).lines(100_000)), names)
        return eval("\n".join(written(node, 0, 100_000)), names)

    def _decorated(self, type_: TypeDecorator[Any]) -> Node | None:
        """What a decorator stores: by its `impl`, and where it chooses otherwise for a database, by that."""
        below = type_.impl if isinstance(type_.impl, TypeEngine) else type_.impl()
        chosen: dict[str, TypeEngine[Any]] = {}
        for dialect in self.dialects:
            try:
                found = type_._variant_mapping.get(dialect.name) or type_.load_dialect_impl(dialect)
            except Exception:
                # It may ask a driver that is not installed, of a database that is not meant.
                found = below
            chosen[dialect.name] = below if spelled(found, dialect) in (None, spelled(below, dialect)) else found
        if all(found is not below for found in chosen.values()):
            below = chosen[self.dialects[0].name]
        variants = {
            dialect.name: chosen[dialect.name]
            for dialect in self.dialects
            if spelled(chosen[dialect.name], dialect) != spelled(below, dialect)
        }
        return self._with_variants(self.node(below), variants)

    def _with_variants(self, node: Node | None, variants: dict[str, TypeEngine[Any]]) -> Node | None:
        groups: dict[Node, list[str]] = {}
        for name, variant in variants.items():
            other = self.node(variant)
            if node is None or other is None:
                return None
            groups.setdefault(other, []).append(name)
        for other, names in groups.items():
            below = Call(node.text) if isinstance(node, Raw) else node
            node = Call(".with_variant", (other, *(literal(name) for name in names)), of=below)
        return node

    def _plain(self, type_: TypeEngine[Any]) -> Node | None:
        for cls in type(type_).__mro__:
            home = _home(cls)
            if home is None:
                continue
            module, name = home
            if name == "postgresql.DOMAIN":
                # A statement of its own makes it, with its CHECKs.
                return None
            self._homes[name] = module
            call = self._enum(type_, name) if isinstance(type_, Enum) else self._called(type_, cls, name)
            return call if call.parts else Raw(name)
        return None

    def _called(self, type_: TypeEngine[Any], cls: type, name: str) -> Call:
        """The class with those arguments that make a difference to one of the databases."""
        arguments: dict[str, Node] = {}
        of_check = self._of_check(type_) if isinstance(type_, Boolean) else {}
        for argument, default in _arguments(cls):
            value = of_check.get(argument) if argument in _OF_CHECKS else getattr(type_, argument, None)
            if value is None or value is default:
                continue
            node = self._argument(value)
            if node is not None and value != default:
                arguments[argument] = node
        for argument in list(arguments):
            rest = {other: node for other, node in arguments.items() if other != argument}
            if argument not in _OF_CHECKS and self._same(_call(name, rest), _call(name, arguments)):
                arguments = rest
        return _call(name, arguments)

    def _argument(self, value: Any) -> Node | None:
        if isinstance(value, TypeEngine):
            return self.node(value)
        if isinstance(value, type) and issubclass(value, TypeEngine):
            return self.node(value())
        return literal(value) if _is_plain(value) else None

    def _same(self, one: Call, other: Call) -> bool:
        try:
            first, second = self.evaluated(one), self.evaluated(other)
        except Exception:
            return False
        return all(spelled(first, dialect) == spelled(second, dialect) for dialect in self.dialects)

    def _of_check(self, type_: Boolean | Enum) -> dict[str, Any]:
        """The arguments by which it makes its CHECK; none where that does not come with it."""
        if not type_.create_constraint or not self.checked:
            return {}
        return {"create_constraint": True, "name": self.check_name}

    def _enum(self, type_: Enum, name: str) -> Call:
        options: dict[str, Any] = {}
        of_check = self._of_check(type_)
        called = type_.name if type_.native_enum else of_check.get("name")
        if called is not None:
            options["name"] = str(called)
        if getattr(type_, "schema", None) is not None:
            options["schema"] = str(type_.schema)
        if not type_.native_enum and not name.endswith("ENUM"):
            options["native_enum"] = False
        if of_check:
            options["create_constraint"] = True
        longest = max((len(label) for label in type_.enums), default=0)
        if type_.length not in (None, longest) and not name.endswith("ENUM"):
            options["length"] = type_.length
        if name.startswith("mysql."):
            options |= {key: value for key in ("charset", "collation") if (value := getattr(type_, key, None))}
        labels = tuple(literal(label) for label in type_.enums)
        return Call(name, labels, tuple((key, literal(value)) for key, value in options.items()))


def _call(name: str, arguments: dict[str, Node]) -> Call:
    positional: list[Node] = []
    for argument in list(arguments):
        at = _POSITIONAL.index(argument) if argument in _POSITIONAL else -1
        if at < 0 or (argument == "scale" and not positional) or len(positional) > 1:
            break
        positional.append(arguments[argument])
    named = list(arguments.items())[len(positional) :]
    return Call(name, tuple(positional), tuple(named))


def _arguments(cls: type) -> Iterator[tuple[str, Any]]:
    """What a class of types is called with, its bases' arguments among them where it hands them on."""
    seen: set[str] = set()
    for base in cls.__mro__:
        init = vars(base).get("__init__")
        if init is None:
            continue
        parameters = list(inspect.signature(init).parameters.values())[1:]
        for parameter in parameters:
            named = parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
            if named and parameter.name not in seen:
                seen.add(parameter.name)
                yield parameter.name, None if parameter.default is parameter.empty else parameter.default
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
            return


def _is_plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return isinstance(value, str | int | float)


def _names_in(node: Node) -> Iterator[str]:
    if isinstance(node, Raw):
        yield node.text
    elif isinstance(node, Call):
        yield node.name
        for _, part in [*node.parts, *([("", node.of)] if node.of else [])]:
            yield from _names_in(part)


@cache
def _home(cls: type[Any]) -> tuple[str, str] | None:
    """The module that a class of SQLAlchemy's is imported from, and its name there."""
    if not issubclass(cls, TypeEngine) or cls.__module__.partition(".")[0] != "sqlalchemy":
        return None
    if getattr(sqlalchemy, cls.__name__, None) is cls:
        return "sqlalchemy", cls.__name__
    for name in _MODULES:
        if getattr(import_module(f"sqlalchemy.dialects.{name}"), cls.__name__, None) is cls:
            return "sqlalchemy.dialects", f"{name}.{cls.__name__}"
    return None
