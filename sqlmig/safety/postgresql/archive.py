"""
An archive of pg_dump in its custom format: verified, and read as the SQL that makes the database again.

Source: https://www.postgresql.org/docs/current/app-pgrestore.html
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from ...version_tracker import AppliedVersion, DatabaseState
from .tools import Tool

__all__ = ["Archive"]

_COPY = re.compile(rb"COPY .* \((?P<columns>.*)\) FROM stdin;\n")
_END = b"\\.\n"
_ESCAPED = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_RESTRICT = re.compile(rb"^\\(?:un)?restrict \w+\n", re.MULTILINE)


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

    @property
    def extensions(self) -> set[str]:
        """Those that the database had."""
        with self._read("--list") as tool:
            listed = tool.stdout.read().decode(errors="replace")
            tool.wait()
        return set(re.findall(r"^\d+; \d+ \d+ EXTENSION - (\S+)", listed, re.MULTILINE))

    def section(self, name: str) -> bytes:
        """The statements before its rows ("pre-data") or after them ("post-data")."""
        with self._read(f"--section={name}") as tool:
            script = tool.stdout.read()
            tool.wait()
        # What psql is told, and no server knows.
        return _RESTRICT.sub(b"", script)

    @contextmanager
    def rows(self) -> Iterator[Iterator[tuple[bytes, Iterator[bytes]]]]:
        """
        The rows of its tables: statements in order, each with the lines that a COPY among them reads.

        Raises:
            ToolFailed: It is damaged.
        """
        with self._read("--section=data") as tool:
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

    def _read(self, *options: str, output: BinaryIO | int = subprocess.PIPE) -> Tool:
        target = [] if "--list" in options else [f"--file={os.devnull}" if output != subprocess.PIPE else "--file=-"]
        return Tool(["pg_restore", *target, *options, str(self.path)], {}, output=output)


def _statements(stream: BinaryIO) -> Iterator[tuple[bytes, Iterator[bytes]]]:
    statement = b""
    for line in stream:
        if not statement and (line.startswith((b"--", b"\\")) or not line.strip()):
            continue
        statement += line
        if _COPY.fullmatch(line):
            lines = _until_end(stream)
            yield statement, lines
            # Whoever did not read them is not to take them for statements.
            for _ in lines:
                pass
            statement = b""
        elif line.endswith(b";\n"):
            # Large objects stand between these two, and it is ours to end the transaction.
            if statement.strip() not in (b"BEGIN;", b"COMMIT;"):
                yield statement, iter(())
            statement = b""


def _until_end(stream: BinaryIO) -> Iterator[bytes]:
    for line in stream:
        if line == _END:
            return
        yield line


def _values(sql: bytes, lines: Iterator[bytes]) -> Iterator[dict[str, str | None]]:
    found = _COPY.fullmatch(sql)
    names = [] if found is None else [name.strip(' "') for name in found["columns"].decode().split(",")]
    for line in lines:
        yield dict(zip(names, map(_value, line.decode().rstrip("\n").split("\t")), strict=True))


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
