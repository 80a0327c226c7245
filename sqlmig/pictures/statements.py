"""
The statements that would make a schema again, in an order that runs.

They are the database's own words: the text that SQLite keeps, SHOW CREATE of MariaDB and MySQL, pg_dump of PostgreSQL.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ..backends.raw import ask_any, backticked
from ..backends.sqlite import ask, quoted
from ..backends.sqlite_virtual import shadow_tables, virtual_tables
from ..errors import ConfigurationError
from ..safety.source import files_of
from ..schema.sqlite.tokens import significant
from ..sql_text import read_script

if TYPE_CHECKING:
    from ..migrator import Migrator

__all__ = ["as_script", "statements_of"]

_ALEMBIC = "alembic_version"
# What is made first: of the others, some cannot be made without.
_SQLITE_ORDER = ("table", "index", "view", "trigger")
_PATIENCE = 30
_RESTRICTED = re.compile(r"^\\(?:un)?restrict .*\n", re.MULTILINE)
_DEFINER = re.compile(r"(?<=\s)DEFINER=(?:`(?:[^`]|``)*`|'[^']*')(?:@(?:`(?:[^`]|``)*`|'[^']*'))?\s")
# By name; the search path is set by a function.
_SETTING = re.compile(r"(?:SET |SELECT pg_catalog\.set_config\(')(?P<name>\w+)(?: = |', )(?P<value>.*)")
# What a setting is needed for; those that are for whoever reads rows, waits or looks on are for nothing here. Without
# the search path a function of somebody's own would be taken for one of the same name of PostgreSQL's.
_NEEDED_BY = {
    "client_encoding": r"[^\x00-\x7f]",
    "standard_conforming_strings": r"\\",
    "check_function_bodies": r"CREATE (?:FUNCTION|PROCEDURE)",
    "xmloption": r"(?i)xml",
    **dict.fromkeys(
        (
            "statement_timeout",
            "lock_timeout",
            "idle_in_transaction_session_timeout",
            "transaction_timeout",
            "client_min_messages",
            "row_security",
        ),
        r"(?!)",
    ),
}
_USUAL = {"default_tablespace": "''", "default_table_access_method": "heap"}
_COUNTER = re.compile(r"(\n\).*?) AUTO_INCREMENT=\d+")

# With the table that a sequence numbers: pg_dump leaves it where the table is left out.
_RELATIONS = """
SELECT n.nspname::text, c.relname::text, n.nspname = current_schema(), coalesce((SELECT o.relname FROM pg_depend d
    JOIN pg_class o ON o.oid = d.refobjid WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
    AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i') AND c.relkind = 'S' LIMIT 1), c.relname)::text
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname !~ '^pg_'
    AND n.nspname <> 'information_schema' WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')"""

Stays = Callable[[str], bool]
"""Whether a table, a view or the like is not passed over."""


def statements_of(migrator: Migrator, stays: Stays = lambda name: True) -> list[str]:
    """
    Those of a database, without the records of its migrations; each without a semicolon.

    Raises:
        ConfigurationError: On PostgreSQL there is no pg_dump, or it could not read the database.
    """
    hidden = {*migrator.version_tracker.own_tables, _ALEMBIC}

    def is_shown(name: str) -> bool:
        return name.lower() not in hidden and stays(name)

    with migrator.db.reading() as connection:
        raw: Any = connection.connection.dbapi_connection
        if connection.dialect.name == "sqlite":
            return list(_sqlite(raw, is_shown))
        if connection.dialect.name == "postgresql":
            return _postgresql(raw, migrator, hidden, stays)
        return list(_mysql(raw, is_shown))


def as_script(statements: Sequence[str], dialect: str) -> str:
    """Text that the database's own client runs."""
    said = []
    for statement in statements:
        if dialect in ("mysql", "mariadb") and ";" in statement:
            end = next(end for end in ("//", "$$", "~~", "@@@@") if end not in statement)
            said.append(f"DELIMITER {end}\n{statement} {end}\nDELIMITER ;\n")
        else:
            # Behind a comment a semicolon would be one.
            last_line = statement.rpartition("\n")[2]
            said.append(statement + ("\n;\n" if "--" in last_line else ";\n"))
    return "\n".join(said)


# SQLite


def _sqlite(raw: Any, is_shown: Stays) -> Iterator[str]:
    for schema in files_of(raw):
        rows = ask(
            raw,
            f"SELECT type, name, tbl_name, sql FROM {quoted(schema)}.sqlite_master"
            " WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY rowid",
        )
        tables = [(name, sql) for kind, name, _, sql in rows if kind == "table"]
        # A virtual table makes these by itself.
        shadows = shadow_tables([name for name, _ in tables], virtual_tables(tables))
        place = "" if schema == "main" else f"{schema}."
        for wanted in _SQLITE_ORDER:
            for kind, name, table, sql in rows:
                owner = {name, table} if kind in ("table", "view") else {table}
                if kind == wanted and not owner & shadows and all(is_shown(place + one) for one in owner):
                    yield sql.rstrip() if schema == "main" else _inside(sql, schema).rstrip()


def _inside(sql: str, schema: str) -> str:
    """The statement with the file before the name of what it makes, which SQLite does not keep."""
    tokens = significant(sql)
    words = [token.text.upper() for token in tokens[:8]]
    at = next(place for place, word in enumerate(words) if word in ("TABLE", "INDEX", "VIEW", "TRIGGER")) + 1
    if words[at : at + 3] == ["IF", "NOT", "EXISTS"]:
        at += 3
    return f"{sql[: tokens[at].start]}{quoted(schema)}.{sql[tokens[at].start :]}"


# PostgreSQL


def _postgresql(raw: Any, migrator: Migrator, hidden: set[str], stays: Stays) -> list[str]:
    from ..safety.postgresql.tools import Tool, ToolFailed, address, require_tools, spool, target

    require_tools("The schema as SQL")
    place = address(raw, migrator.db.engine.url)
    [[database]] = ask_any(raw, "SELECT current_database()")
    left_out = [
        f"--exclude-table={quoted(schema)}.{quoted(name)}"
        for schema, name, is_usual, table in ask_any(raw, _RELATIONS)
        if table.lower() in hidden or not stays(table if is_usual else f"{schema}.{table}")
    ]
    usual = ["pg_dump", "--schema-only", "--no-owner", "--no-privileges", "--no-password", "--encoding=UTF8"]
    written = _Kept()
    try:
        wait = f"--lock-wait-timeout={_PATIENCE * 1000}"
        spool(Tool([*usual, wait, *left_out, target(place, database)], place), written, lambda: None)
    except ToolFailed as error:
        raise ConfigurationError(
            f"pg_dump could not read the schema of {database}.\n  {error}\n"
            "Mend that, or have the schema in another form: --format markdown"
        ) from error
    # Newer releases begin with a command of psql's.
    script = _RESTRICTED.sub("", written.content.decode())
    return _with_needed([statement.text for statement in read_script(script, "postgresql").statements])


def _with_needed(statements: Sequence[str]) -> list[str]:
    """With those of pg_dump's settings on which something depends, and the session left as it was."""
    settings = {text: found for text in statements if (found := _SETTING.fullmatch(text))}
    made = [text for text in statements if text not in settings]
    if not made:
        return []
    script = "\n".join(made)
    unneeded = {name for name, pattern in _NEEDED_BY.items() if not re.search(pattern, script)}
    for name, usual in _USUAL.items():
        if all(found["value"] == usual for found in settings.values() if found["name"] == name):
            unneeded.add(name)
    kept = [text for text in statements if text not in settings or settings[text]["name"] not in unneeded]
    names = dict.fromkeys(settings[text]["name"] for text in kept if text in settings)
    # The driver that has set its encoding goes on with that.
    return [*kept, *(f"RESET {name}" for name in names if name != "client_encoding")]


class _Kept(io.BytesIO):
    """A file in memory whose content outlives it."""

    content = b""

    def close(self) -> None:
        self.content = self.content or self.getvalue()
        super().close()


# MariaDB and MySQL


def _mysql(raw: Any, is_shown: Stays) -> Iterator[str]:
    [[database]] = ask_any(raw, "SELECT DATABASE()")
    found: dict[str, list[str]] = {}
    for name, kind in ask_any(raw, "SHOW FULL TABLES"):
        if is_shown(name):
            found.setdefault(kind if kind in ("VIEW", "SEQUENCE") else "TABLE", []).append(name)
    for name in found.get("SEQUENCE", []):
        yield _created(raw, "SEQUENCE", name)
    # Tables may refer to each other in a circle.
    yield "SET foreign_key_checks = 0"
    here = _of_database(database)
    for name in found.get("TABLE", []):
        yield here(_COUNTER.sub(r"\1", _created(raw, "TABLE", name)))
    yield "SET foreign_key_checks = 1"
    for kind in ("FUNCTION", "PROCEDURE"):
        for row in ask_any(raw, f"SHOW {kind} STATUS WHERE Db = DATABASE()"):
            yield _created(raw, kind, row[1])
    yield from _by_need({name: here(_created(raw, "VIEW", name)) for name in found.get("VIEW", [])})
    for row in ask_any(raw, "SHOW TRIGGERS"):
        if is_shown(row[2]):
            yield _created(raw, "TRIGGER", row[0])
    for row in ask_any(raw, "SHOW EVENTS WHERE Db = DATABASE()"):
        yield _created(raw, "EVENT", row[1])


def _created(raw: Any, kind: str, name: str) -> str:
    """The server's statement; whoever runs it is the one who has made it."""
    [row] = ask_any(raw, f"SHOW CREATE {kind} {backticked(name)}")
    text = row[2] if kind in ("FUNCTION", "PROCEDURE", "TRIGGER") else row[3] if kind == "EVENT" else row[1]
    if text is None:
        raise ConfigurationError(
            f"The {kind.lower()} {name} cannot be shown as SQL.\n  this user may not see its definition\n"
            f"Connect as its owner, or have the schema in another form: --format markdown"
        )
    said = text.decode() if isinstance(text, bytes) else str(text)
    return said if kind == "TABLE" else _DEFINER.sub("", said, count=1)


def _of_database(database: str) -> Callable[[str], str]:
    """
    Take the name of the database out of a statement, for the one that is made again is called otherwise.

    The server writes it before sequences, and before functions that somebody named so; not before tables, and a table
    may be called like its database.
    """
    here = re.escape(f"{backticked(database)}.")
    part = re.compile(rf"(?<=val\(){here}|{here}(?=`(?:[^`]|``)+`\()|(`(?:[^`]|``)*`|'(?:[^'\\]|\\.)*')", re.DOTALL)
    return lambda statement: part.sub(lambda found: found[1] or "", statement)


def _by_need(views: dict[str, str]) -> Iterator[str]:
    """Views behind the views that they read."""
    done: set[str] = set()

    def after(name: str) -> Iterator[str]:
        if name in done:
            return
        done.add(name)
        for other in views:
            if other != name and backticked(other) in views[name]:
                yield from after(other)
        yield views[name]

    for name in views:
        yield from after(name)
