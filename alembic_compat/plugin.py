"""
A plugin of Alembic's (from 1.18) that keeps sqlmig's tables out of what `alembic revision --autogenerate` compares.

Without it Alembic would propose to drop them, since no application declares them. Alembic imports this by its entry
point, in the middle of its own import: so nothing of Alembic is imported here but where it is used.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from alembic.autogenerate.api import AutogenContext
    from alembic.runtime.plugins import Plugin

__all__ = ["hide_records", "setup"]

# What each of the two tables has, also in databases that an older release has made.
_VERSIONS = {"version", "description", "applied_at", "checksum", "rollback_supported"}
_HISTORY = {"version", "description", "operation", "started_at", "success", "error_message"}


def setup(plugin: Plugin) -> None:
    """Called by Alembic."""
    from alembic.util import DispatchPriority

    plugin.add_autogenerate_comparator(hide_records, "autogenerate", priority=DispatchPriority.FIRST)


def hide_records(context: AutogenContext, *_: object) -> Any:
    """Leave out the tables that are sqlmig's by their columns, unless the application declares them."""
    from alembic.util import PriorityDispatchResult

    def is_kept(name: str | None, kind: str, parents: Any) -> bool:
        if kind != "table" or name is None:
            return True
        schema = parents.get("schema_name")
        if (f"{schema}.{name}" if schema else name) in context.table_key_to_table:
            return True
        there = {column["name"] for column in context.inspector.get_columns(name, schema=schema)}
        return not (there >= _VERSIONS or there >= _HISTORY)

    context._name_filters.append(is_kept)
    return PriorityDispatchResult.CONTINUE


class _Collection(ModuleType):
    """Alembic 1.18 and 1.19 take an entry point for a collection of modules, later ones for a module."""

    def __iter__(self) -> Iterator[ModuleType]:
        yield self


sys.modules[__name__].__class__ = _Collection
