"""
Walk one project's history and write down what the database holds after each step, as JSON.

    python -m corpora.probe PROJECT WALK TOOLS FOREIGN_KEYS FOLDER

WALK is a name in WALKS, TOOLS one or more of alembic, sqlmig and native, taken in turn, FOREIGN_KEYS on or off. Run
inside the project's own environment. The walk ends at the first step that fails, which is in the trace with its error.
"""

import json
import os
import sqlite3
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import cycle
from pathlib import Path
from typing import Any

from .catalogue import complaints, row_lines, schema_lines
from .projects import NAMED, Project
from .seeding import seed
from .tools import Subject, enforce_foreign_keys, silence_logging

Step = tuple[str, str, bool]  # the verb, the revision, and whether sample rows come after it


def to_head(subject: Subject) -> Iterator[Step]:
    """From empty to head in one call, or in as few as the project's own rows allow."""
    for revision in subject.revisions():
        if revision in subject.project.rows:
            yield "upgrade", revision, False
    yield "upgrade", "heads", False


def halfway(subject: Subject) -> Iterator[Step]:
    """To the middle, sample rows, and to head: the data migrations of the second half have something to work on."""
    revisions = subject.revisions()
    middle = revisions[len(revisions) // 2]
    for revision in revisions:
        if revision in subject.project.rows or revision == middle:
            yield "upgrade", revision, revision == middle
    yield "upgrade", "heads", False


def one_by_one(subject: Subject) -> Iterator[Step]:
    """Every revision up, sample rows into what it made, and every revision down again."""
    revisions = subject.revisions()
    for revision in revisions:
        yield "upgrade", revision, True
    for target in subject.way_down(revisions):
        yield "downgrade", target, False


def bare(subject: Subject) -> Iterator[Step]:
    """Every revision up and down, and never a row but what the migrations write."""
    return ((verb, revision, False) for verb, revision, _ in one_by_one(subject))


WALKS: dict[str, Callable[[Subject], Iterator[Step]]] = {
    "to_head": to_head,
    "halfway": halfway,
    "one_by_one": one_by_one,
    "bare": bare,
}


def walk(project: Project, name: str, tools: list[str], folder: Path) -> Iterator[dict[str, Any]]:
    subject = Subject(project, folder)
    with subject.stack:
        subject.open()
        turns = cycle(tools)
        for verb, revision, seeded in WALKS[name](subject):
            tool = next(turns)
            entry: dict[str, Any] = {"tool": tool, "step": f"{verb} {revision}", "error": ""}
            try:
                subject.step(tool, verb, revision)
            except Exception as error:
                entry["error"] = f"{type(error).__name__}: {error}"
                entry["traceback"] = traceback.format_exc()
            yield entry | _look(subject.path, project)
            if entry["error"]:
                return
            if verb == "upgrade":
                with closing(sqlite3.connect(subject.path)) as connection:
                    for statement in project.rows.get(revision, ()):
                        connection.execute(statement)
                    connection.commit()
                    if seeded and project.seeded:
                        seed(connection, project.values, project.leave, project.sparse)


def _look(path: Path, project: Project) -> dict[str, Any]:
    with closing(sqlite3.connect(path)) as connection:
        return {
            "schema": schema_lines(connection),
            "rows": row_lines(connection, project.volatile),
            "complaints": complaints(connection),
        }


def main(arguments: list[str]) -> None:
    name, walk_name, tools, foreign_keys, folder = arguments
    os.dup2(2, 1)  # what the application prints is not the trace
    silence_logging()
    enforce_foreign_keys(foreign_keys == "on")
    trace = list(walk(NAMED[name], walk_name, tools.split("+"), Path(folder)))
    Path(folder, "trace.json").write_text(json.dumps(trace))


if __name__ == "__main__":
    main(sys.argv[1:])
