"""What a SQLite database holds, as lines: two databases are alike when they give the same set of lines.

Read from the catalogue and not from the SQL text, since Alembic's own batch operations write a table's constraints in
an order that varies from run to run.
"""

import json
import re
import sqlite3
from collections.abc import Collection, Iterator
from typing import Any

OURS = frozenset({"migration_versions", "migration_history"})
_CONSTRAINT = re.compile(r"(CONSTRAINT|CHECK|UNIQUE|FOREIGN|PRIMARY)\b", re.IGNORECASE)
_CHECK = re.compile(r"\bCHECK\s*(?=\()", re.IGNORECASE)


def schema_lines(connection: sqlite3.Connection) -> list[str]:
    """Give a line for each table, column, index, foreign key, constraint, view and trigger, without sqlmig's own."""
    lines = []
    for kind, name, table, sql in connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master"):
        if table in OURS or name == "sqlite_sequence" or name.startswith("sqlite_stat"):
            continue
        lines.append(f"{kind} {name} on {table}" + (f": {_plain(sql)}" if kind in ("view", "trigger") else ""))
        if kind == "table":
            lines += [f"{table} {line}" for line in _table_lines(connection, table, sql)]
    return sorted(lines)


def row_lines(connection: sqlite3.Connection, volatile: Collection[str] = ()) -> list[str]:
    """Give a line for each row, without the columns in *volatile* ("table.column" or "*.column")."""
    lines = []
    for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
        if table in OURS or table.startswith(("sqlite_stat", "sqlite_autoindex")):
            continue
        try:
            cursor = connection.execute(f"SELECT * FROM {quoted(table)}")
        except sqlite3.OperationalError:  # a virtual table whose module this build lacks
            continue
        names = [column[0] for column in cursor.description]
        for row in cursor:
            if table == "sqlite_sequence" and row[0] in OURS:
                continue
            kept = {
                n: _printable(v)
                for n, v in zip(names, row, strict=True)
                if not {f"{table}.{n}", f"*.{n}"} & {*volatile}
            }
            lines.append(f"{table} {json.dumps(kept)}")
    return sorted(lines)


def complaints(connection: sqlite3.Connection) -> list[str]:
    """Give what integrity_check and foreign_key_check say, nothing when all is well."""
    said = [row[0] for row in connection.execute("PRAGMA integrity_check") if row[0] != "ok"]
    try:
        # Without the number of the foreign key: it follows the order of the constraints, which varies.
        said += [str(row[:3]) for row in connection.execute("PRAGMA foreign_key_check")]
    except sqlite3.OperationalError as error:  # a foreign key to columns that no index makes unique
        said.append(str(error))
    return sorted(said)


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def definitions(sql: str) -> list[str]:
    """Cut what stands between the parentheses of a CREATE TABLE at its commas."""
    found, depth, start, quote = [], 0, 0, ""
    for place, letter in enumerate(sql):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"`":
            quote = letter
        elif letter == "(":
            depth += 1
            start = place + 1 if depth == 1 else start
        elif letter in ")," and depth == 1:
            found.append(_plain(sql[start:place]))
            start = place + 1
            depth -= letter == ")"
        elif letter == ")":
            depth -= 1
    return found


def _table_lines(connection: sqlite3.Connection, table: str, sql: str) -> Iterator[str]:
    for cid, name, kind, notnull, default, pk, hidden in connection.execute(f"PRAGMA table_xinfo({quoted(table)})"):
        yield f"column {cid} {name} {kind} notnull={notnull} default={default} pk={pk} hidden={hidden}"
    for _, name, unique, origin, partial in connection.execute(f"PRAGMA index_list({quoted(table)})").fetchall():
        columns = connection.execute(f"PRAGMA index_xinfo({quoted(name)})").fetchall()
        shape = ", ".join(f"{column[2]} desc={column[3]} {column[4]}" for column in columns if column[5])
        # The number in sqlite_autoindex_table_1 follows the order of the constraints, which is no property.
        shown = "(automatic)" if name.startswith("sqlite_autoindex") else name
        yield f"index {shown} unique={unique} origin={origin} partial={partial}: {shape}"
    keys: dict[int, list[tuple[Any, ...]]] = {}
    for key, *facts in connection.execute(f"PRAGMA foreign_key_list({quoted(table)})"):
        keys.setdefault(key, []).append(tuple(facts))
    for facts_of_key in keys.values():
        yield f"foreign key {facts_of_key}"
    for definition in definitions(sql):
        if _CONSTRAINT.match(definition):
            yield f"constraint {definition}"
        elif _CHECK.search(definition):
            yield f"check of column {definition}"
    for word in ("AUTOINCREMENT", "WITHOUT ROWID", "GENERATED ALWAYS"):
        if word in sql.upper():
            yield f"has {word}"


def _plain(sql: str) -> str:
    return " ".join(sql.replace('"', "").split()).replace("( ", "(").replace(" )", ")").replace(" ,", ",")


def _printable(value: Any) -> Any:
    return f"x'{value.hex()}'" if isinstance(value, bytes) else value
