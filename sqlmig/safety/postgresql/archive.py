"""
An archive of pg_dump in its custom format: verified, and read as the SQL that makes the database again.

Source: https://www.postgresql.org/docs/current/app-pgrestore.html
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO

from ...version_tracker import AppliedVersion, DatabaseState
from .tools import Tool

__all__ = ["Archive"]

_COPY = re.compile(rb"COPY .* \((?P<columns>.*)\) FROM stdin;\n", re.DOTALL)
# Names may hold line feeds and semicolons.
_COMPLETE = re.compile(rb"""(?:[^"']|"[^"]*"|'[^']*')*;\n""")
_END = b"\\.\n"
_ESCAPED = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_HEAD = re.compile(rb"(?:--[^\n]*\n|\\restrict \w+\n|SET [^\n]*;\n|SELECT pg_catalog\.set_config\([^\n]*;\n|\n)*")
_RESTRICT = re.compile(rb"^\\restrict (\w+)\n", re.MULTILINE)
# How long is waited is not an archive's to say.
_LIMITS = (b"SET statement_timeout ", b"SET lock_timeout ")
_ENTRY = re.compile(r"^(?P<id>\d+); \d+ \d+ (?P<what>.*)$", re.MULTILINE)
_EXTENSION = re.compile(r"^CREATE EXTENSION IF NOT EXISTS (.+) WITH SCHEMA (.+);$", re.MULTILINE)
# In pg_restore's own order: who may do what after the rows, and after that what somebody's code runs in.
_LAST = re.compile(r"ACL |DEFAULT ACL |MATERIALIZED VIEW DATA |(?:COMMENT - )?EVENT TRIGGER ")


class Archive:
    """One archive, in a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def verify(self) -> None:
        """
        Read all of it, with every row, and throw it away.

        Raises:
            ToolFailed: It is damaged, or none.
        """
        with self._read(output=subprocess.DEVNULL) as tool:
            tool.wait()

    @cached_property
    def entries(self) -> dict[str, str]:
        """What is in it, by number, in pg_restore's words: kind, schema, name, owner."""
        with self._read("--list") as tool:
            listed = tool.stdout.read().decode(errors="replace")
            tool.wait()
        return {found["id"]: found["what"] for found in _ENTRY.finditer(listed)}

    @property
    def extensions(self) -> dict[str, str]:
        """Those that the database had, and the schemas that they were in, as SQL writes them."""
        with self._read(
            only=[number for number, what in self.entries.items() if what.startswith("EXTENSION ")]
        ) as tool:
            script = tool.stdout.read().decode(errors="replace")
            tool.wait()
        return dict(_EXTENSION.findall(script))

    def named(self, kind: str) -> set[str]:
        """Those of a *kind* in it ("TABLE", "TABLE DATA"): schema and name with a space between."""
        return {
            what[len(kind) + 1 :].rpartition(" ")[0] for what in self.entries.values() if what.startswith(f"{kind} ")
        }

    def leave_out(self, extensions: Collection[str], schemas: Collection[str]) -> None:
        """Take these for made already, and what is said of such extensions for said."""
        made = "|".join(map(re.escape, extensions)), "|".join(map(re.escape, schemas))
        there = re.compile(rf"(?:EXTENSION -|COMMENT - EXTENSION) (?:{made[0]}) ?|SCHEMA - (?:{made[1]}) \S+")
        self.entries = {number: what for number, what in self.entries.items() if not there.fullmatch(what)}

    def section(self, name: str) -> Iterator[bytes]:
        """
        The statements before its rows ("pre-data") or after them ("post-data"), but for those of `last`.

        Those that say how the others are to be read come one by one: a server reads all of a message at once.
        """
        return self._script([f"--section={name}"], self._of(last=False))

    def last(self) -> Iterator[bytes]:
        """The statements that come after all others: grants, materialized views, event triggers."""
        return self._script([], self._of(last=True))

    def _script(self, options: list[str], only: list[str]) -> Iterator[bytes]:
        with self._read(*options, only=only) as tool:
            script = tool.stdout.read()
            tool.wait()
        found = _HEAD.match(script)
        assert found is not None
        head, rest = found[0], script[found.end() :]
        token = _RESTRICT.search(head)
        if token is not None:
            # What psql is told, and no server knows; a text may have a line like it.
            rest = b"".join(rest.rpartition(b"\\unrestrict " + token[1] + b"\n")[::2])
        yield from (line for line in head.splitlines() if line.startswith(b"S") and not line.startswith(_LIMITS))
        yield rest

    def _of(self, *, last: bool) -> list[str]:
        return [number for number, what in self.entries.items() if bool(_LAST.match(what)) == last]

    @contextmanager
    def rows(self) -> Iterator[Iterator[tuple[bytes, Iterator[bytes]]]]:
        """
        The rows of its tables: statements in order, each with the lines that a COPY among them reads.

        Raises:
            ToolFailed: It is damaged.
        """
        with self._read("--section=data", only=self._of(last=False)) as tool:
            yield _statements(tool.stdout)
            tool.wait()

    def state(self, schema: str, table: str) -> DatabaseState:
        """
        What the versions table in it says; nothing where there is none.

        Raises:
            ToolFailed: It is damaged, or none.
        """
        with self._read("--data-only", f"--schema={schema}", f"--table={table}") as tool:
            found = [row for sql, lines in _statements(tool.stdout) for row in _values(sql, lines)]
            tool.wait()
        return DatabaseState(tuple(map(_applied, found)), 0, tracked=bool(found))

    @contextmanager
    def _read(
        self, *options: str, output: BinaryIO | int = subprocess.PIPE, only: Collection[str] | None = None
    ) -> Iterator[Tool]:
        target = [] if "--list" in options else [f"--file={os.devnull}" if output != subprocess.PIPE else "--file=-"]
        with ExitStack() as stack:
            if only is not None:
                listed = Path(stack.enter_context(TemporaryDirectory(prefix="sqlmig-"))) / "entries"
                listed.write_text("".join(f"{number};\n" for number in only))
                target.append(f"--use-list={listed}")
            arguments = ["pg_restore", *target, *options, str(self.path)]
            yield stack.enter_context(Tool(arguments, {}, output=output))


def _statements(stream: BinaryIO) -> Iterator[tuple[bytes, Iterator[bytes]]]:
    statement = b""
    for line in stream:
        if not statement and (line.startswith((b"--", b"\\", *_LIMITS)) or not line.strip()):
            continue
        statement += line
        if not line.endswith(b";\n") or not _COMPLETE.fullmatch(statement):
            continue
        if _COPY.fullmatch(statement):
            lines = _until_end(stream)
            yield statement, lines
            # Whoever did not read them is not to take them for statements.
            for _ in lines:
                pass
        elif statement.strip() not in (b"BEGIN;", b"COMMIT;"):
            # Large objects stand between these two, and it is ours to end the transaction.
            yield statement, iter(())
        statement = b""


def _until_end(stream: BinaryIO) -> Iterator[bytes]:
    for line in stream:
        if line == _END:
            return
        yield line


def _values(sql: bytes, lines: Iterator[bytes]) -> Iterator[dict[str, str | None]]:
    found = _COPY.fullmatch(sql)
    names = [] if found is None else [name.strip(' "') for name in found["columns"].decode(errors="replace").split(",")]
    for line in lines:
        yield dict(zip(names, map(_value, line.decode(errors="replace").rstrip("\n").split("\t")), strict=True))


def _value(text: str) -> str | None:
    if text == "\\N":
        return None
    return re.sub(r"\\(.)", lambda found: _ESCAPED.get(found[1], found[1]), text)


def _applied(row: Mapping[str, Any]) -> AppliedVersion:
    return AppliedVersion(
        version=int(row["version"]),
        description=row.get("description") or "",
        state=row.get("state") or "applied",
        rollback_supported=row.get("rollback_supported") == "t",
        checksum=row.get("checksum"),
        metadata=json.loads(row.get("metadata") or "{}"),
        applied_at=row.get("applied_at"),
        execution_time_ms=None,
    )
