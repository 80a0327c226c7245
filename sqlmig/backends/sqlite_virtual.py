"""Virtual tables of SQLite, and the tables in which they keep their content."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

__all__ = ["shadow_tables", "virtual_tables"]

_MODULE = re.compile(r"CREATE\s+VIRTUAL\s+TABLE\b.*?\bUSING\s+([\"`\[]?)(\w+)", re.IGNORECASE | re.DOTALL)


def virtual_tables(stored: Iterable[tuple[str, str | None]]) -> dict[str, str]:
    """What makes each of them, in lower case, by name; *stored* are names and texts of `sqlite_schema`."""
    return {name: found[2].lower() for name, sql in stored if (found := _MODULE.match(sql or ""))}


def shadow_tables(names: Sequence[str], modules: Mapping[str, str]) -> set[str]:
    """Named after their virtual table; SQLite's own list of them is not there on releases before 3.37."""
    kinds = {
        "fts5": ("data", "idx", "content", "docsize", "config"),
        "fts": ("content", "segments", "segdir", "docsize", "stat"),
        "rtree": ("node", "parent", "rowid"),
    }
    found = {
        f"{name}_{part}".lower()
        for name, module in modules.items()
        for kind, parts in kinds.items()
        if module == kind or (kind != "fts5" and module != "fts5" and module.startswith(kind))
        for part in parts
    }
    return {name for name in names if name.lower() in found and name not in modules}
