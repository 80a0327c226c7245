"""The one small read of a boot at head."""

from __future__ import annotations

from .sqlite import quoted

__all__ = ["head_query"]


def head_query(table: str, schema: str | None, *, listed: bool, user_version: bool, dialect: str) -> str:
    """
    One row that tells where a database stands: how many versions are recorded, the first, the last, one that was
    interrupted, `user_version`, and, if *listed*, all of them.

    On SQLite each part is answered by an index, so that a thousand versions cost what a hundred do. A server takes
    longer to plan four queries than to read a table of a thousand rows once.
    """
    on_mysql = dialect in ("mysql", "mariadb")
    name = f"{quoted(schema)}.{quoted(table)}" if schema else quoted(table)
    if on_mysql:
        from .raw import backticked

        name = ".".join(backticked(part) for part in (schema, table) if part)
    parts = ["count(*)", "min(version)", "max(version)", "max(CASE WHEN state = 'started' THEN version END)", "NULL"]
    source = f" FROM {name}"
    if dialect == "sqlite":
        parts = [f"(SELECT {part}{source})" for part in parts[:3]]
        parts.append(f"(SELECT version{source} WHERE state = 'started' LIMIT 1)")
        parts.append("(SELECT user_version FROM pragma_user_version)" if user_version else "NULL")
        source = ""
    if listed:
        postgresql = "string_agg(CAST(version AS text), ',')"
        joined = postgresql if dialect == "postgresql" else f"group_concat(version{' ORDER BY version' * on_mysql})"
        parts.append(f"(SELECT {joined} FROM (SELECT version FROM {name} ORDER BY version) AS listed)")
    # MySQL cuts a list off at 1,024 bytes if it is not told otherwise; MariaDB takes the hint for a comment.
    hint = " /*+ SET_VAR(group_concat_max_len = 4194304) */" if listed and on_mysql else ""
    return f"SELECT{hint} {', '.join(parts)}{source}"
