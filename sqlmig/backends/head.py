"""The one small read of a boot at head."""

from __future__ import annotations

from .sqlite import quoted

__all__ = ["head_query"]


def head_query(table: str, schema: str | None, *, listed: bool, user_version: bool, dialect: str) -> str:
    """
    One row that tells where a database stands: how many versions are recorded, the first, the last, one that was
    interrupted, `user_version`, and, if *listed*, all of them.

    Each part is answered by an index, so that a thousand versions cost what a hundred do.
    """
    name = f"{quoted(schema)}.{quoted(table)}" if schema else quoted(table)
    parts = [
        f"(SELECT count(*) FROM {name})",
        f"(SELECT min(version) FROM {name})",
        f"(SELECT max(version) FROM {name})",
        f"(SELECT version FROM {name} WHERE state = 'started' LIMIT 1)",
        "(SELECT user_version FROM pragma_user_version)" if user_version else "NULL",
    ]
    if listed:
        joined = "group_concat(version)" if dialect == "sqlite" else "string_agg(CAST(version AS text), ',')"
        parts.append(f"(SELECT {joined} FROM (SELECT version FROM {name} ORDER BY version) AS listed)")
    return f"SELECT {', '.join(parts)}"
