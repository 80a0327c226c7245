"""
Planning and its checks: lists in, lists out, nothing touched.

So that a preview, a check and a rehearsal cost what a plan costs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from .results import Issue

if TYPE_CHECKING:
    from .loader import LoadedMigration
    from .sources import MigrationFile
    from .version_tracker import DatabaseState

__all__ = [
    "OutOfOrder",
    "check_dependencies",
    "check_duplicates",
    "check_history",
    "check_numbers",
    "check_reachable",
    "late_versions",
    "never_applied",
    "pending_versions",
    "rollback_versions",
]

OutOfOrder = Literal["error", "apply", "ignore"]


def pending_versions(
    available: Iterable[int], done: Collection[int], current: int, target: int | None, out_of_order: OutOfOrder
) -> list[int]:
    """The versions to apply, in order; below the current one only under `out_of_order="apply"`."""
    done = set(done)
    return sorted(
        version
        for version in set(available)
        if version not in done
        and (target is None or version <= target)
        and (version > current or out_of_order == "apply")
    )


def rollback_versions(done: Iterable[int], target: int) -> list[int]:
    """The versions to roll back, newest first."""
    return sorted((version for version in done if version > target), reverse=True)


def late_versions(available: Iterable[int], done: Collection[int], current: int) -> list[int]:
    """Versions below the current one that were never applied."""
    return sorted({version for version in available if version < current} - set(done))


def check_duplicates(files: Sequence[MigrationFile]) -> list[Issue]:
    """Versions that are taken twice."""
    return [_duplicate(version, files) for version, n in Counter(f.version for f in files).items() if n > 1]


def check_numbers(files: Sequence[MigrationFile], out_of_order: OutOfOrder, done: Collection[int]) -> list[Issue]:
    """Versions that are taken twice, are not positive, or are missing in between (and not only their files)."""
    issues = check_duplicates(files)
    issues += [
        Issue(
            f"{file.path.name}: version {file.version} cannot be used; versions begin with 1",
            kind="version",
            version=file.version,
            path=file.path,
        )
        for file in files
        if file.version < 1
    ]
    if out_of_order == "error":
        issues += _gaps(sorted({*done, *(file.version for file in files if file.version > 0)}))
    return issues


def _duplicate(version: int, files: Sequence[MigrationFile]) -> Issue:
    same = [file for file in files if file.version == version]
    names = [file.name for file in same] if len({file.name for file in same}) > 1 else [f.location for f in same]
    return Issue(
        f"version {version} is taken by {len(same)} files: {', '.join(names)}",
        kind="duplicate",
        version=version,
        path=same[-1].path,
        hint=f"Give the one that is applied nowhere yet the next free number: sqlmig renumber {names[-1]}"
        + (
            "\nAn SQL file that a migration in Python runs has no directive, and that one names it."
            if len({file.in_sql for file in same}) > 1
            else ""
        ),
    )


def never_applied(version: int) -> Issue:
    """A target below the current version that the database was never at."""
    return Issue(
        f"migration {version} was never applied here, so there is no way back to it",
        kind="out_of_order",
        version=version,
        hint="Go back to a version that was applied: sqlmig history",
    )


def _gaps(versions: Sequence[int]) -> list[Issue]:
    issues = []
    for before, version in zip([0, *versions], versions, strict=False):
        if version - before > 1:
            missing = str(before + 1) if version - before == 2 else f"{before + 1} to {version - 1}"
            issues.append(
                Issue(
                    f"no file has version {missing}, though there is a version {version}",
                    kind="gap",
                    version=before + 1,
                    hint='Renumber the files, or allow gaps: out_of_order="apply"',
                )
            )
    return issues


def check_dependencies(migrations: Mapping[int, LoadedMigration], known: Collection[int]) -> list[Issue]:
    """Dependencies that do not exist, come later, or go round in a circle."""
    known = set(known)
    issues = []
    for version, migration in sorted(migrations.items()):
        for wanted in migration.dependencies:
            if wanted not in known:
                problem = f"depends on version {wanted}, which does not exist"
            elif wanted == version:
                problem = "depends on itself"
            elif wanted > version:
                problem = f"depends on version {wanted}, which comes later"
            else:
                continue
            issues.append(
                Issue(
                    f"{migration.depends_at}: {problem}",
                    kind="dependency",
                    version=version,
                    path=migration.file.path,
                    line=migration.depends_line,
                )
            )
    circle = _circle({version: migration.dependencies for version, migration in migrations.items()})
    if circle:
        way = " -> ".join(map(str, circle))
        issues.append(Issue(f"circular dependencies: {way}", kind="dependency", version=circle[0]))
    return issues


def check_reachable(migrations: Mapping[int, LoadedMigration], done: Collection[int]) -> list[Issue]:
    """Dependencies that exist and will not be there when the migration is applied: ignored ones."""
    return [
        Issue(
            f"{migration.depends_at}: depends on version {wanted}, which was not applied here and will not be",
            kind="dependency",
            version=version,
            path=migration.file.path,
            line=migration.depends_line,
            hint='Apply it as well: out_of_order="apply"',
        )
        for version, migration in sorted(migrations.items())
        for wanted in migration.dependencies
        if wanted < version and wanted not in done
    ]


def _circle(graph: Mapping[int, Sequence[int]]) -> list[int]:
    """One circle of *graph*, its first version repeated at the end; empty where there is none."""
    finished: set[int] = set()
    for start in sorted(graph):
        path, open_, stack = [], set(), [(start, iter(graph[start]))]
        path.append(start)
        open_.add(start)
        while stack:
            node, wanted = stack[-1]
            following = next((w for w in wanted if w in graph and w not in finished), None)
            if following is None:
                stack.pop()
                path.pop()
                open_.discard(node)
                finished.add(node)
            elif following in open_:
                return [*path[path.index(following) :], following]
            else:
                path.append(following)
                open_.add(following)
                stack.append((following, iter(graph[following])))
    return []


def check_history(available: Sequence[int], state: DatabaseState, out_of_order: OutOfOrder) -> list[Issue]:
    """Applied migrations whose files are gone, and files that appeared below the current version."""
    known, latest = set(available), max(available, default=0)
    issues = [
        Issue(
            f"migration {row.version} ({row.description}) was applied, but its file is gone",
            kind="missing_file",
            version=row.version,
            hint="Bring the file back from version control; an applied migration is part of the history.",
        )
        for row in state.rows
        if row.done and row.version not in known and row.version < latest
    ]
    if state.current_version > latest:
        text = f"the database is at version {state.current_version}, newer than every file (the newest is {latest})"
        issues.append(Issue(text, kind="newer", version=state.current_version, hint="Run the release that it is from."))
    if out_of_order == "error" and state.tracked:
        issues += [
            Issue(
                f"migration {version} appeared below the current version {state.current_version}",
                kind="out_of_order",
                version=version,
                hint='Give it a number above the current one, or allow it: out_of_order="apply" (or "ignore")',
            )
            for version in late_versions(available, state.done, state.current_version)
        ]
    return issues
